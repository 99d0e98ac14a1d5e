"""Fit assets/sources.json: `python tools/make_sources.py --matrices work/matrices --litmus ../shared/data/litmus_budget_train.parquet`.

The matrices are those of benchmarks/source_matrices.py. Litmus (Microsoft, MIT; SumEval) has scores of XLM-R trained on
mixtures of languages: per table, score = A_t - G_t (1 + D/d)^-a with D = sum over sources of exp(k_st + u_s + v_t) n_s^g
is fitted first, where u is how much a row of a source is worth anywhere (confounded with the sizes that were drawn for it,
so it is not used) and k what it is worth for this target; k gives the score of each source alone at 1,000 rows.
TyDiQA and XNLI of Litmus are not used: two halves of their configurations agree on k at 0.0 to 0.3.

There are three rankers: two on models without pretraining (n-grams), `signs`, to which kin in another script are strangers, and
`lexical`, to which they are kin, and `pretrained`. The first and the last answer for n-grams, the others, alike, for the rest:
they err in different places. Signs are fixed beforehand (`SIGNS`): what brings two
languages closer never counts against a source. That is what carries over to tables nobody has seen. What is chosen was
chosen by leaving out whole packs of tables in turn, and the target's language out of the others; docs/log.md has the
numbers. Only coefficients are written.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from isogloss.core import files, history, lang, sources, typology

OUT = Path(__file__).parents[1] / "src" / "isogloss" / "assets" / "sources.json"
LITMUS = {"UDPOS_XLMR": "tag", "WikiANN_XLMR": "ner"}
FEWEST_ROWS = 1000  # a source of Litmus that was never drawn with as many is no source
ALONE = 1000.0
LAMBDA, N_TREES, RATE, LEAVES, LEAF_ROWS = 100.0, 100, 0.06, 6, 30
PACKS = ("sib200", "nusax", "injongo")
SHRINK = 60.0
# Which way a feature counts; trees are held to them but for the two that are not about a pair.
SIGNS = {
    **dict.fromkeys(("genetic", "geographic", "syntactic", "featural", "qwals", "phonological", "inventory"), -1),
    **dict.fromkeys(("kin_close", "genus", "family", "macrolanguage", "shared_groups"), 1),
    **dict.fromkeys(("place_close", "place_closest", "script", "script_kin", "script_place", "spaces"), 1),
    **dict.fromkeys(("resource", "speakers"), 1),
    **dict.fromkeys(("similarity", "log_overlap_word", "log_overlap_subword", "log_rows"), 1),
    "ttr_dist": -1,
}
FREE = ("resource", "speakers")
# Per ranker: how much heavier a row counts that is one unit better (what is first matters, what is last does not), what
# a source did for other targets beyond its facts, and the share of trees.
TOP = {"signs": 0.4, "lexical": 0.4, "pretrained": 0.0}
EVIDENCE = {"signs": 1.0, "lexical": 1.0, "pretrained": 0.0}
SHARE = {"signs": 0.5, "lexical": 0.5, "pretrained": 0.3}
REGIME = {"signs": "lexical", "lexical": "lexical", "pretrained": "pretrained"}
BY_SIGNS = ("signs",)  # kinship counts within a script only: in another one there is nothing to be recognised
# Weights of the rankers, by what kind of model is going to be trained.
MIX = {"ngram": {"signs": 0.85, "pretrained": 0.15}, "any": {"lexical": 0.5, "pretrained": 0.5}}
# Folds of target languages where something is left out; 0: every language (family) by itself.
FOLDS = {"target": 0, "family": 0, "pack": 6}
# How much wider an interval is where no typology is known of a pair. In the matrices it makes no difference up to a half;
# beyond nobody measured.
UNKNOWN = 1 / 3


@dataclass
class Table:
    """Scores in points `(S, T)` of sources (a tag and a number of rows) by target, NaN where there are none."""

    name: str
    task: str
    S: list[str]
    T: list[str]
    Y: np.ndarray
    columns: dict[str, np.ndarray]
    whole: np.ndarray  # sources with all their rows
    regime: str
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def pack(self) -> str:
        """What tables have in common that were measured on the same texts."""
        return self.name.split("-")[0]

    @property
    def fits(self) -> bool:
        """Whether rankers are fitted on it. One fine-tuning a source differs from the next by its seed as much as by
        its language, so such tables only say how far apart sources lie when a model is tuned."""
        return not self.name.endswith("-tuned")

    @property
    def scale(self) -> float:
        return float(np.nanmean(np.nanstd(self.Y[self.whole], axis=0)))

    @property
    def Z(self) -> np.ndarray:
        return (self.Y - np.nanmean(self.Y[self.whole], axis=0)) / self.scale


# -- tables -----------------------------------------------------------------------------------------------------


def matrix_table(path: Path) -> Table:
    frame = pl.read_parquet(path).sort("source", "n_train", "target")
    keys = list(dict.fromkeys(frame.select("source", "n_train").iter_rows()))
    T = sorted(frame["target"].unique())
    row, column = {key: i for i, key in enumerate(keys)}, {tag: j for j, tag in enumerate(T)}
    S = [source for source, _ in keys]
    top = {source: max(n for one, n in keys if one == source) for source in S}
    Y = np.full((len(S), len(T)), np.nan)
    more = {name: np.full(Y.shape, np.nan) for name in sources.TEXTS}
    for cells in frame.iter_rows(named=True):
        at = row[cells["source"], cells["n_train"]], column[cells["target"]]
        if cells["source"] == cells["target"]:
            continue
        Y[at] = 100 * cells["accuracy"]
        more["log_rows"][at] = np.log10(cells["n_train"])
        if cells["similarity"] is not None:
            for name, value in sources.logs(cells).items():
                more[name][at] = value
    facts = {"model": frame["model"][0], "n_sources": len(top), "n_targets": len(T), "sha256": digest(path)}
    whole = np.array([n == top[source] for source, n in keys])
    regime = "lexical" if facts["model"] == "ngram" else "pretrained"
    name = f"{frame['pack'][0]}-{frame['model'][0].removeprefix('isogloss/')}"
    return Table(name, frame["task"][0], S, T, Y, {**sources.code_features(S, T), **more}, whole, regime, facts)


def litmus_table(path: Path, name: str) -> Table:
    rows = pl.read_parquet(path).filter(pl.col("file") == name)
    given = [json.loads(text) for text in rows["train_config"]]
    found = [json.loads(text) for text in rows["eval_results"]]
    codes, targets = list(given[0]), list(found[0])
    N = np.array([[row.get(code, 0) for code in codes] for row in given], float)
    Y = 100 * np.array([[row[code] for code in targets] for row in found])
    alone = mixture(N, Y, np.array([[a == b for b in targets] for a in codes]))
    kept = [i for i in range(len(codes)) if N[:, i].max() >= FEWEST_ROWS]
    S, T = [lang.resolve(codes[i]).tag for i in kept], [lang.resolve(code).tag for code in targets]
    scores = alone[kept]
    for i, source in enumerate(S):
        scores[i, [target == source for target in T]] = np.nan
    facts = {"n_mixtures": len(N), "n_sources": len(S), "n_targets": len(T), "sha256": digest(path)}
    return Table(
        name, LITMUS[name], S, T, scores, sources.code_features(S, T), np.ones(len(S), bool), "pretrained", facts
    )


def mixture(N: np.ndarray, Y: np.ndarray, own: np.ndarray, steps: int = 1500, pull: float = 1.0) -> np.ndarray:
    """The score of each source alone at `ALONE` rows `(S, T)`, all rows being worth the same but for this target."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    n, y = torch.tensor(N, dtype=torch.float32), torch.tensor(Y, dtype=torch.float32)
    apart = torch.tensor(~own, dtype=torch.float32)
    k = torch.zeros(own.shape, requires_grad=True)
    u = torch.full((own.shape[0],), -3.0, requires_grad=True)
    v = torch.zeros(own.shape[1], requires_grad=True)
    top = y.max(0).values.clone().requires_grad_()
    reach = torch.log(y.max(0).values - y.min(0).values + 1).requires_grad_()
    shape = torch.tensor([0.0, 2.0, 1.0], requires_grad=True)  # a, log d, g
    spread = y.std(0) + 0.1
    optimizer = torch.optim.Adam([k, u, v, top, reach, shape], lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

    def score(amount: torch.Tensor, worth: torch.Tensor) -> torch.Tensor:
        d = (amount ** torch.sigmoid(shape[2])) @ torch.exp(worth * apart)
        return top - torch.exp(reach) * (1 + d / torch.exp(shape[1])) ** -torch.nn.functional.softplus(shape[0])

    for _ in range(steps):
        optimizer.zero_grad()
        error = (score(n, k + u[:, None] + v) - y) / spread
        loss = torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="sum")
        (loss + pull * (k**2).sum() + 0.5 * (v**2).sum() + 0.05 * ((u + 3) ** 2).sum()).backward()
        optimizer.step()
        schedule.step()
    many = torch.tensor(N.max(0) >= FEWEST_ROWS)
    with torch.no_grad():
        return score(torch.eye(len(N[0])) * ALONE, k + u[many].mean() + v).double().numpy()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


