"""HTTP push: workers that are full, away, slow or wrong; routes, names, limits and the end."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from tests.contract.receiver import Receiver
from tests.fakes import FrozenClock
from tests.process.servers import free_port

from arco.config.table_dispatch import worker_routes
from arco.core.clock import SystemClock
from arco.core.entropy import SystemEntropy
from arco.core.log import SilentLog
from arco.dispatch.envelope import BUSY_HEADER, SLOTS_HEADER
from arco.dispatch.port import Duplicate, Enqueued, QueuedTask, QueueFull, Refused, Routes
from arco.dispatch.push import PushLimits, PushQueue, PushSettings

FULL = {"Retry-After": "1", BUSY_HEADER: "full"}


async def no_headers() -> Mapping[str, str]:
    return {}


@asynccontextmanager
async def a_queue(routes: str, clock: Any = None, **limits: Any) -> AsyncIterator[PushQueue]:
    settings = PushSettings(
        routes=Routes(worker_routes(routes)),
        dispatch_headers=no_headers,
        limits=PushLimits(**{"first_ms": 20, "refused_ms": 20, "drain_ms": 0, **limits}),
    )
    queue = PushQueue(settings, clock=clock or SystemClock(), entropy=SystemEntropy(), log=SilentLog())
    try:
        yield queue
    finally:
        await queue.close()


def a_task(number: int, **changes: Any) -> QueuedTask:
    return QueuedTask(**{"name": f"d_{number}", "kind": "dispatch", "body": str(number).encode(), **changes})


async def test_a_worker_that_says_how_much_it_runs_is_given_no_more():
    async with Receiver() as receiver, a_queue(receiver.url) as queue:
        gate = asyncio.Event()

        async def work() -> web.Response:
            await gate.wait()
            return web.Response(headers={SLOTS_HEADER: "2"})

        # One answer teaches the queue; then twelve tasks for two slots.
        receiver.answer_next(web.Response(headers={SLOTS_HEADER: "2"}))
        await queue.enqueue(a_task(0))
        await receiver.arrived(1)
        receiver.answer_next(*[work] * 12)
        receiver.most_inside = 0
        await queue.settled()
        for number in range(1, 13):
            await queue.enqueue(a_task(number))
        await receiver.arrived(3)
        gate.set()
        await receiver.arrived(13)
        assert receiver.most_inside == 2


async def test_a_full_worker_gets_the_task_when_one_of_its_tasks_has_ended_and_not_only_after_its_rest():
    async with Receiver() as receiver, a_queue(receiver.url) as queue:
        gate = asyncio.Event()

        async def work() -> web.Response:
            await gate.wait()
            return web.Response()

        receiver.answer_next(work, web.Response(status=503, headers={**FULL, "Retry-After": "300"}))
        await queue.enqueue(a_task(1))
        await receiver.arrived(1)
        await queue.enqueue(a_task(2))
        await receiver.arrived(2)
        gate.set()
        assert [one.body for one in await receiver.arrived(3)] == [b"1", b"2", b"2"]


async def test_a_full_worker_is_left_for_one_that_has_room():
    async with Receiver() as full, Receiver() as idle, a_queue(f"{full.url},{idle.url}") as queue:
        full.answer_next(*[web.Response(status=503, headers={**FULL, "Retry-After": "300"}) for _ in range(2)])
        await queue.enqueue(a_task(1))
        await queue.enqueue(a_task(2))
        deliveries = await idle.arrived(2)
        assert {one.body for one in deliveries} == {b"1", b"2"}
        assert len(full.deliveries) == 1


async def test_a_worker_that_is_away_gets_its_tasks_when_it_is_back():
    port = free_port()
    async with a_queue(f"http://127.0.0.1:{port}") as queue:
        for number in range(3):
            await queue.enqueue(a_task(number))
        async with Receiver(port) as receiver:
            deliveries = await receiver.arrived(3)
            assert {one.body for one in deliveries} == {b"0", b"1", b"2"}


async def test_a_worker_that_is_away_is_left_for_one_that_is_there():
    async with Receiver() as there, a_queue(f"http://127.0.0.1:{free_port()},{there.url}") as queue:
        for number in range(8):
            await queue.enqueue(a_task(number))
        assert len(await there.arrived(8)) == 8


async def test_retry_after_is_respected():
    async with Receiver() as receiver, a_queue(receiver.url) as queue:
        running = web.Response(status=503, headers={"Retry-After": "1", BUSY_HEADER: "running"})
        receiver.answer_next(running)
        await queue.enqueue(a_task(1))
        first, second = await receiver.arrived(2)
        assert second.at_s - first.at_s >= 1.0


async def test_an_answer_that_never_comes_is_given_up_at_the_deadline_and_asked_for_again():
    async with Receiver() as receiver, a_queue(receiver.url) as queue:

        async def never() -> web.Response:
            await asyncio.Event().wait()
            return web.Response()

        receiver.answer_next(never)
        await queue.enqueue(a_task(1, deadline_s=1))
        assert [one.body for one in await receiver.arrived(2)] == [b"1", b"1"]


async def test_queues_have_workers_of_their_own_and_the_others_share_the_default_ones():
    async with Receiver() as gpu, Receiver() as rest, a_queue(f"gpu={gpu.url},{rest.url}") as queue:
        await queue.enqueue(a_task(1, worker_queue="gpu"))
        await queue.enqueue(a_task(2, worker_queue="default-queue"))
        await queue.enqueue(a_task(3, worker_queue="unheard-of"))
        assert [one.body for one in await gpu.arrived(1)] == [b"1"]
        assert {one.body for one in await rest.arrived(2)} == {b"2", b"3"}


async def test_without_any_worker_a_task_is_refused():
    async with a_queue("gpu=http://127.0.0.1:1") as queue:
        assert isinstance(await queue.enqueue(a_task(1)), Refused)


async def test_more_than_may_wait_is_full_and_a_known_name_is_still_a_duplicate():
    async with a_queue(f"http://127.0.0.1:{free_port()}", waiting_max=2) as queue:
        assert [await queue.enqueue(a_task(number)) for number in (1, 2)] == [Enqueued(), Enqueued()]
        assert await queue.enqueue(a_task(3)) == QueueFull()
        assert await queue.enqueue(a_task(1)) == Duplicate()


async def test_a_task_is_given_up_when_its_window_is_over():
    async with Receiver() as receiver, a_queue(receiver.url, window_ms=0) as queue:
        receiver.answer_next(500, 500)
        await queue.enqueue(a_task(1))
        await receiver.arrived(1)
        await queue.settled()
        assert await queue.enqueue(a_task(1)) == Duplicate()
        await queue.enqueue(a_task(2))
        await receiver.arrived(2)
        await queue.settled()
        assert len(receiver.deliveries) == 2


async def test_names_are_remembered_for_an_hour_and_never_more_than_so_many():
    clock = FrozenClock()
    async with Receiver() as receiver, a_queue(receiver.url, clock, names_max=2) as queue:
        for number in (1, 2, 3):
            await queue.enqueue(a_task(number))
            await receiver.arrived(number)
            await queue.settled()
        assert await queue.enqueue(a_task(3)) == Duplicate()
        assert await queue.enqueue(a_task(1)) == Enqueued()
        clock.ms += 3_600_000
        assert await queue.enqueue(a_task(3)) == Enqueued()


async def test_closing_waits_for_pushes_under_way_and_leaves_the_rest_to_the_outbox():
    async with Receiver() as receiver:
        gate = asyncio.Event()

        async def work() -> web.Response:
            gate.set()
            return web.Response()

        receiver.answer_next(work)
        async with a_queue(receiver.url, drain_ms=5_000) as queue:
            await queue.enqueue(a_task(1))
            await queue.enqueue(a_task(2, not_before_ms=SystemClock().now_ms() + 60_000))
            await gate.wait()
        assert queue.waiting == 0
        assert len(receiver.deliveries) == 1


async def test_what_waited_is_pushed_as_it_is_made_now_and_anew_with_every_try():
    made: list[int] = []

    def renewed() -> bytes:
        made.append(len(made))
        return f"try {len(made)}".encode()

    async with Receiver() as receiver, a_queue(receiver.url) as queue:
        receiver.answer_next(web.Response(status=500), web.Response())
        assert isinstance(await queue.enqueue(a_task(1, renewed=renewed)), Enqueued)
        await queue.settled()
        assert [one.body for one in receiver.deliveries] == [b"try 1", b"try 2"]
