"""Supervision by language: dev scores, the best checkpoint, when to stop, and what every language must keep.

Pure of torch. Dev decides, and only dev rows of the languages that are trained on: a row of another language is scored
when everything is over, and never here. What noise alone would do is told from what has changed in `core/evidence.py`.

Of several tasks on one trunk each is measured by itself: what is watched of falls and rises are cells, a language in a task
(`tone/swh_Latn`; where there are no tasks, a language). Mean and worst tenth are those of each task, averaged over tasks, so
that each weighs the same; a language has fallen when it has in any task, and has converged when it has in all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl

from isogloss.core import lang as lang_table
from isogloss.core import resampling
from isogloss.core.errors import IsoglossError
from isogloss.core.evidence import FEW_UNITS, Fall, Levels, pseudo_values
from isogloss.core.recipe import Keep, Stop
from isogloss.core.tasks import BETWEEN, OfTask

# What the rate is multiplied by after a collapse, and after a rollback.
SLOWER, AFTER_FALL = 0.25, 0.5
# With keep.then = "mix" a language that fell comes this much more often, up to so much.
LEAN, MOST = 2.0, 4.0
# A language has converged when its score neither rises nor falls by more than this share of the metric's range, at so many
# evaluations in a row; where the metric has no range, when it does not rise.
FLAT, IN_A_ROW = 0.01, 2
# After a step of languages: an earlier one is retained when it is shown to have lost less than this.
RETAINED = 0.02
# More languages than this are shown in groups.
COLUMNS = 10
GROUPS = ("script", "family", "resource")


@dataclass(frozen=True)
class Judged:
    """What an evaluation says. `by_lang` has a score for each language with dev rows: of several tasks the mean over those
    that it has, and `by_task` has each.

    `fallen` are reasons to roll back, `back` the step to go back to (None: no checkpoint is better). `left` are languages
    that have converged and come no more, `returned` those that come again; `retained` has a line for each earlier
    language where a step of languages ended. `slower`: the rate was halved for what fell.
    """

    by_lang: dict[str, float]
    mean: float | None
    worst: float | None
    better: bool
    fallen: tuple[Fall, ...] = ()
    back: int | None = None
    left: tuple[str, ...] = ()
    returned: tuple[str, ...] = ()
    retained: tuple[dict[str, Any], ...] = ()
    slower: bool = False
    stop: bool = False
    by_task: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass
class Supervisor:
    """The state of supervision; what `state()` gives, with `arrays()`, is part of the checkpoint.

    `dev` has the dev rows (`id, lang, group, text, label`, and `task` where there are several) of the languages in `langs`,
    those that `train.langs` names; `answers` is the task's, what the model gives for them made into answers. `steps` says at which step which languages were added,
    where the mix adds them step by step.
    Raises IsoglossError when a row of another language is among them.
    """

    dev: pl.DataFrame
    langs: Sequence[str]
    labels: Sequence[str]
    name: str
    metric: Any
    answers: Callable[[pl.DataFrame, np.ndarray, Sequence[str]], pl.DataFrame]
    stop: Stop | None
    keep: Keep | None
    steps: Mapping[int, tuple[str, ...]] = field(default_factory=dict, kw_only=True)
    best_step: int | None = None
    best_value: float | None = None
    since: int = 0
    n_slowed: int = 0
    n_collapsed: int = 0
    # what was spent at each evaluation, in the unit of stop.per, and the best value then
    course: list[list[float]] = field(default_factory=list)
    # each evaluation that still counts: step, the scores of cells, and what is to rise
    past: list[dict[str, Any]] = field(default_factory=list)
    # languages that have converged, and the step at which; how often in a row a language did not rise in any task
    out: dict[str, int] = field(default_factory=dict)
    flat: dict[str, int] = field(default_factory=dict)
    # the step since which a language comes, where that is not the first: the mix added it then, or it came again
    begun: dict[str, int] = field(default_factory=dict)
    # languages that fell, and how much more often they come since
    lean: dict[str, float] = field(default_factory=dict)
    # what a cell scored at the end of the step that added its language
    marks: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        strangers = set(self.dev["lang"]) - set(self.langs)
        if strangers:
            raise IsoglossError(
                f"dev rows of {', '.join(sorted(strangers))}, which train.langs does not name, reached model selection"
            )
        by_task = "task" in self.dev.columns
        cell = pl.format("{}" + BETWEEN + "{}", "task", "lang") if by_task else pl.col("lang")
        keyed = self.dev.select("id", "group", cell.alias("cell"))
        names = sorted(keyed["cell"].unique().to_list())
        units = pl.struct(
            "cell", pl.coalesce(pl.format("g{}", pl.col("group").cast(pl.String)), pl.format("r{}", "id"))
        )
        self._unit = keyed.select(units.rank("dense").cast(pl.Int64) - 1).to_series().to_numpy()
        code = np.zeros(self._unit.max(initial=-1) + 1, np.int64)
        code[self._unit] = keyed["cell"].rank("dense").to_numpy().astype(np.int64) - 1
        self._code = code
        # the metric of each task, and its rows; the labels that it has are its own
        self._parts = (
            [(OfTask(self.metric, task), np.flatnonzero(self.dev["task"] == task)) for task in sorted(set(self.dev["task"]))]
            if by_task
            else [(self.metric, np.arange(self.dev.height))]
        )  # fmt: skip
        low, high = self.metric.RANGE
        kept = self.keep.langs if self.keep is not None else None
        watched = None if kept is None else [name for name in names if lang_of(name) in kept]
        self.levels = Levels(names, code, self.sign, float(high - low), watched=watched)

    @property
    def sign(self) -> int:
        return 1 if self.metric.BETTER == "higher" else -1

    @property
    def rate(self) -> float:
        """The factor on the learning rate: halved after a rollback, a quarter after a collapse."""
        return AFTER_FALL**self.n_slowed * SLOWER**self.n_collapsed

    def judge(
        self, step: int, probs: np.ndarray, spent: float | None = None, on_disk: Sequence[int] = (),
        met: Mapping[str, float] | None = None,
    ) -> Judged:  # fmt: skip
        """Judge what the model gives for the dev rows, `(N, C)`, at a step, and move on. Without dev rows the newest step
        is the best.

        `spent`: so far, in the unit of `stop.per`; `on_disk`: the steps of which there are checkpoints; `met`: how many rows
        of each language were learned from so far (None: of all of them some).
        """
        if met is not None:
            self.begun |= {lang: step for lang in self.langs if not met.get(lang)}
        if self.dev.is_empty():
            self.best_step = step
            return Judged({}, None, None, True)
        counts = self._counts(probs)
        scores = self._scores(counts)
        by_task = _by_task(scores)
        by_lang = _by_lang(scores)
        sums = [resampling.aggregate(np.array(list(own.values())), self.metric.BETTER) for own in by_task.values()]
        mean, worst = (float(np.mean([each[k] for each in sums])) if sums else None for k in ("mean", "worst"))
        value = worst if self.stop is not None and self.stop.on == "worst" else mean
        fallen, returned = self._falls(step, counts, scores)
        retained = self._retained(step, scores)
        judged = Judged(
            by_lang, mean, worst, False, fallen, returned=returned, retained=retained,
            by_task=by_task if "task" in self.dev.columns else {},
        )  # fmt: skip
        if fallen:
            return self._fell(step, judged, scores, value, on_disk)
        better = self._better(value)
        if better:
            self.best_step, self.best_value, self.since = step, value, 0
        else:
            self.since += 1
        self.past.append({"step": step, "scores": scores, "value": value})
        left = self._leaving(step)
        return replace(judged, better=better, left=left, stop=self._ends(step, spent))

    @property
    def untold(self) -> tuple[str, ...]:
        """Cells of which nothing can be said while the model is trained: too few dev rows. Of a language without any, the
        language."""
        known = dict(zip(self.levels.langs, self.levels.n_units.tolist(), strict=True))
        langs = {lang_of(cell) for cell in known}
        few = [cell for cell, n in known.items() if n < FEW_UNITS] + [lang for lang in self.langs if lang not in langs]
        return tuple(sorted(few, key=lambda cell: (lang_of(cell), cell)))

    def scores(self, outputs: Any) -> dict[str, float]:
        """What a model scores by language that gives these outputs for the dev rows."""
        return _by_lang(self._scores(self._counts(outputs)))

    def _counts(self, outputs: Any) -> list[np.ndarray]:
        """The metric's counts of each task, of the rows of all."""
        answers = self.answers(self.dev, outputs, self.labels)
        return [np.asarray(metric.stats(answers, list(self.labels)), dtype=np.float64) for metric, _ in self._parts]

    def _better(self, value: float | None) -> bool:
        return self.best_value is None or value is None or self.sign * value > self.sign * self.best_value

    def _scores(self, counts: Sequence[np.ndarray]) -> dict[str, float]:
        """The score of each cell that has one."""
        codes, found = self._code[self._unit], {}
        for (metric, at), own in zip(self._parts, counts, strict=True):
            for i in np.unique(codes[at]).tolist():
                found[self.levels.langs[i]] = float(metric.value(own[codes == i].sum(axis=0)))
        return {cell: value for cell, value in found.items() if not np.isnan(value)}

    # -- what must be kept --------------------------------------------------------------------------------------

    def _falls(
        self, step: int, counts: Sequence[np.ndarray], scores: Mapping[str, float]
    ) -> tuple[tuple[Fall, ...], tuple[str, ...]]:
        """Take the evaluation in: protected languages that have fallen, and languages that had left and come again."""
        if self.keep is None and not (self.stop is not None and self.stop.on == "lang") and not self.steps:
            return (), ()
        pseudo = np.zeros(len(self._code))
        for (metric, at), own in zip(self._parts, counts, strict=True):
            by_unit = np.zeros((len(self._code), own.shape[1]))
            np.add.at(by_unit, self._unit[at], own[at])
            for i in np.unique(self._code[self._unit[at]]).tolist():
                units = self._code == i
                pseudo[units] = pseudo_values(by_unit[units], metric.value)
        values = self._values(scores)
        # whoever left comes again after any fall that is shown, whatever must be kept of it
        out = [cell for cell in self.levels.langs if lang_of(cell) in self.out]
        returned = tuple(
            dict.fromkeys(lang_of(fall.lang) for fall in self.levels.fallen(np.nan_to_num(pseudo), values, out))
        )
        falls = self.levels.take(
            np.nan_to_num(pseudo), values, self.keep.drop_at_most if self.keep is not None else None
        )
        for lang in returned:
            del self.out[lang]
            self.flat.pop(lang, None)
            self.begun[lang] = step
        return tuple(falls), returned

    def _values(self, scores: Mapping[str, float]) -> np.ndarray:
        return np.array([scores.get(cell, np.nan) for cell in self.levels.langs])

    def _fell(
        self, step: int, judged: Judged, scores: Mapping[str, float], value: float | None, on_disk: Sequence[int]
    ) -> Judged:
        """Go back to where the fallen languages still held, and on with less of what made them fall."""
        assert self.keep is not None
        back = self._good(judged.fallen, on_disk)
        slower = self.keep.then == "slower"
        for lang in dict.fromkeys(lang_of(fall.lang) for fall in judged.fallen):
            before = self.lean.get(lang, 1.0)
            if self.keep.then == "mix" and before < MOST:
                self.lean[lang] = min(MOST, before * LEAN)
            else:
                slower = True
        self.n_slowed += slower
        self.since += 1
        if back is not None:
            held = next(entry for entry in self.past if entry["step"] == back)
            self.past = [entry for entry in self.past if entry["step"] <= back]
            self.past.append({**held, "step": step})  # the checkpoint of this step has the weights of that one
            if self.best_step is None or self.best_step > back:
                self.best_step, self.best_value = back, held["value"]
        else:
            self.past.append({"step": step, "scores": dict(scores), "value": value})
        ended = self.stop is not None and self.stop.on != "lang" and self.since >= self.stop.patience
        ended = self._all_came(step) and ended
        return replace(judged, back=back, slower=slower, stop=ended)

    def _good(self, fallen: Sequence[Fall], on_disk: Sequence[int]) -> int | None:
        """The best of the checkpoints at which each fallen language was nearer to its level than to where it is now;
        where there is none, the one at which they were best. None where no checkpoint is left."""
        known = [entry for entry in self.past if entry["step"] in set(on_disk)]
        if not known:
            return None

        def height(entry: Mapping[str, Any]) -> float:
            """How far above the middle the lowest of the fallen was, in units of its fall."""
            return min(
                self.sign * (entry["scores"].get(fall.lang, fall.value) - (fall.level + fall.value) / 2) / fall.drop
                for fall in fallen
            )

        good = [entry for entry in known if height(entry) > 0]
        if not good:
            return int(max(known, key=height)["step"])
        return int(max(good, key=lambda entry: (self.sign * entry["value"], entry["step"]))["step"])

    # -- when to stop -------------------------------------------------------------------------------------------

    def _ends(self, step: int, spent: float | None) -> bool:
        if self.stop is None:
            return False
        if self.stop.on == "lang":
            over = {lang_of(cell) for cell in self.levels.langs} <= set(self.out)
        else:
            over = self.since >= self.stop.patience
        return (self._little(spent) or over) and self._all_came(step)

    def _all_came(self, step: int) -> bool:
        """Whether every language has come, where they are added step by step; with each step of them patience begins anew."""
        if step in self.steps:
            self.since, self.course = 0, []
        earlier = sorted(self.steps)[:-1]
        return not earlier or step > earlier[-1]

    def _little(self, spent: float | None) -> bool:
        """Whether the last evaluations brought less for what they cost than the recipe asks."""
        if self.stop is None or self.stop.gain is None or spent is None or self.best_value is None:
            return False
        self.course.append([spent, self.best_value])
        if len(self.course) <= self.stop.patience:
            return False
        (before, then), (now, value) = self.course[-1 - self.stop.patience], self.course[-1]
        return abs(value - then) < self.stop.gain * (now - before)

    def _leaving(self, step: int) -> tuple[str, ...]:
        """Languages that have converged: their rise over the last `patience` evaluations, shrunk over the cells that
        still come, is within `FLAT` in every task at `IN_A_ROW` evaluations in a row; only evaluations count since which a
        language comes. Cells with fewer than `FEW_UNITS` units can say nothing of themselves: languages without others
        leave with the last of the others, and where there is none, when the mean has not risen over `patience`
        evaluations."""
        if self.stop is None or self.stop.on != "lang" or len(self.past) <= self.stop.patience:
            return ()
        before, now = (self._values(self.past[at]["scores"]) for at in (-1 - self.stop.patience, -1))
        here = np.array([lang_of(cell) not in self.out for cell in self.levels.langs], bool)
        rises = self.levels.rises(before, now, here)
        most = FLAT * self.levels.width if np.isfinite(self.levels.width) else 0.0
        least = -most if most else -np.inf
        began = self.past[-1 - self.stop.patience]["step"]
        told: dict[str, list[float]] = {}
        for cell, rise, n in zip(self.levels.langs, rises.tolist(), self.levels.n_units.tolist(), strict=True):
            own = told.setdefault(lang_of(cell), [])
            if n >= FEW_UNITS:
                own.append(rise)
        left = []
        for lang, own in told.items():
            if not own or lang in self.out or np.isnan(own).any() or began < self.begun.get(lang, 0):
                continue
            self.flat[lang] = self.flat.get(lang, 0) + 1 if all(least <= rise <= most for rise in own) else 0
            if self.flat[lang] >= IN_A_ROW:
                left.append(lang)
        few = [
            lang for lang, own in told.items() if not own and lang not in self.out and began >= self.begun.get(lang, 0)
        ]
        others = [lang for lang, own in told.items() if own]
        if all(lang in self.out or lang in left for lang in others) and (others or self.since >= self.stop.patience):
            left += few
        self.out |= dict.fromkeys(left, step)
        return tuple(left)

    # -- languages that are added step by step ------------------------------------------------------------------

    def _retained(self, step: int, scores: Mapping[str, float]) -> tuple[dict[str, Any], ...]:
        """Where a step of languages ends: for each cell of an earlier one what it scored then and scores now."""
        if step not in self.steps:
            return ()
        names = list(self.levels.langs)
        earlier = [cell for cell in names if cell in self.marks and cell in scores]
        then = np.array([self.marks.get(cell, np.nan) for cell in names])
        gain = self.sign * (self._values(scores) - then)
        half = self.levels.since(len(earlier))
        low, high = gain - half, gain + half
        allowed = self.keep.drop_at_most if self.keep is not None else RETAINED
        found = []
        for cell in earlier:
            i = names.index(cell)
            verdict = "lost" if high[i] < 0 else "retained" if low[i] > -allowed else "cannot tell"
            ends = [None if np.isnan(x) else round(float(x), 6) for x in (low[i], high[i])]
            found.append(
                {"lang": cell, "then": float(then[i]), "now": scores[cell], "gain": float(gain[i]), "low": ends[0],
                 "high": ends[1], "n": int(self.levels.n_units[i]), "verdict": verdict}
            )  # fmt: skip
        added = [cell for cell in names if lang_of(cell) in self.steps[step]]
        self.marks |= {cell: scores[cell] for cell in added if cell in scores}
        self.levels.mark(added)
        return tuple(sorted(found, key=lambda row: (row["gain"], row["lang"])))

    # -- the state ----------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        return {**{name: getattr(self, name) for name in _STATE}, "levels": self.levels.state()}

    def arrays(self) -> dict[str, np.ndarray]:
        return self.levels.arrays()

    def restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Be as at a checkpoint."""
        for name in _STATE:
            setattr(self, name, state[name])
        self.levels.restore(state["levels"], arrays)


_STATE = (
    "best_step", "best_value", "since", "n_slowed", "n_collapsed", "course", "past", "out", "flat", "begun",
    "lean", "marks",
)  # fmt: skip


def lang_of(cell: str) -> str:
    """The language of a cell.

    >>> lang_of("tone/swh_Latn"), lang_of("swh_Latn")
    ('swh_Latn', 'swh_Latn')
    """
    return cell.rpartition(BETWEEN)[2]


def _by_task(scores: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Cells by task and language; without tasks, under the empty name."""
    found: dict[str, dict[str, float]] = {}
    for cell, value in scores.items():
        found.setdefault(cell.rpartition(BETWEEN)[0], {})[lang_of(cell)] = value
    return found


