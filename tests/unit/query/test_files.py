"""The two forms of `DataFiles` over real stores and folders."""

import os

import pytest

from arco.core.errors import InvalidInput, NotFound
from arco.core.paths import Key
from arco.core.scope import Scope
from arco.query import files
from arco.query.files import DataFiles, FolderFiles, Handed, StoreFiles
from arco.storage.memory import MemoryStore
from arco.storage.port import Absent, ObjectInfo
from arco.storage.scoped import TenantStore

KEYS = ["w/t.parquet", "w/t/a.parquet", "w/t/b/c.parquet", "w/t2/d.parquet"]


@pytest.fixture(params=["folder", "store"])
async def found(request, tmp_path) -> DataFiles:
    if request.param == "folder":
        for key in KEYS:
            (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / key).write_bytes(key.encode())
        return FolderFiles(str(tmp_path))
    store = MemoryStore()
    for key in KEYS:
        await TenantStore(store, Scope("a", "b")).put(Key(key), key.encode(), when=Absent())
    return StoreFiles(TenantStore(store, Scope("a", "b")))


async def test_a_listing_holds_what_lies_below_and_nothing_beside(found):
    assert [(info.key, info.size_bytes) for info in await found.list("w/t/")] == [
        ("w/t/a.parquet", 13),
        ("w/t/b/c.parquet", 15),
    ]
    assert list(await found.list("w/none/")) == []


async def test_files_are_told_from_folders_and_from_nothing(found):
    info = await found.info("w/t.parquet")
    assert info is not None
    assert info.size_bytes == len("w/t.parquet")
    assert await found.info("w/t") is None
    assert await found.info("w/none.parquet") is None


async def test_bytes_are_read_and_missing_ones_are_none(found):
    assert await found.read("w/t/a.parquet") == b"w/t/a.parquet"
    assert await found.read("w/none.parquet") is None


async def test_a_folder_with_too_many_files_is_refused(found, monkeypatch):
    monkeypatch.setattr(files, "LISTED_FILES_MAX", 1)
    with pytest.raises(InvalidInput, match="more than 1 files"):
        await found.list("w/t/")


async def test_a_listing_goes_on_over_pages(found, monkeypatch):
    monkeypatch.setattr(files, "_PAGE", 1)
    assert len(await found.list("w/")) == 4


async def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    (tmp_path / "scope").mkdir()
    (tmp_path / "secret.parquet").write_bytes(b"secret")
    os.symlink(tmp_path / "secret.parquet", tmp_path / "scope" / "link.parquet")
    folder = FolderFiles(str(tmp_path / "scope"))
    assert folder.local_path("link.parquet") is None
    assert await folder.info("link.parquet") is None
    assert await folder.read("link.parquet") is None
    assert list(await folder.list("")) == []


async def test_files_are_handed_over_under_the_names_they_are_given_and_a_missing_one_is_told(found):
    infos = {info.key: info for info in await found.list("w/")}
    with Handed() as handed:
        wanted = [("x", infos["w/t/a.parquet"]), ("y/z", infos["w/t/b/c.parquet"])]
        slices = await handed.take(found, wanted)
        assert [one.path for one in slices] == ["x", "y/z"]
        read = [os.pread(handed.descriptors[one.descriptor], one.size, one.offset) for one in slices]
        assert read == [b"w/t/a.parquet", b"w/t/b/c.parquet"]
        gone = ObjectInfo(Key("w/t/gone"), "1", 5, 0)
        with pytest.raises(NotFound, match="w/t/gone"):
            await handed.take(found, [("gone", gone)])


async def test_a_file_that_changed_after_it_was_counted_is_not_handed_over():
    store = MemoryStore()
    await store.put(Key("a"), b"12345", when=Absent())
    with Handed() as handed, pytest.raises(NotFound):
        await handed.take(StoreFiles(store), [("a", ObjectInfo(Key("a"), "1", 4, 0))])


async def test_many_files_of_this_machine_are_copied_instead_of_being_held_open(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_IN_PLACE_MAX", 1)
    for name in "ab":
        (tmp_path / name).write_text(name * 3)
    folder = FolderFiles(str(tmp_path))
    with Handed() as handed:
        slices = await handed.take(folder, [(info.key, info) for info in await folder.list("")])
        assert len(handed.descriptors) == 1
        read = [os.pread(handed.descriptors[0], one.size, one.offset) for one in slices]
        assert read == [b"aaa", b"bbb"]
