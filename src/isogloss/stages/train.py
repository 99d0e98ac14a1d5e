"""train: a corpus → a model.

A family either fits itself in one go (`fit`) or is trained by the loop.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import polars as pl

from isogloss.core import files
from isogloss.core.budget import Budget
from isogloss.core.corpus import Corpus
from isogloss.core.errors import DataError
from isogloss.core.recipe import Bound, Recipe
from isogloss.core.run import Run
from isogloss.core.say import Say
from isogloss.core.weights import class_weights
from isogloss.stages import model

# Windows of the mix that are drawn to weigh rows for a family that fits itself: shares are exact, rows nearly even.
WINDOWS = 10


def train(recipe: Recipe, run: Run, say: Say, *, again: bool = False) -> None:
    """Train the recipe's model on the run's corpus.

    Raises StaleError when the run holds a model made from something else, BudgetEnded when nothing could be finished.
    """
    reads = {**recipe.sections("task", "model", "train", "budget", "seed"), "corpus": run.key("prepare")}
    changed = run.differences("train", reads) if not again else ["again"]
    if changed == []:
        say.line("train     fresh, nothing to do")
        return
    if changed and not again:
        raise run.stale("train", changed)
    for stage in ("train", "evaluate"):
        run.unstamp(stage)
    budget = Budget(recipe.budget.seconds, before=0.0 if again else run.cost().get("train", 0.0))
    start = time.monotonic()
    rows = train_rows(recipe, run)
    labels = recipe.the_task("labels", rows)
    if len(labels) < 2:
        raise DataError(f"the train rows have one label only ({labels[0]!r}); a classifier needs two")
    try:
        made, facts = _fit(recipe, run, say, rows, labels, budget)
    finally:
        run.spend("train", time.monotonic() - start)
    langs = run.require("prepare")["facts"]["langs"]
    trained = sorted(rows["lang"].unique().to_list())
    value = model.card(recipe, labels, langs, trained_on=trained, n_train=rows.height, **facts)
    files.write_json(run.path("model", model.CARD), value)
    run.stamp("train", reads, [*made, run.path("model", model.CARD)], n_train=rows.height, trained_on=trained)
    seconds = time.monotonic() - start
    say.line(f"train     {recipe.model.use} on {rows.height:,} rows in {len(trained)} languages, {len(labels)} labels, {seconds:.1f} s")


def train_rows(recipe: Recipe, run: Run) -> pl.DataFrame:
    """The rows that may be learned from: split train, and the languages of `train.langs`."""
    rows = Corpus(run.path("corpus")).frame(splits=["train"])
    if recipe.train.langs is not None:
        rows = rows.filter(pl.col("lang").is_in(recipe.train.langs))
        absent = [tag for tag in recipe.train.langs if tag not in set(rows["lang"])]
        if absent and rows.height:
            raise DataError(f"train.langs names {', '.join(absent)}, which has no train rows in the corpus")
    if rows.is_empty():
        raise DataError("no train rows are left; look at data.split, train.langs and dropped/")
    return rows


def mix_weights(mix: Bound, rows: pl.DataFrame, seed: int) -> np.ndarray:
    """How often each row comes in a window of the mix, on average: weights for a family that fits itself."""
    rng = np.random.default_rng(seed)
    seen: dict[str, Any] = {"rows": {}, "epochs": {}, "loss": {}, "dev": {}}
    slim = rows.select("id", "lang", "label", pl.col("text").str.len_bytes().alias("n_bytes"))
    counts = np.zeros(rows.height)
    for _ in range(WINDOWS):
        window = mix("order", slim, rng, seen)
        counts += np.bincount(window, minlength=rows.height)
    return counts / WINDOWS


def _fit(recipe: Recipe, run: Run, say: Say, rows: pl.DataFrame, labels: tuple[str, ...], budget: Budget) -> tuple[list[Any], dict[str, Any]]:
    """A family that fits itself."""
    weight = class_weights(rows, recipe.train.weights) * mix_weights(recipe.bound(recipe.train.mix, "mixes"), rows, recipe.seed)
    known = rows.with_columns(pl.Series("weight", weight)).filter(pl.col("label").is_in(labels))
    done = 0

    def tick(what: str) -> None:
        nonlocal done
        done += 1
        say.progress("training", done, None, "models")
        budget.must_last("the model was fitted")

    budget.must_last("the model was fitted")
    fitted = recipe.family("fit", known, labels, tick=tick)
    say.close()
    files.remove(run.path("model")) if run.path("model").exists() else None
    return recipe.family.module.write(fitted, run.path("model")), {}
