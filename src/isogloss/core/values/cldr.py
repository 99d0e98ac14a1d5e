"""What CLDR knows of a language: how numbers, dates, money and measures are written in it, country by country.

A language is often written in several countries with different conventions: 1.234 is a thousand in Germany and a bit
more than one in Zürich. `conventions(tag)` gives those of every country in which the language is official, as far as
they are followed in at least `SHARE` of these countries; `conventions(tag, region)` those of one. What is read is sure
only where all conventions agree.

Source: CLDR through Babel (extra `text`); which country has which official languages is CLDR's too.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, TypeVar

from isogloss.core.errors import DataError, extra_missing
from isogloss.core.lang import resolve

# A convention that fewer of the countries follow counts only where the country is named.
SHARE = 0.05
# Scripts whose words stand without spaces between them, or, as in Korean, with endings that have none.
UNSPACED = "".join(
    rf"\p{{Script={name}}}"
    for name in "Han Hiragana Katakana Hangul Thai Lao Khmer Myanmar Tibetan Yi".split()  # noqa: SIM905
)
# CLDR's names of the languages whose words for powers of ten also stand in texts of other languages.
MIXED = ("en", "fr", "es", "pt", "ru", "ar", "fa", "hi", "id", "sw", "zh", "tr")
SPACES = "\u00a0\u2009\u202f "
APOSTROPHES = "'\u2019"

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True)
class Style:
    """How digits are put together: the decimal sign, the sign between groups ('' for none) and the sizes of groups
    from the right, the last one repeated."""

    decimal: str
    group: str
    sizes: tuple[int, ...] = (3,)


@dataclass(frozen=True, eq=False)
class Conventions:
    """What CLDR says of one language, in one country (`region`) or in all where it is official.

    `ascii` and `native` are the styles of numbers in the digits 0 to 9 and in digits of another script. `orders` are the
    orders of day, month and year in dates of digits, `name_orders` in those that name the month. `months` are names by their folded spelling, `links` the words
    between the parts of a date. `scales` are words such as "million". `symbols` and `currencies` are signs and folded
    names of currencies with their ISO 4217 code; `units` folded names and `short_units` signs of units with CLDR's name,
    `around` those that stand on both sides of a number (時速 5 マイル), `per` what stands between a unit and another.
    """

    tag: str
    region: str | None
    ascii: frozenset[Style]
    native: frozenset[Style]
    orders: frozenset[str]
    name_orders: frozenset[str]
    months: Mapping[str, int]
    links: tuple[str, ...]
    frames: tuple[str, ...]
    scales: Mapping[str, int]
    symbols: Mapping[str, str]
    currencies: Mapping[str, str]
    units: Mapping[str, str]
    short_units: Mapping[str, str]
    around: Mapping[tuple[str, str], str]
    per: tuple[str, ...]


def fold(text: str) -> str:
    """A spelling without what differs between writers: case, a final point, marks of direction, kinds of space.

    >>> fold("Sept."), fold("MARÇO")
    ('sept', 'março')
    """
    plain = re.sub(r"[\u200e\u200f\u061c]", "", unicodedata.normalize("NFC", text))
    plain = re.sub(rf"[{SPACES}\t]+", " ", plain).strip()
    return plain.casefold().replace("i\u0307", "i").rstrip(".")


def _babel() -> Any:
    try:
        import babel.core
        import babel.languages
        import babel.localedata
        import babel.numbers
    except ImportError as error:
        raise extra_missing("reading dates, numbers, currencies and units", "Babel", "text") from error
    return babel


@cache
def _bases() -> Mapping[str, tuple[str, ...]]:
    """CLDR's names of a language by our tag, the shortest last."""
    found: dict[str, list[str]] = {}
    for name in _babel().localedata.locale_identifiers():
        if re.fullmatch(r"[a-z]{2,3}(_[A-Z][a-z]{3})?", name):
            try:
                found.setdefault(resolve(name.replace("_", "-")).tag, []).append(name)
            except DataError:
                continue
    return {tag: tuple(sorted(names, key=len, reverse=True)) for tag, names in found.items()}


