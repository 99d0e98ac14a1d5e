"""Two trainings on the same cores: how much slower than one alone, as threads wait by default and as isogloss lets them.

Threads of GNU OpenMP turn while they wait for one another. `isogloss` lets them turn less often (GOMP_SPINCOUNT, set by
the command line where the user has not said how they wait). `isogloss/mini` on the bundled sample, bf16 where the machine
has it; the median step, in rounds: alone and two at once, each as by default and as isogloss does. The ratio to *alone, by
default* is made inside a round.

    python benchmarks/shared_cores.py [--rounds 3] [--steps 60] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from estimates import median_step

USUAL = "300000"
ARMS = {"alone": (1, None), "alone, by default": (1, USUAL), "two": (2, None), "two, by default": (2, USUAL)}


def step(folder: Path, steps: int, n: int, spins: str | None) -> float:
    """Seconds of the median step, the mean of `n` trainings at once."""
    env = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    if spins is not None:
        env["GOMP_SPINCOUNT"] = spins
    homes = [folder / str(i) for i in range(n)]
    for home in homes:
        if not home.is_dir():
            home.mkdir()
            (home / "r.toml").write_text(
                'name = "r"\nmodel = {use = "encoder", name = "isogloss/mini"}\n[data]\nraw = ["isogloss/clinic"]\n'
                f"[train]\nbatch = 32\nsteps = {steps}\neval_every = {steps}\n"
            )
            subprocess.run(
                [sys.executable, "-m", "isogloss", "prepare", "r.toml"], cwd=home, check=True, capture_output=True
            )
    command = [sys.executable, "-m", "isogloss", "train", "r.toml", "--again"]
    running = [
        subprocess.Popen(command, cwd=home, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for home in homes
    ]
    if any(each.wait() for each in running):
        raise SystemExit("a training failed")
    return statistics.mean(median_step(home / "runs" / "r") for home in homes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    ratios: dict[str, list[float]] = {name: [] for name in ARMS}
    with tempfile.TemporaryDirectory() as place:
        for _ in range(given.rounds):
            took = {name: step(Path(place), given.steps, *arm) for name, arm in ARMS.items()}
            for name, seconds in took.items():
                ratios[name].append(seconds / took["alone, by default"])
    for name, found in ratios.items():
        print(f"{name:18} {statistics.median(found):5.2f} [{min(found):.2f}, {max(found):.2f}] times alone, by default")
    if given.json:
        print(json.dumps(ratios))


if __name__ == "__main__":
    main()
