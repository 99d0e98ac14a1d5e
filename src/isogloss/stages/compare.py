"""compare: two runs or more on the test rows they share → gains and losses by language, and what the recipes differ in.

The first run is the reference. Differences are paired (same rows, same resamples) and their intervals hold for all
languages of all runs at once: Bonferroni over languages inside `report.paired`, and over runs here; `p_holm` is Holm's
over every language of every run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from isogloss.core import files, parts, report, resampling
from isogloss.core import lang as lang_table
from isogloss.core.errors import DataError, InputError
from isogloss.core.recipe import Recipe, unfed
from isogloss.core.run import Run
from isogloss.stages import evaluate, model

ABSENT = "–"
_ORDER = ("worse", "cannot tell", "better")


def compare(given: Sequence[tuple[Recipe, Run]], *, metric: str | None = None) -> dict[str, Any]:
    """Compare the model of each run with that of the first, as plain values.

    Keys: `metric, better, confidence, reference, runs, recipe, comparisons`. A comparison has `run, n_rows, n_left_out,
    n_better, n_worse, n_cannot_tell` and `langs`, losses first: `lang, name, n, reference, value, diff, low, high,
    low_corrected, high_corrected, p_holm, verdict`, where the verdict is about the run, not the reference.

    Raises InputError for fewer than two runs, one named twice, or a metric that the task cannot feed; DataError where
    runs share no test rows, do not mean the same by their labels, or rank among other rows; PlaceError where a run was
    not evaluated.
    """
    if len(given) < 2:
        raise InputError("compare takes two runs or more, the reference first")
    folders = [run.folder.resolve() for _, run in given]
    if len(set(folders)) < len(folders):
        raise InputError("compare takes different runs, and one of these is named twice")
    names = _names(given)
    recipe, reference = given[0]
    spec, metric = recipe.evaluate, metric or recipe.headline
    for each, _ in given:
        if each.task.use == recipe.task.use and (problem := unfed(each, metric)):
            raise InputError(f"--metric: {problem}")
    module = parts.load("metrics", metric).module
    rows = [_answers(run, where) for (_, run), where in zip(given, names, strict=True)]
    others = len(given) - 1
    frames = []
    for name, (other_recipe, other) in zip(names[1:], given[1:], strict=True):
        if other_recipe.task.use != recipe.task.use:
            raise DataError(
                f"{name} does the task '{other_recipe.task.use}' and {names[0]} '{recipe.task.use}': "
                "their scores do not compare"
            )
        labels = _same_labels(reference, other, names[0], name)
        if not labels:
            _same_candidates(rows[0], rows[names.index(name)], names[0], name)
        one, two = _same_rows(rows[0], rows[names.index(name)], _labels(other), labels, names[0], name)
        options: dict[str, Any] = {"name": metric, "resamples": spec.resamples, "seed": recipe.seed}
        frame = report.paired(two, one, module, labels, confidence=spec.confidence, **options)
        if others > 1:  # the same with the share of each run: what holds for all languages of all runs at once
            strict = report.paired(two, one, module, labels, confidence=1 - (1 - spec.confidence) / others, **options)
            frame = frame.with_columns(strict[c] for c in ("low_corrected", "high_corrected", "verdict"))
        frames.append(frame)
    tested = [
        frame.select(pl.when(pl.col("n_units") >= resampling.FEW_UNITS).then("p"))
        .to_series()
        .cast(pl.Float64)
        .to_numpy()
        for frame in frames
    ]
    adjusted = iter(resampling.holm([p for found in tested for p in found]))
    comparisons = []
    for name, frame in zip(names[1:], frames, strict=True):
        p_holm = [None if p != p else float(p) for p in (next(adjusted) for _ in range(frame.height))]
        comparisons.append(_plain(name, frame.with_columns(pl.Series("p_holm", p_holm, dtype=pl.Float64))))
    return {
        "metric": metric,
        "better": module.BETTER,
        "confidence": spec.confidence,
        "reference": names[0],
        "runs": [_about(recipe, run, name, metric) for (recipe, run), name in zip(given, names, strict=True)],
        "recipe": list(differences([(name, recipe, run) for name, (recipe, run) in zip(names, given, strict=True)])),
        "comparisons": comparisons,
    }


def _names(given: Sequence[tuple[Recipe, Run]]) -> list[str]:
    """What the runs are called: their folder's name, or its path where two have the same."""
    short = [run.name for _, run in given]
    return [name if short.count(name) == 1 else str(run.folder) for name, (_, run) in zip(short, given, strict=True)]


