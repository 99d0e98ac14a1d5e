"""Every row as often as its weight says, as `dedup` writes it with `reweight`; languages as often as they have rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


def order(rows: pl.DataFrame, rng: np.random.Generator, seen: Mapping[str, Any]) -> np.ndarray:
    """Positions of the next window, as many as there are rows, of each language as many as it has.

    Within a language a row comes in proportion to its `weight`, exactly so on average and within one of it in a window
    (systematic sampling, Madow 1949). Without the column `weight` every row comes once.

    >>> import numpy as np, polars as pl
    >>> rows = pl.DataFrame({"lang": ["a"] * 4, "weight": [2.0, 0.0, 1.0, 1.0]})
    >>> sorted(order(rows, np.random.default_rng(0), {}).tolist())
    [0, 0, 2, 3]
    """
    import numpy as np

    exact = shares(rows)
    codes = rows["lang"].rank("dense").to_numpy() - 1
    at = rng.permutation(rows.height)
    at = at[np.argsort(codes[at], kind="stable")]  # by language, in random order within
    # Every language ends at a whole number, so that the offset moves no row from one language to another.
    cumulated = np.round(np.cumsum(exact[at]), 9)
    times = np.diff(np.floor(np.concatenate([[0], cumulated]) + rng.random()))
    picked = np.repeat(at, times.astype(np.int64))
    return picked[rng.permutation(picked.size)]


def shares(rows: pl.DataFrame) -> np.ndarray:
    """How often each row comes on average, `(N,)`."""
    import numpy as np

    weight = rows["weight"].fill_null(1).to_numpy() if "weight" in rows.columns else np.ones(rows.height)
    codes = rows["lang"].rank("dense").to_numpy().astype(np.int64) - 1
    sizes = np.bincount(codes).astype(float)
    totals = np.bincount(codes, weights=weight)
    share = np.divide(weight, totals[codes], out=1 / sizes[codes], where=totals[codes] > 0)
    return share * sizes[codes]
