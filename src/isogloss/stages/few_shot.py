"""few-shot: a recipe at several numbers of target rows, in several draws → a table by target language.

`train.langs` are the sources, every other language is a target. A run has its own folder, NAME-shots-0,
NAME-shots-10-draw-0, NAME-shots-all, and is an ordinary run; what is finished is skipped when the command is repeated.
The data is prepared once, in NAME-few-shot, and linked into every run.

0 (zero-shot) and `all` (`train.langs` left out) have nothing to draw and run once, with the recipe's seed: that seed also
deals the split, so another one would measure other rows. Their intervals are over test rows alone.
The intervals of means over draws are those of `stages/many.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isogloss.core import files, parts
from isogloss.core import lang as lang_table
from isogloss.core.errors import DataError, InputError, RecipeError
from isogloss.core.recipe import Recipe
from isogloss.core.run import Run
from isogloss.core.say import Say
from isogloss.stages import chain, many
from isogloss.stages.many import ABSENT, about, interval, over_draws

ALL = "all"
SHARE = 0.95
"""The share of the source's score that a target language is asked to reach."""


@dataclass(frozen=True)
class Point:
    """One run: `shots` target rows a language (None: all), in draw number `draw`."""

    shots: int | None
    draw: int

    @property
    def key(self) -> str:
        return ALL if self.shots is None else str(self.shots)

    @property
    def suffix(self) -> str:
        return f"shots-{self.key}" + (f"-draw-{self.draw}" if self.shots else "")

    @property
    def words(self) -> str:
        if not self.shots:
            return "all target rows" if self.shots is None else "zero-shot"
        return f"{many.rows(self.shots)} of each target language, draw {self.draw}"


def points(shots: str, draws: int) -> list[Point]:
    """The runs that `--shots 0,10,50,all --draws 3` asks for, fewest rows first. Raises InputError.

    >>> [point.suffix for point in points("all,0,10", 2)]
    ['shots-0', 'shots-10-draw-0', 'shots-10-draw-1', 'shots-all']
    """
    many.drawn_at_most(draws)
    asked: set[int | None] = set()
    for item in shots.split(","):
        word = item.strip()
        if word != ALL and not (word.isascii() and word.isdecimal()):
            raise InputError(f"--shots takes numbers of rows and 'all', e.g. 0,10,50,all; got '{word}' in '{shots}'")
        asked.add(None if word == ALL else int(word))
    order = sorted(asked, key=lambda n: math.inf if n is None else n)
    return [Point(n, draw) for n in order for draw in range(draws if n else 1)]


def few_shot(
    given: str | Path | Mapping[str, Any] | Recipe,
    *,
    shots: str = "0,10,50,all",
    draws: int = 3,
    sets: Sequence[str] = (),
    runs: str | Path = "runs",
    again: bool = False,
    say: Say | None = None,
) -> dict[str, Any]:
    """Run the recipe at each number of target rows and write few-shot.json, few-shot.md and few-shot.html; returns what the
    first has.

    `again` replaces finished runs that were made from something else; those that are fresh stay.

    Raises InputError and RecipeError for what is asked wrongly, DataError where no target language has rows, and what
    the stages raise.
    """
    say = say or Say()
    asked = points(shots, draws)
    made, _ = chain.target(given, runs, sets)
    _check(made, asked)
    many.one_process("few-shot")
    if made.train.shots is not None:
        say.note("train.shots of the recipe is set aside: --shots and --draws say what is drawn")
    say.line(f"few-shot  {announced(asked, draws)}")
    base = many.variant(made, f"{made.name}-few-shot", shots=None)
    _, home = many.advance(base, "prepare", runs, again, say)
    langs = home.require("prepare")["facts"]["langs"]
    sources = [tag for tag in langs if tag in (made.train.langs or ())]
    targets = [tag for tag in langs if tag not in sources]
    if not targets:
        raise DataError("train.langs names every language of the corpus, so there is no target language")
    done: list[tuple[Point, Recipe, Run]] = []
    for number, point in enumerate(asked, start=1):
        say.line(f"few-shot  run {number} of {len(asked)}: {point.words}")
        variant = _of(made, point, first=number == 1)
        many.lend(home, Run(Path(runs) / variant.name))
        done.append((point, *many.advance(variant, "run", runs, again, say)))
    document = _document(made, done, sources, targets, draws)
    with home.locked():
        files.write_json(home.path("few-shot.json"), document)
        files.write_text(home.path("few-shot.md"), "\n".join(text(document)) + "\n")
        files.write_text(home.path("few-shot.html"), page(document))
    return {**document, "folder": str(home.folder)}


