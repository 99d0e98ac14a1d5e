"""The training loop: what it promises about batches, processes, kills, seeds, languages, budgets and checkpoints."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import isogloss
import tiny
from isogloss.core import files
from isogloss.core.answers import labelled
from isogloss.core.errors import BudgetEnded, DataError, InputError, IsoglossError, StaleError
from isogloss.stages.training import loop

SCRIPT = """
import sys, json
from pathlib import Path
sys.path.insert(0, {tests!r})
import tiny, torch
torch.set_num_threads(1)
from isogloss.core.run import Run
from isogloss.core.say import Say
from isogloss.nn import launched
from isogloss.stages.train import follow, train
at = Path({at!r})
made = tiny.recipe(at, **json.loads({sections!r}))
if launched.rank():
    follow(made, Run(at / "runs" / made.name))
else:
    tiny.train(made, at)
"""


def same(a: Any, b: Any) -> None:
    one, two = tiny.weights(a), tiny.weights(b)
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def losses(run: Any) -> dict[int, float]:
    return {e["step"]: e["loss"] for e in tiny.events(run, "step")}


def longest_pause(run: Any) -> float:
    """The longest time between two events: a step or an evaluation may be under way when the seconds end, and how long
    one takes is the machine's affair."""
    times = sorted(e["seconds"] for kind in ("step", "evaluation") for e in tiny.events(run, kind))
    return max(b - a for a, b in itertools.pairwise([0.0, *times]))


def answers(run: Any) -> np.ndarray:
    rows = pl.DataFrame(tiny.sentences(12))
    return isogloss.load(run.folder).probabilities(rows)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    """An undisturbed run: its place, the run, and what it said."""
    at = tmp_path_factory.mktemp("plain")
    run, heard = tiny.train(tiny.recipe(at), at)
    return at, run, heard


# -- what a run leaves and says ---------------------------------------------------------------------------------


def test_a_run_says_what_it_does_and_leaves_what_it_made(plain: Any) -> None:
    _, run, heard = plain
    assert "M trained" in heard[0]  # the memory, before anything
    rows = [line for line in heard if line.startswith("step ")]
    assert len(rows) == 3
    assert all(tag in rows[0] for tag in tiny.WORDS)
    assert "worst" in rows[0] and "lowest" in rows[0]
    evaluations = tiny.events(run, "evaluation")
    assert [e["step"] for e in evaluations] == [4, 8, 12]
    last = evaluations[-1]
    assert set(last["by_lang"]) == set(tiny.WORDS)
    assert 12 * 7 <= sum(last["seen"]["rows"].values()) <= 12 * 8  # 108 rows are 14 batches of 7 or 8
    assert all(n > 0 for n in last["seen"]["tokens"].values())
    assert {e["step"] for e in tiny.events(run, "step")} == set(range(1, 13))
    best = tiny.events(run, "done")[0]["best_step"]
    kept = {int(p.name[5:]) for p in run.path("checkpoints").glob("step-*")}
    assert kept == {8, 12, best}
    card = files.read_json(run.path("model", "isogloss.json"))
    assert card["labels"] == list(tiny.LABELS)
    assert card["best_step"] == best
    assert card["repeatable"] is True


def test_a_second_call_has_nothing_to_do(plain: Any) -> None:
    at, _, _ = plain
    _, heard = tiny.train(tiny.recipe(at), at)
    assert heard == ["train     fresh, nothing to do"]


def test_another_recipe_does_not_go_on_from_old_work(plain: Any, tmp_path: Path) -> None:
    at, _, _ = plain
    with pytest.raises(StaleError, match=r"train\.lr: 0\.01 → 0\.02"):
        tiny.train(tiny.recipe(at, train={"lr": 0.02}), at)
    # and neither from unfinished work
    made = tiny.recipe(tmp_path)
    run, _ = tiny.train(made, tmp_path)
    run.unstamp("train")
    with pytest.raises(StaleError, match=r"train\.lr"):
        tiny.train(tiny.recipe(tmp_path, train={"lr": 0.02}), tmp_path)
    _, heard = tiny.train(tiny.recipe(tmp_path, train={"lr": 0.02}), tmp_path, again=True)
    assert not any("resuming" in line for line in heard)


