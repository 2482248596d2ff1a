"""One attempt at one task: from its name to a report. This is what a worker's child process calls.

`run_task` never raises for anything that user code does, and nothing but a published result counts as success: not an
exit, not an interrupt, not a function that was never called. What it does not guard against is the death of the process
itself (a signal, `os._exit`, memory taken by the system): whoever started it must take silence for failure.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import msgspec

from arco.core.clock import Clock, SystemClock
from arco.core.errors import InvalidInput
from arco.sdk.assets import Asset
from arco.sdk.calling import called
from arco.sdk.checks import AssetCheck, CheckResult, result_of
from arco.sdk.context import Context, LogSink, ProgressSink, TaskRun, plain_of
from arco.sdk.errors import (
    ConfigurationFailed,
    DataQualityFailed,
    TaskCancelled,
    meant,
)
from arco.sdk.failing import Phase, error_of
from arco.sdk.io.declared import shaped
from arco.sdk.io.lineage import Signature, passed_through, signatures_of
from arco.sdk.io.port import InputFacts, IoManager, OutputFacts, Reading, Staged, Writing
from arco.sdk.io.values import Output, handed_over, made_of
from arco.sdk.loading import AssetSet, load_assets
from arco.sdk.measures import Meter
from arco.sdk.partitions import NO_PARTITION, Partition, partition_of
from arco.sdk.resources import Resources
from arco.sdk.signature import Parameter
from arco.sdk.traces import MESSAGE_CHARS_MAX, message_of, shortened

__all__ = ["AssetSet", "TaskReport", "TaskRun", "load_assets", "run_task"]


class TaskReport(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended, in the words of the completion callback (orchestration.md 7.4); all of it is plain JSON.

    `output`, on success: the contract's members, and `format partition schema metadata inputs checks columnLineage`.
    `error`: `category message stackTrace? retryable?`. `phase` is where an attempt that did not succeed ended.
    """

    outcome: Literal["SUCCEEDED", "FAILED", "CANCELLED"]
    output: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    metrics: dict[str, Any] = {}
    checks: list[dict[str, Any]] = []
    phase: str | None = None


class Attempted(NamedTuple):
    """A report, and what user code raised, which stays in the process."""

    report: TaskReport
    error: BaseException | None = None


def run_task(
    task: TaskRun,
    assets: AssetSet,
    *,
    io: IoManager,
    resources: Mapping[str, Any] | None = None,
    log: LogSink,
    cancelled: Callable[[], bool] = lambda: False,
    progress: ProgressSink = lambda percent, message: None,
    clock: Clock | None = None,
) -> TaskReport:
    """Run one attempt and say how it ended.

    `resources` are values by name that come before the project's own definitions. `cancelled` is asked between the
    steps of an attempt and by `context.cancelled`; once a result is published the attempt has succeeded.
    """
    found = attempted(
        task, assets, io=io, resources=resources, log=log, cancelled=cancelled, progress=progress, clock=clock
    )
    return found.report


def attempted(
    task: TaskRun,
    assets: AssetSet,
    *,
    io: IoManager,
    resources: Mapping[str, Any] | None = None,
    log: LogSink,
    cancelled: Callable[[], bool] = lambda: False,
    progress: ProgressSink = lambda percent, message: None,
    clock: Clock | None = None,
) -> Attempted:
    """`run_task` for who stays in the same process: with what user code raised."""
    attempt = _Attempt(task, assets, io, log=log, cancelled=cancelled, progress=progress, clock=clock or SystemClock())
    return attempt.run(resources or {})


