"""Share of rows that find their own content among the first five.

Counts (N, 2): found, rows. A row without `rank`, whose content is in no other language, does not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isogloss.core.metric import Floats, found_within, ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

BETTER = "higher"
RANGE = (0.0, 1.0)
VERSION = 1
READS = ("rank",)


def stats(rows: pl.DataFrame, labels: Sequence[str]) -> Floats:
    return found_within(rows, 5)


def value(totals: Floats) -> Floats:
    return ratio(totals[..., 0], totals[..., 1])
