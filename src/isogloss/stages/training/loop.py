"""The training loop. `learn` and `_steps` are the whole story; the helpers below stand in the order of their use.

One process or several (torchrun, accelerate launch): every process runs this file on the same rows and decides the
same; only the first one writes and speaks.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from isogloss.core import files
from isogloss.core.buckets import POOL
from isogloss.core.budget import Budget
from isogloss.core.energy import Meter
from isogloss.core.engine import usable_cores
from isogloss.core.errors import BudgetEnded, InputError, PlaceError
from isogloss.core.evidence import WINDOW
from isogloss.core.ledger import Ledger, in_units
from isogloss.core.recipe import Recipe, Train
from isogloss.core.run import Run
from isogloss.core.say import Evaluated, Say
from isogloss.nn import memory
from isogloss.nn.checkpoints import Checkpoint, Checkpoints
from isogloss.nn.trainee import Stepped
from isogloss.nn.world import World
from isogloss.stages.train import start_folder
from isogloss.stages.training import setup
from isogloss.stages.training.account import Log, Reserve, Seen
from isogloss.stages.training.health import RETRIES
from isogloss.stages.training.schedule import Measured, Plan, plan
from isogloss.stages.training.setup import Job
from isogloss.stages.training.supervise import SLOWER, Judged, Supervisor, columns, lang_of
from isogloss.stages.training.tracking import Trackers
from isogloss.stages.training.tracking import check as check_trackers

# Steps in a row whose gradient is not a number, after which training has diverged; fp16 scales itself down meanwhile.
LOST = 20
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
    check_trackers(recipe.train.trackers)
    memory.few_kernels()
    world = World(recipe.train.precision)
    say = say if world.first else Say()
    store = _store(recipe, run, reads, world, again=again)
    log = Log(run.path("steps.jsonl"), world.first)
    budget = Budget(recipe.budget.seconds, before=log.seconds)
    n_cards = torch.cuda.device_count() if world.device.type == "cuda" else 0
    spend = recipe.budget
    meter = Meter(usable_cores(), min(n_cards, world.size), spend.watts)
    ledger = Ledger(
        run.path("compute.json"), meter, price_per_hour=spend.price_per_hour, currency=spend.currency,
        writes=world.first,
    )  # fmt: skip
    memory.forget_peak()
    while True:
        with ledger.during("reading"):
            job = setup.prepare(recipe, run, world, say, rows, labels, log)
        memory.keep_freed()
        with contextlib.closing(job), contextlib.closing(Trackers(recipe, run.folder, say, first=world.first)) as told:
            try:
                plan_, step, ended = _steps(job, store, budget, ledger, run, log, told, say)
                break
            except _Collapsed as fall:
                ledger.tried += _operations(job)
                _begin_again(run, store, world, fall, say)
    with ledger.during("saving"):
        made, facts = _finish(recipe, run, job, store, plan_, step, ended, budget, log, say)
    _written(job, ledger)
    return [*made, run.path("compute.json")], facts


class _Collapsed(Exception):
    """A training has collapsed before there was a checkpoint to go back to: it begins again, more slowly."""

    def __init__(self, step: int, why: str, n_before: int) -> None:
        super().__init__(why)
        self.step, self.why, self.n_before = step, why, n_before


def _steps(
    job: Job, store: Checkpoints, budget: Budget, ledger: Ledger, run: Run, log: Log, told: Trackers, say: Say
) -> tuple[Plan, int, str]:
    """Step after step; returns the plan, the last step, and why it ended before the plan did."""
    spec, trainee, watch, feed, seen = job.spec, job.trainee, job.watch, job.feed, job.seen
    world = trainee.world

    checkpoint = _resume(job, store, say, log)
    if checkpoint is None and job.floor is not None:
        with ledger.during("floor"):
            seen.value["floor"] = world.same(job.floor() if world.first else None)
    first = feed.state(), feed.arrays()
    with ledger.during("measuring"):
        plan_ = _plan(job, store, budget, say, run, log)
    if checkpoint is None:
        feed.restore(*first)  # the first window, too, is asked for by who knows how long the run is
    seen.value["planned"] = plan_.rows
    ends = _in_steps(job, plan_)
    for note in setup.cautions(job, plan_):
        say.note(note)
    step, ended, lost = (checkpoint.step, checkpoint.state["ended"], 0) if checkpoint else (0, "", 0)
    if checkpoint:
        say.line(f"train     resuming at step {step} of {plan_.steps}")
    _hear(job, say)
    reserve = Reserve(plan_.measured)
    if job.health.first is None:
        job.examine()  # how it begins

    while step < plan_.steps and not ended:
        # One step: the rows the mix wants next, wherever they are computed.
        started = time.monotonic()
        seen.value["progress"] = step / plan_.steps
        at = feed.take(seen.value)
        with ledger.during("states"):
            _fill(job, at, plan_.steps - step)
        rate = spec.lr * plan_.rate(step, spec.warmup) * watch.rate
        cut = budget.left < reserve.seconds
        with ledger.during("training"):
            done = trainee.step(
                [job.encoded[i] for i in at], job.weights[at], job.codes[at], lr=rate, number=step, stop=cut
            )
        step += 1
        seen.add(done)
        feed.learned(at, done.by_row)
        ledger.saw(trainee.langs, done.rows, done.tokens, done.n_padded)
        lost = 0 if np.isfinite(done.norm) else lost + 1
        guilty, why = _look(job, at, step, done, log, say), None
        if lost >= LOST or (lost and world.precision != "fp16"):
            if step == 1 or watch.n_collapsed >= RETRIES:
                raise InputError(f"training diverged at step {step}: {_guilty(guilty)}; {ADVICE}")
            why = _guilty(guilty)
        evaluates = plan_.evaluates(step) or step in ends
        if why is None and (job.health.due(step, plan_.steps) or evaluates):
            why = job.examine()
        if why:
            _fall(job, store, step, why, log, say)
            lost = 0
        reserve.stepped(time.monotonic() - started)
        say.progress("training", step, plan_.steps, "steps")
        log.event("step", step=step, lr=rate, loss=seen.last_loss(done), norm=done.norm, seconds=budget.spent)
        if not (evaluates or done.stop):
            continue

        # An evaluation: dev decides what is best, whether every language held, and whether to go on.
        started = time.monotonic()
        _count(job, ledger)
        with ledger.during("evaluating"):
            spent = world.same(ledger.spent(spec.stop.per)) if spec.stop and spec.stop.gain else None
            on_disk = world.same(store.steps()) if spec.keep else ()
            judged = watch.judge(step, trainee.answer(job.dev_encoded), spent, on_disk, seen.value["rows"])
        if judged.back is not None:
            _back(job, store, judged.back)
        feed.change(watch.out, watch.lean)
        ended = "stop" if judged.stop and step < plan_.steps else "budget" if done.stop and step < plan_.steps else ""
        seen.evaluated(judged)
        row = _row(judged, step, plan_, seen, watch, budget, watch.langs, ended)
        _log_evaluation(log, row, judged, seen, watch)
        told.log(row, judged.by_lang, seen.by_lang)
        with ledger.during("saving"):
            _save(job, store, step, ended, budget, world)
        log.event("spent", step=step, **in_units(_written(job, ledger)))
        seen.reset()
        reserve.evaluated(time.monotonic() - started)
        say.close()
        say.evaluated(row)
        _hear(job, say)
        for sentence in _sentences(judged, step, watch, spec):
            say.note(sentence)

    if ended:
        say.note(f"training ended at step {step} of {plan_.steps}: {ENDED[ended]}")
    if unmet := [lang for lang in trainee.langs if not seen.value["rows"].get(lang)]:
        say.note(f"training ended before any row of {_some(unmet)} was learned from")
    return plan_, step, ended


ENDED = {
    "stop": "no dev score rose any more, or by too little for what it costs",
    "budget": "the seconds of the budget are used up; by seconds this run cannot be repeated, by its steps it can",
}


def call(recipe: Recipe, message: Any) -> Any:
    """Meet the other processes, and give them the message of the first one; returns it."""
    world = World(recipe.train.precision)
    heard = world.same(message)
    if heard == "fresh":
        world.end()
    return heard


def _operations(job: Job) -> float:
    """Floating-point operations of all processes in this try."""
    work = [job.trainee.operations, *([job.below.operations] if job.below is not None else [])]
    return float(sum(each.total for each in work) * job.trainee.world.size)


def _count(job: Job, ledger: Ledger) -> None:
    """Let the ledger have the operations and the most memory so far."""
    ledger.counts["flops"] = ledger.tried + _operations(job)
    ledger.peak = memory.peak()


def _written(job: Job, ledger: Ledger) -> dict[str, Any]:
    """The ledger as of now, kept on disk."""
    _count(job, ledger)
    return ledger.write()


# -- before the loop --------------------------------------------------------------------------------------------


def _store(recipe: Recipe, run: Run, reads: Mapping[str, Any], world: World, *, again: bool) -> Checkpoints:
    """The run's checkpoints. Raises StaleError when they are of a training with another recipe or corpus."""
    folder, note = run.path("checkpoints"), run.path("checkpoints", "reads.json")
    plain = json.loads(json.dumps(reads, default=str))
    if world.first:
        if again:
            made = ("train.json", "steps.jsonl", "start", "compute.json")
            for path in (folder, *map(run.path, made)):
                files.remove(path) if path.exists() else None
        begun = run.path("train.json").is_file() or any(folder.glob("step-*"))
        # nothing begun, nothing to lose; what began without a note is of something unknown
        before = (files.read_json(note) if note.is_file() else {}) if begun else plain
        if before != plain:
            raise run.stale("train", run.changes(before, plain))
        files.write_json(note, plain)
        start_folder(recipe, run)
    world.wait()
    return Checkpoints(folder, files.digest_of(plain))


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
    _be(job, checkpoint)
    log.event("resume", step=checkpoint.step)
    return checkpoint


