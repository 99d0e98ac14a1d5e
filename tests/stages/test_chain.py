"""The chain: from Python and from the shell, fresh, changed, again, interrupted; and every file it writes is known."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import isogloss
from isogloss.core import recipe
from isogloss.core.errors import RecipeError, StaleError
from isogloss.stages import chain
from places import Place, Said, corpus_rows, shell, write_jsonl


def stamps(place: Place) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((place.run / "stamps").iterdir())}


def test_run_takes_a_path_a_mapping_a_recipe_and_a_run(place: Place, monkeypatch: Any) -> None:
    monkeypatch.chdir(place.folder)
    outcome = isogloss.run("recipe.toml")
    assert (outcome.folder, outcome.verdict, outcome.reasons) == (Path("runs/small"), "holds", ())
    assert outcome.scores.height > 10
    before = stamps(place)
    for given in (dict(place.value), recipe.read(place.recipe), "runs/small", "small", "runs/small/recipe.toml"):
        assert isogloss.run(given).verdict == "holds"
    assert stamps(place) == before
    with pytest.raises(RecipeError, match="there is no recipe smal"):
        isogloss.run("smal")


def test_no_main_guard_is_needed(place: Place) -> None:
    script = place.folder / "mine.py"
    script.write_text("import isogloss\nprint('once', isogloss.run('recipe.toml').verdict)\n")
    done = subprocess.run([sys.executable, "mine.py"], cwd=place.folder, capture_output=True, text=True)
    assert done.stdout == "once holds\n", done.stderr


def test_the_run_can_be_repeated_from_its_folder_wherever_one_stands(
    place: Place, cli: Callable[..., Said], tmp_path_factory: Any, monkeypatch: Any
) -> None:
    assert cli("run", "recipe.toml").code == 0
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    said = cli("run", place.run)
    assert said.code == 0 and said.err.count("fresh") == 3
    (place.run / "origin.json").write_text("{}")
    said = cli("run", place.run)
    assert said.code == 2 and "give the recipe file instead" in said.err


def test_what_changed_is_named_stage_by_stage(place: Place, cli: Callable[..., Said]) -> None:
    assert cli("run", "recipe.toml").code == 0
    recipe_then = (place.run / "recipe.toml").read_text()
    said = cli("run", "recipe.toml", "--set", "model.n_max=2")
    assert said.code == 2 and "model.n_max: 3 → 2" in said.err and "isogloss train RECIPE --again" in said.err
    assert (place.run / "recipe.toml").read_text() == recipe_then
    said = cli("run", "recipe.toml", "--set", "gate.0.every_lang.n=>= 6")
    assert said.code == 0 and said.err.count("fresh") == 2, "gates are cheap, and simply asked anew"
    assert cli("train", "recipe.toml", "--set", "model.n_max=2", "--again").code == 0
    assert "n_max = 2" in (place.run / "recipe.toml").read_text()


def test_again_redoes_everything_and_gives_the_same(place: Place, cli: Callable[..., Said]) -> None:
    first = cli("run", "recipe.toml", "--json").json
    scores = (place.run / "scores.parquet").read_bytes()
    said = cli("run", "recipe.toml", "--again", "--json")
    assert "fresh" not in said.err
    assert said.json == first
    assert (place.run / "scores.parquet").read_bytes() == scores
    assert not (place.run / "again.json").exists()


@pytest.mark.parametrize("dies_in", ["prepare", "train", "evaluate"])
def test_again_that_was_killed_goes_on_with_the_same_command(
    place: Place, cli: Callable[..., Said], dies_in: str, monkeypatch: Any
) -> None:
    assert cli("run", "recipe.toml").code == 0

    def killed(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    inside = {"prepare": "prepare._assemble", "train": "train.mix_weights", "evaluate": "evaluate._score"}[dies_in]
    with monkeypatch.context() as patch:
        patch.setattr(f"isogloss.stages.{inside}", killed)
        assert cli("run", "recipe.toml", "--again").code == 130
    said = cli("run", "recipe.toml", "--again")
    assert said.code == 0
    assert said.err.count("fresh") == ["prepare", "train", "evaluate"].index(dies_in)
    assert cli("run", "recipe.toml", "--again").err.count("fresh") == 0


def test_again_that_was_killed_and_then_asked_of_something_else(
    place: Place, cli: Callable[..., Said], monkeypatch: Any
) -> None:
    assert cli("run", "recipe.toml").code == 0

    def killed(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("isogloss.stages.evaluate._score", killed)
        assert cli("run", "recipe.toml", "--again").code == 130
    said = cli("run", "recipe.toml", "--again", "--set", "model.n_max=2")
    assert said.code == 0 and said.err.count("fresh") == 0


def test_new_data_is_refused_and_taken_with_again(place: Place, cli: Callable[..., Said]) -> None:
    assert cli("run", "recipe.toml").code == 0
    write_jsonl(place.folder / "raw.jsonl", corpus_rows()[:-4])
    said = cli("run", "recipe.toml")
    assert said.code == 2 and "inputs.raw.jsonl has other contents" in said.err
    assert cli("run", "recipe.toml", "--again").code == 0


def files_page() -> dict[str, str]:
    """Name in the run → what docs/files.md says of it; `*` in a name stands for anything but `/`."""
    page = (Path(__file__).parents[2] / "docs" / "files.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", page, re.M))


def test_every_file_a_run_writes_is_on_the_files_page(place: Place, cli: Callable[..., Said]) -> None:
    write_jsonl(place.folder / "raw.jsonl", [*corpus_rows(), {"text": ""}])
    assert cli("run", "recipe.toml").code == 0
    assert cli("promote", "small").code == 0
    patterns = {name: re.compile(re.escape(name).replace(r"\*", "[^/]+")) for name in files_page()}
    written = [f"runs/NAME/{p.relative_to(place.run)}" for p in place.run.rglob("*") if p.is_file()]
    shelf = place.folder / "shelf" / "small"
    written += [f"shelf/NAME/{p.relative_to(shelf)}" for p in shelf.rglob("*") if p.is_file()]
    unknown = [name for name in written if not any(pattern.fullmatch(name) for pattern in patterns.values())]
    assert not unknown
    import polars as pl

    for name, said in files_page().items():
        pattern = patterns[name]
        for path in (p for p in written if p.endswith(".parquet") and pattern.fullmatch(p)):
            where = place.folder / path.replace("runs/NAME", "runs/small").replace("shelf/NAME", "shelf/small")
            missing = [column for column in pl.read_parquet_schema(where) if f"`{column}`" not in said]
            assert not missing, f"docs/files.md does not name the columns {missing} of {name}"


def test_two_processes_on_one_run(place: Place) -> None:
    with chain.Run(place.run).locked():
        said = shell("run", "recipe.toml", "--json", cwd=place.folder)
    assert said.code == 2 and "in use by process" in json.loads(said.out)["error"]
    with pytest.raises(StaleError):
        chain.run(place.recipe, runs=place.runs)
        chain.run(place.recipe, runs=place.runs, sets=["seed=4"])


def test_the_data_card_says_what_codes_were_read_as(place: Place, cli: Callable[..., Said]) -> None:
    write_jsonl(
        place.folder / "raw.jsonl", [{**row, "lang": row["lang"].replace("swh_Latn", "sw")} for row in corpus_rows()]
    )
    say = cli("run", "recipe.toml").err
    card = (place.run / "CARD.md").read_text()
    assert say.count("'sw' covers more than one language; it is read as swh_Latn (Swahili)") == 1
    assert "- 'sw' covers more than one language; it is read as swh_Latn (Swahili)" in card
