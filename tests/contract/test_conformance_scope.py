"""Catalog contract, section 11.1, on the whole server: scope and authentication (numbers are the contract's)."""

import json
import time
from typing import Any

import httpx
import pytest
from joserfc import jws
from joserfc.jwk import OctKey, RSAKey
from tests.http.world import World, a_table, a_world, problem

from arco.edge.audit import actor_of

SECRET = "a secret of at least thirty-two bytes"
RSA = RSAKey.generate_key(2048)
DEBUG = {"ARCO_DEBUG": "true"}
HS256 = {"ARCO_JWT_SECRET": SECRET}
RS256 = {"ARCO_JWT_PUBLIC_KEY_PEM": RSA.as_pem(private=False).decode().replace("\n", "\\n")}
FOUR = {"ARCO_JWT_ISSUER": "https://issuer", "ARCO_JWT_AUDIENCE": "arco"}
WHO = {"tenant": "acme", "workspace": "main", "sub": "user-123"}
NAMED = {**WHO, "iss": "https://issuer", "aud": "arco"}


def bearer(claims: dict[str, Any], *, rsa: bool = False) -> dict[str, str]:
    """The header of a user with these claims."""
    payload = json.dumps({"exp": int(time.time()) + 600, **claims})
    if rsa:
        return {"authorization": f"Bearer {jws.serialize_compact({'alg': 'RS256'}, payload, RSA)}"}
    return {"authorization": f"Bearer {jws.serialize_compact({'alg': 'HS256'}, payload, OctKey.import_key(SECRET))}"}


async def keys(world: World) -> list[str]:
    """Every object of every scope."""
    return [info.key for info in await world.process.store.list_page("", limit=1_000)]


@pytest.mark.parametrize(
    ("given", "missing"),
    [({"X-Workspace-Id": "w"}, "X-Tenant-Id"), ({"X-Tenant-Id": "t"}, "X-Workspace-Id"), ({}, "X-Tenant-Id")],
)
async def test_01_debug_mode_without_a_scope_header_is_401(given, missing):
    async with a_world(DEBUG) as world, world.client(given) as api:
        answer = await api.get("/namespaces")
        assert problem(answer) == (401, "UNAUTHORIZED", f"missing {missing} header (debug mode)")


async def test_01_debug_mode_with_both_headers_answers():
    async with a_world(DEBUG) as world, world.client({"X-Tenant-Id": "t", "X-Workspace-Id": "w"}) as api:
        assert (await api.get("/namespaces")).json() == {"namespaces": []}


async def test_02_jwt_mode_without_authorization_is_missing_auth_and_audited():
    async with a_world(HS256) as world, world.client() as api:
        for headers in ({}, {"authorization": "bearer x"}, {"authorization": "Basic x"}):
            answer = await api.get("/namespaces", headers=headers)
            assert problem(answer) == (401, "MISSING_AUTH", "Authorization header required")
            assert answer.json()["requestId"] == answer.headers["x-request-id"]
        denied = world.audit("AUTH_DENY")
    assert [(one["decisionReason"], one["actor"], one["resource"]) for one in denied] == [
        ("missing_token", "anonymous", "/api/v1/namespaces")
    ] * 3


@pytest.mark.parametrize("missing", ["sub", "iss", "aud", "tenant", "workspace", "exp"])
async def test_03_a_token_without_a_required_claim_is_invalid(missing):
    claims: dict[str, Any] = {name: value for name, value in NAMED.items() if name != missing}
    if missing == "exp":
        claims["exp"] = None
    async with a_world({**HS256, **FOUR}) as world, world.client(bearer(claims)) as api:
        assert problem(await api.get("/namespaces")) == (401, "INVALID_TOKEN", "Invalid bearer token")
        (denied,) = world.audit("AUTH_DENY")
    assert (denied["decisionReason"], denied["actor"]) == ("invalid_token", "anonymous")


async def test_03_a_token_with_an_audience_nobody_configured_is_invalid():
    async with a_world(HS256) as world, world.client(bearer({**WHO, "aud": "arco"})) as api:
        assert problem(await api.get("/namespaces"))[:2] == (401, "INVALID_TOKEN")


@pytest.mark.parametrize("rsa", [False, True], ids=["HS256", "RS256"])
@pytest.mark.parametrize("named", [False, True], ids=["no issuer", "issuer and audience"])
async def test_03_a_valid_token_is_let_in_and_audited(rsa, named):
    environ = {**(RS256 if rsa else HS256), **(FOUR if named else {})}
    headers = bearer(NAMED if named else WHO, rsa=rsa)
    async with a_world(environ) as world, world.client(headers) as api:
        answer = await api.post("/catalogs", json={"name": "analytics"})
        assert answer.status_code == 201
        assert answer.headers["x-ratelimit-limit"] == "500"
        assert 0 < int(answer.headers["x-ratelimit-remaining"]) < 500
        (allowed,) = world.audit("AUTH_ALLOW")
        found = await keys(world)
    assert (allowed["decisionReason"], allowed["actor"]) == ("jwt_valid", actor_of("user-123"))
    assert (allowed["tenantId"], allowed["workspaceId"]) == ("acme", "main")
    assert all(key.startswith("tenant=acme/workspace=main/") for key in found)


async def test_03_a_token_of_the_other_algorithm_or_of_another_secret_is_invalid():
    stranger = jws.serialize_compact({"alg": "HS256"}, json.dumps(WHO), OctKey.import_key("x" * 40))
    async with a_world(HS256) as world, world.client() as api:
        for headers in (bearer(WHO, rsa=True), {"authorization": f"Bearer {stranger}"}):
            assert problem(await api.get("/namespaces", headers=headers))[:2] == (401, "INVALID_TOKEN")


