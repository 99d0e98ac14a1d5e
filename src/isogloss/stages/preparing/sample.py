"""A look before the long run: a sample of the data through every step, in a folder that is gone afterwards.

At most `WIDE` rows for each row that is asked for are read, from the beginning of every file, in proportion to its
size; of these the sample takes languages as equally as they allow, by the hashes of ids. Steps that compare rows
(unique, dedup) see the sample only, so in the whole they will find more.
"""

from __future__ import annotations

import hashlib
import heapq
import tempfile
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from isogloss.core import files
from isogloss.core.corpus import Fields, Noted, Rejected, read
from isogloss.core.engine import Engine
from isogloss.core.errors import DataError
from isogloss.core.readers import Meter, RawFile
from isogloss.core.say import Say
from isogloss.stages.examples import Example
from isogloss.stages.examples import lines as example_lines
from isogloss.stages.preparing.tables import LEDGER, SAMPLES, kind
from isogloss.stages.preparing.walk import Op, gather, walk

WIDE, LEAST = 50, 20
# Bytes of text that are read at most.
MOST_BYTES = 400_000_000
MOST_LANGS, MOST_REASONS = 12, 6


@dataclass
class _Taken:
    """Rows of the sample, by language, and what was seen on the way."""

    n_rows: int = 0
    n_bytes: int = 0
    n_file_bytes: int = 0
    rows: dict[str, list[tuple[int, int, dict[str, str | None]]]] = field(default_factory=dict)
    aside: Counter[tuple[str, str]] = field(default_factory=Counter)
    rejected: list[dict[str, str]] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Looked:
    """What the steps did to a sample; `ledger`, `reasons` and `samples` as `prepare` writes them."""

    n_asked: int
    n_sampled: int
    n_read: int
    share_read: float
    ledger: pl.DataFrame
    reasons: pl.DataFrame
    samples: pl.DataFrame
    learned: dict[str, pl.DataFrame]
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """As plain JSON."""
        by_lang = self.ledger.group_by("step", "lang", maintain_order=True).agg(pl.col(list(LEDGER)[3:]).sum())
        return {
            "sampled": self.n_sampled,
            "rows_read": self.n_read,
            "share_of_bytes_read": round(self.share_read, 4),
            "steps": by_lang.to_dicts(),
            "reasons": self.reasons.to_dicts(),
            "samples": self.samples.to_dicts(),
            "learned": {step: frame.to_dicts() for step, frame in self.learned.items()},
            "notes": list(self.notes),
        }


