"""In which scripts the letters of texts are, and which languages are written so."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from isogloss.core.scripts import script_of, unicode_scripts

if TYPE_CHECKING:
    import numpy as np

# A language may be meant when at least this share of the letters is in its script.
HALF = 0.5
# From so many letters on a text in Japanese has kana, and one in Korean Hangul.
LONG = 12
# Languages in Hebrew letters that are spelled as Yiddish is, and what only these write.
YIDDISH = ("ydd", "yih", "yid", "lad")
_YIDDISH_LETTERS = (
    "\u05d0\u05b7", "\u05d0\u05b8", "\u05f0", "\u05f1", "\u05f2", "\u05e4\u05bf", "\u05d9\u05b4", "\ufb2e", "\ufb2f", "\ufb1f",
)  # fmt: skip
_scripts: dict[str, str] = {}


def scripts_of(characters: str) -> dict[str, str]:
    """The Unicode script of each letter, looked up once a process."""
    if new := [c for c in characters if c not in _scripts]:
        _scripts.update(dict.fromkeys(new, ""))
        _scripts.update(script_of(new))
    return _scripts


@cache
def _apart() -> Any:
    import regex

    address = r"\b(?:[a-z][a-z0-9+.-]{1,11}://|www\.)\S+"
    # Bounded, or a word of a million characters takes minutes.
    return regex.compile(address + r"|[^\s@]{1,64}@[^\s@]{1,255}\.\w+|(?<!\w)@\w+", regex.I)


def own_text(text: str) -> str:
    """Take web addresses, e-mail addresses and @names out of a text.

    >>> own_text("ጥሩ https://example.org/a @abc")
    'ጥሩ    '
    """
    if "@" not in text and "://" not in text and "www." not in text.lower():
        return text
    return str(_apart().sub(" ", text))


@cache
def _columns(tags: tuple[str, ...]) -> tuple[dict[str, int], np.ndarray]:
    """Unicode scripts by number, and which of them (S, L) each language is written in."""
    import numpy as np

    names = sorted({script for tag in tags for script in unicode_scripts(tag[4:])})
    written = np.array([[name in unicode_scripts(tag[4:]) for tag in tags] for name in names], dtype=np.float64)
    return {name: i for i, name in enumerate(names)}, written.reshape(len(names), len(tags))


def by_letter(texts: Sequence[str], numbers: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each character of texts, end to end: its text, the number of its script (-1: another one, -2: no letter), its code point."""
    import numpy as np

    sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    code = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    distinct = np.unique(code)
    found = scripts_of("".join(map(chr, distinct.tolist())))
    of = np.full(int(distinct.max(initial=0)) + 1, -2, np.int16)
    of[distinct] = [numbers.get(name, -1) if (name := found[chr(c)]) else -2 for c in distinct.tolist()]
    return np.repeat(np.arange(len(texts), dtype=np.int32), sizes), of[code], code


