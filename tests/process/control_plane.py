"""A stand-in control plane: a real HTTP server with the contract's callbacks, order of checks and answers (7.2 to 7.4).

It knows tasks, attempts, cancellation and terminal states, verifies task tokens, takes logs, and can be made to fail:
refuse, drop an answer after acting, or not answer. Whatever is written about workers here holds for any worker.
"""

import asyncio
import time
from collections import deque
from typing import Any, NamedTuple

import aiohttp
import msgspec
from aiohttp import web

from arco.core.clock import SystemClock
from arco.dispatch.envelope import WorkerDispatchEnvelope, write_envelope
from arco.dispatch.tokens import InvalidTaskToken, TaskClaims, TaskTokens, TokenSettings, mismatch
from arco.domains.orchestration import keys

PATIENCE_S = 30.0
DISPATCH_SECRET = "the dispatch secret of this test, long enough"
TENANT, WORKSPACE = "acme", "prod"
TERMINAL = ("SUCCEEDED", "FAILED", "CANCELLED", "SKIPPED")


class Heard(NamedTuple):
    """A report that came in, whether it was taken or not."""

    what: str
    task_key: str
    body: dict[str, Any]
    headers: dict[str, str]
    at: float


class TaskState(msgspec.Struct):
    """A task as the control plane knows it."""

    run_id: str
    task_key: str
    attempt: int = 1
    state: str = "READY"
    cancel: bool = False

    @property
    def dispatch_id(self) -> str:
        return keys.dispatch_id(self.run_id, self.task_key, self.attempt)

    @property
    def attempt_id(self) -> str:
        return keys.attempt_id(self.dispatch_id)

    @property
    def task_id(self) -> str:
        return keys.task_id(self.run_id, self.task_key)


