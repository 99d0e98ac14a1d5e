"""Architecture: the shape of a transformer, read from its config.json, and how many parameters that makes. No torch.

Exact for the types of `KNOWN`: tests compare the count with what transformers builds. Any other config is read by the
usual names of its keys, and says that its count is approximate.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from isogloss.core.errors import InputError, MissingError

CONFIG = "config.json"


@dataclass(frozen=True, slots=True)
class Linear:
    """A matrix of a block: its name, what goes in and what comes out, and whether it has a bias."""

    name: str
    n_in: int
    n_out: int
    bias: bool = False

    @property
    def n(self) -> int:
        """Parameters."""
        return self.n_in * self.n_out + (self.n_out if self.bias else 0)


@dataclass(frozen=True, slots=True)
class Stack:
    """Equal blocks on top of each other. `others`: parameters of a block that are in no linear layer."""

    name: str
    layers: int
    linears: tuple[Linear, ...]
    others: int
    attentions: int = 1
    """1, or 2 where a block also attends to an encoder"""
    cuts: int = 0
    """further parameters that the first block alone has"""

    @property
    def n_block(self) -> int:
        return sum(linear.n for linear in self.linears) + self.others

    @property
    def n(self) -> int:
        return self.layers * self.n_block + self.cuts


@dataclass(frozen=True, slots=True)
class Architecture:
    """The shape of a transformer. Counts are of parameters; `below` are those under the blocks without the table of pieces,
    `above` those over them without an output table. `tied`: the output table is the input table."""

    model_type: str
    kind: str
    stacks: tuple[Stack, ...]
    vocab: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    ffn: int
    gated: bool
    embed_width: int
    below: int
    above: int
    tied: bool
    context: int | None
    dropout: float = 0.0
    """share that is dropped of states"""
    attention_dropout: float = 0.0
    relative: int = 0
    """rows of a table of relative positions that attention reads besides, as DeBERTa's does"""
    exact: bool = True

    @property
    def layers(self) -> int:
        return sum(stack.layers for stack in self.stacks)

    @property
    def n_table(self) -> int:
        """Parameters of the table of pieces."""
        return self.vocab * self.embed_width

    @property
    def n_output(self) -> int:
        """Parameters of an output table of its own, as generating models may have it."""
        return 0 if self.tied or self.kind == "encoder" else self.vocab * self.width

    @property
    def n_blocks(self) -> int:
        return sum(stack.n for stack in self.stacks)

    @property
    def n_parameters(self) -> int:
        """All of them, without the head of a task."""
        return self.n_table + self.below + self.n_blocks + self.above + self.n_output

    def head(self, n_labels: int) -> int:
        """Parameters of a classification head as transformers makes it; 0 labels: none."""
        if not n_labels:
            return 0
        return self.width * self.width + self.width + self.width * n_labels + n_labels


# -- reading ----------------------------------------------------------------------------------------------------


def read(path: str | Path) -> Architecture:
    """The architecture of a model folder, or of a config.json.

    Raises MissingError when there is none, InputError when it is no JSON or lacks a key that its type needs.
    """
    file = Path(path)
    file = file / CONFIG if file.is_dir() else file
    if not file.is_file():
        raise MissingError(
            f"there is no {file}; give a model folder with a {CONFIG}, or a name from `isogloss ls models`"
        )
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not JSON, or was cut short ({str(error)[:80]})") from None
    if not isinstance(value, dict):
        raise InputError(f"{file} must hold a table of keys, and holds a {type(value).__name__}")
    return of(value, str(file))


def of(config: Mapping[str, Any], where: str = "the config") -> Architecture:
    """The architecture of a config. Raises InputError for a key that is missing, of the wrong type, or not positive."""
    inner = config.get("text_config")
    if isinstance(inner, Mapping):  # a model of text and images: its text part
        config = {"model_type": config.get("model_type"), **inner}
    kind = config.get("model_type")
    if not isinstance(kind, str) or not kind:
        raise InputError(f"{where} has no 'model_type', so nobody can tell what its keys mean")
    for key in ("num_local_experts", "num_experts", "n_routed_experts"):
        if isinstance(config.get(key), int) and config[key] > 1:
            raise InputError(
                f"{where} is a mixture of experts ({key} = {config[key]}), for which there are no estimates"
            )
    if kind == "albert":
        raise InputError(f"{where} is an albert, whose blocks share their weights; there are no estimates for it")
    keys = _Keys({**DEFAULTS.get(kind, {}), **{k: v for k, v in config.items() if v is not None}}, where, kind)
    reader = KNOWN.get(kind)
    return reader(keys) if reader is not None else _any(keys)


