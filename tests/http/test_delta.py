"""Staging and committing Delta versions over HTTP (catalog.md 4.10, 11.7): answers, costs, and a real reader."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from tests.delta_logs import add, creation, payload

from arco.core.entropy import MintedIds, SystemEntropy
from arco.core.paths import Key, delta_log
from arco.storage.counting import sequential_rounds
from arco.storage.port import Absent, Stored

from .world import SCOPE, World, a_table, a_world, foreground, in_files, problem

NOBODY = "019b7700-9999-7abc-9def-0123456789ab"


async def answered(ask: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """What is answered at last: a cloud on a busy machine may say "not now", and the same request is sent again."""
    for _ in range(50):
        answer = await ask()
        if answer.status_code != 503:
            return answer
        await asyncio.sleep(0)
    raise AssertionError("was never answered")


class Committer:
    """A writer of one Delta table."""

    def __init__(self, world: World, api: httpx.AsyncClient, table_id: str) -> None:
        self.ids = MintedIds(world.clock, SystemEntropy())
        self.api = api
        self.path = f"/delta/tables/{table_id}"

    async def stage(self, text: str) -> dict[str, Any]:
        answer = await answered(lambda: self.api.post(f"{self.path}/commits/stage", json={"payload": text}))
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def commit(self, read_version: int, staged: dict[str, Any], key: str | None = None) -> httpx.Response:
        return await self.api.post(
            f"{self.path}/commits",
            json={"read_version": read_version, **staged},
            headers={"Idempotency-Key": key or self.ids.uuid7()},
        )

    async def write(self, read_version: int, *actions: dict[str, Any]) -> httpx.Response:
        text = payload(*actions) if read_version >= 0 else creation(*actions)
        return await self.commit(read_version, await self.stage(text))

    async def latest(self) -> int:
        answer = await answered(lambda: self.api.get(self.path))
        assert answer.status_code == 200, answer.text
        return answer.json()["latest_version"]


async def a_committer(world: World, api: httpx.AsyncClient, **fields: Any) -> Committer:
    made = await a_table(api, **fields)
    assert made.status_code == 201, made.text
    return Committer(world, api, made.json()["id"])


@pytest.fixture
async def orders(world, api) -> Committer:
    return await a_committer(world, api, location="gs://lake/tables/orders")


async def test_the_example_of_the_contract(world, orders):
    answer = await orders.write(-1, add())
    assert answer.status_code == 200
    assert answer.json() == {
        "version": 0,
        "delta_log_path": "tables/orders/_delta_log/00000000000000000000.json",
    }
    stored = await world.in_scope().get(Key(answer.json()["delta_log_path"]))
    assert stored is not None
    assert stored.body.decode() == creation(add())
    assert (await orders.write(0, add("b"))).json()["version"] == 1
    assert await orders.latest() == 1


async def test_a_table_without_a_location_has_its_log_below_tables(world, api):
    writer = await a_committer(world, api)
    table_id = writer.path.rpartition("/")[2]
    assert (await writer.write(-1)).json()["delta_log_path"].startswith(f"tables/{table_id}/_delta_log/")


@pytest.mark.parametrize(
    ("location", "root"),
    [
        ("warehouse/a/b", "warehouse/a/b"),
        ("s3://x/tenant=local/workspace=default/warehouse/a/", "warehouse/a"),
        ("gs://lake/tables/a", "tables/a"),
    ],
)
async def test_the_log_lies_at_the_reduced_location(world, api, location, root):
    writer = await a_committer(world, api, location=location)
    assert (await writer.write(-1)).json()["delta_log_path"] == delta_log(root, 0)


@pytest.mark.parametrize("location", ["gs://lake/elsewhere/a", "ledger/catalog", "manifests/x", "delta/coordinator"])
async def test_a_table_outside_the_coordinated_folders_is_told_so(world, api, location):
    writer = await a_committer(world, api, location=location)
    answer = await writer.api.post(f"{writer.path}/commits/stage", json={"payload": creation()})
    assert problem(answer)[:2] == (409, "CONFLICT")
    assert "below tables/ and warehouse/ only" in answer.json()["message"]


async def test_an_unknown_table_is_404_and_one_of_another_format_409(world, api, orders):
    stranger = Committer(world, api, NOBODY)
    staged = await orders.stage(creation())
    for answer in (
        await api.post(f"{stranger.path}/commits/stage", json={"payload": creation()}),
        await api.get(stranger.path),
        await stranger.commit(-1, {**staged, "staged_path": f"delta/staging/{NOBODY}/01KDVH9A0B1C2D3E4F5G6H7J8K.json"}),
    ):
        assert problem(answer) == (404, "NOT_FOUND", f"table not found: {NOBODY}")
    made = await a_table(api, "ice", format="iceberg")
    iceberg = Committer(world, api, made.json()["id"])
    answer = await api.post(f"{iceberg.path}/commits/stage", json={"payload": creation()})
    assert problem(answer) == (409, "CONFLICT", f"table {made.json()['id']} is format 'iceberg', expected 'delta'")


async def test_a_table_id_that_is_no_uuid_is_400(api):
    for method, path in (("POST", "/commits/stage"), ("POST", "/commits"), ("GET", "")):
        answer = await api.request(method, f"/delta/tables/orders{path}", json={"payload": ""})
        assert problem(answer) == (400, "BAD_REQUEST", "table_id must be a UUID")


async def test_a_payload_that_no_reader_could_read_is_not_staged(world, api, orders):
    await world.quiet()  # the pointers of what made the table follow by themselves
    world.store.forget()
    answer = await api.post(f"{orders.path}/commits/stage", json={"payload": payload(add(), add("../../x"))})
    assert problem(answer)[:2] == (400, "BAD_REQUEST")
    assert answer.json()["message"].startswith("payload line 2: add.path must stay inside the table")
    assert not [each for each in world.store.operations if each.name == "create"]


async def test_a_commit_needs_a_key(api, orders):
    staged = await orders.stage(creation())
    answer = await api.post(f"{orders.path}/commits", json={"read_version": -1, **staged})
    assert problem(answer) == (400, "BAD_REQUEST", "Idempotency-Key is required")
    answer = await orders.commit(-1, staged, key="not-a-uuid")
    assert problem(answer)[:2] == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "path",
    [
        f"delta/staging/{NOBODY}/01KDVH9A0B1C2D3E4F5G6H7J8K.json",
        "{own}../01KDVH9A0B1C2D3E4F5G6H7J8K.json",
        "{own}x.json",
        "{own}01KDVH9A0B1C2D3E4F5G6H7J8K",
        "/{own}01KDVH9A0B1C2D3E4F5G6H7J8K.json",
        "",
    ],
)
async def test_a_staged_path_of_another_table_is_400(orders, path):
    own = f"delta/staging/{orders.path.rpartition('/')[2]}/"
    answer = await orders.commit(-1, {"staged_path": path.replace("{own}", own), "staged_version": "1"})
    assert problem(answer)[:2] == (400, "BAD_REQUEST")
    assert answer.json()["message"].startswith(f"staged_path must be {own}")


async def test_a_staged_object_that_is_missing_is_404_and_another_version_409(orders):
    staged = await orders.stage(creation())
    missing = staged["staged_path"][:-31] + "01KDVH9A0B1C2D3E4F5G6H7J8K.json"
    answer = await orders.commit(-1, {**staged, "staged_path": missing})
    assert problem(answer) == (404, "NOT_FOUND", f"staged object not found: {missing}")
    answer = await orders.commit(-1, {**staged, "staged_version": "nonsense"})
    assert problem(answer)[:2] == (409, "CONFLICT")
    assert "staged version mismatch" in answer.json()["message"]


async def test_a_stale_read_version_is_409_and_names_the_latest(orders):
    await orders.write(-1)
    for given in (-1, 1, 7):
        answer = await orders.commit(given, await orders.stage(creation(add(f"{given}"))))
        assert problem(answer) == (409, "CONFLICT", f"stale read_version: expected 0, got {given}")
        assert answer.json()["details"] == {"latest_version": 0}
    answer = await orders.commit(-2, await orders.stage(creation()))
    assert problem(answer)[:2] == (400, "BAD_REQUEST")
    assert answer.json()["message"].startswith("read_version must be -1 to ")


async def test_the_first_commit_must_make_a_table(orders):
    answer = await orders.commit(-1, await orders.stage(payload(add())))
    assert problem(answer)[:2] == (400, "BAD_REQUEST")
    assert "must carry protocol and metaData" in answer.json()["message"]
    assert await orders.latest() == -1


async def test_a_key_replays_its_version_also_after_the_drop_and_is_refused_for_another_request(api, orders):
    key = orders.ids.uuid7()
    staged = await orders.stage(creation())
    first = await orders.commit(-1, staged, key)
    assert first.status_code == 200
    await orders.write(0, add("later"))
    assert (await orders.commit(-1, staged, key)).json() == first.json()
    other = await orders.stage(creation(add("other")))
    for read_version, body in ((0, staged), (-1, other)):
        answer = await orders.commit(read_version, body, key)
        assert problem(answer) == (409, "CONFLICT", "Idempotency-Key already used with different request body")
    await api.delete("/catalogs/analytics/schemas/sales/tables/orders")
    assert (await orders.commit(-1, staged, key)).json() == first.json()
    assert (await orders.commit(1, staged)).status_code == 404


async def test_a_commit_of_the_same_key_that_comes_twice_at_once_is_one_version(world, orders):
    await orders.write(-1)
    key, staged = orders.ids.uuid7(), await orders.stage(payload(add("one")))
    answers = await asyncio.gather(*(orders.commit(0, staged, key) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["version"] for answer in answers} == {1}
    assert await orders.latest() == 1


async def test_a_log_that_others_wrote_is_taken_over_where_it_stands(world, api, orders):
    store = world.in_scope()
    for version in range(37):
        await put(store, delta_log("tables/orders", version), creation(add(f"{version}")))
    answer = await orders.write(-1)
    assert problem(answer) == (409, "CONFLICT", "stale read_version: expected 36, got -1")
    assert (await orders.write(36, add("ours"))).json()["version"] == 37
    # Somebody writes past the coordinator: its version is theirs, and the next one is given out again.
    await put(store, delta_log("tables/orders", 38), payload(add("foreign")))
    answer = await orders.write(37, add("lost"))
    assert problem(answer) == (409, "CONFLICT", "stale read_version: expected 38, got 37")
    assert (await orders.write(38, add("won"))).json()["version"] == 39
    # Who has read further than the coordinator knows is believed when the log says so too.
    await put(store, delta_log("tables/orders", 40), payload(add("foreign again")))
    assert (await orders.write(40, add("goes on"))).json()["version"] == 41
    shown = (await api.get("/catalogs/analytics/schemas/sales/tables/orders/history")).json()
    assert [each["operation"] for each in shown["history"]][:3] == [
        "delta_committed",
        "delta_adopted",
        "delta_committed",
    ]


async def test_a_log_whose_beginning_was_cleaned_up_is_entered_by_its_checkpoint(world, orders):
    store = world.in_scope()
    await put(store, "tables/orders/_delta_log/_last_checkpoint", json.dumps({"version": 50, "size": 3}))
    for version in (51, 52):
        await put(store, delta_log("tables/orders", version), payload(add(f"{version}")))
    assert problem(await orders.write(-1))[2] == "stale read_version: expected 52, got -1"
    assert (await orders.write(52, add("ours"))).json()["version"] == 53


async def test_versions_that_were_cleaned_up_behind_a_checkpoint_are_not_given_out_again(world, orders):
    """Others wrote past the coordinator, made a checkpoint and cleaned up: the next number only looks free."""
    assert (await orders.write(-1)).json()["version"] == 0
    store = world.in_scope()
    await put(store, "tables/orders/_delta_log/_last_checkpoint", json.dumps({"version": 50, "size": 3}))
    for version in (50, 51):
        await put(store, delta_log("tables/orders", version), payload(add(f"{version}")))
    assert problem(await orders.write(0, add("lost")))[2] == "stale read_version: expected 51, got 0"
    assert await store.head(Key(delta_log("tables/orders", 1))) is None
    assert (await orders.write(51, add("ours"))).json()["version"] == 52


async def put(store: Any, key: str, text: str) -> None:
    assert isinstance(await store.put(Key(key), text.encode(), when=Absent()), Stored)


async def test_a_table_that_moved_after_its_first_version_is_refused(api, orders):
    await orders.write(-1)
    path = "/catalogs/analytics/schemas/sales/tables/orders"
    await api.patch(path, json={"location": "warehouse/moved"})
    answer = await orders.write(0, add("x"))
    assert problem(answer)[:2] == (409, "CONFLICT")
    assert "the log of this table is at 'tables/orders'" in answer.json()["message"]
    await api.patch(path, json={"location": "tables/orders"})
    assert (await orders.write(0, add("x"))).json()["version"] == 1


async def test_a_commit_costs_seven_creates_and_no_listing(world, orders):
    await orders.write(-1)
    await orders.write(0, add("warm"))
    assert await orders.latest() == 1
    world.store.forget()
    staged = await orders.stage(payload(add("one")))
    operations = foreground(world.store.operations)
    assert [each.name for each in operations] == ["get", "create"]  # the head, and the payload
    world.store.forget()
    assert (await orders.commit(1, staged)).status_code == 200
    operations = foreground(world.store.operations)
    creates = [each.key.split("/")[2] for each in operations if each.name == "create"]
    assert creates == ["ledger", "commits", "manifests", "tables", "ledger", "commits", "manifests"]
    assert {each.name for each in operations} <= {"get", "create"}
    # The head, the payload, and beside it whether others have cleaned up the log.
    assert len([each for each in operations if each.name == "get"]) == 3
    assert sequential_rounds(operations) == 9


WRITERS = 64


async def test_64_writers_get_dense_versions_each_acknowledged_once(world, api, orders):
    assert (await orders.write(-1)).status_code == 200

    async def write_one(number: int) -> int:
        staged = await orders.stage(payload(add(f"{number}.parquet")))
        for _ in range(10_000):
            read_version, key = await orders.latest(), orders.ids.uuid7()
            answer = await answered(partial(orders.commit, read_version, staged, key))
            if answer.status_code == 200:
                return answer.json()["version"]
            assert answer.status_code == 409, answer.text
            await asyncio.sleep(0)
        raise AssertionError("never had its turn")

    versions = await asyncio.gather(*(write_one(number) for number in range(WRITERS)))
    assert sorted(versions) == list(range(1, WRITERS + 1))
    store = world.in_scope()
    for number, version in enumerate(versions):
        held = await store.get(delta_log("tables/orders", version))
        assert held is not None
        assert held.body.decode() == payload(add(f"{number}.parquet"))


async def test_delta_rs_reads_what_was_committed_and_goes_on_with_it(tmp_path):
    async with a_world(storage=in_files(tmp_path)) as world, world.client() as api:
        writer = await a_committer(world, api, location="warehouse/orders")
        root = Path(tmp_path) / SCOPE.prefix / "warehouse/orders"
        root.mkdir(parents=True)
        for version in range(3):
            name = f"part-{version}.parquet"
            pq.write_table(pa.table({"id": pa.array([version], pa.int64())}), root / name)
            answer = await writer.write(version - 1, add(name, size=(root / name).stat().st_size))
            assert answer.json()["version"] == version, answer.text
        table = DeltaTable(str(root))
        assert table.version() == 2
        assert sorted(table.to_pyarrow_table()["id"].to_pylist()) == [0, 1, 2]
        rows = await api.post(
            "/query-data?format=json", json={"sql": "SELECT count(*) AS n FROM analytics.sales.orders"}
        )
        assert rows.json() == [{"n": 3}]
        # Another engine commits beside us; the coordinator follows.
        write_deltalake(str(root), pa.table({"id": pa.array([3], pa.int64())}), mode="append")
        name = "part-4.parquet"
        pq.write_table(pa.table({"id": pa.array([4], pa.int64())}), root / name)
        assert (await writer.write(3, add(name, size=(root / name).stat().st_size))).json()["version"] == 4
        assert sorted(DeltaTable(str(root)).to_pyarrow_table()["id"].to_pylist()) == [0, 1, 2, 3, 4]
