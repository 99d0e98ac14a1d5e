"""Answers of a model: rows batched by length, padded as little as can be, and given back in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from isogloss.nn.batches import padded

if TYPE_CHECKING:
    from isogloss.nn.model import TextModel

# Tokens of one batch, padding included: enough for the products to be computed well.
TOKENS = 2048


def outputs(model: TextModel, ids: Sequence[Sequence[int] | np.ndarray]) -> np.ndarray:
    """Logits `(N, C)` or vectors `(N, D)`, float32, of encoded rows, in evaluation mode; the mode is as before afterwards."""
    out = np.zeros((len(ids), model.n_outputs), np.float32)
    modes = {module: module.training for module in model.modules()}
    model.eval()
    with torch.inference_mode():
        for at in by_length([len(row) for row in ids]):
            given = model(**padded(model, [ids[i] for i in at]))
            out[at] = (given if model.pooling else given.logits).float().cpu().numpy()
    for module, training in modes.items():
        module.training = training
    return out


def by_length(lengths: Sequence[int], n_tokens: int = TOKENS) -> list[np.ndarray]:
    """Positions in batches of up to `n_tokens` tokens, padding included, longest first."""
    batches, start = [], 0
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    while start < len(order):
        n = max(1, n_tokens // max(1, lengths[order[start]]))
        batches.append(order[start : start + n])
        start += n
    return batches


def probabilities(logits_BC: np.ndarray) -> np.ndarray:
    """Softmax, float64."""
    wide = logits_BC.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True) if len(wide) else 0.0
    odds = np.exp(wide)
    return odds / odds.sum(axis=1, keepdims=True)
