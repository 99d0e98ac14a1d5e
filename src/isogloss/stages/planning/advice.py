"""An answer of a plan: what to do, what speaks for it, how sure that is, and what comes next best. None goes without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Other:
    """Something else that could be done, and what it would mean."""

    choice: str
    why: str


@dataclass(frozen=True, slots=True)
class Advice:
    """An answer to one question."""

    question: str
    choice: str
    evidence: tuple[str, ...]
    uncertainty: str
    next_best: tuple[Other, ...]

    def document(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "question": self.question, "choice": self.choice, "evidence": list(self.evidence),
            "uncertainty": self.uncertainty,
            "next_best": [{"choice": each.choice, "why": each.why} for each in self.next_best],
        }  # fmt: skip
