"""Share of rows that find their own content among the first ten.

Counts (N, 2): found, rows. A row without `rank`, whose content is in no other language, does not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from isogloss.core.report import Floats, ranks, ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

BETTER = "higher"
RANGE = (0.0, 1.0)
VERSION = 1
READS = ("rank",)


def stats(rows: pl.DataFrame, labels: Sequence[str]) -> Floats:
    rank, given = ranks(rows)
    return np.column_stack([given & (rank <= 10), given]).astype(np.float64)


def value(totals: Floats) -> Floats:
    return ratio(totals[..., 0], totals[..., 1])
