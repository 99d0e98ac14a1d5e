"""Readers: raw files to rows, one at a time; what cannot be read is set aside with file, line and reason.

A reader yields `(line, row)` with a mapping of the file's own column names, or `(line, Broken)`.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from isogloss.core.errors import DataError
from isogloss.core.files import place_errors

ENDINGS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "text",
}
PLACEHOLDERS = ("lang", "label", "split", "group", "id", "source")
# A quoted CSV field may span lines; one that spans more than this was never closed.
MAX_QUOTED_LINES = 10_000


@dataclass(frozen=True)
class Broken:
    """A row that cannot be read, and why; `raw` is its beginning."""

    reason: str
    raw: str = ""


@dataclass(frozen=True)
class RawFile:
    """One file to read, with what its place in the folders says of its rows (`given`)."""

    path: Path
    format: str
    shown: str
    encoding: str = "utf-8"
    whole: bool = False
    given: Mapping[str, str] = field(default_factory=dict)


Row = tuple[int, Mapping[str, Any] | Broken]


def expand(path: Path, shown: str, *, format: str | None, encoding: str, rows: str | None, given: Mapping[str, str]) -> list[RawFile]:
    """The files that a path, folder or pattern means, in the order of their names.

    `{lang}`, `{label}`, `{split}`, `{group}`, `{id}` and `{source}` in a pattern match one piece of a path and are
    given to every row. Raises DataError when nothing is there.
    """
    text = str(path)
    if re.search(r"[*?\[{]", text) and not path.exists():
        return _from_pattern(text, shown, format=format, encoding=encoding, rows=rows, given=given)
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.is_file() and (_format(p) == format if format else _format(p)))
        if not found:
            raise DataError(f"the folder {shown} has no file that ends in {', '.join(ENDINGS)}")
        return [_raw(p, _shown(p, path, shown), format, encoding, (rows or "files") == "files", given) for p in found]
    if not path.exists():
        raise DataError(f"there is no raw input {shown} (looked for {path})")
    return [_raw(path, shown, format, encoding, rows == "files", given)]


def _from_pattern(text: str, shown: str, *, format: str | None, encoding: str, rows: str | None, given: Mapping[str, str]) -> list[RawFile]:
    names = re.findall(r"\{(\w+)\}", text)
    unknown = [name for name in names if name not in PLACEHOLDERS]
    if unknown:
        raise DataError(f"{shown}: {{{unknown[0]}}} is no placeholder; known: {', '.join(PLACEHOLDERS)}")
    glob = re.sub(r"\{\w+\}", "*", text)
    fixed = re.split(r"[*?\[]", glob, maxsplit=1)[0]
    base = Path(fixed) if fixed.endswith("/") else Path(fixed).parent
    pattern = re.compile(_as_regex(text))
    found = [p for p in sorted(base.glob(glob[len(str(base)) :].lstrip("/"))) if p.is_file()]
    files = []
    for p in found:
        match = pattern.fullmatch(str(p))
        if match:
            captured = {**given, **match.groupdict()}
            files.append(_raw(p, _shown(p, base, str(Path(shown.split("{")[0].split("*")[0]))), format, encoding, (rows or "files") == "files", captured))
    if not files:
        raise DataError(f"no file matches {shown} (looked in {base})")
    return files


def _as_regex(pattern: str) -> str:
    pieces, seen = [], set()
    for token in re.findall(r"\{\w+\}|\*\*/|\*\*|\*|\?|\[[^\]]*\]|.", pattern):
        if token.startswith("{") and len(token) > 2:
            name = token[1:-1]
            pieces.append(f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+?)")
            seen.add(name)
        elif token in ("**/", "**"):
            pieces.append(r"(?:.*/)?" if token == "**/" else ".*")
        elif token == "*":
            pieces.append("[^/]*")
        elif token == "?":
            pieces.append("[^/]")
        elif token.startswith("[") and len(token) > 2:
            pieces.append(token.replace("[!", "[^"))
        else:
            pieces.append(re.escape(token))
    return "".join(pieces)


def _shown(path: Path, base: Path, shown: str) -> str:
    return str(Path(shown) / path.relative_to(base)) if path != base else shown


def _format(path: Path) -> str | None:
    name = path.name.lower().removesuffix(".gz")
    return ENDINGS.get(Path(name).suffix)


def _raw(path: Path, shown: str, format: str | None, encoding: str, whole: bool, given: Mapping[str, str]) -> RawFile:
    kind = format or _format(path)
    if kind is None:
        raise DataError(f"{shown}: unknown file ending; say format = 'jsonl', 'json', 'csv', 'tsv', 'parquet' or 'text'")
    return RawFile(path, kind, shown, encoding, whole and kind == "text", dict(given))


def rows(raw: RawFile, needed: str | None = None) -> Iterator[Row]:
    """Read one file. `needed` is a column that tables with a header must have.

    Raises DataError when the whole file cannot be read: not the format it should be, or a header without `needed`.
    """
    with place_errors(raw.path):
        if raw.format == "parquet":
            yield from _parquet(raw, needed)
            return
        try:
            with _open(raw) as handle:
                yield from READERS[raw.format](handle, raw, needed)
        except (gzip.BadGzipFile, EOFError) as error:
            raise DataError(f"{raw.shown} is not a whole gzip file ({error})") from None
        except UnicodeError as error:
            raise DataError(f"{raw.shown} is not {raw.encoding} text ({error}); set encoding for this source") from None


def _open(raw: RawFile) -> IO[str]:
    binary: Any = gzip.open(raw.path) if raw.path.name.lower().endswith(".gz") else raw.path.open("rb")
    start = binary.read(4)
    binary.seek(0)
    encoding = raw.encoding
    if start.startswith(b"\xef\xbb\xbf"):
        encoding = "utf-8-sig"
    elif start.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        encoding = "utf-32"
    elif start.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    # Undecodable bytes become lone surrogates, so that one bad line costs one row and not the file.
    return io.TextIOWrapper(binary, encoding=encoding, errors="surrogateescape", newline="\n")


def _lines(handle: IO[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(handle, start=1):
        yield number, line.rstrip("\r\n")


def _undecodable(line: str) -> str | None:
    """A reason if `line` has bytes that were not text."""
    bad = re.search(r"[\udc80-\udcff]", line)
    return f"not valid text in the file's encoding (byte 0x{ord(bad[0]) - 0xDC00:02x} at column {bad.start() + 1})" if bad else None


def _jsonl(handle: IO[str], raw: RawFile, needed: str | None) -> Iterator[Row]:
    for number, line in _lines(handle):
        if not line.strip():
            continue
        reason = _undecodable(line)
        if reason:
            yield number, Broken(reason, line)
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, Broken(f"broken JSON: {getattr(error, 'msg', 'nested too deep')}", line)
            continue
        yield number, value if isinstance(value, dict) else Broken(f"a JSON {type(value).__name__} where an object should be", line)


def _json(handle: IO[str], raw: RawFile, needed: str | None) -> Iterator[Row]:
    text = handle.read()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        yield from _jsonl(io.StringIO(text), raw, needed)
        return
    for number, item in enumerate(value if isinstance(value, list) else [value], start=1):
        shown = json.dumps(item, ensure_ascii=False)
        reason = _undecodable(shown)
        if reason or not isinstance(item, dict):
            yield number, Broken(reason or f"a JSON {type(item).__name__} where an object should be", shown)
        else:
            yield number, item


def _csv(handle: IO[str], raw: RawFile, needed: str | None) -> Iterator[Row]:
    csv.field_size_limit(2**31 - 1)
    lines = deque[tuple[int, str]]()  # lines read ahead and handed back
    source = _lines(handle)

    def take() -> tuple[int, str] | None:
        return lines.popleft() if lines else next(source, None)

    def record(delimiter: str, width: int | None) -> tuple[int, str] | tuple[int, Broken] | None:
        """The next logical record; a quote that is never closed costs the line that opened it, not the rest."""
        while (item := take()) is not None and not item[1].strip():
            pass
        if item is None:
            return None
        span, inside = [item], _ends_inside(item[1], delimiter, False)
        while inside and len(span) < MAX_QUOTED_LINES and (following := take()) is not None:
            span.append(following)
            inside = _ends_inside(following[1], delimiter, True)
        text = "\n".join(line for _, line in span)
        swallowed = len(span) > 1 and width is not None and len(_cells(text, delimiter)) != width
        if inside or swallowed:
            lines.extendleft(reversed(span[1:]))
            return item[0], Broken("a quote is opened and never closed", item[1])
        return item[0], text

    first = take()
    if first is None:
        return
    delimiter = max(",;\t|", key=lambda d: (first[1].count(d), d == ","))
    lines.appendleft(first)
    head = record(delimiter, None)
    if head is None or isinstance(head[1], Broken):
        raise DataError(f"{raw.shown}: the header has a quote that is never closed")
    header = _header(_cells(head[1], delimiter), raw, needed)
    while (found := record(delimiter, len(header))) is not None:
        number, text = found
        yield number, text if isinstance(text, Broken) else _fields(_cells(text, delimiter), header, text)


def _cells(text: str, delimiter: str) -> list[str]:
    return next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def _ends_inside(line: str, delimiter: str, inside: bool) -> bool:
    """Whether a quoted field is still open at the end of `line`; a quote opens only at the start of a field."""
    if '"' not in line:
        return inside
    at_start = not inside
    position = 0
    while position < len(line):
        character = line[position]
        if inside:
            if character == '"':
                if line[position + 1 : position + 2] == '"':
                    position += 1
                else:
                    inside = False
        elif character == '"' and at_start:
            inside = True
        at_start = not inside and character == delimiter
        position += 1
    return inside


def _tsv(handle: IO[str], raw: RawFile, needed: str | None) -> Iterator[Row]:
    lines = ((n, line) for n, line in _lines(handle) if line.strip())
    number, first = next(lines, (0, ""))
    if not first:
        return
    header = _header([_unquote(cell) for cell in first.split("\t")], raw, needed)
    for number, line in lines:
        yield number, _fields([_unquote(cell) for cell in line.split("\t")], header, line)


def _unquote(cell: str) -> str:
    """IANA's TSV has no quotes, spreadsheets write them: a cell that is quoted as a whole is unquoted."""
    return cell[1:-1].replace('""', '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell


def _header(cells: list[str], raw: RawFile, needed: str | None) -> list[str]:
    cells = [cell.strip().lstrip("\ufeff") for cell in cells]
    if needed and needed not in cells:
        raise DataError(f"{raw.shown} has no column '{needed}' (its columns: {', '.join(cells)[:300]}); name yours in data.columns")
    twice = sorted({cell for cell in cells if cells.count(cell) > 1 and cell})
    if twice:
        raise DataError(f"{raw.shown} has two columns called '{twice[0]}'")
    return cells


def _fields(cells: list[str], header: list[str], line: str) -> Mapping[str, Any] | Broken:
    reason = _undecodable(line)
    if reason:
        return Broken(reason, line)
    if len(cells) != len(header):
        return Broken(f"{len(cells)} fields where the header has {len(header)}", line)
    return {name: cell or None for name, cell in zip(header, cells, strict=True) if name}


def _text(handle: IO[str], raw: RawFile, needed: str | None) -> Iterator[Row]:
    if raw.whole:
        text = handle.read()
        reason = _undecodable(text)
        yield 1, Broken(reason, text) if reason else {"text": text.replace("\r\n", "\n").strip("\n")}
        return
    for number, line in _lines(handle):
        reason = _undecodable(line)
        yield number, Broken(reason, line) if reason else {"text": line}


def _parquet(raw: RawFile, needed: str | None) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(raw.path) as file:
            _header(list(file.schema_arrow.names), raw, needed)
            number = 0
            for batch in file.iter_batches(batch_size=4096):
                for value in batch.to_pylist():
                    number += 1
                    yield number, value
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(f"{raw.shown} cannot be read as Parquet ({str(error).splitlines()[0][:200]})") from None
    except UnicodeDecodeError:
        raise DataError(f"{raw.shown} has a string column whose bytes are not UTF-8") from None


READERS: dict[str, Callable[[IO[str], RawFile, str | None], Iterator[Row]]] = {
    "jsonl": _jsonl,
    "json": _json,
    "csv": _csv,
    "tsv": _tsv,
    "text": _text,
}
