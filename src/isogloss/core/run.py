"""Run: a directory. Stages talk only through it, and everything in it can be looked at, resumed, compared, deleted."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from isogloss.core import files
from isogloss.core.errors import DamagedError, PlaceError, StaleError

# Versions of what our own files look like. A change here makes finished work stale; library versions do not.
FORMATS = {"prepare": 2, "audit": 1, "train": 1, "evaluate": 1}


@dataclass(frozen=True)
class Run:
    """The directory of one run."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    def path(self, *parts: str) -> Path:
        return self.folder.joinpath(*parts)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process, with the operating system's lock; it ends with the process, however that ends.

        Raises PlaceError when another process holds it or when the folder cannot be written.
        """
        lock = self.path("lock")
        with files.place_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = lock.open("a+")
        with handle:
            try:
                _lock(handle.fileno())
            except OSError:
                handle.seek(0)
                holder = handle.read().strip() or "unknown"
                raise PlaceError(
                    f"{self.folder} is in use by process {holder}; wait for it, or end it, and repeat the command"
                ) from None
            handle.seek(0)
            handle.truncate()
            handle.write(str(os.getpid()))
            handle.flush()
            files.sweep(self.folder)
            yield

    # -- stamps: what a stage read, and what it made -------------------------------------------------------------

    def stamp(self, stage: str, reads: Mapping[str, Any], made: Iterable[Path], **facts: Any) -> None:
        """Say that `stage` is done: what it read, and size and digest of what it made."""
        value = {
            "stage": stage,
            "format": FORMATS[stage],
            "reads": json.loads(json.dumps(reads, default=str)),
            "made": {str(p.relative_to(self.folder)): [p.stat().st_size, files.digest(p)] for p in sorted(made)},
            "facts": facts,
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(),
        }
        files.write_json(self.path("stamps", f"{stage}.json"), value)

    def stamped(self, stage: str) -> dict[str, Any] | None:
        """The stamp of a finished stage, or None. Raises DamagedError when it cannot be read."""
        path = self.path("stamps", f"{stage}.json")
        return files.read_own(path, _read_stamp) if path.is_file() else None

    def unstamp(self, stage: str) -> None:
        files.remove(self.path("stamps", f"{stage}.json"))

    def key(self, stage: str) -> str:
        """A digest of what a finished stage read and made; later stages read it."""
        stamp = self.require(stage)
        return files.digest_of([stamp["reads"], stamp["made"], stamp["format"]])

    def differences(self, stage: str, reads: Mapping[str, Any]) -> list[str] | None:
        """What changed since the stage was done: [] when it is fresh, None when it never was done.

        Raises PlaceError when a file it made is missing or damaged.
        """
        stamp = self.stamped(stage)
        if stamp is None:
            return None
        if stamp["format"] != FORMATS[stage]:
            return [f"the file format of {stage}: {stamp['format']} → {FORMATS[stage]}"]
        changed = list(_changed(stamp["reads"], json.loads(json.dumps(reads, default=str))))
        if not changed:
            self._check(stamp)
        return changed

    @staticmethod
    def changes(old: Any, new: Any) -> list[str]:
        """Each leaf in which two plain values differ: `train.mix.tau: 0.3 → 0.5`."""
        return list(_changed(old, new))

    def require(self, stage: str) -> dict[str, Any]:
        """The stamp of a stage that must be done, its files checked. Raises PlaceError otherwise."""
        stamp = self.stamped(stage)
        if stamp is None:
            raise PlaceError(f"{self.folder} has no finished '{stage}'; run: isogloss {stage} RECIPE")
        self._check(stamp)
        return stamp

    def _check(self, stamp: Mapping[str, Any]) -> None:
        for name, (size, digest) in stamp["made"].items():
            path = self.path(name)
            if not path.is_file():
                raise DamagedError(
                    f"{path} is missing, which '{stamp['stage']}' had made; make it again: isogloss {stamp['stage']} RECIPE --again"
                )
            if path.stat().st_size != size or files.digest(path) != digest:
                raise DamagedError(
                    f"{path} is damaged, or changed since '{stamp['stage']}' made it; make it again: isogloss {stamp['stage']} RECIPE --again"
                )

    def stale(self, stage: str, changed: Iterable[str]) -> StaleError:
        """The refusal to go on from, or to overwrite, work that was made from something else."""
        shown = list(changed)
        more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
        return StaleError(
            f"{self.folder} holds finished '{stage}' work made from something else ({'; '.join(shown[:5])}{more}); "
            f"give the recipe another name, or replace that work: isogloss {stage} RECIPE --again"
        )

    # -- the recipe and the ledger of what it cost --------------------------------------------------------------

    def spend(self, stage: str, seconds: float) -> None:
        """Add to what the run has cost, by stage."""
        cost = self.cost()
        cost[stage] = round(cost.get(stage, 0.0) + seconds, 3)
        files.write_json(self.path("cost.json"), cost)

    def forget_cost(self, stage: str) -> None:
        """Begin to count a stage anew: what it had made is replaced."""
        cost = self.cost()
        if cost.pop(stage, None) is not None:
            files.write_json(self.path("cost.json"), cost)

    def cost(self) -> dict[str, float]:
        """Seconds by stage, over all sittings since the stage was begun."""
        path = self.path("cost.json")
        return files.read_own(path, _read_cost, "remove it and repeat the command") if path.is_file() else {}


def _read_stamp(path: Path) -> dict[str, Any]:
    stamp = json.loads(path.read_text(encoding="utf-8"))
    return {**stamp, **{name: stamp[name] for name in ("stage", "format", "reads", "made", "facts", "versions")}}


def _read_cost(path: Path) -> dict[str, float]:
    return {str(stage): float(seconds) for stage, seconds in json.loads(path.read_text(encoding="utf-8")).items()}


def _lock(descriptor: int) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _changed(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Name each leaf that differs: `train.mix.tau: 0.3 → 0.5`."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            inner = f"{path}.{name}" if path else name
            if name not in old:
                yield f"{inner} is new"
            elif name not in new:
                yield f"{inner} is gone"
            else:
                yield from _changed(old[name], new[name], inner)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _changed(before, after, f"{path}.{i}")
    elif old != new and all(isinstance(value, str) and re.fullmatch("[0-9a-f]{16,}", value) for value in (old, new)):
        yield f"{path} has other contents"
    elif old != new:
        yield f"{path}: {_short(old)} → {_short(new)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."


def versions() -> dict[str, str]:
    """Versions of what matters to a result; recorded and shown, never a reason to redo work."""
    found = {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }
    for package in (
        *("isogloss", "torch", "transformers", "peft", "accelerate", "scikit-learn", "polars", "numpy"),
        *("ftfy", "babel", "trafilatura", "py3langid", "rensa"),
    ):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found
