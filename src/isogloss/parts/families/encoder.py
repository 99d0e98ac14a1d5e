"""Any transformers encoder, from a folder, a hub name, or from scratch; trained by the loop with a classification head.

Known architectures: see `ARCHITECTURES`. Weights are read from safetensors only, and no code of a model is ever run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from isogloss.core.errors import InputError, PlaceError, RecipeError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import torch
    from torch import nn

    from isogloss.nn.model import Start, TextModel

BLOCKS = True
# Its vocabulary can be trimmed while it is trained.
TRIMS = True


@dataclass(frozen=True)
class Architecture:
    """Where an architecture keeps its parts, from the model with its head.

    `below`: what acts before or beside the blocks and is shared by them. `paired`: blocks return (states, attention).
    """

    blocks: str
    below: tuple[str, ...]
    paired: bool = False


ARCHITECTURES: dict[str, Architecture] = {
    "bert": Architecture("bert.encoder.layer", ("bert.embeddings",)),
    "roberta": Architecture("roberta.encoder.layer", ("roberta.embeddings",)),
    "camembert": Architecture("roberta.encoder.layer", ("roberta.embeddings",)),
    "xlm-roberta": Architecture("roberta.encoder.layer", ("roberta.embeddings",)),
    "xlm-roberta-xl": Architecture("roberta.encoder.layer", ("roberta.embeddings",)),
    "rembert": Architecture(
        "rembert.encoder.layer", ("rembert.embeddings", "rembert.encoder.embedding_hidden_mapping_in"), paired=True
    ),
    "electra": Architecture("electra.encoder.layer", ("electra.embeddings", "electra.embeddings_project")),
    "distilbert": Architecture("distilbert.transformer.layer", ("distilbert.embeddings",)),
    "deberta-v2": Architecture(
        "deberta.encoder.layer",
        ("deberta.embeddings", "deberta.encoder.rel_embeddings", "deberta.encoder.LayerNorm"), paired=True,
    ),
    "modernbert": Architecture("model.layers", ("model.embeddings",)),
}  # fmt: skip


class Scratch(BaseModel):
    """The size of a model with random weights, and of the vocabulary that is trained for it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    layers: Annotated[int, Field(ge=1)] = 4
    width: Annotated[int, Field(ge=8)] = 256
    heads: Annotated[int, Field(ge=1)] = 4
    vocab: Annotated[int, Field(ge=512)] = 16_000


# -- loading ----------------------------------------------------------------------------------------------------


