"""Training an encoder of the shape of XLM-R base on SIB-200 in 11 languages: isogloss beside transformers' Trainer.

Rows a second and peak memory. Arms run in processes of their own, one after the other, round by round, and a ratio is
made inside each round: machines are noisy. The rows of a step are 8 in every arm.

- lesson: Trainer as it is taught (fp32, dynamic padding)
- tuned: Trainer in bf16, batches grouped by length
- tuned-K: the same with the embeddings and the lowest K blocks frozen
- full: isogloss, every parameter, timed after the first fifth of the steps as its peers are; frozen-K: isogloss, as tuned-K, three epochs over a part of the rows, the first of
  which computes and keeps the states of the frozen blocks (their time counts)

    python benchmarks/train_speed.py --data ../shared/data --rounds 3 --json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import shapes

BATCH, COLD = 8, 3
ARMS = ("lesson", "tuned", "full", "tuned-8", "frozen-8", "tuned-10", "frozen-10")
# goal: (arm, peer) -> how many times faster; (arm, peer) -> share of its memory
FASTER = {
    ("full", "lesson"): 7.0, ("full", "tuned"): 3.0, ("frozen-8", "lesson"): 18.0, ("frozen-8", "tuned"): 8.0,
    ("frozen-10", "lesson"): 25.0, ("frozen-10", "tuned"): 10.0,
}  # fmt: skip
LEANER = {("full", "lesson"): 0.5, ("frozen-8", "lesson"): 0.3, ("frozen-10", "lesson"): 0.3}


def cold_of(steps: int) -> int:
    """Steps that are not timed: isogloss looks for a collapse in the first fifth, as often in a run of any length."""
    return max(COLD, -(-steps // 5))


def trainer(arm: str, model: Path, rows: Path, steps: int, seed: int) -> dict:
    """transformers' Trainer."""
    import resource

    import torch
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    tokenizer = AutoTokenizer.from_pretrained(model)
    read = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    read = [row for row in read if row["split"] == "train"]
    labels = sorted({row["label"] for row in read})
    data = [
        {"input_ids": ids, "labels": labels.index(row["label"])}
        for ids, row in zip(tokenizer([row["text"] for row in read])["input_ids"], read, strict=True)
    ]
    torch.manual_seed(seed)
    net = AutoModelForSequenceClassification.from_pretrained(model, num_labels=len(labels), dtype=torch.float32)
    if "-" in arm:
        for module in (net.roberta.embeddings, *net.roberta.encoder.layer[: int(arm.split("-")[1])]):
            module.requires_grad_(False)
    times: list[float] = []
    losses: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            times.append(time.perf_counter())

        def on_log(self, args, state, control, logs=None, **kwargs):
            losses.extend([logs["loss"]] if "loss" in (logs or {}) else [])

    half = arm != "lesson"
    arguments = TrainingArguments(
        output_dir="work/trainer", use_cpu=True, per_device_train_batch_size=BATCH, max_steps=steps, bf16=half,
        train_sampling_strategy="group_by_length" if half else "random", save_strategy="no", report_to=[],
        disable_tqdm=True, seed=seed, logging_steps=5, learning_rate=2e-5,
    )  # fmt: skip
    Trainer(
        model=net,
        args=arguments,
        train_dataset=data,
        data_collator=DataCollatorWithPadding(tokenizer),
        callbacks=[Clock()],
    ).train()
    cold = cold_of(steps)
    rate = BATCH * (len(times) - 1 - cold) / (times[-1] - times[cold])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"rows_per_second": rate, "peak_bytes": peak, "losses": losses}


