"""Train an n-gram identifier on texts with a language, and say how good it is on texts it has not seen.

The texts are cut into `FOLDS` by group, so that no content is on both sides. Tables that lack a fold score its texts;
from these scores come what is usual in each language, the temperature, and, by hiding the right language from the
answer, how texts in a language that is not known look. The identifier itself is then made from all folds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from isogloss.core.errors import DataError
from isogloss.core.identify.caution import doubted
from isogloss.core.identify.chars import (
    DOUBT,
    LOT,
    Ngrams,
    signs_of,
    softmax,
    temperature,
    weighted,
)
from isogloss.core.identify.grams import KINDS, grams, normal, pieces
from isogloss.core.identify.letters import fits_script
from isogloss.core.identify.reading import UNKNOWN, Reading
from isogloss.core.identify.table import Counts, Scores, Table, added, build, count, joined

if TYPE_CHECKING:
    import numpy as np

FOLDS = 4
# Characters of a language that are read: more hardly help, and time and memory stay bounded.
MOST_CHARS = 2_000_000
# Texts of a language that the identifier is judged on, in full and as a few words each.
JUDGED = 240
# Fewer texts than this cannot be learned from and judged on.
FEWEST = 40
# With fewer languages than this, leaving one out says too little, and confidence hangs on a few texts: weights and
# temperature are those of the base, or the packaged ones.
ENOUGH_LANGS = 10
# Characters of one text that are learned from.
LONG = 20_000
WORDS = 4


@dataclass(frozen=True)
class Texts:
    """Texts of one language in normal form, and the fold of each."""

    normals: list[str]
    folds: list[int]

    @property
    def n_chars(self) -> int:
        return sum(map(len, self.normals))


@dataclass(frozen=True)
class Trained:
    """An identifier, and how good its twins were on folds they had not seen: a row a language.

    `learned` is False for languages of the base that texts beside were read in.
    """

    model: Ngrams
    judged: list[dict[str, Any]] = field(default_factory=list)


def gather(rows: Iterable[tuple[str, str, str | None]], most_chars: int = MOST_CHARS) -> dict[str, Texts]:
    """Texts by language from (tag, text, group), each text once.

    Beyond `most_chars` of a language every second text is let go, then every fourth and so on, so that what is kept
    is spread over all of it. A text longer than `LONG` gives its beginning, its middle and its end.
    """
    import zlib

    kept: dict[str, dict[str, tuple[int, int]]] = {}
    sizes: dict[str, int] = {}
    masks: dict[str, int] = {}
    for tag, text, group in rows:
        form = normal(pieces(text, LONG))
        if len(form) < 3:
            continue
        mark = zlib.crc32((group or form).encode("utf-8", "surrogatepass"))
        mask = masks.setdefault(tag, 0)
        own = kept.setdefault(tag, {})
        if form in own or (mark >> 8) & mask:
            continue
        own[form] = (mark, (mark >> 3) % FOLDS)
        sizes[tag] = sizes.get(tag, 0) + len(form)
        while sizes[tag] > most_chars and mask < (1 << 20) - 1:
            mask = masks[tag] = mask * 2 + 1
            kept[tag] = own = {key: value for key, value in own.items() if not (value[0] >> 8) & mask}
            sizes[tag] = sum(map(len, own))
    return {tag: Texts([*own], [fold for _, fold in own.values()]) for tag, own in sorted(kept.items()) if own}


def counted(texts: Texts) -> list[Counts]:
    """The counts of each fold."""
    found = []
    for fold in range(FOLDS):
        own = [text for text, its in zip(texts.normals, texts.folds, strict=True) if its == fold]
        lots = [count(grams(own[i : i + LOT])) for i in range(0, len(own), LOT)]
        found.append(added(lots) if lots else count(grams([])))
    return found


def train(
    texts: Mapping[str, Texts],
    *,
    base: Ngrams | None = None,
    beside: Mapping[str, Texts] | None = None,
    seed: int = 0,
) -> Trained:
    """An identifier of the languages of `texts`, and of those of `base` that they do not have.

    `beside`: texts that are never learned from, but that the temperature and the weights are set on as well, because
    they are of another kind. Raises DataError when there is nothing to tell apart.
    """
    small = [tag for tag, own in texts.items() if len(own.normals) < FEWEST]
    if small:
        n = len(texts[small[0]].normals)
        raise DataError(f"{small[0]} has {n} different texts with letters; an identifier needs {FEWEST} of a language")
    old = [tag for tag in base.tags if tag not in texts] if base else []
    tags = tuple(sorted({*texts, *old}))
    if len(tags) < 2:
        raise DataError(f"there is nothing to tell {tags[0]} from: give texts of two languages or more")
    folds = {tag: counted(own) for tag, own in texts.items()}

    def table(without: int | None) -> Table:
        own = [
            added([c for fold, c in enumerate(folds[tag]) if fold != without]) if tag in folds else None for tag in tags
        ]
        new = build([c for c in own if c is not None])
        if base is None:
            return new
        ours = {i: tags.index(tag) for i, tag in enumerate(tag for tag in tags if tag in folds)}
        theirs = {base.tags.index(tag): tags.index(tag) for tag in old}
        return joined([new, base.table], [ours, theirs])

    sample = _sampled(texts, seed)
    scored = _scored(tags, sample, table)
    usual = _usual(tags, scored, base)
    every = [scored]
    whole = table(None)
    if beside:
        aside = _sampled({tag: own for tag, own in beside.items() if tag in tags}, seed)
        every.append(_scored(tags, aside, lambda _: whole))
    if len(tags) - len(old) >= ENOUGH_LANGS:
        beta, weights = _temperature(every), _weights(every, usual)
    else:
        from isogloss.core.identify import packaged

        like = base or packaged()
        beta, weights = like.beta, like.weights
    model = Ngrams(tags, whole, usual, beta, weights)
    rows = [{**row, "learned": True} for row in _judged(model, scored)]
    if beside:
        rows += [{**row, "learned": False} for row in _judged(model, every[-1]) if row["lang"] in old]
    return Trained(model, rows)


# -- texts scored by tables that have not seen them -------------------------------------------------------------


@dataclass(frozen=True)
class _Sample:
    """A text, the column of its language, its fold, and whether it is a text in full, of four words, or of some."""

    text: str
    tag: str
    fold: int
    how: str


@dataclass(frozen=True)
class _Scored:
    """Scores of samples, in one."""

    scores: Scores
    gold: np.ndarray
    how: np.ndarray
    allowed: np.ndarray

    @property
    def total(self) -> np.ndarray:
        import numpy as np

        return np.where(self.allowed, weighted(self.scores), -np.inf)

    def without_own(self) -> np.ndarray:
        """The scores with the right language hidden."""
        import numpy as np

        total = self.total
        total[np.arange(len(total)), self.gold] = -np.inf
        return total


def cut(text: str, n_words: int, rng: np.random.Generator) -> str:
    """Some words of a text in normal form; where it has no spaces, as many times two characters and a half."""
    words = text.split()
    if len(words) > n_words and sum(map(len, words)) <= 20 * len(words):
        begin = int(rng.integers(0, len(words) - n_words + 1))
        return f" {' '.join(words[begin : begin + n_words])} "
    letters = text.strip()
    size = max(2, round(n_words * 2.5))
    if len(words) > max(2, n_words) or len(letters) <= size:
        return text
    begin = int(rng.integers(0, len(letters) - size + 1))
    return f" {letters[begin : begin + size].strip()} "


def _sampled(texts: Mapping[str, Texts], seed: int) -> list[_Sample]:
    import numpy as np

    rng = np.random.default_rng(seed)
    found = []
    for tag, own in texts.items():
        chosen = rng.permutation(len(own.normals))[:JUDGED]
        for i in chosen.tolist():
            text, fold = own.normals[i], own.folds[i]
            found.append(_Sample(text, tag, fold, "text"))
            found.append(_Sample(cut(text, WORDS, rng), tag, fold, "words"))
            found.append(_Sample(cut(text, int(rng.integers(5, 13)), rng), tag, fold, "some"))
    return [sample for sample in found if sample.text.strip()]


def _scored(tags: Sequence[str], samples: Sequence[_Sample], table: Any) -> _Scored:
    import numpy as np

    parts, order = [], []
    for fold in range(FOLDS):
        own = [i for i, sample in enumerate(samples) if sample.fold == fold]
        if not own:
            continue
        scorer = table(fold)
        for begin in range(0, len(own), LOT):
            lot = own[begin : begin + LOT]
            parts.append(scorer.scores([samples[i].text for i in lot]))
            order += lot
    merged = Scores(
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("log_p", "by_kind", "seen", "n", "n_chars")
        }
    )
    column = {tag: i for i, tag in enumerate(tags)}
    gold = np.array([column[samples[i].tag] for i in order])
    allowed = fits_script([samples[i].text for i in order], tags)
    return _Scored(merged, gold, np.array([samples[i].how for i in order]), allowed)


def _usual(tags: Sequence[str], scored: _Scored, base: Ngrams | None) -> np.ndarray:
    """Means and deviations of rarity and novelty (2, 2 KINDS, L) of the new texts of each language.

    A deviation is half the language's own and half that of all: few texts say little of it.
    """
    import numpy as np

    usual = np.full((2, 2 * KINDS, len(tags)), np.nan)
    for i in range(len(tags)):
        own = np.flatnonzero((scored.gold == i) & (scored.how == "text"))
        if len(own):
            off = np.hstack([part[own][:, :, i] for part in (scored.scores.by_kind, scored.scores.seen)])
            usual[0, :, i], usual[1, :, i] = off.mean(0), off.var(0)
    pool = np.nanmedian(usual[1], axis=1, keepdims=True)
    usual[1] = np.sqrt((usual[1] + pool) / 2 + 1e-6)
    if base is not None:
        for i, tag in enumerate(tags):
            if np.isnan(usual[0, 0, i]):
                usual[:, :, i] = base.usual[:, :, base.tags.index(tag)]
    return usual


def _temperature(every: Sequence[_Scored]) -> tuple[float, float]:
    """The temperature with the least log loss, short texts and long ones, each kind of texts counting the same."""
    import numpy as np
    from scipy.optimize import minimize

    totals = [one.total for one in every]

    def loss(beta: np.ndarray) -> float:
        found = 0.0
        for one, total in zip(every, totals, strict=True):
            shares = softmax(total * temperature((beta[0], beta[1]), one.scores.n_chars)[:, None])
            right = shares[np.arange(len(one.gold)), one.gold]
            found -= np.log(np.maximum(right, 1e-6)).mean()
        return float(found)

    best = minimize(loss, np.array([-1.0, -0.5]), method="Nelder-Mead", options={"xatol": 0.01, "fatol": 1e-5})
    return float(best.x[0]), float(best.x[1])


def _weights(every: Sequence[_Scored], usual: np.ndarray) -> np.ndarray:
    """How the signs are weighed: a logistic regression of texts as they are against texts with their language hidden."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    signs, labels, mass = [], [], []
    for one in every:
        own, other = one.total, one.without_own()
        # Where no other language is written so, margin and rivals are not what they are elsewhere.
        right = (own.argmax(1) == one.gold) & (np.isfinite(own).sum(1) > 1)
        foreign = np.isfinite(other).sum(1) > 1
        known, strange = (signs_of(one.scores, total, usual) for total in (own, other))
        for part, label in ((known[right], 1), (strange[foreign], 0)):
            signs.append(part)
            labels.append(np.full(len(part), label))
            mass.append(np.full(len(part), 1 / max(1, len(part))))
    x, y, weight = np.concatenate(signs), np.concatenate(labels), np.concatenate(mass)
    scale = np.maximum(x.std(0), 1e-9)
    model = LogisticRegression(max_iter=1000).fit(x / scale, y, sample_weight=weight * len(y) / weight.sum())
    return np.append(model.coef_[0] / scale, model.intercept_[0])


