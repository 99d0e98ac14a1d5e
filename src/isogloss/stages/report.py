"""report: what a run has found, for a reader: REPORT.md and report.html, no number without n and interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from isogloss.core import files, parts
from isogloss.core import lang as lang_table
from isogloss.core.corpus import SPLITS
from isogloss.core.recipe import Recipe
from isogloss.core.run import Run
from isogloss.stages import spent
from isogloss.stages.markdown import table
from isogloss.stages.pages import calibrated
from isogloss.stages.pages import found as finding
from isogloss.stages.pages.facts import floors, words_of
from isogloss.stages.pages.page import write_page
from isogloss.stages.preparing import card
from isogloss.stages.promote import refusals


def write_report(recipe: Recipe, run: Run) -> None:
    """Write REPORT.md, report.html and CARD.md (the data card, should it be gone) of an evaluated run."""
    run.require("evaluate")
    if not run.path("CARD.md").is_file():
        card.write(recipe, run)
    files.write_text(run.path("REPORT.md"), "\n".join(text(recipe, run)) + "\n")
    write_page(recipe, run)


def text(recipe: Recipe, run: Run) -> Iterator[str]:
    """The lines of REPORT.md: worst language first."""
    scores = files.read_parquet(run.path("scores.parquet"))
    head = recipe.headline
    systems = scores["system"].unique(maintain_order=True).to_list()
    yield f"# {recipe.name}: report by language\n"
    yield from _verdict(run)
    found = tallies(recipe, run)
    if found is not None:
        yield from _meaning(recipe, found)
    yield from _languages(recipe, run, scores, head, systems)
    yield from _against(recipe, run, head)
    yield from _slices(scores, head)
    if found is None:
        yield from _consistency(scores)
        yield from _fairness(run, scores, head)
    else:
        yield from _ranks(found, worst_first(scores, head, run.require("prepare")["facts"]["langs"]))
    yield from _calibration(recipe, run, scores)
    yield from _fit(recipe, run)
    yield from _tokenizer(run)
    yield from _trained_on(run)
    yield from _cost(recipe, run)
    yield "\n## How these numbers were made\n"
    signature = scores.filter(pl.col("metric") == head)["signature"][0]
    yield (
        f"Intervals are {recipe.evaluate.confidence:.0%} bootstrap intervals over rows, or over groups of parallel rows "
        "where there are groups (the signature says which), and reach at least 3/n to each side; "
        "a difference counts when its interval, corrected over languages, excludes zero."
    )
    yield (
        f"Signature: `{signature}`. Repeat with `isogloss run recipe.toml`; "
        "all scores are in `scores.parquet`, every answer in `predictions/`, and the same as a page in `report.html`."
    )


def _verdict(run: Run) -> Iterator[str]:
    verdict = files.read_json(run.path("verdict.json"))
    words = {
        "holds": "**Verdict: the gates hold.** This run can be promoted.",
        "refused": "**Verdict: refused.**",
        "cannot tell": "**Verdict: cannot tell, so not promoted.** "
        "The rows do not suffice to say that every condition holds.",
        "no gate": "**No gate** at promote is in the recipe: this run cannot be promoted.",
    }
    yield words[verdict["outcome"]]
    yield ""
    yield from (f"- {reason}" for reason in refusals(verdict))


def number(row: dict[str, Any] | None) -> str:
    """`0.61 [0.55, 0.67]`, or a dash."""
    if row is None or row["value"] is None:
        return "–"
    if row["low"] is None:
        return f"{row['value']:.3f}"
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def by_lang(scores: pl.DataFrame, metric: str) -> dict[tuple[str, str], dict[str, Any]]:
    """(system, language) → its row of scores."""
    rows = scores.filter(pl.col("by") == "lang", pl.col("metric") == metric)
    return {(row["system"], row["key"]): row for row in rows.iter_rows(named=True)}


def worst_first(scores: pl.DataFrame, metric: str, langs: Sequence[str]) -> list[str]:
    """Languages, the model's worst first; those without a score before all."""
    cells = by_lang(scores, metric)
    sign = -1 if parts.load("metrics", metric).constant("BETTER") == "lower" else 1

    def key(tag: str) -> tuple[float, str]:
        row = cells.get(("model", tag))
        return (sign * row["value"] if row and row["value"] is not None else -1e9, tag)

    return sorted(langs, key=key)


