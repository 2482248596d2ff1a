"""Real runs by real processes: killed in the middle, and finished all the same."""

import asyncio
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from .many_tasks import many_tasks
from .runs import Api, five, local
from .servers import Server, free_port
from .workers import a_worker

pytestmark = [pytest.mark.process, pytest.mark.slow]


async def test_a_run_whose_server_is_killed_in_the_middle_goes_on_with_the_next_one(tmp_path: Path) -> None:
    api, worker_port = Api(free_port()), free_port()
    settings = local(tmp_path, api.port, worker_port)
    first = await asyncio.to_thread(Server, [], settings)
    try:
        api.deploy(tmp_path)
        async with a_worker(api.url, str(tmp_path / "assets.py"), flags=("--port", str(worker_port))):
            run_id = api.trigger()
            await api.until(run_id, 3)
            await asyncio.to_thread(first.stop, signal.SIGKILL)
            second = await asyncio.to_thread(Server, [], settings)
            try:
                found = await api.until(run_id, 99)
            finally:
                await asyncio.to_thread(second.close)
    finally:
        await asyncio.to_thread(first.close)
    assert (found["state"], found["taskCounts"]["succeeded"]) == ("SUCCEEDED", 16)
    assert all(task["attempt"] == 1 for task in found["tasks"])


async def test_five_roles_and_a_worker_as_processes_of_their_own_finish_a_run(tmp_path: Path) -> None:
    api, worker_port = Api(free_port()), free_port()
    with ExitStack() as stack:
        roles = await asyncio.to_thread(stack.enter_context, five(tmp_path, api.port, worker_port))
        assert set(roles.servers) == {"api", "compactor", "flow-compactor", "dispatcher", "sweeper"}
        api.deploy(tmp_path)
        async with a_worker(api.url, str(tmp_path / "assets.py"), flags=("--port", str(worker_port))):
            run_id = api.trigger()
            found = await api.until(run_id, 99)
            assert (found["state"], found["taskCounts"]["succeeded"]) == ("SUCCEEDED", 16)
            assert all(task["attempt"] == 1 for task in found["tasks"])


async def test_each_of_five_roles_is_killed_in_the_middle_of_a_run_on_three_workers_and_nothing_changes(
    tmp_path: Path,
) -> None:
    found = await many_tasks(tmp_path, tasks=120, width=12)
    assert (found.state, found.succeeded, found.again) == ("SUCCEEDED", 120, 0)
    assert (len(found.killed), len(found.by_worker)) == (5, 3)
