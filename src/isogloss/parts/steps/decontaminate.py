"""Drop training rows whose text, or a translation of it, is in an evaluation set.

Every row is compared with the texts of the files in `against` at five levels, the strongest named in the reason:

- *verbatim*: equal as they are;
- *normalised*: equal after NFKC, case folding and white space;
- *punctuation*: equal keys (`core/keys.py`): punctuation, spaces, invisible characters and the script of digits do not
  count either;
- *near*: Jaccard similarity of character n-grams of at least `near`;
- *n-gram*: an evaluation text stands in the row, or the row in it: the share `inside` of the runs of `run` units of the
  shorter one. What more than 64 evaluation texts have in common is a template and does not count.

Where steps before this one rewrote a row (`standardise`, `values`, `pii`), it is compared as it is and as it was before
each of them; as it was before a step that takes pieces out (`boilerplate`) it is compared as a whole only.

A match is a fact about content, not about one language: when any row of a group matches, in whatever split, the
training rows of the whole group go. Groups and ids of the evaluation files are not read: packs number differently.
Only rows with split `train` are dropped. A text of under some 40 units is found whole, not inside another.

How: an index of the evaluation texts is made once in every worker, about 1 KB a sentence. Runs are sampled by their hash
(every second), on both sides alike (Manber 1994).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from isogloss.core import keys as _keys
from isogloss.core import near as _near
from isogloss.core import readers as _readers
from isogloss.core.errors import DataError, MissingError
from isogloss.core.frames import Frames

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

VERSION = 3
BY_SHARD = True
STREAMS = True
AFTER_SPLIT = True
EARLIER = True
LEVELS = ("verbatim", "normalised", "punctuation", "near", "n-gram")
NEAR, INSIDE = LEVELS.index("near"), LEVELS.index("n-gram")

Threshold = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Units = Annotated[int, Field(ge=1)]
# Texts indexed at a time; evaluation texts that may share a run before it is a template, or a band before it says nothing.
CHUNK, TEMPLATE, CROWD = 20_000, 64, 16
# Sampled runs that the shorter of two texts has at least, when one is looked for in the other.
RUNS = 12


# -- the evaluation texts ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sorted:
    """Hashes in order, and the number of what has each."""

    values: np.ndarray
    owners: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, owners: np.ndarray) -> _Sorted:
        import numpy as np

        order = np.lexsort((owners, values))
        return cls(values[order], owners[order])

    def first(self, asked: np.ndarray) -> np.ndarray:
        """The smallest owner of each hash, or -1."""
        import numpy as np

        if not self.values.size:
            return np.full(asked.size, -1)
        at = np.minimum(np.searchsorted(self.values, asked), self.values.size - 1)
        return np.where(self.values[at] == asked, self.owners[at], -1)

    def every(self, asked: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
        """(place in `asked`, owner) of all that have a hash, of each hash the first `most`."""
        import numpy as np

        start = np.searchsorted(self.values, asked, "left")
        n = np.minimum(np.searchsorted(self.values, asked, "right") - start, most)
        within = np.arange(int(n.sum())) - np.repeat(np.cumsum(n) - n, n)
        return np.repeat(np.arange(asked.size), n), self.owners[np.repeat(start, n) + within]


@dataclass(frozen=True)
class _Index:
    """What is kept of the evaluation texts. `sources` are the numbers of their files, `n_runs` how many runs count."""

    names: list[str]
    exact: tuple[_Sorted, ...]
    texts: _keys.Keys
    sources: np.ndarray
    marks: np.ndarray
    bands: list[_Sorted]
    runs: _Sorted
    n_runs: np.ndarray
    templates: np.ndarray


def _texts(path: Path, column: str) -> Iterator[list[str]]:
    """The texts of one evaluation file in chunks. Raises DataError, MissingError: the file cannot be used whole."""
    if not path.is_file():
        raise MissingError(f"decontaminate: there is no evaluation file {path}")
    chunk: list[str] = []
    seen = False
    try:
        (raw,) = _readers.expand(path, path.name, format=None, encoding="utf-8", rows=None, given={})
        for line, row in _readers.rows(raw, column, (column,)):
            if isinstance(row, _readers.Broken):
                raise DataError(f"{path.name}:{line}: {row.reason}; an evaluation file must be whole")
            seen |= raw.format in _readers.LOOSE or column in row
            if not seen:
                raise DataError(f"{path.name}:{line} has no '{column}', but {', '.join(map(str, row)) or 'nothing'}")
            text = row.get("text" if raw.format in _readers.LOOSE else column)
            if text is not None and not (text := str(text)).isspace() and text:
                chunk.append(text)
            if len(chunk) >= CHUNK:
                yield chunk
                chunk = []
    except DataError as error:
        raise DataError(f"decontaminate: {error}") from error
    yield chunk


@lru_cache(maxsize=2)
def _index(
    stamps: tuple[tuple[Path, int, int], ...], column: str, near: float, ngram: int, inside: float, run: int
) -> _Index:
    """Build the index once a process; `stamps` are path, size and time of change."""
    import numpy as np

    seen: set[int] = set()
    levels: list[list[np.ndarray]] = [[], [], [], []]  # three of hashes, and the file of each
    points: list[np.ndarray] = []
    sizes: list[np.ndarray] = []
    sources: list[np.ndarray] = []
    for source, (path, _, _) in enumerate(stamps):
        for chunk in _texts(path, column):
            keys = _keys.keys(chunk)
            hashes = _digests(chunk, keys)
            for held, some in zip(levels, (*hashes, np.full(len(chunk), source)), strict=True):
                held.append(some)
            new = [i for i, mark in enumerate(hashes[2].tolist()) if not (mark in seen or seen.add(mark))]  # type: ignore[func-returns-value]
            loose = _keys.loose(keys)
            ends = loose.ends
            points += [loose.points[ends[i] : ends[i + 1]] for i in new]
            sizes.append(np.diff(ends)[new])
            sources.append(np.full(len(new), source))
    whole = _keys.Keys(_joined(points, np.uint32), np.concatenate([[0], np.cumsum(_joined(sizes, np.int64))]))
    files = _joined(levels[3], np.int64)
    exact = tuple(_Sorted.of(_joined(held, np.uint64), files) for held in levels[:3])
    marks, bands = _signed(whole, near, ngram)
    runs, n_runs, templates = _run_index(whole, run) if inside else (None, None, None)
    none = np.empty(0, dtype=np.uint64)
    return _Index(
        [path.name for path, _, _ in stamps],
        exact,
        whole,
        _joined(sources, np.int64),
        marks,
        bands,
        runs if runs is not None else _Sorted(none, none.astype(np.int64)),
        n_runs if n_runs is not None else np.zeros(len(whole), dtype=np.int64),
        templates if templates is not None else none,
    )


def _joined(arrays: list[np.ndarray], dtype: type) -> np.ndarray:
    import numpy as np

    return np.concatenate([np.empty(0, dtype=dtype), *arrays]).astype(dtype, copy=False)


def _digests(texts: list[str], keys: _keys.Keys) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hashes of 64 bits of the texts, of the normalised texts and of their keys."""
    import numpy as np

    def hashed(digests: Iterator[bytes]) -> np.ndarray:
        return np.frombuffer(b"".join(digest[:8] for digest in digests), dtype="<u8")

    return (
        hashed(_near.digest(text) for text in texts),
        hashed(_near.digest(_near.normalised(text)) for text in texts),
        hashed(iter(keys.digests())),
    )