@dataclass(frozen=True)
class _Keys:
    """A config that is asked for keys; what it lacks is said with what the key means."""

    value: Mapping[str, Any]
    where: str
    kind: str

    def n(self, *names: str, default: int | None = None) -> int:
        """A whole number above 0 under the first of these names that is there."""
        for name in names:
            if name not in self.value:
                continue
            found = self.value[name]
            if isinstance(found, bool) or not isinstance(found, int) or found < 1:
                raise InputError(f"{self.where}: '{name}' must be a whole number above 0, and is {found!r}")
            return found
        if default is not None:
            return default
        named = " or ".join(f"'{name}'" for name in names)
        raise InputError(f"{self.where} has no {named}, {MEANS[names[0]]}: without it a {self.kind} has no size")

    def flag(self, name: str, default: bool) -> bool:
        return bool(self.value.get(name, default))

    def share(self, *names: str, default: float = 0.0) -> float:
        found = next((self.value[name] for name in names if name in self.value), default)
        return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else default

    def whole(self, what: int, by: int, sentence: str) -> int:
        if what % by:
            raise InputError(f"{self.where}: {sentence} ({what} by {by})")
        return what // by

    @property
    def context(self) -> int | None:
        for name in ("max_position_embeddings", "n_positions", "seq_length"):
            found = self.value.get(name)
            if isinstance(found, int) and found > 0:
                return found
        return None


MEANS = {
    "hidden_size": "the width of its states",
    "d_model": "the width of its states",
    "dim": "the width of its states",
    "num_hidden_layers": "the number of its blocks",
    "n_layer": "the number of its blocks",
    "n_layers": "the number of its blocks",
    "num_layers": "the number of its blocks",
    "encoder_layers": "the number of its encoder's blocks",
    "decoder_layers": "the number of its decoder's blocks",
    "num_attention_heads": "the number of its attention heads",
    "n_head": "the number of its attention heads",
    "n_heads": "the number of its attention heads",
    "num_heads": "the number of its attention heads",
    "encoder_attention_heads": "the number of its attention heads",
    "intermediate_size": "the width of its feed-forward layers",
    "hidden_dim": "the width of its feed-forward layers",
    "d_ff": "the width of its feed-forward layers",
    "d_kv": "the width of an attention head",
    "encoder_ffn_dim": "the width of its feed-forward layers",
    "decoder_ffn_dim": "the width of its feed-forward layers",
    "vocab_size": "the number of its pieces",
    "max_position_embeddings": "the number of its positions",
}

# Keys that published configs leave out because they are the default of their class in transformers.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "gemma3_text": {"vocab_size": 262_208, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256},
    "gemma3": {"vocab_size": 262_208, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256},
    "modernbert": {"max_position_embeddings": 8192},
}


def _attention(width: int, inner: int, kv: int, bias: bool, out_bias: bool) -> tuple[Linear, ...]:
    return (
        Linear("query", width, inner, bias),
        Linear("key", width, kv, bias),
        Linear("value", width, kv, bias),
        Linear("output", inner, width, out_bias),
    )


def _bert(keys: _Keys) -> Architecture:
    """BERT and RoBERTa with their kin: learned positions, post-norm, biases everywhere."""
    width, heads = keys.n("hidden_size"), keys.n("num_attention_heads")
    ffn, embed = keys.n("intermediate_size"), keys.n("embedding_size", default=keys.n("hidden_size"))
    if keys.kind == "rembert":
        embed = keys.n("input_embedding_size", default=256)
    if keys.kind not in ("electra", "rembert"):
        embed = width
    positions = keys.n("max_position_embeddings")
    types = int(keys.value.get("type_vocab_size", 2) or 0)
    below = positions * embed + types * embed + 2 * embed + (0 if embed == width else embed * width + width)
    linears = (
        *_attention(width, width, width, True, True),
        Linear("up", width, ffn, True),
        Linear("down", ffn, width, True),
    )
    padding = int(keys.value.get("pad_token_id", 1)) + 1
    shifted = keys.kind in ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl")
    above = 2 * width if keys.kind == "xlm-roberta-xl" else 0
    if keys.kind == "xlm-roberta-xl":
        below -= 2 * embed  # its norms stand inside the blocks and above them
    return Architecture(
        keys.kind, "encoder", (Stack("blocks", keys.n("num_hidden_layers"), linears, 4 * width),), keys.n("vocab_size"),
        width, heads, heads, keys.whole(width, heads, "the width is no multiple of the heads"), ffn, False, embed,
        below, above, True, positions - padding if shifted else positions,
        keys.share("hidden_dropout_prob", default=0.1), keys.share("attention_probs_dropout_prob", default=0.1),
    )  # fmt: skip


