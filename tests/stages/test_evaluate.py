"""evaluate: answers on disk, scores by language with n and interval, every system on the same rows."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from isogloss.core import files
from places import LANGS, Place, Said, corpus_rows, write_jsonl

SYSTEMS = ("model", "majority", "floor_lang", "floor_pooled", "source")


@pytest.fixture
def ran(place: Place, cli: Callable[..., Said]) -> Place:
    place = place.with_(
        evaluate={"baselines": list(SYSTEMS[1:]), "slices": ["script", "dialect"]}, data={"keep": ["dialect"]}
    )
    write_jsonl(
        place.folder / "raw.jsonl",
        [{**row, "dialect": "ab"[i % 2]} for i, row in enumerate(corpus_rows(parallel=True))],
    )
    assert cli("run", "recipe.toml").code in (0, 1)
    return place


def table(place: Place, name: str) -> pl.DataFrame:
    return files.read_parquet(place.run / f"{name}.parquet")


def test_scores_have_a_language_an_n_an_interval_and_a_signature(ran: Place) -> None:
    scores = table(ran, "scores")
    assert scores.columns == ["system", "metric", "by", "key", "value", "low", "high", "n", "signature"]
    assert set(scores["system"]) == set(SYSTEMS)
    assert set(scores["by"]) >= {"lang", "script", "dialect", "all"}
    by_lang = scores.filter(pl.col("by") == "lang")
    assert set(by_lang["key"]) == set(LANGS)
    assert by_lang.filter(pl.col("metric") == "accuracy").null_count().sum_horizontal().item() == 0
    known = by_lang.drop_nulls(["low", "high"])
    assert (known["low"] <= known["value"] + 1e-9).all() and (known["value"] <= known["high"] + 1e-9).all()
    assert (scores["signature"].str.len_chars() > 0).all()


def test_every_system_answers_the_same_rows_and_only_the_split_of_its_score_counts(ran: Place) -> None:
    frames = [files.read_parquet(ran.run / "predictions" / f"{name}.parquet") for name in SYSTEMS]
    for frame in frames:
        assert frame.select("id", "split", "label").equals(frames[0].select("id", "split", "label"))
        assert (frame["probs"].list.sum() - 1).abs().max() < 1e-6
    n = frames[0].filter(pl.col("split") == "test").group_by("lang").len("n")
    scores = table(ran, "scores").filter(
        pl.col("by") == "lang", pl.col("metric") == "accuracy", pl.col("system") == "model"
    )
    assert dict(scores.select("key", "n").rows()) == dict(n.rows())


def test_a_value_is_what_the_answers_on_disk_say(ran: Place) -> None:
    answers = files.read_parquet(ran.run / "predictions" / "floor_pooled.parquet").filter(pl.col("split") == "test")
    right = answers.group_by("lang").agg((pl.col("pred") == pl.col("label")).mean().alias("value"))
    scores = table(ran, "scores").filter(
        pl.col("system") == "floor_pooled", pl.col("by") == "lang", pl.col("metric") == "accuracy"
    )
    assert dict(scores.select("key", "value").rows()) == pytest.approx(dict(right.rows()))


def test_a_finished_system_is_not_asked_again_and_a_damaged_answer_is_named(
    ran: Place, cli: Callable[..., Said]
) -> None:
    assert "fresh" in cli("evaluate", "recipe.toml").err
    path = ran.run / "predictions" / "majority.parquet"
    times = {p.name: p.stat().st_mtime_ns for p in path.parent.iterdir()}
    assert cli("evaluate", "recipe.toml", "--set", "evaluate.resamples=300").code == 0
    assert times == {p.name: p.stat().st_mtime_ns for p in path.parent.iterdir()}
    path.write_bytes(path.read_bytes()[:-9])
    said = cli("evaluate", "recipe.toml", "--set", "evaluate.resamples=300")
    assert said.code == 2 and "majority.parquet" in said.err and "--again" in said.err
    assert cli("evaluate", "recipe.toml", "--again").code == 0
    assert "fresh" in cli("evaluate", "recipe.toml").err


def test_without_test_rows(place: Place, cli: Callable[..., Said]) -> None:
    place.with_(data={"split": {"dev": 0.2, "test": 0.0}})
    said = cli("run", "recipe.toml")
    assert said.code == 2 and "no test rows" in said.err


def test_without_dev_rows_and_with_one_language(place: Place, cli: Callable[..., Said]) -> None:
    place.with_(langs=["en"], data={"split": {"dev": 0.0, "test": 0.3}}, evaluate={"baselines": list(SYSTEMS[1:])})
    said = cli("run", "recipe.toml", "--json")
    assert said.code in (0, 1) and "source" not in said.json["systems"]


def test_zero_shot_languages_and_labels_that_only_test_has(place: Place, cli: Callable[..., Said]) -> None:
    rows = [{**row, "split": ("train", "dev", "test")[i % 3]} for i, row in enumerate(corpus_rows())]
    rows.append({**rows[2], "id": "odd", "label": "never seen", "split": "test"})
    write_jsonl(place.folder / "raw.jsonl", rows)
    place.with_(train={"langs": ["en", "es"]})
    said = cli("run", "recipe.toml", "--json")
    assert said.code in (0, 1)
    assert {row["lang"] for row in said.json["langs"]} == set(LANGS)


def test_one_label_cannot_be_learned(place: Place, cli: Callable[..., Said]) -> None:
    write_jsonl(place.folder / "raw.jsonl", [{**row, "label": "x"} for row in corpus_rows()])
    said = cli("run", "recipe.toml")
    assert said.code == 2 and "one label only" in said.err
