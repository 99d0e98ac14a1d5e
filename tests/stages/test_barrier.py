"""The barrier: buckets are decided apart, each shard gets its own, and neither depends on how much is held at once."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import polars as pl
import pytest

from isogloss.core import files
from isogloss.core.errors import IsoglossError
from isogloss.stages import barrier, originals, unique


def written(folder: Path, shards: list[pl.DataFrame]) -> list[Path]:
    paths = [folder / f"{i:02}.summary" for i in range(len(shards))]
    for path, shard in zip(paths, shards, strict=True):
        files.write_parquet(path, shard)
    return paths


def some(n: int = 300, shards: int = 7) -> list[pl.DataFrame]:
    """Rows whose ids repeat, in shards."""
    rows = pl.DataFrame({"id": [f"r{(i * 37) % 170}" for i in range(n)], "origin": [f"f:{i}" for i in range(n)]})
    rows = rows.with_columns(lang=pl.lit("eng_Latn"))
    return [rows[i::shards] for i in range(shards)]


@pytest.mark.parametrize("held", [1_000_000, 50, 1])
def test_what_is_held_at_once_changes_nothing(tmp_path: Path, held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(barrier, "HELD", held)
    paths = written(tmp_path, [unique.summarise(shard) for shard in some()])
    seen: list[int] = []

    def decide(frame: pl.DataFrame) -> pl.DataFrame:
        assert frame["bucket"].n_unique() == 1
        seen.append(frame["bucket"][0])
        return unique.decide(frame)

    decision = barrier.decide(decide, paths, tmp_path / "decision", name="unique", by_shard=True)
    assert len(seen) == len(set(seen)) > 10
    firsts: dict[str, str] = {}
    later = []
    for i, shard in enumerate(some()):
        dropped = unique.apply(shard, decision.of(i))["drop"]
        for name, origin, why in zip(shard["id"], shard["origin"], dropped, strict=True):
            if name in firsts:
                later.append(why)
                assert why == f"duplicated id '{name}': first at {firsts[name]}"
            else:
                firsts[name] = origin
                assert why is None
    assert len(later) == 300 - 170
    assert not list((tmp_path / "decision").glob("*.held")) and not list((tmp_path / "decision").glob("*.part"))


def test_a_decision_without_shards_is_for_all(tmp_path: Path) -> None:
    paths = written(tmp_path, [pl.DataFrame({"n": [i]}) for i in range(4)])
    decision = barrier.decide(
        lambda frame: frame.select(pl.col("n").sum()), paths, tmp_path / "d", name="x", by_shard=False
    )
    assert [decision.of(i)["n"].to_list() for i in range(4)] == [[6]] * 4
    again = barrier.decide(lambda frame: 1 / 0, paths, tmp_path / "d", name="x", by_shard=False)  # type: ignore[func-returns-value]
    assert again.of(0).equals(decision.of(0)), "what is decided is not decided again"


def test_a_step_that_breaks_the_contract_is_named(tmp_path: Path) -> None:
    paths = written(tmp_path, [pl.DataFrame({"n": [1]})])
    with pytest.raises(IsoglossError, match="'x' says BY_SHARD, and its decision has no column 'shard'"):
        barrier.decide(lambda frame: frame.drop("shard"), paths, tmp_path / "d", name="x", by_shard=True)
    with pytest.raises(IsoglossError, match="'x' must decide with a frame, got int"):
        barrier.decide(lambda frame: 3, paths, tmp_path / "e", name="x", by_shard=False)


def rows(*values: tuple[str, str | None, str | None, str | None]) -> pl.DataFrame:
    schema = dict.fromkeys(("origin", "lang", "group", "original_or_translated"), pl.String)
    return pl.DataFrame(values, schema=schema, orient="row")


@pytest.mark.parametrize(("within", "gone"), [("lang", {"b"}), ("group", {"b", "d", "e"})])
def test_translated_rows_go_where_the_original_is_there(within: Literal["lang", "group"], gone: set[str]) -> None:
    shard = rows(
        ("a", "eng_Latn", "g1", "original"),
        ("b", "eng_Latn", "g1", "translated"),
        ("c", "eng_Latn", "g1", None),
        ("d", "fra_Latn", "g1", "translated"),
        ("e", None, "g1", "translated"),
        ("f", "fra_Latn", "g2", "translated"),
        ("g", "eng_Latn", None, "translated"),
        ("h", "eng_Latn", None, "original"),
    )
    summaries = originals.summarise(shard).with_columns(shard=pl.lit(0, pl.Int64))
    decision = pl.concat([originals.decide(piece, within=within) for piece in summaries.partition_by("bucket")])
    after = originals.apply(shard, decision.drop("shard"))
    why = dict(after.select("origin", "drop").iter_rows())
    assert {name for name, reason in why.items() if reason} == gone
    assert why["b"] == "translated: the original of its group is a"
