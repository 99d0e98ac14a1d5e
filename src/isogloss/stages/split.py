"""Deal rows without a split to train, dev and test, by group: translations never straddle splits.

A split that is given is kept. Groups are sorted by language and label, shuffled inside by a keyed hash, and dealt at
even distances, so that shares are exact over the whole and near exact in every language and label.
"""

from __future__ import annotations

import hashlib

import polars as pl


def summarise(batch: pl.DataFrame) -> pl.DataFrame:
    """`id, unit, lang, label, split`; `unit` is the group, or the row where there is none."""
    label = pl.col("label") if "label" in batch.columns else pl.lit("")
    return batch.select("id", pl.coalesce("group", "id").alias("unit"), "lang", label.alias("label"), "split")


def decide(summaries: pl.DataFrame, *, dev: float, test: float, seed: int = 0) -> pl.DataFrame:
    """`id, dealt` for every row without a split.

    A group that has a given split in one row gives it to its other rows; of several, test before dev before train.
    """
    open_units = summaries.filter(pl.col("split").is_null()).select("unit").unique()
    if open_units.is_empty():
        return pl.DataFrame(schema={"id": pl.String, "dealt": pl.String})
    rank = pl.col("split").replace_strict({"test": 2, "dev": 1, "train": 0}, default=None, return_dtype=pl.Int8)
    units = (
        summaries.join(open_units, on="unit", how="semi")
        .group_by("unit")
        .agg(pl.col("lang").unique().sort().str.join(","), pl.col("label").min(), rank.max().alias("given"))
    )
    keys = [hashlib.blake2b(f"{seed}\0{u}".encode(), digest_size=8).digest() for u in units["unit"]]
    dealt = (
        units.with_columns(pl.Series("key", keys))
        .filter(pl.col("given").is_null())
        .sort("lang", "label", "key")
        .with_row_index("i")
        .with_columns(_every("i", test).alias("to_test"))
        .with_columns((~pl.col("to_test")).cum_sum().sub(1).cast(pl.Int64).alias("j"))
        .with_columns((_every("j", dev / (1 - test)) & ~pl.col("to_test")).alias("to_dev"))
        .select(
            "unit",
            pl.when("to_test")
            .then(pl.lit("test"))
            .when("to_dev")
            .then(pl.lit("dev"))
            .otherwise(pl.lit("train"))
            .alias("dealt"),
        )
    )
    names = pl.col("given").replace_strict({2: "test", 1: "dev", 0: "train"}, return_dtype=pl.String)
    inherited = units.filter(pl.col("given").is_not_null()).select("unit", names.alias("dealt"))
    rows = summaries.filter(pl.col("split").is_null()).select("id", "unit")
    return rows.join(pl.concat([dealt, inherited]), on="unit", how="left", maintain_order="left").select("id", "dealt")


def _every(index: str, share: float) -> pl.Expr:
    """True for `share` of the positions, at even distances."""
    at = pl.col(index).cast(pl.Float64)
    return ((at + 1) * share + 0.5).floor() > (at * share + 0.5).floor()


def apply(batch: pl.DataFrame, decision: pl.DataFrame) -> pl.DataFrame:
    """Fill `split`."""
    dealt = batch.select("id").join(decision, on="id", how="left", maintain_order="left")["dealt"]
    return batch.with_columns(pl.coalesce("split", dealt).alias("split"))
