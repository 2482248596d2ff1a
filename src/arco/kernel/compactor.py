"""The compactor: the sole writer of a chain, committing in groups (architecture.md, "Group commit").

One loop per chain. What queued while the previous commit was in flight is the next batch; each caller gets its own
outcome. One publish is {deltas, commit record} in parallel, then the manifest. Merging deltas into segments happens
beside the loop (kernel.merging) and rides along with a later commit. Correct with any number of compactors on one
chain: the name race decides, the outcome rows de-duplicate, and a loser folds again on the winner's state. Only the
loop touches the state.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, assert_never

import msgspec

from arco.core.errors import OutcomeUnknown, Unavailable
from arco.core.limits import BATCH_BYTES_MAX, BATCH_UNITS_MAX, DELTA_BYTES_MAX, DELTA_BYTES_MERGE
from arco.kernel.ahead import Ahead, Prepared
from arco.kernel.batch import FoldedBatch, Folding, fold_batch
from arco.kernel.chain import Head
from arco.kernel.compose import Draft, FinishedMerge
from arco.kernel.decide import UNSUPPORTED
from arco.kernel.envelope import Unit
from arco.kernel.fold import Outcome
from arco.kernel.layers import LAYER_ROW_BYTES
from arco.kernel.manifest import CommitInputs, Manifest, encode, hash_text
from arco.kernel.merging import Merging, unmerged_bytes
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


_Batch = list[_Waiting]


class Compactor:
    """Folds and publishes the units of one scope's chain."""

    def __init__(self, workshop: Workshop, *, idle_merge_ms: int) -> None:
        self._shop = workshop
        self._merging = Merging(workshop, idle_ms=idle_merge_ms)
        self._ahead: Ahead[_Batch] = Ahead(workshop.clock)
        self._queue: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._state: ChainState | None = None
        self._seen_ms = 0
        self._used = False
        self._loop_task: asyncio.Task[None] | None = None
        self._started = False
        self._stopping = False
        self.epoch = 1
        self.last_published_ms: int | None = None
        self.published = 0
        self.failed = 0

    @property
    def pending_units(self) -> int:
        """Units waiting for a commit."""
        return sum(len(waiting.units) for waiting in (*self._queue, *(self._ahead.preparing or ())))

    @property
    def stopping(self) -> bool:
        """True when nothing more is taken."""
        return self._stopping

    def start(self) -> None:
        """Begin committing. Idempotent."""
        self._started = True
        if self._loop_task is None:
            self._loop_task = asyncio.get_running_loop().create_task(self._run())
            self._loop_task.add_done_callback(self._ended)

    async def submit(self, units: Sequence[Unit], size_bytes: int) -> Compacted:
        """Fold the units in a coming commit. Raises `OutcomeUnknown` when publishing could not be decided."""
        if self._stopping:
            raise OutcomeUnknown("this compactor is stopping; another one will fold the event")
        if self._started:
            self.start()  # a loop that somebody ended is not waited for
        future: asyncio.Future[Compacted] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(tuple(units), size_bytes, future))
        self._wake.set()
        self._ahead.arrived()
        return await future

    async def stop(self) -> None:
        """Finish what is queued, bring the pointers to the head, and end the loop."""
        self._stopping = True
        self._wake.set()
        if self._loop_task is not None:
            # Whoever gives up waiting for the end must not break off a commit in the middle.
            await asyncio.shield(self._loop_task)
        await self._merging.stop(Unavailable("this compactor is stopping"))
        await self._shop.pointers.flush()

    async def settle(self) -> None:
        """Return once every delta there is now is merged, without waiting for the chain to fall idle.

        Raises what keeps the merge from being made, and `Unavailable` when the compactor stops first.
        """
        if self._stopping:
            raise Unavailable("this compactor is stopping")
        if self._started:
            self.start()
        merged = self._merging.ask()
        self._wake.set()
        await merged

    async def _run(self) -> None:
        while True:
            try:
                if not await self._turned():
                    return
            except Exception as error:  # noqa: BLE001  # no mistake in one turn may end the loop, or nobody would commit
                self._state = None
                self._shop.log.warning("compactor_stumbled", error=type(error).__name__, reason=str(error))
                await self._shop.clock.sleep_ms(_STORAGE_BACKOFF_MS)

    async def _turned(self) -> bool:
        """Commit what there is to commit, or rest; False when nothing more will come."""
        batch, prepared = await self._ahead.taken()
        if batch is None and not self._queue:
            if self._stopping:
                return False
            await self._rest()
            return True
        try:
            self._used = True
            await self._ahead.breathe()
            await self._let_others_catch_up()
            batch = batch or self._take()
            await self._serve(batch, prepared)
        except (Exception, asyncio.CancelledError) as error:
            self._give_up(batch or self._take(), _broken_off(error))
            raise
        if self._ahead.preparing is None:
            self._start_merge_if_wanted()
        return True

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Nobody waits for a loop that is gone: whoever comes next begins another one."""
        self._loop_task = None
        error = task.exception() if not task.cancelled() else asyncio.CancelledError()
        if error is None:
            return
        self._give_up([*(self._ahead.preparing or ()), *self._queue], _broken_off(error))
        self._queue.clear()
        self._merging.failed(_broken_off(error))

    async def _serve(self, batch: _Batch, prepared: Prepared[_Batch] | None = None) -> None:
        """Commit a batch; when something is wrong with one caller's units, its neighbours do not suffer."""
        try:
            await self._commit(batch, prepared)
        except StorageUnavailable as error:
            self._give_up(batch, OutcomeUnknown(f"storage does not answer: {error}"))
        except OutcomeUnknown as error:
            self._give_up(batch, error)
        except Exception as error:  # noqa: BLE001  # whatever went wrong, the callers of this batch must hear of it
            if len(batch) == 1:
                self._give_up(batch, error)
                return
            self._state = None
            middle = len(batch) // 2
            await self._serve(batch[:middle])
            await self._serve(batch[middle:])

    async def _rest(self) -> None:
        """Wait for work; a chain that stays idle is left without deltas."""
        self._wake.clear()
        if self._merging.finished and self._merging.due:
            await self._land_merge()
            return
        waker = asyncio.ensure_future(self._wake.wait())
        timer = self._chore_timer()
        waits: set[asyncio.Future[Any]] = {waker}
        waits |= {timer} if timer else set()
        waits |= {self._merging.task} if self._merging.task and not self._merging.finished else set()
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        waker.cancel()
        if timer is None:
            return
        timer.cancel()
        if timer in done and self._merging.task is None:
            await self._begin_chore()

    def _chore_timer(self) -> asyncio.Future[None] | None:
        """When to begin a merge, or to try again to land one, if nothing else happens."""
        merging = self._merging
        if merging.task is None:
            idle = not self._used if self._state is None else not self._state.manifest.deltas
            if idle and not merging.asked:
                return None
        elif not merging.finished:
            return None
        return asyncio.ensure_future(self._shop.clock.sleep_ms(merging.rest_ms()))

    async def _begin_chore(self) -> None:
        try:
            state = await self._current()
            if self._merging.asked:
                # Another compactor may have gone on since we looked, and whoever asks means the deltas there are now.
                await self._follow(state)
                state = await self._current()
        except Exception as error:  # noqa: BLE001  # merging is a chore: it is tried again
            self._merging.failed(error)
            return
        if state.manifest.deltas:
            self._merging.begin(state, everything=True)
        else:
            self._merging.nothing_to_do()

    async def _land_merge(self) -> None:
        """Publish a finished merge although there is nothing else to commit."""
        try:
            state = await self._current()
            merge = self._merging.fitting(state)
            if merge is not None:
                nothing = FoldedBatch((), (), {}, dict(state.manifest.counts), state.manifest.snapshot_version)
                draft = await self._written(state, nothing, (), self._inputs(state), merge=merge)
                await self._attempt(state, draft, merge=merge)
        except Exception as error:  # noqa: BLE001  # merging is a chore: it is tried again
            self._state = None
            self._merging.failed(error)

    def _take(self) -> _Batch:
        batch: _Batch = []
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

    async def _commit(self, batch: _Batch, prepared: Prepared[_Batch] | None) -> None:
        state, folded = await self._persistently(_fold_order(batch), prepared)
        by_unit = {outcome.unit_id: outcome for outcome in folded.outcomes}
        for waiting in batch:
            outcomes = tuple(by_unit[unit.unit_id] for unit in waiting.units)
            if not waiting.future.done():
                waiting.future.set_result(_compacted(state, outcomes, any(folded.fresh)))

    async def _persistently(
        self, units: Sequence[Unit], prepared: Prepared[_Batch] | None
    ) -> tuple[ChainState, FoldedBatch]:
        """Publish, riding out reads that get no answer: nothing has been decided while they fail."""
        for attempt in range(_STORAGE_TRIES):
            try:
                return await self._publish(units, prepared)
            except StorageUnavailable:
                self._state = prepared = None
                await self._shop.clock.sleep_ms(_STORAGE_BACKOFF_MS << attempt)
        return await self._publish(units, None)

    async def _publish(
        self, units: Sequence[Unit], prepared: Prepared[_Batch] | None
    ) -> tuple[ChainState, FoldedBatch]:
        for _ in range(_RACES_MAX):
            state = await self._current()
            if prepared is not None and prepared.fits(state, self._shop.clock.steady_ms()):
                folded, draft, merge = prepared.folded, prepared.draft, None
            else:
                inputs = self._inputs(state)
                folded = await self._folded(state, units, inputs)
                if not any(folded.fresh):
                    return state, folded
                merge = self._merging.fitting(state)
                draft = await self._written(state, folded, units, inputs, merge=merge)
            prepared = None
            if await self._attempt(state, draft, merge=merge):
                assert self._state is not None
                return self._state, folded
        raise OutcomeUnknown("the commit lost every race for the next manifest; try again")

    async def _folded(self, state: ChainState, units: Sequence[Unit], inputs: CommitInputs) -> FoldedBatch:
        return await fold_batch(
            state, units, inputs, Folding(self._shop.domains, self._shop.loader, self._shop.witnesses)
        )

    async def _written(
        self,
        state: ChainState,
        folded: FoldedBatch,
        units: Sequence[Unit],
        inputs: CommitInputs,
        *,
        merge: FinishedMerge | None,
    ) -> Draft:
        """Compose the next manifest and write every object it names."""
        frozen = 0 if merge is not None else self._merging.frozen
        attempt = self._shop.ids.ulid()
        draft = self._shop.composer.draft(state, folded, units, inputs, attempt=attempt, merge=merge, frozen=frozen)
        if not await write_objects(self._shop.store, self._shop.clock, draft.objects):
            raise OutcomeUnknown("storage did not take the commit's objects; nothing was published")
        return draft

    async def _attempt(self, state: ChainState, draft: Draft, *, merge: FinishedMerge | None) -> bool:
        """Publish one attempt: True when it is the new head, False when another writer's is."""
        asked_ms = self._shop.clock.steady_ms()
        publishing = asyncio.ensure_future(self._shop.publisher.publish(draft.manifest, state.head, self._seen_ms))
        if merge is None and not self._merging.finished and not self._merge_wanted(draft.manifest):
            # A merge begins with what a manifest holds, and must not find it rearranged by the next one.
            self._ahead.begin(publishing, self._take_ahead, lambda batch: self._prepare(draft, batch))
        try:
            outcome = await publishing
        finally:
            self._ahead.cease()
        match outcome:
            case Won(head=head):
                self._advance(draft, head, asked_ms)
                if merge is not None:
                    self._merging.landed()
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

    def _take_ahead(self) -> _Batch | None:
        return self._take() if self._queue else None

    async def _prepare(self, parent: Draft, batch: _Batch) -> Prepared[_Batch] | None:
        """Fold a batch onto a manifest that is on its way, and write its objects."""
        head = Head(parent.manifest, hash_text(encode(parent.manifest)), "")
        state = ChainState(head, parent.layers, Loaded(self._shop.loader.cache))
        units, inputs, now_ms = _fold_order(batch), self._inputs(state), self._shop.clock.steady_ms()
        folded = await self._folded(state, units, inputs)
        if not any(folded.fresh):
            return None
        draft = await self._written(state, folded, units, inputs, merge=None)
        return Prepared(batch, folded, draft, head.raw_hash, now_ms)

    def _advance(self, draft: Draft, head: Head, asked_ms: int) -> None:
        cache = self._shop.loader.cache
        for delta, layer in zip(draft.manifest.deltas, draft.layers, strict=True):
            cache.put(delta.delta_id, layer, delta.rows * LAYER_ROW_BYTES)
        self._state = ChainState(head, draft.layers, Loaded(cache))
        self._seen_ms = asked_ms
        self.last_published_ms = self._shop.clock.now_ms()
        self.published += 1
        self._shop.pointers.follow(head)

    async def _current(self) -> ChainState:
        # After a long sleep the collector may have been here: what we knew of the chain is no longer believed, not
        # even what was read just before the sleep.
        while self._state is None or self._shop.clock.steady_ms() - self._seen_ms > self._shop.publisher.knowledge_ms:
            asked_ms = self._shop.clock.steady_ms()
            head = await self._shop.find_or_create()
            self._state = await self._shop.state_of(head)
            self._seen_ms = asked_ms
            # Whoever made it may not have lived, or not have known that it did: the pointers come after every head.
            self._shop.pointers.follow(head)
        return self._state

    async def _follow(self, state: ChainState) -> None:
        asked_ms = self._shop.clock.steady_ms()
        if asked_ms - self._seen_ms > self._shop.publisher.knowledge_ms:
            # Our head may be collected since, and what stands after it another sleeper's: begin from the pointer.
            self._state = None
            return
        head = await self._shop.chain.follow(state.head)
        if head.next_number == state.head.next_number:
            # Our number was taken, and collected since: begin from the pointer.
            head = await self._shop.find_or_create()
        self._state = await self._shop.state_of(head)
        self._seen_ms = asked_ms

    def _inputs(self, state: ChainState) -> CommitInputs:
        self.epoch = max(self.epoch, state.manifest.epoch)
        return CommitInputs(
            now_ms=self._shop.clock.now_ms(),
            commit_ulid=self._shop.commit_ulid(state.manifest.commit_ulid),
            fold_version=self._shop.fold_version,
            epoch=self.epoch,
        )

    def _give_up(self, batch: list[_Waiting], error: Exception) -> None:
        self.failed += 1
        self._state = None
        self._shop.log.warning("commit_failed", error=type(error).__name__, reason=str(error))
        for waiting in batch:
            if not waiting.future.done():
                waiting.future.set_exception(error)

    async def _let_others_catch_up(self) -> None:
        """Writers may not run away from the merge, which is held in memory by everybody, nor from the pointers."""
        task = self._merging.task
        if self._state is not None and task is not None and unmerged_bytes(self._state.manifest) >= DELTA_BYTES_MAX:
            await asyncio.wait({task})
        await self._shop.pointers.room()

    def _start_merge_if_wanted(self) -> None:
        state = self._state
        if state is not None and self._merge_wanted(state.manifest):
            self._merging.begin(state, everything=self._merging.asked)

    def _merge_wanted(self, manifest: Manifest) -> bool:
        if self._merging.task is not None or not self._merging.due:
            return False
        return bool(self._merging.asked and manifest.deltas) or unmerged_bytes(manifest) >= DELTA_BYTES_MERGE


def _broken_off(error: BaseException) -> OutcomeUnknown:
    return OutcomeUnknown(f"committing was broken off ({type(error).__name__}); the event may be folded later")


def _fold_order(batch: _Batch) -> list[Unit]:
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
