"""What a recipe will cost on this machine or another: its model's config, its method, the lengths of its texts. No torch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from isogloss.core import architecture, estimate, machines
from isogloss.core.architecture import Architecture
from isogloss.core.energy import AROUND_WATTS, CORE_WATTS
from isogloss.core.errors import IsoglossError, MissingError
from isogloss.core.estimate import Method
from isogloss.core.machines import Setup
from isogloss.core.recipe import Recipe, Train
from isogloss.stages.checkup import machine as system
from isogloss.stages.checkup.measure import measured
from isogloss.stages.planning.cost import PIECE_BYTES, Cost, Job, Price, cost, of_measurement

# Texts of which the tokens are counted.
SAMPLE = 2000
# A vocabulary is trimmed when at most this share of it is used (nn/trimming.py).
TRIMS = 0.9
# What the layers of an encoder are called that LoRA may be asked for → what they are called here.
TARGETS: Mapping[str, tuple[str, ...]] = {
    "dense": ("output", "up", "down"), "query": ("query",), "key": ("key",), "value": ("value",),
    "query_proj": ("query",), "key_proj": ("key",), "value_proj": ("value",), "q_proj": ("query",),
    "k_proj": ("key",), "v_proj": ("value",), "o_proj": ("output",), "out_proj": ("output",), "q_lin": ("query",),
    "k_lin": ("key",), "v_lin": ("value",), "out_lin": ("output",), "lin1": ("up",), "lin2": ("down",),
    "Wqkv": ("qkv",), "Wo": ("output", "down"), "Wi": ("up",), "gate_proj": ("gate",), "up_proj": ("up",),
    "down_proj": ("down",), "fc1": ("up",), "fc2": ("down",),
}  # fmt: skip


def here(precision: str = "auto") -> Setup:
    """This machine: the accelerator that the system lists, else its cores, with what was measured where it was."""
    found = system.machine(ask_torch=False)
    chip = found.accelerator or {}
    value = measured() or {}
    if chip.get("kind") == "cuda" and chip.get("n_bytes"):
        words = f"{chip['n']}x{chip['n_bytes'] / 1e9:.0f}GB"
        try:
            setup = machines.parse(f"{words} {chip['name']}")
        except IsoglossError:  # a card that is not in the table
            setup = machines.parse(words)
        setup = replace(setup, words=f"this machine: {chip['n']} x {chip['name']}", n_bytes=float(chip["n_bytes"]))
        device = "cuda"
    else:
        free = found.n_bytes_free
        # as nn/world.py decides: half precision where the cores multiply in it
        half: estimate.Precision = "autocast" if found.bf16_cpu else "fp32"
        setup = Setup(
            f"this machine: {found.n_cores} cores, {(free or 0) / 1e9:.1f} GB free", "cpu", 1,
            None if free is None else float(free), machines.assumed_cpu(found.n_cores, half != "fp32"), estimate.CPU,
            AROUND_WATTS + CORE_WATTS * found.n_cores, half,
            (f"{machines.CORE_FLOPS / 1e9:g} GFLOP/s a core", f"{CORE_WATTS:g} W a core"),
        )  # fmt: skip
        device = "cpu"
    if precision != "auto":
        setup = replace(setup, precision="fp32" if precision == "fp32" else "autocast")
    known = of_measurement(value, setup.precision) if value.get("step_device") == device else None
    if known is None:
        return setup
    rates, base = known
    room = replace(setup.room, base=float(base), source=rates.source) if base and device == "cpu" else setup.room
    assumed = tuple(word for word in setup.assumed if " W " in word)
    return replace(setup, rates=rates, room=room, assumed=assumed)


# -- what the recipe says ---------------------------------------------------------------------------------------


def methods(train: Train, setup: Setup, rows: int | None = None) -> tuple[Method, list[str]]:
    """The method that a recipe's [train] amounts to on a machine, and a sentence about each part that nothing is known of.

    `rows`: pieces of the vocabulary that the corpus uses, where it is trimmed.
    """
    precision: estimate.Precision = setup.precision
    if train.precision != "auto":
        precision = "fp32" if train.precision == "fp32" else "autocast"
    made = Method(
        "full", precision=precision, optimizer=train.optimizer, fused=train.in_backward,
        checkpointing=train.checkpointing, rows=rows if train.trim and train.optimizer != "adafactor" else None,
    )  # fmt: skip
    notes = []
    for slot in train.methods:
        knobs = slot.knobs
        if slot.use == "freeze":
            frozen, table = int(knobs.get("blocks", 0)), bool(knobs.get("embeddings", True))
            cached = table and frozen > 0 and train.states_gb > 0
            made = replace(made, name="freeze", frozen_blocks=frozen, frozen_table=table, cached=cached)
        elif slot.use == "lora":
            targets = tuple(name for target in knobs.get("targets", ()) for name in TARGETS.get(target, (target,)))
            made = replace(made, name="lora", rank=int(knobs.get("r", 8)), targets=targets, frozen_table=True)
        elif slot.use not in ("full", "llrd"):
            notes.append(f"what the method '{slot.use}' takes besides is not in the estimate")
    return made, notes


def architecture_of(recipe: Recipe) -> Architecture:
    """The architecture of the recipe's encoder, with the recipe's dropout.

    Raises MissingError where the model is not on this disk, InputError for a config that cannot be read.
    """
    knobs = recipe.model.knobs
    if knobs.get("scratch"):
        size = {"layers": 4, "width": 256, "heads": 4, "vocab": 16_000, **dict(knobs["scratch"])}
        found = architecture.of(
            {
                "model_type": "modernbert", "hidden_size": size["width"], "num_hidden_layers": size["layers"],
                "num_attention_heads": size["heads"], "intermediate_size": 2 * size["width"],
                "vocab_size": size["vocab"], "max_position_embeddings": 1024, "mlp_dropout": 0.1,
            },
            "model.scratch",
        )  # fmt: skip
    else:
        found = architecture.read(folder_of(str(knobs.get("name", "")), recipe.locate))
    if recipe.train.dropout is not None:
        found = replace(found, dropout=recipe.train.dropout, attention_dropout=recipe.train.dropout)
    return found


def folder_of(name: str, locate: Any) -> Path:
    """The folder of a model: of the package, on disk, or in the hub's cache. Raises MissingError when it is nowhere."""
    if name.startswith("isogloss/"):
        return Path(__file__).parents[2] / "assets" / name.partition("/")[2]
    folder: Path = locate(name)
    if folder.is_dir():
        return folder
    import os

    home = (
        os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME") or Path.home() / ".cache/huggingface") / "hub"
    )
    kept = sorted((Path(home) / f"models--{name.replace('/', '--')}" / "snapshots").glob("*/config.json"))
    if kept:
        return kept[-1].parent
    raise MissingError(f"the model '{name}' is not on this disk, so its config.json cannot be read")


