"""Where heavy pure computation runs: on this thread, or on a pool that leaves the event loop free.

Injected, so that the simulation runs everything inline and production does not stall requests while Parquet is
encoded. What is offloaded must be pure: no shared mutable state, no event loop.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

T = TypeVar("T")


class Offload(Protocol):
    """Runs a pure function somewhere and returns its result."""

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work()`; raises what it raises."""
        ...


class Inline:
    """Runs the work at once, on the caller's thread."""

    async def run(self, work: Callable[[], T]) -> T:
        return work()


class Threads:
    """Runs the work on a small pool of threads; pyarrow and zstd release the GIL there."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="arco-offload")

    async def run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Let running work finish in the background and accept no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
