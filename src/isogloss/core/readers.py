"""Readers: raw files to rows, one at a time; what cannot be read is set aside with file, line and reason.

A reader yields `(line, row)` with a mapping of the file's own column names, or `(line, Broken)`. What is wrong with a
file as a whole is a Broken too, behind the rows that could be read, when the file is damaged, and a DataError when it
is not what the recipe takes it for.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
import re
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from isogloss.core import datasets, packed, tables
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
    ".arrow": "arrow",
    ".feather": "arrow",
    ".txt": "text",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
}
# Formats in which a file may be one row, and its text needs no column.
LOOSE = ("text", "html")
COLUMNAR = ("parquet", "arrow")
PLACEHOLDERS = ("lang", "label", "task", "split", "group", "id", "source")
# A quoted CSV field may span lines; one that spans more than this was never closed.
MAX_QUOTED_LINES = 10_000
# Characters of one line, one JSON value or one text file. More is no row, and must not fill the memory.
MAX_LINE = 16_000_000
# Characters of a broken row that are kept.
SHOWN = 500


@dataclass(frozen=True)
class Broken:
    """A row that cannot be read, and why; `raw` is its beginning."""

    reason: str
    raw: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "raw", self.raw[:SHOWN])


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


@dataclass
class Meter:
    """How far a reader is in its file: `at()` gives bytes of the file."""

    at: Callable[[], int] = lambda: 0


# -- which files ------------------------------------------------------------------------------------------------


def expand(
    path: Path, shown: str, *, format: str | None, encoding: str, rows: str | None, given: Mapping[str, str]
) -> list[RawFile]:
    """The files that a path, folder or pattern means, in the order of their names.

    `{lang}`, `{label}`, `{task}`, `{split}`, `{group}`, `{id}` and `{source}` in a pattern match one piece of a path and are
    given to every row. Of a folder, hidden files and files with other endings are not read. Raises DataError when
    nothing is there.
    """
    with place_errors(path):
        if re.search(r"[*?\[{]", str(path)) and not path.exists():
            found = list(_matches(path, shown))
            if not found:
                raise DataError(f"no file matches {shown} (looked in {_fixed(str(path)) or '.'})")
            many = True
        elif path.is_dir() and format is None and (found := _dataset(path, shown)):
            many = False
        elif path.is_dir():
            inside = [p for p in _walk(path) if (_format(p) == format if format else _format(p))]
            if not inside:
                endings = [ending for ending, kind in ENDINGS.items() if format in (None, kind)]
                raise DataError(f"the folder {shown} has no file that ends in {', '.join(endings)}")
            found = [(p, f"{shown.rstrip('/')}/{p.relative_to(path).as_posix()}", {}) for p in inside]
            many = True
        elif path.exists():
            found, many = [(path, shown, {})], False
        else:
            raise DataError(f"there is no raw input {shown}" + ("" if shown == str(path) else f" (looked for {path})"))
    whole = rows == "files" or (rows is None and many)
    return [_raw(p, name, format, encoding, whole, {**given, **captured}) for p, name, captured in found]


def _dataset(path: Path, shown: str) -> list[tuple[Path, str, dict[str, str]]]:
    """The files of a Hugging Face dataset with their splits; none when the folder is no such dataset."""
    found = datasets.files(path, shown)
    return [(file, f"{shown.rstrip('/')}/{file.relative_to(path).as_posix()}", given) for file, given in found]


def _walk(folder: Path) -> Iterator[Path]:
    """Files below a folder in the order of their paths; links are followed, but no folder is entered twice."""

    def refuse(error: OSError) -> None:
        raise error

    entered, found = set(), []
    for here, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        real = os.path.realpath(here)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(here, name) for name in names if not name.startswith(".")]
    return iter(sorted(found))


def _fixed(pattern: str) -> str:
    """The folder in which a pattern begins: what stands before its first piece with a wildcard.

    >>> _fixed("data/train-{lang}.txt"), _fixed("*.csv")
    ('data', '')
    """
    return re.split(r"[*?\[{]", pattern, maxsplit=1)[0].rpartition("/")[0]


def _matches(path: Path, shown: str) -> Iterator[tuple[Path, str, dict[str, str]]]:
    text = path.as_posix()
    names = re.findall(r"\{(\w*)\}", text)
    unknown = [name for name in names if name not in PLACEHOLDERS]
    if unknown:
        raise DataError(f"{shown}: {{{unknown[0]}}} is no placeholder; known: {', '.join(PLACEHOLDERS)}")
    base = _fixed(text)
    inner = text[len(base) :].lstrip("/") if base else text
    folder = Path(base or ("/" if text.startswith("/") else "."))
    pattern = re.compile(_as_regex(inner))
    for p in sorted(folder.glob(re.sub(r"\{\w+\}", "*", inner))):
        below = p.relative_to(folder).as_posix()
        match = pattern.fullmatch(below)
        if match and p.is_file():
            yield p, "/".join(filter(None, [_fixed(shown), below])), match.groupdict()


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


def _format(path: Path) -> str | None:
    return ENDINGS.get(Path(packed.bare(path.name.lower())).suffix)


def _raw(path: Path, shown: str, format: str | None, encoding: str, whole: bool, given: Mapping[str, str]) -> RawFile:
    kind = format or _format(path)
    if kind is None:
        raise DataError(
            f"{shown}: unknown file ending; say format = {', '.join(map(repr, dict.fromkeys(ENDINGS.values())))}"
        )
    named = shown.encode("utf-8", "replace").decode()  # a file's name may be no text
    if kind in COLUMNAR and packed.packing(path):
        raise DataError(f"{named}: {kind} files are packed inside; unpack this one")
    return RawFile(path, kind, named, encoding, kind == "html" or (whole and kind == "text"), given)


# -- rows -------------------------------------------------------------------------------------------------------


def rows(
    raw: RawFile, needed: str | None = None, columns: Collection[str] | None = None, meter: Meter | None = None
) -> Iterator[Row]:
    """Read one file. `needed` is a column that tables with a header must have; of Parquet and Arrow only `columns` are
    read. `meter` is told how to ask how far it is.

    An empty file has no rows. Raises DataError when the file is not what it should be: a header without `needed`, a
    JSON array where lines should be, an encoding that cannot be right.
    """
    line, meter = 0, meter or Meter()
    with place_errors(raw.path):
        if raw.path.stat().st_size == 0:
            return
        try:
            found = _columnar(raw, needed, columns, meter) if raw.format in COLUMNAR else _written(raw, needed, meter)
            for line, row in found:
                yield line, row
        except packed.PackedError as error:
            yield line + 1, Broken(str(error))
        except tables.TableError as error:
            after = f", after {line:,} rows" if line else ""
            yield line + 1, Broken(f"the file is damaged{after}: {error}")


def _written(raw: RawFile, needed: str | None, meter: Meter) -> Iterator[Row]:
    with packed.opened(raw.path, meter) as binary, _open(raw, binary) as handle:
        yield from READERS[raw.format](handle, raw, needed)


def _columnar(raw: RawFile, needed: str | None, wanted: Collection[str] | None, meter: Meter) -> Iterator[Row]:
    names, n_rows = tables.look(raw.path, raw.format)
    _header(names, raw, needed)
    size, line = raw.path.stat().st_size, 0
    meter.at = lambda: size * line // max(1, n_rows or line)
    for line, row in enumerate(tables.read(raw.path, raw.format, wanted), start=1):
        yield line, row


def _open(raw: RawFile, binary: io.BufferedReader) -> IO[str]:
    """The text of a file. Bytes that are no text become lone surrogates, so that one bad line costs one row."""
    start = binary.peek(packed.BUFFER)
    encoding = raw.encoding
    if start.startswith(codecs.BOM_UTF8):
        encoding = "utf-8-sig"
    elif start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        encoding = "utf-32"
    elif start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif codecs.lookup(encoding).name == "utf-8" and len(start) > 9:
        for guess, zeros in (("utf-16-le", start[1:400:2]), ("utf-16-be", start[:400:2])):
            if zeros.count(0) > 0.9 * len(zeros) and start.count(0) < 0.9 * len(start):
                raise DataError(f"{raw.shown} looks like UTF-16 text; set encoding = '{guess}' for this source")
        if raw.format == "html":
            encoding = _stated(start) or encoding
    codecs.register_error("isogloss", _as_surrogates)
    ends = "\r" if b"\r" in start and b"\n" not in start else "\n"  # old Macs end lines so
    return io.TextIOWrapper(binary, encoding=encoding, errors="isogloss", newline=ends)


def _stated(start: bytes) -> str | None:
    """The encoding that a page states of itself, as browsers read the name (encoding.spec.whatwg.org)."""
    found = re.search(rb"(?is)<(?:meta|\?xml)[^>]*?(?:charset|encoding)\s*=\s*[\"']?\s*([\w.:-]+)", start[:4096])
    if found is None:
        return None
    try:
        name = codecs.lookup(found[1].decode("ascii").lower().replace("windows-874", "cp874")).name
    except LookupError:
        return None
    return {
        "ascii": "cp1252", "iso8859-1": "cp1252", "iso8859-9": "cp1254", "gb2312": "gb18030", "gbk": "gb18030",
        "shift_jis": "cp932", "euc_kr": "cp949", "iso8859-11": "cp874", "tis-620": "cp874",
    }.get(name, None if name.startswith("utf-16") else name)  # fmt: skip


def _as_surrogates(error: UnicodeError) -> tuple[str, int]:
    """Decode what cannot be decoded, in any encoding, as U+DC00 + byte."""
    assert isinstance(error, UnicodeDecodeError)
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


def _undecodable(line: str) -> str | None:
    """A reason if `line` has bytes that were not text."""
    if line.isascii():
        return None
    bad = re.search(r"[\udc00-\udcff]", line)
    return bad and (
        f"not text in the file's encoding: byte 0x{ord(bad[0]) - 0xDC00:02x} at column {bad.start() + 1}; "
        "is `encoding` right for this source?"
    )


def _lines(handle: IO[str]) -> Iterator[tuple[int, str | Broken]]:
    """Lines by number, from 1; one that is too long is passed over without ever being held."""
    number = 0
    while line := handle.readline(MAX_LINE):
        number += 1
        if len(line) == MAX_LINE and not line.endswith("\n"):
            start = line[:SHOWN]
            while line and not line.endswith("\n"):
                line = handle.readline(MAX_LINE)
            yield number, Broken(f"a line of more than {MAX_LINE:,} characters", start)
        else:
            yield number, line.rstrip("\r\n")


def _checked(handle: IO[str]) -> Iterator[tuple[int, str | Broken]]:
    """Lines that are not blank, and Broken for those that are no text."""
    for number, line in _lines(handle):
        if isinstance(line, Broken):
            yield number, line
        elif line.strip("\ufeff \t\r\n\f\v\x85\xa0"):
            reason = _undecodable(line)
            yield number, Broken(reason, line) if reason else line.lstrip("\ufeff")  # files put end to end


def _object(value: Any, text: str) -> Mapping[str, Any] | Broken:
    return value if isinstance(value, dict) else Broken(f"a JSON {_json_type(value)} where an object should be", text)


def _json_type(value: Any) -> str:
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", type(None): "null"}
    return names[type(value)]


def _json_fault(error: Exception) -> str:
    deep = isinstance(error, RecursionError)
    return f"broken JSON: {'nested too deep' if deep else getattr(error, 'msg', '') or str(error)[:80]}"


def _jsonl(handle: IO[str], raw: RawFile, needed: str | None) -> Iterator[Row]:
    first = True
    for number, line in _checked(handle):
        if isinstance(line, Broken):
            yield number, line
            continue
        if first and line.lstrip().startswith("["):
            raise DataError(f"{raw.shown} is a JSON array, not one object a line; set format = 'json' for this source")
        first = False
        try:
            yield number, _object(json.loads(line), line)
        except (ValueError, RecursionError) as error:
            yield number, Broken(_json_fault(error), line)


def _json(handle: IO[str], raw: RawFile, needed: str | None) -> Iterator[Row]:
    """An array of objects, or objects one after another; decoded piece by piece, so that memory is bounded.

    Behind a broken value the next line that begins with an object is looked for.
    """
    decode = json.JSONDecoder().raw_decode
    text, at, line, ended, opened = "", 0, 1, False, False

    def more() -> bool:
        nonlocal text, at, ended
        piece = "" if ended else handle.read(max(1 << 20, len(text) - at))
        text, at, ended = text[at:] + piece, 0, not piece
        return bool(piece)

    def skip(to: int) -> None:
        nonlocal at, line
        line += text.count("\n", at, to)
        at = to

    more()
    while True:
        skip(re.compile(r"[\s,\]]*").match(text, at).end())  # type: ignore[union-attr]
        if at == len(text):
            if more():
                continue
            return
        if not opened and text[at] == "[":
            opened = True
            skip(at + 1)
            continue
        opened = True
        fault = None
        try:
            value, end = decode(text, at)
        except json.JSONDecodeError as error:
            cut = error.pos > len(text) - 16 or error.msg.startswith("Unterminated")
            fault = _json_fault(error)
        except (ValueError, RecursionError) as error:
            cut, fault = False, _json_fault(error)
        else:
            cut = end == len(text)
        if cut and len(text) - at < MAX_LINE and more():
            continue
        if fault is None:
            shown = text[at:end]
            reason = _undecodable(shown)
            yield line, Broken(reason, shown) if reason else _object(value, shown)
            skip(end)
            continue
        yield line, Broken(fault, text[at : at + SHOWN])
        start = re.compile(r"\n\s*(?=\{)")
        while not (found := start.search(text, at)):
            skip(max(at, len(text.rstrip())))  # a line break at the end may stand before an object
            if not more():
                return
        skip(found.end())


def _csv(handle: IO[str], raw: RawFile, needed: str | None) -> Iterator[Row]:
    csv.field_size_limit(2**31 - 1)
    ahead = deque[tuple[int, str | Broken]]()  # lines read ahead and handed back
    source = _lines(handle)

    def take() -> tuple[int, str | Broken] | None:
        return ahead.popleft() if ahead else next(source, None)

    def record(delimiter: str, width: int | None) -> tuple[int, str | Broken] | None:
        """The next logical record; a quote that is never closed costs the line that opened it, not the rest."""
        while (item := take()) is not None and isinstance(item[1], str) and not item[1].strip():
            pass
        if item is None:
            return None
        number, text = item
        if isinstance(text, Broken):
            return number, text
        span: list[tuple[int, str | Broken]] = []
        size, inside = len(text), _ends_inside(text, delimiter, False)
        while inside and len(span) < MAX_QUOTED_LINES and size < MAX_LINE and (following := take()) is not None:
            span.append(following)
            if isinstance(following[1], Broken):
                break
            size += len(following[1])
            inside = _ends_inside(following[1], delimiter, True)
        joined = "\n".join([text, *(line for _, line in span if isinstance(line, str))])
        if inside or (span and not _is_record(joined, delimiter, width)):
            ahead.extendleft(reversed(span))
            return number, Broken("a quote is opened and never closed", text)
        return number, joined

    first = take()
    if first is None:
        return
    if isinstance(first[1], Broken):
        raise DataError(f"{raw.shown}: the header is {first[1].reason}")
    head_line = first[1]
    delimiter = max(",;\t|", key=lambda d: (head_line.count(d), d == ","))
    ahead.appendleft(first)
    head = record(delimiter, None)
    if head is None:
        return
    if isinstance(head[1], Broken):
        raise DataError(f"{raw.shown}: the header has a quote that is never closed")
    header = _header(_cells(head[1], delimiter), raw, needed)
    while (found := record(delimiter, len(header))) is not None:
        number, text = found
        yield number, text if isinstance(text, Broken) else _fields(_cells(text, delimiter), header, text)


def _cells(text: str, delimiter: str, strict: bool = False) -> list[str]:
    return next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=strict))


def _is_record(text: str, delimiter: str, width: int | None) -> bool:
    """Whether lines that a quote ties together are one row: well-formed, and of the header's width."""
    try:
        return width in (None, len(_cells(text, delimiter, strict=True)))
    except csv.Error:
        return False


