"""Tokenizers of every kind from files of every format: what they give, and what is said of files that are broken."""

from __future__ import annotations

import gzip
import json
import random
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenizers_here as made
from isogloss.core import token_files
from isogloss.core.errors import InputError, IsoglossError, MissingError
from isogloss.core.tokens import Encoded, Tokenizer, in_characters

TEXTS = ["the nurse called my mother on Friday.", "दवा, 2 बार!", "", "日本 😀 e\u0301 ñ", "  spaces\tand\nlines  "]


def _json(folder: Path, inner: Any) -> Path:
    inner.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def _write(folder: Path, name: str, raw: bytes) -> Path:
    (folder / name).write_bytes(raw)
    return folder / name


def _pairs(folder: Path) -> Path:
    value = json.loads(made.bpe(byte_level=True).to_str())["model"]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(m) for m in value["merges"]) + "\n")
    (folder / "vocab.json").write_text(json.dumps(value["vocab"]))
    return folder / "vocab.json"


def _folder_of_bytes(folder: Path) -> Path:
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "ByT5Tokenizer", "model_max_length": 1024}')
    return folder


def _table(folder: Path) -> Path:
    import polars as pl

    value = json.loads(made.unigram().to_str())["model"]["vocab"]
    pl.DataFrame(value, schema=["piece", "score"], orient="row").write_parquet(folder / "pieces.parquet")
    return folder / "pieces.parquet"


def _tekken(folder: Path) -> Path:
    rows = [line.split() for line in made.ranks_lines().split(b"\n") if line]
    vocab = [{"rank": int(rank), "token_bytes": raw.decode(), "token_str": None} for raw, rank in rows]
    config = {
        "pattern": token_files.PATTERNS["gpt2"],
        "default_vocab_size": len(rows) + 3,
        "default_num_special_tokens": 3,
    }
    return _write(folder, "tekken.json", json.dumps({"config": config, "vocab": vocab}).encode())


# name -> (how its file is made, kind, whether every text can be written)
FORMATS: dict[str, tuple[Callable[[Path], Path], str, bool]] = {
    "tokenizer.json bpe": (lambda f: _json(f, made.bpe()), "bpe", False),
    "tokenizer.json byte-level": (lambda f: _json(f, made.bpe(byte_level=True)), "byte-level bpe", True),
    "tokenizer.json unigram": (lambda f: _json(f, made.unigram()), "unigram", False),
    "sentencepiece unigram": (lambda f: _write(f, "m.model", made.sentencepiece_bytes()), "unigram", False),
    "sentencepiece bpe with bytes": (
        lambda f: _write(f, "m.spm", made.sentencepiece_bytes(kind="bpe", fallback=True)), "bpe", True,
    ),
    "vocab.txt": (
        lambda f: _write(f, "vocab.txt", "".join(p + "\n" for p in made.wordpiece_lines()).encode()), "wordpiece", False,
    ),
    "vocab.json": (_pairs, "byte-level bpe", True),
    "tiktoken": (lambda f: _write(f, "x.tiktoken", made.ranks_lines()), "byte-level bpe", True),
    "tekken": (_tekken, "byte-level bpe", True),
    "table": (_table, "unigram", False),
    "bytes": (_folder_of_bytes, "bytes", True),
}  # fmt: skip


@pytest.fixture(scope="module", params=list(FORMATS))
def one(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Tokenizer]:
    place = FORMATS[request.param][0](tmp_path_factory.mktemp("tokenizer"))
    return request.param, place, token_files.read(place)


def test_a_tokenizer_is_told_from_its_content(one: tuple[str, Path, Tokenizer]) -> None:
    name, _, own = one
    assert (own.kind, own.fallback) == FORMATS[name][1:]
    assert own.n_vocab == len(own.pieces) > 40


def test_tokens_stand_for_their_part_of_the_text(one: tuple[str, Path, Tokenizer]) -> None:
    _, _, own = one
    cut = own.encode(TEXTS)
    assert cut.n.sum() == len(cut.ids)
    assert cut.starts is not None and cut.ends is not None
    for i, text in enumerate(TEXTS):
        start = int(cut.n[:i].sum())
        places = list(zip(cut.starts[start : start + cut.n[i]], cut.ends[start : start + cut.n[i]], strict=True))
        assert all(0 <= a <= b <= len(text) for a, b in places)
        assert [a for a, _ in places] == sorted(a for a, _ in places)
        if own.fallback:  # nothing visible is left out
            held = {c for a, b in places for c in range(a, max(b, a + 1))}
            assert {k for k, c in enumerate(text) if not c.isspace()} <= held
    assert own.encode([]).lists() == []
    assert own.decode([]) == []


