"""Set aside rows whose id was already read: the first in reading order stays."""

from __future__ import annotations

import polars as pl


def summarise(batch: pl.DataFrame) -> pl.DataFrame:
    """`id, origin` of every row."""
    return batch.select("id", "origin")


def decide(summaries: pl.DataFrame) -> pl.DataFrame:
    """`origin` of every later row with a known id, and where the `first` one stands."""
    first = pl.col("origin").first().over("id")
    return summaries.select("origin", first=first).filter(pl.col("origin") != pl.col("first"))


def apply(batch: pl.DataFrame, decision: pl.DataFrame) -> pl.DataFrame:
    """Name the reason in `drop`."""
    found = batch.select("id", "origin").join(decision, on="origin", how="left", maintain_order="left")
    reason = found.select(
        pl.when(pl.col("first").is_not_null()).then(pl.format("duplicated id '{}': first at {}", "id", "first"))
    ).to_series()
    return batch.with_columns(reason.cast(pl.String).alias("drop"))
