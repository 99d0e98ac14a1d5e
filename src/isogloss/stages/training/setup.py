"""What a training begins with: the model with its methods, the encoded rows, the order of the mix, supervision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from isogloss.core import lang as lang_table
from isogloss.core import parts
from isogloss.core.corpus import Corpus
from isogloss.core.errors import DataError, InputError, IsoglossError
from isogloss.core.evidence import FEW_UNITS
from isogloss.core.recipe import Bound, Recipe, Train
from isogloss.core.run import Run
from isogloss.core.say import Say
from isogloss.core.weights import class_weights
from isogloss.nn import dropout, memory, states, trimming
from isogloss.nn.batches import Feed, token_ids
from isogloss.nn.model import Start, TextModel, n_parameters
from isogloss.nn.trainee import Manner, Trainee
from isogloss.nn.world import World
from isogloss.stages import floor
from isogloss.stages.train import slim, start_folder, train_rows
from isogloss.stages.training.account import Log, Seen
from isogloss.stages.training.health import Health, Vitals, chance_loss
from isogloss.stages.training.schedule import Plan
from isogloss.stages.training.supervise import Supervisor, lang_of

# Few-shot: above this rate or these epochs a pretrained model of this many trained parameters is said to be at risk.
BOLD_RATE, MANY_EPOCHS, LARGE = 5e-5, 10, 50e6
# Texts by which health is told: contents, languages of each, and how few contents say nothing of translations.
CONTENTS, PER_CONTENT, LEAST_CONTENTS = 24, 4, 8
# Under the folder of runs: states of frozen blocks, which runs share.
STATES = ".states"


@dataclass
class Job:
    """Everything a training works with. `encoded`, `weights`, `codes` (of languages) are by position of train rows."""

    trainee: Trainee
    encoded: list[dict[str, Any]]
    weights: np.ndarray
    codes: np.ndarray
    dev_encoded: list[dict[str, Any]]
    watch: Supervisor
    feed: Feed
    seen: Seen
    spec: Train
    tokens_per_word: dict[str, float]
    health: Health
    pulse: tuple[list[np.ndarray], np.ndarray]
    below: states.Below | None
    mix: Bound
    floor: Callable[[], dict[str, float]] | None

    def examine(self) -> str | None:
        """Why the model has collapsed, in a sentence; None while it has not."""
        why = self.health.examine(Vitals(*self.trainee.vitals(*self.pulse)))
        said: str | None = self.trainee.world.same(why)  # every process decides the same
        return said

    def close(self) -> None:
        """Let go of kept states: from here on the model answers by itself."""
        self.trainee.model.below = None
        if self.below is not None and self.below.store is not None:
            self.below.store.close()


def prepare(
    recipe: Recipe, run: Run, world: World, say: Say, rows: pl.DataFrame, labels: tuple[str, ...], log: Log
) -> Job:
    """Read the model and the rows. What memory it takes is said before weights are read."""
    spec, task = recipe.train, recipe.the_task
    if labels:
        rows = rows.filter(pl.col("label").is_in(labels))
    langs = sorted(rows["lang"].unique().to_list())
    choosing = _choosing(spec, rows)
    strange = [lang for lang in (spec.keep.langs or ()) if lang not in choosing] if spec.keep is not None else []
    if strange:
        raise DataError(
            f"train.keep.langs names {', '.join(strange)}, which is not trained on, so that nothing can be kept"
        )
    dev = train_rows(recipe, run, "dev").filter(pl.col("lang").is_in(langs))
    if dev.is_empty():
        if spec.stop or spec.keep:
            raise DataError(
                "train.stop and train.keep need dev rows of the languages that are trained on, and there are none"
            )
        say.note("there are no dev rows of the languages that are trained on: the last step is taken for the best")
    elif "task" in dev.columns and (unseen := sorted(set(rows["task"]) - set(dev["task"]))):
        say.note(
            f"there are no dev rows of {'the task' if len(unseen) == 1 else 'the tasks'} {', '.join(unseen)}: the others alone "
            "choose the checkpoint, stop and keep"
        )

    # Texts are encoded before weights are read, so that only the rows of the vocabulary that they use are.
    begin = partial(_start, recipe, run.path("start"), labels, rows)
    if not world.first:
        world.wait()  # a tokenizer that is made from the rows is made once
    skeleton, skeleton_rates = model_of(recipe, begin(skeleton=True))
    if world.first:
        world.wait()
    skeleton.max_length = length = min(skeleton.max_length, task.knobs.get("max_length", skeleton.max_length))
    trims = (
        spec.trim
        and spec.optimizer != "adafactor"
        and recipe.family.part.constant("TRIMS", False)
        and skeleton.facts["start"] != "scratch"
    )
    skeleton.noted = np.zeros(max(skeleton.tokenizer.get_vocab().values()) + 1, bool) if trims else None
    encoded, dev_encoded = task("encode", skeleton, rows, labels), task("encode", skeleton, dev, labels)
    _say_cut(rows["lang"].to_list(), encoded, say, log)
    kept = _kept(recipe, run, skeleton, rows) if trims else None
    _say_size(skeleton, skeleton_rates, kept, spec, world, say)

    model, rates = model_of(recipe, begin(skeleton=False, kept=kept, tokenizer=skeleton.tokenizer))
    if kept is not None and trimming.trimmed(model.net) is None:
        say.note("the table of the vocabulary cannot be told from other weights, so it is trained whole")
    # What training cuts, evaluation and serving cut too: the length is written with the tokenizer.
    model.max_length = length
    penalties = _penalties(recipe, model, rows)
    manner = Manner(
        spec.optimizer, spec.in_backward, spec.accumulate, spec.weight_decay, spec.clip, spec.checkpointing,
        spec.padding_free,
    )  # fmt: skip
    trainee = Trainee(
        model, task, recipe.family.module, rates, penalties, world, langs=langs, seed=recipe.train_seed, manner=manner
    )
    _below(recipe, run, trainee, encoded, dev_encoded, say)
    say.line(f"train     {dropout.attention(model.net, world.device)}")
    if unpadded := trainee.unpad([row["ids"] for row in encoded]):
        say.line(f"train     {unpadded}")
    watch = Supervisor(
        dev.select(pl.col("id", "lang", "group", "text", "^(label|task)$")),
        choosing,
        labels,
        recipe.headline,
        parts.load("metrics", recipe.headline).module,
        partial(task, "answers"),
        spec.stop,
        spec.keep,
    )
    weights = class_weights(rows, spec.weights)
    codes = rows["lang"].rank("dense").to_numpy().astype(np.int64) - 1
    n_tokens = np.array([len(row["ids"]) for row in encoded])
    lengths = None if task.part.constant("TIED", False) else n_tokens
    mix = recipe.bound(spec.mix, "mixes")
    needs = mix("needs") if mix.part.has("needs") else ()
    feed = Feed(
        mix, slim(rows).with_columns(pl.Series("n_tokens", n_tokens)), recipe.train_seed, lengths, spec.batch,
        spec.batch_tokens, losses="loss" in needs,
    )  # fmt: skip
    n_rows = np.bincount(codes, minlength=len(langs))
    a_batch = spec.batch if spec.batch_tokens is None else max(1.0, spec.batch_tokens / float(n_tokens.mean()))
    n_dev = dict(watch.dev.group_by("lang").len().sort("lang").rows())
    better = watch.metric.BETTER
    pulse = _pulse(run, model, langs, recipe.train_seed)
    model.put_away()
    return Job(
        trainee,
        encoded,
        weights,
        codes,
        dev_encoded,
        watch,
        feed,
        Seen(langs, n_rows, n_dev, better, a_batch),
        spec,
        _tokens_per_word(rows, encoded),
        Health(langs, _chance(task, rows) if labels else None),
        pulse,
        model.below,
        mix,
        partial(_floor, watch, rows, labels) if "floor" in needs else None,
    )


def _chance(task: Bound, rows: pl.DataFrame) -> float | None:
    """The loss of who always guesses with the shares of the labels: the cross-entropy, unless the task has another."""
    if not task.part.has("chance"):
        return chance_loss(rows["label"].to_list())
    known = rows["label"].drop_nulls().to_list()  # rows count alike, as in the losses that it is compared with
    return float(task("chance", known, np.ones(len(known)))) if known else None


def _floor(watch: Supervisor, rows: pl.DataFrame, labels: tuple[str, ...]) -> dict[str, float]:
    """What character n-grams of each language alone, on the rows that are trained on, score on the dev rows that choose;
    without labels, what n-grams of all do."""
    dev = watch.dev
    if dev.is_empty():
        return {}
    if labels:
        known = rows.filter(pl.col("lang").is_in(dev["lang"].unique().implode()))
        return watch.scores(floor.answers(known, dev, labels, "lang"))
    return watch.scores(floor.vectors(rows, dev))


def _pulse(run: Run, model: TextModel, langs: Sequence[str], seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """A few train texts, encoded, by which the model's health is told, and codes of what they say (-1: tied to none).

    Contents in several languages where there are such, of those that are trained on first; no label takes part.
    """
    rows = Corpus(run.path("corpus")).frame(["text", "lang", "group"], ["train"])
    own = rows.filter(pl.col("lang").is_in(langs))
    tied = rows.filter(pl.col("group").is_not_null()).filter(
        pl.col("lang").n_unique().over("group") > 1, pl.col("lang").is_in(langs).any().over("group")
    )
    if tied["group"].n_unique() >= LEAST_CONTENTS:
        chosen = tied["group"].unique().sort().sample(min(CONTENTS, tied["group"].n_unique()), seed=seed % 2**32)
        picked = (
            tied.filter(pl.col("group").is_in(chosen.implode()))
            .sort(~pl.col("lang").is_in(langs), pl.col("lang").hash(seed % 2**32), "lang", "text")
            .group_by("group", maintain_order=True)
            .head(PER_CONTENT)
        )
        codes = picked["group"].rank("dense").to_numpy().astype(np.int64)
    else:
        picked = own.sample(min(PER_CONTENT * CONTENTS, own.height), seed=seed % 2**32)
        codes = np.full(picked.height, -1)
    return token_ids(model, picked["text"].to_list(), model.max_length)[0], codes


def _choosing(spec: Train, rows: pl.DataFrame) -> list[str]:
    """The languages whose dev rows choose. Raises IsoglossError for rows of others beyond what shots draw."""
    langs = sorted(rows["lang"].unique().to_list())
    choosing = [lang for lang in langs if spec.langs is None or lang in spec.langs]
    n_own, n_drawn = Counter(rows["lang"].to_list()), spec.shots.rows if spec.shots else 0
    drawn_of = langs if spec.shots is None or spec.shots.langs is None else spec.shots.langs
    strangers = [lang for lang in langs if lang not in choosing and (n_own[lang] > n_drawn or lang not in drawn_of)]
    if strangers:
        raise IsoglossError(
            f"rows of {', '.join(strangers)} reached training; train.langs does not name it"
            + (f", and train.shots draws {spec.shots.rows}" if spec.shots else "")
        )
    return choosing


def _kept(recipe: Recipe, run: Run, skeleton: TextModel, rows: pl.DataFrame) -> np.ndarray | None:
    """The ids of the vocabulary that the corpus, dev and test included, and the methods' own texts encode to."""
    others = Corpus(run.path("corpus")).frame(["text"], ["dev", "test"])["text"].to_list()
    token_ids(skeleton, others, skeleton.max_length)
    for method in recipe.methods:
        if method.part.has("objective"):
            method("objective", skeleton, rows, seed=recipe.train_seed)
    assert skeleton.noted is not None
    return trimming.used(skeleton.noted, skeleton.tokenizer.all_special_ids)


