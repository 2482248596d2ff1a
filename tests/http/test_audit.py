"""The audit log over HTTP and SQL: changes with their own commit, the rest a little later, reads without a write."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from arco.core.clock import SystemClock
from arco.core.ids import is_ulid
from arco.core.scope import Scope
from arco.edge.audit import actor_of
from arco.query import relations
from arco.roles.verify import run

from .world import World, a_table, a_world, problem

SECRET = "s" * 32
ACTOR_KEY = "a2V5LW9mLXRoZS1hdWRpdC1sb2ctb2YtMzItYnl0ZXMh"
TOKENS = {
    "ARCO_JWT_SECRET": SECRET,
    "ARCO_JWT_ISSUER": "https://idp.example",
    "ARCO_JWT_AUDIENCE": "arco",
    "ARCO_AUDIT_ACTOR_HMAC_KEY": ACTOR_KEY,
    "ARCO_AUDIT_SCOPE": "acme/prod",
}


def a_token(user: str = "ada", tenant: str = "acme", workspace: str = "prod", **claims: Any) -> dict[str, str]:
    now = SystemClock().now_ms() // 1000
    given = {"iss": "https://idp.example", "aud": "arco", "iat": now, "exp": now + 600, "sub": user}
    body = {**given, "tenant": tenant, "workspace": workspace, **claims}
    return {"authorization": "Bearer " + jwt.encode({"alg": "HS256"}, body, OctKey.import_key(SECRET))}


@pytest.fixture
async def guarded() -> AsyncIterator[World]:
    async with a_world(TOKENS) as world:
        yield world


async def written(world: World) -> None:
    """Have everything written that would be at the end of the minute."""
    services = world.api.state.services
    await services.audit.close()
    await services.facts.flush()


async def events(api: httpx.AsyncClient, **query: str) -> list[dict[str, Any]]:
    answer = await api.get("/audit", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["events"]
    return found


def actor(user: str) -> str:

    return actor_of(user, base64.b64decode(ACTOR_KEY))


async def test_a_change_is_in_the_audit_log_with_the_commit_that_made_it(guarded):
    async with guarded.client(a_token() | {"x-request-id": "01M7Z95KQDSCPET0CD9CJM89X4"}) as api:
        await a_table(api)
        found = await events(api, action="CONTROL_STORE_MUTATE")
    assert [(event["operation"], event["object_name"]) for event in found] == [
        ("table_registered", "orders"),
        ("namespace_created", "sales"),
        ("catalog_created", "analytics"),
    ]
    for event in found:
        assert event["actor"] == actor("ada")
        assert event["decision_reason"] == "committed"
        assert event["request_id"] == "01M7Z95KQDSCPET0CD9CJM89X4"
        assert is_ulid(event["event_id"])
    assert [event["snapshot_version"] for event in found] == [3, 2, 1]


async def test_no_object_is_written_for_the_audit_row_of_a_change(guarded):
    async with guarded.client(a_token()) as api:
        await a_table(api)
        guarded.store.operations.clear()
        await a_table(api, "more")
    keys = {operation.key.split("/")[2] for operation in guarded.store.operations if operation.name == "put"}
    assert keys <= {"ledger", "commits", "manifests"}
    assert not any("access" in operation.key for operation in guarded.store.operations)


async def test_a_change_that_the_fold_refused_is_in_the_audit_log(guarded):
    async with guarded.client(a_token("eve")) as api:
        await api.post("/catalogs", json={"name": "analytics"})
        again = {"idempotency-key": "01930a0b-1234-7abc-9def-0123456789ab"}
        assert (await api.post("/catalogs", json={"name": "analytics"}, headers=again)).status_code == 409
        (event,) = await events(api, action="CONTROL_STORE_DENY")
    assert (event["actor"], event["decision_reason"], event["operation"]) == (
        actor("eve"),
        "already_exists",
        "catalog.ddl",
    )


async def test_a_replayed_request_is_one_event(guarded):
    async with guarded.client(a_token()) as api:
        key = {"idempotency-key": "01930a0b-1234-7abc-9def-0123456789ab"}
        for _ in range(3):
            assert (await api.post("/catalogs", json={"name": "analytics"}, headers=key)).status_code == 201
        assert len(await events(api, action="CONTROL_STORE_MUTATE")) == 1


async def test_reads_write_nothing_and_are_counted_by_actor_and_route(guarded):
    async with guarded.client(a_token()) as api:
        await a_table(api)
        guarded.store.operations.clear()
        for name in ("orders", "orders", "missing"):
            await api.get(f"/catalogs/analytics/schemas/sales/tables/{name}")
        assert [operation for operation in guarded.store.operations if operation.name == "put"] == []
        await written(guarded)
        found = await events(api, action="AUTH_ALLOW")
    tables = [event for event in found if event["resource"].endswith("/tables/{table}")]
    (event,) = tables
    assert (event["count"], event["actor"], event["decision_reason"]) == (3, actor("ada"), "jwt_valid")
    assert "request_id" not in event


async def test_denials_of_nobody_we_know_are_kept_in_the_workspace_that_is_named_for_them(guarded):
    async with guarded.client(a_token()) as api:
        await a_table(api)
    async with guarded.client() as nobody:
        for _ in range(25):
            assert (await nobody.get("/catalogs")).status_code == 401
    await written(guarded)
    async with guarded.client(a_token()) as api:
        found = await events(api, action="AUTH_DENY")
    assert {(event["actor"], event["decision_reason"]) for event in found} == {("anonymous", "missing_token")}
    assert sorted(event.get("count", 1) for event in found) == [1] * 10 + [15]


async def test_a_valid_token_for_a_workspace_that_nobody_made_does_not_make_it(guarded):
    async with guarded.client(a_token(tenant="ghost")) as api:
        assert (await api.get("/audit")).status_code == 200
    await written(guarded)
    store = guarded.in_scope(Scope("ghost", "prod"))
    assert await store.get("manifests/root.manifest.json") is None
    assert not any("tenant=ghost" in one.key for one in guarded.store.operations if one.name == "put")


async def test_every_workspace_sees_its_own_events_only(guarded):
    for tenant in ("acme", "globex"):
        async with guarded.client(a_token(tenant=tenant)) as api:
            await api.post("/catalogs", json={"name": f"of-{tenant}"})
    async with guarded.client(a_token(tenant="globex")) as api:
        found = await events(api)
    assert [event["object_name"] for event in found if "object_name" in event] == ["of-globex"]


async def test_pages_are_stable_and_cursors_end_at_the_last_event(guarded):
    async with guarded.client(a_token()) as api:
        for number in range(5):
            await api.post("/catalogs", json={"name": f"c{number}"})
        seen: list[str] = []
        query = {"limit": "2", "action": "CONTROL_STORE_MUTATE"}
        while True:
            page = (await api.get("/audit", params=query)).json()
            seen += [event["object_name"] for event in page["events"]]
            if "next_cursor" not in page:
                break
            query["cursor"] = page["next_cursor"]
    assert seen == ["c4", "c3", "c2", "c1", "c0"]


async def test_times_and_actors_filter(guarded):
    for user in ("ada", "bob"):
        async with guarded.client(a_token(user)) as api:
            await api.post("/catalogs", json={"name": f"of-{user}"})
    async with guarded.client(a_token()) as api:
        assert [event["object_name"] for event in await events(api, actor=actor("bob"))] == ["of-bob"]
        assert await events(api, until="2026-01-01T00:00:00Z") == []
        assert len(await events(api, since="2026-01-01T00:00:00+00:00")) == 2


@pytest.mark.parametrize(
    "query",
    [
        {"since": "yesterday"},
        {"until": "2026-01-01"},
        {"since": "9999-99-99T00:00:00Z"},
        {"action": "SHRUG"},
        {"limit": "0"},
        {"cursor": "made-up"},
    ],
)
async def test_a_question_that_makes_no_sense_is_refused_with_a_reason(guarded, query):
    async with guarded.client(a_token()) as api:
        await a_table(api)
        status, code, message = problem(await api.get("/audit", params=query))
    assert (status, code) == (400, "BAD_REQUEST")
    assert message


async def test_the_audit_log_of_an_empty_workspace_is_empty(guarded):
    async with guarded.client(a_token()) as api:
        assert await events(api) == []


async def test_the_audit_log_is_a_table_in_sql(guarded):
    async with guarded.client(a_token()) as api:
        await a_table(api)
        sql = "SELECT action, actor, operation FROM system.access.audit ORDER BY event_id DESC LIMIT 1"
        answer = await api.post("/query", json={"sql": sql}, params={"format": "json"})
    assert answer.json() == [
        {"action": "CONTROL_STORE_MUTATE", "actor": actor("ada"), "operation": "table_registered"},
    ]


async def test_replay_gives_the_same_audit_log(tmp_path):

    async with a_world(TOKENS, storage=f"file://{tmp_path}") as world:
        async with world.client(a_token()) as api:
            await a_table(api)
            await api.get("/catalogs")
        await written(world)
        async with world.client(a_token()) as api:
            assert len(await events(api)) >= 4
    report = await asyncio.to_thread(run, f"file://{tmp_path}", "acme", "prod", lambda _done, _all: None)
    assert report.ok, report.differences


async def test_what_the_log_line_says_is_what_the_table_keeps(guarded):
    async with guarded.client(a_token()) as api:
        await a_table(api)
    async with guarded.client({"authorization": "Bearer nonsense"}) as api:
        await api.get("/catalogs")
    await written(guarded)
    (line,) = guarded.audit("AUTH_DENY")
    async with guarded.client(a_token()) as api:
        (event,) = await events(api, action="AUTH_DENY")
    assert (event["event_id"], event["decision_reason"]) == (line["eventId"], line["decisionReason"])
    assert json.dumps(event).count("nonsense") == 0


@pytest.mark.parametrize(
    ("sql", "reason"),
    [("DROP TABLE system.catalog.tables", "read_only"), ("SELECT * FROM system.secret.rows", "unknown_relation")],
)
async def test_sql_that_asks_for_what_nobody_may_is_kept_without_its_text(guarded, sql, reason):
    async with guarded.client(a_token("eve")) as api:
        await a_table(api)
        assert (await api.post("/query", json={"sql": sql})).status_code == 400
        await written(guarded)
        (event,) = await events(api, action="QUERY_DENY")
    assert (event["actor"], event["decision_reason"], event["resource"]) == (actor("eve"), reason, "/api/v1/query")
    assert sql not in json.dumps(guarded.records)


async def test_a_log_too_long_for_sql_is_refused_with_what_to_do_and_loads_nothing(guarded, monkeypatch):
    async with guarded.client(a_token()) as api:
        await a_table(api)
        monkeypatch.setattr(relations, "SQL_LOG_ROWS_MAX", 2)
        guarded.store.forget()
        answer = await api.post("/query", json={"sql": "SELECT count(*) FROM system.access.audit"})
        code, _, said = problem(answer)
        assert code == 400 and "has 3 rows, and SQL takes a log of at most 2" in said and "GET /api/v1/audit" in said
        assert not [one for one in guarded.store.operations if ".parquet" in one.key]
        assert (await api.post("/query", json={"sql": "SELECT * FROM system.catalog.commits"})).status_code == 200


LISTS = (
    "/catalogs",
    "/catalogs/analytics/schemas",
    "/catalogs/analytics/schemas/sales/tables",
    "/namespaces",
    "/history",
)


async def test_what_reads_leave_in_the_log_does_not_invalidate_the_lists_they_read(guarded):
    async with guarded.client(a_token()) as api:
        await a_table(api)
        search = "/search?q=orders"
        etags = {path: (await api.get(path)).headers["etag"] for path in (*LISTS, search)}
        paged = (await api.get("/history", params={"limit": 1})).headers["etag"]
        head = (await api.get("/catalog/inventory")).json()["catalog_manifest_id"]
        await written(guarded)
        assert (await api.get("/catalog/inventory")).json()["catalog_manifest_id"] > head, "the log is in the chain"
        for path, etag in etags.items():
            again = await api.get(path, headers={"if-none-match": etag})
            assert (again.status_code, again.headers["etag"]) == (304, etag), path
        following = await api.get("/history", params={"limit": 1}, headers={"if-none-match": paged})
        assert following.status_code == 200, "its cursor would name a manifest that may be collected"
        await api.post("/catalogs", json={"name": "more"})
        changed = {path for path in LISTS if (await api.get(path, headers={"if-none-match": etags[path]})).is_success}
        assert {"/catalogs", "/history"} <= changed and "/namespaces" not in changed


async def test_the_lists_of_two_workspaces_have_different_etags(guarded):
    etags = []
    for tenant in ("acme", "other"):
        async with guarded.client(a_token(tenant=tenant)) as api:
            await api.post("/catalogs", json={"name": "same"})
            etags.append((await api.get("/catalogs")).headers["etag"])
    assert etags[0] != etags[1]
