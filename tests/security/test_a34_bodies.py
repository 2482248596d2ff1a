"""A-34: a body is refused at its limit while it comes, nobody keeps more of it than that, and it comes as it is."""

import socket
import tracemalloc

import pytest
from starlette.responses import Response
from tests.process.servers import Server
from tests.security.wire import post, send
from tests.unit.edge.kit import an_endpoint, served

from arco.core.limits import BODY_BYTES_MAX

TOO_MUCH = BODY_BYTES_MAX + 1


@pytest.mark.process
def test_a34_an_announced_length_beyond_the_limit_is_413_before_the_body(shipped: Server):
    answers = send(shipped.ports["api"], post(b"", b"Content-Length: %d" % TOO_MUCH))
    assert answers.statuses == [413] and answers.closed
    assert answers.body["code"] == "PAYLOAD_TOO_LARGE"


@pytest.mark.process
def test_a34_chunks_beyond_the_limit_are_413_at_the_limit(shipped: Server):
    chunk = b"10000\r\n" + b"a" * 65_536 + b"\r\n"
    sent = 0
    with socket.create_connection(("127.0.0.1", shipped.ports["api"]), timeout=10) as connection:
        connection.sendall(post(b"", b"Transfer-Encoding: chunked"))
        connection.settimeout(0.001)
        said = b""
        while not said and sent < 100:
            try:
                connection.sendall(chunk)
                sent += 1
                said = connection.recv(4_096)
            except TimeoutError:
                continue
    assert said.startswith(b"HTTP/1.1 413")
    assert sent * 65_536 < BODY_BYTES_MAX + 8_000_000, "what the machines between buffer is a few megabytes"


async def test_a34_no_more_than_the_limit_is_kept():
    async def taken(request):
        return Response(str(len(await request.body())))

    app = served(an_endpoint("/b", taken, "POST"), body_bytes_max=1_000_000)

    async def endless():
        for _ in range(2_000):
            yield b"a" * 65_536

    tracemalloc.start()
    try:
        assert (await app.ask("POST", "/api/v1/b", content=endless())).status_code == 413
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 4_000_000


@pytest.mark.process
@pytest.mark.parametrize("coding", [b"gzip", b"br", b"deflate", b"zstd", b"identity, gzip", b"x"])
def test_a34_a_coded_body_is_415(shipped: Server, coding: bytes):
    answers = send(shipped.ports["api"], post(b"{}", b"Content-Length: 2", b"Content-Encoding: " + coding))
    assert answers.statuses == [415]


@pytest.mark.process
@pytest.mark.parametrize(
    "media", [b"multipart/form-data; boundary=a", b"text/plain", b"application/x-www-form-urlencoded", b"", b"*/*"]
)
def test_a34_a_body_of_another_type_is_415_and_nobody_looks_into_it(shipped: Server, media: bytes):
    parts = b"--a\r\n\r\n\r\n" * 100_000
    request = post(parts, b"Content-Length: %d" % len(parts)).replace(b"application/json", media)
    assert send(shipped.ports["api"], request).statuses == [415]


@pytest.mark.process
def test_a34_a_length_that_lies_is_not_believed(shipped: Server):
    short = send(shipped.ports["api"], post(b'{"name":"lied"}', b"Content-Length: 4"))
    assert short.statuses[0] == 400
    long = send(shipped.ports["api"], post(b'{"name":"lied"}', b"Content-Length: 400"), wait_s=4)
    assert long.statuses == [408]
