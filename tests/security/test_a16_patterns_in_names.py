"""A-16: a name that is a pattern elsewhere is text here: it names one thing, and matches nothing else."""

from urllib.parse import quote

import pytest
from tests.http.world import a_world

NAMES = [
    *("*", "foo*", "?", "[a-z]", "${x}", "tenant=b", "workspace=w", "con.", "'", '"'),
    *("a'b--", "%", "_", "a;b", "{x}"),
]
OTHERS = ["foo", "foobar", "b", "x"]


@pytest.mark.parametrize("name", NAMES)
async def test_a16_a_pattern_is_a_name_like_others(name: str):
    async with a_world() as world, world.client() as api:
        for each in [name, *OTHERS]:
            assert (await api.post("/catalogs", json={"name": each})).status_code == 201
        found = await api.get(f"/catalogs/{quote(name, safe='')}")
        assert (found.status_code, found.json()["name"]) == (200, name)
        sql = f"SELECT name FROM catalogs WHERE name = '{name.replace(chr(39), chr(39) * 2)}'"
        rows = await api.post("/query", json={"sql": sql}, params={"format": "json"})
        assert rows.status_code in (200, 400)
        if rows.status_code == 200:
            assert [row["name"] for row in rows.json()] == [name]
        assert (await api.delete(f"/catalogs/{quote(name, safe='')}")).status_code == 204
        left = [each["name"] for each in (await api.get("/catalogs")).json()["catalogs"]]
        assert left == sorted(OTHERS)
        assert not any(name in operation.key for operation in world.store.operations if len(name) > 2)


@pytest.mark.parametrize("name", NAMES)
async def test_a16_no_scope_is_a_pattern(name: str):
    async with a_world() as world, world.client() as api:
        answer = await api.get("/catalogs", headers={b"X-Tenant-Id": name.encode(), b"X-Workspace-Id": b"default"})
        if name != "_":
            assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
            assert world.store.operations == []
