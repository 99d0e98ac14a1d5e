"""How a project is scored: by language always. Metrics, rows, baselines, consistency, gates, and proxies where no rows are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isogloss.core import catalogue, parts, sizes, typology
from isogloss.core.lang import facts
from isogloss.stages.planning.advice import Advice, Other
from isogloss.stages.planning.labels import LEAST_TEST, Labels, LangLabels
from isogloss.stages.planning.need import Need

# A drop that a comparison should see, points of a hundred.
DROP = 0.05
# Tokens a word, and the share of unknown tokens, above which a tokenizer is refused before the first step.
UNKNOWN, FERTILITY = "<= 0.05", "<= 6"


@dataclass(frozen=True)
class Proxy:
    """What stands for a score where a language has no test rows: how it is got, and how far it may be off."""

    tag: str
    what: str
    says: str
    off: str


@dataclass(frozen=True)
class Evaluation:
    """The evaluation plan. `gates`: as they stand in a recipe; `monolingual`: the base of each language alone, where known."""

    metrics: tuple[str, ...]
    baselines: tuple[str, ...]
    monolingual: Mapping[str, str]
    consistency: str
    gates: tuple[Mapping[str, Any], ...]
    proxies: tuple[Proxy, ...]
    n_for_width: int
    n_to_see: int
    advice: Advice

    def document(self, labels: Labels) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "metrics": list(self.metrics), "baselines": list(self.baselines), "monolingual": dict(self.monolingual),
            "consistency": self.consistency, "gates": [dict(gate) for gate in self.gates],
            "rows_for_width": self.n_for_width, "paired_rows_to_see_a_drop_of_5_points": self.n_to_see,
            "langs": [
                {"lang": each.tag, "test_rows": each.total("test"), "dev_rows": each.total("dev"),
                 "half_width": round(each.half_width, 4)}
                for each in labels.langs
            ],
            "proxies": [vars(each) for each in self.proxies],
            **self.advice.document(),
        }  # fmt: skip


def evaluation(asked: Need, labels: Labels) -> Evaluation:
    """The plan of how it is scored; there is none without every language of the project in it."""
    task = asked.task
    n_for = sizes.rows_for(asked.width, metric=task.score)
    alone = {tag: name for tag in asked.langs if (name := _alone(asked, tag))}
    consistency = _consistency(asked)
    gates = gates_of(asked, labels)
    baselines = _baselines(asked)
    thin = [each for each in labels.langs if each.total("test") < LEAST_TEST]
    proxies = tuple(proxy for each in thin for proxy in _proxies(asked, each, labels))
    worst = max(labels.langs, key=lambda each: each.half_width)
    evidence = [
        f"n test rows give a 95 % interval of ± {asked.width:.2f} from {n_for} rows on (Wilson 1927, at a score of 0.8"
        + (
            ", times 1.2 for a metric in which rare classes weigh as much, assumed)"
            if sizes.WIDER.get(task.score, 1) > 1
            else ")"
        )
        + f"; a score nearer a half wants more, about {sizes.rows_for(asked.width, 0.5, task.score)}",
        f"a drop of {100 * DROP:.0f} points between two models on the same rows is told from chance four times of five with "
        f"{sizes.rows_to_see(DROP)} rows",
    ]
    if thin:
        evidence.append(
            f"{len(thin)} of {len(labels.langs)} languages would have fewer than {LEAST_TEST} test rows: "
            "for them there are proxies only, and no gate should pass on a proxy"
        )
    unsure = (
        f"The widest interval is that of {facts(worst.tag).name}: ± {min(1.0, worst.half_width):.2f} with {worst.total('test')} test rows. "
        "Intervals are for rows as they are drawn: rows of one author, source or month say less than their number."
    )
    if task.part is None:
        unsure += f" isogloss does not compute it today ({task.metrics[0]}), since it has no such task: score with the tool that trains."
    more = [
        Other(f"± {2 * asked.width:.2f} with {sizes.rows_for(min(0.3, 2 * asked.width), metric=task.score)} test rows a language",
              f"a quarter of the labelling; a difference below {200 * asked.width:.0f} points is then not seen in one language"),
        Other("one number over all languages", "never: the mean hides the language that fails"),
    ]  # fmt: skip
    first = task.metrics[0]
    choice = f"{first}, for every language, the worst first, with intervals, beside {len(baselines) + len(alone)} baselines on the same rows"
    return Evaluation(
        task.metrics, baselines, alone, consistency, gates, proxies, n_for, sizes.rows_to_see(DROP),
        Advice("How will it be evaluated", choice, tuple(evidence), unsure, tuple(more)),
    )  # fmt: skip


def _alone(asked: Need, tag: str) -> str:
    """A base that was trained on this language alone (English may stand beside it), of the domain first."""
    if asked.task.generates:
        return ""
    own = [
        model for model in catalogue.models().values()
        if model.kind == "encoder" and model.languages == frozenset([tag]) and not model.head and model.domain in ("", asked.domain)
    ]  # fmt: skip
    own.sort(
        key=lambda model: (
            model.domain != asked.domain or not model.domain,
            asked.licence == "commercial" and not model.commercial,
        )
    )
    return own[0].name if own else ""


def _baselines(asked: Need) -> tuple[str, ...]:
    if asked.task.generates:
        return (
            "the same questions put to the model before it is tuned", "answers of people to a tenth of the questions",
            "translation in and out, where a translation model knows the language",
        )  # fmt: skip
    if asked.task.name in ("ner", "tag"):
        return (
            "the floor: a list of the entities of the train rows" if asked.task.name == "ner" else "the floor: each word's commonest tag",
            "a monolingual model of each language, or a CRF on character n-grams where there is none",
            "the multilingual model trained on the source language alone",
        )  # fmt: skip
    if asked.task.name == "embed":
        return ("the floor: character n-grams over all languages", "the model before it is tuned")
    return (
        "the floor: character n-grams of each language alone (floor_lang)", "n-grams of all languages together (floor_pooled)",
        "the commonest label (majority)", "the source language alone (source)",
    )  # fmt: skip


def _consistency(asked: Need) -> str:
    n = asked.data.n_tied if asked.data else 0
    if asked.task.generates:
        return (
            "the same 100 questions in every language, and whether answers say the same: judged by people who speak both, "
            "reported by language"
        )
    score = "consistency" if "consistency" in parts.names("metrics") and asked.task.part is not None else "agreement"
    if n:
        return (
            f"{n:,} rows of the data have a `group` that ties translations: the share of them that get the same answer in a "
            f"language as in English is reported as {score}, beside the score"
        )
    return (
        f"have 100 test rows translated by people into every language, and tie them with a `group`: {score} is then reported "
        "by language. It shows a language that is answered differently, even where both answers may be right"
    )


def gates_of(asked: Need, labels: Labels) -> tuple[Mapping[str, Any], ...]:
    """Gates that a model can pass: the tokenizer first; then the floor beaten in every language, with rows enough to tell.

    What score is enough is the users' to say, and no curve's.
    """
    task = asked.task
    if task.part is None:
        return ()
    tested = [each.total("test") for each in labels.langs]
    n = min(tested)
    every: dict[str, str] = {}
    if n >= LEAST_TEST:
        every["n"] = f">= {min(n, 200)}"
    metric = task.score if task.score in parts.names("metrics") else parts.load("tasks", task.part).constant("HEADLINE")
    promote: dict[str, Any] = {"at": "promote"}
    if every:
        promote["every_lang"] = every
    promote["beats"] = {"floor_pooled": metric}
    if len(labels.langs) > 1:
        promote["gap"] = {metric: "<= 0.25"}
    return ({"at": "train", "every_lang": {"unknown": UNKNOWN, "fertility": FERTILITY}}, promote)


def _proxies(asked: Need, each: LangLabels, labels: Labels) -> list[Proxy]:
    """What may stand for a score of a language without test rows, and how little that is worth."""
    found = []
    if each.score is not None:
        found.append(Proxy(
            each.tag, "the curve", f"{each.score:.2f}", f"{each.low:.2f} to {each.high:.2f}: from the resource class and what "
            "other languages did; it knows nothing of this language's rows",
        ))  # fmt: skip
    tested = [other.tag for other in labels.langs if other.total("test") >= LEAST_TEST and other.tag != each.tag]
    close = nearest_of(each.tag, tested)
    if close is not None:
        tag, apart = close
        found.append(Proxy(
            each.tag, f"the score of {tag}, the nearest language that has test rows", "what is measured there",
            f"{apart:.2f} apart in kinship (0 the same, 1 not related): an upper bound more often than an estimate",
        ))  # fmt: skip
    found.append(Proxy(
        each.tag, "test rows of another language, translated by a machine", "its score on translations",
        "translations are plainer than what people write: scores come out too high, by how much nobody knows here. Read 30 of them",
    ))  # fmt: skip
    found.append(Proxy(
        each.tag, "two models of different seed on rows without labels", "the share on which they differ",
        "they do worse where they differ more; it ranks languages, and says no score",
    ))  # fmt: skip
    return found


def nearest_of(tag: str, among: Sequence[str]) -> tuple[str, float] | None:
    """The nearest of some languages by kinship and place, and how far apart in kinship."""
    if not among:
        return None
    kin = typology.matrix([tag], list(among), "genetic")[0]
    place = typology.matrix([tag], list(among), "geographic")[0]
    order = [
        (float(k) if k == k else 1.0, float(p) if p == p else 1.0, other)
        for k, p, other in zip(kin, place, among, strict=True)
    ]
    apart, _, other = min(order)
    return other, apart
