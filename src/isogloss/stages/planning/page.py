"""PLAN.md: the plan as a page that a person reads, in the order of the decisions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from isogloss.core import estimate
from isogloss.core.lang import facts
from isogloss.core.sources import ENGLISH, Candidate
from isogloss.stages.planning.advice import Advice
from isogloss.stages.planning.draft import launch
from isogloss.stages.planning.fit import hours, priced, step
from isogloss.stages.words import toml

if TYPE_CHECKING:
    from isogloss.stages.plan import Plan


def page(made: Plan) -> str:
    """The page as Markdown."""
    lines = [line for part in (_head, _short, _languages, _source, _model, _tokens, _labels, _method, _scored, _today, _change)
             for line in part(made)]  # fmt: skip
    return "\n".join(lines).rstrip() + "\n"


def cell(text: object) -> str:
    """A text inside a table or a sentence: nothing of it is Markdown, or ends the row."""
    return re.sub(r"([|`*_<>\[\]\\])", r"\\\1", str(text).replace("\n", " "))


def table(head: Sequence[str], rows: Sequence[Sequence[object]], numbers: Sequence[int] = ()) -> list[str]:
    marks = ["---:" if i in numbers else "---" for i in range(len(head))]
    return [
        f"| {' | '.join(head)} |",
        f"| {' | '.join(marks)} |",
        *(f"| {' | '.join(str(each) for each in row)} |" for row in rows),
        "",
    ]


def _head(made: Plan) -> Iterator[str]:
    asked = made.asked
    yield f"# Plan: {cell(asked.name)}"
    yield ""
    n = len(asked.langs)
    domain = f", {asked.domain}" if asked.domain else ""
    yield f"{asked.task.words[0].upper()}{asked.task.words[1:]}{domain}, in {n} language{'s' * (n > 1)}; machine: {cell(asked.setup.words)}."
    yield f"Made by `{made.command}`. Nothing was trained, and no number here is a result."
    yield ""
    for i, note in enumerate(made.notes):
        if i:
            yield ">"
        yield f"> {note}"
    if made.notes:
        yield ""


def _short(made: Plan) -> Iterator[str]:
    yield "## In short"
    yield ""
    for each in made.answers:
        yield f"- **{each.question}?** {each.choice}."
    yield ""


def _advice(each: Advice) -> Iterator[str]:
    yield f"**{each.choice}.**"
    yield ""
    yield "Evidence:"
    yield ""
    yield from (f"- {words}" for words in each.evidence)
    yield ""
    yield f"How sure: {each.uncertainty}"
    yield ""
    if each.next_best:
        yield "Next best:"
        yield ""
        yield from (f"- **{other.choice}**: {other.why}" for other in each.next_best)
        yield ""


def _languages(made: Plan) -> Iterator[str]:
    yield "## Languages"
    yield ""
    best = made.choice.best
    rows = []
    for tag in made.asked.langs:
        row = facts(tag)
        source = made.sources.best_for(tag)
        served = "itself" if tag in made.sources.langs else _served(tag, source)
        read = (
            {"yes": "yes", "no": "no", "other script": "in another script", "unknown": "not published"}[
                best.model.covers(tag)
            ]
            if best
            else "–"
        )
        judged = made.tokens.judged.get(tag)
        each = made.labels.of(tag)
        score = "–" if each.score is None else f"{each.score:.2f} ({each.low:.2f} to {each.high:.2f})"
        rows.append([
            f"{cell(row.name)} `{tag}`", row.resource if row.resource != "unknown" else "–", read, judged.verdict if judged else "–", served,
            each.total("train"), each.total("test"), f"± {each.half_width:.2f}", score,
        ])  # fmt: skip
    yield from table(
        ["language", "resource class", "read by the model", "tokenizer", "source, points over English", "train rows", "test rows",
         "interval of test", f"{made.asked.task.score} expected"], rows, (1, 5, 6, 7, 8),
    )  # fmt: skip
    yield "Resource classes are those of Joshi et al. 2020 (0 none, 5 all there is). Rows are those there are and those to label. "
    yield "The score that is expected comes from the curve alone, with a 90 % interval; it is there to share out labels, and to be wrong about."
    yield ""


def _served(tag: str, source: Candidate | None) -> str:
    """The source that serves a language, with what it brings over English, or over the mean source of English."""
    if source is None or source.source == ENGLISH:
        return "–" if source is None else ENGLISH
    than = " over the mean" if tag == ENGLISH else ""
    return f"{source.source}: {source.expected:+.1f} ({source.low:+.0f} to {source.high:+.0f}){than}"


def _source(made: Plan) -> Iterator[str]:
    yield "## Source languages"
    yield ""
    yield from _advice(made.sources.advice)


def _model(made: Plan) -> Iterator[str]:
    yield "## Base model"
    yield ""
    yield from _advice(made.model)
    if made.scored.monolingual:
        yield "A model of one language alone is the baseline there: " + ", ".join(
            f"{name} for {facts(tag).name}" for tag, name in made.scored.monolingual.items()
        ) + "."  # fmt: skip
        yield ""


def _tokens(made: Plan) -> Iterator[str]:
    yield "## Tokenizer"
    yield ""
    yield from _advice(made.tokens.advice)


def _labels(made: Plan) -> Iterator[str]:
    yield "## Labels"
    yield ""
    yield from _advice(made.labels.advice)
    rows = []
    order = {tag: i for i, tag in enumerate(made.labels.helps)}
    for each in sorted(made.labels.langs, key=lambda each: order.get(each.tag, 0)):

        def points(gain: object) -> str:
            return "–" if gain is None else f"{gain.expected:+.1f} ({gain.low:+.1f} to {gain.high:+.1f})"  # type: ignore[attr-defined]

        rows.append([
            f"{cell(facts(each.tag).name)} `{each.tag}`", each.have["train"], each.buy["train"], each.buy["dev"], each.buy["test"],
            points(each.first_hundred), points(each.next_hundred),
        ])  # fmt: skip
    yield from table(
        ["language", "train rows there", "to learn from", "dev", "test", "the next hundred bring, points", "the hundred after these"],
        rows, (1, 2, 3, 4, 5, 6),
    )  # fmt: skip


def _method(made: Plan) -> Iterator[str]:
    yield "## Method and cost"
    yield ""
    yield from _advice(made.method)
    if made.ways:
        rows = []
        for name in estimate.NAMES:
            way = made.ways[name]
            cost = way.cost
            runs = "yes" if way.runs else "no"
            if cost is None:
                rows.append([name, "–", f"{way.n_bytes / 1e9:.1f}", "no", "–", "–", "–", "–", runs])
                continue
            m = cost.memory
            parts = f"{m.weights / 1e9:.1f} + {m.gradients / 1e9:.1f} + {m.optimizer / 1e9:.1f} + {m.activations / 1e9:.1f} + {m.other / 1e9:.1f}"
            money = "–" if cost.money is None else f"{priced(cost.money)} {cell(made.asked.prices.currency)}"
            rows.append([
                name, f"{cost.share:.2%}", f"{m.total / 1e9:.1f} ({parts})", "yes" + (f", in {way.parts} parts" if way.parts > 1 else "") +
                (", blocks computed again" if way.method.checkpointing else ""),
                f"{step(cost.step_seconds)}", f"{hours(cost.seconds)} ({hours(cost.low)} to {hours(cost.high)})", f"{cost.kwh:.2g}", money, runs,
            ])  # fmt: skip
        mark = "" if made.calibrated else ", *uncalibrated*"
        yield from table(
            ["method", "learns", "GB (weights + gradients + optimizer + activations + other)", "fits", f"a step{mark}", f"all{mark}", "kWh", "money", "isogloss runs it"],
            rows, (1, 2, 4, 5, 6, 7),
        )  # fmt: skip
        yield "The arithmetic is in docs/estimates.md. `lomo` moves each weight as soon as its gradient is there (train.in_backward)."
        yield ""
    if made.probe:
        yield "Probe: " + str(made.probe["words"])
        yield ""


def _scored(made: Plan) -> Iterator[str]:
    asked, scored = made.asked, made.scored
    yield "## Evaluation"
    yield ""
    yield from _advice(scored.advice)
    yield "Measured for every language, worst first:"
    yield ""
    yield from (f"- {metric}" for metric in scored.metrics)
    yield ""
    yield "Beside it, on the same rows:"
    yield ""
    yield from (f"- {words}" for words in scored.baselines)
    yield from (
        f"- {facts(tag).name}: {name}, trained on that language alone" for tag, name in scored.monolingual.items()
    )
    yield ""
    yield f"Consistency: {scored.consistency}."
    yield ""
    if scored.gates:
        yield "Gates, as they stand in the recipe:"
        yield ""
        for gate in scored.gates:
            asks = "; ".join(f"{key} = {toml(value)}" for key, value in gate.items() if key != "at")
            yield f"- at {gate['at']}: `{asks}`"
        yield ""
    else:
        yield (
            "No gate is written for it: isogloss cannot ask what it does not compute, and those of the recipe are for what runs. "
            "By hand: the worst language's lower end above what users accept."
        )
        yield ""
    if scored.proxies:
        yield "Languages without test rows: what may stand for a score, and how little it is worth."
        yield ""
        yield from table(
            ["language", "proxy", "says", "how far off"],
            [[f"{cell(facts(each.tag).name)} `{each.tag}`", each.what, each.says, each.off] for each in scored.proxies],
        )
    if asked.task.name == "ner":
        yield "Entity-level F1 counts an entity as right when its span and its type are: token accuracy would be high where nothing is found."
        yield ""


def _today(made: Plan) -> Iterator[str]:
    yield "## What to run"
    yield ""
    where = f"{made.asked.name}.toml"
    if made.asked.task.part is not None:
        yield f"`{launch(made.asked, made.today, where)}` prepares, audits, trains, evaluates and judges; `{_few_shot(made)}` measures the curves that were assumed here."
    else:
        instead = made.asked.task.instead
        yield f"isogloss does not train {made.asked.task.name} today. What runs is `{where}`: {instead[1] if instead else ''}."
        yield ""
        yield f"For {made.asked.task.name} itself, the model and the method above are trained with other tools, on the labels above, and scored as above."
        if made.today is not None:
            yield f"The recipe takes {made.today.model.name} for what it does."
    yield ""


def _few_shot(made: Plan) -> str:
    """The command that measures curves: from the source languages to the others."""
    sources = ", ".join(f'"{tag}"' for tag in made.sources.langs)
    more = "" if set(made.sources.langs) == set(made.asked.langs) else f" --set 'train.langs=[{sources}]'"
    return f"isogloss few-shot {made.asked.name}.toml --shots 0,100,250{more}"


def _change(made: Plan) -> Iterator[str]:
    yield "## What would change this plan"
    yield ""
    asked = made.asked
    if asked.data is None:
        yield "- Texts: with some in each language, lengths are counted, the tokenizer is audited on them, and sources are ranked by them (`data.raw` in the recipe)."
    if asked.task.part is not None:
        yield f"- A first real curve: `{_few_shot(made)}` replaces the labels section by what was measured."
    if not made.calibrated and not asked.machine_named:
        yield "- `--calibrate`: ten seconds, and times are this machine's."
    if made.choice.best is not None and made.choice.best.folder is None:
        yield f"- The model on this disk (`{made.choice.best.model.name}`): its tokenizer is then audited, and `--probe` trains some real steps."
    if asked.licence == "commercial":
        yield "- `--licence any`: models whose licence forbids commercial use, or is not known, may then be taken."
    if asked.most_labels is None:
        yield '- A limit of labels (`--budget "600 labels"`): they then go where they help most, with test rows first.'
    yield ""