def test_equal_seeds_give_equal_weights_and_others_do_not(plain: Any, tmp_path: Path) -> None:
    _, run, _ = plain
    same(run, tiny.train(tiny.recipe(tmp_path), tmp_path)[0])
    other, _ = tiny.train(tiny.recipe(tmp_path, name="other", seed=18), tmp_path)
    assert any((a != b).any() for a, b in zip(tiny.weights(run).values(), tiny.weights(other).values(), strict=True))


def test_it_learns(tmp_path: Path) -> None:
    run, _ = tiny.train(tiny.recipe(tmp_path, train={"steps": 120, "eval_every": 40}), tmp_path)
    assert min(tiny.events(run, "evaluation")[-1]["by_lang"].values()) > 0.7
    model = isogloss.load(run.folder)
    assert model.predict(["bread soup rice", "train bus"], lang="eng_Latn") == ["food", "road"]


# -- batches and processes change nothing but rounding ----------------------------------------------------------


@pytest.mark.parametrize("accumulate", [2, 3, 8, 20])
def test_accumulation_changes_nothing_but_rounding(accumulate: int, plain: Any, tmp_path: Path) -> None:
    """With dropout on: its numbers belong to the row. 20 micro-batches of 8 rows: some are empty."""
    _, run, _ = plain
    other, _ = tiny.train(tiny.recipe(tmp_path, train={"accumulate": accumulate}), tmp_path)
    assert losses(other) == {step: pytest.approx(loss, abs=1e-5) for step, loss in losses(run).items()}
    np.testing.assert_allclose(answers(other), answers(run), atol=1e-3)


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "deberta-v2", "modernbert", "distilbert", "electra"])
def test_accumulation_on_every_architecture(kind: str, tmp_path: Path) -> None:
    """Attention drops too, padding differs, classes and languages weigh unequally."""
    runs = []
    for name, accumulate in (("one", 1), ("many", 3)):
        train = {"accumulate": accumulate, "steps": 4, "dropout": 0.2, "weights": "by_lang", "lr": 1e-3}
        made = tiny.recipe(tmp_path, name=name, train=train, model={"use": "encoder", "name": str(tiny.folder(kind))})
        runs.append(tiny.train(made, tmp_path)[0])
    assert losses(runs[1]) == {step: pytest.approx(loss, abs=1e-5) for step, loss in losses(runs[0]).items()}
    np.testing.assert_allclose(answers(runs[1]), answers(runs[0]), atol=1e-4)


