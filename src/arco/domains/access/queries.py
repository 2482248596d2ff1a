"""Asking the audit log: newest first, filtered, in pages whose cost is bounded whatever the filter finds."""

from typing import Final

import msgspec

from arco.core.errors import InvalidInput
from arco.core.ids import RANDOM_BITS, is_ulid, ulid_from_int
from arco.domains.access.rows import AUDIT, AuditRow
from arco.kernel.reading import Snapshot

ROWS_LOOKED_AT_MAX: Final = 5_000
"""Rows one page looks at: with a filter that finds little, a page may be short and still have a next one."""

_STEP: Final = 500
_TIME_MS_MAX: Final = 2**48 - 1


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events: of this actor, this action, at or after `since_ms`, before `until_ms`; None does not filter."""

    actor: str | None = None
    action: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    def admits(self, row: AuditRow) -> bool:
        """True when the row is asked for; times are a matter of where the search begins and ends."""
        return self.actor in (None, row.actor) and self.action in (None, row.action)


class AuditPage(msgspec.Struct, frozen=True):
    """Events, and the id after which the next page begins; None when there is none."""

    rows: list[AuditRow]
    after: str | None = None


async def audit_page(snapshot: Snapshot | None, wanted: AuditFilter, *, limit: int, after: str | None) -> AuditPage:
    """Events newest first, by the time in their ids; `after` is an event id. Raises `InvalidInput` for another text."""
    if after is not None and not is_ulid(after):
        raise InvalidInput("invalid cursor")
    if snapshot is None:
        return AuditPage([])
    begin = after if after is not None else _before(wanted.until_ms)
    end = _before(wanted.since_ms) or ""
    step = limit + 1 if wanted.actor is wanted.action is None else _STEP
    found: list[AuditRow] = []
    for _ in range(ROWS_LOOKED_AT_MAX // _STEP):
        rows = await snapshot.scan(AUDIT, after=None if begin is None else (begin,), limit=step, descending=True)
        late_enough = [row for row in rows if row.event_id >= end]
        found += [row for row in late_enough if wanted.admits(row)]
        if len(found) > limit:
            return AuditPage(found[:limit], found[limit - 1].event_id)
        if len(late_enough) < step:
            return AuditPage(found)
        begin = rows[-1].event_id
    return AuditPage(found, begin)


def _before(time_ms: int | None) -> str | None:
    """The smallest event id of this millisecond: what is below it happened before."""
    if time_ms is None:
        return None
    return ulid_from_int(min(max(time_ms, 0), _TIME_MS_MAX) << RANDOM_BITS)
