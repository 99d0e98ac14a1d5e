"""Floating-point operations of a training, counted on some of its steps and scaled by tokens to all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

# Every so many calls one is counted; counting makes that one slower.
EVERY = 200


class Operations:
    """Counts operations of one kind of work, e.g. training steps or states of frozen blocks.

    What torch's counter knows is counted: matrix products and attention, forward and backward, a multiply and an add as
    two. Of a call that is not counted, as many a token as of those that were.
    """

    def __init__(self, counted: float = 0.0, counted_tokens: float = 0.0, tokens: float = 0.0) -> None:
        self.counted, self.counted_tokens, self.tokens = counted, counted_tokens, tokens
        self._calls = 0

    @contextlib.contextmanager
    def during(self) -> Iterator[None]:
        """Around a call; `of` tells afterwards how many tokens it had."""
        self._calls += 1
        if self._calls % EVERY != 1:
            self._now = 0.0
            yield
            return
        with _counter() as counter:
            yield
        self._now = float(counter.get_total_flops())

    def of(self, n_tokens: float) -> None:
        """The call that has just ended computed so many tokens, padding included."""
        self.tokens += n_tokens
        if self._now:
            self.counted += self._now
            self.counted_tokens += n_tokens

    @property
    def total(self) -> float:
        """Operations so far."""
        return self.counted / self.counted_tokens * self.tokens if self.counted_tokens else 0.0

    def state(self) -> dict[str, float]:
        return {"counted": self.counted, "counted_tokens": self.counted_tokens, "tokens": self.tokens}


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """Within, a counter that is on outside does not count."""
    from torch.utils._python_dispatch import _disable_current_modes

    with _disable_current_modes():
        yield


def _counter() -> Any:
    from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

    def forward(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
        return int(sdpa_flop_count(query, key, value))

    def backward(grad: Any, query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
        return int(sdpa_backward_flop_count(grad, query, key, value))

    aten = torch.ops.aten
    own: dict[Any, Any] = {  # torch has no rule for its kernel on CPUs
        aten._scaled_dot_product_flash_attention_for_cpu: forward,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: backward,
    }
    return FlopCounterMode(display=False, custom_mapping=own)
