"""Where personal data stands in a text: e-mail, URL, IP, telephone, national number, card and bank account.

Everything is looked for in a plain form of the text (`plain.py`), in which digits of all scripts are ASCII and every
character has its place. An address is known by its form and by the list of top-level domains; a card, an account and a
national number by their check digits; a telephone number by its country's numbering plan, or by a word before it.

What cannot be told apart by form is decided by the country: the given one, or those of the language.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import regex

from isogloss.core.errors import IsoglossError, extra_missing
from isogloss.core.pii.plain import UNSEEN, plain

KINDS = ("email", "url", "ip", "iban", "card", "id", "phone")
# Characters before a number in which a word that announces it may stand.
CUE = 32
# Countries of languages that are official in more countries than a number can be tried in.
HOMES = {
    "eng": "US GB CA AU NZ IE IN ZA NG KE PH SG", "fra": "FR BE CH CA CI CM SN", "spa": "ES MX AR CO CL PE VE EC",
    "por": "PT BR AO MZ", "arb": "SA EG AE MA DZ TN IQ JO LB KW QA SD YE", "swh": "TZ KE UG CD",
}  # fmt: skip
MOST_HOMES = 12
# Digits of the longest telephone number (E.164) behind 00.
LONGEST = 17
# Per cent of the people of a country who speak a language that is much spoken.
MUCH = 5


@dataclass(frozen=True)
class Span:
    """Personal data at `start:end` of a text; `value` is it without what may differ when the same is written twice."""

    kind: str
    start: int
    end: int
    value: str


def find(text: str, lang: str = "und", countries: Sequence[str] = (), kinds: Sequence[str] = KINDS) -> list[Span]:
    """The personal data of one text, in order and apart.

    `countries` are ISO 3166 codes of two letters; without them those in which the language is official. Raises MissingError
    when a library that is needed is not installed.

    >>> [(s.kind, s.value) for s in find("مراسلة: sara@mail.org أو هاتف ٠٥٠١٢٣٤٥٦٧", "arb_Arab")]
    [('email', 'sara@mail.org'), ('phone', '+966501234567')]
    """
    flat = plain(text)
    homes = tuple(countries) or homes_of(lang)
    found = _found(flat, homes, kinds)
    if UNSEEN not in flat:
        return found
    # What nobody sees may part two words (Khmer, Thai), or stand inside a number: both are looked at.
    places = [i for i, character in enumerate(flat) if character != UNSEEN]
    for span in _found(flat.replace(UNSEEN, ""), homes, kinds):
        start, end = places[span.start], places[span.end - 1] + 1
        beside = [other for other in found if other.start < end and start < other.end]
        if all(start <= other.start and other.end <= end for other in beside):
            found = [other for other in found if other not in beside]
            found.append(Span(span.kind, start, end, span.value))
    return sorted(
        (Span(s.kind, s.start, s.end, s.value.replace(UNSEEN, "")) for s in found), key=lambda span: span.start
    )


def _found(flat: str, homes: Sequence[str], kinds: Sequence[str]) -> list[Span]:
    taken = bytearray(len(flat))
    found = []
    # The surer first; but an e-mail address inside an address with a scheme is a piece of that, where that is wanted.
    finders = [(kind, _FINDERS[kind]) for kind in KINDS]
    for kind, finder in [("url", _schemed), *finders] if "url" in kinds else finders:
        # An address that stands inside another one, or in what is not wanted, is still no telephone number.
        for span in finder(flat, homes):
            if b"\x01" not in taken[span.start : span.end]:
                taken[span.start : span.end] = b"\x01" * (span.end - span.start)
                if kind in kinds:
                    found.append(span)
    return sorted(found, key=lambda span: span.start)


@cache
def homes_of(tag: str) -> tuple[str, ...]:
    """The countries in which a number without a country code is tried, by language: where it is official, or much spoken."""
    code = tag.split("_")[0]
    return tuple(HOMES[code].split()) if code in HOMES else _spoken().get(code, ())


@cache
def _spoken() -> dict[str, tuple[str, ...]]:
    """Countries by language (ISO 639-3), those with most of their people first."""
    try:
        from babel.core import get_global
    except ImportError as error:
        raise extra_missing("the countries of a language", "Babel", "text") from error
    from isogloss.core.lang import resolve

    found: dict[str, list[tuple[float, str]]] = {}
    codes: dict[str, str | None] = {}
    for country, languages in get_global("territory_languages").items():
        if len(country) != 2 or country.isdigit():
            continue
        for name, facts in languages.items():
            if facts.get("official_status") or facts.get("population_percent", 0) >= MUCH:
                if name not in codes:
                    try:
                        codes[name] = resolve(name.replace("_", "-")).tag.split("_")[0]
                    except IsoglossError:  # a language that the table does not have
                        codes[name] = None
                if code := codes[name]:
                    found.setdefault(code, []).append((-float(facts.get("population_percent", 0)), country))
    return {
        code: tuple(dict.fromkeys(country for _, country in sorted(some)))[:MOST_HOMES] for code, some in found.items()
    }


# -- addresses --------------------------------------------------------------------------------------------------

_LABEL = r"(?:[\p{L}\p{N}](?:[\p{L}\p{M}\p{N}-]{0,61}[\p{L}\p{M}\p{N}])?)"
_HOST = r"[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?"
_ASCII_MAIL = re.compile(
    rf"(?<![0-9A-Za-z.!#$%&'*+/=?^_`{{|}}~@-])[0-9A-Za-z_!#$%&*+=?^`{{|}}~-]+(?:['.][0-9A-Za-z_!#$%&*+=?^`{{|}}~-]+)*"
    rf"(?:@|%40|&#64;)(?:{_HOST}\.){{1,8}}(?:xn--[0-9A-Za-z-]+|[A-Za-z]{{2,24}})(?![0-9A-Za-z@_]|-[0-9A-Za-z])"
)
_MAIL = regex.compile(
    rf"(?<![\w.@])[\w\p{{M}}]+(?:[.+-][\w\p{{M}}]+)*+@(?:{_LABEL}\.){{1,8}}[\p{{L}}\p{{M}}]{{2,24}}(?![\w@])"
)
# In the query or the path of an address without a scheme.
_QUERIED = re.compile(
    rf"(?<=[?&=/;])[0-9A-Za-z_+-]+(?:\.[0-9A-Za-z_+-]+)*(?:@|%40|&#64;)"
    rf"(?:{_HOST}\.){{1,8}}(?:xn--[0-9A-Za-z-]+|[A-Za-z]{{2,24}})(?![0-9A-Za-z@_]|-[0-9A-Za-z])"
)
_KEY = re.compile(r"[?&][0-9A-Za-z_-]*=")
# As people write them against machines: anna [at] mail [dot] org, anna @ mail.org.
_AT = r"[ ]{0,2}[\[({<][ ]?(?:at|ät|arroba|arobase|chiocciola|małpa|собака|куче|@)[ ]?[\])}>][ ]{0,2}"
_DOTS = "dot|punkt|punto|ponto|point|kropka|точка|nokta"
_DOT = rf"(?:\.|[ ]{{0,2}}[\[({{<][ ]?(?:{_DOTS}|\.)[ ]?[\])}}>][ ]{{0,2}}|[ ]{{1,2}}(?:{_DOTS})[ ]{{1,2}})"
_BEFORE_AT = rf"(?<![\w.+-])[\w+-]{{1,64}}(?:(?:\.|[ ]?[\[({{](?:{_DOTS})[\])}}][ ]?)[\w+-]{{1,64}}){{0,4}}"
_SPELT = re.compile(rf"({_BEFORE_AT}){_AT}({_HOST}(?:{_DOT}{_HOST}){{1,5}})(?![\w@])", re.IGNORECASE)
_APART = re.compile(
    rf"({_BEFORE_AT})(?:[ ]{{1,2}}@[ ]{{0,2}}|@[ ]{{1,2}})((?:{_HOST}\.){{1,5}}[A-Za-z]{{2,24}})(?![\w@]|[.-]\w)"
)
_BRACKET_AT = re.compile(_AT, re.IGNORECASE)
_SCHEME = re.compile(
    r"(?<![A-Za-z])(?:https?|ftps?|sftp|wss?)://[^\s<>\"“”«»`{}|\\^、。，；！？》）】」،؛؟।]+", re.IGNORECASE
)
_BARE = re.compile(
    rf"(?<![0-9A-Za-z@./_-])(?:{_HOST}\.){{1,8}}(?:xn--[0-9A-Za-z-]+|[A-Za-z]{{2,24}})(?![0-9A-Za-z@_-]|\.[0-9A-Za-z])"
    r"(?::\d{2,5})?(?:[/?#][!-;=?-Z\[\]_a-z~]*)?"
)
_NATIVE = regex.compile(
    rf"(?<![\w\p{{M}}@./-])(?:{_LABEL}\.){{1,8}}[\p{{L}}\p{{M}}]{{2,24}}(?![\w\p{{M}}@-]|\.\w)(?::\d{{2,5}})?(?:/[^\s<>\"]*)?"
)
_V4 = re.compile(r"(?<![0-9A-Za-z.-])(?:\d{1,3}\.){3}\d{1,3}(?![0-9A-Za-z]|\.\d|-\d)")
_FOURS = re.compile(r"\d\.\d+\.\d")
_V6 = re.compile(
    r"(?<![0-9A-Za-z:.])(?:[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{0,4}){2,8}|::[0-9A-Fa-f:]*)(?:(?<=:)(?:\d{1,3}\.){3}\d{1,3})?"
    r"(?![0-9A-Za-z:]|\.\d)"
)
_DOTTED = re.compile(r"[^\W_]\.[^\W_]")
_HOSTED = re.compile(r"://(?:[^/?#]*[\w-]\.\w|localhost(?!\w)|\[)", re.IGNORECASE)
# Text in a script without spaces goes on behind an address.
_UNSPACED = "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]"
_RUN_ON = re.compile(rf"(?<=[0-9A-Za-z/])(?<!/)(?={_UNSPACED})")
# Endings of files that are also countries.
_FILES = frozenset({"py", "md", "sh", "rs", "pl", "so", "ps", "zip", "mov"})


@cache
def _top(label: str) -> bool:
    try:
        from tld import is_tld
    except ImportError as error:
        raise extra_missing("finding addresses", "tld", "text") from error
    label = label.lower()
    if label.startswith("xn--"):
        try:
            label = label.encode().decode("idna")
        except UnicodeError:
            return False
    return bool(is_tld(label))


def _emails(flat: str, homes: Sequence[str]) -> Iterator[Span]:
    if any(sign in flat for sign in ("@", "%40", "&#64;")):
        for pattern in (_ASCII_MAIL, _QUERIED, _MAIL):
            for match in pattern.finditer(flat):
                keyed = pattern is _ASCII_MAIL and _KEY.search(match[0])  # x.org?to=anna@mail.org: _QUERIED has it
                if not keyed and _top(match[0].rpartition(".")[2]):
                    value = match[0].lower().replace("&#64;", "@").replace("%40", "@")
                    yield Span("email", match.start(), match.end(), value)
        for match in _APART.finditer(flat):
            top = match[2].rpartition(".")[2]
            if _top(top) and (top.islower() or match[2].isupper()):
                yield Span("email", match.start(), match.end(), f"{match[1]}@{match[2]}".lower())
    if _BRACKET_AT.search(flat):
        yield from _spelt(flat)


def _spelt(flat: str) -> Iterator[Span]:
    """anna [at] mail [dot] org: the longest row of labels, joined in one way, that ends in a top-level domain."""
    for match in _SPELT.finditer(flat):
        dots = list(re.finditer(_DOT, match[2], re.IGNORECASE))
        plain_words = [dot for dot in dots if dot[0].strip().isalpha()]
        last = plain_words[0].start() if 0 < len(plain_words) < len(dots) else len(match[2])
        for end in [last, *(dot.start() for dot in reversed(dots[1:]) if dot.start() < last)]:
            host = re.sub(_DOT, ".", match[2][:end], flags=re.IGNORECASE)
            if "." in host and _top(host.rpartition(".")[2]):
                name = re.sub(rf"[ ]?[\[({{](?:{_DOTS})[\])}}][ ]?", ".", match[1], flags=re.IGNORECASE)
                yield Span("email", match.start(), match.start(2) + end, f"{name}@{host}".lower())
                break


def _schemed(flat: str, homes: Sequence[str]) -> Iterator[Span]:
    if "://" in flat:
        for match in _SCHEME.finditer(flat):
            address = _trimmed(_RUN_ON.split(match[0], maxsplit=1)[0])
            if _HOSTED.search(address):
                yield Span("url", match.start(), match.start() + len(address), address)


def _urls(flat: str, homes: Sequence[str]) -> Iterator[Span]:
    yield from _schemed(flat, homes)
    if not _DOTTED.search(flat):
        return
    for match in _BARE.finditer(flat):
        address = _trimmed(match[0])
        host = re.split(r"[:/?#]", address, maxsplit=1)[0]
        top = host.rpartition(".")[2]
        if _top(top) and not (top.lower() in _FILES and host.count(".") == 1 and len(host) == len(address)):
            # The end of one sentence and the beginning of the next.
            if top[0].isupper() and not host.isupper() and not host.lower().startswith("www."):
                continue
            yield Span("url", match.start(), match.start() + len(address), address)
    if not flat.isascii():
        for match in _NATIVE.finditer(flat):
            address = _trimmed(match[0])
            top = re.split(r"[:/]", address, maxsplit=1)[0].rpartition(".")[2]
            if not top.isascii() and _top(top):
                yield Span("url", match.start(), match.start() + len(address), address)


def _trimmed(address: str) -> str:
    """Without the marks that end the sentence, and without a bracket that was opened before."""
    end = len(address)
    over = {")": address.count(")") - address.count("("), "]": address.count("]") - address.count("[")}
    while end and (address[end - 1] in ".,;:!?'\"…*_\u200e" or over.get(address[end - 1], 0) > 0):
        if address[end - 1] in over:
            over[address[end - 1]] -= 1
        end -= 1
    return address[:end]


def _ips(flat: str, homes: Sequence[str]) -> Iterator[Span]:
    for match in _V4.finditer(flat) if _FOURS.search(flat) else ():
        octets = match[0].split(".")
        if all(int(octet) < 256 for octet in octets):
            yield Span("ip", match.start(), match.end(), ".".join(str(int(octet)) for octet in octets))
    for match in _V6.finditer(flat) if "::" in flat or flat.count(":") > 6 else ():
        try:
            address = ipaddress.IPv6Address(match[0])
        except ValueError:
            continue
        if re.search(r"\d", match[0]) or match[0].count(":") > 3 or match[0] == "::":  # a::b may be anything
            yield Span("ip", match.start(), match.end(), str(address))


# -- numbers with a check ---------------------------------------------------------------------------------------

_IBAN = re.compile(
    r"(?<![0-9A-Za-z])[A-Z]{2}\d{2}(?:[ -]?[0-9A-Z]{4}){2,7}(?:[ -]?[0-9A-Z]{1,4})?(?![0-9A-Za-z])", re.IGNORECASE
)
_CARD = re.compile(
    r"(?<![0-9A-Za-z.,/+-])(?:\d{4}([ .-])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|\d{4}([ -])\d{6}\2\d{4,5}|\d{13,19})"
    r"(?![0-9A-Za-z]|[.,/-]\d)"
)
_THIRTEEN = re.compile(r"\d(?:[ .-]?\d){12}")
_PREFIX = re.compile(
    r"4|5[1-5]|2(?:2[2-9]|[3-6]|7[01]|720)|3[47]|3(?:0[0-5]|[689])|6(?:011|4[4-9]|5)|35(?:2[89]|[3-8])|62|220[0-4]|9792|50|5[6-9]|60|508|8[12]"
)
# Digits and capitals, eight or more, with no more than a mark between: where a national number may stand.
_RUN = re.compile(r"(?<![0-9A-Za-z])(?:[0-9A-ZÑ&][ .\-/+]?){8,}")


@cache
def _checker(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"stdnum.{module}")
    except ImportError as error:
        raise extra_missing("finding national numbers", "python-stdnum", "text") from error


def _ibans(flat: str, homes: Sequence[str]) -> Iterator[Span]:
    for match in _IBAN.finditer(flat):
        value = match[0]
        while value and not _checker("iban").is_valid(value):
            value = value.rpartition(" ")[0]  # the last groups may be words behind the number
        if value:
            yield Span("iban", match.start(), match.start() + len(value), re.sub(r"\W", "", value).upper())


def _cards(flat: str, homes: Sequence[str]) -> Iterator[Span]:
    for match in _CARD.finditer(flat) if _THIRTEEN.search(flat) else ():
        digits = re.sub(r"\D", "", match[0])
        if _PREFIX.match(digits) and len(set(digits)) > 1 and _checker("luhn").is_valid(digits):
            yield Span("card", match.start(), match.end(), digits)


@dataclass(frozen=True)
class _Number:
    country: str
    module: str
    form: re.Pattern[str]
    where: str
    cue: re.Pattern[str]


def _lines(name: str) -> Iterator[list[str]]:
    from importlib import resources

    text = (resources.files("isogloss") / "assets" / "pii" / name).read_text("utf-8")
    rows = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    yield from rows[1:]


def _words(words: Sequence[str]) -> re.Pattern[str]:
    """Any of the words, as a word where its script has spaces; a long one may go on."""
    pieces = []
    for word in sorted(set(words), key=lambda w: (-len(w), w)):
        spaced = re.escape(word.replace("_", " ")).replace(r"\ ", r"\s?")
        if re.match(r"[\u0e00-\u0eff\u0f00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]", word):
            pieces.append(spaced)
        else:
            pieces.append(rf"(?<!\w){spaced}" + (r"\w*" if len(word) > 4 else r"(?!\w)"))
    return re.compile("|".join(pieces), re.IGNORECASE)


@cache
def _numbers() -> tuple[_Number, ...]:
    found = []
    for country, module, form, where, words in _lines("ids.tsv"):
        pattern = re.compile(rf"(?<![0-9A-Za-z_.,/+-])(?:{form})(?![0-9A-Za-z_]|[.,/-]\d)")
        found.append(_Number(country, module, pattern, where, _words(words.split())))
    return tuple(found)


def _ids(flat: str, homes: Sequence[str]) -> Iterator[Span]:
    for some in _RUN.finditer(flat):
        if sum(c.isdigit() for c in some[0]) >= 4:
            yield from _ids_in(flat, max(0, some.start() - 2), some.end() + 2, homes)


def _ids_in(flat: str, start: int, end: int, homes: Sequence[str]) -> Iterator[Span]:
    """National numbers in a piece of a text that has digits and capitals only."""
    for number in _numbers():
        for match in number.form.finditer(flat, start, end):
            home = number.where == "any" or (number.where == "home" and number.country in homes)
            if not (home or number.cue.search(flat, max(0, match.start() - CUE), match.start())):
                continue
            around = flat[max(0, match.start() - 2) : match.start()], flat[match.end() : match.end() + 2]
            if " " in match[0] and any(re.fullmatch(r"\d | \d", some) for some in around):
                continue  # groups of a longer number
            if len(set(re.sub(r"\D", "", match[0]))) > 1 and _checker(number.module).is_valid(match[0]):
                value = re.sub(r"[\W_]", "", match[0]).upper()
                yield Span("id", match.start(), match.end(), value)


# -- telephones -------------------------------------------------------------------------------------------------

_PHONE = re.compile(
    r"(?<![0-9A-Za-z_=*%#$€£¥₹/+])(?<![A-Za-z]-)(?<!\d[-–(.:/])"
    r"((?:\(\s?\+?\d{1,4}\s?\)|\+{1,2}\s?\(?\d|\(?\d)(?:[ \u200e]?[-./()]{0,3}[ \u200e]?\d){5,18}\)?)"
    r"(?:\s?(?:ext|x|ext\.|доб\.|转|轉|#)\.?\s?\d{1,5}(?!\d))?"
    r"(?![0-9A-Za-z_=*%@]|[.:/+-]\d|,\d{1,3}(?![\d-])|\)\d)",
    re.IGNORECASE,
)
_SEVEN = re.compile(r"\d(?:[^\dA-Za-z\n]{0,5}\d){6}")
_DATE = re.compile(
    r"\d{4}[-./]\d{1,2}[-./]\d{1,2}(?: \d{1,2})?|\d{1,2}[-./]\d{1,2}[-./](?:\d{4}|\d{2})(?: \d{1,2})?|(?:1\d|20)\d{2}[ .()/-]{1,4}(?:1\d|20)\d{2}"
)
# Thousands, a number with decimals, and from one number to another.
_AMOUNT = re.compile(r"[1-9]\d{0,2}(?:[ .]\d{3})+|\d+\.\d+|[1-9]\d*(?:\.\d{3})? ?- ?[1-9]\d*(?:\.\d{3})?")
# What stands where a number stood (`hide.py`).
_HIDDEN = re.compile(r"\[?[A-Z]*(?::[a-z]*)?\]")
_BETWEEN = re.compile(r"[\s,;/|、，]{0,3}(?:(?:or|and|и|و|або|oder|ou|o|y|e|या|或|和)\s)?")


@cache
def _cues() -> re.Pattern[str]:
    return _words([word for _, words in _lines("cues.tsv") for word in words.split()])


def _phones(flat: str, homes: Sequence[str]) -> Iterator[Span]:
    if not _SEVEN.search(flat):
        return
    last, row = -1, -9  # the ends of the number before, and of a row of numbers that is none
    for match in _PHONE.finditer(flat):
        start, number = match.start(1), match[1]
        if 0 <= start - row <= 1:
            row = match.end()
            continue
        if number[0] == "(" and ")" not in number:
            start, number = start + 1, number[1:]
        if flat[start - 1 : start] == "," and flat[start - 2 : start - 1].isdigit() and last != start - 1:
            continue  # the decimals of a number
        cued = bool(last >= 0 and _BETWEEN.fullmatch(flat, last, start)) or _cued(flat, start)
        several = _several(number)
        if not cued and len(several) == 1 and number[0] != "+" and sum(c.isdigit() for c in number) > LONGEST:
            row = match.end()
            continue
        for at, some in several:
            read = _read(some, cued, homes)
            if read is None:
                continue
            end = start + at + len(read)
            if end == match.end(1):
                end = match.end()  # with its extension
            if read[0] != "(" and read.endswith(")") and read.count("(") < read.count(")"):
                end = start + at + len(read) - 1
            yield Span("phone", start + at, end, _international(read, homes))
            last = end


def _cued(flat: str, start: int) -> bool:
    """Whether a word before it says that a number is a telephone's."""
    before = _HIDDEN.sub(" ", flat[max(0, start - CUE) : start].rpartition("\n")[2])
    return any(c.isalpha() or c == "☎" for c in before) and bool(_cues().search(before))


