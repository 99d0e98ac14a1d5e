"""Sections of report.html about answers: what is mistaken for what, and what translations of one text are answered."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from isogloss.core.resampling import wilson
from isogloss.stages.pages import found as finding
from isogloss.stages.pages.facts import Facts, Scale, bar, clip, language

MAX_MATRIX = 24
"""Labels, or languages, that a matrix is drawn for; above, the pairs that matter are listed."""
MAX_LISTED = 24
MAX_GROUPS = 6
MAX_ANSWERS = 8
MAX_MISSES = 12


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
