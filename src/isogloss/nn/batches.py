"""From rows to batches: token ids, the order of the mix cut into global batches, and who computes which row."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from isogloss.core.buckets import cut
from isogloss.core.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from isogloss.core.recipe import Bound
    from isogloss.nn.model import TextModel

# Texts that are encoded in one call, so that the lists of a million rows are never there together.
AT_ONCE = 10_000


def token_ids(model: TextModel, texts: Sequence[str], max_length: int) -> tuple[list[np.ndarray], np.ndarray]:
    """The pieces of each text with special tokens, int32 `(T,)`, cut to `max_length`; and which texts were cut `(N,)`.

    What is met is noted in `model.noted`, where that is asked.
    """
    limit = min(max_length, model.max_length)
    every: list[np.ndarray] = []
    cut = np.zeros(len(texts), bool)
    plain: dict[str, Any] = {"return_attention_mask": False, "return_token_type_ids": False}
    for start in range(0, len(texts), AT_ONCE):
        some = list(texts[start : start + AT_ONCE])
        ids = model.tokenizer(some, truncation=False, verbose=False, **plain)["input_ids"]
        at = [i for i, row in enumerate(ids) if len(row) > limit]
        if at:
            short = model.tokenizer([some[i] for i in at], truncation=True, max_length=limit, **plain)["input_ids"]
            for i, row in zip(at, short, strict=True):
                ids[i] = row
            cut[[start + i for i in at]] = True
        every += [np.array(row, np.int32) for row in ids]
    if model.noted is not None:
        for row in every:
            model.noted[row] = True
    return every, cut


def padded(model: TextModel, ids: Sequence[Sequence[int] | np.ndarray]) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask`, both (B, T) with T the longest of them, on the device of the model."""
    width = max(map(len, ids))
    pad = model.tokenizer.pad_token_id or 0
    device = next(model.parameters()).device
    input_ids = torch.full((len(ids), width), pad, dtype=torch.long)
    mask = torch.zeros((len(ids), width), dtype=torch.long)
    for i, row in enumerate(ids):
        input_ids[i, : len(row)] = torch.as_tensor(row, dtype=torch.long)
        mask[i, : len(row)] = 1
    return {"input_ids": input_ids.to(device), "attention_mask": mask.to(device)}


