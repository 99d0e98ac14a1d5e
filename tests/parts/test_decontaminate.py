"""decontaminate: levels, groups, file kinds, and the known overlap of two real packs."""

from __future__ import annotations

import time
from pathlib import Path

import polars as pl
import pytest

from isogloss.core.errors import DataError, MissingError
from isogloss.parts.steps import decontaminate

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
A = "The clinic on Station Road opens at eight in the morning and the doctor sees children first."
C = "Please bring your insurance card and a list of the medicine that you take every day."


def frame(*rows: tuple[str, str, str | None, str | None]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict.fromkeys(("id", "text", "split", "group"), pl.String), orient="row")


def run(batch: pl.DataFrame, *against: Path, near: float = 0.8, column: str = "text") -> list[str | None]:
    matches = decontaminate.summarise(batch, against=list(against), near=near, column=column)
    after = decontaminate.apply(batch, decontaminate.decide(matches))
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
    assert run(frame(("0", edited, "train", None)), bench, near=1.0) == [None]


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
    with pytest.raises(DataError, match=r"q\.csv has no column 'text', but question"):
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
    assert counts[2] == 1 and counts[3] == 3, "FLORES rows with one mark or one word changed"
    # A match is the same sentence: in every group all rows match, but for rows whose text differs between the packs.
    own, translated = found.str.starts_with("found").sum(), found.str.starts_with("translation").sum()
    assert own == 31_116 and translated == 360
    assert seconds < 60  # measured 12 s on one core
