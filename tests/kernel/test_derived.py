"""Derived tables on the real kernel: in the commit of what they follow from, in older chains step by step, replayed."""

import asyncio
from typing import Any

import msgspec
from benchmarks.loading import SCOPE
from tests.builders import an_envelope

from arco.core.ids import ulid_from_int, ulid_to_int
from arco.domains.catalog.events import NamespaceCreated, NamespaceRecord, TableRecord, TableRegistered
from arco.domains.catalog.fold import CATALOG
from arco.domains.catalog.tables import NAMESPACES, TABLES
from arco.domains.search.documents import namespace_postings, table_postings
from arco.domains.search.fold import SearchDomain
from arco.domains.search.rows import BUILDING, POSTINGS
from arco.kernel.chain import CATALOG_CHAIN
from arco.kernel.compactor import Compactor
from arco.kernel.envelope import Unit
from arco.kernel.fold import Domain
from arco.kernel.reader import ChainSnapshot
from arco.kernel.upkeep import keep_up, upkeep_unit
from arco.kernel.verify import Verifier, VerifyReport
from arco.kernel.workshop import Workshop
from arco.roles import chains
from arco.roles.chain_role import make_compactors
from arco.roles.process import Process, make_process
from arco.storage.counting import CountingStore

IDLE_MS = 1_000_000


def shop_of(process: Process, *domains: Domain) -> Workshop:
    return Workshop(
        process.scoped_store(SCOPE, "compactor"),
        CATALOG_CHAIN,
        domains,
        ports=process,
        cache=process.scoped_cache(SCOPE),
        grace_ms=process.grace_ms,
    )


def units(process: Process, count: int, *, schema: bool = True) -> list[Unit]:
    namespace = NamespaceRecord(id="n1", name="sales", created_at=1, updated_at=1)
    events: list[Any] = [NamespaceCreated(namespace=namespace)] if schema else []
    for _ in range(count):
        table_id = process.ids.uuid7()
        table = TableRecord(
            id=table_id,
            namespace_id="n1",
            name=f"orders_{table_id[-8:]}",
            created_at=1,
            updated_at=1,
            description="d x",
        )
        events.append(TableRegistered(table=table, columns=[]))
    first = ulid_to_int(process.ids.ulid())
    return [
        Unit((msgspec.structs.replace(an_envelope(event), event_id=ulid_from_int(first + index)),))
        for index, event in enumerate(events)
    ]


async def snapshot_of(shop: Workshop) -> ChainSnapshot:
    head = await shop.chain.find()
    assert head is not None
    return ChainSnapshot(await shop.state_of(head), shop.loader)


async def is_whole(shop: Workshop) -> None:
    snapshot = await snapshot_of(shop)
    expected: dict[Any, Any] = {}
    for namespace in await snapshot.scan(NAMESPACES):
        expected |= namespace_postings(namespace)
    for table in await snapshot.scan(TABLES):
        expected |= table_postings(table)
    assert {POSTINGS.key_of(row): row for row in await snapshot.scan(POSTINGS)} == expected
    assert snapshot.count(POSTINGS) == len(expected)
    assert snapshot.state.manifest.counts[BUILDING.name] == 0


async def verified(shop: Workshop) -> VerifyReport:
    return await Verifier(shop, lambda _done, _of: None).run()


async def an_older_chain(process: Process, tables: int) -> None:
    older = Compactor(shop_of(process, CATALOG), idle_merge_ms=IDLE_MS)
    older.start()
    await older.submit(units(process, tables), 0)
    await older.settle()
    await older.stop()


async def test_a_new_chain_has_an_index_from_its_first_commit_and_it_costs_no_object_reads():
    process = make_process("memory://")
    process.store = store = CountingStore(process.store)
    shop = shop_of(process, CATALOG, SearchDomain())
    compactor = Compactor(shop, idle_merge_ms=IDLE_MS)
    compactor.start()
    await compactor.submit(units(process, 600), 0)
    await compactor.settle()
    await compactor.submit(units(process, 1, schema=False), 0)
    store.forget()
    await compactor.submit(units(process, 1, schema=False), 0)
    assert not [each for each in store.operations if "token_postings" in each.key]
    await is_whole(shop)
    head = await shop.chain.find()
    assert head is not None
    assert upkeep_unit(shop, head.manifest) is None
    await compactor.stop()
    assert (await verified(shop)).ok


async def test_an_older_chain_gets_its_index_in_bounded_steps_between_the_commits_of_callers():
    process = make_process("memory://")
    await an_older_chain(process, 300)
    shop = shop_of(process, CATALOG, SearchDomain())
    compactor = Compactor(shop, idle_merge_ms=IDLE_MS)
    compactor.start()
    # What commits before the first step leaves the index alone, and does not make it look whole.
    await compactor.submit(units(process, 1, schema=False), 0)
    snapshot = await snapshot_of(shop)
    assert BUILDING.name not in snapshot.state.manifest.counts
    assert snapshot.count(POSTINGS) == 0

    async def callers() -> None:
        for _ in range(20):
            await compactor.submit(units(process, 1, schema=False), 0)
            await asyncio.sleep(0)

    await asyncio.gather(keep_up(shop, compactor), keep_up(shop, compactor), callers())
    await is_whole(shop)
    await compactor.submit(units(process, 3, schema=False), 0)
    await is_whole(shop)
    await compactor.stop()
    report = await verified(shop)
    assert report.ok, report.differences


async def test_the_compactors_of_a_process_begin_to_build_by_themselves_and_end_in_the_middle():
    process = make_process("memory://")
    await an_older_chain(process, 400)
    compactors = make_compactors(process, chains.CATALOG, only=SCOPE, idle_merge_ms=IDLE_MS)
    compactors.of(SCOPE)
    for _ in range(10_000):
        if (await snapshot_of(compactors.workshop(SCOPE))).count(POSTINGS):
            break
        await asyncio.sleep(0)
    assert (await snapshot_of(compactors.workshop(SCOPE))).count(POSTINGS)
    await compactors.stop()
    again = make_compactors(process, chains.CATALOG, only=SCOPE, idle_merge_ms=IDLE_MS)
    compactor = again.of(SCOPE)
    await keep_up(again.workshop(SCOPE), compactor)
    await is_whole(again.workshop(SCOPE))
    await again.stop()
    assert (await verified(shop_of(process, CATALOG, SearchDomain()))).ok
