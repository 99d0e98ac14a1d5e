"""What a metric is, and what metrics share: a metric is counts of each row and a function of their sums."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from isogloss.core.errors import DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Metric(Protocol):
    """What `parts/metrics/*.py` define: additive row counts, and the value of their sums."""

    BETTER: Any  # "higher" or "lower"
    RANGE: Any  # (lowest, highest), math.inf allowed
    VERSION: Any  # an int: a changed definition is a new version
    stats: Callable[..., Floats]  # (rows, labels) -> (N, K)
    value: Callable[..., Any]  # (..., K) -> (...)


READS = ("label", "pred", "probs")
"""Columns of predictions that a metric reads beside `id, lang, group`, where it has no `READS` of its own."""


def reads(metric: Any) -> tuple[str, ...]:
    """The columns that a metric reads beside `id, lang, group`."""
    return tuple(getattr(metric, "READS", READS))


def label_codes(labelled: pl.Series, labels: Sequence[str]) -> Ints:
    """Give the position of each label in `labels`; `len(labels)` for any other label, -1 for null.

    >>> label_codes(pl.Series(["b", "z", None]), ["a", "b"]).tolist()
    [1, 2, -1]
    """
    names = labelled.cast(pl.String)
    codes = names.replace_strict(list(labels), list(range(len(labels))), default=len(labels), return_dtype=pl.Int64)
    return np.where(names.is_null().to_numpy(), -1, codes.to_numpy()).astype(np.int64)


def probabilities(rows: pl.DataFrame, labels: Sequence[str]) -> tuple[Floats, NDArray[np.bool_]]:
    """Read the column `probs`: values (N, C), and which rows have any (N,); a row without has zeros.

    Raises DataError when a list is not as long as `labels`, or a value is not a probability.
    """
    given = rows["probs"].is_not_null().to_numpy()
    values = np.zeros((rows.height, len(labels)))
    column = rows["probs"].drop_nulls()
    if not len(column):
        return values, given
    lengths = column.list.len()
    if (lengths != len(labels)).any():
        wrong = lengths.filter(lengths != len(labels))[0]
        raise DataError(f"a prediction has {wrong} probabilities where there are {len(labels)} labels")
    flat = column.explode().cast(pl.Float64).to_numpy().reshape(-1, len(labels))
    if not ((flat >= -1e-6) & (flat <= 1 + 1e-6)).all():  # also catches NaN
        raise DataError("a prediction has a probability that is not a number from 0 to 1; did training diverge?")
    values[given] = np.clip(flat, 0.0, 1.0)
    return values, given


def ranks(rows: pl.DataFrame) -> tuple[Ints, NDArray[np.bool_]]:
    """Read the column `rank`, from 1: values (N,), and which rows have one (N,); a row without has 0.

    Raises DataError for a rank below 1.

    >>> ranks(pl.DataFrame({"rank": [1, None, 7]}))[0].tolist()
    [1, 0, 7]
    """
    values = rows["rank"].cast(pl.Int64).fill_null(0).to_numpy()
    given = rows["rank"].is_not_null().to_numpy()
    if (values[given] < 1).any():
        raise DataError(f"a prediction has the rank {values[given].min()}, and ranks begin at 1; did training diverge?")
    return values, given


def found_within(rows: pl.DataFrame, k: int) -> Floats:
    """Counts (N, 2) of recall at `k`: found among the first `k`, rows. A row without `rank` does not count."""
    rank, given = ranks(rows)
    return np.column_stack([given & (rank <= k), given]).astype(np.float64)


def class_counts(rows: pl.DataFrame, labels: Sequence[str]) -> Floats:
    """Count per row and class: predicted rightly, gold, predicted; (N, 3 * (C + 1)), three blocks of C + 1.

    The extra class holds every gold label that is not in `labels`. A row without a gold label counts nowhere.
    """
    n_classes = len(labels) + 1
    gold, pred = label_codes(rows["label"], labels), label_codes(rows["pred"], labels)
    right = (rows["label"] == rows["pred"]).fill_null(False).to_numpy()
    counts = np.zeros((rows.height, 3 * n_classes))
    at = np.arange(rows.height)
    hit, has_gold, has_pred = right & (gold >= 0), gold >= 0, (gold >= 0) & (pred >= 0)
    counts[at[hit], gold[hit]] = 1
    counts[at[has_gold], n_classes + gold[has_gold]] = 1
    counts[at[has_pred], 2 * n_classes + pred[has_pred]] = 1
    return counts


def class_mean(totals: Floats, of: Callable[[Floats, Floats, Floats], Floats]) -> Floats:
    """Average `of(right, gold, predicted)` over the classes that occur in gold or predictions; (..., K) -> (...)."""
    right, gold, predicted = np.split(np.asarray(totals, dtype=np.float64), 3, axis=-1)
    return ratio(of(right, gold, predicted).sum(axis=-1), ((gold + predicted) > 0).sum(axis=-1))


def ratio(part: ArrayLike, whole: ArrayLike, empty: float = math.nan) -> Floats:
    """Divide, giving `empty` where `whole` is 0.

    >>> ratio([1.0, 0.0], [2.0, 0.0]).tolist()
    [0.5, nan]
    """
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    return np.divide(part, whole, out=np.full(whole.shape, empty), where=whole != 0)
