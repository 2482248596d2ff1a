"""Serves ASGI apps over HTTP with hypercorn, tuned (measurements.md 1); several apps may share one event loop.

Guarantees: the port is bound before anything else happens, so a taken port is a clear `PortTaken`; port 0 is any free
port and the real one is known before `serve` is called; when `shutdown` is set, in-flight requests get their answer
within `grace_s` and idle connections are closed.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

import msgspec
from starlette.types import ASGIApp

from arco.core.log import Log, SilentLog

BACKLOG: Final = 2_048
KEEP_ALIVE_S: Final = 75
HEADER_BYTES_MAX: Final = 32 * 1024
ENGINES: Final = ("hypercorn",)
"""Servers there is an adapter for."""

T = TypeVar("T")


class PortTaken(Exception):
    """Another process listens on this address."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(f"cannot listen on {host}:{port}: {reason}")
        self.host = host
        self.port = port


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
    engine: str = "hypercorn",
) -> None:
    """Serve `app` until `shutdown` is set and in-flight requests are answered, at most `grace_s` later."""
    if engine not in ENGINES:
        raise ValueError(f"unknown HTTP engine {engine!r}; one of: {', '.join(ENGINES)}")
    # Importing the server takes 70 ms, which `arco --help` does not have.
    from hypercorn.app_wrappers import ASGIWrapper  # noqa: PLC0415  # see above
    from hypercorn.asyncio.run import worker_serve  # noqa: PLC0415  # see above
    from hypercorn.config import Sockets  # noqa: PLC0415  # see above

    wrapped: Any = ASGIWrapper(app)  # type: ignore[arg-type]  # the same protocol under another project's names
    config = _config(grace_s, log or SilentLog())
    sockets = Sockets([], [listener.socket], [])
    try:
        await worker_serve(wrapped, config, sockets=sockets, shutdown_trigger=shutdown.wait)
    finally:
        listener.socket.close()


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


def _config(grace_s: float, log: Log) -> Any:
    from hypercorn.config import Config  # noqa: PLC0415  # see `serve`

    config = Config()
    config.backlog = BACKLOG
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.keep_alive_max_requests = 1_000_000_000  # the default reconnects every client each 1,000 requests
    config.include_server_header = False
    config.h11_max_incomplete_size = HEADER_BYTES_MAX
    config.graceful_timeout = grace_s
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
