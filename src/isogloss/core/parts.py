"""Parts: the small files that fill the slots a recipe names. The folder is the registry.

A part is a module in `isogloss/parts/<kind>/` or, with a dotted name, any importable module. Its knobs are the
keyword-only arguments of its functions; what the recipe gives is checked against them before heavy imports.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, get_origin

from isogloss.core.errors import RecipeError, nearest

# kind -> the functions whose keyword-only arguments are knobs; the names every part of the kind must define.
KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "steps": (("apply", "summarise", "decide", "inspect", "settle"), ("apply",)),
    "tasks": (
        ("labels", "encode", "collate", "loss", "chance", "decode", "metrics", "headlines"),
        ("FIELDS", "METRICS", "HEADLINE", "labels", "answers"),
    ),
    "families": (("load", "fit", "tokenizer"), ("BLOCKS", "read", "predict")),
    "methods": (("apply", "loading", "penalty", "objective"), ("apply",)),
    "mixes": (("order", "needs", "stages"), ("order",)),
    "metrics": (("stats", "value"), ("stats", "value", "BETTER", "RANGE", "VERSION")),
    "squeezes": (("apply",), ("apply",)),
}

# What one part of a kind is called in a sentence.
WORDS = {
    "steps": "step",
    "tasks": "task",
    "families": "model family",
    "methods": "method",
    "mixes": "mix",
    "metrics": "metric",
    "squeezes": "squeeze",
}

# Keyword-only arguments that the caller fills; a recipe cannot set them.
FILLED = frozenset({"langs", "seed", "tick"})


@dataclass(frozen=True)
class Knob:
    """One keyword-only argument of a part: its name, type and default (`inspect.Parameter.empty`: must be given)."""

    name: str
    type: Any
    default: Any

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty


@dataclass(frozen=True)
class Part:
    """A loaded part: `kind`, `name` and its module, or what acts as one."""

    kind: str
    name: str
    module: Any

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.module) or "").partition("\n")[0].strip()

    def has(self, name: str) -> bool:
        return hasattr(self.module, name)

    def constant(self, name: str, default: Any = None) -> Any:
        return getattr(self.module, name, default)

    @cached_property
    def knobs(self) -> dict[str, Knob]:
        """Its knobs by name, from the signatures of its functions."""
        found: dict[str, Knob] = {}
        for function_name in KINDS[self.kind][0]:
            function = getattr(self.module, function_name, None)
            if function is None:
                continue
            for p in inspect.signature(function).parameters.values():
                if p.kind is p.KEYWORD_ONLY and p.name not in FILLED:
                    found.setdefault(p.name, Knob(p.name, _evaluate(p.annotation, self.module), p.default))
        return found

    def __str__(self) -> str:
        return f"the {WORDS[self.kind]} '{self.name}'"

    def bind(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Check `given` against the knobs and return every knob with its value.

        Raises RecipeError with `key` set to the knob that is unknown, missing or of the wrong type.
        """
        from pydantic import ConfigDict, ValidationError, create_model

        for name in given:
            if name not in self.knobs:
                hint = nearest(name, self.knobs) if self.knobs else "; it has no knobs"
                raise RecipeError(f"{self} has no knob '{name}'{hint}", key=name)
        fields: dict[str, Any] = {
            k.name: (Any if k.type is inspect.Parameter.empty else k.type, ... if k.required else k.default)
            for k in self.knobs.values()
        }
        config = ConfigDict(strict=True, arbitrary_types_allowed=True, allow_inf_nan=False, protected_namespaces=())
        model = create_model("Knobs", __config__=config, **fields)
        try:
            # JSON mode: strict on scalars, yet a list may be a tuple and a string a path.
            value = model.model_validate_json(json.dumps(given, default=str))
        except ValidationError as error:
            first = error.errors()[0]
            knob, *inner = (str(step) for step in first["loc"] if not re.search(r"[\[\]()]", str(step)))
            if first["type"] == "missing" and not inner:
                known = type_name(self.knobs[knob].type)
                raise RecipeError(f"{self} needs the knob '{knob}' ({known})", key=knob) from None
            raise RecipeError(f"{self}: {'.'.join([knob, *inner])} {plain(first)}", key=knob) from None
        return {name: getattr(value, name) for name in self.knobs}

    def call(self, function: str, *args: Any, knobs: Mapping[str, Any], **filled: Any) -> Any:
        """Call one of its functions with those knobs and filled arguments that the function declares."""
        f = getattr(self.module, function)
        wanted = {p.name for p in inspect.signature(f).parameters.values() if p.kind is p.KEYWORD_ONLY}
        return f(*args, **{k: v for k, v in {**knobs, **filled}.items() if k in wanted})


