"""The barrier: buckets are decided apart, each shard gets its own, and neither depends on how much is held at once."""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pytest

from isogloss.core import files, parts
from isogloss.core.engine import Local
from isogloss.core.errors import IsoglossError
from isogloss.core.say import Say
from isogloss.stages import barrier, originals, unique
from isogloss.stages.ops import Op


def written(folder: Path, shards: list[pl.DataFrame]) -> list[Path]:
    paths = [folder / f"{i:02}.summary" for i in range(len(shards))]
    for path, shard in zip(paths, shards, strict=True):
        files.write_parquet(path, shard)
    return paths


@dataclass(frozen=True)
class Made(Op):
    """A step made of functions."""

    functions: dict[str, Any] = field(default_factory=dict)

    @property
    def loaded(self) -> parts.Part:
        return parts.Part("steps", self.part, types.SimpleNamespace(**self.functions))  # type: ignore[arg-type]

    def call(self, function: str, *args: Any) -> Any:
        return self.functions[function](*args)


def made(decide: Callable[[Any], Any], **others: Any) -> Op:
    return Made("x", {}, {}, {"decide": decide, **others})


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

    decision = barrier.decide(made(decide, BY_SHARD=True), "decide", paths, tmp_path / "decision")
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
    decision = barrier.decide(made(lambda frame: frame.select(pl.col("n").sum())), "decide", paths, tmp_path / "d")
    assert [decision.of(i)["n"].to_list() for i in range(4)] == [[6]] * 4
    again = barrier.decide(made(lambda frame: 1 / 0), "decide", paths, tmp_path / "d")
    assert again.of(0).equals(decision.of(0)), "what is decided is not decided again"


def test_a_step_that_breaks_the_contract_is_named(tmp_path: Path) -> None:
    paths = written(tmp_path, [pl.DataFrame({"n": [1]})])
    with pytest.raises(IsoglossError, match="'x' says BY_SHARD, and its decision has no column 'shard'"):
        barrier.decide(made(lambda frame: frame.drop("shard"), BY_SHARD=True), "decide", paths, tmp_path / "d")
    with pytest.raises(IsoglossError, match="'x' must decide with a frame, got int"):
        barrier.decide(made(lambda frame: 3), "decide", paths, tmp_path / "e")


def test_a_step_that_streams_reads_what_it_wants_and_looks_twice(tmp_path: Path) -> None:
    shards = [
        pl.DataFrame({"text": ["a", "b"]}),
        pl.DataFrame({"text": ["c"]}),
        pl.DataFrame({"text": ["b", "a", "b"]}),
    ]
    paths = written(tmp_path, shards)
    told: list[int] = []

    def inspect(batch: pl.DataFrame, decision: pl.DataFrame) -> pl.DataFrame:
        told.append(batch.height)
        return decision

    step = made(
        lambda frames: frames.columns("text").filter(pl.len().over("text") > 1),
        BY_SHARD=True,
        STREAMS=True,
        summarise=lambda batch: batch.select("text"),
        inspect=inspect,
        settle=lambda inspected, summaries: inspected.columns("text").select(
            "shard", "text", n=pl.lit(sum(frame.height for frame in summaries))
        ),
    )
    decision = barrier.decided(step, paths, tmp_path / "work", Local(1), Say())
    assert [decision.of(i).rows() for i in range(3)] == [[("a", 6), ("b", 6)], [], [("b", 6), ("a", 6), ("b", 6)]]
    assert told == [2, 0, 3], "a shard of which nothing is asked is not read"
    whole = barrier.alone(step, pl.concat(shards))
    assert sorted(whole["text"]) == ["a", "a", "b", "b", "b"]


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
