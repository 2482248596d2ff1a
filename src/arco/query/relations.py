"""The relations of `POST /query`: which table each public name stands for, and its rows at one snapshot.

Rows are kept between queries as blocks named by their contents (`query.shelf`), so that a query after a commit loads
only what that commit touched. Source: catalog.md 7.1.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec

from arco.core.errors import InvalidInput, NotFound
from arco.core.limits import SQL_LOG_ROWS_MAX
from arco.core.offload import Offload
from arco.core.scope import Scope
from arco.kernel.reading import Part, Snapshot
from arco.kernel.spec import TableSpec
from arco.query.errors import UnknownRelation
from arco.query.joint import JointSnapshot
from arco.query.shelf import SharedBytes, Shelf, shared_rows
from arco.query.wire import BlockRelation, RelationName

SOURCES: Final[Mapping[str, str]] = {
    "catalog.catalogs": "catalogs",
    "catalog.namespaces": "namespaces",
    "catalog.tables": "tables",
    "catalog.columns": "columns",
    "lineage.lineage_edges": "lineage_edges",
    "system.catalog.catalogs": "catalogs",
    "system.catalog.namespaces": "namespaces",
    "system.catalog.tables": "tables",
    "system.catalog.columns": "columns",
    "system.catalog.commits": "commits",
    "system.catalog.transactions": "transactions",
    "system.lineage.edges": "lineage_edges",
    "system.access.audit": "audit",
    "system.query.history": "query_history",
    **{
        f"system.orchestration.{name}": name
        for name in (
            "runs",
            "tasks",
            "dep_satisfaction",
            "timers",
            "dispatch_outbox",
            "sensor_state",
            "sensor_evals",
            "partition_status",
            "schedule_definitions",
            "schedule_state",
            "schedule_ticks",
            "backfills",
            "backfill_chunks",
            "run_key_conflicts",
            "deployments",
            "concurrency_slots",
            "task_attempts",
            "catalog_run_index",
        )
    },
}
"""Public SQL name -> name of the table in the chain."""

_LOGS: Final[Mapping[str, str]] = {
    "audit": "page through GET /api/v1/audit, which filters by time, action and actor",
    "query_history": "keep it for fewer days (ARCO_QUERY_HISTORY_DAYS)",
}
"""Tables that grow with what is asked, not with the catalog, and what to do once SQL cannot hold one whole."""

_BLOCK_PARTS_MAX: Final = 64
_SEAMS: Final = 16
"""A block ends after one part in about this many, chosen by its own place: a change moves no other block's ends."""

_LISTS_KEPT: Final = 128
_PARTS_AT_ONCE: Final = 32


def public_relations(tables: Iterable[TableSpec[Any]]) -> dict[str, TableSpec[Any]]:
    """Public SQL name -> table, for those of `tables` that have one (catalog.md 7.1)."""
    by_name = {table.name: table for table in tables}
    return {public: by_name[name] for public, name in SOURCES.items() if name in by_name}


async def _of(joint: Snapshot | JointSnapshot | None, table: TableSpec[Any]) -> Snapshot | None:
    return await joint.of(table) if isinstance(joint, JointSnapshot) else joint


def _check_log(name: RelationName, table: TableSpec[Any], rows: int) -> None:
    """Raises `InvalidInput` for a log with more rows than a query may bring into memory."""
    if table.name in _LOGS and rows > SQL_LOG_ROWS_MAX:
        sentence = f"{name.text} has {rows:,} rows, and SQL takes a log of at most {SQL_LOG_ROWS_MAX:,}"
        raise InvalidInput(f"{sentence}; {_LOGS[table.name]}", relation=name.text)


class Block(msgspec.Struct, frozen=True):
    """Consecutive parts of a table under the name of their contents."""

    name: str
    parts: tuple[Part, ...]


def blocks_of(parts: Sequence[Part]) -> list[Block]:
    """The parts grouped so that equal neighbours make equal blocks in every snapshot."""
    found: list[Block] = []
    group: list[Part] = []
    for part in parts:
        group.append(part)
        if len(group) == _BLOCK_PARTS_MAX or blake2b(part.place.encode(), digest_size=1).digest()[0] % _SEAMS == 0:
            found.append(_block(group))
            group = []
    return [*found, _block(group)] if group else found


