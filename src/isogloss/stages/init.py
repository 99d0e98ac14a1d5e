"""init: look at somebody's data and draft a complete recipe for it, with what is weak in the data named by language."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isogloss.core import files, recipe
from isogloss.core.errors import DataError, InputError, IsoglossError, PlaceError
from isogloss.core.readers import Broken, RawFile, expand, rows
from isogloss.core.say import Say
from isogloss.stages.drafting import draft
from isogloss.stages.drafting.checks import check
from isogloss.stages.drafting.findings import Finding, findings
from isogloss.stages.drafting.guess import guess, pattern, peek
from isogloss.stages.drafting.proposal import Plan, plan
from isogloss.stages.drafting.survey import Survey, survey
from isogloss.stages.examples import some
from isogloss.stages.prepare import bundled

STDOUT = Path("-")
SPLITS = ("train", "dev", "test", "")
COLUMNS = ("text", "label", "lang", "split", "group", "id", "source", "license")
# Text files of more lines than this hold one row a line.
LINES = 5


@dataclass(frozen=True)
class Proposal:
    """A drafted recipe, where it was written (None: nowhere), and what was seen."""

    name: str
    text: str
    path: Path | None
    findings: tuple[Finding, ...]
    seen: Survey
    plan: Plan
    columns: dict[str, str]

    def document(self) -> dict[str, Any]:
        """As plain JSON."""
        table = self.seen.by(0, 1)
        return {
            "name": self.name,
            "recipe": str(self.path) if self.path else None,
            **({} if self.path else {"text": self.text}),
            "n_rows": self.seen.n_rows,
            "n_set_aside": self.seen.n_aside,
            "complete": self.seen.complete,
            "columns": {ours: self.columns[ours] for ours in COLUMNS if ours in self.columns},
            "labels": {label: self.seen.by(2)[label] for label in self.plan.labels[:500]},
            "langs": [
                {
                    "lang": lang,
                    "n": n,
                    "given": {split or "none": table[lang, split] for split in SPLITS if table[lang, split]},
                    "n_train": self.plan.n_train[lang],
                    "n_test": self.plan.n_test[lang],
                    "proposed": lang in self.plan.langs,
                }
                for lang, n in sorted(self.plan.n_lang.items())
            ],
            "findings": [vars(finding) for finding in self.findings],
        }  # fmt: skip


def init(
    file: str, *, out: Path | None = None, force: bool = False, name: str | None = None, say: Say | None = None
) -> Proposal:
    """Look at `file` (a file, folder, pattern or bundled sample) and write NAME.toml, or `out`; `-` writes nothing.

    Raises DataError when no recipe can be made of the data, PlaceError when the recipe is there already.
    """
    say = say or Say()
    if name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", name):
        raise InputError(
            f"--name takes letters, digits, '.', '_' and '-' and begins with a letter or digit, got '{name}'"
        )
    name = name or _name(file)
    path = None if out == STDOUT else out or Path(f"{name}.toml")
    if path is not None and path.exists() and not force:
        raise PlaceError(f"{path} exists; give --force to replace it, or another name with --out FILE")
    source, raws = _source(file)
    given = {key for raw in raws for key in raw.given}
    chosen = guess(peek(raws), given)
    seen = survey(raws, chosen.columns, list(dict.fromkeys([*chosen.ids, *chosen.groups])), say)
    checks = check(seen, say)
    made = plan(chosen, seen, checks, given)
    if made.source_lang:
        source["lang"] = made.source_lang
    if "split" not in given and "{split}" in source["path"]:
        source["path"] = source["path"].replace("{split}", "*")
    source["path"] = _relative(source["path"], path)
    found = findings(seen, checks, made)
    text = draft.recipe(
        name, _quoted(file), _quoted(str(path or f"{name}.toml")), source, seen, checks, made, found, chosen.keep
    )
    _must_load(text, path)
    if path is not None:
        files.write_text(path, text)
    return Proposal(name, text, path, tuple(found), seen, made, {**chosen.columns, **made.columns})


def _name(file: str) -> str:
    """A name for the run from the name of the file: `data/Reviews (2).jsonl.gz` → `Reviews-2`."""
    fixed = (
        re.split(r"[*?\[{]", file, maxsplit=1)[0] if re.search(r"[*?\[{]", file) and not Path(file).exists() else file
    )
    last = Path(fixed).resolve().name if fixed in (".", "..", "./", "") else Path(fixed).name
    stem = re.sub(r"\.(gz|zst)$", "", last)
    stem = re.sub(r"\.(jsonl|ndjson|json|csv|tsv|tab|parquet|pq|txt)$", "", stem, flags=re.I)
    return re.sub(r"[^A-Za-z0-9._]+", "-", stem).strip("-._")[:60] or "recipe"


def _source(file: str) -> tuple[dict[str, Any], list[RawFile]]:
    """How the recipe names the data, and the files it means."""
    try:
        file.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError("the name of the file is not valid text, so no recipe can name it; rename it") from None
    inside = bundled(file)
    path = inside or Path(file).expanduser()
    shown = file if inside else str(path)
    raws = expand(path, shown, format=None, encoding="utf-8", rows=None, given={})
    source: dict[str, Any] = {"path": shown}
    lines = _rows_of_text(raws)
    if path.is_dir() and not inside:
        columns = set(peek(raws[:5])) if any(raw.format != "text" for raw in raws) else set()
        named = pattern(path, raws, {"lang", "split", "label"} - columns)
        if named:
            again = expand(path / named, str(path / named), format=None, encoding="utf-8", rows=lines, given={})
            if {raw.path for raw in again} == {raw.path for raw in raws}:
                source["path"], raws = str(path / named), again
    if lines:
        source["rows"] = lines
        raws = expand(Path(source["path"]), source["path"], format=None, encoding="utf-8", rows=lines, given={})
    return source, raws


def _rows_of_text(raws: Sequence[RawFile]) -> str | None:
    """Whether a few text files with many lines are lists of rows; None where the default is right."""
    if not all(raw.format == "text" for raw in raws) or len(raws) < 2 or len(raws) > 1000:
        return None
    some = raws[:: max(1, len(raws) // 20)]
    texts = [row["text"] for raw in some for _, row in rows(raw) if not isinstance(row, Broken)]
    n_lines = sum(text.count("\n") + 1 for text in texts if isinstance(text, str))
    return "lines" if n_lines / len(some) > LINES else None


def _relative(path: str, out: Path | None) -> str:
    """The path as the recipe's folder sees it; a bundled sample and an absolute path stay."""
    if bundled(path) or Path(path).is_absolute() or out is None:
        return path
    folder = out.resolve().parent
    if folder == Path.cwd().resolve():
        return path
    return os.path.relpath(Path.cwd().resolve() / path, folder)


