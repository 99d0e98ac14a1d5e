"""run: the chain from raw data to the verdict. Each stage returns at once when it is fresh."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isogloss.core import files, recipe
from isogloss.core.engine import Engine, Local
from isogloss.core.errors import InputError, PlaceError
from isogloss.core.recipe import Recipe
from isogloss.core.run import Run
from isogloss.core.say import Say
from isogloss.stages.evaluate import evaluate
from isogloss.stages.prepare import prepare
from isogloss.stages.promote import refusals
from isogloss.stages.report import write_report
from isogloss.stages.train import train

if TYPE_CHECKING:
    import polars as pl

STAGES = ("prepare", "train", "evaluate")


@dataclass(frozen=True)
class Outcome:
    """What came of a run: its folder, the verdict of its gates, and the reasons against it."""

    folder: Path
    verdict: str
    reasons: tuple[str, ...]

    @property
    def scores(self) -> pl.DataFrame:
        """Scores on test: `system, metric, by, key, value, low, high, n, signature`."""
        return files.read_parquet(self.folder / "scores.parquet")


def target(
    given: str | Path | Mapping[str, Any] | Recipe, runs: str | Path, sets: Sequence[str] = ()
) -> tuple[Recipe, Run]:
    """The recipe and the run that a recipe file, a mapping, a Recipe or the folder of a run means.

    Raises RecipeError for a recipe, PlaceError for a folder that is no run.
    """
    if isinstance(given, Recipe):
        if sets:
            given = recipe.build(given.model_dump(mode="json", exclude_none=True), sets=sets, folder=given.folder)
        return given, Run(Path(runs) / given.name)
    if isinstance(given, Mapping):
        made = recipe.build(given, sets=sets)
        return made, Run(Path(runs) / made.name)
    path = Path(given)
    if path.is_dir():
        stored = path / "recipe.toml"
        if not stored.is_file():
            raise PlaceError(
                f"{path} is no run (it has no recipe.toml); give a recipe file or a run folder such as {Path(runs) / 'NAME'}"
            )
        import tomllib

        where = files.read_json(path / "origin.json")
        value = files.read_own(stored, lambda p: tomllib.loads(p.read_text(encoding="utf-8")))
        return recipe.build(
            value, sets=sets, file=stored, text=stored.read_text(encoding="utf-8"), folder=Path(where["folder"])
        ), Run(path)
    if not path.exists() and not path.suffix and (Path(runs) / path / "recipe.toml").is_file():
        return target(Path(runs) / path, runs, sets)
    made = recipe.read(path, sets)
    return made, Run(Path(runs) / made.name)


def advance(
    given: str | Path | Mapping[str, Any] | Recipe,
    upto: str,
    *,
    sets: Sequence[str] = (),
    runs: str | Path = "runs",
    again: bool = False,
    say: Say | None = None,
    engine: Engine | None = None,
) -> tuple[Recipe, Run]:
    """Bring a run up to a stage: what comes before it is made when it is not fresh. `again` redoes that stage, or,
    for the whole chain, everything.

    Raises what the stages raise.
    """
    made, run = target(given, runs, sets)
    say, engine = say or Say(), engine or Local()
    for note in made.notes:
        say.note(note)
    with run.locked():
        run.keep_recipe(made.to_toml())
        files.write_text(run.path("origin.json"), json.dumps({"folder": str(made.folder)}) + "\n")
        prepare(made, run, engine, say, again=again and upto in ("prepare", "run"))
        if upto == "prepare":
            return made, run
        train(made, run, say, again=again and upto in ("train", "run"))
        if upto == "train":
            return made, run
        evaluate(made, run, engine, say)
        write_report(made, run)
    return made, run


def run(
    given: str | Path | Mapping[str, Any] | Recipe,
    *,
    sets: Sequence[str] = (),
    runs: str | Path = "runs",
    again: bool = False,
    say: Say | None = None,
) -> Outcome:
    """prepare → train → evaluate → report, and the verdict."""
    _, where = advance(given, "run", sets=sets, runs=runs, again=again, say=say)
    return outcome(where)


def outcome(run: Run) -> Outcome:
    """The verdict of an evaluated run."""
    if not run.path("verdict.json").is_file():
        raise InputError(f"{run.folder} was not evaluated; run: isogloss evaluate {run.folder}")
    verdict = files.read_json(run.path("verdict.json"))
    return Outcome(run.folder, verdict["outcome"], tuple(refusals(verdict)))
