"""Catalog contract, section 11.4, as far as it translates to one chain of manifests (numbers are the contract's).

Items 22 to 24, 26 and 29 speak of pointer swaps, locks and attempt directories, which are not the commit here; the
name race in their place is tested in tests/kernel and between processes in tests/process.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.http.world import SCOPE, World, a_table, a_world, foreground, in_files, on_disk, problem

from arco.core import paths
from arco.core.canonical_json import sha256_hex
from arco.core.paths import Key
from arco.storage.memory import MemoryStore
from arco.storage.port import Absent, Matches, PutOutcome, StorageUnavailable, Unsure

TABLES = "/catalogs/analytics/schemas/sales/tables"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as world:
        yield world


@pytest.fixture
async def api(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with world.client() as client:
        yield client


async def everything(world: World) -> dict[str, bytes]:
    """All objects of the workspace."""
    store = world.in_scope()
    found = {}
    for info in await store.list_page("", limit=10_000):
        held = await store.get(info.key)
        assert held is not None
        found[str(info.key)] = held.body
    return found


def table_segment(folder: Path) -> Path:
    """The one segment of the table `tables`."""
    (path,) = folder.glob(f"{SCOPE.prefix}snapshots/catalog/tables/*.parquet")
    return path


class Dying:
    """A store that stops answering writes once a manifest, or what comes before it, was written."""

    def __init__(self, *, after: str) -> None:
        self.inner = MemoryStore()
        self.after = after
        self.armed = False
        self.dead = asyncio.Event()

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        if self.dead.is_set():
            return Unsure("the process that wrote is gone")
        if self.armed and f"/{self.after}/" in f"/{key}":
            self.dead.set()
            if self.after == "manifests":
                return Unsure("died before the manifest was written")
            await self.inner.put(key, body, when=when)
            return Unsure("died after the object was written")
        return await self.inner.put(key, body, when=when)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


async def names(api: httpx.AsyncClient) -> list[str]:
    return [one["name"] for one in (await api.get("/catalogs")).json()["catalogs"]]


async def test_21_one_ddl_is_one_event_one_commit_record_and_one_manifest_and_nothing_is_overwritten(world, api):
    await a_table(api)
    before = await everything(world)
    world.store.forget()
    await api.post(TABLES, json={"name": "t", "columns": []})
    written = [each for each in foreground(world.store.operations) if each.sent_bytes]
    families = [each.key.removeprefix(SCOPE.prefix).partition("/")[0] for each in written]
    assert families == ["ledger", "commits", "manifests"]
    assert {each.name for each in written} == {"create"}
    after = await everything(world)
    assert {key: body for key, body in after.items() if key in before and ".pointer." not in key} == {
        key: body for key, body in before.items() if ".pointer." not in key
    }


@pytest.mark.parametrize("after", ["ledger", "commits", "manifests"])
async def test_25_a_crash_after_any_write_leaves_the_old_head_and_blocks_nobody(after):
    """The process dies after the event, after the commit's objects, or before the manifest; another one takes over."""
    store = Dying(after=after)
    first = World(store=store)
    async with first.client() as api:
        await api.post("/catalogs", json={"name": "kept"})
        store.armed = True
        # The request of the dying process never gets an answer.
        lost = asyncio.create_task(api.post("/catalogs", json={"name": "lost"}))
        await store.dead.wait()
        async with a_world(store=store.inner) as second, second.client() as api_two:
            assert await names(api_two) == ["kept"]
            made = await api_two.post("/catalogs", json={"name": "next"})
            assert made.status_code == 201
            assert await names(api_two) == ["kept", "next"]
            taken = await api_two.post("/catalogs", json={"name": "lost"})
            assert taken.status_code == 201
        lost.cancel()
        await asyncio.gather(lost, return_exceptions=True)
    first.clock.leaving = True
    await asyncio.wait_for(first.close(), 20)


async def test_26_a_snapshot_or_manifest_path_that_is_taken_is_never_overwritten(world, api):
    await a_table(api)
    head = (await api.get("/catalog/inventory")).json()["catalog_manifest_id"]
    store = world.in_scope()
    squatter = json.dumps({"manifestId": f"{int(head) + 1:020d}"}).encode()
    await world.process.store.put(Key(SCOPE.prefix + paths.manifest("catalog", int(head) + 1)), squatter, when=Absent())
    # Not a manifest: everything fails closed instead of going around it or over it.
    refused = await api.get("/catalogs")
    assert problem(refused) == (500, "INTERNAL", "Internal server error")
    held = await store.get(paths.manifest("catalog", int(head) + 1))
    assert held is not None and held.body == squatter


