"""Calibration by language: how sure answers are, and which one is given, fitted on dev as the last step of training.

A model's probabilities p become softmax(log p / T + b), with a temperature T, and for kind "bias" an offset b of each
label (Guo et al. 2017). What is fitted to all languages alike is the pooled fit; a language's own minimises its
log-loss plus k/2 of the squared distance from the pooled fit, as if k rows stood for it: five dev rows move little, a
language without any has the pooled fit. k, up to no own fit at all, is the one that has the least log-loss on held-out dev
rows, each language counting alike: cross-validation in folds of whole groups. Where that is not shown to be less than
without any calibration, by a standard error, there is none.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Kind = Literal["temperature", "bias"]

FORMAT = 1
FOLDS = 5
# Rows that stand for the pooled fit, of which one is chosen; infinite: every language has the pooled fit.
STRENGTHS = (4.0, 16.0, 64.0, math.inf)
# A calibration must be better on held-out rows by so many standard errors, and there must be so many units to tell.
SURE, FEW_UNITS = 1.0, 10
# Of the pooled fit itself, toward no change.
RIDGE = 1.0
# A probability below this is taken for it, or its logarithm would decide everything.
LEAST = 1e-12


@dataclass(frozen=True)
class Fit:
    """Of one language, or of all: the logarithm of 1 / T, and an offset for each label `(C,)`."""

    sharpness: float
    bias: Floats
    n: int

    @property
    def temperature(self) -> float:
        return math.exp(-self.sharpness)


@dataclass(frozen=True)
class Block:
    """The calibration of some labels, those of one task. `strength`: rows that stood for the pooled fit, None where no
    calibration was better; `tried`: held-out log-loss by strength, each language alike."""

    labels: tuple[str, ...]
    kind: Kind
    pooled: Fit
    by_lang: Mapping[str, Fit]
    strength: float | None
    tried: Mapping[str, float]


@dataclass(frozen=True)
class Calibration:
    """What is applied to a model's answers; a block for each task."""

    blocks: tuple[Block, ...] = field(default=())

    def apply(self, probs: Floats, langs: Sequence[str | None], labels: Sequence[str]) -> Floats:
        """Calibrated probabilities `(N, C)`; each block keeps the sum that it had, and labels of none stay."""
        out = np.array(probs, dtype=np.float64)
        place = {label: i for i, label in enumerate(labels)}
        for block in self.blocks:
            if block.strength is None or not len(out):
                continue
            own = [place[label] for label in block.labels]
            fits = [block.by_lang.get(lang or "", block.pooled) for lang in langs]
            sharpness = np.array([fit.sharpness for fit in fits])
            bias = np.array([fit.bias for fit in fits])
            mass = out[:, own].sum(axis=1, keepdims=True)
            out[:, own] = _changed(_logs(out[:, own]), sharpness, bias) * mass
        return out

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, "blocks": [_block_to_json(block) for block in self.blocks]}

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Calibration:
        """Read what `to_json` gave. Raises ValueError or KeyError for anything else."""
        if value["format"] != FORMAT:
            raise ValueError(f"format {value['format']}, this version reads {FORMAT}")
        return cls(tuple(_block_of(each) for each in value["blocks"]))


def _fit_to_json(fit: Fit) -> dict[str, Any]:
    return {"temperature": fit.temperature, "bias": fit.bias.tolist(), "n": fit.n}


def _fit_of(value: Mapping[str, Any], n_labels: int) -> Fit:
    bias = np.array(value["bias"], np.float64)
    temperature = float(value["temperature"])
    if bias.shape != (n_labels,) or not np.isfinite(bias).all() or not 0 < temperature < math.inf:
        raise ValueError("no temperature and an offset for each label")
    return Fit(-math.log(temperature), bias, int(value["n"]))


def _block_to_json(block: Block) -> dict[str, Any]:
    strength = "pooled" if block.strength is not None and math.isinf(block.strength) else block.strength
    return {
        "labels": list(block.labels), "kind": block.kind, "pooled": _fit_to_json(block.pooled), "strength": strength,
        "by_lang": {lang: _fit_to_json(fit) for lang, fit in sorted(block.by_lang.items())}, "tried": dict(block.tried),
    }  # fmt: skip


def _block_of(value: Mapping[str, Any]) -> Block:
    n = len(value["labels"])
    strength = math.inf if value["strength"] == "pooled" else value["strength"]
    by_lang = {lang: _fit_of(fit, n) for lang, fit in value["by_lang"].items()}
    return Block(tuple(value["labels"]), value["kind"], _fit_of(value["pooled"], n), by_lang, strength, value["tried"])


# -- fitting ----------------------------------------------------------------------------------------------------


def fit(
    probs: Floats, gold: Ints, langs: Sequence[str], units: Sequence[str], labels: Sequence[str], kind: Kind, seed: int
) -> Block:
    """Fit to dev rows: probabilities `(N, C)` over `labels`, the right label's position `(N,)`, language, and the unit
    (group, or row) that may not be parted. No row gives no calibration."""
    logs = _logs(probs)
    names, code = np.unique(np.array(langs, dtype=object).astype(str), return_inverse=True)
    none = Fit(0.0, np.zeros(len(labels)), len(gold))
    if not len(gold):
        return Block(tuple(labels), kind, none, {}, None, {})
    tried, lost = _tried(logs, gold, code, len(names), units, kind, seed)
    best = min((word for word in tried if word != "none"), key=lambda word: (tried[word], -_number(word)))
    if not _shown(lost["none"] - lost[best], code, units):
        return Block(tuple(labels), kind, none, {}, None, tried)
    strength = _number(best)
    pooled = _pooled(logs, gold, kind)
    by_lang = {}
    for i, name in enumerate(names.tolist()):
        own = code == i
        by_lang[name] = _own(logs[own], gold[own], pooled, strength, kind)
    return Block(tuple(labels), kind, pooled, by_lang, strength, tried)


