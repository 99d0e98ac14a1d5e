"""Share of rows whose predicted label is the gold label.

Counts (N, 2): right, rows. A gold label that training never saw is an error; a row without a gold label does not count.
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
    right = (rows["label"] == rows["pred"]).fill_null(False)
    return np.column_stack([right.to_numpy(), rows["label"].is_not_null().to_numpy()]).astype(np.float64)


def value(totals: Floats) -> Floats:
    return ratio(totals[..., 0], totals[..., 1])
