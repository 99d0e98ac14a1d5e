"""Tables of Markdown; what comes from data is data there, never markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any


def cell(value: Any) -> str:
    """A value as it may stand in a table: on one line, without what a page would obey.

    >>> cell("a|b\\n<b>"), cell(1200)
    ('a\\\\|b &lt;b>', '1,200')
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = re.sub(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]+", " ", str(value))
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("&", "&amp;").replace("<", "&lt;").replace("`", "\\`")


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """A Markdown table, columns after the first right-aligned."""
    yield "| " + " | ".join(header) + " |"
    yield "| --- |" + " ---: |" * (len(header) - 1)
    for row in rows:
        yield "| " + " | ".join(map(cell, row)) + " |"
