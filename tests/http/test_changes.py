"""Changes, history, outcomes, names and pages over HTTP, on the whole server: what the contract does not have."""

import asyncio
import base64
import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from .world import World, a_table, problem

TABLES = "/catalogs/analytics/schemas/sales/tables"
ORDERS = f"{TABLES}/orders"
OBJECTS = ["/catalogs/analytics", "/catalogs/analytics/schemas/sales", ORDERS]


@pytest.mark.parametrize("path", OBJECTS)
async def test_if_match_lets_the_first_change_through_and_refuses_the_second(api, path):
    await a_table(api)
    etag = (await api.get(path)).headers["etag"]
    first = await api.patch(path, json={"description": "one"}, headers={"If-Match": etag})
    assert (first.status_code, first.json()["description"]) == (200, "one")
    for again in (
        await api.patch(path, json={"description": "two"}, headers={"If-Match": etag}),
        await api.patch(path, json={"name": "two"}, headers={"If-Match": etag}),
        await api.delete(path, headers={"If-Match": etag}),
    ):
        assert problem(again)[:2] == (412, "PRECONDITION_FAILED")
        assert again.json()["details"]["etag"] == first.headers["etag"]
    assert (await api.get(path)).json()["description"] == "one"
    assert (await api.patch(path, json={"description": "3"}, headers={"If-Match": "*"})).status_code == 200


@pytest.mark.parametrize("path", OBJECTS)
async def test_of_concurrent_changes_with_one_etag_exactly_one_is_made(api, path):
    await a_table(api)
    etag = (await api.get(path)).headers["etag"]
    asked = [api.patch(path, json={"description": str(n)}, headers={"If-Match": etag}) for n in range(10)]
    answers = await asyncio.gather(*asked)
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 9
    (won,) = [answer for answer in answers if answer.status_code == 200]
    assert (await api.get(path)).json() == won.json()


async def test_concurrent_changes_without_a_condition_are_all_made_one_after_the_other(api):
    await a_table(api)
    asked = [api.patch(ORDERS, json={"properties": {f"p{n}": str(n)}}) for n in range(8)]
    assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}
    assert (await api.get(ORDERS)).json()["properties"] == {f"p{n}": str(n) for n in range(8)}
    assert (await api.get(ORDERS)).headers["etag"].endswith('.9"')


async def test_of_concurrent_renames_to_one_name_exactly_one_wins(api):
    for number in range(6):
        await a_table(api, f"t{number}")
    asked = [api.patch(f"{TABLES}/t{number}", json={"name": "wanted"}) for number in range(6)]
    answers = await asyncio.gather(*asked)
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 5
    names = [one["name"] for one in (await api.get(TABLES)).json()["tables"]]
    assert names.count("wanted") == 1
    assert len(names) == 6


async def test_a_drop_and_a_create_inside_at_once_never_leave_an_orphan(api):
    """Either the schema is gone and the table refused, or the table is there and the drop refused."""
    for number in range(12):
        schema = f"/catalogs/analytics/schemas/s{number}"
        await a_table(api)
        await api.post("/catalogs/analytics/schemas", json={"name": f"s{number}"})
        asked = [api.delete(schema), api.post(f"{schema}/tables", json={"name": "t", "columns": []})]
        if number % 2:
            asked.reverse()
        codes = {answer.request.method: answer.status_code for answer in await asyncio.gather(*asked)}
        assert codes in ({"DELETE": 204, "POST": 404}, {"DELETE": 400, "POST": 201})
        assert (await api.get(f"{schema}/tables")).status_code == (404 if codes["DELETE"] == 204 else 200)


@pytest.mark.parametrize("path", OBJECTS)
async def test_a_change_that_changes_nothing_writes_nothing_and_keeps_the_etag(world: World, api, path):
    await a_table(api, description="d", properties={"a": "b"})
    await api.patch(path, json={"description": "d", "properties": {"a": "b"}})
    before = await api.get(path)
    world.store.forget()
    name = before.json()["name"]
    for body in ({}, {"name": name}, {"description": "d"}, {"properties": {"a": "b", "gone": None}}):
        same = await api.patch(path, json=body)
        assert (same.status_code, same.headers["etag"]) == (200, before.headers["etag"])
        assert same.json() == before.json()
    assert not [operation for operation in world.store.operations if operation.sent_bytes]


