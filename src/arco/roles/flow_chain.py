"""The flow-compactor's chain. Apart from the compactor's: whoever does not serve orchestration does not load it."""

from typing import Any

from arco.core.scope import Scope
from arco.domains.orchestration.domain import OrchestrationDomain
from arco.domains.orchestration.litter import OldPieces
from arco.domains.orchestration.rows import AGENDA, ORCHESTRATION, RUNS, TASKS
from arco.domains.run_index.fold import RunIndexDomain
from arco.domains.transactions.fold import TransactionsDomain
from arco.kernel.chain import ORCHESTRATION_CHAIN
from arco.roles.chains import ServedChain


def orchestration(secret: bytes | None = None) -> ServedChain:
    """The chain of orchestration; only who folds needs the tenant's secret, from which run ids follow."""
    return ServedChain(
        "flow-compactor",
        ORCHESTRATION_CHAIN,
        lambda scope: _domains(scope, secret or b""),
        (RUNS, TASKS, AGENDA),
        lambda: (OldPieces(),),
    )


def _domains(scope: Scope, secret: bytes) -> tuple[Any, ...]:
    own = OrchestrationDomain(scope, secret)
    return (own, TransactionsDomain((own,), ledger=ORCHESTRATION), RunIndexDomain(scope))
