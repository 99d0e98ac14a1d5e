"""cluster: rows of many languages by what they say, and whether languages meet in the clusters.

With a number of clusters: k-means on unit vectors (scikit-learn; in mini-batches above 20,000 rows). Without one: HDBSCAN
(Campello et al. 2013), which finds how many there are and leaves alone what belongs nowhere: its cluster is null.

**What is told by language**, each with n and an interval: `own`, the share of a row's cluster that is of the row's own
language, beside the share that language has of the file (`share`); `crosses`, the share of rows whose nearest neighbour
is of another language, beside what a perfect mixture would give (`chance`). A language whose rows are on average in
clusters three quarters its own is *alone*: there clusters tell the language and not the content, and `centre` (subtract the
mean vector of each language first; Libovický et al. 2020) is the first thing to try. Where rows have a group: `together`,
the share of a row's group mates of other languages in the row's own cluster. Where they have a label: `agrees`, whether
the label most frequent among the other rows of its cluster is the row's own.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isogloss.core import files
from isogloss.core.errors import DataError, InputError
from isogloss.core.say import Say
from isogloss.stages import embed

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

# Rows above which k-means goes in mini-batches, and above which HDBSCAN takes too long to wait for (10,000 rows of 176
# dimensions: 73 seconds on one core, and four times that for twice as many).
LARGE, MOST = 20_000, 10_000
ALONE = 0.75
SMALLEST = 5
SHOWN = 20


@dataclass(frozen=True)
class Clustered:
    """`rows` with `cluster` (null: none) and `distance` (1 - cosine to the cluster's centre); `clusters`, largest first;
    `langs` by language (null without languages), and what the vectors are (`facts`)."""

    rows: pl.DataFrame
    clusters: list[dict[str, Any]]
    langs: list[dict[str, Any]] | None
    facts: dict[str, Any]

    @property
    def alone(self) -> list[str]:
        """Languages whose clusters are merely their own."""
        return [row["lang"] for row in self.langs or () if row["alone"]]

    def examples(self, number: int, n: int) -> list[str]:
        """The `n` texts nearest to the centre of a cluster."""
        import polars as pl

        own = self.rows.filter(pl.col("cluster") == number)
        return own.sort("distance", maintain_order=True)["text"].head(n).to_list()

    def document(self) -> dict[str, Any]:
        """The result as one JSON document, without the rows."""
        return {
            "n": self.rows.height,
            "n_clusters": len(self.clusters),
            "n_unassigned": self.rows["cluster"].null_count(),
            "facts": self.facts,
            "clusters": self.clusters,
            "langs": self.langs,
            "alone": self.alone,
        }


def cluster_file(
    path: Path,
    *,
    model: str = embed.DEFAULT,
    revision: str | None = None,
    clusters: int | None = None,
    smallest: int = SMALLEST,
    centre: bool = False,
    prompt: str | None = None,
    text: str = "text",
    vectors: Path | None = None,
    seed: int = 0,
    say: Say | None = None,
) -> Clustered:
    """Cluster the rows of a file. Raises DataError with file and line for a row that cannot be used."""
    say = say or Say()
    rows = embed.rows(path, text=text)
    if centre and rows["lang"].null_count():
        row = rows["origin"].filter(rows["lang"].is_null())[0]
        raise DataError(f"{row}: --centre needs a language for every row, in a column 'lang'")
    _check(rows.height, clusters, smallest, seed)
    facts: dict[str, Any]
    if vectors is not None:
        given, facts = embed.read_vectors(vectors, rows, path)
        facts = {"vectors": str(vectors), **facts}
    else:
        found = embed.encoder(model, revision=revision)
        given, n_cut = embed.vectors_of(rows, found, say, prompt=prompt)
        embed.note_cuts(say, found, n_cut, str(path))
        facts = {**found.facts, "n_cut": n_cut, "prompt": found.embedder.before(prompt)}
    return group(rows, given, clusters=clusters, smallest=smallest, centre=centre, seed=seed, facts=facts, say=say)


def group(
    rows: pl.DataFrame, vectors: np.ndarray, *, clusters: int | None = None, smallest: int = SMALLEST,
    centre: bool = False, seed: int = 0, facts: dict[str, Any] | None = None, say: Say | None = None,
) -> Clustered:  # fmt: skip
    """Cluster rows (`id, lang, group, label, text`) by their unit vectors `(N, D)`."""
    import polars as pl

    say = say or Say()
    if centre:
        vectors = _centred(vectors, rows["lang"].to_list())
    say.line(f"cluster   {len(vectors):,} rows of {vectors.shape[1]} dimensions")
    codes = number(vectors, clusters=clusters, smallest=smallest, seed=seed)
    distances = _distances(vectors, codes)
    rows = rows.with_columns(
        pl.Series("cluster", [None if c < 0 else int(c) for c in codes], dtype=pl.Int64),
        pl.Series("distance", [None if c < 0 else float(d) for c, d in zip(codes, distances, strict=True)], pl.Float64),
    )
    langs = None if rows["lang"].is_null().all() else _langs(rows, vectors)
    way = {"by": "k-means" if clusters else "hdbscan", "clusters": clusters, "smallest": None if clusters else smallest}
    return Clustered(rows, _clusters(rows), langs, {**(facts or {}), **way, "centre": centre, "seed": seed})


def cluster(
    texts: Sequence[str] | np.ndarray,
    model: str = embed.DEFAULT,
    *,
    clusters: int | None = None,
    smallest: int = SMALLEST,
    seed: int = 0,
) -> np.ndarray:
    """The number of each text's cluster `(N,)`, from 0 for the largest; -1 for none. `texts` may be vectors `(N, D)`."""
    import numpy as np

    if isinstance(texts, np.ndarray):
        vectors = embed.unit(texts, "the vectors")
    else:
        vectors = embed.encoder(model).vectors(texts)[0]
    _check(len(vectors), clusters, smallest, seed)
    return number(vectors, clusters=clusters, smallest=smallest, seed=seed)


def number(vectors: np.ndarray, *, clusters: int | None = None, smallest: int = SMALLEST, seed: int = 0) -> np.ndarray:
    """The number of the cluster of each unit vector `(N,)`, from 0 for the largest; -1 for none."""
    import warnings

    import numpy as np
    from sklearn.cluster import HDBSCAN, KMeans, MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    if clusters is not None:
        Kind = MiniBatchKMeans if len(vectors) > LARGE else KMeans
        with warnings.catch_warnings():  # of fewer different rows than clusters; how many were found is told
            warnings.simplefilter("ignore", ConvergenceWarning)
            codes = Kind(clusters, n_init=4, random_state=seed).fit_predict(vectors)
    else:
        codes = HDBSCAN(min_cluster_size=smallest, algorithm="auto", copy=True).fit_predict(vectors)
    names, counts = np.unique(codes[codes >= 0], return_counts=True)
    order = names[np.argsort(-counts, kind="stable")]
    place = {int(name): i for i, name in enumerate(order)}
    return np.array([place.get(int(code), -1) for code in codes], np.int64)


def _check(n: int, clusters: int | None, smallest: int, seed: int) -> None:
    if not 0 <= seed < 2**32:
        raise InputError(f"--seed must lie between 0 and {2**32 - 1:,}, got {seed}")
    if clusters is not None and not 1 <= clusters <= n:
        raise InputError(f"--clusters must lie between 1 and the number of rows, {n:,}; got {clusters:,}")
    if clusters is None and smallest < 2:
        raise InputError(f"--smallest must be at least 2, got {smallest}")
    if clusters is None and n < 2 * smallest:
        raise InputError(f"{n:,} rows are too few for clusters of at least {smallest}; say how many: --clusters K")
    if clusters is None and n > MOST:
        raise InputError(f"finding how many clusters there are takes at most {MOST:,} rows; for {n:,} say --clusters K")


def _centred(vectors: np.ndarray, langs: Sequence[str]) -> np.ndarray:
    """Unit vectors without the mean of their language; a vector that is that mean keeps its own direction."""
    import numpy as np

    names, codes = np.unique(langs, return_inverse=True)
    sums = np.zeros((len(names), vectors.shape[1]))
    np.add.at(sums, codes, vectors)
    moved = vectors - (sums / np.bincount(codes)[:, None])[codes]
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    return np.where(lengths > 1e-6, moved / np.maximum(lengths, 1e-6), vectors).astype(np.float32)


def _distances(vectors: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """1 - cosine of each vector to the centre of its cluster `(N,)`; 0 where there is none."""
    import numpy as np

    out = np.zeros(len(vectors))
    for code in np.unique(codes[codes >= 0]):
        own = codes == code
        middle = vectors[own].sum(axis=0)
        middle /= max(float(np.linalg.norm(middle)), 1e-9)
        out[own] = 1 - vectors[own] @ middle
    return np.maximum(out, 0.0)


# -- what is told -----------------------------------------------------------------------------------------------


def _clusters(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """`cluster, n, langs` (n by language, the largest first) and the mean `distance`, the largest cluster first."""

    out = []
    for (name,), own in rows.drop_nulls("cluster").group_by("cluster"):
        counts = own.drop_nulls("lang").group_by("lang").len().sort("len", "lang", descending=[True, False])
        mean = float(own["distance"].sum() / own.height)
        out.append({"cluster": name, "n": own.height, "langs": dict(counts.iter_rows()), "distance": mean})
    return sorted(out, key=lambda row: int(str(row["cluster"])))


def _langs(rows: pl.DataFrame, vectors: np.ndarray) -> list[dict[str, Any]]:
    """What is told by language, the most alone first."""
    import numpy as np

    from isogloss.nn.search import nearest

    langs = rows["lang"].to_list()
    codes = rows["cluster"].fill_null(-1).to_numpy()
    known = Counter(lang for lang in langs if lang is not None)
    inside = Counter((int(code), lang) for code, lang in zip(codes, langs, strict=True) if lang is not None)
    sizes = Counter(int(code) for code, lang in zip(codes, langs, strict=True) if lang is not None)
    total = sum(known.values())
    at = np.array([i for i, lang in enumerate(langs) if lang is not None], np.int64)
    next_to = nearest(vectors[at], vectors[at], 1, skip_self=True)[0]
    neighbour = dict(zip(at.tolist(), at[next_to[:, 0]].tolist(), strict=True)) if next_to.shape[1] else {}
    together, agrees = _together(rows), _agrees(rows)
    out = []
    for lang in sorted(known):
        mine = [i for i, name in enumerate(langs) if name == lang]
        placed = [i for i in mine if codes[i] >= 0]
        own = [inside[int(codes[i]), lang] / sizes[int(codes[i])] for i in placed]
        share = known[lang] / total
        row: dict[str, Any] = {
            "lang": lang,
            "n": len(mine),
            "share": share,
            "unassigned": _share([float(codes[i] < 0) for i in mine]),
            "own": _share(own),
            "crosses": _share([float(langs[neighbour[i]] != lang) for i in mine if i in neighbour]),
            "chance": (total - known[lang]) / max(1, total - 1),
        }
        row["alone"] = len(known) > 1 and bool(own) and row["own"]["value"] >= ALONE > share
        if together is not None:
            row["together"] = _share([together[i] for i in mine if i in together])
        if agrees is not None:
            row["agrees"] = _share([agrees[i] for i in mine if i in agrees])
        out.append(row)
    return sorted(out, key=lambda row: (-(row["own"]["value"] or 0.0), row["lang"]))


def _share(values: Sequence[float]) -> dict[str, Any]:
    """A mean of numbers from 0 to 1, with Wilson's interval, which is wide enough for them."""
    from isogloss.core.resampling import wilson

    n, total = len(values), sum(values)
    if not n:
        return {"value": None, "low": None, "high": None, "n": 0}
    low, high = wilson(total, n)
    return {"value": total / n, "low": float(low), "high": float(high), "n": n}


def _together(rows: pl.DataFrame) -> dict[int, float] | None:
    """By row: the share of its group mates of other languages that are in its cluster; null when there are no groups."""
    if rows["group"].is_null().all():
        return None
    mates: dict[str, list[int]] = {}
    for i, group in enumerate(rows["group"]):
        if group is not None:
            mates.setdefault(group, []).append(i)
    langs, codes = rows["lang"].to_list(), rows["cluster"].to_list()
    out = {}
    for some in mates.values():
        within = Counter((codes[i], langs[i]) for i in some)
        by_cluster, by_lang = Counter(codes[i] for i in some), Counter(langs[i] for i in some)
        for i in some:
            others = len(some) - by_lang[langs[i]]
            if langs[i] is not None and others:
                same = 0 if codes[i] is None else by_cluster[codes[i]] - within[codes[i], langs[i]]
                out[i] = same / others
    return out


def _agrees(rows: pl.DataFrame) -> dict[int, float] | None:
    """By row with a label: 1 when the most frequent label among the other rows of its cluster is its own; ties are 0.

    A row without cluster, or alone with a label in it, is wrong. Null when there are no labels.
    """
    if rows["label"].is_null().all():
        return None
    counts: dict[int, Counter[str]] = {}
    pairs = list(zip(rows["cluster"].to_list(), rows["label"].to_list(), strict=True))
    for code, label in pairs:
        if code is not None and label is not None:
            counts.setdefault(code, Counter())[label] += 1
    out = {}
    for i, (code, label) in enumerate(pairs):
        if label is None:
            continue
        others = Counter() if code is None else counts[code].copy()
        others[label] -= 1
        best = max((n for name, n in others.items() if name != label), default=0)
        out[i] = float(code is not None and others[label] > best)
    return out


def write_rows(path: Path, found: Clustered) -> None:
    """Write `id, lang, cluster, distance` as JSONL, a row a line in the order of the file, whole or not at all."""
    lines = [
        json.dumps(row, ensure_ascii=False)
        for row in found.rows.select("id", "lang", "cluster", "distance").iter_rows(named=True)
    ]
    files.write_text(path, "\n".join(lines) + "\n")


# -- the screen -------------------------------------------------------------------------------------------------


def lines(
    found: Clustered, columns: Callable[[list[list[str]], int], list[str]], width: int, show: int = 0
) -> Iterator[str]:
    """What is on screen: the clusters with their languages (texts only when `show` asks for them), then languages."""
    none = found.rows["cluster"].null_count()
    n = len(found.clusters)
    yield f"{found.rows.height:,} rows in {n:,} cluster{'' if n == 1 else 's'}" + (
        f", {none:,} in none" if none else ""
    )
    if not n:
        yield f"no {found.facts['smallest']} rows lie close enough together; say how many clusters there are: --clusters K"
    yield ""
    told = found.langs is not None
    table = [["cluster", "n", "distance", *(["languages"] if told else [])]]
    table += [
        [str(row["cluster"]), str(row["n"]), f"{row['distance']:.3f}", *([_mixture(row)] if told else [])]
        for row in found.clusters[:SHOWN]
    ]
    if not show and n:
        yield from columns(table, width)
    elif n:
        for shown, row in zip(columns(table, width)[1:], found.clusters, strict=False):
            yield shown
            for example in found.examples(row["cluster"], show):
                plain = " ".join(example.split())
                yield "    " + (plain if len(plain) <= width - 4 else plain[: width - 7] + "...")
    if len(found.clusters) > SHOWN:
        yield f"... and {len(found.clusters) - SHOWN:,} smaller clusters, in --json"
    if found.langs is None:
        return
    extra = [name for name in ("together", "agrees") if name in found.langs[0]]
    table = [["language", "n", "own", "share", "crosses", "interval", "chance", *extra, "in none"]]
    for row in found.langs[:SHOWN]:
        low, high = row["crosses"]["low"], row["crosses"]["high"]
        table.append([
            row["lang"], str(row["n"]), _value(row["own"]), f"{row['share']:.2f}", _value(row["crosses"]),
            "" if low is None else f"[{low:.2f}, {high:.2f}]", f"{row['chance']:.2f}",
            *(_value(row[name]) for name in extra), _value(row["unassigned"]),
        ])  # fmt: skip
    if n:
        yield ""
    yield from columns(table, width)
    if len(found.langs) > SHOWN:
        yield f"... and {len(found.langs) - SHOWN:,} more languages, in --json"
    yield "own: share of a row's cluster in its own language, beside that of the file; crosses: nearest row of another"
    if extra:
        words = {"together": "together: group mates of other languages in the same cluster",
                 "agrees": "agrees: its label is the most frequent one of its cluster"}  # fmt: skip
        yield "; ".join(words[name] for name in extra)
    if found.alone:
        some = ", ".join(found.alone[:6]) + (f" and {len(found.alone) - 6} more" if len(found.alone) > 6 else "")
        yield ""
        remedy = "" if found.facts["centre"] else "; try --centre"
        yield f"warning: clusters tell the language and not the content for {some}{remedy}"


def _mixture(row: dict[str, Any]) -> str:
    total = max(1, sum(row["langs"].values()))
    shown = [f"{lang} {n / total:.0%}" for lang, n in list(row["langs"].items())[:3]]
    return ", ".join(shown) + (f", +{len(row['langs']) - 3}" if len(row["langs"]) > 3 else "")


def _value(cell: dict[str, Any]) -> str:
    return "–" if cell["value"] is None else f"{cell['value']:.2f}"
