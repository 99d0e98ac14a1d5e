"""explain: what a key of the recipe, a part or one of its knobs means.

Everything comes from the code: types and defaults from the models and the signatures, meanings from `Field`
descriptions and docstrings. Only examples of keys that need a story are written here, and a test loads each.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from isogloss.core import parts
from isogloss.core.errors import InputError, IsoglossError, nearest
from isogloss.core.recipe import Recipe, Use, lacking
from isogloss.stages.words import EXAMPLES, GIVEN, INSTEAD, fitting, snippet, spoken, toml

# Keys whose value is a part, or a list of parts (or of their names), and the kind that fills them.
SLOTS = {
    "task": "tasks",
    "model": "families",
    "data.steps": "steps",
    "train.mix": "mixes",
    "train.methods": "methods",
    "evaluate.metrics": "metrics",
}
KIND_MEANS = {
    "tasks": "what is learned",
    "families": "kinds of models",
    "steps": "what the text goes through before training",
    "mixes": "in what proportion languages are seen",
    "methods": "what of a model is trained, and how",
    "metrics": "what is measured, by language",
    "squeezes": "how a model is made smaller",
}

Kind = Literal["section", "key", "parts", "part", "knob"]


@dataclass(frozen=True)
class Entry:
    """What is known of one name. `default` is TOML, None where there is none; `example` is a piece of a recipe."""

    kind: Kind
    name: str
    meaning: str
    type: str = ""
    default: str | None = None
    required: bool = False
    example: str = ""
    more: str = ""
    inside: tuple[Entry, ...] = ()

    @property
    def standard(self) -> str:
        """The default in words."""
        return "must be given" if self.required else self.default if self.default is not None else "not set"

    def document(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


# -- the recipe -------------------------------------------------------------------------------------------------


@cache
def tree() -> tuple[Entry, ...]:
    """The top-level keys of a recipe, sections with their keys inside."""
    return tuple(_keys(Recipe, ""))


def keys() -> list[Entry]:
    """Every key of a recipe, sections included, in the order of the models."""

    def walk(entries: Iterable[Entry]) -> Iterator[Entry]:
        for entry in entries:
            yield entry
            yield from walk(entry.inside)

    return list(walk(tree()))


def _keys(model: type[BaseModel], above: str) -> Iterator[Entry]:
    for name, field in model.model_fields.items():
        path = f"{above}.{name}" if above else name
        section = next((m for m in _models(field.annotation) if not issubclass(m, Use)), None)
        inside = tuple(_keys(section, path)) if section else ()
        meaning = field.description or ((inspect.getdoc(section) or "").partition("\n")[0] if section else "")
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        plain = isinstance(default, BaseModel) and not field.description  # a section of defaults: its keys say them
        kind = SLOTS.get(path)
        spoken_type = spoken(field.annotation, field.metadata)
        yield Entry(
            kind="section" if section and not field.description else "key",
            name=path,
            meaning=_sentence(meaning),
            type=f"{spoken_type} ({kind})" if kind and "part" in spoken_type else spoken_type,
            default=None if default is None or plain else toml(_plain(default)),
            required=field.is_required(),
            example="" if section and not field.description else snippet(path, _example(path, field)),
            inside=inside,
        )


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models(inner)


def _plain(value: Any) -> Any:
    """A default as the recipe would write it: a part without knobs is its name."""
    if isinstance(value, Use):
        return {"use": value.use, **value.knobs} if value.knobs else value.use
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _example(path: str, field: FieldInfo) -> Any:
    if path in EXAMPLES:
        return EXAMPLES[path]
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    if default is not None:
        return _plain(default)
    table = next((m for m in _models(field.annotation) if not issubclass(m, Use)), None)
    if table:
        inner = table.model_fields
        needed = [name for name in inner if inner[name].is_required()]
        return {name: _example(f"{path}.{name}", inner[name]) for name in needed or inner}
    return fitting(Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation)


# -- parts ------------------------------------------------------------------------------------------------------


@cache
def kinds() -> tuple[Entry, ...]:
    """Every kind of part with its parts inside."""
    found = {kind: tuple(part(parts.load(kind, name)) for name in parts.names(kind)) for kind in parts.KINDS}
    return tuple(Entry("parts", kind, KIND_MEANS.get(kind, kind), inside=inside) for kind, inside in found.items())


def part(found: parts.Part) -> Entry:
    """What a part's docstring and signatures say."""
    doc = inspect.getdoc(found.module) or ""
    said = knob_docs(found)
    needed = {knob.name: value(knob) for knob in found.knobs.values() if knob.required or knob.default == ""}
    inside = tuple(
        Entry(
            kind="knob",
            name=f"{found.kind}.{found.name}.{knob.name}",
            meaning=_sentence(said.get(knob.name, "")),
            type=spoken(knob.type),
            default=None if knob.required or knob.default is None else toml(_plain(knob.default)),
            required=knob.required,
            example=use(found, {**({} if knob.name in INSTEAD else needed), knob.name: value(knob)}),
        )
        for knob in found.knobs.values()
    )
    more = "\n".join(filter(None, [doc.partition("\n")[2].strip(), *(f"\n{fact}" for fact in _facts(found))]))
    shown = {knob.name: value(knob) for knob in found.knobs.values() if knob.default}
    example = use(found, needed or dict(list(shown.items())[:1]))
    return Entry("part", f"{found.kind}.{found.name}", found.summary, example=example, more=more, inside=inside)