def _be(job: Job, checkpoint: Checkpoint) -> None:
    state, arrays = checkpoint.state, {name: t.numpy() for name, t in checkpoint.tensors["order"].items()}
    job.trainee.restore(*_weights_of(checkpoint))
    job.feed.restore(state["feed"], arrays)
    job.watch.restore(state["watch"], arrays)
    job.seen.restore(state["seen"])
    job.health.restore(state["health"])


def _back(job: Job, store: Checkpoints, step: int) -> None:
    """The weights of an earlier checkpoint, and what was known then of the level of each language; what languages were
    when their step ended stays, whichever checkpoint is gone back to."""
    checkpoint = store.read(step)
    job.trainee.restore(*_weights_of(checkpoint))
    arrays = {name: t.numpy() for name, t in checkpoint.tensors["order"].items()}
    arrays["marked"] = job.watch.arrays()["marked"]
    job.watch.levels.restore(checkpoint.state["watch"]["levels"], arrays)


def _weights_of(
    checkpoint: Checkpoint,
) -> tuple[Mapping[str, torch.Tensor], Mapping[str, torch.Tensor], Mapping[str, float]]:
    return checkpoint.tensors["weights"], checkpoint.tensors["optimizer"], checkpoint.state["scaler"]


def _plan(job: Job, store: Checkpoints, budget: Budget, say: Say, run: Run, log: Log) -> Plan:
    """The plan on disk, or a new one; where there is a budget of seconds, after a measurement that leaves no trace."""
    world, path = job.trainee.world, run.path("train.json")
    stored = world.same(files.read_json(path) if world.first and path.is_file() else None) or {}
    job.watch.n_collapsed = collapsed = max(job.watch.n_collapsed, stored.get("collapsed", 0))
    if "steps" in stored:
        return Plan.of(stored)
    measured = None
    if budget.seconds is not None:
        measured = _measure(job, store, budget)
    made = error = None
    if world.first:
        try:
            a_batch = job.feed.rows_a_batch(job.seen.value)
            made = plan(job.spec, len(job.encoded), a_batch, budget.seconds, budget.left, measured)
        except BudgetEnded as ended:
            error = str(ended)
    made, error = world.same((made.to_json() if made else None, error))
    if error:
        raise BudgetEnded(error)
    if world.first:
        files.write_json(path, {**made, "collapsed": collapsed})
    log.event("plan", **made)
    fixed = Plan.of(made)
    say.line(f"train     {fixed.steps:,} steps of {_size(job.spec)} ({fixed.why}), evaluated every {fixed.eval_every}")
    return fixed


