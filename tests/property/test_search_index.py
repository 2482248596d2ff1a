"""The search index is at every moment what the catalog's rows say, however they came to be what they are."""

from typing import Any, cast

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import an_envelope
from tests.fakes import MemoryView, State
from tests.property.test_catalog_fold import EVENTS

from arco.domains.catalog.events import CatalogEvent, ColumnRecord, TableRecord, TableRegistered, TableUpdated
from arco.domains.catalog.fold import CATALOG
from arco.domains.catalog.rows import TableRow
from arco.domains.catalog.rules import columns_json
from arco.domains.catalog.tables import NAMESPACES, TABLES
from arco.domains.search.documents import Postings, namespace_postings, table_postings
from arco.domains.search.fold import SearchDomain
from arco.domains.search.rows import BUILDING, POSTINGS
from arco.domains.search.tokenize import name_words, normal, query_words, text_words
from arco.kernel.decide import UnitContext, decide
from arco.kernel.envelope import Envelope, Unit
from arco.kernel.manifest import CommitInputs
from arco.kernel.rooms import Rooms

ROOMS = Rooms([CATALOG, SearchDomain()])
CONTEXT = UnitContext(CommitInputs(now_ms=0, commit_ulid="0" * 26, fold_version=1, epoch=1), "0" * 20, 0, 0)
WORDS = st.sampled_from(["orders", "orders_daily", "OrdersDaily", "daily orders", "Größe", "a", "or", "x-y", "id", ""])


@st.composite
def wordy_tables(draw: st.DrawFn) -> CatalogEvent:
    """Tables whose names, descriptions, columns and tags share words and beginnings of words."""
    table_id = draw(st.sampled_from(["t1", "t2", "t3"]))
    table = TableRecord(
        id=table_id,
        namespace_id=draw(st.sampled_from(["n1", "n2"])),
        name=draw(WORDS.filter(bool)),
        description=draw(WORDS | st.none()),
        properties_json=draw(
            st.none() | st.builds(lambda word: msgspec.json.encode({"tags": word, "k": word}).decode(), WORDS)
        ),
        created_at=1,
        updated_at=draw(st.integers(1, 3)),
    )
    columns = [
        ColumnRecord(
            id=draw(st.sampled_from(["c1", "c2", f"{table_id}-{ordinal}"])),
            table_id=table_id,
            name=draw(WORDS.filter(bool)),
            data_type="INT",
            is_nullable=True,
            ordinal=ordinal,
            description=draw(WORDS | st.none()),
        )
        for ordinal in range(draw(st.integers(0, 3)))
    ]
    made: CatalogEvent = TableRegistered(table=table, columns=columns)
    return made if draw(st.booleans()) else TableUpdated(table=table, columns=draw(st.sampled_from([columns, None])))


UNITS = st.lists(EVENTS | wordy_tables(), min_size=1, max_size=3)
STEPS = st.integers(1, 3)


def unit_of(events: list[CatalogEvent]) -> Unit:
    return Unit(tuple(an_envelope(event) for event in events))


def a_step(rows: int) -> Unit:
    payload = msgspec.Raw(msgspec.json.encode({"kind": "index_extended", "rows": rows}))
    event = Envelope(
        event_type="search.index",
        event_version=1,
        idempotency_key="k",
        occurred_at="2026-01-01T00:00:00Z",
        source="t",
        payload=payload,
        event_id="01JGFJJZ00000000000000000A",
    )
    return Unit((event,))


def fold(view: MemoryView, unit: Unit) -> str:
    view.state.pop("outcomes", None)  # the units of a test share their ids
    outcome, _ = decide(cast("Any", view), unit, CONTEXT, ROOMS)
    return outcome.status


def from_scratch(view: MemoryView, reached: tuple[str, tuple[str, str]] | None = None) -> Postings:
    """What the index has to be, from the rows alone; `reached` is the last object of an index under way."""
    expected: Postings = {}
    for row in view.scan(NAMESPACES, ()):
        if reached is None or ("namespaces", NAMESPACES.key_of(row)) <= reached:
            expected |= namespace_postings(row)
    for table in view.scan(TABLES, ()):
        if reached is None or ("tables", TABLES.key_of(table)) <= reached:
            expected |= table_postings(table)
    return expected


