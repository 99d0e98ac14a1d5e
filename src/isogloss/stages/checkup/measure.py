"""How fast this machine is, measured in a few seconds and kept for later estimates, whole, in the user's cache."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from isogloss.core import files, parts
from isogloss.core.errors import IsoglossError
from isogloss.core.run import versions
from isogloss.core.say import Say
from isogloss.stages.checkup.machine import cores, cpu_name
from isogloss.stages.checkup.steps import measure_steps

FORMAT = 2
# What one measurement may take, seconds; all of them, with the training steps, take about ten.
SECONDS = 0.6
# Rows of the n-gram measurement, letters of a row, labels.
N_ROWS, N_LETTERS, N_LABELS = 600, 80, 5
# The encoder of the measurement: one block of the size of xlm-roberta-base, rows and tokens of a batch.
LAYERS, WIDTH, HEADS, BATCH, TOKENS = 1, 768, 12, 4, 64


def cache() -> Path:
    """Where the measured speed is kept."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "isogloss" / "machine.json"


def measured() -> dict[str, Any] | None:
    """The measured speed of this machine, or None when there is none, or it is of another machine or damaged."""
    if not cache().is_file():
        return None
    try:
        value = files.read_json(cache())
    except IsoglossError:
        return None
    same = isinstance(value, dict) and value.get("format") == FORMAT and value.get("machine") == _key()
    return value if same else None


def busy() -> bool:
    """Whether other work wants the cores now, so that a measurement says less than the machine can."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] > 0.5 * cores() + 0.5


def _key() -> list[Any]:
    return [cpu_name(), cores()]


def measure(say: Say, device: str = "cpu") -> dict[str, Any]:
    """Measure: n-gram rows/s, and where torch is there training steps, matrix products and a block of an encoder on `device`.

    Writes the cache file. Raises PlaceError when it cannot be written.
    """
    value: dict[str, Any] = {"format": FORMAT, "machine": _key(), "device": device, "versions": versions()}
    value["busy"] = busy()
    jobs: list[tuple[str, Callable[[], dict[str, Any]]]] = []
    try:
        import torch  # noqa: F401
    except ImportError:
        value["torch"] = None
    else:
        # steps first: what the process holds then is what one that trains holds
        jobs += [("training steps", lambda: measure_steps(partial(say.progress, "measuring training steps")))]
        jobs += [("matrix products", lambda: _products(device)), ("an encoder", lambda: _encoder(device))]
    jobs += [("n-grams", _ngram)]
    for i, (name, job) in enumerate(jobs):
        say.progress(f"measuring {name}", i, len(jobs))
        value.update(job())
    say.close()
    value["when"] = datetime.now(UTC).isoformat(timespec="seconds")
    files.write_json(cache(), value)
    return value


def _ngram() -> dict[str, Any]:
    """Rows a second that the n-gram family learns, and answers, on one language of random words."""
    import polars as pl

    rng = random.Random(0)
    words = ["".join(rng.choices("aeioubdgklmnprst", k=rng.randint(2, 8))) for _ in range(400)]
    texts = [" ".join(rng.choices(words, k=N_LETTERS // 6)) for _ in range(N_ROWS)]
    labels = tuple(str(i) for i in range(N_LABELS))
    frame = pl.DataFrame(
        {"text": texts, "lang": ["und"] * N_ROWS, "label": rng.choices(labels, k=N_ROWS), "weight": [1.0] * N_ROWS}
    )
    family = parts.load("families", "ngram")
    start = time.perf_counter()
    model = family.call("fit", frame, labels, knobs=family.bind({}))
    learnt = time.perf_counter()
    family.module.predict(model, frame)
    done = time.perf_counter()
    return {
        "ngram_train_rows_per_second": round(N_ROWS / (learnt - start)),
        "ngram_predict_rows_per_second": round(N_ROWS / (done - learnt)),
    }


def _products(device: str) -> dict[str, Any]:
    """Gigaflops of a matrix product in fp32 and bf16."""
    import torch

    size = 1024 if device == "cpu" else 4096
    found: dict[str, Any] = {}
    for name, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a = torch.randn(size, size, device=device).to(kind)
        seconds, n = _timed(partial(torch.matmul, a, a), device, SECONDS / 2)
        found[f"matmul_{name}_gflops"] = round(2 * size**3 * n / seconds / 1e9, 1)
    return found


def _encoder(device: str) -> dict[str, Any]:
    """Tokens a second of a whole training step (forward, backward, AdamW) of one block of an encoder, fp32."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, batch_first=True)
    model = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    batch_BTD = torch.randn(BATCH, TOKENS, WIDTH, device=device)

    def step() -> None:
        optimizer.zero_grad()
        model(batch_BTD).square().mean().backward()
        optimizer.step()

    seconds, n = _timed(step, device, SECONDS)
    n_parameters = sum(p.numel() for p in model.parameters())
    tokens = BATCH * TOKENS * n / seconds
    return {
        "encoder_tokens_per_second": round(tokens),
        "encoder_parameters": n_parameters,
        # 6 floating-point operations a token and parameter: 2 forward, 4 backward
        "encoder_step_gflops": round(6 * n_parameters * tokens / 1e9, 1),
    }


def _timed(job: Callable[[], Any], device: str, seconds: float) -> tuple[float, int]:
    """Repeat `job` for about `seconds`, after a round that does not count: (seconds, rounds)."""
    import torch

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()
        elif device == "mps":
            torch.mps.synchronize()

    job()
    wait()
    start = time.perf_counter()
    n = 0
    while n == 0 or time.perf_counter() - start < seconds:
        job()
        wait()
        n += 1
    return time.perf_counter() - start, n
