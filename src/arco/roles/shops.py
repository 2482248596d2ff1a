"""The tools to write, repair or replay a scope's chain."""

from arco.core.scope import Scope
from arco.kernel.workshop import Workshop
from arco.roles.chains import CATALOG, ServedChain
from arco.roles.process import Process
from arco.storage.capabilities import Role


def workshop(process: Process, scope: Scope, served: ServedChain = CATALOG, *, role: Role | None = None) -> Workshop:
    """A scope's workshop, with the rights of the role that writes the chain unless another one is named."""
    return Workshop(
        process.scoped_store(scope, role or served.role),
        served.spec,
        served.domains(scope),
        ports=process,
        cache=process.scoped_cache(scope),
        grace_ms=process.grace_ms,
    )
