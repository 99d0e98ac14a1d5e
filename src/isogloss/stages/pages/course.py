"""Sections of report.html about how a run came about: data, tokenizer, training, what it spent, how to repeat it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from isogloss.core import files, parts
from isogloss.core.corpus import SPLITS
from isogloss.stages import spent
from isogloss.stages.examples import visible
from isogloss.stages.pages.facts import (
    Facts,
    Scale,
    bar,
    better,
    finite,
    is_tag,
    language,
    language_or_unknown,
    words_of,
)

TRAINING = ("n_train", "steps", "planned_steps", "best_step", "ended", "precision", "repeatable")
STAGES = ("prepare", "audit", "train", "search", "evaluate", "compress")
MAX_POINTS = 32
MAX_SAMPLES = 8
MAX_FILES = 200


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
                **language_or_unknown(row["lang"]),
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
                {**language_or_unknown(row["lang"]), "before": visible(row["before"]), "after": visible(row["after"])}
                | {"reason": row["reason"]}
                for row in chosen.iter_rows(named=True)
            ]
        yield {"step": step, "changed": shown.get("changed", []), "dropped": shown.get("dropped", [])}


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
            mark = finite(score.get("value"))
            if mark is not None and is_tag(tag):
                interval = {end: finite(score.get(end)) for end in ("low", "high")}
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
        "kept_at": x.at(finite(kept)),
    }


def _thin(points: list[dict[str, Any]], sign: int) -> list[dict[str, Any]]:
    """At most `MAX_POINTS` of a curve, evenly, its first, last and best among them."""
    if len(points) <= MAX_POINTS:
        return points
    kept = {round(i * (len(points) - 1) / (MAX_POINTS - 2)) for i in range(MAX_POINTS - 1)}
    kept.add(max(range(len(points)), key=lambda i: sign * points[i]["value"]))
    return [points[i] for i in sorted(kept)]


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
