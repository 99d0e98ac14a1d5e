"""What a training has spent, and what every language gained for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from isogloss.core import files
from isogloss.core import lang as lang_table
from isogloss.core.ledger import in_units, scaled
from isogloss.core.recipe import Recipe
from isogloss.core.run import Run

# What a gain is over: the first of these baselines that the run has. Both are there before anything is spent.
BEFORE = ("untuned", "majority", "floor_pooled", "floor_lang", "source")


@dataclass(frozen=True)
class Gain:
    """What a language gained on test over the baseline, paired, with its interval; and for each unit that was spent.

    `n_tokens` and `share` (0..1): the tokens of this language that were learned from.
    """

    lang: str
    value: float
    low: float
    high: float
    n: int
    n_tokens: int
    share: float
    per: Mapping[str, float]


@dataclass(frozen=True)
class Spent:
    """The ledger of a run, and gains by language, the smallest first, in the headline metric over `over`."""

    document: Mapping[str, Any]
    units: Mapping[str, float]
    metric: str
    over: str
    gains: tuple[Gain, ...]


def spent(recipe: Recipe, run: Run) -> Spent | None:
    """What an evaluated run has spent; None where it was trained before ledgers were kept."""
    path = run.path("compute.json")
    if not path.is_file():
        return None
    document = files.read_json(path)
    units, head = _units(document), recipe.headline
    paired = files.read_parquet(run.path("paired.parquet")).filter(pl.col("by") == "lang", pl.col("metric") == head)
    over = next((name for name in BEFORE if name in set(paired["other"])), "")
    total = sum(each["n_tokens"] for each in document["by_lang"].values()) or 1.0
    gains = []
    for row in paired.filter(pl.col("other") == over, pl.col("diff").is_not_null()).iter_rows(named=True):
        sign = -1 if row["better"] == "lower" else 1
        value, ends = sign * row["diff"], sorted((sign * row["low"], sign * row["high"]))
        tokens = document["by_lang"].get(row["key"], {}).get("n_tokens", 0.0)
        per = {unit: value / n for unit, n in units.items()}
        gains.append(Gain(row["key"], value, ends[0], ends[1], row["n"], int(tokens), tokens / total, per))
    gains.sort(key=lambda gain: (gain.value, gain.lang))
    return Spent(document, units, head, over, tuple(gains))


def _units(document: Mapping[str, Any]) -> dict[str, float]:
    """What was spent, by the words in which a reader is told of it."""
    known = in_units(document)
    flops, prefix = scaled(document.get("flops", 0.0))
    joules, of_joules = scaled(document["joules"])
    found = {"minute": known.get("minute", 0.0), f"{of_joules}J": joules, f"{prefix}FLOP": flops}
    if "money" in known:
        found[document.get("currency") or "unit of money"] = known["money"]
    return {name: value for name, value in found.items() if value > 0}


def sentences(found: Spent) -> Iterator[str]:
    """The totals, in words."""
    document = found.document
    yield (
        f"{document['total_seconds']:,.0f} s"
        + (f" over {document['sittings']} sittings" if document["sittings"] > 1 else "")
        + ": "
        + ", ".join(f"{what} {seconds:,.0f} s" for what, seconds in document["seconds"].items() if seconds >= 0.5)
    )
    if document.get("n_steps"):
        padding = 1 - document["n_tokens"] / max(1.0, document["n_padded_tokens"])
        yield (
            f"{document['n_steps']:,.0f} steps, {document['n_rows']:,.0f} rows, {document['n_tokens']:,.0f} tokens "
            f"(and {padding:.1%} padding), {_told(document['flops'])}FLOP"
        )
    peak = document["peak_bytes"]
    yield f"at most {peak['process'] / 1e9:.2f} GB of memory" + (
        f", {peak['device'] / 1e9:.2f} GB of it on the accelerator" if peak.get("device") else ""
    )
    yield f"{_told(document['joules'])}J ({document['joules_how']})"
    if "money" in document:
        yield f"{document['money']:,.2f} {document['currency']} at {document['price_per_hour']:g} an hour".strip()


def _told(value: float) -> str:
    number, prefix = scaled(value)
    return f"{number:.3g} {prefix}"


def columns(found: Spent) -> list[tuple[str, str]]:
    """The units that gains are told in, with their words."""
    return [(unit, f"each {unit}") for unit in found.units]


def name_of(gain: Gain) -> str:
    return f"{gain.lang} {lang_table.facts(gain.lang).name}"
