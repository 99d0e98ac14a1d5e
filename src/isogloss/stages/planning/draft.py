"""The completed recipe: what the user wrote, what the plan adds, each with the reason; nothing that isogloss cannot run."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from isogloss.core import recipe as recipes
from isogloss.core.recipe import Recipe
from isogloss.stages.examples import visible
from isogloss.stages.planning.choose import Weighed
from isogloss.stages.planning.evaluation import gates_of
from isogloss.stages.planning.fit import BATCH, Way, epochs
from isogloss.stages.planning.labels import Labels
from isogloss.stages.planning.need import PLACEHOLDER, Need
from isogloss.stages.planning.sourcing import Sources
from isogloss.stages.words import toml

WIDTH = 110
# Sizes of the languages' train rows that are so many times apart are seen in other proportions than they have.
SKEWED = 3.0
# Learning rates by the parameters of the blocks that learn; adapters want ten times as much.
RATES = ((80e6, 2e-5), (15e6, 5e-5), (0.0, 5e-4))
ADAPTERS = 10.0


def value(
    asked: Need, today: Need, model: Weighed | None, sources: Sources, labels: Labels, out: Path
) -> tuple[dict[str, Any], dict[str, str]]:
    """The recipe as plain values, and why each key that the plan set has its value. `today` is what is trained now."""
    given: dict[str, Any] = {key: _copy(item) for key, item in asked.given.items()}
    why: dict[str, str] = {}
    made: dict[str, Any] = {"name": asked.name, "langs": list(asked.langs)}
    made["task"] = _task(asked, today, given, why)
    made["model"] = _model(asked, model, out, why)
    if "seed" in given:
        made["seed"] = given["seed"]
    made["data"] = _data(asked, given, out, why)
    made["train"] = _train(asked, model, sources, labels, given, why)
    if model is None and asked.family is None and set(made["train"].get("langs", asked.langs)) != set(asked.langs):
        made["model"] = {"use": "ngram", "scope": "pooled"}
        why["model"] = (
            "No encoder of the catalogue fits: character n-grams, one model for all, since not every language has rows."
        )
    evaluate = dict(given.get("evaluate") or {})
    if asked.task.part is None:
        evaluate.pop("metrics", None)
    if (
        today.task.part == "classify"
        and len(asked.langs) > 1
        and sources.langs[0] in asked.langs
        and "source" not in evaluate
    ):
        evaluate["source"] = sources.langs[0]
        why["evaluate.source"] = "The language of the source-only baseline: what zero-shot from it would have given."
    if evaluate:
        made["evaluate"] = evaluate
    spend = dict(given.get("budget") or {})
    if asked.budget.seconds is not None:
        spend["seconds"] = float(asked.budget.seconds)
    if asked.prices.hour is not None:
        spend["price_per_hour"] = float(asked.prices.hour)
        if asked.prices.currency:
            spend["currency"] = asked.prices.currency
    if spend:
        made["budget"] = spend
    if given.get("gate") and asked.task.part is not None:
        made["gate"] = given["gate"]
    elif proposed := gates_of(
        today, labels
    ):  # where the task itself is not trained here, what runs has gates all the same
        gates = [dict(gate) for gate in proposed]
        if model is None:  # n-grams read without a tokenizer, and are the floor themselves
            gates = [
                {key: item for key, item in gate.items() if key != "beats"} for gate in gates if gate["at"] != "train"
            ]
        made["gate"] = [gate for gate in gates if len(gate) > 1]
        why["gate"] = (
            "Proposed: intervals are compared, not points. Add the score that users need in every language, "
            'e.g. every_lang = {macro_f1 = ">= 0.8"}: the plan cannot know it.'
        )
    return {key: item for key, item in made.items() if item not in ({}, [])}, why


def launch(asked: Need, model: Weighed | None, recipe: str | Path) -> str:
    """The command that runs the recipe: a process a card where there are several, each with the whole model."""
    run = f"isogloss run {recipe}"
    return run if model is None or asked.setup.n == 1 else f"torchrun --nproc-per-node {asked.setup.n} -m {run}"


def check(made: Mapping[str, Any], text: str, folder: Path) -> Recipe:
    """The completed recipe, read as `isogloss run` reads it. Raises RecipeError where it is not whole."""
    import tomllib

    read = tomllib.loads(text)
    assert read == dict(made), "the recipe does not say what was meant"
    return recipes.build(read, text=text, folder=folder)


def _task(asked: Need, today: Need, given: Mapping[str, Any], why: dict[str, str]) -> Any:
    if asked.task.part is not None:
        said = given.get("task")
        if isinstance(said, dict) and said.get("use") == asked.task.part:
            return said
        if asked.task.part != asked.task.name:
            why["task"] = f"'{asked.task.name}' is trained as {asked.task.part}: {asked.task.words}."
        return asked.task.part
    instead = asked.task.instead[1] if asked.task.instead else ""
    why["task"] = f"isogloss does not train '{asked.task.name}' yet. This recipe runs today: {instead}."
    return today.task.part or "classify"


def _model(asked: Need, model: Weighed | None, out: Path, why: dict[str, str]) -> Any:
    if asked.family is not None:
        return _moved(asked.given["model"], asked, out)
    if model is None:
        why["model"] = (
            "No encoder of the catalogue fits: character n-grams, one model a language. They are the floor, and they run."
        )
        return {"use": "ngram", "scope": "lang"}
    said = asked.given.get("model")
    knobs = (
        dict(said)
        if isinstance(said, dict) and said.get("use") == "encoder" and said.get("name") == model.model.name
        else {}
    )
    name = model.model.name
    if model.folder is not None and not name.startswith("isogloss/") and _is_path(name, model.folder):
        name = _beside(model.folder, out)
    return {**knobs, "use": "encoder", "name": name} if knobs or "/" not in name else name


def _is_path(name: str, folder: Path) -> bool:
    """Whether a name is a folder of the user's, and not one that the hub's cache has."""
    return "models--" not in str(folder) or Path(name).exists()


def _data(asked: Need, given: Mapping[str, Any], out: Path, why: dict[str, str]) -> dict[str, Any]:
    data = dict(given.get("data") or {})
    if "raw" not in data:
        why["data.raw"] = (
            f"Nothing is labelled yet. Put the labelled rows here, a line each with text, lang and "
            f"{'group' if asked.task.name == 'embed' else 'label'}; PLAN.md says how many in each language."
        )
        return {"raw": [PLACEHOLDER], **data}
    data["raw"] = _moved(data["raw"], asked, out)
    if "steps" in data:
        data["steps"] = _moved(data["steps"], asked, out)
    return data


def _moved(item: Any, asked: Need, out: Path) -> Any:
    """Paths that are there, as they are called from the folder of the completed recipe."""
    if isinstance(item, list):
        return [_moved(each, asked, out) for each in item]
    if isinstance(item, dict):
        return {key: inner if key == "use" else _moved(inner, asked, out) for key, inner in item.items()}
    if not isinstance(item, str) or asked.recipe is None or Path(item).is_absolute() or item.startswith("isogloss/"):
        return item
    fixed = re.split(r"[*?\[{]", item, maxsplit=1)[0]
    place = asked.recipe.locate(item)
    there = (
        place.exists()
        if fixed == item
        else Path(str(place)[: len(str(place)) - len(item) + len(fixed)]).parent.exists()
    )
    if "/" not in item and not place.exists():  # a word, and no path
        return item
    return _beside(place, out) if there else item


def _beside(place: Path, out: Path) -> str:
    return Path(os.path.relpath(place.absolute(), out.absolute())).as_posix()


def _train(
    asked: Need, model: Weighed | None, sources: Sources, labels: Labels, given: Mapping[str, Any], why: dict[str, str]
) -> dict[str, Any]:
    train = dict(given.get("train") or {})
    learning = [each.tag for each in labels.langs if each.total("train") > 0]
    if "langs" not in train and 0 < len(learning) < len(asked.langs):
        train["langs"] = learning
        why["train.langs"] = "Only these have rows to learn from; the others are scored zero-shot."
    if "langs" not in train and not learning:
        train["langs"] = list(sources.langs)
        why["train.langs"] = "Zero-shot: rows of these languages are needed all the same; the others are only scored."
    counts = [each.total("train") for each in labels.langs if each.total("train")]
    if "mix" not in train and counts and max(counts) > SKEWED * min(counts) and asked.task.name != "embed":
        train["mix"] = {"use": "temperature", "tau": 0.3}
        why["train.mix"] = (
            f"Sizes are {max(counts) / min(counts):.0f} times apart: a language is seen in proportion to n^0.3."
        )
    if model is None or model.way is None or model.way.cost is None:
        from isogloss.core.recipe import LOOP_KEYS

        return {key: item for key, item in train.items() if key not in LOOP_KEYS}
    way = model.way
    if "methods" not in train or way.method.name not in [
        use if isinstance(use, str) else use.get("use") for use in train["methods"]
    ]:
        train["methods"] = [method_of(way)]
        why["train.methods"] = _why_method(way, model.passed)
    n_rows = max(1, sum(counts))
    if counts and "epochs" not in train and "steps" not in train:
        train["epochs"] = float(epochs(n_rows))
        why["train.epochs"] = f"{n_rows:,} rows to learn from: few rows are seen more often, ten times at most."
    if "batch" not in train and "batch_tokens" not in train:
        train["batch"] = BATCH
    if way.parts > 1 and train.get("accumulate", 1) < way.parts:
        train["accumulate"] = way.parts
        why["train.accumulate"] = "A step is taken in parts, so that it fits the memory."
    if "precision" not in train and asked.setup.half == "fp16" and "in_backward" not in train:
        train["precision"] = "fp16"
        why["train.precision"] = "The card has no bf16, and in fp32 it would be slower and larger than the estimate."
    if way.method.checkpointing:
        train["checkpointing"] = True
        why["train.checkpointing"] = "Blocks are computed again in the backward pass: slower, and it fits."
    if "lr" not in train:
        train["lr"] = rate(model)
        why["train.lr"] = (
            "Small models and adapters need far more than the 2e-5 of large ones." if train["lr"] > 2e-5 else ""
        )
    if "stop" not in train and len(asked.langs) > 1 and any(each.total("dev") for each in labels.langs):
        train["stop"] = {"on": "worst", "patience": 3}
        why["train.stop"] = "Ends when the worst languages stop gaining on dev."
    return train


def rate(model: Weighed) -> float:
    """The learning rate for a model and its method."""
    arch = model.model.arch
    blocks = sum(stack.n for stack in arch.stacks) if arch else 0
    found = next(rate for least, rate in RATES if blocks >= least)
    small = bool(model.way and model.way.method.small)
    return min(1e-3, found * (ADAPTERS if small else 1.0))


def method_of(way: Way) -> Any:
    if way.method.name == "freeze":
        return {"use": "freeze", "blocks": way.method.frozen_blocks}
    return {"use": "lora", "r": way.method.rank} if way.method.name == "lora" else way.method.name


def _why_method(way: Way, passed: Sequence[str]) -> str:
    words = {
        "full": "Every weight is trained",
        "freeze": "The embeddings and the lower blocks stay",
        "lora": "Adapters are trained",
    }
    cost = way.cost
    share = f" ({cost.share:.2%} of the parameters)" if cost and cost.share < 1 else ""
    return f"{words.get(way.method.name, way.method.name)}{share}: the first method that fits." + (
        f" Before it: {'; '.join(passed)}." if passed else ""
    )


# -- writing ----------------------------------------------------------------------------------------------------


def render(made: Mapping[str, Any], why: Mapping[str, str], head: Sequence[str]) -> str:
    """The recipe as TOML with comments."""
    lines = [f"# {visible(line)}" for line in head] + [""]
    for key, item in made.items():
        if not isinstance(item, dict) or key in ("task", "model"):
            if key == "gate":
                continue
            lines += _said(why.get(key, ""))
            lines.append(f"{key} = {_langs(item) if key == 'langs' else toml(item)}")
    for key, item in made.items():
        if isinstance(item, dict) and key not in ("task", "model"):
            lines += ["", f"[{key}]"]
            for name, inner in item.items():
                lines += _said(why.get(f"{key}.{name}", ""))
                lines.append(f"{name if re.fullmatch(r'[A-Za-z0-9_-]+', name) else toml(name)} = {toml(inner)}")
    for i, gate in enumerate(made.get("gate", ())):
        lines += ["", *(_said(why.get("gate", "")) if i == 0 else ()), "[[gate]]"]
        lines += [f"{name} = {toml(inner)}" for name, inner in gate.items()]
    return "\n".join(lines) + "\n"


def _said(text: str) -> list[str]:
    text = visible(" ".join(text.split()))
    return textwrap.wrap(
        text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False, break_on_hyphens=False
    )


def _langs(tags: Sequence[str]) -> str:
    if len(tags) <= 6:
        return toml(list(tags))
    sixes = [tags[i : i + 6] for i in range(0, len(tags), 6)]
    return "\n".join(["[", *("  " + " ".join(f"{toml(tag)}," for tag in six) for six in sixes), "]"])


def _copy(item: Any) -> Any:
    if isinstance(item, dict):
        return {key: _copy(inner) for key, inner in item.items()}
    return [_copy(each) for each in item] if isinstance(item, list) else item
