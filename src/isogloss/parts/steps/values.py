"""Write dates, numbers, currencies and units in one declared form, read by the conventions of the row's language.

    03.04.2025, 3. April 2025 → 2025-04-03        1.234,5 → 1234.5        12,50 € → 12.50 EUR        5 Kilometer → 5 km

What CLDR knows of a language and of the countries where it is official says how to read: names of months, the order of a
date in digits, the signs between digits, the signs and names of currencies, the names of units. Where countries differ,
the row's `variety` or the knob `regions` names one; without it, only what is the same everywhere is rewritten:
03/04/2025 in English stays, because it is a day in March or in April. Rows in a language that CLDR does not know, and
rows without a language, stay as they are.

Text outside what was recognised stays byte for byte. A change of form (1.234,5 → 1234.5) loses nothing; where a value
is converted, to another calendar or unit, what was written stays beside it: `2025-04-03 (3 เมษายน 2568)`.
Numbers in words, times of day, dates without a year, ordinals and fractions stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import polars as pl

VERSION = 2
REWRITES = True


def check(*, regions: list[str] = []) -> None:  # noqa: B006
    """Raise RecipeError for a region that names no country, with the recipe and not in the middle of the run."""
    from isogloss.core.errors import DataError, RecipeError

    try:
        _regions(regions)
    except DataError as error:
        raise RecipeError(str(error), key="regions") from None


def apply(
    batch: pl.DataFrame,
    *,
    dates: Literal["keep", "iso"] = "iso",
    numbers: Literal["keep", "plain"] = "plain",
    currencies: Literal["keep", "iso"] = "iso",
    units: Literal["keep", "sign", "si"] = "keep",
    regions: list[str] = [],  # noqa: B006
) -> pl.DataFrame:
    """Rewrite `text`.

    Knobs
        dates: as they are (keep), or as ISO 8601 (iso)
        numbers: as they are (keep), or in digits 0 to 9 with a decimal point and nothing between the digits (plain)
        currencies: as they are (keep), or as the code of ISO 4217 in place of the sign or the name (iso)
        units: as they are (keep), by their sign (sign), or those that are not of the SI converted, with what was
            written in brackets behind (si)
        regions: the country of the rows that name none, by language, e.g. ["en-US", "es-MX"]
    """
    import polars as pl

    from isogloss.core.values.cldr import conventions
    from isogloss.core.values.rewrite import Forms, rewrite

    forms = Forms(dates == "iso", numbers == "plain", currencies == "iso", units)
    usual = _regions(regions)
    langs = batch["lang"].to_list()
    varieties = batch["variety"].to_list() if "variety" in batch.columns else [None] * batch.height
    texts = []
    for text, lang, variety in zip(batch["text"].to_list(), langs, varieties, strict=True):
        known = conventions(lang, _country(variety) or usual.get(lang)) if text and lang else None
        texts.append(text if known is None else rewrite(text, known, forms))
    drop = batch["drop"] if "drop" in batch.columns else pl.Series([None] * batch.height, dtype=pl.String)
    return batch.with_columns(pl.Series("text", texts, dtype=pl.String), drop.alias("drop"))


def remarks(langs: tuple[str, ...], *, regions: list[str] = []) -> list[str]:  # noqa: B006
    """What cannot be read, or not everything, in these languages."""
    from isogloss.core.values.cldr import conventions

    usual, said = _regions(regions), []
    unknown = [lang for lang in langs if conventions(lang) is None]
    if unknown:
        said.append(f"values: not known to CLDR, and left as they are: {', '.join(unknown)}")
    for what, attribute in (("the order of a date in digits", "orders"), ("the decimal sign", "ascii")):
        asked = [lang for lang in langs if lang not in (*unknown, *usual)]
        open_ = [lang for lang in asked if len(getattr(conventions(lang), attribute)) > 1]
        if open_:
            said.append(
                f"values: {what} differs between countries of {', '.join(open_)}; what depends on it is rewritten only in "
                "rows with a country (en-US), or with the knob regions"
            )
    return said


def _country(variety: str | None) -> str | None:
    """The country in a variety such as `US` or `BR-1990`."""
    first = (variety or "").split("-")[0]
    return first if len(first) in (2, 3) and first.isupper() else None


def _regions(codes: list[str]) -> dict[str, str]:
    """The country of each language. Raises DataError for a code that names none."""
    from isogloss.core.errors import DataError
    from isogloss.core.lang import resolve

    found = {}
    for code in codes:
        read = resolve(code)
        country = _country(read.variety)
        if country is None:
            raise DataError(f"values: regions names '{code}', which has no country; write it as in en-US")
        found[read.tag] = country
    return found
