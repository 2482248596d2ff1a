"""`POST /internal/sync-compact` as its contract says (catalog.md 3.2, 3.3; conformance item 23)."""

import hashlib
import json
from typing import Any

import pytest
from tests.http.world import World, a_world

from arco.core.paths import Key
from arco.core.scope import Scope
from arco.storage.memory import MemoryStore
from arco.storage.port import Absent, Matches, Unsure

SCOPE = Scope("local", "default")
LOCK = "locks/catalog.lock.json"
EVENT_ID = "01KDVH8Q3N5P7R9S1T3V5W7X9Y"
PATH = f"ledger/catalog/{EVENT_ID}.json"
FOREVER = "2999-01-01T00:00:00Z"
STALE = (409, "stale_fencing_token", "Fencing token does not match current lock holder")


def event(name: str = "analytics", number: int = 1) -> bytes:
    """A single-event object as the contract's writers print it: over many lines, without our fields."""
    catalog = {
        "id": f"019b7700-0bbb-7abc-9def-0123456789a{number}",
        "name": name,
        "description": None,
        "created_at": 1767225600000,
        "updated_at": 1767225600000,
        "properties_json": None,
        "storage_root": None,
    }
    body = {
        "event_type": "catalog.ddl",
        "event_version": 2,
        "idempotency_key": "auto:0",
        "occurred_at": "2026-01-01T00:00:00Z",
        "source": "api:local",
        "trace_id": None,
        "sequence_position": None,
        "payload": {"kind": "catalog_created", "catalog": catalog},
    }
    return json.dumps(body, indent=2).encode()


async def planted(world: World, key: str, body: bytes) -> None:
    place = Key(SCOPE.prefix + key)  # beneath the roles' bounds: locks are not the api's to write
    found = await world.store.get(place)
    await world.store.put(place, body, when=Absent() if found is None else Matches(found.version))


async def locked(world: World, sequence: int, expires: str = FOREVER) -> None:
    record = {"holderId": EVENT_ID, "expiresAt": expires, "acquiredAt": "2026-01-01T00:00:00Z"}
    await planted(world, LOCK, json.dumps({**record, "sequenceNumber": sequence}).encode())


async def compact(world: World, **fields: Any) -> tuple[int, Any]:
    async with world.client(role="compactor") as client:
        answer = await client.post(
            "/internal/sync-compact", json={"domain": "catalog", "event_paths": [PATH], **fields}
        )
        return answer.status_code, answer.json()


async def refused(world: World, **fields: Any) -> tuple[int, str, str]:
    status, body = await compact(world, **fields)
    return status, body["error"], body["message"]


async def heads(world: World) -> dict[str, bytes]:
    """Every manifest and pointer there is."""
    store = world.in_scope()
    infos = await store.list_page("manifests/")
    found = {info.key: await store.get(info.key) for info in infos}
    return {key: one.body for key, one in found.items() if one is not None}


@pytest.fixture
async def world():
    async with a_world() as world:
        await planted(world, PATH, event())
        yield world


async def test_an_event_of_the_contracts_own_writers_is_folded_and_answered_as_contracted(world):
    status, body = await compact(world, request_id="01KDVH8PX0A1B2C3D4E5F6G7H8")
    assert status == 200
    assert (body["events_processed"], body["snapshot_version"]) == (1, 1)
    assert (body["visibility_status"], body["repair_pending"]) == ("visible", False)
    assert body["manifest_id"] == f"{1:020d}"
    assert [(one["unit_id"], one["status"]) for one in body["outcomes"]] == [(EVENT_ID, "accepted")]


async def test_23_a_caller_that_holds_the_lock_may_publish_and_its_token_becomes_the_epoch(world):
    await locked(world, 4)
    status, _ = await compact(world, fencing_token=4, lock_path=SCOPE.prefix + LOCK)
    assert status == 200
    newest = max(key for key in await heads(world) if key.startswith("manifests/catalog/"))
    assert json.loads((await heads(world))[newest])["epoch"] == 4


@pytest.mark.parametrize("case", ["missing", "expired", "another", "of_the_future", "unreadable"])
async def test_23_a_lock_that_is_missing_expired_or_another_s_is_stale_and_the_head_stays(world, case):
    if case == "expired":
        await locked(world, 4, "2020-01-01T00:00:00Z")
    elif case == "another":
        await locked(world, 5)
    elif case == "of_the_future":
        await locked(world, 3)
    elif case == "unreadable":
        await planted(world, LOCK, b"{")
    before = await heads(world)
    assert await refused(world, fencing_token=4) == STALE
    assert await heads(world) == before


