"""Probes of `isogloss sources`: short trainings from the most promising sources, scored on dev rows of the targets.

Every probe is an ordinary training (prepare, train) of a recipe that draws so many rows of one language. Everything is in
`runs/NAME-probes/`: the corpus that all of them share, `probes.json` with the plan and what was spent, and in `answers/`
what each finished probe said of the dev rows, from which a repeated command goes on. The trained models are not kept.
No test row is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isogloss.core import files, parts, probes
from isogloss.core import recipe as recipes
from isogloss.core.errors import BudgetEnded, DamagedError, DataError, InputError, IsoglossError, StaleError
from isogloss.core.probes import Cost, Plan, Seen
from isogloss.core.recipe import Recipe
from isogloss.core.run import Run
from isogloss.core.say import Say
from isogloss.core.sources import ENGLISH, Ranking
from isogloss.stages import chain, many
from isogloss.stages.train import train, what_is_read

if TYPE_CHECKING:
    import polars as pl

FEWEST_DEV = 25  # labelled dev rows of a target with which sources are compared
MOST_DEV = 1000
TIMED_STEPS = 8  # of the training that is timed; the first ones are left out
TASKS = ("classify", "sentiment", "intent")
# Rates for the small models of the package, where the recipe is of another model.
SMALL = {"lr": 5e-4, "warmup": 0.2}
KEPT = ("langs", "task", "seed", "model")  # of a recipe, beside its data and how it trains
HEARTBEAT = 2.0  # seconds after which what was spent is written down


def seconds_of(text: str) -> float:
    """Seconds of `90`, `90s`, `10m` or `1.5h`. Raises InputError.

    >>> seconds_of("10m"), seconds_of("1.5h"), seconds_of("45")
    (600.0, 5400.0, 45.0)
    """
    word = text.strip().casefold()
    unit = {"s": 1, "m": 60, "h": 3600}.get(word[-1:], 0)
    try:
        value = float(word[:-1] if unit else word) * (unit or 1)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e7:
        raise InputError(f"--budget takes seconds, or minutes or hours such as 10m or 1.5h; got '{text}'")
    return value


@dataclass
class _Work:
    """A folder of probes, what may be spent and what was."""

    home: Run
    recipe: Recipe
    say: Say
    seconds: float
    begun: float
    state: dict[str, Any]
    dev: pl.DataFrame
    n_train: dict[str, int]
    _written: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> float:
        """Seconds since the command began, and those of earlier sittings."""
        return float(self.state["before"]) + time.monotonic() - self.begun

    @property
    def left(self) -> float:
        return self.seconds - self.spent

    def write(self) -> None:
        self._written = time.monotonic()
        files.write_json(self.home.path("probes.json"), {**self.state, "spent": round(self.spent, 3)})

    def beat(self) -> None:
        """Write down what was spent, now and then; raises BudgetEnded when nothing is left."""
        if self.left < 0:
            raise BudgetEnded(f"the budget of {self.seconds:g} seconds is used up")
        if time.monotonic() - self._written > HEARTBEAT:
            self.write()


class _Quiet(Say):
    """Passes on how far a training is, and ends it when the budget does; the rest is of no interest here."""

    def __init__(self, work: _Work, what: str) -> None:
        self.work, self.what = work, what

    def progress(self, what: str, done: int, total: int | None = None, unit: str = "", pace: str = "") -> None:
        self.work.beat()
        self.work.say.progress(f"{self.what}, {what}", done, total, unit, pace)

    def close(self) -> None:
        self.work.say.close()


def probed(
    rankings: Sequence[Ranking],
    *,
    data: str,
    task: str,
    model: str | None,
    family: str | None,
    seconds: float,
    begun: float,
    runs: str | Path = "runs",
    say: Say,
) -> list[Ranking]:
    """Rankings after as many probes as `seconds` pay for; `begun` (of time.monotonic) is when the command began.

    Raises DataError where no target has labelled dev rows, or fewer than two sources have rows to train on; InputError
    where nothing says what is trained; BudgetEnded where the budget pays for no comparison.
    """
    import polars as pl

    made = recipe_of(data, task, model, family)
    many.one_process("sources --budget")
    with Run(Path(runs) / made.name).locked():
        work = _prepared(made, seconds, begun, Path(runs), say)
        some, lacking = _measurable(work, [ranking.target for ranking in rankings], data)
        ranked, rows = _trainable(work, [ranking for ranking in rankings if ranking.target in some], data)
        work.dev = work.dev.filter(pl.col("lang").is_in(list(ranked)))
        if lacking:
            say.note(f"{data} has fewer than {FEWEST_DEV} labelled dev rows of {', '.join(lacking)}: no probes for it")
        _announce(work, ranked, rows)
        asked = {"ranked": ranked, "seconds": seconds, "train": what_is_read(made, work.home)}
        _resume(work, files.digest_of(asked))
        try:
            fixed = _plan(work, ranked, rows)
            found = _climb(work, rankings, ranked, rows, fixed)
        finally:
            work.write()
        say.line(f"probes    {work.spent:,.0f} of {seconds:,.0f} s spent")
        return found


# -- what is trained ----------------------------------------------------------------------------------------------


def recipe_of(data: str, task: str, model: str | None, family: str | None) -> Recipe:
    """The recipe that probes vary: that of `data` where it is one, else one for the file, with `model` in it.

    What chooses, stops and limits a training is left out: every probe of a round takes the same steps.
    """
    metrics: list[str] | None = None
    value: dict[str, Any]
    raw: dict[str, Any]
    if data.endswith(".toml"):
        given = recipes.read(Path(data))
        value = given.model_dump(mode="json", exclude_none=True)
        module = parts.load("metrics", given.headline).module
        if module.BETTER == "higher" and module.RANGE == (0.0, 1.0):
            metrics = [given.headline]
        folder, raw = given.folder, value["data"]
    else:
        if task not in TASKS:
            raise InputError(f"--budget trains classifiers, and '{task}' is another task; give a recipe as --data")
        folder, raw = Path.cwd(), {"raw": [data], "split": {"dev": 0.5, "test": 0.0}}
        value = {"task": "classify", "model": {"use": "ngram"}}
        if model is None and family != "ngram":
            raise InputError("--budget trains: name the model with --model, e.g. isogloss/mini, or --family ngram")
    before = dict(value["model"])
    own = before["use"]
    if model is not None:
        same = own == "encoder" and before.get("name") == model
        value["model"] = before if same else {"use": "encoder", "name": model}
    elif family is not None and family != own:
        if family != "ngram":
            raise InputError(f"--budget trains: name the {family} with --model")
        value["model"] = {"use": family}
    if value["model"]["use"] == "ngram":
        value["model"] = {**value["model"], "scope": "pooled"}
    loops = not parts.load("families", value["model"]["use"]).has("fit")
    old = value.get("train", {})
    train = {name: old[name] for name in ("mix", "weights") if name in old}
    if loops and own == value["model"]["use"]:
        dropped = ("langs", "shots", "steps", "eval_every", "stop", "keep")
        train = {name: item for name, item in old.items() if name not in dropped}
    if loops and (model or "").startswith("isogloss/") and value["model"] != before:
        train |= SMALL
    evaluate = {"metrics": metrics} if metrics else {}
    name = value.get("name") or _name(data)
    made: dict[str, Any] = {name: item for name, item in value.items() if name in KEPT}
    made |= {"name": f"{name[:70]}-probes", "data": raw, "train": train, "evaluate": evaluate}
    built = recipes.build(made, folder=folder)
    if not built.labelled:
        raise InputError(f"--budget trains on labels, and the task '{built.task.use}' has none")
    return built


def _name(data: str) -> str:
    from isogloss.stages.init import _name as name_of

    return name_of(data)


def _variant(made: Recipe, lang: str, rows: int, steps: int | None) -> Recipe:
    """The recipe of one probe: so many rows of one language, and so many steps."""
    train: dict[str, Any] = {"langs": [], "shots": {"rows": rows, "langs": [lang]}}
    if steps is not None:
        train |= {"steps": steps, "epochs": None, "eval_every": steps, "retain": 1}
    return many.variant(made, f"{lang}-{rows}" + ("" if steps is None else f"-{steps}"), **train)


def _steps(made: Recipe, rows: int) -> int | None:
    return max(1, round(_passes(made) * rows / made.train.batch)) if made.loops else None


# -- the folder ---------------------------------------------------------------------------------------------------


def _prepared(made: Recipe, seconds: float, begun: float, runs: Path, say: Say) -> _Work:
    """The corpus, made anew where the data changed, with the dev rows on which probes are scored."""
    import polars as pl

    from isogloss.core.corpus import Corpus
    from isogloss.core.engine import Local
    from isogloss.stages.prepare import prepare

    home = Run(runs / made.name)
    chain._keep_recipe(made, home, anew=False)
    try:
        prepare(made, home, Local(), say)
    except (StaleError, DamagedError) as error:
        say.note(f"{str(error).rpartition('; ')[0]}: it is made anew")
        prepare(made, home, Local(), say, again=True)
    chain._keep_recipe(made, home, anew=True)
    corpus = Corpus(home.path("corpus"))
    dev = corpus.frame(splits=["dev"]).filter(pl.col("label").is_not_null())
    key = [hashlib.blake2b(name.encode(), digest_size=8).hexdigest() for name in dev["id"]]
    dev = dev.with_columns(pl.Series("_key", key)).sort("lang", "_key")
    dev = dev.filter(pl.int_range(pl.len()).over("lang") < MOST_DEV).drop("_key")
    counts = files.read_parquet(home.path("counts.parquet")).filter(pl.col("split") == "train")
    train = counts.filter(pl.col("label").is_not_null()).group_by("lang").agg(pl.col("n").sum())
    return _Work(home, made, say, seconds, begun, {"before": 0.0, "done": {}, "plan": None}, dev, dict(train.rows()))


def _measurable(work: _Work, targets: Sequence[str], data: str) -> tuple[list[str], list[str]]:
    """The targets with enough labelled dev rows, and the others. Raises DataError where there are none."""
    n = dict(work.dev["lang"].value_counts().iter_rows())
    some = [tag for tag in targets if n.get(tag, 0) >= FEWEST_DEV]
    lacking = [tag for tag in targets if tag not in some]
    if not some:
        each = ", ".join(f"{tag} {n.get(tag, 0)}" for tag in lacking)
        raise DataError(
            f"probes are compared on labelled dev rows of the target, of which {data} has too few ({each}; {FEWEST_DEV} "
            "are needed, 100 or more tell more): label some and give them the split 'dev', or leave --budget out"
        )
    return some, lacking


def _trainable(work: _Work, rankings: Sequence[Ranking], data: str) -> tuple[dict[str, list[str]], dict[str, int]]:
    """The candidates of each target that have rows to train on, best first, and these rows; English where it has some."""
    asked = {one.source for ranking in rankings for one in ranking.candidates}
    have = {tag: n for tag, n in work.n_train.items() if tag in {*asked, ENGLISH} and n >= probes.FEWEST_ROWS}
    needed = probes.enough_rows(have)
    rows = {tag: n for tag, n in sorted(have.items()) if n >= needed}
    ranked = {
        ranking.target: [
            one.source for one in ranking.candidates if one.source in rows and one.source != ranking.target
        ]
        for ranking in rankings
    }
    ranked = {target: some for target, some in ranked.items() if {*some, ENGLISH} & set(rows) - {target}}
    if len(rows) < 2 or not ranked:
        raise DataError(
            f"probes train from two sources or more, and of the candidates and English {data} has {needed} labelled "
            f"train rows or more in {', '.join(rows) or 'none'}: give rows of more of them, or leave --budget out"
        )
    few = sorted(asked - set(rows))
    if few:
        more = f" and {len(few) - 8} more" if len(few) > 8 else ""
        work.say.note(
            f"{data} has fewer than {needed} labelled train rows of {', '.join(few[:8])}{more}, which cannot be tried"
        )
    return ranked, rows


def _resume(work: _Work, asked: str) -> None:
    """Go on where an earlier sitting of the same question was."""
    path = work.home.path("probes.json")
    if path.is_file():
        try:
            stored = files.read_json(path)
            same = stored.get("asked") == asked
        except (DamagedError, AttributeError):
            stored, same = {}, False
        work.state["done"] = stored.get("done", {})  # whatever was asked, a finished probe is one
        if same:
            work.state |= {"plan": stored.get("plan"), "before": float(stored["spent"])}
            if work.state["plan"]:
                work.say.line(f"probes    going on with the plan of an earlier sitting, {stored['spent']:.0f} s spent")
    work.state |= {"asked": asked, "budget": work.seconds}


# -- the plan -----------------------------------------------------------------------------------------------------


def _beside(ranked: Mapping[str, Sequence[str]], rows: Mapping[str, int]) -> set[str]:
    """English, where it can be trained and gains of some target are over it."""
    return {ENGLISH} & set(rows) if set(ranked) - {ENGLISH} else set()


def _announce(work: _Work, ranked: Mapping[str, Sequence[str]], rows: Mapping[str, int]) -> None:
    """What will be spent at most, before anything is."""
    made = work.recipe
    n = len({tag for some in ranked.values() for tag in some} | (_beside(ranked, rows)))
    torch = "; loading torch" if made.loops else ""
    work.say.line(
        f"probes    up to {n} sources will be tried with {made.model.knobs.get('name', made.model.use)} on labelled dev "
        f"rows of {', '.join(ranked)}, within {work.seconds:,.0f} s in all; a training is timed first{torch}"
    )


def _plan(work: _Work, ranked: Mapping[str, Sequence[str]], rows: Mapping[str, int]) -> Plan:
    """The rounds, fixed once after one training was timed; said before anything else is trained."""
    if stored := work.state.get("plan"):
        return Plan(tuple(probes.Rung(**rung) for rung in stored["rungs"]), stored["seconds"])
    cost = _timed(work, ENGLISH if ENGLISH in rows else next(iter(rows)), rows)
    fixed = probes.plan(ranked, rows, cost, work.left)
    work.state["plan"] = {
        "rungs": [{"rows": r.rows, "n": r.n, "most": r.most} for r in fixed.rungs], "seconds": fixed.seconds,
        "cost": {"fixed": cost.fixed, "row": cost.row},
    }  # fmt: skip
    work.write()
    rounds = ", ".join(
        (f"the best {rung.n}" if i else many.counted(rung.n, "source")) + f" on {rung.rows:,} rows"
        for i, rung in enumerate(fixed.rungs)
    )
    beside = ", English beside them" if _beside(ranked, rows) else ""
    work.say.line(
        f"probes    {many.counted(len(fixed.rungs), 'round')}{' for each target' * (len(ranked) > 1)}: {rounds}{beside}; "
        f"at most {many.counted(fixed.most, 'training')}, about {fixed.seconds:,.0f} of the {max(0.0, work.left):,.0f} s "
        "that are left; Ctrl-C keeps what is finished"
    )
    return fixed


def _timed(work: _Work, lang: str, rows: Mapping[str, int]) -> Cost:
    """Seconds of a probe: from a training that is thrown away, of a family that fits itself from two that are kept."""
    made = work.recipe
    if not made.loops:
        n = min(rows.values())
        few, many_ = (_one(work, lang, size) for size in (max(2, n // 4), n))
        row = max(0.0, (many_ - few) / (n - max(2, n // 4)))
        return Cost(max(few, many_) - row * n, row)
    _warm(made)
    steps, begun = TIMED_STEPS, time.monotonic()
    times: list[float] = []

    class Timing(_Quiet):
        def progress(self, what: str, done: int, total: int | None = None, unit: str = "", pace: str = "") -> None:
            if unit == "steps":
                times.append(time.monotonic())
            super().progress(what, done, total, unit, pace)

    _train(work, _variant(made, lang, min(made.train.batch * 2, rows[lang]), steps), Timing(work, "timing"))
    took = time.monotonic() - begun
    gaps = sorted(b - a for a, b in pairwise(times[1:]))  # the first one allocates
    step = gaps[len(gaps) // 2] if gaps else took / steps
    return Cost(max(0.0, took - steps * step), step * _passes(made) / made.train.batch)


def _warm(made: Recipe) -> None:
    """Import what only the first training would pay for, so that it is not taken for the price of every one."""
    from isogloss.nn.world import World
    from isogloss.stages.training import setup

    World(made.train.precision)
    with contextlib.suppress(IsoglossError):
        made.family("load", setup.untrained(made, ("a", "b"), skeleton=True))


def _passes(made: Recipe) -> float:
    return float(made.train.epochs or probes.EPOCHS)


# -- the probes ---------------------------------------------------------------------------------------------------


def _one(work: _Work, lang: str, rows: int, number: str = "") -> float:
    """Make sure that a probe is done: train, answer the dev rows, and keep nothing but the answers; the seconds it took."""
    variant = _variant(work.recipe, lang, rows, _steps(work.recipe, rows))
    path = work.home.path("answers", f"{variant.name}.parquet")
    key = files.digest_of([what_is_read(variant, work.home), sorted(work.dev["id"])])
    done = work.state["done"].get(variant.name)
    if done and done["key"] == key and path.is_file() and files.digest(path) == done["digest"]:
        return float(done["seconds"])
    work.beat()
    begun = time.monotonic()
    frame, labels = _train(work, variant, _Quiet(work, f"{number}{lang} on {rows:,} rows"))
    files.write_parquet(path, frame)
    took = time.monotonic() - begun
    work.state["done"][variant.name] = {
        "key": key, "digest": files.digest(path), "source": lang, "rows": rows, "labels": labels,
        "seconds": round(took, 3),
    }  # fmt: skip
    work.write()
    return took


def _train(work: _Work, variant: Recipe, say: Say) -> tuple[pl.DataFrame, list[str]]:
    """Train a variant and let it answer the dev rows; its folder is removed."""
    import polars as pl

    from isogloss.stages import model

    run = Run(work.home.folder / variant.name)
    try:
        files.remove(run.folder) if run.folder.exists() else None
        many.lend(work.home, run)
        with run.locked():
            chain._keep_recipe(variant, run, anew=False)
            train(variant, run, say)  # not the whole chain: an audit of the tokenizer for each probe tells nothing new
        made = model.load(run.folder)
        outputs = made.probabilities(work.dev.select("id", "lang", "text"))
    finally:
        say.close()
        files.remove(run.folder) if run.folder.exists() else None
    base = work.dev.select("id", "lang", "group", "label")
    answers: pl.DataFrame = variant.the_task("answers", base, outputs, made.labels)
    return answers.select(pl.col("id", "lang", "group", "label", "pred", "probs")), list(made.labels)


def _climb(
    work: _Work,
    rankings: Sequence[Ranking],
    ranked: Mapping[str, Sequence[str]],
    rows: Mapping[str, int],
    fixed: Plan,
) -> list[Ranking]:
    """Round by round; every round is judged with all that is known, and the better half goes on."""
    left = {target: [tag for tag in some if tag != ENGLISH][: fixed.rungs[0].n] for target, some in ranked.items()}
    beside, trained = _beside(ranked, rows), list[tuple[str, int]]()
    answer, before = dict[str, Ranking](), 0
    try:
        for i, rung in enumerate(fixed.rungs):
            left = {target: some[: rung.n] for target, some in left.items()}
            todo = [tag for tag in rows if tag in beside or any(tag in some for some in left.values())]
            order = {
                tag: min(some.index(tag) for some in left.values() if tag in some) for tag in todo if tag not in beside
            }
            todo.sort(key=lambda tag: (order.get(tag, -1), tag))  # the reference, then the most promising
            size = min(rung.rows, *(rows[tag] for tag in todo))
            if size <= before:
                break  # the survivors have no more rows than those that were tried
            for number, tag in enumerate(todo, start=1):
                _one(work, tag, size, f"round {i + 1}, {number} of {len(todo)}, ")
                trained.append((tag, size))
            before = size
            answer = _answer(work, rankings, ranked, trained, rows)
            for target, some in left.items():
                place = [one.source for one in answer[target].candidates]
                left[target] = sorted(some, key=place.index)
    except BudgetEnded as ended:
        answer = _answer(work, rankings, ranked, trained, rows)
        if not any(one.probe for ranking in answer.values() for one in ranking.candidates):
            raise
        work.say.note(f"{ended} before the plan was; what was trained until then answers")
    return [answer.get(ranking.target, ranking) for ranking in rankings]


def _answer(
    work: _Work,
    rankings: Sequence[Ranking],
    ranked: Mapping[str, Sequence[str]],
    trained: Sequence[tuple[str, int]],
    rows: Mapping[str, int],
) -> dict[str, Ranking]:
    """The rankings of the targets after what was trained."""
    import numpy as np
    import polars as pl

    from isogloss.core import report

    metric = parts.load("metrics", work.recipe.headline).module
    known = {(one["source"], one["rows"]): name for name, one in work.state["done"].items()}
    labels = sorted({label for one in work.state["done"].values() for label in one["labels"]})
    out = {}
    for ranking in rankings:
        target = ranking.target
        mine = [pair for pair in trained if pair[0] in ranked.get(target, ()) or pair[0] == ENGLISH != target]
        if len(mine) < 2:
            continue
        frames = []
        for pair in mine:
            name = known[pair]
            frame = files.read_parquet(work.home.path("answers", f"{name}.parquet")).filter(pl.col("lang") == target)
            frames.append(many.with_labels(frame, work.state["done"][name]["labels"], labels))
        values, draws, n_units = report.scored_together(frames, metric, labels, seed=work.recipe.seed)
        noise = 1e4 * np.atleast_2d(np.cov(draws)) * n_units / max(1, n_units - 1)
        seen = [
            Seen(tag, size, rows[tag], 100 * float(value), frames[0].height)
            for (tag, size), value in zip(mine, values, strict=True)
        ]
        out[target] = probes.combine(ranking, seen, noise)
    return out
