"""The api and the compactor as `arco serve` composes them, in this process, over a store that counts."""

import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette

from arco.config.settings import Settings, load
from arco.core.clock import SystemClock
from arco.core.entropy import MintedIds
from arco.core.log import LineLog
from arco.core.scope import Scope
from arco.kernel.reading import Reader
from arco.roles import all_roles
from arco.roles.process import make_process
from arco.roles.served import ServedRole
from arco.storage.counting import CountingStore, Operation
from arco.storage.locate import CloudStore
from arco.storage.port import ObjectStore

from ..unit.query.nursery import the_nursery
from .documented import Document

PREFIX = "/api/v1"
SCOPE = Scope("local", "default")
MEMORY = "memory://"


class Stores:
    """Where worlds keep their objects: where they ask to, or all of them in a cloud (`pytest --store=gcs`).

    In a cloud, memory and each folder are a prefix of their own. What is about files stays with its files: a folder
    that holds something when it is first used, and one that is given by `in_files`.
    """

    def __init__(self) -> None:
        self.cloud: Callable[[str], CloudStore] | None = None
        self.files: set[str] = set()
        self._prefixes: dict[str, str] = {}

    def open(self, storage: str) -> CloudStore | None:
        """A store in the cloud, or None when the world is to open `storage` itself."""
        if self.cloud is None or storage in self.files:
            return None
        name = storage if storage != MEMORY else f"memory {len(self._prefixes)}"
        folder = Path(storage.removeprefix("file://"))
        if name not in self._prefixes:
            if storage != MEMORY and folder.exists() and any(folder.iterdir()):
                return None
            self._prefixes[name] = f"world-{os.getpid()}-{len(self._prefixes)}/"
        return self.cloud(self._prefixes[name])


STORES = Stores()


class LeavingClock(SystemClock):
    """The machine's clock, until somebody leaves: then nobody sleeps any more."""

    leaving = False
    ahead_ms = 0

    def now_ms(self) -> int:
        """The wall's time, and what a test added to it."""
        return super().now_ms() + self.ahead_ms

    async def sleep_ms(self, duration_ms: int) -> None:
        """Sleep, unless everybody leaves."""
        await super().sleep_ms(0 if self.leaving else duration_ms)


class World:
    """One process with its roles; `store` counts what both of them do."""

    def __init__(
        self, environ: Mapping[str, str] | None = None, *, storage: str = MEMORY, store: ObjectStore | None = None
    ) -> None:
        self.environ = {"ARCO_STORAGE_BUCKET": storage, **(environ or {})}
        settings = load("all", self.environ)
        assert isinstance(settings, Settings), settings
        self.settings = settings
        self.records: list[dict[str, Any]] = []
        log = LineLog(self._logged, SystemClock(), level="info", text=False)
        self.process = make_process(storage, log=log)
        self.process.nursery = the_nursery()
        # At the end pointers may be moved again at once: there is no cloud here that would mind.
        self.clock = self.process.clock = LeavingClock()
        self.process.ids = MintedIds(self.clock, self.process.entropy)
        self._cloud = None if store else STORES.open(storage)
        self.store = CountingStore(store or self._cloud or self.process.store)
        self.process.store = self.store
        self.roles: dict[str, ServedRole] = {}
        self._document: Document | None = None
        for served in all_roles.build(settings, self.process, self.environ):
            self.roles[served.role] = served

    def _logged(self, line: str) -> None:
        self.records.append(json.loads(line))

    @property
    def api(self) -> Starlette:
        """The api's app."""
        return self.roles["api"].app

    @property
    def compactor(self) -> Starlette:
        """The compactor's app."""
        return self.roles["compactor"].app

    def client(self, headers: Mapping[str, str] | None = None, *, role: str = "api") -> httpx.AsyncClient:
        """A client of one role; the api's begins at `/api/v1`, and takes no answer that is not documented."""
        base = f"http://localhost{PREFIX}" if role == "api" else "http://localhost"
        transport = httpx.ASGITransport(self.roles[role].app)
        hooks = {"response": [self._documented]} if role == "api" else {}
        return httpx.AsyncClient(transport=transport, base_url=base, headers=headers, event_hooks=hooks)

    async def _documented(self, response: httpx.Response) -> None:
        await (await self.document()).check(response)

    async def document(self) -> Document:
        """The api's OpenAPI document, which remembers what was answered."""
        if self._document is None:
            self._document = await Document.of(self.api)
        return self._document

    def in_scope(self, scope: Scope = SCOPE) -> ObjectStore:
        """The objects of one workspace, not counted and without a role's bounds."""
        return self.process.scoped_store(scope, "api")

    def flow_reader(self, scope: Scope = SCOPE) -> Reader:
        """A reader of what orchestration knows of a workspace."""
        found: Reader = self.api.state.services.flow.reader_for(scope)
        return found

    async def quiet(self) -> None:
        """Have every chain merged and its pointers at the head."""
        async with self.client(role="compactor") as compactor:
            assert (await compactor.post("/compact")).status_code == 202

    def audit(self, action: str) -> list[dict[str, Any]]:
        """Audit events of one kind, oldest first."""
        return [record for record in self.records if record.get("action") == action]

    async def close(self) -> None:
        """End every role as `arco serve` does."""
        self.clock.leaving = True
        for served in self.roles.values():
            await served.close()
        if self._cloud is not None:
            await self._cloud.close()


@asynccontextmanager
async def a_world(
    environ: Mapping[str, str] | None = None, *, storage: str = MEMORY, store: ObjectStore | None = None
) -> AsyncIterator[World]:
    """A world for the length of a block."""
    world = World(environ, storage=storage, store=store)
    try:
        yield world
    finally:
        await world.close()


def on_disk(folder: Path) -> str:
    """The storage URL of a folder."""
    return f"file://{folder}"


def in_files(folder: Path) -> str:
    """The storage URL of a folder whose files the test looks at: it is one with `--store=gcs` too."""
    STORES.files.add(on_disk(folder))
    return on_disk(folder)


def problem(response: httpx.Response) -> tuple[int, str, str]:
    """Status, code and message of an error in the one shape."""
    body = response.json()
    return response.status_code, body["code"], body["message"]


def foreground(operations: list[Operation]) -> list[Operation]:
    """What a request waited for: pointers follow by themselves."""
    return [operation for operation in operations if ".pointer." not in operation.key]


async def a_table(api: httpx.AsyncClient, name: str = "orders", **fields: Any) -> httpx.Response:
    """`analytics.sales.<name>`, with its parents when they are missing."""
    await api.post("/catalogs", json={"name": "analytics"})
    await api.post("/catalogs/analytics/schemas", json={"name": "sales"})
    body = {"name": name, "columns": [{"name": "id", "data_type": "BIGINT", "nullable": False}], **fields}
    return await api.post("/catalogs/analytics/schemas/sales/tables", json=body)