def _distilbert(keys: _Keys) -> Architecture:
    width, heads, ffn = keys.n("dim"), keys.n("n_heads"), keys.n("hidden_dim")
    positions = keys.n("max_position_embeddings")
    linears = (
        *_attention(width, width, width, True, True),
        Linear("up", width, ffn, True),
        Linear("down", ffn, width, True),
    )
    return Architecture(
        keys.kind, "encoder", (Stack("blocks", keys.n("n_layers"), linears, 4 * width),), keys.n("vocab_size"), width,
        heads, heads, keys.whole(width, heads, "the width is no multiple of the heads"), ffn, False, width,
        positions * width + 2 * width, 0, True, positions,
        keys.share("dropout", default=0.1), keys.share("attention_dropout", default=0.1),
    )  # fmt: skip


def _deberta(keys: _Keys) -> Architecture:
    """DeBERTa v2 and v3: relative positions in a table of their own, shared by all blocks."""
    width, heads, ffn = keys.n("hidden_size"), keys.n("num_attention_heads"), keys.n("intermediate_size")
    embed, positions = keys.n("embedding_size", default=width), keys.n("max_position_embeddings")
    kinds = keys.value.get("pos_att_type") or ()
    kinds = kinds.split("|") if isinstance(kinds, str) else list(kinds)
    linears = [*_attention(width, width, width, True, True)]
    if keys.flag("relative_attention", False) and not keys.flag("share_att_key", False):
        linears += [Linear("pos_key", width, width, True)] if "c2p" in kinds else []
        linears += [Linear("pos_query", width, width, True)] if "p2c" in kinds else []
    linears += [Linear("up", width, ffn, True), Linear("down", ffn, width, True)]
    types = int(keys.value.get("type_vocab_size", 0) or 0)
    below = types * embed + 2 * width + (0 if embed == width else embed * width)
    if keys.flag("position_biased_input", True):
        below += positions * embed
    relative = 0
    if keys.flag("relative_attention", False):
        most = int(keys.value.get("max_relative_positions", -1) or -1)
        buckets = int(keys.value.get("position_buckets", -1) or -1)
        relative = 2 * (buckets if buckets > 0 else most if most > 0 else positions)
        below += relative * width
        below += 2 * width if "layer_norm" in str(keys.value.get("norm_rel_ebd", "none")) else 0
    kernel = int(keys.value.get("conv_kernel_size", 0) or 0)
    cuts = kernel * width * width + width + 2 * width if kernel else 0
    return Architecture(
        keys.kind, "encoder", (Stack("blocks", keys.n("num_hidden_layers"), tuple(linears), 4 * width, cuts=cuts),),
        keys.n("vocab_size"), width, heads, heads, keys.whole(width, heads, "the width is no multiple of the heads"),
        ffn, False, embed, below, 0, True, positions, keys.share("hidden_dropout_prob", default=0.1),
        keys.share("attention_probs_dropout_prob", default=0.1), relative,
    )  # fmt: skip


def _modernbert(keys: _Keys) -> Architecture:
    """ModernBERT: rotary positions, gated layers, norms before the layers; the first block has none before attention."""
    width, heads, ffn = keys.n("hidden_size"), keys.n("num_attention_heads"), keys.n("intermediate_size")
    bias, mlp = keys.flag("attention_bias", False), keys.flag("mlp_bias", False)
    norm = (2 if keys.flag("norm_bias", False) else 1) * width
    linears = (
        Linear("qkv", width, 3 * width, bias),
        Linear("output", width, width, bias),
        Linear("up", width, 2 * ffn, mlp),
        Linear("down", ffn, width, mlp),
    )
    return Architecture(
        keys.kind, "encoder",
        (Stack("blocks", keys.n("num_hidden_layers"), linears, 2 * norm, cuts=-norm),), keys.n("vocab_size"), width,
        heads, heads, keys.whole(width, heads, "the width is no multiple of the heads"), ffn, True, width, norm, norm,
        True, keys.context, keys.share("mlp_dropout"), keys.share("attention_dropout"),
    )  # fmt: skip


