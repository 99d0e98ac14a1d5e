"""Find exact and near-duplicates within a language and keep one row of each cluster.

Two rows of one language are *exact* duplicates when their keys are equal (NFKC, case, white space and punctuation
do not count), and *near-duplicates* when the Jaccard similarity of the character n-grams of their keys reaches
`threshold`; `_near.py` states the rule for scripts without spaces and for short text.

Of a cluster one row stays: test before dev before train before unsplit, then the smallest id, so that the answer
does not depend on the order of the rows. A row is dropped only for a row that stays and that is itself similar
enough, not through a chain of others. A row with a given dev or test split is never dropped.

Groups. Rows of one cluster are one content, and so are their translations. Where a split is still to be drawn, the
groups of such rows are therefore merged in all languages, and a row without group takes the group of its cluster.
Rows with different given splits are never merged: a group must not straddle splits. `decide` runs per language and
only names what belongs together (`group`, `group_to`); `apply` sees the decisions of all languages and resolves the
chains by union-find, the smallest name standing for all. A cluster without any group is called `dup:ID`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from isogloss.core import near as _near

if TYPE_CHECKING:
    import polars as pl

VERSION = 1
Threshold = Annotated[float, Field(gt=0, le=1)]
Units = Annotated[int, Field(ge=1)]
RANK = {"test": 0, "dev": 1, "train": 2}
PROTECTED = ("test", "dev")
# In a bucket of more rows than this, a row is compared with the first ones and its neighbours only.
WIDEST = 48


def _columns(batch: pl.DataFrame, *names: str) -> list[list[Any]]:
    return [batch[name].to_list() if name in batch.columns else [None] * batch.height for name in names]


def summarise(batch: pl.DataFrame, *, threshold: Threshold = 0.8, ngram: Units = 5) -> pl.DataFrame:
    """Give for every row its key, its search bands and its sketch, in the bucket of its language.

    Knobs
        threshold: Jaccard similarity from which two rows are near-duplicates, share 0..1; 1 finds exact ones only
        ngram: length of the compared character n-grams, units (a syllable or word character counts two)

    About 0.2 to 1.3 kB a row. Rows without text are left out.
    """
    import numpy as np
    import polars as pl

    rows = batch.filter(pl.col("text").is_not_null())
    keys = [_near.key_of(_near.normalised(text)) for text in rows["text"].to_list()]
    near = _near.sketch(keys, ngram, threshold) if threshold < 1 else None
    splits, groups, labels = _columns(rows, "split", "group", "label")
    return pl.DataFrame(
        {
            "id": rows["id"].cast(pl.String).to_list(),
            "bucket": [lang or "und" for lang in _columns(rows, "lang")[0]],
            "split": splits,
            "group": groups,
            "label": [None if label is None else str(label) for label in labels],
            "key": [_near.digest(key) for key in keys],
            "bands": [row.tobytes() for row in near.bands] if near else [b""] * len(keys),
            "sketch": [s.astype(np.uint32).tobytes() for s in near.shingles] if near else [b""] * len(keys),
        },
        schema={
            **dict.fromkeys(("id", "bucket", "split", "group", "label"), pl.String),
            **dict.fromkeys(("key", "bands", "sketch"), pl.Binary),
        },
    )


def _candidates(bands: Any) -> list[tuple[int, int]]:
    """List the pairs (i < j) of rows of `bands` (N, B) that agree in some band, sorted."""
    import numpy as np

    pairs: set[tuple[int, int]] = set()
    for band in range(bands.shape[1]):
        column = bands[:, band]
        order = np.argsort(column, kind="stable")  # ties stay in row order
        values = column[order]
        edges = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1], [True]]))
        for start, end in pairwise(edges.tolist()):
            if end - start < 2:
                continue
            members = order[start:end].tolist()
            for place, j in enumerate(members):
                if place <= WIDEST:
                    pairs.update((i, j) for i in members[:place])
                else:
                    pairs.update((i, j) for i in members[: WIDEST // 2])
                    pairs.update((i, j) for i in members[place - WIDEST // 2 : place])
    return sorted(pairs)


def _edges(near: pl.DataFrame, threshold: float) -> list[tuple[int, int, float]]:
    """Verify the candidate pairs: (i, j, Jaccard) with i < j, in order."""
    import numpy as np

    sketches = [np.frombuffer(sketch, dtype=np.uint32) for sketch in near["sketch"]]
    long = [i for i, sketch in enumerate(sketches) if sketch.size]
    if len(long) < 2:
        return []
    bands = np.stack([np.frombuffer(near["bands"][i], dtype=np.uint64) for i in long])
    edges = []
    for a, b in _candidates(bands):
        i, j = long[a], long[b]
        similarity = _near.jaccard(sketches[i], sketches[j])
        if similarity >= threshold:
            edges.append((i, j, similarity))
    return edges


def _find(parent: dict[Any, Any], name: Any) -> Any:
    root = name
    while parent.get(root, root) != root:
        root = parent[root]
    while parent.get(name, name) != root:
        parent[name], name = root, parent[name]
    return root


def _union(parent: dict[Any, Any], a: Any, b: Any) -> None:
    low, high = sorted((_find(parent, a), _find(parent, b)))
    parent.setdefault(low, low)
    parent[high] = low


def decide(
    summaries: pl.DataFrame,
    *,
    threshold: Threshold = 0.8,
    action: Literal["drop", "group"] = "drop",
) -> pl.DataFrame:
    """Choose, within one language, the rows that go and the groups that belong together.

    Knobs
        threshold: as in `summarise`
        action: `drop` keeps one row a cluster; `group` keeps all and gives them one group

    Gives `id, why` (null: stays), `group` (as found) and `group_to` (null: unchanged).
    """
    import polars as pl

    schema = dict.fromkeys(("id", "why", "group", "group_to"), pl.String)
    rows = (
        summaries.with_columns(rank=pl.col("split").replace_strict(RANK, default=3, return_dtype=pl.Int64))
        .sort("rank", "id")
        .with_row_index("row")
        .with_columns(first=pl.col("row").min().over("key"))
    )
    if rows.is_empty():
        return pl.DataFrame(schema=schema)
    ids, splits, firsts = (rows[name].to_list() for name in ("id", "split", "first"))
    groups, labels = rows["group"].to_list(), rows["label"].to_list()

    unique = rows.filter(pl.col("row") == pl.col("first"))
    places = unique["row"].to_list()
    edges = [(places[a], places[b], similarity) for a, b, similarity in _edges(unique, threshold)]
    similar: dict[int, list[tuple[int, float]]] = {}
    for i, j, similarity in edges:
        similar.setdefault(j, []).append((i, similarity))

    # One walk in order of preference: a row goes when it is similar to a row that stays.
    stays = [True] * len(ids)
    twin: dict[int, tuple[int, float]] = {}  # row → the row that stays for it, similarity (exact: 2)
    cluster: dict[Any, Any] = {}
    for row, first in enumerate(firsts):
        if row != first:
            twin[row] = twin[first] if first in twin and not stays[first] else (first, 2.0)
            _union(cluster, first, row)
        else:
            kept = [(similarity, -i) for i, similarity in similar.get(row, ()) if stays[i]]
            if kept:
                best = max(kept)
                twin[row] = (-best[1], best[0])
        stays[row] = row not in twin or action == "group" or splits[row] in PROTECTED
    for i, j, _ in edges:
        _union(cluster, i, j)

    members: dict[int, list[int]] = {}
    for row in sorted({*twin, *(i for i, _ in twin.values()), *cluster}):
        members.setdefault(_find(cluster, row), []).append(row)
    to: dict[int, str] = {}
    for rows_of in members.values():
        leader = splits[rows_of[0]]  # rows whose split is still open go with the first row
        classes: dict[str | None, list[int]] = {}
        for row in rows_of:
            if stays[row] or splits[row] is None:
                classes.setdefault(splits[row] if splits[row] is not None else leader, []).append(row)
        for together in classes.values():
            n_staying = sum(stays[row] for row in together)
            named = {groups[row] for row in together if groups[row] is not None}
            if n_staying > 1 or len(named) > 1 or (named and n_staying and groups[together[0]] is None):
                name = min(named) if named else f"dup:{ids[together[0]]}"
                to.update((row, name) for row in together if groups[row] is not None or stays[row])

    found = []
    for row in sorted({*twin, *to}):
        why = None
        if not stays[row]:
            other, similarity = twin[row]
            exact = similarity > 1
            why = f"exact duplicate of {ids[other]}" if exact else f"near-duplicate of {ids[other]}"
            why += "" if exact else f" (Jaccard {similarity:.2f})"
            if None not in (labels[row], labels[other]) and labels[row] != labels[other]:
                why += "; their labels differ"
        if why or row in to:
            found.append((ids[row], why, groups[row], to.get(row)))
    return pl.DataFrame(found, schema=schema, orient="row")


def _merged(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Map every group name to the smallest name that the pairs tie it to."""
    parent: dict[Any, Any] = {}
    for old, new in sorted(pairs):
        _union(parent, old, new)
    return {name: _find(parent, name) for name in sorted(parent)}


def apply(batch: pl.DataFrame, decision: pl.DataFrame) -> pl.DataFrame:
    """Write the reasons into `drop`, and the merged groups of all languages into `group`."""
    import polars as pl

    pairs = decision.filter(pl.col("group").is_not_null() & pl.col("group_to").is_not_null())
    names = _merged([(old, new) for old, new in pairs.select("group", "group_to").iter_rows() if old != new])
    why = dict(decision.filter(pl.col("why").is_not_null()).select("id", "why").iter_rows())
    joins = dict(decision.filter(pl.col("group_to").is_not_null()).select("id", "group_to").iter_rows())
    olds = _columns(batch, "drop")[0]
    ids = [str(name) for name in batch["id"].to_list()]
    drop = [old if old is not None else why.get(name) for old, name in zip(olds, ids, strict=True)]
    changed = batch.with_columns(pl.Series("drop", drop, dtype=pl.String))
    if "group" not in batch.columns and not joins:
        return changed
    groups = [
        joins.get(name) if old is None and gone is None else old
        for name, old, gone in zip(ids, _columns(batch, "group")[0], drop, strict=True)
    ]
    return changed.with_columns(
        pl.Series("group", [None if g is None else names.get(g, g) for g in groups], dtype=pl.String)
    )
