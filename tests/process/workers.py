"""Real worker processes for tests: `arco worker`, and any other program that speaks the protocol."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from tests.process.control_plane import DISPATCH_SECRET, TENANT, WORKSPACE
from tests.process.servers import environment

ASSETS = str(Path(__file__).with_name("worker_assets.py"))
STARTUP_S = 60.0


class Worker:
    """A worker process, its URL, and what it has said."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.url = ""
        self.records: list[dict[str, Any]] = []
        self.lines: list[str] = []
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Condition()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    async def says(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """Its records of an event, once there are so many."""
        async with asyncio.timeout(STARTUP_S), self._news:
            await self._news.wait_for(lambda: len(self.of(event)) >= count or self.process.poll() is not None)
        found = self.of(event)
        assert len(found) >= count, "\n".join(self.lines)
        return found

    def of(self, event: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record.get("event") == event]

    async def ended(self, number: int = signal.SIGTERM) -> int:
        """Its exit code after a signal."""
        self.process.send_signal(number)
        return await asyncio.to_thread(self.process.wait, STARTUP_S)

    def close(self) -> None:
        """Hear the rest of what it said, and no more."""
        self._listener.join(20)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._loop.call_soon_threadsafe(self._hear, line.rstrip("\n"))
        self._loop.call_soon_threadsafe(self._hear, "")

    def _hear(self, line: str) -> None:
        self.lines.append(line)
        with suppress(ValueError):
            self.records.append(json.loads(line))
        task = self._loop.create_task(self._tell())
        task.add_done_callback(lambda _: None)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


@asynccontextmanager
async def a_worker(api_url: str, *targets: str, flags: Sequence[str] = (), **variables: Any) -> AsyncIterator[Worker]:
    """An `arco worker` on a free port, with these variables beside those it needs."""
    given = {
        "ARCO_FLOW_API_URL": api_url,
        "ARCO_FLOW_TENANT_ID": TENANT,
        "ARCO_FLOW_WORKSPACE_ID": WORKSPACE,
        "ARCO_FLOW_WORKER_DISPATCH_SECRET": DISPATCH_SECRET,
        "ARCO_FLOW_API_KEY": "the key for logs",
        "ARCO_FLOW_LOG_FORMAT": "json",
        "ARCO_FLOW_WORKER_SLOTS": "2",
        "PORT": "0",
        **{f"ARCO_FLOW_{name}": str(value) for name, value in variables.items()},
    }
    command = [sys.executable, "-m", "arco", "worker", *(targets or (ASSETS,)), *flags]
    async with a_process(command, environment(given)) as worker:
        (started,) = await worker.says("worker_started")
        worker.url = started["url"]
        yield worker


@asynccontextmanager
async def a_process(command: Sequence[str], variables: Mapping[str, str]) -> AsyncIterator[Worker]:
    """Any worker's process; ended with the block."""
    process = await asyncio.to_thread(_launched, command, variables)
    worker = Worker(process)
    try:
        yield worker
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                await asyncio.to_thread(process.wait, 20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                await asyncio.to_thread(process.wait)
        await asyncio.to_thread(worker.close)


def _launched(command: Sequence[str], variables: Mapping[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=dict(variables),
        start_new_session=True,
    )
