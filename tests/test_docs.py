"""Every code block of README and docs is run or read, and every shipped recipe is checked; the counts are asserted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from isogloss.core import recipe as recipes

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "AGENTS.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?:<!-- (?P<mark>file|not run): (?P<what>[^>]+?) -->\n)?```(?P<language>\w*)\n(?P<body>.*?)```", re.S
)
# page -> how many blocks of which kind it has; a block that vanishes or appears must be seen here
EXPECTED = {
    "README.md": {"sh": 2, "toml": 1, "python": 1},
    "CONTRIBUTING.md": {"python": 4},
    "docs/quickstart.md": {"sh": 5, "csv": 1, "toml": 1, "python": 1},
    "docs/how-to/balance.md": {"toml": 3, "sh": 1},
    "docs/how-to/bring-your-data.md": {"toml": 1},
    "docs/how-to/choose-a-gate.md": {"toml": 1},
    "docs/how-to/clean-text.md": {"toml": 1, "sh": 4},
    "docs/how-to/few-shot.md": {"sh": 1, "toml": 1},
    "docs/how-to/tokenizers.md": {"toml": 1},
    "docs/how-to/vectors.md": {"sh": 3, "python": 1, "toml": 1},
}


@dataclass(frozen=True)
class Block:
    page: str
    language: str
    body: str
    mark: str
    what: str


def blocks(page: Path) -> list[Block]:
    name = str(page.relative_to(ROOT))
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(name, m["language"], m["body"], m["mark"] or "", m["what"] or "") for m in found]


def written() -> list[Path]:
    """Pages written by hand; generated reference pages are checked by their generator."""
    return [page for page in PAGES if "reference" not in page.parts]


def test_every_block_is_known() -> None:
    found = {str(p.relative_to(ROOT)): dict(Counter(b.language for b in blocks(p))) for p in written()}
    assert {page: counts for page, counts in found.items() if counts} == EXPECTED


def test_links_between_pages_lead_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in PAGES
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
        if not (page.parent / link).exists()
    ]
    assert broken == []


def test_the_skill_is_what_the_code_says(tmp_path: Path) -> None:
    tool = [sys.executable, str(ROOT / "tools" / "make_skill.py")]
    assert subprocess.run([*tool, "--check"], capture_output=True, timeout=60).returncode == 0
    (tmp_path / "SKILL.md").write_text("old", encoding="utf-8")
    said = subprocess.run([*tool, "--check", "--out", str(tmp_path / "SKILL.md")], capture_output=True, text=True)
    assert said.returncode == 1
    assert "is stale" in said.stderr
    head = (ROOT / "skills/multilingual-picker/SKILL.md").read_text(encoding="utf-8").split("---\n")[1]
    value = yaml.safe_load(head)
    assert value["name"] == "multilingual-picker"
    assert 0 < len(value["description"]) < 1024


@pytest.mark.parametrize(
    "block", [b for p in written() for b in blocks(p) if b.language == "toml"], ids=lambda b: b.page
)
def test_toml_is_a_recipe_or_a_part_of_one(block: Block) -> None:
    value = tomllib.loads(block.body)
    whole = {"name": "x", "model": "ngram", "data": {"raw": ["x.jsonl"]}} | value
    recipes.build(whole)


@pytest.mark.parametrize("page", [p for p in written() if p.name == "quickstart.md"], ids=lambda p: p.name)
def test_the_blocks_of_a_page_run_in_order(page: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for block in blocks(page):
        if block.mark == "not run":
            continue
        if block.mark == "file":
            (tmp_path / block.what).write_text(block.body, encoding="utf-8")
            continue
        command = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}[block.language]
        done = subprocess.run(
            [*command, block.body], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240
        )
        # `run` ends with 1 where a gate refuses; the page has none before its last step
        assert done.returncode == 0, f"{block.page}:\n{block.body}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("kind", ["metrics", "steps", "mixes", "methods"])
def test_the_examples_of_contributing_meet_their_contracts(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from isogloss.core import parts

    place = ["metrics", "steps", "mixes", "methods"].index(kind)
    block = [b for b in blocks(ROOT / "CONTRIBUTING.md") if b.language == "python"][place]
    (tmp_path / f"their_{kind}").mkdir()
    (tmp_path / f"their_{kind}" / "part.py").write_text(block.body, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    part = parts.load(kind, f"their_{kind}.part")
    assert part.summary
    {"metrics": _metric, "steps": _step, "mixes": _mix, "methods": _method}[kind](part)


def _step(part: Any) -> None:
    batch = pl.DataFrame({"id": ["1", "2"], "lang": ["eng_Latn"] * 2, "text": ["hi", "hello"]})
    dropped = part.call("apply", batch, knobs=part.bind({"n_chars": 3}))["drop"].to_list()
    assert dropped == ["under 3 characters", None]


def _metric(part: Any) -> None:
    rows = pl.DataFrame({"id": ["1", "2"], "label": ["a", "c"], "probs": [[0.3, 0.6, 0.1], [0.4, 0.5, 0.1]]})
    counts = part.call("stats", rows, ("a", "b", "c"), knobs={})
    assert np.array_equal(counts, [[1, 1], [0, 1]])
    assert part.call("value", counts.sum(axis=0), knobs={}) == 0.5


def _mix(part: Any) -> None:
    rows = pl.DataFrame({"id": [str(i) for i in range(8)], "lang": ["a"] * 6 + ["b"] * 2})
    window = part.call("order", rows, np.random.default_rng(0), {}, knobs={})
    assert rows["lang"].gather(window).value_counts().sort("lang")["count"].to_list() == [4, 4]


def _method(part: Any) -> None:
    import torch

    net = torch.nn.ModuleDict({"block": torch.nn.Linear(2, 2), "head": torch.nn.Linear(2, 2)})
    family = SimpleNamespace(embeddings=lambda model: [], blocks=lambda model: [model["block"]])
    kept = part.call("apply", net, family, dict.fromkeys(dict(net.named_parameters()), 1.0), knobs={})
    assert set(kept) == {"block.bias", "head.weight", "head.bias"}


def test_every_shipped_recipe_is_checked() -> None:
    found = sorted((ROOT / "recipes").rglob("*.toml"))
    assert len(found) >= 3
    for path in found:
        read = recipes.read(path)
        assert path.read_text(encoding="utf-8").startswith("#"), f"{path.name} does not say what it is"
        assert recipes.build(tomllib.loads(read.to_toml()), folder=path.parent).sections("data") == read.sections(
            "data"
        )
