"""The command `sources` with a model: neighbours of sentences in its hidden states."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isogloss.core import nearness, sources
from isogloss.core.errors import DataError, InputError
from isogloss.core.say import Say
from isogloss.stages import sources as stage
from isogloss.stages.prepare import bundled
from places import shell, write_jsonl

MINI = "isogloss/mini"
CANDIDATES = ("eng", "spa", "ind", "arb")


class Heard(Say):
    """What was said, line by line."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def note(self, text: str) -> None:
        self.lines.append(text)


def clinic(n: int, *langs: str) -> list[dict[str, str]]:
    """The first messages of the bundled sample in each language."""
    folder = bundled("isogloss/clinic")
    assert folder is not None
    rows = []
    for lang in langs:
        lines = (folder / f"{lang}.jsonl").read_text(encoding="utf-8").splitlines()[:n]
        rows += [{"lang": lang, "text": json.loads(line)["text"]} for line in lines]
    return rows


def asked(rows: list[dict[str, str]], folder: Path, say: Say | None = None, **options: Any) -> list[dict[str, Any]]:
    path = write_jsonl(folder / "rows.jsonl", rows)
    options = {"model": MINI, "text": str(path), **options}
    return stage.answer("classify", ["swh"], CANDIDATES, say=say or Say(), **options).document()["swh"]


ALL = ("swh_Latn", "eng_Latn", "spa_Latn", "ind_Latn", "arb_Arab")


def test_rows_in_any_order_and_twice_give_the_same_answer_inside_the_intervals_of_the_prior(tmp_path: Path) -> None:
    rows = clinic(30, *ALL)
    heard = Heard()
    first = asked(rows, tmp_path, heard)
    random.Random(3).shuffle(rows)
    assert asked([*rows, *rows[:40]], tmp_path) == first
    prior = {row["source"]: row for row in stage.answer("classify", ["swh"], CANDIDATES, family="encoder", say=Say()).document()["swh"]}  # fmt: skip
    assert [row["expected"] for row in first] == sorted((row["expected"] for row in first), reverse=True)
    for row in first:
        before = prior[row["source"]]
        assert (row["low"], row["high"]) == (before["low"], before["high"])
        assert row["low"] <= row["expected"] <= row["high"]
        assert row["stage"] == "prior and model"
    assert {row["source"]: row["expected"] for row in first} != {tag: row["expected"] for tag, row in prior.items()}
    said = next(line for line in heard.lines if "torch" in line)
    assert "150 sentences in 5 languages" in said
    assert any("tokens, about" in line for line in heard.lines)


def test_a_candidate_with_copies_of_the_target_is_nearest(tmp_path: Path) -> None:
    rows = clinic(30, *ALL)
    rows = [row for row in rows if row["lang"] != "arb_Arab"]
    copies = [{"lang": "arb_Arab", "text": row["text"]} for row in rows if row["lang"] == "swh_Latn"]
    found = asked([*rows, *copies], tmp_path)
    shares = {row["source"]: int(_words(row).split("nearer than ")[1].split("%")[0]) for row in found if _words(row)}
    assert shares["arb"] >= 95  # not 100: four of the five neighbours are other sentences
    assert max(shares, key=shares.__getitem__) == "arb"
    assert found[0]["source"] == "arb"


def _words(row: Mapping[str, Any]) -> str:
    return "".join(reason["words"] for reason in row["reasons"] if reason["feature"] == "model")


def test_a_candidate_without_text_is_named_and_keeps_the_prior(tmp_path: Path) -> None:
    heard = Heard()
    found = {row["source"]: row for row in asked(clinic(30, *ALL[:4]), tmp_path, heard)}
    assert found["arb"]["stage"] == "prior"
    assert found["spa"]["stage"] == "prior and model"
    assert any("arb_Arab" in line and "prior alone" in line for line in heard.lines)


def test_a_target_without_text_is_named_and_the_others_are_answered(tmp_path: Path) -> None:
    heard, path = Heard(), write_jsonl(tmp_path / "rows.jsonl", clinic(30, *ALL))
    found = stage.answer("classify", ["swh", "xho"], CANDIDATES, model=MINI, text=str(path), say=heard).document()
    assert {row["stage"] for row in found["swh"]} == {"prior and model"}
    alone = stage.answer("classify", ["xho"], CANDIDATES, family="encoder", say=Say()).document()
    assert found["xho"] == alone["xho"]
    assert any("0 different sentences in xho_Latn" in line and "prior alone answers" in line for line in heard.lines)


