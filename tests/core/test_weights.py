"""Class weights: whatever the scheme, a language keeps its share."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isogloss.core.weights import class_weights

ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), min_size=1, max_size=60)
SCHEMES = ("none", "global", "by_lang")


def frame(rows: list[tuple[str, str]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"lang": pl.String, "label": pl.String}, orient="row")


@given(ROWS, st.sampled_from(SCHEMES), st.randoms())
def test_mean_one_in_every_language_and_order_does_not_matter(rows: list, scheme: str, random: object) -> None:
    table = frame(rows).with_columns(w=pl.Series(class_weights(frame(rows), scheme)))
    assert np.allclose(table.group_by("lang").agg(pl.col("w").mean())["w"], 1)
    assert (table["w"] > 0).all()
    order = list(range(len(rows)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert np.allclose(class_weights(frame([rows[i] for i in order]), scheme), table["w"].to_numpy()[order])


@given(ROWS)
def test_a_rarer_label_never_weighs_less(rows: list) -> None:
    for scheme in SCHEMES[1:]:
        whole = frame(rows).with_columns(w=pl.Series(class_weights(frame(rows), scheme)))
        count = pl.len().over("label") if scheme == "global" else pl.len().over("lang", "label")
        if whole["label"].value_counts()["count"].n_unique() == 1 or scheme == "global":
            for (_,), part in whole.with_columns(n=count).group_by("lang"):
                ranked = part.sort("n")["w"].to_list()
                assert all(a >= b - 1e-9 for a, b in pairwise(ranked))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_empty(scheme: str) -> None:
    assert class_weights(frame([]), scheme).shape == (0,)
