"""train: a corpus → a model.

A family either fits itself in one go (`fit`) or is trained by the loop (`stages/training/loop.py`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from isogloss.core import files, shots
from isogloss.core.budget import Budget
from isogloss.core.corpus import Corpus
from isogloss.core.energy import Meter
from isogloss.core.engine import usable_cores
from isogloss.core.errors import DataError
from isogloss.core.ledger import Ledger
from isogloss.core.recipe import Bound, Recipe
from isogloss.core.run import Run
from isogloss.core.say import Say
from isogloss.core.weights import class_weights
from isogloss.nn import launched, memory
from isogloss.stages import model
from isogloss.stages.calibrate import calibrate

# Where a mix does not say how often rows come, at least and at most so many runs over the corpus are drawn from it to weigh
# rows for a family that fits itself: shares are exact, rows nearly even.
RUNS, MOST_RUNS = 10, 200


def train(recipe: Recipe, run: Run, say: Say, *, again: bool = False) -> None:
    """Train the recipe's model on the run's corpus.

    Of several processes (torchrun) the first one does this, and the others call `follow`.
    Raises StaleError when the run holds a model made from something else, BudgetEnded when nothing could be finished.
    """
    reads = what_is_read(recipe, run)
    if recipe.loops:
        from isogloss.stages.training import loop
    changed = run.differences("train", reads) if not again else ["again"]
    if changed == []:
        say.line("train     fresh, nothing to do")
        if recipe.loops and launched.size() > 1:
            loop.call(recipe, "fresh")
        return
    if changed and not again:
        raise run.stale("train", changed)
    for stage in ("train", "evaluate"):
        run.unstamp(stage)
    start = time.monotonic()
    rows = train_rows(recipe, run)
    drawn = drawn_rows(recipe, run, rows)
    _say_shots(recipe, drawn, say)
    labels = recipe.the_task("labels", rows)
    try:
        if recipe.loops:
            if launched.size() > 1:
                loop.call(recipe, reads)
            made, facts = loop.learn(recipe, run, say, rows, labels, reads, again=again)
        else:
            made, facts = _fit(recipe, run, say, rows, labels, again=again)
        calibrates = labels and recipe.train.calibrate != "none"
        dev = train_rows(recipe, run, "dev").filter(pl.col("lang").is_in(rows["lang"].unique().implode()))
        calibrated = calibrate(recipe, run, labels, dev, say) if calibrates else {}
    finally:
        run.spend("train", time.monotonic() - start)
    langs = run.require("prepare")["facts"]["langs"]
    trained = sorted(rows["lang"].unique().to_list())
    if recipe.train.shots is not None:
        facts["shots"] = {"draw": recipe.train.shots.draw, "asked": recipe.train.shots.rows, "rows": drawn}
    value = model.card(recipe, labels, langs, trained_on=trained, n_train=rows.height, **facts, **calibrated)
    files.write_json(run.path("model", model.CARD), value)
    run.stamp("train", reads, [*made, run.path("model", model.CARD)], n_train=rows.height, trained_on=trained, **facts)
    seconds = time.monotonic() - start
    say.line(
        f"train     {recipe.model.use} on {rows.height:,} rows in {len(trained)} languages, "
        + (f"{len(labels)} labels, " if labels else "")
        + f"{seconds:.1f} s"
    )


def what_is_read(recipe: Recipe, run: Run) -> dict[str, Any]:
    """What a training is made from, as its stamp has it."""
    reads = {**recipe.sections("task", "model", "train", "seed"), "corpus": run.key("prepare")}
    # a price, watts and the room for kept states change what is told of a training, not the training
    budget, stop = recipe.budget, recipe.train.stop
    reads["budget"] = {"seconds": budget.seconds}
    if stop is not None and stop.gain is not None:  # unless it ends by what was spent
        own = {"money": {"price_per_hour": budget.price_per_hour}, "kilojoule": {"watts": budget.watts}}
        reads["budget"] |= own.get(stop.per, {})
    reads["train"] = {key: value for key, value in reads["train"].items() if key != "states_gb"}
    if recipe.loops:
        from isogloss.stages.training import setup

        reads |= setup.sources(recipe)
    return reads


def start_folder(recipe: Recipe, run: Run) -> Path:
    """Where a model made from scratch begins: what is kept there from another recipe or corpus is removed."""
    folder = run.path("start")
    asked = {**recipe.sections("model", "seed"), "langs": recipe.train.langs, "corpus": run.key("prepare")}
    asked["seed"] = recipe.train_seed
    asked["shots"] = recipe.train.shots.model_dump() if recipe.train.shots else None
    key, note = files.digest_of(asked), folder / "reads.json"
    if folder.exists() and (not note.is_file() or files.read_json(note) != key):
        files.remove(folder)
    if not note.is_file():
        files.write_json(note, key)
    return folder


def follow(recipe: Recipe, run: Run) -> None:
    """What every process but the first does: nothing until the first one trains, and then its part of that."""
    if recipe.loops:
        from isogloss.stages.training import loop

        reads = loop.call(recipe, None)
        if reads != "fresh":
            rows = train_rows(recipe, run)
            loop.learn(recipe, run, Say(), rows, recipe.the_task("labels", rows), reads, again=False)


def train_rows(recipe: Recipe, run: Run, split: str = "train") -> pl.DataFrame:
    """The rows that may be learned from: split train, the languages of `train.langs`, and of the others the rows that
    `train.shots` draws.

    With `split="dev"` the rows that may choose among checkpoints, of `train.langs` alone; they may be none.
    """
    every = rows = Corpus(run.path("corpus")).frame(splits=[split])
    if recipe.train.langs is not None:
        rows = rows.filter(pl.col("lang").is_in(recipe.train.langs))
        absent = [tag for tag in recipe.train.langs if tag not in set(rows["lang"])]
        if absent and rows.height and split == "train":
            raise DataError(f"train.langs names {', '.join(absent)}, which has no train rows in the corpus")
    if rows.is_empty() and split == "train" and recipe.train.langs != []:
        raise DataError("no train rows are left; look at data.split, train.langs and dropped/")
    if recipe.train.shots is not None and split == "train":
        rows = pl.concat([rows, _shots(recipe, every)])
    return rows


def _shots(recipe: Recipe, every: pl.DataFrame) -> pl.DataFrame:
    """What `train.shots` draws of the train rows of the other languages."""
    spec = recipe.train.shots
    assert spec is not None
    others = every.filter(~pl.col("lang").is_in(recipe.train.langs or []))
    if spec.langs is not None:
        others = others.filter(pl.col("lang").is_in(spec.langs))
    allowed = recipe.the_task.knobs.get("labels")
    if allowed:
        others = others.filter(pl.col("label").is_in(allowed))
    if others.is_empty():
        named = f"{', '.join(spec.langs)}, of which" if spec.langs else "languages that train.langs does not name, and"
        raise DataError(f"train.shots draws rows of {named} none has train rows")
    return shots.draw(others, spec.rows, seed=recipe.seed, number=spec.draw)


def drawn_rows(recipe: Recipe, run: Run, rows: pl.DataFrame) -> dict[str, int]:
    """How many of the train `rows` each language has that `train.langs` does not name, 0 included; {} without shots."""
    if recipe.train.shots is None:
        return {}
    present = recipe.train.shots.langs or run.require("prepare")["facts"]["langs"]
    others = [tag for tag in present if tag not in (recipe.train.langs or ())]
    counts = dict(rows.group_by("lang").len().rows())
    return {tag: int(counts.get(tag, 0)) for tag in sorted(others)}


def _say_shots(recipe: Recipe, drawn: Mapping[str, int], say: Say) -> None:
    spec = recipe.train.shots
    if spec is None:
        return
    say.line(f"train     {sum(drawn.values()):,} rows of {len(drawn)} more languages: draw {spec.draw} of {spec.rows}")
    fewer = {tag: n for tag, n in drawn.items() if n < spec.rows}
    if fewer:
        each = ", ".join(f"{tag} {n}" for tag, n in sorted(fewer.items(), key=lambda item: item[::-1]))
        say.note(f"train.shots asks for {spec.rows} rows, and there are fewer in {each}")


def slim(rows: pl.DataFrame) -> pl.DataFrame:
    """What a mix sees of the train rows."""
    own = [name for name in ("label", "group", "task", "weight") if name in rows.columns]
    return rows.select("id", "lang", *own, pl.col("text").str.len_bytes().alias("n_bytes"))


def mix_weights(mix: Bound, rows: pl.DataFrame, seed: int) -> np.ndarray:
    """How often each row comes in a run of as many rows as there are, on average: weights for a family that fits itself.

    A mix that does not say it itself (`shares`) is drawn from until every row came, `MOST_RUNS` at most.
    """
    own = slim(rows)
    if mix.part.has("shares"):
        return np.asarray(mix("shares", own), dtype=np.float64)
    rng = np.random.default_rng(seed)
    sizes = dict(own.group_by("lang").len().sort("lang").rows())
    counts = np.zeros(rows.height, np.int64)
    for turn in range(MOST_RUNS):
        if turn >= RUNS and counts.all():
            break
        met = np.zeros(rows.height, np.int64)
        while met.sum() < rows.height:
            by_lang = own.select("lang", met=pl.Series(met)).group_by("lang").agg(pl.col("met").sum())
            seen: dict[str, Any] = {
                "rows": dict(by_lang.rows()), "tokens": {}, "epochs": {}, "loss": {}, "dev": {}, "sizes": sizes,
                "progress": met.sum() / rows.height, "planned": float(rows.height), "course": [],
            }  # fmt: skip
            window = mix("order", own.with_columns(pl.Series("met", counts + met)), rng, seen)
            met += np.bincount(window, minlength=rows.height)
        counts += met
    return counts * (rows.height / counts.sum())


def _fit(
    recipe: Recipe, run: Run, say: Say, rows: pl.DataFrame, labels: tuple[str, ...], *, again: bool
) -> tuple[list[Path], dict[str, Any]]:
    """A family that fits itself."""
    budget = Budget(recipe.budget.seconds, before=0.0 if again else run.cost().get("train", 0.0))
    mix = recipe.bound(recipe.train.mix, "mixes")
    weight = class_weights(rows, recipe.train.weights) * mix_weights(mix, rows, recipe.train_seed)
    known = rows.with_columns(pl.Series("weight", weight)).filter(pl.col("label").is_in(labels))
    done = 0

    def tick(what: str) -> None:
        nonlocal done
        done += 1
        say.progress("training", done, None, "models")
        budget.must_last("the model was fitted")

    budget.must_last("the model was fitted")
    spend, path = recipe.budget, run.path("compute.json")
    if again:
        files.remove(path)
    meter = Meter(usable_cores(), watts=spend.watts)
    ledger = Ledger(path, meter, price_per_hour=spend.price_per_hour, currency=spend.currency)
    memory.forget_peak()
    with ledger.during("training"):
        fitted = recipe.family("fit", known, labels, tick=tick)
    say.close()
    for (tag,), own in known.group_by("lang"):
        ledger.by_lang[str(tag)] = {"n_rows": float(own.height), "n_tokens": 0.0}
    ledger.peak = memory.peak()
    ledger.write()
    files.remove(run.path("model")) if run.path("model").exists() else None
    return [*recipe.family.module.write(fitted, run.path("model")), path], {}
