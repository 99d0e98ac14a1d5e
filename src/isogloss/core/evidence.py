"""What noisy dev scores by language show while a model is trained: falls, levels, rises. Pure of torch.

An evaluation gives every language a score and, for each of its units (a group of rows, or a row), a pseudo-value whose
mean is that score (the jackknife's; for accuracy, whether the unit is right). With no true change a score still moves,
because answers flip; with 99 rows and 5 % of answers flipping each way a third of 61 languages "lose" two points.

**Level.** A language's best is no lucky draw but a level: the mean of the evaluations since it was last shown to be better
(`RISEN` standard errors), so that it becomes less noisy the longer nothing changes.

**Noise.** The variance of one evaluation's pseudo-values is that of differences between one evaluation and the next,
halved, over the last `PAIRS` of them, without the ones under test; shrunk over languages as far as they agree (empirical
Bayes on log variances, Smyth 2004), with degrees of freedom that know how heavy the tails are. Where all languages are
noisier than before, all variances rise with them.

**Fall.** The mean of the newest one, two and `WINDOW` = 3 evaluations is compared with the level before them. A language
has fallen when three things hold for one of these:

- the drop less what is allowed is above `t(1 - alpha / L)` standard errors: corrected over the L languages;
- the drop itself is above `TAIL * t(1 - alpha / (L E 3))` standard errors: corrected over languages, windows and all E
  evaluations of the run, so that with no true change a whole run raises a false alarm in less than alpha;
- exp(-n drop / width) < alpha / L: what n units leave open when none of them varies (rule of three), so that a handful of
  rows can never tell. Where there is no variation at all this alone tells, at the stricter of the two levels.

`tests/core/test_evidence.py` simulates runs; the power is stated in docs/how-to/balance.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ALPHA = 0.05
WINDOW, PAIRS = 3, 6
# Standard errors after which a level begins anew; more evaluations than this do not make it surer.
RISEN, LONGEST = 2.5, 4
# Tails of sums of few flips are longer than a normal's.
TAIL = 1.1
# Below this many units nothing is said of a language; below this many languages none speaks for another.
FEW_UNITS, FEW_LANGS = 10, 3


def pseudo_values(counts: Floats, value: Callable[..., Any]) -> Floats:
    """The jackknife's pseudo-values `(U,)` of a metric `value` over the counts `(U, K)` of units; their mean is the value,
    less its bias. A unit without which the value is undefined counts as the value itself.

    >>> pseudo_values(np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 1.0]]), lambda t: t[..., 0] / t[..., 1]).round(9).tolist()
    [1.0, 0.0, 1.0]
    """
    n, total = len(counts), counts.sum(axis=0)
    whole = float(value(total))
    if n < 2:
        return np.full(n, whole)
    without = np.asarray(value(total - counts), dtype=np.float64)
    return np.where(np.isnan(without), whole, n * whole - (n - 1) * without)


def moderated(variances: Floats, df: Floats) -> tuple[Floats, Floats]:
    """Variances `(L,)` of `df (L,)` degrees of freedom, shrunk to each other as far as they agree, and the new ones' df.

    Empirical Bayes (Smyth 2004): a scaled inverse chi-square prior is fitted to their logarithms. With fewer than
    `FEW_LANGS` positive variances they stay as they are.

    >>> s2, df = moderated(np.array([1.0, 1.1, 0.9, 1.0]), np.full(4, 20.0))
    >>> s2.round(2).tolist(), bool(np.isinf(df).all())
    ([1.0, 1.0, 1.0, 1.0], True)
    """
    from scipy.special import digamma, polygamma

    own = variances > 0
    if own.sum() < FEW_LANGS:
        return variances, df
    half = df[own] / 2
    logs = np.log(variances[own]) - digamma(half) + np.log(half)
    beyond = float(logs.var(ddof=1) - polygamma(1, half).mean())
    if beyond <= 1e-8:  # no more different than chance makes them
        return np.full_like(variances, np.average(variances, weights=df)), np.full_like(df, math.inf)
    prior = 2 * _trigamma_inverse(beyond)
    centre = math.exp(logs.mean() + digamma(prior / 2) - math.log(prior / 2))
    return (prior * centre + df * variances) / (prior + df), prior + df


def _trigamma_inverse(x: float) -> float:
    """By Newton's method, as in limma."""
    from scipy.special import polygamma

    y = 0.5 + 1 / x
    for _ in range(50):
        tri = float(polygamma(1, y))
        step = tri * (1 - tri / x) / float(polygamma(2, y))
        y += step
        if -step / y < 1e-8:
            break
    return y


