"""Laws of the catalog's fold over any sequence of events, sensible or not."""

from collections.abc import Iterator
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import an_envelope
from tests.fakes import LazyView, MemoryView, State

from arco.domains.catalog.events import (
    CatalogCreated,
    CatalogDeleted,
    CatalogEvent,
    CatalogRecord,
    CatalogRenamed,
    CatalogUpdated,
    ColumnRecord,
    NamespaceCreated,
    NamespaceDeleted,
    NamespaceRecord,
    NamespaceRenamed,
    NamespaceUpdated,
    TableDropped,
    TableRecord,
    TableRegistered,
    TableRenamed,
    TableUpdated,
    catalog_record,
    namespace_record,
    table_record,
)
from arco.domains.catalog.fold import CATALOG
from arco.domains.catalog.fold.verdicts import CODES
from arco.domains.catalog.rules import columns_json
from arco.domains.catalog.tables import (
    CATALOGS,
    CATALOGS_BY_ID,
    COLUMNS,
    NAMESPACES,
    NAMESPACES_BY_ID,
    NAMESPACES_BY_NAME,
    TABLES,
    TABLES_BY_ID,
)
from arco.kernel.fold import Accepted, Decision, FoldContext, NotLoaded, Rejected, View

# A world so small that events meet: few names, few ids, few versions.
CONTEXT = FoldContext(now_ms=0, fold_version=1)
NAMES = st.sampled_from(["default", "a", "b", "c"])
CATALOG_IDS = st.sampled_from(["c1", "c2", "c3"])
NAMESPACE_IDS = st.sampled_from(["n1", "n2", "n3"])
TABLE_IDS = st.sampled_from(["t1", "t2", "t3"])
MOMENTS = st.integers(1, 3)
TEXTS = st.sampled_from([None, "x", "y"])

CATALOG_RECORDS = st.builds(
    CatalogRecord, id=CATALOG_IDS, name=NAMES, description=TEXTS, created_at=st.just(1), updated_at=MOMENTS
)
NAMESPACE_RECORDS = st.builds(
    NamespaceRecord,
    id=NAMESPACE_IDS,
    catalog_id=CATALOG_IDS | st.none(),
    name=NAMES,
    created_at=st.just(1),
    updated_at=MOMENTS,
)
TABLE_RECORDS = st.builds(
    TableRecord,
    id=TABLE_IDS,
    namespace_id=NAMESPACE_IDS,
    name=NAMES,
    description=TEXTS,
    created_at=st.just(1),
    updated_at=MOMENTS,
)


@st.composite
def columns_for(draw: st.DrawFn, table_id: str) -> list[ColumnRecord]:
    columns = st.builds(
        ColumnRecord,
        id=st.sampled_from([f"{table_id}-{index}" for index in range(4)]),
        table_id=st.just(table_id) | TABLE_IDS if draw(st.integers(0, 9)) == 0 else st.just(table_id),
        name=NAMES,
        data_type=st.just("INT"),
        is_nullable=st.booleans(),
        ordinal=st.integers(0, 3),
    )
    return draw(st.lists(columns, max_size=4))


@st.composite
def table_events(draw: st.DrawFn) -> CatalogEvent:
    table = draw(TABLE_RECORDS)
    if draw(st.booleans()):
        return TableRegistered(table=table, columns=draw(columns_for(table.id)))
    return TableUpdated(table=table, columns=draw(st.none() | columns_for(table.id)))


EVENTS: st.SearchStrategy[CatalogEvent] = st.one_of(
    st.builds(CatalogCreated, catalog=CATALOG_RECORDS),
    st.builds(CatalogUpdated, catalog=CATALOG_RECORDS),
    st.builds(CatalogRenamed, catalog=CATALOG_RECORDS, old_name=NAMES),
    st.builds(CatalogDeleted, catalog_id=CATALOG_IDS, catalog_name=NAMES),
    st.builds(NamespaceCreated, namespace=NAMESPACE_RECORDS),
    st.builds(NamespaceUpdated, namespace=NAMESPACE_RECORDS),
    st.builds(NamespaceRenamed, namespace=NAMESPACE_RECORDS, old_name=NAMES),
    st.builds(NamespaceDeleted, namespace_id=NAMESPACE_IDS, namespace_name=NAMES),
    table_events(),
    table_events(),
    st.builds(TableDropped, table_id=TABLE_IDS, namespace_id=NAMESPACE_IDS, table_name=NAMES),
    st.builds(
        TableRenamed,
        table_id=TABLE_IDS,
        namespace_id=NAMESPACE_IDS,
        old_name=NAMES,
        new_name=NAMES,
        updated_at=MOMENTS,
    ),
)


