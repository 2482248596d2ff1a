"""Abuse cases A-28 to A-30: whatever a statement asks for, it ends in its time, dies alone, and answers little."""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from tests.unit.query.worlds import ASnapshot, World, some_tables

from arco.core.errors import InvalidInput, NotFound
from arco.core.scope import Scope
from arco.query.errors import QueryCancelled, QueryExhausted, QueryTimedOut
from arco.query.running import Asked
from arco.query.service import Ask
from arco.query.wire import QueryLimits

DOUBLING = "WITH a0 AS (SELECT 1 AS x)" + "".join(f", a{n + 1} AS (SELECT l.x FROM a{n} l, a{n} r)" for n in range(25))
THREE = "catalog.tables a, catalog.tables b, catalog.tables c"
WITH_8 = ", ".join(f"w{n} AS (SELECT l.x FROM w{n - 1} l, w{n - 1} r)" for n in range(1, 8))
WITH_16 = ", ".join(f"w{n} AS (SELECT l.x FROM w{n - 1} l, w{n - 1} r)" for n in range(1, 16))
BUDGET = [
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT * FROM r",
    f"{DOUBLING} SELECT count(*) FROM a25",
    "SELECT " + "1+" * 4_900 + "1",
    " UNION ALL ".join(["SELECT 1"] * 700),
    "SELECT " + "(" * 4_000 + "1" + ")" * 4_000,
    "SELECT 1 WHERE " + " OR ".join(["1=1"] * 900),
    "SELECT * FROM generate_series(1, 1000000000000)",
    "SELECT generate_series(1, 1000000000000)",
    "SELECT " + "NOT " * 2_000 + "true",
    "SELECT " + "-" * 3_000 + "1 AS x, " + "- " * 600 + "1",
    "SELECT " + "[" * 60 + "1" + "]" * 60,
    "SELECT '" + "x" * 10_000 + "'",
    f"WITH w0 AS (SELECT 1 AS x), {WITH_16} SELECT count(*) FROM w15",
    "SELECT 1 FROM " + ", ".join(f"catalog.tables t{n}" for n in range(17)),
    "SELECT 1 FROM catalog.tables t " + " CROSS JOIN catalog.tables" * 16,
]
MANY = "x" * 32
ENDLESS = [
    f"SELECT count(*) FROM {THREE} WHERE a.id || b.id < c.id",
    f"SELECT count(DISTINCT regexp_replace(a.id || b.id || c.id, '(.*)(.*)(.*)(.*)-', 'x')) FROM {THREE}",
    f"WITH w0 AS (SELECT 1 AS x UNION SELECT 2), {WITH_8} SELECT sum(l.x) FROM w7 l WHERE l.x > 0",
]
GREEDY = [
    f"SELECT string_agg(a.id, ',') FROM {THREE}",
    f"SELECT array_agg(a.id || b.id || c.id) FROM {THREE}",
    f"SELECT a.id, array_agg(b.id ORDER BY c.id) FROM {THREE} GROUP BY a.id",
    "SELECT " + "replace(" * 6 + f"'{MANY}'" + f", 'x', '{MANY}')" * 6,
    f"SELECT DISTINCT a.id || b.id || c.id FROM {THREE} ORDER BY 1 DESC",
    "SELECT sum(length(a.id)) FROM catalog.tables a JOIN catalog.tables b ON a.id < b.id"
    " JOIN catalog.tables c ON b.id < c.id",
]


@pytest.fixture
def world():
    limits = QueryLimits(timeout_s=2.0, memory_bytes=64 << 20)
    return World(ASnapshot(1, {"tables": some_tables(3_000)}), limits=limits)


@pytest.mark.parametrize("sql", BUDGET)
async def test_a28_a_statement_beyond_the_budget_is_refused_before_it_is_planned(world, sql):
    began = time.monotonic()
    with pytest.raises((InvalidInput, NotFound)) as caught:
        await world.ask(sql)
    assert not isinstance(caught.value, QueryTimedOut | QueryExhausted)
    assert world.killed == []
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("sql", ENDLESS)
async def test_a28_a_query_without_an_end_is_killed_at_its_deadline_and_the_next_one_is_answered(world, sql):
    with pytest.raises((QueryTimedOut, QueryExhausted)):
        await world.ask(sql)
    assert len(world.killed) == 1
    assert await world.ask("SELECT count(*) AS n FROM catalog.tables") == [{"n": 3_000}]


