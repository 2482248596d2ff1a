"""What the api keeps after the fact: audit events, and whatever else goes through `kernel.facts`."""

from collections.abc import Callable
from typing import Final

from arco.config.settings import Settings
from arco.core.scope import Scope
from arco.domains.access.events import audit_facts
from arco.domains.query_log.events import query_facts
from arco.domains.query_log.rows import QueryRow
from arco.edge.audit import AuditTrail
from arco.edge.audit_minutes import AuditMinutes
from arco.kernel.desk import Desk
from arco.kernel.facts import LazyFacts
from arco.kernel.reading import Reader
from arco.query.running import Finished
from arco.roles.process import Process

_DAY_MS: Final = 86_400_000
_QUERY_ROW_BYTES: Final = 512
_RELATIONS_CHARS_MAX: Final = 4_000


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
        registry=process.registry,
        minutes=AuditMinutes(facts, kind, clock=process.clock, registry=process.registry),
        home=settings.value("ARCO_AUDIT_SCOPE") or settings.scope,
    )


def query_history(settings: Settings, process: Process, facts: LazyFacts) -> Callable[[Finished], None]:
    """What is done with a query that ended: it is counted, and kept in its workspace's history."""
    kind = query_facts(settings.value("ARCO_QUERY_HISTORY_DAYS") * _DAY_MS)
    results = process.registry.counter("arco_query_total", "SQL queries by what became of them", ["result"])
    seconds = process.registry.histogram("arco_query_seconds", "How long SQL queries took").series()

    def note(finished: Finished) -> None:
        results.series(finished.result).inc()
        seconds.observe(finished.duration_ms / 1_000)
        row = _query_row(finished)
        facts.add(finished.running.asked.scope, kind, row, size_bytes=_QUERY_ROW_BYTES + 2 * len(row.statement))

    return note


def _query_row(finished: Finished) -> QueryRow:
    running, answer = finished.running, finished.answer
    return QueryRow(
        query_id=running.query_id,
        started_at=running.started_ms,
        duration_ms=finished.duration_ms,
        actor=running.asked.actor,
        endpoint=running.asked.endpoint,
        result=finished.result,
        rows=answer.rows if answer else 0,
        bytes=len(answer.body) if answer else 0,
        truncated=answer.truncated if answer else False,
        relations=", ".join(answer.relations)[:_RELATIONS_CHARS_MAX] if answer else "",
        statement_hash=finished.statement_hash,
        statement=running.statement,
        request_id=running.asked.request_id,
        manifest_id=answer.manifest_id if answer else None,
    )
