from pathlib import Path

import pytest

from arco.storage.local import LocalStore
from arco.storage.locate import CloudStorageMissing, StorageUrlRefused, store_from_url
from arco.storage.memory import MemoryStore


def root_of(text: str) -> Path:
    store = store_from_url(text)
    assert isinstance(store, LocalStore)
    return store.root


def test_file_urls_name_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert root_of("file:///var/lib/arco") == Path("/var/lib/arco")
    assert root_of("file://localhost/var/lib/arco") == Path("/var/lib/arco")
    assert root_of("file:///with%20space") == Path("/with space")
    assert root_of("file://./.arco") == tmp_path.resolve() / ".arco"
    assert root_of("file://../sibling") == tmp_path.resolve().parent / "sibling"
    assert root_of("FILE://.") == tmp_path.resolve()
    assert list(tmp_path.iterdir()) == []


def test_memory_is_a_store_of_its_own_each_time():
    first, second = store_from_url("memory://"), store_from_url("memory:///")
    assert isinstance(first, MemoryStore)
    assert isinstance(second, MemoryStore)
    assert first is not second


@pytest.mark.parametrize("text", ["gs://bucket", "gcs://bucket/x", "s3://bucket", "az://c", "bare-bucket-name"])
def test_cloud_buckets_are_understood_and_refused(text: str):
    with pytest.raises(CloudStorageMissing, match="not in this release") as caught:
        store_from_url(text)
    assert text in caught.value.message
    assert "file://" in caught.value.message


@pytest.mark.parametrize(
    "text", ["", "  ", "file://", "file://relative/path", "ftp://x", "memory://name", "file:///a%00b"]
)
def test_other_texts_are_refused_with_the_fix(text: str):
    with pytest.raises(StorageUrlRefused, match=r"use file:///absolute/path|memory:// takes no name"):
        store_from_url(text)
