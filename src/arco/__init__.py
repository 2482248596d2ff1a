"""arco: serverless lakehouse infrastructure on object storage, with no database.

Importing this package is cheap (well under 50 ms) and pulls in no server dependency: the names that user code imports
(`from arco import asset`) are loaded when they are first used.
"""

from importlib import import_module

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` would be most of what this module costs

if TYPE_CHECKING:
    from typing import Any as Any
    from typing import Final as Final

    from arco.clients.project import AsyncClient as AsyncClient
    from arco.clients.project import Client as Client
    from arco.sdk import checks as checks
    from arco.sdk.assets import Asset as Asset
    from arco.sdk.assets import asset as asset
    from arco.sdk.checks import CheckResult as CheckResult
    from arco.sdk.checks import asset_check as asset_check
    from arco.sdk.context import Context as Context
    from arco.sdk.errors import ConfigurationFailed as ConfigurationFailed
    from arco.sdk.errors import DataQualityFailed as DataQualityFailed
    from arco.sdk.errors import DefinitionError as DefinitionError
    from arco.sdk.errors import InfrastructureFailed as InfrastructureFailed
    from arco.sdk.errors import TaskCancelled as TaskCancelled
    from arco.sdk.errors import TaskFailed as TaskFailed
    from arco.sdk.io.values import InputTable as InputTable
    from arco.sdk.io.values import Output as Output
    from arco.sdk.partitions import Partition as Partition
    from arco.sdk.partitions import daily as daily
    from arco.sdk.partitions import hourly as hourly
    from arco.sdk.partitions import monthly as monthly
    from arco.sdk.partitions import static as static
    from arco.sdk.partitions import tenant as tenant
    from arco.sdk.partitions import yearly as yearly
    from arco.sdk.resources import resource as resource
    from arco.sdk.schedules import Schedule as Schedule
    from arco.sdk.settings import AssetIn as AssetIn
    from arco.sdk.settings import Compute as Compute
    from arco.sdk.settings import Io as Io
    from arco.sdk.settings import Resource as Resource
    from arco.sdk.settings import RetryPolicy as RetryPolicy

__version__ = "0.1.0"

_HOMES: "Final" = {
    "arco.clients.project": ("AsyncClient", "Client"),
    "arco.sdk": ("checks",),
    "arco.sdk.assets": ("Asset", "asset"),
    "arco.sdk.checks": ("CheckResult", "asset_check"),
    "arco.sdk.context": ("Context",),
    "arco.sdk.errors": (
        *("ConfigurationFailed", "DataQualityFailed", "DefinitionError", "InfrastructureFailed"),
        *("TaskCancelled", "TaskFailed"),
    ),
    "arco.sdk.io.values": ("InputTable", "Output"),
    "arco.sdk.partitions": ("Partition", "daily", "hourly", "monthly", "static", "tenant", "yearly"),
    "arco.sdk.resources": ("resource",),
    "arco.sdk.schedules": ("Schedule",),
    "arco.sdk.settings": ("AssetIn", "Compute", "Io", "Resource", "RetryPolicy"),
}
_HOME_OF: "Final" = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> "Any":
    """Load a name of the SDK when it is first used."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'arco' has no attribute {name!r}")
    home = import_module(_HOME_OF[name])
    found = import_module("arco.sdk.checks") if name == "checks" else getattr(home, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
