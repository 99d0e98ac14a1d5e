"""The account of a training: what was seen of each language, what time must be left, and the log of every event."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isogloss.core import files
from isogloss.nn.trainee import Stepped
from isogloss.stages.training.schedule import Measured
from isogloss.stages.training.supervise import Judged

BY_LANG = ("rows", "tokens", "epochs", "loss", "dev")


class Seen:
    """What was seen of each language: the account of the run, and what a mix may look at (`value`).

    By language: `rows, tokens, epochs, loss, dev` (the last scores), `sizes` (its train rows), `n_dev` (its dev rows that
    choose), `floor` (what n-grams score on these, where the mix asks for it). Of the run: `progress` (0..1), `planned`
    (rows that it will see), `batch` (rows in a step), `better` ("higher" or "lower": which scores are), `course` (the
    scores of every evaluation).
    """

    def __init__(
        self, langs: Sequence[str], n_rows: np.ndarray, n_dev: Mapping[str, int], better: str, batch: float
    ) -> None:
        self._langs, self._n_rows = tuple(langs), n_rows
        self._rows, self._tokens, self._loss, self._units = (np.zeros(len(langs)) for _ in range(4))
        self.value: dict[str, Any] = {name: {} for name in BY_LANG}
        self.value |= {"sizes": dict(zip(langs, n_rows.tolist(), strict=True)), "n_dev": dict(n_dev), "floor": {}}
        self.value |= {"progress": 0.0, "planned": None, "batch": batch, "better": better, "course": []}

    def add(self, done: Stepped) -> None:
        """Count a step. `loss` is the mean of a language's rows since the last evaluation, in nats a unit."""
        self._rows += done.rows
        self._tokens += done.tokens
        self._loss += done.loss
        self._units += done.units
        self.value["rows"] = self._by_lang(self._rows)
        self.value["tokens"] = self._by_lang(self._tokens)
        self.value["epochs"] = self._by_lang(self._rows / self._n_rows)
        met = self._units > 0
        means = self._loss[met] / self._units[met]
        self.value["loss"] |= dict(zip(np.array(self._langs)[met].tolist(), means.tolist(), strict=True))

    def _by_lang(self, values: np.ndarray) -> dict[str, float]:
        return dict(zip(self._langs, values.tolist(), strict=True))

    def evaluated(self, judged: Judged) -> None:
        self.value["dev"] = dict(judged.by_lang)
        self.value["course"] = [*self.value["course"], dict(judged.by_lang)]

    @property
    def by_lang(self) -> dict[str, dict[str, float]]:
        """What changes from evaluation to evaluation, for the log."""
        return {name: self.value[name] for name in BY_LANG}

    def reset(self) -> None:
        """Begin a new stretch of losses."""
        self._loss[:] = 0
        self._units[:] = 0

    @property
    def loss(self) -> float:
        """Mean loss of all rows since the last evaluation."""
        return float(self._loss.sum() / max(1.0, self._units.sum()))

    @staticmethod
    def last_loss(done: Stepped) -> float:
        return float(done.loss.sum() / max(1.0, done.units.sum()))

    def state(self) -> dict[str, Any]:
        return {"value": self.value, "rows": self._rows.tolist(), "tokens": self._tokens.tolist()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Be as after an evaluation: a new stretch of losses begins."""
        self.value = copy.deepcopy(dict(state["value"]))
        self._rows, self._tokens = np.array(state["rows"]), np.array(state["tokens"])
        self.reset()


@dataclass
class Reserve:
    """Seconds that must be left for one more step, the last evaluation with its checkpoint, and writing the model."""

    measured: Measured | None
    _step: float = 0.0
    _evaluation: float = 0.0
    _model: float = 0.0

    def __post_init__(self) -> None:
        if self.measured is not None:
            self._step, self._evaluation = self.measured.step, self.measured.evaluation + self.measured.save
            self._model = self.measured.save

    def stepped(self, seconds: float) -> None:
        self._step = max(0.9 * self._step, seconds)

    def evaluated(self, seconds: float) -> None:
        self._evaluation = max(0.9 * self._evaluation, seconds)

    @property
    def seconds(self) -> float:
        return self._step + self._evaluation + self._model


class Log:
    """`steps.jsonl`: one JSON object a line, only ever added to. A step that a kill made us repeat is there twice."""

    def __init__(self, path: Path, writes: bool) -> None:
        self._path, self._writes = path, writes
        self.seconds = 0.0
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    self.seconds = max(self.seconds, float(json.loads(line).get("seconds", 0.0)))
                except ValueError:
                    continue  # the line that a kill cut short
            if writes and not path.read_bytes().endswith(b"\n"):
                with path.open("a", encoding="utf-8") as handle:
                    handle.write("\n")

    def event(self, kind: str, **facts: Any) -> None:
        if self._writes:
            line = json.dumps({"event": kind, **facts}, ensure_ascii=False, default=list)
            with files.place_errors(self._path), self._path.open("a", encoding="utf-8") as handle:
                handle.write(line + "\n")
