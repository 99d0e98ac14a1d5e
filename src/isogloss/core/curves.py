"""How the error of a language falls with its own labels: curves that were fitted, and where the next hundred help most.

    error(n) = error(0) * (1 + n / half) ** -a

`half` and the spread of `a` over languages are in assets/curves.json, which tools/make_curves.py fits: on Litmus (MIT) for
tags, entities, questions and entailment, on our own few-shot runs for classification. A project's own few-shot runs
replace them where there are any.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from isogloss.core import lang

# What a task is called → the curve that answers for it; None: no labels of that kind were measured.
TASKS: Mapping[str, str | None] = {
    "classify": "classify", "sentiment": "classify", "intent": "classify", "route": "classify", "nli": "nli",
    "ner": "ner", "tag": "tag", "qa": "qa", "embed": None, "generate": None, "translate": None,
}  # fmt: skip
# How much larger the first error is in a language that the model has not read, where that was not measured: assumed.
UNREAD = 1.6
# Labels of a language: what is usual, and the gain of the next hundred below which more are not worth it, in points.
FEWEST, MOST, HUNDRED, WORTH = 100, 500, 100, 1.0
Z = 1.645
"""of a 90 % interval"""


@dataclass(frozen=True, slots=True)
class Curve:
    """The curve of a task. `low`, `usual`, `high`: the exponent of a tenth, half, nine tenths of the languages.

    `error`: the first error in a language of resource class 5; `each_class`: its factor for each class below; `sd`: what
    the logarithm of the first error is off by.
    """

    task: str
    half: float
    low: float
    usual: float
    high: float
    error: float
    each_class: float
    unread: float | None
    sd: float
    n_langs: int
    most: int
    on: str
    off: Mapping[str, float]

    def left(self, n: float, a: float | None = None) -> float:
        """The share of the first error that is left with n labels."""
        return float((1 + n / self.half) ** -(self.usual if a is None else a))


@dataclass(frozen=True, slots=True)
class Gain:
    """Points that labels bring, of a score of 0 to 100, with a 90 % interval."""

    expected: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Start:
    """The error of a language without labels of its own, as a share, with a 90 % interval; and what it rests on."""

    tag: str
    error: float
    low: float
    high: float
    why: str
    a: float | None = None
    """the language's own exponent, where runs told it"""


@cache
def curves() -> Mapping[str, Curve]:
    """What is shipped, by task."""
    path = Path(__file__).parents[1] / "assets" / "curves.json"
    value = json.loads(path.read_text(encoding="utf-8"))
    return {task: Curve(task=task, **row) for task, row in value["tasks"].items()}


def of_task(task: str) -> Curve | None:
    """The curve that answers for a task; None where there is none."""
    name = TASKS.get(task)
    return curves()[name] if name else None


def start(curve: Curve, tag: str, read: bool | None) -> Start:
    """The first error of a language, from its resource class and whether the model has read it (None: not known)."""
    facts = lang.facts(tag)
    known = facts.resource != lang.UNKNOWN
    error = curve.error * curve.each_class ** (5 - float(facts.resource) if known else 3)
    why = f"resource class {facts.resource}" if known else "resource class unknown, taken for 2"
    sd = curve.sd * (1.0 if known else 1.3)
    if read is False:
        error *= curve.unread or UNREAD
        sd *= 1.5
        why += ", not read by the model" + ("" if curve.unread else f" (factor {UNREAD:g}, assumed)")
    elif read is None:
        sd *= 1.3
        why += ", nobody knows whether the model has read it"
    spread = math.exp(Z * sd)
    return Start(tag, min(error, 0.95), error / spread, min(0.98, error * spread), why)


def gain(curve: Curve, at: Start, before: float, after: float) -> Gain:
    """Points that going from `before` to `after` labels brings in a language.

    The interval joins two: the first error's, and that of the exponent over languages, as if they were independent.
    """

    def points(error: float, a: float) -> float:
        return 100 * error * (curve.left(before, a) - curve.left(after, a))

    usual = curve.usual if at.a is None else at.a
    middle = points(at.error, usual)
    low, high = (curve.low, curve.high) if at.a is None else (0.6 * at.a, 1.4 * at.a)
    downs = [middle - points(at.low, usual), middle - points(at.error, low)]
    ups = [points(at.high, usual) - middle, points(at.error, high) - middle]
    return Gain(middle, max(0.0, middle - math.hypot(*downs)), middle + math.hypot(*ups))


