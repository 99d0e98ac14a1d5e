"""What a training will cost on a machine: memory, seconds, energy, money. From the config and lengths alone, no torch."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from isogloss.core import buckets, estimate
from isogloss.core.architecture import Architecture
from isogloss.core.estimate import Memory, Method, Operations, Rates, Work
from isogloss.core.machines import Setup

# Steps that are drawn to find the median one; and how often, where the longest rows may or may not come.
DRAWN, DRAWS = 200, 5
# Tokens of a batch when rows are answered (nn/answer.py).
READ_TOKENS = 2048
# Bytes of a piece of a tokenizer in memory, by its kind (docs/log.md).
PIECE_BYTES = {"unigram": 1200, "bpe": 600, "wordpiece": 300, "": 600}
# Bytes that `train` holds beside what a process holds that only trains: the audit's libraries and evaluation's, encoded
# rows, kernels of other shapes (docs/log.md).
BESIDE = 160e6
# Bytes of the library that puts adapters in.
PEFT = 70e6
# Bytes a second at which checkpoints are written, and seconds to start and to read a model: assumed.
DISK, START = 2e8, 15.0


@dataclass(frozen=True, slots=True)
class Job:
    """A training as far as it decides what it costs.

    `lengths`: tokens of a sample of the rows, special ones included and cut to what is read; `n_rows` train rows, seen
    `epochs` times in steps of `batch` rows, or of `batch_tokens`, each in `parts`; at each of `n_evaluations` so many
    `n_dev` rows are read.
    """

    lengths: tuple[int, ...]
    n_rows: int
    batch: int
    batch_tokens: int | None = None
    parts: int = 1
    epochs: float = 5.0
    steps: int | None = None
    n_labels: int = 2
    n_dev: int = 0
    n_test: int = 0
    n_evaluations: int = 10
    seed: int = 17
    tokenizer: str = ""
    """unigram, bpe, wordpiece; nothing: not known"""

    @property
    def n_steps(self) -> int:
        if self.steps:
            return self.steps
        window = buckets.cut(
            np.arange(len(self.lengths)),
            np.array(self.lengths),
            self.batch,
            self.batch_tokens,
            np.random.default_rng(0),
        )
        a_batch = len(self.lengths) / len(window) if self.batch_tokens else self.batch
        return max(1, round(self.epochs * self.n_rows / a_batch))


@dataclass(frozen=True, slots=True)
class Price:
    """What an hour of the machine costs, and a kilowatt-hour; the user says both or neither."""

    hour: float | None = None
    kwh: float | None = None
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Cost:
    """An estimate. `seconds`: a step at the median, training alone, and all of it; `low` and `high` bound all of it."""

    method: Method
    n: int
    n_trained: int
    memory: Memory
    n_bytes: float | None
    devices: int
    n_steps: int
    step_seconds: float
    train_seconds: float
    seconds: float
    low: float
    high: float
    parts: Mapping[str, float]
    kwh: float
    money: float | None
    calibrated: bool
    spread: float
    tokens: float
    """tokens of a step at the median, padding included"""

    @property
    def share(self) -> float:
        return self.n_trained / self.n

    @property
    def fits(self) -> bool | None:
        """Whether the memory suffices on a device; None where it is not known how much there is."""
        return None if self.n_bytes is None else self.memory.total <= self.n_bytes

    def document(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "method": self.method.name, "trainable": self.n_trained, "parameters": self.n,
            "trainable_share": round(self.share, 6), "memory_bytes": self.memory.document(),
            "available_bytes": None if self.n_bytes is None else round(self.n_bytes), "fits": self.fits,
            "devices": self.devices, "steps": self.n_steps, "seconds_per_step": round(self.step_seconds, 5),
            "train_seconds": round(self.train_seconds, 1), "seconds": round(self.seconds, 1),
            "seconds_low": round(self.low, 1), "seconds_high": round(self.high, 1),
            "kwh": round(self.kwh, 4), "money": None if self.money is None else round(self.money, 2),
            "calibrated": self.calibrated,
        }  # fmt: skip


def cost(
    arch: Architecture, method: Method, job: Job, setup: Setup, price: Price | None = None, *, shards: bool = False
) -> Cost:
    """What training takes on a machine with the method.

    Several devices hold the whole model each and share the rows, as isogloss trains; with `shards`, as other tools do
    it, they hold shards of a model that does not fit whole.
    """
    price = price or Price()
    share = estimate.trainable(arch, method, job.n_labels)
    devices = setup.n
    own = _own(job, devices)
    n_steps = job.n_steps
    memory = peak(arch, method, job, setup, shards=shards)
    drawn = [_step(arch, method, works) for works in batches(own, min(max(9, DRAWN // job.parts), max(9, n_steps)))]
    times = [setup.rates.step(done) for done, _ in drawn]
    step = statistics.median(times)
    train = n_steps * statistics.fmean(times)
    n_read = max(1, len(job.lengths)) * devices
    read = setup.rates.step(_reading(arch, method, job.lengths)) / n_read
    n_evaluations = min(job.n_evaluations, n_steps)
    kept = (
        setup.rates.step(_reading(arch, method, job.lengths, method.frozen_blocks)) / n_read if method.cached else 0.0
    )
    saved = share.n_trained * (4 + estimate.OPTIMIZERS[method.optimizer]) * n_evaluations
    parts = {
        "start": START, "frozen blocks, once": kept * (job.n_rows + job.n_dev), "steps": train,
        "evaluations": (read - kept) * job.n_dev * n_evaluations, "checkpoints": (saved + share.n * 4) / DISK,
        "test": read * job.n_test,
    }  # fmt: skip
    seconds = sum(parts.values())
    kwh = seconds * setup.watts / 3.6e6
    money = None
    if price.hour is not None or price.kwh is not None:
        money = (price.hour or 0.0) * seconds / 3600 + (price.kwh or 0.0) * kwh
    spread = setup.rates.spread
    return Cost(
        method, share.n, share.n_trained, memory, setup.n_bytes, devices, n_steps, step, train, seconds,
        seconds / spread, seconds * spread, parts, kwh, money, setup.rates.calibrated, spread,
        statistics.median(tokens for _, tokens in drawn),
    )  # fmt: skip


def peak(arch: Architecture, method: Method, job: Job, setup: Setup, *, shards: bool = False) -> Memory:
    """Memory that training takes on each device: of the whole model; with `shards`, of one where the whole does not fit."""
    own = _own(job, setup.n)
    memory = _memory(arch, method, own, setup, 1, job.n_steps)
    if shards and setup.n > 1 and setup.n_bytes is not None and memory.total > setup.n_bytes:
        memory = _memory(arch, method, own, setup, setup.n, job.n_steps)
    return memory


def _own(job: Job, devices: int) -> Job:
    """The part of a job that is a device's."""
    if devices == 1:
        return job
    return replace(
        job,
        batch=max(1, -(-job.batch // devices)),
        batch_tokens=None if job.batch_tokens is None else max(8, job.batch_tokens // devices),
    )


def batches(job: Job, n: int) -> list[list[Work]]:
    """Rows and padded tokens of the parts of `n` steps: windows of all rows, cut by length as the loop cuts them."""
    made = []
    for drawn in _windows(job.lengths, job.n_rows, job.batch, job.batch_tokens, job.seed, n):
        parts = [part for part in np.array_split(drawn, job.parts) if len(part)]
        made.append([Work(len(part), int(part[0]), 1, job.n_labels) for part in parts])
    return made


@lru_cache(maxsize=64)
def _windows(
    lengths: tuple[int, ...], n_rows: int, batch: int, batch_tokens: int | None, seed: int, n: int
) -> tuple[Any, ...]:
    """The lengths of the rows of `n` steps, longest first."""
    rng = np.random.default_rng(seed)
    every = np.array(lengths)
    if n_rows > len(every):  # the sample stands for more rows, whose pools are as large as the real ones
        every = np.resize(rng.permutation(every), min(n_rows, buckets.POOL * batch))
    made: list[Any] = []
    while len(made) < n:
        parts = buckets.cut(rng.permutation(len(every)), every, batch, batch_tokens, rng)
        made += [np.sort(every[at])[::-1] for at in parts]
    return tuple(made[:n])


def _step(arch: Architecture, method: Method, works: Sequence[Work]) -> tuple[Operations, int]:
    """What a step does over its parts; the optimizer moves once."""
    done = [estimate.operations(arch, method, work) for work in works]
    sums = {name: sum(getattr(each, name) for each in done) for name in estimate.RATES}
    for name in ("updates", "table", "steps"):
        sums[name] = getattr(done[0], name)
    return Operations(**sums), sum(work.rows * work.tokens for work in works)


def _memory(arch: Architecture, method: Method, job: Job, setup: Setup, shards: int, n_steps: int) -> Memory:
    """Memory at the worst moment: the part of a step with most tokens, and rows that are read for an evaluation."""
    longest = max(job.lengths)
    all_come = n_steps * job.batch >= job.n_rows and job.batch_tokens is None
    # the first part of a step has the longest of its rows, and no part has more of them
    rows, most = max(
        (
            (-(-len(drawn) // job.parts), int(drawn[0]))
            for seed in range(job.seed, job.seed + (1 if all_come else DRAWS))
            for drawn in _windows(job.lengths, job.n_rows, job.batch, job.batch_tokens, seed, min(n_steps, DRAWN))
        ),
        key=lambda each: each[0] * each[1],
    )
    work = Work(rows, most, 1, job.n_labels)
    if all_come:  # the longest rows too, and together
        work = replace(work, tokens=longest)
    found = estimate.memory(arch, method, work, setup.room, shards)
    read = max(sum(estimate.block_bytes(arch, stack, longest, method)) for stack in arch.stacks)
    reading = read * max(READ_TOKENS, longest) * (1.4 if method.rank else 1)
    spare = estimate.hole(arch, method, job.n_labels, setup.room)
    if setup.accelerator:
        return replace(found, activations=max(found.activations, reading))
    more = BESIDE + (PEFT if method.rank else 0.0)
    # the tokenizer is put away while training, and beside the weights before and after it
    beside = arch.vocab * PIECE_BYTES[job.tokenizer] - found.gradients - found.optimizer - found.activations
    more += max(0.0, beside)
    return replace(found, activations=found.activations + max(0.0, reading - spare), other=found.other + more)


def _reading(arch: Architecture, method: Method, lengths: Sequence[int], blocks: int | None = None) -> Operations:
    """What reading these rows once does, batched by length; in the lowest `blocks` alone, or in all."""
    ordered = sorted(lengths, reverse=True)
    total: Operations | None = None
    start = 0
    while start < len(ordered):
        n = max(1, READ_TOKENS // ordered[start])
        part = ordered[start : start + n]
        done = estimate.forward(arch, len(part), part[0], method.precision, blocks)
        total = done if total is None else Operations(**{
            name: getattr(total, name) + getattr(done, name) for name in estimate.RATES
        })  # fmt: skip
        start += n
    return total or Operations(*[0.0] * len(estimate.RATES))


def of_measurement(value: Mapping[str, Any] | None, precision: estimate.Precision) -> tuple[Rates, float | None] | None:
    """Rates of this machine as `isogloss doctor --measure` kept them, and the bytes of a training process; or None."""
    if not value or not value.get("step_rates"):
        return None
    spread = max(1.25, float(value.get("step_spread", 1.25)))
    rates = {name: float(value["step_rates"].get(name, 0.0)) for name in estimate.RATES}
    when = f"measured {str(value.get('when', ''))[:10]}"
    own: estimate.Precision = "fp32" if value.get("step_precision") == "fp32" else "autocast"
    if precision != own:  # measured in the other one: products are as many times as fast as large ones are
        fp32, half = value.get("matmul_fp32_gflops"), value.get("matmul_bf16_gflops")
        if not fp32 or not half:
            return None
        rates["flops"] *= half / fp32 if precision == "fp32" else fp32 / half
        spread *= 1.3
        when += f", in {'fp32' if own == 'fp32' else 'half precision'}"
    return Rates(rates, True, spread, when), value.get("base_bytes")
