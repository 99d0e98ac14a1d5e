"""retrieve: documents in any language, queries in any; and how well each language finds each other one.

**What is measured.** All documents of all languages are one index. For a query of language a with group g, and a
language b, the *right* documents are those of group g in language b; the query itself is never one of them. The rank is
that of the first right document among those of the index that are not in group g: 1 + the documents of other groups that
are as near as it (within 1e-6) or nearer. Translations into other languages than b are neither right nor wrong, and do not push it
down; a tie counts against it, so that vectors that are all equal find nothing. Recall@k of the pair (a, b) is the share
of its queries with a rank of at most k. `n` counts queries; the interval is Wilson's with one trial a group, since
several queries of a group are not independent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isogloss.core import files
from isogloss.core.errors import DataError, InputError, nearest
from isogloss.core.say import Say
from isogloss.stages import embed

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

AT = (1, 5, 10)
SHOWN = 20
# Cosines that differ by less are equal: two copies of a text differ by so much from batch to batch.
ROUNDING = 1e-6
# Comparisons held at once.
HELD = 16_000_000
VERSION = 1
QUERY, DOCUMENT = ("query",), ("document", "passage", "corpus")


@dataclass(frozen=True)
class Side:
    """One side of a search: its rows, their unit vectors `(N, D)`, and what is known of the vectors."""

    path: Path
    rows: pl.DataFrame
    vectors: np.ndarray
    facts: dict[str, Any]


@dataclass(frozen=True)
class Retrieved:
    """What came of a search.

    `positions (Q, top)` of documents and their `cosines (Q, top)`, nearest first; `pairs`, worst first, where rows have
    groups: `query, doc, n, n_groups`, and for each k `recall@k, low@k, high@k`; `stays` by language of the query.
    """

    queries: Side
    docs: Side
    positions: np.ndarray
    cosines: np.ndarray
    pairs: pl.DataFrame | None
    stays: pl.DataFrame | None

    def hits(self) -> list[dict[str, Any]]:
        """A query each: `id, lang, group`, and its `hits`."""
        asked, found = self.queries.rows, self.docs.rows
        ids, langs, groups = (found[name].to_list() for name in ("id", "lang", "group"))
        out = []
        for row, places, cosines in zip(
            asked.iter_rows(named=True), self.positions.tolist(), self.cosines.tolist(), strict=True
        ):
            hits = []
            for rank, (at, cosine) in enumerate(zip(places, cosines, strict=True), start=1):
                hit = {"rank": rank, "id": ids[at], "lang": langs[at], "cosine": round(cosine, 6)}
                hits.append(hit if row["group"] is None else {**hit, "right": groups[at] == row["group"]})
            out.append({**{name: row[name] for name in ("id", "lang", "group") if row[name] is not None}, "hits": hits})
        return out

    @property
    def signature(self) -> str:
        """What the values depend on beside the model: unequal signatures are not compared."""
        held = [side.rows.select("id", "lang", "group", "text").rows() for side in (self.queries, self.docs)]
        return f"recall|v{VERSION}|index:{self.docs.rows.height}|conf:0.95|data:{files.digest_of(held)}"

    def document(self) -> dict[str, Any]:
        """The result as one JSON document, hits left out."""
        out: dict[str, Any] = {
            "n_queries": self.queries.rows.height,
            "n_docs": self.docs.rows.height,
            "queries": self.queries.facts,
            "docs": self.docs.facts,
        }
        if self.pairs is not None and self.stays is not None:
            out |= {
                "signature": self.signature,
                "pairs": self.pairs.to_dicts(),
                "mean": {f"recall@{k}": mean(self.pairs, f"recall@{k}") for k in AT},
                "stays": self.stays.to_dicts(),
            }
        return out


def mean(pairs: pl.DataFrame, column: str) -> float:
    """The mean over pairs of different languages; over all of them, where there is one language only."""
    import polars as pl

    across = pairs.filter(pl.col("query") != pl.col("doc"))
    values = (across if across.height else pairs)[column]
    return float(values.sum() / max(1, len(values)))


# -- the stage --------------------------------------------------------------------------------------------------


def retrieve_files(
    docs: Path,
    queries: Path | None = None,
    *,
    model: str = embed.DEFAULT,
    revision: str | None = None,
    top: int = 10,
    text: str = "text",
    doc_vectors: Path | None = None,
    query_vectors: Path | None = None,
    doc_prompt: str | None = None,
    query_prompt: str | None = None,
    say: Say | None = None,
) -> Retrieved:
    """Search `docs` for every row of `queries`; without, every row of `docs` searches for the others.

    Vectors that are given are not made; a prompt that is None is the model's own for that side, if it has one. Raises
    DataError with file and line for a row that cannot be used, for vectors that do not fit rows or each other, and for
    a group that has nobody to be found.
    """
    say = say or Say()
    if top < 1:
        raise InputError(f"--top must be at least 1, got {top}")
    if queries is None and query_vectors is not None:
        raise InputError("--query-vectors needs --queries, the rows that they are of")
    indexed = embed.rows(docs, text=text)
    asked = indexed if queries is None else embed.rows(queries, text=text)
    _check_groups(asked, indexed, say, alone=queries is None)
    known = doc_vectors is not None and (queries is None or query_vectors is not None)
    found = None if known else embed.encoder(model, revision=revision)
    docs_side = _side(docs, indexed, doc_vectors, found, doc_prompt, DOCUMENT, say)
    if queries is not None:
        queries_side = _side(queries, asked, query_vectors, found, query_prompt, QUERY, say)
    elif found is not None and _prompt(found, query_prompt, QUERY) != _prompt(found, doc_prompt, DOCUMENT):
        queries_side = _side(docs, indexed, None, found, query_prompt, QUERY, say)
    else:
        queries_side = docs_side
    _check_sides(queries_side, docs_side, query_vectors, doc_vectors)
    return search(queries_side, docs_side, top=top, alone=queries is None, say=say)


def search(queries: Side, docs: Side, *, top: int = 10, alone: bool = False, say: Say | None = None) -> Retrieved:
    """The nearest documents of every query, and recall by language pair where rows have groups.

    `alone`: both sides are the same rows, and none finds itself.
    """
    from isogloss.nn.search import nearest as nearest_docs

    say = say or Say()
    n_queries = queries.rows.height
    most = _most_right(queries.rows, docs.rows)
    # As many neighbours as decide recall at 10, even if every right document were before the wrong ones.
    k = max(top, AT[-1] + most) if most else top
    positions, cosines = nearest_docs(
        queries.vectors,
        docs.vectors,
        k,
        skip_self=alone,
        tick=lambda done: say.progress("searching", done, n_queries, "queries"),
    )
    say.close()
    pairs = _pairs(queries.rows, docs.rows, positions, cosines, alone=alone) if most else None
    stays = _stays(queries.rows, docs.rows, positions, alone=alone) if most else None
    return Retrieved(queries, docs, positions[:, :top], cosines[:, :top], pairs, stays)


def retrieve(
    queries: Sequence[str] | np.ndarray,
    docs: Sequence[str] | np.ndarray,
    model: str = embed.DEFAULT,
    *,
    top: int = 10,
    query_prompt: str | None = None,
    doc_prompt: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Positions `(Q, top)` of the nearest docs and their cosines `(Q, top)`; both sides are texts or vectors.

    Raises DataError when dimensions differ.
    """
    import numpy as np

    from isogloss.nn.search import nearest as nearest_docs

    known = isinstance(queries, np.ndarray) and isinstance(docs, np.ndarray)
    found = None if known else embed.encoder(model)

    def vectors(given: Sequence[str] | np.ndarray, of: str, prompt: str | None, names: Sequence[str]) -> np.ndarray:
        if isinstance(given, np.ndarray):
            if given.ndim != 2:
                raise DataError(f"the {of} must be texts or vectors in two dimensions, got the shape {given.shape}")
            return embed.unit(given, f"the {of}")
        assert found is not None
        return found.vectors(given, prompt=_prompt(found, prompt, names))[0]

    asked, indexed = vectors(queries, "queries", query_prompt, QUERY), vectors(docs, "docs", doc_prompt, DOCUMENT)
    if asked.shape[1] != indexed.shape[1]:
        raise DataError(f"queries have {asked.shape[1]} dimensions and docs {indexed.shape[1]}; use one model for both")
    return nearest_docs(asked, indexed, top)


