"""train.calibrate: what is fitted to dev is in the card, is applied wherever the model is asked, and is told by language."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import isogloss
import tiny
from isogloss.core import files
from isogloss.core.engine import Local
from isogloss.core.errors import PlaceError
from isogloss.core.run import Run
from isogloss.core.say import Say
from isogloss.stages.evaluate import evaluate
from isogloss.stages.report import write_report


def ran(at: Path, **sections: Any) -> tuple[Run, list[str]]:
    """A run that was evaluated and told of, and what training said."""
    made = tiny.recipe(at, **sections)
    run, heard = tiny.train(made, at)
    with run.locked():
        evaluate(made, run, Local(1), Say())
        write_report(made, run)
    return run, heard


def test_a_model_is_calibrated_wherever_it_is_asked(tmp_path: Path) -> None:
    rows = tiny.sentences(40)  # half of each label is smoothed away, so that the model is far too shy
    train = {"steps": 80, "calibrate": "temperature", "langs": ["eng_Latn", "swh_Latn"]}
    run, heard = ran(tmp_path, rows=rows, train=train, task={"use": "classify", "smoothing": 0.5})
    assert any("calibrated" in line for line in heard)
    block = files.read_json(run.path("model", "isogloss.json"))["calibration"]["blocks"][0]
    assert block["labels"] == list(tiny.LABELS)
    assert block["strength"] is not None
    assert set(block["by_lang"]) == {"eng_Latn", "swh_Latn"}  # dev rows of the target language never take part
    answers = files.read_parquet(run.path("predictions", "model.parquet")).sort("id")
    plain = files.read_parquet(run.path("predictions", "uncalibrated.parquet")).sort("id")
    assert answers["pred"].equals(plain["pred"])
    probs, before = (np.array(frame["probs"].to_list()) for frame in (answers, plain))
    temperature = np.array([block["by_lang"].get(tag, block["pooled"])["temperature"] for tag in answers["lang"]])
    want = before ** (1 / temperature)[:, None]
    np.testing.assert_allclose(probs, want / want.sum(axis=1, keepdims=True), atol=1e-6)

    model = isogloss.load(run.folder)
    asked = pl.DataFrame(rows).filter(pl.col("split") == "test").sort("id")
    own = answers.filter(pl.col("split") == "test").select("id", "probs")
    told = dict(zip(asked["id"], model.answer(asked.drop("label"))["probs"].to_list(), strict=True))
    assert all(np.allclose(told[i], p, atol=1e-5) for i, p in own.rows())

    scores = files.read_parquet(run.path("scores.parquet")).filter(pl.col("metric") == "calibration_error")
    assert {"model", "uncalibrated"} <= set(scores["system"])
    text = run.path("REPORT.md").read_text(encoding="utf-8")
    part = text.partition("## Calibration\n")[2].partition("\n## ")[0]
    assert "temperature fitted to dev" in part
    assert all(tag in part for tag in tiny.WORDS)
    assert "| tha_Thai Thai | 0 |" in part
    page = run.path("report.html").read_text(encoding="utf-8")
    section = page.partition('<section id="calibration">')[2].partition("</section>")[0]
    assert "temperature fitted to dev" in section and section.count("<tr>") == 1 + len(tiny.WORDS)
    cells = {(row["system"], row["key"]): row for row in scores.filter(pl.col("by") == "lang").iter_rows(named=True)}
    for tag in tiny.WORDS:
        line = section.partition(f"<code>{tag}</code>")[2].partition("</tr>")[0]
        for system in ("model", "uncalibrated"):
            assert f"{cells[system, tag]['value']:.3f}" in line
    exported = isogloss.load(isogloss_export(run, tmp_path / "out"))
    np.testing.assert_allclose(
        exported.answer(asked.drop("label"))["probs"].to_list(), [told[i] for i in asked["id"]], atol=1e-5
    )

    card = files.read_json(run.path("model", "isogloss.json"))
    files.write_json(run.path("model", "isogloss.json"), {**card, "calibration": {"format": 1, "blocks": [{}]}})
    with pytest.raises(PlaceError, match="calibration"):
        isogloss.load(run.folder)


def isogloss_export(run: Run, folder: Path) -> Path:
    from isogloss.stages.export import export

    return export(run.folder, folder)


def test_a_family_that_fits_itself_and_a_language_of_five_dev_rows(tmp_path: Path) -> None:
    rows = [row for row in tiny.sentences(40) if row["split"] != "dev" or row["lang"] != "tha_Thai"]
    rows += [row for row in tiny.sentences(40) if row["split"] == "dev" and row["lang"] == "tha_Thai"][:5]
    at = tiny.recipe(tmp_path, rows=rows)
    value = at.model_dump(mode="json", exclude_unset=True)
    value |= {"model": {"use": "ngram"}, "train": {"calibrate": "bias"}}
    from isogloss.core import recipe

    made = recipe.build(value, folder=tmp_path)
    run, _ = tiny.train(made, tmp_path)
    block = files.read_json(run.path("model", "isogloss.json"))["calibration"]["blocks"][0]
    assert block["kind"] == "bias"
    assert block["strength"] is None or block["by_lang"]["tha_Thai"]["n"] == 5


def test_dev_rows_of_a_language_that_nothing_is_trained_on_take_no_part(tmp_path: Path) -> None:
    from isogloss.core import recipe

    rows = [row for row in tiny.sentences(40) if row["lang"] != "tha_Thai" or row["split"] != "train"]
    value = tiny.recipe(tmp_path, rows=rows).model_dump(mode="json", exclude_unset=True)
    value |= {"model": {"use": "ngram", "scope": "pooled"}, "train": {"calibrate": "temperature"}}
    run, _ = tiny.train(recipe.build(value, folder=tmp_path), tmp_path)
    block = files.read_json(run.path("model", "isogloss.json"))["calibration"]["blocks"][0]
    known = [row for row in rows if row["split"] == "dev" and row["lang"] != "tha_Thai"]
    assert block["pooled"]["n"] == len(known)
    assert "tha_Thai" not in block["by_lang"]


def test_without_dev_rows_it_says_so_and_goes_on(tmp_path: Path) -> None:
    rows = [row for row in tiny.sentences(8) if row["split"] != "dev"]
    run, heard = tiny.train(tiny.recipe(tmp_path, rows=rows, train={"steps": 4, "calibrate": "bias"}), tmp_path)
    assert any("not calibrated" in line for line in heard)
    assert "calibration" not in files.read_json(run.path("model", "isogloss.json"))


def test_a_handful_of_dev_rows_is_said_to_be_too_few(tmp_path: Path) -> None:
    every = tiny.sentences(8)
    rows = [row for row in every if row["split"] != "dev"] + [row for row in every if row["split"] == "dev"][:4]
    _, heard = tiny.train(tiny.recipe(tmp_path, rows=rows, train={"steps": 4, "calibrate": "temperature"}), tmp_path)
    assert any("4 dev rows are too few" in line for line in heard)
