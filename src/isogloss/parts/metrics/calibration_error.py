"""Expected calibration error: how far the model's confidence is from its accuracy, over 15 bins of equal width.

Guo et al. 2017, "On Calibration of Modern Neural Networks": bins (0, 1/15], ..., (14/15, 1] of the largest
probability; the mean over rows of |confidence - accuracy| of the row's bin. Noise only adds to it, so few rows read
as badly calibrated; the interval is the basic bootstrap's, which moves the other way. Counts (N, 16): confidence -
right by bin, then rows. A row without gold or probabilities does not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from isogloss.core.metric import Floats, probabilities, ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

BETTER = "lower"
RANGE = (0.0, 1.0)
VERSION = 1
INTERVAL = "basic"
N_BINS = 15


def stats(rows: pl.DataFrame, labels: Sequence[str]) -> Floats:
    probs, given = probabilities(rows, labels)
    counted = np.flatnonzero(given & rows["label"].is_not_null().to_numpy())
    confidence = probs[counted].max(axis=1, initial=0.0)
    right = (rows["label"] == rows["pred"]).fill_null(False).to_numpy()[counted]
    bins = np.clip(np.ceil(confidence * N_BINS).astype(np.int64) - 1, 0, N_BINS - 1)
    counts = np.zeros((rows.height, N_BINS + 1))
    counts[counted, bins] = confidence - right
    counts[counted, N_BINS] = 1
    return counts


def value(totals: Floats) -> Floats:
    return ratio(np.abs(totals[..., :N_BINS]).sum(axis=-1), totals[..., N_BINS])
