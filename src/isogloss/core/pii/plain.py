"""A text in which digits and marks of all scripts are those of ASCII, character for character, so that places stay."""

from __future__ import annotations

import sys
import unicodedata
from functools import cache

# A character that nobody sees inside a number or an address.
UNSEEN = "\u200e"
_MARKS = {
    "＠﹫": "@", "．。｡": ".", "：︰": ":", "／⁄": "/", "（⁽﹙": "(", "）⁾﹚": ")", "＋﹢": "+", "＿": "_", "＆": "&", "＝": "=", "？": "?",
    "－‐‑‒–—―−﹣": "-", "％": "%", "＃": "#", "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u3000": " ",
    "\u00ad\u034f\u180e\ufe0e\ufe0f\u20e3\u200b\u200c\u200d\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff\u061c": UNSEEN,
}  # fmt: skip


def plain(text: str) -> str:
    """Digits, full-width letters, marks and spaces in ASCII.

    >>> plain("０９०९ ＠a．ｃｏｍ"), len(plain("٠١٢\\u200f٣"))
    ('0909 @a.com', 5)
    """
    return text if text.isascii() else text.translate(_table())


@cache
def _table() -> dict[int, str]:
    table = {ord(old): new for olds, new in _MARKS.items() for old in olds}
    for point in range(0x80, sys.maxunicode + 1):
        digit = unicodedata.decimal(chr(point), None)
        if digit is not None:
            table[point] = str(digit)
    table.update({point + 0xFEE0: chr(point) for point in range(0x41, 0x7B) if chr(point).isalpha()})
    del table[ord("。")], table[ord("—")]  # the end of a sentence, and a dash between words
    return table
