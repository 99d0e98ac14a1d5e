"""ls: the parts a recipe can name, the runs, the languages, the shelf."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from isogloss.core import files, parts
from isogloss.core import lang as lang_table
from isogloss.core.errors import InputError, PlaceError, nearest
from isogloss.core.run import Run
from isogloss.core.shelf import Shelf

WHAT = ("all", "parts", "runs", "langs", "shelf")


def listing(what: str, runs: Path, shelf: Path) -> dict[str, list[dict[str, Any]]]:
    """Rows to show by title. Raises InputError when `what` is not one of WHAT."""
    if what not in WHAT:
        raise InputError(f"ls lists {', '.join(WHAT[1:])}; got '{what}'{nearest(what, WHAT)}")
    found: dict[str, list[dict[str, Any]]] = {}
    if what in ("all", "parts"):
        for kind in parts.KINDS:
            found[kind] = [{"name": name, "summary": parts.load(kind, name).summary} for name in parts.names(kind)]
    if what in ("all", "runs"):
        found["runs"] = [row for folder in sorted(runs.glob("*")) if (row := _run(folder))]
    if what == "langs":
        found["langs"] = [
            {"tag": tag, "name": row.name, "family": row.family, "resource": row.resource, "direction": row.direction}
            for tag, row in lang_table.table().items()
        ]
    if what == "shelf":
        found["shelf"] = [row for folder in sorted(shelf.glob("*")) if folder.is_dir() for row in _shelf(folder)]
    return found


def _run(folder: Path) -> dict[str, Any] | None:
    run = Run(folder)
    if not (folder / "recipe.toml").is_file():
        return None
    try:
        done = [stage for stage in ("prepare", "train", "evaluate") if run.stamped(stage)]
        verdict = files.read_json(folder / "verdict.json")["outcome"] if "evaluate" in done else ""
    except PlaceError as error:
        return {"run": folder.name, "done": "damaged", "verdict": str(error)}
    return {"run": folder.name, "done": ", ".join(done) or "nothing yet", "verdict": verdict}


def _shelf(folder: Path) -> list[dict[str, Any]]:
    shelf = Shelf(folder)
    pointing: dict[str, list[str]] = {}
    for alias, version in shelf.aliases.items():
        pointing.setdefault(version, []).append(alias)
    return [
        {"name": folder.name, "version": version, "aliases": ", ".join(pointing.get(version, []))}
        for version in shelf.versions
    ]
