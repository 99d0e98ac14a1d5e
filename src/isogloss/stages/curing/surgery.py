"""Change a tokenizer: put new pieces into it, or give it bytes, in the form that tokenizer.json has.

What is added is written so that old text is cut as before wherever no new piece fits:
- bpe: joins stand behind all old merges, so they begin where those have ended;
- unigram: a joined piece scores as its two parts together and a hair more, so a best path changes only by joining
  neighbours; a letter scores as the rarest piece, which is better than unknown and than its bytes;
- wordpiece: the longest piece wins, which may cut other words anew; `cure` measures that and takes such pieces out.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from isogloss.core import token_files
from isogloss.core.errors import InputError
from isogloss.core.tokens import BYTE as BYTE
from isogloss.stages.curing.pieces import Learned

HAIR = 1e-4  # of a score: less than what two ways to cut a word differ by
LONGEST_WORD = 10_000
BYTES = tuple(f"<0x{i:02X}>" for i in range(256))


def kind_of(value: Mapping[str, Any]) -> str:
    """The kind of a tokenizer in JSON: unigram, bpe, byte-level bpe or wordpiece. Raises InputError for another."""
    kind = token_files.kind_of(value)
    if kind not in ("unigram", "bpe", "byte-level bpe", "wordpiece"):
        raise InputError(
            f"a tokenizer of the kind '{kind}' cannot be extended; --by replace gives the model another one"
        )
    return kind


def next_id(value: Mapping[str, Any]) -> int:
    """The first number that no piece has."""
    vocab = value["model"]["vocab"]
    ids = range(len(vocab)) if isinstance(vocab, list) else vocab.values()
    return max((*ids, *(int(one["id"]) for one in value.get("added_tokens") or ())), default=-1) + 1


def speller(value: Mapping[str, Any]) -> Callable[[str, str], str]:
    """How two pieces are spelled as one."""
    prefix = _prefix(value)

    def spell(first: str, second: str) -> str:
        return first + (second.removeprefix(prefix) if prefix else second)

    return spell


def _prefix(value: Mapping[str, Any]) -> str:
    model = value["model"]
    return str(model.get("continuing_subword_prefix") or ("##" if kind_of(value) == "wordpiece" else ""))


def surface(value: Mapping[str, Any]) -> Callable[[str], str | None]:
    """From the spelling of a piece to its text; None for a piece of a character."""
    kind = kind_of(value)
    found: Callable[[str], str | None] = token_files.surfaces(
        kind, bool(value["model"].get("byte_fallback")), value["model"]
    )
    return found


def letters(value: Mapping[str, Any], characters: Sequence[str]) -> list[str]:
    """The spellings of letters as pieces: in wordpiece as the beginning of a word and inside it."""
    prefix, vocab = _prefix(value), _vocab(value)
    both = [spelling for c in characters for spelling in ((c, prefix + c) if prefix else (c,))]
    return [spelling for spelling in both if spelling not in vocab]


def _vocab(value: Mapping[str, Any]) -> Mapping[str, int]:
    vocab = value["model"]["vocab"]
    return {piece: i for i, (piece, _) in enumerate(vocab)} if isinstance(vocab, list) else vocab


def taken(value: Mapping[str, Any]) -> Callable[[str], bool]:
    """Whether a spelling is a piece already."""
    vocab = {*_vocab(value), *(one["content"] for one in value.get("added_tokens") or ())}
    return vocab.__contains__


def extended(
    value: Mapping[str, Any], learned: Learned, *, without: frozenset[str] = frozenset()
) -> tuple[dict[str, Any], list[str]]:
    """The tokenizer with new pieces, and their spellings in the order of their numbers; `without` are left out."""
    out: dict[str, Any] = copy.deepcopy(dict(value))
    model, kind = out["model"], kind_of(value)
    made = [piece for piece in learned.pieces if piece not in without]
    start = next_id(value)
    if kind == "unigram":
        _filled(out, start)
        scores = dict(model["vocab"])
        least = min(score for _, score in model["vocab"])
        for piece in learned.letters:
            scores[piece] = least
        for piece, first, second in learned.joins:
            scores[piece] = scores[first] + scores[second] + HAIR
        model["vocab"] += [[piece, scores[piece]] for piece in made]
        return out, made
    for i, piece in enumerate(made):
        model["vocab"][piece] = start + i
    if kind == "wordpiece":  # a longer word is unknown as a whole, which is every sentence of a script without spaces
        model["max_input_chars_per_word"] = max(LONGEST_WORD, int(model.get("max_input_chars_per_word") or 0))
    if "merges" in model:
        pairs = bool(model["merges"]) and not isinstance(model["merges"][0], str)
        gone = set(without)
        for piece, first, second in learned.joins:
            if piece in gone or first in gone or second in gone:
                gone.add(piece)
                continue
            model["merges"].append([first, second] if pairs or not model["merges"] else f"{first} {second}")
    return out, made


def _filled(value: dict[str, Any], size: int) -> None:
    """A unigram's pieces are numbered by their place: what stands behind them as added tokens gets a place among them."""
    vocab = value["model"]["vocab"]
    by_id = {int(one["id"]): one["content"] for one in value.get("added_tokens") or ()}
    least = min(score for _, score in vocab)
    vocab += [[by_id.get(i, f"<unused{i}>"), least] for i in range(len(vocab), size)]


