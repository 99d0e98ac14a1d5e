"""How likely a text is to be in a language that is not known, before it is read: by who speaks what is like the language named.

A sentence of Danish fits Bokmål, and no measure of the text tells an identifier that knows only Bokmål. But the table of
languages knows that Danish is there. So the fit of a text is lowered where many speakers of the language that is named and of
its close relatives, in that script, speak one that is not known; a short text, whose fit says little already, less.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from isogloss.core.identify.reading import Reading
from isogloss.core.identify.relatives import close

if TYPE_CHECKING:
    import numpy as np

# A text of as many characters is doubted half as much as a long one.
SHORT = 50


@lru_cache(maxsize=64)
def strangers(known: tuple[str, ...]) -> tuple[float, ...]:
    """Of those who speak each known language or a close relative in the same script, the share whose language is not known.

    >>> [round(share, 1) for share in strangers(("swe_Latn", "dan_Latn", "tam_Taml"))]
    [0.5, 0.7, 0.0]
    """
    from isogloss.core.lang import facts, table

    there = set(known)
    others: dict[str, list[tuple[str, int]]] = {}
    for row in table().values():
        if row.tag not in there and row.speakers:
            others.setdefault(row.script, []).append((row.tag[:3], row.speakers))
    found = []
    for tag in known:
        kin = sum(n for code, n in others.get(tag[4:], ()) if close(code, tag[:3]))
        found.append(kin / (kin + (facts(tag).speakers or 0)) if kin else 0.0)
    return tuple(found)


def doubted(
    reading: Reading, n_chars: Sequence[int] | np.ndarray, among: Sequence[str] | None, always: float, kin: float
) -> Reading:
    """The reading of texts of so many characters with its fits lowered, in log odds, by `always` and by `kin` where half
    of the speakers or more are strangers."""
    import numpy as np

    known = tuple(tag for tag in reading.tags if among is None or tag in set(among))
    share = dict(zip(known, strangers(known), strict=True))
    doubt = np.array([always + kin * min(1.0, 2 * share.get(tag, 0.0)) for tag in reading.tags])
    if not len(doubt) or not doubt.any():
        return reading
    n = np.asarray(n_chars)
    fits = np.clip(reading.fits, 1e-6, 1 - 1e-6)
    odds = np.log(fits / (1 - fits)) - doubt[reading.probs.argmax(1)] * n / (n + SHORT)
    lowered: np.ndarray = 1 / (1 + np.exp(-odds))
    return Reading(reading.tags, reading.probs, np.where(reading.fits > 0, lowered, 0))
