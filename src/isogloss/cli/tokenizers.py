"""What a tokenizer costs each language, and what can be done about it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isogloss.cli.app import app
from isogloss.cli.options import AsJson, Revision
from isogloss.cli.screen import Screen, columns, put, put_json, screen_width

Texts = Annotated[
    str, typer.Option("--text", metavar="FILE", help="JSONL, CSV, TSV, Parquet or text; default: the bundled sample.")
]
Column = Annotated[str, typer.Option("--column", metavar="NAME", help="The column with the text.")]
LangOfAll = Annotated[str | None, typer.Option("--lang", metavar="TAG", help="Language of rows that name none.")]


@app.command()
def audit(
    tokenizer: Annotated[
        str,
        typer.Option(
            "--tokenizer",
            metavar="PATH",
            help="A transformers folder, tokenizer.json, SentencePiece, tiktoken or vocab.txt file, a run, or a hub name.",
        ),
    ],
    text: Texts = "isogloss/clinic",
    lang: LangOfAll = None,
    column: Column = "text",
    reference: Annotated[
        str, typer.Option("--reference", metavar="TAG", help="The language that others are compared with.")
    ] = "eng_Latn",
    max_length: Annotated[
        int | None, typer.Option("--max-length", metavar="N", min=8, help="Tokens that the model reads.")
    ] = None,
    price: Annotated[
        float | None, typer.Option("--price", metavar="X", min=0.0, help="Price of a million tokens.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="An encoder; how far its vectors move, too. Loads torch."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, help="Texts of a language that are read.")
    ] = 1000,
    revision: Revision = None,
    as_json: AsJson = False,
) -> None:
    """What a tokenizer costs each language, the worst first."""
    from isogloss.stages import audit as stage
    from isogloss.stages.auditing import sample
    from isogloss.stages.auditing import text as words

    screen = Screen()
    own = stage.open_tokenizer(tokenizer, revision=revision, say=screen)
    texts = sample.read_texts(text, lang=lang, text=column, limit=limit, say=screen)
    found = stage.audit(own, texts, reference=reference, max_length=max_length, price=price, model=model, say=screen)
    for note in found.notes:
        screen.note(note)
    if as_json:
        put_json(found.document())
        return
    put(words.head(found) + "\n")
    for line in columns(words.rows(found), screen_width()):
        put(line)
    if len(found.langs) > words.MOST:
        put(f"... and {len(found.langs) - words.MOST} more languages, all of them better served; --json has them")
    if len(found.scripts) > 1:
        put()
        for line in columns(words.script_rows(found), screen_width()):
            put(line)
    put()
    for line in words.prose(found, screen_width()):
        put(line)


@app.command()
def cure(
    name: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model folder, a hub name, isogloss/mini, or a tokenizer's file.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A folder that is not there yet.")],
    text: Annotated[
        str, typer.Option("--text", metavar="FILE", help="Texts with their languages, to learn from and to measure on.")
    ],
    by: Annotated[
        str,
        typer.Option("--by", metavar="HOW", help="extend: new pieces; bytes: byte fallback; replace: a new tokenizer."),
    ] = "extend",
    langs: Annotated[
        str | None,
        typer.Option("--langs", metavar="CODES", help="Languages to serve; default: those the audit says need it."),
    ] = None,
    n_pieces: Annotated[
        int | None,
        typer.Option("--pieces", metavar="N", min=1, help="New pieces; default: 2000 a language, 16000 to replace."),
    ] = None,
    vectors: Annotated[
        str, typer.Option("--vectors", metavar="HOW", help="How new rows begin: mean of old pieces, or focus.")
    ] = "mean",
    tokenizer: Annotated[
        str | None, typer.Option("--tokenizer", metavar="PATH", help="With --by replace: the tokenizer to put in.")
    ] = None,
    lang: LangOfAll = None,
    column: Column = "text",
    reference: Annotated[
        str, typer.Option("--reference", metavar="TAG", help="The language that others are compared with.")
    ] = "eng_Latn",
    revision: Revision = None,
    as_json: AsJson = False,
) -> None:
    """Give a tokenizer what languages lack; the model's rows with it."""
    import textwrap

    from isogloss.stages import cure as stage
    from isogloss.stages.auditing import sample
    from isogloss.stages.curing import note
    from isogloss.stages.sources import codes

    screen = Screen()
    texts = sample.read_texts(text, lang=lang, text=column, limit=stage.LEARNED, say=screen)
    made = stage.cure(
        name, texts, out, how=by, langs=codes(langs, "langs"), n_pieces=n_pieces, vectors=vectors, tokenizer=tokenizer,
        reference=reference, revision=revision, say=screen,
    )  # fmt: skip
    for one in made.notes:
        screen.note(one)
    if as_json:
        put_json(made.document())
        return
    where = "texts that were held out" if made.held_out else "the texts that were learned from"
    put(f"before and after, on {where}\n")
    for line in columns(note.rows(made), screen_width()):
        put(line)
    put()
    for said in (note.rows_said(made), note.kept_said(made)):
        for line in textwrap.wrap(said, screen_width()):
            put(line)
    put(f"\nwrote {made.folder}; what it still needs is in CURE.md there")
