"""The screen: what is going on on standard error, results on standard output, tables that fit the width."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from typing import Any

from isogloss.core.say import Evaluated, Say


class Screen(Say):
    """Draws on standard error: lines that stay, and on a terminal one line that moves."""

    def __init__(self) -> None:
        self.moving = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self.open = 0
        self.table: list[str] = []
        self.said = time.monotonic()

    def line(self, text: str) -> None:
        self.close()
        self.said = time.monotonic()
        print(plain(text), file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        self.line(f"          note: {text}")

    def evaluated(self, row: Evaluated) -> None:
        """A row of the live table on a terminal, a line on a pipe."""
        if not self.moving:
            self.line(row.text())
            return
        names = [name for name, _ in row.columns]
        header = ["step", "loss", f"{row.metric} mean", "worst", *names, "seconds", "left", ""]
        values = [f"{row.step}/{row.n_steps}", f"{row.loss:.3f}", _score(row.mean), _score(row.worst)]
        values += [_score(value) + ("*" if name == row.lowest else "") for name, value in row.columns]
        values += [f"{row.seconds:.0f}", "" if row.left is None else f"{row.left:.0f}", row.note]
        widths = [max(cells(title), 7) for title in header]
        widths[0] = max(widths[0], 2 * len(str(row.n_steps)) + 1)
        shown = [i for i in range(len(header)) if sum(widths[: i + 1]) + 2 * i < screen_width() or i == len(header) - 1]
        if self.table != names:
            self.table = names
            self.line("  ".join(pad(header[i], widths[i]) for i in shown).rstrip())
        self.line("  ".join(" " * max(0, widths[i] - cells(values[i])) + values[i] for i in shown).rstrip())
        if row.lowest and row.lowest not in names:
            self.line(f"{'':>{widths[0]}}  lowest: {row.lowest} {_score(row.low)}")

    def progress(self, what: str, done: int, total: int | None = None, unit: str = "", pace: str = "") -> None:
        """One line that moves on a terminal; elsewhere a line a minute, so that a log of a long run says how far it is."""
        count = f"{done:,}" if total is None else f"{done:,} of {total:,}"
        text = f"          {what}: {count} {unit}".rstrip() + (f" · {pace}" if pace else "")
        if not self.moving:
            if time.monotonic() - self.said >= 60 and done:
                self.line(text)
            return
        width = screen_width() - 1
        text = text[:width]
        print("\r" + text.ljust(min(self.open, width)), end="", file=sys.stderr, flush=True)
        self.open = len(text)

    def close(self) -> None:
        if self.open:
            print("\r" + " " * min(self.open, screen_width() - 1) + "\r", end="", file=sys.stderr, flush=True)
            self.open = 0


def screen_width() -> int:
    import shutil

    return max(40, shutil.get_terminal_size((120, 24)).columns)


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def plain(text: str) -> str:
    """Text without what would steer a terminal: control characters and direction overrides of users' data are shown."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", lambda m: f"\\u{ord(m[0]):04x}", text)


def put(text: str = "") -> None:
    print(plain(text), flush=True)


def put_json(value: Any) -> None:
    put(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def columns(rows: list[list[str]], width: int, *, text_last: bool = False) -> list[str]:
    """Rows as aligned text. Columns that do not fit are left out, from the right, and counted; with `text_last` the
    last column is prose and is shortened instead."""
    widths = [max(cells(row[i]) for row in rows) for i in range(len(rows[0]))]
    if text_last:
        widths[-1] = min(widths[-1], max(20, width - sum(widths[:-1]) - 2 * (len(widths) - 1)))
        return ["  ".join(pad(cell, w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    widths[0] = min(widths[0], max(16, width // 3))
    fit = 1
    while fit < len(widths) and sum(widths[: fit + 1]) + 2 * fit <= width:
        fit += 1
    lines = []
    for row in rows:
        right = [" " * (w - cells(c)) + c for c, w in zip(row[1:fit], widths[1:fit], strict=True)]
        lines.append("  ".join([pad(row[0], widths[0]), *right]).rstrip())
    left_out = len(widths) - fit
    if left_out:
        lines.append(f"({left_out} column{'s' * (left_out > 1)} left out at this width: {', '.join(rows[0][fit:])})")
    return lines


def cells(text: str) -> int:
    """How many cells of a terminal a text takes."""
    import unicodedata

    return sum(
        0 if unicodedata.category(c) in ("Mn", "Me", "Cf") else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def pad(text: str, width: int) -> str:
    while cells(text) > width:
        text = text.removesuffix("…")[:-1] + "…"
    return text + " " * (width - cells(text))
