"""What workers tell, and how they are answered: from the fold alone (orchestration.md 7.2 to 7.4, 10; A-09 to A-11)."""

import asyncio
import base64
import hashlib
import hmac
import json

import httpx
import pytest

from arco.domains.orchestration.numbers import ATTEMPTS_MAX

from .flow import Attempt, a_manifest, an_asset, deploy, shown, states, trigger
from .world import World, a_world, foreground

BOOM = {"category": "USER_CODE", "message": "boom", "stackTrace": "Traceback"}


@pytest.fixture
async def attempt(world: World, api: httpx.AsyncClient) -> Attempt:
    """The first attempt at a task, dispatched."""
    await deploy(api)
    found = Attempt(world, api, await trigger(api, "raw.events"), "raw.events")
    assert await found.dispatch() == "accepted"
    return found


def refused(answer: httpx.Response, status: int, error: str) -> dict[str, object]:
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    found: dict[str, object] = answer.json()
    return found


async def test_62_a_task_that_is_over_takes_no_start_and_no_heartbeat(attempt: Attempt) -> None:
    await attempt.told("started")
    await attempt.told("completed", outcome="SUCCEEDED")
    assert refused(await attempt.say("started"), 409, "task_already_terminal")["state"] == "SUCCEEDED"
    assert refused(await attempt.say("heartbeat"), 410, "task_expired")["state"] == "SUCCEEDED"
    assert (await attempt.told("completed", outcome="SUCCEEDED"))["finalState"] == "SUCCEEDED"
    refused(await attempt.say("completed", outcome="FAILED", error=BOOM), 409, "task_already_terminal")


async def test_62_an_attempt_that_failed_does_not_start_again(attempt: Attempt, api: httpx.AsyncClient) -> None:
    await attempt.told("started")
    assert (await attempt.told("completed", outcome="FAILED", error=BOOM))["finalState"] == "FAILED"
    found = refused(await attempt.say("started"), 409, "attempt_already_completed")
    assert (found["state"], found["expectedAttempt"], found["receivedAttempt"]) == ("RETRY_WAIT", 2, 1)
    (task,) = (await shown(api, attempt.run_id))["tasks"]
    assert task["error"] == {**BOOM, "retryable": True}
    assert (task["state"], task["errorMessage"]) == ("PENDING", "boom")


async def test_a11_a_superseded_attempt_is_told_so_and_changes_nothing(
    attempt: Attempt, world: World, api: httpx.AsyncClient
) -> None:
    await attempt.told("started")
    await attempt.told("completed", outcome="FAILED", error=BOOM)
    second = Attempt(world, api, attempt.run_id, attempt.task_key, 2)
    assert await second.dispatch() == "accepted"
    await second.told("started")
    late = refused(await attempt.say("completed", outcome="SUCCEEDED"), 409, "attempt_mismatch")
    assert (late["expectedAttempt"], late["receivedAttempt"]) == (2, 1)
    refused(await attempt.say("heartbeat"), 409, "attempt_mismatch")
    assert (await states(api, attempt.run_id))["raw.events"] == "RUNNING"


async def test_63_a_token_speaks_for_one_attempt_at_one_task_of_one_workspace(attempt: Attempt) -> None:
    for changes in (
        {"task_id": "ct1_b3RoZXIAcmF3LmV2ZW50cw"},
        {"run_id": "01J00000000000000000000000"},
        {"attempt": 2},
        {"attempt_id": "att_other"},
    ):
        refused(await attempt.say("started", token=attempt.token_for(**changes)), 401, "invalid_token")
    # In another workspace there is no such task, and nothing is said about this one.
    refused(await attempt.say("started", token=attempt.token_for(tenant_id="acme")), 404, "task_not_found")
    refused(await attempt.say("started", token="x.y.z"), 401, "invalid_token")
    refused(await attempt.say("started", token=attempt.token[:-4] + "AAAA"), 401, "invalid_token")
    assert (await attempt.told("started"))["acknowledged"] is True


async def test_63_a_token_that_has_expired_is_refused(attempt: Attempt, world: World) -> None:
    # Its 600 seconds are over, and the clocks of minter and reader may be a minute apart.
    world.clock.ahead_ms += 640_000
    assert (await attempt.told("started"))["acknowledged"] is True
    world.clock.ahead_ms += 30_000
    refused(await attempt.say("heartbeat"), 401, "invalid_token")


@pytest.mark.parametrize("claim", ["attemptId", "attempt", "runId"])
async def test_63_a_token_that_does_not_say_which_attempt_it_is_for_is_refused(attempt: Attempt, claim: str) -> None:
    header, body, _ = attempt.token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    del claims[claim]
    secret = attempt.world.api.state.services.task_tokens._settings.secret
    signed = f"{header}.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}"
    mac = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    token = f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
    said = refused(await attempt.say("started", token=token), 401, "invalid_token")
    assert "missing_scope_claims" in str(said["message"])


async def test_64_a_worker_of_a_cancelled_run_is_told_so_by_start_and_heartbeat(
    world: World, api: httpx.AsyncClient
) -> None:
    await deploy(api)
    run = await trigger(api, "ml.scores", includeUpstream=True)
    begun = Attempt(world, api, run, "raw.events")
    assert await begun.dispatch() == "accepted"
    await begun.told("started")
    before = await begun.told("heartbeat")
    assert (before["shouldCancel"], "cancelReason" in before) == (False, False)
    await api.post(f"/workspaces/default/runs/{run}/cancel", json={})
    after = await begun.told("heartbeat")
    assert (after["shouldCancel"], after["cancelReason"]) == (True, "user_requested")
    for task in ("raw.events", "analytics.daily"):
        found = refused(await Attempt(world, api, run, task).say("started"), 409, "task_already_terminal")
        assert found["state"] == "CANCELLED"


