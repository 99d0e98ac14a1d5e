"""The n-gram identifier: which language fits the grams of a text best, and whether that one fits at all.

**Which.** Weighted log-likelihoods of the grams (naive Bayes over characters and words), made probabilities by a
temperature that depends on the length of the text.

**Whether.** A text in a language that is not known has a best one too. What gives it away is that its grams are rarer
in that language, and more of them unseen, than in the language's own new text, and that the second best is close. How
far off each of these `SIGNS` may be was learned by leaving languages out, one by one, and looking at what
their texts are then taken for. A short text says little: its signs count for less (`SHORT`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isogloss.core import files
from isogloss.core.errors import DamagedError, DataError
from isogloss.core.identify.caution import doubted
from isogloss.core.identify.grams import KINDS, ORDERS, WORD, normal, pieces
from isogloss.core.identify.letters import alone, fits_script
from isogloss.core.identify.reading import Reading
from isogloss.core.identify.table import Scores, Table

if TYPE_CHECKING:
    import numpy as np

VERSION = 1
# What a gram of each kind counts: single characters and pairs say little that longer grams do not say again.
WEIGHTS = (0.3, 0.5, 1.0, 1.0, 2.0)
SIGNS = (
    *(f"{what}_{kind}" for what in ("rarity", "novelty") for kind in ("short", "long", "word")),
    "margin",
    "rival_short",
    "rival_word",
)
# Margin and rivals where no other language is written so: halfway between those of known and of hidden languages, for that
# says nothing. What says something there is how many speakers that script has in other languages (`letters.alone`).
ALONE = (0.85, 0.06, 0.2)
# A text of as many characters has half the say of a long one.
SHORT = 50
# How much a text is doubted always, and where many speak a relative that is not known (`caution`): chosen on SIB-200 dev and
# on UDHR in half of the families.
DOUBT = (0.0, 1.5)
# Texts scored at a time.
LOT, LOT_CHARS = 512, 25_000


@dataclass(frozen=True, eq=False)
class Ngrams:
    """A trained identifier: L languages, what is usual in each, and how its signs are weighed.

    `usual` (2, 2 KINDS, L): means and deviations of rarity and novelty in the language's own new text. `beta`: the
    temperature. `weights` (len(SIGNS) + 1,): the signs and a constant.
    """

    tags: tuple[str, ...]
    table: Table
    usual: np.ndarray
    beta: tuple[float, float]
    weights: np.ndarray
    name: str = "ngrams"

    def read(self, texts: Sequence[str], among: Sequence[str] | None = None) -> Reading:
        """What it says of texts; `among` are the only languages that it may name."""
        return doubted(self.plain(texts, among), [len(text) for text in texts], among, *DOUBT)

    def plain(self, texts: Sequence[str], among: Sequence[str] | None = None) -> Reading:
        """What it says by the texts alone."""
        import numpy as np

        allowed = np.array([among is None or tag in among for tag in self.tags], dtype=bool)
        probs = np.zeros((len(texts), len(self.tags)))
        fits = np.zeros(len(texts))
        normals = [normal(pieces(text)) for text in texts] if allowed.any() else []
        for own in lots(normals):
            scores = self.table.scores(normals[own])
            probs[own], fits[own] = self.weigh(scores, fits_script(normals[own], self.tags) & allowed)
        return Reading(self.tags, probs, fits)

    def weigh(self, scores: Scores, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities (N, L) among the allowed languages (N, L), and the chance (N,) that it is any of them."""
        import numpy as np

        total = np.where(allowed, weighted(scores), -np.inf)
        probs = softmax(total * temperature(self.beta, scores.n_chars)[:, None])
        odds = signs_of(scores, total, self.usual) @ self.weights[:-1] + self.weights[-1]
        odds += np.where(allowed.sum(1) == 1, alone(self.tags)[total.argmax(1)], 0)
        fit = 1 / (1 + np.exp(-odds))
        nowhere = ~allowed.any(1)
        probs[nowhere], fit[nowhere] = 0, 0
        return probs, fit


def lots(normals: Sequence[str]) -> list[slice]:
    """Texts to score at a time: `LOT` of them, or `LOT_CHARS` characters; some hundred bytes each are held meanwhile."""
    found, begin, size = [], 0, 0
    for i, text in enumerate(normals):
        if i - begin == LOT or (size and size + len(text) > LOT_CHARS):
            found.append(slice(begin, i))
            begin, size = i, 0
        size += len(text)
    return [*found, slice(begin, len(normals))] if begin < len(normals) else found


def weighted(scores: Scores) -> np.ndarray:
    """The score (N, L) of each language, with every kind of gram counting what it should."""
    import numpy as np

    return np.einsum("nkl,nk->nl", scores.by_kind, scores.n * np.array(WEIGHTS))


def temperature(beta: tuple[float, float], n_chars: np.ndarray) -> np.ndarray:
    """What scores are multiplied with, by the length of the text: grams overlap, and are not as many witnesses."""
    import numpy as np

    return np.exp(beta[0] + beta[1] * np.log(np.maximum(n_chars, 3) / 100))


def softmax(scores: np.ndarray) -> np.ndarray:
    """Probabilities by row; rows without a finite score are zeros."""
    import numpy as np

    top = scores.max(1, keepdims=True)
    shares = np.exp(scores - np.where(np.isfinite(top), top, 0))
    return shares / np.maximum(shares.sum(1, keepdims=True), 1e-300)


