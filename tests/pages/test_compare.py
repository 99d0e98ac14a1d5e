"""compare: paired differences by language, what differs, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from page_runs import TEXTS, Made, make, rows, write

from isogloss.core import files, parts, report
from isogloss.core.errors import DataError, InputError, PlaceError
from isogloss.core.run import Run
from isogloss.stages import compare, model
from isogloss.stages.compare import compare as compared


@pytest.fixture
def copy(few: dict[str, Made], tmp_path: Path) -> Made:
    """The second run, to be changed."""
    shutil.copytree(few["b"].run.folder, tmp_path / "changed")
    return Made(few["b"].recipe, Run(tmp_path / "changed"))


def rewrite(made: Made, **columns: pl.Expr) -> None:
    """Change the answers of a run, and its stamp with them."""
    path = made.run.path("predictions", "model.parquet")
    files.write_parquet(path, files.read_parquet(path).with_columns(**columns))
    _stamp(made, "evaluate", path)


def relabel(made: Made, labels: list[str]) -> None:
    path = made.run.path("model", model.CARD)
    files.write_json(path, {**files.read_json(path), "labels": labels})
    _stamp(made, "train", path)


def _stamp(made: Made, stage: str, path: Path) -> None:
    stamp = files.read_json(made.run.path("stamps", f"{stage}.json"))
    stamp["made"][str(path.relative_to(made.run.folder))] = [path.stat().st_size, files.digest(path)]
    files.write_json(made.run.path("stamps", f"{stage}.json"), stamp)


def test_differences_are_those_of_paired(few: dict[str, Made]) -> None:
    """The sign is the run minus the reference, and every number is `report.paired`'s."""
    found = compared([few["a"].pair, few["b"].pair])
    one = found["comparisons"][0]
    answers = {name: files.read_parquet(made.run.path("predictions", "model.parquet")) for name, made in few.items()}
    test = {name: frame.filter(pl.col("split") == "test") for name, frame in answers.items()}
    metric = parts.load("metrics", "macro_f1").module
    expected = report.paired(test["b"], test["a"], metric, model.load(few["a"].run.folder).labels, resamples=200)
    assert (found["reference"], one["run"], found["metric"]) == ("a", "b", "macro_f1")
    by_lang = {row["lang"]: row for row in one["langs"]}
    assert set(by_lang) == set(TEXTS)
    for row in expected.iter_rows(named=True):
        got = by_lang[row["key"]]
        assert (got["value"], got["reference"], got["n"]) == (row["a"], row["b"], row["n"])
        for name in ("diff", "low", "high", "low_corrected", "high_corrected", "p_holm", "verdict"):
            assert got[name] == pytest.approx(row[name]), name
    assert one["n_rows"] == 4 * 24
    assert one["n_better"] + one["n_worse"] + one["n_cannot_tell"] == 4
    assert json.loads(json.dumps(found)) == found


def test_a_run_that_is_always_right_gains(few: dict[str, Made], copy: Made) -> None:
    """And as reference, it makes the other lose; losses stand first."""
    rewrite(copy, pred=pl.when(pl.col("lang") == "tha_Thai").then("label").otherwise(pl.col("label").reverse()))
    one = compared([few["a"].pair, copy.pair])["comparisons"][0]
    other = compared([copy.pair, few["a"].pair])["comparisons"][0]
    diffs = {row["lang"]: row["diff"] for row in one["langs"]}
    assert diffs["tha_Thai"] > 0
    assert {row["lang"]: -row["diff"] for row in other["langs"]} == pytest.approx(diffs)
    order = ["worse", "cannot tell", "better"]
    places = [(order.index(row["verdict"]), row["diff"]) for row in one["langs"]]
    assert places == sorted(places)
    assert one["n_worse"] >= 1


def test_more_runs_make_wider_intervals(few: dict[str, Made], copy: Made) -> None:
    """Intervals hold for every language of every run, and Holm's p counts all of them."""
    rewrite(copy, pred=pl.col("label"))
    two = compared([few["a"].pair, copy.pair])["comparisons"][0]
    three = compared([few["a"].pair, few["b"].pair, copy.pair])
    assert [one["run"] for one in three["comparisons"]] == ["b", "changed"]
    wider = {row["lang"]: row for row in three["comparisons"][1]["langs"]}
    for row in two["langs"]:
        other = wider[row["lang"]]
        assert other["low"] == row["low"]
        assert other["high_corrected"] - other["low_corrected"] > row["high_corrected"] - row["low_corrected"]
        assert other["p_holm"] >= row["p_holm"]


