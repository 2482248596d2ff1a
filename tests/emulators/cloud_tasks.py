"""A small, faithful Cloud Tasks as a real process: `python -m tests.emulators.cloud_tasks`, which prints `port N`.

It speaks the gRPC API's CreateTask, GetTask, DeleteTask, CreateQueue, GetQueue and UpdateQueue, and delivers HTTP tasks
as Google documents it: a name is refused while its task is there and for an hour after it was executed or deleted; a
2xx ends a task, anything else is tried again with the queue's backoff, doubled `max_doublings` times, until *both* the
attempts and the retry time are used up; `Retry-After` is respected; `schedule_time` and `dispatch_deadline` hold; every
call carries the X-CloudTasks-* headers and, where asked for, an OIDC token (shaped like Google's, signed by nobody).

`/control/*` on the printed port is not of the provider: `where` (the gRPC port), `queues` (make one), `settings`
(`pace`: how many of its seconds are one of ours), `faults` (for the next CreateTask: see `FAULTS`), `forget`
(end all tombstones).
"""

import asyncio
import base64
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import grpc
from aiohttp import web
from google.cloud import tasks_v2
from google.protobuf import empty_pb2

TOMBSTONE_S = 3_600
BODY_MAX = 100 * 1024
FAULTS = {
    "lose_request": "store nothing, and answer UNAVAILABLE",
    "lose_answer": "store the task, and answer UNAVAILABLE",
    "stall": "store the task, and never answer",
    "full": "store nothing, and answer RESOURCE_EXHAUSTED",
    "denied": "store nothing, and answer PERMISSION_DENIED",
}
_DEFAULTS = {"attempts": 100, "min_s": 0.1, "max_s": 3_600.0, "doublings": 16, "window_s": 0.0}


