"""Dates, numbers, money and measures of a text in one declared form; everything else stays byte for byte.

    dates       2025-04-03                          ISO 8601; of another calendar: 2025-04-03 (3 เมษายน 2568)
    numbers     -1234567.89                         digits 0 to 9, a decimal point, nothing between the digits
    money       1234.50 EUR, EUR 1234.50            the code of ISO 4217 where the sign or the name stood
    measures    5 km; converted: 8.05 km (5 miles)  the number and the unit's sign

What is in that form already is what it was, so twice is the same as once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from isogloss.core.values import amounts, dates, numbers
from isogloss.core.values.cldr import Conventions, fold

Kind = Literal["date", "number", "money", "measure"]
Units = Literal["keep", "sign", "si"]
ROUNDS = 6


@dataclass(frozen=True)
class Found:
    """A value in a text: where it stands, its declared form, and `value`, which says what it is, whatever the form:
    the day, the number (scale words included), `12.5 EUR`, `5 length-mile`."""

    start: int
    end: int
    kind: Kind
    form: str
    value: str


@dataclass(frozen=True)
class Forms:
    """What is rewritten."""

    dates: bool = True
    numbers: bool = True
    money: bool = True
    units: Units = "keep"


def rewrite(text: str, conventions: Conventions, forms: Forms) -> str:
    """The text in the declared forms."""
    for _ in range(ROUNDS):  # what is rewritten can make clear what stands beside it
        changed = [found for found in find(text, conventions, forms) if text[found.start : found.end] != found.form]
        if not changed:
            break
        out, at = [], 0
        for found in changed:
            out += [text[at : found.start], found.form]
            at = found.end
        text = "".join([*out, text[at:]])
    return text


def find(text: str, conventions: Conventions, forms: Forms) -> list[Found]:
    """The values of a text in order, also those that are in their form already."""
    if not _has_digit().search(text):
        return []
    days = dates.find(text, conventions)
    beside = list(_beside(text, conventions))
    taken = [*numbers.blocked(text), *((day.start, day.end) for day in days), *beside]
    found = []
    if forms.dates:
        kept = numbers.Places(beside)
        found += [_date(text, day) for day in days if day.day and not kept.touch(day.start, day.end)]
    for numeral in numbers.find(text, conventions, taken):
        found += _number(text, numeral, conventions, forms)
    return sorted(found, key=lambda f: f.start)


@lru_cache(maxsize=1)
def _has_digit() -> Any:
    import regex

    return regex.compile(r"\p{Nd}")


def _date(text: str, day: dates.Day) -> Found:
    iso = str(day.day)
    form = f"{iso} ({text[day.start : day.end]})" if day.converted else iso
    return Found(day.start, day.end, "date", form, iso)


def _number(text: str, numeral: numbers.Numeral, conventions: Conventions, forms: Forms) -> Iterator[Found]:
    plain = numeral.plain if forms.numbers else text[numeral.start : numeral.end]
    scaled = plain + text[numeral.end : numeral.scale_end]
    value = f"{numeral.value.normalize():f}"
    if forms.money and (sum_ := amounts.money(text, numeral, conventions)):
        form = f"{sum_.code} {scaled}" if sum_.ahead else f"{scaled} {sum_.code}"
        yield Found(sum_.start, sum_.end, "money", form, f"{value} {sum_.code}")
        return
    measure = amounts.measure(text, numeral, conventions) if forms.units != "keep" else None
    if measure and not _longer(text, measure, conventions):
        unit, written = amounts.units()[measure.unit], text[measure.start : measure.end]
        form = f"{scaled} {unit.sign}"
        if unit.to and forms.units == "si" and not numbers.begins_range(text, measure.start):
            form = f"{amounts.converted(numeral.value, numeral.plain, unit)} {unit.to} ({written})"
        yield Found(measure.start, measure.end, "measure", form, f"{value} {measure.unit}")
        return
    if forms.numbers:
        yield Found(numeral.start, numeral.end, "number", plain, value)


def _longer(text: str, measure: amounts.Amount, conventions: Conventions) -> bool:
    """Whether a measure is part of a longer one: 5 feet 3 inches, 5 feet and 3 inches."""
    before, after = _part()
    found = before.search(text, max(0, measure.start - 24), measure.start), after.match(text, measure.end)
    words = [match["unit"] for match in found if match]
    return any(fold(word) in conventions.units or word in conventions.short_units for word in words)


@lru_cache(maxsize=1)
def _part() -> tuple[Any, Any]:
    import regex

    word = r"(?:\s\p{L}{1,4})?"
    unit = r"(?P<unit>[\p{L}\p{M}'′\"]{1,12})"
    return regex.compile(rf"\p{{Nd}}[\s-]?{unit}{word}[\s-]$"), regex.compile(rf"{word}[\s-]\p{{Nd}}{{1,2}}\s?{unit}")


def _beside(text: str, conventions: Conventions) -> Iterator[tuple[int, int]]:
    """What was written before a conversion and stands in brackets behind it."""
    for match in _kept().finditer(text):
        inner, head = match["inner"], match["head"]
        if match["iso"]:
            known = any(str(d.day) == head and d.converted for d in dates.find(inner, conventions))
        else:
            found = [
                amounts.measure(inner, n, conventions) for n in numbers.find(inner, conventions) if n.end <= len(inner)
            ]
            known = any(
                head == f"{amounts.converted(m.numeral.value, m.numeral.plain, unit)} {unit.to}"
                for m in found
                if m and (unit := amounts.units()[m.unit]).to
            )
        if known:
            yield match.span()


@lru_cache(maxsize=1)
def _kept() -> Any:
    import regex

    return regex.compile(
        r"(?<![\d.])(?P<head>(?P<iso>\d{4}-\d\d-\d\d)|-?\d{1,15}(?:\.\d{1,15})? [\p{L}°µ²³/]{1,6}) \((?P<inner>(?:[^()\n]|\([^()\n]*\)){1,80})\)"
    )