def signs_of(scores: Scores, total: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """The signs (N, len(SIGNS)) that a text is in the language that fits it best; each higher is better."""
    import numpy as np

    n_texts, n_langs = total.shape
    row = np.arange(n_texts)
    order = np.argpartition(-total, min(1, n_langs - 1), axis=1)[:, :2]
    first = total.argmax(1)
    second = np.where(order[:, 0] == first, order[:, -1], order[:, 0])
    single = (second == first) | ~np.isfinite(total[row, second])
    second = np.where(single, first, second)
    few = np.maximum(scores.n_chars, 1)
    kinds, worth = told_by(usual)
    off = []
    for place, part in enumerate((scores.by_kind, scores.seen)):
        for kind, counts in zip(kinds, worth, strict=True):
            its = kind[first] + place * KINDS
            far = (part[row, kind[first], first] - usual[0, its, first]) / usual[1, its, first]
            off.append(np.where(counts[first], np.clip(far, -8, 3), 0))
    lead = np.where(single, 0.0, total[row, first]) - np.where(single, 0.0, total[row, second])
    margin = np.where(single, ALONE[0], np.minimum(lead / few, 1.0))
    rivals = [scores.seen[row, kinds[i][first], first] - scores.seen[row, kinds[i][first], second] for i in (0, 2)]
    rivals = [np.where(single, usually, rival) for usually, rival in zip(ALONE[1:], rivals, strict=True)]
    signs = np.column_stack([*off, margin, *rivals])
    return np.asarray(signs * (few / (few + SHORT))[:, None])


def told_by(usual: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """By what kinds of gram a language is told from one that is not known: three columns (L,), and whether they count.

    The longest of which half are seen in new text, the next shorter, and words where a third are: runs of 3 and 4
    letters, but of 1 and 2 where a character is a word, and no words where nothing separates them.
    """
    import numpy as np

    seen = usual[0, KINDS:]
    long = np.full(seen.shape[1], 1)
    for kind in range(2, ORDERS):
        long = np.where(seen[kind] >= 0.5, kind, long)
    word = np.full(seen.shape[1], WORD)
    always = np.ones(seen.shape[1], dtype=bool)
    return [long - 1, long, word], [always, always, seen[WORD] >= 1 / 3]


# -- on disk ----------------------------------------------------------------------------------------------------

ARRAYS = ("hash", "degree", "lang", "gain", "floor", "usual", "weights")
NAMES = ("langid.json", "langid.safetensors")


def write(model: Ngrams, folder: Path, facts: dict[str, Any]) -> None:
    """Write an identifier into a folder: langid.json (with `facts`) and langid.safetensors."""
    import numpy as np
    from safetensors.numpy import save

    folder.mkdir(parents=True, exist_ok=True)
    table = model.table
    degree = np.diff(table.start)
    arrays = {
        "hash": table.hash,
        "degree": degree.astype(np.uint8 if degree.max(initial=0) < 256 else np.uint16),
        "lang": table.lang,
        "gain": table.gain,
        "floor": table.floor.astype(np.float32),
        "usual": model.usual.astype(np.float32),
        "weights": model.weights.astype(np.float32),
    }
    with files.whole(folder / NAMES[1]) as temporary:
        temporary.write_bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))
    digest = files.digest(folder / NAMES[1])
    head = {"kind": "isogloss langid", "version": VERSION, "tags": list(model.tags), "beta": list(model.beta)}
    files.write_json(folder / NAMES[0], {**head, "sha": digest, **facts})


def read(folder: Path, name: str = "ngrams") -> Ngrams:
    """Read an identifier from a folder. Raises DataError when there is none, DamagedError when it is damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not all((folder / part).is_file() for part in NAMES):
        raise DataError(
            f"{folder} is no folder of an identifier: it has no {' and '.join(NAMES)}; isogloss train-langid makes one"
        )
    try:
        head = json.loads((folder / NAMES[0]).read_text("utf-8"))
        if head["kind"] != "isogloss langid" or head["version"] != VERSION:
            raise DataError(f"{folder / NAMES[0]} is version {head['version']}, this isogloss reads {VERSION}")
        if files.digest(folder / NAMES[1]) != head["sha"]:
            raise DamagedError(f"{folder / NAMES[1]} is not what was written; train the identifier again")
        arrays = load_file(folder / NAMES[1])
        return _assembled(head, arrays, name)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DamagedError(f"the identifier in {folder} cannot be read: {str(error).splitlines()[0]}") from error


def _assembled(head: dict[str, Any], arrays: dict[str, Any], name: str) -> Ngrams:
    import numpy as np

    tags, table = tuple(head["tags"]), {key: arrays[key] for key in ARRAYS}
    start = np.concatenate([[0], np.cumsum(table["degree"].astype(np.int64))])
    sound = (
        table["floor"].shape == (KINDS, len(tags))
        and table["usual"].shape == (2, 2 * KINDS, len(tags))
        and table["weights"].shape == (len(SIGNS) + 1,)
        and len(table["degree"]) == len(table["hash"])
        and len(table["lang"]) == len(table["gain"]) == start[-1]
        and (not len(table["lang"]) or int(table["lang"].max()) < len(tags))
    )
    if not sound:
        raise ValueError("its arrays do not fit together")
    made = Table(table["hash"], start, table["lang"], table["gain"], table["floor"])
    beta = (float(head["beta"][0]), float(head["beta"][1]))
    return Ngrams(tags, made, table["usual"].astype(np.float64), beta, table["weights"].astype(np.float64), name)
