"""A-41: no caller can make a new series."""

from tests.http.world import a_world

KINDS = 60


def _series(text: str) -> int:
    return sum(not line.startswith("#") for line in text.splitlines())


async def test_a41_paths_tenants_agents_and_methods_make_no_series():
    async with a_world() as world, world.client() as api:

        async def round_of(first: int, count: int) -> int:
            for number in range(first, first + count):
                scope = {"X-Tenant-Id": f"t{number}", "X-Workspace-Id": "w", "User-Agent": f"agent/{number}"}
                await api.get(f"/nothing/{number}", headers=scope)
                await api.get("/catalogs", headers={**scope, "X-User-Id": f"u{number}"})
                await api.request(f"M{number}", f"/catalogs/c{number}", headers=scope)
                await api.get(f"/catalogs?limit={number + 1_000}", headers=scope)
            return _series((await api.get("http://localhost/metrics")).text)

        await round_of(0, 5)
        before = await round_of(5, 5)
        assert await round_of(10, KINDS) == before
