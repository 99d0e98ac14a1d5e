"""What a model says of rows, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


def labelled(frame: pl.DataFrame, probs: np.ndarray, labels: Sequence[str]) -> pl.DataFrame:
    """Add `pred`, `confidence` and `probs` `(N, C)` to rows."""
    import numpy as np
    import polars as pl

    best = probs.argmax(axis=1) if len(probs) else np.zeros(0, int)
    return frame.with_columns(
        pl.Series("pred", [labels[i] for i in best], dtype=pl.String),
        pl.Series("confidence", probs.max(axis=1) if len(probs) else [], dtype=pl.Float64),
        pl.Series("probs", probs.tolist(), dtype=pl.List(pl.Float64)),
    )
