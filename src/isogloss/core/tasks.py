"""Several tasks in one corpus: every row names its task, and its label begins with it, `topic/sports`.

One head answers over the labels of all tasks; a row may only have those of its own, so that this equals a head for each
task on one trunk. `NAME@TASK` is the metric NAME on the rows of one task, so that reports have scores by language and task;
what chooses among checkpoints while training is the mean over tasks, each of which is measured by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

BETWEEN = "/"


def named(task: str, label: str) -> str:
    """A label with its task.

    >>> named("topic", "sports")
    'topic/sports'
    """
    return f"{task}{BETWEEN}{label}"


def task_of(label: str) -> str:
    """The task of a label.

    >>> task_of("topic/sports/ball")
    'topic'
    """
    return label.partition(BETWEEN)[0]


def allowed(tasks: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """Which of the labels each row may have, by its task, `(N, C)`."""
    import numpy as np

    own = np.array([task_of(label) for label in labels], dtype=object)
    return np.asarray(np.array(tasks, dtype=object)[:, None] == own[None, :], dtype=bool).reshape(-1, len(labels))


def masked(probs: np.ndarray, tasks: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """Probabilities `(N, C)` over the labels of each row's own task; all alike where these have none.

    >>> import numpy as np
    >>> masked(np.array([[0.2, 0.2, 0.6]]), ["a"], ["a/x", "a/y", "b/x"]).tolist()
    [[0.5, 0.5, 0.0]]
    """
    import numpy as np

    may = allowed(tasks, labels)
    own = np.where(may, probs, 0.0)
    total = own.sum(axis=1, keepdims=True)
    even = may / np.maximum(may.sum(axis=1, keepdims=True), 1)
    return np.where(total > 0, own / np.where(total > 0, total, 1.0), even)


@dataclass(frozen=True)
class OfTask:
    """A metric on the rows of one task. The rows of others count zero."""

    metric: Any
    task: str

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        first = (self.metric.__doc__ or "").strip().partition("\n")[0].rstrip(".")
        return f"{first}, in the task {self.task}."

    def __getattr__(self, name: str) -> Any:
        if name == "READS":
            from isogloss.core.metric import reads

            return (*reads(self.metric), "task")
        return getattr(self.metric, name)

    def stats(self, rows: pl.DataFrame, labels: Sequence[str]) -> np.ndarray:
        import numpy as np
        import polars as pl

        at = np.flatnonzero((rows["task"] == self.task).fill_null(False).to_numpy())
        own = [i for i, label in enumerate(labels) if task_of(label) == self.task]
        some = rows[at]
        if "probs" in some.columns:
            some = some.with_columns(pl.col("probs").list.gather(own) if len(at) else pl.col("probs"))
        counts = np.asarray(self.metric.stats(some, [labels[i] for i in own]), dtype=np.float64)
        out = np.zeros((rows.height, counts.shape[1]))
        out[at] = counts
        return out
