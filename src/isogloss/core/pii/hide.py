"""What stands in a text instead of personal data: the kind, stars, or a pseudonym that is the same wherever the value is.

A pseudonym is a name drawn by a keyed hash (BLAKE2b, RFC 7693) of kind and value: equal values get equal names, in every
file that is treated with the key, and who does not have the key can neither undo it nor try values. Who has it can try
values: keep it apart from the text, or throw it away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

from isogloss.core.pii.find import Span

Action = Literal["redact", "mask", "pseudonym", "tag"]
# Letters of pseudonyms: no vowels, so that no words come out; eight of twenty are 2.6e10 names.
LETTERS = "bcdfghjklmnpqrstvwxz"
LONG = 8


def hidden(text: str, spans: Sequence[Span], action: Action, key: bytes = b"") -> str:
    """The text with something else in place of `spans`.

    >>> from isogloss.core.pii.find import find
    >>> text = "Ask anna@mail.org or call +49 30 901820."
    >>> hidden(text, find(text), "redact")
    'Ask [EMAIL] or call [PHONE].'
    >>> hidden(text, find(text), "mask")
    'Ask ****@****.*** or call +** ** ******.'
    """
    if action == "tag":
        return text
    pieces, last = [], 0
    for span in spans:
        pieces += [text[last : span.start], _instead(text[span.start : span.end], span, action, key)]
        last = span.end
    return "".join([*pieces, text[last:]])


def _instead(written: str, span: Span, action: Action, key: bytes) -> str:
    if action == "mask":
        return "".join("*" if c.isalnum() else c for c in written)
    name = span.kind.upper()
    return f"[{name}]" if action == "redact" else f"[{name}:{pseudonym(span.kind, span.value, key)}]"


def pseudonym(kind: str, value: str, key: bytes) -> str:
    """The name of a value under a key."""
    number = int.from_bytes(
        hashlib.blake2b(f"{kind}\0{value}".encode(), key=_short(key), digest_size=16).digest(), "big"
    )
    letters = []
    for _ in range(LONG):
        number, i = divmod(number, len(LETTERS))
        letters.append(LETTERS[i])
    return "".join(letters)


def _short(key: bytes) -> bytes:
    """A key as BLAKE2b takes it: at most 64 bytes."""
    return key if len(key) <= 64 else hashlib.blake2b(key).digest()
