"""promote and rollback: put a version on the shelf and move an alias, when every gate holds; move it back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from isogloss.core import files
from isogloss.core.errors import InputError, Refused, nearest
from isogloss.core.recipe import Recipe
from isogloss.core.run import Run
from isogloss.core.say import Say
from isogloss.core.shelf import Shelf


def promote(recipe: Recipe, run: Run, shelves: Path, say: Say, *, alias: str = "production") -> dict[str, Any]:
    """Put the run's model on the shelf and point `alias` at it.

    Raises Refused, with the reasons by language, unless the run has a gate at promote and all of it holds; PlaceError
    when the run was not evaluated, or was trained again since.
    """
    stamp = run.require("evaluate")
    if stamp["reads"]["model"] != run.key("train"):
        raise Refused(
            f"{run.folder} was trained again after it was evaluated; evaluate it first: isogloss evaluate {run.folder}"
        )
    wanted = recipe.sections("langs", "evaluate", "gate", "seed")
    if any(stamp["reads"][name] != value for name, value in wanted.items()):
        raise Refused(
            f"the gates or the evaluation in the recipe changed since {run.folder} was evaluated; run: isogloss evaluate"
        )
    verdict = files.read_json(run.path("verdict.json"))
    if verdict["outcome"] == "no gate":
        raise Refused(
            'the recipe has no gate at promote, so nothing says when the model is good enough; add a [[gate]] with at = "promote"'
        )
    against = refusals(verdict)
    if against:
        raise Refused(f"{run.name} is not promoted: " + "; ".join(against))
    shelf = Shelf(shelves / recipe.name)
    contents = {
        name: run.path(name)
        for name in ("model", "recipe.toml", "scores.parquet", "REPORT.md", "report.html")
        if run.path(name).exists()
    }
    with shelf.locked():
        version = shelf.add(
            contents,
            {"key": files.digest_of([run.key("train"), run.key("evaluate")]), "run": run.name, "verdict": verdict},
        )
        before = shelf.aliases.get(alias)
        if before != version:
            shelf.point(alias, version, f"promoted from run {run.name}")
    moved = f"{before} → {version}" if before and before != version else version
    say.line(f"promote   {recipe.name}: {alias} = {moved}")
    return {
        "name": recipe.name,
        "alias": alias,
        "version": version,
        "before": before,
        "path": str(shelf.folder / "versions" / version),
    }


def refusals(verdict: dict[str, Any]) -> list[str]:
    """The sentences of what does not hold."""
    return [reason["text"] for g in verdict["gates"] for reason in g["reasons"] if reason["outcome"] != "holds"]


def rollback(
    name: str, shelves: Path, say: Say, *, alias: str = "production", to: str | None = None, why: str = "rolled back"
) -> dict[str, Any]:
    """Point `alias` at the version before its present one, or at `to`.

    Raises InputError when there is no such shelf, alias or version.
    """
    folder = shelves / name
    if not folder.is_dir():
        known = [p.name for p in shelves.iterdir() if p.is_dir()] if shelves.is_dir() else []
        raise InputError(f"there is nothing called '{name}' on the shelf {shelves}{nearest(name, known)}")
    shelf = Shelf(folder)
    with shelf.locked():
        target = shelf.path(to).name if to else shelf.before(alias)
        before = shelf.aliases.get(alias)
        shelf.point(alias, target, why, back=True)
    say.line(f"rollback  {name}: {alias} = {before} → {target}")
    return {"name": name, "alias": alias, "version": target, "before": before}
