"""Findings of `init`: what is weak in the data, by language, worst first, each one sentence with what would help."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from isogloss.core.resampling import wilson
from isogloss.stages.drafting.checks import Checks
from isogloss.stages.drafting.proposal import SKEWED, TOO_MUCH, WISHED, Plan
from isogloss.stages.drafting.survey import UNKNOWN, Survey
from isogloss.stages.examples import some

# Total variation between a language's labels and all languages', from which it is named.
DEPARTS = 0.2
# Rows a label should have.
FEW_OF_LABEL = 10
# Rows of a language below which its label shares are chance.
FEW_OF_LANG = 30
SEVERE, WEAK, NOTE = 1, 2, 3


@dataclass(frozen=True)
class Finding:
    """`severity` 1 stops or misleads, 2 weakens, 3 is good to know; `langs` are those it is about, worst first."""

    severity: int
    kind: str
    text: str
    langs: tuple[str, ...] = ()


def findings(seen: Survey, checks: Checks, plan: Plan) -> list[Finding]:
    """Everything worth saying, worst first."""
    found = [Finding(severity, kind, _end(text)) for severity, kind, text in plan.notes]
    for say in (_aside, _tests, _labels, _departures, _sizes, _copies, _groups, _texts, _langs):
        found += say(seen, checks, plan)
    return sorted(found, key=lambda finding: finding.severity)


def _end(text: str) -> str:
    return text if text.endswith(".") else text + "."


def _rows(n: int, word: str = "row") -> str:
    return f"{n:,} {word}{'s' * (n != 1)}"


def _aside(seen: Survey, checks: Checks, plan: Plan) -> Iterator[Finding]:
    total = seen.n_rows + seen.n_aside
    for reason, entry in sorted(seen.aside.items(), key=lambda item: -item[1]["n"])[:6]:
        share = entry["n"] / total
        more = ""
        if reason.startswith("unknown language"):
            more = ": " + some([f"'{code}'" for code, _ in seen.unknown.most_common()])
        severity = SEVERE if share > 0.1 else WEAK if share > 0.001 else NOTE
        text = f"{_rows(entry['n'])} ({share:.1%}) would be set aside: {reason}{more} (first at {entry['first']})."
        yield Finding(
            severity, "set aside", text, tuple(lang for lang, _ in entry["langs"].most_common() if lang != UNKNOWN)
        )
    if plan.left_out:
        langs = sorted(plan.left_out, key=lambda lang: plan.left_out[lang])
        shown = some([f"{lang} ({plan.left_out[lang]})" for lang in langs])
        yield Finding(WEAK, "few rows", f"Too few rows for any split, so left out of langs: {shown}.", tuple(langs))


def _tests(seen: Survey, checks: Checks, plan: Plan) -> Iterator[Finding]:
    none = [lang for lang in plan.langs if not plan.n_test[lang]]
    if none:
        text = f"No test rows, so no verdict and no promotion, for {some(none)}: label some, or take them out of langs."
        yield Finding(SEVERE, "no test rows", text, tuple(none))
    untrained = [lang for lang in plan.langs if not plan.n_train[lang]]
    if untrained and plan.given_split:
        text = f"No train rows for {some(untrained)}: they are only scored (zero-shot)."
        yield Finding(WEAK, "no train rows", text, tuple(untrained))
    few = sorted((lang for lang in plan.langs if 0 < plan.n_test[lang] < WISHED), key=lambda lang: plan.n_test[lang])
    if few:
        n = plan.n_test[few[0]]
        low, high = wilson(0.8 * n, n)
        text = (
            f"Few test rows: {some([f'{lang} {plan.n_test[lang]}' for lang in few])}. With {n}, an accuracy of 0.80 "
            f"could be anything from {float(low):.2f} to {float(high):.2f}."
        )
        yield Finding(SEVERE if n < 30 else WEAK, "few test rows", text, tuple(few))
    if plan.given_split and not seen.by(1)["dev"] and not seen.by(1)[""]:
        yield Finding(
            WEAK, "no dev rows", "There are no dev rows: nothing tells over- from underfitting, or when to stop."
        )


def _labels(seen: Survey, checks: Checks, plan: Plan) -> Iterator[Finding]:
    if plan.source_lang or plan.detect:
        by_lang = {}
    else:
        table = seen.by(0, 2)
        by_lang = {lang: {label: table[lang, label] for label in plan.labels} for lang in plan.langs}
    n_label = seen.by(2)
    if len(plan.labels) > 50:
        text = f"{len(plan.labels)} different labels: is '{plan.labels[0][:30]}' a label, or a number or a free answer?"
        yield Finding(SEVERE, "many labels", text)
    alike: dict[str, list[str]] = {}
    for label in plan.labels:
        alike.setdefault(" ".join(label.casefold().split()), []).append(label)
    twins = [" and ".join(f"'{label[:30]}'" for label in same[:3]) for same in alike.values() if len(same) > 1]
    if twins:
        yield Finding(
            SEVERE, "labels alike", f"Labels that differ only in case or space count as different: {some(twins, 3)}."
        )
    rare = [label for label in plan.labels if n_label[label] < FEW_OF_LABEL]
    if rare:
        shown = some([f"'{label[:30]}' {n_label[label]}" for label in rare])
        yield Finding(WEAK, "rare labels", f"Under {FEW_OF_LABEL} rows in all languages together: {shown}.")
    common = [label for label in plan.labels if n_label[label] >= FEW_OF_LABEL]
    missing = {
        lang: gone for lang, counts in by_lang.items() if (gone := [label for label in common if not counts[label]])
    }
    if missing:
        worst = sorted(missing, key=lambda lang: (-len(missing[lang]), lang))
        shown = some([f"{lang} lacks {some([repr(label[:24]) for label in missing[lang]], 2)}" for lang in worst], 3)
        yield Finding(WEAK, "labels missing", f"A label without one row in a language: {shown}.", tuple(worst))
    thin = {
        lang: min((n, label) for label, n in counts.items() if n)
        for lang, counts in by_lang.items()
        if any(0 < counts[label] < FEW_OF_LABEL for label in common)
    }
    if thin:
        worst = sorted(thin, key=lambda lang: (thin[lang], lang))
        shown = some([f"{lang} '{thin[lang][1][:24]}' {thin[lang][0]}" for lang in worst], 3)
        yield Finding(
            WEAK, "labels thin", f"Under {FEW_OF_LABEL} rows of a label in a language: {shown}.", tuple(worst)
        )


def _departures(seen: Survey, checks: Checks, plan: Plan) -> Iterator[Finding]:
    if plan.detect or len(plan.langs) < 2:
        return
    table, sizes = seen.by(0, 2), seen.by(0)
    shares = {lang: [table[lang, label] / sizes[lang] for label in plan.labels] for lang in plan.langs}
    pooled = [sum(column) / len(shares) for column in zip(*shares.values(), strict=True)]
    far = {}
    for lang, own in shares.items():
        distance = sum(abs(a - b) for a, b in zip(own, pooled, strict=True)) / 2
        by_chance = sum(math.sqrt(p * (1 - p) / sizes[lang]) for p in pooled) / 2
        if sizes[lang] >= FEW_OF_LANG and distance > DEPARTS and distance > 2 * by_chance:
            place = max(range(len(own)), key=lambda i: abs(own[i] - pooled[i]))
            far[lang] = (distance, plan.labels[place], own[place], pooled[place])
    if far:
        worst = sorted(far, key=lambda lang: -far[lang][0])
        _, label, own_share, usual = far[worst[0]]
        text = (
            f"Labels are dealt otherwise than in the mean of the languages (total variation above {DEPARTS:g}) in "
            f"{some([f'{lang} {far[lang][0]:.2f}' for lang in worst])}; '{label[:24]}' is {own_share:.0%} of "
            f'{worst[0]} and {usual:.0%} on average. Macro-F1 and weights = "by_lang" keep that fair.'
        )
        yield Finding(WEAK, "labels skewed", text, tuple(worst))


def _sizes(seen: Survey, checks: Checks, plan: Plan) -> Iterator[Finding]:
    if plan.skew > SKEWED:
        trained = [lang for lang in plan.langs if plan.n_train[lang]]
        least, most = min(trained, key=lambda t: plan.n_train[t]), max(trained, key=lambda t: plan.n_train[t])
        text = (
            f"Sizes are {plan.skew:,.0f} times apart: {most} has {_rows(plan.n_train[most], 'train row')}, "
            f"{least} {plan.n_train[least]:,}; the recipe proposes a temperature mix."
        )
        yield Finding(WEAK, "sizes skewed", text, (least,))


def _copies(seen: Survey, checks: Checks, plan: Plan) -> Iterator[Finding]:
    copies = seen.copies
    among = f" (in {copies.share:.1%} of the texts)" if copies.share < 1 else ""
    if plan.given_split and (n := copies.n_across):
        text = f"Train rows whose text is also in dev or test of the same language: {n:,}{among}; dedup takes them out."
        yield Finding(SEVERE if n > 0.01 * copies.n_seen else WEAK, "copies across splits", text)
    if plan.given_split and (n := checks.near_across.total()):
        worst = [lang for lang, _ in checks.near_across.most_common()]
        by_lang = some([f"{lang} {checks.near_across[lang]}" for lang in worst])
        of = f"{n:,} of {checks.n.total():,} looked at ({by_lang})"
        text = f"Train rows that say nearly what a dev or test row says: {of}."
        yield Finding(WEAK, "near-duplicates across splits", text, tuple(worst))
    repeated = copies.n_within + (0 if plan.given_split else copies.n_across)
    if repeated > 0.001 * copies.n_seen:
        text = f"Texts that come again in their language: {_rows(repeated)}{among}; dedup keeps one of each."
        yield Finding(NOTE, "copies", text)
    if n := copies.n_conflicts:
        text = f"Same text, another label: {_rows(n)}{among}; the labels are noisy, or depend on more than the text."
        yield Finding(WEAK if n > 0.001 * copies.n_seen else NOTE, "labels conflict", text)


def _groups(seen: Survey, checks: Checks, plan: Plan) -> Iterator[Finding]:
    ties = seen.ties.get(plan.group)
    if ties and plan.parallel:
        each = f"{len(ties.rows):,} contents in {ties.langs_each:.1f} languages each"
        text = f"Column '{plan.group}' ties translations: {each}; they never straddle splits."
        yield Finding(NOTE, "parallel", text)
    if ties and plan.given_split and ties.n_straddling:
        text = (
            f"{_rows(ties.n_straddling, 'group')} have rows in train and in dev or test: "
            "translations of test rows are trained on."
        )
        yield Finding(SEVERE, "groups straddle", text)
    if not plan.group and seen.stems.parallel and seen.stems.example:
        a, b = seen.stems.example
        text = f"Ids such as '{a}' and '{b}' share a stem; if they are translations, put the stem in a column 'group'."
        yield Finding(WEAK if not plan.given_split else NOTE, "maybe parallel", text)


def _texts(seen: Survey, checks: Checks, plan: Plan) -> Iterator[Finding]:
    looked = checks.n.total()
    of = f"of the {_rows(looked)} looked at"
    for name, counts, words in (
        ("garbled", checks.garbled, "read as wrongly decoded text (mojibake); standardise mends most"),
        ("replaced", checks.replaced, "have the sign U+FFFD where a character was lost before us"),
        ("long", checks.long, "are longer than about 512 tokens; an encoder reads their beginning only"),
    ):
        if counts:
            worst = [lang for lang, _ in counts.most_common()]
            first = f" (first at {checks.examples[name]})" if name in checks.examples else ""
            severity = WEAK if counts.total() > 0.01 * looked else NOTE
            yield Finding(severity, name, f"{counts.total():,} {of} {words}: {some(worst)}{first}.", tuple(worst))


def _langs(seen: Survey, checks: Checks, plan: Plan) -> Iterator[Finding]:
    for note in list(seen.notes.values())[:6]:
        yield Finding(NOTE, "language", _end(note))
    if plan.detect and checks.n[UNKNOWN] and seen.langs:
        told = [f"{lang} {n}" for lang, n in checks.detected.most_common()]
        yield Finding(
            WEAK, "language", f"{_rows(seen.by(0)[UNKNOWN])} name no language; langid fills it (sample: {some(told)})."
        )
    doubted = [lang for lang in plan.langs if checks.share("langid", lang) > 0.02]
    if doubted:
        worst = sorted(doubted, key=lambda lang: -checks.share("langid", lang))
        why = checks.reasons.get(worst[0])
        said = f" ({worst[0]} mostly {why.most_common(1)[0][0]})" if why else ""
        shares = some([f"{lang} {checks.share('langid', lang):.0%}" for lang in worst])
        text = f"Text that does not read as the language it declares: {shares}{said}."
        severe = any(checks.share("langid", lang) > TOO_MUCH for lang in worst)
        more = " langid stands commented out in the recipe: look at those rows first." if not plan.langid else ""
        yield Finding(SEVERE if severe else WEAK, "language doubted", text + more, tuple(worst))
    if not seen.complete:
        n = _rows(seen.n_rows + seen.n_aside)
        text = f'Only the first {n} were read: languages further down are not named here, so langs is "all".'
        yield Finding(WEAK, "sampled", text)
    if (looked := checks.n.total()) < seen.n_rows:
        text = f"Texts were looked at in a sample of {looked:,} of {_rows(seen.n_rows)}; counts are of all."
        yield Finding(NOTE, "sampled", text)
