"""The pool of warm children: nothing is kept of those that are gone, and nobody waits for ever."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.process.workers import ASSETS

from arco.core.clock import SystemClock
from arco.core.log import SilentLog
from arco.worker import words
from arco.worker.capture import Capture
from arco.worker.children import CodeBroken, Died, Ears
from arco.worker.pool import Pool, PoolSettings


@asynccontextmanager
async def a_pool(*targets: str, **changes: Any) -> AsyncIterator[Pool]:
    settings = {"targets": targets or (ASSETS,), "slots": 2, "tasks_max": 100, "growth_bytes": 1 << 28, **changes}
    pool = Pool(PoolSettings(**settings), clock=SystemClock(), log=SilentLog())
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


async def run(pool: Pool, task_key: str) -> words.Report | Died:
    child = await pool.take()
    ended: words.Report | Died = Died(-9)
    task = words.Do({"task_key": task_key, "run_id": "r", "attempt": 1, "attempt_id": "att_1"})
    try:
        ended = await child.run(task, (Capture(), Capture()), Ears(lambda _: None, _nowhere))
    finally:
        pool.give_back(child, ended)
    return ended


async def test_nothing_is_kept_of_children_that_are_gone():
    before = len(os.listdir("/proc/self/fd"))
    async with a_pool(tasks_max=1) as pool:
        await run(pool, "t.noop")
        descriptors = len(os.listdir("/proc/self/fd"))
        for _ in range(10):
            reports = await asyncio.gather(*(run(pool, "t.noop") for _ in range(5)))
            assert [report.outcome for report in reports if isinstance(report, words.Report)] == ["SUCCEEDED"] * 5
        assert await run(pool, "t.killed") == Died(-9)
        await run(pool, "t.noop")
        assert pool._nursery is not None
        assert len(pool._nursery._ends) <= 4
        assert len(os.listdir("/proc/self/fd")) <= descriptors + 8
    assert len(os.listdir("/proc/self/fd")) <= before + 3


async def test_more_tasks_than_children_wait_their_turn_and_one_that_gives_up_takes_no_child_with_it():
    async with a_pool(slots=1) as pool:
        child = await pool.take()
        waiting = [asyncio.create_task(run(pool, "t.noop")) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        pool.give_back(child, None)
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert [type(one) for one in found[1:]] == [words.Report, words.Report]
        assert pool.children == 1


async def test_tasks_that_come_while_the_code_is_loaded_take_the_children_that_then_begin():
    """Once each of them had a nursery made of its own, and the pool, whose children were all busy, gave itself up."""
    pool = Pool(
        PoolSettings(targets=(ASSETS,), slots=2, tasks_max=100, growth_bytes=1 << 28),
        clock=SystemClock(),
        log=SilentLog(),
    )
    early = [asyncio.create_task(pool.take()) for _ in range(2)]
    try:
        await asyncio.gather(pool.start(), *early)
        assert {child.nursery for child in (task.result() for task in early)} == {pool._nursery}
        assert pool.children == 2
    finally:
        await pool.stop()


async def test_code_that_cannot_be_loaded_is_told_with_its_trace(tmp_path: Path):
    code = tmp_path / "broken.py"
    code.write_text("1 / 0\n")
    with pytest.raises(CodeBroken, match="ZeroDivisionError"):
        async with a_pool(str(code)):
            pass


async def _nowhere(_table: dict[str, Any]) -> str:
    return "there is no catalog here"
