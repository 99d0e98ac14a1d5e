"""Frames: the frames of many shards, in order, in memory or on disk, read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Frames:
    """One frame for each shard: a Parquet file, or a frame in memory. All have the same columns."""

    sources: Sequence[Path | pl.DataFrame]

    def __len__(self) -> int:
        return len(self.sources)

    def read(self, shard: int, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The frame of one shard. Raises PlaceError when its file is damaged."""
        from isogloss.core import files

        source = self.sources[shard]
        if isinstance(source, Path):
            return files.read_parquet(source, None if columns is None else [*columns])
        return source if columns is None else source.select(columns)

    def __iter__(self) -> Iterator[pl.DataFrame]:
        return (self.read(shard) for shard in range(len(self)))

    def columns(self, *names: str) -> pl.DataFrame:
        """Some columns of all shards, with a column `shard` before them."""
        import polars as pl

        parts = []
        for shard in range(len(self)):
            frame = self.read(shard, names)
            parts.append(frame.select(pl.lit(shard, pl.Int64).alias("shard"), *names))
        return pl.concat(parts)