async def test_23_a_token_below_the_published_epoch_is_stale_also_for_a_compactor_that_has_just_begun():
    store = MemoryStore()
    async with a_world(store=store) as world:
        await planted(world, PATH, event())
        await locked(world, 7)
        assert (await compact(world, fencing_token=7))[0] == 200
    async with a_world(store=store) as later:
        other = f"ledger/catalog/{EVENT_ID[:-1]}Z.json"
        await planted(later, other, event("other", 2))
        await locked(later, 6)
        before = await heads(later)
        assert await refused(later, fencing_token=6, event_paths=[other]) == STALE
        assert await heads(later) == before


@pytest.mark.parametrize(
    ("fields", "status", "error"),
    [
        ({"domain": "executions"}, 400, "unsupported_domain"),
        ({"domain": "nonsense"}, 400, "unsupported_domain"),
        ({"domain": "search"}, 400, "validation_error"),
        ({"event_paths": []}, 400, "validation_error"),
        ({"event_paths": ["ledger/lineage/01KDVH8Q3N5P7R9S1T3V5W7X9Y.json"]}, 400, "validation_error"),
        ({"event_paths": ["ledger/catalog/../../x.json"]}, 400, "validation_error"),
        ({"event_paths": ["/ledger/catalog/01KDVH8Q3N5P7R9S1T3V5W7X9Y.json"]}, 400, "validation_error"),
        ({"event_paths": ["ledger/catalog/01KDVH8Q3N5P7R9S1T3V5W7X9Y.txt"]}, 400, "validation_error"),
        ({"event_paths": ["ledger/catalog/01KDVH8Q3N5P7R9S1T3V5W7X90.json"]}, 400, "validation_error"),
        (
            {"event_paths": [PATH] * 2 + [f"ledger/catalog/{n:026d}.json" for n in range(10_001)]},
            400,
            "validation_error",
        ),
        ({"lock_path": "tenant=local/workspace=default/locks/lineage.lock.json"}, 400, "validation_error"),
        ({"lock_path": "tenant=local/workspace=default/" + LOCK}, 400, "validation_error"),
        ({"fencing_token": 0}, 400, "validation_error"),
        ({"fencing_token": -1}, 400, "validation_error"),
        ({"fencing_token": 2**63}, 400, "validation_error"),
        ({"surprise": 1}, 400, "validation_error"),
        ({"bodies": [{"path": PATH, "sha256": "0" * 64, "body": "{}"}]}, 400, "validation_error"),
    ],
)
async def test_what_the_contract_refuses_is_refused_and_the_head_stays(world, fields, status, error):
    before = await heads(world)
    found = await refused(world, **fields)
    assert found[:2] == (status, error)
    assert found[2]
    assert await heads(world) == before


async def test_search_is_compacted_without_events_and_answers_with_the_head(world):
    await planted(world, PATH, event())
    done, made = await compact(world)
    assert done == 200
    for domain in ("search", "governance"):
        status, answer = await compact(world, domain=domain, event_paths=[])
        assert status == 200
        assert answer["events_processed"] == 0
        assert answer["manifest_id"] == made["manifest_id"]


async def test_bytes_that_are_no_event_are_put_aside_and_the_head_stays(world):
    other = f"ledger/catalog/{EVENT_ID[:-1]}Z.json"
    await planted(world, other, b"not an event")
    status, error, message = await refused(world, event_paths=[other])
    assert (status, error) == (400, "validation_error")
    assert "was quarantined" in message
    aside = await world.in_scope().get(Key(other.replace("ledger/", "quarantine/")))
    assert aside is not None
    assert aside.body == b"not an event"
    assert not await heads(world)


class Silent(MemoryStore):
    """A store that gives no answer to writes in the quarantine."""

    async def put(self, key, body, *, when):
        return Unsure("no answer") if "quarantine/" in key else await super().put(key, body, when=when)


async def test_a_quarantine_that_is_not_known_to_have_happened_is_not_claimed():
    async with a_world(store=Silent()) as world:
        await planted(world, PATH, b"not an event")
        status, _, message = await refused(world)
        assert status == 400
        assert "may not have been quarantined" in message


async def test_bodies_that_come_with_the_call_are_folded_without_reading_the_ledger_back(world):
    body = event().decode()
    sent = {"path": PATH, "sha256": hashlib.sha256(body.encode()).hexdigest(), "body": body}
    world.store.forget()
    assert (await compact(world, bodies=[sent]))[0] == 200
    assert not [one for one in world.store.operations if one.name == "get" and "ledger/" in one.key]
