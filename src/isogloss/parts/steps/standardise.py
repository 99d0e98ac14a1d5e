"""Repair encoding, Unicode form, control characters and white space; text of every script stays itself.

What it does, in this order, again and again until nothing changes (so twice is the same as once):

1. mojibake is undone line by line (ftfy, which only changes text that reads as wrongly decoded UTF-8). Quotes,
   ligatures, full-width forms and HTML entities stay as they are;
2. surrogate pairs become their character; lone surrogates, control characters (C0 and C1 but tab and newline),
   byte order marks, noncharacters and soft hyphens go; every line break becomes a newline;
3. invisible characters stay where a script needs them and go elsewhere: joiners (ZWJ, ZWNJ) go only between letters of
   scripts that have no joining (`_PLAIN`) and stay beside any other script and in emoji; the zero-width space stays
   between letters of scripts written without spaces (Khmer, Thai, Lao, Burmese, ...); tag characters stay in flags;
4. directional marks (LRM, RLM, ALM) stay in lines with right-to-left letters; embeddings, overrides and isolates stay
   when they are paired within their line;
5. Unicode normalisation to `form`;
6. with `quotes = "ascii"` typographic quotation marks become " and '; marks that are letters or signs of a script
   (ʻokina, geresh, gershayim, primes, corner brackets) stay;
7. with `digits = "ascii"` decimal digits of every script become 0 to 9, with `"native"` 0 to 9 become the digits of the
   row's language, but not in words with Latin letters (A4, addresses);
8. each run of spaces (no-break, thin, ideographic, tab ...) becomes one space. What stays: the Ogham space mark, which
   is visible; the narrow no-break space before a Mongolian suffix; one no-break or thin space that groups digits,
   which says that they are one number. Lines and text are trimmed; of empty lines at most one stays.

A row in which nothing visible is left is dropped as "empty after standardise".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import polars as pl

VERSION = 2
REWRITES = True

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]
Digits = Literal["keep", "ascii", "native"]
Quotes = Literal["keep", "ascii"]

# The digit zero of CLDR's numbering systems that languages of our table write with. Systems of characters that are no
# decimal digits in Unicode (hanidec) are not here.
_ZEROS = {
    "adlm": 0x1E950, "arab": 0x660, "arabext": 0x6F0, "bali": 0x1B50, "beng": 0x9E6, "cakm": 0x11136, "deva": 0x966,
    "gonm": 0x11D50, "gujr": 0xAE6, "guru": 0xA66, "java": 0xA9D0, "khmr": 0x17E0, "knda": 0xCE6, "lana": 0x1A80,
    "laoo": 0xED0, "mlym": 0xD66, "mong": 0x1810, "mtei": 0xABF0, "mymr": 0x1040, "nkoo": 0x7C0, "olck": 0x1C50,
    "orya": 0xB66, "sund": 0x1BB0, "tamldec": 0xBE6, "telu": 0xC66, "thai": 0xE50, "tibt": 0xF20, "vaii": 0xA620,
    "wara": 0x118E0,
}  # fmt: skip
_QUOTES = str.maketrans({**dict.fromkeys("“”„‟«»", '"'), **dict.fromkeys("‘’‚‛‹›", "'")})

# Scripts in which a joiner between two letters changes nothing. A script that is not here keeps its joiners.
_PLAIN = "Latn Grek Cyrl Armn Geor Hebr Ethi Hani Hira Kana Bopo Hang Thai Laoo Cher Cans Copt Goth Ogam Runr Yiii Vaii"
# Scripts written without spaces, whose texts mark words with the zero-width space.
_UNSPACED = "Thai Laoo Khmr Mymr Lana Talu Tavt Java Bali Tibt Hani Hira Kana Yiii Nkoo Sund Cham"
_EMBED, _ISOLATE = "\u202a\u202b\u202d\u202e", "\u2066\u2067\u2068"
_PDF, _PDI = "\u202c", "\u2069"
_ROUNDS = 12


@cache
def _patterns() -> dict[str, Any]:
    import regex

    plain = "".join(rf"\p{{Script={name}}}" for name in _PLAIN.split())
    unspaced = "".join(rf"\p{{Script={name}}}" for name in _UNSPACED.split())
    # What may stand beside a joiner that does nothing: those scripts, and anything that is no letter or mark of
    # another script and no part of an emoji.
    emoji = r"\p{Extended_Pictographic}\p{Emoji_Modifier}\uFE0F\u20E3"
    beside = rf"(?:[{plain}]|(?![{emoji}])[\p{{N}}\p{{P}}\p{{Z}}\p{{S}}\p{{Cc}}\u200B\u2060])"
    marks = r"[\u0300-\u036F]{0,4}"  # marks between a plain letter and the joiner
    return {
        "breaks": regex.compile(r"\r\n|[\r\v\f\x1c-\x1e\u2028\u2029]"),
        "pairs": regex.compile(r"[\uD800-\uDBFF][\uDC00-\uDFFF]"),
        "control": regex.compile(
            r"[\x00-\x08\x0E-\x1F\x7F-\x9F\uFEFF\u00AD\u2061-\u2064\u206A-\u206F\uFFF9-\uFFFB"
            r"\uFDD0-\uFDEF\uFFFE\uFFFF\U000E0001]|\p{Noncharacter_Code_Point}|\p{Cs}"
        ),
        "joiner": regex.compile(rf"(?<=(?:^|{beside}{marks}))[\u200C\u200D]+(?={beside}|$)"),
        "zero_space": regex.compile(rf"(?<![{unspaced}]\p{{M}}{{0,4}})[\u200B\u2060]+|[\u200B\u2060]+(?![{unspaced}])"),
        "tags": regex.compile(r"(?<!\U0001F3F4[\U000E0020-\U000E007E]{0,8})[\U000E0020-\U000E007F]"),
        "rtl": regex.compile(r"(?![\u200F\u061C])[\p{Bidi_Class=R}\p{Bidi_Class=AL}]"),
        "marks": regex.compile(r"[\u200E\u200F\u061C]"),
        "bidi": regex.compile(rf"[{_EMBED}{_PDF}{_ISOLATE}{_PDI}]"),
        "space": regex.compile(
            r"(?:(?!\u1680|(?<=\p{Script=Mong})\u202F(?=\p{Script=Mong})"
            r"|(?<=\p{Nd})[\u00A0\u2009\u202F](?=\p{Nd}{3}(?!\p{Nd})))[\p{Zs}\t])+",
        ),
        "guillemets": regex.compile(r"«[\p{Zs}]+([^«»\n]*[^«»\n\p{Zs}])[\p{Zs}]+»"),
        "first_guillemet": regex.compile(r"[«»]"),
        "digits": regex.compile(r"(?![0-9])\p{Nd}"),
        "word": regex.compile(r"\S*[0-9]\S*"),
        "latin": regex.compile(r"[A-Za-z@/\\_]"),
        "lines": regex.compile(r"\n{3,}"),
        "visible": regex.compile(r"[^\p{C}\p{Z}\s\u200B\u115F\u1160\u3164\uFFA0\u2800\p{Variation_Selector}]"),
    }


@cache
def _repair_line() -> Callable[[str], str]:
    """Make the function that undoes mojibake in one line."""
    import ftfy
    from ftfy.badness import is_bad
    from ftfy.chardata import UTF8_DETECTOR_RE
    from ftfy.fixes import fix_c1_controls

    # restore_byte_a0 would read the word "Ã" as a broken "à". decode_inconsistent_utf8 (mojibake inside good text)
    # would bring it back through ftfy's defaults, so its few lines stand here with our configuration.
    config = ftfy.TextFixerConfig(explain=False, restore_byte_a0=False, decode_inconsistent_utf8=False)

    def part(match: Any) -> str:
        found: str = match.group()
        return ftfy.fix_encoding(found, config) if is_bad(found) else found

    return lambda line: fix_c1_controls(UTF8_DETECTOR_RE.sub(part, ftfy.fix_encoding(line, config)))


def _repair(text: str) -> str:
    """Join surrogate pairs, and undo mojibake in each line that is not plain ASCII."""
    if text.isascii():
        return text
    text = _patterns()["pairs"].sub(lambda pair: pair.group().encode("utf-16", "surrogatepass").decode("utf-16"), text)
    return "\n".join(line if line.isascii() else _repair_line()(line) for line in text.split("\n"))


def _pair(line: str) -> str:
    """Take out the embeddings, overrides and isolates of a line that have no partner (UAX 9, BD9 to BD11)."""
    keep: set[int] = set()
    open_: list[int] = []
    for i, character in enumerate(line):
        if character in _EMBED or character in _ISOLATE:
            open_.append(i)
        elif character == _PDF:
            if open_ and line[open_[-1]] in _EMBED:
                keep.update((open_.pop(), i))
        elif character == _PDI and any(line[j] in _ISOLATE for j in open_):
            while line[open_[-1]] not in _ISOLATE:
                open_.pop()
            keep.update((open_.pop(), i))
    controls = _EMBED + _ISOLATE + _PDF + _PDI
    return "".join(c for i, c in enumerate(line) if c not in controls or i in keep)


def _ascii_quotes(text: str) -> str:
    """Typographic quotation marks as " and '; the spaces inside « guillemets » go with them."""
    patterns = _patterns()
    lines = text.split("\n")
    for i, line in enumerate(lines):
        first = patterns["first_guillemet"].search(line)
        if first and first.group() == "«":  # »German« guillemets have no spaces inside
            lines[i] = patterns["guillemets"].sub(r'"\1"', line)
    return "\n".join(lines).translate(_QUOTES)


