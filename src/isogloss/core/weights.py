"""Class weights by row: none, over all rows, or inside each language."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

# A class of a language is believed as if these many rows of the pooled distribution stood beside its own.
SHRINKAGE = 10.0


def class_weights(rows: pl.DataFrame, scheme: str) -> np.ndarray:
    """Weights `(N,)` of rows with `lang, label`, with mean 1 inside every language, so that no scheme moves its share.

    A row of class c in language l weighs in proportion to 1 / p(c | l). `by_lang` shrinks p(c | l) toward the pooled p(c)
    with the weight of `SHRINKAGE` rows: a class of a handful of rows is not blown up. `global` uses p(c) alone. Rows of
    several tasks (`task`) are weighed inside each task.

    >>> import polars as pl
    >>> rows = pl.DataFrame({"lang": ["a"] * 4, "label": ["x", "x", "x", "y"]})
    >>> class_weights(rows, "global").round(2).tolist()
    [0.67, 0.67, 0.67, 2.0]
    """
    import numpy as np
    import polars as pl

    if scheme == "none" or rows.is_empty():
        return np.ones(rows.height)
    task = rows["task"] if "task" in rows.columns else pl.Series("task", [""]).new_from_index(0, rows.height)
    known = rows.select("lang", "label", task.alias("task"))
    n_c, n_lc = pl.len().over("task", "label"), pl.len().over("task", "lang", "label")
    n, n_l = pl.len().over("task"), pl.len().over("task", "lang")
    pooled = n_c / n
    share = pooled if scheme == "global" else (n_lc + SHRINKAGE * pooled) / (n_l + SHRINKAGE)
    raw = known.select("lang", "task", w=1 / share)
    return raw.select(pl.col("w") / pl.col("w").mean().over("lang", "task")).to_series().to_numpy()