async def test_04_an_upper_case_tenant_is_stored_in_lower_case():
    async with a_world(DEBUG) as world, world.client({"X-Tenant-Id": "Acme", "X-Workspace-Id": "PROD"}) as api:
        assert (await api.post("/catalogs", json={"name": "a"})).status_code == 201
        assert {key.split("/", 2)[0] + "/" + key.split("/", 2)[1] for key in await keys(world)} == {
            "tenant=acme/workspace=prod"
        }
        same = await api.get("/catalogs", headers={"X-Tenant-Id": "aCME", "X-Workspace-Id": "prod"})
        assert [one["name"] for one in same.json()["catalogs"]] == ["a"]


@pytest.mark.parametrize(
    ("tenant", "workspace", "field"),
    [("a/b", "w", "tenant_id"), ("a\\b", "w", "tenant_id"), ("ü", "w", "tenant_id"), ("t", "w.x", "workspace_id")],
)
async def test_04_a_scope_id_with_other_characters_is_400(tenant, workspace, field):
    headers = {"X-Tenant-Id": tenant.encode(), "X-Workspace-Id": workspace.encode()}
    async with a_world(DEBUG) as world, world.client() as api:
        status, code, message = problem(await api.get("/namespaces", headers=headers))
        assert (status, code) == (400, "BAD_REQUEST")
        assert message.startswith(field)
        assert world.audit("AUTH_DENY")[0]["decisionReason"] == "invalid_token"
        assert await keys(world) == []


async def test_05_what_is_created_in_one_workspace_is_not_in_lists_sql_and_inventory_of_another():
    sql = {"sql": "SELECT count(*) AS n FROM system.catalog.tables"}
    async with a_world() as world, world.client() as mine, world.client({"X-Workspace-Id": "other"}) as theirs:
        assert (await a_table(mine)).status_code == 201
        edge = {"edges": [{"source_id": "a", "target_id": "b"}]}
        assert (await mine.post("/lineage/edges", json=edge)).status_code == 201
        for path in ("/catalogs", "/catalog/inventory", "/catalogs/analytics", "/history"):
            assert (await theirs.get(path)).status_code == 404
        assert (await theirs.post("/query?format=json", json=sql)).status_code == 404
        assert (await theirs.get("/lineage/b")).json()["upstream"] == []
        assert (await theirs.post("/catalogs", json={"name": "own"})).status_code == 201
        assert [one["name"] for one in (await theirs.get("/catalogs")).json()["catalogs"]] == ["own"]
        assert (await theirs.get("/catalog/inventory")).json()["counts"]["tables"] == 0
        assert (await theirs.post("/query?format=json", json=sql)).json() == [{"n": 0}]
        assert (await mine.post("/query?format=json", json=sql)).json() == [{"n": 1}]
        cursor = (await mine.get("/catalogs/analytics/schemas/sales/tables")).json()
        assert [one["name"] for one in cursor["tables"]] == ["orders"]


async def test_05_a_cursor_of_one_workspace_is_worth_nothing_in_another():
    async with a_world() as world, world.client() as mine, world.client({"X-Workspace-Id": "other"}) as theirs:
        for name in ("a", "b"):
            for api in (mine, theirs):
                await api.post("/catalogs", json={"name": name})
        cursor = (await mine.get("/catalogs?limit=1")).json()["next_cursor"]
        assert (await mine.get("/catalogs", params={"cursor": cursor})).status_code == 200
        refused = await theirs.get("/catalogs", params={"cursor": cursor})
        assert problem(refused) == (400, "BAD_REQUEST", "invalid cursor")


async def test_06_the_public_posture_has_no_metrics_and_the_private_one_has():
    for public, status in (("true", 404), ("false", 200)):
        async with a_world({"ARCO_API_PUBLIC": public}) as world, world.client() as api:
            assert (await api.get("http://localhost/metrics")).status_code == status


async def test_06_ready_is_200_although_the_probe_object_is_absent():
    async with a_world() as world, world.client() as api:
        assert await keys(world) == []
        answer = await api.get("http://localhost/ready")
    assert (answer.status_code, answer.json()) == (200, {"ready": True})


async def origin_answer(api: httpx.AsyncClient, origin: str) -> str | None:
    answer = await api.get("/namespaces", headers={"Origin": origin})
    return answer.headers.get("access-control-allow-origin")


async def test_07_cors_is_off_by_default():
    async with a_world() as world, world.client() as api:
        assert await origin_answer(api, "https://app.example") is None


async def test_07_a_matching_origin_is_echoed_and_another_gets_nothing():
    environ = {"ARCO_CORS_ALLOWED_ORIGINS": "https://app.example,https://b.example"}
    async with a_world(environ) as world, world.client() as api:
        assert await origin_answer(api, "https://app.example") == "https://app.example"
        assert await origin_answer(api, "https://evil.example") is None


async def test_07_a_preflight_needs_no_authentication():
    environ = {**HS256, "ARCO_CORS_ALLOWED_ORIGINS": "https://app.example"}
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    async with a_world(environ) as world, world.client() as api:
        answer = await api.options("/catalogs", headers=asked)
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert "idempotency-key" in answer.headers["access-control-allow-headers"]
        assert answer.headers["access-control-max-age"] == "3600"
        refused = await api.post("/catalogs", json={"name": "a"}, headers={"Origin": "https://app.example"})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://app.example"
