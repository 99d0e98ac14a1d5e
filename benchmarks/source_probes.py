"""What probes are worth: successive halving replayed on SIB-200 with n-grams, every target held out of the prior.

    python benchmarks/source_probes.py --data ../shared/data --matrices work/matrices

Twenty of the 61 languages are sources (every third, and English), all others targets. From each source the family
`ngram` is trained on 100, 200, 400 and all 701 rows that `train.shots` draws, and once more on 400 rows of another draw.
Probes are scored on the 99 dev rows of a target; gold is the accuracy on its 204 test rows after training on all rows.
The prior is refitted without the target's language (12 folds). Printed:

- how far a source's score moves, beside the others, from n rows to all of them, and from one draw to the next, in spreads
  of sources and with the noise of the test rows taken out: `DRIFT` and `NOISE` of core/probes.py;
- points lost by the first choice, the share of gains inside the 90 % interval, its half-width, and how often the set holds
  the best source: before probes, and after rounds as core/probes.py plans them. An interval is about the gain itself, and
  gold is a gain on 204 rows: the second share allows for these rows (90 % of their own noise, the two added as squares).

The answers of the models are kept in --work, so that a second run is quick. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
import make_sources as fitting

from isogloss.core import files, history, parts, probes, shots, sources
from isogloss.core.probes import Seen

SIZES, EVERY, FULL = (100, 200, 400, 701), 3, 701
PLANS = {
    "8 on 100, 4 on 200, 2 on 400": ((8, 100), (4, 200), (2, 400)),
    "8 on 200, 4 on 400": ((8, 200), (4, 400)),
    "4 on 400": ((4, 400),),
    "2 on all": ((2, FULL),),
}


def answers(
    data: Path, work: Path
) -> tuple[list[str], list[str], dict[tuple[str, int, int], np.ndarray], pl.DataFrame]:
    """Sources, targets, whether each held-out row was answered rightly by source, rows and draw, and these rows."""
    frame = pl.read_parquet(data / "sib200.parquet").sort("lang", "id")
    langs = sorted(frame["lang"].unique())
    chosen = sorted({*langs[::EVERY], sources.ENGLISH})
    held = frame.filter(pl.col("split").is_in(["dev", "test"])).select("id", "lang", "split", "group", "text", "label")
    labels = sorted(frame["label"].unique())
    family = parts.load("families", "ngram").module
    found = {}
    for source in chosen:
        own = frame.filter(pl.col("lang") == source, pl.col("split") == "train")
        for rows, draw in [*((n, 0) for n in SIZES), (400, 1)]:
            path = work / f"{source}-{rows}-{draw}.npy"
            if not path.is_file():
                part = shots.draw(own, rows, seed=17, number=draw).with_columns(weight=pl.lit(1.0))
                model = family.fit(part.select("text", "lang", "label", "weight"), labels, scope="pooled")
                said = np.array(labels)[family.predict(model, held).argmax(1)]
                with files.whole(path) as temporary, temporary.open("wb") as handle:
                    np.save(handle, said == held["label"].to_numpy())
            found[source, rows, draw] = np.load(path, allow_pickle=False)
        print(f"{source} answered", file=sys.stderr, flush=True)
    return chosen, langs, found, held.drop("text")


def centred(scores: np.ndarray) -> np.ndarray:
    """Scores `(S, ...)` less the mean of the sources."""
    return scores - scores.mean(axis=0)


def moved(one: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> float:
    """The standard deviation over sources by which centred scores differ, in points, less what the rows account for.

    `one, other (S, N)`: right answers on the same rows.
    """
    gap = centred(one.astype(float)) - centred(other.astype(float))
    n = gap.shape[1]
    drawn = gap[:, rng.integers(n, size=(200, n))].mean(axis=2)
    return float(np.mean(gap.mean(axis=1) ** 2) - drawn.var(axis=1).mean()) * 1e4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--matrices", type=Path, default=Path("work/matrices"))
    parser.add_argument("--work", type=Path, default=Path("work/probes"))
    given = parser.parse_args()
    chosen, langs, right, held = answers(given.data, given.work)
    rng = np.random.default_rng(7)
    at = {(tag, split): np.flatnonzero((held["lang"] == tag) & (held["split"] == split)) for tag in langs for split in ("dev", "test")}  # fmt: skip
    every = {tag: np.concatenate([at[tag, split] for split in ("dev", "test")]) for tag in langs}
    out: dict[str, Any] = {"moved": {}, "plans": {}}

    def table(rows: int, draw: int, where: np.ndarray, names: list[str]) -> np.ndarray:
        return np.stack([right[name, rows, draw][where] for name in names])

    spreads = []
    for tag in langs:
        names = [name for name in chosen if name != tag]
        spreads.append(100 * table(FULL, 0, every[tag], names).mean(axis=1).std())
    spread = float(np.mean(spreads))
    print(f"spread of sources within a target, all rows: {spread:.2f} points")
    for label, one, other in (
        *((f"{n} rows to all", (n, 0), (FULL, 0)) for n in SIZES[:-1]),
        ("400 rows to 400 others", (400, 0), (400, 1)),
    ):
        square = [
            moved(table(*one, every[tag], names), table(*other, every[tag], names), rng)
            for tag in langs
            if (names := [name for name in chosen if name != tag])
        ]
        sd = float(np.sqrt(max(0.0, np.mean(square))))
        doublings = np.log2(FULL / one[0]) if other[0] == FULL else 0.0
        more = f", {sd / spread / doublings:.2f} a doubling" if doublings else f", {sd / spread / 2**0.5:.2f} each"
        print(f"{label}: moved by {sd:.2f} points, {sd / spread:.2f} spreads{more}")
        out["moved"][label] = round(sd / spread, 3)

    tables = fitting.all_tables(given.matrices, given.data / "litmus_budget_train.parquet")
    said = fitting.out_of_fold(tables, texts=False, folds=12)
    i = next(i for i, each in enumerate(tables) if each.name == "sib200-ngram")
    whole = tables[i].whole
    place = {tag: k for k, tag in enumerate(np.array(tables[i].S)[whole])}
    column = {tag: k for k, tag in enumerate(tables[i].T)}
    prior = said[i][whole]
    row = sources.prior().tasks["classify@ngram"]

    def before(tag: str, names: list[str]) -> sources.Ranking:
        value = prior[:, column[tag]]
        units = {name: float(value[place[name]] - value[place[sources.ENGLISH]]) for name in names}
        gains = {name: row.points * float(history.levelled(np.array(unit))) for name, unit in units.items()}
        best = max(units.values())
        made = [
            sources.Candidate(
                name, gain, gain - row.width * (name != sources.ENGLISH), gain + row.width * (name != sources.ENGLISH),
                units[name] >= best - row.margin, 1.0, (),
            )
            for name, gain in gains.items()
        ]  # fmt: skip
        made.sort(key=lambda one: (-one.expected, one.source))
        return sources.Ranking(tag, row, sources.ENGLISH, tuple(made), ())

    def after(tag: str, plan: tuple[tuple[int, int], ...]) -> sources.Ranking:
        names = [name for name in chosen if name != tag]
        first = ranking = before(tag, names)
        left = [one.source for one in ranking.candidates if one.source != sources.ENGLISH]
        seen: list[Seen] = []
        hits: list[np.ndarray] = []
        for n, rows in plan:
            left = [one.source for one in ranking.candidates if one.source in left][:n]
            for name in (sources.ENGLISH, *left):
                hit = right[name, rows, 0][at[tag, "dev"]]
                seen.append(Seen(name, rows, FULL, 100 * float(hit.mean()), len(hit)))
                hits.append(hit.astype(float))
            noise = np.cov(np.stack(hits)) * 1e4 / (len(hits[0]) - 1)
            ranking = probes.combine(first, seen, noise)
        return ranking

    print(
        f"\n{'':<34}{'points lost':>20}{'inside 90 %':>14}{'trained':>9}{'half-width':>12}{'set holds it':>14}{'size':>6}"
    )
    targets = [tag for tag in langs if tag != sources.ENGLISH]
    for label, plan in {"prior": (), **PLANS}.items():
        lost, inside, allowing, tried, widths, holds, sizes = [], [], [], [], [], [], []
        for tag in targets:
            names = [name for name in chosen if name != tag]
            gold = dict(zip(names, 100 * table(FULL, 0, at[tag, "test"], names).mean(axis=1), strict=True))
            ranking = after(tag, plan) if plan else before(tag, names)
            best = max(gold.values())
            lost.append(best - gold[ranking.candidates[0].source])
            holds.append(max(gold[one.source] for one in ranking.candidates if one.chosen) >= best - 1e-9)
            sizes.append(sum(one.chosen for one in ranking.candidates))
            for one in ranking.candidates:
                if one.source != sources.ENGLISH:
                    mine, beside = (right[name, FULL, 0][at[tag, "test"]] for name in (one.source, sources.ENGLISH))
                    noise = 100 * float((mine.astype(float) - beside).std()) / len(mine) ** 0.5
                    off, half = abs(gold[one.source] - gold[sources.ENGLISH] - one.expected), (one.high - one.low) / 2
                    inside.append(off <= half)
                    allowing.append(off <= float(np.hypot(half, probes.Z90 * noise)))
                    if one.probe:
                        tried.append(allowing[-1])
                    if one.probe or not plan:
                        widths.append(half)
        se = float(np.std(lost) / len(lost) ** 0.5)
        shown = f"{np.mean(tried):.2f}" if tried else ""
        cells = (f"{np.mean(inside):.2f}", f"{np.mean(allowing):.2f}", shown, f"{np.mean(widths):.1f}")
        cells += (f"{np.mean(holds):.2f}", f"{np.mean(sizes):.1f}")
        print(f"{label:<34}{f'{np.mean(lost):.2f} ± {se:.2f}':>18}" + "".join(f"{cell:>14}" for cell in cells))
        out["plans"][label] = {
            "lost": round(float(np.mean(lost)), 2), "se": round(se, 2), "inside": round(float(np.mean(inside)), 3), "allowing": round(float(np.mean(allowing)), 3),
            "inside_trained": round(float(np.mean(tried)), 3) if tried else None,
            "half_width": round(float(np.mean(widths)), 2), "set_holds": round(float(np.mean(holds)), 3),
            "set_size": round(float(np.mean(sizes)), 2), "n_targets": len(targets),
        }  # fmt: skip
    print(json.dumps(out))


if __name__ == "__main__":
    main()
