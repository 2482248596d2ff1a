"""Any engine reads our metadata: from the manifest's JSON to the rows, without a line of ours in between."""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import httpx
import polars
import pytest

from .world import SCOPE, World, a_world, in_files

DOCUMENTED = Path(__file__).parents[2] / "docs" / "reference" / "system-tables.md"
PUBLIC = {
    "catalogs": "system.catalog.catalogs",
    "namespaces": "system.catalog.namespaces",
    "tables": "system.catalog.tables",
    "columns": "system.catalog.columns",
    "lineage_edges": "system.lineage.edges",
}
SIZE = 1_500


class Files:
    """A workspace as a stranger sees it: a folder of JSON and Parquet."""

    def __init__(self, root: Path) -> None:
        self.root = root
        pointer = self.json("manifests/catalog.pointer.json")
        number = int(pointer["manifestId"])
        while (root / f"manifests/catalog/{number + 1:020d}.json").exists():
            number += 1
        self.manifest = self.json(f"manifests/catalog/{number:020d}.json")

    def json(self, path: str) -> Any:
        """A JSON object of the workspace."""
        return json.loads((self.root / path).read_text())

    def segments(self, table: str) -> list[str]:
        """The Parquet files of a table, in key order."""
        tree = self.manifest.get("tables", {}).get(table)
        return [] if tree is None else list(self._leaves(tree["refs"], tree["level"]))

    def _leaves(self, refs: list[Any], level: int) -> list[str]:
        if level == 0:
            return [str(self.root / ref["path"]) for ref in refs]
        pages = [self.json(ref["path"]) for ref in refs]
        return [leaf for page in pages for leaf in self._leaves(page["refs"], page["level"])]

    def overlaid(self, table: str) -> list[dict[str, Any]]:
        """The rows of a table with the outstanding deltas over its segments, in the manifest's order."""
        key = documented_key(table)
        found = duckdb_rows(self.segments(table))
        rows = {tuple(row[name] for name in key): row for row in found}
        for delta in self.manifest.get("deltas", []):
            body = self.json(delta["path"]) if "path" in delta else self.manifest["inline"][delta["delta_id"]]
            changes = body.get(table, {})
            rows |= {tuple(row[name] for name in key): row for row in changes.get("put", [])}
            for gone in changes.get("delete", []):
                rows.pop(tuple(gone), None)
        return [rows[one] for one in sorted(rows)]


def documented_key(table: str) -> list[str]:
    """The key of a table, from its page in the reference."""
    found = re.search(rf"^## {table}\n.*?^Key: `([^`]+)`\.$", DOCUMENTED.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1].split(", ")


def duckdb_rows(paths: list[str]) -> list[dict[str, Any]]:
    """All rows of Parquet files, in their order, as DuckDB reads them."""
    if not paths:
        return []
    with duckdb.connect() as connection:
        # Else DuckDB takes the folders `tenant=...` and `workspace=...` for partition columns.
        cursor = connection.execute("SELECT * FROM read_parquet($1, hive_partitioning = false)", [paths])
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def polars_rows(paths: list[str]) -> list[dict[str, Any]]:
    """All rows of Parquet files, in their order, as Polars reads them."""
    return polars.read_parquet(paths).to_dicts() if paths else []