def _pieces(keys: _keys.Keys) -> Iterator[tuple[int, _keys.Keys]]:
    """Some texts at a time, with the number of the first."""
    import numpy as np

    start = 0
    while start < len(keys):
        most = keys.ends[start] + _keys.AT_ONCE
        end = max(start + 1, int(np.searchsorted(keys.ends, most, "right")) - 1)
        ends = keys.ends[start : end + 1]
        yield start, _keys.Keys(keys.points[ends[0] : ends[-1]], ends - ends[0])
        start = end


def _signed(keys: _keys.Keys, near: float, ngram: int) -> tuple[np.ndarray, list[_Sorted]]:
    """Marks and bands of texts, for the near search; a text too short for it is in no band."""
    import numpy as np

    marks = np.zeros((len(keys), 2), dtype=np.uint64)
    found: list[np.ndarray] = []
    compared: list[np.ndarray] = []
    if near < 1:
        for start, some in _pieces(keys):
            own, bands, long = _signature(some, near, ngram)
            marks[start : start + len(some)] = own
            found.append(bands[long])
            compared.append(start + np.flatnonzero(long))
    owners = _joined(compared, np.int64)
    return marks, [_Sorted.of(band, owners) for band in np.concatenate(found).T] if owners.size else []


def _signature(keys: _keys.Keys, near: float, ngram: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Marks, bands, and whether there are enough n-grams."""
    import numpy as np

    _, n_rows = _near.band_shape(near)
    grams = _keys.grams(keys, ngram)
    signatures = _keys.minhash(grams, _near.PERMUTATIONS)
    long = np.diff(grams.ends) >= _near.MIN_GRAMS
    return _keys.marks(signatures), _keys.band_hashes(signatures, n_rows), long


def _runs(keys: _keys.Keys, run: int) -> tuple[np.ndarray, np.ndarray]:
    """(hash, number of the text) of the sampled runs of texts, each once a text."""
    import numpy as np

    hashes, owners = [], []
    for start, some in _pieces(keys):
        grams = _keys.grams(some, run)
        owner = start + np.repeat(np.arange(len(some)), np.diff(grams.ends))
        sampled = grams.hashes & np.uint64(1) == 0
        values, owner = grams.hashes[sampled], owner[sampled]
        order = np.lexsort((values, owner))
        values, owner = values[order], owner[order]
        once = np.ones(values.size, dtype=bool)
        once[1:] = (values[1:] != values[:-1]) | (owner[1:] != owner[:-1])
        hashes.append(values[once])
        owners.append(owner[once])
    return _joined(hashes, np.uint64), _joined(owners, np.int64)


def _run_index(keys: _keys.Keys, run: int) -> tuple[_Sorted, np.ndarray, np.ndarray]:
    """The runs of evaluation texts, how many count in each, and those that are templates."""
    import numpy as np

    runs = _Sorted.of(*_runs(keys, run))
    new = np.ones(runs.values.size, dtype=bool)
    new[1:] = runs.values[1:] != runs.values[:-1]
    starts = np.flatnonzero(new)
    n = np.diff(np.append(starts, runs.values.size)).astype(np.int64)
    common = np.repeat(n > TEMPLATE, n)
    kept = _Sorted(runs.values[~common], runs.owners[~common])
    return kept, np.bincount(kept.owners, minlength=len(keys)), np.unique(runs.values[common])


def _stamps(against: list[Path]) -> tuple[tuple[Path, int, int], ...]:
    stamps = []
    for path in map(Path, against):
        if not path.is_file():
            raise MissingError(f"decontaminate: there is no evaluation file {path}")
        stat = path.stat()
        stamps.append((path, stat.st_size, stat.st_mtime_ns))
    return tuple(stamps)


# -- the rows ---------------------------------------------------------------------------------------------------


def summarise(
    batch: pl.DataFrame,
    *,
    against: list[Path],
    near: Threshold = 0.6,
    ngram: Units = 5,
    inside: Share = 0.6,
    run: Units = 15,
    column: str = "text",
) -> pl.DataFrame:
    """Give of each row its group, and where it matches the level and how: `place, group, level, how`.

    Knobs
        against: evaluation files of any format that data may have, also packed, paths
        near: Jaccard similarity from which a row matches, share 0..1; 1 leaves the near search out
        ngram: length of the n-grams that are compared, units (a syllable or word character counts two)
        inside: share of the runs of the shorter text that stand in the longer, 0..1; 0 leaves this search out
        run: length of the runs by which a text is found inside another, units
        column: the column of the evaluation files that holds the text, name

    Errors: MissingError when a file is not there, DataError when it cannot be read whole or has no such column.
    """
    import numpy as np
    import polars as pl

    index = _index(_stamps(against), column, near, ngram, inside, run)
    levels = np.full(batch.height, -1)
    how: list[str | None] = [None] * batch.height
    for versions, share, told in _versions(batch, inside):
        places, texts = [place for place, _ in versions], [text for _, text in versions]
        for some in _keys.batches(texts):
            for i, level, said in _matches(index, texts[some], near, ngram, share, run):
                place = places[some.start + i]
                if levels[place] < 0 or level < levels[place]:
                    where, _, by = said.rpartition(" (")
                    levels[place], how[place] = level, f"{where}{told} ({by}"
    groups = batch["group"].cast(pl.String) if "group" in batch.columns else pl.Series([None] * batch.height)
    known = {name: int.from_bytes(_near.digest(name)[:8], "little") for name in groups.drop_nulls().unique()}
    return pl.DataFrame(
        {
            "place": np.arange(batch.height, dtype=np.uint32),
            "group": pl.Series([known.get(name) for name in groups], dtype=pl.UInt64),
            "level": pl.Series(levels, dtype=pl.Int64),
            "how": pl.Series(how, dtype=pl.String),
        }
    ).with_columns(pl.when(pl.col("level") >= 0).then("level").alias("level"))


def _versions(batch: pl.DataFrame, inside: float) -> Iterator[tuple[list[tuple[int, str]], float, str]]:
    """((place, text), the share by which one may stand inside another, what to say of it) of all forms of the rows."""
    earlier = batch["_earlier"].to_list() if "_earlier" in batch.columns else []
    old = [(i, v["text"], v["cut"]) for i, some in enumerate(earlier) for v in some or ()]
    told = " before it was rewritten"
    for some, share, said in (
        (list(enumerate(batch["text"])), inside, ""),
        ([(i, text) for i, text, cut in old if not cut], inside, told),
        ([(i, text) for i, text, cut in old if cut], 0.0, told),
    ):
        yield [(i, text) for i, text in some if text and not text.isspace()], share, said


def _matches(
    index: _Index, texts: list[str], near: float, ngram: int, inside: float, run: int
) -> Iterator[tuple[int, int, str]]:
    """(place, level, how) of the texts that match."""
    import numpy as np

    keys = _keys.keys(texts)
    files = [found.first(asked) for found, asked in zip(index.exact, _digests(texts, keys), strict=True)]
    rest = []
    for i, own in enumerate(zip(*(found.tolist() for found in files), strict=True)):
        level = next((level for level, source in enumerate(own) if source >= 0), None)
        if level is None:
            rest.append(i)
        else:
            yield i, level, f"{index.names[own[level]]} ({LEVELS[level]})"
    loose = _keys.loose(keys)
    some = [loose.points[loose.ends[i] : loose.ends[i + 1]] for i in rest]
    left = _keys.Keys(
        _joined(some, np.uint32), np.concatenate([[0], np.cumsum([len(one) for one in some])]).astype(int)
    )
    found = _nearest(index, left, near, ngram) if near < 1 and index.bands and rest else {}
    for i, (jaccard, text) in found.items():
        yield rest[i], NEAR, f"{index.names[index.sources[text]]} (near, Jaccard {jaccard:.2f})"
    if inside and rest:
        for i, (share, text) in _contained(index, left, inside, run).items():
            if i not in found:
                yield rest[i], INSIDE, f"{index.names[index.sources[text]]} (n-gram, {share:.2f} of the shorter)"


def _nearest(index: _Index, keys: _keys.Keys, near: float, ngram: int) -> dict[int, tuple[float, int]]:
    """The most similar evaluation text of each text that has one: (Jaccard, its number)."""
    import numpy as np

    marks, bands, long = _signature(keys, near, ngram)
    places = np.flatnonzero(long)
    codes = []
    for sorted_band, band in zip(index.bands, bands[places].T, strict=True):
        at, texts = sorted_band.every(band, CROWD)
        bits = np.bitwise_count(marks[places[at]] ^ index.marks[texts]).sum(axis=1)
        alike = bits <= 128 - _near.AGREE
        codes.append(places[at[alike]] * len(index.texts) + texts[alike])
    best: dict[int, tuple[float, int]] = {}
    for code in np.unique(_joined(codes, np.int64)).tolist():
        i, text = divmod(code, len(index.texts))
        jaccard, _ = _near.similarity(_set(keys, i, ngram), _set(index.texts, text, ngram))
        if jaccard >= near and jaccard > best.get(i, (0.0, 0))[0]:
            best[i] = (jaccard, text)
    return best


def _set(keys: _keys.Keys, i: int, ngram: int) -> np.ndarray:
    import numpy as np

    points = keys.points[keys.ends[i] : keys.ends[i + 1]]
    return _keys.grams(_keys.Keys(points, np.array([0, points.size])), ngram).sets()[0]


def _contained(index: _Index, keys: _keys.Keys, inside: float, run: int) -> dict[int, tuple[float, int]]:
    """The evaluation text that stands in each text, or the other way round: (share of the shorter, its number)."""
    import numpy as np

    hashes, owners = _runs(keys, run)
    content = ~np.isin(hashes, index.templates)
    hashes, owners = hashes[content], owners[content]
    n_own = np.bincount(owners, minlength=len(keys))
    at, texts = index.runs.every(hashes, TEMPLATE)
    codes, n_common = np.unique(owners[at] * len(index.texts) + texts, return_counts=True)
    own, text = np.divmod(codes, max(1, len(index.texts)))
    shorter = np.minimum(n_own[own], index.n_runs[text])
    share = n_common / np.maximum(shorter, 1)
    best: dict[int, tuple[float, int]] = {}
    for i in np.flatnonzero((shorter >= RUNS) & (share >= inside)).tolist():
        if share[i] > best.get(int(own[i]), (0.0, 0))[0]:
            best[int(own[i])] = (float(share[i]), int(text[i]))
    return best


def decide(summaries: Frames, *, agree: Annotated[int, Field(ge=1)] = 1) -> pl.DataFrame:
    """The rows that match or whose group does: `shard, place, level, why`; `level` is null for a translation.

    Knobs
        agree: rows of a group that must match before its other rows go as translations; 2 does not trust one row of a pack
            that may have it in the wrong place
    """
    import polars as pl

    matches = summaries.columns("place", "group", "level", "how").filter(pl.col("level").is_not_null())
    own = matches.select("shard", "place", "level", ("found in " + pl.col("how")).alias("why"))
    # The strongest match of a group is named, whatever the shards.
    grouped = matches.drop_nulls("group").filter(pl.len().over("group") >= agree)
    strongest = grouped.sort("level", "how").unique("group", keep="first", maintain_order=True)
    if strongest.is_empty():
        return own
    told = [own]
    for shard in range(len(summaries)):
        rows = summaries.read(shard, ["place", "group", "level"]).filter(pl.col("level").is_null())
        joined = rows.join(strongest.select("group", "how"), on="group", maintain_order="left")
        why = ("translation of a row found in " + pl.col("how")).alias("why")
        told.append(joined.select(pl.lit(shard, pl.Int64).alias("shard"), "place", "level", why))
    return pl.concat(told)


def learned(decision: pl.DataFrame) -> pl.DataFrame:
    """Rows of all splits that match, by level."""
    import polars as pl

    names = pl.col("level").replace_strict(dict(enumerate(LEVELS)), default="translation of such a row")
    return decision.group_by("level").len("rows").sort("level", nulls_last=True).select(names, "rows")


def apply(batch: pl.DataFrame, decision: pl.DataFrame) -> pl.DataFrame:
    """Write the reason into `drop` of training rows that match or are translations of a row that does."""
    import polars as pl

    own = batch.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("place"))
    why = own.join(decision.select("place", "why"), on="place", how="left", maintain_order="left")["why"]
    old = pl.col("drop") if "drop" in batch.columns else pl.lit(None, pl.String)
    split = pl.col("split") if "split" in batch.columns else pl.lit(None, pl.String)
    return batch.with_columns(pl.coalesce(old, pl.when(split == "train").then(why)).cast(pl.String).alias("drop"))
