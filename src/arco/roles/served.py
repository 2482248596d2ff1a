"""A role as it is served: its app, its lifecycle, and what to do when it ends."""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.applications import Starlette

from arco.edge.health import Health
from arco.edge.lifecycle import Lifecycle


async def nothing() -> None:
    """There is nothing to close."""


def nothing_begins() -> None:
    """There is nothing that runs by itself."""


class ServedRole(msgspec.Struct, kw_only=True):
    """One role, ready to be served on its port."""

    role: str
    app: Starlette
    lifecycle: Lifecycle
    health: Health
    close: Callable[[], Awaitable[None]] = nothing
    begin: Callable[[], None] = nothing_begins
    """Start what runs by itself, within the event loop that serves the role."""
