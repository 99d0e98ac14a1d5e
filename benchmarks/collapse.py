"""Collapses of training: how early they are seen, and whether healthy runs raise an alarm.

Real runs of `isogloss train` on SIB-200 in four languages, from isogloss/mini and from an encoder of random weights, at
rates that are far too high and at rates that people use; each with a seed of its own. A run is healthy when its last
loss is under nine tenths of guessing's; a run at a usual rate that is not is told apart, because there an alarm may be right.

    python benchmarks/collapse.py --data ../shared/data --json
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import shapes

LANGS = ("eng_Latn", "hin_Deva", "spa_Latn", "swh_Latn")
MINI, SCRATCH = "isogloss/mini", {"use": "encoder", "scratch": {"layers": 4, "width": 128, "heads": 4, "vocab": 8000}}
TOO_HIGH = [(MINI, 5e-2), (MINI, 1e-1), (SCRATCH, 2e-2), (SCRATCH, 1e-1)]
USUAL = [(MINI, 1e-4), (MINI, 3e-4), (MINI, 1e-3), (SCRATCH, 3e-4), (SCRATCH, 1e-3)]
SOON = 0.2


def run(model: str | dict, lr: float, seed: int, rows: Path, steps: int) -> dict:
    """Train once; what its log says of collapses, and the mean loss of the last tenth."""
    import tomli_w

    home = Path("work") / "collapse" / f"run-{os.getpid()}"
    home.mkdir(parents=True)
    value = {
        "name": "c", "seed": seed, "model": model, "data": {"raw": [str(rows.resolve())]},
        "train": {"lr": lr, "steps": steps, "batch": 16, "eval_every": steps // 2},
    }  # fmt: skip
    (home / "r.toml").write_text(tomli_w.dumps(value), encoding="utf-8")
    for word in ("prepare", "train"):
        done = subprocess.run(
            [sys.executable, "-m", "isogloss", word, "r.toml"], cwd=home, capture_output=True, text=True
        )
        if done.returncode and "training collapsed" not in done.stderr:
            raise SystemExit(done.stderr[-3000:])
    events = [json.loads(line) for line in (home / "runs" / "c" / "steps.jsonl").read_text("utf-8").splitlines()]
    shutil.rmtree(home)
    falls = [event["step"] for event in events if event["event"] == "collapse"]
    losses = [event["loss"] for event in events if event["event"] == "step"][-steps // 10 :]
    return {"first": falls[0] if falls else None, "n": len(falls), "loss": sum(losses) / len(losses)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--healthy", type=int, default=50, help="runs at usual rates")
    parser.add_argument("--fallen", type=int, default=12, help="runs at rates that are too high")
    parser.add_argument("--first", type=int, default=0, help="the first seed, to go on with what was cut off")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = shapes.topics(Path("work"), given.data, train=150, dev=24, langs=LANGS)
    labels = Counter(json.loads(line)["label"] for line in rows.read_text(encoding="utf-8").splitlines())
    chance = -sum(n / labels.total() * math.log(n / labels.total()) for n in labels.values())
    report: dict[str, list[dict]] = {"too high": [], "usual": []}
    for kind, settings, n in (("too high", TOO_HIGH, given.fallen), ("usual", USUAL, given.healthy)):
        for seed in range(given.first, given.first + n):
            model, lr = settings[seed % len(settings)]
            found = run(model, lr, seed, rows, given.steps)
            name = model if isinstance(model, str) else "scratch"
            report[kind].append({"model": name, "lr": lr, "seed": seed, **found})
            print(f"{kind:8} {name:13} {lr:g} seed {seed}: {found}", flush=True)
    high = report["too high"]
    seen = sum(row["first"] is not None and row["first"] <= SOON * given.steps for row in high)
    well = [row for row in report["usual"] if row["loss"] < 0.9 * chance]
    alarms = sum(row["n"] > 0 for row in well)
    other = [row for row in report["usual"] if row not in well]
    print(f"\nseen before {SOON:.0%} of the budget: {seen} of {len(high)} runs at rates that are too high")
    print(
        f"alarms: {alarms} in {len(well)} healthy runs; {sum(row['n'] > 0 for row in other)} in {len(other)} that did not learn"
    )
    if given.json:
        summary = {"seen": seen, "of": len(high), "alarms": alarms, "healthy": len(well), "not_learned": len(other)}
        print(json.dumps({**summary, "runs": report}))


if __name__ == "__main__":
    main()
