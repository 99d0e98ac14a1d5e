"""A training that collapses is seen early, begins again more slowly, and says so; one that is well is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from isogloss.core.errors import InputError
from isogloss.nn.trainee import Stepped
from isogloss.stages.training.health import RETRIES, Health, Vitals, chance_loss

LANGS = ["eng_Latn", "swh_Latn"]


class Said:
    """Equal to any sentence."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str)


SAID = Said()


def stepped(loss: list[float], units: list[float], norm: float = 1.0) -> Stepped:
    each, n = np.array(loss, float), np.array(units, float)
    return Stepped(each * n, n, n, n * 10, 20.0, norm, False, each)


# -- the signs --------------------------------------------------------------------------------------------------


def examined(losses: list[float], vitals: list[Vitals], chance: float | None = 1.0, n: int = 4) -> list[str | None]:
    """What is said after five steps of `n` units a language at each loss."""
    health = Health(LANGS, chance)
    health.examine(vitals[0])
    out = []
    for loss, now in zip(losses, vitals[1:], strict=True):
        for _ in range(5):
            list(health.stepped(stepped([loss, loss], [n, n])))
        out.append(health.examine(now))
    return out


def test_flat_answers_at_the_loss_of_guessing() -> None:
    same = [Vitals(0.4, None)] * 4
    assert examined([1.0, 1.1, 0.99], same) == [None] * 3  # it has not learned yet: no alarm
    assert examined([0.5], [Vitals(0.4, None), Vitals(0.01, None)]) == [None]  # it learns: no alarm
    (why,) = examined([1.2], [Vitals(0.4, None), Vitals(0.01, None)])
    assert why is not None and "hardly depend on the text" in why and "2% as far apart" in why


def test_translations_lost() -> None:
    (why,) = examined([0.3], [Vitals(0.4, 0.5), Vitals(0.4, 0.01)])
    assert why is not None and "translations no longer lie together" in why
    assert examined([0.3, 0.3], [Vitals(0.4, 0.5), Vitals(0.4, 0.2), Vitals(0.4, 0.5)]) == [None, None]
    assert examined([0.3], [Vitals(0.4, 0.02), Vitals(0.4, 0.0)]) == [None]  # it never had them


def test_a_loss_that_stays_far_above_guessing() -> None:
    same = [Vitals(0.4, None)] * 5
    assert examined([1.9, 1.2, 1.0], same[:4], n=32) == [None] * 3  # one leap is none
    assert examined([1.0, 1.9, 1.9, 1.9], same, n=32) == [None, None, None, SAID]
    assert examined([1.0, 1.9, 1.9, 1.9], same, n=2) == [None] * 4  # twenty rows a look say little
    assert examined([2.0, 2.0, 2.0], same[:4], chance=None, n=32) == [None] * 3  # the first losses stand for guessing


def test_after_a_fall_what_was_seen_is_forgotten() -> None:
    health, same = Health(LANGS, 1.0), Vitals(0.4, None)
    health.examine(same)
    said = []
    for loss in [1.0, 1.9, 1.9, 1.9, 1.9, 1.9, 1.0]:
        for _ in range(5):
            list(health.stepped(stepped([loss, loss], [32, 32])))
        said.append(health.examine(same))
        if said[-1]:
            health.fell()
    assert [bool(why) for why in said] == [False, False, False, True, False, False, False]


