"""A-36: no route of ours serves ranges; a `Range` header changes nothing and costs nothing."""

import pytest
from tests.http.world import a_world

RANGES = [
    "bytes=" + ",".join(f"{number}-{number}" for number in range(10_000)),
    "bytes=-5",
    "bytes=0-0,0-0",
    "bytes=" + "9" * 400 + "-",
    "bytes=-" + "9" * 400,
    "bytes=5-1",
    "bytes=--1",
    "items=0-5",
    "bytes=",
    "",
]


@pytest.mark.parametrize("path", ["/health", "/version", "/docs", "/openapi.json", "/metrics"])
async def test_a36_a_range_is_not_read(path: str):
    async with a_world() as world, world.client(role="api") as api:
        for asked in RANGES:
            answer = await api.get(f"http://localhost{path}", headers={"range": asked})
            assert answer.status_code == 200
            assert "content-range" not in answer.headers
