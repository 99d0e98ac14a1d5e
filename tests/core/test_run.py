"""Run: stamps say what was read and made; a lock ends with its process; a difference is named."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from isogloss.core import files
from isogloss.core.errors import DamagedError, PlaceError
from isogloss.core.run import Run

READS = {"data": {"split": {"test": 0.1}, "steps": [{"use": "dedup", "threshold": 0.8}]}, "inputs": {"a.csv": "0" * 32}}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path / "r")
    files.write_text(run.path("corpus", "a"), "content")
    run.stamp("prepare", READS, [run.path("corpus", "a")], n_rows=1)
    return run


def test_a_stamp_is_fresh_until_something_differs(run: Run) -> None:
    assert run.differences("prepare", READS) == []
    assert run.differences("train", READS) is None
    run.unstamp("prepare")
    assert run.differences("prepare", READS) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": {**READS["data"], "split": {"test": 0.2}}}, "data.split.test: 0.1 → 0.2"),
        (
            {"data": {**READS["data"], "steps": [{"use": "dedup", "threshold": 0.9}]}},
            "data.steps.0.threshold: 0.8 → 0.9",
        ),
        ({"data": {**READS["data"], "keep": ["x"]}}, "data.keep is new"),
        ({"data": {"split": {"test": 0.1}}}, "data.steps is gone"),
        ({"data": {**READS["data"], "steps": []}}, 'data.steps: [{"threshold": 0.8, "use": "dedup"}] → []'),
        ({"inputs": {"a.csv": "1" * 32}}, "inputs.a.csv has other contents"),
    ],
)
def test_a_difference_is_named(run: Run, change: dict[str, Any], said: str) -> None:
    assert run.differences("prepare", {**READS, **change}) == [said]
    refusal = str(run.stale("prepare", [said]))
    assert said in refusal and "isogloss prepare RECIPE --again" in refusal


def test_the_key_of_a_stage_changes_with_what_it_made(run: Run) -> None:
    before = run.key("prepare")
    assert run.key("prepare") == before
    files.write_text(run.path("corpus", "a"), "other")
    run.stamp("prepare", READS, [run.path("corpus", "a")], n_rows=1)
    assert run.key("prepare") != before


@pytest.mark.parametrize("damage", ["gone", "cut", "flipped"])
def test_a_file_that_changed_under_a_stamp_is_named(run: Run, damage: str) -> None:
    path = run.path("corpus", "a")
    {"gone": path.unlink, "cut": lambda: path.write_text("con"), "flipped": lambda: path.write_text("c0ntent")}[
        damage
    ]()
    for ask in (lambda: run.require("prepare"), lambda: run.differences("prepare", READS)):
        with pytest.raises(DamagedError, match=r"corpus/a is .*--again"):
            ask()


@pytest.mark.parametrize("body", ["", "{", "[]", "{}", '"x"', '{"stage": "prepare"}', "null"])
def test_a_damaged_stamp_is_named(run: Run, body: str) -> None:
    run.path("stamps", "prepare.json").write_text(body)
    with pytest.raises(DamagedError, match=r"prepare\.json is damaged"):
        run.differences("prepare", READS)


def test_what_must_be_done_first_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlaceError, match="has no finished 'train'; run: isogloss train RECIPE"):
        Run(tmp_path).require("train")


def test_cost_adds_up_over_sittings_and_a_damaged_file_is_named(run: Run) -> None:
    run.spend("train", 1.5)
    run.spend("train", 2)
    run.spend("prepare", 1)
    assert run.cost() == {"train": 3.5, "prepare": 1}
    for body in ("{", "[]", '{"train": "x"}'):
        run.path("cost.json").write_text(body)
        with pytest.raises(DamagedError, match="remove it and repeat"):
            run.cost()


HOLD = (
    "import sys, time; from pathlib import Path; from isogloss.core.run import Run\n"
    "with Run(Path('r')).locked():\n    print('held', flush=True); time.sleep(60)\n"
)


def test_a_second_process_is_refused_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    holder = subprocess.Popen([sys.executable, "-c", HOLD], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    with holder, holder.stdout:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(PlaceError, match=f"in use by process {holder.pid}"), run.locked():
            pass
        (tmp_path / "r" / f".x.1{files.TEMPORARY}").touch()
        holder.send_signal(signal.SIGKILL)
    with run.locked():
        assert sorted(p.name for p in run.folder.iterdir()) == ["lock"]


def test_a_run_cannot_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "r").touch()
    with pytest.raises(PlaceError), Run(tmp_path / "r").locked():
        pass


def test_what_is_stamped_is_json(run: Run) -> None:
    stamp = json.loads(run.path("stamps", "prepare.json").read_text())
    assert stamp["facts"] == {"n_rows": 1} and stamp["versions"]["isogloss"]