# -- lengths ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counted:
    """Of a sample of texts: tokens of each, special ones included; how many pieces all rows together use, of how many."""

    lengths: tuple[int, ...]
    rows: int | None = None
    pieces: int = 0

    @property
    def kept(self) -> int | None:
        """Pieces that are in training where the vocabulary is trimmed; None where it is not worth it, or not known."""
        return self.rows if self.rows is not None and self.rows <= TRIMS * self.pieces else None


def tokens(folder: Path, texts: Sequence[str], most: int, n_all: int) -> Counted | None:
    """Count with the tokenizer of a model folder; None where that is not a tokenizer.json that can be read.

    Pieces of `n_all` texts are those of the sample, and beyond it as many more as the sample's own halves tell (a power
    law, Heaps 1978).
    """
    file = folder / "tokenizer.json"
    if not file.is_file() or not texts:
        return None
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        ids = [found.ids for found in tokenizer.encode_batch(list(texts))]
    except Exception:  # whatever a damaged file makes it say: lengths are then guessed
        return None
    whole = len({piece for row in ids for piece in row})
    half = len({piece for row in ids[::2] for piece in row})
    more = max(1.0, n_all / len(texts)) ** (math.log2(whole / half) if half else 0.0)
    return Counted(tuple(max(2, min(most, len(row))) for row in ids), round(whole * more), tokenizer.get_vocab_size())


def tokenizer_kind(folder: Path) -> str:
    """The kind of a folder's tokenizer: unigram, bpe, wordpiece, or nothing where it cannot be told."""
    value = read_json(folder / "tokenizer.json")
    kind = value.get("model", {}).get("type", "") if isinstance(value, dict) else ""
    return str(kind).lower() if str(kind).lower() in PIECE_BYTES else ""


def spread_out(texts: Iterable[str], n: int = SAMPLE) -> list[str]:
    """At most `n` of the texts, evenly from all of them."""
    every = list(texts)
    if len(every) <= n:
        return every
    step = len(every) / n
    return [every[int(i * step)] for i in range(n)]


def of_run(recipe: Recipe, folder: Path, setup: Setup | None = None, price: Price | None = None) -> Cost:
    """What training a prepared run will take. Raises MissingError where the corpus or the model is not on this disk."""
    import polars as pl

    from isogloss.core.corpus import Corpus

    if not any((folder / "corpus").glob("*.parquet")):
        raise MissingError(f"{folder} has no corpus yet; run: isogloss prepare RECIPE")
    setup = setup or here(recipe.train.precision)
    arch = architecture_of(recipe)
    corpus = Corpus(folder / "corpus")
    every = corpus.frame()
    rows, dev = every.filter(pl.col("split") == "train"), every.filter(pl.col("split") == "dev")
    if recipe.train.langs is not None:
        rows = rows.filter(pl.col("lang").is_in(recipe.train.langs))
        dev = dev.filter(pl.col("lang").is_in(recipe.train.langs))
    most = min(recipe.the_task.knobs.get("max_length", 512), arch.context or 512)
    sample = spread_out(rows["text"].to_list())
    rest = spread_out(every.filter(pl.col("split") != "train")["text"].to_list())
    scratch = bool(recipe.model.knobs.get("scratch"))
    model = None if scratch else folder_of(str(recipe.model.knobs.get("name", "")), recipe.locate)
    counted = tokens(model, [*sample, *rest], most, every.height) if model else None
    if counted is None:
        counted = Counted(tuple(min(most, 2 + len(text) // 3) for text in sample))
    n_labels = rows["label"].n_unique() if "label" in rows.columns else 0
    method, _ = methods(recipe.train, setup, counted.kept)
    spec = recipe.train
    job = Job(
        counted.lengths[: len(sample)], rows.height, spec.batch, spec.batch_tokens, spec.accumulate, spec.epochs or 5.0,
        spec.steps, n_labels, dev.height, every.filter(pl.col("split") == "test").height,
        _evaluations(spec, rows.height), recipe.seed, tokenizer_kind(model) if model else "bpe",
    )  # fmt: skip
    return cost(arch, method, job, setup, price)


def _evaluations(spec: Train, n_rows: int) -> int:
    steps = spec.steps or max(1, round((spec.epochs or 5.0) * n_rows / spec.batch))
    return 10 if spec.eval_every is None else max(1, -(-steps // spec.eval_every))


def read_json(path: Path) -> Any:
    """A JSON file, or None where it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
