"""The catalogue: every row is whole, every tag is a language, and what is not known says so."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from isogloss.core import catalogue, lang
from isogloss.core.errors import InputError, MissingError

# Families that the catalogue was asked to have, by a part of their names.
WANTED = (
    "bert-base-multilingual-cased", "xlm-roberta-base", "xlm-roberta-large", "xlm-v-base", "mdeberta-v3-base", "mmBERT-small",
    "mmBERT-base", "glot500-base", "mt5-small", "mt5-base", "mt5-large", "mt5-xl", "mt5-xxl", "nllb-200-distilled-600M",
    "nllb-200-1.3B", "nllb-200-3.3B", "bigscience/bloom", "aya-23-8B", "aya-expanse-8b", "Llama-3.1-8B", "Qwen3-8B",
    "gemma-2-9b", "EuroLLM-9B", "xlm-roberta-large-xnli", "paraphrase-multilingual-MiniLM-L12-v2", "multilingual-e5-base",
    "isogloss/mini", "hosted/claude", "hosted/gpt",
)  # fmt: skip


def test_what_was_asked_for_is_there() -> None:
    names = list(catalogue.models())
    assert [part for part in WANTED if not any(name.endswith(part) for name in names)] == []


def test_every_row_is_whole() -> None:
    for name, model in catalogue.models().items():
        assert model.source, name
        assert model.kind in ("encoder", "decoder", "encoder-decoder", "hosted"), name
        assert (model.arch is None) == model.hosted, name
        if model.languages is None:
            assert "languages" in model.unsure or model.hosted, f"{name} has no list of languages and does not say so"
        if model.commercial is None and not model.hosted:
            assert "licence" in model.unsure, f"nobody could tell the licence of {name}, and it does not say so"
        if not model.hosted:
            assert model.context, name
            assert model.tokenizer_kind in ("unigram", "bpe", "wordpiece"), name
        if model.xnli is not None:
            assert model.xnli_source, name


def test_every_language_is_a_tag_of_ours_and_lists_are_lists() -> None:
    lists = tomllib.loads((catalogue.FOLDER / "languages.toml").read_text(encoding="utf-8"))
    used = {
        row["languages"]
        for row in tomllib.loads((catalogue.FOLDER / "models.toml").read_text(encoding="utf-8"))["model"]
    }
    assert set(lists) == used - {""}
    for name, own in lists.items():
        tags = own["tags"].split()
        assert own["source"], name
        assert len(set(tags)) == len(tags), f"{name} names a language twice"
        wrong = [tag for tag in tags if lang.resolve(tag).tag != tag]
        assert wrong == [], name


def test_lists_that_are_known() -> None:
    """Facts that a plan rests on and that are often said wrongly."""
    xlmr, mbert = catalogue.get("xlm-roberta-base"), catalogue.get("bert-base-multilingual-cased")
    assert xlmr.covers("amh_Ethi") == "yes"
    assert xlmr.covers("mlt_Latn") == "no"
    assert xlmr.covers("yor_Latn") == "no"
    assert mbert.covers("yor_Latn") == "yes"
    assert mbert.covers("amh_Ethi") == "no"
    assert xlmr.covers("srp_Latn") == "other script"
    assert len(catalogue.get("nllb-200-3.3B").languages or ()) > 190
    assert len({tag[:3] for tag in catalogue.get("aya-23-8B").languages or ()}) == 23  # Chinese in two scripts


def test_a_name_without_its_owner_will_do_and_a_typo_is_answered() -> None:
    assert catalogue.get("xlm-roberta-base").name == "FacebookAI/xlm-roberta-base"
    with pytest.raises(InputError, match=r"did you mean '.*xlm-roberta-base'"):
        catalogue.get("xlm-robrta-base")


def test_any_other_model_by_its_config(tmp_path: Path) -> None:
    config = {"model_type": "bert", "vocab_size": 900, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
              "intermediate_size": 128, "max_position_embeddings": 128}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    found = catalogue.of_folder(tmp_path)
    assert (found.kind, found.context, found.commercial) == ("encoder", 128, None)
    assert found.covers("eng_Latn") == "unknown"
    (tmp_path / "config.json").unlink()
    with pytest.raises(MissingError):
        catalogue.of_folder(tmp_path)
