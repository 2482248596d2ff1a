"""`arco search`: what it asks, page after page, and what it shows."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.clients.fake_api import Reply, Request, problem, running

from arco.cli.main import main

SEARCH = "GET /api/v1/search"


def a_result(name, *, kind="table", rank="name_prefix", matches=(("name", "orders_daily"),)):
    return {
        "type": kind,
        "id": name,
        "name": name,
        "full_name": f"shop.raw.{name}",
        "catalog": "shop",
        "schema": "raw",
        "rank": rank,
        "matches": [{"field": field, "text": text} for field, text in matches],
    }


def a_page(*results, cursor=None, index="ready"):
    return {"results": list(results), "next_cursor": cursor, "index": index}


@pytest.fixture
def api(monkeypatch):
    with running() as server:
        monkeypatch.setenv("ARCO_URL", server.url)
        yield server


@pytest.fixture
def run(capsys):
    def run(*argv):
        code = main(argv)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def asked(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}


def test_what_is_found_is_shown_with_where_the_words_are(api, run):
    api.routes[SEARCH] = Reply(
        200,
        a_page(
            a_result("orders", rank="exact_name", matches=[("name", "orders")]),
            a_result("sales", matches=[("column_description", "orders"), ("tag", "daily")]),
            a_result("orders_ns", kind="namespace", matches=[("name", "orders_ns"), ("name", "orders_ns")]),
        ),
    )
    code, out, _ = run("search", "orders", "daily", "--type", "table,schema", "--catalog", "shop")
    assert code == 0
    assert [line.split() for line in out.splitlines()[2:5]] == [
        ["shop.raw.orders", "table", "name"],
        ["shop.raw.sales", "table", "column", "description", "orders,", "tag", "daily"],
        ["shop.raw.orders_ns", "schema", "name", "orders_ns"],
    ]
    query = asked(api.seen[0])
    assert (query["q"], query["type"], query["catalog"]) == ("orders daily", "table,namespace", "shop")


def test_short_pages_are_gone_on_from_until_there_is_enough(api, run):
    pages = {
        None: a_page(cursor="one"),
        "one": a_page(a_result("a"), a_result("b"), cursor="two"),
        "two": a_page(a_result("c"), a_result("d"), cursor="three"),
    }
    api.routes[SEARCH] = lambda request: Reply(200, pages[asked(request).get("cursor")])
    code, out, _ = run("search", "orders", "--limit", "3", "--json")
    assert code == 0
    shown = json.loads(out)
    assert [one["name"] for one in shown["results"]] == ["a", "b", "c"]
    assert shown["more"] is True
    assert len(api.seen) == 3


def test_nothing_found_and_an_index_in_the_making_are_told(api, run):
    api.routes[SEARCH] = Reply(200, a_page(index="building"))
    code, out, err = run("search", "orders")
    assert code == 0
    assert "nothing has every one of these words" in out + err
    assert "still being built" in out + err


def test_words_that_are_common_apart_and_never_meet_are_not_looked_for_for_ever(api, run):
    api.routes[SEARCH] = Reply(200, a_page(cursor="again"))
    code, out, err = run("search", "daily", "weekly")
    assert code == 0
    assert "nothing found so far" in out + err
    assert len(api.seen) == 50


def test_what_the_api_refuses_is_told_with_its_reason(api, run):
    api.routes[SEARCH] = problem(400, "BAD_REQUEST", "q must hold a letter or a digit")
    code, _, err = run("search", "!!")
    assert code != 0
    assert "q must hold a letter or a digit" in err
