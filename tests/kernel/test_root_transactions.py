"""Root transactions over two chains, with everything that can go wrong at every single operation (reliability.md).

A transaction puts one pair into each of two chains. Whatever strikes whichever operation, in the end both are there or
neither is, nothing is held, the record says so, the answer agrees with it, and both chains replay. A reader with the
transaction's token looks all the while, and never sees a part. `python -m tests.kernel.test_root_transactions 1000`
strikes every operation in every way, and runs that many schedules with aborters whose clocks are ahead.
"""

import asyncio
import random
import sys
from collections.abc import Callable
from typing import Any, Final

import pytest

from arco.core.errors import Conflict, OutcomeUnknown, Overloaded, Unavailable
from arco.core.limits import TRANSACTION_HOLD_MS
from arco.core.paths import Key, root_transaction
from arco.domains.transactions.chain_part import ChainPart
from arco.domains.transactions.fold import TransactionsDomain
from arco.domains.transactions.plan import Plan
from arco.domains.transactions.root import Completed, Coordinator, Order, RootRecord, order_of
from arco.domains.transactions.rows import ABORTED, PREPARED_TRANSACTIONS, TRANSACTIONS, VISIBLE
from arco.kernel.chain import CATALOG_CHAIN, ChainSpec
from arco.kernel.desk import EventDraft
from arco.kernel.reading import Snapshot
from arco.kernel.records import HELD_KEYS
from arco.storage.memory import MemoryStore
from arco.storage.port import Absent, Matches, ObjectInfo, PutOutcome, StorageUnavailable, StoredObject, Unsure

from .chains import ChainProcess
from .simulation import LoopClock, Process, simulated
from .world import PAIRS, PairDomain

HOME: Final = "catalog"
OTHER: Final = "second"
SPECS: Final = {HOME: CATALOG_CHAIN, OTHER: ChainSpec(OTHER, (OTHER,))}
OPERATIONS: Final = 75
"""At least as many as a commit over two chains takes; the faults of numbers beyond strike nothing."""

KINDS: Final = ("crash", "crash after", "fail", "lost", "late")
LATE_S: Final = (0.01, 0.4, 20.0, 90.0)
_UNKNOWN: Final = (OutcomeUnknown, Overloaded, Unavailable, StorageUnavailable, TimeoutError)


class Disks:
    """What outlives every process: one store for each chain, and one for the records."""

    def __init__(self) -> None:
        clock = LoopClock(Process())
        self.stores = {name: MemoryStore(clock) for name in (*SPECS, "records")}


class Fault:
    """Strikes the operation with this number."""

    def __init__(self, at: int = -1, kind: str = "", late_s: float = 0.4) -> None:
        self.at = at
        self.kind = kind
        self.late_s = late_s
        self.count = 0

    def strikes(self) -> str:
        self.count += 1
        return self.kind if self.count - 1 == self.at else ""


class StruckStore:
    """One process's way to a store; the operations of all its stores are numbered together."""

    def __init__(self, shared: MemoryStore, process: Process, fault: Fault) -> None:
        self.shared = shared
        self.process = process
        self.fault = fault
        self.late: set[asyncio.Task[None]] = set()

    async def _before(self) -> str:
        await self.process.breathe()
        struck = self.fault.strikes()
        if struck == "crash":
            self.process.alive = False
        await self.process.breathe()
        return struck

    async def _after(self, struck: str) -> None:
        if struck == "crash after":
            self.process.alive = False
        await self.process.breathe()

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        struck = await self._before()
        if struck == "fail":
            return Unsure("reset before the request")
        if struck == "late":
            task = asyncio.ensure_future(self._later(key, body, when))
            self.late.add(task)
            task.add_done_callback(self.late.discard)
            return Unsure("no answer in time")
        outcome = await self.shared.put(key, body, when=when)
        await self._after(struck)
        return Unsure("reset after the request") if struck == "lost" else outcome

    async def _later(self, key: Key, body: bytes, when: Absent | Matches) -> None:
        await asyncio.sleep(self.fault.late_s)
        await self.shared.put(key, body, when=when)

    async def get(self, key: Key) -> StoredObject | None:
        struck = await self._before()
        if struck in ("fail", "lost", "late"):
            raise StorageUnavailable("reset")
        found = await self.shared.get(key)
        await self._after(struck)
        return found

    async def head(self, key: Key) -> ObjectInfo | None:
        struck = await self._before()
        if struck in ("fail", "lost", "late"):
            raise StorageUnavailable("reset")
        found = await self.shared.head(key)
        await self._after(struck)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self.shared, name)


