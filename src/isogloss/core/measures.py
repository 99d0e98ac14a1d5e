"""What can be measured of one text without knowing its language: length, symbols, repetition, and its words.

Every measure is the same rule in all scripts. Of a long text the beginning, the middle and the end are read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

from isogloss.core.identify.grams import normal, pieces
from isogloss.core.identify.letters import dense

# Characters of a text that are measured.
READ = 6000
# Words in a row that count as said again, and the fewest words or lines in which one looks for them.
AGAIN, FEWEST_WORDS, FEWEST_LINES = 4, 16, 4


@cache
def _shapes() -> tuple[Any, Any]:
    """Runs of what is no letter, mark or joiner; one character five times in a row or more."""
    import regex

    return regex.compile(r"[^\p{L}\p{M}\u200c\u200d]+"), regex.compile(r"(\S)\1{4,}")


@cache
def _no_letters() -> Any:
    import regex

    return regex.compile(r"\P{L}+")


def letters(text: str) -> str:
    """The letters of a text, without their marks.

    >>> letters("a1, b!")
    'ab'
    """
    return str(_no_letters().sub("", text))


def symbols(text: str) -> float:
    """The share of a text's characters, spaces aside, that are no letters and no marks: digits, signs, punctuation.

    >>> symbols("ab 12"), symbols("ሰላም"), symbols("")
    (0.5, 0.0, 1.0)
    """
    packed = "".join(pieces(text, READ).split())
    return sum(map(len, _shapes()[0].findall(packed))) / len(packed) if packed else 1.0


def repeated(text: str, words: Sequence[str] | None = None) -> float:
    """The share of a text that says again what it has said: lines, runs of words, or one character in a row.

    `words` are the `tokens` of what is read of it, for who knows them already.

    >>> repeated("aaaaaaaa"), repeated("one line"), repeated("x y\\n" * 10)
    (1.0, 0.0, 0.9)
    """
    text = pieces(text, READ)
    n = len("".join(text.split()))
    if not n:
        return 0.0
    runs = sum(match.end() - match.start() for match in _shapes()[1].finditer(text)) / n
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    again = 0.0
    if len(lines) >= FEWEST_LINES:
        total = sum(map(len, lines))
        again = 1 - sum(map(len, dict.fromkeys(lines))) / total
    words = tokens(normal(text)) if words is None else words
    said = 0.0
    if len(words) >= FEWEST_WORDS:
        grams = Counter(tuple(words[i : i + AGAIN]) for i in range(len(words) - AGAIN + 1))
        total = sum(grams.values())
        said = 1 - len(grams) / total
    return min(1.0, max(runs, again, said))


def tokens(form: str) -> list[str]:
    """The words of a text in `normal` form; where nothing separates words, each character with the next.

    >>> tokens(" ok 中文字 ")
    ['ok', '中文', '文字']
    """
    if not dense(form):
        return form.split()
    found: list[str] = []
    for word in form.split():
        if word.isascii() or len(word) < 3 or not dense(word):
            found.append(word)
        else:
            found += [word[i : i + 2] for i in range(len(word) - 1)]
    return found
