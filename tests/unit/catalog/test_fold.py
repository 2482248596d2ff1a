"""The fold rules of catalog.md 2.8, one sentence each."""

from typing import Any

import msgspec
import pytest
from tests.builders import a_catalog, a_column, a_namespace, a_table, an_envelope, an_id
from tests.fakes import MemoryView

from arco.domains.catalog.events import (
    CatalogCreated,
    CatalogDeleted,
    CatalogEvent,
    CatalogRenamed,
    CatalogUpdated,
    NamespaceCreated,
    NamespaceDeleted,
    NamespaceRenamed,
    NamespaceUpdated,
    TableDropped,
    TableRegistered,
    TableRenamed,
    TableUpdated,
)
from arco.domains.catalog.fold import CATALOG
from arco.domains.catalog.tables import (
    CATALOGS,
    CATALOGS_BY_ID,
    COLUMNS,
    NAMESPACES,
    NAMESPACES_BY_NAME,
    TABLES,
    TABLES_BY_ID,
)
from arco.kernel.fold import Accepted, Decision, FoldContext, InvalidEvent, Rejected, Subject, UnsupportedEvent

CONTEXT = FoldContext(now_ms=0, fold_version=1)


def fold(view: MemoryView, event: CatalogEvent, base: int | None = None) -> Decision:
    return CATALOG.fold(view, an_envelope(event, base=base), CONTEXT)


def code(decision: Decision) -> str:
    return decision.code if isinstance(decision, Rejected) else "accepted"


def is_no_op(decision: Decision) -> bool:
    return decision == Accepted(None)


@pytest.fixture
def view() -> MemoryView:
    """`analytics.sales.orders` with one column."""
    view = MemoryView()
    assert code(fold(view, CatalogCreated(catalog=a_catalog()))) == "accepted"
    assert code(fold(view, NamespaceCreated(namespace=a_namespace()))) == "accepted"
    assert code(fold(view, TableRegistered(table=a_table(), columns=[a_column()]))) == "accepted"
    return view


def test_a_created_catalog_is_found_by_name_and_by_id():
    view = MemoryView()
    decision = fold(view, CatalogCreated(catalog=a_catalog()))
    assert decision == Accepted(Subject("catalog_created", "catalog", an_id(1), "analytics"))
    row = view.get(CATALOGS, ("analytics",))
    assert row is not None
    assert row.row_version == 1
    found = view.get(CATALOGS_BY_ID, (an_id(1),))
    assert found is not None
    assert found.name == "analytics"


@pytest.mark.parametrize(
    "event",
    [
        CatalogCreated(catalog=a_catalog()),
        NamespaceCreated(namespace=a_namespace()),
        TableRegistered(table=a_table(), columns=[a_column()]),
        TableRegistered(table=a_table(), columns=[]),
    ],
)
def test_the_same_create_again_changes_nothing(view, event):
    before = MemoryView(view.state).state
    assert is_no_op(fold(view, event))
    assert view.state == before


@pytest.mark.parametrize(
    "event",
    [
        CatalogCreated(catalog=a_catalog(description="other")),
        NamespaceCreated(namespace=a_namespace("other")),
        TableRegistered(table=a_table(location="other"), columns=[a_column()]),
        TableRegistered(table=a_table(), columns=[a_column("other", number=101)]),
    ],
)
def test_another_row_under_a_known_id_is_a_collision(view, event):
    assert code(fold(view, event)) == "id_collision"


@pytest.mark.parametrize(
    "event",
    [
        CatalogCreated(catalog=a_catalog(number=11)),
        NamespaceCreated(namespace=a_namespace(number=12)),
        TableRegistered(table=a_table(number=13), columns=[]),
    ],
)
def test_a_taken_name_is_refused(view, event):
    assert code(fold(view, event)) == "already_exists"


def test_names_differ_when_their_case_does(view):
    assert code(fold(view, CatalogCreated(catalog=a_catalog("Analytics", number=11)))) == "accepted"


def test_a_taken_table_name_is_told_with_its_namespace(view):
    decision = fold(view, TableRegistered(table=a_table(number=13), columns=[]))
    assert isinstance(decision, Rejected)
    assert decision.message == "table already exists: sales.orders"
    assert decision.final


