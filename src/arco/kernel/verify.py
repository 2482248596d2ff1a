"""Replay is the proof: fold the commit log again and compare every row with what is published.

Replay begins at genesis, or at the last checkpoint: the oldest manifest that still stands in the chain. Its raw hash
covers every segment below it, and the retention record holds the hash of the one before it.

Checks on the way: each manifest continues the one before (raw hash), each commit record has the hash its manifest
names, every recorded outcome is what folding gives, and at the end the replayed tables equal the published ones row
for row and count for count. Source: architecture.md "Replay is the proof".
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from arco.core.canonical_json import sha256_hex
from arco.core.errors import CorruptData
from arco.core.paths import Key
from arco.kernel.chain import Head
from arco.kernel.decide import UnitContext, decide
from arco.kernel.envelope import Unit
from arco.kernel.manifest import CommitRecord, decode_commit_record
from arco.kernel.reader import ChainSnapshot
from arco.kernel.retention.versions import Versions
from arco.kernel.rooms import Rooms
from arco.kernel.spec import RowKey, TableSpec
from arco.kernel.state import ChainState, Loaded
from arco.kernel.working import WorkingView
from arco.kernel.workshop import Workshop

_DIFFERENCES_SHOWN: Final = 20
_READ_AHEAD: Final = 32


class VerifyReport(msgspec.Struct, kw_only=True):
    """What a replay found; `differences` empty means replay equals published."""

    checkpoint: int = 0
    manifests: int = 0
    units: int = 0
    rows: int = 0
    differences: list[str] = []

    @property
    def ok(self) -> bool:
        """True when nothing differs."""
        return not self.differences


class Replayed:
    """The replayed rows of every table; stands where a chain state stands in folding."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[RowKey, Any]] = {}

    def apply(self, changes: Mapping[str, Mapping[RowKey, Any]]) -> None:
        """Take over the changes of one commit."""
        for table, rows in changes.items():
            mine = self.rows.setdefault(table, {})
            for key, row in rows.items():
                if row is None:
                    mine.pop(key, None)
                else:
                    mine[key] = row


class _ReplayState(ChainState):
    """A chain state whose base is a plain dictionary: nothing is ever missing."""

    def __init__(self, head: Head, replayed: Replayed) -> None:
        super().__init__(head, (), Loaded(None))
        self._replayed = replayed

    def get(self, spec: TableSpec[Any], key: RowKey) -> Any:
        return self._replayed.rows.get(spec.name, {}).get(key)

    def scan(self, spec: TableSpec[Any], span: Any) -> Iterator[Any]:
        prefix: RowKey = span if isinstance(span, tuple) else span.prefix
        rows = self._replayed.rows.get(spec.name, {})
        after: RowKey = () if isinstance(span, tuple) or span.after is None else span.after
        for key in sorted(key for key in rows if key[: len(prefix)] == prefix and key > after):
            yield rows[key]


