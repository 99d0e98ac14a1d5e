"""Words of a text in any script, with and without spaces between them.

ICU's word breaks: UAX 29, and dictionaries for Thai, Lao, Khmer, Burmese, Chinese and Japanese. A word is a segment
that has a letter or a digit, so punctuation, spaces and emoji are no words. The breaks need no language.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from isogloss.core.lang import facts

if TYPE_CHECKING:
    import numpy as np

# Scripts without spaces between words, for which ICU has a dictionary.
DICTIONARIES = frozenset({"Thai", "Laoo", "Khmr", "Mymr", "Hans", "Hant", "Hani", "Jpan", "Hira", "Kana"})


def breaks(text: str) -> Iterator[tuple[int, int]]:
    """Where each word of a text begins and ends, in characters.

    >>> list(breaks("no, 12.5 déjà!")), len(list(breaks("ต้องจองทางโทรศัพท์")))
    ([(0, 2), (4, 8), (9, 13)], 4)
    >>> list(breaks("😀 𞤆𞤵 x"))
    [(2, 4), (5, 6)]
    """
    from icu4py.breakers import WordBreaker

    found: Iterable[tuple[int, int]] = WordBreaker(text, "und").segments()
    if not text.isascii() and max(text) > "\uffff":  # ICU counts characters beyond the first plane twice
        ends = list(accumulate(map(len, WordBreaker(text, "und"))))
        found = zip([0, *ends], ends, strict=False)
    for start, end in found:
        if text[start].isalnum() or any(map(str.isalnum, text[start + 1 : end])):
            yield start, end


def spans(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The words of texts, end to end: `starts, ends (W,)` in characters of their text, and `n (N,)` words a text."""
    import numpy as np

    found = [list(breaks(text)) for text in texts]
    flat = np.array([pair for each in found for pair in each], dtype=np.int64).reshape(-1, 2)
    return flat[:, 0], flat[:, 1], np.fromiter(map(len, found), np.int64, len(found))


def why_none(tag: str) -> str:
    """Why words of a language cannot be found, in half a sentence; empty where they can.

    >>> why_none("tha_Thai"), why_none("bod_Tibt")
    ('', 'nothing separates its words, and ICU has no dictionary for the script Tibt')
    """
    if facts(tag).spaces is not False or tag[4:] in DICTIONARIES:
        return ""
    return f"nothing separates its words, and ICU has no dictionary for the script {tag[4:]}"
