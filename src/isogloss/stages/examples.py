"""Examples of what a step did, for the screen of who asked: reasons by kind, and text shortened around what changed."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Examples kept of one kind, and kinds of reasons that get examples.
EACH, MOST = 3, 8
# A duplicate's reason, of which the id of the other goes and what is said behind it stays; also in the dialect of polars.
DUPLICATE = r"(?s)duplicate of .*?(; their labels differ)?$"


@dataclass(frozen=True)
class Example:
    """One row before and after; a dropped row has a reason and no after; `text` is there when another column changed."""

    what: str
    lang: str
    id: str
    before: str
    after: str
    reason: str = ""
    text: str = ""


def kind(reason: str, quoted: bool = False) -> str:
    """A reason without what differs from row to row: ids, numbers, and, unless they are asked for, `quoted` values.

    >>> kind("near-duplicate of a-17 (Jaccard 0.83); their labels differ")
    'near-duplicate; their labels differ'
    >>> kind("found in bench.jsonl (near, Jaccard 0.91)"), kind("another language: says deu 0.99, declared eng_Latn")
    ('found in bench.jsonl (near)', 'another language: says deu, declared eng_Latn')
    """
    text = re.sub(DUPLICATE, r"duplicate\1", reason)
    text = re.sub(r"\(([a-z-]+), [^)]*\)", r"(\1)", text)
    text = re.sub(r"\s*\([A-Z0-9][^)]*\)", "", text)
    text = re.sub(r"(?<=\w )\d+ % ", "", re.sub(r": \d+ % ", ": only some ", text))
    text = re.sub(r"\s\d+\.\d+(?=[,)\s]|$)", "", text)
    if not quoted:
        text = re.sub(r"'[^']*'$|'[^']*'(?=[ ;:,)])", "'…'", text)
    return text if len(text) <= 100 else text[:99] + "…"


def name(names: dict[str, str], reason: str) -> str:
    """The kind of a reason, noting in `names` what to call it: with its quoted values while all reasons of it agree.

    >>> names = {}
    >>> name(names, "unknown label 'x'"), names["unknown label '…'"]
    ("unknown label '…'", "unknown label 'x'")
    >>> name(names, "unknown label 'y'"), names["unknown label '…'"]
    ("unknown label '…'", "unknown label '…'")
    """
    short = kind(reason)
    names[short] = short if names.get(short, full := kind(reason, quoted=True)) != full else full
    return short


def pick(examples: Iterable[Example]) -> list[Example]:
    """A few of each kind: of languages and kinds that have few, first come, first kept."""
    seen: Counter[tuple[str, str]] = Counter()
    kinds: Counter[str] = Counter()
    langs: Counter[tuple[str, str, str]] = Counter()
    kept = []
    for example in examples:
        what = (example.what, kind(example.reason))
        if not seen[what]:
            kinds[example.what] += 1
        if kinds[example.what] > MOST and not seen[what]:
            continue
        if seen[what] < EACH and not langs[(*what, example.lang)]:
            kept.append(example)
            seen[what] += 1
            langs[(*what, example.lang)] += 1
    return kept


def lines(example: Example, width: int) -> list[str]:
    """An example as text of at most `width` characters a line."""
    head = f"{example.lang} {example.id}"
    if example.what == "dropped":
        return [f"    {head}"[:width], "      " + around(example.before, None, width - 6)]
    out = [
        f"    {head}"[:width],
        "      - " + (around(example.before, example.after, width - 8) or "(none)"),
        "      + " + (around(example.after, example.before, width - 8) or "(none)"),
    ]
    return [*out, "        " + around(example.text, None, width - 8)] if example.text else out


def around(text: str, other: str | None, width: int) -> str:
    """`text` cut to `width` around the first place where it differs from `other`; what cannot be seen is named.

    >>> around("au\\u200b lait", "au lait", 24)
    'au⟨U+200B⟩ lait'
    """
    at = 0
    if other is not None:
        at = next((i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), min(len(text), len(other)))
    start = max(0, at - width // 4)
    shown = ("…" if start else "") + visible(text[start : start + width])
    if start + width >= len(text) and cells(shown) <= width:
        return shown
    while cells(shown) >= width:
        shown = shown[:-1]
    return shown + "…"


def excerpt(before: str, after: str, longest: int) -> tuple[str, str]:
    """Both texts cut to `longest` characters around the first place where they differ.

    >>> excerpt("one two three", "one 2 three", 7)
    ('…e two t…', '…e 2 thr…')
    """
    at = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after)))
    start = max(0, at - longest // 3) if max(len(before), len(after)) > longest else 0

    def cut(text: str) -> str:
        return ("…" if start else "") + text[start : start + longest] + ("…" if start + longest < len(text) else "")

    return cut(before), cut(after)


def cells(text: str) -> int:
    """How many cells of a terminal a text takes.

    >>> cells("ab"), cells("中文"), cells("e\u0301")
    (2, 4, 1)
    """
    return sum(
        0 if unicodedata.category(c) in ("Mn", "Me", "Cf") else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def visible(text: str) -> str:
    """Characters that a terminal hides or obeys, by their number; a line break as ⏎.

    >>> visible("a\\u200fb\\n\\x07")
    'a⟨U+200F⟩b⏎⟨U+0007⟩'
    """

    def one(character: str) -> str:
        if character == "\n":
            return "⏎"
        return character if character.isprintable() else f"⟨U+{ord(character):04X}⟩"

    return "".join(map(one, text))


def some(langs: Sequence[str], most: int = 4) -> str:
    """Names of languages, the first ones and how many more.

    >>> some(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    shown = ", ".join(langs[:most])
    return shown if len(langs) <= most else f"{shown} and {len(langs) - most} more"
