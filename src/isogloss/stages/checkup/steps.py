"""Rates of this machine: a few real training steps of small models of different shape, and what explains their seconds.

The steps are those of `train` (nn/trainee.py), so that what they take here is what they take there. Weights are noise,
texts are noise, nothing is learned and nothing is kept but the rates.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from isogloss.core import architecture, estimate, parts
from isogloss.core.estimate import Method, Operations, Work
from isogloss.core.recipe import Bound

# What the steps that count may take, seconds; steps of a shape that do not count; rounds at least.
SECONDS = 6.0
COLD, FEWEST = 2, 3
N_LABELS = 6


def _roberta(width: int, layers: int, pieces: int, heads: int) -> dict[str, Any]:
    return {
        "model_type": "xlm-roberta", "hidden_size": width, "num_hidden_layers": layers, "vocab_size": pieces,
        "num_attention_heads": heads, "intermediate_size": 4 * width, "max_position_embeddings": 514,
        "type_vocab_size": 1, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
    }  # fmt: skip


def _modern(width: int, layers: int, pieces: int, inner: int) -> dict[str, Any]:
    return {
        "model_type": "modernbert", "hidden_size": width, "num_hidden_layers": layers, "vocab_size": pieces,
        "num_attention_heads": width // 44 if width % 44 == 0 else width // 64, "intermediate_size": inner, "max_position_embeddings": 512,
        "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2,
    }  # fmt: skip


# Shapes in which one kind of work after the other weighs most: config, rows, tokens. Texts have odd lengths, so these
# have: kernels are faster where tokens fill whole blocks.
SHAPES: tuple[tuple[dict[str, Any], int, int], ...] = (
    (_modern(128, 8, 1000, 256), 4, 17),  # passes through blocks
    (_modern(128, 8, 1000, 256), 16, 61),  # states
    (_modern(176, 2, 1000, 256), 16, 93),  # of an odd width
    (_modern(256, 2, 1000, 512), 8, 131),
    (_modern(128, 2, 1000, 256), 4, 250),  # attention in one kernel
    (_modern(512, 1, 1000, 2048), 16, 61),  # products
    (_roberta(768, 2, 1000, 12), 8, 61),
    (_roberta(128, 6, 1000, 4), 16, 59),  # states, with dropout
    (_roberta(128, 4, 1000, 2), 32, 17),
    (_roberta(128, 2, 1000, 8), 4, 190),  # attention that is written out
    (_roberta(256, 2, 1000, 4), 16, 45),
    (_roberta(768, 3, 1000, 12), 1, 8),  # moves of the optimizer in blocks
    (_modern(128, 1, 120_000, 256), 2, 8),  # and in the table of pieces
)


def measure_steps(tick: Any = None, shapes: Sequence[tuple[dict[str, Any], int, int]] = SHAPES) -> dict[str, Any]:
    """Rates of the operations of a step, seconds a unit; how far off the fit is; and bytes of the process.

    Shapes take turns, so that a moment in which other work wants the cores falls on all of them. `tick(done, total)`
    hears of the seconds that are used up. Precision and device are those that `train` would take by itself.
    """
    import polars  # noqa: F401  what `train` has in memory, too

    from isogloss.nn import memory
    from isogloss.nn.world import World

    memory.keep_freed()
    memory.few_kernels()
    world = World()
    part = parts.load("tasks", "classify")
    task = Bound(part, part.bind({}))
    method = Method("full", precision="fp32" if world.precision == "fp32" else "autocast")
    turns, base = [], None
    done: list[Operations] = []
    for config, rows, tokens in shapes:
        turns.append(_Turn(config, rows, tokens, task, world))
        arch, work = architecture.of(config), Work(rows, tokens, 1, N_LABELS)
        done.append(estimate.operations(arch, method, work))
        for _ in range(COLD):  # these fetch memory and do not count
            turns[-1].step()
        if base is None and (now := memory.resident()) is not None:
            room = estimate.Room("cpu", 0.0, estimate.CPU.slack, estimate.CPU.anew, True, "")
            base = round(max(0.0, now - estimate.memory(arch, method, work, room).total))
    began = time.perf_counter()
    taken: list[list[float]] = [[] for _ in turns]
    while len(taken[0]) < FEWEST or time.perf_counter() - began < SECONDS:
        for turn, own in zip(turns, taken, strict=True):
            own.append(turn.step())
        if tick is not None:
            tick(min(round(time.perf_counter() - began), round(SECONDS)), round(SECONDS))
    seconds = [statistics.median(own) for own in taken]
    rates = estimate.fit(done, seconds, estimate.USUAL["fp32" if world.precision == "fp32" else "half"])
    fitted = estimate.Rates(rates, True, 1.0, "")
    ratios = [fitted.step(each) / own for each, own in zip(done, seconds, strict=True)]
    return {
        "step_rates": rates,
        "step_spread": round(max(max(ratios), 1 / min(ratios)), 3),
        "step_precision": world.precision,
        "step_device": world.device.type,
        "base_bytes": base,
    }


class _Turn:
    """A model of noise in training, and a batch of noise for it."""

    def __init__(self, config: dict[str, Any], rows: int, tokens: int, task: Bound, world: Any) -> None:
        import numpy as np

        self._trainee = _trainee(config, task, world)
        rng = np.random.default_rng(0)
        self._batch = [
            {"ids": rng.integers(5, config["vocab_size"], tokens).astype(np.int32), "target": 0} for _ in range(rows)
        ]
        self._weights, self._codes = np.ones(rows), np.zeros(rows, np.int64)
        self._n = 0

    def step(self) -> float:
        """Seconds of one step."""
        start = time.perf_counter()
        self._trainee.step(self._batch, self._weights, self._codes, lr=1e-6, number=self._n)
        self._n += 1
        return time.perf_counter() - start


def _trainee(config: dict[str, Any], task: Bound, world: Any) -> Any:
    """A model of noise, in training."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    from isogloss.nn import first
    from isogloss.nn.model import TextModel
    from isogloss.nn.trainee import Manner, Trainee

    keys = dict(config)
    made = AutoConfig.for_model(keys.pop("model_type"), **keys)
    made.num_labels = N_LABELS
    with torch.device("meta"):  # its own way of drawing weights takes longer than the steps
        net = AutoModelForSequenceClassification.from_config(made)
    net.to_empty(device="cpu")
    with torch.no_grad():
        for p in net.parameters():
            p.uniform_(-0.02, 0.02)
        for buffer in net.buffers():
            buffer.uniform_(0.1, 1.0) if buffer.is_floating_point() else buffer.zero_()
    family = parts.load("families", "encoder").module
    model = TextModel(net, SimpleNamespace(pad_token_id=1), [str(i) for i in range(N_LABELS)], 512, {})
    first.only(family.blocks(model)[-1], config["model_type"])  # as the loop's classifiers are
    return Trainee(
        model, task, family, {name: 1.0 for name, _ in model.named_parameters()},
        [], world, langs=["und"], seed=0, manner=Manner(),
    )  # fmt: skip