def test_too_little_text_is_refused_before_torch_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="24 different sentences in swh_Latn"):
        asked([*clinic(24, "swh_Latn"), *clinic(1, "swh_Latn"), *clinic(30, *ALL[1:])], tmp_path)
    with pytest.raises(DataError, match="two or more"):
        asked(clinic(30, "swh_Latn", "spa_Latn"), tmp_path)
    write_jsonl(tmp_path / "few.jsonl", clinic(5, *ALL))
    code = (
        "import sys\nfrom isogloss.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n"
        "    sys.exit(9 if 'torch' in sys.modules else end.code)"
    )
    few = ["sources", "--targets", "swh", "--candidates", "eng,spa", "--model", MINI, "--text", "few.jsonl"]
    done = subprocess.run([sys.executable, "-c", code, *few], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert "5 different sentences" in done.stderr
    plain = ["sources", "--targets", "swh", "--candidates", "eng,spa", "--data", "few.jsonl", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", code, *plain], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode in (0, None), done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": None}, "--model"),
        ({"text": None}, "--text"),
        ({"family": "ngram"}, "no hidden states"),
        ({"text": "nowhere.jsonl"}, "nowhere.jsonl"),
    ],
)
def test_one_option_without_the_other_is_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises((InputError, DataError), match=said):
        asked(clinic(1, "swh_Latn"), tmp_path, **options)


def test_a_model_that_is_nowhere_is_refused_from_the_shell(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", clinic(25, *ALL[:3]))
    given = ("sources", "--targets", "swh", "--candidates", "eng,spa", "--text", "rows.jsonl")
    done = shell(*given, "--model", "./nowhere", cwd=tmp_path)
    assert done.code == 2
    assert "nowhere" in done.err
    assert "Traceback" not in done.err


# -- the numbers, without a model -----------------------------------------------------------------------------------


def vectors(seed: int, n: int, noise: Sequence[float]) -> list[np.ndarray]:
    """A target and sources that say the same as it, each in a place of its own and with so much noise."""
    rng = np.random.default_rng(seed)
    said = rng.normal(size=(1, n, 4))
    return [said + 9 * rng.normal(size=4) + much * rng.normal(size=said.shape) for much in (0.0, *noise)]


def test_shares_have_the_mean_one_half_and_follow_how_alike_the_same_is_said() -> None:
    target, near, middle, far = vectors(0, 60, [0.0, 0.4, 40.0])
    found = nearness.nearness(target, {"a": far, "b": near, "c": middle}, "layer 1")
    assert sum(one.share for one in found.values()) == pytest.approx(1.5)
    assert found["b"].share > found["a"].share
    assert all(one.low <= one.share <= one.high for one in found.values())
    assert nearness.nearness(target, {"c": middle, "b": near, "a": far}, "layer 1") == found
    elsewhere = nearness.nearness(target + 100.0, {"a": far, "b": near - 3.0, "c": middle}, "layer 1")
    assert {tag: one.share for tag, one in elsewhere.items()} == {tag: one.share for tag, one in found.items()}
    tied = nearness.nearness(target, {"a": near, "b": near}, "layer 1")
    assert [one.share for one in tied.values()] == [0.5, 0.5]


def test_unequal_numbers_of_sentences_and_a_single_source_are_refused() -> None:
    (target, one), (more, _) = vectors(0, 5, [1.0]), vectors(0, 6, [1.0])
    with pytest.raises(DataError, match="as many sentences"):
        nearness.nearness(target, {"a": one, "b": more}, "layer 1")
    with pytest.raises(DataError, match="two or more"):
        nearness.nearness(target, {"a": one}, "layer 1")


def test_evidence_that_tells_nothing_changes_nothing_and_english_stays_the_reference() -> None:
    (ranking,) = sources.rank(["swh_Latn"], ["eng_Latn", "spa_Latn", "ind_Latn"], task="classify", family="encoder")
    flat = nearness.Nearness(0.5, 0.4, 0.6, 30, 30, "layer 1")
    same = nearness.combine(ranking, dict.fromkeys(("eng_Latn", "spa_Latn", "ind_Latn"), flat))
    assert [(one.source, one.expected) for one in same.candidates] == [
        (one.source, one.expected) for one in ranking.candidates
    ]
    high = nearness.Nearness(1.0, 1.0, 1.0, 30, 30, "layer 1")
    moved = {one.source: one for one in nearness.combine(ranking, {"eng_Latn": high, "spa_Latn": flat}).candidates}
    before = {one.source: one for one in ranking.candidates}
    assert moved["eng_Latn"].expected == 0
    assert moved["spa_Latn"].expected < before["spa_Latn"].expected
    assert moved["ind_Latn"].expected < before["ind_Latn"].expected
