"""What holds for every squeeze: a model folder in, one that its family reads out, of the same labels; text decides."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import tiny
from isogloss.core import parts
from isogloss.core.errors import IsoglossError
from isogloss.parts.families import encoder

NAMES = parts.names("squeezes")


@pytest.mark.parametrize("name", NAMES)
def test_the_folder_that_it_writes_is_read_and_answers(name: str, tmp_path: Path) -> None:
    part = parts.load("squeezes", name)
    assert part.summary.endswith(".")
    encoder.write(tiny.load("xlm-roberta", tmp_path), tmp_path / "whole")
    before = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    rows = pl.DataFrame(tiny.sentences(4)).select("text", "lang")
    facts = part.call("apply", tmp_path / "whole", tmp_path / "small", rows, knobs=part.bind({}))
    assert all(isinstance(value, int | float) for value in facts.values())
    read = encoder.read(tmp_path / "small")
    assert encoder.predict(read, rows).shape == (rows.height, len(tiny.LABELS))
    assert {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()} == before
    assert not list((tmp_path / "small").glob("*.bin"))


@pytest.mark.parametrize("name", NAMES)
def test_without_text_it_says_so(name: str, tmp_path: Path) -> None:
    part = parts.load("squeezes", name)
    encoder.write(tiny.load("bert", tmp_path), tmp_path / "whole")
    none = pl.DataFrame(schema={"text": pl.String, "lang": pl.String})
    with pytest.raises(IsoglossError):
        part.call("apply", tmp_path / "whole", tmp_path / "small", none, knobs=part.bind({}))
