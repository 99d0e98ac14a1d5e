"""Runs whose pages are tested, and the browser that opens them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import browser as chromium
import pytest
from page_runs import LABELS, TEXTS, Made, make, make_tied, rows, write

from isogloss.core import lang as lang_table
from isogloss.stages.report import write_report


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """Two runs of four languages, two written from right to left, with texts and labels that are HTML."""
    folder = tmp_path_factory.mktemp("few")
    data = write(folder / "data.jsonl", rows(list(TEXTS), LABELS, {"train": 30, "dev": 12, "test": 24}))
    made = {
        name: make(folder, name, data, list(TEXTS), scope=scope) for name, scope in (("a", "lang"), ("b", "pooled"))
    }
    lines = [
        json.dumps({"event": "evaluation", "step": step, "by_lang": dict.fromkeys(TEXTS, 0.3 + step / 100)})
        for step in (0, 10, 20)
    ]
    (made["a"].run.folder / "steps.jsonl").write_text("\n".join([*lines, '{"step": 30, "by_l']), encoding="utf-8")
    write_report(*made["a"].pair)
    return made


@pytest.fixture(scope="session")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A run without labels, whose texts are HTML; two English test rows have no translation."""
    folder = tmp_path_factory.mktemp("tied")
    found = list(rows(list(TEXTS), LABELS, {"train": 30, "dev": 12, "test": 24}))
    alone = [
        {"id": f"alone-{i}", "lang": "eng_Latn", "split": "test", "group": f"alone-{i}", "text": f"nobody else {i}"}
        for i in range(2)
    ]
    kept = [{name: value for name, value in row.items() if name != "label"} for row in found]
    return make_tied(folder, write(folder / "data.jsonl", iter([*kept, *alone])), list(TEXTS))


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """205 languages, seven labels."""
    folder = tmp_path_factory.mktemp("wide")
    langs = sorted(tag for tag, row in lang_table.table().items() if row.latitude is not None)[:205]
    data = write(
        folder / "data.jsonl",
        rows(
            langs,
            ["politics", "sports", "travel", "health", "culture", "science", "law"],
            {"train": 7, "dev": 7, "test": 14},
        ),
    )
    return make(folder, "wide", data, langs)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Browser]:
    if chromium.executable() is None:
        pytest.skip("there is no Chromium here")
    found = chromium.Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()
