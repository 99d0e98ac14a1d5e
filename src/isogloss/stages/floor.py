"""The floor: character n-grams, fitted in seconds, beside which every model is set."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import polars as pl

from isogloss.core import parts
from isogloss.core.tasks import task_of

FLOOR = "ngram"


def part() -> parts.Part:
    """The family that the floor is of."""
    return parts.load("families", FLOOR)


def answers(
    train: pl.DataFrame, asked: pl.DataFrame, labels: tuple[str, ...], scope: Literal["lang", "pooled"],
    knobs: dict[str, Any] | None = None,
) -> np.ndarray:  # fmt: skip
    """Probabilities `(N, C)` for the rows `asked`, of n-grams fitted on `train`: one model a language, or one for all.

    `train` has a `weight`, or all rows weigh alike. Where rows name their task, each task has models of its own.
    """
    found = part()
    given = {**(knobs or found.bind({})), "scope": scope}
    rows = train if "weight" in train.columns else train.with_columns(pl.lit(1.0).alias("weight"))
    if "task" not in asked.columns:
        return np.asarray(found.module.predict(found.call("fit", rows, labels, knobs=given), asked))
    out = np.zeros((asked.height, len(labels)))
    for task in asked["task"].unique().sort().to_list():
        own = [i for i, label in enumerate(labels) if task_of(label) == task]
        some, at = rows.filter(pl.col("task") == task), np.flatnonzero((asked["task"] == task).to_numpy())
        if some.height and own:
            fitted = found.call("fit", some, [labels[i] for i in own], knobs=given)
            out[at[:, None], own] = found.module.predict(fitted, asked[at])
    return out


def vectors(train: pl.DataFrame, asked: pl.DataFrame) -> Any:
    """Unit vectors of the texts `asked`, sparse, weighted by how rare n-grams are in those of `train`."""
    module = part().module
    return module.vectors(asked["text"].to_list(), module.rarity(train["text"].to_list()))
