"""Gather the parallel text that isogloss/mini is trained on, and the text it is measured on and must never see.

    python tools/make_mini_corpus.py [--packs ../shared/data] [--out runs/mini-data]

Writes `train.parquet` (`id, text, lang, group, source, license`; without a split) and `bench.parquet` (`id, text`).
SIB-200 dev and test and NusaX dev and test are the bench; FLORES dev overlaps with them, and its rows are all written:
finding what must go is the work of the recipe's steps (`dedup` ties what says the same, `decontaminate` drops it).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import polars as pl

CC_BY_SA, CC0 = "CC-BY-SA-4.0", "CC0-1.0"
COLUMNS = ("id", "text", "lang", "group", "source", "license")


def pack(folder: Path, name: str, source: str, license: str, split: str | None = None) -> pl.DataFrame:
    """Rows of a pack, its groups prefixed: packs number their content each in their own way."""
    rows = pl.read_parquet(folder / f"{name}.parquet")
    if split is not None:
        rows = rows.filter(pl.col("split") == split)
    return rows.with_columns(
        pl.format(source + ":{}", "group").alias("group"),
        pl.lit(source).alias("source"),
        pl.lit(license).alias("license"),
    ).select(COLUMNS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packs", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/mini-data"))
    given = parser.parse_args()
    train = pl.concat([
        pack(given.packs, "sib200", "sib200", CC_BY_SA, "train"),
        pack(given.packs, "flores200", "flores", CC_BY_SA),
        pack(given.packs, "tico19_medical", "tico19", CC0),
        pack(given.packs, "nusax_senti", "nusax", CC_BY_SA, "train"),
    ])  # fmt: skip
    bench = pl.concat([
        pack(given.packs, name, name, CC_BY_SA, split)
        for name in ("sib200", "nusax_senti") for split in ("dev", "test")
    ])  # fmt: skip
    given.out.mkdir(parents=True, exist_ok=True)
    train.unique("id", keep="first", maintain_order=True).write_parquet(given.out / "train.parquet")
    bench.select("id", "text", "lang").write_parquet(given.out / "bench.parquet")
    print(f"{train.height:,} rows in {train['lang'].n_unique()} languages, {bench.height:,} rows to keep out of them")


if __name__ == "__main__":
    main()
