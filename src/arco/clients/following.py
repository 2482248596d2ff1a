"""Following a run and its logs: by the api's streams, and by asking again and again where no stream gets through."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Self

from arco.clients.api import ApiClient, ApiProblem, Target
from arco.clients.event_stream import EventStream, NoStream, ServerEvent
from arco.core.waiting import pause_s

OVER: Final = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
"""States of runs that stay."""

POLL_S: Final = 0.5
CURSOR_HEADER: Final = "x-arco-next-cursor"
_NOT_FOUND: Final = 404
_ENTRY: Final = re.compile(r"^--- logs/[^/\n]+/([^/\n]+)/attempt-([0-9]+)\.log ---\n", re.MULTILINE)
_OUT: Final = "=== stdout ===\n"
_ERR: Final = "\n=== stderr ===\n"

Sleep = Callable[[float], None]


class Following:
    """Iterates over the events of a run or of its logs, on connections of its own; `close` ends it, from any thread.

    Raises `ApiProblem`, `ServerUnreachable`.
    """

    def __init__(self, api: ApiClient, stream: EventStream | None, polled: Iterator[ServerEvent]) -> None:
        self._api = api
        self._stream = stream
        self._polled = polled
        self._closed = False
        self._events = self._all()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ServerEvent:
        return next(self._events)

    def close(self) -> None:
        """End it: whoever waits for the next event is let go."""
        self._closed = True
        if self._stream is not None:
            self._stream.close()

    def _all(self) -> Iterator[ServerEvent]:
        told = False
        try:
            for event in self._stream or ():
                told = True
                yield event
            if self._stream is not None:
                return
        except NoStream:
            pass
        try:
            if told:
                yield ServerEvent("reset", "", {})
            for event in self._polled:
                if self._closed:
                    return
                yield event
        finally:
            self._api.close()


def run_events(
    target: Target,
    path: str,
    *,
    streaming: bool = True,
    sleep: Sleep = pause_s,
) -> Following:
    """`run`, `task` and `end` of the run at `path`; `reset` before everything is told anew."""
    api = ApiClient(target)
    stream = EventStream(api, f"{path}/events") if streaming else None
    return Following(api, stream, _polled_run(api, path, sleep))


def log_events(
    target: Target,
    path: str,
    task_key: str | None = None,
    *,
    streaming: bool = True,
    sleep: Sleep = pause_s,
) -> Following:
    """`log`, `gap` and `end` of the logs of the run at `path`; `reset` before everything is told anew."""
    api, query = ApiClient(target), {} if task_key is None else {"taskKey": task_key}
    stream = EventStream(api, f"{path}/logs/events", query) if streaming else None
    return Following(api, stream, _polled_logs(api, path, query, sleep))


def whole_log(api: ApiClient, path: str, query: Mapping[str, str]) -> str:
    """The logs of the run at `path`, page after page. Raises `ApiProblem`: 404 while there is none."""
    asked, texts = dict(query), list[str]()
    while True:
        page = api.get(f"{path}/logs", asked)
        texts.append(page.body.decode("utf-8", "replace"))
        if (cursor := page.headers.get(CURSOR_HEADER)) is None:
            return "".join(texts)
        asked["cursor"] = cursor


def _polled_run(api: ApiClient, path: str, sleep: Sleep) -> Iterator[ServerEvent]:
    seen: dict[str, Any] = {}
    state = None
    while True:
        found: dict[str, Any] = api.get(path).json()
        tasks = found.pop("tasks")
        if found["state"] != state:
            state = found["state"]
            yield ServerEvent("run", "", found)
        for task in tasks:
            task.pop("waiting", None)
            if seen.get(task["taskKey"]) != task:
                seen[task["taskKey"]] = task
                yield ServerEvent("task", "", task)
        if state in OVER:
            yield ServerEvent("end", "", found)
            return
        sleep(POLL_S)


def _polled_logs(api: ApiClient, path: str, query: Mapping[str, str], sleep: Sleep) -> Iterator[ServerEvent]:
    told: dict[tuple[str, int, str], int] = {}
    while True:
        state = api.get(path).json()["state"]
        try:
            text = whole_log(api, path, query)
        except ApiProblem as problem:
            if problem.status != _NOT_FOUND:
                raise
            text = ""
        for (task_key, attempt, stream), written in _entries(text):
            new = written[told.get((task_key, attempt, stream), 0) :]
            if new:
                told[task_key, attempt, stream] = len(written)
                parts = [{"stream": stream, "text": new}]
                yield ServerEvent("log", "", {"taskKey": task_key, "attempt": attempt, "parts": parts})
        if state in OVER:
            yield ServerEvent("end", "", {"state": state})
            return
        sleep(POLL_S)


def _entries(text: str) -> Iterator[tuple[tuple[str, int, str], str]]:
    """What each attempt wrote to each stream, from logs as `GET` shows them."""
    pieces = _ENTRY.split(text)[1:]
    for task_key, attempt, body in zip(pieces[0::3], pieces[1::3], pieces[2::3], strict=True):
        stdout, _, stderr = body.removeprefix(_OUT).partition(_ERR)
        yield (task_key, int(attempt), "stdout"), stdout
        yield (task_key, int(attempt), "stderr"), stderr.removesuffix("\n").removesuffix("\n")
