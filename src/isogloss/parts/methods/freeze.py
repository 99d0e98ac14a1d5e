"""Leave the embeddings and the lowest blocks as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from isogloss.core.errors import InputError

if TYPE_CHECKING:
    from torch import nn


def apply(
    model: nn.Module,
    family: Any,
    param_groups: Mapping[str, float],
    *,
    embeddings: bool = True,
    blocks: Annotated[int, Field(ge=0)] = 0,
) -> dict[str, float]:
    """Take the embeddings and the first `blocks` blocks out of training.

    Knobs:
        embeddings: also what is shared by all blocks, such as tables of relative positions.
        blocks: how many blocks, from the lowest.

    Raises InputError when the model has fewer blocks.
    """
    own = family.blocks(model)
    if blocks > len(own):
        raise InputError(f"train.methods: freeze has blocks = {blocks}, but the model has {len(own)}")
    frozen = [*(family.embeddings(model) if embeddings else []), *own[:blocks]]
    still = {id(p) for module in frozen for p in module.parameters()}
    return {name: rate for name, rate in param_groups.items() if id(model.get_parameter(name)) not in still}
