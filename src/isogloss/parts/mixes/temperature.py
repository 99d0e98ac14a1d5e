"""Language l is seen in proportion to n_l^tau: 1 is natural, 0 is uniform, 0.3 is the usual compromise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

Of = Literal["rows", "tokens"]


def order(
    rows: pl.DataFrame,
    rng: np.random.Generator,
    seen: Mapping[str, Any],
    *,
    tau: Annotated[float, Field(ge=0, le=1)] = 0.3,
    of: Of = "rows",
) -> np.ndarray:
    """Positions of the next window, as many as there are rows, with exact shares by language.

    Within a language rows are repeated only after all of them were used. Conneau et al. 2020 (XLM-R), section 3.1,
    where the exponent is called alpha.

    Measured (docs/results.md): of pooled n-grams natural rows were better than tau = 0.3 in the worst tenth (NusaX +2.4
    points, -0.2 to +4.9; SIB-200 +6.0, +0.3 to +11.6), and tau = 0 no better (SIB-200 -0.9, -3.2 to +1.4).
    `isogloss/mini` on SIB-200, 20 languages: tau = 0.7 +3.7 over 0.3 (-1.4 to +8.8, five seeds).

    Knobs:
        tau: exponent on the number of rows of a language, 0..1.
        of: what shares are of, "rows" or "tokens"; then n_l are tokens too.

    >>> import numpy as np, polars as pl
    >>> rows = pl.DataFrame({"lang": ["a"] * 6 + ["b"] * 2})
    >>> sorted(order(rows, np.random.default_rng(0), {}, tau=0.0).tolist())[-4:]
    [6, 6, 7, 7]
    """
    from isogloss.core import windows

    code, weight = _weights(rows, tau, of)
    return windows.window(rows, code, weight, rows.height, rng, of)


def shares(rows: pl.DataFrame, *, tau: float, of: Of) -> np.ndarray:
    """How often each row comes on average, `(N,)`."""
    from isogloss.core import windows

    code, weight = _weights(rows, tau, of)
    return windows.expected(rows, code, weight, of)


def _weights(rows: pl.DataFrame, tau: float, of: Of) -> tuple[np.ndarray, np.ndarray]:
    from isogloss.core import windows

    names, code = windows.by_lang(rows)
    return code, windows.sizes(code, windows.amounts(rows, of), len(names)) ** tau
