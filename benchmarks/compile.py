"""`torch.compile` beside plain torch on a CPU: training steps of an encoder in bf16 at changing lengths.

Seconds of the same 14 steps, plain and compiled in turn, and what the first compiled steps take. Dropout is off in both.

    python benchmarks/compile.py --rounds 3 --json
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import numpy as np
import torch

SHAPES = {
    "XLM-R base, 4 of 12 blocks": {"hidden_size": 768, "num_hidden_layers": 4, "num_attention_heads": 12, "intermediate_size": 3072},
    "small": {"hidden_size": 192, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 384},
}  # fmt: skip
BATCH, VOCABULARY = 8, 38_541


def steps(net: torch.nn.Module, lengths: list[int]) -> float:
    """Seconds of a step at each length."""
    rng = np.random.default_rng(0)
    started = time.perf_counter()
    for n in lengths:
        ids = torch.from_numpy(rng.integers(5, VOCABULARY, size=(BATCH, n)))
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        logits.float().square().mean().backward()
        for p in net.parameters():
            p.grad = None
    return time.perf_counter() - started


def main() -> None:
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    report = []
    for name, shape in SHAPES.items():
        torch.manual_seed(0)
        torch._dynamo.reset()
        config = XLMRobertaConfig(
            vocab_size=VOCABULARY, max_position_embeddings=514, type_vocab_size=1, pad_token_id=1, num_labels=7,
            hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **shape,
        )  # fmt: skip
        plain = XLMRobertaForSequenceClassification(config).train()
        compiled = torch.compile(plain, dynamic=True)
        lengths = np.random.default_rng(1).integers(24, 80, size=14).tolist()
        steps(plain, lengths[:3])
        compiling = steps(compiled, lengths[:3])
        ratios = [steps(plain, lengths) / steps(compiled, lengths) for _ in range(given.rounds)]
        report.append({"shape": name, "compiling_seconds": compiling, "speedup": ratios})
        print(
            f"{name}: compiled is {statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}] times as fast; "
            f"its first three steps took {compiling:.0f} s"
        )
    if given.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
