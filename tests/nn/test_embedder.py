"""The Embedder: equal to sentence-transformers on its layout, unit vectors for any encoder, one sentence otherwise."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from isogloss.core.errors import DataError, InputError, MissingError
from isogloss.nn.embedder import Embedder

TEXTS = [row["text"] for row in tiny.sentences(3)] + ["word " * 400, "  Bread AND Soup ", "ขนมปัง", "🙂", "a"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(tiny.sentence_folder(), tmp_path / "sentences"))


def change(path: Path, **values: Any) -> None:
    value = json.loads(path.read_text()) if path.is_file() else {}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**value, **values}))


def add_module(folder: Path, kind: str, path: str) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    entry = {"idx": len(modules), "name": str(len(modules)), "path": path}
    modules.append({**entry, "type": f"sentence_transformers.models.{kind}"})
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / path).mkdir(exist_ok=True)


def theirs(folder: Path, texts: list[str] = TEXTS, **given: Any) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is in the extra 'dev'")
        model = library.SentenceTransformer(str(folder), device="cpu")
        return np.asarray(model.encode(texts, normalize_embeddings=True, **given))


def equal(ours: np.ndarray, other: np.ndarray) -> bool:
    return ours.shape == other.shape and bool(np.abs(ours - other).max() < 1e-5)


# -- equal to the reference -------------------------------------------------------------------------------------


def test_the_layout_of_the_multilingual_minilm_equals_the_reference() -> None:
    embedder = Embedder.load(str(tiny.sentence_folder()))
    ours, cuts = embedder.embed_and_cuts(TEXTS)
    assert equal(ours, theirs(tiny.sentence_folder()))
    assert (embedder.max_length, embedder.pooling, embedder.dimension) == (128, "mean", 32)
    assert [TEXTS[i] for i in np.flatnonzero(cuts)] == ["word " * 400]


@pytest.mark.parametrize(
    "flags", ["cls_token", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]
)
def test_every_pooling_by_its_flag(folder: Path, flags: str) -> None:
    change(folder / "1_Pooling" / "config.json", **{"pooling_mode_mean_tokens": False, f"pooling_mode_{flags}": True})
    assert equal(Embedder.load(str(folder)).embed(TEXTS), theirs(folder))


def test_several_poolings_are_concatenated_in_their_order(folder: Path) -> None:
    change(folder / "1_Pooling" / "config.json", pooling_mode_cls_token=True, pooling_mode_max_tokens=True)
    embedder = Embedder.load(str(folder))
    assert embedder.poolings == ("cls", "max", "mean") and embedder.dimension == 96
    assert equal(embedder.embed(TEXTS), theirs(folder))


@pytest.mark.parametrize("mode", ["mean", "lasttoken", ["max", "mean"]])
def test_the_newer_names_of_pooling(folder: Path, mode: str | list[str]) -> None:
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"embedding_dimension": 32, "pooling_mode": mode}))
    assert equal(Embedder.load(str(folder)).embed(TEXTS), theirs(folder))


@pytest.mark.parametrize("activation", ["torch.nn.modules.activation.Tanh", "torch.nn.modules.linear.Identity"])
def test_a_dense_layer_and_a_unit_length_above(folder: Path, activation: str) -> None:
    import torch
    from safetensors.torch import save_file

    add_module(folder, "Dense", "2_Dense")
    add_module(folder, "Normalize", "3_Normalize")
    change(
        folder / "2_Dense" / "config.json", in_features=32, out_features=8, bias=True, activation_function=activation
    )
    torch.manual_seed(0)
    weights = {"linear.weight": torch.randn(8, 32), "linear.bias": torch.randn(8)}
    save_file(weights, folder / "2_Dense" / "model.safetensors")
    embedder = Embedder.load(str(folder))
    assert embedder.dimension == 8 and equal(embedder.embed(TEXTS), theirs(folder))


def test_lower_case_and_length_and_a_folder_of_its_own_for_the_transformer(folder: Path) -> None:
    change(folder / "sentence_bert_config.json", max_seq_length=7, do_lower_case=True)
    own = folder / "0_Transformer"
    own.mkdir()
    for path in list(folder.iterdir()):
        if path.is_file() and path.name != "modules.json":
            path.rename(own / path.name)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    embedder = Embedder.load(str(folder))
    assert embedder.max_length == 7 and equal(embedder.embed(TEXTS), theirs(folder))


@pytest.mark.parametrize("include", [True, False])
def test_prompts_by_name_by_default_and_as_text(folder: Path, include: bool) -> None:
    change(folder / "config_sentence_transformers.json", prompts={"query": "soup: ", "doc": "rain: "})
    change(folder / "1_Pooling" / "config.json", include_prompt=include)
    embedder = Embedder.load(str(folder))
    assert equal(embedder.embed(TEXTS), theirs(folder))
    assert equal(embedder.embed(TEXTS, prompt="query"), theirs(folder, prompt_name="query"))
    assert equal(embedder.embed(TEXTS, prompt="bus: "), theirs(folder, prompt="bus: "))
    change(folder / "config_sentence_transformers.json", default_prompt_name="doc")
    embedder = Embedder.load(str(folder))
    assert equal(embedder.embed(TEXTS), theirs(folder)) and embedder.before(None) == "rain: "
    assert equal(embedder.embed(TEXTS, prompt=""), theirs(folder, prompt=""))


def test_what_we_write_is_read_alike_by_both(tmp_path: Path) -> None:
    from isogloss.nn.pooling import write_pooling

    plain = Path(shutil.copytree(tiny.folder("xlm-roberta"), tmp_path / "plain"))
    before = Embedder.load(str(plain)).embed(TEXTS)
    write_pooling(plain, "mean", 16, 64)
    assert equal(Embedder.load(str(plain)).embed(TEXTS), before) and equal(before, theirs(plain))


# -- any encoder ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["bert", "xlm-roberta", "distilbert", "electra", "rembert", "deberta-v2", "modernbert"]
)
def test_unit_vectors_in_the_order_of_the_texts_whatever_the_batches(kind: str) -> None:
    embedder = Embedder.load(str(tiny.folder(kind)))
    heard: list[int] = []
    vectors = embedder.embed(TEXTS, tick=heard.append)
    assert vectors.shape == (len(TEXTS), embedder.dimension) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert heard[-1] == len(TEXTS) and heard == sorted(heard)
    assert np.abs(embedder.embed(TEXTS, batch_tokens=1) - vectors).max() < 1e-5
    assert np.abs(embedder.embed(TEXTS[::-1])[::-1] - vectors).max() < 1e-5
    assert embedder.embed([]).shape == (0, embedder.dimension)


def test_a_head_for_labels_is_left_out(tmp_path: Path) -> None:
    from isogloss.parts.families import encoder

    model = tiny.load("bert", tmp_path)
    encoder.write(model, tmp_path / "headed")
    bare = Embedder.load(str(tiny.folder("bert"))).embed(TEXTS)
    assert equal(Embedder.load(str(tmp_path / "headed")).embed(TEXTS), bare)


def test_the_encoder_of_an_encoder_decoder(tmp_path: Path) -> None:
    import torch
    from transformers import T5Config, T5EncoderModel, T5Model

    pieces = tiny.tokenizer()
    config = T5Config(vocab_size=len(pieces), d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2,
                      pad_token_id=pieces.pad_token_id, decoder_start_token_id=pieces.pad_token_id)  # fmt: skip
    torch.manual_seed(0)
    net = T5Model(config).eval()
    net.save_pretrained(tmp_path)
    pieces.save_pretrained(tmp_path)
    with torch.inference_mode():
        ids = torch.tensor([pieces(TEXTS[0])["input_ids"]])
        states = net.encoder(input_ids=ids).last_hidden_state.mean(1)
    vector = Embedder.load(str(tmp_path)).embed(TEXTS[:1])
    assert np.abs(vector - torch.nn.functional.normalize(states).numpy()).max() < 1e-5
    alone = T5EncoderModel(config)
    alone.load_state_dict(net.state_dict(), strict=False)
    alone.save_pretrained(tmp_path)
    assert np.abs(Embedder.load(str(tmp_path)).embed(TEXTS[:1]) - vector).max() < 1e-6


def decoder(at: Path) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaModel

    pieces = tiny.tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=len(pieces), hidden_size=16, intermediate_size=24, num_hidden_layers=2,
                         num_attention_heads=2, max_position_embeddings=66, pad_token_id=pieces.pad_token_id)  # fmt: skip
    LlamaModel(config).save_pretrained(at)
    pieces.save_pretrained(at)
    return at


def test_a_decoder_only_with_a_pooling_of_its_own(tmp_path: Path) -> None:
    from isogloss.nn.pooling import write_pooling

    with pytest.raises(InputError, match=r"is a decoder \(llama\), which has no pooling of its own"):
        Embedder.load(str(decoder(tmp_path)))
    write_pooling(tmp_path, "lasttoken", 16, 64)
    embedder = Embedder.load(str(tmp_path))
    assert embedder.pooling == "lasttoken" and equal(embedder.embed(TEXTS), theirs(tmp_path))
    change(tmp_path / "config.json", auto_map={"AutoModel": "modeling.Other"})
    with pytest.raises(InputError, match="no code of a model is ever run"):
        Embedder.load(str(tmp_path))


# -- what cannot be ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["bread", ""], "text 1 is empty"),
        (["bread", "soup", " \n\t"], "text 2 is empty"),
        (["bread", None], "text 1 is a NoneType, not a string"),
        ("bread", "takes a list of texts, got one string"),
    ],
)
def test_a_text_that_has_no_vector_is_named_by_its_position(texts: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        Embedder.load(str(tiny.sentence_folder())).embed(texts)


def drop_pooling(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(modules[:1]))


def only_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def dense_pickle(folder: Path) -> None:
    add_module(folder, "Dense", "2_Dense")
    change(folder / "2_Dense" / "config.json", in_features=32, out_features=8)
    (folder / "2_Dense" / "pytorch_model.bin").write_bytes(b"no")


def dense_strange(folder: Path) -> None:
    add_module(folder, "Dense", "2_Dense")
    change(folder / "2_Dense" / "config.json", in_features=32, out_features=8, activation_function="os.system")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (drop_pooling, "has no pooling"),
        (lambda f: shutil.rmtree(f / "1_Pooling"), "has no pooling"),
        (
            lambda f: add_module(f, "WordWeights", "2_WordWeights"),
            "names the module WordWeights, which is not supported",
        ),
        (lambda f: (f / "modules.json").write_text("[{"), "cannot be read as JSON"),
        (lambda f: (f / "modules.json").write_text("{}"), "a JSON list is expected"),
        (lambda f: (f / "modules.json").write_text("[]"), "must begin with one Transformer"),
        (lambda f: add_module(f, "Normalize", "../.."), "is not inside it"),
        (lambda f: change(f / "1_Pooling" / "config.json", pooling_mode="meen"), "did you mean 'mean'"),
        (lambda f: change(f / "config_sentence_transformers.json", default_prompt_name="x"), "has no prompt 'x'"),
        (lambda f: change(f / "sentence_bert_config.json", max_seq_length="long"), "must be a number of tokens"),
        (
            lambda f: change(f / "config.json", hidden_size=16),
            "lacks .* weights of a bert, or has them in another shape",
        ),
        (lambda f: change(f / "config.json", model_type="never"), "cannot be read"),
        (only_a_pickle, "pickles are never loaded"),
        (dense_pickle, "pickles are never loaded"),
        (dense_strange, "the activation 'os.system' is not supported"),
    ],
)
def test_a_folder_that_cannot_be_read_is_one_sentence(folder: Path, spoil: Callable[[Path], Any], words: str) -> None:
    spoil(folder)
    with pytest.raises(InputError, match=words) as caught:
        Embedder.load(str(folder))
    assert "\n" not in str(caught.value)


def test_a_model_that_is_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isogloss.nn.hub._reachable", lambda endpoint: False)
    with pytest.raises(MissingError, match="is not on this machine and the hub cannot be reached"):
        Embedder.load("nobody/nothing")
    with pytest.raises(MissingError, match="there is no model folder"):
        Embedder.load("./nothing")


def test_the_digest_sees_every_file(folder: Path) -> None:
    before = Embedder.load(str(folder)).digest
    assert before == Embedder.load(str(folder)).digest
    change(folder / "1_Pooling" / "config.json", pooling_mode_max_tokens=True)
    assert Embedder.load(str(folder)).digest != before
