"""The recipe that `init` writes: every key there is, chosen ones with the reason, the others with their default.

Keys come from the models of the recipe, so a new key appears here by itself.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isogloss.core import lang as lang_table
from isogloss.stages.drafting.checks import Checks
from isogloss.stages.drafting.findings import Finding
from isogloss.stages.drafting.proposal import SKEWED, WISHED, Plan
from isogloss.stages.drafting.survey import Survey
from isogloss.stages.examples import visible
from isogloss.stages.explain import Entry, tree
from isogloss.stages.words import toml

WIDTH = 110
# Languages that get a line each in `langs`.
MOST_LINES = 40


@dataclass(frozen=True)
class Chosen:
    """A key with its value as TOML (several lines are kept), and why."""

    why: str
    value: str


def recipe(
    name: str,
    shown: str,
    path: str,
    source: Mapping[str, Any],
    seen: Survey,
    checks: Checks,
    plan: Plan,
    found: Sequence[Finding],
    keep: Sequence[str],
) -> str:
    """The text of a complete recipe that loads."""
    chosen = {**_top(name, plan, seen), **_data(source, plan, seen, checks), **_train(plan, seen)}
    n_langs = f"{len(plan.n_lang):,} language{'s' * (len(plan.n_lang) != 1)}"
    head = [
        f"A recipe for isogloss, drafted by: isogloss init {shown}",
        f"Seen: {seen.n_rows:,} rows in {n_langs}, {len(plan.labels)} labels"
        + (f"; {seen.n_aside:,} rows would be set aside" if seen.n_aside else "") + ".",
        f"Run it with: isogloss run {path}",
        "A line such as #key = value shows a key that is not set; isogloss explain KEY says more about any.",
    ]  # fmt: skip
    out = [f"# {visible(line)}" for line in head]
    worst = [finding for finding in found if finding.severity == 1][:6]
    if worst:
        out += ["#", "# Look at first:"]
        for finding in worst:
            out += _comment(f"- {finding.text}", hang="  ")
    out.append("")
    tables = []
    for entry in tree():
        if entry.name == "gate":
            tables.append(_gate(entry, plan))
        elif entry.kind == "section":
            lines = [line for inner in entry.inside for line in _key(inner, chosen, keep)]
            tables.append(["", f"[{entry.name}]", *_comment(entry.meaning), *lines])
        else:
            out += _key(entry, chosen, keep)
    return "\n".join([*out, *(line for table in tables for line in table)]).rstrip() + "\n"


def _key(entry: Entry, chosen: Mapping[str, Chosen], keep: Sequence[str]) -> Iterator[str]:
    last = entry.name.rpartition(".")[2]
    if entry.name in chosen:
        yield from _comment(chosen[entry.name].why)
        yield f"{last} = {chosen[entry.name].value}"
        return
    default = "" if entry.default or "default" in entry.meaning.lower() else f" Default: {entry.standard}."
    yield from _comment(entry.meaning.rstrip(".") + "." + default)
    if entry.name == "data.keep" and keep:
        yield f"#{last} = {toml(list(keep))}"
        return
    example = entry.example.rpartition("\n")[2].partition(" = ")[2]
    yield f"#{last} = {entry.default or example}"


def _comment(text: str, hang: str = "") -> list[str]:
    if not text:
        return []
    # TOML allows no control characters in comments, and labels and names of files are quoted in ours
    text = visible(" ".join(text.split()))
    text = text[0].upper() + text[1:]
    return textwrap.wrap(
        text, WIDTH, initial_indent="# ", subsequent_indent="# " + hang, break_long_words=False, break_on_hyphens=False
    )


# -- what was chosen --------------------------------------------------------------------------------------------


def _top(name: str, plan: Plan, seen: Survey) -> dict[str, Chosen]:
    encoder = toml({"use": "encoder", "name": "xlm-roberta-base"})
    if seen.complete:
        langs = Chosen('The languages; rows in others are set aside and counted. "all" takes what comes.', _langs(plan))
    else:
        langs = Chosen(
            f"Not all rows were read, so all languages are taken. Seen: {', '.join(plan.langs)}.", toml("all")
        )
    return {
        "name": Chosen(f"The run lies in runs/{name}/.", toml(name)),
        "langs": langs,
        "task": Chosen("What is learned: one label for a text.", toml("classify")),
        "model": Chosen(
            "Character n-grams: no pretrained weights, seconds a language, and the floor that other models must beat. "
            'scope = "lang" makes one model a language, "pooled" one for all.',
            toml({"use": "ngram", "scope": "lang"})
            + "\n# A pretrained encoder, from the hub or a folder; isogloss doctor says what this machine can train."
            + f"\n#model = {encoder}",
        ),
    }


def _langs(plan: Plan) -> str:
    out = ["["]
    if len(plan.langs) <= MOST_LINES:
        out += [f"  {toml(lang)},  # {_about(lang, plan)}" for lang in plan.langs]
    else:
        sixes = [plan.langs[i : i + 6] for i in range(0, len(plan.langs), 6)]
        out += ["  " + " ".join(f"{toml(lang)}," for lang in six) for six in sixes]
        sizes = [plan.n_lang[lang] for lang in plan.langs]
        out.append(f"  # {min(sizes):,} to {max(sizes):,} rows a language")
    out += [f"  #{toml(lang)},  # {plan.left_out[lang]:,} rows: too few to split" for lang in sorted(plan.left_out)]
    return "\n".join([*out, "]"])


def _about(lang: str, plan: Plan) -> str:
    about = f"{lang_table.facts(lang).name}: {plan.n_lang[lang]:,} rows"
    return f"{about}, {plan.n_train[lang]:,} train, {plan.n_test[lang]:,} test"


def _data(source: Mapping[str, Any], plan: Plan, seen: Survey, checks: Checks) -> dict[str, Chosen]:
    found = {
        "data.raw": Chosen(
            "Files, folders or patterns; relative to this file's folder. "
            "A source may also say lang, split, label, source, license.",
            toml([source if len(source) > 1 else source["path"]]),
        ),
        "data.steps": Chosen(
            "What the text goes through, in order; every dropped row is kept in dropped/ with the reason.",
            _steps(plan, checks, seen),
        ),
    }
    if plan.columns:
        why = "Your column for each of ours: id, text, label, lang, split, source, license, group."
        none = ' "" means none of yours.' if "" in plan.columns.values() else ""
        found["data.columns"] = Chosen(why + none, toml(plan.columns))
    left = seen.by(1)[""]
    if plan.given_split:
        rest = f" ({left:,} here)." if left else "; here every row has one, which is kept."
        why = f"How rows without a split are dealt{rest}"
    else:
        why = "How rows are dealt, by group, so that translations never straddle splits."
        why += f" Column '{plan.group}' says what belongs together." if plan.group else ""
        why += f" More than 0.1, so that every language comes nearer {WISHED}." if plan.test > 0.1 else ""
    found["data.split"] = Chosen(why, toml({"dev": plan.dev, "test": plan.test}))
    return found


def _steps(plan: Plan, checks: Checks, seen: Survey) -> str:
    changed = f"{checks.changed.total() / max(1, checks.n.total()):.1%}"
    names = "names the language of rows that name none; " if plan.detect and not plan.source_lang else ""
    dedup, langid = f"{checks.total('dedup'):.1%}", f"{checks.total('langid'):.1%}"
    pages = sum(row["text"].lstrip()[:1] == "<" and "</" in row["text"] for row in seen.sample)
    many = pages > 0.1 * len(seen.sample)
    why = (
        f"takes the main content out of pages: {pages:,} of the rows looked at are HTML"
        if many
        else "for texts of pages"
    )
    rows = [
        ('"boilerplate",', f"{why}, without menus and repeated lines; needs isogloss[text]", many),
        ('"standardise",', f"encoding, Unicode form, white space: would change {changed} of the rows looked at", True),
        ('"langid",', f"{names}drops text that is not in its language: {langid}", plan.langid),
        ('"values",', "dates, numbers, money in one form, by language; needs isogloss[text]", False),
        ('{use = "dedup", threshold = 0.8},', f"keeps one of near-duplicates, test and dev first: drops {dedup}", True),
        ('{use = "decontaminate", against = ["bench.jsonl"]},', "names the evaluation sets that count for you", False),
    ]
    return "\n".join(["[", *(f"  {'' if on else '#'}{step}  # {why}" for step, why, on in rows), "]"])


def _train(plan: Plan, seen: Survey) -> dict[str, Chosen]:
    found = {}
    if plan.skew > SKEWED:
        why = (
            f"Sizes are {plan.skew:,.0f} times apart: language l is seen in proportion to n^tau "
            "(1: as it is, 0: all alike). It matters to a model for all languages, not to one model a language."
        )
        found["train.mix"] = Chosen(why, toml({"use": "temperature", "tau": 0.3}))
    counts = [seen.by(2)[label] for label in plan.labels]
    if counts and max(counts) > 3 * min(counts):
        why = (
            f"The commonest label has {max(counts):,} rows, the rarest {min(counts):,}: "
            'weighed inside each language, they count alike. Default: "none".'
        )
        found["train.weights"] = Chosen(why, toml("by_lang"))
    return found


def _gate(entry: Entry, plan: Plan) -> list[str]:
    """A gate whose numbers can be reached, and the other things it may ask, commented out."""
    chance = max(0.01, round(1 / len(plan.labels), 2))
    several = len(plan.langs) > 1
    asked = {
        "every_lang": (
            f"Every language alone. With {len(plan.labels)} labels, guessing gives a macro-F1 of about {chance:g}. "
            f"n: the test rows behind the score, as many as {'all languages' if several else 'it'} can reach.",
            toml({"macro_f1": f">= {chance:g}", "n": f">= {plan.n_gate}"}),
        )
    }
    if several:
        asked["gap"] = ("The best language minus the worst: how unequal it may be.", toml({"macro_f1": "<= 0.3"}))
    out = [
        "",
        *_comment(
            "What must hold before a model is promoted. Intervals are compared, not points: too few test rows give "
            '"cannot tell", which does not promote. Set these numbers from what users need.'
        ),
        "[[gate]]",
        "# When it is asked: at promote, or at prepare (of the share of rows lost).",
        'at = "promote"',
    ]
    for name, (why, value) in asked.items():
        out += [*_comment(why), f"{name} = {value}"]
    for inner in entry.inside:
        last = inner.name.rpartition(".")[2]
        if last != "at" and last not in asked:
            line = next(line for line in inner.example.split("\n") if line.startswith(f"{last} ="))
            out += [*_comment(inner.meaning.rstrip(".") + "."), f"#{line}"]
    return out
