from base64 import urlsafe_b64decode, urlsafe_b64encode
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.edge.kit import an_endpoint, served

from arco.core.errors import InvalidInput
from arco.core.scope import Scope
from arco.edge.codec import reply
from arco.edge.context import context_of, services_of
from arco.edge.pages import CursorCodec, next_cursor, page_request

SCOPE = Scope("acme", "main")
PATH = "/api/v1/catalogs"
CODEC = CursorCodec(b"s" * 32)


def _text(value: object) -> str:
    return urlsafe_b64encode(msgspec.json.encode(value)).rstrip(b"=").decode()


@given(st.text(), st.integers(0, 10**20 - 1))
def test_a_cursor_gives_back_what_it_was_made_of(key, number):
    key = key.encode("utf-8", "ignore").decode()
    manifest_id = f"{number:020d}"
    assert CODEC.decode(SCOPE, PATH, CODEC.encode(SCOPE, PATH, key, manifest_id)) == (key, manifest_id)


def test_the_plain_cursor_of_the_contract_is_accepted():
    assert CODEC.decode(SCOPE, PATH, "eyJrZXkiOiJzYWxlcyJ9") == ("sales", None)


@pytest.mark.parametrize(
    "text",
    [
        "***",
        "bnVsbA",
        "",
        "e",
        "é",
        "a" * 5000,
        _text({}),
        _text({"key": 1}),
        _text({"key": "a", "more": 1}),
        _text({"key": "a", "m": "1"}),
        _text({"key": "a", "s": "x"}),
        _text(["a"]),
    ],
)
def test_anything_else_is_an_invalid_cursor(text):
    with pytest.raises(InvalidInput, match=r"^invalid cursor$"):
        CODEC.decode(SCOPE, PATH, text)


def test_a_cursor_of_another_scope_list_or_secret_is_forged():
    cursor = CODEC.encode(SCOPE, PATH, "sales", "0" * 20)
    for codec, scope, path in (
        (CODEC, Scope("acme", "other"), PATH),
        (CODEC, Scope("other", "main"), PATH),
        (CODEC, SCOPE, PATH + "/sales/schemas"),
        (CursorCodec(b"t" * 32), SCOPE, PATH),
    ):
        with pytest.raises(InvalidInput, match="invalid cursor"):
            codec.decode(scope, path, cursor)


@pytest.mark.parametrize(("field", "value"), [("key", "other"), ("m", "1" * 20), ("s", "AAAAAAAAAAAAAAAAAAAAAA")])
def test_a_changed_cursor_is_forged(field, value):
    cursor = CODEC.encode(SCOPE, PATH, "sales", "0" * 20)
    fields = msgspec.json.decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    with pytest.raises(InvalidInput, match="invalid cursor"):
        CODEC.decode(SCOPE, PATH, _text(fields | {field: value}))


async def _list(request):
    services = services_of(request)
    scope = context_of(request).scope
    page = page_request(request, services, scope)
    cursor = next_cursor(request, services, scope, ("last", "7" * 20))
    return reply({"limit": page.limit, "after": page.after, "manifest": page.manifest_id, "next_cursor": cursor})


def _served():
    return served(an_endpoint("/catalogs", _list), services=SimpleNamespace(cursors=CODEC))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=0", "limit must be greater than 0"),
        ("limit=-1", "limit must be greater than 0"),
        ("limit=501", "limit must be less than or equal to 500"),
        ("limit=9999999999999999999999", "limit must be less than or equal to 500"),
        ("limit=many", "limit must be an integer from 1 to 500"),
        ("limit=", "limit must be an integer from 1 to 500"),
        ("cursor=***", "invalid cursor"),
        ("cursor=bnVsbA", "invalid cursor"),
        ("cursor=", "invalid cursor"),
    ],
)
async def test_a_page_that_cannot_be_is_400_with_the_contracts_words(query, message):
    answer = await _served().ask("GET", f"{PATH}?{query}")
    assert (answer.status_code, answer.json()["code"], answer.json()["message"]) == (400, "BAD_REQUEST", message)


async def test_a_page_is_a_hundred_items_from_the_start_unless_told_otherwise():
    first = (await _served().ask("GET", PATH)).json()
    assert (first["limit"], first["after"], first["manifest"]) == (100, None, None)
    second = (await _served().ask("GET", PATH, params={"limit": "500", "cursor": first["next_cursor"]})).json()
    assert (second["limit"], second["after"], second["manifest"]) == (500, "last", "7" * 20)


async def test_a_cursor_does_not_travel_between_workspaces():
    cursor = (await _served().ask("GET", PATH)).json()["next_cursor"]
    answer = await _served().ask("GET", PATH, params={"cursor": cursor}, headers={"x-workspace-id": "other"})
    assert (answer.status_code, answer.json()["message"]) == (400, "invalid cursor")
