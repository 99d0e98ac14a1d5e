"""The barrier of a step that must see everything first: summaries of shards in, a decision out, in bounded memory.

    summaries ── by bucket, some buckets at a time ──► decide ──► one decision for all shards, or a piece for each
                                                         │
              a second look at what it names ── inspect ─┴─► settle ──► the decision

Summaries come in shard order. Where they have a column `bucket`, `decide` runs once for each bucket, and only as many
rows as `HELD` (or one bucket, if that is larger) are in memory. A step with `BY_SHARD = True` gets its summaries with a
column `shard` and gives a decision with that column: then each shard reads its own rows only, and the cost stays
linear in the number of shards. A step with `STREAMS = True` gets them as `Frames`, and reads the columns it wants when it
wants them. A step that has `inspect` looks twice: each shard is asked again about what `decide` names of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from isogloss.core import files
from isogloss.core.engine import Engine, give_back
from isogloss.core.errors import IsoglossError
from isogloss.core.frames import Frames
from isogloss.core.say import Say
from isogloss.stages.ops import Op

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


@dataclass(frozen=True)
class Asked:
    """What one shard is asked, for a worker: `function` of the step, about the rows that `decision` names of it."""

    op: Op
    function: str
    shard: Path
    out: Path
    number: int = 0
    decision: Decision | None = None


@dataclass(frozen=True)
class Told:
    """A frame that was written, and how many rows and bytes of text were looked at."""

    path: Path
    n_rows: int = 0
    n_bytes: int = 0

    @property
    def weight(self) -> tuple[int, int]:
        return self.n_rows, self.n_bytes


def ask(job: Asked) -> Told:
    """Ask one shard; what is written already stays."""
    if job.out.is_file():
        return Told(job.out)
    more = [job.decision.of(job.number)] if job.decision else []
    # A shard of which nothing is asked need not be read.
    batch = files.read_parquet(job.shard) if not more or more[0].height else _nothing(job.shard)
    files.write_parquet(job.out, job.op.call(job.function, batch, *more))
    give_back()
    return Told(job.out, batch.height, int(batch["text"].str.len_bytes().sum()))


def _nothing(path: Path) -> pl.DataFrame:
    return files.read_own(path, lambda p: pl.read_parquet(p, n_rows=0))


def decided(op: Op, shards: Sequence[Path], folder: Path, engine: Engine, say: Say) -> Decision:
    """Ask every shard, decide, and, where the step looks twice, ask again and settle; what is done stays done."""
    last = Decision(folder / ("settled" if op.looks_twice else "decision"))
    if last.done:
        return last
    told = _asked(op, "summarise", "summaries", shards, folder, engine, say)
    first = Decision(folder / "decision")
    decide(op, "decide", told, first.folder)
    if op.looks_twice:
        again = _asked(op, "inspect", "second look", shards, folder, engine, say, first)
        decide(op, "settle", again, last.folder, Frames(told))
    return last


def alone(op: Op, batch: pl.DataFrame) -> pl.DataFrame:
    """What a step that must see everything decides of one frame, given back as `apply` takes it."""

    def call(function: str, frame: pl.DataFrame, *more: Any) -> pl.DataFrame:
        if op.streams:
            found = op.call(function, Frames([frame]), *more)
        else:
            frame = frame.with_columns(pl.lit(0, SHARD).alias("shard")) if op.by_shard else frame
            found = pl.concat([op.call(function, piece, *more) for piece in _buckets(frame)])
        return found.drop("shard") if op.by_shard else found

    summaries = op.call("summarise", batch)
    decision = call("decide", summaries)
    return call("settle", op.call("inspect", batch, decision), Frames([summaries])) if op.looks_twice else decision


def _asked(
    op: Op,
    function: str,
    what: str,
    shards: Sequence[Path],
    folder: Path,
    engine: Engine,
    say: Say,
    decision: Decision | None = None,
) -> list[Path]:
    jobs = [
        Asked(op, function, shard, folder / f"{shard.stem}.{function}", number, decision)
        for number, shard in enumerate(shards)
    ]
    done = say.track(engine.map(ask, jobs), f"{op.name}: {what}", len(jobs), "shards", lambda told: told.weight)
    return [told.path for told in done]


def decide(op: Op, function: str, summaries: Sequence[Path], folder: Path, *more: Any) -> Decision:
    """Decide bucket by bucket with `function` of the step, and write the decision; what is whole is taken as it is."""
    decision = Decision(folder)
    if decision.done:
        return decision
    files.remove(folder)
    folder.mkdir(parents=True)

    def call(frame: Any) -> Any:
        return op.call(function, frame, *more)

    frames: Iterator[pl.DataFrame]
    if op.streams:
        frames = iter([_decided(call, Frames(summaries), op.name)])
    else:
        held = _held(summaries, folder, op.by_shard)
        frames = (_decided(call, frame, op.name) for some in held for frame in _buckets(some))
    if not op.by_shard:
        files.write_parquet(folder / "all.parquet", pl.concat(list(frames), how="vertical_relaxed"))
    else:
        _write_by_shard(frames, folder, op.name, len(summaries))
    for piece in folder.glob("*.held"):
        files.remove(piece)
    files.write_json(folder / "decision.json", {"by_shard": op.by_shard})
    give_back()
    return decision


def _decided(call: Callable[[Any], Any], frame: Any, name: str) -> pl.DataFrame:
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
