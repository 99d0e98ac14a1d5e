"""Budget: what may be spent and what has been, over all sittings of a run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from isogloss.core.errors import BudgetEnded


@dataclass
class Budget:
    """Wall-clock seconds that training may take; `before` is what earlier sittings have used.

    >>> budget = Budget(10.0, before=4.0, clock=iter([0.0, 7.0]).__next__)
    >>> budget.left
    -1.0
    """

    seconds: float | None = None
    before: float = 0.0
    clock: Callable[[], float] = time.monotonic
    _start: float = field(init=False)

    def __post_init__(self) -> None:
        self._start = self.clock()

    @property
    def spent(self) -> float:
        return self.before + self.clock() - self._start

    @property
    def left(self) -> float:
        """Seconds left; infinite without a limit, negative when overdrawn."""
        return math.inf if self.seconds is None else self.seconds - self.spent

    def must_last(self, what: str) -> None:
        """Raise BudgetEnded when nothing is left before `what`, the first thing that could be evaluated, is done."""
        if self.left <= 0:
            raise BudgetEnded(
                f"the budget of {self.seconds:g} seconds ended before {what}; raise budget.seconds, or use fewer languages or rows"
            )
