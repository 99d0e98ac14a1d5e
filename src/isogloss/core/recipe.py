"""Recipe: one frozen, typed value, read from one TOML file, that determines a run completely.

Reading it checks everything that can be known before work starts: keys, types, languages, parts and their knobs,
conditions of gates. An error names file, line, key and the nearest right name.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from isogloss.core import lang as lang_table
from isogloss.core import parts
from isogloss.core.errors import DataError, RecipeError, nearest
from isogloss.core.files import sound
from isogloss.core.gate import parse_condition
from isogloss.core.ledger import Unit
from isogloss.core.tax import MEASURES

Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]


def _tag(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return lang_table.resolve(value).tag
        except DataError as error:
            raise ValueError(str(error)) from None
    return value


Tag = Annotated[str, BeforeValidator(_tag)]


def _once(values: list[Any]) -> list[Any]:
    twice = sorted({str(value) for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} stands twice")
    return values


Once = AfterValidator(_once)


class Section(BaseModel):
    """A table of the recipe: frozen, no unknown keys, no silent conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Use(Section):
    """A part and its knobs: `"lora"` or `{use = "lora", r = 8}`."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)

    use: str

    @property
    def knobs(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


def _use(value: Any) -> Any:
    return {"use": value} if isinstance(value, str) else value


Slot = Annotated[Use, BeforeValidator(_use)]


def _model(value: Any) -> Any:
    """A name with a slash is that of an encoder, `isogloss/mini`; one without is a family's."""
    return {"use": "encoder", "name": value} if isinstance(value, str) and "/" in value else _use(value)


Model = Annotated[Use, BeforeValidator(_model)]

Baseline = Literal["majority", "floor_lang", "floor_pooled", "source", "untuned"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)

# The metric that train.calibrate is about.
CALIBRATION = "calibration_error"

# Columns that the corpus or the predictions have, so that a kept column cannot be called so.
OWN_COLUMNS = frozenset(
    """id text label task lang variety split source license collected original_or_translated group origin drop changed weight n_bytes
    system pred probs confidence rank script family genus resource""".split()  # noqa: SIM905
)


class Source(Section):
    """One raw input: a file, a folder, or a pattern."""

    path: Annotated[str, Field(min_length=1)] = Field(
        description="file, folder, glob pattern, or pattern with {lang}, {label}, {task}, {split}, {group}, {id}; "
        "a folder may be a Hugging Face dataset"
    )
    format: Literal["jsonl", "json", "csv", "tsv", "parquet", "arrow", "text", "html"] | None = Field(
        None, description="how to read it; default: by the file's ending"
    )
    encoding: str = Field("utf-8", description="character encoding of text formats; a byte order mark overrides it")
    rows: Literal["files", "lines"] | None = Field(
        None,
        description="plain text: a row a file (default: folders and patterns) or a row a line (default: one file)",
    )
    lang: Tag | None = Field(None, description="language of every row that names none")
    split: Literal["train", "dev", "test"] | None = Field(None, description="split of every row that names none")
    label: str | None = Field(None, description="label of every row that has none")
    task: str | None = Field(
        None,
        description="task of every row that names none, for the task 'multitask'",
        exclude_if=lambda value: value is None,
    )
    source: str | None = Field(
        None, description="where the text comes from; default: the file's name, or its folder where a file is one row"
    )
    license: str | None = Field(None, description="licence of the text")
    collected: str | None = Field(
        None, description="when the text was collected, e.g. '2025-04' or '2024-01 to 2024-06'"
    )
    original_or_translated: Literal["original", "translated"] | None = Field(
        None, description="whether the text was written in its language or translated into it"
    )

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            "".encode(value)
        except (LookupError, ValueError):
            raise ValueError(f"there is no text encoding '{value}'") from None
        return value


class Split(Section):
    """Shares of the groups that have no split yet; what remains is train."""

    dev: Share = Field(0.1, description="share of the groups for dev, 0..1")
    test: Share = Field(0.1, description="share of the groups for test, 0..1")

    @model_validator(mode="after")
    def _leaves_train(self) -> Split:
        if self.dev + self.test >= 1:
            raise ValueError(
                f"dev + test = {self.dev + self.test:g} leaves nothing for train; their sum must be below 1"
            )
        return self


class Data(Section):
    """What is read, how its columns are called, and the steps it goes through."""

    raw: Annotated[
        list[Annotated[Source, BeforeValidator(lambda v: {"path": v} if isinstance(v, str) else v)]],
        Field(min_length=1),
    ] = Field(
        description="files, folders or patterns to read; relative to the recipe's folder, else to the working directory"
    )
    columns: dict[
        Literal[
            "id",
            "text",
            "label",
            "task",
            "lang",
            "split",
            "group",
            "source",
            "license",
            "collected",
            "original_or_translated",
        ],
        str,
    ] = Field({}, description="your column name for each of ours, e.g. {text = 'review', label = 'stars'}")
    keep: Annotated[list[str], Once] = Field(
        [], description="further columns to carry to the report, e.g. ['dialect', 'domain']"
    )
    originals: Literal["lang", "group", "all"] = Field(
        "lang",
        description="where a content (`group`) has original and translated rows, keep the original ones: compared in "
        "each language, over the whole group, or not at all",
    )
    split: Split = Field(Split(dev=0.1, test=0.1), description="how rows without a split are dealt, by group")
    steps: list[Slot] = Field([], description="steps in order")
    shard_bytes: Annotated[int, Field(ge=10_000)] = Field(
        4_000_000, description="text bytes in one shard; bounds memory"
    )

    @field_validator("keep")
    @classmethod
    def _no_own_column(cls, value: list[str]) -> list[str]:
        for name in value:
            if name in OWN_COLUMNS or name.startswith("_"):
                raise ValueError(f"'{name}' is a name that isogloss uses itself; rename the column")
        return value


