"""A servable model: a folder with `isogloss.json` and the files of its family. Runs and shelf versions hold one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from isogloss.core import files, parts
from isogloss.core import lang as lang_table
from isogloss.core.answers import labelled
from isogloss.core.calibration import Calibration
from isogloss.core.errors import DataError, InputError, MissingError, PlaceError
from isogloss.core.recipe import Recipe
from isogloss.core.shelf import Shelf
from isogloss.core.tasks import masked

CARD = "isogloss.json"
FORMAT = 1
ANSWERS = ("id", "lang", "text", "pred", "confidence")


@dataclass(frozen=True)
class Model:
    """A model with what it needs to answer: labels, and the steps that rewrite text as in training."""

    folder: Path
    card: Mapping[str, Any]
    family: parts.Part
    loaded: Any
    calibration: Calibration | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.card["labels"])

    @property
    def langs(self) -> tuple[str, ...]:
        return tuple(self.card["langs"])

    def rewrite(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Apply the steps of training that rewrite text, so that training and serving read the same text.

        A step that decides over a whole corpus gets no decision here, and does what one text alone allows.
        """
        for use in self.card["rewrites"]:
            part = parts.load("steps", use["use"])
            more = [None] if part.has("decide") else []
            frame = part.call("apply", frame, *more, knobs=use["knobs"], langs=self.langs).drop("drop", strict=False)
        return frame

    def probabilities(self, frame: pl.DataFrame) -> np.ndarray:
        """Probabilities `(N, C)` of a frame with `id, lang, text` that is already rewritten, calibrated where the model is."""
        return self.calibrated(self.uncalibrated(frame), frame["lang"].to_list())

    def uncalibrated(self, frame: pl.DataFrame) -> np.ndarray:
        """What the model itself gives, `(N, C)`."""
        return np.asarray(self.family.module.predict(self.loaded, frame), dtype=np.float64)

    def calibrated(self, probs: np.ndarray, langs: Sequence[str | None]) -> np.ndarray:
        """Probabilities `(N, C)` as the card says they are calibrated, by language."""
        return probs if self.calibration is None else self.calibration.apply(probs, langs, self.labels)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks among which a question must name one; none where the model has one task only."""
        return tuple(self.card.get("tasks", ()))

    def answer(self, frame: pl.DataFrame) -> pl.DataFrame:
        """`frame` with `pred`, `confidence` and `probs`, one row for each row. Raises InputError without labels."""
        self.has_labels()
        probs = self.probabilities(self.rewrite(frame)) if frame.height else np.zeros((0, len(self.labels)), np.float64)
        if self.tasks:
            probs = masked(probs, frame["task"].to_list(), self.labels)
        return labelled(frame, probs, self.labels)

    def has_labels(self) -> None:
        """Raise InputError for a model that answers with vectors."""
        if not self.labels:
            raise InputError(
                f"the model in {self.folder} gives vectors and has no labels to predict; "
                f"use: isogloss embed --model {self.folder} --in FILE --out vectors.npy"
            )

    def predict(
        self, texts: Sequence[str], lang: str | Sequence[str] | None = None, task: str | None = None
    ) -> list[str]:
        """The label of each text. `lang` is one language for all, or one for each; a model of one language needs none. A
        model of several tasks is told the `task`, and answers `TASK/LABEL`.

        Raises DataError when the languages or the task are not known, or are not as many as the texts.
        """
        self.has_labels()
        if isinstance(texts, str):
            raise DataError("predict takes a list of texts, got one string; write predict([text])")
        frame = self.frame(texts, lang)
        if self.tasks:
            frame = frame.with_columns(task=pl.lit(self.the_task(task)))
        elif task is not None:
            raise DataError(f"this model has one task, and was asked for '{task}'; leave task out")
        return self.answer(frame)["pred"].to_list()

    def the_task(self, given: str | None) -> str:
        """The task that is asked for. Raises DataError where the model has none of that name."""
        if given not in self.tasks:
            asked = "say the task" if given is None else f"there is no task '{given}'"
            raise DataError(f"{asked}; this model knows {', '.join(self.tasks)}")
        return given

    def frame(self, texts: Sequence[str], lang: str | Sequence[str] | None = None) -> pl.DataFrame:
        """Texts and languages as rows."""
        bad = next((i for i, text in enumerate(texts) if not isinstance(text, str)), None)
        if bad is not None:
            raise DataError(f"text {bad} is a {type(texts[bad]).__name__}, not a string")
        if lang is None:
            if len(self.langs) != 1:
                raise DataError(
                    f"say the language: predict(texts, lang='{self.langs[0]}'), or one for each text; this model knows {len(self.langs)}"
                )
            read = [lang_table.Resolved(self.langs[0])] * len(texts)
        else:
            codes = [lang] * len(texts) if isinstance(lang, str) else list(lang)
            if len(codes) != len(texts):
                raise DataError(
                    f"{len(texts)} texts and {len(codes)} languages; give one language, or one for each text"
                )
            read = [lang_table.resolve(code) for code in codes]
        columns = {
            "id": [str(i) for i in range(len(texts))],
            "lang": [found.tag for found in read],
            "variety": [found.variety for found in read],
            "text": list(texts),
        }
        return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


def card(recipe: Recipe, labels: Sequence[str], langs: Sequence[str], **facts: Any) -> dict[str, Any]:
    """What `isogloss.json` says."""
    # A file that a knob names, such as the key of pseudonyms, does not go with the model.
    rewrites = [
        {"use": step.name, "knobs": {k: None if isinstance(v, Path) else v for k, v in step.knobs.items()}}
        for step in recipe.steps
        if step.part.constant("REWRITES", False)
    ]
    return {
        "format": FORMAT,
        "name": recipe.name,
        "task": recipe.task.use,
        "family": recipe.model.use,
        "labels": list(labels),
        "langs": list(langs),
        "rewrites": rewrites,
        **({"tasks": list(recipe.the_task.knobs["tasks"])} if recipe.the_task.part.constant("SHARED", False) else {}),
        **facts,
    }


def load(path: str | Path) -> Model:
    """Load a model from a run, a shelf version, a shelf (its production alias), an export, or a model folder.

    Raises MissingError when there is none, PlaceError when it is damaged.
    """
    folder = locate(path)
    value = read_card(folder)
    family = parts.load("families", value["family"])
    try:
        calibration = Calibration.of(value["calibration"]) if "calibration" in value else None
    except (KeyError, TypeError, ValueError) as error:
        raise PlaceError(f"the calibration in {folder / CARD} cannot be read: {error}") from None
    return Model(folder, value, family, family.module.read(folder), calibration)


def read_card(path: str | Path) -> dict[str, Any]:
    """What `isogloss.json` says of a model, which is not loaded. Raises as `load` does."""
    folder = locate(path)
    value: dict[str, Any] = files.read_json(folder / CARD)
    if value.get("format") != FORMAT:
        raise PlaceError(
            f"{folder} was written by another version of isogloss (format {value.get('format')}, this one reads {FORMAT})"
        )
    return value


def locate(given: str | Path) -> Path:
    """The model folder of a run, a shelf version, a shelf (its production alias), or a model folder.

    Raises MissingError when there is none.
    """
    path = Path(given)
    for folder in _candidates(path):
        if (folder / CARD).is_file():
            return folder
    if not path.exists():
        raise MissingError(f"there is no {path}; give a run (runs/NAME), a shelf (shelf/NAME) or a folder with {CARD}")
    raise MissingError(f"{path} holds no trained model (no {CARD}); train first: isogloss run RECIPE")


def _candidates(path: Path) -> Iterator[Path]:
    yield path
    yield path / "model"
    if (path / "aliases.json").is_file():
        version = Shelf(path).aliases.get("production")
        if version:
            yield path / "versions" / version / "model"