class _Attempt:
    """The steps of one attempt, and how far it is."""

    def __init__(
        self,
        task: TaskRun,
        assets: AssetSet,
        io: IoManager,
        *,
        log: LogSink,
        cancelled: Callable[[], bool],
        progress: ProgressSink,
        clock: Clock,
    ) -> None:
        self.task, self.assets, self.io, self.clock = task, assets, io, clock
        self.cancelled = cancelled
        self.context = Context(task, log=log, cancelled=cancelled, progress=progress)
        self.phase: Phase = "prepare"
        self.inputs: list[InputFacts] = []
        self.columns: dict[Signature, str] = {}
        self.lineage: dict[str, list[str]] = {}
        self.checks: list[dict[str, Any]] = []
        self.meter = Meter(clock)

    def run(self, given: Mapping[str, Any]) -> Attempted:
        """All of it; whatever happens becomes a report."""
        try:
            asset = self._asset()
            self.context.partition = self._partition(asset)
            with Resources(self.assets.resources, given, self.context.log) as resources:
                arguments = {one.name: self._argument(one, resources) for one in asset.parameters}
                result = self._called(asset, arguments)
                facts = self._kept(asset, result, resources)
        except BaseException as error:  # noqa: BLE001  # exits and interrupts are failures too
            return Attempted(self._ended(error), error)
        finally:
            self._cleaned(self.io.release)
        return Attempted(self._report(facts))

    def _asset(self) -> Asset:
        if self.task.task_key not in self.assets:
            near = meant(self.task.task_key, list(self.assets.assets))
            # Another worker may have newer code, and so may this one in a moment.
            raise ConfigurationFailed(f"this worker's code has no asset {self.task.task_key}{near}", retryable=True)
        return self.assets[self.task.task_key]

    def _partition(self, asset: Asset) -> Partition:
        if not asset.partitions:
            return NO_PARTITION
        if not self.task.partition_key:
            raise ConfigurationFailed(f"{asset.key} is partitioned, and the task names no partition")
        try:
            return partition_of(asset.partitions, self.task.partition_key)
        except InvalidInput as error:
            raise ConfigurationFailed(f"{asset.key}: {error.message}") from None

    def _argument(self, parameter: Parameter, resources: Resources) -> Any:
        match parameter.role:
            case "context":
                return self.context
            case "partition":
                return self.context.partition
            case "dimension":
                return self.context.partition[parameter.source]
            case "resource":
                return resources.value(parameter.source)
            case "input":
                return self._input(parameter)

    def _input(self, parameter: Parameter) -> Any:
        self._enter("load")
        if parameter.reads is None or parameter.source not in self.assets:
            raise ConfigurationFailed(f"this worker's code has no asset {parameter.source}", retryable=True)
        loaded = self.io.read(
            Reading(
                asset=self.assets[parameter.source],
                parameter=parameter.name,
                reads=parameter.reads,
                form=parameter.form,
                partition=self.context.partition,
            )
        )
        self.inputs.append(loaded.facts)
        self.columns |= signatures_of(parameter.source, loaded.value)
        return loaded.value

    def _called(self, asset: Asset, arguments: Mapping[str, Any]) -> Any:
        self._enter("run")
        value = called(asset.function, arguments)
        found = value if isinstance(value, Output) else Output(value)
        self.context.report(**found.metadata)
        made = made_of(found.value)
        if made is not None and asset.schema is not None:
            made = shaped(made, asset.schema, frozenset(one.column for one in asset.partitions))
        said = {column: sorted(sources) for column, sources in found.column_lineage.items()}
        self.lineage = passed_through(self.columns, made) | said
        return made

    def _kept(self, asset: Asset, result: Any, resources: Resources) -> OutputFacts:
        """The result checked and published; an asset that makes no table has nothing to check."""
        if result is None:
            self._enter("publish")
            return OutputFacts(partition=self.context.partition.key or None)
        self._enter("stage")
        writing = Writing(asset=asset, partition=self.context.partition, task=self.task)
        staged = self.io.stage(writing, result)
        try:
            self._enter("check")
            self._checked(asset, staged, resources)
            self._enter("publish")
            return self.io.publish(writing, staged)
        finally:
            self._cleaned(lambda: self.io.discard(staged))

    def _cleaned(self, clean: Callable[[], None]) -> None:
        try:
            clean()
        except Exception as error:  # noqa: BLE001  # what is published stays published, whatever is left of the rest
            self.context.log.warning("files of the task could not be deleted", reason=message_of(error))

    def _checked(self, asset: Asset, staged: Staged, resources: Resources) -> None:
        now = datetime.fromtimestamp(self.clock.now_ms() / 1000, UTC)
        for one in asset.checks:
            self._found(one.name, one.check_type, one.examine(staged, now), blocking=one.blocking)
        for check in self.assets.checks_of(asset.key):
            self._found(check.name, "custom", self._examined(check, staged, resources), blocking=check.blocking)
        refused = [one for one in self.checks if one["blocking"] and not one["passed"]]
        if refused:
            words = "; ".join(f"{one['name']}: {one.get('description') or 'it did not pass'}" for one in refused)
            raise DataQualityFailed(f"{asset.key} is not published: {words}", retryable=False)

    def _examined(self, check: AssetCheck, staged: Staged, resources: Resources) -> CheckResult:
        arguments = {one.name: self._argument(one, resources) for one in check.parameters}
        if check.table is not None:
            arguments[check.table] = handed_over(staged.table(), check.form)
        try:
            return result_of(called(check.function, arguments))
        except AssertionError as error:
            return CheckResult(passed=False, description=str(error) or "an assertion failed")

    def _found(self, name: str, kind: str, result: CheckResult, *, blocking: bool) -> None:
        severity = "error" if blocking else "warning"
        found = {"name": name, "checkType": kind, "blocking": blocking, "severity": severity, "passed": result.passed}
        if result.description:
            found["description"] = shortened(result.description, MESSAGE_CHARS_MAX)
        if result.metadata:
            found["metadata"] = plain_of(f"check {name}", result.metadata)
        self.checks.append(found)
        if not result.passed:
            say = self.context.log.error if blocking else self.context.log.warning
            say(f"check {name} failed", description=result.description)

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        if self.cancelled():
            raise TaskCancelled

    def _report(self, facts: OutputFacts) -> TaskReport:
        output: dict[str, Any] = {"materializationId": self.task.materialization_id, **msgspec.to_builtins(facts)}
        output["outputVisibilityState"] = "VISIBLE"
        more = {
            "inputs": msgspec.to_builtins(self.inputs),
            "checks": self.checks,
            "metadata": self.context.metadata,
            "columnLineage": self.lineage,
        }
        output.update((name, value) for name, value in more.items() if value)
        return TaskReport(
            outcome="SUCCEEDED",
            output=output,
            metrics=self.meter.read(self._bytes_read(), facts.byte_size or 0),
            checks=self.checks,
        )

    def _ended(self, error: BaseException) -> TaskReport:
        metrics = self.meter.read(self._bytes_read(), 0)
        if self.cancelled():
            # Whatever the function raised when it was told to stop: somebody wanted it to end, and it has.
            told: dict[str, Any] = {"category": "CANCELLED", "message": message_of(error), "retryable": False}
            outcome: Literal["FAILED", "CANCELLED"] = "CANCELLED"
        else:
            told, outcome = error_of(error, self.phase), "FAILED"
        return TaskReport(outcome=outcome, error=told, metrics=metrics, checks=self.checks, phase=self.phase)

    def _bytes_read(self) -> int:
        return sum(one.byte_size or 0 for one in self.inputs)
