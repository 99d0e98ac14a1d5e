"""Layer-wise learning rates: each block below the head learns more slowly than the one above it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

if TYPE_CHECKING:
    from torch import nn


def apply(
    model: nn.Module,
    family: Any,
    param_groups: Mapping[str, float],
    *,
    decay: Annotated[float, Field(gt=0, le=1)] = 0.9,
) -> dict[str, float]:
    """Multiply the rate of each parameter by decay^(blocks above it): the head and what stands with it keeps its rate.

    Howard & Ruder 2018 (ULMFiT), section 3.2, who divide by 2.6 a layer; 0.9 to 0.95 is usual for transformers.

    Knobs:
        decay: factor from one block to the one below it.
    """
    from isogloss.nn.blocks import depths

    blocks = family.blocks(model)
    depth = depths(model, family.embeddings(model), blocks)
    return {name: rate * decay ** (len(blocks) + 1 - depth[name]) for name, rate in param_groups.items()}
