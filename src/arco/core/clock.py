"""Time as a parameter. Only `SystemClock` touches the machine; everything else is handed a `Clock`."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for people and deadlines, a steady time for intervals, and sleeping."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC. May step backwards."""
        ...

    def steady_ms(self) -> int:
        """Milliseconds of a clock that never steps back and that counts suspend."""
        ...

    async def sleep_ms(self, duration_ms: int) -> None:
        """Give way for at least `duration_ms` milliseconds."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def steady_ms(self) -> int:
        # CLOCK_BOOTTIME goes on while the machine sleeps; a writer that slept past the
        # collector must notice (architecture.md, "A number must never look free again").
        if hasattr(time, "CLOCK_BOOTTIME"):
            return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
        return time.monotonic_ns() // 1_000_000

    async def sleep_ms(self, duration_ms: int) -> None:
        await asyncio.sleep(duration_ms / 1000)
