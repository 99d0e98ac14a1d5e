"""The inflection probe: does a tokenizer keep the stem of a word through its forms?

Forms of a word are found in the user's own text, by no rule of any language: two words belong together when they begin
with the same letters (the stem) and what they go on with is a pair of endings that several other stems have too
("signatures", Goldsmith 2001), and the same from the other side for languages that change the beginning of words. Such
pairs are mostly inflection and some derivation; a few are chance. Changes inside a stem (Arabic plurals, umlaut) are
not found.

A stem is kept as far as both forms are cut into the same pieces there: the share of its letters that lie in pieces which
both forms begin (or end) with.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from isogloss.core import words
from isogloss.core.tokens import Tokenizer

STEM, ENDING = 4, 5  # letters: the least of a stem, the most of what follows it
STEMS = 8  # stems that a pair of endings must have
PAIRS, SHARE = 30, 0.025  # pairs, and pairs for each different word; fewer say nothing, or that words do not change
MOST_PAIRS = 400
MOST_WORDS = 4000  # different ones, in the order they come


@dataclass(frozen=True)
class Pair:
    """Two forms that share a stem; `first`: whether the stem is at their beginning."""

    a: str
    b: str
    stem: int
    first: bool


@dataclass(frozen=True)
class Inflection:
    """`kept`: mean share of the stem in pieces that both forms have, with its interval over stems; `whole`: share of the
    pairs whose stem is kept entirely. `why`: why there is nothing."""

    n_pairs: int
    n_stems: int
    kept: float | None = None
    low: float | None = None
    high: float | None = None
    whole: float | None = None
    why: str = ""


def pairs(types: Iterable[str]) -> list[Pair]:
    """Pairs of forms among words, of each stem at most two."""
    forms = dict.fromkeys(w for word in types if len(w := word.lower()) >= STEM and _letters(w))
    letters = sorted(islice(forms, MOST_WORDS))
    both = [*_pairs(letters, True), *_pairs(letters, False)]
    both.sort(key=lambda item: (-item[0], item[1].a, item[1].b))
    return [pair for _, pair in both[:MOST_PAIRS]]


def _letters(word: str) -> bool:
    """Whether a word has only letters and the marks that belong to them."""
    return all(unicodedata.category(c)[0] in "LM" for c in word)


def _pairs(forms: Sequence[str], first: bool) -> list[tuple[int, Pair]]:
    """Pairs that change at one side, each with how many stems have its pair of endings."""
    by_stem: dict[str, list[str]] = defaultdict(list)
    for form in forms:
        turned = form if first else form[::-1]
        least = max(STEM, math.ceil(0.6 * len(turned)), len(turned) - ENDING)
        for n in range(least, len(turned) + 1):
            by_stem[turned[:n]].append(turned[n:])
    several = {stem: _differing(sorted(endings)) for stem, endings in by_stem.items() if len(endings) > 1}
    seen = Counter(pair for some in several.values() for pair in some)
    # the longest common beginning of two forms is their stem: endings begin differently
    found = []
    for stem, some in sorted(several.items()):
        good = [pair for pair in some if seen[pair] >= STEMS]
        for a, b in sorted(good, key=lambda pair: -seen[pair])[:2]:
            one, two = (stem + a, stem + b) if first else ((stem + a)[::-1], (stem + b)[::-1])
            found.append((seen[a, b], Pair(one, two, len(stem), first)))
    return found


def _differing(endings: Sequence[str]) -> list[tuple[str, str]]:
    return [(a, b) for i, a in enumerate(endings) for b in endings[i + 1 :] if a[:1] != b[:1]]


def probe(
    tokenizer: Tokenizer, types: Mapping[str, int], tag: str, *, seed: int = 17, confidence: float = 0.95
) -> Inflection:
    """The probe of one language; `types` are the words of its texts."""
    why = words.why_none(tag)
    if why:
        return Inflection(0, 0, why=f"words are not known: {why}")
    found = pairs(types)
    n_stems = len({_stem(pair) for pair in found})
    least = max(PAIRS, math.ceil(SHARE * len(types)))
    if len(found) < least:
        found_in = f"{len(found)} pairs of forms among {len(types):,} different words, {least} are needed"
        return Inflection(len(found), n_stems, why=f"{found_in}: too little text, or words that hardly change")
    shares = np.array(_kept(tokenizer, found))
    stems = np.unique([_stem(pair) for pair in found], return_inverse=True)[1]
    from isogloss.core.resampling import interval, resampled

    counts = np.column_stack([shares, np.ones(len(shares))])
    draws, n_units = resampled(stems, counts, 1000, seed)
    low, high = interval(float(shares.mean()), draws[:, 0] / draws[:, 1], n_units, (0.0, 1.0), confidence)
    return Inflection(len(found), n_stems, float(shares.mean()), low, high, float((shares >= 1).mean()))


def _stem(pair: Pair) -> str:
    return pair.a[: pair.stem] if pair.first else pair.a[-pair.stem :]


def _kept(tokenizer: Tokenizer, found: Sequence[Pair]) -> list[float]:
    """Of each pair the share of the stem that lies in pieces which both forms begin, or end, with."""
    forms = list(dict.fromkeys(form for pair in found for form in (pair.a, pair.b)))
    # a space before each, as in running text
    cut = tokenizer.encode([" " + form for form in forms])
    if cut.ends is None or cut.starts is None:
        return [math.nan] * len(found)
    ends = np.split(cut.ends, np.cumsum(cut.n)[:-1])
    starts = np.split(cut.starts, np.cumsum(cut.n)[:-1])
    by_form = dict(zip(forms, zip(cut.lists(), starts, ends, strict=True), strict=True))
    out = []
    for pair in found:
        (ids_a, starts_a, ends_a), (ids_b, *_) = by_form[pair.a], by_form[pair.b]
        if not pair.first:
            ids_a, ids_b = ids_a[::-1], ids_b[::-1]
        same = 0
        while (
            same < min(len(ids_a), len(ids_b)) and ids_a[same] == ids_b[same] and ids_a[same] not in tokenizer.unknown
        ):
            same += 1
        if not same:
            covered = 0
        elif pair.first:
            covered = int(ends_a[same - 1]) - 1
        else:
            covered = len(pair.a) + 1 - int(starts_a[len(ids_a) - same])
        out.append(min(max(covered, 0), pair.stem) / pair.stem)
    return out
