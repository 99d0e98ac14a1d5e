"""Moving weights in the backward pass, computing blocks again, and every optimizer: the steps that they should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import tiny
from isogloss.core.errors import RecipeError
from isogloss.nn.trainee import Manner, Trainee
from isogloss.nn.world import World
from isogloss.stages.training.setup import model_of

KINDS = ["xlm-roberta", "deberta-v2", "modernbert", "rembert", "distilbert", "electra"]


def trainee(
    tmp_path: Path, kind: str = "xlm-roberta", dropout: float = 0.0, **manner: Any
) -> tuple[Trainee, list[Any]]:
    made = tiny.recipe(tmp_path, model={"use": "encoder", "name": str(tiny.folder(kind))})
    model, rates = model_of(made, tiny.start(tmp_path, dropout=dropout))
    new = Trainee(
        model, made.the_task, made.family.module, rates, [], World("fp32"), langs=["a"], seed=1,
        manner=Manner(**{"weight_decay": 0.01, "clip": 0.0, **manner}),
    )  # fmt: skip
    return new, made.the_task("encode", model, pl.DataFrame(tiny.sentences(4)), tiny.LABELS)


def learned(new: Trainee, rows: list[Any], lr: float, n: int = 4) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Norms of the gradients of a few steps, and the weights behind them."""
    n_rows = 8
    norms = [
        new.step(rows[i : i + n_rows], np.ones(n_rows), np.zeros(n_rows, np.int64), lr=lr, number=i).norm
        for i in range(n)
    ]
    return norms, {name: value.clone() for name, value in new.weights().items()}


@pytest.mark.parametrize(("optimizer", "lr"), [("sgd", 0.05), ("adamw", 1e-3), ("adafactor", 1e-2)])
def test_in_backward_is_the_same_step(optimizer: Any, lr: float, tmp_path: Path) -> None:
    plain, weights = learned(*trainee(tmp_path, optimizer=optimizer), lr=lr)
    new, rows = trainee(tmp_path, optimizer=optimizer, in_backward=True)
    norms, moved = learned(new, rows, lr=lr)
    assert norms == pytest.approx(plain, rel=1e-4)
    before = trainee(tmp_path, optimizer=optimizer)[0].weights()
    for name, value in weights.items():
        torch.testing.assert_close(moved[name], value, atol=2e-6 if optimizer == "sgd" else 2e-4, rtol=1e-4)
    assert any(not torch.equal(before[name], weights[name]) for name in weights)
    assert all(p.grad is None for p in new.model.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_computed_again_give_the_same_gradients(kind: str, tmp_path: Path) -> None:
    """With dropout: what is computed again meets the same numbers."""
    plain, weights = learned(*trainee(tmp_path, kind, dropout=0.2, optimizer="sgd"), lr=0.05)
    again, same = learned(*trainee(tmp_path, kind, dropout=0.2, optimizer="sgd", checkpointing=True), lr=0.05)
    assert again == pytest.approx(plain, rel=1e-5)
    for name, value in weights.items():
        torch.testing.assert_close(same[name], value, atol=1e-5, rtol=1e-5)


def test_less_is_remembered(tmp_path: Path) -> None:
    sizes = {}
    for optimizer in ("adamw", "adafactor", "sgd"):
        new, rows = trainee(tmp_path, optimizer=optimizer)
        learned(new, rows, lr=1e-3, n=1)
        sizes[optimizer] = sum(value.numel() for value in new.memory().values())
    n = sum(p.numel() for p in new.model.parameters())
    assert sizes["adamw"] > 2 * n > n > sizes["adafactor"] > sizes["sgd"] == 0


def test_a_gradient_that_is_no_number_moves_nothing(tmp_path: Path) -> None:
    new, rows = trainee(tmp_path, optimizer="sgd", in_backward=True)
    before = {name: value.clone() for name, value in new.weights().items()}
    done = new.step(rows[:4], np.array([1.0, 1.0, 1.0, np.inf]), np.zeros(4, np.int64), lr=0.1, number=0)
    assert not np.isfinite(done.norm)
    assert all(torch.equal(value, before[name]) for name, value in new.weights().items())


@pytest.mark.parametrize("train", [{"optimizer": "adafactor", "lr": 1e-2}, {"optimizer": "sgd", "lr": 0.1},
                                   {"in_backward": True, "clip": 0.0}, {"checkpointing": True}])  # fmt: skip
def test_a_run_ends_the_same_after_a_kill(
    train: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = tiny.train(tiny.recipe(tmp_path, name="whole", train=train), tmp_path)
    original, calls = Trainee.step, [0]

    class Killed(BaseException):
        pass

    def dying(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == 7:
            raise Killed
        return original(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Trainee, "step", dying)
        with pytest.raises(Killed):
            tiny.train(tiny.recipe(tmp_path, name="killed", train=train), tmp_path)
    killed, said = tiny.train(tiny.recipe(tmp_path, name="killed", train=train), tmp_path)
    assert "train     resuming at step 4 of 12" in said
    losses = [{e["step"]: e["loss"] for e in tiny.events(run, "step")} for run in (whole, killed)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("train", "words"),
    [
        ({"in_backward": True}, "needs clip = 0"),
        ({"in_backward": True, "clip": 0.0, "accumulate": 2}, "needs accumulate = 1"),
        ({"in_backward": True, "clip": 0.0, "precision": "fp16"}, "needs precision = 'bf16' or 'fp32'"),
        ({"optimizer": "adam"}, "did you mean 'adamw'"),
        ({"batch": 64, "batch_tokens": 512}, "are two sizes; give one"),
    ],
)
def test_what_does_not_go_together_is_refused(train: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=words):
        tiny.recipe(tmp_path, train=train)
