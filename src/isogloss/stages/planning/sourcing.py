"""Which languages to train from: the ranking of core/sources.py, over the project's languages and beside all others."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from isogloss.core import sources
from isogloss.core.lang import UNKNOWN, facts
from isogloss.core.sources import Candidate, Fitted, Ranking
from isogloss.stages.planning.advice import Advice, Other
from isogloss.stages.planning.need import Need

# Train rows from which a language can be a source; sources of a project at most: so many, and one more for every so many
# languages; sources up to which all sets of that size are compared, among so many languages.
ROWS, MOST, EVERY, THREE, COMPARED = 50, 3, 12, 3, 60
# In more languages than these, only they are compared with each other.
MANY = 25
# Languages whose sources are shown with reasons.
SHOWN = 6
# A further source must serve so many more of the languages.
ADDS = 0.1


@dataclass(frozen=True)
class Sources:
    """`langs`: the languages that are labelled most, and whose rows serve the others; with the rankings by target."""

    langs: tuple[str, ...]
    rankings: tuple[Ranking, ...]
    advice: Advice

    def best_for(self, tag: str) -> Candidate | None:
        """The best of the chosen sources for a language; None for a source itself."""
        ranking = next((each for each in self.rankings if each.target == tag), None)
        if ranking is None or tag in self.langs:
            return None
        return next((each for each in ranking.candidates if each.source in self.langs), None)


def sourcing(asked: Need) -> Sources:
    """Rank, and take the fewest sources that serve the project's languages."""
    langs = list(asked.langs)
    if len(langs) == 1:
        return _alone(asked)
    others = sources.default_candidates() if len(langs) <= MANY else ()
    pool = sorted({*langs, *others, *(asked.train_langs or ())})
    profiles = None
    if asked.data is not None and len(asked.data.texts) > 2:
        profiles = {
            tag: sources.profile(texts, max(len(texts), asked.have(tag, "train")))
            for tag, texts in asked.data.texts.items()
            if tag != "und"
        }
    ask = partial(sources.rank, task=asked.task.sources, family="encoder", texts=profiles)
    rankings = ask(langs, pool, reasons=len(langs) <= MANY)
    gains = {
        each.target: {one.source: one for one in each.candidates} for each in rankings
    }  # the target itself is not among its candidates
    labelled = [tag for tag in langs if asked.have(tag, "train") >= ROWS]
    within = labelled or langs
    taken = list(asked.train_langs) if asked.train_langs else _cover(within, langs, gains, rankings[0].fitted)
    taken.sort(key=_means, reverse=True)
    if len(langs) > MANY:  # reasons for those that are shown
        shown = [tag for tag in langs if tag not in taken][:SHOWN]
        for each in ask(shown, [*taken, sources.ENGLISH]):
            gains[each.target] |= {one.source: one for one in each.candidates}
    return Sources(tuple(taken), tuple(rankings), _advice(asked, taken, within, labelled, rankings, gains))


def _means(tag: str) -> tuple[float, int, str]:
    """What a language has to be labelled with: its resource class, its speakers."""
    row = facts(tag)
    return float(row.resource) if row.resource != UNKNOWN else 0.5, row.speakers or 0, tag


def _alone(asked: Need) -> Sources:
    tag = asked.langs[0]
    ranking = sources.rank([tag], task=asked.task.sources, family="encoder")[0]
    more = [_other(each, [ranking]) for each in ranking.candidates[:2]]
    return Sources((tag,), (ranking,), Advice(
        "Which language to train from", f"{_named(tag)} itself",
        ("rows in the target beat rows in any other language of the same number (Lauscher et al. 2020); there is no other",),
        "How much rows of another language add on top was not measured here.", tuple(more),
    ))  # fmt: skip


