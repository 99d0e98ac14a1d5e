"""How much memory training takes, said before the weights are read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

FLOAT = 4


def needed(n_all: int, n_trained: int, optimizer: str = "adamw", *, in_backward: bool = False) -> dict[str, int]:
    """Bytes by what they are for: weights, gradients, optimizer; activations come on top and depend on the batch.

    Gradients that are used while the backward pass runs, and sums of rows and columns (adafactor), count as nothing.

    >>> needed(10, 4)
    {'weights': 40, 'gradients': 16, 'optimizer': 32}
    """
    gradients = 0 if in_backward else FLOAT * n_trained
    return {
        "weights": FLOAT * n_all,
        "gradients": gradients,
        "optimizer": 2 * FLOAT * n_trained if optimizer == "adamw" else 0,
    }


def available() -> int | None:
    """Bytes of memory that are free on this machine; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        pass  # no Linux
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def sentence(n_all: int, n_trained: int, parts: Mapping[str, int]) -> str:
    """What is said of a model before its weights are read; `parts` are those of `needed`.

    >>> sentence(278_000_000, 7_000_000, needed(278_000_000, 7_000_000))
    '278.0 M parameters, 7.0 M trained: 1.11 GB weights, 0.03 GB gradients, 0.06 GB optimizer; 1.20 GB and activations'
    """
    listed = ", ".join(f"{n_bytes / 1e9:.2f} GB {what}" for what, n_bytes in parts.items())
    sizes = f"{n_all / 1e6:.1f} M parameters, {n_trained / 1e6:.1f} M trained"
    return f"{sizes}: {listed}; {sum(parts.values()) / 1e9:.2f} GB and activations"


def forget_peak() -> None:
    """Let `peak` count from here on, where the system allows that (Linux, CUDA)."""
    import sys

    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak() -> dict[str, int]:
    """The most bytes that this process has held: of main memory (`process`), and of the accelerator (`device`)."""
    import resource
    import sys

    found = {}
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        found["process"] = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration, ValueError):
        unit = 1 if sys.platform == "darwin" else 1024
        found["process"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        found["device"] = torch.cuda.max_memory_allocated()
    return found


def keep_freed() -> None:
    """Let this process keep the memory that tensors free, for the next ones: glibc gives large ones back at once.

    Fetching pages anew can take as long as the computation: a step of a small encoder in single precision on two cores
    of a virtual machine took 2.0 s without this and 1.1 s with it (docs/log.md). The peak stays what it is.
    What was freed before is given back. Without glibc: nothing.
    """
    import ctypes

    trim, mapped = -1, -4  # M_TRIM_THRESHOLD, M_MMAP_MAX of malloc.h
    give_back()
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(mapped, 0)
        libc.mallopt(trim, 2**31 - 1)


def few_kernels() -> None:
    """Let oneDNN keep 64 compiled kernels at once instead of 1,024, where the user has not said how many.

    A kernel is compiled for one shape, and every length of a batch is another: kept, they took up to half a gigabyte in
    the training of a small part of an encoder, and a step was no faster (docs/log.md). Must come before the first step.
    """
    import os

    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")


def give_back() -> None:
    """Give memory that was freed back to the system. Without glibc: nothing."""
    import ctypes
    import gc

    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
