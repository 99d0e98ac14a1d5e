"""evaluate: a model and its baselines → predictions, scores by language with intervals, and the verdict of the gates.

Every system answers the same rows, and its answers are on disk before anything is scored:

    model          what `train` made
    majority       the commonest train label of the language, with the label shares as probabilities
    floor_lang     character n-grams, one model a language, on all its own train rows, `train.langs` or not: what a
                   monolingual model from scratch gets, and what labels in a zero-shot language would be worth
    floor_pooled   character n-grams, one model for all, on the train rows of the model
    source         the recipe's model where it fits itself, else n-grams, trained on one language only (zero-shot)
    untuned        the recipe's model before training, where it answers then already
    uncalibrated   the model without what `train.calibrate` fitted, where the recipe asks for that

A task without labels has `floor_pooled` and `untuned`: vectors of character n-grams, weighted by the train rows of the
model, and those of the model before training, find contents as the model's do.

Test rows are read here and nowhere else. Train rows are only scored to tell over- from underfitting.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from isogloss.core import files, gate, parts, report
from isogloss.core import lang as lang_table
from isogloss.core.corpus import Corpus
from isogloss.core.engine import Engine
from isogloss.core.errors import DataError
from isogloss.core.recipe import Recipe
from isogloss.core.run import Run
from isogloss.core.say import Say
from isogloss.core.weights import class_weights
from isogloss.stages import floor, model
from isogloss.stages.train import train_rows

# Train rows of a language that are scored, to tell over- from underfitting; without labels, contents (where dev has none).
TRAIN_SAMPLE = 200
# Which systems answer first: those that take longest.
ORDER = ("floor_pooled", "floor_lang", "source", "untuned", "model", "uncalibrated", "majority")
FACTS = ("script", "family", "genus", "resource")


def evaluate(recipe: Recipe, run: Run, engine: Engine, say: Say, *, again: bool = False) -> pl.DataFrame:
    """Score the run's model beside its baselines; returns the scores on test. `again` asks every system anew.

    Raises DataError when there are no test rows.
    """
    reads = {**recipe.sections("langs", "evaluate", "gate", "seed"), "model": run.key("train")}
    if not again and run.differences("evaluate", reads) == []:
        say.line("evaluate  fresh, nothing to do")
        return files.read_parquet(run.path("scores.parquet"))
    start = time.monotonic()
    run.unstamp("evaluate")
    if again:
        files.remove(run.path("predictions"))
    systems = list(_predictions(recipe, run, engine, say))
    say.progress("scoring", 0, None)
    made = _score(recipe, run, systems)
    say.close()
    run.spend("evaluate", time.monotonic() - start)
    run.stamp("evaluate", reads, made, systems=systems)
    say.line(f"evaluate  {len(systems)} systems, {time.monotonic() - start:.1f} s")
    return files.read_parquet(run.path("scores.parquet"))


# -- answers ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Job:
    system: str
    run: Run
    recipe_json: str
    folder: Path
    source: str
    out: Path


def systems(recipe: Recipe) -> list[str]:
    """The model and the baselines that are not the model itself."""
    family = recipe.family
    same = {"floor_lang", "floor_pooled"} if family.name == floor.FLOOR else set()
    own = f"floor_{family.knobs['scope']}" if same else ""
    defaults = floor.part().bind({"scope": family.knobs["scope"]}) if same else {}
    plain = (
        bool(same) and family.knobs == defaults and recipe.train.weights == "none" and recipe.train.mix.use == "natural"
    )
    everywhere = recipe.train.langs is None
    left_out = {own} if plain and everywhere else set()
    if not can_answer_untuned(recipe):
        left_out.add("untuned")
    own_before = ["uncalibrated"] if recipe.train.calibrate != "none" else []
    return ["model", *own_before, *[name for name in recipe.baselines if name not in left_out]]


def can_answer_untuned(recipe: Recipe) -> bool:
    """Whether the recipe's model has a head for some labels before it is trained; whether for ours, only it can tell."""
    if not recipe.family.part.has("untuned") or "untuned" not in recipe.baselines:
        return False
    from isogloss.stages.training import setup

    return bool(recipe.family("untuned", setup.untrained(recipe, (), skeleton=True)))