def _number(strength: str) -> float:
    return math.inf if strength == "pooled" else float(strength)


def _shown(gain: Floats, code: Ints, units: Sequence[str]) -> bool:
    """Whether held-out rows show a gain, each language alike: its mean is above `SURE` standard errors over units."""
    _, unit = np.unique(np.array(units, dtype=object).astype(str), return_inverse=True)
    each = np.bincount(unit, weights=gain / np.bincount(code)[code])
    if len(each) < FEW_UNITS:
        return False
    error = math.sqrt(len(each) / (len(each) - 1) * float(((each - each.mean()) ** 2).sum()))
    return float(each.sum()) > SURE * error


def _tried(
    logs: Floats, gold: Ints, code: Ints, n_langs: int, units: Sequence[str], kind: Kind, seed: int
) -> tuple[dict[str, float], dict[str, Floats]]:
    """Held-out log-loss by strength, each language alike, and of each row; "pooled" is one fit for all, "none" no
    calibration."""
    fold = np.array([_fold(unit, seed) for unit in units])
    words = {strength: "pooled" if math.isinf(strength) else f"{strength:g}" for strength in STRENGTHS}
    lost = {word: np.zeros(len(gold)) for word in (*words.values(), "none")}
    lost["none"] = _loss(logs, gold)
    for k in range(FOLDS):
        held = fold == k
        if not held.any():
            continue
        pooled = _pooled(logs[~held], gold[~held], kind) if (~held).any() else None
        for lang in range(n_langs):
            here, own = held & (code == lang), ~held & (code == lang)
            if not here.any():
                continue
            for strength, word in words.items():
                found = pooled and _own(logs[own], gold[own], pooled, strength, kind)
                changed = _logs(_changed(logs[here], *_repeated(found, int(here.sum())))) if found else logs[here]
                lost[word][here] = _loss(changed, gold[here])
    means = {w: float(np.mean([values[code == i].mean() for i in range(n_langs)])) for w, values in lost.items()}
    return means, lost


def _fold(unit: str, seed: int) -> int:
    return hashlib.blake2b(f"{seed}\0{unit}".encode("utf-8", "surrogatepass"), digest_size=4).digest()[0] % FOLDS


def _pooled(logs: Floats, gold: Ints, kind: Kind) -> Fit:
    none = Fit(0.0, np.zeros(logs.shape[1]), 0)
    return _own(logs, gold, none, RIDGE, kind)


def _own(logs: Floats, gold: Ints, centre: Fit, strength: float, kind: Kind) -> Fit:
    """The fit to these rows that is drawn to `centre` as by `strength` rows."""
    if not len(gold) or math.isinf(strength):
        return Fit(centre.sharpness, centre.bias, len(gold))
    from scipy.optimize import minimize

    start = np.concatenate([[centre.sharpness], centre.bias if kind == "bias" else []])
    right = np.zeros_like(logs)
    right[np.arange(len(gold)), gold] = 1.0

    def objective(theta: Floats) -> tuple[float, Floats]:
        sharp = math.exp(min(theta[0], 20.0))
        bias = theta[1:] if kind == "bias" else centre.bias
        scores = logs * sharp + bias
        scores -= scores.max(axis=1, keepdims=True)
        total = np.log(np.exp(scores).sum(axis=1, keepdims=True))
        away = np.exp(scores - total) - right
        value = -float(((scores - total) * right).sum()) + strength / 2 * float(((theta - start) ** 2).sum())
        slope = [float((away * logs).sum()) * sharp] + (away.sum(axis=0).tolist() if kind == "bias" else [])
        return value, np.array(slope) + strength * (theta - start)

    found = minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=[(-4.0, 4.0)] + [(-20.0, 20.0)] * (len(start) - 1)
    )
    theta = found.x
    return Fit(float(theta[0]), np.array(theta[1:]) if kind == "bias" else centre.bias, len(gold))


def _repeated(fit: Fit, n: int) -> tuple[Floats, Floats]:
    return np.full(n, fit.sharpness), np.repeat(fit.bias[None, :], n, axis=0)


def _logs(probs: Floats) -> Floats:
    """Logarithms of rows that are made to sum to one."""
    total = probs.sum(axis=1, keepdims=True)
    return np.log(np.maximum(probs / np.where(total > 0, total, 1.0), LEAST))


def _changed(logs: Floats, sharpness: Floats, bias: Floats) -> Floats:
    scores = logs * np.exp(sharpness)[:, None] + bias
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def _loss(logs: Floats, gold: Ints) -> Floats:
    """Log-loss of each row `(N,)`, whatever the rows sum to."""
    return np.log(np.exp(logs).sum(axis=1)) - logs[np.arange(len(gold)), gold]
