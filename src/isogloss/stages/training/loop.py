"""The training loop. `learn` is the whole story, top to bottom; the helpers below it stand in the order of their use.

One process or several (torchrun, accelerate launch): every process runs this file on the same rows and decides the
same; only the first one writes and speaks.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from isogloss.core import files, parts
from isogloss.core import lang as lang_table
from isogloss.core.budget import Budget
from isogloss.core.errors import BudgetEnded, DataError, InputError, IsoglossError, PlaceError
from isogloss.core.recipe import Bound, Recipe, Train
from isogloss.core.run import Run
from isogloss.core.say import Evaluated, Say
from isogloss.core.weights import class_weights
from isogloss.nn import memory
from isogloss.nn.batches import Feed
from isogloss.nn.checkpoints import Checkpoint, Checkpoints
from isogloss.nn.model import Start, TextModel, n_parameters
from isogloss.nn.trainee import Stepped, Trainee
from isogloss.nn.world import World
from isogloss.stages.train import slim, train_rows
from isogloss.stages.training.account import Log, Reserve, Seen
from isogloss.stages.training.schedule import Measured, Plan, plan
from isogloss.stages.training.supervise import Judged, Supervisor, columns

# Steps in a row whose gradient is not a number, after which training has diverged; fp16 scales itself down meanwhile.
LOST = 20
# Few-shot: above this rate or these epochs a pretrained model of this many trained parameters is said to be at risk.
BOLD_RATE, MANY_EPOCHS, LARGE = 5e-5, 10, 50e6
# Steps before a measurement counts, and the share of the budget of seconds that it may take, up to so many seconds.
COLD, MEASURING, LONGEST = 2, 0.04, 20.0


def learn(
    recipe: Recipe,
    run: Run,
    say: Say,
    rows: pl.DataFrame,
    labels: tuple[str, ...],
    reads: Mapping[str, Any],
    *,
    again: bool,
) -> tuple[list[Path], dict[str, Any]]:
    """Train by the loop and write the best checkpoint as `run/model`; returns the files and facts for its card.

    Raises BudgetEnded when the seconds end before one checkpoint was evaluated, InputError when training diverges.
    """
    memory.keep_freed()
    world = World(recipe.train.precision)
    say = say if world.first else Say()
    store = _store(run, reads, world, again=again)
    log = Log(run.path("steps.jsonl"), world.first)
    budget = Budget(recipe.budget.seconds, before=log.seconds)
    spec, job = recipe.train, _prepare(recipe, run, world, say, rows, labels, log)
    trainee, watch, feed, seen = job.trainee, job.watch, job.feed, job.seen

    checkpoint = _resume(job, store, say, log)
    plan_ = _plan(job, store, budget, say, run, log)
    for note in cautions(job, plan_):
        say.note(note)
    step, ended, lost = (checkpoint.step, checkpoint.state["ended"], 0) if checkpoint else (0, "", 0)
    if checkpoint:
        say.line(f"train     resuming at step {step} of {plan_.steps}")
    reserve = Reserve(plan_.measured)

    while step < plan_.steps and not ended:
        # One step: the rows the mix wants next, wherever they are computed.
        started = time.monotonic()
        at = feed.take(spec.batch, seen.value)
        rate = spec.lr * plan_.rate(step, spec.warmup) * watch.rate
        cut = budget.left < reserve.seconds
        done = trainee.step(
            [job.encoded[i] for i in at], job.weights[at], job.codes[at], lr=rate, number=step, stop=cut
        )
        step += 1
        seen.add(done)
        lost = 0 if np.isfinite(done.norm) else lost + 1
        if lost >= LOST or (lost and world.precision != "fp16"):
            raise _diverged(step, done, trainee.langs)
        reserve.stepped(time.monotonic() - started)
        say.progress("training", step, plan_.steps, "steps")
        log.event("step", step=step, lr=rate, loss=seen.last_loss(done), norm=done.norm, seconds=budget.spent)
        if not (plan_.evaluates(step) or done.stop):
            continue

        # An evaluation: dev decides what is best, whether every language held, and whether to go on.
        started = time.monotonic()
        judged = watch.judge(step, trainee.answer(job.dev_encoded))
        if judged.fallen:
            trainee.restore(*_weights_of(store.read(watch.best_step or 0)))
        ended = "stop" if judged.stop and step < plan_.steps else "budget" if done.stop and step < plan_.steps else ""
        seen.evaluated(judged)
        row = _row(judged, step, plan_, seen, watch, budget, watch.langs, ended)
        log.event(
            "evaluation",
            **vars(row) | {"by_lang": judged.by_lang, "seen": seen.value, "fallen": judged.fallen, "rate": watch.rate},
        )
        _save(job, store, step, judged.probs, ended, budget, world)
        seen.reset()
        reserve.evaluated(time.monotonic() - started)
        say.close()
        say.evaluated(row)
        for reason in judged.fallen:
            say.note(f"back to step {watch.best_step} at half the rate: {reason}")

    if ended:
        say.note(f"training ended at step {step} of {plan_.steps}: {ENDED[ended]}")
    return _finish(recipe, run, job, store, plan_, step, ended, budget, log, say)


ENDED = {
    "stop": "the dev score did not rise any more",
    "budget": "the seconds of the budget are used up; by seconds this run cannot be repeated, by its steps it can",
}


def call(recipe: Recipe, message: Any) -> Any:
    """Meet the other processes, and give them the message of the first one; returns it."""
    world = World(recipe.train.precision)
    heard = world.same(message)
    if heard == "fresh":
        world.end()
    return heard


def sources(recipe: Recipe) -> dict[str, Any]:
    """Digests of the weights and the files of methods that the recipe names, to tell when they change under work."""
    family = recipe.family
    found = family("source", untrained(recipe, (), skeleton=True)) if family.part.has("source") else None
    of_methods = {m.name: read for m in recipe.methods if m.part.has("source") and (read := m("source"))}
    return ({"weights": found} if found else {}) | ({"parallel": of_methods} if of_methods else {})


def untrained(recipe: Recipe, labels: Sequence[str], *, skeleton: bool) -> Start:
    """What a family needs for its model as it is before training."""
    return _start(
        recipe, Path(), labels, pl.DataFrame(schema={"text": pl.String, "lang": pl.String}), skeleton=skeleton
    )


# -- before the loop --------------------------------------------------------------------------------------------


@dataclass
class Job:
    """Everything a training works with. `encoded`, `weights`, `codes` (of languages) are by position of train rows."""

    trainee: Trainee
    encoded: list[dict[str, Any]]
    weights: np.ndarray
    codes: np.ndarray
    dev_encoded: list[dict[str, Any]]
    watch: Supervisor
    feed: Feed
    seen: Seen
    spec: Train
    tokens_per_word: dict[str, float]


def _store(run: Run, reads: Mapping[str, Any], world: World, *, again: bool) -> Checkpoints:
    """The run's checkpoints. Raises StaleError when they are of a training with another recipe or corpus."""
    folder, note = run.path("checkpoints"), run.path("checkpoints", "reads.json")
    plain = json.loads(json.dumps(reads, default=str))
    if world.first:
        if again:
            for path in (folder, run.path("train.json"), run.path("steps.jsonl"), run.path("start")):
                files.remove(path) if path.exists() else None
        begun = run.path("train.json").is_file() or any(folder.glob("step-*"))
        before = files.read_json(note) if begun and note.is_file() else plain  # nothing begun, nothing to lose
        if before != plain:
            raise run.stale("train", run.changes(before, plain))
        files.write_json(note, plain)
    world.wait()
    return Checkpoints(folder, files.digest_of(plain))


