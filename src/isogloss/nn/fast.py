"""Any tokenizer as the tokenizers library's JSON with its special tokens, which a cure changes; and written again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from isogloss.core import token_files
from isogloss.core.errors import InputError, MissingError
from isogloss.nn import hub

# Special tokens by what they are for, as vocabularies spell them.
ROLES = {
    "unk_token": ("<unk>", "[UNK]"), "bos_token": ("<s>", "<bos>"), "eos_token": ("</s>", "<eos>", "<|endoftext|>"),
    "pad_token": ("<pad>", "[PAD]"), "cls_token": ("[CLS]", "<cls>"), "sep_token": ("[SEP]", "<sep>"),
    "mask_token": ("<mask>", "[MASK]"),
}  # fmt: skip
KEPT = ("model_max_length", "padding_side", "truncation_side", "model_input_names", "clean_up_tokenization_spaces")


@dataclass(frozen=True)
class Fast:
    """`value`: a tokenizer as JSON; `specials` by role; `settings`: what transformers is told of it; `model`: the folder
    of the model that it belongs to, where there is one with weights."""

    name: str
    value: Mapping[str, Any]
    specials: Mapping[str, str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    model: Path | None = None

    def with_value(self, value: Mapping[str, Any]) -> Fast:
        return replace(self, value=value)


def open_fast(name: str, *, revision: str | None = None) -> Fast:
    """The tokenizer of a folder, a file, `isogloss/mini` or a hub name, with its model where that has weights.

    Raises MissingError when nothing is there, InputError for a tokenizer that the tokenizers library cannot hold.
    """
    place = hub.packaged(name) or Path(name).expanduser()
    if not place.exists():
        if not hub.is_name(name):
            raise MissingError(f"there is no model or tokenizer {name}; give a folder, a file, or a hub name")
        place = hub.find(name, revision, place).folder
    if place.is_dir():
        return _of_folder(place, name)
    own = token_files.read(place, name)
    inner = own.inner if own.inner is not None else _of_sentencepiece(place, name)
    value = json.loads(inner.to_str())
    vocab = inner.get_vocab()
    specials = {
        role: next(one for one in some if one in vocab)
        for role, some in ROLES.items()
        if any(map(vocab.__contains__, some))
    }
    return Fast(name, value, specials)


def _of_folder(folder: Path, name: str) -> Fast:
    from transformers import AutoTokenizer

    own = token_files.read(folder, name)  # says what is wrong with a file in a sentence
    weights = any(folder.glob("*.safetensors")) and (folder / "config.json").is_file()
    if not weights and list(folder.glob("*.bin")):
        raise InputError(f"{name} has no safetensors weights, and pickles are never loaded; convert the folder first")
    if (
        not (folder / "config.json").is_file()
        and not (folder / "tokenizer_config.json").is_file()
        and own.inner is not None
    ):
        return Fast(name, json.loads(own.inner.to_str()), {}, {})
    try:
        with hub.quiet():
            found: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:
        said = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise InputError(f"the tokenizer of {name} cannot be opened: {said}") from None
    inner = getattr(found, "backend_tokenizer", None)
    if inner is None:
        raise InputError(
            f"the tokenizer of {name} ({type(found).__name__}) is code and no vocabulary, so nothing can be added to it; "
            "--by replace gives the model another one"
        )
    specials = {role: token for role, token in found.special_tokens_map.items() if isinstance(token, str)}
    settings = {key: getattr(found, key) for key in KEPT if getattr(found, key, None) is not None}
    if getattr(found, "chat_template", None):
        settings["chat_template"] = found.chat_template
    return Fast(name, json.loads(inner.to_str()), specials, settings, folder if weights else None)


def _of_sentencepiece(path: Path, name: str) -> Any:
    """A SentencePiece model as the tokenizers library holds it: its own table of characters, its pieces and scores.

    In bpe every way to halve a piece is a merge, in the order of the pieces, as SentencePiece joins the best piece first.
    """
    import gzip

    from sentencepiece import sentencepiece_model_pb2 as form
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

    raw = path.read_bytes()
    raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    proto: Any = form.ModelProto.FromString(raw)  # type: ignore[attr-defined]
    trained, normal = proto.trainer_spec, proto.normalizer_spec
    if trained.model_type not in (1, 2):
        raise InputError(f"{name} is a SentencePiece model of whole words or characters, which cannot be extended")
    pieces = [(one.piece, one.score) for one in proto.pieces]
    if trained.model_type == 1:
        inner = Tokenizer(models.Unigram(pieces, unk_id=trained.unk_id, byte_fallback=trained.byte_fallback))
    else:
        vocab = {piece: i for i, (piece, _) in enumerate(pieces)}
        plain = {one.piece for one in proto.pieces if one.type in (1, 4)}
        merges = []
        for piece in (one.piece for one in proto.pieces if one.type in (1, 4)):
            halves = [(piece[:i], piece[i:]) for i in range(1, len(piece)) if piece[:i] in plain and piece[i:] in plain]
            merges += sorted(halves, key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))
        inner = Tokenizer(
            models.BPE(
                vocab,
                merges,
                unk_token=trained.unk_piece or "<unk>",
                fuse_unk=True,
                byte_fallback=trained.byte_fallback,
            )
        )
    steps: list[Any] = [normalizers.Precompiled(normal.precompiled_charsmap)] if normal.precompiled_charsmap else []
    if normal.remove_extra_whitespaces:
        steps += [normalizers.Replace(_regex(" {2,}"), " "), normalizers.Strip()]
    if normal.add_dummy_prefix:
        steps.append(normalizers.Prepend("\u2581"))
    inner.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "\u2581")])
    if trained.model_type == 1:
        inner.pre_tokenizer = pre_tokenizers.Split("\u2581", "merged_with_next")
    back: list[Any] = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    inner.decoder = decoders.Sequence([*back, decoders.Strip(" ", 1, 0)] if normal.add_dummy_prefix else back)
    inner.add_special_tokens([AddedToken(one.piece, special=True) for one in proto.pieces if one.type in (2, 3)])
    return inner


def _regex(pattern: str) -> Any:
    from tokenizers import Regex

    return Regex(pattern)


def inner_of(own: Fast) -> Any:
    """The tokenizers library's object of it."""
    from tokenizers import Tokenizer

    inner = Tokenizer.from_str(json.dumps(own.value, ensure_ascii=False))
    inner.no_truncation()
    inner.no_padding()
    return inner


def save(own: Fast, folder: Path) -> Any:
    """Write the tokenizer as transformers reads it, whatever model it was of; returns what was written."""
    from transformers import PreTrainedTokenizerFast

    with hub.quiet():
        made = PreTrainedTokenizerFast(tokenizer_object=inner_of(own), **own.specials, **own.settings)
        made.save_pretrained(folder)
    return made
