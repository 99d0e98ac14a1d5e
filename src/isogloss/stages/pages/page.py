"""report.html: what a run has found, in one file that opens without a network, a server or JavaScript.

Functions here turn the tables of a run into plain values; `assets/page/` turns those into HTML (Jinja2, everything
escaped). Styles and script are inlined, and the page's own policy forbids any request and any other script.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from isogloss.core import files, parts
from isogloss.core import lang as lang_table
from isogloss.core.corpus import SPLITS, Corpus
from isogloss.core.recipe import Recipe
from isogloss.core.report import wilson
from isogloss.core.run import Run
from isogloss.stages import compare, model, spent
from isogloss.stages.examples import visible
from isogloss.stages.pages import calibrated, worldmap
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
OUTCOMES = {
    "holds": ("Every gate holds.", "This run can be promoted."),
    "refused": ("Refused.", "This run is not promoted."),
    "cannot tell": ("Cannot tell, so not promoted.", "The rows do not suffice to say that every condition holds."),
    "no gate": ("No gate.", "The recipe asks nothing at promote, so this run cannot be promoted."),
}
TRAINING = ("n_train", "steps", "planned_steps", "best_step", "ended", "precision", "repeatable")
STAGES = ("prepare", "audit", "train", "search", "evaluate", "compress")
MAX_MATRIX = 24
"""Labels, or languages, that a matrix is drawn for; above, the pairs that matter are listed."""
MAX_LISTED = 24
MAX_POINTS = 32
MAX_GROUPS = 6
MAX_ANSWERS = 8
MAX_MISSES = 12
MAX_CLUSTERS = 280
MAX_SAMPLES = 8
MAX_FILES = 200
BINS = 5


# -- what the page shows ----------------------------------------------------------------------------------------


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


# -- sections ---------------------------------------------------------------------------------------------------


def verdict(facts: Facts) -> dict[str, Any]:
    """The outcome in words, and every reason, those against first."""
    found = files.read_json(facts.run.path("verdict.json"))
    place = {tag: i for i, tag in enumerate(facts.langs, start=1)}
    reasons = [
        {**reason, "who": language(reason["lang"]) if reason["lang"] else None}
        for gate in found["gates"]
        for reason in gate["reasons"]
    ]
    reasons.sort(key=lambda reason: (reason["outcome"] != "refused", place.get(reason["lang"], 0)))
    against = [reason for reason in reasons if reason["outcome"] != "holds"]
    first, then = OUTCOMES[found["outcome"]]
    langs = {reason["lang"] for reason in against if reason["lang"]}
    if against:
        refused = sum(reason["outcome"] == "refused" for reason in against)
        open_ones = len(against) - refused
        said = [f"{_count(refused, 'condition')} refused"] if refused else []
        said += [f"{_count(open_ones, 'condition')} that nobody can tell"] if open_ones else []
        then = f"Of {len(reasons):,}: {', '.join(said)}"
        then += f", in {_count(len(langs), 'language')} of {len(facts.langs)}." if langs else "."
    return {
        "outcome": found["outcome"],
        "first": first,
        "then": then,
        "against": against,
        "holding": [reason for reason in reasons if reason["outcome"] == "holds"],
    }


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def summary(facts: Facts) -> list[dict[str, Any]]:
    """Worst language, worst tenth, gap and, last, the mean, each with its interval."""
    whole = facts.scores.filter(pl.col("system") == "model", pl.col("metric") == facts.head, pl.col("by") == "all")
    rows = {row["key"]: row for row in whole.iter_rows(named=True) if row["value"] is not None}
    found = []
    scored = [tag for tag in facts.langs if facts.of(tag)]
    if scored:
        found.append({"what": "worst language", "who": language(scored[0]), **(facts.of(scored[0]) or {})})
        if len(scored) > 1:
            found.append({"what": "best language", "who": language(scored[-1]), **(facts.of(scored[-1]) or {})})
    names = {"worst": "mean of the worst tenth", "gap": "best − worst", "mean": "mean over languages"}
    for key, words in names.items():
        if key in rows and len(scored) > 1 and not (key == "worst" and len(scored) < 20):
            found.append({"what": words, "who": None, **rows[key]})
    return found


def asked_of_each(recipe: Recipe) -> dict[str, float]:
    """What the gates at promote ask of each language, by metric."""
    from isogloss.core.gate import parse_condition

    gates = [g for g in recipe.gate if g.at == "promote"]
    return {metric: parse_condition(words)[1] for g in gates for metric, words in g.every_lang.items() if metric != "n"}


def by_language(facts: Facts) -> dict[str, Any]:
    """Language × metric, worst first."""
    names = [facts.head, *[m for m in facts.recipe.metric_names if m != facts.head]]
    asked = asked_of_each(facts.recipe)
    metrics: list[dict[str, Any]] = []
    for name in names:
        scale = scale_of(
            name, [row for (system, metric, _), row in facts.cells.items() if system == "model" and metric == name]
        )
        metrics.append(
            {
                "name": name,
                "better": better(name),
                "scale": scale,
                "asked": asked.get(name),
                "at": scale.at(asked.get(name)),
            }
        )
    rows = []
    for tag in facts.langs:
        n = max((facts.cells.get(("model", name, tag)) or {}).get("n") or 0 for name in names)
        rows.append({**language(tag), "n": n, "cells": [bar(facts.of(tag, m["name"]), m["scale"]) for m in metrics]})
    return {"metrics": metrics, "rows": rows}


def baselines(facts: Facts) -> dict[str, Any] | None:
    """All systems on one line by language; and for each baseline the paired differences, losses first."""
    others = [name for name in facts.systems if name != "model"]
    if not others:
        return None
    scale = scale_of(facts.head, [row for (_, metric, _), row in facts.cells.items() if metric == facts.head])
    rows = [
        {**language(tag), "cells": [bar(facts.of(tag, system=name), scale) for name in ("model", *others)]}
        for tag in facts.langs
    ]
    pairs = facts.table("paired").filter(pl.col("by") == "lang", pl.col("metric") == facts.head)
    against = [
        {
            "name": str(other),
            "words": facts.words.get(str(other), str(other)),
            **differences(frame.iter_rows(named=True)),
        }
        for (other,), frame in pairs.group_by("other", maintain_order=True)
    ]
    return {
        "scale": scale,
        "floors": floors(facts.recipe, others),
        "systems": [
            {"name": name, "words": facts.words.get(name, name), "mark": i} for i, name in enumerate(("model", *others))
        ],
        "rows": rows,
        "against": sorted(against, key=lambda a: (-a["worse"], a["better"])),  # the hardest to beat first
    }


def differences(given: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Paired differences with bars around zero, losses first, and how many languages gain and lose."""
    rows = [row for row in given if row["diff"] is not None]
    ends = [
        abs(row[end]) for row in rows for end in ("diff", "low_corrected", "high_corrected") if row[end] is not None
    ]
    reach = max(ends, default=1.0) or 1.0
    scale = Scale(-reach, reach)
    order = ("worse", "cannot tell", "better")
    sign = -1 if rows and rows[0].get("better") == "lower" else 1
    found = []
    for row in sorted(rows, key=lambda r: (order.index(r["verdict"]), sign * r["diff"])):
        shown = {"value": row["diff"], "low": row["low_corrected"], "high": row["high_corrected"], "n": row["n"]}
        a, b = (row["a"], row["b"]) if "a" in row else (row["value"], row["reference"])
        found.append(
            {
                **language(row.get("key") or row["lang"]),
                "a": a,
                "b": b,
                "verdict": row["verdict"],
                "diff": bar(shown, scale),
            }
        )
    counts = {verdict: sum(row["verdict"] == verdict for row in found) for verdict in order}
    return {
        "scale": scale,
        "rows": found,
        "better": counts["better"],
        "worse": counts["worse"],
        "unknown": counts["cannot tell"],
    }


