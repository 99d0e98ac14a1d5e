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
from isogloss.parts.tasks import multitask
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


@pytest.mark.parametrize(
    "stop", [Stop(on="mean", patience=2), Stop(on="worst", patience=2), Stop(on="lang", patience=1)]
)
@pytest.mark.parametrize("keep", [None, Keep(drop_at_most=0.02)])
def test_no_training_ends_before_its_last_languages_have_come(stop: Stop, keep: Keep | None) -> None:
    """Dev scores stand still, or fall, long before the last step of languages begins at 80."""
    steps = {40: ("eng_Latn",), 80: ("swh_Latn", "tha_Thai"), 160: ("yor_Latn",)}
    course = Course({lang: n for lang, n in LANGS.items() if lang != "yor_Latn"}, stop, keep, steps=steps)
    ended = []
    for i in range(16):
        judged = course.see(
            {"eng_Latn": 0.8 if i % 4 else 0.5, "swh_Latn": 0.5, "tha_Thai": 0.5}, dict.fromkeys(LANGS, 1.0)
        )
        ended += [course.step] if judged.stop else []
    assert ended and ended[0] > 80
    if stop.on != "lang":
        assert ended[0] >= 80 + 10 * stop.patience


# -- several tasks on one trunk ---------------------------------------------------------------------------------


class Tasks:
    """As Course, of cells: so many rows of a language in a task, each task with two labels of its own."""

    LABELS = ("tone/a", "tone/b", "topic/a", "topic/b")

    def __init__(self, n: dict[str, int], stop: Stop | None = None, keep: Keep | None = None, **more: Any) -> None:
        self.n = n
        rows = [
            {"id": f"{cell}-{i}", "task": cell.split("/")[0], "lang": cell.split("/")[1], "group": None,
             "label": f"{cell.split('/')[0]}/b"}
            for cell, k in n.items() for i in range(k)
        ]  # fmt: skip
        dev = pl.DataFrame(rows, schema_overrides={"group": pl.String})
        langs = sorted({cell.split("/")[1] for cell in n})
        self.watch = Supervisor(dev, langs, self.LABELS, "accuracy", accuracy, multitask.answers, stop, keep, **more)
        self.watch.levels.n_evaluations = 20
        self.tasks, self.step, self.rng = dev["task"].to_list(), 0, np.random.default_rng(0)

    def see(self, shares: dict[str, float]) -> Judged:
        self.step += 10
        right = np.array([i < shares[cell] * k for cell, k in self.n.items() for i in range(k)])
        right ^= self.rng.random(len(right)) < 0.02
        probs = np.zeros((len(right), 4))
        for i, (task, yes) in enumerate(zip(self.tasks, right.tolist(), strict=True)):
            # what a row answers in the other task, most surely, must not be seen
            own, other = (0, 2) if task == "tone" else (2, 0)
            probs[i, own + yes], probs[i, other + 1 - yes] = 0.2, 0.8
        return self.watch.judge(self.step, probs, None, range(0, self.step, 10), None)


CELLS = {
    "topic/eng_Latn": 2000,
    "topic/swh_Latn": 2000,
    "topic/tha_Thai": 2000,
    "tone/eng_Latn": 400,
    "tone/swh_Latn": 400,
}


def test_each_task_is_measured_by_itself_and_weighs_the_same() -> None:
    course = Tasks(CELLS)
    judged = course.see({**dict.fromkeys(CELLS, 0.9), "tone/eng_Latn": 0.3, "tone/swh_Latn": 0.5})
    assert judged.by_task.keys() == {"topic", "tone"}
    assert judged.by_task["tone"].keys() == {"eng_Latn", "swh_Latn"}
    assert judged.by_task["tone"]["eng_Latn"] == pytest.approx(0.3, abs=0.05)
    assert judged.by_lang["eng_Latn"] == pytest.approx(0.6, abs=0.03)
    assert judged.by_lang["tha_Thai"] == pytest.approx(0.9, abs=0.03)
    # pooled rows would give 0.8, the mean over languages 0.73
    assert judged.mean == pytest.approx((0.9 + 0.4) / 2, abs=0.03)
    assert judged.worst == pytest.approx((0.9 + 0.3) / 2, abs=0.05)


