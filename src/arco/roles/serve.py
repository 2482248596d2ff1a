"""`arco serve`: configuration, sockets, roles, signals, and an orderly end (operations.md 6).

Start: configuration (every problem at once, exit 78), storage (exit 69), sockets, serve. End on SIGTERM or SIGINT:
drain, answer what is in flight, finish what the compactor has queued, exit 0; a second signal exits at once, which is
safe by design.
"""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Final

import arco
from arco.config.problems import EXIT_CODE, Problems
from arco.config.settings import AUTH_DEVELOPMENT, Settings, load
from arco.config.variables import ALL, API
from arco.core.clock import SystemClock
from arco.core.errors import InvalidInput
from arco.core.log import LineLog, standard_output
from arco.edge.hub import WireLimits
from arco.edge.server import Listener, PortTaken, Wire, allow_open_files, bind
from arco.edge.server import run as run_loop
from arco.edge.server import serve as serve_app
from arco.query.pandas_free import load_no_pandas
from arco.roles import all_roles
from arco.roles.process import Process, make_process
from arco.roles.served import ServedRole

EXIT_STORAGE: Final = 69
EXIT_PORT: Final = 1
EXIT_DIED: Final = 70
EXIT_UNFINISHED: Final = 75
_FILES_OF_OUR_OWN: Final = 512
_BEAT_MS: Final = 5_000
_PORT_HELP: Final = "Another server may be running; choose another port with --port, or 0 for any."


def run(role: str | None, overrides: Mapping[str, str]) -> int:
    """Serve one role, or all of them, until told to stop; the exit code."""
    _dump_no_core()
    load_no_pandas()
    environ = {**os.environ, **overrides}
    settings = load(role or ALL, environ, _read_file)
    if isinstance(settings, Problems):
        sys.stderr.write(settings.text())
        return EXIT_CODE
    for warning in settings.warnings:
        sys.stderr.write(f"arco: {warning}\n")
    log = LineLog(standard_output, SystemClock(), level=settings.log_level, text=settings.log_format == "text")
    try:
        process = make_process(settings.storage, log=log, cache_bytes=settings.value("ARCO_CACHE_BYTES"))
        process.prepare_storage()
        listeners = _bind_all(settings)
    except InvalidInput as error:
        sys.stderr.write(f"arco: ARCO_STORAGE_BUCKET: {error.message}\n")
        return EXIT_STORAGE
    except PortTaken as error:
        sys.stderr.write(f"arco: {error}\n{_PORT_HELP}\n")
        return EXIT_PORT
    return run_loop(lambda: _main(settings, process, listeners, environ))