# Of decoders that differ in details: norms in a block, by their width; biases; norms of queries and keys.
@dataclass(frozen=True)
class _Decoder:
    norms: int = 2
    qkv_bias: bool = False
    qk_norms: bool = False
    tied: bool = False


_DECODERS = {
    "llama": _Decoder(),
    "mistral": _Decoder(),
    "qwen2": _Decoder(qkv_bias=True),
    "qwen3": _Decoder(qk_norms=True),
    "gemma": _Decoder(tied=True),
    "gemma2": _Decoder(norms=4, tied=True),
    "gemma3_text": _Decoder(norms=4, qk_norms=True, tied=True),
    "gemma3": _Decoder(norms=4, qk_norms=True, tied=True),
    "cohere": _Decoder(norms=1, tied=True),
    "cohere2": _Decoder(norms=1, tied=True),
}


def _decoder(keys: _Keys) -> Architecture:
    """LLaMA and its kin: rotary positions, gated layers, fewer heads for keys and values than for queries."""
    like = _DECODERS[keys.kind]
    width, heads, ffn = keys.n("hidden_size"), keys.n("num_attention_heads"), keys.n("intermediate_size")
    kv = keys.n("num_key_value_heads", default=heads)
    each = keys.value.get("head_dim")
    each = (
        each
        if isinstance(each, int) and each > 0
        else keys.whole(width, heads, "the width is no multiple of the heads")
    )
    bias = like.qkv_bias or keys.flag("attention_bias", False)
    out_bias = keys.flag("attention_bias", False) and not like.qkv_bias
    mlp = keys.flag("mlp_bias", False)
    linears = (
        *_attention(width, heads * each, kv * each, bias, out_bias),
        Linear("gate", width, ffn, mlp),
        Linear("up", width, ffn, mlp),
        Linear("down", ffn, width, mlp),
    )
    others = like.norms * width + (2 * each if like.qk_norms else 0)
    if keys.kind.startswith("cohere") and keys.flag("use_qk_norm", False):
        others += (heads + kv) * each
    return Architecture(
        keys.kind, "decoder", (Stack("blocks", keys.n("num_hidden_layers"), linears, others),), keys.n("vocab_size"),
        width, heads, kv, each, ffn, True, width, 0, width, keys.flag("tie_word_embeddings", like.tied), keys.context,
        0.0, keys.share("attention_dropout"),
    )  # fmt: skip


def _bloom(keys: _Keys) -> Architecture:
    width, heads = keys.n("hidden_size", "n_embed"), keys.n("n_head", "num_attention_heads")
    linears = (
        Linear("qkv", width, 3 * width, True),
        Linear("output", width, width, True),
        Linear("up", width, 4 * width, True),
        Linear("down", 4 * width, width, True),
    )
    return Architecture(
        keys.kind, "decoder", (Stack("blocks", keys.n("n_layer", "num_hidden_layers"), linears, 4 * width),),
        keys.n("vocab_size"), width, heads, heads, keys.whole(width, heads, "the width is no multiple of the heads"),
        4 * width, False, width, 2 * width, 2 * width, True, keys.context or 2048,
        keys.share("hidden_dropout"), keys.share("attention_dropout"),
    )  # fmt: skip


def _t5(keys: _Keys) -> Architecture:
    """T5, mT5 and umT5: relative positions as a bias of the first block, or of each of them."""
    width, heads, ffn, each = keys.n("d_model"), keys.n("num_heads"), keys.n("d_ff"), keys.n("d_kv")
    layers = keys.n("num_layers")
    above_layers = keys.n("num_decoder_layers", default=layers)
    gated = "gated" in str(keys.value.get("feed_forward_proj", "gated-gelu" if keys.kind != "t5" else "relu"))
    inner = heads * each
    attention = _attention(width, inner, inner, False, False)
    feed = (
        (Linear("gate", width, ffn), Linear("up", width, ffn), Linear("down", ffn, width))
        if gated
        else (Linear("up", width, ffn), Linear("down", ffn, width))
    )
    cross = tuple(replace(linear, name=f"cross_{linear.name}") for linear in attention)
    bias = int(keys.value.get("relative_attention_num_buckets", 32) or 32) * heads
    each_block = bias if keys.kind == "umt5" else 0
    first = 0 if keys.kind == "umt5" else bias
    encoder = Stack("encoder", layers, (*attention, *feed), 2 * width + each_block, cuts=first)
    decoder = Stack("decoder", above_layers, (*attention, *cross, *feed), 3 * width + each_block, 2, first)
    return Architecture(
        keys.kind, "encoder-decoder", (encoder, decoder), keys.n("vocab_size"), width, heads, heads, each, ffn, gated,
        width, 0, 2 * width, keys.flag("tie_word_embeddings", keys.kind == "t5"), None,
        keys.share("dropout_rate", default=0.1), keys.share("dropout_rate", default=0.1),
    )  # fmt: skip


