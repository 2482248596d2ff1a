"""One law for every queue (arco.dispatch.port), checked over the memory, the push and the Cloud Tasks adapter."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from tests.contract.receiver import Receiver
from tests.emulators.processes import CloudTasks, a_cloud_tasks

from arco.config.table_dispatch import worker_routes
from arco.core.clock import SystemClock
from arco.core.entropy import SystemEntropy
from arco.core.log import SilentLog
from arco.dispatch.cloud_tasks import CloudTasksQueue, CloudTasksSettings
from arco.dispatch.envelope import SECRET_HEADER
from arco.dispatch.memory import FULL, UNKNOWN_LOST, UNKNOWN_TAKEN, MemoryQueue
from arco.dispatch.port import (
    DISPATCH,
    TIMER,
    DispatchQueue,
    Duplicate,
    Enqueued,
    QueuedTask,
    QueueFull,
    Refused,
    Routes,
    Unknown,
    dispatch_url,
    timer_url,
)
from arco.dispatch.push import PushLimits, PushQueue, PushSettings

SECRET = "a dispatch secret of more than thirty-two bytes"
QUEUES = "projects/p/locations/l/queues"
ADAPTERS = ("memory", "push", "cloud_tasks")


class Ground:
    """A queue, and a server that its deliveries come to."""

    def __init__(self, queue: DispatchQueue, receiver: Receiver) -> None:
        self.queue = queue
        self.receiver = receiver
        self._made = 0

    def task(self, **changes: Any) -> QueuedTask:
        self._made += 1
        return QueuedTask(**{"name": f"d_{self._made}", "kind": DISPATCH, "body": b"{}", **changes})

    async def delivered(self, count: int) -> list[Any]:
        """All deliveries once there are `count`; a memory queue is told to make those that are due."""
        if isinstance(self.queue, MemoryQueue):
            deadline = asyncio.get_running_loop().time() + 20
            while len(self.receiver.deliveries) < count and asyncio.get_running_loop().time() < deadline:
                await self.queue.deliver_due(self._hand_over)
                await asyncio.sleep(0.01)
        return await self.receiver.arrived(count)

    async def _hand_over(self, task: QueuedTask) -> int:
        path = "/internal/timers/fired" if task.kind == TIMER else "/dispatch"
        headers = {
            "content-type": "application/json",
            **({} if task.kind == TIMER else {SECRET_HEADER.lower(): SECRET}),
        }
        return (await self.receiver.accept(path, headers, task.body)).status


@pytest.fixture(scope="module")
def cloud_tasks() -> Iterator[CloudTasks]:
    with a_cloud_tasks() as emulator:
        for name in ("q", "timers", "gpu"):
            emulator.control("queues", name=f"{QUEUES}/{name}")
        yield emulator


@pytest.fixture(params=ADAPTERS)
async def ground(request: pytest.FixtureRequest) -> AsyncIterator[Ground]:
    async with Receiver() as receiver, _queue(request.param, request, receiver, timers=True) as queue:
        yield Ground(queue, receiver)


async def test_a_task_is_delivered_with_its_body_and_what_says_who_calls(ground: Ground):
    assert await ground.queue.enqueue(ground.task(body=b'{"runId":"r"}')) == Enqueued()
    (delivery,) = await ground.delivered(1)
    assert delivery.path == "/dispatch"
    assert delivery.body == b'{"runId":"r"}'
    assert delivery.headers[SECRET_HEADER.lower()] == SECRET
    assert delivery.headers["content-type"] == "application/json"


async def test_a_name_is_taken_once_while_it_waits_and_after_it_was_delivered(ground: Ground):
    task = ground.task()
    assert await ground.queue.enqueue(task) == Enqueued()
    assert await ground.queue.enqueue(task) == Duplicate()
    await ground.delivered(1)
    assert await ground.queue.enqueue(task) == Duplicate()
    assert await ground.queue.enqueue(ground.task(body=b"[]")) == Enqueued()
    await ground.delivered(2)
    assert sorted(one.body for one in ground.receiver.deliveries) == [b"[]", b"{}"]


async def test_of_many_who_enqueue_one_name_one_does(ground: Ground):
    task = ground.task()
    answers = await asyncio.gather(*(ground.queue.enqueue(task) for _ in range(16)))
    assert sorted(type(answer).__name__ for answer in answers) == ["Duplicate"] * 15 + ["Enqueued"]


async def test_a_task_is_not_delivered_before_its_time(ground: Ground):
    due_ms = int(time.time() * 1000) + 400
    assert await ground.queue.enqueue(ground.task(not_before_ms=due_ms, body=b"[]")) == Enqueued()
    assert await ground.queue.enqueue(ground.task(not_before_ms=due_ms - 10_000)) == Enqueued()
    await ground.delivered(1)
    assert [one.body for one in ground.receiver.deliveries] == [b"{}"]
    await ground.delivered(2)
    assert time.time() * 1000 >= due_ms


@pytest.mark.parametrize("status", [500, 503, 400, 302, 429])
async def test_only_a_2xx_answer_ends_a_task(ground: Ground, status: int):
    headers = {"Location": f"{ground.receiver.url}/elsewhere"} if status == 302 else {}
    if status == 302 and isinstance(ground.queue, CloudTasksQueue):
        pytest.skip("Cloud Tasks may follow a redirect; our workers give none")
    ground.receiver.answer_next(web.Response(status=status, headers=headers), 204)
    await ground.queue.enqueue(ground.task())
    deliveries = await ground.delivered(2)
    assert [one.path for one in deliveries] == ["/dispatch", "/dispatch"]
    await ground.queue.enqueue(ground.task(body=b"[]"))
    assert [one.body for one in await ground.delivered(3)] == [b"{}", b"{}", b"[]"]


async def test_a_timer_goes_to_its_own_target_without_the_workers_secret(ground: Ground):
    assert ground.queue.takes_timers
    assert await ground.queue.enqueue(ground.task(name="t_1", kind=TIMER)) == Enqueued()
    (delivery,) = await ground.delivered(1)
    assert delivery.path == "/internal/timers/fired"
    assert SECRET_HEADER.lower() not in delivery.headers


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_without_a_target_timers_are_refused(adapter: str, request: pytest.FixtureRequest):
    async with Receiver() as receiver, _queue(adapter, request, receiver, timers=False) as queue:
        assert not queue.takes_timers
        assert isinstance(await queue.enqueue(QueuedTask(name="t_1", kind=TIMER, body=b"{}")), Refused)


@pytest.mark.parametrize("adapter", ["memory", "cloud_tasks"])
@pytest.mark.parametrize(
    ("fault", "then"), [("lose_request", Enqueued()), ("lose_answer", Duplicate()), ("stall", Duplicate())]
)
async def test_unknown_is_decided_by_asking_again_with_the_same_name(
    adapter: str, fault: str, then: Any, request: pytest.FixtureRequest
):
    async with Receiver() as receiver, _queue(adapter, request, receiver, timers=True) as queue:
        ground = Ground(queue, receiver)
        _order(queue, fault, request)
        task = ground.task()
        assert isinstance(await queue.enqueue(task), Unknown)
        assert await queue.enqueue(task) == then
        await ground.delivered(1)
        await queue.enqueue(ground.task(body=b"[]"))
        assert [one.body for one in await ground.delivered(2)] == [b"{}", b"[]"]


@pytest.mark.parametrize("adapter", ["memory", "cloud_tasks"])
async def test_a_full_queue_has_not_taken_the_task(adapter: str, request: pytest.FixtureRequest):
    async with Receiver() as receiver, _queue(adapter, request, receiver, timers=True) as queue:
        ground = Ground(queue, receiver)
        _order(queue, "full", request)
        task = ground.task()
        assert await queue.enqueue(task) == QueueFull()
        assert await queue.enqueue(task) == Enqueued()


async def test_a_closed_queue_takes_nothing(ground: Ground):
    if isinstance(ground.queue, CloudTasksQueue):
        pytest.skip("the queue is Google's and goes on")
    await ground.queue.close()
    assert await ground.queue.enqueue(ground.task()) == QueueFull()


async def test_cloud_tasks_calls_with_an_identity_and_its_own_headers(
    cloud_tasks: CloudTasks, request: pytest.FixtureRequest
):
    async with Receiver() as receiver, _queue("cloud_tasks", request, receiver, timers=True) as queue:
        receiver.answer_next(500)
        await queue.enqueue(QueuedTask(name="d_identity", kind=DISPATCH, body=b"{}", worker_queue="gpu"))
        first, second = await receiver.arrived(2)
    assert first.headers["x-cloudtasks-queuename"] == "gpu"
    assert first.headers["x-cloudtasks-taskname"] == "d_identity"
    assert [one.headers["x-cloudtasks-taskretrycount"] for one in (first, second)] == ["0", "1"]
    claims = _claims(first.headers)
    assert (claims["aud"], claims["email"]) == (f"{receiver.url}/dispatch", "push@p.iam.gserviceaccount.com")


async def test_cloud_tasks_refusals_are_told_apart(cloud_tasks: CloudTasks, request: pytest.FixtureRequest):
    async with Receiver() as receiver, _queue("cloud_tasks", request, receiver, timers=True) as queue:
        refused = await queue.enqueue(QueuedTask(name="d_x", kind=DISPATCH, body=b"{}", worker_queue="missing"))
        assert refused == Refused("NotFound")
        unnamed = await queue.enqueue(QueuedTask(name="d_x", kind=DISPATCH, body=b"{}", worker_queue="no queue"))
        assert isinstance(unnamed, Refused)
        cloud_tasks.fault("denied")
        assert await queue.enqueue(QueuedTask(name="d_x", kind=DISPATCH, body=b"{}")) == Refused("PermissionDenied")
        large = QueuedTask(name="d_x", kind=DISPATCH, body=b"x" * 200_000)
        assert await queue.enqueue(large) == Refused("InvalidArgument")


async def test_a_name_is_free_again_when_its_tombstone_is_gone(cloud_tasks: CloudTasks, request: pytest.FixtureRequest):
    async with Receiver() as receiver, _queue("cloud_tasks", request, receiver, timers=True) as queue:
        task = QueuedTask(name="d_tombstone", kind=DISPATCH, body=b"{}")
        await queue.enqueue(task)
        await receiver.arrived(1)
        assert await queue.enqueue(task) == Duplicate()
        cloud_tasks.control("forget")
        while isinstance(answer := await queue.enqueue(task), Duplicate):  # the delivery has just arrived, not ended
            cloud_tasks.control("forget")
        assert answer == Enqueued()


async def test_the_retry_settings_of_the_contract_are_put_to_the_queue(
    cloud_tasks: CloudTasks, request: pytest.FixtureRequest
):
    async with Receiver() as receiver, _queue("cloud_tasks", request, receiver, timers=False) as queue:
        assert isinstance(queue, CloudTasksQueue)
        assert await queue.apply_retry_config() is None
    told = cloud_tasks.control("retry", queue=f"{QUEUES}/q")
    assert (told["attempts"], told["min_s"]) == (5, 10.0)
    cloud_tasks.control("queues", name=f"{QUEUES}/q")


async def test_a_service_that_is_not_there_leaves_it_unknown():
    settings = CloudTasksSettings(
        project="p",
        location="l",
        queue="q",
        routes=a_route("http://127.0.0.1:9"),
        dispatch_secret=SECRET,
        endpoint="127.0.0.1:1",
        timeout_s=1.0,
    )
    queue = CloudTasksQueue(settings)
    assert isinstance(await queue.enqueue(QueuedTask(name="d_1", kind=DISPATCH, body=b"{}")), Unknown)
    await queue.close()


@asynccontextmanager
async def _queue(
    adapter: str, request: pytest.FixtureRequest, receiver: Receiver, *, timers: bool
) -> AsyncIterator[DispatchQueue]:
    target = timer_url(receiver.url) if timers else None
    if adapter == "memory":
        yield MemoryQueue(SystemClock(), takes_timers=timers)
        return
    queue: DispatchQueue
    if adapter == "push":
        limits = PushLimits(first_ms=20, refused_ms=20, drain_ms=0)
        settings = PushSettings(
            routes=a_route(receiver.url), dispatch_headers=_headers, timer_target=target, limits=limits
        )
        queue = PushQueue(settings, clock=SystemClock(), entropy=SystemEntropy(), log=SilentLog())
    else:
        emulator: CloudTasks = request.getfixturevalue("cloud_tasks")
        emulator.control("forget")
        queue = CloudTasksQueue(
            CloudTasksSettings(
                project="p",
                location="l",
                queue="q",
                routes=a_route(receiver.url),
                dispatch_secret=SECRET,
                service_account="push@p.iam.gserviceaccount.com",
                timer_queue="timers",
                timer_target=target,
                endpoint=emulator.target,
                timeout_s=1.0,
            )
        )
    try:
        yield queue
    finally:
        await queue.close()


def a_route(url: str) -> Routes:
    return Routes(worker_routes(url))


async def _headers() -> Mapping[str, str]:
    return {SECRET_HEADER: SECRET}


def _order(queue: DispatchQueue, fault: str, request: pytest.FixtureRequest) -> None:
    if isinstance(queue, MemoryQueue):
        queue.fail_next({"lose_request": UNKNOWN_LOST, "full": FULL}.get(fault, UNKNOWN_TAKEN))
    else:
        emulator: CloudTasks = request.getfixturevalue("cloud_tasks")
        emulator.fault(fault)


def _claims(headers: Mapping[str, str]) -> dict[str, Any]:
    part = headers["authorization"].removeprefix("Bearer ").split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def test_a_target_with_a_path_is_used_as_it_is():
    assert dispatch_url("https://w.example/") == "https://w.example/dispatch"
    assert dispatch_url("https://w.example/team/dispatch") == "https://w.example/team/dispatch"
