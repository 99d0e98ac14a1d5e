"""Time to quality: how long until 95 % of what transformers' Trainer reaches in the end, in the mean and in its worst
language; the same data, start, rows in a step, rate, epochs and dev rows.

Both are looked at on dev, as often; the looks do not count. isogloss trains as its recipe has it by default (buckets,
trimmed vocabulary, bf16 where the machine has it), Trainer as it is by default (fp32, dynamic padding) and tuned (bf16,
grouped by length). Scores are macro-F1 by language, of isogloss's own metric, and are compared on test in the end.

    python benchmarks/train_quality.py --data ../shared/data --seeds 3 --json
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

import shapes

LOOKS, SHARE = 20, 0.95
SIZES = {"mini": {"batch": 32, "lr": 1e-3, "epochs": 3.0}, "scratch": {"batch": 32, "lr": 5e-4, "epochs": 8.0}}


def start(name: str, rows: Path) -> Path | str:
    """What training begins with: isogloss/mini, or six layers of random weights with a tokenizer of the train rows."""
    if name == "mini":
        return "isogloss/mini"
    folder = Path("work") / f"scratch-6-{rows.stem}"
    if not (folder / "model.safetensors").is_file():
        import torch
        from transformers import AutoModelForMaskedLM

        from isogloss.nn import scratch

        texts = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
        tokenizer = scratch.train_tokenizer([row["text"] for row in texts if row["split"] == "train"], 16_000, folder)
        config = scratch.config(tokenizer, layers=6, width=256, heads=4, max_length=512)
        torch.manual_seed(0)
        AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
    return folder


def scores(rows: pl.DataFrame, logits: np.ndarray, labels: list[str]) -> dict[str, float]:
    """Macro-F1 by language, of isogloss's own metric."""
    from isogloss.core import parts

    metric = parts.load("metrics", "macro_f1").module
    answers = rows.with_columns(pl.Series("pred", [labels[i] for i in logits.argmax(1)]))
    counts, langs = metric.stats(answers, labels), answers["lang"].to_numpy()
    return {lang: float(metric.value(counts[langs == lang].sum(axis=0))) for lang in sorted(set(langs))}


