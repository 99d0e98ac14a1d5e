"""Draw a few rows of a language: by class, by content, and so that draws compare across languages and sizes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


def draw(rows: pl.DataFrame, n: int, *, seed: int, number: int) -> pl.DataFrame:
    """The `n` rows of each language that draw `number` gives (all, where there are no more), in the order of `rows`.

    `rows` has `id, lang, group` and, for a task with labels, `label`; a row whose label is null is never drawn.

    - One row of each class comes first, the largest class before the others; then classes take turns in proportion
      to their sizes in the language (Sainte-Laguë), so that every class is there as soon as `n` allows.
    - Inside a class contents are in the order of a keyed hash of their `group`, which is the same in every language:
      languages that hold the same contents get the same ones. A second row of one content comes after all contents.
    - A larger `n` of the same draw holds the smaller one. Neither the position of a row nor its other languages matter.

    >>> import polars as pl
    >>> rows = pl.DataFrame({"id": list("abcd"), "lang": ["x"] * 4, "group": [None] * 4, "label": ["p", "p", "p", "q"]})
    >>> draw(rows, 2, seed=1, number=0)["label"].to_list()
    ['p', 'q']
    """
    import polars as pl

    def keys(column: pl.Series) -> list[str]:
        return [hashlib.blake2b(f"{seed}\0{number}\0{v}".encode(), digest_size=12).hexdigest() for v in column]

    label = pl.col("label") if "label" in rows.columns else pl.lit("")
    known = rows.with_row_index("_at").with_columns(label.alias("_class")).drop_nulls("_class")
    content = known.select(pl.coalesce("group", pl.format("row {}", "id"))).to_series()
    known = known.with_columns(pl.Series("_content", keys(content)), pl.Series("_row", keys(known["id"])))
    known = known.sort("_row").with_columns(pl.int_range(pl.len()).over("lang", "_content", "_class").alias("_again"))
    known = known.sort("_again", "_content", "_row")
    place = pl.int_range(pl.len()).over("lang", "_class")
    turn = (place + 0.5) / pl.len().over("lang", "_class")
    known = known.with_columns((place > 0).alias("_later"), turn.alias("_turn"))
    known = known.sort("_later", "_turn", "_content", "_row")
    chosen = known.filter(pl.int_range(pl.len()).over("lang") < n)
    return rows[chosen["_at"].sort()]
