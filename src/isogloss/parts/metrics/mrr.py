"""Mean reciprocal rank: a row that finds its own content first counts 1, at the second place 1/2, at the third 1/3.

Voorhees 1999 (TREC-8 question answering). Counts (N, 2): 1 / rank, rows. A row without `rank`, whose content is in no
other language, does not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from isogloss.core.metric import Floats, ranks, ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

BETTER = "higher"
RANGE = (0.0, 1.0)
VERSION = 1
READS = ("rank",)


def stats(rows: pl.DataFrame, labels: Sequence[str]) -> Floats:
    rank, given = ranks(rows)
    return np.column_stack([np.where(given, 1.0 / np.maximum(rank, 1), 0.0), given])


def value(totals: Floats) -> Floats:
    return ratio(totals[..., 0], totals[..., 1])
