"""One vector for a text from the states of its tokens."""

from __future__ import annotations

import torch

POOLINGS = ("mean", "cls", "max", "lasttoken", "mean_sqrt_len_tokens", "weightedmean")


def pooled(states_BTD: torch.Tensor, mask_BT: torch.Tensor, how: str = "mean") -> torch.Tensor:
    """Vectors `(B, D)` float32 of states; `mask_BT` is 1 where there is a token. Not yet of unit length.

    The names and what they mean are those of sentence-transformers: `mean`; `cls` (the first token); `max`; `lasttoken`;
    `mean_sqrt_len_tokens` (the sum over the root of the length); `weightedmean` (token i counts i times).
    Raises ValueError for another name. A text without tokens has the vector zero.
    """
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