def test_two_processes_change_nothing_but_rounding(plain: Any, tmp_path: Path) -> None:
    """Real processes with gloo; 7 rows a step, so that they have unequal shares and one sometimes none."""
    sections = {"train": {"batch": 7, "accumulate": 2}}
    one, _ = tiny.train(tiny.recipe(tmp_path, name="one", **sections), tmp_path)
    made = {**sections, "name": "two"}
    script = tmp_path / "go.py"
    script.write_text(SCRIPT.format(tests=str(Path(tiny.__file__).parent), at=str(tmp_path), sections=json.dumps(made)))
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        "29533",
        str(script),
    ]
    done = subprocess.run(
        launch, capture_output=True, text=True, timeout=250, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    two = type(one)(tmp_path / "runs" / "two")
    assert losses(two) == {step: pytest.approx(loss, abs=1e-5) for step, loss in losses(one).items()}
    np.testing.assert_allclose(answers(two), answers(one), atol=1e-3)
    assert (answers(two).argmax(1) == answers(one).argmax(1)).mean() >= 0.995


def test_weights_and_clipping_are_those_of_the_whole_step(tmp_path: Path) -> None:
    """The gradient of a step is that of one plain weighted mean over its rows."""
    import torch

    from isogloss.nn.trainee import Manner, Trainee
    from isogloss.nn.world import World
    from isogloss.stages.training.setup import model_of

    made = tiny.recipe(tmp_path, train={"dropout": 0.0})
    model, rates = model_of(made, tiny.start(tmp_path, dropout=0.0))
    new = Trainee(model, made.the_task, made.family.module, rates, [], World("fp32"), langs=["a", "b"], seed=1,
                  manner=Manner(accumulate=3, weight_decay=0.0, clip=1e9))  # fmt: skip
    rows = made.the_task("encode", model, pl.DataFrame(tiny.sentences(3)), tiny.LABELS)[:10]
    weights = np.linspace(0.2, 3, 10)
    loss_B, _ = made.the_task("loss", model, made.the_task("collate", model, rows))
    plain_mean = (loss_B * torch.tensor(weights, dtype=torch.float32)).sum() / weights.sum()
    want = torch.autograd.grad(plain_mean, list(model.parameters()))
    norm = float(torch.stack([g.norm() for g in want]).norm())
    done = new.step(rows, weights, np.array([0] * 4 + [1] * 6), lr=0.0, number=0)
    assert done.norm == pytest.approx(norm, rel=1e-4)
    assert done.rows.tolist() == [4, 6]
    assert done.units.tolist() == [4, 6]
    assert done.loss.sum() == pytest.approx(float(loss_B.detach().sum()), rel=1e-5)
    assert done.tokens.sum() == sum(len(row["ids"]) for row in rows)


# -- kills and damage -------------------------------------------------------------------------------------------


class Killed(BaseException):
    """In place of a kill, inside one process."""


@pytest.mark.parametrize("moment", ["training", "evaluation", "saving", "writing the model"])
def test_stopped_anywhere_it_goes_on_to_the_same_end(
    moment: str, plain: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from isogloss.nn.checkpoints import Checkpoints
    from isogloss.nn.trainee import Trainee
    from isogloss.parts.families import encoder

    _, run, _ = plain
    calls = 0

    def dying(original: Any, at: int) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == at:
                raise Killed
            return original(*args, **kwargs)

        return call

    owner, name, at = {
        "training": (Trainee, "step", 7), "evaluation": (Trainee, "answer", 2),
        "saving": (Checkpoints, "save", 3), "writing the model": (encoder, "write", 1),
    }[moment]  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dying(getattr(owner, name), at))
        with pytest.raises(Killed):
            tiny.train(tiny.recipe(tmp_path), tmp_path)
    other, heard = tiny.train(tiny.recipe(tmp_path), tmp_path)
    step = {"training": 4, "evaluation": 4, "saving": 8, "writing the model": 12}[moment]
    assert f"train     resuming at step {step} of 12" in heard
    same(run, other)
    scores = {e["step"]: e["by_lang"] for e in tiny.events(other, "evaluation")}
    assert scores == {e["step"]: e["by_lang"] for e in tiny.events(run, "evaluation")}


def _kill_often(at: Path, n: int, rng: np.random.Generator, longest: float, **train: Any) -> tuple[Any, int]:
    """Start the same command up to `n` times and kill it at random, then let it end; the run, and how often it died."""
    sections = json.dumps({"train": train})
    script = at / "go.py"
    script.write_text(SCRIPT.format(tests=str(Path(tiny.__file__).parent), at=str(at), sections=sections))
    log = at / "runs" / "tiny" / "steps.jsonl"
    quiet: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True}
    n_killed = 0
    while n_killed < n:
        going = subprocess.Popen([sys.executable, str(script)], **quiet)
        # importing takes most of the time: wait until the run is at work, then kill at random
        size, until = log.stat().st_size if log.is_file() else 0, time.monotonic() + 60
        while going.poll() is None and time.monotonic() < until:
            if (log.stat().st_size if log.is_file() else 0) > size:
                break
            time.sleep(0.002)
        time.sleep(rng.uniform(0, longest))
        ended = going.poll() is not None
        going.kill()
        going.communicate()
        if ended:
            break
        n_killed += 1
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    from isogloss.core.run import Run

    return Run(at / "runs" / "tiny"), n_killed


def _undisturbed(tmp_path: Path, **train: Any) -> Any:
    """The same command in a process of its own, never killed: threads and libraries are as in the killed ones."""
    at = tmp_path / "whole"
    at.mkdir()
    return _kill_often(at, 0, np.random.default_rng(0), longest=0, **train)[0]


def test_kill_9_twice(tmp_path: Path) -> None:
    whole = _undisturbed(tmp_path)
    run, n_killed = _kill_often(tmp_path, 2, np.random.default_rng(1), longest=0.2)
    same(whole, run)
    assert n_killed