@pytest.mark.parametrize("minority", [0.05, 0.1, 0.3])
@pytest.mark.parametrize(("batch", "every"), [(8, 10), (32, 1)])
def test_who_answers_with_the_shares_of_unequal_labels_is_well(minority: float, batch: int, every: int) -> None:
    """Losses of a model that has learned nothing but how often each label is: noisy, and at guessing for ever."""
    rng, alarms = np.random.default_rng(3), 0
    each = -np.log([minority, 1 - minority])
    chance = float(minority * each[0] + (1 - minority) * each[1])
    for _ in range(50):
        health = Health(LANGS, chance)
        health.examine(Vitals(0.4, None))
        for step in range(1, 101):
            losses = np.where(rng.random((2, batch // 2)) < minority, each[0], each[1]).mean(axis=1)
            list(health.stepped(stepped(losses.tolist(), [batch // 2] * 2)))
            alarms += step % every == 0 and health.examine(Vitals(0.4, None)) is not None
    assert alarms == 0


def test_spikes_are_of_a_language() -> None:
    health, rng = Health(LANGS, 1.0), np.random.default_rng(0)
    for _ in range(200):
        assert not list(health.stepped(stepped(list(rng.gamma(20, 0.05, 2)), [8, 8])))
    (spike,) = health.stepped(stepped([9.0, 1.0], [8, 8]))
    assert spike.lang == "eng_Latn" and spike.loss == pytest.approx(9) and 0.8 < spike.mean < 1.2
    assert health.n_spikes == {"eng_Latn": 1}
    assert not list(health.stepped(stepped([float("nan"), 1.0], [8, 8])))
    assert health.n_nonfinite == {"eng_Latn": 1}
    assert not health.leapt(1.0)
    for _ in range(20):
        health.leapt(1.0)
    assert health.leapt(50.0) and not health.leapt(float("inf"))
    other = Health(LANGS, 1.0)
    other.restore(health.state())
    assert other.state() == health.state()


def test_few_alarms_for_spikes_of_chance() -> None:
    """Losses with a heavy tail, one row a step: under one spike in a thousand steps."""
    health, rng = Health(LANGS, 1.0), np.random.default_rng(1)
    n = sum(len(list(health.stepped(stepped(list(rng.exponential(1.0, 2)), [1, 1])))) for _ in range(3000))
    assert n <= 6


def test_the_loss_of_guessing() -> None:
    assert chance_loss(["a", "a", "b", None]) == pytest.approx(-(2 / 3 * np.log(2 / 3) + np.log(1 / 3) / 3))
    assert chance_loss(["a", "a"]) == 0
    assert chance_loss([None]) is None


# -- real runs --------------------------------------------------------------------------------------------------


def run(at: Path, lr: float, seed: int, **train: Any) -> tuple[Any, list[str]]:
    made = tiny.recipe(
        at, name=f"r{seed}-{lr:g}".replace(".", "_"), seed=seed, rows=tiny.sentences(40), model="isogloss/mini",
        train={"lr": lr, "steps": 60, "eval_every": 30, "batch": 16, **train},
    )  # fmt: skip
    return tiny.train(made, at)


def test_a_rate_that_is_far_too_high_begins_again(tmp_path: Path) -> None:
    done, said = run(tmp_path, 0.05, 2)
    falls = tiny.events(done, "collapse")
    assert falls and falls[0]["step"] <= 0.2 * 60
    assert any("begun again at 0.25 of train.lr (try 1 of 3)" in line for line in said)
    last = [e["lr"] for e in tiny.events(done, "step")][-60:]
    assert max(last) == pytest.approx(0.05 * 0.25 ** len(falls))
    assert tiny.events(done, "done")[-1]["collapsed"] == len(falls)
    assert tiny.events(done, "step")[-1]["loss"] < 1.0  # guessing is 1.1: it learned in the end


def test_it_gives_up_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Health,
        "examine",
        lambda self, vitals: None if self.first is None and not setattr(self, "first", vitals) else "it is flat",
    )
    with pytest.raises(InputError, match=rf"training collapsed {RETRIES + 1} times.*it is flat; lower train\.lr"):
        run(tmp_path, 1e-2, 1)


def test_after_a_good_checkpoint_it_goes_back_to_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = Health.examine, []

    def falling(self: Health, vitals: Vitals) -> str | None:
        calls.append(vitals)
        return "it fell" if len(calls) == 8 else original(self, vitals)  # the start, five early looks, step 30, step 60

    monkeypatch.setattr(Health, "examine", falling)
    done, said = run(tmp_path, 1e-3, 3)
    assert any("it fell; back to step 30 at a quarter of the rate" in line for line in said)
    assert tiny.events(done, "done")[0]["collapsed"] == 1
    assert tiny.events(done, "evaluation")[1]["by_lang"] == tiny.events(done, "evaluation")[0]["by_lang"]


@pytest.mark.slow
def test_collapses_are_seen_early_and_healthy_runs_raise_no_alarm(tmp_path: Path) -> None:
    """A few of the runs that benchmarks/collapse.py makes of real text."""
    for seed in range(2):
        done, _ = run(tmp_path, (0.05, 0.1)[seed % 2], seed)
        falls = tiny.events(done, "collapse")
        assert falls and falls[0]["step"] <= 12
    alarms = []
    for seed in range(5):
        lr = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3)[seed]
        done, _ = run(tmp_path, lr, 100 + seed)
        alarms += tiny.events(done, "collapse")
    assert not alarms


# -- numbers that are none --------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_an_overflow_in_one_language_is_named(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fp16: the loss of Thai rows, or only its gradient, is beyond what fp16 holds; the run goes on without those steps."""
    import torch

    from isogloss.parts.tasks import classify

    class Steep(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return grads[0] * 1e38

    encode, loss, step = classify.encode, classify.loss, [0]

    def marked(model: Any, frame: Any, labels: Any, **knobs: Any) -> Any:
        rows = encode(model, frame, labels, **knobs)
        return [{**row, "lang": lang} for row, lang in zip(rows, frame["lang"], strict=True)]

    collate = classify.collate
    monkeypatch.setattr(classify, "encode", marked)
    monkeypatch.setattr(
        classify, "collate", lambda model, rows: {**collate(model, rows), "langs": [row["lang"] for row in rows]}
    )

    def overflowing(model: Any, batch: Any) -> Any:
        loss_B, n_B = loss(model, batch)
        thai = torch.tensor([lang == "tha_Thai" for lang in batch["langs"]])
        step[0] += 1
        if 20 <= step[0] <= 22:
            loss_B = torch.where(thai, loss_B * float("inf") if what == "loss" else Steep.apply(loss_B), loss_B)
        return loss_B, n_B

    monkeypatch.setattr(classify, "loss", overflowing)
    made = tiny.recipe(tmp_path, train={"precision": "fp16", "steps": 40, "eval_every": 20})
    done, said = tiny.train(made, tmp_path)
    named = [line for line in said if "fp16 overflows in" in line]
    assert named and "fp16 overflows in tha_Thai at step" in named[0]
    assert not any("eng_Latn" in line or "swh_Latn" in line for line in named)
    assert set(tiny.events(done, "done")[0]["nonfinite"]) == {"tha_Thai"}
    assert tiny.events(done, "step")[-1]["step"] == 40


def test_half_precision_trains(tmp_path: Path) -> None:
    for precision in ("fp16", "bf16"):
        made = tiny.recipe(tmp_path, name=precision, train={"precision": precision, "steps": 30})
        done, heard = tiny.train(made, tmp_path)
        assert any(precision in line for line in heard)
        losses = [e["loss"] for e in tiny.events(done, "step")]
        assert np.isfinite(losses).all() and losses[-1] < losses[0]
