"""One run with its tables, and what every section of a page needs: scales, bars, names of languages."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from isogloss.core import files, parts
from isogloss.core import lang as lang_table
from isogloss.core.corpus import Corpus
from isogloss.core.recipe import Recipe
from isogloss.core.run import Run
from isogloss.stages import model
from isogloss.stages.pages import found as finding

SYSTEMS = {
    "model": "the model",
    "uncalibrated": "before calibration",
    "majority": "commonest label",
    "floor_lang": "n-grams, per language",
    "floor_pooled": "n-grams, pooled",
    "source": "source language only",
    "untuned": "untuned model",
}
FLOORS = (
    "N-grams per language learn from all train rows of their own language, also where the model was not trained on "
    "it: that is what labels there are worth. The pooled ones learn from the rows that the model had."
)
# What a baseline is called where there are no labels to learn.
UNLABELLED = {**SYSTEMS, "floor_pooled": "character n-grams"}
MAX_CLUSTERS = 280


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`; positions are per cent of its length."""

    low: float
    high: float

    def at(self, value: float | None) -> float | None:
        if value is None or not math.isfinite(value):
            return None
        width = self.high - self.low or 1.0
        return round(min(100.0, max(0.0, 100 * (value - self.low) / width)), 1)


@dataclass(frozen=True)
class Facts:
    """One run with its tables, each read once."""

    recipe: Recipe
    run: Run

    def table(self, name: str) -> pl.DataFrame:
        return files.read_parquet(self.run.path(f"{name}.parquet"))

    @cached_property
    def head(self) -> str:
        return self.recipe.headline

    @cached_property
    def scores(self) -> pl.DataFrame:
        return self.table("scores")

    @cached_property
    def cells(self) -> dict[tuple[str, str, str], dict[str, Any]]:
        """(system, metric, language) → its score."""
        rows = self.scores.filter(pl.col("by") == "lang")
        return {(row["system"], row["metric"], row["key"]): row for row in rows.iter_rows(named=True)}

    @property
    def words(self) -> Mapping[str, str]:
        """What systems are called."""
        return words_of(self.recipe)

    @cached_property
    def systems(self) -> list[str]:
        return self.scores["system"].unique(maintain_order=True).to_list()

    @cached_property
    def langs(self) -> list[str]:
        """Languages, the model's worst first; those without a score before all."""
        sign = -1 if better(self.head) == "lower" else 1

        def key(tag: str) -> tuple[float, str]:
            value = (self.cells.get(("model", self.head, tag)) or {}).get("value")
            return (-math.inf if value is None else sign * value, tag)

        return sorted(self.run.require("prepare")["facts"]["langs"], key=key)

    @cached_property
    def answers(self) -> pl.DataFrame:
        """The model's answers on test, in the order of languages."""
        columns = ["id", "lang", "split", "group", "label", "pred", "n_bytes"]
        columns += [] if self.recipe.labelled else ["rank", "confidence"]
        rows = files.read_parquet(self.run.path("predictions", "model.parquet"), columns)
        return rows.filter(pl.col("split") == "test")

    @cached_property
    def texts(self) -> pl.DataFrame:
        """`id, text` of the test rows."""
        return Corpus(self.run.path("corpus")).frame(["id", "text"], splits=["test"])

    @cached_property
    def card(self) -> Mapping[str, Any]:
        return dict(files.read_json(self.run.path("model", model.CARD)))

    @cached_property
    def labels(self) -> list[str]:
        seen = [
            label
            for label in self.answers["label"].unique(maintain_order=True).drop_nulls()
            if label not in self.card["labels"]
        ]
        return [*self.card["labels"], *sorted(seen)]

    def of(self, tag: str, metric: str | None = None, system: str = "model") -> dict[str, Any] | None:
        """A score, or None where there is no value."""
        found = self.cells.get((system, metric or self.head, tag))
        return found if found and found["value"] is not None else None


def words_of(recipe: Recipe) -> Mapping[str, str]:
    """What the systems of a task are called."""
    return SYSTEMS if recipe.labelled else UNLABELLED


def floors(recipe: Recipe, systems: Iterable[str]) -> str:
    """What the floors are, in a sentence or two; empty where there is none to explain."""
    if recipe.labelled:
        return FLOORS if "floor_lang" in systems else ""
    return finding.FLOOR if "floor_pooled" in systems else ""


def better(metric: str) -> str:
    return str(parts.load("metrics", metric).constant("BETTER"))


def scale_of(metric: str, rows: Iterable[Mapping[str, Any]]) -> Scale:
    """The metric's own range; where that is open, as far as the values go."""
    low, high = parts.load("metrics", metric).constant("RANGE")
    ends = [row[end] for row in rows for end in ("value", "low", "high") if row[end] is not None]
    if not math.isfinite(low):
        low = min(ends, default=0.0)
    if not math.isfinite(high):
        high = max(ends, default=1.0)
    return Scale(float(low), float(high))


def language(tag: str) -> dict[str, Any]:
    """How a language is named and set."""
    row = lang_table.facts(tag)
    known = lang_table.UNKNOWN
    return {
        "tag": tag,
        "name": row.name if row.name != known else tag,
        "endonym": row.endonym if row.endonym not in (known, row.name, row.name.split(" (")[0]) else "",
        "dir": row.direction if row.direction in ("ltr", "rtl") else "auto",
        "lang": row.bcp47 if row.bcp47 != known else "und",
    }


def bar(row: Mapping[str, Any] | None, scale: Scale) -> dict[str, Any] | None:
    """A score with the positions of its interval on a scale; None where there is no value."""
    if row is None or row["value"] is None:
        return None
    return {
        "value": row["value"],
        "low": row["low"],
        "high": row["high"],
        "n": row["n"],
        "a": scale.at(row["low"]),
        "b": scale.at(row["high"]),
        "v": scale.at(row["value"]),
    }


def clip(text: str, longest: int = MAX_CLUSTERS) -> str:
    """A text of at most so many clusters (what a reader takes for a character), without control characters.

    >>> clip("ab" * 10, 5)
    'ababa…'
    """
    import regex

    clean = regex.sub(r"[\p{Cc}--[\n\t]]", " ", text, flags=regex.V1)
    if len(clean) <= longest:
        return clean
    clusters = regex.findall(r"\X", clean[: longest * 12])
    return clean if len(clusters) <= longest else "".join(clusters[:longest]) + "…"


def is_tag(tag: str) -> bool:
    return re.fullmatch(r"[a-z]{3}_[A-Z][a-z]{3}", tag) is not None


def finite(x: Any) -> float | None:
    return float(x) if isinstance(x, int | float) and math.isfinite(x) else None


def language_or_unknown(tag: str) -> dict[str, Any]:
    return language(tag) if is_tag(tag) else {"name": "language not known", "tag": tag, "lang": "", "dir": "auto"}
