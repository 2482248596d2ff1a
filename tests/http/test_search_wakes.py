"""A catalog made before there was search, and only read since: whoever searches it has its index built."""

import asyncio

from tests.fakes import FrozenClock
from tests.kernel.test_derived import an_older_chain

from arco.core.log import LineLog
from arco.core.scope import Scope
from arco.loops.waking import INTERVAL_MS, Waking
from arco.roles.process import make_process

from .world import a_world, on_disk


async def test_a_search_of_a_catalog_without_an_index_has_it_built(tmp_path):
    await an_older_chain(make_process(on_disk(tmp_path)), 150)
    async with a_world(storage=on_disk(tmp_path)) as world, world.client() as api:
        first = (await api.get("/search", params={"q": "orders"})).json()
        assert (first["results"], first["index"]) == ([], "building")
        for _ in range(10_000):
            answer = (await api.get("/search", params={"q": "orders"})).json()
            if answer["index"] == "ready":
                break
            await asyncio.sleep(0)
        assert answer["index"] == "ready"
        assert len(answer["results"]) == 20
        assert answer["next_cursor"] is not None


async def test_a_compactor_is_woken_once_a_minute_for_each_scope_and_again_when_nobody_came():
    clock, lines = FrozenClock(), list[str]()
    asked: list[Scope] = []
    first, second = Scope("a", "default"), Scope("b", "default")

    async def ask(scope: Scope) -> None:
        asked.append(scope)
        if scope == second:
            raise ConnectionError("nobody there")

    waking = Waking(ask, clock=clock, log=LineLog(lines.append, clock, level="info", text=False))
    for scope in (first, second, first, second):
        waking(scope)
    await asyncio.sleep(0)
    assert asked == [first, second]
    clock.ms += INTERVAL_MS - 1
    waking(second)
    clock.ms += 1
    waking(second)
    await asyncio.sleep(0)
    assert asked == [first, second, second]
    assert len(lines) == 2
    assert all("nobody there" in line for line in lines)
    await waking.stop()


async def test_who_is_still_being_asked_when_everybody_leaves_is_not_waited_for():
    async def never(_scope: Scope) -> None:
        await asyncio.get_running_loop().create_future()

    clock = FrozenClock()
    waking = Waking(never, clock=clock, log=LineLog(list[str]().append, clock, level="info", text=False))
    waking(Scope("a", "default"))
    await asyncio.sleep(0)
    await asyncio.wait_for(waking.stop(), 5)
