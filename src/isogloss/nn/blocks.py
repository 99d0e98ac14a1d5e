"""States between the blocks of a model, caught and put back with hooks; no architecture's forward is rewritten."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from isogloss.nn.first import whole


class _Caught(Exception):
    """The states are there; what is above need not run."""

    def __init__(self, states: torch.Tensor) -> None:
        self.states = states


def states_at(
    model: nn.Module, blocks: Sequence[nn.Module], k: int, inputs: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    """States `(B, T, D)` that enter block `k`, or leave the last for `k = len(blocks)`. Blocks above do not run."""
    _check(blocks, k)

    def entering(block: nn.Module, args: tuple[Any, ...]) -> None:
        raise _Caught(args[0])

    def leaving(block: nn.Module, args: tuple[Any, ...], out: Any) -> None:
        raise _Caught(out[0] if isinstance(out, tuple) else out)

    last = k == len(blocks)
    handle = blocks[-1].register_forward_hook(leaving) if last else blocks[k].register_forward_pre_hook(entering)
    try:
        with whole():
            model(**inputs)
    except _Caught as caught:
        return caught.states
    finally:
        handle.remove()
    raise AssertionError("the model's forward never reached the block")


def from_states(
    model: nn.Module,
    blocks: Sequence[nn.Module],
    k: int,
    states_BTD: torch.Tensor,
    inputs: Mapping[str, torch.Tensor],
    *,
    paired: bool = False,
) -> Any:
    """What `model(**inputs)` gives when `states_BTD` enter block `k`: its own forward, lower blocks passed through.

    `paired`: the blocks of this architecture return (states, attention). The states are put in where block k begins, so
    that whatever the model does between lower blocks is without effect.
    """
    _check(blocks, k)

    def entering(block: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (states_BTD, *args[1:])

    with _passed(blocks[:k], states_BTD, paired):
        handle = blocks[k].register_forward_pre_hook(entering) if k < len(blocks) else None
        try:
            return model(**inputs)
        finally:
            if handle is not None:
                handle.remove()


@contextlib.contextmanager
def _passed(blocks: Sequence[nn.Module], states_BTD: torch.Tensor, paired: bool) -> Iterator[None]:
    """Let `blocks` give the states, whatever comes in."""
    out = (states_BTD, None) if paired else states_BTD
    for block in blocks:
        block.forward = lambda *args, **kwargs: out
    try:
        yield
    finally:
        for block in blocks:
            del block.forward


def _check(blocks: Sequence[nn.Module], k: int) -> None:
    if not 0 <= k <= len(blocks):
        raise ValueError(f"k is {k}; a model of {len(blocks)} blocks has states at 0..{len(blocks)}")


def depths(model: nn.Module, embeddings: Sequence[nn.Module], blocks: Sequence[nn.Module]) -> dict[str, int]:
    """The depth of every parameter by name: 0 for embeddings, i + 1 for block i, one more for what is above them."""
    depth = {id(p): len(blocks) + 1 for p in model.parameters()}
    for i, block in enumerate(blocks):
        depth |= {id(p): i + 1 for p in block.parameters()}
    for module in embeddings:
        depth |= {id(p): 0 for p in module.parameters()}
    return {name: depth[id(p)] for name, p in model.named_parameters()}


def n_frozen(embeddings: Sequence[nn.Module], blocks: Sequence[nn.Module]) -> int:
    """How many blocks, from the lowest, lie below the first trained parameter, shared tables of the embeddings included."""
    if any(p.requires_grad for module in embeddings for p in module.parameters()):
        return 0
    trained = (i for i, block in enumerate(blocks) if any(p.requires_grad for p in block.parameters()))
    return next(trained, len(blocks))


def rest_frozen(embeddings: Sequence[nn.Module], blocks: Sequence[nn.Module]) -> None:
    """Put what lies below the first trained parameter in evaluation mode: its states are the same at every step."""
    if any(p.requires_grad for module in embeddings for p in module.parameters()):
        return
    for module in (*embeddings, *blocks[: n_frozen(embeddings, blocks)]):
        module.eval()
