"""Which texts say nearly the same: candidates by locality-sensitive hashing, similarity by their n-grams.

What is compared is in `keys.py`: sets of character n-grams, of one length for all scripts. A text of fewer than
`MIN_GRAMS` distinct n-grams is never near anything: in so short a text one letter is content.

MinHash is rensa's (Broder 1997). Candidates agree in a whole band of their signatures (Indyk and Motwani 1998) and in enough
of 128 further bits; what a step acts on is verified on the sets themselves.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from isogloss.core import keys as _keys
from isogloss.core.keys import n_units

if TYPE_CHECKING:
    import numpy as np

__all__ = ["digest", "key_of", "n_units", "normalised", "shingle_hashes"]

MIN_GRAMS = 20
# Most values of a signature. More find more, and cost little.
PERMUTATIONS = 280
# In a band that more texts agree in, a text is compared with a few of them only.
WIDEST, FEW = 48, 8
# Bits of 128 in which candidates agree: two texts without a common n-gram in 64 of them, with a half in 96.
AGREE = 84


def normalised(text: str) -> str:
    """Bring `text` to NFKC, fold case and collapse white space.

    >>> normalised("  Ｈｅｌｌｏ   World ")
    'hello world'
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.split())


def key_of(text: str) -> str:
    """The key of one text.

    >>> key_of("Well-known, isn't it? 10:30, 5 %")
    'wellknownisntit10:30, 5%'
    """
    return _keys.keys([text]).text(0)


def digest(text: str) -> bytes:
    """Hash a text to 16 bytes, the same on every machine."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def shingle_hashes(text: str, ngram: int, *, distinct: bool = True) -> np.ndarray:
    """Hash every window of `ngram` units of `text`: uint64; distinct ones are sorted."""
    import numpy as np

    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    found = _keys.grams(_keys.Keys(points, np.array([0, points.size])), ngram).hashes
    return np.unique(found) if distinct else found


@cache
def band_shape(similarity: float) -> tuple[int, int]:
    """Choose (bands, values a band) so that a pair with this Jaccard similarity is missed at most once in 80.

    >>> band_shape(0.6), band_shape(0.8)
    ((56, 5), (31, 9))
    """
    best = (PERMUTATIONS, 1)
    for n_rows in range(1, PERMUTATIONS + 1):
        n_bands = PERMUTATIONS // n_rows
        if (1 - similarity**n_rows) ** n_bands <= 0.0125:
            best = (n_bands, n_rows)
    return best


def pairs(bands: Iterable[np.ndarray], marks: np.ndarray) -> np.ndarray:
    """The pairs `(P, 2)` of texts i < j that agree in a band and in enough of their marks, sorted.

    `bands` are columns `(N,)` of hashes of 32 bits, one after the other; `marks` are `(N, 2)`. Where many texts agree in a
    band, each is compared with those just before it and with the first ones, in the order of the texts.
    """
    import numpy as np

    n = len(marks)
    held: list[np.ndarray] = []
    waiting = 0
    for column in bands:
        for i, j in _in_band(column, n):
            bits = np.bitwise_count(marks[i] ^ marks[j]).sum(axis=1)
            alike = bits <= 128 - AGREE
            if alike.any():
                held.append(i[alike] * n + j[alike])
                waiting += held[-1].size
        if waiting > 4_000_000:
            held = [np.unique(np.concatenate(held))]
            waiting = 0
    if not held:
        return np.empty((0, 2), dtype=np.int64)
    codes = np.unique(np.concatenate(held))
    return np.stack([codes // n, codes % n], axis=1)


def _in_band(column: np.ndarray, n: int) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Pairs of places with equal values, some at a time."""
    import numpy as np

    both = (column.astype(np.uint64) << np.uint64(32)) | np.arange(n, dtype=np.uint64)
    both.sort()
    value = both >> np.uint64(32)
    same = value[1:] == value[:-1]
    tied = np.zeros(n, dtype=bool)
    tied[1:] |= same
    tied[:-1] |= same
    places = (both[tied] & np.uint64(0xFFFFFFFF)).astype(np.int64)
    if not places.size:
        return
    value = value[tied]
    starts = np.flatnonzero(np.concatenate([[True], value[1:] != value[:-1]]))
    sizes = np.diff(np.append(starts, value.size))
    rank = np.arange(value.size) - np.repeat(starts, sizes)  # the place within those that agree
    wide = np.repeat(sizes > WIDEST, sizes)
    for back in range(1, min(int(sizes.max()), WIDEST)):
        at = np.flatnonzero((rank >= back) & (~wide if back > FEW else True))
        if at.size:
            yield places[at - back], places[at]
    if wide.any():
        for first in range(FEW):
            at = np.flatnonzero(wide & (rank > first + FEW))
            yield places[at - rank[at] + first], places[at]


def similarity(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """(Jaccard similarity, share of the smaller that is in the larger) of two sorted sets without repetitions.

    >>> import numpy as np
    >>> similarity(np.array([1, 2, 3, 4]), np.array([2, 3, 4, 5, 6, 7]))
    (0.42857142857142855, 0.75)
    """
    import numpy as np

    if not a.size or not b.size:
        return 0.0, 0.0
    both = np.concatenate([a, b])
    both.sort(kind="stable")
    n_common = int((both[1:] == both[:-1]).sum())
    return n_common / (both.size - n_common), n_common / min(a.size, b.size)
