"""Language l is seen in proportion to n_l^tau: 1 is natural, 0 is uniform, 0.3 is the usual compromise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


def order(
    rows: pl.DataFrame,
    rng: np.random.Generator,
    seen: Mapping[str, Any],
    *,
    tau: Annotated[float, Field(ge=0, le=1)] = 0.3,
) -> np.ndarray:
    """Positions of the next window, as many as there are rows, with exact shares by language.

    Within a language rows are repeated only after all of them were used. Conneau et al. 2020 (XLM-R), section 3.1,
    where the exponent is called alpha.

    Knobs:
        tau: exponent on the number of rows of a language, 0..1.

    >>> import numpy as np, polars as pl
    >>> rows = pl.DataFrame({"lang": ["a"] * 6 + ["b"] * 2})
    >>> sorted(order(rows, np.random.default_rng(0), {}, tau=0.0).tolist())[-4:]
    [6, 6, 7, 7]
    """
    import numpy as np

    codes = rows["lang"].rank("dense").to_numpy() - 1
    sizes = np.bincount(codes)
    shares = sizes.astype(float) ** tau
    shares /= shares.sum()
    wanted = largest_remainder(shares, rows.height)
    picked = []
    for code, n in enumerate(wanted):
        own = np.flatnonzero(codes == code)
        rounds = [rng.permutation(own) for _ in range(-(-n // len(own)))]
        picked.append(np.concatenate(rounds)[:n] if rounds else own[:0])
    window = np.concatenate(picked)
    return window[rng.permutation(len(window))]


def largest_remainder(shares: np.ndarray, n: int) -> np.ndarray:
    """Whole numbers that sum to `n`, nearest to `shares * n`.

    >>> import numpy as np
    >>> largest_remainder(np.array([0.5, 0.25, 0.25]), 3).tolist()
    [1, 1, 1]
    """
    import numpy as np

    exact = shares * n
    whole = np.floor(exact).astype(int)
    short = np.argsort(-(exact - whole), kind="stable")[: n - whole.sum()]
    whole[short] += 1
    return whole
