"""The reference of recipes and of the command line: lines for a terminal, and the pages of docs/reference/."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from isogloss.stages.explain import Entry, kinds, tree

NOTE = "<!-- Made by tools/make_reference.py from the code; mend the code, not this page. -->"
CODES = (
    "0 done · 1 a gate refused · 2 the recipe, the input or the place is wrong · "
    "3 the budget ended before one evaluated checkpoint · 4 a fault of ours · 130 interrupted"
)


# -- for a terminal ---------------------------------------------------------------------------------------------


def lines(entries: Sequence[Entry], width: int) -> list[str]:
    """What `explain` found, as text."""
    if len(entries) > 6:
        return _table([(entry.name, entry.meaning) for entry in entries], width)
    out: list[str] = []
    for entry in entries:
        out += [*([""] if out else []), *_lines(entry, width)]
    return out


def tree_lines(width: int) -> list[str]:
    """Every key and every part, a line each."""
    out = ["a recipe"]
    rows: list[tuple[str, str]] = []
    for entry in tree():
        inside = list(_inside(entry))
        if inside and rows:
            out += [*_table(rows, width, "  "), ""]
            rows = []
        rows += [(each.name, each.meaning) for each in (entry, *inside)]
        if inside:
            out += [*_table(rows, width, "  "), ""]
            rows = []
    out += _table(rows, width, "  ")
    for kind in kinds():
        if kind.inside:
            rows = [(part.name.partition(".")[2], part.meaning) for part in kind.inside]
            out += [*([""] if out[-1] else []), f"{kind.name}: {kind.meaning}", *_table(rows, width, "  ")]
    closing = "isogloss explain NAME says more, e.g. isogloss explain train.mix, or isogloss explain dedup"
    return [*out, "", *textwrap.wrap(closing, width)]


def _inside(entry: Entry) -> Iterator[Entry]:
    for inner in entry.inside:
        yield inner
        yield from _inside(inner)


def _lines(entry: Entry, width: int) -> list[str]:
    out = [entry.name, *_wrap(entry.meaning, width, "  ")]
    for paragraph in _paragraphs(entry.more):
        out += ["", *(line for piece in paragraph for line in _wrap(piece, width, "  "))]
    if entry.type and entry.kind != "section":
        out += ["", *_table([("type", entry.type), ("default", entry.standard)], width, "  ", whole=True)]
    if entry.inside:
        word = "knobs" if entry.kind == "part" else ""
        out += ["", *([f"  {word}"] if word else [])]
        for inner in entry.inside:
            out += _inner(inner, entry, width)
    if entry.example:
        out += ["", "  example", *(f"    {line}" for line in entry.example.split("\n"))]
    return out


def _inner(inner: Entry, above: Entry, width: int) -> list[str]:
    name = inner.name.removeprefix(above.name + ".")
    if inner.kind == "part":
        return _table([(name, inner.meaning)], width, "    ")
    standard = f"default {inner.default}" if inner.default and not inner.required else inner.standard
    said = f"{name}: {inner.type}; {standard}"
    return [*_wrap(said, width, "    "), *_wrap(inner.meaning, width, "        ")]


def _table(rows: Iterable[tuple[str, str]], width: int, indent: str = "", *, whole: bool = False) -> list[str]:
    """Two columns; the second is cut to the width, or wrapped when it must be `whole`."""
    rows = list(rows)
    left = max((len(a) for a, _ in rows), default=0)
    out = []
    for a, b in rows:
        start = f"{indent}{a.ljust(left)}  "
        room = max(20, width - len(start))
        pieces = (textwrap.wrap(b, room) if whole else [b if len(b) <= room else b[: room - 1] + "…"]) or [""]
        out += [(start + pieces[0]).rstrip(), *(" " * len(start) + piece for piece in pieces[1:])]
    return out


def _wrap(text: str, width: int, indent: str) -> list[str]:
    hang = indent + "  " if re.match(r"- |\d+\. ", text) else indent
    return textwrap.wrap(text, max(30, width), initial_indent=indent, subsequent_indent=hang, break_on_hyphens=False)


def _paragraphs(text: str) -> list[list[str]]:
    """Paragraphs of a docstring; items of a list stay apart, lines of prose are joined."""
    found = []
    for block in re.split(r"\n\s*\n", text.strip()):
        pieces: list[str] = []
        for line in block.split("\n"):
            if pieces and not re.match(r"\s*(- |\d+\. )", line):
                pieces[-1] += " " + line.strip()
            elif line.strip():
                pieces.append(line.strip())
        if pieces:
            found.append(pieces)
    return found


# -- pages ------------------------------------------------------------------------------------------------------


def reference() -> str:
    """docs/reference/recipe.md: every key of a recipe and every part with its knobs."""
    out = ["# Recipe reference", "", NOTE, ""]
    out += ["Every key of a recipe, then every part it can name. The same words come from `isogloss explain NAME`.", ""]
    top = [entry for entry in tree() if entry.kind != "section" and not entry.inside]
    out += ["## Keys at the top", "", *_rows(top), ""]
    for entry in tree():
        if entry not in top:
            head = f"[[{entry.name}]]" if entry.type.startswith("list") else f"[{entry.name}]"
            out += [f"## `{head}`", "", entry.meaning, "", *_rows(list(_inside(entry)), entry.name), ""]
    for kind in kinds():
        if kind.inside:
            out += [f"## Parts: {kind.name}", "", f"{kind.meaning[0].upper()}{kind.meaning[1:]}.", ""]
        for part in kind.inside:
            out += [f"### {part.name.partition('.')[2]}", "", part.meaning, ""]
            for paragraph in _paragraphs(part.more):
                out += [*paragraph, ""]
            out += [f"Example: {_code(part.example)}", ""]
            if part.inside:
                out += [*_rows(part.inside, part.name, "knob"), ""]
    return "\n".join(out).rstrip() + "\n"


def _rows(entries: Sequence[Entry], above: str = "", word: str = "key") -> list[str]:
    out = [f"| {word} | type | default | meaning | example |", "| --- | --- | --- | --- | --- |"]
    for entry in entries:
        name = entry.name.removeprefix(above + ".") if above else entry.name
        default = f"`{entry.default}`" if entry.default else entry.standard
        last = [line for line in entry.example.split("\n") if line.startswith(name)] or entry.example.split("\n")
        cells = (f"`{name}`", entry.type, default, entry.meaning, f"`{last[-1]}`")
        out.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return out


def _code(example: str) -> str:
    return " under ".join(f"`{line}`" for line in reversed(example.split("\n")))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def cli_reference(command: Any) -> str:
    """docs/reference/cli.md, from the command that typer builds (`typer.main.get_command(isogloss.cli.app)`)."""
    out = ["# Command line", "", NOTE, "", f"`isogloss COMMAND ...`: {command.help}", ""]
    out += ["Results go to standard output, progress to standard error; `--json` gives one JSON document.", ""]
    out += [f"Exit codes: {CODES}.", ""]
    for name, inner in command.commands.items():
        if getattr(inner, "hidden", False):
            continue
        arguments = [p for p in inner.params if p.param_type_name == "argument"]
        options = [p for p in inner.params if p.param_type_name == "option"]
        usage = " ".join(["isogloss", name, *(_argument(p) for p in arguments), *(["[OPTIONS]"] if options else [])])
        out += [f"## {name}", "", " ".join((inner.help or "").split()), "", f"`{usage}`", ""]
        rows = [(_argument(p), getattr(p, "help", "") or "", _default(p)) for p in arguments]
        rows += [(_option(p), p.help or "", _default(p)) for p in options]
        if rows:
            out += ["| argument or option | meaning | default |", "| --- | --- | --- |"]
            out += [f"| `{_cell(a)}` | {_cell(b)} | {_cell(c)} |" for a, b, c in rows] + [""]
    return "\n".join(out).rstrip() + "\n"


def _argument(param: Any) -> str:
    text = param.metavar or param.name.upper()
    return text if param.required or text.startswith("[") else f"[{text}]"


def _option(param: Any) -> str:
    value = "" if param.is_flag else f" {param.metavar or param.name.upper()}"
    return ", ".join([*param.opts, *param.secondary_opts]) + value


def _default(param: Any) -> str:
    value = param.default
    return "" if value is None or value is False or value == () or callable(value) or param.required else f"`{value}`"