def _prompt(found: embed.Encoder, given: str | None, names: Sequence[str]) -> str | None:
    """The prompt of a side: the one given, else the model's own for it."""
    own = found.embedder.prompts
    return given if given is not None else next((own[name] for name in names if name in own), None)


def _side(
    path: Path,
    rows: pl.DataFrame,
    given: Path | None,
    found: embed.Encoder | None,
    prompt: str | None,
    names: Sequence[str],
    say: Say,
) -> Side:
    if given is not None:
        vectors, facts = embed.read_vectors(given, rows, path)
        return Side(path, rows, vectors, {"vectors": str(given), **facts})
    assert found is not None
    wanted = _prompt(found, prompt, names)
    vectors, n_cut = embed.vectors_of(rows, found, say, prompt=wanted, what=f"embedding {path.name}")
    embed.note_cuts(say, found, n_cut, str(path))
    return Side(path, rows, vectors, {**found.facts, "n_cut": n_cut, "prompt": found.embedder.before(wanted)})


def _check_sides(queries: Side, docs: Side, query_vectors: Path | None, doc_vectors: Path | None) -> None:
    """Refuse vectors of two spaces. Raises DataError."""
    a, b = queries.vectors.shape[1], docs.vectors.shape[1]
    names = [
        str(given) if given else f"those of {side.facts['model']}"
        for given, side in ((query_vectors, queries), (doc_vectors, docs))
        if given or "model" in side.facts
    ]
    if a != b:
        raise DataError(
            f"query vectors ({names[0]}) have {a} dimensions and document vectors ({names[-1]}) have {b}; "
            "one model must make both"
        )
    made = [side.facts.get("digest") for side in (queries, docs)]
    if all(made) and made[0] != made[1]:
        raise DataError(
            f"query vectors were made by {queries.facts['model']} and document vectors by {docs.facts['model']}, "
            "which are not the same weights; one model must make both"
        )


