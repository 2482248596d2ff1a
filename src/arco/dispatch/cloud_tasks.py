"""Google Cloud Tasks as the queue: the only module that knows its client (orchestration.md 8.1).

A task's name is the queue's own de-duplication: 409 is `Duplicate`, whether the task waits, runs or ran within the last
hour (nine days for queues made from queue.yaml). 429 is `QueueFull`. A deadline, an unavailable or a failing service
says nothing about what it stored: `Unknown`. The client's own retries are off, so that each answer is that of one call.

Google authenticates its calls with an OIDC token, which takes the Authorization header; the dispatch secret therefore
goes in a header of its own. What is not for `default-queue` goes to the queue of that name, in the same
project and location.
"""

import asyncio
import re
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from arco.dispatch.envelope import SECRET_HEADER
from arco.dispatch.port import (
    TIMER,
    Answer,
    Duplicate,
    Enqueued,
    QueuedTask,
    QueueFull,
    Refused,
    Routes,
    Unknown,
)
from arco.domains.orchestration.keys import DEFAULT_QUEUE

TIMEOUT_S: Final = 10.0
DEADLINE_S: Final = (15, 1_800)
"""The dispatch deadlines that Cloud Tasks takes for HTTP targets."""

_QUEUE: Final = re.compile(r"[A-Za-z0-9-]{1,100}\Z")


class CloudTasksSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which queue, which targets, and who calls. `endpoint` is for emulators: a host and port without TLS."""

    project: str
    location: str
    queue: str
    routes: Routes
    dispatch_secret: str
    audience: str | None = None
    """The audience of dispatches; None is the target URL."""
    service_account: str | None = None
    timer_queue: str | None = None
    timer_target: str | None = None
    timer_audience: str | None = None
    endpoint: str | None = None
    timeout_s: float = TIMEOUT_S

    def __repr__(self) -> str:
        return f"CloudTasksSettings(queue={self.queue!r})"


class CloudTasksQueue:
    """A queue of a Google Cloud project."""

    def __init__(self, settings: CloudTasksSettings) -> None:
        self._settings = settings
        self._client: asyncio.Task[Any] | None = None

    @property
    def survives(self) -> bool:
        return True

    @property
    def takes_timers(self) -> bool:
        return self._settings.timer_target is not None

    def waits(self, name: str) -> bool:
        return False

    async def enqueue(self, task: QueuedTask) -> Answer:
        if task.kind == TIMER and not self.takes_timers:
            return Refused("no target for timers")
        parent = self._parent(task)
        if parent is None:
            return Refused(f"{task.worker_queue!r} is no name of a queue: A-Z, a-z, 0-9 and -, at most 100")
        if task.kind != TIMER and not self._settings.routes.targets(task.worker_queue):
            return Refused(f"no worker for the queue {task.worker_queue}")
        from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError  # noqa: PLC0415  # 0.35 s to import

        try:
            client = await self._connected()
            await client.create_task(
                request={"parent": parent, "task": self._task(parent, task)},
                retry=None,
                timeout=self._settings.timeout_s,
            )
        except DefaultCredentialsError as error:
            return Refused(f"no credentials: {type(error).__name__}")
        except GoogleAuthError as error:
            return Unknown(type(error).__name__)
        except Exception as error:  # noqa: BLE001  # what the call did is then not known, whatever it was
            return _answer(error)
        return Enqueued()

    async def apply_retry_config(self) -> Refused | None:
        """Give the queue the contract's retry settings: 5 attempts, 10 to 300 s apart, for an hour."""
        from google.cloud import tasks_v2  # noqa: PLC0415  # 0.35 s to import
        from google.protobuf import field_mask_pb2  # noqa: PLC0415  # 0.35 s to import

        parent = self._queue_path(self._settings.queue)
        retry = tasks_v2.RetryConfig(
            max_attempts=5,
            min_backoff=timedelta(seconds=10),
            max_backoff=timedelta(seconds=300),
            max_retry_duration=timedelta(seconds=3_600),
        )
        mask = field_mask_pb2.FieldMask(paths=["retry_config"])
        try:
            client = await self._connected()
            queue = tasks_v2.Queue(name=parent, retry_config=retry)
            await client.update_queue(
                request={"queue": queue, "update_mask": mask}, retry=None, timeout=self._settings.timeout_s
            )
        except Exception as error:  # noqa: BLE001  # told to whoever starts, who goes on without
            return Refused(type(error).__name__)
        return None

    async def close(self) -> None:
        if self._client is None:
            return
        client, self._client = self._client, None
        if client.done() and not client.cancelled() and client.exception() is None:
            await client.result().transport.close()
        client.cancel()

    async def _connected(self) -> Any:
        """The client, made once: looking for credentials may ask a metadata server, which must not hold the loop."""
        if self._client is None or (self._client.done() and (self._client.cancelled() or self._client.exception())):
            self._client = asyncio.get_running_loop().create_task(self._connect())
        return await asyncio.shield(self._client)

    async def _connect(self) -> Any:
        from google.cloud import tasks_v2  # noqa: PLC0415  # 0.35 s to import
        from google.cloud.tasks_v2.services.cloud_tasks import transports  # noqa: PLC0415  # 0.35 s to import

        if self._settings.endpoint is not None:
            import grpc  # noqa: PLC0415  # only for emulators

            channel = grpc.aio.insecure_channel(self._settings.endpoint)
            transport = transports.CloudTasksGrpcAsyncIOTransport(channel=channel)
            return tasks_v2.CloudTasksAsyncClient(transport=transport)
        import google.auth  # noqa: PLC0415  # 0.35 s to import

        credentials, _ = await asyncio.to_thread(google.auth.default, scopes=_SCOPES)
        return tasks_v2.CloudTasksAsyncClient(credentials=credentials)

    def _parent(self, task: QueuedTask) -> str | None:
        settings = self._settings
        own = settings.queue if task.worker_queue == DEFAULT_QUEUE else task.worker_queue
        name = settings.timer_queue or settings.queue if task.kind == TIMER else own
        return self._queue_path(name) if _QUEUE.match(name) else None

    def _queue_path(self, name: str) -> str:
        return f"projects/{self._settings.project}/locations/{self._settings.location}/queues/{name}"

    def _task(self, parent: str, task: QueuedTask) -> Any:
        from google.cloud import tasks_v2  # noqa: PLC0415  # 0.35 s to import

        url, audience, headers = self._target(task)
        request = tasks_v2.HttpRequest(
            url=url, http_method=tasks_v2.HttpMethod.POST, headers=dict(headers), body=task.body
        )
        if self._settings.service_account:
            request.oidc_token = tasks_v2.OidcToken(
                service_account_email=self._settings.service_account, audience=audience
            )
        deadline_s = min(max(task.deadline_s, DEADLINE_S[0]), DEADLINE_S[1])
        queued = tasks_v2.Task(
            name=f"{parent}/tasks/{task.name}",
            http_request=request,
            dispatch_deadline=timedelta(seconds=deadline_s),
        )
        if task.not_before_ms is not None:
            queued.schedule_time = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=task.not_before_ms)
        return queued

    def _target(self, task: QueuedTask) -> tuple[str, str, Mapping[str, str]]:
        """URL, audience and headers of a delivery; the same for the same name, whoever asks again."""
        settings = self._settings
        headers = {"Content-Type": "application/json"}
        if task.kind == TIMER and settings.timer_target is not None:
            return settings.timer_target, settings.timer_audience or settings.timer_target, headers
        targets = settings.routes.targets(task.worker_queue)
        url = targets[zlib.crc32(task.name.encode()) % len(targets)]
        return url, settings.audience or url, {**headers, SECRET_HEADER: settings.dispatch_secret}


_SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)


def _answer(error: Exception) -> Answer:
    from google.api_core import exceptions  # noqa: PLC0415  # 0.35 s to import

    name = type(error).__name__
    match error:
        case exceptions.AlreadyExists():
            return Duplicate()
        case exceptions.ResourceExhausted() | exceptions.TooManyRequests():
            return QueueFull()
        case (
            exceptions.InvalidArgument()
            | exceptions.FailedPrecondition()
            | exceptions.NotFound()
            | exceptions.Forbidden()
            | exceptions.Unauthorized()
            | exceptions.MethodNotImplemented()
        ):
            return Refused(name)
    return Unknown(name)
