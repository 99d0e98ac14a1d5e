"""Fixtures that many tests share: a place with data and a recipe, the command line in this process, the shared data."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from places import Place, Said, make_place

# how long an example takes is the machine's affair
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A small corpus in four languages, and a recipe that is quick to run."""
    return make_place(tmp_path)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Run a command in this process, in the test's folder; no traceback may reach the screen."""
    from isogloss.cli import _guarded

    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Said:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = _guarded([str(argument) for argument in arguments])
        assert "Traceback" not in err.getvalue() + out.getvalue()
        assert code != 4, err.getvalue()
        return Said(code, out.getvalue(), err.getvalue())

    return call


@pytest.fixture(autouse=True)
def one_core(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests in this process work in this process: starting workers takes longer than what they do."""
    if "engine" not in request.node.nodeid:
        monkeypatch.setattr("isogloss.core.engine.usable_cores", lambda: 1)


@pytest.fixture
def shared() -> Path:
    """The data that lies beside the project, where it is there."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    return folder