def source_lang(recipe: Recipe, rows: pl.DataFrame) -> str:
    """The language of the source-only baseline: the one named, else the one with most train rows."""
    if recipe.evaluate.source:
        return recipe.evaluate.source
    counts = rows.group_by("lang").len("n").sort(["n", "lang"], descending=[True, False])
    first = counts.filter(pl.col("n") == counts["n"].max())["lang"].to_list()
    order = recipe.train.langs or (recipe.langs if isinstance(recipe.langs, list) else [])
    return next((tag for tag in order if tag in first), first[0])


def _predictions(recipe: Recipe, run: Run, engine: Engine, say: Say) -> list[str]:
    """Let every system answer; answers that an earlier sitting finished are kept."""
    rows = train_rows(recipe, run)
    source = source_lang(recipe, rows) if "source" in recipe.baselines else ""
    key = files.digest_of([run.key("train"), recipe.baselines, source, recipe.seed])
    folder = run.path("predictions")
    if not (folder / "key.json").is_file() or files.read_json(folder / "key.json") != [key, source]:
        files.remove(folder)
        files.write_json(folder / "key.json", [key, source])
    names = systems(recipe)
    if source not in set(rows["lang"]) and "source" in names:
        raise DataError(f"evaluate.source is {source}, which has no train rows")
    if (
        "untuned" in names
        and recipe.labelled
        and _untuned(recipe, tuple(model.read_card(run.folder)["labels"])) is None
    ):
        say.note("the untuned model has other labels than this corpus, and cannot be set beside the trained one")
        names.remove("untuned")
    if rows["lang"].n_unique() == 1 and "source" in names:
        names.remove("source")  # the model is trained on one language already
    # A model that the loop trained answers here, with all cores; what else there is, side by side on the engine.
    jobs = [
        _Job(name, run, recipe.model_dump_json(), recipe.folder, source, folder / f"{name}.parquet") for name in names
    ]
    jobs.sort(key=lambda job: ORDER.index(job.system))
    here = [job for job in jobs if recipe.loops and job.system in ("model", "uncalibrated", "untuned")]
    side_by_side = engine.map(_answer, [job for job in jobs if job not in here])
    for _ in say.track(chain(side_by_side, map(_answer, here)), "answering", len(jobs), "systems"):
        pass
    return names


def _answer(job: _Job) -> None:
    if job.out.is_file():
        return
    recipe = Recipe.model_validate_json(job.recipe_json)
    recipe._folder = job.folder
    corpus = Corpus(job.run.path("corpus"))
    card = model.read_card(job.run.folder)
    labels = tuple(card["labels"])
    every = corpus.frame(splits=["train"])
    if labels:
        every = every.filter(pl.col("label").is_in(labels))
    train = every.filter(pl.col("id").is_in(train_rows(recipe, job.run)["id"].implode()))
    held = corpus.frame(splits=["dev", "test"])
    asked = pl.concat([held, _sample(train, recipe.seed) if labels else _contents(train, held, recipe.seed)])
    outputs: Any
    if job.system in ("model", "uncalibrated"):
        made = model.load(job.run.folder)
        if not labels:
            outputs = made.family.module.predict(made.loaded, asked)
        else:
            outputs = made.probabilities(asked) if job.system == "model" else made.uncalibrated(asked)
    elif job.system == "untuned":
        untuned = _untuned(recipe, labels)
        outputs = recipe.family.module.predict(untuned, asked)
        outputs = outputs[:, [untuned.labels.index(label) for label in labels]] if labels else outputs
    elif not labels:
        outputs = floor.vectors(train, asked)
    elif job.system == "majority":
        outputs = _majority(train, asked, labels)
    else:
        outputs = _fitted(recipe, job, every if job.system == "floor_lang" else train, asked, labels)
    own = [c for c in ("id", "lang", "variety", "source", "split", "group", "task", "label") if c in asked.columns]
    keep = [c for c in recipe.data.keep if c in asked.columns]
    base = asked.select(*own, pl.col("text").str.len_bytes().alias("n_bytes"), *keep)
    files.write_parquet(
        job.out, recipe.the_task("answers", base, outputs, labels).select(pl.lit(job.system).alias("system"), pl.all())
    )


def _untuned(recipe: Recipe, labels: tuple[str, ...]) -> Any:
    """The recipe's model before training, or None where it has no head for these labels."""
    from isogloss.stages.training import setup

    return recipe.family("untuned", setup.untrained(recipe, labels, skeleton=False))


