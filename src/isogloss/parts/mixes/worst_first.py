"""Languages that lie furthest behind their n-gram floor come more often, as far as their dev rows can show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

Of = Literal["rows", "tokens"]


def needs() -> tuple[str, ...]:
    """It looks at dev scores while the model is trained, and at those of n-grams before."""
    return ("dev", "floor")


def order(
    rows: pl.DataFrame,
    rng: np.random.Generator,
    seen: Mapping[str, Any],
    *,
    tau: Annotated[float, Field(ge=0, le=1)] = 0.3,
    strength: Annotated[float, Field(ge=0)] = 5.0,
    bound: Annotated[float, Field(ge=1)] = 4.0,
    memory: Annotated[int, Field(ge=1)] = 3,
    of: Of = "rows",
) -> np.ndarray:
    """Positions of the next window, a tenth of the corpus.

    Language l comes in proportion to n_l^tau f_l with f_l = exp(strength (e_l - mean e)), at most `bound` times as often
    as without, or as seldom. e_l is the floor's dev score less the model's (the mean of the last `memory` evaluations),
    shrunk to the mean of all languages by how few dev rows there are: five rows move nothing, a language without any
    comes as the mean does. Group DRO (Sagawa et al. 2020) by exponentiated gradient, with the excess over a reference
    (DoReMi, Xie et al. 2023) of each language's own n-grams, on scores and while the model is trained.

    Measured (docs/results.md): `isogloss/mini` on SIB-200 with 50 times imbalance: no gain over tau = 0.3 that could be told
    (worst tenth, 10 languages, 40 steps -0.4 points, -5.4 to +4.6; 20 languages, 80 steps, five seeds +3.2, -1.6 to
    +8.1).

    Knobs:
        tau: exponent on the number of rows of a language, 0..1: the shares before anything is known.
        strength: of the answer to an excess; 5 makes 1.6 times of ten points.
        bound: the most by which a share is multiplied or divided.
        memory: evaluations that are averaged.
        of: what shares are of, "rows" or "tokens"; then n_l are tokens too.

    >>> import numpy as np, polars as pl
    >>> rows = pl.DataFrame({"lang": ["a"] * 50 + ["b"] * 50})
    >>> seen = {"course": [{"a": 0.8, "b": 0.3}], "floor": {"a": 0.7, "b": 0.7}, "n_dev": {"a": 500, "b": 500}}
    >>> sorted(np.bincount(order(rows, np.random.default_rng(0), seen) // 50).tolist())
    [1, 9]
    """
    import numpy as np

    from isogloss.core import windows

    names, code = windows.by_lang(rows)
    size = windows.sizes(code, windows.amounts(rows, of), len(names))
    factor = np.ones(len(names))
    course = [dev for dev in seen.get("course") or [] if dev][-memory:]
    if course:
        sign = -1.0 if seen.get("better") == "lower" else 1.0
        excess = _excess(names, course, seen, sign)
        factor = np.exp(np.clip(strength * (excess - excess.mean()), -np.log(bound), np.log(bound)))
    return windows.window(rows, code, size**tau * factor, windows.short(rows, seen), rng, of)


def _excess(names: list[str], course: list[dict[str, float]], seen: Mapping[str, Any], sign: float) -> np.ndarray:
    """How far each language lies behind its floor, shrunk; the mean where nothing is known."""
    import numpy as np

    from isogloss.core import evidence, windows

    known = [[dev[name] for dev in course if name in dev] for name in names]
    dev = np.array([np.mean(own) if own else np.nan for own in known])
    floor = windows.of_lang(seen, "floor", names, np.nan)
    if np.isnan(floor).all():
        floor = np.zeros(len(names))
    n = windows.of_lang(seen, "n_dev", names)
    away = sign * (floor - dev)
    # of a share of right answers; a score without such a range is as uncertain as a coin. One for all languages: what
    # looks sure because it is extreme must not weigh more
    each = [np.where((x >= 0) & (x <= 1), x * (1 - x), 0.25) for x in (floor, dev)]
    spread = each[0] + each[1]
    known_at = ~np.isnan(away) & (n >= 1)
    usual = max(float(spread[known_at].mean()), 0.02) if known_at.any() else 0.5
    noise = np.where(known_at, usual / np.maximum(n, 1), np.inf)
    return evidence.shrunk(np.nan_to_num(away), noise, doubt=1.0)
