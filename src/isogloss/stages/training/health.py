"""Health of a training by language: spikes and what caused them, and collapse before much was spent. Pure of torch.

A model **collapses** when too high a rate drives it to where nothing is learned any more: its answers hardly depend on
the text, and the loss is back at that of guessing (15 of 137 runs of XLM-R large in the logs of MasakhaNER 2 ended so).
Three signs, each against how the same training began:

- the answers to a fixed set of train texts lie less than `FLAT` of their first spread apart, at the loss of guessing;
- the mean loss stays above `WILD` times that of guessing and of the beginning, at several looks in a row;
- translations, which lay together, no longer do (alignment below `LOST_ALIGNMENT` of the first).

The limits were set on isogloss/mini and an encoder from scratch at rates from 2e-5 to 0.1 (docs/log.md): in the healthy
ones the spread never fell below 0.8 of the first, in those that collapsed it was below 0.05 within a tenth of the run.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from isogloss.nn.trainee import Stepped

# Shares of the run after which it is examined, before the evaluations go on with it.
EARLY = (0.04, 0.08, 0.12, 0.16, 0.19)
FLAT, LOST_ALIGNMENT, ALIGNED = 0.05, 0.1, 0.05
NEAR_CHANCE = 0.9
# (times the loss of guessing, units that the looks must have seen: few say little where labels are unequal)
WILD = ((1.5, 256.0), (2.0, 128.0), (3.0, 48.0))
# A loss that is wild counts when it is so at this many looks in a row: one leap is often made up.
IN_A_ROW = 3
# A step's loss of a language is a spike this many deviations above its running mean, and this many times that mean.
DEVIATIONS, TIMES, KNOWN = 8.0, 1.5, 30.0
# A gradient is a spike at so many times the median of the last norms; who caused it is looked at so often in a run.
NORM_TIMES, NORMS, LOOKS = 10.0, 50, 20
FORGET = 0.05
# How often a collapsed training is tried again, more slowly each time.
RETRIES = 3


@dataclass(frozen=True)
class Vitals:
    """`spread`: the mean deviation of an answer's numbers over texts; `alignment`: how much nearer translations are to
    each other than other texts, in cosines; None where no texts are tied."""

    spread: float
    alignment: float | None


@dataclass(frozen=True)
class Spike:
    """A step's loss of one language far above its own mean."""

    lang: str
    loss: float
    mean: float


PLAIN = ("_begun", "_wild", "_sum", "_units", "_norms", "looks")


