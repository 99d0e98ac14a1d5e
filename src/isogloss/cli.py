"""Words to stages, exit codes, and what is on screen.

Results go to standard output (with `--json`, one JSON document); what is going on goes to standard error.
Exit codes: 0 done, 1 a gate refused, 2 the recipe, the input or the place is wrong, 3 the budget ended before one
evaluated checkpoint, 4 a fault of ours, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from isogloss.core.errors import IsoglossError, PlaceError
from isogloss.core.say import Evaluated, Say

app = typer.Typer(
    name="isogloss",
    help="Fine-tune multilingual language models by language.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

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


class Screen(Say):
    """Draws on standard error: lines that stay, and on a terminal one line that moves."""

    def __init__(self) -> None:
        self.moving = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self.open = 0
        self.table: list[str] = []

    def line(self, text: str) -> None:
        self.close()
        print(_plain(text), file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        self.line(f"          note: {text}")

    def evaluated(self, row: Evaluated) -> None:
        """A row of the live table on a terminal, a line on a pipe."""
        if not self.moving:
            self.line(row.text())
            return
        names = [name for name, _ in row.columns]
        header = ["step", "loss", f"{row.metric} mean", "worst", *names, "seconds", "left", ""]
        cells = [f"{row.step}/{row.n_steps}", f"{row.loss:.3f}", _score(row.mean), _score(row.worst)]
        cells += [_score(value) + ("*" if name == row.lowest else "") for name, value in row.columns]
        cells += [f"{row.seconds:.0f}", "" if row.left is None else f"{row.left:.0f}", row.note]
        widths = [max(_cells(title), 7) for title in header]
        widths[0] = max(widths[0], 2 * len(str(row.n_steps)) + 1)
        shown = [i for i in range(len(header)) if sum(widths[: i + 1]) + 2 * i < _width() or i == len(header) - 1]
        if self.table != names:
            self.table = names
            self.line("  ".join(_pad(header[i], widths[i]) for i in shown).rstrip())
        self.line("  ".join(" " * max(0, widths[i] - _cells(cells[i])) + cells[i] for i in shown).rstrip())
        if row.lowest and row.lowest not in names:
            self.line(f"{'':>{widths[0]}}  lowest: {row.lowest} {_score(row.low)}")

    def progress(self, what: str, done: int, total: int | None = None, unit: str = "") -> None:
        if not self.moving:
            return
        width = _width() - 1
        count = f"{done:,}" if total is None else f"{done:,} of {total:,}"
        text = f"          {what}: {count} {unit}".rstrip()[:width]
        print("\r" + text.ljust(min(self.open, width)), end="", file=sys.stderr, flush=True)
        self.open = len(text)

    def close(self) -> None:
        if self.open:
            print("\r" + " " * min(self.open, _width() - 1) + "\r", end="", file=sys.stderr, flush=True)
            self.open = 0


def _width() -> int:
    import shutil

    return max(40, shutil.get_terminal_size((120, 24)).columns)


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _plain(text: str) -> str:
    """Text without what would steer a terminal: control characters and direction overrides of users' data are shown."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", lambda m: f"\\u{ord(m[0]):04x}", text)


def _print(text: str = "") -> None:
    print(_plain(text), flush=True)


def _json(value: Any) -> None:
    _print(json.dumps(value, ensure_ascii=False, indent=2, default=str))


# -- the chain --------------------------------------------------------------------------------------------------


@app.command()
def run(
    recipe: Target, sets: Sets = None, runs: Runs = Path("runs"), again: Again = False, as_json: AsJson = False
) -> None:
    """Prepare, train, evaluate, report, and the verdict."""
    _advance(recipe, "run", sets, runs, again, as_json)


@app.command()
def prepare(
    recipe: Target, sets: Sets = None, runs: Runs = Path("runs"), again: Again = False, as_json: AsJson = False
) -> None:
    """Raw files to a clean corpus by language."""
    _advance(recipe, "prepare", sets, runs, again, as_json)


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
            _json({"run": str(where.folder), "stage": upto, **stamp["facts"]})
        return
    from isogloss.stages import report

    summary = report.summary(made, where)
    if as_json:
        _json(summary)
    else:
        _show(summary)
    if upto == "run" and summary["verdict"] in ("refused", "cannot tell"):
        raise typer.Exit(1)


