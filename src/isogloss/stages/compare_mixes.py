"""compare-mixes: one recipe with several mixes, each trained with several seeds → what each does to every language.

A run has its own folder, NAME-mix-MIX-seed-K. Seeds are of training alone (`train.seed`): split, drawn rows and test rows are
the same for all, and so is the number of steps: where the recipe leaves it open, the first run says how many, and every other
one takes as many (`_leveled`). The data is prepared once, in NAME-mixes, and linked into every run; what is finished is skipped
when the command is repeated.

Every mix is compared with the first one: by language, paired on test rows and seeds, corrected over all languages and mixes
(`report.paired_draws`); and over languages, the mean and the worst tenth (`report.summed_draws`), each interval by itself.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isogloss.core import files, parts, report
from isogloss.core import lang as lang_table
from isogloss.core.errors import InputError, RecipeError
from isogloss.core.recipe import Recipe, Use
from isogloss.core.run import Run
from isogloss.core.say import Say
from isogloss.stages import chain, many
from isogloss.stages.many import ABSENT, about, interval

SUMS = {"mean": "mean over languages", "worst": "mean of the worst tenth"}


@dataclass(frozen=True)
class Mix:
    """A mix as it was asked for: `words` is how it is told, `slot` what the recipe has."""

    words: str
    slot: Mapping[str, Any]

    @property
    def slug(self) -> str:
        """As part of the name of a run."""
        return re.sub(r"[^A-Za-z0-9.]+", "-", self.words).strip("-")


def mixes(asked: str) -> list[Mix]:
    """What `--mixes temperature,unimax:epochs=4` asks for: names, each with knobs behind colons. Raises InputError.

    >>> [(mix.slug, dict(mix.slot)) for mix in mixes("natural,temperature:tau=0.5")]
    [('natural', {'use': 'natural'}), ('temperature-tau-0.5', {'use': 'temperature', 'tau': 0.5})]
    """
    if not all(word.strip() for word in asked.split(",")):
        raise InputError(f"--mixes takes names with commas between, e.g. natural,unimax; got '{asked}'")
    found = [mix_of(word) for word in asked.split(",")]
    if len({mix.slug for mix in found}) < len(found):
        raise InputError(f"--mixes names a mix twice: {asked}")
    if len(found) < 2:
        raise InputError(
            f"compare-mixes needs two mixes or more, the first is what others are compared with; got '{asked}'"
        )
    return found


def mix_of(word: str) -> Mix:
    """One mix, with knobs behind colons. Raises InputError.

    >>> dict(mix_of("unimax:epochs=4").slot)
    {'use': 'unimax', 'epochs': 4}
    """
    name, *knobs = word.strip().split(":")
    slot: dict[str, Any] = {"use": name}
    for knob in knobs:
        key, sign, value = knob.partition("=")
        if not name or not sign or not key:
            raise InputError(f"--mixes takes names with knobs, e.g. natural,temperature:tau=0.3; got '{word.strip()}'")
        slot[key] = _value(value)
    return Mix(word.strip(), slot)


def _value(text: str) -> Any:
    """A number or truth value as TOML writes it, a list with + between its items, else the text.

    >>> _value("0.3"), _value("loss"), _value("eng+deu")
    (0.3, 'loss', ['eng', 'deu'])
    """
    if "+" in text.strip("+"):
        return [_value(each) for each in text.split("+")]
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return text


def compare_mixes(
    given: str | Path | Mapping[str, Any] | Recipe,
    asked: str,
    *,
    seeds: int = 3,
    sets: Sequence[str] = (),
    runs: str | Path = "runs",
    again: bool = False,
    say: Say | None = None,
) -> dict[str, Any]:
    """Run the recipe with each mix and seed, and write mixes.json and mixes.md; returns what the former has.

    `again` replaces finished runs that were made from something else; those that are fresh stay. Raises InputError and
    RecipeError for what is asked wrongly, before anything is trained, and what the stages raise.
    """
    say = say or Say()
    if not 1 <= seeds <= many.MOST_DRAWS:
        raise InputError(f"--seeds takes a whole number from 1 to {many.MOST_DRAWS}, got {seeds}")
    wanted = mixes(asked)
    made, _ = chain.target(given, runs, sets)
    if not made.labelled:
        raise RecipeError(f"compare-mixes is for tasks with labels, and '{made.task.use}' has none", key="task")
    if made.family.knobs.get("scope") == "lang":
        raise RecipeError(
            "model: with scope = 'lang' every language has a model of its own, so that no mix moves rows from one to another; "
            "use scope = 'pooled'",
            key="model.scope",
        )
    # seed by seed, so that whoever ends it early has whole comparisons
    names = [(mix, k, f"{made.name}-mix-{mix.slug}-seed-{k}") for k in range(seeds) for mix in wanted]
    many.named("compare-mixes", (name for _, _, name in names))
    many.one_process("compare-mixes")
    for mix, k, name in names:  # what does not fit is refused before anything is trained
        _of(made, name, mix, k)
    say.line(
        f"mixes     {len(names)} runs: {', '.join(mix.words for mix in wanted)}, each with {many.counted(seeds, 'seed')}; "
        "Ctrl-C keeps what is finished"
    )
    made, notes = _leveled(made)
    for sentence in notes:
        say.note(sentence)
    base = many.variant(made, f"{made.name}-mixes")
    _, home = many.advance(base, "prepare", runs, again, say, "compare-mixes")
    done: list[tuple[Mix, int, Recipe, Run]] = []
    steps: int | None = None
    for number, (mix, k, name) in enumerate(names, start=1):
        say.line(f"mixes     run {number} of {len(names)}: {mix.words}, seed {k}")
        many.lend(home, Run(Path(runs) / name))
        one = _of(made, name, mix, k, steps)
        done.append((mix, k, *many.advance(one, "run", runs, again, say, "compare-mixes")))
        if made.loops and steps is None:
            facts = done[0][3].require("train")["facts"]
            steps = facts["steps"] if facts["ended"] == "budget" else facts["planned_steps"]
    document = _document(made, done, wanted, seeds) | {"notes": notes}
    with home.locked():
        files.write_json(home.path("mixes.json"), document)
        files.write_text(home.path("mixes.md"), "\n".join(text(document)) + "\n")
    return {**document, "folder": str(home.folder)}


def _leveled(made: Recipe) -> tuple[Recipe, list[str]]:
    """The recipe without what would end runs at steps of their own, and what is said of it."""
    if not made.loops:
        return made, []
    stop, notes = made.train.stop, []
    if stop is not None and stop.on != "lang":
        made = many.variant(made, made.name, baselines=made.evaluate.baselines or (), stop=None)
        notes.append(
            "train.stop is left out, so that every run has as many steps; the best checkpoint on dev is taken all the same"
        )
    elif stop is not None:
        notes.append(
            "with train.stop on = 'lang' a run ends when all its languages have left; whose steps are fewer is said below"
        )
    if made.budget.seconds is not None:
        notes.append(
            "the first run has the seconds of the budget, and every other one as many steps as it, however long they take"
        )
    elif made.train.steps is None:
        notes.append("train.steps is not given: every run has as many steps as the first one")
    return made, notes


def _of(made: Recipe, name: str, mix: Mix, k: int, steps: int | None = None) -> Recipe:
    """The recipe of one run, of so many steps. Raises RecipeError for a mix that there is not, or that does not fit."""
    slot = Use.model_validate(dict(mix.slot)).model_dump(mode="json")
    own: dict[str, Any] = {"mix": slot, "seed": made.train_seed + k}
    if steps is None:
        return many.variant(made, name, **own)
    budget = {
        key: value for key, value in made.budget.model_dump(mode="json", exclude_none=True).items() if key != "seconds"
    }
    return many.variant(made, name, top={"budget": budget}, **own, steps=steps, epochs=None)


# -- what came of them ------------------------------------------------------------------------------------------


def _document(
    made: Recipe, done: Sequence[tuple[Mix, int, Recipe, Run]], wanted: Sequence[Mix], seeds: int
) -> dict[str, Any]:
    """Everything that mixes.json says."""
    metric, confidence = made.headline, made.evaluate.confidence
    module = parts.load("metrics", metric).module
    own = {mix.words: [(variant, run) for other, _, variant, run in done if other is mix] for mix in wanted}
    scored = {words: [many.Scores.of(variant, run, metric) for variant, run in each] for words, each in own.items()}
    labels = sorted({label for some in scored.values() for s in some for label in s.labels})
    answers = {words: [many.with_labels(s.answers, s.labels, labels) for s in some] for words, some in scored.items()}
    first, *others = scored
    options: dict[str, Any] = {"resamples": made.evaluate.resamples, "confidence": confidence, "seed": made.seed}
    paired = report.paired_draws(
        {words: (answers[words], answers[first]) for words in others}, module, labels, name=metric, **options
    )
    compared: dict[str, dict[str, dict[str, Any]]] = {words: {} for words in others}
    keep = ("diff", "low_corrected", "high_corrected", "sd", "p_holm", "n", "verdict")
    for row in paired.iter_rows(named=True):
        compared[row["comparison"]][row["key"]] = {name: row[name] for name in keep}
    sums = {words: report.summed_draws(answers[words], answers[first], module, labels, **options) for words in others}
    tags = sorted({key for some in scored.values() for s in some for system, key in s.by_lang if system == "model"})
    seen = {words: _seen([run for _, run in each]) for words, each in own.items()}
    rows = []
    for tag in tags:
        cells = {
            words: many.over_draws([s.by_lang.get(("model", tag)) for s in some], confidence, module.RANGE)
            for words, some in scored.items()
        }
        n = max(s.by_lang[("model", tag)]["n"] for some in scored.values() for s in some if ("model", tag) in s.by_lang)
        rows.append({
            "lang": tag, "name": lang_table.facts(tag).name, "n": n, "by_mix": cells,
            "against_first": {words: compared[words].get(tag) for words in others},
            "rows_seen": {words: each.get(tag) for words, each in seen.items()},
        })  # fmt: skip
    sign = 1 if module.BETTER == "higher" else -1

    def worst(row: Mapping[str, Any]) -> tuple[float, str]:
        cell = row["by_mix"][first]
        return (sign * cell["value"] if cell else -math.inf, row["lang"])

    return {
        "name": made.name, "metric": metric, "better": module.BETTER, "confidence": confidence,
        "signature": next(iter(scored.values()))[0].signature, "mixes": list(scored), "first": first, "seeds": seeds,
        "train_seed": made.train_seed, "langs": sorted(rows, key=worst), "sums": sums,
        "all": {words: _all(each, confidence, module.RANGE) for words, each in own.items()},
        "runs": [
            {"run": str(run.folder), "mix": mix.words, "seed": k, "steps": run.require("train")["facts"].get("steps"),
             "seconds": run.cost()}
            for mix, k, _, run in done
        ],
    }  # fmt: skip


def _all(some: Sequence[tuple[Recipe, Run]], confidence: float, bounds: tuple[float, float]) -> dict[str, Any]:
    """Mean and worst tenth over languages, over seeds."""
    import polars as pl

    out = {}
    for key in SUMS:
        cells = []
        for made, run in some:
            scores = files.read_parquet(run.path("scores.parquet")).filter(
                pl.col("system") == "model",
                pl.col("by") == "all",
                pl.col("key") == key,
                pl.col("metric") == made.headline,
            )
            cells.append(scores.row(0, named=True) if scores.height else None)
        out[key] = many.over_draws(cells, confidence, bounds)
    return out


def _seen(runs: Sequence[Run]) -> dict[str, float]:
    """Rows that a run has seen of each language, the mean over seeds; what a family that fits itself sees is its rows."""
    ledgers = [files.read_json(run.path("compute.json"))["by_lang"] for run in runs]
    tags = {tag for each in ledgers for tag in each}
    return {tag: sum(each.get(tag, {}).get("n_rows", 0.0) for each in ledgers) / len(ledgers) for tag in sorted(tags)}


# -- for a reader -----------------------------------------------------------------------------------------------


def legend(found: Mapping[str, Any]) -> Iterator[str]:
    """How to read the tables, in sentences."""
    several = found["seeds"] > 1
    yield (
        f"Each number is {'the mean of ' + str(found['seeds']) + ' seeds of training' if several else 'one seed'}; the "
        f"{found['confidence']:.0%} interval is over {'seeds and test rows' if several else 'test rows alone'}."
    )
    yield (
        f"Differences are to {found['first']}, paired on the same test rows{' and seeds' if several else ''}; those of "
        "languages are corrected over all languages and mixes, those of the mean and of the worst tenth stand alone."
    )
    yield from (f"{note[:1].upper() if note[:6] != 'train.' else 't'}{note[1:]}." for note in found.get("notes", ()))
    each = {words: [run["steps"] for run in found["runs"] if run["mix"] == words] for words in found["mixes"]}
    if len({n for own in each.values() for n in own}) > 1:
        told = "; ".join(f"{words} {', '.join(f'{n:,}' for n in own)}" for words, own in each.items())
        yield f"Steps are not equal: {told}."
    if not several:
        yield "One seed says nothing of what another seed would change."


def screen(found: Mapping[str, Any]) -> list[list[str]]:
    """The table by language, the first mix's worst first; then all of them together."""
    out = [["language", "n", *found["mixes"]]]
    for row in found["langs"]:
        cells = [about(row["by_mix"][words]) + _mark(row["against_first"].get(words)) for words in found["mixes"]]
        out.append([f"{row['lang']} {row['name']}", str(row["n"]), *cells])
    for key, words in SUMS.items():
        out.append([words, "", *(about(found["all"][mix][key]) for mix in found["mixes"])])
    return out


