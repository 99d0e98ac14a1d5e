"""Translation ranking: a text must find its own content among that of the batch."""

from __future__ import annotations

import torch


def ranking(vectors_BD: torch.Tensor, group_B: torch.Tensor, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss `(B,)` in nats of unit vectors, and units `(B,)`: 1 where the group of a row has another row, else 0.

    The centre of a group is the direction of the sum of its rows; for a row's own group the row itself is left out.
    """
    names, code_B = torch.unique(group_B, return_inverse=True)
    sums_GD = torch.zeros(len(names), vectors_BD.shape[1], dtype=vectors_BD.dtype, device=vectors_BD.device)
    sums_GD = sums_GD.index_add(0, code_B, vectors_BD)
    counts_B = torch.bincount(code_B, minlength=len(names))[code_B]
    unit = torch.nn.functional.normalize
    cosines_BG = vectors_BD @ unit(sums_GD, dim=-1).T
    others_B = (vectors_BD * unit(sums_GD[code_B] - vectors_BD, dim=-1)).sum(-1)
    cosines_BG = cosines_BG.scatter(1, code_B[:, None], others_B[:, None].to(cosines_BG.dtype))
    tied_B = (counts_B > 1).to(vectors_BD.dtype)
    return torch.nn.functional.cross_entropy(cosines_BG * scale, code_B, reduction="none") * tied_B, tied_B
