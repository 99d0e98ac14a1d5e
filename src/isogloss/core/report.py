"""Score and Report: values by language, each with n, interval and signature; the aggregate is a footnote.

A metric (`metric.py`) is row counts plus a function of their sums, so slices and paired tests are written once, here, and
their intervals in `resampling.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from isogloss.core.errors import DataError, nearest
from isogloss.core.metric import Floats, Ints, Metric, ratio, reads
from isogloss.core.resampling import (
    FEW_UNITS,
    aggregate,
    blocks_of,
    chunked,
    holm,
    interval,
    one_thread,
    reach_of,
    resample,
    sum_by,
    weights_of,
    wilson,
)

SCORES_SCHEMA: dict[str, Any] = {
    "system": pl.String,
    "metric": pl.String,
    "by": pl.String,
    "key": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "n": pl.Int64,
    "signature": pl.String,
}
PAIRED_SCHEMA: dict[str, Any] = {
    "metric": pl.String,
    "by": pl.String,
    "key": pl.String,
    "a": pl.Float64,
    "b": pl.Float64,
    "diff": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "low_corrected": pl.Float64,
    "high_corrected": pl.Float64,
    "se": pl.Float64,
    "p": pl.Float64,
    "p_holm": pl.Float64,
    "n": pl.Int64,
    "n_units": pl.Int64,
    "n_left_out": pl.Int64,
    "better": pl.String,
    "width": pl.Float64,
    "verdict": pl.String,
}


# --- scores -------------------------------------------------------------------------------------------------------


def signature(
    name: str,
    metric: Metric,
    n_labels: int,
    units: str,
    resamples: int,
    confidence: float,
    seed: int,
    data_hash: str = "",
) -> str:
    """Say everything a value depends on beside the system, as sacrebleu does; unequal signatures are not compared."""
    parts = [name, f"v{metric.VERSION}", *([f"labels:{n_labels}"] if n_labels else [])]
    parts += [f"units:{units}", f"boot:{resamples}"]
    return "|".join((*parts, f"conf:{confidence:g}", f"seed:{seed}", f"data:{data_hash or '-'}"))


class _Rows:
    """Predictions sorted by id, with the number of each row's unit."""

    def __init__(self, predictions: pl.DataFrame, slices: Sequence[str], read: Iterable[str]) -> None:
        for column in ("id", "lang", "group", *read, *slices):
            if column not in predictions.columns:
                raise DataError(f"the predictions have no column '{column}'{nearest(column, predictions.columns)}")
        self.frame = frame = predictions.sort("id")
        if frame["id"].n_unique() != frame.height:
            raise DataError(f"{frame.height - frame['id'].n_unique()} predictions repeat the id of another")
        grouped = frame["group"].is_not_null()
        self.kind = "group" if grouped.any() else "row"
        names = (
            pl.when(pl.col("group").is_not_null())
            .then("g" + pl.col("group").cast(pl.String))
            .otherwise("r" + pl.col("id").cast(pl.String))
        )
        self._slices: dict[str, list[tuple[str, Ints]]] = {}
        self.unit: Ints = frame.select(names.rank("dense")).to_series().to_numpy().astype(np.int64)

    def slices(self, by: str) -> Iterator[tuple[str, Ints]]:
        """Give each value of the column `by`, sorted ("unknown" for null), and the positions of its rows."""
        if by not in self._slices:
            keys = self.frame[by].cast(pl.String).fill_null("unknown")
            places = pl.DataFrame({"key": keys}).with_row_index("at").group_by("key").agg("at").sort("key")
            self._slices[by] = [(key, np.asarray(at, dtype=np.int64)) for key, at in places.iter_rows()]
        yield from self._slices[by]


def _number(x: float) -> float | None:
    return None if math.isnan(x) else float(x)


