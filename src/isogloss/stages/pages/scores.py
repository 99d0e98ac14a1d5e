"""Sections of report.html about scores: the verdict, by language, against baselines, on the map, by length of text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from isogloss.core import files
from isogloss.core import lang as lang_table
from isogloss.core.recipe import Recipe
from isogloss.stages.pages import calibrated, worldmap
from isogloss.stages.pages.facts import Facts, Scale, bar, better, floors, language, scale_of

OUTCOMES = {
    "holds": ("Every gate holds.", "This run can be promoted."),
    "refused": ("Refused.", "This run is not promoted."),
    "cannot tell": ("Cannot tell, so not promoted.", "The rows do not suffice to say that every condition holds."),
    "no gate": ("No gate.", "The recipe asks nothing at promote, so this run cannot be promoted."),
}
BINS = 5


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
    drawn = placed_points([(tag, {**row, "bin": place}) for tag, row, place in points])
    return {**drawn, "legend": legend, "outline": worldmap.outline()}


def placed_points(given: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
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
