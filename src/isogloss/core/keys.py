"""Keys of many texts at once: what of a text counts when two texts are compared, as arrays of code points.

The *key* is the text without what may differ when the same is written twice: Unicode form (NFKC), case, white space,
punctuation, invisible characters, and the script in which digits are written. Equal keys make *exact* duplicates.
Signs that carry content stay (5 % is not 5, C# is not C), and so do marks between two digits (1.5 is not 15) and a minus.
A text of nothing but punctuation is its own key.

The *loose* key also forgets marks that readers can do without and letters that keyboards confuse: Arabic and Hebrew
vowel points, nuktas, Arabic, Persian and Urdu forms of one letter, Greek accents, the dots of i, ё, cedilla for comma.
Two short texts that differ in these may be two words, so only *near*-duplicates are told by it.

From here on a text is a set of n-grams. A window of `ngram` units slides over the loose key, in which spaces are gone, so
scripts with and without spaces are treated alike. A character that stands for a syllable or a word counts as two units:
one edited character then moves the similarity of a sentence about as much in Chinese as in English.

Everything works on one flat array for all texts, about 0.1 ms for a thousand characters.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from isogloss.core.errors import extra_missing

if TYPE_CHECKING:
    import numpy as np

SEED = 42
# Texts of so many characters together are worked on at once: some 50 bytes each.
AT_ONCE = 60_000

_LETTER, _NUMBER, _SYMBOL, _DROP, _EDGE, _SPACE, _SOFT, _HYPHEN, _ACCENT = range(9)
# Marks that are content: 5 % is not 5, C# is not C.
_SIGNS = "#%&@*/\\§‰‱٪؉؊"
# Characters that no reader sees, and tatweel, which only stretches a word.
_UNSEEN = (
    "\u00ad\u034f\u061c\u0640\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Letters that were written with a joiner before they had a code point of their own.
_LEGACY = {
    "\u0d23\u0d4d\u200d": "\u0d7a", "\u0d28\u0d4d\u200d": "\u0d7b", "\u0d30\u0d4d\u200d": "\u0d7c",
    "\u0d32\u0d4d\u200d": "\u0d7d", "\u0d33\u0d4d\u200d": "\u0d7e", "\u0d15\u0d4d\u200d": "\u0d7f",
    "\u09a4\u09cd\u200d": "\u09ce",
}  # fmt: skip
# One character for another, before anything is compared.
_ALIKE = {
    "\u066b": ".", "\u066c": ",", "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2212": "-",
}  # fmt: skip
# What the loose key forgets: ranges of marks, and letters that stand for one another.
_OPTIONAL = (
    (0x0610, 0x061A), (0x064B, 0x065F), (0x0670, 0x0670), (0x06D6, 0x06ED), (0x08CA, 0x08FF),  # Arabic
    (0x0591, 0x05BD), (0x05BF, 0x05BF), (0x05C1, 0x05C2), (0x05C4, 0x05C5), (0x05C7, 0x05C7),  # Hebrew
    (0x0730, 0x074A),  # Syriac
    (0x093C, 0x093C), (0x09BC, 0x09BC), (0x0A3C, 0x0A3C), (0x0ABC, 0x0ABC), (0x0B3C, 0x0B3C), (0x0CBC, 0x0CBC),
    (0x110BA, 0x110BA), (0x1133C, 0x1133C), (0x11446, 0x11446), (0x114C3, 0x114C3), (0x115C0, 0x115C0),  # nuktas
    (0x0307, 0x0307),  # the dot of i, where it stands apart
    (0x02B9, 0x02BF), (0x02C8, 0x02C8), (0xA78B, 0xA78C),  # apostrophes that are letters
)  # fmt: skip
_CONFUSED = {
    "أإآٱ": "ا", "ىیئې": "ي", "ک": "ك", "ہھەة": "ه", "ؤ": "و", "ڤ": "ف",
    "ı": "i", "ё": "е", "ş": "ș", "ţ": "ț",
}  # fmt: skip

# Blocks whose characters are syllables or words (first, last code point).
_DENSE = (
    (0x1100, 0x11FF),  # Hangul jamo never appear in NFKC text but as old Korean
    (0x1200, 0x139F),  # Ethiopic
    (0x13A0, 0x13FF),  # Cherokee
    (0x1400, 0x167F),  # Canadian syllabics
    (0x18B0, 0x18FF),  # Canadian syllabics extended
    (0x2D80, 0x2DDF),  # Ethiopic extended
    (0x2E80, 0x2FDF),  # Han radicals
    (0x3040, 0x318F),  # kana, bopomofo, Hangul compatibility jamo
    (0x31A0, 0x31FF),  # bopomofo and kana extensions
    (0x3400, 0x4DBF),  # Han extension A
    (0x4E00, 0x9FFF),  # Han
    (0xA000, 0xA63F),  # Yi, Vai
    (0xA6A0, 0xA6FF),  # Bamum
    (0xAB00, 0xAB2F),  # Ethiopic extended A
    (0xAB70, 0xABBF),  # Cherokee small letters
    (0xAC00, 0xD7FF),  # Hangul syllables
    (0xF900, 0xFAFF),  # Han compatibility
    (0x12000, 0x1467F),  # cuneiform, hieroglyphs
    (0x17000, 0x18DFF),  # Tangut, Khitan
    (0x1B000, 0x1B2FF),  # kana supplements, Nushu
    (0x1E7E0, 0x1E8DF),  # Ethiopic extended B, Mende Kikakui
    (0x20000, 0x3FFFF),  # Han extensions
)


@dataclass(frozen=True)
class Keys:
    """Keys of N texts: `points` are their code points one behind the other, uint32; text i is `ends[i]:ends[i + 1]`."""

    points: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.ends) - 1

    def text(self, i: int) -> str:
        return bytes(self.points[self.ends[i] : self.ends[i + 1]]).decode("utf-32-le", "surrogatepass")

    def digests(self) -> list[bytes]:
        """A hash of 16 bytes of each, the same on every machine."""
        whole = memoryview(self.points.astype("<u4", copy=False).view("u1").data)
        ends = (self.ends * 4).tolist()
        return [hashlib.blake2b(whole[a:b], digest_size=16).digest() for a, b in itertools.pairwise(ends)]


def fold(text: str) -> str:
    """A text in NFKC, case folded, without what cannot be seen.

    >>> fold("Ｈｅｌｌｏ\\u200b W\\u006f\\u0308rld"), fold("ﻣﺮﺣــﺒﺎ")
    ('hello wörld', 'مرحبا')
    """
    if text.isascii():
        return text.lower()
    if "\u200d" in text:
        for old, new in _LEGACY.items():
            if old in text:
                text = text.replace(old, new)
    text = unicodedata.normalize("NFKC", _unseen().sub("", text))
    for _ in range(3):  # a folded letter may compose, and what it becomes may fold again
        folded = text.casefold()
        if folded == text:
            break
        text = unicodedata.normalize("NFKC", folded)
    return text


def keys(texts: Sequence[str]) -> Keys:
    """The keys of texts.

    >>> found = keys(["Well-known, isn't it? 10:30, 5 %", "٢٥", "?!", ""])
    >>> [found.text(i) for i in range(len(found))]
    ['wellknownisntit10:30, 5%', '25', '?!', '']
    """
    import numpy as np

    joined = "\0".join(fold(text).replace("\0", " ") for text in texts) + "\0" if texts else ""
    points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    kinds, alike = _tables()[:2]
    kind = kinds[points]
    seen = kind != _DROP
    points, kind = points[seen], kind[seen]
    stays = _content(kind)
    edge = kind == _EDGE
    text_of = np.cumsum(edge) - edge
    count = np.bincount(text_of[stays], minlength=len(texts))
    if (bare := count == 0).any():  # nothing but punctuation
        stays |= bare[text_of] & (kind != _SPACE) & ~edge
        count = np.bincount(text_of[stays], minlength=len(texts))
    ends = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum(count, out=ends[1:])
    return Keys(alike[points[stays]], ends)


def _content(kind: np.ndarray) -> np.ndarray:
    """Which characters are part of the key, by the kinds of a text and of its neighbours."""
    import numpy as np

    stays = (kind <= _SYMBOL) | (kind == _ACCENT)
    if not kind.size:
        return stays
    before = np.concatenate([[_EDGE], kind[:-1]])
    after = np.concatenate([kind[1:], [_EDGE]])
    # An accent on nothing is what NFKC makes of a mark such as ´.
    stays &= (kind != _ACCENT) | (before < _EDGE) | (before == _ACCENT)
    soft = np.flatnonzero((kind == _SPACE) | (kind == _SOFT) | (kind == _HYPHEN))
    if soft.size:
        solid = np.flatnonzero((kind <= _EDGE) | (kind == _ACCENT))
        place = np.searchsorted(solid, soft)
        left = np.where(place > 0, kind[solid[np.maximum(place - 1, 0)]], _EDGE)
        right = np.where(place < solid.size, kind[solid[np.minimum(place, solid.size - 1)]], _EDGE)
        between = (left == _NUMBER) & (right == _NUMBER)
        between &= (kind[soft] != _SPACE) | (before[soft] != _SPACE)
        minus = (kind[soft] == _HYPHEN) & (after[soft] == _NUMBER)
        minus &= np.isin(before[soft], (_SPACE, _EDGE, _SYMBOL))
        stays[soft] = between | minus
    return stays


def loose(found: Keys) -> Keys:
    """The loose keys of keys.

    >>> both = loose(keys(["الْعَرَبِيَّةُ", "العربيه", "ज़रूर", "ΑΘΉΝΑ", "Αθηνα"]))
    >>> [both.text(i) for i in range(len(both))]
    ['العربيه', 'العربيه', 'जरूर', 'αθηνα', 'αθηνα']
    """
    import numpy as np

    table = _tables()[2]
    points = table[found.points]
    if (stays := points != _GONE).all():
        return Keys(points, found.ends)
    before = np.concatenate([[0], np.cumsum(stays)])
    return Keys(points[stays], before[found.ends])


def n_units(text: str) -> int:
    """Count characters, those that stand for a syllable or a word twice.

    >>> n_units("abc"), n_units("中文")
    (3, 4)
    """
    import numpy as np

    if text.isascii():
        return len(text)
    return int(units(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")).sum())


def units(points: np.ndarray) -> np.ndarray:
    """What each code point counts: 2 where it stands for a syllable or a word, else 1."""
    return _tables()[3][points] + 1


@dataclass(frozen=True)
class Grams:
    """n-grams of N texts, hashed: text i has `hashes[ends[i]:ends[i + 1]]`, uint64, in the order of the text."""

    hashes: np.ndarray
    ends: np.ndarray

    def sets(self) -> list[np.ndarray]:
        """The distinct ones of each text, as 32 bits, sorted."""
        import numpy as np

        high = (self.hashes >> np.uint64(32)).astype(np.uint32)
        ends = self.ends.tolist()
        return [np.unique(high[a:b]) for a, b in itertools.pairwise(ends)]


def grams(found: Keys, ngram: int) -> Grams:
    """Hash every window of `ngram` units of every text; a text of fewer units has none."""
    import numpy as np

    units, ends = found.points, found.ends
    if (dense := _tables()[3][units]).any():
        before = np.concatenate([[0], np.cumsum(dense)])
        units, ends = np.repeat(units, 1 + dense), ends + before[ends]
        # the second unit of a dense character is its own symbol
        second = np.flatnonzero(dense) + 1 + before[:-1][dense]
        units[second] += np.uint32(1 << 21)
    n_windows = units.size - ngram + 1
    if n_windows < 1:
        return Grams(np.empty(0, dtype=np.uint64), np.zeros_like(ends))
    values = np.zeros(n_windows, dtype=np.uint64)
    for offset in range(ngram):
        values *= np.uint64(0x9E3779B97F4A7C15)
        values += units[offset : offset + n_windows]
        values += np.uint64(1)
    mix(values)
    inside = np.ones(n_windows, dtype=bool)
    for back in range(1, ngram):
        at = ends[1:] - back
        at = at[(at >= ends[:-1]) & (at < n_windows)]
        inside[at] = False
    count = np.maximum(np.diff(ends) - ngram + 1, 0)
    found_ends = np.zeros(len(ends), dtype=np.int64)
    np.cumsum(count, out=found_ends[1:])
    return Grams(values[inside], found_ends)


def minhash(found: Grams, n: int) -> np.ndarray:
    """MinHash signatures `(N, n)`, uint32, by rensa; those of a text without n-grams mean nothing.

    Raises MissingError when rensa is not installed.
    """
    import numpy as np

    try:
        from rensa import RMinHash
    except ImportError as error:
        raise extra_missing("near-duplicate search", "rensa", "text") from error

    signatures = np.zeros((len(found.ends) - 1, n), dtype=np.uint32)
    full = np.flatnonzero(np.diff(found.ends))
    if full.size:
        ends = np.concatenate([found.ends[full], found.ends[-1:]]).astype(np.uint64)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(found.hashes, ends, n, SEED)
        signatures[full] = np.array(matrix.to_rows(), dtype=np.uint32)
    return signatures


def band_hashes(signatures: np.ndarray, n_rows: int) -> np.ndarray:
    """`(N, n // n_rows)`, uint64: texts that agree in one of them may be near-duplicates."""
    import numpy as np

    n_bands = signatures.shape[1] // n_rows
    values = np.zeros((len(signatures), n_bands), dtype=np.uint64)
    for row in range(n_rows):
        values *= np.uint64(0x9E3779B97F4A7C15)
        values += signatures[:, row : n_bands * n_rows : n_rows]
        values += np.uint64(1)
    return mix(values)


def marks(signatures: np.ndarray) -> np.ndarray:
    """One bit of each of 128 values of the signatures: `(N, 2)`, uint64. Of two texts that share a part J of their n-grams
    about (1 + J) / 2 of the bits agree (Li and König 2010)."""
    import numpy as np

    bits = (signatures[:, :128] * np.uint32(0x9E3779B1)) >> np.uint32(31)
    packed: np.ndarray = np.packbits(bits.astype(np.uint8), axis=1)
    return packed.view("<u8").reshape(len(signatures), 2)


def mix(values: np.ndarray) -> np.ndarray:
    """Finish a hash: splitmix64, Steele, Lea and Flood 2014. Works in place."""
    import numpy as np

    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def batches(texts: Sequence[str]) -> list[slice]:
    """Cut texts so that each batch has about `AT_ONCE` characters."""
    found, start, size = [], 0, 0
    for i, text in enumerate(texts):
        size += len(text)
        if size >= AT_ONCE:
            found.append(slice(start, i + 1))
            start, size = i + 1, 0
    return [*found, slice(start, len(texts))] if start < len(texts) else found


# -- tables by code point ---------------------------------------------------------------------------------------

_GONE = 0xFFFFFFFF
_TOP = 0x110000


@cache
def _unseen() -> re.Pattern[str]:
    return re.compile(f"[{_UNSEEN}]+")


@cache
def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """By code point: its kind, what it is in a key, what in a loose key (`_GONE`: nothing), whether it is dense."""
    import numpy as np

    by_category = {
        "L": _LETTER, "M": _LETTER, "N": _NUMBER, "S": _SYMBOL, "P": _SOFT, "Z": _SPACE, "C": _DROP,
        "Cn": _LETTER, "Co": _LETTER, "Cs": _LETTER,  # newer than this Python, private, broken: it may be content
    }  # fmt: skip
    categories = [unicodedata.category(chr(point)) for point in range(_TOP)]
    kinds = np.array([by_category.get(c, by_category[c[0]]) for c in categories], dtype=np.uint8)
    for character in _SIGNS:
        kinds[ord(character)] = _SYMBOL
    for character in "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85":
        kinds[ord(character)] = _SPACE
    kinds[0x300:0x370] = _ACCENT
    kinds[[ord(c) for c in map(chr, range(_TOP)) if _unseen().match(c)]] = _DROP
    kinds[0], kinds[ord("-")] = _EDGE, _HYPHEN
    alike = np.arange(_TOP, dtype=np.uint32)
    for old, new in _ALIKE.items():
        alike[ord(old)] = ord(new)
        kinds[ord(old)] = kinds[ord(new)]
    for point, category in enumerate(categories):
        if category == "Nd":
            alike[point] = 48 + unicodedata.digit(chr(point))
    easy = alike.copy()
    for low, high in ((0x386, 0x3CE), (0x1F00, 0x1FFC)):  # Greek without its accents
        for point in range(low, high + 1):
            easy[point] = ord(unicodedata.normalize("NFD", chr(point))[0])
    for olds, new in _CONFUSED.items():
        for old in olds:
            easy[ord(old)] = ord(new)
    for low, high in _OPTIONAL:
        easy[low : high + 1] = _GONE
    dense = np.zeros(_TOP, dtype=bool)
    for low, high in _DENSE:
        dense[low : high + 1] = True
    return kinds, alike, easy, dense
