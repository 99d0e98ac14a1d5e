"""Probes: what a budget pays for, and how what they say is joined with what was expected."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from isogloss.core import probes, sources
from isogloss.core.errors import BudgetEnded
from isogloss.core.probes import Cost, Seen
from isogloss.core.sources import ENGLISH, Candidate, Fitted, Ranking

TAGS = [f"s{chr(97 + i)}x_Latn" for i in range(20)]
FIT = Fitted("t", 5.0, 10.0, 0.6, 4.0, 0.5, 9, "made-up", "targets")


def candidate(source: str, expected: float, half: float = 10.0) -> Candidate:
    half = 0.0 if source == ENGLISH else half
    return Candidate(source, expected, expected - half, expected + half, False, 1.0, ())


def ranking(gains: dict[str, float], over: str = ENGLISH, **halves: float) -> Ranking:
    made = [candidate(source, gain, halves.get(source, 10.0)) for source, gain in gains.items()]
    return Ranking("tgt_Latn", FIT, over, tuple(sorted(made, key=lambda one: (-one.expected, one.source))), ())


def by_source(found: Ranking) -> dict[str, Candidate]:
    return {one.source: one for one in found.candidates}


def seen(scores: dict[str, float], rows: int = 400, of: int = 400, n_dev: int = 200) -> list[Seen]:
    return [Seen(source, rows, of, score, n_dev) for source, score in scores.items()]


# -- the plan -----------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    st.integers(1, 20),
    st.lists(st.integers(50, 3000), min_size=21, max_size=21),
    st.floats(0, 30),
    st.floats(0.001, 1),
    st.floats(1, 5000),
    st.booleans(),
    st.integers(1, 3),
)
def test_a_plan_never_costs_more_than_there_is(
    n: int, rows: list[int], fixed: float, row: float, seconds: float, english: bool, targets: int
) -> None:
    have = dict(zip([*TAGS[:n], *([ENGLISH] if english else [])], rows, strict=False))
    assume(len(have) > 1)
    ranked = {f"t{i}": TAGS[i % n : n] + TAGS[: i % n] for i in range(targets)}
    cost = Cost(fixed, row)
    try:
        plan = probes.plan(ranked, have, cost, seconds)
    except BudgetEnded as error:
        assert 2 * cost.of(probes.FEWEST_ROWS) > seconds * (1 - probes.SLACK) or targets > 1
        assert "raise --budget" in str(error)
        return
    assert plan.seconds == pytest.approx(sum(rung.most * cost.of(rung.rows) for rung in plan.rungs))
    assert plan.seconds <= seconds * (1 - probes.SLACK) + 1e-6
    sizes, left = [rung.rows for rung in plan.rungs], [rung.n for rung in plan.rungs]
    assert sizes == sorted(set(sizes)) and left == sorted(set(left), reverse=True)
    first = {tag for some in ranked.values() for tag in some[: left[0]]} | ({ENGLISH} & set(have))
    assert probes.FEWEST_ROWS <= sizes[0] <= min(have[tag] for tag in first)
    assert plan.rungs[0].most == len(first)
    assert left[0] <= probes.MOST


def test_more_seconds_never_buy_less() -> None:
    have = {**dict.fromkeys(TAGS[:12], 700), ENGLISH: 700}
    before = (0, 0)
    for seconds in (60, 120, 240, 480, 960, 2000, 10_000):
        plan = probes.plan({"t": TAGS[:12]}, have, Cost(4, 0.05), seconds)
        now = (plan.rungs[0].n, plan.rungs[-1].rows)
        assert now[0] >= before[0]
        before = now
    assert (plan.rungs[0].rows, len(plan.rungs), plan.rungs[0].n) == (700, 1, 12)  # all rows of all: nothing to climb


def test_one_source_with_few_rows_does_not_take_part() -> None:
    assert probes.enough_rows({"a": 700, "b": 700, "c": 60}) > 60
    assert probes.enough_rows({"a": 70, "b": 70}) <= 70
    assert probes.enough_rows({}) == probes.FEWEST_ROWS


# -- what probes tell -----------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(-20, 20), min_size=2, max_size=6),
    st.lists(st.floats(0, 100), min_size=6, max_size=6),
    st.floats(0.1, 10),
    st.integers(1, 6),
    st.booleans(),
)
def test_no_interval_grows_and_english_stays_the_zero(
    gains: list[float], scores: list[float], noise: float, trained: int, english: bool
) -> None:
    names = TAGS[: len(gains)]
    before = ranking({**dict(zip(names, gains, strict=True)), ENGLISH: 0.0})
    told = seen({**({ENGLISH: 50.0} if english else {}), **dict(zip(names[:trained], scores, strict=False))})
    after = probes.combine(before, told, noise**2 * np.eye(len(told)))
    was = by_source(before)
    assert {one.source for one in after.candidates} == set(was)
    values = [one.expected for one in after.candidates]
    assert values == sorted(values, reverse=True)
    assert after.candidates[0].chosen
    for one in after.candidates:
        old = was[one.source]
        assert one.high - one.low <= old.high - old.low + 0.02
        assert one.low - 0.01 <= one.expected <= one.high + 0.01
        assert ("probe" in one.stage) == (one.probe is not None)
        if one.source == ENGLISH:
            assert (one.low, one.expected, one.high) == (0, 0, 0)


def test_it_is_the_posterior_of_two_gaussians() -> None:
    """One source and English, trained on all their rows: the textbook's precision-weighted mean."""
    told = probes.combine(ranking({TAGS[0]: 4.0}), seen({TAGS[0]: 60.0, ENGLISH: 50.0}), 9.0 * np.eye(2))
    sd, error = 10 / probes.Z90, 2 * (9.0 + (probes.NOISE * FIT.spread) ** 2)
    weight = sd**2 / (sd**2 + error)
    one = told.candidates[0]
    assert one.expected == pytest.approx(4 + weight * (10 - 4), abs=0.02)
    assert (one.high - one.low) / 2 == pytest.approx(probes.Z90 * math.sqrt(sd**2 * (1 - weight)), abs=0.02)
    assert one.probe is not None and (one.probe.score, one.probe.rows) == (60.0, 400)


