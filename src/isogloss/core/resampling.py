"""Intervals of scores: Wilson, Holm, and the bootstrap over units.

**Resampling.** The unit is the `group` of a row (translations of the same content) or, without one, its `id`. A
resample draws as many units as there are, with replacement; the draw depends on the seed and the number of units
only, and units are kept in the order of their names, so that two systems on the same rows meet the same resamples.
More than 5,000 units are first dealt at random into 5,000 blocks, which are resampled instead: memory stays bounded
and nothing shifts.

**Interval.** Expanded percentiles (Hesterberg 2015, "What Teachers Should Know About the Bootstrap": the tails that a
t-distribution would ask for), basic ("reverse") percentiles for a metric that says `INTERVAL = "basic"` and for "worst"
and "gap", whose estimates noise pushes outwards. No interval has zero width: each side reaches at least
-ln(1 - confidence) / n_units of the metric's range, 3/n at 95 % (rule of three: Hanley & Lippman-Hand 1983), clipped to
the range. So one unit says nothing, nine say at most "within a third", and ten right of ten is [0.70, 1.00].
Where the range is infinite there is no such bound: the interval is null for fewer than two units or constant resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from isogloss.core.metric import Floats, Ints, ratio

FEW_UNITS = 10
"""Below this many units no comparison is decided: it "cannot tell"."""
MAX_UNITS = 5_000
_CHUNK = 4_000_000  # weights held at once: 32 MB


def wilson(k: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Wilson's score interval of a share k / n (Wilson 1927); NaN where n is 0. Vectorised.

    >>> low, high = wilson(0, 10)
    >>> f"{low:.3f} {high:.3f}"
    '0.000 0.278'
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    k, n = np.asarray(k, np.float64), np.asarray(n, np.float64)
    share, spread = ratio(k, n), ratio(z * z, n)
    centre = (share + spread / 2) / (1 + spread)
    half = np.sqrt(spread * share * (1 - share) + spread * spread / 4) / (1 + spread)
    return np.where(k == 0, centre * 0, centre - half), np.where(k == n, centre * 0 + 1, centre + half)


def holm(p: ArrayLike) -> Floats:
    """Adjust p-values for their number (Holm 1979); NaN stays NaN and is not counted.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p, np.float64)
    out = np.full(p.shape, math.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    out[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else steps
    return out


def aggregate(values: Floats, better: str) -> dict[str, Floats]:
    """Sum up languages (L, ...): `mean`, `worst` (mean of the worst tenth, at least one), `gap` (best - worst).

    >>> {k: round(float(v), 2) for k, v in aggregate(np.array([0.5, 0.9, 0.7]), "higher").items()}
    {'mean': 0.7, 'worst': 0.5, 'gap': 0.4}
    """
    ordered = np.sort(values, axis=0)
    n_worst = max(1, len(values) // 10)
    worst = ordered[:n_worst] if better == "higher" else ordered[-n_worst:]
    return {"mean": values.mean(axis=0), "worst": worst.mean(axis=0), "gap": ordered[-1] - ordered[0]}


@lru_cache(maxsize=4)
def weights_of(n_units: int, n_rows: int, seed: tuple[int, ...]) -> Floats:
    """How often each unit is drawn: (n_rows, n_units), each row summing to n_units."""
    drawn = np.random.default_rng(seed).integers(0, n_units, (n_rows, n_units))
    drawn += np.arange(n_rows)[:, None] * n_units
    weights = np.bincount(drawn.ravel(), minlength=n_rows * n_units).reshape(n_rows, n_units).astype(np.float64)
    weights.flags.writeable = False  # shared through the cache
    return weights


def chunked(n_units: int, resamples: int) -> Iterator[slice]:
    step = max(1, _CHUNK // max(1, n_units))
    for start in range(0, resamples, step):
        yield slice(start, min(start + step, resamples))


def one_thread() -> AbstractContextManager[Any]:
    """Keep BLAS on one thread: many small products are ten times slower on threads that wait for busy cores."""
    # scikit-learn, which we require, requires it
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, "blas")


def resample(units: Sequence[Floats], resamples: int, seed: int, value: Callable[..., Any]) -> Floats:
    """Give `value(*totals)` for each resample of the same units; each of `units` is (U, K), the answer (resamples,)."""
    n_units = len(units[0])
    out = np.empty(resamples)
    for chunk in chunked(n_units, resamples):
        weights = weights_of(n_units, chunk.stop - chunk.start, (seed, chunk.start))
        out[chunk] = value(*(weights @ counts for counts in units))
    return out


def resampled(units: Ints, counts: Floats, resamples: int, seed: int) -> tuple[Floats, int]:
    """Totals (resamples, K) of counts (N, K) whose rows belong to `units` (N,), and how many units there are.

    All columns meet the same resamples, so that any value of the totals can be taken of them.
    """
    place, n_blocks, n_units = blocks_of(units, seed)
    summed = sum_by(place, counts, n_blocks)
    with one_thread():
        return np.concatenate(
            [weights_of(n_blocks, c.stop - c.start, (seed, c.start)) @ summed for c in chunked(n_blocks, resamples)]
        ), n_units


def blocks_of(units: Ints, seed: int) -> tuple[Ints, int, int]:
    """Number the units 0..U-1 in their order and, when there are too many, deal them into blocks.

    Gives the block of each row, the number of blocks, and the number of units.
    """
    names, place = np.unique(units, return_inverse=True)
    n_units = len(names)
    if n_units <= MAX_UNITS:
        return place, n_units, n_units
    block_of = np.random.default_rng([seed, n_units]).permutation(n_units) % MAX_UNITS
    return block_of[place], MAX_UNITS, n_units


def sum_by(place: Ints, counts: Floats, n_places: int) -> Floats:
    """Sum rows of `counts` (N, K) by `place` (N,): (n_places, K)."""
    order = np.argsort(place, kind="stable")
    present, starts = np.unique(place[order], return_index=True)
    out = np.zeros((n_places, counts.shape[1]))
    if len(present):
        out[present] = np.add.reduceat(counts[order], starts, axis=0)
    return out


def _tail(confidence: float, n_units: int) -> float:
    """The share of resamples beyond each end: t's tail at n - 1 with the bias of the plug-in spread undone."""
    from scipy.special import stdtrit

    if n_units < 2:
        return 0.0
    t = float(stdtrit(n_units - 1, (1 - confidence) / 2))
    return NormalDist().cdf(t * math.sqrt(n_units / (n_units - 1)))


def reach_of(n_units: int, width: float, alpha: float) -> float:
    """The rule of three: how far from a value the truth may be when n units show no variation at all."""
    return -math.log(alpha) / n_units * width if n_units and math.isfinite(width) else 0.0


def interval(
    value: float,
    draws: Floats,
    n_units: int,
    bounds: tuple[float, float],
    confidence: float = 0.95,
    kind: str = "percentile",
    width: float = math.nan,
) -> tuple[float, float]:
    """Give low and high around `value` from its resamples, by the rules at the top of this file; NaN where unknown.

    `width` is that of the metric's range where it is not that of `bounds`.
    """
    width = bounds[1] - bounds[0] if math.isnan(width) else width
    draws = draws[np.isfinite(draws)]
    if math.isnan(value) or not len(draws) or n_units < 1:
        return math.nan, math.nan
    tail = _tail(confidence, n_units)
    low, high = (float(q) for q in np.quantile(draws, [tail, 1 - tail]))
    if not math.isfinite(width) and (n_units < 2 or math.isclose(low, high, rel_tol=1e-9, abs_tol=1e-12)):
        return math.nan, math.nan
    if kind == "basic":
        low, high = 2 * value - high, 2 * value - low
    reach = reach_of(n_units, width, 1 - confidence)
    return max(bounds[0], min(low, value - reach)), min(bounds[1], max(high, value + reach))
