"""train-langid: a language that the packaged identifier lacks, learned from a file, and used by the step."""

from __future__ import annotations

import json
import random
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from isogloss.cli import app
from isogloss.core import identify
from isogloss.core.errors import DamagedError, DataError, PlaceError
from isogloss.core.identify import learning
from isogloss.stages.step import step
from isogloss.stages.train_langid import table, train_langid

WORDS = {
    "mri_Latn": "ko te rangi tū he kāinga nui mō ngā tamariki ka haere ahau ki moana inā whare mahi kai tāne wāhine katoa",
    "haw_Latn": "ʻo ka lā nui he hale no nā keiki e hele ana au i ke kai a me ka hana o nā kāne wahine apau loa maikaʻi",
    "zgh_Tfng": "ⴰⵣⵓⵍ ⴼⵍⵍⴰⵡⵏ ⵜⴰⵎⴰⵣⵉⵖⵜ ⵜⴰⵎⵓⵔⵜ ⴰⴽⴰⵍ ⴰⵎⴰⵏ ⵜⴰⴷⴷⴰⵔⵜ ⴰⵔⴳⴰⵣ ⵜⴰⵎⵖⴰⵔⵜ ⵉⴷⵔⵉⵎⵏ ⴰⵙⵙ ⵉⴹ",
}
ENGLISH = [
    f"The doctor will see you in the clinic near the {place} tomorrow."
    for place in ["station", "river", "market", "school", "hotel"]
]


def texts(tag: str, n: int, seed: int = 0) -> list[str]:
    rng = random.Random(f"{tag}{seed}")
    return [" ".join(rng.choices(WORDS[tag].split(), k=12)) for _ in range(n)]


