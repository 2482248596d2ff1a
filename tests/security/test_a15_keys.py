"""A-15: text from outside is refused before any storage operation, or it never becomes part of a key."""

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.http.world import World, a_world

from arco.core import paths
from arco.core.paths import InvalidKey, checked_key
from arco.storage.names import object_key

NASTY = {
    "dots": "..",
    "dot": ".",
    "up": "../x",
    "encoded_dots": "%2e%2e",
    "encoded_twice": "%252e",
    "encoded_slash": "..%2f",
    "backslash": "a\\b",
    "leading_slash": "/a",
    "two_slashes": "a//b",
    "null": "a\0b",
    "line_ends": "a\r\nb",
    "division_slash": "a\u2215b",
    "fullwidth_slash": "a\uff0fb",
    "one_dot_leader": "\u2024\u2024",
    "right_to_left": "a\u202eb",
    "long": "x" * 1_025,
    "trailing_dot": "qqa.",
    "trailing_space": "a ",
    "decomposed": "qqe\u0301",
    "surrogate": "\ud800",
}
REFUSED = {"dots", "dot", "up", "encoded_slash", "backslash", "leading_slash", "two_slashes", "null", "line_ends"}
REFUSED = (REFUSED | {"right_to_left", "long", "trailing_space", "surrogate"}) - {"encoded_slash"}
COLUMNS = [{"name": "id", "data_type": "INT"}]
CREATING = [
    ("/catalogs", {}),
    ("/namespaces", {}),
    ("/catalogs/analytics/schemas", {}),
    ("/catalogs/analytics/schemas/sales/tables", {"columns": COLUMNS}),
    ("/namespaces/old/tables", {"columns": COLUMNS}),
]


async def _stand(world: World) -> None:
    async with world.client() as api:
        for path, body in (
            ("/catalogs", {"name": "analytics"}),
            ("/catalogs/analytics/schemas", {"name": "sales"}),
            ("/namespaces", {"name": "old"}),
        ):
            assert (await api.post(path, json=body)).status_code == 201
    world.store.forget()


@pytest.mark.parametrize("name", NASTY)
async def test_a15_a_name_is_refused_unseen_by_storage_or_is_no_part_of_a_key(name: str):
    text = NASTY[name]
    async with a_world() as world, world.client() as api:
        await _stand(world)
        for path, fields in CREATING:
            body = json.dumps({"name": text, **fields})
            answer = await api.post(path, content=body, headers={"content-type": "application/json"})
            if name in REFUSED:
                assert answer.status_code == 400, (path, answer.text)
                assert world.store.operations == [], path
            else:
                assert answer.status_code == 201, (path, answer.text)
                assert answer.json()["name"] == text
        for operation in world.store.operations:
            assert object_key(operation.key) == operation.key
            assert text not in operation.key


@pytest.mark.parametrize("name", NASTY)
async def test_a15_a_path_parameter_never_becomes_a_key(name: str):
    text = NASTY[name]
    raw = quote(text.encode("utf-8", "surrogatepass"), safe="")
    async with a_world() as world, world.client() as api:
        await _stand(world)
        for prefix, endpoint in world.api.state.endpoints:
            if prefix != "/api/v1" or "{" not in endpoint.path or endpoint.request is not None:
                continue
            filled = "/".join(raw if part.startswith("{") else part for part in endpoint.path.split("/"))
            if filled.endswith(("/.", "/..")):
                filled = filled.replace("..", "%2e%2e").replace("/.", "/%2e")  # or the client would walk it
            answer = await api.request(endpoint.method, filled)
            assert answer.status_code < 500, (endpoint.path, answer.text)
            if name in ("null", "line_ends", "surrogate"):
                assert answer.status_code == 400
        for operation in world.store.operations:
            assert f"/{text}/" not in f"/{operation.key}/"


@pytest.mark.parametrize("name", sorted(REFUSED - {"trailing_space", "long", "surrogate", "right_to_left"}))
def test_a15_a_key_is_checked_wherever_it_comes_from(name: str):
    with pytest.raises(InvalidKey):
        checked_key(f"{NASTY[name]}/x" if name in ("dot", "dots") else NASTY[name])


@given(st.text())
def test_a15_a_checked_key_stays_below_its_prefix(text: str):
    try:
        key = checked_key(text)
    except InvalidKey:
        return
    segments = key.rstrip("/").split("/")
    assert not {"", ".", ".."} & set(segments)
    assert not set(key) & set("\\%\0\r\n")


WORD = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
NUMBER = st.integers(0, 10**20 - 1)


@given(WORD, WORD, NUMBER, st.integers(0, 9_999))
def test_a15_every_key_that_is_built_is_a_key(chain: str, word: str, number: int, index: int):
    built = [
        paths.manifest(chain, number),
        paths.pointer(chain),
        paths.ledger_object(chain, word),
        paths.commit_record(chain, number, word),
        paths.segment(chain, word, number, word),
        paths.page(chain, word, number, word),
        paths.delta(chain, number, word, index),
        paths.quarantined(chain, word),
    ]
    assert len(set(built)) == len(built)
    for key in built:
        assert checked_key(key) == key == object_key(key)
