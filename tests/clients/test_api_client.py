import socket
from contextlib import closing

import pytest
from tests.clients.fake_api import Reply, problem, running

from arco.clients.api import ApiClient, ApiProblem, Call, InvalidTarget, ServerUnreachable, Target, target_from
from arco.clients.catalog import ensure, find, listed, object_path

CREATED = {"id": "1", "name": "sales"}


@pytest.fixture
def api():
    with running() as server:
        yield server


@pytest.fixture
def waits():
    return []


@pytest.fixture
def client(api, waits):
    keys = iter(f"key-{number}" for number in range(100))
    client = ApiClient(Target(url=api.url), new_key=lambda: next(keys), sleep=waits.append)
    yield client
    client.close()


def in_turn(*replies):
    """Answers with the replies one after the other; the last one stays."""
    rest = list(replies)
    return lambda _request: rest.pop(0) if len(rest) > 1 else rest[0]


def test_requests_share_one_connection(api, client):
    api.routes["GET /api/v1/catalogs"] = Reply(body={"catalogs": []})
    for _ in range(5):
        client.get("/catalogs")
    assert api.connections == 1


def test_scope_and_token_travel_as_headers(api):
    api.routes["GET /api/v1/catalogs"] = Reply(body={})
    target = target_from({"ARCO_TOKEN": "t0k", "ARCO_TENANT": "acme"}, url=api.url, workspace="prod")
    with closing(ApiClient(target)) as client:
        client.get("/catalogs")
    headers = api.seen[0].headers
    assert headers["authorization"] == "Bearer t0k"
    assert (headers["x-tenant-id"], headers["x-workspace-id"]) == ("acme", "prod")


def test_flags_win_over_the_environment_and_blanks_are_nothing():
    environ = {"ARCO_URL": "http://a:1", "ARCO_TENANT": "  "}
    assert target_from(environ).url == "http://a:1"
    assert target_from(environ, url="http://b:2").url == "http://b:2"
    assert target_from(environ).tenant is None


def test_a_create_is_repeated_with_the_same_key_when_the_connection_breaks(api, client, waits):
    api.routes["POST /api/v1/catalogs"] = in_turn(Reply(hang_up=True), Reply(201, CREATED))
    assert client.create("/catalogs", {"name": "sales"}).json() == CREATED
    assert [request.headers["idempotency-key"] for request in api.seen] == ["key-0", "key-0"]
    assert len(waits) == 1


def test_a_create_is_repeated_with_the_same_key_when_the_server_asks_to_come_back(api, client, waits):
    busy = problem(503, "OVERLOADED", "busy", Retry_After="3")
    api.routes["POST /api/v1/catalogs"] = in_turn(busy, busy, Reply(201, CREATED))
    client.create("/catalogs", {"name": "sales"})
    assert {request.headers["idempotency-key"] for request in api.seen} == {"key-0"}
    assert waits == [3.0, 3.0]


def test_every_create_has_a_key_of_its_own(api, client):
    api.routes["POST /api/v1/catalogs"] = Reply(201, CREATED)
    client.create("/catalogs", {"name": "a"})
    client.create("/catalogs", {"name": "b"})
    assert [request.headers["idempotency-key"] for request in api.seen] == ["key-0", "key-1"]


def test_a_key_is_a_uuid_of_version_7(api):
    api.routes["POST /api/v1/catalogs"] = Reply(201, CREATED)
    with closing(ApiClient(Target(url=api.url))) as client:
        client.create("/catalogs", {"name": "a"})
    key = api.seen[0].headers["idempotency-key"]
    assert len(key) == 36
    assert key[14] == "7"


def test_patience_ends_and_the_wait_is_bounded(api, client, waits):
    api.routes["GET /api/v1/catalogs"] = problem(503, "OVERLOADED", "busy", Retry_After="300")
    with pytest.raises(ApiProblem, match="busy"):
        client.get("/catalogs")
    assert waits == [10.0, 10.0, 10.0]


def test_a_change_is_sent_once_when_the_connection_breaks(api, client):
    api.routes["PATCH /api/v1/catalogs/sales"] = Reply(hang_up=True)
    with pytest.raises(ServerUnreachable, match="it is not known whether the change happened") as caught:
        client.change("/catalogs/sales", {"name": "b"})
    assert caught.value.details["outcome_unknown"]
    assert len(api.seen) == 1


