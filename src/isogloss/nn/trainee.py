"""Trainee: a model in training. One optimizer step, answers, and everything that a checkpoint must hold."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch.utils.checkpoint import checkpoint

from isogloss.core.errors import InputError
from isogloss.core.recipe import Bound
from isogloss.nn import dropout, packed
from isogloss.nn.answer import by_length, outputs
from isogloss.nn.batches import deal, padded
from isogloss.nn.blocks import rest_frozen
from isogloss.nn.flops import Operations
from isogloss.nn.model import TextModel
from isogloss.nn.optimizers import AtTheEnd, InBackward, Kind, Update, groups_of
from isogloss.nn.pooling import pooled
from isogloss.nn.world import World


@dataclass(frozen=True)
class Stepped:
    """What one optimizer step did, over all processes. Arrays are by language, in the order of `Trainee.langs`.

    `loss` is summed without weights, `units` counts what it is summed over; `n_padded` are all tokens that were computed,
    padding included; `norm` is the gradient's before clipping, not finite when the step was not taken. `by_row (B,)`: the
    loss of each row, a unit; NaN for a row without one.
    """

    loss: np.ndarray
    units: np.ndarray
    rows: np.ndarray
    tokens: np.ndarray
    n_padded: float
    norm: float
    stop: bool
    by_row: np.ndarray


@dataclass(frozen=True)
class Manner:
    """How a trainee learns: what `[train]` says of it, and nothing of how long or from what."""

    optimizer: Kind = "adamw"
    in_backward: bool = False
    accumulate: int = 1
    weight_decay: float = 0.01
    clip: float = 1.0
    checkpointing: bool = False
    padding_free: bool | None = None


class Trainee:
    """A model with its optimizer. `rates` are factors of the learning rate by the name of the trained parameter.

    `penalties` are functions of the step's number: scalars that are added to the loss of each unit.
    Raises InputError for a manner that the model or the number of processes does not allow.
    """

    def __init__(
        self, model: TextModel, task: Bound, family: Any, rates: Mapping[str, float],
        penalties: Sequence[Callable[[int], torch.Tensor]], world: World, *,
        langs: Sequence[str], seed: int, manner: Manner,
    ) -> None:  # fmt: skip
        self.model, self.task, self.family, self.world = model, task, family, world
        self.langs, self.seed, self.manner = tuple(langs), seed, manner
        self._penalties = penalties
        for name, p in model.named_parameters():
            p.requires_grad_(name in rates)
        self._packs = packed.wanted(model.net, world.device, world.half, manner.padding_free)
        half_on_cpu = world.device.type == "cpu" and world.precision == "bf16"
        dropout.by_row(model, model.net, attends=self._packs or half_on_cpu)
        if manner.checkpointing:
            _checkpoint_blocks(model)
        if manner.in_backward and world.size > 1:
            raise InputError(
                f"train.in_backward moves a weight before its gradients could be added over the {world.size} processes; "
                "set it to false, or train in one process"
            )
        if self._packs:
            packed.blocks(family.blocks(model))
        self._called = world.spread(model)
        self.rates = dict(rates)
        self.operations = Operations()
        groups = groups_of(model, rates, manner.weight_decay)
        self.update: Update = (
            InBackward(manner.optimizer, groups)
            if manner.in_backward
            else AtTheEnd(manner.optimizer, groups, manner.clip, world.scaler)
        )

    def unpad(self, ids: Sequence[Sequence[int]]) -> str | None:
        """Leave padding out from here on, where that was asked for and gives the same answers to these encoded texts;
        a sentence of what was done, or None where it was not asked for."""
        if not self._packs:
            return None
        lengths = [len(row) for row in ids]
        batch = padded(self.model, [ids[int(np.argmin(lengths))], ids[int(np.argmax(lengths))]])
        answers = []
        self.model.eval()
        try:
            for self.model.packs in (False, True):
                with self.world.autocast():
                    out = self.model(**batch)
                    answer = (out if self.model.pooling else out.logits).float()
                # not by backward(), in which weights may move
                torch.autograd.grad(answer.square().sum(), list(self.model.trainable.values()), allow_unused=True)
                answers.append(answer.detach())
        except (RuntimeError, ImportError, NotImplementedError) as error:
            self.model.packs = False
            return f"padding stays: without it this machine fails ({str(error).splitlines()[0][:120]})"
        far, allowed = float((answers[0] - answers[1]).abs().max()), 5e-2 if self.world.precision != "fp32" else 1e-4
        if not far <= allowed * max(1.0, float(answers[0].abs().max())):
            self.model.packs = False
            return f"padding stays: without it answers differ by {far:.2g} on this machine"
        return "no padding goes through the blocks: texts follow one another, and attention stays inside each"

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
        self._ready(number)
        n = len(self.langs)
        sums = np.zeros(4 * n + 3 + 2 * len(rows))  # behind the counts, the loss and the units of each row
        lengths = np.array([len(row["ids"]) for row in rows])
        ties = np.array([row["group"] for row in rows]) if rows and "group" in rows[0] else None
        share = deal(lengths, self.world.rank, self.world.size, self.manner.accumulate, ties)
        self.update.begin(lr)
        with self.operations.during():
            for i, places in enumerate(share):
                last = i == len(share) - 1
                with contextlib.nullcontext() if last else self.world.accelerator.no_sync(self._called):
                    self._backward(rows, weights, codes, places, number, sums)
        at = 4 * n
        self.operations.of(float(sums[at + 1]))
        sums[at + 2] = stop
        sums = self.world.sum(sums)
        units = sums[at]
        # gradients of processes were averaged, not summed
        norm = self.update.end(self.world.size / units if units > 0 else 0.0)
        loss, counted, seen, tokens = (sums[k * n : (k + 1) * n] for k in range(4))
        by_row, n_by_row = sums[at + 3 :].reshape(2, -1)
        mean = np.divide(by_row, n_by_row, out=np.full(len(rows), np.nan), where=n_by_row > 0)
        return Stepped(loss, counted, seen, tokens, float(sums[at + 1]), norm, bool(sums[at + 2]), mean)

    def _ready(self, number: int) -> None:
        """Put the model in training mode, what is frozen at its bottom excepted, and fix everything random."""
        self._seed(number)
        self.model.train()
        rest_frozen(self.family.embeddings(self.model), self.family.blocks(self.model))

    def _forward(
        self, rows: Sequence[Mapping[str, Any]], weights: np.ndarray, places: np.ndarray, number: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
        """Of the rows at `places`: `loss_B` and `n_B`, the weighted sum with penalties, and tokens with padding."""
        encoded = [rows[i] for i in places.tolist()]
        batch = self.task("collate", self.model, encoded)
        draws = dropout.Draws(self.seed, number, places.tolist(), self.world.device)
        with dropout.drawing(draws), self.world.autocast():
            loss_B, n_B = self.task("loss", self._called, batch)
            weight_B = torch.as_tensor(weights[places], dtype=loss_B.dtype, device=loss_B.device)
            total = (loss_B * weight_B).sum()
            for penalty in self._penalties:
                total = total + penalty(number) * (n_B * weight_B).sum()
        lengths = [len(row["ids"]) for row in encoded]
        return loss_B, n_B, total, sum(lengths) if self.model.packs else len(encoded) * max(lengths)

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
        loss_B, n_B, total, n_padded = self._forward(rows, weights if real else np.zeros_like(weights), at, number)
        units = n_B.detach().double().cpu().numpy()
        weighted = float((units * weights[at]).sum()) if real else 0.0
        if self.manner.in_backward:
            total = total / weighted if weighted else total * 0.0
        (self.world.scaler.scale(total) if self.world.scaler is not None else total).backward()
        if real:
            n = len(self.langs)
            lengths = np.array([len(rows[i]["ids"]) for i in at.tolist()], float)
            losses = loss_B.detach().double().cpu().numpy()
            for k, values in enumerate((losses, units, np.ones(len(at)), lengths)):
                sums[k * n : (k + 1) * n] += np.bincount(codes[at], weights=values, minlength=n)
            sums[4 * n] += weighted
            sums[4 * n + 1] += n_padded
            by_row, n_by_row = sums[4 * n + 3 :].reshape(2, -1)
            by_row[at], n_by_row[at] = losses, units

    def norms(
        self, rows: Sequence[Mapping[str, Any]], weights: np.ndarray, codes: np.ndarray, *, number: int
    ) -> dict[str, float]:
        """The norm of the gradient that the rows of each language of a batch give alone, a unit; moves nothing.

        Not finite where a loss or a gradient is not; losses are not scaled for it, so that what overflows does so by
        itself. Empty where a backward pass would move weights.
        """
        if self.manner.in_backward:
            return {}
        self._ready(number)
        found = {}
        for code in sorted(set(codes.tolist())):
            places = np.flatnonzero(codes == code)
            _, n_B, total, _ = self._forward(rows, weights, places, number)
            total.backward()
            grads = [p.grad for p in self.model.trainable.values() if p.grad is not None]
            norm = float(torch.nn.utils.get_total_norm(grads)) if grads else 0.0
            units = float((n_B.detach().double().cpu().numpy() * weights[places]).sum()) or 1.0
            found[self.langs[code]] = norm / units if bool(torch.isfinite(total)) else math.nan
            for p in self.model.trainable.values():
                p.grad = None
        return found

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
            with self.world.autocast():
                out[mine] = self.task("decode", outputs(self.model, [rows[i]["ids"] for i in mine]))
        return self.world.sum(out)

    def vitals(self, ids: Sequence[np.ndarray], contents: np.ndarray) -> tuple[float, float | None]:
        """Of encoded texts: the mean deviation of the numbers that answer them, and how much nearer texts of one content
        lie to each other than others do, in cosines of the mean states that leave the last block.

        `contents (N,)` are codes of what is said, -1 for a text that is tied to none; None without tied texts.
        """
        with self.world.autocast():
            out = outputs(self.model, ids)
            spread = float(out.std(axis=0).mean())
            tied = np.flatnonzero(contents >= 0)
            if not len(tied):
                return spread, None
            vectors = out[tied] if self.model.pooling else self._states([ids[i] for i in tied.tolist()])
        unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        cosines, same = unit @ unit.T, contents[tied][:, None] == contents[tied]
        np.fill_diagonal(same, False)
        other = contents[tied][:, None] != contents[tied]
        return spread, float(cosines[same].mean() - cosines[other].mean())

    def _states(self, ids: Sequence[np.ndarray]) -> np.ndarray:
        """Mean states `(N, D)` that leave the last block."""
        out: np.ndarray | None = None
        blocks = len(self.family.blocks(self.model))
        self.model.eval()
        with torch.inference_mode():
            for at in by_length([len(row) for row in ids]):
                batch = padded(self.model, [ids[i] for i in at.tolist()])
                states_BTD = self.family.states_at(self.model, blocks, batch)
                part = pooled(states_BTD.float(), batch["attention_mask"], "mean").cpu().numpy()
                out = np.zeros((len(ids), part.shape[1]), np.float32) if out is None else out
                out[at] = part
        assert out is not None
        return out

    # -- what a checkpoint holds --------------------------------------------------------------------------------

    def weights(self) -> dict[str, torch.Tensor]:
        """The trained parameters."""
        return {name: p.detach().contiguous() for name, p in self.model.trainable.items()}

    def memory(self) -> dict[str, torch.Tensor]:
        """The state of the optimizer, as `NAME/exp_avg` and so on."""
        names = {id(p): name for name, p in self.model.trainable.items()}
        return {
            f"{names[id(p)]}/{key}": (value if isinstance(value, torch.Tensor) else torch.tensor(value)).contiguous()
            for optimizer in self.update.optimizers
            for p, state in optimizer.state.items()
            for key, value in state.items()
        }

    def forget(self) -> None:
        """Let go of gradients and of what the optimizer remembers: there will be no further step."""
        for optimizer in self.update.optimizers:
            optimizer.state.clear()
            optimizer.zero_grad(set_to_none=True)

    def scaler(self) -> dict[str, float]:
        """The state of the loss scaling, where there is one."""
        scaler = self.world.scaler
        return {k: float(v) for k, v in scaler.state_dict().items()} if scaler is not None else {}

    def restore(
        self,
        weights: Mapping[str, torch.Tensor],
        memory: Mapping[str, torch.Tensor] = MappingProxyType({}),
        scaler: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """Be as at a checkpoint; the optimizer without `memory` as at the beginning."""
        trained = self.model.trainable
        with torch.no_grad():
            for name, value in weights.items():
                trained[name].copy_(value)
        owner = {
            id(p): optimizer
            for optimizer in self.update.optimizers
            for group in optimizer.param_groups
            for p in group["params"]
        }
        for optimizer in self.update.optimizers:
            optimizer.state.clear()
        for key, value in memory.items():
            name, _, part = key.rpartition("/")
            owner[id(trained[name])].state[trained[name]][part] = value.to(trained[name].device)
        if scaler and self.world.scaler is not None:
            whole = {
                **scaler,
                "growth_interval": int(scaler["growth_interval"]),
                "_growth_tracker": int(scaler["_growth_tracker"]),
            }
            self.world.scaler.load_state_dict(whole)


def _checkpoint_blocks(model: TextModel) -> None:
    """Remember only what enters a block, and compute the block again in the backward pass (Chen et al. 2016)."""
    if not getattr(model.net, "supports_gradient_checkpointing", False):
        raise InputError(f"train.checkpointing: {type(model.net).__name__} cannot compute its blocks again")
    # not by `activation_checkpointing_enable`, which lets gradients flow down through frozen blocks too; dropouts meet
    # their numbers again
    again = partial(checkpoint, use_reentrant=False, context_fn=dropout.again)
    model.net._set_gradient_checkpointing(enable=True, gradient_checkpointing_func=again)
