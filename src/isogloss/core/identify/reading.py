"""What an identifier says of texts, and what it must be able to do: the one contract behind all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

UNKNOWN = "unknown"
# A text fits when it is likelier to be in the language that is named than in one that is not known.
FITS = 0.5


@dataclass(frozen=True)
class Reading:
    """What is said of N texts, for the L languages that an identifier knows.

    `probs` (N, L): how likely each language is, if it is one of these: calibrated, so that of the texts with 0.9, nine
    in ten are right. `fits` (N,): whether it is one of these at all, from 0 to 1; both are 0 where there are no letters.
    """

    tags: tuple[str, ...]
    probs: np.ndarray
    fits: np.ndarray

    def best(self) -> list[tuple[str, float]]:
        """The likeliest language of each text and how likely it is, whether the text fits it or not."""
        places = self.probs.argmax(1) if len(self.tags) else []
        return [(self.tags[place], float(self.probs[i, place])) for i, place in enumerate(places)]

    def named(self, sure: float = 0.5, fit: float = FITS) -> list[str]:
        """The language of each text, or "unknown"."""
        good = self.fits >= fit
        return [tag if good[i] and share >= sure else UNKNOWN for i, (tag, share) in enumerate(self.best())]


class Identifier(Protocol):
    """Something that tells languages: `name`, the `tags` it knows, and `read`."""

    @property
    def name(self) -> str: ...

    @property
    def tags(self) -> tuple[str, ...]: ...

    def read(self, texts: Sequence[str], among: Sequence[str] | None = None) -> Reading:
        """What it says of texts; `among` are the only languages that it may name, as if it knew no others."""
        ...


def readings(reader: Identifier, texts: Sequence[str], amongs: Sequence[Sequence[str] | None]) -> list[Reading]:
    """What an identifier says of texts where it may name only these, or those; one that has `readings` reads them once."""
    several = getattr(reader, "readings", None)
    return several(texts, amongs) if several else [reader.read(texts, among) for among in amongs]
