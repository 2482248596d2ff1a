"""The flow-compactor's own routes: `/compact`, `/rebuild`, `/internal/reconcile` (orchestration.md 5.5, 10)."""

import json
from typing import Any

import httpx
import msgspec
import pytest

from arco.core.ids import ulid_from_int
from arco.core.paths import Key
from arco.domains.orchestration.events import PlanCreated, RunTriggered, TaskDef, TaskFinished, TaskStarted
from arco.domains.orchestration.rows import RUNS, TASKS
from arco.storage.port import Absent, Matches

from .flow import deploy, everything, states, trigger
from .world import SCOPE, World, a_world

LOCK = "locks/orchestration.compaction.lock.json"
FOREVER, LONG_AGO = "2099-01-01T00:00:00Z", "2020-01-01T00:00:00Z"
REBUILD = "state/orchestration/rebuilds/now.json"
RUN = "01J00000000000000000000RUN"
TASKS_OF_RUN = [TaskDef(key="n.a"), TaskDef(key="n.b", depends_on=["n.a"])]
ATTEMPT: dict[str, Any] = {"run_id": RUN, "task_key": "n.a", "attempt": 1, "attempt_id": "att-1", "worker_id": "w"}
STORY = [
    RunTriggered(run_id=RUN, plan_id="plan-1", root_assets=["n.b"]),
    PlanCreated(run_id=RUN, plan_id="plan-1", tasks=TASKS_OF_RUN),
    TaskStarted(**ATTEMPT),
    TaskFinished(**ATTEMPT, outcome="succeeded"),
]


def path_of(number: int) -> str:
    """The ledger object of one event of the story."""
    return f"ledger/orchestration/{ulid_from_int((1_767_225_600_000 << 80) + number)}.json"


async def planted(world: World, key: str, content: Any) -> None:
    """An object beneath the roles' bounds."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    found = await world.store.get(Key(key))
    await world.store.put(Key(key), body, when=Absent() if found is None else Matches(found.version))


async def story(world: World) -> list[str]:
    """A run in the ledger that nobody has folded: the paths of its events."""
    paths = []
    for number, event in enumerate(STORY, start=1):
        name = type(event).__name__
        envelope = {
            "event_type": name,
            "event_version": 1,
            "idempotency_key": f"story:{number}",
            "occurred_at": "2026-01-01T00:00:00Z",
            "source": "api:test",
            "payload": msgspec.to_builtins(event),
        }
        paths.append(path_of(number))
        await planted(world, SCOPE.prefix + paths[-1], envelope)
    return paths


async def locked(world: World, sequence: int, expires: str = FOREVER) -> None:
    """The contract's lock, at the root of the bucket."""
    record = {"holderId": "flow-1", "expiresAt": expires, "acquiredAt": "2026-01-01T00:00:00Z"}
    await planted(world, LOCK, {**record, "sequenceNumber": sequence})


async def post(world: World, path: str, **body: Any) -> httpx.Response:
    """A call of the flow-compactor."""
    async with world.client(role="flow-compactor") as client:
        return await client.post(path, json=body)


async def folded(world: World) -> tuple[list[Any], list[Any]]:
    """What is known of runs and tasks."""
    snapshot = await world.flow_reader().head()
    return ([], []) if snapshot is None else (await snapshot.scan(RUNS), await snapshot.scan(TASKS))


async def test_07_listed_events_are_folded_and_listed_again_change_nothing(world: World) -> None:
    paths = await story(world)
    first = (await post(world, "/compact", event_paths=paths)).json()
    assert (first["events_processed"], first["visibility_status"], first["repair_pending"]) == (4, "visible", False)
    before = await folded(world)
    assert [task.state for task in before[1]] == ["SUCCEEDED", "READY"]
    again = (await post(world, "/compact", event_paths=paths)).json()
    assert (again["events_processed"], await folded(world)) == (0, before)


async def test_41_who_brings_a_lock_must_hold_it(world: World) -> None:
    paths = await story(world)
    stale = (409, "stale_fencing_token")
    for held in (None, (5, LONG_AGO), (6, FOREVER), (4, FOREVER)):
        if held is not None:
            await locked(world, *held)
        answer = await post(world, "/compact", event_paths=paths, fencing_token=5, lock_path=LOCK)
        assert (answer.status_code, answer.json()["error"]) == stale, held
    await locked(world, 5)
    elsewhere = await post(world, "/compact", event_paths=paths, fencing_token=5, lock_path="locks/other.lock.json")
    assert elsewhere.status_code == 400
    assert await folded(world) == ([], [])
    assert (await post(world, "/compact", event_paths=paths, fencing_token=5, lock_path=LOCK)).status_code == 200
    await locked(world, 4)
    late = await post(world, "/compact", event_paths=paths, fencing_token=4, lock_path=LOCK)
    assert (late.status_code, late.json()["error"]) == stale


