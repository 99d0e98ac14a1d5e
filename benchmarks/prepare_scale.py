"""Seconds and peak memory of `isogloss prepare` by the number of rows: is the cost linear, and is memory flat?

    python benchmarks/prepare_scale.py [--data ../shared/data/sib200.parquet] [--rows 100000 400000 1000000] [--steps boilerplate]

Sentences of SIB-200 again and again, each with a number behind it, in one JSONL file. Memory is the resident set of the
command and its workers, looked at five times a second; `parent` is the command alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl


def resident(pid: int) -> float:
    """Megabytes that a process holds."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024
    except (OSError, StopIteration):
        return 0.0


def children(pid: int) -> list[int]:
    try:
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def measured(folder: Path, source: pl.DataFrame, n: int, steps: list[str]) -> dict[str, float]:
    rows = source.to_dicts()
    with (folder / "raw.jsonl").open("w", encoding="utf-8") as handle:
        for i in range(n):
            row = rows[i % len(rows)]
            handle.write(json.dumps({**row, "id": f"row-{i}", "text": f"{row['text']} {i}"}, ensure_ascii=False) + "\n")
    recipe = f'name = "n{n}"\nmodel = {{use = "ngram"}}\n[data]\nraw = ["raw.jsonl"]\nsteps = {json.dumps(steps)}\n'
    (folder / "recipe.toml").write_text(recipe)
    start = time.monotonic()
    command = [sys.executable, "-m", "isogloss", "prepare", "recipe.toml"]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    peak = parent = 0.0
    while process.poll() is None:
        own = resident(process.pid)
        peak = max(peak, own + sum(map(resident, children(process.pid))))
        parent = max(parent, own)
        time.sleep(0.2)
    seconds = time.monotonic() - start
    if process.returncode:
        sys.exit(f"prepare ended with {process.returncode}")
    return {"rows": n, "seconds": seconds, "rows_per_second": n / seconds, "peak_mb": peak, "parent_mb": parent}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).parents[1]
    parser.add_argument("--data", type=Path, default=here.parent / "shared" / "data" / "sib200.parquet")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 400_000, 1_000_000])
    parser.add_argument("--steps", nargs="*", default=["boilerplate"])
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    given = parser.parse_args()
    source = pl.read_parquet(given.data).select("text", "lang", "label")
    found = []
    print(f"steps {given.steps}, {os.cpu_count()} cores")
    for n in given.rows:
        with tempfile.TemporaryDirectory() as folder:
            row = measured(Path(folder), source, n, given.steps)
        found.append(row)
        print(
            f"{n:>10,} rows  {row['seconds']:>7.1f} s  {row['rows_per_second']:>8,.0f} rows/s  peak {row['peak_mb']:>6.0f} MB  "
            f"parent {row['parent_mb']:>6.0f} MB"
        )
    if given.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
