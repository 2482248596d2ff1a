"""`/tasks/{task_id}/...`: what workers tell, one callback at a time (orchestration.md 7.3, 7.4)."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from arco.edge.codec import decode, reply
from arco.edge.context import services_of
from arco.edge.endpoint import Endpoint
from arco.routes.public.callback_hearing import KINDS, Voice, answer_to
from arco.routes.public.callback_views import (
    CallbackProblemView,
    CompletedRequest,
    CompletedView,
    HeartbeatRequest,
    HeartbeatView,
    StartedRequest,
    StartedView,
)


async def start(request: Request) -> Response:
    """An attempt runs from now on. 409 means: do not run it; the dispatch is settled all the same."""
    return await _heard(request, "started")


async def beat(request: Request) -> Response:
    """An attempt is alive; the answer says whether it shall stop. 410 means that nobody waits for it any more."""
    return await _heard(request, "heartbeat")


async def complete(request: Request) -> Response:
    """An attempt is over. The same report again is acknowledged again; another report of it is not."""
    return await _heard(request, "completed")


async def _heard(request: Request, name: str) -> Response:
    kind = KINDS[name]
    body = await decode(request, kind.body)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    shown = token.strip() if scheme.lower() == "bearer" else ""
    voice = Voice(services=services_of(request), task_id=request.path_params["task_id"], token=shown or None)
    answered = await answer_to(voice, name, body)
    return reply(answered.view, answered.status)


def _endpoint(
    name: str, handler: Any, summary: str, *, request: Any, response: Any, problems: tuple[int, ...]
) -> Endpoint:
    return Endpoint(
        method="POST",
        path=f"/tasks/{{task_id}}/{name}",
        handler=handler,
        summary=summary,
        tag="workers",
        request=request,
        responses={200: response, **dict.fromkeys(problems, CallbackProblemView)},
        errors=(408, 413, 415, 422, 503),
        parameters={"task_id": "The `taskId` of the dispatch."},
        public=True,
    )


routes: Final = [
    _endpoint(
        "started",
        start,
        "An attempt runs",
        request=StartedRequest,
        response=StartedView,
        problems=(400, 401, 404, 409),
    ),
    _endpoint(
        "heartbeat",
        beat,
        "An attempt is alive",
        request=HeartbeatRequest,
        response=HeartbeatView,
        problems=(400, 401, 404, 409, 410),
    ),
    _endpoint(
        "completed",
        complete,
        "An attempt is over",
        request=CompletedRequest,
        response=CompletedView,
        problems=(400, 401, 404, 409),
    ),
]
