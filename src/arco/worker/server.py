"""The worker as a process: its HTTP server, its signals, its end (orchestration.md 7.5).

SIGTERM and SIGINT let tasks end and then have them end; a second one hurries. SIGHUP loads the user's code anew, and so
does `watch` when a file of it changes.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import msgspec
from aiohttp import web

import arco
from arco.clients.callback_batches import GatheredCallbacks
from arco.clients.callbacks import Caller
from arco.config.worker import WorkerSettings
from arco.core.clock import SystemClock
from arco.core.log import LineLog, Log, standard_output
from arco.core.secret_set import SecretSet
from arco.dispatch.envelope import ENVELOPE_BYTES_MAX, SECRET_HEADER
from arco.worker.attempt import Bench
from arco.worker.children import CodeBroken
from arco.worker.code_files import HEADER, state_of
from arco.worker.desk import Desk, Gatekeeping
from arco.worker.pool import Pool, PoolSettings
from arco.worker.registry import Registry

AGENT: Final = "arco-flow-cli"
WATCH_MS: Final = 500
REPORT_GRACE_MS: Final = 10_000
"""How long a stopping worker goes on reporting about the tasks it ended, after their grace."""

_MIB: Final = 1024 * 1024
_PR_SET_DUMPABLE: Final = 4

Listening = Callable[[str], None]
"""Is told the worker's URL once it takes dispatches."""


class Hand(msgspec.Struct, frozen=True, kw_only=True):
    """What is decided on the command line: the code, and whether it is loaded anew when it changes."""

    targets: Sequence[str]
    watch: bool = False
    listening: Listening | None = None


def run(settings: WorkerSettings, hand: Hand) -> None:
    """Run a worker until it is told to stop. Raises `CodeBroken` when the user's code cannot be loaded, `OSError`."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_Worker(settings, hand).main())


class _Worker:
    """One process's worker."""

    def __init__(self, settings: WorkerSettings, hand: Hand) -> None:
        self._settings = settings
        self._hand = hand
        self._clock = SystemClock()
        text = settings.log_format == "text"
        self._log: Log = LineLog(standard_output, self._clock, level=settings.log_level, text=text)
        self._pool = Pool(_pool_settings(settings, hand.targets), clock=self._clock, log=self._log)
        self._callbacks = GatheredCallbacks(_caller(settings), self._clock)
        self._registry = Registry(settings)
        self._desk = self._new_desk()
        self._code: str | None = None
        self._stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def main(self) -> None:
        """From loading the code to the last report."""
        _hide_environment()
        for warning in self._settings.warnings:
            self._log.warning("config_warning", warning=warning)
        server = web.Server(self._answer, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await runner.setup()
        try:
            seen = await asyncio.to_thread(state_of, self._hand.targets) if self._hand.watch else None
            self._listen_to_signals()
            if not await self._pool_started():
                return
            # Only now: a dispatch that comes earlier would be lost with code that cannot be loaded.
            site = web.TCPSite(runner, self._settings.host, self._settings.port, backlog=1_024)
            await site.start()
            self._code = seen
            self._tell(runner)
            if seen is not None:
                self._begin(self._watch(seen))
            await self._stopping.wait()
            within_ms = self._settings.drain_s * 1000
            await self._desk.drain(within_ms, grace_ms=self._settings.grace_s * 1000 + REPORT_GRACE_MS)
        finally:
            for task in list(self._tasks):
                task.cancel()
            await runner.cleanup()
            await self._pool.stop()
            await self._callbacks.close()
            await self._registry.close()
        self._log.info("worker_stopped")

    async def _pool_started(self) -> bool:
        """Load the code; False when told to stop meanwhile."""
        loop = asyncio.get_running_loop()
        starting, stopping = loop.create_task(self._start_pool()), loop.create_task(self._stopping.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                return False
            starting.result()
            return True
        finally:
            starting.cancel()
            stopping.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)

    async def _start_pool(self) -> None:
        """Load the code. One that is watched may be broken at first: tasks fail with the reason until it is mended."""
        try:
            await self._pool.start()
        except CodeBroken:
            if not self._hand.watch:
                raise
            await self._pool.reload()

    def _new_desk(self) -> Desk:
        settings = self._settings
        bench = Bench(
            callbacks=self._callbacks,
            pool=self._pool,
            clock=self._clock,
            log=self._log,
            worker_id=settings.worker_id or f"{socket.gethostname()}-{os.getpid()}",
            grace_ms=settings.grace_s * 1000,
            report_ms=settings.report_s * 1000,
            register=self._registry.register,
            task_token=settings.task_token,
        )
        rules = Gatekeeping(
            secrets=SecretSet(*(secret.strip() for secret in settings.dispatch_secrets)),
            tenant=settings.tenant,
            workspace=settings.workspace,
            api_url=settings.api_url,
            slots=settings.slots,
        )
        return Desk(rules, bench, self._log)

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        if request.path == "/health":
            return web.Response(text="ok", headers={HEADER: self._code} if self._code else None)
        if request.path != "/dispatch":
            return web.Response(status=404, text="not found")
        if request.method != "POST":
            return web.Response(status=405, text="POST only", headers={"Allow": "POST"})
        if not self._desk.knows(request.headers.get(SECRET_HEADER), request.headers.get("Authorization")):
            return web.Response(status=401, text="the dispatch secret is missing or wrong")
        if (request.content_length or 0) > ENVELOPE_BYTES_MAX:
            return web.Response(status=400, text=f"the envelope is over {ENVELOPE_BYTES_MAX} bytes")
        reply = await self._desk.take(await request.read())
        return web.Response(status=reply.status, text=reply.text, headers=reply.headers(self._desk.slots))

    def _tell(self, runner: web.ServerRunner) -> None:
        address = runner.addresses[0]
        host = f"[{address[0]}]" if ":" in str(address[0]) else address[0]
        url = f"http://{host}:{address[1]}"
        self._log.info("worker_started", url=url, slots=self._desk.slots, assets=len(self._pool.assets))
        if self._hand.listening is not None:
            self._hand.listening(url)

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._begin(self._pool.reload()))

    def _stop(self) -> None:
        if self._stopping.is_set():
            self._desk.hurry()
        self._stopping.set()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch(self, seen: str) -> None:
        """Load the code anew whenever a file of it is another one than when it was looked at last."""
        while True:
            await self._clock.sleep_ms(WATCH_MS)
            found = await asyncio.to_thread(state_of, self._hand.targets)
            if found != seen:
                seen = found
                await self._pool.reload()
                self._code = found


def _pool_settings(settings: WorkerSettings, targets: Sequence[str]) -> PoolSettings:
    return PoolSettings(
        targets=targets,
        slots=settings.slots,
        tasks_max=settings.child_tasks,
        growth_bytes=settings.child_growth_mb * _MIB,
        memory_bytes=(settings.task_memory_mb or 0) * _MIB,
    )


def _caller(settings: WorkerSettings) -> Caller:
    scope = {"X-Tenant-Id": settings.tenant, "X-Workspace-Id": settings.workspace, "X-User-Id": settings.user}
    return Caller(
        base_url=settings.api_url,
        agent=f"{AGENT}/{arco.__version__}",
        workspace=settings.workspace,
        api_key=settings.api_key,
        debug_headers=scope if settings.debug else {},
    )


def _hide_environment() -> None:
    """Keep other processes of this user, which user code is, from reading this one's memory and environment."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415  # not on Windows
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
