import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.edge.kit import an_endpoint, served

from arco.core.errors import InvalidInput
from arco.edge.codec import check_json, conditional, decode, decode_bytes, no_content, query_params, reply
from arco.edge.refusals import MalformedBody, UnprocessableBody


class Column(msgspec.Struct):
    name: str
    data_type: str = "STRING"
    nullable: bool = True


class Table(msgspec.Struct):
    name: str
    columns: list[Column] = []
    properties: dict[str, str] = {}
    size: msgspec.UnsetType | int | None = msgspec.UNSET


class Query(msgspec.Struct):
    limit: int = 100
    deep: bool = False
    name: str | None = None
    depth: int | None = None


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"{}", "name is required"),
        (b'{"name":1}', "name must be text, not an integer"),
        (b'{"name":"t","columns":[{}]}', "columns[0].name is required"),
        (b'{"name":"t","columns":[{"name":null}]}', "columns[0].name must be text, not null"),
        (b'{"name":"t","columns":{}}', "columns must be a list, not an object"),
        (
            b'{"name":"t","columns":[{"name":"c","nullable":"yes"}]}',
            "columns[0].nullable must be true or false, not text",
        ),
        (b'{"name":"t","properties":{"a":1}}', "properties.* must be text, not an integer"),
        (b'{"name":"t","size":"big"}', "size must be an integer or null, not text"),
        (b"[]", "The body must be an object, not a list"),
    ],
)
def test_a_field_that_does_not_fit_is_named_in_plain_words(body, sentence):
    with pytest.raises(UnprocessableBody) as caught:
        decode_bytes(body, Table)
    assert caught.value.message == sentence


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"{",
        b'{"name":"t"} x',
        b'\xef\xbb\xbf{"name":"t"}',
        b'{"name":NaN}',
        b'{"name":"\\ud800"}',
        b'{"name":"\xff"}',
        b"[" * 33 + b"]" * 33,
        b"[" * 100_000,
        b'{"a":' * 40_000,
        b'{"name":"a","name":"b"}',
        b'{"name":"t","columns":[{"name":"c","name":"c"}]}',
        b'{"name":"a","\\u006eame":"b"}',
    ],
)
def test_bytes_that_two_readers_could_read_differently_are_malformed(body):
    with pytest.raises(MalformedBody):
        decode_bytes(body, Table)


def test_a_duplicate_key_is_named():
    with pytest.raises(MalformedBody, match='The key "name" is given twice'):
        decode_bytes(b'{"name":"a","name":"b"}', Table)


@pytest.mark.parametrize("number", [b"9" * 5000, b"1e400", b"1.5"])
def test_a_number_that_does_not_fit_is_unprocessable_and_costs_nothing(number):
    with pytest.raises(UnprocessableBody, match="size"):
        decode_bytes(b'{"name":"t","size":' + number + b"}", Table)


def test_unknown_fields_are_ignored():
    assert decode_bytes(b'{"name":"t","colour":"red"}', Table).name == "t"


def test_brackets_inside_text_do_not_count_as_depth():
    body = json.dumps({"name": "[" * 500 + '\\"{' * 100 + "\\"}).encode()
    assert decode_bytes(body, Table).name.startswith("[[[")


@given(depth=st.integers(1, 70), shape=st.lists(st.booleans(), min_size=70, max_size=70))
def test_exactly_what_is_deeper_than_32_levels_is_refused(depth, shape):
    value: object = "]}" * 3
    for is_list in shape[:depth]:
        value = [value] if is_list else {'"[': value}
    body = json.dumps(value).encode()
    if depth <= 32:
        check_json(body)
    else:
        with pytest.raises(MalformedBody, match="deeper than 32"):
            check_json(body)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=30,
)


@given(JSON_VALUES)
def test_every_json_value_without_duplicates_passes_the_scan(value):
    check_json(json.dumps(value).encode())


