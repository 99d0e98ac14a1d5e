"""Train every parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

# Those take out of training what this one puts in.
EXCLUDES = ("freeze", "lora")
# It works on a model without blocks, too.
BLOCKS = False


def apply(model: nn.Module, family: Any, param_groups: Mapping[str, float]) -> dict[str, float]:
    """Every parameter, at the rate it has so far."""
    return {name: param_groups.get(name, 1.0) for name, _ in model.named_parameters()}