def _sample(train: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Up to `TRAIN_SAMPLE` train rows a language, by a keyed hash of the id."""
    keys = [hashlib.blake2b(f"{seed}\0{i}".encode(), digest_size=8).digest() for i in train["id"]]
    ranked = train.with_columns(pl.Series("_key", keys)).sort("lang", "_key")
    return ranked.filter(pl.int_range(pl.len()).over("lang") < TRAIN_SAMPLE).drop("_key")


def _contents(train: pl.DataFrame, held: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Train rows of as many contents as dev has, by a keyed hash of their group: a rank depends on how many there are."""
    tied = pl.col("group").is_not_null() & (pl.col("lang").n_unique().over("group") > 1)
    n = held.filter(pl.col("split") == "dev").filter(tied)["group"].n_unique() or TRAIN_SAMPLE
    names = train.filter(tied)["group"].unique().to_list()
    names.sort(key=lambda name: hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest())
    return train.filter(pl.col("group").is_in(names[:n]))


def _majority(train: pl.DataFrame, asked: pl.DataFrame, labels: tuple[str, ...]) -> np.ndarray:
    """Label shares of the language, shrunk by one pooled row; the pooled shares for a language without train rows."""
    codes = {label: i for i, label in enumerate(labels)}
    pooled = np.full(len(labels), 1e-6)
    for label, n in train.group_by("label").len("n").rows():
        pooled[codes[label]] += n
    pooled /= pooled.sum()
    shares = {}
    for (lang,), rows in train.group_by("lang"):
        counts = pooled.copy()
        for label, n in rows.group_by("label").len("n").rows():
            counts[codes[label]] += n
        shares[lang] = counts / counts.sum()
    return np.array([shares.get(lang, pooled) for lang in asked["lang"]]).reshape(asked.height, len(labels))


def _fitted(recipe: Recipe, job: _Job, train: pl.DataFrame, asked: pl.DataFrame, labels: tuple[str, ...]) -> np.ndarray:
    """A floor, or the source-only baseline."""
    if job.system != "source":
        return floor.answers(train, asked, labels, "lang" if job.system == "floor_lang" else "pooled")
    train = train.filter(pl.col("lang") == job.source)
    knobs = recipe.family.knobs if recipe.family.name == floor.FLOOR else None
    weight = pl.Series("weight", class_weights(train, recipe.train.weights))
    return floor.answers(train.with_columns(weight), asked, labels, "pooled", knobs)


# -- scores -----------------------------------------------------------------------------------------------------


def with_facts(frame: pl.DataFrame) -> pl.DataFrame:
    """Add what is known of each row's language: `script, family, genus, resource`."""
    tags = frame["lang"].unique().to_list()
    table = pl.DataFrame(
        {"lang": tags, **{by: [lang_table.group_of(tag, by) for tag in tags] for by in FACTS}},
        schema=dict.fromkeys(("lang", *FACTS), pl.String),
    )
    return frame.join(table, on="lang", how="left", maintain_order="left")


def metrics(names: tuple[str, ...]) -> dict[str, Any]:
    """Metric modules by name."""
    return {name: parts.load("metrics", name).module for name in names}


def read_predictions(run: Run, system: str, split: str | None = None) -> pl.DataFrame:
    """The answers of one system, with the facts of each row's language."""
    frame = with_facts(files.read_parquet(run.path("predictions", f"{system}.parquet")))
    return frame if split is None else frame.filter(pl.col("split") == split)


def _score(recipe: Recipe, run: Run, names: list[str]) -> list[Path]:
    """Scores on test, dev and the train sample; paired differences; fairness; over- and underfitting; the verdict."""
    spec = recipe.evaluate
    labels = tuple(model.read_card(run.folder)["labels"])
    modules = metrics(recipe.metric_names)
    answers = {name: read_predictions(run, name) for name in names}
    test = answers["model"].filter(pl.col("split") == "test")
    if test.is_empty():
        raise DataError(
            "there are no test rows to evaluate on; give some the split 'test', or set data.split.test above 0"
        )
    slices = list(dict.fromkeys(["lang", *spec.slices]))
    common: dict[str, Any] = {"resamples": spec.resamples, "confidence": spec.confidence, "seed": recipe.seed}

    def scored(name: str, split: str, some: dict[str, Any], by: list[str]) -> pl.DataFrame:
        rows = answers[name].filter(pl.col("split") == split)
        return (
            report.score(rows, some, labels, system=name, slices=by, data_hash=_rows_hash(rows), **common)
            if rows.height
            else pl.DataFrame(schema=report.SCORES_SCHEMA)
        )

    scores = pl.concat([scored(name, "test", modules, slices) for name in names])
    if not labels and not scores["n"].sum():
        raise DataError(
            f"none of the {test.height:,} test rows has its content in another language, so there is nothing to find; "
            "translations need the same 'group'"
        )
    dev = pl.concat([scored(name, "dev", modules, ["lang"]) for name in names])
    head = {recipe.headline: modules[recipe.headline]}
    base = next((name for name in (("floor_lang",) if labels else ("floor_pooled",)) if name in names), "model")
    sample = pl.concat([scored(name, "train", head, ["lang"]) for name in dict.fromkeys(("model", base))])

    def paired(other: str, metric: str, split: str = "test") -> pl.DataFrame:
        a, b = (answers[name].filter(pl.col("split") == split) for name in ("model", other))
        return report.paired(a, b, modules[metric], labels, name=metric, **common)

    heads = tuple(dict.fromkeys((recipe.headline, *recipe.headlines)))
    asked = [
        (name, metric) for name in names[1:] for metric in (recipe.calibrations if name == "uncalibrated" else heads)
    ]
    asked += [item for g in recipe.gate for item in g.beats.items() if item not in asked]
    pairs = {item: paired(*item) for item in asked if item[0] in names}
    out: dict[str, pl.DataFrame] = {
        "scores": scores,
        "dev_scores": dev,
        "train_scores": sample,
        "paired": pl.concat([frame.with_columns(pl.lit(other).alias("other")) for (other, _), frame in pairs.items()])
        if pairs
        else pl.DataFrame(schema={**report.PAIRED_SCHEMA, "other": pl.String}),
        "fit": _fit_verdicts(recipe, base, sample, dev, paired, modules),
    }
    if labels:
        out["fairness"] = report.fairness(test, labels, confidence=spec.confidence)
    made = [run.path("predictions", f"{name}.parquet") for name in names]
    for name, frame in out.items():
        files.write_parquet(run.path(f"{name}.parquet"), frame)
        made.append(run.path(f"{name}.parquet"))
    files.write_json(run.path("verdict.json"), judge(recipe, run, scores, pairs))
    return [*made, run.path("verdict.json")]


def _rows_hash(rows: pl.DataFrame) -> str:
    """A digest of which rows were scored, with their gold labels; the order does not matter."""
    hasher = hashlib.blake2b(digest_size=4)
    for row in sorted(rows.select("id", "lang", "label").iter_rows()):
        hasher.update("\0".join(map(str, row)).encode("utf-8", "surrogatepass"))
    return hasher.hexdigest()


def _fit_verdicts(
    recipe: Recipe, base: str, sample: pl.DataFrame, dev: pl.DataFrame, paired: Any, modules: dict[str, Any]
) -> pl.DataFrame:
    headline = pl.col("metric") == recipe.headline

    def of(frame: pl.DataFrame, system: str) -> pl.DataFrame:
        return frame.filter(headline, pl.col("system") == system)

    against = paired(base, recipe.headline, "dev") if dev.height else pl.DataFrame(schema=report.PAIRED_SCHEMA)
    better = modules[recipe.headline].BETTER
    return report.fit_verdicts(
        of(sample, "model"), of(dev, "model"), of(sample, base), of(dev, base), against, better=better
    )


def judge(recipe: Recipe, run: Run, scores: pl.DataFrame, pairs: dict[tuple[str, str], pl.DataFrame]) -> dict[str, Any]:
    """What the gates at promote say of these scores, as plain values."""
    langs = run.require("prepare")["facts"]["langs"]
    asked = [g for g in recipe.gate if g.at == "promote"]
    found = []
    for g in asked:
        frames = {other: frame for (other, metric), frame in pairs.items() if g.beats.get(other) == metric}
        verdict = gate.judge(gate.Gate.of(g.model_dump()), scores, langs, paired=frames)
        found.append({"outcome": verdict.outcome, "reasons": [vars(reason) for reason in verdict.reasons]})
    order = ("refused", "cannot tell", "holds")
    outcome = min((v["outcome"] for v in found), key=order.index, default="no gate")
    return {"outcome": outcome, "gates": found}
