"""A probe: some real training steps of the model that is recommended, in a process of its own, beside what was estimated.

It is `isogloss train` on a folder that is thrown away, so that what it takes is what training takes.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isogloss.core import files
from isogloss.core.errors import InputError, MissingError
from isogloss.core.say import Say
from isogloss.stages.planning import fit
from isogloss.stages.planning.choose import Weighed
from isogloss.stages.planning.cost import START, Cost
from isogloss.stages.planning.draft import method_of, rate
from isogloss.stages.planning.fit import hours
from isogloss.stages.planning.need import Need

STEPS = 24
# Rows that are read, of the data or of the bundled sample.
ROWS = 1500


def probe(asked: Need, best: Weighed | None, say: Say) -> dict[str, Any]:
    """Train for some steps and compare. Raises InputError where there is nothing on this machine to train."""
    if asked.machine_named:
        raise InputError("--probe trains on this machine, and --machine names another; leave one of them out")
    if best is None or best.way is None or best.way.cost is None:
        raise InputError("--probe has no model to train: none fits this machine")
    if best.folder is None:
        raise MissingError(
            f"--probe trains {best.model.name}, which is not on this disk; download it first, or name one that is here "
            "with --model, e.g. isogloss/mini"
        )
    cost = best.way.cost
    seconds = START + 1.3 * STEPS * cost.step_seconds + 10
    say.line(
        f"probe     {STEPS} steps of {best.model.name} with {best.way.method.name}: about {hours(seconds)} of all cores and "
        f"{cost.memory.total / 1e9:.1f} GB; loading torch"
    )
    with tempfile.TemporaryDirectory(prefix="isogloss-probe-") as folder:
        at = Path(folder)
        where = _rows(asked, at / "rows.jsonl")
        files.write_text(at / "probe.toml", _recipe(best))
        _run(["prepare", "probe.toml"], at)
        peak = _run(["train", "probe.toml"], at)
        events = [json.loads(line) for line in (at / "runs/probe/steps.jsonl").read_text("utf-8").splitlines()]
        when = [event["seconds"] for event in events if event["event"] == "step"]
    steps = [b - a for a, b in itertools.pairwise(when)]
    return found(cost, statistics.median(steps), peak, best, where)


def found(cost: Cost, step: float, peak: float, best: Weighed, where: str) -> dict[str, Any]:
    """What the probe says, in numbers and in a sentence."""
    rest = cost.seconds - cost.train_seconds
    whole = rest + cost.train_seconds * step / cost.step_seconds
    words = (
        f"{STEPS} steps of {best.model.name} on {where} took {step:.2g} s each at the median (estimated {cost.step_seconds:.2g} s) "
        f"and {peak / 1e9:.1f} GB at the peak (estimated {cost.memory.total / 1e9:.1f} GB). At that pace all of it takes {hours(whole)}."
    )
    return {
        "steps": STEPS, "seconds_per_step": round(step, 5), "estimated_seconds_per_step": round(cost.step_seconds, 5),
        "peak_bytes": round(peak), "estimated_peak_bytes": round(cost.memory.total), "seconds": round(whole, 1),
        "on": where, "words": words,
    }  # fmt: skip


def _rows(asked: Need, path: Path) -> str:
    """Rows with labels that mean nothing: what is learned is thrown away."""
    n_labels = max(2, asked.n_labels)
    texts = [(tag, text) for tag in asked.langs for text in (asked.data.texts.get(tag, []) if asked.data else [])]
    where = "your texts"
    if len(texts) < 2 * fit.BATCH:
        from isogloss.stages.auditing import sample

        rows = sample.read_texts(sample.BUNDLED).rows
        texts, where = list(zip(rows["lang"], rows["text"], strict=True)), "the bundled sample of clinic messages"
    step = max(1, len(texts) // ROWS)
    lines = [
        json.dumps(
            {"lang": tag, "text": text, "label": f"label-{i % n_labels}", "split": "dev" if i % 10 == 9 else "train"},
            ensure_ascii=False,
        )
        for i, (tag, text) in enumerate(texts[::step])
    ]
    files.write_text(path, "\n".join(lines) + "\n")
    return where


def _recipe(best: Weighed) -> str:
    import tomli_w

    way = best.way
    assert way is not None
    name = best.model.name if best.model.name.startswith("isogloss/") else str(Path(str(best.folder)).absolute())
    made: Mapping[str, Any] = {
        "name": "probe", "task": "classify", "model": {"use": "encoder", "name": name},
        "data": {"raw": ["rows.jsonl"]},
        "train": {
            "methods": [method_of(way)], "steps": STEPS, "eval_every": STEPS, "batch": fit.BATCH, "accumulate": way.parts,
            "checkpointing": way.method.checkpointing, "lr": rate(best),
        },
    }  # fmt: skip
    return tomli_w.dumps(dict(made))


def _run(command: list[str], at: Path) -> float:
    """Run isogloss as a process; returns the most memory it held, bytes. Raises InputError with its last words."""
    source = str(Path(__file__).parents[3])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))}
    with subprocess.Popen(
        [sys.executable, "-m", "isogloss", *command], cwd=at, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as child:
        try:
            out = child.stdout.read() if child.stdout else b""
            if hasattr(os, "wait4"):
                _, status, usage = os.wait4(child.pid, 0)
                child.returncode = os.waitstatus_to_exitcode(status)
                peak = float(usage.ru_maxrss) * (1 if sys.platform == "darwin" else 1024)
            else:
                child.wait()
                peak = 0.0
        except BaseException:
            child.kill()
            raise
    if child.returncode:
        said = out.decode("utf-8", "replace").strip().splitlines()
        raise InputError(f"the probe ended: {said[-1] if said else f'exit code {child.returncode}'}")
    ledger = at / "runs/probe/ledger.json"
    if not peak and ledger.is_file():
        peak = max(files.read_json(ledger).get("peak_bytes", {"": 0}).values())
    return peak