def _in_steps(job: Job, plan_: Plan) -> dict[int, tuple[str, ...]]:
    """Where the mix adds languages step by step: at which step of the training which ones have been learned."""
    ends: dict[int, tuple[str, ...]] = {}
    if job.mix.part.has("stages"):
        stages = job.mix("stages", job.seen.value["sizes"])
        for end, (_, langs) in zip(plan_.ends([share for share, _ in stages]), stages, strict=True):
            ends[end] = ends.get(end, ()) + langs  # a run of fewer steps than stages ends several with its last one
    job.watch.steps = ends
    job.watch.levels.n_evaluations = len({*ends, *range(0, plan_.steps, plan_.eval_every)} - {0} | {plan_.steps})
    return ends


def _size(spec: Train) -> str:
    return f"up to {spec.batch_tokens:,} tokens" if spec.batch_tokens else f"{spec.batch} rows"


def _measure(job: Job, store: Checkpoints, budget: Budget) -> Measured:
    """Seconds of a step, an evaluation and a checkpoint, from steps that are taken and then undone."""
    world, spec = job.trainee.world, job.spec
    started = time.monotonic()
    _save(job, store, 0, "", budget, world)
    save = time.monotonic() - started
    times: list[float] = []
    began, over, filling, n_filled = time.monotonic(), False, 0.0, 0
    while not over:
        started = time.monotonic()
        at = job.feed.take(job.seen.value)
        n_filled += _fill(job, at, POOL)
        filling += time.monotonic() - started
        started = time.monotonic()
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
    _be(job, store.read(0))
    world.wait()  # until every process has read it
    if world.first:
        store.retain(set())
    world.wait()
    return Measured(float(np.mean(times[COLD:] or times)), evaluation, save, filling / max(1, n_filled))


