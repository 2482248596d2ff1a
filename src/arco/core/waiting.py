"""The machine's time for what has no event loop: commands and synchronous clients. Importing it costs nothing.

Everything that serves, folds or is simulated is handed a `core.clock.Clock` instead.
"""

import time


def pause_s(seconds: float) -> None:
    """Stop the calling thread for so long."""
    time.sleep(seconds)


def steady_s() -> float:
    """Seconds of a clock that never steps back."""
    return time.monotonic()
