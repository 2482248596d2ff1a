"""`/outcomes/{event_id}`: what became of a write whose answer was lost (our addition).

A `503 OUTCOME_UNKNOWN` names the event id; this route, and the same idempotency key, tell the truth later.
"""

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from arco.core.errors import InvalidInput, NotFound
from arco.core.ids import is_ulid
from arco.core.instant import http_text
from arco.domains.catalog import queries
from arco.edge.codec import reply
from arco.edge.context import context_of, services_of
from arco.edge.endpoint import Endpoint
from arco.kernel.fold import Subject
from arco.kernel.records import OutcomeRow
from arco.routes.public.clerks import READ_ERRORS, head_of
from arco.routes.public.read_tokens import HEADER


class OutcomeSubjectView(msgspec.Struct, frozen=True, kw_only=True):
    """What was changed."""

    operation: str
    object_type: str
    object_id: str
    object_name: str


class OutcomeView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a write: `status` is accepted, rejected, expired or quarantined."""

    event_id: str
    status: str
    code: str | None = None
    message: str | None = None
    details: dict[str, str] | UnsetType = UNSET
    subject: OutcomeSubjectView | None = None
    manifest_id: str
    snapshot_version: int
    decided_at: str


async def show(request: Request) -> Response:
    """404 while it is undecided, and when it was never recorded: after the deadline of a minute it will not be."""
    event_id = request.path_params["event_id"]
    if not is_ulid(event_id):
        raise InvalidInput("event_id must be a ULID of 26 characters")
    try:
        row = await queries.get_outcome(await head_of(request), event_id)
    except NotFound:
        flow = services_of(request).flow
        if request.headers.get(HEADER) or flow is None:
            raise
        # An id says nothing of its chain; what the catalog does not know may be a write to runs.
        row = await queries.get_outcome(await flow.reader_for(context_of(request).scope).head(), event_id)
    return reply(_view(row))


def _view(row: OutcomeRow) -> OutcomeView:
    subject = None if row.subject_json is None else msgspec.json.decode(row.subject_json, type=Subject)
    return OutcomeView(
        event_id=row.unit_id,
        status=row.status,
        code=row.code,
        message=row.message,
        details=UNSET if row.details_json is None else msgspec.json.decode(row.details_json, type=dict[str, str]),
        subject=None if subject is None else OutcomeSubjectView(**msgspec.structs.asdict(subject)),
        manifest_id=row.manifest_id,
        snapshot_version=row.snapshot_version,
        decided_at=http_text(row.decided_at),
    )


routes = [
    Endpoint(
        method="GET",
        path="/outcomes/{event_id}",
        handler=show,
        summary="Learn what became of a write",
        tag="history",
        responses={200: OutcomeView},
        errors=READ_ERRORS,
        headers=("X-Arco-Read-Token",),
    )
]
