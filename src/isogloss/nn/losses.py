"""Losses of a label that tasks share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch


def labelled(
    logits_BC: torch.Tensor,
    target_B: torch.Tensor,
    focal: float = 0.0,
    smoothing: float = 0.0,
    allowed_BC: torch.Tensor | None = None,
) -> torch.Tensor:
    """Cross-entropy `(B,)` of each row in nats, with focal weighting and label smoothing.

    `allowed_BC`: the labels that a row may have at all; the others take no part, neither in the softmax nor in smoothing.

    >>> logits = torch.tensor([[2.0, 0.0, 9.0]])
    >>> some = torch.tensor([[True, True, False]])
    >>> one, two = labelled(logits, torch.tensor([0]), allowed_BC=some), labelled(logits[:, :2], torch.tensor([0]))
    >>> bool(torch.allclose(one, two))
    True
    """
    if allowed_BC is not None:
        logits_BC = logits_BC.masked_fill(~allowed_BC, -torch.inf)
    logs_BC = torch.log_softmax(logits_BC, dim=-1)
    own_B = logs_BC.gather(1, target_B[:, None]).squeeze(1)
    loss_B = -own_B
    if smoothing:
        there_BC = torch.isfinite(logits_BC) if allowed_BC is None else allowed_BC
        # what is not allowed has the logarithm -inf, and must not meet a zero
        even_B = -(logs_BC.masked_fill(~there_BC, 0.0).sum(-1) / there_BC.sum(-1))
        loss_B = (1 - smoothing) * loss_B + smoothing * even_B
    if focal:
        # -expm1 keeps 1 - p exact near p = 1, where its power has no finite slope for focal < 1
        loss_B = (-torch.expm1(own_B)).clamp_min(1e-6) ** focal * loss_B
    return loss_B


def guessing(labels: Sequence[str], weights: np.ndarray, focal: float = 0.0, smoothing: float = 0.0) -> float:
    """The loss, in nats a row, of who always answers with the weighted shares of these labels."""
    _, code = np.unique(np.array(labels, dtype=object).astype(str), return_inverse=True)
    shares = torch.as_tensor(np.bincount(code, weights=weights) / weights.sum())
    known = shares[shares > 0]
    each = labelled(known.log().expand(len(known), -1), torch.arange(len(known)), focal, smoothing)
    return float((each * known).sum())
