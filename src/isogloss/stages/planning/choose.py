"""Which base model: every row of the catalogue weighed, and what speaks against each.

In this order: the kind can do the task; the licence allows the use; isogloss loads it; it fits the machine, the time and
the latency; it has read most of the languages. Among those a model of the domain comes first, then one of the region,
then the smallest whose known quality is within a few points of the best that fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from isogloss.core import catalogue, estimate
from isogloss.core.catalogue import Model
from isogloss.core.errors import InputError
from isogloss.core.lang import facts
from isogloss.core.tax import Judged
from isogloss.stages.planning import fit, tokens
from isogloss.stages.planning.cost import Job
from isogloss.stages.planning.fit import Lengths, Way, hours
from isogloss.stages.planning.forecast import tokenizer_kind
from isogloss.stages.planning.need import Need, named_model

# Points of XNLI that a smaller model may stand below the best that fits.
CLOSE = 4.0
# Languages of a model that was made for some, and not for all.
REGIONAL = 30
# Seconds that calling a model takes besides computing: assumed.
CALL = 1.5e-3
# Methods that are tried for tasks that other tools train.
OTHERS = ("full", "lora", "qlora")
Group = Literal["domain", "region", "general"]
_GROUPS: tuple[Group, ...] = ("domain", "region", "general")


@dataclass(frozen=True)
class Weighed:
    """A model beside the question. `against`: why it cannot be the one; `lacks`: languages that are not on its list."""

    model: Model
    group: Group
    lacks: tuple[str, ...]
    against: tuple[str, ...]
    way: Way | None
    passed: tuple[str, ...]
    answer: float | None
    folder: Path | None
    lengths: Lengths
    judged: Mapping[str, Judged]
    on: str

    @property
    def unsure(self) -> bool:
        """Whether nobody published which languages it has read."""
        return self.model.languages is None

    @property
    def size(self) -> float:
        return self.model.arch.n_parameters if self.model.arch else float("inf")


@dataclass(frozen=True)
class Choice:
    """The model, or None where none can do it; others with a sentence each; all that were weighed."""

    best: Weighed | None
    why: tuple[str, ...]
    others: tuple[tuple[Weighed, str], ...]
    weighed: tuple[Weighed, ...]


def weigh(asked: Need, model: Model, job: Job, *, own: bool = False) -> Weighed:
    """Weigh one model; `own`: the user named it, so that only what is impossible speaks against it."""
    where = fit.folder(model.name, asked.recipe.locate if asked.recipe else Path)
    judged, on = (
        tokens.audit(asked, where, own=own) if where is not None and model.kind in asked.task.models else ({}, "")
    )
    unread = [tag for tag in asked.langs if not model.reads(tag)]
    lacks = tuple(sorted({*unread, *tokens.lacking(judged)}, key=asked.langs.index))
    if model.languages is None and judged:  # nobody published a list, so the audit alone speaks
        lacks = tuple(tokens.lacking(judged))
    against = []
    task = asked.task
    if model.kind not in task.models:
        a = {"encoder": "an encoder", "decoder": "a decoder", "encoder-decoder": "an encoder-decoder"}
        against.append(f"{a.get(model.kind, model.kind)} does not do {task.name} as it is planned for")
    if model.head and model.head not in (task.head, "chat") and not (task.small and model.head == "embed"):
        if not own:
            against.append({"nli": "tuned for entailment", "embed": "tuned for vectors",
                            "translate": "translates, and does nothing else"}.get(model.head, model.head))  # fmt: skip
    elif task.head and model.head != task.head and not own:
        against.append(f"not tuned for {'vectors' if task.head == 'embed' else 'translation'}")
    if model.domain and model.domain != asked.domain and not own:
        against.append(f"of another domain ({model.domain})")
    if asked.licence == "commercial" and not own:
        if model.commercial is False:
            against.append(f"its licence ({model.licence}) forbids commercial use")
        elif model.commercial is None:
            against.append("nobody could tell its licence: read it" + (f" ({model.licence})" if model.licence else ""))
    texts = [text for tag in asked.langs for text in (asked.data.texts.get(tag, []) if asked.data else [])]
    seen = fit.lengths(
        texts, where, asked.n_tokens, min(512, model.context or 512), asked.data.n_rows if asked.data else 0
    )
    way: Way | None = None
    passed: tuple[str, ...] = ()
    answer: float | None = None
    if model.arch is None:
        against.append("has no weights to train; texts leave your machines")
    elif model.kind in task.models:
        way, passed, cannot = train(asked, model, where, seen, job)
        against += cannot
        answer = one(asked, model, seen)
        if asked.latency is not None and answer is not None and answer * 1000 > asked.latency:
            against.append(f"takes {answer * 1000:.0f} ms a text of {asked.latency:g} ms")
    group: Group = "general"
    if model.domain and model.domain == asked.domain:
        group = "domain"
    elif _regional(model, asked.langs):
        group = "region"
    return Weighed(model, group, lacks, tuple(against), way, passed, answer, where, seen, judged, on)


def _regional(model: Model, langs: Sequence[str]) -> bool:
    """Whether it was made for languages like these. English and French stand on every region's list, and make it no one's."""
    if model.languages is None or model.head or len(model.languages) > REGIONAL:
        return False
    local = [tag for tag in langs if tag in model.languages and facts(tag).resource != "5"]
    return bool(local) or model.languages == frozenset(langs)


def train(
    asked: Need, model: Model, where: Path | None, seen: Lengths, job: Job
) -> tuple[Way | None, tuple[str, ...], list[str]]:
    """The way to train a model on the machine; why others before it do not do; and why it cannot be trained at all."""
    arch = model.arch
    assert arch is not None
    kind = tokenizer_kind(where) if where else model.tokenizer_kind
    own = replace(job, lengths=seen.tokens, tokenizer=kind, n_labels=asked.n_labels)
    price = asked.prices.machine
    if asked.task.part is not None and not asked.task.generates:
        if not fit.loads(arch.model_type):
            return None, (), [f"isogloss does not load the architecture {arch.model_type}"]
        found, why = fit.chosen(arch, own, asked.setup, seen.rows, price, asked.seconds, _tried(asked))
        return found, tuple(why), [] if found else ["does not fit the machine or the time: " + "; ".join(why)]
    for name in OTHERS:
        found = fit.way(name, arch, own, asked.setup, None, price, ours=not asked.task.generates)
        if found.cost is not None and found.cost.seconds <= asked.seconds:
            return found, (), []
    return None, (), ["does not fit the machine, or the time, even with 4 bits"]


def _tried(asked: Need) -> tuple[str, ...]:
    """Methods in the order in which they are tried: that of the recipe first, where it names one."""
    said = [slot.use for slot in asked.recipe.train.methods] if asked.recipe and "methods" in (
        asked.given.get("train") or {}
    ) else []  # fmt: skip
    first = [name for name in fit.TRIED if name in said]
    return tuple(dict.fromkeys([*first, *fit.TRIED]))


def one(asked: Need, model: Model, seen: Lengths) -> float | None:
    """Seconds that one text of median length takes to answer on the machine, alone."""
    if model.arch is None or model.kind != "encoder":
        return None
    ordered = sorted(seen.tokens)
    done = estimate.forward(model.arch, 1, ordered[len(ordered) // 2], asked.setup.precision)
    return CALL + asked.setup.rates.step(done)


def rows(asked: Need) -> list[Model]:
    """Models that may be meant: the catalogue's, and the user's own. Raises InputError for a name that means none."""
    known = list(catalogue.models().values())
    name = named_model(asked)
    if name is None:
        return known
    own = owned(asked, name)
    return [own, *(model for model in known if model.name != own.name)]


def owned(asked: Need, name: str) -> Model:
    """The model that the user names: of the catalogue, or a folder with a config.json."""
    where = fit.folder(name, asked.recipe.locate if asked.recipe and not asked.model else Path)
    try:
        return catalogue.get(name)
    except InputError:
        if where is not None and (where / "config.json").is_file():
            return replace(catalogue.of_folder(where), name=name)
        if where is not None:
            return catalogue.of_folder(where)  # which says what is missing in it
        raise


def choose(asked: Need, job: Job) -> Choice:
    """Weigh every model and take one."""
    own = named_model(asked)
    weighed = [weigh(asked, model, job, own=own is not None and i == 0) for i, model in enumerate(rows(asked))]
    able = [each for each in weighed if not each.against]
    if own is not None and not weighed[0].against and (asked.model or _stands(weighed[0], able)):
        best: Weighed | None = weighed[0]
        why = ["you named it, and nothing speaks against it"]
    else:
        best, why = _best(asked, able)
        if own is not None and best is not None and best is not weighed[0]:
            said = (
                "; ".join(weighed[0].against)
                or f"it has not read {_listed(weighed[0].lacks)}, and {best.model.name} has"
            )
            why.append(f"you named {own}: {said}")
    return Choice(best, tuple(why), tuple(_others(asked, best, weighed)), tuple(weighed))


def _stands(named: Weighed, able: Sequence[Weighed]) -> bool:
    """Whether no other has read more of the languages than the one that the recipe names."""
    return named.unsure or len(named.lacks) <= min((len(each.lacks) for each in able if not each.unsure), default=0)


def _best(asked: Need, able: Sequence[Weighed]) -> tuple[Weighed | None, list[str]]:
    known = [each for each in able if not each.unsure] or list(able)
    if not known:
        return None, []
    fewest = min(len(each.lacks) for each in known)
    pool = [each for each in known if len(each.lacks) == fewest]
    n = len(asked.langs)
    why = [
        f"it has read {n - fewest} of {n} languages, as many as any that fits"
        if fewest
        else f"it has read all {n} languages"
    ]
    if asked.task.generates:
        talking = [each for each in pool if each.model.head == "chat"] if asked.task.name == "generate" else pool
        if asked.task.name != "generate":
            why.append("the smallest of them")
            return min(pool, key=lambda each: each.size), why
        if talking:
            why.append("it follows instructions as it comes; the largest of these that fits")
            return max(talking, key=lambda each: each.size), why
        why.append("none of those that fit and have read as many answers instructions; the smallest of them")
        return min(pool, key=lambda each: each.size), why
    if asked.task.small:
        return _smallest(pool, why, "it is served in bulk")
    for group in ("domain", "region"):
        own = [each for each in pool if each.group == group]
        if own:  # the catalogue has the one that is to be preferred first
            why.append(f"it is made for the {'domain' if group == 'domain' else 'languages'}: {own[0].model.note}")
            return own[0], why
    return _good(pool, why)


def _smallest(pool: Sequence[Weighed], why: list[str], reason: str) -> tuple[Weighed, list[str]]:
    best = min(pool, key=lambda each: each.size)
    why.append(f"the smallest that does, with {best.size / 1e6:,.0f} million parameters: {reason}")
    return best, why


def _good(pool: Sequence[Weighed], why: list[str]) -> tuple[Weighed, list[str]]:
    """The smallest whose known quality is close to that of the best."""
    told = [each for each in pool if each.model.xnli is not None]
    if not told:
        alone = len(pool) == 1
        return _smallest(
            pool, why, "nothing else that does fits" if alone else "how well these do was not looked up for any"
        )
    top = max(told, key=lambda each: each.model.xnli or 0.0)
    close_by = [each for each in told if (each.model.xnli or 0.0) >= (top.model.xnli or 0.0) - CLOSE]
    best = min(close_by, key=lambda each: (each.size, -(each.model.xnli or 0.0)))
    if best is top:
        why.append(
            "the best on XNLI of these that fit" if len(told) > 1 else "the only one of them whose quality is known"
        )
    else:
        gap = (top.model.xnli or 0.0) - (best.model.xnli or 0.0)
        why.append(
            f"the smallest within {CLOSE:g} points of the best of these on XNLI ({top.model.name}, {gap:.1f} points above)"
        )
    return best, why


# -- the next best -----------------------------------------------------------------------------------------------


def _others(asked: Need, best: Weighed | None, weighed: Sequence[Weighed]) -> list[tuple[Weighed, str]]:
    """Other models that a person should know of, each with a sentence; each once, by the first reason that names it."""
    kinds = asked.task.models
    rest = [each for each in weighed if each is not best and each.model.kind in kinds]
    own = list(_made_for(asked, rest))
    named = [item for item in own if not item[0].against and best is not None and len(item[0].lacks) <= len(best.lacks)]
    if best is not None:
        able = [each for each in rest if not each.against and not each.unsure and len(each.lacks) <= len(best.lacks)]
        if asked.task.name == "generate":
            able = [each for each in able if each.model.head == "chat"]
        named += [*_larger(best, able), *_smaller(best, able)]
        named += _praised(asked, best, rest)
        regional = [each for each in able if each.group == "region"][:1]
        named += [(each, f"made for its languages, and {_reads(asked, each)}. {each.model.note}") for each in regional]
        named += own
        named += [*_blocked(asked, best, rest)]
        if asked.task.name == "generate":
            named += [*_talking(asked, best, rest)]
        usable = [
            each
            for each in rest
            if not each.against and not each.unsure and (each.model.head == "chat" or not asked.task.generates)
        ]
        close = sorted(usable, key=lambda each: (len(each.lacks), abs(each.size - best.size), each.model.name))
        more = 2 - len({each.model.name for each, _ in named})
        named += [
            (each, f"{_beside(best, each)}, and {_reads(asked, each)}{_loses(best, each)}")
            for each in close[: max(0, more)]
        ]
    else:
        named += own
        near = sorted(
            (each for each in rest if each.model.arch is not None),
            key=lambda each: (len(each.lacks), len(each.against), each.size),
        )
        named += [(each, f"{_reads(asked, each)}, but {'; '.join(each.against)}") for each in near[:3]]
    if asked.task.generates or asked.most_labels == 0:
        hosted = [each for each in weighed if each.model.hosted]
        named += [(each, f"{each.model.note}. Not known here: {each.model.unsure}") for each in hosted]
    if asked.most_labels == 0:
        asks = [each for each in weighed if each.model.head == "nli"]
        named += [(each, f"{each.model.note}. isogloss does not ask it such questions yet") for each in asks]
    found: dict[str, tuple[Weighed, str]] = {}
    for each, words in named:
        found.setdefault(each.model.name, (each, words))
    return list(found.values())


def _made_for(asked: Need, rest: Sequence[Weighed]) -> Iterator[tuple[Weighed, str]]:
    """What is made for the domain, or for a few of the languages, and wins there."""
    for each in rest:
        own = each.model.languages or frozenset()
        reads = sorted(own & set(asked.langs))
        narrow = len(own) <= 6 and not each.model.domain and set(reads) != {"eng_Latn"}
        many = len(reads) * 2 >= len(asked.langs)
        if reads and ((asked.domain and each.model.domain == asked.domain) or (narrow and many)):
            but = f". Against it: {'; '.join(each.against)}" if each.against else ""
            what = "every language asked" if len(reads) == len(asked.langs) else _listed(reads)
            yield each, f"reads {what}. {each.model.note}{but}"


def _larger(best: Weighed, able: Sequence[Weighed]) -> Iterator[tuple[Weighed, str]]:
    more = [each for each in able if each.size > best.size and (each.model.xnli or -99) > (best.model.xnli or -50)]
    for each in sorted(more, key=lambda each: each.size)[:1]:
        known = best.model.xnli is not None and each.model.xnli is not None
        words = (
            f"{(each.model.xnli or 0) - (best.model.xnli or 0):+.1f} points on XNLI"
            if known
            else "better on XNLI than any that is smaller"
        )
        if each.way and each.way.cost and best.way and best.way.cost:
            words += f", for {each.way.cost.seconds / best.way.cost.seconds:.1f} times the time ({hours(each.way.cost.seconds)})"
        yield each, words + (f". {each.model.note}" if each.model.note else "")


def _smaller(best: Weighed, able: Sequence[Weighed]) -> Iterator[tuple[Weighed, str]]:
    least = (best.model.xnli or 0.0) - 2 * CLOSE
    less = [each for each in able if each.size < best.size and (each.model.xnli is None or each.model.xnli >= least)]
    for each in sorted(less, key=lambda each: (-(each.model.xnli or -99), -each.size))[:1]:
        yield each, f"{_beside(best, each)}{_loses(best, each)}"


def _praised(asked: Need, best: Weighed, rest: Sequence[Weighed]) -> Iterator[tuple[Weighed, str]]:
    """The best on XNLI of those that could be taken, and what it lacks: reading more of the languages is not all."""
    if asked.task.generates:
        return
    told = [each for each in rest if not each.against and each.model.xnli is not None]
    top = max(told, key=lambda each: each.model.xnli or 0.0, default=None)
    if top is None or (best.model.xnli is not None and (top.model.xnli or 0.0) <= best.model.xnli):
        return
    lacks = f"; it has not read {_listed(top.lacks)}" if top.lacks else f", and {_reads(asked, top)}"
    yield top, f"the best on XNLI of those that fit{_loses(best, top)}{lacks}"


def _blocked(asked: Need, best: Weighed, rest: Sequence[Weighed]) -> Iterator[tuple[Weighed, str]]:
    """What has read more of the languages, or was made for them, and cannot be taken."""
    found = []
    for each in rest:
        more = len(each.lacks) < len(best.lacks) or (each.group == "region" and len(each.lacks) <= len(best.lacks))
        if each.against and not each.unsure and more and not each.model.domain and not each.model.head:
            found.append(each)
    for each in sorted(found, key=lambda each: (len(each.lacks), each.size))[:2]:
        yield each, f"{_reads(asked, each)}, but {'; '.join(each.against)}"


def _talking(asked: Need, best: Weighed, rest: Sequence[Weighed]) -> Iterator[tuple[Weighed, str]]:
    """Chat models that may know the languages, and a pivot where the best one does not know all of them."""
    fits = [
        each for each in rest
        if each.unsure and each.model.head == "chat" and each.way is not None and each.way.cost is not None
    ]  # fmt: skip
    for each in sorted(fits, key=lambda each: -each.size)[:1]:
        yield each, f"{each.model.unsure}: let speakers judge it before it is trusted with {_listed(asked.langs)}"
    unknown = best.unsure or bool(best.lacks)
    pivot = [each for each in rest if unknown and each.model.head == "translate" and not each.lacks]
    for each in sorted(pivot, key=lambda each: each.size)[:1]:
        words = "as a pivot: it translates every language asked into one that a chat model speaks, and back; errors of both add up"
        if each.model.commercial is False:
            words += f". Its licence ({each.model.licence}) forbids commercial use"
        yield each, words


def _beside(best: Weighed, each: Weighed) -> str:
    share = each.size / best.size
    return (
        "as large"
        if 0.95 < share < 1.05
        else f"{share:.0%} of the parameters"
        if share < 1
        else f"{share:.1f} times the parameters"
    )


def _loses(best: Weighed, each: Weighed | None) -> str:
    if each is None or each.model.xnli is None or best.model.xnli is None:
        return ", how well it does beside it was not looked up"
    return f", {each.model.xnli - best.model.xnli:+.1f} points on XNLI"


def _reads(asked: Need, each: Weighed) -> str:
    n = len(asked.langs)
    return f"has read {n - len(each.lacks)} of {n}" if each.lacks else f"has read all {n}"


def _listed(tags: Sequence[str]) -> str:
    return ", ".join(list(tags)[:6]) + (f" and {len(tags) - 6} more" if len(tags) > 6 else "")
