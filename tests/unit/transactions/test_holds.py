"""What a prepared transaction holds: whatever others do meanwhile, it comes out as it was tried."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import fakes
from tests.fakes import LazyView, MemoryWorkspace
from tests.kernel.world import PAIRS, PairDomain

from arco.domains.transactions import queries
from arco.domains.transactions.commands import state_draft
from arco.domains.transactions.events import Aborted, Completed, Finalised, HeldEvent, Prepared, TransactionEvent
from arco.domains.transactions.fold import TransactionsDomain
from arco.domains.transactions.queries import PAGE_ROWS
from arco.domains.transactions.rows import ABORTED, PREPARED, PREPARED_TRANSACTIONS, TRANSACTIONS, VISIBLE
from arco.kernel.desk import EventDraft, UnitDraft
from arco.kernel.envelope import Claim, Envelope
from arco.kernel.fold import Decision, FoldContext, NotLoaded, Outcome, Rejected, View
from arco.kernel.holds import Rehearsal
from arco.kernel.records import HELD_KEYS, IDEMPOTENCY
from arco.kernel.rooms import Rooms
from arco.kernel.workshop import FOLD_VERSION

Action = dict[str, Any]


def actions() -> st.SearchStrategy[list[Action]]:
    one = st.fixed_dictionaries(
        {
            "action": st.sampled_from(["put", "create", "drop", "clear"]),
            "group": st.sampled_from("ab"),
            "name": st.sampled_from("xyz"),
            "value": st.sampled_from(["1", "2"]),
        }
    )
    return st.lists(one, min_size=1, max_size=3)


class World:
    """A chain of pairs with transactions on it."""

    def __init__(self) -> None:
        self.workspace = MemoryWorkspace(PairDomain(), TransactionsDomain([PairDomain()]))

    async def unit(self, *done: Action) -> Outcome:
        events = tuple(EventDraft(event_type="pair", event_version=1, payload=each) for each in done)
        return await self._submitted(UnitDraft(domain="catalog", events=events))

    async def state(self, event: TransactionEvent, claim: Claim | None = None) -> Outcome:
        return await self._submitted(UnitDraft(domain="catalog", events=(state_draft(event),), claim=claim))

    async def prepare(self, *done: Action, tx_id: str | None = None, claim: Claim | None = None) -> Outcome:
        return await self.state(prepared(*done, tx_id=tx_id), claim)

    async def _submitted(self, unit: UnitDraft) -> Outcome:
        (outcome,) = await self.workspace.submit([unit], source="test")
        return outcome

    def rows(self) -> dict[Any, Any]:
        return dict(self.workspace.snapshots[-1].state.get(PAIRS.name, {}))

    def count(self, table: Any) -> int:
        return self.workspace.snapshots[-1].count(table)


def prepared(*done: Action, tx_id: str | None = None) -> Prepared:
    events = tuple(
        HeldEvent(
            event_id=f"01KDVH8Q3N5P7R9S1T3V5W7X{index:02}",
            event_type="pair",
            event_version=1,
            payload=msgspec.Raw(msgspec.json.encode(each)),
        )
        for index, each in enumerate(done)
    )
    return Prepared(
        tx_id=tx_id, request_hash="h", mutations=len(done), participants=("catalog",), expires_at=1, events=events
    )


@settings(max_examples=150)
@given(actions(), actions(), st.lists(actions(), max_size=6))
async def test_a_prepared_transaction_comes_out_as_it_was_tried_whatever_others_do(before, held, others):
    world, alone = World(), World()
    for each in before:
        await world.unit(each)
        await alone.unit(each)
    outcome = await world.prepare(*held)
    tried = await alone.unit(*held)
    assert outcome.status == tried.status
    if outcome.status != "accepted":
        assert world.count(HELD_KEYS) == 0
        return
    for unit in others:
        await world.unit(*unit)
    done = await world.state(Finalised(tx_id=outcome.unit_id))
    assert done.status == "accepted", done
    touched = {(each["group"], each["name"]) for each in held if each["action"] != "clear"}
    cleared = {each["group"] for each in held if each["action"] == "clear"}
    mine = {key for key in {*world.rows(), *alone.rows()} if key in touched or key[0] in cleared}
    assert {key: world.rows().get(key) for key in mine} == {key: alone.rows().get(key) for key in mine}
    assert world.count(HELD_KEYS) == world.count(PREPARED_TRANSACTIONS) == 0


@settings(max_examples=100)
@given(actions(), actions(), actions())
async def test_two_prepared_transactions_come_out_in_either_order(before, first, second):
    ends = []
    for order in ((0, 1), (1, 0)):
        world = World()
        for each in before:
            await world.unit(each)
        outcomes = [await world.prepare(*first), await world.prepare(*second)]
        for index in order:
            if outcomes[index].status == "accepted":
                done = await world.state(Finalised(tx_id=outcomes[index].unit_id))
                assert done.status == "accepted", done
        ends.append((world.rows(), [outcome.status for outcome in outcomes]))
    assert ends[0] == ends[1]


X = {"action": "create", "group": "a", "name": "x"}


async def test_a_life_from_prepared_to_completed():
    world = World()
    claim = Claim("commit_root_transaction", "k", "r", refusals=False)
    tx_id = (await world.prepare(X, claim=claim)).unit_id
    assert await lifecycle(world, tx_id) == PREPARED
    assert world.rows() == {}
    refused = await world.unit(X)
    assert (refused.code, refused.details, refused.final) == ("held", {"tx_id": tx_id}, False)
    await world.state(Finalised(tx_id=tx_id))
    assert await lifecycle(world, tx_id) == VISIBLE
    assert list(world.rows()) == [("a", "x")]
    assert world.count(PREPARED_TRANSACTIONS) == 1, "the home chain remembers it until its record is complete"
    assert (await world.state(Finalised(tx_id=tx_id))).status == "accepted"
    assert (await world.state(Aborted(tx_id=tx_id))).code == "transaction_over"
    await world.state(Completed(tx_id=tx_id))
    assert world.count(PREPARED_TRANSACTIONS) == world.count(HELD_KEYS) == 0


async def test_an_abort_frees_what_was_held_and_the_key_and_stays_for_late_prepares():
    world = World()
    claim = Claim("commit_root_transaction", "k", "r", refusals=False)
    tx_id = (await world.prepare(X, claim=claim)).unit_id
    assert world.count(IDEMPOTENCY) == 1
    for _ in range(2):
        assert (await world.state(Aborted(tx_id=tx_id))).status == "accepted"
    assert await lifecycle(world, tx_id) == ABORTED
    assert world.count(IDEMPOTENCY) == world.count(HELD_KEYS) == world.count(PREPARED_TRANSACTIONS) == 0
    assert (await world.unit(X)).status == "accepted"
    stranger = "01KDVH8Q3N5P7R9S1T3V5W7X9Y"
    await world.state(Aborted(tx_id=stranger))
    assert (await world.prepare({**X, "name": "y"}, tx_id=stranger)).code == "transaction_over"
    assert (await world.state(Finalised(tx_id=stranger))).code == "not_prepared"


async def lifecycle(world: World, tx_id: str) -> str:
    row = await world.workspace.snapshots[-1].get(TRANSACTIONS, (tx_id,))
    assert row is not None
    return row.lifecycle


async def test_a_range_that_was_read_is_held_against_new_rows():
    world = World()
    await world.prepare({"action": "clear", "group": "a"})
    assert (await world.unit({**X, "name": "new"})).code == "held"
    assert (await world.unit({**X, "group": "b"})).status == "accepted"


async def test_a_refused_unit_of_several_events_says_which_one():
    world = World()
    await world.unit(X)
    refused = await world.unit({**X, "name": "y"}, X)
    assert (refused.code, refused.details) == ("already_exists", {"event": "1"})
    refused = await world.prepare({**X, "name": "y"}, X)
    assert (refused.code, refused.details, refused.final) == ("already_exists", {"event": "1"}, False)


def test_folding_with_nothing_loaded_is_folding_with_everything_loaded():
    state: dict[str, Any] = {PAIRS.name: {}}
    domain = TransactionsDomain([PairDomain()])
    payload = msgspec.Raw(msgspec.json.encode(prepared(X, {"action": "clear", "group": "b"})))
    envelope = Envelope(
        event_type="transaction.state",
        event_version=1,
        idempotency_key="k",
        occurred_at="2026-01-01T00:00:00Z",
        source="test",
        payload=payload,
        event_id="01KDVH8Q3N5P7R9S1T3V5W7X9Y",
    )
    context = FoldContext(now_ms=0, fold_version=3)
    lazy = LazyView(state)
    for _ in range(50):
        try:
            decision = domain.fold(lazy, envelope, context)
        except NotLoaded as missing:
            lazy.rollback(0)
            lazy.load(missing)
            continue
        break
    eager = LazyView(state)
    for table in (PAIRS, HELD_KEYS, TRANSACTIONS, PREPARED_TRANSACTIONS):
        eager.loaded.add((table.name, ()))
    assert decision == domain.fold(lazy_all(state), envelope, context)
    assert lazy.state == after(state, domain, envelope, context)


def lazy_all(state: Any) -> Any:
    from tests.fakes import MemoryView

    return MemoryView(state)


def after(state: Any, domain: Any, envelope: Envelope, context: FoldContext) -> Any:
    view = lazy_all(state)
    domain.fold(view, envelope, context)
    return view.state


@pytest.mark.parametrize("limit", [None, 1, 2])
def test_a_rehearsal_sees_its_own_changes_over_what_is_there(limit):
    from tests.fakes import MemoryView
    from tests.kernel.world import PairRow

    view = MemoryView()
    for name in "ace":
        view.put(PAIRS, PairRow(group="a", name=name, value="old", writes=1))
    trial = Rehearsal(view)
    trial.delete(PAIRS, ("a", "c"))
    trial.put(PAIRS, PairRow(group="a", name="b", value="new", writes=1))
    names = [row.name for row in trial.scan(PAIRS, ("a",), limit=limit)]
    assert names == ["a", "b", "e"][:limit]
    assert trial.get(PAIRS, ("a", "c")) is None
    assert [row.name for row in view.scan(PAIRS, ("a",))] == ["a", "c", "e"]


class StricterPairs(PairDomain):
    """The pairs of a later build, which accepts nothing any more of what the rules of before did."""

    def fold(self, view: View, event: Envelope, context: FoldContext) -> Decision:
        if context.fold_version > FOLD_VERSION:
            return Rejected("too_strict", "the rules have changed")
        return super().fold(view, event, context)


async def test_what_was_tried_by_older_rules_is_finalised_by_them_after_a_deploy(monkeypatch):
    world = World()
    outcome = await world.prepare(X)
    world.workspace.domains = Rooms((StricterPairs(), TransactionsDomain([StricterPairs()])))
    monkeypatch.setattr(fakes, "FOLD_VERSION", FOLD_VERSION + 1)
    assert (await world.unit(X)).status == "rejected", "the new rules hold for what comes now"
    done = await world.state(Finalised(tx_id=outcome.unit_id))
    assert done.status == "accepted", "it was decided elsewhere: it can be refused no more"
    assert world.count(HELD_KEYS) == world.count(PREPARED_TRANSACTIONS) == 0
    assert len(world.rows()) == 1


async def test_every_overdue_transaction_is_found_however_many_there_are():
    world = World()
    ids = set()
    for number in range(2 * PAGE_ROWS + 5):
        each = {"action": "put", "group": "a", "name": f"n{number}", "value": "1"}
        ids.add((await world.prepare(each)).unit_id)
    snapshot = await world.workspace.head()
    assert set(await queries.overdue(snapshot, 2)) == ids
    assert list(await queries.overdue(snapshot, 0)) == []
