"""Dropout whose numbers belong to the row: they depend on the seed, the step and the row's place in the global batch.

So a row meets the same numbers however rows are dealt to processes and micro-batches, however long its neighbours are,
and after a resume; there is no generator whose state would have to be kept.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import torch
from torch import nn

ATTENTION = "isogloss_rows"


class Draws:
    """Random numbers of a micro-batch: `places (B,)` in the global batch, `lengths (B,)` in tokens, `padded` to T."""

    def __init__(
        self, seed: int, step: int, places: Sequence[int], lengths: Sequence[int], padded: int, device: torch.device
    ) -> None:
        def generator(*key: int) -> torch.Generator:
            digest = hashlib.blake2b(repr((seed, step, *key)).encode(), digest_size=8).digest()
            return torch.Generator(device).manual_seed(int.from_bytes(digest, "big") >> 1)

        self.rows = [generator(place) for place in places]
        self.shared = generator()
        self.lengths, self.padded = lengths, padded

    def kept(self, x: torch.Tensor, p: float) -> torch.Tensor:
        """A mask like `x`: 1 / (1 - p) where it is kept, 0 where it is dropped.

        `x` is (B, D), (B, T, D) or (B * h, ..., T, T) of rows; anything else is shared by all rows.
        """
        token_axes = {2: (), 3: (1,), 4: (2, 3)}.get(x.ndim)
        if (
            token_axes is None
            or x.shape[0] % len(self.rows)
            or any(x.shape[a] != self.padded for a in token_axes)
            or (x.ndim == 2 and len(x) != len(self.rows))
        ):
            return torch.empty_like(x).bernoulli_(1 - p, generator=self.shared) / (1 - p)
        mask = torch.zeros_like(x)
        each = x.shape[0] // len(self.rows)
        for i, (generator, length) in enumerate(zip(self.rows, self.lengths, strict=True)):
            region = mask[i * each : (i + 1) * each]
            for axis in token_axes:
                region = region.narrow(axis, 0, length)
            region.copy_(
                torch.empty(region.shape, dtype=x.dtype, device=x.device).bernoulli_(1 - p, generator=generator)
            )
        return mask.div_(1 - p)


_draws: ContextVar[Draws | None] = ContextVar("draws", default=None)


@contextlib.contextmanager
def drawing(draws: Draws) -> Iterator[None]:
    """Let the dropouts of the forward inside draw from `draws`."""
    token = _draws.set(draws)
    try:
        yield
    finally:
        _draws.reset(token)


def dropped(x: torch.Tensor, p: float) -> torch.Tensor:
    """`x` with a share `p` of it dropped; outside `drawing`, by torch's own generator."""
    if p <= 0:
        return x
    draws = _draws.get()
    return nn.functional.dropout(x, p) if draws is None else x * draws.kept(x, p)


def kept_tokens(mask_BT: torch.Tensor, share: float) -> torch.Tensor:
    """An attention mask with that share of the tokens taken out, by row; the first token always stays."""
    stays = dropped(mask_BT.float().unsqueeze(-1), share).squeeze(-1) > 0
    stays[:, 0] = True
    return mask_BT * stays


class RowDropout(nn.Module):
    """In place of nn.Dropout."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return dropped(x, self.p) if self.training else x


def by_row(model: nn.Module, net: Any) -> None:
    """Make every dropout of `model` one by row: modules are exchanged, and attention that drops is told how."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, RowDropout(child.p).train(child.training))
    drops = any(getattr(net.config, name, 0) for name in ("attention_probs_dropout_prob", "attention_dropout"))
    if drops and getattr(net, "_supports_attention_backend", False):
        from transformers import AttentionInterface, AttentionMaskInterface
        from transformers.masking_utils import sdpa_mask

        AttentionInterface.register(ATTENTION, _attention)
        AttentionMaskInterface.register(ATTENTION, sdpa_mask)
        net.set_attn_implementation(ATTENTION)


def _attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention for transformers: torch's kernel where nothing is dropped, else a plain sum with a mask by row."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if not dropout:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout=0.0, scaling=scaling, **kwargs)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = query @ key.transpose(2, 3) * scaling
    if attention_mask is not None:
        scores = (
            scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
            if attention_mask.dtype == torch.bool
            else scores + attention_mask
        )
    weights = dropped(torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype), dropout)
    return (weights @ value).transpose(1, 2).contiguous(), None
