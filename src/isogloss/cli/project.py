"""Your data, the recipe, this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isogloss.cli.app import app
from isogloss.cli.options import AsJson, Runs, Shelves
from isogloss.cli.screen import Screen, columns, put, put_json, screen_width


@app.command()
def ls(
    what: Annotated[
        str, typer.Argument(metavar="[parts|runs|langs|shelf]", help="What to list; default: parts and runs.")
    ] = "all",
    runs: Runs = Path("runs"),
    shelf: Shelves = Path("shelf"),
    as_json: AsJson = False,
) -> None:
    """List parts, runs, languages, the shelf."""
    from isogloss.stages import listing

    found = listing.listing(what, runs, shelf)
    if as_json:
        put_json(found)
        return
    for title, rows in found.items():
        put(f"{title}" if rows else f"{title}: none")
        for line in (
            columns([[str(v) for v in row.values()] for row in rows], screen_width() - 2, text_last=True)
            if rows
            else ()
        ):
            put("  " + line)


@app.command()
def init(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Your data: a file, a folder, or a pattern in quotes.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Where to write the recipe; default: NAME.toml here, '-' prints it."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a recipe that is there.")] = False,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the recipe and its run; default: the file's.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look at your data and write a commented recipe."""
    from isogloss.stages import init as stage

    screen = Screen()
    made = stage.init(file, out=out, force=force, name=name, say=screen)
    if as_json:
        put_json(made.document())
        return
    said = stage.lines(made, screen_width())
    if made.path is None:  # the recipe is the result, so what was seen goes to the other stream
        for line in said:
            screen.line(line)
        put(made.text.rstrip("\n"))
        return
    for line in said:
        put(line)
    put(f"\nwrote {made.path}; read it, then: isogloss run {made.path}")


@app.command(context_settings={"ignore_unknown_options": True})
def step(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A step, e.g. dedup; isogloss explain NAME lists its knobs.")
    ],
    rest: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE [--KNOB VALUE]...", help="A file, folder or pattern, and knobs; a list by repetition."
        ),
    ],
    text: Annotated[str, typer.Option("--text", metavar="COLUMN", help="The column with the text.")] = "text",
    lang: Annotated[str | None, typer.Option("--lang", metavar="TAG", help="Language of rows that name none.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write kept.parquet, dropped.parquet and counts.json here."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """One step alone on one file: kept, changed, dropped."""
    from isogloss.core import parts
    from isogloss.stages import step as stage
    from isogloss.stages.stepping import knobs
    from isogloss.stages.stepping import text as step_text

    files, given = knobs.split(parts.load("steps", name), rest)
    outcome = stage.step(name, knobs.one_file(files), given, text=text, lang=lang, out=out, say=Screen())
    if as_json:
        put_json(outcome.document())
        return
    for line in step_text.lines(outcome, screen_width()):
        put(line)


@app.command()
def explain(
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="[KEY]", help="A key (train.mix), a part (dedup) or a knob (dedup.threshold); default: all."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What a recipe key, part or knob means."""
    from isogloss.stages import explain as stage
    from isogloss.stages import reference

    if key is None:
        found = {"recipe": list(stage.tree()), "parts": list(stage.kinds())}
        shown = reference.tree_lines(screen_width())
    else:
        found = {"found": stage.explain(key)}
        shown = reference.lines(found["found"], screen_width())
    if as_json:
        put_json({title: [entry.document() for entry in entries] for title, entries in found.items()})
        return
    for line in shown:
        put(line)


@app.command()
def doctor(
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure speed, in about ten seconds, and keep it for estimates.")
    ] = False,
    hub: Annotated[
        bool, typer.Option("--hub", help="Ask whether the model hub can be reached (touches the network).")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """This machine: what will run here, and what not."""
    from isogloss.stages import doctor as stage

    found = stage.doctor(hub=hub, measure_now=measure, say=Screen())
    if as_json:
        put_json(found.document())
    else:
        for line in stage.lines(found, screen_width()):
            put(line)
    if not found.ok:
        raise typer.Exit(2)
