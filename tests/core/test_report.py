"""Intervals, slices, paired comparison: checked by simulation, by hand and beside sklearn."""

from __future__ import annotations

import importlib
import math
import warnings
from types import ModuleType

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isogloss.core import report, resampling
from isogloss.core.errors import DataError

LABELS = ("a", "b", "c", "d")


def load(name: str) -> ModuleType:
    return importlib.import_module(f"isogloss.parts.metrics.{name}")


ACCURACY, MACRO_F1, LOG_LOSS, CONSISTENCY = map(load, ("accuracy", "macro_f1", "log_loss", "consistency"))


def predictions(right: np.ndarray, *, parallel: bool = True, seed: int = 0, resource: str = "low") -> pl.DataFrame:
    """Rows of `right` (L languages, N rows): where False, the prediction is another label than gold."""
    n_langs, n = right.shape
    rng = np.random.default_rng(seed)
    gold = np.tile(rng.integers(0, 4, n), n_langs)
    pred = np.where(right.ravel(), gold, (gold + 1 + rng.integers(0, 3, gold.size)) % 4)
    lang = np.repeat(np.arange(n_langs), n)
    row = np.tile(np.arange(n), n_langs)
    probs = np.full((gold.size, 4), 0.1)
    probs[np.arange(gold.size), pred] = 0.7
    names = np.array(LABELS)
    return pl.DataFrame(
        {
            "id": [f"{a:03d}-{b:05d}" for a, b in zip(lang, row, strict=True)],
            "lang": [f"l{a:02d}" for a in lang],
            "group": [f"g{b:05d}" if parallel else None for b in row],
            "label": names[gold],
            "pred": names[pred],
            "probs": pl.Series(probs.tolist(), dtype=pl.List(pl.Float64)),
            "script": "Latn",
            "resource": resource,
        },
        schema_overrides={"group": pl.String},
    )