def _judged(model: Ngrams, scored: _Scored) -> list[dict[str, Any]]:
    """A row a language, as its unseen texts were answered."""
    import numpy as np

    n_chars = scored.scores.n_chars

    def named(probs: np.ndarray, fits: np.ndarray, n_chars: np.ndarray, among: Sequence[str] | None) -> np.ndarray:
        """The language of each text, or "unknown", doubted as by `Ngrams.read`."""
        return np.array(doubted(Reading(model.tags, probs, fits), n_chars, among, *DOUBT).named())

    answer = named(*model.weigh(scored.scores, scored.allowed), n_chars, None)
    probs, fits = model.weigh(scored.scores, np.isfinite(scored.without_own()))
    rows = []
    for i, tag in enumerate(model.tags):
        row: dict[str, Any] = {"lang": tag}
        for how in ("text", "words"):
            mine = (scored.gold == i) & (scored.how == how)
            if not mine.any():
                continue
            taken = (answer == tag) & (scored.how == how)
            hits = int((answer[mine] == tag).sum())
            row[f"n_{how}"] = int(mine.sum())
            row[f"f1_{how}"] = 2 * hits / max(1, int(mine.sum() + taken.sum()))
            row[f"unknown_{how}"] = float((answer[mine] == UNKNOWN).mean())
            others = [other for other in model.tags if other != tag]
            left_out = named(probs[mine], fits[mine], n_chars[mine], others)
            row[f"unknown_if_left_out_{how}"] = float((left_out == UNKNOWN).mean())
        if len(row) > 1:
            rows.append(row)
    return rows
