"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Target = Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe file (.toml), or the folder of a run.")]
RunFolder = Annotated[
    str, typer.Argument(metavar="RUN", help="The folder of a run (runs/NAME), its name, or its recipe.")
]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the recipe; may be repeated.")
]
Runs = Annotated[Path, typer.Option("--runs", metavar="DIR", help="Where runs lie.")]
Shelves = Annotated[Path, typer.Option("--shelf", metavar="DIR", help="Where the shelf lies.")]
Again = Annotated[bool, typer.Option("--again", help="Replace finished work that was made from something else.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Alias = Annotated[str, typer.Option("--alias", help="The alias to move.")]
Encoder = Annotated[
    str, typer.Option("--model", metavar="NAME", help="isogloss/mini, a folder, a run or shelf, or a hub name.")
]
Revision = Annotated[str | None, typer.Option("--revision", metavar="REV", help="Revision of a hub name.")]
TextColumn = Annotated[str, typer.Option("--text", metavar="COLUMN", help="The column with the text.")]
Prompt = Annotated[
    str | None,
    typer.Option("--prompt", metavar="TEXT", help="Stands before every text; or the name of a prompt of the model."),
]


def model_place(run: str, runs: Path) -> Path:
    """A path as it is given, else the run of that name."""
    return Path(run) if Path(run).exists() or not (runs / run).is_dir() else runs / run


def encoder(name: str, runs: Path) -> str:
    """A name as it is given, else the run of that name."""
    return str(runs / name) if not Path(name).exists() and (runs / name).is_dir() else name
