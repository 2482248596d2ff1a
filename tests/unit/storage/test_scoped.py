import pytest

from arco.core.paths import Key
from arco.core.scope import Scope
from arco.storage.capabilities import Role
from arco.storage.memory import MemoryStore
from arco.storage.port import Absent, Deleted, Matches, Stored, WriteForbidden
from arco.storage.scoped import RoleStore, TenantStore

ESCAPES = ["../x", "a/../../x", "/x", "..", ".", "", "a//b", "a\\b", "%2e%2e/x", "a/\0", "a/", ".locks/x", "x\ny"]


@pytest.fixture
def bucket() -> MemoryStore:
    return MemoryStore()


async def test_a_scope_s_keys_carry_its_prefix(bucket: MemoryStore):
    await TenantStore(bucket, Scope("acme", "prod")).put(Key("ledger/1"), b"x", when=Absent())
    assert [info.key for info in await bucket.list_page("")] == ["tenant=acme/workspace=prod/ledger/1"]


async def test_two_scopes_share_nothing(bucket: MemoryStore):
    # One id is the beginning of the other: prefixes must not run into each other.
    one, other = TenantStore(bucket, Scope("acme", "prod")), TenantStore(bucket, Scope("acme", "prod2"))
    await one.put(Key("a"), b"one", when=Absent())
    await other.put(Key("a"), b"other", when=Absent())
    await other.put(Key("b"), b"other", when=Absent())
    found = await one.get(Key("a"))
    assert found is not None
    assert found.body == b"one"
    assert [info.key for info in await one.list_page("")] == ["a"]
    assert [info.key for info in await other.list_page("", after="a")] == ["b"]
    assert await one.head(Key("b")) is None


@pytest.mark.parametrize("text", ESCAPES)
async def test_a_key_that_could_leave_the_scope_is_refused_by_every_operation(bucket: MemoryStore, text: str):
    store, key = TenantStore(bucket, Scope("acme", "prod")), Key(text)
    for work in (
        store.get(key),
        store.get_range(key, 0, 1),
        store.head(key),
        store.put(key, b"", when=Absent()),
        store.delete(key, when=Matches("1")),
        store.settle(key),
    ):
        with pytest.raises(WriteForbidden):
            await work


@pytest.mark.parametrize("prefix", ["../", "/", "a/../", "..", ".", "a//", "%2e"])
async def test_a_listing_that_could_leave_the_scope_is_refused(bucket: MemoryStore, prefix: str):
    with pytest.raises(WriteForbidden):
        await TenantStore(bucket, Scope("acme", "prod")).list_page(prefix)


async def test_a_cursor_from_elsewhere_stays_in_the_scope(bucket: MemoryStore):
    one, other = TenantStore(bucket, Scope("acme", "prod")), TenantStore(bucket, Scope("zeta", "prod"))
    await one.put(Key("a"), b"", when=Absent())
    await other.put(Key("a"), b"", when=Absent())
    for after in ("../", "zzz", "/", "tenant=zeta/"):
        assert all(info.key == "a" for info in await one.list_page("", after=after))


@pytest.mark.parametrize(
    ("role", "key"),
    [
        ("api", "snapshots/workspace/x"),
        ("api", "manifests/workspace/1.json"),
        ("api", "manifests/root.manifest.json"),
        ("api", "commits/workspace/1.json"),
        ("api", "state/orchestration/x"),
        ("api", "nowhere"),
        ("compactor", "ledger/orchestration/1.json"),
        ("compactor", "state/orchestration/x"),
        ("compactor", "commits/orchestration/x"),
        ("compactor", "manifests/orchestration/1.json"),
        ("flow-compactor", "manifests/workspace/1.json"),
        ("flow-compactor", "ledger/catalog/1.json"),
        ("dispatcher", "ledger/catalog/1.json"),
        ("sweeper", "snapshots/workspace/x"),
    ],
)
async def test_a_role_cannot_write_what_is_not_its_own(bucket: MemoryStore, role: Role, key: str):
    store = RoleStore(bucket, role)
    with pytest.raises(WriteForbidden, match=role):
        await store.put(Key(key), b"", when=Absent())
    with pytest.raises(WriteForbidden):
        await store.put(Key(key), b"", when=Matches("1"))
    with pytest.raises(WriteForbidden):
        await store.delete(Key(key), when=Matches("1"))
    assert await store.get(Key(key)) is None


@pytest.mark.parametrize(
    ("role", "name"), [("compactor", "ledger/catalog/1.json"), ("flow-compactor", "ledger/orchestration/1.json")]
)
async def test_a_compactor_removes_ledger_objects_that_are_over_and_writes_none(
    bucket: MemoryStore, role: Role, name: str
):
    store, key = RoleStore(bucket, role), Key(name)
    for when in (Absent(), Matches("1")):
        with pytest.raises(WriteForbidden):
            await store.put(key, b"", when=when)
    await bucket.put(key, b"", when=Absent())
    info = await store.head(key)
    assert info is not None
    await store.delete(key, when=Matches(info.version))
    assert await store.get(key) is None


async def test_a_role_writes_its_own_and_no_more_than_it_may(bucket: MemoryStore):
    scoped = TenantStore(bucket, Scope("acme", "prod"))
    api, compactor = RoleStore(scoped, "api"), RoleStore(scoped, "compactor")
    stored = await api.put(Key("ledger/catalog/1.json"), b"unit", when=Absent())
    assert isinstance(stored, Stored)
    with pytest.raises(WriteForbidden):
        await api.put(Key("ledger/catalog/1.json"), b"other", when=Matches(stored.version))
    with pytest.raises(WriteForbidden):
        await api.delete(Key("ledger/catalog/1.json"), when=Matches(stored.version))
    pointer = await compactor.put(Key("manifests/catalog.pointer.json"), b"1", when=Absent())
    assert isinstance(pointer, Stored)
    swapped = await compactor.put(Key("manifests/catalog.pointer.json"), b"2", when=Matches(pointer.version))
    assert isinstance(swapped, Stored)
    segment = await compactor.put(Key("snapshots/workspace/tables/1.parquet"), b"", when=Absent())
    assert isinstance(segment, Stored)
    with pytest.raises(WriteForbidden):
        await compactor.put(Key("snapshots/workspace/tables/1.parquet"), b"x", when=Matches(segment.version))
    deleted = await compactor.delete(Key("snapshots/workspace/tables/1.parquet"), when=Matches(segment.version))
    assert deleted == Deleted()
