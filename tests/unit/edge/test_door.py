import asyncio

import pytest
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse
from tests.unit.edge.kit import Served, an_endpoint, served

from arco.core import errors
from arco.core.ids import is_ulid
from arco.core.paths import checked_key
from arco.edge.codec import decode_bytes, reply
from arco.edge.hygiene import limited
from arco.edge.problems import CODES, INTERNAL_TEXT, UNDECIDED_TEXT, ProblemView, problem
from arco.edge.refusals import BodyTooSlow, Forbidden, NotAcceptable, NotImplementedHere, RateLimited
from arco.storage.port import StorageUnavailable

PATH = "/api/v1/hello/{name}"
GET = "/api/v1/hello/you"


async def _body(request):
    return reply({"bytes": len(await request.body())})


def _raising(fact):
    async def handler(_request):
        raise fact

    return served(an_endpoint(handler=handler))


async def test_a_request_id_is_minted_and_told():
    answer = await served(an_endpoint()).ask("GET", GET)
    assert answer.json() == {"hello": "you"}
    assert is_ulid(answer.headers["x-request-id"])


@pytest.mark.parametrize("given", ["order-42_A", "x" * 64])
async def test_a_good_request_id_of_the_caller_is_kept(given):
    answer = await served(an_endpoint()).ask("GET", GET, headers={"x-request-id": given})
    assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "short", "x" * 65, "with space1", "a\tb-c-d-e-f", "ünïcödé-id"])
async def test_a_bad_request_id_of_the_caller_is_replaced(given):
    answer = await served(an_endpoint()).ask("GET", GET, headers={"x-request-id": given.encode()})
    assert is_ulid(answer.headers["x-request-id"])


@pytest.mark.parametrize(
    ("fact", "status", "code", "message"),
    [
        (errors.InvalidInput("name is required"), 400, "BAD_REQUEST", "name is required"),
        (errors.NotFound("Table not found: a.b"), 404, "NOT_FOUND", "Table not found: a.b"),
        (errors.AlreadyExists("catalog already exists: a"), 409, "CONFLICT", "catalog already exists: a"),
        (errors.Conflict("not now"), 409, "CONFLICT", "not now"),
        (errors.StaleBase("the table changed"), 412, "PRECONDITION_FAILED", "the table changed"),
        (errors.Overloaded("too much", retry_after_s=7), 503, "OVERLOADED", "too much"),
        (errors.Unavailable("no compactor"), 503, "UPSTREAM_ERROR", "no compactor"),
        (errors.OutcomeUnknown("gs://bucket", event_id="E"), 503, "OUTCOME_UNKNOWN", UNDECIDED_TEXT),
        (errors.CorruptData("secret place"), 500, "INTERNAL", INTERNAL_TEXT),
        (errors.InvariantViolated("our bug"), 500, "INTERNAL", INTERNAL_TEXT),
        (KeyError("our bug"), 500, "INTERNAL", INTERNAL_TEXT),
        (Forbidden("no"), 403, "FORBIDDEN", "no"),
        (NotAcceptable("no such media"), 406, "NOT_ACCEPTABLE", "no such media"),
        (RateLimited("slow down", limit=60, retry_after_s=3), 429, "RATE_LIMITED", "slow down"),
        (NotImplementedHere("later"), 501, "NOT_IMPLEMENTED", "later"),
        (StorageUnavailable("gs://bucket"), 503, "UPSTREAM_ERROR", "Storage does not answer; send the request again"),
    ],
)
async def test_every_fact_has_one_answer_in_one_shape(fact, status, code, message):
    answer = await _raising(fact).ask("GET", GET)
    told = decode_bytes(answer.content, ProblemView)
    assert (answer.status_code, told.code, told.message) == (status, code, message)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"] == told.request_id
    assert code in CODES[status]


class NamespaceNotEmpty(errors.Conflict):
    """A fact of a domain."""


async def test_a_domains_own_fact_is_told_like_its_kind():
    answer = await _raising(NamespaceNotEmpty("it holds tables", tables=2)).ask("GET", GET)
    assert answer.status_code == 409
    assert answer.json()["details"] == {"tables": 2}


