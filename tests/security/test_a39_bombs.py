"""A-39: files that are damaged, lie or explode hurt nobody but the query that reads them.

Server roles open only what arco wrote, and only after its hash was seen to be right; files of users are opened in a
sandbox child alone, and whatever becomes of that child, the next query is answered.
"""

import ast
import random
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.contract.test_conformance_compaction_rpc import EVENT_ID, PATH, heads, planted
from tests.http.world import SCOPE, a_table, a_world
from tests.unit.query.worlds import AFolder, ASnapshot, ATable, World

import arco
from arco.core import paths
from arco.core.errors import ArcoError
from arco.core.paths import Key
from arco.core.scope import Scope
from arco.query.service import Ask
from arco.query.wire import QueryLimits
from arco.routes.wire.controlplane import PACKAGE, message_class
from arco.storage.port import Matches

MUTANTS = 60
ASKED = ("SELECT * FROM c.s.t", "SELECT count(*) FROM c.s.t", "SELECT max(length(id)), min(id) FROM c.s.t")
SOURCE = Path(arco.__file__).parent


def encoded(table: pa.Table, **options: object) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, store_schema=False, **options)
    found: bytes = sink.getvalue().to_pybytes()
    return found


GOOD = encoded(pa.table({"id": [f"row-{number}" for number in range(2_000)], "n": list(range(2_000))}))


@cache
def dictionary_bomb() -> bytes:
    """A kilobyte or two that say a text of a megabyte a million times."""
    text = pa.array(["x" * 1_000_000])
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000, pa.int32()), text)
    return encoded(pa.table({"id": column}), compression="zstd")


def deep() -> bytes:
    kind: pa.DataType = pa.int8()
    value: object = 1
    for _ in range(150):
        kind, value = pa.list_(kind), [value]
    return encoded(pa.table({"id": pa.array([value], kind)}))


def ipc() -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table({"id": ["a"]})
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    found: bytes = sink.getvalue().to_pybytes()
    return found


def footer_of(length: int) -> bytes:
    return GOOD[:-8] + length.to_bytes(4, "little") + b"PAR1"


BOMBS: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "cut by a byte": lambda: GOOD[:-1],
    "half": lambda: GOOD[: len(GOOD) // 2],
    "the end alone": lambda: GOOD[-200:],
    "magic alone": lambda: b"PAR1PAR1",
    "a footer of no length": lambda: footer_of(0),
    "a footer longer than the file": lambda: footer_of(len(GOOD) * 2),
    "a footer of 4 GiB": lambda: footer_of(2**32 - 1),
    "an encrypted footer": lambda: GOOD[:-4] + b"PARE",
    "a dictionary that explodes": dictionary_bomb,
    "lists in lists": deep,
    "five thousand columns": lambda: encoded(pa.table({f"c{number}": [1] for number in range(5_000)})),
    "arrow under a wrong name": ipc,
    "text": lambda: b"id,n\n1,2\n",
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "scope").mkdir()
    limits = QueryLimits(timeout_s=5.0, memory_bytes=128 << 20)
    made = World(ASnapshot(1), files=AFolder(tmp_path / "scope"), limits=limits)
    (made.files.root / "good.parquet").write_bytes(GOOD)
    made.registered["c.s.good"] = ATable("parquet", "good.parquet")
    made.registered["c.s.t"] = ATable("parquet", "t.parquet")
    return made


async def survived(world: World, body: bytes) -> list[str]:
    """What became of the questions about a file; a question about another one is answered after them."""
    (world.files.root / "t.parquet").write_bytes(body)
    outcomes, said = [], ""
    for sql in ASKED:
        try:
            await world.ask_data(sql)
            outcomes.append("answered")
        except ArcoError as fact:
            outcomes.append(type(fact).__name__)
            said += fact.message
    assert str(world.files.root) not in said and "panic" not in said
    assert await world.ask_data("SELECT count(*) AS n FROM c.s.good") == [{"n": 2_000}]
    return outcomes


@pytest.mark.parametrize("name", BOMBS)
async def test_a39_a_bad_file_of_a_user_ends_its_query_and_nothing_else(world: World, name: str):
    body = BOMBS[name]()
    outcomes = await survived(world, body)
    if "explodes" in name:
        assert len(body) < 64 * 1024
        assert {outcomes[0], outcomes[2]} <= {"InvalidInput", "QueryExhausted", "QueryTimedOut"}
    elif "lists" not in name and "columns" not in name:
        assert set(outcomes) <= {"InvalidInput"}, outcomes


async def test_a39_bytes_changed_anywhere_in_a_file_are_an_error_or_other_rows(world: World):
    chance = random.Random(39)
    for _ in range(MUTANTS):
        body = bytearray(GOOD)
        for _ in range(chance.choice((1, 1, 4, 16))):
            # Most of what readers believe, offsets and counts, is at the end.
            at = chance.randrange(len(body)) if chance.random() < 0.3 else len(body) - 1 - chance.randrange(600)
            body[at] = chance.choice((0, 0x7F, 0x80, 0xFF, body[at] ^ 1, body[at] ^ 0x40))
        outcomes = await survived(world, bytes(body))
        assert set(outcomes) <= {"answered", "InvalidInput", "QueryExhausted", "QueryTimedOut"}, outcomes


