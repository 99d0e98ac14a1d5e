"""What is asked of a plan: a recipe, whole or in part, or flags; what the data has; the machine, the budget, the limits.

A recipe may lack everything that a plan is there to find, and may name a task that isogloss cannot train; what it does
say is checked as `isogloss run` checks it.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isogloss.core import lang as lang_table
from isogloss.core import machines, near
from isogloss.core import recipe as recipes
from isogloss.core.corpus import Fields, Noted, Rejected, read
from isogloss.core.errors import DataError, InputError, RecipeError, nearest
from isogloss.core.machines import Setup
from isogloss.core.recipe import Recipe
from isogloss.core.say import Say
from isogloss.stages.planning import forecast
from isogloss.stages.planning.cost import Price
from isogloss.stages.planning.tasks import Task, domain, task

# Rows of the data that are read at most, and texts of a language that are kept.
MOST_ROWS, TEXTS, MOST_CHARACTERS = 300_000, 200, 5000
# What training may take where nobody says, seconds: a night.
NIGHT = 12 * 3600.0
# Half of the 95 % interval of a language's score that test rows should give.
WIDTH = 0.07
PLACEHOLDER = "labels.jsonl"


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent: seconds of training, labels, money. None: nobody said."""

    seconds: float | None = None
    labels: int | None = None
    money: float | None = None
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Prices:
    """What the user says things cost; nothing is assumed."""

    hour: float | None = None
    kwh: float | None = None
    label: float | None = None
    currency: str = ""

    @property
    def machine(self) -> Price:
        return Price(self.hour, self.kwh, self.currency)


@dataclass
class Data:
    """What the data has: rows that can be learned from by language and split, others by language, labels, some texts of
    each language."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    unlabelled: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    texts: dict[str, list[str]] = field(default_factory=dict)
    n_rows: int = 0
    n_tied: int = 0
    complete: bool = True

    def n(self, tag: str, split: str) -> int:
        return self.counts[tag, split]

    @property
    def langs(self) -> list[str]:
        return sorted(self.texts)


@dataclass(frozen=True)
class Need:
    """The question, whole. `recipe` is what stands in the file, checked; `given` what it says as plain values."""

    name: str
    task: Task
    langs: tuple[str, ...]
    asked: Mapping[str, str]
    train_langs: tuple[str, ...] | None
    setup: Setup
    machine_named: bool
    budget: Budget
    prices: Prices
    domain: str
    licence: str
    model: str | None
    width: float
    latency: float | None
    tokens: int | None
    labels: int | None
    data: Data | None
    recipe: Recipe | None
    given: Mapping[str, Any]
    file: Path | None
    notes: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Seconds that one training may take: what was said, what the money buys, or a night."""
        said = NIGHT if self.budget.seconds is None else self.budget.seconds
        an_hour = (self.prices.hour or 0.0) + (self.prices.kwh or 0.0) * self.setup.watts / 1000
        if self.budget.money is None or not an_hour:
            return said
        return min(said, 3600 * self.budget.money / an_hour)

    @property
    def most_labels(self) -> int | None:
        """Labels that may be bought: as many as were said, or as the money buys where a label has a price; None: no limit."""
        if self.budget.money is None or not self.prices.label:
            return self.budget.labels
        bought = int(self.budget.money / self.prices.label)
        return bought if self.budget.labels is None else min(bought, self.budget.labels)

    @property
    def family(self) -> str | None:
        """A family that fits itself (ngram, static), where the recipe names one for the task; it is not overruled."""
        if self.model or self.recipe is None or "model" not in self.given or self.task.part != self.recipe.task.use:
            return None
        use = self.recipe.model.use
        return None if use == "encoder" else use

    def learns(self, tag: str) -> bool:
        """Whether rows of a language may be learned from: the recipe may name those that are."""
        return self.train_langs is None or tag in self.train_langs

    @property
    def n_tokens(self) -> int:
        """Tokens of a row at the median, where no text says it."""
        return self.tokens or self.task.tokens

    @property
    def n_labels(self) -> int:
        """Labels to tell apart; 0 where a task has none."""
        known = len(self.data.labels) if self.data else 0
        return self.labels or (known if self.task.labels else 0) or self.task.labels

    def have(self, tag: str, split: str) -> int:
        return self.data.n(tag, split) if self.data else 0


# -- words ------------------------------------------------------------------------------------------------------

_SECONDS = {"s": 1.0, "sec": 1.0, "second": 1.0, "min": 60.0, "m": 60.0, "minute": 60.0, "h": 3600.0, "hour": 3600.0,
            "d": 86400.0, "day": 86400.0}  # fmt: skip
