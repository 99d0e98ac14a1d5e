"""Seconds become steps once; steps and epochs stay what they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isogloss.core.errors import BudgetEnded, RecipeError
from isogloss.core.recipe import Train, build
from isogloss.stages.training.schedule import EVALUATIONS, Measured, Plan, plan


def of(
    seconds: float | None = None, measured: Measured | None = None, left: float | None = None, **train: object
) -> Plan:
    spec = Train.model_validate(train)
    return plan(spec, 1000, spec.batch, seconds, left if left is not None else (seconds or 0.0), measured)


def test_without_seconds() -> None:
    assert of(steps=70).steps == 70
    assert of(epochs=2.0, batch=10).steps == 200
    assert of(batch=10).steps == 500  # five epochs
    assert of(steps=70).eval_every == 7
    assert of(steps=3).eval_every == 1
    assert of(steps=70, eval_every=50).evaluates(70)


@given(st.floats(1, 1e5), st.floats(1e-4, 10), st.floats(0, 100), st.floats(0, 10), st.none() | st.integers(1, 1000))
def test_what_is_planned_fits(seconds: float, step: float, evaluation: float, save: float, every: int | None) -> None:
    measured = Measured(step, evaluation, save)
    try:
        made = of(seconds, measured, eval_every=every)
    except BudgetEnded:
        assert step + evaluation + 2 * save > 0.96 * seconds
        return
    n_evals = sum(1 for s in range(made.eval_every, made.steps + 1, made.eval_every)) + bool(
        made.steps % made.eval_every
    )
    cost = made.steps * step + n_evals * (evaluation + save)
    assert cost <= seconds + evaluation + save  # a last evaluation beside the regular ones is the ceiling's matter
    assert made.steps == 1 or cost >= 0.4 * (seconds - save) or n_evals > EVALUATIONS


def test_the_shorter_of_epochs_and_seconds() -> None:
    measured = Measured(0.1, 1.0, 0.1)
    assert of(1000.0, measured, epochs=1.0, batch=10).steps == 100
    short = of(8.0, measured, epochs=1.0, batch=10)
    assert short.steps < 80
    assert "do not fit" in short.why
    assert of(8.0, measured, steps=100).steps == 100  # steps stand as they are given; the ceiling cuts


def test_nothing_fits() -> None:
    with pytest.raises(BudgetEnded, match=r"raise budget\.seconds"):
        of(1.0, Measured(0.5, 0.4, 0.2))


def test_two_lengths_are_refused() -> None:
    with pytest.raises(RecipeError, match="are two lengths; give one"):
        build(
            {
                "name": "t",
                "model": {"use": "encoder", "scratch": {}},
                "data": {"raw": ["x"]},
                "train": {"steps": 3, "epochs": 1},
            }
        )


@given(st.integers(1, 500), st.floats(0, 0.9))
def test_the_rate_rises_to_one_and_falls_to_nothing(steps: int, warmup: float) -> None:
    made = Plan(steps, 1, "")
    rates = [made.rate(step, warmup) for step in range(steps)]
    assert max(rates) == pytest.approx(1.0)
    assert all(0 < rate <= 1 for rate in rates)
    top = rates.index(max(rates))
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[:top] == sorted(rates[:top])


def test_a_plan_comes_back_from_json() -> None:
    made = of(100.0, Measured(0.1, 1.0, 0.1))
    assert Plan.of(made.to_json()) == made
