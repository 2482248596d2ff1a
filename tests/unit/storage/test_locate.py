import sys
from pathlib import Path

import pytest

from arco.core.errors import InvalidInput
from arco.storage.gcs import GcsStore
from arco.storage.local import LocalStore
from arco.storage.locate import CloudStorageMissing, StorageUrlRefused, store_from_url
from arco.storage.memory import MemoryStore
from arco.storage.s3 import S3Store


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


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("gs://bucket", ""),
        ("gcs://bucket/", ""),
        ("bucket", ""),
        ("GS://bucket/lake", "lake/"),
        ("gs://bucket/a/b c/", "a/b c/"),
    ],
)
def test_buckets_of_cloud_storage_are_opened_with_their_prefix(text: str, prefix: str):
    store = store_from_url(text, {"STORAGE_EMULATOR_HOST": "localhost:9"})
    assert isinstance(store, GcsStore)
    assert (store.bucket, store.prefix) == ("bucket", prefix)
    assert store.wire.host == "http://localhost:9"
    assert store.wire.credentials is None


def test_buckets_of_s3_are_opened_with_their_prefix():
    store = store_from_url("s3://bucket/lake", {})
    assert isinstance(store, S3Store)
    assert (store.bucket, store.prefix) == ("bucket", "lake/")
    assert isinstance(store_from_url("s3a://bucket", {}), S3Store)


@pytest.mark.parametrize(
    "text", ["gs://", "gs:///x", "gs://B", "s3://b", "gs://bucket/../x", "gs://bucket/a%2fb", "a/b"]
)
def test_what_cannot_be_a_bucket_or_begin_a_key_is_refused(text: str):
    with pytest.raises(StorageUrlRefused):
        store_from_url(text, {})


def test_other_clouds_are_told_apart_from_other_schemes():
    with pytest.raises(CloudStorageMissing, match="Azure Blob Storage, which this release cannot open"):
        store_from_url("az://container", {})


@pytest.mark.parametrize(
    ("text", "module", "fix"),
    [("gs://bucket", "gcsfs", r"pip install 'arco\[gcs\]'"), ("s3://bucket", "s3fs", r"pip install 'arco\[s3\]'")],
)
def test_an_extra_that_is_not_installed_is_named_with_how_to_install_it(
    text: str, module: str, fix: str, monkeypatch: pytest.MonkeyPatch
):
    for name in [name for name in sys.modules if name.startswith(("arco.storage.gcs", "arco.storage.s3", module))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, f"{module}.core", None)
    with pytest.raises(CloudStorageMissing, match=fix):
        store_from_url(text, {})


def test_without_google_credentials_it_is_told_how_to_give_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    with pytest.raises(InvalidInput, match="set GOOGLE_APPLICATION_CREDENTIALS"):
        store_from_url("gs://bucket", {})


@pytest.mark.parametrize(
    "text", ["", "  ", "file://", "file://relative/path", "ftp://x", "memory://name", "file:///a%00b"]
)
def test_other_texts_are_refused_with_the_fix(text: str):
    with pytest.raises(StorageUrlRefused, match=r"use file:///absolute/path|memory:// takes no name"):
        store_from_url(text)
