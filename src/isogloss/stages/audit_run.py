"""The audit in a run: what the tokenizer costs the languages of the corpus, before the first training step.

It reads texts and never labels: train and dev rows, and test rows only of a language that has no others. Gates at train
ask it, and stop the run where a language exceeds a limit.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from isogloss.core import files, gate
from isogloss.core.corpus import Corpus
from isogloss.core.errors import DamagedError, Refused
from isogloss.core.recipe import Recipe
from isogloss.core.run import Run
from isogloss.core.say import Say

# Texts of a language: enough for intervals of a few per cent, and a second for a dozen languages.
LIMIT = 300
COLUMNS = ("id", "lang", "group", "text")


def audit_run(recipe: Recipe, run: Run, say: Say, *, again: bool = False) -> None:
    """Audit the tokenizer of the recipe's model on the run's corpus, and ask the gates at train.

    Writes audit.json and audit.parquet. Nothing is done for a family without a tokenizer. Raises Refused, with reasons
    by language, when a language exceeds a limit; what nobody can tell is said, and training goes on.
    """
    if not recipe.tokenized:
        return
    if again:
        run.unstamp("audit")
    reads = {**recipe.sections("task", "model", "seed"), "train": _learned(recipe), "corpus": run.key("prepare")}
    reads |= {"source": recipe.evaluate.source, "confidence": recipe.evaluate.confidence, "weights": _weights(recipe)}
    if not _fresh(run, reads):
        start = time.monotonic()
        _audit(recipe, run, say, reads)
        run.forget_cost("audit")
        run.spend("audit", time.monotonic() - start)
    _judge(recipe, run, say)


def _fresh(run: Run, reads: Mapping[str, Any]) -> bool:
    """Whether the audit stands; it is cheap, so one that is damaged is simply made anew."""
    try:
        return run.differences("audit", reads) == []
    except DamagedError:
        return False


def _learned(recipe: Recipe) -> dict[str, Any]:
    """What decides which rows a tokenizer is trained on."""
    return {"langs": recipe.train.langs, "shots": recipe.train.shots.model_dump() if recipe.train.shots else None}


def _weights(recipe: Recipe) -> Any:
    from isogloss.stages.training import setup

    return setup.sources(recipe).get("weights")


def _audit(recipe: Recipe, run: Run, say: Say, reads: Mapping[str, Any]) -> None:
    from isogloss.nn.hub import quiet
    from isogloss.nn.tokenizer import open_tokenizer
    from isogloss.stages.audit import audit
    from isogloss.stages.train import train_rows
    from isogloss.stages.training import setup

    with quiet():
        place = recipe.family("tokenizer", setup.beginning(recipe, run, train_rows(recipe, run)))
    own = open_tokenizer(place, say=say)
    texts = _texts(run)
    base = _reference(recipe, texts)
    lengths = [n for n in (recipe.the_task.knobs.get("max_length"), own.max_length) if n]
    found = audit(
        own, texts, reference=base, max_length=min(lengths, default=None), limit=LIMIT,
        confidence=recipe.evaluate.confidence, seed=recipe.seed, say=say,
    )  # fmt: skip
    document = found.document()
    document["tokenizer"]["name"] = recipe.model.knobs.get("name") or recipe.model.use
    made: list[Path] = [run.path("audit.json"), run.path("audit.parquet")]
    files.write_json(made[0], document)
    files.write_parquet(made[1], found.scores)
    run.stamp("audit", reads, made, broken=list(found.broken), needs=document["needs"])
    n = sum(one.n for one in found.langs)
    worst = next((one for one in found.langs if one.lang != base), found.langs[0])
    premium = worst.values["premium"].value
    words = (
        f"{premium:.2f} tokens for one of {base}"
        if premium
        else f"{worst.values['tokens_per_char'].value:.2f} a character"
    )
    say.line(f"audit     {own.kind}, {own.n_vocab:,} pieces, {n:,} texts; worst {worst.lang}: {words}")
    for one in found.flagged[:8]:
        say.note(f"{one.lang} needs {' or '.join(one.needs)}: {'; '.join(one.reasons)}")
    if len(found.flagged) > 8:
        say.note(f"{len(found.flagged) - 8} more languages need something; all are in {run.path('audit.json')}")


def _texts(run: Run) -> pl.DataFrame:
    """Texts of train and dev; of test those of languages that have no others."""
    corpus = Corpus(run.path("corpus"))
    rows = corpus.frame(COLUMNS, splits=["train", "dev"])
    others = corpus.frame(COLUMNS, splits=["test"]).filter(~pl.col("lang").is_in(rows["lang"].unique().implode()))
    return pl.concat([rows, others])


def _reference(recipe: Recipe, rows: pl.DataFrame) -> str:
    """The language that others are compared with: English, else the source, else the one with most rows."""
    counts = rows.group_by("lang").len().sort("len", "lang", descending=[True, False])
    wanted = ("eng_Latn", recipe.evaluate.source or "")
    return next((tag for tag in wanted if tag in set(counts["lang"])), str(counts["lang"][0]))


def _judge(recipe: Recipe, run: Run, say: Say) -> None:
    """Ask the gates at train."""
    asked = [g for g in recipe.gate if g.at == "train"]
    if not asked:
        return
    scores = files.read_parquet(run.path("audit.parquet"))
    langs = run.require("prepare")["facts"]["langs"]
    reasons = [
        reason
        for g in asked
        for reason in gate.judge(gate.Gate.of(g.model_dump()), scores, langs, system="tokenizer").reasons
    ]
    against = [r for r in reasons if r.outcome == "refused" and r.value is not None]
    for reason in reasons:
        if reason.outcome == "cannot tell" or (reason.outcome == "refused" and reason.value is None):
            say.note(f"the gate at train cannot tell: {reason.text}")
    if against:
        said = "; ".join(reason.text for reason in against)
        raise Refused(
            f"the gate at train refuses, before the first step: {said}; what would help is in {run.path('audit.json')}"
        )
    say.line(
        "gate      at train: holds" if all(r.outcome == "holds" for r in reasons) else "gate      at train: goes on"
    )
