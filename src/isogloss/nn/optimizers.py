"""How gradients become new weights: at the end of a step, or parameter by parameter while the backward pass runs.

In the second way (LOMO, Lv et al. 2023) a gradient lives until its own parameter has moved, so that the gradients of all
parameters are never there together; with SGD, which remembers nothing, only weights and activations are left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import torch
from torch import nn

Kind = Literal["adamw", "adafactor", "sgd"]


def make(kind: Kind, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """An optimizer over `groups` (`params, weight_decay`), at rate 0: the loop sets the rate of every step.

    adamw: Loshchilov & Hutter 2019, 8 bytes of memory a weight. adafactor: Shazeer & Stern 2018, sums of rows and
    columns instead; its rate is relative to a weight's own size. sgd: without momentum, no memory.
    """
    if kind == "adamw":
        return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.999), eps=1e-8, fused=True)
    if kind == "adafactor":
        return torch.optim.Adafactor(groups, lr=0.0)
    return torch.optim.SGD(groups, lr=0.0)


def groups_of(model: nn.Module, rates: Mapping[str, float], decay: float) -> list[dict[str, Any]]:
    """Parameters by rate and decay: biases and norms, which have one axis, do not decay."""
    grouped: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, factor in rates.items():
        p = model.get_parameter(name)
        grouped.setdefault((factor, decay if p.ndim > 1 else 0.0), []).append(p)
    return [{"params": ps, "factor": factor, "weight_decay": wd} for (factor, wd), ps in grouped.items()]


class Update(Protocol):
    """What the trainee asks. `optimizers` hold the state that a checkpoint keeps."""

    optimizers: list[torch.optim.Optimizer]

    def begin(self, lr: float) -> None:
        """Before the first backward pass of a step; `lr` is multiplied by each parameter's own factor."""

    def end(self, per_unit: float) -> float:
        """Move by the gradients times `per_unit`; returns the norm of that gradient, not finite where none was moved."""


def _at_rate(optimizers: list[torch.optim.Optimizer], lr: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            # torch's AdamW and SGD read the number, and compile nothing for it
            group["lr"] = lr * group["factor"]


class AtTheEnd:
    """All gradients first, then one step: they can be clipped by their common norm, and scaled for fp16."""

    def __init__(self, kind: Kind, groups: list[dict[str, Any]], clip: float, scaler: Any = None) -> None:
        self.optimizer = make(kind, groups)
        self.optimizers = [self.optimizer]
        self._clip, self._scaler = clip, scaler

    def begin(self, lr: float) -> None:
        _at_rate(self.optimizers, lr)

    def end(self, per_unit: float) -> float:
        if self._scaler is not None:
            self._scaler.unscale_(self.optimizer)
        grads = [p.grad for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(grads)) * per_unit if grads else 0.0
        finite = norm - norm == 0.0
        factor = per_unit * (min(1.0, self._clip / (norm + 1e-6)) if self._clip else 1.0) if finite else 1.0
        divides = self._scaler is None and isinstance(self.optimizer, torch.optim.AdamW) and factor > 0.0
        if finite and divides:
            # the fused kernel divides gradients as it reads them, as it does for a GradScaler: one pass less over all
            scale = torch.tensor(1.0 / factor, dtype=torch.float32, device=grads[0].device) if grads else None
            self.optimizer.grad_scale = scale  # type: ignore[attr-defined]
        elif finite:
            torch._foreach_mul_(grads, factor)
        if self._scaler is not None:  # it must see overflows too: it leaves the step out and scales down
            self._scaler.step(self.optimizer)
            self._scaler.update()
        elif finite:
            self.optimizer.step()
            if divides:
                self.optimizer.grad_scale = None  # type: ignore[attr-defined]
        self.optimizer.zero_grad(set_to_none=True)
        return norm


class InBackward:
    """Each parameter moves as soon as its gradient is there. The loss must be divided by its units beforehand.

    A gradient that is not finite moves nothing, and makes the norm not finite.
    """

    def __init__(self, kind: Kind, groups: list[dict[str, Any]]) -> None:
        self.optimizers = []
        self._square = 0.0
        for group in groups:
            for p in group["params"]:
                own = make(kind, [{**group, "params": [p]}])
                self.optimizers.append(own)
                p.register_post_accumulate_grad_hook(self._mover(own))

    def _mover(self, own: torch.optim.Optimizer) -> Any:
        def move(p: torch.Tensor) -> None:
            assert p.grad is not None
            square = float(p.grad.square().sum())
            self._square += square
            if square - square == 0.0:
                own.step()
            p.grad = None

        return move

    def begin(self, lr: float) -> None:
        self._square = 0.0
        _at_rate(self.optimizers, lr)

    def end(self, per_unit: float) -> float:
        return float(self._square**0.5)