def _show(summary: dict[str, Any]) -> None:
    """The table by language, worst first, the verdict, and where the report is."""
    langs, systems = summary["langs"], summary["systems"]
    shown = langs if len(langs) <= 30 else langs[:20]
    others = [name for name in systems if name != "model"]

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
    mean = summary["all"]["mean"]
    foot = [
        "mean over languages",
        "",
        value(mean.get("model")),
        interval(mean.get("model")),
        *(value(mean.get(name)) for name in others),
    ]
    among = f" among {summary['among']}" if "among" in summary else ""
    _print(f"\n{summary['metric']} on test{among}, worst language first\n")
    for line in _columns([header, *rows, foot], _width()):
        _print(line)
    if summary.get("unscored"):
        _print(f"({summary['unscored']:,} rows say what no other language has, and are not scored)")
    if len(shown) < len(langs):
        _print(f"... and {len(langs) - len(shown)} more languages, all of them better, in the report")
    words = {
        "holds": "verdict: every gate holds; promote it with: isogloss promote " + summary["run"],
        "refused": "verdict: refused",
        "cannot tell": "verdict: cannot tell, so not promoted",
        "no gate": "verdict: none, the recipe has no gate at promote",
    }
    _print(f"\n{words[summary['verdict']]}")
    for reason in summary["reasons"][:8]:
        _print(f"  - {reason}")
    if len(summary["reasons"]) > 8:
        _print(f"  - and {len(summary['reasons']) - 8} more, in the report")
    _print(f"\nreport: {summary['report']}")


