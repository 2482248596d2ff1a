"""Routes of the compactor role: `POST /internal/sync-compact` and `POST /compact` (catalog.md 3.2, 3.7).

Errors have the contract's shape `{"error", "message"}`. Beyond it, a fold that says no does not fail the call: each
unit's outcome is in the answer and the others go on (compatibility.md).
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.clients.compaction import AppendedObject, CompactorProblem, SyncCompactRequest, SyncCompactResponse
from arco.core import instant, paths
from arco.core.canonical_json import sha256_hex
from arco.core.clock import Clock
from arco.core.errors import InvalidInput, OutcomeUnknown
from arco.core.scope import Scope
from arco.edge.codec import check_json, reply
from arco.edge.context import context_of
from arco.edge.endpoint import Endpoint
from arco.kernel import intake
from arco.kernel.chores import Upkeeps
from arco.kernel.compactor import Compacted
from arco.kernel.compactors import Compactors
from arco.kernel.envelope import Unit
from arco.kernel.workshop import Workshop
from arco.storage.port import ObjectStore, StorageUnavailable

ALIASES: Final = {"core": "catalog", "execution": "executions", "governance": "search"}
_DERIVED: Final = "search"
"""May be asked for without events (catalog.md 3.4): an index that is not whole is built, nothing else is to do."""

KNOWN: Final = ("catalog", "lineage", "search", "executions")
_PATHS_MAX: Final = 10_000
_TOKEN_MAX: Final = 2**63 - 1
FILE: Final = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}\.json\Z")
_BODY_BYTES_MAX: Final = 64 * 1024 * 1024

_DECODER = msgspec.json.Decoder(SyncCompactRequest)
_KEYS: Final = tuple(name.encode() for name in SyncCompactRequest.__struct_encode_fields__)
_OBJECT_KEYS: Final = tuple(name.encode() for name in AppendedObject.__struct_encode_fields__)


class Refusal(Exception):
    """An answer of the contract's error shape."""

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.problem = CompactorProblem(error, message)


class LockRecord(msgspec.Struct, frozen=True, rename="camel"):
    """A lock object (catalog.md 2.7); only read here, when a caller brings one."""

    holder_id: str
    expires_at: str
    acquired_at: str
    sequence_number: int


class CompactorServices(msgspec.Struct, frozen=True):
    """What the compactor role gives its handlers."""

    compactors: Compactors
    clock: Clock
    upkeeps: Upkeeps | None = None
    """The chores; None where nothing but the fold is served."""
    bucket: ObjectStore | None = None
    """The store without any scope, to read a lock of the flow-compactor that lies at its root."""
    published: Callable[[Scope, Sequence[Unit]], None] | None = None
    """Told what became facts, right after it was published."""
    merging: asyncio.Lock = msgspec.field(default_factory=asyncio.Lock)


class StartedView(msgspec.Struct, frozen=True):
    """The answer of `POST /compact`."""

    status: str
    message: str


async def sync_compact(request: Request) -> Response:
    """Fold the named ledger objects and publish; the answer tells each unit's outcome."""
    services = cast(CompactorServices, request.app.state.services)
    answer, status = await folded(services, context_of(request).scope, await request.body())
    return reply(answer, status)


async def folded(
    services: CompactorServices, scope: Scope, body: bytes
) -> tuple[SyncCompactResponse | CompactorProblem, int]:
    """The answer to a `SyncCompactRequest` and its status, below HTTP."""
    try:
        wanted = _decoded(body)
        shop = services.compactors.workshop(scope)
        domain = _domain(wanted.domain, shop)
        await _check_lock(services, scope, domain, wanted)
        units, size = await units_of(shop, domain, wanted)
        compacted = await services.compactors.of(scope).submit(units, size)
        tell(services, scope, units, compacted)
    except Refusal as refusal:
        return refusal.problem, refusal.status
    except OutcomeUnknown as error:
        return CompactorProblem("outcome_unknown", error.message), 503
    except StorageUnavailable as error:
        return CompactorProblem("storage_unavailable", str(error)), 503
    answer = SyncCompactResponse(
        manifest_version=compacted.manifest_version,
        commit_ulid=compacted.commit_ulid,
        manifest_id=compacted.manifest_id,
        events_processed=processed(units, compacted.outcomes),
        snapshot_version=compacted.snapshot_version,
        visibility_status="visible",
        repair_pending=False,
        outcomes=list(compacted.outcomes),
    )
    return answer, 200


async def compact(request: Request) -> Response:
    """Merge outstanding deltas of every chain this process serves."""
    services = cast(CompactorServices, request.app.state.services)
    if services.merging.locked():
        return reply(StartedView("already_running", "Compaction is under way"), 409)
    async with services.merging:
        for compactor in services.compactors.running:
            await compactor.settle()
    return reply(StartedView("started", "Compaction triggered"), 202)


def _decoded(body: bytes) -> SyncCompactRequest:
    try:
        wanted = _DECODER.decode(body)
        if not _plain(body, len(wanted.bodies)):
            check_json(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, InvalidInput) as error:
        raise Refusal(400, "validation_error", str(error)) from error
    return wanted


def _plain(body: bytes, objects: int) -> bool:
    """True when it is seen at once that no key is given twice: every commit asks, of bodies of megabytes."""
    twice = any(
        body.count(b'"%b"' % name) > most for names, most in ((_KEYS, 1), (_OBJECT_KEYS, objects)) for name in names
    )
    return not twice and b"\\u" not in body


