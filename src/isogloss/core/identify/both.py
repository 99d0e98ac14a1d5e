"""Two identifiers as one: the first is asked first, and the second has its say about what the first does not know.

A text is in a language of the first as far as it fits there; what is left may be in a language that only the second
knows, as far as it fits that; what then is left is unknown. Agreement is evidence: where the second knows the
language that the first names, how it ranks that against the languages that the first does not know moves the fit
(`SAY`), up or down. Between the languages of the first, the second has no say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from isogloss.core.identify.caution import doubted
from isogloss.core.identify.reading import Identifier, Reading, readings
from isogloss.core.identify.relatives import close

if TYPE_CHECKING:
    import numpy as np

# How log odds of the first's fit are made from its own log odds and from the second's: tools/make_langid.py, while relatives
# counted as rivals. Without them it prints (0.635, 0.575, -2.969), by which fewer known texts are named on SIB-200 dev.
SAY = (0.64, 0.45, -1.27)
# As in `chars`: the more languages are known, the more often a text fits one of them by chance.
DOUBT = (0.0, 2.5)
# Log odds for the first where the two name close relatives; chosen on SIB-200 dev and Nynorsk from the web.
KIN = 1.0


@dataclass(frozen=True)
class Both:
    """Two identifiers behind the same contract."""

    first: Identifier
    second: Identifier
    name: str = "both"

    @cached_property
    def tags(self) -> tuple[str, ...]:
        return (*self.first.tags, *self._more)

    @cached_property
    def _more(self) -> tuple[str, ...]:
        """What only the second knows."""
        return tuple(tag for tag in self.second.tags if tag not in set(self.first.tags))

    def read(self, texts: Sequence[str], among: Sequence[str] | None = None) -> Reading:
        """What the two say of texts; `among` are the only languages that they may name."""
        import numpy as np

        plain = getattr(self.first, "plain", self.first.read)
        one: Reading = plain(texts, among)
        more = [tag for tag in self._more if among is None or tag in among]
        wide, other = readings(self.second, texts, [among, more])
        columns = [other.tags.index(tag) for tag in self._more]
        odds, says = self.agreement(one, wide)
        own = log_odds(one.fits)
        fit = sigmoid(np.where(says, own * SAY[0] + odds * SAY[1] + SAY[2], own))
        fit = np.where(one.fits > 0, fit, 0)
        rest = (1 - fit) * other.fits
        fit, rest, whole = self.kin(one, wide, other, fit, rest)
        total = fit + rest
        share = np.divide(fit, total, out=np.zeros_like(total), where=total > 0)[:, None]
        probs = np.hstack([one.probs * share, other.probs[:, columns] * (1 - share) * (total > 0)[:, None]])
        own = probs.argmax(1) < len(self.first.tags)
        reading = Reading(self.tags, probs, np.where(whole > 0, whole, np.where(own, fit, rest)))
        return doubted(reading, [len(text) for text in texts], among, *DOUBT)

    def kin(
        self, one: Reading, wide: Reading, other: Reading, fit: np.ndarray, rest: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where what the first names and what only the second knows are close relatives, they are no evidence against
        each other: a text fits one or the other (the third answer, else 0). Which, is the mean of the odds of the two, and `KIN`.
        """
        import numpy as np

        fit, rest, whole = fit.copy(), rest.copy(), np.zeros(len(fit))
        place = {tag: i for i, tag in enumerate(wide.tags)}
        if not self._more or not len(one.tags):
            return fit, rest, whole
        ours, theirs = one.probs.argmax(1), other.probs.argmax(1)
        for i in np.flatnonzero((fit > 0) & (rest > 0)).tolist():
            a, b = one.tags[ours[i]], other.tags[theirs[i]]
            if a in place and close(a[:3], b[:3]):
                whole[i] = fit[i] + rest[i]
                odds = (fit[i] + 1e-3) / (rest[i] + 1e-3) * (wide.probs[i, place[a]] + 1e-3)
                share = sigmoid(np.log(odds / (wide.probs[i, place[b]] + 1e-3)) / 2 + KIN)
                fit[i], rest[i] = whole[i] * share, whole[i] * (1 - share)
        return fit, rest, whole

    def agreement(self, one: Reading, wide: Reading) -> tuple[np.ndarray, np.ndarray]:
        """Log odds (N,) of what the first names against what only the second knows, and where the second can say."""
        import numpy as np

        place = {tag: i for i, tag in enumerate(wide.tags)}
        back = np.array([place.get(tag, -1) for tag in one.tags])
        named = back[one.probs.argmax(1)] if len(one.tags) else np.full(len(one.probs), -1)
        mine = wide.probs[np.arange(len(named)), named]
        theirs = np.zeros(len(named))
        for tag in self._more:  # a close relative is no rival: see kin
            column = wide.probs[:, place[tag]]
            same = np.array([close(tag[:3], each[:3]) for each in wide.tags])[named]
            theirs = np.maximum(theirs, np.where(same, 0, column))
        odds = np.log((mine + 1e-3) / (theirs + 1e-3))
        return odds, named >= 0


def log_odds(p: np.ndarray) -> np.ndarray:
    import numpy as np

    p = np.clip(p, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(p / (1 - p)))


def sigmoid(x: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.asarray(1 / (1 + np.exp(-x)))
