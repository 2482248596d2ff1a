"""Streams of real servers: many of them beside other work, and whatever ends them."""

import asyncio
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path

import pytest

from .runs import Api, local
from .servers import Server, environment, free_port, serving
from .streams import Event, Stream
from .workers import a_worker

pytestmark = [pytest.mark.process, pytest.mark.slow]

SCOPE = {"X-Tenant-Id": "acme", "X-Workspace-Id": "prod"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that knows sixteen assets, and no worker."""
    with serving(["--port", "0", "--storage", "memory://"], {"ARCO_DRAIN_DELAY_SECS": "0"}) as server:
        Api(server.ports["api"]).deploy(tmp_path)
        yield server


@pytest.fixture
def api(server: Server) -> Api:
    """A client of it."""
    return Api(server.ports["api"])


def path_of(run_id: str) -> str:
    return f"/workspaces/prod/runs/{run_id}/events"


def follow(api: Api, run_id: str, last: str = "") -> Stream:
    return Stream(api.port, path_of(run_id), SCOPE, last=last)


def first(stream: Stream, count: int) -> list[Event]:
    """The next events."""
    events = stream.events()
    return [next(events) for _ in range(count)]


def test_a_hundred_followers_do_not_starve_other_requests_and_one_more_is_told_so(api: Api) -> None:
    run_id = api.trigger()
    streams = [follow(api, run_id) for _ in range(100)]
    try:
        for stream in streams:
            assert len(first(stream, 17)) == 17
        with follow(api, run_id) as refused:
            assert (refused.status, refused.body()["error"]) == (429, "too_many_streams")
        took = []
        for _ in range(50):
            begun = time.perf_counter()
            assert api.call("GET", f"/workspaces/prod/runs/{run_id}")[0] == 200
            took.append(time.perf_counter() - begun)
        assert sorted(took)[25] < 0.25
        assert api.call("POST", f"/workspaces/prod/runs/{run_id}/cancel", {})[0] == 200
        for stream in streams:
            assert list(stream.events())[-1].name == "end"
            assert stream.whole
    finally:
        for stream in streams:
            stream.close()
    with follow(api, run_id, streams[0].last_id) as over:
        assert over.status == 204


def test_a_stopped_server_ends_its_streams_at_once_also_those_that_nobody_reads(server: Server, api: Api) -> None:
    run_id = api.trigger()
    with follow(api, run_id) as reader, follow(api, run_id), follow(api, run_id):
        first(reader, 17)
        begun = time.perf_counter()
        assert server.stop(signal.SIGTERM) == 0
        assert time.perf_counter() - begun < 15
        assert "end" not in [event.name for event in reader.events()]
        assert (reader.whole, reader.comments[-1]) == (True, "drain")


def test_a_client_that_goes_away_gives_its_seat_back(api: Api) -> None:
    run_id = api.trigger()
    for _ in range(3):
        streams = [follow(api, run_id) for _ in range(100)]
        assert {stream.status for stream in streams} == {200}
        for stream in streams:
            stream.close()
        deadline = time.monotonic() + 10
        while _open_streams(api) and time.monotonic() < deadline:
            threading.Event().wait(0.05)
        assert _open_streams(api) == 0


def _open_streams(api: Api) -> int:
    connection = HTTPConnection("127.0.0.1", api.port, timeout=10)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return int(float(next(line for line in text.splitlines() if line.startswith("arco_http_streams ")).split()[1]))


async def test_a_follower_of_a_server_that_is_killed_goes_on_with_the_next_one_and_misses_nothing(
    tmp_path: Path,
) -> None:
    api, worker_port = Api(free_port()), free_port()
    settings = local(tmp_path, api.port, worker_port)
    told: list[Event] = []
    states: dict[str, list[str]] = {}
    servers = [await asyncio.to_thread(Server, [], settings)]
    try:
        api.deploy(tmp_path)
        async with a_worker(api.url, str(tmp_path / "assets.py"), flags=("--port", str(worker_port))):
            run_id = api.trigger()
            following = asyncio.create_task(asyncio.to_thread(_follow_on, api, run_id, told))
            await api.until(run_id, 3)
            await asyncio.to_thread(servers[0].stop, signal.SIGKILL)
            servers.append(await asyncio.to_thread(Server, [], settings))
            connections = await following
    finally:
        for server in servers:
            await asyncio.to_thread(server.close)
    for event in told:
        if event.name == "task":
            states.setdefault(event.data["taskKey"], []).append(event.data["state"])
    assert connections >= 2
    assert len({event.id for event in told}) == len(told)
    assert len(states) == 16
    for key, seen in states.items():
        assert seen[-1] == "SUCCEEDED", (key, seen)
        assert seen.count("SUCCEEDED") == 1, (key, seen)
    assert told[-1].name == "end"


def _follow_on(api: Api, run_id: str, told: list[Event]) -> int:
    """Follow to the end, coming back whenever the stream breaks; how often it was begun."""
    last, connections, deadline = "", 0, time.monotonic() + 180
    while time.monotonic() < deadline:
        try:
            with follow(api, run_id, last) as stream:
                connections += 1
                for event in stream.events():
                    told.append(event)
                    last = event.id
                    if event.name == "end":
                        return connections
        except (OSError, ValueError, IndexError):
            threading.Event().wait(0.1)
    raise AssertionError(told[-1:] or "nothing was told")


TALKS = """
import threading
from arco import asset


@asset(namespace="t")
def talks() -> None:
    for number in range(6):
        print("line", number)
        threading.Event().wait(0.4)
"""


async def test_arco_run_and_arco_logs_tell_what_happens_while_it_does(tmp_path: Path) -> None:
    api, worker_port = Api(free_port()), free_port()
    settings = {**local(tmp_path, api.port, worker_port), "ARCO_URL": api.url}
    (tmp_path / "assets.py").write_text(TALKS)
    mine = {"ARCO_URL": api.url, "ARCO_TENANT": "acme", "ARCO_WORKSPACE": "prod"}
    server = await asyncio.to_thread(Server, [], settings)
    try:
        async with a_worker(api.url, str(tmp_path / "assets.py"), flags=("--port", str(worker_port))):
            assert (await told(mine, tmp_path, "deploy", "assets.py"))[0] == 0
            _, begun = await told(mine, tmp_path, "run", "t.talks", "--no-wait", "--json")
            run_id = json.loads(begun)["runId"]
            command = [sys.executable, "-m", "arco", "logs", run_id, "t.talks", "--follow"]
            process = await asyncio.create_subprocess_exec(
                *command, cwd=tmp_path, env=environment(mine), stdout=asyncio.subprocess.PIPE
            )
            assert process.stdout is not None
            first = await asyncio.wait_for(process.stdout.readline(), 90)
            state = api.call("GET", f"/workspaces/prod/runs/{run_id}")[1]["state"]
            rest = await asyncio.wait_for(process.stdout.read(), 120)
            assert await process.wait() == 0
            assert (first + rest).decode() == "".join(f"line {number}\n" for number in range(6))
            assert state == "RUNNING"
            code, said = await told(mine, tmp_path, "run", "t.talks")
            assert (code, "SUCCEEDED: 1 succeeded" in said, "▸ t.talks" in said) == (0, True, True), said
    finally:
        await asyncio.to_thread(server.close)


async def told(variables: Mapping[str, str], folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output of a command."""
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "arco", *arguments],
        cwd=folder,
        env=environment(variables),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 180)
    assert process.returncode is not None
    return process.returncode, out.decode() + (err.decode() if process.returncode else "")