def check(*, name: str = "", revision: str | None = None, scratch: Scratch | None = None) -> None:
    """Refuse knobs that do not go together. Raises RecipeError."""
    if bool(name) == (scratch is not None):
        raise RecipeError(
            "the family 'encoder' takes either name = 'a hub name or folder' or scratch = {layers = 4, ...}",
            key="name" if name else "",
        )
    if name.startswith("isogloss/"):
        from isogloss.core.errors import nearest
        from isogloss.nn.hub import PACKAGED

        if name not in PACKAGED:
            raise RecipeError(f"the package has no model '{name}'{nearest(name, PACKAGED)}", key="name")
    if scratch is not None and revision is not None:
        raise RecipeError("a model from scratch has no revision", key="revision")
    if scratch is not None and (scratch.width % scratch.heads or (scratch.width // scratch.heads) % 2):
        raise RecipeError(
            f"scratch.width = {scratch.width} must be an even multiple of scratch.heads = {scratch.heads}",
            key="scratch",
        )


def load(start: Start, *, name: str = "", revision: str | None = None, scratch: Scratch | None = None) -> TextModel:
    """The model to be trained, with a head for `start.labels`.

    Knobs:
        name: a folder (relative to the recipe) or a hub name.
        revision: branch, tag or commit of a hub name; the commit that it is goes into the card.
        scratch: begin with random weights and a tokenizer trained on the train rows: layers, width, heads, vocab.

    Raises MissingError for a model that is not here, InputError for one that is not supported.
    """
    import torch

    from isogloss.nn import hub
    from isogloss.nn.model import TextModel, set_dropout
    from isogloss.nn.pooling import pooling_of

    torch.manual_seed(start.seed)
    facts: dict[str, Any]
    with hub.quiet():
        if scratch is not None:
            tokenizer, config = _scratch(start, scratch)
            folder, facts = None, {"start": "scratch", **scratch.model_dump()}
        else:
            found = hub.find(name, revision, start.locate(name))
            folder, facts = found.folder, {"start": name, "revision": revision, "commit": found.commit}
            config, tokenizer = _config(folder), start.tokenizer or _tokenizer(folder)
        architecture(config)
        set_dropout(config, start.dropout)
        if not start.embeds:
            config.id2label, config.label2id = (
                dict(enumerate(start.labels)),
                {label: i for i, label in enumerate(start.labels)},
            )
            config.num_labels = len(start.labels)
            config.problem_type = "single_label_classification"
        try:
            net = _net(config, folder, start.loading, start.skeleton, head=not start.embeds, kept=start.kept)
        except (InputError, MemoryError):
            raise
        except Exception as error:
            said = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
            raise InputError(f"the model {name} cannot be read ({said}); is its folder whole?") from error
    pooling = (pooling_of(folder) if folder else "mean") if start.embeds else None
    if not start.embeds:
        _first_only(net)
    made = TextModel(net, tokenizer, start.labels, _positions(config, tokenizer), facts, pooling)
    made.reread = partial(_tokenizer, folder) if folder is not None else None
    return made


def tokenizer(start: Start, *, name: str = "", revision: str | None = None, scratch: Scratch | None = None) -> Path:
    """The folder of the tokenizer that the model will read with: that of its weights, or one trained on the rows."""
    from isogloss.nn import hub

    if scratch is not None:
        _scratch_tokenizer(start, scratch)
        return start.folder / "tokenizer"
    return hub.find(name, revision, start.locate(name)).folder


def source(
    start: Start, *, name: str = "", revision: str | None = None, scratch: Scratch | None = None
) -> dict[str, Any] | None:
    """What the weights come from, to tell when it changed under finished work; None where nothing can be said."""
    from isogloss.nn import hub

    folder = (hub.packaged(name) or start.locate(name)) if name else None
    return {"files": hub.fingerprint(folder)} if folder is not None and folder.is_dir() else None


def untuned(start: Start, *, name: str = "", revision: str | None = None, scratch: Scratch | None = None) -> Any:
    """The model as it is before training: of texts to vectors, or where its labels are `start.labels` in some order.

    None where it cannot answer. With `start.skeleton` only whether it answers at all: a head of its own, of more than
    one named label, where labels are asked.
    """
    from isogloss.nn import hub

    if scratch is not None:
        return None
    if start.embeds:
        return True if start.skeleton else _placed(load(start, name=name, revision=revision))
    folder = hub.find(name, revision, start.locate(name)).folder
    config = _config(folder)
    own = any(str(kind).endswith("ForSequenceClassification") for kind in config.architectures or ())
    if start.skeleton:
        return own
    if not own or sorted(config.id2label.values()) != sorted(start.labels):
        return None
    return read(folder)


def _scratch(start: Start, scratch: Scratch) -> tuple[Any, Any]:
    from isogloss.nn import scratch as made

    tokenizer = _scratch_tokenizer(start, scratch)
    return tokenizer, made.config(
        tokenizer, layers=scratch.layers, width=scratch.width, heads=scratch.heads, max_length=1024
    )


def _scratch_tokenizer(start: Start, scratch: Scratch) -> Any:
    """The tokenizer of a model from scratch, trained once and kept."""
    from isogloss.nn import scratch as made

    folder = start.folder / "tokenizer"
    if (folder / "tokenizer.json").is_file():
        return _tokenizer(folder)
    return made.train_tokenizer(start.rows()["text"].to_list(), scratch.vocab, folder)


def _first_only(net: Any) -> None:
    """A head reads one token: of the last block no other is computed."""
    from isogloss.nn import first

    layers = _reach(net, architecture(net.config).blocks)
    if len(layers):
        first.only(layers[-1], net.config.model_type)


def _config(folder: Path) -> Any:
    import json

    from transformers import AutoConfig

    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except ValueError as error:
        raise InputError(f"{folder / 'config.json'} is not JSON: {error}") from None
    if kind not in ARCHITECTURES:
        raise _unsupported(kind)
    return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def _unsupported(kind: str | None) -> InputError:
    return InputError(
        f"the family 'encoder' does not support model type '{kind}'; supported: {', '.join(ARCHITECTURES)}"
    )


def architecture(config: Any) -> Architecture:
    """Where the parts of a model are. Raises InputError for a model type that is not supported."""
    if config.model_type not in ARCHITECTURES:
        raise _unsupported(config.model_type)
    return ARCHITECTURES[config.model_type]


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:
        said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"the tokenizer of {folder} cannot be read: {said[:200]}") from None


def _net(
    config: Any,
    folder: Path | None,
    loading: Mapping[str, Any],
    skeleton: bool,
    *,
    whole: bool = False,
    head: bool = True,
    kept: np.ndarray | None = None,
) -> nn.Module:
    """The model, with its `head` or without. A head may be new, unless it must be `whole`; what lies below never may.

    With `kept` its vocabulary has rows of these ids only, where that can be done. Raises InputError when weights are missing or have another shape: training or answering would go on from noise.
    """
    import torch
    from transformers import AutoModel, AutoModelForSequenceClassification

    Auto: Any = AutoModelForSequenceClassification if head else AutoModel
    if skeleton:
        with torch.device("meta"):
            return Auto.from_config(config)
    if folder is None:
        return Auto.from_config(config)
    read = None if kept is None or loading else _trimmed(Auto, config, folder, kept)
    net, info = read or Auto.from_pretrained(
        folder, config=config, dtype=torch.float32, use_safetensors=True, trust_remote_code=False,
        local_files_only=True, ignore_mismatched_sizes=True, output_loading_info=True, **loading,
    )  # fmt: skip
    lost = {*info["missing_keys"], *(key[0] if isinstance(key, tuple) else key for key in info["mismatched_keys"])}
    kind = architecture(config)
    if head:
        lost = {key for key in lost if whole or key.startswith((kind.blocks, *kind.below))}
    else:  # a pooler of the trunk may be new: its states are averaged without it
        lost = {key for key in lost if not key.startswith("pooler.")}
    if lost:
        some = ", ".join(sorted(lost)[:2])
        raise InputError(
            f"{folder} lacks {len(lost)} weights of a {config.model_type}, or has them in another shape ({some})"
        )
    return net


def _trimmed(Auto: Any, config: Any, folder: Path, kept: np.ndarray) -> tuple[nn.Module, dict[str, Any]] | None:
    """The model with rows of the ids `kept` only: the others are never read. None where the table cannot be told."""
    from contextlib import ExitStack

    import torch
    from safetensors import safe_open

    from isogloss.nn import rows
    from isogloss.nn.trimming import Table, TrimmedEmbedding

    with torch.device("meta"):
        skeleton = Auto.from_config(config)
    whole = skeleton.get_input_embeddings()
    name = next((name for name, p in skeleton.named_parameters() if p is whole.weight), "")
    files = rows.weights(folder)
    table = Table.find(files, name, config.vocab_size)
    pad = whole.padding_idx
    if table is None or (pad is not None and pad >= len(kept)):
        return None
    n_all = config.vocab_size
    with ExitStack() as opened:
        weights: dict[str, Any] = {}
        for path in files:
            handle = opened.enter_context(safe_open(path, framework="pt"))
            weights |= {key: handle.get_slice(key) for key in handle.keys()}  # noqa: SIM118  it is no mapping
        weights[table.name] = table.rows(kept)
        config.vocab_size = len(kept)
        try:
            net, info = type(skeleton).from_pretrained(
                None, config=config, state_dict=weights, dtype=torch.float32, trust_remote_code=False,
                ignore_mismatched_sizes=True, output_loading_info=True,
            )  # fmt: skip
        finally:
            config.vocab_size = n_all
    net.config.vocab_size = n_all
    net.set_input_embeddings(TrimmedEmbedding(table, kept, pad, net.get_input_embeddings().weight.detach()))
    return net, info


def _positions(config: Any, tokenizer: Any) -> int:
    """How many tokens the model has positions for: RoBERTa's begin after the padding index (514 hold 512)."""
    positions = int(config.max_position_embeddings)
    if "roberta" in config.model_type or config.model_type == "camembert":
        positions -= (config.pad_token_id or 0) + 1
    return min(positions, int(tokenizer.model_max_length))


# -- parts of the model -----------------------------------------------------------------------------------------


def embeddings(model: TextModel) -> list[nn.Module]:
    """Everything that acts below the blocks, or on all of them."""
    found = (_reach(model.net, path) for path in architecture(model.net.config).below)
    return [module for module in found if module is not None]


def blocks(model: TextModel) -> list[nn.Module]:
    """The transformer blocks, lowest first."""
    return list(_reach(model.net, architecture(model.net.config).blocks))


def _reach(net: Any, path: str) -> Any:
    """What stands at a path; a trunk without head is its own base model."""
    first, _, below = path.partition(".")
    if not hasattr(net, first) and first == net.base_model_prefix:
        path = below
    for name in path.split("."):
        net = getattr(net, name, None)
    return net


def states_at(model: TextModel, k: int, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """States `(B, T, D)` that enter block k; `batch` are the inputs of the model (`input_ids, attention_mask`)."""
    from isogloss.nn.blocks import states_at

    _splits(model, k)
    return states_at(model, blocks(model), k, batch)


def from_states(model: TextModel, k: int, states: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> Any:
    """What the model gives for `batch` when `states` enter block k: its own forward, lower blocks passed through."""
    from isogloss.nn.blocks import from_states

    _splits(model, k)
    return from_states(model, blocks(model), k, states, batch, paired=architecture(model.net.config).paired)


def _splits(model: TextModel, k: int) -> None:
    """Say so where a model cannot be split: a convolution after the only block adds to what leaves it."""
    config = model.net.config
    if getattr(config, "conv_kernel_size", 0) and k == config.num_hidden_layers == 1:
        raise InputError("a deberta-v2 of one block with a convolution cannot be split above its block")


# -- serving ----------------------------------------------------------------------------------------------------


def write(model: TextModel, folder: Path) -> list[Path]:
    """Write a transformers folder, adapters merged; returns its files."""
    from isogloss.nn import hub
    from isogloss.nn.adapters import merge
    from isogloss.nn.disk import whole_folder
    from isogloss.nn.pooling import write_pooling
    from isogloss.nn.trimming import restore

    merge(model)
    model.net.set_attn_implementation("eager" if not model.net._supports_sdpa else "sdpa")
    model.tokenizer.model_max_length = model.max_length
    with whole_folder(folder) as temporary, hub.quiet():
        model.net.save_pretrained(temporary)
        restore(model.net, temporary)
        model.tokenizer.save_pretrained(temporary)
        if model.pooling is not None:
            write_pooling(temporary, model.pooling, model.n_outputs, model.max_length)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def read(folder: Path) -> TextModel:
    """Read a transformers folder, with a classification head or a pooling. Raises PlaceError when it is damaged."""
    from isogloss.nn import hub
    from isogloss.nn.model import TextModel
    from isogloss.nn.pooling import pooling_of

    with hub.quiet():
        try:
            config, tokenizer = _config(folder), _tokenizer(folder)
            head = any(str(kind).endswith("ForSequenceClassification") for kind in config.architectures or ())
            net = _net(config, folder, {}, skeleton=False, whole=True, head=head)
        except InputError as error:
            raise PlaceError(str(error)) from None
        except Exception as error:
            raise PlaceError(
                f"the model in {folder} cannot be read ({type(error).__name__}: {str(error)[:160]})"
            ) from error
    labels = [config.id2label[i] for i in range(config.num_labels)] if head else []
    pooling = None if head else pooling_of(folder)
    if head:
        _first_only(net)
    return _placed(TextModel(net, tokenizer, labels, _positions(config, tokenizer), {}, pooling))


def _placed(model: TextModel) -> TextModel:
    """The model where it answers fastest, in evaluation mode."""
    import torch

    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu")


def predict(model: TextModel, frame: pl.DataFrame) -> np.ndarray:
    """Probabilities `(N, C)` of `text`, in the order of the labels; or unit vectors `(N, D)`, where there are none."""
    from isogloss.nn.answer import outputs, probabilities
    from isogloss.nn.batches import token_ids

    ids, _ = token_ids(model, frame["text"].to_list(), model.max_length)
    answered = outputs(model, ids)
    return answered if model.pooling else probabilities(answered)