def isogloss(arm: str, model: Path, rows: Path, steps: int, seed: int) -> dict:
    """The command line, train alone timed: what its ledger says."""
    frozen = int(arm.split("-")[1]) if "-" in arm else None
    methods = ["full"] if frozen is None else [{"use": "freeze", "blocks": frozen}]
    home = Path("work") / "speed" / f"{arm}-{os.getpid()}"
    home.mkdir(parents=True)
    length = {"steps": steps, "eval_every": steps} if frozen is None else {"epochs": 3.0, "eval_every": 10**6}
    value = {
        "name": "speed", "seed": seed, "model": {"use": "encoder", "name": str(model.resolve())},
        "data": {"raw": [str(rows.resolve())]}, "train": {"batch": BATCH, "methods": methods, "lr": 2e-5, **length},
    }  # fmt: skip
    import tomli_w

    (home / "r.toml").write_text(tomli_w.dumps(value), encoding="utf-8")
    command = [sys.executable, "-m", "isogloss"]
    for word in ("prepare", "train"):
        done = subprocess.run([*command, word, "r.toml"], cwd=home, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
    spent = json.loads((home / "runs" / "speed" / "compute.json").read_text(encoding="utf-8"))
    events = [json.loads(line) for line in (home / "runs" / "speed" / "steps.jsonl").read_text().splitlines()]
    took = [e for e in events if e["event"] == "step"]
    if frozen is None:
        cold = cold_of(steps)
        rate = BATCH * (len(took) - 1 - cold) / (took[-1]["seconds"] - took[cold]["seconds"])
    else:
        rate = spent["n_rows"] / (spent["seconds"]["training"] + spent["seconds"]["states"])
    losses = [statistics.mean(e["loss"] for e in took[i : i + 5]) for i in range(0, len(took) - 4, 5)]
    import shutil

    shutil.rmtree(home)
    return {"rows_per_second": rate, "peak_bytes": spent["peak_bytes"]["process"], "losses": losses[:40]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=25, help="steps of the arms that are timed by steps")
    parser.add_argument("--rows", type=int, default=60, help="train rows a language of the arms over three epochs")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    work = Path("work")
    model = shapes.xlmr(work / "xlmr-base-shape", given.data)
    whole, few = shapes.topics(work, given.data), shapes.topics(work, given.data, train=given.rows)
    if given.arm:
        rows = few if given.arm.startswith("frozen") else whole
        job = isogloss if given.arm.startswith(("full", "frozen")) else trainer
        print(json.dumps(job(given.arm, model, rows, given.steps, given.seed)))
        return
    found: dict[str, list[dict]] = {arm: [] for arm in given.arms.split(",")}
    for number in range(given.rounds):
        for arm in found:
            command = [sys.executable, __file__, "--arm", arm, "--data", str(given.data), "--seed", str(number)]
            command += ["--steps", str(given.steps), "--rows", str(given.rows)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{arm}: {done.stderr[-2000:]}")
            found[arm].append(json.loads(done.stdout.strip().splitlines()[-1]))
            last = found[arm][-1]
            print(
                f"round {number + 1} {arm:10} {last['rows_per_second']:6.2f} rows/s {last['peak_bytes'] / 1e9:5.2f} GB",
                flush=True,
            )
    report = {"rounds": given.rounds, "batch": BATCH, "arms": {}, "ratios": []}
    print(f"\n{'arm':10} {'rows/s':>8} {'GB':>6}")
    for arm, each in found.items():
        rate = statistics.median(one["rows_per_second"] for one in each)
        peak = statistics.median(one["peak_bytes"] for one in each)
        losses = [statistics.mean(one["losses"][-3:]) for one in each if one["losses"]]
        report["arms"][arm] = {"rows_per_second": rate, "peak_bytes": peak, "last_losses": losses}
        print(f"{arm:10} {rate:8.2f} {peak / 1e9:6.2f}   last losses {', '.join(f'{x:.3f}' for x in losses)}")
    print("\nratios, round by round: median [least, most]; goal")
    for what, goals, key in (("faster", FASTER, "rows_per_second"), ("memory", LEANER, "peak_bytes")):
        for (arm, peer), goal in goals.items():
            if arm in found and peer in found:
                ratios = sorted(a[key] / b[key] for a, b in zip(found[arm], found[peer], strict=True))
                median = statistics.median(ratios)
                report["ratios"].append(
                    {
                        "what": what,
                        "arm": arm,
                        "peer": peer,
                        "ratio": median,
                        "low": ratios[0],
                        "high": ratios[-1],
                        "goal": goal,
                    }
                )
                print(f"{what} {arm:10} / {peer:8} {median:6.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]  goal {goal}")
    for arm, peer in (("frozen-8", "tuned-8"), ("frozen-10", "tuned-10")):
        if arm in found and peer in found:
            ratios = sorted(
                a["rows_per_second"] / b["rows_per_second"] for a, b in zip(found[arm], found[peer], strict=True)
            )
            report["ratios"].append(
                {
                    "what": "like with like",
                    "arm": arm,
                    "peer": peer,
                    "ratio": statistics.median(ratios),
                    "low": ratios[0],
                    "high": ratios[-1],
                }
            )
            print(
                f"faster {arm:10} / {peer:8} {statistics.median(ratios):6.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]  (the same blocks frozen)"
            )
    if given.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