def _say_size(
    skeleton: TextModel, rates: Mapping[str, float], kept: np.ndarray | None, spec: Train, world: World, say: Say
) -> None:
    """How large the model is and what memory its weights and what belongs to them will take."""
    n_all, n_trained = n_parameters(skeleton)
    if kept is not None:
        table = skeleton.net.get_input_embeddings().weight
        away = (table.shape[0] - len(kept)) * table.shape[1]
        n_all, n_trained = n_all - away, n_trained - away * table.requires_grad
        say.line(
            f"train     {len(kept):,} of {table.shape[0]:,} rows of the vocabulary are used; the others stay on disk"
        )
    parts_ = memory.needed(n_all, n_trained, spec.optimizer, in_backward=spec.in_backward)
    say.line(
        f"train     {memory.sentence(n_all, n_trained, parts_)}; {world.precision} on {world.device.type}"
        + (f", {world.size} processes" if world.size > 1 else "")
    )
    free = memory.available()
    if free is not None and world.device.type == "cpu" and sum(parts_.values()) > free:
        say.note(f"this machine has {free / 1e9:.1f} GB free, less than that; freeze blocks, or use lora")


def _below(
    recipe: Recipe, run: Run, trainee: Trainee, encoded: Sequence[Any], dev_encoded: Sequence[Any], say: Say
) -> None:
    """Let what nothing trained touches be computed once, where there is such a thing."""
    model, family, world = trainee.model, recipe.family.module, trainee.world
    k = states.depth(model, family)
    if k == 0:
        return
    store, n_blocks = None, len(family.blocks(model))
    if recipe.train.states_gb:
        facts = {"device": str(world.device.type), "precision": world.precision}
        key = states.key_of(model, family, k, facts)
        folder, bound = run.folder.parent / STATES, int(recipe.train.states_gb * 1e9)
        width = int(model.net.config.hidden_size)
        wanted = 2 * width * sum(len(row["ids"]) for row in (*encoded, *dev_encoded))
        if world.first:
            states.make_room(folder, key, wanted, bound)
        world.wait()
        store = states.Store(folder / key, width, bound)
        say.line(
            f"train     {k} of {n_blocks} blocks are frozen: their states are computed once a text and kept in {folder} "
            f"(up to {min(wanted, bound) / 1e9:.2f} GB)"
        )
    model.below = states.Below(family, k, store)


