"""How many labels, in which languages: curves of core/curves.py, or those of the project's own few-shot runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isogloss.core import curves, sizes
from isogloss.core.catalogue import Model
from isogloss.core.curves import FEWEST, HUNDRED, MOST, Curve, Gain, Start
from isogloss.core.lang import facts
from isogloss.stages.planning.advice import Advice, Other
from isogloss.stages.planning.forecast import read_json
from isogloss.stages.planning.need import Need

# Rows of dev that choose between checkpoints, of a language; rows of test below which a score says next to nothing.
DEV, LEAST_TEST = 50, 50
# Of labels that do not suffice for both: the share for test and for dev.
TO_TEST, TO_DEV = 0.4, 0.1
# Rows that two people label, so that one knows what can be reached.
AGREE = 50
# Where no curve was measured for a task: labels of a language, the middle of 100 to 500.
USUAL = 200
# The exponent of a curve below which labels of a language itself bring next to nothing.
FLAT = 0.01


@dataclass(frozen=True, slots=True)
class LangLabels:
    """Labels of one language: those there are, those to buy; what the score is expected to be, and the next hundred."""

    tag: str
    have: Mapping[str, int]
    buy: Mapping[str, int]
    unlabelled: int
    read: bool | None
    score: float | None
    low: float | None
    high: float | None
    next_hundred: Gain | None
    first_hundred: Gain | None
    half_width: float
    why: str

    def total(self, split: str) -> int:
        return self.have[split] + self.buy[split]

    def document(self) -> dict[str, Any]:
        """As plain JSON."""

        def gain(found: Gain | None) -> dict[str, float] | None:
            return None if found is None else {
                "points": round(found.expected, 2), "low": round(found.low, 2), "high": round(found.high, 2)
            }  # fmt: skip

        return {
            "lang": self.tag, "have": dict(self.have), "buy": dict(self.buy), "unlabelled": self.unlabelled,
            "read_by_model": self.read,
            "expected_score": None if self.score is None else
            {"value": round(self.score, 3), "low": round(self.low or 0.0, 3), "high": round(self.high or 0.0, 3)},
            "first_hundred": gain(self.first_hundred), "next_hundred": gain(self.next_hundred),
            "test_half_width": round(self.half_width, 4), "rests_on": self.why,
        }  # fmt: skip


@dataclass(frozen=True)
class Labels:
    """Labels of every language, the ones where the next hundred help most first in `helps`."""

    langs: tuple[LangLabels, ...]
    curve: Curve | None
    helps: tuple[str, ...]
    advice: Advice

    def of(self, tag: str) -> LangLabels:
        return next(each for each in self.langs if each.tag == tag)

    def total(self, split: str) -> int:
        return sum(each.total(split) for each in self.langs)

    @property
    def to_buy(self) -> int:
        return sum(sum(each.buy.values()) for each in self.langs)


def own_curve(asked: Need, runs: Path) -> tuple[Curve, dict[str, Start]] | None:
    """The curve of the project's own few-shot runs; of several, of the one with most languages of this project."""
    found = []
    for path in sorted(runs.glob("*/few-shot.json")) if runs.is_dir() else ():
        value = read_json(path)
        name = value.get("name", "") if isinstance(value, dict) else ""
        if not isinstance(value, dict) or not (
            asked.name == name or asked.name.startswith(f"{name}-") or name.startswith(f"{asked.name}-")
        ):
            continue
        try:
            told = curves.of_few_shot(value, asked.task.name)
        except (KeyError, TypeError, ValueError, AttributeError):
            continue  # not a file of ours
        if told is not None:
            found.append((len(set(told[1]) & set(asked.langs)), told))
    return max(found, key=lambda item: item[0])[1] if found else None


