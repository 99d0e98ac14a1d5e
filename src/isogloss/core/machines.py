"""Machines in words: `1x24GB`, `8x80GB h100`, `laptop`, `cpu 16GB 4 cores` → what may be assumed of them.

Cards are rows of assets/machines.toml. A card that is not named is taken for the slowest of its size, and the range to
the fastest one is said. What a machine costs an hour is the user's to say, and never assumed.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from isogloss.core import estimate
from isogloss.core.energy import AROUND_WATTS, CORE_WATTS
from isogloss.core.errors import InputError, nearest
from isogloss.core.estimate import Rates, Room

GB = 1e9
# The share of its peak that training a transformer gets out of a card, and how far off that may be: assumed.
USED, CARD_SPREAD = 0.3, 2.5
# Of a core: operations a second in single precision; how far off that may be. Assumed, for a core with AVX2.
CORE_FLOPS, CORE_SPREAD = 35e9, 3.0
# What `laptop` means: assumed.
LAPTOP_CORES, LAPTOP_GB = 4, 16
# Of the memory of a machine that is not here, the system and other programs keep so much: assumed.
KEPT = 2.5 * GB


@dataclass(frozen=True, slots=True)
class Card:
    """An accelerator. Memory in bytes, `flops` dense in half precision, `bytes_per_second` of its memory."""

    name: str
    n_bytes: float
    flops: float
    bytes_per_second: float
    watts: float
    bf16: bool


@dataclass(frozen=True, slots=True)
class Setup:
    """A machine to train on. `n_bytes` may be used on each of `n` devices; `assumed` says what nobody measured."""

    words: str
    kind: Literal["cpu", "cuda", "mps"]
    n: int
    n_bytes: float | None
    rates: Rates
    room: Room
    watts: float
    precision: estimate.Precision
    assumed: tuple[str, ...] = ()
    half: Literal["bf16", "fp16"] = "bf16"
    """the half precision in which a card computes; those before 2020 have no bf16"""

    @property
    def accelerator(self) -> bool:
        return self.kind != "cpu"


@cache
def cards() -> Mapping[str, Card]:
    """The cards we know, by name."""
    path = Path(__file__).parents[1] / "assets" / "machines.toml"
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["card"]
    return {
        row["name"]: Card(
            row["name"],
            row["gb"] * GB,
            row["tflops"] * 1e12,
            row["gb_per_second"] * 1e9,
            float(row["watts"]),
            row["bf16"],
        )
        for row in rows
    }


_CARDS = re.compile(r"(?:(\d+)\s*x\s*)?(\d+(?:\.\d+)?)\s*GI?B(?:\s+([a-z0-9][a-z0-9 .-]*))?", re.I)
_TURNED = re.compile(r"(?:(\d+)\s*x\s*)?([a-z][a-z0-9 .-]*?)\s+(\d+(?:\.\d+)?)\s*GI?B", re.I)
_NAMED = re.compile(r"(?:(\d+)\s*x\s*)?([a-z][a-z0-9 .-]*?)", re.I)
_CPU = re.compile(r"(cpu|laptop)(.*)", re.I)


def parse(words: str) -> Setup:
    """A machine in words. Raises InputError for what is none.

    >>> parse("8x24GB").n, parse("1x24GB rtx-4090").watts, parse("cpu 16GB 4 cores").kind
    (8, 450.0, 'cpu')
    """
    text = " ".join(words.split())
    if found := _CPU.fullmatch(text):
        return _cpu(text, found[1].lower(), found[2])
    if found := _CARDS.fullmatch(text):
        n, size = int(found[1] or 1), float(found[2]) * GB
        return _of_cards(text, n, size, _named(found[3], text, size) if found[3] else None)
    if found := _TURNED.fullmatch(text):  # the name before the size
        size = float(found[3]) * GB
        return _of_cards(text, int(found[1] or 1), size, _named(found[2], text, size))
    if (found := _NAMED.fullmatch(text)) and any(f"{card}-".startswith(f"{_like(found[2])}-") for card in cards()):
        card = _named(found[2], text)
        return _of_cards(text, int(found[1] or 1), card.n_bytes, card)
    known = ", ".join(cards())
    raise InputError(
        f"'{text}' is no machine; write 1x24GB, 8x80GB h100, laptop, or cpu 16GB 4 cores (cards by name: {known})"
    )


def _like(name: str) -> str:
    return re.sub(r"[ _.]+", "-", name.strip().casefold()).removeprefix("nvidia-").replace("rtx3", "rtx-3")


def _named(name: str, text: str, n_bytes: float | None = None) -> Card:
    """The card that a name means, of those of like names the one of that size, or the smallest."""
    key = _like(name)
    close = [card for card in cards() if card == key or card.startswith(f"{key}-") or key.startswith(f"{card}-")]
    if not close:
        raise InputError(f"'{text}': there is no card '{name.strip()}' in the table{nearest(key, cards())}")
    size = 0.0 if n_bytes is None else n_bytes
    return min((cards()[card] for card in close), key=lambda card: abs(card.n_bytes - size))


def _cpu(text: str, word: str, rest: str) -> Setup:
    size = re.search(r"(\d+(?:\.\d+)?)\s*GI?B", rest, re.I)
    cores = re.search(r"(\d+)\s*cores?", rest, re.I)
    left = re.sub(r"\d+(?:\.\d+)?\s*GI?B|\d+\s*cores?|[\s,]", "", rest, flags=re.I)
    if left:
        raise InputError(f"'{text}': nobody can tell what '{left}' means; write cpu 16GB 4 cores")
    n = int(cores[1]) if cores else LAPTOP_CORES
    gb = float(size[1]) if size else float(LAPTOP_GB)
    if n < 1 or gb <= 0:
        raise InputError(f"'{text}': a machine has at least one core and some memory")
    said = [] if cores else [f"{n} cores"]
    said += [] if size else [f"{gb:g} GB"]
    what = f"{'a laptop' if word == 'laptop' else 'a machine'} of {' and '.join(said)}" if said else ""
    kept = f"{KEPT / GB:g} GB of its memory is kept by the system and other programs"
    return Setup(
        text, "cpu", 1, max(0.0, gb * GB - KEPT), assumed_cpu(n), estimate.CPU, AROUND_WATTS + CORE_WATTS * n, "fp32",
        tuple(filter(None, (what, kept, f"{CORE_FLOPS / 1e9:g} GFLOP/s a core", f"{CORE_WATTS:g} W a core"))),
    )  # fmt: skip


def assumed_cpu(n_cores: int, half: bool = False) -> Rates:
    """Rates of a machine of so many cores that nobody measured; what moves memory gains from two cores and no more.

    `half`: they multiply in half precision, which is taken for twice as fast.
    """
    wide, narrow = n_cores * 0.8 if n_cores > 1 else 1.0, min(n_cores, 2)
    seconds = {
        "flops": 1 / (CORE_FLOPS * wide * (2 if half else 1)), "fused": 4 / (CORE_FLOPS * wide),
        "states": 1 / (6e8 * narrow), "turned": 1 / (6e8 * narrow),
        "scores": 1 / (6e8 * narrow), "draws": 2e-9 / narrow, "blocks": 1.5e-4, "updates": 2.4e-9 / narrow,
        "table": 1.6e-9 / narrow, "steps": 4e-3,
    }  # fmt: skip
    return Rates(seconds, False, CORE_SPREAD, "assumed")


def assumed_card(card: Card, precision: str) -> Rates:
    """Rates of a card that nobody measured: a share of its peak, and its bandwidth."""
    half = precision != "fp32"
    flops = card.flops * (1.0 if half else 0.25)
    seconds = {
        "flops": 1 / (flops * USED), "fused": 1 / (flops * USED), "states": 6 / card.bytes_per_second, "turned": 6 / card.bytes_per_second,
        "scores": 6 / card.bytes_per_second,
        "draws": 60 / card.bytes_per_second, "blocks": 2e-4, "updates": 32 / card.bytes_per_second,
        "table": 40 / card.bytes_per_second, "steps": 5e-3,
    }  # fmt: skip
    return Rates(seconds, False, CARD_SPREAD, "assumed")


def _of_cards(text: str, n: int, n_bytes: float, card: Card | None) -> Setup:
    if n < 1 or n_bytes <= 0:
        raise InputError(f"'{text}': there must be at least one card with some memory")
    assumed = []
    spread = CARD_SPREAD
    if card is None:
        size = min((each.n_bytes for each in cards().values()), key=lambda own: abs(own - n_bytes))
        alike = sorted((each for each in cards().values() if each.n_bytes == size), key=lambda each: each.flops)
        card = alike[0]
        assumed.append(f"cards as slow as {card.name}, the slowest of {size / GB:g} GB that we know")
        if len(alike) > 1:
            assumed.append(f"the fastest, {alike[-1].name}, computes {alike[-1].flops / card.flops:.1f} times as fast")
    precision: estimate.Precision = "autocast"
    rates = assumed_card(card, precision)
    assumed.append(f"{USED:.0%} of its peak of {card.flops / 1e12:g} TFLOP/s in {'bf16' if card.bf16 else 'fp16'}")
    return Setup(
        text, "cuda", n, n_bytes, Rates(rates.seconds, False, spread, "assumed"), estimate.CUDA,
        card.watts * n, precision, tuple(assumed), "bf16" if card.bf16 else "fp16",
    )  # fmt: skip
