"""compare-sources: a recipe trained from each of several source languages alone, with and without the same target rows
→ which source wins in each target language, by how much, and whether the test rows can tell.

A run has its own folder: NAME-from-SOURCE is zero-shot, NAME-from-SOURCE-shots-500-draw-0 has 500 rows of every target
too, NAME-from-none-shots-500-draw-0 nothing but these. A draw gives the same target rows to all of them. The data is
prepared once, in NAME-sources, and linked into every run; what is finished is skipped when the command is repeated.

Zero-shot has nothing to draw and runs once, with the recipe's seed. Differences are paired: same test rows, same draw.
They are corrected together, over all pairs of sources (and of a source and none), targets and numbers of rows, because
which source is best is seen on the rows on which it is then compared (`report.paired_draws`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isogloss.core import files, parts, report
from isogloss.core import lang as lang_table
from isogloss.core.errors import DataError, InputError, RecipeError
from isogloss.core.recipe import Recipe
from isogloss.core.run import Run
from isogloss.core.say import Say
from isogloss.stages import chain, many
from isogloss.stages.many import ABSENT, about, interval

if TYPE_CHECKING:
    import polars as pl

NONE = "none"
"""What stands for a source where there is none: the target's rows alone."""
ZERO, SHOTS = "zero", "shots"


@dataclass(frozen=True)
class Point:
    """One run: trained from `source`, with `shots` rows of each target (0: zero-shot) in draw number `draw`."""

    source: str
    shots: int
    draw: int

    @property
    def level(self) -> str:
        return SHOTS if self.shots else ZERO

    @property
    def suffix(self) -> str:
        return f"from-{self.source}" + (f"-shots-{self.shots}-draw-{self.draw}" if self.shots else "")

    @property
    def words(self) -> str:
        rows = f"{many.rows(self.shots)} of each target language, draw {self.draw}" if self.shots else "zero-shot"
        return f"{rows} alone" if self.source == NONE else f"from {self.source}, {rows}"


def points(sources: Sequence[str], shots: int, draws: int) -> list[Point]:
    """The runs, zero-shot first, then draw by draw.

    >>> [point.suffix for point in points(["eng_Latn"], 5, 1)]
    ['from-eng_Latn', 'from-eng_Latn-shots-5-draw-0', 'from-none-shots-5-draw-0']
    """
    zero = [Point(source, 0, 0) for source in sources]
    return [*zero, *(Point(source, shots, draw) for draw in range(draws) for source in (*sources, NONE))]


def compare_sources(
    given: str | Path | Mapping[str, Any] | Recipe,
    sources: Sequence[str],
    *,
    targets: Sequence[str] | None = None,
    shots: int = 500,
    draws: int = 5,
    sets: Sequence[str] = (),
    runs: str | Path = "runs",
    again: bool = False,
    say: Say | None = None,
) -> dict[str, Any]:
    """Run the recipe from each source and write sources.json and sources.md; returns what the former has.

    `targets`: every other language of the recipe by default. `again` replaces finished runs that were made from
    something else; those that are fresh stay. Raises InputError and RecipeError for what is asked wrongly, DataError
    where a source has no train rows or no target is left, and what the stages raise.
    """
    say = say or Say()
    many.drawn_at_most(draws)
    if shots < 1:
        raise InputError(f"--shots takes a whole number of rows from 1, got {shots}; zero-shot is always measured too")
    made, _ = chain.target(given, runs, sets)
    asked = _sources(made, sources, say)
    wanted = None if targets is None else _targets(made, asked, targets, say)
    _check(made)
    todo = points(asked, shots, draws)
    many.named("compare-sources", (f"{made.name}-{point.suffix}" for point in todo))
    many.one_process("compare-sources")
    if made.train.langs is not None or made.train.shots is not None:
        say.note("train.langs and train.shots of the recipe are set aside: --sources and --shots say what is learned")
    say.line(f"sources   {announced(asked, shots, draws)}")
    top = {} if wanted is None else {"langs": [*asked, *wanted]}
    base = many.variant(made, f"{made.name}-sources", top=top, shots=None, langs=None)
    _, home = many.advance(base, "prepare", runs, again, say, "compare-sources")
    n_train, n_test, langs = _rows(home, "train"), _rows(home, "test"), home.require("prepare")["facts"]["langs"]
    lacking = [tag for tag in asked if not n_train.get(tag)]
    if lacking:
        raise DataError(f"{', '.join(lacking)} has no train rows in the corpus, so nothing can be trained from it")
    over = [tag for tag in langs if tag not in asked and (wanted is None or tag in wanted)]
    if not over:
        raise DataError("every language of the corpus is a source, so there is no target language to compare them on")
    unseen = [tag for tag in over if not n_test.get(tag)]
    if len(unseen) == len(over):
        raise DataError(
            f"none of the target languages has test rows to compare sources on ({', '.join(over[:8])}): give some the split "
            "'test', or set data.split.test above 0"
        )
    if unseen:
        say.note(f"{', '.join(unseen)} has no test rows, so no score: nothing is said of it")
    _say_rows(asked, over, n_train, shots, say)
    done: list[tuple[Point, Recipe, Run]] = []
    for number, point in enumerate(todo, start=1):
        say.line(f"sources   run {number} of {len(todo)}: {point.words}")
        one = _of(base, made.name, point, over, first=number == 1)
        many.lend(home, Run(Path(runs) / one.name))
        done.append((point, *many.advance(one, "run", runs, again, say, "compare-sources")))
    document = _document(made, done, asked, over, shots, draws, n_train)
    with home.locked():
        files.write_json(home.path("sources.json"), document)
        files.write_text(home.path("sources.md"), "\n".join(text(document)) + "\n")
    return {**document, "folder": str(home.folder)}