def _fill(job: Job, at: np.ndarray, left: int) -> int:
    """Where frozen blocks are computed once: do so for the batch `at` and those behind it, together; how many rows.

    `left` steps remain. A few batches at a time, in batches of like length: small batches are computed badly.
    """
    trainee = job.trainee
    below = trainee.model.below
    if below is None or not below.lacks([job.encoded[i]["ids"] for i in at.tolist()]):
        return 0
    ahead = np.unique(job.feed.ahead(min(left, POOL)))
    mine = ahead[trainee.world.rank :: trainee.world.size]
    with trainee.world.autocast():
        below.fill(trainee.model, [job.encoded[i]["ids"] for i in mine.tolist()])
    return len(ahead)


ADVICE = "lower train.lr, or raise train.warmup, and repeat with --again"


def _look(job: Job, at: np.ndarray, step: int, done: Stepped, log: Log, say: Say) -> str:
    """Note what leapt or was no number in a step, and of which language; returns the languages at fault, or nothing."""
    health, langs = job.health, job.trainee.langs
    for spike in health.stepped(done):
        log.event("spike", step=step, **vars(spike))
        if health.n_spikes[spike.lang] == 1:
            say.note(f"the loss of {spike.lang} leapt to {spike.loss:.2f} at step {step}, from {spike.mean:.2f}")
    guilty = [lang for lang, loss in zip(langs, done.loss, strict=True) if not np.isfinite(loss)]
    leapt = health.leapt(done.norm)
    if not leapt and np.isfinite(done.norm):
        return ""
    if not guilty:
        rows = [job.encoded[i] for i in at.tolist()]
        norms = job.trainee.norms(rows, job.weights[at], job.codes[at], number=step - 1)
        log.event("norm", step=step, norm=done.norm, by_lang=norms)
        if leapt and norms:
            lang = max(norms, key=lambda name: norms[name])
            say.note(f"the gradient leapt at step {step} (norm {done.norm:.3g}), most of all that of {lang}")
            return ""
        guilty = [lang for lang, norm in norms.items() if not np.isfinite(norm)]
        if len(guilty) == len(norms) > 1:  # then it is not the doing of a language
            return ""
        health.n_nonfinite.update(guilty)
    new = [lang for lang in guilty if health.n_nonfinite[lang] <= 1]
    if new and job.trainee.world.scaler is not None:
        say.note(f"fp16 overflows in {', '.join(new)} at step {step}; such steps are left out")
    return ", ".join(guilty)


