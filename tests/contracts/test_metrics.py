"""What holds for every module in parts/metrics: a new file there is tested without a line here."""

from __future__ import annotations

import importlib
import itertools
import math
import pkgutil
from types import ModuleType

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import isogloss.parts.metrics as folder
from isogloss.core.metric import reads

NAMES = sorted(found.name for found in pkgutil.iter_modules(folder.__path__))
LABELS = ("a", "b", "c")
SCHEMA = {
    "id": pl.String,
    "lang": pl.String,
    "group": pl.String,
    "label": pl.String,
    "pred": pl.String,
    "probs": pl.List(pl.Float64),
    "rank": pl.Int32,
}
FAR = 12


@pytest.fixture(params=NAMES)
def metric(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(f"{folder.__name__}.{request.param}")


def ranked(gold: str | None, pred: str | None) -> int | None:
    """A rank that says of a row what its label says: first where it is right, far behind where it is wrong."""
    return None if gold is None else 1 if gold == pred else FAR


def frame(gold: list[str], pred: list[str], *, langs: int = 3, grouped: bool = True, sure: float = 0.8) -> pl.DataFrame:
    """Rows that walk through the languages group by group; the predicted label has the probability `sure`."""
    rest = (1 - sure) / (len(LABELS) - 1)
    n = len(gold)
    return pl.DataFrame(
        {
            "id": [f"r{i:04d}" for i in range(n)],
            "lang": [f"l{i % langs}" for i in range(n)],
            "group": [f"g{i // langs}" if grouped else None for i in range(n)],
            "label": gold,
            "pred": pred,
            "probs": [[sure if label == p else rest for label in LABELS] for p in pred],
            "rank": [ranked(g, p) for g, p in zip(gold, pred, strict=True)],
        },
        schema=SCHEMA,
    )


def stats(metric: ModuleType, rows: pl.DataFrame) -> np.ndarray:
    """Counts from the columns that the metric says it reads, and no other."""
    return np.asarray(metric.stats(rows.select("id", "lang", "group", *reads(metric)), LABELS))


def some(n: int = 60, seed: int = 0, **kind: object) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    gold = rng.choice(LABELS, n).tolist()
    pred = np.where(rng.random(n) < 0.6, gold, rng.choice(LABELS, n)).tolist()
    return frame(gold, pred, **kind)  # type: ignore[arg-type]


def total(metric: ModuleType, rows: pl.DataFrame) -> float:
    return float(metric.value(stats(metric, rows).sum(axis=0)))


def test_the_folder_is_not_empty() -> None:
    assert {"accuracy", "calibration_error", "consistency", "log_loss", "macro_f1", "precision", "recall"} <= set(NAMES)
    assert {"mrr", "recall_at_1", "recall_at_5", "recall_at_10"} <= set(NAMES)


def test_it_says_what_it_is(metric: ModuleType) -> None:
    first = (metric.__doc__ or "").partition("\n")[0]
    assert len(first) > 20 and first.endswith(".")
    assert metric.BETTER in ("higher", "lower")
    assert metric.RANGE[0] < metric.RANGE[1]
    assert isinstance(metric.VERSION, int)
    assert set(reads(metric)) <= set(SCHEMA) - {"id", "lang", "group"}


def test_counts_are_float64_one_row_each(metric: ModuleType) -> None:
    counts = stats(metric, some())
    assert counts.shape[0] == 60 and counts.ndim == 2 and counts.dtype == np.float64
    assert np.isfinite(counts).all()


def test_order_does_not_matter(metric: ModuleType) -> None:
    rows = some()
    order = np.random.default_rng(1).permutation(60)
    shuffled = rows[order]
    np.testing.assert_array_equal(stats(metric, shuffled), stats(metric, rows)[order])
    assert total(metric, shuffled) == pytest.approx(total(metric, rows), abs=1e-12)


def test_a_perfect_prediction_gets_the_best_value(metric: ModuleType) -> None:
    gold = [label for label in LABELS for _ in range(12)]  # one label for each group of translations
    best = metric.RANGE[1] if metric.BETTER == "higher" else metric.RANGE[0]
    assert total(metric, frame(gold, gold, sure=1.0)) == best
    worse = [LABELS[(LABELS.index(g) + (i % 3 == 0)) % 3] for i, g in enumerate(gold)]
    assert total(metric, frame(gold, worse, sure=1.0)) != best


def test_nothing_in_nothing_out(metric: ModuleType) -> None:
    counts = stats(metric, frame([], []))
    assert counts.shape == (0, stats(metric, some()).shape[1])
    assert math.isnan(total(metric, frame([], [])))


def test_one_language_only(metric: ModuleType) -> None:
    value = total(metric, some(langs=1))
    assert math.isnan(value) or metric.RANGE[0] <= value <= metric.RANGE[1]


def test_counts_of_the_halves_add_up(metric: ModuleType) -> None:
    rows = some()
    half = rows.with_columns(pl.col("group").str.slice(1).cast(pl.Int64).alias("k"))  # groups are not cut
    parts = [half.filter(pl.col("k") < 7).drop("k"), half.filter(pl.col("k") >= 7).drop("k")]
    assert all(part.height for part in parts)
    summed = sum(stats(metric, part).sum(axis=0) for part in parts)
    np.testing.assert_allclose(summed, stats(metric, rows).sum(axis=0), rtol=1e-12, atol=1e-12)


def test_value_is_vectorised_over_leading_axes(metric: ModuleType) -> None:
    counts = stats(metric, some())
    weights = np.random.default_rng(2).integers(0, 3, (2, 4, 60)).astype(float)
    weights[0, 0] = 0  # a resample in which nothing counts
    values = np.asarray(metric.value(weights @ counts))
    assert values.shape == (2, 4)
    assert math.isnan(values[0, 0])
    for i, j in itertools.product(range(2), range(4)):
        alone = float(metric.value(weights[i, j] @ counts))
        assert values[i, j] == pytest.approx(alone, nan_ok=True)


def test_rows_without_group_probabilities_or_gold(metric: ModuleType) -> None:
    no_group = total(metric, some(grouped=False))
    assert math.isnan(no_group) or metric.RANGE[0] <= no_group <= metric.RANGE[1]
    bare = some().with_columns(probs=pl.lit(None, pl.List(pl.Float64)))
    assert np.isfinite(stats(metric, bare)).all()
    no_gold = some().with_columns(label=pl.lit(None, pl.String), rank=pl.lit(None, pl.Int32))
    value = total(metric, no_gold)
    assert math.isnan(value) or not stats(metric, no_gold).shape[1] > 2


def test_a_label_that_training_never_saw_is_an_error(metric: ModuleType) -> None:
    rows = some()
    unseen = rows.with_columns(label=pl.when(pl.int_range(pl.len()) % 5 == 0).then(pl.lit("new")).otherwise("label"))
    counts = stats(metric, unseen)
    assert (counts != 0).any(axis=1).all(), "the rows are counted"
    # these do not ask which label is gold
    if "label" in reads(metric) and not metric.__name__.endswith(("consistency", "calibration_error")):
        worse = total(metric, unseen) < total(metric, rows)
        assert worse == (metric.BETTER == "higher")


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from((*LABELS, "new", None)),
            st.sampled_from(LABELS),
            st.sampled_from(("x", "y")),
            st.sampled_from((None, "g", "h")),
            st.one_of(st.none(), st.tuples(*[st.floats(0, 1)] * 3).filter(lambda p: sum(p) > 1e-3)),
        ),
        max_size=30,
    )
)
@pytest.mark.parametrize("name", NAMES)
def test_the_range_is_respected(name: str, rows: list[tuple]) -> None:
    metric = importlib.import_module(f"{folder.__name__}.{name}")
    table = pl.DataFrame(
        {
            "id": [str(i) for i in range(len(rows))],
            "lang": [r[2] for r in rows],
            "group": [r[3] for r in rows],
            "label": [r[0] for r in rows],
            "pred": [r[1] for r in rows],
            "probs": [None if r[4] is None else [p / sum(r[4]) for p in r[4]] for r in rows],
            "rank": [ranked(r[0], r[1]) for r in rows],
        },
        schema=SCHEMA,
    )
    value = total(metric, table)
    slack = 1e-9
    assert math.isnan(value) or metric.RANGE[0] - slack <= value <= metric.RANGE[1] + slack


