"""Dispatcher and sweeper over a queue that delivers when it is told to (orchestration.md 8.1, 8.2, 10)."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from arco.dispatch.envelope import WorkerDispatchEnvelope, read_envelope
from arco.dispatch.memory import FULL, UNKNOWN_LOST, UNKNOWN_TAKEN, MemoryQueue
from arco.dispatch.port import Answer, QueuedTask, Refused
from arco.domains.orchestration.rows import LINEAGE_DUE, OUTBOX, OutboxRow
from arco.loops import dispatching
from arco.loops.dispatching import DispatchReport
from arco.loops.sweeping import SweepReport

from .flow import Attempt, a_manifest, an_asset, deploy, shown, states, trigger
from .world import SCOPE, World, a_world, foreground

ENVIRON = {"ARCO_FLOW_QUEUE_ADAPTER": "memory", "ARCO_FLOW_CALLBACK_BASE_URL": "http://api.test"}
BOOM = {"category": "USER_CODE", "message": "boom"}


class Flow:
    """A world whose controllers act when they are asked to."""

    def __init__(self, world: World, api: httpx.AsyncClient) -> None:
        self.world, self.api = world, api
        self.queue: MemoryQueue = world.roles["dispatcher"].app.state.services.queue

    async def run(self, role: str = "dispatcher", status: int = 200) -> dict[str, Any]:
        """One round; what it did."""
        async with self.world.client(role=role) as client:
            answer = await client.post("/run")
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def delivered(self) -> list[WorkerDispatchEnvelope]:
        """What the queue delivers now, to a worker that takes everything."""
        found: list[WorkerDispatchEnvelope] = []

        async def take(task: QueuedTask) -> int:
            found.append(read_envelope(task.body))
            return 200

        await self.queue.deliver_due(take)
        return found

    async def outbox(self) -> list[OutboxRow]:
        """Attempts on their way."""
        snapshot = await self.world.flow_reader().head()
        return [] if snapshot is None else await snapshot.scan(OUTBOX)

    def worker(self, envelope: WorkerDispatchEnvelope) -> Attempt:
        """Who has this attempt, with the token it was given."""
        found = Attempt(self.world, self.api, envelope.run_id, envelope.task_key, envelope.attempt)
        assert (found.attempt_id, found.task_id) == (envelope.attempt_id, envelope.task_id)
        found.token = envelope.task_token
        return found


@pytest.fixture
async def flow() -> AsyncIterator[Flow]:
    """A world with a queue in memory."""
    async with a_world(ENVIRON) as world, world.client() as api:
        yield Flow(world, api)


async def test_what_is_ready_goes_to_the_queue_in_the_canonical_envelope(flow: Flow) -> None:
    await deploy(flow.api, a_manifest(an_asset("raw.events", execution={"timeoutSeconds": 7_200, "queue": "gpu"})))
    run = await trigger(flow.api, "raw.events")
    done = await flow.run()
    assert (done["ready_dispatch_emitted"], done["dispatch_enqueued"], done["errors"]) == (1, 1, [])
    (queued,) = flow.queue.waiting
    (envelope,) = await flow.delivered()
    assert (queued.worker_queue, envelope.worker_queue) == ("gpu", "gpu")
    assert (envelope.tenant_id, envelope.workspace_id, envelope.run_id) == ("local", "default", run)
    assert (envelope.attempt, envelope.callback_base_url) == (1, "http://api.test")
    assert envelope.payload == {"timeoutSec": 7_200}
    life_s = envelope.token_expires_at.timestamp() - flow.world.clock.now_ms() / 1000
    assert life_s > 7_200 + 290  # a token outlives its task (7.2)
    (row,) = await flow.outbox()
    assert (row.status, row.cloud_task_id, row.dispatch_id) == ("CREATED", queued.name, envelope.dispatch_id)
    await flow.worker(envelope).told("started")
    assert await flow.outbox() == []


async def test_70_further_rounds_send_nothing_again(flow: Flow) -> None:
    await deploy(flow.api)
    await trigger(flow.api, "raw.events")
    await flow.run()
    for _ in range(3):
        done = await flow.run()
        assert (done["dispatch_actions"], done["ready_dispatch_emitted"]) == (0, 0)
    assert len(flow.queue.waiting) == 1


async def test_70_a_full_queue_is_told_and_the_task_is_sent_later(flow: Flow) -> None:
    await deploy(flow.api)
    run = await trigger(flow.api, "raw.events")
    flow.queue.fail_next(FULL)
    done = await flow.run(status=500)
    assert [one["kind"] for one in done["errors"]] == ["dispatch_queue_full"]
    assert await flow.outbox() == []
    assert (await states(flow.api, run))["raw.events"] == "QUEUED"
    assert (await flow.run())["dispatch_enqueued"] == 1


@pytest.mark.parametrize(
    ("fault", "counted"), [(UNKNOWN_TAKEN, "dispatch_deduplicated"), (UNKNOWN_LOST, "dispatch_enqueued")]
)
async def test_70_an_answer_that_was_lost_is_asked_for_again_under_the_same_name(
    flow: Flow, fault: str, counted: str
) -> None:
    await deploy(flow.api)
    await trigger(flow.api, "raw.events")
    flow.queue.fail_next(fault)
    await flow.run(status=500)
    (row,) = await flow.outbox()
    assert row.status == "PENDING"
    done = await flow.run()
    assert (done[counted], done["errors"]) == (1, [])
    (row,) = await flow.outbox()
    assert row.status == "CREATED"
    assert len(await flow.delivered()) == 1


async def test_two_dispatchers_send_an_attempt_once(flow: Flow) -> None:
    """The other one died after the queue had taken it, and before it was recorded."""
    await deploy(flow.api)
    await trigger(flow.api, "raw.events")
    await flow.run()
    (queued,) = flow.queue.waiting
    async with a_world(ENVIRON, store=flow.world.store) as other, other.client() as api:
        again = Flow(other, api)
        again.queue._waiting = {queued.name: queued}  # one queue in the world, two that know it
        done = await again.run()
    assert done["dispatch_enqueued"] == 0
    assert len(await flow.delivered()) == 1


async def test_72_a_retry_is_sent_when_its_time_has_come_and_not_before(flow: Flow) -> None:
    await deploy(flow.api)
    run = await trigger(flow.api, "raw.events")
    for attempt, wait_s in ((1, 30), (2, 60)):
        await (flow.run() if attempt == 1 else flow.run("sweeper"))
        (envelope,) = await flow.delivered()
        assert envelope.attempt == attempt
        worker = flow.worker(envelope)
        await worker.told("started")
        await worker.told("completed", outcome="FAILED", error=BOOM)
        assert (await flow.run("sweeper"))["repairs_created"] == 0
        flow.world.clock.ahead_ms += wait_s * 1000 - 2_000
        assert (await flow.run("sweeper"))["repairs_created"] == 0
        flow.world.clock.ahead_ms += 3_000
    assert (await flow.run("sweeper"))["redispatch_enqueued"] == 1
    (envelope,) = await flow.delivered()
    await flow.worker(envelope).told("started")
    await flow.worker(envelope).told("completed", outcome="FAILED", error=BOOM)
    found = await shown(flow.api, run)
    assert (found["state"], found["tasks"][0]["attempt"]) == ("FAILED", 3)
    flow.world.clock.ahead_ms += 3_600_000
    assert (await flow.run("sweeper"))["repairs_created"] == 0


async def test_71_a_silent_worker_is_given_up_after_its_time_and_its_late_report_is_refused(flow: Flow) -> None:
    await deploy(flow.api)
    run = await trigger(flow.api, "raw.events")
    await flow.run()
    (envelope,) = await flow.delivered()
    worker = flow.worker(envelope)
    await worker.told("started")
    flow.world.clock.ahead_ms += 329_000
    assert (await flow.run("sweeper"))["repairs_created"] == 0
    flow.world.clock.ahead_ms += 2_000
    assert (await flow.run("sweeper"))["repairs_created"] == 1
    (task,) = (await shown(flow.api, run))["tasks"]
    assert (task["state"], task["errorMessage"], task["attempt"]) == ("PENDING", "heartbeat_timeout_anti_entropy", 1)
    flow.world.clock.ahead_ms += 31_000
    await flow.run("sweeper")
    (second,) = await flow.delivered()
    assert second.attempt == 2
    await flow.worker(second).told("started")
    late = await worker.say("completed", outcome="SUCCEEDED")
    assert (late.status_code, late.json()["error"]) == (409, "attempt_mismatch")


async def test_a_heartbeat_keeps_an_attempt_alive(flow: Flow) -> None:
    await deploy(flow.api)
    await trigger(flow.api, "raw.events")
    await flow.run()
    (envelope,) = await flow.delivered()
    worker = flow.worker(envelope)
    await worker.told("started")
    for _ in range(4):
        flow.world.clock.ahead_ms += 250_000
        await worker.told("heartbeat")
        assert (await flow.run("sweeper"))["repairs_created"] == 0


async def test_an_attempt_that_takes_too_long_ends_although_it_is_alive(flow: Flow) -> None:
    await deploy(flow.api, a_manifest(an_asset("raw.events", execution={"timeoutSeconds": 100, "maxRetries": 0})))
    run = await trigger(flow.api, "raw.events")
    await flow.run()
    (envelope,) = await flow.delivered()
    await flow.worker(envelope).told("started")
    flow.world.clock.ahead_ms += 101_000
    assert (await flow.run("sweeper"))["repairs_created"] == 1
    found = await shown(flow.api, run)
    assert (found["state"], found["tasks"][0]["error"]["category"]) == ("FAILED", "TIMEOUT")


async def test_an_attempt_nobody_begins_is_delivered_anew_under_a_name_the_queue_has_not_seen(flow: Flow) -> None:
    await deploy(flow.api)
    await trigger(flow.api, "raw.events")
    await flow.run()
    (first,) = await flow.delivered()
    flow.world.clock.ahead_ms += 599_000
    assert (await flow.run("sweeper"))["repairs_created"] == 0
    flow.world.clock.ahead_ms += 2_000
    done = await flow.run("sweeper")
    assert (done["redispatch_enqueued"], done["redispatch_deduplicated"]) == (1, 0)
    (second,) = await flow.delivered()
    assert (second.dispatch_id, second.attempt_id) == (first.dispatch_id, first.attempt_id)
    assert (await flow.run("sweeper"))["repairs_created"] == 0  # and now it has its time again
    await flow.worker(second).told("started")


async def test_a_delivery_of_which_nobody_knows_is_asked_for_again_under_its_name(flow: Flow) -> None:
    await deploy(flow.api)
    await trigger(flow.api, "raw.events")
    await flow.run()
    await flow.delivered()
    flow.world.clock.ahead_ms += 601_000
    flow.queue.fail_next(UNKNOWN_TAKEN)
    assert (await flow.run("sweeper", status=500))["redispatch_failed"] == 1
    done = await flow.run("sweeper")
    assert (done["redispatch_deduplicated"], done["redispatch_enqueued"], done["errors"]) == (1, 0, [])
    assert len(await flow.delivered()) == 1
    # Nobody has begun it this time either: the next delivery has another name, or the queue would swallow it.
    flow.world.clock.ahead_ms += 601_000
    assert (await flow.run("sweeper"))["redispatch_enqueued"] == 1
    assert len(await flow.delivered()) == 1


async def test_a_retry_without_a_slot_waits_for_one_and_writes_nothing(flow: Flow) -> None:
    """A request that is refused is an append and a commit, in every round for as long as the slot is taken."""
    heavy = {"execution": {"concurrencyKey": "db"}}
    await deploy(flow.api, a_manifest(an_asset("n.heavy", **heavy), an_asset("n.light")))
    run = await trigger(flow.api, "n.heavy", "n.light")
    for task in ("n.heavy", "n.light"):
        await Attempt(flow.world, flow.api, run, task).through("FAILED", error=BOOM)
    limit = "/workspaces/default/orchestration/limits/db"
    assert (await flow.api.put(limit, json={"slots": 0})).status_code == 200
    flow.world.clock.ahead_ms += 31_000
    assert (await flow.run("sweeper"))["redispatch_enqueued"] == 1
    flow.world.store.forget()
    for _ in range(3):
        assert (await flow.run("sweeper"))["repairs_created"] == 0
    assert [one.key for one in flow.world.store.operations if one.name == "create"] == []
    assert (await flow.api.put(limit, json={"slots": 1})).status_code == 200
    assert (await flow.run("sweeper"))["redispatch_enqueued"] == 1
    assert {envelope.task_key for envelope in await flow.delivered()} == {"n.light", "n.heavy"}


async def test_retries_that_have_no_slot_do_not_keep_others_waiting(flow: Flow) -> None:
    heavy = {"execution": {"concurrencyKey": "db"}}
    names = [f"n.t{number}" for number in range(6)]
    await deploy(flow.api, a_manifest(*(an_asset(name, **heavy) for name in names), an_asset("n.zz")))
    assert (await flow.api.put("/workspaces/default/orchestration/limits/db", json={"slots": 9})).status_code == 200
    run = await trigger(flow.api, *names, "n.zz")
    for task in (*names, "n.zz"):
        await Attempt(flow.world, flow.api, run, task).through("FAILED", error=BOOM)
    assert (await flow.api.put("/workspaces/default/orchestration/limits/db", json={"slots": 0})).status_code == 200
    flow.world.clock.ahead_ms += 31_000
    sweeper = flow.world.roles["sweeper"].app.state.services.run.__self__
    sweeper._batch = 2
    sent = [(await flow.run("sweeper"))["redispatch_enqueued"] for _ in range(8)]
    assert sum(sent) == 1
    assert [envelope.task_key for envelope in await flow.delivered()] == ["n.zz"]


async def test_what_no_queue_takes_does_not_keep_others_from_being_sent(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = flow.queue.enqueue

    async def picky(task: QueuedTask) -> Answer:
        return Refused("no such queue") if task.worker_queue == "typo" else await take(task)

    monkeypatch.setattr(flow.queue, "enqueue", picky)
    monkeypatch.setattr(dispatching, "BATCH_MAX", 2)
    wrong = {"execution": {"queue": "typo", "priority": 5}}
    await deploy(flow.api, a_manifest(*(an_asset(f"n.t{number}", **wrong) for number in range(5)), an_asset("n.zz")))
    await trigger(flow.api, *(f"n.t{number}" for number in range(5)), "n.zz")
    for _ in range(4):
        done = await flow.run(status=500)
        assert {one["message"] for one in done["errors"]} == {"no such queue"}
    assert [envelope.task_key for envelope in await flow.delivered()] == ["n.zz"]
    assert len((await flow.run(status=500))["errors"]) == 2  # and those are tried again, from the first


async def test_a_queue_that_takes_nothing_is_asked_later_and_later_and_soon_again_once_it_does(flow: Flow) -> None:
    await deploy(flow.api)
    await trigger(flow.api, "raw.events")
    dispatcher = flow.world.roles["dispatcher"].app.state.services.run.__self__
    waits = []
    for _ in range(9):
        flow.queue.fail_next(FULL)
        waits.append(await dispatcher.round(SCOPE))
    assert waits == [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 16_000, 16_000]
    assert await dispatcher.round(SCOPE) is None
    await trigger(flow.api, "raw.events")
    flow.queue.fail_next(FULL)
    assert await dispatcher.round(SCOPE) == 250


async def test_an_attempt_that_waits_in_our_own_queue_is_not_delivered_twice(flow: Flow) -> None:
    """Workers are busy for longer than anybody should wait: the queue has it, another copy would help nobody."""
    await deploy(flow.api)
    await trigger(flow.api, "raw.events")
    await flow.run()
    for _ in range(3):
        flow.world.clock.ahead_ms += 601_000
        done = await flow.run("sweeper")
        assert (done["repairs_created"], done["redispatch_attempted"]) == (1, 0)
        assert (await flow.run("sweeper"))["repairs_created"] == 0
    assert len(flow.queue.waiting) == 1


async def test_an_attempt_that_waited_for_hours_begins_with_a_token_that_is_good(flow: Flow) -> None:
    """All workers were busy with something long, and the token of the first minute is over."""
    await deploy(flow.api)
    await trigger(flow.api, "raw.events")
    await flow.run()
    first = read_envelope(flow.queue.waiting[0].body)
    flow.world.clock.ahead_ms += 3 * 3_600_000
    await flow.run("sweeper")
    (envelope,) = await flow.delivered()
    assert first.token_expires_at.timestamp() * 1000 < flow.world.clock.now_ms()
    assert (envelope.dispatch_id, envelope.attempt_id) == (first.dispatch_id, first.attempt_id)
    await flow.worker(envelope).told("started")
    life_s = envelope.token_expires_at.timestamp() - flow.world.clock.now_ms() / 1000
    assert life_s > 1_800 + 300


async def test_a_run_that_takes_too_long_is_called_off(flow: Flow) -> None:
    await deploy(flow.api)
    run = await trigger(flow.api, "ml.scores", includeUpstream=True, timeoutSeconds=60)
    assert (await flow.run("sweeper"))["repairs_created"] == 0
    flow.world.clock.ahead_ms += 61_000
    assert (await flow.run("sweeper"))["repairs_created"] == 1
    found = await shown(flow.api, run)
    assert (found["state"], found["cancelReason"]) == ("CANCELLED", "run_timeout")


async def test_a_timer_that_fires_twice_is_one(flow: Flow) -> None:
    async with flow.world.client(role="sweeper") as client:
        for _ in range(2):
            answer = await client.post("/internal/timers/fired", json={"timerId": "timer:retry:r:t:1:1705340400"})
            assert (answer.status_code, answer.json()) == (200, {"acknowledged": True, "effectiveOnce": True})
        for bad in ({"timerId": ""}, {"timerId": "what"}):
            assert (await client.post("/internal/timers/fired", json=bad)).status_code == 400
        for attempt in (0, -1, 100_001, 2**32, 2**70):
            odd = {"timerId": "timer:retry:r:t:1:1705340400", "attempt": attempt}
            assert (await client.post("/internal/timers/fired", json=odd)).status_code == 400


async def test_a_round_without_news_costs_one_look_at_the_chain(flow: Flow) -> None:
    await deploy(flow.api)
    await flow.run()
    await flow.run("sweeper")
    for role in ("dispatcher", "sweeper"):
        flow.world.store.forget()
        await flow.run(role)
        names = [one.name for one in flow.world.store.operations]
        assert names in (["get"], ["head"], []), (role, names)


async def test_a_round_that_sends_costs_the_same_after_two_runs_and_after_thirty() -> None:
    """The dispatcher finds the head by its numbers and writes one unit: ledger, commit record, manifest.

    On a machine that is busy the chain would fall idle in between, and be merged: that is nothing a round waits for.
    """
    async with a_world({**ENVIRON, "ARCO_IDLE_MERGE_MS": "600000"}) as world, world.client() as api:
        await _costs_of_sending(Flow(world, api))


async def _costs_of_sending(flow: Flow) -> None:
    await deploy(flow.api, a_manifest(*(an_asset(f"n.t{number:02d}") for number in range(12))))
    costs = []
    for number in range(30):
        run = await trigger(flow.api, "n.t00")
        costs.append(await cost_of_sending(flow, 1))
        (envelope,) = await flow.delivered()
        assert envelope.run_id == run
        await Attempt(flow.world, flow.api, run, "n.t00").through(output={"rowCount": number})
    assert all(cost == costs[-1] for cost in costs[2:]), costs
    assert costs[-1].count("create") == 3
    # Twelve attempts of one round are one commit.
    await trigger(flow.api, *(f"n.t{number:02d}" for number in range(12)))
    assert await cost_of_sending(flow, 12) == costs[-1]


async def cost_of_sending(flow: Flow, attempts: int) -> list[str]:
    """The operations of a round that sends so many attempts; what it reads are manifests.

    Now and then small deltas no longer fit into the manifest and are written out as one: that is not counted.
    """
    flow.world.store.forget()
    assert (await flow.run())["dispatch_enqueued"] == attempts
    done = foreground(flow.world.store.operations)
    assert {one.name for one in done} <= {"create", "get", "head", "settle"}
    assert all("/manifests/orchestration/" in one.key for one in done if one.name != "create")
    written_out = [one for one in done if "/_deltas/" in one.key]
    assert len(written_out) <= 1, done
    return sorted(one.name for one in done if one not in written_out)


def test_reports_have_the_contracts_names() -> None:
    assert set(msgspec.to_builtins(DispatchReport())) == {
        "ready_dispatch_emitted",
        "ready_dispatch_skipped",
        "dispatch_actions",
        "dispatch_enqueued",
        "dispatch_deduplicated",
        "dispatch_failed",
        "timer_actions",
        "timer_enqueued",
        "timer_deduplicated",
        "timer_failed",
        "errors",
    }
    assert set(msgspec.to_builtins(SweepReport())) == {
        "repairs_created",
        "redispatch_attempted",
        "redispatch_enqueued",
        "redispatch_deduplicated",
        "redispatch_failed",
        "skipped_due_to_lag",
        "errors",
    }


async def test_what_tasks_read_becomes_lineage_once(flow: Flow) -> None:
    await deploy(flow.api)
    run = await trigger(flow.api, "analytics.daily", includeUpstream=True)
    await Attempt(flow.world, flow.api, run, "raw.events").through(output={"rowCount": 3})
    output = {
        "inputs": [{"assetKey": "raw.events", "version": "3", "parameterName": "events"}],
        "columnLineage": {"id": ["raw.events.id"]},
        "schema": [{"name": "id", "type": "int64"}],
    }
    await Attempt(flow.world, flow.api, run, "analytics.daily").through(output=output)
    for _ in range(2):
        await flow.run("sweeper")
    found = (await flow.api.get("/lineage/analytics.daily")).json()
    assert [(one["source_id"], one["run_id"]) for one in found["upstream"]] == [("raw.events", run)]
    columns = (await flow.api.get("/lineage/analytics.daily.id")).json()["upstream"]
    assert [(one["source_id"], one["edge_type"]) for one in columns] == [("raw.events.id", "column_derives_from")]
    snapshot = await flow.world.flow_reader().head()
    assert snapshot is not None
    assert await snapshot.scan(LINEAGE_DUE) == []
    task = next(one for one in (await shown(flow.api, run))["tasks"] if one["taskKey"] == "analytics.daily")
    assert task["output"]["inputs"] == output["inputs"]


async def test_49_what_was_consumed_is_not_there_for_a_process_that_begins_anew(flow: Flow) -> None:
    await deploy(flow.api)
    await trigger(flow.api, "raw.events")
    await flow.run()
    (envelope,) = await flow.delivered()
    assert len(await flow.outbox()) == 1
    await flow.worker(envelope).told("started")
    async with a_world(ENVIRON, store=flow.world.store) as other, other.client() as api:
        again = Flow(other, api)
        assert await again.outbox() == []
        assert (await again.run())["dispatch_actions"] == 0


async def test_rounds_are_timed_and_what_they_hand_in_is_counted(flow: Flow) -> None:
    await deploy(flow.api)
    await trigger(flow.api, "raw.events")
    await flow.run()
    text = flow.world.process.registry.render()
    assert 'arco_orch_controller_actions_total{controller="dispatcher"} 1' in text
    assert 'arco_orch_controller_reconcile_seconds_count{controller="sweeper"}' in text
