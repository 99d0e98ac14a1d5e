"""The processes that train together, through accelerate; one process is a world of one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import torch
from torch import nn

from isogloss.core.errors import InputError


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies in bf16 (AMX, AVX-512 BF16): elsewhere bf16 is emulated, and slower than fp32."""
    has = torch.cpu.get_capabilities()
    return any(has.get(name, False) for name in ("amx_bf16", "avx512_bf16", "bf16"))


class World:
    """Processes, device and precision, and the few things processes tell each other.

    `precision`: "auto" is bf16 where the device computes in it, and fp32 elsewhere; fp16 is scaled. Weights, gradients
    and the optimizer are fp32 in each; products are computed in half precision (autocast).
    """

    def __init__(self, precision: str = "auto") -> None:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
        from accelerate.utils import InitProcessGroupKwargs

        cuda = torch.cuda.is_available()
        if precision == "auto":
            precision = (
                "bf16"
                if (torch.cuda.is_bf16_supported(including_emulation=False) if cuda else cpu_has_bf16())
                else "fp32"
            )
        self.precision = precision
        AcceleratorState._reset_state()  # one process may train twice
        # Others wait as long as the first one prepares the corpus.
        patient = InitProcessGroupKwargs(timeout=timedelta(hours=24), backend=None)
        self.accelerator = Accelerator(
            mixed_precision="no", cpu=not cuda, kwargs_handlers=[patient], step_scheduler_with_optimizer=False
        )
        # One division is ours; `accelerate launch` would hand in another through the environment.
        self.accelerator.gradient_accumulation_steps = 1
        if str(self.accelerator.distributed_type).rpartition(".")[2] not in ("NO", "MULTI_GPU", "MULTI_CPU"):
            raise InputError(
                f"training runs on one process a device; {self.accelerator.distributed_type} is not supported"
            )
        self.rank, self.size = self.accelerator.process_index, self.accelerator.num_processes
        self.device: torch.device = self.accelerator.device
        self.scaler = torch.amp.GradScaler(self.device.type) if precision == "fp16" else None

    def autocast(self) -> torch.autocast:
        """In which a model is called."""
        return torch.autocast(self.device.type, self.half, enabled=self.half is not None)

    @property
    def half(self) -> torch.dtype | None:
        """In which products are computed; None: in single precision."""
        return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision)

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
        """The model as training calls it: on its device, gradients averaged over processes."""
        prepared: nn.Module = self.accelerator.prepare_model(model)
        return prepared