def sources(recipe: Recipe) -> dict[str, Any]:
    """Digests of the weights and the files of methods that the recipe names, to tell when they change under work."""
    family = recipe.family
    found = family("source", untrained(recipe, (), skeleton=True)) if family.part.has("source") else None
    of_methods = {m.name: read for m in recipe.methods if m.part.has("source") and (read := m("source"))}
    return ({"weights": found} if found else {}) | ({"parallel": of_methods} if of_methods else {})


def beginning(recipe: Recipe, run: Run, rows: pl.DataFrame) -> Start:
    """What a family needs to make, or find, the tokenizer of a run before training."""
    return _start(recipe, start_folder(recipe, run), (), rows, skeleton=True)


def untrained(recipe: Recipe, labels: Sequence[str], *, skeleton: bool) -> Start:
    """What a family needs for its model as it is before training."""
    return _start(
        recipe, Path(), labels, pl.DataFrame(schema={"text": pl.String, "lang": pl.String}), skeleton=skeleton
    )


def _start(
    recipe: Recipe,
    folder: Path,
    labels: Sequence[str],
    rows: pl.DataFrame,
    *,
    skeleton: bool,
    kept: np.ndarray | None = None,
    tokenizer: Any = None,
) -> Start:
    loading: dict[str, Any] = {}
    for method in recipe.methods:
        loading |= method("loading") if method.part.has("loading") else {}
    return Start(
        tuple(labels), folder, lambda: rows.select("text", "lang"), recipe.locate, recipe.train_seed,
        dropout=recipe.train.dropout, loading=loading, skeleton=skeleton,
        embeds=not recipe.the_task.part.constant("LABELLED", True), kept=kept, tokenizer=tokenizer,
    )  # fmt: skip


