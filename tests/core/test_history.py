"""What is learned from a person's own scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isogloss.core import history, sources
from isogloss.core.errors import DataError

POOL = ["eng_Latn", "ind_Latn", "swh_Latn", "hin_Deva", "spa_Latn", "fra_Latn", "zul_Latn"]
TARGETS = ["tgl_Latn", "yor_Latn", "urd_Arab", "cat_Latn", "xho_Latn"]


def table(scores: np.ndarray, targets: list[str] = TARGETS) -> history.Past:
    pairs = [(s, t, float(scores[i, j])) for i, s in enumerate(POOL) for j, t in enumerate(targets)]
    return history.past([row for row in pairs if np.isfinite(row[2])], "mine.csv")


def order(past: history.Past | None, target: str = "npi_Deva") -> list[str]:
    (ranking,) = sources.rank([target], POOL, task="classify", past=past)
    return [one.source for one in ranking.candidates]


def test_a_source_that_always_did_best_is_put_first() -> None:
    scores = np.random.default_rng(0).normal(50, 1, (7, 5))
    scores[POOL.index("fra_Latn")] += 20
    assert order(None)[0] != "fra_Latn"
    assert order(table(scores))[0] == "fra_Latn"
    (ranking,) = sources.rank(["npi_Deva"], POOL, task="classify", past=table(scores))
    first = ranking.candidates[0]
    assert first.stage == "prior and scores" and ranking.fitted.unseen == "scores" and ranking.fitted.n_targets == 5
    assert any(reason.feature == "scores" and reason.points > 0 for reason in first.reasons)


def test_scores_that_say_what_was_expected_change_no_order() -> None:
    past = table(np.full((7, 5), 50.0))
    said = sources.said_of(past, "any")
    agreeing = table(50 + 3 * (said - said.mean(axis=0)))
    assert order(agreeing) == order(None)


def test_noise_is_not_learned() -> None:
    """Sources that differ from target to target only: their effects are drawn to almost nothing."""
    rng = np.random.default_rng(1)
    said = rng.normal(size=(20, 12))
    left = rng.normal(size=(20, 12))
    quiet = history.learn(50 + 5 * (said + left), said, 0, 15.0).effects
    loud = history.learn(50 + 5 * (said + 2 * rng.normal(size=(20, 1)) + 0.3 * left), said, 0, 15.0).effects
    assert np.abs(quiet).mean() < 0.35 * np.abs(left.mean(axis=1)).mean() + 0.1
    assert np.abs(loud).mean() > 3 * np.abs(quiet).mean()


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 8), st.integers(1, 6), st.integers(0, 10**6), st.booleans())
def test_it_is_finite_and_the_order_of_rows_plays_no_part(n: int, m: int, seed: int, english: bool) -> None:
    rng = np.random.default_rng(seed)
    scores, said = rng.uniform(0, 100, (n, m)), rng.normal(size=(n, m))
    scores[rng.random((n, m)) < 0.3] = np.nan
    found = history.learn(scores, said, 0 if english else None, 15.0)
    assert np.isfinite(found.effects).all()
    assert (found.effects[np.isnan(scores).all(axis=1)] == 0).all()
    if found.width is not None:
        assert (
            found.points is not None
            and found.points > 0
            and found.width >= history.FEWEST * 15.0 / (m + history.FEWEST)
        )
    turned = history.learn(scores[::-1, ::-1], said[::-1, ::-1], n - 1 if english else None, 15.0)
    assert turned.effects[::-1] == pytest.approx(found.effects, abs=1e-9)


def test_the_target_itself_is_no_past() -> None:
    scores = np.random.default_rng(2).uniform(30, 70, (7, 5))
    whole = table(scores)
    assert whole.without("xho_Latn").targets == tuple(sorted(set(TARGETS) - {"xho_Latn"}))
    other = scores.copy()
    other[:, TARGETS.index("xho_Latn")] = np.random.default_rng(3).uniform(0, 100, 7)
    (a,), (b,) = (sources.rank(["xho_Latn"], POOL, task="tag", past=table(each)) for each in (scores, other))
    assert a == b


def test_the_width_follows_the_persons_own_errors() -> None:
    rng = np.random.default_rng(4)
    small, large = (table(50 + size * rng.normal(size=(7, 5))) for size in (0.5, 15))
    widths = []
    for past in (small, large):
        (ranking,) = sources.rank(["npi_Deva"], POOL, task="classify", past=past)
        widths.append(ranking.fitted.width)
    assert widths[0] < sources.prior().tasks["*"].width < widths[1]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("a_b", "c_d", float("nan"))], "has the score nan"),
        ([("a_b", "c_d", 101.0)], "has the score 101"),
        ([("eng_Latn", "eng_Latn", 0.5), ("swh_Latn", "eng_Latn", 0.4)], "two sources other than itself"),
        ([], "two sources"),
    ],
)
def test_scores_that_cannot_be(rows: list[tuple[str, str, float]], said: str) -> None:
    with pytest.raises(DataError, match=said):
        history.past(rows, "mine.csv")
