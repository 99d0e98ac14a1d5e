"""Keys and sketches by which dedup and decontaminate tell that two texts say the same; a helper, not a part.

A text is compared at four levels: as it is; *normalised* (NFKC, case, white space); as its *key* (also without
punctuation and spaces); and *near*, by the Jaccard similarity of the sets of character n-grams of the keys.

The n-gram rule is one rule for all scripts. A window of `ngram` units slides over the key, in which spaces and
punctuation are gone, so text with and without spaces is treated alike. A character that stands for a syllable
or a word (Han, kana, Hangul, Ethiopic, Yi, Cherokee, Vai, ...) counts as two units: one edited character then
moves the similarity of a sentence about as much in Chinese as in English. A key with fewer than `MIN_SHINGLES`
distinct n-grams is never near anything: in so short a text one letter is content.

MinHash is rensa's; similarity is then verified on bottom-k sketches, which is exact up to `SKETCH` distinct
n-grams and an estimate (standard error at most 0.03) beyond. Broder 1997; Cohen and Kaplan 2007 for bottom-k.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from isogloss.core.errors import extra_missing

if TYPE_CHECKING:
    import numpy as np

PERMUTATIONS = 128
SKETCH = 256
MIN_SHINGLES = 20
SEED = 42

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


@cache
def _strip() -> Any:
    import regex

    # Signs that carry content are no punctuation here: 5 % is not 5, C# is not C.
    signs = r"[#%&@*/\\§‰‱٪؉؊]"
    # Between two digits a mark is content too: 1.5 is not 15, 10:30 is not 1030, 1 5 is not 15; so is a minus.
    between = r"(?<=\p{N})[\p{P}\s]+(?=\p{N})"
    minus = r"(?<![\p{L}\p{N}\p{P}])-(?=\p{N})"
    return regex.compile(rf"({between}|{minus})|(?:(?!{signs})\p{{P}}|[\s\p{{Cf}}\p{{Cc}}])")


def normalised(text: str) -> str:
    """Bring `text` to NFKC, fold case and collapse white space.

    >>> normalised("  Ｈｅｌｌｏ   World ")
    'hello world'
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.split())


def key_of(normal: str) -> str:
    """Take punctuation and white space out of a normalised text, but not from between digits.

    A text of nothing but punctuation is its own key.

    >>> key_of("well-known, isn't it? 10:30, 5 %")
    'wellknownisntit10:30, 5%'
    """
    return _strip().sub(lambda m: m.group(1) or "", normal) or normal


def digest(text: str) -> bytes:
    """Hash a text to 16 bytes, the same on every machine."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def band_shape(threshold: float) -> tuple[int, int]:
    """Choose (bands, rows a band) so that a pair at `threshold` is missed at most once in 200.

    >>> band_shape(0.8)
    (21, 6)
    """
    best = (PERMUTATIONS, 1)
    for n_rows in range(1, PERMUTATIONS + 1):
        n_bands = PERMUTATIONS // n_rows
        if (1 - threshold**n_rows) ** n_bands <= 0.005:
            best = (n_bands, n_rows)
    return best


@dataclass(frozen=True)
class Sketches:
    """Sketches of N texts: `bands` (N, B) uint64, and `shingles`, N sorted arrays of at most `SKETCH` uint32.

    A text too short to be compared has an empty array, and its bands mean nothing.
    """

    bands: np.ndarray
    shingles: list[np.ndarray]


def _mix(values: np.ndarray) -> np.ndarray:
    """Finish a hash: splitmix64, Steele, Lea and Flood 2014. Works in place."""
    import numpy as np

    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def _units(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Give the code points of a text and which of them are dense: they stand for a syllable or a word."""
    import numpy as np

    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    starts, ends = _dense_edges()
    place = np.searchsorted(starts, points, side="right") - 1
    return points, (place >= 0) & (points <= ends[place])