class Server:
    """One process: both chains, and a coordinator over them."""

    def __init__(self, disks: Disks, *, seed: int, fault: Fault | None = None, skew_ms: int = 0) -> None:
        self.process = Process()
        self.clock: Any = LoopClock(self.process, skew_ms)
        self.fault = fault or Fault()
        self.chains: dict[str, ChainProcess] = {}
        domains: list[Any] = [PairDomain(), TransactionsDomain([PairDomain()])]
        for number, (name, spec) in enumerate(SPECS.items()):
            store: Any = StruckStore(disks.stores[name], self.process, self.fault)
            self.chains[name] = ChainProcess(store, self.clock, domains, seed=seed * 10 + number, spec=spec)
        records: Any = StruckStore(disks.stores["records"], self.process, self.fault)
        self.coordinator = Coordinator(records, self.clock, {name: self.part(name) for name in SPECS}, HOME)

    def part(self, name: str, *, value: str = "", action: str = "create") -> ChainPart:
        chain = self.chains[name]

        async def plan(_snapshot: Snapshot | None) -> Plan:
            payload = {"action": action, "name": "x", "value": value}
            return Plan((EventDraft(event_type="pair", event_version=1, payload=payload),), (0,))

        return ChainPart(
            desk=chain.desk,
            reader=chain.reader,
            clock=self.clock,
            ids=chain.ids,
            chain=SPECS[name].name,
            ledger=name,
            source="api:test",
            plan=plan,
        )

    async def commit(self, value: str = "v", key: str = "k") -> Completed:
        members = {name: self.part(name, value=value) for name in SPECS}
        order: Order = order_of("h", key, tuple(SPECS), self.clock.now_ms())
        return await self.coordinator.commit(members, order)

    async def snapshot(self, name: str) -> Any:
        return await self.chains[name].reader.head()


async def begun(disks: Disks) -> None:
    """Both chains exist."""
    server = Server(disks, seed=1)
    for chain in server.chains.values():
        await chain.shop.find_or_create()
    for chain in server.chains.values():
        await chain.compactor.stop()


async def told(commit: Callable[[], Any]) -> Any:
    """The answer, or the fact that was raised instead; a server that crashed is silent."""
    try:
        return await asyncio.wait_for(commit(), 400)
    except (Conflict, *_UNKNOWN) as error:
        return error


class TokenReader:
    """Reads the record of every transaction as it comes, and everything it pins."""

    def __init__(self, disks: Disks) -> None:
        self.server = Server(disks, seed=99)
        self.records = disks.stores["records"]
        self.seen: dict[str, RootRecord] = {}
        self.versions: set[str] = set()

    async def look(self) -> None:
        for info in await self.records.list_page("transactions/root/"):
            if info.version in self.versions:
                continue
            self.versions.add(info.version)
            tx_id = info.key.rpartition("/")[2].partition(".")[0]
            record = await self.server.coordinator.record(tx_id)
            assert record is not None
            before = self.seen.setdefault(tx_id, record)
            assert record.decision == before.decision, "a decision was decided again"
            if not record.complete:
                assert not before.complete, "a record was complete and is not any more"
                continue
            assert not before.complete or record == before, "a complete record changed"
            self.seen[tx_id] = record
            for name, member in record.domains.items():
                pinned = await self.server.chains[name].reader.at_manifest(member.manifest_id)
                assert pinned is not None
                assert await pinned.get(PAIRS, ("g", "x")) is not None, "a token shows a part of its transaction"
                previous = await self.server.chains[name].reader.at_manifest(f"{int(member.manifest_id) - 1:020d}")
                assert previous is not None
                assert await previous.get(PAIRS, ("g", "x")) is None, "the pinned manifest is not where it came to be"

    async def watch(self) -> None:
        for step in range(10_000):
            await self.look()
            await asyncio.sleep(0.05 if step < 200 else 10)


