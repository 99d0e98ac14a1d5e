"""Cures of tokenizers: what is cut as before, what becomes shorter, and that the model's old rows stay what they were."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tokenizers_here as made
from isogloss.core import token_files
from isogloss.core.errors import DataError, InputError, IsoglossError, MissingError, PlaceError
from isogloss.stages.auditing import sample
from isogloss.stages.cure import Cure, cure
from isogloss.stages.curing import pieces, surgery
from places import Said

KINDS = ("unigram", "bpe", "byte-level bpe", "wordpiece")


def texts(n: int = 3) -> sample.Sample:
    """English, Hindi and Amharic, parallel; each sentence joined with each other, so that there is enough."""
    rows = []
    for lang, own in (("eng_Latn", made.ENGLISH), ("hin_Deva", made.HINDI), ("amh_Ethi", made.AMHARIC)):
        for i, a in enumerate(own):
            for j, b in enumerate(own):
                rows += [{"text": f"{a} {b}", "lang": lang, "group": f"{i}-{j}-{k}"} for k in range(n)]
    return sample.of(pl.DataFrame(rows))


def tokenizer(kind: str) -> Any:
    """One that has seen English; byte-level it spells the rest, the others do not know it."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    if kind == "unigram":
        return made.unigram(made.ENGLISH, 90)
    if kind == "bpe":
        return made.bpe(made.ENGLISH, 200)
    if kind == "byte-level bpe":
        return made.bpe(made.ENGLISH, 400, byte_level=True)
    lines = made.wordpiece_lines()
    inner = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(lines)}, unk_token="[UNK]"))
    inner.normalizer, inner.pre_tokenizer = (
        normalizers.BertNormalizer(lowercase=False),
        pre_tokenizers.BertPreTokenizer(),
    )
    inner.decoder = decoders.WordPiece()
    inner.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    return inner


def model(folder: Path, kind: str = "unigram", *, tied: bool = True, dtype: str = "float32", rows: int = 0) -> Path:
    """A tiny random model with that tokenizer; causal where its head is its own."""
    import torch
    from transformers import BertConfig, BertForMaskedLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from isogloss.nn.hub import quiet

    inner = tokenizer(kind)
    own = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>" if kind in ("unigram", "bpe") else None)
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    torch.manual_seed(5)
    n = len(own) + rows
    with quiet():
        if tied:
            net: Any = BertForMaskedLM(BertConfig(vocab_size=n, max_position_embeddings=300, **size))
            net.cls.predictions.bias.data.normal_()
        else:
            net = LlamaForCausalLM(LlamaConfig(vocab_size=n, tie_word_embeddings=False, num_key_value_heads=1, **size))
        net.to(getattr(torch, dtype)).save_pretrained(folder)
        own.save_pretrained(folder)
    return folder


def answers(folder: Path, text: str) -> np.ndarray:
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

    from isogloss.nn.hub import quiet

    with quiet(), torch.inference_mode():
        own = AutoTokenizer.from_pretrained(folder)
        causal = json.loads((folder / "config.json").read_text())["architectures"][0].endswith("CausalLM")
        net = (AutoModelForCausalLM if causal else AutoModelForMaskedLM).from_pretrained(folder).eval()
        ids = own(text, return_tensors="pt")["input_ids"]
        logits: np.ndarray = net(input_ids=ids).logits[0].float().numpy()
    return logits


@pytest.fixture(scope="module", params=KINDS)
def cured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Cure]:
    folder = tmp_path_factory.mktemp("cure")
    model(folder / "model", request.param, tied=request.param != "bpe")
    found = cure(str(folder / "model"), texts(), folder / "out", langs=["hin", "amh"], n_pieces=400)
    return request.param, folder, found


