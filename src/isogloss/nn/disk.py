"""Folders that are either whole or absent, and safetensors files that are read and written piece by piece."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch

from isogloss.core import files
from isogloss.core.errors import DamagedError

# Names of the types in a safetensors file, <https://github.com/huggingface/safetensors>.
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
NAMES = {dtype: name for name, dtype in DTYPES.items()}
CHUNK = 16 * 2**20


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


# -- safetensors --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stored:
    """A tensor in a safetensors file: where its bytes begin, of what type and shape it is."""

    path: Path
    offset: int
    dtype: str
    shape: tuple[int, ...]

    @property
    def n_bytes(self) -> int:
        return self._row_bytes * (self.shape[0] if self.shape else 1)

    @property
    def _row_bytes(self) -> int:
        n = DTYPES[self.dtype].itemsize
        for size in self.shape[1:]:
            n *= size
        return n

    def raw(self, handle: IO[bytes], first: int, last: int) -> bytearray:
        """The bytes of rows first..last-1."""
        found = bytearray((last - first) * self._row_bytes)
        handle.seek(self.offset + first * self._row_bytes)
        if handle.readinto(found) != len(found):  # type: ignore[attr-defined]
            raise DamagedError(f"{self.path} ends in the middle of a tensor; fetch the model again")
        return found

    def read(self, handle: IO[bytes], first: int, last: int) -> torch.Tensor:
        """Rows first..last-1 as float32."""
        raw = torch.frombuffer(self.raw(handle, first, last), dtype=DTYPES[self.dtype])
        return raw.view(last - first, *self.shape[1:]).float()

    def chunks(self) -> Iterator[bytes]:
        """All of its bytes, in parts."""
        left = self.n_bytes
        with self.path.open("rb") as handle:
            handle.seek(self.offset)
            while left:
                part = handle.read(min(CHUNK, left))
                if not part:
                    raise DamagedError(f"{self.path} ends in the middle of a tensor")
                left -= len(part)
                yield part


def stored(path: Path) -> dict[str, Stored]:
    """What a safetensors file holds, in the order of the file; nothing but its head is read. Raises DamagedError."""
    try:
        with path.open("rb") as handle:
            size = int.from_bytes(handle.read(8), "little")
            if not 0 < size <= path.stat().st_size - 8:
                raise ValueError("its head is cut off")
            head = json.loads(handle.read(size))
        head.pop("__metadata__", None)
        begin = 8 + size
        found = {
            name: Stored(path, begin + each["data_offsets"][0], each["dtype"], tuple(each["shape"]))
            for name, each in head.items()
        }
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{path} is no safetensors file, or damaged ({error})") from None
    return dict(sorted(found.items(), key=lambda item: item[1].offset))


def write_stored(
    path: Path,
    what: Mapping[str, Stored],
    content: Callable[[str, Stored], Iterable[bytes | memoryview]],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a safetensors file whose tensors come in parts, so that no copy of them is ever in memory.

    `what` says types and shapes (path and offset are not used), `content` gives the bytes of each in order.
    """
    head: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name, each in what.items():
        head[name] = {
            "dtype": each.dtype,
            "shape": list(each.shape),
            "data_offsets": [offset, offset + each.n_bytes],
        }
        offset += each.n_bytes
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as handle:
        handle.write(len(text).to_bytes(8, "little") + text)
        for name, each in what.items():
            n = sum(handle.write(part) for part in content(name, each))
            if n != each.n_bytes:
                raise ValueError(f"{name} has {n} bytes and not {each.n_bytes}")


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write tensors as safetensors, one after the other; widest types first, as the format asks for alignment."""
    ordered = dict(sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0])))
    what = {name: Stored(path, 0, NAMES[value.dtype], tuple(value.shape)) for name, value in ordered.items()}

    def content(name: str, each: Stored) -> Iterator[memoryview]:
        value = ordered[name].detach().cpu().contiguous()
        if value.numel():
            yield value.view(-1).view(torch.uint8).numpy().data

    write_stored(path, what, content)
