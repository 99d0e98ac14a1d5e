"""Keep translations together: beside the task, a text must find its translation among others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from isogloss.core.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import torch
    from torch import nn

    from isogloss.nn.model import TextModel

# It adds an objective, and needs no blocks.
BLOCKS = False


def apply(model: nn.Module, family: Any, param_groups: Mapping[str, float]) -> dict[str, float]:
    """What is trained stays as it is."""
    return dict(param_groups)


def objective(
    model: TextModel,
    rows: pl.DataFrame,
    *,
    seed: int,
    parallel: list[Path] = [],  # noqa: B006  read only
    weight: Annotated[float, Field(gt=0)] = 0.1,
    scale: Annotated[float, Field(gt=0)] = 20.0,
    contents: Annotated[int, Field(ge=2)] = 16,
    max_length: Annotated[int, Field(ge=4)] = 128,
) -> Callable[[int], torch.Tensor]:
    """A function of the step: the loss of translation ranking, in nats a row, times `weight`.

    At each step `contents` groups are drawn, a row each in two of their languages; the vector of a text is the mean of
    the states below the head. The draw depends on the seed and the step only. As in Pan et al. 2021 (post-pretraining
    alignment), where it is done before the task and not beside it.

    Knobs:
        parallel: files of parallel text (`text, lang, group`); default: the train rows that are tied by `group`. They are
            not compared with the recipe's dev and test rows: `isogloss step decontaminate` does that.
        weight: of this loss, where that of the task has 1.
        scale: cosines are multiplied by it before the softmax.
        contents: groups at a step.
        max_length: tokens that are read of a text.

    Raises DataError where nothing is tied.
    """
    import numpy as np
    import polars as pl
    import torch

    from isogloss.nn.batches import padded, token_ids
    from isogloss.nn.pooling import pooled
    from isogloss.nn.ranking import ranking

    text = pl.concat([_read(path) for path in parallel]) if parallel else rows.select("text", "lang", "group")
    tied = text.filter(pl.col("group").is_not_null()).filter(pl.col("lang").n_unique().over("group") > 1)
    if tied["group"].n_unique() < 2:
        where = ", ".join(path.name for path in parallel) or "the train rows"
        raise DataError(
            f"train.methods: align needs two contents in two languages each, tied by 'group', and {where} "
            f"{'have' if len(parallel) > 1 or not parallel else 'has'} {tied['group'].n_unique()}; name parallel text: "
            "{use = 'align', parallel = ['file.jsonl']}"
        )
    ids, _ = token_ids(model, tied["text"].to_list(), max_length)
    langs = tied["lang"].to_list()
    members = list(tied.with_row_index("at").group_by("group", maintain_order=True).agg("at")["at"])

    def loss(step: int) -> torch.Tensor:
        rng = np.random.default_rng([seed, step])
        picked = rng.choice(len(members), min(contents, len(members)), replace=False)
        pairs = [_pair(members[i].to_numpy(), langs, rng) for i in picked.tolist()]
        inputs = padded(model, [ids[i] for pair in pairs for i in pair])
        trunk = getattr(model.net, "base_model", model.net)  # the static family has no head, and no trunk beside it
        states_BTD = trunk(**inputs).last_hidden_state
        vectors = torch.nn.functional.normalize(pooled(states_BTD, inputs["attention_mask"]), dim=-1)
        group = torch.arange(len(pairs), device=vectors.device).repeat_interleave(2)
        loss_B, n_B = ranking(vectors, group, scale)
        return weight * loss_B.sum() / n_B.sum()

    return loss


def source(*, parallel: list[Path] = []) -> list[str]:  # noqa: B006  read only
    """Digests of the files of parallel text, to tell when they changed under finished work."""
    from isogloss.core import files, readers

    return [
        files.digest(raw.path)
        for path in parallel
        for raw in readers.expand(path, path.name, format=None, encoding="utf-8", rows=None, given={})
    ]


def _pair(members: np.ndarray, langs: list[str], rng: np.random.Generator) -> tuple[int, int]:
    """Two rows of a group in different languages."""
    one = int(rng.choice(members))
    other = int(rng.choice([i for i in members.tolist() if langs[i] != langs[one]]))
    return one, other


def _read(path: Path) -> pl.DataFrame:
    """Parallel text as `text, lang, group`. Raises DataError naming the file and the first line that is not that."""
    import polars as pl

    from isogloss.core import corpus, readers

    fields = corpus.Fields(task_fields=("group",), splits=False)
    found: list[dict[str, Any]] = []
    for raw in readers.expand(path, path.name, format=None, encoding="utf-8", rows=None, given={}):
        for row in corpus.read(raw, fields):
            if isinstance(row, corpus.Rejected):
                raise DataError(
                    f"train.methods: align cannot use {row.origin}: {row.reason}; it needs text, lang and group"
                )
            if isinstance(row, dict):
                found.append({name: row[name] for name in ("text", "lang", "group")})
    return pl.DataFrame(found, schema=dict.fromkeys(("text", "lang", "group"), pl.String))