def test_what_was_long_or_unknown_is_shorter_and_known(cured: tuple[str, Path, Cure]) -> None:
    kind, _, found = cured
    assert found.held_out
    assert 20 < found.n_new <= 400
    for tag in ("hin_Deva", "amh_Ethi"):
        before, after = found.before.of(tag), found.after.of(tag)
        assert before is not None and after is not None
        assert after.verdict in ("fine", "costly"), after.reasons
        assert after.values["unknown"].value < 0.01  # type: ignore[operator]
        assert after.values["round_trip_loss"].value < 0.01 or kind == "wordpiece"  # type: ignore[operator]
        if kind == "byte-level bpe":
            assert after.values["premium"].value < before.values["premium"].value / 2  # type: ignore[operator]
        else:
            assert before.verdict == "broken"
    assert {one.lang: (one.kept, one.share, one.longer) for one in found.changed}["eng_Latn"] == (True, 0.0, 0)


def test_old_rows_are_the_same_bit_by_bit_and_new_ones_are_means(cured: tuple[str, Path, Cure]) -> None:
    from safetensors.numpy import load_file

    _, folder, found = cured
    before, after = (load_file(folder / name / "model.safetensors") for name in ("model", "out"))
    assert set(before) == set(after)
    n = found.n_rows[0]  # type: ignore[index]
    own = token_files.read(folder / "model")
    value = json.loads((folder / "model" / "tokenizer.json").read_text())
    new = json.loads((folder / "out" / "tokenizer.json").read_text())
    grown = 0
    for name, table in before.items():
        if table.shape[0] != n:
            assert table.tobytes() == after[name].tobytes(), name
            continue
        grown += 1
        assert after[name][:n].tobytes() == table.tobytes(), name
        assert after[name].shape[0] == found.n_rows[1]  # type: ignore[index]
        assert np.isfinite(after[name]).all()
    assert grown == (2 if found.n_rows else 0)  # embeddings, and the head's bias or the head itself
    # a joined piece is the mean of what the old tokenizer makes of it
    inner = surgery.read(value)
    old = inner.get_vocab()
    made_of = _parts(value, new)
    checked = 0
    for piece, i in surgery.read(new).get_vocab().items():
        if i >= n and (some := made_of.get(piece)) and all(part in old for part in some):
            for name, table in before.items():
                if table.shape[0] == n:
                    np.testing.assert_allclose(
                        after[name][i], np.mean([table[old[p]] for p in some], axis=0), rtol=1e-5, atol=1e-7
                    )
            checked += 1
    assert checked or own.kind in ("unigram", "bpe", "wordpiece")  # all of their letters were unknown
    assert checked > 20 or own.kind != "byte-level bpe"


def _parts(value: Any, new: Any) -> dict[str, list[str]]:
    """What new pieces of a byte-level tokenizer are made of, from its merges alone."""
    if "merges" not in new["model"]:
        return {}
    old, out = value["model"]["vocab"], dict[str, list[str]]()
    for pair in new["model"]["merges"]:
        first, second = pair if isinstance(pair, list) else pair.split(" ")
        if first + second not in old:
            out[first + second] = [*out.get(first, [first]), *out.get(second, [second])]
    return out


def test_texts_that_are_cut_as_before_get_the_same_answers(cured: tuple[str, Path, Cure]) -> None:
    _, folder, found = cured
    n = found.n_rows[0]  # type: ignore[index]
    for text in made.ENGLISH[:3]:
        before, after = answers(folder / "model", text), answers(folder / "out", text)
        assert after.shape == (before.shape[0], found.n_rows[1])  # type: ignore[index]
        np.testing.assert_allclose(after[:, :n], before, rtol=0, atol=1e-6)


def test_transformers_reads_what_was_audited(cured: tuple[str, Path, Cure]) -> None:
    from transformers import AutoTokenizer

    _, folder, found = cured
    own, theirs = token_files.read(folder / "out"), AutoTokenizer.from_pretrained(folder / "out")
    some = [*made.HINDI, *made.AMHARIC, *made.ENGLISH]
    assert own.encode(some).lists() == theirs(some, add_special_tokens=False)["input_ids"]
    assert len(theirs) == found.n_pieces
    assert {path.name for path in (folder / "out").iterdir()} >= {
        "CURE.md",
        "cure.json",
        "config.json",
        "model.safetensors",
    }
    assert not list((folder / "out").glob("*.bin"))
    said = (folder / "out" / "CURE.md").read_text()
    assert "30,000 sentences" in said and "arXiv 2406.11477" in said
    assert made.HINDI[0] not in said + (folder / "out" / "cure.json").read_text()


