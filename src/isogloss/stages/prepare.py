"""prepare: raw files → a corpus by language, with a reason on disk for every row that is not in it.

    raw files ── read ──► shards ── unique, steps, split, steps after the split ──► corpus/ + dropped/ + ledger + card

Shards go through the steps one by one, on any engine. A step that must see everything first is a barrier: its
summaries come in shard order, are decided once, and the shards go on. Every shard that a step has written stays
written, so a killed run goes on from there.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from isogloss.core import files, gate, parts
from isogloss.core.corpus import SPLITS, Corpus, Fields, Noted, Rejected, read
from isogloss.core.engine import Engine
from isogloss.core.errors import DamagedError, DataError, IsoglossError, Refused
from isogloss.core.readers import RawFile, expand
from isogloss.core.recipe import Recipe
from isogloss.core.report import wilson
from isogloss.core.run import Run
from isogloss.core.say import Say

DROPPED = dict.fromkeys(("step", "reason", "id", "lang", "source", "origin", "text", "row"), pl.String)
COUNTS = ("n_in", "n_changed", "n_dropped", "n_out")
LEDGER = {**dict.fromkeys(("step", "lang", "source"), pl.String), **dict.fromkeys(COUNTS, pl.Int64)}
# Rows set aside while reading that are held in memory.
HELD = 10_000
# A language that loses more than this share in one step is named on the screen, gate or no gate.
LOOK = 0.5


@dataclass(frozen=True)
class Op:
    """One step with its knobs, as workers get it."""

    part: str
    knobs: dict[str, Any]
    filled: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.part.removeprefix("isogloss.stages.")

    @property
    def loaded(self) -> parts.Part:
        return parts.load("steps", self.part)

    @property
    def barrier(self) -> bool:
        return self.loaded.has("summarise")

    def call(self, function: str, *args: Any) -> Any:
        return self.loaded.call(function, *args, knobs=self.knobs, **self.filled)


def prepare(recipe: Recipe, run: Run, engine: Engine, say: Say, *, again: bool = False) -> Corpus:
    """Read, clean and split the raw data of `recipe` into `run`. `again` begins anew, whatever is there.

    Raises DataError when no row is usable, StaleError when the run holds a corpus made from something else, Refused
    when a gate at prepare does not hold.
    """
    raws = raw_files(recipe)
    against = [path for step in recipe.steps for path in _paths(step.knobs)]
    reads = {
        **recipe.sections("langs", "data", "seed"),
        "task": {name: value for name, value in recipe.sections("task")["task"].items() if name in ("use", "labels")},
        "inputs": {raw.shown: files.digest(raw.path) for raw in raws},
        "against": {f"{i}:{p.name}": files.digest(p) for i, p in enumerate(against)},
        "steps": {step.name: step.part.constant("VERSION", 1) for step in recipe.steps},
    }
    changed = run.differences("prepare", reads) if not again else None
    if changed == []:
        say.line("prepare   fresh, nothing to do")
    elif changed:
        raise run.stale("prepare", changed)
    else:
        start = time.monotonic()
        for stage in ("prepare", "train", "evaluate"):
            run.unstamp(stage)
        if again:
            files.remove(run.path("work"))
        try:
            _prepare(recipe, run, engine, say, raws, reads)
        except DamagedError:
            files.remove(run.path("work"))  # or the next command would find the same damage
            raise
        run.spend("prepare", time.monotonic() - start)
    files.remove(run.path("work"))
    _judge(recipe, run, say)
    return Corpus(run.path("corpus"))


def raw_files(recipe: Recipe) -> list[RawFile]:
    """Every raw file the recipe means, in order. Raises DataError for what is not there."""
    found: list[RawFile] = []
    for source in recipe.data.raw:
        path = bundled(source.path) or recipe.locate(source.path)
        stated = {name: getattr(source, name) for name in ("lang", "split", "label", "source", "license")}
        given = {name: value for name, value in stated.items() if value is not None}
        found += expand(
            path, source.path, format=source.format, encoding=source.encoding, rows=source.rows, given=given
        )
    (path, n), *_ = Counter(raw.path.resolve() for raw in found).most_common(1)
    if n > 1:
        raise DataError(
            f"data.raw names {path.name} {n} times: {', '.join(r.shown for r in found if r.path.resolve() == path)}"
        )
    return found


def bundled(path: str) -> Path | None:
    """The folder of a bundled sample such as `isogloss/clinic`, or None."""
    from importlib import resources

    prefix, _, name = path.partition("/")
    folder = Path(str(resources.files("isogloss"))) / "assets" / name
    return folder if prefix == "isogloss" and name and folder.is_dir() else None


def fields(recipe: Recipe) -> Fields:
    """How the recipe's raw columns become corpus columns."""
    task = recipe.the_task
    return Fields(
        columns={str(ours): theirs for ours, theirs in recipe.data.columns.items()},
        task_fields=tuple(task.part.constant("FIELDS")),
        keep=tuple(recipe.data.keep),
        langs=None if recipe.langs == "all" else tuple(recipe.langs),
        labels=tuple(task.knobs.get("labels") or ()) or None,
        detect=any(step.part.constant("FILLS_LANG", False) for step in recipe.steps),
    )


