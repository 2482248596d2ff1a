"""The demo from its first file to its last answer.

Writes the files while the server starts, registers them, asks; derives further tables through the server's own SQL,
records their lineage, asks again. Every step is idempotent, so a second demo finds everything in place.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import msgspec
import pyarrow as pa
from pyarrow import ipc

from arco.clients.api import ApiClient, Target
from arco.demo import source
from arco.demo.questions import QUESTIONS, Question
from arco.demo.registration import prepare, record_lineage, register
from arco.demo.tables import MARTS, RAW, DemoTable
from arco.demo.warehouse import Warehouse


class Stage(Protocol):
    """Where the progress of the demo shows."""

    def step(self, label: str, *, keep: bool = False) -> AbstractContextManager[Callable[[str], None]]:
        """A piece of work; the function it gives changes the label."""
        ...


class Answered(msgspec.Struct, frozen=True):
    """A question, its rows and how long they took in seconds."""

    question: Question
    rows: pa.Table
    seconds: float


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """What the demo did. Seconds count from its start."""

    written: tuple[str, ...]
    tables: int
    edges: int
    answers: tuple[Answered, ...]
    server_ready_s: float
    registered_s: float
    first_answer_s: float
    total_s: float


class Teller:
    """One run of the demo on the workspace directory `workspace`, against the server at `url`."""

    def __init__(self, workspace: Path, url: str, stage: Stage) -> None:
        self._warehouse = Warehouse(workspace)
        self._client = ApiClient(Target(url=url))
        self._stage = stage
        self._started = time.perf_counter()
        self._ids: dict[str, str] = {}
        self._written: list[str] = []

    def tell(self, wait_ready: Callable[[], None]) -> Story:
        """Run all steps. Raises `DemoDataMissing`, `ApiProblem`, `ServerUnreachable`, and what `wait_ready` does."""
        try:
            self._write_raw()
            with self._stage.step("server ready", keep=True):
                wait_ready()
            ready_s = self._elapsed()
            self._register_raw()
            registered_s = self._elapsed()
            answers = [self._ask(QUESTIONS[0])]
            first_answer_s = self._elapsed()
            edges = self._make_marts()
            answers += [self._ask(question) for question in QUESTIONS[1:]]
        finally:
            self._client.close()
        return Story(
            written=tuple(self._written),
            tables=len(self._ids),
            edges=edges,
            answers=tuple(answers),
            server_ready_s=ready_s,
            registered_s=registered_s,
            first_answer_s=first_answer_s,
            total_s=self._elapsed(),
        )

    def _write_raw(self) -> None:
        rows = sum(table.rows for table in RAW)
        with self._stage.step("looking for the files of nyc.raw", keep=True) as relabel:
            missing = [table for table in RAW if not self._warehouse.holds(table)]
            for table in missing:
                relabel(f"writing {table.label} ({table.format}, {table.rows:,} rows)")
                self._warehouse.write(table, source.read(table.name, source.data_directory()))
                self._written.append(table.label)
            verb = "wrote" if missing else "found"
            relabel(f"{verb} {len(missing or RAW)} tables as Parquet and Delta files ({rows:,} rows in nyc.raw)")

    def _register_raw(self) -> None:
        with self._stage.step(f"registered {len(RAW)} tables with the columns of their files", keep=True):
            prepare(self._client)
            for table in RAW:
                self._register(table)

    def _make_marts(self) -> int:
        with self._stage.step("looking for the files of nyc.marts", keep=True) as relabel:
            missing = [table for table in MARTS if not self._warehouse.holds(table)]
            for table in MARTS:
                if table in missing and table.sql is not None:
                    relabel(f"making {table.label} ({table.format}) in SQL")
                    self._warehouse.write(table, self._rows_of("/query-data", table.sql))
                    self._written.append(table.label)
                self._register(table)
            edges = record_lineage(self._client, self._ids)
            verb = "made" if missing else "found"
            relabel(f"{verb} {len(missing or MARTS)} tables of nyc.marts, and recorded what they were made from")
            return edges

    def _register(self, table: DemoTable) -> None:
        self._ids[table.name] = register(self._client, table, self._warehouse.schema_of(table))

    def _ask(self, question: Question) -> Answered:
        began = time.perf_counter()
        with self._stage.step(question.title):
            rows = self._rows_of(question.path, question.sql)
        return Answered(question, rows, time.perf_counter() - began)

    def _rows_of(self, path: str, sql: str) -> pa.Table:
        arrow = "application/vnd.apache.arrow.stream"
        answer = self._client.ask(path, {"sql": sql}, query={"format": "arrow"}, accept=arrow)
        return ipc.open_stream(answer.body).read_all()

    def _elapsed(self) -> float:
        return time.perf_counter() - self._started
