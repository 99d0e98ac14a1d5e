"""Losses of a label: plain, focal and smoothed agree with what they are named after, with and without a mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from isogloss.nn.losses import guessing, labelled


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return torch.randn(9, 5, generator=g) * 3, torch.randint(0, 5, (9,), generator=g)


def test_plain_and_smoothed_are_those_of_torch(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, target = batch
    for smoothing in (0.0, 0.1, 0.9):
        want = cross_entropy(logits, target, reduction="none", label_smoothing=smoothing)
        torch.testing.assert_close(labelled(logits, target, 0.0, smoothing), want)


@pytest.mark.parametrize("focal", [0.5, 2.0])
def test_focal_weighs_by_what_is_missed(focal: float, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, target = batch
    plain = cross_entropy(logits, target, reduction="none")
    missed = 1 - torch.exp(-plain)
    torch.testing.assert_close(labelled(logits, target, focal), missed**focal * plain, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("focal", "smoothing"), [(0.0, 0.0), (0.5, 0.0), (2.0, 0.0), (0.0, 0.1), (2.0, 0.1)])
def test_gradients_are_finite_where_an_answer_is_certain_and_labels_are_masked(focal: float, smoothing: float) -> None:
    logits = torch.tensor([[90.0, -90.0, 5.0], [-90.0, 90.0, 5.0], [0.0, 0.0, 0.0]], requires_grad=True)
    allowed = torch.tensor([[True, True, False]] * 3)
    loss = labelled(logits, torch.tensor([0, 0, 1]), focal, smoothing, allowed)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert logits.grad is not None and torch.isfinite(logits.grad).all()
    assert not logits.grad[:, 2].any()  # what is not allowed learns nothing


def test_a_mask_is_a_head_of_its_own(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, target = batch
    allowed = torch.tensor([[True, True, True, False, False]]).expand(9, 5)
    some = target % 3
    for focal, smoothing in ((0.0, 0.0), (2.0, 0.0), (0.0, 0.2)):
        torch.testing.assert_close(
            labelled(logits, some, focal, smoothing, allowed), labelled(logits[:, :3], some, focal, smoothing)
        )


def test_guessing_is_the_loss_of_the_shares() -> None:
    weights = np.array([1.0, 1.0, 2.0])
    assert guessing(["a", "a", "b"], weights) == pytest.approx(np.log(2))
    assert guessing(["a", "a", "b"], weights, focal=2.0) == pytest.approx(0.25 * np.log(2))
    assert guessing(["a"], np.ones(1)) == pytest.approx(0.0, abs=1e-9)
