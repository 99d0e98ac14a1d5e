"""balance: caps, floors, what is said of whom, and the mix that follows the weights."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isogloss.core import balance, files, parts
from isogloss.parts.mixes import weighted
from isogloss.stages import barrier
from isogloss.stages.ops import Op
from isogloss.stages.step import step


def frame(n: dict[tuple[str, str], int], split: str | None = "train") -> pl.DataFrame:
    rows = [(f"{lang}{label}{i}", lang, label, split) for (lang, label), k in n.items() for i in range(k)]
    return pl.DataFrame(rows, schema=["id", "lang", "label", "split"], orient="row").with_columns(
        text=pl.lit("x"), source=pl.lit("s"), domain=pl.lit("d")
    )


def run(batch: pl.DataFrame, **knobs: Any) -> pl.DataFrame:
    op = Op("balance", parts.load("steps", "balance").bind(knobs), {"seed": 3})
    return op.call("apply", batch, barrier.alone(op, batch))


def test_a_cap_keeps_so_many_of_each_cell_and_touches_no_other_split() -> None:
    train, test = frame({("a", "x"): 30, ("a", "y"): 4, ("b", "x"): 9}), frame({("a", "x"): 50}, "test")
    both = pl.concat([train, test.with_columns(id=pl.lit("t") + pl.col("id"))])
    after = run(both, cap=10)
    stay = after.filter(pl.col("drop").is_null())
    assert Counter(stay.select("lang", "split").iter_rows()) == {
        ("a", "train"): 10,
        ("b", "train"): 9,
        ("a", "test"): 50,
    }
    assert set(after["drop"].drop_nulls()) == {"over the cap of 10 rows: a has 34"}
    by = run(both, cap=5, by="label").filter(pl.col("drop").is_null(), pl.col("split") == "train")
    assert Counter(by.select("lang", "label").iter_rows()) == {("a", "x"): 5, ("a", "y"): 4, ("b", "x"): 5}
    assert run(both, cap=10).equals(after), "the same rows, every time"


def test_a_floor_weighs_small_cells() -> None:
    after = run(frame({("a", "x"): 30, ("b", "x"): 4, ("c", "x"): 1}), floor=8, most=5.0)
    weights = dict(after.select("lang", "weight").unique().iter_rows())
    assert weights == {"a": 1.0, "b": 2.0, "c": 5.0}
    twice = run(after.drop("drop"), floor=8, most=5.0)
    assert dict(twice.select("lang", "weight").unique().iter_rows()) == {"a": 1.0, "b": 4.0, "c": 25.0}
    assert "weight" not in run(frame({("a", "x"): 3})).columns


def test_a_language_that_departs_and_a_class_with_few_rows_are_named() -> None:
    counts = pl.DataFrame(
        [
            *(("a", "train", label, "news", 50) for label in "xy"),
            *(("b", "train", label, "news", n) for label, n in (("x", 48), ("y", 52))),
            *(("c", "train", label, "law", n) for label, n in (("x", 95), ("y", 5))),
            ("c", "test", "y", "law", 500),
        ],
        schema=["lang", "split", "label", "domain", "n"],
        orient="row",
    )
    found = balance.languages(balance.train(counts))
    assert [one.lang for one in found] == ["c", "b", "a"]
    c = found[0]
    assert c.far == pytest.approx(0.95 - 193 / 300) and c.far_domain == pytest.approx(2 / 3)
    assert c.n == 100 and c.few == (("y", 5),) and not found[1].few
    said = list(balance.warnings(found))
    assert (
        len(said) == 2
        and said[0].startswith("c: its labels are distributed differently")
        and "0.31 over 100 rows" in said[0]
    )
    assert said[1] == "c: a class has under 10 rows: y (5)"


def test_a_class_that_a_language_lacks_counts_as_none_and_no_labels_are_no_classes() -> None:
    rows = [("a", "train", "x", "d", 20), ("a", "train", "y", "d", 20), ("b", "train", "x", "d", 40)]
    counts = pl.DataFrame(rows, schema=["lang", "split", "label", "domain", "n"], orient="row")
    assert next(one for one in balance.languages(balance.train(counts)) if one.lang == "b").few == (("y", 0),)
    none = balance.languages(balance.train(counts.with_columns(label=pl.lit(""))))
    assert all(one.far is None and not one.few for one in none) and not list(balance.warnings(none))
    assert balance.languages(balance.train(counts.clear())) == []


def test_what_chance_gives_is_about_what_it_gives() -> None:
    rng = np.random.default_rng(0)
    drawn = [rng.multinomial(40, [0.5, 0.3, 0.2]) for _ in range(400)]
    counts = pl.DataFrame(
        [
            (f"l{i:03}", "train", label, "d", int(n))
            for i, row in enumerate(drawn)
            for label, n in zip("xyz", row, strict=True)
        ],
        schema=["lang", "split", "label", "domain", "n"],
        orient="row",
    )
    found = balance.languages(balance.train(counts))
    assert np.mean([one.far for one in found]) == pytest.approx(found[0].chance, rel=0.1)


def test_the_command_shows_and_writes(tmp_path: Path) -> None:
    frame({("eng_Latn", "x"): 30, ("swh_Latn", "x"): 3}, None).drop("split").write_ndjson(tmp_path / "r.jsonl")
    out = step("balance", tmp_path / "r.jsonl", {"cap": 20}, out=tmp_path / "out")
    assert (
        out.n_dropped == 10
        and out.learned
        and {row["lang"]: row["rows"] for row in out.learned} == {"eng_Latn": 20, "swh_Latn": 3}
    )
    dropped = files.read_parquet(tmp_path / "out" / "dropped.parquet")
    assert set(dropped["reason"]) == {"over the cap of 20 rows: eng_Latn has 30"}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([0.0, 0.5, 1.0, 2.0, 8.0])), min_size=1, max_size=40),
    st.integers(0, 99),
)
def test_weighted_gives_each_language_its_rows_and_each_row_its_share(rows: list[tuple[str, float]], seed: int) -> None:
    table = pl.DataFrame(rows, schema=["lang", "weight"], orient="row")
    window = weighted.order(table, np.random.default_rng(seed), {})
    n = np.bincount(window, minlength=table.height)
    for (lang,), own in table.with_row_index("at").group_by("lang"):
        at, weight = own["at"].to_numpy(), own["weight"].to_numpy()
        assert n[at].sum() == len(at), lang
        wanted = weight / weight.sum() * len(at) if weight.sum() else np.ones(len(at))
        assert (np.abs(n[at] - wanted) <= 1 + 1e-6).all()
