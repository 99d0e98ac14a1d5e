"""What is known of languages, and which to train from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isogloss.cli.app import app
from isogloss.cli.options import AsJson, Runs
from isogloss.cli.screen import Screen, columns, put, put_json, screen_width


@app.command()
def languages(
    tag: Annotated[
        str | None,
        typer.Argument(metavar="[TAG]", help="A language: a tag, a code, or a name; default: the whole table."),
    ] = None,
    near: Annotated[
        int | None, typer.Option("--near", metavar="N", min=0, help="How many neighbours to show; default: 10.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="KIND", help="A distance, e.g. qwals or genetic; default: all of them."),
    ] = None,
    family: Annotated[str | None, typer.Option("--family", help="Only this family or genus.")] = None,
    script: Annotated[str | None, typer.Option("--script", help="Only this script, e.g. Ethi.")] = None,
    resource: Annotated[
        str | None, typer.Option("--resource", metavar="CLASS", help="Only this resource class, 0 to 5.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What is known of a language, and which lie near it."""
    import textwrap

    from isogloss.core.errors import InputError
    from isogloss.stages import languages as stage

    among = stage.rows(family=family, script=script, resource=resource)
    if tag is None:
        if near is not None or by is not None:
            raise InputError("--near and --by need a language, e.g. isogloss languages amh_Ethi --near 5")
        if as_json:
            put_json({"languages": [stage.row_document(row) for row in among]})
            return
        for line in columns(stage.table_lines(among), screen_width()):
            put(line)
        return
    found = stage.languages(
        tag, near=10 if near is None else near, by=stage.ALL if by is None else by, among=among, say=Screen()
    )
    if as_json:
        put_json(found.document())
        return
    for line in stage.lines(found, screen_width()):
        put(line)
    if found.why_none:
        for line in ("", *textwrap.wrap(f"no neighbours: {found.why_none}", screen_width())):
            put(line)
    elif found.near:
        head, rows = stage.near_head(found, screen_width()), columns(stage.near_rows(found), screen_width())
        reasons = [line for each in found.near for line in stage.reasons_lines(each, screen_width())]
        for line in ("", *head, "", *rows, "", *reasons):
            put(line)


@app.command(name="sources")
def which_source(
    targets: Annotated[
        str, typer.Option("--targets", metavar="CODES", help="Languages to serve, with commas between.")
    ],
    task: Annotated[
        str, typer.Option("--task", help="classify, sentiment, intent, tag, ner, nli, qa, parse, ...")
    ] = "classify",
    candidates: Annotated[
        str | None,
        typer.Option(
            "--candidates", metavar="CODES", help="Languages to train from; default: resource classes 3 to 5."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="RECIPE|FILE", help="Texts with their languages; their words and sizes count too."
        ),
    ] = None,
    family: Annotated[
        str | None,
        typer.Option(
            "--family", help="What will be trained: ngram, encoder, static; default: the recipe's, or not known."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="NAME", help="The model to be tuned: isogloss/mini, a folder or a hub name; loads torch."
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            "--text", metavar="FILE", help="For --model: 25 or more sentences a language, columns text and lang."
        ),
    ] = None,
    scores: Annotated[
        str | None,
        typer.Option(
            "--scores",
            metavar="FILE",
            help="Your own scores on other targets (columns source, target, score, or a sources.json); it learns from them.",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget",
            metavar="SECONDS",
            help="Train the best candidates for a short while, on labelled rows of --data; e.g. 600 or 10m.",
        ),
    ] = None,
    runs: Runs = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Which language to train from: sources ranked for each target."""
    from isogloss.stages import sources as stage

    found = stage.answer(
        task,
        stage.codes(targets, "targets") or [],
        stage.codes(candidates, "candidates"),
        data=data,
        family=family,
        model=model,
        text=text,
        scores=scores,
        budget=budget,
        runs=runs,
        say=Screen(),
    )
    if as_json:
        put_json(found.document())
        return
    for ranking in found.rankings:
        put("\n" + stage.head(ranking) + "\n")
        for line in columns(stage.rows(ranking), screen_width(), text_last=True):
            put(line)
        put()
        for line in stage.prose(ranking, found.sampled, screen_width()):
            put(line)
