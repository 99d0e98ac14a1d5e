"""Probes: short real trainings from the most promising sources, how many a budget pays for, and what they tell.

Successive halving (Jamieson & Talwalkar 2016): all candidates are trained on few rows, the better half on twice as
many, and so on. Numbers in, numbers out: `stages/probes.py` trains. What a probe says is joined with what was expected
before as two Gaussian sources of knowledge, each weighed by its precision (`combine`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from isogloss.core.errors import BudgetEnded
from isogloss.core.sources import ENGLISH, Candidate, Probed, Ranking, Reason

MOST = 16  # candidates of a target in the first rung
GOOD_ROWS = 200  # rows on which a first rung is worth its time; with fewer, half as many candidates are tried
FEWEST_ROWS = 50  # rows of a source below which it is not trained
SLACK = 0.05  # share of the budget that is left unplanned, for a machine that slows
EPOCHS = 5.0  # passes over the rows of a probe where the recipe names none
STAGE = "probe"
Z90 = 1.6448536269514722

# Spread of a source's score between a probe and a training on twice its rows, and between two trainings on the same
# rows, in spreads of sources (`Fitted.spread`): benchmarks/source_probes.py measures both.
DRIFT = 0.25
NOISE = 0.25

Array = np.ndarray[Any, Any]


# -- what a budget pays for -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of one probe: `fixed`, whatever its size (reading, writing, answering dev rows), and `row` for each row."""

    fixed: float
    row: float

    def of(self, rows: int) -> float:
        return self.fixed + self.row * rows


