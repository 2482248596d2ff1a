"""Batches of orchestration events over HTTP, as protobuf and as JSON (orchestration.md 5.6; catalog.md 4.11, 4.12)."""

import asyncio
import json
from typing import Any

import pytest

from arco.core import instant
from arco.core.limits import TRANSACTION_BODY_BYTES_MAX
from arco.core.paths import Key
from arco.routes.wire.controlplane import message_class
from arco.storage.counting import sequential_rounds

from .batches import COMMIT, IDS, SHOW, a_run, an_event, committed, run_of, send
from .flow import WORKSPACE, Attempt, states
from .test_transactions import PROTO, proto
from .world import a_world, foreground, problem

OPERATORS = {"ARCO_ORCH_OPERATOR_GROUP": "keepers"}


async def test_a_run_and_its_plan_become_facts_together(world, api):
    events = a_run("raw.events", "analytics.daily")
    receipt = await committed(api, events)
    assert set(await states(api, run_of(events))) == {"", "raw.events", "analytics.daily"}
    assert receipt["readToken"] == f"orchestration:{receipt['manifestId']}"
    assert len(receipt["txId"]) == len(receipt["commitId"]) == 26
    assert receipt["eventsProcessed"] == "2"
    head = await world.flow_reader().head()
    assert receipt["manifestId"] == head.manifest_id
    shown = (await api.post(SHOW, json={"txId": receipt["txId"]})).json()
    assert shown["status"] == "TRANSACTION_STATUS_VISIBLE"
    assert shown["result"] == receipt
    assert shown["requestHash"].startswith("sha256:")


async def test_the_same_batch_in_protobuf_is_the_same_request():
    events = a_run("raw.events", "analytics.daily", labels={"team": "a"}, run_key="day-1")
    async with a_world() as world, world.client() as api:
        receipt = await committed(api, events)
        answer = await api.post(
            COMMIT,
            content=in_protobuf(events).SerializeToString(),
            headers={**proto("CommitOrchestrationBatchRequest"), "idempotency-key": "batch-1"},
        )
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == PROTO
        response = message_class("CommitOrchestrationBatchResponse").FromString(answer.content)
        assert (response.receipt.tx_id, response.receipt.manifest_id) == (receipt["txId"], receipt["manifestId"])
        asked = message_class("GetOrchestrationTransactionRequest")(tx_id=receipt["txId"])
        shown = await api.post(
            SHOW, content=asked.SerializeToString(), headers=proto("GetOrchestrationTransactionRequest")
        )
        assert message_class("OrchestrationTxStatus").FromString(shown.content).result == response.receipt


def in_protobuf(events: list[dict[str, Any]]) -> Any:
    """The run of `a_run` as a protobuf request."""
    request = message_class("CommitOrchestrationBatchRequest")()
    begun, planned = (one["data"] for one in events)
    first, second = request.events.add(event_version=1), request.events.add()
    for name in ("run_id", "plan_id", "run_key"):
        setattr(first.run_triggered, name, begun[name])
    first.run_triggered.trigger.manual.SetInParent()
    first.run_triggered.root_assets.extend(begun["root_assets"])
    for label, value in begun["labels"].items():
        first.run_triggered.labels[label] = value
    second.plan_created.run_id, second.plan_created.plan_id = planned["run_id"], planned["plan_id"]
    for task in planned["tasks"]:
        second.plan_created.tasks.add(key=task["key"], asset_key=task["asset_key"], depends_on=task["depends_on"])
    return request


async def test_a_partition_key_is_a_structure_in_protobuf_and_a_text_in_the_ledger(api):
    request = in_protobuf(a_run("analytics.daily", labels={}, run_key="k"))
    key = request.events[1].plan_created.tasks[0].partition_key
    key.dimensions.add(name="region", string_value="us-east")
    key.dimensions.add(name="date", date_value="2025-01-15")
    headers = {**proto("CommitOrchestrationBatchRequest"), "idempotency-key": "k"}
    answer = await api.post(COMMIT, content=request.SerializeToString(), headers=headers)
    assert answer.status_code == 200, answer.text
    run = (await api.get(f"{WORKSPACE}/runs/{request.events[0].run_triggered.run_id}")).json()
    assert run["tasks"][0]["partitionKey"] == "date=d:2025-01-15,region=s:dXMtZWFzdA"


