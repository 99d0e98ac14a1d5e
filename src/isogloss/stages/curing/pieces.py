"""Learn new pieces on top of a tokenizer: neighbours in its own segmentation are joined, the commonest first.

    texts of the languages that need it ── the tokenizer ──► its pieces, word by word
    1. letters that it cannot write, or only in bytes, become pieces
    2. as byte-pair encoding (Sennrich et al. 2016) goes on: the commonest pair of neighbours inside a word becomes a piece

So a new piece is always a row of old ones, which says where its vector begins, and no word takes more tokens than before.
A pair that stands in a text of a language to be kept as it is, is not joined.
"""

from __future__ import annotations

import heapq
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from isogloss.core.tokens import BYTE

FEWEST = 5  # times that a pair, or a letter, must come in the texts
LONGEST = 16  # characters of a new piece
MARKS = "\u2581\u0120"  # what begins a word, as vocabularies spell a space
INSIDE = "\u200c\u200d\u2019'"  # what may stand between letters of a word


@dataclass(frozen=True)
class Learned:
    """New pieces in the order they were learned: how each is spelled, and of which two it is joined (letters: none)."""

    letters: tuple[str, ...]
    joins: tuple[tuple[str, str, str], ...]

    @property
    def pieces(self) -> tuple[str, ...]:
        return (*self.letters, *(made for made, _, _ in self.joins))


Words = Mapping[tuple[str, ...], int]


def words(inner: Any, texts: Sequence[str]) -> Counter[tuple[str, ...]]:
    """The words of texts as rows of pieces, with how often each comes. A word never goes over what the tokenizer cuts
    before its pieces, and begins anew where a piece spells a space."""
    found: Counter[tuple[str, ...]] = Counter()
    for start in range(0, len(texts), 1000):
        for one in inner.encode_batch(list(texts[start : start + 1000]), add_special_tokens=False):
            row: list[str] = []
            before: Any = None
            for piece, number in zip(one.tokens, one.word_ids, strict=True):
                if row and (number != before or piece[0] in MARKS):
                    found[tuple(row)] += 1
                    row = []
                row.append(piece)
                before = number
            if row:
                found[tuple(row)] += 1
    return found


def lacking(
    inner: Any,
    texts: Mapping[str, Sequence[str]],
    unknown: frozenset[int],
    *,
    every: bool = False,
    fewest: int = FEWEST,
) -> list[str]:
    """Letters and marks of texts that are unknown, left out, or spelled in bytes, the commonest first; with `every`, all
    letters that come often enough."""
    counts: Counter[str] = Counter()
    for some in texts.values():
        own = Counter(c for text in some for c in (inner.normalizer.normalize_str(text) if inner.normalizer else text))
        counts.update({c: n for c, n in own.items() if n >= fewest and _is_letter(c)})
    out = []
    for character, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        cut = inner.encode(character, add_special_tokens=False)
        if every or not cut.ids or set(cut.ids) & unknown or any(BYTE.fullmatch(piece) for piece in cut.tokens):
            out.append(character)
    return out


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LM"


@dataclass
class _Rows:
    """Words that are joined step by step: `gain` is how often a word comes, weighed by language, `guard` how often in
    languages that are kept."""

    rows: list[list[str]] = field(default_factory=list)
    gain: list[float] = field(default_factory=list)
    guard: list[int] = field(default_factory=list)
    pairs: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))
    guarded: Counter[tuple[str, str]] = field(default_factory=Counter)
    where: dict[tuple[str, str], set[int]] = field(default_factory=lambda: defaultdict(set))

    def count(self, i: int, sign: int) -> Iterator[tuple[str, str]]:
        for pair in zip(self.rows[i], self.rows[i][1:], strict=False):
            self.pairs[pair] += sign * self.gain[i]
            self.guarded[pair] += sign * self.guard[i]
            if sign > 0:
                self.where[pair].add(i)
            yield pair


def joins(
    own: Mapping[str, Words],
    kept: Words,
    known: Callable[[str], bool],
    spell: Callable[[str, str], str],
    fits: Callable[[str], bool],
    n: int,
    *,
    fewest: int = FEWEST,
    tick: Callable[[int], None] | None = None,
) -> list[tuple[str, str, str]]:
    """At most `n` joins (made, first, second), the commonest first; of languages with little text as of those with much.

    `own` are the words of the languages that need pieces, `kept` those of the others; `known` says whether a spelling is
    taken, `spell` joins two, `fits` says whether a spelling may be a piece.
    """
    state = _Rows()
    place: dict[tuple[str, ...], int] = {}
    most = max((sum(len(row) * k for row, k in some.items()) for some in own.values()), default=0)

    def at(row: tuple[str, ...]) -> int:
        if row not in place:
            place[row] = len(state.rows)
            state.rows.append(list(row))
            state.gain.append(0.0)
            state.guard.append(0)
        return place[row]

    for some in own.values():
        weight = most / max(1, sum(len(row) * k for row, k in some.items()))
        for row, k in some.items():
            state.gain[at(row)] += weight * k
    for row, k in kept.items():
        state.guard[at(row)] += k
    for i in range(len(state.rows)):
        for _ in state.count(i, 1):
            pass
    heap = [(-gain, pair) for pair, gain in state.pairs.items() if gain >= fewest]
    heapq.heapify(heap)
    taken: set[str] = set()
    out: list[tuple[str, str, str]] = []
    while heap and len(out) < n:
        gain, pair = heapq.heappop(heap)
        now = state.pairs[pair]
        if now < fewest:
            continue
        if -gain > now + 1e-9:  # it was counted before some of its words were joined
            heapq.heappush(heap, (-now, pair))
            continue
        made = spell(*pair)
        if state.guarded[pair] or known(made) or made in taken or not fits(made):
            continue
        taken.add(made)
        out.append((made, *pair))
        touched: set[tuple[str, str]] = set()
        for i in list(state.where.pop(pair)):
            for _ in state.count(i, -1):
                pass
            state.rows[i] = _joined(state.rows[i], pair, made)
            touched.update(state.count(i, 1))
        for other in touched:
            if state.pairs[other] >= fewest:
                heapq.heappush(heap, (-state.pairs[other], other))
        if tick and len(out) % 50 == 0:
            tick(len(out))
    return out


def _joined(row: list[str], pair: tuple[str, str], made: str) -> list[str]:
    out: list[str] = []
    i = 0
    while i < len(row):
        if i + 1 < len(row) and (row[i], row[i + 1]) == pair:
            out.append(made)
            i += 2
        else:
            out.append(row[i])
            i += 1
    return out


def fitting(surface: Callable[[str], str | None]) -> Callable[[str], bool]:
    """Whether a spelling may be a new piece: letters of one word, not too many, or a piece of a letter."""

    def fits(spelling: str) -> bool:
        text = surface(spelling)
        if text is None:
            return True
        text = text.strip()
        return (
            0 < len(text) <= LONGEST and all(_is_letter(c) or c in INSIDE for c in text) and any(map(_is_letter, text))
        )

    return fits