def _dump_no_core() -> None:
    """A crash must not leave the secrets of this process in a file."""
    try:
        import resource  # noqa: PLC0415  # not on Windows
    except ImportError:
        return
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _read_file(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _bind_all(settings: Settings) -> dict[str, Listener]:
    bound: dict[str, Listener] = {}
    try:
        for role, port in settings.ports.items():
            bound[role] = bind(settings.host if role == API else settings.internal_host, port)
    except PortTaken:
        for listener in bound.values():
            listener.socket.close()
        raise
    return bound


async def _main(
    settings: Settings, process: Process, listeners: Mapping[str, Listener], environ: Mapping[str, str]
) -> int:
    process.urls = {role: listener.url for role, listener in listeners.items()}
    roles = all_roles.build(settings, process, environ)
    stop = _Signals(roles)
    wire = wire_of(settings, process)
    allow_open_files(len(listeners) * wire.limits.connections_max + _FILES_OF_OUR_OWN)
    stops = {served.role: asyncio.Event() for served in roles}
    serving = {
        served.role: asyncio.create_task(
            serve_app(
                served.app,
                listeners[served.role],
                shutdown=stops[served.role],
                grace_s=settings.shutdown_timeout_s,
                log=process.log,
                wire=wire,
            )
        )
        for served in roles
    }
    for served in roles:
        served.begin()
    beating = asyncio.create_task(_beat(process, roles))
    # What was made so far lives as long as the process: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    _announce(settings, listeners)
    first_end = asyncio.create_task(asyncio.wait(serving.values(), return_when=asyncio.FIRST_COMPLETED))
    await asyncio.wait({asyncio.create_task(stop.asked.wait()), first_end}, return_when=asyncio.FIRST_COMPLETED)
    died = [role for role, task in serving.items() if task.done() and task.exception() is not None]
    code = await _end(settings, roles, stops, serving)
    beating.cancel()
    await process.close()
    for role in died:
        process.log.error("server_died", role=role, error=repr(serving[role].exception()))
    return EXIT_DIED if died else code


def wire_of(settings: Settings, process: Process) -> Wire:
    """How the servers of this process treat connections."""
    limits = WireLimits(
        header_s=settings.value("ARCO_HTTP_HEADER_TIMEOUT_SECS"),
        body_s=settings.value("ARCO_HTTP_BODY_TIMEOUT_SECS"),
        keep_alive_s=settings.value("ARCO_HTTP_KEEP_ALIVE_SECS"),
        connections_max=settings.value("ARCO_HTTP_CONNECTIONS_MAX"),
    )
    return Wire(limits=limits, registry=process.registry, ids=process.ids)


async def _end(
    settings: Settings,
    roles: Sequence[ServedRole],
    stops: Mapping[str, asyncio.Event],
    serving: Mapping[str, "asyncio.Task[None]"],
) -> int:
    for served in roles:
        if served.role == API or len(roles) == 1:
            served.lifecycle.drain()
    await asyncio.sleep(settings.drain_delay_s)
    unfinished = 0
    for served in roles:
        served.lifecycle.drain()
        stops[served.role].set()
        await asyncio.wait({serving[served.role]}, timeout=settings.shutdown_timeout_s)
        unfinished += served.lifecycle.in_flight
        await served.close()
    if unfinished:
        sys.stderr.write(f"arco: stopped with {unfinished} unfinished requests\n")
    return EXIT_UNFINISHED if unfinished else 0


class _Signals:
    """The first signal asks for an orderly end, the second one ends."""

    def __init__(self, roles: Sequence[ServedRole]) -> None:
        self.asked = asyncio.Event()
        self._roles = roles
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):  # Windows has no signal handlers in its loop
                loop.add_signal_handler(number, self._received, number)

    def _received(self, number: int) -> None:
        if self.asked.is_set():
            # Safe by design: every step is crash-safe, and whoever asks twice does not want to wait.
            os._exit(128 + number)
        self.asked.set()


async def _beat(process: Process, roles: Sequence[ServedRole]) -> None:
    while True:
        for served in roles:
            served.health.beat()
        await process.clock.sleep_ms(_BEAT_MS)


def _announce(settings: Settings, listeners: Mapping[str, Listener]) -> None:
    """Says where everything is: on one line for programs and logs, line by line on a terminal."""
    open_to_all = settings.auth.mode == AUTH_DEVELOPMENT and API in listeners
    lines = _for_people if sys.stdout.isatty() else _for_programs
    sys.stdout.write(lines(settings, listeners, open_to_all=open_to_all) + "\n")
    sys.stdout.flush()


def _for_programs(settings: Settings, listeners: Mapping[str, Listener], *, open_to_all: bool) -> str:
    places = "  ".join(f"{role} {listener.url}" for role, listener in listeners.items())
    line = f"arco {arco.__version__} ready: {places}  storage {settings.storage}"
    if API in listeners:
        line += f"  reference {listeners[API].url}/docs"
    return line + ("  (development scope: tenant local, workspace default, no credentials)" if open_to_all else "")


def _for_people(settings: Settings, listeners: Mapping[str, Listener], *, open_to_all: bool) -> str:
    facts = [(role, listener.url) for role, listener in listeners.items()]
    facts.append(("storage", settings.storage))
    if open_to_all:
        facts.append(("serves", "tenant local, workspace default; no credentials are asked for"))
    width = max(len(name) for name, _ in facts)
    end = f"\nopen {listeners[API].url} in a browser; Ctrl-C stops it" if API in listeners else "\nCtrl-C stops it"
    return "\n".join(
        [f"arco {arco.__version__} is ready", *(f"  {name:<{width}}  {fact}" for name, fact in facts), end]
    )
