"""Dropout whose numbers belong to the row: they depend on the seed, the step, the row's place in the global batch and
where in the model they are asked for.

So a row meets the same numbers however rows are dealt to processes and micro-batches, however long its neighbours are,
after a resume, and when a checkpointed block is computed again; there is no generator whose state would have to be kept.
A number is a hash of its position (the finaliser of MurmurHash3, Appleby 2011) under a key of the row: a few vectorised
operations, which on a CPU take a fifth of the time of torch's own dropout.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import nn

from isogloss.nn import packed

ATTENTION = "isogloss_rows"
# Positions along an axis before numbers repeat; three axes of them fill 32 bits up to 64 heads.
AXIS = 8192
TOKENS = -1  # the site of tokens that are not read
# Up to so many tokens in bf16, the backward pass of torch's fused kernel on CPUs takes two to five times as long as that
# of plain products (benchmarks/attention.py).
PLAIN_TOKENS = 192


class Draws:
    """The random numbers of a micro-batch whose rows have `places (B,)` in the global batch of step `step`."""

    def __init__(self, seed: int, step: int, places: Sequence[int], device: torch.device) -> None:
        digest = hashlib.blake2b(repr((seed, step)).encode(), digest_size=8).digest()
        base = np.array([int.from_bytes(digest, "big")], np.uint64)
        self._rows = _mixed(base + np.asarray(places, np.uint64))
        self._shared = _mixed(~base)
        self._device = device
        # How often each site was asked: a head may call one dropout twice.
        self.calls: dict[int, int] = {}

    def kept(self, x: torch.Tensor, p: float, site: int) -> torch.Tensor:
        """Which elements of `x` stay, as booleans that spread over `x`: a share 1 - p of them.

        `x` is (B, D), (B, T, D), (B, h, T, T) or (B * h, T, T) of rows; what has another first axis is shared by all.
        """
        call = self.calls.get(site, 0)
        self.calls[site] = call + 1
        n, packing = len(self._rows), packed.current()
        if packing is not None and x.ndim == 3 and x.shape[0] == 1:
            return self._packed(x, p, site, call, packing)
        by_row = x.ndim >= 2 and x.shape[0] % n == 0 and (x.ndim > 2 or x.shape[0] == n)
        inner = (x.shape[0] // n, *x.shape[1:]) if by_row else tuple(x.shape)
        place = _places(inner, self._device)
        first, second = (
            part.view(-1, *[1] * place.ndim) for part in self._keys(self._rows if by_row else self._shared, site, call)
        )
        return _stays(place, first, second, p).view(x.shape)

    def _packed(self, x: torch.Tensor, p: float, site: int, call: int, packing: packed.Packing) -> torch.Tensor:
        """The same of packed states `(1, N, D)`, or `(1, B, D)` of first tokens: the numbers of their padded places."""
        (B, T), n = packing.shape, len(self._rows)
        if x.shape[1] == len(packing.index):
            rows, places = packing.rows, packing.places
        else:
            rows, T = torch.arange(B, device=x.device), 1
            places = torch.zeros_like(rows)
        each = B // n  # texts of a row
        place = _places((each, T, x.shape[2]), self._device).flatten(0, 1)[rows % each * T + places]
        first, second = (part[rows // each].view(-1, 1) for part in self._keys(self._rows, site, call))
        return _stays(place, first, second, p).view(x.shape)

    def _keys(self, of: np.ndarray, site: int, call: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Two keys of 32 bits for each row."""
        keys = _mixed(of + np.uint64((site % 2**20) * 64 + call % 64 + 1))
        low, high = (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32), (keys >> np.uint64(32)).astype(np.uint32)
        first, second = (torch.from_numpy(part.view(np.int32).copy()).to(self._device) for part in (low, high))
        return first, second


def _stays(place: torch.Tensor, first: torch.Tensor, second: torch.Tensor, p: float) -> torch.Tensor:
    """A hash of places under keys, against the share that is dropped."""
    hashed = place ^ first
    hashed ^= hashed >> 16
    hashed *= -2048144789
    hashed += second
    hashed ^= hashed >> 13
    hashed *= -1028477387
    return hashed >= round(p * 2**32) - 2**31


def _mixed(keys: np.ndarray) -> np.ndarray:
    """Keys of 64 bits, each far from its neighbours (SplitMix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        z = keys + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))


@lru_cache(maxsize=64)
def _places(shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """A number for each element, int32, that does not depend on how far the axes reach: padding changes nothing."""
    place = torch.zeros((1,) * len(shape), dtype=torch.int64, device=device)
    for axis, size in enumerate(shape):
        along = torch.arange(size, device=device).view([-1 if i == axis else 1 for i in range(len(shape))])
        place = place + along * AXIS ** min(len(shape) - 1 - axis, 2)
    place *= 0x9E3779B1
    return ((place + 2**31) % 2**32 - 2**31).to(torch.int32)


_draws: ContextVar[Draws | None] = ContextVar("draws", default=None)


@contextlib.contextmanager
def drawing(draws: Draws | None) -> Iterator[None]:
    """Let the dropouts of the forward inside draw from `draws`."""
    token = _draws.set(draws)
    try:
        yield
    finally:
        _draws.reset(token)


def again() -> tuple[Any, Any]:
    """For `torch.utils.checkpoint`: contexts of a block's forward and of its repetition, which meets the same numbers."""
    from isogloss.nn import first

    draws, asked, packing = _draws.get(), first.asked(), packed.current()
    before = dict(draws.calls) if draws is not None else {}

    @contextlib.contextmanager
    def repeated() -> Iterator[None]:
        if draws is None:
            with first.asking(asked), packed.packing(packing):
                yield
            return
        after, draws.calls = draws.calls, dict(before)
        try:
            with drawing(draws), first.asking(asked), packed.packing(packing):
                yield
        finally:
            draws.calls = after

    return contextlib.nullcontext(), repeated()


