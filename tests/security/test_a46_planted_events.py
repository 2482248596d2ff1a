"""A-46: an event that somebody other than a producing role planted into the ledger is put aside and never folded."""

import json
from typing import Any

import pytest
from tests.contract.test_conformance_compaction_rpc import EVENT_ID, PATH, event, heads, planted
from tests.http.world import World, a_world

from arco.core import paths
from arco.core.canonical_json import sha256_hex
from arco.core.ids import ulid_from_int
from arco.storage.capabilities import WRITE_RULES, Verb, producers

STRANGERS = [
    "worker",
    "worker:run-1",
    "dispatcher",
    "flow-compactor:1",
    "compactor",
    "apix",
    "API:acme",
    " api",
    ":api",
]
OLD_ID = str(ulid_from_int(1 << 80))


def from_(source: str) -> bytes:
    return json.dumps({**json.loads(event("planted")), "source": source}).encode()


async def asked(world: World, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    async with world.client(role="compactor") as client:
        answer = await client.post(path, json=body)
    return answer.status_code, answer.json()


async def catalogs(world: World) -> list[str]:
    async with world.client() as api:
        return [one["name"] for one in (await api.get("/catalogs")).json()["catalogs"]]


@pytest.mark.parametrize("source", STRANGERS)
async def test_a46_an_event_of_a_role_that_does_not_append_there_is_quarantined(source: str):
    async with a_world() as world:
        async with world.client() as api:
            await api.post("/catalogs", json={"name": "before"})
        await world.quiet()
        await planted(world, PATH, from_(source))
        before = await heads(world)
        for path, body in (
            ("/internal/sync-compact", {"domain": "catalog", "event_paths": [PATH]}),
            ("/internal/notify", {"eventPaths": [PATH], "flush": True}),
            ("/internal/sync-compact", {"domain": "catalog", "event_paths": [PATH]}),
        ):
            status, told = await asked(world, path, body)
            assert (status, "before") == (400 if "sync" in path else 200, "before"), told
            assert await heads(world) == before
        assert await catalogs(world) == ["before"]
        aside = await world.in_scope().get(paths.quarantined("catalog", f"{EVENT_ID}.json"))
        assert aside is not None and aside.body == from_(source)
        said = [record for record in world.records if record["event"] == "ledger_object_quarantined"]
        assert len(said) == 1, "told once, however often it is met"


async def test_a46_the_walk_for_orphans_does_not_fold_it_either():
    async with a_world() as world:
        async with world.client() as api:
            await api.post("/catalogs", json={"name": "before"})
        key = f"ledger/catalog/{OLD_ID}.json"
        await planted(world, key, from_("worker:run-1"))
        world.clock.ahead_ms = 20_000
        body = {"max_objects_per_run": 100, "domain": "catalog", "tenant_id": "local", "workspace_id": "default"}
        status, told = await asked(world, "/internal/anti-entropy", body)
        assert (status, told["missed_events"]) == (200, 0), told
        assert await catalogs(world) == ["before"]
        assert await world.in_scope().get(paths.quarantined("catalog", f"{OLD_ID}.json")) is not None


async def test_a46_one_planted_event_among_others_puts_the_whole_object_aside():
    lines = [
        json.dumps({**json.loads(event(f"c{number}", number)), "source": source, "event_id": event_id})
        for number, (source, event_id) in enumerate((("api:local", EVENT_ID), ("worker", EVENT_ID[:-1] + "Z")), 1)
    ]
    async with a_world() as world:
        await planted(world, PATH, "\n".join(lines).encode())
        status, _ = await asked(world, "/internal/sync-compact", {"domain": "catalog", "event_paths": [PATH]})
        assert status == 400
        assert await heads(world) == {}


async def test_a46_bytes_that_come_with_the_call_are_no_other_way_in():
    body = from_("worker")
    sent = [{"path": PATH, "sha256": sha256_hex(body), "body": body.decode()}]
    async with a_world() as world:
        call = {"domain": "catalog", "event_paths": [PATH], "bodies": sent}
        status, _ = await asked(world, "/internal/sync-compact", call)
        assert status == 400
        assert await heads(world) == {}


def test_a46_producers_are_who_may_append_by_the_one_table_of_grants():
    for rule in WRITE_RULES:
        if rule.prefix.startswith("ledger/"):
            domain = rule.prefix.removeprefix("ledger/").rstrip("/") or "catalog"
            assert producers(domain) == {role for role, verbs in rule.grants.items() if Verb.CREATE in verbs}
    assert producers("catalog") == {"api", "sweeper"}