class Wish(msgspec.Struct, frozen=True):
    """Something to do with the object that is there: becomes an event when the state is known."""

    action: str
    pick: int
    name: str
    moment: int
    columns: int
    from_present: bool

    def event(self, view: MemoryView) -> tuple[CatalogEvent, int | None]:
        """The event, made from the row it is about."""
        tables: dict[str, Any] = {"c": CATALOGS, "n": NAMESPACES, "t": TABLES}
        rows: list[Any] = list(view.scan(tables[self.action[0]], ()))
        if not rows:
            return NamespaceDeleted(namespace_id="nobody", namespace_name=self.name), None
        row = rows[self.pick % len(rows)]
        base = row.row_version if self.from_present else None
        fresh = msgspec.structs.replace(row, updated_at=self.moment)
        other = msgspec.structs.replace(fresh, name=self.name)
        columns = [
            ColumnRecord(
                id=f"{row.id}-{n}", table_id=row.id, name=self.name, data_type="I", is_nullable=True, ordinal=n
            )
            for n in range(self.columns)
        ]
        match self.action:
            case "c update":
                return CatalogUpdated(catalog=catalog_record(fresh)), base
            case "c rename":
                return CatalogRenamed(catalog=catalog_record(other), old_name=row.name), base
            case "c delete":
                return CatalogDeleted(catalog_id=row.id, catalog_name=row.name), base
            case "n update":
                return NamespaceUpdated(namespace=namespace_record(fresh)), base
            case "n rename":
                return NamespaceRenamed(namespace=namespace_record(other), old_name=row.name), base
            case "n delete":
                return NamespaceDeleted(namespace_id=row.id, namespace_name=row.name), base
            case "t update":
                return TableUpdated(table=table_record(fresh), columns=columns or None), base
            case "t rename":
                where = {"table_id": row.id, "namespace_id": row.namespace_id}
                return TableRenamed(**where, old_name=row.name, new_name=self.name, updated_at=self.moment), base
        return TableDropped(table_id=row.id, namespace_id=row.namespace_id, table_name=row.name), base


WISHES = st.builds(
    Wish,
    action=st.sampled_from([f"{kind} {verb}" for kind in "cnt" for verb in ("update", "rename", "delete")]),
    pick=st.integers(0, 5),
    name=NAMES,
    moment=MOMENTS,
    columns=st.integers(0, 3),
    from_present=st.booleans(),
)
BASES = st.none() | st.integers(1, 3)
# Random events alone seldom get as far as a table: most histories begin with a standing world.
STANDING: list[tuple[CatalogEvent, int | None]] = [
    (event, None)
    for event in (
        CatalogCreated(catalog=CatalogRecord(id="c1", name="a", created_at=1, updated_at=1)),
        CatalogCreated(catalog=CatalogRecord(id="c2", name="default", created_at=1, updated_at=1)),
        CatalogCreated(catalog=CatalogRecord(id="c3", name="b", created_at=1, updated_at=1)),
        NamespaceCreated(namespace=NamespaceRecord(id="n1", catalog_id="c1", name="a", created_at=1, updated_at=1)),
        NamespaceCreated(namespace=NamespaceRecord(id="n2", name="a", created_at=1, updated_at=1)),
        NamespaceCreated(namespace=NamespaceRecord(id="n3", catalog_id="c1", name="b", created_at=1, updated_at=1)),
        TableRegistered(
            table=TableRecord(id="t1", namespace_id="n1", name="a", created_at=1, updated_at=1),
            columns=[ColumnRecord(id="t1-0", table_id="t1", name="a", data_type="I", is_nullable=True, ordinal=0)],
        ),
    )
]


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[CatalogEvent, int | None]]:
    """Events that mostly mean something: half of them are about what is there at that moment."""
    history = list(draw(st.sampled_from([[], STANDING, STANDING])))
    view = MemoryView()
    for event, base in history:
        fold(view, event, base)
    for step in draw(st.lists(WISHES | st.tuples(EVENTS, BASES), max_size=20)):
        event, base = step.event(view) if isinstance(step, Wish) else step
        fold(view, event, base)
        history.append((event, base))
    return history


HISTORIES = histories()


def fold(view: View, event: CatalogEvent, base: int | None) -> Decision:
    return CATALOG.fold(view, an_envelope(event, base=base), CONTEXT)


def snapshot_of(view: MemoryView) -> State:
    return {name: dict(rows) for name, rows in view.state.items() if rows}


