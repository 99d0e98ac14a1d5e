"""The step `quality` on real text from the web with human labels, and the clean text it would cost, by language.

    python benchmarks/quality.py [--data ../shared/data] [--tail 0.001] [--json]

**Area under the curve.** paracrawl_audit: pairs of sentences from ParaCrawl that people labelled valid (V), free (F), or as in a wrong
language (L), misaligned (A), badly cut (T), machine translated (MT), in error (E). The step learns from all texts of a language,
and no label is read before scoring. `quality` of a pair is the lower one of its two sides; `langid` is the chance that
the other side is in the language that it is filed under (the identifier's word for that language, times its fit); `chain`
is their product, as in a recipe with both steps. By language: V and F against the rest, and V and F against each label.
Beside them `bicleaner`, the score that ParaCrawl itself has of each pair, of which higher is better. Languages count
equally; the intervals of their means are over rows.

The pairs are cut in two halves by a hash of their text: the form of `quality` (which measures count from where) was chosen
among 14 on the half `dev`; the half `test` is what is reported. Medians, spreads and common words are learned from the texts of
both, without labels.

**Cost.** Thresholds learned from these texts of the web: the share of rows they drop, by label. Learned from clean text that
the packaged identifier has not seen (SIB-200 dev and half of test): the share that they drop of the other half, in 61 languages.
"""

from __future__ import annotations

import argparse
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import rankdata

from isogloss.core import identify
from isogloss.parts.steps import quality
from isogloss.stages import barrier
from isogloss.stages.ops import Op

GOOD = ("V", "F")
DRAWS = 200


def area(score: np.ndarray, good: np.ndarray) -> float:
    if good.all() or not good.any():
        return float("nan")
    ranks = rankdata(score)
    n, m = int(good.sum()), int((~good).sum())
    return float((ranks[good].sum() - n * (n + 1) / 2) / (n * m))


def step(rows: pl.DataFrame, learn: pl.DataFrame, tail: float) -> pl.DataFrame:
    decision = barrier.alone(Op("quality", {"tail": tail}), learn)
    return quality.apply(rows, decision, columns=True)


def side(pairs: pl.DataFrame, text: str, lang: str) -> pl.DataFrame:
    return pairs.select("id", pl.col(text).alias("text"), pl.col(lang).alias("lang"))


def web(data: Path, tail: float, half: str) -> dict[str, Any]:
    pairs = pl.read_parquet(data / "paracrawl_audit.parquet")
    pairs = pairs.with_columns(id=pl.int_range(pl.len()).cast(pl.String))
    sides = [side(pairs, "text_a", "lang_a"), side(pairs, "text_b", "lang")]
    seen = [step(rows, rows, tail) for rows in sides]
    reader = identify.load("both")
    reading = reader.read(pairs["text_b"].to_list())
    place = {tag: i for i, tag in enumerate(reader.tags)}
    columns = np.array([place[tag] for tag in pairs["lang"]])
    said = reading.probs[np.arange(pairs.height), columns] * reading.fits
    low = np.fmin(*(one["quality"].fill_null(1).to_numpy() for one in seen))
    scores = {
        "quality": low, "langid": said, "chain": low * (said + 0.01),
        "one side": seen[1]["quality"].fill_null(1).to_numpy(),
        **{f"only {m}": -quality_off(seen[1], m) for m in quality.MEASURES},
        "bicleaner": pairs["bicleaner"].cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy(),
    }  # fmt: skip
    gone = np.array([a or b for a, b in zip(*(one["drop"].is_not_null() for one in seen), strict=True)])
    own = np.array([(zlib.crc32(text.encode()) & 1) == (half == "test") or half == "all" for text in pairs["text_b"]])
    scores, gone = {name: score[own] for name, score in scores.items()}, gone[own]
    label, lang = pairs["label"].to_numpy()[own], pairs["lang"].to_numpy()[own]
    good, langs = np.isin(label, GOOD), sorted(set(lang))
    found: dict[str, Any] = {"by_lang": {}, "against": {}, "mean": {}}
    rng = np.random.default_rng(0)
    for name, score in scores.items():
        own = [
            area(score[here], good[here])
            for tag in langs
            if len(here := np.flatnonzero((lang == tag) & np.isfinite(score))) > 1
        ]
        draws = []
        for _ in range(DRAWS if name in ("quality", "chain", "bicleaner") else 0):
            values = []
            for tag in langs:
                here = np.flatnonzero((lang == tag) & np.isfinite(score))
                here = rng.choice(here, len(here)) if len(here) else here
                values.append(area(score[here], good[here]) if len(here) else np.nan)
            draws.append(np.nanmean(values))
        found["mean"][name] = [
            float(np.nanmean(own)),
            *(float(x) for x in np.quantile(draws or [np.nan], [0.025, 0.975])),
        ]
        found["by_lang"][name] = dict(zip(langs, [round(x, 3) for x in own], strict=False))
        found["against"][name] = {
            bad: round(float(np.nanmean([
                area(score[here], good[here]) for tag in langs
                if len(here := np.flatnonzero((lang == tag) & (good | (label == bad)) & np.isfinite(score))) > 1
            ])), 3) for bad in ("L", "A", "T", "MT", "E")
        }  # fmt: skip
    found["n"] = len(label)
    found["dropped"] = {name: round(float(gone[label == name].mean()), 4) for name in sorted(set(label))}
    return found


def quality_off(seen: pl.DataFrame, name: str) -> np.ndarray:
    value = seen[f"quality_{name}"].fill_null(0).to_numpy()
    return -value if quality.LOW[name] else value


def clean(data: Path, tail: float) -> dict[str, Any]:
    sib = pl.read_parquet(data / "sib200.parquet", columns=["id", "lang", "split", "text"])
    halves = [sib.filter(pl.col("split") == "test", pl.col("id").hash(0) % 2 == half) for half in (0, 1)]
    dev = sib.filter(pl.col("split") == "dev")
    after = pl.concat([step(halves[1 - i], pl.concat([dev, halves[i]]), tail) for i in (0, 1)])
    table = (
        after.group_by("lang").agg(pl.col("drop").is_not_null().mean().alias("share")).sort("share", descending=True)
    )
    why = after["drop"].drop_nulls().str.replace(r" \(.*", "").value_counts(sort=True)
    return {
        "n": after.height, "dropped": float(after["drop"].is_not_null().mean()),
        "worst": {lang: round(share, 4) for lang, share in table.head(5).iter_rows()},
        "reasons": dict(why.iter_rows()),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--tail", type=float, default=0.001)
    parser.add_argument("--json", action="store_true", help="one JSON document on the last line")
    parser.add_argument("--half", choices=("dev", "test", "all"), default="test", help="of the pairs")
    parser.add_argument("--clean-only", action="store_true", help="not the pairs from the web")
    given = parser.parse_args()
    found: dict[str, Any] = {"clean": clean(given.data, given.tail)}
    print("clean text dropped:", found["clean"])
    if not given.clean_only:
        found["web"] = web(given.data, given.tail, given.half)
        for name, (mean, low, high) in found["web"]["mean"].items():
            print(f"{name}: mean AUC {mean:.3f} [{low:.3f}, {high:.3f}], against {found['web']['against'][name]}")
        for name in ("quality", "chain", "bicleaner"):
            print(f"  {name}: {found['web']['by_lang'][name]}")
        print("dropped, by label:", found["web"]["dropped"])
    if given.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
