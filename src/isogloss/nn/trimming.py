"""Vocabulary trimming while a model is trained: rows that no text of the corpus uses stay on disk.

The tokenizer stays whole. A trimmed table has a row for each id that the corpus encodes to, and maps ids to them; any
other id is answered with its original row, read from the checkpoint. When the model is written its table is whole again:
rows that were trained are put into a copy of the original, all others are the same bits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from isogloss.core.errors import PlaceError
from isogloss.nn.disk import Stored, stored, write_stored

# A table is trimmed when at most this share of it is used.
WORTH = 0.9
# Rows that lie this close together are read in one go; rows of one read when a table is read through.
NEAR, CHUNK = 8, 8192


@dataclass(frozen=True)
class Table:
    """A table of vectors `(V, D)` inside a safetensors file, which is read by row and never held whole."""

    name: str
    at: Stored
    stamp: tuple[int, int]

    @classmethod
    def find(cls, files: Sequence[Path], name: str, n_rows: int) -> Table | None:
        """The table of the parameter `name` in a model's files; None where there is not exactly one of that many rows."""
        found = []
        for path in files:
            for key, each in stored(path).items():
                same = key == name or name.endswith(f".{key}") or key.endswith(f".{name}")
                if same and len(each.shape) == 2 and each.shape[0] == n_rows:
                    found.append((key, each))
        return cls(*found[0], _stamp(found[0][1].path)) if len(found) == 1 else None

    @property
    def shape(self) -> tuple[int, int]:
        return self.at.shape[0], self.at.shape[1]

    def rows(self, ids: np.ndarray) -> torch.Tensor:
        """The rows of sorted, different `ids (N,)`, float32 `(N, D)`. Raises PlaceError when the file was changed."""
        if _stamp(self.at.path) != self.stamp:
            raise PlaceError(
                f"{self.at.path} was changed while a model was being trained from it; put it back, or begin anew with --again"
            )
        out = torch.empty((len(ids), self.shape[1]), dtype=torch.float32)
        if not len(ids):
            return out
        starts = np.flatnonzero(np.diff(ids, prepend=ids[0] - NEAR - 1) > NEAR)
        with self.at.path.open("rb") as handle:
            for start, end in zip(starts, [*starts[1:], len(ids)], strict=True):
                first, last = int(ids[start]), int(ids[end - 1])
                out[start:end] = self.at.read(handle, first, last + 1)[torch.from_numpy(ids[start:end] - first)]
        return out

    def through(self) -> Iterator[tuple[int, torch.Tensor]]:
        """The whole table in parts: the number of the first row, and rows."""
        for first in range(0, self.shape[0], CHUNK):
            yield first, self.rows(np.arange(first, min(first + CHUNK, self.shape[0])))

    def digest(self) -> str:
        """A digest of its bits."""
        hasher = hashlib.blake2b(digest_size=16)
        with self.at.path.open("rb") as handle:
            for first in range(0, self.shape[0], CHUNK):
                hasher.update(self.at.raw(handle, first, min(first + CHUNK, self.shape[0])))
        return hasher.hexdigest()


def _stamp(path: Path) -> tuple[int, int]:
    try:
        facts = path.stat()
    except OSError:
        return 0, 0
    return facts.st_size, facts.st_mtime_ns


class TrimmedEmbedding(nn.Module):
    """In place of the nn.Embedding of a vocabulary: `weight (N, D)` has the rows of the sorted ids `kept (N,)`."""

    place: torch.Tensor
    kept: torch.Tensor

    def __init__(self, table: Table, kept: np.ndarray, padding_idx: int | None, weight: torch.Tensor) -> None:
        super().__init__()
        self.table = table
        self.num_embeddings, self.embedding_dim = table.shape
        self.padding_idx = padding_idx
        self.weight = nn.Parameter(weight)
        place = np.full(self.num_embeddings, -1, np.int64)
        place[kept] = np.arange(len(kept))
        self.register_buffer("place", torch.from_numpy(place), persistent=False)
        self.register_buffer("kept", torch.from_numpy(np.ascontiguousarray(kept, np.int64)), persistent=False)
        self._pad = None if padding_idx is None or place[padding_idx] < 0 else int(place[padding_idx])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Vectors of ids of the whole vocabulary; those without a row are read from disk and take no gradient."""
        at = self.place[ids]
        absent = at < 0
        found = nn.functional.embedding(at.clamp(min=0), self.weight, padding_idx=self._pad)
        if not bool(absent.any()):
            return found
        asked, inverse = torch.unique(ids[absent], return_inverse=True)
        rows = self.table.rows(asked.cpu().numpy()).to(found.device, found.dtype)
        return found.masked_scatter(absent.unsqueeze(-1), rows[inverse])

    def digest(self) -> str:
        return self.table.digest()


def used(noted: np.ndarray, special: list[int]) -> np.ndarray | None:
    """The sorted ids that need a row; None when so many do that trimming is not worth it.

    `noted (V,)` says which ids were met.
    """
    wanted = noted.copy()
    wanted[[i for i in special if i < len(wanted)]] = True
    kept = np.flatnonzero(wanted)
    return kept if len(kept) <= WORTH * len(wanted) else None


def trimmed(net: Any) -> TrimmedEmbedding | None:
    """The trimmed table of a transformers model; None where its table is whole."""
    found = net.get_input_embeddings()
    return found if isinstance(found, TrimmedEmbedding) else None


def restore(net: Any, folder: Path) -> None:
    """Put the whole table into the safetensors that `save_pretrained` has just written of a model with a trimmed one."""
    own = trimmed(net)
    if own is None:
        return
    name = next(name for name, p in net.named_parameters() if p is own.weight)
    for path in sorted(folder.glob("*.safetensors")):
        parts = stored(path)
        if name not in parts:
            continue
        whole = {**parts, name: replace(parts[name], shape=own.table.shape, dtype="F32")}
        temporary = path.with_suffix(".whole")
        content = partial(_content, own, name, parts)
        write_stored(temporary, whole, content, metadata={"format": "pt"})
        temporary.replace(path)
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        value = json.loads(index.read_text(encoding="utf-8"))
        grown = (own.num_embeddings - len(own.kept)) * own.embedding_dim
        for key, more in (("total_size", 4 * grown), ("total_parameters", grown)):
            if key in value.get("metadata", {}):
                value["metadata"][key] += more
        index.write_text(json.dumps(value, indent=2), encoding="utf-8")


def _content(
    own: TrimmedEmbedding, name: str, parts: Mapping[str, Stored], key: str, each: Stored
) -> Iterator[bytes | memoryview]:
    """The bytes of one tensor of the written model: those of the file, or the whole table with its trained rows."""
    if key != name:
        yield from parts[key].chunks()
        return
    weight, kept = own.weight.detach().float().cpu(), own.kept.cpu()
    for first, rows in own.table.through():
        mine = slice(*torch.searchsorted(kept, torch.tensor([first, first + len(rows)])).tolist())
        rows[kept[mine] - first] = weight[mine]
        yield rows.view(-1).view(torch.uint8).numpy().data
