"""Where a process stands between its start and its end (operations.md 6)."""

import asyncio


class Lifecycle:
    """Flips once, from serving to draining: in-flight work runs to its answer, new mutations are refused."""

    def __init__(self) -> None:
        self.draining = False
        self.in_flight = 0
        self.drained = asyncio.Event()
        """Set when draining begins: for answers that would never end by themselves."""

    def drain(self) -> None:
        """Stop taking new mutations and tell balancers so."""
        self.draining = True
        self.drained.set()
