"""plan: what decides a multilingual project, answered before anything is trained. No torch, no network, a few seconds.

question ── sources ── model (with its tokenizer's audit, the method, the cost) ── labels ── evaluation ── recipe, PLAN.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from isogloss.core import files, parts
from isogloss.core.errors import PlaceError
from isogloss.core.lang import facts
from isogloss.core.say import Say
from isogloss.stages.planning import choose as choosing
from isogloss.stages.planning import draft, fit
from isogloss.stages.planning.advice import Advice, Other
from isogloss.stages.planning.choose import Choice, Weighed
from isogloss.stages.planning.cost import Cost, Job
from isogloss.stages.planning.evaluation import Evaluation, evaluation
from isogloss.stages.planning.fit import Way, hours, priced, step
from isogloss.stages.planning.forecast import tokenizer_kind
from isogloss.stages.planning.labels import Labels, labels
from isogloss.stages.planning.need import NIGHT, Need, need
from isogloss.stages.planning.sourcing import Sources, sourcing
from isogloss.stages.planning.tasks import TASKS
from isogloss.stages.planning.tokens import Tokens, serving, tokens

FORMAT = 1
# Seeds from which a difference between two models is told from luck, where one can afford them.
SEEDS = 3


@dataclass(frozen=True)
class Plan:
    """Every answer. `today` is what isogloss trains now where it does not train the task itself; else None."""

    asked: Need
    sources: Sources
    choice: Choice
    tokens: Tokens
    labels: Labels
    ways: Mapping[str, Way]
    method: Advice
    model: Advice
    scored: Evaluation
    today: Weighed | None
    instead: Need | None
    notes: tuple[str, ...]
    command: str
    folder: Path | None
    text: str
    made: str
    probe: Mapping[str, Any] | None = None

    @property
    def cost(self) -> Cost | None:
        """What the training costs that is proposed; None where nothing fits."""
        best = self.choice.best
        return best.way.cost if best is not None and best.way is not None else None

    @property
    def calibrated(self) -> bool:
        return self.asked.setup.rates.calibrated

    @property
    def answers(self) -> tuple[Advice, ...]:
        """The answers in the order in which they are read."""
        return (
            self.sources.advice,
            self.model,
            self.tokens.advice,
            self.labels.advice,
            self.method,
            self.scored.advice,
        )

    def document(self) -> dict[str, Any]:
        """As plain JSON."""
        best = self.choice.best
        return {
            "format": FORMAT,
            "name": self.asked.name,
            "made": self.made,
            "asked": _question(self),
            "notes": list(self.notes),
            "trains_today": self.asked.task.part is not None,
            "instead": None if self.instead is None or self.asked.task.instead is None else
            {"task": self.asked.task.instead[0], "answers": self.asked.task.instead[1],
             "model": self.today.model.name if self.today else "ngram"},
            "sources": {
                **self.sources.advice.document(), "langs": list(self.sources.langs),
                "rankings": {each.target: [
                    {"source": one.source, "points": one.expected, "low": one.low, "high": one.high, "chosen": one.chosen}
                    for one in each.candidates[:5]
                ] for each in self.sources.rankings},
            },
            "model": {
                **self.model.document(), "name": best.model.name if best else self.asked.family,
                "lacks": list(best.lacks) if best else None,
                "milliseconds_a_text": None if not best or best.answer is None else round(best.answer * 1000, 2),
                "row": best.model.document() if best else None,
            },
            "tokenizer": self.tokens.document(),
            "labels": {
                **self.labels.advice.document(), "to_buy": self.labels.to_buy, "helps_most": list(self.labels.helps),
                "curve": None if self.labels.curve is None else {
                    key: getattr(self.labels.curve, key) for key in ("task", "half", "low", "usual", "high", "on", "n_langs", "most")
                },
                "langs": [each.document() for each in self.labels.langs],
            },
            "method": {
                **self.method.document(), "calibrated": self.calibrated, "rates": self.asked.setup.rates.source,
                "methods": {name: _way(way) for name, way in self.ways.items()},
                "probe": None if self.probe is None else dict(self.probe),
            },
            "evaluation": self.scored.document(self.labels),
            "recipe": None if self.folder is None else str(self.folder / f"{self.asked.name}.toml"),
        }  # fmt: skip


def _way(way: Way) -> dict[str, Any]:
    fitting = {"fits": way.cost is not None, "memory_bytes_total": round(way.n_bytes), "runs_today": way.runs,
               "accumulate": way.parts, "checkpointing": way.method.checkpointing}  # fmt: skip
    return fitting if way.cost is None else {**way.cost.document(), **fitting}


def _question(plan: Plan) -> dict[str, Any]:
    asked = plan.asked
    return {
        "command": plan.command, "task": asked.task.name, "langs": dict(asked.asked), "machine": asked.setup.words,
        "assumed": list(asked.setup.assumed), "budget": {"seconds": asked.budget.seconds, "labels": asked.budget.labels,
        "money": asked.budget.money, "currency": asked.budget.currency}, "domain": asked.domain or None,
        "licence": asked.licence, "width": asked.width, "latency_ms": asked.latency, "n_labels": asked.n_labels,
        "rows": None if asked.data is None else asked.data.n_rows,
    }  # fmt: skip


def plan(
    recipe: str | Path | None = None,
    *,
    out: Path | None = None,
    runs: Path = Path("runs"),
    calibrate: bool = False,
    probe: bool = False,
    command: str = "isogloss plan",
    say: Say | None = None,
    **flags: Any,
) -> Plan:
    """Answer, and write plan.json, PLAN.md and a completed recipe into `out` (plans/NAME); `-` writes nothing.

    `flags` are those of `need`. `calibrate` measures this machine first, `probe` trains the model that is recommended
    for some steps after; both load torch, and say before it what they spend. Raises InputError for what is wrong or
    missing in the question.
    """
    say = say or Say()
    if calibrate:
        _calibrate(say)
    asked = need(recipe, say=say, **flags)
    made = answer(asked, runs, command)
    if probe:
        made = _probe(made, say)
    folder = Path("plans") / asked.name if out is None else out
    if str(folder) == "-":
        return _with_recipe(made, Path(), None)
    return _write(_with_recipe(made, folder, folder), folder)


def answer(asked: Need, runs: Path = Path("runs"), command: str = "isogloss plan") -> Plan:
    """Every answer to a question; nothing is written."""
    sources = sourcing(asked)
    job = _job(asked, labels(asked, None, sources.langs, runs))
    choice = choosing.choose(asked, job)
    if asked.family is not None:
        choice = _kept(choice)
    best = choice.best
    bought = labels(asked, best.model if best else None, sources.langs, runs)
    job = _job(asked, bought)
    notes = [*asked.notes, *_notes(asked)]
    ways: Mapping[str, Way] = {}
    if best is not None:
        best = _again(asked, best, job)
        choice = replace(choice, best=best)
        ways = _ways(asked, best, job)
    kind = tokenizer_kind(best.folder) if best and best.folder else ""
    told = tokens(asked, best.model if best else None, best.judged if best else {}, best.on if best else "", kind)
    scored = evaluation(asked, bought)
    today, instead = best, None
    if asked.task.part is None:
        instead = replace(
            asked, task=TASKS[asked.task.instead[0] if asked.task.instead else "classify"], model=None, latency=None
        )
        other = choosing.choose(instead, job).best
        today = None if other is None else _again(instead, other, job)
    method = _method(asked, best, ways, job, bought)
    if asked.budget.money and best is not None and best.way is not None and best.way.cost is not None:
        spent = (asked.prices.label or 0.0) * bought.to_buy + (best.way.cost.money or 0.0)
        if spent > asked.budget.money:
            notes.append(_of_money(asked, asked.budget.money, best.way.cost, bought).strip())
    return Plan(
        asked, sources, choice, told, bought, ways, method, _model(asked, choice), scored, today, instead, tuple(notes),
        command, None, "", datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip


def _kept(choice: Choice) -> Choice:
    """The recipe's family stays; the encoder that would have been taken is the next best."""
    if choice.best is None:
        return choice
    first = (choice.best, f"the encoder that the plan would take: {choice.why[0]}")
    return replace(choice, best=None, others=(first, *choice.others))


