"""Exact nearest neighbours among unit vectors, in blocks of bounded memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

# Cosines held at once: 64 MB.
HELD = 16_000_000


def nearest(
    queries: np.ndarray,
    docs: np.ndarray,
    k: int,
    *,
    skip_self: bool = False,
    tick: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Positions `(Q, k)` int64 of the `k` docs nearest to each query, nearest first, and their cosines `(Q, k)`.

    `queries (Q, D)` and `docs (N, D)` are unit vectors, float32. With `skip_self` query i is doc i, and does not find
    itself. `k` is cut to what there is. `tick` hears how many queries are done.
    """
    k = min(k, len(docs) - skip_self)
    positions, cosines = np.zeros((len(queries), k), np.int64), np.zeros((len(queries), k), np.float32)
    docs_ND = torch.from_numpy(np.ascontiguousarray(docs, np.float32))
    block = max(1, HELD // max(1, len(docs)))
    for start in range(0, len(queries) if k else 0, block):
        part = torch.from_numpy(np.ascontiguousarray(queries[start : start + block], np.float32))
        cosines_QN = part @ docs_ND.T
        if skip_self:
            cosines_QN[torch.arange(len(part)), torch.arange(start, start + len(part))] = -torch.inf
        best = cosines_QN.topk(k, dim=1)
        positions[start : start + block], cosines[start : start + block] = best.indices.numpy(), best.values.numpy()
        if tick:
            tick(start + len(part))
    return positions, cosines
