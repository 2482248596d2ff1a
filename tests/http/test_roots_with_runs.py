"""Root transactions over both chains, with real roles: one cut, all or nothing, finished by whoever comes (4.12)."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from arco.core.limits import TRANSACTION_HOLD_MS
from arco.core.paths import Key
from arco.domains.orchestration.rows import AGENDA
from arco.domains.transactions.rows import PREPARED_TRANSACTIONS
from arco.kernel.records import HELD_KEYS
from arco.roles import api as api_role
from arco.routes.wire.controlplane import message_class
from arco.storage.memory import MemoryStore
from arco.storage.port import Absent, Matches, PutOutcome, StorageUnavailable, StoredObject, Unsure

from .batches import IDS, SHOW, a_run, an_event, committed, run_of, send
from .flow import WORKSPACE, Attempt, states
from .test_orchestration_batches import in_protobuf
from .test_root_transactions import status
from .test_transactions import create_catalog, proto
from .world import SCOPE, World, a_world, foreground, problem

COMMIT = "/transactions/commitRootTransaction"


async def commit(
    api: httpx.AsyncClient, events: list[Any], *ddl: dict[str, Any], key: str = "root-1"
) -> httpx.Response:
    """A root transaction of events, and of a change of the catalog where one is given."""
    mutations = [*({"catalog": one} for one in ddl), {"orchestration": {"events": events}}]
    return await api.post(COMMIT, json={"mutations": mutations}, headers={"idempotency-key": key})


async def done(api: httpx.AsyncClient, events: list[Any], *ddl: dict[str, Any], key: str = "root-1") -> dict[str, Any]:
    answer = await commit(api, events, *ddl, key=key)
    assert answer.status_code == 200, answer.text
    assert answer.json()["repairPending"] is False
    receipt: dict[str, Any] = answer.json()["receipt"]
    return receipt


async def test_a_table_and_its_first_run_become_facts_together_and_the_record_names_both(world, api):
    events = a_run("analytics.daily")
    receipt = await done(api, events, create_catalog())
    catalog, runs = receipt["domainCommits"]
    assert (catalog["domain"], runs["domain"]) == ("TRANSACTION_DOMAIN_CATALOG", "TRANSACTION_DOMAIN_ORCHESTRATION")
    assert runs["readToken"] == f"orchestration:{runs['manifestId']}"
    assert runs["manifestPath"] == f"manifests/orchestration/{runs['manifestId']}.json"
    assert (await api.get("/catalogs/analytics")).status_code == 200
    assert (await states(api, run_of(events)))[""] == "RUNNING"
    shown = await status(api, receipt["txId"])
    assert shown["status"] == "TRANSACTION_STATUS_VISIBLE"
    assert shown["result"] == receipt
    assert [each["domain"] for each in shown["domains"]] == [catalog["domain"], runs["domain"]]
    again = await commit(api, events, create_catalog())
    assert again.json()["receipt"] == receipt
    part = (await api.post(SHOW, json={"txId": receipt["txId"]})).json()
    assert (part["status"], part["result"]["manifestId"]) == ("TRANSACTION_STATUS_VISIBLE", runs["manifestId"])


async def test_events_alone_are_a_root_transaction_too_and_protobuf_says_the_same(api):
    events = a_run("analytics.daily", labels={}, run_key="k")
    receipt = await done(api, events)
    assert [each["domain"] for each in receipt["domainCommits"]] == [
        "TRANSACTION_DOMAIN_CATALOG",
        "TRANSACTION_DOMAIN_ORCHESTRATION",
    ]
    request = message_class("CommitRootTransactionRequest")()
    request.mutations.add().orchestration.events.extend(in_protobuf(events).events)
    headers = {**proto("CommitRootTransactionRequest"), "idempotency-key": "root-1"}
    answer = await api.post(COMMIT, content=request.SerializeToString(), headers=headers)
    assert answer.status_code == 200, answer.text
    told = message_class("CommitRootTransactionResponse").FromString(answer.content)
    assert told.receipt.tx_id == receipt["txId"]


async def test_a_member_that_refuses_aborts_the_root_and_says_which_event(world, api):
    nobody = an_event("run_cancel_requested", run_id=IDS.ulid())
    answer = await commit(api, [*a_run(), nobody], create_catalog())
    assert problem(answer)[:2] == (404, "NOT_FOUND"), answer.text
    assert answer.json()["message"].startswith("mutations[1].orchestration.events[2]: there is no run")
    assert answer.json()["details"] == {"event": 2, "reason": "run_not_found"}
    assert (await api.get("/catalogs/analytics")).status_code == 404
    await nothing_is_left(world)
    await done(api, a_run(), create_catalog())
    refused = await commit(api, a_run(), create_catalog(), key="2")
    assert problem(refused)[:2] == (409, "CONFLICT")
    assert "analytics" in refused.json()["message"]
    await nothing_is_left(world)


async def nothing_is_left(world: World) -> None:
    """No chain holds anything, or knows of a transaction under way."""
    own = await world.api.state.services.reader_for(SCOPE).head()
    for snapshot in (own, await world.flow_reader().head()):
        if snapshot is not None:
            assert snapshot.count(HELD_KEYS) == 0
            assert snapshot.count(PREPARED_TRANSACTIONS) == 0


async def test_what_may_not_be_in_a_batch_may_not_be_in_a_root(world, api):
    for events, code, said in (
        ([an_event("task_started")], 403, "mutations[0].orchestration.events[0].data.type: TaskStarted is said by"),
        ([{}], 400, "mutations[0].orchestration.events[0].data is required"),
        ([a_run()[0]], 400, "mutations[0].orchestration.events[0].data begins a run"),
    ):
        world.store.forget()
        answer = await commit(api, events)
        assert answer.status_code == code, answer.text
        assert answer.json()["message"].startswith(said)
        assert not [each for each in world.store.operations if each.name in ("create", "replace")]


async def test_the_same_key_is_one_request_whatever_it_holds(api):
    events = a_run()
    await done(api, events, create_catalog())
    for other in (
        commit(api, a_run(), create_catalog()),
        commit(api, events, create_catalog("b")),
        commit(api, events),
    ):
        assert problem(await other)[2].startswith("Idempotency-Key already used")


async def test_a_root_over_both_chains_costs_five_folds_and_two_writes_of_its_record():
    # A merge of what rests is no part of a request, however slow the machine is.
    async with a_world({"ARCO_IDLE_MERGE_MS": "600000"}) as world, world.client() as api:
        await done(api, a_run(), create_catalog(), key="0")
        await api.get("/catalogs")
        await api.get(f"{WORKSPACE}/runs")
        world.store.forget()
        await done(api, a_run(), create_catalog("b"), key="1")
        found = foreground(world.store.operations)
        assert not [each for each in found if each.name == "list_page"]
        written = [each.key.split("/")[2:4] for each in found if each.name in ("create", "replace")]
        told = [(room, name if room != "transactions" else "") for room, name in written if "dispatch" not in str(name)]
        home = [("ledger", "catalog"), ("commits", "catalog"), ("manifests", "catalog")]
        runs = [("ledger", "orchestration"), ("commits", "orchestration"), ("manifests", "orchestration")]
        record = [("transactions", "")]
        assert told[: len([*home, *runs, *record, *runs, *home, *record, *home])] == [
            *home,
            *runs,
            *record,
            *runs,
            *home,
            *record,
            *home,
        ]


class Broken(MemoryStore):
    """Writes below `silent` get no answer and do not happen; those below `lost` get none, and happen."""

    silent: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    mute: tuple[str, ...] = ()
    """What is not to be read just now."""

    async def get(self, key: Key) -> StoredObject | None:
        if any(part in key for part in self.mute):
            raise StorageUnavailable("no answer in time")
        return await super().get(key)

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        if any(part in key for part in self.silent):
            return Unsure("no answer in time")
        outcome = await super().put(key, body, when=when)
        return Unsure("no answer in time") if any(part in key for part in self.lost) else outcome


class Left:
    """A world with a store that breaks, in which some transactions were committed before."""

    def __init__(self, world: World, store: Broken, api: httpx.AsyncClient) -> None:
        self.world, self.store, self.api = world, store, api

    async def repaired(self) -> int:
        repairs = api_role.make_repairs(self.world.settings, self.world.process, self.world.api.state.services)
        return await repairs.once()

    async def unknown(self, events: list[Any], *, silent: tuple[str, ...] = (), lost: tuple[str, ...] = ()) -> str:
        """The id of a transaction whose commit met silence; what is asked later is answered again."""
        self.store.silent, self.store.lost = silent, lost
        self.world.clock.leaving = True  # nobody waits between tries
        answer = await commit(self.api, events, create_catalog())
        self.store.silent = self.store.lost = ()
        assert problem(answer)[:2] == (503, "OUTCOME_UNKNOWN"), answer.text
        found: str = answer.json()["details"]["event_id"]
        return found

    async def seen(self, events: list[Any]) -> tuple[int, int]:
        """What readers of the newest state of either chain are told of the transaction's parts."""
        run = await self.api.get(f"{WORKSPACE}/runs/{run_of(events)}")
        return (await self.api.get("/catalogs/analytics")).status_code, run.status_code

    async def by_token(self, tx_id: str, events: list[Any]) -> tuple[int, int]:
        """What readers of the root token are told of both parts."""
        token = {"X-Arco-Read-Token": f"root:{tx_id}"}
        run = await self.api.get(f"{WORKSPACE}/runs/{run_of(events)}", headers=token)
        return (await self.api.get("/catalogs/analytics", headers=token)).status_code, run.status_code