def _ends_inside(line: str, delimiter: str, inside: bool) -> bool:
    """Whether a quoted field is still open at the end of `line`; a quote opens only at the start of a field.

    >>> _ends_inside('1,"two', ",", False), _ends_inside('1,5" nail', ",", False), _ends_inside('x "" y",2', ",", True)
    (True, False, False)
    """
    if '"' not in line:
        return inside
    at = 0
    if inside:
        at = re.compile(r'[^"]*(?:""[^"]*)*').match(line).end()  # type: ignore[union-attr]
        if at == len(line):
            return True
        at += 1
    opened = re.compile(rf'(?:^|{re.escape(delimiter)})"[^"]*(?:""[^"]*)*("?)')
    return any(not match[1] for match in opened.finditer(line, at))


def _tsv(handle: IO[str], raw: RawFile, needed: str | None) -> Iterator[Row]:
    header: list[str] | None = None
    for number, line in _lines(handle):
        if isinstance(line, Broken):
            if header is None:
                raise DataError(f"{raw.shown}: the header is {line.reason}")
            yield number, line
        elif line.strip():
            cells = [_unquote(cell) for cell in line.split("\t")]
            if header is None:
                header = _header(cells, raw, needed)
            else:
                yield number, _fields(cells, header, line)


def _unquote(cell: str) -> str:
    """IANA's TSV has no quotes, spreadsheets write them: a cell that is quoted as a whole is unquoted."""
    return cell[1:-1].replace('""', '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell


def _header(cells: list[str], raw: RawFile, needed: str | None) -> list[str]:
    cells = [cell.strip().lstrip("\ufeff") for cell in cells]
    if needed and needed not in cells:
        shown = re.sub(r"[\ud800-\udfff]", "\ufffd", ", ".join(cells))[:300]
        raise DataError(f"{raw.shown} has no column '{needed}' (its columns: {shown})")
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
    """Lines, or the whole file; of a page the source, which the step boilerplate reads."""
    if raw.whole:
        text = handle.read(MAX_LINE + 1)
        long = f"a file of more than {MAX_LINE:,} characters" if len(text) > MAX_LINE else None
        reason = long or _undecodable(text)
        yield 1, Broken(reason, text) if reason else {"text": text.replace("\r\n", "\n").strip("\n")}
        return
    for number, line in _lines(handle):
        reason = None if isinstance(line, Broken) else _undecodable(line)
        yield number, line if isinstance(line, Broken) else Broken(reason, line) if reason else {"text": line}


READERS: dict[str, Callable[[IO[str], RawFile, str | None], Iterator[Row]]] = {
    "jsonl": _jsonl,
    "json": _json,
    "csv": _csv,
    "tsv": _tsv,
    "text": _text,
    "html": _text,
}
