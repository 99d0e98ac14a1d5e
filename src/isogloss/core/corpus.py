"""Corpus: Parquet shards, one row an example, every row with its language.

Columns: `id, lang, variety, split, source, license, collected, original_or_translated, group, text`, the task's fields,
kept columns, and `origin` (file:line). `group` ties translations of the same content; null where there is none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isogloss.core import files
from isogloss.core.datasets import SPLIT_NAMES
from isogloss.core.errors import DamagedError, DataError
from isogloss.core.files import sound
from isogloss.core.lang import Resolved, resolve
from isogloss.core.readers import LOOSE, Broken, Meter, RawFile, rows
from isogloss.core.tasks import named

if TYPE_CHECKING:
    import polars as pl

# Where a text comes from; a source of the recipe may state each for all its rows.
PROVENANCE = ("source", "license", "collected", "original_or_translated")
COLUMNS = ("id", "lang", "variety", "split", *PROVENANCE, "group", "text")
SPLITS = ("train", "dev", "test")
# Characters of one text. More is a book, not an example, and steps need many times its size in memory.
MAX_TEXT = 1_000_000
# Characters of a page: its text is far shorter.
MAX_PAGE = 5_000_000
# What `original_or_translated` may say, and what it is read as.
ORIGINAL = {
    "original": "original", "orig": "original", "source": "original", "native": "original",
    "translated": "translated", "translation": "translated", "target": "translated", "mt": "translated",
    "machine-translated": "translated", "machine translated": "translated", "machine translation": "translated",
    "unknown": None, "?": None,
}  # fmt: skip


@dataclass(frozen=True)
class Fields:
    """How raw columns become corpus columns."""

    columns: Mapping[str, str] = field(default_factory=dict)
    task_fields: tuple[str, ...] = ("label",)
    keep: tuple[str, ...] = ()
    langs: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None
    tasks: tuple[str, ...] | None = None
    """The tasks of rows that name one; their labels begin with it."""
    splits: bool = True
    """Whether rows have a split; new texts have none."""
    detect: bool = False
    """Rows without a language go on, for a later step to fill."""

    def theirs(self, ours: str) -> str:
        return self.columns.get(ours, ours)

    @property
    def schema(self) -> dict[str, Any]:
        import polars as pl

        return dict.fromkeys((*COLUMNS, *self.task_fields, *self.keep, "origin"), pl.String)


@dataclass(frozen=True)
class Rejected:
    """A row set aside while reading."""

    origin: str
    reason: str
    lang: str | None
    raw: str

    def __post_init__(self) -> None:
        for name in ("reason", "raw"):  # both may quote what is no text
            object.__setattr__(self, name, sound(getattr(self, name)))


@dataclass(frozen=True)
class Noted:
    """What was assumed of a code for a language that the data uses; once for each code of a file."""

    code: str
    note: str


def read(
    raw: RawFile, fields: Fields, meter: Meter | None = None
) -> Iterator[dict[str, str | None] | Rejected | Noted]:
    """Read one raw file to corpus rows; rows that cannot be used come as Rejected, in their place.

    `meter` is told how to ask how far it is.
    """
    needed = None if raw.format in (*LOOSE, "json", "jsonl") else fields.theirs("text")
    wanted = {fields.theirs(name) for name in (*COLUMNS, *fields.task_fields, *fields.keep)}
    seen: set[str] = set()
    for line, value in rows(raw, needed, wanted, meter):
        origin = f"{raw.shown}:{line}"
        if isinstance(value, Broken):
            yield Rejected(origin, value.reason, None, value.raw)
            continue
        row = _row(value, raw, fields, origin)
        code = _given(value, raw, fields, "lang")
        if isinstance(row, str):
            shown = json.dumps(value, ensure_ascii=True, default=str)[:500]
            yield Rejected(origin, row, _tag_of(code), shown)
            continue
        if code is not None and code not in seen:
            seen.add(code)
            found = _resolve(str(code).strip())
            if isinstance(found, Resolved) and found.note:
                yield Noted(str(code), found.note)
        yield row


def _given(value: Mapping[str, Any], raw: RawFile, fields: Fields, name: str) -> Any:
    """What a row says under our name for a column, else what its file or its place says."""
    found = value.get(fields.theirs(name))
    return raw.given.get(name) if _missing(found) else found


def _missing(value: Any) -> bool:
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def _row(value: Mapping[str, Any], raw: RawFile, fields: Fields, origin: str) -> dict[str, str | None] | str:
    """A corpus row, or the reason why there is none."""

    def get(name: str) -> Any:
        return _given(value, raw, fields, name)

    text = value.get("text" if raw.format in LOOSE else fields.theirs("text"))
    if text is None:
        return _no_text(value, fields)
    if not isinstance(text, str):
        return f"text is no string: {type(text).__name__}"
    if "\x00" in text:
        return "NUL byte in the text"
    most = MAX_PAGE if raw.format == "html" else MAX_TEXT
    if len(text) > most:
        return f"text of more than {most:,} characters: {len(text):,}"
    if not text.isascii() and re.search(r"[\ud800-\udfff]", text):
        return "half a character (lone surrogate) in the text"
    if not text.strip():
        return "empty text"
    row: dict[str, str | None] = {"text": text, "origin": origin}
    lang = _lang(get("lang"), fields)
    if isinstance(lang, str):
        return lang
    row["lang"], row["variety"] = lang
    split = get("split") if fields.splits else None
    row["split"] = None if split is None else SPLIT_NAMES.get(str(split).strip().lower())
    if split is not None and row["split"] is None:
        return f"unknown split '{_clip(split)}'; known: train, dev, test"
    for name in fields.task_fields:
        filled = _scalar(get(name))
        if filled is None:
            return f"no {name}"
        if name == "label" and fields.labels and filled not in fields.labels:
            return f"unknown label '{_clip(filled)}'"
        if name == "task" and fields.tasks and filled not in fields.tasks:
            return f"unknown task '{_clip(filled)}'"
        row[name] = filled
    if fields.tasks and "label" in fields.task_fields:
        row["label"] = named(str(row["task"]), str(row["label"]))
    for name in ("source", "license", "collected", "group", *fields.keep):
        row[name] = _scalar(get(name))
    stated = _scalar(get("original_or_translated"))
    if stated is not None and stated.lower() not in ORIGINAL:
        return f"original_or_translated is '{_clip(stated)}'; known: original, translated"
    row["original_or_translated"] = None if stated is None else ORIGINAL[stated.lower()]
    row["source"] = row["source"] or _place(raw)
    row["id"] = _scalar(get("id")) or origin
    return row


def _place(raw: RawFile) -> str:
    """Where rows come from that do not say it: their file, or its folder where a file is one row."""
    return (raw.whole and raw.shown.rpartition("/")[0]) or raw.shown


def _no_text(value: Mapping[str, Any], fields: Fields) -> str:
    name = fields.theirs("text")
    return (
        f"{name} is null"
        if name in value
        else f"no text: '{name}' is not among its fields ({', '.join(map(str, list(value)[:8]))})"
    )


def _lang(value: Any, fields: Fields) -> tuple[str | None, str | None] | str:
    if value is None:
        return (None, None) if fields.detect else "no language"
    found = _resolve(str(value).strip())
    if isinstance(found, str):
        return found
    if fields.langs is not None and found.tag not in fields.langs:
        return f"language not in the recipe: {found.tag}"
    return found.tag, found.variety


@lru_cache(maxsize=4096)
def _resolve(code: str) -> Resolved | str:
    """What a code means, or the reason why it means nothing."""
    try:
        return resolve(code)
    except DataError:
        return f"unknown language '{_clip(code)}'"


def _tag_of(code: Any) -> str | None:
    """The tag under which a row that is set aside is counted; what cannot be read is counted as it stands."""
    found = None if code is None else _resolve(str(code).strip())
    return found.tag if isinstance(found, Resolved) else _scalar(_clip(code)) if code is not None else None


def _scalar(value: Any) -> str | None:
    """A string for a scalar: 1 and 1.0 are one value, as tables write the one for the other; true stays "true"."""
    if _missing(value):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dict | list):
        return sound(json.dumps(value, ensure_ascii=False, sort_keys=True, default=str))
    return sound(str(value).strip())


def _clip(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


@dataclass(frozen=True)
class Corpus:
    """A prepared corpus on disk."""

    folder: Path

    @property
    def shards(self) -> list[Path]:
        return sorted(self.folder.glob("*.parquet"))

    def frame(self, columns: Sequence[str] | None = None, splits: Sequence[str] = SPLITS) -> pl.DataFrame:
        """Rows of the given splits, in shard order. Raises PlaceError when a shard is damaged."""
        import polars as pl

        if not self.shards:
            raise DamagedError(f"{self.folder} has no shards; repeat: isogloss prepare RECIPE --again")
        wanted = None if columns is None else list(dict.fromkeys([*columns, "split"]))
        parts = [files.read_parquet(p, wanted).filter(pl.col("split").is_in(splits)) for p in self.shards]
        whole = pl.concat(parts)
        return whole if columns is None else whole.select(columns)