def test_a_schema_without_catalog_id_belongs_to_default(view):
    assert code(fold(view, CatalogCreated(catalog=a_catalog("default", number=11)))) == "accepted"
    assert code(fold(view, NamespaceCreated(namespace=a_namespace("old", number=12, catalog_id=None)))) == "accepted"
    clash = a_namespace("old", number=13, catalog_id=an_id(11))
    assert code(fold(view, NamespaceCreated(namespace=clash))) == "already_exists"
    deletion = CatalogDeleted(catalog_id=an_id(11), catalog_name="default")
    assert code(fold(view, deletion)) == "not_empty"


def test_a_schema_of_an_unknown_catalog_is_refused(view):
    stray = a_namespace("x", number=12, catalog_id=an_id(99))
    assert code(fold(view, NamespaceCreated(namespace=stray))) == "parent_not_found"


def test_a_table_of_an_unknown_schema_is_refused(view):
    stray = a_table("x", number=13, namespace_id=an_id(99))
    assert code(fold(view, TableRegistered(table=stray, columns=[]))) == "parent_not_found"


def test_a_column_of_another_table_is_refused(view):
    event = TableRegistered(table=a_table("x", number=13), columns=[a_column(number=101, table_id=an_id(3))])
    assert code(fold(view, event)) == "identity_mismatch"


def test_of_two_columns_with_one_id_the_first_counts(view):
    columns = [a_column("a", number=101, table_id=an_id(13)), a_column("b", number=101, table_id=an_id(13))]
    assert code(fold(view, TableRegistered(table=a_table("x", number=13), columns=columns))) == "accepted"
    assert [column.name for column in view.scan(COLUMNS, (an_id(13),))] == ["a"]


@pytest.mark.parametrize(
    "event",
    [
        CatalogUpdated(catalog=a_catalog(number=99)),
        NamespaceUpdated(namespace=a_namespace(number=99)),
        TableUpdated(table=a_table(number=99)),
        CatalogRenamed(catalog=a_catalog("b", number=99), old_name="analytics"),
        NamespaceRenamed(namespace=a_namespace("b", number=99), old_name="sales"),
        TableRenamed(table_id=an_id(99), namespace_id=an_id(2), old_name="orders", new_name="b", updated_at=2),
    ],
)
def test_an_update_or_rename_of_an_unknown_id_is_refused(view, event):
    assert code(fold(view, event)) == "not_found"


@pytest.mark.parametrize(
    "event",
    [
        CatalogUpdated(catalog=a_catalog("other")),
        NamespaceUpdated(namespace=a_namespace("other")),
        NamespaceUpdated(namespace=a_namespace(catalog_id=None)),
        TableUpdated(table=a_table("other")),
        TableUpdated(table=a_table(namespace_id=an_id(98))),
        TableUpdated(table=a_table(), columns=[a_column(table_id=an_id(98))]),
        CatalogDeleted(catalog_id=an_id(1), catalog_name="other"),
        NamespaceDeleted(namespace_id=an_id(2), namespace_name="other"),
        TableDropped(table_id=an_id(3), namespace_id=an_id(2), table_name="other"),
        TableDropped(table_id=an_id(3), namespace_id=an_id(98), table_name="orders"),
        CatalogRenamed(catalog=a_catalog("b"), old_name="other"),
        NamespaceRenamed(namespace=a_namespace("b"), old_name="other"),
        TableRenamed(table_id=an_id(3), namespace_id=an_id(2), old_name="other", new_name="orders", updated_at=2),
        TableRenamed(table_id=an_id(3), namespace_id=an_id(98), old_name="orders", new_name="b", updated_at=2),
    ],
)
def test_an_event_about_another_name_or_parent_is_refused(view, event):
    before = MemoryView(view.state).state
    assert code(fold(view, event)) == "identity_mismatch"
    assert view.state == before


@pytest.mark.parametrize(
    "event",
    [
        CatalogUpdated(catalog=a_catalog()),
        NamespaceUpdated(namespace=a_namespace()),
        TableUpdated(table=a_table()),
        TableUpdated(table=a_table(), columns=[a_column()]),
        TableRenamed(table_id=an_id(3), namespace_id=an_id(2), old_name="orders", new_name="orders", updated_at=2),
        CatalogDeleted(catalog_id=an_id(99), catalog_name="x"),
        NamespaceDeleted(namespace_id=an_id(99), namespace_name="x"),
        TableDropped(table_id=an_id(99), namespace_id=an_id(2), table_name="x"),
    ],
)
def test_an_identical_update_and_a_delete_of_nothing_change_nothing(view, event):
    before = MemoryView(view.state).state
    assert is_no_op(fold(view, event))
    assert view.state == before


