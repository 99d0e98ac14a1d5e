"""Batches without padding: the same answers, gradients and steps, with dropout, checkpointing and kept states; less is
computed."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny
from isogloss.core.errors import InputError
from isogloss.nn import packed
from isogloss.nn.batches import padded, token_ids
from isogloss.nn.dropout import Draws, by_row, drawing
from isogloss.parts.families import encoder
from nn.test_optimizers import learned, trainee

TEXTS = [row["text"] for row in tiny.sentences(2)]


def batch_of(model: Any) -> dict[str, torch.Tensor]:
    batch = padded(model, token_ids(model, TEXTS, 64)[0])
    assert not batch["attention_mask"].all()
    return batch


def unpadded(model: Any) -> Any:
    """A copy whose dropouts are those by row, and which leaves padding out."""
    twin = copy.deepcopy(model)
    for one, packs in ((model, False), (twin, True)):
        by_row(one, one.net, attends=packs)
    packed.blocks(encoder.blocks(twin))
    twin.packs = True
    return twin


def answered(model: Any, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model.zero_grad()
    with drawing(Draws(1, 2, range(len(TEXTS)), torch.device("cpu"))):
        out = model(**inputs)
    out = out if model.pooling else out.logits
    (out * torch.arange(1, out.shape[1] + 1)).square().sum().backward()
    return out.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def same(model: Any, twin: Any, inputs: dict[str, torch.Tensor]) -> None:
    (plain, slopes), (own, own_slopes) = answered(model, inputs), answered(twin, inputs)
    torch.testing.assert_close(own, plain, rtol=1e-5, atol=1e-6)
    assert slopes.keys() == own_slopes.keys()
    for name, slope in slopes.items():
        scale = float(slope.abs().max())
        torch.testing.assert_close(own_slopes[name], slope, rtol=1e-4, atol=1e-5 * max(1, scale), msg=name)


@pytest.mark.parametrize("drops", [False, True], ids=["still", "dropout"])
@pytest.mark.parametrize("kind", packed.KINDS)
def test_answers_and_gradients_are_the_same(kind: str, drops: bool, tmp_path: Path) -> None:
    model = tiny.load(kind, tmp_path)
    twin = unpadded(model)
    if drops:
        model.train()
        twin.train()
    widths = []
    encoder.blocks(twin)[1].register_forward_pre_hook(lambda module, args: widths.append(args[0].shape[:2]))
    inputs = batch_of(model)
    same(model, twin, inputs)
    assert widths == [(1, int(inputs["attention_mask"].sum()))]


def reference(
    q: Any, k: Any, v: Any, ends_q: Any, ends_k: Any, most_q: int, most_k: int, *, scale: float | None
) -> Any:
    """What torch's kernel for texts of unequal length computes, text by text: `(Q, H, d)`."""
    assert ends_q.dtype == ends_k.dtype == torch.int32
    assert most_q >= int(ends_q.diff().max()) and most_k >= int(ends_k.diff().max())
    assert int(ends_q[-1]) == len(q) and int(ends_k[-1]) == len(k) == len(v)
    read = []
    for i in range(len(ends_q) - 1):
        one = q[ends_q[i] : ends_q[i + 1]].transpose(0, 1)
        others = (part[ends_k[i] : ends_k[i + 1]].transpose(0, 1) for part in (k, v))
        read.append(torch.nn.functional.scaled_dot_product_attention(one, *others, scale=scale).transpose(0, 1))
    return torch.cat(read)


