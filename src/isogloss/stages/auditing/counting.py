"""Counts of each text, from which every measure is a ratio of sums."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from isogloss.core import words
from isogloss.core.tax import COUNTS
from isogloss.core.tokens import Encoded, Tokenizer

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MARKS = 8  # behind a letter, that may share its fate
CHUNK = 2000  # texts that are cut at a time
AT = {name: i for i, name in enumerate(COUNTS)}


@dataclass(frozen=True)
class Counted:
    """`counts (N, K)` of the rows of a sample, in their order; how often each piece came in each language; and of each
    language the words that are there, with how many tokens each takes (0: it is not known)."""

    counts: Floats
    pieces: dict[str, Ints]
    words: dict[str, dict[str, int]]
    encoded: Encoded


def count(tokenizer: Tokenizer, rows: pl.DataFrame, *, tick: Any = None) -> Counted:
    """Cut every text and count. Rows without words (`words.why_none`) have none."""
    texts, langs = rows["text"].to_list(), rows["lang"].to_list()
    counts = np.zeros((len(texts), len(COUNTS)))
    n_pieces = max(tokenizer.pieces, default=0x10FFFF) + 1
    pieces: dict[str, Ints] = {}
    types: dict[str, dict[str, int]] = {}
    found: list[Encoded] = []
    for start in range(0, len(texts), CHUNK):
        some, tags = texts[start : start + CHUNK], langs[start : start + CHUNK]
        cut = tokenizer.encode(some)
        found.append(cut)
        counts[start : start + CHUNK] = _counts(tokenizer, some, tags, cut, types)
        per_token = np.repeat(np.array(tags, dtype=object), cut.n)
        for tag in dict.fromkeys(tags):
            own = np.bincount(cut.ids[per_token == tag], minlength=n_pieces)
            pieces[tag] = pieces.get(tag, np.zeros(n_pieces, np.int64)) + own[:n_pieces]
        if tick:
            tick(min(start + CHUNK, len(texts)), len(texts))
    return Counted(counts, pieces, types, _joined(found))


def _joined(found: Sequence[Encoded]) -> Encoded:
    def whole(name: str) -> Any:
        arrays = [getattr(one, name) for one in found]
        return None if any(a is None for a in arrays) else np.concatenate(arrays)

    return Encoded(whole("ids"), whole("starts"), whole("ends"), whole("n"))


def _counts(
    tokenizer: Tokenizer, texts: Sequence[str], langs: Sequence[str], cut: Encoded, types: dict[str, dict[str, int]]
) -> Floats:
    """The counts of some texts; words go into `types`."""
    out = np.zeros((len(texts), len(COUNTS)))
    place = np.repeat(np.arange(len(texts)), cut.n)
    unknown = np.isin(cut.ids, list(tokenizer.unknown))
    out[:, AT["tokens"]] = cut.n
    out[:, AT["chars"]] = [len(text) for text in texts]
    out[:, AT["bytes"]] = [len(text.encode("utf-8")) for text in texts]
    out[:, AT["unknown"]] = np.bincount(place, unknown, len(texts))
    if tokenizer.pieces:
        out[:, AT["parts"]] = np.bincount(place, _is_part(tokenizer)[cut.ids], len(texts))
    found = words.spans([text if not words.why_none(tag) else "" for text, tag in zip(texts, langs, strict=True)])
    out[:, AT["words"]] = found[2]
    if cut.starts is None or cut.ends is None:
        return out
    # Every text stands on one line of characters, two apart, so that tokens, words and characters can be searched.
    lengths = out[:, AT["chars"]].astype(np.int64)
    base = np.cumsum(lengths + 2) - lengths - 2
    starts = cut.starts + base[place]
    ends = np.maximum(cut.ends, cut.starts + 1) + base[place]
    out[:, AT["visible"]], out[:, AT["lost"]] = _lost(texts, base, lengths, starts, ends, ~unknown)
    _count_words(texts, langs, found, base, starts, ends, unknown, out, types)
    return out


def _is_part(tokenizer: Tokenizer) -> NDArray[np.bool_]:
    """Which pieces are pieces of characters, by number."""
    table = np.zeros(max(tokenizer.pieces) + 1, bool)
    table[[i for i, text in tokenizer.pieces.items() if text is None]] = True
    return table


def _lost(
    texts: Sequence[str], base: Ints, lengths: Ints, starts: Ints, ends: Ints, known: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Visible characters of each text, and those that no known token stands for.

    A mark that no token stands for, not even an unknown one, shares the fate of the character before it: what composes
    an accent with its letter says that the result stands for the letter.
    """
    size = int(base[-1] + lengths[-1] + 2) if len(texts) else 0

    def under(which: NDArray[np.bool_]) -> NDArray[np.bool_]:
        begun, ended = (np.bincount(np.minimum(x[which], size), minlength=size + 1) for x in (starts, ends))
        return np.asarray(np.cumsum(begun - ended)[:size] > 0)

    held, doubted = under(known), under(~known)
    codes = np.frombuffer("".join(text + "  " for text in texts).encode("utf-32-le"), np.uint32)
    seen, inverse = np.unique(codes, return_inverse=True)
    kinds = [unicodedata.category(chr(c))[0] for c in seen]
    # white space, controls and formats are no loss: many normalisers take them out
    visible, mark = (np.array([kind in some for kind in kinds], bool)[inverse] for some in ("LMNPS", "M"))
    free = mark & ~held & ~doubted
    for _ in range(MARKS):
        held = held | (free & np.concatenate([[False], held[:-1]]))
    at = np.repeat(np.arange(len(texts)), lengths + 2)
    both: list[Floats] = [
        np.bincount(at, weights=mask.astype(np.float64), minlength=len(texts)).astype(np.float64)
        for mask in (visible, visible & ~held)
    ]
    return both[0], both[1]


