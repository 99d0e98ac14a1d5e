"""A smaller vocabulary cuts covered text as before, answers it alike, and makes no text unknown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
import tokenizers_here as here
from isogloss.core.errors import InputError
from isogloss.nn.batches import padded, token_ids
from isogloss.nn.smaller import smaller
from isogloss.parts.families import encoder
from isogloss.parts.squeezes import trim_vocab
from places import Said

ALL = [*here.ENGLISH, *here.HINDI, *here.AMHARIC]


def wordpiece() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers

    lines = here.wordpiece_lines(ALL, 400)
    made = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(lines)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return made


MAKERS: dict[str, Callable[[], Any]] = {
    "unigram": lambda: here.unigram(ALL, 260),
    "bpe": lambda: here.bpe(ALL, 400),
    "byte-level": lambda: here.bpe(ALL, 500, byte_level=True),
    "wordpiece": wordpiece,
}


@pytest.fixture(scope="module", params=list(MAKERS))
def both(request: pytest.FixtureRequest) -> tuple[Any, Any, np.ndarray]:
    """A tokenizer, and what is left of it for English."""
    from tokenizers import Tokenizer

    whole = MAKERS[request.param]()
    used = {i for text in here.ENGLISH for i in whole.encode(text).ids}
    value, kept = smaller(json.loads(whole.to_str()), used)
    return whole, Tokenizer.from_str(json.dumps(value, ensure_ascii=False)), kept


def test_covered_text_is_cut_as_before_and_ids_keep_their_order(both: tuple[Any, Any, np.ndarray]) -> None:
    whole, small, kept = both
    assert small.get_vocab_size() == len(kept) < 0.9 * whole.get_vocab_size()
    for text in here.ENGLISH:
        before, after = whole.encode(text), small.encode(text)
        assert after.tokens == before.tokens
        assert kept[after.ids].tolist() == before.ids


def test_no_text_becomes_unknown(both: tuple[Any, Any, np.ndarray]) -> None:
    whole, small, _ = both
    for text in ALL:
        before, after = whole.encode(text).tokens, small.encode(text).tokens
        unknown = ("<unk>", "[UNK]")
        assert sum(t in unknown for t in after) <= sum(t in unknown for t in before)
        spelled = ["".join(tokens).replace("##", "") for tokens in (before, after)]
        assert spelled[0] == spelled[1]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(" ".join(ALL).split()), min_size=1, max_size=8))
def test_a_text_of_kept_pieces_is_covered(both: tuple[Any, Any, np.ndarray], words: list[str]) -> None:
    """Any text, also one that was not looked at: where all its pieces are kept, it is cut as before."""
    whole, small, kept = both
    before = whole.encode(" ".join(words))
    if set(before.ids) <= set(kept.tolist()):
        assert small.encode(" ".join(words)).tokens == before.tokens


def test_merges_that_build_a_kept_piece_stay() -> None:
    whole = json.loads(MAKERS["bpe"]().to_str())
    vocab = whole["model"]["vocab"]
    longest = max(vocab, key=len)
    value, _ = smaller(whole, {vocab[longest]})
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in value["model"]["merges"]]
    buildable = {piece for piece in value["model"]["vocab"] if len(piece) == 1}
    for a, b in merges:
        assert a in value["model"]["vocab"] and b in value["model"]["vocab"]
        if a in buildable and b in buildable:
            buildable.add(a + b)
    assert longest in buildable


# -- a model ----------------------------------------------------------------------------------------------------


def rows(langs: tuple[str, ...] = tuple(tiny.WORDS)) -> pl.DataFrame:
    return pl.DataFrame(tiny.sentences(6, langs)).select("text", "lang")


@pytest.mark.parametrize("kind", ["xlm-roberta", "bert", "deberta-v2", "modernbert"])
def test_a_model_answers_covered_text_alike(kind: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    model = tiny.load(kind, tmp_path)
    encoder.write(model, tmp_path / "whole")
    facts = trim_vocab.apply(tmp_path / "whole", tmp_path / "small", rows(), keep=("eng_Latn", "swh"))
    assert facts["pieces"] < facts["pieces_before"]
    a, b = encoder.read(tmp_path / "whole"), encoder.read(tmp_path / "small")
    assert b.net.config.vocab_size == len(b.tokenizer) == facts["pieces"]
    texts = rows(("eng_Latn", "swh_Latn"))["text"].to_list()
    ids = [token_ids(each, texts, 64)[0] for each in (a, b)]
    names = [
        [each.tokenizer.convert_ids_to_tokens(row.tolist()) for row in own]
        for each, own in zip((a, b), ids, strict=True)
    ]
    assert names[0] == names[1]
    logits = [each(**padded(each, own)).logits.detach() for each, own in zip((a, b), ids, strict=True)]
    assert float((logits[0] - logits[1]).abs().max()) < 1e-5
    thai = rows(("tha_Thai",))["text"].to_list()
    again = AutoTokenizer.from_pretrained(tmp_path / "small")
    assert not any(again.unk_token_id in row for row in again(thai)["input_ids"])
    assert len(again(thai[0])["input_ids"]) >= len(a.tokenizer(thai[0])["input_ids"])


def test_a_language_without_text_is_refused(tmp_path: Path) -> None:
    encoder.write(tiny.load("bert", tmp_path), tmp_path / "whole")
    with pytest.raises(InputError, match="there is no text in kor_Hang"):
        trim_vocab.apply(tmp_path / "whole", tmp_path / "small", rows(), keep=("kor_Hang",))


def test_the_command(cli: Callable[..., Said], tmp_path: Path) -> None:
    model = {"use": "encoder", "name": str(tiny.folder("xlm-roberta"))}
    run, _ = tiny.train(tiny.recipe(tmp_path, model=model), tmp_path)
    done = cli("squeeze", "trim_vocab", run.folder, "small", "--keep", "eng_Latn", "--json")
    assert done.code == 0, done.err
    found = done.json
    assert found["pieces"] < found["pieces_before"] and found["bytes"] < found["bytes_before"]
    assert [each["lang"] for each in found["langs"]][-1] == "eng_Latn"
    by_lang = {each["lang"]: each for each in found["langs"]}
    assert by_lang["eng_Latn"]["covered"] == by_lang["eng_Latn"]["same"] == 1.0
    assert by_lang["eng_Latn"]["largest"] < 1e-5
    assert by_lang["tha_Thai"]["covered"] < 1.0
    line = tmp_path / "one.jsonl"
    line.write_text(json.dumps({"text": "bread soup", "lang": "eng_Latn"}) + "\n")
    assert cli("predict", "small", line).code == 0
    told = cli("squeeze", "trim_vocab", run.folder, "other")
    assert "cut as before" in told.out and "wrote" in told.out
    assert cli("squeeze", "trim_vocab", run.folder, "small").code == 2
    assert "did you mean 'keep'" in cli("squeeze", "trim_vocab", run.folder, "x", "--kep", "eng").err
    assert "there is no squeeze" in cli("squeeze", "trim", run.folder, "x").err
