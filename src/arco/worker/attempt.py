"""One dispatch from `started` to its logs: what is reported, what is run, and what ends it (orchestration.md 7.4, 7.6).

Only a report that the child made itself can say SUCCEEDED. A child that died, whatever it did before, has failed; a
task that was to end (cancelled, out of time, worker stopping) and whose function did not come to its own end first is
reported with that reason. The completion report is tried again until the api takes it, says that the attempt is over,
or the token is no longer good.
"""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import Any, Final

import msgspec

from arco.clients.callbacks import Answer, Callbacks, LogText, NoAnswer, Task
from arco.core.clock import Clock
from arco.core.instant import stored_text
from arco.core.log import Log
from arco.dispatch.envelope import TIMEOUT_MEMBER, WorkerDispatchEnvelope
from arco.worker import words
from arco.worker.capture import Capture
from arco.worker.children import Child, CodeBroken, Died, Ears
from arco.worker.live import LiveLog
from arco.worker.pool import Pool
from arco.worker.reports import bounded, death, failed, fitting, plainer, progress_members

HEARTBEAT_TIMEOUT_S: Final = 300
HEARTBEAT_TIMEOUT_S_MIN: Final = 30
START_WINDOW_MS: Final = 5_000
"""How long `started` is tried again: the queue does so too, and other workers may be better off."""

LOGS_WINDOW_MS: Final = 10_000
_CONFLICTS: Final = frozenset(
    {"task_already_terminal", "attempt_already_completed", "attempt_mismatch", "attempt_id_mismatch"}
)
_MALFORMED: Final = frozenset({400, 413, 415, 422})
_BACKOFF_MS: Final = (200, 10_000)


class End(Enum):
    """How a dispatch ended for the queue."""

    REPORTED = "reported"
    """The api has taken the report, or says that the attempt is over: never run it again."""
    SUPPRESSED = "suppressed"
    """The api did not want it started: there is nothing to run."""
    UNREPORTED = "unreported"
    """The api did not take a report: to be delivered again."""


class Stop(Enum):
    """Why a task was told to end."""

    CANCEL = "cancel"
    TIMEOUT = "timeout"
    DRAIN = "drain"
    SUPERSEDED = "superseded"
    """The api says that the attempt is over: nothing is reported any more."""


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """What every attempt of a worker works with. Times in milliseconds."""

    callbacks: Callbacks
    pool: Pool
    clock: Clock
    log: Log
    worker_id: str
    grace_ms: int
    report_ms: int
    register: Callable[[dict[str, Any]], Awaitable[str]]
    """Makes a table known to the catalog; nothing, or why that failed."""
    task_token: str | None = None


def heartbeat_period_ms(timeout_s: int | None) -> int:
    """A fifth of the timeout, 5 s at least and 60 s at most. Raises `ValueError` below the floor of 30 s."""
    found = HEARTBEAT_TIMEOUT_S if timeout_s is None else timeout_s
    if found < HEARTBEAT_TIMEOUT_S_MIN:
        raise ValueError(f"heartbeatTimeoutSec is {found}; at least {HEARTBEAT_TIMEOUT_S_MIN}")
    return min(max(found * 200, 5_000), 60_000)


def next_beat_ms(timeout_s: int | None, steady_ms: int) -> int:
    """How long after a beat at this moment the next one is: a period at most, and others come at the same time."""
    period_ms = heartbeat_period_ms(timeout_s)
    return period_ms - steady_ms % period_ms