def announced(asked: Sequence[Point], draws: int) -> str:
    """How many runs, and of what."""
    drawn = list(dict.fromkeys(point.key for point in asked if point.shots))
    once = [point.words for point in asked if not point.shots]
    several = f"{' and '.join(filter(None, [', '.join(drawn[:-1]), drawn[-1]]))} rows in {draws} draw" if drawn else ""
    each = [*once, *([several + ("s each" if draws > 1 else " each")] if drawn else [])]
    return f"{len(asked)} run{'s' * (len(asked) > 1)}: {'; '.join(each)}; Ctrl-C keeps what is finished"


# -- the runs ---------------------------------------------------------------------------------------------------


def _check(made: Recipe, asked: Sequence[Point]) -> None:
    if made.train.langs is None:
        raise RecipeError(
            "few-shot needs train.langs, the languages that are trained on in full; the others are the targets",
            key="train.langs",
        )
    if isinstance(made.langs, list) and set(made.langs) <= set(made.train.langs):
        raise RecipeError("train.langs names every language of the recipe, so there is no target language")
    many.named("few-shot", (f"{made.name}-{point.suffix}" for point in asked))


def _of(made: Recipe, point: Point, *, first: bool) -> Recipe:
    """The recipe of one run. The floor of all own rows is the same in every run, so that only the first one has it."""
    name, floors = f"{made.name}-{point.suffix}", ("floor_pooled", "floor_lang") if first else ("floor_pooled",)
    if point.shots is None:
        return many.variant(made, name, baselines=floors, shots=None, langs=None)
    drawn = {"rows": point.shots, "draw": point.draw} if point.shots else None
    return many.variant(made, name, baselines=floors, shots=drawn)


# -- what came of them ------------------------------------------------------------------------------------------


def _document(
    made: Recipe, done: Sequence[tuple[Point, Recipe, Run]], sources: list[str], targets: list[str], draws: int
) -> dict[str, Any]:
    """Everything that few-shot.json says."""
    metric = made.headline
    module = parts.load("metrics", metric).module
    confidence = made.evaluate.confidence
    grouped: dict[str, list[tuple[Point, Recipe, Run]]] = {}
    for each in done:
        grouped.setdefault(each[0].key, []).append(each)
    reference = [made.evaluate.source] if made.evaluate.source in sources else sources
    scored = {key: [many.Scores.of(variant, run, metric) for _, variant, run in each] for key, each in grouped.items()}
    first = next(iter(scored.values()))

    def mean(scores: Sequence[many.Scores], system: str, key: str) -> dict[str, Any] | None:
        return over_draws([s.by_lang.get((system, key)) for s in scores], confidence, module.RANGE)

    source = over_draws([s.over(reference) for s in first], confidence, module.RANGE)
    shares = module.BETTER == "higher" and module.RANGE[0] == 0
    rows = []
    for tag in targets:
        cells: dict[str, dict[str, Any]] = {}
        for key, scores in scored.items():
            cell = mean(scores, "model", tag)
            if cell is None:
                continue
            cells[key] = {
                **cell,
                "n_drawn": _drawn(grouped[key], tag),
                "share": cell["value"] / source["value"] if shares and source and source["value"] else None,
                "reached": reached(cell, source) if shares else None,
                "floor_pooled": mean(scores, "floor_pooled", tag),
            }
        n = next((s.by_lang["model", tag]["n"] for s in first if ("model", tag) in s.by_lang), 0)
        floor = next((c for key in scored if (c := mean(scored[key][:1], "floor_lang", tag))), None)
        about = {"lang": tag, "name": lang_table.facts(tag).name, "n": n, "points": cells, "floor_lang": floor}
        rows.append({**about, "arrives": arrives(cells) if shares and cells else None})
    sign = 1 if module.BETTER == "higher" else -1

    def worst(row: dict[str, Any]) -> tuple[float, str]:
        values = [cell["value"] for cell in row["points"].values()]
        return (sign * values[0] if values else -math.inf, row["lang"])

    means = {k: over_draws([s.over(targets) for s in scores], confidence, module.RANGE) for k, scores in scored.items()}
    return {
        "name": made.name,
        "metric": metric,
        "better": module.BETTER,
        "confidence": confidence,
        "signature": first[0].signature,
        "shots": list(grouped),
        "draws": draws,
        "seed": made.seed,
        "sources": sources,
        "source": {"langs": reference, "at": next(iter(grouped)), **(source or {})},
        "share": SHARE,
        "langs": sorted(rows, key=worst),
        "mean": means,
        "runs": [
            {"run": str(run.folder), "shots": point.key, "draw": point.draw, "seconds": run.cost()}
            for point, _, run in done
        ],
    }


