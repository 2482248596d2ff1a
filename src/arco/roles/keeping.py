"""What the api keeps after the fact: audit events, and whatever else goes through `kernel.facts`."""

from collections.abc import Callable
from typing import Final

from arco.config.settings import Settings
from arco.core.scope import Scope
from arco.domains.access.events import audit_facts
from arco.edge.audit import AuditTrail
from arco.edge.audit_minutes import AuditMinutes
from arco.kernel.desk import Desk
from arco.kernel.facts import LazyFacts
from arco.kernel.reading import Reader
from arco.roles.process import Process

_DAY_MS: Final = 86_400_000


def keep_facts(process: Process, desk_for: Callable[[Scope], Desk], reader_for: Callable[[Scope], Reader]) -> LazyFacts:
    """The buffer of facts of this process, written through its own desks."""

    async def exists(scope: Scope) -> bool:
        return await reader_for(scope).head() is not None

    return LazyFacts(desk_for, exists, clock=process.clock, log=process.log, registry=process.registry)


def audit_trail(settings: Settings, process: Process, facts: LazyFacts) -> AuditTrail:
    """The audit trail of the api: to the log at once, and through `facts` into the workspace."""
    kind = audit_facts(settings.value("ARCO_AUDIT_RETENTION_DAYS") * _DAY_MS)
    key = settings.value("ARCO_AUDIT_ACTOR_HMAC_KEY")
    return AuditTrail(
        process.log,
        process.clock,
        process.ids,
        actor_key=key.encode() if isinstance(key, str) else key,
        minutes=AuditMinutes(facts, kind, clock=process.clock, registry=process.registry),
        home=settings.value("ARCO_AUDIT_SCOPE") or settings.scope,
    )
