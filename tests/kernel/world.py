"""A small key-value domain and everything around it, so that kernel tests speak of the kernel only."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from arco.core.offload import Inline
from arco.core.paths import Key
from arco.kernel.cache import ObjectCache, ScopedCache
from arco.kernel.chain import CATALOG_CHAIN, Chain
from arco.kernel.compactor import Compacted, Compactor
from arco.kernel.envelope import Claim, Envelope, Unit
from arco.kernel.fold import Accepted, Decision, FoldContext, InvalidEvent, Rejected, Subject, UnsupportedEvent, View
from arco.kernel.loader import Loader
from arco.kernel.reader import ChainReader
from arco.kernel.records import all_specs
from arco.kernel.spec import Row, TableSpec
from arco.kernel.verify import Verifier, VerifyReport
from arco.kernel.workshop import Workshop
from arco.storage.memory import MemoryStore
from arco.storage.port import Absent, Lost, Matches, ObjectStore, PutOutcome, Stored, Unsure


class PairRow(Row, frozen=True, kw_only=True, gc=False):
    """A key, a value, and how often it was written."""

    group: str
    name: str
    value: str
    writes: int
    note: str | None = None


PAIRS = TableSpec("pairs", PairRow, key=("group", "name"), domain="catalog", bulky=frozenset({"value"}))


class PairDomain:
    """`put`, `create` (rejected when there), `drop`, `clear` (a whole group), `fail` and `unknown`."""

    name = "catalog"
    event_types = frozenset({"pair"})
    tables: Any = (PAIRS,)

    def fold(self, view: View, event: Envelope, _context: FoldContext) -> Decision:
        body = msgspec.json.decode(event.payload)
        action, group, name = body["action"], body.get("group", "g"), body.get("name", "")
        if action == "unknown":
            raise UnsupportedEvent("not yet")
        if action == "invalid":
            raise InvalidEvent("never")
        if action == "clear":
            for row in list(view.scan(PAIRS, (group,))):
                view.delete(PAIRS, (row.group, row.name))
            return Accepted(Subject("cleared", "group", group, group))
        old = view.get(PAIRS, (group, name))
        if action == "drop":
            view.delete(PAIRS, (group, name))
            return Accepted(Subject("dropped", "pair", f"{group}/{name}", name) if old else None)
        if action == "create" and old is not None:
            return Rejected("already_exists", f"pair already exists: {name}")
        writes = old.writes + 1 if old else 1
        view.put(PAIRS, PairRow(group=group, name=name, value=body.get("value", ""), writes=writes))
        return Accepted(Subject("put", "pair", f"{group}/{name}", name))


FOR_EVER_MS = 500_000


class VirtualClock:
    """A clock that moves only when somebody sleeps; whoever would sleep for very long waits to be woken instead."""

    def __init__(self) -> None:
        self.ms = 1_767_225_600_000

    def now_ms(self) -> int:
        return self.ms

    def steady_ms(self) -> int:
        return self.ms

    async def sleep_ms(self, duration_ms: int) -> None:
        if duration_ms >= FOR_EVER_MS:
            await asyncio.get_running_loop().create_future()
        self.ms += duration_ms
        await asyncio.sleep(0)


class SeededEntropy:
    """Repeatable bytes."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)


class QuietLog:
    """Keeps what was logged."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def warning(self, event: str, **fields: object) -> None:
        self.events.append((event, fields))


class Machine:
    """One process: its own ids, cache and log over a shared store and clock."""

    def __init__(self, store: ObjectStore, clock: Any, seed: int = 0, grace_ms: int = 86_400_000) -> None:
        from arco.core.entropy import MintedIds

        self.store = store
        self.clock = clock
        self.grace_ms = grace_ms
        self.entropy = SeededEntropy(seed)
        self.ids = MintedIds(clock, self.entropy)
        self.offload = Inline()
        self.log = QuietLog()
        self.cache = ScopedCache(ObjectCache(64 << 20), "t/")
        self.shop = Workshop(store, CATALOG_CHAIN, [PairDomain()], ports=self, cache=self.cache, grace_ms=grace_ms)
        self.compactor = Compactor(self.shop, idle_merge_ms=1_000_000)

    def start(self) -> "Machine":
        self.compactor.start()
        return self

    def reader(self, *, cold: bool = False) -> ChainReader:
        cache = ScopedCache(ObjectCache(64 << 20), "t/") if cold else self.cache
        chain = Chain(self.store, CATALOG_CHAIN)
        loader = Loader(self.store, cache, all_specs([PairDomain()]))
        return ChainReader(chain, loader, clock=self.clock, grace_ms=self.grace_ms)

    def unit(self, *actions: dict[str, Any], key: str | None = None, request: str = "r", deadline: int = 0) -> Unit:
        ids = [self.ids.ulid() for _ in actions]
        claim = Claim("op", key, request) if key else None
        return Unit(
            tuple(
                Envelope(
                    event_type=action.pop("type", "pair"),
                    event_version=1,
                    idempotency_key="k",
                    occurred_at="2026-01-01T00:00:00Z",
                    source="api:test",
                    payload=msgspec.Raw(msgspec.json.encode(action)),
                    event_id=event_id,
                    unit_id=ids[0] if len(ids) > 1 else None,
                    deadline_ms=deadline or None,
                    claim=claim,
                )
                for event_id, action in zip(ids, actions, strict=True)
            )
        )

    async def submit(self, *units: Unit) -> Compacted:
        return await self.compactor.submit(units, 100)

    async def put(self, name: str, value: str = "", group: str = "g") -> Compacted:
        return await self.submit(self.unit({"action": "put", "group": group, "name": name, "value": value}))

    async def rows(self, *, cold: bool = True) -> dict[tuple[str, str], str]:
        snapshot = await self.reader(cold=cold).head()
        if snapshot is None:
            return {}
        return {(row.group, row.name): row.value for row in await snapshot.scan(PAIRS)}

    async def verify(self) -> VerifyReport:
        return await Verifier(self.shop, lambda _done, _of: None).run()


Fault = Callable[[Key, bytes], str | None]
"""Says for a put whether it is `fail`ed before, `lost` after applying, `conflict` after applying, or fine (None)."""


class FaultyStore:
    """A memory store whose puts go wrong as told, one of the ways a network goes wrong."""

    def __init__(self, fault: Fault) -> None:
        self.inner = MemoryStore()
        self.fault = fault
        self.puts: list[Key] = []
        self.before_put: Callable[[Key], Awaitable[None]] | None = None

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        self.puts.append(key)
        if self.before_put is not None:
            await self.before_put(key)
        fault = self.fault(key, body)
        if fault == "fail":
            return Unsure("connection reset before the request")
        outcome = await self.inner.put(key, body, when=when)
        if fault == "lost":
            return Unsure("connection reset after the request")
        if fault == "conflict" and isinstance(outcome, Stored):
            return Lost(outcome.version)
        return outcome

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)
