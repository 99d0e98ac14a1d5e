"""Set aside rows whose id was already read in their language, and tie rows of several languages that share an id.

Parallel data often numbers contents: id 17 in German is the translation of id 17 in English. Such rows stay, are told
apart as `17:deu_Latn` and `17:eng_Latn`, and share the group `17` where none of them names a group.
Of rows with one id in one language the first in reading order stays.
"""

from __future__ import annotations

import polars as pl

BY_SHARD = True
RENAMES = True
BUCKETS = 16


def summarise(batch: pl.DataFrame) -> pl.DataFrame:
    """`id, origin, lang, group, bucket` of every row; equal ids share a bucket."""
    group = pl.col("group") if "group" in batch.columns else pl.lit(None, pl.String)
    bucket = (pl.col("id").hash(0) % BUCKETS).cast(pl.Int64)
    return batch.select("id", "origin", "lang", group.alias("group"), bucket.alias("bucket"))


def decide(summaries: pl.DataFrame) -> pl.DataFrame:
    """`shard, origin, first, shared, tied` of the rows that share their id with another.

    `first` is where the first row with this id and language stands, for later ones; `shared` says that several languages
    have the id, and `tied` is the group of those rows that name none.
    """
    several = summaries.filter(pl.len().over("id") > 1)
    found = several.with_columns(
        shared=pl.col("lang").n_unique().over("id") > 1,
        first=pl.col("origin").first().over("id", "lang"),
        named=pl.col("group").drop_nulls().first().over("id"),
    ).with_columns(first=pl.when(pl.col("first") != pl.col("origin")).then("first"))
    tied = pl.when("shared").then(pl.coalesce("named", "id"))
    asked = found.filter(pl.col("first").is_not_null() | pl.col("shared"))
    return asked.select("shard", "origin", "first", "shared", tied.alias("tied"))


def learned(decision: pl.DataFrame) -> pl.DataFrame:
    """How many rows share their id with another language; no row where none does."""
    n = decision.filter(pl.col("shared"), pl.col("first").is_null()).height
    column = "rows whose id another language has too, read as translations"
    return pl.DataFrame({column: [n] if n else []}, schema={column: pl.Int64})


def apply(batch: pl.DataFrame, decision: pl.DataFrame) -> pl.DataFrame:
    """Name the reason in `drop`; give the other rows of shared ids an id of their own, and a group."""
    found = batch.select("origin").join(decision, on="origin", how="left", maintain_order="left")
    batch = batch.with_columns(found.select("first", "shared", "tied").rename(lambda name: f"_{name}"))
    reason = pl.format("duplicated id '{}': first at {}", "id", "_first")
    own = pl.format("{}:{}", "id", pl.col("lang").fill_null("und"))
    shared = pl.col("_shared").fill_null(False) & pl.col("_first").is_null()
    columns = [reason.alias("drop"), pl.when(shared).then(own).otherwise("id").alias("id")]
    if "group" in batch.columns:
        columns.append(pl.coalesce("group", pl.when(shared).then("_tied")).alias("group"))
    return batch.with_columns(columns).drop("_first", "_shared", "_tied")
