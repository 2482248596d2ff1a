"""A chain as roles see it: who writes it, what is folded on it, what it leaves beside it; and the compactor's."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from arco.core.scope import Scope
from arco.domains.access.fold import AccessDomain
from arco.domains.catalog.fold import CatalogDomain
from arco.domains.catalog.tables import CATALOGS, NAMESPACES, TABLES
from arco.domains.delta.fold import DeltaDomain
from arco.domains.delta.litter import StagedPayloads
from arco.domains.executions.fold import ExecutionsDomain
from arco.domains.lineage.fold import LineageDomain
from arco.domains.query_log.fold import QueryLogDomain
from arco.domains.search.fold import SearchDomain
from arco.domains.transactions.fold import TransactionsDomain
from arco.kernel.chain import CATALOG_CHAIN, ChainSpec
from arco.kernel.retention.litter import Litter
from arco.kernel.spec import TableSpec
from arco.storage.capabilities import Role

_NOBODY: Final = Scope("local", "default")
"""Tables do not depend on the scope."""


class ServedChain(msgspec.Struct, frozen=True):
    """A chain, its writer, and the domains folded on it; `warm` are the tables whose first pages readers keep."""

    role: Role
    spec: ChainSpec
    domains: Callable[[Scope], tuple[Any, ...]]
    warm: tuple[TableSpec[Any], ...] = ()
    litter: Callable[[], Sequence[Litter]] = tuple

    @property
    def tables(self) -> list[TableSpec[Any]]:
        """Every table of its domains."""
        return [table for domain in self.domains(_NOBODY) for table in domain.tables]


def domains(_scope: Scope = _NOBODY) -> tuple[Any, ...]:
    """The domains of the compactor's chain."""
    facts = (CatalogDomain(), DeltaDomain(), ExecutionsDomain(), LineageDomain(), AccessDomain(), QueryLogDomain())
    return (*facts, TransactionsDomain(facts), SearchDomain())


def litter() -> tuple[Litter, ...]:
    """What the domains leave beside the chain, for the collector."""
    return (StagedPayloads(),)


CATALOG: Final = ServedChain("compactor", CATALOG_CHAIN, domains, (CATALOGS, NAMESPACES, TABLES), litter)
"""The compactor's chain."""