def _guilty(langs: str) -> str:
    return f"the loss of {langs} is not a number" if langs else "the gradient is not a number"


def _fall(job: Job, store: Checkpoints, step: int, why: str, log: Log, say: Say) -> None:
    """After a collapse: back to the best checkpoint at a quarter of the rate, or, where there is none, _Collapsed."""
    watch = job.watch
    log.event("collapse", step=step, why=why, best_step=watch.best_step)
    if watch.n_collapsed >= RETRIES:
        raise InputError(f"training collapsed {RETRIES + 1} times, the last time at step {step}: {why}; {ADVICE}")
    if watch.best_step is None:
        raise _Collapsed(step, why, watch.n_collapsed)
    job.trainee.restore(*_weights_of(store.read(watch.best_step)))
    job.health.fell()
    watch.n_collapsed += 1
    say.note(f"the model collapsed at step {step}: {why}; back to step {watch.best_step} at a quarter of the rate")


def _begin_again(run: Run, store: Checkpoints, world: World, fall: _Collapsed, say: Say) -> None:
    """Forget the plan and begin with the untrained model, at a quarter of the rate."""
    n = fall.n_before + 1
    say.close()
    say.note(
        f"the model collapsed at step {fall.step}: {fall.why}; begun again at {SLOWER**n:g} of train.lr "
        f"(try {n} of {RETRIES})"
    )
    if world.first:
        store.retain(set())
        files.write_json(run.path("train.json"), {"collapsed": n})
    world.wait()


def _hear(job: Job, say: Say) -> None:
    """Say what went wrong with kept states, once."""
    below = job.trainee.model.below
    if below is not None and below.store is not None:
        below.store.flush()
        for sentence in below.store.said:
            say.note(sentence)
        below.store.said.clear()


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
    back = "" if judged.back is None else f"back to step {judged.back}"
    note = ", ".join(
        filter(None, [
            "best" if judged.better else back,
            f"{_some([fall.lang for fall in judged.fallen], 3)} fell" if judged.fallen else "",
            f"{_some(judged.left, 3)} left" if judged.left else "",
            f"{_some(judged.returned, 3)} came again" if judged.returned else "",
        ])
    )  # fmt: skip
    return Evaluated(
        step, plan_.steps, seen.loss, watch.name, judged.mean, judged.worst, columns(judged.by_lang, langs), lowest,
        judged.by_lang.get(lowest), budget.spent, None if budget.seconds is None else budget.left,
        ", ".join(filter(None, (note, ended))),
    )  # fmt: skip


def _log_evaluation(log: Log, row: Evaluated, judged: Judged, seen: Seen, watch: Supervisor) -> None:
    """Everything that an evaluation said, in `steps.jsonl`."""
    fallen = [fall.sentence(watch.name, watch.keep.drop_at_most) for fall in judged.fallen] if watch.keep else []
    log.event(
        "evaluation",
        **vars(row)
        | {"by_lang": judged.by_lang, "seen": seen.by_lang, "fallen": fallen, "back": judged.back, "rate": watch.rate}
        | {"out": watch.out, "lean": watch.lean}
        | ({"by_task": judged.by_task} if judged.by_task else {}),
    )
    for kind, langs in (("left", judged.left), ("returned", judged.returned)):
        if langs:
            log.event(kind, step=row.step, langs=langs)
    if judged.retained:
        log.event("retained", step=row.step, by_lang=list(judged.retained))


