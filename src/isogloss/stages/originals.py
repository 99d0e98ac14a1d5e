"""Set aside translated rows of a content that is also there as an original.

Rows of one content share a `group`. With `within = "lang"` a translated row goes when its language has an original of
the same group; with `"group"` it goes when any language has one. A row that does not say what it is, stays.
"""

from __future__ import annotations

from typing import Literal

import polars as pl

BY_SHARD = True
BUCKETS = 16


def summarise(batch: pl.DataFrame) -> pl.DataFrame:
    """`origin, lang, group, made, bucket` of the rows with a group that say whether they are original."""
    said = batch.filter(pl.col("group").is_not_null() & pl.col("original_or_translated").is_not_null())
    return said.select(
        "origin",
        "lang",
        "group",
        pl.col("original_or_translated").alias("made"),
        (pl.col("group").hash(0) % BUCKETS).cast(pl.Int64).alias("bucket"),
    )


def decide(summaries: pl.DataFrame, *, within: Literal["lang", "group"] = "lang") -> pl.DataFrame:
    """`shard, origin` of every translated row with an original, and where that stands (`kept`).

    Knobs:
        within: `lang` looks for the original in the same language, `group` in any
    """
    content = ["group", "lang"] if within == "lang" else ["group"]
    originals = summaries.filter(pl.col("made") == "original").select(*content, kept="origin")
    first = originals.unique(content, keep="first", maintain_order=True)
    translated = summaries.filter(pl.col("made") == "translated")
    return translated.join(first, on=content, nulls_equal=True, maintain_order="left").select("shard", "origin", "kept")


def apply(batch: pl.DataFrame, decision: pl.DataFrame) -> pl.DataFrame:
    """Name the reason in `drop`."""
    found = batch.select("origin").join(decision, on="origin", how="left", maintain_order="left")
    said = pl.when(pl.col("kept").is_not_null()).then(pl.format("translated: the original of its group is {}", "kept"))
    return batch.with_columns(found.select(said.alias("drop")).to_series())
