"""doctor: whether the install is whole, what this machine has, what will and will not run here, and the next step."""

from __future__ import annotations

import os
import re
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from isogloss.core.say import Say
from isogloss.stages.checkup.machine import GIB, Machine, machine, torch_build
from isogloss.stages.checkup.measure import measure, measured
from isogloss.stages.examples import some

State = Literal["ok", "look", "no"]
HUB = "https://huggingface.co"
PATIENCE = 4.0
LEAST_DISK = 5 * GIB


@dataclass(frozen=True)
class Fact:
    """One line: what, whether it is well, and what would help where it is not."""

    what: str
    state: State
    text: str
    fix: str = ""


@dataclass(frozen=True)
class Job:
    """Something a person may want to run. `n_body` parameters work on every token, `n_all` include the embeddings."""

    name: str
    n_all: float
    n_body: float
    n_bytes_each: float
    """bytes a parameter: weights, gradients, optimizer state"""
    n_bytes_more: float
    """activations of a usual batch, and the libraries"""
    cuda_only: bool = False

    @property
    def n_bytes(self) -> float:
        return self.n_all * self.n_bytes_each + self.n_bytes_more


# fp32 AdamW: 4 bytes a weight, 4 a gradient, 8 for two moments. With LoRA only the adapters have the last three.
JOBS = (
    Job("xlm-roberta-base, LoRA or frozen", 278e6, 86e6, 4.2, 1.5 * GIB),
    Job("xlm-roberta-base, every weight", 278e6, 86e6, 16, 1.5 * GIB),
    Job("xlm-roberta-large, every weight", 560e6, 303e6, 16, 3 * GIB),
    Job("a model of 7 billion, LoRA in bf16", 7e9, 6.5e9, 2.1, 4 * GIB),
    Job("a model of 7 billion, LoRA in 4 bits", 7e9, 6.5e9, 0.65, 3 * GIB, cuda_only=True),
    Job("a model of 7 billion, every weight", 7e9, 6.5e9, 16, 8 * GIB),
)
# The work that times are given for.
WORK_ROWS, WORK_TOKENS, WORK_EPOCHS = 10_000, 64, 3
# Longer than this is called too slow, hours.
TOO_LONG = 48.0


@dataclass(frozen=True)
class Checkup:
    """What doctor found. `ok` is False when something that every run needs is missing."""

    facts: tuple[Fact, ...]
    runs: tuple[Fact, ...]
    next_step: str
    machine: Machine
    measured: Mapping[str, Any] | None

    @property
    def ok(self) -> bool:
        return all(fact.state != "no" for fact in self.facts if fact.what in ("python", "packages"))

    def document(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "ok": self.ok,
            "facts": [vars(fact) for fact in self.facts],
            "runs": [vars(fact) for fact in self.runs],
            "next_step": self.next_step,
            "machine": self.machine.document(),
            "measured": self.measured,
        }


def doctor(*, hub: bool = False, measure_now: bool = False, say: Say | None = None) -> Checkup:
    """Look at the install and the machine; the network is touched with `hub` only, speed measured with `measure_now`.

    Raises PlaceError when the measured speed cannot be kept.
    """
    found = machine()
    device = (found.accelerator or {}).get("kind", "cpu")
    speed = measure(say or Say(), device if device in ("cuda", "mps") else "cpu") if measure_now else measured()
    facts = [*_install(), *_hardware(found), *_speed(speed), *_hub(hub)]
    runs = tuple(_runs(found, speed))
    return Checkup(tuple(facts), runs, _next(facts, speed), found, speed)


# -- install ----------------------------------------------------------------------------------------------------


def requirements() -> dict[str, dict[str, str]]:
    """What the package asks for: name → least version, by extra ("": always)."""
    try:
        asked = metadata.requires("isogloss") or []
    except metadata.PackageNotFoundError:
        return {}
    found: dict[str, dict[str, str]] = {}
    for line in asked:
        name = re.match(r"[A-Za-z0-9._-]+", line)
        least = re.search(r">=\s*([0-9][0-9.]*)", line.partition(";")[0])
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", line)
        if name:
            found.setdefault(extra[1] if extra else "", {})[name[0]] = least[1] if least else ""
    return found


def absent(names: Mapping[str, str]) -> list[str]:
    """Those that are not installed, or too old."""
    out = []
    for name, least in names.items():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            out.append(name)
            continue
        if least and _numbers(version) < _numbers(least):
            out.append(f"{name} >= {least} (here {version})")
    return out


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(piece) for piece in re.findall(r"\d+", version.partition("+")[0])[:3])


