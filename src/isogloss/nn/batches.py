"""From rows to batches: token ids, the order of the mix cut into global batches, and who computes which row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from isogloss.core.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from isogloss.core.recipe import Bound
    from isogloss.nn.model import TextModel


def token_ids(model: TextModel, texts: Sequence[str], max_length: int) -> tuple[list[list[int]], np.ndarray]:
    """The pieces of each text with special tokens, cut to `max_length`; and which texts were cut `(N,)`."""
    limit = min(max_length, model.max_length)
    if not texts:
        return [], np.zeros(0, bool)
    every = model.tokenizer(
        list(texts), truncation=False, return_attention_mask=False, return_token_type_ids=False, verbose=False
    )["input_ids"]
    cut = np.array([len(ids) > limit for ids in every])
    at = np.flatnonzero(cut)
    if len(at):
        short = model.tokenizer(
            [texts[i] for i in at.tolist()],
            truncation=True,
            max_length=limit,
            return_attention_mask=False,
            return_token_type_ids=False,
        )["input_ids"]
        for i, ids in zip(at, short, strict=True):
            every[i] = ids
    return every, cut


def padded(model: TextModel, ids: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask`, both (B, T) with T the longest of them, on the device of the model."""
    width = max(map(len, ids))
    pad = model.tokenizer.pad_token_id or 0
    device = next(model.parameters()).device
    input_ids = torch.full((len(ids), width), pad, dtype=torch.long)
    mask = torch.zeros((len(ids), width), dtype=torch.long)
    for i, row in enumerate(ids):
        input_ids[i, : len(row)] = torch.tensor(row, dtype=torch.long)
        mask[i, : len(row)] = 1
    return {"input_ids": input_ids.to(device), "attention_mask": mask.to(device)}


class Feed:
    """The order of the mix, window after window, as global batches. What it holds is all that a resume needs."""

    def __init__(self, mix: Bound, rows: pl.DataFrame, seed: int) -> None:
        self._mix, self._rows = mix, rows
        self._rng = np.random.default_rng(seed)
        self.window: np.ndarray = np.zeros(0, np.int64)
        self.taken = 0
        self.n_windows = 0

    def take(self, n: int, seen: Mapping[str, Any]) -> np.ndarray:
        """Positions of the next `n` rows; a new window is asked of the mix when the last one is used up.

        Raises InputError when the mix gives something that is no window.
        """
        picked: list[np.ndarray] = []
        while n:
            if self.taken == len(self.window):
                self.window, self.taken, self.n_windows = self._next(seen), 0, self.n_windows + 1
            part = self.window[self.taken : self.taken + n]
            self.taken, n = self.taken + len(part), n - len(part)
            picked.append(part)
        return np.concatenate(picked)

    def _next(self, seen: Mapping[str, Any]) -> np.ndarray:
        window = np.asarray(self._mix("order", self._rows, self._rng, seen))
        whole = window.ndim == 1 and len(window) > 0 and np.issubdtype(window.dtype, np.integer)
        if not whole or window.min() < 0 or window.max() >= self._rows.height:
            raise InputError(
                f"the mix '{self._mix.name}' must give positions 0..{self._rows.height - 1} in one dimension, "
                "as integers, at least one"
            )
        return window.astype(np.int64)

    def state(self) -> dict[str, Any]:
        return {"rng": self._rng.bit_generator.state, "taken": self.taken, "n_windows": self.n_windows}

    def restore(self, state: Mapping[str, Any], window: np.ndarray) -> None:
        self._rng.bit_generator.state = state["rng"]
        self.window, self.taken, self.n_windows = window, state["taken"], state["n_windows"]


def deal(lengths: np.ndarray, rank: int, size: int, n_micro: int, ties: np.ndarray | None = None) -> list[np.ndarray]:
    """Places in the global batch that process `rank` of `size` computes, as exactly `n_micro` micro-batches.

    Rows go round robin by length, so that every process and every micro-batch has rows of like length; a micro-batch
    may be empty when there are fewer rows than hands. Rows of equal `ties (B,)` are not parted.

    >>> [part.tolist() for part in deal(np.array([5, 9, 7, 8]), rank=0, size=2, n_micro=2)]
    [[1], [2]]
    >>> [part.tolist() for part in deal(np.array([5, 9, 7, 8]), 0, 2, 1, ties=np.array([4, 6, 6, 4]))]
    [[1, 2]]
    """
    if ties is None:
        order = np.argsort(-lengths, kind="stable")
        return np.array_split(order[rank::size], n_micro)
    _, code = np.unique(ties, return_inverse=True)
    longest = np.zeros(code.max(initial=-1) + 1, np.int64)
    np.maximum.at(longest, code, lengths)
    mine = np.argsort(-longest, kind="stable")[rank::size]
    return [np.flatnonzero(np.isin(code, some)) for some in np.array_split(mine, n_micro)]