def enough(curve: Curve, at: Start) -> int:
    """Labels of a language at which the next hundred bring less than WORTH points, between FEWEST and MOST, by fifties."""
    for n in range(FEWEST, MOST, 50):
        if gain(curve, at, n, n + HUNDRED).expected < WORTH:
            return n
    return MOST


def share_out(
    curve: Curve, starts: Sequence[Start], have: Mapping[str, int], budget: int, step: int = 25
) -> dict[str, int]:
    """Labels to buy for each language: always where the next ones bring most, the worse language first where they tie.

    Every language comes to FEWEST labels first, as far as the budget goes.
    """
    n = {at.tag: 0 for at in starts}
    by_tag = {at.tag: at for at in starts}
    left = budget
    while left > 0:
        short = [tag for tag in n if have.get(tag, 0) + n[tag] < FEWEST]
        among = short or list(n)

        def worth(tag: str) -> tuple[float, float, str]:
            total = have.get(tag, 0) + n[tag]
            return (gain(curve, by_tag[tag], total, total + step).expected, by_tag[tag].error, tag)

        best = max(among, key=worth) if not short else min(short, key=lambda tag: (have.get(tag, 0) + n[tag], tag))
        n[best] += min(step, left)
        left -= step
    return n


# -- a project's own runs -----------------------------------------------------------------------------------------


def of_few_shot(document: Mapping[str, Any], task: str) -> tuple[Curve, dict[str, Start]] | None:
    """The curve and starts that a few-shot.json tells; None where it has no zero-shot point and another, or no such metric.

    Each language's exponent is fitted to its own points, drawn to the mean of all by as much as one more point weighs.
    """
    shipped = of_task(task)
    if document.get("better") != "higher":
        return None
    seen: dict[str, dict[int, float]] = {}
    for row in document.get("langs", ()):
        points = {int(key): cell["value"] for key, cell in row.get("points", {}).items() if key.isdigit()}
        if 0 in points and len(points) > 1 and all(0 <= value < 1 for value in points.values()):
            seen[row["lang"]] = points
    if not seen:
        return None
    half = shipped.half if shipped else 60.0
    raw = {tag: _exponent(points, half) for tag, points in seen.items()}
    usual = sum(raw.values()) / len(raw)
    own = {tag: (raw[tag] * (len(points) - 1) + usual) / len(points) for tag, points in seen.items()}
    ordered = sorted(own.values())
    base = shipped or Curve(task, half, 0, 0, 0, 0.5, 1.0, None, 0.3, 0, 500, "", {})
    curve = replace(
        base, low=max(0.0, ordered[0]), usual=max(0.0, usual), high=max(ordered[-1], usual), n_langs=len(seen),
        most=max(max(points) for points in seen.values()), on=f"few-shot runs of {document.get('name', 'this project')}",
        off={},
    )  # fmt: skip
    starts = {}
    for tag, points in seen.items():
        row = next(row for row in document["langs"] if row["lang"] == tag)
        cell = row["points"]["0"]
        low, high = cell.get("low"), cell.get("high")
        starts[tag] = Start(
            tag, 1 - points[0], 1 - (high if high is not None else points[0]), 1 - (low if low is not None else points[0]),
            f"measured: {points[0]:.2f} with no labels", max(0.0, own[tag]),
        )  # fmt: skip
    return curve, starts


def _exponent(points: Mapping[int, float], half: float) -> float:
    zero = math.log(max(1e-3, 1 - points[0]))
    pairs = [(math.log1p(n / half), zero - math.log(max(1e-3, 1 - value))) for n, value in points.items() if n]
    return sum(x * y for x, y in pairs) / max(1e-12, sum(x * x for x, _ in pairs))
