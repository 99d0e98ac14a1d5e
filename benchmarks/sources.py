"""Which language to train from: the shipped prior and its rivals, on targets that were held out.

    python benchmarks/sources.py --data ../shared/data --matrices work/matrices

Two kinds of table:
- transfer_gold_langrank.parquet (MT, EL, DEP, POS of Lin et al. 2019, as NLPerf has it; no licence: a benchmark only).
  The shipped prior never saw it. It answers from codes, and, marked so, with the table's own overlaps and sizes. Beside
  it, marked so, the same features fitted inside the folds of the table, which is how LANGRANK was fitted: with the ridge
  and trees of the prior, and with trees of LANGRANK's size (100 of 16 leaves, 5 rows a leaf) on its grades, without
  signs.
- matrices of benchmarks/source_matrices.py and Litmus, on which the prior is fitted: so it is refitted here for each
  target, with the target's language out of every table, and for each pack of texts, with all of its tables out
  (tools/make_sources.py does the same). `--quick` leaves them out.

NDCG@3 × 100 has gain 2^g - 1, g = 10..1 for the ten best sources. `lost`: points of the score below the best source.
Intervals are 95 % bootstraps over targets, 1,000 draws. Then the stated 90 % and 8 of 10: the share of gains that lie
inside the interval that is given for them, and of targets whose best source is in the set that is given. Gains are over
English; in a table without it (MT, EL), over every other source in turn. Last, what a person's own scores on 3, 5 or 10
other targets (--scores; drawn at random, four times a target) do to points lost, to the interval and to its width. The
last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingRegressor

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
import make_sources as fitting

from isogloss.core import history, lang, sources
from isogloss.core.errors import DataError

fitting.SIGNS["overlap_raw"] = 1
LANGRANK = {"MT": 51.1, "EL": 63.0, "POS": 28.9, "DEP": 65.0}
TASK = {"MT": "translate", "EL": "link", "POS": "pos", "DEP": "dep"}
UNITS = {"MT": 100.0, "EL": 100.0, "POS": 100.0, "DEP": 1.0}
DRAWS = 1000


def ndcg(said: np.ndarray, gold: np.ndarray) -> float:
    """NDCG@3 × 100 of one target."""
    place = np.empty(len(gold), int)
    place[np.argsort(-gold, kind="stable")] = np.arange(len(gold))
    gain = 2.0 ** np.where(place < 10, 10 - place, 0) - 1
    discount = 1 / np.log2(np.arange(2, 5))
    first = np.argsort(-said, kind="stable")[:3]
    return float(
        100 * (gain[first] * discount[: len(first)]).sum() / (np.sort(gain)[::-1][:3] * discount[: len(gain)]).sum()
    )


def judge(said: np.ndarray, Y: np.ndarray) -> list[tuple[float, float]]:
    """NDCG@3 and points lost, by target; sources without a prediction come last, in the order of their names."""
    out = []
    for j in range(Y.shape[1]):
        fits = np.isfinite(Y[:, j])
        p = np.where(np.isfinite(said[fits, j]), said[fits, j], -np.inf)
        y = Y[fits, j]
        out.append((ndcg(p, y), float(y.max() - y[np.argmax(p)])))
    return out


def best_fixed(Y: np.ndarray) -> np.ndarray:
    """Less the mean rank of each source on the other targets."""
    rank = np.full(Y.shape, np.nan)
    for j in range(Y.shape[1]):
        fits = np.flatnonzero(np.isfinite(Y[:, j]))
        rank[fits[np.argsort(-Y[fits, j], kind="stable")], j] = np.arange(len(fits))
    out = np.full(Y.shape, np.nan)
    for j in range(Y.shape[1]):
        others = np.delete(rank, j, axis=1)
        seen = np.isfinite(others).any(axis=1)
        out[seen, j] = -np.nanmean(others[seen], axis=1)
    return out


def closest(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The closest language by each way of measuring; place breaks ties of kinship."""
    place = np.nan_to_num(columns["geographic"], nan=1.0)
    return {
        "closest: kinship, then place": -(np.nan_to_num(columns["genetic"], nan=1.0) + 1e-3 * place),
        "closest: featural": -np.nan_to_num(columns["featural"], nan=1.0),
        "closest: syntax": -np.nan_to_num(columns["syntactic"], nan=1.0),
        "closest: qWALS": -np.nan_to_num(columns["qwals"], nan=1.0),
    }


def interval(values: np.ndarray) -> list[float]:
    drawn = np.random.default_rng(7).integers(len(values), size=(DRAWS, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), (0.025, 0.975))
    return [round(float(values.mean()), 2), round(float(low), 2), round(float(high), 2)]