@pytest.fixture(scope="module", params=("unigram", "bpe", "byte-level bpe"))
def both(request: pytest.FixtureRequest) -> tuple[Any, Any, dict[str, list[str]]]:
    """A tokenizer, the same with new pieces that may stand in English too, and what those are made of."""
    small = {
        "unigram": made.unigram(made.ENGLISH, 90), "bpe": made.bpe(made.ENGLISH, 60),
        "byte-level bpe": made.bpe(made.ENGLISH, 300, byte_level=True),
    }  # fmt: skip
    value = json.loads(small[request.param].to_str())
    inner = surgery.read(value)
    found = pieces.joins(
        {"eng_Latn": pieces.words(inner, made.ENGLISH * 5)}, {}, surgery.taken(value), surgery.speller(value),
        pieces.fitting(surgery.surface(value)), 60,
    )  # fmt: skip
    assert len(found) > 20
    learned = pieces.Learned((), tuple(found))
    return inner, surgery.read(surgery.extended(value, learned)[0]), surgery.parts(value, learned)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.lists(
        st.sampled_from(sorted({w for text in made.ENGLISH for w in text.split()})) | st.text(max_size=5), max_size=8
    )
)
def test_new_pieces_only_join_neighbours(both: tuple[Any, Any, dict[str, list[str]]], words: list[str]) -> None:
    """Taken apart again, the new segmentation of any text is the old one: so no text takes more tokens."""
    inner, after, parts = both
    text = " ".join(words)
    old = inner.encode(text, add_special_tokens=False).tokens
    new = after.encode(text, add_special_tokens=False).tokens
    assert [part for piece in new for part in parts.get(piece, [piece])] == old
    assert len(new) <= len(old)


def test_the_commonest_pair_is_joined_first_and_kept_words_are_not_touched() -> None:
    own = {"a": {("x", "y", "z"): 10, ("q", "r"): 6}, "b": {("x", "y"): 20}}
    free: Callable[[str], bool] = lambda spelling: False  # noqa: E731
    anything: Callable[[str], bool] = lambda spelling: True  # noqa: E731
    joined = pieces.joins(own, {}, free, lambda a, b: a + b, anything, 10)
    assert joined[0] == ("xy", "x", "y")
    assert ("xyz", "xy", "z") in joined and ("qr", "q", "r") in joined
    kept = pieces.joins(own, {("q", "r"): 1}, free, lambda a, b: a + b, anything, 10)
    assert [one for one in kept if one[0] == "qr"] == []
    assert pieces.joins(own, {}, free, lambda a, b: a + b, anything, 1) == joined[:1]
    assert pieces.joins({"a": {("x", "y"): 4}}, {}, free, lambda a, b: a + b, anything, 10) == []  # too seldom


def test_a_head_of_its_own_and_half_precision(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    model(tmp_path / "m", "byte-level bpe", tied=False, dtype="bfloat16")
    found = cure(str(tmp_path / "m"), texts(), tmp_path / "out", langs=["amh"], n_pieces=40)
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("m", "out"))
    n, wide = found.n_rows  # type: ignore[misc]
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        assert after[name].dtype == before[name].dtype and after[name].shape[0] == wide
        assert after[name][:n].equal(before[name])
    assert not after["lm_head.weight"][n:].equal(after["model.embed_tokens.weight"][n:])


def test_rows_that_no_piece_has_are_used_first(tmp_path: Path) -> None:
    model(tmp_path / "m", "byte-level bpe", rows=200)
    found = cure(str(tmp_path / "m"), texts(), tmp_path / "out", langs=["amh"], n_pieces=40)
    assert found.n_rows is not None and found.n_rows[0] == found.n_rows[1]


