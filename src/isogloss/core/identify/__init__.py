"""Which language a text is in, by word, by line and as a whole, and whether it is in any that is known.

    grams → table → chars (the n-gram identifier) ┐
                            py3 (py3langid)       ┴► both → reading
    learning: train one; spans: code-switching

Every identifier keeps the contract of `reading.Identifier`.
"""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

from isogloss.core.identify.chars import Ngrams
from isogloss.core.identify.reading import FITS, UNKNOWN, Identifier, Reading

__all__ = ["FITS", "UNKNOWN", "Identifier", "Kind", "Ngrams", "Reading", "load", "ngrams", "packaged", "tags"]

Kind = Literal["both", "ngrams", "py3langid"]


@cache
def packaged() -> Ngrams:
    """The n-gram identifier that comes with the package; its card is beside it."""
    from isogloss.core.identify import chars

    return chars.read(Path(__file__).parents[2] / "assets" / "langid", "isogloss")


def ngrams(folder: Path | None = None) -> Ngrams:
    """The n-gram identifier of a folder, else the packaged one. Raises DataError or DamagedError."""
    from isogloss.core import files
    from isogloss.core.identify import chars

    if folder is None:
        return packaged()
    stamp = [files.digest(folder / name) for name in chars.NAMES if (folder / name).is_file()]
    return _read(folder, tuple(stamp))


@lru_cache(maxsize=4)
def _read(folder: Path, stamp: tuple[str, ...]) -> Ngrams:
    from isogloss.core.identify import chars

    return chars.read(folder, folder.name)


def tags(kind: Kind = "both", model: Path | None = None) -> frozenset[str]:
    """The tags that an identifier knows; without py3langid's model, which is large."""
    from isogloss.core.identify import py3

    theirs = frozenset() if kind == "ngrams" else frozenset(py3.tags())
    return theirs if kind == "py3langid" else theirs | frozenset(ngrams(model).tags)


def load(kind: Kind = "both", model: Path | Ngrams | None = None) -> Identifier:
    """An identifier: n-grams (of a folder, else packaged), py3langid, or both as one."""
    from isogloss.core.identify import py3
    from isogloss.core.identify.both import Both

    if kind == "py3langid":
        return py3.packaged()
    own = model if isinstance(model, Ngrams) else ngrams(model)
    return own if kind == "ngrams" else Both(own, py3.packaged())