class ControlPlane:
    """`async with` it; `url` is its base."""

    def __init__(self) -> None:
        self.url = ""
        self.tasks: dict[str, TaskState] = {}
        self.heard: list[Heard] = []
        self.logs: dict[str, dict[str, Any]] = {}
        self.log_headers: dict[str, str] = {}
        self.pieces: dict[str, dict[int, dict[str, Any]]] = {}
        self._faults: dict[str, deque[str]] = {}
        self._news = asyncio.Condition()
        settings = TokenSettings(secret="task token secret " * 3, issuer="arco", audience="arco-tasks")
        self.tokens = TaskTokens(settings, SystemClock())
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "ControlPlane":
        app = web.Application(client_max_size=2 * 1024 * 1024)
        app.router.add_post("/api/v1/tasks/{task_id}/logs", self._take_piece)
        app.router.add_post("/api/v1/tasks/{task_id}/{what}", self._callback)
        app.router.add_post("/api/v1/workspaces/{workspace}/runs/{run_id}/logs", self._take_logs)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        assert self._session is not None
        await self._session.close()
        await self._runner.cleanup()

    def fault(self, what: str, *kinds: str) -> None:
        """For the next reports of a kind: a status such as `503`, `drop` (act, and close), `lose` (close), `ok`."""
        self._faults.setdefault(what, deque()).extend(kinds)

    def task(self, task_key: str, run_id: str = "run-1") -> TaskState:
        """The task, made when it is new."""
        return self.tasks.setdefault(keys.task_id(run_id, task_key), TaskState(run_id, task_key))

    def envelope(self, task: TaskState, **changes: Any) -> WorkerDispatchEnvelope:
        """What a dispatcher would send for the task's current attempt."""
        claims = TaskClaims(
            task_id=task.task_id,
            tenant_id=TENANT,
            workspace_id=WORKSPACE,
            run_id=task.run_id,
            attempt=task.attempt,
            attempt_id=task.attempt_id,
        )
        minted = self.tokens.mint(claims, ttl_s=3600)
        members: dict[str, Any] = {
            "tenant_id": TENANT,
            "workspace_id": WORKSPACE,
            "task_id": task.task_id,
            "task_key": task.task_key,
            "run_id": task.run_id,
            "attempt": task.attempt,
            "attempt_id": task.attempt_id,
            "dispatch_id": task.dispatch_id,
            "worker_queue": "default-queue",
            "callback_base_url": self.url,
            "task_token": minted.token,
            "token_expires_at": minted.expires_at,
            "payload": {},
        }
        return WorkerDispatchEnvelope(**{**members, **changes})

    async def dispatch(self, worker: str, task: TaskState | str, **changes: Any) -> tuple[int, dict[str, str]]:
        """Push a task to a worker as a queue does; its status and headers, once the task has ended."""
        found = self.task(task) if isinstance(task, str) else task
        return await self.push(worker, write_envelope(self.envelope(found, **changes)))

    async def push(self, worker: str, body: bytes, **headers: str) -> tuple[int, dict[str, str]]:
        """POST to a worker's /dispatch."""
        assert self._session is not None
        sent = headers or {"X-Arco-Dispatch-Secret": DISPATCH_SECRET}
        async with self._session.post(f"{worker}/dispatch", data=body, headers=sent) as answer:
            await answer.read()
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}

    def of(self, what: str, task_key: str | None = None) -> list[Heard]:
        """The reports of one kind, in order of arrival."""
        return [one for one in self.heard if one.what == what and task_key in (None, one.task_key)]

    async def hears(self, what: str, count: int = 1, task_key: str | None = None) -> list[Heard]:
        """The reports of one kind, once there are so many."""
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(lambda: len(self.of(what, task_key)) >= count)
        return self.of(what, task_key)

    async def _callback(self, request: web.Request) -> web.Response:
        task_id, what = request.match_info["task_id"], request.match_info["what"]
        body: dict[str, Any] = msgspec.json.decode(await request.read(), type=dict[str, Any])
        task = self.tasks.get(task_id)
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.heard.append(Heard(what, task.task_key if task else "", body, headers, time.monotonic()))
        async with self._news:
            self._news.notify_all()
        faults = self._faults.get(what)
        fault = faults.popleft() if faults else "ok"
        if fault == "lose":
            _cut(request)
        if fault.isdigit():
            return web.json_response({"error": "ordered"}, status=int(fault))
        status, answer = self._judged(task, task_id, what, request.headers.get("Authorization", ""), body)
        if fault == "drop":
            _cut(request)
        if fault == "empty" and status == 200:
            return web.Response()
        return web.json_response(answer, status=status)

    def _judged(
        self, task: TaskState | None, task_id: str, what: str, authorization: str, body: dict[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        """The order of checks of 7.3."""
        if not isinstance(body.get("attempt"), int) or body["attempt"] < 1 or body.get("progressPct", 0) > 100:
            return 400, {"error": "invalid_argument"}
        if task is None:
            return 404, {"error": "task_not_found"}
        try:
            claims = self.tokens.read(authorization.removeprefix("Bearer "), task_id=task_id, scope=(TENANT, WORKSPACE))
        except InvalidTaskToken as error:
            return 401, {"error": "invalid_token", "message": error.reason}
        if task.state in TERMINAL:
            if what == "heartbeat":
                return 410, {"error": "task_expired", "state": task.state}
            return 409, {"error": "task_already_terminal", "state": task.state}
        if what == "started" and task.state == "RETRY_WAIT" and body["attempt"] == task.attempt:
            return 409, {"error": "attempt_already_completed", "state": task.state}
        said = TaskClaims(**{**msgspec.structs.asdict(claims), "attempt": body["attempt"]})
        said = msgspec.structs.replace(said, attempt_id=body.get("attemptId", ""))
        wrong = mismatch(said, run_id=task.run_id, attempt=task.attempt, attempt_id=task.attempt_id)
        if wrong is not None:
            return 409, {"error": wrong, "expectedAttempt": task.attempt, "receivedAttempt": body["attempt"]}
        if what == "started" and task.cancel:
            return 409, {"error": "task_already_terminal", "state": "CANCELLED"}
        return 200, self._applied(task, what, body)

    def _applied(self, task: TaskState, what: str, body: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = {"acknowledged": True, "serverTime": "2026-01-01T00:00:00Z"}
        if what == "started":
            task.state = "RUNNING"
        elif what == "completed":
            task.state = body["outcome"]
            answer["finalState"] = body["outcome"]
        else:
            answer["shouldCancel"] = task.cancel
            if task.cancel:
                answer["cancelReason"] = "user_requested"
        return answer

    def written(self, task_key: str, stream: str = "stdout") -> str:
        """What of a stream came in pieces until now."""
        pieces = self.pieces.get(task_key, {})
        parts = [part for number in sorted(pieces) for part in pieces[number]["parts"]]
        return "".join(part["text"] for part in parts if part["stream"] == stream)

    async def _take_piece(self, request: web.Request) -> web.Response:
        task = self.tasks[request.match_info["task_id"]]
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.tokens.read(token, task_id=task.task_id, scope=(TENANT, WORKSPACE))
        body: dict[str, Any] = msgspec.json.decode(await request.read(), type=dict[str, Any])
        faults = self._faults.get("piece")
        fault = faults.popleft() if faults else "ok"
        kept = self.pieces.setdefault(task.task_key, {})
        answer: dict[str, Any] = {"acknowledged": True, "nextPiece": body["piece"] + 1}
        status = 200
        if fault.isdigit():
            status, answer = int(fault), {}
        elif body["piece"] in kept and kept[body["piece"]] != body:
            status, answer = 409, {"error": "piece_taken", "nextPiece": max(kept) + 1}
        elif fault != "lose":
            kept[body["piece"]] = body
        self.heard.append(Heard("piece", task.task_key, body, {}, time.monotonic()))
        async with self._news:
            self._news.notify_all()
        if fault in ("drop", "lose"):
            _cut(request)
        return web.json_response(answer, status=status)

    async def _take_logs(self, request: web.Request) -> web.Response:
        body = msgspec.json.decode(await request.read(), type=dict[str, Any])
        self.heard.append(Heard("logs", body["taskKey"], body, {}, time.monotonic()))
        self.log_headers = {name.lower(): value for name, value in request.headers.items()}
        async with self._news:
            self._news.notify_all()
        faults = self._faults.get("logs")
        fault = faults.popleft() if faults else "ok"
        name = f"{request.match_info['run_id']}/{body['taskKey']}/attempt-{body['attempt']}"
        if fault.isdigit():
            return web.json_response({}, status=int(fault))
        if name in self.logs:
            return web.json_response({"code": "CONFLICT"}, status=409)
        self.logs[name] = body
        return web.json_response({"path": name, "sizeBytes": len(body["stdout"])})


def _cut(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()
    raise ConnectionResetError