def labels(asked: Need, model: Model | None, sources: Sequence[str], runs: Path) -> Labels:
    """Share out labels. Without a limit: 100 to 500 rows a language, most where rows serve other languages too."""
    told = own_curve(asked, runs)
    curve = told[0] if told else curves.of_task(asked.task.name)
    measured = told[1] if told else {}
    read = {tag: _read(model, tag) for tag in asked.langs}
    starts = {}
    if curve is not None:
        starts = {tag: measured.get(tag) or curves.start(curve, tag, read[tag]) for tag in asked.langs}
    have = {tag: {split: asked.have(tag, split) for split in ("train", "dev", "test")} for tag in asked.langs}
    buy = {tag: {"train": 0, "dev": 0, "test": 0} for tag in asked.langs}
    limit = asked.most_labels
    want = _want(asked, curve, starts, have, sources)
    if limit is None:
        buy = want
    elif limit > 0:
        buy = _within(asked, curve, starts, have, want, limit, sources)
    made = []
    for tag in asked.langs:
        n = have[tag]["train"] + buy[tag]["train"]
        at = starts.get(tag)
        score = low = high = None
        first = following = None
        if curve is not None and at is not None:
            left = curve.left(n, at.a)
            score, low, high = 1 - at.error * left, 1 - min(0.99, at.high * left), 1 - at.low * left
            following = curves.gain(curve, at, n, n + HUNDRED)
            first = curves.gain(curve, at, have[tag]["train"], have[tag]["train"] + HUNDRED)
        n_test = have[tag]["test"] + buy[tag]["test"]
        made.append(LangLabels(
            tag, have[tag], buy[tag], asked.data.unlabelled[tag] if asked.data else 0, read[tag], score, low, high, following,
            first, sizes.half_width(n_test, score or 0.8, asked.task.score), at.why if at else "no curve was measured for this task",
        ))  # fmt: skip
    order = sorted(made, key=lambda each: (-(each.first_hundred.expected if each.first_hundred else 0.0), each.tag))
    helps = tuple(each.tag for each in order) if curve is not None else ()
    return Labels(tuple(made), curve, helps, _advice(asked, curve, bool(told), made, order, sources))


def _read(model: Model | None, tag: str) -> bool | None:
    if model is None:
        return None
    return model.reads(tag)


def _want(
    asked: Need,
    curve: Curve | None,
    starts: Mapping[str, Start],
    have: Mapping[str, Mapping[str, int]],
    sources: Sequence[str],
) -> dict[str, dict[str, int]]:
    """Labels without a limit."""
    found = {}
    anywhere = any(own["train"] >= FEWEST for own in have.values())
    for tag in asked.langs:
        wanted = USUAL if curve is None else curves.enough(curve, starts[tag])
        if not anywhere and asked.task.labels:
            # curves begin at a model that has learned from a source language: that one must be labelled first
            wanted = MOST if tag in sources else max(USUAL, wanted)
        if curve is not None and curve.usual < FLAT:  # only what the sources learn serves
            wanted = MOST if tag in sources else 0
        if not asked.learns(tag):
            wanted = 0
        test = sizes.rows_for(asked.width, _share(curve, starts.get(tag), wanted), asked.task.score)
        found[tag] = {
            "train": max(0, wanted - have[tag]["train"]), "dev": max(0, DEV - have[tag]["dev"]),
            "test": max(0, test - have[tag]["test"]),
        }  # fmt: skip
    return found


def _share(curve: Curve | None, at: Start | None, n: int) -> float:
    """The score that test rows are for; between a half, where intervals are widest, and nine tenths."""
    if curve is None or at is None:
        return 0.8
    return min(0.9, max(0.5, 1 - at.error * curve.left(n, at.a)))


