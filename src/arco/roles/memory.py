"""How a server process takes memory, so that what it frees can be used again and given back.

Arrow's own allocator keeps a heap of its own for each of its threads, and glibc one for nearly each of ours: with
twenty threads, most of them seldom busy, a server holds tens of megabytes that nobody uses.
"""

import contextlib
import ctypes
import os
import sys
from typing import Final

_ARENA_MAX: Final = -8
"""`M_ARENA_MAX` of malloc.h."""

_ARENAS: Final = 2
"""Roughly as many threads as ever allocate at the same time beside the event loop."""


def settle_memory() -> None:
    """Choose the allocators of this process, before Arrow is imported; what the environment says has precedence."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if sys.platform == "linux" and "MALLOC_ARENA_MAX" not in os.environ:
        with contextlib.suppress(OSError, AttributeError):  # another C library, which has its own ways
            ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS)
