"""The ledger of compute: what a training has spent, over all its sittings, in every unit that can be told."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from isogloss.core import files
from isogloss.core.energy import Meter
from isogloss.core.errors import DamagedError

if TYPE_CHECKING:
    import numpy as np

Unit = Literal["minute", "kilojoule", "petaflop", "money"]
PREFIXES = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")


class Ledger:
    """What was spent, kept in `path`, beginning from what earlier sittings wrote there.

    Work that a kill undid was spent too, as far as it was written down: at every evaluation.
    """

    def __init__(
        self, path: Path, meter: Meter, *, price_per_hour: float | None = None, currency: str = "", writes: bool = True
    ) -> None:
        self._path, self._meter, self._writes = path, meter, writes
        self._price, self._currency = price_per_hour, currency
        self._before: dict[str, Any] = {}
        if path.is_file():
            with contextlib.suppress(DamagedError):
                self._before = files.read_json(path)
        self._began = time.monotonic()
        self.seconds: dict[str, float] = {}
        self.counts: dict[str, float] = {}
        self.by_lang: dict[str, dict[str, float]] = {}
        self.peak: dict[str, int] = {}

    @contextlib.contextmanager
    def during(self, phase: str) -> Iterator[None]:
        """Count the seconds of what is done inside, e.g. training, evaluating, saving."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.monotonic() - start

    def saw(self, langs: Sequence[str], rows: np.ndarray, tokens: np.ndarray, padded: float) -> None:
        """Count rows `(L,)` and tokens `(L,)` of one step by language, and all tokens that were computed for it."""
        for lang, n_rows, n_tokens in zip(langs, rows.tolist(), tokens.tolist(), strict=True):
            own = self.by_lang.setdefault(lang, {"n_rows": 0.0, "n_tokens": 0.0})
            own["n_rows"] += n_rows
            own["n_tokens"] += n_tokens
        self.counts["n_padded_tokens"] = self.counts.get("n_padded_tokens", 0.0) + padded
        self.counts["n_steps"] = self.counts.get("n_steps", 0.0) + 1

    def document(self) -> dict[str, Any]:
        """Everything spent so far, this sitting included."""
        before = self._before
        seconds = _added(before.get("seconds", {}), self.seconds)
        by_lang = {
            lang: _added(before.get("by_lang", {}).get(lang, {}), self.by_lang.get(lang, {}))
            for lang in sorted({*before.get("by_lang", {}), *self.by_lang})
        }
        own = time.monotonic() - self._began
        total = before.get("total_seconds", 0.0) + own
        peak_before = before.get("peak_bytes", {})
        found = {
            "sittings": before.get("sittings", 0) + 1,
            "total_seconds": total,
            "seconds": seconds,
            **_added({name: before.get(name, 0.0) for name in ("n_steps", "n_padded_tokens", "flops")}, self.counts),
            "n_rows": sum(each["n_rows"] for each in by_lang.values()),
            "n_tokens": sum(each["n_tokens"] for each in by_lang.values()),
            "peak_bytes": {k: max(peak_before.get(k, 0), v) for k, v in {**peak_before, **self.peak}.items()},
            "joules": before.get("joules", 0.0) + self._meter.joules(),
            "joules_how": self._meter.how,
            "joules_measured": self._meter.measured and before.get("joules_measured", True),
            "by_lang": by_lang,
        }
        if self._price is not None:
            found |= {"money": total / 3600 * self._price, "currency": self._currency, "price_per_hour": self._price}
        return found

    def spent(self, unit: Unit) -> float | None:
        """What was spent so far in one unit; None where it cannot be told."""
        return in_units(self.document()).get(unit)

    def write(self) -> dict[str, Any]:
        """Keep it on disk; returns the document."""
        value = self.document()
        if self._writes:
            files.write_json(self._path, value)
        return value


def in_units(document: Mapping[str, Any]) -> dict[Unit, float]:
    """The totals of a ledger's document in the units of gains; what is not known is left out.

    >>> in_units({"total_seconds": 90.0, "joules": 2000.0, "flops": 0.0})
    {'minute': 1.5, 'kilojoule': 2.0}
    """
    found: dict[Unit, float] = {"minute": document.get("total_seconds", 0.0) / 60}
    found["kilojoule"] = document.get("joules", 0.0) / 1e3
    found["petaflop"] = document.get("flops", 0.0) / 1e15
    found["money"] = document.get("money", 0.0)
    return {unit: value for unit, value in found.items() if value > 0}


def scaled(value: float) -> tuple[float, str]:
    """A number with the prefix that leaves one to three digits before its point.

    >>> scaled(129e9), scaled(0.0)
    ((129.0, 'G'), (0.0, ''))
    """
    power = min(len(PREFIXES) - 1, max(0, int(math.log10(value)) // 3)) if value >= 1 else 0
    return value / 1000.0**power, PREFIXES[power]


def _added(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
    return {name: a.get(name, 0.0) + b.get(name, 0.0) for name in {**a, **b}}
