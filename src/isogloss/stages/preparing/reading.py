"""Reading: raw files → shards cut by bytes of text, rows that cannot be used set aside, how far it is said meanwhile."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from isogloss.core import files
from isogloss.core.corpus import Fields, Noted, Rejected, read
from isogloss.core.readers import Meter, RawFile
from isogloss.core.say import Pace, Say
from isogloss.stages.preparing.tables import DROPPED, LEDGER, beside

# Rows set aside while reading that are held in memory, and seconds between two words about how far it is.
HELD, EVERY = 10_000, 1.0


@dataclass(frozen=True)
class Job:
    """Files that one worker reads into shards at `out`."""

    raws: tuple[RawFile, ...]
    fields: Fields
    out: Path
    shard_bytes: int

    @property
    def n_bytes(self) -> int:
        return sum(raw.path.stat().st_size for raw in self.raws)


@dataclass(frozen=True)
class Read:
    """What reading one batch of files gave; `empty` names files without a row, `translated` says whether any row is."""

    shards: list[Path]
    dropped: list[Path]
    notes: dict[str, str]
    empty: list[str]
    translated: bool
    n_rows: int


def batches(raws: Sequence[RawFile], n_bytes: int) -> list[tuple[RawFile, ...]]:
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


def run(job: Job) -> Read:
    """Raw files → shards. The done-file comes last, so what it names is whole."""
    done = job.out.with_suffix(".json")
    if not done.is_file():
        files.write_json(done, _read_new(job))
    value = files.read_json(done)
    shards, dropped = ([job.out.parent / name for name in value[kind]] for kind in ("shards", "dropped"))
    return Read(shards, dropped, value["notes"], value["empty"], value["translated"], value["n_rows"])


def _read_new(job: Job) -> dict[str, Any]:
    good: list[dict[str, str | None]] = []
    bad: list[dict[str, str | None]] = []
    ledger: dict[tuple[str, str], list[int]] = {}
    made: dict[str, Any] = {"shards": [], "dropped": [], "notes": {}, "empty": [], "translated": False, "n_rows": 0}
    size = before = 0

    def flush(kind: str, rows: list[dict[str, str | None]], schema: dict[str, Any]) -> None:
        if rows:
            infix = "" if kind == "shards" else "-dropped"
            name = f"{job.out.name}{infix}-{len(made[kind]):05}.parquet"
            files.write_parquet(job.out.with_name(name), pl.DataFrame(rows, schema=schema))
            made[kind].append(name)
            rows.clear()

    said = time.monotonic()
    for raw in job.raws:
        meter, n_here = Meter(), 0
        for row in read(raw, job.fields, meter):
            if isinstance(row, Noted):
                made["notes"][row.code] = row.note
                continue
            n_here += 1
            if isinstance(row, Rejected):
                bad.append(
                    {"step": "read", "reason": row.reason, "lang": row.lang, "origin": row.origin, "row": row.raw}
                )
                ledger.setdefault((row.lang or "und", raw.shown), [0, 0])[1] += 1
                if len(bad) >= HELD:
                    flush("dropped", bad, DROPPED)
            else:
                good.append(row)
                made["translated"] |= row["original_or_translated"] == "translated"
                ledger.setdefault((row["lang"] or "und", row["source"] or ""), [0, 0])[0] += 1
                size += len((row["text"] or "").encode())
                if size >= job.shard_bytes:
                    flush("shards", good, job.fields.schema)
                    size = 0
            if n_here % 256 == 0 and time.monotonic() - said > EVERY:
                said = time.monotonic()
                _say(job, before + meter.at(), made["n_rows"] + n_here)
        before += raw.path.stat().st_size
        made["n_rows"] += n_here
        if not n_here:
            made["empty"].append(raw.shown)
    flush("shards", good, job.fields.schema)
    flush("dropped", bad, DROPPED)
    table = [("read", lang, source, n + out, 0, out, n) for (lang, source), (n, out) in ledger.items()]
    files.write_parquet(beside(job.out, "ledger"), pl.DataFrame(table, schema=LEDGER, orient="row"))
    _say(job, before, made["n_rows"])
    return made


# -- how far it is ----------------------------------------------------------------------------------------------


def _say(job: Job, n_bytes: int, n_rows: int) -> None:
    """Leave word for the process that waits; losing it costs nothing."""
    with contextlib.suppress(OSError):
        beside(job.out, "progress").write_text(f"{n_bytes} {n_rows}")


@contextlib.contextmanager
def watched(say: Say, jobs: Sequence[Job]) -> Iterator[None]:
    """Say while the jobs run how many bytes and rows are read, how fast, and how long it will take."""
    total = sum(job.n_bytes for job in jobs)
    say.progress("reading", 0, None, "rows")
    pace, ended = Pace(), threading.Event()

    def look() -> None:
        while not ended.wait(EVERY):
            n_bytes = n_rows = 0
            for job in jobs:
                with contextlib.suppress(OSError, ValueError, IndexError):
                    ours = beside(job.out, "progress").read_text().split()
                    n_bytes, n_rows = n_bytes + int(ours[0]), n_rows + int(ours[1])
            say.progress("reading", n_rows, None, "rows", pace.told(n_rows, n_bytes, n_bytes / max(1, total)))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        say.close()