def _job(asked: Need, bought: Labels) -> Job:
    n = max(1, bought.total("train")) if bought.total("train") else 1000
    return Job(
        (asked.n_tokens,), n, fit.BATCH, epochs=float(_said(asked, "epochs") or fit.epochs(n)), steps=_said(asked, "steps"),
        n_labels=asked.n_labels, n_dev=bought.total("dev"), n_test=bought.total("test"),
    )  # fmt: skip


def _said(asked: Need, key: str) -> Any:
    """A key of the recipe's [train], where the user wrote it."""
    return (asked.given.get("train") or {}).get(key)


def _again(asked: Need, best: Weighed, job: Job) -> Weighed:
    """A model weighed once more, with the rows that are going to be there. What chose it stays."""
    if best.model.arch is None:
        return best
    way, passed, _ = choosing.train(asked, best.model, best.folder, best.lengths, job)
    return replace(best, way=way or best.way, passed=passed)


def _ways(asked: Need, best: Weighed, job: Job) -> Mapping[str, Way]:
    arch = best.model.arch
    if arch is None:
        return {}
    kind = best.model.tokenizer_kind
    own = replace(job, lengths=best.lengths.tokens, tokenizer=kind, n_labels=job.n_labels)
    return fit.ways(
        arch, own, asked.setup, best.lengths.rows, asked.prices.machine, ours=asked.task.part is not None and not asked.task.generates
    )  # fmt: skip


