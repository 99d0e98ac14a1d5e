"""Share of translations of the same content, in other languages, that got the same prediction.

For each row: the rows of its `group` in other languages, and how many of them have its prediction; whether it is
right does not matter. Counts (N, 2): agreeing, others. A row without a group or without a translation has 0 of 0 and
does not count, so a corpus that is not parallel has no consistency (NaN). The rows must be given all at once: groups
may not be cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from isogloss.core.metric import Floats, ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

BETTER = "higher"
RANGE = (0.0, 1.0)
VERSION = 1


def stats(rows: pl.DataFrame, labels: Sequence[str]) -> Floats:
    import polars as pl

    rows_of = pl.len().cast(pl.Float64)
    others = rows_of.over("group") - rows_of.over("group", "lang")
    agreeing = rows_of.over("group", "pred") - rows_of.over("group", "pred", "lang")
    has = pl.col("group").is_not_null() & pl.col("pred").is_not_null()
    counts = rows.select(
        agreeing=pl.when(has).then(agreeing).otherwise(0.0), others=pl.when(has).then(others).otherwise(0.0)
    )
    return np.asarray(counts.to_numpy(), dtype=np.float64)


def value(totals: Floats) -> Floats:
    return ratio(totals[..., 0], totals[..., 1])