def _block(parts: Sequence[Part]) -> Block:
    text = "\n".join(part.identity for part in parts)
    return Block(blake2b(text.encode(), digest_size=16).hexdigest(), tuple(parts))


class Loaded(msgspec.Struct, frozen=True):
    """What a statement names: its relations, and every block of them by name."""

    relations: tuple[BlockRelation, ...]
    blocks: dict[str, SharedBytes]


class SystemRelations:
    """Finds and loads what a `POST /query` statement names. Public names match whatever their case."""

    def __init__(self, tables: Mapping[str, TableSpec[Any]], offload: Offload, shelf: Shelf) -> None:
        # By parts: a quoted name may itself hold dots.
        self._tables = {tuple(public.lower().split(".")): table for public, table in tables.items()}
        self._known = ", ".join(tables)
        self._offload = offload
        self._shelf = shelf
        self._lists: OrderedDict[tuple[Scope, str], tuple[str, list[Block]]] = OrderedDict()
        self._making: dict[tuple[Scope, str], asyncio.Task[SharedBytes]] = {}

    async def load(self, scope: Scope, joint: Snapshot | JointSnapshot | None, names: Sequence[RelationName]) -> Loaded:
        """The named relations with their rows. Raises `NotFound` without a snapshot, `UnknownRelation` for others."""
        found = {name: self._tables.get(tuple(part.lower() for part in name.parts)) for name in names}
        known = {name: table for name, table in found.items() if table is not None}
        snapshots = {name: await _of(joint, table) for name, table in known.items()}
        held = {name: snapshot for name, snapshot in snapshots.items() if snapshot is not None}
        if len(held) < len(known):
            raise NotFound("No snapshot tables available for query")
        for name in names:
            if name not in known:
                raise UnknownRelation(f"unknown relation: {name.text}; POST /query knows {self._known}")
        for name, table in known.items():
            _check_log(name, table, held[name].count(table))
        blocks: dict[str, SharedBytes] = {}
        relations: list[BlockRelation] = []
        for name, table in known.items():
            wanted = await self._list(scope, held[name], table)
            for block in wanted:
                if block.name not in blocks:
                    blocks[block.name] = await self._shared(scope, block)
            relations.append(BlockRelation(name, tuple(block.name for block in wanted)))
        return Loaded(tuple(relations), blocks)

    async def settled(self) -> None:
        """Return once no block is being made: for shutdown."""
        for task in tuple(self._making.values()):
            task.cancel()
        await asyncio.gather(*self._making.values(), return_exceptions=True)

    async def _list(self, scope: Scope, snapshot: Snapshot, table: TableSpec[Any]) -> list[Block]:
        # Of each table only the version asked for last: a list holds the changes that are not in segments yet.
        key, version = (scope, table.name), snapshot.table_version(table)
        kept = self._lists.get(key)
        if kept is None or kept[0] != version:
            kept = self._lists[key] = (version, blocks_of(await snapshot.parts(table)))
        self._lists.move_to_end(key)
        if len(self._lists) > _LISTS_KEPT:
            self._lists.popitem(last=False)
        return kept[1]

    async def _shared(self, scope: Scope, block: Block) -> SharedBytes:
        kept = self._shelf.get(scope, block.name)
        if kept is not None:
            return kept
        making = self._making.get((scope, block.name))
        if making is None:
            making = self._making[scope, block.name] = asyncio.ensure_future(self._made(scope, block))
            making.add_done_callback(lambda task: self._was_made((scope, block.name), task))
        # Shielded: others wait for the same block, and the next query wants it even if nobody does any more.
        return await asyncio.shield(making)

    def _was_made(self, key: tuple[Scope, str], task: "asyncio.Task[SharedBytes]") -> None:
        self._making.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever waited has it; nobody may have

    async def _made(self, scope: Scope, block: Block) -> SharedBytes:
        tables: list[Any] = []
        for start in range(0, len(block.parts), _PARTS_AT_ONCE):
            tables += await asyncio.gather(*(part.rows() for part in block.parts[start : start + _PARTS_AT_ONCE]))
        made = await self._offload.run(lambda: shared_rows(tables))
        self._shelf.put(scope, block.name, made)
        return made
