"""The plan of a run: one task for each selected asset, with everything its definition asks for (orchestration.md 9.3).

Deterministic: the same definitions and the same request give the same plan, byte for byte, and the same fingerprint.
Beyond the contract an asset that has fewer dimensions than the roots gets the part of the run's partition that it
knows, or none, and execution settings are honoured. Pure.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from arco.core.canonical_json import sha256_hex
from arco.core.errors import InvalidInput
from arco.core.partitions import Value, parse_partition_key, partition_key
from arco.domains.orchestration.events import TaskDef
from arco.domains.orchestration.plan.graph import Graph, Reason
from arco.domains.orchestration.plan.manifest import Asset

ATTEMPTS: Final = 3
HEARTBEAT_TIMEOUT_S: Final = 300
COMPILER: Final = "arco_plan_v1"

_REASON: Final = ("planned_as", "planned_for")
"""The last fields of a task: a plan is named by what it does, whatever led to it."""


class Plan(msgspec.Struct, frozen=True):
    """The tasks of a run in the order of their keys, why each is there, and what names the whole."""

    tasks: list[TaskDef]
    reasons: Mapping[str, Reason]
    fingerprint: str


def compiled(graph: Graph, selection: Mapping[str, Reason], key: str | None) -> Plan:
    """The plan of a selection for a partition. Raises `InvalidInput` when a partition cannot be carried over."""
    values = parse_partition_key(key or "")
    known: dict[tuple[str, ...], str | None] = {}
    tasks = [_task(graph, name, selection, values, known=known) for name in sorted(selection)]
    # As tuples: whether a field that has its default is written at all is the encoder's business.
    body = (COMPILER, [msgspec.structs.astuple(task)[: -len(_REASON)] for task in tasks])
    return Plan([_reasoned(task, selection) for task in tasks], selection, sha256_hex(msgspec.json.encode(body)))


def _task(
    graph: Graph,
    name: str,
    selection: Mapping[str, Reason],
    values: Mapping[str, Value],
    *,
    known: dict[tuple[str, ...], str | None],
) -> TaskDef:
    asset = graph.assets[name]
    settings = asset.execution
    reads = graph.reads[name]
    return TaskDef(
        key=name,
        asset_key=name,
        depends_on=sorted(upstream for upstream in reads if upstream in selection),
        partition_key=_partition(name, asset, values, known),
        max_attempts=ATTEMPTS if settings.max_retries is None else settings.max_retries + 1,
        heartbeat_timeout_sec=settings.heartbeat_timeout_seconds or HEARTBEAT_TIMEOUT_S,
        requires_visible_output=True,
        worker_queue=settings.queue,
        priority=settings.priority,
        timeout_sec=settings.timeout_seconds,
        retry_delay_sec=settings.retry_delay_seconds,
        concurrency_key=settings.concurrency_key,
    )


def _reasoned(task: TaskDef, selection: Mapping[str, Reason]) -> TaskDef:
    reason = selection[task.key]
    return msgspec.structs.replace(task, planned_as=reason.why, planned_for=reason.of or None)


def _partition(
    name: str, asset: Asset, values: Mapping[str, Value], known: dict[tuple[str, ...], str | None]
) -> str | None:
    """The part of the run's partition that an asset has dimensions for."""
    partitioning = asset.partitioning
    if not partitioning.is_partitioned:
        return None
    names = tuple(dimension.name for dimension in partitioning.dimensions)
    if names not in known:
        if missing := [one for one in names if one not in values]:
            what = f"{name} is partitioned by {missing[0]}, which the run says nothing about"
            raise InvalidInput(f"{what}: trigger it in a run of its own")
        known[names] = partition_key({one: values[one] for one in names}) or None
    return known[names]