@pytest.mark.parametrize("kind", packed.KINDS)
def test_a_kernel_for_unequal_lengths_is_given_what_it_needs(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel itself is for CUDA alone; where texts are longer than a local window it is not asked."""
    calls: list[int] = []

    def kernel(*args: Any, **kwargs: Any) -> Any:
        calls.append(len(args[0]))
        return reference(*args, **kwargs)

    monkeypatch.setattr(packed, "kernel", lambda *args: True)
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", kernel)
    model = tiny.load(kind, tmp_path, dropout=0.0)
    twin = unpadded(model)
    inputs = batch_of(model)
    same(model.train(), twin.train(), inputs)
    n_tokens, n_blocks = int(inputs["attention_mask"].sum()), len(encoder.blocks(model))
    whole = {"modernbert": 1}.get(kind, n_blocks - 1)  # one in three of its blocks looks at everything
    firsts = 0 if kind == "modernbert" else 1
    assert calls == [n_tokens] * whole + [len(TEXTS)] * firsts


def test_vectors_are_the_same(tmp_path: Path) -> None:
    model = tiny.load("xlm-roberta", tmp_path, embeds=True, labels=())
    same(model.train(), unpadded(model).train(), batch_of(model))


def test_what_enters_a_block_from_outside_is_packed_there(tmp_path: Path) -> None:
    model = tiny.load("bert", tmp_path)
    twin, inputs = unpadded(model), batch_of(model)
    for k in range(len(encoder.blocks(model)) + 1):
        states = encoder.states_at(model, k, inputs).detach()
        torch.testing.assert_close(encoder.states_at(twin, k, inputs).detach(), states)
        if k < len(encoder.blocks(model)):
            got, want = (encoder.from_states(one, k, states, inputs).logits for one in (twin, model))
            torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)


def test_tokens_that_are_taken_out_inside_a_text_are_padded_as_ever(tmp_path: Path) -> None:
    model = tiny.load("xlm-roberta", tmp_path)
    inputs = batch_of(model)
    inputs["attention_mask"][:, 2] = 0
    assert packed.of(inputs["attention_mask"]) is None
    assert packed.of(torch.ones(2, 3)) is None
    same(model, unpadded(model), inputs)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("kind", ["xlm-roberta", "modernbert"])
def test_steps_are_the_same(kind: str, checkpointing: bool, tmp_path: Path) -> None:
    plain, weights = learned(*trainee(tmp_path, kind, dropout=0.2, optimizer="sgd"), lr=0.05)
    new, rows = trainee(tmp_path, kind, dropout=0.2, optimizer="sgd", padding_free=True, checkpointing=checkpointing)
    said = new.unpad([row["ids"] for row in rows])
    assert said is not None and said.startswith("no padding")
    got, own = learned(new, rows, lr=0.05)
    assert got == pytest.approx(plain, rel=1e-4)
    for name, value in weights.items():
        torch.testing.assert_close(own[name], value, atol=1e-5, rtol=1e-4)


def test_the_trial_moves_nothing(tmp_path: Path) -> None:
    new, rows = trainee(tmp_path, "xlm-roberta", optimizer="sgd", in_backward=True, padding_free=True)
    new.update.begin(0.5)
    before = {name: value.clone() for name, value in new.weights().items()}
    assert new.unpad([row["ids"] for row in rows]) is not None
    assert all(torch.equal(before[name], value) for name, value in new.weights().items())


def test_on_a_machine_where_it_differs_or_fails_padding_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong, words in ((lambda q, *rest, **more: q * 7, "answers differ"), (_no_kernel, "no kernel image")):
        monkeypatch.setattr(packed, "kernel", lambda *args: True)
        monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", wrong)
        new, rows = trainee(tmp_path, "xlm-roberta", dropout=0.0, padding_free=True)
        said = new.unpad([row["ids"] for row in rows])
        assert said is not None and said.startswith("padding stays") and words in said
        assert not new.model.packs
        assert all(p.grad is None for p in new.model.parameters())
        learned(new, rows, lr=0.01, n=1)


def _no_kernel(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("CUDA error: no kernel image is available")


def test_whom_it_is_for() -> None:
    cpu = torch.device("cpu")

    class Net:
        config = tiny.config("deberta-v2")
        _supports_attention_backend = False

    assert not packed.wanted(Net, cpu, torch.bfloat16, None)
    with pytest.raises(InputError, match=r"train\.padding_free: a deberta-v2 cannot"):
        packed.wanted(Net, cpu, torch.bfloat16, True)


def test_a_run_is_the_same_and_says_so(tmp_path: Path) -> None:
    model = {"use": "encoder", "name": str(tiny.folder("xlm-roberta"))}
    found, tokens = {}, {}
    for name, asked in (("padded", False), ("packed", True)):
        train = {"steps": 12, "batch": 12, "lr": 1e-2, "dropout": 0.1, "precision": "fp32", "padding_free": asked}
        run, said = tiny.train(tiny.recipe(tmp_path, name=name, train=train, model=model), tmp_path)
        assert any("no padding goes through the blocks" in line for line in said) == asked
        found[name] = [event["loss"] for event in tiny.events(run, "step")]
        tokens[name] = json.loads((run.folder / "compute.json").read_text())
    np.testing.assert_allclose(found["packed"], found["padded"], atol=1e-4)
    for name, spent in tokens.items():
        assert (spent["n_padded_tokens"] == spent["n_tokens"]) == (name == "packed")
