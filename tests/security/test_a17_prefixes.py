"""A-17: what belongs to a tenant is below exactly its own segment, and no prefix of one is a prefix of another's."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.http.world import a_world

from arco.core.paths import checked_key
from arco.core.scope import InvalidScopeId, Scope, scope_from_request
from arco.storage.memory import MemoryStore
from arco.storage.names import list_prefix
from arco.storage.port import Absent, WriteForbidden
from arco.storage.scoped import TenantStore

IDS = st.from_regex(r"[a-z0-9_-]{1,6}", fullmatch=True)


@given(IDS, IDS, IDS, IDS)
def test_a17_no_scope_is_inside_another(tenant: str, workspace: str, other: str, place: str):
    one, two = Scope(tenant, workspace), Scope(other, place)
    assume(one != two)
    assert not one.prefix.startswith(two.prefix)
    assert not two.prefix.startswith(one.prefix)
    assert one.prefix.endswith("/")


@given(st.text(max_size=20), st.text(max_size=20))
def test_a17_a_scope_id_has_no_segment_of_its_own(tenant: str, workspace: str):
    try:
        scope = scope_from_request(tenant, workspace)
    except InvalidScopeId:
        return
    assert scope.prefix.count("/") == 2
    assert scope.prefix == f"tenant={scope.tenant}/workspace={scope.workspace}/"
    assert ".." not in scope.prefix and "%" not in scope.prefix


@pytest.mark.parametrize("tenant", ["a/workspace=x/..", "a/b", "..", "a\\b", "a%2fb", "", "a\0", "a b"])
async def test_a17_a_tenant_that_is_a_path_is_400_unseen_by_storage(tenant: str):
    async with a_world() as world, world.client() as api:
        answer = await api.get("/catalogs", headers={b"X-Tenant-Id": tenant.encode(), b"X-Workspace-Id": b"w"})
        if tenant:  # a header without a value is none
            assert answer.status_code == 400
            assert world.store.operations == []


async def test_a17_a_neighbour_with_the_same_beginning_is_not_listed():
    store = MemoryStore()
    neighbours = [Scope("a", "w"), Scope("ab", "w"), Scope("a", "ww"), Scope("a-b", "w")]
    for scope in neighbours:
        await TenantStore(store, scope).put(checked_key("x/1"), b"", when=Absent())
    for scope in neighbours:
        for prefix in ("", "x", "x/"):
            assert [found.key for found in await TenantStore(store, scope).list_page(prefix)] == ["x/1"]


@pytest.mark.parametrize("prefix", ["../", "/", "x/../", "..", "x//", "%2e%2e/", "a\\b"])
async def test_a17_a_list_stays_inside_its_scope(prefix: str):
    with pytest.raises(WriteForbidden):
        await TenantStore(MemoryStore(), Scope("a", "w")).list_page(prefix)


async def test_a17_every_operation_of_a_tenant_is_below_its_segment():
    async with a_world() as world:
        async with world.client({"X-Tenant-Id": "a", "X-Workspace-Id": "w"}) as api:
            assert (await api.post("/catalogs", json={"name": "c"})).status_code == 201
            await api.get("/catalogs")
        seen = [operation.key for operation in world.store.operations]
        assert seen and all(key.startswith("tenant=a/workspace=w/") for key in seen)
        assert all(operation.name != "list" for operation in world.store.operations)


def test_a17_prefixes_end_at_a_segment():
    assert list_prefix("") == "" and list_prefix("ledger/") == "ledger/"