async def test_27_an_event_that_is_handed_in_again_is_not_folded_again(world, api):
    await api.post("/catalogs", json={"name": "a"})
    await api.patch("/catalogs/a", json={"description": "newer"})
    ledger = sorted(key for key in await everything(world) if key.startswith("ledger/"))
    before = (await api.get("/catalog/inventory")).json()
    async with world.client(role="compactor") as compactor:
        body = {"domain": "catalog", "event_paths": [ledger[0]]}
        answer = await compactor.post("/internal/sync-compact", json=body)
    assert answer.status_code == 200
    seen = answer.json()
    assert (seen["events_processed"], seen["visibility_status"], seen["repair_pending"]) == (0, "visible", False)
    assert seen["manifest_id"] == before["catalog_manifest_id"]
    assert [one["status"] for one in seen["outcomes"]] == ["accepted"]
    assert (await api.get("/catalogs/a")).json()["description"] == "newer"
    assert (await api.get("/catalog/inventory")).json() == before


async def test_27_an_older_event_that_was_never_seen_is_folded_although_the_watermark_is_beyond_it(world, api):
    """De-duplication is per ledger object, never by watermark."""
    await api.post("/catalogs", json={"name": "a"})
    (key,) = [key for key in await everything(world) if key.startswith("ledger/")]
    event = json.loads((await everything(world))[key])
    event["payload"]["catalog"] |= {"id": "019b7700-0bbb-7abc-9def-0123456789ab", "name": "late"}
    event["event_id"] = older = "01" + "0" * 24
    event.pop("deadline_ms", None)
    path = Key(f"ledger/catalog/{older}.json")
    await world.in_scope().put(path, json.dumps(event).encode(), when=Absent())
    async with world.client(role="compactor") as compactor:
        answer = await compactor.post("/internal/sync-compact", json={"domain": "catalog", "event_paths": [path]})
    assert (answer.status_code, answer.json()["events_processed"]) == (200, 1), answer.text
    assert await names(api) == ["a", "late"]


async def test_28_a_head_that_names_a_deleted_file_fails_and_never_shows_an_empty_list(tmp_path: Path):
    async with a_world(storage=in_files(tmp_path)) as world, world.client() as api:
        await a_table(api)
        await a_table(api, "zebras")
        await world.quiet()
    table_segment(tmp_path).unlink()
    async with a_world(storage=in_files(tmp_path)) as world, world.client() as api:
        for path_asked in (TABLES, f"{TABLES}/orders", f"{TABLES}/pears"):
            answer = await api.get(path_asked)
            assert problem(answer) == (500, "INTERNAL", "Internal server error"), path_asked
        sql = {"sql": "SELECT * FROM system.catalog.tables"}
        assert (await api.post("/query?format=json", json=sql)).status_code == 500
        assert await names(api) == ["analytics"]


async def test_28_a_file_with_other_bytes_than_its_hash_fails_too(tmp_path: Path):
    async with a_world(storage=in_files(tmp_path)) as world, world.client() as api:
        await a_table(api)
        await world.quiet()
    path = table_segment(tmp_path)
    table = pq.read_table(path)
    pq.write_table(table.set_column(2, "name", pa.array(["forged"])), path)
    async with a_world(storage=in_files(tmp_path)) as world, world.client() as api:
        assert (await api.get(TABLES)).status_code == 500


async def test_30_concurrent_first_requests_of_two_servers_make_one_workspace():
    store = MemoryStore()
    wanted = [f"c{number}" for number in range(8)]
    async with (
        a_world(store=store) as one,
        a_world(store=store) as two,
        one.client() as first,
        two.client() as second,
    ):
        asked = [api.post("/catalogs", json={"name": name}) for name in wanted for api in (first, second)]
        codes = [answer.status_code for answer in await asyncio.gather(*asked)]
        assert sorted(codes) == [201] * 8 + [409] * 8
        assert await names(first) == await names(second) == wanted
        found = await everything(one)
    assert json.loads(found["manifests/root.manifest.json"])["catalogManifestPath"] == "manifests/catalog.pointer.json"
    assert json.loads(found[f"manifests/catalog/{0:020d}.json"])["snapshotVersion"] == 0
    for domain in ("catalog", "lineage", "search"):
        assert int(json.loads(found[f"manifests/{domain}.pointer.json"])["manifestId"]) >= 0


