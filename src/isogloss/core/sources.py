"""Which language to train from: a ranking of source languages for a target, from codes and, where given, from texts.

In the spirit of LangRank (Lin et al. 2019): features of a pair of languages (kinship, place, typology, script), of the
source (resource class, speakers) and, where texts are given, of the data (overlap, similarity, size) go into a ridge
regression and small boosted trees, whose weighted mean is the answer. What brings two languages closer never counts
against a source. There are three of them. Two were fitted on models that know nothing but the source (n-grams): to `signs` kin
in another script are strangers, to `lexical` they are kin; `pretrained` was fitted on pretrained ones. For n-grams `signs`
answers nearly alone, for all else the other two alike. Only coefficients are shipped, in
`assets/sources.json`, which tools/make_sources.py fits; that file says on what, and how well it did on targets and tables
it had not seen. English is one candidate among others, and the unit is points of the task's score over training from
English.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from isogloss.core import history, lang, typology
from isogloss.core.errors import DataError, InputError, nearest
from isogloss.core.history import Past

ENGLISH = "eng_Latn"
# Classes of Joshi et al. 2020 whose languages are the candidates where none are named.
RICH = ("3", "4", "5")
MAX_TEXTS = 5000
FEWEST_TEXTS = 25
N_MAX = 4

# What a person may call a task -> the task that was fitted; None: none was, so that all of them answer together.
TASKS: Mapping[str, str | None] = {
    "classify": "classify",
    "classification": "classify",
    "topic": "classify",
    "sentiment": "sentiment",
    "intent": "intent",
    "tag": "tag",
    "pos": "tag",
    "ner": "ner",
    "entities": "ner",
    "slots": "ner",
    "nli": None,
    "qa": None,
    "parse": None,
    "dep": None,
    "translate": None,
    "mt": None,
    "link": None,
    "embed": None,
    "generate": None,
    "choice": None,
}

TYPOLOGY = ("syntactic", "phonological", "inventory", "featural", "qwals")
# Feature -> the heading under which it is explained. The order is the order of columns.
CODES: Mapping[str, str] = {
    "genetic": "kinship",
    "kin_close": "kinship",
    "genus": "kinship",
    "family": "kinship",
    "macrolanguage": "kinship",
    "shared_groups": "kinship",
    "geographic": "place",
    "place_close": "place",
    "place_closest": "place",
    "syntactic": "typology",
    "featural": "typology",
    "qwals": "typology",
    "phonological": "sounds",
    "inventory": "sounds",
    "script": "script",
    "script_kin": "script",
    "script_place": "script",
    "spaces": "script",
    "resource": "source",
    "speakers": "source",
}
TEXTS: Mapping[str, str] = {
    "similarity": "texts",
    "log_overlap_word": "texts",
    "log_overlap_subword": "texts",
    "ttr_dist": "texts",
    "log_rows": "size",
}
# Of kinship, what is said of strangers.
STRANGERS: Mapping[str, float] = {
    "genetic": 1.0,
    "kin_close": 0.0,
    "genus": 0.0,
    "family": 0.0,
    "macrolanguage": 0.0,
    "shared_groups": 0.0,
}
# Scripts that are made of others, after ISO 15924.
_MADE_OF = {"Jpan": ("Hani", "Hira", "Kana"), "Kore": ("Hang", "Hani"), "Hans": ("Hani",), "Hant": ("Hani",)}
_FEW_WALS = 5.0  # WALS features on which a distance is half believed

Array = np.ndarray[Any, Any]


# -- texts ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Profile:
    """What a sample of text in one language shows: words and character n-grams inside words, with their counts.

    `n_rows` is what there is, which may be more than the texts that were read.
    """

    n_rows: int
    words: Mapping[str, int]
    ngrams: Mapping[str, int]

    @property
    def ttr(self) -> float:
        """Types over tokens; NaN without words."""
        total = sum(self.words.values())
        return len(self.words) / total if total else math.nan


def profile(texts: Iterable[str], n_rows: int | None = None) -> Profile:
    """Read a sample of texts, at most `MAX_TEXTS`, the first ones in the order of their own characters.

    >>> sample = profile(["Ndiyabulela kakhulu", "kakhulu"])
    >>> sample.n_rows, sample.words["kakhulu"], sample.ngrams[" kak"], round(sample.ttr, 2)
    (2, 2, 2, 0.67)
    """
    given = list(texts)
    if len(given) > MAX_TEXTS:  # not the first of the file, which may be sorted by label
        step = len(given) / MAX_TEXTS
        given = [given[int(i * step)] for i in range(MAX_TEXTS)]
    words: Counter[str] = Counter()
    for text in given:
        words.update(text.casefold().split())
    ngrams: Counter[str] = Counter()
    for word, count in words.items():
        padded = f" {word} "
        for size in range(1, N_MAX + 1):
            for i in range(len(padded) - size + 1):
                ngrams[padded[i : i + size]] += count
    ngrams.pop(" ", None)
    return Profile(len(given) if n_rows is None else n_rows, dict(words), dict(ngrams))


def text_features(source: Profile, target: Profile) -> dict[str, float]:
    """Say how like two samples are; NaN where one of them is empty.

    `overlap_word`: types in both over the sum of types (Lin et al. 2019); `overlap_subword`: the same of character
    n-grams; `similarity`: cosine of their counts, 1 + log of each; `ttr_dist`: (1 - TTR of target / of source)².
    """
    return {
        "overlap_word": _overlap(source.words, target.words),
        "overlap_subword": _overlap(source.ngrams, target.ngrams),
        "similarity": _cosine(source.ngrams, target.ngrams),
        "ttr_dist": (1 - target.ttr / source.ttr) ** 2 if source.words else math.nan,
    }


def _overlap(a: Mapping[str, int], b: Mapping[str, int]) -> float:
    return len(a.keys() & b.keys()) / (len(a) + len(b)) if a and b else math.nan


def _cosine(a: Mapping[str, int], b: Mapping[str, int]) -> float:
    if not a or not b:
        return math.nan
    shared = sorted(a.keys() & b.keys())  # sums of floats depend on the order
    dot = math.fsum((1 + math.log(a[g])) * (1 + math.log(b[g])) for g in shared)
    norms = [math.sqrt(math.fsum((1 + math.log(n)) ** 2 for n in counts.values())) for counts in (a, b)]
    return dot / (norms[0] * norms[1])


# -- features ---------------------------------------------------------------------------------------------------


def code_features(sources: Sequence[str], targets: Sequence[str]) -> dict[str, Array]:
    """Features of pairs of tags, each `(S, T)`, NaN where unknown; the keys are those of `CODES`."""
    near = {kind: typology.matrix(sources, targets, kind) for kind in ("genetic", "geographic", *TYPOLOGY)}
    n_wals = typology.counts(sources, targets, "qwals")
    a, b = [lang.facts(tag) for tag in sources], [lang.facts(tag) for tag in targets]
    shape = (len(a), len(b))

    def pairs(value: Any) -> Array:
        return np.array([[value(one, other) for other in b] for one in a], float).reshape(shape)

    def same(key: str) -> Array:
        return pairs(lambda one, other: _same(getattr(one, key), getattr(other, key)))

    def own(values: Sequence[float]) -> Array:
        return np.repeat(np.array(values, float)[:, None], len(b), axis=1)

    script = pairs(lambda one, other: shared_script(one.script, other.script))
    found = {
        "genetic": near["genetic"],
        "kin_close": np.exp(-6 * near["genetic"]),
        "genus": same("genus"),
        "family": same("family"),
        "macrolanguage": np.nan_to_num(same("macrolanguage")),
        "shared_groups": pairs(lambda one, other: len(typology.shared_lineage(one.tag, other.tag))),
        "geographic": near["geographic"],
        "place_close": np.exp(-20 * near["geographic"]),
        "place_closest": np.exp(-60 * near["geographic"]),
        # few features known of both say little: their distance is drawn to the mean of all
        "qwals": near["qwals"] * n_wals / (n_wals + _FEW_WALS) + 0.33 * _FEW_WALS / (n_wals + _FEW_WALS),
        **{kind: near[kind] for kind in TYPOLOGY if kind != "qwals"},
        "script": script,
        "script_kin": script * (1 - near["genetic"]),
        "script_place": script * np.exp(-20 * near["geographic"]),
        "spaces": same("spaces"),
        "resource": own([_number(row.resource) for row in a]),
        "speakers": own([math.log10(row.speakers) if row.speakers else math.nan for row in a]),
    }
    return {name: found[name] for name in CODES}


def shared_script(one: str, other: str) -> float:
    """The share of scripts that two scripts have in common: Hans and Hant are one, Jpan is a third Han.

    >>> shared_script("Latn", "Latn"), shared_script("Hans", "Hant"), round(shared_script("Jpan", "Hans"), 2)
    (1.0, 1.0, 0.33)
    """
    a, b = set(_MADE_OF.get(one, (one,))), set(_MADE_OF.get(other, (other,)))
    return len(a & b) / len(a | b)


def _same(one: Any, other: Any) -> float:
    return math.nan if lang.UNKNOWN in (one, other) or None in (one, other) else float(one == other)


def _number(text: str) -> float:
    return math.nan if text == lang.UNKNOWN else float(text)


def columns(
    sources: Sequence[str], targets: Sequence[str], texts: Mapping[str, Profile] | None = None
) -> dict[str, Array]:
    """Features of codes and, for the languages that `texts` has, of texts; each `(S, T)`."""
    found = code_features(sources, targets)
    if texts is None:
        return found
    more = {name: np.full((len(sources), len(targets)), np.nan) for name in TEXTS}
    for i, source in enumerate(sources):
        if (mine := texts.get(source)) is None:
            continue
        more["log_rows"][i] = math.log10(max(mine.n_rows, 1))
        for j, target in enumerate(targets):
            if other := texts.get(target):
                for name, value in logs(text_features(mine, other)).items():
                    more[name][i, j] = value
    return found | more


def logs(found: Mapping[str, float]) -> dict[str, float]:
    """Features of texts on the scale on which they are used."""
    return {
        "similarity": found["similarity"],
        "log_overlap_word": math.log(found["overlap_word"] + 1e-3),
        "log_overlap_subword": math.log(found["overlap_subword"] + 1e-3),
        "ttr_dist": math.log1p(found["ttr_dist"]),
    }


# -- what was fitted ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Ranker:
    """A ridge regression and boosted trees on the same columns; the answer is their weighted mean.

    `centre, scale, weights (F,)`; a value that is unknown counts as the mean. `trees`: per tree arrays of nodes
    `feature` (-1: a leaf), `threshold`, `left`, `right`, `value` and `unknown_left`. `share` is the weight of trees.
    `low, high (F,)`: what a feature was where it was fitted; beyond, it counts as that. `evidence`: by source, what was
    seen of it on many targets that its facts do not say. `by_signs`: it is about models that know nothing but signs, so
    that kinship counts as far as two languages share their script (`within_script`).
    """

    names: tuple[str, ...]
    centre: Array
    scale: Array
    weights: Array
    trees: tuple[Mapping[str, Array], ...]
    share: float
    evidence: Mapping[str, float]
    low: Array
    high: Array
    by_signs: bool = False

    def value(self, x: Array) -> Array:
        """The answer for each row of `x (N, F)`, up to a constant that is the same for all."""
        x = np.clip(within_script(x, self.names) if self.by_signs else x, self.low, self.high)
        out = (1 - self.share) * (np.nan_to_num((x - self.centre) / self.scale) @ self.weights)
        rows, missing = np.arange(len(x)), np.isnan(x)
        for tree in self.trees if self.share else ():
            at = np.zeros(len(x), np.int64)
            while True:
                asked = tree["feature"][at]
                if (asked < 0).all():
                    break
                column = np.maximum(asked, 0)
                left = np.where(
                    missing[rows, column], tree["unknown_left"][at] > 0, x[rows, column] <= tree["threshold"][at]
                )
                at = np.where(asked < 0, at, np.where(left, tree["left"][at], tree["right"][at]))
            out = out + self.share * tree["value"][at]
        return np.asarray(out)


def within_script(x: Array, names: Sequence[str]) -> Array:
    """Rows of `x (N, F)` with kinship drawn to that of strangers as far as the script is not shared: to n-grams, Hindi
    and Urdu are strangers."""
    out, share = x.copy(), x[:, list(names).index("script")]
    for i, name in enumerate(names):
        if name in STRANGERS:
            near = share * x[:, i] + (1 - share) * STRANGERS[name]
            out[:, i] = np.where(share > 0, near, STRANGERS[name])  # unknown stays unknown, but not across scripts
    return out


@dataclass(frozen=True, slots=True)
class Fitted:
    """How a task's scores follow the ranking: `points` a unit of it, and how far off it was on what it had not seen.

    `width`: the 90th percentile of |error| in points, over 1 + `Prior.unknown` times the share of typology that is
    unknown; `margin`: how far below the first, in units of the ranking, a set of sources must reach to hold the best one
    for 8 of 10 targets; `spread`: the standard deviation of sources within a target, in points; `shared`: the share of
    the variance of an error that all sources of a target have in common, since all gains are over English. `unseen` says
    what was held out of the tables in `on`: "targets", or whole "tables"; "scores": the person's own, a target at a time.
    """

    task: str
    points: float
    width: float
    margin: float
    spread: float
    shared: float
    n_targets: int
    on: str
    unseen: str


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """Everything in `assets/sources.json` that is needed to answer."""

    rankers: Mapping[str, Ranker]
    mix: Mapping[str, Mapping[str, float]]
    tasks: Mapping[str, Fitted]
    unknown: float
    made: str


POOLED = "*"


@cache
def prior() -> Prior:
    """Read what is shipped."""
    path = Path(__file__).parents[1] / "assets" / "sources.json"
    value = json.loads(path.read_text(encoding="utf-8"))
    return from_json(value)


def from_json(value: Mapping[str, Any]) -> Prior:
    """The coefficients of a document that tools/make_sources.py wrote."""
    tasks = {name: Fitted(name, **row) for name, row in value["tasks"].items()}
    rankers = {name: _ranker(row) for name, row in value["rankers"].items()}
    return Prior(rankers, dict(value["mix"]), tasks, float(value["unknown"]), value["made"])


def _ranker(value: Mapping[str, Any]) -> Ranker:
    trees = tuple({key: np.array(cells) for key, cells in tree.items()} for tree in value["trees"])
    centre, scale, weights, low, high = (
        np.array(value[key], float) for key in ("centre", "scale", "weights", "low", "high")
    )
    names, share, evidence = tuple(value["names"]), float(value["share"]), dict(value["evidence"])
    return Ranker(names, centre, scale, weights, trees, share, evidence, low, high, bool(value["by_signs"]))


# -- the answer -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that speaks for or against a source: in words, and in points over English."""

    feature: str
    words: str
    points: float


