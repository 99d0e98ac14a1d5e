"""What is done with a model: answers, vectors, the shelf."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from isogloss.cli.app import app
from isogloss.cli.options import (
    Alias,
    AsJson,
    Encoder,
    Prompt,
    Revision,
    RunFolder,
    Runs,
    Sets,
    Shelves,
    TextColumn,
    encoder,
    model_place,
)
from isogloss.cli.screen import Screen, columns, put, put_json, screen_width
from isogloss.core.say import Say


@app.command()
def predict(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, a shelf (shelf/NAME), or a model folder.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSONL, CSV, TSV, Parquet or text; one row a text.")],
    lang: Annotated[
        str | None, typer.Option("--lang", metavar="TAG", help="Language of rows that name none, or 'detect'.")
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", metavar="NAME", help="Task of rows that name none, where there are several.")
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
    from isogloss.core.tasks import task_of
    from isogloss.stages import model
    from isogloss.stages.predict import predict_file

    where = model_place(run, runs)
    loaded = model.load(where)
    screen = Screen()
    lines: list[str] = []
    documents: list[Any] = []
    n_rejected = 0
    for item in predict_file(loaded, file, lang=lang, text=text, task=task):
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
            if loaded.tasks:  # of the task that was asked for
                probs = {label: p for label, p in probs.items() if task_of(label) == row["task"]}
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
                lines.append(line) if out else put(line)
    if n_rejected > 5:
        screen.note(f"{n_rejected:,} rows are set aside in all")
    if not documents:
        screen.note(f"{file} has no rows")
    if out:
        answers = [json.dumps(d, ensure_ascii=False) for d in documents if "error" not in d]
        files.write_text(out, "".join(line + "\n" for line in answers))
        screen.line(f"predict   {len(answers):,} answers in {out}, {n_rejected:,} rows set aside")
    if as_json:
        put_json(documents)
    if n_rejected and not any("error" not in d for d in documents):
        raise typer.Exit(2)


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
        given, out, model=encoder(model, runs), revision=revision, prompt=prompt, text=text, say=Screen()
    )
    if as_json:
        put_json(made)
    else:
        put(
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
        docs, queries, model=encoder(model, runs), revision=revision, top=top, text=text, doc_vectors=doc_vectors,
        query_vectors=query_vectors, doc_prompt=doc_prompt, query_prompt=query_prompt, say=screen,
    )  # fmt: skip
    document = found.document()
    if out:
        stage.write_hits(out, found)
        screen.line(f"retrieve  the hits of {found.queries.rows.height:,} queries in {out}")
    elif found.pairs is None:  # nothing is measured, so the hits are the result
        document["hits"] = found.hits()
    if as_json:
        put_json(document)
    elif found.pairs is not None:
        for line in stage.lines(found, columns, screen_width()):
            put(line)
    else:
        for hit in document.get("hits", ()):
            put(json.dumps(hit, ensure_ascii=False))


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
        file, model=encoder(model, runs), revision=revision, clusters=clusters, smallest=smallest, centre=centre,
        prompt=prompt, text=text, vectors=vectors, seed=seed, say=screen,
    )  # fmt: skip
    if out:
        stage.write_rows(out, found)
        screen.line(f"cluster   the clusters of {found.rows.height:,} rows in {out}")
    if as_json:
        document = found.document()
        for row in document["clusters"] if show else ():
            row["examples"] = found.examples(row["cluster"], show)
        put_json(document)
        return
    for line in stage.lines(found, columns, screen_width(), show):
        put(line)


@app.command()
def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, a shelf (shelf/NAME), or a model folder.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is not there yet.")],
    runs: Runs = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Write a transformers folder that from_pretrained reads."""
    from isogloss.stages import export as stage

    where = model_place(run, runs)
    made = stage.export(where, folder)
    if as_json:
        put_json({"path": str(made)})
    else:
        put(f"wrote {made}")


@app.command(context_settings={"ignore_unknown_options": True})
def squeeze(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A squeeze, e.g. trim_vocab; isogloss explain NAME lists its knobs.")
    ],
    rest: Annotated[
        list[str],
        typer.Argument(metavar="RUN DIR [--KNOB VALUE]...", help="A model, a folder that is not there yet, and knobs."),
    ],
    text: Annotated[
        Path | None,
        typer.Option("--text", metavar="FILE", help="Texts that must be read as before; default: those of the run."),
    ] = None,
    runs: Runs = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Make a model smaller; what changed, by language."""
    from isogloss.core import parts
    from isogloss.core.errors import InputError
    from isogloss.stages import squeeze as stage
    from isogloss.stages.stepping import knobs

    plain, given = knobs.split(parts.load("squeezes", name), rest)
    if len(plain) != 2:
        raise InputError(f"squeeze takes a model and a folder, got {', '.join(plain) or 'none'}")
    where = model_place(plain[0], runs)
    made = stage.squeeze(where, Path(plain[1]), name, given, text=text, say=Screen())
    if as_json:
        put_json(made.document())
        return
    for line in columns(stage.lines(made), screen_width()):
        put(line)
    before, after = made.n_bytes
    facts = ", ".join(f"{key.replace('_', ' ')} {value:,}" for key, value in made.facts.items())
    put(f"\nwrote {made.folder}: {after / 1e6:,.1f} MB of {before / 1e6:,.1f}; {facts}")


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
        put_json(moved)


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
        put_json(moved)
