"""The ranking of source languages: contracts that hold for any coefficients, and some that hold for ours."""

from __future__ import annotations

import importlib.util
import json
import math
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isogloss.core import history, lang, sources, typology
from isogloss.core.errors import DataError, InputError

TAGS = sorted(lang.table())
POOL = ["eng_Latn", "ind_Latn", "swh_Latn", "hin_Deva", "arb_Arab", "zho_Hans", "zul_Latn", "spa_Latn", "fra_Latn"]
ENGLISH = sources.ENGLISH
DISTANCES = {"genetic", "geographic", "syntactic", "featural", "qwals", "phonological", "inventory"}
needs_uriel = pytest.mark.skipif(not typology.available(), reason="needs the data of urielplus")


def order(ranking: sources.Ranking) -> list[str]:
    return [one.source for one in ranking.candidates]


@settings(deadline=None)
@given(
    st.sampled_from(TAGS),
    st.lists(st.sampled_from(TAGS), min_size=1, max_size=12),
    st.sampled_from(sorted(sources.TASKS)),
)
def test_a_ranking_is_whole_ordered_and_inside_its_intervals(target: str, candidates: list[str], task: str) -> None:
    if set(candidates) == {target}:
        with pytest.raises(DataError, match="only candidate"):
            sources.rank([target], candidates, task=task)
        return
    (ranking,) = sources.rank([target], candidates, task=task)
    assert sorted(order(ranking)) == sorted(set(candidates) - {target})
    gains = [one.expected for one in ranking.candidates]
    assert gains == sorted(gains, reverse=True)
    assert ranking.candidates[0].chosen
    for one in ranking.candidates:
        assert one.low <= one.expected <= one.high
        assert all(math.isfinite(value) for value in (one.low, one.expected, one.high))
        assert one.reasons and all(reason.words for reason in one.reasons)


@settings(deadline=None, max_examples=20)
@given(st.randoms(use_true_random=False), st.sampled_from(POOL))
def test_no_order_and_no_other_candidate_changes_an_answer(rng: random.Random, target: str) -> None:
    mixed = rng.sample(POOL, len(POOL))
    (whole,) = sources.rank([target], POOL, task="tag")
    assert sources.rank([target], mixed, task="tag")[0] == whole
    few = [tag for tag in mixed[:4] if tag != target]
    found = {one.source: one for one in sources.rank([target], few, task="tag")[0].candidates}
    for one in whole.candidates:
        if one.source in found:
            assert (found[one.source].expected, found[one.source].low) == (one.expected, one.low)
    assert sources.rank(["yor_Latn", target], POOL, task="tag")[1] == whole


def test_english_is_the_zero_and_one_candidate_among_others() -> None:
    (ranking,) = sources.rank(["xho_Latn"], POOL, task="classify", family="ngram")
    english = next(one for one in ranking.candidates if one.source == "eng_Latn")
    assert (english.low, english.expected, english.high) == (0, 0, 0)
    assert order(ranking)[0] == "zul_Latn"
    assert ranking.over == "eng_Latn"


def test_when_the_target_is_english_the_mean_source_is_the_zero() -> None:
    (ranking,) = sources.rank(["eng_Latn"], POOL, task="classify")
    assert "eng_Latn" not in order(ranking)
    assert ranking.over == "mean"
    assert any("not ranked" in note for note in ranking.notes)


@pytest.mark.parametrize(
    ("target", "near", "far"),
    [
        ("urd_Arab", "hin_Deva", "jpn_Jpan"),
        ("min_Latn", "ind_Latn", "rus_Cyrl"),
        ("ukr_Cyrl", "rus_Cyrl", "tha_Thai"),
        ("tsn_Latn", "sot_Latn", "kor_Hang"),
        ("tir_Ethi", "amh_Ethi", "fin_Latn"),
    ],
)
@pytest.mark.parametrize("family", [None, "ngram", "encoder"])
def test_a_near_relative_beats_a_stranger(target: str, near: str, far: str, family: str | None) -> None:
    (ranking,) = sources.rank([target], [near, far], task="classify", family=family)
    assert order(ranking) == [near, far]


def test_to_ngrams_a_relative_in_another_script_is_a_stranger() -> None:
    (ranking,) = sources.rank(["hin_Deva"], ["urd_Arab", "npi_Deva"], task="classify", family="ngram")
    nepali, urdu = ranking.candidates
    assert (nepali.source, urdu.source) == ("npi_Deva", "urd_Arab")
    assert nepali.chosen and not urdu.chosen and urdu.low < 0
    ranker = sources.prior().rankers["signs"]
    found = sources.code_features(["urd_Arab"], ["hin_Deva"])
    x = np.array([[found[name][0, 0] for name in ranker.names]])
    stranger = np.array([[sources.STRANGERS.get(name, found[name][0, 0]) for name in ranker.names]])
    assert (x != stranger).any() and ranker.value(x) == ranker.value(stranger)
    names = ("script", "kin_close", "genetic", "geographic")
    x = np.array(
        [
            [1, 0.9, 0.2, 0.3],
            [0, 0.9, 0.2, 0.3],
            [0.5, 0.8, 0.4, 0.3],
            [0, math.nan, math.nan, 0.3],
            [1, math.nan, 0.2, 0.3],
        ]
    )
    wanted = [[1, 0.9, 0.2, 0.3], [0, 0, 1, 0.3], [0.5, 0.4, 0.7, 0.3], [0, 0, 1, 0.3], [1, math.nan, 0.2, 0.3]]
    np.testing.assert_allclose(sources.within_script(x, names), wanted)


