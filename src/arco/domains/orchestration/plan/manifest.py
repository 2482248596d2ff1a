"""Deployed definitions: assets, how they depend on each other, and schedules (orchestration.md 9.1). Pure.

`problems_of` names everything that is wrong with one at once. Fields nobody gave are absent, not defaulted: what a plan
does without a setting is the plan's business, and may change without a deployment.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final, Literal

import msgspec

from arco.core.asset_keys import asset_key
from arco.core.errors import InvalidInput

Mapping = Literal["identity", "all", "latest", "window"]

ATTEMPTS_MAX: Final = 100
TIMEOUT_MAX_S: Final = 86_400 - 300
"""A task's token lives a day at most, and 300 s longer than the task may take (orchestration.md 7.2)."""

HEARTBEAT_MIN_S: Final = 30
"""Below it a worker refuses the contract (orchestration.md 7.6)."""

PRIORITY_MAX: Final = 1_000
_CRON_FIELDS: Final = (5, 6)


class AssetKey(msgspec.Struct, frozen=True):
    """Namespace and name."""

    namespace: str
    name: str

    @property
    def canonical(self) -> str:
        """`namespace.name`. Raises `InvalidInput` when it is none."""
        return asset_key(f"{self.namespace}/{self.name}")


class _Camel(msgspec.Struct, frozen=True, rename="camel", kw_only=True, omit_defaults=True):
    pass


class Dimension(_Camel, frozen=True):
    """A dimension of a partitioning: `time` with a granularity, `static` with its values, or `tenant`."""

    name: str
    kind: Literal["time", "static", "tenant"]
    granularity: Literal["year", "month", "day", "hour"] | None = None
    values: list[str] = []


class Partitioning(_Camel, frozen=True):
    """How an asset is cut into parts that are made one at a time."""

    is_partitioned: bool = False
    dimensions: list[Dimension] = []


class Dependency(_Camel, frozen=True):
    """An asset another one reads: as which parameter, and which of its partitions."""

    upstream_key: AssetKey
    parameter_name: str = ""
    mapping: Mapping = "identity"
    window: int | None = None


class Execution(_Camel, frozen=True):
    """How a task is run. `concurrency_key` limits how many tasks that name it run at once."""

    max_retries: int | None = None
    retry_delay_seconds: int | None = None
    timeout_seconds: int | None = None
    heartbeat_timeout_seconds: int | None = None
    queue: str | None = None
    priority: int | None = None
    concurrency_key: str | None = None


class Asset(_Camel, frozen=True):
    """One asset. `code`, `checks`, `resources` and `io` are for workers: kept as they came."""

    key: AssetKey
    id: str
    description: str = ""
    owners: list[str] = []
    tags: dict[str, str] = {}
    partitioning: Partitioning = Partitioning()
    dependencies: list[Dependency] = []
    code: dict[str, Any] = {}
    checks: list[Any] = []
    execution: Execution = Execution()
    resources: dict[str, Any] = {}
    io: dict[str, Any] = {}
    transform_fingerprint: str = ""


class Schedule(_Camel, frozen=True):
    """When which assets are made."""

    id: str
    cron: str
    assets: list[str]
    timezone: str = "UTC"


class Manifest(_Camel, frozen=True):
    """What was deployed together."""

    manifest_version: str
    code_version_id: str
    assets: list[Asset]
    git: dict[str, Any] = {}
    schedules: list[Schedule] = []
    deployed_by: str | None = None
    metadata: dict[str, Any] = {}


def problems_of(manifest: Manifest, zones: Collection[str]) -> list[str]:
    """Everything that is wrong with a manifest, each with its place and what to do; `zones` are all time zones."""
    found = [f"{name} is empty" for name in ("manifestVersion", "codeVersionId") if not _field(manifest, name)]
    if not manifest.assets:
        found.append("assets is empty: deploy at least one")
    keys: dict[str, int] = {}
    for index, asset in enumerate(manifest.assets):
        where = f"assets[{index}]"
        try:
            key = asset.key.canonical
        except InvalidInput as error:
            found.append(f"{where}.key: {error.message}")
            continue
        if key in keys:
            found.append(f"{where}: {key} is assets[{keys[key]}] already")
        keys.setdefault(key, index)
        found.extend(f"{where} ({key}).{problem}" for problem in _of_asset(asset))
    found.extend(_ids(manifest.assets))
    found.extend(_unknown_upstreams(manifest, keys))
    found.extend(_of_schedules(manifest, keys, zones))
    return found


