"""The variant tax: how far the tokens of a text move when it is written in another way that means the same.

The distance is the edit distance of the two token sequences over the length of the longer one: 0, nothing moved; 1,
nothing stayed. Only texts that the variant changes count. For embeddings it is one less their cosine.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Mapping, Sequence

from isogloss.core.lang import facts

# Zeros of the decimal digits that CLDR names; the ten digits of a system follow each other.
ZEROS: Mapping[str, int] = {
    "adlm": 0x1E950, "arab": 0x660, "arabext": 0x6F0, "bali": 0x1B50, "beng": 0x9E6, "cakm": 0x11136, "deva": 0x966,
    "gonm": 0x11D50, "gujr": 0xAE6, "guru": 0xA66, "java": 0xA9D0, "khmr": 0x17E0, "knda": 0xCE6, "lana": 0x1A80,
    "laoo": 0xED0, "mlym": 0xD66, "mong": 0x1810, "mtei": 0xABF0, "mymr": 0x1040, "nkoo": 0x7C0, "olck": 0x1C50,
    "orya": 0xB66, "sund": 0x1BB0, "tamldec": 0xBE6, "telu": 0xC66, "thai": 0xE50, "tibt": 0xF20, "vaii": 0xA620,
    "wara": 0x118E0,
}  # fmt: skip
# Of combining marks these may be left out in writing: points of Hebrew and Arabic, and marks beside and above letters.
# Vowel signs, viramas and tones of other scripts have other classes, and stay.
POINTS, BESIDE = range(10, 37), 200
TYPOS = 10  # one word of so many


def nfc(text: str, tag: str) -> str:
    """Canonical composition."""
    return unicodedata.normalize("NFC", text)


def nfd(text: str, tag: str) -> str:
    """Canonical decomposition."""
    return unicodedata.normalize("NFD", text)


def upper(text: str, tag: str) -> str:
    """Capitals."""
    return text.upper()


def lower(text: str, tag: str) -> str:
    """Small letters."""
    return text.lower()


def bare(text: str, tag: str) -> str:
    """Without diacritics: Yoruba, Vietnamese, Arabic, Hebrew are often written so.

    >>> bare("Ẹ jọ̀ọ́, é", "yor_Latn"), bare("नमस्ते", "hin_Deva")
    ('E joo, e', 'नमस्ते')
    """

    def optional(character: str) -> bool:
        kind = unicodedata.combining(character)
        return kind >= BESIDE or kind in POINTS

    apart = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", "".join(c for c in apart if not optional(c)))


def typo(text: str, tag: str) -> str:
    """Two neighbouring letters change places in one word of ten, at least in one; which ones is drawn from the text."""
    rng = random.Random(text)
    letters = [i for i in range(len(text) - 1) if _swaps(text[i], text[i + 1])]
    if not letters:
        return text
    out = list(text)
    n = max(1, len(text.split()) // TYPOS)
    for i in rng.sample(letters, min(n, len(letters))):
        out[i], out[i + 1] = out[i + 1], out[i]
    return "".join(out)


def _swaps(a: str, b: str) -> bool:
    return a != b and a.isalpha() and b.isalpha()


def digits(text: str, tag: str) -> str:
    """The other digits: a language's own ones for 0 to 9, and 0 to 9 for its own ones.

    >>> digits("२०२४ में 3", "hin_Deva"), digits("in 2024", "eng_Latn")
    ('2024 में ३', 'in 2024')
    """
    zero = ZEROS.get(facts(tag).digits)
    if zero is None:
        return text
    own = {ord("0") + i: zero + i for i in range(10)} | {zero + i: ord("0") + i for i in range(10)}
    return text.translate(own)


VARIANTS: Mapping[str, Callable[[str, str], str]] = {
    "nfc": nfc, "nfd": nfd, "upper": upper, "lower": lower, "bare": bare, "typo": typo, "digits": digits,
}  # fmt: skip


def distance(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens must be put in, taken out or changed to make `b` of `a`.

    Bits of whole numbers hold a column of the table (Myers 1999, in the form of Hyyrö 2003).

    >>> distance([1, 2, 3, 4], [1, 9, 3]), distance([], [5]), distance([7], [7])
    (2, 1, 0)
    """
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    a, b = a[start:], b[start:]
    while a and b and a[-1] == b[-1]:
        a, b = a[:-1], b[:-1]
    if not a or not b:
        return max(len(a), len(b))
    places: dict[int, int] = {}
    for i, token in enumerate(a):
        places[token] = places.get(token, 0) | 1 << i
    mask, last = (1 << len(a)) - 1, 1 << (len(a) - 1)
    up, down, found = mask, 0, len(a)
    for token in b:
        at = places.get(token, 0)
        zero = (((at & up) + up) ^ up) | at | down
        plus, minus = down | ~(zero | up) & mask, up & zero
        found += bool(plus & last) - bool(minus & last)
        plus = (plus << 1 | 1) & mask
        up, down = (minus << 1 | ~(zero | plus)) & mask, plus & zero
    return found
