"""Experiment trackers, optional, through accelerate: each evaluation as numbers by language, beside `steps.jsonl`.

A tracker is a copy for people who look at many runs in one place. Nothing is read back, and one that fails costs its own
numbers and never the training.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from isogloss.core.errors import InputError, MissingError
from isogloss.core.recipe import Recipe, Tracker
from isogloss.core.say import Evaluated, Say

# Under the run: what trackers keep that write files.
FOLDER = "trackers"
# The extra of the one that needs no account and no server; others are installed by their own names.
EXTRA = {"trackio": "isogloss[track]", "comet_ml": "comet-ml", "tensorboard": "tensorboard"}


def check(names: Sequence[Tracker]) -> None:
    """Raise MissingError for a tracker that is not installed."""
    if not names:
        return
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    here = {str(name) for name in get_available_trackers()}
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            raise InputError(f"train.trackers: the installed accelerate knows no '{name}'")
        if name not in here:
            raise MissingError(f"train.trackers: '{name}' is not installed: pip install '{EXTRA.get(name, name)}'")


class Trackers:
    """The trackers of a training, on the first process; on others, and where none is named, it does nothing."""

    def __init__(self, recipe: Recipe, run: Path, say: Say, *, first: bool) -> None:
        self._open: list[tuple[str, Any]] = []
        self._say = say
        if not first or not recipe.train.trackers:
            return
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        check(recipe.train.trackers)
        config = settings(recipe)
        for name in recipe.train.trackers:
            kind = LOGGER_TYPE_TO_CLASS[name]

            def begin(kind: Any = kind) -> Any:
                where = [str(run / FOLDER)] if kind.requires_logging_directory else []
                found = kind(recipe.name, *where)
                found.start()
                found.store_init_configuration(config)
                return found

            made = self._try(name, begin)
            if made is not None:
                self._open.append((name, made))

    def log(self, row: Evaluated, by_lang: Mapping[str, float], seen: Mapping[str, Mapping[str, float]]) -> None:
        """One evaluation."""
        numbers = figures(row, by_lang, seen)
        for name, tracker in list(self._open):
            self._try(name, partial(tracker.log, numbers, step=row.step))

    def close(self) -> None:
        """End them, once."""
        for name, tracker in list(self._open):
            self._try(name, tracker.finish)
        self._open = []

    def _try(self, name: str, work: Callable[[], Any]) -> Any:
        try:
            with contextlib.redirect_stdout(sys.stderr):  # standard output is for results
                return work()
        except Exception as error:  # whatever a tracker, its server or its network does
            self._open = [each for each in self._open if each[0] != name]
            self._say.note(f"the tracker '{name}' failed and is left out: {type(error).__name__}: {error}"[:300])
            return None


def figures(row: Evaluated, by_lang: Mapping[str, float], seen: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """What a tracker is told of an evaluation: the dev score of each language, and what was seen of it."""
    found: dict[str, float | None] = {"loss": row.loss, "seconds": row.seconds}
    found |= {f"dev/{row.metric}/mean": row.mean, f"dev/{row.metric}/worst": row.worst}
    found |= {f"dev/{row.metric}/{lang}": value for lang, value in by_lang.items()}
    for what in ("rows", "tokens", "epochs", "loss"):
        found |= {f"{what}/{lang}": value for lang, value in seen.get(what, {}).items()}
    return {name: float(value) for name, value in found.items() if value is not None}


def settings(recipe: Recipe) -> dict[str, str]:
    """The recipe as one text for each key."""
    out: dict[str, str] = {}

    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for key, each in value.items():
                walk(each, f"{path}.{key}" if path else str(key))
        else:
            out[path] = str(value)

    walk({name: part for name, part in recipe.model_dump(mode="json", exclude_none=True).items() if name != "data"}, "")
    return out
