"""The table of a static model: vectors of pieces made of parts, and the plain ModernBERT that gives the same vectors.

Two dimensions of a row are a constant and its negative, the *ballast*: ModernBERT normalises what it looks up, and with
them most of a row's length survives that; the last normalisation takes them out again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from isogloss.nn.scratch import BYTES, SPECIAL

if TYPE_CHECKING:
    import polars as pl

# Lengths of n-grams as they are written, and as they are romanised.
WRITTEN, ROMANISED = (2, 3), (2, 3, 4)
# Standard deviation of a number at the start, and the ballast, in lengths of a vector at the start.
SPREAD, BALLAST = 0.1, 4.0
# Inverse document frequency: nats that make the length 1, and the least length.
NATS, LEAST = 5.0, 0.2
EPS = 1e-5


@dataclass
class States:
    """What a transformers model gives, as far as it is needed."""

    last_hidden_state: torch.Tensor


class Table(nn.Module):
    """Rows `(V, D)`: length × (own + the sum of n-grams / √their number), with ballast, normalised as ModernBERT does.

    `grams` are the n-gram numbers of each piece, below `n_grams`; `lengths (V,)`; a piece of length 0 is the vector zero.
    """

    config: Any

    def __init__(self, width: int, grams: Sequence[Sequence[int]], lengths: torch.Tensor, n_grams: int) -> None:
        super().__init__()
        self.own = nn.Embedding(len(grams), width - 2)
        self.grams = nn.Embedding(max(1, n_grams), width - 2)
        for table in (self.own, self.grams):
            nn.init.normal_(table.weight, std=SPREAD)
        self.ballast = nn.Parameter(torch.tensor(BALLAST * SPREAD * (width - 2) ** 0.5))
        counts = np.array([len(some) for some in grams], np.int64)
        flat = np.fromiter((g for some in grams for g in some), np.int64, int(counts.sum()))
        begins = np.concatenate([[0], np.cumsum(counts)])
        self.register_buffer("lengths", lengths.float(), persistent=False)
        self._flat, self._begins = flat, begins

    def rows(self, ids: torch.Tensor) -> torch.Tensor:
        """Rows `(N, D)` of pieces before normalisation, ballast included."""
        at = ids.cpu().numpy()
        counts = self._begins[at + 1] - self._begins[at]
        begins = np.concatenate([[0], np.cumsum(counts)])[:-1]
        places = np.repeat(self._begins[at] - begins, counts) + np.arange(counts.sum())
        device = self.own.weight.device
        weight = np.repeat(1 / np.sqrt(np.maximum(counts, 1)), counts).astype(np.float32)
        shared = nn.functional.embedding_bag(
            torch.from_numpy(self._flat[places]).to(device), self.grams.weight,
            torch.from_numpy(begins).to(device), mode="sum",
            per_sample_weights=torch.from_numpy(weight).to(device),
        )  # fmt: skip
        vectors = (self.own(ids) + shared) * self.lengths[ids][:, None]  # type: ignore[index]
        vectors = vectors - vectors.mean(1, keepdim=True)
        ballast = self.ballast.expand(len(ids), 1)
        return torch.cat([vectors, ballast, -ballast], 1)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> States:
        """States `(B, T, D)`."""
        ids, place_BT = torch.unique(input_ids, return_inverse=True)
        rows = self.rows(ids)
        rows = nn.functional.layer_norm(rows, rows.shape[-1:], eps=EPS)
        kept = torch.cat([torch.ones(rows.shape[1] - 2), torch.zeros(2)]).to(rows)
        return States(nn.functional.embedding(place_BT, rows * kept))


def folded(table: Table) -> Any:
    """A ModernBERT of `table.config` that gives the vectors of the table: its blocks add nothing yet."""
    from transformers import AutoModel

    net = AutoModel.from_config(table.config)
    with torch.no_grad():
        n = len(table.own.weight)
        parts = torch.arange(n, device=table.own.weight.device).split(8192)
        net.embeddings.tok_embeddings.weight.copy_(torch.cat([table.rows(part).cpu() for part in parts]))
        for block in net.layers:
            block.attn.Wo.weight.zero_()
            block.mlp.Wo.weight.zero_()
        net.final_norm.weight[-2:] = 0
    return net


def features(tokenizer: Any, romanise: bool) -> tuple[list[list[int]], int]:
    """The n-grams of each piece as numbers, and how many there are. An n-gram of one piece only says nothing new."""
    names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    skipped = {*SPECIAL, *BYTES}
    each = [set() if name in skipped else set(_grams(name, romanise)) for name in names]
    counts: dict[str, int] = {}
    for some in each:
        for gram in some:
            counts[gram] = counts.get(gram, 0) + 1
    shared = {gram: i for i, gram in enumerate(sorted(gram for gram, n in counts.items() if n > 1))}
    return [sorted(shared[gram] for gram in some if gram in shared) for some in each], len(shared)


def _grams(piece: str, romanise: bool) -> Iterator[str]:
    for n in WRITTEN:
        yield from ("w" + piece[i : i + n] for i in range(len(piece) - n + 1))
    if romanise:
        from anyascii import anyascii

        plain = "".join("▁" if c == "▁" else anyascii(c).lower() for c in piece)
        for n in ROMANISED:
            yield from ("r" + plain[i : i + n] for i in range(len(plain) - n + 1))
        if 0 < len(plain) <= max(ROMANISED) + 4:
            yield "=" + plain


def lengths(tokenizer: Any, rows: pl.DataFrame) -> torch.Tensor:
    """Lengths `(V,)`: the inverse document frequency in the language where a piece is in most texts; special ones 0.

    A function word is one in its own language, however rare it is in all of them together.
    """
    share = np.full(len(tokenizer), 1e-9)
    for (_,), own in rows.group_by("lang", maintain_order=True):
        ids = tokenizer(own["text"].to_list(), add_special_tokens=False, verbose=False)["input_ids"]
        counts = np.zeros(len(tokenizer))
        for some in ids:
            counts[list(set(some))] += 1
        share = np.maximum(share, (counts + 0.5) / (own.height + 1))
    value = np.clip(-np.log(share), LEAST * NATS, 2 * NATS) / NATS
    value[[tokenizer.convert_tokens_to_ids(name) for name in SPECIAL]] = 0
    return torch.from_numpy(value)
