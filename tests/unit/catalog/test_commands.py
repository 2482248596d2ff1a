"""Commands against a real fold in memory: creation, change, races, idempotency (catalog.md 1.5, 3.6, 4.3-4.7)."""

from typing import Any

import msgspec
import pytest
from tests.builders import KEY, OTHER_KEY, Desk, a_namespace, an_envelope

from arco.core.errors import AlreadyExists, Conflict, InvalidInput, NotFound, StaleBase
from arco.domains.catalog import commands, queries
from arco.domains.catalog.commands import DropCatalog, DropSchema, DropTable, UpdateCatalog, UpdateSchema, UpdateTable
from arco.domains.catalog.errors import NotEmpty, ReservedName
from arco.domains.catalog.events import NamespaceCreated
from arco.domains.catalog.rules import ColumnSpec, etag
from arco.domains.catalog.tables import CATALOGS, COLUMNS, NAMESPACES, TABLES
from arco.kernel.envelope import Unit
from arco.kernel.records import COMMITS, OBJECT_HISTORY

TABLE: dict[str, Any] = {"catalog": "analytics", "schema": "sales", "name": "orders"}


async def test_the_first_namespace_makes_default_and_the_first_table_the_third_version():
    desk = Desk()
    namespace = await desk.schema("sales", None)
    assert desk.versions == 2
    default = await queries.get_catalog(await desk.workspace.head(), "default")
    assert default.description is None
    assert namespace.catalog_id == default.id
    await desk.table(catalog=None)
    assert desk.versions == 3
    assert [len(unit.events) for unit in desk.workspace.submitted] == [1, 1, 1]


async def test_a_second_namespace_finds_default_there():
    desk = Desk()
    await desk.schema("a", None)
    await desk.schema("b", None)
    assert desk.versions == 3


async def test_a_refused_validation_leaves_no_stray_default():
    desk = Desk()
    with pytest.raises(InvalidInput):
        await desk.schema("a/b", None)
    with pytest.raises(NotFound):
        await desk.table(catalog=None)
    with pytest.raises(NotFound):
        await desk.table(catalog="default")
    assert desk.workspace.snapshots == []


async def test_default_is_not_made_for_a_schema_of_it():
    desk = Desk()
    with pytest.raises(NotFound) as refused:
        await desk.schema("sales", "default")
    assert refused.value.message == "Catalog not found: default"


async def test_a_lost_race_for_default_does_not_hurt():
    desk, rival = Desk(), Desk(seed=8)
    rival.workspace = desk.workspace
    rival.clerk = msgspec.structs.replace(rival.clerk, desk=desk.workspace, reader=desk.workspace)

    async def sooner():
        await rival.schema("other", None)

    desk.workspace.before_submit.append(sooner)
    row = await desk.schema("sales", None, key=KEY)
    assert (await desk.schema("sales", None, key=KEY)).id == row.id
    head = await desk.workspace.head()
    assert head is not None
    assert head.count(CATALOGS) == 1
    assert {each.name for each in (await queries.list_schemas(head, "default", limit=9, after=None)).rows} == {
        "sales",
        "other",
    }


@pytest.mark.parametrize("key", [None, KEY])
async def test_a_second_create_of_the_same_name_is_refused_in_the_contracts_words(key):
    desk = Desk()
    await desk.stand()
    for attempt, message in (
        (desk.catalog(key=key), "catalog already exists: analytics"),
        (desk.schema(key=key), "namespace already exists: sales"),
        (desk.table(key=key), "table already exists: analytics.sales.orders"),
    ):
        with pytest.raises(AlreadyExists) as refused:
            await attempt
        assert refused.value.message == message


@pytest.mark.parametrize("key", [None, KEY])
async def test_a_missing_parent_is_told_in_the_contracts_words(key):
    desk = Desk()
    await desk.catalog()
    for attempt, message in (
        (desk.schema("s", "nope", key=key), "Catalog not found: nope"),
        (desk.table(catalog="nope", key=key), "Catalog not found: nope"),
        (desk.table(schema="nope", key=OTHER_KEY if key else None), "schema not found: nope"),
        (desk.table(catalog=None, schema="nope", key=key), "Namespace not found: nope"),
    ):
        with pytest.raises(NotFound) as refused:
            await attempt
        assert refused.value.message == message