async def test_a39_a_text_that_is_no_text_does_not_leave(world: World):
    """A column that says it is UTF-8 and is not: no reader checks it, and no caller could decode the answer."""
    body = encoded(pa.table({"id": ["good", "b@d", "good"]}), compression="none", use_dictionary=False)
    assert await survived(world, body.replace(b"b@d", b"b\xffd")) == ["InvalidInput", "answered", "InvalidInput"]
    with pytest.raises(ArcoError, match="may be damaged"):
        await world.service.query_data(world.reader, Scope("acme", "main"), Ask(sql=ASKED[0], output="json"))


async def test_a39_a_log_of_a_table_that_is_a_bomb_ends_its_query(world: World):
    log = world.files.root / "d" / "_delta_log"
    log.mkdir(parents=True)
    world.registered["c.s.d"] = ATable("delta", "d")
    for body in (b'{"add":' * 10_000, b"[" * 100_000, b'{"commitInfo":' + b"9" * 100_000 + b"}", b"\xff" * 100):
        (log / f"{0:020d}.json").write_bytes(body)
        with pytest.raises(ArcoError):
            await world.ask_data("SELECT * FROM c.s.d")
        assert await world.ask_data("SELECT count(*) AS n FROM c.s.good") == [{"n": 2_000}]


@pytest.mark.parametrize("name", ["cut by a byte", "a footer of 4 GiB", "a dictionary that explodes", "lists in lists"])
async def test_a39_a_server_does_not_open_what_does_not_have_its_hash(name: str, monkeypatch: pytest.MonkeyPatch):
    async with a_world() as world, world.client() as api:
        await a_table(api)
        await world.quiet()
        segments = [info for info in await world.in_scope().list_page("snapshots/") if info.key.endswith(".parquet")]
        assert segments
        for info in segments:
            key = Key(SCOPE.prefix + info.key)
            await world.store.put(key, BOMBS[name](), when=Matches(info.version))
    async with a_world(store=world.store) as again, again.client() as api:
        opened: list[object] = []
        monkeypatch.setattr(pq, "ParquetFile", lambda *given, **_: opened.append(given))
        answer = await api.get("/catalogs/analytics/schemas/sales/tables/orders")
        assert (answer.status_code, answer.json()["code"]) == (500, "INTERNAL")
        assert "parquet" not in answer.text
        assert opened == []


@pytest.mark.parametrize("name", ["a dictionary that explodes", "arrow under a wrong name", "half"])
async def test_a39_a_bomb_in_the_ledger_is_quarantined_and_the_head_stays(name: str):
    async with a_world() as world:
        await planted(world, PATH, BOMBS[name]())
        async with world.client(role="compactor") as client:
            call = {"domain": "catalog", "event_paths": [PATH]}
            assert (await client.post("/internal/sync-compact", json=call)).status_code == 400
        assert await heads(world) == {}
        assert await world.in_scope().get(paths.quarantined("catalog", f"{EVENT_ID}.json")) is not None


def fields(message: str, *names: str) -> list[Any]:
    """The fields that lead from a message into what is inside of it."""
    kind, found = message_class(message).DESCRIPTOR, []
    for name in names:
        found.append(kind.fields_by_name[name])
        kind = found[-1].message_type
    return found


def varint(number: int) -> bytes:
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def nested(path: list[Any], count: int) -> bytes:
    """A message that holds `count` empty ones at the end of a path."""
    body = (varint(path[-1].number << 3 | 2) + b"\0") * count
    for field in reversed(path[:-1]):
        body = varint(field.number << 3 | 2) + varint(len(body)) + body
    return body


MESSAGES = [
    ("applyCatalogDdl", "ApplyCatalogDdlRequest", ("ddl", "batch", "operations")),
    ("applyCatalogDdl", "ApplyCatalogDdlRequest", ("ddl", "register_table", "columns")),
    ("applyCatalogDdl", "ApplyCatalogDdlRequest", ("ddl", "add_edges", "edges")),
    ("commitRootTransaction", "CommitRootTransactionRequest", ("mutations",)),
    ("commitRootTransaction", "CommitRootTransactionRequest", ("mutations", "catalog", "register_table", "columns")),
]


@pytest.mark.parametrize(("route", "name", "path"), MESSAGES, ids=[path[-1] for _, _, path in MESSAGES])
async def test_a39_a_message_of_half_a_million_of_nothing_costs_nothing(route: str, name: str, path: tuple[str, ...]):
    body = nested(fields(name, *path), 340_000)
    headers = {"content-type": f"application/x-protobuf; proto={PACKAGE}.{name}", "idempotency-key": "k"}
    async with a_world() as world, world.client() as api:
        await api.post(
            f"/transactions/{route}", content=b"", headers=headers
        )  # what is loaded with the first is loaded
        spent = []
        for _ in range(3):
            began = time.process_time()
            answer = await api.post(f"/transactions/{route}", content=body, headers=headers)
            spent.append(time.process_time() - began)
            assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
    assert min(spent) < 0.3


OPENERS = {"ParquetFile", "ParquetDataset", "FileSystemDatasetFactory", "read_table", "open_stream"}
OPENING = {
    "kernel/codec.py": "segments, after their hash was compared",
    "query/holdings.py": "blocks that the api made, in a child",
    "query/delta_log.py": "in a child",
    "query/files_seen.py": "in a child",
    "cli/query.py": "the answer of a server, on the machine of who asked",
    "demo/story.py": "the same",
    "clients/project.py": "the same",
    "sdk/io/staged.py": "a user's files, in the child that runs the user's code",
}
"""The only modules that open Parquet or Arrow."""


def test_a39_parquet_is_opened_in_known_places_only():
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in OPENERS:
                found.add(path.relative_to(SOURCE).as_posix())
    assert found == set(OPENING)
