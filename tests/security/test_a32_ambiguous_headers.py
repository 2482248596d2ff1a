"""A-32: headers that decide something are given once, belong to the request, and cannot be taken away or shadowed."""

import pytest
from tests.process.servers import Server
from tests.security.wire import get, send

pytestmark = pytest.mark.process

TWICE = [
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "X-Governance-Approval-Id",
    "X-Request-Id",
    "X-Tenant-Id",
    "X-User-Id",
    "X-Workspace-Id",
    "X-Metrics-Secret",
]


@pytest.mark.parametrize("name", TWICE)
def test_a32_a_header_given_twice_is_ambiguous(shipped: Server, name: str):
    for second in (name, name.upper()):
        answers = send(shipped.ports["api"], get(b"/health", f"{name}: a".encode(), f"{second}: a".encode()))
        assert answers.statuses == [400]
        assert answers.body["error"] == "ambiguous_request"


def test_a32_two_hosts_are_ambiguous(shipped: Server):
    answers = send(shipped.ports["api"], get(b"/health", b"Host: localhost"))
    assert answers.statuses == [400] and answers.body["error"] == "ambiguous_request"


@pytest.mark.parametrize("target", [b"http://evil/api/v1/catalogs", b"http://localhost/health", b"evil:80"])
def test_a32_a_target_with_a_host_of_its_own_is_ambiguous(shipped: Server, target: bytes):
    answers = send(shipped.ports["api"], get(target))
    assert answers.statuses == [400] and answers.body["error"] == "ambiguous_request"


@pytest.mark.parametrize("option", [b"Authorization", b"close, X-Tenant-Id", b"keep-alive,host", b"Content-Length"])
def test_a32_connection_cannot_name_what_decides(shipped: Server, option: bytes):
    answers = send(shipped.ports["api"], get(b"/health", b"Connection: " + option))
    assert answers.statuses == [400] and answers.body["error"] == "ambiguous_request"


def test_a32_an_underscore_is_not_a_hyphen(shipped: Server):
    port = shipped.ports["api"]
    scope = [b"X-Tenant-Id: local", b"X-Workspace-Id: default", b"X-Request-Id: the-same-twice"]
    twins = [b"X_Tenant_Id: other", b"X_Workspace_Id: other", b"Content_Length: 100", b"Transfer_Encoding: chunked"]
    answers = send(port, get(b"/api/v1/catalogs", *scope, *twins))
    assert answers.statuses[0] in (200, 404)
    assert answers.body == send(port, get(b"/api/v1/catalogs", *scope)).body


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket", b"TLS/1.0"])
def test_a32_nobody_changes_the_protocol(shipped: Server, upgrade: bytes):
    headers = [b"Upgrade: " + upgrade, b"HTTP2-Settings: AAMAAABkAAQAAP__", b"Sec-WebSocket-Key: a"]
    request = get(b"/health", *headers, b"Connection: Upgrade, HTTP2-Settings")
    assert send(shipped.ports["api"], request).statuses == [200]
