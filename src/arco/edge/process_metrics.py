"""What a process uses of its machine, under the names every Prometheus dashboard knows (operations.md 4).

Read from `/proc` where there is one, when metrics are asked for; elsewhere the gauges are absent.
"""

import os
from pathlib import Path
from typing import Final

from arco.core.metrics import Registry

_STAT: Final = Path("/proc/self/stat")
_DESCRIPTORS: Final = Path("/proc/self/fd")
_USER_TICKS, _SYSTEM_TICKS, _THREADS, _RESIDENT_PAGES = 11, 12, 17, 21


def observe_process(registry: Registry) -> None:
    """Add `process_*` gauges to the registry, once however often it is called."""
    if not _STAT.exists() or registry.has("process_cpu_seconds_total"):
        return
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    cpu = registry.gauge("process_cpu_seconds_total", "CPU time used, in seconds").series()
    resident = registry.gauge("process_resident_memory_bytes", "Memory in use, in bytes").series()
    threads = registry.gauge("process_threads", "Threads").series()
    descriptors = registry.gauge("process_open_fds", "Open file descriptors").series()

    def refresh() -> None:
        # The second field is the program's name in brackets and may hold anything; numbers follow the last bracket.
        fields = _STAT.read_text().rpartition(")")[2].split()
        cpu.set((int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])) / ticks)
        resident.set(int(fields[_RESIDENT_PAGES]) * page)
        threads.set(int(fields[_THREADS]))
        descriptors.set(len(os.listdir(_DESCRIPTORS)))

    registry.before_render(refresh)
