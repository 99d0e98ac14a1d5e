"""The command `sources` with a budget: probes are ordinary trainings, said beforehand, kept, and never dearer than asked."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import tiny
from isogloss.core.errors import BudgetEnded, DataError, InputError
from isogloss.stages import probes as stage
from isogloss.stages import sources
from places import Said, command, write_jsonl

ASK = ("sources", "--targets", "swh", "--candidates", "eng,tha,spa", "--data", "rows.jsonl")
NGRAM = (*ASK, "--family", "ngram", "--budget", "2m")


def rows(n: int = 40) -> list[dict[str, str]]:
    """English, Swahili, Thai, and a Spanish that is Swahili with other endings: the best source there could be."""
    made = tiny.sentences(n)
    for row in [row for row in made if row["lang"] == "swh_Latn"]:
        text = " ".join(word + random.Random(word).choice(["", "s"]) for word in row["text"].split())
        made.append({**row, "id": "spa" + row["id"], "lang": "spa_Latn", "text": text})
    return made


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "rows.jsonl", rows())


def found(done: Said) -> dict[str, dict[str, Any]]:
    assert done.code == 0, done.err
    return {row["source"]: row for row in done.json["swh"]}


# -- what is asked ----------------------------------------------------------------------------------------------


def test_budgets_are_readable() -> None:
    assert [stage.seconds_of(text) for text in ("90", "90s", "10m", "1.5h", " 2M ")] == [90, 90, 600, 5400, 120]
    for text in ("", "m", "0", "-5", "soon", "1d", "nan", "inf", "1e9"):
        with pytest.raises(InputError, match="--budget takes"):
            stage.seconds_of(text)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*ASK[:-2], "--budget", "60"), "give --data"),
        ((*ASK, "--budget", "60"), "name the model with --model"),
        ((*ASK, "--family", "ngram", "--budget", "soon"), "--budget takes"),
        ((*NGRAM, "--task", "tag"), "'tag' is another task"),
        (("sources", "--targets", "zul", *NGRAM[3:]), "too few (zul_Latn 0; 25 are needed"),
        (("sources", "--targets", "swh", "--candidates", "fra", *NGRAM[5:]), "two sources or more"),
    ],
)
def test_what_cannot_be_probed_is_one_sentence(
    data: Path, cli: Callable[..., Said], arguments: tuple[str, ...], said: str
) -> None:
    done = cli(*arguments)
    assert done.code == 2
    assert said in done.err
    assert done.err.strip().splitlines()[-1].startswith("isogloss: ")


def test_a_target_without_labels_is_named_and_the_others_are_answered(data: Path, cli: Callable[..., Said]) -> None:
    done = cli("sources", "--targets", "swh,zul", *NGRAM[3:], "--json")
    assert done.code == 0, done.err
    assert "fewer than 25 labelled dev rows of zul_Latn" in done.err
    assert any(row["probe"] for row in done.json["swh"]) and not any(row["probe"] for row in done.json["zul"])


# -- the command ------------------------------------------------------------------------------------------------


def test_probes_are_said_kept_and_joined_with_the_prior(data: Path, cli: Callable[..., Said]) -> None:
    before = found(cli(*ASK, "--family", "ngram", "--json"))
    done = cli(*NGRAM, "--json")
    after = found(done)
    lines = done.err.splitlines()
    first = next(i for i, line in enumerate(lines) if "sources will be tried with ngram" in line)
    assert "up to 3 sources" in lines[first] and "within 120 s" in lines[first] and "torch" not in lines[first]
    assert "at most 3 trainings" in lines[first + 1] or "at most 4 trainings" in lines[first + 1]
    probed = {source for source, row in after.items() if row["probe"]}
    assert probed == {"eng", "tha", "spa"}
    assert {row["probe"]["rows"] for row in after.values()} == {120}  # equal rows
    for source, row in after.items():
        assert row["stage"] == "prior and texts and probe"
        assert row["high"] - row["low"] <= before[source]["high"] - before[source]["low"] + 0.02
        assert row["probe"]["n_dev"] == 60
    assert next(iter(after)) == "spa" and after["spa"]["chosen"] and after["spa"]["low"] > 0
    assert (after["eng"]["low"], after["eng"]["high"]) == (0, 0)

    home = data.parent / "runs" / "rows-probes"
    state = json.loads((home / "probes.json").read_text(encoding="utf-8"))
    assert 0 < state["spent"] <= 120 and {one["rows"] for one in state["done"].values()} == {30, 120}
    dev = {row["id"] for row in rows() if row["split"] == "dev" and row["lang"] == "swh_Latn"}
    kept = sorted((home / "answers").iterdir())
    assert len(kept) == 4  # one that was timed on few rows
    for path in kept:
        assert set(pl.read_parquet(path)["id"]) == dev  # never test
    assert not list(home.glob("*/model")) and not list(home.glob("*/checkpoints"))

    stamps = {path: path.stat().st_mtime_ns for path in kept}
    again = cli(*NGRAM, "--json")
    assert found(again) == after
    assert {path: path.stat().st_mtime_ns for path in kept} == stamps
    assert "going on with the plan of an earlier sitting" in again.err
    more = cli(*NGRAM[:-1], "3m", "--json")  # another budget is another plan; what is finished stays
    assert found(more) == after
    assert {path: path.stat().st_mtime_ns for path in kept} == stamps


def test_the_page_on_screen_tells_what_was_tried(data: Path, cli: Callable[..., Said]) -> None:
    done = cli(*NGRAM)
    assert done.code == 0
    text = " ".join(done.out.split())
    assert "trained on 120 rows it has" in text and "on 60 dev rows of the target, English" in text
    assert "after short trainings intervals are as narrow as 60 dev rows make them" in text
    assert "more labelled dev rows of swh_Latn than 60" in text


def test_changed_data_is_tried_anew(data: Path, cli: Callable[..., Said]) -> None:
    first = found(cli(*NGRAM, "--json"))
    write_jsonl(data, rows(30))
    done = cli(*NGRAM, "--json")
    assert "made anew" in done.err
    assert {row["probe"]["rows"] for row in found(done).values()} == {90}
    assert found(done) != first


def test_a_source_with_few_rows_is_left_out_and_named(data: Path, cli: Callable[..., Said]) -> None:
    write_jsonl(data, [row for row in rows() if row["lang"] != "tha_Thai" or row["id"].endswith("-0")])
    done = cli(*NGRAM, "--json")
    assert "fewer than 60 labelled train rows of tha_Thai" in done.err
    assert found(done)["tha"]["probe"] is None and found(done)["spa"]["probe"]


def test_a_recipe_says_what_is_trained_and_its_test_rows_are_not_read(
    data: Path, tmp_path: Path, cli: Callable[..., Said]
) -> None:
    (tmp_path / "r.toml").write_text(
        'name = "mine"\nmodel = {use = "ngram", n_max = 3}\n[data]\nraw = ["rows.jsonl"]\n'
        '[train]\nlangs = ["eng_Latn"]\n[evaluate]\nmetrics = ["accuracy"]\n'
        '[[gate]]\nat = "prepare"\nmean = {lost = "<= 0.0"}\n',
        encoding="utf-8",
    )
    ask = ("sources", "--targets", "swh", "--candidates", "eng,tha,spa", "--data", "r.toml", "--budget", "60", "--json")
    first = found(cli(*ask))
    made = stage.recipe_of("r.toml", "classify", None, None)
    assert (made.model.knobs["n_max"], made.model.knobs["scope"], made.headline) == (3, "pooled", "accuracy")
    assert not made.gate and made.train.langs is None
    other = [row | ({"label": "sky"} if row["split"] == "test" else {}) for row in rows()]
    write_jsonl(data, other)
    second = found(cli(*ask))
    assert {k: row["probe"] for k, row in second.items()} == {k: row["probe"] for k, row in first.items()}


# -- time -------------------------------------------------------------------------------------------------------


def slow(monkeypatch: pytest.MonkeyPatch, seconds: float, fail_at: int | None = None) -> list[str]:
    """Every training takes so many seconds of a clock that stands still otherwise; which ones there were."""
    clock, trained, real = [0.0], list[str](), stage._train

    def train(work: Any, variant: Any, say: Any) -> Any:
        trained.append(variant.name)
        if len(trained) == fail_at:
            raise KeyboardInterrupt
        out = real(work, variant, say)
        clock[0] += seconds
        return out

    class Clock:
        monotonic = staticmethod(lambda: clock[0])

    monkeypatch.setattr(stage, "_train", train)
    monkeypatch.setattr(stage, "time", Clock)
    monkeypatch.setattr(sources, "time", Clock)
    return trained


def answered(budget: str, say: Any = None) -> dict[str, Any]:
    made = sources.answer(
        "classify", ["swh"], ["eng", "tha", "spa"], data="rows.jsonl", family="ngram", budget=budget,
        say=say or tiny.saying()[0],
    )  # fmt: skip
    return {row["source"]: row for row in made.document()["swh"]}


def test_the_plan_fits_the_budget(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data.parent)
    trained = slow(monkeypatch, 10)
    rich = answered("60")
    assert len(trained) == 4 and sum(name.endswith("-120") for name in trained) == 3
    assert sum(row["probe"] is not None for row in rich.values()) == 3
    for path in (data.parent / "runs").rglob("probes.json"):
        path.unlink()
    trained.clear()
    poor = answered("45")
    assert len(trained) * 10 <= 45
    assert sum(row["probe"] is not None for row in poor.values()) == 2


def test_a_machine_that_slows_ends_the_plan_and_what_is_done_answers(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data.parent)
    trained = slow(monkeypatch, 40)
    monkeypatch.setattr(stage, "_timed", lambda *_: stage.Cost(1, 0.01))  # it looked quick
    say, heard = tiny.saying()
    rows_ = answered("50", say)
    assert len(trained) == 2
    assert any("what was trained until then answers" in line for line in heard)
    assert sum(row["probe"] is not None for row in rows_.values()) == 2
    monkeypatch.setattr(stage, "_timed", lambda *_: stage.Cost(30, 0.1))
    (data.parent / "runs" / "rows-probes" / "probes.json").unlink()
    with pytest.raises(BudgetEnded, match="raise --budget"):
        answered("50")


def test_an_interrupted_plan_goes_on_from_finished_probes(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data.parent)
    with monkeypatch.context() as patch:
        trained = slow(patch, 5, fail_at=4)
        with pytest.raises(KeyboardInterrupt):
            answered("100")
    assert len(trained) == 4
    trained = slow(monkeypatch, 5)
    whole = answered("100")
    assert len(trained) == 1  # the others were finished
    state = json.loads((data.parent / "runs" / "rows-probes" / "probes.json").read_text(encoding="utf-8"))
    assert state["spent"] == pytest.approx(20)
    assert all(row["probe"] for row in whole.values())
    assert not list((data.parent / "runs" / "rows-probes").glob("*-120"))


def test_a_damaged_answer_or_plan_is_made_again(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data.parent)
    first = answered("100")
    home = data.parent / "runs" / "rows-probes"
    (home / "answers" / "spa_Latn-120.parquet").write_bytes(b"no table")
    assert answered("100") == first
    (home / "probes.json").write_text("{", encoding="utf-8")
    assert answered("100") == first


def test_no_labels_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "rows.jsonl", [{k: v for k, v in row.items() if k != "label"} for row in rows(10)])
    with pytest.raises(DataError, match="no label"):
        answered("100")


# -- an encoder -------------------------------------------------------------------------------------------------


def test_rates_are_those_of_the_model_that_is_trained(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    head = 'name = "mine"\nmodel = "./big"\n[data]\nraw = ["rows.jsonl"]\n[train]\n'
    path.write_text(
        head + "lr = 3e-5\nsteps = 900\nbatch = 4\nstop = {patience = 2}\nkeep = {drop_at_most = 0.1}\n",
        encoding="utf-8",
    )
    same = stage.recipe_of(str(path), "classify", "./big", None)
    assert (same.train.lr, same.train.batch, same.train.steps, same.train.stop, same.train.keep) == (
        3e-5,
        4,
        None,
        None,
        None,
    )
    mini = stage.recipe_of(str(path), "classify", "isogloss/mini", None)
    assert (mini.train.lr, mini.train.batch, mini.model.knobs["name"]) == (5e-4, 4, "isogloss/mini")
    assert stage._variant(mini, "eng_Latn", 64, 10).train.shots.langs == ["eng_Latn"]  # type: ignore[union-attr]
    with pytest.raises(InputError, match="has none"):
        path.write_text(head.replace("[data]", 'task = "embed"\n[data]'), encoding="utf-8")
        stage.recipe_of(str(path), "classify", None, None)


@pytest.mark.slow
def test_an_encoder_is_tried_and_a_killed_command_goes_on(data: Path, cli: Callable[..., Said]) -> None:
    ask = (*ASK, "--model", str(tiny.folder("bert")), "--budget", "5m", "--json")
    answers = data.parent / "runs" / "rows-probes" / "answers"
    with subprocess.Popen(
        command(*ask), cwd=data.parent, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:  # fmt: skip
        ended = time.monotonic() + 120
        while not list(answers.glob("*.parquet")) and process.poll() is None and time.monotonic() < ended:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    kept = {path: path.stat().st_mtime_ns for path in answers.glob("*.parquet")}
    assert kept
    done = cli(*ask)
    after = found(done)
    assert "loading torch" in done.err and "going on with the plan" in done.err
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert all(row["probe"] and row["stage"].endswith("and probe") for row in after.values())
    assert "model" in after["spa"]["stage"]
