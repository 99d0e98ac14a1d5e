"""Which of the processes that torchrun or accelerate launched this is; known without torch."""

from __future__ import annotations

import os


def rank() -> int:
    """0 for the first process, and where there is only one."""
    return int(os.environ.get("RANK", "0"))


def size() -> int:
    """How many processes there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))