def ops(recipe: Recipe) -> list[Op]:
    """What shards go through, in order."""
    filled = {"langs": () if recipe.langs == "all" else tuple(recipe.langs), "seed": recipe.seed}
    steps = [(Op(step.name, step.knobs, filled), step.part.constant("AFTER_SPLIT", False)) for step in recipe.steps]
    split = Op("isogloss.stages.split", {"dev": recipe.data.split.dev, "test": recipe.data.split.test}, filled)
    before = [op for op, late in steps if not late]
    after = [op for op, late in steps if late]
    return [Op("isogloss.stages.unique", {}, filled), *before, split, *after]


def _paths(knobs: dict[str, Any]) -> Iterator[Path]:
    for value in knobs.values():
        for item in value if isinstance(value, list | tuple) else [value]:
            if isinstance(item, Path):
                if not item.is_file():
                    raise DataError(f"a step names the file {item}, which is not there")
                yield item


def _prepare(
    recipe: Recipe, run: Run, engine: Engine, say: Say, raws: Sequence[RawFile], reads: dict[str, Any]
) -> None:
    # What an earlier sitting wrote counts only when it read the same; a worker that outlives it writes elsewhere.
    work = run.path("work", files.digest_of(reads))
    for other in run.path("work").glob("*"):
        if other != work:
            files.remove(other)
    n_bytes = recipe.data.shard_bytes
    batches = _batches(raws, n_bytes)
    jobs = [_ReadJob(batch, fields(recipe), work / "00-read" / f"{i:05}", n_bytes) for i, batch in enumerate(batches)]
    read_in = list(say.track(engine.map(_read, jobs), "reading", len(jobs), "batches of files"))
    shards = [shard for found in read_in for shard in found.shards]
    dropped = [path for found in read_in for path in found.dropped]
    ledgers = [_beside(job.out, "ledger") for job in jobs]
    for i, segment in enumerate(_segments(ops(recipe)) if shards else [], start=1):
        folder = work / f"{i:02}-{segment[0].name}"
        decision = _decide(segment[0], shards, folder, engine, say) if segment[0].barrier else None
        todo = [_ApplyJob(tuple(segment), shard, decision, folder / shard.stem) for shard in shards]
        what = ", ".join(op.name for op in segment)
        shards = list(say.track(engine.map(_apply, todo), what, len(todo), "shards"))
        dropped += [_beside(job.out, "dropped") for job in todo]
        ledgers += [_beside(job.out, "ledger") for job in todo]
    notes = {code: note for found in read_in for code, note in found.notes.items()}
    _assemble(recipe, run, say, shards, dropped, ledgers, notes, reads)


def _segments(all_ops: Sequence[Op]) -> list[list[Op]]:
    """Cut before every barrier: within a segment a shard goes through without waiting for the others."""
    found: list[list[Op]] = []
    for op in all_ops:
        if op.barrier or not found:
            found.append([op])
        else:
            found[-1].append(op)
    return found


def _batches(raws: Sequence[RawFile], n_bytes: int) -> list[tuple[RawFile, ...]]:
    """Small files together, so that ten thousand of them do not make ten thousand shards."""
    found: list[list[RawFile]] = []
    size = n_bytes
    for raw in raws:
        if size >= n_bytes:
            found.append([])
            size = 0
        found[-1].append(raw)
        size += raw.path.stat().st_size
    return [tuple(batch) for batch in found]


# -- reading ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _ReadJob:
    raws: tuple[RawFile, ...]
    fields: Fields
    out: Path
    shard_bytes: int


@dataclass(frozen=True)
class _Read:
    """What reading one batch of files gave."""

    shards: list[Path]
    dropped: list[Path]
    notes: dict[str, str]


