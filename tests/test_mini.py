"""isogloss/mini, the model in the package: what its card says of size, reading and training data holds."""

from __future__ import annotations

import json
import sys
import unicodedata
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import isogloss
from isogloss.nn import hub

FOLDER = Path(isogloss.__file__).parent / "assets" / "mini"
CLINIC = Path(isogloss.__file__).parent / "assets" / "clinic"


@pytest.fixture(scope="module")
def ledger() -> dict:
    return json.loads((FOLDER / "LEDGER.json").read_text(encoding="utf-8"))


def test_it_is_small_and_holds_no_pickle() -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 20_000_000
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".md"}


def test_transformers_reads_it_with_no_code_of_ours() -> None:
    import torch
    from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

    with hub.quiet():
        net, tokenizer = AutoModel.from_pretrained(FOLDER), AutoTokenizer.from_pretrained(FOLDER)
        assert AutoModelForSequenceClassification.from_pretrained(FOLDER, num_labels=3).config.num_labels == 3
    assert net.dtype == torch.float32
    texts = ["The bus is late.", "Basi limechelewa."]
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = net(**{k: inputs[k] for k in ("input_ids", "attention_mask")}).last_hidden_state
    mask = inputs["attention_mask"].unsqueeze(-1)
    mean = ((states * mask).sum(1) / mask.sum(1)).numpy()
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(isogloss.embed(texts), mean, atol=1e-5)


def test_sentence_transformers_reads_it_with_its_pooling() -> None:
    theirs = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    texts = ["The bus is late.", "Basi limechelewa.", "รถบัสมาสาย"]
    with hub.quiet():
        vectors = theirs.SentenceTransformer(str(FOLDER)).encode(texts, show_progress_bar=False)
    np.testing.assert_allclose(isogloss.embed(texts), vectors, atol=1e-5)


def test_no_text_is_unknown() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    every = [chr(c) for c in range(32, sys.maxunicode + 1, 97) if unicodedata.category(chr(c)) not in ("Cs", "Cn")]
    ids = tokenizer(" ".join(every))["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer("१२ ٣٤ 56")["input_ids"] == tokenizer("12 34 56")["input_ids"]


def test_translations_lie_together_far_above_chance() -> None:
    """Short messages are not what it was trained on; in its languages it finds many among 150 all the same."""
    rows = pl.concat([pl.read_ndjson(path) for path in sorted(CLINIC.glob("*.jsonl"))]).sort("lang", "group")
    vectors = isogloss.embed(rows["text"].to_list())
    langs = rows["lang"].to_numpy()
    english = vectors[langs == "eng_Latn"]
    for lang in ("spa_Latn", "ind_Latn", "rus_Cyrl"):
        found = (english @ vectors[langs == lang].T).argmax(1) == np.arange(150)
        assert found.mean() > 20 / 150, (lang, found.mean())


def test_the_ledger_adds_up(ledger: dict) -> None:
    look = ledger["look"]
    assert (look["rows_found"], look["of_them_trained_on"]) == (0, [])
    assert look["trained_rows"] == sum(ledger["trained_rows_by_lang"].values())
    assert look["trained_rows"] == sum(ledger["trained_rows_by_source"].values())
    for row in ledger["totals"]:
        assert row["n_in"] - row["n_dropped"] == row["n_out"]


def test_no_measured_content_was_trained_on(ledger: dict, shared: Path) -> None:
    """By the contents that the ledger names, against the packs, in any language."""
    packs = shared
    sib = pl.read_parquet(packs / "sib200.parquet")
    measured = set(sib.filter(pl.col("split") != "train")["text"].str.strip_chars().str.to_lowercase())
    flores = pl.read_parquet(packs / "flores200.parquet").filter(
        pl.col("group").is_in(ledger["contents_trained_on"]["flores"])
    )
    assert flores.height > 40_000
    assert not measured & set(flores["text"].str.strip_chars().str.to_lowercase())
    groups = set(sib.filter(pl.col("split") != "train")["group"])
    assert not groups & set(ledger["contents_trained_on"]["sib200"])


def test_the_card_says_what_the_ledger_says(ledger: dict) -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for n in ledger["trained_rows_by_source"].values():
        assert f"{n:,}" in card
    for lang in ledger["trained_rows_by_lang"]:
        if lang != "eng_Latn":
            assert lang in card or lang in ("arz_Arab",), lang
