"""Several runs of one recipe that are told together: few-shot, compare-sources.

Each is an ordinary run in a folder of its own. The data is prepared once and linked into every run; what is finished is
skipped when the command is repeated.

**Interval** of a mean over D draws. Each side is the root of two squares: over draws, Student's t with D - 1 degrees of
freedom times the standard error of the mean; over rows, the mean of that side of the draws' own bootstrap intervals.
Draws share their test rows, and the deviation of a mean is at most the mean of the deviations, so this errs on the wide
side of a bootstrap of the mean itself. With one draw there is only the second.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isogloss.core import files, parts, recipe
from isogloss.core.errors import DamagedError, InputError, RecipeError, StaleError
from isogloss.core.recipe import Recipe
from isogloss.core.run import Run
from isogloss.core.say import Say
from isogloss.stages import chain

if TYPE_CHECKING:
    import polars as pl

LONGEST_NAME = 80
MOST_DRAWS = 100
ABSENT = "–"


# -- the runs ---------------------------------------------------------------------------------------------------


def one_process(command: str) -> None:
    """Raise InputError where several processes were started."""
    from isogloss.nn import launched

    if launched.size() > 1:
        raise InputError(f"{command} works in one process; start it without torchrun, or run its recipes one by one")


def drawn_at_most(draws: int) -> None:
    """Raise InputError for a number of draws that cannot be."""
    if not 1 <= draws <= MOST_DRAWS:
        raise InputError(f"--draws takes a whole number from 1 to {MOST_DRAWS}, got {draws}")


def named(command: str, names: Iterable[str]) -> None:
    """Raise RecipeError where a run would have too long a name."""
    longest = max(names, key=len)
    if len(longest) > LONGEST_NAME:
        raise RecipeError(
            f"{command} makes runs such as {longest}, a name above {LONGEST_NAME} characters; shorten name"
        )


def variant(
    made: Recipe, name: str, *, top: Mapping[str, Any] | None = None, baselines: Iterable[str] = (), **train: Any
) -> Recipe:
    """The recipe under another name, with other keys at the top and in [train]; None takes a key away.

    Of the baselines those stay that its gates need, and those in `baselines` that its task knows.
    """
    needed = {system for gate in made.gate for system in gate.beats} | set(baselines)
    known = parts.load("tasks", made.task.use).constant("BASELINES", recipe.BASELINES)
    value = made.model_dump(mode="json", exclude_none=True)
    value |= {"name": name, **(top or {})}
    value["train"] = {k: v for k, v in {**value["train"], **train}.items() if v is not None}
    value["evaluate"]["baselines"] = [system for system in known if system in needed]
    return recipe.build(value, folder=made.folder)


def advance(
    made: Recipe, upto: str, runs: str | Path, again: bool, say: Say, command: str = "few-shot"
) -> tuple[Recipe, Run]:
    """Bring a run up to a stage; with `again` work that was made from something else is made anew."""
    try:
        return chain.advance(made, upto, runs=runs, say=say)
    except StaleError as error:
        if not again:
            what = str(error).rpartition("; ")[0]
            raise StaleError(
                f"{what}; give the recipe another name, or replace that work: isogloss {command} RECIPE --again"
            ) from None
    except DamagedError:
        if not again:
            raise
    return chain.advance(made, upto, runs=runs, again=True, say=say)


def lend(home: Run, run: Run) -> None:
    """Give a run that has no corpus yet the one that was prepared: the same files, linked where the disk can."""
    with run.locked():
        if run.stamped("prepare") is not None:
            return
        stamp = home.require("prepare")
        for name in stamp["made"]:
            _link(home.path(name), run.path(name))
        files.write_json(run.path("stamps", "prepare.json"), stamp)


def _link(old: Path, new: Path) -> None:
    files.remove(new)
    with files.place_errors(new):
        new.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):  # another disk, a file system without links
        os.link(old, new)
        return
    with files.whole(new) as temporary:
        shutil.copyfile(old, temporary)


# -- what came of them ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scores:
    """Scores of one run on test, `by_lang` (system, language), and what is needed for means over some languages."""

    by_lang: dict[tuple[str, str], dict[str, Any]]
    answers: pl.DataFrame
    recipe: Recipe
    labels: list[str]
    signature: str

    @classmethod
    def of(cls, made: Recipe, run: Run, metric: str) -> Scores:
        """Read an evaluated run."""
        import polars as pl

        from isogloss.stages import evaluate, model

        run.require("evaluate")
        scores = files.read_parquet(run.path("scores.parquet")).filter(pl.col("metric") == metric)
        cells = scores.filter(pl.col("by") == "lang", pl.col("value").is_not_null())
        by_lang = {(row["system"], row["key"]): row for row in cells.iter_rows(named=True)}
        labels = list(model.read_card(run.folder)["labels"])
        return cls(by_lang, evaluate.read_predictions(run, "model", "test"), made, labels, scores["signature"][0])

    def over(self, langs: Sequence[str]) -> dict[str, Any] | None:
        """The mean over some languages, with its interval; None where they have no test rows."""
        import polars as pl

        from isogloss.core import report

        rows = self.answers.filter(pl.col("lang").is_in(langs))
        if rows.is_empty():
            return None
        metric, spec = self.recipe.headline, self.recipe.evaluate
        module = {metric: parts.load("metrics", metric).module}
        options: dict[str, Any] = {"resamples": spec.resamples, "confidence": spec.confidence, "seed": self.recipe.seed}
        found = report.score(rows, module, self.labels, system="model", slices=["lang"], **options)
        mean = found.filter(pl.col("by") == "all", pl.col("key") == "mean").row(0, named=True)
        return mean if mean["value"] is not None else None


def over_draws(
    scores: Sequence[Mapping[str, Any] | None], confidence: float, bounds: tuple[float, float]
) -> dict[str, Any] | None:
    """The mean of the scores (`value, low, high`) of several draws: `value, low, high, sd, by_draw`; see the module.

    None without scores. `low` and `high` are None where a score has none, `sd` with one draw.

    >>> cell = {"value": 0.5, "low": 0.4, "high": 0.7}
    >>> over_draws([cell], 0.95, (0.0, 1.0))["high"]
    0.7
    >>> round(over_draws([cell, {"value": 0.7, "low": 0.6, "high": 0.9}], 0.95, (0.0, 1.0))["low"], 2)
    0.0
    """
    from scipy.special import stdtrit

    known = [score for score in scores if score is not None and score["value"] is not None]
    if not known:
        return None
    values = [float(score["value"]) for score in known]
    n, value = len(values), sum(values) / len(values)
    sd = math.sqrt(sum((v - value) ** 2 for v in values) / (n - 1)) if n > 1 else None
    spread = float(stdtrit(n - 1, 0.5 + confidence / 2)) * sd / math.sqrt(n) if sd is not None else 0.0
    found: dict[str, Any] = {"value": value, "low": None, "high": None, "sd": sd, "by_draw": values}
    if all(score["low"] is not None and score["high"] is not None for score in known):
        below = sum(score["value"] - score["low"] for score in known) / n
        above = sum(score["high"] - score["value"] for score in known) / n
        found["low"] = max(bounds[0], value - math.hypot(spread, below))
        found["high"] = min(bounds[1], value + math.hypot(spread, above))
    return found


def drawn(run: Run, tag: str) -> int:
    """How many rows `train.shots` drew of a language."""
    return int(run.require("train")["facts"].get("shots", {}).get("rows", {}).get(tag, 0))


def with_labels(frame: pl.DataFrame, own: Sequence[str], labels: Sequence[str]) -> pl.DataFrame:
    """Answers with probabilities over `labels`; those that a model does not know have none."""
    import polars as pl

    if list(own) == list(labels):
        return frame
    place = [list(own).index(label) if label in own else len(own) for label in labels]
    padded = pl.concat_list("probs", pl.lit(0.0)).list.gather(place)
    return frame.with_columns(pl.when(pl.col("probs").is_not_null()).then(padded).alias("probs"))


# -- for a reader -----------------------------------------------------------------------------------------------


def counted(n: int, what: str) -> str:
    """`1 row`, `1,000 rows`."""
    return f"{n:,} {what}{'s' * (n != 1)}"


def rows(n: int) -> str:
    return counted(n, "row")


def about(cell: Mapping[str, Any] | None) -> str:
    """`0.52 ±.12`: behind ± the wider side of the interval."""
    if cell is None or cell["value"] is None:
        return ABSENT
    if cell["low"] is None:
        return f"{cell['value']:.2f}"
    wider = max(cell["value"] - cell["low"], cell["high"] - cell["value"])
    return f"{cell['value']:.2f} ±{wider:.2f}".replace("±0.", "±.")


def interval(cell: Mapping[str, Any] | None) -> str:
    """`0.520 [0.401, 0.640]`."""
    if cell is None or cell["value"] is None:
        return ABSENT
    return f"{cell['value']:.3f}" + ("" if cell["low"] is None else f" [{cell['low']:.3f}, {cell['high']:.3f}]")
