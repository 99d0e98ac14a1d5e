"""The character n-grams and words of texts, as hashes: what the n-gram identifier counts.

A text is brought to NFKC and lower case; everything but letters, marks, apostrophes and joiners becomes one space, and
a space stands before and after. Then every run of 1 to 4 characters is a gram, spaces included, so `ORDERS` are the
same in all scripts; a word is what stands between two spaces. Hashes are 32 bits and the same on every machine.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

ORDERS = 4
WORD = ORDERS  # the kind of a word; a gram of n characters is of kind n - 1
KINDS = ORDERS + 1
# Characters of one text that are read: a long one in three pieces, from its beginning, middle and end.
READ = 1800


@cache
def _apart() -> Any:
    import regex

    return regex.compile(r"[^\p{L}\p{M}'’ʼ\u200c\u200d]+")


def normal(text: str) -> str:
    """Letters of a text in lower case, single spaces between and around words.

    >>> normal("Tāmaki 24-7, Ｏk!"), normal("12:30")
    (' tāmaki ok ', ' ')
    """
    letters = _apart().sub(" ", unicodedata.normalize("NFKC", text).lower()).strip()
    return f" {letters} " if letters else " "


def pieces(text: str, most: int = READ) -> str:
    """At most `most` characters of a text: all, or its beginning, its middle and its end."""
    if len(text) <= most:
        return text
    part, middle = most // 3, len(text) // 2
    return " ".join((text[:part], text[middle - part // 2 : middle + part // 2], text[-part:]))


@dataclass(frozen=True)
class Grams:
    """Grams of N texts: `row, kind, hash` (G,) of each gram, `start` (G,) its place, and `n` (N, KINDS) how many."""

    row: np.ndarray
    kind: np.ndarray
    hash: np.ndarray
    start: np.ndarray
    n: np.ndarray
    n_chars: np.ndarray


def grams(normals: Sequence[str]) -> Grams:
    """The grams and words of texts that are in `normal` form already."""
    import numpy as np

    sizes = np.fromiter(map(len, normals), np.int64, len(normals))
    code = np.frombuffer("".join(normals).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    row = np.repeat(np.arange(len(normals), dtype=np.int32), sizes)
    end = np.cumsum(sizes)[row] if len(normals) else np.zeros(0, np.int64)
    place = np.arange(len(code))
    space = code == 32
    hashes = np.zeros(len(code), np.uint64)
    rows, kinds, found, starts = [], [], [], []

    def keep(where: np.ndarray, kind: int, values: np.ndarray) -> None:
        rows.append(row[where])
        kinds.append(np.full(len(where), kind, np.int8))
        found.append(_finish(values, kind))
        starts.append(where)

    for order in range(1, ORDERS + 1):
        m = max(0, len(code) - order + 1)
        hashes = _step(hashes[:m], code[order - 1 :])
        inside = place[:m] + order <= end[:m]
        if order == 1:
            inside &= ~space
        where = np.flatnonzero(inside)
        keep(where, order - 1, hashes[where])
    begin = np.flatnonzero(~space & np.concatenate([[True], space[:-1]])) if len(code) else place
    stop = np.flatnonzero(~space & np.concatenate([space[1:], [True]])) + 1 if len(code) else place
    if len(begin):
        # A word's hash: the polynomial over its characters, from one running sum (modulo 2^64).
        power = np.cumprod(np.full(len(code) + 1, _BASE, np.uint64))
        running = np.concatenate([[np.uint64(0)], np.cumsum(_mix(code) * power[:-1])])
        inverse = np.cumprod(np.full(len(code) + 1, _INVERSE, np.uint64))
        keep(begin, WORD, (running[stop] - running[begin]) * inverse[begin])
    if not rows:
        empty = np.zeros(0, np.int64)
        return Grams(empty, empty, empty.astype(np.uint32), empty, np.zeros((len(normals), KINDS), np.int64), sizes)
    every_row, every_kind = np.concatenate(rows), np.concatenate(kinds)
    n = np.bincount(every_row * KINDS + every_kind, minlength=len(normals) * KINDS).reshape(-1, KINDS)
    return Grams(every_row, every_kind, np.concatenate(found), np.concatenate(starts), n, sizes)


_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)


def _mix(x: np.ndarray) -> np.ndarray:
    import numpy as np

    x = (x + np.uint64(1)) * np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(29)
    return x


def _step(hashes: np.ndarray, code: np.ndarray) -> np.ndarray:
    import numpy as np

    return _mix(hashes * np.uint64(_BASE) + code)


def _finish(hashes: np.ndarray, kind: int) -> np.ndarray:
    """32 bits of a hash, apart for every kind."""
    import numpy as np

    x = (hashes ^ np.uint64(kind * 0xD6E8FEB86659FD93 & (1 << 64) - 1)) * np.uint64(0x94D049BB133111EB)
    return (x >> np.uint64(32)).astype(np.uint32)
