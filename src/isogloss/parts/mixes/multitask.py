"""Several tasks in one run: each has a share that its number of rows gives it, and inside it each language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

Of = Literal["rows", "tokens"]
Exponent = Annotated[float, Field(ge=0, le=1)]


def needs() -> tuple[str, ...]:
    """Its rows name their task."""
    return ("task",)


def order(
    rows: pl.DataFrame,
    rng: np.random.Generator,
    seen: Mapping[str, Any],
    *,
    tau: Exponent = 0.5,
    tau_langs: Exponent = 1.0,
    of: Of = "rows",
) -> np.ndarray:
    """Positions of the next window, as many as there are rows, with exact shares by task and by language inside a task.

    A task comes in proportion to n^tau of its rows, and a language of it in proportion to n^tau_langs of its rows in
    that task, so that a small task is not drowned by a large one, and no language of it by its others. The exponent is that of
    `temperature`, over tasks. Measured with tau = 0 in docs/results.md, as the task `multitask` says.

    Knobs:
        tau: exponent on the number of rows of a task, 0..1: 1 is as tasks are, 0 all alike.
        tau_langs: exponent on the number of rows of a language inside a task.
        of: what shares are of, "rows" or "tokens"; then n are tokens too.

    >>> import numpy as np, polars as pl
    >>> rows = pl.DataFrame({"task": ["t"] * 75 + ["s"] * 25, "lang": ["a"] * 100})
    >>> int((order(rows, np.random.default_rng(0), {}, tau=0.0) >= 75).sum())
    50
    """
    import numpy as np
    import polars as pl

    from isogloss.core import windows

    pair = pl.struct("task", "lang").rank("dense").cast(pl.Int64) - 1
    code = rows.select(pair).to_series().to_numpy()
    each = windows.amounts(rows, of)
    size = windows.sizes(code, each, code.max() + 1)
    task = np.zeros(len(size), np.int64)
    task[code] = rows["task"].rank("dense").to_numpy().astype(np.int64) - 1
    inside = size**tau_langs
    inside /= np.bincount(task, weights=inside)[task]
    shares = np.bincount(task, weights=size)[task] ** tau * inside
    return windows.window(rows, code, shares, rows.height, rng, of)
