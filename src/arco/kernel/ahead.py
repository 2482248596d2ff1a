"""Looking ahead: the next batch is folded and its objects are written while a manifest is still on its way.

Only where storage is slow, and only a wager: the prepared commit names the manifest under way as its parent by hash,
so it can land nowhere else. When that manifest does not become the head, or anything goes wrong here, the units are
committed next as if nobody had looked ahead; the objects written are orphans like those of any lost attempt. Source:
architecture.md, "Group commit".
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

import msgspec

from arco.core.clock import Clock
from arco.kernel.batch import FoldedBatch
from arco.kernel.compose import Draft
from arco.kernel.state import ChainState

AHEAD_AFTER_MS: Final = 4
"""A manifest that lands sooner (local disks) is not worth a second batch: larger batches cost less."""

AHEAD_AGE_MS_MAX: Final = 5_000
"""An older one is folded again: units' deadlines were judged by the time it was folded at."""

AHEAD_RUN_MAX: Final = 64
"""After so many prepared commits in a row comes a breath, or another compactor of the chain would lose every race."""

BREATH_MS_MAX: Final = 1_000
"""The longest breath, however slow the last manifest was."""

B = TypeVar("B")


class Prepared(msgspec.Struct, Generic[B], frozen=True):
    """A commit whose objects are written: it lacks only its manifest, and the parent's landing."""

    batch: B
    folded: FoldedBatch
    draft: Draft
    parent_hash: str
    prepared_ms: int

    def fits(self, state: ChainState, now_ms: int) -> bool:
        """True when the head is the very manifest this was prepared on, not long ago."""
        return state.head.raw_hash == self.parent_hash and now_ms - self.prepared_ms <= AHEAD_AGE_MS_MAX


class Ahead(Generic[B]):
    """At most one commit that is being prepared. `preparing` is what was taken from the queue for it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[Prepared[B] | None] | None = None
        self._run = 0
        self._landing_ms = 0
        self.preparing: B | None = None

    def begin(self, under_way: "asyncio.Future[Any]", take: Callable[[], B | None], prepare: "Prepare[B]") -> None:
        """Prepare what `take` gives, if the manifest `under_way` takes its time and nothing is prepared yet."""
        if self._task is not None or self._run >= AHEAD_RUN_MAX:
            return
        self._task = asyncio.get_running_loop().create_task(self._prepare(under_way, take, prepare))

    async def _prepare(
        self, under_way: "asyncio.Future[Any]", take: Callable[[], B | None], prepare: "Prepare[B]"
    ) -> Prepared[B] | None:
        began_ms = self._clock.steady_ms()
        await self._clock.sleep_ms(AHEAD_AFTER_MS)
        under_way.add_done_callback(lambda _done: self._landed(began_ms))
        batch = None
        while not under_way.done() and batch is None:
            batch = take()
            if batch is None:
                self._arrived.clear()
                # Ends by `cease` at the latest, when the manifest has landed.
                await self._arrived.wait()
        if batch is None:
            return None
        self.preparing = batch
        try:
            return await prepare(batch)
        except Exception:  # noqa: BLE001  # the batch is committed the ordinary way, which tells what is wrong with it
            return None

    def arrived(self) -> None:
        """There is something in the queue."""
        self._arrived.set()

    def cease(self) -> None:
        """The manifest has landed or failed: what was not begun will not be."""
        if self._task is not None and self.preparing is None:
            self._task.cancel()
            self._task = None

    def _landed(self, began_ms: int) -> None:
        self._landing_ms = self._clock.steady_ms() - began_ms

    async def breathe(self) -> None:
        """After a long run, leave room for a compactor that has to read, fold and write before it can try."""
        if self._run >= AHEAD_RUN_MAX:
            self._run = 0
            await self._clock.sleep_ms(min(4 * self._landing_ms, BREATH_MS_MAX))

    async def taken(self) -> tuple[B | None, Prepared[B] | None]:
        """What was taken from the queue, and the commit prepared of it if that went well; once."""
        if self._task is None:
            self._run = self._run if self._run >= AHEAD_RUN_MAX else 0
            return None, None
        try:
            prepared = await self._task
        except Exception:  # noqa: BLE001  # what failed ahead is tried again in its turn
            prepared = None
        self._run += 1
        batch, self._task, self.preparing = self.preparing, None, None
        return batch, prepared


Prepare = Callable[[B], Awaitable[Prepared[B] | None]]
"""Folds a batch and writes its objects; None when there is nothing to publish."""