def lines(name: str, Y: np.ndarray, said: Mapping[str, np.ndarray], S: list[str], note: str) -> dict[str, Any]:
    """Print one table and give its numbers; each is mean, low, high."""
    scored = {label: judge(p, Y) for label, p in said.items()}
    eng = S.index(sources.ENGLISH) if sources.ENGLISH in S else None
    out: dict[str, Any] = {}
    print(f"\n{name}: {note}")
    print(f"  {'chooser':<44}{'NDCG@3':>22}{'points lost':>24}")

    def put(label: str, gain: np.ndarray | None, lost: np.ndarray) -> None:
        row = out[label] = {"lost": interval(lost), "n": len(lost)}
        if gain is not None:
            row["ndcg3"] = interval(gain)
        shown = "{:6.1f} [{:5.1f}, {:5.1f}]".format(*row["ndcg3"]) if gain is not None else ""
        print(f"  {label:<44}{shown:>22}{'{:7.2f} [{:5.2f}, {:5.2f}]'.format(*row['lost']):>24}   n {len(lost)}")

    if eng is not None:
        fits = np.isfinite(Y[eng])
        put("English", None, (np.nanmax(Y, axis=0) - Y[eng])[fits])
    put("random (mean over sources)", None, np.nanmax(Y, axis=0) - np.nanmean(Y, axis=0))
    for label, values in scored.items():
        gain, lost = np.array(values).T
        put(label, gain, lost)
    return out


# -- the table of Lin et al. ----------------------------------------------------------------------------------------


def gold(path: Path, task: str) -> fitting.Table:
    """One task as a table in points 0..100; the table's own features are added under their names here."""
    frame = pl.read_parquet(path).filter(
        pl.col("task") == task, pl.col("score").is_not_nan(), pl.col("source") != pl.col("target")
    )

    def tag_of(code: str) -> str:
        try:
            return lang.resolve(code).tag
        except DataError:  # Swedish Sign Language, which is glossed in Latin letters
            return lang.resolve(f"{code}_Latn").tag

    tag = {code: tag_of(code) for code in set(frame["source"]) | set(frame["target"])}
    S, T = sorted({tag[c] for c in frame["source"]}), sorted({tag[c] for c in frame["target"]})
    Y = np.full((len(S), len(T)), np.nan)
    more = {name: np.full(Y.shape, np.nan) for name in (*sources.TEXTS, "overlap_raw")}
    for row in frame.iter_rows(named=True):
        at = S.index(tag[row["source"]]), T.index(tag[row["target"]])
        Y[at] = UNITS[task] * row["score"]
        more["log_rows"][at] = np.log10(max(row["n_source"], 1))
        if task != "EL":  # there the overlap is a count of entities
            more["log_overlap_word"][at] = np.log(row["overlap_word"] + 1e-3)
        if row["overlap_subword"] is not None:
            more["log_overlap_subword"][at] = np.log(row["overlap_subword"] + 1e-3)
        if row["ttr_dist"] is not None:
            more["ttr_dist"][at] = np.log1p(row["ttr_dist"])
        more["overlap_raw"][at] = np.log(max(row["overlap_word"], 1e-4))  # of EL, a count of entities
    columns = {**sources.code_features(S, T), **more}
    return fitting.Table(task, TASK[task], S, T, Y, columns, np.ones(len(S), bool), "pretrained")


def shipped(table: fitting.Table, *, texts: bool) -> np.ndarray:
    """What `assets/sources.json` says, in units of the ranking, where no n-grams are trained."""
    prior = sources.prior()
    suffix = "_texts" if texts else ""
    made = {name: prior.rankers[f"{name}{suffix}"] for name in fitting.TOP}
    used = {name: (ranker, dict(ranker.evidence)) for name, ranker in made.items()}
    return fitting.mixed(used, table, range(len(table.T)))


def in_folds(table: fitting.Table, names: list[str], evidence: float) -> np.ndarray:
    """The same features and the same fit, on the other targets of this table only."""
    rows = fitting.stack([table], names, sizes=True, top=fitting.TOP["lexical"])
    out = np.full(table.Y.shape, np.nan)
    for j, target in enumerate(table.T):
        held = rows.target == target
        made = fitting.fit(rows, ~held, names, fitting.SHARE["lexical"])
        ranker = sources._ranker({**made, "evidence": {}})
        said = ranker.value(rows.X[held])
        seen = ranker.value(rows.X[~held])
        own = fitting.evidence(rows, ~held, seen - np.average(seen - rows.z[~held], weights=rows.w[~held]))
        said = said + evidence * np.array([own.get(tag, 0.0) for tag in rows.source[held]])
        out[rows.at[held, 0], j] = said
    return out


