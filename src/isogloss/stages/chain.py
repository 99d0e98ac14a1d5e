"""run: the chain from raw data to the verdict. Each stage returns at once when it is fresh."""

from __future__ import annotations

import contextlib
import json
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isogloss.core import files, recipe
from isogloss.core.engine import Engine, Local
from isogloss.core.errors import DamagedError, InputError, PlaceError, StaleError
from isogloss.core.recipe import Recipe
from isogloss.core.run import Run
from isogloss.core.say import Say
from isogloss.stages.promote import refusals

if TYPE_CHECKING:
    import polars as pl

    from isogloss.stages.preparing.sample import Looked

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
    if path.name == "recipe.toml" and path.with_name("origin.json").is_file():
        path = path.parent  # the copy in a run: its paths begin where the recipe lay
    if path.is_dir():
        stored = path / "recipe.toml"
        if not stored.is_file() or not (path / "origin.json").is_file():
            where = Path(runs) / "NAME"
            raise PlaceError(
                f"{path} is no run (no recipe.toml with origin.json); give a recipe file, or a run: {where}"
            )
        lost = f"give the recipe file instead of {path}"
        folder = files.read_own(path / "origin.json", lambda p: Path(json.loads(p.read_text("utf-8"))["folder"]), lost)
        text = files.read_own(stored, lambda p: p.read_text(encoding="utf-8"), lost)
        value = files.read_own(stored, lambda p: tomllib.loads(text), lost)
        return recipe.build(value, sets=sets, file=stored, text=text, folder=folder), Run(path)
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
    for the whole chain, everything; killed in between, the same command goes on from there.

    Raises what the stages raise.
    """
    made, run = target(given, runs, sets)
    # Only now: a recipe that is wrong is refused before anything heavy is imported.
    from isogloss.nn import launched
    from isogloss.stages.audit_run import audit_run
    from isogloss.stages.evaluate import evaluate
    from isogloss.stages.prepare import prepare
    from isogloss.stages.report import write_report
    from isogloss.stages.train import follow, train

    if launched.rank() > 0:  # torchrun, accelerate launch: the first process does everything but its part of training
        if upto != "prepare":
            follow(made, run)
        raise SystemExit(0)
    say, engine = say or Say(), engine or Local()
    for note in made.notes:
        say.note(note)
    with run.locked():
        _keep_recipe(made, run, anew=False)
        with _redoing(run, STAGES if upto == "run" else (upto,), made, again) as redo:
            prepare(made, run, engine, say, again=redo("prepare"))
            if upto != "prepare":
                anew = redo("train")
                audit_run(made, run, say, again=anew)
                train(made, run, say, again=anew)
            _keep_recipe(made, run, anew=True)
            if upto in ("evaluate", "run"):
                evaluate(made, run, engine, say, again=redo("evaluate"))
                write_report(made, run)
    return made, run


def look(
    given: str | Path | Mapping[str, Any] | Recipe,
    n: int,
    *,
    sets: Sequence[str] = (),
    runs: str | Path = "runs",
    say: Say | None = None,
    engine: Engine | None = None,
) -> Looked:
    """What the steps of a recipe do to `n` rows of its data; no run is made or touched. Raises what prepare raises."""
    made, _ = target(given, runs, sets)
    from isogloss.stages import prepare

    say = say or Say()
    for note in made.notes:
        say.note(note)
    return prepare.look(made, n, engine or Local(), say)


def _keep_recipe(made: Recipe, run: Run, *, anew: bool) -> None:
    """Store the recipe in the run; it replaces another only when the run's work was made from it."""
    if anew or not run.path("origin.json").is_file():
        files.write_text(run.path("recipe.toml"), made.to_toml())
        files.write_json(run.path("origin.json"), {"folder": str(made.folder)})


@contextlib.contextmanager
def _redoing(run: Run, stages: Sequence[str], made: Recipe, again: bool) -> Iterator[Callable[[str], bool]]:
    """Say of each stage whether it must begin anew. What an earlier, killed sitting of the same command began stays."""
    marker = run.path("again.json")
    asked = [list(stages), files.digest_of(made.to_toml())]
    begun: list[str] = []
    if again and marker.is_file():
        with contextlib.suppress(DamagedError, KeyError, TypeError):
            before = files.read_json(marker)
            begun = list(before["begun"]) if before["asked"] == asked else []

    def redo(stage: str) -> bool:
        if not again or stage not in stages or stage in begun:
            return False
        run.unstamp(stage)
        run.forget_cost(stage)
        begun.append(stage)
        files.write_json(marker, {"asked": asked, "begun": begun})
        return True

    try:
        yield redo
    except (StaleError, DamagedError):
        files.remove(marker)  # going on from there does not help
        raise
    files.remove(marker)


def run(
    given: str | Path | Mapping[str, Any] | Recipe,
    *,
    sets: Sequence[str] = (),
    runs: str | Path = "runs",
    again: bool = False,
    say: Say | None = None,
) -> Outcome:
    """prepare → audit → train → evaluate → report, and the verdict."""
    _, where = advance(given, "run", sets=sets, runs=runs, again=again, say=say)
    return outcome(where)


def outcome(run: Run) -> Outcome:
    """The verdict of an evaluated run."""
    if not run.path("verdict.json").is_file():
        raise InputError(f"{run.folder} was not evaluated; run: isogloss evaluate {run.folder}")
    verdict = files.read_json(run.path("verdict.json"))
    return Outcome(run.folder, verdict["outcome"], tuple(refusals(verdict)))
