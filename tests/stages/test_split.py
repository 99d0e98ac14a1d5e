"""split: groups never straddle, given splits are kept, shares are exact, and the order of rows does not matter."""

from __future__ import annotations

import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isogloss.stages import split

SCHEMA = dict.fromkeys(("id", "group", "lang", "label", "split", "text"), pl.String)


def frame(rows: list[tuple[str | None, str, str, str | None]]) -> pl.DataFrame:
    return pl.DataFrame([(f"r{i}", *row, "t") for i, row in enumerate(rows)], schema=SCHEMA, orient="row")


def dealt(rows: pl.DataFrame, dev: float = 0.1, test: float = 0.1, seed: int = 0, cut: int = 7) -> pl.DataFrame:
    shards = [rows[i : i + cut] for i in range(0, max(1, rows.height), cut)]
    summaries = [
        split.summarise(shard, seed=seed).with_columns(shard=pl.lit(i, pl.Int64)) for i, shard in enumerate(shards)
    ]
    decision = split.decide(pl.concat(summaries), dev=dev, test=test)
    own = (decision.filter(pl.col("shard") == i).drop("shard") for i in range(len(shards)))
    return pl.concat([split.apply(shard, piece) for shard, piece in zip(shards, own, strict=True)])


ROWS = st.lists(
    st.tuples(
        st.sampled_from([None, None, "g1", "g2", "g3", "g4"]),
        st.sampled_from(["eng_Latn", "swh_Latn"]),
        st.sampled_from("ab"),
        st.sampled_from([None, None, None, "train", "dev", "test"]),
    ),
    max_size=50,
)
SHARE = st.sampled_from([0.0, 0.1, 0.25, 0.49])


@settings(max_examples=150, deadline=None)
@given(ROWS, SHARE, SHARE, st.integers(0, 3), st.integers(1, 60))
def test_properties(rows: list, dev: float, test: float, seed: int, cut: int) -> None:
    before = frame(rows)
    after = dealt(before, dev, test, seed, cut)
    assert after.drop("split").equals(before.drop("split"))
    assert after["split"].is_in(["train", "dev", "test"]).all()
    kept = before["split"].is_not_null()
    assert after.filter(kept)["split"].equals(before.filter(kept)["split"])
    both = after.with_columns(given=before["split"]).filter(pl.col("group").is_not_null())
    for _, group in both.group_by("group"):
        given_here = set(group["given"].drop_nulls())
        fresh = set(group.filter(pl.col("given").is_null())["split"])
        assert len(fresh) <= 1
        assert not given_here or fresh <= given_here
    # neither shards nor the order of rows matter
    order = list(range(before.height))
    random.Random(seed).shuffle(order)
    assert dealt(before[order], dev, test, seed, 1000).sort("id").equals(after.sort("id"))


@given(st.integers(0, 400), st.sampled_from([0.05, 0.1, 0.25]), st.sampled_from([0.1, 0.2, 0.33]))
@settings(max_examples=60, deadline=None)
def test_shares_are_exact_within_rounding(n: int, dev: float, test: float) -> None:
    counts = dict(dealt(frame([(None, "eng_Latn", "a", None)] * n), dev, test, cut=1000)["split"].value_counts().rows())
    assert abs(counts.get("test", 0) - n * test) <= 0.5 + 1e-9
    assert abs(counts.get("dev", 0) - n * dev) <= 1


@pytest.mark.parametrize("grouped", [True, False])
def test_every_language_and_label_gets_dev_and_test_rows(grouped: bool) -> None:
    langs = [f"x{i:02d}_Latn" for i in range(20)]
    rows = [(f"g{j}" if grouped else None, lang, "ab"[j % 2], None) for lang in langs for j in range(30 + len(lang))]
    found = dealt(frame(rows), 0.1, 0.1, cut=1000)
    counts = found.group_by("lang", "split").len("n")
    for lang in langs:
        by_split = dict(counts.filter(pl.col("lang") == lang).select("split", "n").rows())
        assert 2 <= by_split["dev"] <= 6 and 2 <= by_split["test"] <= 6
    assert found.group_by("lang", "label", "split").len().filter(pl.col("split") == "train").height == 2 * len(langs)


def test_another_seed_deals_otherwise() -> None:
    rows = frame([(None, "eng_Latn", "a", None)] * 100)
    assert not dealt(rows, seed=1).equals(dealt(rows, seed=2))


def test_a_corpus_whose_splits_are_all_given_is_left_alone() -> None:
    rows = frame([("g", "eng_Latn", "a", "train"), ("g", "swh_Latn", "a", "test")])
    assert dealt(rows).equals(rows)
