"""CARD.md: the data card of a prepared corpus, for who must answer for the data.

Where the text comes from and under which licence, what was done to it with which settings and learned thresholds, what was
set aside and why, what is left by language, and how to make it again. Every number is read from the run's tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from isogloss.core import balance, files
from isogloss.core import lang as lang_table
from isogloss.core.corpus import SPLITS
from isogloss.core.recipe import Recipe
from isogloss.core.run import Run
from isogloss.stages.markdown import cell, table

MOST, MOST_CLASSES = 200, 8
NOT_STATED = "not stated"
OURS = {
    "read": "Rows that could be read, with a text, a language, and what the task needs.",
    "unique": "Rows whose id was read before in their language and split are set aside; languages that share an id are tied by `group`.",
    "originals": "Translated rows whose content is also there as an original are set aside.",
    "split": "Rows without a split are dealt to train, dev and test; translations of one content go together.",
}


def write(recipe: Recipe, run: Run) -> None:
    """Write the card of a prepared run."""
    files.write_text(run.path("CARD.md"), "\n".join(lines(recipe, run)) + "\n")


def lines(recipe: Recipe, run: Run) -> Iterator[str]:
    """The lines of the card."""
    stamp = run.require("prepare")
    facts = stamp["facts"]
    counts, ledger, reasons, sources = (
        files.read_parquet(run.path(f"{name}.parquet")) for name in ("counts", "ledger", "reasons", "sources")
    )
    yield f"# {recipe.name}: data card\n"
    yield (
        f"{facts['n_rows']:,} rows in {counts['lang'].n_unique()} languages, prepared {stamp['when']} for the task "
        f"{recipe.task.use}. {facts['n_dropped']:,} rows were set aside; each lies in `dropped/` with the step that did it "
        "and the reason.\n"
    )
    yield from _sources(sources)
    yield from _languages(counts, sources, facts["langs"])
    yield from _balance(files.read_parquet(run.path("balance.parquet")), facts["uneven"])
    yield from _steps(recipe, run, ledger)
    yield from _aside(ledger, reasons)
    if notes := [*facts["notes"], *facts["remarks"]]:
        yield "\n## What to know\n"
        yield from (f"- {cell(note)}" for note in notes)
    yield from _repeat(recipe, stamp)


def _sources(sources: pl.DataFrame) -> Iterator[str]:
    yield "## Where the text comes from\n"
    names = ["source", "license", "collected", "original_or_translated"]
    by = (
        sources.with_columns(pl.col(names).fill_null(NOT_STATED))
        .group_by(names)
        .agg(pl.col("n").sum(), pl.col("lang").n_unique().alias("n_langs"))
        .sort("n", *names, descending=[True, *[False] * 4])
    )
    yield from table(
        ["source", "licence", "collected", "original or translated", "languages", "rows"],
        [[*(row[name] for name in names), row["n_langs"], row["n"]] for row in by.head(MOST).iter_rows(named=True)],
    )
    if by.height > MOST:
        yield f"\nand {by.height - MOST:,} more; all are in `sources.parquet`."
    unstated = by.filter(pl.col("license") == NOT_STATED)
    if unstated.height:
        yield (
            f"\n**No licence is stated for {int(unstated['n'].sum()):,} rows** of {_sources_of(unstated['source'].n_unique())}. "
            "State it as `license` of the source in the recipe, or as a column of the data."
        )


def _sources_of(n: int) -> str:
    return "1 source" if n == 1 else f"{n:,} sources"


def _languages(counts: pl.DataFrame, sources: pl.DataFrame, langs: list[str]) -> Iterator[str]:
    yield "\n## Rows by language\n"
    wide = {(lang, split): n for lang, split, n in counts.group_by("lang", "split").agg(pl.col("n").sum()).rows()}
    made = {
        (lang, what): n
        for lang, what, n in sources.group_by("lang", "original_or_translated").agg(pl.col("n").sum()).rows()
    }
    told = any(what for _, what in made)
    header = ["language", *SPLITS, *(["original", "translated", NOT_STATED] if told else [])]
    yield from table(
        header,
        [
            [
                f"{tag} {lang_table.facts(tag).name}",
                *(wide.get((tag, split), 0) for split in SPLITS),
                *((made.get((tag, what), 0) for what in ("original", "translated", None)) if told else ()),
            ]
            for tag in langs
        ],
    )


def _balance(counts: pl.DataFrame, uneven: list[str]) -> Iterator[str]:
    """Train rows by language, label and domain."""
    found = balance.languages(balance.train(counts))
    yield "\n## Balance of the train rows\n"
    yield from table(
        ["language", "rows", "labels", "variation of labels", "by chance", "domains", "variation of domains", f"classes under {balance.FEW} rows"],
        [
            [
                one.lang, one.n, one.n_labels, _cell(one.far), _cell(one.chance), one.n_domains, _cell(one.far_domain),
                " · ".join(f"{name} {n}" for name, n in one.few[:MOST_CLASSES]) or "–",
            ]
            for one in found[:MOST]
        ],
    )  # fmt: skip
    yield (
        "\nVariation is the total variation (0..1) of a language's labels or domains from those of all languages together; by chance: what "
        "it would be about for as many rows drawn from them. A domain is the column `domain` where the recipe keeps one, else the source. "
        "Rows by language, split, label and domain are in `balance.parquet`."
    )
    yield from (f"\n**{cell(sentence)}**" for sentence in uneven)


def _steps(recipe: Recipe, run: Run, ledger: pl.DataFrame) -> Iterator[str]:
    yield "\n## What was done, in order\n"
    total = ledger.group_by("step", maintain_order=True).agg(pl.col("n_in", "n_changed", "n_dropped", "n_out").sum())
    yield from table(["step", "rows in", "changed", "set aside", "rows out"], [list(row) for row in total.rows()])
    yield ""
    bound = {step.name: step for step in recipe.steps}
    for name in total["step"]:
        if name in bound:
            part, knobs = bound[name].part, bound[name].knobs
            shown = ", ".join(f"`{knob} = {_shown(value)}`" for knob, value in knobs.items())
            version = f", version {part.constant('VERSION')}" if part.constant("VERSION") else ""
            yield f"- **{name}**{version}: {part.summary}" + (f" Settings: {shown}." if shown else "")
        else:
            yield f"- **{name}**: {OURS.get(name, '')}"
    for path in sorted(run.path("learned").glob("*.parquet")):
        learned = files.read_parquet(path)
        yield f"\n### What {path.stem} learned from the data\n"
        if learned.is_empty():
            yield "Nothing: there was too little to learn from."
            continue
        yield from table(learned.columns, [[_cell(value) for value in row] for row in learned.head(MOST).rows()])
        if learned.height > MOST:
            yield f"\nand {learned.height - MOST:,} more; all are in `learned/{path.name}`."


def _shown(value: Any) -> str:
    if isinstance(value, Path):
        return value.name
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return cell(value).replace("`", "'") if isinstance(value, str) else str(value)


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return " · ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else "–" if value is None else value


def _aside(ledger: pl.DataFrame, reasons: pl.DataFrame) -> Iterator[str]:
    yield "\n## What was set aside, and why\n"
    if reasons.is_empty():
        yield "Nothing."
        return
    lost = (
        ledger.group_by("lang", "step", maintain_order=True)
        .agg(pl.col("n_in", "n_dropped").sum())
        .filter(pl.col("n_dropped") > 0)
        .with_columns((pl.col("n_dropped") / pl.col("n_in")).alias("share"))
        .sort("share", "lang", "step", descending=[True, False, False])
    )
    yield from table(
        ["language", "step", "set aside", "of rows in", "share"],
        [
            [row["lang"], row["step"], row["n_dropped"], row["n_in"], f"{row['share']:.1%}"]
            for row in lost.head(MOST).iter_rows(named=True)
        ],
    )
    yield ""
    shown = reasons.sort("n", "step", "lang", "reason", descending=[True, False, False, False], nulls_last=True)
    yield from table(
        ["step", "language", "reason", "rows"],
        [[step, lang or "not known", reason, n] for step, lang, reason, n in shown.head(MOST).rows()],
    )
    if shown.height > MOST:
        yield f"\nand {shown.height - MOST:,} more kinds; all are in `reasons.parquet`."


def _repeat(recipe: Recipe, stamp: dict[str, Any]) -> Iterator[str]:
    yield "\n## How to make it again\n"
    yield (
        "The command below with these files, this recipe and these versions gives the same rows; the digests are BLAKE2b of "
        "128 bits. The order of steps, their settings and the seed are in the recipe.\n"
    )
    yield "    isogloss prepare recipe.toml\n"
    reads = stamp["reads"]
    inputs = [
        *reads["inputs"].items(),
        *((name.partition(":")[2], digest) for name, digest in reads["against"].items()),
    ]
    yield from table(["file", "digest"], inputs[:MOST])
    if len(inputs) > MOST:
        yield f"\nand {len(inputs) - MOST:,} more; all are in `stamps/prepare.json`."
    yield "\n" + ", ".join(f"{name} {version}" for name, version in stamp["versions"].items())
    yield "\n```toml"
    yield recipe.to_toml().rstrip("\n").replace("```", "'''")
    yield "```"
