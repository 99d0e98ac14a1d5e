"""TextModel: a transformers model together with what it needs to read text; what families load and the loop trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from isogloss.nn import first, packed
from isogloss.nn.pooling import pooled

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from isogloss.nn.states import Below

# Names under which configurations of transformers keep their dropouts.
DROPOUTS = (
    "hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "classifier_dropout_prob", "dropout",
    "attention_dropout", "embedding_dropout", "mlp_dropout", "seq_classif_dropout", "pooler_dropout", "cls_dropout",
)  # fmt: skip


@dataclass(frozen=True)
class Start:
    """What a family needs to begin with, beside its knobs.

    `rows` gives the train rows (`text, lang`): a tokenizer may be trained on them; what is made from them is kept in
    `folder`, so that a resumed run begins with the same. `embeds`: a text is answered with a vector, not with a label.
    `loading` is what methods ask of `from_pretrained`. With `skeleton` the weights are not read: the parameters are
    there to be counted, on the device "meta". `kept`: the ids that the corpus uses, where the vocabulary is trimmed; `tokenizer`: the one of the
    skeleton, which need not be read again.
    """

    labels: tuple[str, ...]
    folder: Path
    rows: Callable[[], pl.DataFrame]
    locate: Callable[[str], Path]
    seed: int
    dropout: float | None = None
    loading: Mapping[str, Any] = field(default_factory=dict)
    skeleton: bool = False
    embeds: bool = False
    kept: np.ndarray | None = None
    tokenizer: Any = None


class TextModel(nn.Module):
    """`net`, a transformers model with its `tokenizer`: with a head for `labels`, or with a `pooling` and none.

    `max_length`: tokens that it can read, special ones included; `facts`: what the card says of where it comes from.
    """

    def __init__(
        self, net: Any, tokenizer: Any, labels: Sequence[str], max_length: int, facts: Mapping[str, Any],
        pooling: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.net, self.tokenizer, self.pooling = net, tokenizer, pooling
        self.labels, self.max_length, self.facts = tuple(labels), max_length, dict(facts)
        # How the tokenizer is read, where it lies in a folder.
        self.reread: Callable[[], Any] | None = None
        # While training: what frozen blocks give (nn/states.py), and which ids were met so far `(V,)`.
        self.below: Below | None = None
        self.noted: np.ndarray | None = None
        # Whether batches go through the blocks without padding (nn/packed.py).
        self.packs = False

    def put_away(self) -> None:
        """Let go of the tokenizer, where it can be read again: one of 250,000 pieces takes 0.3 GB, and training needs none."""
        if self.reread is not None:
            self.tokenizer = SimpleNamespace(pad_token_id=self.tokenizer.pad_token_id)

    def bring_back(self) -> None:
        """Have the tokenizer again."""
        if self.reread is not None and isinstance(self.tokenizer, SimpleNamespace):
            self.tokenizer = self.reread()

    def forward(self, **inputs: torch.Tensor) -> Any:
        """What `net` gives; with a pooling, unit vectors `(B, D)` float32 of the texts."""
        if self.below is not None and not self.below.inside:
            return self.below(self, inputs)
        with packed.packing(packed.of(inputs["attention_mask"]) if self.packs else None):
            if self.pooling is None:
                with first.asking("first"):
                    return self.net(**inputs)
            states_BTD = self.net(**inputs).last_hidden_state
        return nn.functional.normalize(pooled(states_BTD, inputs["attention_mask"], self.pooling), dim=-1)

    @property
    def n_outputs(self) -> int:
        """How many numbers answer a text."""
        return len(self.labels) if self.pooling is None else int(self.net.config.hidden_size)

    @property
    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that training changes, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}


def set_dropout(config: Any, share: float | None) -> None:
    """Set every dropout of a configuration; None leaves them as they are."""
    if share is not None:
        for name in DROPOUTS:
            if hasattr(config, name):
                setattr(config, name, share)


def n_parameters(model: nn.Module) -> tuple[int, int]:
    """How many parameters there are, and how many of them are trained."""
    every = {id(p): p for p in model.parameters()}.values()
    return sum(p.numel() for p in every), sum(p.numel() for p in every if p.requires_grad)
