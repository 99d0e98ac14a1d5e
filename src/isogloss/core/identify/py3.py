"""py3langid behind our contract (Barbaresi; Lui and Baldwin 2012), and whether a text fits the language it names.

The model that comes with py3langid knows some 140 languages and says one of them of any text. What it knows of a
language is a distribution over byte n-grams, so how well a text should fit is known without any text: its mean score
should be near the entropy of that distribution. How far off it may be, together with n-grams that the language never
has, n-grams a byte, and the lead over the second, was learned as in `chars`, by hiding languages (`WEIGHTS`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

from isogloss.core.identify.grams import pieces
from isogloss.core.identify.letters import alone, fits_script
from isogloss.core.identify.reading import Reading

if TYPE_CHECKING:
    import numpy as np

# The weights of over, never, density and lead, and a constant; and what scores are multiplied with:
# tools/make_langid.py prints both.
WEIGHTS = (3.845, -14.129, 1.627, 2.245, -0.677)
HEAT = 2.17
# The lead where no other language is written so: halfway between that of known and of hidden languages, for that says nothing.
ALONE = 0.4
# A text of as many bytes has half the say of a long one.
SHORT = 60
# Texts read at a time.
LOT = 256
# Labels that stand for another language in most text: of Kurdish in Arabic letters, which only this label reads, most is Sorani.
INSTEAD = {"sdh": "ckb_Arab"}
# Scripts that the model was trained on beside the usual one of a language.
ALSO = {"srp_Cyrl": ("srp_Latn",), "uzn_Latn": ("uzn_Cyrl",), "zho_Hans": ("zho_Hant",)}


@cache
def packaged() -> Py3:
    """The model that comes with py3langid."""
    import numpy as np

    labels, ptc, pc, step, row, feature = _stored("classes", "ptc", "pc", "nextmove", "nextmove_row", "out_feat")
    return Py3(tuple(labels.tolist()), ptc, pc, step, row.astype(np.int32) << 8, feature.astype(np.int32))


@cache
def tags() -> tuple[str, ...]:
    """The tags that the model knows, without the model."""
    return _columns(tuple(_stored("classes")[0].tolist()))[0]


def _stored(*names: str) -> list[np.ndarray]:
    """Arrays of the model's file, an npz in LZMA: unpacked to disk, so that only what is asked for is in memory."""
    import lzma
    import shutil
    import tempfile

    import numpy as np
    from py3langid.langid import MODEL_DIR, MODEL_FILE

    with tempfile.TemporaryFile(suffix=".npz") as unpacked:
        with lzma.open(MODEL_DIR / MODEL_FILE) as packed:
            shutil.copyfileobj(packed, unpacked, length=1 << 20)
        unpacked.seek(0)
        with np.load(unpacked, allow_pickle=False) as data:
            return [data[name] for name in names]


@cache
def _columns(labels: tuple[str, ...]) -> tuple[tuple[str, ...], np.ndarray]:
    """The tags, and for each the number of its language among the labels; labels of no language have none."""
    import numpy as np

    from isogloss.core.errors import DataError
    from isogloss.core.lang import resolve

    found: dict[str, int] = {}
    for place, label in enumerate(labels):
        try:
            tag = resolve(INSTEAD.get(label, label)).tag
        except DataError:  # zxx: no language
            continue
        for each in (tag, *ALSO.get(tag, ())):
            found.setdefault(each, place)
    names = tuple(sorted(found))
    return names, np.array([found[name] for name in names])


@dataclass(frozen=True, eq=False)
class Looked:
    """What the n-grams of N texts say: `score` (N, labels), and of each text the weight and bytes of what was read.

    `row, feature, weight` (E,): an n-gram of a text and what it counts.
    """

    score: np.ndarray
    row: np.ndarray
    feature: np.ndarray
    weight: np.ndarray
    total: np.ndarray
    n_bytes: np.ndarray


