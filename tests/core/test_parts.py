"""Parts: the folder is the registry, the signature is the reference."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import pytest
from pydantic import Field

from isogloss.core import parts
from isogloss.core.errors import RecipeError
from isogloss.core.parts import Part


def made(**functions: Any) -> Part:
    module = ModuleType("made")
    vars(module).update(functions, Annotated=Annotated, Field=Field, Path=Path)
    return Part("steps", "made", module)


def apply(
    batch: Any,
    *,
    share: Annotated[float, Field(ge=0, le=1)] = 0.5,
    names: tuple[str, ...] = (),
    where: Path | None = None,
    must: int,
    langs: tuple[str, ...] = (),
) -> Any:
    return share, names, must, langs


def summarise(batch: Any, *, extra: bool = False, must: int) -> Any:
    return extra, must


STEP = made(apply=apply, summarise=summarise)


def test_knobs_are_the_keyword_arguments_of_all_its_functions_less_those_that_are_filled() -> None:
    assert list(STEP.knobs) == ["share", "names", "where", "must", "extra"]
    assert STEP.bind({"must": 3, "names": ["a"], "where": "x/y"}) == {
        "share": 0.5,
        "names": ("a",),
        "where": Path("x/y"),
        "must": 3,
        "extra": False,
    }


def test_a_function_gets_the_knobs_it_declares_and_what_is_filled() -> None:
    knobs = STEP.bind({"must": 3, "share": 1})
    assert STEP.call("apply", None, knobs=knobs, langs=("eng_Latn",), seed=1) == (1.0, (), 3, ("eng_Latn",))
    assert STEP.call("summarise", None, knobs=knobs, langs=("eng_Latn",)) == (False, 3)


@pytest.mark.parametrize(
    ("given", "key", "words"),
    [
        ({}, "must", "the step 'made' needs the knob 'must' (int)"),
        ({"must": 1, "shares": 1}, "shares", "has no knob 'shares'; did you mean 'share'?"),
        ({"must": 1, "langs": []}, "langs", "has no knob 'langs'"),
        ({"must": "1"}, "must", 'must takes a whole number, got "1"'),
        ({"must": 1, "share": 2.0}, "share", "share takes a number of at most 1.0, got 2.0"),
        ({"must": 1, "share": None}, "share", "share takes a number, got null"),
        ({"must": 1, "names": "a"}, "names", 'names takes a list, got "a"'),
        ({"must": 1, "extra": 1}, "extra", "extra takes true or false, got 1"),
        ({"must": 1, "names": [1]}, "names", "names.0 takes a string, got 1"),
    ],
)
def test_a_wrong_knob_is_named(given: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        STEP.bind(given)
    assert caught.value.key == key and words in str(caught.value)


@pytest.mark.parametrize("kind", parts.KINDS)
def test_every_packaged_part_loads_says_what_it_is_and_has_typed_knobs(kind: str) -> None:
    for name in parts.names(kind):
        part = parts.load(kind, name)
        assert len(part.summary) > 10 and part.summary.endswith(".")
        assert all(knob.type is not knob.default and parts.type_name(knob.type) for knob in part.knobs.values())
    assert not [name for name in parts.names(kind) if name.startswith("_")]


def test_a_part_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine").mkdir()
    bodies = {
        "good": '"""Shout."""\ndef apply(batch, *, loud: int = 1):\n    return batch\n',
        "broken": "1 / 0\n",
        "syntax": "def (\n",
        "needs": "import no_such_module_at_all\n",
    }
    for name, body in bodies.items():
        (tmp_path / "mine" / f"{name}.py").write_text(body)
    try:
        assert parts.load("steps", "mine.good").bind({}) == {"loud": 1}
        for name, words in (
            ("broken", "cannot be imported (ZeroDivisionError"),
            ("syntax", "cannot be imported (SyntaxError"),
            ("needs", "needs the module 'no_such_module_at_all'"),
            ("absent", "there is no module 'mine.absent' to use as step"),
        ):
            with pytest.raises(RecipeError) as caught:
                parts.load("steps", f"mine.{name}")
            assert words in str(caught.value)
        with pytest.raises(RecipeError, match="does not define order"):
            parts.load("mixes", "mine.good")
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "mine"]:
            del sys.modules[name]
