"""Draws of a few rows: exact, by class, nested, keyed by seed and draw, and the same contents in every language."""

from __future__ import annotations

import random

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from isogloss.core.shots import draw

LANGS = ("amh_Ethi", "swh_Latn", "tha_Thai")


def parallel(sizes: dict[str, int], langs: tuple[str, ...] = LANGS) -> pl.DataFrame:
    """So many contents of each label, each of them once in every language."""
    return pl.DataFrame(
        [
            {"id": f"{lang}-{label}{i}", "lang": lang, "group": f"{label}{i}", "label": label}
            for lang in langs
            for label, n in sizes.items()
            for i in range(n)
        ]
    )


sizes = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 30), min_size=1)


@settings(max_examples=60, deadline=None)
@given(sizes=sizes, n=st.integers(1, 60), seed=st.integers(0, 9), number=st.integers(0, 4), at=st.randoms())
def test_counts_are_exact_classes_covered_and_place_does_not_matter(
    sizes: dict[str, int], n: int, seed: int, number: int, at: random.Random
) -> None:
    rows = parallel(sizes)
    found = draw(rows, n, seed=seed, number=number)
    total = sum(sizes.values())
    for lang in LANGS:
        mine = found.filter(pl.col("lang") == lang)
        assert mine.height == min(n, total)
        assert mine["label"].n_unique() == min(len(sizes), n)
        for label, size in sizes.items():  # in proportion, but for the one row that each class has first
            share = n * size / total
            got = mine.filter(pl.col("label") == label).height
            assert got <= max(1, share + 1)
        assert set(mine["group"]) == set(found.filter(pl.col("lang") == LANGS[0])["group"])
    order = list(range(rows.height))
    at.shuffle(order)
    assert set(draw(rows[order], n, seed=seed, number=number)["id"]) == set(found["id"])
    assert found["id"].to_list() == [i for i in rows["id"] if i in set(found["id"])]


@settings(max_examples=40, deadline=None)
@given(sizes=sizes, few=st.integers(1, 20), more=st.integers(0, 40), number=st.integers(0, 3))
def test_the_fewer_are_among_the_more(sizes: dict[str, int], few: int, more: int, number: int) -> None:
    rows = parallel(sizes, ("swh_Latn",))
    small, large = (set(draw(rows, n, seed=1, number=number)["id"]) for n in (few, few + more))
    assert small <= large


def test_draws_and_seeds_differ_and_cover() -> None:
    rows = parallel({"a": 40, "b": 20})
    drawn = [frozenset(draw(rows, 10, seed=s, number=d)["id"]) for s in (1, 2) for d in range(5)]
    assert len(set(drawn)) == 10
    assert set().union(*(draw(rows, 10, seed=1, number=d)["id"] for d in range(60))) == set(rows["id"])


def test_other_languages_do_not_matter() -> None:
    rows = parallel({"a": 9, "b": 4})
    alone = rows.filter(pl.col("lang") == "tha_Thai")
    together = draw(rows, 5, seed=1, number=0).filter(pl.col("lang") == "tha_Thai")
    assert draw(alone, 5, seed=1, number=0).equals(together)


def test_a_language_that_lacks_some_contents_still_gets_the_others() -> None:
    rows = parallel({"a": 30, "b": 30})
    missing = set(draw(rows, 2, seed=1, number=0)["group"])
    holed = rows.filter((pl.col("lang") != "tha_Thai") | ~pl.col("group").is_in(list(missing)))
    found = draw(holed, 10, seed=1, number=0)
    by_lang = {lang: set(found.filter(pl.col("lang") == lang)["group"]) for lang in LANGS}
    assert by_lang["amh_Ethi"] == by_lang["swh_Latn"]
    assert len(by_lang["tha_Thai"]) == 10
    assert len(by_lang["tha_Thai"] & by_lang["swh_Latn"]) == 8


def test_a_content_comes_twice_only_when_all_came_once() -> None:
    rows = pl.concat([parallel({"a": 6}, ("swh_Latn",)).with_columns(pl.col("id") + f"-{i}") for i in range(3)])
    assert draw(rows, 6, seed=1, number=0)["group"].n_unique() == 6


def test_without_labels_and_without_groups() -> None:
    rows = parallel({"a": 20}).drop("label")
    found = draw(rows, 7, seed=1, number=0)
    assert found.group_by("lang").len()["len"].to_list() == [7, 7, 7]
    single = rows.with_columns(pl.lit(None, pl.String).alias("group"))
    assert draw(single, 7, seed=1, number=0).height == 21


def test_rows_without_a_label_and_no_rows_at_all() -> None:
    rows = parallel({"a": 3, "b": 3}).with_columns(
        pl.when(pl.col("group") == "a0").then(None).otherwise("label").alias("label")
    )
    assert draw(rows, 9, seed=1, number=0).filter(pl.col("lang") == "swh_Latn").height == 5
    assert draw(rows.clear(), 9, seed=1, number=0).is_empty()