def _notes(asked: Need) -> list[str]:
    """What a person must know before anything else."""
    found = []
    if asked.task.part is None:
        found.append(
            f"isogloss does not train '{asked.task.name}' today (it trains {', '.join(sorted(parts.names('tasks')))}). "
            "Model, labels and evaluation are planned for the task that was asked; the recipe is for what runs."
        )
    if asked.task.generates:
        found.append(
            "Generating text needs a decoder or an encoder-decoder; encoders, which isogloss trains, cannot write."
        )
        lacking = [tag for tag in asked.langs if not serving(tag, asked.task.models)]
        if lacking and asked.task.name != "translate":
            names = ", ".join(facts(tag).name for tag in lacking)
            found.append(
                f"No model of the catalogue that writes has {names} on its published list: what it writes there must be read by "
                "speakers before anybody relies on it. Answers that people wrote, chosen by an intent or by search, are safer there."
            )
    if asked.task.small:
        found.append(
            "Served in bulk: what counts beside the score is the time a message takes on the machine that serves, and what "
            "happens to messages in languages that are not among these. Measure both there, by language."
        )
    if asked.domain == "medical":
        found.append(
            "Health: a label that must not be missed (urgent) is judged by its recall in every language, with the interval's "
            "lower end; below what a clinician accepts in a language, people read its messages. Texts stay on this machine."
        )
    return found


def _model(asked: Need, choice: Choice) -> Advice:
    question = "Which base model"
    others = tuple(Other(each.model.name, words) for each, words in choice.others[:9])
    floor = Other("character n-grams (model = \"ngram\")", "no pretrained weights, seconds to train, no tokenizer: the floor that a model must "
                  "beat in every language; with hundreds of labels a language they beat isogloss/mini (docs/results.md)")  # fmt: skip
    if not asked.task.generates and asked.task.part == "classify" and asked.family != "ngram":
        first = (
            choice.best is not None and choice.best.model.name == "isogloss/mini"
        )  # which they beat, with labels enough
        others = (floor, *others) if first else (*others, floor)
    best = choice.best
    if asked.family is not None:
        return Advice(
            question, f"{asked.family}, which your recipe names", ("it fits itself, without pretrained weights",),
            "Whether an encoder is better on your rows is measured by training both.",
            others or (Other("no encoder", "none of the catalogue fits this machine, within these limits"),),
        )  # fmt: skip
    if best is None:
        fails = [f"{each.model.name}: {'; '.join(each.against)}" for each, _ in choice.others[:3] if each.against]
        return Advice(
            question, "none of the catalogue can do it on this machine, within these limits" + ("" if asked.task.generates else "; n-grams can"),
            tuple(fails) or ("no row of the catalogue is of a kind that does it",),
            "A larger machine (--machine), another licence (--licence any), or more time (--budget) change the answer.", others,
        )  # fmt: skip
    evidence = list(choice.why)
    model = best.model
    if model.xnli is not None and model.xnli_source not in ("", "itself"):
        evidence.append(f"XNLI from English: {model.xnli:+.1f} points beside XLM-R base ({model.xnli_source})")
    facts_of = [f"{model.parameters or best.size:,.0f} parameters", f"licence {model.licence or 'not known'}"]
    if model.context:
        facts_of.append(f"reads {model.context:,} tokens")
    evidence.append(", ".join(facts_of) + f" ({model.source})")
    if model.note and not any(model.note in each for each in evidence):
        evidence.append(model.note)
    for tag, kin in ((tag, model.kin(tag)) for tag in asked.langs if tag not in best.lacks):
        if kin is not None:
            evidence.append(
                f"{tag} is on its list in another script alone, and counts as read: so is {kin}, of the same genus in this script"
            )
    if best.lacks:
        evidence.append(f"it has not read {', '.join(best.lacks[:8])}: expect less there, and see the tokenizer below")
    if best.answer is not None and (asked.latency is not None or asked.task.small):
        evidence.append(
            f"one text takes about {best.answer * 1000:.1f} ms alone on {asked.setup.words}"
            + ("" if asked.setup.rates.calibrated else ", uncalibrated")
            + f", {best.answer * 1e6 / 3600:.1f} hours a million texts, less in batches"
        )
    unsure = "Scores of others' tasks order models of one kind; which is best on your rows is measured by training two of them."
    if model.unsure:
        unsure = f"Not looked up: {model.unsure}. {unsure}"
    if best.unsure:
        unsure = f"Nobody published which languages it has read. {unsure}"
    return Advice(question, model.name, tuple(evidence), unsure, others)