def slices(facts: Facts) -> list[dict[str, Any]]:
    """The headline metric by script, family, resource class and kept columns."""
    rows = facts.scores.filter(
        pl.col("system") == "model", pl.col("metric") == facts.head, ~pl.col("by").is_in(["lang", "all"])
    )
    scale = scale_of(facts.head, rows.to_dicts())
    sign = -1 if better(facts.head) == "lower" else 1
    found = []
    for (by,), frame in rows.group_by("by", maintain_order=True):
        listed = sorted(frame.iter_rows(named=True), key=lambda r: (r["value"] is not None, sign * (r["value"] or 0)))
        found.append(
            {
                "by": str(by),
                "n_all": len(listed),
                "rows": [{"key": row["key"], "n": row["n"], "bar": bar(row, scale)} for row in listed[:60]],
            }
        )
    return found


def world(facts: Facts) -> dict[str, Any]:
    """Languages as points in five classes of the headline metric, class 0 the worst."""
    values = [row["value"] for tag in facts.langs if (row := facts.of(tag))]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    worst_first = better(facts.head) != "lower"

    def bin_of(value: float) -> int:
        place = min(BINS - 1, int(BINS * (value - low) / (high - low))) if high > low else BINS - 1
        return place if worst_first else BINS - 1 - place if high > low else place

    points = [(tag, row, bin_of(row["value"])) for tag in facts.langs if (row := facts.of(tag))]
    edges = [low + (high - low) * i / BINS for i in range(BINS + 1)]
    order = range(BINS) if worst_first else range(BINS - 1, -1, -1)
    legend = [{"bin": i, "low": edges[p], "high": edges[p + 1]} for i, p in enumerate(order)] if high > low else []
    drawn = _points([(tag, {**row, "bin": place}) for tag, row, place in points])
    return {**drawn, "legend": legend, "outline": worldmap.outline()}