# -- fitting ----------------------------------------------------------------------------------------------------


@dataclass
class Rows:
    """All pairs of all tables, one row each."""

    X: np.ndarray
    z: np.ndarray
    w: np.ndarray
    table: np.ndarray
    at: np.ndarray  # (N, 2) in the table
    source: np.ndarray
    target: np.ndarray


def stack(tables: Sequence[Table], names: Sequence[str], sizes: bool, top: float = 0.0) -> Rows:
    """Rows of all tables; with `top`, better ones count for more."""
    parts = []
    for i, table in enumerate(tables):
        fits = np.isfinite(table.Z) & (table.whole[:, None] | sizes)
        s, t = np.nonzero(fits)
        missing = np.full(table.Y.shape, np.nan)
        X = np.stack([table.columns.get(name, missing)[s, t] for name in names], axis=1)
        w = np.full(len(s), min(len(table.T), 30) / len(s)) * np.exp(top * np.clip(table.Z[s, t], -2, 3))
        parts.append(
            (X, table.Z[s, t], w, np.full(len(s), i), np.stack([s, t], 1), np.array(table.S)[s], np.array(table.T)[t])
        )
    X, z, w, at_table, at, source, target = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Rows(X, z, w / w.mean(), at_table, at, source, target)


def fit(rows: Rows, use: np.ndarray, names: Sequence[str], share: float, by_signs: bool = False) -> dict[str, Any]:
    """A Ranker as the asset has it, from the rows at `use`: ridge regression and trees, signs fixed."""
    X, z, w = rows.X[use], rows.z[use], rows.w[use]
    X = sources.within_script(X, names) if by_signs else X
    w = w / w.mean()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a column without one value
        centre, scale = np.nan_to_num(np.nanmean(X, axis=0)), np.nan_to_num(np.nanstd(X, axis=0))
        low, high = np.nan_to_num(np.nanmin(X, axis=0)), np.nan_to_num(np.nanmax(X, axis=0))
    scale = np.where(scale > 1e-9, scale, 1.0)
    A = np.nan_to_num((X - centre) / scale)
    weights = signed(A, z, w, np.array([SIGNS[name] for name in names]))
    made = {"names": list(names), "share": share, "by_signs": by_signs}
    made |= {"centre": centre, "scale": scale, "weights": weights, "low": low, "high": high}
    return made | {"trees": trees(X, z, w, names) if share else []}


