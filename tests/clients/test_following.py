"""Following by the library and the command line: over real servers, servers that break, and proxies that hold back."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from arco.clients.api import ApiClient, ApiProblem, ServerUnreachable, Target
from arco.clients.event_stream import EventStream, NoStream, Patience, ServerEvent
from arco.clients.following import log_events, run_events
from arco.clients.project import AsyncClient, Client

from .fake_api import FakeApi, Reply, Request, running

RUN = {"runId": "r", "state": "RUNNING", "taskCounts": {"total": 1}}
TASK = {"taskKey": "a.b", "state": "RUNNING", "attempt": 1, "maxAttempts": 3}


def event(name: str, event_id: str, data: str = "{}") -> bytes:
    return f"event: {name}\nid: {event_id}\ndata: {data}\n\n".encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
RETRY = chunk(b"retry: 10\n\n")
LAST = b"0\r\n\r\n"
HOLD = b"..."
"""At the end of an answer: the connection stays open."""


class Scripted:
    """A server that answers each connection with the next bytes of its script, and then does as told."""

    def __init__(self, *answers: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.answers = list(answers)
        self.asked: list[str] = []
        self.held: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while self.answers:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.asked.append(connection.recv(65_536).decode())
            answer = self.answers.pop(0)
            connection.sendall(answer.removesuffix(HOLD))
            if answer.endswith(HOLD):
                self.held.append(connection)
            else:
                connection.close()

    def close(self) -> None:
        self._listener.close()
        for connection in self.held:
            connection.close()
        self._thread.join(5)

    def last_ids(self) -> list[str]:
        lines = [asked.lower().split("\r\n") for asked in self.asked]
        found = [[line.partition(": ")[2] for line in each if line.startswith("last-event-id")] for each in lines]
        return [each[0] if each else "" for each in found]


@contextmanager
def scripted(*answers: bytes) -> Iterator[Scripted]:
    server = Scripted(*answers)
    try:
        yield server
    finally:
        server.close()


def names(events: Any) -> list[str]:
    return [one.name for one in events]


def test_a_stream_is_taken_up_behind_the_last_event_however_it_broke() -> None:
    whole = HEAD + RETRY + chunk(event("run", "1") + event("task", "2"))
    broken = HEAD + RETRY + chunk(event("task", "3"))[:-2]  # in the middle of a chunk
    split = event("task", "4")
    parted = HEAD + chunk(split[:9]) + chunk(split[9:30]) + chunk(split[30:]) + chunk(b":\n\n") + LAST
    with scripted(whole, b"", broken, parted, HEAD + chunk(event("end", "5")) + LAST) as server:
        found = list(run_events(Target(url=server.url), "/runs/r"))
        assert [one.id for one in found] == ["1", "2", "3", "4", "5"]
        assert server.last_ids() == ["", "2", "2", "3", "4"]


def test_a_stream_that_has_nothing_more_to_tell_ends() -> None:
    with scripted(HEAD + chunk(event("run", "1")) + LAST, b"HTTP/1.1 204 No Content\r\n\r\n") as server:
        assert names(run_events(Target(url=server.url), "/runs/r")) == ["run"]


def test_a_busy_server_is_asked_again_when_it_said() -> None:
    busy = b"HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    with scripted(busy, busy, HEAD + chunk(event("end", "1")) + LAST) as server:
        assert names(run_events(Target(url=server.url), "/runs/r")) == ["end"]
        assert len(server.asked) == 3


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 0\r\n\r\n",
    ],
)
def test_what_is_no_stream_is_said_to_be_none(answer: bytes) -> None:
    with scripted(answer) as server, pytest.raises(NoStream):
        list(stream_of(server.url))


def test_a_caller_who_is_not_let_in_is_told_so() -> None:
    body = b'{"code": "INVALID_TOKEN", "message": "no"}'
    answer = b"HTTP/1.1 401 No\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    with scripted(answer) as server, pytest.raises(ApiProblem, match="no"):
        list(run_events(Target(url=server.url), "/runs/r"))


def test_a_server_that_stays_away_is_given_up() -> None:
    with scripted() as server:
        url = server.url
    with pytest.raises(ServerUnreachable):
        list(stream_of(url, away_s=0.2))


@pytest.mark.parametrize("answer", [HOLD, HEAD + HOLD])
def test_a_stream_that_is_held_back_on_the_way_is_none(answer: bytes) -> None:
    with scripted(answer) as server, pytest.raises(NoStream, match="nothing comes"):
        list(stream_of(server.url, first_s=0.2))


def test_a_stream_that_falls_silent_is_begun_anew() -> None:
    with scripted(HEAD + RETRY + HOLD, HEAD + chunk(event("end", "1")) + LAST) as server:
        assert names(stream_of(server.url, silence_s=0.2)) == ["end"]


def stream_of(url: str, **patience: float) -> EventStream:
    return EventStream(ApiClient(Target(url=url)), "/runs/r/events", patience=Patience(**patience))


class Polled:
    """A run as `GET` shows it, a state at a time."""

    def __init__(self, api: FakeApi) -> None:
        self._runs = iter(
            [
                {**RUN, "tasks": [TASK]},
                {**RUN, "tasks": [TASK]},
                {**RUN, "state": "SUCCEEDED", "tasks": [{**TASK, "state": "SUCCEEDED"}]},
            ]
        )
        self._logs = iter(
            [
                Reply(404, {"code": "NOT_FOUND", "message": "none yet"}),
                log("one\n", ""),
                log("one\ntwo\n", "err\n"),
            ]
        )
        api.routes["GET /api/v1/runs/r"] = lambda _: Reply(body=next(self._runs))
        api.routes["GET /api/v1/runs/r/logs"] = self._log

    def _log(self, _request: Request) -> Reply:
        return next(self._logs)


def log(stdout: str, stderr: str) -> Reply:
    text = f"--- logs/r/a.b/attempt-1.log ---\n=== stdout ===\n{stdout}\n=== stderr ===\n{stderr}\n\n"
    return Reply(body=text.encode())


def no_sleep(_seconds: float) -> None:
    return


def test_where_no_stream_gets_through_the_run_is_asked_for() -> None:
    with running() as api:
        Polled(api)
        found = list(run_events(Target(url=api.url), "/runs/r", sleep=no_sleep))
        assert [(one.name, one.data["state"]) for one in found] == [
            ("run", "RUNNING"),
            ("task", "RUNNING"),
            ("run", "SUCCEEDED"),
            ("task", "SUCCEEDED"),
            ("end", "SUCCEEDED"),
        ]


def test_where_no_stream_gets_through_the_logs_are_asked_for_and_no_line_comes_twice() -> None:
    with running() as api:
        Polled(api)
        found = list(log_events(Target(url=api.url), "/runs/r", sleep=no_sleep))
        parts = [part for one in found if one.name == "log" for part in one.data["parts"]]
        assert [(part["stream"], part["text"]) for part in parts] == [
            ("stdout", "one\n"),
            ("stdout", "two\n"),
            ("stderr", "err\n"),
        ]
        assert found[-1].name == "end"


def test_closing_lets_go_whoever_waits() -> None:
    with scripted(HEAD + RETRY + chunk(event("run", "1", '{"x": 1}')) + HOLD) as server:
        following = run_events(Target(url=server.url), "/runs/r")
        assert next(following) == ServerEvent("run", "1", {"x": 1})
        waiting = threading.Thread(target=lambda: list(following))
        waiting.start()
        following.close()
        waiting.join(5)
        assert not waiting.is_alive()


async def test_a_program_with_a_loop_follows_and_stops_when_it_likes() -> None:
    stream = HEAD + RETRY + chunk(event("run", "1") + event("task", "2")) + HOLD
    with scripted(stream) as server:
        async with AsyncClient(server.url) as client:
            found = []
            events = client.events("r")
            async for one in events:
                found.append(one.name)
                if len(found) == 2:
                    break
            async with asyncio.timeout(5):
                await events.aclose()  # type: ignore[attr-defined]  # it is a generator
        assert found == ["run", "task"]


def test_the_library_names_the_workspace() -> None:
    with scripted(HEAD + chunk(event("end", "1")) + LAST, HEAD + chunk(event("end", "1")) + LAST) as server:
        with Client(server.url, workspace="prod") as client:
            assert names(client.events("r1")) == ["end"]
            assert names(client.log_events("r1", "a.b")) == ["end"]
        asked = [one.split("\r\n")[0] for one in server.asked]
        assert asked == [
            "GET /api/v1/workspaces/prod/runs/r1/events HTTP/1.1",
            "GET /api/v1/workspaces/prod/runs/r1/logs/events?taskKey=a.b HTTP/1.1",
        ]
