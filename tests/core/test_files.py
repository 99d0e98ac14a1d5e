"""Files are whole or absent, and what the disk says is one sentence."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from isogloss.core import files
from isogloss.core.errors import DamagedError, PlaceError


def test_a_file_that_is_written_halfway_never_appears(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(ZeroDivisionError), files.whole(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert files.read_json(path) == {"a": 1}
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]


def test_killed_while_writing(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from isogloss.core import files; import time\n"
        "path = Path('a.txt'); files.write_text(path, 'old')\n"
        "with files.whole(path) as temporary:\n"
        "    temporary.write_text('half'); print('now', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process, process.stdout:
        assert process.stdout.readline() == "now\n"
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / "a.txt").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    files.sweep(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "is full; nothing was lost"),
        (errno.EDQUOT, "is full"),
        (errno.EROFS, "cannot be read or written here (Read-only file system)"),
        (errno.EACCES, "cannot be read or written here (Permission denied)"),
        (errno.ENOENT, "does not exist"),
        (errno.ENOTDIR, "not a directory"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_what_the_disk_says_is_one_sentence(tmp_path: Path, number: int, words: str) -> None:
    with pytest.raises(PlaceError) as caught, files.whole(tmp_path / "a"):
        raise OSError(number, os.strerror(number))
    assert words in str(caught.value) and str(tmp_path / "a") in str(caught.value)


def test_errors_of_libraries_about_a_full_disk_are_understood(tmp_path: Path) -> None:
    with pytest.raises(PlaceError, match="is full"), files.whole(tmp_path / "a"):
        raise RuntimeError("IoError: No space left on device (os error 28)")
    with pytest.raises(RuntimeError), files.whole(tmp_path / "a"):
        raise RuntimeError("something else")


def test_a_damaged_file_of_ours_is_named_with_what_helps(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for body in (b"", b"{", b"\xff\xfe", b"[" * 100_000):
        path.write_bytes(body)
        with pytest.raises(DamagedError, match=r"a\.json is damaged .*; repeat the stage that makes it with --again"):
            files.read_json(path)
    with pytest.raises(DamagedError, match="is missing; do this"):
        files.read_json(tmp_path / "b.json", "do this")
    table = tmp_path / "a.parquet"
    files.write_parquet(table, pl.DataFrame({"a": list(range(1000))}))
    whole = table.read_bytes()
    for body in (b"", whole[:-7], whole[:100]):
        table.write_bytes(body)
        with pytest.raises(DamagedError):
            files.read_parquet(table)


def test_digests(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    first = files.digest(path)
    assert first == files.digest(path)
    time.sleep(0.01)
    path.write_bytes(b"two")
    assert files.digest(path) != first
    assert files.digest_of({"a": 1, "b": [2]}) == files.digest_of({"b": [2], "a": 1})
    assert files.digest_of({"a": "\ud800"}) != files.digest_of({"a": "\ud801"})


def test_a_folder_is_removed_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    files.write_json(folder / "x" / "a.json", 1)
    files.remove(folder)
    files.remove(folder)
    files.remove(tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []
    target = tmp_path / "kept"
    target.mkdir()
    (tmp_path / "link").symlink_to(target)
    files.remove(tmp_path / "link")
    assert target.is_dir()


def test_what_a_file_of_ours_holds_is_sound() -> None:
    assert files.sound("a\ud800b\0é") == "a\ufffdb\ufffdé"
    json.dumps(files.sound("\udfff")).encode()
