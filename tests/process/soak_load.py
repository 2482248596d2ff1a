"""The clients of a soak: everything people and programs ask of an api, drawn by weight, paced, and every answer judged.

Each client has tables of its own, about as many dropped as made, so that the catalog stays as large as it is.
"""

import contextlib
import json
import random
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

from tests.delta_logs import add, creation, payload
from tests.process.crashes import new_key
from tests.process.servers import Caller
from tests.process.soak_client import Asker, Tally, token

WORDS: Final = ("orders", "lines", "refunds", "stock", "visits", "prices", "routes", "people", "events", "budget")
TYPES: Final = ("BIGINT", "VARCHAR", "DOUBLE", "TIMESTAMP", "BOOLEAN")
SCHEMAS: Final = ("raw", "clean", "mart")
NODES: Final = 400
"""Ids lineage runs between: edges are never taken away, so there are only so many of them to make."""

ENDLESS: Final = (
    "SELECT count(*) FROM catalog.columns a, catalog.columns b, catalog.columns c WHERE a.id || b.id < c.id"
)
QUESTIONS: Final[dict[str, tuple[str, ...]]] = {
    "point": ("SELECT name, format FROM catalog.tables WHERE name = 'facts'",),
    "join": (
        "SELECT n.name, count(*) AS n FROM catalog.tables t JOIN catalog.namespaces n ON t.namespace_id = n.id "
        "GROUP BY 1",
        "SELECT t.name, count(*) AS n FROM catalog.columns c JOIN catalog.tables t ON c.table_id = t.id GROUP BY 1",
    ),
    "aggregate": (
        "SELECT data_type, count(*) AS n, max(ordinal) AS last FROM catalog.columns GROUP BY 1 ORDER BY 2 DESC",
        "SELECT edge_type, count(*) AS n FROM lineage.lineage_edges GROUP BY 1",
    ),
    "system": (
        "SELECT result, count(*) AS n FROM system.query.history GROUP BY 1",
        "SELECT count(*) AS n FROM system.access.audit",
    ),
    "refused": (
        "DROP TABLE catalog.tables",
        "SELECT 1; SELECT 2",
        "SELECT * FROM '/etc/passwd'",
        "SELECT nothing FROM catalog.tables",
        "COPY catalog.tables TO 'x'",
    ),
}
MALFORMED: Final = (
    b"nonsense\r\n\r\n",
    b"GET /api/v1/catalogs HTTP/1.1\r\n\r\n",
    b"GET /api/v1/catalogs HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"POST /api/v1/catalogs HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"BREW /api/v1/catalogs HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET /api/v1/%00/../%ff HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"x" * 40_000 + b"\r\n\r\n",
)
BAD_BODIES: Final[tuple[Any, ...]] = (
    {"name": ""},
    {"name": "a/b"},
    {"name": 7},
    {},
    [],
    {"name": "x", "columns": [{"name": "a"}]},
    {"name": "x", "columns": "none"},
)


