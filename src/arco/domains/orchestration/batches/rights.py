"""Who may say what: the emitters of the contract's events, as rights (orchestration.md 2.3). Pure.

An event says that something happened, and the fold believes it. So whoever may work in a workspace may say what the
api says for people: that a run is wanted, and of what, or not any more, and, as the contract has it, whether an output
can be seen. What workers, the dispatcher, the sweeper and timers say is theirs: a caller who could say it would finish
other people's tasks without a task token. Only operators may, who mend what such a role left.
"""

from typing import Any, Final

import msgspec

from arco.core.errors import InvalidInput

PEOPLE: Final = frozenset(
    {
        "RunTriggered",
        "PlanCreated",
        "RunCancelRequested",
        "RunRequested",
        "ScheduleDefinitionUpserted",
        "SensorEvaluated",
        "BackfillCreated",
        "BackfillStateChanged",
        "TaskOutputVisibilityChanged",
    }
)
"""Events that anybody may commit who may work in the workspace: the api's own, and those no role emits."""

ROLES: Final = frozenset(
    {
        "TaskStarted",
        "TaskHeartbeat",
        "TaskFinished",
        "TaskCompletionRecorded",
        "DispatchRequested",
        "DispatchEnqueued",
        "TimerRequested",
        "TimerEnqueued",
        "TimerFired",
        "ScheduleTicked",
        "BackfillChunkPlanned",
    }
)
"""Events that only roles and workers emit, and operators may commit."""

_TRIGGERS: Final = frozenset({"manual", "webhook"})
_SOURCES: Final = frozenset({"manual"})


PAST_MS: Final = 86_400_000
"""How old news may be when it is handed in: as old as a worker's fact may be."""

FUTURE_MS: Final = 300_000
"""How far ahead of ours the clock of who wrote an envelope may be (orchestration.md 2.1)."""


class NotAllowed(InvalidInput):
    """The caller may not say this; only who has the right to may."""


class TooOld(InvalidInput):
    """It would have been taken at its time: an earlier try of the same request may have been."""


class Speaker(msgspec.Struct, frozen=True, kw_only=True):
    """Who commits a batch: the principal as events name people, and whether it is an operator."""

    tenant: str
    workspace: str
    principal: str
    operator: bool
    now_ms: int


def bar(event_type: str, data: dict[str, Any], *, operator: bool) -> str | None:
    """Why the caller may not commit this event, None when it may. `data` may be anything that is JSON."""
    if operator or event_type not in PEOPLE | ROLES:
        return None
    if event_type in ROLES:
        return f"data.type: {event_type} is said by the roles of the deployment and its workers, or by an operator"
    for field, allowed in (("trigger", _TRIGGERS), ("trigger_source_ref", _SOURCES)):
        kind = _kind(data.get(field), "type")
        if kind is not None and kind not in allowed:
            return f"data.{field} of type {kind} is said by automation, or by an operator"
    if event_type == "SensorEvaluated" and _kind(data.get("trigger_source"), "source") == "poll":
        return "data.trigger_source poll is said by automation, or by an operator"
    return None


def _kind(value: Any, tag: str) -> str | None:
    kind = value.get(tag) if isinstance(value, dict) else None
    return kind[:40] if isinstance(kind, str) else None
