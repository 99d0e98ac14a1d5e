"""Parts: the small files that fill the slots a recipe names. The folder is the registry.

A part is a module in `isogloss/parts/<kind>/` or, with a dotted name, any importable module. Its knobs are the
keyword-only arguments of its functions; what the recipe gives is checked against them before anything heavy is imported.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

from isogloss.core.errors import RecipeError, nearest

# kind -> the functions whose keyword-only arguments are knobs; the names every part of the kind must define.
KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "steps": (("apply", "summarise", "decide"), ("apply",)),
    "tasks": (("labels", "encode", "collate", "loss", "decode"), ("FIELDS", "METRICS", "HEADLINE", "labels")),
    "families": (("load", "fit"), ("BLOCKS", "read", "predict")),
    "methods": (("apply", "loading", "penalty"), ("apply",)),
    "mixes": (("order",), ("order",)),
    "metrics": (("stats", "value"), ("stats", "value", "BETTER", "RANGE", "VERSION")),
    "squeezes": (("apply",), ("apply",)),
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
    """A loaded part: `kind`, `name` and its module."""

    kind: str
    name: str
    module: ModuleType

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

    def bind(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Check `given` against the knobs and return every knob with its value.

        Raises RecipeError with `key` set to the knob that is unknown, missing or of the wrong type.
        """
        from pydantic import ConfigDict, ValidationError, create_model

        for name in given:
            if name not in self.knobs:
                hint = nearest(name, self.knobs) if self.knobs else "; it has no knobs"
                raise RecipeError(f"{self.kind} part '{self.name}' has no knob '{name}'{hint}", key=name)
        fields: dict[str, Any] = {
            k.name: (Any if k.type is inspect.Parameter.empty else k.type, ... if k.required else k.default)
            for k in self.knobs.values()
        }
        model = create_model("Knobs", __config__=ConfigDict(strict=True, arbitrary_types_allowed=True), **fields)
        try:
            # JSON mode: strict on scalars, yet a list may be a tuple and a string a path.
            value = model.model_validate_json(json.dumps(given, default=str))
        except ValidationError as error:
            first = error.errors()[0]
            knob = str(first["loc"][0])
            inner = ".".join(str(step) for step in first["loc"])
            if inner != knob:
                message = f"{self.kind} part '{self.name}': {inner}: {first['msg'][0].lower()}{first['msg'][1:]}"
            elif first["type"] == "missing":
                message = f"{self.kind} part '{self.name}' needs the knob '{knob}' ({type_name(self.knobs[knob].type)})"
            else:
                message = (
                    f"{self.kind} part '{self.name}' got {knob} = {json.dumps(given.get(knob), default=str)}; "
                    f"it takes {type_name(self.knobs[knob].type)} ({first['msg'][0].lower()}{first['msg'][1:]})"
                )
            raise RecipeError(message, key=knob) from None
        return {name: getattr(value, name) for name in self.knobs}

    def call(self, function: str, *args: Any, knobs: Mapping[str, Any], **filled: Any) -> Any:
        """Call one of its functions with those knobs and filled arguments that the function declares."""
        f = getattr(self.module, function)
        wanted = {p.name for p in inspect.signature(f).parameters.values() if p.kind is p.KEYWORD_ONLY}
        return f(*args, **{k: v for k, v in {**knobs, **filled}.items() if k in wanted})


def _evaluate(annotation: Any, module: ModuleType) -> Any:
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
    text = kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)
    return text.replace("typing.", "").replace("pathlib.", "")


def names(kind: str) -> list[str]:
    """The names of the packaged parts of one kind, sorted."""
    package = importlib.import_module(f"isogloss.parts.{kind}")
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))


def load(kind: str, name: str) -> Part:
    """Load one part. A dotted name is a module of your own.

    Raises RecipeError when there is none of that name, or when the module lacks what its kind must define.
    """
    try:
        if "." in name:
            module = importlib.import_module(name)
        elif name in names(kind):
            module = importlib.import_module(f"isogloss.parts.{kind}.{name}")
        else:
            raise RecipeError(f"there is no {kind} part '{name}'{nearest(name, names(kind))}", key="use")
    except ModuleNotFoundError as error:
        if error.name and not name.startswith(error.name):
            raise RecipeError(f"the {kind} part '{name}' needs the module '{error.name}'", key="use") from None
        raise RecipeError(f"there is no module '{name}' to use as {kind} part", key="use") from None
    missing = [needed for needed in KINDS[kind][1] if not hasattr(module, needed)]
    if missing:
        raise RecipeError(f"the {kind} part '{name}' does not define {', '.join(missing)}", key="use")
    return Part(kind, name, module)