def tallies(recipe: Recipe, run: Run) -> dict[str, dict[str, Any]] | None:
    """Without labels: by language, what the model's answers on test were ranked among, and how (`found.tallies`)."""
    if recipe.labelled:
        return None
    rows = files.read_parquet(run.path("predictions", "model.parquet"), ["lang", "split", "group", "rank"])
    return finding.tallies(rows.filter(pl.col("split") == "test"))


def _meaning(recipe: Recipe, found: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield "\n## What is measured\n"
    yield " ".join(finding.told(found))
    yield ""
    yield from (f"- {name}: {words[:1].lower()}{words[1:]}" for name, words in finding.meanings(recipe.metric_names))


def _ranks(found: dict[str, dict[str, Any]], langs: Sequence[str]) -> Iterator[str]:
    yield "\n## At which rank their own content comes\n"
    rows = [
        [tag, row["n_ranked"], row["n_candidates"], *(row[name] for name in finding.BANDS), f"{row['median']:g}"]
        for tag in langs
        if (row := found.get(tag)) and row["n_ranked"]
    ]
    yield from table(["language", "rows", "candidates", *finding.BANDS, "median rank"], rows)


def _languages(recipe: Recipe, run: Run, scores: pl.DataFrame, head: str, systems: Sequence[str]) -> Iterator[str]:
    facts, words = run.require("prepare")["facts"], words_of(recipe)
    cells = by_lang(scores, head)
    langs = worst_first(scores, head, facts["langs"])
    yield f"\n## {head} on test, worst language first\n"
    rows = []
    for tag in langs:
        n = (cells.get(("model", tag)) or {}).get("n", 0)
        rows.append([f"{tag} {lang_table.facts(tag).name}", n, *(number(cells.get((name, tag))) for name in systems)])
    yield from table(["language", "n", *(words.get(name, name) for name in systems)], rows)
    if said := floors(recipe, systems):
        yield f"\n{said}"
    for name in recipe.headlines:
        if name != head:
            own = by_lang(scores, name)
            yield f"\n### {name}\n"
            yield from table(
                ["language", "n", *(words.get(system, system) for system in systems)],
                [
                    [
                        f"{tag} {lang_table.facts(tag).name}",
                        own["model", tag]["n"],
                        *(number(own.get((system, tag))) for system in systems),
                    ]
                    for tag in worst_first(scores, name, facts["langs"])
                    if ("model", tag) in own
                ],
            )
    yield "\n<details><summary>Every metric of the model</summary>\n"
    names = [m for m in recipe.metric_names if m != head]
    every = {metric: by_lang(scores, metric) for metric in names}
    yield from table(
        ["language", *names], [[tag, *(number(every[m].get(("model", tag))) for m in names)] for tag in langs]
    )
    yield "\n</details>"
    yield "\n## Footnote: over all languages\n"
    rest = scores.filter(pl.col("by") == "all", pl.col("metric") == head)
    summary = {(row["system"], row["key"]): row for row in rest.iter_rows(named=True)}
    yield from table(
        ["", *(words.get(name, name) for name in systems)],
        [
            [words, *(number(summary.get((name, key))) for name in systems)]
            for key, words in (
                ("mean", "mean over languages"),
                ("worst", "mean of the worst tenth"),
                ("gap", "best − worst language"),
            )
        ],
    )


def _against(recipe: Recipe, run: Run, head: str) -> Iterator[str]:
    words = words_of(recipe)
    pairs = files.read_parquet(run.path("paired.parquet")).filter(pl.col("by") == "lang", pl.col("metric") == head)
    if pairs.is_empty():
        return
    yield f"\n## Against each baseline ({head}, paired, corrected over languages)\n"
    for (other,), rows in pairs.group_by("other", maintain_order=True):
        counts = {verdict: rows.filter(pl.col("verdict") == verdict) for verdict in ("better", "worse", "cannot tell")}
        n = {verdict: found.height for verdict, found in counts.items()}
        yield (
            f"- {words.get(str(other), str(other))}: better in {n['better']} languages, "
            f"worse in {n['worse']}, cannot tell in {n['cannot tell']}"
        )
        for row in counts["worse"].sort("diff").iter_rows(named=True):
            interval = f"[{row['low_corrected']:+.3f}, {row['high_corrected']:+.3f}]"
            yield f"  - worse in {row['key']}: {row['diff']:+.3f} {interval} (n={row['n']})"


def _slices(scores: pl.DataFrame, head: str) -> Iterator[str]:
    rows = scores.filter(pl.col("system") == "model", pl.col("metric") == head, ~pl.col("by").is_in(["lang", "all"]))
    for (by,), frame in rows.group_by("by", maintain_order=True):
        yield f"\n## {head} by {by}\n"
        yield from table(
            [str(by), "n", head],
            [
                [row["key"], row["n"], number(row)]
                for row in frame.sort("value", nulls_last=False).iter_rows(named=True)
            ],
        )


def _consistency(scores: pl.DataFrame) -> Iterator[str]:
    rows = scores.filter(
        pl.col("system") == "model", pl.col("metric") == "consistency", pl.col("by") == "lang", pl.col("n") > 0
    ).sort("value")
    if rows.is_empty():
        return
    yield "\n## Consistency across translations\n"
    yield "Share of translations of the same content, in other languages, that get the same answer.\n"
    yield from table(
        ["language", "n", "consistency"], [[row["key"], row["n"], number(row)] for row in rows.iter_rows(named=True)]
    )


def _fairness(run: Run, scores: pl.DataFrame, head: str) -> Iterator[str]:
    frame = files.read_parquet(run.path("fairness.parquet"))
    cells = {
        key[1]: row for key, row in by_lang(scores, head).items() if key[0] == "model" and row["value"] is not None
    }
    yield "\n## Fairness\n"
    if cells:
        worst, best = min(cells, key=lambda t: cells[t]["value"]), max(cells, key=lambda t: cells[t]["value"])
        yield f"Worst language: {worst} {number(cells[worst])}. Best: {best} {number(cells[best])}."
        gap = scores.filter(
            pl.col("system") == "model", pl.col("metric") == head, pl.col("by") == "all", pl.col("key") == "gap"
        )
        if gap.height and gap["value"][0] is not None:
            yield f"Best − worst: {number(gap.row(0, named=True))}.\n"
    pooled = frame.filter(pl.col("lang") == "all", pl.col("n") > 0)
    yield "Error rate by label and resource class (classes of Joshi et al. 2020; 5 has most data):\n"
    classes = sorted(pooled["resource"].unique())
    cell = {(row["label"], row["resource"]): row for row in pooled.iter_rows(named=True)}

    def rate(row: dict[str, Any] | None) -> str:
        return "–" if row is None else f"{row['error_rate']:.2f} [{row['low']:.2f}, {row['high']:.2f}] (n={row['n']})"

    yield from table(
        ["label", *(f"class {c}" for c in classes)],
        [
            [label, *(rate(cell.get((label, c))) for c in classes)]
            for label in pooled["label"].unique(maintain_order=True)
        ],
    )
    own = frame.filter(pl.col("lang") != "all", pl.col("n") > 0).sort("error_rate", "n", descending=True).head(10)
    yield "\nThe ten worst cells of label × language:\n"
    yield from table(
        ["label", "language", "error rate", "n"],
        [
            [row["label"], row["lang"], f"{row['error_rate']:.2f} [{row['low']:.2f}, {row['high']:.2f}]", row["n"]]
            for row in own.iter_rows(named=True)
        ],
    )
    untested = frame.filter(pl.col("lang") != "all", pl.col("n") == 0)
    if untested.height:
        yield (
            f"\n{untested.height} cells of label × language have no test row: "
            + ", ".join(f"{row['label']} in {row['lang']}" for row in untested.head(8).iter_rows(named=True))
            + (", ..." if untested.height > 8 else "")
        )


def _calibration(recipe: Recipe, run: Run, scores: pl.DataFrame) -> Iterator[str]:
    """What calibration did by language, worst after it first; nothing where the recipe asks for none."""
    rows = calibrated.rows(recipe, run, scores)
    if not rows:
        return
    yield "\n## Calibration\n"
    yield from calibrated.words(run)
    if not any(row["fitted"] for row in rows):
        return
    yield ""
    yield from table(
        ["language", "dev rows", "temperature", "n", "error before", "error after", "difference (paired)", "verdict"],
        [
            [f"{row['lang']} {lang_table.facts(row['lang']).name}" + (f", {row['task']}" if row["task"] else ""),
             row["n_dev"], f"{row['temperature']:.2f}", row["n"], number(row["before"]), number(row["after"]),
             "–" if row["diff"] is None else number(row["diff"]), row["verdict"]]
            for row in rows
        ],
    )  # fmt: skip


def _fit(recipe: Recipe, run: Run) -> Iterator[str]:
    frame = files.read_parquet(run.path("fit.parquet"))
    yield "\n## Over- and underfitting\n"
    if not recipe.labelled:
        yield "Train rows are ranked among as many contents as dev has, so that both have the same chance.\n"
    yield (
        "Overfits: train is above dev by more than 0.10 with its whole interval, and dev is not better than the "
        "n-gram floor. Underfits: below the floor on train, or train close to dev and dev below the floor.\n"
    )
    for verdict in ("overfits", "underfits", "cannot tell", "fits"):
        rows = frame.filter(pl.col("verdict") == verdict)
        if rows.height:
            named = ", ".join(rows["lang"].head(12)) + (", ..." if rows.height > 12 else "")
            yield f"- {verdict}: {rows.height} languages ({named})"
            if verdict in ("overfits", "underfits", "cannot tell"):
                yield f"  - e.g. {rows['lang'][0]}: {rows['reason'][0]}"


def _tokenizer(run: Run) -> Iterator[str]:
    """What the tokenizer costs each language; nothing for a family without one."""
    if not run.path("audit.json").is_file():
        return
    found = files.read_json(run.path("audit.json"))
    own, base = found["tokenizer"], found["reference"]
    yield "\n## Tokenizer, before the first step\n"
    yield (
        f"{own['name']}: {own['kind']}, {own['n_vocab']:,} pieces, audited on texts of the corpus, worst language first. "
        f"Premium: tokens for each token of the same content in {base}"
        + (f"; there is none: {found['why_no_premium']}." if found["why_no_premium"] else ".")
    )
    yield ""
    yield from table(
        ["language", "n", "verdict", "premium", "tokens a word", "tokens a character", "unknown", "characters lost",
         "words kept whole", "words read at once", "moved by a typo"],
        [_audited(row) for row in found["langs"]],
    )  # fmt: skip
    needy = [row for row in found["langs"] if row["needs"]]
    yield "" if needy else "\nNo language is broken, spelled out, or costly beyond the limits."
    for row in needy:
        yield f"- {row['lang']} needs {' and '.join(row['needs'])}: {'; '.join(row['reasons'])}."


def _audited(row: dict[str, Any]) -> list[Any]:
    """A language's row in the table of the tokenizer."""

    def share(cell: dict[str, Any]) -> str:
        return "–" if cell["value"] is None else f"{100 * cell['value']:.1f} %"

    def plain(cell: dict[str, Any], digits: int = 2) -> str:
        return "–" if cell["value"] is None else f"{cell['value']:,.{digits}f}"

    premium = row["premium"]
    ends = f" [{premium['low']:.2f}, {premium['high']:.2f}]" if premium["low"] is not None else ""
    return [
        f"{row['lang']} {row['name']}", row["n"], row["verdict"], plain(premium) + ends, plain(row["fertility"]),
        plain(row["tokens_per_char"]), share(row["unknown"]), share(row["lost"]), share(row["kept_whole"]),
        plain(row["context_words"], 0), plain(row["variants"]["typo"]["moved"]),
    ]  # fmt: skip


def _trained_on(run: Run) -> Iterator[str]:
    counts = files.read_parquet(run.path("counts.parquet"))
    facts = run.require("train")["facts"]
    trained, drawn = facts["trained_on"], facts.get("shots", {}).get("rows", {})
    langs = run.require("prepare")["facts"]["langs"]
    yield "\n## Trained and evaluated on\n"
    wide = {(lang, split): n for lang, split, n in counts.group_by("lang", "split").agg(pl.col("n").sum()).rows()}
    yield from table(
        ["language", "trained on", *SPLITS],
        [
            [
                tag,
                f"{drawn[tag]} rows" if drawn.get(tag) else "yes" if tag in trained else "no (zero-shot)",
                *(wide.get((tag, split), 0) for split in SPLITS),
            ]
            for tag in langs
        ],
    )
    if drawn:
        yield (
            f"\nFew-shot: draw {facts['shots']['draw']} of {facts['shots']['asked']} train rows of each language that "
            "`train.langs` does not name, by class and content; none of their dev rows chose the model."
        )


def _cost(recipe: Recipe, run: Run) -> Iterator[str]:
    cost = run.cost()
    yield "\n## Cost\n"
    yield from table(["stage", "seconds"], [[stage, f"{seconds:.1f}"] for stage, seconds in cost.items()])
    found = spent.spent(recipe, run)
    if found is not None:
        yield "\nTraining took:\n"
        yield from (f"- {sentence}" for sentence in spent.sentences(found))
    if found is not None and found.gains:
        yield f"\nGain in {found.metric} over {words_of(recipe).get(found.over, found.over)} by language, the smallest first, and for each unit spent:\n"
        yield from table(
            ["language", "n", "gain", *(words for _, words in spent.columns(found)), "share of the tokens"],
            [
                [spent.name_of(each), each.n, f"{each.value:+.3f} [{each.low:+.3f}, {each.high:+.3f}]"]
                + [f"{each.per[unit]:+.3g}" for unit, _ in spent.columns(found)]
                + [f"{each.share:.1%}"]
                for each in found.gains
            ],
        )
    made = run.require("train")["versions"]
    yield "\n" + ", ".join(f"{name} {version}" for name, version in made.items())


def summary(recipe: Recipe, run: Run) -> dict[str, Any]:
    """What the screen shows after a run: languages worst first, with the headline metric of every system."""
    scores = files.read_parquet(run.path("scores.parquet"))
    systems = scores["system"].unique(maintain_order=True).to_list()
    verdict = files.read_json(run.path("verdict.json"))
    found = tallies(recipe, run)
    langs = run.require("prepare")["facts"]["langs"]
    own = [name for name in recipe.headlines if name != recipe.headline]  # that of each task, where there are several
    return {
        **_summed(scores, recipe.headline, langs, systems),
        **({"tasks": [_summed(scores, name, langs, systems) for name in own]} if own else {}),
        **({} if found is None else {"among": finding.among(found), "unscored": _unscored(found)}),
        "systems": systems,
        "verdict": verdict["outcome"],
        "reasons": refusals(verdict),
        "report": str(run.path("report.html" if run.path("report.html").exists() else "REPORT.md")),
        "run": str(run.folder),
    }


def _summed(scores: pl.DataFrame, metric: str, langs: Sequence[str], systems: Sequence[str]) -> dict[str, Any]:
    """A metric by language, the model's worst first, and over languages."""
    cells = by_lang(scores, metric)
    rest = scores.filter(pl.col("by") == "all", pl.col("metric") == metric)
    return {
        "metric": metric,
        "langs": [
            {
                "lang": tag,
                "name": lang_table.facts(tag).name,
                **{name: _plain(cells.get((name, tag))) for name in systems},
            }
            for tag in worst_first(scores, metric, langs)
        ],
        "all": {
            key: {
                name: _plain(row)
                for name in systems
                for row in rest.filter(pl.col("system") == name, pl.col("key") == key).to_dicts()
            }
            for key in ("mean", "worst", "gap")
        },
    }


def _unscored(found: dict[str, dict[str, Any]]) -> int:
    """Rows whose content is in no other language."""
    return sum(row["n"] - row["n_ranked"] for row in found.values())


def _plain(row: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if row is None else {name: row[name] for name in ("value", "low", "high", "n")}