def test_a_change_is_repeated_when_it_was_refused_for_load_but_not_when_its_outcome_is_unknown(api, client):
    api.routes["PATCH /api/v1/catalogs/a"] = in_turn(
        problem(503, "OVERLOADED", "busy", Retry_After="1"), Reply(200, CREATED)
    )
    client.change("/catalogs/a", {"name": "b"})
    assert len(api.seen) == 2
    api.routes["DELETE /api/v1/catalogs/a"] = problem(503, "OUTCOME_UNKNOWN", "who knows", Retry_After="1")
    with pytest.raises(ApiProblem, match="who knows"):
        client.drop("/catalogs/a")
    assert len(api.seen) == 3


def test_a_refusal_without_a_time_is_final(api, client, waits):
    api.routes["GET /api/v1/catalogs"] = problem(503, "UPSTREAM_ERROR", "down")
    with pytest.raises(ApiProblem):
        client.get("/catalogs")
    assert waits == []


def test_an_error_keeps_its_status_code_and_request_id(client):
    with pytest.raises(ApiProblem, match="nothing at") as caught:
        client.get("/nowhere")
    assert (caught.value.status, caught.value.code, caught.value.request_id) == (404, "NOT_FOUND", "r-1")


def test_an_error_that_is_not_json_is_still_an_error(api, client):
    api.routes["GET /api/v1/x"] = Reply(502, b"<html>bad gateway</html>")
    with pytest.raises(ApiProblem, match="the server answered 502 Bad Gateway"):
        client.get("/x")


def test_nobody_listening_is_said_at_once(waits):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(ServerUnreachable, match=f"no server answers at http://127.0.0.1:{port}"):
        ApiClient(Target(url=f"http://127.0.0.1:{port}"), sleep=waits.append).get("/catalogs")
    assert waits == []


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://x", "http://", "http://u@x", "http://x:99999", "http://x?a=1"])
def test_a_url_that_cannot_be_used_is_refused(url):
    with pytest.raises(InvalidTarget):
        ApiClient(Target(url=url))


def test_a_base_path_of_the_url_is_kept(api):
    api.routes["GET /lake/api/v1/catalogs"] = Reply(body={})
    with closing(ApiClient(Target(url=f"{api.url}/lake/"))) as client:
        client.get("/catalogs")
    assert api.seen[0].path == "/lake/api/v1/catalogs"


def test_names_are_encoded_into_the_path():
    assert object_path(("a b", "c/d", "é?")) == "/catalogs/a%20b/schemas/c%2Fd/tables/%C3%A9%3F"


def test_lists_are_read_page_by_page_up_to_the_limit(api, client):
    api.routes["GET /api/v1/catalogs"] = lambda request: (
        Reply(body={"catalogs": [{"name": "c"}]})
        if "cursor=next" in request.path
        else Reply(body={"catalogs": [{"name": "a"}, {"name": "b"}], "next_cursor": "next"})
    )
    assert [item["name"] for item in listed(client, "/catalogs", "catalogs")] == ["a", "b", "c"]
    assert [item["name"] for item in listed(client, "/catalogs", "catalogs", 1)] == ["a"]
    assert api.seen[-1].path.endswith("limit=1")


def test_ensure_creates_what_is_missing_and_takes_what_is_there(api, client):
    api.routes["POST /api/v1/catalogs"] = Reply(201, CREATED)
    assert ensure(client, ("sales",), {}) == (CREATED, True)
    api.routes["GET /api/v1/catalogs/sales"] = Reply(body=CREATED)
    assert ensure(client, ("sales",), {}) == (CREATED, False)
    assert find(client, ("nowhere",)) is None


def test_ensure_takes_what_somebody_else_made_meanwhile(api, client):
    api.routes["GET /api/v1/catalogs/sales"] = in_turn(problem(404, "NOT_FOUND", "no"), Reply(body=CREATED))
    api.routes["POST /api/v1/catalogs"] = problem(409, "CONFLICT", "catalog already exists: sales")
    assert ensure(client, ("sales",), {}) == (CREATED, False)


def test_an_empty_answer_is_none(api, client):
    api.routes["DELETE /api/v1/catalogs/a"] = Reply(204)
    assert client.send(Call(method="DELETE", path="/api/v1/catalogs/a")).json() is None