def _start(recipe: Recipe, folder: Path, labels: Sequence[str], rows: pl.DataFrame, *, skeleton: bool) -> Start:
    loading: dict[str, Any] = {}
    for method in recipe.methods:
        loading |= method("loading") if method.part.has("loading") else {}
    return Start(
        tuple(labels), folder, lambda: rows.select("text", "lang"), recipe.locate, recipe.seed,
        dropout=recipe.train.dropout, loading=loading, skeleton=skeleton,
        embeds=not recipe.the_task.part.constant("LABELLED", True),
    )  # fmt: skip


def _model(recipe: Recipe, start: Start) -> tuple[TextModel, dict[str, float]]:
    """The model with its methods applied, and the factor of the learning rate of every parameter that is trained."""
    family = recipe.family
    model = family("load", start)
    torch.manual_seed(recipe.seed)
    rates = {name: 1.0 for name, _ in model.named_parameters()}
    for method in recipe.methods:
        rates = method("apply", model, family.module, rates)
        if not rates:
            raise InputError(f"train.methods: after '{method.name}' nothing is left to train")
    for name, p in model.named_parameters():
        p.requires_grad_(name in rates)
    return model, rates


def _prepare(
    recipe: Recipe, run: Run, world: World, say: Say, rows: pl.DataFrame, labels: tuple[str, ...], log: Log
) -> Job:
    """Read the model and the rows. What memory it takes is said before weights are read."""
    spec, task = recipe.train, recipe.the_task
    if labels:
        rows = rows.filter(pl.col("label").is_in(labels))
    langs = sorted(rows["lang"].unique().to_list())
    choosing = [lang for lang in langs if spec.langs is None or lang in spec.langs]  # whose dev rows choose
    n_own, n_drawn = Counter(rows["lang"].to_list()), spec.shots.rows if spec.shots else 0
    strangers = [lang for lang in langs if lang not in choosing and n_own[lang] > n_drawn]
    if strangers:
        raise IsoglossError(
            f"rows of {', '.join(strangers)} reached training; train.langs does not name it"
            + (f", and train.shots draws {spec.shots.rows}" if spec.shots else "")
        )
    if world.first:
        # not kept: its tokenizer alone takes 0.3 GB with the 250,000 pieces of XLM-R
        size = n_parameters(_model(recipe, _start(recipe, run.path("start"), labels, rows, skeleton=True))[0])
        free = memory.available()
        say.line(
            f"train     {memory.sentence(*size)}; {world.precision} on {world.device.type}"
            + (f", {world.size} processes" if world.size > 1 else "")
        )
        if free is not None and world.device.type == "cpu" and sum(memory.needed(*size).values()) > free:
            say.note(f"this machine has {free / 1e9:.1f} GB free, less than that; freeze blocks, or use lora")
    world.wait()
    model, rates = _model(recipe, _start(recipe, run.path("start"), labels, rows, skeleton=False))
    # What training cuts, evaluation and serving cut too: the length is written with the tokenizer.
    model.max_length = min(model.max_length, task.knobs.get("max_length", model.max_length))
    penalties = _penalties(recipe, model, rows)
    trainee = Trainee(
        model, task, recipe.family.module, rates, penalties, world,
        langs=langs, seed=recipe.seed, accumulate=spec.accumulate, weight_decay=spec.weight_decay, clip=spec.clip,
    )  # fmt: skip
    dev = train_rows(recipe, run, "dev").filter(pl.col("lang").is_in(langs))
    if dev.is_empty():
        if spec.stop or spec.keep:
            raise DataError(
                "train.stop and train.keep need dev rows of the languages that are trained on, and there are none"
            )
        say.note("there are no dev rows of the languages that are trained on: the last step is taken for the best")
    encoded, dev_encoded = task("encode", model, rows, labels), task("encode", model, dev, labels)
    _say_cut(rows["lang"].to_list(), encoded, say, log)
    metric = parts.load("metrics", recipe.headline).module
    watch = Supervisor(
        dev.select(pl.col("id", "lang", "group", "^label$")),
        choosing,
        labels,
        recipe.headline,
        metric,
        partial(task, "answers"),
        spec.stop,
        spec.keep,
        recipe.seed,
    )
    codes = rows["lang"].rank("dense").to_numpy().astype(np.int64) - 1
    feed = Feed(recipe.bound(spec.mix, "mixes"), slim(rows), recipe.seed)
    n_rows = np.bincount(codes, minlength=len(langs))
    return Job(
        trainee,
        encoded,
        class_weights(rows, spec.weights),
        codes,
        dev_encoded,
        watch,
        feed,
        Seen(langs, n_rows),
        spec,
        _tokens_per_word(rows, encoded),
    )


