"""The barrier of a step that must see everything first: summaries of shards in, a decision out, in bounded memory.

    summaries ── by bucket, some buckets at a time ──► decide ──► one decision for all shards, or a piece for each

Summaries come in shard order. Where they have a column `bucket`, `decide` runs once for each bucket, and only as many
rows as `HELD` (or one bucket, if that is larger) are in memory. A step with `BY_SHARD = True` gets its summaries with a
column `shard` and gives a decision with that column: then each shard reads its own rows only, and the cost stays
linear in the number of shards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from isogloss.core import files
from isogloss.core.errors import IsoglossError

# Rows of summaries held at once.
HELD = 200_000
SHARD = pl.Int64


@dataclass(frozen=True)
class Decision:
    """What a barrier decided, in `folder`."""

    folder: Path

    @property
    def done(self) -> bool:
        return (self.folder / "decision.json").is_file()

    def of(self, shard: int) -> pl.DataFrame:
        """The rows for one shard, counted from 0."""
        if not files.read_json(self.folder / "decision.json")["by_shard"]:
            return files.read_parquet(self.folder / "all.parquet")
        own = self.folder / f"{shard:06}.parquet"
        return files.read_parquet(own if own.is_file() else self.folder / "none.parquet")

    def whole(self) -> Iterator[pl.DataFrame]:
        """Its rows, some at a time."""
        for path in sorted(self.folder.glob("*.parquet")):
            yield files.read_parquet(path)


def decide(
    call: Callable[[pl.DataFrame], Any], summaries: Sequence[Path], folder: Path, *, name: str, by_shard: bool
) -> Decision:
    """Decide with `call`, bucket by bucket, and write the decision; what is whole already is taken as it is."""
    decision = Decision(folder)
    if decision.done:
        return decision
    files.remove(folder)
    folder.mkdir(parents=True)
    frames = (_decided(call, frame, name) for held in _held(summaries, folder, by_shard) for frame in _buckets(held))
    if not by_shard:
        files.write_parquet(folder / "all.parquet", pl.concat(list(frames), how="vertical_relaxed"))
    else:
        _write_by_shard(frames, folder, name, len(summaries))
    for piece in folder.glob("*.held"):
        files.remove(piece)
    files.write_json(folder / "decision.json", {"by_shard": by_shard})
    return decision


def _decided(call: Callable[[pl.DataFrame], Any], frame: pl.DataFrame, name: str) -> pl.DataFrame:
    found = call(frame)
    if not isinstance(found, pl.DataFrame):
        raise IsoglossError(f"the step '{name}' must decide with a frame, got {type(found).__name__}")
    return found


def _buckets(held: pl.DataFrame) -> list[pl.DataFrame]:
    if "bucket" not in held.columns or held.is_empty():
        return [held]
    return held.partition_by("bucket", maintain_order=True)


def _held(summaries: Sequence[Path], folder: Path, by_shard: bool) -> Iterator[pl.DataFrame]:
    """The summaries, at once where they fit, else some buckets at a time."""

    def read(shard: int) -> pl.DataFrame:
        frame = files.read_parquet(summaries[shard])
        return frame.with_columns(pl.lit(shard, SHARD).alias("shard")) if by_shard else frame

    lazy = pl.scan_parquet(list(summaries))
    if "bucket" not in lazy.collect_schema() or lazy.select(pl.len()).collect().item() <= HELD:
        yield pl.concat([read(shard) for shard in range(len(summaries))])
        return
    counts = lazy.group_by("bucket").len("n").sort("bucket").collect()
    lot, size, lots = 0, 0, []
    for n in counts["n"]:
        if size and size + n > HELD:
            lot, size = lot + 1, 0
        size += n
        lots.append(lot)
    lot_of = counts.select("bucket", pl.Series("_lot", lots, dtype=pl.Int64))
    for shard in range(len(summaries)):
        joined = read(shard).join(lot_of, on="bucket", how="left", maintain_order="left")
        for (number,), piece in joined.group_by("_lot", maintain_order=True):
            piece.drop("_lot").write_parquet(folder / f"{number:06}-{shard:06}.held", compression="zstd")
    for number in range(lot + 1):
        yield pl.concat([files.read_parquet(path) for path in sorted(folder.glob(f"{number:06}-*.held"))])


def _write_by_shard(frames: Iterator[pl.DataFrame], folder: Path, name: str, n_shards: int) -> None:
    """A file for each shard; pieces wait on disk when there are many."""
    waiting: list[pl.DataFrame] = []
    n_waiting = n_flushed = 0

    def flush() -> None:
        nonlocal n_waiting, n_flushed
        whole = pl.concat(waiting)
        for (shard,), piece in whole.group_by("shard", maintain_order=True):
            piece.drop("shard").write_parquet(folder / f"{shard:06}-{n_flushed:06}.part", compression="zstd")
        waiting.clear()
        n_waiting, n_flushed = 0, n_flushed + 1

    none: pl.DataFrame | None = None
    for frame in frames:
        if "shard" not in frame.columns:
            raise IsoglossError(f"the step '{name}' says BY_SHARD, and its decision has no column 'shard'")
        none = frame.drop("shard").clear()
        waiting.append(frame)
        n_waiting += frame.height
        if n_waiting > HELD:
            flush()
    if n_waiting:
        flush()
    assert none is not None
    files.write_parquet(folder / "none.parquet", none)
    by_shard: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.part")):
        by_shard.setdefault(path.name.split("-")[0], []).append(path)
    for shard, parts in by_shard.items():
        files.write_parquet(folder / f"{shard}.parquet", pl.concat([files.read_parquet(part) for part in parts]))
        for part in parts:
            part.unlink()
