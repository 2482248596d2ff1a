"""Coming by workspaces that nobody asks for: all of them in turn, a bounded number each round."""

import pytest
from tests.kernel.world import VirtualClock

from arco.core.log import SilentLog
from arco.core.paths import Key
from arco.core.scope import Scope
from arco.loops.visits import SCOPES_PER_ROUND, Visits
from arco.storage.counting import CountingStore
from arco.storage.memory import MemoryStore
from arco.storage.port import Absent

SCOPES = [Scope(tenant, name) for tenant in ("a", "a-b", "b") for name in ("w", "w-1", "w0", "z")]


@pytest.fixture
async def store() -> CountingStore:
    made = CountingStore(MemoryStore())
    for scope in SCOPES:
        for number in range(20):
            await made.put(Key(f"{scope.prefix}ledger/catalog/{number}.json"), b"x", when=Absent())
    for strange in ("readme.txt", "tenant=a/notes.txt", "tenant=a/odd/x", "tenant=UPPER/workspace=w/x", "zz/y"):
        await made.put(Key(strange), b"x", when=Absent())
    made.forget()
    return made


async def test_every_workspace_is_come_by_in_turn_and_again(store: CountingStore) -> None:
    seen: list[Scope] = []

    async def visit(scope: Scope) -> None:
        seen.append(scope)
        if scope == SCOPES[0]:
            raise RuntimeError("trouble of its own")

    known = [Scope("b", "z")]
    visits = Visits(store, lambda: known, visit, clock=VirtualClock(), log=SilentLog(), interval_ms=1_000)
    rounds = [await visits.once() for _ in range(3)]
    assert rounds == [SCOPES_PER_ROUND, SCOPES_PER_ROUND, 3]
    assert sorted(seen, key=str) == sorted((one for one in SCOPES if one not in known), key=str)
    assert len(store.operations) <= len(SCOPES) + 6, "one listing of one object for each, whatever is in it"
    seen.clear()
    for _ in range(3):
        await visits.once()
    assert len(set(seen)) == len(SCOPES) - 1


async def test_an_empty_store_costs_one_listing(store: CountingStore) -> None:
    empty = CountingStore(MemoryStore())

    async def visit(_scope: Scope) -> None:
        raise AssertionError("there is nobody")

    visits = Visits(empty, list, visit, clock=VirtualClock(), log=SilentLog(), interval_ms=1_000)
    assert await visits.once() == 0
    assert len(empty.operations) == 1