def test_what_can_be_written_comes_back(one: tuple[str, Path, Tokenizer]) -> None:
    _, _, own = one
    texts = TEXTS if own.fallback else made.ENGLISH[:2]
    again = own.decode(own.encode(texts).lists())
    squeezed = ["".join(text.split()) for text in again]
    # SentencePiece normalises (NFKC), so a letter and its accent come back as one
    import unicodedata

    assert [unicodedata.normalize("NFC", t) for t in squeezed] == [
        unicodedata.normalize("NFC", "".join(text.split())) for text in texts
    ]


def test_what_cannot_be_written_is_unknown_or_left_out(one: tuple[str, Path, Tokenizer]) -> None:
    _, _, own = one
    if own.fallback:
        return
    cut = own.encode(["दवा"])
    assert not cut.n.sum() or set(cut.of(0)) & own.unknown
    assert own.unknown <= own.specials


def test_packed_with_gzip_it_is_the_same(one: tuple[str, Path, Tokenizer], tmp_path: Path) -> None:
    name, place, own = one
    if place.is_dir() or name == "vocab.json":
        return
    packed = tmp_path / (place.name + ".gz")
    packed.write_bytes(gzip.compress(place.read_bytes()))
    assert token_files.read(packed).encode(TEXTS).lists() == own.encode(TEXTS).lists()


