"""REPORT.md, CARD.md and the summary for the screen."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import polars as pl
import pytest

from isogloss.core import files
from isogloss.core.engine import Local
from isogloss.core.errors import PlaceError
from isogloss.core.run import Run
from isogloss.stages import chain, report

if TYPE_CHECKING:
    from places import Place


def made(place: Place, **sections: object) -> tuple[report.Recipe, Run]:
    return chain.advance(place.with_(**sections).recipe, "run", runs=place.runs, engine=Local(1))


def rows_of(markdown: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its header."""
    below = markdown.split(f"\n## {heading}", 1)[1]
    lines = re.search(r"(?:^\|.*\|$\n?)+", below, re.M)
    assert lines is not None
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[0].splitlines()[2:]]


def test_report_has_every_language_worst_first(place: Place) -> None:
    recipe, run = made(place)
    markdown = run.path("REPORT.md").read_text(encoding="utf-8")
    table = rows_of(markdown, "macro_f1 on test, worst language first")
    scores = files.read_parquet(run.path("scores.parquet"))
    own = scores.filter(pl.col("system") == "model", pl.col("metric") == recipe.headline, pl.col("by") == "lang").sort(
        "value", "key"
    )
    assert [row[0].split()[0] for row in table] == own["key"].to_list()
    for cells, score in zip(table, own.iter_rows(named=True), strict=True):
        assert cells[1] == str(score["n"])
        assert cells[2] == f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"
    assert markdown.index("Verdict") < markdown.index("worst language first")
    assert run.path("report.html").is_file()
    assert "not stated" in run.path("CARD.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("gate", "outcome", "words"),
    [
        ([{"at": "promote", "every_lang": {"accuracy": ">= 0.01"}}], "holds", "the gates hold"),
        ([{"at": "promote", "every_lang": {"n": ">= 9000"}}], "refused", "is below 9000"),
        ([], "no gate", "No gate"),
    ],
)
def test_verdict_stands_in_all_three(place: Place, gate: list[dict[str, object]], outcome: str, words: str) -> None:
    recipe, run = made(place, gate=gate)
    assert report.summary(recipe, run)["verdict"] == outcome
    assert words in run.path("REPORT.md").read_text(encoding="utf-8")
    html = run.path("report.html").read_text(encoding="utf-8")
    assert f'class="verdict {outcome.split()[0]}"' in html


def test_summary_for_the_screen(place: Place) -> None:
    recipe, run = made(place)
    found = report.summary(recipe, run)
    assert found["report"] == str(run.path("report.html"))
    values = [row["model"]["value"] for row in found["langs"]]
    assert values == sorted(values)
    assert found["systems"][0] == "model"
    assert {row["lang"] for row in found["langs"]} == set(recipe.langs)


def test_no_report_before_evaluate(place: Place) -> None:
    recipe, run = chain.advance(place.recipe, "train", runs=place.runs, engine=Local(1))
    with pytest.raises(PlaceError, match="no finished 'evaluate'"):
        report.write_report(recipe, run)
    assert not run.path("report.html").exists()


def test_pipes_do_not_break_tables() -> None:
    assert list(report.table(["a", "b"], [["x|y", 1]])) == ["| a | b |", "| --- | ---: |", "| x\\|y | 1 |"]