def _drawn(runs: Iterable[tuple[Point, Recipe, Run]], tag: str) -> int | None:
    """How many rows of a language were drawn; None for all. Draws of one size are equally large."""
    point, _, run = next(iter(runs))
    if point.shots is None:
        return None
    return many.drawn(run, tag)


def reached(cell: Mapping[str, Any], source: Mapping[str, Any] | None) -> str | None:
    """Whether a target has `SHARE` of the source's score: "yes" and "no" when the interval of the difference says so."""
    if source is None or any(each["low"] is None for each in (cell, source)):
        return None
    lead = cell["value"] - SHARE * source["value"]
    if lead - math.hypot(cell["value"] - cell["low"], SHARE * (source["high"] - source["value"])) > 0:
        return "yes"
    if lead + math.hypot(cell["high"] - cell["value"], SHARE * (source["value"] - source["low"])) < 0:
        return "no"
    return "cannot tell"


def arrives(cells: Mapping[str, Mapping[str, Any]]) -> str:
    """At which number of rows a language first has `SHARE` of the source's score, and whether its rows can tell."""
    at = next((key for key, cell in cells.items() if (cell["share"] or 0) >= SHARE), None)
    if at is not None:
        return ("zero-shot" if at == "0" else f"at {head(at)}") + (
            "" if cells[at]["reached"] == "yes" else ", cannot tell"
        )
    last = [*cells.values()][-1] if cells else None
    return "not reached" + ("" if last is None or last["reached"] == "no" else ", cannot tell")


# -- for a reader -----------------------------------------------------------------------------------------------


def head(key: str) -> str:
    """What a column of target rows is called."""
    return "all rows" if key == ALL else "zero-shot" if key == "0" else many.rows(int(key))


def legend(found: Mapping[str, Any]) -> Iterator[str]:
    """How to read the table, in sentences."""
    source = found["source"]
    names = ", ".join(source["langs"]) if len(source["langs"]) <= 6 else f"the {len(source['langs'])} source languages"
    mean = "the mean over " if 1 < len(source["langs"]) <= 6 else ""
    if source.get("value") is not None:
        yield f"Source: {mean}{names} has {interval(source)} at {head(source['at'])}."
    drawn = [key for key in found["shots"] if key not in ("0", ALL)]
    if drawn:
        many = found["draws"] > 1
        yield (
            f"Each number of rows is {'the mean of ' + str(found['draws']) + ' draws' if many else 'one draw'}; the "
            f"{found['confidence']:.0%} interval is over {'draws and test rows' if many else 'test rows alone'}."
        )
    if {"0", ALL} & set(found["shots"]):
        alone = "; their intervals are over test rows alone" if found["draws"] > 1 else ""
        yield f"Zero-shot and all rows have nothing to draw: one run each, with the recipe's seed{alone}."
    if ALL in found["shots"]:
        yield "With all rows the dev rows of the targets choose the checkpoint too; otherwise only those of the sources do."
    if any(row["floor_lang"] for row in found["langs"]):
        yield "n-grams: character n-grams of each language alone, on all its own train rows."


