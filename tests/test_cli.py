"""The command line as a stranger uses it: help at once, one sentence an error, one JSON document, pipes and terminals."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import isogloss
from places import Place, Said, command, make_place, shell

WORDS = {
    "run", "prepare", "train", "evaluate", "report", "predict", "promote", "rollback", "ls", "embed", "retrieve", "cluster",
}  # fmt: skip
HEAVY = ("torch", "transformers", "polars", "pydantic", "numpy", "sklearn", "pyarrow")


def imported(code: str) -> list[str]:
    code += f"; import sys; print(*[m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr.split()


def test_help_and_import_are_light() -> None:
    assert (
        imported("import isogloss; isogloss.run, isogloss.load, isogloss.embed, isogloss.retrieve, isogloss.cluster")
        == []
    )
    for arguments in (["--help"], *([word, "--help"] for word in sorted(WORDS))):
        found = imported(f"from isogloss.cli import _guarded; _guarded({arguments!r})")
        assert set(found) <= {"pydantic"}, "typer imports pydantic itself; we import nothing"


@pytest.mark.parametrize(
    ("own", "told"), [({}, "2000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")]
)
def test_threads_wait_briefly_where_the_user_has_not_said_how(own: dict[str, str], told: str) -> None:
    script = (
        "import os; from isogloss.cli import _wait_briefly; _wait_briefly(); print(os.environ.get('GOMP_SPINCOUNT'))"
    )
    env = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")} | own
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == told


def test_the_public_surface(cli: Callable[..., Said]) -> None:
    assert set(isogloss.__all__) >= {"__version__", "cluster", "embed", "load", "retrieve", "run"}
    assert all(hasattr(isogloss, name) for name in isogloss.__all__)
    listed = {line.split()[0] for line in cli("--help").out.splitlines() if line.startswith("  ") and line.strip()}
    assert listed >= WORDS


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run"], 2, "Missing argument"),
        (["rum", "x"], 2, "No such command 'rum'"),
        (["run", "x", "--agian"], 2, "--agian"),
        (["run", "nothing.toml"], 2, "there is no recipe nothing.toml"),
        (["run", "."], 2, "is no run"),
        (["run", "recipe.toml", "--set", "sede=3"], 2, "did you mean 'seed'?"),
        (["run", "recipe.toml", "--set", "seed"], 2, "--set takes key=value"),
        (["train", "recipe.toml", "--set", "model.n_max=0"], 2, "takes a number of at least 1"),
        (["prepare", "recipe.toml", "--set", 'data.raw=["gone.jsonl"]'], 2, "no raw input gone.jsonl"),
        (["evaluate", "recipe.toml", "--runs", "raw.jsonl"], 2, "raw.jsonl"),
        (["report", "recipe.toml"], 2, "no finished"),
        (["report", "small"], 2, "there is no recipe small"),
        (["predict", "small", "raw.jsonl"], 2, "there is no small"),
        (["predict", "."], 2, "Missing argument"),
        (["promote", "recipe.toml"], 2, "no finished 'evaluate'"),
        (["rollback", "small"], 2, "nothing called 'small' on the shelf"),
        (["ls", "parst"], 2, "did you mean 'parts'?"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_one_document(
    place: Place, cli: Callable[..., Said], arguments: list[str], code: int, words: str
) -> None:
    said = cli(*arguments)
    assert (said.code, said.out) == (code, "")
    assert words in said.err and said.err.startswith("isogloss: ") and said.err.count("\n") == 1
    with_json = cli(*arguments, "--json")
    assert with_json.code == code
    assert words in with_json.json["error"] and with_json.json["exit_code"] == code


def test_every_command_prints_one_json_document(place: Place, cli: Callable[..., Said]) -> None:
    (place.folder / "a.txt").write_text("Hello there\n")
    for arguments in (
        ["prepare", "recipe.toml"],
        ["train", "recipe.toml"],
        ["evaluate", "recipe.toml"],
        ["run", "recipe.toml"],
        ["report", "small"],
        ["predict", "small", "a.txt", "--lang", "en"],
        ["promote", "small"],
        ["ls"],
        ["ls", "parts"],
        ["ls", "runs"],
        ["ls", "langs"],
        ["ls", "shelf"],
        ["rollback", "small", "--to", "v0001"],
    ):
        said = cli(*arguments, "--json")
        assert said.code == 0, said.err
        assert said.json is not None
    assert cli("ls", "runs", "--json").json["runs"] == [
        {"run": "small", "done": "prepare, train, evaluate", "verdict": "holds"}
    ]


def test_the_table_is_worst_first_with_n_interval_and_every_baseline(place: Place, cli: Callable[..., Said]) -> None:
    out = cli("run", "recipe.toml").out
    rows = [line for line in out.splitlines() if line[:8] in place.value["langs"]]
    values = [float(line.split()[-5]) if "]" not in line.split()[-5] else 0 for line in rows]
    assert len(rows) == 4 and values == sorted(values)
    assert all(" [0." in line for line in rows)
    assert (
        "majority" in out
        and "floor_pooled" in out
        and "verdict: every gate holds" in out
        and "report: runs/small" in out
    )


def test_any_terminal(place: Place) -> None:
    """No colours, no UTF-8 locale, a narrow window, all at once."""
    env = {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "NO_COLOR": "1", "COLUMNS": "40", "TERM": "dumb"}
    said = shell("run", "recipe.toml", "--set", "evaluate.baselines=[]", cwd=place.folder, **env)
    assert said.code == 0, said.err
    assert "\x1b" not in said.out + said.err
    table = [line for line in said.out.splitlines() if line[:8] in place.value["langs"]]
    assert len(table) == 4 and all(len(line) <= 40 for line in table)


def test_a_reader_that_goes_away(place: Place) -> None:
    line = subprocess.run(
        f"{sys.executable} -m isogloss ls langs | head -n 1",
        shell=True,
        cwd=place.folder,
        capture_output=True,
        text=True,
    )
    assert line.stdout.strip() == "langs" and line.stderr == ""


def wait_for(path: Path, process: subprocess.Popen[Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < end and process.poll() is None:
        time.sleep(0.01)
    assert path.exists()


def test_interrupted_is_130_and_the_same_command_goes_on(place: Place) -> None:
    process = subprocess.Popen(
        command("run", "recipe.toml"), cwd=place.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for(place.run / "stamps" / "prepare.json", process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted; finished work is kept" in err and "Traceback" not in err
    said = shell("run", "recipe.toml", cwd=place.folder)
    assert said.code == 0 and "prepare   fresh" in said.err


def test_a_terminal_gets_a_line_that_moves(place: Place) -> None:
    main, other = pty.openpty()
    process = subprocess.Popen(
        command("prepare", "recipe.toml"),
        cwd=place.folder,
        stdout=other,
        stderr=other,
        env={**os.environ, "COLUMNS": "50"},
    )
    os.close(other)
    seen = b""
    while True:
        ready, _, _ = select.select([main], [], [], 60)
        try:
            piece = os.read(main, 4096) if ready else b""
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        seen += piece
    os.close(main)
    assert process.wait(timeout=60) == 0
    assert b"\r" in seen and b"reading" in seen and b"216 rows in 4 languages" in seen


# -- the disk ---------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A file system of one megabyte; needs the right to mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if (
        not mount
        or subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True).returncode
    ):
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_one_sentence_and_nothing_is_lost(place: Place, small_disk: Path) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 900_000)
    said = shell("run", "recipe.toml", "--runs", "disk", cwd=place.folder)
    assert said.code == 2, said.err
    assert (
        "is full; nothing was lost: free some space and repeat the command" in said.err and "Traceback" not in said.err
    )
    filler.unlink()
    assert shell("run", "recipe.toml", "--runs", "disk", cwd=place.folder).code == 0


def test_a_read_only_folder_is_one_sentence(place: Place, small_disk: Path) -> None:
    assert shell("prepare", "recipe.toml", "--runs", "disk", cwd=place.folder).code == 0
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for arguments in (["run", "recipe.toml", "--runs", "disk"], ["run", "recipe.toml", "--runs", "disk/new"]):
        said = shell(*arguments, cwd=place.folder)
        assert said.code == 2 and "Read-only file system" in said.err and "Traceback" not in said.err


FULL = """
import errno, os, sys
from isogloss.core import files
real, left = os.fsync, [int(sys.argv[1])]
def fsync(descriptor):
    left[0] -= 1
    if left[0] < 0:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return real(descriptor)
