"""squeeze: a model made smaller by one squeeze, and what that changed, by language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from isogloss.core import files, parts
from isogloss.core import lang as lang_table
from isogloss.core.corpus import Corpus
from isogloss.core.errors import InputError, IsoglossError, PlaceError
from isogloss.core.run import Run
from isogloss.core.say import Say
from isogloss.nn.disk import whole_folder
from isogloss.stages import model

# Texts of a language that both models are asked; covered ones must be answered alike to this.
ASKED, ALIKE = 200, 1e-5
FACTS = "squeeze.json"


@dataclass(frozen=True)
class Changed:
    """Of `n` texts of a language: the share `covered`, which both tokenizers cut alike; the largest difference of a logit
    on those; and the share of all that both models give the same answer."""

    lang: str
    n: int
    covered: float
    largest: float | None
    same: float


@dataclass(frozen=True)
class Squeezed:
    """What came of a squeeze: `facts` of the part, bytes of weights before and after, and languages, most changed first."""

    name: str
    folder: Path
    facts: Mapping[str, Any]
    n_bytes: tuple[int, int]
    langs: tuple[Changed, ...]

    def document(self) -> dict[str, Any]:
        before, after = self.n_bytes
        about = {"squeeze": self.name, "path": str(self.folder), **self.facts, "bytes_before": before, "bytes": after}
        return {**about, "langs": [asdict(each) for each in self.langs]}


def squeeze(
    path: str | Path, folder: Path, name: str, knobs: Mapping[str, Any], *, text: Path | None = None, say: Say
) -> Squeezed:
    """Write the model of a run, a shelf or a model folder into `folder`, squeezed.

    The texts of the run (or of the file `text`) say what must stay. Raises InputError for a model that is no transformers
    model, or where there are no texts; PlaceError where `folder` is there and not empty.
    """
    part = parts.load("squeezes", name)
    bound = part.bind(knobs)
    found = model.locate(path)
    card = files.read_json(found / model.CARD)
    if not (found / "config.json").is_file():
        raise InputError(
            f"the family '{card['family']}' of {path} is no transformers model, and has nothing to squeeze"
        )
    target = folder.expanduser().absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise PlaceError(f"{target} is there already and not empty; give a folder that is not there yet")
    rows = _texts(found, text)
    say.line(f"squeeze   {name} on {rows.height:,} texts in {rows['lang'].n_unique()} languages")
    with whole_folder(target) as temporary:
        facts = part.call("apply", found, temporary, rows, knobs=bound)
        files.write_json(temporary / model.CARD, {**card, "squeezed": [*card.get("squeezed", ()), name]})
        changes = _compared(card["family"], found, temporary, rows, say)
        sizes = tuple(sum(p.stat().st_size for p in place.glob("*.safetensors")) for place in (found, temporary))
        made = Squeezed(name, target, facts, (sizes[0], sizes[1]), changes)
        files.write_json(temporary / FACTS, made.document())
    return made


def _texts(found: Path, text: Path | None) -> pl.DataFrame:
    """Texts with their languages: of the file, else of the corpus of the run that the model lies in."""
    if text is not None:
        from isogloss.stages.embed import rows

        given = rows(text)
        return given.select("text", "lang").drop_nulls()
    corpus = found.parent / "corpus"
    if not corpus.is_dir():
        raise InputError(f"{found.parent} has no corpus; say with --text FILE what texts must be read as before")
    Run(found.parent).require("prepare")
    return Corpus(corpus).frame(["text", "lang"])


def _compared(family: str, old: Path, new: Path, rows: pl.DataFrame, say: Say) -> tuple[Changed, ...]:
    """Both models on some texts of each language. Raises IsoglossError when covered text is answered otherwise."""
    from isogloss.nn.answer import outputs
    from isogloss.nn.batches import token_ids

    module = parts.load("families", family).module
    some = rows.unique(maintain_order=True).group_by("lang", maintain_order=True).head(ASKED)
    texts, langs = some["text"].to_list(), some["lang"].to_numpy()
    spelled, logits = [], []
    for place in (old, new):
        read = module.read(place)
        ids, _ = token_ids(read, texts, read.max_length)
        spelled.append([read.tokenizer.convert_ids_to_tokens(row.tolist()) for row in ids])
        logits.append(outputs(read, ids))
        say.progress("models asked", len(logits), 2)
    say.close()
    covered = np.array([a == b for a, b in zip(*spelled, strict=True)])
    away = np.abs(logits[0] - logits[1]).max(axis=1)
    same = logits[0].argmax(axis=1) == logits[1].argmax(axis=1)
    found = []
    for tag in sorted(set(langs)):
        at = langs == tag
        own = away[at & covered]
        largest = float(own.max()) if len(own) else None
        if largest is not None and largest > ALIKE:
            raise IsoglossError(f"a text of {tag} that both tokenizers cut alike is answered otherwise, by {largest:g}")
        found.append(Changed(str(tag), int(at.sum()), float(covered[at].mean()), largest, float(same[at].mean())))
    return tuple(sorted(found, key=lambda each: (each.covered, each.lang)))


def lines(made: Squeezed) -> list[list[str]]:
    """The table by language, most changed first."""
    head = ["language", "n", "cut as before", "largest difference there", "same answer"]
    return [
        head,
        *(
            [
                f"{each.lang} {lang_table.facts(each.lang).name}",
                str(each.n),
                f"{each.covered:.1%}",
                "–" if each.largest is None else f"{each.largest:.1g}",
                f"{each.same:.1%}",
            ]
            for each in made.langs
        ),
    ]
