"""Which words of a text are in which language: code-switching, by word and across scripts.

Every word is scored in every language that the text, or a stretch of it, may be in, and the likeliest sequence of
languages is found (Viterbi), in which a change of language costs (`CHANGE`). A word is only ever given to a language
of its own script; words in a script of no language that is known are "unknown". Where nothing separates
words, stretches of characters stand for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isogloss.core.identify.chars import WEIGHTS, Ngrams, temperature
from isogloss.core.identify.grams import grams, normal
from isogloss.core.identify.letters import dense, fits_script
from isogloss.core.identify.reading import UNKNOWN

if TYPE_CHECKING:
    import numpy as np

# What a change of language costs, in units of log p: about one word in so many begins one.
CHANGE = 4.5
# The length, in characters, whose temperature words are weighed with.
SPAN = 30
# Words and characters of a text that are looked at; stretches of so many words have candidates of their own.
MOST_WORDS, MOST_CHARS, WINDOW = 400, 4000, 6
# Characters of a stretch where nothing separates words.
STRETCH = 4
# Candidates from the whole text.
BEST = 4


@dataclass(frozen=True)
class Spans:
    """The words of one text in normal form and the language of each; `letters` are their lengths."""

    words: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def letters(self) -> tuple[int, ...]:
        return tuple(map(len, self.words))

    def shares(self) -> dict[str, float]:
        """The share of the letters in each language, most first."""
        total = sum(self.letters)
        found: dict[str, float] = {}
        for tag, n in zip(self.tags, self.letters, strict=True):
            found[tag] = found.get(tag, 0.0) + n / total
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    def other(self, main: str | None = None) -> float:
        """The share of the letters that are not in the main language of the text, or not in `main`."""
        shares = self.shares()
        return 1 - shares.get(main, 0.0) if main else 1 - max(shares.values(), default=1.0)


def units(text: str) -> list[str]:
    """The words of a text in normal form; long ones, as where nothing separates words, in stretches.

    >>> units(" ok ไปโรงพยาบาล ")
    ['ok', 'ไปโร', 'งพยา', 'บาล']
    """
    found: list[str] = []
    for word in text.split()[:MOST_WORDS]:
        if word.isascii() or len(word) <= STRETCH or not dense(word):
            found.append(word[:60])
        else:
            found += [word[i : i + STRETCH] for i in range(0, len(word), STRETCH)]
        if len(found) >= MOST_WORDS:
            break
    return found


def spans(model: Ngrams, texts: Sequence[str], keep: Sequence[str | None] | None = None) -> list[Spans]:
    """The languages of the words of texts. `keep` are languages that each text may be in, beside those found."""
    import numpy as np

    found: list[Spans] = []
    every = np.arange(len(model.tags))
    heat = float(temperature(model.beta, np.array([SPAN]))[0])
    for i, text in enumerate(texts):
        words = units(normal(text[:MOST_CHARS]))
        if not words:
            found.append(Spans((), ()))
            continue
        scores, allowed = _scored(model, words)
        total = np.where(allowed.any(0), scores.sum(0), -np.inf)
        chosen = set(np.argsort(-total)[:BEST].tolist())
        for begin in range(0, len(words), WINDOW):
            part = slice(begin, begin + WINDOW)
            for column in np.unique(_groups(allowed[part])):
                rows = _groups(allowed[part]) == column
                sums = np.where(allowed[part][rows].all(0), scores[part][rows].sum(0), -np.inf)
                if np.isfinite(sums).any():
                    chosen.add(int(sums.argmax()))
        if keep is not None and keep[i] in model.tags:
            chosen.add(model.tags.index(str(keep[i])))
        columns = every[sorted(chosen)]
        path = _viterbi(np.where(allowed[:, columns], scores[:, columns] * heat, -np.inf))
        tags = tuple(model.tags[columns[p]] if p >= 0 else UNKNOWN for p in path)
        found.append(Spans(tuple(words), tags))
    return found


def _groups(allowed: np.ndarray) -> np.ndarray:
    """A number for each row, equal where the same languages are allowed."""
    import numpy as np

    return np.unique(allowed, axis=0, return_inverse=True)[1].reshape(-1)


def _scored(model: Ngrams, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The score (W, L) of each word where it stands, and the languages (W, L) whose script it is in."""
    import numpy as np

    joined = f" {' '.join(words)} "
    read = grams([joined])
    starts = np.cumsum([0, *(len(word) + 1 for word in words)])[:-1]  # the space before each word
    owner = np.searchsorted(starts, read.start, side="right") - 1
    inside = owner < len(words)
    hashes, kind, owner = read.hash[inside], read.kind[inside], owner[inside]
    weight = np.array(WEIGHTS)[kind]
    gain = model.table.dense(hashes) * weight[:, None]
    scores = np.zeros((len(words), len(model.tags)))
    np.add.at(scores, owner, gain + model.table.floor[kind] * weight[:, None])
    return scores, fits_script(list(words), model.tags)


def _viterbi(scores: np.ndarray) -> list[int]:
    """The best sequence of columns of `scores` (W, C), -1 where no column is allowed."""
    import numpy as np

    n, width = scores.shape
    best = np.zeros(width)
    back = np.zeros((n, width), np.int64)
    for i in range(n):
        jump = best.max() - CHANGE
        back[i] = np.where(best >= jump, np.arange(width), best.argmax())
        best = np.maximum(best, jump)
        row = scores[i]
        if np.isfinite(row).any():
            # A word in another script does not end the stretch around it.
            best = best + np.where(np.isfinite(row), row, row[np.isfinite(row)].max() - 2 * CHANGE)
        best = best - best.max()
    path = [int(best.argmax())]
    for i in range(n - 1, 0, -1):
        path.append(int(back[i, path[-1]]))
    path.reverse()
    for i in range(n):
        row = scores[i]
        if not np.isfinite(row).any():
            path[i] = -1
        elif not np.isfinite(row[path[i]]):
            path[i] = int(row.argmax())
    return path