def test_a_language_without_any_typology_is_answered_with_wider_intervals() -> None:
    known, unknown = sources.rank(["deu_Latn", "tlh_Latn"], ["fra_Latn"], task="tag")
    width = [one.candidates[0].high - one.candidates[0].low for one in (known, unknown)]
    assert width[0] < width[1]
    assert any("typology" in note for note in unknown.notes)
    assert unknown.candidates[0].known == 0


def forget() -> None:
    for each in vars(typology).values():
        if hasattr(each, "cache_clear"):
            each.cache_clear()


@needs_uriel
def test_without_urielplus_the_answer_stands_and_is_wider(monkeypatch: pytest.MonkeyPatch) -> None:
    (with_it,) = sources.rank(["swh_Latn"], POOL, task="tag")
    monkeypatch.setattr(typology, "_folder", lambda: None)
    forget()
    (ranking,) = sources.rank(["swh_Latn"], POOL, task="tag")
    monkeypatch.undo()
    forget()
    assert set(order(ranking)) == set(order(with_it))
    wide = {one.source: one.high - one.low for one in ranking.candidates}
    for one in with_it.candidates:
        assert wide[one.source] >= one.high - one.low


def test_tasks_that_were_not_fitted_say_so_and_unknown_ones_are_refused() -> None:
    (ranking,) = sources.rank(["swh_Latn"], POOL, task="nli")
    assert any("nli" in note for note in ranking.notes)
    with pytest.raises(InputError, match="did you mean 'sentiment'"):
        sources.rank(["swh_Latn"], POOL, task="sentimnt")


def test_no_candidates_are_refused_and_none_named_means_rich_languages() -> None:
    with pytest.raises(DataError, match="no candidate"):
        sources.rank(["swh_Latn"], [], task="tag")
    assert set(order(sources.rank(["swh_Latn"], task="tag")[0])) == set(sources.default_candidates())
    assert all(lang.facts(tag).resource in sources.RICH for tag in sources.default_candidates())


# -- texts -------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.text(max_size=30), max_size=8))
def test_a_sample_is_most_like_itself(texts: list[str]) -> None:
    mine, other = sources.profile(texts), sources.profile(["zq xj", "qqq"])
    if not mine.words:
        assert all(math.isnan(value) for value in sources.text_features(mine, other).values())
        return
    same, apart = sources.text_features(mine, mine), sources.text_features(mine, other)
    assert same["similarity"] == pytest.approx(1)
    assert (same["overlap_word"], same["overlap_subword"]) == (0.5, 0.5)
    assert apart["similarity"] <= same["similarity"] + 1e-9
    assert same["ttr_dist"] == 0


def test_a_large_sample_is_read_from_all_of_it() -> None:
    seen = sources.profile([f"w{i}" for i in range(3 * sources.MAX_TEXTS)])
    assert len(seen.words) == sources.MAX_TEXTS
    assert seen.n_rows == 3 * sources.MAX_TEXTS or seen.n_rows == sources.MAX_TEXTS
    assert any(int(word[1:]) > 2 * sources.MAX_TEXTS for word in seen.words)


def test_texts_move_the_answer_and_texts_of_others_do_not() -> None:
    sample = {"xho_Latn": ["Ndiyabulela kakhulu mhlobo wam"] * 30, "zul_Latn": ["Ngiyabonga kakhulu mngani wami"] * 30}
    sample["eng_Latn"] = ["Thank you very much my friend"] * 30
    texts = {tag: sources.profile(rows) for tag, rows in sample.items()}
    (codes,) = sources.rank(["xho_Latn"], POOL, task="classify")
    (seen,) = sources.rank(["xho_Latn"], POOL, task="classify", texts=texts)
    (few,) = sources.rank(["xho_Latn"], ["swh_Latn", "zul_Latn"], task="classify", texts=texts)
    same = {one.source: one.expected for one in seen.candidates}
    assert all(same[one.source] == one.expected for one in few.candidates)
    assert seen.candidates[0].stage == "prior and texts"
    assert [one.expected for one in seen.candidates] != [one.expected for one in codes.candidates]
    (other,) = sources.rank(["xho_Latn"], POOL, task="classify", texts={"fin_Latn": sources.profile(["kiitos"])})
    assert [one.expected for one in other.candidates] == [one.expected for one in codes.candidates]
    assert any("codes alone" in note for note in other.notes)


