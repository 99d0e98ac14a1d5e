"""What a training will take: memory, operations and seconds, from the architecture and the method alone. No torch.

Pure functions of an `Architecture`, a `Method` and a `Work`. The arithmetic is in docs/estimates.md. What a machine does
with the operations of a step, `Rates`, was measured (`isogloss doctor --measure`) or is assumed, and says which.

Sources: Korthikanti et al. 2022 (activations), Rajbhandari et al. 2020 (ZeRO: 2 + 2 + 12 bytes a parameter, and shards),
Hu et al. 2022 (LoRA), Dettmers et al. 2023 (QLoRA: 4 bits and 0.127 for the scales), Houlsby et al. 2019 and Pfeiffer et
al. 2021 (adapters), Lv et al. 2023 (LOMO).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

from isogloss.core.architecture import Architecture, Stack

Precision = Literal["fp32", "autocast", "bf16", "half"]
Optimizer = Literal["adamw", "adamw8bit", "adafactor", "sgd"]

# Bytes of a trained weight, of its gradient, of its copy in single precision, of a number among the states, and of one
# that a norm or a softmax computes with.
PRECISIONS: Mapping[str, tuple[float, float, float, float, float]] = {
    "fp32": (4, 4, 0, 4, 4),
    "autocast": (4, 4, 0, 2, 4),  # weights stay in single precision; products and most states are in half
    "bf16": (2, 2, 4, 2, 4),  # the usual mixed precision of large models, with a copy in single precision
    "half": (2, 2, 0, 2, 4),  # nothing in single precision
}
# Bytes that the optimizer keeps of a trained weight; Adafactor keeps a row and a column of a matrix, which is next to nothing.
OPTIMIZERS: Mapping[str, float] = {"adamw": 8, "adamw8bit": 2.06, "adafactor": 0.02, "sgd": 0}
# Adapters come and go beside every matrix: what temporary memory adds is so many times as much, measured (docs/log.md).
ADAPTED = 1.15
# Bytes of a weight that is not trained: NF4 with scales that are quantised too takes 4 + 8/64 + 32/(64 * 256) bits.
HELD: Mapping[str, float] = {"fp32": 4, "bf16": 2, "nf4": (4 + 8 / 64 + 32 / (64 * 256)) / 8}
# How often what a matrix gives is read and written for an adapter beside it: fitted on steps of four shapes (docs/log.md).
BESIDE = 0.8
# How much more often scores of relative places are gathered and added than others: fitted, too.
RELATIVE = 1.7
# Classifiers whose last block answers for the first token alone (nn/first.py).
FIRST = ("bert", "roberta", "camembert", "xlm-roberta", "electra")
# A bottleneck adapter is as wide as the states over this (Pfeiffer et al. 2021).
REDUCTION = 16


@dataclass(frozen=True, slots=True)
class Method:
    """What of a model is trained, and how it is held.

    `frozen_blocks` counts from the lowest; `frozen_table`: the pieces and all that lies below the blocks. With a `rank`
    the matrices of the other blocks stay and adapters of that rank learn; with `bottleneck` two small matrices a block.
    `held`: how what is not trained is kept. `fused`: a gradient is applied as soon as it is there and not kept.
    `rows`: pieces that are in training where the vocabulary was trimmed. `cached`: what frozen blocks give is read from
    a cache, not computed.
    """

    name: str
    frozen_blocks: int = 0
    frozen_table: bool = False
    rank: int = 0
    targets: tuple[str, ...] = ()
    bottleneck: bool = False
    held: Literal["fp32", "bf16", "nf4"] = "fp32"
    precision: Precision = "fp32"
    optimizer: Optimizer = "adamw"
    fused: bool = False
    checkpointing: bool = False
    rows: int | None = None
    cached: bool = False

    @property
    def small(self) -> bool:
        """Whether only what is added to the blocks is trained of them."""
        return bool(self.rank) or self.bottleneck


NAMES = ("full", "freeze", "lora", "qlora", "adapters", "lomo")


def preset(name: str, arch: Architecture, *, accelerator: bool, large: bool = False) -> Method:
    """A method as people mean it. On an accelerator in half precision, elsewhere in single precision.

    `large`: a model that is held in half precision with a copy in single precision, as those of billions are; smaller
    ones are trained by autocast. `freeze` leaves the embeddings and the lower two thirds of the blocks.
    """
    half: Precision = "bf16" if large else "autocast"
    precision: Precision = half if accelerator else "fp32"
    held: Literal["fp32", "bf16"] = "bf16" if accelerator and large else "fp32"
    lowest = arch.stacks[0].layers
    made = {
        "full": Method("full", precision=precision),
        "freeze": Method("freeze", 2 * lowest // 3, True, precision=precision, held=held),
        "lora": Method("lora", 0, True, rank=8, precision=precision, held=held),
        "qlora": Method("qlora", 0, True, rank=64, held="nf4", precision="half", checkpointing=True),
        "adapters": Method("adapters", 0, True, bottleneck=True, precision=precision, held=held),
        "lomo": Method("lomo", precision="half", optimizer="sgd", fused=True, checkpointing=True),
    }
    if name in ("qlora", "lomo") and not accelerator:
        return replace(made[name], precision="fp32")
    return made[name]


@dataclass(frozen=True, slots=True)
class Work:
    """One optimizer step of one process: rows, the tokens to which they are padded, the parts in which it is taken."""

    rows: int
    tokens: int
    parts: int = 1
    n_labels: int = 2
    """of a classifier; 0: the model generates, or has no head"""

    @property
    def part_rows(self) -> int:
        return -(-self.rows // self.parts)


# -- parameters -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Piece:
    """Parameters that are treated alike. `largest`: the largest tensor among them; `matrix`: matrices of blocks."""

    name: str
    n: int
    trained: bool
    largest: int
    matrix: bool = False


def pieces(arch: Architecture, method: Method, n_labels: int) -> Iterator[Piece]:
    """The parameters of a model under a method."""
    rows = arch.vocab if method.rows is None else min(method.rows, arch.vocab)
    table = rows * arch.embed_width
    free = not method.frozen_table and not method.small
    yield Piece("table", table, free, table)
    yield Piece("below", arch.below, free, arch.below)
    for stack, frozen in _frozen(arch, method):
        matrices = sum(linear.n for linear in stack.linears)
        largest = max(linear.n for linear in stack.linears)
        learning = stack.layers - frozen
        if frozen:
            yield Piece(f"{stack.name}, frozen", frozen * matrices, False, largest, True)
            yield Piece(f"{stack.name}, frozen", frozen * stack.others + stack.cuts, False, arch.width)
        if learning:
            cuts = 0 if frozen else stack.cuts
            yield Piece(stack.name, learning * matrices, not method.small, largest, True)
            yield Piece(stack.name, learning * stack.others + cuts, not method.small, arch.width)
            added = learning * _added(arch, stack, method)
            if added:
                yield Piece("adapters", added, True, arch.width * max(method.rank, arch.width // REDUCTION))
    generates = not n_labels
    yield Piece("above", arch.above, not (method.small and generates), arch.width)
    if arch.n_output and generates:
        yield Piece("output", rows * arch.width, not method.small, rows * arch.width)
    head = arch.head(n_labels)
    if head:
        yield Piece("head", head, True, arch.width**2)


def _frozen(arch: Architecture, method: Method) -> Iterator[tuple[Stack, int]]:
    """Each stack, and how many of its blocks are frozen: the lowest of the whole model."""
    left = method.frozen_blocks
    for stack in arch.stacks:
        frozen = min(left, stack.layers)
        left -= frozen
        yield stack, frozen


def _added(arch: Architecture, stack: Stack, method: Method) -> int:
    """Parameters that a method adds to a block."""
    if method.rank:
        chosen = [linear for linear in stack.linears if not method.targets or linear.name in method.targets]
        return sum(method.rank * (linear.n_in + linear.n_out) for linear in chosen)
    if method.bottleneck:
        narrow = max(1, arch.width // REDUCTION)
        return 2 * arch.width * narrow + narrow + arch.width
    return 0


@dataclass(frozen=True, slots=True)
class Share:
    """How many parameters there are in training, and how many of them learn."""

    n: int
    n_trained: int

    @property
    def share(self) -> float:
        return self.n_trained / self.n


def trainable(arch: Architecture, method: Method, n_labels: int = 2) -> Share:
    """What is trained, of all.

    >>> from isogloss.core.architecture import of
    >>> xlmr = of({"model_type": "xlm-roberta", "vocab_size": 250002, "hidden_size": 768, "num_hidden_layers": 12,
    ...     "num_attention_heads": 12, "intermediate_size": 3072, "max_position_embeddings": 514, "type_vocab_size": 1})
    >>> print(f"{trainable(xlmr, Method('lora', 0, True, rank=8)).share:.2%}")
    0.69%
    """
    found = list(pieces(arch, method, n_labels))
    return Share(sum(piece.n for piece in found), sum(piece.n for piece in found if piece.trained))


# -- memory -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Room:
    """What memory takes beside the numbers themselves, on the device that trains.

    `base`: bytes of the process with its libraries, or of the driver; `slack`: what temporary and freed memory adds to
    the states that are kept, as a factor; `anew`: the same for a block that is computed again, beside which little else is
    kept; `hole`: a freed table of gradients is not found again by the allocator.
    """

    kind: str
    base: float
    slack: float
    anew: float
    hole: bool
    source: str


# Measured on Linux with glibc (docs/log.md): Python with torch, transformers and polars, after the first step.
CPU = Room("cpu", 470e6, 1.3, 2.5, True, "measured on a machine with two cores")
# The driver's context, and blocks that the allocator holds: assumed.
CUDA = Room("cuda", 0.8e9, 1.1, 1.0, False, "assumed")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on one device at the worst moment, by what they are for."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    other: float

    @property
    def total(self) -> float:
        return self.weights + self.gradients + self.optimizer + self.activations + self.other

    def document(self) -> dict[str, int]:
        """As plain JSON, bytes."""
        return {**{each.name: round(getattr(self, each.name)) for each in fields(self)}, "total": round(self.total)}


def memory(arch: Architecture, method: Method, work: Work, room: Room = CPU, devices: int = 1) -> Memory:
    """Bytes that training takes at its peak, on each of `devices`; more than one hold shards (ZeRO, stage 3)."""
    weight, gradient, copy, _, _ = PRECISIONS[method.precision]
    held, state = HELD[method.held], OPTIMIZERS[method.optimizer]
    weights = gradients = optimizer = other = 0.0
    largest = matrix = 0.0
    found = list(pieces(arch, method, work.n_labels))
    for piece in found:
        if piece.trained:
            weights += piece.n * weight
            gradients += piece.n * gradient
            optimizer += piece.n * (copy + state)
            largest = max(largest, piece.largest * gradient)
        else:
            weights += piece.n * (held if piece.matrix or held > 2 else 2)
        if piece.matrix:
            matrix = max(matrix, piece.largest)
    if method.fused:
        gradients = largest
    kept = states(arch, method, work, room.anew) * (room.slack * ADAPTED if method.rank else room.slack)
    if method.precision == "autocast":  # copies of the matrices for the time of a step
        other += sum(piece.n for piece in found if piece.matrix) * 2.0
    if method.held == "nf4":
        other += matrix * 2  # one matrix at a time is unpacked
    if devices > 1:
        other += 2 * max(stack.n_block for stack in arch.stacks) * weight  # the block at work, and the next one
        weights, optimizer = weights / devices, optimizer / devices
        gradients = gradients / devices if not method.fused else gradients
    else:
        other += hole(arch, method, work.n_labels, room)
    return Memory(weights, gradients, optimizer, kept, other + room.base)


def hole(arch: Architecture, method: Method, n_labels: int, room: Room) -> float:
    """Bytes of a table of gradients that is freed and, under this allocator, not found again by the next one."""
    if not room.hole or method.fused or method.small or method.frozen_table:
        return 0.0
    return next(pieces(arch, method, n_labels)).n * PRECISIONS[method.precision][1]


def states(arch: Architecture, method: Method, work: Work, anew: float = 1.0) -> float:
    """Bytes that the forward pass keeps for the backward pass at the worst moment: of one part of a step.

    `anew`: how many times what a block keeps is there while it is computed anew and led back.
    """
    _, _, _, number, wide = PRECISIONS[method.precision]
    tokens = work.part_rows * work.tokens
    total, largest = 0.0, 0.0
    for stack, frozen in _frozen(arch, method):
        own, between = block_bytes(arch, stack, work.tokens, method)
        learning = stack.layers - frozen
        largest = max(largest, own + between)
        if method.checkpointing:
            total += learning * arch.width * number
        else:
            learn, _ = _blocks(arch, stack, method, work, frozen)
            total += learn.states * own + learn.pairs * between
    # one block is computed anew; or it is at work above what the others keep, and leaves no trace
    total = total + anew * largest if method.checkpointing else max(total, largest)
    total += 3 * arch.width * wide
    if not work.n_labels and arch.kind != "encoder":
        total += arch.vocab * (number + 2 * wide)  # logits, in single precision for the loss, and their gradient
    return total * tokens


@dataclass(frozen=True, slots=True)
class _Short:
    """Work in whole blocks: products, attention with dropout, states that are kept."""

    products: float = 1.0
    pairs: float = 1.0
    states: float = 1.0


def _last(arch: Architecture, stack: Stack, method: Method, work: Work) -> _Short:
    """What the last block does of a whole one. Where the head reads the first token: keys and values of every token, and
    all else of one."""
    if arch.model_type not in FIRST or not work.n_labels or stack is not arch.stacks[-1]:
        return _Short()
    matrices = sum(linear.n_in * linear.n_out for linear in stack.linears)
    whole = sum(linear.n_in * linear.n_out for linear in stack.linears if linear.name in ("key", "value"))
    number = PRECISIONS[method.precision][3]
    own, _ = block_bytes(arch, stack, work.tokens, method)
    entering = (2 if method.precision == "autocast" else 1) * arch.width
    kept = (entering + 2 * arch.kv_heads * arch.head_width) * number
    one = 1 / work.tokens
    return _Short((whole + (matrices - whole) * one) / matrices, one, min(1.0, kept / own + one))


def _blocks(arch: Architecture, stack: Stack, method: Method, work: Work, frozen: int) -> tuple[_Short, _Short]:
    """The work of how many whole blocks those do that learn, and those that are frozen; the last one may do less."""
    short = _last(arch, stack, method, work)

    def of(n: int, last: bool) -> _Short:
        less = 1 if last and n else 0
        return _Short(*(n - less * (1 - each) for each in (short.products, short.pairs, short.states)))

    learning = stack.layers - frozen
    return of(learning, True), of(frozen, not learning)


def block_bytes(arch: Architecture, stack: Stack, tokens: int, method: Method) -> tuple[float, float]:
    """Bytes that one trained block keeps of each token: of its states, and of attention between tokens.

    Of a block of BERT without dropout: 2 D numbers enter norms, D attention; 3 D queries, keys and values; D out of
    attention, D into the feed-forward layers, 4 D before and 4 D after their function: 16 D, which in half precision are
    the 32 bytes of Korthikanti et al.; a byte each for the masks of dropout makes their 34. Attention that is written out:
    softmax, what is left of it, and a mask: 5 a head and token in half precision, and more in single precision.
    Under autocast norms and softmax stay in single precision, and each of query, key and value copies what enters.
    """
    _, _, _, number, wide = PRECISIONS[method.precision]
    inner, kv = arch.heads * arch.head_width, arch.kv_heads * arch.head_width
    fused = any(linear.name == "qkv" for linear in stack.linears)
    turned = arch.model_type == "modernbert" or arch.kind == "decoder"
    qkv = inner + 2 * kv + (inner + kv if fused and turned else 0)  # turned queries and keys lie beside the fused ones
    entering = 3 * arch.width if method.precision == "autocast" and not fused else arch.width
    kept = entering + qkv + inner + arch.width + (4 if arch.gated else 2) * arch.ffn
    norms = 2 * arch.width
    if stack.attentions == 2:
        kept += arch.width + 3 * inner + inner
        norms += arch.width
    if method.rank:
        kept += method.rank * len(stack.linears)
    if method.bottleneck:
        kept += 2 * (arch.width // REDUCTION) + arch.width
    masks = 2 * arch.width * stack.attentions if arch.dropout else 0
    pairs = 0.0
    if arch.relative:
        # products with the table in both directions, the turned table of each row, softmax and what is left of it
        pairs = (2 * arch.heads * arch.relative + 2 * inner * arch.relative / tokens) * number
        pairs += arch.heads * tokens * (2 * number + 1)
    elif arch.attention_dropout:
        pairs = arch.heads * tokens * (wide + number + 1) * stack.attentions
    return kept * number + norms * wide + masks, pairs


# -- operations and seconds -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Operations:
    """What one optimizer step does, in the units that a machine has rates for."""

    flops: float
    """floating-point operations in products of matrices"""
    fused: float
    """floating-point operations in attention that one kernel computes"""
    states: float
    """bytes of states that are kept, each of which is read and written some times"""
    turned: float
    """the same of blocks that turn queries and keys by their place and gate what they feed forward"""
    scores: float
    """bytes of attention between tokens that is written out, where no kernel does without"""
    draws: float
    """numbers that dropout draws"""
    blocks: float
    """passes through a block, whatever its size"""
    updates: float
    """parameters that the optimizer moves, but for the table of pieces"""
    table: float
    """parameters of the table of pieces that it moves: their gradient is mostly zeros"""
    steps: float = 1.0

    def document(self) -> dict[str, float]:
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def times(self, factor: float) -> Operations:
        return Operations(**{each.name: getattr(self, each.name) * factor for each in fields(self)})


RATES = tuple(each.name for each in fields(Operations))


def operations(arch: Architecture, method: Method, work: Work) -> Operations:
    """What one optimizer step does, over all its parts."""
    tokens = work.rows * work.tokens
    flops = fused = moved = scores = draws = passes = 0.0
    turns = arch.model_type == "modernbert" or arch.kind == "decoder"
    number = PRECISIONS[method.precision][3]
    eager = bool(arch.relative) or bool(arch.attention_dropout)
    first = True
    free = not method.frozen_table and not method.small
    for stack, frozen in _frozen(arch, method):
        matrices = sum(linear.n_in * linear.n_out for linear in stack.linears)
        pairs = 2 * work.tokens * arch.heads * arch.head_width * stack.attentions  # products with keys, and with values
        if arch.relative:
            pairs += 2 * arch.relative * arch.heads * arch.head_width
        own, between = block_bytes(arch, stack, work.tokens, method)
        learning = stack.layers - frozen
        ahead = 2 * matrices * tokens
        between_ahead = 2 * pairs * tokens
        again = 2 if method.checkpointing else 1
        learn, still = _blocks(arch, stack, method, work, frozen)
        done = 0.0 if method.cached else still.pairs * between_ahead
        # a kernel computes scores anew on its way back
        done += learn.pairs * between_ahead * (again + (2 if eager else 2.5))
        if eager:
            flops += done
        else:
            fused += done
        if not method.cached:
            flops += still.products * ahead
            moved += still.states * own * tokens / 3
            scores += still.pairs * between * tokens / 3 * (RELATIVE if arch.relative else 1)
            passes += frozen * work.parts
        back = 2 * matrices * tokens * (1 if method.small else 2)
        added = 3 * 2 * _added(arch, stack, method) * tokens
        flops += learn.products * (ahead * again + back + added)
        if first and learning and not free and not method.small:
            # nothing below learns: what enters the lowest block that does needs no gradient
            names = ("key", "value") if learn.pairs < 1 else ("query", "key", "value", "qkv")
            entering = [linear for linear in stack.linears if linear.name in names]
            flops -= 2 * sum(linear.n_in * linear.n_out for linear in entering) * tokens
        first = first and not learning
        more = 4 / 3 if method.checkpointing else 1
        moved += learn.states * own * tokens * more
        scores += learn.pairs * between * tokens * more * (RELATIVE if arch.relative else 1)
        if arch.dropout:
            draws += learn.pairs * 2 * arch.width * stack.attentions * tokens * again
        if arch.attention_dropout:
            draws += learn.pairs * arch.heads * work.tokens * stack.attentions * tokens * again
        if method.rank:  # what adapters give is scaled, added, and led back
            moved += learn.products * BESIDE * number * sum(linear.n_out for linear in stack.linears) * tokens
        passes += learning * work.parts * (3 + (2 if method.small else 0) + (1 if method.checkpointing else 0))
    if not work.n_labels and arch.kind != "encoder":
        flops += 3 * 2 * arch.vocab * arch.width * tokens
        moved += 3 * arch.vocab * tokens * number
    if arch.dropout and free:
        draws += arch.width * tokens
    found = list(pieces(arch, method, work.n_labels))
    table = found[0].n if found[0].trained else 0
    trained = sum(piece.n for piece in found if piece.trained) - table
    plain, turned = (0.0, moved) if turns else (moved, 0.0)
    return Operations(flops, fused, plain, turned, scores, draws, passes, trained, table)


def forward(
    arch: Architecture, rows: int, tokens: int, precision: Precision = "fp32", blocks: int | None = None
) -> Operations:
    """What reading `rows` texts of `tokens` tokens does in the lowest `blocks`, or all, with nothing learned."""
    every = sum(stack.layers for stack in arch.stacks)
    frozen = Method("read", frozen_blocks=every, frozen_table=True, precision=precision)
    found = operations(arch, frozen, Work(rows, tokens))
    if blocks is not None:
        found = found.times(blocks / every)
    return replace(found, draws=0.0, updates=0.0, table=0.0, steps=0.0)


@dataclass(frozen=True, slots=True)
class Rates:
    """Seconds for one unit of each operation; `calibrated`: they were measured on the machine that is meant.

    `spread`: how far off a step may be, as a factor both ways.
    """

    seconds: Mapping[str, float]
    calibrated: bool
    spread: float
    source: str

    def step(self, done: Operations) -> float:
        """Seconds of what is done."""
        return sum(self.seconds.get(name, 0.0) * getattr(done, name) for name in RATES)


# Rates of one core of an AMD EPYC with AVX-512, in single precision and in bf16 by autocast (docs/log.md): where a
# measurement cannot tell two kinds of work apart, their rates are drawn towards the ratios of these.
USUAL: Mapping[str, Mapping[str, float]] = {
    "fp32": {
        "flops": 9e-12, "fused": 8e-12, "states": 5e-10, "turned": 4.5e-10, "scores": 5e-10, "draws": 2e-9,
        "blocks": 2e-4, "updates": 1.9e-9, "table": 8e-10, "steps": 5e-3,
    },
    "half": {
        "flops": 1.8e-12, "fused": 9e-12, "states": 7e-10, "turned": 1.1e-9, "scores": 9e-10, "draws": 3e-9,
        "blocks": 2e-4, "updates": 1.8e-9, "table": 8e-10, "steps": 5e-3,
    },
}  # fmt: skip
DRAWN = 0.03


def fit(done: Sequence[Operations], seconds: Sequence[float], usual: Mapping[str, float]) -> dict[str, float]:
    """Rates, none below zero, that explain measured seconds, with the least sum of absolute relative errors.

    By least squares that are weighed anew: one measurement that other work disturbed must not bend all rates. `usual`
    rates, all of them scaled alike, are one weak observation each.
    """
    import numpy as np
    from scipy.optimize import nnls

    rows = np.array([[getattr(each, name) for name in RATES] for each in done], float)
    target = np.array(seconds, float)
    prior = np.array([usual[name] for name in RATES])
    prior = prior * float(np.median(target / (rows @ prior)))
    relative = rows * prior / target[:, None]
    weight = np.ones(len(target))
    drawn = np.sqrt(DRAWN) * np.eye(len(prior))
    for _ in range(30):
        found, _ = nnls(np.vstack([relative * weight[:, None], drawn]), np.concatenate([weight, drawn.sum(axis=1)]))
        weight = np.sqrt(0.1 / np.maximum(np.abs(relative @ found - 1), 0.03))
    return {name: float(value) for name, value in zip(RATES, found * prior, strict=True)}
