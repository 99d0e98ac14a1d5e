"""A step with its knobs, as workers get it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from isogloss.core import parts


@dataclass(frozen=True)
class Op:
    """One step of a recipe, or of `isogloss step`: its part, its knobs, and the arguments that the caller fills."""

    part: str
    knobs: dict[str, Any]
    filled: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.part.removeprefix("isogloss.stages.")

    @property
    def loaded(self) -> parts.Part:
        return parts.load("steps", self.part)

    @property
    def barrier(self) -> bool:
        """Whether it must see everything first."""
        return self.loaded.has("summarise")

    @property
    def looks_twice(self) -> bool:
        return self.loaded.has("inspect")

    @property
    def by_shard(self) -> bool:
        return bool(self.loaded.constant("BY_SHARD", False))

    @property
    def private(self) -> bool:
        """Whether it hides what must not be shown."""
        return bool(self.loaded.constant("PRIVATE", False))

    @property
    def rewrites(self) -> bool:
        return bool(self.loaded.constant("REWRITES", False))

    @property
    def renames(self) -> bool:
        """Whether it may give rows another id."""
        return bool(self.loaded.constant("RENAMES", False))

    @property
    def cuts(self) -> bool:
        """Whether it takes pieces out of a text."""
        return bool(self.loaded.constant("CUTS", False))

    @property
    def reads_earlier(self) -> bool:
        """Whether it reads texts as they were before steps changed them."""
        return bool(self.loaded.constant("EARLIER", False))

    @property
    def streams(self) -> bool:
        return bool(self.loaded.constant("STREAMS", False))

    def call(self, function: str, *args: Any) -> Any:
        return self.loaded.call(function, *args, knobs=self.knobs, **self.filled)
