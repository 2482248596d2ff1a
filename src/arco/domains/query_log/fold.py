"""How the history of queries grows: each row is kept once, old rows leave a bounded number at a time. Pure."""

from itertools import takewhile
from typing import Any, Final

from arco.domains.query_log.events import QUERY_HISTORY_EVENT, decoded, expired_at_most
from arco.domains.query_log.rows import QUERY_HISTORY, QUERY_LOG
from arco.kernel.envelope import Envelope
from arco.kernel.fold import Accepted, Decision, FoldContext, View
from arco.kernel.spec import TableSpec


class QueryLogDomain:
    """The history of queries on the kernel; implements `kernel.fold.Domain`."""

    name: Final = QUERY_LOG
    event_types: Final = frozenset({QUERY_HISTORY_EVENT})
    tables: Final[tuple[TableSpec[Any], ...]] = (QUERY_HISTORY,)

    def fold(self, view: View, event: Envelope, context: FoldContext) -> Decision:
        """Keep the event's rows that are not kept yet, and let the oldest leave that are old enough."""
        recorded = decoded(event)
        for row in recorded.rows:
            if view.get(QUERY_HISTORY, (row.query_id,)) is None:
                view.put(QUERY_HISTORY, row)
        if recorded.expire_before:
            oldest = view.scan(QUERY_HISTORY, (), limit=expired_at_most(recorded))
            for row in list(takewhile(lambda row: row.started_at < recorded.expire_before, oldest)):
                view.delete(QUERY_HISTORY, (row.query_id,))
        return Accepted()