async def test_a_storage_key_that_cannot_be_is_400():
    async def handler(_request):
        checked_key("../escape")

    answer = await served(an_endpoint(handler=handler)).ask("GET", GET)
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")


async def test_retry_after_is_a_header_and_not_a_detail():
    answer = await _raising(errors.Overloaded("too much", retry_after_s=6.6)).ask("GET", GET)
    assert answer.headers["retry-after"] == "7"
    assert "details" not in answer.json()


async def test_an_unknown_outcome_names_its_event():
    answer = await _raising(errors.OutcomeUnknown("nobody knows", event_id="01E")).ask("GET", GET)
    assert (answer.json()["error"], answer.json()["details"]) == ("outcome_unknown", {"event_id": "01E"})


async def test_our_mistake_is_logged_with_its_place_and_told_without():
    app = _raising(ValueError("row 7 of /secret"))
    answer = await app.ask("GET", GET)
    assert b"secret" not in answer.content
    (record,) = app.kept.events("request_failed")
    assert (record["error"], record["route"]) == ("ValueError", PATH)
    assert record["request_id"] == answer.headers["x-request-id"]
    assert any("test_door.py" in frame for frame in record["trace"])


async def test_a_failure_after_the_answer_began_breaks_the_connection():
    async def half():
        yield b"half"
        raise ValueError("too late")

    async def handler(_request):
        return StreamingResponse(half())

    app = served(an_endpoint(handler=handler))
    with pytest.raises(ValueError, match="too late"):
        await app.ask("GET", GET)
    assert app.kept.events("request_failed")


async def test_a_caller_who_went_away_is_nobodys_error():
    async def handler(_request):
        raise ClientDisconnect

    app = served(an_endpoint(handler=handler))
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "path": GET, "raw_path": GET.encode(), "headers": [], "query_string": b""}
    await app.app(scope, receive, send)
    assert sent == []
    assert not app.kept.lines


