"""One shipped server for the tests that send it bytes; its deadlines are a second so that nobody waits for them."""

from collections.abc import Iterator

import pytest
from tests.process.servers import Server, serving
from tests.unit.query.conftest import _worlds_are_closed

__all__ = ["_worlds_are_closed"]

DEADLINES = {"ARCO_HTTP_HEADER_TIMEOUT_SECS": "1", "ARCO_HTTP_BODY_TIMEOUT_SECS": "1"}


@pytest.fixture(scope="package")
def shipped() -> Iterator[Server]:
    """`arco serve` with every role over memory."""
    with serving(["--port", "0", "--storage", "memory://"], DEADLINES) as server:
        yield server
        assert server.process.poll() is None, "the server is still there"
