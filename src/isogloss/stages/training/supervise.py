"""Supervision by language: dev scores, the best checkpoint, when to stop, and what every language must keep.

Pure of torch. Dev decides, and only dev rows of the languages that are trained on: a row of another language is scored
when everything is over, and never here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from isogloss.core import gate, report
from isogloss.core import lang as lang_table
from isogloss.core.errors import IsoglossError
from isogloss.core.recipe import Keep, Stop

# What the rate is multiplied by after a collapse.
SLOWER = 0.25
# More languages than this are shown in groups.
COLUMNS = 10
GROUPS = ("script", "family", "resource")


@dataclass(frozen=True)
class Judged:
    """What an evaluation says. `by_lang` has a score for each language with dev rows.

    `fallen` are reasons to roll back; `probs` are the dev probabilities of the weights that training goes on with.
    """

    by_lang: dict[str, float]
    mean: float | None
    worst: float | None
    better: bool
    probs: np.ndarray
    fallen: tuple[str, ...] = ()
    stop: bool = False


@dataclass
class Supervisor:
    """The state of supervision; what `state()` gives is part of the checkpoint.

    `dev` has the dev rows (`id, lang, group, label`) of the languages in `langs`, those that `train.langs` names; `answers` is
    the task's, what the model gives for them made into answers.
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
    seed: int
    best_step: int | None = None
    best_value: float | None = None
    since: int = 0
    n_fallen: int = 0
    n_collapsed: int = 0
    # what was spent at each evaluation, in the unit of stop.per, and the best value then
    course: list[list[float]] = field(default_factory=list)
    best_probs: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        strangers = set(self.dev["lang"]) - set(self.langs)
        if strangers:
            raise IsoglossError(
                f"dev rows of {', '.join(sorted(strangers))}, which train.langs does not name, reached model selection"
            )

    @property
    def rate(self) -> float:
        """The factor on the learning rate: halved with every rollback, a quarter after a collapse."""
        return 0.5**self.n_fallen * SLOWER**self.n_collapsed

    def judge(self, step: int, probs: np.ndarray, spent: float | None = None) -> Judged:
        """Judge the dev probabilities `(N, C)` of a step, and move on. Without dev rows the newest step is the best.

        `spent`: so far, in the unit of `stop.per`.
        """
        if self.dev.is_empty():
            self.best_step = step
            return Judged({}, None, None, True, probs)
        answers = self.answers(self.dev, probs, self.labels)
        by_lang = self._by_lang(answers)
        values = np.array(list(by_lang.values()))
        sums = report.aggregate(values, self.metric.BETTER) if len(values) else {}
        mean, worst = (float(sums[k]) if sums else None for k in ("mean", "worst"))
        fallen = self._fallen(answers)
        if fallen:
            self.n_fallen += 1
            self.since += 1
        value = worst if self.stop is not None and self.stop.on == "worst" else mean
        better = not fallen and self._better(value)
        if better:
            self.best_step, self.best_value, self.best_probs, self.since = step, value, probs, 0
        elif not fallen:
            self.since += 1
        ended = self.stop is not None and (self.since >= self.stop.patience or self._little(spent))
        held = self.best_probs if fallen and self.best_probs is not None else probs
        return Judged(by_lang, mean, worst, better, held, fallen, ended)

    def _little(self, spent: float | None) -> bool:
        """Whether the last evaluations brought less for what they cost than the recipe asks."""
        if self.stop is None or self.stop.gain is None or spent is None or self.best_value is None:
            return False
        self.course.append([spent, self.best_value])
        if len(self.course) <= self.stop.patience:
            return False
        (before, then), (now, value) = self.course[-1 - self.stop.patience], self.course[-1]
        return abs(value - then) < self.stop.gain * (now - before)

    def _better(self, value: float | None) -> bool:
        if self.best_value is None or value is None:
            return True
        return value > self.best_value if self.metric.BETTER == "higher" else value < self.best_value

    def _by_lang(self, answers: pl.DataFrame) -> dict[str, float]:
        counts = np.asarray(self.metric.stats(answers, list(self.labels)), dtype=np.float64)
        langs = answers["lang"].to_numpy()
        found = {lang: float(self.metric.value(counts[langs == lang].sum(axis=0))) for lang in sorted(set(langs))}
        return {lang: value for lang, value in found.items() if not np.isnan(value)}

    def _fallen(self, answers: pl.DataFrame) -> tuple[str, ...]:
        """Sentences about languages that are shown to have fallen below the best checkpoint by more than is allowed."""
        if self.keep is None or self.best_probs is None:
            return ()
        before = self.answers(self.dev, self.best_probs, self.labels)
        frame = report.paired(answers, before, self.metric, self.labels, name=self.name, seed=self.seed)
        verdict = gate.dropped(frame, self.keep.drop_at_most)
        return tuple(reason.text for reason in verdict.reasons if reason.outcome == "refused")

    # -- the state ----------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        return {
            name: getattr(self, name)
            for name in ("best_step", "best_value", "since", "n_fallen", "n_collapsed", "course")
        }

    def restore(self, state: Mapping[str, Any], best_probs: np.ndarray | None) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self.best_probs = best_probs


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
