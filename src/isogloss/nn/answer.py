"""Answers of a model: rows batched by length, padded as little as can be, and given back in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from isogloss.nn.batches import padded

if TYPE_CHECKING:
    from isogloss.nn.model import TextModel

# Tokens of one batch, padding included; no gradients are kept, so memory is not what bounds it.
TOKENS = 4096


def logits(model: TextModel, ids: Sequence[Sequence[int]]) -> np.ndarray:
    """Logits `(N, C)` float32 of encoded rows, in evaluation mode; the mode of the model is as before afterwards."""
    out = np.zeros((len(ids), len(model.labels)), np.float32)
    modes = {module: module.training for module in model.modules()}
    model.eval()
    with torch.inference_mode():
        for at in by_length([len(row) for row in ids]):
            out[at] = model(**padded(model, [ids[i] for i in at])).logits.float().cpu().numpy()
    for module, training in modes.items():
        module.training = training
    return out


def by_length(lengths: Sequence[int]) -> list[np.ndarray]:
    """Positions in batches of up to `TOKENS` tokens, longest first."""
    batches, start = [], 0
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    while start < len(order):
        n = max(1, TOKENS // max(1, lengths[order[start]]))
        batches.append(order[start : start + n])
        start += n
    return batches


def probabilities(logits_BC: np.ndarray) -> np.ndarray:
    """Softmax, float64."""
    wide = logits_BC.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True) if len(wide) else 0.0
    odds = np.exp(wide)
    return odds / odds.sum(axis=1, keepdims=True)
