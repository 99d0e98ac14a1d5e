"""Fit assets/curves.json: `python tools/make_curves.py --litmus ../shared/data/litmus_budget_train.parquet`.

How the error of a language falls with its own labelled rows, beside source rows in other languages:

    error(n) = error(0) * (1 + n / d) ** -a        with one d a task, and an a for each language

Litmus (Microsoft, MIT; SumEval) has scores of multilingual encoders trained on random mixtures of languages. By language
and number of its own rows, the errors of all mixtures with 2,000 or more rows of others are averaged on the log scale; a is
fitted to their ratios to the error without own rows, d is the one with the least squares over languages. From the spread of
a over languages come the low and high curves. error(0) is regressed on the resource class of the language, and on whether
the encoder had read it.

`classify` is our own measurement: the few-shot table of isogloss/mini on SIB-200 in docs/results.md.
Only fitted coefficients are written; docs/log.md has how well they hold on languages that were left out.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import re
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from isogloss.core import catalogue, files, lang

ROOT = Path(__file__).parents[1]
OUT = ROOT / "src" / "isogloss" / "assets" / "curves.json"
# File of Litmus -> task, and the number of rows above which own rows are not few any more.
LITMUS = {
    "UDPOS_XLMR": "tag", "WikiANN_XLMR": "ner", "TyDiQA_XLMR_ID": "qa", "TyDiQA_TULRv6Large_ID": "qa",
    "XNLI_XLMR": "nli", "XNLI_TULRv6Large": "nli",
}  # fmt: skip
MOST, SOURCE_ROWS, FEWEST = 5000, 2000, 2
HALVES = [float(10**x) for x in np.linspace(1, 4, 61)]
RESULTS = "sib200-mini-curve: few-shot by language"

Errors = dict[tuple[str, str], dict[int, tuple[float, int]]]
"""By (what was measured, language): own rows -> (log error, mixtures behind it)."""


def litmus(path: Path) -> dict[str, Errors]:
    """Mean log errors by task."""
    frame = pl.read_parquet(path)
    found: dict[str, Errors] = defaultdict(dict)
    for file, task in LITMUS.items():
        logs: dict[tuple[str, int], list[float]] = defaultdict(list)
        for row in frame.filter(pl.col("file") == file).iter_rows(named=True):
            sizes, scores = json.loads(row["train_config"]), json.loads(row["eval_results"])
            for code, score in scores.items():
                own = sizes.get(code, 0)
                if sum(sizes.values()) - own >= SOURCE_ROWS and own <= (MOST if task != "nli" else 10_000):
                    logs[code, own].append(math.log(max(1 - score, 0.005)))
        for (code, own), values in logs.items():
            if len(values) >= FEWEST:
                tag = lang.resolve(code).tag
                found[task].setdefault((file, tag), {})[own] = (float(np.mean(values)), len(values))
    return found


def measured(text: str) -> Errors:
    """The few-shot table of docs/results.md."""
    part = text.split(RESULTS, 1)[1]
    found: Errors = {}
    for line in part.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and re.match(r"[a-z]{3}_[A-Z][a-z]{3} ", cells[0]):
            values = [float(cell.split(" ")[0]) for cell in cells[2:7]]
            found["mini", cells[0].split(" ")[0]] = {
                n: (math.log(1 - value), 5) for n, value in zip((0, 50, 100, 250, 500), values, strict=True)
            }
        if line.startswith("#### ") and found:
            break
    return found


def exponent(points: Mapping[int, tuple[float, int]], half: float) -> tuple[float, float, float]:
    """The exponent of one language given d; what is left, squared and weighed; and the weight."""
    zero = points[0][0]
    x = np.array([math.log1p(n / half) for n in points if n])
    y = np.array([zero - value for n, (value, _) in points.items() if n])
    w = np.array([math.sqrt(min(count, points[0][1])) for n, (_, count) in points.items() if n])
    a = float((w * x * y).sum() / max((w * x * x).sum(), 1e-12))
    return a, float((w * (y - a * x) ** 2).sum()), float(w.sum())


def fit(errors: Errors) -> tuple[float, dict[tuple[str, str], float], dict[str, float]]:
    """d, the exponents by language, and how far off the ratio is for a language that was left out, at 100 and 1,000 rows."""
    usable = {key: points for key, points in errors.items() if 0 in points and len(points) > 1}
    half = min(HALVES, key=lambda d: sum(exponent(points, d)[1] for points in usable.values()))
    a = {key: exponent(points, half)[0] for key, points in usable.items()}
    off: dict[str, float] = {}
    for n in (100, 500, 1000):
        misses = []
        for key, points in usable.items():
            if n in points:
                others = [value for other, value in a.items() if other[1] != key[1]]
                told = (1 + n / half) ** -float(np.median(others))
                misses.append(abs(told - math.exp(points[n][0] - points[0][0])))
        if misses:
            off[str(n)] = round(float(np.quantile(misses, 0.9)), 3)
    return half, a, off


def first_errors(errors: Errors, covered: Sequence[str]) -> dict[str, float]:
    """error(0): its median, its factor for each resource class below 5 and for a language the encoder had not read."""
    rows = [(key[1], points[0][0]) for key, points in errors.items() if 0 in points]
    y = np.array([value for _, value in rows])
    lacks = np.array(
        [5 - float(lang.facts(tag).resource) if lang.facts(tag).resource != lang.UNKNOWN else 3.0 for tag, _ in rows]
    )
    unread = np.array([float(tag not in covered) for tag, _ in rows])
    columns = [np.ones(len(y)), lacks] + ([unread] if 0 < unread.sum() < len(y) else [])
    x = np.stack(columns, axis=1)
    ridge = np.diag([0.0, 2.0, 2.0][: x.shape[1]])
    solved = np.linalg.solve(x.T @ x + ridge, x.T @ y)
    left = y - x @ solved
    return {
        "error": round(float(np.exp(solved[0])), 4),
        "each_class": round(float(np.exp(solved[1])), 4),
        "unread": round(float(np.exp(solved[2])), 4) if len(columns) > 2 else None,
        "sd": round(float(left.std(ddof=x.shape[1])), 4),
    }  # type: ignore[dict-item]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--litmus", type=Path, required=True)
    parser.add_argument("--results", type=Path, default=ROOT / "docs" / "results.md")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    found = {**litmus(given.litmus), "classify": measured(given.results.read_text(encoding="utf-8"))}
    xlmr = sorted(catalogue.get("FacebookAI/xlm-roberta-base").languages or ())
    mini = sorted(catalogue.get("isogloss/mini").languages or ())
    tasks: dict[str, Any] = {}
    for task, errors in found.items():
        half, a, off = fit(errors)
        values = sorted(max(0.0, value) for value in a.values())
        tasks[task] = {
            "half": round(half, 1),
            **{name: round(float(np.quantile(values, q)), 4) for name, q in (("low", 0.1), ("usual", 0.5), ("high", 0.9))},
            **first_errors(errors, mini if task == "classify" else xlmr),
            "n_langs": len({key[1] for key in a}),
            "most": max(n for points in errors.values() for n in points),
            "off": off,
            "on": "isogloss/mini on SIB-200, docs/results.md" if task == "classify" else ", ".join(sorted({key[0] for key in errors})),
        }  # fmt: skip
        print(task, tasks[task])
    value = {
        "made": f"tools/make_curves.py, {datetime.date.today().isoformat()}",
        "form": "error(n) = error(0) * (1 + n / half) ** -a; a is low, usual or high: tenth, half and nine tenths of the languages",
        "licences": {"litmus": "MIT, Microsoft (github.com/microsoft/Litmus)", "classify": "measured here"},
        "tasks": tasks,
    }
    files.write_json(given.out, value)
    return 0


if __name__ == "__main__":
    sys.exit(main())
