"""kill -9 at any moment, then the same command: nothing finished is lost, nothing half-written is taken for whole."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from isogloss.core.files import TEMPORARY
from places import LANGS, Place, command, corpus_rows, make_place, shell, write_jsonl

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


def busy_place(folder: Path) -> Place:
    """Several shards, steps with and without a barrier, and baselines: every kind of work that can be cut short."""
    place = make_place(folder)
    rows: list[dict[str, Any]] = corpus_rows(parallel=False)
    rows += [{**row, "id": f"again-{row['id']}", "text": row["text"] + "!"} for row in rows[::5]]
    rows += [{**row, "id": f"lost-{row['id']}", "lang": None} for row in rows[::7]]
    write_jsonl(folder / "raw.jsonl", rows)
    write_jsonl(folder / "bench.jsonl", [{"text": row["text"]} for row in rows[:6]])
    steps = ["standardise", "langid", "dedup", {"use": "decontaminate", "against": ["bench.jsonl"]}]
    return place.with_(data={"steps": steps, "shard_bytes": 10_000}, gate=[])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: Any) -> tuple[Place, float]:
    """A run that nobody disturbed, and the seconds it took."""
    place = busy_place(tmp_path_factory.mktemp("undisturbed"))
    start = time.monotonic()
    said = shell("run", "recipe.toml", cwd=place.folder)
    assert said.code == 0, said.err
    return place, time.monotonic() - start


def result(place: Place) -> tuple[Any, ...]:
    """What a run comes to."""
    frames = [pl.read_parquet(place.run / "scores.parquet"), pl.read_parquet(place.run / "ledger.parquet")]
    frames.append(pl.concat([pl.read_parquet(p) for p in sorted((place.run / "corpus").iterdir())]))
    frames.append(pl.concat([pl.read_parquet(p) for p in sorted((place.run / "dropped").iterdir())]))
    return (*(frame.to_dicts() for frame in frames), json.loads((place.run / "verdict.json").read_text()))


def members(group: int) -> list[int]:
    """Living processes of a process group; workers stay in the group of the process that started them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(pgrp) == group and state != "Z":
            found.append(int(path.parent.name))
    return found


def start(place: Place) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command("run", "recipe.toml"),
        cwd=place.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def kill(process: subprocess.Popen[bytes], whole_group: bool) -> None:
    with process:
        if whole_group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait(timeout=30)
    end = time.monotonic() + 10
    while members(process.pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not members(process.pid), "workers outlive their parent"


def whole_files(place: Place) -> dict[str, bytes]:
    """Files under their final names, but those that are rewritten by their nature."""
    return {
        str(p.relative_to(place.run)): p.read_bytes()
        for p in place.run.rglob("*")
        if p.is_file() and TEMPORARY not in str(p) and p.name not in ("lock", "cost.json")
    }


def check(place: Place, expected: tuple[Any, ...]) -> None:
    """Everything under a final name can be read; the same command ends well and gives the same."""
    if place.run.exists():
        for name, body in whole_files(place).items():
            if name.endswith(".json"):
                json.loads(body)
            elif name.endswith((".parquet", "decision", "summary", "dropped", "ledger")):
                pl.read_parquet(place.run / name)
    said = shell("run", "recipe.toml", cwd=place.folder)
    assert said.code == 0, said.err
    assert result(place) == expected
    assert not list(place.run.rglob(f"*{TEMPORARY}*")) and not (place.run / "work").exists()


def disturb(place: Place, seconds: float, n: int, seed: int, whole_group: bool) -> None:
    """Start the run and kill it, `n` times, at random moments."""
    chance = random.Random(seed)
    for _ in range(n):
        process = start(place)
        try:
            process.wait(timeout=chance.uniform(0.1, seconds))
        except subprocess.TimeoutExpired:
            kill(process, whole_group)
        else:
            assert process.returncode == 0, process.communicate()[1].decode()
            process.communicate()


@pytest.mark.parametrize("whole_group", [True, False])
def test_killed_once(undisturbed: tuple[Place, float], tmp_path: Path, whole_group: bool) -> None:
    place, seconds = undisturbed
    mine = busy_place(tmp_path)
    disturb(mine, seconds, 1, 1 + whole_group, whole_group)
    check(mine, result(place))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(5))
def test_killed_at_random_moments(undisturbed: tuple[Place, float], tmp_path: Path, seed: int) -> None:
    place, seconds = undisturbed
    mine = busy_place(tmp_path)
    disturb(mine, seconds, 1 + seed % 3, 100 + seed, whole_group=seed % 2 == 0)
    check(mine, result(place))


DIES = """
import os, signal, sys
from isogloss.core import files
left = [int(sys.argv[1])]
replace = files.Path.replace
def counted(self, target):
    left[0] -= 1
    if left[0] == 0 and sys.argv[2] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    found = replace(self, target)
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return found
files.Path.replace = counted
from isogloss.core import engine
engine.usable_cores = lambda: 1
from isogloss.cli import _guarded
code = _guarded(["run", "recipe.toml"])
print(left[0])
sys.exit(code)
"""


def die(place: Place, n: int, when: str) -> subprocess.CompletedProcess[str]:
    """Run and die just before, or just after, the nth file appears under its name."""
    return subprocess.run(
        [sys.executable, "-c", DIES, str(n), when], cwd=place.folder, capture_output=True, text=True, timeout=120
    )


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("when", "first"), [("before", 1), ("after", 15)])
def test_killed_around_every_file_that_appears(
    undisturbed: tuple[Place, float], tmp_path: Path, when: str, first: int
) -> None:
    expected = result(undisturbed[0])
    (tmp_path / "all").mkdir()
    done = die(busy_place(tmp_path / "all"), 10**6, when)
    assert done.returncode == 0, done.stderr
    n_files = 10**6 - int(done.stdout.splitlines()[-1])
    assert n_files > 40
    for n in range(first, n_files + 1, 28):
        folder = tmp_path / str(n)
        folder.mkdir()
        place = busy_place(folder)
        assert die(place, n, when).returncode == -signal.SIGKILL
        done = die(place, 10**6, when)
        assert done.returncode == 0, done.stderr
        # what was finished is not made again, but for the recipe, the model or the tables of the stage that was cut short
        assert 10**6 - int(done.stdout.splitlines()[-1]) <= n_files - n + 20
        assert result(place) == expected


def test_the_languages_of_the_corpus_are_those_expected(undisturbed: tuple[Place, float]) -> None:
    """The run that others are compared with is one that did something."""
    scores, ledger, corpus, dropped, _ = result(undisturbed[0])
    assert {row["lang"] for row in corpus} == set(LANGS) and len(scores) > 50
    assert {row["step"] for row in ledger} >= {
        "read",
        "unique",
        "standardise",
        "langid",
        "dedup",
        "decontaminate",
        "split",
    }
    assert {row["step"] for row in dropped} >= {"dedup", "decontaminate"}
