"""Trainee: a model in training. One optimizer step, answers, and everything that a checkpoint must hold."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from isogloss.core.recipe import Bound
from isogloss.nn import dropout
from isogloss.nn.answer import outputs
from isogloss.nn.batches import deal
from isogloss.nn.blocks import rest_frozen
from isogloss.nn.model import TextModel
from isogloss.nn.world import World


@dataclass(frozen=True)
class Stepped:
    """What one optimizer step did, over all processes. Arrays are by language, in the order of `Trainee.langs`.

    `loss` is summed without weights, `units` counts what it is summed over; `norm` is the gradient's before clipping,
    not finite when the step was not taken.
    """

    loss: np.ndarray
    units: np.ndarray
    rows: np.ndarray
    tokens: np.ndarray
    norm: float
    stop: bool


class Trainee:
    """A model with its optimizer. `rates` are factors of the learning rate by the name of the trained parameter.

    `penalties` are functions of the step's number: scalars that are added to the loss of each unit.
    """

    def __init__(
        self, model: TextModel, task: Bound, family: Any, rates: Mapping[str, float],
        penalties: Sequence[Callable[[int], torch.Tensor]], world: World, *,
        langs: Sequence[str], seed: int, accumulate: int, weight_decay: float, clip: float,
    ) -> None:  # fmt: skip
        self.model, self.task, self.family, self.world = model, task, family, world
        self.langs, self.seed, self.accumulate, self.clip = tuple(langs), seed, accumulate, clip
        self._penalties = penalties
        for name, p in model.named_parameters():
            p.requires_grad_(name in rates)
        dropout.by_row(model, model.net)
        self._called = world.spread(model)
        self.rates = dict(rates)
        self.optimizer = torch.optim.AdamW(
            _groups(model, rates, weight_decay), lr=0.0, betas=(0.9, 0.999), eps=1e-8, fused=True
        )
        self._stepper = world.accelerator.prepare_optimizer(self.optimizer, device_placement=False)

    # -- learning -----------------------------------------------------------------------------------------------

    def step(
        self,
        rows: Sequence[Mapping[str, Any]],
        weights: np.ndarray,
        codes: np.ndarray,
        *,
        lr: float,
        number: int,
        stop: bool = False,
    ) -> Stepped:
        """Learn from one global batch: encoded `rows`, their `weights (B,)` and language `codes (B,)`.

        The gradient is that of the summed weighted loss, divided once, by the weighted units of all micro-batches and
        processes. `number` is that of the step: with the seed it fixes everything random. `stop` is true on every
        process when it is on one.
        """
        self._seed(number)
        self.model.train()
        rest_frozen(self.family.embeddings(self.model), self.family.blocks(self.model))
        n = len(self.langs)
        sums = np.zeros(4 * n + 2)
        lengths = np.array([len(row["ids"]) for row in rows])
        ties = np.array([row["group"] for row in rows]) if rows and "group" in rows[0] else None
        share = deal(lengths, self.world.rank, self.world.size, self.accumulate, ties)
        for i, places in enumerate(share):
            last = i == len(share) - 1
            with contextlib.nullcontext() if last else self.world.accelerator.no_sync(self._called):
                self._backward(rows, weights, codes, places, number, sums)
        sums[-1] = stop
        sums = self.world.sum(sums)
        norm = self._update(lr, sums[-2])
        loss, units, seen, tokens = (sums[k * n : (k + 1) * n] for k in range(4))
        return Stepped(loss, units, seen, tokens, norm, bool(sums[-1]))

    def _backward(
        self,
        rows: Sequence[Mapping[str, Any]],
        weights: np.ndarray,
        codes: np.ndarray,
        places: np.ndarray,
        number: int,
        sums: np.ndarray,
    ) -> None:
        # Who has no row in the last micro-batch still takes part in the exchange of gradients, with a row of no weight.
        real = len(places) > 0
        if not real and self.world.size == 1:
            return
        at = places if real else np.zeros(1, np.int64)
        encoded = [rows[i] for i in at.tolist()]
        batch = self.task("collate", self.model, encoded)
        lengths = [len(row["ids"]) for row in encoded]
        draws = dropout.Draws(self.seed, number, at.tolist(), lengths, max(lengths), self.world.device)
        with dropout.drawing(draws):
            loss_B, n_B = self.task("loss", self._called, batch)
        weight_B = torch.as_tensor(weights[at] * real, dtype=loss_B.dtype, device=loss_B.device)
        total = (loss_B * weight_B).sum()
        for penalty in self._penalties:
            total = total + penalty(number) * (n_B * weight_B).sum()
        self.world.accelerator.backward(total)
        if real:
            n = len(self.langs)
            units = n_B.detach().double().cpu().numpy()
            for k, values in enumerate(
                (loss_B.detach().double().cpu().numpy(), units, np.ones(len(at)), np.array(lengths, float))
            ):
                sums[k * n : (k + 1) * n] += np.bincount(codes[at], weights=values, minlength=n)
            sums[-2] += float((units * weights[at]).sum())

    def _update(self, lr: float, units: float) -> float:
        """Divide, clip and step; returns the norm of the gradient before clipping."""
        trained = [p for p in self.model.trainable.values() if p.grad is not None]
        self.world.accelerator.unscale_gradients(self._stepper)
        per_unit = self.world.size / units if units > 0 else 0.0  # processes were averaged, not summed
        norm = float(torch.nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None])) * per_unit
        if np.isfinite(norm):
            factor = per_unit * min(1.0, self.clip / (norm + 1e-6))
            for p in trained:
                p.grad.mul_(factor)  # type: ignore[union-attr]
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["factor"]
        # With fp16 the scaler must see every gradient, also those that overflowed: it skips the step and scales down.
        if np.isfinite(norm) or self.world.precision == "fp16":
            self._stepper.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def _seed(self, number: int) -> None:
        """Fix what draws from the common generators at this step; dropouts have their own."""
        key = int(np.random.SeedSequence([self.seed % 2**32, number, self.world.rank]).generate_state(1)[0])
        random.seed(key)
        np.random.seed(key)
        torch.manual_seed(key)

    # -- answering ----------------------------------------------------------------------------------------------

    def answer(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """What the task decodes of encoded rows, `(N, C)` float64, the same on every process; each computes a part."""
        mine = np.arange(self.world.rank, len(rows), self.world.size)
        out = np.zeros((len(rows), self.model.n_outputs))
        if len(mine):
            out[mine] = self.task("decode", outputs(self.model, [rows[i]["ids"] for i in mine]))
        return self.world.sum(out)

    # -- what a checkpoint holds --------------------------------------------------------------------------------

    def weights(self) -> dict[str, torch.Tensor]:
        """The trained parameters."""
        return {name: p.detach().contiguous() for name, p in self.model.trainable.items()}

    def memory(self) -> dict[str, torch.Tensor]:
        """The optimizer's state, as `NAME/exp_avg` and so on."""
        names = {id(p): name for name, p in self.model.trainable.items()}
        return {
            f"{names[id(p)]}/{key}": (value if isinstance(value, torch.Tensor) else torch.tensor(value)).contiguous()
            for p, state in self.optimizer.state.items()
            for key, value in state.items()
        }

    def scaler(self) -> dict[str, float]:
        """The state of the loss scaling, where there is one."""
        scaler = self.world.accelerator.scaler
        return {k: float(v) for k, v in scaler.state_dict().items()} if scaler is not None else {}

    def restore(
        self, weights: Mapping[str, torch.Tensor], memory: Mapping[str, torch.Tensor], scaler: Mapping[str, float]
    ) -> None:
        """Be as at a checkpoint."""
        trained = self.model.trainable
        with torch.no_grad():
            for name, value in weights.items():
                trained[name].copy_(value)
        self.optimizer.state.clear()
        for key, value in memory.items():
            name, _, part = key.rpartition("/")
            self.optimizer.state[trained[name]][part] = value.to(trained[name].device)
        if scaler and self.world.accelerator.scaler is not None:
            whole = {
                **scaler,
                "growth_interval": int(scaler["growth_interval"]),
                "_growth_tracker": int(scaler["_growth_tracker"]),
            }
            self.world.accelerator.scaler.load_state_dict(whole)


def _groups(model: TextModel, rates: Mapping[str, float], decay: float) -> list[dict[str, Any]]:
    """Parameters by rate and decay: biases and norms, which have one axis, do not decay."""
    grouped: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, factor in rates.items():
        p = model.get_parameter(name)
        grouped.setdefault((factor, decay if p.ndim > 1 else 0.0), []).append(p)
    return [{"params": ps, "factor": factor, "weight_decay": wd} for (factor, wd), ps in grouped.items()]
