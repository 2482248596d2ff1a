"""How the audit log grows: recorded rows are kept once, changes are witnessed in their commit, old rows leave. Pure.

A unit that changed something, and one that was refused, each leave a row in the very commit that decides them; there is
no second object that could be missing (catalog.md 5.7; operations.md, R1). A unit that changed nothing leaves none.
"""

from itertools import takewhile
from typing import Any, Final

from arco.domains.access.events import ACCESS_AUDIT, AuditRecorded, decoded, expired_at_most
from arco.domains.access.rows import ACCESS, AUDIT, CONTROL_STORE_DENY, CONTROL_STORE_MUTATE, AuditRow
from arco.kernel.envelope import Envelope, Unit
from arco.kernel.fold import Accepted, Decision, FoldContext, Moment, Outcome, View
from arco.kernel.spec import TableSpec

WITNESSED_SINCE: Final = 2
"""The fold version since which decisions are witnessed; older commits are replayed as they were folded."""

COMMITTED: Final = "committed"
WORD_CHARS_MAX: Final = 256
"""What an envelope says of its author may be anybody's; a row keeps this much of it."""


class AccessDomain:
    """The audit log on the kernel; implements `kernel.fold.Domain` and `kernel.fold.Witness`."""

    name: Final = ACCESS
    event_types: Final = frozenset({ACCESS_AUDIT})
    tables: Final[tuple[TableSpec[Any], ...]] = (AUDIT,)

    def fold(self, view: View, event: Envelope, context: FoldContext) -> Decision:
        """Keep the event's rows that are not kept yet, and let the oldest leave that are old enough."""
        recorded = decoded(event)
        for row in recorded.rows:
            if view.get(AUDIT, (row.event_id,)) is None:
                view.put(AUDIT, row)
        if recorded.expire_before:
            for row in _expired(view, recorded):
                view.delete(AUDIT, (row.event_id,))
        return Accepted()

    def witness(self, view: View, unit: Unit, outcome: Outcome, moment: Moment) -> None:
        """Keep who changed what, or what was refused, with the change itself."""
        if moment.fold_version < WITNESSED_SINCE:
            return
        row = _row(unit, outcome, moment)
        if row is not None:
            view.put(AUDIT, row)


def _expired(view: View, recorded: AuditRecorded) -> list[AuditRow]:
    """The oldest rows, as many of them as are old enough and may leave at once."""
    oldest = view.scan(AUDIT, (), limit=expired_at_most(recorded))
    return list(takewhile(lambda row: row.occurred_at < recorded.expire_before, oldest))


def _row(unit: Unit, outcome: Outcome, moment: Moment) -> AuditRow | None:
    first = unit.events[0]
    subject = outcome.subject
    accepted = outcome.status == "accepted"
    if accepted and subject is None:
        return None
    return AuditRow(
        event_id=moment.decision_ulid,
        occurred_at=moment.now_ms,
        action=CONTROL_STORE_MUTATE if accepted else CONTROL_STORE_DENY,
        actor=(first.actor or first.source)[:WORD_CHARS_MAX],
        resource=f"{subject.object_type}/{subject.object_id}" if subject is not None else f"event/{unit.unit_id}",
        decision_reason=COMMITTED if accepted else outcome.code or outcome.status,
        request_id=first.trace_id[:WORD_CHARS_MAX] if first.trace_id else None,
        operation=subject.operation if subject is not None else first.event_type,
        object_name=subject.object_name if subject is not None else None,
        snapshot_version=outcome.snapshot_version if accepted else None,
    )