@pytest.mark.slow
def test_kill_9_ten_times(tmp_path: Path) -> None:
    """At random moments of training, evaluating and saving; the ends are those of an undisturbed run."""
    rng = np.random.default_rng(2)
    train = {"steps": 80, "eval_every": 2, "stop": {"on": "mean", "patience": 50}}
    whole = _undisturbed(tmp_path, **train)
    want = {e["step"]: e["by_lang"] for e in tiny.events(whole, "evaluation")}
    n_killed = 0
    for i in range(8):
        at = tmp_path / str(i)
        at.mkdir()
        run, n = _kill_often(at, 10 - n_killed, rng, longest=0.6, **train)
        same(whole, run)
        assert {e["step"]: e["by_lang"] for e in tiny.events(run, "evaluation")} == want
        n_killed += n
        if n_killed >= 10:
            return
    pytest.fail(f"only {n_killed} kills met a run at work")


@pytest.mark.parametrize("damage", ["cut", "flipped", "missing", "state"])
def test_a_damaged_checkpoint_is_recognised_and_the_one_before_is_used(damage: str, plain: Any, tmp_path: Path) -> None:
    _, run, _ = plain
    made = tiny.recipe(tmp_path)
    other, _ = tiny.train(made, tmp_path)
    other.unstamp("train")
    newest = other.path("checkpoints", "step-00000012")
    file = newest / ("state.json" if damage == "state" else "optimizer.safetensors")
    whole = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        middle = len(whole) // 2
        file.write_bytes(
            whole[:middle]
            if damage in ("cut", "state")
            else whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        )
    again, heard = tiny.train(made, tmp_path)
    assert any("the checkpoint of step 12 cannot be used" in line for line in heard)
    assert "train     resuming at step 8 of 12" in heard
    same(run, again)


def test_all_checkpoints_are_damaged(plain: Any, tmp_path: Path) -> None:
    made = tiny.recipe(tmp_path)
    run, _ = tiny.train(made, tmp_path)
    run.unstamp("train")
    for folder in run.path("checkpoints").glob("step-*"):
        (folder / "weights.safetensors").write_bytes(b"")
    _, heard = tiny.train(made, tmp_path)
    assert not any("resuming" in line for line in heard)
    same(plain[1], run)


# -- languages --------------------------------------------------------------------------------------------------


def test_target_languages_reach_neither_training_nor_selection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny.recipe(tmp_path, train={"langs": ["eng_Latn", "tha_Thai"], "stop": {"on": "worst"}})
    run, _ = tiny.train(made, tmp_path)
    for event in tiny.events(run, "evaluation"):
        assert set(event["by_lang"]) == {"eng_Latn", "tha_Thai"} == set(event["seen"]["rows"])
    assert files.read_json(run.path("model", "isogloss.json"))["trained_on"] == ["eng_Latn", "tha_Thai"]
    # whoever brings one in by mistake meets an error, not a wrong score
    every = pl.DataFrame(tiny.sentences(4)).with_columns(group=pl.lit(None, pl.String))
    with pytest.raises(IsoglossError, match=r"swh_Latn.*reached model selection"):
        loop.Supervisor(every, ["eng_Latn", "tha_Thai"], tiny.LABELS, "accuracy", None, labelled, None, None, 1)
    monkeypatch.setattr("isogloss.stages.train.pl.Expr.is_in", lambda self, other: pl.lit(True))
    with pytest.raises(IsoglossError, match=r"swh_Latn reached training"):
        tiny.train(made, tmp_path, again=True)


