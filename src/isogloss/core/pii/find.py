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
from functools import cache
from typing import Any

from isogloss.core.errors import extra_missing
from isogloss.core.pii.plain import plain

KINDS = ("email", "url", "ip", "iban", "card", "id", "phone")
# Characters before a number in which a word that announces it may stand.
CUE = 32
# Countries of languages that are official in more countries than a number can be tried in.
HOMES = {
    "eng": "US GB CA AU NZ IE IN ZA NG KE PH SG", "fra": "FR BE CH CA CI CM SN", "spa": "ES MX AR CO CL PE VE EC",
    "por": "PT BR AO MZ", "arb": "SA EG AE MA DZ TN IQ JO LB KW QA SD YE", "swh": "TZ KE UG CD",
}  # fmt: skip
MOST_HOMES = 12


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
    [('email', 'sara@mail.org'), ('phone', '0501234567')]
    """
    flat = plain(text)
    homes = tuple(countries) or homes_of(lang)
    taken = bytearray(len(text))
    found = []
    for kind in KINDS:  # the surer first
        # An address that stands inside another one, or in what is not wanted, is still no telephone number.
        for span in _FINDERS[kind](flat, homes):
            if not any(taken[span.start : span.end]):
                taken[span.start : span.end] = b"\x01" * (span.end - span.start)
                if kind in kinds:
                    found.append(span)
    return sorted(found, key=lambda span: span.start)


@cache
def homes_of(tag: str) -> tuple[str, ...]:
    """The countries in which a number without a country code is tried, by language."""
    code = tag.split("_")[0]
    if code in HOMES:
        return tuple(HOMES[code].split())
    from isogloss.core.values.cldr import countries

    return tuple(sorted(countries(tag)))[:MOST_HOMES]


# -- addresses --------------------------------------------------------------------------------------------------

_LABEL = r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?)"
_HOST = r"[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?"
_ASCII_MAIL = re.compile(
    rf"(?<![0-9A-Za-z.!#$%&'*+/=?^_`{{|}}~@-])[0-9A-Za-z_!#$%&*+=?^`{{|}}~-]+(?:['.][0-9A-Za-z_!#$%&*+=?^`{{|}}~-]+)*"
    rf"@(?:{_HOST}\.)+(?:xn--[0-9A-Za-z-]+|[A-Za-z]{{2,24}})(?![0-9A-Za-z@_]|-[0-9A-Za-z])"
)
_MAIL = re.compile(rf"(?<![\w.@])\w+(?:[.+-]\w+)*@(?:{_LABEL}\.)+[^\W\d_]{{2,24}}(?![\w@])")
_SCHEME = re.compile(r"(?<![A-Za-z])(?:https?|ftps?|sftp|wss?)://[^\s<>\"“”«»`{}|\\^、。，；！？》）】」]+", re.IGNORECASE)
_BARE = re.compile(
    rf"(?<![0-9A-Za-z@./_-])(?:{_HOST}\.)+(?:xn--[0-9A-Za-z-]+|[A-Za-z]{{2,24}})(?![0-9A-Za-z@_-]|\.[0-9A-Za-z])"
    r"(?::\d{2,5})?(?:[/?#][!-;=?-Z\[\]_a-z~]*)?"
)
_NATIVE = re.compile(rf"(?<![\w@./-])(?:{_LABEL}\.)+[^\W\d_]{{2,24}}(?![\w@-]|\.\w)(?::\d{{2,5}})?(?:/[^\s<>\"]*)?")
_V4 = re.compile(r"(?<![0-9A-Za-z.-])(?:\d{1,3}\.){3}\d{1,3}(?![0-9A-Za-z]|\.\d|-\d)")
_V6 = re.compile(
    r"(?<![0-9A-Za-z:.])(?:[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{0,4}){2,8}|::[0-9A-Fa-f:]*)(?:(?<=:)(?:\d{1,3}\.){3}\d{1,3})?"
    r"(?![0-9A-Za-z:]|\.\d)"
)
# Endings of files that are also countries.
_FILES = frozenset({"py", "md", "sh", "rs", "pl", "so", "ps", "cc", "am", "zip", "mov"})


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
    if "@" not in flat:
        return
    for pattern in (_ASCII_MAIL, _MAIL):
        for match in pattern.finditer(flat):
            if _top(match[0].rpartition(".")[2]):
                yield Span("email", match.start(), match.end(), match[0].lower())


def _urls(flat: str, homes: Sequence[str]) -> Iterator[Span]:
    if "://" in flat:
        for match in _SCHEME.finditer(flat):
            address = _trimmed(match[0])
            if re.search(r"://[\w\[]", address):
                yield Span("url", match.start(), match.start() + len(address), address)
    if "." not in flat:
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
    while address and (address[-1] in ".,;:!?'\"…*_\u200e" or (address[-1] in ")]" and _unopened(address))):
        address = address[:-1]
    return address


def _unopened(address: str) -> bool:
    pair = "()" if address[-1] == ")" else "[]"
    return address.count(pair[0]) < address.count(pair[1])


def _ips(flat: str, homes: Sequence[str]) -> Iterator[Span]:
    for match in _V4.finditer(flat) if "." in flat else ():
        octets = match[0].split(".")
        if all(int(octet) < 256 for octet in octets):
            yield Span("ip", match.start(), match.end(), ".".join(str(int(octet)) for octet in octets))
    for match in _V6.finditer(flat) if ":" in flat else ():
        try:
            address = ipaddress.IPv6Address(match[0])
        except ValueError:
            continue
        yield Span("ip", match.start(), match.end(), str(address))


# -- numbers with a check ---------------------------------------------------------------------------------------

_IBAN = re.compile(r"(?<![0-9A-Za-z])[A-Z]{2}\d{2}(?:[ -]?[0-9A-Z]{4}){2,7}(?:[ -]?[0-9A-Z]{1,4})?(?![0-9A-Za-z])")
_CARD = re.compile(r"(?<![0-9A-Za-z.,/+-])\d(?:[ -]?\d){12,18}(?![0-9A-Za-z]|[.,/-]\d)")
_PREFIX = re.compile(r"4|5[1-5]|2(?:2[2-9]|[3-6]|7[01]|720)|3[47]|3(?:0[0-5]|[689])|6(?:011|4[4-9]|5)|35(?:2[89]|[3-8])|62|220[0-4]|9792|50|5[6-9]|60|508|8[12]")
_SOME_DIGITS = re.compile(r"\d(?:[ .\-/+]?[A-Z]{0,2}[ -]?\d){5}|[A-Z]{5}\d{4}[A-Z]")


@cache
def _checker(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"stdnum.{module}")
    except ImportError as error:
        raise extra_missing("finding national numbers", "python-stdnum", "text") from error


def _ibans(flat: str, homes: Sequence[str]) -> Iterator[Span]:
    for match in _IBAN.finditer(flat):
        # The last group may be a word behind the number.
        for value in (match[0], match[0].rpartition(" ")[0]):
            if value and _checker("iban").is_valid(value):
                yield Span("iban", match.start(), match.start() + len(value), re.sub(r"\W", "", value))
                break


def _cards(flat: str, homes: Sequence[str]) -> Iterator[Span]:
    for match in _CARD.finditer(flat):
        digits = re.sub(r"\D", "", match[0])
        groups = [len(group) for group in re.split(r"\D", match[0])]
        grouped = len(groups) == 1 or groups in ([4, 4, 4, 4], [4, 6, 5], [4, 6, 4], [4, 4, 4, 4, 3])
        if grouped and 13 <= len(digits) <= 19 and _PREFIX.match(digits) and len(set(digits)) > 1 and _checker("luhn").is_valid(digits):
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
        gap = ("(?<!\\d )", "(?! \\d)") if " " in form else ("", "")  # a piece of a longer number is no number
        pattern = re.compile(rf"(?<![0-9A-Za-z_.,/+-]){gap[0]}(?:{form}){gap[1]}(?![0-9A-Za-z_]|[.,/-]\d)")
        found.append(_Number(country, module, pattern, where, _words(words.split())))
    return tuple(found)


def _ids(flat: str, homes: Sequence[str]) -> Iterator[Span]:
    if not _SOME_DIGITS.search(flat):
        return
    for number in _numbers():
        for match in number.form.finditer(flat):
            home = number.where == "any" or (number.where == "home" and number.country in homes)
            if not (home or number.cue.search(flat, max(0, match.start() - CUE), match.start())):
                continue
            if len(set(re.sub(r"\D", "", match[0]))) > 1 and _checker(number.module).is_valid(match[0]):
                value = re.sub(r"[\W_]", "", match[0]).upper()
                yield Span("id", match.start(), match.end(), value)


# -- telephones -------------------------------------------------------------------------------------------------

_PHONE = re.compile(
    r"(?<![0-9A-Za-z_=*#%$€£¥₹@/.,:+])(?<![A-Za-z]-)(?<!\d[-–(]) ?"
    r"((?:\(\s?\+?\d{1,4}\s?\)|\+{1,2}\s?\(?\d|\(?\d)(?:[ \u200e]?[-./()]{0,3}[ \u200e]?\d){5,18}\)?)"
    r"(?:\s?(?:ext|x|ext\.|доб\.|转|轉|#)\.?\s?\d{1,5}(?!\d))?"
    r"(?![0-9A-Za-z_=*%@]|[.,:/+-]\d|\)\d)",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"\d{4}[-./]\d{1,2}[-./]\d{1,2}(?: \d{1,2})?|\d{1,2}[-./]\d{1,2}[-./](?:\d{4}|\d{2})(?: \d{1,2})?|(?:1[89]|20)\d{2} ?[-/] ?(?:1[89]|20)\d{2}"
)
_THOUSANDS = re.compile(r"\d{1,3}(?:[ .]\d{3})+")
_BETWEEN = re.compile(r"[\s,;/|、，]{0,3}(?:(?:or|and|и|و|або|oder|ou|o|y|e|या|或|和)\s)?")


@cache
def _cues() -> re.Pattern[str]:
    return _words([word for _, words in _lines("cues.tsv") for word in words.split()])


def _phones(flat: str, homes: Sequence[str]) -> Iterator[Span]:
    last = -1
    for match in _PHONE.finditer(flat):
        start, end = match.start(1), match.end()
        number = match[1]
        digits = re.sub(r"\D", "", number)
        if not 6 <= len(digits) <= 17 or _DATE.fullmatch(number.strip()):
            continue
        chained = last >= 0 and bool(_BETWEEN.fullmatch(flat, last, start))
        before = flat[max(0, start - CUE) : start]
        cued = chained or bool(_cues().search(before.rpartition("\n")[2]))
        if _is_phone(number, digits, cued, homes):
            if number[0] != "(" and number.endswith(")") and number.count("(") < number.count(")"):
                end = start + len(number) - 1
            yield Span("phone", start, end, digits)
            last = end


def _is_phone(number: str, digits: str, cued: bool, homes: Sequence[str]) -> bool:
    international = number.lstrip("( ").startswith("+")
    if cued:
        return len(digits) <= 15 or digits.startswith("00")
    if international or digits.startswith("00"):
        return _valid("+" + digits.lstrip("0"), None, possible=True)
    if len(digits) < 7 or _THOUSANDS.fullmatch(number.strip()):
        return False
    # A bare row of digits is a telephone number where it begins as one does; groups, where the plan of a country has them.
    grouped = re.search(r"\d[ .()/-]+\d", number) is not None
    if not grouped and not (digits.startswith("0") and len(digits) >= 9):
        return False
    return any(_valid(number, country) for country in homes)


def _valid(number: str, country: str | None, *, possible: bool = False) -> bool:
    try:
        import phonenumbers
    except ImportError as error:
        raise extra_missing("finding telephone numbers", "phonenumbers", "text") from error
    try:
        read = phonenumbers.parse(number, country)
    except phonenumbers.NumberParseException:
        return False
    return bool(phonenumbers.is_possible_number(read) if possible else phonenumbers.is_valid_number(read))


_FINDERS = {"email": _emails, "url": _urls, "ip": _ips, "iban": _ibans, "card": _cards, "id": _ids, "phone": _phones}
