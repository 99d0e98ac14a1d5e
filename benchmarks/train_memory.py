"""Peak memory of training against the parameters of the model, for every method, beside the estimate of `isogloss plan`.

Encoders of XLM-R's kind with random weights and a vocabulary of 48,000, of four sizes; each trained for some steps as a
process of its own on the bundled sample. The peak is what the operating system says of that process. The estimate is
made from config.json and the lengths of the rows, before training and without this machine's calibration of seconds.

    python benchmarks/train_memory.py --json
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from estimates import ROOT, run

SIZES = {"8x256": (8, 256), "12x384": (12, 384), "12x576": (12, 576), "12x768": (12, 768)}
METHODS: dict[str, dict[str, Any]] = {
    "full": {"methods": ["full"]},
    "full, vocabulary whole": {"methods": ["full"], "trim": False},
    "full, checkpointing": {"methods": ["full"], "checkpointing": True},
    "full, adafactor": {"methods": ["full"], "optimizer": "adafactor"},
    "full, sgd in the backward pass": {"methods": ["full"], "optimizer": "sgd", "in_backward": True, "clip": 0.0},
    "freeze two thirds": {"methods": None},
    "lora": {"methods": [{"use": "lora", "r": 8}]},
}  # fmt: skip


def model(name: str, folder: Path) -> tuple[Path, int]:
    """A folder with random weights, and the tokenizer of isogloss/mini; its parameters."""
    import shutil

    import torch
    from transformers import XLMRobertaConfig, XLMRobertaModel

    layers, width = SIZES[name]
    folder.mkdir(parents=True)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(ROOT / "src/isogloss/assets/mini" / file, folder)
    torch.manual_seed(0)
    net = XLMRobertaModel(XLMRobertaConfig(
        vocab_size=48_000, hidden_size=width, num_hidden_layers=layers, num_attention_heads=width // 64,
        intermediate_size=4 * width, max_position_embeddings=514, type_vocab_size=1, pad_token_id=1, bos_token_id=0,
        eos_token_id=2,
    ))  # fmt: skip
    net.save_pretrained(folder)
    return folder, sum(p.numel() for p in net.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=",".join(SIZES))
    parser.add_argument("--methods", default=";".join(METHODS), help="separated by semicolons")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    import tomli_w

    from isogloss.core import recipe as recipes
    from isogloss.stages.planning import forecast

    report = []
    print(f"{'size':8} {'parameters':>11} {'method':32} {'estimate':>9} {'measured':>9} {'ratio':>6}   MB")
    with tempfile.TemporaryDirectory() as place:
        for name in given.sizes.split(","):
            folder, n = model(name, Path(place) / name / "model")
            for method in given.methods.split(";"):
                at = Path(place) / name / method.replace(" ", "-").replace(",", "")
                at.mkdir()
                train = dict(METHODS[method])
                if train["methods"] is None:
                    train["methods"] = [{"use": "freeze", "blocks": 2 * SIZES[name][0] // 3}]
                value = {
                    "name": "m", "model": {"use": "encoder", "name": str(folder)}, "data": {"raw": ["isogloss/clinic"]},
                    "train": {"steps": given.steps, "batch": given.batch, "eval_every": given.steps, **train},
                }  # fmt: skip
                (at / "r.toml").write_text(tomli_w.dumps(value), encoding="utf-8")
                run(["prepare", "r.toml"], at, None)
                expected = forecast.of_run(recipes.read(at / "r.toml"), at / "runs" / "m").memory.total
                peak = run(["train", "r.toml"], at, None)
                report.append({"size": name, "parameters": n, "method": method, "estimate": expected, "peak": peak})
                print(
                    f"{name:8} {n:11,} {method:32} {expected / 1e6:9,.0f} {peak / 1e6:9,.0f} {expected / peak:6.2f}",
                    flush=True,
                )
    within = sum(abs(row["estimate"] / row["peak"] - 1) <= 0.15 for row in report)
    print(f"\nwithin 15 %: {within} of {len(report)}")
    if given.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