def look(raws: Sequence[RawFile], fields: Fields, ops: Sequence[Op], n: int, engine: Engine, say: Say) -> Looked:
    """Take `n` rows through the steps. Raises DataError when no row can be used."""
    taken = _take(raws, fields, n, say)
    chosen = _chosen(taken, n)
    if not chosen:
        reasons: Counter[str] = Counter()
        for (reason, _), count in taken.aside.items():
            reasons[reason] += count
        why = "; ".join(f"{reason} ({count:,})" for reason, count in reasons.most_common(3)) or "it is empty"
        raise DataError(f"no usable row in the {taken.n_rows:,} rows looked at: {why}")
    if not any(row["original_or_translated"] == "translated" for row in chosen):
        ops = [op for op in ops if op.name != "originals"]
    with tempfile.TemporaryDirectory(prefix="isogloss-sample-", ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        shards = []
        for i in range(0, len(chosen), 500):
            shards.append(work / f"{i:06}.parquet")
            files.write_parquet(shards[-1], pl.DataFrame(chosen[i : i + 500], schema=fields.schema))
        walked = walk(ops, shards, work / "work", engine, say)
        schema = {"step": pl.String, "lang": pl.String, "reason": pl.String, "n": pl.Int64}
        aside = [("read", lang, reason, count) for (reason, lang), count in taken.aside.items()]
        counted = [pl.DataFrame(aside, schema, orient="row")]
        for path in walked.dropped:
            gone = files.read_parquet(path).group_by("step", "lang", kind(pl.col("reason"))).len("n")
            counted.append(gone.cast({"n": pl.Int64}))
        summed = pl.concat(counted).group_by("step", "lang", "reason").agg(pl.col("n").sum())
        samples = pl.concat([pl.DataFrame(taken.rejected, schema=SAMPLES), gather(walked.samples)])
        return Looked(
            n,
            len(chosen),
            taken.n_rows,
            taken.n_file_bytes / max(1, sum(raw.path.stat().st_size for raw in raws)),
            pl.concat([files.read_parquet(path) for path in walked.ledgers]),
            summed.sort("n", "step", "lang", "reason", descending=[True, False, False, False]),
            samples,
            walked.learned,
            tuple(taken.notes.values()),
        )


def _take(raws: Sequence[RawFile], fields: Fields, n: int, say: Say) -> _Taken:
    taken = _Taken()
    total = sum(raw.path.stat().st_size for raw in raws)
    for raw in raws:
        size = raw.path.stat().st_size
        left, meter = max(LEAST, WIDE * n * size // max(1, total)), Meter()
        most, at = taken.n_bytes + max(1, MOST_BYTES * size // max(1, total)), 0
        for row in read(raw, fields, meter):
            if isinstance(row, Noted):
                taken.notes[row.code] = row.note
                continue
            taken.n_rows, left, at = taken.n_rows + 1, left - 1, meter.at()
            if isinstance(row, Rejected):
                _reject(taken, row)
            else:
                taken.n_bytes += len(row["text"] or "")
                held = taken.rows.setdefault(row["lang"] or "und", [])
                mark = hashlib.blake2b((row["id"] or "").encode(), digest_size=7).digest()
                item = (-int.from_bytes(mark), taken.n_rows, row)
                heapq.heappush(held, item) if len(held) < n else heapq.heappushpop(held, item)
            if left <= 0 or taken.n_bytes > most:
                break
        else:
            at = size
        taken.n_file_bytes += min(at, size)
        say.progress("reading", taken.n_rows, None, "rows")
    say.close()
    return taken


def _reject(taken: _Taken, row: Rejected) -> None:
    why = kind_of(row.reason)
    if taken.aside[why, row.lang or "und"] < 2:
        taken.rejected.append(
            {
                "step": "read", "what": "dropped", "lang": row.lang or "und", "source": "", "id": row.origin,
                "reason": row.reason, "before": row.raw[:300], "after": "",
            }
        )  # fmt: skip
    taken.aside[why, row.lang or "und"] += 1


def kind_of(reason: str) -> str:
    """The kind of one reason."""
    return str(pl.select(kind(pl.lit(reason))).item())


def _chosen(taken: _Taken, n: int) -> list[dict[str, str | None]]:
    """`n` rows, every language as often as the others as far as it has rows, in the order of reading."""
    share, left = dict.fromkeys(taken.rows, 0), n
    while left > 0:
        open_ = [lang for lang in sorted(share) if share[lang] < len(taken.rows[lang])]
        if not open_:
            break
        each = max(1, left // len(open_))
        for lang in open_[:left]:
            more = min(each, len(taken.rows[lang]) - share[lang])
            share[lang] += more
            left -= more
    rows = [item for lang, k in share.items() for item in heapq.nlargest(k, taken.rows[lang], key=lambda i: i[:2])]
    return [row for _, _, row in sorted(rows, key=lambda item: item[1])]


# -- on the screen ----------------------------------------------------------------------------------------------


def screen(looked: Looked, width: int) -> Iterator[str]:
    """What the steps did, as text for a terminal: by language, by reason, with examples."""
    yield from textwrap.wrap(
        f"{looked.n_sampled:,} rows, languages as equally as they allow, of {looked.n_read:,} rows from the beginning of "
        f"every file ({looked.share_read:.0%} of the bytes). Nothing is kept of this.",
        width,
    )
    compared = [name for name in ("unique", "originals", "dedup") if name in set(looked.ledger["step"])]
    if compared and looked.share_read < 1:
        yield from textwrap.wrap(
            f"{', '.join(compared)} compare rows of the sample only; in the whole they will find more.", width
        )
    steps = list(dict.fromkeys([*looked.samples.filter(pl.col("step") == "read")["step"], *looked.ledger["step"]]))
    for step in steps:
        yield ""
        yield from _step(step, looked, width)


def _step(step: str, looked: Looked, width: int) -> Iterator[str]:
    ledger = looked.ledger.filter(pl.col("step") == step)
    total = {name: int(ledger[name].sum()) for name in list(LEDGER)[3:]}
    why = looked.reasons.filter(pl.col("step") == step)
    if step == "read":
        yield f"read: {int(why['n'].sum()):,} of {looked.n_read:,} rows cannot be used"
    else:
        yield f"{step}: {total['n_in']:,} in, {total['n_changed']:,} changed, {total['n_dropped']:,} dropped"
    touched = (
        ledger.group_by("lang")
        .agg(pl.col(list(LEDGER)[3:]).sum())
        .filter((pl.col("n_changed") > 0) | (pl.col("n_dropped") > 0))
        .sort("n_dropped", "n_changed", "lang", descending=[True, True, False])
    )
    if touched.height:
        yield f"  {'language':<10}{'in':>9}{'changed':>9}{'dropped':>9}"
        for row in touched.head(MOST_LANGS).iter_rows(named=True):
            yield f"  {row['lang']:<10}{row['n_in']:>9,}{row['n_changed']:>9,}{row['n_dropped']:>9,}"
        if touched.height > MOST_LANGS:
            yield f"  and {touched.height - MOST_LANGS} more languages, with --json"
    samples = looked.samples.filter(pl.col("step") == step)
    dropped = samples.filter(pl.col("what") == "dropped").with_columns(kind(pl.col("reason")).alias("kind"))
    by_kind = why.group_by("reason").agg(pl.col("n").sum()).sort("n", "reason", descending=[True, False])
    for reason, n in by_kind.head(MOST_REASONS).rows():
        yield from textwrap.wrap(f"  {n:,}  {reason}", width, subsequent_indent="      ")
        for row in dropped.filter(pl.col("kind") == reason).head(2).iter_rows(named=True):
            shown = Example("dropped", row["lang"], f"{row['id']}: {row['reason']}", row["before"], "", row["reason"])
            yield from example_lines(shown, width)
    if by_kind.height > MOST_REASONS:
        yield f"  and {by_kind.height - MOST_REASONS} more reasons, with --json"
    changed = samples.filter(pl.col("what") == "changed")
    if changed.height:
        yield "  changed, before and after"
        one_each = changed.group_by("lang", maintain_order=True).head(1).head(3)
        for row in one_each.iter_rows(named=True):
            yield from example_lines(Example("changed", row["lang"], row["id"], row["before"], row["after"]), width)
