"""A-45: calls to the compactor that name what they must not: each is refused, and no pointer or manifest moves."""

from typing import Any

import pytest
from tests.contract.test_conformance_compaction_rpc import EVENT_ID, FOREVER, LOCK, PATH, event, heads, locked, planted
from tests.http.world import World, a_world

from arco.core.canonical_json import sha256_hex

OTHER_ID = "01KDVH8Q3N5P7R9S1T3V5W7X9Z"


def body(path: str, content: bytes) -> dict[str, Any]:
    return {"path": path, "sha256": sha256_hex(content), "body": content.decode()}


CALLS: dict[str, Any] = {
    "path of another domain": {"event_paths": [f"ledger/lineage/{EVENT_ID}.json"]},
    "path of another tenant": {"event_paths": [f"tenant=evil/workspace=w/ledger/catalog/{EVENT_ID}.json"]},
    "absolute path": {"event_paths": [f"/ledger/catalog/{EVENT_ID}.json"]},
    "traversal": {"event_paths": [f"ledger/catalog/../../ledger/catalog/{EVENT_ID}.json"]},
    "encoded traversal": {"event_paths": ["ledger/catalog/%2e%2e/x.json"]},
    "not a name of ours": {"event_paths": ["ledger/catalog/x.json"]},
    "another ending": {"event_paths": [f"ledger/catalog/{EVENT_ID}.txt"]},
    "a manifest": {"event_paths": [f"manifests/catalog/{1:020d}.json"]},
    "no path": {"event_paths": []},
    "a hundred thousand paths": {"event_paths": [f"ledger/catalog/{number:026d}.json" for number in range(100_000)]},
    "missing object": {"event_paths": [f"ledger/catalog/{OTHER_ID}.json"]},
    "a path that is no text": {"event_paths": [7]},
    "paths that are no list": {"event_paths": PATH},
    "an unknown field": {"event_paths": [PATH], "force": True},
    "another domain": {"domain": "executions"},
    "search": {"domain": "search"},
    "an unknown domain": {"domain": "nothing"},
    "a domain that is a path": {"domain": "../catalog"},
    "a token without a lock": {"fencing_token": 7},
    "a token of zero": {"fencing_token": 0},
    "a negative token": {"fencing_token": -1},
    "a token of 2^63": {"fencing_token": 2**63},
    "a token that is no number": {"fencing_token": "4"},
    "a stale token": {"fencing_token": 3, "locked": 4},
    "a token from the future": {"fencing_token": 5, "locked": 4},
    "a lock of another domain": {"fencing_token": 4, "locked": 4, "lock_path": "locks/lineage.lock.json"},
    "a lock of another tenant": {"fencing_token": 4, "locked": 4, "lock_path": f"tenant=evil/workspace=w/{LOCK}"},
    "a lock without a token": {"lock_path": f"tenant=local/workspace=default/{LOCK}"},
    "bytes of another hash": {"bodies": [{"path": PATH, "sha256": "0" * 64, "body": event().decode()}]},
    "bytes that are no event": {"bodies": [body(PATH, b"not json")]},
    "bytes of another schema": {"bodies": [body(PATH, b'{"event_type": 7}')]},
    "bytes of nothing": {"bodies": [body(PATH, b"")]},
    "two events without ids": {"bodies": [body(PATH, b'{"a":1}\n{"a":2}')]},
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a45_a_call_that_names_what_it_must_not_moves_nothing(call):
    async with a_world() as world:
        async with world.client() as api:
            await api.post("/catalogs", json={"name": "before"})
        await world.quiet()
        await planted(world, PATH, event())
        fields = dict(call)
        if sequence := fields.pop("locked", None):
            await locked(world, sequence, FOREVER)
        before = await heads(world)
        status, told = await asked(world, fields)
        assert status in (400, 404, 409, 501), told
        assert set(told) == {"error", "message"}
        assert await heads(world) == before


async def asked(world: World, fields: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    async with world.client(role="compactor") as client:
        given = {"domain": "catalog", "event_paths": [PATH], **fields}
        answer = await client.post("/internal/sync-compact", json=given)
    return answer.status_code, answer.json()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"domain": "catalog"}', b"null"], ids=repr)
async def test_a45_a_body_that_is_no_call_moves_nothing(content):
    async with a_world() as world:
        async with world.client(role="compactor") as client:
            answer = await client.post("/internal/sync-compact", content=content)
        assert answer.status_code == 400
        assert await heads(world) == {}


async def test_a45_the_same_path_twice_is_one_event():
    async with a_world() as world:
        await planted(world, PATH, event())
        status, told = await asked(world, {"event_paths": [PATH, PATH]})
        assert (status, told["events_processed"]) == (200, 1)
