"""Corpus rows: whatever a row holds, it is used or set aside with a reason; languages are normalised, and said so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isogloss.core.corpus import MAX_TEXT, Corpus, Fields, Noted, Rejected, read
from isogloss.core.errors import DamagedError
from isogloss.core.readers import RawFile

ROW = {"text": "Habari yako?", "lang": "swh_Latn", "label": "x"}


def rows(path: Path, *values: Any, fields: Fields = Fields(), given: dict[str, str] | None = None) -> list[Any]:  # noqa: B008
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return list(read(RawFile(path, "jsonl", "raw.jsonl", given=given or {}), fields))


@pytest.mark.parametrize(
    ("code", "tag", "variety"),
    [
        ("en", "eng_Latn", None),
        ("eng", "eng_Latn", None),
        ("en-US", "eng_Latn", "US"),
        ("English", "eng_Latn", None),
        ("zh-Hant", "zho_Hant", None),
        ("pt_BR", "por_Latn", "BR"),
        ("Kiswahili", "swh_Latn", None),
        (" SWH_latn ", "swh_Latn", None),
    ],
)
def test_languages_are_normalised(tmp_path: Path, code: str, tag: str, variety: str | None) -> None:
    (row,) = [row for row in rows(tmp_path / "a", {**ROW, "lang": code}) if isinstance(row, dict)]
    assert (row["lang"], row["variety"]) == (tag, variety)


def test_what_a_code_was_taken_for_is_said_once_a_code(tmp_path: Path) -> None:
    found = rows(tmp_path / "a", *[{**ROW, "lang": code} for code in ("sr", "zh", "en", "sr", "zh", "eng_Latn")])
    assert [row.code for row in found if isinstance(row, Noted)] == ["sr", "zh"]
    assert "read as srp_Cyrl" in found[0].note
    assert sum(isinstance(row, dict) for row in found) == 6


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"text": None}, "text is null"),
        ({"text": 3}, "text is no string: int"),
        ({"text": ["a"]}, "text is no string: list"),
        ({"text": ""}, "empty text"),
        ({"text": " \u00a0\t"}, "empty text"),
        ({"text": "a\x00b"}, "NUL byte in the text"),
        ({"text": "a\ud800"}, "half a character (lone surrogate) in the text"),
        ({"text": "x" * (MAX_TEXT + 1)}, "text of more than 1,000,000 characters: 1,000,001"),
        ({"lang": None}, "no language"),
        ({"lang": "xx-klingon"}, "unknown language 'xx-klingon'"),
        ({"lang": "\ud800"}, "unknown language '\ufffd'"),
        ({"lang": ["en"]}, "unknown language '['en']'"),
        ({"lang": "und"}, "unknown language 'und'"),
        ({"lang": "deu"}, "language not in the recipe: deu_Latn"),
        ({"label": None}, "no label"),
        ({"label": " "}, "no label"),
        ({"label": float("nan")}, "no label"),
        ({"label": "z\x00"}, "unknown label 'z\ufffd'"),
        ({"split": "tarin"}, "unknown split 'tarin'; known: train, dev, test"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    fields = Fields(langs=("swh_Latn", "eng_Latn"), labels=("x", "y"))
    bad, good = rows(tmp_path / "a", {**ROW, **change}, ROW, fields=fields)
    assert (bad.origin, bad.reason) == ("raw.jsonl:1", reason)
    assert good["id"] == "raw.jsonl:2"


def test_a_row_that_is_set_aside_is_counted_under_its_tag(tmp_path: Path) -> None:
    found = rows(tmp_path / "a", {**ROW, "lang": "en", "label": None}, {**ROW, "lang": "??"}, {"text": "x", "label": 1})
    assert [row.lang for row in found] == ["eng_Latn", "??", None]


@pytest.mark.parametrize(
    ("given", "label"), [(1, "1"), (1.0, "1"), (1.5, "1.5"), (True, "true"), (False, "false"), (" x ", "x"), (0, "0")]
)
def test_labels_of_any_scalar_type(tmp_path: Path, given: Any, label: str) -> None:
    assert rows(tmp_path / "a", {**ROW, "label": given})[0]["label"] == label


def test_a_row_says_more_than_its_file(tmp_path: Path) -> None:
    stated = {"lang": "eng_Latn", "label": "y", "split": "test", "license": "CC0"}
    own, none = rows(tmp_path / "a", {**ROW, "split": "valid"}, {"text": "t", "label": "", "lang": None}, given=stated)
    assert [own[name] for name in ("lang", "label", "split", "license")] == ["swh_Latn", "x", "dev", "CC0"]
    assert [none[name] for name in ("lang", "label", "split", "license")] == ["eng_Latn", "y", "test", "CC0"]


def test_columns_and_kept_columns(tmp_path: Path) -> None:
    fields = Fields(columns={"text": "review", "label": "stars", "id": "nr"}, keep=("dialect",))
    value = {"review": "t", "stars": 5, "nr": 7, "dialect": {"b": 1, "a": "é"}, "lang": "en", "other": 1}
    (row,) = rows(tmp_path / "a", value, fields=fields)
    assert (row["id"], row["label"], row["dialect"]) == ("7", "5", '{"a": "é", "b": 1}')
    assert set(row) == set(fields.schema)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["text", "lang", "label", "split", "id", "group", "dialect", "\ud800"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("\udfff"),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
            max_leaves=4,
        ),
    )
)
def test_no_json_object_whatever_breaks_it(tmp_path_factory: Any, value: dict[str, Any]) -> None:
    fields = Fields(keep=("dialect",), detect=True)
    for row in rows(tmp_path_factory.mktemp("any") / "a", value, fields=fields):
        if isinstance(row, dict):
            pl.DataFrame([row], schema=fields.schema)  # can be held by a file of ours
        elif isinstance(row, Rejected):
            (row.reason + row.raw + (row.lang or "")).encode()


def test_a_corpus_without_shards_or_with_a_damaged_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(DamagedError, match="has no shards"):
        Corpus(tmp_path).frame()
    (tmp_path / "00000.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DamagedError, match=r"00000\.parquet is damaged"):
        Corpus(tmp_path).frame()