def _columns(rows: list[list[str]], width: int, *, text_last: bool = False) -> list[str]:
    """Rows as aligned text. Columns that do not fit are left out, from the right, and counted; with `text_last` the
    last column is prose and is shortened instead."""
    widths = [max(_cells(row[i]) for row in rows) for i in range(len(rows[0]))]
    if text_last:
        widths[-1] = min(widths[-1], max(20, width - sum(widths[:-1]) - 2 * (len(widths) - 1)))
        return ["  ".join(_pad(cell, w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    widths[0] = min(widths[0], max(16, width // 3))
    fit = 1
    while fit < len(widths) and sum(widths[: fit + 1]) + 2 * fit <= width:
        fit += 1
    lines = []
    for row in rows:
        right = [" " * (w - _cells(c)) + c for c, w in zip(row[1:fit], widths[1:fit], strict=True)]
        lines.append("  ".join([_pad(row[0], widths[0]), *right]).rstrip())
    left_out = len(widths) - fit
    if left_out:
        lines.append(f"({left_out} column{'s' * (left_out > 1)} left out at this width: {', '.join(rows[0][fit:])})")
    return lines


def _cells(text: str) -> int:
    """How many cells of a terminal a text takes."""
    import unicodedata

    return sum(
        0 if unicodedata.category(c) in ("Mn", "Me", "Cf") else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _pad(text: str, width: int) -> str:
    while _cells(text) > width:
        text = text.removesuffix("…")[:-1] + "…"
    return text + " " * (width - _cells(text))


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
            _json({"report": str(path), **found})
        else:
            _show_comparison(found)
            _print(f"report: {path}")
        return
    with where.locked():
        report.write_report(made, where)
    summary = report.summary(made, where)
    _json(summary) if as_json else _show(summary)


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
    _json(found) if as_json else _show_comparison(found)


def _show_comparison(found: dict[str, Any]) -> None:
    from isogloss.stages import compare as stage

    for item in stage.screen(found):
        if isinstance(item, str):
            _print(item)
            continue
        for line in _columns(item, _width() - 2):
            _print("  " + line)
        _print()


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
        _json(found)
        return
    _print(f"\n{found['metric']} on test by target rows, worst language first\n")
    for line in _columns(stage.screen(found), _width()):
        _print(line)
    _print()
    for line in textwrap.wrap(" ".join(stage.legend(found)), _width()):
        _print(line)
    _print(f"\nreport: {Path(found['folder']) / 'few-shot.md'}")


# -- models -----------------------------------------------------------------------------------------------------


def _model_place(run: str, runs: Path) -> Path:
    """A path as it is given, else the run of that name."""
    return Path(run) if Path(run).exists() or not (runs / run).is_dir() else runs / run


@app.command()
def predict(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, a shelf (shelf/NAME), or a model folder.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSONL, CSV, TSV, Parquet or text; one row a text.")],
    lang: Annotated[
        str | None, typer.Option("--lang", metavar="TAG", help="Language of rows that name none, or 'detect'.")
    ] = None,
    text: Annotated[str, typer.Option("--text", metavar="COLUMN", help="The column with the text.")] = "text",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write JSONL here, whole or not at all.")
    ] = None,
    runs: Runs = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Answer new texts, one JSON line each."""
    from isogloss.core import files
    from isogloss.core.corpus import Noted, Rejected
    from isogloss.stages import model
    from isogloss.stages.predict import predict_file

    where = _model_place(run, runs)
    loaded = model.load(where)
    screen = Screen()
    lines: list[str] = []
    documents: list[Any] = []
    n_rejected = 0
    for item in predict_file(loaded, file, lang=lang, text=text):
        if isinstance(item, Noted):
            screen.note(item.note)
            continue
        if isinstance(item, Rejected):
            n_rejected += 1
            if n_rejected <= 5:
                screen.note(f"{item.origin} is set aside: {item.reason}")
            documents.append({"id": item.origin, "error": item.reason})
            continue
        for row in item.iter_rows(named=True):
            probs = dict(zip(loaded.labels, (round(p, 4) for p in row["probs"]), strict=True))
            answer = {
                "id": row["id"],
                "lang": row["lang"],
                "label": row["pred"],
                "confidence": round(row["confidence"], 4),
                "probabilities": probs,
            }
            documents.append(answer)
            if not as_json:
                line = json.dumps(answer, ensure_ascii=False)
                lines.append(line) if out else _print(line)
    if n_rejected > 5:
        screen.note(f"{n_rejected:,} rows are set aside in all")
    if not documents:
        screen.note(f"{file} has no rows")
    if out:
        answers = [json.dumps(d, ensure_ascii=False) for d in documents if "error" not in d]
        files.write_text(out, "".join(line + "\n" for line in answers))
        screen.line(f"predict   {len(answers):,} answers in {out}, {n_rejected:,} rows set aside")
    if as_json:
        _json(documents)
    if n_rejected and not any("error" not in d for d in documents):
        raise typer.Exit(2)


Encoder = Annotated[
    str, typer.Option("--model", metavar="NAME", help="isogloss/mini, a folder, a run or shelf, or a hub name.")
]
Revision = Annotated[str | None, typer.Option("--revision", metavar="REV", help="Revision of a hub name.")]
TextColumn = Annotated[str, typer.Option("--text", metavar="COLUMN", help="The column with the text.")]
Prompt = Annotated[
    str | None,
    typer.Option("--prompt", metavar="TEXT", help="Stands before every text; or the name of a prompt of the model."),
]


@app.command()
def embed(
    given: Annotated[
        Path, typer.Option("--in", metavar="FILE", help="Text, JSONL, CSV, TSV or Parquet; - is standard input.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the vectors go, as .npy.")],
    model: Encoder = "isogloss/mini",
    revision: Revision = None,
    prompt: Prompt = None,
    text: TextColumn = "text",
    runs: Runs = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Texts of any language to unit vectors."""
    from isogloss.stages import embed as stage

    made = stage.embed_file(
        given, out, model=_encoder(model, runs), revision=revision, prompt=prompt, text=text, say=Screen()
    )
    if as_json:
        _json(made)
    else:
        _print(
            f"wrote {out}: {made['n']:,} unit vectors of {made['dimension']} dimensions "
            f"({made['model']}, {made['pooling']} pooling); what they are is in {stage.facts_path(out)}"
        )


@app.command()
def retrieve(
    docs: Annotated[Path, typer.Option("--docs", metavar="FILE", help="The documents, of any languages.")],
    queries: Annotated[
        Path | None,
        typer.Option("--queries", metavar="FILE", help="The queries; default: each document for the others."),
    ] = None,
    model: Encoder = "isogloss/mini",
    revision: Revision = None,
    top: Annotated[int, typer.Option("--top", metavar="K", help="Hits of a query.")] = 10,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the hits as JSONL, a query a line.")
    ] = None,
    doc_vectors: Annotated[
        Path | None, typer.Option("--doc-vectors", metavar="FILE", help="Vectors of the documents (.npy).")
    ] = None,
    query_vectors: Annotated[
        Path | None, typer.Option("--query-vectors", metavar="FILE", help="Vectors of the queries (.npy).")
    ] = None,
    doc_prompt: Annotated[
        str | None,
        typer.Option("--doc-prompt", metavar="TEXT", help="Before every document; default: the model's own."),
    ] = None,
    query_prompt: Annotated[
        str | None, typer.Option("--query-prompt", metavar="TEXT", help="Before every query; default: the model's own.")
    ] = None,
    text: TextColumn = "text",
    runs: Runs = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Search documents of all languages; recall by language pair."""
    from isogloss.stages import retrieve as stage
    from isogloss.stages.embed import apart

    if out:
        apart(out, docs, queries, doc_vectors, query_vectors)
    screen = Screen()
    found = stage.retrieve_files(
        docs, queries, model=_encoder(model, runs), revision=revision, top=top, text=text, doc_vectors=doc_vectors,
        query_vectors=query_vectors, doc_prompt=doc_prompt, query_prompt=query_prompt, say=screen,
    )  # fmt: skip
    document = found.document()
    if out:
        stage.write_hits(out, found)
        screen.line(f"retrieve  the hits of {found.queries.rows.height:,} queries in {out}")
    elif found.pairs is None:  # nothing is measured, so the hits are the result
        document["hits"] = found.hits()
    if as_json:
        _json(document)
    elif found.pairs is not None:
        for line in stage.lines(found, _columns, _width()):
            _print(line)
    else:
        for hit in document.get("hits", ()):
            _print(json.dumps(hit, ensure_ascii=False))


@app.command()
def cluster(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Text, JSONL, CSV, TSV or Parquet; one row a text.")],
    clusters: Annotated[
        int | None, typer.Option("--clusters", metavar="K", help="How many; default: as many as are found.")
    ] = None,
    smallest: Annotated[
        int, typer.Option("--smallest", metavar="N", help="Rows of the smallest cluster that is found.")
    ] = 5,
    centre: Annotated[
        bool, typer.Option("--centre", help="Take the mean of each language out first: clusters by content.")
    ] = False,
    model: Encoder = "isogloss/mini",
    revision: Revision = None,
    vectors: Annotated[
        Path | None, typer.Option("--vectors", metavar="FILE", help="Vectors of the rows (.npy).")
    ] = None,
    prompt: Prompt = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write id, lang, cluster and distance as JSONL.")
    ] = None,
    show: Annotated[int, typer.Option("--show", metavar="N", min=0, help="Print N texts of each cluster.")] = 0,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of k-means.")] = 0,
    text: TextColumn = "text",
    runs: Runs = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Cluster texts of many languages by content."""
    from isogloss.stages import cluster as stage
    from isogloss.stages.embed import apart

    if out:
        apart(out, file, vectors)
    screen = Screen()
    found = stage.cluster_file(
        file, model=_encoder(model, runs), revision=revision, clusters=clusters, smallest=smallest, centre=centre,
        prompt=prompt, text=text, vectors=vectors, seed=seed, say=screen,
    )  # fmt: skip
    if out:
        stage.write_rows(out, found)
        screen.line(f"cluster   the clusters of {found.rows.height:,} rows in {out}")
    if as_json:
        document = found.document()
        for row in document["clusters"] if show else ():
            row["examples"] = found.examples(row["cluster"], show)
        _json(document)
        return
    for line in stage.lines(found, _columns, _width(), show):
        _print(line)


def _encoder(name: str, runs: Path) -> str:
    """A name as it is given, else the run of that name."""
    return str(runs / name) if not Path(name).exists() and (runs / name).is_dir() else name


@app.command()
def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, a shelf (shelf/NAME), or a model folder.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is not there yet.")],
    runs: Runs = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Write a transformers folder that from_pretrained reads."""
    from isogloss.stages import export as stage

    where = _model_place(run, runs)
    made = stage.export(where, folder)
    if as_json:
        _json({"path": str(made)})
    else:
        _print(f"wrote {made}")


@app.command()
def promote(
    run: RunFolder,
    shelf: Shelves = Path("shelf"),
    alias: Alias = "production",
    sets: Sets = None,
    runs: Runs = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Put a run on the shelf, when every gate holds."""
    from isogloss.stages import chain
    from isogloss.stages import promote as stage

    made, where = chain.target(run, runs, sets or ())
    with where.locked():
        moved = stage.promote(made, where, shelf, Say() if as_json else Screen(), alias=alias)
    if as_json:
        _json(moved)


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name on the shelf (the recipe's name).")],
    to: Annotated[
        str | None, typer.Option("--to", metavar="VERSION", help="A version; default: the one before.")
    ] = None,
    shelf: Shelves = Path("shelf"),
    alias: Alias = "production",
    as_json: AsJson = False,
) -> None:
    """Move an alias back to the version before."""
    from isogloss.stages.promote import rollback as stage

    moved = stage(name, shelf, Say() if as_json else Screen(), alias=alias, to=to)
    if as_json:
        _json(moved)


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
        _json(found)
        return
    for title, rows in found.items():
        _print(f"{title}" if rows else f"{title}: none")
        for line in (
            _columns([[str(v) for v in row.values()] for row in rows], _width() - 2, text_last=True) if rows else ()
        ):
            _print("  " + line)


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
            _json({"languages": [stage.row_document(row) for row in among]})
            return
        for line in _columns(stage.table_lines(among), _width()):
            _print(line)
        return
    found = stage.languages(
        tag, near=10 if near is None else near, by=stage.ALL if by is None else by, among=among, say=Screen()
    )
    if as_json:
        _json(found.document())
        return
    for line in stage.lines(found, _width()):
        _print(line)
    if found.why_none:
        for line in ("", *textwrap.wrap(f"no neighbours: {found.why_none}", _width())):
            _print(line)
    elif found.near:
        head, rows = stage.near_head(found, _width()), _columns(stage.near_rows(found), _width())
        reasons = [line for each in found.near for line in stage.reasons_lines(each, _width())]
        for line in ("", *head, "", *rows, "", *reasons):
            _print(line)


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
        say=Screen(),
    )
    if as_json:
        _json(found.document())
        return
    for ranking in found.rankings:
        _print("\n" + stage.head(ranking) + "\n")
        for line in _columns(stage.rows(ranking), _width(), text_last=True):
            _print(line)
        _print()
        for line in stage.prose(ranking, found.sampled, _width()):
            _print(line)


# -- your data, the recipe, this machine -------------------------------------------------------------------------


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
        _json(made.document())
        return
    said = stage.lines(made, _width())
    if made.path is None:  # the recipe is the result, so what was seen goes to the other stream
        for line in said:
            screen.line(line)
        _print(made.text.rstrip("\n"))
        return
    for line in said:
        _print(line)
    _print(f"\nwrote {made.path}; read it, then: isogloss run {made.path}")


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
        _json(outcome.document())
        return
    for line in step_text.lines(outcome, _width()):
        _print(line)


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
        shown = reference.tree_lines(_width())
    else:
        found = {"found": stage.explain(key)}
        shown = reference.lines(found["found"], _width())
    if as_json:
        _json({title: [entry.document() for entry in entries] for title, entries in found.items()})
        return
    for line in shown:
        _print(line)


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
        _json(found.document())
    else:
        for line in stage.lines(found, _width()):
            _print(line)
    if not found.ok:
        raise typer.Exit(2)


# -- the door ---------------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every error is one sentence and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    given = sys.argv[1:] if arguments is None else arguments
    sys.exit(_guarded(given))


def _guarded(given: list[str]) -> int:
    as_json = "--json" in given
    try:
        code = app(given, standalone_mode=False)
        sys.stdout.flush()
        if code == 130:  # typer's word for Ctrl-C
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except BrokenPipeError:  # `isogloss ls | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except IsoglossError as error:
        return _fail(str(error), error.exit_code, as_json)
    except (KeyboardInterrupt, typer.Abort):
        kept = "what --again was replacing is being made anew" if "--again" in given else "finished work is kept"
        return _fail(f"interrupted; {kept}, repeat the same command to go on", 130, as_json)
    except typer.Exit as done:
        return done.exit_code
    except MemoryError:
        return _fail("there is not enough memory; lower data.shard_bytes, or use fewer rows at a time", 2, as_json)
    except OSError as error:
        from isogloss.core.files import place_sentence

        return _fail(place_sentence(error), PlaceError.exit_code, as_json)
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error):
            return _fail(
                "the memory does not suffice for a step; raise train.accumulate, lower task.max_length, or use freeze or lora",
                2,
                as_json,
            )
        if type(error).__module__.split(".")[0] in ("click", "typer") and hasattr(error, "format_message"):
            return _fail(f"{error.format_message()} (isogloss --help lists the commands)", 2, as_json)
        return _fault(error, as_json)


def _fail(message: str, code: int, as_json: bool) -> int:
    Screen().close()
    message = "\n".join(_plain(line) for line in message.split("\n"))
    print(f"\risogloss: {message}" if sys.stderr.isatty() else f"isogloss: {message}", file=sys.stderr, flush=True)
    if as_json:
        _json({"error": message, "exit_code": code})
    return code


def _fault(error: Exception, as_json: bool) -> int:
    """A fault of ours: the traceback goes to a file, the screen gets one sentence."""
    import tempfile
    import traceback

    text = "".join(traceback.format_exception(error))
    if os.environ.get("ISOGLOSS_DEBUG"):
        print(text, file=sys.stderr)
    with tempfile.NamedTemporaryFile(
        "w", prefix="isogloss-fault-", suffix=".txt", delete=False, encoding="utf-8", errors="replace"
    ) as handle:
        handle.write(text)
    return _fail(
        f"a fault of ours ({type(error).__name__}: {str(error)[:200]}); please report it with {handle.name}", 4, as_json
    )


if __name__ == "__main__":
    main()