Tracker = Literal[
    "aim", "clearml", "comet_ml", "dvclive", "mlflow", "swanlab", "tensorboard", "trackio", "wandb"
]  # fmt: skip


class Stop(Section):
    """When training ends before its last step, or a language leaves it."""

    on: Literal["mean", "worst", "lang"] = Field(
        "mean",
        description="which dev score must rise: the mean over languages, that of the worst tenth of them, or each "
        "language's own; then a language that has converged leaves, and training ends when all have",
    )
    patience: Annotated[int, Field(ge=1)] = Field(
        3, description="evaluations without a better score before it stops; by lang, over which a rise is looked for"
    )
    gain: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="also end when the best dev score rose by less than this for each `per`, over the last `patience` "
        "evaluations",
    )
    per: Unit = Field("minute", description="what gain is asked for; money needs budget.price_per_hour")


class Keep(Section):
    """What languages must keep; else training goes back to where they had it, and on more gently."""

    drop_at_most: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        description="how far a language's dev score may fall below its best level before training goes back"
    )
    langs: Annotated[list[Tag], Field(min_length=1), Once] | None = Field(
        None, description="the languages that are protected; default: every one that train.langs names"
    )
    then: Literal["slower", "mix"] = Field(
        "slower",
        description="how it goes on: at half the rate, or with a mix in which the languages that fell come twice as often "
        "(four times at most, then slower)",
    )


class Shots(Section):
    """Rows drawn of the train rows of each language that `train.langs` does not name."""

    rows: Annotated[int, Field(ge=1)] = Field(description="rows of each language, by class and content")
    draw: Annotated[int, Field(ge=0)] = Field(
        0, description="which draw; of the same draw more rows hold the fewer, whatever their number"
    )
    langs: Annotated[list[Tag], Field(min_length=1), Once] | None = Field(
        None,
        description="languages to draw of; default: every one that train.langs does not name",
        exclude_if=lambda value: value is None,
    )


class Train(Section):
    """How the model is trained. `langs`, `shots`, `mix`, `weights`, `calibrate` and `seed` are for every family; the rest is
    for the training loop."""

    langs: list[Tag] | None = Field(
        None,
        description="languages whose train rows are used; the others are only scored (zero-shot). Default: all; "
        "[] with train.shots: only what that draws",
    )
    shots: Shots | None = Field(
        None,
        description="few-shot: so many train rows of every language that train.langs does not name are learned from too, "
        "and none of its dev rows, e.g. {rows = 50, draw = 0}",
        exclude_if=lambda value: value is None,
    )
    mix: Slot = Field(Use(use="natural"), description="in what proportion languages are seen")
    weights: Literal["none", "global", "by_lang"] = Field(
        "none", description="class weights: none, over all rows, or computed inside each language"
    )
    calibrate: Literal["none", "temperature", "bias"] = Field(
        "none",
        description="last step: fit the probabilities to the dev rows of each language, shrunk to what fits all: how sure "
        "they are (temperature), and also which label is chosen (bias)",
        exclude_if=lambda value: value == "none",
    )
    seed: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="seed of everything random in training alone; default: the recipe's, which deals the split too",
        exclude_if=lambda value: value is None,
    )
    methods: list[Slot] = Field([Use(use="full")], description="what is trained of the model, in order")
    steps: Annotated[int, Field(ge=1)] | None = Field(
        None, description="optimizer steps; a kill and resume change nothing"
    )
    epochs: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="rows to see, in sizes of the corpus; default 5 where neither steps nor budget.seconds is given",
    )
    batch: Annotated[int, Field(ge=1)] = Field(
        32, description="most rows in one optimizer step, over all processes; rows of like length go together"
    )
    batch_tokens: Annotated[int, Field(ge=8)] | None = Field(
        None, description="instead of batch: most tokens in one optimizer step, padding included, over all processes"
    )
    accumulate: Annotated[int, Field(ge=1)] = Field(1, description="parts in which a process takes its rows of a step")
    optimizer: Literal["adamw", "adafactor", "sgd"] = Field(
        "adamw",
        description="adamw remembers 8 bytes a trained weight, adafactor next to nothing (its lr is relative to a "
        "weight's size, 1e-3 or so, and it needs the whole vocabulary), sgd nothing",
    )
    in_backward: bool = Field(
        False,
        description="move each weight as soon as its gradient is there (LOMO): gradients are never there together; "
        "needs clip = 0, accumulate = 1 and one process",
    )
    checkpointing: bool = Field(
        False, description="compute blocks again in the backward pass instead of remembering what they gave"
    )
    padding_free: bool | None = Field(
        None,
        description="leave padding out of the blocks of an encoder; default: on CUDA in half precision, for BERT's kind "
        "and ModernBERT without dropout in attention, after a trial; on CPUs it gains nothing",
        exclude_if=lambda value: value is None,
    )
    lr: Annotated[float, Field(gt=0, lt=1)] = Field(2e-5, description="highest learning rate")
    warmup: Share = Field(
        0.06, description="share of the steps in which the rate rises to lr; then it falls to 0, linearly"
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.01, description="decay of weights, not of biases and norms")
    clip: Annotated[float, Field(ge=0)] = Field(1.0, description="largest norm of the gradient of a step; 0: any")
    dropout: Share | None = Field(
        None, description="every dropout of the model; default: as its configuration has them"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto: bf16 where the device computes in it, else fp32; fp16 is scaled"
    )
    trim: bool = Field(
        True,
        description="leave rows of the vocabulary that no text of the corpus uses on disk while training; the model that "
        "is written has all of them",
    )
    states_gb: Annotated[float, Field(ge=0)] = Field(
        10.0,
        description="disk for the states that frozen blocks give, in runs/.states, so that they are computed once; 0: none",
    )
    eval_every: Annotated[int, Field(ge=1)] | None = Field(
        None, description="steps between evaluations on dev, each with a checkpoint; default: ten a run"
    )
    stop: Stop | None = Field(None, description="end early, e.g. {on = 'worst', patience = 3}")
    keep: Keep | None = Field(None, description="protect every language, e.g. {drop_at_most = 0.02}")
    retain: Annotated[int, Field(ge=1)] = Field(2, description="checkpoints kept beside the best one, the newest ones")
    trackers: Annotated[list[Tracker], Once] = Field(
        [],
        description="experiment trackers that are told every evaluation by language, e.g. ['trackio']; each must be installed",
        exclude_if=lambda value: not value,
    )

    @model_validator(mode="after")
    def _one_length(self) -> Train:
        if self.steps is not None and self.epochs is not None:
            raise ValueError(f"steps = {self.steps} and epochs = {self.epochs:g} are two lengths; give one")
        if self.batch_tokens is not None and "batch" in self.model_fields_set and self.batch != 32:
            raise ValueError(f"batch = {self.batch} and batch_tokens = {self.batch_tokens} are two sizes; give one")
        return self

    @model_validator(mode="after")
    def _in_backward(self) -> Train:
        if self.in_backward:
            against = {"clip = 0": self.clip != 0, "accumulate = 1": self.accumulate != 1}
            against["precision = 'bf16' or 'fp32'"] = self.precision == "fp16"
            wanted = [want for want, lacking in against.items() if lacking]
            if wanted:
                raise ValueError(f"in_backward moves weights before a step is whole; it needs {', '.join(wanted)}")
        return self

    @model_validator(mode="after")
    def _some_rows(self) -> Train:
        if self.langs == [] and self.shots is None:
            raise ValueError("langs = [] leaves nothing to learn from; name a language, or draw rows with train.shots")
        return self


