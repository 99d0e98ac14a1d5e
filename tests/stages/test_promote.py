"""promote and rollback: refused with reasons by language, moved at once, moved back the way it came."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import isogloss
from places import Place, Said, corpus_rows, write_jsonl


@pytest.fixture
def ran(place: Place, cli: Callable[..., Said]) -> Place:
    said = cli("run", "recipe.toml")
    assert said.code == 0, said.err
    return place


def aliases(place: Place) -> dict[str, str]:
    return json.loads((place.folder / "shelf" / "small" / "aliases.json").read_text())


def test_promote_twice_makes_one_version_that_serves(ran: Place, cli: Callable[..., Said]) -> None:
    first = cli("promote", "runs/small", "--json").json
    assert first["version"] == "v0001" and first["before"] is None
    assert cli("promote", "small", "--json").json["version"] == "v0001"
    assert aliases(ran) == {"production": "v0001"}
    model = isogloss.load(ran.folder / "shelf" / "small")
    assert model.predict(["The tablets ran out last night."], lang="en") == ["drug"]
    history = (ran.folder / "shelf" / "small" / "history.jsonl").read_text().splitlines()
    assert len(history) == 1


def test_rollback(ran: Place, cli: Callable[..., Said]) -> None:
    for seed in (1, 2, 3):
        assert cli("run", "recipe.toml", "--set", f"seed={seed}", "--again").code == 0
        assert cli("promote", "small", "--json").json["version"] == f"v000{seed}"
    assert cli("rollback", "small", "--json").json["version"] == "v0002"
    assert cli("rollback", "small", "--json").json["version"] == "v0001"
    said = cli("rollback", "small")
    assert said.code == 2 and "nothing to roll back to" in said.err and aliases(ran)["production"] == "v0001"
    assert cli("rollback", "small", "--to", "v0003", "--json").json["before"] == "v0001"
    assert cli("rollback", "small", "--to", "v3").code == 2
    assert "did you mean 'small'" in cli("rollback", "smal").err
    assert "has no alias" in cli("rollback", "small", "--alias", "canary").err
    listed = cli("ls", "shelf", "--json").json["shelf"]
    assert [(row["version"], row["aliases"]) for row in listed] == [
        ("v0001", ""),
        ("v0002", ""),
        ("v0003", "production"),
    ]


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ([], "has no gate at promote"),
        ([{"at": "promote", "every_lang": {"accuracy": ">= 0.9999"}}], "swh_Latn: accuracy"),
        ([{"at": "promote", "every_lang": {"n": ">= 1000"}}], "eng_Latn"),
        ([{"at": "promote", "gap": {"accuracy": "<= 0.0001"}}], "gap"),
    ],
)
def test_refusals_say_why(place: Place, cli: Callable[..., Said], gate: list, words: str) -> None:
    if words.startswith("swh"):  # one language that cannot be learned
        rows = [
            {**row, "text": f"{i} {i}"} if row["lang"] == "swh_Latn" else row for i, row in enumerate(corpus_rows())
        ]
        write_jsonl(place.folder / "raw.jsonl", rows)
    place.with_(gate=gate)
    assert cli("run", "recipe.toml").code == (1 if gate else 0)
    said = cli("promote", "small", "--json")
    assert said.code == 1 and words in said.err
    assert said.json["exit_code"] == 1
    assert not (place.folder / "shelf" / "small" / "versions").exists()


def test_a_language_without_rows_is_refused(place: Place, cli: Callable[..., Said]) -> None:
    place.with_(langs=[*place.value["langs"], "fra_Latn"])
    assert cli("run", "recipe.toml").code == 1
    said = cli("promote", "small")
    assert said.code == 1 and "fra_Latn" in said.err


def test_what_was_not_evaluated_is_not_promoted(place: Place, cli: Callable[..., Said]) -> None:
    assert cli("promote", "recipe.toml").code == 2
    assert cli("train", "recipe.toml").code == 0
    assert "no finished 'evaluate'" in cli("promote", "small").err
    assert cli("run", "recipe.toml").code == 0
    assert cli("promote", "recipe.toml", "--set", "gate.0.every_lang.n=>= 1").code == 1
    assert cli("train", "recipe.toml", "--again", "--set", "model.n_max=2").code == 0
    assert cli("promote", "small").code == 2
    assert "there is no recipe nothing" in cli("promote", "nothing").err


@pytest.mark.parametrize("damage", ["aliases.json", "version"])
def test_damage_on_the_shelf_is_one_sentence(ran: Place, cli: Callable[..., Said], damage: str) -> None:
    assert cli("promote", "small").code == 0
    shelf = ran.folder / "shelf" / "small"
    if damage == "aliases.json":
        (shelf / "aliases.json").write_text("{")
        assert "remove it" in cli("promote", "small").err
        (shelf / "aliases.json").unlink()
        assert cli("rollback", "small", "--to", "v0001").code == 0
    else:
        shutil.rmtree(shelf / "versions" / "v0001" / "model")
        (ran.folder / "a.txt").write_text("hello\n")
        assert cli("predict", "shelf/small", "a.txt", "--lang", "en").code == 2


def test_a_shelf_that_is_a_file(ran: Place, cli: Callable[..., Said]) -> None:
    Path(ran.folder / "shelf").touch()
    said = cli("promote", "small")
    assert said.code == 2 and "shelf" in said.err
