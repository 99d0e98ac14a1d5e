"""Low-rank adapters on the linear layers of the blocks; the head is trained whole (Hu et al. 2021, with peft)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from isogloss.core.errors import InputError, nearest

if TYPE_CHECKING:
    from torch import nn


def apply(
    model: nn.Module,
    family: Any,
    param_groups: Mapping[str, float],
    *,
    r: Annotated[int, Field(ge=1)] = 8,
    alpha: Annotated[int, Field(gt=0)] = 16,
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    targets: tuple[str, ...] = (),
) -> dict[str, float]:
    """Put an adapter on every linear layer of the blocks whose weight would be trained, and train those and the head.

    The adapters learn at the rate of the weight they stand for. What lies below the blocks is left as it is.

    Knobs:
        r: rank of the adapters.
        alpha: their output is scaled by alpha / r.
        dropout: share of their inputs that is dropped.
        targets: names of linear layers inside a block, such as "query"; empty: all of them.

    Raises InputError for a name that no block has, or when no layer is left to adapt.
    """
    import torch
    from peft import LoraConfig, inject_adapter_in_model

    blocks = family.blocks(model)
    inside = {id(module) for block in blocks for module in block.modules()}
    layers = {
        name: module
        for name, module in model.named_modules()
        if id(module) in inside and isinstance(module, torch.nn.Linear)
    }
    known = sorted({name.rpartition(".")[2] for name in layers})
    for target in targets:
        if target not in known:
            raise InputError(
                f"train.methods: lora has the target '{target}', which no block has{nearest(target, known)}"
            )
    chosen = [
        name
        for name in layers
        if f"{name}.weight" in param_groups and (not targets or name.rpartition(".")[2] in targets)
    ]
    if not chosen:
        raise InputError("train.methods: lora finds no linear layer that is still trained; freeze fewer blocks")
    below = {id(p) for module in (*family.embeddings(model), *blocks) for p in module.parameters()}
    head = {name: rate for name, rate in param_groups.items() if id(model.get_parameter(name)) not in below}
    config = LoraConfig(r=r, lora_alpha=alpha, lora_dropout=dropout, target_modules=chosen)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # peft speaks of model cards and tied weights that are not ours
        inject_adapter_in_model(config, model)
    rates = {name: param_groups[f"{name}.weight"] for name in chosen}
    adapters = {name: rates[name.partition(".lora_")[0]] for name, _ in model.named_parameters() if ".lora_" in name}
    return {**head, **adapters}