@cache
def _data(name: str) -> Any:
    """What Babel holds of a locale, inherited values included."""
    babel = _babel()
    if name == "root":
        return babel.localedata.LocaleDataDict(babel.localedata.load("root"))
    return babel.core.Locale.parse(name)._data


@cache
def known(tag: str) -> bool:
    """Whether CLDR has the language with names of its own for the months: the rest is then reviewed, too."""
    for name in _bases().get(tag, ()):
        wide = _items(_data(name), "months", "format", "wide")
        if wide and not all(re.fullmatch(r"M\d+", value) for value in wide.values()):
            return True
    return False


def _items(data: Any, *path: str) -> dict[Any, Any]:
    for step in path:
        data = data.get(step) if hasattr(data, "get") else None
        if data is None:
            return {}
    return dict(data.items()) if hasattr(data, "items") else {}


@cache
def countries(tag: str) -> Mapping[str, str]:
    """CLDR's name of the locale by country, for the countries in which the language is official."""
    babel = _babel()
    ids = set(babel.localedata.locale_identifiers())
    names, found = _bases().get(tag, ()), {}
    for country, languages in babel.core.get_global("territory_languages").items():
        if any(languages.get(name, {}).get("official_status") for name in names):
            local = _local(tag, country, ids)
            if local:
                found[country] = local
    return found


def _local(tag: str, country: str, ids: set[str]) -> str | None:
    """CLDR's name of a language in a country, where it has one."""
    for name in _bases().get(tag, ()):
        local = f"{name}_{country}"
        if local in ids and ("_" in name or resolve(local.replace("_", "-")).tag == tag):
            return local
    return None


@lru_cache(maxsize=512)
def conventions(tag: str, region: str | None = None) -> Conventions | None:
    """What CLDR knows of a language, in a country where `region` names one that it knows; None for one it does not know.

    Raises MissingError when Babel is not installed.
    """
    if not known(tag):
        return None
    base = _bases()[tag][-1]
    local = _local(tag, region, set(_babel().localedata.locale_identifiers())) if region else None
    if region and not local:
        return conventions(tag)
    every = [local] if local else list(countries(tag).values()) or [base]
    data = [_data(name) for name in every]
    own = [_data(base), *([_data(local)] if local else [])]
    symbols, names = _signs(data), _money_names(own)
    long_units, short_units, around = _units(own, names)
    at_home = {region} if local and region else set(countries(tag))
    spelled = {word for one in own for word in _unit_words(one)}
    names = {**_heads(names, at_home, spelled), **names}
    links, frames, name_orders = _frames([_data(base), *data])
    return Conventions(
        tag=tag,
        region=region if local else None,
        ascii=frozenset(_followed(_style(one, "latn") for one in data)),
        native=frozenset(_followed(_style(one, _native_system(one)) for one in data)) | {Style("٫", "٬")},
        orders=frozenset(_followed(order for one in data if (order := _order(one)))),
        name_orders=name_orders,
        months=_months([_data(base), *data]),
        links=links,
        frames=frames,
        scales={**_borrowed().get(tag, {}), **_scales([_data(base), *data])},
        symbols=symbols,
        currencies=names,
        units=long_units,
        short_units=short_units,
        around=around,
        per=_per(own),
    )


def _followed(given: Iterable[T]) -> list[T]:
    """What at least `SHARE` of the countries say."""
    counts = Counter(given)
    total = sum(counts.values())
    return [value for value, n in counts.items() if n >= SHARE * total]


# -- numbers ----------------------------------------------------------------------------------------------------


def _native_system(data: Any) -> str:
    return str(data.get("default_numbering_system") or "latn") if hasattr(data, "get") else "latn"


