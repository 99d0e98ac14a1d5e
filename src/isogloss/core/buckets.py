"""A window of the mix as batches of rows of like length. Pure: training cuts so, and estimates of it count so."""

from __future__ import annotations

import numpy as np

# Batches in a row among which rows of like length are put together.
POOL = 50


def cut(
    window: np.ndarray, lengths: np.ndarray | None, n_rows: int, n_tokens: int | None, rng: np.random.Generator
) -> list[np.ndarray]:
    """A window `(W,)` of positions as batches of rows of like length.

    Rows are compared inside pools of `POOL` batches in a row, so that the order of the window, a curriculum for instance,
    stays what it is from pool to pool; the batches of a pool come in random order. With `n_rows` sizes differ by at most
    one; with `n_tokens` a batch has as many rows as fit, the longest times their number, and at least one.
    Without `lengths` the order stays as it is.

    >>> parts = cut(np.arange(5), np.array([9, 1, 8, 2, 3]), 2, None, np.random.default_rng(0))
    >>> sorted(sorted(part.tolist()) for part in parts)
    [[0], [1, 3], [2, 4]]
    """
    if lengths is None:
        return np.array_split(window, -(-len(window) // n_rows))
    own = lengths[window]
    if n_tokens is None:
        n_batches = -(-len(window) // n_rows)
        pools = np.array_split(np.arange(len(window)), -(-n_batches // POOL))
    else:
        pools = np.split(np.arange(len(window)), _ends(own, POOL * n_tokens))
    batches: list[np.ndarray] = []
    for pool in pools:
        shuffled = rng.permutation(pool)
        order = shuffled[np.argsort(own[shuffled], kind="stable")]
        parts = np.array_split(order, -(-len(pool) // n_rows)) if n_tokens is None else _packed(order, own, n_tokens)
        batches += [window[parts[i]] for i in rng.permutation(len(parts)).tolist()]
    return batches


def _ends(lengths: np.ndarray, n_tokens: int) -> np.ndarray:
    """Where to part rows so that each part has about `n_tokens` tokens."""
    part = (np.cumsum(lengths) - 1) // n_tokens
    return np.flatnonzero(np.diff(part)) + 1


def _packed(order: np.ndarray, lengths: np.ndarray, n_tokens: int) -> list[np.ndarray]:
    """Rows, shortest first, as batches of up to `n_tokens` tokens with padding; a longer row is a batch of its own."""
    parts, start = [], 0
    for end in range(1, len(order) + 1):
        if end == len(order) or lengths[order[end]] * (end + 1 - start) > n_tokens:
            parts.append(order[start:end])
            start = end
    return parts