def _by_lang(scores: Mapping[str, float]) -> dict[str, float]:
    """The mean of the cells of each language."""
    found: dict[str, list[float]] = {}
    for cell in scores:
        found.setdefault(lang_of(cell), []).append(scores[cell])
    return {lang: float(np.mean(found[lang])) for lang in sorted(found)}


def columns(by_lang: Mapping[str, float], langs: Sequence[str]) -> tuple[tuple[str, float | None], ...]:
    """Scores as columns of the live table: by language, or as means of groups where there are many.

    >>> columns({"eng_Latn": 0.5}, ["eng_Latn", "tha_Thai"])
    (('eng_Latn', 0.5), ('tha_Thai', None))
    """
    if len(langs) <= COLUMNS:
        return tuple((lang, by_lang.get(lang)) for lang in langs)
    for by in GROUPS:
        groups: dict[str, list[float]] = {}
        for lang in langs:
            own = groups.setdefault(lang_table.group_of(lang, by), [])
            if lang in by_lang:
                own.append(by_lang[lang])
        if len(groups) <= COLUMNS or by == GROUPS[-1]:
            break
    kind = f"{by} " if by == GROUPS[-1] else ""
    return tuple(
        (f"{kind}{name} ({len(own)})", float(np.mean(own)) if own else None) for name, own in sorted(groups.items())
    )
