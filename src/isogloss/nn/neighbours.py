"""Hidden states of sentences in the middle of a model, for the search of nearest neighbours."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from isogloss.core.errors import DataError, InputError
from isogloss.nn.answer import by_length
from isogloss.nn.batches import padded, token_ids
from isogloss.nn.embedder import Embedder
from isogloss.nn.pooling import pooled

# Tokens of a sentence that are read, and of a batch, padding included.
LENGTH, BATCH = 128, 2048
# Sentences that are timed before the others are begun.
TIMED = 8


def middle(n_blocks: int) -> list[int]:
    """The middle third of the states of a model, 0 being the embeddings; of mBERT's twelve blocks 4 to 8.

    In the middle, translations are nearest to each other (Pires et al. 2019: mBERT, 5 to 8); the last states serve the
    task of pretraining, the first ones spelling.

    >>> middle(12), middle(4), middle(1)
    ([4, 5, 6, 7, 8], [2], [1])
    """
    return list(range(math.ceil(n_blocks / 3), 2 * n_blocks // 3 + 1)) or [(n_blocks + 1) // 2]


def states(
    embedder: Embedder,
    texts: Sequence[str],
    *,
    begin: Callable[[int, float], None] | None = None,
    tick: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, list[int]]:
    """Means over tokens `(L, N, D)` float32 of the states of the middle layers, and which layers these are.

    At most `LENGTH` tokens of a text are read, no prompt stands before it, and nothing above the transformer takes part.
    `begin` hears, after a first small batch, how many tokens there are and about how many seconds they will take; `tick`
    how many texts are done. Raises DataError for a text without tokens, InputError for a model that gives no states.
    """
    model = embedder.model
    ids, _ = token_ids(model, texts, LENGTH)
    none = next((i for i, row in enumerate(ids) if not len(row)), None)
    if none is not None:
        raise DataError(f"'{texts[none][:40]}' has no token in the vocabulary of {embedder.name}; leave it out")
    layers: list[int] = []

    def read(at: Sequence[int]) -> np.ndarray:
        with torch.inference_mode():
            batch = padded(model, [ids[i] for i in at])
            every = getattr(model.net(**batch, output_hidden_states=True), "hidden_states", None)
            if not every or len(every) < 2:
                raise InputError(
                    f"{embedder.name} gives no states of its layers, in which neighbours could be looked for"
                )
            layers[:] = middle(len(every) - 1)
            means = [pooled(every[layer], batch["attention_mask"], "mean") for layer in layers]
            return torch.stack(means).cpu().numpy()

    if begin is not None:
        n_tokens = sum(map(len, ids))
        some = np.argsort([len(row) for row in ids], kind="stable")[:: max(1, len(ids) // TIMED)][:TIMED].tolist()
        read(some[:1])  # the first call of all allocates
        start = time.perf_counter()
        read(some)
        begin(n_tokens, (time.perf_counter() - start) * n_tokens / max(1, sum(len(ids[i]) for i in some)))
    out: np.ndarray | None = None
    done = 0
    for at in by_length([len(row) for row in ids], BATCH):
        part = read(at.tolist())
        if out is None:
            out = np.zeros((part.shape[0], len(ids), part.shape[2]), np.float32)
        out[:, at] = part
        done += len(at)
        if tick:
            tick(done)
    if out is None:
        raise DataError("there is no text to read")
    return out, layers
