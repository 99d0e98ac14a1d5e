"""Read a tokenizer from any file or folder that holds one. What a file is, is seen from its content, not from its name.

    tokenizer.json      the tokenizers library's own file: any kind
    *.model, *.spm      SentencePiece: unigram, bpe
    *.tiktoken          ranks of byte pieces, base64; what cuts words before that is not in the file (see `PATTERNS`)
    tekken.json         Mistral's ranks, with their pattern
    vocab.txt           WordPiece, a piece a line
    vocab.json          byte-level bpe, with merges.txt beside it
    *.parquet           unigram pieces with scores: columns `piece, score`, and `word_id` where numbers are not the order

Any of them may be packed with gzip. Nothing here imports torch, and no code of a model is ever run.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from isogloss.core.errors import InputError, MissingError
from isogloss.core.files import place_errors
from isogloss.core.tokens import BYTE, RESERVED, Encoded, Tokenizer, byte_alphabet, encoded, in_characters, whole

# Files of a folder that hold a tokenizer, the surest first.
NAMES = (
    "tokenizer.json", "tekken.json", "sentencepiece.bpe.model", "spiece.model", "spm.model", "tokenizer.model",
    "source.spm", "vocab.txt", "vocab.json",
)  # fmt: skip
# Classes of transformers that do more than their files say: other splitters, other codes. Without a tokenizer.json only
# transformers itself can open them.
CODE = frozenset(
    {"BertJapanese", "Phobert", "Bertweet", "Herbert", "Flaubert", "XLM", "OpenAIGPT", "CTRL", "FSMT", "BioGpt", "CLIP",
     "RoCBert", "RoFormer", "Cpm", "CpmAnt", "Esm", "MarkupLM", "Luke", "MLuke", "Perceiver", "Tapex", "Vits",
     "Wav2Vec2CTC", "Funnel", "Blenderbot", "BlenderbotSmall"}
)  # fmt: skip
WITHOUT_FILES = {"ByT5Tokenizer": "bytes", "CanineTokenizer": "characters"}
LARGEST = 1_000_000_000  # bytes of a tokenizer's file; more is none
NO_END = "the last line of the file has no end; if the file was cut, pieces are missing"
UNBOUNDED = 1_000_000  # transformers writes 1e30 where it knows no longest text

# What cuts a text into words before ranks are used, from the sources of tiktoken and Qwen. A file of ranks does not
# hold it; it is told from the longest number among the pieces, and from whether a piece goes on from a small to a
# capital letter (`_pattern`).
_GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PATTERNS = {"gpt2": _GPT2, "cl100k": _CL100K, "o200k": _O200K, "qwen": _CL100K.replace("{1,3}", "")}


def read(place: Path, name: str = "") -> Tokenizer:
    """Read the tokenizer that a file or a folder holds; `name` is what it is called.

    Raises MissingError when nothing is there or a folder holds none, InputError for a file that is no tokenizer, is not
    whole, or belongs to a kind that cannot be read without its model's code.
    """
    name = name or str(place)
    if not place.exists():
        raise MissingError(f"there is no tokenizer {name}; give a file, a folder, or a hub name such as org/model")
    if place.is_dir():
        return _folder(place, name)
    return _file(place, name)


def _folder(folder: Path, name: str) -> Tokenizer:
    """The tokenizer of a transformers folder, with what its configuration says of it."""
    settings = _json_of(folder / "tokenizer_config.json")
    config = _json_of(folder / "config.json")
    there = [folder / one for one in NAMES if (folder / one).is_file()]
    there += [path for ending in ("*.tiktoken", "*.model", "*.spm") for path in sorted(folder.glob(ending))]
    named = str(settings.get("tokenizer_class", "")).removesuffix("Fast")
    if named.removesuffix("Tokenizer") in CODE and not (folder / "tokenizer.json").is_file():
        there = []
    kind = WITHOUT_FILES.get(named)
    if kind is None and config.get("model_type") == "canine":
        kind = "characters"
    if kind is not None and not there:
        found = _bytes(name) if kind == "bytes" else _characters(name)
    elif there:
        found = _file(there[0], name, settings)
    else:
        raise MissingError(
            f"{name} holds no tokenizer: none of {', '.join(NAMES)} or *.tiktoken is in it"
            + ("" if any(folder.iterdir()) else " (it is empty)")
        )
    return _placed(found, settings, config)


def _placed(found: Tokenizer, settings: Mapping[str, Any], config: Mapping[str, Any]) -> Tokenizer:
    """A tokenizer with what its model's configuration says."""
    inner = config.get("text_config") if isinstance(config.get("text_config"), dict) else {}
    config = {**(inner or {}), **config}

    def first(*names: str) -> int | None:
        values = (config.get(one) for one in names)
        return next((int(v) for v in values if isinstance(v, int) and not isinstance(v, bool) and v > 0), None)

    positions = first("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "seq_length")
    if positions and ("roberta" in str(config.get("model_type")) or config.get("model_type") == "camembert"):
        positions -= int(config.get("pad_token_id") or 0) + 1  # RoBERTa's positions begin behind the padding index
    said = settings.get("model_max_length")
    longest = int(said) if isinstance(said, int | float) and 0 < said < UNBOUNDED else None
    lengths = [n for n in (positions, longest) if n]
    facts = {"width": first("hidden_size", "d_model", "n_embd", "dim"), "vocab_size": first("vocab_size")}
    n_rows, notes = facts["vocab_size"], found.notes
    if n_rows and found.source in ("vocab.txt", "tiktoken") and found.n_vocab < 0.9 * n_rows:
        raise InputError(
            f"{found.name}: config.json speaks of {n_rows:,} pieces and the vocabulary has {found.n_vocab:,}; "
            "is the file whole?"
        )
    return replace(
        found,
        max_length=min(lengths) if lengths else None,
        facts={key: value for key, value in facts.items() if value is not None},
        notes=notes,
    )


def _json_of(path: Path) -> dict[str, Any]:
    """What a JSON file of a folder says; {} where there is none. Raises InputError for one that is not whole."""
    if not path.is_file():
        return {}
    with place_errors(path):
        raw = path.read_bytes()
    value = _parsed(raw, str(path))
    if not isinstance(value, dict):
        raise InputError(f"{path} is no JSON object")
    return value


def _parsed(raw: bytes, name: str) -> Any:
    try:
        return json.loads(raw)
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not text (byte {error.start}); is the file whole?") from None
    except (ValueError, RecursionError) as error:
        said = getattr(error, "msg", str(error))[:100]
        raise InputError(f"{name} is not whole JSON ({said} at byte {getattr(error, 'pos', 0):,})") from None


# -- one file ---------------------------------------------------------------------------------------------------


def _file(path: Path, name: str, settings: Mapping[str, Any] | None = None) -> Tokenizer:
    """The tokenizer in one file, packed or not."""
    settings = settings or {}
    with place_errors(path):
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path} has more than {LARGEST:,} bytes; that is no tokenizer")
        raw = path.read_bytes()
    where = name if name == str(path) else f"{name} ({path.name})"
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (EOFError, zlib.error, OSError) as error:
            raise InputError(f"{where} is not a whole gzip file ({error})") from None
    if not raw.strip():
        raise InputError(f"{where} is empty")
    if raw[:4] == b"PAR1":
        return _parquet(raw, name, where)
    start = raw[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start[:1] == b"{":
        return _json(raw, path, name, where)
    if re.match(rb"[A-Za-z0-9+/]+={0,2} \d+\r?\n", start):
        return _tiktoken(raw, name, where)
    if b"\x00" not in raw[:4096] and _is_text(raw[:4096]):
        return _wordpiece(raw, name, where, settings)
    return _sentencepiece(raw, name, where)


def _is_text(raw: bytes) -> bool:
    """Whether the beginning of a file is lines of UTF-8 text: SentencePiece files have control characters early."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(raw) - 4:
            return False
        text = raw[: error.start].decode("utf-8")
    return "\n" in text and not re.search(r"[\x00-\x08\x0e-\x1f]", text)


def _json(raw: bytes, path: Path, name: str, where: str) -> Tokenizer:
    value = _parsed(raw, where)
    if isinstance(value.get("model"), dict) and "vocab" in value["model"]:
        return from_json(value, name, where, raw.decode("utf-8-sig"))
    if isinstance(value.get("vocab"), list) and isinstance(value.get("config"), dict):
        return _tekken(value, name, where)
    if value and all(isinstance(one, int) for one in value.values()):
        return _pairs(value, path.with_name("merges.txt"), name, where)
    known = ", ".join(list(value)[:6]) or "nothing"
    raise InputError(f"{where} is JSON but no tokenizer: it has no `model.vocab` (it has {known})")


# -- the tokenizers library ---------------------------------------------------------------------------------------


def from_json(value: Mapping[str, Any], name: str, where: str, text: str = "") -> Tokenizer:
    """A tokenizer from what tokenizer.json says."""
    import tokenizers

    try:
        inner = tokenizers.Tokenizer.from_str(text or json.dumps(value))
    except Exception as error:
        raise InputError(f"{where} cannot be read as a tokenizer ({str(error)[:160]})") from None
    return rust(inner, value, name, "tokenizer.json")


def rust(
    inner: Any,
    value: Mapping[str, Any],
    name: str,
    source: str,
    notes: Sequence[str] = (),
    pieces: Mapping[int, str | None] | None = None,
) -> Tokenizer:
    """Wrap a tokenizer of the tokenizers library; `value` is what its JSON says, `pieces` their texts where known."""
    inner.no_truncation()
    inner.no_padding()
    model = value["model"]
    kind = kind_of(value)
    vocab: dict[str, int] = inner.get_vocab(with_added_tokens=True)
    added = {int(one["id"]): one for one in value.get("added_tokens") or ()}
    by_id = {i: piece for piece, i in vocab.items()}
    unknown = _unknown_of(model, vocab)
    byte_fallback = bool(model.get("byte_fallback")) and sum(1 for piece in vocab if BYTE.fullmatch(piece)) == 256
    specials = frozenset(i for i, one in added.items() if one.get("special")) | unknown
    reserved = frozenset(i for i, piece in by_id.items() if RESERVED.fullmatch(piece))
    if pieces is None:
        surface = surfaces(kind, byte_fallback, model)
        pieces = {i: "" if i in specials or i in reserved else surface(piece) for i, piece in by_id.items()}

    def cut(texts: Sequence[str]) -> Encoded:
        try:
            found = inner.encode_batch(list(texts), add_special_tokens=False)
        except Exception as error:  # no piece for what it does not know, for one
            raise InputError(f"{name} cannot cut a text into pieces ({str(error)[:160]})") from None
        return encoded([one.ids for one in found], [one.offsets for one in found])

    def join(ids: Sequence[Sequence[int]]) -> list[str]:
        return list(inner.decode_batch([[i for i in one if i not in unknown] for one in ids]))

    return Tokenizer(
        name, kind, source, pieces, unknown, specials, reserved,
        fallback=byte_fallback or (kind == "byte-level bpe" and _alphabet_whole(vocab)),
        n_special=inner.num_special_tokens_to_add(False),
        lowercases=bool(_lowercases(value.get("normalizer"))),
        notes=tuple(notes), inner=inner, cut=cut, join=join,
    )  # fmt: skip


def kind_of(value: Mapping[str, Any]) -> str:
    """The kind of a tokenizer from what its JSON says."""
    model = value["model"]
    kind = model.get("type") or ("BPE" if "merges" in model else "Unigram" if isinstance(model["vocab"], list) else "")
    if kind == "BPE":
        byte_level = any(
            '"ByteLevel"' in json.dumps(value.get(part)) for part in ("pre_tokenizer", "decoder", "normalizer")
        )
        return "byte-level bpe" if byte_level else "bpe"
    return {"Unigram": "unigram", "WordLevel": "words"}.get(kind, "wordpiece")


def _unknown_of(model: Mapping[str, Any], vocab: Mapping[str, int]) -> frozenset[int]:
    if isinstance(model.get("unk_id"), int):
        return frozenset({model["unk_id"]})
    piece = str(model.get("unk_token"))
    return frozenset({vocab[piece]}) if piece in vocab else frozenset()


def _lowercases(normalizer: Any) -> bool:
    if isinstance(normalizer, dict):
        if normalizer.get("type") == "Lowercase" or normalizer.get("lowercase") is True:
            return True
        return any(_lowercases(one) for one in normalizer.get("normalizers") or ())
    return False


def _alphabet_whole(vocab: Mapping[str, int]) -> bool:
    return all(character in vocab for character in byte_alphabet())


def surfaces(kind: str, byte_fallback: bool, model: Mapping[str, Any]) -> Any:
    """A function from a piece, as a vocabulary spells it, to its text; None for a piece of a character."""
    table = byte_alphabet()
    prefix = model.get("continuing_subword_prefix") or ("##" if kind == "wordpiece" else "")
    suffix = model.get("end_of_word_suffix") or ""

    def surface(piece: str) -> str | None:
        if kind == "byte-level bpe":
            if any(c not in table for c in piece):
                return piece  # an added token, spelled as text
            return whole(bytes(table[c] for c in piece))
        if byte_fallback and (found := BYTE.fullmatch(piece)):
            return whole(bytes([int(found[1], 16)]))
        if prefix and piece.startswith(prefix) and len(piece) > len(prefix):
            piece = piece[len(prefix) :]
        return (piece.removesuffix(suffix) if suffix else piece).replace("\u2581", " ")

    return surface


# -- SentencePiece ------------------------------------------------------------------------------------------------


def _sentencepiece(raw: bytes, name: str, where: str) -> Tokenizer:
    import sentencepiece

    read = sentencepiece.SentencePieceProcessor()
    try:
        from sentencepiece import sentencepiece_model_pb2 as form

        proto: Any = form.ModelProto.FromString(raw)  # type: ignore[attr-defined]
        if not proto.pieces or not proto.HasField("trainer_spec"):
            raise ValueError("it has no pieces, or does not say how it was trained")
        read.LoadFromSerializedProto(raw)
    except Exception as error:
        if not raw.startswith(b"\n"):
            raise InputError(
                f"{where} is no tokenizer: neither JSON, a SentencePiece model, ranks of tiktoken nor a vocabulary of lines"
            ) from None
        said = str(error).strip().splitlines()[-1][:120] if str(error).strip() else type(error).__name__
        raise InputError(f"{where} is not a whole SentencePiece model ({said})") from None
    n = read.get_piece_size()
    if n != len(proto.pieces):
        raise InputError(f"{where} is not a whole SentencePiece model ({n:,} of {len(proto.pieces):,} pieces)")
    every = range(n)
    unknown = frozenset(i for i in every if read.is_unknown(i))
    specials = frozenset(i for i in every if read.is_control(i)) | unknown
    n_bytes = sum(1 for i in every if read.is_byte(i))

    def surface(i: int) -> str | None:
        piece = str(read.id_to_piece(i))
        if i in specials or read.is_unused(i) or RESERVED.fullmatch(piece):
            return ""
        found = BYTE.fullmatch(piece) if read.is_byte(i) else None
        return whole(bytes([int(found[1], 16)])) if found else piece.replace("\u2581", " ")

    def cut(texts: Sequence[str]) -> Encoded:
        found = read.encode(list(texts), return_type="proto")
        ids = [[p.id for p in one.pieces] for one in found]
        return in_characters(texts, encoded(ids, [[(p.begin, p.end) for p in one.pieces] for one in found]))

    def join(ids: Sequence[Sequence[int]]) -> list[str]:
        return [str(read.decode([i for i in one if i not in specials])) for one in ids]

    return Tokenizer(
        name, {1: "unigram", 2: "bpe", 3: "words", 4: "characters"}.get(proto.trainer_spec.model_type, "other"),
        "sentencepiece", {i: surface(i) for i in every}, unknown, specials,
        frozenset(i for i in every if read.is_unused(i) or RESERVED.fullmatch(read.id_to_piece(i))),
        fallback=n_bytes == 256, lowercases=proto.normalizer_spec.name.endswith("_cf"), cut=cut, join=join,
    )  # fmt: skip


# -- ranks ----------------------------------------------------------------------------------------------------------


def _tiktoken(raw: bytes, name: str, where: str) -> Tokenizer:
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(raw.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            piece, rank = line.split()
            if piece != b"=":  # Whisper's file has an empty piece
                ranks[base64.b64decode(piece, validate=True)] = int(rank)
        except (ValueError, binascii.Error):
            shown = line[:40].decode("utf-8", "replace")
            raise InputError(
                f"{where}, line {number:,}: '{shown}' is no piece with its rank (base64, a space, a number); is the file whole?"
            ) from None
    _check_ranks(ranks, where)
    kind, why = _pattern(ranks)
    notes = [f"a file of ranks does not say what cuts words before them; it is read as {kind} does, because {why}"]
    if not raw.endswith(b"\n"):
        last = list(ranks.values())[-2:]
        if last[-1] != last[0] + 1:
            raise InputError(
                f"{where} ends inside a line: behind the rank {last[0]:,} comes {last[-1]:,}; is the file whole?"
            )
        notes.append(NO_END)
    return _ranked(ranks, PATTERNS[kind], name, "tiktoken", notes)


def _check_ranks(ranks: Mapping[bytes, int], where: str) -> None:
    absent = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if absent:
        raise InputError(
            f"{where} lacks {len(absent)} of the 256 single bytes (the first is 0x{absent[0]:02x}); is the file whole?"
        )
    values = sorted(ranks.values())
    if len(set(values)) != len(values):
        twice = next(a for a, b in pairwise(values) if a == b)
        raise InputError(f"{where} has the rank {twice} twice; is the file whole?")


def _pattern(ranks: Mapping[bytes, int]) -> tuple[str, str]:
    """Which of PATTERNS made a vocabulary, and why it is taken for that."""
    texts = [text for piece in ranks if len(piece) > 1 and (text := whole(piece))]
    longest = max((len(text) for text in texts if text.isdecimal()), default=1)
    if longest > 3:
        return "gpt2", f"it has numbers of {longest} digits"
    if longest == 1:
        return "qwen", "no number in it has more than one digit"
    bumps = sum(bool(re.search(r"[a-z][A-Z]", text)) for text in texts)
    if bumps:
        return "cl100k", f"it has numbers of up to {longest} digits and {bumps:,} pieces such as 'aB'"
    return "o200k", f"it has numbers of up to {longest} digits and no piece such as 'aB'"


def _tekken(value: Mapping[str, Any], name: str, where: str) -> Tokenizer:
    try:
        n_special = int(value["config"].get("default_num_special_tokens", 0))
        size = int(value["config"].get("default_vocab_size", 0)) or len(value["vocab"]) + n_special
        rows = [row for row in value["vocab"] if int(row["rank"]) + n_special < size]
        ranks = {base64.b64decode(row["token_bytes"], validate=True): int(row["rank"]) for row in rows}
        pattern = str(value["config"]["pattern"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{where} looks like a tekken file, but cannot be read as one ({error!r})") from None
    _check_ranks(ranks, where)
    return _ranked(ranks, pattern, name, "tekken", ())


def _ranked(ranks: Mapping[bytes, int], pattern: str, name: str, source: str, notes: Sequence[str]) -> Tokenizer:
    """Ranks as a byte-level bpe: a pair may merge where its whole has a rank, the lowest first.

    tiktoken joins whatever neighbours make a ranked piece; that is the same as a merge for every way to halve a piece.
    """
    from tokenizers import Regex, decoders, models, pre_tokenizers
    from tokenizers import Tokenizer as Inner

    spelled = {byte: character for character, byte in byte_alphabet().items()}
    text = {piece: "".join(map(spelled.__getitem__, piece)) for piece in ranks}
    merges = []
    for piece in sorted(ranks, key=ranks.__getitem__):
        halves = [
            (ranks[piece[:i]], ranks[piece[i:]], i)
            for i in range(1, len(piece))
            if piece[:i] in ranks and piece[i:] in ranks
        ]
        merges += [(text[piece[:i]], text[piece[i:]]) for *_, i in sorted(halves)]
    try:
        inner = Inner(models.BPE({text[p]: rank for p, rank in ranks.items()}, merges, ignore_merges=True))
        inner.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(pattern), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    except Exception as error:
        raise InputError(f"{name} cannot be read as ranks of byte pieces ({str(error)[:160]})") from None
    inner.decoder = decoders.ByteLevel()
    value = {
        "model": {"type": "BPE", "vocab": {}, "merges": [], "unk_token": None},
        "pre_tokenizer": {"type": "ByteLevel"},
        "added_tokens": [],
    }
    pieces: dict[int, str | None] = {rank: whole(piece) for piece, rank in ranks.items()}
    return rust(inner, value, name, source, notes, pieces)


def _pairs(vocab: Mapping[str, int], merges: Path, name: str, where: str) -> Tokenizer:
    """vocab.json and merges.txt, as GPT-2 and RoBERTa have them."""
    from tokenizers import Tokenizer as Inner
    from tokenizers import decoders, models, pre_tokenizers

    if not merges.is_file():
        raise MissingError(f"{where} is one half of a tokenizer: {merges.name} is not beside it")
    if not _alphabet_whole(vocab):
        raise InputError(
            f"{where} is no byte-level vocabulary (it lacks letters of GPT-2's alphabet); give a tokenizer.json"
        )
    with place_errors(merges):
        lines = merges.read_bytes().decode("utf-8", "replace").split("\n")
    pairs: list[tuple[str, str]] = []
    for line in lines:
        if not line.strip() or line.startswith("#version"):
            continue
        first, _, second = line.partition(" ")
        if first + second not in vocab or not second:
            raise InputError(f"{merges}: '{line[:40]}' is no merge of the vocabulary; are both files whole?")
        pairs.append((first, second))
    unknown = next((one for one in ("<unk>", "[UNK]") if one in vocab), None)
    inner = Inner(models.BPE(dict(vocab), pairs, unk_token=unknown))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    special = [{"id": i, "special": True} for piece, i in vocab.items() if re.fullmatch(r"<[^<>]+>|\[[A-Z]+\]", piece)]
    value = {
        "model": {"type": "BPE", "vocab": {}, "merges": [], "unk_token": unknown},
        "pre_tokenizer": {"type": "ByteLevel"},
        "added_tokens": special,
    }
    return rust(inner, value, name, "vocab.json")


# -- vocabularies of lines and of rows ------------------------------------------------------------------------------


def _wordpiece(raw: bytes, name: str, where: str, settings: Mapping[str, Any]) -> Tokenizer:
    from tokenizers import Tokenizer as Inner
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where} ends or breaks inside a character (byte {error.start:,}); is the file whole?"
        ) from None
    lines = [line.rstrip("\r") for line in text.split("\n")]
    lines = lines[:-1] if lines and not lines[-1] else lines
    vocab: dict[str, int] = {}
    for i, piece in enumerate(lines):
        vocab.setdefault(piece, i)
    n_parts = sum(piece.startswith("##") for piece in vocab)
    unknown = next((one for one in ("[UNK]", "<unk>") if one in vocab), None)
    if unknown is None or not n_parts:
        lacking = "'[UNK]'" if unknown is None else "piece that begins with '##'"
        raise InputError(
            f"{where} is no WordPiece vocabulary: it has no {lacking} among its {len(lines):,} lines; "
            "a vocabulary has one piece a line"
        )
    special = {piece for piece in vocab if re.fullmatch(r"\[[A-Z]+\]|<[a-z]+>", piece)}
    cased = any(c.isupper() for piece in vocab if piece not in special and not RESERVED.fullmatch(piece) for c in piece)
    lower = settings.get("do_lower_case")
    notes = []
    if not isinstance(lower, bool):
        lower = not cased
        notes.append(
            "a vocabulary of lines does not say whether text is read in lower case; "
            + ("it is not, as some pieces have capitals" if cased else "it is, as no piece has a capital")
        )
    if not text.endswith("\n"):
        notes.append(NO_END)
    strip = settings.get("strip_accents")
    inner = Inner(models.WordPiece(vocab, unk_token=unknown, max_input_chars_per_word=100))
    inner.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=settings.get("tokenize_chinese_chars", True) is not False,
        strip_accents=strip if isinstance(strip, bool) else None, lowercase=lower,
    )  # fmt: skip
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.WordPiece(cleanup=False)
    value = {
        "model": {"type": "WordPiece", "vocab": {}, "unk_token": unknown, "continuing_subword_prefix": "##"},
        "normalizer": {"lowercase": lower},
        "added_tokens": [{"id": vocab[piece], "special": True} for piece in special],
    }
    return replace(rust(inner, value, name, "vocab.txt", notes), n_special=2 if "[CLS]" in vocab else None)


def _parquet(raw: bytes, name: str, where: str) -> Tokenizer:
    """A table of unigram pieces. Its normalisation is that of XLM-R, which such a table cannot say."""
    import polars as pl
    from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers
    from tokenizers import Tokenizer as Inner

    try:
        table = pl.read_parquet(io.BytesIO(raw))
    except Exception as error:
        raise InputError(f"{where} is not a whole Parquet file ({str(error).splitlines()[0][:120]})") from None
    if not {"piece", "score"} <= set(table.columns):
        raise InputError(
            f"{where} is no vocabulary: it has no columns 'piece' and 'score' ({', '.join(table.columns)})"
        )
    table = table.filter(pl.col("piece").is_not_null(), pl.col("score").is_not_null())
    pieces = dict(zip(table["piece"], map(float, table["score"]), strict=True))
    if "word_id" in table.columns:
        order = dict(zip(table["word_id"], table["piece"], strict=True))
        order.setdefault(0, "<s>")  # the first of fairseq's special pieces, which SentencePiece does not have
        names = [order.get(i, f"<unused{i}>") for i in range(max(order) + 1)]
        pieces = {one: pieces.get(one, 0.0) for one in names}
    names = list(pieces)
    unknown = names.index("<unk>") if "<unk>" in pieces else None
    has_bytes = sum(bool(BYTE.fullmatch(piece)) for piece in names) == 256
    if unknown is None and not has_bytes:
        raise InputError(f"{where} has neither '<unk>' nor the 256 bytes among its {len(names):,} pieces")
    inner = Inner(models.Unigram(list(pieces.items()), unk_id=unknown, byte_fallback=has_bytes))
    inner.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Replace(Regex("[\u200b-\u200f\ufeff]"), " "),
            normalizers.Replace(Regex("[\x00-\x08\x0b\x0e-\x1f\x7f]"), ""),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )
    inner.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    inner.decoder = decoders.Metaspace(replacement="\u2581", prepend_scheme="always")
    special = [i for i, piece in enumerate(names) if re.fullmatch(r"</?[a-z]+>", piece)]
    value = {
        "model": {"type": "Unigram", "vocab": [], "unk_id": unknown, "byte_fallback": has_bytes},
        "added_tokens": [{"id": i, "special": True} for i in special],
    }
    note = "a table of pieces does not say how text is normalised; it is read as XLM-R does (NFKC, white space as one)"
    return rust(inner, value, name, "table", (note,))


# -- without a file -------------------------------------------------------------------------------------------------


def _bytes(name: str) -> Tokenizer:
    """ByT5: a byte is a token; three special ones come first."""

    def cut(texts: Sequence[str]) -> Encoded:
        raw = [text.encode("utf-8", "replace") for text in texts]
        offsets = []
        for text in texts:
            widths = [len(c.encode("utf-8", "replace")) for c in text]
            offsets.append([(i, i + 1) for i, width in enumerate(widths) for _ in range(width)])
        return encoded([[byte + 3 for byte in one] for one in raw], offsets)

    def join(ids: Sequence[Sequence[int]]) -> list[str]:
        return [bytes(i - 3 for i in one if 3 <= i < 259).decode("utf-8", "ignore") for one in ids]

    pieces: dict[int, str | None] = dict.fromkeys(range(3), "")
    pieces.update({byte + 3: whole(bytes([byte])) for byte in range(256)})
    specials = frozenset(range(3))
    return Tokenizer(
        name, "bytes", "no file", pieces, frozenset(), specials, frozenset(), True, n_special=1, cut=cut, join=join
    )


def _characters(name: str) -> Tokenizer:
    """CANINE: a code point is a token."""

    def cut(texts: Sequence[str]) -> Encoded:
        return encoded([list(map(ord, text)) for text in texts], [[(i, i + 1) for i in range(len(t))] for t in texts])

    def join(ids: Iterable[Sequence[int]]) -> list[str]:
        return ["".join(map(chr, one)) for one in ids]

    return Tokenizer(
        name, "characters", "no file", {}, frozenset(), frozenset(), frozenset(), True, n_special=2, cut=cut, join=join
    )