def _evaluate(annotation: Any, module: Any) -> Any:
    """Turn a postponed annotation of a knob into a type; only knobs are evaluated, so tensors may stay unimported."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, vars(module))
    except NameError as error:
        raise RecipeError(
            f"part {module.__name__}: the knob annotation '{annotation}' cannot be read: {error}"
        ) from None


def type_name(kind: Any) -> str:
    """A type as a reader would write it.

    >>> type_name(float), type_name(int | None)
    ('float', 'int | None')
    """
    if kind is inspect.Parameter.empty:
        return "any value"
    if get_origin(kind) is Annotated:
        kind = kind.__origin__
    text = kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)
    return text.replace("typing.", "").replace("pathlib.", "")


def plain(problem: Mapping[str, Any]) -> str:
    """What pydantic finds wrong with a value, in our words: `takes a whole number, got "x"`."""
    kind, context = problem["type"], problem.get("ctx", {})
    shown = json.dumps(problem.get("input"), ensure_ascii=False, default=str)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    if kind == "value_error":
        said = problem["msg"].removeprefix("Value error, ")
        return said if str(problem.get("input")) in said else f"{said} (got {shown})"
    if kind == "literal_error":
        options = [option.strip(" '") for option in re.split(r",| or ", str(context["expected"]))]
        return f"got {shown}" + nearest(str(problem.get("input")), options)
    for name, words in _WORDS.items():
        if name in kind:
            return f"takes {words.format(**context)}, got {shown}"
    return f"{problem['msg'][:1].lower()}{problem['msg'][1:]}, got {shown}"


# What a value must be, by the name (or a piece of it) of pydantic's complaint.
_WORDS = {
    "string_pattern_mismatch": "letters, digits, '.', '_' and '-', a letter or digit first",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "at least {min_length} character",
    "too_short": "at least {min_length} item",
    "greater_than_equal": "a number of at least {ge}",
    "greater_than": "a number above {gt}",
    "less_than_equal": "a number of at most {le}",
    "less_than": "a number below {lt}",
    "finite_number": "a finite number",
    "int_": "a whole number",
    "float_": "a number",
    "bool_": "true or false",
    "string_": "a string",
    "path_": "a path in quotes",
    "list_": "a list",
    "tuple_": "a list",
    "dict_": "a table",
    "model_": "a table",
}


def names(kind: str) -> list[str]:
    """The names of the packaged parts of one kind, sorted."""
    package = importlib.import_module(f"isogloss.parts.{kind}")
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))


def load(kind: str, name: str) -> Part:
    """Load one part. A dotted name is a module of your own; of a metric, NAME@TASK is NAME on the rows of one task.

    Raises RecipeError when there is none of that name, or when the module lacks what its kind must define.
    """
    if kind == "metrics" and "@" in name:
        from isogloss.core.tasks import OfTask

        base, _, task = name.partition("@")
        return Part(kind, name, OfTask(load(kind, base).module, task))
    word = WORDS[kind]
    own = "." in name
    if not own and name not in names(kind):
        raise RecipeError(f"there is no {word} '{name}'{nearest(name, names(kind))}", key="use")
    try:
        if own and not all(piece.isidentifier() for piece in name.split(".")):
            raise ModuleNotFoundError(name=name)
        module = importlib.import_module(name if own else f"isogloss.parts.{kind}.{name}")
    except ModuleNotFoundError as error:
        if error.name and not name.startswith(error.name):
            raise RecipeError(f"the {word} '{name}' needs the module '{error.name}'", key="use") from None
        raise RecipeError(f"there is no module '{name}' to use as {word}; is it installed?", key="use") from None
    except Exception as error:
        raise RecipeError(
            f"the {word} '{name}' cannot be imported ({type(error).__name__}: {error})", key="use"
        ) from error
    missing = [needed for needed in KINDS[kind][1] if not hasattr(module, needed)]
    if missing:
        raise RecipeError(f"the {word} '{name}' does not define {', '.join(missing)}", key="use")
    return Part(kind, name, module)
