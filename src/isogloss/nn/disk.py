"""Folders that are either whole or absent."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from isogloss.core import files


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder beside `folder`; on success its files are flushed and it takes the place of `folder`.

    Raises PlaceError when the disk is full or cannot be written.
    """
    temporary = folder.with_name(f".{folder.name}.new.{os.getpid()}{files.TEMPORARY}")
    try:
        with files.place_errors(folder):
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            yield temporary
            for path in temporary.rglob("*"):
                if path.is_file():
                    with path.open("rb+") as handle:
                        os.fsync(handle.fileno())
            if folder.exists():
                files.remove(folder)
            temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
