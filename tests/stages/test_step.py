"""step: one step alone on one file; counts that add up, rows on disk with reasons, knobs from a command line."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isogloss.core import parts
from isogloss.core.engine import Local
from isogloss.core.errors import DataError, InputError, IsoglossError, MissingError, PlaceError, RecipeError
from isogloss.stages import examples
from isogloss.stages import step as steps
from isogloss.stages.step import Outcome, step
from isogloss.stages.stepping import knobs
from isogloss.stages.stepping import text as step_text
from places import Said

A = "The clinic on Station Road opens at eight in the morning and the doctor sees children first."
B = "Please bring your insurance card and a list of the medicine that you take every day."
C = "Zahanati iliyoko barabara ya stesheni hufunguliwa saa mbili asubuhi na daktari huona watoto kwanza."


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = [
        {"id": "a", "text": A, "lang": "en", "mood": "calm"},
        {"id": "b", "text": A.upper(), "lang": "en"},
        {"id": "c", "text": B + " \u00a0", "lang": "en", "n": 3},
        {"id": "d", "text": C, "lang": "Swahili"},
        {"id": "e", "text": C},
        {"id": "f", "text": None, "lang": "sw"},
        {"id": "g", "text": A, "lang": "klingonese"},
    ]
    return write(tmp_path / "rows.jsonl", rows)


def test_it_counts_and_writes(file: Path, tmp_path: Path) -> None:
    out = step("dedup", file, {"threshold": 0.7}, out=tmp_path / "out")
    assert (out.n_read, out.n_kept, out.n_dropped, out.n_set_aside) == (5, 4, 1, 2)
    assert out.reasons == [{"reason": "exact duplicate", "n": 1}]
    assert {row["reason"] for row in out.set_aside} == {"text is null", "unknown language 'klingonese'"}
    assert [row["n_read"] for row in out.by_lang if row["lang"] == "eng_Latn"] == [3]
    kept, dropped = (pl.read_parquet(tmp_path / "out" / f"{name}.parquet") for name in ("kept", "dropped"))
    assert kept["id"].to_list() == ["a", "c", "d", "e"]
    assert kept["mood"].to_list() == ["calm", None, None, None] and kept["n"].to_list() == [None, "3", None, None]
    assert sorted(dropped["id"].fill_null("?").to_list()) == ["?", "?", "b"]
    assert dropped["reason"].null_count() == 0
    assert dropped.filter(pl.col("step") == "dedup")["reason"].to_list() == ["exact duplicate of a"]
    counts = json.loads((tmp_path / "out" / "counts.json").read_text("utf-8"))
    assert counts == json.loads(json.dumps(out.document()))
    assert A not in json.dumps(counts), "texts stay out of the counts"


def test_rows_are_the_same_however_shards_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(3)
    words = A.split() + B.split()
    rows = [
        {"id": str(i), "text": " ".join(rng.choices(words, k=30)) + " " * (i % 3), "lang": "en"} for i in range(300)
    ]
    rows += [{**row, "id": row["id"] + "x"} for row in rows[::7]]
    file = write(tmp_path / "rows.jsonl", rows)
    seen = []
    for size in (4_000_000, 2_000):
        monkeypatch.setattr(steps, "SHARD_BYTES", size)
        for name in ("standardise", "dedup"):
            out = step(name, file, out=tmp_path / f"{name}{size}", engine=Local(1))
            frame = pl.read_parquet(tmp_path / f"{name}{size}" / "kept.parquet")
            seen.append((out.n_kept, out.n_changed, out.reasons, frame.drop("origin").to_dicts()))
    assert seen[:2] == seen[2:]
    assert seen[0][1] > 0 and seen[1][2] == [{"reason": "exact duplicate", "n": 43}]


def test_rows_without_a_split_count_as_train(tmp_path: Path) -> None:
    bench = write(tmp_path / "bench.jsonl", [{"text": A}, {"text": "  " + B.upper()}])
    rows = [
        {"id": "a", "text": A, "group": "1"},
        {"id": "b", "text": C, "group": "1"},
        {"id": "c", "text": A, "split": "test"},
        {"id": "d", "text": B, "split": "train"},
        {"id": "e", "text": "Something else altogether that nobody has asked about until this very day."},
    ]
    out = step("decontaminate", write(tmp_path / "r.jsonl", rows), {"against": [str(bench)]}, out=tmp_path / "out")
    assert pl.read_parquet(tmp_path / "out" / "kept.parquet")["id"].to_list() == ["c", "e"]
    assert pl.read_parquet(tmp_path / "out" / "kept.parquet")["split"].to_list() == ["test", None]
    assert out.found is not None
    assert out.found["n"] == 4 and out.found["by_split"] == {"none": 2, "test": 1, "train": 1}
    levels = {level["level"]: (level["n"], level["n_so_far"]) for level in out.found["levels"]}
    assert levels["verbatim"] == (2, 2) and levels["normalised"] == (1, 3)


def test_the_known_overlap_of_two_packs(shared: Path, tmp_path: Path) -> None:
    """30,291 SIB-200 rows are in FLORES-200 verbatim, 31,112 after NFKC, case and white space (issue F, item 7)."""
    out = step(
        "decontaminate", shared / "sib200.parquet", {"against": [str(shared / "flores200.parquet")], "near": 1.0}
    )
    assert out.n_read == 61_244 and out.found is not None
    levels = {level["level"]: level["n_so_far"] for level in out.found["levels"]}
    assert (levels["verbatim"], levels["normalised"]) == (30_291, 31_112)
    assert out.n_dropped == out.found["by_split"]["train"]
    assert out.found["n"] == out.found["by_split"]["train"] + sum(out.found["by_split"][s] for s in ("dev", "test"))


def test_a_step_that_fills_languages(file: Path) -> None:
    out = step("langid", file)
    assert out.changed == {"lang": 1}
    assert next(row for row in out.by_lang if row["lang"] == "swh_Latn")["n_read"] == 2
    assert [e.after for e in out.examples if e.what == "lang changed"] == ["swh_Latn"]
    assert step("langid", file, lang="sw").changed == {}


def test_repeated_ids_are_told_apart(tmp_path: Path) -> None:
    rows = [
        {"id": "1", "text": A, "lang": "en"},
        {"id": "1", "text": B, "lang": "en"},
        {"id": "2", "text": A, "lang": "en"},
    ]
    out = step("dedup", write(tmp_path / "r.jsonl", rows), out=tmp_path / "out")
    assert out.n_dropped == 1 and out.notes[0].startswith("1 row repeats the id of an earlier row in the same language")
    assert pl.read_parquet(tmp_path / "out" / "kept.parquet")["id"].to_list() == ["1", "1"]
    assert pl.read_parquet(tmp_path / "out" / "dropped.parquet")["id"].to_list() == ["2"]


def test_what_is_assumed_of_a_language_is_said(tmp_path: Path) -> None:
    out = step("standardise", write(tmp_path / "r.jsonl", [{"text": "中文", "lang": "zh"}]))
    assert any("zho_Hans" in note for note in out.notes)


@pytest.mark.parametrize("name", parts.names("steps"))
@settings(max_examples=12, deadline=None)
@given(rows=st.lists(st.dictionaries(st.sampled_from(["text", "lang", "split", "group", "id", "drop", "_id", "x"]), st.none() | st.text(max_size=12) | st.integers() | st.lists(st.text(max_size=2), max_size=2)), max_size=8))  # fmt: skip
def test_any_rows_give_counts_that_add_up_or_one_sentence(name: str, rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("any")
    bench = write(folder / "bench.jsonl", [{"text": A}])
    file = write(folder / "rows.jsonl", rows)
    given = {"against": [str(bench)]} if name == "decontaminate" else {}
    try:
        out = step(name, file, given, out=folder / "out")
    except InputError as error:
        assert str(error) and "\n" not in str(error)
        return
    assert out.n_read + out.n_set_aside == len(rows)
    assert out.n_kept + out.n_dropped == out.n_read == sum(row["n_read"] for row in out.by_lang)
    assert sum(reason["n"] for reason in out.reasons) == out.n_dropped
    assert pl.read_parquet(folder / "out" / "kept.parquet").height == out.n_kept
    assert pl.read_parquet(folder / "out" / "dropped.parquet").height == out.n_dropped + out.n_set_aside
    for width in (40, 100):
        step_text.lines(out, width)


def test_what_cannot_be_is_one_sentence(file: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="did you mean 'dedup'"):
        step("dedupe", file)
    with pytest.raises(RecipeError, match="did you mean 'threshold'"):
        step("dedup", file, {"treshold": 1})
    with pytest.raises(RecipeError, match="against"):
        step("decontaminate", file)
    with pytest.raises(MissingError, match=r"nope\.jsonl"):
        step("decontaminate", file, {"against": ["nope.jsonl"]})
    with pytest.raises(DataError, match="--text COLUMN"):
        step("dedup", file, text="body")
    with pytest.raises(DataError, match="no raw input"):
        step("dedup", tmp_path / "gone.csv")
    with pytest.raises(DataError, match="no language"):
        step("dedup", file, lang="klingonese")
    with pytest.raises(PlaceError, match="is a file"):
        step("dedup", file, out=file)
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError, match="it is empty"):
        step("dedup", tmp_path / "empty.jsonl")


def test_what_somebody_else_wrote_is_not_replaced(file: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept.parquet").write_text("mine")
    with pytest.raises(PlaceError, match="not written by isogloss step"):
        step("dedup", file, out=tmp_path / "out")
    assert (tmp_path / "out" / "kept.parquet").read_text() == "mine"
    (tmp_path / "out" / "kept.parquet").unlink()
    first = step("dedup", file, out=tmp_path / "out")
    again = step("dedup", file, {"threshold": 1}, out=tmp_path / "out")
    assert again.knobs != first.knobs
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(steps.WRITTEN)


# -- knobs from words -------------------------------------------------------------------------------------------


def read(name: str, *words: str) -> tuple[list[str], dict[str, Any]]:
    return knobs.split(parts.load("steps", name), words)


@pytest.mark.parametrize(
    ("name", "words", "files", "given"),
    [
        ("dedup", "f --threshold 0.7 --ngram=4", ["f"], {"threshold": 0.7, "ngram": 4}),
        ("dedup", "--threshold 0.7 f", ["f"], {"threshold": 0.7}),
        ("dedup", "--threshold 1 f", ["f"], {"threshold": 1}),
        ("dedup", "--action group f g", ["f", "g"], {"action": "group"}),
        ("langid", "f --min-confidence .5", ["f"], {"min_confidence": 0.5}),
        ("standardise", "--no-newlines f", ["f"], {"newlines": False}),
        ("standardise", "--newlines f", ["f"], {"newlines": True}),
        ("standardise", "--newlines false f --form NFKC", ["f"], {"newlines": False, "form": "NFKC"}),
        ("decontaminate", "f --against a --against 1 --column 1", ["f"], {"against": ["a", "1"], "column": "1"}),
        ("dedup", "-- --odd", ["--odd"], {}),
    ],
)
def test_words_become_knobs(name: str, words: str, files: list[str], given: dict[str, Any]) -> None:
    plain, found = read(name, *words.split())
    assert (plain, found) == (files, given)
    assert {k: type(v) for k, v in found.items()} == {k: type(v) for k, v in given.items()}
    part = parts.load("steps", name)
    if not any(knob.required and knob.name not in found for knob in part.knobs.values()):
        part.bind(found)


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("dedup", "f --threshold", "--threshold takes a number"),
        ("dedup", "f --threshold --ngram 4", "--threshold takes a number"),
        ("dedup", "f --threshold 1 --threshold 2", "given 2 times"),
        ("dedup", "f --treshold 1", "did you mean 'threshold'?"),
        ("dedup", "f --treshold", "did you mean 'threshold'?"),
        ("dedup", "f --langs x", "no knob 'langs'"),
    ],
)
def test_wrong_words_are_one_sentence(name: str, words: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        read(name, *words.split())
    assert said in str(error.value) and "\n" not in str(error.value)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["--threshold", "--action", "--no-action", "--newlines", "0.5", "f", "--", "-", "--=", "--x=1", "--no-", ""]) | st.text(max_size=5), max_size=6))  # fmt: skip
def test_any_words_are_read_or_refused(words: list[str]) -> None:
    for name in ("dedup", "standardise"):
        try:
            read(name, *words)
        except IsoglossError as error:
            assert isinstance(error, InputError)


# -- the screen -------------------------------------------------------------------------------------------------


def test_examples_show_the_place_that_changed() -> None:
    long = "x" * 200
    assert "⟨U+200B⟩" in examples.around(long + "\u200b" + long, long + long, 60)
    assert examples.around("short", "shorter", 40) == "short"
    for width in (20, 41):
        for text in (long, "中文" * 50, "é" * 90, "\u0007" * 40, "a\nb" * 30):
            assert examples.cells(examples.around(text, None, width)) <= width


@given(st.text(max_size=80), st.text(max_size=80), st.integers(min_value=16, max_value=100))
def test_any_example_fits(before: str, after: str, width: int) -> None:
    shown = examples.around(before, after, width)
    assert examples.cells(shown) <= width
    assert shown.isprintable()


def test_examples_are_few_and_of_each_kind() -> None:
    many = [
        examples.Example("dropped", f"l{i % 9}", str(i), "t", "", f"near-duplicate of r{i} (Jaccard 0.9)")
        for i in range(99)
    ]
    many += [examples.Example("dropped", "a", "z", "t", "", "script: 12 % Latn, declared hin_Deva")]
    picked = examples.pick(many)
    assert len(picked) == examples.EACH + 1
    assert len({e.lang for e in picked}) == len(picked)
    assert examples.kind(many[-1].reason) == "script: only some Latn, declared hin_Deva"


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_text_fits_the_terminal(file: Path, width: int) -> None:
    for name in ("dedup", "langid", "standardise"):
        out = step_text.lines(step(name, file), width)
        table = [line for line in out if line.startswith(("language", "eng", "swh", "und"))]
        assert all(examples.cells(line) <= max(width, 54 if line in table else 0) for line in out), out


def test_the_command(cli: Callable[..., Said], file: Path, tmp_path: Path) -> None:
    said = cli("step", "dedup", file, "--threshold", "0.7", "--out", tmp_path / "out")
    assert said.code == 0 and "exact duplicate" in said.out and A[:20].upper() in said.out
    value = json.loads(cli("step", "dedup", "--threshold", "0.7", file, "--json").out)
    assert value["n_dropped"] == 1 and value["knobs"]["threshold"] == 0.7 and "examples" not in value
    bench = write(tmp_path / "bench.jsonl", [{"text": A}])
    found = json.loads(cli("step", "decontaminate", file, "--against", bench.name, "--out", "o2", "--json").out)
    assert found["found"]["levels"][0] == {"level": "verbatim", "n": 1, "n_so_far": 1}
    for words, text in (
        (["step", "dedup"], "Missing argument"),
        (["step", "dedup", file, file], "takes one FILE"),
        (["step", "dedup", file, "--treshold", "1"], "did you mean 'threshold'?"),
        (["step", "decontaminate", file], "against"),
        (["step", "nothing", file], "no step 'nothing'"),
    ):
        wrong = cli(*words)
        assert wrong.code == 2 and text in wrong.err


def test_an_outcome_is_plain(file: Path) -> None:
    out = step("dedup", file)
    assert isinstance(out, Outcome)
    json.dumps(out.document())
