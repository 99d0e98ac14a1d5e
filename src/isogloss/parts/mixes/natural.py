"""Every row once an epoch, in random order: languages are seen in proportion to their rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


def order(rows: pl.DataFrame, rng: np.random.Generator, seen: Mapping[str, Any]) -> np.ndarray:
    """Positions of the next window: a permutation of all rows.

    >>> import numpy as np, polars as pl
    >>> sorted(order(pl.DataFrame({"lang": ["a", "b", "a"]}), np.random.default_rng(0), {}).tolist())
    [0, 1, 2]
    """
    return rng.permutation(rows.height)
