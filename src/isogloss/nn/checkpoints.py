"""Checkpoints: safetensors and JSON, each whole or absent, each file with its digest.

checkpoints/step-00000400/weights.safetensors     trained parameters only
                          optimizer.safetensors   NAME/exp_avg, NAME/exp_avg_sq, NAME/step
                          order.safetensors       the mix's window; dev probabilities of this step
                          state.json              step, mix, schedule, what was seen, dev scores, digests
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from isogloss.core import files
from isogloss.core.errors import PlaceError
from isogloss.nn.disk import whole_folder, write_tensors

FORMAT = 2
TENSORS = ("weights", "optimizer", "order")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as it was read."""

    step: int
    tensors: Mapping[str, dict[str, torch.Tensor]]
    state: dict[str, Any]


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one training; `key` says of what, and those of something else do not count."""

    folder: Path
    key: str

    def steps(self) -> list[int]:
        """The steps that have one, oldest first."""
        return sorted(int(p.name.removeprefix("step-")) for p in self.folder.glob("step-*") if p.name[5:].isdigit())

    def path(self, step: int) -> Path:
        return self.folder / f"step-{step:08}"

    def save(self, step: int, tensors: Mapping[str, Mapping[str, torch.Tensor]], state: Mapping[str, Any]) -> None:
        """Write a checkpoint; it appears whole, in the place of one of the same step."""
        with whole_folder(self.path(step)) as temporary:
            for name in TENSORS:
                write_tensors(temporary / f"{name}.safetensors", tensors[name])
            sums = {p.name: [p.stat().st_size, files.digest(p)] for p in sorted(temporary.iterdir())}
            files.write_json(
                temporary / "state.json", {"format": FORMAT, "key": self.key, "step": step, "files": sums, **state}
            )

    def read(self, step: int, which: Sequence[str] = TENSORS) -> Checkpoint:
        """Read a checkpoint, or some of its tensors. Raises PlaceError when it is not whole, or of another training."""
        from safetensors.torch import load_file

        folder = self.path(step)
        state = files.read_json(folder / "state.json")
        if state.get("format") != FORMAT or state.get("key") != self.key:
            raise PlaceError(f"{folder} is a checkpoint of another training")
        for name, (size, digest) in state["files"].items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != size or files.digest(path) != digest:
                raise PlaceError(f"{path} is missing or damaged")
        tensors = {name: files.read_own(folder / f"{name}.safetensors", lambda path: load_file(path)) for name in which}
        return Checkpoint(step, tensors, state)

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """The newest checkpoint that is whole, and a sentence about each newer one that is not."""
        said: list[str] = []
        for step in reversed(self.steps()):
            try:
                return self.read(step), said
            except PlaceError as error:
                said.append(f"the checkpoint of step {step} cannot be used ({error}); the one before it is taken")
        return None, said

    def retain(self, steps: set[int]) -> None:
        """Remove all checkpoints but those of `steps`."""
        for step in self.steps():
            if step not in steps:
                files.remove(self.path(step))
