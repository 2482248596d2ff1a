"""The audit log of a workspace, newest first (our addition; events as in catalog.md 5.7)."""

from typing import Annotated, Final, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.core.errors import InvalidInput
from arco.core.instant import http_text, parse_ms
from arco.domains.access.queries import AuditFilter, audit_page
from arco.domains.access.rows import AuditRow
from arco.edge.codec import query_params, reply
from arco.edge.endpoint import Endpoint
from arco.edge.pages import PageQuery
from arco.routes.public.clerks import cursor_after, pinned

Action = Literal[
    "AUTH_ALLOW",
    "AUTH_DENY",
    "URL_MINT_ALLOW",
    "URL_MINT_DENY",
    "CRED_VEND_ALLOW",
    "CRED_VEND_DENY",
    "ICEBERG_COMMIT",
    "ICEBERG_COMMIT_DENY",
    "CONTROL_STORE_MUTATE",
    "CONTROL_STORE_DENY",
    "QUERY_DENY",
]

_TIME: Final = "RFC 3339 with a zone, for instance 2026-01-01T00:00:00Z."


class AuditQuery(PageQuery, frozen=True, kw_only=True):
    """Which page, and which events."""

    actor: Annotated[str | None, msgspec.Meta(description="`user:` and 32 hex digits, or `anonymous`.")] = None
    action: Annotated[Action | None, msgspec.Meta(description="What was done or refused.")] = None
    since: Annotated[str | None, msgspec.Meta(description=f"Only events at or after this time: {_TIME}")] = None
    until: Annotated[str | None, msgspec.Meta(description=f"Only events before this time: {_TIME}")] = None


class AuditEventView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event, or `count` equal ones within the minute that begins at `occurred_at`."""

    event_id: str
    occurred_at: str
    action: str
    actor: str
    resource: str
    decision_reason: str
    count: int = 1
    request_id: str | None = None
    operation: str | None = None
    object_name: str | None = None
    snapshot_version: int | None = None


class AuditView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of events, newest first. With a filter a page may be short, even empty, and still have a next one."""

    events: list[AuditEventView]
    next_cursor: str | None = None


async def show(request: Request) -> Response:
    """Changes and refusals of changes, written with the change itself; denials and admissions a little later."""
    asked = query_params(request, AuditQuery)
    wanted = AuditFilter(
        actor=asked.actor,
        action=asked.action,
        since_ms=_time("since", asked.since),
        until_ms=_time("until", asked.until),
    )
    snapshot, page = await pinned(request)
    found = await audit_page(snapshot, wanted, limit=page.limit, after=page.after)
    after = cursor_after(request, snapshot, found.after) if snapshot is not None else None
    return reply(AuditView([_view(row) for row in found.rows], after))


def _time(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        # A plus sign that was not percent-encoded arrives as a space.
        return parse_ms(text.replace(" ", "+"))
    except (ValueError, OverflowError):
        raise InvalidInput(f"{name} must be a time in {_TIME}") from None


def _view(row: AuditRow) -> AuditEventView:
    return AuditEventView(
        event_id=row.event_id,
        occurred_at=http_text(row.occurred_at),
        action=row.action,
        actor=row.actor,
        resource=row.resource,
        decision_reason=row.decision_reason,
        count=row.count,
        request_id=row.request_id,
        operation=row.operation,
        object_name=row.object_name,
        snapshot_version=row.snapshot_version,
    )


routes: Final = [
    Endpoint(
        method="GET",
        path="/audit",
        handler=show,
        summary="List who did what, and who was refused",
        description=(
            "The actor is a keyed hash of the user. Being let in is counted by the minute and route; everything else "
            "is one event each. Also in SQL, as `system.access.audit`."
        ),
        tag="audit",
        query=AuditQuery,
        responses={200: AuditView},
        errors=(400,),
    ),
]