def _read(job: _ReadJob) -> _Read:
    """Raw files → shards, cut by bytes of text. The done-file comes last, so what it names is whole."""
    done = job.out.with_suffix(".json")
    if not done.is_file():
        files.write_json(done, _read_new(job))
    value = files.read_json(done)
    shards, dropped = ([job.out.parent / name for name in value[kind]] for kind in ("shards", "dropped"))
    return _Read(shards, dropped, value["notes"])


def _read_new(job: _ReadJob) -> dict[str, Any]:
    good: list[dict[str, str | None]] = []
    bad: list[dict[str, str | None]] = []
    ledger: dict[tuple[str, str], list[int]] = {}
    made: dict[str, Any] = {"shards": [], "dropped": [], "notes": {}}
    size = 0

    def flush(kind: str, rows: list[dict[str, str | None]], schema: dict[str, Any]) -> None:
        if rows:
            infix = "" if kind == "shards" else "-dropped"
            name = f"{job.out.name}{infix}-{len(made[kind]):05}.parquet"
            files.write_parquet(job.out.with_name(name), pl.DataFrame(rows, schema=schema))
            made[kind].append(name)
            rows.clear()

    for raw in job.raws:
        for row in read(raw, job.fields):
            if isinstance(row, Noted):
                made["notes"][row.code] = row.note
            elif isinstance(row, Rejected):
                bad.append(
                    {"step": "read", "reason": row.reason, "lang": row.lang, "origin": row.origin, "row": row.raw}
                )
                ledger.setdefault((row.lang or "und", raw.shown), [0, 0])[1] += 1
                if len(bad) >= HELD:
                    flush("dropped", bad, DROPPED)
            else:
                good.append(row)
                ledger.setdefault((row["lang"] or "und", row["source"] or ""), [0, 0])[0] += 1
                size += len((row["text"] or "").encode())
                if size >= job.shard_bytes:
                    flush("shards", good, job.fields.schema)
                    size = 0
    flush("shards", good, job.fields.schema)
    flush("dropped", bad, DROPPED)
    table = [("read", lang, source, n + out, 0, out, n) for (lang, source), (n, out) in ledger.items()]
    files.write_parquet(_beside(job.out, "ledger"), pl.DataFrame(table, schema=LEDGER, orient="row"))
    return made


def _beside(out: Path, what: str) -> Path:
    return out.parent / f"{out.name}.{what}"


# -- steps ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _ApplyJob:
    ops: tuple[Op, ...]
    shard: Path
    decision: Path | None
    out: Path


def _decide(op: Op, shards: Sequence[Path], folder: Path, engine: Engine, say: Say) -> Path:
    """Summarise every shard, then decide, once per bucket where the step has buckets."""
    out = folder / "decision.parquet"
    if out.is_file():
        return out
    jobs = [_ApplyJob((op,), shard, None, folder / f"{shard.stem}.summary") for shard in shards]
    summaries = list(say.track(engine.map(_summarise, jobs), f"{op.name}: summaries", len(jobs), "shards"))
    whole = pl.concat([files.read_parquet(p) for p in summaries])
    if "bucket" in whole.columns:
        pieces = [op.call("decide", piece) for piece in whole.partition_by("bucket", maintain_order=True)]
        decision = pl.concat(pieces) if pieces else op.call("decide", whole)
    else:
        decision = op.call("decide", whole)
    files.write_parquet(out, decision)
    return out


def _summarise(job: _ApplyJob) -> Path:
    if not job.out.is_file():
        files.write_parquet(job.out, job.ops[0].call("summarise", files.read_parquet(job.shard)))
    return job.out


