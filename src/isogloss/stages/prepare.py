"""prepare: raw files → a corpus by language, with a reason on disk for every row that is not in it.

    raw files ── read ──► shards ── unique, originals, steps, split, steps after the split ──► corpus/ + dropped/ +
    ledger + samples + what steps learned + the data card

Shards go through the steps one by one, on any engine. A step that must see everything first is a barrier: its
summaries come in shard order, are decided once, and the shards go on. Every shard that a step has written stays
written, so a killed run goes on from there.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from isogloss.core import balance, files, gate
from isogloss.core.corpus import PROVENANCE, SPLITS, Corpus, Fields
from isogloss.core.engine import Engine
from isogloss.core.errors import DamagedError, DataError, Refused
from isogloss.core.readers import RawFile, expand
from isogloss.core.recipe import Recipe
from isogloss.core.run import Run
from isogloss.core.say import Pace, Say
from isogloss.stages import unique
from isogloss.stages.ops import Op
from isogloss.stages.preparing import card, reading, sample
from isogloss.stages.preparing.tables import COUNTS, beside, kind
from isogloss.stages.preparing.walk import Walked, gather, walk

# A language that loses more than this share in one step is named on the screen, gate or no gate.
LOOK = 0.5


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


def look(recipe: Recipe, n: int, engine: Engine, say: Say) -> sample.Looked:
    """What the steps of `recipe` do to `n` rows of the data; nothing is written into the run."""
    return sample.look(raw_files(recipe), fields(recipe), ops(recipe), n, engine, say)


def raw_files(recipe: Recipe) -> list[RawFile]:
    """Every raw file the recipe means, in order. Raises DataError for what is not there."""
    found: list[RawFile] = []
    for source in recipe.data.raw:
        path = bundled(source.path) or recipe.locate(source.path)
        stated = {name: getattr(source, name) for name in ("lang", "split", "label", "task", *PROVENANCE)}
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
        tasks=tuple(task.knobs.get("tasks") or ()) or None,
        detect=any(step.part.constant("FILLS_LANG", False) for step in recipe.steps),
    )


def ops(recipe: Recipe, translated: bool = True) -> list[Op]:
    """What shards go through, in order. Where no row is `translated`, there are no originals to look for."""
    filled = {"langs": () if recipe.langs == "all" else tuple(recipe.langs), "seed": recipe.seed}
    before: list[Op] = []
    after: list[Op] = []
    originals = [Op("isogloss.stages.originals", {"within": recipe.data.originals}, filled)]
    if recipe.data.originals == "all" or not translated:
        originals = []
    fills = [i for i, step in enumerate(recipe.steps) if step.part.constant("FILLS_LANG", False)]
    for i, step in enumerate(recipe.steps):
        late = step.part.constant("AFTER_SPLIT", False)
        (after if late else before).append(Op(step.name, step.knobs, filled))
        if fills[:1] == [i]:  # only now every row has its language
            before += originals
    split = Op("isogloss.stages.split", {"dev": recipe.data.split.dev, "test": recipe.data.split.test}, filled)
    return [Op("isogloss.stages.unique", {}, filled), *([] if fills else originals), *before, split, *after]


def _paths(knobs: dict[str, Any]) -> Iterator[Path]:
    for value in knobs.values():
        for item in value if isinstance(value, list | tuple) else [value]:
            if isinstance(item, Path):
                if not item.exists():
                    raise DataError(f"a step names the file {item}, which is not there")
                # Of a folder, what lies directly in it: a trained identifier.
                yield from sorted(path for path in item.iterdir() if path.is_file()) if item.is_dir() else [item]


def _prepare(
    recipe: Recipe, run: Run, engine: Engine, say: Say, raws: Sequence[RawFile], reads: dict[str, Any]
) -> None:
    # What an earlier sitting wrote counts only when it read the same; a worker that outlives it writes elsewhere.
    work = run.path("work", files.digest_of(reads))
    for other in run.path("work").glob("*"):
        if other != work:
            files.remove(other)
    pace = Pace()
    jobs = read_jobs(recipe, raws, work)
    with reading.watched(say, jobs):
        read_in = list(engine.map(reading.run, jobs))
    todo = ops(recipe, any(found.translated for found in read_in))
    walked = walk(todo, [shard for found in read_in for shard in found.shards], work, engine, say)
    walked.dropped[:0] = [path for found in read_in for path in found.dropped]
    walked.ledgers[:0] = [beside(job.out, "ledger") for job in jobs]
    notes = {code: note for found in read_in for code, note in found.notes.items()}
    if empty := [name for found in read_in for name in found.empty]:
        shown = ", ".join(empty[:3]) + (f" and {len(empty) - 3} more" if len(empty) > 3 else "")
        notes["empty"] = f"{len(empty):,} {'file has' if len(empty) == 1 else 'files have'} no row: {shown}"
    for what, n in walked.learned["unique"].rows() if "unique" in walked.learned else ():
        notes[what] = f"{n:,} {what}; where that is wrong, give rows ids of their own" + (
            ", or a column `group`" if what == unique.TRANSLATED else ""
        )
    _assemble(recipe, run, say, walked, notes, reads)
    n_rows, n_bytes = sum(found.n_rows for found in read_in), sum(job.n_bytes for job in jobs)
    if told := pace.told(n_rows, n_bytes, 1):
        say.line(f"          {n_rows:,} rows in {time.monotonic() - pace.begun:,.0f} s: {told}")


def read_jobs(recipe: Recipe, raws: Sequence[RawFile], work: Path) -> list[reading.Job]:
    """What is to be read, in pieces of work."""
    n_bytes, how = recipe.data.shard_bytes, fields(recipe)
    return [
        reading.Job(batch, how, work / "00-read" / f"{i:05}", n_bytes)
        for i, batch in enumerate(reading.batches(raws, n_bytes))
    ]


# -- the corpus -------------------------------------------------------------------------------------------------


def _assemble(recipe: Recipe, run: Run, say: Say, walked: Walked, notes: dict[str, str], reads: dict[str, Any]) -> None:
    """Put the last shards, the rows set aside, the ledger and the rest in their places, and stamp."""
    ledger = pl.concat([files.read_parquet(path) for path in walked.ledgers])
    ledger = ledger.group_by("step", "lang", "source", maintain_order=True).agg(pl.col(COUNTS).sum())
    for name in ("corpus", "dropped", "learned"):
        files.remove(run.path(name))
    outputs: list[Path] = []

    def put(folder: str, paths: Sequence[Path]) -> Iterator[pl.DataFrame]:
        filled = (frame for path in paths if (frame := files.read_parquet(path)).height)
        for i, frame in enumerate(filled):
            outputs.append(run.path(folder, f"{i:05}.parquet"))
            files.write_parquet(outputs[-1], frame)
            yield frame

    def write(frame: pl.DataFrame, *name: str) -> None:
        outputs.append(run.path(*name))
        files.write_parquet(outputs[-1], frame)

    label = pl.col("label") if "label" in fields(recipe).schema else pl.lit("").alias("label")
    found = [
        (by_split(frame, label), by_source(frame), by_domain(frame, label)) for frame in put("corpus", walked.shards)
    ]
    reasons = [pl.DataFrame(schema={**dict.fromkeys(("step", "lang", "reason"), pl.String), "n": pl.UInt32})]
    reasons += [by_reason(frame) for frame in put("dropped", walked.dropped)]
    why = summed(reasons)
    if not found:
        shown = _commonest(why)[:3]
        said = "; ".join(f"{reason} ({n:,} {_rows(n)})" for _, reason, n in shown) or "it is empty"
        raise DataError(
            f"no usable row in the raw data: {said}" + (f"; each lies in {run.path('dropped')}" if shown else "")
        )
    table = summed([counts for counts, _, _ in found])
    domains = summed([domains for _, _, domains in found])
    write(ledger, "ledger.parquet")
    write(why, "reasons.parquet")
    write(table, "counts.parquet")
    write(summed([sources for _, sources, _ in found]), "sources.parquet")
    write(domains, "balance.parquet")
    write(gather(walked.samples), "samples.parquet")
    for step, learned in walked.learned.items():
        write(learned, "learned", f"{step}.parquet")
    langs = table["lang"].unique().sort().to_list() if recipe.langs == "all" else list(recipe.langs)
    judged = _judged(recipe, ledger)
    remarks = [remark for op in ops(recipe) if op.loaded.has("remarks") for remark in op.call("remarks", tuple(judged))]
    remarks += _unread(recipe)
    n_rows, n_dropped = int(table["n"].sum()), int(ledger["n_dropped"].sum())
    uneven = list(balance.warnings(balance.languages(balance.train(domains))))
    facts = {"langs": langs, "n_rows": n_rows, "n_dropped": n_dropped, "notes": sorted(notes.values())}
    run.stamp("prepare", reads, outputs, **facts, remarks=remarks, uneven=uneven)
    card.write(recipe, run)
    _tell(say, table, ledger, why, judged, [*sorted(notes.values()), *remarks, *uneven])
    say.line(f"card      {run.path('CARD.md')}")


def _unread(recipe: Recipe) -> Iterator[str]:
    """The columns that a step that hides personal data does not read."""
    private = [op.name for op in ops(recipe) if op.private]
    if private and recipe.data.keep:
        yield f"{', '.join(private)}: only `text` is read; ids and {', '.join(recipe.data.keep)} (data.keep) stay as they are"


def _judged(recipe: Recipe, ledger: pl.DataFrame) -> list[str]:
    """The languages that are told of and judged: of "all" also those that lost every row on the way."""
    if recipe.langs != "all":
        return list(recipe.langs)
    return ledger.filter(pl.col("lang") != "und")["lang"].unique().sort().to_list()


def by_split(frame: pl.DataFrame, label: pl.Expr) -> pl.DataFrame:
    return frame.group_by("lang", "split", label).len("n")


def by_domain(frame: pl.DataFrame, label: pl.Expr) -> pl.DataFrame:
    """Rows by language, split, label and domain: the column `domain` where the recipe keeps one, else the source."""
    domain = pl.col("domain" if "domain" in frame.columns else "source").alias("domain")
    return frame.group_by("lang", "split", label, domain).len("n")


def by_source(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows by language and provenance."""
    return frame.group_by("lang", *PROVENANCE).len("n")