# Keys of [train] that only the training loop reads.
EVERY_FAMILY = ("langs", "shots", "mix", "weights", "calibrate", "seed")
LOOP_KEYS = tuple(name for name in Train.model_fields if name not in EVERY_FAMILY)


class Evaluate(Section):
    """What is measured, on which slices, beside which baselines."""

    metrics: Annotated[list[str], Field(min_length=1), Once] | None = Field(
        None, description="metrics; default: the task's"
    )
    slices: Annotated[list[str], Once] = Field(
        ["script", "family", "resource"], description="slices beside language; kept columns may be named"
    )
    resamples: Annotated[int, Field(ge=200, le=100_000)] = Field(1000, description="bootstrap resamples")
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = Field(0.95, description="confidence of the intervals")
    baselines: Annotated[list[Baseline], Once] | None = Field(
        None,
        description="systems beside the model; untuned: the model before training, where it has these labels already; "
        "default: all that the task knows",
    )
    source: Tag | None = Field(
        None, description="language of the source-only baseline; default: the one with most train rows"
    )


class Spend(Section):
    """What may be spent."""

    seconds: Annotated[float, Field(gt=0)] | None = Field(
        None, description="wall-clock seconds for training, evaluation included"
    )
    price_per_hour: Annotated[float, Field(gt=0)] | None = Field(
        None, description="what an hour of this machine costs; reports then say money too"
    )
    currency: Annotated[str, Field(max_length=12)] = Field("", description="of the price, e.g. EUR")
    watts: Annotated[float, Field(gt=0)] | None = Field(
        None, description="what this machine draws while it trains; default: measured where it tells, else assumed"
    )


class GateSpec(Section):
    """Conditions that scores must meet at a moment."""

    at: Literal["prepare", "train", "promote"] = Field(
        description="when it is asked: of the rows that were lost, of the tokenizer before the first step, of the scores"
    )
    every_lang: dict[str, str] = Field(
        {},
        description="conditions on each language, e.g. {macro_f1 = '>= 0.55', n = '>= 200'}; at prepare the share of rows "
        "set aside, {lost = '<= 0.3', 'lost.dedup' = '<= 0.1'}; at train on the audit of the tokenizer, "
        "{fertility = '<= 4', unknown = '<= 0.05'}",
    )
    mean: dict[str, str] = Field({}, description="conditions on the mean over languages")
    worst: dict[str, str] = Field({}, description="conditions on the mean of the worst tenth of the languages")
    gap: dict[str, str] = Field({}, description="conditions on best minus worst language")
    beats: dict[str, str] = Field(
        {}, description="baseline = metric: every language must be better than that baseline, paired"
    )


