"""predict: the same answers as evaluation gave, whatever the form of the file; bad rows are named, not swallowed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import isogloss
from isogloss.core import files
from isogloss.core.corpus import Corpus
from isogloss.core.errors import DataError, InputError, MissingError
from isogloss.stages import chain
from places import LABELS, LANGS, Said, corpus_rows, write_jsonl


@pytest.fixture(scope="module")
def run(tmp_path_factory: Any) -> Path:
    """One evaluated run for all tests here."""
    folder = tmp_path_factory.mktemp("predict")
    write_jsonl(folder / "raw.jsonl", corpus_rows())
    value = {
        "name": "small",
        "langs": list(LANGS),
        "model": {"use": "ngram", "n_max": 3},
        "data": {"raw": [str(folder / "raw.jsonl")], "steps": ["standardise"], "split": {"dev": 0.2, "test": 0.3}},
        "evaluate": {"resamples": 200, "baselines": []},
    }
    return chain.run(value, runs=folder / "runs").folder


def answers(said: Said) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.out.splitlines()]


def test_the_same_answers_as_evaluation(run: Path, cli: Callable[..., Said], tmp_path: Path) -> None:
    asked = Corpus(run / "corpus").frame(["id", "lang", "text"], ["dev", "test"])
    expected = files.read_parquet(run / "predictions" / "model.parquet").filter(pl.col("split") != "train")
    asked.with_columns("\u00a0 " + pl.col("text") + "\r\n").write_ndjson(tmp_path / "a.jsonl")
    asked.write_csv(tmp_path / "a.csv")
    asked.write_parquet(tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.csv", "a.parquet"):
        found = answers(cli("predict", run, name))
        assert [row["id"] for row in found] == asked["id"].to_list()
        assert [row["label"] for row in found] == expected["pred"].to_list()
        assert [row["confidence"] for row in found] == pytest.approx(expected["confidence"].to_list(), abs=1e-4)
        assert all(set(row["probabilities"]) == set(LABELS) for row in found)
    model = isogloss.load(run)
    assert model.predict(asked["text"].to_list(), lang=asked["lang"].to_list()) == expected["pred"].to_list()


def test_plain_text_needs_a_language_or_detection(run: Path, cli: Callable[..., Said], tmp_path: Path) -> None:
    rows = corpus_rows()[::9]
    (tmp_path / "a.txt").write_text("".join(row["text"] + "\n" for row in rows), encoding="utf-8")
    refused = cli("predict", run, "a.txt")
    assert refused.code == 2 and "a.txt:1 has no language; give --lang TAG" in refused.err
    assert {row["lang"] for row in answers(cli("predict", run, "a.txt", "--lang", "sw"))} == {"swh_Latn"}
    found = answers(cli("predict", run, "a.txt", "--lang", "detect"))
    truth = {f"a.txt:{i}": row["lang"] for i, row in enumerate(rows, start=1)}
    assert sum(truth[row["id"]] == row["lang"] for row in found) > 0.85 * len(rows)
    assert "no language we know" in cli("predict", run, "a.txt", "--lang", "klingonese").err


def test_bad_rows_are_named_and_the_others_answered(run: Path, cli: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "Hello", "lang": "en"}\n{"text"\n{"text": "", "lang": "en"}\n')
    said = cli("predict", run, "a.jsonl")
    assert said.code == 0 and len(answers(said)) == 1
    assert "a.jsonl:2 is set aside: broken JSON" in said.err and "a.jsonl:3 is set aside: empty text" in said.err
    document = cli("predict", run, "a.jsonl", "--json").json
    assert [("error" in row) for row in document].count(True) == 2 and len(document) == 3
    (tmp_path / "b.jsonl").write_text("nothing good\n")
    assert cli("predict", run, "b.jsonl").code == 2


def test_what_is_assumed_is_said(run: Path, cli: Callable[..., Said], tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "Zdravo", "lang": "sr"}, {"text": "Hallo", "lang": "deu"}] * 2)
    said = cli("predict", run, "a.jsonl")
    assert len(answers(said)) == 4
    assert said.err.count("it is read as srp_Cyrl") == 1
    assert said.err.count("neither trained nor evaluated on deu_Latn") == 1


@pytest.mark.parametrize(
    ("body", "name", "words"),
    [
        ("id,body\n1,x\n", "a.csv", "no column 'text' (its columns: id, body)"),
        (None, "a.csv", "no raw input a.csv"),
        ("x", "a.docx", "unknown file ending"),
    ],
)
def test_files_that_cannot_be_used(
    run: Path, cli: Callable[..., Said], tmp_path: Path, body: str | None, name: str, words: str
) -> None:
    if body is not None:
        (tmp_path / name).write_text(body)
    said = cli("predict", run, name, "--json")
    assert said.code == 2 and words in said.err and words in said.json["error"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt"])
def test_an_empty_file_has_no_answers(run: Path, cli: Callable[..., Said], tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    said = cli("predict", run, name, "--lang", "en", "--json")
    assert (said.code, said.json) == (0, [])


def test_answers_in_a_file(run: Path, cli: Callable[..., Said], tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "Hello", "lang": "en"}] * 3)
    said = cli("predict", run, "a.jsonl", "--out", "out/b.jsonl", "--text", "text")
    assert said.code == 0 and said.out == ""
    assert len((tmp_path / "out" / "b.jsonl").read_text().splitlines()) == 3


def test_the_python_interface(run: Path) -> None:
    model = isogloss.load(run)
    assert model.predict([], lang="en") == []
    assert model.predict(["My medicine makes me dizzy."], lang="English") == ["drug"]
    for texts, lang, words in (
        ("one", "en", "takes a list"),
        (["a"], None, "say the language"),
        (["a", "b"], ["en"], "2 texts and 1 languages"),
        (["a", 3], "en", "text 1 is a int"),
        (["a"], "klingonese", "no language we know"),
    ):
        with pytest.raises(DataError, match=words):
            model.predict(texts, lang=lang)  # type: ignore[arg-type]


def test_what_is_no_model(tmp_path: Path, run: Path) -> None:
    with pytest.raises(MissingError, match="there is no"):
        isogloss.load(tmp_path / "nothing")
    with pytest.raises(MissingError, match="holds no trained model"):
        isogloss.load(tmp_path)


@pytest.mark.parametrize("name", ["isogloss.json", "ngram.json", "ngram.safetensors"])
@pytest.mark.parametrize("damage", ["empty", "cut", "other"])
def test_a_damaged_model_is_one_sentence(run: Path, tmp_path: Path, name: str, damage: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for path in (run / "model").iterdir():
        body = path.read_bytes()
        if path.name == name:
            body = {"empty": b"", "cut": body[: len(body) // 2], "other": b"{}"}[damage]
        (folder / path.name).write_bytes(body)
    with pytest.raises(InputError) as caught:
        isogloss.load(folder)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)
