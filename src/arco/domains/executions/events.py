"""Execution events: `materialization_completed` version 1. The payload is the row's public fields."""

from typing import Final

import msgspec

from arco.kernel.envelope import Envelope
from arco.kernel.fold import InvalidEvent, UnsupportedEvent

MATERIALIZATION_COMPLETED: Final = "materialization_completed"
ID_BYTES_MAX: Final = 256
_INT64_MAX: Final = 2**63 - 1


class MaterializationCompleted(msgspec.Struct, frozen=True):
    """An asset was materialised; fields beyond these are somebody else's."""

    materialization_id: str
    asset_id: str
    row_count: int
    byte_size: int


_DECODER: Final = msgspec.json.Decoder(MaterializationCompleted)


def decoded(event: Envelope) -> MaterializationCompleted:
    """The event's payload. Raises `UnsupportedEvent` for a version of a newer build, `InvalidEvent`."""
    if event.event_version != 1:
        raise UnsupportedEvent(f"{event.event_type} version {event.event_version} is not known to this build")
    try:
        body = _DECODER.decode(event.payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidEvent(f"{event.event_type}: {error}") from error
    for name in ("materialization_id", "asset_id"):
        if not 0 < len(getattr(body, name).encode()) <= ID_BYTES_MAX:
            raise InvalidEvent(f"{name} must be 1 to {ID_BYTES_MAX} bytes")
    # A number no column can hold must fail here, where it costs one unit and not a commit.
    for name in ("row_count", "byte_size"):
        if not 0 <= getattr(body, name) <= _INT64_MAX:
            raise InvalidEvent(f"{name} must be 0 to {_INT64_MAX}")
    if event.sequence_position is not None and not 0 <= event.sequence_position <= _INT64_MAX:
        raise InvalidEvent(f"sequence_position must be 0 to {_INT64_MAX}")
    return body