def test_odd_languages(tmp_path: Path) -> None:
    """A language with one row, one without dev rows, one without a class; a label that only test has; a long text."""
    rows = tiny.sentences(8)
    rows = [r for r in rows if not (r["lang"] == "swh_Latn" and (r["split"] != "test" or r["label"] == "food"))]
    rows.append({"id": "one", "text": "mkate", "label": "food", "lang": "swh_Latn", "split": "train"})
    rows = [r for r in rows if not (r["lang"] == "tha_Thai" and r["label"] == "sky" and r["split"] == "train")]
    rows.append({"id": "new", "text": "bread", "label": "unheard", "lang": "eng_Latn", "split": "test"})
    rows.append({"id": "long", "text": "ฝน " * 3000, "label": "sky", "lang": "tha_Thai", "split": "train"})
    train = {
        "weights": "by_lang",
        "mix": {"use": "temperature", "tau": 0.0},
        "stop": {"on": "worst"},
        "keep": {"drop_at_most": 0.05},
    }
    made = tiny.recipe(tmp_path, rows=rows, task={"use": "classify", "max_length": 16}, train=train)
    run, heard = tiny.train(made, tmp_path)
    last = tiny.events(run, "evaluation")[-1]
    assert set(last["by_lang"]) == {"eng_Latn", "tha_Thai"}  # Swahili has no dev rows: no score, rather than a zero
    assert last["seen"]["rows"]["swh_Latn"] == last["seen"]["epochs"]["swh_Latn"] > 20
    assert any("swh_Latn -" in line for line in heard)
    assert any("longer than the model reads were cut: tha_Thai" in line for line in heard)
    assert tiny.events(run, "cut")[0]["shares"]["tha_Thai"] > 0
    from isogloss.core.engine import Local
    from isogloss.core.say import Say
    from isogloss.stages.evaluate import evaluate

    scores = evaluate(made, run, Local(), Say())
    accuracy = scores.filter(pl.col("metric") == "accuracy", pl.col("system") == "model", pl.col("key") == "eng_Latn")
    assert accuracy["n"].item() == 13  # the unheard label is counted, as an error


def test_without_dev_the_last_step_is_the_best(tmp_path: Path) -> None:
    rows = [row for row in tiny.sentences(8) if row["split"] != "dev"]
    run, heard = tiny.train(tiny.recipe(tmp_path, rows=rows), tmp_path)
    assert any("no dev rows" in line for line in heard)
    assert files.read_json(run.path("model", "isogloss.json"))["best_step"] == 12
    with pytest.raises(DataError, match=r"train\.stop and train\.keep need dev rows"):
        tiny.train(tiny.recipe(tmp_path, name="b", train={"stop": {"on": "mean"}}), tmp_path)


def test_one_language(tmp_path: Path) -> None:
    run, _ = tiny.train(tiny.recipe(tmp_path, rows=tiny.sentences(8, ("swh_Latn",))), tmp_path)
    assert isogloss.load(run.folder).predict(["mkate supu"])


# -- length: steps, epochs, seconds -----------------------------------------------------------------------------


def test_epochs_are_rows(tmp_path: Path) -> None:
    made = tiny.recipe(tmp_path, train={"steps": None, "epochs": 1.5, "batch": 9})
    run, _ = tiny.train(made, tmp_path)
    assert files.read_json(run.path("train.json"))["steps"] == 18  # 1.5 * 108 / 9


def test_seconds_become_steps_once_and_the_run_equals_one_of_those_steps(tmp_path: Path) -> None:
    made = tiny.recipe(tmp_path, budget={"seconds": 8}, train={"steps": None, "eval_every": None})
    run, heard = tiny.train(made, tmp_path)
    assert tiny.events(run, "done")[0]["seconds"] < 8 * 1.02 + 2 * longest_pause(run)
    plan = files.read_json(run.path("train.json"))
    assert any(f"{plan['steps']:,} steps" in line for line in heard)
    done = tiny.events(run, "done")[0]
    if done["ended"] == "":  # else the machine was slowed by others, and the run says so
        train = {"steps": plan["steps"], "eval_every": plan["eval_every"]}
        same(run, tiny.train(tiny.recipe(tmp_path, name="steps", train=train), tmp_path)[0])
    else:
        assert any("cannot be repeated" in line for line in heard)


def test_the_ceiling_cuts_when_the_machine_slows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from isogloss.nn.trainee import Trainee

    original = Trainee.step

    def slower(self: Any, *args: Any, number: int, **kwargs: Any) -> Any:
        time.sleep(0.2 if number > 12 else 0)
        return original(self, *args, number=number, **kwargs)

    monkeypatch.setattr(Trainee, "step", slower)
    made = tiny.recipe(tmp_path, budget={"seconds": 8}, train={"steps": None, "eval_every": None})
    run, heard = tiny.train(made, tmp_path)
    done = tiny.events(run, "done")[0]
    assert done["ended"] == "budget"
    assert not done["repeatable"]
    assert done["seconds"] < 8 * 1.02 + 2 * longest_pause(run)
    assert any("cannot be repeated" in line for line in heard)
    assert tiny.events(run, "evaluation")[-1]["step"] == done["steps"]