class Verifier:
    """Replays one chain."""

    def __init__(self, shop: Workshop, progress: Callable[[int, int], None]) -> None:
        self._shop = shop
        self._progress = progress
        self._domains: Rooms = shop.domains
        self.report = VerifyReport(differences=[])

    async def run(self) -> VerifyReport:
        """The report of a full replay. Raises `CorruptData` when the log itself cannot be read."""
        newest = await self._shop.chain.find()
        if newest is None:
            return self.report
        replayed = await self.replayed(newest)
        await self._compare(newest, replayed)
        return self.report

    async def replayed(self, newest: Head) -> "Replayed":
        """Every row as of a manifest, from the checkpoint and the log. Raises `CorruptData`."""
        head = await self._checkpoint()
        replayed = await self._begun(head)
        self.report.manifests = 1
        number = self.report.checkpoint = head.number
        while number < newest.number:
            numbers = range(number + 1, min(newest.number, number + _READ_AHEAD) + 1)
            for successor, record in await asyncio.gather(*(self._read_with_record(one) for one in numbers)):
                if successor.manifest.parent_hash != head.raw_hash:
                    continue  # void: it does not continue the chain
                if record is not None:
                    self._replay(head, successor, record, replayed)
                head = successor
                self.report.manifests += 1
            number = numbers[-1]
            self._progress(number, newest.number)
        if head.raw_hash != newest.raw_hash:
            self._differs(f"the chain ends at {head.number} and the head is {newest.number}")
        return replayed

    async def _checkpoint(self) -> Head:
        """The oldest valid manifest that stands in the chain."""
        record = await self._shop.chain.retention()
        if record.floor == 0:
            return await self._read(0)
        versions = Versions(self._shop.store, self._shop.chain, self._shop.clock)
        return (await versions.onward(record, record.floor)).after

    async def _begun(self, head: Head) -> "Replayed":
        """The rows replay begins with."""
        replayed = Replayed()
        if head.number:
            snapshot = ChainSnapshot(await self._shop.state_of(head), self._shop.loader)
            for name, spec in self._shop.specs.items():
                replayed.rows[name] = {spec.key_of(row): row for row in await snapshot.scan(spec)}
        return replayed

    async def _read(self, number: int) -> Head:
        found = await self._shop.chain.read(number)
        if found is None:
            raise CorruptData(f"manifest {number} is gone; if a collection ran meanwhile, verify again")
        return found

    async def _read_with_record(self, number: int) -> tuple[Head, CommitRecord | None]:
        head = await self._read(number)
        commit = head.manifest.commit
        if commit is None:
            return head, None
        found = await self._shop.store.get(Key(commit.path))
        if found is None:
            raise CorruptData(f"the commit record {commit.path} is gone")
        if sha256_hex(found.body) != commit.sha256:
            raise CorruptData(f"the commit record {commit.path} is not what its hash says")
        return head, decode_commit_record(found.body)

    def _replay(self, parent: Head, head: Head, record: CommitRecord, replayed: Replayed) -> None:
        if record.parent_hash != parent.raw_hash or record.manifest_id != head.manifest.manifest_id:
            self._differs(f"the commit record of manifest {head.number} belongs elsewhere")
        view = WorkingView(_ReplayState(parent, replayed))
        version = parent.manifest.snapshot_version
        for index, committed in enumerate(record.units):
            unit = Unit(committed.events)
            context = UnitContext(record.inputs, head.manifest.manifest_id, index, version)
            outcome, fresh = decide(view, unit, context, self._domains, witnesses=self._shop.witnesses)
            if not fresh or outcome != committed.outcome:
                self._differs(f"unit {unit.unit_id} in manifest {head.number}: {outcome} is not {committed.outcome}")
            if outcome.status == "accepted" and not outcome.replayed:
                version = outcome.snapshot_version
            self.report.units += 1
        replayed.apply(view.changes)
        if version != head.manifest.snapshot_version:
            self._differs(f"manifest {head.number} says version {head.manifest.snapshot_version}, replay {version}")

    async def _compare(self, newest: Head, replayed: Replayed) -> None:
        snapshot = ChainSnapshot(await self._shop.state_of(newest), self._shop.loader)
        for name, spec in self._shop.specs.items():
            expected = replayed.rows.get(name, {})
            published = await snapshot.scan(spec)
            self.report.rows += len(published)
            if snapshot.count(spec) != len(expected):
                self._differs(f"{name}: the manifest counts {snapshot.count(spec)} rows, replay {len(expected)}")
            self._compare_rows(spec, published, expected)

    def _compare_rows(self, spec: TableSpec[Any], published: list[Any], expected: Mapping[RowKey, Any]) -> None:
        seen = {spec.key_of(row): row for row in published}
        for key in sorted(expected.keys() - seen.keys())[:_DIFFERENCES_SHOWN]:
            self._differs(f"{spec.name}: row {key} was replayed and is not published")
        for key in sorted(seen.keys() - expected.keys())[:_DIFFERENCES_SHOWN]:
            self._differs(f"{spec.name}: row {key} is published and was not replayed")
        for key, row in expected.items():
            if key in seen and seen[key] != row:
                self._differs(f"{spec.name}: row {key} is {seen[key]} published and {row} replayed")

    def _differs(self, sentence: str) -> None:
        if len(self.report.differences) < _DIFFERENCES_SHOWN:
            self.report.differences.append(sentence)
