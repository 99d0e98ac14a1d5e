"""few-shot: exact draws in training, runs that are prepared once and skipped when fresh, and a table by language."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from isogloss.core import files, recipe
from isogloss.core.corpus import Corpus
from isogloss.core.errors import InputError, IsoglossError, RecipeError
from isogloss.core.run import Run
from isogloss.stages import few_shot, many, train
from isogloss.stages.training import setup
from isogloss.stages.training.supervise import Supervisor
from places import Place, Said, command

SOURCES, TARGETS = ["eng_Latn", "spa_Latn"], ["hin_Deva", "swh_Latn"]


@pytest.fixture
def poor(place: Place) -> Place:
    """The small place, trained on two of its four languages."""
    return place.with_(train={"langs": SOURCES}, gate=[])


# -- what is asked ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shots", "draws", "said"),
    [
        ("10,many", 3, "'many'"), ("", 3, "''"), ("-1", 3, "'-1'"), ("1.5", 3, "'1.5'"), ("0,,5", 3, "''"),
        ("²", 3, "'²'"), ("10", 0, "--draws"), ("10", 101, "--draws"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked(poor: Place, cli: Callable[..., Said], shots: str, draws: int, said: str) -> None:
    done = cli("few-shot", "recipe.toml", "--shots", shots, "--draws", draws)
    assert done.code == 2
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not poor.runs.exists()


def test_points_are_in_order_and_once() -> None:
    asked = few_shot.points(" all, 50,10 ,0,10", 2)
    assert [p.suffix for p in asked] == [
        "shots-0", "shots-10-draw-0", "shots-10-draw-1", "shots-50-draw-0", "shots-50-draw-1", "shots-all",
    ]  # fmt: skip
    assert few_shot.announced(asked, 2).startswith("6 runs: zero-shot; all target rows; 10 and 50 rows in 2 draws each")


def test_a_recipe_without_sources_or_targets(place: Place, cli: Callable[..., Said]) -> None:
    assert "needs train.langs" in cli("few-shot", "recipe.toml").err
    place.with_(train={"langs": [*SOURCES, *TARGETS]})
    done = cli("few-shot", "recipe.toml")
    assert done.code == 2 and "no target language" in done.err
    place.with_(langs="all", train={"langs": [*SOURCES, *TARGETS]})
    done = cli("few-shot", "recipe.toml")
    assert done.code == 2 and "no target language" in done.err


def test_names_that_would_be_too_long(poor: Place, cli: Callable[..., Said]) -> None:
    poor.with_(name="n" * 70)
    done = cli("few-shot", "recipe.toml")
    assert done.code == 2 and "shorten name" in done.err


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["train.shots.rows=0"], "train.shots.rows"),
        (["train.shots={rows=3, draw=-1}"], "train.shots.draw"),
        (["train.shots={row=3}"], "train.shots.row"),
        (["train.shots={draw=1}"], "train.shots.rows"),
        (["train.shots={rows=3}", "train.langs=['eng_Latn','spa_Latn','hin_Deva','swh_Latn']"], "every language"),
    ],
)
def test_shots_that_cannot_be(poor: Place, sets: list[str], said: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(said)):
        recipe.read(poor.recipe, sets)


def test_shots_need_sources(place: Place) -> None:
    with pytest.raises(RecipeError, match=r"--set train.shots: .*give train\.langs"):
        recipe.read(place.recipe, ["train.shots.rows=3"])


def test_a_recipe_without_shots_is_stored_as_before(poor: Place) -> None:
    assert "shots" not in recipe.read(poor.recipe).sections("train")["train"]
    made = recipe.read(poor.recipe, ["train.shots.rows=3"])
    assert made.sections("train")["train"]["shots"] == {"rows": 3, "draw": 0}
    assert "[train.shots]" in made.to_toml()


# -- training ---------------------------------------------------------------------------------------------------


def test_training_gets_the_drawn_rows_and_says_so(poor: Place, cli: Callable[..., Said]) -> None:
    done = cli("run", "recipe.toml", "--set", "train.shots.rows=4", "--json")
    assert done.code == 0, done.err
    assert "8 rows of 2 more languages: draw 0 of 4" in done.err
    run = Run(poor.run)
    made = recipe.read(poor.run / "recipe.toml")
    made._folder = poor.folder
    rows, every = train.train_rows(made, run), Corpus(run.path("corpus")).frame(splits=["train"])
    assert set(rows["split"]) == {"train"}
    counts = dict(rows.group_by("lang").len().rows())
    full = dict(every.group_by("lang").len().rows())
    assert counts == {**{tag: full[tag] for tag in SOURCES}, **dict.fromkeys(TARGETS, 4)}
    drawn = {tag: set(rows.filter(pl.col("lang") == tag)["group"]) for tag in TARGETS}
    assert drawn["hin_Deva"] == drawn["swh_Latn"]
    assert set(rows.filter(pl.col("lang") == "swh_Latn")["label"]) == {"bill", "drug", "visit"}
    assert set(train.train_rows(made, run, "dev")["lang"]) == set(SOURCES)
    card = files.read_json(run.path("model", "isogloss.json"))
    assert card["trained_on"] == sorted([*SOURCES, *TARGETS])
    assert card["n_train"] == rows.height
    assert card["shots"] == {"draw": 0, "asked": 4, "rows": dict.fromkeys(TARGETS, 4)}
    report = run.path("REPORT.md").read_text(encoding="utf-8")
    assert "| swh_Latn | 4 rows |" in report and "Few-shot: draw 0 of 4" in report
    sample = files.read_parquet(run.path("predictions", "model.parquet")).filter(pl.col("split") == "train")
    assert set(sample.filter(pl.col("lang").is_in(TARGETS))["id"]) == set(
        rows.filter(pl.col("lang").is_in(TARGETS))["id"]
    )


def test_fewer_rows_than_asked_are_said_by_name(poor: Place, cli: Callable[..., Said]) -> None:
    done = cli("train", "recipe.toml", "--set", "train.shots.rows=500")
    assert done.code == 0
    assert re.search(r"asks for 500 rows, and there are fewer in hin_Deva \d+, swh_Latn \d+", done.err)


def test_another_draw_does_not_go_on_from_the_first(poor: Place, cli: Callable[..., Said]) -> None:
    assert cli("train", "recipe.toml", "--set", "train.shots.rows=4").code == 0
    done = cli("train", "recipe.toml", "--set", "train.shots={rows=4, draw=1}")
    assert done.code == 2 and "train.shots.draw: 0 → 1" in done.err


def test_the_loop_chooses_on_dev_rows_of_the_sources_alone(tmp_path: Path) -> None:
    made = tiny.recipe(tmp_path, train={"langs": ["eng_Latn", "swh_Latn"], "shots": {"rows": 3, "draw": 1}})
    run, heard = tiny.train(made, tmp_path)
    assert any("3 rows of 1 more languages" in line for line in heard)
    for event in tiny.events(run, "evaluation"):
        assert set(event["by_lang"]) == {"eng_Latn", "swh_Latn"}
    seen = tiny.events(run, "evaluation")[-1]["seen"]["rows"]
    assert seen["tha_Thai"] > 0
    assert not any("tha_Thai" in line for line in heard if line.startswith("step "))
    assert run.require("train")["facts"]["shots"]["rows"] == {"tha_Thai": 3}


def test_the_loop_refuses_more_rows_than_were_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny.recipe(tmp_path, train={"langs": ["eng_Latn", "swh_Latn"], "shots": {"rows": 3}})
    whole = train.train_rows

    def leaky(recipe: Any, run: Any, split: str = "train") -> pl.DataFrame:
        return Corpus(run.path("corpus")).frame(splits=[split])

    monkeypatch.setattr(train, "train_rows", leaky)
    with pytest.raises(IsoglossError, match="rows of tha_Thai reached training"):
        tiny.train(made, tmp_path)
    monkeypatch.setattr(train, "train_rows", whole)
    monkeypatch.setattr(setup, "train_rows", leaky)  # dev rows of a target
    with pytest.raises(IsoglossError, match="dev rows of tha_Thai"):
        tiny.train(made, tmp_path)


def test_the_supervisor_refuses_dev_rows_of_targets() -> None:
    dev = pl.DataFrame({"id": ["1"], "lang": ["tha_Thai"], "group": ["g"], "label": ["a"]})
    with pytest.raises(IsoglossError, match="tha_Thai"):
        Supervisor(dev, ["eng_Latn"], ["a", "b"], "accuracy", None, lambda *a: dev, None, None, 0)


def _job(n_trained: int, lr: float, start: str = "./big", *, shots: bool = True) -> Any:
    weight = SimpleNamespace(numel=lambda: n_trained, requires_grad=True)
    frozen = SimpleNamespace(numel=lambda: 10**9, requires_grad=False)
    model = SimpleNamespace(parameters=lambda: [weight, frozen], facts={"start": start})
    spec = SimpleNamespace(shots=object() if shots else None, lr=lr, batch=10, keep=None)
    return SimpleNamespace(spec=spec, trainee=SimpleNamespace(model=model), encoded=[{}] * 100)


def test_the_classic_warning_is_for_large_pretrained_models() -> None:
    short, long = SimpleNamespace(steps=50), SimpleNamespace(steps=110)
    large = 86_000_000
    assert list(setup.cautions(_job(large, 2e-5), short)) == []
    assert "lr = 0.0001" in " ".join(setup.cautions(_job(large, 1e-4), short))
    assert "11 epochs" in " ".join(setup.cautions(_job(large, 2e-5), long))
    assert list(setup.cautions(_job(9_000_000, 1e-3), long)) == []
    assert list(setup.cautions(_job(large, 1e-3, "scratch"), long)) == []
    assert list(setup.cautions(_job(large, 1e-3, shots=False), long)) == []


# -- the command ------------------------------------------------------------------------------------------------


def test_a_curve_is_prepared_once_resumed_and_told(poor: Place, cli: Callable[..., Said]) -> None:
    ask = ("few-shot", "recipe.toml", "--shots", "0,3,all", "--draws", "2")
    done = cli(*ask, "--json")
    assert done.code == 0, done.err
    assert "4 runs: zero-shot; all target rows; 3 rows in 2 draws each" in done.err
    assert done.err.index("4 runs") < done.err.index("prepare ")
    names = {p.name for p in poor.runs.iterdir()}
    assert names == {f"small-{x}" for x in ("few-shot", "shots-0", "shots-3-draw-0", "shots-3-draw-1", "shots-all")}
    assert done.err.count(" rows in 4 languages: ") == 1  # prepared once
    shared = [files.digest(p) for p in sorted((poor.runs / "small-few-shot" / "corpus").iterdir())]
    for name in names - {"small-few-shot"}:
        assert [files.digest(p) for p in sorted((poor.runs / name / "corpus").iterdir())] == shared
    found = done.json
    assert found["shots"] == ["0", "3", "all"]
    assert {row["lang"] for row in found["langs"]} == set(TARGETS)
    values = [row["points"]["0"]["value"] for row in found["langs"]]
    assert values == sorted(values)
    for row in found["langs"]:
        assert row["n"] > 0
        assert row["points"]["0"]["n_drawn"] == 0 and row["points"]["3"]["n_drawn"] == 3
        assert row["points"]["all"]["n_drawn"] is None
        for key, cell in row["points"].items():
            assert len(cell["by_draw"]) == (2 if key == "3" else 1)
            assert cell["value"] == pytest.approx(np.mean(cell["by_draw"]))
            assert 0 <= cell["low"] <= cell["value"] <= cell["high"] <= 1
            assert cell["share"] == pytest.approx(cell["value"] / found["source"]["value"])
            assert cell["reached"] in ("yes", "no", "cannot tell")
            stored = pl.read_parquet(poor.runs / f"small-shots-{'3-draw-0' if key == '3' else key}" / "scores.parquet")
            of = (pl.col("by") == "lang") & (pl.col("key") == row["lang"]) & (pl.col("metric") == found["metric"])
            assert stored.filter(of, pl.col("system") == "model")["value"].item() == pytest.approx(cell["by_draw"][0])
    home = poor.runs / "small-few-shot"
    assert json.loads((home / "few-shot.json").read_text(encoding="utf-8"))["langs"] == found["langs"]
    text = (home / "few-shot.md").read_text(encoding="utf-8")
    assert all(tag in text for tag in TARGETS) and "Signature" in text
    page = (home / "few-shot.html").read_text(encoding="utf-8")
    for row in found["langs"]:
        frame = page.partition(f'aria-label="{row["name"]}: ')[2].partition("</svg>")[0]
        assert frame.startswith(", ".join(f"{cell['value']:.2f} at {key}" for key, cell in row["points"].items()))
        assert f"{row['points']['3']['value']:.3f}" in page

    stamps = {p: p.read_bytes() for p in poor.runs.rglob("stamps/*.json")}
    again = cli(*ask)
    assert again.code == 0
    assert {p: p.read_bytes() for p in poor.runs.rglob("stamps/*.json")} == stamps
    assert "mean over targets" in again.out and "zero-shot" in again.out
    assert again.out.index("zero-shot") < again.out.index("3 rows")
    more = cli("few-shot", "recipe.toml", "--shots", "0,3,6", "--draws", "2")
    assert more.code == 0 and (poor.runs / "small-shots-6-draw-1" / "REPORT.md").is_file()
    assert {p: p.read_bytes() for p in stamps} == stamps


def test_a_changed_recipe_is_refused_and_again_replaces_it(poor: Place, cli: Callable[..., Said]) -> None:
    ask = ("few-shot", "recipe.toml", "--shots", "0,2", "--draws", "1")
    assert cli(*ask).code == 0
    before = (poor.runs / "small-shots-0" / "stamps" / "train.json").read_bytes()
    poor.with_(model={"n_max": 2})
    done = cli(*ask)
    assert done.code == 2
    assert "model.n_max: 3 → 2" in done.err and "isogloss few-shot RECIPE --again" in done.err
    assert (poor.runs / "small-shots-0" / "stamps" / "train.json").read_bytes() == before
    assert cli(*ask, "--again").code == 0
    assert (poor.runs / "small-shots-0" / "stamps" / "train.json").read_bytes() != before
    assert cli(*ask).code == 0


def test_a_gate_and_shots_in_the_recipe_do_not_disturb(poor: Place, cli: Callable[..., Said]) -> None:
    gate = {"at": "promote", "every_lang": {"accuracy": ">= 0.99"}, "beats": {"majority": "accuracy"}}
    poor.with_(gate=[gate], train={"shots": {"rows": 9}})
    done = cli("few-shot", "recipe.toml", "--shots", "2", "--draws", "1", "--json")
    assert done.code == 0
    assert "set aside" in done.err
    assert done.json["langs"][0]["points"]["2"]["n_drawn"] == 2
    assert done.json["langs"][0]["floor_lang"]["value"] is not None


def test_an_interrupted_curve_goes_on(poor: Place, cli: Callable[..., Said]) -> None:
    ask = ("few-shot", "recipe.toml", "--shots", "0,2,4", "--draws", "2")
    first = poor.runs / "small-shots-0" / "verdict.json"
    with subprocess.Popen(
        command(*ask), cwd=poor.folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:  # fmt: skip
        ended = time.monotonic() + 90
        while not first.is_file() and process.poll() is None and time.monotonic() < ended:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "finished work is kept" in err
    kept = {p: p.read_bytes() for p in poor.runs.rglob("stamps/train.json")}
    assert kept
    done = cli(*ask)
    assert done.code == 0
    assert {p: p.read_bytes() for p in kept} == kept
    assert (poor.runs / "small-few-shot" / "few-shot.md").is_file()


def test_every_file_of_the_curve_is_on_the_files_page(poor: Place, cli: Callable[..., Said]) -> None:
    assert cli("few-shot", "recipe.toml", "--shots", "0", "--draws", "1").code == 0
    page = (Path(__file__).parents[2] / "docs" / "files.md").read_text(encoding="utf-8")
    for name in ("few-shot.json", "few-shot.md"):
        assert f"`runs/NAME-few-shot/{name}`" in page
        assert (poor.runs / "small-few-shot" / name).is_file()


# -- numbers ----------------------------------------------------------------------------------------------------

cells = st.tuples(st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 0.5)).map(
    lambda c: {"value": c[0], "low": max(0.0, c[0] - c[1]), "high": min(1.0, c[0] + c[2])}
)


@settings(max_examples=100, deadline=None)
@given(scores=st.lists(cells, min_size=1, max_size=6))
def test_the_interval_holds_the_mean_and_is_no_narrower_than_that_of_the_rows(scores: list[dict[str, float]]) -> None:
    found = many.over_draws(scores, 0.95, (0.0, 1.0))
    assert found is not None
    assert found["value"] == pytest.approx(np.mean([s["value"] for s in scores]))
    below = np.mean([s["value"] - s["low"] for s in scores])
    assert 0 <= found["low"] <= max(0.0, found["value"] - below) + 1e-9
    assert found["value"] - 1e-9 <= found["high"] <= 1
    if len(scores) == 1:
        assert (found["low"], found["high"]) == (pytest.approx(scores[0]["low"]), pytest.approx(scores[0]["high"]))


def test_the_interval_covers_what_draws_and_rows_move() -> None:
    """Draws and rows move a score; the mean of three draws misses the truth in at most 1 of 20, but for luck."""
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(2000):
        row = rng.normal(0, 0.03)  # the same test rows for all draws
        scores = [{"value": v, "low": v - 0.06, "high": v + 0.06} for v in 0.5 + row + rng.normal(0, 0.05, 3)]
        found = many.over_draws(scores, 0.95, (0.0, 1.0))
        missed += not found["low"] <= 0.5 <= found["high"]
    assert missed / 2000 < 0.06


def test_no_scores_and_no_intervals() -> None:
    assert many.over_draws([None], 0.95, (0, 1)) is None
    cell = many.over_draws([{"value": 0.5, "low": None, "high": None}], 0.95, (0, 1))
    assert cell is not None and cell["low"] is None
    assert few_shot.reached(cell, cell) is None


def test_who_reaches_the_source() -> None:
    source = {"value": 0.8, "low": 0.78, "high": 0.82}

    def cell(value: float, half: float) -> dict[str, Any]:
        return {"value": value, "low": value - half, "high": value + half, "share": value / 0.8}

    told = [few_shot.reached(cell(*c), source) for c in ((0.85, 0.02), (0.5, 0.05), (0.77, 0.1))]
    assert told == ["yes", "no", "cannot tell"]
    curve = {key: {**c, "reached": few_shot.reached(c, source)} for key, c in
             {"0": cell(0.5, 0.05), "10": cell(0.77, 0.1), "all": cell(0.85, 0.02)}.items()}  # fmt: skip
    assert few_shot.arrives(curve) == "at 10 rows, cannot tell"
    assert few_shot.arrives({"0": curve["0"]}) == "not reached"
    assert few_shot.arrives({"all": curve["all"]}) == "at all rows"


def test_points_ask_for_nothing_twice() -> None:
    with pytest.raises(InputError):
        few_shot.points("5", 0)
    assert len(few_shot.points("5,5,5", 1)) == 1