def _field(manifest: Manifest, name: str) -> str:
    return {"manifestVersion": manifest.manifest_version, "codeVersionId": manifest.code_version_id}[name]


def _ids(assets: Sequence[Asset]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for index, asset in enumerate(assets):
        if not asset.id:
            yield f"assets[{index}].id is empty"
        elif asset.id in seen:
            yield f"assets[{index}].id: assets[{seen[asset.id]}] has {asset.id} already"
        seen.setdefault(asset.id, index)


def _of_asset(asset: Asset) -> Iterator[str]:
    yield from _of_partitioning(asset.partitioning)
    for index, dependency in enumerate(asset.dependencies):
        if dependency.mapping == "window" and (dependency.window is None or dependency.window < 1):
            yield f"dependencies[{index}].window: say how many partitions, at least 1"
    settings = asset.execution
    for name, value, least, most in (
        ("maxRetries", settings.max_retries, 0, ATTEMPTS_MAX - 1),
        ("retryDelaySeconds", settings.retry_delay_seconds, 0, 86_400),
        ("timeoutSeconds", settings.timeout_seconds, 1, TIMEOUT_MAX_S),
        ("heartbeatTimeoutSeconds", settings.heartbeat_timeout_seconds, HEARTBEAT_MIN_S, 86_400),
        ("priority", settings.priority, -PRIORITY_MAX, PRIORITY_MAX),
    ):
        if value is not None and not least <= value <= most:
            yield f"execution.{name} must be {least} to {most}"
    for name, text in (("queue", settings.queue), ("concurrencyKey", settings.concurrency_key)):
        if text is not None and not 0 < len(text) <= 128:
            yield f"execution.{name} must have 1 to 128 characters"
    if settings.concurrency_key == "*":
        yield "execution.concurrencyKey: * stands for the whole workspace; choose another"


def _of_partitioning(partitioning: Partitioning) -> Iterator[str]:
    if partitioning.is_partitioned and not partitioning.dimensions:
        yield "partitioning.dimensions is empty, and the asset is partitioned"
    names: set[str] = set()
    for index, dimension in enumerate(partitioning.dimensions):
        where = f"partitioning.dimensions[{index}]"
        if dimension.name in names:
            yield f"{where}: {dimension.name} is there twice"
        names.add(dimension.name)
        if dimension.kind == "time" and dimension.granularity is None:
            yield f"{where}.granularity: say year, month, day or hour"
        if dimension.kind == "static" and not dimension.values:
            yield f"{where}.values is empty"


def _unknown_upstreams(manifest: Manifest, keys: dict[str, int]) -> Iterator[str]:
    for index, asset in enumerate(manifest.assets):
        for place, dependency in enumerate(asset.dependencies):
            where = f"assets[{index}].dependencies[{place}]"
            try:
                upstream = dependency.upstream_key.canonical
            except InvalidInput as error:
                yield f"{where}.upstreamKey: {error.message}"
                continue
            if upstream not in keys:
                yield f"{where}: {upstream} is not among the assets of this manifest"


def _of_schedules(manifest: Manifest, keys: dict[str, int], zones: Collection[str]) -> Iterator[str]:
    seen: set[str] = set()
    for index, schedule in enumerate(manifest.schedules):
        where = f"schedules[{index}]"
        if not schedule.id:
            yield f"{where}.id is empty"
        elif schedule.id in seen:
            yield f"{where}.id: {schedule.id} is there twice"
        seen.add(schedule.id)
        if len(schedule.cron.split()) not in _CRON_FIELDS:
            yield f"{where}.cron needs 5 fields, or 6 with seconds first"
        if schedule.timezone not in zones:
            yield f"{where}.timezone: {schedule.timezone} is no IANA time zone"
        for text in schedule.assets:
            try:
                known = asset_key(text) in keys
            except InvalidInput as error:
                yield f"{where}.assets: {error.message}"
                continue
            if not known:
                yield f"{where}.assets: {text} is not among the assets of this manifest"
