"""A-14, A-20, A-40: headers are not believed beside a token; nothing secret or misleading reaches log or audit."""

import json
from typing import Any

import pytest
from tests.http.test_audit import TOKENS, a_token, events, written
from tests.http.world import World, a_table, a_world
from tests.unit.config.environments import PROD_API
from tests.unit.edge.kit import an_endpoint, served

from arco.config.problems import Problems
from arco.config.settings import load
from arco.core.log import LineLog
from arco.core.scope import Scope
from arco.edge.audit import AuditEvent, AuditTrail
from arco.edge.auth import DebugHeaders

from .callers import Front, front
from .issuers import SECRET, bearer, claims, signed

OTHERS = {
    "tenant": {"x-tenant-id": "globex"},
    "workspace": {"x-workspace-id": "other"},
    "user": {"x-user-id": "root"},
    "groups": {"x-groups": "admins"},
    "all": {"x-tenant-id": "globex", "x-workspace-id": "other", "x-user-id": "root", "x-groups": "admins"},
    "not even valid": {"x-tenant-id": "../globex", "x-workspace-id": "a/b"},
}


@pytest.mark.parametrize("headers", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("kind", ["secret", "public_key", "prod"])
async def test_a14_headers_say_nothing_beside_a_token(headers, kind):
    if kind == "prod":
        issuer, audience = PROD_API["ARCO_JWT_ISSUER"], PROD_API["ARCO_JWT_AUDIENCE"]
        gate = Front(PROD_API, role="api")
        from joserfc.jwk import OctKey  # only here

        token = signed(claims(iss=issuer, aud=audience), OctKey.import_key(PROD_API["ARCO_JWT_SECRET"]))
    else:
        gate = front(kind)
        from .issuers import OCT, RSA  # only here

        token = signed(key=OCT if kind == "secret" else RSA)
    answer = await gate.ask(bearer(token, **headers))
    assert (answer.status_code, answer.json()) == (200, ["acme", "prod", "ada"])


async def test_a14_data_is_of_the_tokens_tenant_whatever_the_headers_say():
    async with a_world(TOKENS) as world:
        for tenant in ("acme", "globex"):
            async with world.client(a_token(tenant=tenant)) as api:
                await api.post("/catalogs", json={"name": f"of-{tenant}"})
        async with world.client(a_token() | OTHERS["all"]) as api:
            assert [one["name"] for one in (await api.get("/catalogs")).json()["catalogs"]] == ["of-acme"]


async def test_a14_in_debug_mode_headers_are_the_scope():
    app = served(an_endpoint("/hello/{name}"), authenticator=DebugHeaders())
    headers = {"x-tenant-id": "a", "x-workspace-id": "w"}
    assert (await app.ask("GET", "/api/v1/hello/x", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "posture",
    [{"ARCO_API_PUBLIC": "true"}, {"ARCO_ENVIRONMENT": "prod"}, {"ARCO_ENVIRONMENT": "staging"}],
    ids=str,
)
def test_a14_debug_mode_outside_the_dev_posture_stops_the_start(posture):
    found = load("api", {**PROD_API, "ARCO_ENVIRONMENT": "dev", "ARCO_DEBUG": "true", **posture})
    assert isinstance(found, Problems)
    assert "ARCO_DEBUG" in {problem.variable for problem in found.problems}


SIGNED = {
    "gcs": "https://storage.googleapis.com/b/k?X-Goog-Algorithm=GOOG4&X-Goog-Credential=c&X-Goog-Signature=deadbeef01",
    "gcs lower": "/k?x-goog-signature=deadbeef01",
    "s3": "https://b.s3.amazonaws.com/k?X-Amz-Credential=AKIA&X-Amz-Signature=deadbeef01",
    "azure": "https://a.blob.core.windows.net/c/k?sv=2022&se=2026&sr=b&sig=deadbeef01",
    "bearer": "Bearer deadbeef01",
    "token": f"/x?token={SECRET}deadbeef01",
    "jwt": signed(),
    "pem": "-----BEGIN PRIVATE KEY-----deadbeef01-----END PRIVATE KEY-----",
}


class Kept:
    """An audit trail's rows and lines."""

    def __init__(self) -> None:
        self.app = served(an_endpoint("/hello/{name}"))
        self.rows: list[Any] = []
        self.trail = AuditTrail(_log(self.app), self.app.clock, _Ids(), minutes=self, home=None)  # type: ignore[arg-type]  # only what it uses

    def keep(self, _scope: Any, row: Any, *, resource_class: str, counted: bool) -> None:
        del resource_class, counted
        self.rows.append(row)


class _Ids:
    def ulid(self) -> str:
        return "01M7Z95KQDSCPET0CD9CJM89X4"


def _log(app: Any) -> Any:

    return LineLog(app.kept, app.clock)


def noted(resource: str) -> tuple[str, str]:
    """An audit event about this resource: what the log says, and what the table keeps."""

    kept = Kept()
    event = AuditEvent(
        action="URL_MINT_ALLOW",
        actor="anonymous",
        reason="allowlist_match",
        resource=resource,
        resource_class="/urls",
        request_id="01M7Z95KQDSCPET0CD9CJM89X4",
    )
    kept.trail.note(Scope("acme", "prod"), event)
    (line,) = kept.app.kept.lines
    return line, kept.rows[0].resource


@pytest.mark.parametrize("text", SIGNED.values(), ids=SIGNED)
def test_a20_what_gives_access_is_in_neither_log_nor_audit(text):
    line, row = noted(text)
    secret = "deadbeef01" if "deadbeef01" in text else text.rpartition(".")[2]
    assert secret not in line
    assert secret not in row
    assert "REDACTED" in line
    assert "REDACTED" in row


@pytest.mark.parametrize("text", SIGNED.values(), ids=SIGNED)
async def test_a20_no_error_repeats_a_credential_that_came_with_the_request(text):
    async with a_world(TOKENS) as world:
        async with world.client({"authorization": f"Bearer {text}"}) as api:
            answer = await api.get("/catalogs")
        assert answer.status_code in (400, 401)
        assert "deadbeef01" not in answer.text + json.dumps(world.records)


NASTY = {
    "lines": 'a\r\nb: {"level":"info"}',
    "nul": "a\0b",
    "ansi": "\x1b[2J\x1b[31mred",
    "bidi": "abc\u202egnp.exe",
    "separators": "a\u2028b\u2029c\u0085d",
    "json": '","event":"forged","x":"',
    "surrogate": "\ud800",
    "very long": "x" * 1_000_000,
}


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_a40_an_event_is_one_valid_line_whatever_it_tells_of(text):
    line, row = noted(text)
    assert line.isprintable()
    assert len(line) < 40_000
    assert json.loads(line)["event"] == "url_mint_allow"
    assert len(row) <= 1_024


HEADERS = {
    "request id of lines": {"x-request-id": "a\tb" * 4},
    "request id long": {"x-request-id": "r" * 10_000},
    "request id json": {"x-request-id": '","event":"forged"'},
    "agent": {"user-agent": "\x1b[31m" + "u" * 1_000},
    "trace": {"traceparent": "00-\x7f" * 20},
    "latin": {"x-request-id": "é" * 10, "user-agent": "é"},
}


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
async def test_a40_headers_make_no_lines_and_a_malformed_request_id_is_replaced(headers):
    app = served(an_endpoint("/hello/{name}"))
    answer = await app.ask(
        "GET", "/api/v1/hello/x", headers=[(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    )
    assert answer.headers["x-request-id"] != headers.get("x-request-id")
    assert all("\n" not in line and json.loads(line) for line in app.kept.lines)


@pytest.mark.parametrize("user", ["ada\r\nroot", "\x1b[31m", "\u202eada", "u" * 5_000, '","actor":"user:root'])
async def test_a40_a_strange_user_is_a_hash_like_any_other(user):
    async with a_world(TOKENS) as world:
        async with world.client(a_token(user)) as api:
            await a_table(api)
            await written(world)
            found = await events(api)
        assert {len(event["actor"]) for event in found} == {len("user:") + 32}
        assert_one_line_each(world)


def assert_one_line_each(world: World) -> None:
    assert all(json.dumps(record).isprintable() for record in world.records)
