"""One client of a soak: its connection, its users, and the judgement of every answer."""

import base64
import hmac
import json
import random
import socket
import threading
import time
from collections import Counter
from http.client import HTTPException
from typing import Any, Final

import msgspec
from tests.process.servers import Caller

SECRET: Final = "a jwt secret of more than thirty-two bytes"
PRINCIPALS: Final = 50
LATE: Final = ("OUTCOME_UNKNOWN", "OVERLOADED")
"""What a busy machine says when time runs out; it is counted, and nothing else of 5xx is allowed."""

SURPRISES_KEPT: Final = 100


def token(user: str, secret: str = SECRET, *, lives_s: int = 7200) -> str:
    """A user token of the workspace `local/default`."""
    claims = {"sub": user, "tenant": "local", "workspace": "default", "exp": int(time.time()) + lives_s}
    head, body = ({"alg": "HS256", "typ": "JWT"}, claims)
    signed = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (head, body)
    )
    proof = base64.urlsafe_b64encode(hmac.digest(secret.encode(), signed.encode(), "sha256")).rstrip(b"=").decode()
    return f"{signed}.{proof}"


class Tally(msgspec.Struct):
    """What clients asked and were told."""

    answers: Counter[str] = msgspec.field(default_factory=Counter)
    statuses: Counter[int] = msgspec.field(default_factory=Counter)
    surprises: list[str] = msgspec.field(default_factory=list)
    late: int = 0
    lost: int = 0
    slowest_ms: float = 0.0
    lock: Any = msgspec.field(default_factory=threading.Lock)

    def answered(self, kind: str, status: int, took_s: float) -> None:
        """Count an answer."""
        with self.lock:
            self.answers[f"{kind} {status}"] += 1
            self.statuses[status] += 1
            self.slowest_ms = max(self.slowest_ms, took_s * 1000)

    def surprised(self, what: str) -> None:
        """Keep an answer nobody should get; the first of them."""
        with self.lock:
            if len(self.surprises) < SURPRISES_KEPT:
                self.surprises.append(what)


class Asker:
    """Asks one api as any of its users, and judges what it is told."""

    def __init__(self, port: int, chance: random.Random, tally: Tally) -> None:
        self.port = port
        self.tally = tally
        self.chance = chance
        self.users = [token(f"user{one}") for one in range(PRINCIPALS)]
        self._caller = Caller(port, timeout_s=70)

    def close(self) -> None:
        """End the connection."""
        self._caller.close()

    def ask(
        self, kind: str, method: str, path: str, body: Any = None, *, good: tuple[int, ...] = (200,), **more: str
    ) -> tuple[int, Any]:
        """Ask and judge: a status that is not in `good` is a surprise. `more` are headers."""
        headers = {"Authorization": f"Bearer {self.chance.choice(self.users)}"}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        began = time.perf_counter()
        try:
            status, told = self._caller.ask(method, path, body, headers)
        except (OSError, HTTPException) as error:
            with self.tally.lock:
                self.tally.lost += 1
            self.tally.surprised(f"{method} {path}: {error!r}")
            return 0, None
        self.tally.answered(kind, status, time.perf_counter() - began)
        if status == 503 and isinstance(told, dict) and told.get("code") in LATE:
            with self.tally.lock:
                self.tally.late += 1
        elif status not in good:
            self.tally.surprised(f"{method} {path} {body!r:.200}: {status} {told!r:.300}")
        return status, told

    def raw(self, kind: str, data: bytes) -> None:
        """Send bytes on a connection of their own, and read until the server closes it."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
                connection.sendall(data)
                self.drained(connection, kind)
        except (ConnectionResetError, BrokenPipeError):
            self.tally.answered(kind, 0, 0)  # refused before it was read to its end

    def drained(self, connection: socket.socket, kind: str) -> None:
        """Read a connection to its end, and count the first answer on it."""
        began = time.perf_counter()
        said = b""
        while part := connection.recv(65_536):
            said = said or part[:64]
        status = int(said.split(b" ", 2)[1]) if said.startswith(b"HTTP/1.1 ") else 0
        self.tally.answered(kind, status, time.perf_counter() - began)
        if status >= 500:
            self.tally.surprised(f"{kind}: {said!r}")
