"""Curves of labels, and rows that intervals need."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isogloss.core import curves, sizes
from isogloss.core.curves import FEWEST, MOST

TASKS = sorted(curves.curves())
TAGS = ("eng_Latn", "swh_Latn", "tir_Ethi", "qaa_Latn")


@given(
    st.sampled_from(TASKS),
    st.sampled_from(TAGS),
    st.sampled_from([True, False, None]),
    st.integers(0, 5000),
    st.integers(1, 2000),
)
def test_labels_never_hurt_and_less_with_more(task: str, tag: str, read: bool | None, before: int, more: int) -> None:
    curve = curves.of_task(task)
    assert curve is not None
    at = curves.start(curve, tag, read)
    assert 0 < at.low <= at.error <= at.high < 1
    one = curves.gain(curve, at, before, before + more)
    later = curves.gain(curve, at, before + more, before + 2 * more)
    assert 0 <= one.low <= one.expected <= one.high
    assert later.expected <= one.expected
    assert FEWEST <= curves.enough(curve, at) <= MOST


def test_a_language_that_the_model_has_not_read_begins_worse() -> None:
    for task in TASKS:
        curve = curves.of_task(task)
        assert curve is not None
        assert curves.start(curve, "swh_Latn", False).error > curves.start(curve, "swh_Latn", True).error


@given(st.integers(0, 3000), st.dictionaries(st.sampled_from(TAGS), st.integers(0, 400)))
def test_what_is_shared_out_is_the_budget_and_everyone_comes_first(budget: int, have: dict[str, int]) -> None:
    curve = curves.of_task("classify")
    assert curve is not None
    starts = [curves.start(curve, tag, tag != "tir_Ethi") for tag in TAGS]
    dealt = curves.share_out(curve, starts, have, budget)
    assert sum(dealt.values()) == budget
    short = {tag: max(0, FEWEST - have.get(tag, 0)) for tag in TAGS}
    if budget >= sum(math.ceil(n / 25) * 25 for n in short.values()):
        assert all(dealt[tag] >= n for tag, n in short.items())
    else:  # whoever has fewest gets the next ones
        assert max(dealt.values()) <= FEWEST


def few_shot(points: dict[str, dict[str, float]], better: str = "higher") -> dict[str, Any]:
    cells = {
        tag: {n: {"value": value, "low": value - 0.05, "high": value + 0.05} for n, value in row.items()}
        for tag, row in points.items()
    }
    return {"name": "own", "better": better, "langs": [{"lang": tag, "points": row} for tag, row in cells.items()]}


def test_the_curve_of_ones_own_runs_is_found_again() -> None:
    half = curves.curves()["classify"].half
    error = {"swh_Latn": (0.5, 0.30), "hau_Latn": (0.7, 0.30), "yor_Latn": (0.6, 0.30)}
    points = {
        tag: {str(n): 1 - first * (1 + n / half) ** -a for n in (0, 50, 100, 400)} for tag, (first, a) in error.items()
    }
    told = curves.of_few_shot(few_shot(points), "classify")
    assert told is not None
    curve, starts = told
    assert curve.usual == pytest.approx(0.30, abs=1e-6)
    assert curve.most == 400
    for tag, (first, a) in error.items():
        assert starts[tag].error == pytest.approx(first)
        assert starts[tag].a == pytest.approx(a)
        assert curves.gain(curve, starts[tag], 0, 100).expected == pytest.approx(
            100 * (points[tag]["100"] - points[tag]["0"])
        )


@pytest.mark.parametrize(
    "document",
    [
        {}, {"better": "higher"}, few_shot({"swh_Latn": {"0": 0.5}}), few_shot({"swh_Latn": {"50": 0.5, "100": 0.6}}),
        few_shot({"swh_Latn": {"0": 0.5, "100": 0.4}}, better="lower"),
    ],
)  # fmt: skip
def test_runs_that_tell_no_curve(document: dict[str, Any]) -> None:
    assert curves.of_few_shot(document, "classify") is None


def test_runs_in_which_labels_did_not_help_promise_nothing() -> None:
    told = curves.of_few_shot(
        few_shot({"swh_Latn": {"0": 0.5, "100": 0.4}, "hau_Latn": {"0": 0.5, "100": 0.45}}), "classify"
    )
    assert told is not None
    curve, starts = told
    assert curves.gain(curve, starts["swh_Latn"], 0, 100).expected == 0


@given(st.floats(0.005, 0.3), st.floats(0.05, 0.95), st.sampled_from(sorted(sizes.WIDER)))
def test_rows_are_the_fewest_that_suffice(width: float, share: float, metric: str) -> None:
    n = sizes.rows_for(width, share, metric)
    assert sizes.half_width(n, share, metric) <= width
    assert n == 1 or sizes.half_width(n - 1, share, metric) > width


def test_a_smaller_drop_needs_more_rows() -> None:
    assert sizes.rows_to_see(0.02) > sizes.rows_to_see(0.05) > sizes.rows_to_see(0.1)
