"""Routes of the flow-compactor beyond those of every compactor: `/compact`, `/rebuild`, `/internal/reconcile`.

Errors have the contract's shape `{"error"}` with our `message` beside it. A lock is checked when one is brought.
Source: orchestration.md 5.5.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.clients.compaction import CompactorProblem, SyncCompactRequest
from arco.core import paths
from arco.core.errors import InvalidInput, NotFound, OutcomeUnknown
from arco.core.scope import Scope
from arco.edge.codec import check_json, reply
from arco.edge.context import context_of
from arco.edge.endpoint import Endpoint
from arco.kernel.chain import ORCHESTRATION_CHAIN
from arco.kernel.chores import Busy
from arco.kernel.reconcile import SCOPES
from arco.routes.internal import compaction, upkeep
from arco.routes.internal.compaction import CompactorServices, Held, Refusal
from arco.storage.port import StorageUnavailable

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]

LOCK: Final = paths.Key("locks/orchestration.compaction.lock.json")
"""At the root of the bucket, not of a workspace (orchestration.md 5.1)."""

_REBUILDS: Final = "state/orchestration/rebuilds/"
_REBUILD: Final = re.compile(r"state/orchestration/rebuilds/[A-Za-z0-9_-]{1,128}\.json\Z")
_DOMAIN: Final = ORCHESTRATION_CHAIN.name
_BODY_BYTES_MAX: Final = 64 * 1024 * 1024


class CompactRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fold the events of these ledger objects and publish."""

    event_paths: list[str]
    fencing_token: int | None = None
    lock_path: str | None = None
    request_id: str | None = None


class RebuildRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fold what of the listed events was never folded."""

    rebuild_manifest_path: str
    fencing_token: int | None = None
    lock_path: str | None = None
    request_id: str | None = None


class RebuildManifest(msgspec.Struct, frozen=True):
    """Which ledger objects a rebuild is about."""

    event_paths: list[str]


class CompactView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was published."""

    events_processed: int
    delta_id: str | None = None
    manifest_id: str
    manifest_revision: str
    pointer_version: str
    visibility_status: str
    repair_pending: bool


class FlowReconcileRequest(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What to look at, and whether to repair what can be repaired."""

    repair: bool = False
    repair_scope: str = "full"


class FlowReport(msgspec.Struct, frozen=True, kw_only=True):
    """The contract's report. There are no legacy manifests, base or L0 folders; `issues` says what is wrong."""

    checked_at: str
    current_manifest_path: str
    missing_current_head_legacy_manifest_path: str | None = None
    current_head_legacy_manifest_issue: str | None = None
    orphan_manifest_snapshots: list[str] = []
    orphan_base_dirs: list[str] = []
    orphan_l0_dirs: list[str] = []
    issues: list[str] = []


class FlowRepair(msgspec.Struct, frozen=True, kw_only=True):
    """What repair did."""

    repaired_paths: list[str]
    failed_repairs: list[str]
    deleted_objects: list[str] = []
    skipped_paths: list[str] = []
    deferred_paths: list[str] = []
    deleted_bytes: int = 0


class FlowReconcileView(msgspec.Struct, frozen=True, omit_defaults=True):
    """The report, and the result of a repair."""

    report: FlowReport
    repair_result: FlowRepair | None = None


def _services(request: Request) -> CompactorServices:
    return cast(CompactorServices, request.app.state.services)


async def _body(request: Request, kind: type[T]) -> T:
    body = await request.body()
    try:
        check_json(body)
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, InvalidInput) as error:
        raise Refusal(400, "validation_error", str(error)) from error


def _guarded(work: Handler) -> Handler:
    """A handler whose failures are the contract's problems."""

    async def handler(request: Request) -> Response:
        try:
            return await work(request)
        except Refusal as refusal:
            return reply(refusal.problem, refusal.status)
        except Busy:
            return reply(CompactorProblem("already_running", "the same chore is under way; try again later"), 409)
        except NotFound as error:
            return reply(CompactorProblem("not_found", error.message), 404)
        except OutcomeUnknown as error:
            return reply(CompactorProblem("outcome_unknown", error.message), 503)
        except StorageUnavailable as error:
            return reply(CompactorProblem("storage_unavailable", str(error)), 503)

    return handler


async def _compact(request: Request) -> Response:
    services, scope = _services(request), context_of(request).scope
    body = await _body(request, CompactRequest)
    await _check_lock(services, scope, (body.fencing_token, body.lock_path))
    return reply(await _folded(services, scope, body.event_paths))


