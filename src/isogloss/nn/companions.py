"""Overlap-weighted beginnings of new rows: which old pieces stand in the company that a new piece keeps.

After FOCUS (Dobler and de Melo 2023, arXiv 2305.14481): a new row is a sparse mixture (sparsemax of cosines) of old rows,
of the pieces that are like it in an auxiliary space of static vectors trained on the user's text, cut with the new
tokenizer. Ours differs: the auxiliary vectors are not fastText's but a truncated SVD of the positive pointwise mutual
information of pieces within five of each other (Levy and Goldberg 2014: what skip-gram factorises), which needs no further
library and is the same at every run; and a piece that comes too seldom to have such a vector begins as the mean of its old
pieces instead of at random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from isogloss.nn.rows import sparsemax

WINDOW, WIDTH = 5, 128
FEWEST = 5  # times that a piece must come in the text
NEAR = 50  # old pieces that are looked at for a new one


def vectors(texts: Sequence[Sequence[int]], n: int, *, seed: int = 17) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors `(n, D)` of pieces from texts of pieces, and how often each came `(n,)`; rare ones have zeros."""
    from scipy import sparse
    from sklearn.utils.extmath import randomized_svd

    counts = np.bincount(np.concatenate([np.zeros(0, np.int64), *map(np.asarray, texts)]).astype(np.int64), minlength=n)
    kept = np.flatnonzero(counts >= FEWEST)
    place = np.full(n, -1)
    place[kept] = np.arange(len(kept))
    out = np.zeros((n, min(WIDTH, max(1, len(kept) - 1))))
    if len(kept) < 3:
        return out, counts
    left: list[np.ndarray] = []
    right: list[np.ndarray] = []
    for text in texts:
        at = place[np.asarray(text, np.int64)] if len(text) else np.zeros(0, np.int64)
        for step in range(1, WINDOW + 1):
            a, b = at[:-step], at[step:]
            both = (a >= 0) & (b >= 0)
            left.append(a[both])
            right.append(b[both])
    a, b = np.concatenate(left), np.concatenate(right)
    size = (len(kept), len(kept))
    together = sparse.coo_matrix((np.ones(len(a)), (a, b)), shape=size).tocsr()
    together = (together + together.T).tocoo()
    if not together.nnz:
        return out, counts
    total = together.sum()
    alone = np.asarray(together.sum(axis=1)).ravel()
    # contexts are smoothed with the power 0.75, which keeps rare ones from ruling (Levy, Goldberg and Dagan 2015)
    smooth = alone**0.75 / (alone**0.75).sum()
    information = np.log(together.data / total / (alone[together.row] / total * smooth[together.col]))
    positive = information > 0
    matrix = sparse.coo_matrix(
        (information[positive], (together.row[positive], together.col[positive])), shape=size
    ).tocsr()
    width = min(WIDTH, len(kept) - 1)
    u, s, _ = randomized_svd(matrix, width, random_state=seed)
    found = u * np.sqrt(s)
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    out[kept] = np.divide(found, lengths, out=np.zeros_like(found), where=lengths > 0)
    return out, counts


def mixtures(
    texts: Sequence[Sequence[int]], new: Sequence[int], old: Sequence[int], n: int, *, seed: int = 17
) -> Mapping[int, tuple[list[int], list[float]]]:
    """Of each new piece that comes often enough, old pieces and their shares; `old` are those whose rows are known."""
    found, counts = vectors(texts, n, seed=seed)
    known = np.array([i for i in old if counts[i] >= FEWEST and found[i].any()], np.int64)
    if not len(known):
        return {}
    out: dict[int, tuple[list[int], list[float]]] = {}
    for i in new:
        if counts[i] < FEWEST or not found[i].any():
            continue
        near = found[known] @ found[i]
        first = np.argsort(-near, kind="stable")[:NEAR]
        shares = sparsemax(near[first])
        held = shares > 0
        out[i] = (known[first][held].tolist(), shares[held].tolist())
    return out
