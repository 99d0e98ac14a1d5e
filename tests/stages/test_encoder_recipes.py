"""Every shipped recipe of an encoder that learns labels runs: as it is, but with a tiny random model of its type and little data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import isogloss
import tiny
from isogloss.core import recipe as recipes

ROOT = Path(__file__).parents[2] / "recipes"
KINDS = {
    "encoders/mbert.toml": "bert", "encoders/xlm-r-base.toml": "xlm-roberta", "encoders/xlm-v.toml": "xlm-roberta",
    "encoders/xlm-r-large.toml": "xlm-roberta", "encoders/mdeberta.toml": "deberta-v2",
    "encoders/modernbert.toml": "modernbert",
    "sib200.toml": "xlm-roberta", "nusax.toml": "xlm-roberta", "sib200-scratch.toml": "",
    "demo-mini.toml": "modernbert", "hindi-mini.toml": "modernbert", "sib200-mini.toml": "modernbert", "nusax-mini.toml": "modernbert",
}  # fmt: skip


def test_every_recipe_of_an_encoder_is_tested_here() -> None:
    read = {str(path.relative_to(ROOT)): recipes.read(path) for path in ROOT.rglob("*.toml")}
    found = {name for name, made in read.items() if made.model.use == "encoder" and made.task.use == "classify"}
    assert found == set(KINDS)


@pytest.mark.parametrize("file", KINDS)
def test_it_trains_and_answers(file: str, tmp_path: Path) -> None:
    value: dict[str, Any] = json.loads(recipes.read(ROOT / file).model_dump_json(exclude_none=True))
    sources = value["train"].pop("langs", None)
    if KINDS[file]:
        value["model"] = {"use": "encoder", "name": str(tiny.folder(KINDS[file]))}
    else:
        value["model"]["scratch"] |= {"layers": 1, "width": 16, "heads": 2, "vocab": 512}
    value["langs"] = "all"
    value["data"]["raw"] = [{"path": str(tmp_path / "rows.jsonl")}]
    value["evaluate"].pop("source", None)
    value["train"].pop("epochs", None)
    value.pop("budget", None)
    value["train"] |= {"steps": 3, "batch": 8, "eval_every": 2} | (
        {"langs": ["eng_Latn", "tha_Thai"]} if sources else {}
    )
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in tiny.sentences(8)), encoding="utf-8")
    run, heard = tiny.train(recipes.build(value, folder=tmp_path), tmp_path)
    assert any("M trained" in line for line in heard)
    probs = isogloss.load(run.folder).probabilities(pl.DataFrame(tiny.sentences(2)))
    assert np.isfinite(probs).all()
