"""Golden vectors of catalog.md, Appendix A, that concern catalog objects; and the wire shape of catalog events."""

import json
from typing import Any

import msgspec
import pytest
from tests.builders import KEY, a_catalog, a_column, a_namespace, a_table

from arco.core.canonical_json import canonical_sha256, sha256_hex
from arco.domains.catalog import rules
from arco.domains.catalog.commands import clerk
from arco.domains.catalog.commands.clerk import claim_of
from arco.domains.catalog.events import (
    CatalogCreated,
    CatalogDeleted,
    CatalogRecord,
    CatalogRenamed,
    CatalogUpdated,
    NamespaceCreated,
    NamespaceDeleted,
    NamespaceRecord,
    NamespaceRenamed,
    NamespaceUpdated,
    TableDropped,
    TableRegistered,
    TableRenamed,
    TableUpdated,
)
from arco.domains.catalog.rules import ColumnSpec
from arco.domains.catalog.tables import CATALOGS, COLUMNS, NAMESPACES, TABLES
from arco.kernel.envelope import event_key


def test_request_hash_of_create_catalog_analytics():
    expected = "0e3e6531e4340fe4ce6eafbd3d9b42dbb30e350b1eb677c43c3e60bf7db893fb"
    assert rules.catalog_request_hash("analytics", None) == expected
    assert rules.catalog_request_hash("analytics", None, {}) == expected


def test_request_hash_of_register_table_sales_orders():
    hashed = rules.table_request_hash(
        parent={"namespace": "sales"},
        body={"name": "orders", "description": None, "format": rules.normal_format(None)},
        columns=[ColumnSpec(name="id", data_type="BIGINT", nullable=False)],
        properties=None,
    )
    assert hashed == "ec72c2873a8893b72fe2af638090eb5fc1080747119b57b6236c15825be89802"


def test_request_hash_of_register_table_in_schema_holds_location_and_both_parents():
    hashed = rules.table_request_hash(
        parent={"catalog": "c", "schema": "s"},
        body={"name": "t", "description": None, "format": "delta", "location": "gs://b/x"},
        columns=[],
        properties=None,
    )
    whole: dict[str, Any] = {
        "catalog": "c",
        "schema": "s",
        "name": "t",
        "description": None,
        "location": "gs://b/x",
        "format": "delta",
        "columns": [],
    }
    assert hashed == canonical_sha256(whole)


def test_request_hash_of_create_schema_names_the_catalog():
    whole = {"catalog": "c", "name": "s", "description": "d"}
    assert rules.schema_request_hash("c", "s", "d") == canonical_sha256(whole)


def test_properties_are_part_of_the_request_when_there_are_any():
    assert rules.catalog_request_hash("a", None, {"k": "v"}) != rules.catalog_request_hash("a", None)


def test_key_hash_is_the_one_in_the_marker_path():
    claim = claim_of("create_catalog", KEY, "")
    assert claim is not None
    assert claim.key_hash == "42aa460e3bd12d233bbf5e9a501414f561929ad90127bdfc2afb8fc1157de4e9"
    assert claim.key_hash == sha256_hex(KEY.encode())


def test_event_key_of_catalog_created():
    catalog = CatalogRecord(id=KEY, name="analytics", created_at=1_767_225_600_000, updated_at=1_767_225_600_000)
    draft = clerk.draft(CatalogCreated(catalog=catalog))
    assert draft.event_type == "catalog.ddl"
    assert draft.event_version == 2
    assert event_key(draft.event_type, draft.event_version, draft.payload) == "auto:5497030a2533ff893446e39bd2317084"


def test_an_event_carries_all_keys_of_its_row_with_nulls():
    namespace = NamespaceRecord(
        id="019b7700-1234-7abc-9def-0123456789ab",
        catalog_id="019b7700-0aaa-7abc-9def-0123456789ab",
        name="sales",
        created_at=1_767_225_602_050,
        updated_at=1_767_225_602_050,
    )
    assert json.loads(msgspec.json.encode(NamespaceCreated(namespace=namespace))) == {
        "kind": "namespace_created",
        "namespace": {
            "id": "019b7700-1234-7abc-9def-0123456789ab",
            "catalog_id": "019b7700-0aaa-7abc-9def-0123456789ab",
            "name": "sales",
            "description": None,
            "created_at": 1_767_225_602_050,
            "updated_at": 1_767_225_602_050,
            "properties_json": None,
            "storage_root": None,
        },
    }


@pytest.mark.parametrize(
    ("event", "version", "fields"),
    [
        (NamespaceCreated(namespace=a_namespace()), 1, ["namespace"]),
        (NamespaceUpdated(namespace=a_namespace()), 1, ["namespace"]),
        (NamespaceDeleted(namespace_id="i", namespace_name="n"), 1, ["namespace_id", "namespace_name"]),
        (TableRegistered(table=a_table(), columns=[a_column()]), 1, ["table", "columns"]),
        (TableUpdated(table=a_table()), 1, ["table", "columns"]),
        (TableDropped(table_id="i", namespace_id="j", table_name="n"), 1, ["table_id", "namespace_id", "table_name"]),
        (
            TableRenamed(table_id="i", namespace_id="j", old_name="a", new_name="b", updated_at=1),
            1,
            ["table_id", "namespace_id", "old_name", "new_name", "updated_at"],
        ),
        (CatalogCreated(catalog=a_catalog()), 2, ["catalog"]),
        (CatalogUpdated(catalog=a_catalog()), 3, ["catalog"]),
        (CatalogDeleted(catalog_id="i", catalog_name="n"), 3, ["catalog_id", "catalog_name"]),
        (CatalogRenamed(catalog=a_catalog(), old_name="o"), 4, ["catalog", "old_name"]),
        (NamespaceRenamed(namespace=a_namespace(), old_name="o"), 4, ["namespace", "old_name"]),
    ],
)
def test_kinds_versions_and_fields_of_events_are_the_contracts(event, version, fields):
    draft = clerk.draft(event)
    assert draft.event_version == version
    assert list(draft.payload) == ["kind", *fields]


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        (
            CATALOGS,
            "id utf8, name utf8, description utf8 N, created_at int64, updated_at int64, properties_json utf8 N, "
            "storage_root utf8 N",
        ),
        (
            NAMESPACES,
            "id utf8, catalog_id utf8 N, name utf8, description utf8 N, created_at int64, updated_at int64, "
            "properties_json utf8 N, storage_root utf8 N",
        ),
        (
            TABLES,
            "id utf8, namespace_id utf8, name utf8, description utf8 N, location utf8 N, format utf8 N, "
            "created_at int64, updated_at int64, table_type utf8 N, properties_json utf8 N",
        ),
        (
            COLUMNS,
            "id utf8, table_id utf8, name utf8, data_type utf8, is_nullable bool, ordinal int32, description utf8 N",
        ),
    ],
)
def test_public_columns_are_the_contracts_in_its_order(table, columns):
    found = [f"{field.name} {field.kind}{' N' if field.nullable else ''}" for field in table.public_fields]
    assert ", ".join(found) == columns
