"""Estimates beside measured training: peak memory and the median step, for models of different shape.

For every model: the machine is measured (as `isogloss doctor --measure` does), memory and seconds are estimated from the
model's config.json and the lengths of the rows, and then `isogloss train` runs, as a process of its own. Its peak
is what the operating system says of that process, its median step is that of steps.jsonl. Models are made here, of random
weights: what they would learn does not matter. isogloss/mini is the third.

python benchmarks/estimates.py                       # three models, all weights, two repeats
python benchmarks/estimates.py --method lora --batch 8 --threads 1
python benchmarks/estimates.py --json                # the last line is one JSON document
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# A wide and shallow one with a large vocabulary, and a deep and narrow one; both with dropout.
SHAPES: dict[str, dict[str, Any]] = {
    "wide": {
        "model_type": "xlm-roberta", "vocab_size": 48_000, "hidden_size": 768, "num_hidden_layers": 2,
        "num_attention_heads": 12, "intermediate_size": 3072, "max_position_embeddings": 514, "type_vocab_size": 1,
    },
    "deep": {
        "model_type": "bert", "vocab_size": 48_000, "hidden_size": 128, "num_hidden_layers": 24,
        "num_attention_heads": 4, "intermediate_size": 512, "max_position_embeddings": 512,
    },
    "middle": {
        "model_type": "modernbert", "vocab_size": 48_000, "hidden_size": 384, "num_hidden_layers": 8,
        "num_attention_heads": 6, "intermediate_size": 576, "max_position_embeddings": 512,
    },
    "relative": {
        "model_type": "deberta-v2", "vocab_size": 48_000, "hidden_size": 256, "num_hidden_layers": 6,
        "num_attention_heads": 4, "intermediate_size": 1024, "max_position_embeddings": 512,
        "relative_attention": True, "position_buckets": 256, "norm_rel_ebd": "layer_norm", "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"], "position_biased_input": False, "type_vocab_size": 0,
    },
}  # fmt: skip
MINI = "isogloss/mini"
METHODS = {"full": ["full"], "freeze": [{"use": "freeze", "blocks": 1}], "lora": [{"use": "lora", "r": 8}]}


def make_model(name: str, folder: Path) -> str:
    """A folder with random weights and the tokenizer of isogloss/mini; returns its path."""
    import shutil

    import torch
    from transformers import AutoConfig, AutoModel

    from isogloss.nn import hub

    folder.mkdir(parents=True)
    for name_ in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(ROOT / "src/isogloss/assets/mini" / name_, folder)
    with hub.quiet():
        keys = dict(SHAPES[name])
        ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2}
        config = AutoConfig.for_model(keys.pop("model_type"), **keys, **ids)
        torch.manual_seed(0)
        AutoModel.from_config(config).save_pretrained(folder)
    return str(folder)


def run(command: list[str], at: Path, threads: int | None) -> float:
    """Run isogloss as a process; returns the most memory it held, bytes."""
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "XDG_CACHE_HOME": str(at / "cache")}
    if threads:
        env["OMP_NUM_THREADS"] = str(threads)
    child = subprocess.Popen(
        [sys.executable, "-m", "isogloss", *command], cwd=at, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    out = child.stdout.read() if child.stdout else b""
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(out.decode("utf-8", "replace"))
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def median_step(run: Path) -> float:
    """Seconds of the median step of a training."""
    events = [json.loads(line) for line in (run / "steps.jsonl").read_text("utf-8").splitlines()]
    when = [event["seconds"] for event in events if event["event"] == "step"]
    return statistics.median(b - a for a, b in itertools.pairwise(when))


def recipe(name: str, model: str, given: argparse.Namespace) -> str:
    """A recipe of a short training on the bundled sample."""
    import tomli_w

    return tomli_w.dumps(
        {
            "name": name, "task": "classify", "model": {"use": "encoder", "name": model},
            "data": {"raw": ["isogloss/clinic"]},
            "train": {
                "steps": given.steps, "batch": given.batch, "eval_every": given.steps,
                "methods": METHODS[given.method], "accumulate": given.accumulate,
                **({"precision": given.precision} if given.precision else {}), "trim": not given.whole,
            },
        }
    )  # fmt: skip


def one(name: str, at: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Estimate and measure one model, as often as asked."""
    from isogloss.core import recipe as recipes
    from isogloss.stages.planning import forecast

    at.mkdir(parents=True, exist_ok=True)
    model = MINI if name == "mini" else make_model(name, at / "model")
    (at / "r.toml").write_text(recipe(name, model, given), encoding="utf-8")
    run(["prepare", "r.toml"], at, given.threads)
    peaks, steps, memory, seconds = [], [], [], []
    for _ in range(given.repeats):
        run(["doctor", "--measure", "--json"], at, given.threads)
        os.environ["XDG_CACHE_HOME"] = str(at / "cache")
        made = recipes.read(at / "r.toml")
        found = forecast.of_run(made, at / "runs" / name)
        memory.append(found.memory.total)
        seconds.append(found.step_seconds)
        peaks.append(run(["train", "r.toml", "--again"], at, given.threads))
        steps.append(median_step(at / "runs" / name))
        print(
            f"{name:<9} memory {memory[-1] / 1e6:6,.0f} estimated {peaks[-1] / 1e6:6,.0f} MB measured, "
            f"{memory[-1] / peaks[-1]:.2f} · step {seconds[-1]:.3f} estimated {steps[-1]:.3f} s measured, "
            f"{seconds[-1] / steps[-1]:.2f}",
            flush=True,
        )
    return {
        "model": name,
        "parameters": found.n,
        "trained": found.n_trained,
        "memory_ratio": [round(a / b, 3) for a, b in zip(memory, peaks, strict=True)],
        "step_ratio": [round(a / b, 3) for a, b in zip(seconds, steps, strict=True)],
        "peak_mb": [round(peak / 1e6) for peak in peaks],
        "step_seconds": [round(step, 4) for step in steps],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="wide,deep,mini", help=f"of {', '.join([*SHAPES, 'mini'])}")
    parser.add_argument("--method", choices=METHODS, default="full")
    parser.add_argument("--whole", action="store_true", help="train.trim = false: the whole vocabulary in training")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default=None, help="default: that of the machine")
    parser.add_argument("--threads", type=int, default=None, help="cores for each process; default: all")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON document")
    given = parser.parse_args()
    sys.path.insert(0, str(ROOT / "src"))
    with tempfile.TemporaryDirectory() as folder:
        rows = [one(name.strip(), Path(folder) / name.strip(), given) for name in given.models.split(",")]
    print(
        f"\n{given.method}, batch {given.batch} in {given.accumulate}, estimate over measured: median [lowest, highest]"
    )
    for row in rows:
        for what in ("memory_ratio", "step_ratio"):
            values = row[what]
            print(
                f"  {row['model']:<9} {what.removesuffix('_ratio'):<7} {statistics.median(values):.2f} "
                f"[{min(values):.2f}, {max(values):.2f}]"
            )
    if given.json:
        print(json.dumps({"method": given.method, "batch": given.batch, "threads": given.threads, "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
