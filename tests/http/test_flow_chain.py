"""Orchestration's chain as it is published: order, restarts, races, keys (orchestration.md 4, 5, 10)."""

import asyncio
import random
from typing import Any

import httpx
import msgspec
import pytest

from arco.core import paths
from arco.core.canonical_json import sha256_hex
from arco.core.errors import CorruptData
from arco.core.ids import ulid_from_int
from arco.core.paths import Key
from arco.domains.orchestration import events
from arco.domains.orchestration.automation_events import BackfillCreated, SensorEvaluated
from arco.domains.orchestration.automation_rows import BACKFILLS, SENSOR_EVALS, SENSOR_STATE
from arco.domains.orchestration.drafts import unit
from arco.domains.orchestration.rows import RUN_KEY_CONFLICTS, RUN_KEYS, RUNS
from arco.kernel.envelope import Claim
from arco.kernel.fold import Outcome
from arco.kernel.manifest import Manifest
from arco.kernel.reader import ChainSnapshot
from arco.storage.port import Absent, Lost, Matches

from .flow import everything
from .test_flow_compactor import STORY, path_of, planted, post, story
from .world import SCOPE, World, a_world

PUSH = msgspec.Raw(b'{"source":"push","message_id":"m-1"}')
TRIGGERED = msgspec.Raw(b'{"status":"triggered"}')


async def skewed(world: World) -> list[str]:
    """The story of a run, its times running backwards while its ids run on."""
    made = []
    for number, event in enumerate(STORY, start=1):
        envelope = {
            "event_type": type(event).__name__,
            "event_version": 1,
            "idempotency_key": f"story:{number}",
            "occurred_at": f"2026-01-01T00:00:{59 - number:02d}Z",
            "source": "api:test",
            "payload": msgspec.to_builtins(event),
        }
        made.append(path_of(number))
        await planted(world, SCOPE.prefix + made[-1], envelope)
    return made


async def handed_in(world: World, *made: Any, claim: Claim | None = None) -> Outcome:
    """What became of a unit of these events."""
    (outcome,) = await world.api.state.services.flow.desk_for(SCOPE).submit([unit(*made, claim=claim)], source="api:t")
    return outcome


async def manifest_of(world: World) -> Manifest:
    """The newest manifest of the chain."""
    snapshot = await world.flow_reader().head()
    assert isinstance(snapshot, ChainSnapshot)
    return snapshot.state.manifest


async def test_08_the_order_of_the_list_does_not_matter_and_neither_do_the_times(world: World) -> None:
    listed = await skewed(world)
    assert (await post(world, "/compact", event_paths=listed)).json()["events_processed"] == 4
    expected = await everything(world)
    assert [run.state for run in expected["runs"]] == ["RUNNING"]
    for seed in range(4):
        async with a_world() as other:
            shuffled = await skewed(other)
            random.Random(seed).shuffle(shuffled)
            assert (await post(other, "/compact", event_paths=shuffled)).status_code == 200
            assert await everything(other) == expected, seed


async def test_09_it_does_not_matter_where_the_events_are_cut_in_two(world: World) -> None:
    await post(world, "/compact", event_paths=await story(world))
    expected = await everything(world)
    for cut in range(1, len(STORY)):
        async with a_world() as other:
            listed = await story(other)
            for part in (listed[:cut], listed[cut:]):
                assert (await post(other, "/compact", event_paths=part)).status_code == 200
            assert await everything(other) == expected, cut


async def test_10_a_type_of_tomorrow_stops_nothing_and_waits_for_its_build(world: World) -> None:
    listed = await story(world)
    name = f"ledger/orchestration/{ulid_from_int((1_767_225_600_000 << 80) + 99)}.json"
    unheard = {
        "event_type": "TaskTeleported",
        "event_version": 1,
        "idempotency_key": "k",
        "occurred_at": "2026-01-01T00:00:00Z",
        "source": "api:test",
        "payload": {"type": "task_teleported", "run_id": "R"},
    }
    await planted(world, SCOPE.prefix + name, unheard)
    done = await post(world, "/compact", event_paths=[listed[0], name, *listed[1:]])
    assert (done.status_code, done.json()["events_processed"]) == (200, 4)
    again = await post(world, "/compact", event_paths=[name])
    assert (again.status_code, again.json()["events_processed"]) == (200, 0)
    head = await manifest_of(world)
    assert head.watermark_event_id == listed[-1].rsplit("/", 1)[1].removesuffix(".json")


