"""Raw fuzzing of the door: random and mutated request bytes to a real server.

    python -m tests.fuzz.raw [requests] [seed]

The oracle: the server stays alive, gives at most one answer for each request it was sent, never a 5xx, and nothing of
what was sent as the body or the tail of a request is answered as a request of its own.
"""

import random
import re
import socket
import sys
import time
from collections import Counter

from tests.process.servers import serving

SEED = 7_411
DEADLINES = {"ARCO_HTTP_HEADER_TIMEOUT_SECS": "1", "ARCO_HTTP_BODY_TIMEOUT_SECS": "1"}
_REFUSED = (400, 408, 431)
_STATUS = re.compile(rb"^HTTP/1\.1 ([0-9]{3}) ", re.MULTILINE)
_NAMES = [
    *(b"Host", b"Content-Length", b"Transfer-Encoding", b"Connection", b"Content-Type", b"Authorization", b"Expect"),
    *(b"X-Tenant-Id", b"X_Tenant_Id", b"Idempotency-Key", b"If-Match", b"Accept", b"Range", b"Cookie", b"Upgrade"),
    *(
        b"X-Request-Id",
        b"Origin",
        b"Access-Control-Request-Method",
        b"X-Forwarded-For",
        b"TE",
        b"Trailer",
        b"Content-Encoding",
    ),
]
_VALUES = [
    *(b"localhost", b"0", b"5", b"+5", b"0x5", b"5, 5", b"chunked", b"chunked, identity", b"close", b"keep-alive"),
    *(
        b"application/json",
        b"Bearer a.b.c",
        b"100-continue",
        b"*/*",
        b"bytes=0-1",
        b"h2c",
        b"websocket",
        b"gzip",
        b"",
        b"\x00",
    ),
    *(b"a" * 5_000, b"\xff\xfe", b"a\tb", b"local", b"..", b'"x"', b"*", b"01930a0b-1234-7abc-9def-0123456789ab"),
]
_TARGETS = [
    *(b"/api/v1/catalogs", b"/health", b"/api/v1/catalogs/a/schemas", b"/api/v1/query", b"/", b"/docs", b"/metrics"),
    *(
        b"/api/v1/lineage/edges",
        b"*",
        b"http://a/",
        b"/%00",
        b"/%ff",
        b"/a%2Fb",
        b"//",
        b"/..",
        b"/api/v1/catalogs?limit=x",
    ),
    *(b"/api/v1/namespaces/a/tables/b", b"/api/v1/catalogs?cursor=a&limit=1", b"/api/v1/catalogs/%F0%9F%A6%86"),
]
_METHODS = [
    b"GET",
    b"POST",
    b"PUT",
    b"PATCH",
    b"DELETE",
    b"HEAD",
    b"OPTIONS",
    b"TRACE",
    b"CONNECT",
    b"get",
    b"G T",
    b"",
]
_BODIES = [
    b"",
    b"{}",
    b'{"name":"a"}',
    b"5\r\nhello\r\n0\r\n\r\n",
    b"0\r\n\r\n",
    b"0\r\nX: y\r\n\r\n",
    b"[" * 40,
    b"\xff" * 9,
]
_NOISE = [b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b":", b"\x00", b";", b",", b"\x80", b"HTTP/1.1", b"\r\n "]


def request(chance: random.Random) -> bytes:
    """One request, near to a proper one or not."""
    odd = chance.random() < 0.15
    target, method = chance.choice(_TARGETS), chance.choice(_METHODS if odd else _METHODS[:7])
    version = chance.choice([b"HTTP/1.1"] * 20 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.1 ", b""])
    lines = [method + b" " + target + b" " + version]
    if chance.random() < 0.95:
        lines.append(b"Host: localhost")
    lines += [chance.choice(_NAMES) + b": " + chance.choice(_VALUES) for _ in range(chance.choice([0, 0, 1, 2, 5]))]
    body = chance.choice(_BODIES)
    if body and chance.random() < 0.6:
        lines += [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
    data = b"\r\n".join(lines) + b"\r\n\r\n" + body
    for _ in range(chance.choice([0, 0, 0, 0, 0, 1, 1, 3])):
        at = chance.randrange(len(data) + 1)
        data = data[:at] + chance.choice(_NOISE) + data[at + chance.randrange(3) :]
    return data


class Broken(AssertionError):
    """The oracle said no; the message has the bytes."""


def ask(connection: socket.socket, data: bytes) -> list[int]:
    """Send one request, say that nothing follows, and give the statuses of everything that comes back."""
    try:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # refused while we were sending
    said = b""
    try:
        while part := connection.recv(65_536):
            said += part
    except ConnectionResetError:
        pass
    except TimeoutError:
        raise Broken(f"no end after {data!r}") from None
    return [int(status) for status in _STATUS.findall(said) if status != b"100"]


def requests_in(data: bytes) -> int:
    """The most requests that anybody could read in these bytes."""
    return max(1, data.count(b"HTTP/1."))


def fuzz(port: int, count: int, seed: int) -> Counter[int]:
    """So many requests, each on a connection of its own; how often which status came (0: none). Raises `Broken`."""
    chance = random.Random(seed)
    found: Counter[int] = Counter()
    for _ in range(count):
        data = request(chance)
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            statuses = ask(connection, data)
        # Bytes after a request are the begin of another one; when they are none, that is one refusal and the end.
        served = statuses[:-1] if statuses and statuses[-1] in _REFUSED else statuses
        if len(served) > requests_in(data) or any(status >= 500 for status in statuses):
            raise Broken(f"{statuses} for {data!r}")
        found.update(statuses or [0])
    return found


def main() -> int:
    """Fuzz, and print what came back."""
    count, seed = (int(each) for each in [*sys.argv[1:], *("100000", str(SEED))[len(sys.argv) - 1 :]])
    with serving(["--port", "0", "--storage", "memory://"], DEADLINES) as server:
        began = time.perf_counter()
        found = fuzz(server.ports["api"], count, seed)
        seconds = time.perf_counter() - began
        assert server.process.poll() is None, "the server is still there"
        assert server.stop() == 0
    told = ", ".join(f"{status or 'closed'}: {times}" for status, times in sorted(found.items()))
    sys.stdout.write(f"{count} requests, seed {seed}, {seconds:.0f} s: {told}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
