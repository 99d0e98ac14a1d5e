"""few-shot.html: whole, with a frame and a row for every language, whatever is missing."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from test_page import read, text_of

from isogloss.core import lang as lang_table
from isogloss.stages import few_shot
from isogloss.stages.pages import shots

TAGS = ["swh_Latn", "arb_Arab", "tha_Thai", "amh_Ethi", "yor_Latn"]


def cell(value: float, half: float | None = 0.05) -> dict[str, Any]:
    ends = (
        {"low": None, "high": None} if half is None else {"low": max(0.0, value - half), "high": min(1.0, value + half)}
    )
    return {"value": value, **ends, "sd": None, "by_draw": [value], "share": value / 0.8, "reached": "no"}


def document(tags: list[str], keys: list[str], *, floor: bool = True) -> dict[str, Any]:
    rows = [
        {"lang": tag, "name": lang_table.facts(tag).name, "n": 40, "arrives": "not reached" if floor else None,
         "points": {key: cell(0.1 + 0.1 * i + 0.01 * j) for i, key in enumerate(keys)},
         "floor_lang": cell(0.3) if floor else None}
        for j, tag in enumerate(tags)
    ]  # fmt: skip
    return {
        "name": "some & <more>", "metric": "macro_f1", "better": "higher", "confidence": 0.95, "signature": "macro_f1|v:1",
        "shots": keys, "draws": 2, "seed": 0, "sources": ["eng_Latn"],
        "source": {"langs": ["eng_Latn"], "at": keys[0], **(cell(0.8) if floor else {})}, "share": 0.95, "langs": rows,
        "mean": {key: cell(0.4) for key in keys},
        "runs": [{"run": f"runs/some-shots-{key}", "shots": key, "draw": 0, "seconds": {"train": 2.0}} for key in keys],
    }  # fmt: skip


@pytest.mark.parametrize("keys", [["0", "50", "100", "250", "500", "all"], ["10"], ["all"], ["0", "all"]])
@pytest.mark.parametrize("tags", [TAGS, TAGS[:1], list(lang_table.table())[:30]])
@pytest.mark.parametrize("floor", [True, False])
def test_the_page_is_whole_and_has_every_language(keys: list[str], tags: list[str], floor: bool) -> None:
    html = few_shot.page(document(tags, keys, floor=floor))
    tree = read(html)
    assert tree.problems == [] and tree.open == []
    assert [name for name, n in tree.ids.items() if n > 1] == []
    assert {a["href"][1:] for tag, a in tree.elements if tag == "a" and a["href"]} <= set(tree.ids)
    assert sum(tag == "polyline" for tag, _ in tree.elements) == len(tags)
    assert sum(tag == "caption" for tag, _ in tree.elements) == sum(tag == "table" for tag, _ in tree.elements)
    assert "some &amp; &lt;more&gt;" in html
    assert "http" not in html.replace("http-equiv", "")
    assert ("dotted line" in text_of(html)) == floor == ("95% of source" in html)
    for tag in tags:
        assert tag in text_of(html)


def test_points_and_intervals_stand_where_they_belong() -> None:
    found = document(["swh_Latn"], ["0", "50", "500"])
    points = found["langs"][0]["points"]
    points["0"], points["50"] = cell(0.0, 0.0), cell(0.5, 0.25)
    points["500"] = cell(1.0, None)
    found["langs"][0]["floor_lang"], found["source"] = None, {"langs": ["eng_Latn"], "at": "0"}
    html = few_shot.page(found)
    line = html.partition('<polyline points="')[2].partition('"')[0]
    assert line.split()[0] == "0,100" and line.split()[-1] == "100,0"
    x = float(line.split()[1].split(",")[0])
    assert 60 < x < 66  # log 51 of log 501
    assert f"M{x:g} 75V25" in html
    assert "M100 " not in html.partition('class="bars" d="')[2].partition('"')[0]  # no interval, no bar


def test_a_language_without_test_rows_has_an_empty_frame() -> None:
    found = document(["swh_Latn", "tha_Thai"], ["0", "50"])
    found["langs"][1]["points"], found["langs"][1]["arrives"] = {}, None
    html = few_shot.page(found)
    assert read(html).problems == [] and '<polyline points=""/>' in html


def test_places_are_in_order_and_apart() -> None:
    at = shots.places(["0", "50", "100", "250", "500", "all"])
    places = list(at.values())
    assert places == sorted(places) and places[0] == 0 and places[-1] == 100
    assert min(b - a for a, b in itertools.pairwise(places)) > 5
