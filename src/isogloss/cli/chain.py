"""The chain from data to a verdict, and what compares runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from isogloss.cli.app import app
from isogloss.cli.options import Again, AsJson, RunFolder, Runs, Sets, Target
from isogloss.cli.screen import Screen, columns, put, put_json, screen_width


@app.command()
def run(
    recipe: Target, sets: Sets = None, runs: Runs = Path("runs"), again: Again = False, as_json: AsJson = False
) -> None:
    """Prepare, train, evaluate, report, and the verdict."""
    _advance(recipe, "run", sets, runs, again, as_json)


@app.command()
def prepare(
    recipe: Target,
    sets: Sets = None,
    runs: Runs = Path("runs"),
    sample: Annotated[
        int | None,
        typer.Option("--sample", metavar="N", min=1, help="Show what the steps do to N rows, and write nothing."),
    ] = None,
    again: Again = False,
    as_json: AsJson = False,
) -> None:
    """Raw files to a clean corpus by language."""
    if sample is None:
        _advance(recipe, "prepare", sets, runs, again, as_json)
        return
    from isogloss.stages import chain
    from isogloss.stages.preparing.sample import screen

    found = chain.look(recipe, sample, sets=sets or (), runs=runs, say=Screen())
    if as_json:
        put_json(found.document())
        return
    for line in screen(found, screen_width()):
        put(line)


@app.command()
def train(
    recipe: Target, sets: Sets = None, runs: Runs = Path("runs"), again: Again = False, as_json: AsJson = False
) -> None:
    """Train the model, after prepare."""
    _advance(recipe, "train", sets, runs, again, as_json)


@app.command()
def evaluate(
    recipe: Target, sets: Sets = None, runs: Runs = Path("runs"), again: Again = False, as_json: AsJson = False
) -> None:
    """Score the model and its baselines by language."""
    _advance(recipe, "evaluate", sets, runs, again, as_json)


def _advance(recipe: str, upto: str, sets: list[str] | None, runs: Path, again: bool, as_json: bool) -> None:
    from isogloss.stages import chain

    made, where = chain.advance(recipe, upto, sets=sets or (), runs=runs, again=again, say=Screen())
    if upto in ("prepare", "train"):
        stamp = where.require(upto)
        if as_json:
            put_json({"run": str(where.folder), "stage": upto, **stamp["facts"]})
        return
    from isogloss.stages import report

    summary = report.summary(made, where)
    if as_json:
        put_json(summary)
    else:
        _show(summary)
    if upto == "run" and summary["verdict"] in ("refused", "cannot tell"):
        raise typer.Exit(1)


def _show(summary: dict[str, Any]) -> None:
    """The table by language, worst first (one for each task, where there are several), the verdict, and where the report is."""
    for part in summary.get("tasks", [summary]):
        _show_languages(part, summary)
    words = {
        "holds": "verdict: every gate holds; promote it with: isogloss promote " + summary["run"],
        "refused": "verdict: refused",
        "cannot tell": "verdict: cannot tell, so not promoted",
        "no gate": "verdict: none, the recipe has no gate at promote",
    }
    put(f"\n{words[summary['verdict']]}")
    for reason in summary["reasons"][:8]:
        put(f"  - {reason}")
    if len(summary["reasons"]) > 8:
        put(f"  - and {len(summary['reasons']) - 8} more, in the report")
    put(f"\nreport: {summary['report']}")


def _show_languages(part: dict[str, Any], summary: dict[str, Any]) -> None:
    """The scores of one metric."""
    langs, others = part["langs"], [name for name in summary["systems"] if name != "model"]
    if part is not summary:
        langs = [row for row in langs if (row["model"] or {}).get("n")]
    shown = langs if len(langs) <= 30 else langs[:20]

    def value(cell: dict[str, Any] | None) -> str:
        return "–" if cell is None or cell["value"] is None else f"{cell['value']:.2f}"

    def interval(cell: dict[str, Any] | None) -> str:
        return "" if cell is None or cell["low"] is None else f"[{cell['low']:.2f}, {cell['high']:.2f}]"

    header = ["language", "n", "model", "interval", *others]
    rows = [
        [
            f"{row['lang']} {row['name']}",
            str((row["model"] or {}).get("n", 0)),
            value(row["model"]),
            interval(row["model"]),
            *(value(row[name]) for name in others),
        ]
        for row in shown
    ]
    mean = part["all"]["mean"]
    foot = [
        "mean over languages",
        "",
        value(mean.get("model")),
        interval(mean.get("model")),
        *(value(mean.get(name)) for name in others),
    ]
    among = f" among {summary['among']}" if "among" in summary else ""
    put(f"\n{part['metric']} on test{among}, worst language first\n")
    for line in columns([header, *rows, foot], screen_width()):
        put(line)
    if summary.get("unscored"):
        put(f"({summary['unscored']:,} rows say what no other language has, and are not scored)")
    if len(shown) < len(langs):
        put(f"... and {len(langs) - len(shown)} more languages, all of them better, in the report")


@app.command()
def report(
    run: RunFolder,
    other: Annotated[str | None, typer.Argument(metavar="[RUN]", help="A second run, to set beside the first.")] = None,
    runs: Runs = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Write the report again; with two runs, one page for both."""
    from isogloss.stages import chain, report

    made, where = chain.target(run, runs)
    if other is not None:
        from isogloss.stages import compare
        from isogloss.stages.pages import page

        second = chain.target(other, runs)
        with where.locked():
            path = page.write_pair((made, where), second)
        found = compare.compare([(made, where), second])
        if as_json:
            put_json({"report": str(path), **found})
        else:
            _show_comparison(found)
            put(f"report: {path}")
        return
    with where.locked():
        report.write_report(made, where)
    summary = report.summary(made, where)
    put_json(summary) if as_json else _show(summary)