def _ascii_digits(text: str) -> str:
    found: str = _patterns()["digits"].sub(lambda digit: str(unicodedata.digit(digit.group())), text)
    return found


@cache
def _native(lang: str) -> dict[int, int]:
    """0 to 9 in the digits of a language; empty where it has none of its own."""
    from isogloss.core.lang import facts

    zero = _ZEROS.get(facts(lang).digits)
    return {} if zero is None else {0x30 + i: zero + i for i in range(10)}


def _native_digits(text: str, lang: str) -> str:
    table, latin = _native(lang), _patterns()["latin"]
    if not table:
        return text
    found: str = _patterns()["word"].sub(
        lambda word: word.group() if latin.search(word.group()) else word.group().translate(table), text
    )
    return found


def _once(text: str, form: Form, newlines: bool, digits: Digits, quotes: Quotes, lang: str | None) -> str:
    patterns = _patterns()
    text = patterns["breaks"].sub("\n", text)
    text = _repair(text)
    text = patterns["breaks"].sub("\n", text)
    text = patterns["control"].sub("", text)
    if not text.isascii():
        text = patterns["joiner"].sub("", text)
        text = patterns["zero_space"].sub("", text)
        text = patterns["tags"].sub("", text)
        if patterns["marks"].search(text) or patterns["bidi"].search(text):
            lines = text.split("\n")
            for i, line in enumerate(lines):
                if not patterns["rtl"].search(line):
                    lines[i] = patterns["marks"].sub("", line)
            text = "\n".join(_pair(line) for line in lines)
        text = unicodedata.normalize(form, text)
        if quotes == "ascii":
            text = _ascii_quotes(text)
        if digits == "ascii":
            text = _ascii_digits(text)
    if digits == "native" and lang:
        text = _native_digits(text, lang)
    if not newlines:
        text = text.replace("\n", " ")
    text = "\n".join(patterns["space"].sub(" ", line).strip(" ") for line in text.split("\n"))
    return patterns["lines"].sub("\n\n", text).strip(" \n")


