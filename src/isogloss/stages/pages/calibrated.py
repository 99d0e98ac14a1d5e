"""Calibration for a reader: the expected calibration error of each language before and after, on test.

Read by REPORT.md and by report.html.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import polars as pl

from isogloss.core import files
from isogloss.core.calibration import Calibration
from isogloss.core.recipe import Recipe
from isogloss.core.run import Run
from isogloss.core.tasks import task_of
from isogloss.stages import model


def words(run: Run) -> Iterator[str]:
    """What was fitted, in sentences."""
    found = Calibration.of(model.read_card(run.folder)["calibration"])
    for block in found.blocks:
        task = f" of {task_of(block.labels[0])}" if len(found.blocks) > 1 else ""
        tried = ", ".join(f"{name} {loss:.4f}" for name, loss in sorted(block.tried.items(), key=lambda item: item[1]))
        how = (
            "Nothing was fitted: no calibration was better"
            if block.strength is None
            else f"A {block.kind} fitted to dev, "
            + (
                "for all languages alike"
                if math.isinf(block.strength)
                else f"by language and shrunk to what fits all as by {block.strength:g} rows"
            )
            + ", was best"
        )
        yield f"{how} on held-out dev rows{task} (log-loss, each language alike: {tried})."
    if any(block.strength is not None for block in found.blocks):
        yield (
            "The expected calibration error on test, before and after, paired and corrected over languages; lower is better, "
            "and noise only adds to it."
        )


def rows(recipe: Recipe, run: Run, scores: pl.DataFrame) -> list[dict[str, Any]]:
    """By language, and task where there are several: calibration error before and after, dev rows, temperature."""
    if not recipe.calibrations or "calibration" not in model.read_card(run.folder):
        return []
    blocks = Calibration.of(model.read_card(run.folder)["calibration"]).blocks
    pairs = files.read_parquet(run.path("paired.parquet")).filter(
        pl.col("by") == "lang", pl.col("other") == "uncalibrated"
    )
    out = []
    for metric, block in zip(recipe.calibrations, blocks, strict=True):
        cells = _by_lang(scores, metric)
        own = {row["key"]: row for row in pairs.filter(pl.col("metric") == metric).iter_rows(named=True)}
        for tag in run.require("prepare")["facts"]["langs"]:
            after, fit = cells.get(("model", tag)), block.by_lang.get(tag)
            if after is None or after["value"] is None:
                continue
            pair = own.get(tag)
            diff = pair and {"value": pair["diff"], "low": pair["low_corrected"], "high": pair["high_corrected"]}
            out.append({
                "lang": tag, "fitted": block.strength is not None, "task": metric.partition("@")[2], "n_dev": fit.n if fit else 0,
                "temperature": 1.0 if block.strength is None else (fit or block.pooled).temperature,
                "n": after["n"], "before": cells.get(("uncalibrated", tag)), "after": after, "diff": diff,
                "verdict": pair["verdict"] if pair else "",
            })  # fmt: skip
    return sorted(out, key=lambda row: (row["task"], -row["after"]["value"], row["lang"]))


def _by_lang(scores: pl.DataFrame, metric: str) -> dict[tuple[str, str], dict[str, Any]]:
    """(system, language) → its row of scores."""
    found = scores.filter(pl.col("by") == "lang", pl.col("metric") == metric)
    return {(row["system"], row["key"]): row for row in found.iter_rows(named=True)}