class Client(Asker):
    """One client: its tables, and what it does next."""

    def __init__(self, number: int, port: int, seed: int, tally: Tally, *, tables: int) -> None:
        super().__init__(port, random.Random(f"{seed}/{number}"), tally)
        self.mine: dict[str, str] = {}
        self._number = number
        self._most = tables
        self._made = 0
        self._actions = tuple(self._weighted())

    def _weighted(self) -> Iterator[tuple[Callable[[], None], float]]:
        yield from (
            (self.change_tables, 14),
            (self.look_up, 14),
            (self.list_pages, 5),
            (self.search, 6),
            (self.query, 3.5),
            (self.query_data, 0.5),
            (self.lineage, 4),
            (self.containers, 1),
            (self.transaction, 1.5),
            (self.delta, 0.7),
            (self.signed_urls, 1),
            (self.past, 2),
            (self.probes, 1.5),
            (self.bad_requests, 2.5),
            (self.retry, 1.5),
            (self.hang_up, 1),
        )

    def step(self) -> None:
        """One thing; it may be several requests."""
        actions, weights = zip(*self._actions, strict=True)
        if self.chance.random() < 0.03:
            self.close()
        self.chance.choices(actions, weights)[0]()

    # --- tables ---

    def _path(self, name: str) -> str:
        return f"/catalogs/lake/schemas/{self.mine[name]}/tables/{name}"

    def _new_name(self) -> str:
        self._made += 1
        return f"{self.chance.choice(WORDS)}_{self.chance.choice(WORDS)}_{self._number}_{self._made}"

    def _a_table(self, name: str) -> dict[str, Any]:
        columns = [
            {"name": f"{self.chance.choice(WORDS)}_{at}", "data_type": self.chance.choice(TYPES)}
            for at in range(self.chance.choice((2, 4, 8, 8, 40)))
        ]
        description = " ".join(self.chance.choices(WORDS, k=12))
        return {"name": name, "columns": columns, "description": description, "format": "parquet"}

    def change_tables(self) -> None:
        """Create, update, rename or drop; at its bound a client drops as many as it makes."""
        draw = self.chance.random()
        if draw < 0.35 or not self.mine:
            self._create()
            if len(self.mine) > self._most:
                self._drop()
            return
        name = self.chance.choice(list(self.mine))
        if draw < 0.7:
            self.ask("update", "PATCH", self._path(name), {"description": " ".join(self.chance.choices(WORDS, k=20))})
        elif draw < 0.8:
            fresh = self._new_name()
            if self.ask("rename", "PATCH", self._path(name), {"name": fresh})[0] == 200:
                self.mine[fresh] = self.mine.pop(name)
        elif draw < 0.9:
            self.ask("stale update", "PATCH", self._path(name), {"description": "x"}, good=(412,), If_Match='"1"')
        else:
            made = {**self._a_table("shared"), "name": "facts"}
            self.ask("conflict", "POST", "/catalogs/lake/schemas/raw/tables", made, good=(409,))

    def _create(self, **headers: str) -> str:
        name, schema = self._new_name(), self.chance.choice(SCHEMAS)
        path = f"/catalogs/lake/schemas/{schema}/tables"
        if self.ask("create", "POST", path, self._a_table(name), good=(201,), **headers)[0] == 201:
            self.mine[name] = schema
        return name

    def _drop(self) -> None:
        name = self.chance.choice(list(self.mine))
        self.ask("drop", "DELETE", self._path(name), good=(204,))
        del self.mine[name]

    def retry(self) -> None:
        """The same key twice, and with another body."""
        key, name, schema = new_key(self.chance), self._new_name(), self.chance.choice(SCHEMAS)
        path, body = f"/catalogs/lake/schemas/{schema}/tables", self._a_table(name)
        for _ in range(2):
            self.ask("keyed create", "POST", path, body, good=(200, 201), Idempotency_Key=key)
        self.ask("key reused", "POST", path, {**body, "description": "other"}, good=(409,), Idempotency_Key=key)
        self.mine[name] = schema
        self._drop()

    def look_up(self) -> None:
        """A table there is, one that has not changed, or one there is not."""
        name = self.chance.choice([*self.mine, "facts"])
        path = self._path(name) if name in self.mine else "/catalogs/lake/schemas/raw/tables/facts"
        draw = self.chance.random()
        if draw < 0.7:
            self.ask("look-up", "GET", f"{path}?include=columns" if draw < 0.3 else path)
        elif draw < 0.85:
            self.ask("missing", "GET", f"{path}_not", good=(404,))
        else:
            self.ask("catalog", "GET", self.chance.choice(("/catalogs/lake", "/catalogs", "/catalog/inventory")))

    def list_pages(self) -> None:
        """Three pages of a list."""
        cursor, path = "", f"/catalogs/lake/schemas/{self.chance.choice(SCHEMAS)}/tables"
        for _ in range(3):
            status, told = self.ask("list", "GET", f"{path}?limit={self.chance.choice((10, 50))}{cursor}")
            if status != 200 or not told.get("next_cursor"):
                return
            cursor = f"&cursor={told['next_cursor']}"

    def search(self) -> None:
        """A prefix, two words, columns."""
        word, other = self.chance.sample(WORDS, 2)
        asked = self.chance.choice((word[:3], word, f"{word}+{other}", f"{word}+{other[:2]}", f"{word}&type=column"))
        self.ask("search", "GET", f"/search?q={asked}&limit=20")

    # --- SQL ---

    def query(self) -> None:
        """Answered, refused, explained, and now and then one without an end."""
        kind = self.chance.choices(
            ("point", "join", "aggregate", "system", "refused", "explain", "endless"), (6, 3, 3, 1.5, 3, 1.5, 0.5)
        )[0]
        if kind == "endless":
            # In a small catalog it may have one.
            self.ask("sql endless", "POST", "/query?format=json", {"sql": ENDLESS}, good=(200, 400))
        elif kind == "explain":
            mode = self.chance.choice(("plan", "analyze"))
            sql = self.chance.choice(QUESTIONS["join"])
            self.ask("sql explain", "POST", f"/query?format=json&explain={mode}", {"sql": sql}, good=(200, 400))
        else:
            body = {"sql": self.chance.choice(QUESTIONS[kind])}
            # On a busy machine any query may run into the deadline, which is a second here.
            good = (400, 404) if kind == "refused" else (200, 400)
            self.ask(f"sql {kind}", "POST", "/query?format=json", body, good=good)
        if self.chance.random() < 0.2:
            self.ask("sql running", "GET", "/queries")

    def query_data(self) -> None:
        """A registered Parquet file."""
        sql = "SELECT id % 7 AS day, sum(amount) AS total FROM lake.raw.facts GROUP BY 1 ORDER BY 1"
        self.ask("sql data", "POST", "/query-data?format=json", {"sql": sql}, good=(200, 400))

    # --- lineage, containers, transactions, Delta ---

    def lineage(self) -> None:
        """Edges, known or new, and walks."""
        if self.chance.random() < 0.4:
            ends = [sorted(self.chance.sample(range(NODES), 2)) for _ in range(5)]
            edges = [{"source_id": f"n{start}", "target_id": f"n{min(end, start + 6)}"} for start, end in ends]
            edges = [edge for edge in edges if edge["source_id"] != edge["target_id"]]
            self.ask("lineage add", "POST", "/lineage/edges", {"edges": edges}, good=(201,))
        else:
            depth = self.chance.choice(("1", "3", "all"))
            self.ask("lineage walk", "GET", f"/lineage/n{self.chance.randrange(NODES)}?depth={depth}&limit=500")

    def containers(self) -> None:
        """A schema, a namespace or a catalog comes and goes."""
        name, what = self._new_name(), self.chance.choice(("schemas", "namespaces", "catalogs"))
        place = f"/catalogs/lake/{what}" if what == "schemas" else f"/{what}"
        self.ask(f"{what} create", "POST", place, {"name": name}, good=(201,))
        self.ask(f"{what} read", "GET", f"{place}/{name}")
        if what != "catalogs":
            self.ask(f"{what} list", "GET", f"{place}?limit=50")
        self.ask(f"{what} drop", "DELETE", f"{place}/{name}", good=(204,))

    def transaction(self) -> None:
        """Two tables in one transaction, now and then across chains, asked about, and dropped the same way."""
        names = [self._new_name(), self._new_name()]
        root = self.chance.random() < 0.3
        made = [
            {
                "registerTable": {
                    "catalog": "lake",
                    "schema": "mart",
                    "table": name,
                    "columns": [],
                    "description": "made",
                }
            }
            for name in names
        ]
        gone = [{"dropTable": {"catalog": "lake", "schema": "mart", "table": name}} for name in names]
        for operations in (made, gone):
            batch = {"batch": {"operations": operations}}
            body = {"mutations": [{"catalog": batch}]} if root else {"ddl": batch}
            kind = "RootTransaction" if root else "CatalogTransaction"
            route = "commitRootTransaction" if root else "applyCatalogDdl"
            key = new_key(self.chance)
            status, told = self.ask(kind, "POST", f"/transactions/{route}", body, Idempotency_Key=key)
            if status == 200:
                self.ask(f"get{kind}", "POST", f"/transactions/get{kind}", {"txId": told["receipt"]["txId"]})

    def delta(self) -> None:
        """A Delta table of three versions, written, conflicted with, read and dropped."""
        name = self._new_name()
        made = {"name": name, "format": "delta", "columns": [], "location": f"tables/{name}"}
        status, told = self.ask("create", "POST", "/catalogs/lake/schemas/mart/tables", made, good=(201,))
        if status != 201:
            return
        path = f"/delta/tables/{told['id']}"
        for version, text in enumerate((creation(add()), payload(add("b")), payload(add("c")))):
            _, staged = self.ask("delta stage", "POST", f"{path}/commits/stage", {"payload": text})
            for _ in range(1 + (version == 2)):
                body, key = {"read_version": version - 1, **(staged or {})}, new_key(self.chance)
                self.ask("delta commit", "POST", f"{path}/commits", body, good=(200, 409), Idempotency_Key=key)
        self.ask("delta head", "GET", path)
        self.ask("drop", "DELETE", f"/catalogs/lake/schemas/mart/tables/{name}", good=(204,))

    # --- the rest ---

    def signed_urls(self) -> None:
        """The files of the newest snapshot, a URL of one of them, and its bytes."""
        status, told = self.ask("files", "GET", f"/browser/files/{self.chance.choice(('catalog', 'search'))}")
        if status != 200 or not told["paths"]:
            return
        paths = self.chance.sample(told["paths"], 1)
        body = {"domain": "catalog", "paths": paths}
        # The next commit may have replaced it meanwhile, or it is another domain's.
        status, told = self.ask("sign", "POST", "/browser/urls", body, good=(200, 400, 403, 404))
        if status == 200:
            url = told["urls"][0]["url"]
            with contextlib.closing(socket.create_connection(("127.0.0.1", self.port), timeout=30)) as connection:
                target = "/" + url.split("/", 3)[3]
                connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                self.drained(connection, "signed read")

    def past(self) -> None:
        """What was done, by whom, and the outcome of nothing."""
        path, good = self.chance.choice(
            (
                ("/history?limit=20", (200,)),
                ("/catalogs/lake/history?limit=20", (200,)),
                ("/catalogs/lake/schemas/raw/tables/facts/history", (200,)),
                ("/audit?limit=20", (200,)),
                ("/outcomes/01KDVH8Q3N5P7R9S1T3V5W7X9Y", (404,)),
            )
        )
        self.ask("history", "GET", path, good=good)

    def probes(self) -> None:
        """What machines ask."""
        path = self.chance.choice(
            ("/health", "/ready", "/health/ready", "/metrics", "/version", "/openapi.json", "/docs")
        )
        self.raw("probe", f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())

    def bad_requests(self) -> None:
        """Not HTTP, not JSON, not valid, not allowed."""
        draw = self.chance.random()
        if draw < 0.3:
            self.raw("malformed", self.chance.choice(MALFORMED))
        elif draw < 0.6:
            body = self.chance.choice(BAD_BODIES)
            self.ask("invalid", "POST", "/catalogs/lake/schemas/raw/tables", body, good=(400, 422))
        elif draw < 0.8:
            bad = self.chance.choice(
                (token("eve", "not the secret " * 3), token("eve", lives_s=-600), "x.y.z", "x" * 3000)
            )
            self.ask("denied", "GET", "/catalogs", good=(401,), Authorization=f"Bearer {bad}")
        elif draw < 0.9:
            self.ask("no such route", "GET", f"/nowhere/{self.chance.random()}", good=(404,))
        else:
            self.ask("bad cursor", "GET", "/catalogs?cursor=nonsense", good=(400,))

    def hang_up(self) -> None:
        """Go before the answer: with half a request, a whole write, or a query without an end."""
        good = f"Authorization: Bearer {self.users[0]}\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        name = self._new_name()
        draw = self.chance.random()
        if draw < 0.4:
            data = f"POST /api/v1/catalogs HTTP/1.1\r\n{good}Content-Length: 500\r\n\r\n" + '{"name": '
        elif draw < 0.8:
            data = f"GET /api/v1/catalogs/lake/schemas/raw/tables?limit=500 HTTP/1.1\r\n{good}\r\n"
        else:
            body = json.dumps({"sql": f"{ENDLESS} -- {name}"})
            data = f"POST /api/v1/query HTTP/1.1\r\n{good}Content-Length: {len(body)}\r\n\r\n{body}"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(data.encode())
            threading.Event().wait(self.chance.random() * 0.1)  # a client goes at a moment nobody chose
        self.tally.answered("hung up", 0, 0)


def settle(port: int, folder_of_facts: Callable[[], None]) -> None:
    """What every client finds: `lake` with its schemas, and a table with data."""
    headers = {"Authorization": f"Bearer {token('owner')}"}
    with Caller(port) as caller:
        asked: list[tuple[str, Any]] = [("/catalogs", {"name": "lake"}), ("/catalogs", {"name": "default"})]
        asked += [("/catalogs/lake/schemas", {"name": schema}) for schema in SCHEMAS]
        columns = [{"name": "id", "data_type": "BIGINT"}, {"name": "amount", "data_type": "DOUBLE"}]
        facts = {"name": "facts", "format": "parquet", "location": "warehouse/facts.parquet", "columns": columns}
        asked.append(("/catalogs/lake/schemas/raw/tables", facts))
        folder_of_facts()
        for path, body in asked:
            status, told = caller.ask("POST", path, body, headers)
            assert status == 201, told
