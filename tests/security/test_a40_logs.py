"""A-40: whatever callers write, one record is one line of JSON, and ids that are not ids are replaced."""

import json

import pytest
from tests.unit.edge.kit import an_endpoint, served

from arco.edge.auth import DebugHeaders

NASTY = {
    "line_ends": 'a\r\n{"event":"forged"}\u2028\u2029\x85b',
    "ansi": "\x1b[31mred\x1b[0m\x07",
    "json": '","event":"forged","x":"',
    "bidi": "\u202egnp.exe\u2066\u200f",
    "surrogate": "\ud800",
    "megabyte": "x" * 1_000_000,
}
WHERE = ["user-agent", "x-user-id", "x-request-id", "traceparent", "x-correlation-id", "referer", "x-tenant-id"]


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize("header", WHERE)
async def test_a40_a_header_cannot_forge_a_record(name: str, header: str):
    app = served(an_endpoint(), authenticator=DebugHeaders(), access_log=True)
    value = NASTY[name].encode("utf-8", "surrogatepass")
    headers = {b"x-tenant-id": b"t", b"x-workspace-id": b"w", header.encode(): value}
    answer = await app.ask("GET", "/api/v1/hello/you", headers=list(headers.items()))
    assert answer.status_code < 500
    assert len(answer.headers["x-request-id"]) == 26, "the id is ours"
    _check(app.kept.lines)


@pytest.mark.parametrize("name", NASTY)
async def test_a40_a_path_cannot_forge_a_record(name: str):
    async def broken(request):
        raise RuntimeError(request.path_params["name"])

    app = served(an_endpoint(handler=broken), authenticator=DebugHeaders(), access_log=True)
    text = "".join(f"%{byte:02x}" for byte in NASTY[name][:5_000].encode("utf-8", "surrogatepass"))
    for scope in ({}, {"X-Tenant-Id": "t", "X-Workspace-Id": "w"}):
        answer = await app.ask("GET", f"/api/v1/hello/{text}", headers=scope)
        assert answer.status_code in (400, 401, 500)
        assert "forged" not in answer.text
    _check(app.kept.lines)


def _check(lines: list[str]) -> None:
    assert lines
    for line in lines:
        assert line.isprintable() and len(line) <= 33_000
        record = json.loads(line)
        assert record["event"] != "forged"
