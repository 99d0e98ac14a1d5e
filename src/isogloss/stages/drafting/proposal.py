"""What `init` decides from what it saw: columns, languages, splits, reachable numbers for a gate."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from isogloss.core.errors import DataError
from isogloss.stages.drafting.checks import Checks
from isogloss.stages.drafting.guess import NONE, Guess
from isogloss.stages.drafting.survey import UNKNOWN, Survey
from isogloss.stages.examples import some

# A language with fewer rows is left out of the proposal: no split of it says anything.
FEWEST = 10
# Test rows a language should have: accuracy then has an interval of about ± 0.1.
WISHED = 100
# From this factor between the largest and the smallest language, a mix is proposed.
SKEWED = 10
# Shares of a language's sample from which a step is not proposed, or is left to the user.
TOO_MUCH = 0.2


@dataclass
class Plan:
    """Decisions, each of which the recipe states with its reason."""

    columns: dict[str, str]
    langs: list[str]
    left_out: dict[str, int]
    labels: list[str]
    given_split: bool
    dev: float
    test: float
    n_lang: Counter[str]
    n_train: Counter[str]
    n_test: Counter[str]
    n_gate: int
    group: str = ""
    parallel: bool = False
    detect: bool = False
    source_lang: str = ""
    langid: bool = True
    notes: list[tuple[int, str, str]] = field(default_factory=list)
    """(severity, kind, sentence)"""

    @property
    def skew(self) -> float:
        sizes = [self.n_train[lang] for lang in self.langs if self.n_train[lang]]
        return max(sizes) / min(sizes) if sizes else 1.0


def plan(guess: Guess, seen: Survey, checks: Checks, given: set[str]) -> Plan:
    """Decide. Raises DataError when a classifier cannot be made of the data."""
    notes: list[tuple[int, str, str]] = [(2, "columns", note[0].upper() + note[1:]) for note in guess.notes]
    columns, group, parallel = _columns(guess, seen, notes)
    detect = not seen.langs
    source_lang = ""
    n_lang = Counter({lang: n for lang, n in seen.by(0).items() if lang != UNKNOWN})
    if detect:
        n_lang, source_lang = _detected(seen, checks, notes)
    labels = [label for label, _ in sorted(seen.by(2).items(), key=lambda item: (-item[1], item[0]))]
    if len(labels) < 2:
        raise DataError(f"every row has the label '{labels[0][:40]}'; a classifier needs at least two labels")
    langs = [lang for lang in sorted(n_lang) if n_lang[lang] >= FEWEST] or sorted(n_lang)
    in_langs = {label for lang, label in seen.by(0, 2) if detect or lang in langs}
    labels = [label for label in labels if label in in_langs]  # a label of rows that are left out is no choice
    left_out = {lang: n for lang, n in n_lang.items() if lang not in langs}
    splits = seen.by(1)
    given_split = bool(splits["train"] and splits["test"])
    if not given_split and any(splits[name] for name in ("train", "dev", "test")):
        _split_anew(columns, guess, splits, given, notes)
    smallest = min(n_lang[lang] for lang in langs)
    test = _share(WISHED / smallest, 0.1, 0.3)
    if given_split and not splits[""]:
        test = 0.1  # nothing is dealt
    dev = min(test, 0.2)
    n_train, n_test = Counter[str](), Counter[str]()
    for lang in langs:
        by_split = {split: n for (of, split), n in seen.by(0, 1).items() if of == lang}
        if detect or not given_split:
            open_rows, fixed = n_lang[lang], (0, 0)
        else:
            open_rows, fixed = by_split.get("", 0), (by_split.get("train", 0), by_split.get("test", 0))
        n_train[lang] = fixed[0] + round(open_rows * (1 - dev - test))
        n_test[lang] = fixed[1] + math.floor(open_rows * test)
    langid = detect or bool(checks.n[UNKNOWN]) or not any(checks.share("langid", lang) > TOO_MUCH for lang in langs)
    reach = [n_test[lang] * (1 - checks.share("langid", lang) * langid) for lang in langs if n_test[lang]]
    # steps may still take some rows: few of a given test set, more where near-duplicates are dealt together
    sure = 0.98 if given_split else 0.9 * _even(seen, group, test)
    n_gate = _nice(sure * min(reach, default=1.0))
    return Plan(
        columns, langs, left_out, labels, given_split, dev, test, n_lang, n_train, n_test, max(1, n_gate),
        group, parallel, detect or bool(checks.n[UNKNOWN]), source_lang, langid, notes,
    )  # fmt: skip


def _columns(guess: Guess, seen: Survey, notes: list[tuple[int, str, str]]) -> tuple[dict[str, str], str, bool]:
    """Names that differ from ours, and which column ties translations."""
    columns = {ours: theirs for ours, theirs in guess.columns.items() if ours != theirs}
    unique = [name for name in guess.ids if seen.ties[name].unique]
    shared = [name for name in (*guess.groups, *guess.ids) if seen.ties[name].parallel and name not in unique]
    group = shared[0] if shared else "group" if "group" in seen.ties else ""
    if group == "group" and not shared:
        ties = seen.ties["group"]
        if len(ties.rows) < 20 or ties.unique:
            columns["group"], group = NONE, ""
            n = len(ties.rows)
            notes.append((2, "group", f"Column 'group' has {n:,} values and ties no translations; it is not used"))
    elif group and group != "group":
        columns["group"] = group
    name = next((name for name in unique if name != group), "")
    if name and name != "id":
        columns["id"] = name
    elif not name and "id" in guess.ids:
        columns["id"] = NONE
        if group != "id":
            notes.append((2, "id", "Column 'id' repeats, so rows get file:line for an id"))
    return columns, group, bool(shared)


def _detected(seen: Survey, checks: Checks, notes: list[tuple[int, str, str]]) -> tuple[Counter[str], str]:
    """Languages when no row names one: sizes are those of the sample, scaled."""
    told = Counter({lang: n for lang, n in checks.detected.items() if lang != UNKNOWN})
    if not told:
        raise DataError("no row names its language and none can be told from the text; add a column 'lang'")
    factor = seen.n_rows / max(1, checks.detected.total())
    first, most = told.most_common(1)[0]
    unsure = checks.detected[UNKNOWN] / checks.detected.total()
    if most >= 0.95 * told.total():
        notes.append(
            (2, "language", f"No row names its language; the text reads as {first}, which the recipe says of all rows")
        )
        return Counter({first: seen.n_rows}), first
    langs = {lang: n for lang, n in told.items() if n >= max(2, 0.01 * told.total())}
    shown = ", ".join(f"{lang} {n / told.total():.0%}" for lang, n in told.most_common(6) if lang in langs)
    few = some(sorted(set(told) - set(langs)))
    notes.append(
        (1, "language", f"No row names its language; langid reads {shown}. Check this list: it decides everything")
    )
    if few:
        notes.append((2, "language", f"Read in less than 1 % of the rows and left out: {few}"))
    if unsure > 0.02:
        notes.append(
            (
                1,
                "language",
                f"Of {unsure:.0%} of the rows nobody can tell the language; they would be set aside",
            )
        )
    return Counter({lang: round(n * factor) for lang, n in langs.items()}), ""


def _split_anew(
    columns: dict[str, str], guess: Guess, splits: Counter[str], given: set[str], notes: list[tuple[int, str, str]]
) -> None:
    there = ", ".join(f"{splits[name]:,} {name}" for name in ("train", "dev", "test") if splits[name])
    lacks = " and ".join(name for name in ("train", "test") if not splits[name])
    columns["split"] = NONE
    given.discard("split")
    warn = " If they are somebody's evaluation set, do not train on them" if not splits["train"] else ""
    notes.append(
        (1, "split", f"The given split has no {lacks} rows ({there}), so the recipe deals all rows anew.{warn}")
    )


def _share(wanted: float, low: float, high: float) -> float:
    return round(min(high, max(low, math.ceil(wanted * 20) / 20)), 2)


def _even(seen: Survey, group: str, test: float) -> float:
    """Shares are of groups: where these are few and of unequal size, the rows of a share may be fewer by this factor."""
    ties = seen.ties.get(group)
    if ties is None:
        return 1.0
    n_dealt = max(1.0, test * len(ties.rows) / ties.limit * (1 << 64))
    return max(0.25, 1 - 2 * ties.spread / math.sqrt(n_dealt))


def _nice(n: float) -> int:
    """Rounded down to what a person would write: two digits.

    >>> _nice(203.9), _nice(8.7), _nice(1004)
    (200, 8, 1000)
    """
    whole = int(n)
    step = 10 ** max(0, len(str(whole)) - 2)
    return whole // step * step
