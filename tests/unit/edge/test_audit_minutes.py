"""Counting audit rows by the minute: bounded for each workspace, and nothing ends the counting."""

import asyncio
from typing import Any

from tests.kernel.world import FOR_EVER_MS, VirtualClock

from arco.core.metrics import Registry
from arco.core.scope import Scope
from arco.domains.access.rows import AuditRow
from arco.edge.audit_minutes import ROWS_OF_SCOPE_MAX, AuditMinutes
from arco.kernel.desk import FACT_BYTES, EventDraft, FactKind

NOISY, QUIET = Scope("noisy", "w"), Scope("quiet", "w")
KIND = FactKind("audit", "access", lambda facts, _now: EventDraft(event_type="x", event_version=1, payload=facts))


class Kept:
    """Keeps what is left with it; fails once when told to."""

    def __init__(self) -> None:
        self.rows: list[tuple[Scope, AuditRow]] = []
        self.fails = False

    def add(self, scope: Scope, kind: FactKind, fact: Any, *, size_bytes: int = FACT_BYTES) -> bool:
        if self.fails:
            self.fails = False
            raise RuntimeError("nobody thought of this")
        self.rows.append((scope, fact))
        return True

    async def close(self) -> None:
        return


class PatientClock(VirtualClock):
    """A minute passes when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = asyncio.Event()

    async def sleep_ms(self, duration_ms: int) -> None:
        assert duration_ms < FOR_EVER_MS
        await self.passed.wait()
        self.passed.clear()


def a_row(actor: str, action: str = "CATALOG_READ") -> AuditRow:
    return AuditRow(
        event_id=f"{actor}{action}",
        occurred_at=0,
        action=action,
        actor=actor,
        resource="/catalogs",
        decision_reason="allowed",
        count=1,
    )


def keep(minutes: AuditMinutes, scope: Scope, actor: str, action: str = "CATALOG_READ") -> None:
    counted = not action.endswith("_DENY")
    minutes.keep(scope, a_row(actor, action), resource_class="/catalogs", counted=counted)


async def test_a_noisy_workspace_does_not_push_out_what_others_do() -> None:
    kept = Kept()
    minutes = AuditMinutes(kept, KIND, clock=PatientClock(), registry=Registry())
    for number in range(5 * ROWS_OF_SCOPE_MAX):
        keep(minutes, NOISY, f"actor{number}")
        keep(minutes, NOISY, f"actor{number}", "CATALOG_DENY")
    keep(minutes, QUIET, "somebody")
    keep(minutes, QUIET, "somebody", "CATALOG_DENY")
    await minutes.close()
    assert [row.action for scope, row in kept.rows if scope == QUIET] == ["CATALOG_DENY", "CATALOG_READ"]


async def test_a_minute_that_ends_badly_is_followed_by_another() -> None:
    kept, clock = Kept(), PatientClock()
    minutes = AuditMinutes(kept, KIND, clock=clock, registry=Registry())
    for end in ("badly", "well"):
        kept.fails = end == "badly"
        keep(minutes, QUIET, end)
        clock.passed.set()
        for _ in range(20):
            await asyncio.sleep(0)
    assert "well" in [row.actor for _, row in kept.rows]
    await minutes.close()
