"""Supervision by language: dev scores, the best checkpoint, when to stop, and what every language must keep.

Pure of torch. Dev decides, and only dev rows of the languages that are trained on: a row of another language is scored
when everything is over, and never here. What noise alone would do is told from what has changed in `core/evidence.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from isogloss.core import lang as lang_table
from isogloss.core import report
from isogloss.core.errors import IsoglossError
from isogloss.core.evidence import FEW_UNITS, Fall, Levels, pseudo_values
from isogloss.core.recipe import Keep, Stop

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
    """What an evaluation says. `by_lang` has a score for each language with dev rows.

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


@dataclass
class Supervisor:
    """The state of supervision; what `state()` gives, with `arrays()`, is part of the checkpoint.

    `dev` has the dev rows (`id, lang, group, text, label`) of the languages in `langs`, those that `train.langs` names; `answers` is
    the task's, what the model gives for them made into answers. `steps` says at which step which languages were added,
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
    # each evaluation that still counts: step, by_lang, and what is to rise
    past: list[dict[str, Any]] = field(default_factory=list)
    # languages that have converged, and the step at which; how often in a row a language did not rise
    out: dict[str, int] = field(default_factory=dict)
    flat: dict[str, int] = field(default_factory=dict)
    # the step since which a language comes, where that is not the first: the mix added it then, or it came again
    begun: dict[str, int] = field(default_factory=dict)
    # languages that fell, and how much more often they come since
    lean: dict[str, float] = field(default_factory=dict)
    # what a language scored at the end of the step that added it
    marks: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        strangers = set(self.dev["lang"]) - set(self.langs)
        if strangers:
            raise IsoglossError(
                f"dev rows of {', '.join(sorted(strangers))}, which train.langs does not name, reached model selection"
            )
        names = sorted(self.dev["lang"].unique().to_list())
        units = pl.struct(
            "lang", pl.coalesce(pl.format("g{}", pl.col("group").cast(pl.String)), pl.format("r{}", "id"))
        )
        self._unit = self.dev.select(units.rank("dense").cast(pl.Int64) - 1).to_series().to_numpy()
        code = np.zeros(self._unit.max(initial=-1) + 1, np.int64)
        code[self._unit] = self.dev["lang"].rank("dense").to_numpy().astype(np.int64) - 1
        low, high = self.metric.RANGE
        watched = self.keep.langs if self.keep is not None else None
        self.levels = Levels(names, code, self.sign, float(high - low), watched=watched)
        self._code = code

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
        by_lang = self._by_lang(counts)
        sums = report.aggregate(np.array(list(by_lang.values())), self.metric.BETTER) if by_lang else {}
        mean, worst = (float(sums[k]) if sums else None for k in ("mean", "worst"))
        value = worst if self.stop is not None and self.stop.on == "worst" else mean
        fallen, returned = self._falls(step, counts, by_lang)
        retained = self._retained(step, by_lang)
        if fallen:
            return self._fell(step, fallen, by_lang, mean, worst, returned, retained, on_disk)
        better = self._better(value)
        if better:
            self.best_step, self.best_value, self.since = step, value, 0
        else:
            self.since += 1
        self.past.append({"step": step, "by_lang": by_lang, "value": value})
        left = self._leaving(step)
        return Judged(
            by_lang, mean, worst, better, left=left, returned=returned, retained=retained, stop=self._ends(spent)
        )

    @property
    def untold(self) -> tuple[str, ...]:
        """Languages of which nothing can be said while the model is trained: too few dev rows."""
        known = dict(zip(self.levels.langs, self.levels.n_units.tolist(), strict=True))
        return tuple(lang for lang in self.langs if known.get(lang, 0) < FEW_UNITS)

    def scores(self, outputs: Any) -> dict[str, float]:
        """What a model scores by language that gives these outputs for the dev rows."""
        return self._by_lang(self._counts(outputs))

    def _counts(self, outputs: Any) -> np.ndarray:
        answers = self.answers(self.dev, outputs, self.labels)
        return np.asarray(self.metric.stats(answers, list(self.labels)), dtype=np.float64)

    def _better(self, value: float | None) -> bool:
        return self.best_value is None or value is None or self.sign * value > self.sign * self.best_value

    def _by_lang(self, counts: np.ndarray) -> dict[str, float]:
        codes = self._code[self._unit]
        found = {
            lang: float(self.metric.value(counts[codes == i].sum(axis=0))) for i, lang in enumerate(self.levels.langs)
        }
        return {lang: value for lang, value in found.items() if not np.isnan(value)}

    # -- what must be kept --------------------------------------------------------------------------------------

    def _falls(
        self, step: int, counts: np.ndarray, by_lang: Mapping[str, float]
    ) -> tuple[tuple[Fall, ...], tuple[str, ...]]:
        """Take the evaluation in: protected languages that have fallen, and languages that had left and come again."""
        if self.keep is None and not (self.stop is not None and self.stop.on == "lang") and not self.steps:
            return (), ()
        by_unit = np.zeros((len(self._code), counts.shape[1]))
        np.add.at(by_unit, self._unit, counts)
        pseudo = np.zeros(len(self._code))
        for i in range(len(self.levels.langs)):
            own = self._code == i
            pseudo[own] = pseudo_values(by_unit[own], self.metric.value)
        values = self._values(by_lang)
        # whoever left comes again after any fall that is shown, whatever must be kept of it
        returned = tuple(fall.lang for fall in self.levels.fallen(np.nan_to_num(pseudo), values, tuple(self.out)))
        falls = self.levels.take(
            np.nan_to_num(pseudo), values, self.keep.drop_at_most if self.keep is not None else None
        )
        for lang in returned:
            del self.out[lang]
            self.flat.pop(lang, None)
            self.begun[lang] = step
        return tuple(falls), returned

    def _values(self, by_lang: Mapping[str, float]) -> np.ndarray:
        return np.array([by_lang.get(lang, np.nan) for lang in self.levels.langs])

    def _fell(
        self, step: int, fallen: tuple[Fall, ...], by_lang: dict[str, float], mean: float | None, worst: float | None,
        returned: tuple[str, ...], retained: tuple[dict[str, Any], ...], on_disk: Sequence[int],
    ) -> Judged:  # fmt: skip
        """Go back to where the fallen languages still held, and on with less of what made them fall."""
        assert self.keep is not None
        back = self._good(fallen, on_disk)
        slower = self.keep.then == "slower"
        for fall in fallen:
            before = self.lean.get(fall.lang, 1.0)
            if self.keep.then == "mix" and before < MOST:
                self.lean[fall.lang] = min(MOST, before * LEAN)
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
            value = worst if self.stop is not None and self.stop.on == "worst" else mean
            self.past.append({"step": step, "by_lang": by_lang, "value": value})
        ended = self.stop is not None and self.stop.on != "lang" and self.since >= self.stop.patience
        return Judged(
            by_lang, mean, worst, False, fallen, back, returned=returned, retained=retained, slower=slower, stop=ended
        )

    def _good(self, fallen: Sequence[Fall], on_disk: Sequence[int]) -> int | None:
        """The best of the checkpoints at which each fallen language was nearer to its level than to where it is now;
        where there is none, the one at which they were best. None where no checkpoint is left."""
        known = [entry for entry in self.past if entry["step"] in set(on_disk)]
        if not known:
            return None

        def height(entry: Mapping[str, Any]) -> float:
            """How far above the middle the lowest of the fallen was, in units of its fall."""
            return min(
                self.sign * (entry["by_lang"].get(fall.lang, fall.value) - (fall.level + fall.value) / 2) / fall.drop
                for fall in fallen
            )

        good = [entry for entry in known if height(entry) > 0]
        if not good:
            return int(max(known, key=height)["step"])
        return int(max(good, key=lambda entry: (self.sign * entry["value"], entry["step"]))["step"])

    # -- when to stop -------------------------------------------------------------------------------------------

    def _ends(self, spent: float | None) -> bool:
        if self.stop is None:
            return False
        if self.stop.on == "lang":
            return set(self.levels.langs) <= set(self.out) or self._little(spent)
        return self.since >= self.stop.patience or self._little(spent)

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
        """Languages that have converged: their rise over the last `patience` evaluations, shrunk over the languages that
        still come, is within `FLAT` at `IN_A_ROW` evaluations in a row; only evaluations count since which a language
        comes. Those with fewer than `FEW_UNITS` units can say
        nothing of themselves: they leave with the last of the others, and where there is none, when the mean has not risen
        over `patience` evaluations."""
        if self.stop is None or self.stop.on != "lang" or len(self.past) <= self.stop.patience:
            return ()
        before, now = (self._values(self.past[at]["by_lang"]) for at in (-1 - self.stop.patience, -1))
        here = np.array([lang not in self.out for lang in self.levels.langs], bool)
        rises = self.levels.rises(before, now, here)
        most = FLAT * self.levels.width if np.isfinite(self.levels.width) else 0.0
        least = -most if most else -np.inf
        began = self.past[-1 - self.stop.patience]["step"]
        left = []
        told = self.levels.n_units >= FEW_UNITS
        for lang, rise, comes in zip(self.levels.langs, rises.tolist(), (here & told).tolist(), strict=True):
            if not comes or np.isnan(rise) or began < self.begun.get(lang, 0):
                continue
            self.flat[lang] = self.flat.get(lang, 0) + 1 if least <= rise <= most else 0
            if self.flat[lang] >= IN_A_ROW:
                left.append(lang)
        few = [
            lang
            for lang, tells in zip(self.levels.langs, told.tolist(), strict=True)
            if not tells and lang not in self.out and began >= self.begun.get(lang, 0)
        ]
        others = [lang for lang, tells in zip(self.levels.langs, told.tolist(), strict=True) if tells]
        if all(lang in self.out or lang in left for lang in others) and (others or self.since >= self.stop.patience):
            left += few
        self.out |= dict.fromkeys(left, step)
        return tuple(left)

    # -- languages that are added step by step ------------------------------------------------------------------

    def _retained(self, step: int, by_lang: Mapping[str, float]) -> tuple[dict[str, Any], ...]:
        """Where a step of languages ends: for each language of an earlier one what it scored then and scores now."""
        if step not in self.steps:
            return ()
        names = list(self.levels.langs)
        earlier = [lang for lang in names if lang in self.marks and lang in by_lang]
        then = np.array([self.marks.get(lang, np.nan) for lang in names])
        gain = self.sign * (self._values(by_lang) - then)
        half = self.levels.since(len(earlier))
        low, high = gain - half, gain + half
        allowed = self.keep.drop_at_most if self.keep is not None else RETAINED
        found = []
        for lang in earlier:
            i = names.index(lang)
            verdict = "lost" if high[i] < 0 else "retained" if low[i] > -allowed else "cannot tell"
            ends = [None if np.isnan(x) else round(float(x), 6) for x in (low[i], high[i])]
            found.append(
                {"lang": lang, "then": float(then[i]), "now": by_lang[lang], "gain": float(gain[i]), "low": ends[0],
                 "high": ends[1], "n": int(self.levels.n_units[i]), "verdict": verdict}
            )  # fmt: skip
        self.marks |= {lang: by_lang[lang] for lang in self.steps[step] if lang in by_lang}
        self.levels.mark(self.steps[step])
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