def _method(asked: Need, best: Weighed | None, ways: Mapping[str, Way], job: Job, bought: Labels) -> Advice:
    question = "Which method, and what will it cost"
    setup = asked.setup
    if best is None or best.way is None or best.way.cost is None:
        if asked.family is not None:
            return Advice(
                question, f"{asked.family} is fitted as a whole, on the cores, without steps", (f"the machine: {setup.words}",),
                "Nothing was estimated.", (Other("an encoder", "--model NAME shows what it would cost"),),
            )  # fmt: skip
        return Advice(
            question, "none: no model fits" if asked.task.generates else "n-grams, which need a core and no accelerator",
            (f"the machine: {setup.words}",), "Nothing was estimated.", (Other("a larger machine", "--machine \"1x24GB\" shows what would change"),),
        )  # fmt: skip
    way, cost = best.way, best.way.cost
    assert cost is not None
    choice = f"{way.method.name}: {cost.memory.total / 1e9:.1f} GB, {hours(cost.seconds)}, {energy(cost.kwh)}"
    if cost.money is not None:
        choice += f", {priced(cost.money)} {asked.prices.currency}"
    choice += f"; {cost.share:.2%} of {cost.n / 1e6:,.0f} million parameters learn"
    if not cost.calibrated:
        choice += " (*uncalibrated*)"
    evidence = [
        ("" if setup.words.startswith("this machine") else "the machine: ")
        + setup.words
        + (f", {setup.n_bytes / 1e9:.1f} GB to use" if setup.n_bytes else ", memory not known")
        + (" on each" if setup.n > 1 else ""),
        f"{cost.n_steps:,} steps of {job.batch} rows ({job.n_rows:,} rows, {best.lengths.how}); {step(cost.step_seconds)} a step at the median",
        *(f"before it: {words}" for words in best.passed),
    ]
    if not way.runs:
        evidence.append(
            f"isogloss does not train it: {way.method.name} of {'an' if best.model.kind[0] == 'e' else 'a'} {best.model.kind} is done with other tools (transformers, peft)"
        )
    if best.lengths.rows is not None:
        evidence.append(
            f"of {best.model.arch.vocab if best.model.arch else 0:,} pieces {best.lengths.rows:,} are in training, which your texts use"
        )
    if asked.seconds < (NIGHT if asked.budget.seconds is None else asked.budget.seconds):
        evidence.append(
            f"{asked.budget.money:g} {asked.budget.currency} buy {hours(asked.seconds)} of this machine, and no method may take more"
        )
    elif asked.budget.seconds is None:
        evidence.append(f"no time was given (--budget 8h), so a night was taken: {hours(NIGHT)}")
    if cost.high > asked.seconds >= cost.seconds:
        evidence.append(
            f"it may not finish in {hours(asked.seconds)}: the upper end of the estimate is {hours(cost.high)}"
        )
    spread = f"{hours(cost.low)} to {hours(cost.high)}"
    unsure = (
        f"Calibrated: {setup.rates.source}. Time {spread}." if cost.calibrated else
        f"*Uncalibrated*: time {spread}, a factor of {cost.spread:g} both ways; assumed: {'; '.join(setup.assumed) or 'rates of the machine'}."
    )  # fmt: skip
    if not cost.calibrated and not asked.machine_named:
        unsure += " `isogloss doctor --measure` (or --calibrate) measures this machine in ten seconds."
    if cost.money is None:
        unsure += " Money is not said: nobody told what an hour costs (--price)."
    if asked.budget.money:
        unsure += _of_money(asked, asked.budget.money, cost, bought)
    unsure += f" Times {SEEDS} for the {SEEDS} seeds by which a difference is told from luck."
    more: list[Other] = []
    for name, each in ways.items():
        if (
            name != way.method.name
            and each.cost is not None
            and len(more) < 3
            and (each.runs or asked.task.part is None)
        ):
            more.append(
                Other(
                    name,
                    f"{each.cost.memory.total / 1e9:.1f} GB, {hours(each.cost.seconds)}; {each.cost.share:.2%} of the parameters learn",
                )
            )
    if not more:
        more.append(Other("a smaller model", "see above: nothing else fits this machine"))
    return Advice(question, choice, tuple(evidence), unsure, tuple(more))