@given(JSON_VALUES, st.text())
def test_a_duplicate_key_is_found_wherever_it_is(value, key):
    twice = f"{{{json.dumps(key)}:1,{json.dumps(key)}:{json.dumps(value)}}}"
    with pytest.raises(MalformedBody, match="twice"):
        check_json(f'{{"rows":[{json.dumps(value)},{twice}]}}'.encode())


async def _echo(request):
    return reply(await decode(request, Table), 201, headers={"x-made": "yes"})


async def test_a_body_must_say_that_it_is_json():
    app = served(an_endpoint("/t", _echo, "POST"))
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"):
        answer = await app.ask("POST", "/api/v1/t", content=b'{"name":"t"}', headers={"content-type": content_type})
        assert (answer.status_code, answer.json()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    for content_type in ("application/json", "APPLICATION/JSON; charset=utf-8", "application/problem+json"):
        answer = await app.ask("POST", "/api/v1/t", content=b'{"name":"t"}', headers={"content-type": content_type})
        assert answer.status_code == 201


async def test_a_compressed_body_is_refused():
    app = served(an_endpoint("/t", _echo, "POST"))
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert (await app.ask("POST", "/api/v1/t", content=b"x", headers=headers)).status_code == 415


async def test_malformed_is_400_and_a_wrong_field_is_422():
    app = served(an_endpoint("/t", _echo, "POST"))
    malformed = await app.ask("POST", "/api/v1/t", content=b"{", headers={"content-type": "application/json"})
    assert (malformed.status_code, malformed.json()["code"]) == (400, "BAD_REQUEST")
    wrong = await app.ask("POST", "/api/v1/t", json={"name": 1})
    assert wrong.status_code == 422
    assert wrong.json()["code"] == "UNPROCESSABLE_ENTITY"
    assert wrong.json()["error"] == "unprocessable_entity"
    assert wrong.json()["message"] == "name must be text, not an integer"


async def test_an_answer_is_compact_json_with_its_headers():
    answer = await served(an_endpoint("/t", _echo, "POST")).ask("POST", "/api/v1/t", json={"name": "é"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-made"] == "yes"
    assert answer.content == '{"name":"é","columns":[],"properties":{}}'.encode()


async def _asked(request):
    return reply(query_params(request, Query))


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("", {"limit": 100, "deep": False, "name": None, "depth": None}),
        ("limit=5&deep=true&name=a%20b&depth=2", {"limit": 5, "deep": True, "name": "a b", "depth": 2}),
        ("name=null&unknown=1&unknown=2", {"limit": 100, "deep": False, "name": "null", "depth": None}),
    ],
)
async def test_query_parameters_become_their_types(query, value):
    assert (await served(an_endpoint("/q", _asked)).ask("GET", f"/api/v1/q?{query}")).json() == value


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("limit=x", "limit must be an integer, not text"),
        ("deep=maybe", "deep must be true or false, not text"),
        ("limit=1&limit=2", "limit is given twice"),
    ],
)
async def test_a_query_parameter_that_does_not_fit_is_named(query, sentence):
    answer = await served(an_endpoint("/q", _asked)).ask("GET", f"/api/v1/q?{query}")
    assert (answer.status_code, answer.json()["message"]) == (400, sentence)


async def _tagged(request):
    async def build():
        return reply({"made": True})

    return await conditional(request, '"n7"', build)


@pytest.mark.parametrize(
    ("condition", "status"),
    [(None, 200), ('"n6"', 200), ('"n7"', 304), ('W/"n7"', 304), ('"a", "n7"', 304), ("*", 304)],
)
async def test_what_the_caller_has_is_not_sent_again(condition, status):
    headers = {} if condition is None else {"if-none-match": condition}
    answer = await served(an_endpoint("/e", _tagged)).ask("GET", "/api/v1/e", headers=headers)
    assert answer.status_code == status
    assert answer.headers["etag"] == '"n7"'
    assert bool(answer.content) is (status == 200)


def test_no_content_has_none():
    assert (no_content().status_code, no_content().body) == (204, b"")


def test_a_refused_body_is_an_invalid_input():
    assert issubclass(UnprocessableBody, InvalidInput)
    assert issubclass(MalformedBody, InvalidInput)