def n_units(text: str) -> int:
    """Count characters, those that stand for a syllable or a word twice.

    >>> n_units("abc"), n_units("中文")
    (3, 4)
    """
    return len(text) if text.isascii() else len(text) + int(_units(text)[1].sum())


def shingle_hashes(text: str, ngram: int, *, distinct: bool = True) -> np.ndarray:
    """Hash every window of `ngram` units of `text` (see the module docstring): uint64; distinct ones are sorted."""
    import numpy as np

    units, dense = _units(text)
    if dense.any():
        units = np.repeat(units, 1 + dense)
        ends = np.cumsum(1 + dense)
        units[ends[dense] - 1] += np.uint32(1 << 21)  # the second unit of a dense character is its own symbol
    n_windows = units.size - ngram + 1
    if n_windows < 1:
        return np.empty(0, dtype=np.uint64)
    wide = units.astype(np.uint64)
    values = np.zeros(n_windows, dtype=np.uint64)
    for offset in range(ngram):
        values *= np.uint64(0x9E3779B97F4A7C15)
        values += wide[offset : offset + n_windows] + np.uint64(1)
    return np.unique(_mix(values)) if distinct else _mix(values)


@cache
def _dense_edges() -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    return tuple(np.array(edge, dtype=np.uint32) for edge in zip(*_DENSE, strict=True))  # type: ignore[return-value]


def sketch(keys: Sequence[str], ngram: int, threshold: float) -> Sketches:
    """Sketch the texts of `keys` for a search at Jaccard `threshold` with n-grams of `ngram` units."""
    import numpy as np

    try:
        from rensa import RMinHash
    except ImportError as error:
        raise extra_missing("near-duplicate search", "rensa", "text") from error

    n_bands, n_rows = band_shape(threshold)
    # Capital I without its dot is the capital of two letters in Turkish and Azerbaijani: no case-blind text has both.
    dotless = (key.replace("i\u0307", "i").replace("\u0131", "i") for key in keys)
    hashes = [shingle_hashes(key, ngram) for key in dotless]
    hashes = [h if h.size >= MIN_SHINGLES else h[:0] for h in hashes]
    bands = np.zeros((len(keys), n_bands), dtype=np.uint64)
    full = [i for i, h in enumerate(hashes) if h.size]
    if full:
        offsets = np.zeros(len(full) + 1, dtype=np.uint64)
        offsets[1:] = np.cumsum([hashes[i].size for i in full])
        flat = np.concatenate([hashes[i] for i in full])
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(flat, offsets, PERMUTATIONS, SEED)
        rows = np.array(matrix.to_rows(), dtype=np.uint64)[:, : n_bands * n_rows].reshape(len(full), n_bands, n_rows)
        values = np.zeros((len(full), n_bands), dtype=np.uint64)
        for row in range(n_rows):
            values *= np.uint64(0x9E3779B97F4A7C15)
            values += rows[:, :, row] + np.uint64(1)
        bands[full] = _mix(values)
    # A second, independent 32 bits of each hash orders the bottom-k sketch.
    small = [np.unique((h >> np.uint64(32)).astype(np.uint32))[:SKETCH] for h in hashes]
    return Sketches(bands, small)


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Estimate the Jaccard similarity of two sets from their bottom-k sketches; exact for sets under `SKETCH`."""
    import numpy as np

    if not a.size or not b.size:
        return 0.0
    both = np.concatenate([a, b])
    both.sort()
    same = both[1:] == both[:-1]
    if a.size < SKETCH and b.size < SKETCH:
        n_common = int(same.sum())
        return n_common / (both.size - n_common)
    # The SKETCH smallest of the union are known when at least one set was cut there.
    first = np.concatenate([[True], ~same])
    n_union = min(SKETCH, int(first.sum()))
    last = int(np.flatnonzero(first)[n_union - 1])
    return int(same[: last + 1].sum()) / n_union