async def settled(disks: Disks, answers: list[Any]) -> str:
    """After all faults: somebody repairs, and everything agrees. How the (only) transaction ended."""
    await asyncio.sleep(TRANSACTION_HOLD_MS / 1_000 + 200)
    server = Server(disks, seed=77)
    while await server.coordinator.repair():
        pass
    reader = TokenReader(disks)
    await reader.look()
    committed = [record for record in reader.seen.values() if record.decision == "commit"]
    assert len(committed) <= 1
    for name in SPECS:
        snapshot = await server.snapshot(name)
        there = await snapshot.get(PAIRS, ("g", "x")) is not None
        assert there == bool(committed), f"{name} has {'it' if there else 'it not'}, and {committed} was decided"
        assert snapshot.count(HELD_KEYS) == 0, "something is held by nobody"
        assert snapshot.count(PREPARED_TRANSACTIONS) == 0, "something is still under way"
        rows = await snapshot.scan(TRANSACTIONS)
        assert all(row.lifecycle in (VISIBLE, ABORTED) for row in rows)
        assert sum(row.lifecycle == VISIBLE for row in rows) == len(committed)
    assert all(record.complete for record in committed)
    for answer in answers:
        if isinstance(answer, Completed):
            assert [answer.record.tx_id] == [record.tx_id for record in committed]
        elif isinstance(answer, Conflict):
            assert answer.details.get("tx_id") not in {record.tx_id for record in committed} - {None}
    for chain in server.chains.values():
        assert not (await chain.verify()).differences
    return "commit" if committed else "abort"


async def one_fault(fault: Fault) -> str:
    """A commit that a fault strikes; how it ended."""
    disks = Disks()
    await begun(disks)
    reader = TokenReader(disks)
    watching = asyncio.ensure_future(reader.watch())
    server = Server(disks, seed=2, fault=fault)
    answer = await told(server.commit)
    ended = await settled(disks, [answer])
    if isinstance(answer, Completed):
        assert ended == "commit"
    if isinstance(answer, Conflict):
        assert ended == "abort"
    assert not watching.done(), watching
    watching.cancel()
    # Whatever happened, the same request may be sent again: it is a new transaction, or the name is taken.
    again = await told(Server(disks, seed=3).commit)
    assert isinstance(again, Completed if ended == "abort" else Conflict), again
    return ended


def operations_of_a_commit() -> int:
    fault = Fault()
    assert simulated(one_fault(fault), random.Random(0)) == "commit"
    return fault.count


def test_without_faults_both_members_are_visible_and_the_record_says_where():
    assert operations_of_a_commit() <= OPERATIONS


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_strikes_one_operation_it_is_all_or_nothing_and_repaired(kind):
    # Every third operation, each kind beginning at another one; `python -m` strikes all of them.
    assert single_faults(kind, KINDS.index(kind) % 3, 3) <= {"commit", "abort"}


def single_faults(kind: str, first: int = 0, step: int = 1) -> set[str]:
    """How commits end that are struck at every `step`th operation."""
    ended = set()
    for at in range(first, OPERATIONS, step):
        fault = Fault(at, kind, late_s=LATE_S[at % len(LATE_S)])
        try:
            ended.add(simulated(one_fault(fault), random.Random(at)))
        except BaseException as error:
            error.add_note(f"{kind} at operation {at}")
            raise
    return ended


async def refused_member() -> None:
    disks = Disks()
    await begun(disks)
    server = Server(disks, seed=2)
    first = server.chains[OTHER]
    await first.desk.submit([unit_of("taken")], source="api:test")
    answer = await told(server.commit)
    assert isinstance(answer, Conflict)
    snapshot = await server.snapshot(HOME)
    assert await snapshot.get(PAIRS, ("g", "x")) is None
    assert snapshot.count(HELD_KEYS) == 0, "it is given up at once, not when it is overdue"
    (row,) = await snapshot.scan(TRANSACTIONS)
    assert row.lifecycle == ABORTED


def unit_of(value: str) -> Any:
    from arco.kernel.desk import UnitDraft

    payload = {"action": "create", "name": "x", "value": value}
    draft = EventDraft(event_type="pair", event_version=1, payload=payload)
    return UnitDraft(domain="catalog", events=(draft,))


def test_a_member_that_refuses_aborts_the_others_at_once():
    simulated(refused_member(), random.Random(0))


