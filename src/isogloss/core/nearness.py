"""How near candidates are to a target inside a model: nearest neighbours counted, and added to the ranking.

In the spirit of NN-Rank (Ebrahimi et al. 2025, arXiv 2510.03202): for every unlabelled sentence of the target, whose
sentences are nearest in the hidden states of the model that is going to be tuned. Numbers in, numbers out; the states
are read by `isogloss.nn.neighbours`. How the evidence is added to the prior is stated here and was not fitted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from isogloss.core.errors import DataError
from isogloss.core.sources import ENGLISH, Candidate, Ranking, Reason

FEWEST = 25  # sentences of the target with which NN-Rank keeps 92.8 % of its NDCG; asked of a source too
MOST = 100  # sentences of a language that are read; ours, bounds the time
K = 5  # neighbours of a sentence in each language, so that one odd sentence decides nothing; ours
WEIGHT = 1.0  # spreads of the evidence for one of the prior: equal weights (Dawes 1979), not fitted
DRAWS = 1000  # of the bootstrap over sentences of the target
STAGE = "model"
_TIED = 1e-5  # cosines closer than this are one: padding moves the last digits

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Nearness:
    """How near a source is: the `share` (0..1) of the other sources than which it is nearer, over sentences and layers.

    0.5 is the mean of all sources. `low, high`: 90 % bootstrap over the `n_target` sentences; `n_source` were read of
    each source; `layers` says which states.
    """

    share: float
    low: float
    high: float
    n_target: int
    n_source: int
    layers: str


def sample(texts: Iterable[str], n: int, seed: int = 0) -> list[str]:
    """At most `n` of the different texts, the same ones however the rows are ordered and repeated.

    >>> sample(["a", "b", "a"], 5) == sample(["b", "a", "a"], 5), len(sample(["a", "b", "c"], 2))
    (True, 2)
    """

    def key(text: str) -> bytes:
        return hashlib.blake2b(f"{seed}:{text}".encode(errors="surrogatepass"), digest_size=8).digest()

    return sorted(different(texts), key=lambda text: (key(text), text))[:n]


def different(texts: Iterable[str]) -> set[str]:
    """The texts without spaces around them, each once; empty ones are none."""
    return {text.strip() for text in texts} - {""}


def nearness(target: Array, given: Mapping[str, Array], layers: str, seed: int = 0) -> dict[str, Nearness]:
    """Compare two or more sources; `target (L, Q, D)`, each of `given (L, N, D)` with one N, states of L layers.

    Each language's mean is taken away from its vectors (Libovický et al. 2020), so that what is compared is how alike
    the model says the same things, not where it puts a language or what a file is about. Chosen on 27 targets of
    SIB-200 and seen again on 26 others: docs/how-to/sources.md has the numbers. For a sentence, a source is as near as
    the mean cosine of its `K` nearest sentences; which of two sources is nearer counts once a sentence.
    Raises DataError for fewer than two sources, or for unequal numbers of sentences.
    """
    tags = sorted(given)
    if len(tags) < 2:
        raise DataError(f"nearest neighbours compare two or more sources, got {len(tags)}")
    if len({given[tag].shape for tag in tags}) > 1:
        raise DataError("nearest neighbours need as many sentences of each source; the longest list would win")
    wins = np.mean([_wins(target[i], [given[tag][i] for tag in tags]) for i in range(len(target))], axis=0)
    n_target = len(wins)
    rng = np.random.default_rng(seed)
    draws = np.stack([wins[rng.integers(n_target, size=n_target)].mean(axis=0) for _ in range(DRAWS)])
    low, high = np.percentile(draws, [5, 95], axis=0)
    share = wins.mean(axis=0)
    n_source = given[tags[0]].shape[1]
    return {
        tag: Nearness(float(share[i]), float(low[i]), float(high[i]), n_target, n_source, layers)
        for i, tag in enumerate(tags)
    }


def _wins(target: Array, given: list[Array]) -> Array:
    """The share of the other sources than which each is nearer `(Q, C)`; a tie is half."""
    asked = _unit(target - target.mean(axis=0, dtype=np.float64))
    near = np.empty((len(target), len(given)))
    for column, vectors in enumerate(given):
        cosines = asked @ _unit(vectors - vectors.mean(axis=0, dtype=np.float64)).T
        k = min(K, cosines.shape[1])
        near[:, column] = np.partition(cosines, -k, axis=1)[:, -k:].mean(axis=1)
    gap = near[:, :, None] - near[:, None, :]
    beaten = (gap > _TIED) + 0.5 * (np.abs(gap) <= _TIED)
    return np.asarray((beaten.sum(axis=2) - 0.5) / (len(given) - 1))  # less the tie with itself


def _unit(vectors: Array) -> Array:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def combine(ranking: Ranking, found: Mapping[str, Nearness]) -> Ranking:
    """Add evidence to a ranking of the prior: `expected` and the order change, `low` and `high` do not.

    A share of s moves a source by `WEIGHT · spread · √12 (s - 0.5)` points: shares of sources in a row have a standard
    deviation of 1/√12, and `spread` is that of what the prior expects of the sources in `found`, at least half of the
    margin within which it cannot tell sources apart. What English is moved by is taken from all others, whose gain is
    over English; a source without evidence counts as the mean of those with it. Nothing leaves the prior's interval,
    which is as wide as before, because how far off the sum is was not measured.
    """
    english = ranking.over == ENGLISH
    fitted = ranking.fitted
    had = [one.expected for one in ranking.candidates if one.source in found]
    if english and ENGLISH in found and all(one.source != ENGLISH for one in ranking.candidates):
        had.append(0.0)
    spread = max(float(np.std(had)) if had else 0.0, 0.5 * fitted.margin * fitted.points)
    moved = {tag: WEIGHT * spread * 12**0.5 * (near.share - 0.5) for tag, near in found.items()}
    reference = moved.get(ENGLISH, 0.0) if english else 0.0

    def told(one: Candidate) -> Candidate:
        near = found.get(one.source)
        if english and one.source == ENGLISH:
            return one if near is None else replace(one, stage=f"{one.stage} and {STAGE}")
        value = min(max(one.expected + moved.get(one.source, 0.0) - reference, one.low), one.high)
        value = round(value, 2)
        words = _words(near) if near else ("no text of it: as the mean of the others" if reference else "")
        more = (Reason(STAGE, words, round(value - one.expected, 2)),) if words else ()
        reasons = sorted((*one.reasons, *more), key=lambda reason: (-abs(reason.points), reason.feature))
        stage = f"{one.stage} and {STAGE}" if near else one.stage
        return replace(one, expected=value, reasons=tuple(reasons), stage=stage)

    made = [told(one) for one in ranking.candidates]
    best = max(one.expected for one in made)
    made = [replace(one, chosen=one.expected >= best - fitted.margin * fitted.points) for one in made]
    made.sort(key=lambda one: (-one.expected, one.source))
    return replace(ranking, candidates=tuple(made))


def _words(near: Nearness) -> str:
    return (
        f"in the model nearer than {near.share:.0%} of the other sources ({near.low:.0%} to {near.high:.0%}; "
        f"{near.n_target} sentences of the target, {near.n_source} of each source, {near.layers})"
    )


def enough(texts: Mapping[str, Iterable[str]], target: str, rows: Iterable[str], where: str) -> dict[str, list[str]]:
    """The sentences that are going to be read: of the target, and as many of each source in `rows` as of the others.

    English takes part as the reference where it has sentences. Raises DataError for fewer than `FEWEST` of the target,
    or of all sources but one.
    """
    some = {tag: different(texts.get(tag, ())) for tag in {*rows, ENGLISH, target}}
    n = len(some[target])
    if n < FEWEST:
        raise DataError(
            f"{where} has {n} different sentences in {target}; nearest neighbours in a model need {FEWEST} or more: "
            "give more, or leave --model out"
        )
    full = sorted(tag for tag, seen in some.items() if tag != target and len(seen) >= FEWEST)
    if len(full) < 2:
        raise DataError(
            f"{where} has {FEWEST} or more sentences in {full[0] if full else 'none'} of the sources of {target}; nearest "
            "neighbours compare two or more (English counts): give texts of more candidates, or leave --model out"
        )
    each = min(MOST, *(len(some[tag]) for tag in full))
    return {target: sample(some[target], MOST), **{tag: sample(some[tag], each) for tag in full}}
