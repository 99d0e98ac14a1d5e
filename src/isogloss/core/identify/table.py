"""The table of an n-gram identifier: how likely each gram is in each language, kept where it was seen.

`log p(gram | language)` is a floor of the language and the kind of gram, and what is added where the gram was seen: a
byte, in steps of 1/20. Floors come from how often an unseen gram of that kind must be expected in new text of the
language (Good and Turing), so a language with little text neither wins nor loses by it. Grams that a language has
too rarely to tell (`LEAST`) count as unseen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from isogloss.core.identify.grams import KINDS, Grams, grams

if TYPE_CHECKING:
    import numpy as np

STEP = 20  # steps of a byte in one unit of log p
# The fewest times that a gram of each kind must stand in a language's text.
LEAST = (2, 2, 3, 4, 2)
_SLOTS = 20  # bits of the index
_SEEN = 1 << 40  # a seen gram, beside the sum of its bytes, in one integer


@dataclass(frozen=True)
class Counts:
    """What was counted in one language's text: grams by hash and kind, how often; ordered by hash."""

    hash: np.ndarray
    kind: np.ndarray
    n: np.ndarray


def count(found: Grams) -> Counts:
    """The counts of some texts together."""
    import numpy as np

    key = found.hash.astype(np.uint64) << np.uint64(3) | found.kind.astype(np.uint64)
    unique, n = np.unique(key, return_counts=True)
    return Counts((unique >> np.uint64(3)).astype(np.uint32), (unique & np.uint64(7)).astype(np.uint8), n)


def added(counts: Sequence[Counts]) -> Counts:
    """Counts of several lots of texts in one."""
    import numpy as np

    key = np.concatenate([c.hash.astype(np.uint64) << np.uint64(3) | c.kind for c in counts])
    n = np.concatenate([c.n for c in counts])
    unique, back = np.unique(key, return_inverse=True)
    total = np.bincount(back, weights=n, minlength=len(unique)).astype(np.int64)
    return Counts((unique >> np.uint64(3)).astype(np.uint32), (unique & np.uint64(7)).astype(np.uint8), total)


@dataclass(frozen=True)
class Scores:
    """What a table says of N texts.

    `log_p` (N, L): summed over all grams. `by_kind` (N, KINDS, L): the mean of each kind, NaN-free. `seen` (N, KINDS,
    L): the share of the grams that the language has. `n` (N, KINDS): grams.
    """

    log_p: np.ndarray
    by_kind: np.ndarray
    seen: np.ndarray
    n: np.ndarray
    n_chars: np.ndarray


@dataclass(frozen=True, eq=False)
class Table:
    """F grams in L languages: `hash` (F,) sorted, `start` (F + 1,), `lang` and `gain` of each entry, `floor` (KINDS, L)."""

    hash: np.ndarray
    start: np.ndarray
    lang: np.ndarray
    gain: np.ndarray
    floor: np.ndarray

    @property
    def n_langs(self) -> int:
        return int(self.floor.shape[1])

    @cached_property
    def _index(self) -> np.ndarray:
        import numpy as np

        edges = np.arange((1 << _SLOTS) + 1, dtype=np.uint64) << np.uint64(32 - _SLOTS)
        return np.searchsorted(self.hash.astype(np.uint64), edges).astype(np.int32)

    @cached_property
    def _matrix(self) -> Any:
        import numpy as np
        from scipy import sparse

        packed = self.gain.astype(np.int64) + _SEEN
        shape = (len(self.hash), self.n_langs)
        return sparse.csr_matrix((packed, self.lang.astype(np.int32), self.start), shape=shape)

    def find(self, hashes: np.ndarray) -> np.ndarray:
        """Where each hash lies in the table, or -1."""
        import numpy as np

        slot = hashes >> np.uint32(32 - _SLOTS)
        place, stop = self._index[slot], self._index[slot + 1]
        found = np.full(len(hashes), -1, np.int64)
        left = np.flatnonzero(place < stop)
        while len(left):
            here = place[left]
            hit = self.hash[here] == hashes[left]
            found[left[hit]] = here[hit]
            left = left[~hit]
            place[left] += 1
            left = left[place[left] < stop[left]]
        return found

    def scores(self, normals: Sequence[str]) -> Scores:
        """What the table says of texts in normal form."""
        import numpy as np
        from scipy import sparse

        found = grams(normals)
        where = self.find(found.hash)
        hit = where >= 0
        n_rows = len(normals) * KINDS
        # A gram that stands in a text several times is looked up once: short grams do, and are in many languages.
        key = (found.row[hit].astype(np.int64) * KINDS + found.kind[hit]) << 32 | where[hit]
        key.sort()
        begin = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])) if len(key) else key
        times = np.diff(np.append(begin, len(key)))
        key = key[begin]
        ends = np.searchsorted(key >> 32, np.arange(n_rows + 1))
        counts = sparse.csr_matrix((times, key & 0xFFFFFFFF, ends), shape=(n_rows, len(self.hash)))
        packed = np.asarray((counts @ self._matrix).toarray()).reshape(len(normals), KINDS, self.n_langs)
        n = found.n[:, :, None]
        gain = (packed & (_SEEN - 1)) / STEP
        by_kind = gain + n * self.floor[None]
        few = np.maximum(n, 1)
        return Scores(by_kind.sum(1), by_kind / few, (packed >> 40) / few, found.n, found.n_chars)

    def column(self, lang: int) -> np.ndarray:
        """The byte that every gram has in one language, 0 where it lacks the gram: (F,)."""
        import numpy as np

        own = np.flatnonzero(self.lang == lang)
        out = np.zeros(len(self.hash), np.uint8)
        out[np.searchsorted(self.start, own, side="right") - 1] = self.gain[own]
        return out

    def dense(self, hashes: np.ndarray) -> np.ndarray:
        """What is added to the floor for each hash in each language: (G, L)."""
        import numpy as np

        where = self.find(hashes)
        out = np.zeros((len(hashes), self.n_langs))
        hit = np.flatnonzero(where >= 0)
        if len(hit):
            out[hit] = (self._matrix[where[hit]].toarray() & (_SEEN - 1)) / STEP
        return out


