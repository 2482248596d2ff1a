"""Raises when protocol code touches the machine in a simulation: real time, entropy, threads, sockets, sleeping.

Installed around every schedule; outside of one nothing changes.
"""

import asyncio
import contextlib
import os
import random
import secrets
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final


class TouchedTheMachine(AssertionError):
    """Protocol code used something that no seed decides."""


_WIRED: Final[tuple[tuple[Any, str], ...]] = (
    (time, "time"),
    (time, "time_ns"),
    (time, "monotonic"),
    (time, "monotonic_ns"),
    (time, "clock_gettime_ns"),
    (time, "sleep"),
    (os, "urandom"),
    (os, "getrandom"),
    (uuid, "uuid4"),
    (uuid, "uuid1"),
    (secrets, "token_bytes"),
    (secrets, "token_hex"),
    (random, "random"),
    (random, "randint"),
    (random, "uniform"),
    (random, "choice"),
    (random, "shuffle"),
    (socket, "create_connection"),
    (threading.Thread, "start"),
    (asyncio, "to_thread"),
)
_PRESENT: Final = tuple((owner, name) for owner, name in _WIRED if hasattr(owner, name))


@contextlib.contextmanager
def tripwires() -> Iterator[None]:
    """Every wire stretched, for the length of a block."""
    kept = [getattr(owner, name) for owner, name in _PRESENT]
    for owner, name in _PRESENT:
        setattr(owner, name, _wire(name))
    try:
        yield
    finally:
        for (owner, name), value in zip(_PRESENT, kept, strict=True):
            setattr(owner, name, value)


def _wire(name: str) -> Callable[..., Any]:
    def tripped(*_args: Any, **_fields: Any) -> Any:
        raise TouchedTheMachine(f"{name} was called in a simulation")

    return tripped
