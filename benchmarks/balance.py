"""Mixes on imbalanced data: the worst tenth of languages against `temperature` with tau = 0.3, at equal steps.

    python benchmarks/balance.py --data ../shared/data [--set sib200|nusax] [--model ngram|isogloss/mini] [--mixes ...]
    python benchmarks/balance.py --data ../shared/data --tasks      # two tasks on one trunk beside single runs

An arm is a mix as `isogloss compare-mixes` takes it, and other keys of [train] or [task] behind slashes:
`natural/weights=by_lang`, `natural/focal=2.0`; `large` is the half of the languages with most rows. With `--at DIR` what is
finished stays there, and the same command again goes on.

Of a data set of parallel rows so many languages are taken (SIB-200: by a hash of their tags; NusaX: all), and their train
rows are cut to a geometric series: the largest has LARGEST rows, the smallest LARGEST / RATIO. Which language is how large,
which rows stay, and everything random in training change with the seed; dev (up to DEV rows a language) and test do not.
Every arm is trained on the same rows. Differences of macro-F1 are paired over rows and seeds (`report.summed_draws`), on
test, and on dev for who chooses.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from isogloss.core import report
from isogloss.core.run import Run
from isogloss.core.say import Say
from isogloss.parts.metrics import macro_f1
from isogloss.stages import chain, evaluate, model
from isogloss.stages.compare_mixes import Mix, mix_of

FILES = {"sib200": "sib200.parquet", "nusax": "nusax_senti.parquet"}
ASKED = {
    "ngram": "temperature:tau=0.3,natural,temperature:tau=0.0,unimax:epochs=8",
    "isogloss/mini": "temperature:tau=0.3,natural,temperature:tau=0.7,unimax:epochs=4,cooldown,worst_first,curriculum,"
    "sequential,replay:old=large:share=0.5",
}
TASK = ("focal", "smoothing")
# Tokens that are read of a text.
LENGTH = 96


def whole(folder: Path, name: str, n_langs: int) -> pl.DataFrame:
    """The rows of the languages that take part."""
    rows = pl.read_parquet(folder / FILES[name]).select("id", "text", "label", "lang", "split", "group")
    tags = sorted(rows["lang"].unique(), key=lambda tag: hashlib.blake2b(tag.encode()).hexdigest())
    return rows.filter(pl.col("lang").is_in(tags[:n_langs]))


def cut(rows: pl.DataFrame, largest: int, ratio: float, seed: int, n_dev: int, n_test: int) -> pl.DataFrame:
    """The rows with their train rows cut to a geometric series over languages in an order that the seed deals."""
    rng = np.random.default_rng(seed)
    tags = sorted(rows["lang"].unique())
    sizes = np.geomspace(largest, largest / ratio, len(tags)).round().astype(int)
    wanted = dict(zip(rng.permutation(tags).tolist(), sizes.tolist(), strict=True))
    key = pl.col("id").map_elements(lambda i: hashlib.blake2b(f"{seed} {i}".encode()).hexdigest(), pl.String)
    fixed = pl.col("group").cast(pl.String)
    train = rows.filter(split="train").sort(key)
    kept = train.filter(pl.int_range(pl.len()).over("lang") < pl.col("lang").replace_strict(wanted))
    held = [
        rows.filter(split=split).sort(fixed, "lang").filter(pl.int_range(pl.len()).over("lang") < n)
        for split, n in (("dev", n_dev), ("test", n_test))
    ]
    return pl.concat([kept, *held])


def arm(words: str, rows: pl.DataFrame) -> tuple[Mix, dict[str, Any], dict[str, Any]]:
    """An arm: its mix, and its other keys of [train] and of the task."""
    sizes = rows.filter(split="train").group_by("lang").len().sort("len", "lang", descending=[True, False])["lang"]
    mix, *keys = words.replace("old=large", f"old={'+'.join(sizes[: len(sizes) // 2])}").split("/")
    values = {key: tomllib.loads(f"x = {value}")["x"] if value[0].isdigit() else value for key, value in
              (pair.split("=") for pair in keys)}  # fmt: skip
    of_task = {key: value for key, value in values.items() if key in TASK}
    return mix_of(mix), {key: value for key, value in values.items() if key not in TASK}, of_task


def run(at: Path, name: str, rows: Path, family: str, train: dict[str, Any], **more: Any) -> Run:
    """A run up to its evaluation."""
    value = {
        "name": name, "model": family if family != "ngram" else {"use": "ngram", "scope": "pooled"}, "seed": 17,
        "data": {"raw": [str(rows)]}, "train": train, "evaluate": {"baselines": [], "resamples": 200}, **more,
    }  # fmt: skip
    return chain.advance(value, "evaluate", runs=at / "runs", say=Say())[1]


def compared(asked: argparse.Namespace, at: Path) -> dict[str, Any]:
    """Every arm against the first."""
    words = (asked.mixes or ASKED[asked.model]).split(",")
    rows = whole(asked.data, asked.set, asked.langs)
    done: dict[str, list[Run]] = {each: [] for each in words}
    for seed in range(asked.first, asked.first + asked.seeds):
        path = at / f"{asked.set}-{seed}.parquet"
        own = cut(rows, asked.largest, asked.ratio, seed, asked.dev, asked.test)
        if not path.is_file():
            own.write_parquet(path)
        for each in words:
            mix, keys, of_task = arm(each, own)
            train: dict[str, Any] = {"mix": dict(mix.slot), "seed": seed, **keys}
            more: dict[str, Any] = {}
            if asked.model != "ngram":
                loop = {"steps": asked.steps, "batch": 32, "lr": asked.lr, "eval_every": max(1, asked.steps // 6)}
                train = {**loop, **train}
                more = {"task": {"use": "classify", "max_length": LENGTH, **of_task}}
            started = time.time()
            slug = re.sub(r"[^A-Za-z0-9.]+", "-", each).strip("-")
            done[each].append(run(at, f"{asked.set}-{slug}-{seed}", path, asked.model, train, **more))
            print(f"seed {seed} {each}: {time.time() - started:.0f} s", flush=True)
    first = words[0]
    out: dict[str, Any] = {
        "set": asked.set, "model": asked.model, "langs": asked.langs, "largest": asked.largest, "ratio": asked.ratio,
        "seeds": asked.seeds, "steps": asked.steps if asked.model != "ngram" else None, "first": first, "mixes": {},
    }  # fmt: skip
    labels = list(model.read_card(done[first][0].folder)["labels"])
    for each in words[1:]:
        out["mixes"][each] = {}
        for split in ("dev", "test"):
            a, b = ([evaluate.read_predictions(one, "model", split) for one in done[name]] for name in (each, first))
            out["mixes"][each][split] = found = report.summed_draws(a, b, macro_f1, labels, seed=17)
            told = "; ".join(
                f"{key} {cell['a']:.3f} against {cell['b']:.3f}, {100 * cell['diff']:+.1f} [{100 * cell['low']:+.1f}, {100 * cell['high']:+.1f}]"
                for key, cell in found.items()
            )
            print(f"{split}: {each} against {first}: {told}", flush=True)
    return out


def answers(one: Run) -> tuple[pl.DataFrame, list[str]]:
    """The answers on test of a run, and its labels."""
    return evaluate.read_predictions(one, "model", "test"), list(model.read_card(one.folder)["labels"])


def tasks(asked: argparse.Namespace, at: Path) -> dict[str, Any]:
    """Topic on SIB-200 and sentiment on NusaX: both on one trunk, beside a run for each, each with as many rows seen."""
    topic = cut(whole(asked.data, "sib200", asked.langs), asked.largest, 1.0, 0, asked.dev, asked.test)
    tone = cut(whole(asked.data, "nusax", 12), asked.largest, 1.0, 0, asked.dev, asked.test)
    paths = {}
    for name, rows in (("topic", topic), ("tone", tone)):
        paths[name] = at / f"{name}.parquet"
        rows.with_columns(pl.format(name + "-{}", "group").alias("group")).write_parquet(paths[name])
    shared = {"batch": 32, "lr": asked.lr, "eval_every": max(1, asked.steps // 4)}
    singles: dict[str, list[pl.DataFrame]] = {"topic": [], "tone": []}
    both: dict[str, list[pl.DataFrame]] = {"topic": [], "tone": []}
    own_labels: dict[str, list[str]] = {}
    for seed in range(asked.seeds):
        for name, path in paths.items():
            train = {**shared, "steps": asked.steps, "seed": seed}
            task = {"use": "classify", "max_length": LENGTH}
            found, own_labels[name] = answers(run(at, f"{name}-{seed}", path, asked.model, train, task=task))
            singles[name].append(found)
            print(f"seed {seed} {name} alone", flush=True)
        train = {**shared, "steps": 2 * asked.steps, "seed": seed, "mix": {"use": "multitask", "tau": 0.0}}
        task = {"use": "multitask", "tasks": list(paths), "max_length": LENGTH}
        raw = {"raw": [{"path": str(path), "task": name} for name, path in paths.items()]}
        found, labels = answers(run(at, f"both-{seed}", at, asked.model, train, task=task, data=raw))
        for name in paths:
            at_ = [i for i, label in enumerate(labels) if label.startswith(f"{name}/")]
            part = found.filter(task=name).with_columns(
                pl.col("label").str.strip_prefix(f"{name}/"), pl.col("pred").str.strip_prefix(f"{name}/"),
                pl.col("probs").list.gather(at_),
            )  # fmt: skip
            both[name].append(part)
        print(f"seed {seed} both", flush=True)
    out: dict[str, Any] = {"model": asked.model, "steps": asked.steps, "seeds": asked.seeds, "tasks": {}}
    for name in paths:
        found = report.summed_draws(both[name], singles[name], macro_f1, own_labels[name], seed=17)
        out["tasks"][name] = found
        cell = found["mean"]
        print(
            f"{name}: both {cell['a']:.3f}, alone {cell['b']:.3f}, {100 * cell['diff']:+.1f} [{100 * cell['low']:+.1f}, {100 * cell['high']:+.1f}]"
        )
    return out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--set", choices=FILES, default="sib200")
    parser.add_argument("--model", choices=ASKED, default="ngram")
    parser.add_argument("--mixes")
    parser.add_argument("--langs", type=int, default=20)
    parser.add_argument("--largest", type=int, default=400)
    parser.add_argument("--ratio", type=float, default=100.0)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--at", type=Path)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--dev", type=int, default=50)
    parser.add_argument("--test", type=int, default=204)
    parser.add_argument("--tasks", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = given.at or Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        result = tasks(given, place) if given.tasks else compared(given, place)
    if given.json:
        print(json.dumps(result))