def write(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return str(path)


@pytest.fixture
def file(tmp_path: Path) -> str:
    rows: list[dict[str, object]] = [
        {"text": text, "lang": tag, "source": "field|notes", "license": "CC0"}
        for tag in WORDS
        for text in texts(tag, 120)
    ]
    rows += [{"text": text, "lang": "en"} for text in ENGLISH]
    rows += [{"text": text, "lang": "smo"} for text in texts("haw_Latn", 5, 3)]  # too few
    rows += [{"text": text, "lang": "mri", "split": "test"} for text in texts("mri_Latn", 30, 9)]
    rows += [
        {"text": "привет мир", "lang": "mri"},
        {"text": "12:30", "lang": "mri"},
        {"text": None, "lang": "mri"},
        {"lang": "mri"},
    ]
    return write(tmp_path / "own.jsonl", rows)


def test_it_learns_what_the_packaged_one_lacks(file: str, tmp_path: Path) -> None:
    made = train_langid(file, tmp_path / "mine")
    assert made.learned == dict.fromkeys(WORDS, 120) and made.left_out == {"smo_Latn": 5}
    assert made.n_langs == len(identify.packaged().tags) + 3
    judged = {row["lang"]: row for row in made.judged}
    assert all(judged[tag]["f1_text"] > 0.95 for tag in WORDS)
    assert judged["eng_Latn"]["learned"] is False
    said = " ".join(made.notes)
    assert "split test" in said and "not in the script of its language" in said and "smo_Latn 5" in said
    assert "eng_Latn already" in said
    model = identify.ngrams(tmp_path / "mine")
    new = [(tag, text) for tag in WORDS for text in texts(tag, 20, 5)]
    named = model.read([text for _, text in new] + ENGLISH).named()
    assert sum(a == b for a, (b, _) in zip(named, new, strict=False)) >= 58
    assert named[60:] == ["eng_Latn"] * 5, "what the base knows is still known"
    card = (tmp_path / "mine" / "README.md").read_text("utf-8")
    assert (
        "| mri_Latn | 120 | field\\|notes | CC0 |" in card
        and "CC-BY-SA-4.0" in (tmp_path / "mine" / "langid.json").read_text()
    )
    assert table(made)[1][0].split()[0] in judged


def test_it_is_judged_with_the_doubt_that_it_reads_with(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "DOUBT", (50.0, 0.0))
    judged = {row["lang"]: row for row in train_langid(file, tmp_path / "mine").judged}
    assert all(judged[tag]["unknown_text"] == judged[tag]["unknown_if_left_out_text"] == 1.0 for tag in WORDS)


def test_the_step_reads_with_it(file: str, tmp_path: Path) -> None:
    train_langid(file, tmp_path / "mine")
    rows: list[dict[str, object]] = [{"text": text} for text in texts("mri_Latn", 10, 5)]
    rows += [{"text": text, "lang": "eng_Latn"} for text in texts("mri_Latn", 10, 6)]
    found = step(
        "langid", Path(write(tmp_path / "new.jsonl", rows)), {"model": tmp_path / "mine"}, out=tmp_path / "out"
    )
    assert found.n_dropped == 10
    kept = pl.read_parquet(tmp_path / "out" / "kept.parquet")
    assert kept["lang"].to_list() == ["mri_Latn"] * 10


def test_alone_it_knows_no_others(file: str, tmp_path: Path) -> None:
    made = train_langid(file, tmp_path / "mine", alone=True)
    assert identify.ngrams(tmp_path / "mine").tags == tuple(sorted(WORDS)) and made.base is None
    again = train_langid(file, tmp_path / "mine", alone=True)
    assert again == made, "equal text, equal identifier; a folder of ours may be replaced"


def test_a_second_is_added_to_the_first(file: str, tmp_path: Path) -> None:
    rows = [{"text": text, "lang": "mri"} for text in texts("mri_Latn", 60)]
    train_langid(write(tmp_path / "one.jsonl", [*rows]), tmp_path / "one")  # type: ignore[list-item]
    made = train_langid(file, tmp_path / "two", base=tmp_path / "one")
    assert set(made.learned) == {"haw_Latn", "zgh_Tfng"} and made.base == "one"
    assert "mri_Latn" in identify.ngrams(tmp_path / "two").tags


@pytest.mark.parametrize(
    "content, words",
    [
        ("", "no text that can be learned from"),
        ('{"text": "hello", "lang": "eng"}\n' * 3, "no language that isogloss lacks"),
        ('{"text": "ko te rangi", "lang": "mri"}\n' * 99, "mri_Latn has 1; 40 are needed"),
        ('{"text": "ko te rangi"}\n', "no language"),
        ('{"text": "привет", "lang": "mri"}\n', "not in the script"),
    ],
)
def test_what_cannot_be_learned_is_said(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "x.jsonl").write_text(content, "utf-8")
    with pytest.raises(DataError, match=words):
        train_langid(str(tmp_path / "x.jsonl"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_places(file: str, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.doc").touch()
    with pytest.raises(PlaceError, match="no folder of an identifier"):
        train_langid(file, tmp_path / "full")
    with pytest.raises(DataError, match="is no folder of an identifier"):
        train_langid(file, tmp_path / "out", base=tmp_path / "full")
    train_langid(file, tmp_path / "mine")
    weights = tmp_path / "mine" / "langid.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7] + b"damaged")
    with pytest.raises(DamagedError, match="not what was written"):
        identify.ngrams(tmp_path / "mine")
    (tmp_path / "mine" / "langid.json").write_text("{}")
    with pytest.raises(DamagedError, match="cannot be read"):
        identify.ngrams(tmp_path / "mine")


def test_on_the_command_line(file: str, tmp_path: Path) -> None:
    out = str(tmp_path / "mine")
    told = CliRunner().invoke(app, ["train-langid", file, "--out", out, "--json"])
    assert told.exit_code == 0
    found = json.loads(told.stdout)
    assert found["learned"]["mri_Latn"] == 120 and found["out"] == out
    shown = CliRunner().invoke(app, ["train-langid", file, "--out", out])
    assert "mri_Latn" in shown.stdout and "F1" in shown.stdout and shown.exit_code == 0
