"""The walk of shards through steps: what each step does to a shard, what it drops, and what it must know first.

Between two barriers a shard goes through all steps without waiting for the others. Every shard that is written stays
written, so a killed run goes on from there; memory is that of one shard for each core.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from isogloss.core import files
from isogloss.core.engine import Engine
from isogloss.core.errors import IsoglossError
from isogloss.core.say import Say
from isogloss.stages import barrier
from isogloss.stages.barrier import Decision, Told
from isogloss.stages.examples import excerpt
from isogloss.stages.ops import Op
from isogloss.stages.preparing.tables import DROPPED, LEDGER, SAMPLES, beside, kind

# Samples kept of one step, language and kind of reason, and the characters of each text.
EACH, LONG = 3, 300
# Texts as they were before steps that changed them, for a step that asks (`EARLIER`): each with `cut`, whether what
# followed also took pieces out of it.
EARLIER = "_earlier"
VERSIONS = pl.List(pl.Struct({"text": pl.String, "cut": pl.Boolean}))
# What stands in samples of a step behind which another one hides personal data.
NOT_SHOWN = "not shown: a later step hides personal data"


@dataclass(frozen=True)
class Walked:
    """What came of a walk: files of shards, of rows set aside, of counts and of samples; tables of what was learned."""

    shards: list[Path]
    dropped: list[Path]
    ledgers: list[Path]
    samples: list[Path]
    learned: dict[str, pl.DataFrame]


@dataclass(frozen=True)
class _Job:
    ops: tuple[Op, ...]
    shard: Path
    out: Path
    number: int = 0
    decision: Decision | None = None
    # How many of the ops have a private one behind them.
    n_unshown: int = 0
    # How many of the ops have one at or behind them that reads texts as they were.
    n_remembered: int = 0


def walk(ops: Sequence[Op], shards: Sequence[Path], work: Path, engine: Engine, say: Say) -> Walked:
    """Take the shards through the steps."""
    found = Walked([*shards], [], [], [], {})
    unshown = max((i for i, op in enumerate(ops) if op.private), default=0)
    remembered = max((i + 1 for i, op in enumerate(ops) if op.reads_earlier), default=0)
    for i, segment in enumerate(segments(ops) if shards else [], start=1):
        first, folder = segment[0], work / f"{i:02}-{segment[0].name}"
        decision = barrier.decided(first, found.shards, folder, engine, say) if first.barrier else None
        if decision is not None and first.loaded.has("learned"):
            learned = first.call("learned", pl.concat(list(decision.whole())))
            if learned.height or not first.renames:
                found.learned[first.name] = learned
        jobs = [
            _Job(tuple(segment), shard, folder / shard.stem, number, decision, unshown, remembered)
            for number, shard in enumerate(found.shards)
        ]
        what = ", ".join(op.name for op in segment)
        unshown, remembered = max(0, unshown - len(segment)), max(0, remembered - len(segment))
        done = say.track(engine.map(_apply, jobs), what, len(jobs), "shards", lambda made: made.weight)
        found = Walked(
            [made.path for made in done],
            [*found.dropped, *(beside(job.out, "dropped") for job in jobs)],
            [*found.ledgers, *(beside(job.out, "ledger") for job in jobs)],
            [*found.samples, *(beside(job.out, "samples") for job in jobs)],
            found.learned,
        )
    return found


def segments(ops: Sequence[Op]) -> list[list[Op]]:
    """Cut before every barrier."""
    found: list[list[Op]] = []
    for op in ops:
        if op.barrier or not found:
            found.append([op])
        else:
            found[-1].append(op)
    return found


# -- a shard ----------------------------------------------------------------------------------------------------


def _apply(job: _Job) -> Told:
    """One shard through the steps of a segment; what was dropped and counted is written before the shard."""
    path = job.out.with_suffix(".parquet")
    if path.is_file():
        return Told(path)
    batch = files.read_parquet(job.shard)
    n_rows, n_bytes = batch.height, int(batch["text"].str.len_bytes().sum())
    dropped, ledger = [pl.DataFrame(schema=DROPPED)], [pl.DataFrame(schema=LEDGER)]
    samples = [pl.DataFrame(schema=SAMPLES)]
    for i, op in enumerate(job.ops):
        if i >= job.n_remembered:
            batch = batch.drop(EARLIER, strict=False)
        elif EARLIER not in batch.columns:
            batch = batch.with_columns(pl.lit(None, VERSIONS).alias(EARLIER))
        before = batch
        more = [job.decision.of(job.number)] if op.barrier and job.decision else []
        after = op.call("apply", before, *more)
        _same_rows(op, before, after)
        reason = after["drop"] if "drop" in after.columns else pl.Series("drop", [None] * after.height, dtype=pl.String)
        after = after.drop("drop", strict=False)
        marked = after.with_columns(
            reason.cast(pl.String).alias("drop"),
            before["text"].alias("_before"),
            before["text"].ne_missing(after["text"]).alias("changed"),
            pl.coalesce("lang", pl.lit("und")).alias("_lang"),
            pl.coalesce("source", pl.lit("")).alias("_source"),
        )
        gone = marked.filter(pl.col("drop").is_not_null())
        dropped.append(_dropped(op.name, gone, before.columns))
        ledger.append(_counted(op.name, marked))
        samples.append(_sampled(op, marked, shown=i >= job.n_unshown))
        if EARLIER in after.columns and op.rewrites:
            after = after.with_columns(_remembered(before, after, op.cuts))
        batch = after.filter(reason.is_null())
    if job.n_remembered <= len(job.ops):
        batch = batch.drop(EARLIER, strict=False)
    files.write_parquet(beside(job.out, "dropped"), pl.concat(dropped))
    files.write_parquet(beside(job.out, "ledger"), pl.concat(ledger))
    files.write_parquet(beside(job.out, "samples"), pl.concat(samples))
    files.write_parquet(path, batch)
    return Told(path, n_rows, n_bytes)


def _remembered(before: pl.DataFrame, after: pl.DataFrame, cuts: bool) -> pl.Series:
    """The texts of each row before the steps that changed it."""
    held: list[list[dict[str, Any]] | None] = []
    for earlier, old, new in zip(before[EARLIER].to_list(), before["text"], after["text"], strict=True):
        if old is not None and old != new:
            earlier = [*(earlier or ()), {"text": old, "cut": False}]
            earlier = [{**version, "cut": version["cut"] or cuts} for version in earlier]
        held.append(earlier)
    return pl.Series(EARLIER, held, dtype=VERSIONS)


def _same_rows(op: Op, before: pl.DataFrame, after: Any) -> None:
    if not isinstance(after, pl.DataFrame) or not {*before.columns} <= {*after.columns}:
        raise IsoglossError(f"the step '{op.name}' must return the batch it was given, with all its columns")
    if before.height != after.height or not (op.renames or before["id"].equals(after["id"])):
        raise IsoglossError(
            f"the step '{op.name}' changed the rows of its batch; to remove a row, name the reason in the column 'drop'"
        )


def _dropped(step: str, gone: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """The rows that go, with the text as it came to the step."""
    rest = [c for c in columns if c not in (*DROPPED, EARLIER)]
    return gone.select(
        pl.lit(step).alias("step"),
        pl.col("drop").alias("reason"),
        *[pl.col(c) for c in ("id", "lang", "source", "origin")],
        pl.col("_before").alias("text"),
        pl.struct(rest).struct.json_encode().alias("row"),
    ).select(list(DROPPED))


def _counted(step: str, marked: pl.DataFrame) -> pl.DataFrame:
    return (
        marked.group_by(pl.col("_lang").alias("lang"), pl.col("_source").alias("source"), maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("n_in"),
            (pl.col("changed") & pl.col("drop").is_null()).sum().cast(pl.Int64).alias("n_changed"),
            pl.col("drop").is_not_null().sum().cast(pl.Int64).alias("n_dropped"),
            pl.col("drop").is_null().sum().cast(pl.Int64).alias("n_out"),
        )
        .select(pl.lit(step).alias("step"), pl.all())
    )


# -- samples ----------------------------------------------------------------------------------------------------


def _sampled(op: Op, marked: pl.DataFrame, shown: bool) -> pl.DataFrame:
    """A few rows that the step changed or dropped, chosen by their ids, so that shards change nothing."""
    touched = marked.filter(pl.col("changed") | pl.col("drop").is_not_null())
    if touched.is_empty():
        return pl.DataFrame(schema=SAMPLES)
    chosen = choose(
        touched.with_columns(
            pl.when(pl.col("drop").is_null()).then(pl.lit("changed")).otherwise(pl.lit("dropped")).alias("what"),
            kind(pl.col("drop").fill_null("")).alias("_kind"),
        ),
        ["what", "_lang", "_kind"],
    )
    rows = []
    for what, lang, source, name, reason, old, new in chosen.select(
        "what", "_lang", "_source", "id", "drop", "_before", "text"
    ).iter_rows():
        before, after = excerpt(old or "", new or "", LONG) if what == "changed" else ((old or "")[:LONG], "")
        if op.private:
            before = ""
        if not shown:
            before, after = NOT_SHOWN, NOT_SHOWN if what == "changed" else ""
        rows.append((op.name, what, lang, source, name, reason or "", before, after))
    return pl.DataFrame(rows, schema=SAMPLES, orient="row")


def choose(rows: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """The `EACH` rows of every kind whose ids have the smallest hashes."""
    return (
        rows.with_columns(pl.col("id").hash(0).alias("_hash"))
        .sort("_hash")
        .group_by(by, maintain_order=True)
        .head(EACH)
        .drop("_hash")
    )


def gather(samples: Sequence[Path]) -> pl.DataFrame:
    """The samples of all shards, as many as of one."""
    kept = pl.DataFrame(schema=SAMPLES)
    for some in _batched(samples, 64):
        kept = pl.concat([kept, *(files.read_parquet(path) for path in some)])
        marked = kept.with_columns(kind(pl.col("reason")).alias("_kind"))
        kept = choose(marked, ["step", "what", "lang", "_kind"]).select(list(SAMPLES))
    return kept


def _batched(paths: Sequence[Path], n: int) -> Iterator[Sequence[Path]]:
    for start in range(0, len(paths), n):
        yield paths[start : start + n]
