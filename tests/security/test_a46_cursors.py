"""A-46: a page cursor is good for the scope, the list and the key it was made with, and for nothing else."""

import base64
import json
from collections.abc import AsyncIterator

import pytest
from tests.http.test_audit import TOKENS as KEYS
from tests.http.test_audit import a_token
from tests.http.world import World, a_world

TOKENS = {**KEYS, "ARCO_RATE_DEFAULT_PER_MIN": "100000", "ARCO_RATE_BURST": "100000"}

SECRET = base64.b64encode(b"c" * 32).decode()
OTHER_SECRET = base64.b64encode(b"d" * 32).decode()
LISTS = {
    "catalogs": "/catalogs",
    "schemas": "/catalogs/c0/schemas",
    "tables": "/catalogs/c0/schemas/s0/tables",
    "namespaces": "/namespaces",
    "history": "/history",
    "history of a catalog": "/catalogs/c0/history",
    "audit": "/audit",
}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world({**TOKENS, "ARCO_CURSOR_SECRET": SECRET}) as world:
        for tenant in ("acme", "globex"):
            await filled(world, tenant)
        yield world


async def filled(world: World, tenant: str) -> None:
    async with world.client(a_token(tenant=tenant)) as api:
        for number in range(2):
            await api.post("/catalogs", json={"name": f"c{number}"})
            await api.post("/catalogs/c0/schemas", json={"name": f"s{number}"})
            await api.post("/catalogs/c0/schemas/s0/tables", json={"name": f"t{number}", "columns": []})
            await api.post("/namespaces", json={"name": f"n{number}"})
        await api.patch("/catalogs/c0", json={"description": "d"})


async def cursor(world: World, path: str, tenant: str = "acme") -> str:
    async with world.client(a_token(tenant=tenant)) as api:
        page = await api.get(path, params={"limit": "1"})
    text: str = page.json()["next_cursor"]
    return text


async def used(world: World, path: str, text: str, tenant: str = "acme") -> int:
    async with world.client(a_token(tenant=tenant)) as api:
        answer = await api.get(path, params={"limit": "1", "cursor": text})
    if answer.status_code == 400:
        assert answer.json()["message"] == "invalid cursor"
    return answer.status_code


def changed(text: str, **fields: object) -> str:
    inner = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return base64.urlsafe_b64encode(json.dumps({**inner, **fields}).encode()).rstrip(b"=").decode()


async def test_a46_a_cursor_is_good_where_it_was_made_and_refused_everywhere_else(world):
    made = {name: await cursor(world, path) for name, path in LISTS.items()}
    foreign = await cursor(world, "/catalogs", "globex")
    for name, path in LISTS.items():
        good = made[name]
        assert await used(world, path, good) == 200, name
        bad = {
            "of another tenant": foreign,
            "cut": good[:-1],
            "half": good[: len(good) // 2],
            "longer": good + "A",
            "another key": changed(good, key="c9"),
            "another manifest": changed(good, m=f"{1:020d}"),
            "no signature": changed(good, s=None),
            "an empty signature": changed(good, s=""),
            "a made-up signature": changed(good, s="A" * 22),
            "more fields": changed(good, x=1),
            "padded": good + "==",
            "nothing": "e30",
            **{f"of {other}": text for other, text in made.items() if other != name},
        }
        for kind, text in bad.items():
            assert await used(world, path, text) == 400, (name, kind)
        assert await used(world, path, good, "globex") == 400, name


async def test_a46_a_cursor_of_another_secret_is_refused(tmp_path):
    storage = f"file://{tmp_path}"
    async with a_world({**TOKENS, "ARCO_CURSOR_SECRET": SECRET}, storage=storage) as world:
        await filled(world, "acme")
        good = await cursor(world, "/catalogs")
    async with a_world({**TOKENS, "ARCO_CURSOR_SECRET": SECRET}, storage=storage) as world:
        assert await used(world, "/catalogs", good) == 200
    async with a_world({**TOKENS, "ARCO_CURSOR_SECRET": OTHER_SECRET}, storage=storage) as world:
        assert await used(world, "/catalogs", good) == 400
