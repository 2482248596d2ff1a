"""The runs of the demo: the files that are no months' and every month at once, then what is made from all of them.

A run is begun under a key that says which code it is of and what it makes: a second demo finds the runs of the first,
and one whose code was changed begins its own. A run that came to nothing is followed by another.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import msgspec

from arco.clients.following import OVER
from arco.clients.project import Client
from arco.core.clock import Clock
from arco.core.errors import ArcoError
from arco.core.instant import parse_ms
from arco.core.waiting import pause_s
from arco.demo.source import MONTHS

LABEL: Final = "demo"
PATIENCE_S: Final = 120.0
"""Twenty times what all runs take."""

_POLL_S: Final = 0.1
_ATTEMPTS_SQL: Final = (
    "SELECT task_key, attempt, category, error_message FROM system.orchestration.task_attempts "
    "WHERE run_id = '{run_id}' ORDER BY ended_at"
)


class PipelineFailed(ArcoError):
    """A run of the demo did not succeed, or not in time; `run_id` names it."""


class Part(msgspec.Struct, frozen=True):
    """What one run makes: assets, with all they are made from, of a month."""

    name: str
    assets: Sequence[str]
    month: str | None = None


FIRST: Final = (
    Part("reference", ("raw.airlines", "raw.airports", "raw.planes", "raw.weather")),
    *(Part(month, ("clean.flights",), month) for month in MONTHS),
)
THEN: Final = (Part("marts", ("marts.delays_by_carrier", "marts.daily_weather_delays", "marts.worst_days")),)


class PartRun(msgspec.Struct, frozen=True):
    """A run of a part; `earlier` when a demo before this one began it."""

    part: Part
    run_id: str
    earlier: bool


class Finished(msgspec.Struct, frozen=True):
    """All runs, what is to be said of them, and how many tasks they had."""

    runs: Sequence[PartRun]
    remarks: Sequence[str]
    tasks: int


class Pipeline:
    """Begins the demo's runs and follows them. `code` names the version of the project that they are of."""

    def __init__(self, client: Client, code: str, check: Callable[[], None], clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._code = code
        self._check = check
        self._said: dict[str, str] = {}

    def begin(self, parts: Sequence[Part]) -> list[PartRun]:
        """A run for each part; the first one last, so that what is told of it is seen from its beginning."""
        return [self._begun(part) for part in reversed(parts)][::-1]

    def followed(self, runs: Sequence[PartRun], tell: Callable[[int, int], None], remark: Callable[[str], None]) -> int:
        """The number of their tasks, once all have succeeded; `tell` hears how many of how many are done meanwhile.

        `remark` hears what a person would want to know. Raises `PipelineFailed`.
        """
        waiting = list(runs)
        seen: dict[str, dict[str, Any]] = {}
        until = time.perf_counter() + PATIENCE_S
        while waiting:
            seen |= {run["runId"]: run for run in islice(self._client.runs(), len(runs))}
            for one in waiting:
                # A page of the list tells of all; the whole of a run is asked for when there is more to be said of it.
                if one is waiting[0] or one.run_id not in seen or seen[one.run_id]["state"] in OVER:
                    seen[one.run_id] = self._whole(one, remark)
            waiting = [one for one in waiting if not _is_over(seen[one.run_id])]
            counts = [seen[one.run_id] for one in runs]
            tell(sum(run["tasksSucceeded"] for run in counts), sum(run["taskCount"] for run in counts))
            self._check()
            if waiting and time.perf_counter() > until:
                raise PipelineFailed(f"the runs were not over after {PATIENCE_S:.0f} s", run_id=waiting[0].run_id)
            pause_s(_POLL_S if waiting else 0)
        return sum(seen[one.run_id]["taskCount"] for one in runs)

    @property
    def remarks(self) -> Sequence[str]:
        """All that was remarked, once each, in order."""
        return list(self._said.values())

    def _whole(self, one: PartRun, remark: Callable[[str], None]) -> dict[str, Any]:
        """A run with its tasks, remarked on, and counted as in a list."""
        run = self._client.run(one.run_id)
        again = any(task["attempt"] > 1 for task in run["tasks"])
        attempts = self._client.sql(_ATTEMPTS_SQL.format(run_id=one.run_id)) if again else ()
        for about, text in remarks_of(run, one.part, self._clock.now_ms(), attempts):
            if about not in self._said and not one.earlier:
                remark(text)
            self._said.setdefault(about, text)
        counts = run["taskCounts"]
        return run | {"taskCount": counts["total"], "tasksSucceeded": counts["succeeded"]}

    def _begun(self, part: Part) -> PartRun:
        key = f"demo:{self._code}:{part.name}"
        while True:
            begun = self._client.trigger(
                *part.assets,
                partition=None if part.month is None else {"month": part.month},
                run_key=key,
                include_upstream=part.month is not None,
                labels={LABEL: part.name},
            )
            if begun["created"] or begun["state"] not in OVER or begun["state"] == "SUCCEEDED":
                return PartRun(part, begun["runId"], not begun["created"])
            key = f"{key.partition('+')[0]}+{begun['runId']}"


def remarks_of(
    run: Mapping[str, Any], part: Part, now_ms: int, attempts: Sequence[Mapping[str, Any]] = ()
) -> Iterator[tuple[str, str]]:
    """What a person would want to know of the tasks of a run: failures, retries, checks that warn; what each is about.

    What is said of one thing may differ from one look to the next, as the time until an attempt does. `attempts` are
    those that have failed: who looks seldom sees them there only.
    """
    for task in run["tasks"]:
        name = f"{task['taskKey']} of {part.month}" if part.month else task["taskKey"]
        attempt = f"attempt {task['attempt']} of {task['maxAttempts']}"
        if "retryNotBefore" in task:
            why = f"{(task.get('error') or {}).get('category', 'FAILED')}: {task.get('errorMessage', '')}"
            wait_s = max(0, parse_ms(task["retryNotBefore"]) - now_ms) / 1000
            told = f"{name}: {attempt} failed ({why}); the next one begins in {wait_s:.1f} s"
            yield f"{name} failed {task['attempt']}", told
        for failed in attempts:
            if failed["task_key"] == task["taskKey"] and failed["attempt"] < task["attempt"]:
                why = f"{failed.get('category')}: {failed.get('error_message')}"
                told = f"{name}: attempt {failed['attempt']} of {task['maxAttempts']} failed ({why})"
                yield f"{name} failed {failed['attempt']}", told
        if task["state"] == "SUCCEEDED" and task["attempt"] > 1:
            yield f"{name} succeeded", f"{name}: {attempt} succeeded"
        for check in (task.get("output") or {}).get("checks", ()):
            if not check["passed"]:
                told = f"{name}: check {check['name']} warns: {check.get('description', '')}"
                yield told, told


def _is_over(run: Mapping[str, Any]) -> bool:
    """Whether a run has succeeded. Raises `PipelineFailed` when it is over and has not."""
    if run["state"] not in OVER or run["state"] == "SUCCEEDED":
        return run["state"] in OVER
    failed = [task for task in run["tasks"] if task["state"] == "FAILED"]
    told = "; ".join(f"{task['taskKey']}: {task.get('errorMessage')}" for task in failed)
    raise PipelineFailed(f"run {run['runId']} is {run['state']}: {told}", run_id=run["runId"])