@pytest.mark.slow
def test_focus_begins_rows_as_old_ones_in_the_same_company(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    model(tmp_path / "m", "byte-level bpe")
    for name in ("one", "two"):
        cure(str(tmp_path / "m"), texts(), tmp_path / name, langs=["hin"], n_pieces=60, vectors="focus")
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    name = "bert.embeddings.word_embeddings.weight"
    assert one[name].tobytes() == two[name].tobytes()
    n = len(load_file(tmp_path / "m" / "model.safetensors")[name])
    old, new = one[name][:n], one[name][n:]
    assert (new >= old.min(axis=0) - 1e-6).all() and (
        new <= old.max(axis=0) + 1e-6
    ).all()  # inside the hull of old ones


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=1, max_size=20))
def test_sparsemax_is_the_nearest_point_of_the_simplex(scores: list[float]) -> None:
    from isogloss.nn.rows import sparsemax

    z = np.array(scores)
    p = sparsemax(z)
    assert p.sum() == pytest.approx(1) and (p >= 0).all()
    others = np.random.default_rng(0).dirichlet(np.ones(len(z)), 50)
    assert ((others - z) ** 2).sum(axis=1).min() >= ((p - z) ** 2).sum() - 1e-9


def test_bytes_make_everything_writable_and_change_nothing_else(tmp_path: Path) -> None:
    model(tmp_path / "m", "unigram")
    found = cure(str(tmp_path / "m"), texts(), tmp_path / "out", how="bytes", langs=["amh", "hin"])
    after = found.after.of("amh_Ethi")
    assert after is not None and found.n_new == 256 == found.n_drawn
    assert after.values["lost"].value == after.values["unknown"].value == after.values["round_trip_loss"].value == 0
    assert all(one.share == 0 for one in found.changed)
    own = token_files.read(tmp_path / "out")
    assert own.fallback
    odd = ["日本 😀", "a\u0301", made.AMHARIC[0]]
    assert ["".join(t.split()) for t in own.decode(own.encode(odd).lists())] == ["".join(t.split()) for t in odd]
    np.testing.assert_allclose(
        answers(tmp_path / "out", made.ENGLISH[0])[:, : found.n_rows[0]],
        answers(tmp_path / "m", made.ENGLISH[0]),
        atol=1e-6,  # type: ignore[index]
    )


@pytest.mark.parametrize(
    ("kind", "says"), [("byte-level bpe", "writes every text already"), ("wordpiece", "no way to fall back")]
)
def test_bytes_where_they_are_no_cure(kind: str, says: str, tmp_path: Path) -> None:
    model(tmp_path / "m", kind)
    with pytest.raises(InputError, match=says):
        cure(str(tmp_path / "m"), texts(), tmp_path / "out", how="bytes", langs=["amh"])
    assert not (tmp_path / "out").exists()


