"""What an attempt cost the process it ran in."""

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from arco.core.clock import Clock

_STATUS: Final = Path("/proc/self/status")
_CLEAR: Final = Path("/proc/self/clear_refs")


class Meter:
    """Processor time, memory and bytes from its making on."""

    def __init__(self, clock: Clock) -> None:
        _forget_peak()
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


def _forget_peak() -> None:
    """Begin anew: a process runs one task after another, and each has a peak of its own."""
    with suppress(OSError):
        _CLEAR.write_text("5", "ascii")


def _peak_bytes() -> int | None:
    if sys.platform == "win32":
        return None
    with suppress(OSError, ValueError):
        for line in _STATUS.read_text("ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource  # noqa: PLC0415  # there is none on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
