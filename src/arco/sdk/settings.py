"""What an asset may ask for beyond its function: retries, storage, machine, and how it reads others. Pure data."""

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from arco.core.asset_keys import asset_key
from arco.core.errors import InvalidInput
from arco.sdk.errors import DefinitionError

Mapping = Literal["identity", "all", "latest", "window"]
MAPPINGS: Final = ("identity", "all", "latest", "window")
FORMATS: Final = ("delta", "parquet")
COMPRESSIONS: Final = ("snappy", "zstd", "gzip", "lz4", "none")

RETRIES_MAX: Final = 99
DELAY_MAX_S: Final = 86_400
TIMEOUT_MAX_S: Final = 86_400 - 300
"""A task's token lives a day at most, and 300 s longer than the task may take (orchestration.md 7.2)."""

HEARTBEAT_MIN_S: Final = 30
PRIORITY_MAX: Final = 1_000
NAME_CHARS_MAX: Final = 128


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often a failed task is tried again, and how long after the first failure; later waits double."""

    max_retries: int = 2
    delay_seconds: int | None = None


class Io(msgspec.Struct, frozen=True):
    """How an asset's table is stored: format, compression of its files, and columns its files are sorted into."""

    format: Literal["delta", "parquet"] = "delta"
    compression: Literal["snappy", "zstd", "gzip", "lz4", "none"] = "snappy"
    partition_by: tuple[str, ...] = ()


class Compute(msgspec.Struct, frozen=True):
    """The machine a task asks for."""

    cpu_millicores: int | None = None
    memory_mib: int | None = None


class AssetIn:
    """Which asset a parameter reads, which of its partitions, and which columns.

    `mapping`: `identity` takes the same partition (every part of dimensions that only the upstream asset has), `all`
    every one, `latest` the newest up to the run's own, `window` the last `window` ones up to the run's own.
    Raises `DefinitionError`.
    """

    def __init__(
        self,
        asset: Any = None,
        *,
        mapping: Mapping = "identity",
        window: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> None:
        self.key = None if asset is None else key_of(asset)
        self.mapping: Mapping = mapping
        self.window = window
        self.columns = None if columns is None else tuple(columns)
        if mapping not in MAPPINGS:
            raise DefinitionError(f"AssetIn: mapping {mapping!r} is none of {', '.join(MAPPINGS)}")
        if (mapping == "window") != (window is not None) or (window is not None and window < 1):
            raise DefinitionError('AssetIn: mapping="window" goes with window=n, at least 1, and no other does')
        if isinstance(columns, str) or columns == []:
            raise DefinitionError('AssetIn: columns is a list of names, such as ["id", "amount"]')

    def __repr__(self) -> str:
        return f"AssetIn({self.key!r}, mapping={self.mapping!r})"


class Resource:
    """The name of the resource a parameter is given: `Annotated[Client, Resource("warehouse")]`."""

    def __init__(self, name: str) -> None:
        self.name = name


def key_of(asset: Any) -> str:
    """The key of an asset, from the asset or from its key as text. Raises `DefinitionError`."""
    found = asset if isinstance(asset, str) else getattr(asset, "key", None)
    if not isinstance(found, str):
        raise DefinitionError(f"{asset!r} is no asset: give the decorated function, or a key such as 'raw.events'")
    try:
        return asset_key(found)
    except InvalidInput as error:
        raise DefinitionError(error.message) from None


def io_of(given: Any) -> Io:
    """Storage settings from what somebody gave: nothing, a format, or `Io`. Raises `DefinitionError`."""
    found = msgspec.structs.replace(Io(), format=given) if isinstance(given, str) else Io() if given is None else given
    if not isinstance(found, Io):
        raise DefinitionError(f'io: {given!r} is no storage; write io="parquet" or io=Io(format="delta", ...)')
    if found.format not in FORMATS:
        raise DefinitionError(f"io: format {found.format!r} is none of {', '.join(FORMATS)}")
    if found.compression not in COMPRESSIONS:
        raise DefinitionError(f"io: compression {found.compression!r} is none of {', '.join(COMPRESSIONS)}")
    if found.partition_by and found.format != "delta":
        raise DefinitionError('io: partition_by sorts the files of a Delta table; choose format="delta"')
    return found


def retries_of(given: Any) -> RetryPolicy | None:
    """A retry policy from a number or a policy. Raises `DefinitionError`."""
    if given is None:
        return None
    found = RetryPolicy(given) if type(given) is int else given
    if not isinstance(found, RetryPolicy):
        raise DefinitionError(f"retries: {given!r} is neither a number nor a RetryPolicy")
    bounded("retries", found.max_retries, 0, RETRIES_MAX)
    bounded("retries: delay_seconds", found.delay_seconds, 0, DELAY_MAX_S)
    return found


def bounded(name: str, value: Any, least: int, most: int) -> None:
    """Raise `DefinitionError` unless the value is absent or a whole number in bounds."""
    if value is not None and (type(value) is not int or not least <= value <= most):
        raise DefinitionError(f"{name} must be a whole number from {least} to {most}, not {value!r}")
