"""Energy: measured where the machine has a meter, else the time times watts that are assumed, and said to be."""

from __future__ import annotations

import contextlib
import ctypes
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
    """Handles of the first `n` cards that NVML can tell the energy of."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return []
    if nvml.nvmlInit_v2() != 0:
        return []
    found = []
    for i in range(n):
        handle = ctypes.c_void_p()
        energy = ctypes.c_ulonglong()
        known = nvml.nvmlDeviceGetHandleByIndex_v2(i, ctypes.byref(handle)) == 0
        if known and nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(energy)) == 0:
            found.append((nvml, handle))
    return found


def _card_joules(nvml: ctypes.CDLL, handle: ctypes.c_void_p) -> float:
    energy = ctypes.c_ulonglong()
    nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(energy))
    return energy.value / 1e3