def shrunk(values: Floats, variances: Floats, doubt: float = 0.0) -> Floats:
    """Noisy values `(L,)` with known sampling variances, shrunk to their common mean (DerSimonian & Laird 1986).

    A variance of infinity gives the mean. Values count as different only as far as they scatter more than chance makes
    them, and `doubt` standard deviations of what chance makes.

    >>> shrunk(np.array([0.0, 1.0, 9.0]), np.array([0.1, 0.1, np.inf])).round(2).tolist()
    [0.1, 0.9, 0.5]
    """
    weight = 1 / np.maximum(variances, 1e-12)
    if not weight.sum():
        return values
    mean = float((weight * values).sum() / weight.sum())
    n = int((weight > 0).sum())
    scatter = float((weight * (values - mean) ** 2).sum()) - (n - 1) - doubt * math.sqrt(2 * max(n - 1, 0))
    scale = weight.sum() - (weight**2).sum() / weight.sum()
    between = max(0.0, scatter / scale) if n > 1 and scale > 0 else 0.0
    weight = 1 / (np.maximum(variances, 1e-12) + between)
    mean = float((weight * values).sum() / weight.sum())
    keeps = np.zeros_like(values) if not between else between / (between + np.maximum(variances, 1e-12))
    return mean + keeps * (values - mean)


@dataclass(frozen=True)
class Fall:
    """A language that is shown to have fallen: `level` before, `value` now, over the newest `n_evaluations`.

    `low` is the end of the interval of the drop nearest to none, corrected over languages; `n` are units. A drop is
    positive whichever way the metric is better.
    """

    lang: str
    level: float
    value: float
    drop: float
    low: float
    n: int
    n_evaluations: int

    def sentence(self, name: str, allowed: float) -> str:
        """The fall in words.

        >>> Fall("eng_Latn", 0.8, 0.6, 0.2, 0.11, 99, 1).sentence("macro_f1", 0.02)
        'eng_Latn: macro_f1 fell from 0.800 to 0.600, by at least 0.110, more than the allowed 0.02 (n=99)'
        """
        long = f" over {self.n_evaluations} evaluations" if self.n_evaluations > 1 else ""
        return (
            f"{self.lang}: {name} fell from {self.level:.3f} to {self.value:.3f}{long}, by at least {self.low:.3f}, more "
            f"than the allowed {allowed:g} (n={self.n})"
        )


