"""Which way of training fits a machine: every method asked, the one that changes most of the model first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import NormalDist

from isogloss.core import estimate, parts
from isogloss.core.architecture import Architecture
from isogloss.core.errors import IsoglossError
from isogloss.core.estimate import Method
from isogloss.core.machines import Setup
from isogloss.stages.planning import forecast
from isogloss.stages.planning.cost import Cost, Job, Price, cost, peak

# Methods that isogloss may train with, in the order in which they are tried: what changes more of a model comes first.
TRIED = ("full", "freeze", "lora")
# Parts of a step that are tried, until one fits.
PARTS = (1, 2, 4, 8, 16)
# An estimate must leave so much of the memory: it may be 15 % off.
MARGIN = 1.15
# Parameters from which a model is held in half precision.
LARGE = 1.5e9
# Spread of the lengths of texts where none was seen: of the logarithm, assumed.
SPREAD, DRAWN = 0.5, 96
# Steps below which few rows are seen more often (Mosbach et al. 2021: few rows want many passes), and how often at most:
# above ten passes large models learn few rows by heart (docs/how-to/few-shot.md).
STEPS, MOST_EPOCHS, EPOCHS, BATCH = 500, 10, 5, 32


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of rows, how they were found, and pieces of the vocabulary that are in training where it is trimmed."""

    tokens: tuple[int, ...]
    how: str
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """A method on a machine: `parts` of a step, whether blocks are computed again, and what it costs.

    `runs`: isogloss trains so today. `cost` None: it does not fit, `memory` says by how much.
    """

    method: Method
    parts: int
    runs: bool
    n_bytes: float
    cost: Cost | None


def lengths(texts: Sequence[str], folder: Path | None, tokens: int, most: int, n_all: int) -> Lengths:
    """Tokens of rows: counted where the tokenizer is here, by characters where texts are, else as usual."""
    if texts and folder is not None:
        counted = forecast.tokens(folder, texts, most, max(n_all, len(texts)))
        if counted is not None:
            return Lengths(counted.lengths, f"counted in {len(texts):,} of your texts", counted.kept)
    if texts:
        found = tuple(max(2, min(most, 2 + len(text) // 3)) for text in texts)
        return Lengths(found, f"a third of the characters of {len(texts):,} of your texts")
    normal = NormalDist(math.log(tokens), SPREAD)
    drawn = tuple(max(3, min(most, round(math.exp(normal.inv_cdf((i + 0.5) / DRAWN))))) for i in range(DRAWN))
    return Lengths(drawn, f"{tokens} tokens a row at the median: assumed (--tokens says otherwise)")


def epochs(n_rows: int, batch: int = BATCH) -> int:
    """How often few rows are seen."""
    return min(MOST_EPOCHS, max(EPOCHS, math.ceil(STEPS * batch / max(1, n_rows))))


@cache
def trained_here() -> frozenset[str]:
    """Methods of core/estimate.py that isogloss trains with today."""
    known = parts.names("methods")
    return frozenset([name for name in estimate.NAMES if name in known] + ["lomo"])


@cache
def loads(model_type: str) -> bool:
    """Whether the family `encoder` loads an architecture."""
    return model_type in parts.load("families", "encoder").constant("ARCHITECTURES")


def method(name: str, arch: Architecture, setup: Setup, rows: int | None, *, ours: bool) -> Method:
    """A method as isogloss trains it, or as others do: `ours` False, for models that isogloss does not train."""
    large = arch.n_parameters > LARGE
    made = estimate.preset(name, arch, accelerator=setup.accelerator, large=large)
    if not ours:
        return made
    made = replace(made, rows=rows)
    if name in ("qlora",):
        return made
    made = replace(made, precision=setup.precision, held="fp32", checkpointing=False)
    return replace(made, cached=True) if name == "freeze" else made


def ways(
    arch: Architecture,
    job: Job,
    setup: Setup,
    rows: int | None,
    price: Price | None,
    *,
    ours: bool,
    names: Sequence[str] = estimate.NAMES,
) -> Mapping[str, Way]:
    """Every method on the machine, each in the fewest parts in which it fits."""  # fmt: skip
    return {name: way(name, arch, job, setup, rows, price, ours=ours) for name in names}


def way(
    name: str, arch: Architecture, job: Job, setup: Setup, rows: int | None, price: Price | None, *, ours: bool
) -> Way:
    """A method on the machine, in the fewest parts in which it fits; blocks are computed again before nothing fits."""
    base = method(name, arch, setup, rows, ours=ours)
    runs = ours and name in trained_here()
    tried = [(n, base) for n in PARTS if n <= job.batch]
    if name == "lomo":
        tried = tried[:1]  # it moves weights in every part
    again = [] if base.checkpointing else [(n, replace(base, checkpointing=True)) for n, _ in tried]
    least = math.inf
    for n, made in [*tried, *again]:
        own = replace(job, parts=n)
        n_bytes = peak(arch, made, own, setup, shards=not runs).total
        least = min(least, n_bytes)
        if setup.n_bytes is None or n_bytes * MARGIN <= setup.n_bytes:
            return Way(made, n, runs, n_bytes, cost(arch, made, own, setup, price, shards=not runs))
    return Way(again[-1][1] if again else base, PARTS[-1], runs, least, None)


def chosen(
    arch: Architecture,
    job: Job,
    setup: Setup,
    rows: int | None,
    price: Price | None,
    seconds: float,
    tried: Sequence[str] = TRIED,
) -> tuple[Way | None, list[str]]:
    """The first method that fits the memory and the time; and why others before it do not."""  # fmt: skip
    why = []
    for name in tried:
        if name not in trained_here():
            continue
        found = way(name, arch, job, setup, rows, price, ours=True)
        if found.cost is None:
            why.append(f"{name} needs {found.n_bytes / 1e9:.1f} GB of {(setup.n_bytes or 0) / 1e9:.1f} GB")
        elif found.cost.seconds > seconds:
            why.append(f"{name} takes {hours(found.cost.seconds)} of {hours(seconds)}")
        else:
            return found, why
    return None, why


def hours(seconds: float) -> str:
    """A time in words.

    >>> hours(95), hours(5400), hours(200000)
    ('95 s', '90 min', '56 h')
    """
    if seconds < 180:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3 * 3600 else f"{seconds / 3600:.0f} h"


def step(seconds: float) -> str:
    """The time of a step in words.

    >>> step(0.0123), step(3.21), step(120)
    ('0.012 s', '3.2 s', '120 s')
    """
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:,.0f} s"


def priced(money: float) -> str:
    """Money in words.

    >>> priced(1.234), priced(0.002)
    ('1.23', 'under 0.01')
    """
    return f"{money:,.2f}" if money >= 0.005 else "under 0.01"


def folder(name: str, locate: object) -> Path | None:
    """The folder of a model, where it is on this disk."""
    try:
        return forecast.folder_of(name, locate)
    except IsoglossError:
        return None
