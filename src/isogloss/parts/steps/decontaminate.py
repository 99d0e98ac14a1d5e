"""Drop training rows whose text, or a translation of it, is in an evaluation set.

Every row is compared with the texts of the files in `against` at four levels, the strongest named in the reason:

- *verbatim*: equal as they are;
- *normalised*: equal after NFKC, case folding and white space;
- *punctuation*: equal when punctuation and spaces do not count either;
- *near*: Jaccard similarity of character n-grams of at least `near` (rule for short text and scripts: `_near.py`).

A match is a fact about content, not about one language: when any row of a group matches, in whatever split, the
training rows of the whole group go. Groups and ids of the evaluation files are not read: packs number differently.
Only rows with split `train` are dropped. Texts inside longer texts are not searched for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from isogloss.core import near as _near
from isogloss.core.errors import DataError, MissingError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

VERSION = 1
Threshold = Annotated[float, Field(gt=0, le=1)]
Units = Annotated[int, Field(ge=1)]
AFTER_SPLIT = True
LEVELS = ("verbatim", "normalised", "punctuation", "near")
READS = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".txt")
# Texts read and indexed at a time.
CHUNK = 50_000


@dataclass
class _Index:
    """What is kept of the evaluation texts: for each level hash → file number; bands sorted for searching."""

    names: list[str]
    exact: tuple[dict[bytes, int], dict[bytes, int], dict[bytes, int]] = field(default_factory=lambda: ({}, {}, {}))
    values: list[np.ndarray] = field(default_factory=list)  # by band: sorted hashes
    orders: list[np.ndarray] = field(default_factory=list)  # by band: text number of each hash
    sketches: list[np.ndarray] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)


def _texts(path: Path, column: str) -> Iterator[list[str]]:
    """Read the texts of one evaluation file in chunks. DataError, MissingError: the file cannot be used."""
    import polars as pl

    kind = path.suffix.lower()
    if not path.is_file():
        raise MissingError(f"decontaminate: there is no evaluation file {path}")
    if kind not in READS:
        raise DataError(f"decontaminate: {path.name} is none of {', '.join(READS)}")
    if path.stat().st_size == 0:
        return
    if kind == ".txt":
        lines: list[str] = []
        with path.open(encoding="utf-8-sig", errors="replace", newline=None) as file:
            for line in file:
                lines.append(line.rstrip("\n"))
                if len(lines) == CHUNK:
                    yield lines
                    lines = []
        yield lines
        return
    try:
        if kind == ".parquet":
            frame = pl.scan_parquet(path)
        elif kind in (".jsonl", ".ndjson"):
            frame = pl.scan_ndjson(path, infer_schema_length=None)
        else:
            # Every column as text: a quote out of place in a column that is not read must not stop the run.
            tab = kind == ".tsv"
            frame = pl.scan_csv(
                path, separator="\t" if tab else ",", quote_char=None if tab else '"', infer_schema=False
            )
        columns = frame.collect_schema().names()
        if column not in columns:
            raise DataError(f"decontaminate: {path.name} has no column '{column}', but {', '.join(columns)}")
        frame = frame.select(pl.col(column).cast(pl.String).alias("text")).drop_nulls()
        for chunk in frame.collect_batches(chunk_size=CHUNK, maintain_order=True):
            yield chunk["text"].to_list()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"decontaminate: {path.name} cannot be read: {str(error).splitlines()[0]}") from error


@lru_cache(maxsize=2)
def _index(stamps: tuple[tuple[Path, int, int], ...], column: str, near: float, ngram: int) -> _Index:
    """Build the index once a process; `stamps` are path, size and time of change."""
    import numpy as np

    index = _Index([path.name for path, _, _ in stamps])
    bands: list[np.ndarray] = []
    for source, (path, _, _) in enumerate(stamps):
        for chunk in _texts(path, column):
            new = []
            for text in chunk:
                if not text or text.isspace():
                    continue
                index.exact[0].setdefault(_near.digest(text), source)
                normal = _near.normalised(text)
                mark = _near.digest(normal)
                if mark in index.exact[1]:
                    continue
                index.exact[1][mark] = source
                key = _near.key_of(normal)
                mark = _near.digest(key)
                if mark not in index.exact[2]:
                    index.exact[2][mark] = source
                    new.append(key)
            if near < 1 and new:
                sketches = _near.sketch(new, ngram, near)
                long = [i for i, shingles in enumerate(sketches.shingles) if shingles.size]
                bands.append(sketches.bands[long])
                index.sketches.extend(sketches.shingles[i] for i in long)
                index.sources.extend([source] * len(long))
    if index.sketches:
        for band in np.concatenate(bands).T:
            order = np.argsort(band, kind="stable")
            index.orders.append(order)
            index.values.append(band[order])
    return index


def _stamps(against: list[Path]) -> tuple[tuple[Path, int, int], ...]:
    stamps = []
    for path in map(Path, against):
        if not path.is_file():
            raise MissingError(f"decontaminate: there is no evaluation file {path}")
        stat = path.stat()
        stamps.append((path, stat.st_size, stat.st_mtime_ns))
    return tuple(stamps)


def _nearest(index: _Index, bands: Any, shingles: Any, near: float) -> tuple[float, int] | None:
    """Find the most similar evaluation text of one row: (Jaccard, file number), or None below `near`."""
    import numpy as np

    candidates: set[int] = set()
    for values, order, value in zip(index.values, index.orders, bands, strict=True):
        start, end = np.searchsorted(values, value, "left"), np.searchsorted(values, value, "right")
        candidates.update(order[start:end].tolist())
    best = max(((_near.jaccard(shingles, index.sketches[i]), -i) for i in candidates), default=(0.0, 0))
    return (best[0], index.sources[-best[1]]) if best[0] >= near else None


def summarise(
    batch: pl.DataFrame, *, against: list[Path], near: Threshold = 0.8, ngram: Units = 5, column: str = "text"
) -> pl.DataFrame:
    """Give the rows of this shard that match: `id, group, level, how`.

    Knobs
        against: evaluation files (JSONL, CSV, TSV, Parquet, or TXT with a text a line), paths
        near: Jaccard similarity from which a row matches, share 0..1; 1 leaves the near search out
        ngram: length of the compared character n-grams, units (a syllable or word character counts two)
        column: the column of the evaluation files that holds the text, name

    Errors: MissingError when a file is not there, DataError when it cannot be read or has no such column.
    """
    import polars as pl

    index = _index(_stamps(against), column, near, ngram)
    found: list[tuple[str, str | None, int, str]] = []
    rest: list[tuple[str, str | None, str]] = []
    groups = batch["group"].to_list() if "group" in batch.columns else [None] * batch.height
    for name, text, group in zip(batch["id"].cast(pl.String).to_list(), batch["text"].to_list(), groups, strict=True):
        if text is None or not text or text.isspace():
            continue
        normal = _near.normalised(text)
        key = _near.key_of(normal)
        for level, form in enumerate((text, normal, key)):
            source = index.exact[level].get(_near.digest(form))
            if source is not None:
                found.append((name, group, level, f"{index.names[source]} ({LEVELS[level]})"))
                break
        else:
            rest.append((name, group, key))
    if near < 1 and index.values and rest:
        sketches = _near.sketch([key for _, _, key in rest], ngram, near)
        for (name, group, _), bands, shingles in zip(rest, sketches.bands, sketches.shingles, strict=True):
            match = _nearest(index, bands, shingles, near) if shingles.size else None
            if match:
                how = f"{index.names[match[1]]} (near, Jaccard {match[0]:.2f})"
                found.append((name, group, LEVELS.index("near"), how))
    schema = {"id": pl.String, "group": pl.String, "level": pl.Int64, "how": pl.String}
    return pl.DataFrame(found, schema=schema, orient="row")


def decide(summaries: pl.DataFrame) -> pl.DataFrame:
    """Gather the matches of all shards, in an order that does not depend on the shards."""
    return summaries.sort("level", "how", "id")


def apply(batch: pl.DataFrame, decision: pl.DataFrame) -> pl.DataFrame:
    """Write the reason into `drop` of training rows that match or are translations of a row that does."""
    import polars as pl

    own = dict(decision.select("id", "how").iter_rows())
    by_group: dict[str, str] = {}
    for group, how in decision.select("group", "how").iter_rows():
        if group is not None:
            by_group.setdefault(group, how)  # the strongest comes first

    def columns(name: str) -> list[Any]:
        return batch[name].to_list() if name in batch.columns else [None] * batch.height

    drop: list[str | None] = []
    ids = batch["id"].cast(pl.String).to_list()
    for name, old, split, group in zip(ids, columns("drop"), columns("split"), columns("group"), strict=True):
        if old is not None or split != "train":
            drop.append(old)
        elif name in own:
            drop.append(f"found in {own[name]}")
        elif group in by_group:
            drop.append(f"translation of a row found in {by_group[group]}")
        else:
            drop.append(None)
    return batch.with_columns(pl.Series("drop", drop, dtype=pl.String))
