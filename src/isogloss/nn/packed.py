"""Texts of a batch one after the other, without padding, through the blocks of an encoder ("padding-free").

Blocks act on `(1, N, D)`, the N tokens of the batch; only attention needs to know where a text ends, and only a kernel
for texts of unequal length spares its padding too. What enters the first block is packed and what leaves the last is
padded again, so embeddings, heads, pooling and tasks see `(B, T, D)` as ever. The numbers of dropouts are those of the
padded batch: a packed step is the same step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import torch
from torch import nn

from isogloss.core.errors import InputError
from isogloss.nn import first

# Encoders whose blocks take states (B, T, D) and hand them on, and tell positions from one another below the blocks or
# by rotations that are handed to each.
KINDS = (*first.KINDS, "modernbert")
# Names under which configurations keep the dropout of attention.
DROPS = ("attention_probs_dropout_prob", "attention_dropout")


def drops(config: Any) -> bool:
    """Whether a configuration drops attention."""
    return any(getattr(config, name, 0) for name in DROPS)


def wanted(net: Any, device: torch.device, half: torch.dtype | None, asked: bool | None) -> bool:
    """Whether a model is to be trained without padding: where that is `asked`, or, unasked, where it can pay.

    `half`: in which products are computed, None for single precision.

    Raises InputError where it is asked of a model whose blocks are not known to bear it.
    """
    knows = net.config.model_type in KINDS and getattr(net, "_supports_attention_backend", False)
    if asked and not knows:
        raise InputError(
            f"train.padding_free: a {net.config.model_type} cannot go without padding; {', '.join(KINDS)} can"
        )
    if asked is not None or not knows or device.type != "cuda":
        return bool(asked)
    size = net.config.hidden_size // net.config.num_attention_heads
    return half is not None and not drops(net.config) and kernel(device, half, size)


class Packing:
    """Where the tokens of a padded batch are: N of them, in B texts of up to T; `mask_BT` begins with ones in each row."""

    def __init__(self, mask_BT: torch.Tensor) -> None:
        self.shape = B, T = (int(mask_BT.shape[0]), int(mask_BT.shape[1]))
        lengths = mask_BT.sum(1)
        self.index = mask_BT.flatten().nonzero().squeeze(1)
        self.rows, self.places = self.index // T, self.index % T
        self.ends = nn.functional.pad(lengths.cumsum(0), (1, 0)).to(torch.int32)  # where texts begin, and the end
        self.ones = torch.arange(B + 1, dtype=torch.int32, device=mask_BT.device)
        self._turned: dict[int, tuple[Any, tuple[torch.Tensor, ...]]] = {}

    def pack(self, padded_BTD: torch.Tensor) -> torch.Tensor:
        """`(1, N, D)` of `(B, T, D)`."""
        return padded_BTD.flatten(0, 1).index_select(0, self.index).unsqueeze(0)

    def turned(self, turns: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """Cosines and sines of each token, of those of each place `(1 or B, T, d)`: the same few serve all blocks."""
        known = self._turned.get(id(turns))
        if known is None:  # the tuple is kept, so that no other gets its id
            known = self._turned[id(turns)] = (turns, tuple(part[:1, self.places] for part in turns))
        return known[1]

    def unpack(self, packed_1ND: torch.Tensor) -> torch.Tensor:
        """`(B, T, D)` of `(1, N, D)`, zeros in the padding; `(B, 1, D)` where there is one token a text, `(1, B, D)`."""
        B, T = self.shape
        if packed_1ND.shape[1] != len(self.index):
            return packed_1ND.transpose(0, 1)
        flat = packed_1ND.new_zeros((B * T, *packed_1ND.shape[2:]))
        return flat.index_copy(0, self.index, packed_1ND[0]).unflatten(0, (B, T))

    def first(self, packed_1ND: torch.Tensor) -> torch.Tensor:
        """`(1, B, D)`: the first token of each text."""
        return packed_1ND.index_select(1, self.ends[:-1])


_packing: ContextVar[Packing | None] = ContextVar("packing", default=None)


def current() -> Packing | None:
    """How the batch that is computed here is packed; None where it is padded."""
    return _packing.get()


@contextlib.contextmanager
def packing(packed: Packing | None) -> Iterator[None]:
    """Within, blocks of a model that packs act on packed states."""
    token = _packing.set(packed)
    try:
        yield
    finally:
        _packing.reset(token)


def of(mask_BT: torch.Tensor) -> Packing | None:
    """How to pack a batch; None where nothing is padded, or where tokens inside a text are not read."""
    if bool(mask_BT.all()) or first.asked() == "whole":
        return None
    return Packing(mask_BT) if unbroken(mask_BT) else None


def unbroken(mask_BT: torch.Tensor) -> bool:
    """Whether each row of a mask is ones and then zeros: no token inside a text was taken out."""
    prefix = torch.arange(mask_BT.shape[1], device=mask_BT.device) < mask_BT.sum(1)[:, None]
    return torch.equal(prefix, mask_BT.bool())


class _Packs:
    """What a block's class gets before it."""

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        packed = _packing.get()
        if packed is None:
            return super().forward(hidden_states, *args, **kwargs)  # type: ignore[misc]
        if hidden_states.shape[:2] == packed.shape:
            hidden_states = packed.pack(hidden_states)
        turns = kwargs.get("position_embeddings")
        if turns is not None:
            kwargs["position_embeddings"] = packed.turned(turns)
        out = super().forward(hidden_states, *args, **kwargs)  # type: ignore[misc]
        if not self.packs_last:  # type: ignore[attr-defined]
            return out
        return (packed.unpack(out[0]), *out[1:]) if isinstance(out, tuple) else packed.unpack(out)


def blocks(found: Sequence[nn.Module]) -> None:
    """Let blocks act on packed states while there are such; classes change and not attributes, as in `nn/first.py`."""
    for i, block in enumerate(found):
        block.__class__ = type(type(block).__name__, (_Packs, type(block)), {})
        block.packs_last = i == len(found) - 1  # type: ignore[assignment]


def kernel(device: torch.device, dtype: torch.dtype, size: int) -> bool:
    """Whether torch has a kernel for texts of unequal length: on CUDA from compute capability 8, in half precision, with
    heads of up to 256 (a multiple of 8)."""
    half = dtype in (torch.float16, torch.bfloat16)
    return (
        device.type == "cuda"
        and half
        and size <= 256
        and size % 8 == 0
        and torch.cuda.get_device_capability(device)[0] >= 8
    )


def attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, packed: Packing, scaling: float | None
) -> torch.Tensor:
    """Attention inside each text, `(1, Q, H, d)`, of `(1, H, Q, d)` queries and `(1, H, N, d)` keys and values; Q is N,
    or B for the first token of each text alone. Nothing is dropped."""
    from torch.nn.attention.varlen import varlen_attn

    ends, longest = packed.ends, packed.shape[1]
    whole = query.shape[2] == len(packed.index)
    q, k, v = (part[0].transpose(0, 1).contiguous() for part in (query, key, value))
    read = varlen_attn(q, k, v, ends if whole else packed.ones, ends, longest if whole else 1, longest, scale=scaling)
    return read.unsqueeze(0)  # type: ignore[union-attr]