def _sentences(judged: Judged, step: int, watch: Supervisor, spec: Train) -> Iterator[str]:
    """What followed from an evaluation, for the screen."""
    if judged.fallen and spec.keep is not None:
        fallen = dict.fromkeys(lang_of(fall.lang) for fall in judged.fallen)
        goes_on = (
            f"with {', '.join(f'{lang} {watch.lean[lang]:g} times as often' for lang in fallen)}"
            if not judged.slower
            else f"at {watch.rate:g} of train.lr"
        )
        where = f"back to step {judged.back} and on" if judged.back is not None else "no checkpoint to go back to; on"
        for fall in judged.fallen:
            yield f"{where} {goes_on}: {fall.sentence(watch.name, spec.keep.drop_at_most)}"
    if judged.left:
        yield (
            f"no rise over {spec.stop.patience if spec.stop else 0} evaluations: {_some(judged.left)} "
            f"{'leaves' if len(judged.left) == 1 else 'leave'} the mix; {len(set(watch.levels.langs) - set(watch.out))} of "
            f"{len(watch.levels.langs)} languages go on"
        )
    if judged.returned:
        yield f"fallen since they left, and coming again: {_some(judged.returned)}"
    if step in watch.steps:
        added = watch.steps[step]
        counts = Counter(row["verdict"] for row in judged.retained)
        told = ", ".join(f"{verdict} {counts[verdict]}" for verdict in ("lost", "cannot tell", "retained"))
        yield f"the step with {_some(added)} ends" + (f"; of the earlier languages: {told}" if judged.retained else "")
        for row in judged.retained:
            if row["verdict"] == "lost":
                yield (
                    f"{row['lang']}: {watch.name} {row['then']:.3f} → {row['now']:.3f} "
                    f"[{row['low']:+.3f}, {row['high']:+.3f}] since its step (n={row['n']})"
                )


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _save(job: Job, store: Checkpoints, step: int, ended: str, budget: Budget, world: World) -> None:
    """Write a checkpoint, and remove those that are neither among the newest nor the best of one of these."""
    if world.first:
        arrays = {**job.feed.arrays(), **job.watch.arrays()}
        order = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        tensors = {"weights": job.trainee.weights(), "optimizer": job.trainee.memory(), "order": order}
        state = {
            "feed": job.feed.state(), "watch": job.watch.state(), "seen": job.seen.state(),
            "scaler": job.trainee.scaler(), "health": job.health.state(), "ended": ended, "seconds": budget.spent,
        }  # fmt: skip
        store.save(step, tensors, state)
        # a fall is told over several evaluations, and must find a checkpoint from before it
        n_kept = job.spec.retain if job.spec.keep is None else max(job.spec.retain, WINDOW)
        newest = [s for s in store.steps() if s <= step][-n_kept:]
        bests = {files.read_json(store.path(s) / "state.json")["watch"]["best_step"] for s in newest}
        store.retain({*newest, *bests})
    world.wait()


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
    trainee.forget()
    memory.give_back()
    if best != step:
        try:
            trainee.restore(store.read(best or 0, ("weights",)).tensors["weights"])
        except PlaceError as error:
            say.note(f"the best checkpoint cannot be used ({error}); the last step is taken")
            best = step
    facts = {
        "steps": step, "planned_steps": plan_.steps, "best_step": best, "ended": ended, "start": trainee.model.facts,
        "seconds": round(budget.spent, 3), "repeatable": ended != "budget", "precision": trainee.world.precision,
        "tokens_per_word": job.tokens_per_word, "collapsed": job.watch.n_collapsed,
        "spikes": dict(job.health.n_spikes), "nonfinite": dict(job.health.n_nonfinite),
        "left": dict(job.watch.out), "slowed": job.watch.n_slowed, "lean": dict(job.watch.lean),
    }  # fmt: skip
    trainee.world.wait()
    trainee.model.bring_back()
    made = recipe.family.module.write(trainee.model, run.path("model")) if trainee.world.first else []
    log.event("done", **facts)
    trainee.world.end()
    return made, facts
