"""Class weights inside each language against over all rows and none; focal loss, label smoothing; calibration by language.

    python benchmarks/weights.py --data ../shared/data [--model ngram|ngram-pooled|isogloss/mini] [--set multifin|sib200]

MultiFin's classes are imbalanced, and differently so in each of its ten languages. With `--at DIR` what is finished stays there,
and the same command again goes on. Each seed keeps a random four fifths of the
train rows of each language, and is the seed of training; dev and test are the same. Differences of macro-F1 to the plain run
are paired over test rows and seeds (`report.summed_draws`); calibration is compared with the same models before it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl

from isogloss.core import report
from isogloss.core.say import Say
from isogloss.parts.metrics import calibration_error, log_loss, macro_f1
from isogloss.stages import chain, evaluate, model

FILES = {"multifin": "multifin.parquet", "sib200": "sib200.parquet"}
# What is set beside the plain run: keys of [train], and knobs of the task that only the loop has.
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "none": ({}, {}),
    "global": ({"weights": "global"}, {}),
    "by_lang": ({"weights": "by_lang"}, {}),
    "focal 2": ({}, {"focal": 2.0}),
    "smoothing 0.1": ({}, {"smoothing": 0.1}),
    "temperature": ({"calibrate": "temperature"}, {}),
    "bias": ({"calibrate": "bias"}, {}),
}
MODELS: dict[str, Any] = {
    "ngram": {"use": "ngram", "scope": "lang"},
    "ngram-pooled": {"use": "ngram", "scope": "pooled"},
    "isogloss/mini": "isogloss/mini",
}


def rows(folder: Path, name: str, n_langs: int, most: int, seed: int) -> pl.DataFrame:
    """The rows of a seed: of each language four fifths of the train rows, at most `most`."""
    frame = pl.read_parquet(folder / FILES[name])
    own = [c for c in ("id", "text", "label", "lang", "split", "group") if c in frame.columns]
    tags = sorted(frame["lang"].unique(), key=lambda tag: hashlib.blake2b(tag.encode()).hexdigest())[:n_langs]
    frame = frame.select(own).filter(pl.col("lang").is_in(tags))
    key = pl.col("id").map_elements(lambda i: hashlib.blake2b(f"{seed} {i}".encode()).hexdigest(), pl.String)
    train = frame.filter(split="train").sort(key)
    kept = train.filter(
        pl.int_range(pl.len()).over("lang") < pl.min_horizontal(0.8 * pl.len().over("lang"), pl.lit(most))
    )
    return pl.concat([kept, frame.filter(pl.col("split") != "train")])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--set", choices=FILES, default="multifin")
    parser.add_argument("--model", choices=MODELS, default="ngram")
    parser.add_argument("--ways")
    parser.add_argument("--langs", type=int, default=100)
    parser.add_argument("--most", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--at", type=Path)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    loops = asked.model == "isogloss/mini"
    ways = asked.ways.split(",") if asked.ways else [way for way, (_, knobs) in WAYS.items() if loops or not knobs]
    answers: dict[str, list[pl.DataFrame]] = {}
    labels: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        at = asked.at or Path(folder)
        at.mkdir(parents=True, exist_ok=True)
        for seed in range(asked.seeds):
            path = at / f"rows-{seed}.parquet"
            if not path.is_file():
                rows(asked.data, asked.set, asked.langs, asked.most, seed).write_parquet(path)
            for way in ways:
                train, knobs = WAYS[way]
                loop = {"steps": asked.steps, "batch": 32, "lr": asked.lr, "eval_every": max(1, asked.steps // 4)}
                started = time.time()
                value = {
                    "name": f"{way.replace(' ', '-')}-{seed}", "model": MODELS[asked.model], "data": {"raw": [str(path)]},
                    "task": {"use": "classify", **({"max_length": 64} if loops else {}), **knobs},
                    "train": {"seed": seed, **train, **(loop if loops else {})},
                    "evaluate": {"baselines": [], "resamples": 200},
                }  # fmt: skip
                _, run = chain.advance(value, "evaluate", runs=at / "runs", say=Say())
                labels = list(model.read_card(run.folder)["labels"])
                answers.setdefault(way, []).append(evaluate.read_predictions(run, "model", "test"))
                if train.get("calibrate"):
                    answers.setdefault(f"{way} before", []).append(
                        evaluate.read_predictions(run, "uncalibrated", "test")
                    )
                print(f"seed {seed} {way}: {time.time() - started:.0f} s", flush=True)
    out: dict[str, Any] = {
        "set": asked.set,
        "model": asked.model,
        "seeds": asked.seeds,
        "langs": asked.langs,
        "ways": {},
    }
    out |= {"most": asked.most, "steps": asked.steps if loops else None}
    for way in ways:
        base = f"{way} before" if f"{way} before" in answers else "none"
        if way == base:
            continue
        found: dict[str, Any] = {}
        for metric in (macro_f1, calibration_error, log_loss):
            name = metric.__name__.rpartition(".")[2]
            found[name] = report.summed_draws(answers[way], answers[base], metric, labels, seed=17)
            for key, cell in found[name].items():
                print(
                    f"{way} against {base}: {name} {key} {cell['a']:.3f} against {cell['b']:.3f}, "
                    f"{cell['diff']:+.3f} [{cell['low']:+.3f}, {cell['high']:+.3f}]"
                )
        out["ways"][way] = {"against": base, **found}
    if asked.json:
        print(json.dumps(out))


if __name__ == "__main__":
    main()
