"""Distances between languages: properties, values by hand, holes, stand-ins, and life without urielplus."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isogloss.core import lang, typology
from isogloss.core.errors import DamagedError, DataError, InputError
from isogloss.core.typology import FEWEST, KINDS, PACKAGED, Distance, counts, distance, extent, matrix

TAGS = sorted({tag[:3]: tag for tag in reversed(list(lang.table()))}.values())
HERE = KINDS if typology.available() else PACKAGED
needs_uriel = pytest.mark.skipif(not typology.available(), reason=f"needs urielplus: {typology.INSTALL}")
tags = st.sampled_from(TAGS)
kinds = st.sampled_from(HERE)


@pytest.fixture
def forget() -> Iterator[None]:
    """What is cached is forgotten before and after."""

    def clear() -> None:
        for each in vars(typology).values():
            if hasattr(each, "cache_clear"):
                each.cache_clear()

    clear()
    yield
    clear()


@pytest.fixture
def without_uriel(forget: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typology, "find_spec", lambda name: None)


# -- properties --------------------------------------------------------------------------------------------------


@given(tags, tags, kinds)
@settings(deadline=None, max_examples=300)
def test_a_distance_is_symmetric_in_range_and_says_what_it_rests_on(a: str, b: str, kind: str) -> None:
    one, other = distance(a, b, kind), distance(b, a, kind)
    assert (one.n, one.coverage, one.kind) == (other.n, other.coverage, kind)
    assert (one.value is None) == (other.value is None)
    assert 0 <= one.coverage <= 1 and one.n >= 0
    if one.value is None:
        assert one.why and (one.low, one.high) == (None, None)
        return
    assert other.value == pytest.approx(one.value, abs=1e-9)
    assert 0 <= one.value <= 1
    if kind in ("genetic", "geographic"):
        assert (one.low, one.high) == (None, None)
    else:
        assert one.n >= FEWEST
        assert one.low is not None and one.high is not None
        assert 0 <= one.low <= one.value <= one.high <= 1


@given(tags, kinds)
@settings(deadline=None)
def test_a_language_is_at_no_distance_from_itself(tag: str, kind: str) -> None:
    itself = distance(tag, tag, kind)
    assert itself.value in (0.0, None)
    if itself.value is not None and itself.low is not None:
        assert (itself.low, itself.high) == (0.0, 0.0)
    assert distance(tag, tag[:4] + "Cyrl", kind).value == itself.value  # scripts play no part


@given(st.lists(tags, max_size=6), st.lists(tags, max_size=6), kinds)
@settings(deadline=None)
def test_the_matrix_says_what_each_distance_says(a: list[str], b: list[str], kind: str) -> None:
    values, n = matrix(a, b, kind), counts(a, b, kind)
    assert values.shape == n.shape == (len(a), len(b))
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            found = distance(one, other, kind)
            assert n[i, j] == found.n
            assert (found.value is None) == bool(np.isnan(values[i, j]))
            assert found.value is None or values[i, j] == pytest.approx(found.value, abs=1e-9)


@given(tags, tags, st.sampled_from([kind for kind in HERE if kind not in ("genetic", "geographic")]))
@settings(deadline=None)
def test_a_pair_shares_no_more_than_either_has_and_its_coverage_grows_with_it(a: str, b: str, kind: str) -> None:
    found = distance(a, b, kind)
    (n_a, n_all), (n_b, _) = extent(a, kind), extent(b, kind)
    assert found.n <= min(n_a, n_b) <= n_all
    assert found.value is None or found.coverage == pytest.approx(found.n / n_all)


def test_distances_repeat_and_are_fast(forget: None) -> None:
    assert distance("eng_Latn", "deu_Latn", "qwals") == distance("eng_Latn", "deu_Latn", "qwals")
    for kind in HERE:
        matrix(TAGS[:1], TAGS[:1], kind)  # reads the tables
        start = time.perf_counter()
        assert matrix(TAGS[:60], TAGS[-60:], kind).shape == (60, 60)
        assert time.perf_counter() - start < 0.2, kind


# -- by hand -----------------------------------------------------------------------------------------------------


def a_world(monkeypatch: pytest.MonkeyPatch, values: dict[str, list[float]], n_values: list[int]) -> None:
    rows = {code: i for i, code in enumerate(values)}
    made = (rows, np.array([values[code] for code in values], float), np.array(n_values, float))
    monkeypatch.setattr(typology, "_wals", lambda: made)


def test_qwals_by_hand(forget: None, monkeypatch: pytest.MonkeyPatch) -> None:
    hole = math.nan
    english = [0.0, 1, 2, 0, 1, 0, 4, 1, 0, 2, 1, hole]
    german = [0.0, 2, 0, 0, 1, 1, 0, 1, 0, 2, 1, 3]
    a_world(monkeypatch, {"eng": english, "deu": german}, [2, 3, 3, 2, 2, 2, 5, 2, 2, 3, 2, 4])
    qwals, binary = (distance("eng_Latn", "deu_Latn", kind) for kind in ("qwals", "qwals_01"))
    assert qwals.value == pytest.approx((1 / 2 + 2 / 2 + 1 / 1 + 4 / 4) / 11)
    assert binary.value == pytest.approx(4 / 11)
    assert (qwals.n, qwals.coverage) == (11, pytest.approx(11 / 12))
    assert matrix(["eng_Latn"], ["deu_Latn"], "qwals")[0, 0] == pytest.approx(qwals.value)


def test_too_few_features_give_no_number(forget: None, monkeypatch: pytest.MonkeyPatch) -> None:
    hole = math.nan
    a_world(monkeypatch, {"eng": [1.0] * 12, "deu": [1.0] * 9 + [hole] * 3}, [2] * 12)
    found = distance("eng_Latn", "deu_Latn", "qwals")
    assert (found.value, found.low, found.high, found.n) == (None, None, None, 9)
    assert found.why == "only 9 features of WALS are known of both eng and deu; 10 are needed"


def test_the_interval_narrows_with_features(forget: None, monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = [0.0, 1.0] * 6, [0.0, 1.0] * 60
    widths = []
    for a in (few, many):
        a_world(monkeypatch, {"eng": a, "deu": [0.0] * len(a)}, [2] * len(a))
        distance.cache_clear()
        typology._view.cache_clear()
        found = distance("eng_Latn", "deu_Latn", "qwals")
        assert found.value == 0.5 and found.low is not None and found.high is not None
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 2


def test_wals_as_it_is_shipped() -> None:
    """81A Order of Subject, Object and Verb: English SVO, Hindi SOV, Irish VSO; 83A: VO, OV."""
    features = typology._asset("wals_features.tsv")
    rows, values, sizes = typology._wals()
    place = {feature: i for i, (feature, _, _) in enumerate(features)}
    svo, sov, vso = 1, 0, 2
    for code, order in (("eng", svo), ("hin", sov), ("gle", vso), ("tur", sov), ("cmn", svo)):
        assert values[rows[code], place["81A"]] == order, code
    assert values[rows["eng"], place["83A"]] != values[rows["hin"], place["83A"]]
    known = ~np.isnan(values)
    assert (values[known] < np.broadcast_to(sizes, values.shape)[known]).all()
    assert (known.sum(axis=1) >= FEWEST).all() and len(rows) > 1500
    assert 140 <= known[rows["eng"]].sum() <= 192 and sizes.min() >= 2


def test_wals_agrees_with_the_values_beside_the_project(shared: Path) -> None:
    import polars as pl

    given_ = pl.read_parquet(shared / "ref" / "wals_values.parquet").filter(pl.col("wals_id").is_in(["eng", "swa"]))
    values = {(code, feature): value for code, feature, value in given_.select("iso639_3", "feature", "value").rows()}
    both = {f for code, f in values if code == "eng"} & {f for code, f in values if code == "swh"}
    differ = sum(values["eng", f] != values["swh", f] for f in both)
    found = distance("eng_Latn", "swh_Latn", "qwals_01")
    assert (found.n, found.value) == (len(both), pytest.approx(differ / len(both)))


def test_kinship_by_hand() -> None:
    path = ("A", "B", "C", "x"), ("A", "B", "y")
    value, shared_, total = typology._kinship(*path)
    assert (shared_, total) == (2, 4)
    assert value == pytest.approx(2 / math.pi * math.acos(2 / math.sqrt(12)))
    assert typology._kinship(("A", "x"), ("B", "x"))[0] == 1.0


@pytest.mark.parametrize(
    ("target", "near", "far"),
    [
        ("deu_Latn", "nld_Latn", "fra_Latn"),
        ("amh_Ethi", "tir_Ethi", "arb_Arab"),
        ("swh_Latn", "zul_Latn", "yor_Latn"),
        ("hrv_Latn", "srp_Cyrl", "rus_Cyrl"),
        ("hin_Deva", "urd_Arab", "tam_Taml"),
    ],
)
def test_relatives_are_near(target: str, near: str, far: str) -> None:
    for kind in ("genetic", "geographic"):
        close, distant = distance(target, near, kind).value, distance(target, far, kind).value
        assert close is not None and distant is not None and close < distant, kind


def test_great_circles() -> None:
    pole, equator, other_side = (90.0, 0.0), (0.0, 20.0), (-90.0, 0.0)
    assert typology._circle(pole, equator) == pytest.approx(0.5)
    assert typology._circle(pole, other_side) == pytest.approx(1.0)
    assert typology._circle((0.0, 179.5), (0.0, -179.5)) == pytest.approx(1 / 180)


def test_an_isolate_shares_nothing() -> None:
    assert distance("eus_Latn", "spa_Latn", "genetic").value == 1.0
    assert typology.lineage("eus_Latn") == ()


# -- holes and stand-ins -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", HERE)
def test_a_language_that_nobody_described_gives_none_and_the_reason(kind: str) -> None:
    found = distance("tlh_Latn", "eng_Latn", kind)
    assert found == Distance(kind, None, None, None, 0.0, 0, found.why)
    assert "tlh" in found.why
    assert np.isnan(matrix(["tlh_Latn"], ["eng_Latn"], kind)).all()


@pytest.mark.parametrize(
    ("tag", "kind", "code"),
    [
        ("eng_Latn", "qwals", "eng"),
        ("hrv_Latn", "qwals", "hbs"),  # a member by its macrolanguage
        ("zho_Hans", "qwals", "cmn"),  # a macrolanguage by its usual member
        ("est_Latn", "qwals", "ekk"),
        ("pbt_Arab", "qwals", "pst"),  # the only member of the same macrolanguage
        ("uzn_Latn", "qwals", "uzb"),  # thinly described
        ("quz_Latn", "genetic", "quz"),
        ("nqo_Nkoo", "qwals", None),
    ],
)
def test_stand_ins(tag: str, kind: str, code: str | None) -> None:
    found, why = typology.stand_in(tag, kind)
    assert found == code
    assert bool(why) == (code != tag[:3])
    assert why == "" or tag[:3] in why
    if code not in (None, tag[:3]):
        assert str(code) in why and why in distance(tag, "eng_Latn", kind).why


def test_two_languages_that_share_a_stand_in_are_not_told_apart() -> None:
    found = distance("hrv_Latn", "srp_Cyrl", "qwals")
    assert found.value == 0.0 and found.why.endswith("WALS does not tell hrv and srp apart")
    assert distance("hrv_Latn", "srp_Cyrl", "genetic").value != 0.0


@needs_uriel
@pytest.mark.parametrize(
    ("tag", "kind", "code"),
    [("als_Latn", "inventory", "als"), ("azj_Latn", "phonological", "aze"), ("lvs_Latn", "syntactic", "lav")],
)
def test_stand_ins_in_uriel(tag: str, kind: str, code: str) -> None:
    assert typology.stand_in(tag, kind)[0] == code


@needs_uriel
def test_uriel_has_most_of_the_table() -> None:
    known = {kind: sum(typology.stand_in(tag, kind)[0] is not None for tag in TAGS) for kind in KINDS}
    at_least = {"genetic": 700, "geographic": 700, "syntactic": 550, "phonological": 280, "inventory": 440}
    assert all(known[kind] >= n for kind, n in at_least.items()), known
    assert known["featural"] >= 580 and known["qwals"] >= 400


@needs_uriel
def test_angles_are_those_of_urielplus() -> None:
    """Its `_angular_distance`: 2 arccos(u.v / |u||v|) / pi over features known of both."""
    codes, names, values = typology._uriel()
    chosen = [i for i, name in enumerate(names) if name.startswith("INV_")]
    u, v = values[codes.index("eng")][chosen], values[codes.index("hin")][chosen]
    both = ~np.isnan(u) & ~np.isnan(v)
    u, v = u[both].astype(float), v[both].astype(float)
    expected = 2 / math.pi * math.acos(float(u @ v / math.sqrt(u @ u * (v @ v))))
    assert distance("eng_Latn", "hin_Deva", "inventory").value == pytest.approx(expected, abs=1e-6)


def test_nothing_known_of_both_and_nothing_in_common() -> None:
    view = typology._View({}, np.zeros((0, 0)), angular=True)
    none, one = np.zeros(12), np.ones(12)
    for u, v, expected in ((none, none, 0.0), (none, one, 1.0), (one, one, 0.0)):
        assert typology._value(typology._parts(u, v, view).sum(axis=0), view) == expected


# -- without urielplus, and with a broken one --------------------------------------------------------------------


def test_what_comes_with_the_package_is_the_same_without_urielplus(request: pytest.FixtureRequest) -> None:
    some = TAGS[::3]
    with_it = {kind: matrix(some, some, kind) for kind in PACKAGED}
    request.getfixturevalue("without_uriel")
    assert not typology.available()
    for kind in PACKAGED:
        assert typology.known(kind)
        np.testing.assert_array_equal(matrix(some, some, kind), with_it[kind])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in PACKAGED])
def test_without_urielplus_the_reason_is_what_to_install(without_uriel: None, kind: str) -> None:
    found = distance("eng_Latn", "deu_Latn", kind)
    assert found.value is None and 'pip install "isogloss[typology]"' in found.why
    assert not typology.known(kind)
    assert np.isnan(matrix(["eng_Latn"], ["deu_Latn"], kind)).all()
    assert extent("eng_Latn", kind) == (0, 0)


@needs_uriel
@pytest.mark.parametrize("harm", ["cut", "empty", "pickle", "no csv"])
def test_broken_data_of_urielplus_is_one_sentence(
    harm: str, forget: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = typology._folder()
    assert source is not None
    shutil.copytree(source, tmp_path / "database")
    stored = tmp_path / "database" / "original_uriel" / "features.npz"
    if harm == "cut":
        stored.write_bytes(stored.read_bytes()[:5000])
    elif harm == "empty":
        stored.write_bytes(b"")
    elif harm == "pickle":
        np.savez(stored, data=np.array([{}], dtype=object), feats=np.array(["a"]), langs=np.array(["eng"]))
    else:
        (tmp_path / "database" / "urielplus_csvs" / "grambank_data.csv").unlink()
    typology._folder.cache_clear()
    monkeypatch.setattr(typology, "_folder", lambda: tmp_path / "database")
    with pytest.raises(DamagedError, match="install it again") as refusal:
        distance("eng_Latn", "deu_Latn", "syntactic")
    assert "\n" not in str(refusal.value)


def test_a_folder_of_that_name_is_no_urielplus(forget: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "urielplus").mkdir()
    spec = type("Spec", (), {"submodule_search_locations": [str(tmp_path / "urielplus")]})()
    monkeypatch.setattr(typology, "find_spec", lambda name: spec)
    assert not typology.available()


# -- bad input ---------------------------------------------------------------------------------------------------


def test_what_is_no_kind_is_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'genetic'"):
        distance("eng_Latn", "deu_Latn", "genetik")
    with pytest.raises(InputError, match="no kind of distance"):
        matrix(["eng_Latn"], ["deu_Latn"], "")


@pytest.mark.parametrize("wrong", ["eng", "English", "", "eng-Latn"])
def test_what_is_no_tag_is_refused(wrong: str) -> None:
    for call in (lambda: distance(wrong, "eng_Latn", "qwals"), lambda: matrix(["eng_Latn"], [wrong], "genetic")):
        with pytest.raises(DataError, match="no language tag"):
            call()


def test_nothing_heavy_is_imported_and_urielplus_never() -> None:
    code = (
        "import sys, json; from isogloss.core import typology; "
        "[typology.distance('eng_Latn', 'amh_Ethi', kind) for kind in typology.KINDS]; "
        "print(json.dumps([name for name in ('torch', 'transformers', 'pandas', 'urielplus') if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == []


def test_the_tables_say_where_they_are_from() -> None:
    folder = Path(typology.__file__).parents[1] / "assets" / "typology"
    for path in folder.glob("*.tsv"):
        assert path.read_text(encoding="utf-8").startswith("# NOTICE."), path.name
    assert sum(path.stat().st_size for path in folder.iterdir()) < 400_000