class Recipe(Section):
    """A whole recipe."""

    name: Name = Field(description="the run lies in runs/NAME/")
    langs: Annotated[list[Tag], Field(min_length=1), Once] | Literal["all"] = Field(
        "all", description="the languages of the project, or 'all' that the data has"
    )
    task: Slot = Field(Use(use="classify"), description="what is learned")
    model: Model = Field(
        description="model family and its knobs; a string with a slash is an encoder's name, "
        "of the package ('isogloss/mini'), of the hub, or a folder ('./my-model')"
    )
    seed: Annotated[int, Field(ge=0)] = Field(17, description="seed of everything random")
    data: Data
    train: Train = Train()  # type: ignore[call-arg]
    evaluate: Evaluate = Evaluate()  # type: ignore[call-arg]
    budget: Spend = Spend()  # type: ignore[call-arg]
    gate: list[GateSpec] = Field([], description="gates")

    _folder: Path = PrivateAttr(default_factory=Path.cwd)
    _notes: tuple[str, ...] = PrivateAttr(default=())

    @model_serializer(mode="wrap")
    def _without_loop(self, handler: Any) -> dict[str, Any]:
        """Leave out what a family that fits itself does not read, so that what is stored can be read again."""
        value: dict[str, Any] = handler(self)
        if isinstance(value.get("train"), dict) and not self.loops:
            value["train"] = {key: item for key, item in value["train"].items() if key not in LOOP_KEYS}
        return value

    # -- what the stages ask of it ------------------------------------------------------------------------------

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what was assumed while reading, e.g. which language 'no' was taken for."""
        return self._notes

    def bound(self, slot: Use, kind: str) -> Bound:
        """The part in a slot with all its knobs; paths among them are absolute."""
        part = parts.load(kind, slot.use)
        knobs = part.bind(slot.knobs)
        return Bound(part, {name: self._absolute(value) for name, value in knobs.items()})

    @property
    def folder(self) -> Path:
        """Where relative paths of the recipe begin."""
        return self._folder

    @property
    def steps(self) -> list[Bound]:
        return [self.bound(slot, "steps") for slot in self.data.steps]

    @property
    def family(self) -> Bound:
        return self.bound(self.model, "families")

    @property
    def methods(self) -> list[Bound]:
        return [self.bound(slot, "methods") for slot in self.train.methods]

    @property
    def loops(self) -> bool:
        """Whether the family is trained by the loop; otherwise it fits itself."""
        try:
            return not parts.load("families", self.model.use).has("fit")
        except RecipeError:
            return True

    @property
    def tokenized(self) -> bool:
        """Whether the family reads with a tokenizer, which is audited before training."""
        return parts.load("families", self.model.use).has("tokenizer")

    @property
    def the_task(self) -> Bound:
        return self.bound(self.task, "tasks")

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Metrics to compute: those named, else the task's, and those that gates ask for."""
        named = list(self.evaluate.metrics or _own_metrics(self.the_task))
        for gate in self.gate:
            if gate.at == "promote":
                asked = [*gate.every_lang, *gate.mean, *gate.worst, *gate.gap, *gate.beats.values()]
                named += [metric for metric in asked if metric != "n"]
        return tuple(dict.fromkeys([*named, *self.calibrations]))

    @property
    def calibrations(self) -> tuple[str, ...]:
        """The metrics that say what `train.calibrate` did, one for each task; none where it is not asked for."""
        if self.train.calibrate == "none":
            return ()
        tasks = self.the_task.knobs.get("tasks", ())
        return tuple(f"{CALIBRATION}@{task}" for task in tasks) or (CALIBRATION,)

    @property
    def train_seed(self) -> int:
        """The seed of everything random in training."""
        return self.seed if self.train.seed is None else self.train.seed

    @property
    def labelled(self) -> bool:
        """Whether the task answers with labels."""
        return bool(self.the_task.part.constant("LABELLED", True))

    @property
    def baselines(self) -> tuple[str, ...]:
        """Systems beside the model: those named, else all that the task knows."""
        return tuple(_baselines(self) if self.evaluate.baselines is None else self.evaluate.baselines)

    @property
    def headline(self) -> str:
        """The metric a person looks at first."""
        first = self.the_task.part.constant("HEADLINE")
        return first if first in self.metric_names else self.metric_names[0]

    @property
    def headlines(self) -> tuple[str, ...]:
        """The metrics that tables are made of: the headline; where rows are of several tasks, that of each task."""
        task = self.the_task
        own = [name for name in task("headlines") if name in self.metric_names] if task.part.has("headlines") else []
        return tuple(own) or (self.headline,)

    def locate(self, path: str) -> Path:
        """A path of the recipe: relative to the recipe's folder, else to the working directory."""
        given = Path(path).expanduser()
        if given.is_absolute():
            return given
        beside = self._folder / given
        if not _exists(beside) and _exists(Path.cwd() / given):
            return Path.cwd() / given
        return beside

    def _absolute(self, value: Any) -> Any:
        if isinstance(value, Path):
            return self.locate(str(value))
        if isinstance(value, list | tuple):
            return type(value)(self._absolute(item) for item in value)
        return value

    def sections(self, *names: str) -> dict[str, Any]:
        """The named top-level keys as plain JSON values, defaults included, for stamps; without who is only told of it."""
        whole = self.model_dump(mode="json")
        whole["train"].pop("trackers", None)
        return {name: whole[name] for name in names}

    def to_toml(self) -> str:
        """The effective recipe: every key with its value, after `--set`."""
        import tomli_w

        return tomli_w.dumps(_without_none(self.model_dump(mode="json")))


@dataclass(frozen=True)
class Bound:
    """A part with all its knobs."""

    part: parts.Part
    knobs: dict[str, Any]

    def __call__(self, function: str, *args: Any, **filled: Any) -> Any:
        return self.part.call(function, *args, knobs=self.knobs, **filled)

    @property
    def name(self) -> str:
        return self.part.name

    @property
    def module(self) -> Any:
        return self.part.module


def _own_metrics(task: Bound) -> tuple[str, ...]:
    """The metrics that a task names."""
    return tuple(task("metrics") if task.part.has("metrics") else task.part.constant("METRICS"))


# -- reading ----------------------------------------------------------------------------------------------------