async def test_renaming_parents_moves_everything_in_them_and_keeps_ids_and_cursors(api):
    for name in ("a", "b", "orders"):
        await a_table(api, name)
    ids = {one["name"]: one["id"] for one in (await api.get(TABLES)).json()["tables"]}
    await api.patch("/catalogs/analytics", json={"name": "lake"})
    await api.patch("/catalogs/lake/schemas/sales", json={"name": "shop"})
    moved = (await api.get("/catalogs/lake/schemas/shop/tables")).json()["tables"]
    assert {one["name"]: one["id"] for one in moved} == ids
    assert {(one["catalog"], one["schema"]) for one in moved} == {("lake", "shop")}
    for path in OBJECTS:
        assert (await api.get(path)).status_code == 404
    await a_table(api)
    assert (await api.get(ORDERS)).json()["id"] not in ids.values()


async def test_pages_show_one_moment_while_the_catalog_changes(api):
    for number in range(10):
        await a_table(api, f"t{number}")
    seen: list[str] = []
    cursor = None
    while True:
        page = (await api.get(TABLES, params={"limit": 3, **({"cursor": cursor} if cursor else {})})).json()
        seen += [one["name"] for one in page["tables"]]
        cursor = page.get("next_cursor")
        if cursor is None:
            break
        # Between two pages: one is dropped, one renamed, one comes in the middle.
        await api.delete(f"{TABLES}/t{10 - len(seen)}")
        await api.patch(f"{TABLES}/t{9 - len(seen) // 2}", json={"name": f"zz{len(seen)}"})
        await a_table(api, f"t{len(seen)}_new")
    assert seen == [f"t{number}" for number in range(10)]
    assert {one["name"] for one in (await api.get(TABLES)).json()["tables"]} != set(seen)


async def test_a_cursor_is_bound_to_its_list_and_cannot_be_made_up(api):
    for name in ("a", "b"):
        await a_table(api, name)
        await api.post("/catalogs", json={"name": name})
    cursor = (await api.get(TABLES, params={"limit": 1})).json()["next_cursor"]
    assert (await api.get("/catalogs", params={"cursor": cursor})).status_code == 400
    forged = json.loads(base64.urlsafe_b64decode(cursor + "=="))
    forged["m"] = f"{0:020d}"
    text = base64.urlsafe_b64encode(json.dumps(forged).encode()).decode().rstrip("=")
    assert problem(await api.get(TABLES, params={"cursor": text})) == (400, "BAD_REQUEST", "invalid cursor")


async def test_an_etag_of_a_list_page_is_that_of_its_moment(api):
    await a_table(api, "a")
    await a_table(api, "b")
    first = await api.get(TABLES, params={"limit": 1})
    assert (await api.get(TABLES, headers={"If-None-Match": first.headers["etag"]})).status_code == 304
    await a_table(api, "c")
    assert (await api.get(TABLES, headers={"If-None-Match": first.headers["etag"]})).status_code == 200
    following = await api.get(TABLES, params={"cursor": first.json()["next_cursor"]})
    assert following.headers["etag"] == first.headers["etag"]
    assert [one["name"] for one in following.json()["tables"]] == ["b"]


async def test_history_tells_every_change_newest_first_under_all_names_and_after_the_drop(api):
    table_id = (await a_table(api)).json()["id"]
    await api.patch(ORDERS, json={"description": "d"})
    await api.patch(ORDERS, json={"name": "purchases", "properties": {"a": "b"}})
    history = (await api.get(f"{TABLES}/purchases/history")).json()["history"]
    told = [(one["operation"], one["object_name"]) for one in history]
    assert told == [("table_renamed", "purchases"), ("table_updated", "orders"), ("table_registered", "orders")]
    assert {one["object_id"] for one in history} == {table_id}
    assert {one["actor"] for one in history} == {"api:local"}
    await api.delete(f"{TABLES}/purchases")
    assert (await api.get(f"{TABLES}/purchases/history")).status_code == 404
    gone = (await api.get("/history", params={"object_id": table_id, "limit": 1})).json()
    assert [one["operation"] for one in gone["history"]] == ["table_dropped"]
    older = (await api.get("/history", params={"object_id": table_id, "cursor": gone["next_cursor"]})).json()
    assert [one["operation"] for one in older["history"]] == [operation for operation, _ in told]
    versions = [one["snapshot_version"] for one in (await api.get("/history")).json()["history"]]
    assert versions == sorted(versions, reverse=True)
    assert len(set(versions)) == len(versions)


async def test_every_manifest_of_the_history_can_be_read_as_it_was(api):
    await a_table(api)
    await api.patch(ORDERS, json={"name": "purchases"})
    await api.delete(f"{TABLES}/purchases")
    history = (await api.get("/history")).json()["history"]
    names = []
    for one in reversed(history):
        sql = {"sql": "SELECT name FROM system.catalog.tables", "as_of": one["manifest_id"]}
        names.append([row["name"] for row in (await api.post("/query?format=json", json=sql)).json()])
    assert names == [[], [], ["orders"], ["purchases"], []]


