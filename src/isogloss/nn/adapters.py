"""Adapters inside a model: what can be merged into the weights is merged, and the model is a plain one again."""

from __future__ import annotations

from torch import nn


def merge(model: nn.Module) -> None:
    """Add every adapter to the layer it adapts and put that layer back in its place."""
    import sys

    if "peft" not in sys.modules:  # no method has put an adapter in; importing peft takes seconds
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, BaseTunerLayer):
                child.merge()
                setattr(module, name, child.get_base_layer())