def _several(number: str) -> list[tuple[int, str]]:
    """The numbers of a row of digits: long ones with a space between are several."""
    pieces = list(re.finditer(r"\S+", number))
    sizes = [sum(c.isdigit() for c in piece[0]) for piece in pieces]
    if len(pieces) > 1 and min(sizes) >= 7 and sum(sizes) > 15:
        return [(piece.start(), piece[0]) for piece in pieces]
    return [(0, number)]


def _read(number: str, cued: bool, homes: Sequence[str]) -> str | None:
    """The longest beginning, in whole groups, that is a telephone number: one of a plan, else one of the right form."""
    # Of a number without a country code that nothing announces, a piece says nothing.
    cuts = cued or _abroad(number)
    ends = [len(number), *(m.start() for m in reversed(list(re.finditer(r"[ (]+", number))) if cuts)]
    some = [number[:end].rstrip(" -./(") for end in ends]
    some = [one for one in some if sum(c.isdigit() for c in one) >= 7 and not _DATE.fullmatch(one.strip("() "))]
    digits = {one: re.sub(r"\D", "", one) for one in some}
    for one in some:
        if (_abroad(one) or not cued) and _by_plan(one, digits[one], homes):
            return one
    for one in some:
        inner = re.search(r"-\d{3,5}$", one)  # an extension
        n = len(digits[one]) - (len(inner[0]) - 1 if inner and len(digits[one]) > 15 else 0)
        if cued and (n <= 15 or (n <= 17 and digits[one].startswith("00"))):
            return one
        if _abroad(one) and _valid("+" + digits[one].lstrip("0"), None, possible=True):
            return one
    return None


