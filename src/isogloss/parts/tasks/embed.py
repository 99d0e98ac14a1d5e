"""A vector for a text: texts of one `group`, translations of each other, come to lie together.

Needs no labels. Rows of the same `group` in different languages are the same content: a row must find its own content
among that of the batch (in training) or of the split (in evaluation).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import scipy.sparse as sp
    import torch
    from torch import nn

    from isogloss.nn.model import TextModel

FIELDS = ("group",)
METRICS = ("recall_at_1", "recall_at_5", "recall_at_10", "mrr")
HEADLINE = "recall_at_1"
# No labels, so no class weights, no confusion, no majority; what stands beside the model is:
LABELLED = False
# Rows of one content must meet in a batch, whatever their lengths.
TIED = True
BASELINES = ("floor_pooled", "untuned")
# Similarities that are held at a time.
CELLS = 20_000_000


def labels(train: pl.DataFrame) -> tuple[str, ...]:
    """None. Raises DataError without two groups of rows in two languages: there is nothing to tell apart."""
    import polars as pl

    from isogloss.core.errors import DataError

    tied = train.filter(pl.col("group").is_not_null()).group_by("group").agg(pl.col("lang").n_unique())
    n_tied = int((tied["lang"] > 1).sum())
    if not n_tied:
        raise DataError(
            "no two train rows are tied: to embed, rows that say the same in different languages need the same 'group'"
        )
    if n_tied < 2:
        raise DataError(
            "the train rows have one group in two languages, and a content is learned by telling it from others: "
            "rows that do not say the same need another 'group'"
        )
    return ()


def encode(
    model: TextModel, frame: pl.DataFrame, labels: Sequence[str], *, max_length: Annotated[int, Field(ge=4)] = 128
) -> list[dict[str, Any]]:
    """Rows for `collate`: `ids`, the codes of their `group` and `lang`, and whether the text was `cut`.

    Knobs:
        max_length: tokens that are read of a text, special ones included, where the model can read as many.
    """
    from isogloss.nn.batches import token_ids

    ids, cut = token_ids(model, frame["text"].to_list(), max_length)
    groups = frame["group"].fill_null("").rank("dense").to_list()
    langs = frame["lang"].rank("dense").to_list()
    return [
        {"ids": i, "group": int(g), "lang": int(lang), "cut": bool(c)}
        for i, g, lang, c in zip(ids, groups, langs, cut, strict=True)
    ]


def collate(model: TextModel, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A batch of encoded rows: `inputs` of the model (B, T), `group (B,)` and `lang (B,)`."""
    import torch

    from isogloss.nn.batches import padded

    inputs = padded(model, [row["ids"] for row in rows])
    device = inputs["input_ids"].device
    return {
        "inputs": inputs,
        "group": torch.tensor([row["group"] for row in rows], device=device),
        "lang": torch.tensor([row["lang"] for row in rows], device=device),
    }


def loss(
    model: nn.Module,
    batch: dict[str, Any],
    *,
    scale: Annotated[float, Field(gt=0)] = 20.0,
    token_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`loss_B` of translation ranking, in nats a row, and `n_B`: 1 for a row with a translation in the batch, else 0.

    Each row is compared with the centre of each content of the batch; from its own content's centre the row itself is
    left out. With `train.accumulate` or several processes, the contents it is compared with are those of its own part of
    the batch: another, easier objective. With two languages a group this is ranking with in-batch negatives, both directions (Yang et al. 2019;
    Feng et al. 2022, LaBSE); with more it is the centroid form of Wan et al. 2018 (generalised end-to-end loss).

    Knobs:
        scale: cosines are multiplied by it before the softmax.
        token_dropout: share of the tokens of a text that are not read, in training only.
    """
    from isogloss.nn.dropout import kept_tokens
    from isogloss.nn.ranking import ranking

    inputs = batch["inputs"]
    if token_dropout and model.training:
        inputs = {**inputs, "attention_mask": kept_tokens(inputs["attention_mask"], token_dropout)}
    return ranking(model(**inputs), batch["group"], scale)


def decode(vectors: np.ndarray) -> np.ndarray:
    """Unit vectors `(N, D)` float64, as they come."""
    import numpy as np

    return np.asarray(vectors, dtype=np.float64)


def answers(frame: pl.DataFrame, outputs: np.ndarray | sp.csr_matrix, labels: Sequence[str]) -> pl.DataFrame:
    """`frame` with what each row finds: `label` (its group), `pred` (the nearest group), `confidence` (the cosine), `rank`.

    `outputs (N, D)` are unit vectors, dense or sparse. Within each split, a row is compared with the centre of every group, made of the
    rows of that group in other languages. `rank` (from 1) is that of its own group, ties counted against it; null where
    the group has no row in another language, and such a row takes no part in scores.
    """
    import numpy as np
    import polars as pl
    import scipy.sparse as sp

    vectors = outputs.astype(np.float32) if sp.issparse(outputs) else np.asarray(outputs, dtype=np.float32)
    n = frame.height
    pred: list[str | None] = [None] * n
    rank: list[int | None] = [None] * n
    near = np.zeros(n)
    splits = frame["split"].to_list() if "split" in frame.columns else [""] * n
    groups = frame["group"].to_list()
    langs = np.array(frame["lang"].to_list(), dtype=object)
    for split in sorted({s or "" for s in splits}):
        at = np.array([i for i in range(n) if (splits[i] or "") == split and groups[i] is not None], dtype=np.int64)
        names, code = np.unique(np.array([groups[i] for i in at.tolist()], dtype=object), return_inverse=True)
        of = sp.csr_matrix((np.ones(len(at), np.float32), (code, np.arange(len(at)))), (len(names), len(at)))
        sums, counts = of @ vectors[at], np.bincount(code, minlength=len(names))
        for lang in sorted(set(langs[at])):
            own = np.flatnonzero(langs[at] == lang)
            others = counts - np.bincount(code[own], minlength=len(names))
            known = np.flatnonzero(others > 0)
            if not len(known):
                continue
            centres = sums[known] - of[known][:, own] @ vectors[at[own]]
            norms = np.maximum(np.sqrt(np.asarray(_squared(centres).sum(axis=1)).ravel()), 1e-12)
            place = np.full(len(names), -1)
            place[known] = np.arange(len(known))
            for part in np.array_split(own, max(1, -(-len(own) * len(known) // CELLS))):
                cosines = vectors[at[part]] @ centres.T
                cosines = (cosines.toarray() if sp.issparse(cosines) else cosines) / norms
                best = cosines.argmax(1)
                right = place[code[part]]
                mine = cosines[np.arange(len(part)), np.maximum(right, 0)]
                ranks = (cosines >= mine[:, None]).sum(1)
                for j, i in enumerate(at[part].tolist()):
                    pred[i], near[i] = names[known[best[j]]], cosines[j, best[j]]
                    rank[i] = int(ranks[j]) if right[j] >= 0 else None
    return frame.with_columns(
        pl.Series("label", groups, dtype=pl.String),
        pl.Series("pred", pred, dtype=pl.String),
        pl.Series("confidence", near, dtype=pl.Float64),
        pl.Series("rank", rank, dtype=pl.Int32),
    )


def _squared(matrix: Any) -> Any:
    return matrix.multiply(matrix) if hasattr(matrix, "multiply") else matrix**2
