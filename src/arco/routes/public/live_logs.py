"""`/tasks/{task_id}/logs`: what an attempt writes, in pieces while it runs. (Ours: the contract has logs at the end.)

The task token lets an attempt write its own log and nothing else. A piece costs one write, wherever the log has come
to; the same piece again is the same object, so that nothing is ever doubled. Whether the attempt is still wanted is not
asked: the callbacks tell that, and what was written before it was given up is worth reading too.
"""

from typing import Annotated, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.core.errors import InvalidInput, OutcomeUnknown
from arco.core.limits import LOG_PIECE_BYTES_MAX, LOG_PIECES_MAX
from arco.core.scope import InvalidScopeId, Scope
from arco.dispatch.tokens import InvalidTaskToken, TaskClaims, mismatch
from arco.domains.orchestration.keys import parse_task_id
from arco.domains.orchestration.logs import LogPart, LogPiece, LogPlace, encoded, keep_piece, next_number
from arco.edge.codec import decode, reply
from arco.edge.context import services_of
from arco.edge.endpoint import Endpoint
from arco.routes.public.callback_views import CallbackProblemView
from arco.storage.create_only import Created, Taken, Undecided

TAKEN: Final = "piece_taken"
_PARTS_MAX: Final = 1_000
_BODY_BYTES_MAX: Final = 6 * LOG_PIECE_BYTES_MAX + 131_072
"""In JSON a character takes up to six bytes for one."""


class LogPieceRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The next piece of a log. `writer` names this very execution; after the `last` piece nothing comes."""

    attempt: Annotated[int, msgspec.Meta(ge=1, le=2**32 - 1)]
    attempt_id: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    piece: Annotated[int, msgspec.Meta(ge=1, le=LOG_PIECES_MAX)]
    writer: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    parts: Annotated[list[LogPart], msgspec.Meta(max_length=_PARTS_MAX)] = []
    last: bool = False


class LogPieceView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The piece is kept, and which number the next one has."""

    acknowledged: bool = True
    next_piece: int


class PieceTakenView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Another execution of the attempt has written this piece; `next_piece` is free."""

    code: str = "CONFLICT"
    error: str = TAKEN
    message: str
    next_piece: int


async def put(request: Request) -> Response:
    """Keep the next piece of what an attempt writes.

    The same piece again is acknowledged again. 409: another execution wrote it; `nextPiece` is free.
    """
    body = await decode(request, LogPieceRequest)
    said = _identified(request, body)
    if isinstance(said, CallbackProblemView):
        return reply(said, 404 if said.code == "NOT_FOUND" else 401)
    scope, place = said
    place.check()
    if sum(len(part.text.encode("utf-8", "replace")) for part in body.parts) > LOG_PIECE_BYTES_MAX:
        raise InvalidInput(f"the text of a piece must be at most {LOG_PIECE_BYTES_MAX} bytes")
    services = services_of(request)
    store, piece = services.store_for(scope), LogPiece(writer=body.writer, parts=body.parts, last=body.last)
    match await keep_piece(store, services.clock, place, (body.piece, encoded(piece))):
        case Created():
            services.live.logs.told(scope, place, body.piece, piece)
            return reply(LogPieceView(next_piece=body.piece + 1))
        case Taken():
            free = await next_number(store, place, body.piece)
            message = f"piece {body.piece} is there already"
            return reply(PieceTakenView(message=message, next_piece=free), 409)
        case Undecided(cause=cause):
            raise OutcomeUnknown(f"it is not known whether the piece was kept: {cause}")


def _identified(request: Request, body: LogPieceRequest) -> tuple[Scope, LogPlace] | CallbackProblemView:
    """The workspace and the log that the token speaks for, or what is wrong with it."""
    named = parse_task_id(request.path_params["task_id"])
    if named is None:
        return CallbackProblemView(code="NOT_FOUND", error="task_not_found", message="there is no such task")
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        return _refusal("MISSING_AUTH", "send the task token as Authorization: Bearer")
    try:
        claims: TaskClaims = services_of(request).task_tokens.read(
            token.strip(), task_id=request.path_params["task_id"]
        )
        scope = Scope(claims.tenant_id, claims.workspace_id)
    except InvalidTaskToken as error:
        return _refusal("INVALID_TOKEN", f"the task token is not good: {error.reason}")
    except InvalidScopeId:
        return _refusal("INVALID_TOKEN", "the task token names no workspace")
    run_id, task_key = named
    wrong = mismatch(claims, run_id=run_id, attempt=body.attempt, attempt_id=body.attempt_id)
    if wrong is not None:
        return _refusal("INVALID_TOKEN", f"the task token is not of this attempt: {wrong}")
    return scope, LogPlace(run_id, task_key, body.attempt)


def _refusal(code: str, message: str) -> CallbackProblemView:
    return CallbackProblemView(code=code, error="invalid_token", message=message)


routes: Final = [
    Endpoint(
        method="POST",
        path="/tasks/{task_id}/logs",
        handler=put,
        summary="Keep a piece of what an attempt writes",
        tag="workers",
        request=LogPieceRequest,
        responses={
            200: LogPieceView,
            401: CallbackProblemView,
            404: CallbackProblemView,
            409: PieceTakenView,
        },
        errors=(400, 408, 413, 415, 422, 503),
        parameters={"task_id": "The `taskId` of the dispatch."},
        public=True,
        body_bytes_max=_BODY_BYTES_MAX,
    ),
]
