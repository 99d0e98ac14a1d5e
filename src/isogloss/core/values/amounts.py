"""Money and measures: a number with the sign, code or name of a currency, or with a unit, beside it.

A sign that means different currencies where the language is written ($ in English) says which only with the country;
without it the amount is a number and nothing more. A unit that is not of the SI can be converted; what was written then
stays beside it: `8.05 km (5 miles)`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from isogloss.core.values.cldr import SPACES, UNSPACED, Conventions, codes, fold
from isogloss.core.values.numbers import Numeral


@dataclass(frozen=True)
class Amount:
    """A number with a currency (`code`) or a unit (CLDR's name), and where both stand; `ahead` says on which side."""

    start: int
    end: int
    numeral: Numeral
    code: str = ""
    unit: str = ""
    ahead: bool = False


@dataclass(frozen=True)
class Unit:
    """The sign of a unit, and how it becomes a unit of the SI."""

    sign: str
    to: str = ""
    factor: Decimal = Decimal(1)
    offset: Decimal = Decimal(0)


@cache
def units() -> Mapping[str, Unit]:
    """The units of `assets/units.tsv` by CLDR's name."""
    path = Path(__file__).parents[2] / "assets" / "units.tsv"
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    found = {}
    for name, sign, *rest in lines[1:]:
        to, factor, offset = [*rest, "", "1", "0"][:3] if not rest else [*rest, "0"][:3]
        found[name] = Unit(sign, to, Decimal(factor), Decimal(offset))
    return found


@cache
def _signs() -> Mapping[str, str]:
    """Units by sign, the same in every language; one letter alone says too little, and `in` is a word."""
    found: dict[str, str] = {}
    for name, unit in units().items():
        if len(unit.sign) > 1 and unit.sign not in ("in", "st", "ac"):
            found.setdefault(unit.sign, name)
    return {
        **found,
        "km2": "area-square-kilometer",
        "m2": "area-square-meter",
        "m3": "volume-cubic-meter",
        "lbs": "mass-pound",
    }


# What makes a $ that of a country, before the sign, with or without a space: HK$, hk $.
_DOLLARS = {
    "us": "USD",
    "hk": "HKD",
    "nt": "TWD",
    "nz": "NZD",
    "ca": "CAD",
    "au": "AUD",
    "mx": "MXN",
    "sg": "SGD",
    "a": "AUD",
    "c": "CAD",
    "r": "BRL",
}


@lru_cache(maxsize=512)
def _patterns(conventions: Conventions) -> dict[str, Any]:
    """What stands beside a number: money behind and ahead, units behind, and around."""
    import regex

    def either(words: Sequence[str]) -> str:
        spelled = (
            regex.escape(word).replace(r"\ ", f"[{SPACES}]+") for word in sorted(set(words), key=len, reverse=True)
        )
        return "|".join(spelled) or r"(?!)"

    gap = f"[{SPACES}]?"
    # the end of a word: in scripts without spaces only a word of Katakana has one that can be seen
    edge = rf"(?![\p{{M}}\p{{Nd}}_]|(?![{UNSPACED}])\p{{L}}|(?<=\p{{Script=Katakana}})[\p{{Script=Katakana}}ー])"
    signs = either([*conventions.symbols, *(["￥"] if "¥" in conventions.symbols else [])])
    names = either([name for name in conventions.currencies if len(name) > 1 or not name.isascii()])
    code = either(sorted(codes()))
    # 25 euros con 50, 3 dollars 50 cents: the amount goes on; 1 $ 10: the sign may be that of the second number
    on = rf"(?!(?:[{SPACES}]\p{{L}}{{1,4}})?[{SPACES}]\p{{Nd}}{{1,2}}(?!\p{{Nd}}|[.,]\p{{Nd}}))"
    other = rf"(?!{gap}\p{{Nd}})"
    own = [w for w, unit in conventions.short_units.items() if unit in units() and not w.isascii()]
    long = either([w for w, unit in conventions.units.items() if unit in units()])
    not_per = rf"(?![{SPACES}]?(?:{either(conventions.per)}))"
    around = {pair: unit for pair, unit in conventions.around.items() if unit in units()}
    return {
        "behind": regex.compile(
            rf"{gap}(?:(?P<sign>{signs}){edge}{other}|(?P<code>{code}){edge}|(?P<name>(?i:{names})){edge}){on}"
        ),
        "ahead": regex.compile(
            rf"(?<![\p{{M}}\p{{Nd}}_$€£¥￥]|(?![{UNSPACED}])\p{{L}})"
            rf"(?:(?P<land>(?i:{either([*_DOLLARS])})){gap}(?P<of>[$£¥])|(?P<sign>{signs})|(?P<code>{code})){gap}$"
        ),
        "unit": regex.compile(
            rf"[{SPACES}-]?(?:(?P<long>(?i:{long})){edge}|(?P<short>{either([*own, *_signs()])}){edge}){not_per}"
        ),
        "before": regex.compile(rf"(?P<before>{either([before for before, _ in conventions.around])}){gap}$"),
        "after": regex.compile(rf"{gap}(?P<after>{either([after for _, after in around])}){edge}"),
    }


def money(text: str, numeral: Numeral, conventions: Conventions) -> Amount | None:
    """The amount of money that a number is, or None."""
    patterns = _patterns(conventions)
    after = patterns["behind"].match(text, numeral.scale_end)
    ahead = patterns["ahead"].search(text, max(0, numeral.start - 12), numeral.start)
    if ahead and text[max(0, ahead.start() - 4) : ahead.start()].rstrip(SPACES)[-1:].isdecimal():
        ahead = None  # it belongs to the number before
    found = [code for code in (_ahead(ahead, conventions) if ahead else None, _code(after, conventions)) if code]
    if bool(ahead) + bool(after) != 1 or not found:
        return None  # none, two, or one of which it is not clear whose it is
    if ahead:
        return Amount(ahead.start(), numeral.scale_end, numeral, code=found[0], ahead=True)
    return Amount(numeral.start, after.end(), numeral, code=found[0])


def _ahead(match: Any, conventions: Conventions) -> str | None:
    """The currency of a sign or code before a number."""
    if match["code"]:
        return str(match["code"])
    if match["land"]:  # HK$; "hk $", "a $ 5" may mean more than one thing
        written = match["land"] + match["of"]
        return _DOLLARS.get(match["land"].casefold()) if written.isupper() and match["of"] == "$" else None
    return conventions.symbols[match["sign"].replace("￥", "¥")]


def _code(match: Any, conventions: Conventions) -> str | None:
    """The currency of a sign, code or name behind a number."""
    if match is None:
        return None
    if match["code"]:
        return str(match["code"])
    if match["sign"]:
        return conventions.symbols[match["sign"].replace("￥", "¥")]
    return conventions.currencies[fold(match["name"])]


def measure(text: str, numeral: Numeral, conventions: Conventions) -> Amount | None:
    """The measure that a number is, or None."""
    if text[max(0, numeral.start - 4) : numeral.start].rstrip(SPACES)[-1:] in tuple("-−–"):
        return None  # a minus, or a dash?
    patterns = _patterns(conventions)
    before = patterns["before"].search(text, max(0, numeral.start - 12), numeral.start)
    if before:
        after = patterns["after"].match(text, numeral.scale_end)
        unit = conventions.around.get((before["before"], after["after"])) if after else None
        return Amount(before.start(), after.end(), numeral, unit=unit) if unit and unit in units() else None
    match = patterns["unit"].match(text, numeral.scale_end)
    if match is None:
        return None
    if match["long"]:
        return Amount(numeral.start, match.end(), numeral, unit=conventions.units[fold(match["long"])])
    unit = conventions.short_units.get(match["short"]) or _signs()[match["short"]]
    return Amount(numeral.start, match.end(), numeral, unit=unit)


def converted(value: Decimal, plain: str, unit: Unit) -> str:
    """`value` in the unit of the SI, with two more significant digits than were written (three at least).

    >>> converted(Decimal(5), "5", units()["length-mile"]), converted(Decimal(98), "98", units()["temperature-fahrenheit"])
    ('8.05', '36.67')
    """
    exact = value * unit.factor + unit.offset
    digits = max(3, len(plain.replace(".", "").replace("-", "").strip("0")) + 2)
    shown = f"{exact:.{digits}g}"
    return f"{Decimal(shown):f}"