def read(path: str | Path, sets: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe file; `sets` are `key=value` overrides (`train.langs=["eng_Latn"]`).

    Raises RecipeError (exit code 2) with file, line, key and the nearest right name.
    """
    file = Path(path)
    value, text = parse(file)
    return build(value, sets=sets, file=file, text=text, folder=file.resolve().parent)


def parse(file: Path) -> tuple[dict[str, Any], str]:
    """What the TOML file says, unchecked, and its text. Raises RecipeError for what is no TOML."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise RecipeError(f"there is no recipe {file}{_similar(file)}") from None
    except IsADirectoryError:
        raise RecipeError(f"{file} is a folder; a recipe is a TOML file") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"is not UTF-8 text (byte {error.start}); a recipe is a TOML file", file=file) from None
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"cannot be read: {getattr(error, 'strerror', None) or error}", file=sound(str(file))
        ) from None
    try:
        value = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        where = re.search(r"\(at line (\d+), column \d+\)", str(error))
        line = int(where[1]) if where else None
        why = "nested too deep" if isinstance(error, RecursionError) else str(error).split(" (at")[0]
        hint = "" if file.suffix == ".toml" else f"; if this is data, draft a recipe for it: isogloss init {file.name}"
        raise RecipeError(f"is not valid TOML: {why}{hint}", file=file, line=line) from None
    return value, text


def build(
    value: Mapping[str, Any],
    *,
    sets: Sequence[str] = (),
    file: Path | None = None,
    text: str = "",
    folder: Path | None = None,
) -> Recipe:
    """Make a checked recipe from a mapping (what TOML gives)."""
    data = _plain_values(value)
    overridden = {_override(data, item) for item in sets}

    def error_at(path: Sequence[str | int], message: str) -> RecipeError:
        path = _as_written(path, data)
        dotted = _dotted(path)
        if any(dotted == name or dotted.startswith(name + ".") or name.startswith(dotted + ".") for name in overridden):
            return RecipeError(f"--set {dotted}: {message}", key=dotted)
        line = line_of(text, path) if text else None
        return RecipeError(f"{dotted}: {message}" if dotted else message, file=file, line=line, key=dotted)

    try:
        recipe = Recipe.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise _together([error_at(*_explain(problem)) for problem in _relevant(error.errors())]) from None
    recipe._folder = folder or Path.cwd()
    recipe._notes = tuple(_notes(data))
    problems = [error_at(path, message) for path, message in _problems(recipe)]
    if problems:
        raise _together(problems)
    return recipe