class Levels:
    """The level of each language in the course of a training, and who has fallen below it.

    `code (U,)` is the language of each unit, a position in `langs`; `sign` is 1 where higher is better, else -1; `width`
    that of the metric's range (infinite where it has none); `n_evaluations` how many a run has; `watched`, of all, the
    languages that may fall.
    """

    def __init__(
        self, langs: Sequence[str], code: Ints, sign: int, width: float, n_evaluations: int = 1,
        watched: Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        self.langs, self.sign, self.width = tuple(langs), sign, width
        self._watched = np.array([watched is None or lang in watched for lang in langs], bool)
        self.n_evaluations = max(1, n_evaluations)
        self._code = code
        self.n_units = np.bincount(code, minlength=len(langs))
        self._refs: list[Floats] = []  # (U,) the levels as they were after each of the last evaluations
        self._counts: list[Floats] = []  # (L,) evaluations that a level is the mean of
        self._recent: list[Floats] = []  # (U,) pseudo-values of the last evaluations
        self._levels: list[Floats] = []  # (L,) values of the levels
        self._values: list[Floats] = []  # (L,)
        self._pairs: list[Floats] = []  # (L,) variances from one evaluation to the next, halved
        self._tails: list[float] = []  # the kurtosis of these differences
        self._marked: Floats = np.full(len(code), math.nan)  # (U,) pseudo-values when a language was marked
        self._now: Floats = np.zeros(0)  # (L,) the latest noise, and its degrees of freedom
        self._df: Floats = np.zeros(0)

    def take(self, pseudo: Floats, values: Floats, allowed: float | None) -> list[Fall]:
        """Take in an evaluation: pseudo-values `(U,)` and values `(L,)` (NaN: undefined); returns who has fallen by more
        than `allowed`, the most first; nobody where it is None."""
        if not self._recent:
            self._begin(pseudo, values)
            return []
        own = self._own(self._recent[-1] - pseudo)
        self._now, self._df = self._noise(own)
        fallen = [] if allowed is None else self._test(pseudo, values, allowed, self._watched)
        self._move(pseudo, values, own)
        return fallen

    def fallen(self, pseudo: Floats, values: Floats, among: Sequence[str]) -> list[Fall]:
        """Who of these languages, watched or not, has fallen at all in an evaluation that is not taken in yet."""
        if not self._recent or not among:
            return []
        self._now, self._df = self._noise(self._own(self._recent[-1] - pseudo))
        return self._test(pseudo, values, 0.0, np.array([lang in among for lang in self.langs], bool))

    def _test(self, pseudo: Floats, values: Floats, allowed: float, among: NDArray[np.bool_]) -> list[Fall]:
        """Those `among (L,)` them that have fallen over one, two or `WINDOW` evaluations, the most first."""
        fallen: dict[int, Fall] = {}
        for n in range(1, min(WINDOW, len(self._refs)) + 1):
            for i, fall in self._fallen(n, pseudo, values, allowed, among):
                if i not in fallen or fall.low > fallen[i].low:
                    fallen[i] = fall
        return sorted(fallen.values(), key=lambda fall: (-fall.drop, fall.lang))

    def _begin(self, pseudo: Floats, values: Floats) -> None:
        self._refs, self._counts, self._levels = [pseudo], [np.ones(len(self.langs))], [values]
        self._recent, self._values = [pseudo], [values]

    def _by_lang(self, x: Floats) -> Floats:
        """Sums over the units of each language, `(L,)`."""
        return np.bincount(self._code, weights=x, minlength=len(self.langs)).astype(np.float64)

    def _own(self, difference: Floats) -> Floats:
        """The variance of a unit's pseudo-value in one evaluation, by language, from the difference of two."""
        n = np.maximum(self.n_units, 1)
        away = difference - (self._by_lang(difference) / n)[self._code]
        return self._by_lang(away**2) / np.maximum(n - 1, 1) / 2

    def _tail(self, difference: Floats) -> float:
        """The kurtosis of a difference over all units, each over its language's deviation."""
        n = np.maximum(self.n_units, 1)
        away = difference - (self._by_lang(difference) / n)[self._code]
        second = self._by_lang(away**2) / n
        unit = away[second[self._code] > 0] / np.sqrt(second[self._code][second[self._code] > 0])
        return float((unit**4).mean()) if len(unit) else 3.0

    def _noise(self, own: Floats) -> tuple[Floats, Floats]:
        """The variance of one evaluation by language, and its degrees of freedom, without the newest evaluation where
        there are earlier ones."""
        n = self.n_units.astype(np.float64)
        if not self._pairs:
            return moderated(own, np.maximum(n - 1, 1))
        pairs = np.array(self._pairs[-PAIRS:])
        tail = float(np.mean(self._tails[-PAIRS:]))
        df = len(pairs) * np.clip(2 * n / max(tail - 1, 1e-9), 1.0, np.maximum(n - 1, 1))
        found, df = moderated(pairs.mean(axis=0), df)
        if len(self.langs) >= FEW_LANGS and pairs.mean() > 0:
            found = found * max(1.0, float(np.average(own, weights=n) / np.average(pairs.mean(axis=0), weights=n)))
        return found, df

    def error(self, n_now: float, n_before: Floats | float) -> Floats:
        """The standard error `(L,)` of a difference of means over so many evaluations."""
        return np.sqrt(self._now * (1 / n_now + 1 / n_before) / np.maximum(self.n_units, 1))

    def _drift(self, n: int, count: Floats, pseudo: Floats) -> Floats:
        """How many times more than its noise a language's answers have changed since its level, at least once `(L,)`.

        Answers that flip and stay flipped add up: the longer ago a level, the further scores wander without any truth in
        it. What is usual among languages says so (their median), so that one that truly falls does not hide its own fall;
        with fewer than `FEW_LANGS` languages each speaks for itself.
        """
        now = np.mean([pseudo, *self._recent[len(self._recent) - (n - 1) :]], axis=0) if n > 1 else pseudo
        changed = 2 * self._own(self._refs[-n] - now)
        noise = self._now * (1 / n + 1 / count)
        told = (self.n_units >= FEW_UNITS) & (noise > 0)
        ratio = np.divide(changed, noise, out=np.ones_like(changed), where=told)
        if told.sum() >= FEW_LANGS:
            ratio = np.full_like(ratio, float(np.median(ratio[told])))
        return np.maximum(ratio, 1.0)

    def _fallen(
        self, n: int, pseudo: Floats, values: Floats, allowed: float, among: NDArray[np.bool_]
    ) -> list[tuple[int, Fall]]:
        level, count = self._levels[-n], np.minimum(self._counts[-n], LONGEST)
        now = np.mean([values, *self._values[len(self._values) - (n - 1) :]], axis=0) if n > 1 else values
        drop = self.sign * (level - now)
        error = self.error(n, count) * np.sqrt(self._drift(n, count, pseudo))
        told = among & (self.n_units >= FEW_UNITS)
        known = told & np.isfinite(drop)
        langs = max(1, int(told.sum()))
        by_langs, by_run = ALPHA / langs, ALPHA / (langs * self.n_evaluations * WINDOW)
        near, far = _quantile(1 - by_langs, self._df), _quantile(1 - by_run, self._df)
        with np.errstate(invalid="ignore"):
            falls = known & (error > 0) & (drop - allowed > near * error) & (drop > TAIL * far * error)
            if math.isfinite(self.width):
                falls &= np.exp(-self.n_units * drop / self.width) < by_langs
                # where nothing varies, every unit has fallen alike: then this alone tells
                falls |= known & (error == 0) & (np.exp(-self.n_units * (drop - allowed) / self.width) < by_run)
        return [
            (i, Fall(self.langs[i], float(level[i]), float(now[i]), float(drop[i]), float((drop - near * error)[i]),
                     int(self.n_units[i]), n))
            for i in np.flatnonzero(falls).tolist()
        ]  # fmt: skip

    def _move(self, pseudo: Floats, values: Floats, own: Floats) -> None:
        """Let the level go on: a mean with the new evaluation, or anew where that is shown to be better."""
        before, count, level = self._refs[-1], self._counts[-1], self._levels[-1]
        error = self.error(1, np.minimum(count, LONGEST))
        rise = self.sign * (values - level)
        anew = (rise > RISEN * error) | ~np.isfinite(level)
        count_after = np.where(anew, 1.0, count + 1)
        share = np.where(anew, 1.0, 1 / count_after)
        mean = before + share[self._code] * (pseudo - before)
        known = np.where(np.isfinite(values), level + share * (values - level), level)
        self._tails.append(self._tail(self._recent[-1] - pseudo))
        self._pairs.append(own)
        self._refs = [*self._refs, mean][-WINDOW:]
        self._counts = [*self._counts, count_after][-WINDOW:]
        self._levels = [*self._levels, np.where(anew, values, known)][-WINDOW:]
        self._recent, self._values = [*self._recent, pseudo][-WINDOW:], [*self._values, values][-WINDOW:]
        self._pairs, self._tails = self._pairs[-PAIRS:], self._tails[-PAIRS:]

    def rises(self, before: Floats, now: Floats, among: NDArray[np.bool_]) -> Floats:
        """How far each language's score has risen from one evaluation to a later one, shrunk over those `among (L,)` them.

        What a small dev set seems to say is drawn to their mean. NaN before there were two evaluations.
        """
        if not len(self._now):
            return np.full(len(self.langs), math.nan)
        rise = self.sign * (now - before)
        known = np.isfinite(rise) & (self.n_units > 0) & among
        noise = np.where(self.n_units >= 2, self.error(1, 1.0) ** 2, math.inf)
        noise = np.where(known, np.maximum(noise, 1e-8), math.inf)
        return shrunk(np.where(known, rise, 0.0), noise)

    def mark(self, langs: Sequence[str]) -> None:
        """Remember the newest evaluation of some languages, for `since`."""
        for i in np.flatnonzero(np.isin(np.array(self.langs, dtype=object), list(langs))).tolist():
            own = self._code == i
            self._marked[own] = self._recent[-1][own]

    def since(self, n_compared: int) -> Floats:
        """The interval, to each side `(L,)`, of how much a language's score has changed since its mark, from the same
        units then and now, corrected over `n_compared` languages; at least 3/n of the width. NaN where nothing can be
        said: without a mark, or with fewer than `FEW_UNITS` units."""
        n = np.maximum(self.n_units, 1)
        changed = 2 * self._own(np.nan_to_num(self._recent[-1] - self._marked))
        half = _quantile(1 - ALPHA / 2 / max(1, n_compared), np.maximum(n - 1.0, 1.0)) * np.sqrt(changed / n)
        least = 3 / n * self.width if math.isfinite(self.width) else np.zeros(len(n))
        marked = self._by_lang(np.isfinite(self._marked).astype(np.float64)) > 0
        return np.where(marked & (self.n_units >= FEW_UNITS), np.maximum(half, least), math.nan)

    # -- the state ----------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What a resume needs, beside `arrays`; as JSON."""
        plain = {name: [_told(row) for row in getattr(self, name)] for name in _PLAIN}
        return {**plain, "_tails": self._tails, "_now": _told(self._now), "_df": _told(self._df)}

    def arrays(self) -> dict[str, Floats]:
        """The pseudo-values that a resume needs, `(n, U)`."""
        return {
            "levels": _stacked(self._refs, self._code),
            "recent": _stacked(self._recent, self._code),
            "marked": self._marked,
        }

    def restore(self, state: Mapping[str, Any], arrays: Mapping[str, Floats]) -> None:
        """Be as at a checkpoint."""
        for name in _PLAIN:
            setattr(self, name, [_read(row) for row in state[name]])
        self._tails = list(state["_tails"])
        self._now, self._df = _read(state["_now"]), _read(state["_df"])
        self._refs, self._recent = list(arrays["levels"]), list(arrays["recent"])
        self._marked = np.array(arrays["marked"], np.float64)


_PLAIN = ("_counts", "_levels", "_values", "_pairs")


def _told(row: Floats) -> list[float | str]:
    """Numbers as JSON has them; it has no NaN and no infinity."""
    return [x if math.isfinite(x) else str(x) for x in row.tolist()]


def _read(row: Sequence[float | str]) -> Floats:
    return np.array([float(x) for x in row], np.float64)


def _stacked(rows: Sequence[Floats], like: Ints) -> Floats:
    return np.array(rows, np.float64).reshape(len(rows), len(like))


def _quantile(p: float, df: Floats) -> Floats:
    """Student's t, or the normal's where the degrees of freedom are infinite."""
    from scipy.special import stdtrit

    far = np.isinf(df)
    return np.where(far, NormalDist().inv_cdf(p), stdtrit(np.where(far, 1.0, df), p))