@dataclass
class Health:
    """`chance` is the loss of guessing, in nats a unit; None where it is not known, which the first losses stand for."""

    langs: Sequence[str]
    chance: float | None
    first: Vitals | None = None
    n_nonfinite: Counter[str] = field(default_factory=Counter)
    n_spikes: Counter[str] = field(default_factory=Counter)
    _begun: float | None = None
    _wild: list[list[float]] = field(default_factory=lambda: [[0, 0.0] for _ in WILD])
    _sum: float = 0.0
    _units: float = 0.0
    _mean: np.ndarray = field(init=False)
    _square: np.ndarray = field(init=False)
    _known: np.ndarray = field(init=False)
    _norms: list[float] = field(default_factory=list)
    looks: int = 0

    def __post_init__(self) -> None:
        self._mean, self._square, self._known = (np.zeros(len(self.langs)) for _ in range(3))

    # -- step by step -------------------------------------------------------------------------------------------

    def stepped(self, done: Stepped) -> Iterator[Spike]:
        """Take in a step, and give the languages whose loss leapt. One that is not a number is counted, and no spike."""
        met = done.units > 0
        finite = met & np.isfinite(done.loss)
        for i in np.flatnonzero(met & ~np.isfinite(done.loss)).tolist():
            self.n_nonfinite[self.langs[i]] += 1
        self._sum += float(done.loss[finite].sum())
        self._units += float(done.units[finite].sum())
        if self._begun is None and finite.any():  # the first step only: behind it weights have moved
            self._begun = float(done.loss[finite].sum() / done.units[finite].sum())
        now = np.divide(done.loss, done.units, out=np.zeros_like(done.loss), where=finite)
        away = now - self._mean
        limit = DEVIATIONS * np.sqrt(self._square / np.maximum(done.units, 1))
        spikes = finite & (self._known >= KNOWN) & (away > limit) & (now > TIMES * self._mean)
        for i in np.flatnonzero(spikes).tolist():
            self.n_spikes[self.langs[i]] += 1
            yield Spike(self.langs[i], float(now[i]), float(self._mean[i]))
        # running mean and variance a unit; a spike moves them little
        rate = np.where(finite, np.maximum(FORGET, 1 / np.maximum(1, self._known / np.maximum(done.units, 1) + 1)), 0)
        rate = np.where(spikes, FORGET / 5, rate)
        self._square += rate * (away**2 * done.units - self._square)
        self._mean += rate * away
        self._known += np.where(finite, done.units, 0)

    def leapt(self, norm: float) -> bool:
        """Whether the gradient's norm is a spike whose cause is worth a look; takes it in."""
        if not math.isfinite(norm):
            return False
        usual = float(np.median(self._norms)) if len(self._norms) >= 10 else math.inf
        self._norms = [*self._norms[-NORMS + 1 :], norm]
        if norm > NORM_TIMES * usual and self.looks < LOOKS:
            self.looks += 1
            return True
        return False

    # -- collapse -----------------------------------------------------------------------------------------------

    @staticmethod
    def due(step: int, n_steps: int) -> bool:
        """Whether a run of `n_steps` is examined after `step`, beside its evaluations."""
        return step in {max(2, round(share * n_steps)) for share in EARLY} and step < n_steps

    def examine(self, vitals: Vitals) -> str | None:
        """Why the model has collapsed, in a sentence; None while it has not. Begins a new stretch of losses."""
        if self.first is None:
            self.first = vitals
            return None
        if self._units == 0 or self._begun is None:
            return None
        loss, n = self._sum / self._units, self._units
        self._sum = self._units = 0.0
        chance = self._begun if self.chance is None else self.chance
        spread = vitals.spread / self.first.spread if self.first.spread else 1.0
        aligned = self.first.alignment
        if spread < FLAT and loss > NEAR_CHANCE * chance:
            return (
                f"its answers hardly depend on the text any more (they lie {spread:.0%} as far apart as at the start), "
                f"and its loss, {loss:.2f}, is that of guessing ({chance:.2f})"
            )
        if aligned is not None and aligned > ALIGNED and (vitals.alignment or 0.0) < LOST_ALIGNMENT * aligned:
            return (
                f"translations no longer lie together (alignment {vitals.alignment:.3f}, at the start {aligned:.3f}): "
                "what it knew of other languages is gone"
            )
        for i, (times, _) in enumerate(WILD):
            wild = loss > times * max(chance, self._begun) or not math.isfinite(vitals.spread)
            looks, units = self._wild[i]
            self._wild[i] = [looks + 1, units + n] if wild else [0, 0.0]
        if any(looks >= IN_A_ROW and units >= WILD[i][1] for i, (looks, units) in enumerate(self._wild)):
            return f"its loss, {loss:.2f}, stays above that of guessing ({chance:.2f})"
        return None

    def fell(self) -> None:
        """The model is put back to what it was: what was seen of the losses since is forgotten."""
        self._sum = self._units = 0.0
        self._wild = [[0, 0.0] for _ in WILD]

    # -- the state ----------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What a resume needs, as JSON."""
        first = None if self.first is None else [self.first.spread, self.first.alignment]
        arrays = {name: getattr(self, name).tolist() for name in ("_mean", "_square", "_known")}
        plain = {name: getattr(self, name) for name in PLAIN}
        counts = {"n_nonfinite": dict(self.n_nonfinite), "n_spikes": dict(self.n_spikes)}
        return {"first": first, **arrays, **plain, **counts}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.first = None if state["first"] is None else Vitals(*state["first"])
        for name in ("_mean", "_square", "_known"):
            setattr(self, name, np.array(state[name], float))
        for name in PLAIN:
            setattr(self, name, state[name])
        self.n_nonfinite, self.n_spikes = Counter(state["n_nonfinite"]), Counter(state["n_spikes"])


def chance_loss(labels: Sequence[str | None]) -> float | None:
    """The loss of who always answers with the shares of the labels, in nats a row; None without labels.

    Rows count alike, whatever their weights in training: the losses beside it do so, too.

    >>> round(chance_loss(["a", "b"]), 3)
    0.693
    """
    counts = np.array(list(Counter(label for label in labels if label is not None).values()), float)
    if not len(counts):
        return None
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())
