"""Which column of somebody's file is which of ours: by its name first, then by what is in it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from isogloss.core import lang as lang_table
from isogloss.core.corpus import COLUMNS
from isogloss.core.datasets import SPLIT_NAMES
from isogloss.core.errors import DataError
from isogloss.core.readers import Broken, RawFile, rows

# Rows that are looked at to learn the columns, at least of each file and in all; of many files, so many.
PEEK_EACH, PEEK_ALL, PEEK_FILES = 400, 40_000, 60
MOST_LABELS = 500
MOST_VALUES = 5_000

# Names seen in the wild, likeliest first. Compared in lower case with everything but letters and digits as "_".
NAMES: dict[str, str] = {
    "text": "text sentence content review utterance utt tweet message comment body post headline document premise "
    "question query prompt abstract description review_body review_text sentence1 text_a title input phrase snippet "
    "doc texte texto testo inhalt kommentar teks matn",
    "label": "label class category intent sentiment stars rating topic target polarity emotion star_rating gold "
    "gold_label label_text annotation score labels kategorie categoria etiqueta etichetta y",
    "lang": "lang language locale lang_code language_code langcode lang_id iso iso639 iso639_3 iso_639_3 langue idioma "
    "sprache lingua lng",
    "split": "split fold subset partition set data_split dataset_split part",
    "group": "group group_id parallel_id index_id sentence_id sent_id pair_id content_id source_id translation_id "
    "concept_id original_id seg_id segment_id",
    "id": "id uid guid uuid example_id row_id item_id doc_id tweet_id review_id message_id _id idx index key",
    "license": "license licence",
    "source": "source dataset corpus provenance",
}
# Columns worth carrying to the report, where they have few values.
SLICES = (
    "dialect",
    "domain",
    "variety",
    "genre",
    "gender",
    "culture",
    "country",
    "region",
    "platform",
    "channel",
    "product",
    "age",
    "register",
)
NONE = ""
"""In data.columns: none of the file's columns is this one of ours."""


@dataclass
class Column:
    """What was seen of one column: values that are not null, their types, and up to 5,000 different ones."""

    name: str
    n: int = 0
    types: Counter[str] = field(default_factory=Counter)
    values: Counter[str] = field(default_factory=Counter)
    n_characters: int = 0

    def add(self, value: Any) -> None:
        self.n += 1
        self.types[type(value).__name__] += 1
        text = str(value).strip().encode("utf-8", "replace").decode()
        self.n_characters += len(text)
        if len(self.values) < MOST_VALUES or text in self.values:
            self.values[text[:200]] += 1

    @property
    def scalar(self) -> bool:
        return not self.types.keys() & {"list", "dict", "bytes"}

    @property
    def mean_length(self) -> float:
        return self.n_characters / max(1, self.n)

    @property
    def textual(self) -> bool:
        return self.types["str"] >= 0.9 * self.n and any(any(c.isalpha() for c in v) for v in islice(self.values, 50))


@dataclass(frozen=True)
class Guess:
    """Their column for each of ours (NONE: none, though one has that name), and candidates that rows must decide."""

    columns: dict[str, str]
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    keep: tuple[str, ...]
    notes: tuple[str, ...]

    def theirs(self, ours: str) -> str | None:
        return self.columns.get(ours) or None