async def test_31_a_message_told_twice_is_one_evaluation_and_one_request(world: World) -> None:
    """Whoever evaluates a message claims it in the unit that records it, whatever id the evaluation would have had."""
    claim = Claim("evaluate_sensor", sha256_hex(b"s:m-1"), sha256_hex(b"payload"))
    for eval_id in ("eval_s_1", "eval_s_2"):
        seen = SensorEvaluated(sensor_id="s", eval_id=eval_id, trigger_source=PUSH, status=TRIGGERED, cursor_after="1")
        asked = events.RunRequested(run_key="sensor:s:1", request_fingerprint="f")
        outcome = await handed_in(world, seen, asked, claim=claim)
        assert (outcome.status, outcome.replayed) == ("accepted", eval_id == "eval_s_2")
    found = await everything(world)
    assert [row.eval_id for row in found[SENSOR_EVALS.name]] == ["eval_s_1"]
    assert [row.state_version for row in found[SENSOR_STATE.name]] == [1]
    assert [row.run_key for row in found[RUN_KEYS.name]] == ["sensor:s:1"]


async def test_34_a_conflict_of_run_keys_is_still_there_for_a_process_that_begins_anew(world: World) -> None:
    for fingerprint in ("one", "one", "two"):
        outcome = await handed_in(world, events.RunRequested(run_key="k", request_fingerprint=fingerprint))
        assert outcome.status == "accepted"
    async with a_world(store=world.store) as other:
        found = await everything(other)
    assert [row.request_fingerprint for row in found[RUN_KEYS.name]] == ["one"]
    assert [row.conflicting_fingerprint for row in found[RUN_KEY_CONFLICTS.name]] == ["two"]


async def test_45_what_waits_to_be_merged_is_merged_and_no_row_changes(world: World) -> None:
    for number in range(12):
        run_id = str(ulid_from_int((1_767_225_600_000 << 80) + number))
        begun = events.RunTriggered(run_id=run_id, plan_id="P")
        plan = events.PlanCreated(run_id=run_id, plan_id="P", tasks=[events.TaskDef(key="a.a")])
        assert (await handed_in(world, begun, plan)).status == "accepted"
    before = await everything(world)
    assert len(before[RUNS.name]) == 12
    for served in world.roles.values():
        if served.role == "flow-compactor":
            for running in served.app.state.services.compactors.running:
                await running.settle()
    async with a_world(store=world.store) as other:
        head = await manifest_of(other)
        assert head.deltas == ()
        assert await everything(other) == before


async def test_46_two_publishers_at_once_lose_nothing_and_use_no_number_twice() -> None:
    async with a_world() as one, a_world(store=one.store) as other:
        await post(one, "/compact", event_paths=[])
        listed = await story(one)
        names = [f"ledger/orchestration/{ulid_from_int((1_767_225_600_000 << 80) + 500 + n)}.json" for n in range(8)]
        for number, name in enumerate(names):
            wanted = {
                "event_type": "RunRequested",
                "event_version": 1,
                "idempotency_key": f"k{number}",
                "occurred_at": "2026-01-01T00:00:00Z",
                "source": "api:test",
                "payload": {"type": "run_requested", "run_key": f"k{number}", "request_fingerprint": "f"},
            }
            await planted(one, SCOPE.prefix + name, wanted)
        calls = [post(one, "/compact", event_paths=listed), post(other, "/compact", event_paths=listed)]
        calls += [post((one, other)[number % 2], "/compact", event_paths=[name]) for number, name in enumerate(names)]
        answers: list[httpx.Response] = await asyncio.gather(*calls)
        assert {answer.status_code for answer in answers} <= {200, 409}
        for answer, call in zip(answers, [listed, listed, *([name] for name in names)], strict=True):
            if answer.status_code == 409:
                assert (await post(one, "/compact", event_paths=call)).status_code == 200
        found = await everything(one)
        assert found == await everything(other)
        assert [row.run_key for row in found[RUN_KEYS.name]] == sorted(f"k{number}" for number in range(8))
        assert [run.state for run in found[RUNS.name]] == ["RUNNING"]
        manifests = [
            operation.key
            for operation in one.store.operations
            if operation.name == "create" and "manifests/orchestration/0" in operation.key
        ]
        stored = {key for key in manifests if await one.store.get(Key(key)) is not None}
        numbers = sorted(int(key[-25:-5]) for key in stored)
        assert numbers == list(range(len(numbers)))  # dense: each number was won once


