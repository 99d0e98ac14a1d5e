"""What holds for every family, and for every architecture that the family `encoder` supports."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import tiny
from isogloss.core import parts
from isogloss.core.errors import InputError, MissingError, PlaceError, RecipeError
from tiny import LABELS

LISTED = ["bert", "xlm-roberta", "deberta-v2", "modernbert"]  # mBERT, XLM-R and XLM-V, mDeBERTa, ModernBERT and mmBERT
ARCHITECTURES = list(parts.load("families", "encoder").module.ARCHITECTURES)
TEXTS = [
    "bread and soup",
    "train",
    "rain, sun, cloud and wind over the bridge; a very long sentence indeed",
    "ฝน 日本 😀 \ufffd",
    "",
]
encoder = parts.load("families", "encoder").module


def inputs(model: Any, texts: list[str] = TEXTS) -> dict[str, Any]:
    from isogloss.nn.batches import padded, token_ids

    return padded(model, token_ids(model, texts, 64)[0])


@pytest.mark.parametrize("name", parts.names("families"))
def test_a_family_says_whether_it_has_blocks_and_how_it_is_trained(name: str) -> None:
    family = parts.load("families", name)
    assert isinstance(family.constant("BLOCKS"), bool)
    assert family.has("fit") != family.has("load")
    assert family.has("write")
    if family.constant("BLOCKS"):
        assert all(family.has(f) for f in ("embeddings", "blocks", "states_at", "from_states"))


def test_the_listed_architectures_are_supported() -> None:
    assert set(LISTED) <= set(ARCHITECTURES)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_states_of_every_block_give_the_same_logits(kind: str, tmp_path: Path) -> None:
    import torch

    model = tiny.load(kind, tmp_path)
    batch = inputs(model)
    with torch.inference_mode():
        want = model(**batch).logits
        assert want.std(dim=0).min() > 1e-5  # the texts are told apart, so equal means something
        for k in range(len(encoder.blocks(model)) + 1):
            states = encoder.states_at(model, k, batch)
            assert states.shape == (len(TEXTS), batch["input_ids"].shape[1], model.net.config.hidden_size)
            got = encoder.from_states(model, k, states, batch).logits
            torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-8, msg=str(k))
            other = encoder.from_states(model, k, states.flip(0), batch).logits
            assert not torch.allclose(other, want), k  # the states are what is used
        assert torch.equal(model(**batch).logits, want)  # and nothing of it stays


@pytest.mark.parametrize("k", [-1, 4])
def test_a_block_that_is_not_there(k: int, tmp_path: Path) -> None:
    model = tiny.load("bert", tmp_path)
    with pytest.raises(ValueError, match=r"states at 0\.\.3"):
        encoder.states_at(model, k, inputs(model))


def test_a_convolution_between_blocks(tmp_path: Path) -> None:
    """DeBERTa-v2 (not mDeBERTa) adds a convolution to what leaves block 0: states above it hold it once."""
    import torch

    model = tiny.load("", tmp_path, model_folder=tiny.folder("deberta-v2", conv_kernel_size=3, conv_act="gelu"))
    batch = inputs(model)
    with torch.inference_mode():
        want = model(**batch).logits
        for k in range(4):
            got = encoder.from_states(model, k, encoder.states_at(model, k, batch), batch).logits
            torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-8, msg=str(k))
    alone = tiny.load(
        "", tmp_path, model_folder=tiny.folder("deberta-v2", conv_kernel_size=3, conv_act="gelu", layers=1)
    )
    with pytest.raises(InputError, match="cannot be split"):
        encoder.states_at(alone, 1, inputs(alone))


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_written_and_read_it_answers_the_same(kind: str, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = tiny.load(kind, tmp_path)
    frame = pl.DataFrame({"text": TEXTS * 3, "lang": ["eng_Latn"] * 15})
    want = encoder.predict(model, frame)
    assert want.shape == (15, 3)
    assert want.dtype == np.float64
    np.testing.assert_allclose(want.sum(axis=1), 1)
    made = encoder.write(model, tmp_path / "out")
    assert {path.name for path in made} >= {"config.json", "model.safetensors", "tokenizer.json"}
    again = encoder.read(tmp_path / "out")
    assert again.labels == LABELS
    np.testing.assert_allclose(encoder.predict(again, frame), want, atol=1e-6)
    np.testing.assert_allclose(encoder.predict(again, frame[::-1])[::-1], want, atol=1e-6)  # order does not matter
    assert encoder.predict(again, frame[:0]).shape == (0, 3)
    # and so does transformers alone
    net = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert net.config.id2label == dict(enumerate(LABELS))
    logits = net(**tokenizer(TEXTS[:1], return_tensors="pt")).logits.softmax(-1).detach().numpy()
    np.testing.assert_allclose(logits, want[:1], atol=1e-5)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_skeleton_counts_the_same_parameters_without_weights(kind: str, tmp_path: Path) -> None:
    from isogloss.nn.model import n_parameters

    whole, bones = tiny.load(kind, tmp_path), tiny.load(kind, tmp_path, skeleton=True)
    assert n_parameters(bones) == n_parameters(whole)
    assert all(p.is_meta for p in bones.parameters())


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_blocks_embeddings_and_the_rest_are_the_whole_model(kind: str, tmp_path: Path) -> None:
    from isogloss.nn.blocks import depths

    model = tiny.load(kind, tmp_path)
    depth = depths(model, encoder.embeddings(model), encoder.blocks(model))
    assert set(depth.values()) == {0, 1, 2, 3, 4}
    above = {name for name, d in depth.items() if d == 4}
    allowed = ("classifier", "pooler", "head", "final_norm", "pre_classifier", "encoder.LayerNorm")
    assert all(any(word in name for word in allowed) for name in above), above


@pytest.mark.parametrize("kind", LISTED)
def test_dropout_is_set_everywhere(kind: str, tmp_path: Path) -> None:
    import torch

    model = tiny.load(kind, tmp_path, dropout=0.25)
    drops = [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)]
    assert drops
    assert set(drops) == {0.25}


def test_longer_texts_than_the_model_has_positions(tmp_path: Path) -> None:
    from isogloss.nn.batches import token_ids

    for kind, limit in (("xlm-roberta", 64), ("bert", 66), ("modernbert", 66)):
        model = tiny.load(kind, tmp_path)
        assert model.max_length == limit  # RoBERTa's positions begin after the padding index
        ids, cut = token_ids(model, ["rain " * 500, "rain"], 512)
        assert [len(row) <= limit for row in ids] == [True, True]
        assert cut.tolist() == [True, False]
        assert ids[0][-1] == ids[1][-1]  # the end token is still there
        assert encoder.predict(model, pl.DataFrame({"text": ["rain " * 500]})).shape == (1, 3)


def test_from_scratch_no_text_is_unknown(tmp_path: Path) -> None:
    model = encoder.load(tiny.start(tmp_path), scratch=encoder.Scratch(layers=1, width=16, heads=2, vocab=512))
    tokenizer = model.tokenizer
    for text in ("ᱥᱟᱱᱛᱟᱲᱤ 𓀀 😀", "ߒߞߏ", "\U0001f9ff\u0301", "日本語"):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True).strip() == text
    again = encoder.load(tiny.start(tmp_path), scratch=encoder.Scratch(layers=1, width=16, heads=2, vocab=512))
    assert all((p == q).all() for p, q in zip(model.parameters(), again.parameters(), strict=True))


# -- what is refused --------------------------------------------------------------------------------------------


def test_an_unsupported_model_type_is_refused_by_name(tmp_path: Path) -> None:
    folder = shutil.copytree(tiny.folder("bert"), tmp_path / "m")
    (folder / "config.json").write_text('{"model_type": "albert"}')
    with pytest.raises(InputError, match=r"'albert'.*supported: bert, roberta"):
        tiny.load("", tmp_path, model_folder=folder)


def test_pickles_are_not_loaded(tmp_path: Path) -> None:
    folder = shutil.copytree(tiny.folder("bert"), tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"no safetensors weights \(pytorch_model.bin\), and pickles are never loaded"):
        tiny.load("", tmp_path, model_folder=folder)


def test_a_hub_name_without_a_network_says_what_to_put_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(
        MissingError, match="hf download FacebookAI/xlm-roberta-base --local-dir xlm-roberta-base"
    ) as caught:
        tiny.load("", tmp_path, model_folder=Path("FacebookAI/xlm-roberta-base"))
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="there is no model folder"):
        tiny.load("", tmp_path, model_folder=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no config\.json"):
        tiny.load("", tmp_path, model_folder=tmp_path / "empty")


def test_damaged_files(tmp_path: Path) -> None:
    folder = shutil.copytree(tiny.folder("bert"), tmp_path / "m")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(PlaceError, match="cannot be read"):
        encoder.read(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        encoder.read(folder)


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({}, "takes either name"),
        ({"name": "x", "scratch": {}}, "takes either name"),
        ({"scratch": {}, "revision": "main"}, "no revision"),
        ({"scratch": {"width": 100, "heads": 3}}, "even multiple"),
    ],
)
def test_knobs_that_do_not_go_together(knobs: dict[str, Any], said: str) -> None:
    part = parts.load("families", "encoder")
    with pytest.raises(RecipeError, match=said):
        part.call("check", knobs=part.bind(knobs))


def test_a_wrong_key_in_scratch_is_named() -> None:
    with pytest.raises(RecipeError, match=r"scratch\.layrs"):
        parts.load("families", "encoder").bind({"scratch": {"layrs": 2}})


def test_a_folder_with_a_sentencepiece_model_only(tmp_path: Path) -> None:
    """As mDeBERTa-v3 comes: no tokenizer.json, and transformers makes one from spm.model."""
    import json

    import sentencepiece

    folder = shutil.copytree(tiny.folder("deberta-v2"), tmp_path / "m")
    for path in (*folder.glob("tokenizer*"), *folder.glob("special*")):
        path.unlink()
    lines = iter([row["text"] for row in tiny.sentences(40)])
    with (folder / "spm.model").open("wb") as handle:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines,
            model_writer=handle,
            vocab_size=85,
            unk_id=3,
            bos_id=1,
            eos_id=2,
            pad_id=0,
            minloglevel=2,
        )
    (folder / "tokenizer_config.json").write_text(json.dumps({"vocab_type": "spm", "do_lower_case": False}))
    model = tiny.load("", tmp_path, model_folder=folder)
    assert encoder.predict(model, pl.DataFrame({"text": TEXTS})).shape == (5, 3)
    encoder.write(model, tmp_path / "out")
    again = encoder.read(tmp_path / "out")
    assert again.tokenizer("bread soup")["input_ids"] == model.tokenizer("bread soup")["input_ids"]


def test_a_hub_name_is_read_from_the_cache_and_its_commit_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    commit = "0123456789abcdef0123456789abcdef01234567"
    repo = tmp_path / "cache" / "models--their--model"
    shutil.copytree(tiny.folder("bert"), repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    model = encoder.load(tiny.start(tmp_path), name="their/model")
    assert model.facts == {"start": "their/model", "revision": None, "commit": commit}
    assert encoder.load(tiny.start(tmp_path), name="their/model", revision=commit).facts["commit"] == commit
    with pytest.raises(MissingError, match="at revision 'other'"):
        encoder.load(tiny.start(tmp_path), name="their/model", revision="other")
