"""The last step of training where the recipe asks for it: the model's probabilities are fitted to dev, by language.

What is fitted goes into the model's card (`isogloss.json`), and is applied wherever isogloss asks that model. Only dev
rows that may choose among checkpoints take part, those of `train.langs`; every other language has the pooled fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from isogloss.core import calibration
from isogloss.core.calibration import Block, Calibration
from isogloss.core.evidence import FEW_UNITS
from isogloss.core.recipe import Recipe
from isogloss.core.run import Run
from isogloss.core.say import Say
from isogloss.core.tasks import task_of

if TYPE_CHECKING:
    import polars as pl


def calibrate(recipe: Recipe, run: Run, labels: tuple[str, ...], dev: pl.DataFrame, say: Say) -> dict[str, Any]:
    """Fit the run's model to the dev rows that may choose; returns what its card says of it, {} without such rows."""
    import polars as pl

    known = dev.filter(pl.col("label").is_in(labels))
    if known.is_empty():
        say.note(
            "train.calibrate needs dev rows of the languages that are trained on, and there are none: not calibrated"
        )
        return {}
    assert recipe.train.calibrate != "none"
    family = recipe.family.module
    probs = np.asarray(family.predict(family.read(run.path("model")), known), dtype=np.float64)
    by_task = "task" in known.columns
    found = fitted(known, probs, labels, recipe.train.calibrate, recipe.train_seed, by_task=by_task)
    for sentence in told(found):
        say.line(f"train     {sentence}")
    return {"calibration": found.to_json()}


def fitted(
    dev: pl.DataFrame, probs: np.ndarray, labels: tuple[str, ...], kind: calibration.Kind, seed: int, *, by_task: bool
) -> Calibration:
    """The calibration of probabilities `(N, C)` of dev rows (`id, lang, group, label`), one block for each task."""
    import polars as pl

    code = {label: i for i, label in enumerate(labels)}
    gold = np.array([code[label] for label in dev["label"]], dtype=np.int64)
    units = dev.select(pl.coalesce(pl.format("g{}", "group"), pl.format("r{}", "id"))).to_series().to_list()
    langs = dev["lang"].to_list()
    tasks = sorted({task_of(label) for label in labels}) if by_task else [""]
    blocks: list[Block] = []
    for task in tasks:
        own = [i for i, label in enumerate(labels) if not by_task or task_of(label) == task]
        at = np.flatnonzero(np.isin(gold, own))
        place = {i: k for k, i in enumerate(own)}
        block = calibration.fit(
            probs[at][:, own], np.array([place[i] for i in gold[at].tolist()], np.int64), [langs[i] for i in at],
            [units[i] for i in at], [labels[i] for i in own], kind, seed,
        )  # fmt: skip
        blocks.append(block)
    return Calibration(tuple(blocks))


def told(found: Calibration) -> list[str]:
    """A sentence for each block."""
    out = []
    for block in found.blocks:
        if block.strength is None and block.pooled.n < FEW_UNITS:
            out.append(f"not calibrated: {block.pooled.n:,} dev rows are too few to tell, fewer than {FEW_UNITS}")
            continue
        if block.strength is None:
            out.append(
                f"not calibrated: on {block.pooled.n:,} held-out dev rows nothing was better than the model itself"
            )
            continue
        own = (
            "all languages alike" if np.isinf(block.strength) else f"by language, shrunk as by {block.strength:g} rows"
        )
        each = sorted(fit.temperature for fit in block.by_lang.values())
        least, most = each[0], each[-1]
        spread = f"{least:.2f}" if np.isclose(least, most) else f"{least:.2f} to {most:.2f}"
        out.append(f"calibrated {own} on {block.pooled.n:,} dev rows: temperature {spread}")
    return out