def _answers(run: Run, name: str) -> pl.DataFrame:
    run.require("evaluate")
    rows = evaluate.read_predictions(run, "model", "test")
    if rows.is_empty():
        raise DataError(f"{name} has no answers on test rows")
    return rows


def _labels(run: Run) -> list[str]:
    return list(files.read_json(run.path("model", model.CARD))["labels"])


def _same_labels(reference: Run, other: Run, a: str, b: str) -> list[str]:
    ours, theirs = _labels(reference), _labels(other)
    if set(ours) != set(theirs):
        only = [
            *(f"'{x}' only in {a}" for x in ours if x not in theirs),
            *(f"'{x}' only in {b}" for x in theirs if x not in ours),
        ]
        more = f" and {len(only) - 4} more" if len(only) > 4 else ""
        raise DataError(
            f"{a} and {b} do not answer with the same labels ({', '.join(only[:4])}{more}): their scores do not compare"
        )
    return ours


def _same_candidates(a: pl.DataFrame, b: pl.DataFrame, name_a: str, name_b: str) -> None:
    """A rank depends on the other rows of the split: raise DataError unless both have the same rows."""
    ids_a, ids_b = set(a["id"]), set(b["id"])
    if ids_a & ids_b and ids_a != ids_b:
        raise DataError(
            f"{name_a} and {name_b} did not search among the same test rows ({len(ids_a - ids_b):,} only in {name_a}, "
            f"{len(ids_b - ids_a):,} only in {name_b}): their ranks do not compare; give both runs the same data and split"
        )


def _same_rows(
    a: pl.DataFrame, b: pl.DataFrame, theirs: Sequence[str], labels: Sequence[str], name_a: str, name_b: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Both sides, with `probs` in the order of `labels` and the reference's groups. Rows that one has alone stay."""
    both = a.select("id", "label", "lang", "group").join(b.select("id", "label", "lang", "group"), on="id", suffix="_b")
    if both.is_empty():
        raise DataError(
            f"{name_a} and {name_b} share no test rows (no id of one is among the other's {b.height:,}), "
            "so there is nothing to compare"
        )
    right = "the right label" if labels else "the group"
    for column, words in (("label", right), ("lang", "the language")):
        unequal = both.filter(pl.col(column).ne_missing(pl.col(f"{column}_b")))
        if unequal.height:
            row = unequal.row(0, named=True)
            raise DataError(
                f"{name_a} and {name_b} do not agree on {words} "
                f"of {unequal.height:,} of their {both.height:,} shared rows "
                f"('{row[column]}' and '{row[column + '_b']}' for {row['id']}): their scores do not compare"
            )
    if list(theirs) != list(labels):
        order = [list(theirs).index(label) for label in labels]
        b = b.with_columns(pl.col("probs").list.gather(order))
    # Groups only say which rows are resampled together; near-duplicates may have joined them in one run alone.
    groups = both.select("id", "group")
    known = b.join(groups.rename({"group": "_group"}), on="id", how="left", maintain_order="left")
    shared = pl.col("id").is_in(groups["id"].implode())
    return a, known.with_columns(pl.when(shared).then("_group").otherwise("group").alias("group")).drop("_group")


def _plain(name: str, frame: pl.DataFrame) -> dict[str, Any]:
    keep = ("n", "diff", "low", "high", "low_corrected", "high_corrected", "p_holm", "verdict")
    langs = [
        {
            "lang": row["key"],
            "name": lang_table.facts(row["key"]).name,
            "reference": row["b"],
            "value": row["a"],
            **{k: row[k] for k in keep},
        }
        for row in frame.iter_rows(named=True)
        if row["n"]
    ]
    sign = -1 if frame["better"][0] == "lower" else 1
    langs.sort(key=lambda row: (_ORDER.index(row["verdict"]), sign * (row["diff"] or 0.0), row["lang"]))
    counts = {verdict: sum(row["verdict"] == verdict for row in langs) for verdict in _ORDER}
    return {
        "run": name,
        "n_rows": int(frame["n"].sum()),
        "n_left_out": int(frame["n_left_out"].sum()),
        "n_better": counts["better"],
        "n_worse": counts["worse"],
        "n_cannot_tell": counts["cannot tell"],
        "langs": langs,
    }


def _about(recipe: Recipe, run: Run, name: str, metric: str) -> dict[str, Any]:
    scores = files.read_parquet(run.path("scores.parquet"))
    whole = scores.filter(pl.col("system") == "model", pl.col("by") == "all", pl.col("metric") == metric)
    return {
        "name": name,
        "folder": str(run.folder),
        "verdict": files.read_json(run.path("verdict.json"))["outcome"],
        "seconds": run.cost(),
        "n_langs": len(run.require("prepare")["facts"]["langs"]),
        "model": recipe.model.use,
        **{row["key"]: {k: row[k] for k in ("value", "low", "high", "n")} for row in whole.iter_rows(named=True)},
    }


# -- what differs -----------------------------------------------------------------------------------------------


def differences(given: Sequence[tuple[str, Recipe, Run]]) -> Iterator[dict[str, Any]]:
    """Each leaf of the recipes, each input file and each version that is not the same in all: `key, values` by run."""
    flat = {name: {**dict(leaves(_whole(recipe))), **_surroundings(run)} for name, recipe, run in given}
    keys = dict.fromkeys(key for leaf in flat.values() for key in leaf)
    for key in keys:
        values = {name: leaf.get(key, ABSENT) for name, leaf in flat.items()}
        if key != "name" and len({json.dumps(value, sort_keys=True) for value in values.values()}) > 1:
            yield {"key": key, "values": values}


def _whole(recipe: Recipe) -> dict[str, Any]:
    """The recipe with the knobs that its parts have by default."""
    value = recipe.model_dump(mode="json")
    value["model"] |= recipe.family.knobs
    value["task"] |= recipe.the_task.knobs
    value["train"]["mix"] |= recipe.bound(recipe.train.mix, "mixes").knobs
    for slot, step in zip(value["data"]["steps"], recipe.steps, strict=True):
        slot |= step.knobs
    whole: dict[str, Any] = json.loads(json.dumps(value, default=str))
    return whole


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each leaf of nested tables with its path; a list without tables is one leaf.

    >>> dict(leaves({"train": {"mix": {"use": "natural"}}, "steps": [{"use": "dedup"}], "langs": ["eng_Latn"]}))
    {'train.mix.use': 'natural', 'steps[0].use': 'dedup', 'langs': ['eng_Latn']}
    """
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from leaves(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for i, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{i}]")
    else:
        yield path, value


def _surroundings(run: Run) -> dict[str, Any]:
    prepared, trained = run.require("prepare"), run.require("train")
    inputs = {f"input {name}": digest[:12] for name, digest in prepared["reads"]["inputs"].items()}
    return {**inputs, **{f"version {name}": version for name, version in trained["versions"].items()}}


def shown(value: Any, longest: int = 60) -> str:
    """A value of a recipe in few characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, list) and len(text) > longest:
        return f"{len(value)} values: {', '.join(map(str, value))[: longest - 14]}…"
    return text if len(text) <= longest else text[: longest - 1] + "…"