# -- what is right ----------------------------------------------------------------------------------------------


def _check_groups(asked: pl.DataFrame, indexed: pl.DataFrame, say: Say, *, alone: bool) -> None:
    """Refuse a query whose group nobody shares, and rows of a group without language. Raises DataError."""
    import polars as pl

    without = [rows["group"].is_null().all() for rows in (asked, indexed)]
    if any(without):
        if not all(without):
            have, lack = ("queries", "documents") if without[1] else ("documents", "queries")
            say.note(f"the {have} have groups and the {lack} have none, so nothing is measured")
        return
    for rows in (asked, indexed):
        dumb = rows.filter(pl.col("group").is_not_null() & pl.col("lang").is_null())
        if dumb.height:
            raise DataError(f"{dumb['origin'][0]}: a row with a group needs a language, in a column 'lang'")
    counts = indexed.drop_nulls("group").group_by("group").len()
    single = asked.drop_nulls("group").join(counts, on="group", how="left", maintain_order="left")
    single = single.filter(pl.col("len").fill_null(0) < (2 if alone else 1))
    if single.height:
        more = f" (and {single.height - 1:,} more rows)" if single.height > 1 else ""
        near = "" if alone else nearest(single["group"][0], counts["group"].to_list()[:1000])
        raise DataError(
            f"{single['origin'][0]}: the group '{single['group'][0]}' has no {'other row' if alone else 'document'} "
            f"to be found{more}{near}; give it one, or leave its group empty"
        )


def _most_right(asked: pl.DataFrame, indexed: pl.DataFrame) -> int:
    """The documents of the largest group that is asked for; 0 where nothing is measured."""
    counts = indexed.drop_nulls("group").group_by("group").len()
    counts = counts.join(asked.select("group").unique(), on="group", how="semi")
    return int(counts["len"].to_numpy().max(initial=0))


def _pairs(
    asked: pl.DataFrame, indexed: pl.DataFrame, positions: np.ndarray, cosines: np.ndarray, *, alone: bool
) -> pl.DataFrame:
    """Recall by pair of languages, worst first; see the top of this file."""
    import polars as pl

    ranks = _ranks(asked, indexed, positions, cosines)
    docs = indexed.with_row_index("at").drop_nulls("group").select("at", "group", doc="lang")
    queries = asked.with_row_index("row").drop_nulls("group").select("row", "group", query="lang")
    due = queries.join(docs, on="group")
    if alone:
        due = due.filter(pl.col("at") != pl.col("row"))
    found = due.select("row", "group", "query", "doc").unique().join(ranks, on=["row", "doc"], how="left")
    hits = [(pl.col("rank") <= k).fill_null(False).mean().alias(f"recall@{k}") for k in AT]
    table = found.group_by("query", "doc").agg(*hits, n=pl.len(), n_groups=pl.col("group").n_unique())
    return _intervals(table).sort("recall@1", "recall@5", "recall@10", "query", "doc")


