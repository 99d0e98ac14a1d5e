"""What a stage says while it works. The screen belongs to the CLI; a stage only knows this."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


class Say:
    """Silent by default; the CLI gives one that draws."""

    def line(self, text: str) -> None:
        """One line that stays."""

    def note(self, text: str) -> None:
        """Something that was assumed or set aside, said once."""

    def progress(self, what: str, done: int, total: int | None = None, unit: str = "") -> None:
        """`done` of `total` units of work, e.g. shards; total None when unknown."""

    def close(self) -> None:
        """End a progress line, if one is open."""

    def track(self, items: Iterable[T], what: str, total: int, unit: str = "") -> Iterator[T]:
        """Yield `items` and say the progress."""
        self.progress(what, 0, total, unit)
        for done, item in enumerate(items, start=1):
            yield item
            self.progress(what, done, total, unit)
        self.close()
