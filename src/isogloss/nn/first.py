"""The last block, computed for the first token alone, where nothing above it reads another.

A head that classifies by `[CLS]` or `<s>` needs of the last block one state a text: keys and values of every token, but
one query, and one token in its feed-forward part, which is most of a block's work. What comes out is the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import torch
from torch import nn

# Encoders whose blocks are those of BERT, and whose heads read the first token.
KINDS = ("bert", "roberta", "camembert", "xlm-roberta", "electra")

# What the last block gives: "first" of the token that a head reads, "whole" of all; unsaid is whole.
_asked: ContextVar[str] = ContextVar("asked", default="")


@contextlib.contextmanager
def asking(what: str) -> Iterator[None]:
    """Within, last blocks give "first" or "whole"; who asked for "whole" outside is not overruled."""
    token = _asked.set("whole" if _asked.get() == "whole" else what)
    try:
        yield
    finally:
        _asked.reset(token)


def asked() -> str:
    """What is asked for here; a block that is computed again must be asked for the same."""
    return _asked.get()


class _First:
    """What a block's class gets before it."""

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        from isogloss.nn import packed

        own = self.attention.self  # type: ignore[attr-defined]
        kernel = own.config._attn_implementation
        if _asked.get() != "first" or kernel == "eager":
            return super().forward(hidden_states, attention_mask, *args, **kwargs)  # type: ignore[misc]
        packing = packed.current()
        first_B1D = hidden_states[:, :1] if packing is None else packing.first(hidden_states)  # or (1, B, D)
        query, key, value = (
            part.view(*part.shape[:2], -1, own.attention_head_size).transpose(1, 2)
            for part in (own.query(first_B1D), own.key(hidden_states), own.value(hidden_states))
        )
        if attention_mask is not None:
            attention_mask = attention_mask[:, :, :1]
        from transformers import AttentionInterface

        dropout = own.dropout.p if own.training else 0.0
        read, _ = AttentionInterface()[kernel](
            own, query, key, value, attention_mask, dropout=dropout, scaling=own.scaling, **kwargs
        )
        read_B1D = self.attention.output(read.reshape(*first_B1D.shape[:2], -1), first_B1D)  # type: ignore[attr-defined]
        return self.feed_forward_chunk(read_B1D)  # type: ignore[attr-defined]


def only(block: nn.Module, kind: str) -> None:
    """Let the last block of a model of type `kind` answer `(B, 1, D)` where that is asked; other kinds stay as they are.

    Who calls the trunk itself, as methods may, gets all states as ever.

    The block's class changes and not its attributes, so that copies, hooks and checkpointing go on as before.
    """
    if kind in KINDS and not isinstance(block, _First):
        block.__class__ = type(type(block).__name__, (_First, type(block)), {})