def test_the_better_checkpoint_is_that_of_the_mean_over_tasks() -> None:
    course = Tasks(CELLS)
    course.see(dict.fromkeys(CELLS, 0.8))
    # a small task rises more than a large one falls: of pooled rows, this would be worse
    judged = course.see({cell: 0.95 if cell.startswith("tone") else 0.75 for cell in CELLS})
    assert judged.better and course.watch.best_step == 20


@pytest.mark.parametrize("cell", ["tone/swh_Latn", "topic/swh_Latn"])
def test_a_language_falls_that_falls_in_any_task(cell: str) -> None:
    course = Tasks(CELLS, None, Keep(drop_at_most=0.02, langs=["swh_Latn"], then="mix"))
    for _ in range(3):
        assert not course.see(dict.fromkeys(CELLS, 0.8)).fallen
    other = "topic/swh_Latn" if cell.startswith("tone") else "tone/swh_Latn"
    # its mean over tasks hardly changes
    judged = course.see({**dict.fromkeys(CELLS, 0.8), cell: 0.6, other: 0.97, "topic/eng_Latn": 0.4})
    assert [fall.lang for fall in judged.fallen] == [cell]
    assert judged.back in (10, 20, 30)
    assert course.watch.lean == {"swh_Latn": 2.0}
    assert judged.fallen[0].sentence("accuracy", 0.02).startswith(f"{cell}: accuracy fell from 0.7")


def test_a_language_leaves_when_it_rises_in_no_task() -> None:
    course = Tasks(dict.fromkeys(CELLS, 1000), Stop(on="lang", patience=2))
    left: dict[str, int] = {}
    for i in range(24):
        rising = min(0.95, 0.2 + 0.08 * i)
        judged = course.see({**dict.fromkeys(CELLS, 0.8), "tone/swh_Latn": rising, "topic/tha_Thai": rising})
        left |= dict.fromkeys(judged.left, i)
        if judged.stop:
            break
    assert judged.stop and left["eng_Latn"] < 9 <= min(left["swh_Latn"], left["tha_Thai"])
    assert set(course.watch.out) == {"eng_Latn", "swh_Latn", "tha_Thai"}


def test_what_cannot_be_told_is_named_by_task_and_steps_are_compared_by_task() -> None:
    steps = {30: ("eng_Latn",), 60: ("swh_Latn", "tha_Thai")}
    course = Tasks({**CELLS, "tone/swh_Latn": 5}, None, None, steps=steps)
    assert course.watch.untold == ("tone/swh_Latn",)
    for i in range(6):
        judged = course.see({**dict.fromkeys(CELLS, 0.8), "tone/eng_Latn": 0.8 if i < 4 else 0.3})
    assert {row["lang"]: row["verdict"] for row in judged.retained} == {
        "tone/eng_Latn": "lost", "topic/eng_Latn": "retained",
    }  # fmt: skip


def test_a_checkpoint_of_several_tasks_is_enough_to_go_on() -> None:
    one, two = (Tasks(CELLS, Stop(on="lang", patience=2), Keep(drop_at_most=0.02)) for _ in range(2))
    rng = np.random.default_rng(1)
    for i in range(8):
        if i == 4:
            two.watch.restore(json.loads(json.dumps(one.watch.state(), allow_nan=False)), one.watch.arrays())
            two.step, two.rng, one.rng = one.step, np.random.default_rng(7), np.random.default_rng(7)
        shares = {cell: float(rng.uniform(0.3, 0.9)) for cell in CELLS}
        judged = one.see(shares)
        if i >= 4:
            assert judged == two.see(shares)
    assert one.watch.state() == two.watch.state()
