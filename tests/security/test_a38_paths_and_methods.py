"""A-38: a path has one spelling; another one is 400 or 404, never a neighbour, and a method is what the line says."""

import pytest
from tests.process.servers import Server
from tests.security.wire import get, send

pytestmark = pytest.mark.process


@pytest.mark.parametrize(
    "path",
    [
        b"//api//v1//catalogs",
        b"/x/../api/v1/catalogs",
        b"/api/v1/./catalogs",
        b"/api/v1/catalogs/",
        b"/api/v1/catalogs.",
        b"/api/v1/catalogs;x=1",
        b"/API/v1/catalogs",
        b"/api/v1/Catalogs",
        b"/api%2Fv1/catalogs",
        b"/api/v1%2fcatalogs",
        b"/api/v1/%2e%2e/v1/catalogs",
        b"/api/v1/catalogs%00",
        b"/api/v1/catalogs%ff",
        b"/api/v1/catalogs%0d%0a",
        b"/api/v1/catalogs%",
        b"/api/v1/catalogs%2",
        b"/api/v1/catalogs/%2e%2e/%2e%2e",
        b"/internal/sync-compact",
        b"/api/v1/../internal/sync-compact",
    ],
)
def test_a38_another_spelling_is_another_path(shipped: Server, path: bytes):
    assert send(shipped.ports["api"], get(path)).statuses[0] in (400, 404)


def test_a38_an_encoded_slash_stays_inside_its_name(shipped: Server):
    answers = send(shipped.ports["api"], get(b"/api/v1/catalogs/a%2Fschemas"))
    assert answers.statuses == [404]
    assert "a/schemas" in answers.body["message"]


@pytest.mark.parametrize("method", [b"TRACE", b"PUT", b"PATCH", b"OPTIONS", b"M-SEARCH", b"CONNECT"])
def test_a38_a_method_that_a_path_does_not_have_is_405(shipped: Server, method: bytes):
    answers = send(shipped.ports["api"], get().replace(b"GET", method, 1))
    assert answers.statuses == [405]
    assert b"allow: GET, HEAD, POST" in answers.said


@pytest.mark.parametrize("name", [b"X-HTTP-Method-Override", b"X-HTTP-Method", b"X-Method-Override"])
def test_a38_no_header_changes_the_method(shipped: Server, name: bytes):
    port = shipped.ports["api"]
    assert send(port, get(b"/health", name + b": DELETE")).statuses == [200]


def test_a38_head_is_get_without_a_body(shipped: Server):
    answers = send(shipped.ports["api"], get(b"/health").replace(b"GET", b"HEAD", 1))
    assert answers.statuses == [200]
    assert answers.said.endswith(b"\r\n\r\n")
