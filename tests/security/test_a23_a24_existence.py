"""A-23 and A-24: what is not yours is absent, byte for byte, and counts in nothing you see.

Every GET route is asked for the same names while nobody has them, and while another tenant has. Status, body, headers
and the number of storage operations must be the same both times.
"""

from collections.abc import Iterator
from typing import Any

import httpx
from tests.http.test_audit import TOKENS as KEYS
from tests.http.test_audit import a_token
from tests.http.world import World, a_world

from arco.edge.endpoint import Endpoint

TOKENS = {**KEYS, "ARCO_RATE_DEFAULT_PER_MIN": "100000", "ARCO_RATE_BURST": "100000"}

VARYING = {"x-request-id", "x-ratelimit-remaining", "date"}
FILLED = {"catalog": "theirs", "schema": "sales", "table": "orders", "namespace": "hidden"}
ASKED = 3
UNKNOWN_ID = "019b7700-0bbb-7abc-9def-0123456789ab"
UNKNOWN_ULID = "01KDVH8Q3N5P7R9S1T3V5W7X9Y"


def get_paths(world: World, ids: dict[str, str]) -> Iterator[str]:
    mounted: list[tuple[str, Endpoint]] = world.api.state.endpoints
    for prefix, endpoint in mounted:
        if endpoint.method == "GET" and not endpoint.public:
            path = prefix + endpoint.path
            for part in [part[1:-1] for part in path.split("/") if part.startswith("{")]:
                path = path.replace(f"{{{part}}}", FILLED.get(part) or ids.get(part) or ids["id"])
            yield path
            if endpoint.path == "/search":
                yield from (f"{path}?q=orders", f"{path}?q=theirs&limit=1", f"{path}?q=orde")
            if endpoint.path == "/history":
                yield f"{path}?object_id={ids['id']}"


def seen(answer: httpx.Response) -> dict[str, Any]:
    """What a caller can tell one answer from another by."""
    headers = {name: value for name, value in answer.headers.items() if name not in VARYING}
    request_id = answer.headers["x-request-id"]
    return {"status": answer.status_code, "headers": headers, "body": answer.text.replace(request_id, "")}


async def everything(world: World, ids: dict[str, str]) -> dict[str, tuple[dict[str, Any], int]]:
    found = {}
    async with world.client(a_token()) as api:
        for path in get_paths(world, ids):
            operations = []
            for _ in range(ASKED):  # what is kept in memory is kept both times; what others do meanwhile only adds
                before = len(world.store.operations)
                answer = await api.get(f"http://localhost{path}")
                operations.append(len(world.store.operations) - before)
            found[path] = seen(answer), min(operations)
    return found


async def make_theirs(world: World) -> dict[str, str]:
    """What the other tenant has: the same names, and the ids of its objects."""
    async with world.client(a_token(tenant="globex")) as api:
        catalog = (await api.post("/catalogs", json={"name": FILLED["catalog"]})).json()
        await api.post("/catalogs/theirs/schemas", json={"name": FILLED["schema"]})
        table = await api.post("/catalogs/theirs/schemas/sales/tables", json={"name": "orders", "columns": []})
        await api.post("/namespaces", json={"name": FILLED["namespace"]})
        await api.post(
            "/lineage/edges", json={"edges": [{"source_id": catalog["id"], "target_id": table.json()["id"]}]}
        )
        events = (await api.get("/audit")).json()["events"]
    return {"id": table.json()["id"], "table_id": table.json()["id"], "event_id": events[0]["event_id"]}


async def test_a23_what_another_tenant_has_is_absent_byte_for_byte_on_every_route():
    async with a_world(TOKENS) as world:
        async with world.client(a_token()) as api:
            await api.post("/catalogs", json={"name": "mine"})
        async with world.client(a_token(tenant="globex")) as api:
            await api.post("/catalogs", json={"name": "theirs-first"})
        ids = await make_theirs(world)  # ids are made by the server: ask for those, before and after
        async with world.client(a_token(tenant="globex")) as api:
            for path in ("/catalogs/theirs/schemas/sales/tables/orders", "/catalogs/theirs/schemas/sales"):
                assert (await api.delete(path)).status_code == 204
            assert (await api.delete("/catalogs/theirs")).status_code == 204
            assert (await api.delete("/namespaces/hidden")).status_code == 204
        await world.quiet()
        unknown = {"id": UNKNOWN_ID, "table_id": UNKNOWN_ID, "event_id": UNKNOWN_ULID}
        absent = await everything(world, unknown)
        theirs = await make_theirs(world)
        await world.quiet()
        for known in (theirs, ids):
            foreign = await everything(world, known)
            assert len(foreign) == len(absent) >= 15
            for (path, was), (other, now) in zip(absent.items(), foreign.items(), strict=True):
                assert _plain(now, known) == _plain(was, unknown), (path, other)


def _plain(answer: tuple[dict[str, Any], int], ids: dict[str, str]) -> Any:
    seen_, operations = answer
    body, headers = seen_["body"], seen_["headers"]
    for value in sorted(ids.values(), key=len, reverse=True):
        body = body.replace(value, "ID")
    return {**seen_, "body": body, "headers": headers}, operations


async def test_a24_counts_lists_and_sql_hold_what_is_ones_own():
    async with a_world(TOKENS) as world:
        async with world.client(a_token()) as api:
            await api.post("/catalogs", json={"name": "mine"})
        await make_theirs(world)
        async with world.client(a_token()) as api:
            assert [one["name"] for one in (await api.get("/catalogs")).json()["catalogs"]] == ["mine"]
            assert "theirs" not in (await api.get("/history")).text + (await api.get("/audit")).text
            for sql in (
                "SELECT count(*) AS n FROM system.catalog.catalogs",
                "SELECT count(DISTINCT object_name) AS n FROM system.access.audit WHERE object_name IS NOT NULL",
                "SELECT count(*) + 1 AS n FROM system.lineage.edges",
            ):
                answer = await api.post("/query", json={"sql": sql}, params={"format": "json"})
                assert answer.json() == [{"n": 1}], sql


async def test_a24_a_method_that_is_not_allowed_tells_nothing_of_what_is_there():
    async with a_world(TOKENS) as world:
        async with world.client(a_token()) as api:
            await api.post("/catalogs", json={"name": "mine"})
            first = await api.post("/catalogs/mine", json={})
            second = await api.post("/catalogs/theirs", json={})
        assert (first.status_code, first.headers["allow"]) == (second.status_code, second.headers["allow"])
