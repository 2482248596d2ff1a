"""A-36: one route serves ranges, one range at a time; everywhere else a `Range` header changes and costs nothing."""

import time

import pytest
from tests.http.world import a_table, a_world

RANGES = [
    "bytes=" + ",".join(f"{number}-{number}" for number in range(10_000)),
    "bytes=-5",
    "bytes=0-0,0-0",
    "bytes=" + "9" * 400 + "-",
    "bytes=-" + "9" * 400,
    "bytes=5-1",
    "bytes=--1",
    "items=0-5",
    "bytes=" + "0" * 5_000 + "-1",
    "bytes=0-" + "9" * 5_000,
    "bytes=\u0663-",
    "bytes=0-1;",
    "bytes= 0-1",
    "bytes=",
    "",
]


@pytest.mark.parametrize("path", ["/health", "/version", "/docs", "/openapi.json", "/metrics"])
async def test_a36_a_range_is_not_read(path: str):
    async with a_world() as world, world.client(role="api") as api:
        for asked in RANGES:
            answer = await api.get(f"http://localhost{path}", headers=[(b"range", asked.encode())])
            assert answer.status_code == 200
            assert "content-range" not in answer.headers


async def test_a36_a_signed_object_is_read_by_one_range_or_whole_and_never_fails():
    async with a_world() as world, world.client() as api:
        await a_table(api)
        await world.quiet()
        paths = (await api.get("/browser/files/catalog")).json()["paths"]
        url = (await api.post("/browser/urls", json={"domain": "catalog", "paths": paths[:1]})).json()["urls"][0]["url"]
        whole = (await api.get(url)).content
        for asked in RANGES:
            began = time.process_time()
            answer = await api.get(url, headers=[(b"range", asked.encode())])
            assert time.process_time() - began < 0.5
            # Several ranges, or none that is one, are no range: RFC 9110 lets a server ignore them.
            assert answer.status_code in (200, 206, 416)
            assert answer.status_code != 200 or answer.content == whole
            assert answer.status_code != 206 or answer.content in whole
        for asked in ("bytes=999999999-", "bytes=-0", f"bytes={len(whole)}-{len(whole)}"):
            answer = await api.get(url, headers={"range": asked})
            assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(whole)}")