def _mark(pair: Mapping[str, Any] | None) -> str:
    return {"better": " better", "worse": " worse"}.get((pair or {}).get("verdict", ""), "")


def verdicts(found: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each mix but the first."""
    for words, sums in found["sums"].items():
        rows = [row["against_first"].get(words) for row in found["langs"]]
        counts = [sum(1 for row in rows if row and row["verdict"] == verdict) for verdict in ("better", "worse")]
        told = "; ".join(f"{SUMS[key]} {sums[key]['diff']:+.3f} {_ends(sums[key])}" for key in SUMS if key in sums)
        yield f"{words} against {found['first']}: {told}; better in {counts[0]} and worse in {counts[1]} of {len(rows)} languages"


def _ends(cell: Mapping[str, Any]) -> str:
    return "" if not math.isfinite(cell["high"]) else f"[{cell['low']:+.3f}, {cell['high']:+.3f}]"


def text(found: Mapping[str, Any]) -> Iterator[str]:
    """The lines of mixes.md."""
    from isogloss.stages.markdown import table

    yield f"# {found['name']}: mixes by language\n"
    yield f"{found['metric']} on test, the worst language of {found['first']} first.\n"
    yield from legend(found)
    yield ""
    yield from (f"- {sentence}" for sentence in verdicts(found))
    yield ""
    yield from table(
        ["language", "n", *found["mixes"]],
        [[f"{row['lang']} {row['name']}", row["n"], *(interval(row["by_mix"][w]) for w in found["mixes"])] for row in found["langs"]]
        + [[words, "", *(interval(found["all"][mix][key]) for mix in found["mixes"])] for key, words in SUMS.items()],
    )  # fmt: skip
    others = list(found["sums"])
    yield f"\n## Against {found['first']}\n"
    yield from table(
        ["language", "n", *others],
        [
            [f"{row['lang']} {row['name']}", row["n"], *(_told(row["against_first"].get(w)) for w in others)]
            for row in found["langs"]
        ],
    )
    yield "\n## Rows seen of each language\n"
    yield "With a family that fits itself all rows are seen once, and the mix is in their weights.\n"
    yield from table(
        ["language", *found["mixes"]],
        [
            [
                row["lang"],
                *(ABSENT if row["rows_seen"][w] is None else f"{row['rows_seen'][w]:,.0f}" for w in found["mixes"]),
            ]
            for row in found["langs"]
        ],
    )
    yield "\n## How these numbers were made\n"
    yield (
        "The standard error of a difference is the root of two squares: the bootstrap's over groups of test rows, and that "
        f"over seeds. Signature: `{found['signature']}`."
    )
    yield ""
    for each in found["runs"]:
        steps = "" if each["steps"] is None else f"{each['steps']:,} steps, "
        yield f"- `{each['run']}`: {steps}{sum(each['seconds'].values()):.0f} s"


def _told(pair: Mapping[str, Any] | None) -> str:
    if pair is None or pair["diff"] is None:
        return ABSENT
    if pair["low_corrected"] is None:
        return f"{pair['diff']:+.3f}"
    return f"{pair['diff']:+.3f} [{pair['low_corrected']:+.3f}, {pair['high_corrected']:+.3f}], {pair['verdict']}"