def build(counts: Sequence[Counts]) -> Table:
    """The table of languages, each from its counts, in order."""
    import numpy as np

    hashes, langs, gains, floors = [], [], [], []
    for i, own in enumerate(counts):
        floor = np.zeros(KINDS)
        for kind in range(KINDS):
            mine = own.kind == kind
            n = own.n[mine]
            total = max(1, int(n.sum()))
            kept = n >= LEAST[kind]
            # Grams of this kind that new text will have and the table will not: those left out, and the unseen.
            missed = min(0.999, max(1 / (total + 1), (n[~kept].sum() + (n == 1).sum()) / total))
            p = (1 - missed) * n[kept] / max(1, n[kept].sum())
            # A byte must reach from the floor to the likeliest gram.
            floor[kind] = max(np.log(missed / _SPACE[kind]), np.log(p.max(initial=1e-9)) - 255 / STEP)
            gain = np.clip(np.rint((np.log(p) - floor[kind]) * STEP), 1, 255).astype(np.uint8) if kept.any() else p
            hashes.append(own.hash[mine][kept])
            langs.append(np.full(int(kept.sum()), i))
            gains.append(gain)
        floors.append(floor)
    return _table(np.concatenate(hashes), np.concatenate(langs), np.concatenate(gains), np.stack(floors, 1))


# How many different grams of each kind an unseen one may be, the same for all languages; what matters is that it is.
_SPACE = (3e3, 6e4, 2e5, 6e5, 4e5)


def _table(hashes: np.ndarray, langs: np.ndarray, gains: np.ndarray, floor: np.ndarray) -> Table:
    import numpy as np

    order = np.lexsort((langs, hashes))
    hashes, langs, gains = hashes[order], langs[order], gains[order]
    # Two grams of one language with one hash (once in about 10⁴): the likelier stands.
    twin = np.concatenate([[False], (hashes[1:] == hashes[:-1]) & (langs[1:] == langs[:-1])])
    if twin.any():
        gains = gains.copy()
        first = np.flatnonzero(twin) - 1
        gains[first] = np.maximum(gains[first], gains[first + 1])
        hashes, langs, gains = hashes[~twin], langs[~twin], gains[~twin]
    unique, start = np.unique(hashes, return_index=True)
    ends = np.append(start, len(hashes)).astype(np.int64)
    kind = np.uint8 if floor.shape[1] <= 256 else np.uint16
    return Table(unique.astype(np.uint32), ends, langs.astype(kind), gains.astype(np.uint8), floor.astype(np.float32))


def joined(tables: Sequence[Table], columns: Sequence[Mapping[int, int]]) -> Table:
    """Several tables in one; `columns` say which column of each goes where, the others are left out."""
    import numpy as np

    n_langs = 1 + max(new for each in columns for new in each.values())
    hashes, langs, gains = [], [], []
    floor = np.zeros((KINDS, n_langs), np.float32)
    for table, mapping in zip(tables, columns, strict=True):
        to = np.full(table.n_langs, -1)
        for old, new in mapping.items():
            to[old] = new
            floor[:, new] = table.floor[:, old]
        new = to[table.lang]
        keep = new >= 0
        hashes.append(np.repeat(table.hash, np.diff(table.start))[keep])
        langs.append(new[keep])
        gains.append(table.gain[keep])
    return _table(np.concatenate(hashes), np.concatenate(langs), np.concatenate(gains), floor)
