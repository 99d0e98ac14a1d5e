"""What reads text: an identifier of languages of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isogloss.cli.app import app
from isogloss.cli.options import AsJson
from isogloss.cli.screen import Screen, columns, put, put_json, screen_width


@app.command("train-langid")
def train_langid(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="Texts with their languages: a file, a folder, or a pattern in quotes."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder of the identifier.")],
    text: Annotated[str, typer.Option("--text", metavar="COLUMN", help="The column with the text.")] = "text",
    lang: Annotated[str | None, typer.Option("--lang", metavar="TAG", help="Language of rows that name none.")] = None,
    base: Annotated[
        Path | None, typer.Option("--base", metavar="DIR", help="Add to this identifier; default: the packaged one.")
    ] = None,
    alone: Annotated[bool, typer.Option("--alone", help="Learn every language of FILE, and know no others.")] = False,
    as_json: AsJson = False,
) -> None:
    """Teach the step langid languages from your text."""
    import textwrap

    from isogloss.core.errors import InputError
    from isogloss.stages import train_langid as stage

    if alone and base is not None:
        raise InputError("--alone and --base exclude each other: one adds to nothing, the other to DIR")
    screen = Screen()
    made = stage.train_langid(file, out, lang=lang, text=text, base=base, alone=alone, say=screen)
    if as_json:
        put_json(made.document())
        return
    for note in made.notes:
        screen.note(note)
    rows = stage.table(made)
    for line in columns(rows[: stage.MOST_SHOWN + 1], screen_width()):
        put(line)
    if len(rows) > stage.MOST_SHOWN + 1:
        put(
            f"... and {len(rows) - stage.MOST_SHOWN - 1} more languages, all of them told better; {out}/README.md has them"
        )
    put()
    for line in textwrap.wrap(stage.LEGEND, screen_width()):
        put(line)
    put(f'\nwrote {out}; use it: steps = [{{use = "langid", model = "{out}"}}]')
