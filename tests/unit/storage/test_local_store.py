import asyncio
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.storage.clocks import FrozenClock
from tests.unit.storage.faulty_disk import CoarseTimes, FaultyDisk, NamedFilesOnly, RepeatingLinks

from arco.core.paths import InvalidKey, Key
from arco.storage.local import INLINE_BYTES_MAX, LOCK_WAIT_MS_MAX, LocalStore
from arco.storage.local_disk import Disk
from arco.storage.local_locks import KeyLocks
from arco.storage.local_writes import LOCKS, TEMPORARY, TEMPORARY_AGE_MS_MAX
from arco.storage.port import (
    Absent,
    Deleted,
    Lost,
    Matches,
    StorageUnavailable,
    Stored,
    StoredObject,
    Unsure,
    WriteRefused,
)

KEY = Key("ledger/catalog/1.json")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "store"


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def store(root: Path, disk: FaultyDisk, clock: FrozenClock) -> Iterator[LocalStore]:
    made = LocalStore(root, disk=disk, clock=clock)
    yield made
    made.close()


async def created(store: LocalStore, body: bytes = b"body", key: Key = KEY) -> str:
    outcome = await store.put(key, body, when=Absent())
    assert isinstance(outcome, Stored)
    return outcome.version


async def test_a_file_holds_exactly_the_body(store: LocalStore, root: Path):
    await created(store, b"exact\0bytes")
    assert (root / KEY).read_bytes() == b"exact\0bytes"


async def test_reading_makes_nothing(store: LocalStore, root: Path):
    assert await store.get(KEY) is None
    assert await store.list_page("") == []
    await store.settle(KEY)
    assert not os.access(root, os.F_OK)


async def test_a_creation_is_durable_before_it_is_visible(store: LocalStore, disk: FaultyDisk):
    await created(store)
    disk.calls.clear()
    await created(store, key=Key("ledger/catalog/2.json"))
    assert disk.calls == ["open", "write", "stamp", "sync_file", "link", "sync_directory"]


async def test_a_replacement_is_durable_before_it_is_visible(store: LocalStore, disk: FaultyDisk):
    version = await created(store)
    for _ in range(2):
        disk.calls.clear()
        outcome = await store.put(KEY, b"next", when=Matches(version))
        assert isinstance(outcome, Stored)
        version = outcome.version
    written = [call for call in disk.calls if call != "make_directory"]
    # The first stamp raises the floor, the second is the new object's.
    assert written == ["stamp", "open", "write", "stamp", "sync_file", "rename", "sync_directory"]


async def test_new_directories_are_synced_in_their_parents_once(store: LocalStore, disk: FaultyDisk):
    await created(store)
    made = disk.calls.count("make_directory")
    assert disk.calls.count("sync_directory") == made + 1
    disk.calls.clear()
    await created(store, key=Key("ledger/catalog/2.json"))
    assert disk.calls.count("sync_directory") == 1
    disk.calls.clear()
    await created(store, key=Key("ledger/lineage/2.json"))
    assert disk.calls.count("make_directory") == 1
    assert disk.calls.count("sync_directory") == 2


async def test_directories_another_process_made_are_synced_too(store: LocalStore, disk: FaultyDisk, root: Path):
    (root / "ledger" / "catalog").mkdir(parents=True)
    await created(store)
    assert disk.calls.count("sync_directory") == 4


async def test_a_tree_removed_under_a_running_store_is_made_again(store: LocalStore, root: Path):
    await created(store)
    os.rename(root, f"{root}-moved-away")
    await created(store)
    assert (root / KEY).read_bytes() == b"body"


