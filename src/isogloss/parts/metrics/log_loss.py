"""Mean negative log-probability of the gold label, in nats (multiply by 1.4427 for bits).

Probabilities are clipped at 2.2e-16, as in sklearn, so that one certain error costs 36 nats and not infinity; a gold
label that training never saw has probability 0. Counts (N, 2): nats, rows. A row without gold or probabilities does
not count.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from isogloss.core.metric import Floats, label_codes, probabilities, ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

BETTER = "lower"
RANGE = (0.0, math.inf)
VERSION = 1


def stats(rows: pl.DataFrame, labels: Sequence[str]) -> Floats:
    probs, given = probabilities(rows, labels)
    gold = label_codes(rows["label"], labels)
    known = (gold >= 0) & (gold < len(labels))
    chance = np.zeros(rows.height)
    chance[known] = probs[known, gold[known]]
    nats = -np.log(np.maximum(chance, np.finfo(np.float64).eps))
    counts = given & (gold >= 0)
    return np.column_stack([np.where(counts, nats, 0.0), counts])


def value(totals: Floats) -> Floats:
    return ratio(totals[..., 0], totals[..., 1])
