"""A-47: events that are unknown, impossible, of another time, too large or not the first of their name stop nothing."""

import json
from typing import Any

import pytest
from tests.contract.test_conformance_compaction_rpc import EVENT_ID, PATH, compact, event, heads, planted
from tests.http.world import World, a_world

from arco.core.canonical_json import sha256_hex
from arco.core.ids import ulid_from_int
from arco.core.limits import EVENT_BYTES_MAX
from arco.core.paths import Key
from arco.storage.port import Absent, Lost

YEARS_MS = 10 * 365 * 86_400_000


def odd(**changes: Any) -> bytes:
    return json.dumps({**json.loads(event("odd")), **changes}).encode()


def payload(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {**json.loads(event())["payload"], **changes}
    return found


async def goes_on(world: World) -> None:
    """A write after whatever happened is folded."""
    async with world.client() as api:
        assert (await api.post("/catalogs", json={"name": "after"})).status_code == 201
        assert "odd" not in [one["name"] for one in (await api.get("/catalogs")).json()["catalogs"]]


UNKNOWN = {
    "a type": odd(event_type="catalog.unheard"),
    "no type of this domain": odd(event_type="runs.started"),
    "a version of tomorrow": odd(event_version=99),
    "a kind": odd(payload=payload(kind="catalog_levitated")),
}


@pytest.mark.parametrize("name", UNKNOWN)
async def test_a47_what_this_build_does_not_know_changes_nothing_and_waits(name: str):
    async with a_world() as world:
        await planted(world, PATH, UNKNOWN[name])
        status, told = await compact(world)
        assert status == 200 and told["events_processed"] == 0
        assert {one["status"] for one in told["outcomes"]} <= {"unsupported", "quarantined"}
        await goes_on(world)


IMPOSSIBLE = {
    "renames what never was": odd(event_version=4, payload=payload(kind="catalog_renamed", old_name="nothing")),
    "a payload that is no object": odd(payload=[]),
    "a payload without its fields": odd(payload={"kind": "catalog_created"}),
    "a number where text belongs": odd(payload=payload(catalog={"id": 7})),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
async def test_a47_an_impossible_change_is_refused_for_good(name: str):
    async with a_world() as world:
        await planted(world, PATH, IMPOSSIBLE[name])
        for _ in range(2):
            status, told = await compact(world)
            assert status == 200 and told["events_processed"] == 0, told
            assert {one["status"] for one in told["outcomes"]} <= {"rejected", "quarantined"}, told
        await goes_on(world)


@pytest.mark.parametrize("offset_ms", [-YEARS_MS, YEARS_MS])
async def test_a47_a_clock_ten_years_off_changes_no_order_and_stops_nobody(offset_ms: int):
    async with a_world() as world:
        event_id = str(ulid_from_int(max(world.clock.now_ms() + offset_ms, 1) << 80))
        path = f"ledger/catalog/{event_id}.json"
        await planted(world, path, odd(occurred_at="2016-01-01T00:00:00Z" if offset_ms < 0 else "2046-01-01T00:00:00Z"))
        status, told = await compact(world, event_paths=[path])
        assert status == 200 and len(told["outcomes"]) == 1
        async with world.client() as api:
            for number in range(3):
                assert (await api.post("/catalogs", json={"name": f"c{number}"})).status_code == 201
            names = [one["name"] for one in (await api.get("/catalogs")).json()["catalogs"]]
            versions = [one["snapshot_version"] for one in (await api.get("/history")).json()["history"]]
        assert {"c0", "c1", "c2"} <= set(names)
        assert versions == sorted(versions, reverse=True)


async def test_a47_an_oversized_event_is_refused_and_the_head_stays():
    async with a_world() as world:
        large = odd(payload=payload(catalog={**payload()["catalog"], "description": "x" * EVENT_BYTES_MAX}))
        await planted(world, PATH, large)
        assert (await compact(world))[0] == 400
        assert await heads(world) == {}
        await goes_on(world)


async def test_a47_dropping_what_never_was_changes_nothing():
    gone = odd(event_version=3, payload={"kind": "catalog_deleted", "catalog_id": "x", "catalog_name": "odd"})
    async with a_world() as world:
        async with world.client() as api:
            await api.post("/catalogs", json={"name": "before"})
        await planted(world, PATH, gone)
        assert (await compact(world))[0] == 200
        await goes_on(world)
        async with world.client() as api:
            assert [one["name"] for one in (await api.get("/catalogs")).json()["catalogs"]] == ["after", "before"]


async def test_a47_a_name_that_is_taken_is_not_appended_again():
    async with a_world() as world:
        await planted(world, PATH, event("first"))
        assert (await compact(world))[0] == 200
        before = await heads(world)
        assert isinstance(await world.in_scope().put(Key(PATH), odd(), when=Absent()), Lost)
        # Other bytes under the same id, sent along with the call: the id was decided, and is not decided again.
        sent = [{"path": PATH, "sha256": sha256_hex(odd()), "body": odd().decode()}]
        status, told = await compact(world, bodies=sent)
        assert status == 200 and told["outcomes"][0]["unit_id"] == EVENT_ID
        assert told["events_processed"] == 0
        assert await heads(world) == before
        async with world.client() as api:
            assert [one["name"] for one in (await api.get("/catalogs")).json()["catalogs"]] == ["first"]
