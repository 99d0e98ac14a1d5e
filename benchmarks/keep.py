"""What `train.keep` can see: false rollbacks with no true change, and losses caught, by rows and size of the loss.

    python benchmarks/keep.py [--metric accuracy|macro_f1] [--runs 200] [--json]

Simulated trainings of 10 evaluations over 61 languages that know between half and 85 % of their dev rows. What a language
knows flips from one evaluation to the next: the share FLIPS of what it knows, and as many rows that it does not know, so that
the truth stays what it is. Flipped answers come back at the next evaluation (`fresh`: noise around one state), or stay and
flip on (`walk`: a Markov chain around the truth, in which the dev score itself wanders). `rises`: what is known grows from 70 %
of the end to all of it over the first four evaluations. At evaluation 6 one language truly loses: so many of its dev rows turn
wrong and stay so. A loss counts as caught when it is told at evaluation 6, 7 or 8.
False: trainings in which any language is told to have fallen that has not, by more than the 0.02 that are allowed.

Of macro-F1 rows have one of CLASSES labels, the commonest of a language seven times as often as the rarest, which they are
differs by language; a wrong answer is one of the other labels, as likely as it is common. The size of a loss is that of the
share of right rows in either case; macro-F1 falls by about as much.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
import polars as pl

from isogloss.core.evidence import Levels, pseudo_values
from isogloss.parts.metrics import macro_f1

CLASSES = 7
N_LANGS, N_EVALUATIONS, LOSES_AT, WITHIN, ALLOWED = 61, 10, 6, 3, 0.02


class MacroF1:
    """Macro-F1 of simulated rows: their labels, and what a wrong answer says."""

    def __init__(self, rng: np.random.Generator, n: int) -> None:
        self._rng, self._n = rng, n
        common = np.arange(1, CLASSES + 1) / np.arange(1, CLASSES + 1).sum()
        self._shares = [rng.permutation(common) for _ in range(N_LANGS)]
        self._gold = np.concatenate([rng.choice(CLASSES, n, p=shares) for shares in self._shares])

    def __call__(self, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pseudo-values `(U,)` and values `(L,)`."""
        pseudo, values = np.zeros(len(right)), np.zeros(N_LANGS)
        for i, shares in enumerate(self._shares):
            own = slice(i * self._n, (i + 1) * self._n)
            gold = self._gold[own]
            odds = np.where(np.arange(CLASSES) == gold[:, None], 0.0, shares)
            wrong = (odds.cumsum(axis=1) < self._rng.random((self._n, 1)) * odds.sum(axis=1, keepdims=True)).sum(axis=1)
            answer = np.where(right[own], gold, np.minimum(wrong, CLASSES - 1))
            frame = pl.DataFrame({"label": gold, "pred": answer}).cast(pl.String)
            counts = np.asarray(macro_f1.stats(frame, [str(c) for c in range(CLASSES)]), float)
            values[i] = float(macro_f1.value(counts.sum(axis=0)))
            pseudo[own] = pseudo_values(counts, macro_f1.value)
        return pseudo, values


def training(
    rng: np.random.Generator, n: int, loss: float, flips: float, *, walk: bool = False, rises: bool = False,
    metric: str = "accuracy",
) -> tuple[bool, bool]:  # fmt: skip
    """One training of languages with `n` dev rows; whether the loss was caught, and whether there was a false alarm."""
    code = np.repeat(np.arange(N_LANGS), n)
    levels = Levels([f"l{i:02}" for i in range(N_LANGS)], code, 1, 1.0, N_EVALUATIONS)
    truth = rng.uniform(0.5, 0.85, N_LANGS)[code]
    known, later = rng.random(len(code)) < truth, rng.random(len(code))
    gone = np.zeros(len(code), bool)
    measured = MacroF1(rng, n) if metric == "macro_f1" else None
    caught = false = False
    for evaluation in range(1, N_EVALUATIONS + 1):
        if loss and evaluation == LOSES_AT:
            own = np.flatnonzero((code == 0) & known)
            gone[rng.permutation(own)[: round(loss * n)]] = True
        chance = rng.random(len(code))
        now = np.where(known, chance >= flips, chance < flips * truth / (1 - truth))
        known = now if walk else known
        learned = later < 0.6 + 0.1 * evaluation if rises else True
        right = now & learned & ~gone
        score = np.bincount(code, weights=right, minlength=N_LANGS) / n
        pseudo, values = measured(right) if measured else (right.astype(float), score)
        fallen = {fall.lang for fall in levels.take(pseudo, values, ALLOWED)}
        if loss and LOSES_AT <= evaluation < LOSES_AT + WITHIN and "l00" in fallen:
            caught = True
        false |= bool(fallen - ({"l00"} if loss and evaluation >= LOSES_AT else set()))
        if fallen:  # training would go back; what is told of the same fall again is no news
            break
    return caught, false


def measure(runs: int, metric: str, seed: int = 0) -> list[dict[str, Any]]:
    rows = []
    cases: list[tuple[int, float, float, bool, bool]] = [
        (n, 0.0, flips, walk, rises)
        for n in (99, 1000) for flips in (0.02, 0.05, 0.1) for walk in (False, True) for rises in (False, True)
    ]  # fmt: skip
    cases += [
        (n, loss, 0.05, False, False) for n in (20, 50, 99, 200, 500, 1000) for loss in (0.05, 0.1, 0.15, 0.2, 0.3)
    ]
    wandering = ((99, 0.15), (99, 0.2), (99, 0.3), (200, 0.1), (200, 0.15), (1000, 0.05), (1000, 0.1))
    cases += [(n, loss, flips, True, False) for n, loss in wandering for flips in (0.02, 0.05)]
    if metric == "macro_f1":  # a hundred times the work
        cases = [(99, 0.0, 0.05, False, False), (99, 0.0, 0.05, True, False), (1000, 0.0, 0.05, False, False)]
        cases += [
            (n, loss, 0.05, False, False)
            for n, loss in (
                (50, 0.2),
                (50, 0.3),
                (99, 0.1),
                (99, 0.15),
                (99, 0.2),
                (200, 0.1),
                (1000, 0.05),
                (1000, 0.1),
            )
        ]
    for n, loss, flips, walk, rises in cases:
        rng = np.random.default_rng([seed, n, round(1000 * loss), round(1000 * flips), walk, rises])
        found = [training(rng, n, loss, flips, walk=walk, rises=rises, metric=metric) for _ in range(runs)]
        rows.append({
            "metric": metric, "n": n, "loss": loss, "flips": flips, "walk": walk, "rises": rises, "caught": sum(c for c, _ in found) / runs,
            "false": sum(f for _, f in found) / runs, "runs": runs,
        })  # fmt: skip
        print("  ".join(f"{k} {v}" for k, v in rows[-1].items()), flush=True)
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--metric", choices=["accuracy", "macro_f1"], default="accuracy")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    result = measure(asked.runs, asked.metric)
    if asked.json:
        print(json.dumps(result))
