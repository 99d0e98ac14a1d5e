"""few-shot.html: what rows of each target language are worth, as curves with their intervals, and the table beside them.

Its values are those of few-shot.json. A page in itself, as report.html is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from isogloss.stages.pages.facts import Scale, bar, language
from isogloss.stages.pages.html import number, render

# Where "all rows" stands: beside the numbers, because how many these are differs by language.
LAST_NUMBER = 82.0


def page(found: Mapping[str, Any], head: Mapping[str, str], legend: Sequence[str], share: str) -> str:
    """The HTML of what few-shot found; `head` has the words of each number of rows, `share` those of what is asked."""
    langs, source = found["langs"], found["source"]
    cells = [cell for row in langs for cell in row["points"].values()]
    others = [row["floor_lang"] for row in langs] + ([source] if source.get("value") is not None else [])
    ends = [
        each[end] for each in (*cells, *others) if each for end in ("value", "low", "high") if each[end] is not None
    ]
    y = Scale(min(ends, default=0.0), max(ends, default=1.0))
    at = places(found["shots"])
    level = None if source.get("value") is None else _height(y, source["value"])
    return render(
        "few_shot.html.j2",
        None,
        name=found["name"],
        metric=found["metric"],
        confidence=found["confidence"],
        legend=list(legend),
        head=head,
        shots=found["shots"],
        share=share,
        source=source,
        signature=found["signature"],
        y=y,
        ticks=[{"at": at[key], "words": {"0": "0", "all": "all"}.get(key, key)} for key in found["shots"]],
        level=level,
        floors=any(row["floor_lang"] for row in langs),
        asks=any(row["arrives"] for row in langs),
        charts=[_chart(row, found["shots"], at, y) for row in langs],
        mean=[_bar(found["mean"][key], 0, y) for key in found["shots"]],
        runs=[{**run, "seconds": sum(run["seconds"].values())} for run in found["runs"]],
    )


def places(shots: Sequence[str]) -> dict[str, float]:
    """Where each number of rows stands, per cent of the width: logarithms, so that each doubling is as wide.

    >>> places(["0", "10", "100", "all"])
    {'0': 0.0, '10': 42.6, '100': 82.0, 'all': 100.0}
    """
    numbers = [int(key) for key in shots if key != "all"]
    x = Scale(math.log1p(min(numbers, default=0)), math.log1p(max(numbers, default=0)))
    width = LAST_NUMBER / 100 if "all" in shots and numbers else 1.0
    return {key: 100.0 if key == "all" else round(width * (x.at(math.log1p(int(key))) or 0.0), 1) for key in shots}


def _height(y: Scale, value: float) -> float:
    return round(100 - (y.at(value) or 0.0), 1)


def _bar(cell: Mapping[str, Any] | None, n: int, y: Scale) -> dict[str, Any] | None:
    return None if cell is None else bar({**cell, "n": n}, y)


def _chart(row: Mapping[str, Any], shots: Sequence[str], at: Mapping[str, float], y: Scale) -> dict[str, Any]:
    """A language: its curve, the intervals of its points, what n-grams reach, and its cells for the table."""
    known = [(key, row["points"][key]) for key in shots if key in row["points"]]
    floor = row["floor_lang"]
    return {
        **language(row["lang"]),
        "n": row["n"],
        "line": " ".join(f"{at[key]:g},{_height(y, cell['value']):g}" for key, cell in known),
        "marks": "".join(f"M{at[key]:g} {_height(y, cell['value']):g}h.01" for key, cell in known),
        "bars": "".join(
            f"M{at[key]:g} {_height(y, cell['low']):g}V{_height(y, cell['high']):g}"
            for key, cell in known
            if cell["low"] is not None
        ),
        "floor_at": None if not floor else _height(y, floor["value"]),
        "cells": [_bar(row["points"].get(key), row["n"], y) for key in shots],
        "floor": _bar(floor, row["n"], y),
        "arrives": row["arrives"],
        "told": ", ".join(f"{number(cell['value'], 2)} at {key}" for key, cell in known),
    }
