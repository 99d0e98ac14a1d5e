"""Sizes from a config alone: those that authors publish, and those that transformers builds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from isogloss.core import architecture, catalogue
from isogloss.core.errors import InputError, MissingError

XLMR = {
    "model_type": "xlm-roberta", "vocab_size": 250002, "hidden_size": 768, "num_hidden_layers": 12,
    "num_attention_heads": 12, "intermediate_size": 3072, "max_position_embeddings": 514, "type_vocab_size": 1,
}  # fmt: skip


def test_every_published_size_is_within_two_percent() -> None:
    off = {
        model.name: model.arch.n_parameters / model.parameters
        for model in catalogue.models().values()
        if model.arch and model.parameters and abs(model.arch.n_parameters / model.parameters - 1) > 0.02
    }
    assert off == {}
    assert sum(1 for model in catalogue.models().values() if model.arch and model.parameters) > 70


# Small configs whose numbers differ from each other, so that no term can hide behind another.
SMALL: dict[str, dict[str, Any]] = {
    "bert": {"vocab_size": 101, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 60, "max_position_embeddings": 33},
    "xlm-roberta": {"vocab_size": 101, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 60, "max_position_embeddings": 35, "type_vocab_size": 1},
    "distilbert": {"vocab_size": 101, "dim": 24, "n_layers": 3, "n_heads": 4, "hidden_dim": 60, "max_position_embeddings": 33},
    "electra": {"vocab_size": 101, "embedding_size": 16, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 60, "max_position_embeddings": 33},
    "deberta-v2": {"vocab_size": 101, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 60, "max_position_embeddings": 33, "relative_attention": True, "position_buckets": 16, "norm_rel_ebd": "layer_norm", "share_att_key": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False, "type_vocab_size": 0},
    "modernbert": {"vocab_size": 101, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 60, "max_position_embeddings": 33},
    "llama": {"vocab_size": 101, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 60},
    "qwen2": {"vocab_size": 101, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 60},
    "qwen3": {"vocab_size": 101, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 60},
    "gemma2": {"vocab_size": 101, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 60},
    "cohere": {"vocab_size": 101, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 60},
    "bloom": {"vocab_size": 101, "hidden_size": 24, "n_layer": 3, "n_head": 4},
    "mt5": {"vocab_size": 101, "d_model": 24, "num_layers": 3, "num_decoder_layers": 3, "num_heads": 4, "d_kv": 8, "d_ff": 60},
    "m2m_100": {"vocab_size": 101, "d_model": 24, "encoder_layers": 3, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 60, "decoder_ffn_dim": 40},
}  # fmt: skip


@pytest.mark.parametrize("kind", SMALL)
def test_the_count_is_that_of_transformers(kind: str) -> None:
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    from isogloss.nn import hub

    ids = {} if kind == "bloom" else {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    if kind == "modernbert":
        ids |= {"cls_token_id": 1, "sep_token_id": 2}
    config = AutoConfig.for_model(kind, **SMALL[kind], **ids)
    arch = architecture.of({"model_type": kind, **SMALL[kind]})
    of = {"encoder": AutoModel, "decoder": AutoModelForCausalLM, "encoder-decoder": AutoModelForSeq2SeqLM}[arch.kind]
    with hub.quiet(), torch.device("meta"):
        net = of.from_config(config)
    n = sum(p.numel() for name, p in net.named_parameters() if not name.startswith("pooler."))  # no task of ours has it
    # transformers 5 ties the tables of T5's family whatever their config says; what is published has both
    assert arch.n_parameters - (arch.n_output if kind == "mt5" else 0) == n
    assert arch.exact


def test_another_type_is_read_by_usual_keys_and_says_so() -> None:
    found = architecture.of({**XLMR, "model_type": "brand-new-bert"})
    assert not found.exact
    assert abs(found.n_parameters / architecture.of(XLMR).n_parameters - 1) < 0.02


@pytest.mark.parametrize(
    "key", ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size"]
)
def test_a_config_without_a_key_names_the_key_and_what_it_means(key: str) -> None:
    config = {name: value for name, value in XLMR.items() if name != key}
    with pytest.raises(InputError, match=rf"'{key}'.*without it a xlm-roberta has no size"):
        architecture.of(config, "config.json")


@pytest.mark.parametrize("value", [0, -3, "768", 7.5, True, [768]])
def test_a_key_of_the_wrong_type_is_said(value: object) -> None:
    with pytest.raises(InputError, match="'hidden_size' must be a whole number above 0"):
        architecture.of({**XLMR, "hidden_size": value})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON, or was cut short"),
        (json.dumps(XLMR)[:60], "not JSON, or was cut short"),
        ("[" * 100_000, "not JSON, or was cut short"),
        ("[1, 2]", "must hold a table of keys, and holds a list"),
        ("{}", "has no 'model_type'"),
        (json.dumps({**XLMR, "num_local_experts": 8}), "mixture of experts"),
        (json.dumps({**XLMR, "model_type": "albert"}), "share their weights"),
        (json.dumps({**XLMR, "num_attention_heads": 7}), "768 by 7"),
    ],
)
def test_a_damaged_config_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        architecture.read(tmp_path)


def test_no_config_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"there is no .*config\.json"):
        architecture.read(tmp_path)