def test_a_file_that_was_cut_is_refused_in_a_sentence(one: tuple[str, Path, Tokenizer], tmp_path: Path) -> None:
    name, place, own = one
    if place.is_dir():
        return
    raw = place.read_bytes()
    rng = random.Random(name)
    for size in (len(raw) // 2, len(raw) - 1, *(rng.randrange(1, len(raw)) for _ in range(12))):
        cut = tmp_path / place.name
        cut.write_bytes(raw[:size])
        if name == "vocab.json":
            (tmp_path / "merges.txt").write_bytes(place.with_name("merges.txt").read_bytes())
        try:
            read = token_files.read(cut)
        except IsoglossError as error:
            assert isinstance(error, InputError)
            assert "\n" not in str(error) and cut.name in str(error)
        else:
            # a text that ends at the end of a line, or in a piece, is a smaller vocabulary; it is said, or is the whole
            assert name in ("vocab.txt", "tiktoken")
            assert read.n_vocab <= own.n_vocab
            assert name == "tiktoken" or raw[:size].endswith(b"\n") or any("cut" in note for note in read.notes)


@pytest.mark.parametrize(
    "raw", [b"", b"\n\n", b"{}", b'{"model": 3}', b"hello", b"\x00\x01\x02" * 50, b"PAR1nothing", b"\x1f\x8b\x08cut"]
)
def test_what_is_no_tokenizer(raw: bytes, tmp_path: Path) -> None:
    place = tmp_path / "thing.json"
    place.write_bytes(raw)
    with pytest.raises(InputError, match=r"thing\.json"):
        token_files.read(place)


def test_a_folder_without_one_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"holds no tokenizer: none of tokenizer\.json"):
        token_files.read(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(MissingError, match="holds no tokenizer"):
        token_files.read(tmp_path)


def test_a_folder_says_how_long_a_text_may_be(tmp_path: Path) -> None:
    _json(tmp_path, made.bpe())
    assert token_files.read(tmp_path).max_length is None
    (tmp_path / "tokenizer_config.json").write_text('{"model_max_length": 1000000000000000019884624838656}')
    (tmp_path / "config.json").write_text(
        '{"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1, "hidden_size": 32, "vocab_size": 500}'
    )
    found = token_files.read(tmp_path)
    assert found.max_length == 512
    assert found.facts == {"width": 32, "vocab_size": 500}
    (tmp_path / "config.json").write_text('{"model_type": "xlm-roberta"')
    with pytest.raises(InputError, match=r"config\.json is not whole JSON"):
        token_files.read(tmp_path)
    (tmp_path / "config.json").write_text('{"text_config": {"max_position_embeddings": 64, "hidden_size": 8}}')
    assert token_files.read(tmp_path).max_length == 64


def test_half_a_vocabulary_is_seen_where_the_config_knows_its_size(tmp_path: Path) -> None:
    lines = made.wordpiece_lines()
    (tmp_path / "vocab.txt").write_text("".join(line + "\n" for line in lines[: len(lines) // 2]))
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": len(lines)}))
    with pytest.raises(InputError, match="is the file whole"):
        token_files.read(tmp_path)


def test_truncation_and_padding_in_a_file_play_no_part(tmp_path: Path) -> None:
    inner = made.bpe()
    inner.enable_truncation(4)
    inner.enable_padding(length=9)
    long, short = token_files.read(_json(tmp_path, inner)).encode([" ".join(made.ENGLISH), "the"]).n
    assert long > 20 and short == 1


def test_half_a_pair_of_files(tmp_path: Path) -> None:
    place = _pairs(tmp_path)
    (tmp_path / "merges.txt").unlink()
    with pytest.raises(MissingError, match=r"merges\.txt is not beside it"):
        token_files.read(place)


def test_case_of_a_vocabulary_of_lines(tmp_path: Path) -> None:
    lines = [piece for piece in made.wordpiece_lines() if piece.startswith("[") or not any(c.isupper() for c in piece)]
    (tmp_path / "vocab.txt").write_text("".join(line + "\n" for line in lines))
    assert token_files.read(tmp_path / "vocab.txt").lowercases
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert not token_files.read(tmp_path).lowercases


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet=st.characters(codec="utf-8"), max_size=12), max_size=5))
def test_places_in_bytes_are_places_in_characters(texts: list[str]) -> None:
    import numpy as np

    spans = [
        (i, len(text[:a].encode()), len(text[: a + 1].encode()), a)
        for i, text in enumerate(texts)
        for a in range(len(text))
    ]
    n = np.array([len(text) for text in texts], np.int64)
    given_ = Encoded(
        np.zeros(len(spans), np.int64),
        np.array([s[1] for s in spans], np.int64),
        np.array([s[2] for s in spans], np.int64),
        n,
    )
    found = in_characters(texts, given_)
    assert found.starts.tolist() == [s[3] for s in spans]
    assert found.ends.tolist() == [s[3] + 1 for s in spans]


RANKS = {"cl100k_base": "cl100k", "gpt2_r50k_base": "gpt2", "o200k_base": "o200k", "whisper_multilingual": "gpt2"}


@pytest.mark.slow
@pytest.mark.parametrize("name", RANKS)
def test_what_cuts_words_is_told_from_real_ranks(name: str, shared: Path) -> None:
    own = token_files.read(shared / "tokenizers" / f"{name}.tiktoken.gz")
    assert any(f"read as {RANKS[name]} does" in note for note in own.notes)
    texts = [*TEXTS, string.printable, "I'VE 1234567 CamelCase naïve\u00a0x"]
    assert own.decode(own.encode(texts).lists()) == texts
    if name == "cl100k_base":  # as tiktoken's own documentation has it
        assert own.encode(["tiktoken is great!"]).of(0) == [83, 1609, 5963, 374, 2294, 0]
    if name == "gpt2_r50k_base":
        assert own.encode(["Hello world"]).of(0) == [15496, 995]


def test_real_mbert(shared: Path) -> None:
    own = token_files.read(shared / "tokenizers" / "mbert_cased_vocab.txt.gz")
    assert own.encode(["Hello world"]).of(0) == [31178, 11356]
    assert len(own.reserved) == 99 and own.unknown == {100} and not own.lowercases


def test_classes_that_are_code_are_not_read_from_half_of_their_files(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("".join(line + "\n" for line in made.wordpiece_lines()))
    assert token_files.read(tmp_path).kind == "wordpiece"
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertJapaneseTokenizer"}')
    with pytest.raises(MissingError, match="holds no tokenizer"):
        token_files.read(tmp_path)


def test_transformers_opens_what_nothing_else_does(tmp_path: Path) -> None:
    """A tokenizer that is code; it is said, and torch is loaded for it alone."""
    from isogloss.core.say import Say
    from isogloss.nn.tokenizer import open_tokenizer

    (tmp_path / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "PerceiverTokenizer", "model_max_length": 2048}'
    )
    said: list[str] = []

    class Hear(Say):
        def note(self, text: str) -> None:
            said.append(text)

    own = open_tokenizer(tmp_path, say=Hear())
    assert any("only transformers can open" in note for note in said)
    assert own.kind == "other" and own.max_length == 2048
    assert own.encode(["añ"]).n.tolist() == [3]
    assert own.encode(["añ"]).starts is None


def test_a_tokenizer_that_stumbles_is_a_sentence(tmp_path: Path) -> None:
    value = json.loads(made.unigram().to_str())
    value["model"]["unk_id"] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(value))
    with pytest.raises(InputError, match="cannot cut a text"):
        token_files.read(tmp_path).encode(["दवा"])