def signed(A: np.ndarray, z: np.ndarray, w: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Weights of a ridge regression (with an intercept) that have these signs, or are 0."""
    from scipy.optimize import nnls

    z, A = z - np.average(z, weights=w), A - np.average(A, axis=0, weights=w)
    G = (A * w[:, None]).T @ A + LAMBDA * len(A) / 1000 * np.eye(A.shape[1])
    root = np.linalg.cholesky(G)
    return signs * nnls(root.T * signs, np.linalg.solve(root, (A * w[:, None]).T @ z))[0]


def trees(X: np.ndarray, z: np.ndarray, w: np.ndarray, names: Sequence[str] = ()) -> list[dict[str, list[float]]]:
    from sklearn.ensemble import HistGradientBoostingRegressor

    keep = np.isfinite(X).any(axis=0)
    model = HistGradientBoostingRegressor(
        max_iter=N_TREES,
        learning_rate=RATE,
        max_leaf_nodes=LEAVES,
        min_samples_leaf=LEAF_ROWS,
        l2_regularization=5.0,
        monotonic_cst=[0 if name in FREE else SIGNS[name] for name in names] or None,
        early_stopping=False,
        random_state=0,
    ).fit(np.where(keep, X, 0.0), z, sample_weight=w)
    out = []
    for (grown,) in model._predictors:
        nodes = grown.nodes
        value = nodes["value"].astype(float).copy()
        for i in range(len(nodes) - 1, -1, -1):  # inner nodes: the mean of their children, by rows
            if not nodes["is_leaf"][i]:
                left, right = int(nodes["left"][i]), int(nodes["right"][i])
                a, b = nodes["count"][left], nodes["count"][right]
                value[i] = (a * value[left] + b * value[right]) / (a + b)
        leaf = nodes["is_leaf"].astype(bool)
        out.append(
            {
                "feature": np.where(leaf, -1, nodes["feature_idx"]).tolist(),
                "threshold": np.clip(np.where(leaf, 0.0, nodes["num_threshold"]), -1e30, 1e30).tolist(),
                "left": np.where(leaf, 0, nodes["left"]).tolist(),
                "right": np.where(leaf, 0, nodes["right"]).tolist(),
                "value": value.tolist(),
                "unknown_left": nodes["missing_go_to_left"].astype(int).tolist(),
            }
        )
    return out


def evidence(rows: Rows, use: np.ndarray, said: np.ndarray) -> dict[str, float]:
    """By source, the mean of what its facts do not say, drawn to 0; a table without news of single sources adds none."""
    left = rows.z[use] - said
    out = {}
    for tag in np.unique(rows.source[use]):
        mine = left[rows.source[use] == tag]
        out[str(tag)] = float(mine.sum() / (len(mine) + SHRINK))
    return out


def fitted(tables: Sequence[Table], name: str, columns: Sequence[str], use: Any = None) -> dict[str, Any]:
    """A ranker with its evidence, as the asset has them; `use(table, target)` says which rows may be seen."""
    mine = [table for table in tables if table.fits and table.regime == REGIME[name]]
    rows = stack(mine, columns, "log_rows" in columns, TOP[name])
    seen = np.array([use is None or use(mine[i], t) for i, t in zip(rows.table, rows.target, strict=True)])
    made = fit(rows, seen, columns, SHARE[name], name in BY_SIGNS)
    made["evidence"] = {}
    if EVIDENCE[name]:
        said = sources._ranker(made).value(rows.X[seen])
        said = said - np.average(said - rows.z[seen], weights=rows.w[seen])
        made["evidence"] = {tag: EVIDENCE[name] * value for tag, value in evidence(rows, seen, said).items()}
    return made


def out_of_fold(tables: Sequence[Table], *, texts: bool, by: str = "target", folds: int = 0) -> list[np.ndarray]:
    """Predictions `(S, T)` for each table from rankers that have not seen it: `by` is "target" (its language, in every
    table), "family" (its whole family) or "pack" (all tables on the same texts, and the language in the others)."""
    columns = [*sources.CODES, *sources.TEXTS] if texts else list(sources.CODES)
    out = [np.full(table.Y.shape, np.nan) for table in tables]
    groups: dict[tuple[str, ...], list[tuple[int, int]]] = {}
    langs = sorted({target[:3] for table in tables for target in table.T})
    fold = {lang_: str(i % folds) if folds else lang_ for i, lang_ in enumerate(langs)}
    for i, table in enumerate(tables):
        for j, target in enumerate(table.T):
            own = lang.facts(target).family if by == "family" else fold[target[:3]]
            groups.setdefault((table.pack, own) if by == "pack" else (own,), []).append((i, j))
    for key, held in groups.items():

        def use(table: Table, target: str, key: tuple[str, ...] = key) -> bool:
            own = lang.facts(target).family if by == "family" else fold[target[:3]]
            return own != key[-1] and (by != "pack" or table.pack != key[0])

        made = {name: _use(fitted(tables, name, columns, use)) for name in TOP}
        for i in sorted({i for i, _ in held}):
            at = [j for k, j in held if k == i]
            out[i][:, at] = mixed(made, tables[i], at)
    return out


def _use(made: dict[str, Any]) -> tuple[sources.Ranker, dict[str, float]]:
    return sources._ranker(made), made["evidence"]


def mixed(made: dict[str, tuple[sources.Ranker, dict[str, float]]], table: Table, held: Sequence[int]) -> np.ndarray:
    """What the rankers say of the targets at `held`, mixed as for the table's kind of model `(S, held)`."""
    weights = MIX["ngram" if table.regime == "lexical" else "any"]
    total = np.zeros((len(table.S), len(held)))
    for name, weight in weights.items():
        ranker, own = made[name]
        missing = np.full(table.Y.shape, np.nan)
        x = np.stack([table.columns.get(column, missing)[:, held] for column in ranker.names], axis=-1)
        said = ranker.value(x.reshape(-1, x.shape[-1])).reshape(total.shape)
        total += weight * (said + np.array([own.get(tag, 0.0) for tag in table.S])[:, None])
    return total


# -- judging ----------------------------------------------------------------------------------------------------


def regret(said: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Points lost by the source put first, by target."""
    out = []
    for j in range(Y.shape[1]):
        fits = np.isfinite(Y[:, j]) & np.isfinite(said[:, j])
        if fits.sum() > 1:
            out.append(Y[fits, j].max() - Y[fits, j][np.argmax(said[fits, j])])
    return np.array(out)


def judged(tables: Sequence[Table], said: Sequence[np.ndarray]) -> dict[str, float]:
    """Mean regret in points by table, and relative to a random source's, over tables."""
    out, relative = {}, []
    for table, values in zip(tables, said, strict=True):
        Y, P = table.Y[table.whole], values[table.whole]
        lost = float(regret(P, Y).mean())
        relative.append(lost / float(np.nanmean(np.nanmax(Y, axis=0) - np.nanmean(Y, axis=0))))
        out[table.name] = round(lost, 2)
    return {**out, "relative": round(float(np.mean(relative)), 3)}


@dataclass
class Pairs:
    """Pairs of a table's sources with the one that gains are over: what was said, the gain, and what is unknown."""

    said: np.ndarray
    gain: np.ndarray
    unknown: np.ndarray
    target: np.ndarray
    weight: np.ndarray  # of one table 1 in all


def pairs_of(table: Table, said: np.ndarray) -> Pairs:
    """Over English; where the table has none of it, over every other source in turn."""
    w = table.whole
    Y, P, S = table.Y[w], said[w], [tag for tag, whole in zip(table.S, w, strict=True) if whole]
    unknown = sources.unknown_share({name: column[w] for name, column in table.columns.items()}, S, table.T)
    over = [S.index(sources.ENGLISH)] if sources.ENGLISH in S else range(len(S))
    parts = []
    for e in over:
        s, t = np.nonzero(np.isfinite(Y) & np.isfinite(Y[e]) & np.isfinite(P) & (np.arange(len(S)) != e)[:, None])
        parts.append(((P - P[e])[s, t], (Y - Y[e])[s, t], unknown[s, t], t))
    d, gain, missing, target = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Pairs(history.levelled(d), gain, missing, target, np.full(len(d), 1 / len(d)))


def quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    """The smallest value that has at least `share` of the weight below or at it."""
    order = np.argsort(values)
    at = np.searchsorted(np.cumsum(weights[order]) / weights.sum(), share)
    return float(values[order][min(int(at), len(order) - 1)])


def scaled(found: Sequence[Pairs]) -> dict[str, Any]:
    """Points a unit and width, tables counting alike, and the share of the error that a target's sources have in common.

    Of one table, points by least squares. Of several, whose sources lie unequally far apart, the narrowest interval hardly
    depends on points: the fewest of those that make it as narrow but for 5 %.
    """
    d, gain, unknown, weight = (
        np.concatenate([getattr(each, name) for each in found]) for name in ("said", "gain", "unknown", "weight")
    )

    def width(points: float) -> float:
        return quantile(np.abs(gain - points * d) / (1 + UNKNOWN * unknown), weight, 0.9)

    points = max(float((d * gain).sum() / (d * d).sum()), 0.1)
    if len(found) > 1:
        grid = {float(p): width(float(p)) for p in np.arange(0.5, 15.1, 0.5)}
        points = min(p for p, each in grid.items() if each <= 1.05 * min(grid.values()))
    shared = []
    for each in found:
        error = each.gain - points * each.said
        means = {t: error[each.target == t].mean() for t in np.unique(each.target)}
        shared.append(float(np.mean([means[t] ** 2 for t in each.target]) / max(1e-9, np.mean(error**2))))
    return {"points": points, "width": width(points), "shared": float(np.mean(shared))}


def margins(table: Table, said: np.ndarray) -> list[float]:
    """By target, how far below the first the best source lies, in units of the ranking."""
    Y, P = table.Y[table.whole], said[table.whole]
    out = []
    for j in range(Y.shape[1]):
        fits = np.flatnonzero(np.isfinite(Y[:, j]) & np.isfinite(P[:, j]))
        if len(fits) > 1:
            out.append(float(P[fits, j].max() - P[fits[np.argmax(Y[fits, j])], j]))
    return out


def calibrated(
    tables: Sequence[Table], by_target: Sequence[np.ndarray], by_pack: Sequence[np.ndarray]
) -> dict[str, dict[str, Any]]:
    """Points a unit, width and margin: of a task with n-grams from targets that were held out in its table; of all else
    from tables that were held out whole, since what is asked is then about a table that nobody has seen.

    Litmus counts for the margin only: it has mixtures, which say in which order sources come and not how far apart they
    lie alone. 90 % and 8 of 10 are over pairs and targets, each table counting alike.
    """
    out: dict[str, dict[str, Any]] = {}
    for table, said in zip(tables, by_target, strict=True):
        if table.regime == "lexical":
            out[f"{table.task}@ngram"] = {
                **scaled([pairs_of(table, said)]),
                "margin": float(np.quantile(margins(table, said), 0.8)),
                "spread": table.scale,
                "n_targets": len(table.T),
                "on": table.name,
                "unseen": "targets",
            }
    apart = [
        (table, said)
        for table, said in zip(tables, by_pack, strict=True)
        if table.name not in LITMUS and sources.ENGLISH in table.S
    ]
    far = [margins(table, said) for table, said in zip(tables, by_pack, strict=True)]
    out[sources.POOLED] = {
        **scaled([pairs_of(table, said) for table, said in apart]),
        "margin": quantile(
            np.concatenate(far), np.concatenate([np.full(len(each), 1 / len(each)) for each in far]), 0.8
        ),
        "spread": float(np.median([table.scale for table, _ in apart])),
        "n_targets": sum(len(table.T) for table, _ in apart),
        "on": ", ".join(table.name for table, _ in apart),
        "unseen": "tables",
    }
    return out


def short(value: Any) -> Any:
    """Numbers with six digits."""
    if isinstance(value, dict):
        return {key: short(cell) for key, cell in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [short(cell) for cell in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.6g}")
    return value


def all_tables(matrices: Path, litmus: Path) -> list[Table]:
    """The tables that are fitted, those of one pack together."""
    found = [matrix_table(path) for path in sorted(matrices.glob("*.parquet")) if path.name.split("-")[0] in PACKS]
    return found + [litmus_table(litmus, name) for name in LITMUS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--matrices", type=Path, default=Path("work/matrices"))
    parser.add_argument("--litmus", type=Path, default=Path("../shared/data/litmus_budget_train.parquet"))
    parser.add_argument("--date", default=datetime.date.today().isoformat())
    given = parser.parse_args()
    if not typology.available():
        parser.error(f"fitting needs all kinds of typology: {typology.INSTALL}")
    tables = all_tables(given.matrices, given.litmus)
    held = {by: out_of_fold(tables, texts=False, by=by, folds=FOLDS[by]) for by in FOLDS}
    with_texts = {
        by: out_of_fold(tables, texts=True, by=by, folds=12 if by == "target" else 6) for by in ("target", "pack")
    }
    codes, every = list(sources.CODES), [*sources.CODES, *sources.TEXTS]
    value: dict[str, Any] = {
        "made": f"tools/make_sources.py, {given.date}",
        "data": {
            table.name: {"task": table.task, "fitted": table.fits, **table.facts, "points_within_target": table.scale}
            for table in tables
        },
        "licences": {"litmus": "MIT (SumEval, Microsoft)", "matrices": "measured by benchmarks/source_matrices.py"},
        "cv": {
            **{f"regret_at_1_codes_leave_{by}_out": judged(tables, said) for by, said in held.items()},
            **{f"regret_at_1_texts_leave_{by}_out": judged(tables, said) for by, said in with_texts.items()},
        },
        "tasks": calibrated(tables, held["target"], held["pack"]),
        "mix": MIX,
        "unknown": UNKNOWN,
        "rankers": {
            **{name: fitted(tables, name, codes) for name in TOP},
            **{f"{name}_texts": fitted(tables, name, every) for name in TOP},
        },
    }
    files.write_text(OUT, json.dumps(short(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n")
    print(json.dumps({"cv": value["cv"], "tasks": value["tasks"]}, indent=2))
    print(f"{OUT}: {OUT.stat().st_size:,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
