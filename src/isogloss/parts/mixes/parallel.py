"""Rows of one group come together, several languages at a time; languages that score worst on dev come more often."""

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
    together: Annotated[int, Field(ge=2)] = 4,
    focus: Annotated[float, Field(ge=0)] = 0.0,
) -> np.ndarray:
    """Positions of the next window: blocks of up to `together` rows of one group, the blocks in random order.

    Every row comes about once, so that a group comes in proportion to its rows. A block of one is filled up with another
    row of its group, where there is one.

    Knobs:
        together: rows of a group in a block; the batch should be a multiple of it.
        focus: a language comes in proportion to (1 - its dev score) ** focus, with mean 1; 0 is evenly.

    >>> import numpy as np, polars as pl
    >>> rows = pl.DataFrame({"lang": ["a", "b", "a", "b"], "group": ["1", "1", "2", "2"]})
    >>> window = order(rows, np.random.default_rng(0), {})
    >>> sorted(window.tolist()), bool(window[0] // 2 == window[1] // 2)
    ([0, 1, 2, 3], True)
    """
    import numpy as np

    groups = _groups(rows)
    sizes = np.bincount(groups)
    tied = _times(rows["lang"].to_numpy(), rng, seen.get("dev", {}), focus)
    # Rows of a group in random order, cut into blocks; what is drawn twice lies apart.
    turn = _turns(tied)
    by_group = tied[np.lexsort((rng.random(len(tied)), turn, groups[tied]))]
    own = groups[by_group]
    block = np.cumsum(_turns(own) % together == 0) - 1
    alone = np.flatnonzero((np.bincount(block)[block] == 1) & (sizes[own] > 1))
    if len(alone):
        everyone = np.argsort(groups, kind="stable")
        begins = np.searchsorted(groups[everyone], own[alone])
        there = begins + rng.integers(0, sizes[own[alone]])
        here = everyone[there]
        here = np.where(here == by_group[alone], everyone[begins + (there - begins + 1) % sizes[own[alone]]], here)
        by_group, block = np.concatenate([by_group, here]), np.concatenate([block, block[alone]])
    return by_group[np.lexsort((block, rng.permutation(block.max() + 1)[block]))]


def _groups(rows: pl.DataFrame) -> np.ndarray:
    """Codes of the groups; a row without group is one of its own."""
    import numpy as np
    import polars as pl

    named = rows["group"] if "group" in rows.columns else pl.Series([None] * rows.height, dtype=pl.String)
    codes = named.rank("dense").to_numpy().astype(np.float64)
    nameless = np.isnan(codes)
    codes[nameless] = np.nanmax(codes, initial=0) + 1 + np.arange(nameless.sum())
    return codes.astype(np.int64) - 1


def _times(langs: np.ndarray, rng: np.random.Generator, dev: Mapping[str, float], focus: float) -> np.ndarray:
    """Places of rows, each as often as its language is to come."""
    import numpy as np

    names, code = np.unique(langs.astype(str), return_inverse=True)
    if not focus or not dev:
        return np.arange(len(langs))
    known = [dev[name] for name in names if name in dev]
    missed = np.array([1 - dev.get(name, float(np.mean(known or [0.0]))) for name in names]).clip(0.01)
    weight = (missed**focus)[code]
    weight /= weight.mean()
    return np.repeat(np.arange(len(langs)), np.floor(weight + rng.random(len(langs))).astype(np.int64))


def _turns(positions: np.ndarray) -> np.ndarray:
    """For each element how many equal ones stand before it; equal ones stand together."""
    import numpy as np

    first = np.concatenate([[True], positions[1:] != positions[:-1]])
    return np.arange(len(positions)) - np.maximum.accumulate(np.where(first, np.arange(len(positions)), 0))
