"""train.trackers: the numbers of every evaluation by language; one that is missing is named, one that fails is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from accelerate import tracking as theirs

import tiny
from isogloss.core.errors import MissingError, RecipeError


class Kept(theirs.GeneralTracker):
    """In place of tensorboard: it keeps what it is told."""

    name = "tensorboard"
    requires_logging_directory = True
    main_process_only = True
    told: ClassVar[list[Any]] = []
    fails = False

    def __init__(self, run_name: str, logging_dir: str) -> None:
        super().__init__()
        self.told.append(("init", run_name, logging_dir))

    @property
    def tracker(self) -> Any:
        return self

    def start(self) -> None:
        self.told.append(("start",))

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.told.append(("config", values))

    def log(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        if self.fails:
            raise ConnectionError("no server")
        self.told.append(("log", step, values))

    def finish(self) -> None:
        self.told.append(("finish",))


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> type[Kept]:
    monkeypatch.setitem(theirs.LOGGER_TYPE_TO_CLASS, "tensorboard", Kept)
    monkeypatch.setattr(theirs, "get_available_trackers", lambda: ["tensorboard"])
    monkeypatch.setattr(Kept, "told", [])
    return Kept


def test_a_tracker_gets_every_evaluation_by_language(kept: type[Kept], tmp_path: Path) -> None:
    run, _ = tiny.train(tiny.recipe(tmp_path, train={"trackers": ["tensorboard"]}), tmp_path)
    assert [each[0] for each in kept.told] == ["init", "start", "config", "log", "log", "log", "finish"]
    assert kept.told[0][2] == str(run.path("trackers"))
    assert kept.told[2][1]["train.lr"] == "0.01"
    for (_, step, values), event in zip(kept.told[3:6], tiny.events(run, "evaluation"), strict=True):
        assert step == event["step"]
        assert {lang: values[f"dev/macro_f1/{lang}"] for lang in tiny.WORDS} == event["by_lang"]
        assert values["dev/macro_f1/worst"] == event["worst"]
        assert {lang: values[f"rows/{lang}"] for lang in tiny.WORDS} == event["seen"]["rows"]


def test_a_tracker_that_fails_costs_its_own_numbers(kept: type[Kept], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(kept, "fails", True)
    run, heard = tiny.train(tiny.recipe(tmp_path, train={"trackers": ["tensorboard"]}), tmp_path)
    assert len([line for line in heard if "tracker 'tensorboard' failed" in line and "no server" in line]) == 1
    assert tiny.events(run, "done")


def test_a_tracker_that_is_not_there_is_named_before_anything_is_read(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(theirs, "get_available_trackers", list)
    with pytest.raises(MissingError, match=r"isogloss\[track\]") as caught:
        tiny.train(tiny.recipe(tmp_path, train={"trackers": ["trackio"]}), tmp_path)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "runs" / "tiny" / "train.json").exists()
    for wrong in (["trackoi"], ["trackio", "trackio"], "trackio"):
        with pytest.raises(RecipeError):
            tiny.recipe(tmp_path, train={"trackers": wrong})
