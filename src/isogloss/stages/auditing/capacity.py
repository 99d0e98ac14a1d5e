"""The capacity of a vocabulary: which share of it serves a language and its script, and how much room is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isogloss.core.scripts import script_of, unicode_scripts
from isogloss.core.tokens import Tokenizer

MOST_WORK = 0.9


@dataclass(frozen=True)
class Capacity:
    """What a vocabulary holds for a language.

    `script_pieces`: pieces with letters of its script, None where a piece is no text. `seen`: different pieces in its
    texts; `own`: of these, in no other language of the sample; `most`: how many of them make nine tenths of its tokens;
    `unseen`: pieces of its script that no text of the sample uses. Shares are of the vocabulary.
    """

    script_pieces: int | None
    script_share: float | None
    seen: int
    own: int
    most: int
    unseen: int | None


@dataclass(frozen=True)
class Room:
    """What is left in a vocabulary: reserved places that can be given away, and rows of the model's table that no piece
    has; `never` pieces no text of the sample used."""

    n_vocab: int
    reserved: int
    rows_without_piece: int | None
    never: int


def by_script(tokenizer: Tokenizer) -> dict[str, NDArray[np.int64]]:
    """The pieces with letters of each Unicode script; a piece belongs to the script of most of its letters."""
    texts = {i: text for i, text in tokenizer.pieces.items() if text}
    known = script_of("".join(set("".join(texts.values()))))
    found: dict[str, list[int]] = {}
    for i, text in texts.items():
        of = [known[c] for c in text if c in known]
        if of:
            script = of[0] if len(of) == 1 or of.count(of[0]) == len(of) else Counter(of).most_common(1)[0][0]
            found.setdefault(script, []).append(i)
    return {script: np.array(ids) for script, ids in found.items()}


def capacities(
    tokenizer: Tokenizer, used: Mapping[str, NDArray[np.int64]], scripts: Mapping[str, NDArray[np.int64]]
) -> dict[str, Capacity]:
    """The capacity of each language, from how often each piece came in it (`used`) and from `by_script`."""
    text = tokenizer.kind not in ("bytes", "characters")
    in_langs = sum((counts > 0).astype(np.int64) for counts in used.values())
    total = sum(used.values())
    out = {}
    for lang, counts in used.items():
        own = [scripts[one] for one in unicode_scripts(lang[4:]) if one in scripts]
        ids = np.concatenate(own) if own else np.zeros(0, np.int64)
        falling = np.sort(counts)[::-1]
        reach = np.searchsorted(np.cumsum(falling), MOST_WORK * falling.sum()) + 1 if falling.sum() else 0
        out[lang] = Capacity(
            script_pieces=len(ids) if text else None,
            script_share=len(ids) / max(1, tokenizer.n_vocab) if text else None,
            seen=int((counts > 0).sum()),
            own=int(((counts > 0) & (in_langs == 1)).sum()),
            most=int(reach),
            unseen=int((total[ids] == 0).sum()) if text else None,  # type: ignore[index]
        )
    return out


def room(tokenizer: Tokenizer, used: Mapping[str, NDArray[np.int64]]) -> Room:
    """What is left of the whole vocabulary."""
    total: Any = sum(used.values())
    special = {*tokenizer.specials, *tokenizer.reserved}
    ids = np.array([i for i in tokenizer.pieces if i not in special], np.int64)
    rows = tokenizer.facts.get("vocab_size")
    return Room(
        n_vocab=tokenizer.n_vocab,
        reserved=len(tokenizer.reserved),
        rows_without_piece=max(0, int(rows) - (max(tokenizer.pieces, default=-1) + 1)) if rows else None,
        never=int((total[ids] == 0).sum()) if len(ids) else 0,
    )


def named(capacity: Capacity, script: str) -> Sequence[str]:
    """Sentences about the capacity of a language."""
    if capacity.script_pieces is None:
        return ("its pieces are bytes or characters, so none belongs to a script",)
    return (
        f"{capacity.script_pieces:,} pieces ({capacity.script_share:.1%} of the vocabulary) have letters of {script}",
        f"{capacity.seen:,} different pieces are in its texts, {capacity.own:,} of them in no other language here",
    )
