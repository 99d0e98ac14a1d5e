"""Engine: where work on shards runs. This machine's cores now; other engines keep the same two promises:
results come in the order of the items, and memory is bounded by what one item needs per core."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import islice
from typing import Protocol, TypeVar

from isogloss.core.errors import PlaceError

A = TypeVar("A")
B = TypeVar("B")


class Engine(Protocol):
    """Runs a function over items, each of which reads and writes files."""

    def map(self, function: Callable[[A], B], items: Sequence[A]) -> Iterator[B]: ...


class Local:
    """This machine's cores: separate processes when there is more than one item and more than one core."""

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or usable_cores()

    def map(self, function: Callable[[A], B], items: Sequence[A]) -> Iterator[B]:
        """Yield `function(item)` in the order of `items`; an error of one item is raised here, and ends the others."""
        workers = min(self.workers, len(items))
        if workers <= 1:
            yield from map(function, items)
            return
        from joblib.externals.loky import get_reusable_executor
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        executor = get_reusable_executor(
            max_workers=workers, timeout=60, initializer=_quiet_worker, initargs=(os.getpid(),)
        )
        ahead = iter(items)
        # a few items ahead of the workers, so that a million shards do not wait in memory
        waiting = deque(executor.submit(function, item) for item in islice(ahead, workers * 2))
        try:
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(executor.submit(function, item) for item in islice(ahead, 1))
        except TerminatedWorkerError as error:
            executor.shutdown(wait=False, kill_workers=True)
            raise PlaceError(
                "a worker process was ended from outside, most likely for want of memory; "
                "lower data.shard_bytes or close other programs, and repeat the command: finished shards are kept"
            ) from error
        except BaseException:
            executor.shutdown(wait=False, kill_workers=True)
            raise


def usable_cores() -> int:
    """Cores this process may use; containers and `taskset` count."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def give_back() -> None:
    """Give freed memory back to the system: glibc keeps it, and processes that wait for each other would all hold their peak."""
    if (trim := _trim()) is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    """glibc's `malloc_trim`, where there is one."""
    import ctypes

    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
    return found


def _quiet_worker(parent: int) -> None:
    """One thread a worker, deaf to Ctrl-C (the parent decides), and gone when the parent is."""
    import signal
    import threading
    import time

    os.environ["POLARS_MAX_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
