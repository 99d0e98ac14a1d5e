"""The texts of an audit: read from files of any format, and cut to a bounded sample by language.

    file, folder, pattern ── read ──► rows with text, lang, group ── the smallest hashes ──► at most so many a language

A hash of the group picks rows, so that languages keep the translations of each other; where there is no group, a hash
of the text. So the sample does not depend on the order of rows, and files of any size fit into memory.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from isogloss.core import lang as lang_table
from isogloss.core.corpus import Fields, Noted, Rejected, read
from isogloss.core.errors import DataError
from isogloss.core.files import sound
from isogloss.core.readers import expand
from isogloss.core.say import Say

BUNDLED = "isogloss/clinic"
LIMIT = 1000  # texts of a language
# Characters of a text that are read. One that is longer is cut, and stands beside no translation any more.
MOST_CHARACTERS = 50_000
SCHEMA = {"id": pl.String, "lang": pl.String, "group": pl.String, "text": pl.String, "key": pl.UInt64}


@dataclass(frozen=True)
class Sample:
    """Rows `id, lang, group, text, key` by language in the order they came, and what was set aside or assumed.

    `key` is the hash that picks rows. `n_read`: rows that could be used, by language, of which the sample holds at most the limit.
    """

    rows: pl.DataFrame
    n_read: Mapping[str, int]
    notes: tuple[str, ...] = ()

    @property
    def langs(self) -> list[str]:
        return sorted(self.n_read)


class _Smallest:
    """Keeps the rows with the smallest keys of each language; of one group all rows stay or go together."""

    def __init__(self, limit: int) -> None:
        self.limit, self.n, self.n_cut = limit, Counter[str](), 0
        self.heaps: dict[str, list[tuple[int, int, dict[str, Any]]]] = {}

    def add(self, row: dict[str, Any]) -> None:
        lang = row["lang"]
        self.n[lang] += 1
        self.n_cut += len(row["text"]) == MOST_CHARACTERS
        key = row["key"]
        heap = self.heaps.setdefault(lang, [])
        item = (-key, -self.n[lang], row)
        if len(heap) < self.limit:
            heapq.heappush(heap, item)
        elif item[:2] > heap[0][:2]:
            heapq.heapreplace(heap, item)

    @property
    def notes(self) -> list[str]:
        if not self.n_cut:
            return []
        return [f"{self.n_cut:,} texts are read up to {MOST_CHARACTERS:,} characters, and take no part in the premium"]

    def frame(self) -> pl.DataFrame:
        rows = [row for lang in sorted(self.heaps) for *_, row in sorted(self.heaps[lang], key=lambda i: -i[1])]
        return pl.DataFrame(rows, schema=SCHEMA)


def read_texts(
    path: str, *, lang: str | None = None, text: str = "text", limit: int = LIMIT, say: Say | None = None
) -> Sample:
    """Read texts with their languages from a file, a folder, a pattern, or the bundled sample; `lang` is for rows that
    name none.

    Raises DataError when nothing is there, when no row can be used, or when rows have no language and none is given.
    """
    from isogloss.stages.prepare import bundled

    say = say or Say()
    given = {"lang": lang_table.resolve(lang).tag} if lang else {}
    raws = expand(bundled(path) or Path(path), path, format=None, encoding="utf-8", rows=None, given=given)
    fields = Fields(columns={"text": text}, task_fields=(), splits=False)
    kept = _Smallest(limit)
    aside, first, notes = Counter[str](), dict[str, str](), dict[str, None]()
    for raw in raws:
        for n, row in enumerate(read(raw, fields)):
            if n % 20_000 == 19_999:
                say.progress("reading", n + 1, None, "rows")
            if isinstance(row, Noted):
                notes[row.note] = None
            elif isinstance(row, Rejected):
                kind = row.reason.split(":")[0].split(" '")[0]
                aside[kind] += 1
                first.setdefault(kind, f"{row.origin}: {row.reason}")
            else:
                kept.add(_row(row["id"], row["lang"], row["group"], row["text"]))
    say.close()
    if not kept.n:
        raise DataError(_nothing(path, text, aside, first))
    for kind, n in aside.most_common(5):
        notes[f"{n:,} row{'s' * (n > 1)} of {path} set aside ({first[kind]})"] = None
    return Sample(kept.frame(), dict(kept.n), (*notes, *kept.notes))


def _nothing(path: str, text: str, aside: Counter[str], first: Mapping[str, str]) -> str:
    """Why no row could be used, and what would help."""
    if not aside:
        return f"{path} has no rows"
    kind, _ = aside.most_common(1)[0]
    help_ = {
        "no language": "; give --lang TAG for all rows, or a column 'lang'",
        "no text": f"; give --column NAME if the texts are in a column that is not called '{text}'",
    }.get(kind, "")
    return f"{path} has no row that can be used: {first[kind]}{help_}"


def of(texts: pl.DataFrame | Mapping[str, Sequence[str]] | Sample, limit: int = LIMIT) -> Sample:
    """A sample of texts in memory: a frame with `text`, `lang` and perhaps `group` and `id`, or texts by language.

    Codes of languages may be written in any way. Raises DataError for what names no language, or has no text at all.
    """
    if isinstance(texts, Sample):
        return texts
    if isinstance(texts, Mapping):
        given = [(None, lang, None, text) for lang, some in texts.items() for text in some]
    else:
        absent = [name for name in ("text", "lang") if name not in texts.columns]
        if absent:
            raise DataError(f"the frame of texts has no column '{absent[0]}' ({', '.join(texts.columns)})")
        some = [texts[name] if name in texts.columns else [None] * texts.height for name in ("id", "lang", "group")]
        given = list(zip(*some, texts["text"], strict=True))
    kept, notes = _Smallest(limit), dict[str, None]()
    for i, (id_, lang, group, text) in enumerate(given):
        if lang is None or not isinstance(text, str) or not text.strip():
            continue
        found = lang_table.resolve(str(lang))
        if found.note:
            notes[found.note] = None
        kept.add(_row(id_ if id_ is not None else i, found.tag, group, sound(text)))
    if not kept.n:
        raise DataError("there is no text to audit a tokenizer with")
    return Sample(kept.frame(), dict(kept.n), (*notes, *kept.notes))


def _row(id_: Any, lang: Any, group: Any, text: Any) -> dict[str, Any]:
    group = None if group is None else str(group)
    drawn = hashlib.blake2b((group or text).encode("utf-8", "surrogatepass"), digest_size=7).digest()
    key = int.from_bytes(drawn, "big")
    whole = len(text) <= MOST_CHARACTERS
    return {"id": str(id_), "lang": lang, "group": group if whole else None, "text": text[:MOST_CHARACTERS], "key": key}


def some(rows: pl.DataFrame, n: int) -> NDArray[np.int64]:
    """The places of at most `n` rows of each language, those with the smallest keys."""
    rank = rows.select(pl.col("key").rank("ordinal").over("lang")).to_series().to_numpy()
    return np.flatnonzero(rank <= n)