os.fsync = fsync
from isogloss.cli import _guarded
sys.exit(_guarded(["run", "recipe.toml"]))
"""


@pytest.mark.parametrize("n_files", [4, *[pytest.param(n, marks=pytest.mark.slow) for n in (0, 8, 12, 16, 20)]])
def test_a_disk_that_fills_up_at_any_file(place: Place, n_files: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(n_files)], cwd=place.folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2 and "is full; nothing was lost" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


# -- damage -----------------------------------------------------------------------------------------------------


def damaged(body: bytes, how: str) -> bytes:
    if how == "cut":
        return body[: len(body) // 2]
    if how == "flip":
        middle = len(body) // 2
        return body[:middle] + bytes(255 - b for b in body[middle : middle + 8]) + body[middle + 8 :]
    return b""


@pytest.mark.parametrize(
    "how", ["cut", pytest.param("flip", marks=pytest.mark.slow), pytest.param("empty", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    "name",
    [
        "corpus/00000.parquet",
        "ledger.parquet",
        "counts.parquet",
        "stamps/prepare.json",
        "stamps/train.json",
        "stamps/evaluate.json",
        "model/isogloss.json",
        "model/ngram.json",
        "model/ngram.safetensors",
        "predictions/model.parquet",
        "predictions/key.json",
        "scores.parquet",
        "verdict.json",
        "cost.json",
        "origin.json",
        "recipe.toml",
    ],
)
def test_a_damaged_file_of_ours_is_one_sentence_and_again_mends_it(
    ran_once: Path, place: Place, cli: Callable[..., Said], name: str, how: str
) -> None:
    shutil.copytree(ran_once / "runs", place.runs)
    shutil.copy2(ran_once / "raw.jsonl", place.folder / "raw.jsonl")
    path = place.run / name
    path.write_bytes(damaged(path.read_bytes(), how))
    (place.folder / "a.txt").write_text("Hello\n")
    for arguments in (
        ["run", "recipe.toml"],
        ["evaluate", "small"],
        ["report", "small"],
        ["promote", "small"],
        ["predict", "small", "a.txt", "--lang", "en"],
        ["ls", "runs"],
    ):
        said = cli(*arguments)
        assert said.code in (0, 2), said.err
        assert said.code == 0 or (said.err.count("isogloss: ") == 1 and str(path.name) in said.err), said.err
    if name == "cost.json":
        path.unlink()
    assert cli("run", "recipe.toml", "--again").code == 0
    if name not in ("recipe.toml", "origin.json"):
        said = cli("run", "recipe.toml")
        assert said.code == 0 and said.err.count("fresh") == 3


@pytest.fixture(scope="module")
def ran_once(tmp_path_factory: Any) -> Path:
    """The runs folder of a finished run."""
    place = make_place(tmp_path_factory.mktemp("once"))
    isogloss.run(place.recipe, runs=place.runs)
    return place.folder


def test_a_fault_of_ours_is_a_file_and_a_sentence(place: Place, monkeypatch: Any, capsys: Any) -> None:
    from isogloss.cli import _guarded

    def broken(*args: Any) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.chdir(place.folder)
    monkeypatch.setattr("isogloss.stages.listing.listing", broken)
    assert _guarded(["ls", "--json"]) == 4
    said = capsys.readouterr()
    assert "a fault of ours (ZeroDivisionError: by zero); please report it with" in json.loads(said.out)["error"]
    fault = Path(said.err.split("please report it with ")[1].strip())
    assert "Traceback" in fault.read_text()
    fault.unlink()