def score(
    predictions: pl.DataFrame,
    metrics: Mapping[str, Metric],
    labels: Sequence[str],
    *,
    system: str,
    slices: Sequence[str] = ("lang", "script", "family", "resource"),
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 17,
    data_hash: str = "",
) -> pl.DataFrame:
    """Score one system: every metric by every slice, and `by="all"` with the keys `mean`, `worst` and `gap`.

    `predictions` has the columns `id, lang, group`, what the metrics read (`label, pred, probs`, or their `READS`) and
    every column that `slices` names; a slice pools its rows. `all` sums up languages without weights (see `aggregate`);
    for its intervals the units are resampled together, so that content which languages share moves all of them; units
    of one language are resampled inside it.
    `n` is the number of rows that count for the metric: those whose counts are not all zero. A value that is undefined
    (or the gap of one language) is null with n 0. Gives a frame of SCORES_SCHEMA.

    Raises DataError when a column is missing or an id repeats.
    """
    rows = _Rows(predictions, ("lang", *slices), dict.fromkeys(c for metric in metrics.values() for c in reads(metric)))
    out: list[tuple[Any, ...]] = []
    with one_thread():
        for name, metric in metrics.items():
            signed = signature(name, metric, len(labels), rows.kind, resamples, confidence, seed, data_hash)
            found = _score_one(rows, metric, labels, slices, resamples, confidence, seed)
            out.extend((system, name, *row, signed) for row in found)
    return pl.DataFrame(out, schema=SCORES_SCHEMA, orient="row")


def _score_one(
    rows: _Rows,
    metric: Metric,
    labels: Sequence[str],
    slices: Sequence[str],
    resamples: int,
    confidence: float,
    seed: int,
) -> Iterator[tuple[str, str, float | None, float | None, float | None, int]]:
    """Give by, key, value, low, high, n of every slice and of all languages."""
    counts = np.asarray(metric.stats(rows.frame, list(labels)), dtype=np.float64)
    counted = (counts != 0).any(axis=1)
    kind = getattr(metric, "INTERVAL", "percentile")
    for by in slices:
        for key, every in rows.slices(by):
            at = every[counted[every]]
            value = float(metric.value(counts[at].sum(axis=0)))
            if math.isnan(value) or not len(at):
                yield by, key, None, None, None, 0
                continue
            place, n_blocks, n_units = blocks_of(rows.unit[at], seed)
            draws = resample([sum_by(place, counts[at], n_blocks)], resamples, seed, metric.value)
            low, high = interval(value, draws, n_units, metric.RANGE, confidence, kind)
            yield by, key, value, _number(low), _number(high), len(at)
    for key, (value, low, high, n) in _over_languages(rows, counts, metric, resamples, confidence, seed).items():
        yield "all", key, _number(value), _number(low), _number(high), n


