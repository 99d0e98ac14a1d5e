"""Windows of a mix: so many rows of each language (or of any other kind), in turns, in random order.

What mixes share. `rows` is what a mix is given (docs/design.md); its column `met` says how often each row was learned
from, so that a row comes again only after all others of its kind did, over the whole run and however short windows are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Of = Literal["rows", "tokens"]

# A window that must be short, so that a mix can react: this share of the corpus, and at least so many batches.
SHORT, BATCHES = 0.1, 8


def by_lang(rows: pl.DataFrame) -> tuple[list[str], Ints]:
    """The languages of rows, sorted, and each row's position among them `(N,)`.

    >>> import polars as pl
    >>> names, code = by_lang(pl.DataFrame({"lang": ["b", "a", "b"]}))
    >>> names, code.tolist()
    (['a', 'b'], [1, 0, 1])
    """
    names = sorted(rows["lang"].unique().to_list())
    return names, rows["lang"].rank("dense").to_numpy().astype(np.int64) - 1


def amounts(rows: pl.DataFrame, of: Of = "rows") -> Floats:
    """What each row counts `(N,)`: one, or its tokens; its bytes where nothing is known of tokens."""
    if of == "rows":
        return np.ones(rows.height)
    return rows["n_tokens" if "n_tokens" in rows.columns else "n_bytes"].to_numpy().astype(np.float64).clip(1.0)


def sizes(code: Ints, each: Floats, n: int) -> Floats:
    """The sum of what rows count, by kind `(n,)`."""
    return np.bincount(code, weights=each, minlength=n).astype(np.float64)


def short(rows: pl.DataFrame, seen: Mapping[str, Any]) -> int:
    """How many rows a short window has: a tenth of the corpus, whole batches, at least `BATCHES` of them; no more than
    the run has left, so that its last window is used up."""
    batch = max(1, round(seen.get("batch") or 1))
    n = batch * max(BATCHES, round(SHORT * rows.height / batch)) if batch > 1 else max(1, round(SHORT * rows.height))
    return n if not seen.get("planned") else min(n, whole(seen["planned"] * (1 - seen.get("progress", 0.0)), batch))


def whole(n_rows: float, batch: int) -> int:
    """The nearest number of rows that are whole batches, at least one.

    >>> whole(70.0, 32), whole(3.0, 32)
    (64, 32)
    """
    return batch * max(1, round(n_rows / batch))


def of_lang(seen: Mapping[str, Any], what: str, names: Sequence[str], otherwise: float = 0.0) -> Floats:
    """`seen[what]` of each language `(L,)`; `otherwise` for one that it does not name."""
    known = seen.get(what) or {}
    return np.array([known.get(name, otherwise) for name in names], dtype=np.float64)


def window(rows: pl.DataFrame, code: Ints, shares: Floats, n: int, rng: np.random.Generator, of: Of = "rows") -> Ints:
    """Positions of about `n` rows in random order, kind k (`code (N,)`) with its share of them, or of their tokens.

    Of rows there are exactly `n`, each kind within one of its share, in the mean over windows exactly it. Inside a kind
    those come first that were met least; the rest is chance.

    >>> import polars as pl
    >>> rows = pl.DataFrame({"lang": ["a"] * 6 + ["b"] * 2})
    >>> picked = window(rows, np.array([0] * 6 + [1] * 2), np.array([0.5, 0.5]), 8, np.random.default_rng(0))
    >>> np.bincount(picked, minlength=8).tolist()[-2:], sorted(np.bincount(picked, minlength=8).tolist()[:6])
    ([2, 2], [0, 0, 1, 1, 1, 1])
    """
    shares = np.where(np.bincount(code, minlength=len(shares)) > 0, shares, 0.0)
    shares = shares / shares.sum()
    met = rows["met"].to_numpy() if "met" in rows.columns else np.zeros(rows.height, np.int64)
    each = amounts(rows, of)
    n_rows = np.bincount(code, minlength=len(shares))
    if of == "rows":
        wanted = systematic(shares * n, rng).astype(np.float64)
    else:
        usual = sizes(code, each, len(shares)) / np.maximum(n_rows, 1)
        whole = n / (shares[shares > 0] / usual[shares > 0]).sum()
        wanted = shares * whole
    order = np.lexsort((rng.random(rows.height), met, code))
    ends = np.cumsum(n_rows)
    picked = [_take(own, each, float(want), rng) for own, want in zip(np.split(order, ends[:-1]), wanted, strict=True)]
    found = np.concatenate(picked)
    if not len(found):  # a share of less than a row of every kind
        found = order[:1]
    return found[rng.permutation(len(found))]


def expected(rows: pl.DataFrame, code: Ints, shares: Floats, of: Of = "rows") -> Floats:
    """How often each row comes on average in windows of `window`, `(N,)`, with mean 1: all rows of a kind alike.

    >>> import polars as pl
    >>> rows = pl.DataFrame({"lang": ["a"] * 6 + ["b"] * 2})
    >>> expected(rows, np.array([0] * 6 + [1] * 2), np.array([0.5, 0.5])).round(2).tolist()[-3:]
    [0.67, 2.0, 2.0]
    """
    size = sizes(code, amounts(rows, of), len(shares))
    times = np.divide(shares, size, out=np.zeros(len(shares)), where=size > 0)[code]
    return times * (rows.height / times.sum())


def systematic(exact: Floats, rng: np.random.Generator) -> Ints:
    """Whole numbers with the same sum as `exact`, rounded, each within one of it and in the mean exactly it.

    >>> systematic(np.array([2.0, 3.0, 0.0]), np.random.default_rng(0)).tolist()
    [2, 3, 0]
    """
    ends = np.cumsum(exact)
    ends *= round(float(ends[-1])) / ends[-1] if ends[-1] else 1.0
    marks = np.floor(ends + rng.uniform(1e-6, 1 - 1e-6)).astype(np.int64)
    return np.diff(marks, prepend=0)


def _take(own: Ints, each: Floats, want: float, rng: np.random.Generator) -> Ints:
    """Rows of `own`, round after round, until they count `want`; the last one by chance, so that the mean is right."""
    if not len(own) or want <= 0:
        return own[:0]
    ends = np.cumsum(each[own])
    rounds = int(want // ends[-1])
    rest = want - rounds * ends[-1]
    k = int(np.searchsorted(ends, rest + 1e-9, side="right"))
    if k < len(own):
        over = (rest - (ends[k - 1] if k else 0.0)) / each[own[k]]
        k += int(over > 1e-9 and rng.random() < over)
    return np.concatenate([own] * rounds + [own[:k]])


def filled(budget: float, most: Floats) -> Floats:
    """Deal `budget` out as evenly as it goes, nobody more than `most (L,)`: water-filling, `(L,)`.

    >>> filled(10.0, np.array([1.0, 9.0, 9.0])).tolist()
    [1.0, 4.5, 4.5]
    >>> filled(100.0, np.array([1.0, 9.0])).tolist()
    [1.0, 9.0]
    """
    out = np.zeros(len(most))
    left, order = budget, np.argsort(most, kind="stable")
    for place, i in enumerate(order):
        out[i] = min(most[i], left / (len(order) - place))
        left -= out[i]
    return out