def trainer(arm: str, model: Path | str, rows: Path, size: dict, seed: int) -> dict:
    import torch
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    from isogloss.nn import hub

    folder = hub.packaged(str(model)) or model
    tokenizer = AutoTokenizer.from_pretrained(folder)
    frame = pl.read_ndjson(rows)
    labels = sorted(frame["label"].unique())
    parts = {}
    for split in ("train", "dev", "test"):
        own = frame.filter(pl.col("split") == split)
        ids = tokenizer(own["text"].to_list(), truncation=True, max_length=512)["input_ids"]
        parts[split] = (
            own,
            [{"input_ids": i, "labels": labels.index(y)} for i, y in zip(ids, own["label"], strict=True)],
        )
    torch.manual_seed(seed)
    net = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=len(labels), dtype=torch.float32)
    n_steps = round(size["epochs"] * parts["train"][0].height / size["batch"])
    collate = DataCollatorWithPadding(tokenizer)

    def answer(split: str) -> dict[str, float]:
        own, encoded = parts[split]
        out = np.zeros((own.height, len(labels)))
        net.eval()
        with torch.inference_mode():
            for at in np.array_split(np.argsort([len(row["input_ids"]) for row in encoded]), -(-own.height // 64)):
                batch = collate([encoded[i] for i in at.tolist()])
                out[at] = net(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.numpy()
        net.train()
        return scores(own, out, labels)

    course: list[tuple[float, dict[str, float]]] = []
    clock = {"at": 0.0, "spent": 0.0}

    class Looks(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            clock["at"] = time.perf_counter()

        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step % max(1, n_steps // LOOKS) == 0 or state.global_step == n_steps:
                clock["spent"] += time.perf_counter() - clock["at"]
                course.append((clock["spent"], answer("dev")))
                clock["at"] = time.perf_counter()

    tuned = arm == "tuned"
    arguments = TrainingArguments(
        output_dir="work/trainer", use_cpu=True, per_device_train_batch_size=size["batch"], max_steps=n_steps, bf16=tuned,
        train_sampling_strategy="group_by_length" if tuned else "random", save_strategy="no", report_to=[],
        disable_tqdm=True, seed=seed, learning_rate=size["lr"], warmup_steps=round(0.06 * n_steps), weight_decay=0.01,
        logging_strategy="no",
    )  # fmt: skip
    Trainer(
        model=net, args=arguments, train_dataset=parts["train"][1], data_collator=collate, callbacks=[Looks()]
    ).train()
    return {"course": course, "test": answer("test"), "seconds": clock["spent"]}


def isogloss(model: Path | str, rows: Path, size: dict, seed: int) -> dict:
    import tomli_w

    home = Path("work") / "quality" / f"run-{os.getpid()}"
    home.mkdir(parents=True)
    n_train = sum('"split": "train"' in line for line in rows.read_text(encoding="utf-8").splitlines())
    every = max(1, round(size["epochs"] * n_train / size["batch"]) // LOOKS)
    name = model if isinstance(model, str) else str(model.resolve())
    value = {
        "name": "q", "seed": seed, "model": {"use": "encoder", "name": name}, "data": {"raw": [str(rows.resolve())]},
        "train": {**size, "eval_every": every}, "evaluate": {"baselines": [], "resamples": 200},
    }  # fmt: skip
    (home / "r.toml").write_text(tomli_w.dumps(value), encoding="utf-8")
    for word in ("prepare", "train", "evaluate"):
        done = subprocess.run(
            [sys.executable, "-m", "isogloss", word, "r.toml"], cwd=home, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(done.stderr[-3000:])
    run = home / "runs" / "q"
    events = [json.loads(line) for line in (run / "steps.jsonl").read_text(encoding="utf-8").splitlines()]
    course, spent, last = [], 0.0, None
    for event in events:  # from the end of a look, or of the step before, to the end of a step
        if event["event"] == "step":
            spent += event["seconds"] - (last if last is not None else event["seconds"])
            last = event["seconds"]
        elif event["event"] == "evaluation":
            course.append((spent, event["by_lang"]))
        elif event["event"] == "spent":
            last = None
    per_step = spent / max(1, sum(e["event"] == "step" for e in events) - len(course))
    course = [(seconds + per_step * (i + 1), by_lang) for i, (seconds, by_lang) in enumerate(course)]
    table = pl.read_parquet(run / "scores.parquet").filter(
        pl.col("system") == "model", pl.col("metric") == "macro_f1", pl.col("by") == "lang"
    )
    shutil.rmtree(home)
    return {"course": course, "test": dict(zip(table["key"], table["value"], strict=True)), "seconds": course[-1][0]}


def worst(by_lang: dict[str, float]) -> float:
    return min(by_lang.values())


def mean(by_lang: dict[str, float]) -> float:
    return statistics.mean(by_lang.values())


def reached(course: list, what, goal: float) -> float | None:
    return next((seconds for seconds, by_lang in course if what(by_lang) >= goal), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--starts", default="mini,scratch")
    parser.add_argument("--peers", default="default,tuned")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=None, help="train rows a language; default: all 701")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    rows = shapes.topics(Path("work"), given.data, train=given.rows, dev=10**6)
    if given.arm:
        name, arm = given.arm.split(":")
        begin = start(name, rows)
        job = (
            isogloss(begin, rows, SIZES[name], given.seed)
            if arm == "isogloss"
            else trainer(arm, begin, rows, SIZES[name], given.seed)
        )
        print(json.dumps(job))
        return
    report = []
    for name in given.starts.split(","):
        found: dict[str, list[dict]] = {arm: [] for arm in ("isogloss", *given.peers.split(","))}
        for seed in range(given.seeds):
            for arm in found:
                command = [
                    sys.executable,
                    __file__,
                    "--arm",
                    f"{name}:{arm}",
                    "--seed",
                    str(seed),
                    "--data",
                    str(given.data),
                ]
                command += ["--rows", str(given.rows)] if given.rows else []
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    raise SystemExit(f"{arm}: {done.stderr[-2000:]}")
                found[arm].append(json.loads(done.stdout.strip().splitlines()[-1]))
                last = found[arm][-1]
                print(
                    f"{name} seed {seed} {arm:8} {last['seconds']:7.1f} s, test mean {mean(last['test']):.3f}, worst {worst(last['test']):.3f}",
                    flush=True,
                )
        for peer in given.peers.split(","):
            for words, what in (("mean", mean), ("worst language", worst)):
                ratios = []
                for ours, theirs in zip(found["isogloss"], found[peer], strict=True):
                    goal = SHARE * what(theirs["course"][-1][1])
                    took = reached(ours["course"], what, goal)
                    ratios.append(None if took is None else took / theirs["seconds"])
                known = [ratio for ratio in ratios if ratio is not None]
                median = statistics.median(known) if known else None
                report.append(
                    {"start": name, "peer": peer, "what": words, "ratios": ratios, "median": median, "goal": 0.25}
                )
                told = (
                    "never"
                    if median is None
                    else f"{median:.2f} [{min(known):.2f}, {max(known):.2f}] of its wall-clock"
                )
                print(
                    f"{name}: 95 % of the {words} of Trainer ({peer}) after {told}, in {len(known)} of {len(ratios)} seeds; goal 0.25"
                )
            test = {arm: [mean(one["test"]) for one in found[arm]] for arm in ("isogloss", peer)}
            print(
                f"{name}: test mean, isogloss {statistics.mean(test['isogloss']):.3f}, {peer} {statistics.mean(test[peer]):.3f}"
            )
            langs = sorted(found["isogloss"][0]["test"])
            table = {
                lang: {arm: round(statistics.mean(one["test"][lang] for one in found[arm]), 3) for arm in test}
                for lang in langs
            }
            report.append({"start": name, "peer": peer, "test_by_lang": table})
    if given.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
