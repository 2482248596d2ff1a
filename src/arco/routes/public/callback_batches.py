"""`/tasks/callbacks`: callbacks of many tasks in one request, each answered as if it had come alone. (Ours.)

Each brings its own task token, which is judged as strictly as that of a callback that comes alone; they need not be of
one workspace. All are heard at once, so that those of a workspace are one ledger object and one commit; what is wrong
with one is told in its own answer, and the others are heard all the same. The request has no identity of its own.
"""

import asyncio
from typing import Any, Final, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.core.errors import InvalidInput
from arco.core.limits import CALLBACKS_PER_REQUEST_MAX
from arco.edge.codec import check_content_type, check_json, decode_bytes, decode_sound, reply
from arco.edge.context import REQUEST_ID_KEY, note_failure, services_of
from arco.edge.endpoint import Endpoint
from arco.edge.problems import problem
from arco.edge.refusals import MalformedBody
from arco.routes.public.callback_hearing import KINDS, Answered, Voice, answer_to


class CallbackRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One callback: the task, what kind, the token of its attempt, and the body it would have alone."""

    task_id: str
    callback: Literal["started", "heartbeat", "completed"]
    token: str = ""
    body: msgspec.Raw

    def __repr__(self) -> str:
        return f"CallbackRequest({self.task_id!r}, {self.callback!r})"


class CallbacksRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Callbacks of any tasks, heard in this order."""

    callbacks: list[CallbackRequest]


class CallbackAnswerView(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Status and body as the callback would have got them alone; `retryAfter` is in seconds."""

    status: int
    body: dict[str, Any]
    retry_after: int | None = None


class CallbacksView(msgspec.Struct, frozen=True, kw_only=True):
    """One answer for each callback, in their order."""

    answers: list[CallbackAnswerView]


class _Outer(msgspec.Struct, frozen=True):
    callbacks: list[msgspec.Raw]


class _Told(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    status: int
    body: Any
    retry_after: int | None = None


class _Answers(msgspec.Struct, frozen=True):
    answers: list[_Told]


async def take(request: Request) -> Response:
    """Callbacks of many tasks at once; the answer is 200 whatever becomes of each.

    Send those whose answer was 503 again, alone or with others.
    """
    check_content_type(request)
    elements = _elements(await request.body())
    # A heartbeat waits for others of its workspace, unless these are company enough.
    hurried = any(not isinstance(one, Exception) and one.callback != "heartbeat" for one in elements)
    return reply(_Answers(await asyncio.gather(*(_answer(request, one, hurried=hurried) for one in elements))))


async def _answer(request: Request, element: CallbackRequest | Exception, *, hurried: bool) -> _Told:
    try:
        if isinstance(element, Exception):
            raise element
        answered = await _heard(request, element, hurried=hurried)
    except Exception as fact:  # noqa: BLE001  # whatever became of one callback, the others are answered
        note_failure(request, fact)
        told = problem(fact, request.scope[REQUEST_ID_KEY])
        waits = next((int(value) for name, value in told.headers if name == b"retry-after"), None)
        return _Told(told.status, told.view, waits)
    return _Told(answered.status, answered.view)


async def _heard(request: Request, element: CallbackRequest, *, hurried: bool) -> Answered:
    kind = KINDS[element.callback]
    body = decode_sound(bytes(element.body), kind.body)
    voice = Voice(
        services=services_of(request),
        task_id=element.task_id,
        token=element.token.strip() or None,
        hurried=hurried,
    )
    return await answer_to(voice, element.callback, body)


def _elements(body: bytes) -> list[CallbackRequest | Exception]:
    """The callbacks of a body, or what is wrong with each. Raises `MalformedBody`, `UnprocessableBody`, `InvalidInput`.

    A body that is not sound as a whole may hold some that are: those are heard.
    """
    unsound: MalformedBody | None = None
    try:
        check_json(body)
    except MalformedBody as error:
        unsound = error
    try:
        outer = msgspec.json.decode(body, type=_Outer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        if unsound is not None:
            raise unsound from None
        decode_bytes(body, CallbacksRequest)  # says what is wrong with it
        raise
    if not 1 <= len(outer.callbacks) <= CALLBACKS_PER_REQUEST_MAX:
        raise InvalidInput(f"callbacks must be 1 to {CALLBACKS_PER_REQUEST_MAX}; {len(outer.callbacks)} were sent")
    found = [_element(bytes(raw)) for raw in outer.callbacks]
    if unsound is not None and not any(isinstance(one, MalformedBody) for one in found):
        raise unsound  # what is around them is at fault
    return found


def _element(raw: bytes) -> CallbackRequest | Exception:
    try:
        return decode_bytes(raw, CallbackRequest)
    except Exception as error:  # noqa: BLE001  # told as the answer to this one
        return error


routes: Final = [
    Endpoint(
        method="POST",
        path="/tasks/callbacks",
        handler=take,
        summary="Callbacks of many attempts",
        tag="workers",
        request=CallbacksRequest,
        responses={200: CallbacksView},
        errors=(400, 408, 413, 415, 422, 503),
        public=True,
    )
]