def value(knob: parts.Knob) -> Any:
    """A value for a knob: its default, or one that fits."""
    if not knob.required and knob.default not in (None, ""):
        return _plain(knob.default)
    return GIVEN.get(knob.name) or fitting(Any if knob.type is inspect.Parameter.empty else knob.type)


def use(found: parts.Part, knobs: Mapping[str, Any]) -> str:
    """How a recipe names a part, with the task where it is not the default one."""
    slot = next((path for path, kind in SLOTS.items() if kind == found.kind), None)
    named: Any = {"use": found.name, **knobs} if knobs else found.name
    if slot is None:
        return toml(named)
    if found.kind in ("steps", "methods", "metrics"):
        named = [named if found.kind != "metrics" else found.name]
    task = _task(found)
    return (f"task = {toml(_needing(parts.load('tasks', task)))}\n" if task else "") + snippet(slot, named)


def _needing(found: parts.Part) -> Any:
    """A part as a recipe names it, with what it must be given."""
    needed = {knob.name: value(knob) for knob in found.knobs.values() if knob.required}
    return {"use": found.name, **needed} if needed else found.name


def _task(found: parts.Part) -> str | None:
    """The task that a part is for, where it is not for the default one."""
    default = Recipe.model_fields["task"].default.use
    tasks = [default, *parts.names("tasks")]
    if found.kind == "metrics":
        fed = [name for name in tasks if not lacking(parts.load("tasks", name), found.name)]
    elif found.kind == "mixes" and found.has("needs") and "task" in found.call("needs", knobs={}):
        fed = [name for name in tasks if "task" in parts.load("tasks", name).constant("FIELDS")]
    else:
        fed = list(found.constant("TASKS", tasks))
    return None if default in fed else next(iter(fed), None)


def knob_docs(found: parts.Part) -> dict[str, str]:
    """The meaning of each knob, from lines `name: meaning` in the docstrings of the part's functions."""
    said: dict[str, str] = {}
    for function in parts.KINDS[found.kind][0]:
        doc = inspect.getdoc(getattr(found.module, function, None)) or ""
        lines = doc.splitlines()
        for i, line in enumerate(lines):
            match = re.match(r"(\s+)([a-z_0-9]+(?:, [a-z_0-9]+)*): (.+)", line)
            if not match:
                continue
            text = [match[3]]
            for following in lines[i + 1 :]:
                if len(following) - len(following.lstrip()) <= len(match[1]):
                    break
                text.append(following.strip())
            for name in match[2].split(", "):
                # `as in summarise` stands in one function, the meaning in another
                if name in found.knobs and len(" ".join(text)) > len(said.get(name, "")):
                    said[name] = " ".join(text)
    return said