def announced(sources: Sequence[str], shots: int, draws: int) -> str:
    """How many runs, and of what."""
    n = len(sources) + (len(sources) + 1) * draws
    each = "from each source and from none" if draws == 1 else f"in {draws} draws from each source and from none"
    return (
        f"{n} runs: zero-shot from {', '.join(sources)}; {many.rows(shots)} of each target language {each}; "
        "Ctrl-C keeps what is finished"
    )


# -- what is asked ----------------------------------------------------------------------------------------------


def _tags(what: str, codes: Sequence[str], say: Say) -> list[str]:
    """Tags of codes, each once."""
    out: list[str] = []
    for code in codes:
        found = lang_table.resolve(code)
        if found.note:
            say.note(found.note)
        if found.tag in out:
            raise InputError(f"--{what} names {found.tag} twice")
        out.append(found.tag)
    return out


def _sources(made: Recipe, codes: Sequence[str], say: Say) -> list[str]:
    tags = _tags("sources", codes, say)
    if len(tags) < 2:
        raise InputError(f"compare-sources needs two source languages or more, got {len(tags)}: --sources eng,hin")
    if isinstance(made.langs, list):
        for tag in tags:
            if tag not in made.langs:
                raise InputError(f"--sources: {tag} is not among the recipe's langs; add it there")
    return tags


def _targets(made: Recipe, sources: Sequence[str], codes: Sequence[str], say: Say) -> list[str]:
    tags = _tags("targets", codes, say)
    for tag in tags:
        if tag in sources:
            raise InputError(f"{tag} is named as a source and as a target; it can be one of them")
        if isinstance(made.langs, list) and tag not in made.langs:
            raise InputError(f"--targets: {tag} is not among the recipe's langs; add it there")
    return tags


def _check(made: Recipe) -> None:
    if not made.labelled:
        raise RecipeError(f"compare-sources is for tasks with labels, and '{made.task.use}' has none", key="task")
    if made.family.knobs.get("scope") == "lang":
        raise RecipeError(
            "model: with scope = 'lang' every language has a model of its own, so that no source can help another "
            "language; use scope = 'pooled'",
            key="model.scope",
        )


def _rows(home: Run, split: str) -> dict[str, int]:
    """Rows of a split of the corpus by language."""
    import polars as pl

    counts = files.read_parquet(home.path("counts.parquet")).filter(pl.col("split") == split)
    return dict(counts.group_by("lang").agg(pl.col("n").sum()).rows())


def _say_rows(sources: Sequence[str], targets: Sequence[str], n_train: Mapping[str, int], shots: int, say: Say) -> None:
    """What is unequal, before anything is trained."""
    each = {tag: n_train[tag] for tag in sources}
    if max(each.values()) > 1.2 * min(each.values()):
        listed = ", ".join(f"{tag} {n:,}" for tag, n in each.items())
        say.note(f"the sources have unequal train rows ({listed}): what wins may be the rows and not the language")
    none = [tag for tag in targets if not n_train.get(tag)]
    if len(none) == len(targets):
        raise DataError(f"none of the target languages has train rows to draw {shots} of ({', '.join(none[:8])})")
    if len(targets) > 1:
        say.note(
            f"a model serves all of the {len(targets)} target languages, so that each also sees the rows that are drawn of "
            "the others; --targets names fewer"
        )