async def test_the_same_key_and_body_twice_is_one_publication_and_one_id():
    desk = Desk()
    first = await desk.catalog(key=KEY)
    again = await desk.catalog(key=KEY)
    assert again == first
    assert desk.versions == 1
    assert len(desk.workspace.submitted) == 1


async def test_a_key_decided_between_reading_and_deciding_is_answered_with_the_winner():
    desk = Desk()
    rows = []

    async def sooner():
        rows.append(await desk.catalog(key=KEY))

    desk.workspace.before_submit.append(sooner)
    assert await desk.catalog(key=KEY) == rows[0]
    assert desk.versions == 1


async def test_the_same_key_with_another_body_is_refused():
    desk = Desk()
    await desk.catalog(key=KEY)
    with pytest.raises(Conflict) as refused:
        await desk.catalog("other", key=KEY)
    assert refused.value.message == "Idempotency-Key already used with different request body"


async def test_the_same_key_with_another_body_is_refused_by_the_fold_too():
    desk = Desk()

    async def sooner():
        await desk.catalog(key=KEY)

    desk.workspace.before_submit.append(sooner)
    with pytest.raises(Conflict, match="different request body"):
        await desk.catalog("other", key=KEY)


async def test_a_key_of_another_operation_is_another_key():
    desk = Desk()
    await desk.catalog(key=KEY)
    await desk.schema(key=KEY)
    await desk.table(key=KEY)
    assert desk.versions == 3


async def test_a_recorded_refusal_is_replayed_although_its_cause_is_gone():
    desk = Desk()
    await desk.catalog()
    with pytest.raises(AlreadyExists):
        await desk.catalog(key=KEY)
    await commands.drop_catalog(desk.clerk, DropCatalog(name="analytics"))
    with pytest.raises(AlreadyExists) as refused:
        await desk.catalog(key=KEY)
    assert refused.value.message == "catalog already exists: analytics"
    await desk.catalog(key=OTHER_KEY)


async def test_a_recorded_missing_parent_is_replayed_although_it_is_there_now():
    desk = Desk()
    with pytest.raises(NotFound):
        await desk.schema(key=KEY)
    await desk.catalog()
    with pytest.raises(NotFound) as refused:
        await desk.schema(key=KEY)
    assert refused.value.message == "Catalog not found: analytics"
    await desk.schema()


async def test_a_replay_shows_the_object_as_it_is_now():
    desk = Desk()
    await desk.catalog(key=KEY)
    await commands.update_catalog(desk.clerk, UpdateCatalog(name="analytics", new_name="b", description="later"))
    again = await desk.catalog(key=KEY)
    assert (again.name, again.description) == ("b", "later")


async def test_a_replay_whose_object_is_gone_is_a_conflict():
    desk = Desk()
    await desk.stand()
    await desk.table("t", key=KEY)
    await commands.drop_table(desk.clerk, DropTable(**{**TABLE, "name": "t"}))
    with pytest.raises(Conflict) as refused:
        await desk.table("t", key=KEY)
    assert refused.value.message == "Cached table not found: analytics.sales.t"


async def test_a_parent_dropped_between_reading_and_deciding_is_not_found():
    desk = Desk()
    await desk.catalog()

    async def sooner():
        await commands.drop_catalog(desk.clerk, DropCatalog(name="analytics"))

    desk.workspace.before_submit.append(sooner)
    with pytest.raises(NotFound, match="Catalog not found: analytics"):
        await desk.schema()