@pytest.fixture
async def left() -> AsyncIterator[Left]:
    store = Broken()
    async with a_world(store=store) as world, world.client() as api:
        await done(api, a_run(), create_catalog("before"), key="0")
        yield Left(world, store, api)


async def test_what_was_prepared_in_both_and_not_decided_holds_and_is_aborted_when_overdue(left):
    events = a_run()
    tx_id = await left.unknown(events, silent=("transactions/root/",))
    assert await left.seen(events) == (404, 404)
    assert (await left.by_token(tx_id, events))[0] == 404
    # What it holds in the runs' chain is refused there for the moment.
    held = await send(left.api, events, key="mine")
    assert problem(held)[:2] == (409, "CONFLICT")
    assert held.headers["retry-after"] == "1"
    assert held.json()["details"]["tx_id"] == tx_id
    assert await left.repaired() == 0
    left.world.clock.ahead_ms = TRANSACTION_HOLD_MS + 1
    assert await left.repaired() >= 1
    assert (await status(left.api, tx_id))["status"] == "TRANSACTION_STATUS_ABORTED"
    await nothing_is_left(left.world)
    assert await left.seen(events) == (404, 404)
    await committed(left.api, events, key="mine")


async def test_a_record_whose_answers_are_lost_is_known_by_reading_it(left):
    events = a_run()
    left.store.lost = ("transactions/root/",)
    answer = await commit(left.api, events, create_catalog())
    left.store.lost = ()
    assert answer.status_code == 200, answer.text
    tx_id = answer.json()["receipt"]["txId"]
    assert await left.seen(events) == (200, 200)
    assert await left.by_token(tx_id, events) == (200, 200)
    left.world.clock.ahead_ms = TRANSACTION_HOLD_MS + 1
    await left.repaired()
    await nothing_is_left(left.world)