def test_another_metric(few: dict[str, Made]) -> None:
    found = compared([few["a"].pair, few["b"].pair], metric="log_loss")
    assert (found["metric"], found["better"]) == ("log_loss", "lower")
    pairs = [row for row in found["comparisons"][0]["langs"] if row["verdict"] == "worse"]
    assert all(row["diff"] > 0 for row in pairs)


def test_what_differs_in_the_recipes(few: dict[str, Made]) -> None:
    """Leaf by leaf, with the knobs that a recipe leaves at their default, and never the name."""
    found = compared([few["a"].pair, few["b"].pair])["recipe"]
    assert found == [{"key": "model.scope", "values": {"a": "lang", "b": "pooled"}}]


def test_a_changed_input_is_named(tmp_path: Path, few: dict[str, Made]) -> None:
    data = write(tmp_path / "data.jsonl", rows(list(TEXTS), ["p", "q"], {"train": 8, "test": 12}, seed=3))
    made = make(tmp_path, "c", data, list(TEXTS))
    keys = [item["key"] for item in compare.differences([("a", *few["a"].pair), ("c", *made.pair)])]
    assert sum(key.startswith("input ") for key in keys) >= 1


def test_other_order_of_labels_is_the_same(few: dict[str, Made], copy: Made) -> None:
    """Probabilities follow their labels."""
    labels = model.load(copy.run.folder).labels
    before = compared([few["a"].pair, copy.pair], metric="log_loss")["comparisons"][0]["langs"]
    relabel(copy, [labels[2], labels[0], labels[1]])
    rewrite(copy, probs=pl.col("probs").list.gather([2, 0, 1]))
    after = compared([few["a"].pair, copy.pair], metric="log_loss")["comparisons"][0]["langs"]
    assert {row["lang"]: row["diff"] for row in after} == pytest.approx({row["lang"]: row["diff"] for row in before})


def test_groups_may_differ(few: dict[str, Made], copy: Made) -> None:
    """Near-duplicates that joined groups in one run do not stop a comparison: the reference's groups count."""
    before = compared([few["a"].pair, copy.pair])["comparisons"]
    rewrite(copy, group=pl.lit("one"))
    after = compared([few["a"].pair, copy.pair])["comparisons"]
    assert after == before


def test_rows_that_one_has_alone_are_left_out_and_counted(few: dict[str, Made], copy: Made) -> None:
    rewrite(copy, id=pl.when(pl.col("id").str.ends_with("-3")).then(pl.col("id") + "x").otherwise("id"))
    one = compared([few["a"].pair, copy.pair])["comparisons"][0]
    assert one["n_rows"] == 4 * 23
    assert one["n_left_out"] == 8


def test_refusals(few: dict[str, Made], copy: Made, tmp_path: Path) -> None:
    a = few["a"].pair
    with pytest.raises(InputError, match="two runs or more"):
        compared([a])
    with pytest.raises(InputError, match="named twice"):
        compared([a, a])
    labels = list(model.load(copy.run.folder).labels)
    relabel(copy, ["other", *labels[1:]])
    with pytest.raises(DataError, match=r"do not answer with the same labels .*'other' only in changed"):
        compared([a, copy.pair])
    relabel(copy, labels)
    rewrite(copy, label=pl.when(pl.col("id") == "eng_Latn-test-0").then(pl.lit(labels[1])).otherwise("label"))
    with pytest.raises(DataError, match=r"a and changed do not agree on the right label of 1 of their 96 shared rows"):
        compared([a, copy.pair])
    rewrite(copy, id=pl.col("id") + "-other")
    with pytest.raises(DataError, match="share no test rows"):
        compared([a, copy.pair])
    with pytest.raises(PlaceError, match="no finished 'evaluate'"):
        compared([a, (a[0], Run(tmp_path / "empty"))])


def test_the_same_name_in_two_folders(few: dict[str, Made], tmp_path: Path) -> None:
    shutil.copytree(few["b"].run.folder, tmp_path / "a")
    found = compared([few["a"].pair, (few["b"].recipe, Run(tmp_path / "a"))])
    assert found["reference"] == str(few["a"].run.folder)
    assert found["comparisons"][0]["run"] == str(tmp_path / "a")


def test_the_screen_names_every_language(few: dict[str, Made]) -> None:
    found = compared([few["a"].pair, few["b"].pair])
    said = list(compare.screen(found))
    tables = [item for item in said if isinstance(item, list)]
    assert [row[0] for row in tables[0]] == ["key", "model.scope"]
    assert {row[0].split()[0] for row in tables[1][1:]} == set(TEXTS)
    assert all(len(row) == len(table[0]) for table in tables for row in table)
    short = list(compare.screen(found, longest=1))
    assert "and 3 more languages" in short[-1]
