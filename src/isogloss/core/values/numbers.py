"""Numbers in digits, read by the conventions of a language; never where two readings are possible.

What is read: runs of decimal digits of any script with the signs that the language puts between them. What is not: pieces
of words, codes, dates, clock times, versions, fractions, addresses, telephone numbers.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any

from isogloss.core.values.cldr import APOSTROPHES, SPACES, UNSPACED, Conventions, Style, common_scales, fold

Place = tuple[int, int]
# A reading that may be another one, and so stands against every other.
UNSURE = "?"


@dataclass(frozen=True)
class Numeral:
    """A number in a text: where its digits stand, what they are in plain form, its value with the scale word behind it
    ("2.5 million"), and where that ends."""

    start: int
    end: int
    plain: str
    value: Decimal
    scale_end: int

    @property
    def scaled(self) -> bool:
        return self.scale_end > self.end


@cache
def patterns() -> dict[str, Any]:
    import regex

    space = f"[{SPACES}]"
    sign = rf"[.,{APOSTROPHES}٫٬，．]"
    return {
        # digits, with signs between them; a space only before a whole group
        "run": regex.compile(rf"\p{{Nd}}+(?:{sign}\p{{Nd}}+|{space}\p{{Nd}}{{3}}(?!\p{{Nd}}))*"),
        # every alternative begins where nothing of its kind stands before, so that long runs take linear time
        "blocked": regex.compile(
            r"(?<![\p{L}\p{Nd}])(?:https?://|www\.)\S+"
            r"|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"
            r"|(?<!\p{Nd})\+\p{Nd}[\p{Nd} ().-]{6,24}\p{Nd}"
            r"|(?<![\p{L}\p{Nd}])\p{Nd}{1,4}(?:-\p{Nd}{2,12}){2,6}"  # telephone numbers, ISBN
            r"|\(\p{Nd}{2,5}\)\s?\p{Nd}[\p{Nd} -]{4,20}\p{Nd}"
            r"|(?<!\p{Nd})\p{Nd}{1,4}\s?([./-])\s?\p{Nd}{1,2}\s?\1\s?\p{Nd}{1,4}(?!\p{Nd})"  # dates
            r"|(?<!\p{Nd})\p{Nd}{1,2}:\p{Nd}{2}(?::\p{Nd}{2})?(?:[.,]\p{Nd}{1,9})?"  # clock times
            r"|(?<!\p{Nd}|\p{Nd}\.)\p{Nd}{1,9}(?:\.\p{Nd}{1,9}){3,}"  # versions, addresses of machines
            r"|(?<!\p{Nd})\p{Nd}{1,15}\s?[/⁄∕／]\s?\p{Nd}{1,15}"  # fractions
            r"|(?<!\p{Nd})\p{Nd}{1,15}\s?分[の之]\s?[−－-]?\p{Nd}{1,15}(?:\s?[万億亿]\s?\p{Nd}{1,15})?"
            r"|(?<![\p{Nd}.．])\p{Nd}[\p{Nd}.．]{0,20}\s?の\s?[−－-]{0,3}\p{Nd}{1,15}\s?乗"  # powers
            r"|(?<![\p{L}\p{Nd}-])(?:\p{Lu}[\p{Lu}\p{Nd}]{0,15}-){1,6}\p{Nd}[\p{L}\p{Nd}-]{0,40}"  # codes
        ),
        "minus": regex.compile(r"(?<![\p{L}\p{Nd}\p{P}\p{S}])[-−]$|(?<![\p{Nd})\]}%−－-])[−－]$"),
        "before": regex.compile(r"[\p{Lu}\p{Ll}\p{Lt}\p{Lm}\p{M}_#@/\\^=.,:٫٬]$|\p{Nd}[~x×*]$|[\p{Lu}\p{Ll}][−－]$"),
        # behind a letter of a script with spaces, but for a prefix of one letter as Arabic and Hebrew have them
        "inside": regex.compile(
            rf"(?:(?![{UNSPACED}])\p{{Lo}}\p{{M}}*|\p{{M}})(?<!(?<![\p{{L}}\p{{M}}])[\p{{Script=Arab}}\p{{Script=Hebr}}])$"
        ),
        "after": regex.compile(r"[\p{Lu}\p{Ll}\p{Lt}\p{Lm}]*"),
        "word": regex.compile(r"[\p{L}\p{M}'’]+(?:\.(?=\s))?"),
        "wide_before": regex.compile(r"\p{Nd}\u3000\p{Nd}{3}$"),
        "wide_after": regex.compile(r"\u3000\p{Nd}{3}(?!\p{Nd})"),
        # two numbers with a dash between them; three are a code
        "pair_before": regex.compile(r"(?:^|[^\p{L}\p{Nd}_/.,:-])\p{Nd}[\p{Nd}.,٫٬'’]*[-–—]$"),
        "pair_after": regex.compile(r"[-–—]\p{Nd}[\p{Nd}.,٫٬'’]*(?![-–—\p{Nd}/:])"),
        # a number, and a dash, a comma or a short word: "3 to 5 million"
        "range_before": regex.compile(r"\p{Nd}[.,]?(?:\s?[-–—~〜～/,、،]\s?|\s\p{L}{1,4}\s)[\p{Sc}]?\s?$"),
    }


class Places:
    """Places in a text, to be asked for many times.

    >>> places = Places([(5, 9), (0, 2), (1, 3)])
    >>> places.touch(3, 5), places.touch(2, 4), places.touch(8, 20)
    (False, True, True)
    """

    def __init__(self, places: Iterable[Place]) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []
        for start, end in sorted(places):
            if self.ends and start <= self.ends[-1]:
                self.ends[-1] = max(end, self.ends[-1])
            else:
                self.starts.append(start)
                self.ends.append(end)

    def touch(self, start: int, end: int) -> bool:
        """Whether any place shares a character with that from `start` to `end`."""
        at = bisect_left(self.starts, end)
        return at > 0 and self.ends[at - 1] > start


def begins_range(text: str, start: int) -> bool:
    """Whether a number stands before, as in "3 to 5 km", whose unit may be the same.

    >>> begins_range("3 to 5 km", 5), begins_range("only 5 km", 5)
    (True, False)
    """
    return bool(patterns()["range_before"].search(text, max(0, start - 12), start))


def blocked(text: str) -> list[Place]:
    """Places where digits are no number."""
    return [match.span() for match in patterns()["blocked"].finditer(text)]


def find(text: str, conventions: Conventions, taken: Iterable[Place] = ()) -> list[Numeral]:
    """The numbers of a text outside the places that are `taken`, in order."""
    places = Places(taken)
    found: list[Numeral] = []
    for match in patterns()["run"].finditer(text):
        start, end = match.span()
        if found and start < found[-1].end:
            continue
        if (
            found
            and found[-1].scaled
            and not _spaced(text[found[-1].scale_end - 1])
            and found[-1].scale_end + 1 == start
        ):
            continue  # 3万 4,500 may be one number
        if places.touch(start, end) or not _alone(text, start, end, conventions):
            continue
        numeral = _read(text, start, end, conventions)
        if numeral is not None:
            numeral = _summed(text, numeral, conventions)
            if numeral is not None and not _goes_on(text, numeral, conventions):
                found.append(numeral)
    return found


def _goes_on(text: str, numeral: Numeral, conventions: Conventions) -> bool:
    """Whether a number is only part of one: beside signs of numbers (5千), before a scale word of another language."""
    beside = text[numeral.start - 1 : numeral.start] + text[numeral.scale_end : numeral.scale_end + 1]
    if any(unicodedata.category(c) in ("Lo", "Nl", "No") and unicodedata.numeric(c, None) is not None for c in beside):
        return True
    word = patterns()["word"].match(
        text, numeral.scale_end + (text[numeral.scale_end : numeral.scale_end + 1] in tuple(SPACES))
    )
    return bool(word) and not numeral.scaled and fold(word.group()) in common_scales()


def _summed(text: str, first: Numeral, conventions: Conventions) -> Numeral | None:
    """A number whose scale words stand between its digits: 29万1,890; None where more of it cannot be read (5億1万4千)."""
    if not first.scaled or _spaced(text[first.scale_end - 1]):
        return first
    end, value, least = first.scale_end, first.value, first.value / (Decimal(first.plain) or 1)
    while match := patterns()["run"].match(text, end):
        more = _read(text, match.start(), match.end(), conventions)
        # 3万5 may be 35,000
        if more is None or more.value >= least or (len(more.plain) == 1 and not more.scaled):
            break
        end, value = more.scale_end, value + more.value
        if not more.scaled:
            break
        least = more.value / (Decimal(more.plain) or 1)
    if end == first.scale_end:
        return first
    if text[end : end + 1].isdecimal():
        return None
    return Numeral(first.start, end, f"{value.normalize():f}", value, end)


def _alone(text: str, start: int, end: int, conventions: Conventions) -> bool:
    """Whether what stands around a run of digits leaves it a number of its own."""
    known = patterns()
    if known["before"].search(text, max(0, start - 3), start) or known["inside"].search(text, max(0, start - 3), start):
        return False
    letters = known["after"].match(text, end).group()
    if letters and letters not in conventions.short_units and fold(letters) not in conventions.scales:
        return letters in conventions.symbols or letters in conventions.symbols.values()
    dashes = "-–—"
    joined = start > 1 and text[start - 1] in dashes and text[start - 2].isdecimal()
    pair = bool(known["pair_before"].search(text, max(0, start - 24), start)) and text[end : end + 1] not in tuple(
        dashes
    )
    if joined and not pair:
        return False
    rest = text[end : end + 2]
    if rest[:1] == "^":
        return False
    if known["wide_before"].search(text, max(0, start - 2), start + 3) or known["wide_after"].match(text, end):
        return False  # １　２３４　５６７ may be one number
    if len(rest) < 2 or not rest[1].isdecimal():
        return True
    return rest[0] not in "/\\:_^=@×x.,'’٫٬，．-–—" or bool(rest[0] in dashes and known["pair_after"].match(text, end))


def _read(text: str, start: int, end: int, conventions: Conventions) -> Numeral | None:
    written = text[start:end]
    readings = {plain for style in _styles(written, conventions) for plain in _readings(written, style)}
    plain_spaces = " " in written
    if not plain_spaces and any(c in SPACES for c in written):  # as the SI writes it in every language
        signs = {style.decimal for style in _styles(written, conventions)}
        readings |= {plain for sign in signs for plain in _readings(written, Style(sign, " "))}
    if len(readings) != 1 or UNSURE in readings:
        return None
    (plain,) = readings
    if plain != written and _again(plain, conventions) not in (None, plain):
        return None  # in plain form it would be read as another number
    scale, scale_end = _scale(text, end, conventions)
    if plain_spaces and not (scale > 1 or "." in plain or _measured(text, start, end, conventions)):
        return None  # "12 345" may be two numbers
    minus = patterns()["minus"].search(text, max(0, start - 2), start)
    if minus:
        start, plain = start - 1, "-" + plain
    return Numeral(start, end, plain, Decimal(plain) * scale, scale_end)


def _styles(written: str, conventions: Conventions) -> frozenset[Style]:
    ascii_ = any(c in "0123456789" for c in written)
    native = any(c not in "0123456789" and c.isdecimal() for c in written)
    if ascii_ and native and not _full_width(written):
        return frozenset()
    return conventions.native if native and not _full_width(written) else conventions.ascii


def _full_width(written: str) -> bool:
    return all(c in "0123456789" or "０" <= c <= "９" for c in written if c.isdecimal())


def _readings(written: str, style: Style) -> list[str]:
    """The plain form of a number in one style, or nothing when it is not well formed."""
    if _full_width(written) and not any(c in "0123456789" for c in written):
        written = written.replace("，", ",").replace("．", ".")
    written = "".join(str(unicodedata.digit(c)) if c.isdecimal() else " " if c in SPACES else c for c in written)
    written = written.replace("\u2019", "'")
    if written.isdecimal():
        return [written]
    whole, sign, rest = written.partition(style.decimal)
    if sign and not rest.isdecimal():
        return []
    if (
        sign == ","
        and len(rest) == 3
        and len(whole) <= 3
        and whole.strip("0")
        and written.count(",") == 1
        and whole.isdecimal()
    ):
        return [UNSURE]  # 12,345 may be written as in English
    digits = whole
    if not whole.isdecimal():
        groups = whole.split(style.group) if style.group else [whole]
        if not _grouped(groups, style.sizes):
            return []
        digits = "".join(groups)
    return [f"{digits}.{rest}" if sign else digits]


def _grouped(groups: Sequence[str], sizes: Sequence[int]) -> bool:
    """Whether groups of digits have the sizes that a style gives them, from the right."""
    if len(groups) < 2 or not all(group.isdecimal() for group in groups) or groups[0].startswith("0"):
        return False
    inner = groups[:0:-1]
    wanted = [sizes[min(i, len(sizes) - 1)] for i in range(len(groups))]
    right = all(len(group) == size for group, size in zip(inner, wanted, strict=False))
    return right and 1 <= len(groups[0]) <= wanted[-1]


def _again(plain: str, conventions: Conventions) -> str | None:
    """What the plain form would be read as."""
    readings = {found for style in conventions.ascii for found in _readings(plain, style)}
    return plain if readings == {plain} or not readings else next(iter(readings - {plain}))


def _scale(text: str, end: int, conventions: Conventions) -> tuple[int, int]:
    """A power of ten in words behind a number: (factor, where it ends), or (1, end)."""
    at = end + (text[end : end + 1] in SPACES and end < len(text))
    if not conventions.scales:
        return 1, end
    words = _longest_first(conventions)
    piece = text[at : at + len(words[0]) + 1]
    folded = piece.casefold()
    for word in words:
        if folded.startswith(word):
            following = piece[len(word) : len(word) + 1] or text[at + len(word) : at + len(word) + 1]
            spaced = unicodedata.category(word[-1]) in ("Ll", "Lu", "Mn", "Mc") or " " in word or _spaced(word)
            if following and spaced and unicodedata.category(following)[0] in "LM":
                continue
            return conventions.scales[word], at + len(word)
    return 1, end


@lru_cache(maxsize=512)
def _longest_first(conventions: Conventions) -> list[str]:
    return sorted(conventions.scales, key=len, reverse=True)


def _spaced(word: str) -> bool:
    """Whether a word is of a script that puts spaces between words."""
    return not all("\u3040" <= c <= "\u30ff" or "\u3400" <= c <= "\u9fff" or "\u0e00" <= c <= "\u0eff" for c in word)


def _measured(text: str, start: int, end: int, conventions: Conventions) -> bool:
    """Whether a currency, a unit or a percent sign stands beside a number."""
    after = text[end : end + 40].lstrip(SPACES)
    if after[:1] in "%‰٪":
        return True
    word = patterns()["word"].match(after)
    near = {word.group(), word.group().rstrip(".")} if word else set()
    if near & (conventions.short_units.keys() | set(conventions.symbols.values())) or any(
        fold(w) in conventions.units or fold(w) in conventions.currencies for w in near
    ):
        return True
    before = text[max(0, start - 16) : start].rstrip(SPACES)
    return any(after.startswith(sign) or before.endswith(sign) for sign in conventions.symbols)
