"""Vectors of pieces, averaged: no attention, trained in minutes; written as a ModernBERT that an encoder goes on from.

A piece's vector is made of its own and those of its character n-grams, as they are written and as they are romanised,
so that rare pieces, and the same name in two scripts, share what is known (Bojanowski et al. 2017). Its length begins as
the inverse document frequency. All is folded into one plain table when the model is written.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from isogloss.core.errors import MissingError, RecipeError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from torch import nn

    from isogloss.nn.model import Start, TextModel

BLOCKS = False
TASKS = ("embed",)
Size = Annotated[int, Field(ge=1)]


def check(
    *,
    vocab: Size = 48_000,
    width: Size = 176,
    layers: Size = 2,
    heads: Size = 4,
    inner: Size = 256,
    romanise: bool = True,
) -> None:
    """Refuse sizes that do not go together, and romanisation without its library. Raises RecipeError, MissingError."""
    from importlib.util import find_spec

    if width % heads or (width // heads) % 2:
        raise RecipeError(f"width = {width} must be an even multiple of heads = {heads}", key="width")
    if romanise and find_spec("anyascii") is None:
        raise MissingError('romanise needs anyascii: pip install "isogloss[static]", or set romanise = false')


def load(
    start: Start, *, vocab: Size = 48_000, width: Size = 176, layers: Size = 2, heads: Size = 4, inner: Size = 256,
    romanise: bool = True,
) -> TextModel:  # fmt: skip
    """The model to be trained; its tokenizer is learned from the train rows.

    Knobs:
        vocab: pieces of the vocabulary, bytes and special ones included.
        width: numbers of a vector.
        layers: blocks of the ModernBERT that is written; they begin as nothing, and a further training fills them.
        heads: attention heads of a block.
        inner: width inside a block's feed-forward part.
        romanise: share vectors between scripts by n-grams of the romanised text (needs anyascii while training).
    """
    import torch

    from isogloss.nn import scratch
    from isogloss.nn.model import TextModel
    from isogloss.nn.static import Table, features, lengths

    torch.manual_seed(start.seed)
    facts = {"start": "static", "vocab": vocab, "width": width, "layers": layers, "romanise": romanise}
    tokenizer = start.tokenizer or _tokenizer(start, vocab)
    if start.skeleton:  # the n-grams are not counted: as many again as pieces are taken
        with torch.device("meta"):
            net: Any = Table(width, [[] for _ in range(vocab)], torch.ones(vocab), 2 * vocab)
        net.config = None
        return TextModel(net, tokenizer, start.labels, 512, facts, "mean")
    grams, n_grams = features(tokenizer, romanise)
    net = Table(width, grams, lengths(tokenizer, start.rows()), n_grams)
    net.config = scratch.config(tokenizer, layers=layers, width=width, heads=heads, inner=inner, max_length=512)
    return TextModel(net, tokenizer, start.labels, 512, facts, "mean")


def tokenizer(start: Start, *, vocab: Size = 48_000) -> Path:
    """The folder of the tokenizer that the model will read with, trained on the rows."""
    _tokenizer(start, vocab)
    return start.folder / "tokenizer"


def _tokenizer(start: Start, vocab: int) -> Any:
    """The tokenizer, trained once and kept."""
    from isogloss.nn import scratch

    folder = start.folder / "tokenizer"
    if (folder / "tokenizer.json").is_file():
        return scratch.read_tokenizer(folder)
    return scratch.train_unigram(start.rows(), vocab, folder)


def embeddings(model: TextModel) -> list[nn.Module]:
    """The table."""
    return [model.net]


def blocks(model: TextModel) -> list[nn.Module]:
    """None."""
    return []


def write(model: TextModel, folder: Path) -> list[Path]:
    """Write the ModernBERT that gives the same vectors; returns its files."""
    from isogloss.nn import hub
    from isogloss.nn.disk import whole_folder
    from isogloss.nn.pooling import write_pooling
    from isogloss.nn.static import Table, folded

    net = folded(model.net) if isinstance(model.net, Table) else model.net
    model.tokenizer.model_max_length = model.max_length
    with whole_folder(folder) as temporary, hub.quiet():
        net.save_pretrained(temporary)
        model.tokenizer.save_pretrained(temporary)
        write_pooling(temporary, "mean", net.config.hidden_size, model.max_length)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def read(folder: Path) -> TextModel:
    """Read what `write` wrote. Raises PlaceError when it is damaged."""
    import torch
    from transformers import AutoModel

    from isogloss.core.errors import PlaceError
    from isogloss.nn import hub
    from isogloss.nn.model import TextModel
    from isogloss.nn.scratch import read_tokenizer

    with hub.quiet():
        try:
            tokenizer = read_tokenizer(folder)
            net = AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, local_files_only=True)
        except Exception as error:
            said = f"{type(error).__name__}: {str(error)[:160]}"
            raise PlaceError(f"the model in {folder} cannot be read ({said})") from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return TextModel(net.eval().to(device), tokenizer, (), int(tokenizer.model_max_length), {}, "mean")


def predict(model: TextModel, frame: pl.DataFrame) -> np.ndarray:
    """Unit vectors `(N, D)` of `text`."""
    from isogloss.nn.answer import outputs
    from isogloss.nn.batches import token_ids

    ids, _ = token_ids(model, frame["text"].to_list(), model.max_length)
    return outputs(model, ids)
