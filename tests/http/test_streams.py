"""Answers that go on: their seats, and everything that ends them within a moment and leaves nothing behind."""

import asyncio
from contextlib import AsyncExitStack

import httpx
from starlette.requests import Request
from starlette.responses import Response
from tests.security.callers import BY_SECRET
from tests.security.issuers import bearer, claims, now_s, signed
from tests.unit.edge.kit import Served, an_endpoint

from arco.core.clock import SystemClock
from arco.core.metrics import Registry
from arco.edge.auth import DevelopmentScope, Identity
from arco.edge.hygiene import Headers
from arco.edge.lifecycle import Lifecycle
from arco.edge.refusals import Unauthenticated
from arco.edge.streams import Events, EventStream, StreamLimits, Streams
from arco.routes.public.live import Live

from .flow import WORKSPACE, Attempt, deploy, trigger
from .following import Follower, following
from .world import World, a_world

RAW, DAILY, SCORES = "raw.events", "analytics.daily", "ml.scores"


def live_of(world: World) -> Live:
    found: Live = world.api.state.services.live
    return found


async def a_run(api: httpx.AsyncClient) -> str:
    await deploy(api)
    return f"{WORKSPACE}/runs/{await trigger(api, SCORES, includeUpstream=True)}/events"


def nothing_is_held(world: World) -> None:
    live = live_of(world)
    assert (live.streams.count, live.watches.count, live.runs.count) == (0, 0, 0)


async def test_a_tenant_has_its_share_of_seats_and_the_process_has_all_of_them() -> None:
    limits = {"ARCO_STREAMS_MAX": "3", "ARCO_STREAMS_TENANT_MAX": "2"}
    async with a_world(limits) as world, world.client() as api, AsyncExitStack() as stack:
        path = await a_run(api)
        for _ in range(2):
            await stack.enter_async_context(following(world.api, path))
        async with following(world.api, path) as refused:
            assert (refused.status, refused.body["code"]) == (429, "RATE_LIMITED")
            assert refused.body["error"] == "too_many_streams"
            assert int(refused.headers["retry-after"]) >= 1
        acme = {"x-tenant-id": "acme"}
        async with world.client(acme) as theirs:
            other = await a_run(theirs)
        await stack.enter_async_context(following(world.api, other, headers=acme))
        async with following(world.api, other, headers=acme) as refused:
            assert (refused.status, refused.body["code"], refused.body["error"]) == (
                503,
                "OVERLOADED",
                "too_many_streams",
            )
        assert (await api.get(f"{WORKSPACE}/runs")).status_code == 200  # whoever does not follow is not kept waiting
        await stack.aclose()
        nothing_is_held(world)
        async with following(world.api, path) as again:
            assert again.status == 200


async def test_a_client_that_goes_away_frees_everything_at_once(world: World, api: httpx.AsyncClient) -> None:
    async with following(world.api, await a_run(api)) as follower:
        await follower.has(4)
        follower.leave()
        await _until(lambda: live_of(world).streams.count == 0)
    nothing_is_held(world)


async def test_a_process_that_drains_ends_its_streams_says_when_to_come_back_and_begins_none(
    world: World, api: httpx.AsyncClient
) -> None:
    path = await a_run(api)
    async with following(world.api, path) as follower:
        await follower.has(4)
        world.roles["api"].lifecycle.drain()
        assert "end" not in await follower.ended()
        assert (follower.retry_ms, follower.comments[-1]) == (1_000, "drain")
    async with following(world.api, path) as refused:
        assert (refused.status, refused.body["code"], refused.headers["retry-after"]) == (503, "DRAINING", "1")
    nothing_is_held(world)


async def test_a_stalled_reader_does_not_keep_a_process_from_draining(world: World, api: httpx.AsyncClient) -> None:
    async with following(world.api, await a_run(api)) as follower:
        await follower.has(4)
        follower.reading.clear()
        await Attempt(world, api, follower_run(follower), RAW).through()
        world.roles["api"].lifecycle.drain()
        await _until(lambda: live_of(world).streams.count == 0)


def follower_run(follower: Follower) -> str:
    found: str = follower.events[0].data["runId"]
    return found


