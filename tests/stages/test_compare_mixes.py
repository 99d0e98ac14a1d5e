"""compare-mixes: same rows, same steps, several seeds; what each mix does to every language, beside the first."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import tiny
from isogloss.core import files, recipe, report
from isogloss.core.errors import RecipeError
from isogloss.parts.metrics import accuracy
from isogloss.stages import compare_mixes as stage
from places import Place, Said


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("natural", "two mixes or more"),
        ("natural,natural", "twice"),
        ("natural,", "names with commas"),
        ("natural,unimx", "unimax"),
        ("natural,unimax:epoch=3", "epochs"),
        ("natural,unimax:epochs", "names with knobs"),
        ("natural,unimax:epochs=-1", "above 0.0"),
        ("natural,worst_first", "ngram"),
        ("natural,replay:old=nolang", "nolang"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_runs(
    place: Place, cli: Callable[..., Said], asked: str, said: str
) -> None:
    done = cli("compare-mixes", "recipe.toml", "--mixes", asked, "--set", "model.scope=pooled")
    assert done.code == 2
    assert said in done.err
    assert not place.runs.exists() or not list(place.runs.glob("*-mix*"))


def test_seeds_and_scope_are_checked(place: Place, cli: Callable[..., Said]) -> None:
    done = cli("compare-mixes", "recipe.toml", "--mixes", "natural,unimax", "--seeds", "0")
    assert done.code == 2 and "--seeds takes" in done.err
    own = cli("compare-mixes", "recipe.toml", "--mixes", "natural,unimax", "--set", "model.scope=lang")
    assert own.code == 2 and "no mix moves rows" in own.err


def test_every_mix_meets_the_same_rows_and_finished_runs_are_kept(place: Place, cli: Callable[..., Said]) -> None:
    ask = ("compare-mixes", "recipe.toml", "--mixes", "natural,temperature:tau=0.0", "--seeds", "2",
           "--set", "model.scope=pooled", "--json")  # fmt: skip
    done = cli(*ask)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["mixes"] == ["natural", "temperature:tau=0.0"]
    assert len(found["runs"]) == 4
    runs = [Path(each["run"]) for each in found["runs"]]
    tests = [files.read_parquet(run / "predictions" / "model.parquet").select("id", "split", "label") for run in runs]
    assert all(each.equals(tests[0]) for each in tests)
    for row in found["langs"]:
        assert set(row["by_mix"]) == set(found["mixes"])
        assert row["n"] > 0
        assert set(row["against_first"]) == set(found["mixes"][1:])
    assert set(found["sums"]) == set(found["mixes"][1:])
    text = (Path(found["folder"]) / "mixes.md").read_text(encoding="utf-8")
    assert "temperature:tau=0.0 against natural" in text
    before = {run: (run / "model" / "isogloss.json").stat().st_mtime_ns for run in runs}
    again = json.loads(cli(*ask).out)
    assert again["langs"] == found["langs"]
    assert before == {run: (run / "model" / "isogloss.json").stat().st_mtime_ns for run in runs}
    shown = cli(*ask[:-1])
    assert "worst tenth" in shown.out and "report:" in shown.out


@pytest.mark.slow
def test_a_mix_of_the_loop_has_equal_steps_and_other_seeds(tmp_path: Path) -> None:
    made = tiny.recipe(tmp_path, train={"steps": 6, "eval_every": 6}, evaluate={"resamples": 200})
    found = stage.compare_mixes(made, "natural,temperature:tau=0.0", seeds=2, runs=tmp_path / "runs")
    assert {each["steps"] for each in found["runs"]} == {6}
    seen = found["langs"][0]["rows_seen"]
    assert seen["natural"] and seen["temperature:tau=0.0"]
    weights = [
        tiny.weights(type("R", (), {"path": lambda self, *p, at=each["run"]: Path(at, *p)})()) for each in found["runs"]
    ]
    name = next(iter(weights[0]))
    assert len({w[name].tobytes() for w in weights}) >= 2
    with pytest.raises(RecipeError, match="worst_first"):
        stage.compare_mixes({**made.model_dump(mode="json"), "model": {"use": "ngram", "scope": "pooled"}, "train": {}},
                            "natural,worst_first", runs=tmp_path / "runs")  # fmt: skip


@pytest.mark.slow
def test_all_runs_have_the_steps_of_the_first_whatever_the_recipe_leaves_open(tmp_path: Path) -> None:
    """Epochs of tokens, a stop that would end some of them early, and seconds."""
    left_open: list[dict[str, Any]] = [
        {"train": {"epochs": 0.6, "batch_tokens": 200, "stop": {"on": "mean", "patience": 1}, "eval_every": 1}},
        {"train": {"lr": 1e-3}, "budget": {"seconds": 6}},
    ]
    for i, more in enumerate(left_open):
        value = tiny.recipe(tmp_path, evaluate={"resamples": 200}).model_dump(mode="json", exclude_unset=True)
        made = recipe.build({**value, "name": f"open-{i}", **more}, folder=tmp_path)
        found = stage.compare_mixes(made, "natural,curriculum", seeds=1, runs=tmp_path / "runs")
        n, m = (each["steps"] for each in found["runs"])
        assert n == m > 1
        assert not any("not equal" in line for line in stage.legend(found))
        told = " ".join(found["notes"])
        assert ("train.stop is left out" in told) if i == 0 else ("seconds of the budget" in told)
        again = stage.compare_mixes(made, "natural,curriculum", seeds=1, runs=tmp_path / "runs")
        assert again["runs"] == found["runs"]  # nothing is trained anew


def test_a_stop_by_language_may_end_runs_apart_and_this_is_said(tmp_path: Path) -> None:
    value = tiny.recipe(tmp_path).model_dump(mode="json", exclude_unset=True)

    def leveled(train: dict[str, Any]) -> tuple[Any, list[str]]:
        return stage._leveled(recipe.build({**value, "train": train}, folder=tmp_path))

    made, notes = leveled({"steps": 6, "stop": {"on": "lang"}})
    assert made.train.stop.on == "lang" and "have left" in notes[0]
    assert leveled({"steps": 6, "batch_tokens": 400})[1] == []
    assert leveled({"steps": 6, "stop": {"on": "worst"}})[0].train.stop is None
    runs = [{"mix": "a", "steps": 6}, {"mix": "b", "steps": 4}]
    said = " ".join(stage.legend({"seeds": 1, "confidence": 0.95, "first": "a", "mixes": ["a", "b"], "runs": runs}))
    assert "Steps are not equal: a 6; b 4." in said


def answers(rng: np.random.Generator, shares: dict[str, float], n: int) -> pl.DataFrame:
    rows = [
        {
            "id": f"{lang}-{i}",
            "lang": lang,
            "group": str(i),
            "label": "a",
            "pred": "a" if rng.random() < p else "b",
            "probs": None,
        }
        for lang, p in shares.items()
        for i in range(n)
    ]
    return pl.DataFrame(rows, schema_overrides={"probs": pl.List(pl.Float64)})


def test_summed_draws_cover_a_true_difference_and_none() -> None:
    """Two systems whose worst language differs by 0.2 and mean by 0.05; and two that are alike."""
    rng, base = np.random.default_rng(0), {"w": 0.5, "x": 0.8, "y": 0.8, "z": 0.8}
    better = {**base, "w": 0.7}
    left, right, same = ([answers(rng, some, 300) for _ in range(4)] for some in (better, base, base))
    found = report.summed_draws(left, right, accuracy, ["a", "b"], resamples=200)
    assert found["worst"]["low"] < 0.2 < found["worst"]["high"] and found["worst"]["low"] > 0
    assert found["mean"]["low"] < 0.05 < found["mean"]["high"]
    assert found["mean"]["n_langs"] == 4 and found["mean"]["n_draws"] == 4
    none = report.summed_draws(same, right, accuracy, ["a", "b"], resamples=200)
    assert none["mean"]["low"] < 0 < none["mean"]["high"]
    one = report.summed_draws(left[:1], right[:1], accuracy, ["a", "b"], resamples=200)
    assert one["mean"]["sd"] is None and np.isfinite(one["mean"]["high"])
    equal = report.summed_draws(left, left, accuracy, ["a", "b"], resamples=50)
    assert equal["mean"]["diff"] == 0 and equal["mean"]["low"] < 0 < equal["mean"]["high"]
    assert report.summed_draws(left, [each.clear() for each in left], accuracy, ["a", "b"], resamples=50) == {}