def coin(n_langs: int, n: int, share: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((n_langs, n)) < share


def one(scores: pl.DataFrame, **where: str) -> dict:
    return scores.row(by_predicate=pl.all_horizontal(*(pl.col(k) == v for k, v in where.items())), named=True)


def score(rows: pl.DataFrame, *names: str, **options: object) -> pl.DataFrame:
    given_options = {"system": "model", "slices": ("lang",), "resamples": 200} | options
    return report.score(rows, {name: load(name) for name in names}, LABELS, **given_options)  # type: ignore[arg-type]


# --- small statistics


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(resampling.holm([0.005, 0.011, 0.02, 0.04, 0.13]), [0.025, 0.044, 0.06, 0.08, 0.13])
    np.testing.assert_allclose(resampling.holm([0.5, np.nan, 0.01]), [0.5, np.nan, 0.02])
    assert resampling.holm([]).size == 0


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_never_makes_a_p_smaller_nor_changes_the_order(p: list[float]) -> None:
    adjusted = resampling.holm(p)
    assert (adjusted >= np.asarray(p)).all() and (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


@settings(deadline=None)
@given(st.integers(0, 50), st.integers(1, 50), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_is_scipys(k: int, more: int, confidence: float) -> None:
    from scipy.stats import binomtest

    low, high = resampling.wilson(k, k + more - 1 if k else more, confidence)
    theirs = binomtest(k, k + more - 1 if k else more).proportion_ci(confidence, "wilson")
    assert (float(low), float(high)) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_wilson_of_nothing_is_unknown() -> None:
    low, high = resampling.wilson([0, 1], [0, 2])
    assert np.isnan([low[0], high[0]]).all() and 0 < low[1] < 0.5 < high[1] < 1


def test_the_worst_tenth() -> None:
    values = np.arange(25) / 100
    assert resampling.aggregate(values, "higher")["worst"] == pytest.approx(0.005)  # two of 25
    assert resampling.aggregate(values, "lower")["worst"] == pytest.approx(0.235)
    assert resampling.aggregate(values, "lower")["gap"] == pytest.approx(0.24)


# --- beside sklearn


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(0, 10**6))
def test_values_are_sklearns(n: int, seed: int) -> None:
    from sklearn import metrics as theirs

    rng = np.random.default_rng(seed)
    rows = predictions(rng.random((1, n)) < 0.5, seed=seed)
    rows = rows.with_columns(label=pl.when(pl.int_range(n) % 7 == 3).then(pl.lit("new")).otherwise("label"))
    gold, pred = rows["label"].to_list(), rows["pred"].to_list()

    def ours(name: str) -> float:
        return float(load(name).value(load(name).stats(rows, LABELS).sum(axis=0)))

    options = {"average": "macro", "zero_division": 0}
    assert ours("accuracy") == pytest.approx(theirs.accuracy_score(gold, pred))
    assert ours("macro_f1") == pytest.approx(theirs.f1_score(gold, pred, **options))
    assert ours("precision") == pytest.approx(theirs.precision_score(gold, pred, **options))
    assert ours("recall") == pytest.approx(theirs.recall_score(gold, pred, **options))
    known = rows.filter(pl.col("label") != "new")
    if known.height:
        loss = load("log_loss").value(load("log_loss").stats(known, LABELS).sum(axis=0))
        theirs_loss = theirs.log_loss(known["label"].to_list(), known["probs"].to_list(), labels=list(LABELS))
        assert loss == pytest.approx(theirs_loss)


def test_calibration_error_by_hand() -> None:
    rows = predictions(np.array([[True] * 5 + [False] * 5]))  # all with confidence 0.7, half right
    assert one(score(rows, "calibration_error"), by="lang")["value"] == pytest.approx(0.2)


def test_consistency_by_hand() -> None:
    rows = predictions(np.ones((3, 1), bool)).with_columns(pred=pl.Series(["a", "a", "b"]))
    counts = CONSISTENCY.stats(rows, LABELS)
    np.testing.assert_array_equal(counts, [[1, 2], [1, 2], [0, 2]])
    twice = pl.concat(
        [rows, rows[0].with_columns(id=pl.lit("again"))]
    )  # a second row of the same language is no partner
    np.testing.assert_array_equal(CONSISTENCY.stats(twice, LABELS), [[1, 2], [2, 3], [0, 3], [1, 2]])
    scores = score(predictions(np.ones((2, 20), bool), parallel=False), "consistency")
    assert scores["value"].null_count() == scores.height and (scores["n"] == 0).all()


def test_probabilities_that_are_none_are_refused() -> None:
    rows = predictions(np.ones((1, 3), bool))
    with pytest.raises(DataError, match="not a number from 0 to 1"):
        LOG_LOSS.stats(rows.with_columns(probs=pl.Series([[math.nan] * 4] * 3)), LABELS)
    with pytest.raises(DataError, match="2 probabilities where there are 4 labels"):
        LOG_LOSS.stats(rows.with_columns(probs=pl.Series([[0.5, 0.5]] * 3)), LABELS)


# --- scores


def test_the_frame_of_scores() -> None:
    rows = predictions(coin(3, 40, 0.7, 0))
    scores = score(rows, "accuracy", "macro_f1", slices=("lang", "script"), data_hash="ab12cd")
    assert dict(scores.schema) == report.SCORES_SCHEMA
    assert scores.filter(pl.col("metric") == "accuracy").select("by", "key").rows() == [
        ("lang", "l00"), ("lang", "l01"), ("lang", "l02"), ("script", "Latn"),
        ("all", "mean"), ("all", "worst"), ("all", "gap"),
    ]  # fmt: skip
    assert one(scores, metric="macro_f1", key="mean")["signature"] == (
        "macro_f1|v1|labels:4|units:group|boot:200|conf:0.95|seed:17|data:ab12cd"
    )
    by_lang = scores.filter(pl.col("by") == "lang", pl.col("metric") == "accuracy")
    found = one(scores, metric="accuracy", key="mean")
    assert found["value"] == pytest.approx(by_lang["value"].mean()) and found["n"] == 120
    assert one(scores, metric="accuracy", key="worst")["value"] == by_lang["value"].min()
    assert one(scores, metric="accuracy", by="script")["n"] == 120
    assert (scores["low"] <= scores["value"]).all() and (scores["value"] <= scores["high"]).all()
    assert (scores["low"] < scores["high"]).all()


def test_row_order_changes_nothing() -> None:
    rows = predictions(coin(3, 40, 0.7, 0), parallel=False)
    names = ("accuracy", "macro_f1", "log_loss", "calibration_error", "consistency")
    assert score(rows, *names).equals(score(rows.sample(fraction=1, shuffle=True, seed=1), *names))


def test_a_missing_column_and_a_repeated_id_are_refused() -> None:
    rows = predictions(coin(2, 5, 0.7, 0))
    with pytest.raises(DataError, match="no column 'scrip'; did you mean 'script'"):
        score(rows, "accuracy", slices=("scrip",))
    with pytest.raises(DataError, match="5 predictions repeat the id"):
        score(pl.concat([rows, rows[:5]]), "accuracy")


def test_no_rows_give_nulls() -> None:
    scores = score(predictions(coin(2, 5, 0.7, 0))[:0], "accuracy", "macro_f1")
    assert scores["key"].to_list() == ["mean", "worst", "gap"] * 2
    assert scores["value"].null_count() == 6 and (scores["n"] == 0).all()


def test_rows_without_gold_do_not_count_and_one_language_has_no_gap() -> None:
    rows = predictions(coin(1, 20, 0.7, 0))
    rows = rows.with_columns(label=pl.when(pl.int_range(20) < 5).then(None).otherwise("label"))
    scores = score(rows, "accuracy", slices=("lang", "resource"))
    assert one(scores, by="lang")["n"] == 15 and one(scores, key="gap")["value"] is None
    unknown = score(rows.with_columns(resource=pl.lit(None, pl.String)), "accuracy", slices=("resource",))
    assert one(unknown, by="resource")["key"] == "unknown"


def test_never_a_width_of_zero() -> None:
    """All right: the interval is the rule of three; one row says nothing; the infinite range says null."""
    scores = score(predictions(np.ones((1, 99), bool)), "accuracy", "log_loss")
    low, high = (one(scores, metric="accuracy", by="lang")[k] for k in ("low", "high"))
    assert low == pytest.approx(1 - 3 / 99, abs=1e-4) and high == 1
    alike = one(scores, metric="log_loss", by="lang")
    assert alike["low"] is None and alike["value"] is not None
    single = score(predictions(np.ones((1, 1), bool)), "accuracy", "log_loss")
    assert [one(single, metric="accuracy", by="lang")[k] for k in ("low", "high")] == [0, 1]
    assert one(single, metric="log_loss", by="lang")["low"] is None
    for n in range(2, 10):
        few = one(score(predictions(np.ones((1, n), bool)), "accuracy"), by="lang")
        assert few["low"] == pytest.approx(max(0, 1 + math.log(0.05) / n)) and few["n"] == n


@pytest.mark.parametrize(
    ("name", "n", "least"), [("accuracy", 99, 0.92), ("macro_f1", 99, 0.92), ("accuracy", 15, 0.9)]
)
def test_intervals_hold_the_truth(name: str, n: int, least: float) -> None:
    """About 95 of 100 intervals hold the true value: 600 draws of n rows, as 600 languages at once."""
    right = coin(600, n, 0.7, 5)
    rng = np.random.default_rng(6)
    rows = predictions(right, parallel=False)
    gold = rng.choice(4, right.size, p=[0.4, 0.3, 0.2, 0.1])
    wrong = (gold + rng.integers(1, 4, gold.size)) % 4
    pred = np.where(right.ravel(), gold, wrong)
    names = np.array(LABELS)
    rows = rows.with_columns(label=pl.Series(names[gold]), pred=pl.Series(names[pred]))
    metric = load(name)
    truth = float(metric.value(metric.stats(rows, LABELS).sum(axis=0)))  # of all rows together
    scores = score(rows, name, resamples=500).filter(pl.col("by") == "lang")
    held = ((scores["low"] <= truth) & (truth <= scores["high"])).mean()
    assert least <= held <= 0.985


def test_the_mean_knows_that_content_is_shared() -> None:
    """The same rows are hard in every language: resampled together, the mean is as unsure as one language."""
    hard = np.tile(coin(1, 100, 0.7, 1), (20, 1))
    together = one(score(predictions(hard), "accuracy"), key="mean")
    apart = one(score(predictions(coin(20, 100, 0.7, 1), parallel=False), "accuracy"), key="mean")
    assert together["high"] - together["low"] > 0.15
    assert apart["high"] - apart["low"] < 0.06


def test_the_interval_of_the_mean_holds_the_truth() -> None:
    held = 0
    for seed in range(120):
        parallel = seed % 2 == 0
        rng = np.random.default_rng(seed)
        ease = rng.normal(0, 0.6, 60) if parallel else 0.0  # what every language shares
        right = rng.normal(0, 0.8, (8, 60)) + ease < (math.hypot(0.6, 0.8) if parallel else 0.8) * 0.5244
        mean = one(score(predictions(right, parallel=parallel), "accuracy", resamples=300), key="mean")
        held += mean["low"] <= 0.7 <= mean["high"]
    assert 0.89 <= held / 120 <= 0.99


def test_the_gap_of_equal_languages_is_not_shown_to_be_large() -> None:
    """Twelve equal languages: the plain gap is about 0.15 by noise alone; its interval must reach far below it."""
    gaps = [one(score(predictions(coin(12, 99, 0.7, s), parallel=False), "accuracy"), key="gap") for s in range(20)]
    assert np.mean([gap["value"] for gap in gaps]) > 0.1
    assert np.mean([gap["low"] for gap in gaps]) < 0.06
    assert all(0 <= gap["low"] <= gap["value"] <= gap["high"] <= 1 for gap in gaps)


def test_many_rows_are_dealt_into_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = predictions(coin(2, 3000, 0.7, 3), parallel=False)
    plain = one(score(rows, "accuracy", resamples=500), key="l00")
    monkeypatch.setattr(resampling, "MAX_UNITS", 400)
    dealt = one(score(rows, "accuracy", resamples=500), key="l00")
    assert dealt["value"] == plain["value"]
    assert dealt["high"] - dealt["low"] == pytest.approx(plain["high"] - plain["low"], rel=0.2)


# --- comparison


def test_unequal_signatures_are_not_compared() -> None:
    rows = predictions(coin(2, 40, 0.7, 0))
    same = report.compare(score(rows, "accuracy"), score(rows, "accuracy"))
    assert same.height == 5 and (same["diff"] == 0).all()
    with pytest.raises(DataError, match=r"seed:17.*is not.*seed:18"):
        report.compare(score(rows, "accuracy"), score(rows, "accuracy", seed=18))


def test_paired_finds_a_large_difference_and_only_that() -> None:
    before = coin(4, 200, 0.8, 0)
    after = before.copy()
    after[1, :60] = False
    after[2] |= coin(1, 200, 0.95, 9)[0]
    frame = report.paired(predictions(after), predictions(before), ACCURACY, LABELS)
    assert dict(frame.schema) == report.PAIRED_SCHEMA
    assert frame["verdict"].to_list() == ["cannot tell", "worse", "better", "cannot tell"]
    assert frame["metric"].unique().to_list() == ["accuracy"]
    assert (frame["p_holm"].filter(frame["verdict"] != "cannot tell") < 0.001).all()
    assert frame["p"].to_list()[0] == 1.0 and frame["diff"].to_list()[0] == 0.0
    assert (frame["low_corrected"] <= frame["low"]).all() and (frame["high"] <= frame["high_corrected"]).all()
    turned = report.paired(predictions(before), predictions(after), ACCURACY, LABELS)
    np.testing.assert_allclose(turned["diff"], -frame["diff"].to_numpy())
    assert turned["verdict"].to_list() == ["cannot tell", "better", "worse", "cannot tell"]
    loss = report.paired(predictions(after), predictions(before), LOG_LOSS, LABELS)
    assert loss["verdict"].to_list() == ["cannot tell", "worse", "better", "cannot tell"]
    assert loss["width"].to_list() == [math.inf] * 4


def test_paired_is_on_the_rows_that_both_have() -> None:
    rows = predictions(coin(2, 50, 0.7, 0))
    frame = report.paired(rows.filter(pl.col("id") != "000-00003"), rows[:80], ACCURACY, LABELS)
    assert frame.select("key", "n", "n_left_out").rows() == [("l00", 49, 1), ("l01", 30, 20)]
    apart = report.paired(rows[:50], rows, ACCURACY, LABELS)
    assert apart.row(1, named=True) | {"n": 0, "n_left_out": 50, "diff": None, "verdict": "cannot tell"} == apart.row(
        1, named=True
    )
    with pytest.raises(DataError, match="disagree about 'label' of 1 rows, first '000-00000'"):
        other = rows.with_columns(label=pl.when(pl.int_range(100) == 0).then(pl.lit("new")).otherwise("label"))
        report.paired(rows, other, ACCURACY, LABELS)


def test_nine_rows_decide_nothing() -> None:
    frame = report.paired(predictions(np.zeros((1, 9), bool)), predictions(np.ones((1, 9), bool)), ACCURACY, LABELS)
    assert frame["verdict"].to_list() == ["cannot tell"] and frame["p_holm"].to_list() == [None]


def test_paired_intervals_hold_the_truth_and_p_is_uniform_enough() -> None:
    before = coin(400, 99, 0.75, 1)
    flips = coin(400, 99, 0.1, 2)
    after = before ^ (flips & coin(400, 99, 0.5, 3))
    truth = (0.25 - 0.75) * 0.05
    frame = report.paired(
        predictions(after, parallel=False), predictions(before, parallel=False), ACCURACY, LABELS, resamples=500
    )
    held = ((frame["low"] <= truth) & (truth <= frame["high"])).mean()
    assert 0.91 <= held <= 0.99  # few flips: the steps are coarse
    still = report.paired(
        predictions(before, parallel=False), predictions(coin(400, 99, 0.75, 4), parallel=False), ACCURACY, LABELS,
        resamples=500,
    )  # fmt: skip
    assert 0.01 <= (still["p"] < 0.05).mean() <= 0.09
    assert (still["verdict"] == "cannot tell").mean() > 0.99


# --- fairness and fit


def test_fairness_shows_what_was_never_tested() -> None:
    rows = predictions(coin(2, 50, 0.7, 0)).filter((pl.col("lang") != "l01") | (pl.col("label") != "d"))
    table = report.fairness(rows, LABELS)
    assert table.columns == ["label", "lang", "resource", "n", "n_errors", "error_rate", "low", "high"]
    assert table.height == 4 * 3  # two languages and all
    missing = table.row(by_predicate=(pl.col("label") == "d") & (pl.col("lang") == "l01"), named=True)
    assert missing["n"] == 0 and missing["error_rate"] is None and missing["low"] is None
    pooled = table.filter(pl.col("lang") == "all")
    assert pooled["n"].sum() == rows.height and pooled["n_errors"].sum() == (rows["label"] != rows["pred"]).sum()
    assert report.fairness(rows.drop("resource"), LABELS)["resource"].unique().to_list() == ["unknown"]
    assert report.fairness(rows[:0], LABELS).height == 0


def test_over_and_underfitting() -> None:
    shape = (4, 300)
    dev_share, train_share = np.array([[0.6], [0.7], [0.3], [0.7]]), np.array([[0.99], [0.75], [0.32], [0.99]])
    noise = np.random.default_rng(0).random(shape)
    floor_dev_share, floor_train_share = np.array([[0.65], [0.6], [0.6], [0.5]]), np.full((4, 1), 0.9)
    floor_train_share[1] = 0.7
    made = [predictions(noise < share) for share in (train_share, dev_share, floor_train_share, floor_dev_share)]
    train, dev, floor_train, floor_dev = (score(rows, "accuracy") for rows in made)
    pair = report.paired(made[1], made[3], ACCURACY, LABELS)
    table = report.fit_verdicts(train, dev, floor_train, floor_dev, pair)
    assert table["verdict"].to_list() == ["overfits", "fits", "underfits", "fits"]  # the last beats its floor
    assert table["floor_dev"].to_list() == floor_dev.filter(pl.col("by") == "lang")["value"].to_list()
    without = report.fit_verdicts(train, dev, floor_train[:0], floor_dev[:0], pair[:0])
    assert without["verdict"].unique().to_list() == ["cannot tell"]
    few = score(predictions(coin(4, 9, 0.7, 0)), "accuracy")
    assert report.fit_verdicts(train, few, floor_train, floor_dev, pair)["reason"][0] == "9 rows of dev, 10 are needed"


def test_a_hundred_thousand_rows_are_fast_enough_and_silent() -> None:
    import time

    rows = predictions(coin(50, 2000, 0.7, 0))
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score(rows, "accuracy", "macro_f1", resamples=200)
    assert time.perf_counter() - start < 60


# --- several draws ------------------------------------------------------------------------------------------------


def flipped(right: np.ndarray, share: float, seed: int) -> np.ndarray:
    """The same answers with a share of them turned around."""
    return right ^ (np.random.default_rng(seed).random(right.shape) < share)


def test_one_draw_is_the_plain_comparison() -> None:
    a, b = (predictions(coin(3, 60, share, seed), seed=1) for share, seed in ((0.8, 2), (0.6, 3)))
    plain = report.paired(a, b, ACCURACY, LABELS, name="accuracy", resamples=300)
    found = report.paired_draws({"x": ([a], [b])}, ACCURACY, LABELS, name="accuracy", resamples=300)
    assert found.drop("comparison", "sd", "n_draws").equals(plain)
    assert found["n_draws"].to_list() == [1, 1, 1] and found["sd"].null_count() == 3


def test_draws_are_averaged_and_turned_around_they_are_the_negative() -> None:
    a = [predictions(coin(2, 80, 0.8, i), seed=1) for i in range(3)]
    b = [predictions(coin(2, 80, 0.6, 10 + i), seed=1) for i in range(3)]
    found = report.paired_draws({"x": (a, b), "y": (b, a)}, ACCURACY, LABELS, resamples=300)
    there, back = (found.filter(pl.col("comparison") == name).sort("key") for name in "xy")
    assert there["diff"].to_list() == pytest.approx([-value for value in back["diff"]])
    assert there["low"].to_list() == pytest.approx([-value for value in back["high"]])
    assert there["p_holm"].to_list() == pytest.approx(back["p_holm"].to_list())
    for row in there.iter_rows(named=True):
        each = [
            report.paired(x, y, ACCURACY, LABELS, resamples=300).row(
                by_predicate=pl.col("key") == row["key"], named=True
            )
            for x, y in zip(a, b, strict=True)
        ]
        assert row["diff"] == pytest.approx(np.mean([one["diff"] for one in each]))
        assert row["sd"] == pytest.approx(np.std([one["diff"] for one in each], ddof=1))
        assert row["low_corrected"] <= row["low"] <= row["diff"] <= row["high"] <= row["high_corrected"]


def test_more_comparisons_make_each_harder_to_win() -> None:
    a, b = ([predictions(coin(1, 90, share, s), seed=1) for s in range(2)] for share in (0.8, 0.65))
    few = report.paired_draws({"x": (a, b)}, ACCURACY, LABELS, resamples=300)
    many = report.paired_draws({str(i): (a, b) for i in range(9)}, ACCURACY, LABELS, resamples=300)
    assert many["p_holm"][0] >= few["p_holm"][0]
    assert many["high_corrected"][0] - many["low_corrected"][0] > few["high_corrected"][0] - few["low_corrected"][0]
    assert (many["high"][0], many["p"][0]) == (few["high"][0], few["p"][0])


def test_the_interval_over_draws_holds_the_truth() -> None:
    """Rows and draws both move the difference: a draw turns some answers of one side around."""
    rng, missed, trials = np.random.default_rng(5), 0, 300
    for trial in range(trials):
        easy = rng.random((1, 120))
        shift = rng.normal(0, 0.04, 3)  # what a draw is worth, unknown to the test
        a = [predictions(easy < 0.7 + shift[d], seed=1) for d in range(3)]
        b = [predictions(flipped(easy < 0.6, 0.1, 100 * trial + d), seed=1) for d in range(3)]
        truth = 0.7 - (0.6 * 0.9 + 0.4 * 0.1)
        row = report.paired_draws({"x": (a, b)}, ACCURACY, LABELS, resamples=200, seed=trial).row(0, named=True)
        missed += not row["low"] <= truth <= row["high"]
    assert missed / trials < 0.07


def test_draws_that_cannot_be_paired_are_refused() -> None:
    a = predictions(coin(1, 20, 0.8, 1), seed=1)
    with pytest.raises(DataError, match="2 and 1 draws"):
        report.paired_draws({"x": ([a, a], [a])}, ACCURACY, LABELS)
    other = a.with_columns(label=pl.lit("a"))
    with pytest.raises(DataError, match="disagree about 'label'"):
        report.paired_draws({"x": ([a], [other])}, ACCURACY, LABELS)


def test_nine_rows_in_any_number_of_draws_decide_nothing() -> None:
    a, b = ([predictions(np.full((1, 9), right), seed=1)] * 5 for right in (True, False))
    assert report.paired_draws({"x": (a, b)}, ACCURACY, LABELS)["verdict"][0] == "cannot tell"


def test_systems_are_resampled_together() -> None:
    frames = [predictions(coin(1, 60, share, 4), seed=1) for share in (0.9, 0.9, 0.5)]
    values, draws, n_units = report.scored_together(frames, ACCURACY, LABELS, resamples=400)
    assert n_units == 60 and draws.shape == (3, 400)
    assert values.tolist() == pytest.approx(
        [frame.select((pl.col("label") == pl.col("pred")).mean()).item() for frame in frames]
    )
    assert np.allclose(draws[0], draws[1])
    assert np.corrcoef(draws)[0, 2] > 0.1  # the same coins: what is hard for one is hard for the other