def _m2m(keys: _Keys) -> Architecture:
    """M2M-100, which NLLB is, and mBART: an encoder and a decoder with biases everywhere."""
    width, heads = keys.n("d_model"), keys.n("encoder_attention_heads")
    up, down = keys.n("encoder_ffn_dim"), keys.n("decoder_ffn_dim")
    attention = _attention(width, width, width, True, True)
    cross = tuple(replace(linear, name=f"cross_{linear.name}") for linear in attention)
    encoder = Stack(
        "encoder",
        keys.n("encoder_layers"),
        (*attention, Linear("up", width, up, True), Linear("down", up, width, True)),
        4 * width,
    )
    decoder = Stack(
        "decoder",
        keys.n("decoder_layers"),
        (*attention, *cross, Linear("up", width, down, True), Linear("down", down, width, True)),
        6 * width,
        2,
    )
    learned = keys.kind == "mbart"  # positions of m2m are sines; mbart's are learned, with a norm of the embeddings
    below = 2 * ((keys.n("max_position_embeddings") + 2) * width + 2 * width) if learned else 0
    return Architecture(
        keys.kind, "encoder-decoder", (encoder, decoder), keys.n("vocab_size"), width, heads, heads,
        keys.whole(width, heads, "the width is no multiple of the heads"), up, False, width, below, 4 * width, True,
        keys.context, keys.share("dropout", default=0.1), keys.share("attention_dropout"),
    )  # fmt: skip


def _any(keys: _Keys) -> Architecture:
    """Any other transformer, by the usual names of its keys: a decoder where it says that it generates, else an encoder."""
    width = keys.n("hidden_size", "d_model", "n_embd", "dim")
    heads = keys.n("num_attention_heads", "n_head", "num_heads", "n_heads")
    layers = keys.n("num_hidden_layers", "n_layer", "num_layers", "n_layers")
    ffn = keys.n("intermediate_size", "d_ff", "ffn_dim", "n_inner", "hidden_dim", default=4 * width)
    kv = keys.n("num_key_value_heads", default=heads)
    each = keys.n("head_dim", default=keys.whole(width, heads, "the width is no multiple of the heads"))
    names = " ".join(map(str, keys.value.get("architectures") or ()))
    generates = any(word in names for word in ("CausalLM", "LMHead")) or keys.flag("is_decoder", False)
    gated = kv != heads or "rms_norm_eps" in keys.value
    feed = (Linear("gate", width, ffn),) if gated else ()
    linears = (
        *_attention(width, heads * each, kv * each, not gated, not gated),
        *feed,
        Linear("up", width, ffn, not gated),
        Linear("down", ffn, width, not gated),
    )
    positions = 0 if gated else (keys.context or 0)
    return Architecture(
        keys.kind, "decoder" if generates else "encoder", (Stack("blocks", layers, linears, 4 * width),),
        keys.n("vocab_size"), width, heads, kv, each, ffn, gated, width, positions * width + 2 * width, 2 * width,
        keys.flag("tie_word_embeddings", not gated), keys.context,
        keys.share("hidden_dropout_prob", "dropout", "resid_pdrop"),
        keys.share("attention_probs_dropout_prob", "attention_dropout", "attn_pdrop"), exact=False,
    )  # fmt: skip


KNOWN: Mapping[str, Callable[[_Keys], Architecture]] = {
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "electra", "rembert"), _bert),
    "distilbert": _distilbert,
    "deberta-v2": _deberta,
    "modernbert": _modernbert,
    **dict.fromkeys(_DECODERS, _decoder),
    "bloom": _bloom,
    **dict.fromkeys(("t5", "mt5", "umt5"), _t5),
    **dict.fromkeys(("m2m_100", "mbart"), _m2m),
}
