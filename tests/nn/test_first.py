"""The last block for the first token alone: the same answers, the same gradients, less work."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from isogloss.nn import first
from isogloss.nn.batches import padded, token_ids
from isogloss.nn.dropout import Draws, by_row, drawing
from isogloss.parts.families import encoder

TEXTS = [row["text"] for row in tiny.sentences(2)]


def batch_of(model: Any) -> dict[str, torch.Tensor]:
    return padded(model, token_ids(model, TEXTS, 64)[0])


def answered(model: Any, whole: bool, *, drops: bool) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    batch = batch_of(model)
    model.zero_grad()
    with drawing(Draws(1, 2, range(len(TEXTS)), torch.device("cpu")) if drops else None):
        if whole:
            with first.whole():
                out = model(**batch).logits
        else:
            out = model(**batch).logits
    out.square().sum().backward()
    return out.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("drops", [False, True], ids=["still", "dropout"])
@pytest.mark.parametrize("kind", first.KINDS)
def test_answers_and_gradients_are_the_same(kind: str, drops: bool, tmp_path: Path) -> None:
    model = tiny.load(kind, tmp_path)
    if drops:
        by_row(model, model.net)
        model.train()
    (plain, slopes), (own, own_slopes) = answered(model, True, drops=drops), answered(model, False, drops=drops)
    torch.testing.assert_close(own, plain, rtol=1e-5, atol=1e-6)
    assert slopes.keys() == own_slopes.keys()
    for name, slope in slopes.items():
        torch.testing.assert_close(own_slopes[name], slope, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("kind", first.KINDS)
def test_it_does_less(kind: str, tmp_path: Path) -> None:
    model = tiny.load(kind, tmp_path)
    shapes = []
    encoder.blocks(model)[-1].register_forward_hook(lambda module, args, out: shapes.append(out.shape[1]))
    batch = batch_of(model)
    model(**batch)
    with first.whole():
        model(**batch)
    assert shapes == [1, batch["input_ids"].shape[1]]


@pytest.mark.parametrize("kind", [kind for kind in encoder.ARCHITECTURES if kind not in first.KINDS])
def test_other_architectures_stay_as_they_are(kind: str, tmp_path: Path) -> None:
    assert not isinstance(encoder.blocks(tiny.load(kind, tmp_path))[-1], first._First)


def test_states_above_the_last_block_are_of_all_tokens(tmp_path: Path) -> None:
    model = tiny.load("bert", tmp_path)
    batch = batch_of(model)
    with torch.no_grad():
        assert encoder.states_at(model, 3, batch).shape[:2] == batch["input_ids"].shape


def test_a_copy_answers_for_itself(tmp_path: Path) -> None:
    model = tiny.load("xlm-roberta", tmp_path)
    other = copy.deepcopy(model)
    batch = batch_of(model)
    with torch.no_grad():
        before = other(**batch).logits
        for p in encoder.blocks(model)[-1].parameters():
            p.zero_()
        assert torch.equal(other(**batch).logits, before)