async def test_30_a_first_request_that_failed_half_way_is_repaired_by_the_next():
    store = Failing()
    async with a_world(store=store) as world, world.client() as api:
        store.fails = True
        failed = asyncio.create_task(api.post("/catalogs", json={"name": "a"}))
        await store.refused.wait()
        store.fails = False
        assert (await failed).status_code in (201, 503)
        assert (await api.post("/catalogs", json={"name": "b"})).status_code == 201
        assert "b" in await names(api)
        assert paths.ROOT_MANIFEST in await everything(world)


class Failing:
    """A store whose pointers and root manifest cannot be written for a while."""

    def __init__(self) -> None:
        self.inner = MemoryStore()
        self.fails = False
        self.refused = asyncio.Event()

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        if self.fails and (".pointer." in key or "root.manifest" in key):
            self.refused.set()
            raise StorageUnavailable("connection refused")
        return await self.inner.put(key, body, when=when)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


async def test_31_no_retired_manifest_and_no_lock_is_created(world, api):
    await a_table(api)
    await world.quiet()
    found = await everything(world)
    retired = {f"manifests/{domain}.manifest.json" for domain in ("catalog", "lineage", "search", "executions")}
    assert not retired & found.keys()
    assert not [key for key in found if key.startswith(("locks/", "_catalog/", "sequence/"))]


async def test_32_a_cold_read_is_at_most_six_gets_a_warm_one_at_most_two_and_nothing_is_listed(tmp_path: Path):
    async with a_world(storage=on_disk(tmp_path)) as world, world.client() as api:
        await a_table(api)
        await world.quiet()
    async with a_world(storage=on_disk(tmp_path)) as world, world.client() as api:
        for most in (6, 2):
            world.store.forget()
            assert (await api.get(f"{TABLES}/orders")).status_code == 200
            assert len([each for each in world.store.operations if each.name == "get"]) <= most
            assert not [each for each in world.store.operations if each.name == "list_page"]


async def test_33_segments_hold_the_contracts_columns_and_types_and_the_same_rows_give_the_same_bytes(world, api):
    await a_table(api)
    await world.quiet()
    found = await everything(world)
    bodies = {key: body for key, body in found.items() if key.endswith(".parquet")}
    (tables,) = [body for key, body in bodies.items() if key.startswith("snapshots/catalog/tables/")]
    file = pq.ParquetFile(pa.BufferReader(tables))
    schema = file.schema_arrow
    assert schema.names[:10] == [
        *("id", "namespace_id", "name", "description", "location", "format"),
        *("created_at", "updated_at", "table_type", "properties_json"),
    ]
    assert {str(schema.field(name).type) for name in ("id", "namespace_id", "name")} == {"string"}
    assert {str(schema.field(name).type) for name in ("created_at", "updated_at")} == {"int64"}
    assert [name for name in schema.names[:10] if not schema.field(name).nullable] == [
        *("id", "namespace_id", "name", "created_at", "updated_at"),
    ]
    assert file.metadata.metadata[b"created_by"] == b"arco-catalog"
    ledger = {key: body for key, body in found.items() if key.startswith("ledger/")}
    again = await segments_of_the_same_rows(world, ledger)
    assert again["tables"] == tables
    # Commit ids and times differ between two runs; what a domain stores does not.
    for table in ("catalogs", "namespaces", "columns", "tables_by_id"):
        (mine,) = [body for key, body in bodies.items() if key.startswith(f"snapshots/catalog/{table}/")]
        assert again[table] == mine


async def segments_of_the_same_rows(world: World, ledger: dict[str, bytes]) -> dict[str, bytes]:
    """The single segments per table of a new workspace that folds the same ledger, one object after the other."""
    async with a_world() as other:
        for key in sorted(ledger):
            await other.in_scope().put(Key(key), ledger[key], when=Absent())
            async with other.client(role="compactor") as compactor:
                body = {"domain": "catalog", "event_paths": [key]}
                assert (await compactor.post("/internal/sync-compact", json=body)).status_code == 200
        await other.quiet()
        found = await everything(other)
    return {key.split("/")[2]: body for key, body in found.items() if key.endswith(".parquet")}