async def test_callbacks_without_sense_are_refused_by_name(attempt: Attempt, api: httpx.AsyncClient) -> None:
    refused(await attempt.say("started", attempt=0), 400, "invalid_argument")
    refused(await attempt.say("heartbeat", progressPct=101), 400, "invalid_argument")
    headers = {"authorization": f"Bearer {attempt.token}"}
    body = {"attempt": 1, "attemptId": attempt.attempt_id, "workerId": "w"}
    for unknown in ("ct1_x", "raw.events", "ct1_"):
        refused(await api.post(f"/tasks/{unknown}/started", json=body, headers=headers), 404, "task_not_found")
    assert (await attempt.say("completed", outcome="DONE")).status_code == 422


async def test_a_callback_costs_three_writes_and_reads_nothing(attempt: Attempt, world: World) -> None:
    await attempt.told("started")
    for what, body in (("heartbeat", {}), ("completed", {"outcome": "SUCCEEDED"})):
        world.store.forget()
        await attempt.told(what, **body)
        done = foreground(world.store.operations)
        # The ledger, the commit record, the manifest: nothing is read, nothing listed.
        assert [one.name for one in done] == ["create", "create", "create"], done


async def test_a_callback_costs_the_same_after_thirty_runs() -> None:
    """Now and then small deltas are written out as one, beside the commit record: as often late as early.

    On a machine that is busy the chain would fall idle in between, and be merged: no callback waits for that.
    """
    async with a_world({"ARCO_IDLE_MERGE_MS": "600000"}) as world, world.client() as api:
        await _costs_of_callbacks(world, api)


async def _costs_of_callbacks(world: World, api: httpx.AsyncClient) -> None:
    await deploy(api)
    written_out = []
    for number in range(32):
        late = Attempt(world, api, await trigger(api, "raw.events"), "raw.events")
        assert await late.dispatch() == "accepted"
        for what, body in (("started", {}), ("heartbeat", {}), ("completed", {"outcome": "SUCCEEDED"})):
            world.store.forget()
            await late.told(what, **body)
            done = foreground(world.store.operations)
            assert {one.name for one in done} == {"create"}, done
            spilled = [one for one in done if "/_deltas/" in one.key]
            assert len(done) - len(spilled) == 3, done
            assert len(spilled) <= 1, done
            written_out += [number] if spilled else []
    early, late_ones = [one for one in written_out if one < 16], [one for one in written_out if one >= 16]
    assert len(late_ones) <= len(early) + 2, written_out
    assert len(written_out) <= 12, written_out


async def test_heartbeats_of_many_tasks_are_one_commit(world: World, api: httpx.AsyncClient) -> None:
    await deploy(api, a_manifest(*(an_asset(f"n.t{number:02d}") for number in range(20))))
    run = await trigger(api, *(f"n.t{number:02d}" for number in range(20)))
    workers = [Attempt(world, api, run, f"n.t{number:02d}") for number in range(20)]
    for worker in workers:
        assert await worker.dispatch() == "accepted"
        await worker.told("started")
    world.store.forget()
    answers = await asyncio.gather(*(worker.told("heartbeat", progressPct=7) for worker in workers))
    assert all(answer["shouldCancel"] is False for answer in answers)
    # Each commit has its record; a merge of what rests, which may begin meanwhile, has none.
    commits = [one for one in world.store.operations if "/commits/orchestration/" in one.key]
    assert [one.name for one in commits] == ["create"]
    assert {task["progressPct"] for task in (await shown(api, run))["tasks"]} == {7}


async def test_a_time_that_is_none_is_refused_by_name_and_the_attempt_goes_on(attempt: Attempt) -> None:
    await attempt.told("started")
    for wrong in ("soon", "2025-02-30T00:00:00Z", "", "d:2025-01-15"):
        output = {"outputVisibilityState": "VISIBLE", "publishedAt": wrong}
        said = refused(await attempt.say("completed", outcome="SUCCEEDED", output=output), 400, "invalid_argument")
        assert "publishedAt" in str(said["message"])
    assert (await attempt.told("completed", outcome="SUCCEEDED"))["finalState"] == "SUCCEEDED"


@pytest.mark.parametrize("number", [ATTEMPTS_MAX + 1, 2**32 - 1, 2**32, 2**70])
async def test_an_attempt_of_a_number_that_cannot_be_is_refused(
    attempt: Attempt, world: World, api: httpx.AsyncClient, number: int
) -> None:
    strange = Attempt(world, api, attempt.run_id, attempt.task_key, 1)
    strange.number, strange.token = number, strange.token_for(attempt=number)
    assert (await strange.say("started")).status_code == 422
    assert (await states(api, attempt.run_id))["raw.events"] == "QUEUED"


async def test_callbacks_are_counted_by_kind_and_by_what_they_were_told(attempt: Attempt, world: World) -> None:
    await attempt.told("started")
    refused(await attempt.say("started", attempt=0), 400, "invalid_argument")
    await attempt.told("completed", outcome="SUCCEEDED")
    text = world.process.registry.render()
    assert 'arco_orch_callbacks_total{callback="started"} 2' in text
    assert 'arco_orch_callback_errors_total{callback="started",status="400"} 1' in text
    assert 'arco_orch_callbacks_total{callback="completed"} 1' in text
    assert 'arco_orch_callback_duration_seconds_count{callback="completed"} 1' in text
