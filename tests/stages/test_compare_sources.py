"""compare-sources: from every source the same target rows, runs that are finished once, and who wins by how much."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isogloss.core import recipe
from isogloss.core.corpus import Corpus
from isogloss.core.errors import RecipeError
from isogloss.core.run import Run
from isogloss.stages import compare_sources as stage
from isogloss.stages import many, train
from places import Place, Said, command, corpus_rows, write_jsonl

ROOT = Path(__file__).parents[2]
ASK = ("compare-sources", "recipe.toml", "--sources", "eng,spa", "--shots", "6", "--draws", "2")


@pytest.fixture
def pooled(place: Place) -> Place:
    """The small place with one model for all languages."""
    return place.with_(model={"scope": "pooled"}, gate=[])


# -- what is asked ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--sources", "eng"), "two source languages or more"),
        (("--sources", ""), "--sources is empty"),
        (("--sources", "eng,en"), "twice"),
        (("--sources", "eng,xx-none"), "no language"),
        (("--sources", "eng,deu"), "deu_Latn is not among the recipe's langs"),
        (("--sources", "eng,spa,swh,hin"), "every language of the corpus is a source"),
        (("--sources", "eng,spa", "--targets", "spa"), "as a source and as a target"),
        (("--sources", "eng,spa", "--targets", "deu"), "deu_Latn is not among"),
        (("--sources", "eng,spa", "--shots", "0"), "--shots takes"),
        (("--sources", "eng,spa", "--draws", "0"), "--draws takes"),
    ],
)
def test_what_cannot_be_asked(pooled: Place, cli: Callable[..., Said], arguments: tuple[str, ...], said: str) -> None:
    done = cli("compare-sources", "recipe.toml", *arguments)
    assert done.code == 2
    assert said in done.err
    assert not list(pooled.runs.glob("small-from-*"))


def test_a_model_a_language_cannot_be_helped_by_another_one(place: Place, cli: Callable[..., Said]) -> None:
    done = cli(*ASK)
    assert done.code == 2 and "scope = 'pooled'" in done.err


def test_a_source_without_train_rows_is_named(pooled: Place, cli: Callable[..., Said]) -> None:
    rows = [row | {"split": "test" if row["lang"] == "spa_Latn" else ""} for row in corpus_rows()]
    write_jsonl(pooled.folder / "raw.jsonl", [{k: v for k, v in row.items() if v} for row in rows])
    done = cli(*ASK)
    assert done.code == 2 and "spa_Latn has no train rows" in done.err


def test_targets_without_test_rows_are_said_before_anything_is_trained(pooled: Place, cli: Callable[..., Said]) -> None:
    rows = corpus_rows()
    for row in rows:
        row["split"] = "train" if row["lang"] in ("hin_Deva", "swh_Latn") else "test"
        row["split"] = "train" if row["lang"] in ("eng_Latn", "spa_Latn") else row["split"]
    write_jsonl(pooled.folder / "raw.jsonl", rows)
    done = cli(*ASK)
    assert done.code == 2 and "none of the target languages has test rows" in done.err
    assert {p.name for p in pooled.runs.iterdir()} == {"small-sources"}
    for row in rows[::2]:
        row["split"] = "test" if row["lang"] == "hin_Deva" else row["split"]
    write_jsonl(pooled.folder / "raw.jsonl", rows)
    done = cli(*ASK[:-1], "1", "--json", "--again")
    assert done.code == 0, done.err
    assert "swh_Latn has no test rows" in done.err
    found = {row["lang"]: row for row in done.json["langs"]}
    assert found["hin_Deva"]["n"] > 0 and found["swh_Latn"]["n"] == 0
    assert found["swh_Latn"]["zero"]["by_source"] == {}


def test_points_are_every_source_once_and_draw_by_draw() -> None:
    asked = stage.points(["eng_Latn", "spa_Latn"], 5, 2)
    assert len(asked) == 2 + 3 * 2
    assert [point.suffix for point in asked[:3]] == ["from-eng_Latn", "from-spa_Latn", "from-eng_Latn-shots-5-draw-0"]
    assert stage.announced(["eng_Latn", "spa_Latn"], 5, 2).startswith(
        "8 runs: zero-shot from eng_Latn, spa_Latn; 5 rows"
    )


# -- train.shots.langs and an empty train.langs -------------------------------------------------------------------


def test_shots_of_named_languages_and_of_no_source(pooled: Place) -> None:
    from isogloss.core.engine import Local
    from isogloss.core.say import Say
    from isogloss.stages.prepare import prepare

    made = recipe.read(pooled.recipe, ["train.langs=[]", "train.shots={rows=6, langs=['hin']}"])
    run = Run(pooled.run)
    with run.locked():
        prepare(made, run, Local(), Say())
    rows = train.train_rows(made, run)
    assert rows["lang"].to_list() == ["hin_Deva"] * 6
    assert train.drawn_rows(made, run, rows) == {"hin_Deva": 6}
    assert train.train_rows(made, run, "dev").is_empty()
    both = recipe.read(pooled.recipe, ["train.langs=['eng']", "train.shots={rows=6, langs=['hin']}"])
    counts = dict(train.train_rows(both, run)["lang"].value_counts().iter_rows())
    n_english = Corpus(run.path("corpus")).frame(splits=["train"]).filter(pl.col("lang") == "eng_Latn").height
    assert counts == {"eng_Latn": n_english, "hin_Deva": 6}


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["train.langs=[]"], "nothing to learn from"),
        (["train.langs=['eng']", "train.shots={rows=3, langs=['eng']}"], "eng_Latn is in train.langs"),
        (["train.langs=['eng']", "train.shots={rows=3, langs=['deu']}"], "deu_Latn is not among"),
        (["train.langs=['eng']", "train.shots={rows=3, langs=[]}"], "train.shots.langs"),
    ],
)
def test_shots_that_cannot_be(pooled: Place, sets: list[str], said: str) -> None:
    with pytest.raises(RecipeError, match=said.replace(".", r"\.")):
        recipe.read(pooled.recipe, sets)


# -- the command ------------------------------------------------------------------------------------------------


def test_every_source_gets_the_same_target_rows_and_is_told_beside_none(
    pooled: Place, cli: Callable[..., Said]
) -> None:
    done = cli(*ASK, "--json")
    assert done.code == 0, done.err
    assert done.err.index("8 runs") < done.err.index("prepare ")
    assert done.err.count(" rows in 4 languages: ") == 1  # prepared once
    names = {p.name for p in pooled.runs.iterdir()}
    both = {f"small-from-{s}-shots-6-draw-{d}" for s in ("eng_Latn", "spa_Latn", "none") for d in (0, 1)}
    assert names == {"small-sources", "small-from-eng_Latn", "small-from-spa_Latn", *both}
    drawn = {}
    for name in both:
        run = Run(pooled.runs / name)
        made = recipe.read(run.path("recipe.toml"))
        rows = train.train_rows(made, run)
        own = made.train.langs or []
        assert set(rows["lang"]) == {*own, "hin_Deva", "swh_Latn"}  # the other source is not among the targets
        shot = rows.filter(~pl.col("lang").is_in(own))
        assert shot.height == 12
        drawn.setdefault(name[-1], set()).add(tuple(sorted(shot["id"])))
    assert all(len(sets) == 1 for sets in drawn.values())
    assert drawn["0"] != drawn["1"]

    found = done.json
    assert found["sources"].keys() == {"eng_Latn", "spa_Latn"}
    assert {row["lang"] for row in found["langs"]} == {"hin_Deva", "swh_Latn"}
    assert len(found["comparisons"]) == 2 * (1 + 3)  # two targets; one pair zero-shot, three with shots
    best = []
    for row in found["langs"]:
        assert row["n"] > 0 and row["n_drawn"] == 6
        assert set(row["zero"]["by_source"]) == {"eng_Latn", "spa_Latn"}
        assert set(row["shots"]["by_source"]) == {"eng_Latn", "spa_Latn", "none"}
        for level in ("zero", "shots"):
            cells, winner = row[level]["by_source"], row[level]["winner"]
            assert winner != "none"
            values = {s: cell["value"] for s, cell in cells.items() if s != "none"}
            assert values[winner] == max(values.values())
            lead = row[level]["lead"]
            assert lead["diff"] == pytest.approx(values[winner] - values[row[level]["second"]])
            assert lead["low_corrected"] <= lead["diff"] <= lead["high_corrected"]
            assert (row[level]["verdict"] == "wins") == (lead["low_corrected"] > 0)
            assert len(cells[winner]["by_draw"]) == (1 if level == "zero" else 2)
        best.append(row["zero"]["by_source"][row["zero"]["winner"]]["value"])
    assert best == sorted(best)
    home = pooled.runs / "small-sources"
    assert json.loads((home / "sources.json").read_text(encoding="utf-8"))["langs"] == found["langs"]
    text = (home / "sources.md").read_text(encoding="utf-8")
    assert "hin_Deva" in text and "Holm" in text and found["signature"] in text

    stamps = {p: p.read_bytes() for p in pooled.runs.rglob("stamps/*.json")}
    again = cli(*ASK)
    assert again.code == 0 and "zero-shot" in again.out and "with 6 rows of the target" in again.out
    assert {p: p.read_bytes() for p in pooled.runs.rglob("stamps/*.json")} == stamps


def test_targets_are_those_that_are_named_and_every_file_is_on_the_files_page(
    pooled: Place, cli: Callable[..., Said]
) -> None:
    done = cli(*ASK[:-1], "1", "--targets", "hin", "--json")
    assert done.code == 0, done.err
    assert [row["lang"] for row in done.json["langs"]] == ["hin_Deva"]
    assert " rows in 3 languages: " in done.err
    page = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
    for name in ("sources.json", "sources.md"):
        assert f"`runs/NAME-sources/{name}`" in page
        assert (pooled.runs / "small-sources" / name).is_file()


@pytest.mark.slow
def test_a_changed_recipe_is_refused_and_again_replaces_it(pooled: Place, cli: Callable[..., Said]) -> None:
    ask = (*ASK[:-1], "1")
    assert cli(*ask).code == 0
    stamp = pooled.runs / "small-from-eng_Latn" / "stamps" / "train.json"
    before = stamp.read_bytes()
    pooled.with_(model={"n_max": 2})
    done = cli(*ask)
    assert done.code == 2
    assert "model.n_max: 3 → 2" in done.err and "isogloss compare-sources RECIPE --again" in done.err
    assert stamp.read_bytes() == before
    assert cli(*ask, "--again").code == 0
    assert stamp.read_bytes() != before


def test_sources_with_unequal_rows_and_other_labels_are_told(pooled: Place, cli: Callable[..., Said]) -> None:
    rows = [row for row in corpus_rows() if row["lang"] != "spa_Latn" or row["label"] != "visit"]
    write_jsonl(pooled.folder / "raw.jsonl", rows)
    done = cli(*ASK[:-1], "1", "--json")
    assert done.code == 0, done.err
    assert "unequal train rows" in done.err
    assert "labels:3" in done.json["signature"]


@pytest.mark.slow
def test_an_interrupted_comparison_goes_on(pooled: Place, cli: Callable[..., Said]) -> None:
    first = pooled.runs / "small-from-eng_Latn" / "verdict.json"
    with subprocess.Popen(
        command(*ASK[:-1], "1"), cwd=pooled.folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:  # fmt: skip
        ended = time.monotonic() + 90
        while not first.is_file() and process.poll() is None and time.monotonic() < ended:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    kept = {p: p.read_bytes() for p in pooled.runs.rglob("stamps/train.json")}
    assert kept
    assert cli(*ASK[:-1], "1").code == 0
    assert {p: p.read_bytes() for p in kept} == kept


@pytest.mark.slow
def test_an_encoder_is_compared_too(pooled: Place, cli: Callable[..., Said]) -> None:
    train = {"steps": 4, "batch": 8, "lr": 0.01, "stop": {"patience": 2}, "keep": {"drop_at_most": 0.1}}
    scratch = {"use": "encoder", "scratch": {"layers": 2, "width": 16, "heads": 2, "vocab": 512}}
    value = {**pooled.value, "model": scratch, "train": train}
    Place(pooled.folder, value).with_()
    done = cli(*ASK[:-1], "1", "--json")
    assert done.code == 0, done.err
    assert done.json["loop"] is True
    assert set(done.json["langs"][0]["shots"]["by_source"]) == {"eng_Latn", "spa_Latn", "none"}


# -- who wins -----------------------------------------------------------------------------------------------------


def row(a: str, b: str, diff: float, verdict: str) -> dict[str, Any]:
    ends = {"low": diff - 0.1, "high": diff + 0.1, "low_corrected": diff - 0.2, "high_corrected": diff + 0.2}
    return {"a": a, "b": b, "diff": diff, "p_holm": 0.5, "n": 100, "verdict": verdict, **ends}


def test_a_winner_beats_every_other_source() -> None:
    cells = {"x": {"value": 0.5}, "y": {"value": 0.8}, "z": {"value": 0.6}, "none": {"value": 0.9}}
    compared = [row("x", "y", -0.3, "worse"), row("y", "z", 0.2, "better"), row("y", "none", -0.1, "cannot tell")]
    found = stage.judged(cells, compared, 1)
    assert (found["winner"], found["second"], found["verdict"], found["tied"]) == ("y", "z", "wins", [])
    assert found["against_none"]["diff"] == pytest.approx(-0.1)
    compared[0]["verdict"] = "cannot tell"
    found = stage.judged(cells, compared, 1)
    assert (found["verdict"], found["tied"]) == ("cannot tell", ["x"])
    assert stage.judged(cells, compared, -1)["winner"] == "x"  # where less is better
    assert stage.judged({}, [], 1)["winner"] is None


@given(st.floats(-1, 1), st.sampled_from(["better", "worse", "cannot tell"]))
def test_a_comparison_turned_twice_is_itself(diff: float, verdict: str) -> None:
    given_row = row("a", "b", diff, verdict)
    turned = stage._turned({**given_row, **stage._turned(given_row, "b")}, "b")
    assert turned == stage._turned(given_row, "a")


def test_probabilities_of_other_labels_are_put_in_order() -> None:
    frame = pl.DataFrame(
        {"id": ["1", "2"], "probs": [[0.2, 0.8], None]}, schema={"id": pl.String, "probs": pl.List(pl.Float64)}
    )
    padded = many.with_labels(frame, ["b", "c"], ["a", "c", "b"])["probs"].to_list()
    assert padded == [[0.0, 0.8, 0.2], None]


# -- the exercise -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hindi-mini", "hindi-ngram"])
def test_the_recipes_of_the_exercise_are_whole(name: str) -> None:
    made = recipe.read(ROOT / "recipes" / f"{name}.toml")
    assert {"eng_Latn", "npi_Deva", "hin_Deva"} <= set(made.langs)
    assert made.train.langs is None


@pytest.mark.slow
def test_hindi_from_english_or_from_a_relative(shared: Path, tmp_path: Path, cli: Callable[..., Said]) -> None:
    """With n-grams and no labels of Hindi, the relative in its script wins, and English cannot help."""
    path = ROOT / "recipes" / "hindi-ngram.toml"
    ask = ("--sources", "eng,npi", "--targets", "hin", "--shots", "100", "--draws", "1", "--json")
    raw = json.dumps([{"path": str(shared / "sib200.parquet")}]).replace('{"path":', "{path =")
    done = cli("compare-sources", path, *ask, "--set", f"data.raw={raw}")
    assert done.code == 0, done.err
    (found,) = done.json["langs"]
    assert (found["zero"]["winner"], found["zero"]["verdict"]) == ("npi_Deva", "wins")
    assert found["zero"]["lead"]["low_corrected"] > 0.1