def _install() -> Iterator[Fact]:
    where = "a virtual environment" if sys.prefix != sys.base_prefix else "no virtual environment"
    version = ".".join(map(str, sys.version_info[:3]))
    yield Fact(
        "python", "ok" if sys.version_info >= (3, 11) else "no", f"{version}, {where}", "Use Python 3.11 or newer."
    )
    asked = requirements()
    if not asked:
        yield Fact(
            "packages", "look", "isogloss itself is not installed, so nobody knows what it needs", "pip install -e ."
        )
        return
    missing = absent(asked.pop("", {}))
    own = metadata.version("isogloss")
    if missing:
        fix = "pip install " + " ".join(f"'{item.split(' (')[0]}'" for item in missing)
        yield Fact("packages", "no", f"isogloss {own} lacks {', '.join(missing)}", fix)
    else:
        shown = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "transformers", "polars"))
        yield Fact("packages", "ok", f"isogloss {own}; {shown}")
    for extra, names in asked.items():
        gone = absent(names)
        text = f"extra '{extra}' lacks {', '.join(gone)}" if gone else f"extra '{extra}' is there"
        yield Fact(
            "extra", "look" if gone else "ok", text, f"pip install -c constraints.txt -e '.[{extra}]'" if gone else ""
        )


# -- machine ----------------------------------------------------------------------------------------------------


def size(n_bytes: float | None) -> str:
    """A size for people.

    >>> size(3 * 2**30), size(300 * 2**20), size(None)
    ('3.0 GB', '0.3 GB', 'unknown')
    """
    return (
        "unknown"
        if n_bytes is None
        else f"{n_bytes / GIB:.1f} GB"
        if n_bytes < 100 * GIB
        else f"{n_bytes / GIB:,.0f} GB"
    )


def _hardware(found: Machine) -> Iterator[Fact]:
    fewer = f" of {found.n_cores_all}" if found.n_cores < found.n_cores_all else ""
    yield Fact("cores", "ok", f"{found.n_cores}{fewer}, {found.cpu}")
    free, total = size(found.n_bytes_free), size(found.n_bytes_memory)
    few = found.n_bytes_free is not None and found.n_bytes_free < 2 * GIB
    limited = " (the container's limit)" if found.limit == "the container" else ""
    yield Fact(
        "memory", "look" if few else "ok", f"{free} free of {total}{limited}", "Close other programs." if few else ""
    )
    chip = found.accelerator
    if chip is None:
        yield Fact("accelerator", "ok", "none; training runs on the cores")
    elif chip["kind"] == "unused":
        text = f"{chip['name']} is there, but torch ({torch_build() or 'not installed'}) does not use it"
        yield Fact(
            "accelerator", "look", text, "Install the torch build for it: https://pytorch.org/get-started/locally/"
        )
    else:
        many = f"{chip['n']} x " if chip["n"] > 1 else ""
        yield Fact("accelerator", "ok", f"{many}{chip['name']} ({chip['kind']}), {size(chip.get('n_bytes'))}")
    yield Fact("half precision", "ok", _half(found))
    low = found.n_bytes_disk < LEAST_DISK
    writable = os.access(Path.cwd(), os.W_OK)
    text = f"{size(found.n_bytes_disk)} free here" + ("" if writable else "; this folder cannot be written")
    fix = "" if writable and not low else "Free some space." if writable else "Work in a folder that you may write."
    yield Fact("disk", "look" if fix else "ok", text, fix)


def _half(found: Machine) -> str:
    chip = found.accelerator or {}
    if chip.get("kind") in ("cuda", "mps"):
        kinds = [name for name in ("bf16", "fp16") if chip.get(name)]
        return f"{' and '.join(kinds) or 'none'} on the {chip['kind']} device"
    return f"bf16 on the cores ({found.bf16_cpu})" if found.bf16_cpu else "none that is native; fp32 is used"


def _speed(speed: Mapping[str, Any] | None) -> Iterator[Fact]:
    if speed is None:
        yield Fact("speed", "look", "not measured", "isogloss doctor --measure")
        return
    text = f"n-grams {speed['ngram_train_rows_per_second']:,} rows/s"
    if "matmul_fp32_gflops" in speed:
        fp32, bf16 = speed["matmul_fp32_gflops"], speed["matmul_bf16_gflops"]
        text += f"; products {fp32:,.0f} (fp32) and {bf16:,.0f} (bf16) GFLOP/s"
        text += f"; one block of a base encoder {speed['encoder_tokens_per_second']:,} tokens/s"
    text += f" (measured {speed['when'][:10]})"
    if speed.get("busy"):
        fix = "Other work kept the cores busy, so this is too low: isogloss doctor --measure, when it is quiet."
        yield Fact("speed", "look", text, fix)
    else:
        yield Fact("speed", "ok", text)