def peek(raws: Sequence[RawFile]) -> dict[str, Column]:
    """The columns of the first rows of the files. Raises DataError when there is not one."""
    found: dict[str, Column] = {}
    chosen = raws[:: max(1, len(raws) // PEEK_FILES)]
    for raw in chosen:
        for _, row in islice(rows(raw), max(PEEK_EACH, PEEK_ALL // len(chosen))):
            if isinstance(row, Broken):
                continue
            for name, value in row.items():
                if value is not None and value != "" and len(found) < 1000 and _writable(name):
                    found.setdefault(name, Column(name)).add(value)
    if not found:
        raise DataError(f"no row can be read: {_why(chosen)}")
    return found


def _writable(name: str) -> bool:
    """Whether a recipe, which is UTF-8, can name the column."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _why(raws: Sequence[RawFile]) -> str:
    for raw in raws:
        for line, row in rows(raw):
            if isinstance(row, Broken):
                return f"{raw.shown}:{line}: {row.reason}"
    return f"{raws[0].shown} is empty" + (", and so are the others" if len(raws) > 1 else "")


def guess(columns: Mapping[str, Column], given: Iterable[str]) -> Guess:
    """Choose columns. `given` are those of ours that the place of the files says already.

    Raises DataError when no column can be the text or the label.
    """
    given, free, notes = set(given), dict(columns), list[str]()
    chosen: dict[str, str] = {}

    def take(ours: str, column: Column | None) -> None:
        if column is not None:
            chosen[ours] = column.name
            free.pop(column.name, None)

    take("lang", None if "lang" in given else _lang(free))
    take("split", None if "split" in given else _split(free, notes))
    take("text", _text(free))
    if "text" not in chosen:
        raise DataError(f"no column looks like text{_listed(columns)}; a recipe needs one with what people wrote")
    take("label", None if "label" in given else _label(free, notes))
    if "label" not in chosen and "label" not in given:
        why = notes[-1] if notes and "label" in notes[-1] else f"no column looks like a label{_listed(columns)}"
        raise DataError(f"{why}; to classify, every row needs a label with at least two values in the file")
    ids = tuple(c.name for c in _named("id", free) if c.scalar)
    groups = tuple(c.name for c in _named("group", free) if c.scalar)[:3]
    take("license", next((c for c in _named("license", free) if c.scalar and c.name not in (*ids, *groups)), None))
    source = free.get("source")
    if source is not None and (not source.scalar or source.mean_length > 60 or len(source.values) > 100):
        chosen["source"] = NONE
        notes.append(
            f"column 'source' has {len(source.values)} different values and is not read as where text comes from"
        )
    keep = tuple(c.name for c in free.values() if _tidy(c.name) in SLICES and c.scalar and 2 <= len(c.values) <= 50)
    return Guess(chosen, ids[:3], groups, tuple(name for name in keep if name not in COLUMNS), tuple(notes))


def _listed(columns: Mapping[str, Column]) -> str:
    return f" (the columns: {', '.join(list(columns)[:12])[:300]})"


def _tidy(name: str) -> str:
    return re.sub(r"[^0-9a-z]+", "_", name.strip().lower()).strip("_") or name.strip().lower()


def _named(ours: str, columns: Mapping[str, Column]) -> list[Column]:
    """Columns whose name says that they are `ours`, likeliest first; a name may have other words around."""
    known = NAMES[ours].split()
    ranked = []
    for place, column in enumerate(columns.values()):
        tidy = _tidy(column.name) if column.name != "_id" else "_id"
        if column.name == ours:
            ranked.append((-1, place, column))
        elif tidy in known:
            ranked.append((known.index(tidy), place, column))
        else:
            words = tidy.split("_")
            at = [known.index(word) for word in words if word in known[:12]]
            if at and ours in ("text", "label", "lang"):
                ranked.append((100 + min(at), place, column))
    return [column for _, _, column in sorted(ranked, key=lambda item: item[:2])]


def _is_lang(value: str) -> bool:
    try:
        lang_table.resolve(value)
    except DataError:
        return False
    return True


def _lang(columns: Mapping[str, Column]) -> Column | None:
    for column in _named("lang", columns):
        values = list(column.values)[:200]
        if column.scalar and values and sum(map(_is_lang, values)) >= len(values) / 2:
            return column
    other = {name for ours in ("text", "label", "split") for name in (c.name for c in _named(ours, columns))}
    for column in columns.values():
        values = list(column.values)
        if (
            column.name not in other
            and column.scalar
            and 3 <= len(values) <= 300
            and all(len(v) <= 20 and _is_lang(v) for v in values)
        ):
            return column
    return None


def _split(columns: Mapping[str, Column], notes: list[str]) -> Column | None:
    for column in _named("split", columns):
        n = sum(count for value, count in column.values.items() if value.lower() in SPLIT_NAMES)
        if column.scalar and n >= 0.5 * column.n:
            return column
        notes.append(
            f"column '{column.name}' has values such as '{next(iter(column.values), '')[:20]}', which are no splits"
        )
    for column in columns.values():
        values = {value.lower() for value in column.values}
        if (
            column.scalar
            and len(values) >= 2
            and values <= SPLIT_NAMES.keys()
            and "train" in {SPLIT_NAMES[v] for v in values}
        ):
            return column
    return None


def _text(columns: Mapping[str, Column]) -> Column | None:
    labels = {c.name for c in _named("label", columns) if len(c.values) < 0.2 * c.n}
    for column in _named("text", columns):
        if column.textual and column.name not in labels and len(column.values) > min(20, 0.1 * column.n):
            return column
    named = {c.name for ours in ("id", "group", "lang") for c in _named(ours, columns)}
    rest = [
        c
        for c in columns.values()
        if c.textual and c.name not in named | labels and len(c.values) >= 0.3 * min(c.n, 5000)
    ]
    return max(rest, key=lambda c: (c.mean_length, c.name), default=None)


def _label(columns: Mapping[str, Column], notes: list[str]) -> Column | None:
    for column in _named("label", columns):
        if not column.scalar:
            continue
        if (len(column.values) >= 2 or column.name == "label") and not _too_many(column):
            return column
        notes.append(
            f"column '{column.name}' has {_n(column)} different values in {column.n:,} rows, which makes no label"
        )
    other = {c.name for ours in ("id", "group", "source", "license", "split") for c in _named(ours, columns)}
    for column in columns.values():
        few = 2 <= len(column.values) <= min(50, 0.2 * column.n) and column.mean_length <= 40
        if not few or not column.scalar or column.name in other or _tidy(column.name) in SLICES:
            continue
        if not all(map(_is_lang, column.values)):
            n = _n(column)
            notes.append(f"no column is called label or the like; '{column.name}', with {n} values, is taken for it")
            return column
    return None


def _n(column: Column) -> str:
    return f"{len(column.values):,}" + (" or more" if len(column.values) >= MOST_VALUES else "")


def _too_many(column: Column) -> bool:
    return column.n >= 20 and len(column.values) > min(MOST_LABELS, 0.5 * column.n)


# -- what the place of the files says ---------------------------------------------------------------------------


def pattern(folder: Path, raws: Sequence[RawFile], wanted: Iterable[str]) -> str | None:
    """A pattern under `folder` that matches the files and names what their place says of `wanted`, or None.

    `data/eng_Latn/train.tsv, data/swh_Latn/train.tsv` → `{lang}/train.tsv`.
    """
    wanted = set(wanted)
    paths = [raw.path.relative_to(folder).as_posix() for raw in raws]
    pieces = [re.split(r"(/)", path) for path in paths]
    if len(paths) < 2 or len({len(p) for p in pieces}) != 1:
        return None
    out, used = "", set[str]()
    for i, column in enumerate(zip(*pieces, strict=True)):
        last = i == len(pieces[0]) - 1
        out += _piece(list(column), wanted - used, last, all(raw.format == "text" for raw in raws))
        used |= set(re.findall(r"\{(\w+)\}", out))
    return out if used else None


def _piece(values: list[str], wanted: set[str], last: bool, texts: bool) -> str:
    """One piece of the paths as a pattern."""
    if len(set(values)) == 1:
        return _plain(values[0])
    ends = {"".join(re.findall(r"\.[A-Za-z0-9]+(?:\.gz)?$", value)) for value in values} if last else {""}
    if len(ends) != 1:
        return "*"
    end = ends.pop()
    stems = [value.removesuffix(end) if end else value for value in values]
    if found := _what(stems, wanted, texts):
        return "{" + found + "}" + _plain(end)
    cut = [re.split(r"([._-])", stem) for stem in stems]
    if len({len(c) for c in cut}) == 1 and len(cut[0]) > 1:
        out, left = "", set(wanted)
        for column in zip(*cut, strict=True):
            name = None if len(set(column)) == 1 else _what(list(column), left, False)
            left.discard(name or "")
            out += _plain(column[0]) if len(set(column)) == 1 else "{" + name + "}" if name else "*"
        if left != wanted:
            return out + _plain(end)
    return "*" + _plain(end)


def _what(values: list[str], wanted: set[str], texts: bool) -> str | None:
    different = set(values)
    if "split" in wanted and {v.lower() for v in different} <= SPLIT_NAMES.keys():
        return "split"
    if "lang" in wanted and all(map(_is_lang, different)):
        return "lang"
    if "label" in wanted and texts and 2 <= len(different) <= 50:
        return "label"
    return None


def _plain(text: str) -> str:
    return text if not re.search(r"[*?\[{]", text) else "*"