# -- for the screen ---------------------------------------------------------------------------------------------


def screen(found: Mapping[str, Any], longest: int = 30) -> Iterator[list[list[str]] | str]:
    """What to print, in order: a sentence is a string, a table a list of rows with its header first."""
    reference = found["reference"]
    if found["recipe"]:
        names = [run["name"] for run in found["runs"]]
        yield "what differs"
        yield [
            ["key", *names],
            *([item["key"], *(shown(item["values"][name], 32) for name in names)] for item in found["recipe"]),
        ]
    else:
        yield "nothing differs in the recipes, the inputs and the versions"
    for one in found["comparisons"]:
        rows, left = f"{one['n_rows']:,} shared test rows", one["n_left_out"]
        yield f"{one['run']} against {reference}: {found['metric']} on {rows}" + (
            f", {left:,} that only one has left out" if left else ""
        )
        yield f"better in {one['n_better']} languages, worse in {one['n_worse']}, cannot tell in {one['n_cannot_tell']}"
        table = [["language", "n", reference, one["run"], "difference", "corrected interval", "verdict"]]
        table += [
            [
                f"{row['lang']} {row['name']}",
                str(row["n"]),
                _value(row["reference"]),
                _value(row["value"]),
                _value(row["diff"], "+"),
                _interval(row["low_corrected"], row["high_corrected"]),
                row["verdict"],
            ]
            for row in one["langs"][:longest]
        ]
        yield table
        if len(one["langs"]) > longest:
            more = len(one["langs"]) - longest
            yield f"... and {more} more languages, with --json or in: isogloss report {reference} {one['run']}"


def _value(x: float | None, sign: str = "") -> str:
    return ABSENT if x is None else f"{x:{sign}.3f}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"[{low:+.3f}, {high:+.3f}]"