async def test_33_a_file_without_newer_nullable_columns_is_read_with_nulls(tmp_path: Path):
    async with a_world(storage=in_files(tmp_path)) as world, world.client() as api:
        await a_table(api, properties={"k": "v"}, description="d")
        await world.quiet()
    path = table_segment(tmp_path)
    pq.write_table(pq.read_table(path).drop_columns(["table_type", "properties_json"]), path)
    rewritten(tmp_path / SCOPE.prefix, path)
    async with a_world(storage=in_files(tmp_path)) as world, world.client() as api:
        table = (await api.get(f"{TABLES}/orders")).json()
    assert table["description"] == "d"
    assert "properties" not in table


def rewritten(root: Path, path: Path) -> None:
    """Have the newest manifest name the bytes that now lie at `path`."""
    newest = max(root.glob("manifests/catalog/*.json"))
    manifest = json.loads(newest.read_text())
    body = path.read_bytes()
    for ref in manifest["tables"]["tables"]["refs"]:
        if ref["path"] == path.relative_to(root).as_posix():
            ref |= {"sha256": sha256_hex(body), "bytes": len(body)}
    newest.write_text(json.dumps(manifest))


async def test_34_a_namespace_without_catalog_id_is_a_child_of_default_read_renamed_and_patched(world, api):
    await api.post("/catalogs", json={"name": "other"})
    namespace_id = "019b7700-1234-7abc-9def-0123456789ab"
    event = {
        "event_type": "catalog.ddl",
        "event_version": 1,
        "idempotency_key": "auto:0",
        "occurred_at": "2026-01-01T00:00:00Z",
        "source": "api:local",
        "trace_id": None,
        "sequence_position": None,
        "payload": {
            "kind": "namespace_created",
            "namespace": {
                "id": namespace_id,
                "catalog_id": None,
                "name": "old",
                "description": None,
                "created_at": 1_767_225_600_000,
                "updated_at": 1_767_225_600_000,
                "properties_json": None,
                "storage_root": None,
            },
        },
    }
    path = Key("ledger/catalog/01KDVH8Q3N5P7R9S1T3V5W7X9Y.json")
    await world.in_scope().put(path, json.dumps(event, indent=2).encode(), when=Absent())
    async with world.client(role="compactor") as compactor:
        answer = await compactor.post("/internal/sync-compact", json={"domain": "catalog", "event_paths": [path]})
    assert (answer.status_code, answer.json()["events_processed"]) == (200, 1), answer.text
    assert [one["name"] for one in (await api.get("/catalogs/default/schemas")).json()["schemas"]] == ["old"]
    assert (await api.get("/namespaces/old")).json()["id"] == namespace_id
    taken = await api.post("/namespaces", json={"name": "old"})
    assert taken.status_code == 409
    renamed = await api.patch("/catalogs/default/schemas/old", json={"name": "new", "description": "d"})
    assert (renamed.status_code, renamed.json()["name"], renamed.json()["description"]) == (200, "new", "d")
    assert (await api.post("/namespaces/new/tables", json={"name": "t", "columns": []})).status_code == 201
    assert [one["name"] for one in (await api.get("/namespaces/new/tables")).json()["tables"]] == ["t"]


async def test_34_a_failed_validation_makes_no_stray_default_catalog(world, api):
    await api.post("/catalogs", json={"name": "a"})
    for path, body in (
        ("/namespaces", {"name": ""}),
        ("/namespaces", {"name": "a/b"}),
        ("/namespaces/x/tables", {"name": "t", "format": "orc", "columns": []}),
        ("/catalogs/default/schemas/x/tables", {"name": "t", "format": "orc", "columns": []}),
        ("/catalogs/default/schemas/x/tables", {"name": "t", "columns": []}),
        ("/catalogs/default/schemas", {"name": "s"}),
    ):
        answer = await api.post(path, json=body)
        assert answer.status_code in (400, 404), (path, answer.text)
    assert await names(api) == ["a"]
    assert (await api.get("/catalog/inventory")).json()["catalog_snapshot_version"] == 1


async def test_34_a_rejected_event_reaches_nothing_through_any_door(world, api):
    """What an api refuses early, the fold refuses too, and the rest of the batch goes on."""
    answers = await asyncio.gather(
        *(api.post("/namespaces", json={"name": name}) for name in ("x", "x", "y", "x", "z")),
    )
    assert sorted(answer.status_code for answer in answers) == [201, 201, 201, 409, 409]
    assert await names(api) == ["default"]
    assert (await api.get("/catalog/inventory")).json()["catalog_snapshot_version"] == 4