def _apply(job: _ApplyJob) -> Path:
    """One shard through the steps of a segment; dropped rows and the ledger are written before the shard."""
    path = job.out.with_suffix(".parquet")
    if path.is_file():
        return path
    batch = files.read_parquet(job.shard)
    dropped: list[pl.DataFrame] = []
    ledger: list[pl.DataFrame] = []
    for op in job.ops:
        before = batch
        more = [files.read_parquet(job.decision)] if op.barrier and job.decision else []
        after = op.call("apply", batch, *more)
        _same_rows(op, before, after)
        reason = after["drop"] if "drop" in after.columns else pl.Series("drop", [None] * after.height, dtype=pl.String)
        after = after.drop("drop", strict=False)
        marked = after.with_columns(
            reason.cast(pl.String).alias("drop"),
            before["text"].ne_missing(after["text"]).alias("changed"),
            pl.coalesce("lang", pl.lit("und")).alias("_lang"),
            pl.coalesce("source", pl.lit("")).alias("_source"),
        )
        gone = marked.filter(pl.col("drop").is_not_null())
        dropped.append(_dropped(op.name, gone, before.columns))
        ledger.append(
            marked.group_by(pl.col("_lang").alias("lang"), pl.col("_source").alias("source"), maintain_order=True)
            .agg(
                pl.len().cast(pl.Int64).alias("n_in"),
                (pl.col("changed") & pl.col("drop").is_null()).sum().cast(pl.Int64).alias("n_changed"),
                pl.col("drop").is_not_null().sum().cast(pl.Int64).alias("n_dropped"),
                pl.col("drop").is_null().sum().cast(pl.Int64).alias("n_out"),
            )
            .select(pl.lit(op.name).alias("step"), pl.all())
        )
        batch = after.filter(reason.is_null())
    files.write_parquet(_beside(job.out, "dropped"), pl.concat([pl.DataFrame(schema=DROPPED), *dropped]))
    files.write_parquet(_beside(job.out, "ledger"), pl.concat([pl.DataFrame(schema=LEDGER), *ledger]))
    files.write_parquet(path, batch)
    return path


def _same_rows(op: Op, before: pl.DataFrame, after: Any) -> None:
    if not isinstance(after, pl.DataFrame) or not {*before.columns} <= {*after.columns}:
        raise IsoglossError(f"the step '{op.name}' must return the batch it was given, with all its columns")
    if not before["id"].equals(after["id"]):
        raise IsoglossError(
            f"the step '{op.name}' changed the rows of its batch; to remove a row, name the reason in the column 'drop'"
        )