def _facts(found: parts.Part) -> Iterator[str]:
    if found.kind == "metrics":
        low, high = found.constant("RANGE")
        yield f"Better is {found.constant('BETTER')}; values lie between {low:g} and {high:g}."
    if found.constant("REWRITES", False):
        alone = ", as far as one text alone allows" if found.has("decide") else ""
        yield f"It rewrites text, so every prediction applies it too{alone}."
    if found.constant("AFTER_SPLIT", False):
        yield "It runs after rows have their split."
    if found.constant("FILLS_LANG", False):
        yield "With it in the recipe, rows may come without a language."


# -- finding ----------------------------------------------------------------------------------------------------


def explain(key: str) -> list[Entry]:
    """What `key` means: a key of the recipe, a kind of part, a part, a knob, or the last piece of one of these.

    Raises InputError with the nearest name when there is no such thing.
    """
    steps = [step for step in key.strip().strip("[]").split(".") if step and not step.isdecimal()]
    asked = ".".join(steps)
    for spelling in dict.fromkeys([asked, asked.replace("-", "_"), asked.replace("-", "_").lower()]):
        if found := _find(spelling):
            return found
    known = _names()
    raise InputError(f"nothing in a recipe is called '{key}'{_near(key, known)}")


def _near(key: str, known: Mapping[str, Any]) -> str:
    hint = nearest(key, known)
    if hint.startswith("; did") or "." not in key:
        return hint if hint.startswith("; did") else "; isogloss explain, without a name, lists all of them"
    leaf = nearest(key.rpartition(".")[2], known)
    return leaf if leaf.startswith("; did") else "; isogloss explain, without a name, lists all of them"


@cache
def _names() -> dict[str, list[Entry]]:
    """Entries by every name they can be asked by; full names first."""
    full: dict[str, list[Entry]] = {}
    short: dict[str, list[Entry]] = {}
    for entry in keys():
        full[entry.name] = [entry]
        short.setdefault(entry.name.rpartition(".")[2], []).append(entry)
    for kind in kinds():
        slot = next((path for path, name in SLOTS.items() if name == kind.name), None)
        full.setdefault(kind.name, [kind])
        for entry in kind.inside:
            for each in (entry, *entry.inside):
                rest = each.name.partition(".")[2]
                full.setdefault(each.name, [each])
                short.setdefault(rest, []).append(each)
                if slot:
                    full.setdefault(f"{slot}.{rest}", [each])
            for knob in entry.inside:
                leaf = knob.name.rpartition(".")[2]
                short.setdefault(leaf, []).append(knob)
                if slot:  # as --set writes it: train.mix.tau
                    short.setdefault(f"{slot}.{leaf}", []).append(knob)
    both = {name: [*full.get(name, []), *short.get(name, [])] for name in {**full, **short}}
    return {name: list({entry.name: entry for entry in found}.values()) for name, found in both.items()}


def _find(key: str) -> list[Entry]:
    names = _names()
    if key in names:
        return names[key]
    kind, _, module = key.partition(".")
    if kind in parts.KINDS and "." in module:
        try:
            return [part(parts.load(kind, module))]
        except IsoglossError:
            pass
    above = key.rpartition(".")[0]
    while above:  # inside a table whose keys are free, such as gate.every_lang.macro_f1
        found = names.get(above, [])
        if found and found[0].kind == "key" and found[0].type.startswith("table") and not found[0].inside:
            return found
        above = above.rpartition(".")[0]
    return []


def _sentence(text: str) -> str:
    return " ".join(text.split())
