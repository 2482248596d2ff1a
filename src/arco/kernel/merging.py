"""The merge that runs beside a commit loop: at most one at a time, landed by a commit that finds it finished.

A finished merge is kept until a manifest that holds it is in the chain, or until the chain has gone on without the
deltas it covered or the trees it was made from. A merge that fails publishes nothing: whoever waits for it hears why,
and it is tried again later and later.
"""

import asyncio
from typing import Final

from arco.kernel.compose import RESIDUE_TIER, FinishedMerge
from arco.kernel.manifest import Manifest
from arco.kernel.state import ChainState
from arco.kernel.workshop import Workshop

_RETRY_MAX_MS: Final = 60_000


def unmerged_bytes(manifest: Manifest) -> int:
    """The delta bytes of a manifest that a merge under load would take."""
    return sum(delta.bytes for delta in manifest.deltas if delta.tier != RESIDUE_TIER)


class Merging:
    """The merge of one chain, and who waits for it."""

    def __init__(self, shop: Workshop, *, idle_ms: int) -> None:
        self._shop = shop
        self._idle_ms = idle_ms
        self._failures = 0
        self._not_before_ms = 0
        self._reading = 0
        self._asking: list[asyncio.Future[None]] = []
        self._served: list[asyncio.Future[None]] = []
        self.task: asyncio.Task[FinishedMerge] | None = None

    @property
    def asked(self) -> bool:
        """True when somebody waits for a merge that has not begun."""
        return bool(self._asking)

    @property
    def frozen(self) -> int:
        """How many of the oldest deltas are being merged and must stay as they are."""
        return self._reading if self.task is not None else 0

    @property
    def finished(self) -> bool:
        """True when there is a merge, good or failed, to be taken up."""
        return self.task is not None and self.task.done()

    def ask(self) -> asyncio.Future[None]:
        """A future that is done when every delta there is now has been merged."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asking.append(future)
        return future

    def rest_ms(self) -> int:
        """How long to wait before the next merge of a chain that has nothing else to do."""
        pause_ms = self._not_before_ms - self._shop.clock.steady_ms()
        return max(pause_ms, 0 if self._asking else self._idle_ms)

    @property
    def due(self) -> bool:
        """False for a while after a failure."""
        return self._shop.clock.steady_ms() >= self._not_before_ms

    def begin(self, state: ChainState, *, everything: bool) -> None:
        """Begin to merge the deltas of a state; `everything` leaves no residue."""
        self._reading = len(state.manifest.deltas)
        if everything:
            self._served, self._asking = [*self._served, *self._asking], []
        self.task = asyncio.get_running_loop().create_task(self._shop.merge(state, everything=everything))

    def fitting(self, state: ChainState) -> FinishedMerge | None:
        """The finished merge if it can land on this state; one that cannot any more, or failed, is forgotten."""
        if self.task is None or not self.task.done():
            return None
        error = None if self.task.cancelled() else self.task.exception()
        if error is not None:
            self.task = None
            self.failed(error)
            return None
        merge = self.task.result()
        if merge.fits(state):
            return merge
        self.task = None
        self._asking, self._served = [*self._served, *self._asking], []
        return None

    def landed(self) -> None:
        """The finished merge is in the chain."""
        self.task = None
        self._failures = 0
        _answer(self._served, None)

    def nothing_to_do(self) -> None:
        """The chain has no deltas."""
        _answer(self._asking, None)

    def failed(self, error: BaseException) -> None:
        """Merging, or landing it, failed: whoever waits hears of it, and the next try comes later."""
        self._shop.log.warning("merge_failed", error=type(error).__name__, reason=str(error))
        pause_ms = min(self._idle_ms << self._failures, _RETRY_MAX_MS)
        self._failures = min(self._failures + 1, 16)
        self._not_before_ms = self._shop.clock.steady_ms() + pause_ms
        _answer(self._served, error)
        _answer(self._asking, error)

    async def stop(self, reason: Exception) -> None:
        """End what runs; whoever still waits is told the reason."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
            self.task = None
        _answer(self._served, reason)
        _answer(self._asking, reason)


def _answer(waiting: list[asyncio.Future[None]], error: BaseException | None) -> None:
    for future in waiting:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
    waiting.clear()
