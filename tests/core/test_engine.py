"""Engine: results in the order of the items, whoever works; an error ends the others; nobody stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from isogloss.core.engine import Local, usable_cores
from isogloss.core.errors import DataError, PlaceError


def slow_square(x: int) -> tuple[int, int]:
    time.sleep(0.02 * (x % 3))
    return x * x, os.getpid()


def fails(x: int) -> int:
    if x == 3:
        raise DataError("three")
    return x


def dies(x: int) -> int:
    if x == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


@pytest.mark.parametrize("n", [0, 1, 2, 17])
def test_order_and_results_do_not_depend_on_workers(n: int) -> None:
    found = list(Local(2).map(slow_square, range(n)))
    assert [value for value, _ in found] == [x * x for x in range(n)]
    assert (os.getpid() in {pid for _, pid in found}) == (n == 1)
    assert [value for value, _ in Local(1).map(slow_square, range(n))] == [x * x for x in range(n)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_arrives_as_it_is(workers: int) -> None:
    results = Local(workers).map(fails, range(6))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DataError, match="three"):
        next(results)


def test_a_worker_that_is_killed_is_one_sentence_and_the_next_call_works() -> None:
    with pytest.raises(PlaceError, match="want of memory"):
        list(Local(2).map(dies, range(4)))
    assert list(Local(2).map(fails, [1, 2])) == [1, 2]


def test_usable_cores() -> None:
    assert usable_cores() >= 1


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(
        "import os, time\ndef work(x):\n    os.write(1, b'%d\\n' % os.getpid())\n    time.sleep(30)\n", encoding="utf-8"
    )
    code = "from isogloss.core.engine import Local; import work; list(Local(2).map(work.work, range(4)))"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent, parent.stdout:
        workers = {int(parent.stdout.readline()) for _ in range(2)}
        assert all(map(alive, workers))
        parent.kill()
    end = time.monotonic() + 10
    while any(map(alive, workers)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(alive, workers))
