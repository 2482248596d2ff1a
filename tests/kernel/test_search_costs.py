"""What a search reads of a catalog much larger than its page: counts of segments, the same on every machine."""

from collections import Counter
from typing import Any

import msgspec
import pytest
from benchmarks.loading import SCOPE
from tests.builders import an_envelope

from arco.core.ids import ulid_from_int, ulid_to_int
from arco.domains.catalog.events import ColumnRecord, NamespaceCreated, NamespaceRecord, TableRecord, TableRegistered
from arco.domains.catalog.fold import CATALOG
from arco.domains.search import lookups, several
from arco.domains.search.fold import SearchDomain
from arco.domains.search.queries import Results, Search, search
from arco.domains.search.rank import DEFAULT_KINDS
from arco.kernel import merge as merge_module
from arco.kernel.compactor import Compactor
from arco.kernel.envelope import Unit
from arco.roles.process import Process, make_process
from arco.storage.counting import CountingStore

from .test_derived import shop_of

TABLES = 480
SUBJECTS = ["order", "invoice", "trip", "visit"]
SHAPES = ["daily", "weekly", "raw"]


def units(process: Process) -> list[Unit]:
    """Tables of every subject and shape with a column `amount`; every eighth has a description."""
    events: list[Any] = [NamespaceCreated(namespace=NamespaceRecord(id="n1", name="s", created_at=1, updated_at=1))]
    for number in range(TABLES):
        table_id = process.ids.uuid7()
        name = f"{SUBJECTS[number % 4]}_{SHAPES[number % 3]}_{(number * 7919) % 10_000:04d}"
        note = f"The {name.split('_', maxsplit=1)[0]} records" if number % 8 == 0 else None
        column = ColumnRecord(
            id=process.ids.uuid7(), table_id=table_id, name="amount", data_type="INT", is_nullable=True, ordinal=0
        )
        record = TableRecord(id=table_id, namespace_id="n1", name=name, description=note, created_at=1, updated_at=1)
        events.append(TableRegistered(table=record, columns=[column]))
    first = ulid_to_int(process.ids.ulid())
    return [
        Unit((msgspec.structs.replace(an_envelope(event), event_id=ulid_from_int(first + index)),))
        for index, event in enumerate(events)
    ]


class Searched:
    """A catalog whose segments hold eight rows, asked by processes that have read nothing yet."""

    def __init__(self, process: Process, store: CountingStore) -> None:
        self._process = process
        self._store = store

    async def ask(self, text: str, after: str | None = None) -> tuple[Results, Counter[str]]:
        """A page of ten, and how many objects of each table were read for it."""
        cold = make_process("memory://")
        cold.store = self._process.store
        snapshot = await cold.reader(SCOPE, "api").head()
        self._store.forget()
        results = await search(snapshot, Search(text=text, kinds=DEFAULT_KINDS, limit=10), after)
        reads = Counter(each.key.split("/")[-2] for each in self._store.operations)
        return results, reads


@pytest.fixture
async def searched(monkeypatch: pytest.MonkeyPatch) -> Searched:
    for name, size in [("SEGMENT_ROWS_TARGET", 8), ("SEGMENT_ROWS_MAX", 16), ("_UNDERFULL", 2)]:
        monkeypatch.setattr(merge_module, name, size)
    # What is sized in rows is made for segments of 512.
    for module, name, size in [(several, "_STRIDE", 16), (several, "STEP", 8), (lookups, "_HOLDERS_MAX", 64)]:
        monkeypatch.setattr(module, name, size)
    monkeypatch.setattr(lookups, "SEGMENT_ROWS_MAX", 8)
    monkeypatch.setattr(lookups, "_GLANCE", 8)
    process = make_process("memory://")
    process.store = store = CountingStore(process.store)
    compactor = Compactor(shop_of(process, CATALOG, SearchDomain()), idle_merge_ms=1_000_000)
    compactor.start()
    await compactor.submit(units(process), 0)
    await compactor.settle()
    await compactor.stop()
    return Searched(process, store)


PAGES = [
    ("daily amount", 10, 28),  # every table has the column: tables that lie together are looked up together
    ("order amo", 10, 36),
    ("order dai", 10, 24),
    ("order weekly", 10, 24),
    ("records order", 10, 30),
    ("order invoice", 0, 40),  # common apart, never together
    ("amount 0000", 1, 30),
]
"""A query, how many of ten it finds, and how many objects of postings a process may read for them that
has read none: of those about twenty tell that a word is not in a lane, and are in the cache from then on."""


async def test_a_page_of_two_words_reads_few_segments_and_no_rows_of_tables(searched):
    read: list[tuple[str, int, int]] = []
    for text, found, _ in PAGES:
        results, reads = await searched.ask(text)
        assert len(results.results) == found, text
        assert reads["tables"] == 0, text
        read.append((text, found, reads["token_postings"]))
    assert all(count <= most for (_, _, count), (_, _, most) in zip(read, PAGES, strict=True)), read
