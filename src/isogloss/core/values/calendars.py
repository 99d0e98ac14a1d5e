"""Calendars other than the Gregorian: how a language counts dates, and the Gregorian date of a day that is named there.

Only what is certain is converted: the Persian and the Ethiopic calendar by arithmetic, Buddhist years from 1941 on (the
Thai year began in April before), Japanese eras from 1873 on (the lunar calendar was used before), the Republic of China's
years. Islamic dates depend on who saw the moon and are left as they are; so are the Vikram and the Hebrew calendar.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

LAST = 2099
SINCE = 1930
# Buddhist years whose beginning is the first of January.
BUDDHIST = (2484, LAST + 543)

# Era: what is added to its year, its first and its last day. 2100 stands for now.
ERAS: Mapping[str, Mapping[str, tuple[int, date, date]]] = {
    "jpn_Jpan": {
        "明治": (1867, date(1873, 1, 1), date(1912, 7, 29)),
        "大正": (1911, date(1912, 7, 30), date(1926, 12, 24)),
        "昭和": (1925, date(1926, 12, 25), date(1989, 1, 7)),
        "平成": (1988, date(1989, 1, 8), date(2019, 4, 30)),
        "令和": (2018, date(2019, 5, 1), date(LAST, 12, 31)),
    },
    "zho_Hant": {
        "民國": (1911, date(1912, 1, 1), date(LAST, 12, 31)),
        "民国": (1911, date(1912, 1, 1), date(LAST, 12, 31)),
    },
}
# Words beside a year that say by which calendar it is counted.
BUDDHIST_WORDS: Mapping[str, tuple[str, ...]] = {"tha_Thai": ("พ.ศ.", "พ. ศ.", "พุทธศักราช")}
GREGORIAN_WORDS: Mapping[str, tuple[str, ...]] = {
    "tha_Thai": ("ค.ศ.", "ค. ศ."),
    "amh_Ethi": ("እ.ኤ.አ",),
    "tir_Ethi": ("እ.ኤ.አ",),
}


@dataclass(frozen=True)
class Counting:
    """How a language counts dates; see `assets/calendars.tsv`."""

    since: int = SINCE
    calendar: str = "gregorian"
    months: Mapping[str, int] | None = None


@cache
def _table() -> Mapping[str, Counting]:
    path = Path(__file__).parents[2] / "assets" / "calendars.tsv"
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    found = {}
    for tag, since, calendar, months in lines[1:]:
        names = {n: i for i, each in enumerate(months.split(","), 1) for n in each.split("/")} if months else None
        found[tag] = Counting(int(since), calendar or "gregorian", names)
    return found


def counting(tag: str) -> Counting:
    """How a language counts dates.

    >>> counting("tha_Thai").calendar, counting("eng_Latn").since, counting("swh_Latn").since
    ('buddhist', 1754, 1930)
    """
    return _table().get(tag, Counting())


def gregorian(year: int, month: int, day: int, since: int = SINCE) -> date | None:
    """The day, or None when there is none of that name or it may not have been counted so."""
    try:
        return date(year, month, day) if since <= year <= LAST else None
    except ValueError:
        return None


def buddhist(year: int, month: int, day: int) -> date | None:
    """The day of a Thai year.

    >>> buddhist(2568, 4, 3), buddhist(2400, 1, 1)
    (datetime.date(2025, 4, 3), None)
    """
    return gregorian(year - 543, month, day) if BUDDHIST[0] <= year <= BUDDHIST[1] else None


def persian(year: int, month: int, day: int) -> date | None:
    """The day of a Persian (solar Hijri) year, by the 33-year rule, which agrees with the calendar of Iran here.

    >>> persian(1404, 1, 14), persian(1403, 12, 30), persian(1404, 12, 30)
    (datetime.date(2025, 4, 3), datetime.date(2025, 3, 20), None)
    """
    if not 1304 <= year <= 1478 or not 1 <= month <= 12:
        return None
    length = 31 if month <= 6 else 30 if month <= 11 or _leap(year) else 29
    if not 1 <= day <= length:
        return None
    before = 31 * (month - 1) if month <= 7 else 186 + 30 * (month - 7)
    days = sum(365 + _leap(y) for y in range(1304, year))
    return date.fromordinal(date(1925, 3, 21).toordinal() + days + before + day - 1)


def _leap(year: int) -> bool:
    return (25 * year + 11) % 33 < 8


def ethiopic(year: int, month: int, day: int) -> date | None:
    """The day of an Ethiopian year (of the Incarnation).

    >>> ethiopic(2017, 7, 25), ethiopic(2017, 1, 1), ethiopic(2015, 13, 6), ethiopic(2016, 13, 6)
    (datetime.date(2025, 4, 3), datetime.date(2024, 9, 11), datetime.date(2023, 9, 11), None)
    """
    if not 1923 <= year <= 2091 or not 1 <= month <= 13 or not 1 <= day <= (30 if month < 13 else 5 + (year % 4 == 3)):
        return None
    return date.fromordinal(2796 + 365 * (year - 1) + year // 4 + 30 * (month - 1) + day - 1)
