"""train-langid: an identifier of languages from the user's own text, for those that the packaged one lacks.

    file, folder, pattern ── read ──► texts by language ── learn, judge on folds not seen ──► a folder

Rows of the splits dev and test are left out, so that what is measured on them was not learned from. A text that is not
in the script of its language is set aside, addresses and @names are taken out, and each text counts once.

Beside a base (the packaged identifier, or another folder) only what the base lacks is learned; texts in languages that
it knows are read with it and judged, not learned from. Alone, every language of the text is learned and nothing else is known.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isogloss.core import files, identify
from isogloss.core import lang as lang_table
from isogloss.core.corpus import Fields, Noted, Rejected, read
from isogloss.core.errors import DataError, PlaceError
from isogloss.core.identify import chars, learning
from isogloss.core.identify.grams import normal, pieces
from isogloss.core.identify.letters import fits_script, own_text
from isogloss.core.readers import expand
from isogloss.core.say import Say

WRITTEN = (*chars.NAMES, "README.md")
# Under this F1 on its own held-out texts, a language is named on the screen.
LOOK = 0.9
MOST_SHOWN = 30


@dataclass(frozen=True)
class Outcome:
    """What was learned: `judged` has a row a language, worst first, on texts that were not learned from."""

    out: str
    base: str | None
    n_langs: int
    learned: dict[str, int]
    judged: list[dict[str, Any]]
    left_out: dict[str, int]
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass
class _Read:
    """What was seen while reading."""

    notes: dict[str, None] = field(default_factory=dict)
    aside: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    sources: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    n: Counter[str] = field(default_factory=Counter)

    def set_aside(self, kind: str, example: str) -> None:
        self.aside[kind] += 1
        self.first.setdefault(kind, example)


def train_langid(
    path: str,
    out: Path,
    *,
    lang: str | None = None,
    text: str = "text",
    base: Path | None = None,
    alone: bool = False,
    say: Say | None = None,
) -> Outcome:
    """Learn languages from a file, a folder or a pattern, and write an identifier into the folder `out`.

    `lang` is the language of rows that name none; `base` another folder to add to instead of the packaged identifier.
    Raises DataError when nothing can be learned, PlaceError for the folder.
    """
    from isogloss.stages.prepare import bundled

    say = say or Say()
    _must_be_ours(out)
    like = None if alone else identify.ngrams(base)
    given = {"lang": lang_table.resolve(lang).tag} if lang else {}
    raws = expand(bundled(path) or Path(path), path, format=None, encoding="utf-8", rows=None, given=given)
    seen = _Read()
    rows = (
        row
        for raw in raws
        for row in _usable(read(raw, Fields(columns={"text": text}, task_fields=(), splits=True)), seen, say)
    )
    texts = learning.gather(rows)
    say.close()
    if not texts:
        why = "; ".join(f"{kind} (x{n:,}, first {seen.first[kind]})" for kind, n in seen.aside.most_common(3))
        raise DataError(f"{path} has no text that can be learned from: {why or 'it is empty'}")
    old = set(like.tags) if like else set()
    few = {tag: len(own.normals) for tag, own in texts.items() if tag not in old and len(own.normals) < learning.FEWEST}
    new = {tag: own for tag, own in texts.items() if tag not in old and tag not in few}
    beside = {tag: own for tag, own in texts.items() if tag in old}
    if not new:
        raise DataError(_nothing(path, texts, few, like))
    say.line(
        f"learning {len(new)} language{'s' * (len(new) > 1)} from {sum(len(t.normals) for t in new.values()):,} texts"
    )
    made = learning.train(new, base=like, beside=beside or None)
    notes = [
        *seen.notes,
        *(f"{n:,} rows set aside: {kind} (first {seen.first[kind]})" for kind, n in seen.aside.items()),
    ]
    if few:
        shown = ", ".join(f"{tag} {n}" for tag, n in sorted(few.items()))
        notes.append(f"not learned, fewer than {learning.FEWEST} different texts: {shown}")
    if beside:
        base_name = like.name if like else ""
        shown = ", ".join(sorted(beside)[:8]) + (f" and {len(beside) - 8} more" if len(beside) > 8 else "")
        notes.append(f"{base_name} knows {shown} already: read to judge, not learned from; --alone learns all anew")
    judged = sorted(made.judged, key=lambda row: (row.get("f1_text", 0.0), row["lang"]))
    notes += [
        f"{row['lang']} is told with an F1 of {row['f1_text']:.2f} only: look at its texts, and for more of them"
        for row in judged
        if row["learned"] and row["f1_text"] < LOOK
    ]
    outcome = Outcome(
        str(out), like.name if like else None, len(made.model.tags), {tag: len(own.normals) for tag, own in new.items()},
        judged, few, tuple(notes),
    )  # fmt: skip
    sources = [
        {**dict(zip(("lang", "source", "license"), key, strict=True)), "n": n} for key, n in sorted(seen.sources.items())
        if key[0] in new
    ]  # fmt: skip
    chars.write(made.model, out, {"name": out.name, "license": _licence(base, like), "sources": sources})
    with files.whole(out / "README.md") as temporary:
        temporary.write_text(_card(outcome, sources), encoding="utf-8")
    return outcome


def _usable(rows: Iterator[Any], seen: _Read, say: Say) -> Iterator[tuple[str, str, str | None]]:
    for n, row in enumerate(rows):
        if n % 20_000 == 19_999:
            say.progress("reading", n + 1, None, "rows")
        if isinstance(row, Noted):
            seen.notes[row.note] = None
        elif isinstance(row, Rejected):
            seen.set_aside(row.reason.split(":")[0].split(" '")[0], row.origin)
        elif row["split"] in ("dev", "test"):
            seen.set_aside(f"split {row['split']}", row["origin"])
        else:
            tag, text = row["lang"], own_text(pieces(row["text"], learning.LONG))
            if not fits_script([normal(text)], (tag,))[0, 0]:
                seen.set_aside("not in the script of its language", row["origin"])
                continue
            seen.sources[tag, row["source"] or "", row["license"] or ""] += 1
            yield tag, text, row["group"]


def _nothing(path: str, texts: dict[str, learning.Texts], few: dict[str, int], like: Any) -> str:
    if few:
        shown = ", ".join(f"{tag} has {n}" for tag, n in sorted(few.items())[:5])
        return f"{path} has too few different texts to learn a language from: {shown}; {learning.FEWEST} are needed"
    shown = ", ".join(sorted(texts)[:5])
    return f"{path} has no language that {like.name} lacks (it has {shown}); --alone learns all of its languages anew"


def _must_be_ours(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise PlaceError(f"{out} is a file; --out takes a folder")
    there = [entry.name for entry in out.iterdir()] if out.is_dir() else []
    if there and chars.NAMES[0] not in there:
        raise PlaceError(f"{out} has files and is no folder of an identifier; choose another folder")


def _licence(base: Path | None, like: Any) -> str:
    """The licence of the base, which the new one contains; what the user's text asks for is theirs to say."""
    if like is None:
        return "that of the texts"
    head = (base or Path(identify.__file__).parents[2] / "assets" / "langid") / chars.NAMES[0]
    return f"{json.loads(head.read_text('utf-8')).get('license', 'unknown')} ({like.name}), and that of the texts"