def test_another_tokenizer_keeps_the_rows_of_pieces_that_both_have(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    model(tmp_path / "m", "bpe")
    found = cure(str(tmp_path / "m"), texts(), tmp_path / "out", how="replace", n_pieces=700)
    assert {one.verdict for one in found.after.langs} == {"fine"} and found.after.tokenizer.fallback
    old, new = (token_files.read(tmp_path / name) for name in ("m", "out"))
    before, after = (
        load_file(tmp_path / n / "model.safetensors")["bert.embeddings.word_embeddings.weight"] for n in ("m", "out")
    )
    assert len(after) == new.n_vocab == found.n_rows[1]  # type: ignore[index]
    place = {text: i for i, text in old.pieces.items() if text}
    same = [(i, place[text]) for i, text in new.pieces.items() if text and text in place]
    assert len(same) > 30
    for i, j in same:
        assert after[i].tobytes() == before[j].tobytes()
    assert json.loads((tmp_path / "out" / "config.json").read_text())["pad_token_id"] == new.inner.token_to_id("<pad>")
    assert answers(tmp_path / "out", made.AMHARIC[0]).shape[1] == new.n_vocab
    assert "Every text is cut in another way" in (tmp_path / "out" / "CURE.md").read_text()


@pytest.mark.slow
def test_a_given_tokenizer_takes_the_place(tmp_path: Path) -> None:
    model(tmp_path / "m", "unigram")
    found = cure(str(tmp_path / "m"), texts(), tmp_path / "out", how="replace", tokenizer="isogloss/mini")
    assert found.n_pieces == 48_000 == found.n_rows[1]  # type: ignore[index]


def test_a_file_alone_gives_a_tokenizer_alone(tmp_path: Path) -> None:
    raw = made.sentencepiece_bytes(kind="bpe", fallback=True)
    (tmp_path / "m.model").write_bytes(raw)
    found = cure(str(tmp_path / "m.model"), texts(), tmp_path / "out", langs=["amh"], n_pieces=80)
    assert found.n_rows is None and not list((tmp_path / "out").glob("*.safetensors"))
    spm, cured_ = token_files.read(tmp_path / "m.model"), token_files.read(tmp_path / "out")
    assert spm.encode(made.ENGLISH).lists() == cured_.encode(made.ENGLISH).lists()
    assert cured_.encode(made.AMHARIC).n.sum() < spm.encode(made.AMHARIC).n.sum() / 3
    assert "tokenizer alone" in (tmp_path / "out" / "CURE.md").read_text()


@pytest.mark.slow
def test_weights_in_several_files(tmp_path: Path) -> None:
    from transformers import AutoModelForMaskedLM

    model(tmp_path / "m", "unigram")
    with_shards = tmp_path / "shards"
    shutil.copytree(tmp_path / "m", with_shards)
    (with_shards / "model.safetensors").unlink()
    AutoModelForMaskedLM.from_pretrained(tmp_path / "m").save_pretrained(with_shards, max_shard_size="8KB")
    assert len(list(with_shards.glob("*.safetensors"))) > 2
    cure(str(with_shards), texts(), tmp_path / "out", langs=["amh"], n_pieces=60)
    cure(str(tmp_path / "m"), texts(), tmp_path / "whole", langs=["amh"], n_pieces=60)
    np.testing.assert_array_equal(
        answers(tmp_path / "out", made.AMHARIC[0]), answers(tmp_path / "whole", made.AMHARIC[0])
    )


def test_what_cannot_be_cured_is_said_in_a_sentence(tmp_path: Path) -> None:
    model(tmp_path / "m", "unigram")
    some = texts()

    def refused(
        match: str, error: type[IsoglossError] = InputError, *, name: str = str(tmp_path / "m"), **changes: Any
    ) -> None:
        with pytest.raises(error, match=match):
            cure(
                name, changes.pop("texts", some), changes.pop("out", tmp_path / "out"), **{"langs": ["amh"], **changes}
            )
        assert not (tmp_path / "out").exists()

    refused("no cure 'extent'; did you mean 'extend'", how="extent")
    refused("did you mean 'focus'", vectors="focuss")
    refused("there is no text in tir_Ethi", DataError, langs=["tir"])
    refused("no language we know", DataError, langs=["nolang-at-all"])
    refused("--tokenizer names what replaces", tokenizer="isogloss/mini")
    refused("bytes are 256", how="bytes", n_pieces=3)
    refused("is there already and not empty", PlaceError, out=tmp_path / "m")
    refused("pieces are too few", how="replace", n_pieces=100)
    refused("nothing new can be learned", texts=sample.of({"amh": ["ሀ"], "eng": made.ENGLISH}))
    refused("finds no language in the text that needs a cure", langs=None, texts=sample.of({"eng": made.ENGLISH}))
    refused("there is no model or tokenizer", MissingError, name=str(tmp_path / "nothing"))
    config = tmp_path / "m" / "config.json"
    value = json.loads(config.read_text())
    config.write_text(json.dumps({k: v for k, v in value.items() if k != "vocab_size"}))
    refused("has no key 'vocab_size'")
    config.write_text(json.dumps(value | {"vocab_size": 7777}))
    refused("no table of the weights has as many rows")
    config.write_text(json.dumps(value))
    weights = tmp_path / "m" / "model.safetensors"
    raw = weights.read_bytes()
    weights.write_bytes(raw[: len(raw) // 2])
    refused("is not a whole safetensors file")
    weights.rename(weights.with_name("pytorch_model.bin"))
    refused("pickles are never loaded")
    half = tmp_path / "m" / "tokenizer.json"
    half.write_text(half.read_text()[:200])
    refused("is not whole JSON")


def test_little_text_is_said(tmp_path: Path) -> None:
    model(tmp_path / "m", "byte-level bpe")
    few = sample.of({"amh": made.AMHARIC * 2, "eng": made.ENGLISH})
    found = cure(str(tmp_path / "m"), few, tmp_path / "out", langs=["amh"], n_pieces=30)
    assert not found.held_out and any("nothing is held out" in note for note in found.notes)
    assert "on the texts that were learned from" in (tmp_path / "out" / "CURE.md").read_text()


def test_the_command(cli: Callable[..., Said], tmp_path: Path) -> None:
    model(tmp_path / "m", "unigram")
    rows = texts().rows.select("text", "lang", "group").to_dicts()
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    said = cli("cure", "m", "--text", "t.jsonl", "--out", "out", "--langs", "am,hi", "--pieces", "120")
    assert said.code == 0, said.err
    assert "amh_Ethi Amharic" in said.out and "wrote" in said.out
    again = cli("cure", "m", "--text", "t.jsonl", "--out", "out", "--langs", "am")
    assert again.code == 2 and "is there already and not empty" in again.err
    as_json = cli("cure", "m", "--text", "t.jsonl", "--out", "two", "--by", "bytes", "--json")
    assert as_json.code == 0
    found = json.loads(as_json.out)
    assert found["langs"] == ["amh_Ethi", "hin_Deva"]  # those that the audit names
    assert found["n_new_pieces"] == 256


@pytest.mark.slow
def test_a_real_tokenizer_is_extended(shared: Path, tmp_path: Path) -> None:
    """Mistral's on FLORES: Telugu, which it spells in bytes, and Hindi, on sentences that were held out."""
    from isogloss.nn import fast

    flores = pl.read_parquet(shared / "flores200.parquet").filter(
        pl.col("lang").is_in(["eng_Latn", "hin_Deva", "tel_Telu", "deu_Latn"])
    )
    found = cure(
        str(shared / "tokenizers" / "mistral_v1_32k.spm.model"),
        sample.of(flores),
        tmp_path / "out",
        langs=["hin", "tel"],
    )
    for tag, before, after in (("hin_Deva", 4.0, 1.8), ("tel_Telu", 6.0, 1.8)):
        one, two = found.before.of(tag), found.after.of(tag)
        assert one is not None and two is not None
        assert one.values["premium"].value > before and two.values["premium"].value < after  # type: ignore[operator]
    assert found.recut == 0
    assert max(one.share for one in found.changed if one.kept) <= 0.01 and not any(one.longer for one in found.changed)
    assert fast.open_fast(str(tmp_path / "out")).specials["unk_token"] == "<unk>"


def test_a_vocabulary_of_the_size_of_another_part(tmp_path: Path) -> None:
    """Where something else in the model has as many rows as there are pieces, names tell which tables are of pieces."""
    import torch
    from safetensors.numpy import load_file
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    from isogloss.nn.hub import quiet

    own = PreTrainedTokenizerFast(tokenizer_object=tokenizer("byte-level bpe"))
    torch.manual_seed(2)
    with quiet():
        net = BertForMaskedLM(
            BertConfig(
                vocab_size=len(own),
                hidden_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                intermediate_size=len(own),
            )
        )
        net.save_pretrained(tmp_path / "m")
        own.save_pretrained(tmp_path / "m")
    found = cure(str(tmp_path / "m"), texts(), tmp_path / "out", langs=["amh"], n_pieces=30)
    after = load_file(tmp_path / "out" / "model.safetensors")
    assert after["bert.encoder.layer.0.intermediate.dense.weight"].shape[0] == len(own)
    assert after["bert.embeddings.word_embeddings.weight"].shape[0] == found.n_rows[1] == len(own) + found.n_new  # type: ignore[index]
    answers(tmp_path / "out", made.AMHARIC[0])