@given(HISTORIES)
def test_after_any_events_base_tables_and_indexes_agree(history):
    view = MemoryView()
    for event, base in history:
        decision = fold(view, event, base)
        assert not isinstance(decision, Rejected) or decision.code in CODES
        assert list(disagreements(view)) == []


@given(HISTORIES)
def test_what_is_refused_or_changes_nothing_leaves_no_trace_and_what_is_told_does(history):
    view = MemoryView()
    for event, base in history:
        before = snapshot_of(view)
        decision = fold(view, event, base)
        told = isinstance(decision, Accepted) and decision.subject is not None
        assert (snapshot_of(view) != before) == told


@given(HISTORIES)
def test_an_event_delivered_twice_in_a_row_changes_the_state_once(history):
    view = MemoryView()
    for event, base in history:
        fold(view, event, base)
        once = snapshot_of(view)
        fold(view, event, base)
        assert snapshot_of(view) == once


@given(HISTORIES)
def test_a_creation_delivered_again_later_never_brings_its_object_back_beside_a_living_one(history):
    view = MemoryView()
    for event, base in history:
        fold(view, event, base)
    for event, base in history:
        if isinstance(event, CatalogCreated | NamespaceCreated | TableRegistered):
            fold(view, event, base)
            assert list(disagreements(view)) == []


@given(HISTORIES)
def test_folding_is_a_function_of_the_events_alone(history):
    views = MemoryView(), MemoryView()
    decisions = [[fold(view, event, base) for event, base in history] for view in views]
    assert decisions[0] == decisions[1]
    assert views[0].state == views[1].state


@given(HISTORIES)
def test_nothing_loaded_gives_the_same_as_everything_loaded(history):
    full = MemoryView()
    for event, base in history:
        lazy = LazyView(full.state)
        decision = patiently(lazy, event, base)
        assert decision == fold(full, event, base)
        assert snapshot_of(lazy) == snapshot_of(full)


@given(HISTORIES)
def test_a_change_raises_the_row_version_by_one(history):
    view = MemoryView()
    for event, base in history:
        before = versions(view)
        fold(view, event, base)
        for key, version in versions(view).items():
            assert version - before.get(key, 0) in (0, 1)


def patiently(view: LazyView, event: CatalogEvent, base: int | None) -> Decision:
    """Fold as the kernel does: load what is missing, roll back, fold again."""
    for _ in range(200):
        savepoint = view.savepoint()
        try:
            return fold(view, event, base)
        except NotLoaded as missing:
            view.rollback(savepoint)
            view.load(missing)
    raise AssertionError("the fold asks for more and more")


def versions(view: MemoryView) -> dict[tuple[str, Any], int]:
    return {
        (table, row.id): row.row_version
        for table in ("catalogs", "namespaces", "tables")
        for row in view.state.get(table, {}).values()
    }


def disagreements(view: MemoryView) -> Iterator[str]:
    """Everything that is wrong with a state, in words."""
    catalogs = list(view.scan(CATALOGS, ()))
    namespaces = list(view.scan(NAMESPACES, ()))
    tables = list(view.scan(TABLES, ()))
    columns = list(view.scan(COLUMNS, ()))
    if {(row.id, row.name) for row in view.scan(CATALOGS_BY_ID, ())} != {(row.id, row.name) for row in catalogs}:
        yield "catalogs_by_id"
    places = {(row.id, row.catalog_key, row.name) for row in namespaces}
    indexes: list[Any] = [NAMESPACES_BY_ID, NAMESPACES_BY_NAME]
    for index in indexes:
        if {(row.id, row.catalog_key, row.name) for row in view.scan(index, ())} != places:
            yield index.name
    found = {(row.id, row.namespace_id, row.name) for row in view.scan(TABLES_BY_ID, ())}
    if found != {(row.id, row.namespace_id, row.name) for row in tables}:
        yield "tables_by_id"
    for rows in (catalogs, namespaces, tables):
        if len({row.id for row in rows}) != len(rows):
            yield f"an id twice: {rows}"
    keys = {"default"} | {row.id for row in catalogs if row.name != "default"}
    yield from (f"lost schema {row}" for row in namespaces if row.catalog_key not in keys)
    ids = {row.id for row in namespaces}
    yield from (f"lost table {row}" for row in tables if row.namespace_id not in ids)
    owners = {row.id for row in tables}
    yield from (f"lost column {row}" for row in columns if row.table_id not in owners)
    for table in tables:
        mine = [column for column in columns if column.table_id == table.id]
        if table.columns_json != columns_json(mine):
            yield f"columns of {table}: {msgspec.json.decode(table.columns_json)}"