def fits_script(normals: Sequence[str], tags: Sequence[str]) -> np.ndarray:
    """Which of the languages (N, L) each text may be in, by its letters alone; no letters, no language.

    >>> fits_script(["привет", "漢字かな", "12", "ሰላም"], ("rus_Cyrl", "eng_Latn", "jpn_Jpan")).tolist()
    [[True, False, False], [False, False, True], [False, False, False], [False, False, False]]
    """
    import numpy as np

    numbers, written = _columns(tuple(tags))
    row, script, _ = by_letter(normals, numbers)
    letter = script > -2
    letters = np.bincount(row[letter], minlength=len(normals))
    named = script >= 0
    cells = np.bincount(row[named] * np.int32(len(numbers)) + script[named], minlength=len(normals) * len(numbers))
    counts = cells.reshape(len(normals), len(numbers)).astype(np.float64)
    share = (counts @ written) / np.maximum(letters, 1)[:, None]
    fits = (share >= HALF) & (letters > 0)[:, None]
    for column, tag in enumerate(tags):  # Japanese and Korean are Han and more, and a text of some length has that more
        names = unicode_scripts(tag[4:])
        more = [numbers[name] for name in names if name != "Hani"]
        if 0 < len(more) < len(names):
            fits[:, column] &= (letters < LONG) | (counts[:, more].sum(1) >= letters / 10)
    if "Hebr" in numbers:
        columns = [column for column, tag in enumerate(tags) if tag[4:] == "Hebr" and tag[:3] not in YIDDISH]
        for i in np.flatnonzero(counts[:, numbers["Hebr"]]).tolist():
            fits[i, columns] &= not looks_yiddish(normals[i])
    for i in np.flatnonzero(counts[:, numbers["Hani"]]).tolist() if "Hani" in numbers else []:
        simple, traditional = han_form(normals[i])
        for column in np.flatnonzero(fits[i]).tolist():
            if tags[column][4:] == ("Hans" if traditional > simple else "Hant" if simple > traditional else ""):
                fits[i, column] = False
    return np.asarray(fits)


@cache
def alone(tags: tuple[str, ...]) -> np.ndarray:
    """Log odds (L,) that a text in the script of a language is in it, when nothing else is known: by speakers, within 3.

    >>> alone(("tam_Taml", "rus_Cyrl")).round(1).tolist()
    [2.9, -0.1]
    """
    import numpy as np

    from isogloss.core.lang import facts, table

    speakers: dict[str, int] = {}
    for tag, row in table().items():
        speakers[tag[4:]] = speakers.get(tag[4:], 0) + (row.speakers or 0)
    share = np.array([(facts(tag).speakers or 0) / max(1, speakers.get(tag[4:], 0)) for tag in tags])
    share = np.where(share > 0, np.clip(share, 0.05, 0.95), 0.5)
    return np.asarray(np.log(share / (1 - share)))


@cache
def _han(character: str) -> int:
    """1 for a character that only GB 2312 writes, 2 for one that only Big5 writes, else 0."""

    def has(charset: str) -> bool:
        try:
            character.encode(charset)
        except UnicodeEncodeError:
            return False
        return True

    simple, traditional = has("gb2312"), has("big5")
    return 1 if simple and not traditional else 2 if traditional and not simple else 0


def han_form(text: str) -> tuple[int, int]:
    """Count the characters that only simplified and only traditional Chinese uses.

    >>> han_form("汉语"), han_form("漢語"), han_form("中文")
    ((2, 0), (0, 2), (0, 0))
    """
    found = [_han(character) for character in text if character >= "\u3400"]
    return found.count(1), found.count(2)


def looks_yiddish(text: str) -> bool:
    """Whether a text in Hebrew letters is spelled as Yiddish is: points that make letters, not vowels, or ayin as a vowel.

    Hebrew has three ayin in a hundred letters, Yiddish twelve; vocalised Hebrew has points of other kinds as well.

    >>> looks_yiddish("אַלע מענטשן ווערן געבוירן פֿרײַ"), looks_yiddish("כל בני האדם נולדו בני חורין ושווים בערכם")
    (True, False)
    """
    letters = sum("\u05d0" <= c <= "\u05f2" for c in text)
    points = sum("\u05b0" <= c <= "\u05c7" for c in text)
    own = sum(map(text.count, _YIDDISH_LETTERS))
    if own >= 2 and own >= letters / 50 and points <= 2 * own:
        return True
    return letters >= LONG and text.count("\u05e2") >= max(4, letters * 0.07) and points <= 2 * own


_DENSE = re.compile("[\u0e00-\u109f\u1780-\u17ff\u2e80-\u9fff]")


def dense(text: str) -> bool:
    """Whether a text has a letter of a script that separates no words: Han, kana, Thai, Lao, Khmer, Burmese, Tibetan."""
    return _DENSE.search(text) is not None
