"""Set aside rows whose id was already read: the first in reading order stays."""

from __future__ import annotations

import polars as pl

BY_SHARD = True
BUCKETS = 16


def summarise(batch: pl.DataFrame) -> pl.DataFrame:
    """`id, origin, lang, bucket` of every row; equal ids share a bucket."""
    return batch.select("id", "origin", "lang", (pl.col("id").hash(0) % BUCKETS).cast(pl.Int64).alias("bucket"))


def decide(summaries: pl.DataFrame) -> pl.DataFrame:
    """`shard, origin` of every later row with a known id, where the `first` one stands, and whether that has its language."""
    first = summaries.with_columns(first=pl.col("origin").first().over("id"), of=pl.col("lang").first().over("id"))
    later = first.filter(pl.col("origin") != pl.col("first"))
    return later.select("shard", "origin", "first", same=pl.col("lang").eq_missing(pl.col("of")))


def apply(batch: pl.DataFrame, decision: pl.DataFrame) -> pl.DataFrame:
    """Name the reason in `drop`."""
    found = batch.select("id", "origin").join(decision, on="origin", how="left", maintain_order="left")
    reason = pl.format("duplicated id '{}': first at {}", "id", "first")
    # What stands before the id is what `prepare` shows of many such rows.
    other = pl.format("duplicated id of a row in another language '{}': first at {}", "id", "first")
    hint = pl.lit("; what translations share belongs in the column 'group'")
    said = pl.when(pl.col("same")).then(reason).when(~pl.col("same")).then(other + hint)
    return batch.with_columns(found.select(said.alias("drop")).to_series())
