"""decontaminate: levels, groups, file kinds, and the known overlap of two real packs."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from isogloss.core.errors import DataError, MissingError
from isogloss.core.frames import Frames
from isogloss.parts.steps import decontaminate

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
A = "The clinic on Station Road opens at eight in the morning and the doctor sees children first."
C = "Please bring your insurance card and a list of the medicine that you take every day."


def frame(*rows: tuple[str, str, str | None, str | None]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict.fromkeys(("id", "text", "split", "group"), pl.String), orient="row")


def run(batch: pl.DataFrame, *against: Path, agree: int = 1, **knobs: Any) -> list[str | None]:
    matches = decontaminate.summarise(batch, against=list(against), **knobs)
    after = decontaminate.apply(batch, decontaminate.decide(Frames([matches]), agree=agree).drop("shard"))
    assert after.drop("drop").equals(batch)
    return after["drop"].to_list()


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    path = tmp_path / "bench.txt"
    path.write_text(f"\ufeff{A}\n\n{C}\n", "utf-8")
    return path


def test_levels_are_named(bench: Path) -> None:
    edited = A.replace("Station", "Statiom")
    texts = [
        A,
        "  " + A.upper(),
        A.replace(" ", ", "),
        edited,
        "Another sentence about nothing that is in it.",
        "",
        " ",
    ]
    found = run(frame(*((str(i), text, "train", None) for i, text in enumerate(texts))), bench)
    assert found == [
        "found in bench.txt (verbatim)",
        "found in bench.txt (normalised)",
        "found in bench.txt (punctuation)",
        "found in bench.txt (near, Jaccard 0.87)",
        None,
        None,
        None,
    ]
    assert run(frame(("0", edited, "train", None)), bench, near=1.0, inside=0.0) == [None]


THAI = "คลินิกบนถนนสถานีเปิดเวลาแปดโมงเช้า และคุณหมอตรวจเด็กก่อนผู้ใหญ่ทุกวันยกเว้นวันอาทิตย์"
HAN = "车站路的诊所早上八点开门,医生先给孩子们看病,然后才轮到大人,请大家耐心等待。"


@pytest.mark.parametrize("text", [A, THAI, HAN])
def test_an_evaluation_text_inside_a_longer_one_is_found_and_the_other_way_round(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bench.jsonl"
    filler = {A: C, THAI: "พรุ่งนี้ฝนจะตกหนักทางภาคเหนือ " * 3, HAN: "明天北部地区将有大雨,请注意安全,不要出门。" * 3}[text]
    longer = f"1. {filler}\n\n* {text[:5]} {text} — {filler}"
    pl.DataFrame({"text": [text]}).write_ndjson(path)
    found = ["found in bench.jsonl (n-gram, 1.00 of the shorter)"]
    assert run(frame(("a", longer, "train", None)), path, near=1.0) == found
    assert run(frame(("a", longer, "train", None)), path, near=1.0, inside=0.0) == [None]
    pl.DataFrame({"text": [longer]}).write_ndjson(path)
    assert run(frame(("a", text, "train", None)), path, near=1.0) == found
    assert run(frame(("a", filler[:12], "train", None)), path) == [None], "too short to be told inside another"


def test_a_template_is_no_match(tmp_path: Path) -> None:
    path = tmp_path / "bench.jsonl"
    ask = "Read the question below and answer it in one word, yes or no, and say nothing else at all: is {} a fruit?"
    words = [
        f"{a}{b}" for a in ("ban", "pap", "cir", "man", "gua", "lem", "tom", "pea", "fig", "dat") for b in "abcdefgh"
    ]
    pl.DataFrame({"text": [ask.format(word) for word in words]}).write_ndjson(path)
    row = frame(("a", C + " " + ask.format("kumquat") + " " + A, "train", None))
    assert run(row, path) == [None]
    pl.DataFrame({"text": [ask.format(word) for word in words[:20]]}).write_ndjson(path)
    assert str(run(row, path)[0]).startswith("found in bench.jsonl (n-gram")


def test_rows_of_an_evaluation_file_without_a_text_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "bench.jsonl"
    path.write_text(
        json.dumps({"text": C}) + "\n{}\n" + json.dumps({"text": None}) + "\n" + json.dumps({"text": A}) + "\n"
    )
    assert run(frame(("a", A, "train", None)), path) == ["found in bench.jsonl (verbatim)"]


def test_a_packed_file_is_read_and_a_damaged_one_stops(tmp_path: Path) -> None:
    path = tmp_path / "bench.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps({"text": A}).encode() + b"\n"))
    assert run(frame(("a", A, "train", None)), path) == ["found in bench.jsonl.gz (verbatim)"]
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DataError, match="an evaluation file must be whole"):
        run(frame(("a", A, "train", None)), path)


def test_only_training_rows_go_and_translations_go_with_them(bench: Path) -> None:
    batch = frame(
        ("a", A, "dev", "g1"),
        ("b", "Zahanati hufunguliwa saa mbili.", "train", "g1"),
        ("c", "Zahanati hufunguliwa saa tatu.", "test", "g1"),
        ("d", "Zahanati hufunguliwa saa nne.", "train", None),
        ("e", "Zahanati hufunguliwa saa tano.", "train", "g2"),
        ("f", A, None, None),
    )
    translation = "translation of a row found in bench.txt (verbatim)"
    assert run(batch, bench) == [None, translation, None, None, None, None]
    assert run(batch, bench, agree=2) == [None] * 6
    found = "found in bench.txt (verbatim)"
    two = pl.concat([batch, frame(("g", A.upper(), "train", "g1"))])
    assert run(two, bench, agree=2) == [
        None,
        translation,
        None,
        None,
        None,
        None,
        found.replace("verbatim", "normalised"),
    ]


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".txt"])
def test_reads_every_kind_of_file(tmp_path: Path, suffix: str) -> None:
    table = pl.DataFrame({"n": [1, 2, 3], "text": [C, None, A]})
    path = tmp_path / f"bench{suffix}"
    if suffix == ".parquet":
        table.write_parquet(path)
    elif suffix in (".jsonl", ".ndjson"):
        table.write_ndjson(path)
    elif suffix == ".txt":
        path.write_text(f"{C}\r\n{A}", "utf-8")
    else:
        table.write_csv(path, separator="," if suffix == ".csv" else "\t")
    assert run(frame(("a", A, "train", None)), path) == [f"found in bench{suffix} (verbatim)"]


def test_the_strongest_level_and_the_first_file_are_named(tmp_path: Path, bench: Path) -> None:
    other = tmp_path / "other.jsonl"
    pl.DataFrame({"text": [A.upper()]}).write_ndjson(other)
    assert run(frame(("a", A, "train", None)), other, bench) == ["found in bench.txt (verbatim)"]
    assert run(frame(("a", A.lower(), "train", None)), bench, other) == ["found in bench.txt (normalised)"]


def test_another_column(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    pl.DataFrame({"question": [A]}).write_csv(path)
    assert run(frame(("a", A, "train", None)), path, column="question") == ["found in q.csv (verbatim)"]
    with pytest.raises(DataError, match=r"q\.csv has no column 'text' \(its columns: question\)"):
        run(frame(("a", A, "train", None)), path)


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    batch = frame(("a", A, "train", None))
    with pytest.raises(MissingError, match="there is no evaluation file"):
        run(batch, tmp_path / "nowhere.jsonl")
    for name, content in (("a.pdf", "x"), ("a.jsonl", "{broken"), ("a.parquet", "no parquet")):
        (tmp_path / name).write_text(content)
        with pytest.raises(DataError, match=name):
            run(batch, tmp_path / name)
    (tmp_path / "empty.jsonl").touch()
    assert run(batch, tmp_path / "empty.jsonl") == [None]


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "bench.txt"
    path.write_text(C, "utf-8")
    assert run(frame(("a", A, "train", None)), path) == [None]
    path.write_text(A + "\n" + C, "utf-8")
    assert run(frame(("a", A, "train", None)), path) == ["found in bench.txt (verbatim)"]


@pytest.mark.slow
def test_finds_flores_in_sib200() -> None:
    """30,291 SIB-200 rows are in FLORES-200 dev verbatim, 31,112 after NFKC, case and white space; ids differ."""
    if not SHARED.is_dir():
        pytest.skip("../shared is not here")
    sib = pl.read_parquet(SHARED / "sib200.parquet", columns=["id", "lang", "group", "text"]).with_columns(
        split=pl.lit("train")
    )
    began = time.monotonic()
    found = pl.Series(run(sib, SHARED / "flores200.parquet"))
    seconds = time.monotonic() - began
    counts = [found.str.contains(rf"^found in flores200\.parquet \({level}").sum() for level in decontaminate.LEVELS]
    print(f"{dict(zip(decontaminate.LEVELS, counts, strict=True))}, {seconds:.1f} s")  # noqa: T201
    assert counts[0] == 30_291
    assert counts[0] + counts[1] == 31_112
    assert counts[2] == 1 and counts[3] == 4 and counts[4] == 0, "FLORES rows with one mark or some words changed"
    # A match is the same sentence: in every group all rows match, but for rows whose text differs between the packs.
    # The translations are of seven rows that match alone: a pack has a sentence in the wrong place.
    own, translated = found.str.starts_with("found").sum(), found.str.starts_with("translation").sum()
    assert own == 31_117 and translated == 420
    assert seconds < 60  # measured 12 s on one core
