"""Where the tables of a worker's assets are, and how the catalog hears of them.

User code writes tables; only the supervisor holds the key to the api. So a child asks its supervisor to register what
it has published, and waits for the answer, because an attempt whose table the catalog does not know has not succeeded.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from arco.sdk.errors import InfrastructureFailed
from arco.sdk.io.port import IoManager, Registration
from arco.worker import words

WAREHOUSE_VARIABLE: Final = "ARCO_FLOW_WORKER_WAREHOUSE"
CATALOG_VARIABLE: Final = "ARCO_FLOW_WORKER_CATALOG"
WAREHOUSE: Final = "warehouse"

Ask = Callable[[words.Register], words.Registered | None]
"""Sends a question to the supervisor and waits for its answer; None when there is nobody any more."""


class AskingRegistrar:
    """The SDK's `Registrar` in a child: `ask` is set when there is a supervisor to ask."""

    def __init__(self) -> None:
        self.ask: Ask | None = None

    def register(self, registration: Registration) -> None:
        """Make the table known. Raises `InfrastructureFailed`."""
        if self.ask is None:
            raise InfrastructureFailed("there is no supervisor to tell the catalog")
        told = msgspec.to_builtins(registration)
        told.pop("facts", None)
        answer = self.ask(words.Register(told))
        if answer is None or answer.problem:
            why = answer.problem if answer else "the supervisor is gone"
            raise InfrastructureFailed(f"{registration.asset_key} is published, but not in the catalog: {why}")


def tables_of(environ: Mapping[str, str], registrar: AskingRegistrar) -> IoManager:
    """What reads and writes tables, as the environment says."""
    from arco.sdk.io.warehouse import WarehouseIo  # noqa: PLC0415  # a worker that waits needs no tables

    root = environ.get(WAREHOUSE_VARIABLE, "").strip() or WAREHOUSE
    return WarehouseIo(root, registrar=registrar if environ.get(CATALOG_VARIABLE, "").strip() else None)
