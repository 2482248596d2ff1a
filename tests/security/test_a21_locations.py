"""A-21, for what is built: nothing is written or read outside of a table's place, whatever its location says.

arco vends no credentials yet; what a location steers is where the api writes commit logs, and what `query-data` reads.
"""

from typing import Any

import pytest
from tests.delta_logs import creation
from tests.http.test_delta import Committer
from tests.http.test_transactions import apply, create_catalog, create_schema, register
from tests.http.world import World, a_table, a_world

ELSEWHERE = [
    *("ledger/catalog", "manifests", "commits/catalog", "snapshots/catalog/tables", "state/x", "locks", "quarantine/x"),
    *("transactions/root", "delta/coordinator", "retention", "tables", "warehouse", "tables/", "/warehouse/"),
    *("tablesx/a", "warehouse-2/a", "Tables/a", "tenant=evil/workspace=default/tables/a"),
    *("tenant=local/workspace=other/tables/a", "tenant=local/workspace=default/manifests/a", "file:///etc/x", "x/a"),
    *("gs://other-bucket/ledger/a", "http://169.254.169.254/latest", "tables/a/../../ledger/x", "tables/..", "a/./b"),
    *(
        "tables/%2e%2e/x",
        "tables\\\\x",
        "tables//..//ledger",
        "tables/\u2024\u2024/x",
        "tables/a\u0000",
        "//",
        "gs://b/",
    ),
]
INSIDE = ("tables/", "warehouse/")


async def places(world: World) -> set[str]:
    """The objects there are that hold commits of tables, or should not be there at all."""
    await world.quiet()
    every = {info.key for info in await world.in_scope().list_page("")}
    assert all(operation.key.startswith("tenant=local/workspace=default/") for operation in world.store.operations)
    return {key for key in every if "_delta_log" in key}


async def written(world: World, api: Any, table_id: str) -> list[int]:
    """The statuses of an honest first commit."""
    writer = Committer(world, api, table_id)
    staged = await api.post(f"{writer.path}/commits/stage", json={"payload": creation()})
    if staged.status_code != 200:
        return [staged.status_code]
    return [200, (await writer.commit(-1, staged.json())).status_code]


def kept_inside(found: set[str]) -> bool:
    return all(key.startswith(INSIDE) and key.count("/") >= 3 and ".." not in key for key in found)


@pytest.mark.parametrize("location", ELSEWHERE)
async def test_a21_a_location_outside_of_tables_is_refused_or_nothing_is_written_there(location: str):
    async with a_world() as world, world.client() as api:
        made = await a_table(api, location=location)
        assert made.status_code in (201, 400), made.text
        if made.status_code == 201:
            statuses = await written(world, api, made.json()["id"])
            found = await places(world)
            assert kept_inside(found), found
            assert statuses[-1] in (409, 400) or found, statuses
        assert kept_inside(await places(world))


@pytest.mark.parametrize("location", ELSEWHERE)
async def test_a21_a_change_or_a_transaction_is_no_way_around(location: str):
    async with a_world() as world, world.client() as api:
        made = await a_table(api, location="tables/good")
        path = "/catalogs/analytics/schemas/sales/tables/orders"
        changed = await api.patch(path, json={"location": location})
        assert changed.status_code in (200, 400), changed.text
        await written(world, api, made.json()["id"])
        assert kept_inside(await places(world))
        await apply(api, create_catalog("b"), create_schema("b"), key="1")
        operation = register("t", "a")
        operation["registerTable"] = {**operation["registerTable"], "location": location}
        answer = await apply(api, operation, key="2")
        assert answer.status_code in (200, 400, 404), answer.text
        assert kept_inside(await places(world))


@pytest.mark.parametrize(
    "properties",
    [
        {"write.metadata.path": "ledger/catalog"},
        {"write.data.path": "gs://other/x"},
        {"write.object-storage.path": "manifests"},
        {"a.location": "tenant=evil/workspace=w/x"},
    ],
    ids=str,
)
async def test_a21_a_property_that_names_a_path_steers_nothing(properties: dict[str, str]):
    async with a_world() as world, world.client() as api:
        made = await a_table(api, location="tables/good", properties=properties)
        assert made.status_code == 201, made.text
        assert await written(world, api, made.json()["id"]) == [200, 200]
        assert await places(world) == {"tables/good/_delta_log/00000000000000000000.json"}


async def test_a21_two_tables_at_one_place_never_overwrite_each_other():
    async with a_world() as world, world.client() as api:
        first = await a_table(api, "one", location="warehouse/t1")
        nested = {
            "two": "warehouse/t1",
            "three": "warehouse/t1/",
            "four": "warehouse/t1/_delta_log",
            "five": "warehouse/t10",
        }
        assert await written(world, api, first.json()["id"]) == [200, 200]
        key = "tenant=local/workspace=default/warehouse/t1/_delta_log/00000000000000000000.json"
        before = [info.version for info in await world.store.list_page(key)]
        for name, location in nested.items():
            made = await a_table(api, name, location=location)
            if made.status_code == 201:
                assert (await written(world, api, made.json()["id"]))[-1] in (200, 409)
        assert [info.version for info in await world.store.list_page(key)] == before
