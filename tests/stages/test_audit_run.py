"""The audit in a run: before the first step, with limits that stop it; a file in the run and a part of the report."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import tiny
import tokenizers_here as made
from isogloss.core import files, recipe
from isogloss.core.errors import RecipeError, Refused
from isogloss.core.run import Run
from isogloss.stages import chain
from places import Place, Said

LIMIT = {"at": "train", "every_lang": {"fertility": "<= 0.5"}}
ROOMY = {"at": "train", "every_lang": {"fertility": "<= 500", "unknown": "<= 0.9"}}


def _recipe(at: Path, **sections: Any) -> Any:
    """The tiny recipe with two steps: what is looked at comes before them."""
    return tiny.recipe(at, train={"steps": 2, "eval_every": 2, **sections.pop("train", {})}, **sections)


def _advance(value: Any, at: Path, upto: str = "train", **options: Any) -> Run:
    return chain.advance(value, upto, runs=at / "runs", **options)[1]


def test_a_limit_stops_the_run_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="before the first step: ") as refused:
        _advance(_recipe(tmp_path, gate=[LIMIT]), tmp_path)
    said = str(refused.value)
    assert "tha_Thai: fertility 0.8" in said and "is above 0.5" in said
    run = Run(tmp_path / "runs" / "tiny")
    assert not run.path("checkpoints").exists() and not run.path("model").exists() and run.stamped("train") is None
    assert run.stamped("audit") is not None
    # again: it is not audited twice, and refused again
    before = run.path("audit.json").stat().st_mtime_ns
    with pytest.raises(Refused):
        _advance(_recipe(tmp_path, gate=[LIMIT]), tmp_path)
    assert run.path("audit.json").stat().st_mtime_ns == before
    # a limit that holds lets it go on, with the same audit and the same tokenizer
    vocabulary = files.digest(run.path("start", "tokenizer", "tokenizer.json"))
    _advance(_recipe(tmp_path, gate=[ROOMY]), tmp_path)
    assert run.stamped("train") is not None
    assert run.path("audit.json").stat().st_mtime_ns == before
    assert files.digest(run.path("start", "tokenizer", "tokenizer.json")) == vocabulary


def test_the_command_ends_with_1_and_reasons_by_language(cli: Callable[..., Said], tmp_path: Path) -> None:
    value = _recipe(tmp_path, gate=[LIMIT])
    (tmp_path / "r.toml").write_text(value.to_toml())
    said = cli("run", "r.toml", "--json")
    assert said.code == 1
    assert json.loads(said.out)["exit_code"] == 1 and "tha_Thai: fertility" in json.loads(said.out)["error"]


def test_what_nobody_can_tell_does_not_stop_it(tmp_path: Path) -> None:
    """No premium without groups; the run goes on, and it is said."""
    say, heard = tiny.saying()
    _advance(_recipe(tmp_path, gate=[{"at": "train", "every_lang": {"premium": "<= 2"}}]), tmp_path, say=say)
    assert any("the gate at train cannot tell" in line and "premium" in line for line in heard)
    assert any("gate      at train: goes on" in line for line in heard)


@pytest.mark.slow
def test_a_vocabulary_that_the_recipe_changed_is_made_anew(tmp_path: Path) -> None:
    """A run that a gate stopped has a tokenizer already; with another size in the recipe it is another one."""
    letters = random.Random(3)
    rows = [row | {"text": row["text"] + " " + "".join(letters.choices("abcdefgh", k=7))} for row in tiny.sentences(12)]
    with pytest.raises(Refused):
        _advance(_recipe(tmp_path, rows=rows, gate=[LIMIT]), tmp_path)
    wider = {"use": "encoder", "scratch": {"layers": 2, "width": 16, "heads": 2, "vocab": 620}}
    run = _advance(_recipe(tmp_path, rows=rows, gate=[ROOMY], model=wider), tmp_path)
    n = len(json.loads(run.path("start", "tokenizer", "tokenizer.json").read_text())["model"]["vocab"])
    audited = files.read_json(run.path("audit.json"))["tokenizer"]["n_vocab"]
    trained = json.loads(run.path("model", "config.json").read_text())["vocab_size"]
    assert n == audited == trained == 620


def test_a_model_of_a_folder_is_audited_with_its_own_tokenizer(tmp_path: Path) -> None:
    folder = tiny.folder("xlm-roberta")
    value = tiny.recipe(
        tmp_path, model={"use": "encoder", "name": str(folder)}, task={"use": "classify", "max_length": 40}
    )
    say, heard = tiny.saying()
    run = _advance(value, tmp_path, say=say)
    found = files.read_json(run.path("audit.json"))
    assert found["tokenizer"]["n_vocab"] == len(tiny.tokenizer()) and found["tokenizer"]["max_length"] == 40
    assert {row["lang"] for row in found["langs"]} == set(tiny.WORDS)
    assert any(line.startswith("audit     bpe") for line in heard)
    scores = pl.read_parquet(run.path("audit.parquet"))
    assert set(scores["system"]) == {"tokenizer"} and set(scores["by"]) == {"lang", "script"}
    assert run.cost()["audit"] > 0


def test_languages_with_test_rows_only_are_audited_and_labels_are_not_read(tmp_path: Path) -> None:
    rows = [row | ({"split": "test"} if row["lang"] == "tha_Thai" else {}) for row in tiny.sentences(12)]
    run = _advance(_recipe(tmp_path, rows=rows), tmp_path)
    found = {row["lang"]: row["n"] for row in files.read_json(run.path("audit.json"))["langs"]}
    assert found["tha_Thai"] == 72 and found["eng_Latn"] == 54  # of the others train and dev


@pytest.mark.slow
def test_damaged_it_is_made_anew(tmp_path: Path) -> None:
    run = _advance(_recipe(tmp_path), tmp_path)
    whole = run.path("audit.json").read_bytes()
    run.path("audit.json").write_bytes(whole[:100])
    _advance(_recipe(tmp_path), tmp_path)
    assert json.loads(run.path("audit.json").read_bytes())["langs"] == json.loads(whole)["langs"]


@pytest.mark.slow
def test_the_report_shows_it(tmp_path: Path) -> None:
    run = _advance(_recipe(tmp_path, gate=[ROOMY]), tmp_path, upto="run")
    text = run.path("REPORT.md").read_text(encoding="utf-8")
    assert "## Tokenizer, before the first step" in text and "| tha_Thai Thai |" in text
    page = run.path("report.html").read_text(encoding="utf-8")
    assert '<section id="tokenizer">' in page and 'href="#tokenizer"' in page


def test_a_family_without_a_tokenizer_refuses_limits_when_the_recipe_is_checked(place: Place) -> None:
    with pytest.raises(RecipeError, match=r"gate\.0\.at: the family 'ngram' reads text without a tokenizer"):
        recipe.read(place.with_(gate=[ROOMY]).recipe)


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        ({"at": "train", "every_lang": {"fertilty": "<= 4"}}, "did you mean 'fertility'"),
        ({"at": "train", "mean": {"fertility": "<= 4"}}, "write it in every_lang"),
        ({"at": "train", "every_lang": {"fertility": "4"}}, "is not a condition"),
        ({"at": "train", "every_lang": {"macro_f1": ">= 0.5"}}, "the audit of a tokenizer has no 'macro_f1'"),
        ({"at": "train", "beats": {"majority": "accuracy"}}, "nothing to beat at train"),
        ({"at": "train"}, "the gate asks nothing"),
        ({"at": "tran", "every_lang": {"unknown": "<= 0.1"}}, "did you mean 'train'"),
    ],
)  # fmt: skip
def test_what_a_gate_at_train_may_ask(gate: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=says):
        _recipe(tmp_path, gate=[gate])


def test_n_may_be_asked_too(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="n 54 is below 1000"):
        _advance(_recipe(tmp_path, gate=[{"at": "train", "every_lang": {"n": ">= 1000"}}]), tmp_path)


def test_an_ngram_run_has_no_audit(place: Place) -> None:
    run = chain.advance(place.recipe, "run", runs=place.runs)[1]
    assert not run.path("audit.json").exists() and "Tokenizer" not in run.path("REPORT.md").read_text("utf-8")


def test_a_broken_tokenizer_is_named_before_training(tmp_path: Path) -> None:
    """Amharic to a tokenizer that has seen English."""
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path / "model"
    import shutil

    shutil.copytree(tiny.folder("bert"), folder)
    PreTrainedTokenizerFast(
        tokenizer_object=made.bpe(made.ENGLISH, 300),
        unk_token="<unk>",
        pad_token="<unk>",
        cls_token="<unk>",
        sep_token="<unk>",
    ).save_pretrained(folder)
    rows = [
        {"text": text, "lang": lang, "label": "ab"[i % 2], "group": f"{i}", "split": ("train", "dev", "test")[i % 3]}
        for lang, texts in (("eng_Latn", made.ENGLISH * 2), ("amh_Ethi", made.AMHARIC * 2))
        for i, text in enumerate(texts)
    ]
    rows = [{**row, "id": f"{k}", "text": f"{row['text']} {k}"} for k, row in enumerate(rows)]
    gate = [{"at": "train", "every_lang": {"lost": "<= 0.3"}}]
    value = tiny.recipe(
        tmp_path, rows=rows, gate=gate, model={"use": "encoder", "name": str(folder)}, train={"steps": 2}
    )
    with pytest.raises(Refused, match=r"amh_Ethi: lost 0\.\d+ \[.*is above 0\.3") as refused:
        _advance(value, tmp_path)
    assert "eng_Latn: lost" not in str(refused.value)