def _of(base: Recipe, name: str, point: Point, targets: Sequence[str], *, first: bool) -> Recipe:
    """The recipe of one run. What n-grams make of all own rows is the same in every run: only the first one has it."""
    drawn = {"rows": point.shots, "draw": point.draw, "langs": list(targets)} if point.shots else None
    alone = point.source == NONE
    choosing: dict[str, Any] = {"stop": None, "keep": None} if alone else {}  # no dev row of a source can choose
    return many.variant(
        base,
        f"{name}-{point.suffix}",
        baselines=("floor_lang",) if first else (),
        langs=[] if alone else [point.source],
        shots=drawn,
        **choosing,
    )


# -- what came of them ------------------------------------------------------------------------------------------


def _document(
    made: Recipe,
    done: Sequence[tuple[Point, Recipe, Run]],
    sources: Sequence[str],
    targets: Sequence[str],
    shots: int,
    draws: int,
    n_train: Mapping[str, int],
) -> dict[str, Any]:
    """Everything that sources.json says."""
    metric = made.headline
    module = parts.load("metrics", metric).module
    confidence, sign = made.evaluate.confidence, 1 if module.BETTER == "higher" else -1
    scored: dict[str, dict[str, list[many.Scores]]] = {ZERO: {}, SHOTS: {}}
    for point, variant, run in done:
        scored[point.level].setdefault(point.source, []).append(many.Scores.of(variant, run, metric))
    compared = _compared(made, scored, targets)

    def cells(tag: str, level: str) -> dict[str, Any]:
        found = {
            source: many.over_draws([s.by_lang.get(("model", tag)) for s in scores], confidence, module.RANGE)
            for source, scores in scored[level].items()
        }
        return {source: cell for source, cell in found.items() if cell is not None}

    first, drawn_run = scored[ZERO][sources[0]][0], next(run for point, _, run in done if point.shots)
    rows = []
    for tag in targets:
        by_level = {}
        for level in (ZERO, SHOTS):
            here = [row for row in compared if row["level"] == level and row["lang"] == tag]
            by_level[level] = {"by_source": cells(tag, level), **judged(cells(tag, level), here, sign)}
        n = first.by_lang.get(("model", tag), {}).get("n", 0)
        floor = many.over_draws([first.by_lang.get(("floor_lang", tag))], confidence, module.RANGE)
        about_it = {"lang": tag, "name": lang_table.facts(tag).name, "n": n, "n_train": n_train.get(tag, 0)}
        rows.append({**about_it, "n_drawn": many.drawn(drawn_run, tag), "floor_lang": floor, **by_level})

    def worst(row: Mapping[str, Any]) -> tuple[float, str]:
        best = row[ZERO]["by_source"].get(row[ZERO]["winner"])
        return (sign * best["value"] if best else -math.inf, row["lang"])

    return {
        "name": made.name,
        "metric": metric,
        "better": module.BETTER,
        "confidence": confidence,
        "signature": first.signature,
        "sources": {tag: n_train[tag] for tag in sources},
        "shots": shots,
        "draws": draws,
        "seed": made.seed,
        "loop": made.loops,
        "langs": sorted(rows, key=worst),
        "comparisons": compared,
        "mean": {
            level: {
                source: many.over_draws([s.over(targets) for s in scores], confidence, module.RANGE)
                for source, scores in scored[level].items()
            }
            for level in (ZERO, SHOTS)
        },
        "runs": [
            {"run": str(run.folder), "source": p.source, "shots": p.shots, "draw": p.draw, "seconds": run.cost()}
            for p, _, run in done
        ],
    }


def _compared(
    made: Recipe, scored: Mapping[str, Mapping[str, list[many.Scores]]], targets: Sequence[str]
) -> list[dict[str, Any]]:
    """Every pair of systems at each number of rows, by language; corrected together."""
    import polars as pl

    labels = sorted({label for by in scored.values() for some in by.values() for s in some for label in s.labels})

    def answers(scores: many.Scores) -> pl.DataFrame:
        return many.with_labels(scores.answers.filter(pl.col("lang").is_in(targets)), scores.labels, labels)

    frames = {
        (level, source): [answers(s) for s in some] for level, by in scored.items() for source, some in by.items()
    }
    pairs = {
        f"{level} {a} {b}": (frames[level, a], frames[level, b])
        for level, by in scored.items()
        for a, b in combinations(by, 2)
    }
    spec = made.evaluate
    options: dict[str, Any] = {"resamples": spec.resamples, "confidence": spec.confidence, "seed": made.seed}
    found = report.paired_draws(
        pairs, parts.load("metrics", made.headline).module, labels, name=made.headline, **options
    )
    keep = ("diff", "low", "high", "low_corrected", "high_corrected", "sd", "p", "p_holm", "n", "n_draws", "verdict")
    out = []
    for row in found.iter_rows(named=True):
        level, a, b = row["comparison"].split(" ")
        out.append({"lang": row["key"], "level": level, "a": a, "b": b, **{name: row[name] for name in keep}})
    return out


