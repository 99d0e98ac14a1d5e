"""Attention in training on CPUs: plain products beside torch's fused kernel, forward and backward, by length and dtype.

Arms take turns; each figure is the least of some rounds, and the ratio is of these.

    python benchmarks/attention.py --json
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import torch

SHAPES = (
    (32, 4, 37, 44), (8, 12, 37, 64), (32, 4, 128, 64), (8, 12, 128, 64), (8, 4, 192, 44), (8, 12, 192, 64),
    (8, 12, 256, 64), (8, 12, 384, 64),
)  # fmt: skip


def plain(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    scores = (q @ k.transpose(2, 3) * q.shape[-1] ** -0.5).masked_fill(~mask, torch.finfo(q.dtype).min)
    return torch.softmax(scores, dim=-1, dtype=torch.float32).to(q.dtype) @ v


def fused(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def took(arm: Callable[..., torch.Tensor], qkv: list[torch.Tensor], mask: torch.Tensor) -> float:
    began = time.perf_counter()
    out = arm(*qkv, mask)
    out.backward(torch.ones_like(out))
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    report = []
    for B, H, T, d in SHAPES:
        for dtype in (torch.bfloat16, torch.float32):
            qkv = [torch.randn(B, T, H, d, dtype=dtype).transpose(1, 2).requires_grad_() for _ in range(3)]
            mask = torch.ones(B, 1, T, T, dtype=torch.bool)
            mask[::2, :, :, T - 3 :] = False
            least = {arm: min(took(arm, qkv, mask) for _ in range(given.rounds)) for arm in (plain, fused)}
            ratio = least[fused] / least[plain]
            name = str(dtype).removeprefix("torch.")
            report.append({"batch": B, "heads": H, "tokens": T, "head": d, "dtype": name, "fused_over_plain": ratio})
            print(
                f"{B:3} x {H:2} heads of {d}, {T:3} tokens, {name:8}: the fused kernel takes {ratio:.2f} times as long"
            )
    if given.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