def _of_money(asked: Need, money: float, cost: Cost, bought: Labels) -> str:
    """What becomes of the money: labels and training, as far as they have a price."""
    spent = {
        "labels": bought.to_buy * asked.prices.label if asked.prices.label else None,
        "one training": cost.money,
    }  # fmt: skip
    parts = [f"{amount:,.2f} for {what}" for what, amount in spent.items() if amount is not None]
    if not parts:
        return f" What becomes of {money:g} {asked.budget.currency} is not said: no price was given (--price)."
    total = sum(amount for amount in spent.values() if amount is not None)
    words = f" Of {money:g} {asked.budget.currency}: {' and '.join(parts)}"
    return words + (", which is more than there is: ask for fewer labels (--budget)." if total > money else ".")


def energy(kwh: float) -> str:
    """Energy in words.

    >>> energy(0.0123), energy(3.21)
    ('12 Wh', '3.2 kWh')
    """
    return f"{kwh * 1000:.0f} Wh" if kwh < 1 else f"{kwh:.1f} kWh"


# -- what loads torch --------------------------------------------------------------------------------------------


def _calibrate(say: Say) -> None:
    from isogloss.stages.checkup.measure import busy, measure

    say.line("calibrate this machine is measured: about 10 seconds of all cores, under 2 GB; loading torch")
    if busy():
        say.note("other work wants the cores now, so that the measurement says less than the machine can")
    measure(say)


def _probe(made: Plan, say: Say) -> Plan:
    from isogloss.stages.planning.probe import probe

    found = probe(made.asked if made.instead is None else made.instead, made.today, say)
    return replace(made, probe=found)


# -- writing -----------------------------------------------------------------------------------------------------


def _with_recipe(made: Plan, folder: Path, kept: Path | None) -> Plan:
    """The plan with its completed recipe, which was read as `isogloss run` reads it."""
    asked = made.asked
    value, why = draft.value(asked, made.instead or asked, made.today, made.sources, made.labels, folder)
    head = [f"Completed by: {made.command}", f"Run it with: {draft.launch(asked, made.today, folder / f'{asked.name}.toml')}",
            "The reasons are in PLAN.md beside it."]  # fmt: skip
    text = draft.render(value, why, head)
    draft.check(value, text, folder)
    return replace(made, text=text, folder=kept)


def _write(made: Plan, folder: Path) -> Plan:
    from isogloss.stages.planning.page import page

    if folder.exists() and not folder.is_dir():
        raise PlaceError(f"{folder} is a file; give --out a folder")
    recipe = folder / f"{made.asked.name}.toml"
    if made.asked.file is not None and recipe.exists() and recipe.resolve() == made.asked.file.resolve():
        raise PlaceError(
            f"{recipe} is the recipe that was asked about, and is not written over; give --out another folder"
        )
    files.write_text(recipe, made.text)
    files.write_text(folder / "PLAN.md", page(made))
    files.write_json(folder / "plan.json", made.document())
    return made


def lines(made: Plan, width: int) -> Sequence[str]:
    """What is said on the screen: an answer a paragraph."""
    import textwrap

    out = []
    for note in made.notes:
        out += textwrap.wrap(f"note: {note}", width, subsequent_indent="      ")
    for each in made.answers:
        out.append("")
        out.append(f"{each.question}?")
        out += textwrap.wrap(each.choice, width - 2, initial_indent="  ", subsequent_indent="  ")
        for words in each.evidence[:3]:
            out += textwrap.wrap(f"- {words}", width - 2, initial_indent="  ", subsequent_indent="    ")
        if each.next_best:
            out += textwrap.wrap(
                f"next best: {each.next_best[0].choice} ({each.next_best[0].why})",
                width - 2,
                initial_indent="  ",
                subsequent_indent="  ",
            )
    return out
