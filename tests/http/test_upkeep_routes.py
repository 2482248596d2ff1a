"""The compactor's chores over HTTP: notify, anti-entropy, reconcile, collection and pins (catalog.md 3.7 to 3.9)."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from arco.core.paths import Key
from arco.core.retention import parse_policy
from arco.core.scope import Scope
from arco.domains.catalog.tables import CATALOGS
from arco.kernel.chores import Upkeeps
from arco.roles.chain_role import make_compactors
from arco.roles.chains import CATALOG
from arco.roles.chores import Chores
from arco.storage.port import Absent

from .world import SCOPE, World, a_world

EVENT_ID = "01KDVH8Q3N5P7R9S1T3V5W7X9Y"
WALK = {"max_objects_per_run": 100, "domain": "catalog", "tenant_id": "local", "workspace_id": "default"}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as made:
        yield made


async def _orphan(world: World, event_id: str = EVENT_ID, body: bytes | None = None) -> str:
    payload = {"kind": "catalog_created", "catalog": _catalog(event_id)}
    event = {
        "event_type": "catalog.ddl",
        "event_version": 2,
        "idempotency_key": "auto:0",
        "occurred_at": "2026-01-01T00:00:00Z",
        "source": "api:local",
        "payload": payload,
    }
    path = f"ledger/catalog/{event_id}.json"
    await world.in_scope().put(Key(path), body or json.dumps(event).encode(), when=Absent())
    return path


def _catalog(event_id: str) -> dict[str, Any]:
    return {
        "id": f"019b7700-0bbb-7abc-9def-0123456789{ord(event_id[-1]):02x}",
        "name": f"orphaned-{event_id[-1].lower()}",
        "description": None,
        "created_at": 1,
        "updated_at": 1,
        "properties_json": None,
        "storage_root": None,
    }


async def _post(world: World, path: str, body: Any) -> httpx.Response:
    async with world.client(role="compactor") as compactor:
        return await compactor.post(path, json=body)


async def _names(world: World) -> set[str]:
    async with world.client() as api:
        return {row["name"] for row in (await api.get("/catalogs")).json()["catalogs"]}


async def test_a_flushed_notice_is_folded_and_told(world: World) -> None:
    path = await _orphan(world)
    queued = await _post(world, "/internal/notify", {"eventPaths": [path]})
    assert (queued.status_code, queued.json()) == (202, {"status": "queued", "pending": 1})
    flushed = await _post(world, "/internal/notify", {"eventPaths": [path], "flush": True})
    assert flushed.status_code == 200
    assert flushed.json() == {
        "events_processed": 1,
        "domains_updated": ["catalog"],
        "domain_results": {"catalog": {"domain": "catalog", "events_processed": 1, "snapshot_version": 1}},
    }
    assert await _names(world) == {"orphaned-y"}


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"eventPaths": ["ledger/catalog/x.json"]}, 400, "invalid_path"),
        ({"eventPaths": ["../etc/passwd"]}, 400, "invalid_path"),
        ({"eventPaths": [f"ledger/nothing/{EVENT_ID}.json"]}, 400, "unsupported_domain"),
        ({"paths": []}, 400, "invalid_request"),
        ([], 400, "invalid_request"),
    ],
)
async def test_a_notice_that_names_no_ledger_object_is_refused(
    world: World, body: Any, status: int, error: str
) -> None:
    answer = await _post(world, "/internal/notify", body)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


async def test_anti_entropy_answers_as_contracted_and_heals(world: World) -> None:
    await _orphan(world)
    await _orphan(world, EVENT_ID[:-1] + "Z", body=b"{nothing")
    world.clock.ahead_ms = 60_000
    answer = await _post(world, "/internal/anti-entropy", WALK)
    found = answer.json()
    assert answer.status_code == 200 and found.pop("duration_ms") >= 0
    assert found == {"status": "completed", "objects_scanned": 2, "missed_events": 1, "scan_complete": True}
    assert await _names(world) == {"orphaned-y"}
    cursor = await world.in_scope().get(Key("state/anti_entropy/catalog/cursor.json"))
    assert cursor is not None and json.loads(cursor.body)["completed_scans"] == 1


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"tenant_id": "other"}, 400, "invalid_request"),
        ({"domain": "nothing"}, 400, "invalid_domain"),
        ({"max_objects_per_run": 0}, 400, "invalid_request"),
        ({"reprocess_timeout_secs": 0}, 400, "invalid_request"),
        ({"surprise": 1}, 400, "invalid_request"),
    ],
)
async def test_anti_entropy_refuses_what_it_cannot_do(
    world: World, change: dict[str, Any], status: int, error: str
) -> None:
    answer = await _post(world, "/internal/anti-entropy", {**WALK, **change})
    assert (answer.status_code, answer.json()["error"]) == (status, error)


async def test_reconcile_reports_and_repairs(world: World) -> None:
    async with world.client() as api:
        assert (await api.post("/catalogs", json={"name": "c"})).status_code == 201
    await world.quiet()
    clean = await _post(world, "/internal/reconcile", {"domain": "core"})
    report = clean.json()["report"]
    assert clean.status_code == 200 and report["issues"] == [] and report["manifest_snapshot_version"] == 1
    assert {"domain", "checked_at", "manifest_snapshot_count", "storage_snapshot_count", "ledger_event_count"} <= set(
        report
    )
    repaired = await _post(world, "/internal/reconcile", {"domain": "catalog", "repair": True})
    assert repaired.json()["repairResult"] == {"repaired": 0, "failed": 0, "actions": []}
    for body, error in (
        ({"domain": "x"}, "invalid_domain"),
        ({"domain": "catalog", "repairScope": "x"}, "invalid_request"),
    ):
        answer = await _post(world, "/internal/reconcile", body)
        assert (answer.status_code, answer.json()["error"]) == (400, error)


async def test_versions_are_pinned_listed_and_released(world: World) -> None:
    async with world.client() as api:
        assert (await api.post("/catalogs", json={"name": "c"})).status_code == 201
    made = await _post(world, "/internal/retention/pins", {"reason": "audit", "ttlSeconds": 60})
    assert made.status_code == 201
    pin = made.json()
    async with world.client(role="compactor") as compactor:
        listed = (await compactor.get("/internal/retention/pins")).json()["pins"]
    assert [one["pin_id"] for one in listed] == [pin["pin_id"]]
    stored = await world.in_scope().get(Key("retention/catalog.json"))
    assert stored is not None
    released = await _post(world, "/internal/retention/unpin", {"pinId": pin["pin_id"]})
    assert released.status_code == 200
    gone = await _post(world, "/internal/retention/unpin", {"pinId": pin["pin_id"]})
    assert (gone.status_code, gone.json()["error"]) == (404, "not_found")
    absent = await _post(world, "/internal/retention/pins", {"manifestId": "99"})
    assert (absent.status_code, absent.json()["error"]) == (404, "not_found")
    for body in ({"ttlSeconds": 0}, {"manifestId": "x"}, {"ttlSeconds": "x"}):
        refused = await _post(world, "/internal/retention/pins", body)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")


async def test_a_collection_is_a_dry_run_unless_asked(world: World) -> None:
    async with world.client() as api:
        for number in range(3):
            assert (await api.post("/catalogs", json={"name": f"c{number}"})).status_code == 201
    before = {info.key for info in await world.in_scope().list_page("")}
    answer = await _post(world, "/internal/retention/collect", {})
    assert answer.status_code == 200 and answer.json()["chain"]["applied"] is False
    applied = await _post(world, "/internal/retention/collect", {"dryRun": False})
    assert applied.json()["chain"]["manifests"] == 0, "everything is young"
    assert before <= {info.key for info in await world.in_scope().list_page("")}


async def test_an_uninitialised_workspace_has_nothing_to_tend(world: World) -> None:
    assert (await _post(world, "/internal/anti-entropy", WALK)).json()["objects_scanned"] == 0
    assert (await _post(world, "/internal/reconcile", {"domain": "catalog"})).json()["report"]["issues"] == []
    assert (await _post(world, "/internal/retention/collect", {"dryRun": False})).status_code == 200
    listed = {info.key for info in await world.in_scope().list_page("")}
    assert "manifests/root.manifest.json" not in listed and SCOPE.tenant == "local"


async def test_what_was_left_in_a_workspace_nobody_asks_for_is_found_and_others_get_no_compactor(world: World) -> None:
    left, idle = Scope("acme", "left"), Scope("acme", "idle")
    compactors = make_compactors(world.process, CATALOG, only=None, idle_merge_ms=1_000)
    upkeeps = Upkeeps(compactors, parse_policy("default").horizons())
    chores = Chores(world.settings, world.process, compactors, upkeeps, domain="catalog")
    made = world.process.scoped_store(left, "api")
    orphan = await world.in_scope().get(Key(await _orphan(world)))
    assert orphan is not None
    await made.put(Key(f"ledger/catalog/{EVENT_ID}.json"), orphan.body, when=Absent())
    world.clock.ahead_ms = 60_000
    assert (await chores.come_by(idle), compactors.scopes) == (0, [])
    assert (await chores.come_by(left), compactors.scopes) == (1, [left])
    snapshot = await world.process.reader(left, "api").head()
    assert snapshot is not None and snapshot.count(CATALOGS) == 1
    await compactors.stop()
