"""Before anything is trained: the plan, and the models it may recommend."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isogloss.cli.app import app
from isogloss.cli.options import AsJson, Runs
from isogloss.cli.screen import Screen, columns, put, put_json, screen_width

Langs = Annotated[str | None, typer.Option("--langs", metavar="CODES", help="The languages, with commas between.")]


@app.command()
def plan(
    recipe: Annotated[
        str | None,
        typer.Argument(metavar="[RECIPE]", help="A recipe, whole or in part; or none, and --task and --langs."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task", help="classify, sentiment, intent, route, nli, ner, tag, qa, embed, translate, generate."
        ),
    ] = None,
    langs: Langs = None,
    machine: Annotated[
        str | None,
        typer.Option(
            "--machine", metavar="WORDS", help="1x24GB, 8x80GB h100, laptop, cpu 16GB 4 cores; default: this one."
        ),
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="WORDS", help='What may be spent: "8h, 600 labels, 50 EUR".')
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option("--price", metavar="WORDS", help="1.2 EUR/h, 0.3 EUR/kWh, 0.2 EUR/label; may be repeated."),
    ] = None,
    domain: Annotated[str, typer.Option("--domain", help="legal, finance or medical.")] = "",
    licence: Annotated[
        str, typer.Option("--licence", help="commercial: models that may be used so; any.")
    ] = "commercial",
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="Take this one: of the catalogue, or a folder.")
    ] = None,
    width: Annotated[
        float, typer.Option("--width", metavar="X", help="Half of the interval that test rows should give.")
    ] = 0.07,
    latency: Annotated[
        float | None, typer.Option("--latency", metavar="MS", help="Milliseconds that a text may take.")
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option("--tokens", metavar="N", help="Tokens of a text at the median, where there are no texts."),
    ] = None,
    labels: Annotated[
        int | None, typer.Option("--labels", metavar="N", help="Labels to tell apart, where there is no data.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Name of the plan and its recipe.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where to write; default: plans/NAME; '-' writes nothing."),
    ] = None,
    runs: Runs = Path("runs"),
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Measure this machine first, about ten seconds. Loads torch.")
    ] = False,
    probe: Annotated[
        bool, typer.Option("--probe", help="Train the model for some steps, where it is on this disk. Loads torch.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What decides a project, before anything is trained."""
    import shlex
    import sys

    from isogloss.stages import plan as stage
    from isogloss.stages.sources import codes

    screen = Screen()
    made = stage.plan(
        recipe, out=out, runs=runs, calibrate=calibrate, probe=probe, command=" ".join(["isogloss", *map(shlex.quote, sys.argv[1:])]),
        say=screen, task_name=task, langs=codes(langs, "langs"), machine=machine, budget_text=budget, price=price or (),
        domain_name=domain, licence=licence, model=model, name=name, width=width, latency=latency, tokens=tokens, n_labels=labels,
    )  # fmt: skip
    if as_json:
        put_json(made.document())
        return
    for line in stage.lines(made, screen_width()):
        put(line)
    if made.folder is not None:
        put(f"\nwrote {made.folder / 'PLAN.md'}, plan.json and {made.asked.name}.toml")


@app.command()
def models(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="A model, or a folder with a config.json; default: all of them."),
    ] = None,
    langs: Langs = None,
    task: Annotated[str | None, typer.Option("--task", help="Only those that can do this.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="encoder, decoder, encoder-decoder or hosted.")] = None,
    licence: Annotated[str, typer.Option("--licence", help="commercial: only those that may be used so.")] = "any",
    machine: Annotated[
        str, typer.Option("--machine", metavar="WORDS", help="Memory is said for a device of this one.")
    ] = "1x24GB",
    as_json: AsJson = False,
) -> None:
    """Base models: languages, licence, memory by method."""
    from isogloss.core.errors import InputError
    from isogloss.stages import catalogue as stage
    from isogloss.stages.sources import codes

    asked = codes(langs, "langs") or []
    if name is not None:
        if asked or task or kind:
            raise InputError(f"{name} is one model; leave --langs, --task and --kind out")
        row = stage.one(name, machine)
        if as_json:
            put_json(row.document())
            return
        for line in stage.details(row, screen_width()):
            put(line)
        return
    found = stage.rows(asked, task_name=task, licence=licence, kind=kind, machine=machine)
    if as_json:
        put_json(stage.document(found, asked, machine))
        return
    for line in columns(stage.table(found, len(asked)), screen_width()):
        put(line)
    put()
    for line in stage.legend(screen_width(), machine):
        put(line)
