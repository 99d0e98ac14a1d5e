"""Several tasks on one trunk: one label for a text, of those of the task that its row names.

A row's label becomes `TASK/LABEL`. One linear head answers over all labels, and a row's logits are masked to the labels
of its own task, in the loss, in answers and in metrics: the same as a head for each task. Scores are by language and
task (`macro_f1@topic`); whoever asks for an answer names the task.

**Measured** (docs/results.md): topic on SIB-200 and sentiment on NusaX with `isogloss/mini`, each beside its single run with as
many rows seen: -1.0 points (-6.6 to +4.6) and +0.6 (-8.6 to +9.9) in the mean over languages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import torch
    from torch import nn

    from isogloss.nn.model import TextModel

FIELDS = ("task", "label")
METRICS = ("macro_f1", "accuracy", "precision", "recall", "log_loss", "calibration_error", "consistency")
HEADLINE = "macro_f1"
# One head on a trunk that is shared: for families that the loop trains.
SHARED = True


def _different(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("a task stands twice")
    return names


Names = Annotated[
    list[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=40)]],
    Field(min_length=2),
    AfterValidator(_different),
]
Power = Annotated[float, Field(ge=0, le=10)]
Part = Annotated[float, Field(ge=0, lt=1)]


def metrics(*, tasks: Names) -> tuple[str, ...]:
    """The metrics of each task, the headline of each first; and over all labels the one that a checkpoint is chosen by.

    Knobs:
        tasks: the names of the tasks, as rows have them; a row of another task is set aside while reading.
    """
    by_task = [f"{name}@{task}" for name in METRICS for task in tasks]
    return (HEADLINE, *by_task)


def headlines(*, tasks: Names) -> tuple[str, ...]:
    """What a person looks at first: the headline of each task."""
    return tuple(f"{HEADLINE}@{task}" for task in tasks)


def labels(train: pl.DataFrame, *, tasks: Names) -> tuple[str, ...]:
    """The labels of the train rows, sorted, so that those of a task stand together.

    Raises DataError for a task with fewer than two labels: there is nothing to tell apart.
    """
    from isogloss.core.errors import DataError
    from isogloss.core.tasks import task_of

    found = tuple(sorted(train["label"].unique().to_list()))
    for task in tasks:
        own = [label for label in found if task_of(label) == task]
        if len(own) < 2:
            said = f"one label only ({own[0]!r})" if own else "no train rows"
            raise DataError(f"the task '{task}' has {said}; a classifier needs two labels")
    return found


def encode(
    model: TextModel, frame: pl.DataFrame, labels: Sequence[str], *, max_length: Annotated[int, Field(ge=4)] = 512
) -> list[dict[str, Any]]:
    """Rows for `collate`: `ids`, `target` (-1 for a label that is not in `labels`), the labels that its task `allows`, and
    whether the text was `cut`.

    Knobs:
        max_length: tokens that are read of a text, special ones included, where the model can read as many.
    """
    from isogloss.core.tasks import allowed
    from isogloss.nn.batches import token_ids

    ids, cut = token_ids(model, frame["text"].to_list(), max_length)
    code = {label: i for i, label in enumerate(labels)}
    targets = [code.get(label, -1) for label in frame["label"].to_list()]
    by_task = {task: allowed([task], labels)[0] for task in frame["task"].unique().to_list()}
    allows = [by_task[task] for task in frame["task"].to_list()]
    return [
        {"ids": i, "target": t, "allows": a, "cut": bool(c)}
        for i, t, a, c in zip(ids, targets, allows, cut, strict=True)
    ]


def collate(model: TextModel, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A batch of encoded rows: `inputs` of the model (B, T), `target (B,)` and `allows (B, C)`."""
    import numpy as np
    import torch

    from isogloss.nn.batches import padded

    inputs = padded(model, [row["ids"] for row in rows])
    device = inputs["input_ids"].device
    return {
        "inputs": inputs,
        "target": torch.tensor([row["target"] for row in rows], device=device),
        "allows": torch.from_numpy(np.stack([row["allows"] for row in rows])).to(device),
    }


def loss(
    model: nn.Module, batch: dict[str, Any], *, focal: Power = 0.0, smoothing: Part = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """`loss_B`, the cross-entropy of each row in nats over the labels of its task, and `n_B`, its units: a row is one.

    Knobs:
        focal: a row counts (1 - p)^focal, p being the probability of its label; 0 is plain.
        smoothing: share of a label that is given to all labels of its task alike, 0..1; 0 is plain.
    """
    import torch

    from isogloss.nn.losses import labelled

    logits = model(**batch["inputs"]).logits.float()
    loss_B = labelled(logits, batch["target"], focal, smoothing, batch["allows"])
    return loss_B, torch.ones_like(loss_B)


def chance(labels: Sequence[str], weights: np.ndarray, *, focal: Power = 0.0, smoothing: Part = 0.0) -> float:
    """The loss of who always guesses with the shares of the labels in the task of each row, in nats a row."""
    import numpy as np

    from isogloss.core.tasks import task_of
    from isogloss.nn.losses import guessing

    of = np.array([task_of(label) for label in labels], dtype=object)
    names = sorted(set(of.tolist()))
    each = [
        guessing(
            [label for label, task in zip(labels, of, strict=True) if task == name],
            weights[of == name],
            focal,
            smoothing,
        )
        for name in names
    ]
    return float(np.average(each, weights=[weights[of == name].sum() for name in names]))


def decode(logits: np.ndarray) -> np.ndarray:
    """Probabilities `(N, C)` float64 over the labels of all tasks, which `answers` masks."""
    from isogloss.nn.answer import probabilities

    return probabilities(logits)


def answers(frame: pl.DataFrame, outputs: np.ndarray, labels: Sequence[str]) -> pl.DataFrame:
    """`frame`, which has the `task` of each row, with `pred`, `confidence` and `probs` over the labels of that task."""
    from isogloss.core.answers import labelled
    from isogloss.core.tasks import masked

    return labelled(frame, masked(outputs, frame["task"].to_list(), labels), labels)