_LABELS = ("label", "row", "example", "annotation")
_SIGNS = {"€": "EUR", "$": "USD", "£": "GBP", "₹": "INR"}
# 1,500 is a thousand and a half, 1,5 is one and a half.
_AMOUNT = re.compile(r"([€$£₹]?)\s*(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:[.,]\d+)?)\s*(k?)\s*([^\d\s]*)")


def budget(text: str) -> Budget:
    """Read what may be spent. Raises InputError for what is no amount.

    >>> budget("8h, 600 labels, 50 EUR")
    Budget(seconds=28800.0, labels=600, money=50.0, currency='EUR')
    >>> budget("8h,1,500 labels").labels
    1500
    """
    found: dict[str, Any] = {}
    for piece in re.split(r"[,;]\s+|\s*;\s*|(?<=[^\W\d]),(?=\d)|\s+and\s+", text.strip()):
        match = _AMOUNT.fullmatch(piece.strip())
        if not match:
            raise InputError(f"--budget: '{piece}' is no amount; write e.g. \"8h, 600 labels, 50 EUR\"")
        number = _number(match[2]) * (1000 if match[3] else 1)
        unit = match[4].rstrip(".")
        key = unit.casefold().removesuffix("s") if len(unit) > 1 else unit.casefold()
        more: dict[str, Any]
        if key in _SECONDS and not match[1]:
            if not number:
                raise InputError(f"--budget: '{piece}' leaves no time to train; leave it out, or write e.g. 8h")
            more = {"seconds": number * _SECONDS[key]}
        elif key in _LABELS:
            if number != int(number):
                raise InputError(f"--budget: '{piece}' is no whole number of labels; write 1500 for fifteen hundred")
            more = {"labels": int(number)}
        elif match[1] or re.fullmatch(r"[A-Za-z]{3}", unit):
            more = {"money": number, "currency": _SIGNS.get(match[1], unit.upper())}
        else:
            raise InputError(f"--budget: nobody can tell what '{piece}' is; write e.g. \"8h, 600 labels, 50 EUR\"")
        if set(more) & set(found):
            raise InputError(f"--budget says twice what {next(iter(more))} there may be: '{text}'")
        found.update(more)
    return Budget(**found)


def prices(texts: Sequence[str]) -> Prices:
    """Read what things cost. Raises InputError for what is no price.

    >>> prices(["1.2 EUR/h", "0.3 EUR/kWh"])
    Prices(hour=1.2, kwh=0.3, label=None, currency='EUR')
    """
    found: dict[str, Any] = {}
    for text in texts:
        amount, sign, per = text.partition("/")
        match = _AMOUNT.fullmatch(amount.strip())
        what = {"h": "hour", "hour": "hour", "kwh": "kwh", "label": "label", "row": "label"}.get(per.strip().casefold())
        if not match or not sign or what is None or not (match[1] or match[4]):
            raise InputError(
                f'--price: \'{text}\' is no price; write e.g. "1.2 EUR/h", "0.3 EUR/kWh" or "0.2 EUR/label"'
            )
        currency = _SIGNS.get(match[1], match[4].upper())
        if found.get("currency", currency) != currency:
            raise InputError(f"--price: {found['currency']} and {currency} cannot be added; give all prices in one")
        found.update({what: _number(match[2]) * (1000 if match[3] else 1), "currency": currency})
    return Prices(**found)


def _number(text: str) -> float:
    """A number as people write it.

    >>> _number("1,500"), _number("1,5"), _number("0.25")
    (1500.0, 1.5, 0.25)
    """
    if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", text):
        return float(text.replace(",", ""))
    return float(text.replace(",", "."))


