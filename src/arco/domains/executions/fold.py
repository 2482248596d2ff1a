"""How executions change: one row for each materialisation, and the event with the larger sequence wins. Pure.

A late event is processed: it is accepted and changes nothing. An event without a sequence counts as older than any
that has one; of two with the same sequence the later one in fold order wins. The same event key again is the same
event.
"""

from typing import Any, Final

from arco.domains.executions.events import MATERIALIZATION_COMPLETED, decoded
from arco.domains.executions.rows import EXECUTIONS, MATERIALIZATIONS, MaterializationRow
from arco.kernel.envelope import Envelope
from arco.kernel.fold import Accepted, Decision, FoldContext, Subject, View
from arco.kernel.spec import TableSpec

NO_SEQUENCE: Final = -1


class ExecutionsDomain:
    """Executions on the kernel; implements `kernel.fold.Domain`."""

    name: Final = EXECUTIONS
    event_types: Final = frozenset({MATERIALIZATION_COMPLETED})
    tables: Final[tuple[TableSpec[Any], ...]] = (MATERIALIZATIONS,)

    def fold(self, view: View, event: Envelope, context: FoldContext) -> Decision:
        """Keep the materialisation unless a later one of its id is known (catalog.md 3.8)."""
        body = decoded(event)
        sequence = NO_SEQUENCE if event.sequence_position is None else event.sequence_position
        known = view.get(MATERIALIZATIONS, (body.materialization_id,))
        if known is not None and (known.event_key == event.idempotency_key or known.sequence > sequence):
            return Accepted()
        view.put(
            MATERIALIZATIONS,
            MaterializationRow(
                materialization_id=body.materialization_id,
                asset_id=body.asset_id,
                row_count=body.row_count,
                byte_size=body.byte_size,
                sequence=sequence,
                event_key=event.idempotency_key,
            ),
        )
        return Accepted(
            Subject(
                operation=MATERIALIZATION_COMPLETED,
                object_type="materialization",
                object_id=body.materialization_id,
                object_name=body.asset_id,
            )
        )