class _Scaled(torch.autograd.Function):
    """`x · kept · scale`; of the mask a byte an element is remembered."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, kept: torch.Tensor, scale: float) -> torch.Tensor:
        ctx.save_for_backward(kept)
        ctx.scale = scale
        return x * kept * scale

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (kept,) = ctx.saved_tensors
        return grads[0] * kept * ctx.scale, None, None


def dropped(x: torch.Tensor, p: float, site: int) -> torch.Tensor:
    """`x` with a share `p` of it dropped; outside `drawing`, by torch's own generator."""
    if p <= 0:
        return x
    draws = _draws.get()
    if draws is None:
        return nn.functional.dropout(x, p)
    scaled: torch.Tensor = _Scaled.apply(x, draws.kept(x, p, site), 1 / (1 - p))
    return scaled


def kept_tokens(mask_BT: torch.Tensor, share: float) -> torch.Tensor:
    """An attention mask with that share of the tokens taken out, by row; the first token always stays."""
    stays = dropped(mask_BT.float().unsqueeze(-1), share, TOKENS).squeeze(-1) > 0
    stays[:, 0] = True
    return mask_BT * stays


class RowDropout(nn.Module):
    """In place of nn.Dropout; `dropout_site` tells it from the others of the model."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p, self.dropout_site = p, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return dropped(x, self.p, self.dropout_site) if self.training else x


def by_row(model: nn.Module, net: Any, *, attends: bool = False) -> None:
    """Make every dropout of `model` one by row: modules are exchanged, and attention that drops is told how.

    `attends`: attention is computed here although nothing is dropped in it, as packed texts and bf16 on CPUs need."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, RowDropout(child.p).train(child.training))
    for site, module in enumerate(model.modules()):
        module.dropout_site = site  # type: ignore[assignment]
    if (packed.drops(net.config) or attends) and getattr(net, "_supports_attention_backend", False):
        from transformers import AttentionInterface, AttentionMaskInterface
        from transformers.masking_utils import sdpa_mask

        AttentionInterface.register(ATTENTION, _attention)
        AttentionMaskInterface.register(ATTENTION, sdpa_mask)
        net.set_attn_implementation(ATTENTION)


def attention(net: Any, device: torch.device) -> str:
    """Which kernel computes attention, and why, in a sentence."""
    kind = getattr(net.config, "_attn_implementation", "eager")
    if kind == "eager":
        return f"attention: {type(net).__name__}'s own, which no fused kernel computes"
    if packed.drops(net.config) and kind == ATTENTION:
        return "attention: a plain product in training, because its dropout is drawn by row; torch's fused kernel elsewhere"
    if kind == ATTENTION and device.type == "cpu":
        return (
            f"attention: a plain product in training up to {PLAIN_TOKENS} tokens, which is faster in bf16 on CPUs; torch's "
            "fused kernel elsewhere"
        )
    if kind == ATTENTION:
        return "attention: torch's kernel for texts of unequal length where it has one, its fused kernel elsewhere"
    return f"attention: torch's fused kernel ({kind}); no attention is dropped"


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

    packing = packed.current()
    if packing is not None:
        window = kwargs.get("sliding_window")
        fits = (window is None or packing.shape[1] < window) and not dropout
        if fits and packed.kernel(query.device, query.dtype, query.shape[-1]):
            return packed.attention(query, key, value, packing, scaling), None
        with packed.packing(None):
            q, k, v = (packing.unpack(part.transpose(1, 2)).transpose(1, 2) for part in (query, key, value))
            read, _ = _attention(module, q, k, v, attention_mask, dropout, scaling, **kwargs)
        return (packing.pack(read) if query.shape[2] == len(packing.index) else read.transpose(0, 1)), None
    if not dropout and not _plainly(query):
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout=0.0, scaling=scaling, **kwargs)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = query @ key.transpose(2, 3) * scaling
    if attention_mask is not None:
        scores = (
            scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
            if attention_mask.dtype == torch.bool
            else scores + attention_mask
        )
    site = int(getattr(module, "dropout_site", 0))
    weights = dropped(torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype), dropout, site)
    return (weights @ value).transpose(1, 2).contiguous(), None


def _plainly(query: torch.Tensor) -> bool:
    """Whether plain products are the faster attention here."""
    learns = torch.is_grad_enabled() and query.requires_grad
    return learns and query.device.type == "cpu" and query.dtype == torch.bfloat16 and query.shape[2] <= PLAIN_TOKENS