def _over_languages(
    rows: _Rows, counts: Floats, metric: Metric, resamples: int, confidence: float, seed: int
) -> dict[str, tuple[float, float, float, int]]:
    """Value, low, high and n of `mean` (rows of all languages), `worst` and `gap` (rows of those that make it).

    `worst` claims no more than its languages do alone: which ones are worst was seen on the same rows, so its bad end
    is at least as bad as the mean of theirs.
    """
    nothing = (math.nan, math.nan, math.nan, 0)
    counted = (counts != 0).any(axis=1)
    by_lang = [at[counted[at]] for _, at in rows.slices("lang")]
    by_lang = [at for at in by_lang if len(at) and not math.isnan(float(metric.value(counts[at].sum(axis=0))))]
    if not by_lang:
        return dict.fromkeys(("mean", "worst", "gap"), nothing)
    values = np.array([float(metric.value(counts[at].sum(axis=0))) for at in by_lang])
    draws = _joint(by_lang, rows.unit, counts, metric, resamples, seed)
    draws = np.where(np.isfinite(draws), draws, values[:, None])  # a language that a resample missed stays as it is
    order = np.argsort(values if metric.BETTER == "higher" else -values, kind="stable")
    last = order[: max(1, len(order) // 10)]
    n_of = {
        "mean": sum(len(at) for at in by_lang),
        "worst": sum(len(by_lang[i]) for i in last),
        "gap": min(len(by_lang[order[0]]), len(by_lang[order[-1]])),
    }
    n_units = len(np.unique(rows.unit[np.concatenate(by_lang)]))
    fewest = min(len(np.unique(rows.unit[at])) for at in by_lang)
    low, high = metric.RANGE
    out = {}
    resampled = aggregate(draws, metric.BETTER)
    for key, value in aggregate(values, metric.BETTER).items():
        bounds = (0.0, high - low) if key == "gap" else (low, high)
        kind = "percentile" if key == "mean" else "basic"
        if key == "mean":
            kind = getattr(metric, "INTERVAL", kind)
        units = n_units if key == "mean" else fewest
        ends = interval(float(value), resampled[key], units, bounds, confidence, kind)
        if key == "worst":
            own = np.array(
                [_alone(float(values[i]), draws[i], rows.unit[by_lang[i]], metric, confidence) for i in last]
            )
            bad = own.mean(axis=0)
            ends = (min(ends[0], bad[0]), ends[1]) if metric.BETTER == "higher" else (ends[0], max(ends[1], bad[1]))
        out[key] = (float(value), *ends, n_of[key])
    return out if len(by_lang) > 1 else out | {"gap": nothing}


def _alone(value: float, draws: Floats, unit: Ints, metric: Metric, confidence: float) -> tuple[float, float]:
    """The interval of one language."""
    kind = getattr(metric, "INTERVAL", "percentile")
    return interval(value, draws, len(np.unique(unit)), metric.RANGE, confidence, kind)


def _joint(by_lang: list[Ints], unit: Ints, counts: Floats, metric: Metric, resamples: int, seed: int) -> Floats:
    """Resample all languages together: (L, resamples).

    Units that several languages share are one stratum; the others are one stratum for each language.
    """
    owners = np.bincount(np.concatenate([np.unique(unit[at]) for at in by_lang]))
    strata: list[list[Ints]] = [[at[(owners[unit[at]] > 1) == shared] for at in by_lang] for shared in (True, False)]
    shared_rows = np.concatenate(strata[0])
    place, n_shared, _ = blocks_of(unit[shared_rows], seed)
    ends = np.cumsum([len(at) for at in strata[0]])[:-1]
    shared = [(*np.unique(p, return_inverse=True), at) for p, at in zip(np.split(place, ends), strata[0], strict=True)]
    shared_counts = [(held, sum_by(where, counts[at], len(held))) for held, where, at in shared]
    own_counts = []
    for at in strata[1]:
        own, n_blocks, _ = blocks_of(unit[at], seed)
        own_counts.append(sum_by(own, counts[at], n_blocks))
    out = np.empty((len(by_lang), resamples))
    for chunk in chunked(max(n_shared, *(len(own) for own in own_counts)), resamples):
        n_rows = chunk.stop - chunk.start
        weights = weights_of(n_shared, n_rows, (seed, chunk.start)) if n_shared else np.zeros((n_rows, 0))
        for lang, ((held, of_shared), own_units) in enumerate(zip(shared_counts, own_counts, strict=True)):
            totals = weights[:, held] @ of_shared
            if len(own_units):
                totals = totals + weights_of(len(own_units), n_rows, (seed, chunk.start, lang + 1)) @ own_units
            out[lang, chunk] = metric.value(totals)
    return out


def compare(a: pl.DataFrame, b: pl.DataFrame) -> pl.DataFrame:
    """Set two frames of scores side by side: `metric, by, key, a, b, diff, n_a, n_b`, the rows that both have.

    The difference has no interval here: that needs the predictions (`paired`).
    Raises DataError when two scores of the same thing have unequal signatures.
    """
    both = a.join(b, on=["metric", "by", "key"], how="inner", suffix="_b")
    unequal = both.filter(pl.col("signature") != pl.col("signature_b"))
    if unequal.height:
        one = unequal.row(0, named=True)
        raise DataError(
            f"{one['metric']} of {one['key']} cannot be compared: '{one['signature']}' is not '{one['signature_b']}'"
        )
    return both.select("metric", "by", "key", a="value", b="value_b", diff=pl.col("value") - pl.col("value_b"),
                       n_a="n", n_b="n_b")  # fmt: skip


# --- paired comparison --------------------------------------------------------------------------------------------


def paired(
    a: pl.DataFrame,
    b: pl.DataFrame,
    metric: Metric,
    labels: Sequence[str],
    *,
    by: str = "lang",
    name: str = "",
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 17,
) -> pl.DataFrame:
    """Compare two systems on the rows both have: diff = a - b by `by`, each with intervals, p and a verdict about a.

    - `low, high`: expanded percentiles of the difference, the same resamples for both systems, for this key alone.
    - `se`: bootstrap standard error, times sqrt(n / (n - 1)).
    - `low_corrected, high_corrected`: hold for all keys at once (Bonferroni): diff -+ t(n_units - 1) * se. Percentiles
      cannot do this: at 61 languages each tail is 0.0004, and 1,000 resamples do not reach it.
    - both reach at least the rule of three to each side, at their own level (top of this file).
    - `p`: two-sided, (1 + resamples on the other side of 0) / (1 + resamples), doubled. Below 20 / (1 + resamples)
      resamples cannot resolve it: there it is the t-test's with `se`, when that is smaller. `p_holm`: over all keys.
    - `verdict`: "better" or "worse" when the corrected interval lies on one side of 0, by the metric's BETTER;
      otherwise "cannot tell", as for fewer than 10 units. The interval is a little stricter than p_holm, and it
      decides.
    - `n, n_units`: rows and units compared; `n_left_out`: rows of the key that only one system has, or that do not
    count.
    - `width`: of the metric's range (for `gate.dropped`).

    Metrics that look at several rows (consistency) see only the rows that both systems have. Gives PAIRED_SCHEMA.
    Raises DataError when the two disagree about the gold label, the language or the group of a row.
    """
    read = reads(metric)
    left, right = _Rows(a, (by,), read), _Rows(b, (by,), read)
    common = pl.DataFrame({"id": left.frame["id"]}).join(right.frame.select("id"), on="id", how="semi")
    one = _Rows(left.frame.join(common, on="id", how="semi"), (by,), read)
    two = _Rows(right.frame.join(common, on="id", how="semi"), (by,), read)
    gold = ("label",) if "label" in one.frame.columns and "label" in two.frame.columns else ()
    for column in (*gold, "lang", "group", by):
        unequal = one.frame[column].ne_missing(two.frame[column])
        if unequal.any():
            row = one.frame.filter(unequal)["id"][0]
            raise DataError(f"the two systems disagree about '{column}' of {int(unequal.sum())} rows, first {row!r}")
    all_ids = pl.concat([left.frame.select("id", by), right.frame.select("id", by)]).unique("id")
    n_all = dict(all_ids.select(pl.col(by).cast(pl.String).fill_null("unknown")).to_series().value_counts().iter_rows())
    counts_a, counts_b = (np.asarray(metric.stats(side.frame, list(labels)), np.float64) for side in (one, two))
    counted = (counts_a != 0).any(axis=1) & (counts_b != 0).any(axis=1)
    found = {key: at[counted[at]] for key, at in one.slices(by)}
    keys = sorted(n_all)
    name = name or getattr(metric, "__name__", type(metric).__name__).rpartition(".")[2]
    width = float(metric.RANGE[1] - metric.RANGE[0])
    rows = []
    with one_thread():
        for key in keys:
            at = found.get(key, np.zeros(0, np.int64))
            sides = one.unit[at], counts_a[at], counts_b[at]
            numbers = _difference(*sides, metric, width, resamples, confidence, seed)
            about = {"metric": name, "by": by, "key": key, "better": metric.BETTER, "width": width}
            rows.append(about | numbers | {"n": len(at), "n_left_out": n_all[key] - len(at)})
    return _correct(rows, width, confidence)


DRAWS_SCHEMA: dict[str, Any] = {
    "comparison": pl.String,
    **PAIRED_SCHEMA,
    "sd": pl.Float64,
    "n_draws": pl.Int64,
}


def paired_draws(
    comparisons: Mapping[str, tuple[Sequence[pl.DataFrame], Sequence[pl.DataFrame]]],
    metric: Metric,
    labels: Sequence[str],
    *,
    name: str = "",
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 17,
) -> pl.DataFrame:
    """Compare pairs of systems by language, each trained once or in several draws; all corrected together.

    A comparison is named and has the predictions of both sides, draw by draw; draw i of one side is paired with draw i
    of the other. `diff` is the mean over draws of a - b on the rows that all of them have, `sd` (null for one draw) its
    standard deviation over draws.

    - One draw: the numbers of `paired`.
    - Several: `se` is the root of two squares, the bootstrap's over units of the mean over draws, and sd / sqrt(D); the
      interval and p are Student's t with the degrees of freedom of Welch and Satterthwaite. What draws and rows do
      together is in both, so that this errs on the wide side.
    - `p_holm`, `low_corrected`, `high_corrected` and `verdict` are over all languages of all comparisons.

    Gives DRAWS_SCHEMA. Raises DataError when two of them disagree about the gold label, the language or the group.
    """
    name = name or getattr(metric, "__name__", type(metric).__name__).rpartition(".")[2]
    width = float(metric.RANGE[1] - metric.RANGE[0])
    rows = []
    with one_thread():
        for comparison, (left, right) in comparisons.items():
            if len(left) != len(right) or not left:
                raise DataError(f"{comparison} has {len(left)} and {len(right)} draws, which cannot be paired")
            sides, n_all = _same_rows([*left, *right], reads(metric))
            counts = [np.asarray(metric.stats(side.frame, list(labels)), np.float64) for side in sides]
            counted = np.logical_and.reduce([(each != 0).any(axis=1) for each in counts])
            found = {key: at[counted[at]] for key, at in sides[0].slices("lang")}
            for key in sorted(n_all):
                at = found.get(key, np.zeros(0, np.int64))
                pairs = [(a[at], b[at]) for a, b in zip(counts[: len(left)], counts[len(left) :], strict=True)]
                numbers = _over_draws(sides[0].unit[at], pairs, metric, width, resamples, confidence, seed)
                about = {"comparison": comparison, "metric": name, "by": "lang", "key": key, "better": metric.BETTER}
                rows.append(about | numbers | {"width": width, "n": len(at), "n_left_out": n_all[key] - len(at)})
    return _correct(rows, width, confidence, DRAWS_SCHEMA)


def summed_draws(
    left: Sequence[pl.DataFrame],
    right: Sequence[pl.DataFrame],
    metric: Metric,
    labels: Sequence[str],
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 17,
) -> dict[str, dict[str, Any]]:
    """Compare two systems over all languages, each trained once or several times: `mean`, `worst` (its own worst tenth).

    Draw i of one side is paired with draw i of the other; rows are those that all have, languages those that have a value
    in all. `a, b, diff` are means over draws, `sd` (None for one draw) the standard deviation of the difference; `se` is
    the root of two squares, the bootstrap's over units that languages share, and sd / sqrt(D); `low, high` are Student's t
    with the degrees of freedom of Welch and Satterthwaite. Empty where no language has a value in all.
    """
    from scipy.special import stdtrit

    sides, _ = _same_rows([*left, *right], reads(metric))
    unit = sides[0].unit
    counts = [np.asarray(metric.stats(side.frame, list(labels)), np.float64) for side in sides]
    counted = np.logical_and.reduce([(each != 0).any(axis=1) for each in counts])

    def known(at: Ints) -> bool:
        return bool(len(at)) and all(np.isfinite(float(metric.value(each[at].sum(axis=0)))) for each in counts)

    by_lang = [at for _, every in sides[0].slices("lang") if known(at := every[counted[every]])]
    if not by_lang:
        return {}
    values = np.array([[float(metric.value(each[at].sum(axis=0))) for at in by_lang] for each in counts]).T
    with one_thread():
        draws = np.stack([_joint(by_lang, unit, each, metric, resamples, seed) for each in counts], axis=1)
    draws = np.where(np.isfinite(draws), draws, values[:, :, None])  # (L, S, R)
    n_units, n_draws = len(np.unique(unit[np.concatenate(by_lang)])), len(left)
    out = {}
    for key in ("mean", "worst"):
        found, drawn = aggregate(values, metric.BETTER)[key], aggregate(draws, metric.BETTER)[key]
        diffs = found[:n_draws] - found[n_draws:]
        of_rows = float((drawn[:n_draws] - drawn[n_draws:]).mean(axis=0).var(ddof=1)) * n_units / max(1, n_units - 1)
        sd = float(diffs.std(ddof=1)) if n_draws > 1 else 0.0
        of_draws = sd**2 / n_draws
        se, diff = math.sqrt(of_rows + of_draws), float(diffs.mean())
        parts = of_rows**2 / max(1, n_units - 1) + (of_draws**2 / (n_draws - 1) if n_draws > 1 else 0.0)
        half = float(stdtrit(se**4 / parts, 0.5 + confidence / 2)) * se if parts else 0.0
        width = float(metric.RANGE[1] - metric.RANGE[0])
        half = max(half, reach_of(n_units, width, 1 - confidence)) if n_units > 1 else math.inf
        out[key] = {
            "a": float(found[:n_draws].mean()), "b": float(found[n_draws:].mean()), "diff": diff,
            "low": diff - half, "high": diff + half, "sd": sd if n_draws > 1 else None, "se": se,
            "n_langs": len(by_lang), "n_units": n_units, "n_draws": n_draws,
        }  # fmt: skip
    return out


def scored_together(
    frames: Sequence[pl.DataFrame], metric: Metric, labels: Sequence[str], *, resamples: int = 1000, seed: int = 17
) -> tuple[Floats, Floats, int]:
    """Score several systems on the rows that all have: values (S,), values in the same resamples (S, R), units.

    A resample in which a system has no value takes the value of all rows.
    """
    sides, _ = _same_rows(frames, reads(metric))
    counts = [np.asarray(metric.stats(side.frame, list(labels)), np.float64) for side in sides]
    values = np.array([float(metric.value(each.sum(axis=0))) for each in counts])
    place, n_blocks, n_units = blocks_of(sides[0].unit, seed)
    with one_thread():
        draws = np.stack([resample([sum_by(place, each, n_blocks)], resamples, seed, metric.value) for each in counts])
    return values, np.where(np.isfinite(draws), draws, values[:, None]), n_units


def _same_rows(frames: Sequence[pl.DataFrame], read: Iterable[str]) -> tuple[list[_Rows], dict[str, int]]:
    """The rows that all frames have, and how many ids each language has in any of them."""
    read = tuple(read)
    whole = [_Rows(frame, ("lang",), read).frame for frame in frames]
    common = whole[0].select("id")
    for frame in whole[1:]:
        common = common.join(frame.select("id"), on="id", how="semi")
    sides = [_Rows(frame.join(common, on="id", how="semi"), ("lang",), read) for frame in whole]
    for side in sides[1:]:
        gold = ("label",) if "label" in side.frame.columns and "label" in sides[0].frame.columns else ()
        for column in (*gold, "lang", "group"):
            unequal = sides[0].frame[column].ne_missing(side.frame[column])
            if unequal.any():
                row = side.frame.filter(unequal)["id"][0]
                raise DataError(f"two systems disagree about '{column}' of {int(unequal.sum())} rows, first {row!r}")
    ids = pl.concat([frame.select("id", "lang") for frame in whole]).unique("id")
    return sides, dict(ids["lang"].value_counts().iter_rows())


def _over_draws(
    unit: Ints, pairs: Sequence[tuple[Floats, Floats]], metric: Metric, width: float, resamples: int,
    confidence: float, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """The uncorrected numbers of one language of one comparison."""
    from scipy.special import stdtr, stdtrit

    first = _difference(unit, *pairs[0], metric, width, resamples, confidence, seed)
    n_draws, n_units = len(pairs), first["n_units"]
    if n_draws == 1:
        return first | {"sd": math.nan, "n_draws": 1}
    values = np.array([[float(metric.value(side.sum(axis=0))) for side in pair] for pair in pairs])
    diffs = values[:, 0] - values[:, 1]
    diff, sd = float(diffs.mean()), float(diffs.std(ddof=1))
    known = {"a": float(values[:, 0].mean()), "b": float(values[:, 1].mean()), "diff": diff, "n_units": n_units}
    known |= {"sd": sd, "n_draws": n_draws}
    if n_units < 2 or math.isnan(diff):
        low, high = (-width, width) if math.isfinite(width) else (math.nan, math.nan)
        return known | {"low": low, "high": high, "se": math.nan, "p": math.nan}
    place, n_blocks, _ = blocks_of(unit, seed)
    sums = [sum_by(place, side, n_blocks) for pair in pairs for side in pair]

    def value(*totals: Floats) -> Floats:
        of = [metric.value(each) for each in totals]
        return np.asarray(np.mean([a - b for a, b in zip(of[::2], of[1::2], strict=True)], axis=0))

    drawn = resample(sums, resamples, seed, value)
    drawn = drawn[np.isfinite(drawn)]
    of_rows = float(drawn.var(ddof=1)) * n_units / (n_units - 1)
    of_draws = sd**2 / n_draws
    se = math.sqrt(of_rows + of_draws)
    if se < 1e-12:  # rounding is no variation
        se, df = 0.0, float(n_units - 1)
    else:
        df = se**4 / (of_rows**2 / (n_units - 1) + of_draws**2 / (n_draws - 1))
    half = float(stdtrit(df, 0.5 + confidence / 2)) * se
    half = max(half, reach_of(n_units, width, 1 - confidence))
    p = 2 * float(stdtr(df, -abs(diff) / se)) if se else float(diff == 0)
    if math.isfinite(width):
        p = max(p, math.exp(-n_units * abs(diff) / width))
    low, high = max(-width, diff - half), min(width, diff + half)
    return known | {"low": low, "high": high, "se": se, "df": df, "p": min(1.0, p)}


def _difference(
    unit: Ints, a: Floats, b: Floats, metric: Metric, width: float, resamples: int, confidence: float, seed: int
) -> dict[str, Any]:
    """The uncorrected numbers of one key."""
    from scipy.special import stdtr

    n_units = len(np.unique(unit))
    value_a, value_b = float(metric.value(a.sum(axis=0))), float(metric.value(b.sum(axis=0)))
    diff = value_a - value_b
    known = {"a": value_a, "b": value_b, "diff": diff, "n_units": n_units}
    if n_units < 2 or math.isnan(diff):
        low, high = (diff - width, diff + width) if math.isfinite(width) else (math.nan, math.nan)
        return known | {"low": max(low, -width), "high": min(high, width), "se": math.nan, "p": math.nan}
    place, n_blocks, _ = blocks_of(unit, seed)
    draws = resample(
        [sum_by(place, a, n_blocks), sum_by(place, b, n_blocks)],
        resamples, seed, lambda of_a, of_b: metric.value(of_a) - metric.value(of_b),
    )  # fmt: skip
    draws = draws[np.isfinite(draws)]
    low, high = interval(diff, draws, n_units, (-width, width), confidence, width=width)
    se = float(draws.std(ddof=1)) * math.sqrt(n_units / (n_units - 1))
    se = 0.0 if se < 1e-12 else se  # rounding is no variation
    beyond = 1 + min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    p = min(1.0, 2 * beyond / (1 + len(draws)))
    if p < 20 / (1 + len(draws)) and se > 0:
        p = min(p, 2 * float(stdtr(n_units - 1, -abs(diff) / se)))
    if math.isfinite(width):
        p = max(p, math.exp(-n_units * abs(diff) / width))
    return known | {"low": low, "high": high, "se": se, "p": p}


def _correct(
    rows: list[dict[str, Any]], width: float, confidence: float, schema: Mapping[str, Any] = PAIRED_SCHEMA
) -> pl.DataFrame:
    """Add what depends on the number of rows: Holm's p, the simultaneous interval, the verdict."""
    from scipy.special import stdtrit

    testable = [r["n_units"] >= FEW_UNITS and not math.isnan(r["p"]) for r in rows]
    alpha = (1 - confidence) / max(1, sum(testable))
    adjusted = holm([r["p"] if ok else math.nan for r, ok in zip(rows, testable, strict=True)])
    for row, ok, p_holm in zip(rows, testable, adjusted, strict=True):
        row |= {"p_holm": p_holm, "low_corrected": math.nan, "high_corrected": math.nan, "verdict": "cannot tell"}
        if not ok:
            continue
        n_units, diff = row["n_units"], row["diff"]
        df = row.get("df", n_units - 1)
        half = max(float(stdtrit(df, 1 - alpha / 2)) * row["se"], reach_of(n_units, width, alpha))
        if half == 0:  # an infinite range and no variation: nothing is known
            continue
        low, high = max(-width, diff - half), min(width, diff + half)
        row |= {"low_corrected": low, "high_corrected": high}
        if low > 0 or high < 0:
            row["verdict"] = "better" if (low > 0) == (row["better"] == "higher") else "worse"
    tidy = [{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in rows]
    return pl.DataFrame([{k: row.get(k) for k in schema} for row in tidy], schema=schema, orient="row")


# --- fairness, over- and underfitting -----------------------------------------------------------------------------


def fairness(predictions: pl.DataFrame, labels: Sequence[str], *, confidence: float = 0.95) -> pl.DataFrame:
    """Error rate by gold label, language and resource class.

    Gives `label, lang, resource, n, n_errors, error_rate, low, high`. Rows with lang "all" pool the languages of a
    resource class. Every label stands in every language: a label without rows there has n 0 and nulls, so that what
    was never tested is seen. Intervals are Wilson's over rows. Without a column `resource` the class is "unknown".
    """
    frame = predictions.filter(pl.col("label").is_not_null())
    resource = pl.col("resource").cast(pl.String) if "resource" in frame.columns else pl.lit(None, pl.String)
    frame = frame.select(
        pl.col("label").cast(pl.String),
        pl.col("lang").cast(pl.String),
        resource.fill_null("unknown").alias("resource"),
        wrong=pl.col("label").cast(pl.String).ne_missing(pl.col("pred").cast(pl.String)).cast(pl.Int64),
    )
    unseen = sorted(set(frame["label"]) - set(labels))
    names = pl.DataFrame({"label": [*labels, *unseen]}, schema={"label": pl.String}).with_row_index("place")
    both = pl.concat([frame, frame.with_columns(lang=pl.lit("all"))])
    cells = both.select("lang", "resource").unique().join(names, how="cross")
    counts = both.group_by("label", "lang", "resource").agg(n=pl.len().cast(pl.Int64), n_errors=pl.col("wrong").sum())
    out = cells.join(counts, on=["label", "lang", "resource"], how="left")
    out = out.with_columns(pl.col("n", "n_errors").fill_null(0)).sort("resource", "lang", "place")
    low, high = wilson(out["n_errors"].to_numpy(), out["n"].to_numpy(), confidence)
    rates = ratio(out["n_errors"].to_numpy(), out["n"].to_numpy())
    out = out.with_columns(pl.Series("error_rate", rates), pl.Series("low", low), pl.Series("high", high))
    return out.select("label", "lang", "resource", "n", "n_errors", pl.col("error_rate", "low", "high").fill_nan(None))


def fit_verdicts(
    train: pl.DataFrame,
    dev: pl.DataFrame,
    floor_train: pl.DataFrame,
    floor_dev: pl.DataFrame,
    against_floor: pl.DataFrame,
    *,
    better: str = "higher",
) -> pl.DataFrame:
    """Say by language whether the model overfits or underfits: `lang, train, dev, floor_dev, verdict, reason`.

    The first four frames are scores of one metric (rows with by = "lang"; `train` is scored on training rows), the last
    is `paired(model's dev, floor's dev)`; the floor is the n-gram model of each language. The rule, on a metric with a
    range of 0..1 (for `better="lower"` the signs turn):

    - "cannot tell": fewer than 10 rows of train or dev, or no floor;
    - "overfits": the gap train - dev is above 0.10 with its whole interval (halves of the two intervals added as
      squares: they come from different rows) and dev is not shown to be better than the floor (paired low <= 0);
    - "underfits": train's whole interval is below the floor's on train; or the gap is at most 0.05 and dev is shown to
      be below the floor (paired high < 0);
    - "cannot tell" also when the gap may lie on either side of 0.10 and dev is not shown to be better than the floor;
    - else "fits".
    """

    def by_lang(scores: pl.DataFrame) -> dict[str, dict[str, Any]]:
        return {row["key"]: row for row in scores.filter(pl.col("by") == "lang").iter_rows(named=True)}

    trains, devs, floors, floor_devs, pairs = map(by_lang, (train, dev, floor_train, floor_dev, against_floor))
    schema = {"lang": pl.String, "train": pl.Float64, "dev": pl.Float64, "floor_dev": pl.Float64,
              "verdict": pl.String, "reason": pl.String}  # fmt: skip
    out = []
    for lang in sorted(trains.keys() | devs.keys()):
        verdict, reason = _fit(trains.get(lang), devs.get(lang), floors.get(lang), pairs.get(lang), better)
        values = [found.get(lang, {}).get("value") for found in (trains, devs, floor_devs)]
        out.append((lang, *values, verdict, reason))
    return pl.DataFrame(out, schema=schema, orient="row")


def _fit(
    train: dict[str, Any] | None,
    dev: dict[str, Any] | None,
    floor: dict[str, Any] | None,
    pair: dict[str, Any] | None,
    better: str,
) -> tuple[str, str]:
    """The rule of `fit_verdicts` for one language: verdict and reason."""

    def unknown(row: dict[str, Any] | None) -> bool:
        return row is None or any(row[part] is None for part in ("low", "high"))

    for name, row in (("train", train), ("dev", dev)):
        if unknown(row) or (row and row["n"] < FEW_UNITS):
            return "cannot tell", f"{row['n'] if row else 0} rows of {name}, {FEW_UNITS} are needed"
    if unknown(floor) or unknown(pair):
        return "cannot tell", "no floor of this language to compare with"
    assert train and dev and floor and pair
    sign = 1 if better == "higher" else -1
    gap = sign * (train["value"] - dev["value"])
    half = math.hypot((train["high"] - train["low"]) / 2, (dev["high"] - dev["low"]) / 2)
    said = f"train - dev is {sign * gap:.2f} [{sign * gap - half:.2f}, {sign * gap + half:.2f}]"
    lead_low, lead_high = sorted((sign * pair["low"], sign * pair["high"]))
    lead = f"dev - floor's dev is {pair['diff']:.2f} [{pair['low']:.2f}, {pair['high']:.2f}]"
    if gap - half > 0.10 and lead_low <= 0:
        return "overfits", f"{said}, {lead}"
    if (train["high"] < floor["low"]) if sign > 0 else (train["low"] > floor["high"]):
        return (
            "underfits",
            f"train {train['value']:.2f} is worse than the floor's {floor['value']:.2f} on the same rows",
        )
    if gap <= 0.05 and lead_high < 0:
        return "underfits", f"{said}, {lead}"
    if gap - half <= 0.10 < gap + half and lead_low <= 0:
        return "cannot tell", f"{said}, {lead}"
    return "fits", f"{said}, {lead}"