def model_of(recipe: Recipe, start: Start) -> tuple[TextModel, dict[str, float]]:
    """The model with its methods applied, and the factor of the learning rate of every parameter that is trained."""
    family = recipe.family
    model = family("load", start)
    torch.manual_seed(recipe.train_seed)
    # a trunk may have a pooler of its own, which vectors do not go through
    unused = "net.pooler." if start.embeds else None
    rates = {name: 1.0 for name, _ in model.named_parameters() if unused is None or not name.startswith(unused)}
    for method in recipe.methods:
        rates = method("apply", model, family.module, rates)
        if not rates:
            raise InputError(f"train.methods: after '{method.name}' nothing is left to train")
    for name, p in model.named_parameters():
        p.requires_grad_(name in rates)
    return model, rates


def _penalties(recipe: Recipe, model: TextModel, rows: pl.DataFrame) -> list[Callable[[int], torch.Tensor]]:
    """What methods add to the loss, as functions of the step."""

    def always(method: Bound) -> Callable[[int], torch.Tensor]:
        return lambda step: torch.as_tensor(method("penalty", model))

    found = [always(method) for method in recipe.methods if method.part.has("penalty")]
    own = [method for method in recipe.methods if method.part.has("objective")]
    return found + [method("objective", model, rows, seed=recipe.train_seed) for method in own]