async def test_49_a_manifest_of_a_newer_format_is_not_read_as_an_older_one(world: World) -> None:
    await post(world, "/compact", event_paths=await story(world))
    head = await manifest_of(world)
    key = Key(SCOPE.prefix + paths.manifest("orchestration", head.number))
    held = await world.store.get(key)
    assert held is not None
    assert b'"formatVersion"' not in held.body
    newer = held.body.replace(b'{"manifestId"', b'{"formatVersion":2,"manifestId"', 1)
    assert newer != held.body
    await world.store.put(key, newer, when=Matches(held.version))
    async with a_world(store=world.store) as other:
        with pytest.raises(CorruptData, match="format"):
            await other.flow_reader().head()


async def test_50_an_event_is_appended_once_under_its_id_and_other_bytes_are_not(world: World) -> None:
    (first, *_) = await story(world)
    store = world.in_scope()
    held = await store.get(Key(first))
    assert held is not None
    assert isinstance(await store.put(Key(first), held.body, when=Absent()), Lost)
    other = held.body.replace(b'"plan-1"', b'"plan-2"')
    assert isinstance(await store.put(Key(first), other, when=Absent()), Lost)
    for _ in range(2):
        assert (await post(world, "/compact", event_paths=[first])).status_code == 200
    sent = [{"path": first, "sha256": sha256_hex(other), "body": other.decode()}]
    body = {"domain": "orchestration", "event_paths": [first], "bodies": sent}
    assert (await post(world, "/internal/sync-compact", **body)).json()["events_processed"] == 0
    assert [run.plan_id for run in (await everything(world))[RUNS.name]] == ["plan-1"]


async def test_60_a_backfill_is_asked_for_once_and_its_key_is_good_for_nothing_else(world: World) -> None:
    def wanted(backfill_id: str, keys: list[str]) -> BackfillCreated:
        selector = msgspec.Raw(msgspec.json.encode({"type": "explicit", "partition_keys": keys}))
        sizes: dict[str, Any] = {"total_partitions": len(keys), "chunk_size": 1, "max_concurrent_runs": 2}
        asked: dict[str, Any] = {
            "client_request_id": "bf-jan",
            "asset_selection": ["a.a"],
            "partition_selector": selector,
        }
        return BackfillCreated(backfill_id=backfill_id, **asked, **sizes)

    def claim(keys: list[str]) -> Claim:
        return Claim("create_backfill", sha256_hex(b"bf-jan"), sha256_hex(repr(keys).encode()))

    january = ["date=d:2025-01-01", "date=d:2025-01-02"]
    first = await handed_in(world, wanted("B1", january), claim=claim(january))
    again = await handed_in(world, wanted("B2", january), claim=claim(january))
    other = await handed_in(world, wanted("B3", january[:1]), claim=claim(january[:1]))
    assert (first.status, first.replayed) == ("accepted", False)
    assert (again.status, again.replayed, again.manifest_id) == ("accepted", True, first.manifest_id)
    assert (other.status, other.code) == ("rejected", "idempotency_mismatch")
    assert [row.backfill_id for row in (await everything(world))[BACKFILLS.name]] == ["B1"]


async def test_44_a_virgin_store_gets_its_first_manifest_and_pointer(world: World) -> None:
    first = (await post(world, "/compact", event_paths=[])).json()
    assert await world.in_scope().get(paths.manifest("orchestration", int(first["manifest_id"]))) is not None
    await world.close()
    pointer = await world.in_scope().get(paths.pointer("orchestration"))
    assert pointer is not None
    assert first["manifest_id"].encode() in pointer.body
