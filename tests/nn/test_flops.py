"""Operations are counted like the formula says, and scaled by tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from isogloss.nn import states
from isogloss.nn.batches import padded, token_ids
from isogloss.nn.flops import Operations
from isogloss.parts.families import encoder


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_a_step_of_an_encoder(dropout: float, tmp_path: Path) -> None:
    """6 for each weight of a product and token, and 12 T D for each token and block of attention (the fused kernel: 14)."""
    from transformers import AutoModelForSequenceClassification

    config = tiny.config("bert", hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout)
    net = AutoModelForSequenceClassification.from_config(config).train()
    ids = torch.randint(5, 99, (8, 40))
    work = Operations()
    with work.during():
        net(input_ids=ids).logits.sum().backward()
    work.of(ids.numel())
    width, inner, n = config.hidden_size, config.intermediate_size, ids.numel()
    blocks = config.num_hidden_layers * (4 * width**2 + 2 * width * inner) * 6 * n
    attention = config.num_hidden_layers * 12 * n * ids.shape[1] * width
    assert work.total == pytest.approx(blocks + attention, rel=0.1)
    with work.during():
        pass  # not counted: as many a token as before
    work.of(3 * n)
    assert work.total == pytest.approx(4 * (blocks + attention), rel=0.1)


def test_what_is_computed_inside_is_counted_once(tmp_path: Path) -> None:
    model: Any = tiny.load("bert", tmp_path)
    for p in model.parameters():
        p.requires_grad_(False)
    model.below = states.Below(encoder, 2, None)
    batch = padded(model, token_ids(model, ["bread soup", "train bus car"], 64)[0])
    outer = Operations()
    with outer.during(), torch.no_grad():
        model(**batch)
    outer.of(batch["input_ids"].numel())
    below = model.below.operations.total
    model.below = None
    whole = Operations()
    with whole.during(), torch.no_grad():
        model(**batch)
    whole.of(batch["input_ids"].numel())
    assert below > 0
    assert outer.total + below == pytest.approx(whole.total, rel=1e-6)
