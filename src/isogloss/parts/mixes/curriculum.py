"""What is easy first: short texts, rows of little loss, or languages near the source; all of it from some time on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

By = Literal["length", "loss", "source"]


def needs(*, by: By = "length") -> tuple[str, ...]:
    """It is about the order in time; by loss it looks at each row's."""
    return ("time", "loss") if by == "loss" else ("time",)


def check(*, source: str | None = None) -> None:
    """Refuse a source that is no language. Raises RecipeError."""
    if source is not None:
        _tag(source)


def order(
    rows: pl.DataFrame,
    rng: np.random.Generator,
    seen: Mapping[str, Any],
    *,
    by: By = "length",
    start: Annotated[float, Field(gt=0, le=1)] = 0.2,
    until: Annotated[float, Field(gt=0, le=1)] = 0.5,
    source: str | None = None,
    tau: Annotated[float, Field(ge=0, le=1)] = 1.0,
) -> np.ndarray:
    """Positions of the next window, a tenth of the corpus, from the easiest share of it.

    The share, "competence", is sqrt(c0^2 + (1 - c0^2) t / T), with c0 = `start` and T = `until`: as fast as the share
    grows, each row has as long to be learned (Platanios et al. 2019). Length and loss are compared inside a language, so
    that no script is hard because it writes more; by source, languages come one after the other, nearest first (the mean
    of distances in kinship, place and WALS). A row that was never met has no loss, and comes before those that have one.

    Measured (docs/results.md): `isogloss/mini` on SIB-200, 20 languages with 50 times imbalance, 80 steps, five seeds,
    by length: worst tenth +3.8 points over temperature with tau = 0.3 (-2.3 to +9.8), mean +3.6 (+0.6 to +6.6); natural
    rows without an order +2.5 and +1.5. By loss and by source were not measured.

    Knobs:
        by: what makes a row hard: "length" of its text, its last "loss", or the distance of its language from "source".
        start: share of the rows to begin with, 0..1.
        until: share of the run from which on every row takes part.
        source: the language that is near to itself; default: the one with most rows.
        tau: exponent on the number of rows of a language, 0..1; 1 is as languages are.

    >>> import numpy as np, polars as pl
    >>> rows = pl.DataFrame({"lang": ["a"] * 100, "n_bytes": range(100)})
    >>> [int(order(rows, np.random.default_rng(0), {"progress": p}, start=0.1).max()) <= 10 for p in (0.0, 0.5)]
    [True, False]
    """
    import numpy as np

    from isogloss.core import windows

    names, code = windows.by_lang(rows)
    share = min(1.0, np.sqrt(start**2 + (1 - start**2) * min(1.0, seen.get("progress", 0.0) / until)))
    if by == "source":
        sizes = seen.get("sizes") or dict(zip(names, np.bincount(code).tolist(), strict=True))
        nearest = _nearest_first(source or max(sizes, key=lambda lang: (sizes[lang], lang)), sorted(sizes))
        allowed = set(nearest[: max(1, round(share * len(nearest)))])
        present = np.array([name in allowed for name in names])
        easy = present[code] if present.any() else np.ones(rows.height, bool)
    else:
        easy = _rank(code, _hardness(rows, by)) < np.ceil(share * np.bincount(code))[code]
    at = np.flatnonzero(easy)
    weight = np.bincount(code).astype(float) ** tau
    return at[windows.window(rows[at], code[at], weight, windows.short(rows, seen), rng)]


def _hardness(rows: pl.DataFrame, by: By) -> np.ndarray:
    import numpy as np

    from isogloss.core import windows

    if by == "length":
        return windows.amounts(rows, "tokens")
    known = rows["loss"].to_numpy() if "loss" in rows.columns else np.full(rows.height, np.nan)
    return np.where(np.isnan(known), -np.inf, known)


def _rank(code: np.ndarray, hardness: np.ndarray) -> np.ndarray:
    """The place of each row among those of its language, from 0, easiest first."""
    import numpy as np

    order = np.lexsort((hardness, code))
    begins = np.concatenate([[0], np.cumsum(np.bincount(code))[:-1]])
    rank = np.empty(len(code), np.int64)
    rank[order] = np.arange(len(code)) - begins[code[order]]
    return rank


def _nearest_first(source: str, langs: Sequence[str]) -> list[str]:
    """Languages by their mean distance from the source, in what is known of both; the unknown last."""
    import numpy as np

    from isogloss.core import typology

    tag = _tag(source)

    def far(lang: str) -> float:
        if lang == tag:
            return -1.0
        known = [
            d.value
            for kind in ("genetic", "geographic", "qwals")
            if (d := typology.distance(tag, lang, kind)).value is not None
        ]
        return float(np.mean(known)) if known else np.inf

    return sorted(langs, key=lambda lang: (far(lang), lang))


def _tag(code: str) -> str:
    from isogloss.core import lang
    from isogloss.core.errors import DataError, RecipeError

    try:
        return lang.resolve(code).tag
    except DataError as error:
        raise RecipeError(str(error), key="source") from None
