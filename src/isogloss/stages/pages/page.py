"""report.html: what a run has found, in one file; and two runs side by side.

    facts ─► scores, answers, course ─► page ─► html

Sections turn the tables of a run into plain values; `assets/page/` turns those into HTML (Jinja2, everything escaped).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isogloss.core import files
from isogloss.core.recipe import Recipe
from isogloss.core.run import Run
from isogloss.stages import compare
from isogloss.stages.pages import answers, course, scores, worldmap
from isogloss.stages.pages.facts import Facts, bar, better, language, scale_of
from isogloss.stages.pages.html import render


def page(recipe: Recipe, run: Run) -> str:
    """The HTML of an evaluated run."""
    facts = Facts(recipe, run)
    labelled = recipe.labelled
    matrices = answers.confusion(facts) if labelled else None
    shared = {"labels": matrices["labels"], "langs": matrices["langs"]} if matrices and matrices["langs"] else None
    return render(
        "run.html.j2",
        shared,
        name=recipe.name,
        model=recipe.model.use,
        task=recipe.task.use,
        metric=facts.head,
        better=better(facts.head),
        n_langs=len(facts.langs),
        n_test=facts.answers.height,
        verdict=scores.verdict(facts),
        summary=scores.summary(facts),
        languages=scores.by_language(facts),
        world=scores.world(facts),
        baselines=scores.baselines(facts),
        slices=scores.slices(facts),
        found=None if labelled else answers.found(facts),
        confusion=matrices,
        consistency=answers.consistency(facts) if labelled else None,
        lengths=scores.lengths(facts),
        fairness=scores.fairness(facts) if labelled else None,
        calibration=scores.calibration(facts) if labelled else None,
        fit=scores.fit(facts),
        curves=course.curves(facts),
        tokenizer=course.tokenizer(facts),
        data=course.data(facts),
        compute=course.compute(facts),
        made=course.made(facts),
    )


def write_page(recipe: Recipe, run: Run) -> Path:
    """Write report.html of an evaluated run; gives its path."""
    run.require("evaluate")
    path = run.path("report.html")
    files.write_text(path, page(recipe, run))
    return path


def write_pair(a: tuple[Recipe, Run], b: tuple[Recipe, Run]) -> Path:
    """Write `report-vs-B.html` in the folder of A: two runs side by side; gives its path.

    Raises what `compare.compare` raises.
    """
    found = compare.compare([a, b])
    path = a[1].path(f"report-vs-{b[1].name}.html")
    files.write_text(path, pair(a, b, found))
    return path


def pair(a: tuple[Recipe, Run], b: tuple[Recipe, Run], found: Mapping[str, Any]) -> str:
    """The HTML of two runs side by side; `found` is what `compare.compare([a, b])` gave."""
    one = found["comparisons"][0]
    names = [about["name"] for about in found["runs"]]
    diffs = scores.differences([{**row, "better": found["better"]} for row in one["langs"]])
    sides = [Facts(*a), Facts(*b)]
    metric = found["metric"]
    scale = scale_of(
        metric,
        [row for side in sides for (system, name, _), row in side.cells.items() if (system, name) == ("model", metric)],
    )
    by_tag = {row["tag"]: row for row in diffs["rows"]}
    order = [row["tag"] for row in diffs["rows"]]
    alone = [tag for side in sides for tag in side.langs if tag not in by_tag]
    rows = [
        {**language(tag), "cells": [bar(side.of(tag, metric), scale) for side in sides], "diff": by_tag.get(tag)}
        for tag in [*order, *dict.fromkeys(alone)]
    ]
    signs = {"worse": 0, "cannot tell": 1, "better": 2}
    drawn = scores.placed_points([(row["tag"], {**row, "bin": signs[row["verdict"]]}) for row in diffs["rows"]])
    metrics = [name for name in sides[0].recipe.metric_names if name in sides[1].recipe.metric_names]
    return render(
        "pair.html.j2",
        None,
        names=names,
        metric=metric,
        better=found["better"],
        confidence=found["confidence"],
        about=found["runs"],
        verdicts=[scores.verdict(side) for side in sides],
        summaries=[scores.summary(side) for side in sides],
        differs=[
            {"key": item["key"], "values": [compare.shown(item["values"][name], 120) for name in names]}
            for item in found["recipe"]
        ],
        rows=rows,
        scale=scale,
        diffs=diffs,
        n_rows=one["n_rows"],
        n_left_out=one["n_left_out"],
        world={**drawn, "outline": worldmap.outline()},
        metrics=[
            {
                "name": name,
                "scale": scale_of(
                    name, [r for s in sides for (y, m, _), r in s.cells.items() if (y, m) == ("model", name)]
                ),
            }
            for name in metrics
        ],
        all_metrics=[
            {**language(tag), "cells": [[side.of(tag, name) for side in sides] for name in metrics]} for tag in order
        ],
        trained=[set(side.run.require("train")["facts"]["trained_on"]) for side in sides],
        made=[course.made(side) for side in sides],
    )
