"""values: rows are read by their language and country, text outside values stays byte for byte, and unknown is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from isogloss.core.errors import DataError
from isogloss.parts.steps import values

pytest.importorskip("babel", reason="the extra `text` is not installed")

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def apply(*rows: tuple[str | None, str | None, str | None], **knobs: Any) -> list[str | None]:
    frame = pl.DataFrame(
        [(str(i), *row) for i, row in enumerate(rows)],
        schema=dict.fromkeys(("id", "lang", "variety", "text"), pl.String),
        orient="row",
    )
    after = values.apply(frame, **knobs)
    assert after["drop"].null_count() == len(rows)
    return after["text"].to_list()


def test_the_country_of_the_row_comes_before_that_of_the_knob() -> None:
    rows = [("eng_Latn", variety, "03/04/2025") for variety in (None, "US", "GB", "US-posix", "scouse")]
    assert apply(*rows) == ["03/04/2025", "2025-03-04", "2025-04-03", "2025-03-04", "03/04/2025"]
    assert apply(*rows, regions=["en-GB"]) == ["2025-04-03", "2025-03-04", "2025-04-03", "2025-03-04", "2025-04-03"]
    with pytest.raises(DataError, match="regions names 'en', which has no country; write it as in en-US"):
        apply(*rows, regions=["en"])


def test_what_has_no_language_or_one_that_cldr_does_not_know_stays() -> None:
    text = "1,234.56 on 3 April 2025"
    assert apply((None, None, text), ("ban_Latn", None, text), ("eng_Latn", None, None)) == [text, text, None]
    said = values.remarks(("eng_Latn", "ban_Latn", "deu_Latn"))
    assert said[0] == "values: not known to CLDR, and left as they are: ban_Latn"
    assert any("the order of a date in digits differs between countries of eng_Latn;" in remark for remark in said)
    assert any("the decimal sign differs between countries of deu_Latn;" in remark for remark in said)
    assert len(values.remarks(("eng_Latn", "deu_Latn"), regions=["en-US", "de-DE"])) == 0


def test_each_knob_is_for_one_kind() -> None:
    row = ("deu_Latn", "DE", "Am 3. April 2025 kosteten 1.234,5 Meilen 12,50 €.")
    keep = {"dates": "keep", "numbers": "keep", "currencies": "keep", "units": "keep"}
    assert apply(row, **keep) == [row[2]]
    assert apply(row, **{**keep, "dates": "iso"}) == ["Am 2025-04-03 kosteten 1.234,5 Meilen 12,50 €."]
    assert apply(row, **{**keep, "numbers": "plain"}) == ["Am 3. April 2025 kosteten 1234.5 Meilen 12.50 €."]
    assert apply(row, **{**keep, "currencies": "iso"}) == ["Am 3. April 2025 kosteten 1.234,5 Meilen 12,50 EUR."]
    assert apply(row, **{**keep, "units": "sign"}) == ["Am 3. April 2025 kosteten 1.234,5 mi 12,50 €."]
    assert apply(row, units="si") == ["Am 2025-04-03 kosteten 1986.735 km (1.234,5 Meilen) 12.50 EUR."]


def test_a_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    from isogloss.core.errors import MissingError
    from isogloss.core.values import cldr

    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "babel":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    for cached in (cldr.conventions, cldr.known, cldr._bases, cldr._data):
        cached.cache_clear()
    with pytest.raises(MissingError, match=r"needs the package 'Babel': pip install 'isogloss\[text\]'"):
        apply(("eng_Latn", None, "1,234"))


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not here")
def test_outside_of_values_real_text_is_untouched_and_twice_is_once() -> None:
    import regex

    frame = pl.read_parquet(SHARED / "flores200.parquet").filter(pl.col("lang").is_not_null())
    frame = frame.filter(pl.col("id").hash(0) % 12 == 0).with_columns(variety=pl.lit(None, pl.String))
    assert frame["lang"].n_unique() > 50
    once = values.apply(frame, units="si")
    assert values.apply(once, units="si").equals(once)
    no_digit = frame["text"].str.contains(r"\p{Nd}").not_()
    assert once.filter(no_digit)["text"].equals(frame.filter(no_digit)["text"])
    changed = (once["text"] != frame["text"]).sum()
    assert 0.02 < changed / frame.height < 0.2
    quotes = regex.compile(r"[\p{Pi}\p{Pf}\"'?!।。؟]")
    for before, after in zip(frame["text"], once["text"], strict=True):
        assert len(quotes.findall(before)) - len(quotes.findall(after)) <= before.count("’") + before.count("'")
