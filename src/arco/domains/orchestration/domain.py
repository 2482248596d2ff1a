"""Orchestration on the kernel (orchestration.md 2 to 4)."""

from collections.abc import Callable
from typing import Any, Final

from arco.core import instant
from arco.core.ids import is_ulid, ulid_ms
from arco.core.scope import Scope
from arco.domains.orchestration import events
from arco.domains.orchestration.automation_events import (
    BackfillChunkPlanned,
    BackfillCreated,
    BackfillStateChanged,
    ScheduleDefinitionUpserted,
    ScheduleTicked,
    SensorEvaluated,
)
from arco.domains.orchestration.automation_rows import AUTOMATION
from arco.domains.orchestration.events import EVENT_TYPES, decoded
from arco.domains.orchestration.fold import again, attempts, automation, dispatch, run_keys, runs, settings, timers
from arco.domains.orchestration.fold.board import Moment
from arco.domains.orchestration.history_rows import HISTORY
from arco.domains.orchestration.keys import run_id_of_key
from arco.domains.orchestration.rows import ALL, ORCHESTRATION
from arco.kernel.envelope import Envelope
from arco.kernel.fold import Decision, FoldContext, InvalidEvent, View
from arco.kernel.spec import TableSpec

_FOLDS: Final[dict[type[Any], Callable[[View, Any, Moment], Decision]]] = {
    events.RunTriggered: runs.triggered,
    events.PlanCreated: runs.planned,
    events.RunCancelRequested: runs.cancelled,
    events.TaskStarted: attempts.started,
    events.TaskHeartbeat: attempts.heartbeat,
    events.TaskFinished: attempts.finished,
    events.TaskCompletionRecorded: attempts.finished,
    events.TaskOutputVisibilityChanged: attempts.visibility_changed,
    events.DispatchRequested: dispatch.requested,
    events.DispatchEnqueued: dispatch.enqueued,
    events.TimerRequested: timers.requested,
    events.TimerEnqueued: timers.enqueued,
    events.TimerFired: timers.fired,
    events.ConcurrencyLimitSet: settings.limit_set,
    events.WorkspacePauseChanged: settings.pause_changed,
    events.DefinitionsDeployed: settings.deployed,
    events.TaskRetryRequested: again.retried,
    events.RunKeyBackfilled: run_keys.backfilled,
    events.LineageHandedOn: attempts.lineage_handed_on,
    ScheduleDefinitionUpserted: automation.schedule_defined,
    SensorEvaluated: automation.sensor_evaluated,
    BackfillCreated: automation.backfill_created,
    BackfillStateChanged: automation.backfill_changed,
}


class OrchestrationDomain:
    """Runs, tasks and what leads to them; implements `kernel.fold.Domain`.

    `secret` is the tenant's, for run ids that follow from run keys: whoever folds must use the same.
    """

    name: Final = ORCHESTRATION
    event_types: Final = EVENT_TYPES
    tables: Final[tuple[TableSpec[Any], ...]] = (*ALL, *HISTORY, *AUTOMATION)

    def __init__(self, scope: Scope, secret: bytes = b"") -> None:
        self._scope = scope
        self._secret = secret

    def fold(self, view: View, event: Envelope, context: FoldContext) -> Decision:
        """Decide one event. Raises `NotLoaded`, `UnsupportedEvent`, `InvalidEvent`."""
        data = decoded(event)
        try:
            moment = self._moment(event, context.fold_version)
            match data:
                case events.RunRequested():
                    return runs.requested(view, data, moment, self._run_id(data.run_key))
                case ScheduleTicked():
                    run_id = None if data.run_key is None else self._run_id(data.run_key)
                    return automation.schedule_ticked(view, data, moment, run_id)
                case BackfillChunkPlanned():
                    return automation.chunk_planned(view, data, moment, self._run_id(data.run_key))
            return _FOLDS[type(data)](view, data, moment)
        except ValueError as error:  # a time that is none
            raise InvalidEvent(f"{event.event_type}: {error}") from error

    def _run_id(self, run_key: str) -> str:
        return run_id_of_key(self._secret, (self._scope.tenant, self._scope.workspace), run_key)

    def _moment(self, event: Envelope, fold_version: int) -> Moment:
        at_ms = instant.parse_ms(event.occurred_at)
        id_ms = ulid_ms(event.event_id) if is_ulid(event.event_id) else at_ms
        return Moment(at_ms, id_ms, event.event_id, self._scope.tenant, self._scope.workspace, fold_version)
