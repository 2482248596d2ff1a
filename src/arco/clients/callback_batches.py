"""Callbacks of a busy worker go in together: one request for what is told at the same time (`POST /tasks/callbacks`).

A heartbeat waits half a second for others. Starts and completions wait for nobody: what comes while so many requests
are under way is the next one. Each report has its own answer, as if it had gone alone; a single one does go alone, and
so does each when the api does not know the route, or does not understand the request. Whoever gives up its report
before it was sent has not sent it.
"""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final

import msgspec

from arco.clients.callbacks import TIMEOUT_S, Answer, Callbacks, Caller, NoAnswer, Task
from arco.core.clock import Clock

LINGER_MS: Final = 500
REQUESTS_AT_ONCE: Final = 4
COUNT_MAX: Final = 100
BYTES_MAX: Final = 1024 * 1024
"""Of one request: half of what an api takes."""

ASK_AGAIN_MS: Final = 600_000
"""After so long an api that did not know the route is asked again: it may be another one."""

_ANSWERS_BYTES_MAX: Final = 8 * 1024 * 1024
_PATH: Final = "/api/v1/tasks/callbacks"
_LEAVING: Final = "the worker is leaving"
_NO_SUCH_ROUTE: Final = frozenset({404, 405, 501})
_NOT_UNDERSTOOD: Final = frozenset({400, 413, 415, 422})


class _Report(msgspec.Struct, frozen=True):
    """A report that waits, and where its answer goes."""

    task: Task
    what: str
    body: bytes
    answer: "asyncio.Future[Answer]"


class _Group(msgspec.Struct):
    """Reports that may go together; those of a lingering group wait for each other."""

    linger_ms: int
    waiting: list[_Report] = []
    sending: int = 0

    def take(self) -> list[_Report]:
        """What goes next: nothing that was given up, not too many, not too long."""
        self.waiting = [report for report in self.waiting if not report.answer.done()]
        size = count = 0
        for report in self.waiting[:COUNT_MAX]:
            size += len(report.body) + len(report.task.token)
            if count and size > BYTES_MAX:
                break
            count += 1
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        return taken


class _One(msgspec.Struct, frozen=True, rename="camel"):
    status: int
    body: dict[str, Any]
    retry_after: int = 0


class _Answers(msgspec.Struct, frozen=True):
    answers: list[_One]


class GatheredCallbacks(Callbacks):
    """`Callbacks` that go in together where there are many."""

    def __init__(
        self, caller: Caller, clock: Clock, *, timeout_s: float = TIMEOUT_S, linger_ms: int = LINGER_MS
    ) -> None:
        super().__init__(caller, timeout_s=timeout_s)
        self._clock = clock
        prompt = _Group(0)
        self._groups = {"heartbeat": _Group(linger_ms), "started": prompt, "completed": prompt}
        self._alone_until_ms: int | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def report(self, task: Task, what: str, body: Mapping[str, Any] | msgspec.Raw) -> Answer:
        """Report `started`, `heartbeat` or `completed`, with others if there are any. Raises `NoAnswer`."""
        group = self._groups.get(what)
        if group is None or self._goes_alone():
            return await super().report(task, what, body)
        loop = asyncio.get_running_loop()
        report = _Report(task, what, msgspec.json.encode(body), loop.create_future())
        group.waiting.append(report)
        if group.sending < REQUESTS_AT_ONCE if group.linger_ms == 0 else len(group.waiting) == 1:
            group.sending += 1
            sending = loop.create_task(self._send(group))
            self._tasks.add(sending)
            sending.add_done_callback(self._tasks.discard)
        return await report.answer

    async def close(self) -> None:
        """Send nothing more, and end the connections."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for group in self._groups.values():
            for report in group.waiting:
                _fail(report, NoAnswer(_LEAVING))
        await super().close()

    def _goes_alone(self) -> bool:
        return self._alone_until_ms is not None and self._clock.steady_ms() < self._alone_until_ms

    async def _send(self, group: _Group) -> None:
        try:
            if group.linger_ms:
                await self._clock.sleep_ms(group.linger_ms)
            while taken := group.take():
                await self._sent(taken)
        finally:
            group.sending -= 1

    async def _sent(self, reports: Sequence[_Report]) -> None:
        """Send these, and give each its answer, whatever happens."""
        try:
            if len(reports) == 1 or not await self._together(reports):
                await asyncio.gather(*(_answered(report, self._apart(report)) for report in reports))
        finally:
            for report in reports:
                if not report.answer.done():
                    report.answer.set_exception(NoAnswer(_LEAVING))

    async def _apart(self, report: _Report) -> Answer:
        return await super().report(report.task, report.what, msgspec.Raw(report.body))

    async def _together(self, reports: Sequence[_Report]) -> bool:
        """Whether the api took them as one request; each that it answered for has its answer."""
        callbacks = [
            {
                "taskId": report.task.task_id,
                "callback": report.what,
                "token": report.task.token,
                "body": msgspec.Raw(report.body),
            }
            for report in reports
        ]
        try:
            answer, text = await self._exchange(_PATH, {}, {"callbacks": callbacks}, bytes_max=_ANSWERS_BYTES_MAX)
        except NoAnswer as error:
            for report in reports:
                _fail(report, NoAnswer(*error.args))
            return True
        if answer.status in _NO_SUCH_ROUTE:
            self._alone_until_ms = self._clock.steady_ms() + ASK_AGAIN_MS
        if answer.status in _NO_SUCH_ROUTE or answer.status in _NOT_UNDERSTOOD:
            return False
        for report, told in zip(reports, _told(answer, text, len(reports)), strict=True):
            if told is None:
                _fail(report, NoAnswer("the api's answer could not be read"))
            elif not report.answer.done():
                report.answer.set_result(told)
        return True


def _told(answer: Answer, text: bytes, count: int) -> Sequence[Answer | None]:
    """What each report is told; what the request as a whole is told when it was not taken as one."""
    if not answer.accepted:
        return [answer] * count
    try:
        found = msgspec.json.decode(text, type=_Answers).answers
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return [None] * count
    if len(found) != count:
        return [None] * count
    return [Answer(one.status, one.body, one.retry_after) for one in found]


async def _answered(report: _Report, told: Awaitable[Answer]) -> None:
    try:
        answer = await told
    except NoAnswer as error:
        _fail(report, error)
        return
    if not report.answer.done():
        report.answer.set_result(answer)


def _fail(report: _Report, error: NoAnswer) -> None:
    if not report.answer.done():
        report.answer.set_exception(error)
