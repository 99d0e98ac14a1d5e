"""One vector for a text from the states of its tokens."""

from __future__ import annotations

from pathlib import Path

import torch

from isogloss.core import files
from isogloss.core.errors import InputError

FLAGS = {
    "mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token", "max": "pooling_mode_max_tokens",
    "lasttoken": "pooling_mode_lasttoken", "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
}  # fmt: skip
POOLINGS = tuple(FLAGS)


def pooled(states_BTD: torch.Tensor, mask_BT: torch.Tensor, how: str = "mean") -> torch.Tensor:
    """Vectors `(B, D)` float32 of states; `mask_BT` is 1 where there is a token. Not yet of unit length.

    The names and what they mean are those of sentence-transformers: `mean`; `cls` (the first token); `max`; `lasttoken`;
    `mean_sqrt_len_tokens` (the sum over the root of the length); `weightedmean` (token i counts i times).
    Raises ValueError for another name. A text without tokens has the vector zero.
    """
    if states_BTD.shape[:2] != mask_BT.shape:
        raise ValueError(f"states {tuple(states_BTD.shape)} are not those of a mask {tuple(mask_BT.shape)}")
    states = states_BTD.float()
    mask = mask_BT.to(states.dtype).unsqueeze(-1)
    if how == "mean":
        return (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
    if how == "cls":
        first = mask_BT.argmax(1)
        return states[torch.arange(len(states), device=states.device), first]
    if how == "max":
        return states.masked_fill(mask == 0, -1e9).max(1).values
    if how == "lasttoken":
        places = torch.arange(mask_BT.shape[1], device=states.device)
        last = (places * mask_BT).argmax(1)
        return states[torch.arange(len(states), device=states.device), last] * mask.any(1)
    if how == "mean_sqrt_len_tokens":
        return (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9).sqrt()
    if how == "weightedmean":
        weight = mask * torch.arange(1, mask.shape[1] + 1, device=states.device, dtype=states.dtype)[None, :, None]
        return (states * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
    raise ValueError(f"there is no pooling '{how}'; there is {', '.join(POOLINGS)}")


def pooling_of(folder: Path) -> str:
    """The pooling that a folder in the layout of sentence-transformers names; the mean, where it names none.

    Raises InputError where it is none of `POOLINGS`, or several: an Embedder reads those, but they cannot be trained.
    """
    path = folder / "1_Pooling" / "config.json"
    value = files.read_json(path) if path.is_file() else {}
    mode = value.get("pooling_mode")
    flagged = [how for how in POOLINGS if value.get(FLAGS[how])]
    named = ([mode] if isinstance(mode, str) else list(mode)) if mode else flagged or ["mean"]
    if len(named) > 1 or named[0] not in POOLINGS:
        raise InputError(
            f"{path} pools by {' and '.join(map(str, named))}; to train, it must be one of {', '.join(POOLINGS)}"
        )
    return str(named[0])


def write_pooling(folder: Path, how: str, width: int, max_length: int) -> None:
    """Write beside a transformers folder what sentence-transformers reads: modules, pooling, length, unit vectors."""
    kind = "sentence_transformers.models."
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    files.write_json(
        folder / "modules.json",
        [{"idx": i, "name": str(i), "path": path, "type": kind + name} for i, (path, name) in enumerate(modules)],
    )
    flags = {flag: name == how for name, flag in FLAGS.items()}
    for path, _ in modules[1:]:
        (folder / path).mkdir(exist_ok=True)
    files.write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": width, **flags})
    files.write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})