def _quoted(file: str) -> str:
    import shlex

    return shlex.quote(file).replace("\n", " ")


def _must_load(text: str, path: Path | None) -> None:
    import tomllib

    try:
        recipe.build(tomllib.loads(text), file=path, text=text)
    except (IsoglossError, tomllib.TOMLDecodeError) as error:
        raise IsoglossError(f"the drafted recipe does not load: {error}") from error


# -- for a terminal ---------------------------------------------------------------------------------------------

MOST_SHOWN, MOST_LANGS = 12, 12
HEADS = {1: "look at this first", 2: "weak spots", 3: "good to know"}


def lines(made: Proposal, width: int) -> list[str]:
    """What was seen and decided, worst first."""
    n = len(made.plan.n_lang)
    labels = some(made.plan.labels, 6)
    said = f"{made.seen.n_rows:,} rows in {n:,} language{'s' * (n != 1)}, {len(made.plan.labels)} labels ({labels})"
    out = textwrap.wrap(said, width)
    if columns := {ours: made.columns[ours] for ours in COLUMNS if made.columns.get(ours)}:
        out += textwrap.wrap("columns: " + ", ".join(f"{a} from '{b}'" for a, b in columns.items()), width)
    langs = sorted(made.plan.n_lang, key=lambda lang: (made.plan.n_lang[lang], lang))
    rows = [
        [lang, *(f"{n[lang]:,}" for n in (made.plan.n_lang, made.plan.n_train, made.plan.n_test))] for lang in langs
    ]
    out += ["", f"{'language':<10}{'rows':>10}{'train':>10}{'test':>10}"]
    out += [f"{a:<10}{b:>10}{c:>10}{d:>10}" for a, b, c, d in rows[:MOST_LANGS]]
    if len(rows) > MOST_LANGS:
        out.append(f"and {len(rows) - MOST_LANGS} languages with more rows")
    above = 0
    for finding in made.findings[:MOST_SHOWN]:
        if finding.severity != above:
            above = finding.severity
            out += ["", HEADS[above]]
        out += textwrap.wrap(
            finding.text, width, initial_indent="  - ", subsequent_indent="    ", break_on_hyphens=False
        )
    if len(made.findings) > MOST_SHOWN:
        out.append(f"    and {len(made.findings) - MOST_SHOWN} more, with --json")
    return out
