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
6. each run of spaces (no-break, thin, ideographic, tab ...) becomes one space, but the Ogham space mark, which is
   visible, and the narrow no-break space before a Mongolian suffix stay; lines and text are trimmed; of empty lines
   at most one stays.

A row in which nothing visible is left is dropped as "empty after standardise".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import polars as pl

VERSION = 1
REWRITES = True

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]

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
            r"(?:(?!\u1680|(?<=\p{Script=Mong})\u202F(?=\p{Script=Mong}))[\p{Zs}\t])+",
        ),
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


def _once(text: str, form: Form, newlines: bool) -> str:
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
    if not newlines:
        text = text.replace("\n", " ")
    text = "\n".join(patterns["space"].sub(" ", line).strip(" ") for line in text.split("\n"))
    return patterns["lines"].sub("\n\n", text).strip(" \n")


def clean(text: str, form: Form = "NFC", newlines: bool = True) -> str:
    """Standardise one text; see the module for the rules.

    >>> clean("  cafe\\u0301\\u00a0 \\x00dâ€™accord\\ufeff ")
    'café d’accord'
    """
    for _ in range(_ROUNDS):
        before, text = text, _once(text, form, newlines)
        if text == before:
            break
    return text


def apply(batch: pl.DataFrame, *, form: Form = "NFC", newlines: bool = True) -> pl.DataFrame:
    """Rewrite `text`, and drop the rows in which nothing visible is left.

    Knobs
        form: Unicode normalisation form; NFKC and NFKD also unify ligatures and full-width letters, name
        newlines: keep line breaks (true) or make them spaces (false)
    """
    import polars as pl

    visible = _patterns()["visible"]
    texts = [None if text is None else clean(text, form, newlines) for text in batch["text"].to_list()]
    olds = batch["drop"].to_list() if "drop" in batch.columns else [None] * batch.height
    drop = [
        old if old is not None else None if text and visible.search(text) else "empty after standardise"
        for old, text in zip(olds, texts, strict=True)
    ]
    return batch.with_columns(pl.Series("text", texts, dtype=pl.String), pl.Series("drop", drop, dtype=pl.String))
