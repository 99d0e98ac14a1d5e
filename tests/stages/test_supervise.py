"""Supervision by language without a model: who leaves, who comes again, what is gone back to, and what goes on."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest

from isogloss.core.answers import labelled
from isogloss.core.recipe import Keep, Stop
from isogloss.parts.metrics import accuracy
from isogloss.stages.training.supervise import Judged, Supervisor

LABELS = ["a", "b"]


class Course:
    """Evaluations of languages whose share of right answers is given; which rows are right is the same each time."""

    def __init__(self, n: dict[str, int], stop: Stop | None = None, keep: Keep | None = None, **more: Any) -> None:
        self.n = n
        rows = [
            {"id": f"{lang}-{i}", "lang": lang, "group": None, "label": "b"} for lang, k in n.items() for i in range(k)
        ]
        self.dev = pl.DataFrame(rows, schema_overrides={"group": pl.String})
        self.watch = Supervisor(self.dev, list(n), LABELS, "accuracy", accuracy, labelled, stop, keep, **more)
        self.watch.levels.n_evaluations = 20
        self.step = 0
        self.rng = np.random.default_rng(0)

    def probs(self, shares: dict[str, float]) -> np.ndarray:
        right = [i < shares[lang] * k for lang, k in self.n.items() for i in range(k)]
        flips = self.rng.random(len(right)) < 0.02
        return np.eye(2)[(np.array(right) ^ flips).astype(int)]

    def see(self, shares: dict[str, float], met: dict[str, float] | None = None) -> Judged:
        self.step += 10
        return self.watch.judge(self.step, self.probs(shares), None, range(0, self.step, 10), met)


LANGS = {"eng_Latn": 1000, "swh_Latn": 1000, "tha_Thai": 1000, "yor_Latn": 5}


def test_a_language_that_no_longer_rises_leaves_and_training_ends_when_all_have() -> None:
    course = Course(LANGS, Stop(on="lang", patience=2))
    left: dict[str, int] = {}
    for i in range(24):
        rising = min(0.95, 0.2 + 0.08 * i)
        judged = course.see({"eng_Latn": 0.9, "swh_Latn": rising, "tha_Thai": rising, "yor_Latn": 0.8})
        left |= dict.fromkeys(judged.left, i)
        if judged.stop:
            break
    assert judged.stop
    assert set(left) == set(LANGS)
    assert left["eng_Latn"] < 9 <= min(left["swh_Latn"], left["tha_Thai"])
    assert course.watch.out.keys() == LANGS.keys()


def test_a_language_that_has_left_and_falls_comes_again() -> None:
    course = Course(LANGS, Stop(on="lang", patience=2))
    shares = {"eng_Latn": 0.9, "swh_Latn": 0.3, "tha_Thai": 0.3, "yor_Latn": 0.8}
    for i in range(9):
        course.see({**shares, "swh_Latn": 0.2 + 0.08 * i, "tha_Thai": 0.2 + 0.08 * i})
    assert "eng_Latn" in course.watch.out
    judged = course.see({**shares, "eng_Latn": 0.4, "swh_Latn": 0.85, "tha_Thai": 0.85})
    assert judged.returned == ("eng_Latn",)
    assert "eng_Latn" not in course.watch.out
    assert not judged.fallen and judged.back is None  # nothing is kept, so nothing is gone back to


@pytest.mark.parametrize("keep", [None, Keep(drop_at_most=0.02, langs=["swh_Latn"]), Keep(drop_at_most=0.3)])
def test_a_language_that_left_comes_again_whatever_must_be_kept_and_has_time_to_learn(keep: Keep | None) -> None:
    course = Course(LANGS, Stop(on="lang", patience=3), keep)
    came, left, score = None, {}, 0.9
    for i in range(24):
        others = min(0.95, 0.2 + 0.03 * i)
        score = 0.65 if i == 12 else min(0.9, score + 0.04) if came is not None else score
        judged = course.see({"eng_Latn": score, "swh_Latn": others, "tha_Thai": others, "yor_Latn": 0.8})
        came = i if "eng_Latn" in judged.returned else came
        left |= dict.fromkeys(judged.left, i)
        if i < 12:
            assert came is None and ("eng_Latn" in left or i < 8)
    assert came == 12
    assert left["eng_Latn"] > 18  # it rises until then


def test_a_language_that_the_mix_has_not_added_yet_does_not_leave() -> None:
    course = Course(LANGS, Stop(on="lang", patience=2))
    met, left = {"eng_Latn": 1.0}, {}
    for i in range(24):
        met |= {"swh_Latn": 1.0} if i >= 8 else {}
        met |= {"tha_Thai": 1.0, "yor_Latn": 1.0} if i >= 16 else {}
        judged = course.see({"eng_Latn": 0.9, "swh_Latn": 0.2, "tha_Thai": 0.2, "yor_Latn": 0.2}, dict(met))
        left |= dict.fromkeys(judged.left, i)
        if judged.stop:
            break
    assert left["eng_Latn"] < 8 <= 8 + 2 <= left["swh_Latn"] < 16 < 16 + 2 <= min(left["tha_Thai"], left["yor_Latn"])
    assert judged.stop


def test_a_language_that_loses_has_not_converged() -> None:
    course = Course(LANGS, Stop(on="lang", patience=2))
    for i in range(12):
        judged = course.see({"eng_Latn": 0.9 - 0.04 * i, "swh_Latn": 0.8, "tha_Thai": 0.3 + 0.04 * i, "yor_Latn": 0.8})
        assert "eng_Latn" not in judged.left
    assert "swh_Latn" in course.watch.out


def test_keep_goes_back_to_where_the_language_held_and_on_more_slowly() -> None:
    course = Course(LANGS, None, Keep(drop_at_most=0.02))
    good = dict.fromkeys(LANGS, 0.8)
    for _ in range(3):
        assert not course.see(good).fallen
    judged = course.see({**good, "swh_Latn": 0.4, "tha_Thai": 0.95})
    assert [fall.lang for fall in judged.fallen] == ["swh_Latn"]
    assert judged.back in (10, 20, 30)
    assert course.watch.rate == 0.5
    course.watch.levels.restore(*fresh(course))
    assert not course.see(good).fallen
    assert course.see({**good, "yor_Latn": 0.0}).fallen == ()  # five rows


def test_only_protected_languages_are_kept() -> None:
    course = Course(LANGS, None, Keep(drop_at_most=0.02, langs=["tha_Thai"]))
    good = dict.fromkeys(LANGS, 0.8)
    for _ in range(3):
        course.see(good)
    assert not course.see({**good, "swh_Latn": 0.2}).fallen
    assert [fall.lang for fall in course.see({**good, "tha_Thai": 0.2}).fallen] == ["tha_Thai"]


def test_a_changed_mix_leans_on_what_fell_and_then_the_rate_falls() -> None:
    course = Course(LANGS, None, Keep(drop_at_most=0.02, then="mix"))
    good, leans, slower = dict.fromkeys(LANGS, 0.8), [], []
    for _ in range(3):
        for _ in range(3):
            course.see(good)
        judged = course.see({**good, "swh_Latn": 0.3})
        assert judged.fallen
        slower.append(judged.slower)
        leans.append((course.watch.lean["swh_Latn"], course.watch.rate))
        course.watch.levels.restore(*fresh(course))
    assert leans == [(2.0, 1.0), (4.0, 1.0), (4.0, 0.5)]
    assert slower == [False, False, True]


def fresh(course: Course) -> tuple[Any, Any]:
    """What was known of levels at the first evaluation, as after a rollback."""
    other = Course(course.n, None, course.watch.keep)
    other.see(dict.fromkeys(course.n, 0.8))
    return other.watch.levels.state(), other.watch.levels.arrays()


def test_no_checkpoint_to_go_back_to_is_said_and_not_made_up() -> None:
    course = Course(LANGS, None, Keep(drop_at_most=0.02))
    for _ in range(3):
        course.see(dict.fromkeys(LANGS, 0.8))
    course.step += 10
    judged = course.watch.judge(course.step, course.probs({**dict.fromkeys(LANGS, 0.8), "swh_Latn": 0.2}), None, ())
    assert judged.fallen and judged.back is None


def test_after_a_step_of_languages_earlier_ones_are_compared_with_what_they_were() -> None:
    steps = {30: ("eng_Latn", "yor_Latn"), 60: ("swh_Latn",), 90: ("tha_Thai",)}
    course = Course({**LANGS, "eng_Latn": 2000}, None, None, steps=steps)
    shares = dict.fromkeys(LANGS, 0.8)
    found = {}
    for i in range(9):
        now = {**shares, "swh_Latn": 0.8 if i < 7 else 0.3}
        judged = course.see(now)
        found |= {course.step: {row["lang"]: row["verdict"] for row in judged.retained}}
    assert found[30] == {}
    assert found[60] == {"eng_Latn": "retained", "yor_Latn": "cannot tell"}
    assert found[90] == {"eng_Latn": "retained", "swh_Latn": "lost", "yor_Latn": "cannot tell"}


def test_going_back_keeps_what_languages_were_when_their_step_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    import torch

    from isogloss.stages.training import loop

    course = Course(LANGS, None, Keep(drop_at_most=0.02), steps={20: ("eng_Latn",)})
    course.see(dict.fromkeys(LANGS, 0.8))
    order = {name: torch.from_numpy(array.copy()) for name, array in course.watch.arrays().items()}
    early = SimpleNamespace(state={"watch": course.watch.state()}, tensors={"order": order})
    course.see(dict.fromkeys(LANGS, 0.8))
    marked = course.watch.arrays()["marked"].copy()
    assert np.isfinite(marked).any()
    monkeypatch.setattr(loop, "_weights_of", lambda checkpoint: ())
    job: Any = SimpleNamespace(trainee=SimpleNamespace(restore=lambda *a: None), watch=course.watch)
    store: Any = SimpleNamespace(read=lambda step: early)
    loop._back(job, store, 10)
    np.testing.assert_array_equal(course.watch.arrays()["marked"], marked)
    assert len(course.watch.levels.state()["_pairs"]) == 0  # the levels are those of the checkpoint


@pytest.mark.parametrize("stop", [Stop(on="lang", patience=2), Stop(on="worst", patience=3), None])
def test_what_a_checkpoint_has_is_enough_to_go_on(stop: Stop | None) -> None:
    keep = Keep(drop_at_most=0.02)
    one, two = (Course(LANGS, stop, keep, steps={20: ("eng_Latn",), 60: ("swh_Latn",)}) for _ in range(2))
    rng = np.random.default_rng(1)
    for i in range(10):
        if i == 4:
            state = json.loads(json.dumps(one.watch.state(), allow_nan=False))
            two.watch.restore(state, one.watch.arrays())
            two.step, two.rng = one.step, np.random.default_rng(7)
            one.rng = np.random.default_rng(7)
        shares = {lang: float(rng.uniform(0.3, 0.9)) for lang in LANGS}
        judged = one.see(shares)
        if i >= 4:
            assert judged == two.see(shares)
    assert one.watch.state() == two.watch.state()


def test_one_language_and_one_row() -> None:
    course = Course({"eng_Latn": 1}, Stop(on="lang", patience=1), Keep(drop_at_most=0.0))
    for i in range(6):
        judged = course.see({"eng_Latn": float(i % 2)})
        assert not judged.fallen
        if judged.stop:
            break
    assert i >= 2


def test_dev_sets_of_five_rows_end_by_their_mean() -> None:
    course = Course(dict.fromkeys(LANGS, 5), Stop(on="lang", patience=3))
    for i in range(8):
        assert not course.see(dict.fromkeys(LANGS, 0.2 * (i // 2))).left  # flat in every other evaluation, and rising
    stopped = [course.see(dict.fromkeys(LANGS, 0.6)).stop for _ in range(6)]
    assert not stopped[0] and stopped[-1]
    assert course.watch.untold == tuple(LANGS)