async def test_a_decision_nobody_can_read_is_unknown_and_never_taken_for_an_abort(left):
    events = a_run()
    left.store.lost = left.store.mute = ("transactions/root/",)
    left.world.clock.leaving = True
    answer = await commit(left.api, events, create_catalog())
    left.store.lost = left.store.mute = ()
    assert problem(answer)[:2] == (503, "OUTCOME_UNKNOWN"), answer.text
    tx_id = answer.json()["details"]["event_id"]
    left.world.clock.ahead_ms = TRANSACTION_HOLD_MS + 1
    assert await left.repaired() >= 1
    assert await left.seen(events) == (200, 200)
    assert await left.by_token(tx_id, events) == (200, 200)
    await nothing_is_left(left.world)


async def test_a_coordinator_that_is_gone_after_its_decision_is_finished_for_by_repair(left):
    events = a_run()
    real = left.store.put

    async def put(key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        outcome = await real(key, body, when=when)
        if "transactions/root/" in key:
            left.store.silent = ("ledger/",)  # from now on nobody hears from this one
        return outcome

    left.store.put = put
    tx_id = await left.unknown(events)
    left.store.put = real
    assert await left.seen(events) == (404, 404)
    left.world.clock.ahead_ms = TRANSACTION_HOLD_MS + 1
    assert await left.repaired() >= 1
    assert await left.seen(events) == (200, 200)
    assert await left.by_token(tx_id, events) == (200, 200)
    assert (await status(left.api, tx_id))["status"] == "TRANSACTION_STATUS_VISIBLE"
    await nothing_is_left(left.world)


async def test_nothing_is_readable_by_the_token_while_one_member_is_not_visible(left):
    events = a_run()
    # The decision is written, and the runs' chain cannot be written any more from then on.
    real = left.store.put

    async def put(key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        outcome = await real(key, body, when=when)
        if "transactions/root/" in key:
            left.store.silent = ("manifests/orchestration/",)
        return outcome

    left.store.put = put
    tx_id = await left.unknown(events)
    assert await left.seen(events) == (404, 404)
    assert (await left.by_token(tx_id, events))[0] == 404
    assert (await status(left.api, tx_id))["status"] == "TRANSACTION_STATUS_PREPARED"
    assert (await status(left.api, tx_id))["repairPending"] is True
    left.store.silent, left.store.put = (), real
    again = await commit(left.api, events, create_catalog())  # the same request finishes it; nobody has to wait
    assert again.status_code == 200, again.text
    assert again.json()["receipt"]["txId"] == tx_id
    assert await left.by_token(tx_id, events) == (200, 200)
    left.world.clock.ahead_ms = TRANSACTION_HOLD_MS + 1
    await left.repaired()
    await nothing_is_left(left.world)


async def test_a_member_visible_before_the_other_is_not_readable_by_the_token(left):
    events = a_run()
    real = left.store.put
    decided = False

    async def put(key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        nonlocal decided
        outcome = await real(key, body, when=when)
        decided = decided or "transactions/root/" in key
        if decided and "manifests/orchestration/" in key:
            left.store.silent = ("manifests/catalog/",)  # the runs' part is visible, the catalog's is not
        return outcome

    left.store.put = put
    tx_id = await left.unknown(events)
    assert await left.seen(events) == (404, 200)
    assert (await left.by_token(tx_id, events))[0] == 404
    left.store.silent, left.store.put = (), real
    left.world.clock.ahead_ms = TRANSACTION_HOLD_MS + 1
    assert await left.repaired() >= 1
    assert await left.by_token(tx_id, events) == (200, 200)
    await nothing_is_left(left.world)


async def test_a_worker_that_meets_a_hold_is_told_to_say_it_again_and_loses_nothing(left):
    events = a_run("analytics.daily")
    await committed(left.api, events, key="before")
    attempt = Attempt(left.world, left.api, run_of(events), "analytics.daily")
    await attempt.dispatch()
    await attempt.told("started")
    await left.unknown([an_event("run_cancel_requested", run_id=attempt.run_id)], silent=("transactions/root/",))
    for what, body in (("completed", {"outcome": "SUCCEEDED"}), ("heartbeat", {})):
        answer = await attempt.say(what, **body)
        assert problem(answer)[:2] == (503, "UPSTREAM_ERROR"), (what, answer.text)
        assert answer.headers["retry-after"] == "1"
    left.world.clock.ahead_ms = TRANSACTION_HOLD_MS + 1
    await left.repaired()
    await attempt.told("completed", outcome="SUCCEEDED")
    assert (await states(left.api, attempt.run_id))[""] == "SUCCEEDED"


async def test_a_token_reads_the_runs_of_its_manifest_and_nothing_newer(world, api):
    events = a_run("analytics.daily")
    root = await done(api, events, create_catalog())
    other = a_run("analytics.daily")
    batch = await committed(api, other, key="batch")
    attempt = Attempt(world, api, run_of(events), "analytics.daily")
    await attempt.through()
    assert (await states(api, run_of(events)))[""] == "SUCCEEDED"
    for token, codes in ((root["readToken"], (200, 404)), (batch["readToken"], (200, 200))):
        headers = {"X-Arco-Read-Token": token}
        answers = [await api.get(f"{WORKSPACE}/runs/{run_of(one)}", headers=headers) for one in (events, other)]
        assert tuple(answer.status_code for answer in answers) == codes, token
        assert answers[0].json()["state"] == "RUNNING"


async def test_roots_that_want_the_same_run_key_are_one_winner(api):
    answers = await asyncio.gather(*(commit(api, a_run(run_key="daily"), key=str(number)) for number in range(4)))
    assert [answer.status_code for answer in answers].count(200) == 1, [answer.text for answer in answers]
    assert {answer.status_code for answer in answers} == {200, 409}


async def test_a_refusal_is_no_news_to_controllers(world, api):
    told: list[Any] = []
    world.process.news.listen(told.append)
    events = a_run("analytics.daily")
    await committed(api, events, key="0")
    assert told
    attempt = Attempt(world, api, run_of(events), "analytics.daily")
    told.clear()
    wrong = await attempt.say("completed", outcome="SUCCEEDED", attempt=2, token=attempt.token_for(attempt=2))
    assert wrong.status_code == 409, wrong.text
    assert not told, "or two controllers would wake each other for as long as something is held"


async def test_what_was_held_on_trial_is_what_is_written_for_good(left):
    # The agenda keeps rows by time: an event must happen at the same time on trial and for good.
    events = a_run("analytics.daily", timeout_sec=3_600)
    real = left.store.put

    async def put(key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        outcome = await real(key, body, when=when)
        if "transactions/root/" in key:
            left.store.silent = ("ledger/",)
        return outcome

    left.store.put = put
    await left.unknown(events)
    left.store.put = real
    before = await left.world.flow_reader().head()
    held = {tuple(json.loads(row.prefix_json)) for row in await before.scan(HELD_KEYS) if row.table == AGENDA.name}
    left.world.clock.ahead_ms = TRANSACTION_HOLD_MS + 1
    await left.repaired()
    after = await left.world.flow_reader().head()
    rows = [row for row in await after.scan(AGENDA) if row.born == run_of(events)]
    assert {row.lane for row in rows} >= {"run"}
    assert {AGENDA.key_of(row) for row in rows if row.lane in ("run", "ready")} <= held


async def test_the_same_request_sent_many_times_at_once_is_one_transaction_or_told_to_come_back(world, api):
    events = a_run()
    answers = await asyncio.gather(*(commit(api, events, create_catalog()) for _ in range(6)))
    told = {answer.json()["receipt"]["txId"] for answer in answers if answer.status_code == 200}
    assert len(told) == 1, [answer.text for answer in answers]
    for answer in answers:
        assert answer.status_code == 200 or "retry-after" in answer.headers, answer.text
    assert (await done(api, events, create_catalog()))["txId"] in told
    await nothing_is_left(world)


async def test_a_refusal_that_was_told_is_on_record_and_bars_what_was_tried_before(world, api):
    await done(api, a_run(), create_catalog(), key="first")
    world.store.forget()
    refused = await commit(api, a_run(), create_catalog(), key="second")
    assert problem(refused)[:2] == (409, "CONFLICT")
    written = [each.key.split("/")[2] for each in world.store.operations if each.name == "create"]
    assert "ledger" in written