def index_of(view: MemoryView) -> Postings:
    return {POSTINGS.key_of(row): row for row in view.scan(POSTINGS, ())}


@given(st.lists(UNITS, max_size=12))
def test_after_any_units_the_postings_are_those_of_the_rows(units: list[list[CatalogEvent]]):
    view = MemoryView({BUILDING.name: {}})
    for events in units:
        assert fold(view, unit_of(events)) in ("accepted", "rejected")
        assert index_of(view) == from_scratch(view)


@given(st.lists(UNITS, max_size=6), st.lists(UNITS.map(unit_of) | STEPS.map(a_step), max_size=20), STEPS)
def test_an_older_catalog_gets_its_index_step_by_step_while_it_changes(before, mixed, last):
    older = Rooms([CATALOG])
    view = MemoryView()
    for events in before:
        view.state.pop("outcomes", None)
        decide(cast("Any", view), unit_of(events), CONTEXT, older)
    for unit in mixed:
        assert fold(view, unit) in ("accepted", "rejected")
        check_so_far(view)
    for _ in range(20):
        fold(view, a_step(last))
    assert view.counted(BUILDING) == 0
    assert SearchDomain().upkeep({BUILDING.name: 0}) is None
    assert index_of(view) == from_scratch(view)


def check_so_far(view: MemoryView) -> None:
    counted = view.counted(BUILDING)
    if counted is None:
        assert not index_of(view)
    elif counted == 0:
        assert index_of(view) == from_scratch(view)
    else:
        row = view.get(BUILDING, ("postings",))
        assert row is not None
        assert index_of(view) == from_scratch(view, (row.source, (row.parent, row.name)))


@given(wordy_tables(), st.text(alphabet="odari_x", max_size=3))
def test_of_all_postings_that_begin_with_a_text_exactly_the_first_of_each_object_repeats_less_than_it(event, beginning):
    assert isinstance(event, TableRegistered | TableUpdated)
    view = MemoryView({BUILDING.name: {}})
    columns = event.columns or []
    row = TableRow(
        **{field: getattr(event.table, field) for field in TableRecord.__struct_fields__},
        columns_json=columns_json(cast("Any", [column for column in columns if column.id.startswith("t")])),
    )
    postings = sorted(table_postings(row).values(), key=POSTINGS.key_of)
    found = [posting for posting in postings if posting.token_norm.startswith(beginning)]
    firsts = [posting for posting in found if posting.repeats < len(beginning)] if beginning else found[:1]
    assert firsts == found[:1]
    for column in {posting.doc_id for posting in found if posting.doc_type == "column"} if beginning else ():
        mine = [posting for posting in found if posting.doc_id == column]
        assert [posting for posting in mine if posting.repeats_column < len(beginning)] == mine[:1]
    assert not index_of(view)


@given(st.text(max_size=40))
def test_every_name_is_found_by_itself_and_by_each_of_the_contracts_tokens(name):
    words = {word.normal for word in name_words(name)}
    assert normal(name) in words
    contracted = {
        token.lower()
        for token in "".join(c if c.isascii() and (c.isalnum() or c == "_") else " " for c in name).split()
    }
    assert {token for token in contracted if len(token) > 1} <= words


@given(st.text(max_size=60))
def test_whatever_is_asked_for_in_the_words_of_a_text_is_in_the_index_of_it(text):
    indexed = {word.normal for word in text_words(text, 256)}
    for word in query_words(text):
        assert len(word.encode()) < 2 or word in indexed


def test_states_of_the_fakes_are_the_real_ones():
    state: State = {BUILDING.name: {}}
    assert MemoryView(state).counted(BUILDING) == 0
    assert MemoryView().counted(BUILDING) is None
