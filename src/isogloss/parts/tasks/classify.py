"""One label for a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

FIELDS = ("label",)
METRICS = ("accuracy", "macro_f1", "precision", "recall", "log_loss", "calibration_error", "consistency")
HEADLINE = "macro_f1"


def labels(train: pl.DataFrame, *, labels: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The label set, sorted: those given, else those that train rows have.

    A label that appears only in dev or test cannot be learned: it stays outside, counts as an error and is reported.

    Knobs:
        labels: the allowed labels; a row with another one is set aside while reading. Empty: those of the train rows.

    >>> import polars as pl
    >>> labels(pl.DataFrame({"label": ["no", "yes", "no"]}))
    ('no', 'yes')
    """
    return tuple(labels) or tuple(sorted(train["label"].unique().to_list()))