async def test_a_created_row_is_answered_exactly_as_it_is_stored():
    desk = Desk()
    await desk.catalog(properties={"owner": "me"})
    schema = await desk.schema(description="d", properties={"a": "b"})
    table = await desk.table("t", "x", "y", location="gs://lake/t", properties={"k": "v"})
    head = await desk.workspace.head()
    assert head is not None
    assert await queries.get_schema(head, "analytics", "sales") == schema
    assert await queries.get_table(head, "analytics", "sales", "t") == table
    await desk.schema("n", None)
    assert await queries.default_namespace(await desk.workspace.head(), "n") is not None


async def test_changed_rows_are_answered_exactly_as_they_are_stored():
    desk = Desk()
    await desk.stand()
    catalog = await commands.update_catalog(desk.clerk, UpdateCatalog(name="analytics", description="x"))
    catalog = await commands.update_catalog(desk.clerk, UpdateCatalog(name="analytics", new_name="b"))
    schema = await commands.update_schema(
        desk.clerk, UpdateSchema(catalog="b", name="sales", new_name="s", properties={"a": "1"})
    )
    table = await commands.update_table(
        desk.clerk,
        UpdateTable(
            catalog="b",
            schema="s",
            name="orders",
            new_name="o",
            description="d",
            location="x/y",
            format="parquet",
            columns=[ColumnSpec(name="new", data_type="INT")],
        ),
    )
    head = await desk.workspace.head()
    assert await queries.get_catalog(head, "b") == catalog
    assert await queries.get_schema(head, "b", "s") == schema
    assert await queries.get_table(head, "b", "s", "o") == table
    assert table.row_version == 3
    assert len(desk.workspace.submitted[-1].events) == 2


async def test_updated_at_advances_although_the_clock_does_not():
    desk = Desk()
    table = await desk.stand()
    changed = await commands.update_table(desk.clerk, UpdateTable(**TABLE, description="new"))
    assert changed.updated_at == table.updated_at + 1
    assert changed.created_at == table.created_at


async def test_a_change_that_changes_nothing_writes_nothing():
    desk = Desk()
    table = await desk.stand()
    columns = [ColumnSpec(name=name, data_type="BIGINT") for name in ("id", "note")]
    same = UpdateTable(**TABLE, new_name="orders", description=None, format="DELTA", columns=columns)
    assert await commands.update_table(desk.clerk, same) == table
    assert desk.versions == 3


async def test_renaming_a_schema_and_a_catalog_keeps_tables_reachable():
    desk = Desk()
    table = await desk.stand()
    await commands.update_schema(desk.clerk, UpdateSchema(catalog="analytics", name="sales", new_name="s"))
    await commands.update_catalog(desk.clerk, UpdateCatalog(name="analytics", new_name="c"))
    head = await desk.workspace.head()
    assert await queries.get_table(head, "c", "s", "orders") == table
    with pytest.raises(NotFound, match="Catalog not found: analytics"):
        await queries.get_table(head, "analytics", "sales", "orders")


async def test_a_rename_onto_a_taken_name_is_refused_early_and_late():
    desk = Desk()
    await desk.stand()
    rename = UpdateTable(**TABLE, new_name="b")

    async def sooner():
        await desk.table("b")

    desk.workspace.before_submit.append(sooner)
    for _ in ("late", "early"):
        with pytest.raises(AlreadyExists, match=r"table already exists: analytics\.sales\.b"):
            await commands.update_table(desk.clerk, rename)


async def test_default_cannot_be_renamed_to_or_from():
    desk = Desk()
    await desk.catalog()
    await desk.schema("n", None)
    for old, new in (("default", "b"), ("analytics", "default")):
        with pytest.raises(ReservedName):
            await commands.update_catalog(desk.clerk, UpdateCatalog(name=old, new_name=new))


