"""A run of many tasks over five roles and three workers, each role killed once in the middle.

python -m tests.process.many_tasks --tasks 1000 --width 25
"""

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import msgspec

from .runs import Api, five
from .servers import free_port
from .workers import a_worker

WORKERS = 3
ROLES = ("dispatcher", "api", "flow-compactor", "sweeper", "compactor")


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """How it went: `again` counts tasks of more than one attempt, `killed` how many had succeeded at each kill."""

    state: str
    succeeded: int
    again: int
    killed: dict[str, int]
    by_worker: list[int]
    seconds: float


async def _pumped(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
    target.close()


@asynccontextmanager
async def balancer(port: int, targets: Sequence[int]) -> AsyncIterator[None]:
    """One address for several workers, as a load balancer gives: connections go to each in turn."""
    turn = itertools.cycle(targets)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner, outer = await asyncio.open_connection("127.0.0.1", next(turn))
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pumped(reader, outer), _pumped(inner, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()


async def many_tasks(folder: Path, *, tasks: int, width: int) -> Ran:
    """Run so many tasks, `width` at a time, and kill each role once on the way."""
    api, front = Api(free_port()), free_port()
    ports = [free_port() for _ in range(WORKERS)]
    async with AsyncExitStack() as stack:
        roles = await asyncio.to_thread(stack.enter_context, five(folder, api.port, front))
        api.deploy(folder, tasks, width)
        for port in ports:
            flags = ("--port", str(port))
            await stack.enter_async_context(a_worker(api.url, str(folder / "assets.py"), flags=flags, WORKER_SLOTS=4))
        await stack.enter_async_context(balancer(front, ports))
        began = time.perf_counter()
        run_id = api.trigger(tasks)
        killed = {}
        for number, role in enumerate(ROLES, start=1):
            found = await api.until(run_id, tasks * number // (len(ROLES) + 1), 600)
            killed[role] = found["taskCounts"]["succeeded"]
            await asyncio.to_thread(roles.restart, role)
        found = await api.until(run_id, tasks + 1, 600)
        seconds = time.perf_counter() - began
    done = Counter(task.get("workerId", "") for task in found["tasks"])
    return Ran(
        state=found["state"],
        succeeded=found["taskCounts"]["succeeded"],
        again=sum(task["attempt"] != 1 for task in found["tasks"]),
        killed=killed,
        by_worker=sorted(done.values()),
        seconds=round(seconds, 1),
    )


def main() -> None:
    """Run it and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--width", type=int, default=25, help="tasks that do not wait for each other")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(many_tasks(Path(folder), tasks=given.tasks, width=given.width))
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")


if __name__ == "__main__":
    main()
