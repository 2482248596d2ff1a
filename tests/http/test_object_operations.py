"""What a request costs in object operations, through both roles: counts do not vary between machines."""

import asyncio
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks.loading import loaded, table_names

from arco.core.paths import Key
from arco.storage.counting import sequential_rounds
from arco.storage.memory import MemoryStore
from arco.storage.port import Absent, Matches, PutOutcome

from .world import SCOPE, a_table, a_world, foreground, in_files, on_disk

TABLES = "/catalogs/analytics/schemas/sales/tables"
READS = [
    *("/catalogs", "/catalogs/analytics", "/catalogs/analytics/schemas", "/catalogs/analytics/schemas/sales"),
    *(TABLES, f"{TABLES}/orders", f"{TABLES}/orders?include=columns", "/catalog/inventory", "/namespaces"),
    *("/namespaces/sales", "/namespaces/sales/tables", "/namespaces/sales/tables/orders", "/history"),
    *(f"{TABLES}/orders/history", "/lineage/orders", "/lineage/orders?depth=all"),
]
LARGE = 20_000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of 20,000 tables, folded through the compactor directly."""
    return loaded(tmp_path_factory.mktemp("large"), LARGE, progress=False)


@pytest.mark.parametrize("path", READS)
async def test_a_warm_read_asks_only_whether_there_is_a_newer_manifest(world, api, path):
    await a_table(api)
    await world.quiet()
    await api.get(path)
    world.store.forget()
    assert (await api.get(path)).status_code == 200
    (operation,) = foreground(world.store.operations)
    assert operation.name == "get"
    assert "/manifests/catalog/" in operation.key


@pytest.mark.parametrize("path", READS)
async def test_requests_that_come_together_share_their_probes(world, api, path):
    await a_table(api)
    await world.quiet()
    await api.get(path)
    world.store.forget()
    await asyncio.gather(*(api.get(path) for _ in range(20)))
    # One probe is under way when the others come, and they share the next; the compactor's pointers follow meanwhile.
    probes = foreground(world.store.operations)
    assert len(probes) <= 2
    assert sequential_rounds(probes) == len(probes), "never two at a time"


async def cold_rounds(storage: str, path: str) -> tuple[int, set[str]]:
    """Sequential rounds of the first request of a new process, and the kinds of its operations."""
    async with a_world(storage=storage) as world, world.client() as api:
        answer = await api.get(path)
        assert answer.status_code == 200, answer.text
        return sequential_rounds(world.store.operations), {each.name for each in world.store.operations}


@pytest.mark.parametrize(
    "path",
    [
        "/catalogs/analytics",
        "/catalogs/analytics/schemas/sales",
        "/namespaces/sales/tables/orders",
        "/lineage/orders",
        "/catalog/inventory",
        f"{TABLES}/orders",
    ],
)
async def test_a_cold_look_up_takes_at_most_four_rounds(tmp_path, path):
    async with a_world(storage=on_disk(tmp_path)) as world, world.client() as api:
        await a_table(api)
        await api.post("/namespaces", json={"name": "sales"})
        await api.post("/namespaces/sales/tables", json={"name": "orders", "columns": []})
        await world.quiet()
    rounds, kinds = await cold_rounds(on_disk(tmp_path), path)
    assert kinds <= {"get", "head", "settle"}
    assert rounds <= 4


async def test_a_cold_look_up_among_many_tables_takes_at_most_four_rounds(large):
    schema, name = table_names(LARGE)[LARGE // 2]
    rounds, kinds = await cold_rounds(on_disk(large), f"/catalogs/bench/schemas/{schema}/tables/{name}")
    assert kinds <= {"get", "head", "settle"}
    assert rounds <= 4


@pytest.mark.parametrize("size", ["empty", "large"])
async def test_a_create_is_a_probe_an_append_and_two_rounds_and_its_bytes_are_bounded(large, tmp_path, size):
    storage = on_disk(tmp_path) if size == "empty" else on_disk(large)
    schema = "s042"
    async with a_world(storage=storage) as world, world.client() as api:
        if size == "empty":
            await api.post("/catalogs", json={"name": "bench"})
            await api.post("/catalogs/bench/schemas", json={"name": schema})
        path = f"/catalogs/bench/schemas/{schema}/tables"
        columns = [{"name": f"c{number}", "data_type": "BIGINT"} for number in range(5)]
        for number in range(6):
            await api.get(path + "?limit=1")
            world.store.forget()
            made = await api.post(path, json={"name": f"new_{size}_{number}", "columns": columns})
            assert made.status_code == 201, made.text
            operations = foreground(world.store.operations)
            assert not [each for each in operations if each.name == "list_page"]
            if number == 0:
                continue  # the first one after the start loads what it needs
            assert sequential_rounds(operations) <= 4, operations
            creating = [each for each in operations if each.name == "create"]
            families = [each.key.split("/")[2] for each in creating]
            # Deltas that have outgrown the manifest are written beside the commit record: no round more.
            assert [one for one in families if one != "snapshots"] == ["ledger", "commits", "manifests"]
            assert families.count("snapshots") <= 1
            # Up to 32 KiB of deltas ride inside the manifest, and up to 16 references of each table; no more.
            assert sum(each.sent_bytes for each in creating) <= 100 * 1024


async def bytes_of_creates(storage: str, *, empty: bool) -> float:
    """Mean bytes of a create, over enough of them that inline deltas fill up and spill as they do for ever after."""
    async with a_world(storage=storage) as world, world.client() as api:
        if empty:
            await api.post("/catalogs", json={"name": "bench"})
            await api.post("/catalogs/bench/schemas", json={"name": "s042"})
        world.store.forget()
        columns = [{"name": f"c{number}", "data_type": "BIGINT"} for number in range(5)]
        for number in range(40):
            made = await api.post(
                "/catalogs/bench/schemas/s042/tables", json={"name": f"flat_{number:03d}", "columns": columns}
            )
            assert made.status_code == 201, made.text
        written = [each.sent_bytes for each in world.store.operations if each.name == "create"]
        return sum(written) / 40


async def test_the_bytes_of_a_create_are_flat_as_the_catalog_grows(tmp_path, large):
    small = await bytes_of_creates(on_disk(tmp_path), empty=True)
    grown = await bytes_of_creates(on_disk(large), empty=False)
    assert grown / small <= 1.3, (small, grown)


EVERYTHING: list[tuple[str, str, Any]] = [
    ("POST", "/catalogs", {"name": "c"}),
    ("PATCH", "/catalogs/c", {"description": "d"}),
    ("POST", "/catalogs/c/schemas", {"name": "s"}),
    ("PATCH", "/catalogs/c/schemas/s", {"name": "s2"}),
    ("POST", "/catalogs/c/schemas/s2/tables", {"name": "t", "columns": [{"name": "a", "data_type": "INT"}]}),
    ("PATCH", "/catalogs/c/schemas/s2/tables/t", {"columns": [{"name": "b", "data_type": "INT"}]}),
    ("POST", "/namespaces", {"name": "n"}),
    ("POST", "/namespaces/n/tables", {"name": "t", "columns": []}),
    ("PUT", "/namespaces/n/tables/t", {"description": "d"}),
    ("POST", "/lineage/edges", {"edges": [{"source_id": "a", "target_id": "b"}]}),
    ("GET", "/lineage/b?depth=all", None),
    ("GET", "/catalogs", None),
    ("GET", "/catalogs/c", None),
    ("GET", "/catalogs/c/schemas", None),
    ("GET", "/catalogs/c/schemas/s2", None),
    ("GET", "/catalogs/c/schemas/s2/tables", None),
    ("GET", "/catalogs/c/schemas/s2/tables/t", None),
    ("GET", "/catalogs/c/schemas/s2/tables/t/history", None),
    ("GET", "/catalogs/c/schemas/s2/history", None),
    ("GET", "/catalogs/c/history", None),
    ("GET", "/history", None),
    ("GET", "/namespaces", None),
    ("GET", "/namespaces/n", None),
    ("GET", "/namespaces/n/tables", None),
    ("GET", "/namespaces/n/tables/t", None),
    ("GET", "/catalog/inventory", None),
    ("GET", "/outcomes/01KDVH8Q3N5P7R9S1T3V5W7X9Y", None),
    ("POST", "/query?format=json", {"sql": "SELECT count(*) AS n FROM system.catalog.commits"}),
    ("POST", "/query?format=json", {"sql": "SELECT count(*) AS n FROM catalog.tables AS OF 1"}),
    ("DELETE", "/namespaces/n/tables/t", None),
    ("DELETE", "/namespaces/n", None),
    ("DELETE", "/catalogs/c/schemas/s2/tables/t", None),
    ("DELETE", "/catalogs/c/schemas/s2", None),
    ("DELETE", "/catalogs/c", None),
]


async def test_nothing_is_listed_by_any_route(world, api):
    for method, path, body in EVERYTHING:
        answer = await api.request(method, path, json=body) if body else await api.request(method, path)
        assert answer.is_success or path.startswith("/outcomes/"), (method, path, answer.text)
        assert not [each for each in world.store.operations if each.name == "list_page"], (method, path)
    await world.quiet()
    assert not [each for each in world.store.operations if each.name == "list_page"]


async def test_query_data_lists_only_the_folder_of_a_table_that_is_a_folder(tmp_path):
    async with a_world(storage=in_files(tmp_path)) as world, world.client() as api:
        for location, name in (("warehouse/one.parquet", "one"), ("warehouse/many/", "many")):
            await a_table(api, name, format="parquet", location=location)
        write_parquet(tmp_path, "warehouse/one.parquet", "warehouse/many/a.parquet", "warehouse/many/deep/b.parquet")
        for name, total, listed in (("one", 6, set()), ("many", 12, {SCOPE.prefix + "warehouse/many/"})):
            world.store.forget()
            asked = {"sql": f"SELECT sum(n) AS n FROM analytics.sales.{name}"}
            answer = await api.post("/query-data?format=json", json=asked)
            assert answer.json() == [{"n": total}]
            assert {each.key for each in world.store.operations if each.name == "list_page"} == listed


def write_parquet(folder: Path, *wanted: str) -> None:
    """Files of three rows below the workspace."""
    for one in wanted:
        file = folder / SCOPE.prefix / one
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"n": [1, 2, 3]}), file)


class TimedStore:
    """A memory store that notes when each name was written."""

    def __init__(self) -> None:
        self.inner = MemoryStore()
        self.written: dict[str, list[float]] = defaultdict(list)

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        self.written[key].append(time.monotonic())
        return await self.inner.put(key, body, when=when)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


async def test_no_name_is_written_twice_within_a_second_under_load():
    store = TimedStore()
    async with a_world(store=store) as world, world.client() as api:
        await a_table(api)
        # The workspace's first write makes the pointers; the load begins when they have rested.
        ends = time.monotonic() + 3
        created = await asyncio.gather(*(create_until(ends, api, number) for number in range(64)))
        assert sum(created) > 200
        gaps = {
            key: min(later - earlier for earlier, later in pairwise(times))
            for key, times in store.written.items()
            if len(times) > 1
        }
    pointers = {f"manifests/{domain}.pointer.json" for domain in ("catalog", "search")}
    assert {key.removeprefix(SCOPE.prefix) for key in gaps} <= pointers
    assert all(gap >= 1 for gap in gaps.values()), gaps


async def create_until(ends: float, api: httpx.AsyncClient, worker: int) -> int:
    count = 0
    while time.monotonic() < ends:
        answer = await api.post(TABLES, json={"name": f"w{worker}_{count}", "columns": []})
        assert answer.status_code == 201, answer.text
        count += 1
    return count


async def test_sixty_four_creates_at_once_share_appends_and_commits(world, api):
    await a_table(api)
    world.store.forget()
    answers = await asyncio.gather(*(api.post(TABLES, json={"name": f"t{n}", "columns": []}) for n in range(64)))
    assert {answer.status_code for answer in answers} == {201}
    written = [each.key for each in foreground(world.store.operations) if each.name == "create"]
    assert len([key for key in written if "/ledger/" in key]) <= 8
    assert len([key for key in written if "/manifests/" in key]) <= 8