def _within(
    asked: Need, curve: Curve | None, starts: Mapping[str, Start], have: Mapping[str, Mapping[str, int]],
    want: Mapping[str, Mapping[str, int]], limit: int, sources: Sequence[str],
) -> dict[str, dict[str, int]]:  # fmt: skip
    """Labels within a limit: some of test and dev for every language first, then train rows where they bring most."""
    n = len(asked.langs)
    found = {}
    for tag in asked.langs:
        test = min(want[tag]["test"], max(0, math.floor(TO_TEST * limit / n)))
        dev = min(want[tag]["dev"], max(0, math.floor(TO_DEV * limit / n)))
        found[tag] = {"train": 0, "dev": dev, "test": test}
    left = limit - sum(own["dev"] + own["test"] for own in found.values())
    learning = [tag for tag in asked.langs if asked.learns(tag)]
    flat = curve is not None and curve.usual < FLAT
    if flat:
        learning = [tag for tag in learning if tag in sources]
    if curve is not None and learning and not flat:
        train = {tag: have[tag]["train"] for tag in asked.langs}
        dealt = curves.share_out(curve, [starts[tag] for tag in learning], train, left)
    else:
        k = len(learning)
        dealt = {tag: left // k + (i < left % k) for i, tag in enumerate(learning)}
    for tag in learning:
        found[tag]["train"] = dealt[tag]
    return found


# -- in words ---------------------------------------------------------------------------------------------------


def _advice(
    asked: Need,
    curve: Curve | None,
    own: bool,
    made: Sequence[LangLabels],
    order: Sequence[LangLabels],
    sources: Sequence[str],
) -> Advice:
    unit = asked.task.unit
    buys = {split: sum(each.buy[split] for each in made) for split in ("train", "dev", "test")}
    total = sum(buys.values())
    if asked.most_labels == 0:
        choice = "none: zero-shot, because the budget says so"
    elif not total:
        choice = "none: every language has enough"
    else:
        per = sorted(each.buy["train"] for each in made)
        spread = f"{per[0]} to {per[-1]}" if per[0] != per[-1] else f"{per[0]}"
        choice = f"{total:,} {unit}: {spread} to learn from in each language, {buys['dev']:,} for dev and {buys['test']:,} for test in all"
        if asked.prices.label is not None:
            choice += f"; {total * asked.prices.label:,.0f} {asked.prices.currency} at your price"
    evidence = []
    if any(not each.total("train") for each in made) and asked.train_langs:
        evidence.append("nothing to learn from outside of train.langs: the others are zero-shot, your recipe says so")
    if curve is not None:
        evidence.append(
            f"the error left after n labels is (1 + n / {curve.half:.0f}) ** -a, with a = {curve.usual:.2f} ({curve.low:.2f} to "
            f"{curve.high:.2f} over languages): fitted on {curve.on}, {curve.n_langs} languages, up to {curve.most:,} labels"
        )
        helped = [
            (each.tag, _gain(each.first_hundred))
            for each in order
            if each.first_hundred is not None and asked.learns(each.tag)
        ]
        alike = [tag for tag, words in helped if words == helped[0][1]]
        if len(alike) > 3:
            names = ", ".join(facts(tag).name for tag in alike[:3])
            evidence.append(f"the next hundred help alike in {names} and {len(alike) - 3} more: {helped[0][1]}")
        elif helped:
            told = "; ".join(f"{facts(tag).name}: {words}" for tag, words in helped[:3])
            evidence.append(f"the next hundred help most in {told}")
        if curve.usual < FLAT and not own:
            evidence.append(
                "for this task target labels brought next to nothing beyond those of the source in what was fitted; "
                "labels are proposed for evaluation first"
            )
    else:
        evidence.append(
            f"no curve was measured for {asked.task.name}: 100 to 500 {unit} a language is what practice starts with, and "
            f"{USUAL} is its middle"
        )
    if asked.most_labels != 0:
        evidence.append(
            f"test rows are for a 95 % interval of ± {100 * asked.width:g} points in every language (--width)"
        )
    widest = max(each.half_width for each in made)
    if widest > asked.width * 1.02 and asked.most_labels != 0:
        evidence.append(
            f"the limit of labels does not reach that: ± {100 * widest:.0f} points where there are fewest test rows"
        )
    evidence.append(
        f"have {AGREE} {unit} of each language labelled by two people first: how far they agree is the ceiling of any score, "
        "and where they do not, the guidelines are wrong in that language"
    )
    if any(each.tag in sources for each in made) and asked.most_labels is None and total:
        evidence.append(f"most in {', '.join(sources)}, whose rows serve the other languages too")
    if any(each.unlabelled for each in made):
        n = sum(each.unlabelled for each in made)
        evidence.append(f"{n:,} rows of the data have no label yet: label among these first, by language")
    if asked.most_labels == 0:
        evidence.append(
            "zero-shot is right only where labelling is not possible; 100 test rows a language are the least by which "
            "anybody can tell whether it works, and they are not in this budget"
        )
    if curve is None:
        unsure = f"How much labels help {asked.task.name} in these languages is not known here at all. Measure it: `isogloss few-shot`."
    else:
        off = "; ".join(f"{value:.0%} of the first error at {n} labels" for n, value in curve.off.items())
        unsure = (
            "A language's error at first is not known until it is measured, and the curve's exponent differs from language to language"
            + (
                f"; for languages that were left out the error was off by up to {off}, in nine of ten of them"
                if off
                else ""
            )
            + (
                ". These are your own runs'."
                if own
                else f". {_begins(curve)}. Your own `isogloss few-shot` in runs/ replaces these curves."
            )
        )
    more = [Other("half as many labels to learn from", _half(curve, made))] if buys["train"] else []
    if asked.most_labels is None and any(each.total("train") > FEWEST for each in made):
        more.append(Other(f"{FEWEST} labels of each language", _fewest(curve, made)))
    if asked.most_labels == 0:
        n = sum(max(0, FEWEST - each.have["train"]) for each in made)
        more.append(
            Other(f"{FEWEST} labels of each language", f"{n:,} to learn from in all, beside the rows to test on")
        )
    else:
        more.append(Other("zero-shot", _zero(curve, made)))
    return Advice("How many labels, and where", choice, tuple(evidence), unsure, tuple(more))


def _gain(gain: Gain) -> str:
    return f"{gain.expected:+.1f} points ({gain.low:+.1f} to {gain.high:+.1f})"


def _half(curve: Curve | None, made: Sequence[LangLabels]) -> str:
    if curve is None:
        return "costs half, and nobody can say what it loses"
    lost = [100 * (1 - each.score) * (curve.left(each.total("train") - each.buy["train"] / 2) / curve.left(each.total("train")) - 1)
            for each in made if each.score is not None]  # fmt: skip
    worst = max(lost, default=0.0)
    return f"loses about {sum(lost) / max(1, len(lost)):.1f} points on the mean of the languages, {worst:.1f} where it loses most"


def _begins(curve: Curve) -> str:
    """What the curve takes for granted."""
    if curve.task == "classify":
        return (
            "It was measured with isogloss/mini, whose scores are low: a larger model begins higher, and what labels add to it "
            "may be less. It begins at a model that has learned from 701 rows of English"
        )
    return "It begins at a model that has learned from all English rows of a public set; where there are none, the first labels bring more"


def _fewest(curve: Curve | None, made: Sequence[LangLabels]) -> str:
    n = sum(max(0, FEWEST - each.have["train"]) for each in made)
    words = f"{n:,} to learn from in all"
    if curve is None:
        return words
    lost = [100 * (1 - each.score) * (curve.left(FEWEST) / curve.left(each.total("train")) - 1)
            for each in made if each.score is not None and each.total("train") > FEWEST]  # fmt: skip
    return f"{words}; loses about {sum(lost) / max(1, len(lost)):.1f} points on the mean, {max(lost, default=0.0):.1f} where it loses most"


def _zero(curve: Curve | None, made: Sequence[LangLabels]) -> str:
    words = "only where labelling is not feasible, with labels in the source language alone"
    if curve is None:
        return words
    lost = [
        100 * (1 - each.score) * (1 / curve.left(each.total("train")) - 1) for each in made if each.score is not None
    ]
    return f"{words}: about {sum(lost) / max(1, len(lost)):.1f} points less on the mean, {max(lost, default=0.0):.1f} where it loses most"
