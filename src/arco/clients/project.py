"""The client library: runs, logs and SQL from Python programs, sync and async (`from arco import Client`).

Relies on the api alone and on nothing but the standard library (Arrow for `arrow`). A run is begun under a run key:
sent again after a broken connection it is the same run. `AsyncClient` says the same words, and the loop
goes on meanwhile.
"""

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Self, TypeVar

from arco.clients.api import PREFIX, ApiClient, Call, fresh_key, path_of, target_from
from arco.clients.event_stream import ServerEvent
from arco.clients.following import OVER, Following, log_events, run_events, whole_log
from arco.core.errors import ArcoError
from arco.core.waiting import pause_s, steady_s

_ARROW: Final = "application/vnd.apache.arrow.stream"
_POLL_S: Final = 0.5
_T = TypeVar("_T")


class RunUnfinished(ArcoError):
    """A run is not over after the time somebody would wait; `run` is how it stands."""

    def __init__(self, run: Mapping[str, Any], waited_s: float) -> None:
        super().__init__(f"run {run['runId']} is {run['state']} after {waited_s:g} s")
        self.run = run


class Client:
    """Speaks to one workspace of a server; what is not given is read from `ARCO_URL`, `ARCO_TOKEN` and their kin.

    Every method raises `ApiProblem` for an answer that is an error and `ServerUnreachable` when there is none. Answers
    are the api's own, as plain values. Not safe for several threads at once.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        tenant: str | None = None,
        workspace: str | None = None,
        timeout_s: float = 60.0,
        sleep: Callable[[float], None] = pause_s,
        steady_s: Callable[[], float] = steady_s,
    ) -> None:
        target = target_from(os.environ, url=url, token=token, tenant=tenant, workspace=workspace)
        self._api = ApiClient(target, timeout_s=timeout_s)
        self._workspace = path_of("workspaces", target.workspace or "default")
        self._sleep = sleep
        self._steady_s = steady_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the client may be used again."""
        self._api.close()

    def deploy(self, manifest: Mapping[str, Any], fingerprint: str) -> dict[str, Any]:
        """Make these definitions the ones that new runs are planned from; `fingerprint` names this deployment."""
        return self._post(f"{self._workspace}/manifests", manifest, {"Idempotency-Key": fingerprint})

    def plan(self, *assets: str, partition: "str | Mapping[str, str] | None" = None, **more: Any) -> dict[str, Any]:
        """What `trigger` would do, and why; nothing is begun."""
        return self._post(f"{self._workspace}/plans", _request(assets, partition, more))

    def trigger(
        self,
        *assets: str,
        partition: "str | Mapping[str, str] | None" = None,
        run_key: str | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Begin a run of these assets, or find the one that the run key stands for (`created` is false then).

        `partition` is a canonical key or a text for each dimension. `more`: `include_upstream`, `include_downstream`,
        `labels`, `timeout_seconds`.
        """
        body = _request(assets, partition, more) | {"runKey": run_key or fresh_key()}
        return self._post(f"{self._workspace}/runs", body)

    def run(self, run_id: str) -> dict[str, Any]:
        """A run and its tasks."""
        return self._get(self._of(run_id))

    def task(self, run_id: str, task_key: str) -> dict[str, Any]:
        """A task of a run, with the account of it: why it is planned, waits, was skipped, was tried again."""
        return self._get(f"{self._of(run_id)}{path_of('tasks', task_key)}")

    def graph(self, run_id: str) -> dict[str, Any]:
        """A run as nodes and edges, with its longest path."""
        return self._get(f"{self._of(run_id)}/graph")

    def runs(self, *, state: str | None = None) -> Iterator[dict[str, Any]]:
        """Runs, newest first, page after page as they are asked for."""
        query = {} if state is None else {"state": state}
        while True:
            page = self._get(f"{self._workspace}/runs", query)
            yield from page["runs"]
            if (cursor := page.get("nextCursor")) is None:
                return
            query = {**query, "cursor": cursor}

    def wait(self, run_id: str, *, timeout_s: float | None = None, poll_s: float = _POLL_S) -> dict[str, Any]:
        """The run when it is over. Raises `RunUnfinished` when that takes longer than `timeout_s`."""
        begun = self._steady_s()
        while True:
            found = self.run(run_id)
            if found["state"] in OVER:
                return found
            if timeout_s is not None and self._steady_s() - begun >= timeout_s:
                raise RunUnfinished(found, timeout_s)
            self._sleep(poll_s)

    def cancel(self, run_id: str, *, reason: str | None = None) -> dict[str, Any]:
        """Call a run off: what runs is told with its next heartbeat."""
        return self._post(f"{self._of(run_id)}/cancel", {} if reason is None else {"reason": reason})

    def rerun(self, run_id: str, *tasks: str, run_key: str | None = None, **more: Any) -> dict[str, Any]:
        """A new run of what did not succeed in a failed one, or of these tasks of any that is over."""
        body = {"mode": "subset" if tasks else "fromFailure", "selection": list(tasks), **_camel(more)}
        return self._post(f"{self._of(run_id)}/rerun", body | ({} if run_key is None else {"runKey": run_key}))

    def retry(self, run_id: str, task_key: str) -> dict[str, Any]:
        """Try a failed task once more within its run."""
        call = Call(method="POST", path=f"{PREFIX}{self._of(run_id)}{path_of('tasks', task_key, 'retry')}")
        return _plain(self._api.send(call).json())

    def logs(self, run_id: str, task_key: str | None = None) -> str:
        """What a run's tasks wrote; an `ApiProblem` with status 404 while they have written nothing."""
        return whole_log(self._api, self._of(run_id), {} if task_key is None else {"taskKey": task_key})

    def events(self, run_id: str) -> Following:
        """A run's changes as they happen, to its end: `run`, `task`, `end`, as `docs/runs.md` has them."""
        return run_events(self._api.target, self._of(run_id))

    def log_events(self, run_id: str, task_key: str | None = None) -> Following:
        """What a run's tasks write, while they do, to the run's end: `log`, `gap`, `end`."""
        return log_events(self._api.target, self._of(run_id), task_key)

    def partitions(self, asset: str) -> list[dict[str, Any]]:
        """The partitions of an asset that were made, with run, version and age."""
        query, found = {"assetKey": asset}, []
        while True:
            page = self._get(f"{self._workspace}/partitions", query)
            found += page["partitions"]
            if (cursor := page.get("nextCursor")) is None:
                return found
            query = {**query, "cursor": cursor}

    def sql(self, question: str, *, data: bool = False) -> list[dict[str, Any]]:
        """Rows for SQL: over the catalog's own relations, or with `data` over registered tables."""
        rows: list[dict[str, Any]] = self.arrow(question, data=data).to_pylist()
        return rows

    def arrow(self, question: str, *, data: bool = False) -> Any:
        """The same as `pyarrow.Table`."""
        import pyarrow.ipc  # noqa: PLC0415  # only who asks for tables waits for Arrow

        answer = self._api.ask("/query-data" if data else "/query", {"sql": question}, accept=_ARROW)
        with pyarrow.ipc.open_stream(io.BytesIO(answer.body)) as reader:
            return reader.read_all()

    def _of(self, run_id: str) -> str:
        return f"{self._workspace}{path_of('runs', run_id)}"

    def _get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        return _plain(self._api.get(path, query).json())

    def _post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        call = Call(method="POST", path=PREFIX + path, body=body, headers=headers or {}, repeatable=True)
        return _plain(self._api.send(call).json())


class AsyncClient:
    """`Client` for programs with a loop: the same methods, awaited; one request at a time."""

    def __init__(self, url: str | None = None, **more: Any) -> None:
        self._client = Client(url, **more)
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; the client may be used again."""
        await self._done(self._client.close)

    async def deploy(self, manifest: Mapping[str, Any], fingerprint: str) -> dict[str, Any]:
        """As `Client.deploy`."""
        return await self._done(self._client.deploy, manifest, fingerprint)

    async def plan(self, *assets: str, **more: Any) -> dict[str, Any]:
        """As `Client.plan`."""
        return await self._done(self._client.plan, *assets, **more)

    async def trigger(self, *assets: str, **more: Any) -> dict[str, Any]:
        """As `Client.trigger`."""
        more.setdefault("run_key", fresh_key())
        return await self._done(self._client.trigger, *assets, **more)

    async def run(self, run_id: str) -> dict[str, Any]:
        """As `Client.run`."""
        return await self._done(self._client.run, run_id)

    async def task(self, run_id: str, task_key: str) -> dict[str, Any]:
        """As `Client.task`."""
        return await self._done(self._client.task, run_id, task_key)

    async def graph(self, run_id: str) -> dict[str, Any]:
        """As `Client.graph`."""
        return await self._done(self._client.graph, run_id)

    async def runs(self, *, state: str | None = None) -> list[dict[str, Any]]:
        """As `Client.runs`, all of them."""
        return await self._done(lambda: list(self._client.runs(state=state)))

    async def wait(self, run_id: str, *, timeout_s: float | None = None, poll_s: float = _POLL_S) -> dict[str, Any]:
        """As `Client.wait`; other work goes on between two looks."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while (found := await self.run(run_id))["state"] not in OVER:
            if timeout_s is not None and loop.time() - begun >= timeout_s:
                raise RunUnfinished(found, timeout_s)
            await asyncio.sleep(poll_s)
        return found

    async def cancel(self, run_id: str, *, reason: str | None = None) -> dict[str, Any]:
        """As `Client.cancel`."""
        return await self._done(self._client.cancel, run_id, reason=reason)

    async def rerun(self, run_id: str, *tasks: str, **more: Any) -> dict[str, Any]:
        """As `Client.rerun`."""
        return await self._done(self._client.rerun, run_id, *tasks, **more)

    async def retry(self, run_id: str, task_key: str) -> dict[str, Any]:
        """As `Client.retry`."""
        return await self._done(self._client.retry, run_id, task_key)

    async def logs(self, run_id: str, task_key: str | None = None) -> str:
        """As `Client.logs`."""
        return await self._done(self._client.logs, run_id, task_key)

    def events(self, run_id: str) -> AsyncIterator[ServerEvent]:
        """As `Client.events`; other work goes on meanwhile."""
        return _each(self._client.events(run_id))

    def log_events(self, run_id: str, task_key: str | None = None) -> AsyncIterator[ServerEvent]:
        """As `Client.log_events`; other work goes on meanwhile."""
        return _each(self._client.log_events(run_id, task_key))

    async def partitions(self, asset: str) -> list[dict[str, Any]]:
        """As `Client.partitions`."""
        return await self._done(self._client.partitions, asset)

    async def sql(self, question: str, *, data: bool = False) -> list[dict[str, Any]]:
        """As `Client.sql`."""
        return await self._done(self._client.sql, question, data=data)

    async def arrow(self, question: str, *, data: bool = False) -> Any:
        """As `Client.arrow`."""
        return await self._done(self._client.arrow, question, data=data)

    async def _done(self, method: Callable[..., _T], *arguments: Any, **more: Any) -> _T:
        """What a method returns. It ends in its thread even when nobody waits any more; then the next begins."""
        async with self._turn:
            work = asyncio.ensure_future(asyncio.to_thread(method, *arguments, **more))
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                await asyncio.wait([work])
                with suppress(BaseException):
                    work.result()  # nobody is there to hear of its trouble
                raise


async def _each(following: Following) -> AsyncIterator[ServerEvent]:
    """The events, each waited for in a thread; whoever stops waiting ends the stream."""
    try:
        while (event := await asyncio.to_thread(next, following, None)) is not None:
            yield event
    finally:
        following.close()


def _request(
    assets: Sequence[str], partition: "str | Mapping[str, str] | None", more: Mapping[str, Any]
) -> dict[str, Any]:
    body: dict[str, Any] = {"selection": list(assets), **_camel(more)}
    if isinstance(partition, str):
        return body | {"partitionKey": partition}
    if partition:
        body["partitions"] = [{"key": name, "value": str(value)} for name, value in partition.items()]
    return body


def _camel(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Names of the api: `include_upstream` is `includeUpstream`."""
    split = ((name.split("_"), value) for name, value in fields.items() if value is not None)
    return {first + "".join(word.capitalize() for word in rest): value for (first, *rest), value in split}


def _plain(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = value
    return found
