"""A sample of the HTTP suite on an emulated bucket: the same answers for the same operations as on local files.

`nox -s cloud` runs the whole of it there (`pytest --store=gcs tests/http tests/contract`).
"""

import re
from pathlib import Path

import httpx
import pytest
from tests.emulators.processes import BUCKET, Emulator

from arco.storage.counting import Operation, sequential_rounds
from arco.storage.gcs import GcsStore
from arco.storage.local import LocalStore
from arco.storage.port import ObjectStore

from .world import World, a_table, a_world, foreground

TABLES = "/catalogs/analytics/schemas/sales/tables"
_UNIQUE = re.compile(r"[0-9A-Z]{26}|\d{20}|[0-9a-f]{16,}|-\d+(?=\.)")


async def story(world: World, api: httpx.AsyncClient) -> tuple[list[object], list[list[str]], list[int]]:
    """Answers of a few requests; for each its operations, with the parts of keys that differ each time left out."""
    answers: list[object] = []
    operations: list[list[str]] = []
    rounds: list[int] = []
    await a_table(api)
    await world.quiet()
    steps = (
        ("POST", TABLES, {"name": "customers", "columns": [{"name": "id", "data_type": "BIGINT"}]}),
        ("POST", TABLES, {"name": "customers", "columns": []}),
        ("GET", f"{TABLES}/customers", None),
        ("GET", TABLES, None),
        ("PATCH", f"{TABLES}/customers", {"description": "who buys"}),
        ("POST", "/query?format=json", {"sql": "SELECT name FROM catalog.tables ORDER BY name"}),
        ("DELETE", f"{TABLES}/customers", None),
        ("GET", f"{TABLES}/customers", None),
    )
    for method, path, body in steps:
        await api.get("/catalogs")
        world.store.forget()
        answer = await api.request(method, path, json=body)
        content = answer.json() if answer.content else None
        shown = content if isinstance(content, list) else sorted(content or {})
        answers.append((answer.status_code, shown))
        done = foreground(world.store.operations)
        operations.append(sorted(f"{each.name} {_UNIQUE.sub('*', each.key)}" for each in done if awaited(each)))
        rounds.append(sequential_rounds(each for each in done if awaited(each)))
    return answers, operations, rounds


def awaited(operation: Operation) -> bool:
    """A bucket has nothing to settle."""
    return operation.name != "settle"


async def told(store: ObjectStore) -> tuple[list[object], list[list[str]], list[int]]:
    """The story of a new world on a store; nothing is merged beside it."""
    async with a_world({"ARCO_IDLE_MERGE_MS": "600000"}, store=store) as world, world.client() as api:
        return await story(world, api)


async def test_a_bucket_gives_the_same_answers_for_the_same_operations_as_a_folder(gcs: Emulator, tmp_path: Path):
    folder, bucket = LocalStore(tmp_path), GcsStore(BUCKET, "story/", endpoint=gcs.endpoint)
    try:
        of_folder, of_bucket = await told(folder), await told(bucket)
    finally:
        folder.close()
        await bucket.close()
    for expected, found in zip(of_folder, of_bucket, strict=True):
        assert found == expected


@pytest.mark.parametrize("fault", ["drop", "twice"])
async def test_a_create_whose_every_write_loses_its_answer_is_made_once(gcs: Emulator, fault: str):
    """Each object is applied and its answer lost, on its way through ledger, commit record and manifest."""
    bucket = GcsStore(BUCKET, f"lossy-{fault}/", endpoint=gcs.endpoint)
    async with a_world(store=bucket) as world, world.client() as api:
        await a_table(api)
        await world.quiet()
        gcs.fault(fault, "POST /upload", times=3)
        made = await api.post(TABLES, json={"name": "customers", "columns": []})
        assert made.status_code == 201, made.text
        names = [table["name"] for table in (await api.get(TABLES)).json()["tables"]]
        assert names == ["customers", "orders"]
    gcs.control("reset")
    await bucket.close()
