"""Tables of Markdown; what comes from data is data there, never markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any


def cell(value: Any) -> str:
    """A value as it may stand in a table: on one line, without what a page would obey.

    >>> cell("a|b\\n<b>"), cell("[a](b) [0.1, 0.2]"), cell(1200)
    ('a\\\\|b &lt;b>', '[a]\\\\(b) [0.1, 0.2]', '1,200')
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = re.sub(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]+", " ", str(value))
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"[\\|`]|(?<=\])\(", r"\\\g<0>", text)


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """A Markdown table; columns without letters are right-aligned."""
    cells = [list(map(cell, row)) for row in rows]
    right = [not any(re.search(r"[^\W\d_]", row[i]) for row in cells) for i in range(len(header))]
    yield "| " + " | ".join(header) + " |"
    yield "| " + " | ".join("---:" if i and numeric else "---" for i, numeric in enumerate(right)) + " |"
    for row in cells:
        yield "| " + " | ".join(row) + " |"