def _dropped(step: str, gone: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    rest = [c for c in columns if c not in DROPPED]
    return gone.select(
        pl.lit(step).alias("step"),
        pl.col("drop").alias("reason"),
        *[pl.col(c) for c in ("id", "lang", "source", "origin", "text")],
        pl.struct(rest).struct.json_encode().alias("row"),
    ).select(list(DROPPED))


# -- the corpus -------------------------------------------------------------------------------------------------


def _assemble(
    recipe: Recipe,
    run: Run,
    say: Say,
    shards: Sequence[Path],
    set_aside: Sequence[Path],
    ledgers: Sequence[Path],
    notes: dict[str, str],
    reads: dict[str, Any],
) -> None:
    """Put the last shards, the rows set aside and the ledger in their places, and stamp."""
    ledger = pl.concat([files.read_parquet(path) for path in ledgers])
    ledger = ledger.group_by("step", "lang", "source", maintain_order=True).agg(pl.col(COUNTS).sum())
    for name in ("corpus", "dropped"):
        files.remove(run.path(name))
    outputs: list[Path] = []

    def put(folder: str, paths: Sequence[Path]) -> Iterator[pl.DataFrame]:
        filled = (frame for path in paths if (frame := files.read_parquet(path)).height)
        for i, frame in enumerate(filled):
            outputs.append(run.path(folder, f"{i:05}.parquet"))
            files.write_parquet(outputs[-1], frame)
            yield frame

    label = pl.col("label") if "label" in fields(recipe).schema else pl.lit("").alias("label")
    counts = [frame.group_by("lang", "split", label).len("n") for frame in put("corpus", shards)]
    reasons = [pl.DataFrame(schema={**dict.fromkeys(("step", "lang", "reason"), pl.String), "n": pl.UInt32})]
    by_reason = ("step", "lang", kind(pl.col("reason")))
    reasons += [frame.group_by(by_reason).len("n") for frame in put("dropped", set_aside)]
    why = pl.concat(reasons).group_by("step", "lang", "reason").agg(pl.col("n").sum()).sort("step", "lang", "reason")
    if not counts:
        shown = _commonest(why)[:3]
        said = "; ".join(f"{reason} ({n:,} {_rows(n)})" for _, reason, n in shown) or "it is empty"
        raise DataError(
            f"no usable row in the raw data: {said}" + (f"; each lies in {run.path('dropped')}" if shown else "")
        )
    table = pl.concat(counts).group_by("lang", "split", "label").agg(pl.col("n").sum()).sort("lang", "split", "label")
    for name, frame in (("ledger", ledger), ("reasons", why), ("counts", table)):
        outputs.append(run.path(f"{name}.parquet"))
        files.write_parquet(outputs[-1], frame)
    langs = table["lang"].unique().sort().to_list() if recipe.langs == "all" else list(recipe.langs)
    n_rows, n_dropped = int(table["n"].sum()), int(ledger["n_dropped"].sum())
    run.stamp("prepare", reads, outputs, langs=langs, n_rows=n_rows, n_dropped=n_dropped, notes=sorted(notes.values()))
    _tell(say, table, ledger, why, langs, notes)


def kind(reason: pl.Expr) -> pl.Expr:
    """The part of a reason that many rows share: what stands before the first colon, bracket or quoted value."""
    return reason.str.replace(r"(?s)\s*[:('].*$", "").str.replace(r" of \S+$", "").alias("reason")


def _commonest(why: pl.DataFrame) -> list[tuple[str, str, int]]:
    """(step, reason, rows), commonest first."""
    total = why.group_by("step", "reason").agg(pl.col("n").sum())
    return total.sort("n", "step", "reason", descending=[True, False, False]).rows()


def _tell(
    say: Say, table: pl.DataFrame, ledger: pl.DataFrame, why: pl.DataFrame, langs: Sequence[str], notes: dict[str, str]
) -> None:
    n = {split: int(table.filter(pl.col("split") == split)["n"].sum()) for split in SPLITS}
    shares = ", ".join(f"{n[split]:,} {split}" for split in SPLITS)
    say.line(f"prepare   {sum(n.values()):,} rows in {table['lang'].n_unique()} languages: {shares}")
    for _, note in sorted(notes.items()):
        say.note(note)
    reasons = _commonest(why)
    for step, reason, total in reasons[:8]:
        say.note(f"{total:,} {_rows(total)} set aside in {step}: {reason} (dropped/ has each with its reason)")
    if len(reasons) > 8:
        rest = sum(total for *_, total in reasons[8:])
        say.note(f"{rest:,} {_rows(rest)} set aside for {len(reasons) - 8} other reasons; all are in reasons.parquet")
    absent = [tag for tag in langs if tag not in set(table["lang"])]
    if absent:
        say.note(f"no rows at all for {', '.join(absent)}")
    for row in losses(ledger).iter_rows(named=True):
        if row["lost"] > LOOK and row["lang"] in langs:
            say.note(f"{row['lang']} lost {row['lost']:.0%} of its {row['n_in']:,} rows in {row['step']}: look")


def _rows(n: int) -> str:
    return "row" if n == 1 else "rows"


def losses(ledger: pl.DataFrame) -> pl.DataFrame:
    """Share of rows lost by `step` and `lang`, worst first."""
    summed = ledger.group_by("step", "lang").agg(pl.col("n_in", "n_dropped").sum())
    return (
        summed.with_columns((pl.col("n_dropped") / pl.col("n_in")).alias("lost"))
        .filter(pl.col("lang") != "und")
        .sort("lost", "lang", descending=[True, False])
    )


def ledger_scores(ledger: pl.DataFrame) -> pl.DataFrame:
    """Loss over all steps by language, in the form of scores, for gates at prepare."""
    read_in = ledger.filter(pl.col("step") == "read").group_by("lang").agg(pl.col("n_in").sum())
    gone = ledger.group_by("lang").agg(pl.col("n_dropped").sum())
    rows = []
    for lang, n_in, n_dropped in read_in.join(gone, on="lang").sort("lang").rows():
        low, high = wilson(n_dropped, n_in)
        rows.append(("corpus", "lost", "lang", lang, n_dropped / n_in, float(low), float(high), n_in, "lost|v1|wilson"))
    columns = ["system", "metric", "by", "key", "value", "low", "high", "n", "signature"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def _judge(recipe: Recipe, run: Run, say: Say) -> None:
    """Ask the gates at prepare."""
    asked = [g for g in recipe.gate if g.at == "prepare"]
    if not asked:
        return
    stamp = run.require("prepare")
    scores = ledger_scores(files.read_parquet(run.path("ledger.parquet")))
    verdicts = [
        gate.judge(gate.Gate.of(g.model_dump()), scores, stamp["facts"]["langs"], system="corpus") for g in asked
    ]
    reasons = [reason.text for verdict in verdicts for reason in verdict.reasons if reason.outcome != "holds"]
    if not all(verdict.ok for verdict in verdicts):
        raise Refused("the gate at prepare refuses: " + "; ".join(reasons))
    say.line("gate      at prepare: holds")
