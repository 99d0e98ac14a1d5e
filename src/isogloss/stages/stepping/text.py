"""What a step did, as text for a terminal: counts, languages, reasons, and a few examples of each."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from isogloss.stages.examples import Example, kind
from isogloss.stages.examples import lines as example_lines
from isogloss.stages.step import Outcome

MOST_LANGS, MOST_REASONS = 15, 8


def lines(outcome: Outcome, width: int, *, examples: bool = True) -> list[str]:
    """The outcome of a step: what it kept, changed and dropped, by language, and why."""
    out = textwrap.wrap(
        f"{outcome.step}: {outcome.n_read:,} {'row' if outcome.n_read == 1 else 'rows'}, {outcome.n_kept:,} kept, "
        f"{outcome.n_changed:,} of them changed, {outcome.n_dropped:,} dropped",
        width,
    )
    if outcome.n_set_aside:
        out += _wrap(
            f"{outcome.n_set_aside:,} more {'row' if outcome.n_set_aside == 1 else 'rows'} cannot be used:", width
        )
        for row in outcome.set_aside[:MOST_REASONS]:
            out += _wrap(f"  {row['n']:,}  {row['reason']} (first at {row['first']})", width)
    for note in outcome.notes[:6]:
        out += _wrap(f"note: {note}", width)
    if outcome.changed:
        out += _wrap("changed: " + ", ".join(_in_rows(*item) for item in outcome.changed.items()), width)
    if outcome.added:
        out += _wrap("new columns: " + ", ".join(_in_rows(*item) for item in outcome.added.items()), width)
    out += ["", *_langs(outcome, width)]
    if outcome.learned:
        out += ["", "learned from the data"]
        for row in outcome.learned[:MOST_LANGS]:
            out += _wrap("  " + ", ".join(f"{name}: {_value(v)}" for name, v in row.items() if v is not None), width)
        if len(outcome.learned) > MOST_LANGS:
            out.append(f"  and {len(outcome.learned) - MOST_LANGS} more, with --json")
    by_kind: dict[tuple[str, str], list[Example]] = {}
    for example in outcome.examples if examples else ():
        by_kind.setdefault((example.what, kind(example.reason)), []).append(example)
    if outcome.found and (told := list(_found(outcome, width))):
        out += ["", *told]
    if outcome.reasons:
        out += ["", "dropped, by reason"]
        for row in outcome.reasons[:MOST_REASONS]:
            out += _wrap(f"  {row['n']:,}  {row['reason']}", width)
            out += [line for e in by_kind.get(("dropped", kind(row["reason"])), []) for line in example_lines(e, width)]
        if len(outcome.reasons) > MOST_REASONS:
            out.append(f"  and {len(outcome.reasons) - MOST_REASONS} more reasons, with --json")
    for (what, _), some in by_kind.items():
        if what != "dropped":
            out += ["", f"{what}, before and after", *(line for e in some for line in example_lines(e, width))]
    if outcome.out:
        out += ["", f"kept.parquet, dropped.parquet and counts.json are in {outcome.out}"]
    return out


def _value(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _wrap(text: str, width: int) -> list[str]:
    hang = " " * (len(text) - len(text.lstrip()) + 2)
    return textwrap.wrap(text, width, subsequent_indent=hang, break_on_hyphens=False)


def _langs(outcome: Outcome, width: int) -> Iterator[str]:
    """Languages, those that lost most rows first."""
    names = ("read", "kept", "changed", "dropped")
    yield "language  " + "".join(f"{name:>11}" for name in names)
    for row in outcome.by_lang[:MOST_LANGS]:
        yield f"{row['lang']:<10}" + "".join(f"{row[f'n_{name}']:>11,}" for name in names)
    if len(outcome.by_lang) > MOST_LANGS:
        yield f"and {len(outcome.by_lang) - MOST_LANGS} more languages that lost no more, with --json"


def _in_rows(name: str, n: int) -> str:
    return f"{name} in {n:,} {'row' if n == 1 else 'rows'}"


def _found(outcome: Outcome, width: int) -> Iterator[str]:
    """For a step that drops train rows only: what it finds whatever the split, where that says more than what it drops."""
    found = outcome.found or {}
    levels = [level for level in found.get("levels", ()) if level["n"]]
    if not found["n"]:
        if "levels" in found:
            yield "no row matches, whatever its split"
        return
    if not levels and set(found["by_split"]) <= {"train", "none"}:
        return
    splits = ", ".join(f"{n:,} in {'no split' if split == 'none' else split}" for split, n in found["by_split"].items())
    rows = "row" if found["n"] == 1 else "rows"
    yield from _wrap(
        f"found {found['n']:,} {rows}: {splits}; only train rows and rows without a split are dropped", width
    )
    for level in levels:
        yield f"  {level['level']:<12}{level['n']:>9,}   so far {level['n_so_far']:,}"