def clean(
    text: str,
    form: Form = "NFC",
    newlines: bool = True,
    digits: Digits = "keep",
    quotes: Quotes = "keep",
    lang: str | None = None,
) -> str:
    """Standardise one text; see the module for the rules.

    >>> clean("  cafe\\u0301\\u00a0 \\x00dâ€™accord\\ufeff ")
    'café d’accord'
    >>> clean("« ٢٥ »", digits="ascii", quotes="ascii"), clean("25 A4", digits="native", lang="hin_Deva")
    ('"25"', '२५ A4')
    """
    for _ in range(_ROUNDS):
        before, text = text, _once(text, form, newlines, digits, quotes, lang)
        if text == before:
            break
    return text


def apply(
    batch: pl.DataFrame,
    *,
    form: Form = "NFC",
    newlines: bool = True,
    digits: Digits = "keep",
    quotes: Quotes = "keep",
) -> pl.DataFrame:
    """Rewrite `text`, and drop the rows in which nothing visible is left.

    Knobs
        form: Unicode normalisation form; NFKC and NFKD also unify ligatures and full-width letters, name
        newlines: keep line breaks (true) or make them spaces (false)
        digits: as they are (keep), 0 to 9 for digits of every script (ascii), or those of the language (native)
        quotes: as they are (keep), or " and ' (ascii)
    """
    import polars as pl

    visible = _patterns()["visible"]
    langs = batch["lang"].to_list() if digits == "native" else [None] * batch.height
    texts = [
        None if text is None else clean(text, form, newlines, digits, quotes, lang)
        for text, lang in zip(batch["text"].to_list(), langs, strict=True)
    ]
    olds = batch["drop"].to_list() if "drop" in batch.columns else [None] * batch.height
    drop = [
        old if old is not None else None if text and visible.search(text) else "empty after standardise"
        for old, text in zip(olds, texts, strict=True)
    ]
    return batch.with_columns(pl.Series("text", texts, dtype=pl.String), pl.Series("drop", drop, dtype=pl.String))
