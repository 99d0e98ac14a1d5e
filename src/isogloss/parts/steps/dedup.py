"""Find exact and near-duplicates within a language and keep one row of each cluster.

Two rows of one language are *exact* duplicates when their keys are equal: Unicode form, case, white space, punctuation,
invisible characters and the script of digits do not count. They are *near*-duplicates when the Jaccard similarity of the
character n-grams of their keys reaches `threshold`; two documents also when this share of the n-grams of the shorter stands
in the longer, which is not much longer (Jaccard 0.6): a sentence was added. `core/keys.py` says what a key and an n-gram
are, in every script.

Of a cluster one row stays: test before dev before train before unsplit, then the smallest id, so that the answer
does not depend on the order of the rows. A row is dropped only for a row that stays and that is itself similar
enough, not through a chain of others. A row with a given dev or test split is never dropped.

Every row gets the name of its `cluster` (null: it is alone) and `copies`, the rows that it stands for, itself included.
With `reweight` it gets a `weight` by them, which the mix `weighted` follows: FineWeb2 (Penedo et al. 2025) takes a document once, or up to eight
times, by the size of its cluster.

Groups. Rows of one cluster are one content, and so are their translations. Where a split is still to be drawn, the
groups of such rows are therefore merged in all languages, and a row without group takes the group of its cluster.
Rows with different given splits are never merged: a group must not straddle splits. A cluster without any group is called
`dup:ID`.

How: every row gives hashes of its key and of bands of its MinHash signature, about 300 bytes; rows that may be near-duplicates
are looked at again and compared by all their n-grams. Memory is some 100 bytes a row, and more only for duplicates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from isogloss.core import keys as _keys
from isogloss.core import near as _near
from isogloss.core.frames import Frames

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

VERSION = 2
BY_SHARD = True
STREAMS = True
ADDS = ("cluster", "copies", "weight")

Threshold = Annotated[float, Field(gt=0, le=1)]
Units = Annotated[int, Field(ge=1)]
Action = Literal["drop", "group"]
Reweight = Literal["none", "fineweb2", "log"]
RANK = {"test": 0, "dev": 1, "train": 2}
PROTECTED = ("test", "dev")
# A document with another inside it is found down to this Jaccard similarity. A document has so many n-grams: in a shorter
# text what is added makes another message.
INSIDE, DOCUMENT = 0.6, 100
# Bands that are in memory at once, and bytes of n-grams.
BANDS, HELD = 8, 64_000_000
# How often FineWeb2 takes the document of a cluster: from so many rows, so often.
FINEWEB2 = ((1, 1.0), (2, 2.0), (3, 3.0), (5, 5.0), (100, 8.0), (1000, 1.0))


# -- the first look: every row ----------------------------------------------------------------------------------


def summarise(batch: pl.DataFrame, *, threshold: Threshold = 0.8, ngram: Units = 5) -> pl.DataFrame:
    """Give hashes of the key, of the group and of the bands of each row with a text.

    Knobs
        threshold: Jaccard similarity, and in documents share of the shorter that stands in the longer, from which two
            rows are near-duplicates, 0..1; 1 finds exact ones only
        ngram: length of the compared character n-grams, units (a syllable or word character counts two)
    """
    import numpy as np
    import polars as pl

    texts = batch["text"].to_list()
    places = np.array([i for i, text in enumerate(texts) if text is not None], dtype=np.uint32)
    texts = [texts[i] for i in places]
    langs = _hashes([lang or "und" for lang in _column(batch, "lang", places)])
    n_bands, n_rows = _shape(threshold)
    key = np.zeros((len(texts), 2), dtype=np.uint64)
    marks = np.zeros((len(texts), 2), dtype=np.uint64)
    bands = np.zeros((len(texts), n_bands), dtype=np.uint32)
    compared = np.zeros(len(texts), dtype=bool)
    for some in _keys.batches(texts):
        keys = _keys.keys(texts[some])
        key[some] = np.frombuffer(b"".join(keys.digests()), dtype="<u8").reshape(-1, 2)
        if threshold == 1:
            continue
        grams = _keys.grams(_keys.loose(keys), ngram)
        compared[some] = np.diff(grams.ends) >= _near.MIN_GRAMS
        signatures = _keys.minhash(grams, _near.PERMUTATIONS)
        marks[some] = _keys.marks(signatures)
        bands[some] = _keys.mix(_keys.band_hashes(signatures, n_rows) ^ langs[some, None]).astype(np.uint32)
    groups = _column(batch, "group", places)
    # A copy alone needs no search: equal keys of one language are equal here.
    frame = pl.DataFrame(
        {
            "place": places,
            "key": _keys.mix(key[:, 0] ^ langs) ^ key[:, 1],
            "compared": compared,
            "group": pl.Series(_hashes([g or "" for g in groups]), dtype=pl.UInt64),
            "grouped": [g is not None for g in groups],
            "mark_a": marks[:, 0],
            "mark_b": marks[:, 1],
        },
        schema_overrides={"place": pl.UInt32, "grouped": pl.Boolean},
    )
    lots = [pl.Series(f"bands_{i}", bands[:, i : i + BANDS]) for i in range(0, n_bands, BANDS)]
    lots = [lot.cast(pl.Array(pl.UInt32, min(BANDS, n_bands - i * BANDS))) for i, lot in enumerate(lots)]
    return frame.with_columns(pl.when(pl.col("grouped")).then("group").alias("group"), *lots).drop("grouped")


def _shape(threshold: float) -> tuple[int, int]:
    return _near.band_shape(min(threshold, INSIDE))


def _column(batch: pl.DataFrame, name: str, places: np.ndarray) -> list[Any]:
    if name not in batch.columns:
        return [None] * len(places)
    values = batch[name].to_list()
    return [values[i] for i in places]


def _hashes(names: Sequence[str]) -> np.ndarray:
    """Hashes of names, uint64."""
    import numpy as np

    known = {name: _near.digest(name)[:8] for name in set(names)}
    return np.frombuffer(b"".join(known[name] for name in names), dtype="<u8")


def decide(summaries: Frames, *, threshold: Threshold = 0.8) -> pl.DataFrame:
    """Name the rows to look at again: `shard, place, exact`, and `near` for one row of each key.

    Knobs
        threshold: as in `summarise`

    `exact` numbers the key of a row; `near` lists the numbers of keys that may be near-duplicates.
    """
    import numpy as np
    import polars as pl

    schema: dict[str, Any] = {"shard": pl.Int64, "place": pl.UInt32, "exact": pl.Int64, "near": pl.List(pl.Int64)}
    rows = summaries.columns("place", "key", "compared")
    if rows.is_empty():
        return pl.DataFrame(schema=schema)
    # Keys are taken in their own order: where a row stands does not matter for what it is compared with.
    order = rows["key"].arg_sort().to_numpy()
    sorted_keys = rows["key"].to_numpy()[order]
    exact = np.empty(rows.height, dtype=np.int64)
    exact[order] = np.cumsum(np.concatenate([[False], sorted_keys[1:] != sorted_keys[:-1]]))
    one = np.empty(int(exact.max()) + 1, dtype=np.int64)  # a row of each key
    one[exact[::-1]] = np.arange(rows.height)[::-1]
    picked = np.bincount(exact) > 1
    near = np.empty((0, 2), dtype=np.int64)
    if threshold < 1:
        looked = np.flatnonzero(rows["compared"].to_numpy()[one])
        marks = summaries.columns("mark_a", "mark_b").drop("shard").to_numpy()[one[looked]]
        near = looked[_near.pairs(_bands(summaries, one[looked]), marks)]
    both = np.concatenate([near, near[:, ::-1]])
    picked[both[:, 0]] = True
    at = np.flatnonzero(picked[exact])
    found = rows[at].select("shard", "place", pl.Series("exact", exact[at]), chosen=pl.Series(one[exact[at]] == at))
    lists = pl.DataFrame({"exact": both[:, 0], "near": both[:, 1]}).group_by("exact").agg(pl.col("near").sort())
    found = found.join(lists, on="exact", how="left", maintain_order="left")
    return found.with_columns(pl.when("chosen").then("near").alias("near")).select(list(schema)).cast(schema)  # type: ignore[arg-type]


def _bands(summaries: Frames, rows: np.ndarray) -> Iterator[np.ndarray]:
    """The bands of these rows, one after the other."""
    names = [name for name in summaries.read(0).columns if name.startswith("bands_")]
    for name in names:
        columns = summaries.columns(name)[name].to_numpy()[rows]
        for i in range(columns.shape[1]):
            yield columns[:, i]


# -- the second look: rows that may be duplicates ---------------------------------------------------------------


def inspect(batch: pl.DataFrame, decision: pl.DataFrame, *, ngram: Units = 5) -> pl.DataFrame:
    """Give what decides about the rows that may be duplicates, and all n-grams of those that may be near.

    Knobs
        ngram: as in `summarise`
    """
    import polars as pl

    rows = batch[decision["place"].to_list()]
    names = {name: _text(rows, name) for name in ("id", "lang", "split", "group", "label", "cluster")}
    copies = rows["copies"] if "copies" in rows.columns else pl.Series([1] * rows.height, dtype=pl.Int64)
    compared = decision["near"].is_not_null()
    grams: list[bytes] = []
    texts = rows["text"].filter(compared).to_list()
    for some in _keys.batches(texts):
        found = _keys.grams(_keys.loose(_keys.keys(texts[some])), ngram)
        grams += [one.tobytes() for one in found.sets()]
    filled = pl.Series("grams", grams, dtype=pl.Binary)
    places = compared.cum_sum().cast(pl.Int64) - 1
    every = filled.gather(places.clip(0)) if grams else pl.Series([None] * rows.height, dtype=pl.Binary)
    return decision.with_columns(
        *(series.alias(name) for name, series in names.items()),
        copies.cast(pl.Int64).alias("copies"),
        pl.select(pl.when(compared).then(every)).to_series().alias("grams"),
    )


def _text(rows: pl.DataFrame, name: str) -> pl.Series:
    import polars as pl

    return rows[name].cast(pl.String) if name in rows.columns else pl.Series([None] * rows.height, dtype=pl.String)


def settle(
    inspected: Frames,
    summaries: Frames,
    *,
    threshold: Threshold = 0.8,
    action: Action = "drop",
) -> pl.DataFrame:
    """Choose the rows that go and the groups that belong together.

    Knobs
        threshold: as in `summarise`
        action: `drop` keeps one row a cluster; `group` keeps all and gives them one group

    Gives `shard, place, lang, why` (null: stays), `cluster, copies` and `group` (null: unchanged).
    """
    import polars as pl

    names = ("place", "exact", "id", "lang", "split", "group", "label", "cluster", "copies")
    rows = (
        inspected.columns(*names)
        .with_columns(rank=pl.col("split").replace_strict(RANK, default=3, return_dtype=pl.Int64))
        .sort("rank", "id")
        .with_row_index("row")
        .with_columns(first=pl.col("row").min().over("exact"))
    )
    if rows.is_empty():
        return pl.DataFrame(schema=_schema())
    alike = _verified(inspected, threshold)
    first_of = dict(rows.filter(pl.col("row") == pl.col("first")).select("exact", "row").iter_rows())
    edges = sorted((*sorted((first_of[a], first_of[b])), *how) for a, b, *how in alike)
    return _settled(rows, edges, summaries, action)


def _verified(inspected: Frames, threshold: float) -> list[tuple[int, int, float, float]]:
    """The pairs of keys that are near-duplicates, with their Jaccard similarity and the share that is contained.

    n-grams are read some at a time, those of keys that are tied to each other together.
    """
    import numpy as np
    import polars as pl
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    found = []
    for frame in (inspected.read(shard, ["exact", "near", "grams"]) for shard in range(len(inspected))):
        near = frame.filter(pl.col("near").is_not_null())
        found.append(near.select("exact", "near", n_bytes=pl.col("grams").bin.size()))
    keys = pl.concat(found) if found else pl.DataFrame()
    if keys.is_empty():
        return []
    pairs = keys.select("exact", "near").explode("near").filter(pl.col("exact") < pl.col("near")).sort("exact", "near")
    names = keys["exact"].to_numpy()
    at = {name: i for i, name in enumerate(names.tolist())}
    a, b = (np.array([at[name] for name in pairs[side]], dtype=np.int64) for side in ("exact", "near"))
    _, component = connected_components(coo_array((np.ones(a.size), (a, b)), shape=(names.size,) * 2), directed=False)
    held = np.cumsum(np.bincount(component, weights=keys["n_bytes"].to_numpy()))
    lot = (np.concatenate([[0], held[:-1]]) // HELD).astype(np.int64)[component]
    alike = []
    for number in range(int(lot.max()) + 1):
        own = set(names[lot == number].tolist())
        sets: dict[int, Any] = {}
        for shard in range(len(inspected)):
            frame = inspected.read(shard, ["exact", "grams"]).filter(pl.col("grams").is_not_null())
            sets.update((n, np.frombuffer(g, np.uint32)) for n, g in frame.iter_rows() if n in own)
        for i, j in pairs.filter(pl.Series(lot[a] == number)).iter_rows():
            jaccard, inside = _near.similarity(sets[i], sets[j])
            small = min(sets[i].size, sets[j].size)
            documents = small >= DOCUMENT and jaccard >= INSIDE and inside >= threshold
            if small >= _near.MIN_GRAMS and (jaccard >= threshold or documents):
                alike.append((i, j, jaccard, inside))
    return alike


def _schema() -> dict[str, Any]:
    """The columns of what `settle` gives."""
    import polars as pl

    text = dict.fromkeys(("lang", "why", "cluster"), pl.String)
    return {"shard": pl.Int64, "place": pl.UInt32, **text, "copies": pl.Int64, "group": pl.String}


def _settled(
    rows: pl.DataFrame, edges: list[tuple[int, int, float, float]], summaries: Frames, action: Action
) -> pl.DataFrame:
    """`rows` are in order of preference; `edges` tie rows that are the first of their key."""
    import polars as pl

    ids, splits, firsts, groups, labels = (rows[name].to_list() for name in ("id", "split", "first", "group", "label"))
    similar: dict[int, list[tuple[int, float, float]]] = {}
    cluster: dict[Any, Any] = {}
    for i, j, jaccard, inside in edges:
        similar.setdefault(j, []).append((i, jaccard, inside))
        _union(cluster, i, j)

    # One walk in order of preference: a row goes when it is similar to a row that stays.
    stays = [True] * len(ids)
    twin: dict[int, tuple[int, float, float]] = {}  # row: the row that stays for it, and how similar (exact: 2)
    for row, first in enumerate(firsts):
        if row != first:
            twin[row] = twin[first] if first in twin and not stays[first] else (first, 2.0, 2.0)
            _union(cluster, first, row)
        else:
            kept = [(jaccard, -i, inside) for i, jaccard, inside in similar.get(row, ()) if stays[i]]
            if kept:
                jaccard, i, inside = max(kept)
                twin[row] = (-i, jaccard, inside)
        stays[row] = row not in twin or action == "group" or splits[row] in PROTECTED

    members: dict[int, list[int]] = {}
    for row in cluster:
        members.setdefault(_find(cluster, row), []).append(row)
    to = _groups(members.values(), ids, splits, groups, stays)
    copies, names = rows["copies"].to_list(), rows["cluster"].to_list()
    named: dict[int, str] = {}
    for some in members.values():
        leader = min(some)
        named.update(dict.fromkeys(some, names[leader] or ids[leader]))
    for row, (other, *_) in twin.items():
        if not stays[row]:
            copies[other] += copies[row]
    found = [
        (
            shard,
            place,
            lang,
            None if stays[row] else _why(ids, labels, row, *twin[row]),
            named[row],
            copies[row],
            to.get(row),
        )
        for row, (shard, place, lang) in enumerate(rows.select("shard", "place", "lang").iter_rows())
        if row in named
    ]
    ties = [(old, name) for row, name in to.items() if (old := groups[row]) is not None and old != name]
    return _merged(pl.DataFrame(found, schema=_schema(), orient="row"), ties, summaries)


def _why(ids: list[str], labels: list[Any], row: int, other: int, jaccard: float, inside: float) -> str:
    """The reason why a row goes."""
    why = f"near-duplicate of {ids[other]} (Jaccard {jaccard:.2f})"
    if jaccard > 1:
        why = f"exact duplicate of {ids[other]}"
    elif inside > jaccard + 0.15:
        why = f"near-duplicate of {ids[other]} (Jaccard {jaccard:.2f}, {inside:.2f} of the shorter in the longer)"
    if None not in (labels[row], labels[other]) and labels[row] != labels[other]:
        why += "; their labels differ"
    return why


def _groups(
    clusters: Any, ids: list[str], splits: list[str | None], groups: list[str | None], stays: list[bool]
) -> dict[int, str]:
    """The group that rows of a cluster get."""
    to: dict[int, str] = {}
    for some in clusters:
        rows = sorted(some)
        leader = splits[rows[0]]  # rows whose split is still open go with the first row
        classes: dict[str | None, list[int]] = {}
        for row in rows:
            if stays[row] or splits[row] is None:
                classes.setdefault(splits[row] if splits[row] is not None else leader, []).append(row)
        for together in classes.values():
            n_staying = sum(stays[row] for row in together)
            named = {name for row in together if (name := groups[row]) is not None}
            if n_staying > 1 or len(named) > 1 or (named and n_staying and groups[together[0]] is None):
                name = min(named) if named else f"dup:{ids[together[0]]}"
                to.update((row, name) for row in together if groups[row] is not None or stays[row])
    return to


def _merged(found: pl.DataFrame, ties: list[tuple[str, str]], summaries: Frames) -> pl.DataFrame:
    """`found` with the names of groups that the ties of all languages leave, and with all other rows of these groups."""
    import polars as pl

    parent: dict[Any, Any] = {}
    for old, new in sorted(set(ties)):
        _union(parent, old, new)
    names = {name: root for name in sorted(parent) if (root := _find(parent, name)) != name}
    if not names:
        return found
    roots = pl.DataFrame(
        {"group": _hashes(list(names)), "root": list(names.values())}, schema_overrides={"group": pl.UInt64}
    )
    moved = []
    for shard in range(len(summaries)):
        own = summaries.read(shard, ["place", "group"]).join(roots, on="group", maintain_order="left")
        moved.append(own.select(pl.lit(shard, pl.Int64).alias("shard"), "place", "root"))
    joined = found.join(pl.concat(moved), on=["shard", "place"], how="full", coalesce=True, maintain_order="left_right")
    named = pl.col("group").replace_strict(names, default=pl.col("group"), return_dtype=pl.String)
    return joined.with_columns(pl.coalesce("root", named).alias("group")).select(list(_schema()))


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


# -- what becomes of the rows -----------------------------------------------------------------------------------


def learned(decision: pl.DataFrame) -> pl.DataFrame:
    """Clusters and duplicates by language."""
    import polars as pl

    why = pl.col("why").fill_null("")
    sizes = decision.filter(pl.col("cluster").is_not_null()).with_columns(size=pl.len().over("lang", "cluster"))
    return (
        sizes.group_by(pl.col("lang").fill_null("und"))
        .agg(
            pl.col("cluster").n_unique().alias("clusters"),
            pl.len().alias("rows in them"),
            pl.col("size").max().alias("rows of the largest"),
            why.str.starts_with("exact").sum().alias("exact duplicates dropped"),
            why.str.starts_with("near").sum().alias("near-duplicates dropped"),
        )
        .sort("rows in them", "lang", descending=[True, False])
    )


def apply(batch: pl.DataFrame, decision: pl.DataFrame, *, reweight: Reweight = "none") -> pl.DataFrame:
    """Write the reasons into `drop`, the merged groups of all languages into `group`, and what a row stands for.

    Knobs
        reweight: `weight` of a row by its copies: `fineweb2` (1, 2, 3, 5 or 8), `log` (1 + ln of them), or `none`
    """
    import polars as pl

    own = batch.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("place"))
    new = own.join(decision.drop("lang"), on="place", how="left", maintain_order="left")
    old = {
        name: batch[name] if name in batch.columns else pl.lit(None, pl.String) for name in ("drop", "cluster", "group")
    }
    copies = batch["copies"].cast(pl.Int64) if "copies" in batch.columns else pl.lit(1, pl.Int64)
    after = batch.with_columns(
        pl.coalesce(old["drop"], new["why"]).cast(pl.String).alias("drop"),
        pl.coalesce(new["cluster"], old["cluster"]).alias("cluster"),
        pl.coalesce(new["copies"], copies).alias("copies"),
    )
    if "group" in batch.columns:
        free = pl.col("group").is_null() & pl.col("drop").is_not_null()  # a row that goes gets no group
        after = after.with_columns(pl.when(~free).then(pl.coalesce(new["group"], "group")).alias("group"))
    if reweight == "none":
        return after
    weight = 1 + pl.col("copies").log() if reweight == "log" else _fineweb2(pl.col("copies"))
    return after.with_columns(weight.alias("weight"))


def _fineweb2(copies: pl.Expr) -> pl.Expr:
    import polars as pl

    weight = pl.lit(1.0)
    for least, times in FINEWEB2:
        weight = pl.when(copies >= least).then(times).otherwise(weight)
    return weight