def _tokens_per_word(rows: pl.DataFrame, encoded: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Tokens per word of the train rows that were not cut, by language; only where spaces separate words."""
    spaced = {lang for lang in rows["lang"].unique() if lang_table.facts(lang).spaces}
    n = pl.DataFrame(
        {"n_tokens": [len(row["ids"]) for row in encoded], "cut": [bool(row.get("cut")) for row in encoded]}
    )
    counted = pl.concat([rows.select("lang", "text"), n], how="horizontal").filter(
        pl.col("lang").is_in(spaced), ~pl.col("cut")
    )
    words = pl.col("text").str.count_matches(r"\S+")
    sums = counted.group_by("lang").agg(pl.col("n_tokens").sum() - 2 * pl.len(), words.sum().alias("n_words"))
    return {lang: round(tokens / n_words, 3) for lang, tokens, n_words in sums.sort("lang").rows() if n_words}


def _say_cut(langs: Sequence[str], encoded: Sequence[Mapping[str, Any]], say: Say, log: Log) -> None:
    """Say of which languages texts were longer than what is read of them, the most first."""
    cut: dict[str, list[bool]] = {}
    for lang, row in zip(langs, encoded, strict=True):
        cut.setdefault(lang, []).append(row.get("cut", False))
    shares = {lang: float(np.mean(flags)) for lang, flags in cut.items() if any(flags)}
    if shares:
        most = sorted(shares, key=lambda lang: -shares[lang])
        shown = ", ".join(f"{lang} {shares[lang]:.1%}" for lang in most[:5]) + (
            f" and {len(most) - 5} more languages" if len(most) > 5 else ""
        )
        say.note(f"train texts longer than the model reads were cut: {shown}")
    log.event("cut", shares=shares)


def cautions(job: Job, plan_: Plan) -> Iterator[str]:
    """What cannot be kept; and the classic warnings for few-shot rows: a large pretrained model forgets at high rates, and learns few rows by heart.

    Adapters and small models (`isogloss/mini` has 9 million parameters) bear, and need, more than that.
    """
    spec, model = job.spec, job.trainee.model
    untold = (
        [cell for cell in job.watch.untold if not spec.keep.langs or lang_of(cell) in spec.keep.langs]
        if spec.keep
        else []
    )
    if untold:
        shown = ", ".join(untold[:5]) + (f" and {len(untold) - 5} more" if len(untold) > 5 else "")
        yield f"train.keep can see no fall in languages with fewer than {FEW_UNITS} dev rows: {shown}"
    n_trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if spec.shots is None or model.facts["start"] == "scratch" or n_trained <= LARGE:
        return
    what = f"{n_trained / 1e6:.0f} million pretrained parameters are trained on few-shot rows"
    if spec.lr > BOLD_RATE:
        yield f"{what} at lr = {spec.lr:g}; above {BOLD_RATE:g} such a model often forgets, and 2e-5 is safe"
    epochs = plan_.steps * spec.batch / len(job.encoded)
    if epochs > MANY_EPOCHS:
        yield f"{what} for {epochs:.0f} epochs; above {MANY_EPOCHS} they are known by heart, and 5 are safe"