def grades(Y: np.ndarray) -> np.ndarray:
    """10 for the best source of a target, 1 for the tenth, 0 for the others."""
    out = np.zeros(Y.shape)
    for j in range(Y.shape[1]):
        fits = np.flatnonzero(np.isfinite(Y[:, j]))
        first = fits[np.argsort(-Y[fits, j], kind="stable")][:10]
        out[first, j] = np.arange(10, 10 - len(first), -1)
    return out


def grown_in_folds(table: fitting.Table, names: list[str]) -> np.ndarray:
    """Trees of LANGRANK's size on its grades (10..1 for the ten best sources) of the other targets; the mean of three, half
    the columns a split."""
    s, t = np.nonzero(np.isfinite(table.Y))
    X, graded = np.stack([table.columns[name][s, t] for name in names], axis=1), grades(table.Y)[s, t]
    out = np.full(table.Y.shape, np.nan)
    for j in range(table.Y.shape[1]):
        held = t == j
        made = [
            HistGradientBoostingRegressor(
                max_iter=100, learning_rate=0.1, max_leaf_nodes=16, min_samples_leaf=5, l2_regularization=1.0,
                early_stopping=False, max_features=0.5, random_state=seed,
            ).fit(X[~held], graded[~held])
            for seed in range(3)
        ]  # fmt: skip
        out[s[held], j] = np.mean([model.predict(X[held]) for model in made], axis=0)
    return out


# -- what is stated ---------------------------------------------------------------------------------------------------


def stated(name: str, held_out: str, table: fitting.Table, said: np.ndarray, row: sources.Fitted) -> dict[str, Any]:
    """Print how often the interval and the set of `row` hold what they say they hold."""
    pairs = fitting.pairs_of(table, said)
    inside = np.abs(pairs.gain - row.points * pairs.said) <= row.width * (1 + fitting.UNKNOWN * pairs.unknown)
    by_target = [float(inside[pairs.target == t].mean()) for t in np.unique(pairs.target)]
    far = np.array(fitting.margins(table, said))
    P = np.where(np.isfinite(table.Y[table.whole]), said[table.whole], np.nan)
    size = float(np.nanmean((np.nanmax(P, axis=0) - P <= row.margin).sum(axis=0)))
    n = int(table.whole.sum())
    out = {
        "intervals": interval(np.array(by_target)), "width": round(row.width, 2), "n_pairs": len(inside),
        "sets": interval((far <= row.margin).astype(float)), "set_size": round(size, 1), "n_sources": n,
    }  # fmt: skip
    print(
        f"  {name:<22}{held_out:<26}{'{:.2f} [{:.2f}, {:.2f}]'.format(*out['intervals']):>20}{row.width:>7.1f}"
        f"{'{:.2f} [{:.2f}, {:.2f}]'.format(*out['sets']):>20}{size:>7.1f} of {n}"
    )
    return out


