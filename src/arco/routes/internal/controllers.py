"""Routes of dispatcher and sweeper: `POST /run`, and the sweeper's timer ingest (orchestration.md 8.1 to 8.3)."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.clients.compaction import CompactorProblem
from arco.core.errors import ArcoError, InvalidInput
from arco.core.scope import Scope
from arco.dispatch.port import DispatchQueue
from arco.domains.orchestration.drafts import unit
from arco.domains.orchestration.events import TimerFired
from arco.domains.orchestration.keys import parse_timer_id
from arco.domains.orchestration.numbers import ATTEMPTS_MAX
from arco.edge.codec import decode_bytes, reply
from arco.edge.context import context_of
from arco.edge.endpoint import Endpoint
from arco.edge.refusals import UnprocessableBody
from arco.kernel.desk import Desk
from arco.kernel.verdicts import settled
from arco.loops.dispatching import DispatchReport
from arco.loops.sweeping import SweepReport
from arco.storage.port import StorageUnavailable

_TIMER_TYPES: Final = ("RETRY", "HEARTBEAT_CHECK", "CRON", "SLA_CHECK")
_TIMER: Final = re.compile(r"[\x21-\x7e]{1,512}\Z")


class ControllerServices(msgspec.Struct, frozen=True):
    """What a controller gives its handlers: how to run one round, and where to hand in events."""

    run: Callable[[Scope], Awaitable[Any]]
    desk_for: Callable[[Scope], Desk]
    source: str
    queue: DispatchQueue


class FiredRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A timer that fired."""

    timer_id: str
    timer_type: str | None = None
    run_id: str | None = None
    task_key: str | None = None
    attempt: int | None = None
    fire_at: str | None = None


class FiredView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """It is on record, once however often it is told."""

    acknowledged: bool = True
    effective_once: bool = True


def _services(request: Request) -> ControllerServices:
    return cast(ControllerServices, request.app.state.services)


async def run(request: Request) -> Response:
    """One round over the workspace, now. Safe from two places at once; 500 when something could not be handed in."""
    services = _services(request)
    try:
        report = await services.run(context_of(request).scope)
    except StorageUnavailable as error:
        return reply(CompactorProblem("storage_unavailable", str(error)), 500)
    except ArcoError as error:
        return reply(CompactorProblem("round_failed", error.message), 500)
    return reply(report, 500 if report.errors else 200)


async def fired(request: Request) -> Response:
    """A timer fired: told as often as the queue likes, it counts once."""
    services, body = _services(request), await _fired_body(request)
    if not _TIMER.match(body.timer_id):
        raise InvalidInput("timerId must have 1 to 512 visible characters")
    if body.attempt is not None and not 1 <= body.attempt <= ATTEMPTS_MAX:
        raise InvalidInput(f"attempt must be 1 to {ATTEMPTS_MAX}")
    known = parse_timer_id(body.timer_id)
    kind = body.timer_type or (known.timer_type if known else None)
    if kind not in _TIMER_TYPES:
        raise InvalidInput(f"timerType must be one of {', '.join(_TIMER_TYPES)}, or follow from timerId")
    event = TimerFired(
        timer_id=body.timer_id,
        timer_type=kind.lower(),
        run_id=body.run_id,
        task_key=body.task_key,
        attempt=body.attempt,
    )
    desk = services.desk_for(context_of(request).scope)
    (outcome,) = await desk.submit([unit(event, lasting=True)], source=services.source)
    settled(outcome)
    return reply(FiredView())


async def _fired_body(request: Request) -> FiredRequest:
    """The body, whatever type a queue says it has. Raises `InvalidInput`: on this route everything wrong is 400."""
    try:
        return decode_bytes(await request.body(), FiredRequest)
    except UnprocessableBody as error:
        raise InvalidInput(error.message) from error


def _run_endpoint(report: Any) -> Endpoint:
    return Endpoint(
        method="POST",
        path="/run",
        handler=run,
        summary="One round over the workspace",
        tag="controllers",
        responses={200: report, 500: report},
        errors=(401, 403),
    )


DISPATCHER_ENDPOINTS: Final = [_run_endpoint(DispatchReport)]
SWEEPER_ENDPOINTS: Final = [
    _run_endpoint(SweepReport),
    Endpoint(
        method="POST",
        path="/internal/timers/fired",
        handler=fired,
        summary="A timer fired",
        tag="controllers",
        request=FiredRequest,
        responses={200: FiredView},
        errors=(400, 401, 403, 503),
    ),
]
