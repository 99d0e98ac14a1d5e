"""embed: a file to unit vectors, and every way in which it cannot be one sentence and exit code 2."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import isogloss
import tiny
from isogloss.core.errors import DataError
from places import Said, shell, write_jsonl

Cli = Callable[..., Said]
LINES = ["bread soup", "rain sun", "mvua jua", "ขนมปัง"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model by a short name in the folder of the test."""
    (tmp_path / "m").symlink_to(tiny.sentence_folder())
    return tmp_path / "m"


def test_lines_to_vectors_and_what_they_are(cli: Cli, model: Path, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("\n".join(LINES) + "\n", encoding="utf-8")
    said = cli("embed", "--model", "m", "--in", "lines.txt", "--out", "v.npy", "--json")
    assert said.code == 0, said.err
    vectors = np.load(tmp_path / "v.npy")
    assert vectors.dtype == np.float32 and vectors.shape == (4, 32)
    assert np.allclose(vectors, isogloss.embed(LINES, str(model)), atol=1e-6)
    facts = json.loads((tmp_path / "v.json").read_text())
    assert said.json == {"out": "v.npy", **facts}
    assert (facts["n"], facts["n_cut"], facts["dimension"], facts["pooling"]) == (4, 0, 32, "mean")
    assert "4 unit vectors of 32 dimensions" in cli("embed", "--model", "m", "--in", "lines.txt", "--out", "w.npy").out


def test_every_format_gives_the_same_vectors(cli: Cli, model: Path, tmp_path: Path) -> None:
    frame = pl.DataFrame({"words": LINES, "lang": ["what?"] * 4})
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_csv(tmp_path / "a.csv")
    frame.write_ndjson(tmp_path / "a.jsonl")
    made = []
    for name in ("a.parquet", "a.csv", "a.jsonl"):
        said = cli("embed", "--model", "m", "--in", name, "--text", "words", "--out", f"{name}.npy")
        assert said.code == 0, said.err
        made.append(np.load(tmp_path / f"{name}.npy"))
    assert all(np.array_equal(made[0], other) for other in made[1:])


def test_standard_input(model: Path, tmp_path: Path) -> None:
    import subprocess

    from places import command

    given = "\ufeffbread soup\r\nrain sun\r\nmvua jua".encode()
    arguments = command("embed", "--model", "m", "--in", "-", "--out", "v.npy")
    done = subprocess.run(arguments, cwd=tmp_path, input=given, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert np.allclose(np.load(tmp_path / "v.npy"), isogloss.embed(LINES[:3], str(model)), atol=1e-6)
    for bad, words in ((b"a\n\nb\n", b"standard input:2: empty text"), (b"a\n\xff\n", b"standard input:2: not UTF-8")):
        done = subprocess.run(arguments, cwd=tmp_path, input=bad, capture_output=True, timeout=120)
        assert done.returncode == 2 and words in done.stderr


@pytest.mark.parametrize("body", ["bread\n\nsoup\n", "bread\n   \nsoup\n", "bread\n\n\nsoup\n"])
def test_an_empty_line_is_named_with_file_and_line(cli: Cli, model: Path, tmp_path: Path, body: str) -> None:
    (tmp_path / "lines.txt").write_text(body)
    said = cli("embed", "--model", "m", "--in", "lines.txt", "--out", "v.npy")
    assert said.code == 2 and said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith("isogloss: lines.txt:2: empty text") and not (tmp_path / "v.npy").exists()


def test_a_text_that_the_steps_of_training_leave_empty(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "bread"}, {"text": "\u200b"}])
    made = tiny.recipe(tmp_path, data={"raw": [str(tmp_path / "rows.jsonl")], "steps": ["standardise"]})
    tiny.train(made, tmp_path)
    said = cli("embed", "--model", "tiny", "--in", "a.jsonl", "--out", "v.npy")
    assert said.code == 2 and "a.jsonl:2: the text is empty after the text steps of runs/tiny" in said.err