def _points(given: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Places in the frame of the map, which shows the part of the world that the languages are in."""
    placed = [(tag, row, lang_table.facts(tag)) for tag, row in given]
    known = [(tag, row, f) for tag, row, f in placed if f.latitude is not None and f.longitude is not None]
    spots = [worldmap.project(f.longitude or 0.0, f.latitude or 0.0) for _, _, f in known]
    x, y, w, h = worldmap.frame(spots)
    unit = w / worldmap.WIDTH
    moved = worldmap.apart(spots, 9.5 * unit)
    return {
        "points": [
            {
                **language(tag),
                **row,
                "x": round(px, 1),
                "y": round(py, 1),
                "latitude": f.latitude,
                "longitude": f.longitude,
            }
            for (tag, row, f), (px, py) in zip(known, moved, strict=True)
        ],
        "unplaced": [language(tag) for tag, _, f in placed if f.latitude is None or f.longitude is None],
        "view": f"{x:.0f} {y:.0f} {w:.0f} {h:.0f}",
        "unit": round(unit, 3),
    }


def found(facts: Facts) -> dict[str, Any]:
    """Without labels: what is looked for and among how many, ranks by language, and the surest mistakes."""
    tallies = finding.tallies(facts.answers)
    texts = {}
    misses = finding.misses(facts.answers, facts.langs, MAX_MISSES)
    if misses:
        wanted = [row["id"] for miss in misses for row in (miss, miss["found"])]
        texts = dict(facts.texts.filter(pl.col("id").is_in(wanted)).rows())
    rows = []
    for tag in facts.langs:
        row = tallies.get(tag)
        if row and row["n_ranked"]:
            shares = [{"name": name, "n": row[name], "share": row[name] / row["n_ranked"]} for name in finding.BANDS]
            rows.append({**language(tag), **row, "bands": shares})
    return {
        "told": finding.told(tallies),
        "meanings": finding.meanings(facts.recipe.metric_names),
        "bands": list(finding.BANDS),
        "rows": rows,
        "misses": [
            {
                **language(miss["lang"]),
                "text": clip(texts.get(miss["id"], "")),
                "rank": miss["rank"],
                "cosine": miss["confidence"],
                "n_candidates": tallies[miss["lang"]]["n_candidates"],
                "found": {**language(miss["found"]["lang"]), "text": clip(texts.get(miss["found"]["id"], ""))},
            }
            for miss in misses
        ],
    }


def confusion(facts: Facts) -> dict[str, Any] | None:
    """Counts of right label × answer, pooled and by language; and the three commonest mistakes of each language."""
    labels = facts.labels
    codes = {label: i for i, label in enumerate(labels)}
    rows = facts.answers.filter(pl.col("label").is_not_null(), pl.col("pred").is_not_null())
    if rows.is_empty():
        return None
    counts = rows.group_by("lang", "label", "pred").len("n").sort("n", "label", "pred", descending=[True, False, False])
    matrices = {tag: np.zeros((len(labels), len(labels)), dtype=int) for tag in facts.langs}
    mistakes: dict[str, list[dict[str, Any]]] = {tag: [] for tag in facts.langs}
    for tag, gold, pred, n in counts.rows():
        if tag not in matrices:
            continue
        matrices[tag][codes[gold], codes[pred]] = n
        if gold != pred and len(mistakes[tag]) < 3:
            mistakes[tag].append({"gold": gold, "pred": pred, "n": n})
    small = len(labels) <= MAX_MATRIX
    pooled = sum(matrices.values(), np.zeros((len(labels), len(labels)), dtype=int))
    table = []
    for tag in facts.langs:
        total = int(matrices[tag].sum())
        if total:
            table.append(
                {**language(tag), "n": total, "wrong": total - int(matrices[tag].trace()), "mistakes": mistakes[tag]}
            )
    return {
        "labels": labels,
        "pooled": pooled.tolist() if small else None,
        "langs": {tag: matrix.ravel().tolist() for tag, matrix in matrices.items() if matrix.any()} if small else {},
        "names": [language(tag) for tag in facts.langs if matrices[tag].any()],
        "rows": table,
    }


def consistency(facts: Facts) -> dict[str, Any] | None:
    """Which pairs of languages answer translations differently, and groups to look at; None without parallel rows."""
    rows = facts.answers.filter(pl.col("group").is_not_null(), pl.col("pred").is_not_null()).unique(
        ["group", "lang"], keep="first", maintain_order=True
    )
    rows = rows.filter(pl.col("lang").is_in(facts.langs), pl.len().over("group") > 1)
    langs = [tag for tag in facts.langs if tag in set(rows["lang"])]
    if len(langs) < 2:
        return None
    groups = {group: i for i, group in enumerate(rows["group"].unique(maintain_order=True))}
    at = np.array([groups[g] for g in rows["group"]])
    who = np.array([langs.index(tag) for tag in rows["lang"]])
    preds = rows["pred"].to_list()
    same = np.zeros((len(langs), len(langs)))
    here = np.zeros((len(groups), len(langs)), dtype=np.float32)
    here[at, who] = 1
    both = here.T @ here
    for label in dict.fromkeys(preds):
        said = np.zeros_like(here)
        chosen = np.array([p == label for p in preds])
        said[at[chosen], who[chosen]] = 1
        same += said.T @ said
    pairs: list[dict[str, Any]] = []
    for i in range(len(langs)):
        for j in range(i):
            if both[i, j]:
                low, high = wilson(same[i, j], both[i, j], facts.recipe.evaluate.confidence)
                share = float(same[i, j] / both[i, j])
                pairs.append(
                    {
                        "a": langs[j],
                        "b": langs[i],
                        "value": share,
                        "low": float(low),
                        "high": float(high),
                        "n": int(both[i, j]),
                    }
                )
    pairs.sort(key=lambda p: (p["value"], p["a"], p["b"]))
    shown = list(_mixed(pairs))
    share = np.divide(same, both, out=np.full(same.shape, np.nan), where=both > 0)
    np.fill_diagonal(share, np.nan)
    unit = Scale(0.0, 1.0)
    by_lang = []
    for i, tag in enumerate(langs):
        if np.isnan(share[i]).all():
            continue
        row = facts.of(tag, "consistency")
        least = int(np.nanargmin(share[i]))
        by_lang.append(
            {
                **language(tag),
                "bar": bar(row, unit),
                "least": language(langs[least]),
                "share": float(share[i, least]),
                "n": int(both[i, least]),
            }
        )
    by_lang.sort(key=lambda r: r["bar"]["value"] if r["bar"] else 1.0)
    matrix = None
    if len(langs) <= MAX_MATRIX:
        matrix = [[None if math.isnan(x) else float(x) for x in line] for line in share]
    return {
        "langs": [language(tag) for tag in langs],
        "n_groups": len(groups),
        "n_split": int(rows.group_by("group").agg(pl.col("pred").n_unique())["pred"].gt(1).sum()),
        "matrix": matrix,
        "tint": Scale(pairs[-1]["value"], pairs[0]["value"] - 1e-9),  # the pair that agrees least is the deepest
        "n_pairs": len(pairs),
        "pairs": [{**p, "a": language(p["a"]), "b": language(p["b"]), "bar": bar(p, unit)} for p in shown],
        "rows": by_lang,
        "examples": list(_examples(facts, rows)),
    }


def _mixed(pairs: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The first `MAX_LISTED` pairs; when there are more, at most three of a language, lest one language be all."""
    taken: Counter[str] = Counter()
    for pair in pairs:
        if len(pairs) <= MAX_LISTED or (taken[pair["a"]] < 3 and taken[pair["b"]] < 3):
            taken.update((pair["a"], pair["b"]))
            yield pair
        if taken.total() == 2 * MAX_LISTED:
            return


def _examples(facts: Facts, rows: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Groups whose translations get most different answers, each with a few of its texts, every answer among them."""
    place = {tag: i for i, tag in enumerate(facts.langs)}
    asked = (
        rows.group_by("group", maintain_order=True)
        .agg(
            pl.col("pred").n_unique().alias("kinds"),
            (pl.col("pred") == pl.col("label")).mean().alias("right"),
            pl.len().alias("n"),
        )
        .filter(pl.col("kinds") > 1)
        .sort(["kinds", (pl.col("right") - 0.5).abs(), "group"], descending=[True, False, False])
        .head(MAX_GROUPS)
    )
    texts = dict(
        facts.texts.filter(
            pl.col("id").is_in(rows.filter(pl.col("group").is_in(asked["group"].implode()))["id"].implode())
        ).rows()
    )
    for group in asked["group"]:
        members = sorted(rows.filter(pl.col("group") == group).to_dicts(), key=lambda r: place[r["lang"]])
        counts: dict[str, int] = {}
        for row in members:
            counts[row["pred"]] = counts.get(row["pred"], 0) + 1
        chosen: list[dict[str, Any]] = []
        turns = {
            answer: [row for row in members if row["pred"] == answer]
            for answer in sorted(counts, key=lambda a: (-counts[a], a))
        }
        while len(chosen) < min(MAX_ANSWERS, len(members)):  # one of each answer in turn
            chosen += [queue.pop(0) for queue in turns.values() if queue]
        yield {
            "group": group,
            "gold": ", ".join(sorted({row["label"] for row in members if row["label"] is not None})),
            "counts": sorted(counts.items(), key=lambda item: (-item[1], item[0])),
            "n": len(members),
            "rows": [
                {
                    **language(row["lang"]),
                    "text": clip(texts.get(row["id"], "")),
                    "pred": row["pred"],
                    "right": row["pred"] == row["label"],
                }
                for row in sorted(chosen[:MAX_ANSWERS], key=lambda r: (-counts[r["pred"]], r["pred"], place[r["lang"]]))
            ],
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


def lengths(facts: Facts) -> dict[str, Any]:
    """Characters, bytes and, where the model's card knows, tokens per word beside the score."""
    tokens = facts.card.get("tokens_per_word") or {}
    rows = facts.answers.select("id", "lang").join(facts.texts, on="id")
    text = pl.col("text")
    counted = rows.group_by("lang").agg(
        pl.len().alias("n"),
        text.str.len_chars().mean().alias("chars"),
        text.str.len_bytes().mean().alias("bytes"),
        text.str.len_chars().sum().alias("all_chars"),
        text.str.len_bytes().sum().alias("all_bytes"),
        text.str.extract_all(r"\S+").list.len().sum().alias("words"),
        text.str.replace_all(r"\s", "").str.len_chars().sum().alias("letters"),
    )
    known = {row["lang"]: row for row in counted.iter_rows(named=True)}
    scale = scale_of(
        facts.head,
        [row for (system, metric, _), row in facts.cells.items() if system == "model" and metric == facts.head],
    )
    found = []
    for tag in facts.langs:
        if tag not in known:
            continue
        row = known[tag]
        spaced = lang_table.facts(tag).spaces
        per_word = row["letters"] / row["words"] if spaced and row["words"] else None
        found.append(
            {
                **language(tag),
                "n": row["n"],
                "bar": bar(facts.of(tag), scale),
                "chars": row["chars"],
                "bytes": row["bytes"],
                "per_char": row["all_bytes"] / row["all_chars"] if row["all_chars"] else None,
                "per_word": per_word,
                "tokens": tokens.get(tag),
            }
        )
    key, words = (
        ("tokens", "tokens per word") if any(row["tokens"] for row in found) else ("bytes", "UTF-8 bytes per row")
    )
    return {
        "rows": found,
        "tokens": any(row["tokens"] for row in found),
        "plot": _scatter(found, key, words, facts.head),
    }


def _scatter(rows: Sequence[dict[str, Any]], key: str, words: str, metric: str) -> dict[str, Any] | None:
    """Points of x = rows[key], y = score, in a frame of 640 × 260."""
    points = [row for row in rows if row[key] is not None and row["bar"]]
    if len(points) < 3:
        return None
    top = _round_up(max(row[key] for row in points))
    ys = [row["bar"]["value"] for row in points]
    low, high = min(ys), max(ys)
    pad = (high - low) * 0.08 or 0.05
    y_scale, x_scale = Scale(low - pad, high + pad), Scale(0.0, top)
    ticks = [low, (low + high) / 2, high] if high > low else [low]
    return {
        "x": words,
        "y": metric,
        "ticks_x": [{"at": x_scale.at(top * i / 4), "value": top * i / 4} for i in range(5)],
        "ticks_y": [{"at": y_scale.at(t), "value": t} for t in ticks],
        "points": [
            {
                "tag": row["tag"],
                "name": row["name"],
                "x": x_scale.at(row[key]),
                "y": y_scale.at(row["bar"]["value"]),
                "vx": row[key],
                "vy": row["bar"]["value"],
            }
            for row in points
        ],
    }


def _round_up(x: float) -> float:
    """The next round number, of those whose quarters are short.

    >>> _round_up(37), _round_up(124.0), _round_up(0.9)
    (40.0, 160.0, 1.0)
    """
    power = 10.0 ** math.floor(math.log10(x)) if x > 0 else 1.0
    return next(step * power for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 4.8, 6, 8, 10) if step * power >= x)


def curves(facts: Facts) -> dict[str, Any] | None:
    """Dev scores by language over the steps of training, from steps.jsonl; None without one.

    A line counts that has `step` and, under `dev` or `by_lang`, languages with a number or `{value, low, high, n}`.
    """
    path = facts.run.path("steps.jsonl")
    if not path.is_file():
        return None
    counts = facts.table("counts").filter(pl.col("split") == "dev").group_by("lang").agg(pl.col("n").sum())
    n_dev = dict(counts.rows())
    metric = facts.head
    found: dict[str, dict[float, dict[str, Any]]] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            value = json.loads(line)
            step, entries = float(value["step"]), (value.get("dev") or value.get("by_lang") or {}).items()
        except (ValueError, TypeError, KeyError, AttributeError):
            continue  # a line that a kill cut short, or one that says something else
        metric = str(value.get("metric") or metric)
        for tag, given in entries:
            score = given if isinstance(given, Mapping) else {"value": given}
            mark = _float(score.get("value"))
            if mark is not None and _is_tag(tag):
                interval = {end: _float(score.get(end)) for end in ("low", "high")}
                found.setdefault(tag, {})[step] = {
                    "step": step,
                    "value": mark,
                    **interval,
                    "n": score.get("n") or n_dev.get(tag),
                }
    sign = -1 if metric in parts.names("metrics") and better(metric) == "lower" else 1
    lines = {tag: _thin([points[s] for s in sorted(points)], sign) for tag, points in found.items()}
    if not lines:
        return None
    every = [p for points in lines.values() for p in points]
    ends = [p[end] for p in every for end in ("value", "low", "high") if p[end] is not None]
    y, x = Scale(min(ends), max(ends)), Scale(min(p["step"] for p in every), max(p["step"] for p in every))
    order = {tag: i for i, tag in enumerate(facts.langs)}
    charts = []
    for tag in sorted(lines, key=lambda t: (order.get(t, len(order)), t)):
        points = lines[tag]
        xy = [(x.at(p["step"]) or 0.0, 100 - (y.at(p["value"]) or 0.0)) for p in points]
        band = [p for p in points if p["low"] is not None and p["high"] is not None]
        upper = [f"{x.at(p['step']):g} {100 - (y.at(p['high']) or 0.0):g}" for p in band]
        lower = [f"{x.at(p['step']):g} {100 - (y.at(p['low']) or 0.0):g}" for p in reversed(band)]
        charts.append(
            {
                **language(tag),
                "line": " ".join(f"{a:g},{round(b, 1):g}" for a, b in xy),
                "band": "M" + "L".join([*upper, *lower]) + "z" if len(band) > 1 else "",
                "first": points[0],
                "last": points[-1],
                "best": max(points, key=lambda p: sign * p["value"]),
                "n_points": len(points),
            }
        )
    kept = facts.card.get("best_step")
    return {
        "charts": charts,
        "x": x,
        "y": y,
        "metric": metric,
        "bands": any(chart["band"] for chart in charts),
        "kept": kept,
        "kept_at": x.at(_float(kept)),
    }


def _thin(points: list[dict[str, Any]], sign: int) -> list[dict[str, Any]]:
    """At most `MAX_POINTS` of a curve, evenly, its first, last and best among them."""
    if len(points) <= MAX_POINTS:
        return points
    kept = {round(i * (len(points) - 1) / (MAX_POINTS - 2)) for i in range(MAX_POINTS - 1)}
    kept.add(max(range(len(points)), key=lambda i: sign * points[i]["value"]))
    return [points[i] for i in sorted(kept)]


def _is_tag(tag: str) -> bool:
    return re.fullmatch(r"[a-z]{3}_[A-Z][a-z]{3}", tag) is not None


def _float(x: Any) -> float | None:
    return float(x) if isinstance(x, int | float) and math.isfinite(x) else None


def fairness(facts: Facts) -> dict[str, Any]:
    """Error rate by label and resource class, the worst cells of label × language, and cells without a test row."""
    frame = facts.table("fairness")
    pooled = frame.filter(pl.col("lang") == "all", pl.col("n") > 0)
    classes = sorted(pooled["resource"].unique())
    cells = {(row["label"], row["resource"]): row for row in pooled.iter_rows(named=True)}
    labels = pooled["label"].unique(maintain_order=True).to_list()
    own = frame.filter(pl.col("lang") != "all")
    unit = Scale(0.0, 1.0)

    def error(row: Mapping[str, Any] | None) -> dict[str, Any] | None:
        return bar({**row, "value": row["error_rate"]}, unit) if row else None

    worst = (
        own.filter(pl.col("n") > 0)
        .sort("error_rate", "n", "label", "lang", descending=[True, True, False, False])
        .head(12)
    )
    untested = own.filter(pl.col("n") == 0)
    return {
        "classes": classes,
        "rows": [{"label": label, "cells": [error(cells.get((label, c))) for c in classes]} for label in labels[:60]],
        "worst": [
            {**language(row["lang"]), "label": row["label"], "bar": error(row)} for row in worst.iter_rows(named=True)
        ],
        "untested": [
            {**language(row["lang"]), "label": row["label"]} for row in untested.head(12).iter_rows(named=True)
        ],
        "n_untested": untested.height,
    }


def fit(facts: Facts) -> list[dict[str, Any]]:
    """Over- and underfitting by language, those with trouble first."""
    order = ("overfits", "underfits", "cannot tell", "fits")
    rows = facts.table("fit").to_dicts()
    return [
        {**row, **language(row["lang"])}
        for row in sorted(
            rows,
            key=lambda r: (order.index(r["verdict"]), facts.langs.index(r["lang"]) if r["lang"] in facts.langs else 0),
        )
    ]


def calibration(facts: Facts) -> dict[str, Any] | None:
    """Calibration error by language before and after, the worst after it first; None where the recipe asks for none."""
    rows = calibrated.rows(facts.recipe, facts.run, facts.scores)
    if not rows:
        return None
    cells = [cell for row in rows for cell in (row["before"], row["after"]) if cell and cell["value"] is not None]
    # errors are small: the scale ends where the highest interval does, and begins at none
    scale = Scale(0.0, max([*(cell["high"] or cell["value"] for cell in cells), 1e-3]))
    ends = [
        abs(row["diff"][end]) for row in rows if row["diff"] for end in ("low", "high") if row["diff"][end] is not None
    ]
    around = Scale(-max([*ends, 1e-3]), max([*ends, 1e-3]))
    return {
        "words": list(calibrated.words(facts.run)),
        "fitted": any(row["fitted"] for row in rows),
        "tasks": any(row["task"] for row in rows),
        "scale": scale,
        "around": around,
        "rows": [
            {**row, **language(row["lang"]), "before": bar(row["before"], scale), "after": bar(row["after"], scale),
             "diff": row["diff"] and bar({**row["diff"], "n": row["n"]}, around)}
            for row in rows
        ],
    }  # fmt: skip


def data(facts: Facts) -> dict[str, Any]:
    """Rows in → out by step, what was set aside and why, and what was trained and evaluated on."""
    stamp, done = facts.run.require("prepare"), facts.run.require("train")["facts"]
    drawn = done.get("shots", {}).get("rows", {})
    trained = {tag: f"{drawn[tag]} rows" if drawn.get(tag) else "yes" for tag in done["trained_on"]}
    ledger, reasons, counts = facts.table("ledger"), facts.table("reasons"), facts.table("counts")
    columns = ("n_in", "n_changed", "n_dropped", "n_out")
    steps = ledger.group_by("step", maintain_order=True).agg(pl.col(columns).sum()).to_dicts()
    scale = Scale(0.0, float(max((row["n_in"] for row in steps), default=1)))
    lost = (
        ledger.group_by("lang", "step", maintain_order=True)
        .agg(pl.col("n_in", "n_dropped").sum())
        .filter(pl.col("n_dropped") > 0)
    )
    wide = {(tag, split): n for tag, split, n in counts.group_by("lang", "split").agg(pl.col("n").sum()).rows()}
    return {
        "steps": [{**row, "at": scale.at(row["n_out"]), "in_at": scale.at(row["n_in"])} for row in steps],
        "lost": [
            {
                **row,
                **_language(row["lang"]),
            }
            for row in lost.sort("n_dropped", descending=True).head(100).to_dicts()
        ],
        "reasons": reasons.group_by("step", "reason")
        .agg(pl.col("n").sum(), pl.col("lang").n_unique().alias("n_langs"))
        .sort("n", "reason", descending=[True, False])
        .head(40)
        .to_dicts(),
        "splits": SPLITS,
        "langs": [
            {**language(tag), "trained": trained.get(tag, "no"), "n": [wide.get((tag, split), 0) for split in SPLITS]}
            for tag in facts.langs
        ],
        "inputs": [
            {"name": name, "digest": digest[:12]} for name, digest in list(stamp["reads"]["inputs"].items())[:MAX_FILES]
        ],
        "n_inputs": len(stamp["reads"]["inputs"]),
        "sources": _sources(facts),
        "samples": list(_samples(facts)),
        "n_rows": stamp["facts"]["n_rows"],
        "n_dropped": stamp["facts"]["n_dropped"],
    }


def tokenizer(facts: Facts) -> dict[str, Any] | None:
    """What the tokenizer costs each language, as the audit before the first step found it; None without one."""
    path = facts.run.path("audit.json")
    if not path.is_file():
        return None
    found = files.read_json(path)
    highest = max((row["premium"]["high"] or row["premium"]["value"] or 1.0 for row in found["langs"]), default=1.0)
    scale = Scale(0.0, max(2.0, math.ceil(highest)))
    rows = [
        {
            **language(row["lang"]),
            **{name: row[name] for name in ("n", "verdict", "needs", "reasons")},
            "bar": bar(row["premium"], scale),
            **{name: row[name]["value"] for name in ("fertility", "tokens_per_char", "unknown", "lost", "kept_whole")},
            "context": row["context_words"]["value"],
            "typo": row["variants"]["typo"]["moved"]["value"],
        }
        for row in found["langs"]
    ]
    return {
        "rows": rows, "needy": [row for row in rows if row["needs"]], "scale": scale, "own": found["tokenizer"],
        "reference": language(found["reference"]), "why": found["why_no_premium"], "limits": found["limits"],
    }  # fmt: skip


def compute(facts: Facts) -> dict[str, Any] | None:
    """What training spent, and what each language gained for it, the smallest gain first."""
    told = spent.spent(facts.recipe, facts.run)
    if told is None:
        return None
    ends = [end for gain in told.gains for end in (gain.low, gain.high)]
    scale = Scale(min([0.0, *ends]), max([0.0, *ends]))
    return {
        "sentences": list(spent.sentences(told)),
        "over": words_of(facts.recipe).get(told.over, told.over),
        "units": spent.columns(told),
        "scale": scale,
        "rows": [
            {
                **language(gain.lang),
                "n": gain.n,
                "bar": bar({"value": gain.value, "low": gain.low, "high": gain.high, "n": gain.n}, scale),
                "per": [gain.per[unit] for unit, _ in spent.columns(told)],
                "n_tokens": gain.n_tokens,
                "share": gain.share,
            }
            for gain in told.gains
        ],
    }


def _language(tag: str) -> dict[str, Any]:
    return language(tag) if _is_tag(tag) else {"name": "language not known", "tag": tag, "lang": "", "dir": "auto"}


def _sources(facts: Facts) -> list[dict[str, Any]]:
    """Where the rows come from, most first."""
    names = ["source", "license", "collected", "original_or_translated"]
    return (
        facts.table("sources")
        .with_columns(pl.col(names).fill_null("not stated"))
        .group_by(names)
        .agg(pl.col("n").sum(), pl.col("lang").n_unique().alias("n_langs"))
        .sort("n", *names, descending=[True, *[False] * 4])
        .head(MAX_FILES)
        .to_dicts()
    )


def _samples(facts: Facts) -> Iterator[dict[str, Any]]:
    """Some rows that each step changed or set aside, before and after, of as many languages as there is room for."""
    samples = facts.table("samples")
    for step in facts.table("ledger")["step"].unique(maintain_order=True):
        rows = samples.filter(pl.col("step") == step)
        if rows.is_empty():
            continue
        shown: dict[str, list[dict[str, Any]]] = {}
        for (what,), some in rows.group_by("what", maintain_order=True):
            turn = pl.int_range(pl.len()).over("lang")  # one of each language before a second one
            chosen = some.with_columns(turn.alias("turn")).sort("turn", "lang").head(MAX_SAMPLES)
            shown[str(what)] = [
                {**_language(row["lang"]), "before": visible(row["before"]), "after": visible(row["after"])}
                | {"reason": row["reason"]}
                for row in chosen.iter_rows(named=True)
            ]
        yield {"step": step, "changed": shown.get("changed", []), "dropped": shown.get("dropped", [])}


def made(facts: Facts) -> dict[str, Any]:
    """Cost, versions, signatures, and how to repeat the run."""
    stamp = facts.run.require("train")
    signatures = (
        facts.scores.filter(pl.col("system") == "model")
        .group_by("metric", maintain_order=True)
        .agg(pl.col("signature").first())
    )
    took = facts.run.cost()
    cost = {stage: took[stage] for stage in sorted(took, key=lambda s: (STAGES.index(s) if s in STAGES else 9, s))}
    return {
        "cost": [
            {"stage": stage, "seconds": seconds, "at": Scale(0.0, max(cost.values())).at(seconds)}
            for stage, seconds in cost.items()
        ],
        "seconds": sum(cost.values()),
        "versions": stamp["versions"],
        "training": {name: facts.card[name] for name in TRAINING if facts.card.get(name) is not None},
        "when": str(facts.run.require("evaluate")["when"])[:10],
        "signatures": signatures.rows(),
        "recipe": facts.recipe.to_toml(),
        "confidence": facts.recipe.evaluate.confidence,
        "resamples": facts.recipe.evaluate.resamples,
    }


# -- the page ---------------------------------------------------------------------------------------------------


def page(recipe: Recipe, run: Run) -> str:
    """The HTML of an evaluated run."""
    facts = Facts(recipe, run)
    labelled = recipe.labelled
    matrices = confusion(facts) if labelled else None
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
        verdict=verdict(facts),
        summary=summary(facts),
        languages=by_language(facts),
        world=world(facts),
        baselines=baselines(facts),
        slices=slices(facts),
        found=None if labelled else found(facts),
        confusion=matrices,
        consistency=consistency(facts) if labelled else None,
        lengths=lengths(facts),
        fairness=fairness(facts) if labelled else None,
        calibration=calibration(facts) if labelled else None,
        fit=fit(facts),
        curves=curves(facts),
        tokenizer=tokenizer(facts),
        data=data(facts),
        compute=compute(facts),
        made=made(facts),
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
    diffs = differences([{**row, "better": found["better"]} for row in one["langs"]])
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
    drawn = _points([(row["tag"], {**row, "bin": signs[row["verdict"]]}) for row in diffs["rows"]])
    metrics = [name for name in sides[0].recipe.metric_names if name in sides[1].recipe.metric_names]
    return render(
        "pair.html.j2",
        None,
        names=names,
        metric=metric,
        better=found["better"],
        confidence=found["confidence"],
        about=found["runs"],
        verdicts=[verdict(side) for side in sides],
        summaries=[summary(side) for side in sides],
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
        made=[made(side) for side in sides],
    )


def render(template: str, shared: Any, **values: Any) -> str:
    """A template of `assets/page` as one file; `shared` is data that its script reads."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    folder = Path(__file__).parents[2] / "assets" / "page"

    def tight(name: str) -> str:
        """A template without the indents and empty lines that only its writer needs."""
        return re.sub(r"\n\s+", "\n", (folder / name).read_text(encoding="utf-8"))

    env = Environment(loader=FunctionLoader(tight), autoescape=True, trim_blocks=True, undefined=StrictUndefined)
    env.filters |= {
        "num": number,
        "signed": signed,
        "count": "{:,}".format,
        "dec": decimal,
        "figures": lambda x: f"{x:+.3g}".replace("-", "−"),
    }
    script = (folder / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return env.get_template(template).render(
        css=Markup((folder / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        digest=digest,
        shared=Markup(_json(shared)) if shared else None,
        **values,
    )


def _json(value: Any) -> str:
    """JSON that may stand inside a script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return (
        text.replace("&", "\\u0026")
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )


def number(x: float | None, digits: int = 3) -> str:
    """`0.716`, `−0.031`, or a dash.

    >>> number(0.7161), number(-0.5, 2), number(None)
    ('0.716', '−0.50', '–')
    """
    return "–" if x is None or not math.isfinite(x) else f"{x:.{digits}f}".replace("-", "−")


def decimal(x: float | None, digits: int = 1) -> str:
    """`1,234.5`, or a dash."""
    return "–" if x is None else f"{x:,.{digits}f}".replace("-", "−")


def signed(x: float | None, digits: int = 3) -> str:
    """`+0.031`, `−0.031`, `0.000`, or a dash."""
    if x is None or not math.isfinite(x):
        return "–"
    text = f"{x:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")
