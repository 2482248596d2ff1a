"""The compactor: the sole writer of a chain, committing in groups (architecture.md, "Group commit").

One loop per chain. What queued while the previous commit was in flight is the next batch; each caller gets its own
outcome. One publish is {deltas, commit record} in parallel, then the manifest. Merging deltas into segments happens
beside the loop and rides along with a later commit. Correct with any number of compactors on one chain: the name race
decides, the outcome rows de-duplicate, and a loser folds again on the winner's state.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, assert_never

import msgspec

from arco.core.errors import OutcomeUnknown
from arco.core.limits import BATCH_BYTES_MAX, BATCH_UNITS_MAX, DELTA_BYTES_MAX, DELTA_BYTES_MERGE
from arco.kernel.batch import FoldedBatch, Folding, fold_batch
from arco.kernel.chain import Head
from arco.kernel.compose import RESIDUE_TIER, Draft, FinishedMerge
from arco.kernel.decide import UNSUPPORTED
from arco.kernel.envelope import Unit
from arco.kernel.fold import Outcome
from arco.kernel.layers import LAYER_ROW_BYTES
from arco.kernel.manifest import CommitInputs
from arco.kernel.publish import Outlived, Superseded, Undecided, Won
from arco.kernel.state import ChainState, Loaded
from arco.kernel.workshop import Workshop, write_objects
from arco.storage.port import StorageUnavailable

_RACES_MAX: Final = 64
_STORAGE_TRIES: Final = 5
_STORAGE_BACKOFF_MS: Final = 100


class Compacted(msgspec.Struct, frozen=True):
    """What a caller of the compactor learns: its units' outcomes and the head that shows them."""

    outcomes: tuple[Outcome, ...]
    manifest_id: str
    manifest_version: str
    commit_ulid: str
    snapshot_version: int
    published: bool


class _Waiting(msgspec.Struct):
    units: tuple[Unit, ...]
    size_bytes: int
    future: asyncio.Future[Compacted]