def test_a_budget_without_room_for_one_checkpoint(tmp_path: Path) -> None:
    made = tiny.recipe(tmp_path, budget={"seconds": 0.01}, train={"steps": None})
    with pytest.raises(BudgetEnded, match=r"one step with an evaluation takes") as caught:
        tiny.train(made, tmp_path)
    assert caught.value.exit_code == 3
    # nothing was begun, so the advice can be followed: more seconds are no other training
    more = tiny.recipe(tmp_path, budget={"seconds": 30}, train={"steps": 4, "eval_every": 4})
    run, _ = tiny.train(more, tmp_path)
    assert tiny.events(run, "done")[0]["steps"] == 4


# -- supervision ------------------------------------------------------------------------------------------------


def test_it_stops_when_nothing_rises(tmp_path: Path) -> None:
    train = {"steps": 400, "eval_every": 10, "stop": {"on": "mean", "patience": 2}}
    run, heard = tiny.train(tiny.recipe(tmp_path, train=train), tmp_path)
    done = tiny.events(run, "done")[0]
    assert done["ended"] == "stop"
    assert done["steps"] == done["best_step"] + 20
    assert any("training ended at step" in line for line in heard)


def test_a_language_that_falls_is_rolled_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At step 8 the answers in one language turn wrong: back to the best checkpoint, and on at half the rate."""
    from isogloss.nn.trainee import Trainee

    rows = tiny.sentences(80)
    original = Trainee.answer
    calls = 0

    def worse(self: Any, encoded: Any) -> np.ndarray:
        nonlocal calls
        calls += 1
        right = np.array([row["target"] for row in encoded])
        probs = np.eye(3)[right] * 0.8 + 0.1
        if calls == 2:
            third = len(probs) // 3
            probs[:third] = np.roll(probs[:third], 1, axis=1)
        return probs

    monkeypatch.setattr(Trainee, "answer", worse)
    train = {"steps": 16, "keep": {"drop_at_most": 0.02}}
    run, heard = tiny.train(tiny.recipe(tmp_path, rows=rows, train=train), tmp_path)
    evaluations = {e["step"]: e for e in tiny.events(run, "evaluation")}
    assert evaluations[8]["fallen"]
    assert "eng_Latn" in evaluations[8]["fallen"][0]
    assert [evaluations[s]["rate"] for s in (4, 8, 12, 16)] == [1.0, 0.5, 0.5, 0.5]
    assert any("back to step 4 and on at 0.5 of train.lr: eng_Latn" in line for line in heard)
    one, two = (loop.Checkpoints(run.path("checkpoints"), "").path(s) for s in (4, 16))
    assert one.is_dir() and two.is_dir()
    del original


def test_noise_rolls_nothing_back() -> None:
    """No true change: answers flip at random, 5 % each way, in 61 languages of 99 rows."""
    rng = np.random.default_rng(0)
    n_langs, n = 61, 99
    langs = [f"l{i:02}" for i in range(n_langs)]
    dev = pl.DataFrame({
        "id": [f"{lang}-{i}" for lang in langs for i in range(n)], "lang": [lang for lang in langs for _ in range(n)],
        "group": pl.Series([None] * (n_langs * n), dtype=pl.String), "label": rng.choice(["a", "b"], n_langs * n),
    })  # fmt: skip
    from isogloss.core.recipe import Keep
    from isogloss.parts.metrics import accuracy

    gold = (dev["label"] == "b").to_numpy().astype(int)
    right = rng.random(len(gold)) < 0.7
    watch = loop.Supervisor(dev, langs, ["a", "b"], "accuracy", accuracy, labelled, None, Keep(drop_at_most=0.02))
    fallen = 0
    for step in range(1, 11):
        now = np.where(rng.random(len(gold)) < 0.05, ~right, right)
        probs = np.eye(2)[np.where(now, gold, 1 - gold)]
        fallen += bool(watch.judge(step, probs).fallen)
    assert fallen <= 1


# -- mixes, penalties, divergence -------------------------------------------------------------------------------


def test_a_mix_of_ones_own_sees_what_was_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their").mkdir()
    (tmp_path / "their" / "mix.py").write_text(
        '''"""The language with the worst dev score, and nothing else."""
import numpy as np
def order(rows, rng, seen, *, n: int = 16):
    dev = seen["dev"]
    worst = min(dev, key=dev.get) if dev else rows["lang"][0]
    return rng.permutation(np.flatnonzero(rows["lang"].to_numpy() == worst))[:n]
''',
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    run, _ = tiny.train(tiny.recipe(tmp_path, train={"mix": "their.mix"}), tmp_path)
    evaluations = tiny.events(run, "evaluation")
    assert sum(n > 0 for n in evaluations[0]["seen"]["rows"].values()) == 1
    worst = min(evaluations[0]["by_lang"], key=evaluations[0]["by_lang"].get)
    more = {lang: n - evaluations[0]["seen"]["rows"][lang] for lang, n in evaluations[1]["seen"]["rows"].items()}
    assert more == {lang: (32 if lang == worst else 0) for lang in tiny.WORDS}


def test_a_mix_that_gives_no_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "mix.py").write_text(
        '"""Bad."""\nimport numpy as np\ndef order(rows, rng, seen):\n    return np.array([10 ** 9])\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"the mix 'bad\.mix' must give positions 0\.\.107"):
        tiny.train(tiny.recipe(tmp_path, train={"mix": "bad.mix"}), tmp_path)


def test_a_training_that_diverges_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from isogloss.parts.tasks import classify

    original = classify.loss

    def infinite(model: Any, batch: Any) -> Any:
        loss_B, n_B = original(model, batch)
        return loss_B * float("inf"), n_B

    monkeypatch.setattr(classify, "loss", infinite)
    with pytest.raises(
        InputError, match=r"training diverged at step 1: the loss of .*eng_Latn.* is not a number; lower train\.lr"
    ):
        tiny.train(tiny.recipe(tmp_path), tmp_path)


# -- export -----------------------------------------------------------------------------------------------------


def test_an_export_is_read_by_transformers_and_by_us(plain: Any, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from isogloss.core.errors import PlaceError
    from isogloss.stages.export import export

    _, run, _ = plain
    out = export(run.folder, tmp_path / "out")
    texts = ["bread soup", "train bus"]
    want = isogloss.load(run.folder).predict(texts, lang="eng_Latn")
    assert isogloss.load(out).predict(texts, lang="eng_Latn") == want
    net, tokenizer = AutoModelForSequenceClassification.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    logits = net(**tokenizer(texts, return_tensors="pt", padding=True)).logits
    assert [net.config.id2label[i] for i in logits.argmax(-1).tolist()] == want
    with pytest.raises(PlaceError, match="not empty"):
        export(run.folder, out)
    with pytest.raises(InputError, match="is no transformers model"):
        made = tiny.recipe(tmp_path, name="floor")
        from isogloss.core import recipe as recipes

        value = {"name": "floor", "model": "ngram", "data": {"raw": [str(tmp_path / "rows.jsonl")]}}
        made = recipes.build(value, folder=tmp_path)
        export(tiny.train(made, tmp_path)[0].folder, tmp_path / "no")


# -- before training --------------------------------------------------------------------------------------------


def test_the_untuned_model_is_a_baseline_where_it_has_these_labels(plain: Any, tmp_path: Path) -> None:
    """A model that was trained before, here with its labels in another order, trained on from its export."""
    from isogloss.core.engine import Local
    from isogloss.core.say import Say
    from isogloss.stages.evaluate import evaluate, systems
    from isogloss.stages.export import export

    _, run, _ = plain
    export(run.folder, tmp_path / "before")
    labels = {"use": "classify", "labels": ["sky", "road", "food"]}
    made = tiny.recipe(tmp_path, model={"use": "encoder", "name": "before"}, task=labels)
    assert "untuned" in systems(made)
    new, _ = tiny.train(made, tmp_path)
    evaluate(made, new, Local(), Say())
    found = files.read_parquet(new.path("predictions", "untuned.parquet")).filter(pl.col("split") == "test").sort("id")
    rows = pl.DataFrame([row for row in tiny.sentences(12) if row["split"] == "test"]).sort("id")
    assert found["pred"].to_list() == isogloss.load(run.folder).answer(rows)["pred"].to_list()
    scratch = tiny.recipe(tmp_path, name="scratch")
    assert "untuned" not in systems(scratch)
    masked = tiny.recipe(tmp_path, name="masked", model={"use": "encoder", "name": str(tiny.folder("bert"))})
    assert "untuned" not in systems(masked)