def _style(data: Any, system: str) -> Style:
    systems = _items(data, "number_symbols")
    signs = _items(systems.get(system) or systems.get("latn") or {})
    pattern = _items(data, "decimal_formats").get(None)
    sizes = tuple(dict.fromkeys(getattr(pattern, "grouping", (3, 3)))) or (3,)
    return Style(str(signs.get("decimal", ".")), _one_space(str(signs.get("group", ","))), sizes)


def _one_space(sign: str) -> str:
    """One name for every kind of space, and for every apostrophe."""
    return " " if sign in SPACES else "'" if sign in APOSTROPHES else sign


def _scales(data: Iterable[Any]) -> dict[str, int]:
    """Words for powers of ten, from the long compact forms: 'millones' for 10⁶. Single letters are no words."""
    found: dict[str, set[int]] = {}
    for one in data:
        for forms in _items(one, "compact_decimal_formats", "long").values():
            for power, pattern in _items(forms).items():
                text = str(getattr(pattern, "pattern", pattern)).split(";")[0]
                match = re.fullmatch(r"(0+)[\s\u00a0\u202f]*([^0]*)", text.replace("'", ""))
                word = fold(match[2]) if match else ""
                if match and word and (len(word) > 1 or not unicodedata.category(word).startswith(("Lu", "Ll"))):
                    found.setdefault(word, set()).add(int(power) // 10 ** (len(match[1]) - 1))
    return {word: values.pop() for word, values in found.items() if len(values) == 1}


@cache
def _borrowed() -> Mapping[str, Mapping[str, int]]:
    """Words for powers of ten that CLDR does not have, by language (`assets/scales.tsv`)."""
    path = Path(__file__).parents[2] / "assets" / "scales.tsv"
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    return {tag: {fold(word): 10 ** (6 + 3 * i) for i, word in enumerate(words)} for tag, *words in rows[1:]}


@cache
def common_scales() -> frozenset[str]:
    """Words for powers of ten of the languages that others mix with (`MIXED`), and the borrowed ones."""
    borrowed = {word for words in _borrowed().values() for word in words}
    return frozenset(word for name in MIXED for word in _scales([_data(name)])) | borrowed


# -- dates ------------------------------------------------------------------------------------------------------


def _months(data: Iterable[Any]) -> dict[str, int]:
    """Months by name, abbreviations included; a name that means two of them is left out."""
    found: dict[str, set[int]] = {}
    for one in data:
        for kind in ("format", "stand-alone"):
            for width in ("wide", "abbreviated"):
                for month, name in _items(one, "months", kind, width).items():
                    word = fold(str(name))
                    if word and not word.isdecimal() and not re.fullmatch(r"m\d+", word):
                        found.setdefault(word, set()).add(int(month))
    return {word: months.pop() for word, months in found.items() if len(months) == 1 and len(word) > 1}


def _patterns(data: Any) -> Iterator[str]:
    """Patterns of whole dates without weekday and era."""
    several = [*_items(data, "date_formats").values()]
    several += [v for k, v in _items(data, "datetime_skeletons").items() if re.fullmatch(r"y+M+d+", str(k))]
    for pattern in several:
        text = str(getattr(pattern, "pattern", pattern))
        if not re.search(r"[EcG]", re.sub(r"'[^']*'", "", text)):
            yield text


def _parts(pattern: str) -> list[str]:
    """A pattern as fields (`d`, `M`, `MMM`, `y`) and literal pieces, which begin with a quote."""
    pattern = re.sub(r"[\u200e\u200f\u061c]", "", pattern)
    out: list[str] = []
    for piece in re.findall(r"'[^']*'|d+|M+|L+|y+|[^dMLy']+", pattern.replace("''", "\u2019")):
        if piece[0] in "dMLy":
            out.append({"d": "d", "y": "y"}.get(piece[0], "M" if len(piece) < 3 else "MMM"))
        elif out and out[-1].startswith("'"):
            out[-1] += piece.strip("'")
        else:
            out.append("'" + piece.strip("'"))
    return out


def _order(data: Any) -> str | None:
    """The order of a date in digits: dmy, mdy or ymd."""
    for pattern in (_items(data, "datetime_skeletons").get("yMd"), _items(data, "date_formats").get("short")):
        fields = [p for p in _parts(str(getattr(pattern, "pattern", pattern or ""))) if not p.startswith("'")]
        if sorted(fields) == ["M", "d", "y"]:
            return "".join(fields).lower()
    return None


def _frames(data: Iterable[Any]) -> tuple[tuple[str, ...], tuple[str, ...], frozenset[str]]:
    """Words between the parts of a date, the patterns whose literal pieces have letters, the orders with a named month."""
    links: dict[str, None] = {}
    frames: dict[str, None] = {}
    orders: set[str] = set()
    for one in data:
        for pattern in _patterns(one):
            parts = _parts(pattern)
            if sorted(p[0] for p in parts if not p.startswith("'")) != ["M", "d", "y"]:
                continue
            if "MMM" in parts:
                orders.add("".join(p[0].lower() for p in parts if not p.startswith("'")))
            inner = [p[1:] for p in parts[1:-1] if p.startswith("'")]
            words = [piece.strip() for piece in inner if re.search(r"[^\W\d_]", piece)]
            last = parts[-1][1:] if parts[-1].startswith("'") else ""
            if words or re.match(r"[^\W\d_]|\(", last):
                frames["\0".join(parts)] = None
            links.update(dict.fromkeys(word for word in words if re.fullmatch(r"[^\W\d_]+['’]?", word)))
    return tuple(sorted(links, key=len, reverse=True)), tuple(frames), frozenset(orders)


# -- money ------------------------------------------------------------------------------------------------------

# Signs of one currency only, in every country; $, £, ¥, ₨, ﷼ and kr are not among them.
_SURE = {
    "€": "EUR", "₹": "INR", "₪": "ILS", "₫": "VND", "₴": "UAH", "₽": "RUB", "₺": "TRY", "₸": "KZT", "₼": "AZN", "₾": "GEL",
    "₦": "NGN", "₱": "PHP", "฿": "THB", "៛": "KHR", "₭": "LAK", "₮": "MNT", "₡": "CRC", "₲": "PYG", "₵": "GHS", "৳": "BDT",
    "؋": "AFN", "֏": "AMD", "₩": "KRW", "US$": "USD", "R$": "BRL", "A$": "AUD", "C$": "CAD", "CA$": "CAD", "HK$": "HKD",
    "NT$": "TWD", "NZ$": "NZD", "S$": "SGD", "CN¥": "CNY", "JP¥": "JPY",
}  # fmt: skip
# Codes that are words, too.
_WORDS = frozenset("ALL AMD BAM COP CUP GEL LAK MAD MOP PEN RON SOS TOP TRY VES".split())  # noqa: SIM905


@cache
def codes() -> frozenset[str]:
    """ISO 4217 codes of currencies in use, without those that are words (TOP, TRY)."""
    used = {
        entry[0]
        for entries in _babel().core.get_global("territory_currencies").values()
        for entry in entries
        if entry[2] is None
    }
    return frozenset(used) - _WORDS


def _signs(data: list[Any]) -> dict[str, str]:
    """Signs of currencies that mean the same in nearly every country."""
    counts: dict[str, Counter[str]] = {}
    for one in data:
        for code, sign in _items(one, "currency_symbols").items():
            if code in codes() and not re.fullmatch(r"[A-Z]{3}", sign):
                counts.setdefault(_one_width(sign), Counter())[code] += 1
    sure = dict(_SURE)
    for sign, of in counts.items():
        best, n = of.most_common(1)[0]
        if n >= (1 - SHARE) * max(len(data), sum(of.values())):
            sure[sign] = best
    return sure


def _money_names(data: list[Any]) -> dict[str, str]:
    """Names of currencies, folded; what means several stays out."""
    names: dict[str, set[str]] = {}
    for one in data:
        for code, plurals in _items(one, "currency_names_plural").items():
            for name in _items(plurals).values():
                names.setdefault(fold(str(name)), set()).add(code)
        for code, name in _items(one, "currency_names").items():
            names.setdefault(fold(str(name)), set()).add(code)
    found = {name: of.pop() for name, of in names.items() if len(of) == 1 and name}
    return {name: code for name, code in found.items() if code.lower() != name}


def _unit_words(data: Any) -> Iterator[str]:
    """The long names of all units, also those that may mean money (pounds)."""
    for widths in _items(data, "unit_patterns").values():
        yield from (fold(str(pattern).replace("{0}", "")) for pattern in _items(widths, "long").values())


def _heads(names: Mapping[str, str], at_home: set[str], units: set[str]) -> dict[str, str]:
    """What the money of these countries is called for short, where all of them mean the same: dollars, in one country.

    Words that stand in the names of at least three currencies are such names, if they are no units.
    """
    of: dict[str, set[str]] = {}
    for name, code in names.items():
        for word in name.split():
            of.setdefault(word, set()).add(code)
    used = _babel().core.get_global("territory_currencies")
    local = {entry[0] for country in at_home for entry in used.get(country, ()) if entry[2] is None and entry[3]}
    heads = {word: codes_ & local for word, codes_ in of.items() if len(codes_) >= 3 and word not in units}
    return {word: found.pop() for word, found in heads.items() if len(found) == 1 and len(local) == 1}


def _one_width(sign: str) -> str:
    return re.sub(r"[\u200e\u200f\u061c]", "", sign).replace("￥", "¥").strip(SPACES)


# -- units ------------------------------------------------------------------------------------------------------

_KINDS = "length area volume mass temperature speed pressure energy power frequency digital".split()  # noqa: SIM905


def _units(
    data: list[Any], currencies: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str], dict[tuple[str, str], str]]:
    """Names, signs of at least two characters, and what stands around a number; what means several, or money, stays out."""
    import regex

    money = {word for name in currencies for word in name.split()}
    names: dict[str, set[str]] = {}
    signs: dict[str, set[str]] = {}
    around: dict[tuple[str, str], set[str]] = {}
    root = _items(_data("root"), "unit_patterns")
    for one in data:
        for unit, widths in _items(one, "unit_patterns").items():
            if unit.split("-")[0] not in _KINDS or unit.endswith("-generic"):
                continue
            signs_of_all = {str(p) for width in _items(root.get(unit) or {}).values() for p in _items(width).values()}
            for width in ("long", "short"):
                for plural, pattern in _items(widths, width).items():
                    before, sign, after = re.sub(r"[\u200e\u200f\u061c]", "", str(pattern)).partition("{0}")
                    before, after = before.strip(SPACES), after.strip(SPACES)
                    if plural == "per" or not sign or not after or str(pattern) in signs_of_all:
                        continue
                    if before:
                        around.setdefault((before, after), set()).add(unit)
                    elif width == "long":
                        names.setdefault(fold(after), set()).add(unit)
                    else:
                        bare = after if regex.search(rf"[{UNSPACED}]\.$", after) else after.rstrip(".")
                        if len(bare.rstrip(".")) > 1:
                            signs.setdefault(bare, set()).add(unit)

    def is_money(word: str) -> bool:
        return any(word == other or (len(word) > 3 and other.startswith(word)) for other in money)

    return (
        {w: u.pop() for w, u in names.items() if len(u) == 1 and len(w) > 1 and not is_money(w)},
        {w: u.pop() for w, u in signs.items() if len(u) == 1 and not is_money(fold(w))},
        {w: u.pop() for w, u in around.items() if len(u) == 1},
    )


def _per(data: list[Any]) -> tuple[str, ...]:
    """What stands between two units of which the one is for each of the other: per, प्रति, /."""
    found = {"/"}
    for one in data:
        for width in _items(one, "compound_unit_patterns", "per").values():
            pattern = str(_items(width).get("compound", ""))
            if match := re.fullmatch(r"\{0\}(.+)\{1\}", pattern):
                found.add(fold(match[1]))
    return tuple(sorted(found))
