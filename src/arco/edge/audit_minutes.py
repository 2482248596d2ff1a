"""Audit rows on their way to the ledger: rare ones singly, frequent ones counted by the minute.

A read must not cause a write. So a row that is `counted`, and a denial that comes too often, only raises the count of
the row of its minute; those rows are handed over when the minute is over, and at an orderly end. Memory is bounded:
what would open one row too many is dropped and counted.
"""

import asyncio
import contextlib
from collections import Counter
from typing import Final

import msgspec

from arco.core.clock import Clock
from arco.core.metrics import Registry
from arco.core.scope import Scope
from arco.domains.access.rows import AuditRow
from arco.kernel.desk import FactKind, FactSink

MINUTE_MS: Final = 60_000
ROWS_OPEN_MAX: Final = 20_000
"""Rows being counted in one process: actors times route templates of a minute."""

ROWS_OF_SCOPE_MAX: Final = 5_000
"""Those of one workspace: a noisy one must not push out what others do."""

DENIALS_KEPT: Final = 10
"""Denials of one actor and reason in a minute that are kept singly (operations.md, R1)."""

_Key = tuple[Scope, str, str, str, str]


class _Open:
    __slots__ = ("count", "row", "scope")

    def __init__(self, scope: Scope, row: AuditRow) -> None:
        self.scope = scope
        self.row = row
        self.count = 1


class AuditMinutes:
    """Gathers the audit rows of a process and leaves them with a `FactSink`."""

    def __init__(self, facts: FactSink, kind: FactKind, *, clock: Clock, registry: Registry) -> None:
        self._facts = facts
        self._kind = kind
        self._clock = clock
        self._failures = registry.counter(
            "audit_write_failures_total", "Audit events that were dropped for load", ("action",)
        )
        self._open: dict[_Key, _Open] = {}
        self._opened: Counter[Scope] = Counter()
        self._denials: dict[tuple[Scope, str, str, str], int] = {}
        self._denied: Counter[Scope] = Counter()
        self._task: asyncio.Task[None] | None = None

    def keep(self, scope: Scope, row: AuditRow, *, resource_class: str, counted: bool) -> None:
        """Keep a row, singly or in the count of its minute. Never waits, never raises."""
        if not counted and (not row.action.endswith("_DENY") or self._kept_singly(scope, row)):
            self._hand_over(scope, row)
            return
        key = (scope, row.action, row.actor, row.decision_reason, resource_class)
        found = self._open.get(key)
        if found is not None:
            found.count += 1
        elif len(self._open) >= ROWS_OPEN_MAX or self._opened[scope] >= ROWS_OF_SCOPE_MAX:
            self._failures.series(row.action).inc()
        else:
            self._opened[scope] += 1
            self._open[key] = _Open(scope, msgspec.structs.replace(row, resource=resource_class, request_id=None))
            self._begin()

    async def close(self) -> None:
        """Hand over what is counted so far."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self._end_minute()

    def _kept_singly(self, scope: Scope, row: AuditRow) -> bool:
        key = (scope, row.action, row.actor, row.decision_reason)
        seen = self._denials.get(key, 0)
        full = len(self._denials) >= ROWS_OPEN_MAX or self._denied[scope] >= ROWS_OF_SCOPE_MAX
        if seen >= DENIALS_KEPT or (not seen and full):
            return False
        self._denied[scope] += not seen
        self._denials[key] = seen + 1
        self._begin()
        return True

    def _begin(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._open or self._denials:
                await self._clock.sleep_ms(MINUTE_MS)
                self._end_minute()
        finally:
            self._task = None  # whatever ended it, the next row begins it anew

    def _end_minute(self) -> None:
        for one in self._open.values():
            self._hand_over(one.scope, msgspec.structs.replace(one.row, count=one.count))
        for counted in (self._open, self._opened, self._denials, self._denied):
            counted.clear()

    def _hand_over(self, scope: Scope, row: AuditRow) -> None:
        if not self._facts.add(scope, self._kind, row):
            self._failures.series(row.action).inc()