# -- what is said -----------------------------------------------------------------------------------------------

HEADER = ["language", "texts", "F1", "F1 of 4 words", "unknown", "unknown if left out"]


def table(outcome: Outcome) -> list[list[str]]:
    """Rows of the table by language, worst first."""

    def share(row: dict[str, Any], name: str) -> str:
        return f"{row[name]:.3f}" if name in row else "–"

    rows = [HEADER]
    for row in outcome.judged:
        n = outcome.learned.get(row["lang"])
        named = lang_table.facts(row["lang"]).name
        rows.append([
            f"{row['lang']} {named}", f"{n:,}" if n is not None else "known", share(row, "f1_text"),
            share(row, "f1_words"), share(row, "unknown_text"), share(row, "unknown_if_left_out_text"),
        ])  # fmt: skip
    return rows


LEGEND = (
    "F1 among all languages that the identifier knows, on texts it had not learned from (of four folds, each by the "
    "other three). Unknown: texts of the language that it does not name. Unknown if left out: what it says of these texts "
    "when it has never seen the language."
)


def _card(outcome: Outcome, sources: list[dict[str, Any]]) -> str:
    def rows(cells: list[list[str]]) -> list[str]:
        safe = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in cells]
        rule = ["---", *(["---:"] * (len(cells[0]) - 1))]
        return [f"| {' | '.join(row)} |" for row in (safe[0], rule, *safe[1:])]

    base = f", with the languages of {outcome.base}" if outcome.base else ""
    told = [[s["lang"], f"{s['n']:,}", s["source"] or "–", s["license"] or "not stated"] for s in sources]
    lines = [
        f"# Identifier of {outcome.n_langs} languages", "",
        f"Character n-grams and words; {len(outcome.learned)} learned by `isogloss train-langid`{base}. "
        'Use it: `steps = [{use = "langid", model = "THIS FOLDER"}]`.', "",
        "## On texts that were not learned from", "", LEGEND, "", *rows(table(outcome)), "",
        "## Learned from", "", *rows([["language", "rows", "source", "licence"], *told]), "",
    ]  # fmt: skip
    if outcome.notes:
        lines += ["## Notes", "", *(f"- {note}" for note in outcome.notes), ""]
    return "\n".join(lines)