def shown(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows as the API shows them: without nulls, sorted by id."""
    without = [{name: value for name, value in row.items() if value is not None} for row in rows]
    return sorted(without, key=lambda row: row["id"])


async def answered(api: httpx.AsyncClient, relation: str) -> list[dict[str, Any]]:
    """A relation as the API answers it, sorted by id."""
    answer = await api.post("/query?format=json", json={"sql": f"SELECT * FROM {relation}"})
    assert answer.status_code == 200, answer.text
    assert "x-arco-truncated" not in answer.headers
    return shown(answer.json())


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A world on files whose deltas are merged only when somebody asks for it."""
    async with a_world({"ARCO_IDLE_MERGE_MS": "600000"}, storage=in_files(tmp_path)) as world:
        yield world


async def fill(api: httpx.AsyncClient) -> None:
    """Three schemas, 1,500 tables with columns, edges between them."""
    for catalog in ("lake", "other"):
        await api.post("/catalogs", json={"name": catalog, "description": "ü\n", "properties": {"owner": "me"}})
    for schema in ("raw", "marts"):
        await api.post("/catalogs/lake/schemas", json={"name": schema})
    await api.post("/namespaces", json={"name": "two level"})
    await create(api, range(SIZE))
    edges = [{"source_id": f"t{n}", "target_id": f"t{n + 1}", "run_id": f"r{n}" if n % 2 else None} for n in range(900)]
    assert (await api.post("/lineage/edges", json={"edges": edges})).json() == {"added": 900}


async def create(api: httpx.AsyncClient, numbers: range) -> None:
    """Tables with these numbers; every seventh in the other schema."""

    async def one(number: int) -> None:
        schema = "marts" if number % 7 == 0 else "raw"
        body = {"name": f"t{number}", "format": "parquet", "location": f"warehouse/t{number}", "columns": COLUMNS}
        answer = await api.post(f"/catalogs/lake/schemas/{schema}/tables", json=body)
        assert answer.status_code == 201, answer.text

    await asyncio.gather(*(one(number) for number in numbers))


COLUMNS = [{"name": "id", "data_type": "BIGINT", "nullable": False}, {"name": "näme", "data_type": "STRING"}]


async def same_rows(api: httpx.AsyncClient, table: str, rows: list[dict[str, Any]]) -> None:
    """The public columns of `rows` are what the API answers."""
    wanted = await answered(api, PUBLIC[table])
    answer = await api.post("/query?format=json", json={"sql": f"SELECT count(*) AS n FROM {PUBLIC[table]}"})
    assert answer.json() == [{"n": len(rows)}]
    public = {name for row in wanted for name in row}
    assert shown([{name: value for name, value in row.items() if name in public} for row in rows]) == wanted


async def test_duckdb_and_polars_read_a_quiet_catalog_from_nothing_but_the_manifest(world, api, tmp_path):
    await fill(api)
    await world.quiet()
    files = Files(tmp_path / SCOPE.prefix)
    assert files.manifest.get("deltas", []) == []
    for table in PUBLIC:
        paths = files.segments(table)
        assert paths
        rows = duckdb_rows(paths)
        assert rows == polars_rows(paths)
        assert len(rows) == files.manifest["counts"][table]
        key = documented_key(table)
        keys = [tuple(row[name] for name in key) for row in rows]
        assert keys == sorted(set(keys)), f"{table} is sorted by its key"
        await same_rows(api, table, rows)
    assert len(files.segments("tables")) > 1


async def test_the_files_say_what_the_lists_of_the_api_say(world, api, tmp_path):
    await fill(api)
    await world.quiet()
    files = Files(tmp_path / SCOPE.prefix)
    catalogs = {row["name"]: row for row in duckdb_rows(files.segments("catalogs"))}
    for one in (await api.get("/catalogs")).json()["catalogs"]:
        row = catalogs.pop(one["name"])
        assert (row["id"], row["description"]) == (one["id"], one.get("description"))
        assert json.loads(row["properties_json"] or "null") == one.get("properties")
        assert row["created_at"] == milliseconds(one["created_at"])
    assert catalogs == {}
    schema = (await api.get("/catalogs/lake/schemas/marts")).json()["id"]
    with duckdb.connect() as connection:
        names = connection.execute(
            "SELECT name FROM read_parquet($1) WHERE namespace_id = $2 ORDER BY name",
            [files.segments("tables"), schema],
        ).fetchall()
    listed = (await api.get("/catalogs/lake/schemas/marts/tables?limit=500")).json()
    assert "next_cursor" not in listed
    assert [name for (name,) in names] == [one["name"] for one in listed["tables"]]


def milliseconds(text: str) -> int:
    """The stored form of a time of the API."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


async def test_outstanding_deltas_are_overlaid_in_manifest_order_from_the_json_alone(world, api, tmp_path):
    await fill(api)
    await world.quiet()
    await create(api, range(SIZE, SIZE + 300))
    for number in range(40):
        path = f"/catalogs/lake/schemas/{'marts' if number % 7 == 0 else 'raw'}/tables/t{number}"
        change = {"name": f"renamed {number}", "description": "d"} if number % 2 else {"columns": COLUMNS[:1]}
        assert (await api.patch(path, json=change)).status_code == 200
    for number in range(40, 60):
        path = f"/catalogs/lake/schemas/{'marts' if number % 7 == 0 else 'raw'}/tables/t{number}"
        assert (await api.delete(path)).status_code == 204
    # What was changed and dropped comes back under its old name, in a newer delta.
    await create(api, range(40, 50))
    await api.patch("/catalogs/lake", json={"name": "pond", "properties": None})
    await api.post("/lineage/edges", json={"edges": [{"source_id": "t1", "target_id": "t2", "run_id": "new"}]})
    files = Files(tmp_path / SCOPE.prefix)
    deltas = files.manifest["deltas"]
    assert [delta for delta in deltas if "path" in delta], "some are objects of their own"
    assert [delta for delta in deltas if "path" not in delta], "some ride in the manifest"
    for table in PUBLIC:
        rows = files.overlaid(table)
        assert len(rows) == files.manifest["counts"][table]
        await same_rows(api, table, rows)
    await world.quiet()
    after = Files(tmp_path / SCOPE.prefix)
    for table in PUBLIC:
        assert shown(duckdb_rows(after.segments(table))) == shown(files.overlaid(table))


async def test_every_object_the_manifest_names_is_there_with_its_size_rows_and_hash(world, api, tmp_path):
    await fill(api)
    await world.quiet()
    await create(api, range(SIZE, SIZE + 100))
    files = Files(tmp_path / SCOPE.prefix)
    named = [ref for tree in files.manifest["tables"].values() for ref in tree["refs"]]
    named += [delta for delta in files.manifest["deltas"] if "path" in delta]
    named.append(files.manifest["commit"])
    for ref in named:
        body = (files.root / ref["path"]).read_bytes()
        assert len(body) == ref["bytes"]
        assert hashlib.sha256(body).hexdigest() == ref["sha256"]
        if ref["path"].endswith(".parquet"):
            assert len(duckdb_rows([str(files.root / ref["path"])])) == ref["rows"]
    previous = (files.root / files.manifest["previousManifestPath"]).read_bytes()
    assert "sha256:" + hashlib.sha256(previous).hexdigest() == files.manifest["parentHash"]
