"""Packed files (gzip, zstd) as a stream of bytes in bounded memory; what is cut, damaged or a bomb says so.

A decompression bomb is a small file that unpacks to far more than any text does. Text packs to a fifth, the same line
again and again to a hundredth; what unpacks to more than `RATIO` times what was read of it is not read on.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

# gzip cannot pack to less than 1/1032, zstd can.
RATIO = 300
# Bytes that any file may unpack to, whatever its size.
FREE = 64_000_000
BUFFER = 1 << 16

NAMES = {".gz": "gzip", ".zst": "zstd"}


class PackedError(Exception):
    """The rest of a packed file cannot be read; the message says why."""


def packing(path: Path) -> str | None:
    """How a file is packed, by its ending.

    >>> packing(Path("a.jsonl.GZ")), packing(Path("a.jsonl"))
    ('gzip', None)
    """
    return NAMES.get(path.suffix.lower())


def bare(name: str) -> str:
    """A file name without the ending that says how it is packed.

    >>> bare("a.csv.zst"), bare("a.csv")
    ('a.csv', 'a.csv')
    """
    return name[: -len(Path(name).suffix)] if packing(Path(name)) else name


@contextmanager
def opened(path: Path, meter: Any = None) -> Iterator[Any]:
    """The bytes of a file, unpacked. Reading raises PackedError where a packed file is not whole, or is a bomb.

    `meter.at` is set to a function that gives how many bytes of the file are read.
    """
    with path.open("rb", buffering=BUFFER) as raw:
        kind = packing(path)
        if meter is not None:
            meter.at = lambda: 0 if raw.closed else raw.tell()
        yield raw if kind is None else io.BufferedReader(_Unpacked(kind, raw), BUFFER)


class _Unpacked(io.RawIOBase):
    """The unpacked bytes of `raw`, counted."""

    def __init__(self, kind: str, raw: BinaryIO) -> None:
        self.kind, self.raw, self.n_out = kind, raw, 0
        if kind == "gzip":
            self.inner: Any = gzip.GzipFile(fileobj=raw)
        else:
            import pyarrow as pa

            self.inner = pa.CompressedInputStream(pa.PythonFile(raw, "r"), kind)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            piece = self.inner.read1(len(buffer))
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise PackedError(self._said(str(error))) from None
        except OSError as error:
            if error.errno is not None:
                raise
            raise PackedError(self._said(str(error))) from None  # pyarrow's word for a broken stream
        buffer[: len(piece)] = piece
        self.n_out += len(piece)
        if self.n_out > FREE and self.n_out > RATIO * max(1, self.raw.tell()):
            raise PackedError(
                f"a decompression bomb: it unpacks to more than {RATIO} times its size; what follows is not read"
            )
        return len(piece)

    def _said(self, why: str) -> str:
        why = why.splitlines()[0][:120] if why else "no reason given"
        if not self.n_out:
            return f"this is no whole {self.kind} file: {why}"
        if "CRC" in why or "ncorrect length" in why:
            return f"the {self.kind} file is damaged: its checksum does not fit, so rows before this line may be wrong"
        cut = "runcated" in why or "end-of-stream" in why
        return f"the {self.kind} file is {'cut' if cut else f'damaged ({why})'} here, and what follows is lost"
