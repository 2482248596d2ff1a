"""Repair: what is broken is isolated, replaced by what replay gives, or declared lost, never guessed.

- A manifest of the chain that is gone or unreadable: its successor knows its hash, so the chain is followed past it.
- An unreadable manifest at the end of the chain is replaced by one that changes nothing, and the units of its commit
  records are folded again.
- A newest manifest whose parent is unreadable gets a successor that changes nothing, so that the chain can be followed.
- A segment or page that is gone or not what its hash says: the table is built again from replay, if the checkpoint
  can still be read.

Every step is safe to break off and to repeat. Source: catalog.md 3.9.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from arco.core import paths
from arco.core.errors import CorruptData
from arco.core.paths import Key
from arco.kernel.antientropy import Submit
from arco.kernel.batch import FoldedBatch
from arco.kernel.chain import Head
from arco.kernel.compose import FinishedMerge
from arco.kernel.envelope import Unit
from arco.kernel.manifest import CommitInputs, TableTree, decode_commit_record, encode
from arco.kernel.merge import TreeMerger, edits_of
from arco.kernel.publish import Outlived, Superseded, Undecided, Won
from arco.kernel.reconcile import Report
from arco.kernel.retention.record import RecordKeeper, RecordRaced
from arco.kernel.verify import Verifier
from arco.kernel.workshop import Workshop, write_objects
from arco.storage.port import Absent, Lost, Matches, ObjectInfo, StorageUnavailable, Stored, Unsure

_RACES_MAX: Final = 8


class Action(msgspec.Struct, frozen=True):
    """One thing repair did, or could not do."""

    path: str
    done: bool
    description: str


class Repairer:
    """Repairs the chain of one scope."""

    def __init__(self, shop: Workshop, submit: Submit, *, alone: bool) -> None:
        """`alone` says that no compactor serves the chain: only then are manifests replaced.

        One that knows the manifest from before it became unreadable would go on from what nobody else can read.
        """
        self._alone = alone
        self._shop = shop
        self._chain = shop.chain
        self._submit = submit
        self._keeper = RecordKeeper(shop.store, shop.chain.spec.name)

    async def run(self, report: Report) -> list[Action]:
        """Repair what the report calls repairable. Raises `StorageUnavailable`, `OutcomeUnknown`."""
        actions: list[Action] = []
        kinds = {issue.issue_type for issue in report.issues if issue.repairable}
        if "missing_manifest" in kinds:
            actions += await self._end_of_chain()
            actions += await self._breaks()
        if "missing_snapshot" in kinds:
            wanted = [issue.path for issue in report.issues if issue.issue_type == "missing_snapshot"]
            actions += await self._tables(sorted({path.split("/")[2] for path in wanted if path.count("/") > 2}))
        return actions

    # --- manifests ----------------------------------------------------------------------------------------------------

    async def _listed(self) -> dict[int, ObjectInfo]:
        prefix, after = f"manifests/{self._chain.spec.name}/", ""
        found: dict[int, ObjectInfo] = {}
        while listed := await self._shop.store.list_page(prefix, after=after):
            found.update({number: info for info in listed if (number := paths.number_in(info.key)) is not None})
            after = listed[-1].key
        return found

    async def _readable(self, number: int) -> Head | None:
        try:
            return await self._chain.read(number)
        except CorruptData:
            return None

    async def _end_of_chain(self) -> list[Action]:
        """The newest manifests can be read, and so can the parent of the newest."""
        actions: list[Action] = []
        seen_ms = self._shop.clock.steady_ms()
        numbers = sorted(await self._listed(), reverse=True)
        broken: list[int] = []
        top: Head | None = None
        for number in numbers:
            top = await self._readable(number)
            if top is not None:
                break
            broken.append(number)
        if broken and not self._alone:
            sentence = "the newest manifest cannot be read: stop the compactor and run `arco repair --apply`"
            return [Action(self._chain.key(number), False, sentence) for number in sorted(broken)]
        for number in sorted(broken):
            actions.append(await self._stand_in(number))
            actions += await self._fold_again(number)
        if top is not None and not broken and await self._parent_unreadable(top):
            actions.append(await self._continue(top, {}, seen_ms))
        return actions

    async def _parent_unreadable(self, top: Head) -> bool:
        previous = paths.number_in(top.manifest.previous_manifest_path or "")
        return previous is not None and await self._readable(previous) is None

    async def _stand_in(self, number: int) -> Action:
        """Put a manifest that changes nothing in the place of an unreadable one; its bytes are kept.

        Not a void one: a pointer may name this number, and what a pointer names is believed.
        """
        key = self._chain.key(number)
        found = await self._shop.store.get(key)
        parent = await self._readable(number - 1)
        if found is None or parent is None:
            return Action(key, False, "it cannot be told what it continued; restore from a backup")
        await self._shop.store.put(
            paths.quarantined_manifest(self._chain.spec.name, key.rsplit("/", 1)[1]), found.body, when=Absent()
        )
        manifest = msgspec.structs.replace(
            parent.manifest,
            manifest_id=f"{number:020d}",
            attempt=f"repair-{self._shop.ids.ulid()}",
            previous_manifest_path=str(self._chain.key(parent.number)),
            parent_hash=parent.raw_hash,
            commit=None,
        )
        match await self._shop.store.put(key, encode(manifest), when=Matches(found.version)):
            case Stored():
                return Action(key, True, "the unreadable newest manifest was replaced by one that changes nothing")
            case Lost() | Unsure():
                return Action(key, False, "somebody else changed it; reconcile again")

    async def _fold_again(self, number: int) -> list[Action]:
        """Hand in the units of the commit records of a manifest that was replaced: outcomes de-duplicate."""
        prefix = f"commits/{self._chain.spec.name}/{number:020d}-"
        actions: list[Action] = []
        for info in await self._shop.store.list_page(prefix):
            found = await self._shop.store.get(info.key)
            if found is None:
                continue
            try:
                record = decode_commit_record(found.body)
            except CorruptData as error:
                actions.append(Action(info.key, False, error.message))
                continue
            units = [Unit(one.events) for one in record.units]
            await self._submit(units, len(found.body))
            actions.append(Action(info.key, True, f"{len(units)} units were handed in again"))
        return actions

    async def _breaks(self) -> list[Action]:
        """Past an unreadable manifest that is not the newest, the chain is followed by the hash its successor names."""
        held = await self._keeper.read()
        listed = await self._listed()
        newest = max(listed, default=0)
        lost: dict[str, str] = {}
        for number in range(held.record.floor, newest):
            if number in listed and await self._readable(number) is not None:
                continue
            named = await self._named_by_successor(number, newest)
            if named is not None:
                lost[str(number)] = named
        if lost.items() <= held.record.lost.items():
            return []
        try:
            await self._keeper.swap(held, msgspec.structs.replace(held.record, lost={**held.record.lost, **lost}))
        except RecordRaced:
            sentence = "somebody else changed the retention record; reconcile again"
            return [Action(self._chain.key(int(number)), False, sentence) for number in lost]
        sentence = "it cannot be read; the chain is followed past it, and the version is given up"
        return [Action(self._chain.key(int(number)), True, sentence) for number in lost]

    async def _named_by_successor(self, number: int, newest: int) -> str | None:
        """The hash by which the next readable manifest knows this one; None when it does not name it."""
        for later in range(number + 1, min(number + 64, newest) + 1):
            head = await self._readable(later)
            if head is not None:
                named = head.manifest.previous_manifest_path == self._chain.key(number)
                return head.manifest.parent_hash if named else None
        return None

    # --- tables -------------------------------------------------------------------------------------------------------

    async def _tables(self, tables: Sequence[str]) -> list[Action]:
        """Build tables again from replay, on top of the newest manifest."""
        wanted = [name for name in tables if name in self._shop.specs]
        if not wanted:
            return []
        for _ in range(_RACES_MAX):
            seen_ms = self._shop.clock.steady_ms()
            head = await self._chain.find()
            assert head is not None
            verifier = Verifier(self._shop, lambda _done, _of: None)
            try:
                replayed = await verifier.replayed(head)
            except CorruptData as error:
                sentence = f"it cannot be built again from the log: {error.message}; restore from a backup"
                return [Action(name, False, sentence) for name in wanted]
            trees = {name: await self._built(head, name, replayed.rows.get(name, {})) for name in wanted}
            done = await self._continue(head, trees, seen_ms)
            if done.done:
                return [Action(name, True, f"the table was built again; {done.description}") for name in wanted]
        return [Action(name, False, "the chain moves on too fast; stop the writers and try again") for name in wanted]

    async def _built(self, head: Head, table: str, rows: "dict[tuple[str | int, ...], object]") -> TableTree:
        attempt, made = self._shop.ids.ulid(), 0

        def name(_table: str, kind: str) -> Key:
            nonlocal made
            made += 1
            build = paths.segment if kind == "segment" else paths.page
            return build(self._chain.spec.name, table, head.number, f"{attempt}-{made:04d}")

        merger = TreeMerger(
            self._shop.loader,
            name=name,
            offload=self._shop.offload,
            write=self._shop.write_merged,
            codec=self._shop.loader.codec,
        )
        tree = await merger.merge(self._shop.specs[table], TableTree(), edits_of(rows))
        await merger.flush()
        return tree

    async def _continue(self, head: Head, trees: dict[str, TableTree], seen_ms: int) -> Action:
        """Publish a manifest that changes nothing but the given trees, after a head that stood at `seen_ms`."""
        state = await self._shop.state_of(head)
        manifest = state.manifest
        nothing = FoldedBatch((), (), {}, dict(manifest.counts), manifest.snapshot_version)
        inputs = CommitInputs(
            now_ms=self._shop.clock.now_ms(),
            commit_ulid=self._shop.commit_ulid(manifest.commit_ulid),
            fold_version=self._shop.fold_version,
            epoch=manifest.epoch,
        )
        merge = FinishedMerge((), trees)
        attempt = self._shop.ids.ulid()
        frozen = len(manifest.deltas)
        draft = self._shop.composer.draft(state, nothing, (), inputs, attempt=attempt, merge=merge, frozen=frozen)
        if not await write_objects(self._shop.store, self._shop.clock, draft.objects):
            raise StorageUnavailable("storage did not take what repair wrote")
        match await self._shop.publisher.publish(draft.manifest, head, seen_ms):
            case Won(head=won):
                self._shop.pointers.follow(won)
                return Action(self._chain.key(won.number), True, f"published as manifest {won.number}")
            case Superseded() | Outlived():
                return Action(self._chain.key(draft.manifest.number), False, "another writer was faster")
            case Undecided(cause=cause):
                raise StorageUnavailable(f"it is not known whether the repair was published: {cause}")
