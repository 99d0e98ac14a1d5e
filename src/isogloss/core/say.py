"""What a stage says while it works. The screen belongs to the CLI; a stage only knows this."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Evaluated:
    """One row of the live table: an evaluation on dev while a model is trained.

    `columns` has a dev score (None: no dev rows) by language, or by group of languages when there are many; `lowest`
    names the worst language and `low` its score. `loss` is the mean of the rows since the row before, in nats. `left` is
    what the budget has left, in seconds; None without one. `note` says what followed, e.g. "best".
    """

    step: int
    n_steps: int
    loss: float
    metric: str
    mean: float | None
    worst: float | None
    columns: tuple[tuple[str, float | None], ...]
    lowest: str
    low: float | None
    seconds: float
    left: float | None
    note: str = ""

    def text(self) -> str:
        """The row as a line of text.

        >>> Evaluated(40, 90, 1.25, "macro_f1", 0.5, 0.4, (("a", 0.6), ("b", 0.4)), "b", 0.4, 12.0, 48.0, "best").text()
        'step 40/90 · loss 1.250 · macro_f1 mean 0.500 worst 0.400 (lowest b 0.400) · a 0.600 · b 0.400 · 12 s, 48 s left · best'
        """

        def shown(value: float | None) -> str:
            return "-" if value is None else f"{value:.3f}"

        parts = [f"step {self.step}/{self.n_steps}", f"loss {self.loss:.3f}"]
        if self.mean is not None:
            lowest = f" (lowest {self.lowest} {shown(self.low)})" if self.lowest else ""
            parts.append(f"{self.metric} mean {shown(self.mean)} worst {shown(self.worst)}{lowest}")
            parts += [f"{name} {shown(value)}" for name, value in self.columns]
        parts.append(f"{self.seconds:.0f} s" + (f", {self.left:.0f} s left" if self.left is not None else ""))
        return " · ".join([*parts, self.note] if self.note else parts)


@dataclass
class Pace:
    """How fast something goes, from when it was made on."""

    begun: float = field(default_factory=time.monotonic)

    def told(self, n_rows: int, n_bytes: int, share: float) -> str:
        """`1,200 rows/s, 3.4 MB/s, 2 min left`, when `share` of the work is done; nothing in the first second."""
        seconds = time.monotonic() - self.begun
        if seconds < 1:
            return ""
        told = [f"{n_rows / seconds:,.0f} rows/s", f"{n_bytes / seconds / 1e6:.1f} MB/s"]
        if 0 < share < 1:
            told.append(f"{lasting(seconds * (1 - share) / share)} left")
        return ", ".join(told)


def lasting(seconds: float) -> str:
    """A duration in words.

    >>> lasting(8.4), lasting(200), lasting(9000)
    ('8 s', '3 min', '2.5 h')
    """
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )


class Say:
    """Silent by default; the CLI gives one that draws."""

    def line(self, text: str) -> None:
        """One line that stays."""

    def note(self, text: str) -> None:
        """Something that was assumed or set aside, said once."""

    def evaluated(self, row: Evaluated) -> None:
        """A row of the live table; as a line of text where nobody draws it."""
        self.line(row.text())

    def progress(self, what: str, done: int, total: int | None = None, unit: str = "", pace: str = "") -> None:
        """`done` of `total` units of work, e.g. shards; total None when unknown. `pace` says how fast it goes."""

    def close(self) -> None:
        """End a progress line, if one is open."""

    def track(
        self,
        items: Iterable[T],
        what: str,
        total: int,
        unit: str = "",
        weigh: Callable[[T], tuple[int, int]] | None = None,
    ) -> Iterator[T]:
        """Yield `items` and say the progress; `weigh` tells the rows and bytes of an item, for the pace."""
        self.progress(what, 0, total, unit)
        pace, n_rows, n_bytes = Pace(), 0, 0
        for done, item in enumerate(items, start=1):
            yield item
            told = ""
            if weigh:
                rows, size = weigh(item)
                n_rows, n_bytes = n_rows + rows, n_bytes + size
                told = pace.told(n_rows, n_bytes, done / max(1, total))
            self.progress(what, done, total, unit, told)
        self.close()