# -- what is shipped ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [None, "ngram"])
def test_reasons_add_up_to_the_gain(family: str | None) -> None:
    (ranking,) = sources.rank(["zul_Latn"], POOL, task="classify", family=family)
    for one in ranking.candidates:
        assert sum(reason.points for reason in one.reasons) == pytest.approx(one.expected, abs=0.1)


@given(st.sampled_from(TAGS), st.sampled_from(POOL))
@settings(deadline=None, max_examples=40)
def test_what_is_nearer_than_english_never_counts_against_a_source(target: str, source: str) -> None:
    if ENGLISH in (target, source) or target == source:
        return
    (ranking,) = sources.rank([target], [source], task="classify", family="ngram")
    told = {reason.feature: reason.points for reason in ranking.candidates[0].reasons}
    found = {name: column[:, 0] for name, column in sources.code_features([source, ENGLISH], [target]).items()}
    for heading in ("kinship", "place", "sounds"):
        mine = [name for name, of in sources.CODES.items() if of == heading]
        signs = {name: -1 if name in DISTANCES else 1 for name in mine}
        gaps = [signs[name] * (found[name][0] - found[name][1]) for name in mine]
        if heading in told and not np.isnan(gaps).any():
            assert told[heading] >= -0.005 or min(gaps) < 0
            assert told[heading] <= 0.005 or max(gaps) > 0


def test_no_gain_is_larger_than_any_that_was_measured() -> None:
    """The same language in another script lies outside everything that was fitted."""
    (ranking,) = sources.rank(["swh_Latn"], ["swh_Arab", "zul_Latn"], task="classify")
    most = history.LEVEL * ranking.fitted.points
    assert 0 < ranking.candidates[0].expected <= most + 0.01
    assert order(ranking)[0] == "swh_Arab"


def test_the_asset_has_coefficients_and_their_origin_and_no_rows() -> None:
    path = Path(sources.__file__).parents[1] / "assets" / "sources.json"
    value = json.loads(path.read_text(encoding="utf-8"))
    assert {"made", "data", "licences", "cv", "tasks", "mix", "unknown", "rankers"} == set(value)
    assert all("sha256" in row for row in value["data"].values())
    assert path.stat().st_size < 300_000
    for ranker in sources.prior().rankers.values():
        assert set(ranker.names) <= {*sources.CODES, *sources.TEXTS}
        assert np.isfinite(ranker.weights).all()


def test_trees_are_scored_as_scikit_learn_scores_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.ensemble import HistGradientBoostingRegressor

    path = Path(__file__).parents[2] / "tools" / "make_sources.py"
    spec = importlib.util.spec_from_file_location("make_sources", path)
    assert spec and spec.loader
    fitting = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "make_sources", fitting)
    spec.loader.exec_module(fitting)
    rng = np.random.default_rng(3)
    X = rng.normal(size=(400, 3))
    X[rng.random(X.shape) < 0.2] = np.nan
    y = np.nan_to_num(X[:, 0]) * 2 + (np.nan_to_num(X[:, 1]) > 0)
    theirs = HistGradientBoostingRegressor(
        max_iter=fitting.N_TREES,
        learning_rate=fitting.RATE,
        max_leaf_nodes=fitting.LEAVES,
        min_samples_leaf=fitting.LEAF_ROWS,
        l2_regularization=5.0,
        monotonic_cst=[1, -1, 0],
        early_stopping=False,
        random_state=0,
    ).fit(X, y)
    names = ("kin_close", "genetic", "speakers")
    grown = fitting.trees(X, y, np.ones(400), names)
    trees = tuple({key: np.array(cells) for key, cells in tree.items()} for tree in grown)
    low, high = np.full(3, -np.inf), np.full(3, np.inf)
    ranker = sources.Ranker(names, np.zeros(3), np.ones(3), np.zeros(3), trees, 1.0, {}, low, high)
    gap = theirs.predict(X) - ranker.value(X)
    assert np.ptp(gap) < 1e-9


def test_a_source_without_texts_is_answered_near_what_its_codes_say() -> None:
    sample = {"xho_Latn": ["Ndiyabulela kakhulu mhlobo wam"] * 30, "eng_Latn": ["Thank you very much"] * 30}
    texts = {tag: sources.profile(rows) for tag, rows in sample.items()}
    (codes,) = sources.rank(["xho_Latn"], POOL, task="classify")
    (seen,) = sources.rank(["xho_Latn"], POOL, task="classify", texts=texts)
    before = {one.source: one for one in codes.candidates}
    for one in seen.candidates:
        assert before[one.source].low <= one.expected <= before[one.source].high
