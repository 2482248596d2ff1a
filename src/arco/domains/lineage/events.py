"""Lineage events: `lineage.ddl` version 1, kind `edges_added` (catalog.md 2.8). The payload is rows as JSON objects."""

from typing import Final

import msgspec

from arco.domains.lineage.rows import EdgeRow
from arco.kernel.envelope import Envelope
from arco.kernel.fold import InvalidEvent, UnsupportedEvent

LINEAGE_DDL: Final = "lineage.ddl"
EDGES_ADDED: Final = "edges_added"
EDGES_ADDED_VERSION: Final = 1

TIME_END_MS: Final = 253_402_300_800_000
"""The year 10000: later times have no RFC 3339 text, so no answer could show them."""


class EdgesAdded(msgspec.Struct, frozen=True):
    """Edges somebody asserted. Those already known are known still."""

    kind: str
    edges: list[EdgeRow]


class _Kind(msgspec.Struct, frozen=True):
    kind: str


_KIND: Final = msgspec.json.Decoder(_Kind)
_EDGES_ADDED: Final = msgspec.json.Decoder(EdgesAdded)


def decoded(event: Envelope) -> EdgesAdded:
    """The event's payload. Raises `UnsupportedEvent` for a version or kind of a newer build, `InvalidEvent`."""
    if event.event_version != EDGES_ADDED_VERSION:
        raise UnsupportedEvent(f"{event.event_type} version {event.event_version} is not known to this build")
    try:
        kind = _KIND.decode(event.payload).kind
        if kind != EDGES_ADDED:
            raise UnsupportedEvent(f"{event.event_type} kind {kind} is not known to this build")
        added = _EDGES_ADDED.decode(event.payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidEvent(f"{event.event_type}: {error}") from error
    for index, edge in enumerate(added.edges):
        _check(edge, index)
    return added


def _check(edge: EdgeRow, index: int) -> None:
    for name in ("id", "source_id", "target_id", "edge_type"):
        if not getattr(edge, name):
            raise InvalidEvent(f"edges[{index}].{name} is empty")
    # A number no column or answer can hold must fail here, where it costs one unit and not a commit or every reader.
    if not 0 <= edge.created_at < TIME_END_MS:
        raise InvalidEvent(f"edges[{index}].created_at is not a time in ms since 1970")
