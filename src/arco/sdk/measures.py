"""What an attempt cost the process it ran in."""

import sys
import time
from typing import Any

from arco.core.clock import Clock


class Meter:
    """Processor time, memory and bytes from its making on."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started_ms = clock.steady_ms()
        self._cpu_ns = time.process_time_ns()

    def read(self, bytes_read: int, bytes_written: int) -> dict[str, Any]:
        """`cpuTimeMs durationMs ioReadBytes ioWriteBytes`, and `peakMemoryBytes` where the system tells it."""
        found = {
            "cpuTimeMs": (time.process_time_ns() - self._cpu_ns) // 1_000_000,
            "durationMs": max(0, self._clock.steady_ms() - self._started_ms),
            "ioReadBytes": bytes_read,
            "ioWriteBytes": bytes_written,
        }
        if (peak := _peak_bytes()) is not None:
            found["peakMemoryBytes"] = peak
        return found


def _peak_bytes() -> int | None:
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415  # there is none on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
