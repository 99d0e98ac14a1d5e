"""Everything that isogloss refuses to do, and the exit code that goes with it.

    IsoglossError            4   a fault of ours (the base is only raised by bugs)
    ├── InputError           2   the recipe, the input or the place is wrong; the user can mend it
    │   ├── RecipeError      2   ... in the recipe: file, line, key, nearest right name
    │   ├── DataError        2   ... in the data
    │   ├── PlaceError       2   ... with the disk, a folder, a lock
    │   │   └── DamagedError 2   ... with a file of our own that is missing or damaged
    │   ├── StaleError       2   ... the recipe or the data changed under finished work: `--again`
    │   └── MissingError     2   ... an extra, a model or a file that is not here
    ├── Refused              1   a gate refused; the reasons are in the message
    └── BudgetEnded          3   the budget ended before one evaluated checkpoint

0 is done, 130 is interrupted. A message is one sentence: what was asked, what arrived, what
would be right, and where.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class IsoglossError(Exception):
    """A fault of ours. Subclasses carry the exit code of what went wrong."""

    exit_code = 4


class InputError(IsoglossError):
    """What the user gave cannot be used; the message says what would be right."""

    exit_code = 2


class RecipeError(InputError):
    """The recipe is wrong at `key`, on `line` of `file` (both may be unknown)."""

    def __init__(self, message: str, *, file: Path | str | None = None, line: int | None = None, key: str = "") -> None:
        self.file, self.line, self.key = file, line, key
        place = ":".join(str(part) for part in (file, line) if part is not None)
        super().__init__(f"{place}: {message}" if place else message)


class DataError(InputError):
    """The data cannot be used."""


class PlaceError(InputError):
    """The disk, a folder, a lock or a file of our own is not as it must be."""


class DamagedError(PlaceError):
    """A file of our own is missing, or is not what we wrote."""


class StaleError(InputError):
    """Finished work was made from something else than what is asked now."""


class MissingError(InputError):
    """Something that the recipe names is not on this machine."""


class Refused(IsoglossError):
    """A gate refused."""

    exit_code = 1


class BudgetEnded(IsoglossError):
    """The budget ended before one evaluated checkpoint."""

    exit_code = 3


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the closest known name, or the known names when none is close.

    >>> nearest("temprature", ["natural", "temperature"])
    "; did you mean 'temperature'?"
    >>> nearest("zzz", ["b", "a"])
    '; known: a, b'
    """
    names = sorted(set(known))
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    if not names:
        return ""
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"; known: {shown}"


def extra_missing(what: str, package: str, extra: str) -> MissingError:
    """Say which extra a feature needs.

    >>> str(extra_missing("near-duplicate search", "rensa", "text"))
    "near-duplicate search needs the package 'rensa': pip install 'isogloss[text]'"
    """
    return MissingError(f"{what} needs the package '{package}': pip install 'isogloss[{extra}]'")