@dataclass(frozen=True, slots=True)
class Rung:
    """One round: on `rows` rows from each source, the best `n` candidates of each target, `most` trainings at most."""

    rows: int
    n: int
    most: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The rounds, and the seconds that all of them take at most."""

    rungs: tuple[Rung, ...]
    seconds: float

    @property
    def most(self) -> int:
        return sum(rung.most for rung in self.rungs)


def halves(n: int) -> list[int]:
    """How many candidates are left in each round.

    >>> halves(9), halves(2), halves(1)
    ([9, 5, 3, 2], [2], [1])
    """
    out = [n]
    while out[-1] > 2:
        out.append(math.ceil(out[-1] / 2))
    return out


def enough_rows(rows: Mapping[str, int]) -> int:
    """Rows that a source needs to take part, given those of all candidates: half of what most have, within bounds.

    All are trained on as many rows as the one with fewest, so that one with hardly any would spoil it for the others.

    >>> enough_rows({"a": 700, "b": 650, "c": 60}), enough_rows({"a": 40})
    (100, 50)
    """
    if not rows:
        return FEWEST_ROWS
    return max(FEWEST_ROWS, min(GOOD_ROWS, int(np.median(list(rows.values())))) // 2)


def plan(ranked: Mapping[str, Sequence[str]], rows: Mapping[str, int], cost: Cost, seconds: float) -> Plan:
    """Fix the rounds: as many candidates as can be tried on `GOOD_ROWS` rows, and then as many rows as fit.

    `ranked` has the candidates of each target, the most promising first, all with enough `rows`; English is trained
    beside them in every round where it has rows. `seconds` are what is left. Raises BudgetEnded when not two trainings
    on `FEWEST_ROWS` rows fit.
    """
    beside = int(ENGLISH in rows and set(ranked) != {ENGLISH})
    lists = {target: [tag for tag in some if tag != ENGLISH] for target, some in ranked.items()}
    most = max(len(some) for some in lists.values())
    usable = seconds * (1 - SLACK)
    best: Plan | None = None
    for n in [k for k in (16, 12, 8, 6, 4, 3, 2, 1) if k <= min(MOST, most)] or [1]:
        first = {tag for some in lists.values() for tag in some[:n]} | ({ENGLISH} if beside else set())
        if len(first) < 2:
            continue
        fewest, largest = min(rows[tag] for tag in first), max(rows[tag] for tag in first)

        def made(start: int, n: int = n, first: set[str] = first, largest: int = largest) -> Plan:
            rungs: list[Rung] = []
            for i, left in enumerate(halves(n)):
                wanted = min(start * 2**i, largest)
                if rungs and wanted <= rungs[-1].rows:
                    break
                most = sum(min(left, len(some)) for some in lists.values()) + beside
                rungs.append(Rung(wanted, left, min(len(first), most)))
            return Plan(tuple(rungs), sum(rung.most * cost.of(rung.rows) for rung in rungs))

        low, high = FEWEST_ROWS, fewest
        if made(low).seconds > usable or (n < 2 and best is not None):
            continue
        while low < high:  # the most rows that fit
            middle = (low + high + 1) // 2
            low, high = (middle, high) if made(middle).seconds <= usable else (low, middle - 1)
        best = made(low)
        if low >= min(GOOD_ROWS, fewest):
            return best
    if best is None:
        least = 2 * cost.of(FEWEST_ROWS) / (1 - SLACK)
        raise BudgetEnded(
            f"{max(0.0, seconds):.0f} seconds of the budget are left, and two trainings on {FEWEST_ROWS} rows take about "
            f"{least:.0f}; raise --budget, or leave it out"
        )
    return best


# -- what probes tell -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """The score of a source in a round, in points (0 to 100), on `n_dev` rows of the target; `of` are all its rows."""

    source: str
    rows: int
    of: int
    score: float
    n_dev: int


def last_rounds(seen: Sequence[Seen]) -> list[int]:
    """The positions that count: of each source its last round, and English in each of these."""
    last = {one.source: max(other.rows for other in seen if other.source == one.source) for one in seen}
    rounds = {rows for source, rows in last.items() if source != ENGLISH} or set(last.values())
    return [
        i
        for i, one in enumerate(seen)
        if (one.rows in rounds if one.source == ENGLISH else one.rows == last[one.source])
    ]


def combine(ranking: Ranking, seen: Sequence[Seen], noise: Array) -> Ranking:
    """Join the scores of probes, with the covariance `noise` that the dev rows give them, to a ranking.

    Before, the gain of source s over English is Gaussian with its `expected`, and the standard deviation that its 90 %
    interval has; two sources share `Fitted.shared` of the variance, since what is not known of English moves both. A
    probe on n rows sees c + gain + error, with one unknown c for all of a round; the error is that of the dev rows, of
    another training (`NOISE` spreads), and of the rows that it has not seen (`DRIFT` spreads a doubling). What follows
    for the gains is again Gaussian (linear regression with a prior), and no interval is wider than before. English has
    the gain 0. A source that was not trained moves with the others as far as it shares in them.
    """
    at = last_rounds(seen)
    seen, noise = [seen[i] for i in at], noise[np.ix_(at, at)]
    fitted, names = ranking.fitted, [one.source for one in ranking.candidates]
    english = ranking.over == ENGLISH
    mean = np.array([one.expected for one in ranking.candidates])
    sd = np.array([(one.high - one.low) / 2 / Z90 for one in ranking.candidates])
    shared = fitted.shared if english else 0.0
    before = shared * np.outer(sd, sd) + (1 - shared) * np.diag(sd**2)
    rounds = sorted({one.rows for one in seen})
    picks = np.array([[float(one.source == name) for name in names] for one in seen])
    offsets = np.array([[float(one.rows == rows) for rows in rounds] for one in seen])
    errors = [NOISE**2 + (DRIFT * math.log2(max(1.0, one.of / one.rows))) ** 2 for one in seen]
    y = np.array([one.score for one in seen])
    y = y - offsets @ (offsets.T @ y / offsets.sum(axis=0))  # the unknown c takes any constant
    flat = 1e6 * offsets @ offsets.T
    total = picks @ before @ picks.T + noise + fitted.spread**2 * np.diag(errors) + flat
    gain = np.linalg.solve(total, picks @ before).T
    after = before - gain @ picks @ before
    mean = mean + gain @ (y - picks @ mean)
    spread = np.sqrt(np.clip(np.diag(after), 0.0, sd**2))
    told = {one.source: Probed(one.rows, round(one.score, 2), one.n_dev) for one in seen}
    beside = {one.rows: one.score for one in seen if one.source == ENGLISH}
    held = _kept(mean, before, after, int(np.argmax(mean)), fitted.margin * fitted.points)
    made = [
        _told(one, float(value), Z90 * float(width), told.get(one.source), beside, fixed=english)
        for one, value, width in zip(ranking.candidates, mean, spread, strict=True)
    ]
    made = [replace(one, chosen=bool(keep)) for one, keep in zip(made, held, strict=True)]
    made.sort(key=lambda one: (-one.expected, one.source))
    return replace(ranking, candidates=tuple(made))


def _told(
    one: Candidate, value: float, half: float, probe: Probed | None, beside: Mapping[int, float], *, fixed: bool
) -> Candidate:
    """A candidate after the probes; English, where it is the reference (`fixed`), keeps its gain of 0."""
    stage = f"{one.stage} and {STAGE}" if probe else one.stage
    if fixed and one.source == ENGLISH:
        return replace(one, stage=stage, probe=probe)
    moved = round(value, 2) - one.expected
    more = (Reason(STAGE, _words(probe, beside), round(moved, 2)),) if probe or abs(moved) >= 0.05 else ()
    reasons = tuple(sorted((*one.reasons, *more), key=lambda reason: (-abs(reason.points), reason.feature)))
    low, high = round(value - half, 2), round(value + half, 2)
    return replace(one, expected=round(value, 2), low=low, high=high, reasons=reasons, stage=stage, probe=probe)


def _kept(mean: Array, before: Array, after: Array, best: int, margin: float) -> Array:
    """Which sources cannot be told from the best: the margin shrinks as what is unknown of the difference does."""

    def apart(of: Array) -> Array:
        return np.sqrt(np.clip(of[best, best] + np.diag(of) - 2 * of[best], 0.0, None))

    was, now = apart(before), apart(after)
    typical = float(np.mean(was[was > 0])) if (was > 0).any() else 1.0
    return np.asarray(mean >= mean[best] - margin * now / typical)


def _words(probe: Probed | None, beside: Mapping[int, float]) -> str:
    if probe is None:
        return "it was not trained: moved with those that were"
    text = f"trained on {probe.rows:,} rows it has {probe.score:.1f} on {probe.n_dev:,} dev rows of the target"
    if probe.rows in beside:
        text += f", English {beside[probe.rows]:.1f}"
    return text