async def test_one_refused_event_refuses_all_and_the_key_stays_free(world, api):
    events = a_run("analytics.daily")
    nobody = an_event("run_cancel_requested", run_id=IDS.ulid())
    answer = await send(api, [*events, nobody])
    assert problem(answer)[:2] == (404, "NOT_FOUND")
    assert answer.json()["message"].startswith("events[2]: there is no run")
    assert answer.json()["details"] == {"event": 2, "reason": "run_not_found"}
    assert (await api.get(f"{WORKSPACE}/runs/{run_of(events)}")).status_code == 404
    assert (await committed(api, events))["eventsProcessed"] == "2"


async def test_the_same_key_replays_its_answer_and_with_another_request_is_409(world, api):
    events = a_run("analytics.daily")
    answers = await asyncio.gather(*(send(api, events) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    await committed(api, [an_event("run_cancel_requested", run_id=run_of(events))], key="other")
    assert (await send(api, events)).text == answers[0].text
    answer = await send(api, a_run("analytics.daily"))
    assert problem(answer) == (409, "CONFLICT", "Idempotency-Key already used with different request body")


async def test_an_envelope_may_say_all_that_the_contract_has_and_it_is_kept(world, api):
    events = a_run("analytics.daily")
    run_id = run_of(events)
    ids = sorted(IDS.ulid() for _ in events)
    for event_id, kind, key, event in zip(ids, ("RunTriggered", "PlanCreated"), ("run", "plan"), events, strict=True):
        event |= {
            "event_id": event_id,
            "event_type": kind,
            "event_version": 1,
            "timestamp": instant.stored_text(world.clock.now_ms() - 1_000),
            "source": "arco-flow/local/default",
            "tenant_id": "local",
            "workspace_id": "default",
            "idempotency_key": f"{key}:{run_id}",
            "correlation_id": run_id,
            "causation_id": "ticket 7",
        }
    receipt = await committed(api, events)
    stored = await world.in_scope().get(Key(f"ledger/orchestration/{receipt['txId']}.json"))
    lines = [json.loads(line) for line in stored.body.splitlines()]
    assert [line["event_type"] for line in lines] == ["RunTriggered", "PlanCreated", "transaction.state"]
    assert [line["occurred_at"] for line in lines[:2]] == [events[0]["timestamp"]] * 2
    assert lines[0]["idempotency_key"] == f"run:{run_id}"
    assert lines[0]["payload"]["envelope"] == {
        "event_id": ids[0],
        "correlation_id": run_id,
        "causation_id": "ticket 7",
    }
    assert lines[0]["payload"]["trigger"] == {"type": "manual", "user_id": ""}


RUN = a_run("analytics.daily")
LATE = IDS.ulid()


def with_(event: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    return [{**event, **fields}, RUN[1]]


def with_data(**fields: Any) -> list[dict[str, Any]]:
    return [{"data": {**RUN[0]["data"], **fields}}, RUN[1]]


def with_task(**fields: Any) -> list[dict[str, Any]]:
    data = RUN[1]["data"]
    return [RUN[0], {"data": {**data, "tasks": [{**data["tasks"][0], **fields}]}}]


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([], "events must hold at least one event"),
        ([RUN[0]] * 501, "events must hold 1 to 500 events"),
        ([7], "events[0].data is required: an event is an envelope with its data"),
        ([{}], "events[0].data is required: one event, for instance of type run_triggered"),
        ([an_event("definitions_deployed", path="x")], "events[0].data.type is no event that may be committed in a"),
        ([RUN[0], {"data": {"type": ["x"]}}], "events[1].data.type is no event that may be committed in a"),
        (with_(RUN[0], event_version=2), "events[0].event_version must be 1"),
        (with_(RUN[0], event_type="PlanCreated"), "events[0].event_type must be RunTriggered, as data.type says"),
        (with_(RUN[0], event_id="x"), "events[0].event_id must be a ULID of 26 characters"),
        (with_(RUN[0], event_id="7" + LATE[1:]), "events[0].event_id is more than 300 seconds ahead of this server"),
        (with_(RUN[0], timestamp="2999-01-01T00:00:00Z"), "events[0].timestamp is more than 300 seconds ahead"),
        (with_(RUN[0], timestamp="2016-01-01T00:00:00Z"), "events[0].timestamp is more than 24 hours ago"),
        (with_(RUN[0], timestamp="yesterday"), "events[0].timestamp must be an RFC 3339 time with a zone"),
        (with_(RUN[0], timestamp=7), "events[0].timestamp must be an RFC 3339 time with a zone"),
        (with_(RUN[0], source="dispatcher"), "events[0].source must be arco-flow/local/default, or left out"),
        (with_(RUN[0], tenant_id="other"), "events[0].tenant_id must be local, or left out"),
        (with_(RUN[0], workspace_id="other"), "events[0].workspace_id must be default, or left out"),
        (with_(RUN[0], idempotency_key="finished:x:y:1"), "events[0].idempotency_key must be run:"),
        (with_(RUN[0], correlation_id="x"), "events[0].correlation_id must be data.run_id, or left out"),
        (with_(RUN[0], causation_id=""), "events[0].causation_id must have 1 to 256 characters"),
        (with_data(run_id=None), "events[0].data.run_id: expected `str`, got `null`"),
        (with_data(run_id="run-1"), "events[0].data.run_id must be a ULID of 26 characters"),
        (with_data(run_id="7" + LATE[1:]), "events[0].data.run_id is more than 300 seconds ahead"),
        (with_data(plan_id=""), "events[0].data.plan_id must have 1 to 256 characters"),
        (with_data(plan_id="a\nb"), "events[0].data.plan_id must have 1 to 256 characters, none of them a control"),
        (with_data(trigger=None), "events[0].data.trigger.type must be one of cron, manual"),
        (with_data(trigger={"type": "manual", "user_id": "root"}), "events[0].data.trigger.user_id must be the caller"),
        (with_data(root_assets=["../x"]), "events[0].data.root_assets[0]: '../x' is no asset key"),
        (with_data(root_assets=["a/b"]), "events[0].data.root_assets[0] must be written a.b"),
        (with_data(labels={"arco.parent_run_id": "x"}), "events[0].data.labels: arco.parent_run_id is reserved"),
        (with_data(timeout_sec=0), "events[0].data.timeout_sec must be 1 to"),
        (with_data(timeout_sec=1.5), "events[0].data: canonical JSON of arco holds no floats"),
        (with_data(plan_id="other"), "events[0].data begins a run; its PlanCreated with the same run_id and plan_id"),
        (
            [RUN[0]],
            "events[0].data begins a run; its PlanCreated with the same run_id and plan_id must be in the batch",
        ),
        ([RUN[1]], "events[0].data plans a run; its RunTriggered with the same run_id and plan_id must be in the"),
        (with_task(key="../../x"), "events[1].data.tasks[0].key must be letters, digits, _, . and -"),
        (with_task(depends_on=["x"]), "events[1].data.tasks: analytics.daily depends on x, which is not planned"),
        (with_task(partition_key="date=2025"), "events[1].data.tasks[0].partition_key: partition key: the value of"),
        (with_task(max_attempts=0), "events[1].data.tasks[0].max_attempts must be 1 to 100"),
        (with_task(heartbeat_timeout_sec=1), "events[1].data.tasks[0].heartbeat_timeout_sec must be 30 to 86400"),
        (with_task(concurrency_key="*"), "events[1].data.tasks[0].concurrency_key: * stands for the whole workspace"),
        (with_task(priority=5_000), "events[1].data.tasks[0].priority: expected `int` <= 1000"),
    ],
)
async def test_what_an_envelope_may_not_hold_is_refused_with_its_index_and_field(world, api, events, said):
    world.store.forget()
    answer = await send(api, events)
    assert problem(answer)[:2] == (400, "BAD_REQUEST"), answer.text
    assert answer.json()["message"].startswith(said), answer.text
    assert not [each for each in world.store.operations if each.name in ("create", "replace")]


async def test_what_is_no_batch_at_all_is_refused(api):
    assert problem(await api.post(COMMIT, json={"events": RUN})) == (400, "BAD_REQUEST", "idempotency_key is required")
    for body, code in (({"events": {}}, 422), ([], 422), ("x", 422), ({}, 400)):
        answer = await api.post(COMMIT, json=body, headers={"idempotency-key": "k"})
        assert answer.status_code == code, answer.text
    headers = {"idempotency-key": "k", "content-type": "application/json"}
    answer = await api.post(COMMIT, content=b'{"events":[' + b"9" * 5_000 + b"]}", headers=headers)
    assert answer.status_code == 400, answer.text
    large = b" " * (TRANSACTION_BODY_BYTES_MAX + 1)
    assert (await api.post(COMMIT, content=large, headers=headers)).status_code == 413
    headers["content-type"] = "text/plain"
    assert (await api.post(COMMIT, content=b"x", headers=headers)).status_code == 415
    answer = await api.post(SHOW, json={"txId": "01KDVH8Q3N5P7R9S1T3V5W7X9Y"})
    assert problem(answer) == (404, "NOT_FOUND", "orchestration transaction not found: 01KDVH8Q3N5P7R9S1T3V5W7X9Y")
    assert problem(await api.post(SHOW, json={})) == (400, "BAD_REQUEST", "tx_id is required")


async def test_an_event_that_is_too_old_now_is_still_answered_when_it_was_committed_in_time(world, api):
    events = a_run("analytics.daily")
    first = await send(api, events)
    world.clock.ahead_ms = 25 * 3_600_000
    assert (await send(api, events)).text == first.text
    answer = await send(api, events, key="another")
    assert answer.json()["message"] == "events[0].data.run_id is more than 24 hours ago"


async def test_an_output_s_visibility_is_said_by_clients_of_transactions(world, api):
    events = a_run("analytics.daily")
    events[1]["data"]["tasks"][0]["requires_visible_output"] = True
    await committed(api, events)
    attempt = Attempt(world, api, run_of(events), "analytics.daily")
    await attempt.through(output={"outputVisibilityState": "PENDING"})
    told = {"run_id": attempt.run_id, "task_key": attempt.task_key, "attempt": 1, "visibility_state": "visible"}
    wrong = await send(api, [an_event("task_output_visibility_changed", **told, attempt_id="att_x")], key="2")
    assert problem(wrong)[:2] == (409, "CONFLICT")
    assert wrong.json()["details"]["reason"] == "attempt_id_mismatch"
    await committed(api, [an_event("task_output_visibility_changed", **told, attempt_id=attempt.attempt_id)], key="3")
    assert (await states(api, attempt.run_id))[""] == "SUCCEEDED"


async def test_a_batch_costs_one_commit_and_reads_nothing_before():
    # A merge of what rests is no part of a request, however slow the machine is.
    async with a_world({"ARCO_IDLE_MERGE_MS": "600000"}) as world, world.client() as api:
        await committed(api, a_run("analytics.daily"), key="0")
        await api.get(f"{WORKSPACE}/runs")
        world.store.forget()
        await committed(api, a_run("analytics.daily"), key="1")
        found = foreground(world.store.operations)
        written = [(each.name, each.key.split("/")[2]) for each in found if each.name in ("create", "replace")]
        assert written == [("create", "ledger"), ("create", "commits"), ("create", "manifests")]
        assert not [each for each in found if each.name == "list_page"]
        assert sequential_rounds(found) <= 6
        many = [one for _ in range(20) for one in a_run("raw.events", "analytics.daily")]
        world.store.forget()
        await committed(api, many, key="2")
        assert len(foreground(world.store.operations)) <= len(found) + 1, (
            "it does not depend on how much there is in it"
        )


async def test_an_answer_that_is_lost_is_unknown_and_the_same_key_tells():
    async with a_world() as world, world.client() as api:
        await committed(api, a_run("analytics.daily"), key="0")
        events = a_run("analytics.daily")
        compactor = world.roles["flow-compactor"].app.state.services.compactors
        real, compactor.of = compactor.of, gone
        answer = await send(api, events)
        compactor.of = real
        assert problem(answer)[:2] == (503, "OUTCOME_UNKNOWN"), answer.text
        event_id = answer.json()["details"]["event_id"]
        assert (await api.get(f"/outcomes/{event_id}")).status_code == 404
        receipt = await committed(api, events)
        assert (await states(api, run_of(events)))[""] == "RUNNING"
        assert (await committed(api, events)) == receipt
        assert (await api.get(f"/outcomes/{receipt['txId']}")).json()["status"] == "accepted"


def gone(_scope: Any) -> Any:
    raise OSError("the flow-compactor is gone")


async def test_operators_may_mend_what_a_role_left():
    async with a_world(OPERATORS) as world, world.client() as api:
        events = a_run("analytics.daily")
        await committed(api, events, key="0")
        attempt = Attempt(world, api, run_of(events), "analytics.daily")
        assert await attempt.dispatch() == "accepted"
        who = {"run_id": attempt.run_id, "task_key": attempt.task_key, "attempt": 1, "attempt_id": attempt.attempt_id}
        batch = [
            an_event("task_started", **who, worker_id="by hand"),
            an_event("task_finished", **who, worker_id="by hand", outcome="succeeded"),
        ]
        await committed(api, batch, key="1", groups="x,keepers")
        assert (await states(api, attempt.run_id))["analytics.daily"] == "SUCCEEDED"