def with_bytes(value: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The tokenizer with the 256 bytes, which stand in for what no piece covers; and their spellings.

    Raises InputError for one that needs none, or cannot have them.
    """
    kind = kind_of(value)
    if kind == "byte-level bpe":
        raise InputError("the tokenizer is byte-level: it writes every text already; --by extend makes it cheaper")
    if kind == "wordpiece":
        raise InputError(
            "WordPiece has no way to fall back to bytes: --by extend gives it the letters that it lacks, --by replace a "
            "tokenizer that writes every text"
        )
    vocab = _vocab(value)
    if value["model"].get("byte_fallback") and all(byte in vocab for byte in BYTES):
        raise InputError(
            "the tokenizer falls back to bytes already: it writes every text; --by extend makes it cheaper"
        )
    out: dict[str, Any] = copy.deepcopy(dict(value))
    model, new = out["model"], [byte for byte in BYTES if byte not in vocab]
    start = next_id(value)
    if kind == "unigram":
        _filled(out, start)
        least = min(score for _, score in model["vocab"])
        model["vocab"] += [[byte, least] for byte in new]
    else:
        model["vocab"] |= {byte: start + i for i, byte in enumerate(new)}
    model["byte_fallback"] = True
    out["decoder"] = _falling(out.get("decoder"))
    return out, new


def _falling(decoder: Any) -> dict[str, Any]:
    """A decoder that puts bytes together before anything else."""
    inner = list(decoder["decoders"]) if isinstance(decoder, dict) and decoder.get("type") == "Sequence" else [decoder]
    inner = [one for one in inner if one]
    if not any(one.get("type") == "ByteFallback" for one in inner):
        inner.insert(0, {"type": "ByteFallback"})
    if not any(one.get("type") == "Fuse" for one in inner):
        inner.append({"type": "Fuse"})
    return {"type": "Sequence", "decoders": inner}


def parts(value: Mapping[str, Any], learned: Learned) -> dict[str, list[str]]:
    """Of each new piece the old ones that it is made of; a letter has its bytes where the tokenizer has them, else none."""
    vocab = _vocab(value)
    out: dict[str, list[str]] = {}
    prefix = _prefix(value)
    for piece in learned.letters:
        text = piece.removeprefix(prefix) if prefix else piece
        spelled = [BYTES[byte] for byte in text.encode()]
        out[piece] = spelled if all(byte in vocab for byte in spelled) else []
    for piece, first, second in learned.joins:
        out[piece] = [*out.get(first, [first]), *out.get(second, [second])]
    return out


def read(value: Mapping[str, Any]) -> Any:
    """The tokenizers library's object of a tokenizer in JSON, without truncation and padding."""
    from tokenizers import Tokenizer

    made = Tokenizer.from_str(json.dumps(value, ensure_ascii=False))
    made.no_truncation()
    made.no_padding()
    return made
