"""Falls by language: no false alarms, real losses caught where rows can show them, and nothing said where they cannot."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isogloss.core.evidence import Levels, moderated, pseudo_values, shrunk
from isogloss.parts.metrics import accuracy, macro_f1


def simulation() -> Any:
    """benchmarks/keep.py, which states the power at length."""
    path = Path(__file__).parents[2] / "benchmarks" / "keep.py"
    spec = importlib.util.spec_from_file_location("keep", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("walk", [False, True])
@pytest.mark.parametrize("flips", [0.02, 0.05])
def test_no_true_change_in_61_languages_of_99_rows_is_no_fall(walk: bool, flips: float) -> None:
    """Whole trainings of 10 evaluations; at most one in twenty may raise a false alarm."""
    keep, rng = simulation(), np.random.default_rng(0)
    false = [keep.training(rng, 99, 0.0, flips, walk=walk, rises=i % 2 == 0)[1] for i in range(60)]
    assert sum(false) <= 3


@pytest.mark.parametrize(("n", "loss", "runs", "least"), [(99, 0.15, 30, 28), (1000, 0.05, 5, 4)])
def test_a_true_loss_in_one_language_is_caught_where_rows_can_show_it(
    n: int, loss: float, runs: int, least: int
) -> None:
    keep, rng = simulation(), np.random.default_rng(1)
    found = [keep.training(rng, n, loss, 0.05) for _ in range(runs)]
    assert sum(caught for caught, _ in found) >= least
    assert not sum(false for _, false in found)


def test_five_rows_tell_nothing_and_fewer_languages_speak_for_themselves() -> None:
    code = np.repeat([0, 1], [5, 200])
    levels = Levels(["five", "many"], code, 1, 1.0, 10)
    right = np.ones(205)
    for _ in range(3):
        assert not levels.take(right, np.array([1.0, 1.0]), 0.0)
    gone = np.concatenate([np.zeros(5), np.zeros(100), np.ones(100)])
    (fall,) = levels.take(gone, np.array([0.0, 0.5]), 0.0)
    assert (fall.lang, fall.n) == ("many", 200)
    assert fall.drop == pytest.approx(0.5)


def test_only_watched_languages_fall_and_only_by_more_than_is_allowed() -> None:
    for watched, allowed, want in ((None, 0.02, {"a", "b"}), (["b"], 0.02, {"b"}), (None, 0.9, set())):
        levels = Levels(["a", "b", "c"], np.repeat([0, 1, 2], 300), 1, 1.0, 4, watched)
        rng = np.random.default_rng(0)
        for _ in range(3):
            right = (rng.random(900) < 0.97).astype(float)
            assert not levels.take(right, right.reshape(3, 300).mean(axis=1), allowed)
        right[:250] = right[300:550] = 0
        found = levels.take(right, right.reshape(3, 300).mean(axis=1), allowed)
        assert {fall.lang for fall in found} == want


def test_lower_may_be_better() -> None:
    levels = Levels(["a"], np.zeros(400, np.int64), -1, np.inf, 4)
    rng = np.random.default_rng(0)
    for _ in range(3):
        loss = rng.gamma(2.0, 0.5, 400)
        assert not levels.take(loss, np.array([loss.mean()]), 0.0)
    assert not levels.take(loss * 0.2, np.array([loss.mean() * 0.2]), 0.0)
    assert levels.take(loss * 4, np.array([loss.mean() * 4]), 0.0)


def test_a_level_is_no_lucky_draw() -> None:
    """One evaluation that is better by chance does not become what must be kept."""
    rng = np.random.default_rng(3)
    levels = Levels(["a", "b", "c"], np.repeat([0, 1, 2], 99), 1, 1.0, 10)
    known = rng.random(297) < 0.7
    for i in range(6):
        flips = rng.random(297) < 0.05
        right = np.where(flips, ~known, known)
        if i == 2:
            right[:4] = True  # lucky
        assert not levels.take(right.astype(float), right.reshape(3, 99).mean(axis=1), 0.0)


def test_state_goes_through_json_and_on_to_the_same_falls() -> None:
    code, rng = np.repeat([0, 1, 2], 60), np.random.default_rng(0)
    one, two = (Levels(["a", "b", "c"], code, 1, 1.0, 8) for _ in range(2))
    for i in range(8):
        right = (rng.random(180) < (0.9 if i < 6 else 0.3)).astype(float)
        values = right.reshape(3, 60).mean(axis=1)
        if i == 4:
            one.mark(["b"])
            two.restore(json.loads(json.dumps(one.state(), allow_nan=False)), one.arrays())
        if i >= 4:
            assert one.take(right, values, 0.02) == two.take(right, values, 0.02)
            np.testing.assert_array_equal(one.since(3), two.since(3))
        else:
            one.take(right, values, 0.02)
    assert np.isnan(one.since(3)).tolist() == [True, False, True]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60))
def test_pseudo_values_have_the_score_for_their_mean(rows: list[tuple[int, int]]) -> None:
    import polars as pl

    labels = ["a", "b", "c"]
    frame = pl.DataFrame({"label": [labels[g] for g, _ in rows], "pred": [labels[p] for _, p in rows]})
    counts = accuracy.stats(frame, labels)
    assert pseudo_values(counts, accuracy.value).mean() == pytest.approx(float(accuracy.value(counts.sum(axis=0))))
    found = pseudo_values(macro_f1.stats(frame, labels), macro_f1.value)
    assert np.isfinite(found).all()


def test_shrinkage_knows_chance_from_difference() -> None:
    rng = np.random.default_rng(0)
    noise = np.full(200, 0.05)
    alike, apart = rng.normal(0, np.sqrt(0.05), 200), rng.normal(0, 1, 200)
    assert np.abs(shrunk(alike, noise, doubt=1.0)).max() < 0.35 * np.abs(alike).max()
    assert np.corrcoef(shrunk(apart, noise), apart)[0, 1] > 0.99
    variances, df = moderated(np.array([1.0, 2.0]), np.array([5.0, 5.0]))  # too few to speak for each other
    assert variances.tolist() == [1.0, 2.0] and df.tolist() == [5.0, 5.0]
