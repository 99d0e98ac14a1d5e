"""What this machine has: cores, memory, accelerator, half precision, disk. Read from the system, without torch."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from isogloss.core.engine import usable_cores

GIB = 1 << 30
# How long a question to another program may take, seconds.
PATIENCE = 20.0
BF16_FLAGS = ("amx_bf16", "avx512_bf16", "bf16")


@dataclass(frozen=True)
class Machine:
    """Sizes are bytes. `limit` says what bounds memory: the machine, or the container it runs in."""

    system: str
    cpu: str
    n_cores: int
    n_cores_all: int
    n_bytes_memory: int | None
    n_bytes_free: int | None
    limit: str
    n_bytes_disk: int
    bf16_cpu: str
    accelerator: dict[str, Any] | None

    def document(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)

    @property
    def n_bytes_training(self) -> int | None:
        """Memory that a model and its training state may take: the accelerator's, else what is free here."""
        return (
            self.accelerator["n_bytes"] if self.accelerator and self.accelerator.get("n_bytes") else self.n_bytes_free
        )


def machine(*, ask_torch: bool = True) -> Machine:
    """Look at this machine. Without `ask_torch` the system alone says what accelerator there is, in milliseconds."""
    total, free = memory()
    limited, used = container_memory()
    limit = "the machine"
    if limited is not None and (total is None or limited < total):
        total, limit = limited, "the container"
        free = min(limited - (used or 0), free if free is not None else limited)
    flags = cpu_flags()
    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        cpu=cpu_name(),
        n_cores=cores(),
        n_cores_all=os.cpu_count() or 1,
        n_bytes_memory=total,
        n_bytes_free=free,
        limit=limit,
        n_bytes_disk=shutil.disk_usage(Path.cwd()).free,
        bf16_cpu=next((flag for flag in BF16_FLAGS if flag in flags), ""),
        accelerator=accelerator() if ask_torch else listed(),
    )


def cores() -> int:
    """Cores this process may use: affinity, and the quota of a container."""
    n = usable_cores()
    for folder in _control_groups():
        text = _read(folder / "cpu.max").split()
        if len(text) == 2 and text[0].isdecimal():
            n = min(n, max(1, -(-int(text[0]) // int(text[1]))))
    return n


def memory() -> tuple[int | None, int | None]:
    """Memory of the machine and what of it is free, bytes; None where the system does not say."""
    found = {
        name: int(n) * 1024 for name, n in re.findall(r"(MemTotal|MemAvailable):\s+(\d+) kB", _read("/proc/meminfo"))
    }
    if "MemTotal" in found:
        return found["MemTotal"], found.get("MemAvailable")
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None, None
    return total, total // 2  # the system does not say what is free: half is a careful guess


def container_memory() -> tuple[int | None, int | None]:
    """The tightest memory limit of a control group, and what it has used, bytes."""
    tightest: tuple[int | None, int | None] = (None, None)
    for folder in _control_groups():
        for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            text = _read(folder / limit).strip()
            if text.isdecimal() and int(text) < 1 << 60 and (tightest[0] is None or int(text) < tightest[0]):
                now = _read(folder / used).strip()
                tightest = (int(text), int(now) if now.isdecimal() else None)
    return tightest


def _control_groups() -> list[Path]:
    """Folders of this process's control groups, from its own up to the root (versions 1 and 2)."""
    found: dict[Path, None] = {}
    base = Path("/sys/fs/cgroup")
    for line in _read("/proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        for top in [base, *(base / name for name in names.split(",") if name)]:
            here = top / path.lstrip("/")
            while here != top.parent:
                if here.is_dir():
                    found[here] = None
                here = here.parent
    return list(found)


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def cpu_name() -> str:
    """What the processor calls itself."""
    found = re.search(r"model name\s*:\s*(.+)", _read("/proc/cpuinfo"))
    if found:
        return found[1].strip()
    if sys.platform == "darwin":
        return _ask(["sysctl", "-n", "machdep.cpu.brand_string"]).strip() or platform.machine()
    return platform.processor() or platform.machine()


def cpu_flags() -> set[str]:
    """What the processor can do, in the system's words."""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.M)
    if found:
        return set(found[1].split())
    if sys.platform == "darwin" and _ask(["sysctl", "-n", "hw.optional.arm.FEAT_BF16"]).strip() == "1":
        return {"bf16"}
    return set()


def _ask(command: list[str], seconds: float = 3.0) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def torch_build() -> str | None:
    """How torch was built, without importing it: "cpu", "cuda 12.8", "rocm 6.4", or None where it is not installed."""
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return None
    text = _read(Path(next(iter(spec.submodule_search_locations))) / "version.py")
    for name, word in (("cuda", "cuda"), ("hip", "rocm")):
        if found := re.search(rf"^{name}\b[^=]*=\s*['\"]([^'\"]+)", text, re.M):
            return f"{word} {found[1]}"
    return "cpu"


# Asked in a process of its own: importing torch takes seconds, and a broken driver must not end this one.
_QUESTION = """
import json, torch
found = None
if torch.cuda.is_available():
    p = torch.cuda.get_device_properties(0)
    found = {"kind": "cuda", "name": p.name, "n": torch.cuda.device_count(), "n_bytes": p.total_memory,
             "capability": f"{p.major}.{p.minor}", "bf16": p.major >= 8, "fp16": p.major >= 6}
elif torch.backends.mps.is_available():
    found = {"kind": "mps", "name": "Apple GPU", "n": 1, "n_bytes": None, "bf16": True, "fp16": True}
print(json.dumps(found))
"""


def accelerator() -> dict[str, Any] | None:
    """The first accelerator that torch can use: `kind, name, n, n_bytes, bf16, fp16`; None where there is none.

    A GPU that is there while torch was built without it comes as `kind: "unused"`.
    """
    build = torch_build()
    if build is not None and (build != "cpu" or sys.platform == "darwin"):
        answer = _ask([sys.executable, "-c", _QUESTION], PATIENCE).strip().rpartition("\n")[2]
        try:
            found: dict[str, Any] | None = json.loads(answer)
        except ValueError:
            found = None
        if found:
            return found
    there = listed()
    if there is not None:
        return {"kind": "unused", "name": there["name"], "n": there["n"], "n_bytes_there": there["n_bytes"]}
    return None


def listed() -> dict[str, Any] | None:
    """The accelerators that the system lists, whether torch can use them or not: `kind, name, n, n_bytes`."""
    lines = _ask(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]).strip().splitlines()
    if not lines or "," not in lines[0]:
        return None
    name, _, size = lines[0].rpartition(",")
    n_bytes = int(size) << 20 if size.strip().isdecimal() else None
    return {"kind": "cuda", "name": name.strip(), "n": len(lines), "n_bytes": n_bytes}