@pytest.mark.parametrize(
    "body",
    [
        {"event_paths": [], "epoch": 1},
        {"event_paths": [], "surprise": 1},
        {"event_paths": [], "lock_path": LOCK},
        {"event_paths": "all"},
        {},
    ],
)
async def test_42_a_body_that_is_not_the_contracts_is_400(world: World, body: dict[str, Any]) -> None:
    answer = await post(world, "/compact", **body)
    assert (answer.status_code, answer.json()["error"]) == (400, "validation_error")


@pytest.mark.parametrize(
    "path",
    [
        "ledger/orchestration/one.json",
        "ledger/catalog/01KDVH8Q3N5P7R9S1T3V5W7X9Y.json",
        "tenant=other/workspace=default/" + path_of(1),
        SCOPE.prefix + path_of(1),
        "../" + path_of(1),
        path_of(99),
    ],
)
async def test_43_an_event_that_does_not_lie_where_it_belongs_fails_the_whole_call(world: World, path: str) -> None:
    paths = await story(world)
    answer = await post(world, "/compact", event_paths=[*paths, path])
    assert (answer.status_code, answer.json()["error"]) == (400, "validation_error")
    assert await folded(world) == ([], [])


async def test_44_without_events_the_head_is_told_and_made_when_there_is_none(world: World) -> None:
    first = (await post(world, "/compact", event_paths=[])).json()
    assert (first["events_processed"], first["manifest_id"]) == (0, "0" * 20)
    assert (await post(world, "/compact", event_paths=[])).json() == first
    done = (await post(world, "/compact", event_paths=await story(world))).json()
    head = (await post(world, "/compact", event_paths=[])).json()
    assert (head["manifest_id"], head["manifest_revision"]) == (done["manifest_id"], done["manifest_revision"])


async def test_47_a_rebuild_makes_what_folding_one_by_one_makes(world: World) -> None:
    for path in await story(world):
        assert (await post(world, "/compact", event_paths=[path])).json()["events_processed"] == 1
    async with a_world() as other:
        await planted(other, SCOPE.prefix + REBUILD, {"event_paths": await story(other)})
        done = await post(other, "/rebuild", rebuild_manifest_path=REBUILD)
        assert (done.status_code, done.json()["events_processed"]) == (200, 4)
        assert await everything(other) == await everything(world)
        again = (await post(other, "/rebuild", rebuild_manifest_path=REBUILD)).json()
        assert again["events_processed"] == 0


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("manifests/orchestration/now.json", None, 400),
        ("state/orchestration/rebuilds/../now.json", None, 400),
        (REBUILD, None, 404),
        (REBUILD, b"{nothing", 400),
        (REBUILD, b'{"event_paths":7}', 400),
        (REBUILD, b'{"event_paths":["ledger/catalog/01KDVH8Q3N5P7R9S1T3V5W7X9Y.json"]}', 400),
    ],
)
async def test_47_a_rebuild_that_says_nothing_sensible_is_refused(
    world: World, path: str, content: bytes | None, status: int
) -> None:
    if content is not None:
        await planted(world, SCOPE.prefix + path, content)
    answer = await post(world, "/rebuild", rebuild_manifest_path=path)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error", "message"}
    assert await folded(world) == ([], [])


async def test_48_who_serves_and_who_controls_reads_no_ledger(world: World, api: httpx.AsyncClient) -> None:
    await deploy(api)
    run = await trigger(api, "ml.scores", includeUpstream=True)
    world.store.forget()
    await states(api, run)
    for path in ("runs", "partitions", "manifests"):
        assert (await api.get(f"/workspaces/default/{path}")).status_code == 200
    for role in ("dispatcher", "sweeper"):
        async with world.client(role=role) as client:
            assert (await client.post("/run")).status_code == 200
    read = [one for one in world.store.operations if one.name != "create" and "ledger/" in one.key]
    assert read == []
    assert [one for one in world.store.operations if one.name == "list" and "ledger" in one.key] == []


async def test_reconcile_reports_on_the_chain_and_repairs_its_pointer(world: World) -> None:
    await post(world, "/compact", event_paths=await story(world))
    answer = await post(world, "/internal/reconcile")
    report = answer.json()["report"]
    assert (answer.status_code, report["issues"]) == (200, [])
    assert report["current_manifest_path"].startswith("manifests/orchestration/")
    done = (await post(world, "/internal/reconcile", repair=True, repairScope="full")).json()
    assert done["repair_result"]["failed_repairs"] == []
    for bad in ({"repairScope": "half"}, {"surprise": 1}):
        assert (await post(world, "/internal/reconcile", **bad)).status_code == 400
