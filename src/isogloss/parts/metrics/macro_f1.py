"""Macro F1: precision and recall of each class in one number, averaged over classes.

2 * right / (gold + predicted) for each class, their harmonic mean. Averaged over the classes that occur in gold or
predictions, as sklearn does by default; a class without right predictions gives 0. Gold labels that training never
saw are one class more, which nobody predicts. Counts (N, 3 * (C + 1)): see `core.metric.class_counts`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isogloss.core.metric import Floats, class_counts, class_mean, ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

BETTER = "higher"
RANGE = (0.0, 1.0)
VERSION = 1


def stats(rows: pl.DataFrame, labels: Sequence[str]) -> Floats:
    return class_counts(rows, labels)


def value(totals: Floats) -> Floats:
    return class_mean(totals, lambda right, gold, predicted: ratio(2 * right, gold + predicted, empty=0.0))
