"""Files that are either whole or absent, and hashes of them."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isogloss.core.errors import DamagedError, PlaceError

if TYPE_CHECKING:
    import polars as pl

TEMPORARY = ".isogloss-tmp"


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it is flushed to disk and renamed, on failure removed.

    Raises PlaceError when the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        with place_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with temporary.open("rb+") as handle:
                os.fsync(handle.fileno())
            temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def place_errors(path: Path) -> Iterator[None]:
    """Turn what the disk says into one sentence about `path`."""
    try:
        yield
    except OSError as error:
        raise PlaceError(place_sentence(error, path)) from error
    except Exception as error:
        # polars and safetensors wrap what the operating system said in errors of their own
        if "No space left" in str(error) or "os error 28" in str(error):
            raise PlaceError(
                f"the disk that holds {path} is full; nothing was lost: free some space and repeat the command"
            ) from error
        raise


def place_sentence(error: OSError, path: Path | str | None = None) -> str:
    """One sentence for what the operating system refused, and what would help."""
    where = path or error.filename or "a file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk that holds {where} is full; nothing was lost: free some space and repeat the command"
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        why = os.strerror(error.errno)
        return f"{where} cannot be read or written here ({why}); choose another folder or change its permissions"
    if error.errno == errno.ENOENT:
        return f"{where} does not exist"
    if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
        return f"{where}: {os.strerror(error.errno).lower()}"
    return f"{where}: {error.strerror or error}"


def sound(text: str) -> str:
    """`text` without half characters and NUL, which no file of ours could hold."""
    return text if text.isascii() and "\x00" not in text else re.sub(r"[\ud800-\udfff\x00]", "\ufffd", text)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file, whole or not at all."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_parquet(path: Path, frame: pl.DataFrame) -> None:
    """Write a Parquet file, whole or not at all."""
    with whole(path) as temporary:
        frame.write_parquet(temporary, compression="zstd")


AGAIN = "repeat the stage that makes it with --again"


def read_json(path: Path, remedy: str = AGAIN) -> Any:
    """Read a JSON file of our own. Raises DamagedError, with what would help, when it is missing or damaged."""
    return read_own(path, lambda p: json.loads(p.read_text(encoding="utf-8")), remedy)


def read_parquet(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    """Read a Parquet file of our own. Raises DamagedError when it is missing or damaged."""
    import polars as pl

    return read_own(path, lambda p: pl.read_parquet(p, columns=columns, memory_map=False))


def read_own(path: Path, read: Callable[[Path], Any], remedy: str = AGAIN) -> Any:
    """Read a file of our own with `read`. Raises DamagedError, with what would help, when that fails."""
    if not path.is_file():
        raise DamagedError(f"{path} is missing; {remedy}")
    try:
        return read(path)
    except PermissionError as error:
        raise PlaceError(place_sentence(error, path)) from None
    except MemoryError:
        raise
    except Exception as error:
        raise DamagedError(f"{path} is damaged ({type(error).__name__}); {remedy}") from None


def digest(path: Path) -> str:
    """BLAKE2b of a file's bytes, 32 hex digits."""
    with place_errors(path):
        stat = path.stat()
        return _digest(path, (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))


@lru_cache(maxsize=4096)
def _digest(path: Path, stamp: tuple[int, ...]) -> str:
    """Once a process for each state of a file: stages check what earlier ones made again and again."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def digest_of(value: Any) -> str:
    """BLAKE2b of a JSON value, 16 hex digits; equal values have equal digests whatever their key order."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def sweep(folder: Path) -> None:
    """Remove temporary files that a killed process left under `folder`. Only for who holds its lock."""
    for path in folder.rglob(f".*{TEMPORARY}"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there. A folder is renamed first, so that it is whole or absent."""
    with place_errors(path):
        if path.is_dir() and not path.is_symlink():
            doomed = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
            path.replace(doomed)
            shutil.rmtree(doomed)
        else:
            path.unlink(missing_ok=True)
