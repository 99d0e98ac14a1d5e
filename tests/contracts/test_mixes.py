"""What holds for every mix: a window of positions, pure, for any corpus and whatever was seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isogloss.core import parts
from isogloss.core.recipe import Bound
from isogloss.nn.batches import Feed

NAMES = parts.names("mixes")
EMPTY: dict[str, Any] = {"rows": {}, "tokens": {}, "epochs": {}, "loss": {}, "dev": {}}
LANGS = ["eng_Latn", "swh_Latn", "tha_Thai", "yor_Latn"]
# What a mix must be told.
KNOBS: dict[str, dict[str, Any]] = {"replay": {"old": LANGS[:1]}}


def rows(sizes: dict[str, int]) -> pl.DataFrame:
    langs = [lang for lang, n in sizes.items() for _ in range(n)]
    return pl.DataFrame({
        "id": [f"r{i}" for i in range(len(langs))], "lang": langs,
        "label": ["a" if i % 2 else "b" for i in range(len(langs))],
        "n_bytes": [10 + i % 7 for i in range(len(langs))],
        "task": ["topic" if i % 3 else "tone" for i in range(len(langs))],
    })  # fmt: skip


def order(name: str, frame: pl.DataFrame, seed: int, seen: dict[str, Any], **knobs: Any) -> np.ndarray:
    return np.asarray(bound(name, **knobs)("order", frame, np.random.default_rng(seed), seen))


def bound(name: str, **knobs: Any) -> Bound:
    part = parts.load("mixes", name)
    return Bound(part, part.bind({**KNOBS.get(name, {}), **knobs}))


sizes = st.fixed_dictionaries({"eng_Latn": st.integers(1, 40)}, optional=dict.fromkeys(LANGS[1:], st.integers(1, 40)))
seens = st.fixed_dictionaries({
    "rows": st.dictionaries(st.sampled_from(LANGS), st.integers(0, 500).map(float)),
    "dev": st.dictionaries(st.sampled_from(LANGS), st.floats(0, 1)),
    "course": st.lists(st.dictionaries(st.sampled_from(LANGS), st.floats(0, 1)), max_size=4),
    "floor": st.dictionaries(st.sampled_from(LANGS), st.floats(0, 1)),
    "n_dev": st.dictionaries(st.sampled_from(LANGS), st.integers(0, 500)),
    "progress": st.floats(0, 1), "planned": st.none() | st.floats(1, 5000), "batch": st.integers(1, 40),
    "better": st.sampled_from(["higher", "lower"]),
})  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(sizes=sizes, seed=st.integers(0, 99))
def test_a_window_is_positions_of_the_rows_and_pure(name: str, sizes: dict[str, int], seed: int) -> None:
    frame = rows(sizes)
    some = {key: dict.fromkeys(list(sizes)[:1], 0.5) for key in EMPTY}
    for seen in (EMPTY, some, {key: dict.fromkeys(sizes, 1.0) for key in EMPTY}):
        window = order(name, frame, seed, seen)
        assert window.ndim == 1
        assert np.issubdtype(window.dtype, np.integer)
        assert 1 <= len(window) <= frame.height
        assert window.min() >= 0
        assert window.max() < frame.height
        np.testing.assert_array_equal(window, order(name, frame, seed, seen))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(sizes=sizes, seen=seens, data=st.data())
def test_whatever_the_loop_has_seen_there_is_a_window(
    name: str, sizes: dict[str, int], seen: dict[str, Any], data: st.DataObject
) -> None:
    """Also when languages have left: their rows are gone, and their sizes are still told."""
    left = data.draw(st.sets(st.sampled_from(sorted(sizes)), max_size=len(sizes) - 1))
    frame = rows(sizes)
    seen = {"tokens": {}, "epochs": {}, "loss": {}, **seen, "sizes": sizes}
    known = frame.filter(~pl.col("lang").is_in(list(left))).with_columns(met=pl.int_range(pl.len()) % 3)
    window = order(name, known, 0, seen)
    assert 1 <= len(window) <= max(known.height, 8 * seen["batch"])
    assert 0 <= window.min() <= window.max() < known.height


@pytest.mark.parametrize("name", NAMES)
def test_other_numbers_give_another_order(name: str) -> None:
    frame = rows({"eng_Latn": 30, "swh_Latn": 30})
    assert (order(name, frame, 1, EMPTY) != order(name, frame, 2, EMPTY)).any()


@pytest.mark.parametrize("name", NAMES)
def test_no_row_is_left_out_for_ever(name: str) -> None:
    frame = rows({"eng_Latn": 40, "swh_Latn": 2})
    rng = np.random.default_rng(0)
    mix, met = bound(name), np.zeros(frame.height, np.int64)
    for i in range(80):
        seen = {**EMPTY, "progress": i / 80, "planned": 80.0 * frame.height}
        window = mix("order", frame.with_columns(met=pl.Series(met)), rng, seen)
        met += np.bincount(window, minlength=frame.height)
    assert met.min() >= 1


@pytest.mark.parametrize("name", [name for name in NAMES if parts.load("mixes", name).has("shares")])
@pytest.mark.parametrize("of", ["rows", "tokens"])
def test_what_a_mix_says_of_how_often_rows_come_is_how_often_they_come(name: str, of: str) -> None:
    frame = rows({"eng_Latn": 120, "swh_Latn": 9, "tha_Thai": 1}).with_columns(
        weight=pl.Series(np.random.default_rng(0).choice([0.0, 0.1, 1.0, 3.0], 130))
    )
    mix = bound(name, **({"of": of} if "of" in parts.load("mixes", name).knobs else {}))
    said, met, rng = mix("shares", frame), np.zeros(frame.height, np.int64), np.random.default_rng(1)
    for _ in range(200):
        own = np.zeros(frame.height, np.int64)
        while own.sum() < frame.height:
            by_lang = frame.with_columns(own=pl.Series(own)).group_by("lang").agg(pl.col("own").sum())
            seen = {**EMPTY, "rows": dict(by_lang.rows()), "progress": own.sum() / frame.height, "planned": 130.0}
            own += np.bincount(mix("order", frame.with_columns(met=pl.Series(met + own)), rng, seen), minlength=130)
        met += own
    assert said.shape == (130,) and said.sum() == pytest.approx(130)
    np.testing.assert_allclose(said, met * (130 / met.sum()), rtol=0.06, atol=0.06)
    assert ((said > 0) == (met > 0)).all()


def test_shares_of_temperature_are_exact_and_rows_repeat_late() -> None:
    frame = rows({"eng_Latn": 90, "swh_Latn": 10})
    counts = np.bincount(order("temperature", frame, 0, EMPTY, tau=0.0), minlength=100)
    assert counts[:90].sum() == counts[90:].sum() == 50
    assert counts[:90].max() == 1
    assert set(counts[90:].tolist()) == {5}
    natural = np.bincount(order("temperature", frame, 0, EMPTY, tau=1.0), minlength=100)
    assert natural.tolist() == [1] * 100


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [1, 7, 50, 130])
def test_the_feed_gives_the_windows_and_goes_on_from_its_state(name: str, n: int) -> None:
    frame = rows({"eng_Latn": 40, "swh_Latn": 13})
    mix = bound(name)
    lengths = np.random.default_rng(1).integers(3, 90, frame.height)

    def feed() -> Feed:
        return Feed(mix, frame, 3, lengths, n, None)

    whole, cut = feed(), feed()
    want = [whole.take(EMPTY) for _ in range(6)]
    assert all(len(batch) <= n for batch in want)
    got = [cut.take(EMPTY) for _ in range(3)]
    other = feed()
    other.restore(cut.state(), cut.arrays())
    got += [other.take(EMPTY) for _ in range(3)]
    for a, b in zip(want, got, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [{"n_rows": 8, "n_tokens": None}, {"n_rows": 32, "n_tokens": 300}])
def test_buckets_keep_the_mixture_of_every_window(name: str, size: dict[str, Any]) -> None:
    """After each window exactly the rows that the mix named were taken, though rows of like length go together."""
    frame = rows({"eng_Latn": 300, "swh_Latn": 40, "tha_Thai": 90})
    mix = bound(name)
    lengths = np.random.default_rng(1).lognormal(3.3, 0.6, frame.height).astype(int) + 2
    feed = Feed(mix, frame, 3, lengths, **size)
    plain, seen = np.random.default_rng(3), {**EMPTY, "batch": 8}
    for _ in range(4):
        window = mix("order", frame.with_columns(met=pl.Series(feed.met)), plain, seen)
        taken = [feed.take(seen)]
        while sum(map(len, taken)) < len(window):
            taken.append(feed.take(seen))
        assert sorted(np.concatenate(taken).tolist()) == sorted(window.tolist())
        if size["n_tokens"] is None:
            assert max(map(len, taken)) - min(map(len, taken)) <= 1
        else:
            assert all(lengths[batch].max() * len(batch) <= size["n_tokens"] or len(batch) == 1 for batch in taken)
        padded = sum(lengths[batch].max() * len(batch) for batch in taken)
        most = 1.2 if len(window) == frame.height else 1.6  # a short window has fewer rows of like length
        assert padded < most * lengths[window].sum() or name == "parallel"


@pytest.mark.parametrize("of", ["rows", "tokens"])
def test_unimax_ends_at_its_cap_and_a_last_window_does_not_fill_up_with_the_smallest(of: str) -> None:
    size, cap, batch, steps = {"eng_Latn": 500, "swh_Latn": 50, "tha_Thai": 5}, 1.5, 8, 114
    frame = rows(size)
    langs = np.array(frame["lang"].to_list())
    for seed in range(8):
        feed = Feed(bound("unimax", epochs=cap, of=of), frame, seed, None, batch, None)
        counts = dict.fromkeys(size, 0)
        for step in range(steps):
            met = {lang: float(n) for lang, n in counts.items()}
            seen = {"sizes": size, "planned": steps * batch, "batch": batch, "rows": met, "progress": step / steps}
            for lang in langs[feed.take({**EMPTY, **seen})].tolist():
                counts[lang] += 1
        # 912 rows are asked for and 832 allowed; the rest is in proportion to size, and shares of a window are whole rows
        assert counts["tha_Thai"] <= cap * 5 + 3, counts
        assert counts["swh_Latn"] <= cap * 50 + 20, counts