@app.command()
def compare(
    given: Annotated[
        list[str], typer.Argument(metavar="RUN RUN ...", help="Two runs or more; the first is the reference.")
    ],
    metric: Annotated[
        str | None, typer.Option("--metric", help="Another metric than the first run's headline.")
    ] = None,
    runs: Runs = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Gains and losses by language against the first run."""
    from isogloss.stages import chain
    from isogloss.stages import compare as stage

    found = stage.compare([chain.target(name, runs) for name in given], metric=metric)
    put_json(found) if as_json else _show_comparison(found)


def _show_comparison(found: dict[str, Any]) -> None:
    from isogloss.stages import compare as stage

    for item in stage.screen(found):
        if isinstance(item, str):
            put(item)
            continue
        for line in columns(item, screen_width() - 2):
            put("  " + line)
        put()


@app.command("few-shot")
def few_shot(
    recipe: Target,
    shots: Annotated[
        str, typer.Option("--shots", metavar="N,N,...", help="Rows of each target language; 0 is zero-shot, or 'all'.")
    ] = "0,10,50,all",
    draws: Annotated[int, typer.Option("--draws", metavar="D", help="Draws of each number of rows.")] = 3,
    sets: Sets = None,
    runs: Runs = Path("runs"),
    again: Again = False,
    as_json: AsJson = False,
) -> None:
    """Run a recipe with few rows of the target languages: a curve by language."""
    import textwrap

    from isogloss.stages import few_shot as stage

    found = stage.few_shot(recipe, shots=shots, draws=draws, sets=sets or (), runs=runs, again=again, say=Screen())
    if as_json:
        put_json(found)
        return
    put(f"\n{found['metric']} on test by target rows, worst language first\n")
    for line in columns(stage.screen(found), screen_width()):
        put(line)
    put()
    for line in textwrap.wrap(" ".join(stage.legend(found)), screen_width()):
        put(line)
    put(f"\nreport: {Path(found['folder']) / 'few-shot.md'}, with curves: few-shot.html")


@app.command("compare-sources")
def compare_sources(
    recipe: Target,
    sources: Annotated[
        str, typer.Option("--sources", metavar="CODES", help="Languages to train from, with commas between.")
    ],
    shots: Annotated[int, typer.Option("--shots", metavar="N", help="Rows of each target language.")] = 500,
    draws: Annotated[int, typer.Option("--draws", metavar="D", help="Draws of these rows.")] = 5,
    targets: Annotated[
        str | None,
        typer.Option("--targets", metavar="CODES", help="Languages to serve; default: all others of the recipe."),
    ] = None,
    sets: Sets = None,
    runs: Runs = Path("runs"),
    again: Again = False,
    as_json: AsJson = False,
) -> None:
    """Run a recipe from each source language, with and without the same target rows."""
    import textwrap

    from isogloss.stages import compare_sources as stage
    from isogloss.stages.sources import codes

    found = stage.compare_sources(
        recipe,
        codes(sources, "sources") or [],
        targets=codes(targets, "targets"),
        shots=shots,
        draws=draws,
        sets=sets or (),
        runs=runs,
        again=again,
        say=Screen(),
    )
    if as_json:
        put_json(found)
        return
    for level, head in stage.heads(found).items():
        put(f"\n{found['metric']} on test, {head}, worst target language first\n")
        for line in columns(stage.screen(found, level), screen_width()):
            put(line)
        put()
        for line in stage.verdicts(found, level):
            put("\n".join(textwrap.wrap(line, screen_width(), subsequent_indent="  ")))
    put()
    for line in textwrap.wrap(" ".join(stage.legend(found)), screen_width()):
        put(line)
    put(f"\nreport: {Path(found['folder']) / 'sources.md'}")


@app.command("compare-mixes")
def compare_mixes(
    recipe: Target,
    mixes: Annotated[
        str,
        typer.Option(
            "--mixes",
            metavar="MIXES",
            help="Two or more, with commas between, knobs behind colons; the first is what others are compared with: "
            "temperature:tau=0.3,unimax:epochs=4",
        ),
    ],
    seeds: Annotated[int, typer.Option("--seeds", metavar="K", help="Trainings of each mix.")] = 3,
    sets: Sets = None,
    runs: Runs = Path("runs"),
    again: Again = False,
    as_json: AsJson = False,
) -> None:
    """Run a recipe with each of several mixes, and show what each does to every language."""
    import textwrap

    from isogloss.stages import compare_mixes as stage

    found = stage.compare_mixes(recipe, mixes, seeds=seeds, sets=sets or (), runs=runs, again=again, say=Screen())
    if as_json:
        put_json(found)
        return
    put(f"\n{found['metric']} on test, the worst language of {found['first']} first\n")
    for line in columns(stage.screen(found), screen_width()):
        put(line)
    put()
    for line in stage.verdicts(found):
        put("\n".join(textwrap.wrap(line, screen_width(), subsequent_indent="  ")))
    put()
    for line in textwrap.wrap(" ".join(stage.legend(found)), screen_width()):
        put(line)
    put(f"\nreport: {Path(found['folder']) / 'mixes.md'}")