def _abroad(number: str) -> bool:
    """Whether a number begins with + or 00; 0.0254 does not."""
    return number.lstrip("( ").startswith(("+", "00"))


def _by_plan(number: str, digits: str, homes: Sequence[str]) -> bool:
    """Whether a number is valid in the plan of its country, or, without one, of a country of the language."""
    if _abroad(number):
        return _valid("+" + digits.lstrip("0"), None)
    if len(digits) < 8 or number.count("(") != number.count(")") or _AMOUNT.fullmatch(number.strip("() ")):
        return False
    # A bare row of digits is a telephone number where it begins as one, or is a mobile number; groups, where a plan has them.
    grouped = re.search(r"\d[ .()/-]+\d", number) is not None
    mobile = not grouped and not digits.startswith("0")
    if not grouped and len(digits) < (10 if mobile else 9):
        return False
    return any(_valid(number, country, mobile=mobile) for country in homes)


def _international(read: str, homes: Sequence[str]) -> str:
    """A number as it is dialled from anywhere (E.164), so that all ways to write it are one; else its digits."""
    import phonenumbers

    digits = re.sub(r"\D", "", read)
    for country in [None] if _abroad(read) else homes:
        number = _parsed(read if country else "+" + digits.lstrip("0"), country)
        if number and phonenumbers.is_valid_number(number):
            return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    return digits


@lru_cache(maxsize=8192)
def _parsed(number: str, country: str | None) -> Any:
    try:
        import phonenumbers
    except ImportError as error:
        raise extra_missing("finding telephone numbers", "phonenumbers", "text") from error
    try:
        return phonenumbers.parse(number, country)
    except phonenumbers.NumberParseException:
        return None


def _valid(number: str, country: str | None, *, possible: bool = False, mobile: bool = False) -> bool:
    read = _parsed(number, country)
    if read is None:
        return False
    import phonenumbers

    if mobile and phonenumbers.number_type(read) != phonenumbers.PhoneNumberType.MOBILE:
        return False
    return bool(phonenumbers.is_possible_number(read) if possible else phonenumbers.is_valid_number(read))


_FINDERS = {"email": _emails, "url": _urls, "ip": _ips, "iban": _ibans, "card": _cards, "id": _ids, "phone": _phones}