async def ledger_ids(world: World) -> list[str]:
    """The unit ids of all ledger objects."""
    store = world.in_scope()
    found = []
    for info in await store.list_page("ledger/", limit=1_000):
        held = await store.get(info.key)
        assert held is not None
        for line in held.body.splitlines():
            event = json.loads(line)
            found.append(event.get("unit_id") or event["event_id"])
    return list(dict.fromkeys(found))


async def test_the_outcome_of_every_unit_is_told_by_its_event_id(world, api):
    await a_table(api)
    # A condition the api cannot refuse early: both units reach the fold, and the second is too late there.
    asked = [api.post("/catalogs", json={"name": "same"}) for _ in range(2)]
    assert sorted(answer.status_code for answer in await asyncio.gather(*asked)) == [201, 409]
    outcomes = [(await api.get(f"/outcomes/{one}")).json() for one in await ledger_ids(world)]
    assert [one["status"] for one in outcomes].count("rejected") == 1
    (refused,) = [one for one in outcomes if one["status"] == "rejected"]
    assert (refused["code"], refused["message"]) == ("already_exists", "catalog already exists: same")
    accepted = [one for one in outcomes if one["status"] == "accepted"]
    assert [one["subject"]["object_name"] for one in accepted] == ["analytics", "sales", "orders", "same"]
    assert problem(await api.get("/outcomes/nothing"))[:2] == (400, "BAD_REQUEST")


async def columns(api: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api.get(f"{ORDERS}?include=columns")).json()["columns"]
    return found


async def test_columns_are_added_renamed_reordered_retyped_and_removed(api):
    wanted = [{"name": name, "data_type": "INT"} for name in ("a", "b", "c")]
    await a_table(api, columns=wanted)
    a, b, c = await columns(api)
    assert [one["position"] for one in (a, b, c)] == [0, 1, 2]
    changed = [
        {"name": "c", "data_type": "BIGINT", "nullable": False},
        {"id": a["id"], "name": "renamed", "data_type": "INT", "description": "was a"},
        {"name": "new", "data_type": "DATE"},
    ]
    answer = await api.patch(ORDERS, json={"columns": changed})
    assert answer.status_code == 200
    found = await columns(api)
    assert found == answer.json()["columns"]
    assert [one["name"] for one in found] == ["c", "renamed", "new"]
    assert [one["position"] for one in found] == [0, 1, 2]
    assert [one["id"] for one in found][:2] == [c["id"], a["id"]]
    assert found[2]["id"] not in {a["id"], b["id"], c["id"]}
    assert (found[0]["data_type"], found[0]["nullable"]) == ("BIGINT", False)
    sql = {"sql": "SELECT name, ordinal FROM system.catalog.columns ORDER BY ordinal"}
    rows = (await api.post("/query?format=json", json=sql)).json()
    assert [(one["name"], one["ordinal"]) for one in rows] == [("c", 0), ("renamed", 1), ("new", 2)]
    assert (await api.get("/catalog/inventory")).json()["counts"]["columns"] == 3


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ([{"name": "a", "data_type": "INT"}] * 2, "columns[1].name repeats 'a'"),
        ([{"name": "", "data_type": "INT"}], "columns[0].name must not be empty"),
        ([{"name": "a", "data_type": " "}], "columns[0].data_type must not be empty"),
        ([{"name": "a\0", "data_type": "INT"}], "columns[0].name must not contain control characters"),
    ],
)
async def test_columns_that_cannot_be_are_refused_by_name_on_create_and_on_change(api, wanted, message):
    await a_table(api)
    for answer in (
        await api.post(TABLES, json={"name": "t", "columns": wanted}),
        await api.patch(ORDERS, json={"columns": wanted}),
    ):
        status, code, told = problem(answer)
        assert (status, code) == (400, "BAD_REQUEST")
        assert told.startswith(message)


async def test_a_column_id_of_another_table_is_refused(api):
    await a_table(api)
    await a_table(api, "other")
    foreign = (await api.get(f"{TABLES}/other?include=columns")).json()["columns"][0]["id"]
    refused = await api.patch(ORDERS, json={"columns": [{"id": foreign, "name": "x", "data_type": "INT"}]})
    assert refused.status_code == 400
    assert "columns[0].id" in refused.json()["message"]


