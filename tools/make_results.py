"""Write sections of docs/results.md from finished runs: `python tools/make_results.py runs/sib200-ngram`.

Each section is made of one run's scores, or of the tables of a `few-shot` or of `compare-sources`, and says the command that makes it; a recipe
of another name than the run is given as RUN=COMMAND. Sections of other runs stay as they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from isogloss.core import lang as lang_table
from isogloss.stages.chain import target

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
HEAD = """# Results

Every table is made from a run by `python tools/make_results.py RUN ...`; the command above each table makes the run. Values are on test, with 95 % bootstrap intervals over groups of parallel rows, worst language first.
"""


def cell(row: dict | None) -> str:
    return "–" if row is None or row["value"] is None else f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def written(folder: Path, command: str) -> Iterator[str]:
    """The tables that `isogloss few-shot` or `isogloss compare-sources` wrote."""
    yield f"\n## {folder.name}\n"
    yield f"`{command}`\n"
    for line in _page(folder).read_text(encoding="utf-8").splitlines():
        line = line.replace(f"{folder.parent}/", "runs/")
        yield "##" + line if line.startswith("#") else line


def _page(folder: Path) -> Path:
    found = folder / "few-shot.md"
    return found if found.is_file() else folder / "sources.md"


def section(folder: Path, command: str) -> Iterator[str]:
    recipe, run = target(folder, folder.parent)
    scores = pl.read_parquet(run.path("scores.parquet"))
    rows = {(r["system"], r["metric"], r["by"], r["key"]): r for r in scores.iter_rows(named=True)}
    systems = scores["system"].unique(maintain_order=True).to_list()
    langs = scores.filter(pl.col("system") == "model", pl.col("by") == "lang", pl.col("metric") == "accuracy").sort(
        "value"
    )
    seconds = sum(run.cost().values())
    yield f"\n## {recipe.name}\n"
    yield f"`{command or f'isogloss run recipes/{recipe.name}.toml'}` ({seconds:.0f} s in all on {run.require('train')['versions']['machine']}, shared with other work)\n"
    yield f"Signature: `{rows['model', 'accuracy', 'lang', langs['key'][0]]['signature']}`\n"
    yield (
        "| language | n | model: accuracy | model: macro-F1 | "
        + " | ".join(f"{s}: accuracy" for s in systems[1:])
        + " |"
    )
    yield "| --- |" + " ---: |" * (3 + len(systems[1:]))
    for tag, n in zip(langs["key"], langs["n"], strict=True):
        mine = [cell(rows.get(("model", metric, "lang", tag))) for metric in ("accuracy", "macro_f1")]
        others = [f"{rows[s, 'accuracy', 'lang', tag]['value']:.3f}" for s in systems[1:]]
        yield f"| {tag} {lang_table.facts(tag).name} | {n} | " + " | ".join([*mine, *others]) + " |"
    for key, words in (("mean", "mean over languages"), ("worst", "mean of the worst tenth"), ("gap", "best − worst")):
        mine = [cell(rows.get(("model", metric, "all", key))) for metric in ("accuracy", "macro_f1")]
        others = [f"{rows[s, 'accuracy', 'all', key]['value']:.3f}" for s in systems[1:]]
        yield f"| *{words}* | | " + " | ".join([*mine, *others]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN[=COMMAND]")
    parts = PAGE.read_text(encoding="utf-8").split("\n## ")[1:] if PAGE.is_file() else []
    sections = {part.partition("\n")[0]: "\n## " + part.rstrip("\n") for part in parts}
    for given in parser.parse_args().runs:
        folder, _, command = given.partition("=")
        made = written if _page(Path(folder)).is_file() else section
        text = "\n".join(made(Path(folder), command))
        sections[text.removeprefix("\n## ").partition("\n")[0]] = text
    PAGE.write_text("\n".join([HEAD, *sections.values()]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
