"""Routes of the compactor's chores: notify, anti-entropy, reconcile and repair, collection, pins (catalog.md 3.8, 3.9).

Errors have the contract's shape `{"error", "message"}`.
"""

from typing import Any, Final, cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.clients.compaction import CompactorProblem
from arco.core.errors import ArcoError, InvalidInput, NotFound
from arco.edge.codec import check_json, reply
from arco.edge.context import context_of
from arco.edge.endpoint import Endpoint
from arco.kernel.antientropy import Bounds
from arco.kernel.chores import Busy, Collected, Upkeep
from arco.kernel.notices import PENDING_MAX, Flushed
from arco.kernel.reconcile import SCOPES, Report
from arco.kernel.repair import Action
from arco.kernel.retention.record import Pin
from arco.routes.internal.compaction import ALIASES, FILE, KNOWN, CompactorServices
from arco.storage.port import StorageUnavailable

_PATHS_MAX: Final = 10_000


class NotifyRequest(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Ledger objects that were appended."""

    event_paths: list[str]
    flush: bool = False


class QueuedView(msgspec.Struct, frozen=True):
    """The notices wait for a batch."""

    status: str
    pending: int


class ReconcileRequest(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What to look at, and whether to repair what can be repaired."""

    domain: str
    repair: bool = False
    repair_scope: str = "full"


class RepairView(msgspec.Struct, frozen=True):
    """What repair did."""

    repaired: int
    failed: int
    actions: list[Action]


class ReconcileView(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The report, and the result of a repair."""

    report: Report
    repair_result: RepairView | None = None


class AntiEntropyRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One bounded walk over a domain's ledger. The compactor calls itself directly: URLs and tokens are not used."""

    max_objects_per_run: int
    domain: str
    tenant_id: str
    workspace_id: str
    compactor_url: str | None = None
    compactor_audience: str | None = None
    compactor_id_token: str | None = None
    reprocess_batch_size: int = 100
    reprocess_timeout_secs: int = 30
    run_interval_secs: int = 300


class AntiEntropyView(msgspec.Struct, frozen=True):
    """What a walk found."""

    status: str
    objects_scanned: int
    missed_events: int
    scan_complete: bool
    duration_ms: int


class CollectRequest(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Collect what is due; by default only say what would go. `walk` looks for strays too."""

    dry_run: bool = True
    walk: bool = False


class PinRequest(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Pin a version, by default the newest; for ever unless `ttlSeconds` is given."""

    manifest_id: str | None = None
    ttl_seconds: int | None = None
    reason: str = ""


class UnpinRequest(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Release a pin."""

    pin_id: str


class PinsView(msgspec.Struct, frozen=True):
    """The pins that hold."""

    pins: list[Pin]


class _Refusal(Exception):
    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.problem = CompactorProblem(error, message)


def _upkeep(request: Request) -> Upkeep:
    services = cast(CompactorServices, request.app.state.services)
    if services.upkeeps is None:
        raise NotFound("this process has no chores")
    return services.upkeeps.of(context_of(request).scope)


async def _body(request: Request, kind: type[Any], error: str) -> Any:
    body = await request.body()
    try:
        check_json(body)
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, InvalidInput) as bad:
        raise _Refusal(400, error, str(bad)) from bad


def _guarded(work: Any, failed: str) -> Any:
    """A handler whose failures are the contract's problems."""

    async def handler(request: Request) -> Response:
        try:
            answer: Response = await work(request)
        except _Refusal as refusal:
            return reply(refusal.problem, refusal.status)
        except Busy:
            return reply(CompactorProblem("already_running", "the same chore is under way; try again later"), 409)
        except InvalidInput as error:
            return reply(CompactorProblem("invalid_request", error.message), 400)
        except NotFound as error:
            return reply(CompactorProblem("not_found", error.message), 404)
        except StorageUnavailable as error:
            return reply(CompactorProblem("storage_unavailable", str(error)), 503)
        except ArcoError as error:
            return reply(CompactorProblem(failed, error.message), 500)
        return answer

    handler.__doc__ = work.__doc__
    return handler


async def _notify(request: Request) -> Response:
    """Queue ledger objects for a batch; `flush` folds all that is queued now."""
    body: NotifyRequest = await _body(request, NotifyRequest, "invalid_request")
    upkeep = _upkeep(request)
    if len(body.event_paths) > _PATHS_MAX:
        raise _Refusal(400, "invalid_request", f"eventPaths must name at most {_PATHS_MAX} ledger objects")
    if upkeep.notices.pending + len(body.event_paths) > PENDING_MAX:
        raise _Refusal(503, "overloaded", f"{PENDING_MAX} notices wait already; anti-entropy will find the objects")
    named = [_noticed(path, upkeep) for path in body.event_paths]
    for domain, path in named:
        upkeep.notices.note(domain, path)
    flushed = await upkeep.notices.settle(now=body.flush)
    return reply(QueuedView("queued", upkeep.notices.pending), 202) if flushed is None else reply(flushed)


def _noticed(path: str, upkeep: Upkeep) -> tuple[str, str]:
    parts = path.split("/")
    if len(parts) != 3 or parts[0] != "ledger" or not FILE.match(parts[2]):
        raise _Refusal(400, "invalid_path", "eventPaths: each must be ledger/{domain}/{ULID}.json")
    if parts[1] not in upkeep.shop.ledger_domains:
        raise _Refusal(400, "unsupported_domain", f"Domain '{parts[1]}' is not supported")
    return parts[1], path


async def _anti_entropy(request: Request) -> Response:
    """Walk over the next objects of a ledger and have folded what was missed."""
    body: AntiEntropyRequest = await _body(request, AntiEntropyRequest, "invalid_request")
    scope, upkeep = context_of(request).scope, _upkeep(request)
    if (body.tenant_id, body.workspace_id) != (scope.tenant, scope.workspace):
        raise _Refusal(400, "invalid_request", "tenant_id and workspace_id must be those of the request")
    domain = ALIASES.get(body.domain, body.domain)
    if domain not in upkeep.shop.ledger_domains:
        raise _Refusal(400, "invalid_domain", f"Domain '{body.domain}' has no ledger")
    if not 1 <= body.max_objects_per_run <= _PATHS_MAX or not 1 <= body.reprocess_batch_size <= _PATHS_MAX:
        raise _Refusal(
            400, "invalid_request", f"max_objects_per_run and reprocess_batch_size must be 1 to {_PATHS_MAX}"
        )
    if not 1 <= body.reprocess_timeout_secs <= 3_600:
        raise _Refusal(400, "invalid_request", "reprocess_timeout_secs must be 1 to 3600")
    began_ms = upkeep.shop.clock.steady_ms()
    bounds = Bounds(
        objects_max=body.max_objects_per_run,
        batch=body.reprocess_batch_size,
        timeout_ms=body.reprocess_timeout_secs * 1000,
    )
    found = await upkeep.walk(domain, bounds)
    duration_ms = upkeep.shop.clock.steady_ms() - began_ms
    view = AntiEntropyView("completed", found.objects_scanned, found.missed, found.scan_complete, duration_ms)
    return reply(view)


async def _reconcile(request: Request) -> Response:
    """Compare the chain with what is stored, and repair it when asked to."""
    body: ReconcileRequest = await _body(request, ReconcileRequest, "invalid_request")
    domain = ALIASES.get(body.domain, body.domain)
    if domain not in KNOWN:
        raise _Refusal(400, "invalid_domain", f"Domain '{body.domain}' is not known")
    if body.repair_scope not in SCOPES:
        raise _Refusal(400, "invalid_request", f"repairScope must be one of {', '.join(SCOPES)}")
    report, actions = await _upkeep(request).reconcile(domain, body.repair_scope, repair=body.repair)
    if actions is None:
        return reply(ReconcileView(report))
    done = sum(1 for one in actions if one.done)
    return reply(ReconcileView(report, RepairView(done, len(actions) - done, actions)))


async def _collect(request: Request) -> Response:
    """Collect what is due, or say what would go."""
    body: CollectRequest = await _body(request, CollectRequest, "invalid_request")
    return reply(await _upkeep(request).collect(apply=not body.dry_run, walk=body.walk))


async def _pins(request: Request) -> Response:
    """The pins that hold."""
    return reply(PinsView(await _upkeep(request).pins.pins()))


async def _pin(request: Request) -> Response:
    """Pin a version, so that it stays readable."""
    body: PinRequest = await _body(request, PinRequest, "invalid_request")
    ttl_ms = None if body.ttl_seconds is None else body.ttl_seconds * 1000
    pin = await _upkeep(request).pins.pin(body.manifest_id, ttl_ms=ttl_ms, reason=body.reason, owner="internal")
    return reply(pin, 201)


async def _unpin(request: Request) -> Response:
    """Release a pin."""
    body: UnpinRequest = await _body(request, UnpinRequest, "invalid_request")
    return reply(await _upkeep(request).pins.unpin(body.pin_id))


def _endpoint(path: str, work: Any, summary: str, failed: str, **more: Any) -> Endpoint:
    errors = (400, 401, 403, 404, 409, 500, 503)
    return Endpoint(
        path=path,
        handler=_guarded(work, failed),
        summary=summary,
        tag="upkeep",
        **{"method": "POST", "errors": errors, **more},
    )


ENDPOINTS: Final = [
    _endpoint(
        "/internal/notify",
        _notify,
        "Queue ledger objects for a batch",
        "processing_error",
        request=NotifyRequest,
        responses={200: Flushed, 202: QueuedView},
    ),
    _endpoint(
        "/internal/anti-entropy",
        _anti_entropy,
        "Find events nobody handed in",
        "anti_entropy_failed",
        request=AntiEntropyRequest,
        responses={200: AntiEntropyView},
        errors=(400, 401, 403, 409, 500, 503),
    ),
    _endpoint(
        "/internal/reconcile",
        _reconcile,
        "Compare the chain with what is stored",
        "reconcile_error",
        request=ReconcileRequest,
        responses={200: ReconcileView},
    ),
    _endpoint(
        "/internal/retention/collect",
        _collect,
        "Collect what is due",
        "collection_failed",
        request=CollectRequest,
        responses={200: Collected},
    ),
    _endpoint("/internal/retention/pins", _pins, "List pins", "pins_failed", method="GET", responses={200: PinsView}),
    _endpoint(
        "/internal/retention/pins",
        _pin,
        "Pin a version",
        "pins_failed",
        request=PinRequest,
        responses={201: Pin},
    ),
    _endpoint(
        "/internal/retention/unpin",
        _unpin,
        "Release a pin",
        "pins_failed",
        request=UnpinRequest,
        responses={200: Pin},
    ),
]
