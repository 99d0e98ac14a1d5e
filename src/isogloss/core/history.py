"""What a person's own scores say: how sources did for other targets, beyond what the ranking expected of them.

Numbers in, numbers out. An effect of a source is the mean of what was left over, drawn to 0 as far as it differs from
target to target (empirical Bayes); how many points a unit of the ranking is worth, and how far off it is, comes from the
same scores, each target left out in turn, once there are `FEWEST` of them. benchmarks/sources.py says what that is worth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isogloss.core.errors import DataError

FEWEST = 3  # targets from which points and widths are taken; the shipped width counts as so many
UNSURE = 10.0  # how strongly an effect is drawn to 0 where its own variation is not known
BOUNDS = (0.5, 200.0)
NINETY = 0.9
LEVEL = 2.5

Array = np.ndarray[Any, Any]


def levelled(d: Array) -> Array:
    """Differences in units of the ranking as gains follow them: as they are up to one or two, and never above `LEVEL`.

    In the tables that were held out, sources two and three units ahead gained alike.

    >>> levelled(np.array([-0.5, 1.0, 9.0])).round(2).tolist()
    [-0.49, 0.95, 2.5]
    """
    return np.asarray(LEVEL * np.tanh(d / LEVEL))


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """Scores in points `(S, T)` of sources (tags) on targets, NaN where there are none; `where` says where from."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    scores: Array
    where: str

    def without(self, target: str) -> Past:
        """The same without a language as a target, in any script."""
        keep = [i for i, tag in enumerate(self.targets) if tag[:3] != target[:3]]
        return Past(self.sources, tuple(self.targets[i] for i in keep), self.scores[:, keep], self.where)


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """Effects `(S,)` in units of the ranking; points a unit and width where enough targets say them; and how many do."""

    effects: Array
    points: float | None
    width: float | None
    n_targets: int


def past(rows: Sequence[tuple[str, str, float]], where: str) -> Past:
    """A table of `(source, target, score)`; scores up to 1 are shares and become points. Pairs that repeat are averaged.

    Of a target with fewer than two sources nothing can be learned; it is left out. Raises DataError where none is left,
    or for a score that is no number from 0 to 100.

    >>> found = past([("a", "x", 0.5), ("b", "x", 0.7), ("a", "a", 1.0)], "mine")
    >>> found.sources, found.targets, found.scores.tolist()
    (('a', 'b'), ('x',), [[50.0], [70.0]])
    """
    bad = next((row for row in rows if not (math.isfinite(row[2]) and 0 <= row[2] <= 100)), None)
    if bad is not None:
        raise DataError(f"{where} has the score {bad[2]:g} for {bad[0]} to {bad[1]}; scores are from 0 to 1, or to 100")
    scale = 100.0 if rows and max(row[2] for row in rows) <= 1 else 1.0
    cells: dict[tuple[str, str], list[float]] = {}
    for source, target, score in rows:
        if source[:3] != target[:3]:
            cells.setdefault((source, target), []).append(scale * score)
    of = {target: sum(t == target for _, t in cells) for _, target in cells}
    targets = tuple(sorted(target for target, n in of.items() if n > 1))
    sources = tuple(sorted({source for source, target in cells if target in targets}))
    if not targets:
        raise DataError(
            f"{where} has no target with scores from two sources other than itself, so nothing can be learned from it"
        )
    scores = np.full((len(sources), len(targets)), np.nan)
    for (source, target), values in cells.items():
        if target in targets:
            scores[sources.index(source), targets.index(target)] = sum(values) / len(values)
    return Past(sources, targets, scores, where)


def learn(scores: Array, said: Array, english: int | None, width: float) -> Learned:
    """What scores in points `(S, T)` say beyond `said`, the ranking's own units; `english` is its row, where it has one.

    `width` is the one that is given without scores.
    """
    known = ~np.isnan(scores)
    n_targets = scores.shape[1]
    if not n_targets:
        return Learned(np.zeros(len(scores)), None, None, 0)
    effects = _effects(scores, said)
    if n_targets < FEWEST:
        return Learned(effects, None, None, n_targets)
    apart, gains = [], []
    over = [english] if english is not None else list(range(len(scores)))
    for j in range(n_targets):
        rest = [k for k in range(n_targets) if k != j]
        value = said[:, j] + _effects(scores[:, rest], said[:, rest])
        for row in over:
            if known[row, j]:
                others = known[:, j] & (np.arange(len(scores)) != row)
                apart.append(levelled((value - value[row])[others]))
                gains.append((scores[:, j] - scores[row, j])[others])
    d, gain = (np.concatenate(each) if each else np.zeros(0) for each in (apart, gains))
    if len(d) < 2 * FEWEST or not (d**2).sum():
        return Learned(effects, None, None, n_targets)
    points = max(float((d * gain).sum() / (d**2).sum()), 0.1)
    own = float(np.quantile(np.abs(gain - points * d), NINETY))
    return Learned(effects, points, (n_targets * own + FEWEST * width) / (n_targets + FEWEST), n_targets)


def _effects(scores: Array, said: Array) -> Array:
    """Drawn to 0 by the variation within a source over that between sources; 0 where nothing is known."""
    known = ~np.isnan(scores)
    n = known.sum(axis=1)

    def centred(values: Array) -> Array:
        kept = np.where(known, values, 0.0)
        return np.where(known, values - kept.sum(axis=0) / np.maximum(known.sum(axis=0), 1), 0.0)

    own, expected = centred(scores), centred(said)
    spread = float(np.mean(np.sqrt((own**2).sum(axis=0) / np.maximum(known.sum(axis=0), 1)))) or 1.0
    left = np.where(known, own / spread - expected, 0.0)
    mean = left.sum(axis=1) / np.maximum(n, 1)
    several = n > 1
    pull = UNSURE
    if several.sum() >= FEWEST:
        within = np.where(known, (left - mean[:, None]) ** 2, 0.0)[several].sum(axis=1) / (n[several] - 1)
        between = max(0.0, float(mean[several].var(ddof=1)) - float(within.mean() * (1 / n[several]).mean()))
        pull = float(np.clip(within.mean() / between, *BOUNDS)) if between else BOUNDS[1]
    return np.asarray(left.sum(axis=1) / (n + pull))
