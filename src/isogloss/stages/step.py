"""step: one step alone on one file; what it kept, changed and dropped, by language, and why.

    FILE ── read ──► shards ── summarise, decide (barriers) ── apply ──► kept.parquet + dropped.parquet + counts.json

Rows need only text: language, label, split and group are used where they are. A step that runs after the split takes
rows without a split for train rows; what it would find if every row were a train row is counted beside.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from isogloss.core import files, parts
from isogloss.core import lang as lang_table
from isogloss.core.corpus import COLUMNS, Fields, Noted, Rejected, read
from isogloss.core.engine import Engine, Local
from isogloss.core.errors import DataError, MissingError, PlaceError
from isogloss.core.readers import Broken, RawFile, expand, rows
from isogloss.core.say import Say
from isogloss.stages import barrier, unique
from isogloss.stages.barrier import Decision
from isogloss.stages.examples import Example, pick
from isogloss.stages.examples import name as name_of
from isogloss.stages.ops import Op

SHARD_BYTES = 4_000_000
WRITTEN = ("kept.parquet", "dropped.parquet", "counts.json")
# Names that rows get from us: a column of the file that is called so is left out.
OURS = frozenset({*COLUMNS, "origin", "drop", "step", "reason", "row", "_id", "_split"})
# Rows and columns of a file that are looked at to learn its further columns.
PEEK_ROWS, MOST_COLUMNS = 200, 100
DROPPED = ("step", "reason", "id", "lang", "source", "origin", "text", "row")
SEED = 17


@dataclass(frozen=True)
class Outcome:
    """What a step did to a file. `found` is there for steps that run after the split; `examples` are for the screen."""

    step: str
    file: str
    knobs: dict[str, Any]
    n_read: int
    n_kept: int
    n_changed: int
    n_dropped: int
    n_set_aside: int
    by_lang: list[dict[str, Any]]
    changed: dict[str, int]
    added: dict[str, int]
    reasons: list[dict[str, Any]]
    set_aside: list[dict[str, Any]]
    seconds: float
    notes: tuple[str, ...] = ()
    learned: list[dict[str, Any]] | None = None
    found: dict[str, Any] | None = None
    out: str | None = None
    examples: tuple[Example, ...] = field(default=(), repr=False)

    def document(self) -> dict[str, Any]:
        """As plain JSON, without the examples: no text of the file leaves it but in kept and dropped rows."""
        value = asdict(self)
        del value["examples"]
        return {name: v for name, v in value.items() if v is not None}


@dataclass(frozen=True)
class _Job:
    """One shard, as a worker gets it."""

    op: Op
    shard: Path
    out: Path
    number: int = 0
    decision: Decision | None = None


@dataclass
class _Tally:
    """Counts of one shard or of all."""

    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    """by (language, kept | changed | dropped | read)"""
    columns: Counter[str] = field(default_factory=Counter)
    added: Counter[str] = field(default_factory=Counter)
    """rows in which a column has a value that the file did not have"""
    reasons: Counter[str] = field(default_factory=Counter)
    found: Counter[tuple[str, str]] = field(default_factory=Counter)
    """by (split, reason), every row taken for a train row"""
    names: dict[str, str] = field(default_factory=dict)
    """what kinds of reasons are called"""
    examples: list[Example] = field(default_factory=list)

    def add(self, other: _Tally) -> None:
        for name in ("rows", "columns", "added", "reasons", "found"):
            getattr(self, name).update(getattr(other, name))
        for kind, called in other.names.items():
            self.names[kind] = called if self.names.get(kind, called) == called else kind
        self.examples = pick([*self.examples, *other.examples])


def step(
    name: str,
    file: Path,
    knobs: Mapping[str, Any] | None = None,
    *,
    text: str = "text",
    lang: str | None = None,
    out: Path | None = None,
    say: Say | None = None,
    engine: Engine | None = None,
) -> Outcome:
    """Run the step `name` with `knobs` on `file`; rows that name no language get `lang`.

    `out` is a folder for kept.parquet, dropped.parquet and counts.json. Raises RecipeError for the step or a knob,
    DataError for the file, MissingError for a file that a knob names, PlaceError for the folder.
    """
    say, engine = say or Say(), engine or Local()
    start = time.monotonic()
    part = parts.load("steps", name)
    bound = {knob: _absolute(value) for knob, value in part.bind(knobs or {}).items()}
    _must_exist(name, bound)
    if part.has("check"):
        part.call("check", knobs=bound)
    if out is not None:
        _must_be_ours(out)
    given = {"lang": lang_table.resolve(lang).tag} if lang else {}
    raws = expand(file, str(file), format=None, encoding="utf-8", rows=None, given=given)
    fields = Fields(columns={"text": text}, task_fields=(), keep=further(raws, text, file), detect=True)
    with tempfile.TemporaryDirectory(prefix="isogloss-step-", ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        shards, rejected, notes = _read(raws, fields, work, say)
        notes += _unique_ids(shards)
        op = Op(name, bound, {"langs": (), "seed": SEED})
        decision = barrier.decided(op, shards, work / "barrier", engine, say) if op.barrier else None
        jobs = [_Job(op, shard, work / f"{shard.stem}.done", i, decision) for i, shard in enumerate(shards)]
        learned = None
        if decision is not None and part.has("learned"):
            learned = op.call("learned", pl.concat(list(decision.whole()))).to_dicts()
        tally = _Tally()
        for made in say.track(engine.map(_apply, jobs), name, len(jobs), "shards"):
            tally.add(made)
        levels = _levels(part, decision)
        if part.has("remarks"):
            seen = tuple(sorted({lang for lang, _ in tally.rows if lang != "und"}))
            notes += tuple(part.call("remarks", seen, knobs=bound))
        outcome = _outcome(name, file, bound, tally, rejected, levels, part.constant("AFTER_SPLIT", False), notes)
        outcome = replace(
            outcome, seconds=round(time.monotonic() - start, 2), out=str(out) if out else None, learned=learned
        )
        if out is not None:
            _write(out, name, jobs, rejected, fields, outcome)
    return outcome


def further(raws: Sequence[RawFile], text: str, file: Path) -> tuple[str, ...]:
    """Columns of the files beside ours, to be carried along. Raises DataError when none is called `text`."""
    found: dict[str, None] = {}
    for raw in raws[:20]:
        for _, row in islice(rows(raw), PEEK_ROWS):
            if not isinstance(row, Broken):
                found.update(dict.fromkeys(name for name in row if name))
    if found and text not in found:
        known = ", ".join(list(found)[:12])
        raise DataError(f"{file} has no column '{text}' (its columns: {known}); say --text COLUMN")
    return tuple(name for name in found if name != text and name not in OURS)[:MOST_COLUMNS]


def _absolute(value: Any) -> Any:
    if isinstance(value, Path):
        return value.expanduser().absolute()
    return type(value)(_absolute(item) for item in value) if isinstance(value, list | tuple) else value


def _must_exist(name: str, knobs: Mapping[str, Any]) -> None:
    for value in knobs.values():
        for item in value if isinstance(value, list | tuple) else [value]:
            if isinstance(item, Path) and not item.exists():
                raise MissingError(f"step {name}: there is no file {item}")


def _must_be_ours(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise PlaceError(f"{out} is a file; --out takes a folder")
    there = [name for name in WRITTEN if (out / name).exists()]
    if there and "counts.json" not in there:
        raise PlaceError(f"{out / there[0]} exists and was not written by isogloss step; choose another folder")


# -- the walk ---------------------------------------------------------------------------------------------------


def _read(
    raws: Sequence[RawFile], fields: Fields, work: Path, say: Say
) -> tuple[list[Path], list[Rejected], tuple[str, ...]]:
    """The file as shards, cut by bytes of text; the rows that cannot be read; what was assumed of languages."""
    shards: list[Path] = []
    rejected: list[Rejected] = []
    notes: dict[str, None] = {}
    waiting: list[dict[str, str | None]] = []
    size = n = 0

    def flush() -> None:
        nonlocal size
        path = work / f"{len(shards):05}.parquet"
        files.write_parquet(path, pl.DataFrame(waiting, schema=fields.schema))
        shards.append(path)
        waiting.clear()
        size = 0

    for raw in raws:
        for row in read(raw, fields):
            if isinstance(row, Noted):
                notes[row.note] = None
                continue
            n += 1
            if n % 5000 == 0:
                say.progress("reading", n, None, "rows")
            if isinstance(row, Rejected):
                rejected.append(row)
                continue
            waiting.append(row)
            size += len((row["text"] or "").encode())
            if size >= SHARD_BYTES:
                flush()
    if waiting:
        flush()
    say.close()
    if not shards:
        names: dict[str, str] = {}
        reasons = Counter(name_of(names, row.reason) for row in rejected).most_common(3)
        why = "; ".join(f"{names[kind]} (x{count:,})" for kind, count in reasons) or "it is empty"
        raise DataError(f"no row of the file can be used: {why}")
    return shards, rejected, tuple(notes)


def _unique_ids(shards: list[Path]) -> tuple[str, ...]:
    """Steps know rows by their id: where ids repeat, the place in the file stands for them while the step runs.

    Rows of several languages with one id are translations of each other (`unique.py`), and share a group.
    """
    every = pl.scan_parquet(shards).select("id", "origin", "lang", "split", "group").collect()
    decision = unique.decide(every.with_columns(pl.lit(0).alias("shard")))
    if decision.is_empty():
        return ()
    tied = decision.filter(pl.col("tied").is_not_null()).select("origin", "tied")
    for shard in shards:
        frame = files.read_parquet(shard).join(tied, on="origin", how="left", maintain_order="left")
        frame = frame.with_columns(
            pl.col("id").alias("_id"), pl.col("origin").alias("id"), pl.coalesce("group", "tied").alias("group")
        )
        files.write_parquet(shard, frame.drop("tied"))
    n_same, notes = decision["first"].count(), []
    if n_same:
        verb = "row repeats" if n_same == 1 else "rows repeat"
        notes.append(
            f"{n_same:,} {verb} the id of an earlier row in the same language; prepare would keep the first only"
        )
    return (*notes, *(f"{n:,} {what}" for what, n in unique.learned(decision).rows()))


def _apply(job: _Job) -> _Tally:
    """One shard through the step: kept and dropped rows go to disk, counts come back."""
    before = files.read_parquet(job.shard)
    more = [job.decision.of(job.number)] if job.decision else []
    late = job.op.loaded.constant("AFTER_SPLIT", False)
    taken = before.with_columns(pl.col("split").fill_null("train")) if late else before
    after = job.op.call("apply", taken, *more)
    if late:
        after = after.with_columns(before["split"])
    drop = after["drop"] if "drop" in after.columns else pl.Series([None] * after.height, dtype=pl.String)
    after = after.drop("drop", strict=False)
    tally = _count(before, after, drop, bool(job.op.loaded.constant("PRIVATE", False)))
    if late:
        every = job.op.call("apply", before.with_columns(split=pl.lit("train")), *more)
        for split, reason in zip(before["split"].fill_null("none").to_list(), every["drop"].to_list(), strict=True):
            if reason is not None:
                tally.found[split, name_of(tally.names, reason)] += 1
    if "_id" in after.columns:
        after = after.with_columns(pl.col("_id").alias("id")).drop("_id")
    gone = after.with_columns(before["text"], drop.alias("reason")).filter(pl.col("reason").is_not_null())
    rest = [name for name in after.columns if name not in DROPPED]
    gone = gone.with_columns(pl.lit(job.op.name).alias("step"), pl.struct(rest).struct.json_encode().alias("row"))
    files.write_parquet(job.out.with_suffix(".kept"), after.filter(drop.is_null()))
    files.write_parquet(job.out.with_suffix(".dropped"), gone.select(DROPPED))
    return tally


def _count(before: pl.DataFrame, after: pl.DataFrame, drop: pl.Series, private: bool) -> _Tally:
    """Counts and examples; of a step that is `private` no text from before is shown."""
    tally = _Tally()
    tally.reasons.update(name_of(tally.names, reason) for reason in drop.drop_nulls().to_list())
    kept = drop.is_null()
    same = [name for name in before.columns if name in after.columns and name not in ("id", "_id")]
    differ = {name: before[name].ne_missing(after[name]) & kept for name in same}
    tally.columns.update({name: int(mask.sum()) for name, mask in differ.items() if mask.any()})
    filled = {name: after[name].filter(kept).count() for name in after.columns if name not in before.columns}
    tally.added.update({name: n for name, n in filled.items() if n})
    changed = pl.select(pl.any_horizontal(*differ.values())).to_series() if differ else pl.Series([False] * len(kept))
    langs = pl.select(pl.coalesce(before["lang"], after["lang"], pl.lit("und"))).to_series()
    table = (
        pl.DataFrame({"lang": langs, "kept": kept, "changed": changed})
        .group_by("lang")
        .agg(pl.len().alias("read"), pl.col("kept").sum(), pl.col("changed").sum())
    )
    for row in table.iter_rows(named=True):
        tally.rows.update({(row["lang"], name): row[name] for name in ("read", "kept", "changed")})
        tally.rows[row["lang"], "dropped"] += row["read"] - row["kept"]
    ids = before["_id" if "_id" in before.columns else "id"]

    def told(name: str, i: int) -> str:
        return "" if name == "text" else str((after if private else before)["text"][i])

    def was(name: str, i: int) -> str:
        return "(not shown)" if private and name == "text" else before[name][i] or ""

    some = [
        Example(f"{name} changed", langs[i], ids[i], was(name, i), after[name][i] or "", "", told(name, i))
        for name, mask in differ.items()
        for i in mask.arg_true().head(20).to_list()
    ]
    gone = drop.is_not_null().arg_true().head(200).to_list()
    some += [Example("dropped", langs[i], ids[i], before["text"][i], "", drop[i]) for i in gone]
    tally.examples = pick(some)
    return tally


# -- what comes out ---------------------------------------------------------------------------------------------


def _levels(part: parts.Part, decision: Decision | None) -> list[dict[str, Any]] | None:
    """Rows by the level at which they match, for a step whose decision has levels (`LEVELS`), strongest first."""
    names = part.constant("LEVELS")
    if decision is None or not names or "level" not in (frame := pl.concat(list(decision.whole()))).columns:
        return None
    n = dict(frame.drop_nulls("level").group_by("level").len().iter_rows())
    total = 0
    out = []
    for level, name in enumerate(names):
        total += n.get(level, 0)
        out.append({"level": name, "n": n.get(level, 0), "n_so_far": total})
    return out


def _outcome(
    name: str,
    file: Path,
    knobs: Mapping[str, Any],
    tally: _Tally,
    rejected: Sequence[Rejected],
    levels: list[dict[str, Any]] | None,
    late: bool,
    notes: tuple[str, ...],
) -> Outcome:
    def total(what: str) -> int:
        return sum(n for (_, name), n in tally.rows.items() if name == what)

    langs = sorted({lang for lang, _ in tally.rows}, key=lambda lang: (-tally.rows[lang, "dropped"], lang))
    by_lang = [
        {"lang": lang, **{f"n_{what}": tally.rows[lang, what] for what in ("read", "kept", "changed", "dropped")}}
        for lang in langs
    ]
    aside: dict[str, dict[str, Any]] = {}
    names: dict[str, str] = {}
    for row in rejected:
        aside.setdefault(name_of(names, row.reason), {"reason": "", "n": 0, "first": row.origin})["n"] += 1
    aside = {kind: {**told, "reason": names[kind]} for kind, told in aside.items()}
    found = None
    if late:
        by_split: Counter[str] = Counter()
        by_reason: Counter[str] = Counter()
        for (split, reason), n in tally.found.items():
            by_split[split] += n
            by_reason[reason] += n
        found = {"n": by_split.total(), "by_split": dict(by_split), "reasons": _ranked(by_reason, tally.names)}
        if levels:
            found["levels"] = levels
    return Outcome(
        step=name,
        file=str(file),
        knobs={knob: _plain(value) for knob, value in knobs.items()},
        n_read=total("read"),
        n_kept=total("kept"),
        n_changed=total("changed"),
        n_dropped=total("dropped"),
        n_set_aside=len(rejected),
        by_lang=by_lang,
        changed=dict(tally.columns),
        added=dict(tally.added),
        reasons=_ranked(tally.reasons, tally.names),
        set_aside=sorted(aside.values(), key=lambda row: -row["n"]),
        seconds=0.0,
        notes=notes,
        found=found,
        examples=tuple(tally.examples),
    )


def _ranked(counts: Counter[str], names: Mapping[str, str]) -> list[dict[str, Any]]:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [{"reason": names.get(kind, kind), "n": n} for kind, n in ranked]


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _write(
    out: Path, name: str, jobs: Sequence[_Job], rejected: Iterable[Rejected], fields: Fields, outcome: Outcome
) -> None:
    aside = [
        {"step": "read", "reason": row.reason, "lang": row.lang, "origin": row.origin, "row": row.raw}
        for row in rejected
    ]
    first = pl.LazyFrame(aside, schema=dict.fromkeys(DROPPED, pl.String))
    for what, frames in (
        ("kept", [pl.scan_parquet(job.out.with_suffix(".kept")) for job in jobs]),
        ("dropped", [first, *(pl.scan_parquet(job.out.with_suffix(".dropped")) for job in jobs)]),
    ):
        with files.whole(out / f"{what}.parquet") as temporary:
            pl.concat(frames).sink_parquet(temporary, compression="zstd")
    files.write_json(out / "counts.json", outcome.document())