@pytest.mark.parametrize("sql", GREEDY)
async def test_a29_a_query_that_takes_all_memory_dies_alone_and_the_next_one_is_answered(world, sql):
    with pytest.raises((QueryExhausted, QueryTimedOut, InvalidInput)):
        await world.ask(sql)
    assert await world.ask("SELECT count(*) AS n FROM catalog.tables") == [{"n": 3_000}]


async def test_a29_what_the_engine_does_not_count_ends_the_child_and_is_counted_as_memory():
    world = World(limits=QueryLimits(timeout_s=20, memory_bytes=32 << 20))
    with pytest.raises(QueryExhausted):
        await world.ask("SELECT length(" + "replace(" * 6 + f"'{MANY}'" + f", 'x', '{MANY}')" * 6 + ")")
    assert world.killed == ["memory"]
    assert await world.ask("SELECT 1 AS x") == [{"x": 1}]


async def test_a30_a_result_of_many_rows_is_cut_and_one_of_many_bytes_refused(world):
    told = await world.query("SELECT a.id FROM catalog.tables a, catalog.tables b")
    assert (told.rows, told.truncated) == (10_000, True)
    wide = pa.table({"id": ["x" * 2_000] * 9_000, "name": ["n"] * 9_000})
    with pytest.raises(InvalidInput, match="query result exceeds max size"):
        await World(ASnapshot(1, {"tables": wide})).ask("SELECT * FROM catalog.tables")


async def _seen(look: Callable[[], Any]) -> Any:
    """What `look` finds, once it finds something."""
    async with asyncio.timeout(20):
        while not (found := look()):  # noqa: ASYNC110  # what is waited for happens in other processes
            await asyncio.sleep(0.005)
    return found


async def test_a28_a_child_that_met_one_scope_never_meets_another(world):
    await world.ask("SELECT count(*) FROM catalog.tables")
    first = set(world.sandbox.processes)
    await world.query("SELECT count(*) FROM catalog.tables", scope=Scope("acme", "other"))
    bound = {worker.pid: worker.scope for worker in world.sandbox._idle if worker.scope is not None}
    assert len(bound) == 2
    assert len(set(bound.values())) == 2
    await world.ask("SELECT 1")
    assert first & {pid for pid, scope in bound.items() if scope == Scope("acme", "main")}


async def test_a28_a_cancelled_query_is_killed_and_who_asked_is_told(world):
    asked = Asked(scope=Scope("acme", "main"), actor="user:x", request_id=None, endpoint="query", sql=ENDLESS[0])
    work = world.service.query(world.reader, asked.scope, Ask(sql=asked.sql))
    asking = asyncio.ensure_future(world.queries.run(asked, work))
    running = await _seen(lambda: world.queries.of(asked.scope))
    with pytest.raises(NotFound):
        world.queries.cancel(Scope("acme", "other"), running[0].query_id)
    world.queries.cancel(asked.scope, running[0].query_id)
    with pytest.raises(QueryCancelled):
        await asking
    assert [finished.result for finished in world.finished] == ["cancelled"]
    assert world.queries.of(asked.scope) == []


async def test_a28_children_hold_no_file_no_socket_but_their_own_and_no_secret(world, monkeypatch):
    monkeypatch.setenv("ARCO_JWT_SECRET", "nobody-may-see-this-secret-in-a-child")
    await world.ask("SELECT 1")
    for pid in world.sandbox.processes:
        if not os.access(f"/proc/{pid}/fd", os.R_OK):
            continue  # not dumpable: not even its own user may look
        names = [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
        assert not [name for name in names if name.startswith("/") and name != "/dev/null"]


async def test_a28_children_go_when_nobody_asks_any_more():
    world = World(ASnapshot(1))
    world.sandbox._idle_s = 0.05
    await world.ask("SELECT 1")
    pids = world.sandbox.processes
    assert pids
    await _seen(lambda: not world.sandbox.processes)
    await world.ask("SELECT 1")
    assert not set(pids) & set(world.sandbox.processes)
