"""Assets run in memory, without a server: what the tests of a project call.

    from arco.testing import materialize

    result = materialize([orders, daily_sales], partition={"date": "2025-01-15"})
    assert result.table("default.daily_sales").num_rows == 3

Everything that happens to a task on a worker happens here too - partitions, mappings, checks, categories of errors -
by the same code; only the tables stay in memory.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from arco.core.clock import Clock, SystemClock
from arco.core.errors import ArcoError, InvalidInput
from arco.sdk.assets import Asset
from arco.sdk.checks import AssetCheck
from arco.sdk.context import Context, LogSink, TaskRun
from arco.sdk.errors import DefinitionError, meant
from arco.sdk.execute import TaskReport, attempted
from arco.sdk.io.memory import MemoryIo
from arco.sdk.io.values import made_of
from arco.sdk.loading import AssetSet
from arco.sdk.partitions import NO_PARTITION, Partition, partition_of, read_key
from arco.sdk.resources import ResourceDefinition
from arco.sdk.settings import key_of

__all__ = ["LogLine", "RunFailed", "RunResult", "a_context", "materialize"]

LogLine = tuple[str, str, dict[str, Any]]
"""Level, message and fields."""


class RunFailed(ArcoError):
    """A task did not succeed; `report` says how, and `__cause__` is what its function raised."""

    def __init__(self, key: str, report: TaskReport) -> None:
        error = report.error or {}
        super().__init__(f"{key} {report.outcome.lower()} ({error.get('category')}): {error.get('message')}")
        self.key = key
        self.report = report


class RunResult:
    """What became of each asset, by key, in the order in which they ran."""

    def __init__(self, io: MemoryIo) -> None:
        self.reports: dict[str, TaskReport] = {}
        self.skipped: list[str] = []
        self.logs: dict[str, list[LogLine]] = {}
        self._io = io

    @property
    def success(self) -> bool:
        """Whether every asset was made."""
        return not self.skipped and all(one.outcome == "SUCCEEDED" for one in self.reports.values())

    def table(self, asset: Any) -> Any:
        """The table of an asset after the run, all its partitions in one, as `pyarrow.Table`. Raises `KeyError`."""
        return pa.concat_tables(self._io.tables[key_of(asset)].values(), promote_options="permissive")

    def output(self, asset: Any) -> dict[str, Any]:
        """What was reported of an asset that was made: rows, schema, inputs, checks, metadata. Raises `KeyError`."""
        return self.reports[key_of(asset)].output or {}

    def checks(self, asset: Any) -> dict[str, bool]:
        """Whether each check of an asset passed, by name. Raises `KeyError`."""
        return {one["name"]: one["passed"] for one in self.reports[key_of(asset)].checks}


def materialize(
    assets: "AssetSet | Sequence[Asset | AssetCheck | ResourceDefinition]",
    *,
    partition: "str | Mapping[str, Any] | Partition | None" = None,
    inputs: Mapping[Any, Any] | None = None,
    resources: Mapping[str, Any] | None = None,
    raise_on_failure: bool = True,
    clock: Clock | None = None,
) -> RunResult:
    """Run assets in the order of their dependencies, in memory.

    `partition` gives each asset the dimensions it knows. `inputs` are tables by asset or key, for upstream assets that
    do not run; `resources` are values by name. Raises `RunFailed` at the first task that does not succeed, or with
    `raise_on_failure=False` skips what depends on it and goes on. Raises `DefinitionError` when something does not fit.
    """
    given = {key_of(name): value for name, value in (inputs or {}).items()}
    known = assets if isinstance(assets, AssetSet) else _set_of(assets, inputs or {})
    if unknown := sorted(key for key in given if key not in known):
        raise DefinitionError(f"inputs: {unknown[0]} is no asset here{meant(unknown[0], list(known.assets))}")
    io = MemoryIo()
    for key, value in given.items():
        io.put(key, made_of(value))
    result = RunResult(io)
    for asset in known.in_order():
        if asset.key in given:
            continue
        if any(_missing(result, upstream) for upstream in asset.upstreams):
            result.skipped.append(asset.key)
            continue
        lines: list[LogLine] = result.logs.setdefault(asset.key, [])
        task = _task(asset, partition)
        done = attempted(task, known, io=io, resources=resources, log=_into(lines), clock=clock or SystemClock())
        result.reports[asset.key] = done.report
        if isinstance(done.error, KeyboardInterrupt):
            raise done.error
        if done.error is not None and raise_on_failure:
            raise RunFailed(asset.key, done.report) from done.error
    return result


def a_context(
    *, partition: Partition = NO_PARTITION, log: LogSink | None = None, cancelled: bool = False, **fields: Any
) -> Context:
    """A context to call an asset's function with, by hand; `fields` are those of `TaskRun`."""
    task = TaskRun(
        **{"task_key": "default.test", "run_id": "run_in_memory", "attempt": 1, "attempt_id": _ATTEMPT, **fields}
    )
    return Context(task, partition, log=log or _into([]), cancelled=lambda: cancelled)


_ATTEMPT: Final = "att_000000000000000000000001"


def _task(asset: Asset, partition: "str | Mapping[str, Any] | Partition | None") -> TaskRun:
    return TaskRun(
        task_key=asset.key,
        run_id="run_in_memory",
        attempt=1,
        attempt_id=_ATTEMPT,
        partition_key=_part(asset, partition) or None,
    )


def _part(asset: Asset, partition: "str | Mapping[str, Any] | Partition | None") -> str:
    """The key of the part of a partition that an asset has dimensions for."""
    if not asset.partitions:
        return ""
    whole = read_key(partition) if isinstance(partition, str) else dict(partition or {})
    names = {one.name for one in asset.partitions}
    try:
        return partition_of(asset.partitions, {name: one for name, one in whole.items() if name in names}).key
    except InvalidInput as error:
        raise DefinitionError(f"partition: {asset.key}: {error.message}") from None


def _set_of(given: Sequence[Any], inputs: Mapping[Any, Any]) -> AssetSet:
    """The assets to run, and those whose tables are handed over."""
    if strange := [one for one in given if not isinstance(one, Asset | AssetCheck | ResourceDefinition)]:
        raise DefinitionError(f"materialize: {strange[0]!r} is no asset, check or resource")
    assets = [one for one in given if isinstance(one, Asset)]
    keys = {one.key for one in assets}
    others = [name for name in inputs if key_of(name) not in keys]
    assets += [name if isinstance(name, Asset) else _handed_over(key_of(name)) for name in others]
    checks = [one for one in given if isinstance(one, AssetCheck)]
    return AssetSet(assets, checks, [one for one in given if isinstance(one, ResourceDefinition)])


def _handed_over(key: str) -> Asset:
    return Asset(key=key, function=_handed_over, file=__file__, line=0)


def _missing(result: RunResult, key: str) -> bool:
    report = result.reports.get(key)
    return key in result.skipped or (report is not None and report.outcome != "SUCCEEDED")


def _into(lines: list[LogLine]) -> LogSink:
    return lambda level, message, fields: lines.append((level, message, dict(fields)))