async def test_a_slow_reader_is_told_the_latest_and_not_everything_it_missed(
    world: World, api: httpx.AsyncClient
) -> None:
    async with following(world.api, await a_run(api)) as follower:
        await follower.has(4)
        run_id = follower_run(follower)
        raw = Attempt(world, api, run_id, RAW)
        assert await raw.dispatch() == "accepted"
        await raw.told("started")
        follower.reading.clear()
        for percent in range(1, 4):
            await raw.told("heartbeat", progressPct=percent)
        await raw.told("completed", outcome="SUCCEEDED")
        for key in (DAILY, SCORES):
            await Attempt(world, api, run_id, key).through()
        follower.reading.set()
        assert (await follower.ended())[-1] == "end"
        told = [event.data.get("progressPct") for event in follower.events if event.data.get("taskKey") == RAW]
        assert len({percent for percent in told if percent} - {3}) <= 1, told  # what was on its way, and no more
        assert follower.states()[-1] == ("", "SUCCEEDED")


def short(world: World) -> None:
    """Streams last a moment."""
    live_of(world).streams.limits = StreamLimits(longest_ms=300)


async def test_a_stream_has_a_longest_time(world: World, api: httpx.AsyncClient) -> None:
    short(world)
    async with following(world.api, await a_run(api)) as follower:
        await follower.ended()
        assert follower.comments[-1] == "lifetime"
    nothing_is_held(world)


async def test_a_silent_stream_is_kept_alive_by_comments() -> None:
    async with (
        a_world({"ARCO_STREAM_HEARTBEAT_SECS": "1"}) as world,
        world.client() as api,
        following(world.api, await a_run(api)) as follower,
    ):
        await follower.until(lambda one: one.comments)
        assert set(follower.comments) == {""}


async def test_to_ask_for_the_head_opens_no_stream(world: World, api: httpx.AsyncClient) -> None:
    async with following(world.api, await a_run(api), method="HEAD") as follower:
        assert (follower.status, follower.over, follower.events) == (200, True, [])
        assert follower.headers["content-type"].startswith("text/event-stream")
        nothing_is_held(world)


async def test_how_soon_a_stream_begins_is_measured_and_not_how_long_it_lasts(
    world: World, api: httpx.AsyncClient
) -> None:
    path = await a_run(api)
    short(world)
    async with following(world.api, path) as follower:
        await follower.ended()
    text = world.process.registry.render()
    template = "/api/v1/workspaces/{workspace}/runs/{run_id}/events"
    total = next(
        line
        for line in text.splitlines()
        if line.startswith("arco_http_request_duration_seconds_sum") and template in line
    )
    assert float(total.rpartition(" ")[2]) < 0.3
    assert 'arco_http_streams_ended_total{reason="lifetime"} 1' in text
    assert "arco_http_streams 0" in text
    assert world.roles["api"].lifecycle.in_flight == 0


async def test_a05_a_stream_does_not_outlive_the_token_that_opened_it() -> None:
    mine = {"tenant": "local", "workspace": "default"}
    async with a_world(BY_SECRET) as world, world.client(bearer(signed(claims(**mine)))) as api:
        path = await a_run(api)
        soon = bearer(signed(claims(**mine, exp=now_s() - 58)))  # with the leeway of a minute a second is left
        async with following(world.api, path, headers=soon) as follower:
            await follower.has(4)
            await follower.ended()
            assert follower.comments[-1] == "expired"
        async with following(world.api, path, headers=soon) as refused:
            assert refused.status == 401
        nothing_is_held(world)


class _Gatekeeper(DevelopmentScope):
    """Lets everybody in until it does not."""

    closed = False

    def identify(self, headers: Headers) -> Identity:
        if self.closed:
            raise Unauthenticated("INVALID_TOKEN", "no longer")
        return super().identify(headers)


async def test_a05_a_stream_ends_when_its_caller_would_no_longer_be_let_in() -> None:
    gatekeeper = _Gatekeeper()
    clock, lifecycle = SystemClock(), Lifecycle()
    streams = Streams(StreamLimits(heartbeat_ms=50), clock=clock, lifecycle=lifecycle, registry=Registry())

    async def silence(_request: Request) -> Response:
        async def events() -> Events:
            yield b"event: x\nid: 1\ndata: {}\n\n"
            await asyncio.Event().wait()

        return EventStream(streams, events)

    served = Served([("/api/v1", an_endpoint("/silence", silence))], authenticator=gatekeeper)
    async with following(served.app, "/silence") as follower:
        await follower.until(lambda one: len(one.comments) >= 2)
        gatekeeper.closed = True
        await follower.ended()
        assert follower.comments[-1] == "expired"
    assert streams.count == 0


async def _until(wanted: object) -> None:
    assert callable(wanted)
    clock = SystemClock()
    async with asyncio.timeout(20):  # less than a process may take to stop
        while not wanted():
            await clock.sleep_ms(10)
