"""Knobs of a part from the words of a command line: `--threshold 0.7 --against a.jsonl --against b.jsonl FILE`."""

from __future__ import annotations

import json
import re
import tomllib
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from isogloss.core import parts
from isogloss.core.errors import InputError, RecipeError
from isogloss.stages.words import spoken


def split(part: parts.Part, words: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Words to (what is no option, knobs). A list is given by repetition; a switch by `--knob` or `--no-knob`.

    Raises RecipeError for a knob that is unknown or of the wrong type, InputError for one without a value.
    """
    plain: list[str] = []
    given: dict[str, list[str]] = {}
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if word == "--":
            plain += waiting
            break
        if not word.startswith("--"):
            plain.append(word)
            continue
        name, sign, value = word[2:].partition("=")
        name = name.replace("-", "_")
        if name.startswith("no_") and _switch(part, name[3:]) and not sign:
            given.setdefault(name[3:], []).append("false")
        elif sign:
            given.setdefault(name, []).append(value)
        elif _switch(part, name) and (not waiting or waiting[0] not in ("true", "false")):
            given.setdefault(name, []).append("true")
        elif waiting and not (waiting[0].startswith("--") and name in part.knobs):
            given.setdefault(name, []).append(waiting.pop(0))
        elif name in part.knobs:
            raise InputError(f"--{name.replace('_', '-')} takes a {spoken(part.knobs[name].type)}, got nothing")
        else:
            given.setdefault(name, []).append("")
    return plain, {name: _value(part, name, values) for name, values in given.items()}


def one_file(plain: Sequence[str]) -> Path:
    """The one FILE among the words that are no option. Raises InputError when there is none, or more than one."""
    if len(plain) != 1:
        got = ", ".join(plain) if plain else "none"
        raise InputError(
            f"step takes one FILE, got {got}; a pattern in quotes takes many files, and a knob begins with --"
        )
    return Path(plain[0])


def _switch(part: parts.Part, name: str) -> bool:
    return name in part.knobs and part.knobs[name].type is bool


def _value(part: parts.Part, name: str, words: list[str]) -> Any:
    knob = part.knobs.get(name)
    if knob is None:
        part.bind({name: words[-1]})  # says what is unknown, and the nearest
        raise RecipeError(f"steps part '{part.name}' has no knob '{name}'", key=name)
    if takes_list(knob.type):
        item = _item(knob.type)
        return [_read(word, item) for word in words]
    if len(words) > 1:
        raise InputError(f"--{name.replace('_', '-')} is given {len(words)} times and takes one value")
    return _read(words[0], knob.type)


def takes_list(kind: Any) -> bool:
    """Whether a type takes several values.

    >>> takes_list(list[str] | None), takes_list(float)
    (True, False)
    """
    if typing.get_origin(kind) is Annotated:
        return takes_list(typing.get_args(kind)[0])
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return any(takes_list(inner) for inner in typing.get_args(kind))
    return kind in (list, tuple) or typing.get_origin(kind) in (list, tuple)


def _item(kind: Any) -> Any:
    if typing.get_origin(kind) is Annotated:
        return _item(typing.get_args(kind)[0])
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return next(_item(inner) for inner in typing.get_args(kind) if takes_list(inner))
    inside = typing.get_args(kind)
    return inside[0] if inside else Any


def _read(word: str, kind: Any) -> Any:
    """A word as the type wants it: as TOML would read it where that fits, else as text."""
    try:
        short = re.fullmatch(r"([-+]?)(\.\d+)", word.strip())  # .5, which TOML does not read
        value = float(word) if short else tomllib.loads(f"x = {word.strip()}")["x"]
        json.dumps(value)
    except (tomllib.TOMLDecodeError, TypeError, ValueError):
        return word
    if kind is Any:
        return value
    adapter = TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True))
    for each in (value, word):
        try:
            adapter.validate_json(json.dumps(each), strict=True)
        except ValidationError:
            continue
        return each
    return value
