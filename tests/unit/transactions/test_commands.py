"""What a transaction's key promises: whoever was told "no" does not find an earlier try done later."""

from collections.abc import Sequence
from typing import Any

import pytest
from tests.fakes import MemoryWorkspace

from arco.core.errors import NotFound, OutcomeUnknown
from arco.core.scope import Scope
from arco.domains.catalog.commands.clerk import Clerk as CatalogClerk
from arco.domains.catalog.commands.schemas import UpdateSchema, update_schema
from arco.domains.catalog.fold import CatalogDomain
from arco.domains.catalog.tables import TABLES
from arco.domains.transactions.commands import Clerk, apply_catalog_ddl
from arco.domains.transactions.fold import TransactionsDomain
from arco.domains.transactions.operations import CreateCatalog, CreateSchema, RegisterTable
from arco.kernel.desk import UnitDraft
from arco.kernel.envelope import Unit
from arco.kernel.fold import Outcome

SCOPE = Scope("acme", "prod")
ORDERS = [RegisterTable(catalog="analytics", schema="sales", table="orders")]


class LateDesk:
    """A desk whose ledger is fine and whose compactor is not: while `late`, units are appended and folded later."""

    def __init__(self, workspace: MemoryWorkspace) -> None:
        self.workspace = workspace
        self.late = False
        self.pending: list[Unit] = []

    async def submit(self, units: Sequence[UnitDraft], *, source: str) -> list[Outcome]:
        if not self.late:
            return await self.workspace.submit(units, source=source)
        self.pending += [self.workspace._named(unit, source) for unit in units]
        raise OutcomeUnknown("the compactor does not answer", event_id=self.pending[-1].unit_id)


class World:
    def __init__(self) -> None:
        self.workspace = MemoryWorkspace(CatalogDomain(), TransactionsDomain([CatalogDomain()]))
        self.desk = LateDesk(self.workspace)
        outside: dict[str, Any] = {
            "clock": self.workspace.clock,
            "ids": self.workspace.ids,
            "scope": SCOPE,
            "source": "test",
        }
        self.clerk = Clerk(desk=self.desk, reader=self.workspace, **outside)
        self.catalog = CatalogClerk(desk=self.desk, reader=self.workspace, **outside)

    async def made(self) -> "World":
        operations = [CreateCatalog(catalog="analytics"), CreateSchema(catalog="analytics", schema="sales")]
        await apply_catalog_ddl(self.clerk, operations, "first")
        return self

    async def rename(self, name: str, new_name: str) -> None:
        await update_schema(self.catalog, UpdateSchema(catalog="analytics", name=name, new_name=new_name))

    async def left(self) -> None:
        """A try whose outcome is not known, and is not decided yet."""
        self.desk.late = True
        with pytest.raises(OutcomeUnknown):
            await apply_catalog_ddl(self.clerk, ORDERS, "key")
        self.desk.late = False

    def fold_what_is_late(self) -> list[Outcome]:
        return self.workspace.fold(self.desk.pending)

    @property
    def tables(self) -> int:
        return self.workspace.snapshots[-1].count(TABLES)


async def test_an_earlier_try_of_what_was_refused_since_never_takes_effect() -> None:
    world = await World().made()
    await world.left()
    await world.rename("sales", "moved")
    with pytest.raises(NotFound):
        await apply_catalog_ddl(world.clerk, ORDERS, "key")
    (late,) = world.fold_what_is_late()
    assert late.status == "rejected" and world.tables == 0, "the caller was told no"
    await world.rename("moved", "sales")
    assert (await apply_catalog_ddl(world.clerk, ORDERS, "key")).snapshot_version, "the key is free for a new try"
    assert world.tables == 1


async def test_an_earlier_try_that_is_faster_than_the_refusal_is_what_the_caller_hears() -> None:
    world = await World().made()
    await world.left()
    await world.rename("sales", "moved")

    async def folded() -> None:
        world.fold_what_is_late()

    world.workspace.before_submit.append(folded)
    done = await apply_catalog_ddl(world.clerk, ORDERS, "key")
    assert done.tx_id == world.desk.pending[0].unit_id and world.tables == 1


async def test_a_refusal_that_cannot_be_put_on_record_is_not_told() -> None:
    world = await World().made()
    await world.left()
    await world.rename("sales", "moved")
    world.desk.late = True
    with pytest.raises(OutcomeUnknown):
        await apply_catalog_ddl(world.clerk, ORDERS, "key")


async def test_a_refusal_bars_no_other_request_with_its_key() -> None:
    world = await World().made()
    with pytest.raises(NotFound):
        await apply_catalog_ddl(world.clerk, [RegisterTable(catalog="analytics", schema="none", table="t")], "key")
    assert (await apply_catalog_ddl(world.clerk, ORDERS, "key")).snapshot_version
