"""What routes of orchestration have in common: the workspace in the path, the clerk, the head of the chain, times."""

from typing import Final, TypeVar

from starlette.requests import Request

from arco.core import instant
from arco.core.errors import InvalidInput, NotFound
from arco.domains.orchestration.commands.clerk import Clerk
from arco.edge.codec import decode
from arco.edge.context import context_of, flow_desk_of, flow_of, services_of
from arco.edge.refusals import BeyondLimit
from arco.kernel.reading import Snapshot
from arco.routes.public.read_tokens import runs_of_token

T = TypeVar("T")

KEY_CHARS_MAX: Final = 256
PAGE_MAX: Final = 200
"""Items of a page (orchestration.md 6.1)."""

READ_ERRORS: Final = (400, 404)
READ_HEADERS: Final = ("X-Arco-Read-Token",)
WRITE_ERRORS: Final = (400, 404, 409, 422)

PATH: Final = "/workspaces/{workspace}"
PARAMETERS: Final = {"workspace": "The workspace of the caller; any other is not found."}


def check_workspace(request: Request) -> None:
    """Raise `NotFound` unless the path names the caller's workspace (orchestration.md 6.1)."""
    if request.path_params["workspace"] != context_of(request).scope.workspace:
        raise NotFound("workspace not found")


def clerk_of(request: Request) -> Clerk:
    """The clerk of the request's workspace. Raises `NotFound` for another one."""
    check_workspace(request)
    context, services, flow = context_of(request), services_of(request), flow_of(request)
    return Clerk(
        desk=flow_desk_of(request),
        reader=flow.reader_for(context.scope),
        store=services.store_for(context.scope),
        clock=services.clock,
        ids=services.ids,
        scope=context.scope,
        source=context.actor,
        principal=context.principal,
    )


async def head_of(request: Request) -> Snapshot | None:
    """The state of the workspace's runs that the request's read token pins, or the newest; None when there is none.

    Raises `NotFound`, and as `runs_of_token`.
    """
    check_workspace(request)
    snapshot = await runs_of_token(request)
    if snapshot is not None:
        return snapshot
    return await flow_of(request).reader_for(context_of(request).scope).head()


async def body_of(request: Request, type_: type[T]) -> T:
    """The body of a request. What is beyond a limit is 400 here (orchestration.md 6.3), as what makes no sense is.

    Raises as `edge.codec.decode` does, and `InvalidInput`.
    """
    try:
        return await decode(request, type_)
    except BeyondLimit as error:
        raise InvalidInput(error.message) from None


def key_of(request: Request) -> str | None:
    """The `Idempotency-Key` header, any text up to 256 characters here. Raises `InvalidInput`."""
    text = (request.headers.get("idempotency-key") or "").strip()
    if len(text) > KEY_CHARS_MAX:
        raise InvalidInput(f"Idempotency-Key must have at most {KEY_CHARS_MAX} characters")
    return text or None


def time_text(time_ms: int | None) -> str | None:
    """A time as these routes show it."""
    return None if time_ms is None else instant.stored_text(time_ms)