def _ranks(asked: pl.DataFrame, indexed: pl.DataFrame, positions: np.ndarray, cosines: np.ndarray) -> pl.DataFrame:
    """`row, doc` (a language) and the `rank` of its first right document, where the neighbours held show it."""
    import numpy as np
    import polars as pl

    names = pl.concat([asked["group"], indexed["group"]]).drop_nulls().unique(maintain_order=True)
    code = dict(zip(names.to_list(), range(len(names)), strict=True))
    of_query = np.array([code.get(g, -1) for g in asked["group"]], np.int64)
    of_doc = np.array([code.get(g, -2) for g in indexed["group"]], np.int64)
    right = of_doc[positions] == of_query[:, None]
    rows, places = np.nonzero(right)
    ranks = np.zeros(len(rows), np.int64)
    step = max(1, HELD // max(1, positions.shape[1]))
    for start in range(0, len(rows), step):
        some = slice(start, start + step)
        least = cosines[rows[some], places[some]] - ROUNDING
        ranks[some] = 1 + ((cosines[rows[some]] >= least[:, None]) & ~right[rows[some]]).sum(axis=1)
    langs = indexed["lang"].gather(positions[rows, places]) if len(rows) else pl.Series([], dtype=pl.String)
    every = pl.DataFrame({"row": rows.astype(np.uint32), "doc": langs, "rank": ranks})
    return every.group_by("row", "doc").agg(pl.col("rank").min())


def _intervals(table: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    from isogloss.core.resampling import wilson

    n = table["n_groups"].to_numpy()
    for k in AT:
        low, high = wilson(table[f"recall@{k}"].to_numpy() * n, n)
        table = table.with_columns(pl.Series(f"low@{k}", low), pl.Series(f"high@{k}", high))
    return table


def _stays(asked: pl.DataFrame, indexed: pl.DataFrame, positions: np.ndarray, *, alone: bool) -> pl.DataFrame:
    """By language of the query: the share whose nearest document is in its own language, and what chance would give.

    `keeps`: more than chance, also after a correction for the number of languages. Much more than chance in a mixed
    index is a sign that vectors tell the language before the content.
    """
    import numpy as np
    import polars as pl

    from isogloss.core.resampling import wilson

    counts = dict(indexed.group_by("lang").len().iter_rows())
    first = indexed["lang"].gather(positions[:, 0])
    table = asked.select("lang", own=(pl.col("lang") == first)).drop_nulls("lang")
    table = (
        table.group_by("lang").agg(n=pl.len(), own=pl.col("own").mean()).sort("own", "lang", descending=[True, False])
    )
    hits, n = table["own"].to_numpy() * table["n"].to_numpy(), table["n"].to_numpy()
    low, high = wilson(hits, n)
    surely = wilson(hits, n, 1 - 0.05 / max(1, table.height))[0]  # as many languages are looked at (Bonferroni)
    total = max(1, indexed.height - alone)
    chance = [max(0, counts.get(lang, 0) - alone) / total for lang in table["lang"]]
    return table.with_columns(
        low=pl.Series(low),
        high=pl.Series(high),
        chance=pl.Series(chance, dtype=pl.Float64),
        keeps=pl.Series(surely > np.array(chance), dtype=pl.Boolean),
    )


def write_hits(path: Path, found: Retrieved) -> None:
    """Write the hits as JSONL, a query a line, whole or not at all."""
    files.write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found.hits()))


# -- the screen -------------------------------------------------------------------------------------------------


def lines(found: Retrieved, columns: Callable[[list[list[str]], int], list[str]], width: int) -> Iterator[str]:
    """What is on screen: recall by pair, worst first, and which languages keep to themselves."""
    assert found.pairs is not None and found.stays is not None
    pairs = found.pairs.to_dicts()
    yield f"recall over one index of {found.docs.rows.height:,} documents in all languages, worst pair first"
    yield ""
    table = [["query", "document", "n", "recall@1", "interval", *(f"recall@{k}" for k in AT[1:])]]
    for row in pairs[:SHOWN]:
        interval = f"[{row['low@1']:.3f}, {row['high@1']:.3f}]"
        values = [f"{row[f'recall@{k}']:.3f}" for k in AT]
        table.append([row["query"], row["doc"], str(row["n"]), values[0], interval, *values[1:]])
    n = f"{len(pairs):,} pair" + ("s" if len(pairs) > 1 else "")
    table.append([f"mean of {n}", "", "", f"{mean(found.pairs, 'recall@1'):.3f}", ""])
    table[-1] += [f"{mean(found.pairs, f'recall@{k}'):.3f}" for k in AT[1:]]
    yield from columns(table, width)
    if len(pairs) > SHOWN:
        yield f"... and {len(pairs) - SHOWN:,} more pairs, all of them better; --json has every one"
    stays = [row for row in found.stays.iter_rows(named=True) if row["keeps"]]
    if stays and found.stays.height > 1:
        some = ", ".join(f"{row['lang']} {row['own']:.2f} (chance {row['chance']:.2f})" for row in stays[:4])
        more = f" and {len(stays) - 4} more" if len(stays) > 4 else ""
        yield ""
        yield f"nearest document of the query's own language more often than by chance: {some}{more}"