async def held_against_others() -> None:
    disks = Disks()
    await begun(disks)
    server = Server(disks, seed=2)
    order = order_of("h", "k", tuple(SPECS), server.clock.now_ms())
    tx_id = await server.part(HOME, value="v").prepare(order)
    (outcome,) = await server.chains[HOME].desk.submit([unit_of("other")], source="api:test")
    assert (outcome.status, outcome.code, outcome.details) == ("rejected", "held", {"tx_id": tx_id})
    second = await told(lambda: Server(disks, seed=4).commit(key="other"))
    assert isinstance(second, Conflict)
    assert second.details["tx_id"] == tx_id
    assert await server.coordinator.resolve(tx_id, tuple(SPECS)) is None
    (outcome,) = await server.chains[HOME].desk.submit([unit_of("other")], source="api:test")
    assert outcome.status == "accepted"


def test_nobody_changes_what_a_transaction_holds_until_it_is_decided():
    simulated(held_against_others(), random.Random(0))


async def late_prepare() -> None:
    disks = Disks()
    await begun(disks)
    server = Server(disks, seed=2)
    order = order_of("h", "k", tuple(SPECS), server.clock.now_ms())
    tx_id = await server.part(HOME, value="v").prepare(order)
    assert await server.coordinator.resolve(tx_id, tuple(SPECS)) is None
    late = Order(tx_id=tx_id, request_hash="h", participants=tuple(SPECS), expires_at=0)
    answer = await told(lambda: server.part(OTHER, value="v").prepare(late))
    assert isinstance(answer, Conflict)
    assert (await server.snapshot(OTHER)).count(HELD_KEYS) == 0


def test_a_prepare_that_comes_after_the_abort_holds_nothing():
    simulated(late_prepare(), random.Random(0))


async def one_unreadable_record() -> None:
    disks = Disks()
    await begun(disks)
    server = Server(disks, seed=2)
    first = await server.part(HOME).prepare(order_of("h", "k", (HOME,), server.clock.now_ms()))
    second = server.chains[OTHER].ids.ulid()
    await server.part(OTHER).prepare(Order(tx_id=second, request_hash="h", participants=(OTHER,), expires_at=0))
    await disks.stores["records"].put(root_transaction(first), b"{", when=Absent())
    await asyncio.sleep(TRANSACTION_HOLD_MS / 1000 + 1)
    assert await server.coordinator.repair() == 1
    assert (await server.snapshot(HOME)).count(HELD_KEYS) > 0
    assert (await server.snapshot(OTHER)).count(HELD_KEYS) == 0


def test_one_that_cannot_be_resolved_does_not_keep_the_others_waiting():
    simulated(one_unreadable_record(), random.Random(0))


async def aborted_meanwhile(rng: random.Random) -> str:
    """A commit among repairers whose clocks are ahead, so that everything is overdue to them, and crashes."""
    disks = Disks()
    await begun(disks)
    reader = TokenReader(disks)
    watching = asyncio.ensure_future(reader.watch())
    fault = Fault(rng.randrange(60), rng.choice(KINDS), rng.choice(LATE_S)) if rng.random() < 0.5 else Fault()
    server = Server(disks, seed=2, fault=fault)

    async def aborter(seed: int) -> None:
        ahead = Server(disks, seed=seed, skew_ms=3_600_000)
        for _ in range(6):
            await asyncio.sleep(rng.choice((0, 0, 0.01, 0.1, 1)))
            await told(ahead.coordinator.repair)

    committing = asyncio.ensure_future(told(server.commit))
    await asyncio.gather(*(aborter(seed) for seed in range(10, 10 + rng.randint(1, 3))))
    answer = await committing
    ended = await settled(disks, [answer])
    if isinstance(answer, Completed):
        assert ended == "commit"
    assert not watching.done(), watching
    watching.cancel()
    return ended


def schedules(first: int, last: int) -> set[str]:
    ended = set()
    for seed in range(first, last):
        rng = random.Random(seed)
        try:
            ended.add(simulated(aborted_meanwhile(rng), rng))
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
    return ended


def test_aborters_that_come_too_early_win_or_lose_and_nothing_in_between():
    assert schedules(0, 20) == {"commit", "abort"}


if __name__ == "__main__":
    for fault_kind in KINDS:
        assert single_faults(fault_kind) == {"commit", "abort"}
    schedules(0, int(sys.argv[1]))