def screen(found: Mapping[str, Any]) -> list[list[str]]:
    """The table by target language, worst first; behind ± the wider side of the interval."""
    floor = any(row["floor_lang"] for row in found["langs"])
    shares = any(row["arrives"] for row in found["langs"])
    header = ["language", "n", *(head(key) for key in found["shots"])]
    out = [[*header, *(["n-grams"] if floor else []), *([f"{SHARE:.0%} of source"] if shares else [])]]
    for row in found["langs"]:
        cells = [about(row["points"].get(key)) for key in found["shots"]]
        line = [f"{row['lang']} {row['name']}", str(row["n"]), *cells]
        out.append(
            [*line, *([about(row["floor_lang"])] if floor else []), *([row["arrives"] or ABSENT] if shares else [])]
        )
    means = [about(found["mean"][key]) for key in found["shots"]]
    return [*out, ["mean over targets", "", *means, *([""] if floor else []), *([""] if shares else [])]]


def page(found: Mapping[str, Any]) -> str:
    """The HTML of few-shot.html."""
    from isogloss.stages.pages import shots

    names = {key: head(key) for key in found["shots"]}
    return shots.page(found, names, list(legend(found)), f"{SHARE:.0%} of source")


def text(found: Mapping[str, Any]) -> Iterator[str]:
    """The lines of few-shot.md."""
    from isogloss.stages.markdown import table

    yield f"# {found['name']}: few-shot by language\n"
    yield f"{found['metric']} on test, worst language first.\n"
    yield from legend(found)
    yield ""
    shown, floor = found["shots"], any(row["floor_lang"] for row in found["langs"])
    names = [head(key) for key in shown]
    more = ["n-grams, all rows"] if floor else []
    yield from table(
        ["target language", "n", *names, *more, f"{SHARE:.0%} of source"],
        [
            [f"{row['lang']} {row['name']}", row["n"], *(interval(row["points"].get(key)) for key in shown)]
            + ([interval(row["floor_lang"])] if floor else [])
            + [row["arrives"] or ABSENT]
            for row in found["langs"]
        ]
        + [["mean over targets", "", *(interval(found["mean"][key]) for key in shown), *([""] if floor else []), ""]],
    )
    yield "\n## Share of the source's score\n"
    yield from table(
        ["target language", *names],
        [[row["lang"], *(_share(row["points"].get(key)) for key in shown)] for row in found["langs"]],
    )
    yield "\n## Character n-grams on the same rows as the model\n"
    yield from table(
        ["target language", *names],
        [
            [row["lang"], *(interval((row["points"].get(key) or {}).get("floor_pooled")) for key in shown)]
            for row in found["langs"]
        ],
    )
    fewer = [
        f"{row['lang']} {cell['n_drawn']} of {key}"
        for row in found["langs"]
        for key, cell in row["points"].items()
        if key != ALL and cell["n_drawn"] < int(key)
    ]
    if fewer:
        yield f"\nFewer rows than asked: {', '.join(fewer)}."
    yield "\n## How these numbers were made\n"
    yield (
        "A side of an interval is the root of two squares: Student's t over draws, and the mean of the draws' own "
        f"bootstrap intervals over test rows. Signature: `{found['signature']}`."
    )
    yield ""
    yield from (f"- `{each['run']}`: {sum(each['seconds'].values()):.0f} s" for each in found["runs"])


def _share(cell: Mapping[str, Any] | None) -> str:
    return (
        ABSENT if cell is None or cell["share"] is None else f"{cell['share']:.0%} ({cell['reached'] or 'cannot tell'})"
    )