def _count_words(
    texts: Sequence[str], langs: Sequence[str], found: tuple[Ints, Ints, Ints], base: Ints, starts: Ints, ends: Ints,
    unknown: NDArray[np.bool_], out: Floats, types: dict[str, dict[str, int]],
) -> None:  # fmt: skip
    """How many words take two tokens or more; `found` are the words (`words.spans`).

    The white space before a word belongs to it, as in most vocabularies: a token for that space alone is one of the
    word's tokens.
    """
    begin, end, n = found
    if not len(begin):
        return
    at = np.repeat(np.arange(len(texts)), n)
    places: list[tuple[int, int, int]] = list(zip(at.tolist(), begin.tolist(), end.tolist(), strict=True))
    spaced = np.array([a > 0 and texts[i][a - 1].isspace() for i, a, _ in places], np.int64)
    first, last = begin + base[at] - spaced, end + base[at]
    left, right = np.searchsorted(ends, first, "right"), np.searchsorted(starts, last, "left")
    n_tokens = np.maximum(right - left, 0)
    before = np.concatenate([[0], np.cumsum(unknown)])
    known = (n_tokens > 0) & (before[np.maximum(right, left)] == before[left])
    out[:, AT["continued"]] = np.bincount(at, n_tokens > 1, len(texts))
    for (i, a, b), size in zip(places, np.where(known, n_tokens, 0).tolist(), strict=True):
        types.setdefault(langs[i], {}).setdefault(texts[i][a:b], size)


def tie(rows: pl.DataFrame, counts: Floats, reference: str, width: int) -> None:
    """Fill the columns that tie a text to the same content in the reference language, in place.

    A text stands beside the mean of the reference's texts of its group. Work: of n tokens a layer of width d multiplies
    in proportion to 6 d n + n²: 12 d² weights for each token (Kaplan et al. 2020), and 2 d for each pair that attends.
    """
    n = counts[:, AT["tokens"]]
    own = pl.DataFrame({"group": rows["group"], "lang": rows["lang"], "n": n, "work": n * (6.0 * width + n)})
    means = (
        own.filter(pl.col("lang") == reference, pl.col("group").is_not_null())
        .group_by("group")
        .agg(pl.col("n", "work").mean())
    )
    beside = own.join(means.select("group", n_ref="n", work_ref="work"), on="group", how="left", maintain_order="left")
    tied = beside["n_ref"].is_not_null().to_numpy() & (beside["n_ref"].fill_null(0).to_numpy() > 0)
    for name, column in (("reference", "n_ref"), ("reference_work", "work_ref"), ("tied", "n"), ("tied_work", "work")):
        counts[:, AT[name]] = np.where(tied, beside[column].fill_null(0.0).to_numpy(), 0.0)
