"""Every adapter passes the one suite, and the suite catches every defect it was written against."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.broken_store import BrokenStore, Defect

from arco.core.scope import Scope
from arco.storage.conformance import (
    CHECKS,
    Check,
    Ground,
    NotConforming,
    a_replacement_needs_the_current_version,
    a_second_create_changes_nothing,
    a_write_is_seen_at_once,
    bytes_belong_to_the_store,
    deletes_need_the_current_version,
    empty_and_large_objects_are_kept,
    key_bytes_are_kept,
    listing_is_ordered_and_exclusive,
    one_of_many_creates_wins,
    one_of_many_replacements_wins,
    ranges_are_clipped,
    readers_see_whole_objects,
    versions_never_return,
)
from arco.storage.counting import CountingStore
from arco.storage.local import LocalStore
from arco.storage.local_disk import Disk
from arco.storage.memory import MemoryStore
from arco.storage.scoped import TenantStore

CAUGHT_BY = {
    Defect.CHECKS_THEN_WRITES: one_of_many_creates_wins,
    Defect.COMPARES_THEN_SWAPS: one_of_many_replacements_wins,
    Defect.VERSION_IS_CONTENT_HASH: versions_never_return,
    Defect.VERSION_RESTARTS_AFTER_DELETE: versions_never_return,
    Defect.SWAP_CREATES_WHAT_IS_ABSENT: a_replacement_needs_the_current_version,
    Defect.DELETE_IGNORES_VERSION: deletes_need_the_current_version,
    Defect.DELETE_OF_NOTHING_SUCCEEDS: deletes_need_the_current_version,
    Defect.SAME_BYTES_ARE_STORED_TWICE: a_second_create_changes_nothing,
    Defect.LOSER_LEARNS_NOTHING: a_second_create_changes_nothing,
    Defect.CURSOR_IS_INCLUSIVE: listing_is_ordered_and_exclusive,
    Defect.LISTS_IN_ORDER_OF_WRITING: listing_is_ordered_and_exclusive,
    Defect.LISTS_BY_FOLDER: listing_is_ordered_and_exclusive,
    Defect.PREFIX_IS_A_FOLDER: listing_is_ordered_and_exclusive,
    Defect.FOLDS_CASE: key_bytes_are_kept,
    Defect.NORMALISES_NAMES: key_bytes_are_kept,
    Defect.WRITES_IN_TWO_STEPS: readers_see_whole_objects,
    Defect.KEEPS_THE_CALLERS_BUFFER: bytes_belong_to_the_store,
    Defect.READS_ARE_STALE: a_write_is_seen_at_once,
    Defect.RANGE_END_IS_INCLUSIVE: ranges_are_clipped,
    Defect.RANGE_BEYOND_END_IS_ABSENT: ranges_are_clipped,
    Defect.EMPTY_OBJECTS_ARE_ABSENT: empty_and_large_objects_are_kept,
}


class NamedFilesOnly(Disk):
    """A file system without nameless files, as on macOS and on network shares."""

    def create_unnamed(self, directory: int) -> int | None:
        return None


def memory(_: Path) -> Ground:
    return Ground((MemoryStore(),), "ground/", rounds=100)


def scoped_memory(_: Path) -> Ground:
    return Ground((TenantStore(MemoryStore(), Scope("acme", "prod")),), "ground/")


def counted_memory(_: Path) -> Ground:
    return Ground((CountingStore(MemoryStore()),), "ground/")


def local(root: Path) -> Ground:
    return Ground((LocalStore(root), LocalStore(root)), "ground/", rounds=20)


def scoped_local(root: Path) -> Ground:
    stores = (TenantStore(LocalStore(root), Scope("acme", "prod")) for _ in range(2))
    return Ground(tuple(stores), "ground/")


def local_with_named_files(root: Path) -> Ground:
    return Ground(tuple(LocalStore(root, disk=NamedFilesOnly()) for _ in range(2)), "ground/")


@pytest.fixture(params=[memory, scoped_memory, counted_memory, local, scoped_local, local_with_named_files])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    made: Ground = request.param(tmp_path / "store")
    yield made
    for handle in made.handles:
        if isinstance(handle, LocalStore):
            handle.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_every_adapter_conforms(check: Check, ground: Ground):
    await check(ground)


@pytest.mark.parametrize("defect", Defect, ids=lambda defect: defect.name.lower())
async def test_the_suite_catches_a_broken_adapter(defect: Defect):
    with pytest.raises(NotConforming):
        await CAUGHT_BY[defect](Ground((BrokenStore(defect),), "ground/", large_bytes=1024))