def test_a_run_is_read_without_its_head_and_rewrites_texts_as_in_training(cli: Cli, tmp_path: Path) -> None:
    from isogloss.nn.embedder import Embedder

    made = tiny.recipe(tmp_path, data={"raw": [str(tmp_path / "rows.jsonl")], "steps": ["standardise"]})
    run, _ = tiny.train(made, tmp_path)
    (tmp_path / "a.txt").write_text("bread\u00a0 \tsoup\u200b\n")
    for name in ("tiny", "runs/tiny", "runs/tiny/model"):
        said = cli("embed", "--model", name, "--in", "a.txt", "--out", "v.npy")
        assert said.code == 0, said.err
        bare = Embedder.load(str(run.path("model"))).embed(["bread soup"])
        assert np.allclose(np.load(tmp_path / "v.npy"), bare, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "nobody/nothing", "--in", "a.txt", "--out", "v.npy"], "the hub cannot be reached"),
        (["--model", "./gone", "--in", "a.txt", "--out", "v.npy"], "there is no model folder"),
        (["--model", "isogloss/maxi", "--in", "a.txt", "--out", "v.npy"], "the package has no model 'isogloss/maxi'"),
        (["--model", "empty", "--in", "a.txt", "--out", "v.npy"], "is no model: it has no config.json"),
        (["--model", "m", "--in", "gone.txt", "--out", "v.npy"], "there is no raw input gone.txt"),
        (["--model", "m", "--in", "none.txt", "--out", "v.npy"], "none.txt has no rows"),
        (["--model", "m", "--in", "a.txt", "--out", "v.txt"], "vectors are written as .npy"),
        (["--model", "m", "--in", "a.csv", "--out", "v.npy"], "no column 'text'"),
        (["--model", "m", "--in", "bad.txt", "--out", "v.npy"], "bad.txt:2: not text in the file's encoding"),
        (["--modle", "m", "--in", "a.txt", "--out", "v.npy"], "No such option"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    cli: Cli, model: Path, tmp_path: Path, monkeypatch: Any, arguments: list[str], words: str
) -> None:
    monkeypatch.setattr("isogloss.nn.hub._reachable", lambda endpoint: False)
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").write_text("bread\n")
    (tmp_path / "none.txt").write_text("")
    (tmp_path / "bad.txt").write_bytes(b"bread\n\xff\xfe\xff\nsoup\n")
    (tmp_path / "a.csv").write_text("id,words\n1,bread\n")
    said = cli("embed", *arguments)
    assert said.code == 2 and words in said.err and said.err.count("\n") == 1, said.err
    assert not list(tmp_path.glob("v.*"))


def test_no_file_of_the_user_is_written_over(cli: Cli, model: Path, tmp_path: Path) -> None:
    given = '[{"text": "bread"}]'
    (tmp_path / "a.json").write_text(given)
    (tmp_path / "b.txt").write_text("bread\n")
    for name, words in (("a.json", "a.json is what is read"), ("b.txt", "does not tell of vectors")):
        said = cli("embed", "--model", "m", "--in", name, "--out", "a.npy")
        assert said.code == 2 and words in said.err and said.err.count("\n") == 1, said.err
    assert (tmp_path / "a.json").read_text() == given and not (tmp_path / "a.npy").exists()
    for _ in range(2):  # what an embedding wrote itself is replaced
        assert cli("embed", "--model", "m", "--in", "b.txt", "--out", "b.npy").code == 0


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_vectors_of_any_finite_length_have_a_direction(size: float) -> None:
    from isogloss.stages.embed import unit

    assert np.allclose(unit(np.full((2, 4), size, np.float32), "x"), 0.5)


def test_n_grams_have_no_vectors(cli: Cli, place: Any, tmp_path: Path) -> None:
    assert cli("run", "recipe.toml").code == 0
    (tmp_path / "a.txt").write_text("bread\n")
    said = cli("embed", "--model", "small", "--in", "a.txt", "--out", "v.npy")
    assert said.code == 2 and "the family 'ngram' of runs/small has no vectors" in said.err


def test_a_run_that_is_not_trained_says_so(cli: Cli, place: Any, tmp_path: Path) -> None:
    assert cli("prepare", "recipe.toml").code == 0
    (tmp_path / "a.txt").write_text("bread\n")
    said = cli("embed", "--model", "small", "--in", "a.txt", "--out", "v.npy")
    assert said.code == 2 and "holds no trained model" in said.err


def test_a_folder_without_pooling(cli: Cli, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(tiny.sentence_folder(), tmp_path / "m")
    modules = json.loads((tmp_path / "m" / "modules.json").read_text())
    (tmp_path / "m" / "modules.json").write_text(json.dumps(modules[:1]))
    (tmp_path / "a.txt").write_text("bread\n")
    said = cli("embed", "--model", "m", "--in", "a.txt", "--out", "v.npy", "--json")
    assert said.code == 2 and said.json["exit_code"] == 2 and "m has no pooling" in said.json["error"]


def test_the_api_names_the_position() -> None:
    with pytest.raises(DataError, match="text 1 is empty"):
        isogloss.embed(["bread", " "], str(tiny.sentence_folder()))
    with pytest.raises(DataError, match="text 0 has half a character"):
        isogloss.embed(["a\ud800"], str(tiny.sentence_folder()))
    assert isogloss.embed([], str(tiny.sentence_folder())).shape == (0, 32)


@pytest.mark.slow
def test_a_process_of_its_own(model: Path, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("\n".join(LINES) + "\n", encoding="utf-8")
    said = shell("embed", "--model", "m", "--in", "lines.txt", "--out", "v.npy", cwd=tmp_path)
    assert said.code == 0 and said.err == "" and np.load(tmp_path / "v.npy").shape == (4, 32)
