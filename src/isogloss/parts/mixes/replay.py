"""So many of the rows are of old languages, which the model must not forget; the others share the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

Of = Literal["rows", "tokens"]


def check(*, old: Annotated[list[str], Field(min_length=1)]) -> None:
    """Refuse what is no language. Raises RecipeError."""
    _tags(old)


def order(
    rows: pl.DataFrame,
    rng: np.random.Generator,
    seen: Mapping[str, Any],
    *,
    old: Annotated[list[str], Field(min_length=1)],
    share: Annotated[float, Field(gt=0, lt=1)] = 0.2,
    tau: Annotated[float, Field(ge=0, le=1)] = 1.0,
    of: Of = "rows",
) -> np.ndarray:
    """Positions of the next window, as many as there are rows.

    For a model that knew some languages before and is trained on others now. Inside old and new, language l comes in
    proportion to n_l^tau. Where only one kind has rows, it has all. Raises InputError where no old language has rows.

    Measured (docs/results.md) only as a share: half of the rows of the ten largest of 20 languages, `isogloss/mini` on
    SIB-200, no gain over tau = 0.3 that could be told (worst tenth -0.2 points, -5.3 to +4.9, five seeds). Whether it keeps
    a model from forgetting was not measured.

    Knobs:
        old: the languages that are replayed.
        share: of the rows (or tokens) that are theirs, 0..1.
        tau: exponent on the number of rows of a language, 0..1.
        of: what shares are of, "rows" or "tokens"; then n_l are tokens too.

    >>> import numpy as np, polars as pl
    >>> rows = pl.DataFrame({"lang": ["eng_Latn"] * 90 + ["swh_Latn"] * 10})
    >>> int((order(rows, np.random.default_rng(0), {}, old=["eng"], share=0.3) < 90).sum())
    30
    """
    from isogloss.core import windows

    code, weight = _weights(rows, seen.get("sizes"), old, share, tau, of)
    return windows.window(rows, code, weight, rows.height, rng, of)


def shares(rows: pl.DataFrame, *, old: list[str], share: float, tau: float, of: Of) -> np.ndarray:
    """How often each row comes on average, `(N,)`."""
    from isogloss.core import windows

    code, weight = _weights(rows, None, old, share, tau, of)
    return windows.expected(rows, code, weight, of)


def _weights(
    rows: pl.DataFrame, sizes: Mapping[str, int] | None, old: list[str], share: float, tau: float, of: Of
) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    from isogloss.core import windows
    from isogloss.core.errors import InputError

    names, code = windows.by_lang(rows)
    tags = _tags(old)
    if not tags & set(sizes or names):
        raise InputError(f"train.mix: none of the old languages ({', '.join(sorted(tags))}) has train rows to replay")
    size = windows.sizes(code, windows.amounts(rows, of), len(names)) ** tau
    weight = np.zeros(len(names))
    is_old = np.array([name in tags for name in names])
    for kind, part in ((is_old, share), (~is_old, 1 - share)):
        if kind.any():
            weight += part * np.where(kind, size, 0.0) / size[kind].sum()
    return code, weight


def _tags(codes: list[str]) -> set[str]:
    from isogloss.core import lang
    from isogloss.core.errors import DataError, RecipeError

    try:
        return {lang.resolve(code).tag for code in codes}
    except DataError as error:
        raise RecipeError(str(error), key="old") from None