def _hub(ask: bool) -> Iterator[Fact]:
    folder = Path(
        os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME") or Path.home() / ".cache/huggingface") / "hub"
    )
    found = sorted(folder.glob("models--*")) if folder.is_dir() else []
    kept = [path.name.removeprefix("models--").replace("--", "/") for path in found]
    shown = f"{len(kept)} models on disk" + (f" ({some(kept, 3)})" if kept else "")
    if not ask:
        yield Fact("hub", "ok", f"not asked (--hub asks); {shown}")
        return
    import urllib.error
    import urllib.request

    place = os.environ.get("HF_ENDPOINT") or HUB
    start = time.monotonic()
    try:
        request = urllib.request.Request(place, method="HEAD", headers={"User-Agent": "isogloss-doctor"})
        with urllib.request.urlopen(request, timeout=PATIENCE):
            pass
    except urllib.error.HTTPError:
        pass  # it answered
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        fix = "Give a folder on disk as the model's name, or set HF_ENDPOINT; n-grams need no hub."
        yield Fact("hub", "look", f"{place} cannot be reached ({str(reason)[:80]}); {shown}", fix)
        return
    yield Fact("hub", "ok", f"{place} answers in {time.monotonic() - start:.1f} s; {shown}")


# -- what will run ----------------------------------------------------------------------------------------------


def _runs(found: Machine, speed: Mapping[str, Any] | None) -> Iterator[Fact]:
    rows = f"; {WORK_ROWS:,} rows in about {_span(WORK_ROWS / speed['ngram_train_rows_per_second'])}" if speed else ""
    yield Fact("character n-grams", "ok", f"yes, on any machine{rows}")
    room = found.n_bytes_training
    chip = (found.accelerator or {}).get("kind")
    place = (
        f"on the {chip} device" if chip in ("cuda", "mps") and found.n_bytes_training != found.n_bytes_free else "here"
    )
    for job in JOBS:
        need = f"about {size(job.n_bytes)}"
        if torch_build() is None:
            yield Fact(job.name, "no", "no, torch is not installed")
        elif job.cuda_only and chip != "cuda":
            yield Fact(job.name, "no", f"no, 4 bits need a CUDA device ({need} on it)")
        elif room is None:
            yield Fact(job.name, "look", f"needs {need}; free memory is unknown")
        elif job.n_bytes > room:
            yield Fact(job.name, "no", f"no, needs {need}; {size(room)} free {place}")
        else:
            yield _timely(job, need, speed, chip)


def _timely(job: Job, need: str, speed: Mapping[str, Any] | None, chip: str | None) -> Fact:
    """It fits: say how long the usual work takes, where speed was measured."""
    heavy = job.n_body > 1e9 and chip not in ("cuda", "mps")
    rate = (speed or {}).get("encoder_step_gflops")
    if not rate:
        if heavy:
            return Fact(job.name, "no", f"no, it fits ({need}) but is far too slow on cores")
        return Fact(job.name, "ok", f"yes, {need}")
    seconds = 6e-9 * job.n_body * WORK_ROWS * WORK_TOKENS * WORK_EPOCHS / rate
    work = f"{WORK_ROWS:,} rows of {WORK_TOKENS} tokens, {WORK_EPOCHS} times: about {_span(seconds)}"
    if seconds / 3600 > TOO_LONG:
        return Fact(job.name, "no", f"no, it fits ({need}) but is too slow; {work}")
    return Fact(job.name, "ok", f"yes, {need}; {work}")


def _span(seconds: float) -> str:
    """A time for people.

    >>> _span(40), _span(600), _span(9000), _span(400000)
    ('40 s', '10 min', '2.5 h', '4.6 days')
    """
    for limit, unit, word in ((90, 1, "s"), (5400, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.1f} h" if word == "h" else f"{max(1, round(seconds / unit))} {word}"
    return f"{seconds / 86400:.1f} days"


def _next(facts: Sequence[Fact], speed: Mapping[str, Any] | None) -> str:
    broken = next((fact for fact in facts if fact.state == "no"), None)
    if broken:
        return broken.fix
    if speed is None:
        return "isogloss init FILE drafts a recipe for your data (isogloss doctor --measure adds times, in ten seconds)"
    return "isogloss init FILE drafts a recipe for your data"


# -- for a terminal ---------------------------------------------------------------------------------------------

MARKS = {"ok": "", "look": "! ", "no": "x "}


def lines(found: Checkup, width: int) -> list[str]:
    """The checkup as text."""
    out = _block([f for f in found.facts if f.what != "extra" or f.state != "ok"], width)
    out += ["", "what will run here", *_block(found.runs, width, "  ")]
    return [*out, "", *textwrap.wrap(f"next: {found.next_step}", width)]


def _block(facts: Sequence[Fact], width: int, indent: str = "") -> list[str]:
    left = max(len(MARKS[fact.state] + fact.what) for fact in facts)
    narrow = width < left + 40
    out = []
    for fact in facts:
        name = indent + MARKS[fact.state] + fact.what
        text = fact.text + (f". {fact.fix}" if fact.fix and fact.state != "ok" else "")
        hang = indent + "    " if narrow else " " * (len(indent) + left + 2)
        if narrow:
            out += [name, *textwrap.wrap(text, width, initial_indent=hang, subsequent_indent=hang)]
        else:
            first = f"{name:<{len(hang)}}"
            out += textwrap.wrap(text, width, initial_indent=first, subsequent_indent=hang, break_on_hyphens=False)
    return out
