"""Calibration by language: it finds what was bent, moves little for few rows, and does nothing where nothing helps."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from isogloss.core.calibration import Calibration, fit
from isogloss.core.tasks import masked

LABELS = ("a", "b", "c")


def softmax(x: np.ndarray) -> np.ndarray:
    odds = np.exp(x - x.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def rows(n: dict[str, int], bent: dict[str, float], shift: dict[str, list[float]], seed: int = 0) -> Any:
    """Rows whose true probabilities are softmax(z), and a model that says softmax(z * bent + shift)."""
    rng = np.random.default_rng(seed)
    langs = [lang for lang, count in n.items() for _ in range(count)]
    z = rng.normal(0, 1.5, (len(langs), 3))
    gold = np.array([rng.choice(3, p=p) for p in softmax(z)], np.int64)
    said = softmax(
        z * np.array([[bent.get(lang, 1.0)] for lang in langs]) + [shift.get(lang, [0, 0, 0]) for lang in langs]
    )
    return said, gold, langs, [f"r{i}" for i in range(len(langs))]


def loss(probs: np.ndarray, gold: np.ndarray) -> float:
    return float(-np.log(probs[np.arange(len(gold)), gold]).mean())


def test_it_finds_the_temperature_of_each_language() -> None:
    bent = {"sure": 3.0, "shy": 0.4, "plain": 1.0}
    block = fit(*rows(dict.fromkeys(bent, 1500), bent, {}), LABELS, "temperature", 0)
    assert block.strength is not None
    for lang, factor in bent.items():
        assert abs(block.by_lang[lang].temperature / factor - 1) < 0.2, lang
        assert not block.by_lang[lang].bias.any()
    probs, gold, langs, _ = rows(dict.fromkeys(bent, 1500), bent, {}, seed=1)
    after = Calibration((block,)).apply(probs, langs, LABELS)
    assert loss(after, gold) < loss(probs, gold) - 0.05
    np.testing.assert_array_equal(after.argmax(axis=1), probs.argmax(axis=1))  # answers are the same
    np.testing.assert_allclose(after.sum(axis=1), 1)


def test_a_bias_changes_answers_of_the_language_that_needs_it() -> None:
    shift = {"odd": [2.0, 0.0, -2.0]}
    sizes = {"odd": 800, "even": 800}
    block = fit(*rows(sizes, {}, shift), LABELS, "bias", 0)
    probs, gold, langs, _ = rows(sizes, {}, shift, seed=1)
    after = Calibration((block,)).apply(probs, langs, LABELS)
    odd = np.array(langs) == "odd"
    right = after.argmax(axis=1) == gold
    before = probs.argmax(axis=1) == gold
    assert right[odd].mean() > before[odd].mean() + 0.05
    assert abs(right[~odd].mean() - before[~odd].mean()) < 0.02


def test_few_rows_move_little_and_a_language_without_any_has_the_pooled_fit() -> None:
    sizes = {"big": 2000, "five": 5}
    said, gold, langs, units = rows(sizes, {"big": 2.0, "five": 2.0}, {})
    wrong = said[-5:].argmin(axis=1)  # its five rows are all answered as wrongly as can be
    gold = np.concatenate([gold[:-5], wrong])
    block = fit(said, gold, langs, units, LABELS, "temperature", 0)
    pooled = block.pooled.temperature
    assert 1.7 < pooled < 2.4
    assert block.by_lang["five"].temperature < 3 * pooled
    asked = np.array([[0.7, 0.2, 0.1]])
    calibration = Calibration((block,))
    a, b = (calibration.apply(asked, [lang], LABELS) for lang in ("unheard", None))
    np.testing.assert_array_equal(a, b)
    assert a[0, 0] < 0.7


@pytest.mark.parametrize("kind", ["temperature", "bias"])
@pytest.mark.parametrize("n", [1, 5, 30, 100])
def test_small_dev_sets_harm_nobody(kind: Any, n: int) -> None:
    """A model that is calibrated already: whatever is fitted to a few rows costs less than a hundredth on new ones."""
    new = rows({"x": 4000, "y": 4000}, {}, {}, seed=99)
    cost = []
    for seed in range(6):
        block = fit(*rows({"x": n, "y": n // 2}, {}, {}, seed=seed), LABELS, kind, seed)
        after = Calibration((block,)).apply(new[0], new[2], LABELS)
        assert np.isfinite(after).all()
        cost.append(loss(after, new[1]) - loss(new[0], new[1]))
    assert np.median(cost) < 0.01
    if n < 5:
        assert not any(cost)


def test_odd_rows() -> None:
    """None at all, one class in dev, certain answers, rows that are zero, a class that is never right in one language."""
    nothing = fit(np.zeros((0, 3)), np.zeros(0, np.int64), [], [], LABELS, "bias", 0)
    assert nothing.strength is None
    eye = np.eye(3)[[0, 1, 2, 0, 1, 2]]
    for kind in ("temperature", "bias"):
        block = fit(eye, np.zeros(6, np.int64), ["x"] * 6, list("abcdef"), LABELS, kind, 0)  # type: ignore[arg-type]
        after = Calibration((block,)).apply(np.vstack([eye, np.zeros((1, 3))]), ["x"] * 7, LABELS)
        assert np.isfinite(after).all()
    said, gold, langs, units = rows({"x": 300, "y": 300}, {}, {})
    there = ~((np.array(langs) == "y") & (gold == 2))  # class c never is in y
    picked = [i for i in range(600) if there[i]]
    block = fit(said[picked], gold[picked], [langs[i] for i in picked], [units[i] for i in picked], LABELS, "bias", 0)
    assert block.by_lang["y"].bias[2] < block.by_lang["x"].bias[2]
    assert block.by_lang["y"].bias[2] > -20


def test_parallel_rows_are_not_parted() -> None:
    """Held-out rows whose translations were fitted would be no held-out rows: equal units, one fold, no choice but none."""
    said, gold, langs, _ = rows({"x": 40, "y": 40}, {"x": 3.0, "y": 3.0}, {})
    block = fit(said, gold, langs, ["one"] * 80, LABELS, "temperature", 0)
    assert block.strength is None
    assert set(block.tried) >= {"none", "pooled"}


def test_a_card_gives_back_what_it_was_given() -> None:
    block = fit(*rows({"x": 200, "y": 20}, {"x": 2.0}, {}), LABELS, "bias", 0)
    whole = Calibration((block,))
    read = Calibration.of(json.loads(json.dumps(whole.to_json(), allow_nan=False)))
    asked = np.random.default_rng(0).dirichlet([1, 1, 1], 10)
    np.testing.assert_allclose(read.apply(asked, ["x", "y"] * 5, LABELS), whole.apply(asked, ["x", "y"] * 5, LABELS))
    for damage in ({"format": 9}, {"blocks": [{"labels": ["a"]}]}):
        with pytest.raises((KeyError, ValueError)):
            Calibration.of({**whole.to_json(), **damage})


def test_blocks_of_tasks_keep_their_own() -> None:
    labels = ("p/a", "p/b", "q/a")
    block = fit(*_two(300), labels[:2], "temperature", 0)
    asked = np.array([[0.4, 0.1, 0.5]])
    after = Calibration((block,)).apply(asked, ["x"], labels)
    assert after[0, 2] == 0.5
    assert after[0, :2].sum() == pytest.approx(0.5)
    own = masked(after, ["p"], labels)
    assert own[0, 0] < 0.8


def _two(n: int) -> Any:
    rng = np.random.default_rng(0)
    z = rng.normal(0, 1, (n, 2))
    gold = np.array([rng.choice(2, p=p) for p in softmax(z)], np.int64)
    return softmax(3 * z), gold, ["x"] * n, [f"r{i}" for i in range(n)]