def _domain(text: str, shop: Workshop) -> str:
    domain = ALIASES.get(text, text)
    if domain not in shop.ledger_domains or domain in shop.chain.spec.hinted:
        if domain in KNOWN and domain not in shop.chain.spec.hinted:
            raise Refusal(501, "not_implemented", f"Domain '{text}' has no events to compact")
        raise Refusal(400, "unsupported_domain", f"Domain '{text}' is not supported for sync compaction")
    return domain


async def _check_lock(services: CompactorServices, scope: Scope, domain: str, body: SyncCompactRequest) -> None:
    """A caller that brings a lock must hold it (catalog.md 3.3, step 1); one that brings none needs none."""
    if body.fencing_token is None and body.lock_path is None:
        return
    lock = f"locks/{domain}.lock.json"
    held = Held(paths.Key(lock), scope.prefix + lock, services.compactors.workshop(scope).store)
    await check_lock(services, scope, held, (body.fencing_token, body.lock_path))


class Held(msgspec.Struct, frozen=True):
    """Where a lock lies: its key in a store, and what callers call it."""

    key: paths.Key
    name: str
    store: ObjectStore


async def check_lock(
    services: CompactorServices, scope: Scope, lock: Held, brought: tuple[int | None, str | None]
) -> None:
    """Raise `Refusal` unless the lock is held by whoever brings its token and path."""
    token, path = brought
    if path is not None and path != lock.name:
        raise Refusal(400, "validation_error", f"lock_path must be {lock.name}")
    if token is None:
        raise Refusal(400, "validation_error", "lock_path needs a fencing_token")
    if not 0 < token <= _TOKEN_MAX:
        raise Refusal(400, "validation_error", f"fencing_token must be 1 to {_TOKEN_MAX}")
    stale = Refusal(409, "stale_fencing_token", "Fencing token does not match current lock holder")
    found = await lock.store.get(lock.key)
    if found is None:
        raise stale
    try:
        record = msgspec.json.decode(found.body, type=LockRecord)
        live = instant.parse_ms(record.expires_at) > services.clock.now_ms()
    except (msgspec.MsgspecError, ValueError) as error:
        raise stale from error
    compactor = services.compactors.of(scope)
    # The chain knows the highest token that ever published, also when this process has just begun.
    head = await services.compactors.workshop(scope).chain.find()
    epoch = max(compactor.epoch, head.manifest.epoch if head else 0)
    if not live or record.sequence_number != token or epoch > token:
        raise stale
    compactor.epoch = token


async def units_of(shop: Workshop, domain: str, body: SyncCompactRequest) -> tuple[list[Unit], int]:
    """The units of the named ledger objects, and their size. Raises `Refusal`, `StorageUnavailable`."""
    event_paths = list(dict.fromkeys(body.event_paths))
    if not event_paths and domain == _DERIVED:
        return [], 0
    if not event_paths or len(event_paths) > _PATHS_MAX:
        raise Refusal(400, "validation_error", f"event_paths must name 1 to {_PATHS_MAX} ledger objects")
    prefix = f"ledger/{domain}/"
    for path in event_paths:
        if not path.startswith(prefix) or not FILE.match(path[len(prefix) :]):
            raise Refusal(400, "validation_error", f"event_paths: each must be {prefix}{{ULID}}.json")
    sent = {item.path: item for item in body.bodies}
    units: list[Unit] = []
    size = 0
    for path in event_paths:
        content = await _content(shop, path, sent.get(path))
        size += len(content)
        try:
            units.extend((await intake.decoded(shop, domain, path, content)).units)
        except intake.Quarantined as error:
            raise Refusal(400, "validation_error", error.message) from error
    return units, size


async def _content(shop: Workshop, path: str, sent: AppendedObject | None) -> bytes:
    if sent is not None:
        content = sent.body.encode()
        if sha256_hex(content) == sent.sha256:
            return content
        raise Refusal(400, "validation_error", f"bodies: {path} is not what its sha256 says")
    found = await shop.store.get(paths.Key(path))
    if found is None:
        raise Refusal(400, "validation_error", f"event_paths: {path} does not exist")
    return found.body


def tell(services: CompactorServices, scope: Scope, units: Sequence[Unit], compacted: Compacted) -> None:
    """Tell whoever listens what became facts just now; a refusal changes nothing that anybody could look at."""
    if services.published is None or not compacted.published:
        return
    fresh = {one.unit_id for one in compacted.outcomes if one.status == "accepted" and not one.replayed}
    if changed := [unit for unit in units if unit.unit_id in fresh]:
        services.published(scope, changed)


def processed(units: Sequence[Unit], outcomes: Sequence[Any]) -> int:
    """How many events became facts just now."""
    fresh = {outcome.unit_id for outcome in outcomes if not outcome.replayed and outcome.status == "accepted"}
    return sum(len(unit.events) for unit in units if unit.unit_id in fresh)


ENDPOINTS: Final = [
    Endpoint(
        method="POST",
        path="/internal/sync-compact",
        handler=sync_compact,
        summary="Fold ledger objects and publish",
        tag="compactor",
        request=SyncCompactRequest,
        responses={200: SyncCompactResponse},
        errors=(400, 401, 403, 409, 501, 503),
        body_bytes_max=_BODY_BYTES_MAX,
    ),
    Endpoint(
        method="POST",
        path="/compact",
        handler=compact,
        summary="Merge outstanding deltas into segments",
        tag="compactor",
        responses={202: StartedView},
        errors=(401, 403, 409),
    ),
]