class Feed:
    """The order of the mix, window after window, cut into global batches. What it holds is all that a resume needs.

    `lengths (N,)` of the rows in tokens; None leaves rows in the order of the mix. A batch has at most `n_rows` rows, or,
    where `n_tokens` is given, at most that many tokens, padding included. Batches never reach over the end of a window,
    so that after each window exactly the rows that the mix named were seen, whatever their lengths.

    The mix is given `rows` with what is known of each: `met`, how often it was taken, and, where `losses` are kept, its
    last `loss` (NaN before it was met). Languages that have left are not among them; languages that are to `lean` on
    come so many times as often as the mix has them.
    """

    def __init__(
        self, mix: Bound, rows: pl.DataFrame, seed: int, lengths: np.ndarray | None, n_rows: int, n_tokens: int | None,
        *, losses: bool = False,
    ) -> None:  # fmt: skip
        self._mix, self._rows, self._seed, self._lengths = mix, rows, seed, lengths
        self._n_rows, self._n_tokens = n_rows, n_tokens
        self._rng = np.random.default_rng(seed)
        self._batches: list[np.ndarray] = []
        self.window: np.ndarray = np.zeros(0, np.int64)
        self.taken = 0  # batches of the window
        self.n_windows = 0
        self.met = np.zeros(rows.height, np.int64)
        self.losses = np.full(rows.height, np.nan) if losses else None
        self.out: set[str] = set()
        self.lean: dict[str, float] = {}

    def take(self, seen: Mapping[str, Any]) -> np.ndarray:
        """Positions of the next batch; a new window is asked of the mix when the last one is used up.

        Raises InputError when the mix gives something that is no window.
        """
        if self.taken == len(self._batches):
            self._open(self._next(seen), self.n_windows + 1)
        self.taken += 1
        at = self._batches[self.taken - 1]
        np.add.at(self.met, at, 1)
        return at

    def learned(self, at: np.ndarray, losses: np.ndarray) -> None:
        """Note the loss of each row of a batch that was learned from."""
        if self.losses is not None:
            self.losses[at] = losses

    def change(self, out: Collection[str], lean: Mapping[str, float]) -> None:
        """Let languages leave or come again, or come more often, from the next batch on: what is left of the window is
        dropped where that changes anything."""
        if set(out) != self.out or dict(lean) != self.lean:
            self.out, self.lean = set(out), dict(lean)
            self._batches = self._batches[: self.taken]

    def ahead(self, n: int) -> np.ndarray:
        """Positions of the batch that was taken last and of those behind it in the window, `n` batches at most."""
        return np.concatenate(self._batches[self.taken - 1 : self.taken - 1 + max(1, n)])

    def rows_a_batch(self, seen: Mapping[str, Any]) -> float:
        """The mean number of rows in a batch of the present window; it is asked of the mix where there is none yet."""
        if not self._batches:
            self._open(self._next(seen), self.n_windows + 1)
        return len(self.window) / len(self._batches)

    def _open(self, window: np.ndarray, number: int) -> None:
        self.window, self.n_windows, self.taken = window, number, 0
        rng = np.random.default_rng([self._seed, number])
        self._batches = cut(window, self._lengths, self._n_rows, self._n_tokens, rng)

    def _next(self, seen: Mapping[str, Any]) -> np.ndarray:
        import polars as pl

        rows = self._rows.with_columns(pl.Series("met", self.met))
        if self.losses is not None:
            rows = rows.with_columns(pl.Series("loss", self.losses))
        there = None
        if self.out:
            there = np.flatnonzero(~rows["lang"].is_in(list(self.out)).to_numpy())
            rows = rows[there]
        window = np.asarray(self._mix("order", rows, self._rng, seen))
        whole = window.ndim == 1 and len(window) > 0 and np.issubdtype(window.dtype, np.integer)
        if not whole or window.min() < 0 or window.max() >= rows.height:
            raise InputError(
                f"the mix '{self._mix.name}' must give positions 0..{rows.height - 1} in one dimension, "
                "as integers, at least one"
            )
        window = window.astype(np.int64)
        if self.lean:
            window = _leaning(window, rows, self.lean, self._rng)
        return window if there is None else there[window]

    def state(self) -> dict[str, Any]:
        return {
            "rng": self._rng.bit_generator.state, "taken": self.taken, "n_windows": self.n_windows,
            "n_batches": len(self._batches), "out": sorted(self.out), "lean": self.lean,
        }  # fmt: skip

    def arrays(self) -> dict[str, np.ndarray]:
        """What `state` has not: the window, and what is known of each row `(N,)`."""
        losses = {} if self.losses is None else {"loss": self.losses}
        return {"window": self.window, "met": self.met.copy(), **losses}

    def restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        self._rng.bit_generator.state = state["rng"]
        window = arrays["window"]
        if len(window):
            self._open(window, state["n_windows"])
            self._batches = self._batches[: state["n_batches"]]
        else:
            self._batches, self.window, self.n_windows = [], window, state["n_windows"]
        self.taken = state["taken"]
        self.out, self.lean = set(state["out"]), dict(state["lean"])
        self.met = np.array(arrays["met"])
        if self.losses is not None:
            self.losses = np.array(arrays["loss"])


def _leaning(window: np.ndarray, rows: pl.DataFrame, lean: Mapping[str, float], rng: np.random.Generator) -> np.ndarray:
    """The window with more rows of some languages, those that were met least, at places by chance."""
    langs, met = rows["lang"].to_numpy(), rows["met"].to_numpy()
    more = []
    for lang, factor in sorted(lean.items()):
        own = np.flatnonzero(langs == lang)
        n = round((factor - 1) * int((langs[window] == lang).sum()))
        if n and len(own):
            order = own[np.lexsort((rng.random(len(own)), met[own]))]
            more.append(np.resize(order, n))
    if not more:
        return window
    added = np.concatenate(more)
    return np.insert(window, rng.integers(0, len(window) + 1, len(added)), added)


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