RANKS = st.lists(st.one_of(st.none(), st.integers(1, 40)), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(ranks=RANKS)
def test_ranks_are_scored_as_a_hand_would(ranks: list[int | None]) -> None:
    """Rows without a rank do not count; recall rises with its k, and recall at 1 is at most the reciprocal rank."""
    rows = pl.DataFrame({"rank": ranks}, schema={"rank": pl.Int32})
    known = [r for r in ranks if r is not None]

    def of(name: str) -> float:
        module = importlib.import_module(f"{folder.__name__}.{name}")
        return float(module.value(module.stats(rows, ()).sum(axis=0)))

    if not known:
        assert all(math.isnan(of(name)) for name in ("recall_at_1", "recall_at_5", "recall_at_10", "mrr"))
        return
    for k in (1, 5, 10):
        assert of(f"recall_at_{k}") == pytest.approx(sum(r <= k for r in known) / len(known))
    assert of("mrr") == pytest.approx(sum(1 / r for r in known) / len(known))
    assert of("recall_at_1") <= of("mrr") + 1e-12 and of("recall_at_1") <= of("recall_at_5") <= of("recall_at_10")


def test_a_rank_below_one_is_refused() -> None:
    from isogloss.core.errors import DataError

    module = importlib.import_module(f"{folder.__name__}.recall_at_5")
    with pytest.raises(DataError, match="ranks begin at 1; did training diverge"):
        module.stats(pl.DataFrame({"rank": [1, 0]}), ())