def _penalties(recipe: Recipe, model: TextModel, rows: pl.DataFrame) -> list[Callable[[int], torch.Tensor]]:
    """What methods add to the loss, as functions of the step."""

    def always(method: Bound) -> Callable[[int], torch.Tensor]:
        return lambda step: torch.as_tensor(method("penalty", model))

    found = [always(method) for method in recipe.methods if method.part.has("penalty")]
    own = [method for method in recipe.methods if method.part.has("objective")]
    return found + [method("objective", model, rows, seed=recipe.seed) for method in own]


def _tokens_per_word(rows: pl.DataFrame, encoded: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Tokens per word of the train rows that were not cut, by language; only where spaces separate words."""
    spaced = {lang for lang in rows["lang"].unique() if lang_table.facts(lang).spaces}
    n = pl.DataFrame(
        {"n_tokens": [len(row["ids"]) for row in encoded], "cut": [bool(row.get("cut")) for row in encoded]}
    )
    counted = pl.concat([rows.select("lang", "text"), n], how="horizontal").filter(
        pl.col("lang").is_in(spaced), ~pl.col("cut")
    )
    words = pl.col("text").str.count_matches(r"\S+")
    sums = counted.group_by("lang").agg(pl.col("n_tokens").sum() - 2 * pl.len(), words.sum().alias("n_words"))
    return {lang: round(tokens / n_words, 3) for lang, tokens, n_words in sums.sort("lang").rows() if n_words}


def _say_cut(langs: Sequence[str], encoded: Sequence[Mapping[str, Any]], say: Say, log: Log) -> None:
    """Say of which languages texts were longer than what is read of them, the most first."""
    cut: dict[str, list[bool]] = {}
    for lang, row in zip(langs, encoded, strict=True):
        cut.setdefault(lang, []).append(row.get("cut", False))
    shares = {lang: float(np.mean(flags)) for lang, flags in cut.items() if any(flags)}
    if shares:
        most = sorted(shares, key=lambda lang: -shares[lang])
        shown = ", ".join(f"{lang} {shares[lang]:.1%}" for lang in most[:5]) + (
            f" and {len(most) - 5} more languages" if len(most) > 5 else ""
        )
        say.note(f"train texts longer than the model reads were cut: {shown}")
    log.event("cut", shares=shares)


def _resume(job: Job, store: Checkpoints, say: Say, log: Log) -> Checkpoint | None:
    """Be as at the newest checkpoint that is whole; None when there is none."""
    checkpoint, said = store.newest()
    for sentence in said:
        say.note(sentence)
    world = job.trainee.world
    world.wait()
    if world.first and checkpoint is not None:  # what cannot be used must not be counted among those to keep
        store.retain({step for step in store.steps() if step <= checkpoint.step})
    world.wait()
    if checkpoint is None or checkpoint.step == 0:
        return None
    best = checkpoint.state["watch"]["best_step"]
    try:
        probs = (checkpoint if best == checkpoint.step else store.read(best)).tensors["order"]["dev"].numpy()
    except PlaceError:
        probs = None
    _be(job, checkpoint, probs)
    log.event("resume", step=checkpoint.step)
    return checkpoint


def _be(job: Job, checkpoint: Checkpoint, best_probs: np.ndarray | None) -> None:
    state = checkpoint.state
    job.trainee.restore(*_weights_of(checkpoint))
    job.feed.restore(state["feed"], checkpoint.tensors["order"]["window"].numpy())
    job.watch.restore(state["watch"], best_probs)
    job.seen.restore(state["seen"])


def _weights_of(
    checkpoint: Checkpoint,
) -> tuple[Mapping[str, torch.Tensor], Mapping[str, torch.Tensor], Mapping[str, float]]:
    return checkpoint.tensors["weights"], checkpoint.tensors["optimizer"], checkpoint.state["scaler"]


def _plan(job: Job, store: Checkpoints, budget: Budget, say: Say, run: Run, log: Log) -> Plan:
    """The plan on disk, or a new one; where there is a budget of seconds, after a measurement that leaves no trace."""
    world, path = job.trainee.world, run.path("train.json")
    stored = world.same(files.read_json(path) if world.first and path.is_file() else None)
    if stored is not None:
        return Plan.of(stored)
    measured = None
    if budget.seconds is not None:
        measured = _measure(job, store, budget)
    made = error = None
    if world.first:
        try:
            made = plan(job.spec, len(job.encoded), budget.seconds, budget.left, measured)
        except BudgetEnded as ended:
            error = str(ended)
    made, error = world.same((made.to_json() if made else None, error))
    if error:
        raise BudgetEnded(error)
    if world.first:
        files.write_json(path, made)
    log.event("plan", **made)
    fixed = Plan.of(made)
    say.line(
        f"train     {fixed.steps:,} steps of {job.spec.batch} rows ({fixed.why}), evaluated every {fixed.eval_every}"
    )
    return fixed


def cautions(job: Job, plan_: Plan) -> Iterator[str]:
    """The classic warnings for few-shot rows: a large pretrained model forgets at high rates, and learns few rows by heart.

    Adapters and small models (`isogloss/mini` has 9 million parameters) bear, and need, more than that.
    """
    spec, model = job.spec, job.trainee.model
    n_trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if spec.shots is None or model.facts["start"] == "scratch" or n_trained <= LARGE:
        return
    what = f"{n_trained / 1e6:.0f} million pretrained parameters are trained on few-shot rows"
    if spec.lr > BOLD_RATE:
        yield f"{what} at lr = {spec.lr:g}; above {BOLD_RATE:g} such a model often forgets, and 2e-5 is safe"
    epochs = plan_.steps * spec.batch / len(job.encoded)
    if epochs > MANY_EPOCHS:
        yield f"{what} for {epochs:.0f} epochs; above {MANY_EPOCHS} they are known by heart, and 5 are safe"


def _measure(job: Job, store: Checkpoints, budget: Budget) -> Measured:
    """Seconds of a step, an evaluation and a checkpoint, from steps that are taken and then undone."""
    world, spec = job.trainee.world, job.spec
    started = time.monotonic()
    _save(job, store, 0, np.zeros((len(job.dev_encoded), job.trainee.model.n_outputs)), "", budget, world)
    save = time.monotonic() - started
    times: list[float] = []
    began, over = time.monotonic(), False
    while not over:
        started = time.monotonic()
        at = job.feed.take(spec.batch, job.seen.value)
        enough = len(times) >= COLD + 2 and (
            started - began > min(LONGEST, MEASURING * (budget.seconds or 0.0)) or budget.left <= 0
        )
        tried = job.trainee.step(
            [job.encoded[i] for i in at],
            job.weights[at],
            job.codes[at],
            lr=spec.lr * 1e-3,
            number=len(times),
            stop=enough,
        )
        over = tried.stop
        times.append(time.monotonic() - started)
    started, n = time.monotonic(), min(len(job.dev_encoded), 256)
    job.trainee.answer([job.dev_encoded[i] for i in np.linspace(0, len(job.dev_encoded) - 1, n).astype(int)])
    evaluation = (time.monotonic() - started) * len(job.dev_encoded) / max(1, n)
    _be(job, store.read(0), None)
    world.wait()  # until every process has read it
    if world.first:
        store.retain(set())
    world.wait()
    return Measured(float(np.mean(times[COLD:] or times)), evaluation, save)


# -- in the loop ------------------------------------------------------------------------------------------------


def _row(
    judged: Judged,
    step: int,
    plan_: Plan,
    seen: Seen,
    watch: Supervisor,
    budget: Budget,
    langs: Sequence[str],
    ended: str,
) -> Evaluated:
    worst_first = sorted(judged.by_lang, key=lambda lang: judged.by_lang[lang], reverse=watch.metric.BETTER == "lower")
    lowest = worst_first[0] if worst_first else ""
    note = "back to the best" if judged.fallen else "best" if judged.better else ""
    return Evaluated(
        step, plan_.steps, seen.loss, watch.name, judged.mean, judged.worst, columns(judged.by_lang, langs), lowest,
        judged.by_lang.get(lowest), budget.spent, None if budget.seconds is None else budget.left,
        ", ".join(filter(None, (note, ended))),
    )  # fmt: skip


def _save(job: Job, store: Checkpoints, step: int, probs: np.ndarray, ended: str, budget: Budget, world: World) -> None:
    """Write a checkpoint, and remove those that are neither among the newest nor the best of one of these."""
    if world.first:
        order = {
            "window": torch.from_numpy(job.feed.window),
            "dev": torch.from_numpy(probs),
        }
        tensors = {"weights": job.trainee.weights(), "optimizer": job.trainee.memory(), "order": order}
        state = {
            "feed": job.feed.state(), "watch": job.watch.state(), "seen": job.seen.state(),
            "scaler": job.trainee.scaler(), "ended": ended, "seconds": budget.spent,
        }  # fmt: skip
        store.save(step, tensors, state)
        newest = [s for s in store.steps() if s <= step][-job.spec.retain :]
        bests = {files.read_json(store.path(s) / "state.json")["watch"]["best_step"] for s in newest}
        store.retain({*newest, *bests})
    world.wait()


def _diverged(step: int, done: Stepped, langs: Sequence[str]) -> InputError:
    guilty = [lang for lang, loss in zip(langs, done.loss, strict=True) if not np.isfinite(loss)]
    what = f"loss of {', '.join(guilty[:5])}" if guilty else "gradient"
    return InputError(
        f"training diverged at step {step}: the {what} is not a number; "
        f"lower train.lr, or raise train.warmup, and repeat with --again"
    )


# -- after the loop ---------------------------------------------------------------------------------------------


def _finish(
    recipe: Recipe,
    run: Run,
    job: Job,
    store: Checkpoints,
    plan_: Plan,
    step: int,
    ended: str,
    budget: Budget,
    log: Log,
    say: Say,
) -> tuple[list[Path], dict[str, Any]]:
    """Take the best checkpoint and write it as the model."""
    trainee, best = job.trainee, job.watch.best_step
    if best != step:
        try:
            trainee.restore(*_weights_of(store.read(best or 0)))
        except PlaceError as error:
            say.note(f"the best checkpoint cannot be used ({error}); the last step is taken")
            best = step
    facts = {
        "steps": step, "planned_steps": plan_.steps, "best_step": best, "ended": ended, "start": trainee.model.facts,
        "seconds": round(budget.spent, 3), "repeatable": ended != "budget", "precision": trainee.world.precision,
        "tokens_per_word": job.tokens_per_word, "peak_bytes": memory.peak(trainee.world.device.type),
    }  # fmt: skip
    trainee.world.wait()
    made = recipe.family.module.write(trainee.model, run.path("model")) if trainee.world.first else []
    log.event("done", **facts)
    trainee.world.end()
    return made, facts
