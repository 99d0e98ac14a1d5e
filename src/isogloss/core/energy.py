"""Energy: measured where the machine has a meter, else the time times watts that are assumed, and said to be."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from pathlib import Path

# Watts of a core at work, and of the machine around the cores: assumed where nothing measures.
CORE_WATTS, AROUND_WATTS = 8.0, 15.0
RAPL = Path("/sys/class/powercap")


class Meter:
    """Joules since it was made. `how` says what they rest on; `measured` is false where they are assumed.

    Meters: RAPL of the processor packages (Linux), NVML of the graphics cards `n_cards`. RAPL does not see memory sticks,
    fans and power supplies; both see what other programs use.
    """

    def __init__(self, n_cores: int, n_cards: int = 0, watts: float | None = None) -> None:
        self._packages = [] if watts else _packages()
        self._cards = _cards(n_cards) if n_cards and not watts else []
        self._began = time.monotonic()
        self._last = [_read(path) for path, _ in self._packages]
        self._joules = 0.0
        self._at_start = [_card_joules(*card) for card in self._cards]
        self.watts = watts or AROUND_WATTS + CORE_WATTS * n_cores
        self.measured = bool(self._packages) and len(self._cards) == n_cards and not watts
        self.how = (
            f"{self.watts:g} W, as the recipe says"
            if watts
            else "measured: " + " and ".join(filter(None, ["RAPL", "NVML" * bool(self._cards)]))
            if self.measured
            else f"estimated: {self.watts:g} W for {n_cores} cores, assumed"
            + (", and cards as NVML measures them" if self._cards else "")
        )

    def joules(self) -> float:
        """Since the meter was made; call it every few minutes: counters of packages run over."""
        cards = sum(_card_joules(*card) - first for card, first in zip(self._cards, self._at_start, strict=True))
        if not self.measured:
            return self.watts * (time.monotonic() - self._began) + cards
        for i, (path, span) in enumerate(self._packages):
            now = _read(path)
            self._joules += ((now - self._last[i]) % span if span else max(0.0, now - self._last[i])) / 1e6
            self._last[i] = now
        return self._joules + cards


def _packages() -> list[tuple[Path, float]]:
    """The counters of processor packages that may be read, in microjoules, and where they run over."""
    found = []
    for folder in sorted(RAPL.glob("*-rapl:[0-9]")):
        with contextlib.suppress(OSError, ValueError):
            _read(folder / "energy_uj")
            found.append((folder / "energy_uj", float((folder / "max_energy_range_uj").read_text())))
    return found


def _read(path: Path) -> float:
    return float(path.read_text())


def _cards(n: int) -> list[tuple[ctypes.CDLL, ctypes.c_void_p]]:
    """Handles of the first `n` cards that this process sees, as far as NVML can tell their energy."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return []
    if nvml.nvmlInit_v2() != 0:
        return []
    found = []
    for name in _visible(n, os.environ.get("CUDA_VISIBLE_DEVICES")):
        handle = ctypes.c_void_p()
        energy = ctypes.c_ulonglong()
        if name.isdigit():
            known = nvml.nvmlDeviceGetHandleByIndex_v2(int(name), ctypes.byref(handle)) == 0
        else:
            known = nvml.nvmlDeviceGetHandleByUUID(name.encode(), ctypes.byref(handle)) == 0
        if known and nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(energy)) == 0:
            found.append((nvml, handle))
    return found


def _visible(n: int, said: str | None) -> list[str]:
    """NVML's numbers or names of the first `n` cards, where CUDA_VISIBLE_DEVICES is `said`.

    >>> _visible(2, None), _visible(1, "3,1"), _visible(1, "GPU-5a")
    (['0', '1'], ['3'], ['GPU-5a'])
    """
    every = [str(i) for i in range(n)] if said is None else [name.strip() for name in said.split(",") if name.strip()]
    return every[:n]


def _card_joules(nvml: ctypes.CDLL, handle: ctypes.c_void_p) -> float:
    energy = ctypes.c_ulonglong()
    nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(energy))
    return energy.value / 1e3
