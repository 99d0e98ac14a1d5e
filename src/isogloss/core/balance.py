"""How evenly a corpus is made up: rows by language, label and domain, and where a language departs from the rest."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

# A language whose distribution of labels is further from the pooled one than this is named, and a class with fewer rows.
FAR, FEW = 0.2, 10
# Languages, and classes of one language, that are named in a sentence.
MOST = 8


@dataclass(frozen=True)
class Language:
    """One language: `far` is the total variation of its labels from the pooled ones (0..1), `chance` what it would be about
    for as many rows drawn from the pooled ones; `few` are the classes with few rows; None where there are no labels."""

    lang: str
    n: int
    n_labels: int
    n_domains: int
    far: float | None
    chance: float | None
    far_domain: float
    few: tuple[tuple[str, int], ...]


def train(counts: pl.DataFrame) -> pl.DataFrame:
    """The counts of train rows, or of all where there are none; a row without a label has none."""
    import polars as pl

    rows = counts.with_columns(pl.when(pl.col("label") != "").then("label").alias("label"))
    own = rows.filter(pl.col("split") == "train")
    return own if own.height else rows


def languages(counts: pl.DataFrame) -> list[Language]:
    """Every language of `counts` (`lang, label, domain, n`), the one furthest from the pooled labels first."""
    import polars as pl

    labels = _table(counts.filter(pl.col("label").is_not_null()), "label")
    domains = _table(counts, "domain")
    pooled = _pooled(labels)
    found = []
    for (lang,), own in counts.group_by("lang"):
        n = int(own["n"].sum())
        mine = labels.get(str(lang), {})
        m = sum(mine.values())
        far = variation(mine, pooled) if m and len(pooled) > 1 else None
        chance = (
            None if far is None else sum(math.sqrt(p * (1 - p) / m) for p in pooled.values()) / math.sqrt(2 * math.pi)
        )
        few = tuple((name, mine.get(name, 0)) for name in sorted(pooled) if m and mine.get(name, 0) < FEW)
        found.append(
            Language(
                str(lang),
                n,
                len(mine),
                len(domains[str(lang)]),
                far,
                None if chance is None else min(1.0, chance),
                variation(domains[str(lang)], _pooled(domains)),
                few,
            )
        )
    return sorted(found, key=lambda one: (-(one.far or 0), one.lang))


def _table(counts: pl.DataFrame, name: str) -> dict[str, dict[str, int]]:
    """Rows by language and value."""
    found: dict[str, dict[str, int]] = {}
    for lang, value, n in counts.group_by("lang", name).agg(_sum()).sort("lang", name).iter_rows():
        found.setdefault(lang, {})[value or ""] = n
    return found


def _sum() -> pl.Expr:
    import polars as pl

    return pl.col("n").sum()


def _pooled(table: dict[str, dict[str, int]]) -> dict[str, float]:
    """The shares of values over the rows of all languages."""
    total: dict[str, int] = {}
    for own in table.values():
        for value, n in own.items():
            total[value] = total.get(value, 0) + n
    n_all = sum(total.values())
    return {value: n / n_all for value, n in total.items()}


def variation(own: dict[str, int], pooled: dict[str, float]) -> float:
    """Total variation of two distributions: half the sum of the differences, 0..1.

    >>> variation({"a": 3, "b": 1}, {"a": 0.5, "b": 0.5})
    0.25
    """
    n = sum(own.values())
    return 0.5 * sum(abs(own.get(value, 0) / n - share) for value, share in pooled.items())


def warnings(found: Sequence[Language]) -> Iterator[str]:
    """What should be known before training, by name."""
    for one in [one for one in found if one.far is not None and one.far > FAR][:MOST]:
        yield (
            f"{one.lang}: its labels are distributed differently from those of all languages (total variation {one.far:.2f} over "
            f"{one.n:,} rows; chance gives about {one.chance:.2f}): a model can learn the language instead of the label"
        )
    rest = sum(one.far is not None and one.far > FAR for one in found) - MOST
    if rest > 0:
        yield f"and {rest} more languages whose labels are distributed differently; all are in balance.parquet"
    few: dict[tuple[int, str], list[str]] = {}  # languages of which the same is to be said
    for one in sorted(found, key=lambda one: one.lang):
        if one.few:
            shown = ", ".join(f"{name} ({n})" for name, n in sorted(one.few, key=lambda pair: pair[1])[:MOST])
            more = f" and {len(one.few) - MOST} more" if len(one.few) > MOST else ""
            few.setdefault((len(one.few), shown + more), []).append(one.lang)
    said = sorted(few.items(), key=lambda item: (-item[0][0], item[1]))
    for (n, shown), langs in said[:MOST]:
        yield f"{_names(langs)}: {'a class has' if n == 1 else f'{n} classes have'} under {FEW} rows: {shown}"
    if rest := sum(len(langs) for _, langs in said[MOST:]):
        yield f"and {rest} more languages with a class under {FEW} rows; all are in balance.parquet"


def _names(langs: Sequence[str]) -> str:
    return ", ".join(langs[:MOST]) + (f" and {len(langs) - MOST} more" if len(langs) > MOST else "")
