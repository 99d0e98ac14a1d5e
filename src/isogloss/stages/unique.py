"""Set aside rows whose id was already read in their language and split, and tie rows of several languages that share an id.

Parallel data often numbers contents: id 17 in German is the translation of id 17 in English. Such rows stay, are told
apart as `17:deu_Latn` and `17:eng_Latn`, and share the group `17` where none of them names a group. Data in splits often
numbers each anew: id 17 of train and id 17 of test are two contents, `17:train` and `17:test`.
Of rows with one id in one language and split the first in reading order stays.
"""

from __future__ import annotations

import polars as pl

BY_SHARD = True
RENAMES = True
BUCKETS = 16
TRANSLATED = "rows share their id with rows of other languages and are read as their translations"
SPLIT = "rows share their id with rows of another split and are told apart"


def summarise(batch: pl.DataFrame) -> pl.DataFrame:
    """`id, origin, lang, split, group, bucket` of every row; equal ids share a bucket."""
    given = [pl.col(c) if c in batch.columns else pl.lit(None, pl.String).alias(c) for c in ("split", "group")]
    bucket = (pl.col("id").hash(0) % BUCKETS).cast(pl.Int64)
    return batch.select("id", "origin", "lang", *given, bucket.alias("bucket"))


def decide(summaries: pl.DataFrame) -> pl.DataFrame:
    """`shard, origin, first, name, tied` of the rows that share their id with another.

    `first` is where the first row with this id, language and split stands, for later ones; `name` is the id of a row whose
    id several languages or splits have, and `tied` the group of those that are translations and name none.
    """
    several = summaries.filter(pl.len().over("id") > 1)
    content = pl.format("{}:{}", "id", pl.col("split").fill_null("none"))
    found = several.with_columns(
        first=pl.col("origin").first().over("id", "split", "lang"),
        content=pl.when(pl.col("split").n_unique().over("id") > 1).then(content).otherwise("id"),
    ).with_columns(
        first=pl.when(pl.col("first") != pl.col("origin")).then("first"),
        translated=pl.col("lang").n_unique().over("content") > 1,
        named=pl.col("group").drop_nulls().first().over("content"),
    )
    own = (
        pl.when("translated").then(pl.format("{}:{}", "content", pl.col("lang").fill_null("und"))).otherwise("content")
    )
    kept = pl.col("first").is_null()
    return found.select(
        "shard",
        "origin",
        "first",
        pl.when(kept & (own != pl.col("id"))).then(own).alias("name"),
        pl.when(kept & pl.col("translated")).then(pl.coalesce("named", "content")).alias("tied"),
    )


def learned(decision: pl.DataFrame) -> pl.DataFrame:
    """How many rows share their id with another language, or with another split alone; no row where none does."""
    n = {
        TRANSLATED: decision["tied"].count(),
        SPLIT: decision.filter(pl.col("name").is_not_null(), pl.col("tied").is_null()).height,
    }
    found = [(what, k) for what, k in n.items() if k]
    return pl.DataFrame(found, schema={"what": pl.String, "rows": pl.Int64}, orient="row")


def apply(batch: pl.DataFrame, decision: pl.DataFrame) -> pl.DataFrame:
    """Name the reason in `drop`; give the other rows of shared ids an id of their own, and translations a group."""
    found = batch.select("id", "origin").join(decision, on="origin", how="left", maintain_order="left")
    columns = [
        found.select(pl.format("duplicated id '{}': first at {}", "id", "first").alias("drop")).to_series(),
        found.select(pl.coalesce("name", "id").alias("id")).to_series(),
    ]
    if "group" in batch.columns:
        columns.append(pl.select(pl.coalesce(batch["group"], found["tied"]).alias("group")).to_series())
    return batch.with_columns(columns)