def _plain_values(value: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping as TOML could have given it. Raises RecipeError for what TOML has not."""
    try:
        data = json.loads(json.dumps(value, default=str))
    except (TypeError, ValueError, RecursionError) as error:
        raise RecipeError(f"a recipe is made of tables, lists, strings and numbers ({error})") from None
    if not isinstance(data, dict):
        raise RecipeError(f"a recipe is a table of keys, got {type(value).__name__}")
    return data


def _together(problems: Sequence[RecipeError]) -> RecipeError:
    """One error for all that is wrong, a line each; its place is the first one's."""
    combined = RecipeError("\n".join(dict.fromkeys(map(str, problems))), key=problems[0].key)
    combined.file, combined.line = problems[0].file, problems[0].line
    return combined


def _as_written(path: Sequence[str | int], data: Any) -> list[str | int]:
    """`path` as far as the user wrote it: `model`, and not `model.use`, for `model = "ngram"`."""
    for depth, step in enumerate(path):
        if not isinstance(data, dict | list):
            return list(path[:depth])
        known = step in data if isinstance(data, dict) else isinstance(step, int) and step < len(data)
        if not known:
            break
        data = data[step]  # type: ignore[index]
    return list(path)


def _override(data: dict[str, Any], item: str) -> str:
    key, sign, raw = item.partition("=")
    key = key.strip()
    if not sign or not all(key.split(".")):
        raise RecipeError(f"--set takes key=value, got '{sound(item)}'")
    *above, last = key.split(".")
    place: Any = data
    for depth, name in enumerate(above):
        at: Any = _index(name, place, item) if isinstance(place, list) else name
        inner = place[at] if isinstance(place, list) else place.get(at)
        if isinstance(inner, str):  # `mix = "temperature"` and --set train.mix.tau=0.3
            listed = above[max(depth - 1, 0)] == "raw"
            inner = {"path": inner} if listed else _model(inner) if name == "model" else {"use": inner}
        place[at] = inner if isinstance(inner, dict | list) else {}
        place = place[at]
    place[_index(last, place, item) if isinstance(place, list) else last] = _set_value(sound(raw.strip()))
    return key


def _set_value(raw: str) -> Any:
    """What stands behind `=`, read as TOML; a bare word is a string: --set train.weights=by_lang."""
    try:
        read = tomllib.loads(f"x = {raw}")
        return json.loads(json.dumps(read["x"], default=str)) if len(read) == 1 else raw
    except (ValueError, RecursionError):
        return raw


def _index(name: str, place: list[Any], item: str) -> int:
    if name.isdecimal() and int(name) < len(place):
        return int(name)
    raise RecipeError(f"--set {item}: '{name}' is no position in a list of {len(place)} (counted from 0)")


def _relevant(problems: Sequence[Any]) -> list[Any]:
    """Leave out what pydantic says of the branches of a union that was not meant."""
    return [p for p in problems if not (p["type"] == "literal_error" and p["loc"][-1:] == ("literal['all']",))] or list(
        problems
    )


def _explain(problem: Mapping[str, Any]) -> tuple[list[str | int], str]:
    """Where in the recipe, and one sentence in our words."""
    path = [step for step in problem["loc"] if not (isinstance(step, str) and re.search(r"[\[\]()]", step))]
    kind = problem["type"]
    if kind == "missing":
        return path, "is required and not given"
    if kind == "extra_forbidden" or problem["loc"][-1:] == ("[key]",):
        options = problem.get("ctx", {}).get("expected", "")
        known = re.findall(r"'(\w+)'", options) if options else _keys_at(path[:-1])
        return path, f"there is no such key{nearest(str(path[-1]), known)}"
    return path, parts.plain(problem)


def _keys_at(path: Sequence[str | int]) -> list[str]:
    """The keys that the section at `path` knows."""
    model: Any = Recipe
    for step in path:
        if isinstance(step, int):
            continue
        field = model.model_fields.get(step) if hasattr(model, "model_fields") else None
        model = next(iter(_models(field.annotation)), None) if field else None
        if model is None:
            return []
    return list(model.model_fields)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models(inner)


def _notes(data: Mapping[str, Any]) -> Iterator[str]:
    train = data.get("train")
    given = [*_listed(data.get("langs")), *_listed(train.get("langs") if isinstance(train, dict) else None)]
    for code in dict.fromkeys(given):
        found = lang_table.resolve(code)
        if found.note:
            yield found.note
        if found.variety:
            yield f"'{code}' is read as {found.tag}; a region in `langs` selects nothing"


def _listed(value: Any) -> list[str]:
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []


def _problems(recipe: Recipe) -> Iterator[tuple[list[str | int], str]]:
    """What only the whole recipe can tell: parts, knobs, languages, gates."""

    def bind(slot: Use, kind: str, path: list[str | int]) -> Iterator[tuple[list[str | int], str]]:
        try:
            bound = recipe.bound(slot, kind)
            if bound.part.has("check"):
                bound("check")
        except RecipeError as error:
            yield ([*path, error.key] if error.key else path), str(error)

    yield from bind(recipe.task, "tasks", ["task"])
    yield from bind(recipe.model, "families", ["model"])
    try:
        tasks = recipe.family.part.constant("TASKS", (recipe.task.use,))
        if recipe.task.use not in tasks:
            yield (
                ["model"],
                f"the family '{recipe.model.use}' is for the task {' or '.join(tasks)}, not {recipe.task.use}",
            )
    except RecipeError:
        pass  # said already, of the model
    yield from bind(recipe.train.mix, "mixes", ["train", "mix"])
    yield from _loop_problems(recipe)
    yield from _mix_problems(recipe)
    if not _labelled(recipe):
        for key, words in (("weights", "no classes to weigh"), ("calibrate", "no probabilities to calibrate")):
            if getattr(recipe.train, key) != "none":
                yield ["train", key], f"the task '{recipe.task.use}' has {words}; leave it 'none'"
    for i, slot in enumerate(recipe.data.steps):
        yield from bind(slot, "steps", ["data", "steps", i])
    if recipe.train.shots and recipe.train.langs is None:
        yield ["train", "shots"], "are rows of the languages that train.langs does not name; give train.langs"
    for tag in (recipe.train.shots and recipe.train.shots.langs) or ():
        if tag in (recipe.train.langs or ()):
            yield ["train", "shots", "langs"], f"{tag} is in train.langs, whose rows are all used"
    if isinstance(recipe.langs, list):
        for tag in recipe.train.langs or ():
            if tag not in recipe.langs:
                yield ["train", "langs"], f"{tag} is not among the recipe's langs"
        for tag in (recipe.train.shots and recipe.train.shots.langs) or ():
            if tag not in recipe.langs:
                yield ["train", "shots", "langs"], f"{tag} is not among the recipe's langs"
        if recipe.train.shots and set(recipe.langs) <= set(recipe.train.langs or ()):
            yield ["train", "shots"], "train.langs names every language of the recipe, so there is none to draw rows of"
        if recipe.evaluate.source and recipe.evaluate.source not in recipe.langs:
            yield ["evaluate", "source"], f"{recipe.evaluate.source} is not among the recipe's langs"
    for i, metric in enumerate(recipe.evaluate.metrics or ()):
        yield from _metric_problems(recipe, metric, ["evaluate", "metrics", i])
    for i, system in enumerate(recipe.evaluate.baselines or ()):
        yield from _baseline_problems(recipe, system, ["evaluate", "baselines", i])
    if recipe.evaluate.source:
        yield from _baseline_problems(recipe, "source", ["evaluate", "source"])
    facts = ["script", "family", "genus", "resource", "variety", "source", *recipe.data.keep]
    for i, name in enumerate(recipe.evaluate.slices):
        if name not in ("lang", *facts):
            words = f"'{name}' is neither a fact of languages nor in data.keep{nearest(name, facts)}"
            yield ["evaluate", "slices", i], words
    for i, gate in enumerate(recipe.gate):
        yield from _gate_problems(recipe, gate, ["gate", i])


def _metric_problems(recipe: Recipe, metric: str, path: list[str | int]) -> Iterator[tuple[list[str | int], str]]:
    try:
        problem = unfed(recipe, metric)
    except RecipeError as error:
        problem = str(error)
    if problem:
        yield path, problem


def unfed(recipe: Recipe, metric: str) -> str | None:
    """Why the recipe's task cannot feed a metric, in a sentence; None where it can.

    Raises RecipeError where there is no such metric.
    """
    try:
        bound = recipe.the_task
    except RecipeError:  # said already, of the task
        if metric not in parts.names("metrics"):
            parts.load("metrics", metric)
        return None
    task, (name, sign, one) = bound.part, metric.partition("@")
    tasks = bound.knobs.get("tasks", ())
    if sign and one not in tasks:
        words = f"the task '{task.name}' has none" if not tasks else f"there is no task '{one}'{nearest(one, tasks)}"
        return f"'{metric}' is {name} on the rows of one of several tasks, and {words}"
    needed = lacking(task, metric)
    if not needed:
        return None
    listed = " and ".join(filter(None, [", ".join(needed[:-1]), needed[-1]]))
    known = nearest(metric, [name for name in parts.names("metrics") if not lacking(task, name)])
    return f"the metric '{metric}' needs answers with {listed}, which the task '{task.name}' does not give{known}"


def lacking(task: parts.Part, metric: str) -> list[str]:
    """The columns that a metric reads and a task does not give: a task gives what the metrics that it names read.

    Raises RecipeError where there is no such metric.
    """
    own = task.constant("METRICS")
    if metric in own:  # nothing need be imported
        return []
    asked = parts.load("metrics", metric)
    from isogloss.core.metric import reads

    given = {*task.constant("FIELDS")}
    given |= {column for name in own for column in reads(parts.load("metrics", name).module)}
    return [column for column in reads(asked.module) if column not in given]


def _baselines(recipe: Recipe) -> tuple[str, ...]:
    """The baselines that the task knows."""
    return tuple(recipe.the_task.part.constant("BASELINES", BASELINES))


def _baseline_problems(recipe: Recipe, system: str, path: list[str | int]) -> Iterator[tuple[list[str | int], str]]:
    try:
        known = _baselines(recipe)
    except RecipeError:
        return  # said already, of the task
    if system not in known:
        yield path, f"the task '{recipe.task.use}' has no baseline '{system}'{nearest(system, known)}"


def _labelled(recipe: Recipe) -> bool:
    """Whether the task has labels; one that cannot be read is said elsewhere."""
    try:
        return recipe.labelled
    except RecipeError:
        return True


# What a mix may need that only the training loop, or only some tasks, have.
NEEDS = {
    "time": "is about the order in which rows are met, and the family '{family}' meets them all at once",
    "dev": "looks at dev scores while the model is trained, and the family '{family}' fits itself",
    "floor": "looks at dev scores while the model is trained, and the family '{family}' fits itself",
    "loss": "looks at the loss of each row, and the family '{family}' fits itself",
    "task": "shares rows out by their task, and the rows of the task '{task}' name none; use the task 'multitask'",
}


def _shared(recipe: Recipe) -> bool:
    """Whether the task needs a trunk that several tasks share; one that cannot be read is said elsewhere."""
    try:
        return bool(recipe.the_task.part.constant("SHARED", False))
    except RecipeError:
        return False


def _mix_problems(recipe: Recipe) -> Iterator[tuple[list[str | int], str]]:
    """A mix that needs what the family or the task has not; languages that it, or keep, names and the recipe has not."""
    try:
        mix, loops = recipe.bound(recipe.train.mix, "mixes"), recipe.loops
        fields = recipe.the_task.part.constant("FIELDS")
        family = recipe.family.name
    except RecipeError:
        return  # said already
    for need in mix("needs") if mix.part.has("needs") else ():
        lacks = "task" not in fields if need == "task" else not loops
        if lacks:
            words = NEEDS[need].format(family=family, task=recipe.task.use)
            yield ["train", "mix"], f"the mix '{mix.name}' {words}"
            break
    keep = recipe.train.keep
    if keep is not None:
        if keep.then == "mix" and recipe.the_task.part.constant("TIED", False):
            yield ["train", "keep", "then"], f"the task '{recipe.task.use}' keeps contents together; use 'slower'"
        known = recipe.train.langs or (recipe.langs if isinstance(recipe.langs, list) else None)
        for tag in keep.langs or ():
            if known is not None and tag not in known:
                yield ["train", "keep", "langs"], f"{tag} is not trained on, so that no dev row of it is looked at"


def _tokenized(recipe: Recipe) -> bool:
    """Whether the family reads with a tokenizer; one that cannot be read is said elsewhere."""
    try:
        return recipe.tokenized
    except RecipeError:
        return True


def _loop_problems(recipe: Recipe) -> Iterator[tuple[list[str | int], str]]:
    """Options of the training loop, where there is a loop; methods that do not go together."""
    try:
        family = parts.load("families", recipe.model.use)
    except RecipeError:
        return  # said already, of the model
    if not recipe.loops:
        for key in LOOP_KEYS:
            if key in recipe.train.model_fields_set:
                yield (
                    ["train", key],
                    f"the family '{family.name}' fits itself, and has no use for options of the training loop",
                )
        for key in ("focal", "smoothing"):
            if recipe.task.model_dump().get(key):
                yield ["task", key], f"the family '{family.name}' fits itself, and has a loss of its own; leave it out"
        if _shared(recipe):
            words = f"the task '{recipe.task.use}' shares a trunk among tasks, and the family '{family.name}' has none"
            yield ["model"], f"{words}; train a family that the loop trains, or one run for each task"
        if not _labelled(recipe):
            yield ["model"], f"the family '{family.name}' learns labels, and the task '{recipe.task.use}' has none"
        return
    stop = recipe.train.stop
    if stop and stop.gain and stop.per == "money" and recipe.budget.price_per_hour is None:
        yield ["train", "stop", "per"], "money is known with a price only; give budget.price_per_hour"
    if recipe.train.batch_tokens and recipe.the_task.part.constant("TIED", False):
        yield ["train", "batch_tokens"], f"the task '{recipe.task.use}' keeps contents together; give batch instead"
    names = [slot.use for slot in recipe.train.methods]
    for i, slot in enumerate(recipe.train.methods):
        path: list[str | int] = ["train", "methods", i]
        try:
            bound = recipe.bound(slot, "methods")
        except RecipeError as error:
            yield ([*path, error.key] if error.key else path), str(error)
            continue
        if bound.part.constant("BLOCKS", True) and not family.constant("BLOCKS"):
            yield path, f"the family '{family.name}' has no blocks, which the method '{slot.use}' works on"
        for other in bound.part.constant("EXCLUDES", ()):
            if other in names:
                yield path, f"the method '{slot.use}' cannot be combined with '{other}'"
        if names.index(slot.use) != i:
            yield path, f"the method '{slot.use}' stands twice"


def _gate_problems(recipe: Recipe, gate: GateSpec, path: list[str | int]) -> Iterator[tuple[list[str | int], str]]:
    conditions = {"every_lang": gate.every_lang, "mean": gate.mean, "worst": gate.worst, "gap": gate.gap}
    if not any((*conditions.values(), gate.beats)):
        yield path, f"the gate asks nothing; give it one of {', '.join([*conditions, 'beats'])}"
    for table, asked in conditions.items():
        for metric, condition in asked.items():
            here = [*path, table, metric]
            losses = [
                "lost",
                *(f"lost.{step}" for step in ("read", "unique", *(slot.use for slot in recipe.data.steps))),
            ]
            if gate.at == "prepare" and metric not in (*losses, "n"):
                words = "at prepare there is only 'lost', 'lost.STEP' (and 'n' in every_lang)"
                yield here, f"{words}, got '{metric}'{nearest(metric, losses)}"
            elif gate.at == "train" and table != "every_lang":
                yield here, "at train each language is asked alone; write it in every_lang"
            elif gate.at == "train" and metric not in (*MEASURES, "n"):
                yield here, f"the audit of a tokenizer has no '{metric}'{nearest(metric, [*MEASURES, 'n'])}"
            elif metric == "n" and table != "every_lang":
                yield here, "n is asked of each language; write it in every_lang"
            elif gate.at == "promote" and metric != "n":
                yield from _metric_problems(recipe, metric, here)
            try:
                parse_condition(condition)
            except RecipeError as error:
                yield here, str(error)
    if gate.at == "train" and not _tokenized(recipe):
        words = f"the family '{recipe.model.use}' reads text without a tokenizer, so there is nothing to ask at train"
        yield [*path, "at"], words
    for system, metric in gate.beats.items():
        if gate.at != "promote":
            yield [*path, "beats"], f"there is nothing to beat at {gate.at}; use at = 'promote'"
        elif system not in BASELINES:
            yield [*path, "beats", system], f"there is no baseline '{system}'{nearest(system, BASELINES)}"
        else:
            yield from _baseline_problems(recipe, system, [*path, "beats", system])
            yield from _metric_problems(recipe, metric, [*path, "beats", system])


# -- places -----------------------------------------------------------------------------------------------------


def line_of(text: str, path: Sequence[str | int]) -> int | None:
    """The line (from 1) where a key of a TOML text stands, or the nearest table above it; None when unknown.

    >>> line_of('[data]\\nsteps = [\\n  "langid",\\n  {use = "dedup", nmax = 1},\\n]', ["data", "steps", 1, "nmax"])
    4
    """
    wanted = [str(step) for step in path]
    best, best_length, here = None, 0, list[str]()
    counts: dict[str, int] = {}
    offset = start = 0
    for number, line in enumerate(text.split("\n"), start=1):
        header = re.match(r"\s*\[(\[)?\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$", line)
        key = re.match(r"\s*([A-Za-z0-9_.\"'-]+)\s*=", line)
        if header:
            here = [part.strip(" \"'") for part in header[2].split(".")]
            if header[1]:
                counts[header[2]] = counts.get(header[2], -1) + 1
                here = [*here, str(counts[header[2]])]
        at = here if header else here + [part.strip(" \"'") for part in key[1].split(".")] if key else []
        if at and wanted[: len(at)] == at and len(at) > best_length:
            best, best_length, start = number, len(at), offset
        offset += len(line) + 1
    if best is None or best_length == len(wanted):
        return best
    # The rest of the path lies inside the value: the nth item of a list, a key of an inline table.
    following = re.compile(r"^\s*\[{1,2}[A-Za-z]", re.M).search(text, start + 1)
    end = following.start() if following else len(text)
    for step in wanted[best_length:]:
        if step.isdecimal():
            start, end = _item(text, start, end, int(step))
        elif found := re.compile(rf"(?<![\w.-]){re.escape(step)}[\"']?\s*=").search(text, start, end):
            start = found.start()
        else:
            break
    return text.count("\n", 0, start) + 1


def _item(text: str, start: int, end: int, index: int) -> tuple[int, int]:
    """Where the item `index` of the list that begins behind `start` stands; the list itself if it has none."""
    token = re.compile(
        r"""(?s)\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|\#[^\n]*|[\[\]{},]|[^\s\[\]{},"'\#]+"""
    )
    begin = text.find("[", start, end)
    depth, count, first = 0, 0, None
    for found in token.finditer(text, max(begin, start), end):
        if found[0] in ("]", "}"):
            depth -= 1
        closed = depth < 1 and found.start() > begin
        if closed or (depth == 1 and found[0] == ","):
            if count == index and first is not None:
                return first, found.start()
            count += 1
            if closed:
                break
        elif depth == 1 and count == index and first is None and found[0][0] != "#":
            first = found.start()
        if found[0] in ("[", "{"):
            depth += 1
    return start, end


def _dotted(path: Sequence[str | int]) -> str:
    return ".".join(str(step) for step in path)


def _exists(path: Path) -> bool:
    text = str(path)
    cut = re.search(r"[*?\[{]", text)
    return path.exists() if not cut else Path(text[: cut.start()]).parent.exists()


def _similar(file: Path) -> str:
    folder = file.parent if file.parent.is_dir() else Path()
    known = [p.name for p in folder.glob("*.toml")]
    return nearest(file.name, known) if known else ""


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_none(v) for v in value]
    return value
