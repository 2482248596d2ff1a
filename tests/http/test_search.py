"""Search over HTTP: what is found, in which order, page after page, and what a search costs in object operations."""

import asyncio
from typing import Any

import httpx
import pytest

from arco.storage.counting import sequential_rounds

from .world import a_table, a_world, on_disk, problem

TABLES = "/catalogs/analytics/schemas/sales/tables"


async def a_catalog(api: httpx.AsyncClient) -> None:
    """A handful of tables whose words meet."""
    await a_table(api, "orders", description="Every purchase, one line each")
    columns = [{"name": "customer_id", "data_type": "BIGINT"}, {"name": "placedAt", "data_type": "TIMESTAMP"}]
    await a_table(api, "orders_daily", columns=columns, properties={"tags": "gold, Finance"})
    await a_table(api, "OrdersArchive", description="older daily orders")
    await a_table(api, "größe", description="Maße")
    await a_table(api, "shipments", description="what left for orders", properties={"tag.domain": "logistics"})


async def found(api: httpx.AsyncClient, q: str, **query: Any) -> list[str]:
    """Full names of the results."""
    answer = await api.get("/search", params={"q": q, **query})
    assert answer.status_code == 200, answer.text
    return [one["full_name"].removeprefix("analytics.") for one in answer.json()["results"]]


async def test_results_come_by_rank_and_show_where_the_words_are(api):
    await a_catalog(api)
    answer = (await api.get("/search", params={"q": "orders"})).json()
    shown = [(one["name"], one["rank"], one["matches"]) for one in answer["results"]]
    assert shown == [
        ("orders", "exact_name", [{"field": "name", "text": "orders"}]),
        ("orders_daily", "name_prefix", [{"field": "name", "text": "orders_daily"}]),
        ("OrdersArchive", "name_prefix", [{"field": "name", "text": "OrdersArchive"}]),
        ("shipments", "description", [{"field": "description", "text": "orders"}]),
    ]
    assert answer["index"] == "ready"
    assert answer["next_cursor"] is None


@pytest.mark.parametrize(
    ("q", "names"),
    [
        ("daily", ["sales.orders_daily", "sales.OrdersArchive"]),
        ("archive", ["sales.OrdersArchive"]),
        ("orders dai", ["sales.orders_daily", "sales.OrdersArchive"]),
        ("daily orders", ["sales.orders_daily", "sales.OrdersArchive"]),
        ("ord daily", []),  # only the last word may be a beginning
        ("orders customer", ["sales.orders_daily"]),  # a table is found by its columns
        ("placedat", ["sales.orders_daily"]),
        ("GRÖSSE", ["sales.größe"]),
        ("grö", ["sales.größe"]),
        ("finance", ["sales.orders_daily"]),
        ("logistics", ["sales.shipments"]),
        ("sal", ["sales"]),
        ("purchase line", ["sales.orders"]),
        ("nothing", []),
    ],
)
async def test_words_are_found_wherever_they_stand(api, q, names):
    await a_catalog(api)
    assert await found(api, q) == names


async def test_columns_are_results_when_they_are_asked_for(api):
    await a_catalog(api)
    (result,) = (await api.get("/search", params={"q": "customer", "type": "column"})).json()["results"]
    assert result["full_name"] == "analytics.sales.orders_daily.customer_id"
    assert (result["type"], result["table"], result["rank"]) == ("column", "orders_daily", "name_prefix")
    assert await found(api, "orders", type="namespace") == []


async def test_a_search_sees_the_change_that_was_just_acknowledged_and_what_is_gone_no_more(api):
    await a_catalog(api)
    assert (await api.patch(f"{TABLES}/orders", json={"name": "invoices"})).status_code == 200
    assert await found(api, "invoices") == ["sales.invoices"]
    assert "sales.orders" not in await found(api, "orders")
    changed = await api.patch(f"{TABLES}/invoices", json={"columns": [{"name": "vat", "data_type": "INT"}]})
    assert changed.status_code == 200
    assert await found(api, "vat") == ["sales.invoices"]
    assert (await api.delete(f"{TABLES}/invoices")).status_code == 204
    assert await found(api, "vat") == []
    # The names above are not in the index: renaming a schema costs its own postings, and everything is found there.
    assert (await api.patch("/catalogs/analytics/schemas/sales", json={"name": "shop"})).status_code == 200
    assert await found(api, "daily") == ["shop.orders_daily", "shop.OrdersArchive"]
    assert await found(api, "sales") == []


async def test_a_search_can_be_bound_to_a_catalog(api):
    await a_catalog(api)
    await api.post("/catalogs", json={"name": "other"})
    await api.post("/catalogs/other/schemas", json={"name": "orders"})
    assert await found(api, "orders", catalog="other") == ["other.orders"]
    assert await found(api, "customer", catalog="other") == []
    assert await found(api, "customer", catalog="analytics") == ["sales.orders_daily"]
    assert problem(await api.get("/search", params={"q": "x", "catalog": "nope"}))[0] == 404


