"""Precision and recall of the step `values` on the specifications of Recognizers-Text, by language and kind.

    python benchmarks/standardise.py [--data ../shared/data/standardize_specs.parquet] [--half dev] [--show KIND]

Gold: results of DateTimeModel, NumberModel and PercentModel, CurrencyModel, DimensionModel and TemperatureModel. What is
measured is what the step rewrites: a rewrite is right when a gold result covers it and has its value (the day; the number;
the number and the currency; the number and the unit). Where the gold result is longer and has another value (2 weeks before May 13 1999), what we
rewrite is a `part` of it: wrong for `precision`, left out of `of whole`. `recall` is over the gold results written in digits (of dates: with
a day, and a year of four digits), `of all` over every one, words included, which the step leaves alone by design.
Some wrong results are the gold's: classes of them, written down on the `dev` half and applied to the other by rule alone (`gold_fault`), are counted
by name and left out of `of clear gold`, as parts are: a number right before a unit, for which the specifications of numbers have no result (180,25ml); digits
of which the gold's own value has others than its text (10,000.23 read as 10000.233); Hindi dates in digits, read month first as in the United States.
A value that is in its declared form already and is recognised counts for recall, not for precision; nor does a number of
which only the script of the digits changes (`digits only`), because nothing is read then.

The rows are cut in two halves by a hash of their text: `dev` was looked at while the recognisers were written, `test` was
not, and is what is reported.

Twice: with the country that the specifications are written for, and with none, as for a row that does not say it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import unicodedata
from collections import Counter
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import polars as pl

from isogloss.core.resampling import wilson
from isogloss.core.values import cldr
from isogloss.core.values.cldr import Conventions, conventions, fold
from isogloss.core.values.rewrite import Forms, Found, find

COUNTRY = {
    "eng_Latn": "US", "spa_Latn": "ES", "fra_Latn": "FR", "por_Latn": "BR", "zho_Hans": "CN", "jpn_Jpan": "JP", "hin_Deva": "IN",
}  # fmt: skip
MODELS = {
    "date": ["DateTimeModel"],
    "number": ["NumberModel", "PercentModel"],
    "money": ["CurrencyModel"],
    "measure": ["DimensionModel", "TemperatureModel"],
}
FORMS = {
    "date": Forms(dates=True, numbers=False, money=False),
    "number": Forms(dates=True, numbers=True, money=False),
    "money": Forms(dates=True, numbers=True, money=True),
    "measure": Forms(dates=True, numbers=True, money=False, units="sign"),
}
SHORT = {"f": "temperature-fahrenheit", "c": "temperature-celsius", "k": "temperature-kelvin"}


def number_of(value: Any, comma: bool) -> Decimal | None:
    """A number as the specifications write it: with the decimal comma of the language."""
    text = str(value).rstrip("%")
    try:
        return Decimal(text.replace(",", ".") if comma else text)
    except InvalidOperation:
        return None


def agrees(found: Found, gold: dict[str, Any], known: Conventions, comma: bool) -> bool:
    """Whether a gold result says what we say."""
    told = gold.get("resolution") or {}
    if found.kind == "date":
        values = told.get("values") or []
        return any(found.value in json.dumps(value) for value in values)
    number, _, what = found.value.partition(" ")
    wanted = number_of(told.get("value"), comma)
    if wanted is None or abs(wanted - Decimal(number)) > abs(wanted) * Decimal("1e-9"):
        return False
    if found.kind == "money":
        return told["isoCurrency"] == what if told.get("isoCurrency") else named(str(told.get("unit")), what, known)
    return same_unit(str(told.get("unit")), what, known) if found.kind == "measure" else True


def named(unit: str, code: str, known: Conventions) -> bool:
    """Whether a currency without a code (Dollar, Livre) may be the one with this code."""
    names = [
        name
        for source in (known, conventions("eng_Latn"))
        if source
        for name, c in source.currencies.items()
        if c == code
    ]
    stems = {word[:4] for name in names for word in re.findall(r"\w+", name)}
    return any(fold(word)[:4] in stems for word in re.findall(r"\w+", unit))


def same_unit(unit: str, name: str, known: Conventions) -> bool:
    said = fold(unit)
    english = conventions("eng_Latn")
    assert english is not None
    options = {SHORT.get(said), known.units.get(said), english.units.get(said), english.units.get(said + "s")}
    spelled = [word for source in (known, english) for word, unit in source.units.items() if unit == name]
    return name in options or said.replace(" ", "-") in name or any(said.startswith(word) for word in spelled)


def digit_by_digit(written: str, form: str) -> bool:
    """Whether only the script of the digits changed: then nothing was read."""
    return "".join(str(unicodedata.digit(c)) if c.isdecimal() else c for c in written) == form


def in_digits(kind: str, gold: dict[str, Any]) -> bool:
    text = gold["text"]
    if kind != "date":
        return any(c.isdecimal() for c in text)
    timex = [str(v.get("timex", "")) for v in (gold.get("resolution") or {}).get("values") or []]
    whole = any(re.match(r"\d{4}-\d{2}-\d{2}(T|$)", t) for t in timex)
    return whole and bool(re.search(r"(?<!\d)\d{4}(?!\d)", text)) and len(re.findall(r"\d+", text)) > 1


def measured(frame: pl.DataFrame, lang: str, kind: str, region: str | None, show: bool) -> dict[str, Any]:
    known = conventions(lang, region)
    assert known is not None
    home = conventions(lang, COUNTRY[lang])
    assert home is not None
    comma = next(iter(home.ascii)).decimal == ","
    n: Counter[str] = Counter()
    for row in frame.filter(pl.col("model").is_in(MODELS[kind]), pl.col("lang") == lang).iter_rows(named=True):
        text = row["text"]
        results = [r for r in json.loads(row["results"]) if "resolution" in r or kind != "date"]
        places = [(r, start, start + len(r["text"])) for r in results if (start := place(text, r)) >= 0]
        n["gold"] += len(places)
        n["gold_digits"] += sum(in_digits(kind, r) for r, *_ in places)
        hit: set[int] = set()
        for found in find(text, known, FORMS[kind]):
            if found.kind != kind:
                continue
            over = [i for i, (_, a, b) in enumerate(places) if a < found.end and found.start < b]
            right = [i for i in over if agrees(found, places[i][0], known, comma)]
            hit.update(right)
            if text[found.start : found.end] == found.form:
                continue
            if found.kind == "number" and digit_by_digit(text[found.start : found.end], found.form):
                n["digits_only"] += 1
                continue
            n["rewritten"] += 1
            n["right"] += bool(right)
            part = not right and any(is_part(text, found, *places[i]) for i in over)
            n["part"] += part
            fault = None if right or part else gold_fault(found, text, [places[i][0] for i in over], known, lang)
            if fault:
                n[fault] += 1
                n["gold_fault"] += 1
            if show and part:
                print(
                    "PART",
                    lang,
                    repr(text),
                    text[found.start : found.end],
                    "→",
                    found.form,
                    [places[i][0]["text"] for i in over],
                )
            if show and not right and not part:
                print(
                    f"GOLD: {fault}" if fault else "WRONG",
                    lang,
                    repr(text),
                    text[found.start : found.end],
                    "→",
                    found.form,
                    [places[i][0] for i in over],
                )
        n["hit"] += len(hit)
        n["hit_digits"] += sum(in_digits(kind, places[i][0]) for i in hit)
        if show:
            for i, (r, *_) in enumerate(places):
                if i not in hit and in_digits(kind, r):
                    print(
                        "MISSED",
                        lang,
                        repr(text),
                        repr(r["text"]),
                        json.dumps(r["resolution"], ensure_ascii=False)[:150],
                    )
    low, high = (float(x) for x in wilson(n["right"], n["rewritten"])) if n["rewritten"] else (None, None)
    share = {
        "precision": n["right"] / n["rewritten"] if n["rewritten"] else None,
        "precision_of_whole": n["right"] / (n["rewritten"] - n["part"]) if n["rewritten"] > n["part"] else None,
        "precision_of_clear": n["right"] / clear if (clear := n["rewritten"] - n["part"] - n["gold_fault"]) else None,
        "recall": n["hit_digits"] / n["gold_digits"] if n["gold_digits"] else None,
        "recall_of_all": n["hit"] / n["gold"] if n["gold"] else None,
    }
    return {"kind": kind, "lang": lang, "country": region or "", **share, "low": low, "high": high, **n}


FAULTS = ("number before a unit", "other digits", "month first")


def gold_fault(found: Found, text: str, gold: list[dict[str, Any]], known: Conventions, lang: str) -> str | None:
    """The class of known faults of the gold to which a result belongs, by what stands in the text and the gold alone."""
    if found.kind == "number" and not gold:
        unit = re.match(r"\s?([^\W\d_]+)", text[found.end :])
        said = unit[1] if unit else ""
        units = [
            name
            for name in (*known.units, *known.short_units)
            if name and (said == name or fold(said).startswith(fold(name)))
        ]
        return FAULTS[0] if units else None
    for one in gold:
        told = one.get("resolution") or {}
        if found.kind == "number":
            digits = [
                "".join(str(unicodedata.digit(c)) for c in str(x) if c.isdecimal())
                for x in (one["text"], told.get("value", ""))
            ]
            only = not re.search(r"[^\W\d_]", re.sub("[万億亿]", "", one["text"]))
            ours = "".join(c for c in found.form if c.isdecimal())
            if (
                only
                and digits[1].strip("0") != ours.strip("0")
                and digits[0]
                == "".join(str(unicodedata.digit(c)) for c in text[found.start : found.end] if c.isdecimal())
            ):
                return FAULTS[1]
        if found.kind == "date" and lang == "hin_Deva" and re.fullmatch(r"[\d/.-]+", text[found.start : found.end]):
            year, month, day = found.value.split("-")
            if f"{year}-{day}-{month}" in json.dumps(told):
                return FAULTS[2]
    return None


def is_part(text: str, found: Found, gold: dict[str, Any], start: int, end: int) -> bool:
    """Whether a gold result goes on with letters or digits where ours ends: May 13 1999 in '2 weeks before May 13 1999'.

    Of a range of days each end has its own value, so an end that is not there is wrong.
    """
    if "range" in gold["type"]:
        return False
    rest = text[start : max(start, found.start)] + text[min(end, found.end) : end]
    return any(c.isalnum() for c in rest)


def place(text: str, result: dict[str, Any]) -> int:
    """Where a gold result stands; the specifications fold case and width, and some offsets are off."""
    start = int(result["start"])
    if text[start : start + len(result["text"])].casefold() == result["text"].casefold():
        return start
    found = text.casefold().find(result["text"].casefold())
    if found < 0 and 0 <= start < len(text) and int(result["end_inclusive"]) - start + 1 == len(result["text"]):
        return start
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).parents[1]
    parser.add_argument("--data", type=Path, default=here.parent / "shared" / "data" / "standardize_specs.parquet")
    parser.add_argument("--half", choices=["test", "dev"], default="test", help="which half of the rows")
    parser.add_argument("--show", choices=[*MODELS], help="print what is wrong and what is missed of one kind")
    parser.add_argument("--lang", help="one language only")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    given = parser.parse_args()
    frame = pl.read_parquet(given.data)
    halves = pl.Series(["test" if hashlib.blake2b(text.encode()).digest()[0] % 2 else "dev" for text in frame["text"]])
    frame = frame.filter(halves == given.half)
    rows = [
        measured(frame, lang, kind, region, given.show == kind and region is not None)
        for region_of in (COUNTRY, {})
        for kind in MODELS
        for lang in sorted(COUNTRY)
        if given.lang in (None, lang)
        for region in [region_of.get(lang)]
    ]

    def shown(x: float | None) -> str:
        return "–" if x is None else f"{x:.3f}"

    print(f"CLDR through Babel {cldr._babel().__version__}; the {given.half} half, {frame.height:,} texts")
    for country in (True, False):
        print(f"\n{'with the country' if country else 'without a country'}")
        print(
            f"{'kind':<8} {'language':<9} {'rewritten':>9} {'digits only':>11} {'precision':>9} {'95 %':>15} {'part':>5} {'of whole':>8} {'fault':>5} {'of clear gold':>13} {'gold':>6} {'in digits':>9} {'recall':>7} {'of all':>7}"
        )
        for row in rows:
            if bool(row["country"]) == country:
                interval = f"[{row['low']:.3f}, {row['high']:.3f}]" if row["low"] is not None else "–"
                print(
                    f"{row['kind']:<8} {row['lang']:<9} {row.get('rewritten', 0):>9} {row.get('digits_only', 0):>11} {shown(row['precision']):>9} {interval:>15} "
                    f"{row.get('part', 0):>5} {shown(row['precision_of_whole']):>8} {row.get('gold_fault', 0):>5} {shown(row['precision_of_clear']):>13} "
                    f"{row.get('gold', 0):>6} {row.get('gold_digits', 0):>9} {shown(row['recall']):>7} {shown(row['recall_of_all']):>7}"
                )
        for kind in MODELS:
            some = [row for row in rows if row["kind"] == kind and bool(row["country"]) == country]
            total, right, part, faults = (
                sum(r.get(name, 0) for r in some) for name in ("rewritten", "right", "part", "gold_fault")
            )
            if total:
                low, high = (float(x) for x in wilson(right, total))
                print(
                    f"{kind:<8} all       {total:>9} {'':>11} {right / total:>9.3f} [{low:.3f}, {high:.3f}] {part:>5} {right / (total - part):>8.3f} "
                    f"{faults:>5} {right / (total - part - faults):>13.3f} [{wilson(right, total - part - faults)[0]:.3f}, 1]  "
                    + ", ".join(f"{name} {k}" for name in FAULTS if (k := sum(r.get(name, 0) for r in some)))
                )
    if given.json:
        print(json.dumps(rows, ensure_ascii=False))


if __name__ == "__main__":
    main()
