"""Take pieces that the languages at hand do not use out of the tokenizer, and their rows out of the model.

Covered text, of which both tokenizers give the same pieces, is answered as before; other text is cut into smaller
pieces, and never becomes unknown where it was not. Load What You Need (Abdaoui et al. 2020) cuts by frequency on a
sample; here what stays is closed under the merges that build it, so that it is cut as before.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

if TYPE_CHECKING:
    import polars as pl


def apply(
    source: Path,
    target: Path,
    rows: pl.DataFrame,
    *,
    keep: tuple[str, ...] = (),
    least: Annotated[int, Field(ge=1)] = 1,
) -> dict[str, Any]:
    """Write the model folder `source` with a smaller vocabulary into `target`; `rows` have `text, lang`.

    Knobs:
        keep: languages, what whose texts use stays; empty: all of them.
        least: how often a piece must be met to stay.

    Returns how many pieces there were and are. Raises InputError where no text is of these languages, or for a model
    whose positions hang on the id of its padding.
    """
    import numpy as np
    import polars as pl

    from isogloss.core import lang as lang_table
    from isogloss.core.errors import InputError
    from isogloss.nn import fast, smaller
    from isogloss.nn import rows as tables

    wanted = tuple(lang_table.resolve(code).tag for code in keep)
    texts = rows.filter(pl.col("lang").is_in(wanted)) if wanted else rows
    lacking = [tag for tag in wanted if tag not in set(texts["lang"])]
    if lacking or texts.is_empty():
        raise InputError(
            f"trim_vocab: there is no text in {', '.join(lacking) or 'any language'}, so nothing would stay"
        )
    own = fast.open_fast(str(source))
    found = tables.tables(source)
    counts = np.zeros(found.n_rows, np.int64)
    inner = fast.inner_of(own)
    for start in range(0, texts.height, 10_000):
        for encoded in inner.encode_batch(texts["text"][start : start + 10_000].to_list()):
            np.add.at(counts, encoded.ids, 1)
    value, kept = smaller.smaller(own.value, set(np.flatnonzero(counts >= least).tolist()))
    settings = smaller.renumbered_config(found.config, kept)
    pad = found.config.get("pad_token_id")
    if "roberta" in str(found.config.get("model_type")) and settings.get("pad_token_id") != pad:
        raise InputError(
            f"trim_vocab: positions of a {found.config['model_type']} hang on the id of its padding, {pad}"
        )
    target.mkdir(parents=True, exist_ok=True)
    tables.write_model(found, target, len(kept), lambda name, table: table[kept], settings)
    fast.save(own.with_value(value), target)
    return {"pieces_before": found.n_rows, "pieces": len(kept)}
