"""Show rows by language, label and domain, and cap what has too many; what has too few gets a weight.

A *cell* is a language, with `by` also a label or a domain. `cap` keeps so many train rows of a cell, chosen by their ids; the
rest goes, with the reason. `floor` gives rows of a smaller cell a `weight` above 1, so that together they count as
`floor` rows (at most `most` times): the mix `weighted` and families that fit themselves with it follow.
Without either it only shows; `prepare` shows the same of every corpus. A domain is the column `domain`, where there is none the
`source`.

Rows of a group stay or go one by one: translations are in other languages, which have caps of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from isogloss.core import near as _near
from isogloss.core.frames import Frames

if TYPE_CHECKING:
    import polars as pl

VERSION = 1
AFTER_SPLIT = True
BY_SHARD = True
STREAMS = True
ADDS = ("weight",)

By = Literal["lang", "label", "domain"]
Rows = Annotated[int, Field(ge=1)]
Times = Annotated[float, Field(ge=1)]


def summarise(batch: pl.DataFrame, *, seed: int) -> pl.DataFrame:
    """Give of each train row its place, cell and a number drawn by its id."""
    import polars as pl

    def column(name: str) -> pl.Series:
        empty = pl.Series(name, [None] * batch.height, dtype=pl.String)
        return batch[name].cast(pl.String).alias(name) if name in batch.columns else empty

    free = column("drop").is_null() & (column("split").fill_null("train") == "train")
    drawn = [int.from_bytes(_near.digest(f"{seed} {name}")[:8], "little") for name in column("id").fill_null("")]
    return pl.DataFrame(
        [
            pl.Series("place", range(batch.height), dtype=pl.UInt32),
            pl.Series("drawn", drawn, dtype=pl.UInt64),
            column("lang"),
            column("label"),
            (column("domain") if "domain" in batch.columns else column("source")).alias("domain"),
        ]
    ).filter(free)


def decide(
    summaries: Frames, *, by: By = "lang", cap: Rows | None = None, floor: Rows | None = None, most: Times = 4.0
) -> pl.DataFrame:
    """Choose the rows over the cap and weigh the cells under the floor: `shard, place, lang, label, domain, why, weight`.

    Knobs
        by: what makes a cell: the language alone, or with the label or the domain
        cap: the most train rows of a cell
        floor: the rows that those of a smaller cell count for
        most: how often a row counts at most
    """
    import polars as pl

    rows = summaries.columns("place", "drawn", "lang", "label", "domain").with_columns(pl.col("lang").fill_null("und"))
    cell = ["lang"] if by == "lang" else ["lang", by]
    n = pl.len().over(cell)
    rank = pl.col("drawn").rank("ordinal").over(cell)
    name = (
        pl.col("lang")
        if by == "lang"
        else pl.concat_str("lang", pl.lit(f" with {by} '"), pl.col(by).fill_null("none"), pl.lit("'"))
    )
    over = rank > cap if cap else pl.lit(False)
    why = pl.concat_str(pl.lit(f"over the cap of {cap or 0:,} rows: "), name, pl.lit(" has "), n.cast(pl.String))
    weight = (pl.lit(floor or 1) / n).clip(1, most) if floor else pl.lit(None, pl.Float64)
    return rows.select(
        "shard",
        "place",
        "lang",
        "label",
        "domain",
        pl.when(over).then(why).alias("why"),
        weight.cast(pl.Float64).alias("weight"),
    )


def learned(decision: pl.DataFrame) -> pl.DataFrame:
    """Train rows that stay, by language: labels, domains, and how far they are from those of all languages."""
    import polars as pl

    from isogloss.core.balance import languages

    stay = decision.filter(pl.col("why").is_null())
    found = languages(stay.group_by("lang", "label", "domain").len("n"))
    gone = dict(decision.filter(pl.col("why").is_not_null()).group_by("lang").len().iter_rows())
    return pl.DataFrame(
        [
            {
                "lang": one.lang,
                "rows": one.n,
                "over the cap": gone.get(one.lang, 0),
                "labels": one.n_labels,
                "domains": one.n_domains,
                "variation of labels": one.far,
                "by chance": one.chance,
                "variation of domains": one.far_domain,
                "classes under 10 rows": ", ".join(f"{name} {n}" for name, n in one.few),
            }
            for one in found
        ],
        schema={
            "lang": pl.String,
            "rows": pl.Int64,
            "over the cap": pl.Int64,
            "labels": pl.Int64,
            "domains": pl.Int64,
            **dict.fromkeys(("variation of labels", "by chance", "variation of domains"), pl.Float64),
            "classes under 10 rows": pl.String,
        },
    )


def apply(batch: pl.DataFrame, decision: pl.DataFrame, *, floor: Rows | None = None) -> pl.DataFrame:
    """Write the reason into `drop`, and with `floor` the weight into `weight`, times the one that is there."""
    import polars as pl

    own = batch.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("place"))
    new = own.join(decision.select("place", "why", "weight"), on="place", how="left", maintain_order="left")
    old = pl.col("drop") if "drop" in batch.columns else pl.lit(None, pl.String)
    after = batch.with_columns(pl.coalesce(old, new["why"]).cast(pl.String).alias("drop"))
    if floor is None:
        return after
    before: Any = pl.col("weight").cast(pl.Float64) if "weight" in batch.columns else pl.lit(1.0)
    return after.with_columns((before * new["weight"].fill_null(1.0)).alias("weight"))
