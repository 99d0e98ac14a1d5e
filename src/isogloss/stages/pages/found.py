"""What the rows of a task without labels find: among how many candidates, at which rank, and what was there instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from isogloss.core import parts

# Ranks that are counted together, from and to.
BANDS = {"first": (1, 1), "2 to 5": (2, 5), "6 to 10": (6, 10), "beyond 10": (11, None)}
FLOOR = (
    "Character n-grams know nothing of translation: they find names, numbers, and what related languages spell alike. "
    "They are weighed by the rows that the model was trained on."
)


def candidates(rows: pl.DataFrame) -> dict[str, int]:
    """By language, among how many contents a row is ranked: those of `rows` (`lang, group`) that another language has.

    >>> sorted(candidates(pl.DataFrame({"lang": ["a", "b", "a"], "group": ["1", "1", "2"]})).items())
    [('a', 1), ('b', 2)]
    """
    known = rows.select("lang", "group").filter(pl.col("group").is_not_null()).unique()
    alone = known.filter(pl.len().over("group") == 1).group_by("lang").len("n")
    only = dict(alone.rows())
    return {tag: known["group"].n_unique() - only.get(tag, 0) for tag in rows["lang"].unique()}


def tallies(rows: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """By language: `n` rows, `n_ranked` of them, `n_candidates`, the `median` rank, and how many ranks are in each band."""
    among, rank = candidates(rows), pl.col("rank")
    counted = rows.group_by("lang").agg(
        pl.len().alias("n"),
        rank.count().alias("n_ranked"),
        rank.median().alias("median"),
        *(((rank >= low) & (rank <= (high or rank))).sum().alias(name) for name, (low, high) in BANDS.items()),
    )
    return {row["lang"]: {**row, "n_candidates": among[row["lang"]]} for row in counted.iter_rows(named=True)}


def among(found: Mapping[str, Mapping[str, Any]]) -> str:
    """`204 candidates`, or `180 to 204 candidates`."""
    counts = sorted({row["n_candidates"] for row in found.values()})
    few, many = (counts[0], counts[-1]) if counts else (0, 0)
    return f"{many:,} candidate{'' if many == 1 else 's'}" if few == many else f"{few:,} to {many:,} candidates"


def told(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What the scores mean, in sentences: what is looked for, among how many, and which rows are not scored."""
    chances = sorted(1 / row["n_candidates"] for row in found.values() if row["n_candidates"])
    said = [
        "Each test row looks for its own content. Its vector is compared with one for every content that another language "
        f"has, the mean of the rows that say it in the other languages: {among(found)}"
        + (f", so that guessing would find the right one in {chances[-1]:.3f} of the rows." if chances else ".")
    ]
    lost = {tag: row["n"] - row["n_ranked"] for tag, row in found.items() if row["n"] > row["n_ranked"]}
    if lost:
        n = sum(lost.values())
        most = sorted(lost, key=lambda tag: (-lost[tag], tag))
        where = ", ".join(f"{lost[tag]:,} in {tag}" for tag in most[:8]) + (", ..." if len(most) > 8 else "")
        said.append(
            f"{n:,} of {sum(row['n'] for row in found.values()):,} test rows say what no other language has, "
            f"and are not scored ({where})."
        )
    return said


def meanings(names: Sequence[str]) -> list[tuple[str, str]]:
    """Each metric with what it is."""
    return [(name, parts.load("metrics", name).summary) for name in names]


def misses(rows: pl.DataFrame, langs: Sequence[str], most: int) -> list[dict[str, Any]]:
    """One row of each language, in the order of `langs`, that was surest of another content: `id, lang, rank`, its
    `confidence`, and in `found` a row of what it found, in its own language where there is one."""
    wrong = rows.filter(pl.col("rank") > 1).sort(["confidence", "id"], descending=[True, False])
    surest = {row["lang"]: row for row in reversed(wrong.unique("lang", keep="first", maintain_order=True).to_dicts())}
    picked = [surest[tag] for tag in langs if tag in surest][:most]
    place = {tag: i for i, tag in enumerate(langs)}
    wanted = rows.filter(pl.col("group").is_in({row["pred"] for row in picked}))
    of: dict[str, list[dict[str, Any]]] = {}
    for row in wanted.select("id", "lang", "group").iter_rows(named=True):
        of.setdefault(row["group"], []).append(row)
    return [
        {
            **row,
            # the last in the order is the language that scores best
            "found": min(of[row["pred"]], key=lambda r: (r["lang"] != row["lang"], -place.get(r["lang"], -1), r["id"])),
        }
        for row in picked
    ]
