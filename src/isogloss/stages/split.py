"""Deal rows without a split to train, dev and test, by group: translations never straddle splits.

A split that is given is kept. Groups are sorted by language and label, shuffled inside by a keyed hash, and dealt at
even distances, so that shares are exact over the whole and near exact in every language and label.
"""

from __future__ import annotations

import hashlib

import polars as pl

BY_SHARD = True
SCHEMA = {"shard": pl.Int64, "place": pl.UInt32, "dealt": pl.Categorical}


def summarise(batch: pl.DataFrame, *, seed: int = 0) -> pl.DataFrame:
    """`place` in the shard, `unit`, `lang, label, split`: some 24 bytes a row, as all rows are held at once.

    `unit` is a keyed hash of the group, or of the row where there is none.
    """
    label = pl.col("label") if "label" in batch.columns else pl.lit("")
    units = batch.select(pl.coalesce("group", "id")).to_series().to_list()
    keys = [int.from_bytes(hashlib.blake2b(f"{seed}\0{u}".encode(), digest_size=8).digest()) for u in units]
    return batch.select(
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("place"),
        pl.Series("unit", keys, dtype=pl.UInt64),
        pl.col("lang").cast(pl.Categorical),
        label.cast(pl.Categorical).alias("label"),
        pl.col("split").cast(pl.Categorical),
    )


def decide(summaries: pl.DataFrame, *, dev: float, test: float) -> pl.DataFrame:
    """`shard, place, dealt` for every row without a split.

    A group that has a given split in one row gives it to its other rows; of several, test before dev before train.
    """
    open_ = pl.col("split").is_null()
    tied = pl.col("unit").is_duplicated()
    # Most rows are a unit of their own: they need no aggregate and no join.
    alone = summaries.filter(open_ & ~tied).select("shard", "place", "unit", "lang", "label")
    several = summaries.filter(tied)
    several = several.join(several.filter(open_).select("unit").unique(), on="unit", how="semi")
    rank = pl.col("split").cast(pl.String).replace_strict({"test": 2, "dev": 1, "train": 0}, default=None)
    groups = several.group_by("unit").agg(
        pl.col("lang").cast(pl.String).unique().sort().str.join(",").cast(pl.Categorical),
        pl.col("label").cast(pl.String).min().cast(pl.Categorical),
        rank.cast(pl.Int8).max().alias("given"),
    )
    fresh = groups.filter(pl.col("given").is_null())
    dealt = (
        pl.concat([alone, fresh.select("unit", "lang", "label")], how="diagonal")
        .sort("lang", "label", "unit")
        .with_row_index("i")
        .with_columns(_every("i", test).alias("to_test"))
        .with_columns((~pl.col("to_test")).cum_sum().sub(1).cast(pl.Int64).alias("j"))
        .with_columns((_every("j", dev / (1 - test)) & ~pl.col("to_test")).alias("to_dev"))
        .select(
            "shard",
            "place",
            "unit",
            pl.when("to_test")
            .then(pl.lit("test"))
            .when("to_dev")
            .then(pl.lit("dev"))
            .otherwise(pl.lit("train"))
            .cast(pl.Categorical)
            .alias("dealt"),
        )
    )
    names = pl.col("given").replace_strict({2: "test", 1: "dev", 0: "train"}, return_dtype=pl.String)
    inherited = groups.filter(pl.col("given").is_not_null()).select("unit", names.cast(pl.Categorical).alias("dealt"))
    by_unit = pl.concat([dealt.filter(pl.col("place").is_null()).select("unit", "dealt"), inherited])
    rows = several.filter(open_).select("shard", "place", "unit").join(by_unit, on="unit", how="left")
    return pl.concat([dealt.filter(pl.col("place").is_not_null()).select(list(SCHEMA)), rows.select(list(SCHEMA))])


def _every(index: str, share: float) -> pl.Expr:
    """True for `share` of the positions, at even distances."""
    at = pl.col(index).cast(pl.Float64)
    return ((at + 1) * share + 0.5).floor() > (at * share + 0.5).floor()


def apply(batch: pl.DataFrame, decision: pl.DataFrame) -> pl.DataFrame:
    """Fill `split`."""
    places = batch.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("place"))
    dealt = places.join(decision, on="place", how="left", maintain_order="left")["dealt"].cast(pl.String)
    return batch.with_columns(pl.coalesce("split", dealt).alias("split"))