def _cover(
    within: Sequence[str], targets: Sequence[str], gains: Mapping[str, Mapping[str, Candidate]], fitted: Fitted
) -> list[str]:
    """The fewest sources by which most languages have one that cannot be told from their best of these.

    Of as good ones those with most means: labels are bought by people. A source serves itself.
    """
    near = fitted.margin * fitted.points
    serves: dict[str, int] = {}
    for i, target in enumerate(targets):
        known = {tag: gains[target][tag].expected for tag in within if tag in gains[target]}
        best = max(known.values(), default=0.0)
        for tag in within:
            if tag == target or (tag in known and known[tag] >= best - near):
                serves[tag] = serves.get(tag, 0) | (1 << i)
    pool = sorted(serves, key=lambda tag: (-serves[tag].bit_count(), tuple(-x for x in _means(tag)[:2]), tag))[
        :COMPARED
    ]
    taken: list[str] = []
    reached = 0
    for n in range(1, min(max(MOST, len(targets) // EVERY), len(pool)) + 1):

        def worth(some: Sequence[str]) -> tuple[int, float, int]:
            mask = 0
            for tag in some:
                mask |= serves[tag]
            means = [_means(tag) for tag in some]
            return mask.bit_count(), sum(each[0] for each in means), sum(each[1] for each in means)

        sets = itertools.combinations(pool, n) if n <= THREE else ((*taken, tag) for tag in pool if tag not in taken)
        best_of = max(sets, key=worth)
        covered = worth(best_of)[0]
        if taken and covered - reached < max(1, round(ADDS * len(targets))):
            break
        taken, reached = list(best_of), covered
    return taken


def _advice(
    asked: Need, taken: Sequence[str], within: Sequence[str], labelled: Sequence[str], rankings: Sequence[Ranking],
    gains: Mapping[str, Mapping[str, Candidate]],
) -> Advice:  # fmt: skip
    others = [tag for tag in asked.langs if tag not in taken]
    alike = [
        tag for tag in others
        if max((gains[tag][source].expected for source in taken if source in gains[tag]), default=0.0)
        >= max(one.expected for source, one in gains[tag].items() if source in within) - rankings[0].fitted.margin * rankings[0].fitted.points
    ] if len(within) > 1 else others  # fmt: skip
    evidence = []
    if asked.train_langs:
        evidence.append("your recipe names them; what the ranking says of them is below")
    elif labelled:
        evidence.append(
            f"labelled rows are there in {len(labelled)} of {len(asked.langs)} languages, and these were compared"
        )
    else:
        some = any(asked.have(tag, "train") for tag in asked.langs)
        so_far = f"no language has {ROWS} labelled rows to learn from yet" if some else "nothing is labelled yet"
        evidence.append(f"{so_far}, so the project's own languages were compared: rows in them serve twice")
    if others and not asked.train_langs:
        served = (
            "each other language" if len(alike) == len(others) else f"{len(alike)} of the other {len(others)} languages"
        )
        evidence.append(
            f"for {served} one of these cannot be told from its best source in the project; "
            "among as good ones those with most speakers and data were taken, since people must label them"
        )
    for tag in others[:SHOWN]:
        best = max(
            (gains[tag][source] for source in taken if source in gains[tag]), key=lambda one: one.expected, default=None
        )
        if best is not None and best.source == sources.ENGLISH:
            evidence.append(f"for {_named(tag)}, English, over which the others are counted; {_why(best)}")
        elif best is not None:
            evidence.append(f"for {_named(tag)}, {best.source}: {points(best)} over {_over(tag)}; {_why(best)}")
    if len(others) > SHOWN:
        evidence.append(f"and {len(others) - SHOWN} more; plan.json has them all")
    first = rankings[0]
    evidence.append(
        "points of the task's score by a ranking that was fitted on transfer results of others "
        f"({first.fitted.on}; {first.fitted.n_targets} targets)"
    )
    unsure = (
        f"A pair's points are off by up to {first.fitted.width:.0f} in 9 of 10 cases, and the ranking knows languages, not your "
        "rows. Once some rows of each source are labelled, `isogloss sources --data RECIPE` and a short real training "
        "tell more than any ranking."
    )
    scored = sorted((tag for tag in within if tag not in taken), key=lambda tag: -_mean(tag, asked.langs, gains))
    more = [
        Other(
            _named(tag), f"{_mean(tag, asked.langs, gains):+.1f} points over English on the mean of the other languages"
        )
        for tag in scored[:2]
    ]
    more += _outside(asked, gains)
    choice = ", ".join(_named(tag) for tag in taken)
    if others:
        choice += (
            "; the others are zero-shot: your recipe says so"
            if asked.train_langs
            else ("; the others are zero-shot")
            if asked.most_labels == 0
            else "; the others get rows of their own, too"
        )
    return Advice("Which languages to train from", choice, tuple(evidence), unsure, tuple(more))


def _mean(source: str, targets: Sequence[str], gains: Mapping[str, Mapping[str, Candidate]]) -> float:
    values = [
        gains[target][source].expected for target in targets if source in gains[target] and target != sources.ENGLISH
    ]
    return sum(values) / max(1, len(values))


def _outside(asked: Need, gains: Mapping[str, Mapping[str, Candidate]]) -> list[Other]:
    """Languages that are not of the project, and would serve one of it better: worth it where public data has them."""
    found = []
    for tag in asked.langs:
        inside = max((one.expected for source, one in gains[tag].items() if source in asked.langs), default=0.0)
        best = max(gains[tag].values(), key=lambda one: one.expected)
        if best.source not in asked.langs and best.expected > inside + 2:
            found.append((best.expected - inside, best, tag))
    found.sort(key=lambda item: -item[0])
    return [
        Other(_named(best.source), f"of another project or public data: for {tag} {points(best)} over {_over(tag)}, {more:.1f} more "
              "than any of yours, which the interval does not settle")
        for more, best, tag in found[:2]
    ]  # fmt: skip


def _other(each: Candidate, rankings: Sequence[Ranking]) -> Other:
    return Other(
        _named(each.source),
        f"{points(each)} over {_over(rankings[0].target)}, where its labelled rows are there already",
    )


def _over(target: str) -> str:
    """What a target's gains are over; English has no English to be over."""
    return "the mean source" if target == sources.ENGLISH else "English"


def points(one: Candidate) -> str:
    """A gain with its interval."""
    return f"{one.expected:+.1f} points ({one.low:+.1f} to {one.high:+.1f})"


def _why(one: Candidate) -> str:
    telling = [reason.words for reason in one.reasons if reason.feature != "evidence"]
    return "; ".join(telling[:2]) or "its codes tell little"


def _named(tag: str) -> str:
    return f"{facts(tag).name} ({tag})"