class Service:
    """Queues, tasks and the memory of names of one process."""

    def __init__(self) -> None:
        self.queues: dict[str, tasks_v2.Queue] = {}
        self.tasks: dict[str, tasks_v2.Task] = {}
        self.gone: dict[str, float] = {}
        self.faults: list[str] = []
        self.pace = 1.0
        self.grpc_port = 0
        self._running: dict[str, asyncio.Task[None]] = {}
        self._session: aiohttp.ClientSession | None = None

    def now(self) -> float:
        return time.time()

    async def create_task(self, request: tasks_v2.CreateTaskRequest, context: Any) -> tasks_v2.Task:
        fault = self.faults.pop(0) if self.faults else ""
        if fault in ("lose_request", "full", "denied"):
            code = {"full": "RESOURCE_EXHAUSTED", "denied": "PERMISSION_DENIED"}.get(fault, "UNAVAILABLE")
            await context.abort(grpc.StatusCode[code], "as ordered")
        task = await self._checked(request, context)
        self.tasks[task.name] = task
        self._running[task.name] = asyncio.get_running_loop().create_task(self._deliver(task))
        if fault == "stall":
            await asyncio.sleep(3_600)
        if fault == "lose_answer":
            await context.abort(grpc.StatusCode.UNAVAILABLE, "as ordered")
        return task

    async def _checked(self, request: tasks_v2.CreateTaskRequest, context: Any) -> tasks_v2.Task:
        task = request.task
        if request.parent not in self.queues:
            await context.abort(grpc.StatusCode.NOT_FOUND, "Queue does not exist.")
        deadline = task.dispatch_deadline.total_seconds() if task.dispatch_deadline else 600
        fine = task.name.startswith(f"{request.parent}/tasks/") and len(task.http_request.body) <= BODY_MAX
        if not fine or not 15 <= deadline <= 1_800 or not task.http_request.url.startswith("http"):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Task is malformed.")
        if task.name in self.tasks or self.gone.get(task.name, 0) > self.now():
            await context.abort(
                grpc.StatusCode.ALREADY_EXISTS, "The task cannot be created because it exists or existed recently."
            )
        now = datetime.now(UTC)
        task.create_time = now
        task.schedule_time = max(task.schedule_time or now, now)
        return task

    async def get_task(self, request: tasks_v2.GetTaskRequest, context: Any) -> tasks_v2.Task:
        if request.name not in self.tasks:
            await context.abort(grpc.StatusCode.NOT_FOUND, "The task no longer exists, or never did.")
        return self.tasks[request.name]

    async def delete_task(self, request: tasks_v2.DeleteTaskRequest, context: Any) -> empty_pb2.Empty:
        if request.name not in self.tasks:
            await context.abort(grpc.StatusCode.NOT_FOUND, "The task no longer exists, or never did.")
        self._end(request.name)
        self._running.pop(request.name).cancel()
        return empty_pb2.Empty()

    async def get_queue(self, request: tasks_v2.GetQueueRequest, context: Any) -> tasks_v2.Queue:
        if request.name not in self.queues:
            await context.abort(grpc.StatusCode.NOT_FOUND, "Queue does not exist.")
        return self.queues[request.name]

    async def update_queue(self, request: tasks_v2.UpdateQueueRequest, context: Any) -> tasks_v2.Queue:
        if list(request.update_mask.paths) != ["retry_config"]:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "only retry_config here")
        # As Google does: a queue that is not there is made by the update.
        queue = self.queues.setdefault(request.queue.name, tasks_v2.Queue(name=request.queue.name))
        queue.retry_config = request.queue.retry_config
        return queue

    async def _deliver(self, task: tasks_v2.Task) -> None:
        started, tries = self.now(), 0
        wait_s = (task.schedule_time - datetime.now(UTC)).total_seconds()
        while True:
            await asyncio.sleep(max(0.0, wait_s) / self.pace)
            status, retry_after = await self._call(task, tries)
            tries += 1
            if 200 <= status < 300:
                break
            retry = self._retry(task.name)
            spent = (self.now() - started) * self.pace
            if 0 < retry["attempts"] <= tries and spent >= retry["window_s"]:
                break
            backoff = retry["min_s"] * 2 ** min(tries - 1, retry["doublings"])
            wait_s = max(min(backoff, retry["max_s"]), retry_after)
            task.schedule_time = datetime.now(UTC) + timedelta(seconds=wait_s)
        self._end(task.name)

    def _retry(self, name: str) -> dict[str, float]:
        given = self.queues[name.partition("/tasks/")[0]].retry_config
        if not given:
            return _DEFAULTS
        return {
            "attempts": given.max_attempts or _DEFAULTS["attempts"],
            "min_s": given.min_backoff.total_seconds() if given.min_backoff else _DEFAULTS["min_s"],
            "max_s": given.max_backoff.total_seconds() if given.max_backoff else _DEFAULTS["max_s"],
            "doublings": given.max_doublings or _DEFAULTS["doublings"],
            "window_s": given.max_retry_duration.total_seconds() if given.max_retry_duration else 0.0,
        }

    async def _call(self, task: tasks_v2.Task, tries: int) -> tuple[int, float]:
        self._session = self._session or aiohttp.ClientSession()
        queue, _, name = task.name.partition("/tasks/")
        request = task.http_request
        headers = {
            **request.headers,
            "User-Agent": "Google-Cloud-Tasks",
            "X-CloudTasks-QueueName": queue.rpartition("/")[2],
            "X-CloudTasks-TaskName": name,
            "X-CloudTasks-TaskRetryCount": str(tries),
            "X-CloudTasks-TaskExecutionCount": str(task.response_count),
            "X-CloudTasks-TaskETA": f"{task.schedule_time.timestamp():.6f}",
        }
        if request.oidc_token.service_account_email:
            headers["Authorization"] = f"Bearer {_oidc(request)}"
        task.dispatch_count += 1
        deadline = aiohttp.ClientTimeout(total=task.dispatch_deadline.total_seconds() / self.pace)
        try:
            async with self._session.post(
                request.url, data=request.body, headers=headers, timeout=deadline, allow_redirects=True
            ) as answer:
                task.response_count += 1
                after = answer.headers.get("Retry-After", "0")
                return answer.status, float(after) if after.isdigit() else 0.0
        except (aiohttp.ClientError, TimeoutError, OSError):
            return 0, 0.0

    def _end(self, name: str) -> None:
        self.tasks.pop(name, None)
        self.gone[name] = self.now() + TOMBSTONE_S / self.pace

    async def control(self, request: web.Request) -> web.Response:
        told = json.loads(await request.read() or b"{}")
        what = request.match_info["what"]
        if what == "queues":
            self.queues[told["name"]] = tasks_v2.Queue(name=told["name"])
        elif what == "settings":
            self.pace = told["pace"]
        elif what == "faults":
            assert told["do"] in FAULTS
            self.faults.append(told["do"])
        elif what == "forget":
            self.gone.clear()
        elif what == "retry":
            config = self.queues[told["queue"]].retry_config
            return web.json_response({"attempts": config.max_attempts, "min_s": config.min_backoff.total_seconds()})
        return web.json_response({"grpc": self.grpc_port, "tasks": sorted(self.tasks)})


def _oidc(request: tasks_v2.HttpRequest) -> str:
    token = request.oidc_token
    now = int(time.time())
    claims = {
        "iss": "https://accounts.google.com",
        "aud": token.audience or request.url,
        "email": token.service_account_email,
        "email_verified": True,
        "iat": now,
        "exp": now + 3_600,
    }
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256", "kid": "nobody", "typ": "JWT"}, claims)]
    return ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), "bm9ib2R5"])


def _handlers(service: Service) -> grpc.GenericRpcHandler:
    def unary(call: Any, request: Any, answer: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(
            call,
            request_deserializer=request.deserialize,
            response_serializer=answer.serialize if hasattr(answer, "serialize") else answer.SerializeToString,
        )

    methods = {
        "CreateTask": unary(service.create_task, tasks_v2.CreateTaskRequest, tasks_v2.Task),
        "GetTask": unary(service.get_task, tasks_v2.GetTaskRequest, tasks_v2.Task),
        "DeleteTask": unary(service.delete_task, tasks_v2.DeleteTaskRequest, empty_pb2.Empty),
        "GetQueue": unary(service.get_queue, tasks_v2.GetQueueRequest, tasks_v2.Queue),
        "UpdateQueue": unary(service.update_queue, tasks_v2.UpdateQueueRequest, tasks_v2.Queue),
    }
    return grpc.method_handlers_generic_handler("google.cloud.tasks.v2.CloudTasks", methods)


async def main() -> None:
    """Serve until standard input ends."""
    service = Service()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_handlers(service),))
    service.grpc_port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    app = web.Application()
    app.router.add_post("/control/{what}", service.control)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print("port", runner.addresses[0][1], flush=True)  # noqa: T201  # how whoever starts it finds it
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
