"""A little world to ask SQL of: snapshots of Arrow tables, files in a folder, and the service over them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
from tests.unit.query.nursery import the_nursery

from arco.core.clock import SystemClock
from arco.core.entropy import MintedIds, SystemEntropy
from arco.core.scope import Scope
from arco.kernel.records import COMMITS
from arco.kernel.spec import Row, TableSpec
from arco.query.files import DataFiles, FolderFiles
from arco.query.relations import public_relations
from arco.query.results import QueryResult
from arco.query.running import Finished, RunningQueries
from arco.query.sandbox import Sandbox
from arco.query.service import Ask, QueryService
from arco.query.shelf import Shelf
from arco.query.wire import QueryLimits, RelationName
from arco.storage.port import ObjectInfo

SCOPE = Scope("acme", "main")


class ARow(Row, frozen=True, kw_only=True):
    """The columns these tests ask about."""

    id: str
    name: str
    format: str | None
    created_at: int


class AnEdge(Row, frozen=True, kw_only=True):
    """A lineage edge."""

    id: str
    source_id: str
    target_id: str


CATALOGS = TableSpec("catalogs", ARow, key=("name",), domain="catalog")
NAMESPACES = TableSpec("namespaces", ARow, key=("name",), domain="catalog")
TABLES = TableSpec("tables", ARow, key=("name",), domain="catalog")
COLUMNS = TableSpec("columns", ARow, key=("name",), domain="catalog")
EDGES = TableSpec("lineage_edges", AnEdge, key=("id",), domain="lineage")
SPECS: tuple[TableSpec[Any], ...] = (CATALOGS, NAMESPACES, TABLES, COLUMNS, EDGES, COMMITS)
_ARROW = {"utf8": pa.string(), "int64": pa.int64(), "bool": pa.bool_(), "int32": pa.int32()}


class ASnapshot:
    """A snapshot whose tables are given; it counts how often each was loaded."""

    def __init__(
        self, number: int, tables: Mapping[str, pa.Table] | None = None, *, rows_per_part: int | None = None
    ) -> None:
        self.manifest_id = f"{number:020d}"
        self.snapshot_version = number
        self.published_ms = 1_767_225_600_000 + number * 1_000
        self.tables = dict(tables or {})
        self.loaded: list[str] = []
        self.rows_per_part = rows_per_part

    def count(self, table: TableSpec[Any]) -> int:
        return self._rows(table).num_rows

    def counted(self, table: TableSpec[Any]) -> int | None:
        return self.count(table)

    def table_version(self, table: TableSpec[Any]) -> str:
        return str(id(self.tables.get(table.name)))

    async def get(self, table: TableSpec[Any], key: Any) -> Any:
        raise NotImplementedError

    async def scan(self, table: TableSpec[Any], **_: Any) -> list[Any]:
        raise NotImplementedError

    async def pick(self, table: TableSpec[Any], fields: tuple[str, ...], **_: Any) -> Any:
        raise NotImplementedError

    async def sift(self, table: TableSpec[Any], between: Any, sieve: Any, *, most: int) -> Any:
        raise NotImplementedError

    async def firsts(self, table: TableSpec[Any], prefix: Any, each: Any, wanted: Any) -> Any:
        raise NotImplementedError

    async def estimate(self, table: TableSpec[Any], low: Any, high: Any) -> int:
        return self.count(table)

    async def arrow(self, table: TableSpec[Any]) -> pa.Table:
        return self._rows(table)

    async def parts(self, table: TableSpec[Any]) -> list["APart"]:
        rows = self._rows(table)
        step = self.rows_per_part or max(1, rows.num_rows)
        return [APart(self, table.name, rows.slice(at, step)) for at in range(0, max(1, rows.num_rows), step)]

    def _rows(self, table: TableSpec[Any]) -> pa.Table:
        fields = [pa.field(field.name, _ARROW[field.kind], field.nullable) for field in table.public_fields]
        return self.tables.get(table.name, pa.schema(fields).empty_table())


class APart:
    """Some rows of a table of a snapshot, known by their contents."""

    def __init__(self, snapshot: ASnapshot, name: str, table: pa.Table) -> None:
        self._snapshot, self._name, self._table = snapshot, name, table
        self.identity = f"{name} {hash(str(table.to_pydict()))}"
        self.place = self.identity

    async def rows(self) -> pa.Table:
        self._snapshot.loaded.append(self._name)
        return self._table


class AReader:
    """A reader of given snapshots, oldest first."""

    def __init__(self, *snapshots: ASnapshot) -> None:
        self.snapshots = snapshots

    async def head(self) -> ASnapshot | None:
        return self.snapshots[-1] if self.snapshots else None

    async def at_manifest(self, manifest_id: str) -> ASnapshot | None:
        return next((found for found in self.snapshots if found.manifest_id == manifest_id), None)

    async def at_time(self, time_ms: int) -> ASnapshot | None:
        found = [snapshot for snapshot in self.snapshots if snapshot.published_ms <= time_ms]
        return found[-1] if found else None


class ATable(msgspec.Struct, frozen=True):
    """A registered table as the catalog tells of it."""

    format: str | None
    location: str | None


class AFolder(FolderFiles):
    """Files in a folder; with `remote` they can only be read as bytes. It remembers what was touched."""

    def __init__(self, root: Path, *, remote: bool = False) -> None:
        super().__init__(str(root))
        self.root = root.resolve()
        self.remote = remote
        self.touched: list[str] = []

    @property
    def local_root(self) -> str | None:
        return None if self.remote else str(self.root)

    async def info(self, key: str) -> ObjectInfo | None:
        self.touched.append(key)
        return await super().info(key)

    async def list(self, prefix: str) -> Sequence[ObjectInfo]:
        self.touched.append(prefix)
        return await super().list(prefix)

    async def read(self, key: str) -> bytes | None:
        self.touched.append(key)
        return await super().read(key)


WORLDS: list["World"] = []
"""The worlds of the test that runs, which closes them (see conftest)."""


class Told:
    """A result with its rows."""

    def __init__(self, result: QueryResult) -> None:
        self.rows, self.manifest_id, self.truncated = result.rows, result.manifest_id, result.truncated
        self.table = pa.ipc.open_stream(result.body).read_all()


class World:
    """The service, a reader and registered tables by `c.s.t`."""

    def __init__(
        self, *snapshots: ASnapshot, files: AFolder | None = None, limits: QueryLimits | None = None, workers: int = 2
    ) -> None:
        self.reader = AReader(*snapshots)
        self.registered: dict[str, ATable] = {}
        self.files = files or AFolder(Path("nowhere"))
        self.killed: list[str] = []
        clock = SystemClock()
        self.shelf = Shelf(clock)
        self.sandbox = Sandbox(the_nursery(), workers=workers, killed=self.killed.append)
        self.service = QueryService(
            public_relations(SPECS),
            self._resolve,
            self._files,
            limits=limits,
            sandbox=self.sandbox,
            shelf=self.shelf,
        )
        self.finished: list[Finished] = []
        self.queries = RunningQueries(clock, MintedIds(clock, SystemEntropy()), self.finished.append)
        WORLDS.append(self)

    async def query(self, sql: str, *, scope: Scope = SCOPE, **options: Any) -> "Told":
        """What `POST /query` answers."""
        return Told(await self.service.query(self.reader, scope, Ask(sql=sql, **options)))

    async def query_data(self, sql: str) -> "Told":
        """What `POST /query-data` answers."""
        return Told(await self.service.query_data(self.reader, SCOPE, Ask(sql=sql)))

    async def ask(self, sql: str, **options: Any) -> list[dict[str, Any]]:
        """The rows that `POST /query` answers."""
        return (await self.query(sql, **options)).table.to_pylist()

    async def ask_data(self, sql: str) -> list[dict[str, Any]]:
        """The rows that `POST /query-data` answers."""
        return (await self.query_data(sql)).table.to_pylist()

    async def _resolve(self, snapshot: Any, catalog: str, schema: str, table: str) -> ATable | None:
        return self.registered.get(f"{catalog}.{schema}.{table}")

    def _files(self, scope: Scope) -> DataFiles:
        return self.files


def some_tables(rows: int = 3) -> pa.Table:
    """Rows of `catalog.tables`: `t0`, `t1`, ... of the formats delta, parquet and null in turn."""
    return pa.table(
        {
            "id": [f"id-{index}" for index in range(rows)],
            "name": [f"t{index}" for index in range(rows)],
            "format": pa.array([("delta", "parquet", None)[index % 3] for index in range(rows)], pa.string()),
            "created_at": pa.array(range(rows), pa.int64()),
        }
    )


def named(*parts: str) -> RelationName:
    """A relation of three parts."""
    return RelationName(*parts)
