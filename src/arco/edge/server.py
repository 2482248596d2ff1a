"""Serves ASGI apps over HTTP with hypercorn's protocol behind our wire gate; several apps may share one event loop.

Guarantees: the port is bound before anything else happens, so a taken port is a clear `PortTaken`; port 0 is any free
port and the real one is known before `serve` is called; when `shutdown` is set, in-flight requests get their answer
within `grace_s` and idle connections are closed.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import msgspec
from starlette.types import ASGIApp

from arco.core.entropy import Ids
from arco.core.log import Log, SilentLog
from arco.core.metrics import Registry
from arco.edge.hub import Hub, WireLimits
from arco.edge.wire_gate import HEAD_BYTES_MAX

BACKLOG: Final = 2_048
ENGINES: Final = ("hypercorn",)
"""Servers there is an adapter for."""

T = TypeVar("T")


class PortTaken(Exception):
    """Another process listens on this address."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(f"cannot listen on {host}:{port}: {reason}")
        self.host = host
        self.port = port


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """How connections are treated, where that is counted, and who names the answers that no app gave."""

    limits: WireLimits = WireLimits()
    registry: Registry = msgspec.field(default_factory=Registry)
    ids: Ids | None = None


class Listener(msgspec.Struct, frozen=True):
    """A listening socket and the address it really has."""

    socket: socket.socket
    host: str
    port: int

    @property
    def url(self) -> str:
        """Where clients on this machine reach it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # what to dial, not what to bind
        return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{self.port}"


def bind(host: str, port: int) -> Listener:
    """A listening socket; port 0 means any free one. Who connects waits until `serve` runs. Raises `PortTaken`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Without this a restart would have to wait until the kernel forgets old connections.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        # Two sockets may be bound to one port, only one can listen: from here on the port is ours.
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise PortTaken(host, port, error.strerror or str(error)) from None
    made.setblocking(False)
    made.set_inheritable(False)
    return Listener(made, host, made.getsockname()[1])


async def serve(  # by name
    app: ASGIApp,
    listener: Listener,
    *,
    shutdown: asyncio.Event,
    grace_s: float = 25.0,
    log: Log | None = None,
    wire: Wire | None = None,
    engine: str = "hypercorn",
) -> None:
    """Serve `app` until `shutdown` is set and in-flight requests are answered, at most `grace_s` later."""
    if engine not in ENGINES:
        raise ValueError(f"unknown HTTP engine {engine!r}; one of: {', '.join(ENGINES)}")
    # Importing the server takes 70 ms, which `arco --help` does not have.
    from arco.edge.wire import Server  # noqa: PLC0415  # hypercorn, which other commands do without

    wire = wire or Wire()
    said = log or SilentLog()
    hub = Hub(wire.limits, wire.registry, wire.ids)
    server = Server(app, _config(said), hub, said)
    try:
        async with _lifespan(app, server.config):
            sockets = await asyncio.get_running_loop().create_server(
                server.connection, sock=listener.socket, backlog=BACKLOG
            )
            await shutdown.wait()
            sockets.close()
            await server.context.terminated.set()
            await hub.end(grace_s)
    finally:
        listener.socket.close()


@asynccontextmanager
async def _lifespan(app: ASGIApp, config: Any) -> AsyncIterator[None]:
    """Start the app, and end it afterwards. Raises what its start raises."""
    from hypercorn.app_wrappers import ASGIWrapper  # noqa: PLC0415  # only a server loads hypercorn
    from hypercorn.asyncio.lifespan import Lifespan  # noqa: PLC0415  # only a server loads hypercorn

    wrapped: Any = ASGIWrapper(app)  # type: ignore[arg-type]  # the same protocol under another project's names
    lifespan = Lifespan(wrapped, config, asyncio.get_running_loop(), {})
    task = asyncio.create_task(lifespan.handle_lifespan())
    try:
        await lifespan.wait_for_startup()
        if task.done():
            task.result()
        yield
        await lifespan.wait_for_shutdown()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def allow_open_files(count: int) -> int:
    """Raise this process's soft limit of open files to `count` where the hard limit lets it; what it is then."""
    try:
        import resource  # noqa: PLC0415  # there is none on Windows
    except ImportError:
        return count
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `main` on uvloop where it is installed, else on asyncio's own loop."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415  # not on Windows, and not needed by clients
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _config(log: Log) -> Any:
    from hypercorn.config import Config  # noqa: PLC0415  # only a server loads hypercorn

    config = Config()
    config.keep_alive_max_requests = 1_000_000_000  # the default reconnects every client each 1,000 requests
    config.include_server_header = False
    config.h11_max_incomplete_size = 2 * HEAD_BYTES_MAX  # the gate has counted already
    config.accesslog = None
    config.errorlog = None
    config._log = _ServerLog(log)  # type: ignore[assignment]  # hypercorn offers no other way to hand in a logger
    return config


class _ServerLog:
    """What hypercorn has to say, as our records."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def access(self, *_facts: Any) -> None:
        """Say nothing: the door measures requests."""

    async def critical(self, message: str, *args: Any, **_: Any) -> None:
        """Pass a failure on."""
        self._log.error("server_failed", msg=_text(message, args))

    async def error(self, message: str, *args: Any, **_: Any) -> None:
        """Pass a failure on."""
        self._log.error("server_failed", msg=_text(message, args))

    exception = error

    async def warning(self, message: str, *args: Any, **_: Any) -> None:
        """Pass a warning on."""
        self._log.warning("server_warned", msg=_text(message, args))

    async def info(self, message: str, *args: Any, **_: Any) -> None:
        """Pass a detail on."""
        self._log.debug("server_reported", msg=_text(message, args))

    debug = info


def _text(message: str, args: tuple[Any, ...]) -> str:
    return message % args if args else message
