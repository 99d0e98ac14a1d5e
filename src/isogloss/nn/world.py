"""The processes that train together, through accelerate; one process is a world of one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import torch
from torch import nn

from isogloss.core.errors import InputError


class World:
    """Accelerate set up for a precision, and the few things processes tell each other.

    `precision`: "auto" is bf16 where an accelerator has it and fp32 elsewhere; fp16 is scaled and needs CUDA.
    Raises InputError for a precision that this machine does not have.
    """

    def __init__(self, precision: str = "auto") -> None:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
        from accelerate.utils import GradScalerKwargs, InitProcessGroupKwargs

        cuda = torch.cuda.is_available()
        if precision == "fp16" and not cuda:
            raise InputError('train.precision is "fp16", which needs a CUDA device; use "auto", "bf16" or "fp32" here')
        if precision == "auto":
            precision = "bf16" if cuda and torch.cuda.is_bf16_supported() else "fp32"
        self.precision = precision
        AcceleratorState._reset_state()  # one process may train twice, at two precisions
        # Others wait as long as the first one prepares the corpus.
        patient = InitProcessGroupKwargs(timeout=timedelta(hours=24), backend=None)
        mixed = "no" if precision == "fp32" else precision
        self.accelerator = Accelerator(
            mixed_precision=mixed,
            cpu=not cuda,
            kwargs_handlers=[patient, GradScalerKwargs()],
            step_scheduler_with_optimizer=False,
        )
        # One division is ours; `accelerate launch` would hand in another through the environment.
        self.accelerator.gradient_accumulation_steps = 1
        if str(self.accelerator.distributed_type).rpartition(".")[2] not in ("NO", "MULTI_GPU", "MULTI_CPU"):
            raise InputError(
                f"training runs on one process a device; {self.accelerator.distributed_type} is not supported"
            )
        self.rank, self.size = self.accelerator.process_index, self.accelerator.num_processes
        self.device: torch.device = self.accelerator.device

    @property
    def first(self) -> bool:
        return self.rank == 0

    def sum(self, values: np.ndarray) -> np.ndarray:
        """The sum of an array over all processes, float64."""
        if self.size == 1:
            return np.asarray(values, dtype=np.float64)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(tensor)
        return tensor.cpu().numpy()

    def same(self, value: Any) -> Any:
        """What the first process has, on every process. Plain values only."""
        if self.size == 1:
            return value
        box = [value]
        torch.distributed.broadcast_object_list(box, src=0)
        return box[0]

    def wait(self) -> None:
        """Until every process is here."""
        self.accelerator.wait_for_everyone()

    def end(self) -> None:
        """Leave the group of processes."""
        if self.size > 1:
            self.accelerator.end_training()

    def spread(self, model: nn.Module) -> nn.Module:
        """The model as training calls it: on its device, in its precision, gradients averaged over processes."""
        prepared: nn.Module = self.accelerator.prepare_model(model)
        return prepared