async def _rebuild(request: Request) -> Response:
    services, scope = _services(request), context_of(request).scope
    body = await _body(request, RebuildRequest)
    path = body.rebuild_manifest_path
    if not _REBUILD.match(path):
        raise Refusal(400, "validation_error", f"rebuild_manifest_path must be {_REBUILDS}{{name}}.json")
    await _check_lock(services, scope, (body.fencing_token, body.lock_path))
    found = await services.compactors.workshop(scope).store.get(paths.Key(path))
    if found is None:
        raise Refusal(404, "not_found", f"{path} does not exist")
    try:
        listed = msgspec.json.decode(found.body, type=RebuildManifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Refusal(400, "validation_error", f"{path} is no rebuild manifest: {error}") from error
    # What was folded is recognised by its outcome: no floor of a watermark is needed.
    return reply(await _folded(services, scope, listed.event_paths))


async def _check_lock(services: CompactorServices, scope: Scope, brought: tuple[int | None, str | None]) -> None:
    if brought == (None, None):
        return
    assert services.bucket is not None
    await compaction.check_lock(services, scope, Held(LOCK, LOCK, services.bucket), brought)


async def _folded(services: CompactorServices, scope: Scope, event_paths: list[str]) -> CompactView:
    shop = services.compactors.workshop(scope)
    if not event_paths:
        head = await shop.find_or_create()
        return _view(0, head.manifest.manifest_id, head.manifest.commit_ulid or "", head.version)
    wanted = SyncCompactRequest(domain=_DOMAIN, event_paths=event_paths)
    units, size = await compaction.units_of(shop, _DOMAIN, wanted)
    done = await services.compactors.of(scope).submit(units, size)
    compaction.tell(services, scope, units, done)
    return _view(compaction.processed(units, done.outcomes), done.manifest_id, done.commit_ulid, done.manifest_version)


def _view(events: int, manifest_id: str, revision: str, version: str) -> CompactView:
    return CompactView(
        events_processed=events,
        manifest_id=manifest_id,
        manifest_revision=revision,
        pointer_version=version,
        visibility_status="visible",
        repair_pending=False,
    )


async def _reconcile(request: Request) -> Response:
    services, scope = _services(request), context_of(request).scope
    body = await _body(request, FlowReconcileRequest)
    if body.repair_scope not in SCOPES:
        raise Refusal(400, "validation_error", f"repairScope must be one of {', '.join(SCOPES)}")
    assert services.upkeeps is not None
    upkeep = services.upkeeps.of(scope)
    report, actions = await upkeep.reconcile(_DOMAIN, body.repair_scope, repair=body.repair)
    head = await upkeep.shop.chain.find()
    view = FlowReport(
        checked_at=report.checked_at,
        current_manifest_path="" if head is None else upkeep.shop.chain.key(head.number),
        issues=[f"{issue.issue_type} {issue.path}: {issue.description}" for issue in report.issues],
    )
    if actions is None:
        return reply(FlowReconcileView(view))
    done = [action.path for action in actions if action.done]
    failed = [action.path for action in actions if not action.done]
    return reply(FlowReconcileView(view, FlowRepair(repaired_paths=done, failed_repairs=failed)))


_ERRORS: Final = (400, 401, 403, 404, 409, 503)
_OWN: Final = ("/compact", "/internal/reconcile")

ENDPOINTS: Final = [
    *(one for one in (*compaction.ENDPOINTS, *upkeep.ENDPOINTS) if one.path not in _OWN),
    Endpoint(
        method="POST",
        path="/compact",
        handler=_guarded(_compact),
        summary="Fold ledger objects and publish",
        tag="compactor",
        request=CompactRequest,
        responses={200: CompactView},
        errors=_ERRORS,
        body_bytes_max=_BODY_BYTES_MAX,
    ),
    Endpoint(
        method="POST",
        path="/rebuild",
        handler=_guarded(_rebuild),
        summary="Fold what of the listed events was never folded",
        tag="compactor",
        request=RebuildRequest,
        responses={200: CompactView},
        errors=_ERRORS,
    ),
    Endpoint(
        method="POST",
        path="/internal/reconcile",
        handler=_guarded(_reconcile),
        summary="Compare the chain with what is stored",
        tag="upkeep",
        request=FlowReconcileRequest,
        responses={200: FlowReconcileView},
        errors=_ERRORS,
    ),
]
