"""Mixes, gates and several tasks in real trainings: what leaves draws no rows, a kill changes nothing, numbers are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import isogloss
import tiny
from isogloss.core import files, recipe
from isogloss.core.engine import Local
from isogloss.core.errors import DataError, RecipeError
from isogloss.core.run import Run
from isogloss.core.say import Say
from isogloss.nn.trainee import Trainee

SLOW: list[dict[str, Any]] = [
    {"use": "unimax", "epochs": 3.0},
    {"use": "cooldown"},
    {"use": "worst_first"},
    {"use": "replay", "old": ["eng"]},
]
MIXES: list[Any] = [
    {"use": "curriculum", "by": "loss"},
    {"use": "sequential", "steps": 2},
    *(pytest.param(mix, marks=pytest.mark.slow) for mix in SLOW),
]


class Killed(BaseException):
    """In place of a kill, inside one process."""


def imbalanced() -> list[dict[str, str]]:
    """Twelve English train rows of each label, four Swahili ones, and one Thai row in all."""
    kept, n = [], dict.fromkeys(("swh_Latn", "tha_Thai"), 0)
    for row in tiny.sentences(12):
        if row["split"] == "train" and row["lang"] in n:
            n[row["lang"]] += 1
            if n[row["lang"]] > (12 if row["lang"] == "swh_Latn" else 1):
                continue
        kept.append(row)
    return kept


@pytest.mark.parametrize("mix", MIXES, ids=lambda mix: mix["use"])
def test_a_mix_trains_and_a_kill_changes_nothing(
    mix: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = {"mix": mix, "steps": 20, "eval_every": 4}
    whole, heard = tiny.train(tiny.recipe(tmp_path, "whole", imbalanced(), train=train), tmp_path)
    done = tiny.events(whole, "evaluation")[-1]
    if mix["use"] == "unimax":
        assert max(done["seen"]["epochs"].values()) <= 5  # the caps of all suffice for less than the run
    if mix["use"] == "sequential":
        assert any("the step with" in line for line in heard)
        assert tiny.events(whole, "retained")
    calls, step = 0, Trainee.step

    def dying(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 11:
            raise Killed
        return step(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Trainee, "step", dying)
        with pytest.raises(Killed):
            tiny.train(tiny.recipe(tmp_path, "cut", train=train), tmp_path)
    cut, heard = tiny.train(tiny.recipe(tmp_path, "cut", train=train), tmp_path)
    assert any("resuming at step" in line for line in heard)
    one, two = tiny.weights(whole), tiny.weights(cut)
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def shares(run: Any) -> dict[int, dict[str, float]]:
    """By step of each evaluation: rows seen so far."""
    return {e["step"]: e["seen"]["rows"] for e in tiny.events(run, "evaluation")}


def answering(monkeypatch: pytest.MonkeyPatch, right: Any) -> None:
    """Let the model give what `right(number of the evaluation, language of each row)` says: which rows are right."""
    calls = 0

    def answer(self: Any, encoded: Any) -> np.ndarray:
        nonlocal calls
        calls += 1
        gold = np.array([row["target"] for row in encoded])
        good = right(calls, len(gold))
        return np.eye(3)[np.where(good, gold, (gold + 1) % 3)] * 0.8 + 0.2 / 3

    monkeypatch.setattr(Trainee, "answer", answer)


def test_a_language_that_has_converged_draws_no_compute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dev rows stand in the order of their languages: the first third is English, which is right from the beginning."""
    answering(monkeypatch, lambda call, n: (np.arange(n) < n // 3) | (np.arange(n) % 12 < call))
    train = {"steps": 120, "eval_every": 4, "stop": {"on": "lang", "patience": 2}}
    made = tiny.recipe(tmp_path, rows=tiny.sentences(60), train=train)
    run, heard = tiny.train(made, tmp_path)
    left = {lang: e["step"] for e in tiny.events(run, "left") for lang in e["langs"]}
    assert set(left) == set(tiny.WORDS)
    assert left["eng_Latn"] < min(left["swh_Latn"], left["tha_Thai"])
    seen = shares(run)
    after = [rows["eng_Latn"] for step, rows in seen.items() if step >= left["eng_Latn"]]
    assert len(after) > 1 and len(set(after)) == 1
    assert seen[max(seen)]["swh_Latn"] > after[0]
    assert tiny.events(run, "done")[0]["ended"] == "stop"
    assert tiny.events(run, "done")[0]["left"] == left
    assert any("eng_Latn leaves the mix" in line for line in heard)


def test_after_a_rollback_the_language_that_fell_comes_more_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, lambda call, n: (np.arange(n) >= n // 3) | (call != 3))
    train = {"steps": 24, "eval_every": 4, "keep": {"drop_at_most": 0.02, "then": "mix"}}
    run, heard = tiny.train(tiny.recipe(tmp_path, rows=tiny.sentences(80), train=train), tmp_path)
    evaluations = {e["step"]: e for e in tiny.events(run, "evaluation")}
    assert "eng_Latn" in evaluations[12]["fallen"][0]
    assert evaluations[12]["back"] in (4, 8)
    assert evaluations[12]["lean"] == {"eng_Latn": 2.0}
    assert evaluations[12]["rate"] == 1.0
    seen = shares(run)
    then = {lang: seen[24][lang] - seen[12][lang] for lang in tiny.WORDS}
    assert then["eng_Latn"] / sum(then.values()) == pytest.approx(0.5, abs=0.12)
    assert any("with eng_Latn 2 times as often" in line for line in heard)
    assert "eng_Latn fell" in evaluations[12]["note"]


def test_a_budget_that_ends_in_the_middle_of_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock says that the seconds are over while languages are being added: the best checkpoint is the model."""
    from isogloss.core.budget import Budget

    step, n = Trainee.step, 0

    def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal n
        n += kwargs["lr"] > 1e-4  # a step that is measured and undone has less
        return step(self, *args, **kwargs)

    left = Budget.left
    monkeypatch.setattr(Trainee, "step", counting)
    monkeypatch.setattr(Budget, "left", property(lambda self: left.fget(self) if n < 40 else 0.0))
    train = {"steps": 400, "eval_every": 10, "mix": {"use": "sequential", "steps": 3}, "keep": {"drop_at_most": 0.02},
             "stop": {"on": "lang", "patience": 50}, "calibrate": "bias"}  # fmt: skip
    made = tiny.recipe(tmp_path, rows=imbalanced(), budget={"seconds": 600}, train=train)
    run, heard = tiny.train(made, tmp_path)
    done = tiny.events(run, "done")[0]
    assert done["ended"] == "budget"
    assert done["best_step"] <= done["steps"] < 400
    assert any("seconds of the budget are used up" in line for line in heard)
    assert len(isogloss.load(run.folder).predict(["bread soup"], "eng")) == 1


def test_mixes_that_need_the_loop_are_refused_with_the_recipe(tmp_path: Path) -> None:
    base = {"name": "x", "model": {"use": "ngram"}, "data": {"raw": [str(tmp_path)]}}
    for mix in ({"use": "worst_first"}, {"use": "sequential"}, {"use": "curriculum", "by": "loss"}):
        with pytest.raises(RecipeError, match="ngram"):
            recipe.build({**base, "train": {"mix": mix}}, folder=tmp_path)
    with pytest.raises(RecipeError, match="multitask"):
        recipe.build({**base, "train": {"mix": {"use": "multitask"}}}, folder=tmp_path)
    for mix in (
        {"use": "unimax", "epoch": 3},
        {"use": "replay"},
        {"use": "replay", "old": ["nolang"]},
        {"use": "unimx"},
    ):
        with pytest.raises(RecipeError):
            recipe.build({**base, "train": {"mix": mix}}, folder=tmp_path)


def test_languages_that_training_ends_before_are_named(tmp_path: Path) -> None:
    """A run of one step, where the mix adds languages in three."""
    train = {"steps": 1, "eval_every": 1, "mix": {"use": "sequential"}, "keep": {"drop_at_most": 0.0},
             "stop": {"on": "lang", "patience": 1}}  # fmt: skip
    _, heard = tiny.train(tiny.recipe(tmp_path, train=train), tmp_path)
    assert any("before any row of swh_Latn, tha_Thai was learned from" in line for line in heard)


def test_every_row_that_a_mix_can_draw_weighs_for_a_family_that_fits_itself() -> None:
    """Of many languages a large one has few rows in a run: those that ten runs would leave out count like the others."""
    from isogloss.core import parts
    from isogloss.core.recipe import Bound
    from isogloss.stages.train import mix_weights

    langs = ["eng_Latn"] * 3000 + [f"x{i:02}_Latn" for i in range(60) for _ in range(2)]
    rows = pl.DataFrame({"id": [str(i) for i in range(len(langs))], "lang": langs, "label": "a", "text": "a"})
    for name, knobs in (("temperature", {"tau": 0.0}), ("unimax", {"epochs": 1e6}), ("natural", {}), ("parallel", {})):
        part = parts.load("mixes", name)
        weight = mix_weights(Bound(part, part.bind(knobs)), rows, 0)
        own = weight[:3000]
        assert own.min() > 0 and weight.mean() == pytest.approx(1.0), name
        assert own.max() - own.min() < (1e-9 if name != "parallel" else 0.5), name
        if knobs:
            assert own.sum() == pytest.approx(weight.sum() / 61), name


# -- several tasks on one trunk ---------------------------------------------------------------------------------

TONE = {"good": "fine sweet bright", "bad": "sour dark broken"}


def test_a_loss_of_the_loop_is_refused_for_a_family_that_fits_itself(tmp_path: Path) -> None:
    value = tiny.recipe(tmp_path).model_dump(mode="json", exclude_unset=True)
    for key in ("focal", "smoothing"):
        asked = {**value, "model": {"use": "ngram"}, "train": {}, "task": {"use": "classify", key: 0.5}}
        with pytest.raises(RecipeError, match="fits itself"):
            recipe.build(asked, folder=tmp_path)


def test_a_run_of_fewer_steps_than_stages_marks_every_language(tmp_path: Path) -> None:
    made = tiny.recipe(tmp_path, train={"steps": 2, "mix": {"use": "sequential", "steps": 3}})
    run, heard = tiny.train(made, tmp_path)
    said = " ".join(line for line in heard if "the step with" in line)
    assert all(lang in said for lang in run.require("train")["facts"]["trained_on"])


def two_tasks(n: int = 12) -> list[dict[str, str]]:
    """The topics of the tiny corpus, and in two of its languages also a tone, told by words of its own."""
    rng = np.random.default_rng(0)
    rows = [{**row, "task": "topic"} for row in tiny.sentences(n)]
    for lang in ("eng_Latn", "swh_Latn"):
        for tone, words in TONE.items():
            for i in range(2 * n):
                split = "train" if i < n else "dev" if i < n + n // 2 else "test"
                text = " ".join(rng.choice(words.split(), 3))
                rows.append({"id": f"{lang}-{tone}-{i}", "text": text, "label": tone, "lang": lang, "split": split,
                             "task": "tone"})  # fmt: skip
    return rows


def multitask(at: Path, rows: list[dict[str, str]] | None = None, **train: Any) -> Any:
    train = {"steps": 40, "eval_every": 20, "mix": {"use": "multitask"}, **train}
    task = {"use": "multitask", "tasks": ["topic", "tone"]}
    return tiny.recipe(at, rows=rows if rows is not None else two_tasks(), task=task, train=train)


def test_two_tasks_are_trained_scored_and_asked_apart(tmp_path: Path) -> None:
    from isogloss.stages.evaluate import evaluate
    from isogloss.stages.report import write_report

    made = multitask(tmp_path, calibrate="temperature")
    run, _ = tiny.train(made, tmp_path)
    with run.locked():
        evaluate(made, run, Local(1), Say())
        write_report(made, run)
    answers = files.read_parquet(run.path("predictions", "model.parquet"))
    assert (answers["pred"].str.split("/").list.first() == answers["task"]).all()
    sums = answers.select(pl.col("probs").list.sum())["probs"]
    assert (sums - 1).abs().max() < 1e-6
    scores = files.read_parquet(run.path("scores.parquet")).filter(pl.col("system") == "model", pl.col("by") == "lang")
    topic, tone = (
        dict(scores.filter(pl.col("metric") == f"macro_f1@{task}").select("key", "n").rows())
        for task in ("topic", "tone")
    )
    n_test = answers.filter(pl.col("split") == "test").group_by("task", "lang").len()
    want = {(task, lang): n for task, lang, n in n_test.rows()}
    assert topic == {lang: want["topic", lang] for lang in tiny.WORDS}
    assert {lang: n for lang, n in tone.items() if n} == {lang: want["tone", lang] for lang in ("eng_Latn", "swh_Latn")}
    last = tiny.events(run, "evaluation")[-1]
    assert set(last["by_task"]["topic"]) == set(tiny.WORDS) and set(last["by_task"]["tone"]) == {"eng_Latn", "swh_Latn"}
    each = [sum(own.values()) / len(own) for own in last["by_task"].values()]
    assert last["mean"] == pytest.approx(sum(each) / 2)
    text = run.path("REPORT.md").read_text(encoding="utf-8")
    assert "### macro_f1@topic" in text and "### macro_f1@tone" in text

    model = isogloss.load(run.folder)
    assert model.predict(["sour broken"], "eng", task="tone")[0] in ("tone/good", "tone/bad")
    assert model.predict(["bread soup"], "eng", task="topic")[0].startswith("topic/")
    with pytest.raises(DataError, match="topic, tone"):
        model.predict(["bread"], "eng")
    with pytest.raises(DataError, match="topic, tone"):
        model.predict(["bread"], "eng", task="topics")


def test_a_task_without_dev_rows_is_said_and_the_others_choose(tmp_path: Path) -> None:
    rows = [{**row, "split": "test" if row["task"] == "tone" and row["split"] == "dev" else row["split"]}
            for row in two_tasks(6)]  # fmt: skip
    run, heard = tiny.train(multitask(tmp_path, rows, steps=4, eval_every=2, keep={"drop_at_most": 0.02}), tmp_path)
    assert {tuple(event["by_task"]) for event in tiny.events(run, "evaluation")} == {("topic",)}
    assert any("no dev rows of the task tone: the others alone choose" in note for note in heard)


def test_a_task_without_rows_and_rows_without_task(tmp_path: Path) -> None:
    rows = two_tasks(6)
    odd = [
        {**rows[0], "id": "odd", "task": "other"},
        {k: v for k, v in {**rows[1], "id": "none"}.items() if k != "task"},
    ]
    made = multitask(tmp_path, [*rows, *odd], steps=2)
    run = Run(tmp_path / "runs" / made.name)
    from isogloss.stages.prepare import prepare

    with run.locked():
        prepare(made, run, Local(1), Say())
    aside = pl.concat(files.read_parquet(p) for p in run.path("dropped").glob("*.parquet"))["reason"].to_list()
    assert sorted(reason.split("'")[0].strip() for reason in aside) == ["no task", "unknown task"]
    (tmp_path / "only").mkdir()
    with pytest.raises(DataError, match="the task 'tone' has no train rows"):
        tiny.train(multitask(tmp_path / "only", [row for row in rows if row["task"] == "topic"]), tmp_path / "only")