async def test_properties_are_merged_cleared_bounded_and_text(api):
    await a_table(api, properties={"a": "1", "b": "2"})
    merged = await api.patch(ORDERS, json={"properties": {"b": None, "c": "3"}})
    assert merged.json()["properties"] == {"a": "1", "c": "3"}
    assert "properties" not in (await api.patch(ORDERS, json={"properties": None})).json()
    for wrong, status in (
        ({"properties": {"a": 1}}, 422),
        ({"properties": ["a"]}, 422),
        ({"properties": {"": "x"}}, 400),
        ({"properties": {"k": "v" * 20_000}}, 400),
        ({"properties": {f"k{n}": "v" for n in range(501)}}, 400),
    ):
        answer = await api.patch(ORDERS, json=wrong)
        assert answer.status_code == status, answer.text
        assert "properties" in answer.json()["message"]


BAD_NAMES = [
    *("", " ", " a", "a ", "a/b", "a\\b", ".", "..", "a\0b", "a\nb", "a\x7fb", "a\u0085b", "\ta"),
    *("a\u202eb", "x" * 256, "é" * 128),
]
CREATIONS = [
    *("/catalogs", "/catalogs/analytics/schemas", TABLES, "/namespaces", "/namespaces/sales/tables"),
]


@pytest.mark.parametrize("path", CREATIONS)
async def test_bad_names_are_400_naming_the_field_wherever_something_is_created(world, api, path):
    await a_table(api)
    await api.post("/namespaces", json={"name": "sales"})
    world.store.forget()
    for name in BAD_NAMES:
        status, code, message = problem(await api.post(path, json={"name": name, "columns": []}))
        assert (status, code) == (400, "BAD_REQUEST"), name
        assert message.startswith("name must not"), name
    assert not [operation for operation in world.store.operations if operation.sent_bytes]


@pytest.mark.parametrize("path", OBJECTS)
async def test_bad_names_are_400_naming_the_field_wherever_something_is_renamed(api, path):
    await a_table(api)
    for name in BAD_NAMES:
        status, code, message = problem(await api.patch(path, json={"name": name}))
        assert (status, code) == (400, "BAD_REQUEST"), name
        assert message.startswith("name must not"), name


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "a.b", "a b", "%2e", "ünï☃", "select", "a+b", "ñ̃", "-", "~"])
async def test_every_good_name_makes_a_round_trip_through_the_path(api, name):
    await api.post("/catalogs", json={"name": name})
    encoded = quote(name, safe="")
    catalog = f"/catalogs/{encoded}"
    assert (await api.get(catalog)).json()["name"] == name
    assert (await api.post(f"{catalog}/schemas", json={"name": name})).status_code == 201
    tables = f"{catalog}/schemas/{encoded}/tables"
    assert (await api.post(tables, json={"name": name, "columns": []})).status_code == 201
    assert (await api.get(f"{tables}/{encoded}")).json()["name"] == name
    assert (await api.delete(f"{tables}/{encoded}")).status_code == 204


async def test_names_differ_by_their_bytes(api):
    for name in ("sales", "Sales", "SALES", "é", "e\u0301"):
        assert (await api.post("/catalogs", json={"name": name})).status_code == 201
    listed = [one["name"] for one in (await api.get("/catalogs")).json()["catalogs"]]
    assert listed == sorted(["sales", "Sales", "SALES", "é", "e\u0301"], key=str.encode)


async def test_lone_surrogates_are_refused_as_no_utf_8(api):
    await a_table(api)
    for body in (b'{"name":"\\ud800"}', b'{"name":"\xff"}'):
        answer = await api.post("/catalogs", content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422)


async def test_a_list_shows_every_table_as_it_is_shown_alone(api):
    await a_table(api, "plain")
    full = {
        "name": "full",
        "description": "with everything",
        "location": "warehouse/full/",
        "format": "delta",
        "properties": {"owner": "ann"},
        "columns": [{"name": "id", "data_type": "BIGINT", "nullable": False, "description": "which"}],
    }
    assert (await api.post(TABLES, json=full)).status_code == 201
    assert (await api.post(TABLES, json={"name": "bare", "columns": []})).status_code == 201
    await api.patch(f"{TABLES}/bare", json={"description": "changed later"})
    for include in ("", "&include=columns"):
        listed = [page for first in (1, 2, 500) for page in [await _whole_list(api, f"limit={first}{include}")]]
        alone = [(await api.get(f"{TABLES}/{name}?{include}")).json() for name in ("bare", "full", "plain")]
        assert listed == [alone] * 3


async def _whole_list(api: httpx.AsyncClient, query: str) -> list[Any]:
    found, cursor = [], ""
    while True:
        page = (await api.get(f"{TABLES}?{query}{cursor}")).json()
        found += page["tables"]
        if "next_cursor" not in page:
            return found
        cursor = f"&cursor={page['next_cursor']}"
