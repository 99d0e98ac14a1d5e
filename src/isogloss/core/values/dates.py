"""Dates with day, month and year, written in a language's own way, as ISO 8601; what is not certain is left.

A date in digits needs an order that all countries of the language share, or the country (03/04/2025). A year has four
digits. A date of another calendar is converted, and what was written stays beside it: `2025-04-03 (3 เมษายน 2568)`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

from isogloss.core.values import calendars
from isogloss.core.values.cldr import SPACES, Conventions, fold


@dataclass(frozen=True)
class Day:
    """A day in a text: where it stands, which it is (None: cannot be told), whether its calendar was converted, and
    whether its month is named."""

    start: int
    end: int
    day: date | None
    converted: bool = False
    named: bool = True


def find(text: str, conventions: Conventions) -> list[Day]:
    """The dates of a text in order, also those that cannot be told, whose digits are no numbers."""
    found: list[Day] = []
    for day in sorted(_all(text, conventions), key=lambda d: (d.start, -d.end)):
        if not found or day.start >= found[-1].end:
            found.append(day)
    if not found:
        return []
    beside = zip([None, *found[:-1]], found, [*found[1:], None], strict=True)
    return [_guarded(text, day, before, after) for before, day, after in beside]


def _all(text: str, conventions: Conventions) -> Iterator[Day]:
    for pattern in _named(conventions):
        for match in pattern.finditer(text):
            yield _of_name(match, conventions)
    for match in _era(conventions.tag).finditer(text) if conventions.tag in calendars.ERAS else ():
        yield _of_era(match, conventions)
    for match in _digits().finditer(text):
        yield _of_digits(match, conventions)


# -- in words ---------------------------------------------------------------------------------------------------

_SPACE = f"[{SPACES}\t]"
_GAP = rf"(?:{_SPACE}+|{_SPACE}?[.,،/-]{_SPACE}*)"
_DAY = r"(?P<d>\p{Nd}{1,2})"
_YEAR = r"(?P<y>\p{Nd}{4})(?!\p{Nd})"
# st, nd, er, º, -го, '-an ...: what makes a number an ordinal
_NTH = r"(?:[.ºª°]|[-'’]?\p{L}{1,3}\.?)?"


@lru_cache(maxsize=512)
def _named(conventions: Conventions) -> tuple[Any, ...]:
    """Patterns of dates in which the month has a name, and of those that CLDR writes with words between the parts."""
    import regex

    own = calendars.counting(conventions.tag).months or {}
    names = sorted({*conventions.months, *own}, key=len, reverse=True)
    if not names:
        return ()
    spelled = "|".join(regex.escape(name).replace(r"\ ", f"{_SPACE}+") for name in names)
    bare = rf"(?P<m>{spelled})"
    month = rf"{bare}(?![\p{{L}}\p{{M}}\p{{Nd}}])\.?"
    words = "|".join(regex.escape(link) for link in conventions.links if not link.isdecimal())
    linked = rf"(?:{_GAP}(?:(?:{words}){_SPACE}*)?)" if words else _GAP
    marks = [*calendars.GREGORIAN_WORDS.get(conventions.tag, ()), *calendars.BUDDHIST_WORDS.get(conventions.tag, ())]
    era = rf"(?P<mark>{'|'.join(map(regex.escape, marks))})?{_SPACE}*" if marks else ""
    before = r"(?<![\p{L}\p{M}\p{Nd}_#@])"
    shapes = [
        rf"(?<![\p{{Nd}}.,:/_#@-]|\p{{Lu}}|\p{{Ll}}){_DAY}{_NTH}{linked}?{month}{linked}{era}{_YEAR}",
        rf"{before}{month}{_GAP}{_DAY}{_NTH}{_GAP}{era}{_YEAR}",
        rf"(?<![\p{{Nd}}.,:/_#@-]|\p{{Lu}}|\p{{Ll}}){_YEAR}(?P<s>[/.-]){bare}(?P=s){_DAY}(?![\p{{Nd}}/.-]\p{{Nd}}|\p{{Nd}})",
    ]
    if "ymd" in conventions.name_orders:
        gap = rf"[.]?{_SPACE}+"
        shapes.append(rf"(?<![\p{{Nd}}.,:/_#@-]|\p{{Lu}}|\p{{Ll}}){_YEAR}{gap}{month}{gap}{_DAY}(?!\p{{Nd}})")
    shapes += [_framed(frame, month, bare) for frame in conventions.frames]
    return tuple(regex.compile(f"(?i:{shape})" if "m>" in shape else shape) for shape in dict.fromkeys(shapes))


def _framed(frame: str, month: str, bare: str) -> str:
    """A pattern of CLDR as a regular expression, without the words before its first and behind its last part."""
    import regex

    parts = frame.split("\0")
    if parts[0].startswith("'"):
        parts = parts[1:]
    if parts[-1].startswith(("' ", "'\u00a0", "'\u202f", "'.", "',")):
        parts = parts[:-1]
    out = r"(?<![\p{Nd}.,:/_#@-])"
    for part, following in zip(parts, [*parts[1:], ""], strict=True):
        if part.startswith("'"):
            words = [regex.escape(word) for word in regex.split(f"{_SPACE}+", part[1:])]
            lead = f"{_SPACE}*" if not words[0] else f"{_SPACE}?" if unicodedata.category(words[0][0]) == "Lo" else ""
            out += lead + f"{_SPACE}+".join(filter(None, words)) + f"{_SPACE}*"
        else:
            named = bare if following[1:2].isalpha() else month
            out += {"d": _DAY, "y": r"(?P<y>\p{Nd}{4})", "M": r"(?P<m>\p{Nd}{1,2})", "MMM": named}[part]
    return out + ("" if parts[-1].startswith("'") else r"(?!\p{Nd})")


def _of_name(match: Any, conventions: Conventions) -> Day:
    start, end = match.span()
    end -= len(match.group()) - len(match.group().rstrip(SPACES))
    year, day, name = int(match["y"]), int(match["d"]), match["m"]
    count = calendars.counting(conventions.tag)
    if count.calendar == "unsure":
        return Day(start, end, None)
    word = fold(name)
    own = (count.months or {}).get(word)
    mark = match.groupdict().get("mark")
    foreign = any(
        w in match.string[max(0, start - 12) : end + 12] for w in calendars.GREGORIAN_WORDS.get(conventions.tag, ())
    )
    if own is not None:
        convert = calendars.persian if count.calendar == "persian" else calendars.ethiopic
        return Day(start, end, None if foreign else convert(year, own, day), converted=True)
    month = int(name) if name.isdecimal() else conventions.months.get(word, 0)
    if count.calendar == "buddhist" and mark not in calendars.GREGORIAN_WORDS[conventions.tag]:
        return Day(start, end, calendars.buddhist(year, month, day), converted=True)
    return Day(start, end, calendars.gregorian(year, month, day, count.since))


@lru_cache(maxsize=8)
def _era(tag: str) -> Any:
    import regex

    names = "|".join(calendars.ERAS[tag])
    return regex.compile(
        rf"(?P<era>{names}){_SPACE}?(?P<y>元|\p{{Nd}}{{1,3}}){_SPACE}?年{_SPACE}?(?P<m>\p{{Nd}}{{1,2}}){_SPACE}?月{_SPACE}?"
        rf"(?P<d>\p{{Nd}}{{1,2}}){_SPACE}?日"
    )


def _of_era(match: Any, conventions: Conventions) -> Day:
    more, first, last = calendars.ERAS[conventions.tag][match["era"]]
    year = 1 if match["y"] == "元" else int(match["y"])
    day = calendars.gregorian(year + more, int(match["m"]), int(match["d"]), first.year)
    start, end = match.span()
    return Day(start, end, day if day and first <= day <= last else None, converted=True)


# -- in digits --------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _digits() -> Any:
    import regex

    mark = r"[\u200e\u200f\u061c]?"
    gap = rf"{mark}(?P<s>[./-]){_SPACE}?{mark}"
    return regex.compile(
        rf"(?<![\p{{L}}\p{{Nd}}_#@/:-]|\p{{Nd}}[.,٫])(?P<a>\p{{Nd}}{{1,4}}){gap}(?P<b>\p{{Nd}}{{1,2}}){mark}(?P=s){_SPACE}?{mark}"
        rf"(?P<c>\p{{Nd}}{{1,4}})(?![\p{{Nd}}_@]|[./:-]\p{{Nd}}|[\p{{Lu}}\p{{Ll}}])"
    )


def _of_digits(match: Any, conventions: Conventions) -> Day:
    """A date such as 3.4.2025 or 2025/04/03."""
    start, end = match.span()
    a, b, c = match["a"], match["b"], match["c"]
    count = calendars.counting(conventions.tag)
    day = None
    if count.calendar in ("gregorian", "persian"):
        if len(a) == 4 and len(c) <= 2:
            day = calendars.gregorian(int(a), int(b), int(c), count.since)
        elif len(c) == 4 and len(a) <= 2:
            year, (first, second) = int(c), (int(a), int(b))
            by_order = {
                "dmy": calendars.gregorian(year, second, first, count.since),
                "mdy": calendars.gregorian(year, first, second, count.since),
            }
            possible = {found for found in by_order.values() if found}
            followed = {by_order[order] for order in conventions.orders & by_order.keys()}
            if len(possible) == 1:
                day = next(iter(possible))
                day = day if not followed or day in followed else None
            elif len(followed) == 1:
                day = next(iter(followed))
    return Day(start, end, day, named=False)


# -- what stands around -----------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _around() -> tuple[Any, Any, Any]:
    import regex

    mark = r"[-–—~〜～/&]"
    before = regex.compile(rf"(?:[\p{{L}}\p{{M}}\p{{Nd}}][.ºª°]?\s?{mark})\s*$")
    # 3 and 5 April, 3, 5 April: a day and a short word or a comma
    shared = regex.compile(r"(?<!\p{Nd})\p{Nd}{1,2}[.ºª°]?\p{L}{0,3}(?:\s?[,、،]|\s+\p{L}{1,10})\s*$")
    after = regex.compile(rf"\s?(?:{mark}|至)\s?\p{{Nd}}|\s(?i:o\.\s?s\.|b\.?\s?c)")
    return before, shared, after


def _guarded(text: str, day: Day, previous: Day | None, following: Day | None) -> Day:
    """The date, or one that cannot be told where it may be one end of a range that shares its month or year.

    It is not where the date beside it stands at the other end.
    """
    if day.day is None:
        return day
    before, shared, after = _around()
    start = max(0, day.start - 20)
    by_day = day.named and text[day.start].isdecimal() and not text[day.start : day.start + 3].isdecimal()
    first = before.search(text, start, day.start) or (by_day and shared.search(text, start, day.start))
    if first and previous and day.start - previous.end <= 8 and not _has_digit(text[previous.end : day.start]):
        first = None
    last = after.match(text, day.end)
    if last and following and following.start - day.end <= 8 and not _has_digit(text[day.end : following.start]):
        last = None
    return Day(day.start, day.end, None, day.converted, day.named) if first or last else day


def _has_digit(text: str) -> bool:
    return any(c.isdecimal() for c in text)
