"""Ledger objects as the compactor takes them in: read, decoded, and put aside when they can never be folded.

That is when their bytes are no ledger object, when an event is larger than any api writes, and when one says that it is
of a role that does not append to this ledger: whoever planted it there, nobody folds it. Quarantine is only ever
concluded from bytes that were read. The ledger keeps the original until it is collected.
"""

from collections.abc import Sequence

import msgspec

from arco.core import paths
from arco.core.errors import ArcoError
from arco.core.limits import EVENT_BYTES_MAX
from arco.kernel.envelope import Unit, UnreadableLedgerObject, decode_units
from arco.kernel.workshop import Workshop
from arco.storage.capabilities import producers
from arco.storage.port import Absent, Lost, Stored, Unsure


class Quarantined(ArcoError):
    """The bytes of a ledger object can never be folded; a copy was, or will be, put aside."""


class LedgerObject(msgspec.Struct, frozen=True):
    """A ledger object that was read: its units and its size."""

    path: str
    units: tuple[Unit, ...]
    size_bytes: int


async def decoded(shop: Workshop, domain: str, path: str, content: bytes) -> LedgerObject:
    """The units in the bytes of a ledger object. Raises `Quarantined` after putting unreadable ones aside."""
    name = path.rsplit("/", 1)[1]
    try:
        units = tuple(decode_units(content, name.removesuffix(".json")))
        _check_events(domain, units)
    except UnreadableLedgerObject as error:
        match await shop.store.put(paths.quarantined(domain, name), content, when=Absent()):
            case Stored():
                # Said once, however often the object is met again.
                shop.log.warning("ledger_object_quarantined", domain=domain, path=path, reason=str(error))
                aside = "was quarantined"
            case Lost():
                aside = "was quarantined"
            case Unsure():
                # The ledger keeps the original, so a missing copy loses nothing; but it is not claimed to be there.
                aside = "may not have been quarantined yet"
        raise Quarantined(f"{path} is not a ledger object and {aside}: {error}") from error
    return LedgerObject(path, units, len(content))


def _check_events(domain: str, units: Sequence[Unit]) -> None:
    """Raise `UnreadableLedgerObject` for an event of a role that does not append to this ledger, or beyond all size."""
    allowed = producers(domain)
    for unit in units:
        for event in unit.events:
            if event.source.partition(":")[0] not in allowed:
                raise UnreadableLedgerObject(f"its source is none of {', '.join(sorted(allowed))}")
            if len(event.payload) > EVENT_BYTES_MAX:
                raise UnreadableLedgerObject(f"an event is longer than {EVENT_BYTES_MAX} bytes")


async def read(shop: Workshop, domain: str, path: str) -> LedgerObject | None:
    """The units of a ledger object; None when it does not exist. Raises `Quarantined`, `StorageUnavailable`."""
    found = await shop.store.get(paths.Key(path))
    return None if found is None else await decoded(shop, domain, path, found.body)
