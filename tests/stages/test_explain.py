"""explain and the reference: every key, part and knob has a meaning and an example that loads."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isogloss.cli import app
from isogloss.core import parts, recipe
from isogloss.core.errors import InputError, IsoglossError
from isogloss.core.recipe import Recipe
from isogloss.stages import explain, reference
from isogloss.stages.explain import Entry
from isogloss.stages.words import EXAMPLES
from places import Said

ROOT = Path(__file__).parents[2]
KEYS = explain.keys()
PARTS = [part for kind in explain.kinds() for part in kind.inside]
KNOBS = [knob for part in PARTS for knob in part.inside]
MODELS = ({"use": "ngram"}, {"use": "encoder", "name": "xlm-roberta-base"})


def merged(base: Any, more: Any) -> Any:
    if isinstance(base, dict) and isinstance(more, dict):
        return {**base, **{name: merged(base.get(name), value) for name, value in more.items()}}
    return more


def loads(example: str) -> list[str]:
    """The reasons why no recipe takes the example; empty when one does."""
    wrong = []
    for model in MODELS:
        base = {"name": "x", "langs": "all", "model": model, "data": {"raw": ["data.jsonl"]}}
        try:
            recipe.build(merged(base, tomllib.loads(example)))
        except IsoglossError as error:
            wrong.append(str(error))
        else:
            return []
    return wrong


def leaves(model: Any, above: str = "") -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        path = f"{above}{name}"
        inner = [m for m in recipe._models(field.annotation) if not issubclass(m, recipe.Use)]
        found += [path, *(leaf for m in inner for leaf in leaves(m, f"{path}."))]
    return found


def test_every_key_of_the_models_is_explained() -> None:
    assert {entry.name for entry in KEYS} == set(leaves(Recipe))
    assert len(KEYS) > 40


@pytest.mark.parametrize("entry", KEYS, ids=lambda entry: entry.name)
def test_a_key_has_meaning_type_and_an_example_that_loads(entry: Entry) -> None:
    assert entry.meaning and entry.type, "give the field a description"
    if entry.kind == "key":
        assert entry.name.rpartition(".")[2] in entry.example
        assert loads(entry.example) == []
        assert "..." not in entry.example, "no value was found for the example; give one in words.EXAMPLES"
    if entry.default is not None:
        assert tomllib.loads(f"x = {entry.default}")
    assert explain.explain(entry.name)[0] == entry


def test_no_example_is_left_over() -> None:
    assert set(EXAMPLES) <= {entry.name for entry in KEYS}


@pytest.mark.parametrize("entry", PARTS, ids=lambda entry: entry.name)
def test_a_part_has_a_summary_and_an_example_that_loads(entry: Entry) -> None:
    kind, _, name = entry.name.partition(".")
    assert entry.meaning.endswith((".", ":")) or entry.meaning
    assert explain.explain(entry.name) == [entry]
    assert entry in explain.explain(name)
    if kind in explain.SLOTS.values():
        assert loads(entry.example) == []


@pytest.mark.parametrize("entry", KNOBS, ids=lambda entry: entry.name)
def test_a_knob_is_explained_in_its_docstring(entry: Entry) -> None:
    assert entry.meaning, "write a line 'name: meaning' in the docstring of the function that takes the knob"
    assert entry.type
    assert explain.explain(entry.name) == [entry]
    assert entry in explain.explain(entry.name.partition(".")[2])
    assert entry in explain.explain(entry.name.rpartition(".")[2])
    if entry.name.partition(".")[0] in explain.SLOTS.values():
        assert loads(entry.example) == []


def test_every_knob_of_every_signature_is_there() -> None:
    found = {knob.name for knob in KNOBS}
    assert found == {f"{k}.{n}.{knob}" for k in parts.KINDS for n in parts.names(k) for knob in parts.load(k, n).knobs}
    steps = parts.names("steps")
    taken = {"text", "lang", "out", "json"}
    assert not {knob for name in steps for knob in parts.load("steps", name).knobs} & taken, "isogloss step takes these"


def test_a_knob_that_the_docstring_does_not_name_has_no_meaning() -> None:
    def apply(batch: Any, *, told: int = 1, untold: int = 2) -> Any:
        """Do.

        Knobs
            told: what it is,
                and more
        """

    module = type(sys)("made_up")
    module.apply = apply  # type: ignore[attr-defined]
    assert explain.knob_docs(parts.Part("steps", "made_up", module)) == {"told": "what it is, and more"}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("train.mix.tau", "mixes.temperature.tau"),
        ("data.steps.0.threshold", "steps.dedup.threshold"),
        ("data.steps.dedup.action", "steps.dedup.action"),
        ("every-lang", "gate.every_lang"),
        ("[gate]", "gate"),
        ("gate.0.every_lang", "gate.every_lang"),
        ("gate.every_lang.macro_f1", "gate.every_lang"),
        ("Train.Mix", "train.mix"),
        ("metrics", "metrics"),
        ("isogloss", None),
        ("dedup.treshold", "did you mean 'dedup.threshold'?"),
        ("train.mixx", "did you mean 'train.mix'?"),
        ("zzz", "lists all of them"),
        ("", "lists all of them"),
        (".", "lists all of them"),
    ],
)
def test_names_as_people_write_them(asked: str, found: str | None) -> None:
    try:
        names = [entry.name for entry in explain.explain(asked)]
    except InputError as error:
        assert "\n" not in str(error)
        assert found is None or found in str(error)
    else:
        assert found in names


def test_a_part_from_outside_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs.py").write_text(
        '"""Shout."""\n\ndef apply(batch, *, loud: bool = True):\n    """Do it.\n\n    Knobs\n        loud: how\n    """\n'
    )
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("")
    (tmp_path / "theirs.py").rename(tmp_path / "pkg" / "theirs.py")
    monkeypatch.syspath_prepend(tmp_path)
    (entry,) = explain.explain("steps.pkg.theirs")
    assert entry.meaning == "Shout."
    assert [knob.meaning for knob in entry.inside] == ["how"]


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_text_fits_the_terminal(width: int) -> None:
    for entry in [*KEYS, *PARTS, *KNOBS]:
        out = reference.lines([entry], width)
        cut = out.index("  example") if "  example" in out else len(out)
        words = [line for line in out[:cut] if len(line.split()) > 2]
        assert max(map(len, words), default=0) <= width, out
    assert all(len(line) <= width or " " not in line.strip() for line in reference.tree_lines(width) if width >= 60)


def test_the_pages_name_everything() -> None:
    page = reference.reference()
    for entry in [*KEYS, *PARTS, *KNOBS]:
        name = entry.name.rpartition(".")[2]
        places = (f"| `{name}` |", f".{name}` |", f"### {name}\n", f"`[{name}]`", f"`[[{name}]]`")
        assert any(place in page for place in places), entry.name
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert rows and all(line.replace("\\|", "").count("|") == 6 for line in rows), "a cell breaks its table"


def test_the_generator_writes_checks_and_names_what_is_stale(tmp_path: Path) -> None:
    tool = [sys.executable, str(ROOT / "tools" / "make_reference.py"), "--out", str(tmp_path / "ref")]
    assert subprocess.run([*tool, "--check"], capture_output=True).returncode == 1
    subprocess.run(tool, check=True, capture_output=True)
    assert subprocess.run([*tool, "--check"], capture_output=True).returncode == 0
    for command in app.registered_commands:
        assert command.callback and f"## {command.name or command.callback.__name__}\n" in (
            tmp_path / "ref" / "cli.md"
        ).read_text("utf-8")
    (tmp_path / "ref" / "recipe.md").write_text("old", "utf-8")
    said = subprocess.run([*tool, "--check"], capture_output=True, text=True)
    assert said.returncode == 1 and "recipe.md stale" in said.stderr


def test_it_imports_nothing_heavy() -> None:
    code = (
        "from isogloss.stages import explain, reference; reference.tree_lines(80); "
        "import sys; print([m for m in ('torch', 'transformers', 'sklearn') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_command(cli: Callable[..., Said]) -> None:
    assert "train.mix" in cli("explain").out
    assert "exponent" in cli("explain", "temperature.tau").out
    (found,) = json.loads(cli("explain", "train.mix", "--json").out)["found"]
    assert found["default"] == '"natural"'
    everything = json.loads(cli("explain", "--json").out)
    assert {entry["name"] for entry in everything["parts"]} == set(parts.KINDS)
    wrong = cli("explain", "train.mixx")
    assert wrong.code == 2 and "did you mean 'train.mix'?" in wrong.err
