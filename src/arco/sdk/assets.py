"""Assets: functions whose result is a table, and everything a project says about one with `@asset`.

A definition is checked when its module is imported; what is wrong is said with file, function and the fix. Calling an
asset calls its function: tests of a function need nothing else.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, TypedDict, Unpack, cast, overload

from arco.core.asset_keys import asset_key
from arco.core.errors import InvalidInput
from arco.sdk.checks import Check
from arco.sdk.errors import DefinitionError, meant
from arco.sdk.io.declared import declared
from arco.sdk.partitions import Dimension
from arco.sdk.settings import (
    HEARTBEAT_MIN_S,
    NAME_CHARS_MAX,
    PRIORITY_MAX,
    TIMEOUT_MAX_S,
    AssetIn,
    Compute,
    Io,
    RetryPolicy,
    bounded,
    io_of,
    key_of,
    retries_of,
)
from arco.sdk.signature import Parameter, Surroundings, parameters_of

DEFAULT_NAMESPACE: Final = "default"

Function = Callable[..., Any]


class AssetSettings(TypedDict, total=False):
    """What `@asset` takes; every one may be left out."""

    name: str
    namespace: str
    key: str
    description: str
    owners: Sequence[str]
    tags: dict[str, str]
    partitions: Dimension | Sequence[Dimension]
    inputs: dict[str, Any]
    deps: Sequence[Any]
    resources: Sequence[str] | dict[str, str]
    checks: Sequence[Check]
    io: Io | str
    schema: Any
    retries: RetryPolicy | int
    timeout: timedelta | int
    heartbeat_timeout: timedelta | int
    queue: str
    priority: int
    concurrency: str
    compute: Compute


@dataclass(frozen=True, eq=False, kw_only=True)
class Asset:
    """A function and what is said about it. `file` and `line` are where it stands."""

    key: str
    function: Function
    file: str
    line: int
    description: str = ""
    owners: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    partitions: tuple[Dimension, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    deps: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    io: Io = field(default_factory=Io)
    schema: Mapping[str, Any] | None = None
    retries: RetryPolicy | None = None
    timeout_seconds: int | None = None
    heartbeat_timeout_seconds: int | None = None
    queue: str | None = None
    priority: int | None = None
    concurrency: str | None = None
    compute: Compute = field(default_factory=Compute)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"Asset({self.key!r})"

    @property
    def namespace(self) -> str:
        """The first part of its key."""
        return self.key.partition(".")[0]

    @property
    def name(self) -> str:
        """The rest of its key."""
        return self.key.partition(".")[2]

    @property
    def place(self) -> str:
        """`file:line: function`, for people."""
        return f"{self.file}:{self.line}: {self.function.__name__}"

    @property
    def upstreams(self) -> tuple[str, ...]:
        """The keys of the assets it reads or waits for, each once, in the order of its parameters."""
        reads = [one.source for one in self.parameters if one.role == "input"]
        return tuple(dict.fromkeys([*reads, *self.deps]))


@overload
def asset(function: Function, /) -> Asset:
    """`@asset` alone."""


@overload
def asset(**settings: Unpack[AssetSettings]) -> Callable[[Function], Asset]:
    """`@asset(...)`."""


def asset(function: Function | None = None, /, **settings: Any) -> Any:
    """Make a function, plain or async, an asset: what it returns is its table.

    `name` is the function's and `namespace` is `default` unless said otherwise (`key="namespace.name"` says both).
    Parameters are given what their names and annotations say: other assets (`AssetIn`), `context`, `partition`, values
    of dimensions, resources. `deps` are assets it waits for without reading them. Raises `DefinitionError`.
    """
    if function is not None:
        return _defined(function, AssetSettings())
    return lambda found: _defined(found, cast(AssetSettings, settings))


def _defined(function: Function, settings: AssetSettings) -> Asset:
    if not inspect.isfunction(function):
        raise DefinitionError(f"@asset stands above a function, not above {function!r}")
    written = inspect.unwrap(function)
    file, line = inspect.getsourcefile(written) or "<unknown>", written.__code__.co_firstlineno
    try:
        return _asset(function, settings, file=file, line=line)
    except DefinitionError as error:
        raise DefinitionError(f"{file}:{line}: asset {function.__name__}: {error.message}") from None


def _asset(function: Function, settings: AssetSettings, *, file: str, line: int) -> Asset:
    known = list(AssetSettings.__annotations__)
    if surplus := sorted(set(settings) - set(known)):
        raise DefinitionError(f"@asset takes no {surplus[0]}{meant(surplus[0], known)}")
    key = _key(function, settings)
    dimensions = _dimensions(settings.get("partitions"))
    deps = tuple(dict.fromkeys(key_of(one) for one in settings.get("deps", ())))
    around = Surroundings(
        namespace=key.partition(".")[0],
        inputs={name: _asset_in(one) for name, one in settings.get("inputs", {}).items()},
        resources=_resources(settings.get("resources", ())),
        deps=deps,
        dimensions=dimensions,
    )
    parameters = parameters_of(function, around)
    if any(one.role == "input" and one.source == key for one in parameters) or key in deps:
        raise DefinitionError("it reads itself: rename the parameter, or say which asset it reads with AssetIn")
    return Asset(
        key=key,
        function=function,
        file=file,
        line=line,
        description=settings.get("description") or inspect.getdoc(function) or "",
        owners=_texts("owners", settings.get("owners", ())),
        tags=_tags(settings.get("tags", {})),
        partitions=dimensions,
        parameters=parameters,
        deps=deps,
        checks=_checks(settings.get("checks", ())),
        io=io_of(settings.get("io")),
        schema=declared(settings.get("schema")),
        retries=retries_of(settings.get("retries")),
        timeout_seconds=_seconds("timeout", settings.get("timeout"), 1, TIMEOUT_MAX_S),
        heartbeat_timeout_seconds=_seconds(
            "heartbeat_timeout", settings.get("heartbeat_timeout"), HEARTBEAT_MIN_S, TIMEOUT_MAX_S
        ),
        queue=_short("queue", settings.get("queue")),
        priority=_priority(settings.get("priority")),
        concurrency=_short("concurrency", settings.get("concurrency")),
        compute=_compute(settings.get("compute")),
    )


def _key(function: Function, settings: AssetSettings) -> str:
    if "key" in settings and ("name" in settings or "namespace" in settings):
        raise DefinitionError("say key, or name and namespace, not both")
    name = settings.get("name", function.__name__)
    text = settings.get("key") or f"{settings.get('namespace', DEFAULT_NAMESPACE)}/{name}"
    try:
        return asset_key(text)
    except InvalidInput as error:
        raise DefinitionError(f'{error.message}; give the asset a name: @asset(name="...")') from None


def _dimensions(given: Any) -> tuple[Dimension, ...]:
    found = (given,) if isinstance(given, Dimension) else tuple(given or ())
    if strange := [one for one in found if not isinstance(one, Dimension)]:
        raise DefinitionError(f'partitions: {strange[0]!r} is none; write daily("date") or static("region", [...])')
    names = [one.name for one in found]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise DefinitionError(f"partitions: {repeated[0]} is there twice")
    return found


def _asset_in(given: Any) -> AssetIn:
    return given if isinstance(given, AssetIn) else AssetIn(given)


def _resources(given: Any) -> dict[str, str]:
    """The name of a resource for each parameter; a plain list says that parameters are named like their resources."""
    if isinstance(given, str):
        raise DefinitionError(f'resources: write a list, resources=["{given}"]')
    return dict(given) if isinstance(given, dict) else {name: name for name in given}


def _checks(given: Any) -> tuple[Check, ...]:
    found = tuple(given)
    if strange := [one for one in found if not isinstance(one, Check)]:
        raise DefinitionError(f"checks: {strange[0]!r} is none; write checks.row_count(min=1), or use @asset_check")
    names = [one.name for one in found]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise DefinitionError(f'checks: {repeated[0]} is there twice; give one another name="..."')
    return found


def _texts(name: str, given: Any) -> tuple[str, ...]:
    if isinstance(given, str) or not all(isinstance(one, str) and one for one in given):
        raise DefinitionError(f"{name} is a list of texts")
    return tuple(given)


def _tags(given: Any) -> dict[str, str]:
    if not isinstance(given, dict) or not all(isinstance(one, str) for pair in given.items() for one in pair):
        raise DefinitionError('tags are texts with a name each, such as {"tier": "gold"}')
    return dict(given)


def _seconds(name: str, given: Any, least: int, most: int) -> int | None:
    seconds = int(given.total_seconds()) if isinstance(given, timedelta) else given
    bounded(f"{name} (seconds)", seconds, least, most)
    return None if seconds is None else int(seconds)


def _priority(given: Any) -> int | None:
    bounded("priority", given, -PRIORITY_MAX, PRIORITY_MAX)
    return None if given is None else int(given)


def _short(name: str, given: Any) -> str | None:
    if given is not None and (not isinstance(given, str) or not 0 < len(given) <= NAME_CHARS_MAX):
        raise DefinitionError(f"{name} is a text of 1 to {NAME_CHARS_MAX} characters")
    if name == "concurrency" and given == "*":
        raise DefinitionError("concurrency: * stands for the whole workspace; choose another")
    return given


def _compute(given: Any) -> Compute:
    found = Compute() if given is None else given
    if not isinstance(found, Compute):
        raise DefinitionError(f"compute: {given!r} is none; write Compute(cpu_millicores=..., memory_mib=...)")
    bounded("compute: cpu_millicores", found.cpu_millicores, 1, 1_000_000)
    bounded("compute: memory_mib", found.memory_mib, 1, 10_000_000)
    return found