class Attempt:
    """One attempt at one task."""

    def __init__(self, envelope: WorkerDispatchEnvelope, bench: Bench) -> None:
        self.envelope = envelope
        self.released = asyncio.Event()
        """Set when its child is free again, or was never needed."""
        self._bench = bench
        self._log = bench.log.bind(run_id=envelope.run_id, task_key=envelope.task_key, attempt=envelope.attempt)
        self._live = LiveLog(self._tell_piece, bench.clock, self._log, self._writer())
        self._output = (
            Capture(heard=lambda data: self._live.hear("stdout", data)),
            Capture(heard=lambda data: self._live.hear("stderr", data)),
        )
        self._progress = words.Progress()
        self._stop: Stop | None = None
        self._child: Child | None = None
        self._work: asyncio.Task[words.Report | Died] | None = None
        self._killing: asyncio.Task[None] | None = None

    async def run(self) -> End:
        """All of it."""
        try:
            started = await self._delivered("started", {"startedAt": self._now()}, START_WINDOW_MS)
            if started is None or not started.accepted:
                self.released.set()
                return self._not_started(started)
            self._log.info("task_started")
            live = asyncio.get_running_loop().create_task(self._live.run())
            try:
                return await self._reported(await self._executed(), live)
            finally:
                live.cancel()
                await asyncio.gather(live, return_exceptions=True)
        finally:
            self.released.set()

    async def _reported(self, report: words.Report, live: "asyncio.Task[None]") -> End:
        """Report how it ended, then tell the rest of what it wrote."""
        self.released.set()
        if self._stop is Stop.SUPERSEDED:
            self._log.info("task_superseded")
            return End.REPORTED
        answer = await self._completed(report)
        told = None if answer is None else answer.status
        self._log.info("task_ended", outcome=report.outcome, category=(report.error or {}).get("category"), status=told)
        if answer is None or not (answer.accepted or answer.ended):
            return End.UNREPORTED
        self._live.end()
        await asyncio.gather(self._upload(), asyncio.wait({live}, timeout=LOGS_WINDOW_MS / 1000))
        return End.REPORTED

    def stop(self, why: Stop) -> None:
        """Have the task end: told first, killed when its grace is over. The first reason counts."""
        if self._stop is not None or self._work is None or self._work.done():
            return
        self._stop = why
        if self._child is None:
            self._work.cancel()
        else:
            self._killing = asyncio.get_running_loop().create_task(self._kill(self._child))

    def _not_started(self, answer: Answer | None) -> End:
        if answer is not None and answer.status == 409 and answer.error in _CONFLICTS:
            self._log.info("task_not_wanted", reason=answer.error)
            return End.SUPPRESSED
        told = "no answer" if answer is None else f"{answer.status} {answer.error}".strip()
        self._log.warning("task_start_refused", reason=told)
        return End.UNREPORTED

    async def _executed(self) -> words.Report:
        """Run the task, with heartbeats beside it and a limit on its time."""
        loop = asyncio.get_running_loop()
        self._work = loop.create_task(self._ran())
        beside = [loop.create_task(self._beat()), loop.create_task(self._limit())]
        try:
            result = await self._work
        except CodeBroken as error:
            return failed("CONFIGURATION", error.message, retryable=True)
        except asyncio.CancelledError:
            if self._stop is None:
                raise
            result = Died(0)
        finally:
            self._work.cancel()  # of no effect once it has ended
            for task in (*beside, *((self._killing,) if self._killing else ())):
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
        return self._judged(result)

    async def _ran(self) -> words.Report | Died:
        task = {
            "task_key": self.envelope.task_key,
            "run_id": self.envelope.run_id,
            "attempt": self.envelope.attempt,
            "attempt_id": self.envelope.attempt_id,
            "partition_key": self.envelope.partition_key,
            "payload": self.envelope.payload,
        }
        child = await self._bench.pool.take()
        self._child = child
        ended: words.Report | Died = Died(-int(signal.SIGKILL))
        try:
            ended = await child.run(words.Do(task), self._output, Ears(self._note, self._bench.register))
        finally:
            self._bench.pool.give_back(child, ended)
            self.released.set()
        return ended

    def _note(self, progress: words.Progress) -> None:
        self._progress = progress

    async def _kill(self, child: Child) -> None:
        child.signal(signal.SIGTERM)
        await self._bench.clock.sleep_ms(self._bench.grace_ms)
        self._log.warning("task_killed", reason=self._stop.value if self._stop else "")
        child.signal(signal.SIGKILL, whole=True)

    async def _beat(self) -> None:
        clock, wait_ms = self._bench.clock, heartbeat_period_ms(self.envelope.heartbeat_timeout_sec)
        while True:
            await clock.sleep_ms(wait_ms)
            wait_ms = next_beat_ms(self.envelope.heartbeat_timeout_sec, clock.steady_ms())
            told = {"heartbeatAt": self._now(), **progress_members(self._progress)}
            try:
                answer = await self._report("heartbeat", told)
            except NoAnswer as error:
                self._log.warning("heartbeat_failed", reason=str(error))
                continue
            if answer.ended:
                self.stop(Stop.SUPERSEDED)
            elif answer.accepted and answer.body.get("shouldCancel") is True:
                self.stop(Stop.CANCEL)
            elif not answer.accepted:
                self._log.warning("heartbeat_failed", reason=str(answer.status))

    async def _limit(self) -> None:
        """End the task when its time is over, or before its token is: a report nobody takes helps nobody."""
        left_ms = self._token_left_ms() - _BACKOFF_MS[1]
        limit_s = self._timeout_s()
        await self._bench.clock.sleep_ms(max(0, left_ms if limit_s is None else min(left_ms, int(limit_s * 1000))))
        self.stop(Stop.TIMEOUT)

    def _timeout_s(self) -> float | None:
        said = self.envelope.payload.get(TIMEOUT_MEMBER)
        return said if isinstance(said, int | float) and not isinstance(said, bool) and said > 0 else None

    def _judged(self, result: words.Report | Died) -> words.Report:
        """What is reported: the child's own word, or what is made of its silence."""
        if isinstance(result, words.Report) and (self._stop is None or result.outcome == "SUCCEEDED"):
            return result
        report = result if isinstance(result, words.Report) else None
        trace = (report.error or {}).get("stackTrace") if report else None
        phase, metrics = (report.phase, report.metrics) if report else (None, None)
        match self._stop:
            case None:
                return failed(*death(result.code if isinstance(result, Died) else 0))
            case Stop.CANCEL:
                told = {"category": "CANCELLED", "message": "the task was cancelled", "retryable": False}
                return words.Report(outcome="CANCELLED", error=told, phase=phase, metrics=metrics)
            case Stop.TIMEOUT:
                limit = self._timeout_s()
                message = f"the task ran longer than {limit:g} s" if limit else "the task ran longer than its token"
                return failed("TIMEOUT", message, trace=trace)
            case _:
                return failed(
                    "INFRASTRUCTURE", "the worker was stopped while the task ran", trace=trace, retryable=True
                )

    async def _completed(self, report: words.Report) -> Answer | None:
        """The api's answer to the report. One that it cannot take as it is, is told in fewer words, or as a failure."""
        answer = await self._delivered("completed", self._completion(report), self._report_window_ms())
        for fewer in plainer(report):
            if answer is None or answer.status not in _MALFORMED:
                break
            self._log.warning("report_refused", status=answer.status, error=answer.error)
            answer = await self._delivered("completed", self._completion(fewer), self._report_window_ms())
        return answer

    def _completion(self, report: words.Report) -> dict[str, Any]:
        body: dict[str, Any] = {"outcome": report.outcome, "completedAt": self._now()}
        if report.outcome == "SUCCEEDED":
            body |= {"output": report.output} if report.output is not None else {}
        elif report.error is not None:
            body["error"] = bounded(report.error)
        body["metrics"] = {**(report.metrics or {}), "logBytes": sum(capture.size for capture in self._output)}
        if report.outcome == "CANCELLED" and report.phase:
            body["cancelledDuringPhase"] = report.phase
        return body

    async def _delivered(self, what: str, body: Mapping[str, Any], window_ms: int) -> Answer | None:
        """The api's answer, asked again while it may do better; None when it never answered within the window."""
        clock = self._bench.clock
        until_ms, wait_ms = clock.steady_ms() + window_ms, _BACKOFF_MS[0]
        while True:
            answer = None
            with contextlib.suppress(NoAnswer):
                answer = await self._report(what, body)
            if answer is not None and not answer.transient:
                return answer
            pause_ms = max(wait_ms, answer.retry_after_s * 1000 if answer else 0)
            if clock.steady_ms() + pause_ms >= until_ms:
                return answer
            self._log.warning("report_repeated", report=what, status=answer.status if answer else None)
            await clock.sleep_ms(pause_ms)
            wait_ms = min(2 * wait_ms, _BACKOFF_MS[1])

    async def _report(self, what: str, body: Mapping[str, Any]) -> Answer:
        envelope = self.envelope
        said = {"attempt": envelope.attempt, "attemptId": envelope.attempt_id, "workerId": self._bench.worker_id}
        if envelope.traceparent is not None:
            said["traceparent"] = envelope.traceparent
        token = envelope.task_token or self._bench.task_token or ""
        return await self._bench.callbacks.report(Task(envelope.task_id, token), what, {**said, **body})

    async def _tell_piece(self, piece: Mapping[str, Any]) -> Answer:
        return await self._report("logs", piece)

    def _writer(self) -> str:
        """This very execution: the same attempt may be dispatched again, here or elsewhere."""
        return f"{self._bench.worker_id[:200]}/{self._bench.clock.steady_ms()}"

    async def _upload(self) -> None:
        """The logs, which nobody may miss enough to fail a task for them."""
        texts = [capture.text() for capture in self._output]
        if not any(texts):
            return
        envelope, clock = self.envelope, self._bench.clock
        text = fitting(LogText(task_key=envelope.task_key, attempt=envelope.attempt, stdout=texts[0], stderr=texts[1]))
        until_ms = clock.steady_ms() + LOGS_WINDOW_MS
        while True:
            told = "no answer"
            with contextlib.suppress(NoAnswer):
                answer = await self._bench.callbacks.upload(envelope.run_id, text)
                if answer.accepted or answer.status == 409:  # ours already, by a try whose answer was lost
                    return
                told = str(answer.status)
                if not answer.transient:
                    break
            if clock.steady_ms() + 1_000 >= until_ms:
                break
            await clock.sleep_ms(1_000)
        self._log.warning("logs_not_uploaded", reason=told)

    def _report_window_ms(self) -> int:
        return max(0, min(self._bench.report_ms, self._token_left_ms()))

    def _token_left_ms(self) -> int:
        return int(self.envelope.token_expires_at.timestamp() * 1000) - self._bench.clock.now_ms()

    def _now(self) -> str:
        return stored_text(self._bench.clock.now_ms())