def own_scores(name: str, table: fitting.Table, said: np.ndarray, row: sources.Fitted) -> dict[str, Any]:
    """Print what scores on other targets of the table are worth to the ranking `said`."""
    w = table.whole
    Y, P, S = table.Y[w], said[w], [tag for tag, whole in zip(table.S, w, strict=True) if whole]
    english = S.index(sources.ENGLISH) if sources.ENGLISH in S else None
    rng, n, out = np.random.default_rng(11), Y.shape[1], dict[str, Any]()
    cells = []
    for k in (0, 3, 5, 10):
        if k > n - 1:
            cells.append(f"{'':>28}")
            continue
        lost, inside, widths = [], [], []
        for j in range(n):
            others = [t for t in range(n) if table.T[t][:3] != table.T[j][:3]]
            for _ in range(4 if k else 1):
                past = np.sort(rng.choice(others, k, replace=False)) if k else np.zeros(0, int)
                found = history.learn(Y[:, past], P[:, past], english, row.width)
                points, width = found.points or row.points, found.width or row.width
                value = P[:, j] + found.effects
                fits = np.flatnonzero(np.isfinite(Y[:, j]) & np.isfinite(value))
                lost.append(Y[fits, j].max() - Y[fits[np.argmax(value[fits])], j])
                for e in [english] if english is not None else fits[:: max(1, len(fits) // 8)]:
                    if e in fits:
                        rest = fits[fits != e]
                        off = np.abs(Y[rest, j] - Y[e, j] - points * history.levelled(value[rest] - value[e]))
                        inside.append(float((off <= width).mean()))
                widths.append(width)
        out[str(k)] = [round(float(np.mean(each)), 2) for each in (lost, inside, widths)]
        cells.append("{:>10.2f} {:>8.2f} {:>8.1f}".format(*out[str(k)]))
    print(f"  {name:<22}" + "".join(cells))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--matrices", type=Path, default=Path("work/matrices"))
    parser.add_argument("--quick", action="store_true", help="leave out what is fitted here")
    given = parser.parse_args()
    prior = sources.prior()
    out: dict[str, Any] = {"prior": prior.made, "langrank_published_ndcg3": LANGRANK}
    checks: list[tuple[str, str, fitting.Table, np.ndarray, sources.Fitted]] = []
    path = given.data / "transfer_gold_langrank.parquet"
    if path.is_file():
        for task in ("MT", "EL", "POS", "DEP"):
            table = gold(path, task)
            said = {**closest(table.columns), "best fixed source": best_fixed(table.Y)}
            by_codes = said["shipped prior, codes"] = shipped(table, texts=False)
            said["shipped prior, with the table's data features"] = shipped(table, texts=True)
            checks.append((task, "never fitted", table, by_codes, prior.tasks[sources.POOLED]))
            if not given.quick:
                names = [
                    name
                    for name in (*sources.CODES, *sources.TEXTS, "overlap_raw")
                    if np.isfinite(table.columns[name]).any()
                ]
                said["fitted in the table's folds"] = in_folds(table, names, 1.0)
                said["fitted in folds, LANGRANK's grades and trees"] = grown_in_folds(table, names)
                said["fitted in the table's folds, codes"] = in_folds(table, list(sources.CODES), 1.0)
            said["oracle"] = table.Y
            note = f"LANGRANK as published has NDCG@3 {LANGRANK[task]}, fitted in folds"
            out[task] = lines(task, table.Y, said, table.S, note)
    else:
        print(f"{path} is not here, so the tables of Lin et al. are left out")
    tables = [] if given.quick else fitting.all_tables(given.matrices, given.data / "litmus_budget_train.parquet")
    if tables:
        codes = {
            by: fitting.out_of_fold(tables, texts=False, by=by, folds=fitting.FOLDS[by]) for by in ("target", "pack")
        }
        texts = fitting.out_of_fold(tables, texts=True, folds=12)
        tasks = fitting.calibrated(tables, codes["target"], codes["pack"])
        for i, table in enumerate(tables):
            w, Y = table.whole, table.Y[table.whole]
            S = [tag for tag, whole in zip(table.S, w, strict=True) if whole]
            said = {name: p[w] for name, p in closest(table.columns).items()}
            said["best fixed source"] = best_fixed(Y)
            said["prior, codes, target's language held out"] = codes["target"][i][w]
            said["prior, codes, whole pack held out"] = codes["pack"][i][w]
            if np.isfinite(table.columns.get("similarity", np.array([np.nan]))).any():
                said["closest: n-gram similarity of texts"] = np.nan_to_num(table.columns["similarity"][w], nan=-1.0)
                said["prior, texts, target's language held out"] = texts[i][w]
            said["oracle"] = Y
            out[table.name] = lines(table.name, Y, said, S, "refitted without each target, or without each pack")
            key = f"{table.task}@ngram"
            if key in tasks and table.regime == "lexical":
                row = sources.Fitted(key, **tasks[key])
                checks.append((table.name, "the target's language", table, codes["target"][i], row))
            if table.name not in fitting.LITMUS:
                row = sources.Fitted(sources.POOLED, **tasks[sources.POOLED])
                checks.append((table.name, "its whole pack of tables", table, codes["pack"][i], row))
    print("\nWhat is stated: 9 of 10 gains inside the interval, the best source in 8 of 10 sets")
    print(f"  {'table':<22}{'held out':<26}{'inside':>20}{'width':>7}{'sets that hold it':>20}{'size':>7}")
    out["stated"] = {f"{name}, {held}": stated(name, held, *more) for name, held, *more in checks}
    for held in dict.fromkeys(held for _, held, *_ in checks):
        mine = [row for name, row in out["stated"].items() if name.endswith(held)]
        inside, sets = (float(np.mean([row[key][0] for row in mine])) for key in ("intervals", "sets"))
        print(f"  {'mean over tables':<22}{held:<26}{inside:>20.2f}{'':>7}{sets:>20.2f}")
    print("\nOwn scores on so many other targets: points lost, gains inside the interval, its width")
    print(f"  {'table':<22}" + "".join(f"{f'{k} targets':>28}" for k in (0, 3, 5, 10)))
    out["own_scores"] = {
        name: own_scores(name, table, said, prior.tasks[sources.POOLED])
        for name, held, table, said, _ in checks
        if held != "the target's language"
    }
    print(json.dumps(out))


if __name__ == "__main__":
    main()