def tags(codes: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The tag of each code → the code; and what was assumed. Raises DataError for a code that is no language."""
    found: dict[str, str] = {}
    notes = []
    for code in codes:
        seen = lang_table.resolve(code)
        if seen.note:
            notes.append(seen.note)
        elif not seen.variety and not lang_table.plainly(code, seen.tag):
            notes.append(f"'{code}' is read as {seen.tag} ({lang_table.facts(seen.tag).name})")
        if seen.tag.endswith("_Sgnw"):
            notes.append(
                f"'{code}' is a signed language: as text it is SignWriting, which the tokenizers of base models do not read"
            )
        if seen.variety:
            notes.append(f"'{code}' is planned for as {seen.tag}; a region is a slice of its rows, not a language")
        if seen.tag in found and found[seen.tag] != code:
            notes.append(f"'{code}' and '{found[seen.tag]}' are both {seen.tag}, which is planned for once")
        found.setdefault(seen.tag, code)
    return found, notes


# -- the recipe -------------------------------------------------------------------------------------------------


def of_recipe(path: str | Path) -> tuple[dict[str, Any], Recipe, Task, bool]:
    """What a recipe says; it as a whole one, with what it lacks filled in; its task; whether it names its data.

    Raises RecipeError for what is wrong in it, with file, line and key.
    """
    file = Path(path)
    given, text = recipes.parse(file)
    asked = given.get("task", "classify")
    word = asked.get("use") if isinstance(asked, dict) else asked
    if not isinstance(word, str):
        raise RecipeError(f"task: a task is a word such as 'classify', got {word!r}", file=file, line=1, key="task")
    try:
        kind = task(word)
    except InputError as error:
        raise RecipeError(f"task: {error}", file=file, line=recipes.line_of(text, ["task"]), key="task") from None
    whole = dict(given)
    if kind.name != word or kind.part != word:  # a task that people mean, and one that a part trains
        whole["task"] = kind.part or "classify"
    if kind.part is None:  # its metrics and gates are not here either
        whole.pop("gate", None)
        if isinstance(whole.get("evaluate"), dict):
            whole["evaluate"] = {key: value for key, value in whole["evaluate"].items() if key != "metrics"}
    whole.setdefault("task", kind.part or "classify")
    whole.setdefault("name", re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem).strip("-._") or "plan")
    whole.setdefault("model", "ngram" if whole["task"] == "classify" else "isogloss/mini")
    has_data = isinstance(given.get("data"), dict) and "raw" in given["data"]
    if not has_data:
        whole["data"] = (
            {**given.get("data", {}), "raw": [PLACEHOLDER]}
            if isinstance(given.get("data", {}), dict)
            else given["data"]
        )
    made = recipes.build(whole, file=file, text=text, folder=file.resolve().parent)
    return given, made, kind, has_data


def survey(made: Recipe, kind: Task, say: Say) -> tuple[Data | None, list[str]]:
    """What the recipe's data has, of at most MOST_ROWS rows; None with a note where its files are not there.

    Raises DataError for files of which no row can be used.
    """
    from isogloss.stages import prepare

    try:
        raws = prepare.raw_files(made)
    except DataError as error:
        return None, [f"{error}; planned as if there were no rows yet"]
    own = prepare.fields(made)
    fields = Fields(columns=own.columns, task_fields=(), keep=("label",), detect=own.detect)
    data = Data()
    heaps: dict[str, list[tuple[int, int, str]]] = {}
    undealt: Counter[str] = Counter()
    n_aside, first = 0, ""
    for row in _rows(raws, fields):
        if isinstance(row, Rejected):
            n_aside, first = n_aside + 1, first or f"{row.origin}: {row.reason}"
            continue
        if data.n_rows == MOST_ROWS:
            data.complete = False
            break
        data.n_rows += 1
        if data.n_rows % 20_000 == 0:
            say.progress("reading", data.n_rows, None, "rows")
        tag, text, label = str(row["lang"] or "und"), str(row["text"]), row.get("label")
        if label is not None:
            data.labels[str(label)] += 1
        data.n_tied += row.get("group") is not None
        if kind.labels and label is None:
            data.unlabelled[tag] += 1
        elif row["split"]:
            data.counts[tag, str(row["split"])] += 1
        else:
            undealt[tag] += 1
        _keep(heaps.setdefault(tag, []), text, data.n_rows)
    say.close()
    if not data.n_rows:
        shown = ", ".join(sorted({raw.shown for raw in raws})[:3])
        why = f" ({first})" if first else ": there is none"
        raise DataError(f"no row of {shown} can be used{why}; mend it, or plan without data: --task and --langs")
    shares = made.data.split
    for tag, n in undealt.items():  # as `prepare` will deal them, near enough
        dev, test = round(n * shares.dev), round(n * shares.test)
        for split, dealt in (("dev", dev), ("test", test), ("train", n - dev - test)):
            data.counts[tag, split] += dealt
    data.texts = {tag: [text for *_, text in sorted(heap, reverse=True)] for tag, heap in heaps.items()}
    notes = []
    if n_aside:
        notes.append(f"{n_aside:,} row{'s' * (n_aside > 1)} of the data cannot be used, and do not count ({first})")
    if not data.complete:
        notes.append(f"the data has more than {MOST_ROWS:,} rows; the first ones were counted")
    return data, notes


def _rows(raws: Sequence[Any], fields: Fields) -> Iterator[Any]:
    for raw in raws:
        yield from (row for row in read(raw, fields) if not isinstance(row, Noted))


def _keep(heap: list[tuple[int, int, str]], text: str, n: int) -> None:
    """Keep the texts with the smallest hashes, so that the order of rows plays no part."""
    mark = int.from_bytes(near.digest(text)[:8], "big")
    if len(heap) < TEXTS:
        heapq.heappush(heap, (-mark, n, text[:MOST_CHARACTERS]))
    elif -heap[0][0] > mark:
        heapq.heapreplace(heap, (-mark, n, text[:MOST_CHARACTERS]))


def need(
    recipe: str | Path | None = None,
    *,
    task_name: str | None = None,
    langs: Sequence[str] | None = None,
    machine: str | None = None,
    budget_text: str | None = None,
    price: Sequence[str] = (),
    domain_name: str = "",
    licence: str = "commercial",
    model: str | None = None,
    name: str | None = None,
    width: float = WIDTH,
    latency: float | None = None,
    tokens: int | None = None,
    n_labels: int | None = None,
    say: Say | None = None,
) -> Need:
    """Gather the question; flags win over what the recipe says. Raises InputError for what is missing or wrong."""
    say = say or Say()
    notes: list[str] = []
    given: Mapping[str, Any] = {}
    made: Recipe | None = None
    data: Data | None = None
    kind: Task | None = None
    if recipe is not None:
        given, made, kind, has_data = of_recipe(recipe)
        if has_data:
            data, more = survey(made, kind, say)
            notes += more
    if task_name is not None:
        kind = task(task_name)
    if kind is None:
        raise InputError("a plan is of a task: give a recipe, or --task, e.g. --task classify --langs swh,amh,hau")
    codes = list(langs) if langs else None
    if codes is None and made is not None and isinstance(made.langs, list):
        codes = list(made.langs)
    if codes is None and data is not None:
        codes = [tag for tag in data.langs if tag != "und"]
    if not codes:
        raise InputError("no language is named: give --langs, e.g. --langs swh,amh,hau, or `langs` in the recipe")
    asked, more = tags(codes)
    notes += [*(made.notes if made and not langs else ()), *more]
    if licence not in ("commercial", "any"):
        raise InputError(
            f"--licence is 'commercial' (the default) or 'any', got '{licence}'{nearest(licence, ['commercial', 'any'])}"
        )
    if not 0.005 <= width <= 0.3:
        raise InputError(f"--width is half of an interval, between 0.005 and 0.3, got {width:g}")
    if latency is not None and latency <= 0:
        raise InputError(f"--latency is milliseconds a text, above 0, got {latency:g}")
    if tokens is not None and tokens < 2:
        raise InputError(f"--tokens is what a text has, 2 or more, got {tokens}")
    if n_labels is not None and n_labels < 2:
        raise InputError(f"--labels is how many labels there are to tell apart, 2 or more, got {n_labels}")
    may = budget(budget_text) if budget_text else Budget()
    cost = prices(price)
    if made is not None:
        spend = made.budget
        may = Budget(may.seconds or spend.seconds, may.labels, may.money, may.currency)
        if cost.hour is None and spend.price_per_hour is not None:
            cost = Prices(spend.price_per_hour, cost.kwh, cost.label, cost.currency or spend.currency)
    if may.money is not None and cost.currency and may.currency != cost.currency:
        raise InputError(f"the budget is in {may.currency} and prices are in {cost.currency}; give both in one")
    if may.money is not None and cost == Prices(currency=cost.currency):
        notes.append(
            f'{may.money:g} {may.currency} of the budget had no effect: no price was given, e.g. --price "1.2 EUR/h"'
        )
    setup = machines.parse(machine) if machine else forecast.here(made.train.precision if made else "auto")
    return Need(
        name=name or (made.name if made else _name(kind, asked)), task=kind, langs=tuple(asked), asked=asked,
        train_langs=tuple(made.train.langs) if made and made.train.langs else None, setup=setup,
        machine_named=machine is not None, budget=may, prices=cost, domain=domain(domain_name), licence=licence,
        model=model, width=width, latency=latency, tokens=tokens, labels=n_labels, data=data, recipe=made, given=given,
        file=Path(recipe) if recipe is not None else None, notes=tuple(dict.fromkeys(notes)),
    )  # fmt: skip


def _name(kind: Task, langs: Mapping[str, str]) -> str:
    few = list(langs)[:3]
    return "-".join([kind.name, *(tag[:3] for tag in few), *([f"and-{len(langs) - 3}"] if len(langs) > 3 else [])])


def named_model(asked: Need) -> str | None:
    """The encoder that the user names, on the command line or in the recipe; None for a family that fits itself."""
    if asked.model:
        return asked.model
    if asked.recipe is not None and "model" in asked.given and asked.recipe.model.use == "encoder":
        return str(asked.recipe.model.knobs.get("name") or "") or None
    return None
