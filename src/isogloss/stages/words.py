"""Types in words, values in TOML, and examples of both: what `explain`, the reference and `init` write."""

from __future__ import annotations

import inspect
import json
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from isogloss.core import parts
from isogloss.core.recipe import Tag, Use

# Examples for keys where the default or the type alone says too little.
EXAMPLES: dict[str, Any] = {
    "name": "reviews",
    "langs": ["eng_Latn", "swh_Latn"],
    "model": {"use": "ngram", "scope": "lang"},
    "data.raw": ["data/reviews.jsonl", {"path": "data/{lang}.csv", "license": "CC-BY-4.0"}],
    "data.raw.path": "data/{lang}/{split}.jsonl",
    "data.raw.encoding": "cp1252",
    "data.raw.label": "positive",
    "data.raw.source": "helpdesk 2025",
    "data.raw.license": "CC-BY-4.0",
    "data.columns": {"text": "review", "label": "stars"},
    "data.keep": ["dialect"],
    "data.steps": ["standardise", {"use": "dedup", "threshold": 0.8}],
    "train.langs": ["eng_Latn"],
    "train.shots": {"rows": 50, "draw": 0},
    "train.shots.langs": ["hin_Deva"],
    "train.mix": {"use": "temperature", "tau": 0.3},
    "train.weights": "by_lang",
    "evaluate.metrics": ["accuracy", "macro_f1"],
    "evaluate.slices": ["script", "family"],
    "evaluate.source": "eng_Latn",
    "train.steps": 2000,
    "train.epochs": 5.0,
    "train.eval_every": 100,
    "train.keep": {"drop_at_most": 0.02},
    "train.keep.drop_at_most": 0.02,
    "budget.seconds": 3600.0,
    "gate": [{"at": "promote", "every_lang": {"macro_f1": ">= 0.55", "n": ">= 200"}}],
    "gate.at": "promote",
    "gate.every_lang": {"macro_f1": ">= 0.55", "n": ">= 200"},
    "gate.mean": {"accuracy": ">= 0.7"},
    "gate.worst": {"accuracy": ">= 0.5"},
    "gate.gap": {"macro_f1": "<= 0.15"},
    "gate.beats": {"majority": "accuracy"},
}
# Values of knobs that must be given.
GIVEN: dict[str, Any] = {
    "against": ["bench.jsonl"],
    "tasks": ["topic", "tone"],
    "name": "xlm-roberta-base",
    "scratch": {"layers": 4, "width": 128, "heads": 4, "vocab": 8000},
}
# Knobs that are given instead of one that must be given.
INSTEAD = frozenset({"scratch"})
# Values tried, in this order, when only the type is known.
TRIED: tuple[Any, ...] = (True, 10, 0.1, 1000, "eng_Latn", "data.jsonl", ["eng_Latn"], ["a"], {}, [])
PLAIN_TYPES: dict[Any, str] = {
    float: "number",
    int: "whole number",
    bool: "true or false",
    str: "text",
    Path: "path",
    dict: "table",
    list: "list",
    Any: "any value",
}


def spoken(kind: Any, metadata: Iterable[Any] = ()) -> str:
    """A type in words.

    >>> spoken(float | None), spoken(list[str]), spoken(Literal["a", "b"])
    ('number', 'list of text', "'a' or 'b'")
    """
    if kind is inspect.Parameter.empty:
        return "any value"
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return spoken(inner[0], [*inner[1:], *metadata])
    notes = list(metadata)
    if any(note in typing.get_args(Tag)[1:] for note in notes):
        return "language"
    if origin in (typing.Union, types.UnionType):
        text = " or ".join(dict.fromkeys(spoken(each) for each in inner if each is not type(None)))
    elif origin is Literal:
        text = " or ".join(f"'{each}'" for each in inner)
    elif origin in (list, tuple):
        text = f"list of {spoken(inner[0])}" if inner else "list"
    elif origin is dict:
        text = "table"
    elif isinstance(kind, type) and issubclass(kind, Use):
        text = "part"
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        text = "table"
    else:
        text = PLAIN_TYPES.get(kind) or parts.type_name(kind)
    return ", ".join([text, *_limits(notes)])


def _limits(metadata: Iterable[Any]) -> Iterator[str]:
    words = {"ge": "at least {:g}", "gt": "above {:g}", "le": "at most {:g}", "lt": "below {:g}"}
    for note in metadata:
        if isinstance(note, FieldInfo):
            yield from _limits(note.metadata)
        for name, text in words.items():
            if isinstance(limit := getattr(note, name, None), int | float):
                yield text.format(limit)


def toml(value: Any) -> str:
    """A value as TOML, on one line.

    >>> toml({"use": "dedup", "threshold": 0.8, "odd key": [True, "a\\n"]})
    '{use = "dedup", threshold = 0.8, "odd key" = [true, "a\\\\n"]}'
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        named = {k if re.fullmatch(r"[A-Za-z0-9_-]+", k) else toml(k): v for k, v in value.items() if v is not None}
        return "{" + ", ".join(f"{k} = {toml(v)}" for k, v in named.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    if isinstance(value, int | float):
        return repr(value)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def fitting(kind: Any) -> Any:
    """A value that a type takes."""
    adapter = TypeAdapter(kind)
    for value in (*(options[0] for options in literals(kind)), *TRIED):
        try:
            adapter.validate_json(json.dumps(value), strict=True)
        except ValidationError:
            continue
        return value
    return "..."


def literals(kind: Any) -> Iterator[tuple[Any, ...]]:
    if typing.get_origin(kind) is Literal:
        yield typing.get_args(kind)
    else:
        for inner in typing.get_args(kind):
            if not isinstance(inner, list | tuple):
                yield from literals(inner)


def snippet(path: str, value: Any) -> str:
    """A key with a value, as it stands in a recipe.

    >>> print(snippet("train.weights", "by_lang"))
    [train]
    weights = "by_lang"
    """
    *above, last = path.split(".")
    line = f"{last} = {toml(value)}"
    if not above:
        return line
    if above == ["data", "raw"]:
        row = {last: value} if last == "path" else {"path": "data.jsonl", last: value}
        return f"[data]\nraw = [{toml(row)}]"
    if above == ["gate"]:
        also = "" if last == "at" else 'at = "promote"\n'
        asks = '\nmean = {accuracy = ">= 0.7"}' if last == "at" else ""
        return f"[[gate]]\n{also}{line}{asks}"
    if path.startswith("train.shots"):
        inner = value if last == "shots" else {"rows": 50} | {last: value}
        return f'[train]\nlangs = ["eng_Latn"]\nshots = {toml(inner)}'
    if above == ["train", "keep"]:
        return f"[train]\nkeep = {toml({'drop_at_most': 0.02} | {last: value})}"
    if len(above) > 1:
        return f"[{above[0]}]\n{'.'.join([*above[1:], last])} = {toml(value)}"
    return f"[{above[0]}]\n{line}"