async def test_an_unknown_path_is_a_problem_document():
    answer = await served(an_endpoint()).ask("GET", "/api/v1/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


async def test_a_wrong_method_is_told_every_right_one():
    app = served(an_endpoint("/things", method="POST"), an_endpoint("/things"))
    answer = await app.ask("DELETE", "/api/v1/things")
    assert (answer.status_code, answer.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "GET, HEAD, POST"
    assert (await app.ask("TRACE", "/api/v1/things")).status_code == 405


async def test_a_body_that_announces_too_much_is_refused_unread():
    app = served(an_endpoint("/b", _body, "POST"), body_bytes_max=10)
    assert (await app.ask("POST", "/api/v1/b", content=b"x" * 10)).json() == {"bytes": 10}
    answer = await app.ask("POST", "/api/v1/b", content=b"x" * 11)
    assert (answer.status_code, answer.json()["code"]) == (413, "PAYLOAD_TOO_LARGE")
    assert "10 bytes" in answer.json()["message"]


async def test_a_body_that_announces_nothing_is_counted():
    async def chunks():
        for _ in range(4):
            yield b"1234"

    app = served(an_endpoint("/b", _body, "POST"), body_bytes_max=15)
    assert (await app.ask("POST", "/api/v1/b", content=chunks())).status_code == 413


async def test_a_body_that_does_not_come_is_not_waited_for():

    async def receive():
        await asyncio.Event().wait()

    received = limited(receive, {}, 10, seconds=0.01)
    with pytest.raises(BodyTooSlow, match=r"0\.01 seconds"):
        await received()
    assert problem(BodyTooSlow(30)).status == 408


async def test_after_the_body_a_disconnect_may_take_its_time():
    messages = [{"type": "http.request", "body": b"x", "more_body": False}, {"type": "http.disconnect"}]

    async def receive():
        return messages.pop(0)

    received = limited(receive, {}, 10)
    assert [(await received())["type"] for _ in range(2)] == ["http.request", "http.disconnect"]
    assert received.deadline is None


async def test_an_endpoint_may_take_more_than_the_others():
    app = served(an_endpoint("/b", _body, "POST", body_bytes_max=20), body_bytes_max=10)
    assert (await app.ask("POST", "/api/v1/b", content=b"x" * 20)).status_code == 200


async def test_the_default_limit_is_two_mebibytes():
    app = served(an_endpoint("/b", _body, "POST"))
    assert (await app.ask("POST", "/api/v1/b", content=b"x" * 2_097_152)).status_code == 200
    assert (await app.ask("POST", "/api/v1/b", content=b"x" * 2_097_153)).status_code == 413


@pytest.mark.parametrize(
    "name", ["authorization", "host", "content-type", "idempotency-key", "x-tenant-id", "if-match"]
)
async def test_a_header_that_decides_something_may_be_given_once(name):
    headers = [(name, "a"), (name, "b")]
    if name == "host":
        headers = [("host", "localhost"), ("host", "localhost")]
    answer = await served(an_endpoint()).ask("GET", GET, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (400, "ambiguous_request")
    assert name in answer.json()["message"]


async def test_two_ways_to_tell_a_bodys_length_are_ambiguous():
    headers = {"content-length": "1", "transfer-encoding": "chunked"}
    app = served(an_endpoint("/b", _body, "POST"))
    assert (await app.ask("POST", "/api/v1/b", content=b"x", headers=headers)).status_code == 400


async def test_more_than_a_hundred_headers_are_refused():
    headers = {f"x-filler-{number}": "1" for number in range(120)}
    assert (await served(an_endpoint()).ask("GET", GET, headers=headers)).status_code == 400


async def test_underscores_are_not_hyphens():
    app = served(an_endpoint(handler=_scope_told))
    answer = await app.ask("GET", GET, headers={"x_tenant_id": "other"})
    assert answer.json() == ["local", "default"]


async def _scope_told(request):
    from arco.edge.context import context_of

    scope = context_of(request).scope
    return reply([scope.tenant, scope.workspace])


async def test_a_draining_server_answers_questions_and_takes_no_mutation():
    app = served(an_endpoint("/b", _body, "POST"), an_endpoint())
    app.lifecycle.drain()
    refused = await app.ask("POST", "/api/v1/b", content=b"x")
    assert (refused.status_code, refused.json()["code"]) == (503, "DRAINING")
    assert refused.headers["connection"] == "close"
    assert refused.headers["retry-after"] == "1"
    answered = await app.ask("GET", GET)
    assert (answered.status_code, answered.headers["connection"]) == (200, "close")


async def test_requests_are_counted_by_route_and_never_by_path():
    app = served(an_endpoint())
    for name in ("a", "b", "c"):
        await app.ask("GET", f"/api/v1/hello/{name}")
        await app.ask("GET", f"/nowhere/{name}")
        await app.ask(f"MADE{name.upper()}", "/api/v1/hello/a")
    text = app.registry.render()
    assert f'api_request_total{{endpoint="{PATH}",method="GET",status_class="2xx"}} 3' in text
    assert 'api_request_total{endpoint="unmatched",method="GET",status_class="4xx"} 3' in text
    assert f'arco_http_requests_total{{route="{PATH}",method="other",status_class="4xx"}} 3' in text
    assert f'api_request_duration_seconds_count{{endpoint="{PATH}",method="GET",status_class="2xx"}} 3' in text
    assert 'arco_http_rejected_total{reason="NOT_FOUND"} 3' in text
    assert "arco_http_requests_in_flight 0" in text
    assert "nowhere" not in text


async def test_an_access_log_is_written_when_asked_for():
    app = served(an_endpoint(), access_log=True)
    await app.ask("GET", GET)
    (record,) = app.kept.events("request_served")
    assert (record["route"], record["status"], record["method"]) == (PATH, 200, "GET")


async def test_extra_routes_are_asked_after_the_endpoints_and_their_errors_have_our_shape():
    from starlette.exceptions import HTTPException
    from starlette.routing import Route

    async def page(_request):
        return Response("a page")

    async def missing(_request):
        raise HTTPException(404)

    app = served(an_endpoint(), extra_routes=[Route("/page", page), Route("/missing", missing)])
    assert (await app.ask("GET", "/page")).text == "a page"
    answer = await app.ask("GET", "/missing")
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    assert (await app.ask("POST", "/page")).status_code in (400, 405)


async def test_a_web_socket_is_closed_politely():
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "websocket.connect"}

    await Served([]).app({"type": "websocket", "path": "/", "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]
