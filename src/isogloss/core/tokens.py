"""Tokenizer: what cuts text into the pieces that a model reads, whatever file it comes from.

`core/token_files.py` reads one from a file or folder. A piece is known by its number; which part of a text it stands
for is told in characters (code points) of that text, so that pieces, words and characters can be counted together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
# Places in a vocabulary that its makers left empty.
RESERVED = re.compile(
    r"\[unused\d+\]|<unused\d+>|<extra_id_\d+>|madeupword\d+|<\|?reserved[^>]*>|<\|extra_\d+\|>|<\|dummy[^>]*>|"
    r"\[UNUSED[^\]]*\]|<SPECIAL_\d+>|<\|?placeholder[^>]*>",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Encoded:
    """The tokens of some texts, end to end.

    `ids (T,)` are pieces; `starts, ends (T,)` the characters of their text that they stand for, None where the
    tokenizer does not tell; `n (N,)` how many tokens each text has. Special tokens of a model are not among them.
    """

    ids: np.ndarray
    starts: np.ndarray | None
    ends: np.ndarray | None
    n: np.ndarray

    def of(self, i: int) -> list[int]:
        """The pieces of text `i`."""
        end = int(self.n[: i + 1].sum())
        return [int(one) for one in self.ids[end - int(self.n[i]) : end]]

    def lists(self) -> list[list[int]]:
        """The pieces of each text."""
        import numpy as np

        return [each.tolist() for each in np.split(self.ids, np.cumsum(self.n)[:-1])] if len(self.n) else []


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer of any kind.

    `kind`: unigram, bpe, byte-level bpe, wordpiece, words, bytes, characters, or other. `pieces` has the text of each
    piece by its number: "" for special and reserved ones, None for a piece of a character. `unknown` are the numbers
    that stand for text that cannot be written, `specials` those that are no text, `reserved` those nobody uses.
    `fallback`: every text can be written, because bytes stand in for what no piece covers. `max_length`: tokens that
    the model reads, special ones included, and `n_special` how many of those it adds to a text; None where nobody says.
    `facts` are of the model that it belongs to (`width`, `vocab_size`).
    """

    name: str
    kind: str
    source: str
    pieces: Mapping[int, str | None]
    unknown: frozenset[int]
    specials: frozenset[int]
    reserved: frozenset[int]
    fallback: bool
    max_length: int | None = None
    n_special: int | None = None
    lowercases: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    inner: Any = field(default=None, repr=False)
    """The tokenizers library's object, where it is one: what a cure works on."""
    cut: Callable[[Sequence[str]], Encoded] = field(default=lambda texts: nothing(len(texts)), repr=False)
    join: Callable[[Sequence[Sequence[int]]], list[str]] = field(default=lambda ids: [""] * len(ids), repr=False)

    @property
    def n_vocab(self) -> int:
        """How many pieces there are, special ones included."""
        return len(self.pieces)

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Cut texts into pieces, without the special tokens of the model."""
        return self.cut(texts) if texts else nothing(0)

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Texts of pieces; unknown and special ones leave nothing."""
        return self.join(ids) if ids else []


def nothing(n_texts: int) -> Encoded:
    """Texts without a token."""
    import numpy as np

    none = np.zeros(0, np.int64)
    return Encoded(none, none, none, np.zeros(n_texts, np.int64))


def encoded(ids: Sequence[Sequence[int]], offsets: Sequence[Sequence[tuple[int, int]]] | None) -> Encoded:
    """Tokens of texts from lists of pieces and of their places."""
    import numpy as np

    n = np.fromiter(map(len, ids), np.int64, len(ids))
    total = int(n.sum())
    flat = np.fromiter(chain.from_iterable(ids), np.int64, total)
    if offsets is None:
        return Encoded(flat, None, None, n)
    places = np.fromiter(chain.from_iterable(chain.from_iterable(offsets)), np.int64, 2 * total).reshape(-1, 2)
    return Encoded(flat, places[:, 0], places[:, 1], n)


def in_characters(texts: Sequence[str], found: Encoded) -> Encoded:
    """Places in bytes of UTF-8 as places in characters; an empty place is that of the character that begins there."""
    import numpy as np

    assert found.starts is not None and found.ends is not None
    raw = np.frombuffer("".join(texts).encode("utf-8"), np.uint8)
    before = np.concatenate([[0], np.cumsum((raw & 0xC0) != 0x80)])
    n_bytes = np.array([len(text.encode("utf-8")) for text in texts], np.int64)
    first = np.repeat(np.cumsum(n_bytes) - n_bytes, found.n)
    base = before[first]
    return Encoded(found.ids, before[first + found.starts] - base, before[first + found.ends] - base, found.n)


def byte_alphabet() -> dict[str, int]:
    """The byte that each character of a byte-level vocabulary stands for (GPT-2's table).

    >>> byte_alphabet()["Ġ"], len(byte_alphabet())
    (32, 256)
    """
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(byte): byte for byte in plain}
    others = (byte for byte in range(256) if byte not in plain)
    return table | {chr(256 + i): byte for i, byte in enumerate(others)}


def whole(raw: bytes) -> str | None:
    """The text of some bytes; None when they are not whole characters."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