def test_an_update_replaces_the_row_and_counts_its_version(view):
    fresh = a_table(description="all of them", updated_at=5)
    assert code(fold(view, TableUpdated(table=fresh), base=1)) == "accepted"
    row = view.get(TABLES, (an_id(2), "orders"))
    assert row is not None
    assert (row.description, row.updated_at, row.row_version) == ("all of them", 5, 2)
    assert row.columns_json != "[]"


@pytest.mark.parametrize(
    "event",
    [
        CatalogUpdated(catalog=a_catalog(updated_at=5)),
        NamespaceUpdated(namespace=a_namespace(updated_at=5)),
        TableUpdated(table=a_table(updated_at=5)),
        CatalogRenamed(catalog=a_catalog("b"), old_name="analytics"),
        NamespaceRenamed(namespace=a_namespace("b"), old_name="sales"),
        TableRenamed(table_id=an_id(3), namespace_id=an_id(2), old_name="orders", new_name="b", updated_at=2),
        CatalogDeleted(catalog_id=an_id(1), catalog_name="analytics"),
        NamespaceDeleted(namespace_id=an_id(2), namespace_name="sales"),
        TableDropped(table_id=an_id(3), namespace_id=an_id(2), table_name="orders"),
    ],
)
def test_an_event_made_from_an_old_version_is_stale_and_leaves_its_key_free(view, event):
    decision = fold(view, event, base=7)
    assert isinstance(decision, Rejected)
    assert decision.code == "stale_base"
    assert not decision.final


def test_a_schema_with_tables_and_a_catalog_with_schemas_stay(view):
    decision = fold(view, NamespaceDeleted(namespace_id=an_id(2), namespace_name="sales"))
    assert isinstance(decision, Rejected)
    assert (decision.code, decision.message) == ("not_empty", "namespace 'sales' contains tables, cannot delete")
    assert code(fold(view, CatalogDeleted(catalog_id=an_id(1), catalog_name="analytics"))) == "not_empty"


def test_a_dropped_table_leaves_nothing_behind(view):
    assert code(fold(view, TableDropped(table_id=an_id(3), namespace_id=an_id(2), table_name="orders"))) == "accepted"
    assert code(fold(view, NamespaceDeleted(namespace_id=an_id(2), namespace_name="sales"))) == "accepted"
    assert code(fold(view, CatalogDeleted(catalog_id=an_id(1), catalog_name="analytics"))) == "accepted"
    assert not any(view.state.values())


def test_renaming_a_schema_moves_its_indexes_and_touches_no_table(view):
    tables = dict(view.state[TABLES.name])
    assert code(fold(view, NamespaceRenamed(namespace=a_namespace("b", updated_at=2), old_name="sales"))) == "accepted"
    assert view.get(NAMESPACES, (an_id(1), "sales")) is None
    row = view.get(NAMESPACES, (an_id(1), "b"))
    assert row is not None
    assert row.row_version == 2
    assert [each.name for each in view.scan(NAMESPACES_BY_NAME, ())] == ["b"]
    assert view.state[TABLES.name] == tables


def test_renaming_a_catalog_touches_no_schema(view):
    schemas = dict(view.state[NAMESPACES.name])
    assert code(fold(view, CatalogRenamed(catalog=a_catalog("b"), old_name="analytics"))) == "accepted"
    assert view.state[NAMESPACES.name] == schemas
    assert set(view.state[CATALOGS.name]) == {("b",)}
    found = view.get(CATALOGS_BY_ID, (an_id(1),))
    assert found is not None
    assert found.name == "b"


def test_renaming_a_table_keeps_everything_else(view):
    rename = TableRenamed(table_id=an_id(3), namespace_id=an_id(2), old_name="orders", new_name="b", updated_at=9)
    old = view.get(TABLES, (an_id(2), "orders"))
    assert old is not None
    assert code(fold(view, rename)) == "accepted"
    row = view.get(TABLES, (an_id(2), "b"))
    assert row == msgspec.structs.replace(old, name="b", updated_at=9, row_version=2)
    found = view.get(TABLES_BY_ID, (an_id(3),))
    assert found is not None
    assert found.name == "b"


@pytest.mark.parametrize(
    ("other", "rename"),
    [
        (
            CatalogCreated(catalog=a_catalog("b", number=11)),
            CatalogRenamed(catalog=a_catalog("b"), old_name="analytics"),
        ),
        (
            NamespaceCreated(namespace=a_namespace("b", number=12)),
            NamespaceRenamed(namespace=a_namespace("b"), old_name="sales"),
        ),
        (
            TableRegistered(table=a_table("b", number=13), columns=[]),
            TableRenamed(table_id=an_id(3), namespace_id=an_id(2), old_name="orders", new_name="b", updated_at=2),
        ),
    ],
)
def test_a_rename_onto_a_taken_name_is_refused(view, other, rename):
    fold(view, other)
    assert code(fold(view, rename)) == "already_exists"


