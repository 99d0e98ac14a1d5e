"""Evidence from a model on SIB-200: the prior, neighbours in isogloss/mini, their sum, English, and chance.

    python benchmarks/source_evidence.py --data ../shared/data

Gold is the test accuracy of a linear probe on mini's vectors, 300 train rows of each of eight sources, for every other
language of the set; so it says how sources transfer through this model's vectors, not through a full fine-tune. The
neighbours see 50 unlabelled sentences of a language: train of a source, dev of a target, which are no translations of
each other. `rho`: mean Spearman correlation over targets; `lost`: points below the best source; both with a standard
error over targets. The halves (every other target) show that the centring was not picked on what it is judged by.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl
from scipy.stats import spearmanr

from isogloss.core import nearness, sources
from isogloss.nn import neighbours
from isogloss.nn.embedder import Embedder

SOURCES = ("eng_Latn", "spa_Latn", "ind_Latn", "rus_Cyrl", "tur_Latn", "arb_Arab", "hin_Deva", "swh_Latn")
ROWS, SENTENCES, RIDGE = 300, 50, 0.5


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True, help="the folder with sib200.parquet")
    table = pl.read_parquet(options.parse_args().data / "sib200.parquet").sort("id")
    targets = sorted(set(table["lang"].unique()) - set(SOURCES))
    labels = sorted(table["label"].unique())
    model = Embedder.load("isogloss/mini")

    def rows(lang: str, split: str, n: int | None = None) -> tuple[list[str], np.ndarray]:
        some = table.filter((pl.col("lang") == lang) & (pl.col("split") == split)).head(n or len(table))
        return some["text"].to_list(), np.array([labels.index(label) for label in some["label"]])

    probes = {}
    for source in SOURCES:
        texts, gold = rows(source, "train", ROWS)
        known = np.c_[model.embed(texts), np.ones(len(texts))]
        wanted = np.eye(len(labels))[gold] - 1 / len(labels)
        probes[source] = np.linalg.solve(known.T @ known + RIDGE * np.eye(known.shape[1]), known.T @ wanted)
    accuracy = np.zeros((len(SOURCES), len(targets)))
    for j, target in enumerate(targets):
        texts, gold = rows(target, "test")
        known = np.c_[model.embed(texts), np.ones(len(texts))]
        accuracy[:, j] = [100 * ((known @ probes[source]).argmax(axis=1) == gold).mean() for source in SOURCES]

    def states(lang: str, split: str) -> np.ndarray:
        return neighbours.states(model, nearness.sample(rows(lang, split, ROWS)[0], SENTENCES))[0]

    given = {source: states(source, "train") for source in SOURCES}
    centre = np.mean([vectors.mean(axis=1, keepdims=True) for vectors in given.values()], axis=0)
    rng = np.random.default_rng(0)
    said: dict[str, list[np.ndarray]] = {}
    for target in targets:
        asked = states(target, "dev")
        (ranking,) = sources.rank([target], SOURCES, task="classify", family="encoder")
        found = nearness.nearness(asked, given, "")
        summed = nearness.combine(ranking, found)
        answers = {
            "prior": [{one.source: one.expected for one in ranking.candidates}[tag] for tag in SOURCES],
            "neighbours": [found[tag].share for tag in SOURCES],
            "  not centred": _raw(asked - centre, [given[tag] - centre for tag in SOURCES]),
            "prior + neighbours": [{one.source: one.expected for one in summed.candidates}[tag] for tag in SOURCES],
            "English": [float(tag == sources.ENGLISH) for tag in SOURCES],
            "chance": rng.random(len(SOURCES)),
        }
        for name, values in answers.items():
            said.setdefault(name, []).append(np.asarray(values, float))
    for title, at in (("all", slice(None)), ("first half", slice(0, None, 2)), ("second half", slice(1, None, 2))):
        gold = accuracy.T[at]
        print(f"{title}: {len(gold)} targets, {len(SOURCES)} sources")
        for name, values in said.items():
            rho = np.array([spearmanr(v, g)[0] for v, g in zip(values[at], gold, strict=True)])
            lost = np.array([g.max() - g[v.argmax()] for v, g in zip(values[at], gold, strict=True)])
            root = len(gold) ** 0.5
            print(
                f"  {name:20s} rho {rho.mean():+.2f} ± {rho.std() / root:.2f}   "
                f"lost {lost.mean():.2f} ± {lost.std() / root:.2f}"
            )


def _raw(target: np.ndarray, given: list[np.ndarray]) -> np.ndarray:
    """Shares as in core/nearness.py, without taking each language's mean away."""

    def unit(vectors: np.ndarray) -> np.ndarray:
        return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)

    shares = []
    for layer, asked in enumerate(target):
        cosines = [unit(asked) @ unit(vectors[layer]).T for vectors in given]
        near = np.stack([np.sort(some, axis=1)[:, -nearness.K :].mean(axis=1) for some in cosines], axis=1)
        shares.append((near[:, :, None] > near[:, None, :]).mean(axis=(0, 2)))
    return np.mean(shares, axis=0)


if __name__ == "__main__":
    main()
