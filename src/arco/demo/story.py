"""The demo from its project to its last answer, by the way of every project: deploy, run, ask.

Every step is idempotent: a second demo finds files, runs and tables in place.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol

import msgspec
import pyarrow as pa
from pyarrow import ipc

from arco.clients.api import ApiClient, Target
from arco.clients.project import Client
from arco.core.clock import SystemClock
from arco.core.waiting import pause_s
from arco.demo import source
from arco.demo.examples import CODE, DATA
from arco.demo.pipeline import FIRST, THEN, PartRun, Pipeline
from arco.demo.questions import LINEAGE, LINEAGE_PAIRS, QUESTIONS, Question
from arco.demo.site import TENANT, WORKSPACE, Running
from arco.sdk.loading import AssetSet, load_assets
from arco.sdk.manifest import build_manifest

_LINEAGE_S_MAX: Final = 15.0
"""Longer than a round of the sweeper, which brings lineage when a nudge was lost."""

_LINEAGE_POLL_S: Final = 0.05
_CODE_CHARS: Final = 8


class Stage(Protocol):
    """Where the progress of the demo shows."""

    def step(self, label: str, *, keep: bool = False) -> AbstractContextManager[Callable[[str], None]]:
        """A piece of work; the function it gives changes the label."""
        ...

    def note(self, text: str) -> None:
        """A line about the work."""
        ...


class Answered(msgspec.Struct, frozen=True):
    """A question, its rows and how long they took in seconds."""

    question: Question
    rows: pa.Table
    seconds: float


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """What the demo did. Seconds count from its start."""

    assets: Sequence[str]
    runs: Sequence[PartRun]
    tasks: int
    remarks: Sequence[str]
    answers: Sequence[Answered]
    ready_s: float
    pipeline_s: float
    total_s: float


class Teller:
    """One telling of the demo: the project in `project`, on the children that run it."""

    def __init__(self, project: Path, children: Running, stage: Stage, *, started: float) -> None:
        self._project = project
        self._children = children
        self._stage = stage
        self._started = started
        self._client = Client(children.server.url, tenant=TENANT, workspace=WORKSPACE)
        self._api = ApiClient(Target(url=children.server.url))

    def tell(self) -> Story:
        """Run all steps. Raises `DemoDataMissing`, `ChildFailed`, `PipelineFailed`, and what clients raise."""
        try:
            return self._told()
        finally:
            self._client.close()
            self._api.close()

    def _told(self) -> Story:
        self._lay_out()
        assets = load_assets([str(self._project / CODE)])
        with self._stage.step("starting server and worker", keep=True) as relabel:
            self._children.server.wait_ready()
            self._deploy(assets)
            self._children.worker.wait_ready()
            relabel("server and worker are ready, the project is deployed")
        ready_s = self._elapsed()
        code = sha256((self._project / CODE).read_bytes()).hexdigest()[:_CODE_CHARS]
        pipeline = Pipeline(self._client, code, self._children.check, SystemClock())
        runs, tasks = self._run(pipeline)
        pipeline_s = self._elapsed()
        answers = [self._ask(question) for question in QUESTIONS]
        return Story(
            assets=list(assets.assets),
            runs=runs,
            tasks=tasks,
            remarks=pipeline.remarks,
            answers=answers,
            ready_s=ready_s,
            pipeline_s=pipeline_s,
            total_s=self._elapsed(),
        )

    def _lay_out(self) -> None:
        with self._stage.step("looking for the files of the flights", keep=True) as relabel:
            written = source.lay_out(self._project / DATA)
            verb = "wrote" if written else "found"
            relabel(f"{verb} the project: {CODE}, and {len(source.FILES)} files with 336,776 flights")

    def _deploy(self, assets: AssetSet) -> None:
        built = build_manifest(assets, self._project, tenant_id=TENANT, workspace_id=WORKSPACE)
        self._client.deploy(built.manifest, built.fingerprint)

    def _run(self, pipeline: Pipeline) -> tuple[list[PartRun], int]:
        """Every part to its end: first what depends on nothing, then what is made from it."""
        runs: list[PartRun] = []
        tasks = 0
        with self._stage.step("running the pipeline", keep=True) as relabel:
            for parts in (FIRST, THEN):
                begun = pipeline.begin(parts)
                runs += begun

                def tell(done: int, of: int, before: int = tasks) -> None:
                    relabel(f"running the pipeline: {before + done} of {before + of} tasks")

                tasks += pipeline.followed(begun, tell, lambda text: self._stage.note(f"  {text}"))
            found = all(run.earlier for run in runs)
            relabel(f"{'found' if found else 'ran'} {tasks} tasks in {len(runs)} runs")
        return runs, tasks

    def _await_lineage(self) -> None:
        """Lineage follows its task by a moment; the answers below are about all of it."""
        until = time.perf_counter() + _LINEAGE_S_MAX
        while self._rows_of(LINEAGE).num_rows < LINEAGE_PAIRS and time.perf_counter() < until:
            pause_s(_LINEAGE_POLL_S)

    def _ask(self, question: Question) -> Answered:
        with self._stage.step(question.title):
            if question is LINEAGE:
                self._await_lineage()
            began = time.perf_counter()
            rows = self._rows_of(question)
        return Answered(question, rows, time.perf_counter() - began)

    def _rows_of(self, question: Question) -> pa.Table:
        arrow = "application/vnd.apache.arrow.stream"
        answer = self._api.ask(question.path, {"sql": question.sql}, query={"format": "arrow"}, accept=arrow)
        return ipc.open_stream(answer.body).read_all()

    def _elapsed(self) -> float:
        return time.perf_counter() - self._started