async def test_columns_keep_their_ids_by_id_and_by_name():
    desk = Desk()
    await desk.stand()
    head = await desk.workspace.head()
    assert head is not None
    first, second = await head.scan(COLUMNS)
    changed = await commands.update_table(
        desk.clerk,
        UpdateTable(
            **TABLE,
            columns=[
                ColumnSpec(name="added", data_type="INT"),
                ColumnSpec(name="note", data_type="STRING"),
                ColumnSpec(name="key", data_type="BIGINT", id=first.id),
            ],
        ),
    )
    head = await desk.workspace.head()
    assert head is not None
    added, note, key = await head.scan(COLUMNS)
    assert (note.id, note.data_type, key.id, key.name) == (second.id, "STRING", first.id, "key")
    assert added.id not in (first.id, second.id)
    assert [column["id"] for column in msgspec.json.decode(changed.columns_json)] == [added.id, note.id, key.id]


@pytest.mark.parametrize("ids", [["unknown"], ["known", "known"]])
async def test_a_column_id_that_is_not_the_tables_or_is_used_twice_is_refused(ids):
    desk = Desk()
    await desk.stand()
    head = await desk.workspace.head()
    assert head is not None
    known = (await head.scan(COLUMNS))[0].id
    columns = [
        ColumnSpec(name=f"c{index}", data_type="INT", id=known if id_ == "known" else "x")
        for index, id_ in enumerate(ids)
    ]
    with pytest.raises(InvalidInput, match=r"columns\[\d\]\.id"):
        await commands.update_table(desk.clerk, UpdateTable(**TABLE, columns=columns))


async def test_a_change_to_delta_checks_the_location_that_is_there():
    desk = Desk()
    await desk.stand()
    await desk.table("p", format="parquet", location="a/../b")
    with pytest.raises(InvalidInput, match="location"):
        await commands.update_table(desk.clerk, UpdateTable(**{**TABLE, "name": "p"}, format="delta"))


async def test_a_change_that_lost_a_race_is_made_again_on_the_present_row():
    desk = Desk()
    await desk.stand()

    async def sooner():
        await commands.update_table(desk.clerk, UpdateTable(**TABLE, description="theirs"))

    desk.workspace.before_submit.append(sooner)
    row = await commands.update_table(desk.clerk, UpdateTable(**TABLE, properties={"mine": "1"}))
    assert (row.description, row.properties_json, row.row_version) == ("theirs", '{"mine":"1"}', 3)


async def test_a_change_that_keeps_losing_gives_up_as_a_conflict():
    desk = Desk()
    await desk.stand()
    row_version = 1

    async def sooner():
        nonlocal row_version
        row_version += 1
        await commands.update_table(desk.clerk, UpdateTable(**TABLE, description=str(row_version)))

    async def again():
        queue = list(desk.workspace.before_submit)
        desk.workspace.before_submit.clear()
        await sooner()
        desk.workspace.before_submit.extend(queue)

    desk.workspace.before_submit.extend([again] * 8)
    with pytest.raises(Conflict, match="changed by others"):
        await commands.update_table(desk.clerk, UpdateTable(**TABLE, description="mine"))


async def test_if_match_holds_against_the_present_row_and_against_a_race():
    desk = Desk()
    table = await desk.stand()
    current = etag(table.id, table.row_version)
    with pytest.raises(StaleBase):
        await commands.update_table(desk.clerk, UpdateTable(**TABLE, description="x", if_match='"other.1"'))

    async def sooner():
        await commands.update_table(desk.clerk, UpdateTable(**TABLE, description="theirs"))

    desk.workspace.before_submit.append(sooner)
    with pytest.raises(StaleBase):
        await commands.update_table(desk.clerk, UpdateTable(**TABLE, description="mine", if_match=current))
    desk.workspace.before_submit.append(sooner)
    await commands.update_table(desk.clerk, UpdateTable(**TABLE, description="mine", if_match="*"))


async def test_if_match_holds_for_drops_too():
    desk = Desk()
    table = await desk.stand()
    current = etag(table.id, table.row_version)

    async def sooner():
        await commands.update_table(desk.clerk, UpdateTable(**TABLE, description="theirs"))

    desk.workspace.before_submit.append(sooner)
    with pytest.raises(StaleBase):
        await commands.drop_table(desk.clerk, DropTable(**TABLE, if_match=current))
    await commands.drop_table(desk.clerk, DropTable(**TABLE))


