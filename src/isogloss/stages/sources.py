"""sources: which language to train from, in tables, in a document and in sentences."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from isogloss.core import files, history, nearness, parts, sources
from isogloss.core import lang as lang_table
from isogloss.core import probes as probing
from isogloss.core.corpus import Fields, Rejected, read
from isogloss.core.errors import DataError, InputError, nearest
from isogloss.core.history import Past
from isogloss.core.readers import expand
from isogloss.core.readers import rows as read_rows
from isogloss.core.say import Say
from isogloss.core.sources import Candidate, Profile, Ranking
from isogloss.stages import many, probes

SHOWN = 10
REASONS = 3  # sources whose reasons are written out
SPEAKING = 3  # reasons that are told for a source, and against it
# Headings of reasons as a sentence calls them.
CALLED = {
    "kinship": "kinship",
    "place": "place",
    "typology": "typology",
    "sounds": "sounds",
    "script": "script",
    "source": "the resources of sources",
    "evidence": "what sources did in the tables",
    "texts": "the texts",
    "size": "the numbers of rows",
    "scores": "your own scores",
    nearness.STAGE: "the model's neighbours",
    probing.STAGE: "the short trainings",
}
PACKS = {"sib200": "SIB-200", "nusax": "NusaX", "injongo": "Injongo"}


@dataclass(frozen=True)
class Answer:
    """Rankings in the order asked; what each target and each candidate was called in the question, by tag."""

    rankings: tuple[Ranking, ...]
    targets: Mapping[str, str]
    candidates: Mapping[str, str]
    sampled: bool

    def document(self) -> dict[str, list[dict[str, Any]]]:
        """`{target: [{"source", "expected", "low", "high", ...}, ...]}`, best first, in the codes that were asked."""
        return {
            self.targets[ranking.target]: [
                {
                    "source": self.candidates.get(one.source, one.source),
                    "expected": one.expected,
                    "low": one.low,
                    "high": one.high,
                    "lang": one.source,
                    "chosen": one.chosen,
                    "over": ranking.over,
                    "known": one.known,
                    "stage": one.stage,
                    "probe": None if one.probe is None else asdict(one.probe),
                    "reasons": [
                        {"feature": each.feature, "words": each.words, "points": each.points} for each in one.reasons
                    ],
                }
                for one in ranking.candidates
            ]
            for ranking in self.rankings
        }


def answer(
    task: str,
    targets: Sequence[str],
    candidates: Sequence[str] | None = None,
    *,
    data: str | None = None,
    family: str | None = None,
    model: str | None = None,
    text: str | None = None,
    scores: str | None = None,
    budget: str | None = None,
    runs: str | Path = "runs",
    say: Say,
) -> Answer:
    """Rank sources for targets; codes in any spelling. Raises DataError for what is no language, or none at all.

    `data` is a recipe or a file with texts and languages; a recipe also says what kind of model is trained. With
    `model`, the one that is going to be tuned, neighbours in its states take part: of the texts in `text`, and in
    `data` for languages that `text` does not have. `scores` is a table of source, target and score, or a sources.json of
    compare-sources: what was measured on other targets, from which the ranking learns. With `budget` (seconds, 10m, 1h) the best candidates are trained on
    rows of `data` for a short while, in `runs`/NAME-probes. Raises InputError for one without the other.
    """
    begun = time.monotonic()
    sources.task_of(task)
    if text is not None and model is None:
        raise InputError(
            "--text is read by the model that is going to be tuned: name it with --model, or give the texts with --data"
        )
    if model is not None and text is None and data is None:
        raise InputError("--model needs sentences of the targets and the candidates: give them with --text or --data")
    if family is not None and family not in parts.names("families"):
        raise InputError(f"there is no family '{family}'{nearest(family, parts.names('families'))}")
    if model is not None and family == "ngram":
        raise InputError("an ngram model has no hidden states; leave --model out, or name another --family")
    seconds = None if budget is None else probes.seconds_of(budget)
    if seconds is not None and data is None:
        raise InputError("--budget trains on labelled rows of the candidates and compares on the target's: give --data")
    named = family
    wanted = _tags("target", targets, {}, say)
    chosen = None if candidates is None else _tags("candidate", candidates, wanted, say)
    texts: dict[str, Profile] | None = None
    kept: dict[str, list[str]] = {}
    if data is not None:
        kept, made = _kept(data, say)
        texts = {tag: sources.profile(some) for tag, some in kept.items()}
        family = family or ("encoder" if model is not None else made)
    if text is not None:
        kept = {**kept, **_kept(text, say)[0]}
    family = family or ("encoder" if model is not None else None)
    past = None if scores is None else _past(scores, say)
    rankings = sources.rank(
        list(wanted), None if chosen is None else list(chosen), task=task, family=family, texts=texts, past=past
    )
    if model is not None:
        try:
            rankings = _neighbours(rankings, kept, model, text or str(data), say)
        except DataError as error:
            if seconds is None:
                raise
            say.note(f"no neighbours in the model's states: {error}")
    if seconds is not None and data is not None:
        rankings = probes.probed(
            rankings, data=data, task=task, model=model, family=named, seconds=seconds, begun=begun, runs=runs, say=say
        )
    said: set[str] = set()
    for ranking in rankings:
        for note in ranking.notes:
            if note not in said:
                said.add(note)
                say.note(note)
    return Answer(tuple(rankings), wanted, wanted if chosen is None else chosen, bool(texts))


def _tags(what: str, codes: Sequence[str], before: Mapping[str, str], say: Say) -> dict[str, str]:
    """What was asked by its tag, each once; what was assumed is said, unless it was said of the same code `before`."""
    given = [code.strip() for code in codes if code.strip()]
    if not given:
        raise DataError(f"no {what} was named; give codes with commas between, e.g. eng,ind,swh")
    wrong = list(dict.fromkeys(why for code in given if (why := _wrong(code))))
    if wrong:
        raise DataError("; ".join(wrong))
    tags: dict[str, str] = {}
    for code in given:
        found = lang_table.resolve(code)
        if before.get(found.tag) == code and found.tag not in tags:
            pass
        elif found.note:
            say.note(found.note)
        elif not lang_table.plainly(code, found.tag):
            say.note(f"'{code}' is read as {found.tag} ({lang_table.facts(found.tag).name})")
        if found.tag in tags:
            say.note(f"'{code}' is {found.tag}, which was named already; it is taken once")
            continue
        tags[found.tag] = code
    return tags


def _wrong(code: str) -> str:
    """Why a code is no language, or nothing; all of them are said at once."""
    try:
        lang_table.resolve(code)
    except DataError as error:
        return str(error)
    return ""


def _kept(data: str, say: Say) -> tuple[dict[str, list[str]], str | None]:
    """Texts by language, and the family that a recipe names."""
    from isogloss.stages import prepare

    family = None
    if data.endswith(".toml"):
        from isogloss.core import recipe as recipes

        made = recipes.read(Path(data))
        raws, fields, family = prepare.raw_files(made), prepare.fields(made), made.model.use
        fields = Fields(columns=fields.columns, task_fields=(), splits=False)
    else:
        raws = expand(prepare.bundled(data) or Path(data), data, format=None, encoding="utf-8", rows=None, given={})
        fields = Fields(task_fields=(), splits=False)
    kept: dict[str, list[str]] = {}
    n_aside, first = 0, ""
    for raw in raws:
        for row in read(raw, fields):
            if isinstance(row, dict) and row["lang"] and row["text"]:
                kept.setdefault(str(row["lang"]), []).append(str(row["text"]))
            elif isinstance(row, Rejected):
                n_aside, first = n_aside + 1, first or f"{row.origin}: {row.reason}"
    if n_aside:
        say.note(f"{n_aside} row{'s' * (n_aside > 1)} of {data} cannot be used ({first})")
    if not kept:
        raise DataError(f"{data} has no row with a text and a language; a column 'text' and a column 'lang' are needed")
    return kept, family


def _past(where: str, say: Say) -> Past:
    """Scores of sources on targets. Raises DataError for what is no such table."""
    found: list[tuple[str, str, float]] = []
    n_aside, first = 0, ""
    for origin, row in _scored(where):
        given = [row.get(name) for name in ("source", "target", "score")] if isinstance(row, Mapping) else [None]
        try:
            source, target = (lang_table.resolve(str(code)).tag for code in given[:2])
            found.append((source, target, float(str(given[2]))))
        except (DataError, ValueError, IndexError) as error:
            n_aside, first = n_aside + 1, first or f"{origin}: {error}"
    if not found:
        raise DataError(
            f"{where} has no row with a source, a target and a score; three columns of these names are needed"
        )
    if n_aside:
        say.note(f"{many.rows(n_aside)} of {where} cannot be used ({first})")
    made = history.past(found, where)
    say.note(
        f"scores of {many.counted(len(made.sources), 'source')} on {many.counted(len(made.targets), 'target')} are learned from"
    )
    return made


def _scored(where: str) -> Iterator[tuple[str, Any]]:
    """Rows with source, target and score, of a table, or of what compare-sources wrote (zero-shot)."""
    path = Path(where)
    if path.name == "sources.json" and path.is_file():
        value = files.read_json(path, "repeat isogloss compare-sources, or give another file")
        try:
            better, rows_of = value["better"], {row["lang"]: row["zero"]["by_source"] for row in value["langs"]}
            told = [(source, tag, cell["value"]) for tag, some in rows_of.items() for source, cell in some.items()]
        except (KeyError, TypeError, AttributeError):
            better, told = "", []
        if better != "higher":
            raise DataError(f"{where} is not what compare-sources writes, or its metric is better when it is lower")
        for source, target, score in told:
            yield where, {"source": source, "target": target, "score": score}
        return
    for raw in expand(path, where, format=None, encoding="utf-8", rows=None, given={}):
        for line, row in read_rows(raw):
            yield f"{raw.shown}:{line}", row


def _neighbours(
    rankings: Sequence[Ranking], texts: Mapping[str, Sequence[str]], name: str, where: str, say: Say
) -> list[Ranking]:
    """Rankings with the evidence of the model `name`; what is read is said before it is."""
    plans: list[dict[str, list[str]] | None] = []
    errors: list[DataError] = []
    for ranking in rankings:
        try:
            plan = nearness.enough(texts, ranking.target, [one.source for one in ranking.candidates], where)
        except DataError as error:
            errors.append(error)
            plans.append(None)
            continue
        lacking = [one.source for one in ranking.candidates if one.source not in plan]
        if lacking:
            more = f" and {len(lacking) - 8} more" if len(lacking) > 8 else ""
            say.note(
                f"{where} has fewer than {nearness.FEWEST} sentences of {', '.join(lacking[:8])}{more}, for which the prior "
                f"alone speaks on {ranking.target}"
            )
        plans.append(plan)
    if len(errors) == len(plans):
        raise errors[0]
    for each in errors:
        say.note(f"{str(each).rpartition(': ')[0]}; for this target the prior alone answers")
    wanted = sorted({(tag, text) for plan in plans if plan for tag, some in plan.items() for text in some})
    n_langs = len({tag for tag, _ in wanted})
    say.line(f"sources   {len(wanted):,} sentences in {n_langs} languages will go through {name} once; loading torch")

    from isogloss.nn import neighbours
    from isogloss.stages.embed import encoder

    embedder = encoder(name).embedder

    def begin(n_tokens: int, seconds: float) -> None:
        say.line(f"sources   {n_tokens:,} tokens, about {max(1.0, seconds):,.0f} s on {embedder.device.type}")

    states, layers = neighbours.states(
        embedder,
        [text for _, text in wanted],
        begin=begin,
        tick=lambda done: say.progress("sentences", done, len(wanted)),
    )
    say.close()
    at = {pair: i for i, pair in enumerate(wanted)}
    words = f"layer {layers[0]}" if len(layers) == 1 else f"layers {layers[0]} to {layers[-1]}"
    out = []
    for ranking, read_texts in zip(rankings, plans, strict=True):
        if read_texts is None:
            out.append(ranking)
            continue
        vectors = {tag: states[:, [at[tag, text] for text in some]] for tag, some in read_texts.items()}
        target = vectors.pop(ranking.target)
        out.append(nearness.combine(ranking, nearness.nearness(target, vectors, words)))
    return out


def codes(text: str | None, what: str) -> list[str] | None:
    """Codes with commas between; None stays. Raises InputError for a list without one code."""
    if text is None:
        return None
    found = [code.strip() for code in text.split(",") if code.strip()]
    if not found:
        raise InputError(f"--{what} is empty; give codes with commas between, e.g. --{what} eng,ind,swh")
    return found


# -- on screen --------------------------------------------------------------------------------------------------


def rows(ranking: Ranking, n: int = SHOWN) -> list[list[str]]:
    """The table of one target, best first; English is always in it."""
    out = [["", "source", "", "gain", "90 % interval", "typology", "why"]]
    for place, one in enumerate(ranking.candidates, start=1):
        if place > n and one.source != sources.ENGLISH:
            continue
        row = lang_table.facts(one.source)
        why = "; ".join(reason.words for reason in _telling(one)[:2])
        out.append(
            [
                f"{place}{' *' if one.chosen else ''}",
                one.source,
                row.name,
                f"{one.expected:+.1f}",
                f"{one.low:+.1f} to {one.high:+.1f}",
                f"{one.known:.0%}",
                why,
            ]
        )
    return out


def _telling(one: Candidate) -> list[Any]:
    """What is told in the table: the strongest that speak the way the gain goes, where there are any."""
    some = [reason for reason in one.reasons if reason.feature != "evidence"]
    return [reason for reason in some if reason.points * one.expected > 0] or some


def head(ranking: Ranking) -> str:
    name = lang_table.facts(ranking.target).name
    over = "training from English" if ranking.over == sources.ENGLISH else "the mean source"
    return f"{ranking.target} {name}: expected gain over {over}, in points of the task's score (0 to 100)"


def prose(ranking: Ranking, sampled: bool, width: int) -> Iterator[str]:
    """The set, what speaks for and against the first ones, how sure this is, and what would change it."""
    cases = [one for one in ranking.candidates if one.source != sources.ENGLISH or ranking.over != sources.ENGLISH]
    for text in (
        _verdict(ranking),
        *(_case(one, ranking) for one in cases[:REASONS]),
        "How sure: " + _sureness(ranking),
        "What would change this: " + _change(ranking, sampled),
    ):
        yield from textwrap.wrap(text, width, subsequent_indent="  ")


def _called(tag: str) -> str:
    return f"{lang_table.facts(tag).name} ({tag})"


def _verdict(ranking: Ranking) -> str:
    """Which sources to take, in a sentence or two."""
    every, some = ranking.candidates, [one.source for one in ranking.candidates if one.chosen]
    n, best = len(every), every[0].source
    if n == 1:
        return f"{_called(best)} is the only candidate, so there is nothing to choose."
    if len(some) == 1 and best == sources.ENGLISH:
        return f"English: none of the other {n - 1} is expected to come near it."
    if len(some) == 1:
        unsure = ranking.over == sources.ENGLISH and every[0].low < 0
        more = ", though the interval of its gain over English reaches below 0" if unsure else ""
        return f"Train from {_called(best)}: none of the other {n - 1} is expected to come near it{more}."
    listed = ", ".join(lang_table.facts(tag).name for tag in some[:8]) + (
        f" and {len(some) - 8} more" if len(some) > 8 else ""
    )
    if len(some) == n:
        text = f"Nothing tells these {n} apart for sure (*): {listed}."
    else:
        text = f"Any of these {len(some)} of {n} may be the best (*): {listed}."
    if ranking.over == sources.ENGLISH:
        asked = any(one.source == sources.ENGLISH for one in every)
        text += " English is " + ("one of them." if sources.ENGLISH in some else "not among them.") if asked else ""
    several = "both" if len(some) == 2 else "two or three"
    return f"{text} Their order says little: train from {several}, or let a short training decide."


def _case(one: Candidate, ranking: Ranking) -> str:
    """What speaks for a source and what against it, the strongest first."""
    over = "English" if ranking.over == sources.ENGLISH else "the mean source"
    told = [reason for reason in one.reasons if abs(reason.points) >= 0.05]
    sides = []
    for words, sign in (("For it", 1), ("Against it", -1)):
        some = [reason for reason in told if sign * reason.points > 0][:SPEAKING]
        if some:
            sides.append(f"{words}: " + "; ".join(f"{reason.words}, {reason.points:+.1f}" for reason in some) + ".")
    return f"{_called(one.source)} over {over}. " + (" ".join(sides) or "Nothing that is known sets it apart.")


def _sureness(ranking: Ranking) -> str:
    """What intervals and sets rest on."""
    fit = ranking.fitted
    packs = dict.fromkeys(PACKS.get(name.split("-")[0], name) for name in fit.on.split(", "))
    where = f"{fit.n_targets} targets of {', '.join(packs)}"
    held = "that were held out" if fit.unseen == "targets" else "in tables that were held out whole"
    text = f"of {where} {held}, such intervals had 9 of 10 gains in them, and such sets the best source 8 times of 10"
    parts = [f"{text}; none of these tables is about your model or your data"]
    if fit.unseen == "scores":
        parts = [
            f"the width is that of errors on your own {many.counted(fit.n_targets, 'target')} in {fit.on}, each held out in "
            f"turn, and of the tables that this was fitted on, which count as {history.FEWEST} more"
        ]
    if ranking.candidates[0].known < 0.5:
        parts.append(
            f"little typology is known of {ranking.target} and these sources: kinship, place and script answer"
        )
    if any(nearness.STAGE in one.stage for one in ranking.candidates):
        parts.append("what neighbours in the model add was not measured there: it moves the order and not the width")
    if probed := next((one.probe for one in ranking.candidates if one.probe), None):
        parts.append(
            f"after short trainings intervals are as narrow as {probed.n_dev:,} dev rows make them, with room for rows and "
            "seeds that were not tried"
        )
    return "; ".join(parts) + "."


def _rests(ranking: Ranking) -> str:
    """Which source would be first without one of the headings: without all that it adds and takes."""
    first, others = ranking.candidates[0].source, dict[str, list[tuple[float, str]]]()
    for heading in CALLED:
        left = {
            one.source: one.expected - sum(each.points for each in one.reasons if each.feature == heading)
            for one in ranking.candidates
        }
        top = max(left, key=lambda tag: (left[tag], tag == first))
        if left[top] > left[first]:
            others.setdefault(top, []).append((left[first] - left[top], CALLED[heading]))
    name = lang_table.facts(first).name
    if not others:
        return f"no one heading, since {name} would be first without any single one of them"
    told = sorted((min(found)[0], tag, [words for _, words in sorted(found)]) for tag, found in others.items())
    return "; ".join(
        f"without {' or without '.join(words[:3])}, {lang_table.facts(tag).name} would be first"
        for _, tag, words in told[:3]
    )


def _change(ranking: Ranking, sampled: bool) -> str:
    """What the order rests on, and what would tell more, the strongest first."""
    parts, target = [_rests(ranking)] if len(ranking.candidates) > 1 else [], ranking.target
    probed = next((one.probe for one in ranking.candidates if one.probe), None)
    if probed:
        parts.append(f"more labelled dev rows of {target} than {probed.n_dev:,}, and a longer --budget")
    else:
        parts.append(f"100 labelled dev rows of {target} and --budget 10m, which trains instead of guessing")
    if ranking.fitted.unseen != "scores":
        parts.append(f"your own scores on {history.FEWEST} or more other targets (--scores)")
    if not sampled and not any(nearness.STAGE in one.stage for one in ranking.candidates):
        parts.append(
            f"{sources.FEWEST_TEXTS} unlabelled sentences of {target} and texts of the sources (--data, --model)"
        )
    return "; ".join(parts) + "."