@dataclass(frozen=True, eq=False)
class Py3:
    """A model of py3langid as an identifier: `ptc` (features, labels) and `pc` are log probabilities; `step, states,
    feature` an automaton over bytes, whose states end in an n-gram or in none (-1).
    """

    labels: tuple[str, ...]
    ptc: np.ndarray
    pc: np.ndarray
    step: np.ndarray
    states: np.ndarray
    feature: np.ndarray
    name: str = "py3langid"

    @cached_property
    def tags(self) -> tuple[str, ...]:
        return _columns(self.labels)[0]

    @cached_property
    def _usual(self) -> tuple[np.ndarray, np.ndarray]:
        """The entropy of each label's distribution, and the lowest log p of each: what it has never seen."""
        import numpy as np

        mass, mean = (np.zeros(len(self.labels), np.float32) for _ in range(2))
        for begin in range(0, len(self.ptc), 4096):
            table = self.ptc[begin : begin + 4096].astype(np.float32)
            p = np.exp(table)
            mass, mean = mass + p.sum(0), mean + (p * table).sum(0)
        return mean / mass, self.ptc.min(0).astype(np.float32) + 0.02

    def look(self, texts: Sequence[str]) -> Looked:
        """Score at most `LOT` texts."""
        import numpy as np
        from scipy import sparse

        own = [pieces(text) for text in texts]
        read = [_bytes(text) for text in own]
        row, feature = self._walk(read)
        key = row.astype(np.int64) << 32 | feature
        key.sort()
        begin = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])) if len(key) else key
        weight = np.log1p(np.diff(np.append(begin, len(key))).astype(np.float32))
        row, feature = key[begin] >> 32, key[begin] & 0xFFFFFFFF
        distinct, place = np.unique(feature, return_inverse=True)
        counts = sparse.csr_matrix((weight, (row, place)), shape=(len(texts), max(1, len(distinct))))
        table = self.ptc[distinct].astype(np.float32) if len(distinct) else np.zeros((1, len(self.labels)), np.float32)
        total = np.bincount(row, weights=weight, minlength=len(texts))
        sizes = np.array([len(text.encode("utf-8", "surrogatepass")) for text in own], dtype=np.int64)
        return Looked(np.asarray(counts @ table) + self.pc, row, feature, weight, total, sizes)

    def _walk(self, texts: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """The n-grams that end at each byte of texts, as (row, feature): all texts a byte at a time, the longest first."""
        import numpy as np

        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        sizes = np.array([len(texts[i]) for i in order], dtype=np.int64)
        longest = int(sizes.max(initial=0))
        letters = np.zeros((len(texts), longest), np.uint8)
        for place, i in enumerate(order):
            letters[place, : sizes[place]] = np.frombuffer(texts[i], np.uint8)
        columns = np.ascontiguousarray(letters.T)
        visited = np.zeros((longest, len(texts)), self.step.dtype)
        running = np.searchsorted(-sizes, -np.arange(longest), side="left")
        state = np.zeros(len(texts), self.step.dtype)
        for byte, n in enumerate(running.tolist()):
            state = self.step[self.states[state[:n]] + columns[byte, :n]]
            visited[byte, :n] = state
        found = self.feature[visited]
        found[np.arange(longest)[:, None] >= sizes[None]] = -1
        at, column = np.nonzero(found >= 0)
        return np.array(order, dtype=np.int64)[column], found[at, column]

    def signs(self, texts: Sequence[str], among: Sequence[str] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Scores by tag (N, L) over the root of the length, and the signs (N, 4) that the best of them is right."""
        import numpy as np

        lots = [texts[begin : begin + LOT] for begin in range(0, len(texts), LOT)]
        found = [self._signs(self.look(lot), fits_script(lot, self.tags) & self._allowed(among)) for lot in lots]
        if not found:
            return np.zeros((0, len(self.tags))), np.zeros((0, 4))
        return np.concatenate([total for total, _ in found]), np.concatenate([signs for _, signs in found])

    def _allowed(self, among: Sequence[str] | None) -> np.ndarray:
        import numpy as np

        names = None if among is None else set(among)
        return np.array([names is None or tag in names for tag in self.tags], dtype=bool)

    def _signs(self, looked: Looked, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        import numpy as np

        columns, (entropy, never) = _columns(self.labels)[1], self._usual
        allowed = allowed & (looked.total > 0)[:, None]
        own = np.where(allowed, looked.score[:, columns], -np.inf)
        row = np.arange(len(own))
        best = own.argmax(1)
        first, total, read = columns[best], np.maximum(looked.total, 1e-9), np.maximum(looked.n_bytes, 1)
        rival = np.where(columns[None] != first[:, None], own, -np.inf).max(1, initial=-np.inf)
        with np.errstate(invalid="ignore"):
            lead = np.where(np.isfinite(rival), (own[row, best] - rival) / total, ALONE)
        over = (looked.score[row, first] - self.pc[first]) / total - entropy[first]
        its = first[looked.row]
        lacking = self.ptc[looked.feature, its] <= never[its]
        unseen = np.bincount(looked.row, weights=looked.weight * lacking, minlength=len(own)) / total
        signs = np.column_stack([over, unseen, looked.total / read, np.minimum(lead, 2.0)])
        signs *= (read / (read + SHORT))[:, None]
        signs[~allowed.any(1)] = 0
        return own / np.sqrt(read)[:, None], signs

    def read(self, texts: Sequence[str], among: Sequence[str] | None = None) -> Reading:
        """What it says of texts; `among` are the only languages that it may name."""
        return self.readings(texts, [among])[0]

    def readings(self, texts: Sequence[str], amongs: Sequence[Sequence[str] | None]) -> list[Reading]:
        """What it says of texts where it may name only these, or those: they are read once."""
        import numpy as np

        from isogloss.core.identify.chars import softmax

        said = [(np.zeros((len(texts), len(self.tags))), np.zeros(len(texts))) for _ in amongs]
        for begin in range(0, len(texts), LOT):
            lot = texts[begin : begin + LOT]
            looked, fitting = self.look(lot), fits_script(lot, self.tags)
            for (probs, fits), among in zip(said, amongs, strict=True):
                totals, signs = self._signs(looked, fitting & self._allowed(among))
                nothing = ~np.isfinite(totals).any(1)
                odds = signs @ np.array(WEIGHTS[:-1]) + WEIGHTS[-1]
                odds += np.where(np.isfinite(totals).sum(1) == 1, alone(self.tags)[totals.argmax(1)], 0)
                shares, fit = softmax(totals * HEAT), 1 / (1 + np.exp(-odds))
                shares[nothing], fit[nothing] = 0, 0
                probs[begin : begin + LOT], fits[begin : begin + LOT] = shares, fit
        return [Reading(self.tags, probs, fits) for probs, fits in said]


def _bytes(text: str) -> bytes:
    """A text as py3langid reads it: NFC, in lower case where all of it is in upper case."""
    import unicodedata

    return unicodedata.normalize("NFC", text.lower() if text.isupper() else text).encode("utf-8", "surrogatepass")