class Compactor:
    """Folds and publishes the units of one scope's chain."""

    def __init__(self, workshop: Workshop, *, idle_merge_ms: int) -> None:
        self._shop = workshop
        self._idle_merge_ms = idle_merge_ms
        self._queue: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._state: ChainState | None = None
        self._seen_ms = 0
        self._merging: asyncio.Task[FinishedMerge] | None = None
        self._merging_ids: tuple[str, ...] = ()
        self._loop_task: asyncio.Task[None] | None = None
        self._clean_waiters: list[asyncio.Future[None]] = []
        self._stopping = False
        self.epoch = 1
        self.last_published_ms: int | None = None
        self.published = 0
        self.failed = 0

    @property
    def pending_units(self) -> int:
        """Units waiting for a commit."""
        return sum(len(waiting.units) for waiting in self._queue)

    def start(self) -> None:
        """Begin committing. Idempotent."""
        if self._loop_task is None:
            self._loop_task = asyncio.get_running_loop().create_task(self._run())

    async def submit(self, units: Sequence[Unit], size_bytes: int) -> Compacted:
        """Fold the units in a coming commit. Raises `OutcomeUnknown` when publishing could not be decided."""
        future: asyncio.Future[Compacted] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(tuple(units), size_bytes, future))
        self._wake.set()
        return await future

    async def stop(self) -> None:
        """Finish what is queued, bring the pointers to the head, and end the loop."""
        self._stopping = True
        self._wake.set()
        if self._loop_task is not None:
            await self._loop_task
        if self._merging is not None:
            self._merging.cancel()
            await asyncio.gather(self._merging, return_exceptions=True)
        await self._shop.pointers.flush()

    async def settle(self) -> None:
        """Return once every delta is merged into segments, without waiting for the chain to fall idle."""
        await self._current()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._clean_waiters.append(future)
        self._wake.set()
        await future

    async def _run(self) -> None:
        while True:
            if not self._queue:
                if self._stopping:
                    return
                await self._rest()
                continue
            await self._let_merge_catch_up()
            batch = self._take()
            try:
                await self._commit(batch)
            except StorageUnavailable as error:
                self._give_up(batch, OutcomeUnknown(f"storage does not answer: {error}"))
            except Exception as error:  # noqa: BLE001  # whatever went wrong, the callers of this batch must hear of it
                self._give_up(batch, error)
            self._start_merge_if_large()

    async def _rest(self) -> None:
        """Wait for work; a chain that stays idle is left without deltas."""
        self._wake.clear()
        if self._merging is not None and self._merging.done():
            await self._land_merge()
            return
        waker = asyncio.ensure_future(self._wake.wait())
        timer = self._merge_timer()
        waits: set[asyncio.Future[Any]] = {waker}
        waits |= {timer} if timer else set()
        waits |= {self._merging} if self._merging else set()
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        waker.cancel()
        if timer is None:
            return
        timer.cancel()
        if timer in done and self._state is not None and self._merging is None:
            self._begin_merge(self._state, everything=True)

    def _merge_timer(self) -> asyncio.Future[None] | None:
        if self._merging is not None:
            return None
        if self._state is not None and self._state.manifest.deltas:
            rest_ms = 0 if self._clean_waiters else self._idle_merge_ms
            return asyncio.ensure_future(self._shop.clock.sleep_ms(rest_ms))
        for future in self._clean_waiters:
            if not future.done():
                future.set_result(None)
        self._clean_waiters.clear()
        return None

    async def _land_merge(self) -> None:
        """Publish a finished merge although there is nothing else to commit."""
        try:
            state = await self._current()
            manifest = state.manifest
            nothing = FoldedBatch((), (), {}, dict(manifest.counts), manifest.snapshot_version)
            await self._attempt(state, nothing, (), self._inputs(state))
        except Exception as error:  # noqa: BLE001  # merging is a chore: it is tried again
            self._forget(error)
            await self._shop.clock.sleep_ms(self._idle_merge_ms)

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        units = size = 0
        while self._queue:
            waiting = self._queue[0]
            full = units + len(waiting.units) > BATCH_UNITS_MAX or size + waiting.size_bytes > BATCH_BYTES_MAX
            if batch and full:
                break
            batch.append(self._queue.popleft())
            units += len(waiting.units)
            size += waiting.size_bytes
        return batch

    async def _commit(self, batch: list[_Waiting]) -> None:
        ordered = _fold_order(batch)
        state, folded = await self._persistently(ordered)
        by_unit = {outcome.unit_id: outcome for outcome in folded.outcomes}
        for waiting in batch:
            outcomes = tuple(by_unit[unit.unit_id] for unit in waiting.units)
            if not waiting.future.done():
                waiting.future.set_result(_compacted(state, outcomes, any(folded.fresh)))

    async def _persistently(self, units: Sequence[Unit]) -> tuple[ChainState, FoldedBatch]:
        """Publish, riding out reads that get no answer: nothing has been decided while they fail."""
        for attempt in range(_STORAGE_TRIES):
            try:
                return await self._publish(units)
            except StorageUnavailable:
                self._state = None
                await self._shop.clock.sleep_ms(_STORAGE_BACKOFF_MS << attempt)
        return await self._publish(units)

    async def _publish(self, units: Sequence[Unit]) -> tuple[ChainState, FoldedBatch]:
        for _ in range(_RACES_MAX):
            state = await self._current()
            inputs = self._inputs(state)
            folding = Folding(self._shop.domains, self._shop.loader)
            folded = await fold_batch(state, units, inputs, folding)
            if not any(folded.fresh):
                return state, folded
            if await self._attempt(state, folded, units, inputs):
                assert self._state is not None
                return self._state, folded
        raise OutcomeUnknown("the commit lost every race for the next manifest; try again")

    async def _attempt(
        self, state: ChainState, folded: FoldedBatch, units: Sequence[Unit], inputs: CommitInputs
    ) -> bool:
        """Publish one attempt: True when it is the new head, False when another writer's is."""
        merge = self._finished_merge(state)
        frozen = len(self._merging_ids) if self._merging is not None else 0
        attempt = self._shop.ids.ulid()
        draft = self._shop.composer.draft(state, folded, units, inputs, attempt=attempt, merge=merge, frozen=frozen)
        if not await write_objects(self._shop.store, self._shop.clock, draft.objects):
            raise OutcomeUnknown("storage did not take the commit's objects; nothing was published")
        outcome = await self._shop.publisher.publish(draft.manifest, state.head, self._seen_ms)
        match outcome:
            case Won(head=head):
                await self._advance(draft, head)
                return True
            case Superseded():
                await self._follow(state)
                return False
            case Outlived():
                self._state = None
                return False
            case Undecided(cause=cause):
                self._state = None
                raise OutcomeUnknown(f"it is not known whether the commit was published: {cause}")
            case _:
                assert_never(outcome)

    async def _advance(self, draft: Draft, head: Head) -> None:
        for item in draft.objects:
            if item.decoded is not None:
                self._shop.loader.cache.put(item.key, item.decoded, item.decoded_bytes)
        for delta, layer in zip(draft.manifest.deltas, draft.layers, strict=True):
            if delta.path is None:
                self._shop.loader.cache.put(delta.delta_id, layer, delta.rows * LAYER_ROW_BYTES)
        loaded = Loaded(self._shop.loader.cache)
        self._state = ChainState(head, draft.layers, loaded)
        self._seen_ms = self._shop.clock.steady_ms()
        self.last_published_ms = self._shop.clock.now_ms()
        self.published += 1
        await self._shop.pointers.follow(self._state.head)

    async def _current(self) -> ChainState:
        idle_ms = self._shop.clock.steady_ms() - self._seen_ms
        # After a long sleep the collector may have been here: what we knew of the chain is no longer believed.
        if self._state is None or idle_ms > self._shop.publisher.knowledge_ms:
            head = await self._shop.find_or_create()
            self._state = await self._shop.state_of(head)
            self._seen_ms = self._shop.clock.steady_ms()
        return self._state

    async def _follow(self, state: ChainState) -> None:
        head = await self._shop.chain.follow(state.head)
        if head.next_number == state.head.next_number:
            # Our number was taken, and collected since: begin from the pointer.
            head = await self._shop.find_or_create()
        self._state = await self._shop.state_of(head)
        self._seen_ms = self._shop.clock.steady_ms()

    def _inputs(self, state: ChainState) -> CommitInputs:
        self.epoch = max(self.epoch, state.manifest.epoch)
        return CommitInputs(
            now_ms=self._shop.clock.now_ms(),
            commit_ulid=self._shop.commit_ulid(state.manifest.commit_ulid),
            fold_version=self._shop.fold_version,
            epoch=self.epoch,
        )

    def _give_up(self, batch: list[_Waiting], error: Exception) -> None:
        self._forget(error)
        for waiting in batch:
            if not waiting.future.done():
                waiting.future.set_exception(error)

    def _forget(self, error: Exception) -> None:
        self.failed += 1
        self._state = None
        self._merging = None
        self._shop.log.warning("commit_failed", error=type(error).__name__, reason=str(error))

    async def _let_merge_catch_up(self) -> None:
        """Writers may not run away from merging: what is not merged is held in memory by everybody."""
        state = self._state
        if state is None or self._merging is None or self._merging.done():
            return
        if sum(delta.bytes for delta in state.manifest.deltas if delta.tier != RESIDUE_TIER) >= DELTA_BYTES_MAX:
            await asyncio.wait({self._merging})

    def _start_merge_if_large(self) -> None:
        state = self._state
        if state is None or self._merging is not None:
            return
        if sum(delta.bytes for delta in state.manifest.deltas if delta.tier != RESIDUE_TIER) >= DELTA_BYTES_MERGE:
            self._begin_merge(state, everything=False)

    def _begin_merge(self, state: ChainState, *, everything: bool) -> None:
        self._merging_ids = tuple(delta.delta_id for delta in state.manifest.deltas)
        self._merging = asyncio.get_running_loop().create_task(self._shop.merge(state, everything=everything))

    def _finished_merge(self, state: ChainState) -> FinishedMerge | None:
        if self._merging is None or not self._merging.done():
            return None
        task, self._merging = self._merging, None
        if task.cancelled() or task.exception() is not None:
            self._shop.log.warning("merge_failed", error=str(task.exception()) if not task.cancelled() else "")
            return None
        merge = task.result()
        present = tuple(delta.delta_id for delta in state.manifest.deltas[: len(merge.covers)])
        return merge if present == merge.covers else None


def _fold_order(batch: Sequence[_Waiting]) -> list[Unit]:
    """Within a batch, units fold in event-id order; a unit handed in twice folds once."""
    units = {unit.unit_id: unit for waiting in batch for unit in waiting.units}
    return [units[unit_id] for unit_id in sorted(units)]


def _compacted(state: ChainState, outcomes: tuple[Outcome, ...], published: bool) -> Compacted:
    manifest = state.manifest
    seen = tuple(
        outcome if outcome.status != UNSUPPORTED else msgspec.structs.replace(outcome, manifest_id=manifest.manifest_id)
        for outcome in outcomes
    )
    return Compacted(
        outcomes=seen,
        manifest_id=manifest.manifest_id,
        manifest_version=state.head.version,
        commit_ulid=manifest.commit_ulid or "",
        snapshot_version=manifest.snapshot_version,
        published=published,
    )