def judged(cells: Mapping[str, Any], compared: Sequence[Mapping[str, Any]], sign: int) -> dict[str, Any]:
    """Which source is first in a language, over whom by how much, and whether that can be told.

    `winner` is the source with the best value, `second` the one behind it, `lead` the difference of the two, the winner's
    less the other's; `verdict` "wins" when the winner is better than every other source, else "cannot tell", and then
    `tied` names those that it cannot be told from. `against_none`: the winner less the target's rows alone.
    """
    order = sorted((s for s in cells if s != NONE), key=lambda s: (-sign * cells[s]["value"], s))
    if not order:
        return {
            "winner": None,
            "second": None,
            "lead": None,
            "verdict": "cannot tell",
            "tied": [],
            "against_none": None,
        }
    winner = order[0]
    leads = {row["b"] if row["a"] == winner else row["a"]: _turned(row, winner) for row in compared if winner in (row["a"], row["b"])}  # fmt: skip
    tied = [s for s in order[1:] if leads.get(s, {}).get("verdict") != "better"]
    second = order[1] if len(order) > 1 else None
    return {
        "winner": winner,
        "second": second,
        "lead": leads.get(second) if second else None,
        "verdict": "wins" if second and not tied else "cannot tell",
        "tied": tied,
        "against_none": leads.get(NONE),
    }


def _turned(row: Mapping[str, Any], first: str) -> dict[str, Any]:
    """A comparison, seen from `first`."""
    keep = ("diff", "low", "high", "low_corrected", "high_corrected", "p_holm", "n", "verdict")
    if row["a"] == first:
        return {name: row[name] for name in keep}
    turned = {name: None if row[of] is None else -row[of] for name, of in (
        ("diff", "diff"), ("low", "high"), ("high", "low"),
        ("low_corrected", "high_corrected"), ("high_corrected", "low_corrected"),
    )}  # fmt: skip
    verdict = {"better": "worse", "worse": "better"}.get(row["verdict"], row["verdict"])
    return {**turned, "p_holm": row["p_holm"], "n": row["n"], "verdict": verdict}


# -- for a reader -----------------------------------------------------------------------------------------------


def heads(found: Mapping[str, Any]) -> dict[str, str]:
    """What each number of target rows is called."""
    return {ZERO: "zero-shot", SHOTS: f"with {many.rows(found['shots'])} of the target"}


def sentence(found: Mapping[str, Any], row: Mapping[str, Any], level: str) -> str:
    """Who wins in a language, in words."""
    here, points = row[level], 100 if found["better"] == "higher" else 1
    if here["winner"] is None:
        return "no test rows"
    if here["lead"] is None:
        return f"only {here['winner']} has a score"
    lead = here["lead"]
    by = f"{points * lead['diff']:+.1f}" + (" points" if points == 100 else "")
    if lead["low_corrected"] is None:
        span = f"too few test rows (n {lead['n']})"
    else:
        span = f"{points * lead['low_corrected']:+.1f} to {points * lead['high_corrected']:+.1f}"
    what = f"{by} over {here['second']} ({span})"
    if here["verdict"] == "wins":
        return f"{here['winner']} wins, {what}"
    return f"cannot tell: {here['winner']} is first, {what}"


