"""Rows of a model's tables of pieces: new ones beside old ones, without running the model.

Every tensor of a checkpoint whose first axis is the vocabulary holds a row for each piece: the embeddings, an output head
of its own, its bias. All get new rows in the same way; old rows are copied bit by bit, and a head that is tied to the
embeddings has no tensor of its own. Tensors are read and written as they are, so no architecture needs to be known.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isogloss.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import torch

INDEX = "model.safetensors.index.json"
# Files of a model folder that are carried along: no tokenizer's, which is written anew, and no weights but safetensors.
CARRIED = ("*.json", "1_*/*", "2_*/*", "3_*/*", "README.md", "LICENSE*")
TOKENIZERS = {
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    INDEX,
}


@dataclass(frozen=True)
class Tables:
    """The tables of pieces in a model folder: `n_rows`, their names, and the file that each lies in."""

    folder: Path
    n_rows: int
    names: Mapping[str, Path]
    config: Mapping[str, Any]
    embeddings: str
    """The table that texts go in through."""

    @property
    def heads(self) -> tuple[str, ...]:
        """The other tables: heads of their own, their biases."""
        return tuple(name for name in self.names if name != self.embeddings)


def tables(folder: Path) -> Tables:
    """Find the tables of pieces of a model folder.

    Raises InputError for a folder whose config names no vocabulary, or whose weights have none of that size.
    """
    from safetensors import safe_open

    config = _config(folder)
    n_rows = _vocab_size(config, folder)
    doubtful = n_rows in set(_numbers(config))  # another part of the model has that size: names must tell
    names: dict[str, Path] = {}
    widest: list[tuple[int, str]] = []
    for path in weights(folder):
        try:
            with safe_open(path, "pt") as file:
                for name in file.keys():  # noqa: SIM118
                    shape = file.get_slice(name).get_shape()
                    if shape and shape[0] == n_rows and (not doubtful or _of_pieces(name)):
                        names[name] = path
                        if len(shape) == 2:
                            widest.append((_rank(name), name))
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"{path} is not a whole safetensors file ({str(error)[:120]})") from None
    if not widest:
        raise InputError(
            f"{folder}: config.json speaks of {n_rows:,} pieces, and no table of the weights has as many rows"
        )
    return Tables(folder, n_rows, names, config, min(widest)[1])


# The last part of the names that transformers gives to tables of pieces, those that texts go in through first.
NAMES = (
    "word_embeddings",
    "embed_tokens",
    "tok_embeddings",
    "wte",
    "shared",
    "embeddings",
    "embed_in",
    "lm_head",
    "embed_out",
)


def _rank(name: str) -> int:
    """How likely a table is the one that texts go in through."""
    last = name.removesuffix(".weight").rsplit(".", 1)[-1]
    return NAMES.index(last) if last in NAMES else len(NAMES)


def _of_pieces(name: str) -> bool:
    """Whether a tensor is a table of pieces, or the bias of a head, by its name alone."""
    return _rank(name) < len(NAMES) or name.endswith(("lm_head.bias", "predictions.bias", "predictions.decoder.bias"))


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(f"{folder} is no model: it has no config.json")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not whole JSON ({error})") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} is no JSON object")
    return value


def _vocab_size(config: Mapping[str, Any], folder: Path) -> int:
    inner = config.get("text_config") if isinstance(config.get("text_config"), dict) else {}
    size = config.get("vocab_size") or (inner or {}).get("vocab_size")
    if not isinstance(size, int):
        raise InputError(f"{folder / 'config.json'} has no key 'vocab_size', so its tables of pieces cannot be told")
    return size


def _numbers(value: Any) -> Iterable[int]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in ("vocab_size", "id2label", "label2id"):
                yield from _numbers(inner)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield value


def weights(folder: Path) -> list[Path]:
    """The safetensors files of a model. Raises InputError when there are none, or one that the index names is absent."""
    index, whole = folder / INDEX, folder / "model.safetensors"
    if whole.is_file():  # as transformers does: before an index
        return [whole]
    if not index.is_file():
        raise InputError(f"{folder} has no model.safetensors, and pickles are never loaded")
    named = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    absent = [name for name in named if not (folder / name).is_file()]
    if absent:
        raise InputError(f"{folder} lacks {absent[0]}, which {INDEX} names; is the folder whole?")
    return [folder / name for name in named]


def read_table(found: Tables, name: str) -> torch.Tensor:
    """One table, as it is stored. Raises InputError for one that is quantized."""
    from safetensors import safe_open

    with safe_open(found.names[name], "pt") as file:
        table: torch.Tensor = file.get_tensor(name)
    if not table.is_floating_point():
        raise InputError(f"{found.folder}: the table '{name}' is quantized ({table.dtype}); give the model before that")
    return table


@dataclass(frozen=True)
class Mixture:
    """Where new rows begin: row `ids[i]` is the sum of `weights[i]` times old rows `of[i]`; with an empty list it is drawn
    around the mean of all old rows, with a tenth of their spread (Hewitt 2021), by `seed`."""

    ids: Sequence[int]
    of: Sequence[Sequence[int]]
    weights: Sequence[Sequence[float]]
    seed: int = 17


def grown(table: torch.Tensor, mixture: Mixture, n_rows: int, keep: Mapping[int, int] | None = None) -> torch.Tensor:
    """A table of `n_rows` rows: the old ones in their places (or, with `keep`, old row of each new one), and the mixture.

    Old rows are copied bit by bit; sums are made in float32 (float64 where the table is).
    """
    import torch

    wide = torch.float64 if table.dtype == torch.float64 else torch.float32
    out = torch.zeros((n_rows, *table.shape[1:]), dtype=table.dtype)
    if keep is None:
        n = min(n_rows, table.shape[0])
        out[:n] = table[:n]
    else:
        out[list(keep)] = table[list(keep.values())]
    floats = table.to(wide)
    mean, spread = floats.mean(dim=0), floats.std(dim=0, unbiased=False)
    draw = torch.Generator().manual_seed(mixture.seed)
    for i, ids, shares in zip(mixture.ids, mixture.of, mixture.weights, strict=True):
        if len(ids):
            share = torch.tensor(list(shares), dtype=wide)
            row = torch.einsum("p,p...->...", share, floats[list(ids)])
        else:
            row = mean + 0.1 * spread * torch.randn(mean.shape, generator=draw, dtype=wide)
        out[i] = row.to(table.dtype)
    return out


def write_model(
    found: Tables,
    out: Path,
    n_rows: int,
    change: Callable[[str, torch.Tensor], torch.Tensor],
    settings: Mapping[str, Any],
) -> None:
    """Write the model into the folder `out` with its tables changed; `settings` go over its config.

    Weights are written file by file, so that memory holds one file at a time.
    """
    from safetensors import safe_open
    from safetensors.torch import save_file

    for path in weights(found.folder):
        with safe_open(path, "pt") as file:
            about = file.metadata() or {"format": "pt"}
            tensors = {
                name: change(name, read_table(found, name)) if name in found.names else file.get_tensor(name)
                for name in file.keys()  # noqa: SIM118
            }
        save_file({name: one.contiguous() for name, one in tensors.items()}, out / path.name, metadata=about)
    carried = {path for pattern in CARRIED for path in found.folder.glob(pattern) if path.is_file()}
    for path in sorted(carried):
        if path.name in TOKENIZERS or path.name == "config.json":
            continue
        target = out / path.relative_to(found.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    for path in found.folder.iterdir():  # sentence-transformers reads a module that has no file
        if path.is_dir() and path.name[:2] in ("1_", "2_", "3_"):
            (out / path.name).mkdir(exist_ok=True)
    index = found.folder / INDEX
    if index.is_file():
        value = json.loads(index.read_text(encoding="utf-8"))
        sizes = [path.stat().st_size for path in out.glob("*.safetensors")]
        value["metadata"] = {**value.get("metadata", {}), "total_size": sum(sizes)}
        (out / INDEX).write_text(json.dumps(value, indent=2), encoding="utf-8")
    config = json.loads(json.dumps(found.config))
    if isinstance(config.get("text_config"), dict) and "vocab_size" in config["text_config"]:
        config["text_config"]["vocab_size"] = n_rows
    if "vocab_size" in config or "text_config" not in config:
        config["vocab_size"] = n_rows
    (out / "config.json").write_text(
        json.dumps(config | dict(settings), indent=2, ensure_ascii=False), encoding="utf-8"
    )


def sparsemax(scores: np.ndarray) -> np.ndarray:
    """The point of the simplex that is nearest to `scores (N,)` (Martins and Astudillo 2016): most weights are 0.

    >>> import numpy as np
    >>> sparsemax(np.array([0.1, 1.2, 0.9])).round(2).tolist()
    [0.0, 0.65, 0.35]
    """
    import numpy as np

    falling = np.sort(scores)[::-1]
    sums = np.cumsum(falling) - 1
    k = np.arange(1, len(scores) + 1)
    inside = falling - sums / k > 0
    last = int(k[inside][-1])
    weights: np.ndarray = np.maximum(scores - sums[last - 1] / last, 0)
    return weights