def test_what_is_common_to_a_round_says_nothing() -> None:
    before = ranking({TAGS[0]: 4.0, TAGS[1]: -1.0, TAGS[2]: 0.0})
    scores = {TAGS[0]: 60.0, TAGS[1]: 55.0, ENGLISH: 50.0}
    one, other = (
        probes.combine(before, seen({tag: score + more for tag, score in scores.items()}), np.eye(3))
        for more in (0, 17)
    )
    assert [c.expected for c in one.candidates] == pytest.approx([c.expected for c in other.candidates], abs=0.02)
    alone = probes.combine(before, seen({TAGS[0]: 99.0}), np.eye(1))
    assert by_source(alone)[TAGS[0]].expected == pytest.approx(4.0, abs=0.02)  # one source alone has nothing to compare


def test_fewer_rows_and_fewer_dev_rows_count_for_less() -> None:
    before = ranking({TAGS[0]: 0.0})
    scores = {TAGS[0]: 60.0, ENGLISH: 50.0}
    all_rows = probes.combine(before, seen(scores, 400, 400), np.eye(2)).candidates[0]
    few_rows = probes.combine(before, seen(scores, 50, 400), np.eye(2)).candidates[0]
    few_dev = probes.combine(before, seen(scores, 400, 400), 30 * np.eye(2)).candidates[0]
    for less in (few_rows, few_dev):
        assert 0 < less.expected < all_rows.expected
        assert less.high - less.low > all_rows.high - all_rows.low


def test_the_last_round_counts_with_english_in_it() -> None:
    told = [*seen({TAGS[0]: 50, TAGS[1]: 40, ENGLISH: 45}, 100), *seen({TAGS[0]: 70, ENGLISH: 60}, 200)]
    kept = [(told[i].source, told[i].rows) for i in probes.last_rounds(told)]
    assert kept == [(TAGS[1], 100), (ENGLISH, 100), (TAGS[0], 200), (ENGLISH, 200)]
    found = by_source(probes.combine(ranking({TAGS[0]: 0.0, TAGS[1]: 0.0}), told, np.eye(5)))
    assert found[TAGS[0]].expected > 0 > found[TAGS[1]].expected


def test_what_was_not_trained_moves_with_the_others_and_less() -> None:
    before = ranking({TAGS[0]: 0.0, TAGS[1]: 0.0})
    found = by_source(probes.combine(before, seen({TAGS[0]: 70.0, ENGLISH: 50.0}), np.eye(2)))
    assert 0 < found[TAGS[1]].expected < found[TAGS[0]].expected
    assert found[TAGS[1]].stage == "prior" and found[TAGS[0]].stage == "prior and probe"
    apart = replace(FIT, shared=0.0)
    alone = by_source(probes.combine(replace(before, fitted=apart), seen({TAGS[0]: 70.0, ENGLISH: 50.0}), np.eye(2)))
    assert alone[TAGS[1]].expected == pytest.approx(0, abs=0.02)


def test_the_set_shrinks_as_more_is_known() -> None:
    before = ranking(dict(zip(TAGS[:5], (1.0, 0.5, 0.0, -0.5, -1.0), strict=True)))
    scores = dict(zip(TAGS[:5], (60.0, 55.0, 50.0, 45.0, 40.0), strict=True)) | {ENGLISH: 50.0}
    sizes = [
        sum(one.chosen for one in probes.combine(before, seen(scores), noise * np.eye(6)).candidates)
        for noise in (1e6, 100.0, 1.0)
    ]
    assert sizes[0] >= sizes[1] >= sizes[2] and sizes[2] < 5


def test_without_english_the_sources_are_compared_with_each_other() -> None:
    over_mean = ranking({TAGS[0]: 0.0, TAGS[1]: 0.0}, over="mean")
    found = by_source(probes.combine(over_mean, seen({TAGS[0]: 60.0, TAGS[1]: 40.0}), np.eye(2)))
    assert found[TAGS[0]].expected == pytest.approx(-found[TAGS[1]].expected, abs=0.02)
    assert found[TAGS[0]].expected > 5


def test_real_rankings_can_be_joined() -> None:
    (before,) = sources.rank(["swh_Latn"], ["eng_Latn", "ind_Latn", "zul_Latn"], task="classify")
    after = probes.combine(before, seen({"eng_Latn": 50.0, "zul_Latn": 70.0}), 4 * np.eye(2))
    zulu = by_source(after)["zul_Latn"]
    assert any(reason.feature == probes.STAGE and "English 50.0" in reason.words for reason in zulu.reasons)
    assert zulu.expected > by_source(before)["zul_Latn"].expected
