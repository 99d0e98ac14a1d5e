"""Tables in columns, Parquet and Arrow files, as rows in bounded memory.

Batches are cut by bytes. Strings stay dictionaries until their row comes, so that a short file whose long value
repeats a million times never fills the memory. Columns that a Hugging Face schema calls ClassLabel give the names of their numbers.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Rows of a batch at least and at most, and the bytes that one should have.
FEWEST, MOST, WANTED = 16, 4096, 4_000_000

Names = Mapping[str, tuple[str, ...]]


class TableError(Exception):
    """A table cannot be read, or not further; the message says why."""


@contextmanager
def _said(kind: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except UnicodeDecodeError:
        raise TableError("a string column has bytes that are not UTF-8") from None
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        why = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise TableError(f"it cannot be read as {kind.title()} ({why})") from None


def look(path: Path, kind: str) -> tuple[list[str], int]:
    """The names of the columns, and the number of rows.

    Raises TableError when it is no such table.
    """
    with _said(kind), _opened(path, kind) as table:
        return list(table.names), table.n_rows


def read(path: Path, kind: str, wanted: Collection[str] | None) -> Iterator[Mapping[str, Any]]:
    """The rows of a table, with the `wanted` columns of those it has (None: all).

    Raises TableError where it cannot be read, or not further.
    """
    with _said(kind), _opened(path, kind) as table:
        names = [name for name in table.names if wanted is None or name in wanted]
        labels = {name: found for name, found in class_names(table.schema).items() if name in names}
        for batch in table.batches(names):
            for value in _rows(batch):
                for name, known in labels.items():
                    value[name] = _named(value[name], known)
                yield value


def _rows(batch: Any) -> Iterator[dict[str, Any]]:
    """The rows of a batch, a few at a time: as many as hold `WANTED` bytes if all were as long as the longest."""
    import pyarrow as pa
    import pyarrow.compute as pc

    size = 1
    for column in batch.columns:
        if pa.types.is_dictionary(column.type) and _is_text(column.type.value_type):
            size += pc.max(pc.binary_length(column.dictionary)).as_py() or 0
        else:
            size += column.nbytes // max(1, len(column))
    n = max(1, min(MOST, WANTED // size))
    for start in range(0, batch.num_rows, n):
        some = batch.slice(start, n)
        decoded = [c.dictionary_decode() if pa.types.is_dictionary(c.type) else c for c in some.columns]
        yield from pa.RecordBatch.from_arrays(decoded, names=some.schema.names).to_pylist()


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _named(value: Any, known: tuple[str, ...]) -> Any:
    """The name of a class number; -1 is Hugging Face's word for none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return None if value == -1 else known[value] if 0 <= value < len(known) else value
    return value


def class_names(schema: Any) -> Names:
    """The names of the classes of each ClassLabel column, from what Hugging Face writes into the schema."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {
            name: tuple(map(str, feature["names"]))
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names")
        }
    except (KeyError, TypeError, ValueError):
        return {}


class _Table:
    """An open table: `schema`, and its rows in batches of about `WANTED` bytes."""

    def __init__(self, schema: Any, n_rows: int) -> None:
        self.schema, self.names, self.n_rows = schema, list(schema.names), n_rows

    def batches(self, names: list[str]) -> Iterator[Any]:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class _Parquet(_Table):
    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
        strings = [field.name for field in schema if _is_text(field.type)]
        # a buffer: pages are read one by one, and not whole columns of a row group
        self.file = pq.ParquetFile(path, read_dictionary=strings, buffer_size=1 << 16, pre_buffer=False)
        super().__init__(schema, self.file.metadata.num_rows)

    def batches(self, names: list[str]) -> Iterator[Any]:
        for group in range(self.file.num_row_groups):
            told = self.file.metadata.row_group(group)
            n = max(FEWEST, min(MOST, WANTED // max(1, told.total_byte_size // max(1, told.num_rows))))
            yield from self.file.iter_batches(n, row_groups=[group], columns=names)

    def close(self) -> None:
        self.file.close()


class _Arrow(_Table):
    """An Arrow stream, as Hugging Face writes it, or an Arrow file (Feather)."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        self.source = pa.memory_map(str(path))
        magic = self.source.read(6)
        self.source.seek(0)
        self.open = pa.ipc.open_file if magic == b"ARROW1" else pa.ipc.open_stream
        with self.open(self.source) as reader:
            schema = reader.schema
            n_rows = sum(batch.num_rows for batch in self._all(reader))  # mapped, not read
        super().__init__(schema, n_rows)

    @staticmethod
    def _all(reader: Any) -> Iterator[Any]:
        several = getattr(reader, "num_record_batches", None)
        return iter(reader) if several is None else map(reader.get_batch, range(several))

    def batches(self, names: list[str]) -> Iterator[Any]:
        self.source.seek(0)
        with self.open(self.source) as reader:
            for whole in self._all(reader):
                yield whole.select(names)

    def close(self) -> None:
        self.source.close()


@contextmanager
def _opened(path: Path, kind: str) -> Iterator[_Table]:
    table = _Parquet(path) if kind == "parquet" else _Arrow(path)
    try:
        yield table
    finally:
        table.close()