async def test_pages_are_of_one_moment_and_cursors_of_one_search(world, api):
    await a_catalog(api)
    names: list[str] = []
    query = {"q": "o", "limit": "1"}
    while True:
        page = (await api.get("/search", params=query)).json()
        names += [one["name"] for one in page["results"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
        await a_table(api, f"o{len(names)}")
    assert sorted(names) == ["OrdersArchive", "orders", "orders_daily", "shipments"]
    cursor = (await api.get("/search", params={"q": "o", "limit": "1"})).json()["next_cursor"]
    for changed in ({"q": "p"}, {"type": "column"}, {"catalog": "analytics"}):
        assert problem(await api.get("/search", params={"q": "o", "cursor": cursor, **changed})) == (
            400,
            "BAD_REQUEST",
            "invalid cursor",
        )


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({}, "q is missing: the words to look for"),
        ({"q": ""}, "q must hold a letter or a digit"),
        ({"q": "!? --"}, "q must hold a letter or a digit"),
        ({"q": "x" * 257}, "q must not be longer than 256 characters"),
        ({"q": "a b c d e f g h i"}, "q must not have more than 8 words"),
        ({"q": "x", "type": "view"}, "type must be a comma-separated list of namespace, table, column"),
        ({"q": "x", "type": ""}, "type must be a comma-separated list of namespace, table, column"),
        ({"q": "x", "limit": "0"}, "limit must be greater than 0"),
        ({"q": "x", "cursor": "AAAA"}, "invalid cursor"),
        ({"q": "x", "cursor": "eyJrZXkiOiJbWzksMCwwLFwiXCIsXCJcIixcIlwiXSxcIlwiXSJ9"}, "invalid cursor"),
    ],
)
async def test_what_cannot_be_looked_for_is_refused_with_the_reason(api, query, message):
    await a_table(api)
    status, code, text = problem(await api.get("/search", params=query))
    assert (status, code) == (400, "BAD_REQUEST")
    assert message in text


async def test_a_workspace_without_anything_has_no_results(api):
    assert (await api.get("/search", params={"q": "x"})).json() == {
        "results": [],
        "next_cursor": None,
        "index": "ready",
    }


async def test_a_warm_search_asks_only_whether_there_is_a_newer_manifest_and_a_known_answer_is_304(world, api):
    await a_catalog(api)
    await world.quiet()
    answer = await api.get("/search", params={"q": "orders dai"})
    world.store.forget()
    again = await api.get("/search", params={"q": "orders dai"})
    assert again.content == answer.content
    assert [operation.name for operation in world.store.operations] == ["get"]
    same = await api.get("/search", params={"q": "orders dai"}, headers={"If-None-Match": answer.headers["etag"]})
    assert same.status_code == 304


@pytest.mark.parametrize("q", ["orders", "orders dai", "customer"])
async def test_a_cold_search_takes_few_rounds_and_lists_nothing(tmp_path, q):
    async with a_world(storage=on_disk(tmp_path)) as world, world.client() as api:
        await a_catalog(api)
        await world.quiet()
    async with a_world(storage=on_disk(tmp_path)) as world, world.client() as api:
        assert await found(api, q)
        assert {operation.name for operation in world.store.operations} <= {"get", "head", "settle"}
        assert sequential_rounds(world.store.operations) <= 8


async def test_a_create_reads_and_writes_as_many_objects_as_before_there_was_an_index(world, api):
    await a_catalog(api)
    await world.quiet()
    await a_table(api, "one")
    await asyncio.sleep(0)
    world.store.forget()
    body = {"name": "two", "columns": [{"name": f"a_b_{n}", "data_type": "INT"} for n in range(20)]}
    assert (await api.post(TABLES, json=body)).status_code == 201
    assert not [each for each in world.store.operations if "token_postings" in each.key]


async def test_names_that_begin_with_the_words_side_by_side_come_first(api):
    for name in ("daily_copy_of_orders", "orders_a_daily", "orders_daily", "OrdersDaily2", "daily_orders"):
        await a_table(api, name)
    assert await found(api, "orders daily") == [
        "sales.orders_daily",
        "sales.OrdersDaily2",
        "sales.daily_orders",
        "sales.orders_a_daily",
        "sales.daily_copy_of_orders",
    ]
    pages = [await found(api, "orders daily", limit=2)]
    answer = (await api.get("/search", params={"q": "orders daily", "limit": 2})).json()
    while answer["next_cursor"] is not None:
        query = {"q": "orders daily", "limit": 2, "cursor": answer["next_cursor"]}
        answer = (await api.get("/search", params=query)).json()
        pages.append([one["full_name"].removeprefix("analytics.") for one in answer["results"]])
    assert [name for page in pages for name in page] == await found(api, "orders daily")
