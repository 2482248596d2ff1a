"""A-35: JSON that two readers could take differently is refused on every route that reads JSON, and costs nothing."""

import contextlib
import time

import msgspec
import pytest
from tests.http.world import a_world

from arco.core.errors import InvalidInput
from arco.edge.codec import check_json, decode_bytes
from arco.edge.endpoint import Endpoint

M = 2 * 1024 * 1024 - 64
BODIES = {
    "depth_33": b'{"name":' + b"[" * 33 + b"]" * 33 + b"}",
    "depth_100000": b"[" * 100_000,
    "depth_2000000": b"[" * M,
    "nan": b'{"name":NaN}',
    "infinity": b'{"name":-Infinity}',
    "lone_surrogate": b'{"name":"\\ud800"}',
    "duplicate_key": b'{"name":"a","name":"b"}',
    "duplicate_key_escaped": b'{"name":"a","n\\u0061me":"b"}',
    "duplicate_key_deep": b'{"name":"a","x":[{"y":1,"y":1}]}',
    "keys_100000": b"{" + b",".join(b'"%d":1' % number for number in range(100_000)) + b"}",
    "objects": b"[" + b'{"a":1,"b":2},' * (M // 14) + b"1]",
    "byte_order_mark": b'\xef\xbb\xbf{"name":"a"}',
    "utf_16": '{"name":"a"}'.encode("utf-16"),
    "not_utf_8": b'{"name":"\xff"}',
    "trailing_data": b'{"name":"a"}{"name":"b"}',
    "trailing_comma": b'{"name":"a",}',
    "comment": b'{"name":"a"/* b */}',
    "single_quotes": b"{'name':'a'}",
    "control_character": b'{"name":"a\nb"}',
    "empty": b"",
    "spaces": b" " * 1_000,
}
MISFITS = {
    "wrong_top_type": b'[{"name":"a"}]',
    "text_on_top": b'"name"',
    "null": b"null",
}
NUMBERS = {"digits_5000": b"9" * 5_000, "digits_2000000": b"9" * M, "1e400": b"1e400", "-1e400": b"-1e400"}
CPU_S = 0.05


def _filled(template: str) -> str:
    return "/".join("x" if part.startswith("{") else part for part in template.split("/"))


async def test_a35_every_route_refuses_what_is_not_one_plain_document():
    async with a_world() as world, world.client() as api:
        reading: list[tuple[str, Endpoint]] = [
            (prefix, endpoint)
            for prefix, endpoint in world.api.state.endpoints
            if endpoint.request is not None and prefix == "/api/v1"
        ]
        assert len(reading) > 10
        for _, endpoint in reading:
            path = _filled(endpoint.path)
            for name, body in {**BODIES, **MISFITS}.items():
                if len(body) > 100_000 and path != "/catalogs":
                    continue  # its cost is measured below, once
                headers = {"content-type": "application/json"}
                answer = await api.request(endpoint.method, path, content=body, headers=headers)
                wanted = (400,) if name in BODIES else (400, 422)
                if endpoint.method == "DELETE" or answer.status_code in (404, 501):
                    continue
                assert answer.status_code in wanted, (endpoint.method, path, name, answer.text[:200])


async def test_a35_routes_between_roles_are_as_strict():
    async with a_world() as world:
        asked = 0
        for role, served in world.roles.items():
            async with world.client(role=role) as client:
                for prefix, endpoint in served.app.state.endpoints:
                    if endpoint.request is None or prefix == "/api/v1":
                        continue
                    asked += 1
                    for name, body in {**BODIES, **MISFITS}.items():
                        if len(body) > 100_000 and "sync-compact" not in endpoint.path:
                            continue
                        answer = await client.request(endpoint.method, endpoint.path, content=body)
                        assert answer.status_code == 400, (endpoint.path, name, answer.text[:200])
        assert asked >= 5
        assert await world.in_scope().list_page("") == []


PLANTED = '"path":"ledger/catalog/01KDVH8Q3N5P7R9S1T3V5W7X9Y.json"'
EMPTY_SHA = '"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"'
SENT = '{"domain":"catalog","event_paths":[],"bodies":[{' + f'{PLANTED},{EMPTY_SHA},"body":"",'
TWICE_IN_CALLS = {
    "domain": '{"domain":"lineage","domain":"catalog","event_paths":[]}',
    "domain_escaped": '{"domain":"lineage","\\u0064omain":"catalog","event_paths":[]}',
    "paths": '{"domain":"catalog","event_paths":[],"event_paths":["x"]}',
    "token": '{"domain":"catalog","event_paths":[],"fencing_token":1,"fencing_token":2}',
    "body": SENT + '"body":"x"}]}',
    "body_escaped": SENT + '"b\\u006fdy":"x"}]}',
}


@pytest.mark.parametrize("name", TWICE_IN_CALLS)
async def test_a35_no_key_of_a_call_to_the_compactor_is_given_twice(name: str):
    async with a_world() as world, world.client(role="compactor") as client:
        answer = await client.post("/internal/sync-compact", content=TWICE_IN_CALLS[name].encode())
        assert (answer.status_code, answer.json()["error"]) == (400, "validation_error")
        assert "is given twice" in answer.json()["message"]


@pytest.mark.parametrize("escaped", [b'"\\ud800"', b'"\\uDFFF a"', b'"\\ud83d\\ud83d"', b'{"\\ud800":1}'])
@pytest.mark.parametrize("route", ["applyCatalogDdl", "commitRootTransaction", "getCatalogTransaction"])
async def test_a35_half_a_character_is_no_text_of_a_message_either(escaped: bytes, route: str):
    async with a_world() as world, world.client() as api:
        for name in (b"ddl", b"mutations", b"txId", b"tx_id"):
            body = b'{"' + name + b'":' + escaped + b"}"
            headers = {"content-type": "application/json", "idempotency-key": "k"}
            answer = await api.post(f"/transactions/{route}", content=body, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")


def test_a35_a_whole_pair_is_a_character():
    check_json(b'{"name":"\\ud83e\\udd86"}')


class Anything(msgspec.Struct):
    """A body with one field that must be there."""

    name: str
    description: str | None = None


def cost_s(body: bytes) -> float:
    """The processor time of refusing or reading a body; the least of several, because the machine does other things."""
    spent = []
    for _ in range(5):
        began = time.process_time()
        with contextlib.suppress(InvalidInput):
            decode_bytes(body, Anything)
        spent.append(time.process_time() - began)
    return min(spent)


@pytest.mark.parametrize("name", BODIES)
async def test_a35_is_400_with_the_place_and_costs_no_time(name: str):
    async with a_world() as world, world.client() as api:
        answer = await api.post("/catalogs", content=BODIES[name], headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
    assert answer.json()["message"].startswith(("The body must", "The key"))
    assert cost_s(BODIES[name]) < 3 * CPU_S, "three times what it may cost, for machines that are slow"


@pytest.mark.parametrize("name", NUMBERS)
async def test_a35_a_number_without_end_is_no_value_of_any_field(name: str):
    body = b'{"name":"a","description":' + NUMBERS[name] + b"}"
    async with a_world() as world, world.client() as api:
        answer = await api.post("/catalogs", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert cost_s(body) < 3 * CPU_S


async def test_a35_ten_megabytes_of_text_are_413():
    async with a_world() as world, world.client() as api:
        body = b'{"name":"' + b"a" * 10_000_000 + b'"}'
        answer = await api.post("/catalogs", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 413
