"""predict: the labels of a file of new texts, with the text steps of training."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import polars as pl

from isogloss.core import lang as lang_table
from isogloss.core import parts
from isogloss.core.corpus import PROVENANCE, Fields, Noted, Rejected, read
from isogloss.core.errors import DataError
from isogloss.core.readers import expand
from isogloss.stages.model import Model

CHUNK = 5000
DETECT = "detect"


Item = pl.DataFrame | Rejected | Noted


def predict_file(
    model: Model, path: Path, *, lang: str | None = None, text: str = "text", task: str | None = None
) -> Iterator[Item]:
    """Answer the rows of a file, folder or pattern, in order; before each batch of answers come the rows of it that
    cannot be read, as Rejected, and what was assumed of a language, as Noted, once.

    `lang` is the language of rows that name none; `detect` finds it among the model's languages. `task` is that of rows
    that name none, where the model has several. Raises DataError when nothing is there, or when a row has no language or
    task and none can be known; InputError for a model without labels.
    """
    model.has_labels()
    given = {"lang": lang_table.resolve(lang).tag} if lang and lang != DETECT else {}
    if task is not None:
        if not model.tasks:
            raise DataError(f"this model has one task, and was asked for '{task}'; leave --task out")
        given["task"] = model.the_task(task)
    if not given and lang != DETECT and len(model.langs) == 1:
        given = {"lang": model.langs[0]}
    raws = expand(path, str(path), format=None, encoding="utf-8", rows=None, given=given)
    own = ("task",) if model.tasks else ()
    fields = Fields(
        columns={"text": text}, task_fields=own, tasks=model.tasks or None, splits=False, detect=lang == DETECT
    )
    rows = (row for raw in raws for row in read(raw, fields))
    noted: set[str] = set()
    while chunk := list(islice(rows, CHUNK)):
        good = [row for row in chunk if isinstance(row, dict)]
        aside = [row for row in chunk if isinstance(row, Rejected)]
        first = next((row for row in aside if row.reason == "no language"), None)
        if first:
            raise DataError(
                f"{first.origin} has no language; give --lang TAG for all rows, --lang detect, or a column 'lang'"
            )
        untold = next((row for row in aside if row.reason == "no task"), None)
        if untold:
            raise DataError(
                f"{untold.origin} has no task; give --task {' or '.join(model.tasks)} for all rows, or a column 'task'"
            )
        frame = pl.DataFrame(good, schema=fields.schema)
        if lang == DETECT:
            frame, unknown = _detect(model, frame)
            aside += unknown
        notes = [row for row in chunk if isinstance(row, Noted)]
        strange = sorted({tag for tag in frame["lang"] if tag not in model.langs})
        notes += [Noted(tag, f"the model was neither trained nor evaluated on {tag}") for tag in strange]
        for note in notes:
            if note.note not in noted:
                noted.add(note.note)
                yield note
        yield from aside
        if frame.height:
            yield model.answer(frame).drop("variety", "split", "group", *PROVENANCE)


def _detect(model: Model, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[Rejected]]:
    """Fill languages with the langid step's own judgement."""
    step = parts.load("steps", "langid")
    knobs = step.bind({})
    summaries = step.call("summarise", frame, knobs=knobs, langs=model.langs)
    decision = step.call("decide", summaries, knobs=knobs, langs=model.langs)
    filled = step.call("apply", frame, decision, knobs=knobs, langs=model.langs)
    unknown = filled.filter(pl.col("lang").is_null())
    lost = [
        Rejected(row["origin"], row["drop"] or "language not found", None, row["text"][:500])
        for row in unknown.iter_rows(named=True)
    ]
    return filled.filter(pl.col("lang").is_not_null()).drop("drop"), lost
