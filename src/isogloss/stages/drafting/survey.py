"""survey: one pass over somebody's data, bounded in rows and memory, with the reader that `prepare` uses.

Counts are of all rows read. Texts are looked at in a sample of at most `SAMPLE` rows: in every language those with the
smallest hashes, so that the order of the file does not matter. Copies are looked for among texts whose hash lies below
a limit that sinks as they become many: copies have equal hashes, so they are found or left out together.
"""

from __future__ import annotations

import heapq
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from isogloss.core import lang as lang_table
from isogloss.core import near
from isogloss.core.corpus import Fields, Noted, Rejected, read
from isogloss.core.errors import DataError
from isogloss.core.readers import RawFile
from isogloss.core.say import Say
from isogloss.stages.examples import kind

MOST_ROWS = 1_000_000
SAMPLE = 20_000
OF_A_LANG = 2_000
# Hashes and names held at once.
HELD = 200_000
MOST_CHARACTERS = 5_000
UNKNOWN = "und"


@dataclass
class Copies:
    """Texts that are equal but for case and white space."""

    n_seen: int = 0
    n_within: int = 0
    """copies of a text of the same language in the same split"""
    n_across: int = 0
    """train rows whose text is in dev or test, in the same language"""
    n_conflicts: int = 0
    """copies whose label differs"""
    limit: int = 1 << 64
    held: dict[int, tuple[str, str]] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Of the texts, the share among which copies were looked for."""
        return self.limit / (1 << 64)

    def add(self, mark: int, split: str, label: str) -> None:
        if mark >= self.limit:
            return
        self.n_seen += 1
        if mark in self.held:
            first_split, first_label = self.held[mark]
            self.n_within += first_split == split
            self.n_across += first_split != split and "train" in (first_split, split)
            self.n_conflicts += first_label != label
            return
        self.held[mark] = (split, label)
        if len(self.held) > HELD:
            self.limit //= 2
            self.held = {m: v for m, v in self.held.items() if m < self.limit}


@dataclass
class Ties:
    """What a column, or the stem of ids, ties together: is it an id, or the content that translations share?"""

    column: str
    rows: Counter[int] = field(default_factory=Counter)
    langs: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    splits: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    firsts: dict[int, tuple[str, str]] = field(default_factory=dict)
    n: int = 0
    example: tuple[str, ...] = ()
    """two ids of one stem"""
    limit: int = 1 << 64

    def add(self, value: str, lang: str, split: str, whole: str = "") -> None:
        self.n += 1
        mark = _mark(value)
        if mark >= self.limit:
            return
        if whole and not self.example:
            first = self.firsts.setdefault(mark, (whole, lang))
            self.example = (first[0], whole) if first[1] != lang else ()
        self.rows[mark] += 1
        self.langs[mark].add(lang)
        self.splits[mark].add(split)
        if len(self.rows) > HELD // 2:
            self.limit //= 2
            for table in (self.rows, self.langs, self.splits, self.firsts):
                for m in [m for m in table if m >= self.limit]:
                    del table[m]

    @property
    def unique(self) -> bool:
        return bool(self.rows) and max(self.rows.values()) == 1

    @property
    def langs_each(self) -> float:
        """Languages that one value has, on average."""
        return sum(map(len, self.langs.values())) / max(1, len(self.langs))

    @property
    def rows_each(self) -> float:
        return sum(self.rows.values()) / max(1, len(self.rows))

    @property
    def spread(self) -> float:
        """How much the rows of a value differ: standard deviation over mean."""
        n, mean = len(self.rows), self.rows_each
        return math.sqrt(sum((rows - mean) ** 2 for rows in self.rows.values()) / n) / mean if n else 0.0

    @property
    def parallel(self) -> bool:
        """Values stand for content in several languages: most have more than one language, and few rows of each."""
        many = sum(len(langs) > 1 for langs in self.langs.values())
        return many >= 0.5 * max(1, len(self.langs)) and self.rows_each <= 3 * self.langs_each

    @property
    def n_straddling(self) -> int:
        """Values with rows in train and also in dev or test."""
        return sum("train" in splits and bool(splits & {"dev", "test"}) for splits in self.splits.values())


@dataclass
class Survey:
    """What was seen. `counts` is by (language, split, label); split "" where none is given, language "und" likewise."""

    n_rows: int = 0
    n_bytes: int = 0
    complete: bool = True
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    aside: dict[str, dict[str, Any]] = field(default_factory=dict)
    unknown: Counter[str] = field(default_factory=Counter)
    notes: dict[str, str] = field(default_factory=dict)
    copies: Copies = field(default_factory=Copies)
    ties: dict[str, Ties] = field(default_factory=dict)
    stems: Ties = field(default_factory=lambda: Ties("id"))
    sample: list[dict[str, str]] = field(default_factory=list)

    @property
    def n_aside(self) -> int:
        return sum(reason["n"] for reason in self.aside.values())

    def by(self, *what: int) -> Counter[Any]:
        """Counts by some of (0 language, 1 split, 2 label)."""
        out: Counter[Any] = Counter()
        for key, n in self.counts.items():
            out[key[what[0]] if len(what) == 1 else tuple(key[i] for i in what)] += n
        return out

    @property
    def langs(self) -> list[str]:
        """Languages, most rows first."""
        return [lang for lang, _ in sorted(self.by(0).items(), key=lambda item: (-item[1], item[0])) if lang != UNKNOWN]


def survey(
    raws: Sequence[RawFile], columns: Mapping[str, str], candidates: Sequence[str], say: Say, most: int = MOST_ROWS
) -> Survey:
    """Read the files once; `candidates` are columns that may be ids or groups.

    Raises DataError when no row can be used.
    """
    own = {columns.get(name, name): name for name in ("id", "group")}
    keep = tuple(name for name in candidates if name not in own)
    fields = Fields(columns=dict(columns), keep=keep, detect=True)
    seen = Survey(ties={name: Ties(name) for name in candidates})
    heaps: dict[str, list[tuple[int, int, dict[str, str]]]] = defaultdict(list)
    n = 0
    for row in _rows(raws, fields):
        if isinstance(row, Noted):
            seen.notes[row.code] = row.note
            continue
        n += 1
        if n > most:
            seen.complete = False
            break
        if n % 5000 == 0:
            say.progress("looking", n, None, "rows")
        if isinstance(row, Rejected):
            _aside(seen, row)
            continue
        _add(seen, row, own, heaps, n)
    say.close()
    if not seen.n_rows:
        shown = sorted(seen.aside.items(), key=lambda item: -item[1]["n"])[:3]
        why = "; ".join(f"{reason} (x{entry['n']:,})" for reason, entry in shown) or "there is none"
        raise DataError(f"no row can be used: {why}")
    seen.sample = _sample(heaps)
    return seen


def _rows(raws: Sequence[RawFile], fields: Fields) -> Iterator[Any]:
    for raw in raws:
        yield from read(raw, fields)


def _aside(seen: Survey, row: Rejected) -> None:
    reason = kind(row.reason)
    entry = seen.aside.setdefault(reason, {"n": 0, "first": row.origin, "langs": Counter()})
    entry["n"] += 1
    entry["langs"][row.lang or UNKNOWN] += 1
    if match := re.match(r"unknown language '(.*)'", row.reason):
        seen.unknown[match[1]] += 1


def _add(seen: Survey, row: dict[str, Any], own: Mapping[str, str], heaps: dict[str, list[Any]], n: int) -> None:
    lang, split, label, text = row["lang"] or UNKNOWN, row["split"] or "", row["label"] or "", row["text"]
    seen.n_rows += 1
    seen.n_bytes += len(text.encode())
    seen.counts[lang, split, label] += 1
    mark = _mark(f"{lang} {' '.join(text.casefold().split())}")
    seen.copies.add(mark, split, label)
    for name, ties in seen.ties.items():
        value = row.get(own.get(name, name))
        if value is not None and not (own.get(name) == "id" and value == row["origin"]):
            ties.add(value, lang, split)
    if row["id"] != row["origin"]:
        stem = _forms(lang).sub("", row["id"])
        if stem != row["id"] and stem.strip("-_.:/ "):
            seen.stems.add(stem, lang, split, row["id"])
    heap = heaps[lang]
    cut = text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS]
    item = (-mark, n, {"lang": lang, "split": split, "label": label, "text": cut, "origin": row["origin"]})
    if len(heap) < OF_A_LANG:
        heapq.heappush(heap, item)
    elif -heap[0][0] > mark:
        heapq.heapreplace(heap, item)


def _mark(text: str) -> int:
    return int.from_bytes(near.digest(text)[:8], "big")


@lru_cache(maxsize=1024)
def _forms(lang: str) -> re.Pattern[str]:
    """How a language may be written inside an id."""
    forms = {lang, lang.replace("_", "-"), lang[:3]}
    if lang != UNKNOWN:
        bcp47 = lang_table.facts(lang).bcp47
        forms |= {bcp47, bcp47.split("-")[0]} - {"unknown"}
    words = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
    return re.compile(rf"(?<![A-Za-z])(?:{words})(?:[-_][A-Z]{{2}})?(?![A-Za-z])", re.I)


def _sample(heaps: Mapping[str, list[tuple[int, int, dict[str, str]]]]) -> list[dict[str, str]]:
    """An even share of every language, what small languages leave going to the others; in the order of the rows."""
    left, langs = SAMPLE, sorted(heaps, key=lambda lang: len(heaps[lang]))
    out: list[tuple[int, dict[str, str]]] = []
    for place, lang in enumerate(langs):
        take = min(len(heaps[lang]), left // (len(langs) - place))
        left -= take
        out += [(n, row) for _, n, row in sorted(heaps[lang], reverse=True)[:take]]
    return [row for _, row in sorted(out, key=lambda item: item[0])]