def against_none(found: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """Whether the best source with the target's rows is better than these rows alone, in words."""
    lead, points = row[SHOTS]["against_none"], 100 if found["better"] == "higher" else 1
    if lead is None or lead["diff"] is None:
        return ABSENT
    words = {"better": "a source helps", "worse": "a source harms"}.get(lead["verdict"], "cannot tell")
    if lead["low_corrected"] is None:
        return f"{words}, {points * lead['diff']:+.1f}"
    return (
        f"{words}, {points * lead['diff']:+.1f} ({points * lead['low_corrected']:+.1f} to "
        f"{points * lead['high_corrected']:+.1f})"
    )


def legend(found: Mapping[str, Any]) -> Iterator[str]:
    """How to read the tables, in sentences."""
    sources = ", ".join(f"{tag} ({n:,} train rows)" for tag, n in found["sources"].items())
    yield f"Sources: {sources}; each alone."
    draws = f"the mean of {found['draws']} draws" if found["draws"] > 1 else "one draw"
    last = ", and its last step is taken, because no dev rows of a source can choose" if found["loop"] else ""
    yield (
        f"With target rows: {draws}, the same rows for every source; 'none' is these rows alone{last}. Zero-shot has "
        "nothing to draw: one run from each source."
    )
    n = sum(row["low_corrected"] is not None for row in found["comparisons"])
    yield (
        f"Differences are paired on the same test rows{' and draws' if found['draws'] > 1 else ''}; their "
        f"{found['confidence']:.0%} intervals hold for all {n} comparisons at once. 'Cannot tell' is what the test rows "
        "say, not that two sources are equal."
    )
    yield "n-grams: character n-grams of each target alone, on all its own train rows."


def screen(found: Mapping[str, Any], level: str) -> list[list[str]]:
    """The table of one number of target rows, worst language first."""
    systems = list(found["mean"][level])
    floor = level == SHOTS and any(row["floor_lang"] for row in found["langs"])
    out = [["language", "n", *systems, *(["n-grams"] if floor else [])]]
    for row in found["langs"]:
        cells = [about(row[level]["by_source"].get(source)) for source in systems]
        more = [about(row["floor_lang"])] if floor else []
        out.append([f"{row['lang']} {row['name']}", str(row["n"]), *cells, *more])
    if len(found["langs"]) > 1:
        means = [about(found["mean"][level][source]) for source in systems]
        out.append(["mean over targets", "", *means, *([""] if floor else [])])
    return out


def verdicts(found: Mapping[str, Any], level: str) -> Iterator[str]:
    """A sentence for each language, worst first."""
    for row in found["langs"]:
        yield f"{row['lang']}: {sentence(found, row, level)}"
        if level == SHOTS:
            yield f"{row['lang']}: the best source against none: {against_none(found, row)}"


def text(found: Mapping[str, Any]) -> Iterator[str]:
    """The lines of sources.md."""
    from isogloss.stages.markdown import table

    yield f"# {found['name']}: which source language\n"
    yield f"{found['metric']} on test, worst target language first.\n"
    yield from legend(found)
    for level, head in heads(found).items():
        systems = list(found["mean"][level])
        more = ["best source against none", "n-grams, all rows"] if level == SHOTS else []
        yield f"\n## {head[0].upper()}{head[1:]}\n"
        yield from table(
            ["target language", "n", *systems, "which source", *more],
            [
                [f"{row['lang']} {row['name']}", row["n"]]
                + [interval(row[level]["by_source"].get(source)) for source in systems]
                + [sentence(found, row, level)]
                + ([against_none(found, row), interval(row["floor_lang"])] if more else [])
                for row in found["langs"]
            ]
            + [
                [
                    "mean over targets",
                    "",
                    *(interval(found["mean"][level][s]) for s in systems),
                    "",
                    *["" for _ in more],
                ]
            ],
        )
    fewer = [f"{r['lang']} {r['n_drawn']}" for r in found["langs"] if r["n_drawn"] < found["shots"]]
    if fewer:
        yield f"\nFewer rows than the {found['shots']} asked: {', '.join(fewer)}."
    yield "\n## All pairs\n"
    yield from table(
        ["target language", "rows", "first", "second", "difference", "corrected interval", "sd over draws", "p (Holm)", "verdict on the first"],
        [
            [
                row["lang"],
                found["shots"] if row["level"] == SHOTS else 0,
                row["a"],
                row["b"],
                _signed(row["diff"]),
                ABSENT
                if row["low_corrected"] is None
                else f"[{_signed(row['low_corrected'])}, {_signed(row['high_corrected'])}]",
                ABSENT if row["sd"] is None else f"{row['sd']:.3f}",
                ABSENT if row["p_holm"] is None else f"{row['p_holm']:.3f}",
                row["verdict"],
            ]
            for row in found["comparisons"]
        ],
    )  # fmt: skip
    yield "\n## How these numbers were made\n"
    yield (
        "Of a difference, the standard error is the root of two squares: the bootstrap's over groups of test rows of the "
        "mean over draws, and that over draws. p is Student's t, by Holm over all pairs, languages and numbers of rows; "
        "the corrected interval (Bonferroni) is a little stricter, and it decides. An interval of a score is made as in "
        f"few-shot. Signature: `{found['signature']}`."
    )
    yield ""
    yield from (f"- `{each['run']}`: {sum(each['seconds'].values()):.0f} s" for each in found["runs"])


def _signed(x: float | None) -> str:
    return ABSENT if x is None else f"{x:+.3f}"