async def test_of_two_drops_of_one_table_one_finds_nothing():
    desk = Desk()
    await desk.stand()

    async def sooner():
        await commands.drop_table(desk.clerk, DropTable(**TABLE))

    desk.workspace.before_submit.append(sooner)
    with pytest.raises(NotFound, match=r"Table not found: analytics\.sales\.orders"):
        await commands.drop_table(desk.clerk, DropTable(**TABLE))


async def test_what_still_holds_something_is_not_dropped_and_the_head_stays():
    desk = Desk()
    await desk.stand()
    with pytest.raises(NotEmpty) as refused:
        await commands.drop_schema(desk.clerk, DropSchema(catalog="analytics", name="sales"))
    assert refused.value.message == "namespace 'sales' contains tables, cannot delete"
    with pytest.raises(NotEmpty) as refused:
        await commands.drop_catalog(desk.clerk, DropCatalog(name="analytics"))
    assert refused.value.message == "catalog 'analytics' contains schemas, cannot delete"
    assert desk.versions == 3


async def test_everything_can_be_dropped_from_the_leaves_up():
    desk = Desk()
    await desk.stand()
    await commands.drop_table(desk.clerk, DropTable(**TABLE))
    await commands.drop_schema(desk.clerk, DropSchema(catalog="analytics", name="sales"))
    await commands.drop_catalog(desk.clerk, DropCatalog(name="analytics"))
    head = await desk.workspace.head()
    assert head is not None
    tables: list[Any] = [CATALOGS, NAMESPACES, TABLES, COLUMNS]
    assert [head.count(table) for table in tables] == [0, 0, 0, 0]
    operations = [row.operation for row in await head.scan(COMMITS)]
    assert operations == [
        "catalog_created",
        "namespace_created",
        "table_registered",
        "table_dropped",
        "namespace_deleted",
        "catalog_deleted",
    ]
    assert head.count(OBJECT_HISTORY) == 6


async def test_changes_in_an_empty_workspace_are_not_found_and_write_nothing():
    desk = Desk()
    for attempt in (
        commands.update_catalog(desk.clerk, UpdateCatalog(name="c", description="x")),
        commands.drop_catalog(desk.clerk, DropCatalog(name="c")),
        commands.drop_schema(desk.clerk, DropSchema(catalog=None, name="n")),
        commands.update_table(desk.clerk, UpdateTable(catalog=None, schema="n", name="t", description="x")),
        commands.drop_table(desk.clerk, DropTable(catalog=None, schema="n", name="t")),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert desk.workspace.snapshots == []


async def test_two_level_writes_mean_default_only():
    desk = Desk()
    await desk.stand()
    with pytest.raises(NotFound, match="Namespace not found: sales"):
        await desk.table("t", catalog=None)
    with pytest.raises(NotFound, match="Namespace not found: sales"):
        await commands.drop_schema(desk.clerk, DropSchema(catalog=None, name="sales"))


async def test_schemas_without_catalog_id_are_served_renamed_and_patched_as_children_of_default():
    desk = Desk()
    old = an_envelope(NamespaceCreated(namespace=a_namespace("old", catalog_id=None)))
    desk.workspace.fold([Unit((old,))])
    changed = await commands.update_schema(
        desk.clerk, UpdateSchema(catalog="default", name="old", new_name="new", description="d")
    )
    assert (changed.catalog_id, changed.name, changed.description) == (None, "new", "d")
    head = await desk.workspace.head()
    assert await queries.get_schema(head, "default", "new") == changed
    assert await queries.any_namespace(head, "new") == changed
    assert head is not None
    assert head.count(CATALOGS) == 0
    await desk.table("t", catalog=None, schema="new")
    head = await desk.workspace.head()
    assert head is not None
    assert [row.name for row in await head.scan(CATALOGS)] == ["default"]
    with pytest.raises(AlreadyExists):
        await desk.schema("new", None)
