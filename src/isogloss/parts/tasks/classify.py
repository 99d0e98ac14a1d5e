"""One label for a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import torch
    from torch import nn

    from isogloss.nn.model import TextModel

FIELDS = ("label",)
METRICS = ("accuracy", "macro_f1", "precision", "recall", "log_loss", "calibration_error", "consistency")
HEADLINE = "macro_f1"


def labels(train: pl.DataFrame, *, labels: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The label set, sorted: those given, else those that train rows have.

    A label that appears only in dev or test cannot be learned: it stays outside, counts as an error and is reported.
    Raises DataError for one label.

    Knobs:
        labels: the allowed labels; a row with another one is set aside while reading. Empty: those of the train rows.

    >>> import polars as pl
    >>> labels(pl.DataFrame({"label": ["no", "yes", "no"]}))
    ('no', 'yes')
    """
    from isogloss.core.errors import DataError

    found = tuple(labels) or tuple(sorted(train["label"].unique().to_list()))
    if len(found) < 2:
        raise DataError(f"the train rows have one label only ({found[0]!r}); a classifier needs two")
    return found


def encode(
    model: TextModel, frame: pl.DataFrame, labels: Sequence[str], *, max_length: Annotated[int, Field(ge=4)] = 512
) -> list[dict[str, Any]]:
    """Rows for `collate`: `ids`, `target` (-1 for a label that is not in `labels`), and whether the text was `cut`.

    Knobs:
        max_length: tokens that are read of a text, special ones included, where the model can read as many.
    """
    from isogloss.nn.batches import token_ids

    ids, cut = token_ids(model, frame["text"].to_list(), max_length)
    code = {label: i for i, label in enumerate(labels)}
    targets = [code.get(label, -1) for label in frame["label"].to_list()]
    return [{"ids": i, "target": t, "cut": bool(c)} for i, t, c in zip(ids, targets, cut, strict=True)]


def collate(model: TextModel, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A batch of encoded rows: `inputs` of the model (B, T), and `target (B,)`."""
    import torch

    from isogloss.nn.batches import padded

    inputs = padded(model, [row["ids"] for row in rows])
    target = torch.tensor([row["target"] for row in rows], device=inputs["input_ids"].device)
    return {"inputs": inputs, "target": target}


def loss(
    model: nn.Module,
    batch: dict[str, Any],
    *,
    focal: Annotated[float, Field(ge=0, le=10)] = 0.0,
    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`loss_B`, the cross-entropy of each row in nats, and `n_B`, its units: a row is one.

    Knobs:
        focal: a row counts (1 - p)^focal, p being the probability of its label: what is answered well counts less
            (Lin et al. 2017); 0 is plain, 2 is usual.
        smoothing: share of a label that is given to all labels alike (Szegedy et al. 2016), 0..1; 0 is plain, 0.1 usual.
    """
    import torch

    from isogloss.nn.losses import labelled

    logits = model(**batch["inputs"]).logits.float()
    loss_B = labelled(logits, batch["target"], focal, smoothing)
    return loss_B, torch.ones_like(loss_B)


def chance(
    labels: Sequence[str],
    weights: np.ndarray,
    *,
    focal: Annotated[float, Field(ge=0, le=10)] = 0.0,
    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
) -> float:
    """The loss of who always guesses with the shares of the labels of rows, in nats a row.

    >>> import numpy as np
    >>> round(chance(["a", "b"], np.ones(2)), 3), round(chance(["a", "b"], np.ones(2), focal=2.0), 3)
    (0.693, 0.173)
    """
    from isogloss.nn.losses import guessing

    return guessing(labels, weights, focal, smoothing)


def decode(logits: np.ndarray) -> np.ndarray:
    """Probabilities `(N, C)` float64 of logits `(N, C)`."""
    from isogloss.nn.answer import probabilities

    return probabilities(logits)


def answers(frame: pl.DataFrame, outputs: np.ndarray, labels: Sequence[str]) -> pl.DataFrame:
    """`frame` with `pred`, `confidence` and `probs`; `outputs (N, C)` are probabilities."""
    from isogloss.core.answers import labelled

    return labelled(frame, outputs, labels)