@dataclass(frozen=True, slots=True)
class Probed:
    """A short training from a source: on how many rows, and its score in points on `n_dev` rows of the target."""

    rows: int
    score: float
    n_dev: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A source with its expected gain over the reference, in points of the task's score, and a 90 % interval.

    `known`: the share of the kinds of typology that are known of the pair; `chosen`: it is in the set of sources that
    cannot be told from the best; `stage`: what the numbers rest on so far.
    """

    source: str
    expected: float
    low: float
    high: float
    chosen: bool
    known: float
    reasons: tuple[Reason, ...]
    stage: str = "prior"
    probe: Probed | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """The answer for one target: candidates best first, over which source the gain is, and what was assumed.

    `fitted` says what the points and the intervals rest on.
    """

    target: str
    fitted: Fitted
    over: str
    candidates: tuple[Candidate, ...]
    notes: tuple[str, ...]


def task_of(name: str) -> tuple[str, str | None]:
    """The task that answers for `name`, and a note where it is not the one asked. Raises InputError for no task.

    >>> task_of("pos")
    ('tag', None)
    >>> task_of("nli")[0]
    '*'
    """
    key = name.strip().casefold()
    if key not in TASKS:
        raise InputError(f"'{name}' is no task that sources are ranked for{nearest(key, TASKS)}")
    fitted = TASKS[key]
    if fitted is None:
        known = ", ".join(sorted({task for task in TASKS.values() if task}))
        return (
            POOLED,
            f"no scores of {key} were fitted ({known} were); all of them answer together, with wider intervals",
        )
    return fitted, None


def default_candidates() -> tuple[str, ...]:
    """The languages of resource classes 3 to 5, in their usual script."""
    seen: dict[str, str] = {}
    for tag, row in lang.table().items():
        if row.resource in RICH:
            seen.setdefault(tag[:3], tag)
    return tuple(sorted(seen.values()))


def rank(
    targets: Sequence[str],
    candidates: Sequence[str] | None = None,
    *,
    task: str,
    family: str | None = None,
    texts: Mapping[str, Profile] | None = None,
    past: Past | None = None,
) -> list[Ranking]:
    """Rank `candidates` for each target; all are tags. `texts` may have samples of some of the languages, `past` scores
    of sources on other targets, from which the ranking learns.

    `family` is the kind of model that is going to be trained: `ngram`, or anything else.
    The order of targets and of candidates plays no part, and neither does which other candidates there are. The
    target itself is never ranked. Raises DataError where there is no candidate, InputError for what is no task.
    """
    fitted, note = task_of(task)
    kind = "ngram" if family == "ngram" else "any"
    given = tuple(sorted(set(default_candidates() if candidates is None else candidates)))
    named = candidates is not None
    if not given:
        raise DataError("no candidate was named; name sources, or none at all for the languages of classes 3 to 5")
    said = None if past is None else said_of(past, kind)
    return [_rank(target, given, named, fitted, note, kind, texts, past, said) for target in targets]


def said_of(past: Past, kind: str) -> Array:
    """What the ranking says of the pairs of `past` `(S, T)`, from codes, in its own units."""
    rows = list(past.sources)
    mix = prior().mix[kind]
    return np.stack([_units(rows, code_features(rows, [target]), mix, False) for target in past.targets], axis=1)


def _rank(
    target: str,
    given: Sequence[str],
    named: bool,
    task: str,
    note: str | None,
    kind: str,
    texts: Mapping[str, Profile] | None,
    past: Past | None,
    said: Array | None,
) -> Ranking:
    ours = prior()
    notes = [note] if note else []
    others = [tag for tag in given if tag != target]
    if not others:
        raise DataError(
            f"the only candidate for {target} is {target} itself; whether to label rows in it is another question: "
            "name other candidates"
        )
    if named and len(others) < len(given):
        notes.append(
            f"{target} is the target: rows in it beat rows in any other language, so it is not ranked among them"
        )
    texts = {tag: seen for tag, seen in (texts or {}).items() if seen.words}
    sampled = sorted(set(texts) - {target})
    use_texts = target in texts and len(sampled) > 1 and any(tag in texts for tag in others)
    if texts and not use_texts:
        missing = f"in {target}" if target not in texts else "in two other languages, of which one is a candidate"
        notes.append(f"the data has no text {missing}, so codes alone answer")
    elif use_texts and texts[target].n_rows < FEWEST_TEXTS:
        notes.append(f"the data has {texts[target].n_rows} texts in {target}; {FEWEST_TEXTS} or more say more")
    english = target != ENGLISH
    reference = [ENGLISH] if english else [tag for tag in default_candidates() if tag != target]
    if not english:
        notes.append("the target is English, so gains are over the mean of the languages of classes 3 to 5")
    sampled = sampled if use_texts else []
    rows = sorted({*others, *reference, *sampled})
    found = columns(rows, [target], texts if use_texts else None)
    mix = ours.mix[kind]
    units = _units(rows, found, mix, False)
    if use_texts:
        # A source without texts keeps what its codes say; those with texts are moved together, so that on the mean of
        # the languages in the data both answers agree: which languages are candidates then plays no part.
        at = [rows.index(tag) for tag in sampled]
        more = _units(rows, found, mix, True)[at]
        units[at] = more + (units[at] - more).mean()
    scale, own = fitted_for(task, kind), dict[str, float]()
    if past is not None and said is not None:
        scale, own = _learned(scale, past, said, target)
        units = units + np.array([own.get(tag, 0.0) for tag in rows])
    zero = float(np.mean([units[rows.index(tag)] for tag in reference]))
    apart = units - zero
    gains = scale.points * history.levelled(apart)
    unknown = unknown_share(found, rows, [target])[:, 0]
    total = dict(zip(rows, gains.tolist(), strict=True))
    best = max(apart[rows.index(tag)] for tag in others)
    if unknown.min() > 0.5:
        notes.append(_unknown(target))
    # Reasons are over English, or over the source that is nearest to the mean.
    base = min(reference, key=lambda tag: (abs(total[tag]), tag))
    if not english:
        notes.append(f"reasons are over {lang.facts(base).name} ({base}), the source that is nearest to that mean")
    shares = _shares(rows, found, mix, rows.index(base), set(sampled))
    seen = _seen(rows, target)
    made = []
    for tag in others:
        i = rows.index(tag)
        value = 0.0 if tag == ENGLISH and english else total[tag]
        width = 0.0 if tag == ENGLISH and english else scale.width * (1 + ours.unknown * float(unknown[i]))
        adds = dict(shares[i])
        if own:
            adds["scores"] = own.get(tag, 0.0) - own.get(base, 0.0)
        ahead = float(apart[i] - apart[rows.index(base)])
        if use_texts:  # what one of the two has no text for
            adds["texts"] = adds.get("texts", 0.0) + ahead - sum(adds.values())
        # A gain levels off, and so does what each heading adds to it.
        worth = (total[tag] - total[base]) / ahead if abs(ahead) > 1e-9 else scale.points
        adds = {name: share * worth for name, share in adds.items()}
        reasons = _reasons(tag, target, base, adds, seen, texts if use_texts else {}, tag in own)
        stages = ["prior", *(["texts"] if tag in sampled else []), *(["scores"] if tag in own else [])]
        made.append(
            Candidate(
                tag,
                round(value, 2),
                round(value - width, 2),
                round(value + width, 2),
                bool(apart[i] >= best - scale.margin),
                round(1 - float(unknown[i]), 2),
                reasons,
                " and ".join(stages),
            )
        )
    made.sort(key=lambda one: (-one.expected, one.source))
    return Ranking(target, scale, ENGLISH if english else "mean", tuple(made), tuple(notes))


def _learned(scale: Fitted, past: Past, said: Array, target: str) -> tuple[Fitted, dict[str, float]]:
    """The scale and the effects of sources after the scores on other targets than this one."""
    others = past.without(target)
    kept = [past.targets.index(tag) for tag in others.targets]
    english = others.sources.index(ENGLISH) if ENGLISH in others.sources else None
    found = history.learn(others.scores, said[:, kept], english, scale.width)
    if found.points is not None and found.width is not None:
        scale = replace(
            scale, points=found.points, width=found.width, n_targets=found.n_targets, on=past.where, unseen="scores"
        )
    seen = [i for i, row in enumerate(others.scores) if np.isfinite(row).any()]
    return scale, {others.sources[i]: float(found.effects[i]) for i in seen}


def _rankers(mix: Mapping[str, float], texts: bool) -> list[tuple[float, Ranker]]:
    """The rankers that answer, with their weights."""
    suffix, every = "_texts" if texts else "", prior().rankers
    return [(weight, every[f"{name}{suffix}"]) for name, weight in mix.items()]


def _units(rows: Sequence[str], found: Mapping[str, Array], mix: Mapping[str, float], texts: bool) -> Array:
    """What the rankers say of each source `(S,)`, in units of the ranking, up to a constant."""
    total = np.zeros(len(rows))
    for weight, ranker in _rankers(mix, texts):
        total += weight * ranker.value(np.stack([found[name][:, 0] for name in ranker.names], axis=1))
        total += weight * np.array([ranker.evidence.get(tag, 0.0) for tag in rows])
    return total


def _shares(
    rows: Sequence[str], found: Mapping[str, Array], mix: Mapping[str, float], base: int, sampled: set[str]
) -> list[dict[str, float]]:
    """What each heading adds to each source over the one at `base`, in units of the ranking.

    Shapley values against one reference (Sundararajan and Najmi 2020): the mean, over all orders of the headings, of
    what the answer gains when the reference's facts under a heading are replaced by the source's. As nothing that brings
    two languages closer counts against a source, a heading under which it is nowhere farther than the reference never
    does either.
    """
    names = {name: column[:, 0] for name, column in found.items()}
    every = [i for i, tag in enumerate(rows) if tag in sampled and rows[base] in sampled]
    out: list[dict[str, float]] = [{} for _ in rows]
    for texts, at in ((True, every), (False, [i for i in range(len(rows)) if i not in set(every)])):
        if not at:
            continue
        heads = sorted({*CODES.values(), *(TEXTS.values() if texts else ())})
        n, size = len(heads), 2 ** len(heads)
        inside = (np.arange(size)[:, None] >> np.arange(n)) & 1 == 1  # (coalitions, headings)
        of = {**CODES, **(TEXTS if texts else {})}
        mixed = {
            name: np.where(inside[None, :, heads.index(head)], names[name][at][:, None], names[name][base]).ravel()
            for name, head in of.items()
        }
        mixed["script_kin"] = mixed["script"] * (1 - mixed["genetic"])
        mixed["script_place"] = mixed["script"] * mixed["place_close"]
        value = np.zeros(len(at) * size)
        for weight, ranker in _rankers(mix, texts):
            value += weight * ranker.value(np.stack([mixed[name] for name in ranker.names], axis=1))
        members = inside.sum(axis=1)
        fact = np.array([math.factorial(k) for k in range(n + 1)], float)
        joins = fact[np.maximum(members - 1, 0)] * fact[n - members] / fact[n]
        stays = fact[members] * fact[np.maximum(n - members - 1, 0)] / fact[n]
        shapley = value.reshape(len(at), size) @ np.where(inside, joins[:, None], -stays[:, None])
        for i, row in zip(at, shapley.tolist(), strict=True):
            own = sum(
                w * (r.evidence.get(rows[i], 0.0) - r.evidence.get(rows[base], 0.0)) for w, r in _rankers(mix, texts)
            )
            out[i] = {**dict(zip(heads, row, strict=True)), "evidence": own}
    return out


def fitted_for(task: str, kind: str) -> Fitted:
    """How scores of a task follow the ranking, for a kind of model; where that was not measured, for all together."""
    tasks = prior().tasks
    return tasks.get(f"{task}@{kind}", tasks[POOLED])


def unknown_share(found: Mapping[str, Array], sources: Sequence[str], targets: Sequence[str]) -> Array:
    """The share of the kinds of typology that are not known of a pair `(S, T)`."""
    lacking = [np.isnan(found[kind]) for kind in TYPOLOGY if kind != "qwals"]
    lacking.append(typology.counts(sources, targets, "qwals") < typology.FEWEST)
    return np.mean(lacking, axis=0)


def _unknown(target: str) -> str:
    if not typology.available():
        return f"typology beyond WALS is not installed ({typology.INSTALL}), so intervals are wider"
    return f"hardly any typology is known of {target}, so kinship, place and script answer, and intervals are wider"


# -- in words ---------------------------------------------------------------------------------------------------


def _seen(rows: Sequence[str], target: str) -> dict[str, dict[str, float]]:
    """The distances that are told, by source; all at once, since one at a time has intervals that nobody reads here."""
    kinds = ("geographic", "inventory", "qwals_01", "syntactic")
    columns = {kind: typology.matrix(rows, [target], kind)[:, 0] for kind in kinds}
    columns["n"] = typology.counts(rows, [target], "qwals_01")[:, 0]
    return {tag: {name: float(column[i]) for name, column in columns.items()} for i, tag in enumerate(rows)}


@cache
def _n_wals() -> int:
    """How many WALS features there are."""
    some = typology.distance(ENGLISH, ENGLISH, "qwals_01")
    return round(some.n / some.coverage)


def _reasons(
    source: str,
    target: str,
    base: str,
    gains: Mapping[str, float],
    seen: Mapping[str, Mapping[str, float]],
    texts: Mapping[str, Profile],
    tried: bool,
) -> tuple[Reason, ...]:
    """What each heading adds over `base`, strongest first, with what is known in plain words."""
    words = {group: _words(group, source, target, base, seen, texts) for group in gains}
    if "scores" in gains:
        whose = "it" if tried else f"{lang.facts(base).name}, and not it,"
        words["scores"] = f"what {whose} did for other targets in your own scores, beyond what was expected"
    made = [Reason(group, words[group], round(value, 2)) for group, value in gains.items() if words[group]]
    return tuple(sorted(made, key=lambda reason: (-abs(reason.points), reason.feature)))


def _words(
    group: str,
    source: str,
    target: str,
    base: str,
    seen: Mapping[str, Mapping[str, float]],
    texts: Mapping[str, Profile],
) -> str:
    """What is known under a heading, beside the same of the source that it is compared with."""
    a, b, mine, other = lang.facts(source), lang.facts(target), seen[source], seen[base]
    name = lang.facts(base).name

    def beside(text: str) -> str:
        return f" ({name} {text})" if base != source and text else ""

    if group == "kinship":
        return _kinship(a, b)
    if group == "place":
        here, there = (each["geographic"] * typology.HALF_WAY_KM for each in (mine, other))
        return "" if math.isnan(here) else f"{here:,.0f} km away" + beside("" if math.isnan(there) else f"{there:,.0f}")
    if group == "typology":
        return _agreement(mine, other, beside)
    if group == "sounds":
        one, two = mine["inventory"], other["inventory"]
        return "" if math.isnan(one) else f"sounds {one:.2f} apart" + beside("" if math.isnan(two) else f"{two:.2f}")
    if group == "script":
        share = shared_script(a.script, b.script)
        return f"same script ({b.script})" if share == 1 else (
            f"scripts with signs in common ({a.script}, {b.script})" if share else f"scripts {a.script} and {b.script}"
        )  # fmt: skip
    if group == "source":
        mine_is, its = _resources(a), _resources(lang.facts(base), short=True)
        return mine_is + beside(its) if mine_is else ""
    if group == "evidence":
        known_of = prior().rankers["lexical"].evidence
        return "" if source not in known_of else "what it did for other targets in the tables, beyond its facts"
    if group == "size":
        return f"{texts[source].n_rows:,} rows" if source in texts else ""
    if group == "texts" and texts:
        if source not in texts:
            return "there is no text of it"
        found = text_features(texts[source], texts[target])
        return f"texts {found['similarity']:.2f} alike, {found['overlap_word']:.1%} of words in both"
    return ""


def _kinship(a: lang.Lang, b: lang.Lang) -> str:
    if a.tag[:3] == b.tag[:3]:
        return "the same language in another script"
    groups = typology.shared_lineage(a.tag, b.tag)
    if a.genus == b.genus != lang.UNKNOWN:
        return f"same genus ({a.genus})"
    if groups:
        return f"same family ({groups[0]}), {len(groups)} group{'s' * (len(groups) > 1)} of it in common"
    if a.family == b.family != lang.UNKNOWN:
        return f"same family ({a.family})"
    return "" if lang.UNKNOWN in (a.family, b.family) else f"not related ({a.family}, {b.family})"


def _agreement(seen: Mapping[str, float], other: Mapping[str, float], beside: Callable[[str], str]) -> str:
    if not math.isnan(seen["qwals_01"]):
        agree, n = 1 - seen["qwals_01"], int(seen["n"])
        known = f"{n} WALS features known of both, coverage {n / _n_wals():.2f}"
        than = "" if math.isnan(other["qwals_01"]) else f"{1 - other['qwals_01']:.0%} of {int(other['n'])}"
        return f"{agree:.0%} agreement in {known}" + beside(than)
    if not math.isnan(seen["syntactic"]):
        than = "" if math.isnan(other["syntactic"]) else f"{other['syntactic']:.2f}"
        return f"syntax {seen['syntactic']:.2f} apart by URIEL+" + beside(than)
    return "no typology is known of both"


def _resources(row: lang.Lang, *, short: bool = False) -> str:
    before, of, people = ("class", "", "") if short else ("resource class", " of 5", " speakers")
    known = [f"{before} {row.resource}{of}"] if row.resource != lang.UNKNOWN else []
    return ", ".join([*known, f"{_people(row.speakers)}{people}"] if row.speakers else known)


def _people(n: int) -> str:
    return f"{n / 1e6:,.0f} million" if n >= 1_000_000 else f"{n:,}"
