"""languages: the table, what is known of a language, its neighbours with the reasons, and what is refused."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from isogloss.core import lang, typology
from isogloss.core.errors import DataError, InputError, MissingError
from isogloss.core.say import Say
from isogloss.stages import languages as stage
from places import Said, command, shell

HERE = typology.KINDS if typology.available() else typology.PACKAGED


class Notes(Say):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def without_uriel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typology, "_folder", lambda: None)
    for each in vars(typology).values():
        if hasattr(each, "cache_clear"):
            each.cache_clear()


@pytest.fixture(autouse=True)
def forget() -> object:
    yield
    for each in vars(typology).values():
        if hasattr(each, "cache_clear"):
            each.cache_clear()


# -- one language ------------------------------------------------------------------------------------------------


def test_what_is_known_of_a_language() -> None:
    found = stage.languages("amh_Ethi", near=3)
    document = found.document()
    assert (found.note, document["tag"], document["family"]) == (None, "amh_Ethi", "Afro-Asiatic")
    assert {"name", "endonym", "script", "direction", "family", "genus", "latitude", "longitude", "speakers", "resource",
            "macrolanguage", "spaces", "digits"} <= set(document)  # fmt: skip
    assert document["groups"][:2] == ["Afro-Asiatic", "Semitic"]
    assert [near["tag"] for near in document["near"]] == [near.tag for near in found.near] and len(found.near) == 3
    for near in document["near"]:
        assert set(near["distances"]) == set(typology.KINDS)
        for kind, each in near["distances"].items():
            assert set(each) == {"value", "low", "high", "coverage", "n", "why"}, kind
            assert each["value"] is not None or each["why"]
    json.dumps(document)


@pytest.mark.parametrize("by", ["all", *HERE])
def test_neighbours_come_in_order_once_each_and_never_the_language_itself(by: str) -> None:
    found = stage.languages("swh_Latn", near=40, by=by)
    places = [near.place for near in found.near]
    assert places == sorted(places) and all(0 <= place <= 1 for place in places)
    codes = [near.tag[:3] for near in found.near]
    assert len(set(codes)) == len(codes) == 40 and "swh" not in codes
    if by != "all":
        each = [next(d for d in near.distances if d.kind == by) for near in found.near]
        for i, earlier in enumerate(each):
            for later in each[i + 1 :]:
                assert earlier.value is not None and later.value is not None
                assert earlier.value <= later.value + 1e-12 or earlier.n > later.n  # a better known one goes before


def test_fewer_neighbours_are_the_first_of_more() -> None:
    more = [near.tag for near in stage.languages("tur_Latn", near=9).near]
    assert [near.tag for near in stage.languages("tur_Latn", near=4).near] == more[:4]
    assert stage.languages("tur_Latn", near=0).near == ()


def test_a_neighbour_is_shown_in_the_script_asked_for_where_it_has_one() -> None:
    romanised = {near.tag for near in stage.languages("hin_Latn", near=60, by="genetic").near}
    assert {"urd_Latn", "mar_Latn"} <= romanised


@pytest.mark.parametrize(
    ("asked", "tag", "noted"),
    [
        ("swh_Latn", "swh_Latn", False),
        ("Swahili", "swh_Latn", True),
        ("iw", "heb_Hebr", True),  # retired
        ("ara", "arb_Arab", True),  # a macrolanguage
        ("sr", "srp_Cyrl", True),  # two scripts
        (" hr ", "hrv_Latn", True),
    ],
)
def test_what_a_code_is_read_as_is_said(asked: str, tag: str, noted: bool) -> None:
    said = Notes()
    found = stage.languages(asked, near=1, say=said)
    assert found.row.tag == tag
    about = [note for note in said.notes if "read as" in note]
    assert bool(found.note) == noted == bool(about)
    assert not noted or tag in about[0]


@pytest.mark.parametrize("by", ["all", "qwals", "genetic"])
def test_a_language_without_any_typology_has_no_neighbours_and_the_reason(by: str) -> None:
    found = stage.languages("tlh_Latn", by=by)
    assert found.near == () and "tlh" in found.why_none
    assert found.document()["why_none"] == found.why_none


def test_a_language_that_only_stands_somewhere_is_placed_with_care() -> None:
    """Nothing but a place is known: neighbours are those nearby, near the middle where others are unknown."""
    found = stage.languages("epo_Latn", near=3)
    assert all(near.place > 0.15 for near in found.near)


def test_reasons_name_the_script_the_kinship_and_what_qwals_rests_on() -> None:
    near = next(each for each in stage.languages("amh_Ethi", near=20).near if each.tag == "tir_Ethi")
    assert near.reasons[0] == "same script (Ethi)"
    assert near.reasons[1] == "both Ethiosemitic, in Afro-Asiatic"
    assert near.reasons[2].endswith("km apart")
    qwals = typology.distance("amh_Ethi", "tir_Ethi", "qwals")
    assert f"on {qwals.n} features" in near.reasons[3]


def test_a_stand_in_is_named() -> None:
    near = {each.tag: each for each in stage.languages("slv_Latn", near=20, by="genetic").near}
    text = "; ".join(near["hrv_Latn"].reasons)
    assert "hrv is read as hbs" in text and "qwals" in text


# -- the table ---------------------------------------------------------------------------------------------------


def test_the_table_and_what_leaves_rows_out() -> None:
    assert stage.rows() == list(lang.table().values())
    assert {row.script for row in stage.rows(script="ethi")} == {"Ethi"}
    assert {row.genus for row in stage.rows(family="romance")} == {"Romance"}
    assert {row.resource for row in stage.rows(family="Indo-European", resource="5")} == {"5"}
    assert stage.rows(script="Ethi", resource="5") == []


def test_filters_leave_neighbours_out_too() -> None:
    among = stage.rows(resource="5")
    found = stage.languages("mar_Deva", near=50, among=among)
    assert {near.tag[:3] for near in found.near} == {row.tag[:3] for row in among}
    none = stage.languages("mar_Deva", among=[])
    assert none.near == () and none.why_none


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"script": "Ethio"}, "did you mean 'Ethi'"),
        ({"family": "Indoeuropean"}, "did you mean 'Indo-European'"),
        ({"resource": "9"}, "known: 0, 1"),
    ],
)
def test_a_filter_that_nothing_has_is_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        stage.rows(**given)


# -- without urielplus -------------------------------------------------------------------------------------------


def test_without_urielplus_it_says_what_to_install_and_ranks_by_the_rest(without_uriel: None) -> None:
    said = Notes()
    found = stage.languages("amh_Ethi", near=3, say=said)
    assert len(found.near) == 3
    assert any('pip install "isogloss[typology]"' in note for note in said.notes)
    assert found.document()["install"] == 'pip install "isogloss[typology]"'
    assert any('pip install "isogloss[typology]"' in line for line in stage.lines(found, 400))
    assert stage.near_rows(found)[0] == ["language", "place", "genetic", "geographic", "qwals"]
    with pytest.raises(MissingError, match="isogloss"):
        stage.languages("amh_Ethi", by="syntactic")


# -- refusals ----------------------------------------------------------------------------------------------------


def test_wrong_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(DataError, match="did you mean 'Swahili'"):
        stage.languages("Swahilli")
    with pytest.raises(InputError, match="did you mean 'qwals'"):
        stage.languages("amh_Ethi", by="qwalls")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--near", "3"],
        ["--by", "qwals"],
        ["amh_Ethi", "--near", "-1"],
        ["amh_Ethi", "--near", "many"],
        ["xx"],
        [""],
        ["amh_Ethi", "--script", "Nope"],
    ],
)
def test_bad_arguments_are_one_sentence_and_exit_code_2(cli: Callable[..., Said], arguments: list[str]) -> None:
    done = cli("languages", *arguments)
    assert done.code == 2 and done.out == ""
    assert done.err.startswith("isogloss: ") and done.err.count("\n") == 1
    assert json.loads(cli("languages", *arguments, "--json").out)["exit_code"] == 2


# -- the command -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", ["60", "100", "200"])
def test_on_screen(cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    done = cli("languages", "amh_Ethi", "--near", "3")
    assert done.code == 0
    assert done.out.startswith("amh_Ethi  Amharic (አማርኛ)\n")
    assert "Semitic" in done.out and "36,000,000" in done.out and "nearest to amh_Ethi" in done.out
    table = cli("languages", "--script", "Ethi")
    assert table.code == 0 and "amh_Ethi Amharic" in table.out and "swh_Latn" not in table.out
    one = cli("languages", "amh_Ethi", "--by", "qwals", "--near", "2")
    assert "interval" in one.out or columns == "60"


def test_json_is_one_document(cli: Callable[..., Said]) -> None:
    done = cli("languages", "hr", "--near", "2", "--json")
    assert done.code == 0 and done.json["tag"] == "hrv_Latn" and len(done.json["near"]) == 2
    everything = cli("languages", "--json").json["languages"]
    assert len(everything) == len(lang.table()) and everything[0]["tag"]


def test_it_is_quick_and_imports_no_torch(tmp_path: Path) -> None:
    start = time.perf_counter()
    done = shell("languages", "amh_Ethi", "--near", "10", "--json", cwd=tmp_path)
    assert done.code == 0 and len(done.json["near"]) == 10
    assert time.perf_counter() - start < 20  # 2 s on a quiet core
    code = (
        "import sys; from isogloss.stages import languages; languages.languages('amh_Ethi'); "
        "print([name for name in ('torch', 'transformers', 'pandas', 'urielplus') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert found.stdout.strip() == "[]"


def test_interrupted(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("languages", "amh", "--near", "700"), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert process.stderr is not None
    first = process.stderr.readline()  # what the code was read as; distances come after it
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert "amh_Ethi" in first and process.returncode == 130 and out == ""
    assert "interrupted" in err and "Traceback" not in err
