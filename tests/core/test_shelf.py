"""Shelf: a version appears whole or not at all, an alias moves at once, and a rollback goes back the way it came."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isogloss.core import files
from isogloss.core.errors import DamagedError, InputError
from isogloss.core.shelf import Shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "shelf")


def add(shelf: Shelf, key: str) -> str:
    content = shelf.folder.parent / "model"
    files.write_text(content / "weights", key)
    return shelf.add({"model": content}, {"key": key})


def test_versions_are_numbered_whole_and_made_once(shelf: Shelf) -> None:
    assert [add(shelf, key) for key in ("a", "b", "a")] == ["v0001", "v0002", "v0001"]
    assert (shelf.path("v0002") / "model" / "weights").read_text() == "b"
    (shelf.folder / "versions" / "v9999").mkdir()
    shutil.copy(shelf.path("v0001") / "version.json", shelf.folder / "versions" / "v9999")
    assert add(shelf, "c") == "v10000" and add(shelf, "d") == "v10001"


def test_killed_while_adding(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    add(shelf, "a")

    def killed(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copytree", killed)
        with pytest.raises(KeyboardInterrupt):
            add(shelf, "b")
    assert shelf.versions == ["v0001"]
    with shelf.locked():
        assert [p.name for p in (shelf.folder / "versions").iterdir()] == ["v0001"]
        assert add(shelf, "b") == "v0002"


def test_killed_between_the_history_and_the_alias(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = add(shelf, "a"), add(shelf, "b")
    shelf.point("production", one, "")

    def killed(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            shelf.point("production", two, "")
    assert shelf.aliases == {"production": one}
    with pytest.raises(InputError, match="nothing to roll back to"):
        shelf.before("production")
    shelf.point("production", two, "")
    assert shelf.before("production") == one


def test_an_alias_that_is_not_there(shelf: Shelf) -> None:
    add(shelf, "a")
    shelf.point("production", "v0001", "")
    with pytest.raises(InputError, match="has no alias 'prodution'; did you mean 'production'"):
        shelf.before("prodution")
    with pytest.raises(InputError, match="has no version or alias 'v0002'"):
        shelf.path("v0002")


def test_damaged_files_are_named_with_what_helps(shelf: Shelf) -> None:
    add(shelf, "a")
    shelf.point("production", "v0001", "")
    for name, bodies in (("aliases.json", ("", "[]", "{")), ("history.jsonl", ("{", "{}", "3"))):
        path = shelf.folder / name
        good = path.read_text()
        for body in bodies:
            path.write_text(body)
            with pytest.raises(DamagedError, match=rf"{name} is damaged .* remove it"):
                _ = shelf.aliases, shelf.history
        path.unlink()
        shelf.point("production", "v0001", "mended")
        assert shelf.aliases == {"production": "v0001"}
        path.write_text(good)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c", "back"]), max_size=12))
def test_rollbacks_undo_promotions_in_their_order(tmp_path_factory: Any, moves: list[str]) -> None:
    shelf = Shelf(tmp_path_factory.mktemp("shelf") / "s")
    version = {key: add(shelf, key) for key in "abc"}
    pile: list[str] = []
    for move in moves:
        if move != "back":
            if pile[-1:] != [version[move]]:
                pile.append(version[move])
                shelf.point("production", pile[-1], "")
        elif len(pile) < 2:
            with pytest.raises(InputError):
                shelf.before("production")
        else:
            pile.pop()
            assert shelf.before("production") == pile[-1]
            shelf.point("production", pile[-1], "", back=True)
    assert shelf.aliases.get("production") == (pile[-1] if pile else None)
