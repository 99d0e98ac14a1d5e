"""What each mix promises, over whole runs: shares, caps, turns, and what small languages and small dev sets do to it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import polars as pl
import pytest

from isogloss.core import parts, windows
from isogloss.core.errors import InputError, RecipeError
from isogloss.core.recipe import Bound
from isogloss.nn.batches import Feed

# A hundred times as many rows of one as of another, and a language with one row.
SIZES = {"eng_Latn": 500, "deu_Latn": 100, "zho_Hans": 40, "swh_Latn": 5, "yor_Latn": 1}
BATCH = 16


def rows(sizes: dict[str, int]) -> pl.DataFrame:
    langs = [lang for lang, n in sizes.items() for _ in range(n)]
    length = np.concatenate([np.random.default_rng(0).permutation(n) for n in sizes.values()]) + 1
    return pl.DataFrame(
        {"id": [f"r{i}" for i in range(len(langs))], "lang": langs, "n_bytes": length, "n_tokens": length}
    )


def bound(name: str, **knobs: Any) -> Bound:
    part = parts.load("mixes", name)
    return Bound(part, part.bind(knobs))


def course(
    name: str, sizes: dict[str, int] = SIZES, epochs: float = 10, **knobs: Any
) -> tuple[pl.DataFrame, list[np.ndarray]]:
    """The rows, and what is taken of each window in a run of so many epochs, as the loop asks for them."""
    cap = {"epochs": knobs.pop("cap")} if "cap" in knobs else {}
    frame, mix = rows(sizes), bound(name, **cap, **knobs)
    feed = Feed(mix, frame, 0, None, BATCH, None, losses=True)
    planned, found, n = epochs * frame.height, [], 0
    seen: dict[str, Any] = {"sizes": sizes, "batch": BATCH, "planned": planned, "progress": 0.0}
    while n < planned:
        by_lang = frame.with_columns(met=pl.Series(feed.met)).group_by("lang").agg(pl.col("met").sum())
        seen |= {"progress": n / planned, "rows": dict(by_lang.rows())}
        at = feed.take(seen)
        if feed.taken == 1:
            found.append(at)
        else:
            found[-1] = np.concatenate([found[-1], at])
        feed.learned(at, np.ones(len(at)))
        n += len(at)
    return frame, found


def counts(frame: pl.DataFrame, window: np.ndarray) -> dict[str, int]:
    got = Counter(frame["lang"].to_numpy()[window].tolist())
    return {lang: got[lang] for lang in frame["lang"].unique(maintain_order=True)}


def epochs_of(frame: pl.DataFrame, found: list[np.ndarray]) -> dict[str, float]:
    sizes = dict(frame.group_by("lang").len().rows())
    return {lang: n / sizes[lang] for lang, n in counts(frame, np.concatenate(found)).items()}


# -- what all share ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["temperature", "cooldown", "unimax", "worst_first", "sequential", "curriculum"])
def test_one_language_comes_evenly(name: str) -> None:
    frame, found = course(name, {"tha_Thai": 64}, epochs=12)
    met = np.bincount(np.concatenate(found), minlength=frame.height)
    assert met.min() >= 1
    if name != "curriculum":  # which begins with the short ones
        assert met.max() - met.min() <= 1


@pytest.mark.parametrize("name", ["temperature", "cooldown", "unimax", "worst_first"])
def test_a_row_comes_again_only_after_all_others_of_its_language(name: str) -> None:
    frame, found = course(name)
    met = np.bincount(np.concatenate(found[:-1]), minlength=frame.height)  # the last one is cut where the run ends
    for lang in SIZES:
        own = met[(frame["lang"] == lang).to_numpy()]
        assert own.max() - own.min() <= 1, lang


def test_shares_are_exact_over_many_windows_though_one_has_less_than_a_row_of_a_language() -> None:
    shares = np.array([0.9, 0.07, 0.029, 0.001])
    rng = np.random.default_rng(0)
    each = np.array([windows.systematic(shares * 20, rng) for _ in range(4000)])
    assert (each.sum(axis=1) == 20).all()
    assert (np.abs(each - shares * 20) < 1).all()
    np.testing.assert_allclose(each.mean(axis=0), shares * 20, atol=4 * np.sqrt(0.25 / 4000))


def test_of_tokens_shares_are_of_tokens() -> None:
    frame = pl.DataFrame({"lang": ["a"] * 200 + ["b"] * 200, "n_bytes": 1, "n_tokens": [3] * 200 + [30] * 200})
    rng = np.random.default_rng(0)
    for name, knobs in (("temperature", {"tau": 0.0}), ("unimax", {"epochs": 1e6}), ("worst_first", {"tau": 0.0})):
        mix, tokens = bound(name, of="tokens", **knobs), Counter[str]()
        for _ in range(60):
            for lang, n in frame[mix("order", frame, rng, {})].group_by("lang").agg(pl.col("n_tokens").sum()).rows():
                tokens[lang] += n
        assert abs(tokens["a"] / tokens.total() - 0.5) < 0.01, name


# -- each of them -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cap", [1.0, 4.0, 20.0])
def test_unimax_deals_evenly_up_to_its_cap(cap: float) -> None:
    run = min(5.0, 0.9 * cap)  # the caps of all together suffice
    frame, found = course("unimax", epochs=run, cap=cap)
    epochs, total = epochs_of(frame, found), sum(map(len, found))
    ideal = windows.filled(total, cap * np.array(list(SIZES.values()), float))
    for lang, n in zip(SIZES, ideal, strict=True):
        assert epochs[lang] * SIZES[lang] <= cap * SIZES[lang] + 3, lang  # the last batch goes beyond what was planned
        assert abs(epochs[lang] * SIZES[lang] - n) <= 3 + 0.01 * total, lang


def test_unimax_goes_on_naturally_when_all_have_had_theirs() -> None:
    frame, found = course("unimax", epochs=6, cap=1.0)
    last = counts(frame, np.concatenate(found[-10:]))
    assert abs(last["eng_Latn"] / sum(last.values()) - 500 / 646) < 0.02


def test_cooldown_goes_from_small_languages_to_all_as_they_are() -> None:
    frame, found = course("cooldown", epochs=20, start=0.0, until=0.5)
    small = np.array(
        [sum(counts(frame, window)[lang] for lang in ("zho_Hans", "swh_Latn", "yor_Latn")) for window in found]
    )
    n = len(found[0])
    assert abs(small[0] - 0.6 * n) <= 1
    later = small[len(found) // 2 + 1 :]
    assert abs(later.mean() - n * 46 / 646) < 1.5
    assert (np.diff(small[: len(found) // 2]) <= 1).all()


def test_a_curriculum_of_length_is_inside_each_language() -> None:
    frame, found = course("curriculum", epochs=10, start=0.2, until=0.5)
    length = frame["n_tokens"].to_numpy()
    first = counts(frame, found[0])
    for lang, n in SIZES.items():
        own = found[0][(frame["lang"].to_numpy() == lang)[found[0]]]
        assert length[own].max(initial=0) <= np.ceil(0.2 * n), lang
    assert abs(first["eng_Latn"] / len(found[0]) - 500 / 646) < 0.03  # languages as they are
    last = np.concatenate(found[len(found) // 2 + 1 :])
    assert length[last].max() == 500


def test_a_curriculum_of_loss_takes_what_was_never_met_and_then_what_is_easy() -> None:
    frame = pl.DataFrame({"lang": ["a"] * 100, "n_bytes": 1, "met": 1, "loss": [float(i) for i in range(100)]})
    mix, rng = bound("curriculum", by="loss", start=0.3), np.random.default_rng(0)
    assert mix("order", frame, rng, {"progress": 0.0}).max() < 30
    unmet = frame.with_columns(loss=pl.when(pl.int_range(pl.len()) >= 90).then(float("nan")).otherwise("loss"))
    easy = set(np.concatenate([mix("order", unmet, rng, {"progress": 0.0}) for _ in range(40)]).tolist())
    assert easy == {*range(90, 100), *range(20)}
    assert set(mix("needs")) == {"time", "loss"}


def test_a_curriculum_from_a_source_begins_with_what_is_near_it() -> None:
    sizes = {"eng_Latn": 20, "deu_Latn": 20, "zho_Hans": 20, "yor_Latn": 20}
    frame, mix = rows(sizes), bound("curriculum", by="source", source="eng", start=0.5)
    seen = {"sizes": sizes, "progress": 0.0}
    assert set(frame[mix("order", frame, np.random.default_rng(0), seen)]["lang"]) == {"eng_Latn", "deu_Latn"}
    gone = frame.filter(pl.col("lang").is_in(["zho_Hans", "yor_Latn"]))  # the near ones have left
    assert len(mix("order", gone, np.random.default_rng(0), seen))
    with pytest.raises(RecipeError, match="qq"):
        bound("curriculum", by="source", source="qq")("check")


def test_sequential_adds_languages_and_replays_the_old_ones() -> None:
    frame, found = course("sequential", epochs=30, steps=2, replay=0.25)
    met, by_window = 0, [counts(frame, window) for window in found]
    total, n_new = sum(map(len, found)), len(SIZES) - round(len(SIZES) / 2)
    later = [lang for lang in SIZES if lang not in list(SIZES)[: len(SIZES) - n_new]]
    for got in by_window:
        progress = met / total
        if progress < 0.49:
            assert not sum(got[lang] for lang in later)
        elif progress > 0.51:
            old = sum(n for lang, n in got.items() if lang not in later)
            assert abs(old - 0.25 * sum(got.values())) <= 1
        met += sum(got.values())


def test_sequential_says_when_steps_end_and_by_what() -> None:
    mix = bound("sequential", steps=3)
    stages = mix("stages", SIZES)
    assert [lang for _, langs in stages for lang in langs] == list(SIZES)
    assert [end for end, _ in stages] == [1 / 3, 2 / 3, 1.0]
    assert len(mix("stages", {"eng_Latn": 3})) == 1  # one language has one step
    by = bound("sequential", steps=2, by="resource")("stages", {"yor_Latn": 900, "eng_Latn": 3, "quy_Latn": 5000})
    assert by[0][1][0] == "eng_Latn" and by[-1][1][-1] == "quy_Latn"


def shares(dev: dict[str, float], n_dev: dict[str, int], **more: Any) -> dict[str, float]:
    frame = pl.DataFrame({"lang": [lang for lang in dev for _ in range(1000)], "n_bytes": 1})
    seen = {"course": [dev], "floor": dict.fromkeys(dev, 0.6), "n_dev": n_dev, **more}
    window = bound("worst_first", tau=0.0)("order", frame, np.random.default_rng(0), seen)
    return {lang: n / len(window) for lang, n in counts(frame, window).items()}


def test_worst_first_answers_what_dev_rows_can_show() -> None:
    langs = [f"l{i}" for i in range(8)]
    behind = {**dict.fromkeys(langs, 0.7), "l0": 0.4}
    many = shares(behind, dict.fromkeys(langs, 500))
    assert many["l0"] > 2.5 * many["l1"]
    few = shares(behind, {**dict.fromkeys(langs, 500), "l0": 5})
    assert few["l0"] < 1.2 * few["l1"]
    unknown = shares(behind, dict.fromkeys(langs[1:], 500))  # no dev rows
    assert abs(unknown["l0"] - 1 / 8) < 0.02
    even = shares(dict.fromkeys(langs, 0.7), dict.fromkeys(langs, 500))
    assert max(even.values()) - min(even.values()) < 1e-9
    lower = shares({**dict.fromkeys(langs, 0.7), "l0": 1.0}, dict.fromkeys(langs, 500), better="lower")
    assert lower["l0"] > 2.5 * lower["l1"]
    bound_ = shares({**dict.fromkeys(langs, 1.0), "l0": 0.0}, dict.fromkeys(langs, 5000))
    assert bound_["l0"] / bound_["l1"] <= 16 + 1e-6  # four times, and a quarter


def test_worst_first_is_not_fooled_by_small_dev_sets() -> None:
    """61 languages of 20 dev rows, all as good as their floor: shares stay nearly even."""
    rng, langs = np.random.default_rng(0), [f"l{i:02}" for i in range(61)]
    spread = []
    for _ in range(20):
        dev, floor = ({lang: rng.binomial(20, 0.7) / 20 for lang in langs} for _ in range(2))
        got = shares(dev, dict.fromkeys(langs, 20), floor=floor)
        spread.append(max(got.values()) / min(got.values()))
    assert np.median(spread) < 1.3


def test_replay_has_its_share_in_every_window() -> None:
    sizes = {"eng_Latn": 900, "deu_Latn": 100, "swh_Latn": 50, "yor_Latn": 1}
    frame, found = course("replay", sizes, epochs=3, old=["eng", "de"], share=0.3)
    for window in found:
        got = counts(frame, window)
        assert abs(got["eng_Latn"] + got["deu_Latn"] - 0.3 * len(window)) <= 1
    got = counts(frame, np.concatenate(found))
    assert abs(got["eng_Latn"] / got["deu_Latn"] - 9) < 0.2
    with pytest.raises(InputError, match="none of the old languages"):
        bound("replay", old=["jpn"])("order", frame, np.random.default_rng(0), {})
    with pytest.raises(RecipeError):
        bound("replay", old=["nolanguage"])("check")


def test_multitask_has_shares_by_task_and_by_language_inside_it() -> None:
    frame = pl.DataFrame({
        "task": ["topic"] * 160 + ["tone"] * 40, "lang": ["a"] * 120 + ["b"] * 40 + ["a"] * 10 + ["b"] * 30, "n_bytes": 1,
    })  # fmt: skip
    window = bound("multitask", tau=0.0)("order", frame, np.random.default_rng(0), {})
    got = frame[window].group_by("task", "lang").len().sort("task", "lang")["len"].to_list()
    assert got == [25, 75, 75, 25]  # of tone, then of topic