async def test_a_link_to_the_root_is_followed(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    store = LocalStore(tmp_path / "link")
    await created(store)
    assert (tmp_path / "real" / KEY).exists()
    store.close()


@pytest.mark.parametrize("call", ["open", "write", "stamp", "sync_file"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
async def test_a_failure_before_the_name_is_a_refusal_and_leaves_nothing(
    store: LocalStore, disk: FaultyDisk, call: str, code: int
):
    disk.fail(call, code)
    with pytest.raises(WriteRefused, match=os.strerror(code)):
        await store.put(KEY, b"body", when=Absent())
    assert await store.get(KEY) is None
    disk.heal()
    await created(store)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
async def test_a_link_that_surely_failed_is_a_refusal(store: LocalStore, disk: FaultyDisk, code: int):
    disk.fail("link", code)
    with pytest.raises(WriteRefused):
        await store.put(KEY, b"body", when=Absent())


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EINTR])
async def test_a_name_step_of_which_nobody_knows_is_unsure(store: LocalStore, disk: FaultyDisk, code: int):
    other = Key("ledger/catalog/2.json")
    version = await created(store, key=other)
    for call in ("link", "rename", "unlink"):
        disk.fail(call, code)
    assert isinstance(await store.put(KEY, b"body", when=Absent()), Unsure)
    assert isinstance(await store.put(other, b"body", when=Matches(version)), Unsure)
    assert isinstance(await store.delete(other, when=Matches(version)), Unsure)


async def test_after_a_failed_directory_sync_nothing_is_called_durable_any_more(store: LocalStore, disk: FaultyDisk):
    version = await created(store)
    other = Key("ledger/catalog/2.json")
    disk.fail("sync_directory")
    assert isinstance(await store.put(other, b"body", when=Absent()), Unsure)
    disk.heal()
    # The kernel may report success now for names it dropped then.
    with pytest.raises(StorageUnavailable, match="restart"):
        await store.settle(other)
    with pytest.raises(WriteRefused, match="restart"):
        await store.put(Key("ledger/catalog/3.json"), b"body", when=Absent())
    with pytest.raises(WriteRefused, match="restart"):
        await store.delete(KEY, when=Matches(version))
    # A repetition must not turn the unknown into a no.
    assert isinstance(await store.put(other, b"body", when=Absent()), Unsure)
    assert isinstance(await store.put(KEY, b"body", when=Matches("earlier")), Unsure)
    assert await store.get(KEY) == StoredObject(b"body", version)


@pytest.mark.parametrize("write", ["replace", "delete"])
async def test_a_swap_whose_directory_sync_fails_is_unsure(store: LocalStore, disk: FaultyDisk, write: str):
    version = await created(store)
    replaced = await store.put(KEY, b"2", when=Matches(version))
    assert isinstance(replaced, Stored)
    disk.fail("sync_directory")
    when = Matches(replaced.version)
    outcome = await (store.put(KEY, b"3", when=when) if write == "replace" else store.delete(KEY, when=when))
    assert isinstance(outcome, Unsure)


async def test_a_failed_sync_on_the_way_to_a_new_directory_is_a_refusal(store: LocalStore, disk: FaultyDisk):
    disk.fail("sync_directory")
    with pytest.raises(WriteRefused, match="syncing a directory failed"):
        await store.put(KEY, b"body", when=Absent())
    assert await store.get(KEY) is None


async def test_versions_do_not_return_while_the_clock_stands_still(store: LocalStore):
    seen: set[str] = set()
    for _ in range(200):
        first = await created(store)
        replaced = await store.put(KEY, b"body", when=Matches(first))
        assert isinstance(replaced, Stored)
        assert await store.delete(KEY, when=Matches(replaced.version)) == Deleted()
        assert not seen & {first, replaced.version}
        seen |= {first, replaced.version}


async def test_versions_do_not_return_when_the_clock_steps_back(root: Path):
    seen: set[str] = set()
    for now_ms in (1_700_000_500_000, 1_700_000_000_000, 1_600_000_000_000, 1_700_000_500_000):
        store = LocalStore(root, clock=FrozenClock(now_ms))
        version = await created(store)
        assert await store.delete(KEY, when=Matches(version)) == Deleted()
        assert version not in seen
        seen.add(version)
        store.close()


async def test_a_version_outlives_the_process(store: LocalStore, root: Path):
    version = await created(store)
    os.link(root / KEY, root / "backup-copy")
    another = LocalStore(root)
    found = await another.get(KEY)
    assert found is not None
    assert found.version == version
    another.close()


async def test_the_modification_time_is_the_clock_s(store: LocalStore, clock: FrozenClock):
    await created(store)
    info = await store.head(KEY)
    assert info is not None
    assert info.modified_ms == clock.time_ms


async def test_a_file_system_with_coarse_times_is_refused(root: Path):
    store = LocalStore(root, disk=CoarseTimes(), clock=FrozenClock(1_700_000_000_001))
    with pytest.raises(WriteRefused, match="modification times"):
        await store.put(KEY, b"body", when=Absent())
    assert await store.get(KEY) is None
    store.close()


async def test_a_link_that_the_network_repeated_is_ours(root: Path):
    store = LocalStore(root, disk=RepeatingLinks())
    assert isinstance(await store.put(KEY, b"body", when=Absent()), Stored)
    store.close()


@pytest.mark.parametrize("kind", [FaultyDisk, NamedFilesOnly])
async def test_no_temporary_file_is_left(root: Path, kind: type[FaultyDisk]):
    disk = kind()
    store = LocalStore(root, disk=disk)
    version = await created(store)
    assert isinstance(await store.put(KEY, b"again", when=Absent()), Lost)
    assert isinstance(await store.put(KEY, b"next", when=Matches(version)), Stored)
    disk.fail("sync_file")
    with pytest.raises(WriteRefused):
        await store.put(Key("ledger/x"), b"body", when=Absent())
    assert list((root / TEMPORARY).iterdir()) == []
    store.close()


async def test_what_a_dead_writer_left_is_used_up_or_swept(store: LocalStore, root: Path, clock: FrozenClock):
    version = await created(store)
    (root / TEMPORARY).mkdir()
    old, young = root / TEMPORARY / "old.new", root / TEMPORARY / "young.new"
    for path, age_ms in ((old, TEMPORARY_AGE_MS_MAX + 1), (young, TEMPORARY_AGE_MS_MAX - 1)):
        path.write_bytes(b"left")
        os.utime(path, ns=((clock.time_ms - age_ms) * 1_000_000,) * 2)
    another = LocalStore(root, clock=clock)
    assert isinstance(await another.put(KEY, b"next", when=Matches(version)), Stored)
    assert list((root / TEMPORARY).iterdir()) == [young]
    another.close()


async def test_a_lock_that_is_not_released_refuses_replacements_and_never_creations(
    store: LocalStore, root: Path, clock: FrozenClock
):
    version = await created(store)
    (root / LOCKS).mkdir()
    with KeyLocks(Disk(), str(root / LOCKS)).held(KEY):
        started_ms = clock.time_ms
        with pytest.raises(WriteRefused, match="lock"):
            await store.put(KEY, b"next", when=Matches(version))
        assert LOCK_WAIT_MS_MAX <= clock.time_ms - started_ms <= LOCK_WAIT_MS_MAX + 100
        assert await store.put(KEY, b"next", when=Matches("stale")) == Lost(version)
        await created(store, key=Key("ledger/catalog/2.json"))
    assert isinstance(await store.put(KEY, b"next", when=Matches(version)), Stored)


async def test_a_key_may_not_be_the_directory_of_another(store: LocalStore):
    await created(store)
    with pytest.raises(WriteRefused):
        await store.put(Key("ledger/catalog"), b"body", when=Absent())
    with pytest.raises(WriteRefused):
        await store.put(Key(f"{KEY}/below"), b"body", when=Absent())
    directory = Key("ledger/catalog")
    assert await store.get(directory) is None
    assert await store.head(directory) is None
    assert await store.get(Key(f"{KEY}/below")) is None
    assert await store.put(directory, b"body", when=Matches("1")) == Lost(None)


@pytest.mark.parametrize(
    "text", ["../out", "/etc/passwd", "a/../b", ".locks/00", "a/.hidden", "a//b", "a/", "", "a\0b"]
)
async def test_keys_that_leave_the_root_or_are_ours_are_refused(store: LocalStore, text: str):
    for work in (
        store.get(Key(text)),
        store.head(Key(text)),
        store.put(Key(text), b"", when=Absent()),
        store.delete(Key(text), when=Matches("1")),
        store.settle(Key(text)),
    ):
        with pytest.raises(InvalidKey):
            await work


async def test_links_inside_the_root_are_no_objects(store: LocalStore, root: Path, tmp_path: Path):
    await created(store)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (root / "ledger" / "link").symlink_to(outside / "secret")
    (root / "linked").symlink_to(outside)
    link = Key("ledger/link")
    assert await store.get(link) is None
    assert await store.head(link) is None
    with pytest.raises(WriteRefused):
        await store.put(link, b"body", when=Absent())
    with pytest.raises(WriteRefused):
        await store.put(Key("linked/new"), b"body", when=Absent())
    assert [info.key for info in await store.list_page("")] == [KEY]
    assert (outside / "secret").read_bytes() == b"secret"


async def test_what_is_known_to_be_durable_is_not_synced_again(store: LocalStore, disk: FaultyDisk, root: Path):
    await created(store)
    disk.calls.clear()
    await store.settle(KEY)
    assert disk.calls == []
    another = LocalStore(root)
    other = Key("ledger/catalog/2.json")
    await created(another, key=other)
    await store.settle(other)
    await store.settle(other)
    assert disk.calls == ["sync_directory"]
    version = (await another.head(other)).version  # type: ignore[union-attr]  # it was created above
    assert isinstance(await another.put(other, b"newer", when=Matches(version)), Stored)
    await store.settle(other)
    assert disk.calls == ["sync_directory"] * 2
    another.close()


async def test_a_read_that_fails_is_unavailable(store: LocalStore, root: Path):
    class Unreadable(Disk):
        def read(self, fd: int, start: int, count: int) -> bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    await created(store)
    broken = LocalStore(root, disk=Unreadable())
    with pytest.raises(StorageUnavailable, match="Input/output error"):
        await broken.get(KEY)
    broken.close()


async def test_the_event_loop_runs_on_during_large_reads_and_writes(store: LocalStore):
    body = bytes(INLINE_BYTES_MAX * 8)
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count_turns())
    version = await created(store, body)
    assert turns > 1
    before = turns
    assert await store.get(KEY) == StoredObject(body, version)
    assert turns > before
    counting.cancel()


async def test_a_writer_that_died_before_its_rename_is_not_in_the_way_and_nothing_shares_its_bytes(
    store: LocalStore, disk: FaultyDisk, root: Path
):
    version = await created(store, b"first")
    disk.fail("rename")
    assert isinstance(await store.put(KEY, b"died", when=Matches(version)), Unsure)
    disk.heal()
    (left,) = (root / TEMPORARY).iterdir()
    # A link is what a died creation leaves where files cannot be nameless: its bytes are an object's.
    os.unlink(left)
    other = Key("ledger/catalog/2.json")
    await created(store, b"other", other)
    os.link(root / other, left)
    assert isinstance(await store.put(KEY, b"second", when=Matches(version)), Stored)
    assert (root / KEY).read_bytes() == b"second"
    assert (root / other).read_bytes() == b"other"