def by_reason(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows set aside by step, language and kind of reason."""
    return frame.group_by("step", "lang", kind(pl.col("reason"))).len("n")


def summed(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Tables of counts `n`, added up and sorted."""
    whole = pl.concat(frames)
    by = [name for name in whole.columns if name != "n"]
    return whole.group_by(by).agg(pl.col("n").sum()).sort(by)


def _commonest(why: pl.DataFrame) -> list[tuple[str, str, int]]:
    """(step, reason, rows), commonest first."""
    total = why.group_by("step", "reason").agg(pl.col("n").sum())
    return total.sort("n", "step", "reason", descending=[True, False, False]).rows()


def _tell(
    say: Say, table: pl.DataFrame, ledger: pl.DataFrame, why: pl.DataFrame, langs: Sequence[str], notes: Sequence[str]
) -> None:
    n = {split: int(table.filter(pl.col("split") == split)["n"].sum()) for split in SPLITS}
    shares = ", ".join(f"{n[split]:,} {split}" for split in SPLITS)
    n_langs = table["lang"].n_unique()
    languages = "1 language" if n_langs == 1 else f"{n_langs} languages"
    say.line(f"prepare   {sum(n.values()):,} rows in {languages}: {shares}")
    for note in notes:
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
    """Losses by language, over all steps (`lost`) and in each (`lost.STEP`), in the form of scores, for gates.

    A row counts for the language that it has at the end, or that it had when it was set aside. Every row is counted, so
    there is no interval: low and high are the value.
    """
    last = ledger["step"][-1]
    gone = ledger.group_by("lang").agg(
        pl.col("n_dropped").sum(),
        (pl.col("n_dropped").sum() + pl.col("n_out").filter(pl.col("step") == last).sum()).alias("n"),
    )
    rows = [("lost", *row) for row in gone.sort("lang").rows()]
    for (step,), frame in ledger.group_by("step", maintain_order=True):
        each = frame.group_by("lang").agg(pl.col("n_dropped", "n_in").sum()).sort("lang")
        rows += [(f"lost.{step}", *row) for row in each.rows()]
    found = []
    for metric, lang, n_dropped, n_in in rows:
        if n_in:
            share = n_dropped / n_in
            found.append(("corpus", metric, "lang", lang, share, share, share, n_in, f"{metric}|v1|every row"))
    columns = ["system", "metric", "by", "key", "value", "low", "high", "n", "signature"]
    return pl.DataFrame(found, schema=columns, orient="row")


def _judge(recipe: Recipe, run: Run, say: Say) -> None:
    """Ask the gates at prepare."""
    asked = [g for g in recipe.gate if g.at == "prepare"]
    if not asked:
        return
    run.require("prepare")
    ledger = files.read_parquet(run.path("ledger.parquet"))
    scores, langs = ledger_scores(ledger), _judged(recipe, ledger)
    verdicts = [gate.judge(gate.Gate.of(g.model_dump()), scores, langs, system="corpus") for g in asked]
    reasons = [reason.text for verdict in verdicts for reason in verdict.reasons if reason.outcome != "holds"]
    if not all(verdict.ok for verdict in verdicts):
        raise Refused("the gate at prepare refuses: " + "; ".join(reasons))
    say.line("gate      at prepare: holds")