def test_default_is_renamed_neither_to_nor_from(view):
    assert code(fold(view, CatalogRenamed(catalog=a_catalog("default"), old_name="analytics"))) == "reserved_name"
    fold(view, CatalogCreated(catalog=a_catalog("default", number=11)))
    rename = CatalogRenamed(catalog=a_catalog("b", number=11), old_name="default")
    assert code(fold(view, rename)) == "reserved_name"


def test_a_schema_of_default_keeps_its_key_whether_its_catalog_id_is_null_or_not(view):
    fold(view, CatalogCreated(catalog=a_catalog("default", number=11)))
    fold(view, NamespaceCreated(namespace=a_namespace("old", number=12, catalog_id=None)))
    adopted = a_namespace("old", number=12, catalog_id=an_id(11), updated_at=2)
    assert code(fold(view, NamespaceUpdated(namespace=adopted))) == "accepted"
    row = view.get(NAMESPACES, ("default", "old"))
    assert row is not None
    assert row.catalog_id == an_id(11)


def test_columns_of_an_update_replace_the_whole_list(view):
    columns = [a_column("key", ordinal=1), a_column("note", number=101, data_type="STRING", is_nullable=True)]
    assert code(fold(view, TableUpdated(table=a_table(updated_at=2), columns=columns), base=1)) == "accepted"
    assert [column.name for column in view.scan(COLUMNS, (an_id(3),))] == ["note", "key"]
    row = view.get(TABLES, (an_id(2), "orders"))
    assert row is not None
    assert msgspec.json.decode(row.columns_json) == [
        {"id": an_id(101), "name": "note", "data_type": "STRING", "nullable": True, "position": 0},
        {"id": an_id(100), "name": "key", "data_type": "BIGINT", "nullable": False, "position": 1},
    ]


@pytest.mark.parametrize(
    ("version", "payload"),
    [
        (1, {"kind": "namespace_merged"}),
        (1, {"kind": "catalog_created"}),
        (2, {"kind": "namespace_created"}),
        (9, {"kind": "catalog_created"}),
    ],
)
def test_an_unknown_kind_or_version_is_unsupported_not_invalid(version, payload):
    envelope = raw(version, payload)
    with pytest.raises(UnsupportedEvent):
        CATALOG.fold(MemoryView(), envelope, CONTEXT)


CATALOG_JSON = {"id": an_id(1), "name": "a", "created_at": 1, "updated_at": 1}


@pytest.mark.parametrize(
    "payload",
    [
        [],
        {"no": "kind"},
        {"kind": "catalog_created"},
        {"kind": "catalog_created", "catalog": {**CATALOG_JSON, "name": None}},
        {"kind": "catalog_created", "catalog": {**CATALOG_JSON, "updated_at": -1}},
        {"kind": "catalog_created", "catalog": {**CATALOG_JSON, "updated_at": 2**63}},
        {"kind": "catalog_created", "catalog": {**CATALOG_JSON, "properties_json": "{"}},
        {"kind": "catalog_created", "catalog": {**CATALOG_JSON, "properties_json": "[]"}},
        {"kind": "catalog_created", "catalog": {**CATALOG_JSON, "id": "default"}},
    ],
)
def test_a_payload_that_cannot_be_an_event_is_invalid(payload):
    with pytest.raises(InvalidEvent):
        CATALOG.fold(MemoryView(), raw(2, payload), CONTEXT)


def test_an_event_of_an_older_writer_without_newer_keys_is_folded():
    view = MemoryView()
    namespace = {"id": an_id(2), "name": "old", "description": None, "created_at": 1, "updated_at": 1}
    decision = CATALOG.fold(view, raw(1, {"kind": "namespace_created", "namespace": namespace}), CONTEXT)
    assert code(decision) == "accepted"
    row = view.get(NAMESPACES, ("default", "old"))
    assert row is not None
    assert row.catalog_id is None


def raw(version: int, payload: Any):
    envelope = an_envelope(CatalogCreated(catalog=a_catalog()), version=version)
    return msgspec.structs.replace(envelope, payload=msgspec.Raw(msgspec.json.encode(payload)))
