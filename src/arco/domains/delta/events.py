"""Delta events: `delta.commit` version 1, by kind.

`reserved` asks for the right to write one version; `recorded` says that the version's log file holds the reserved
payload; `overtaken` says that the log holds versions somebody else wrote, and ends a reservation they got ahead of;
`abandoned` ends an overdue reservation that nobody can carry out any more, because its payload is gone.
"""

from typing import Annotated, Any, Final

import msgspec

from arco.kernel.envelope import Envelope
from arco.kernel.fold import InvalidEvent, UnsupportedEvent

DELTA_COMMIT: Final = "delta.commit"
DELTA_COMMIT_VERSION: Final = 1

VERSION_MAX: Final = 2**53
"""No log gets that long, and every JSON reader counts that far."""

Version = Annotated[int, msgspec.Meta(ge=0, le=VERSION_MAX)]
ReadVersion = Annotated[int, msgspec.Meta(ge=-1, lt=VERSION_MAX)]


class DeltaEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What all Delta events are: about one table."""

    table_id: str


class Reserved(DeltaEvent, frozen=True, kw_only=True, tag="reserved"):
    """Somebody wants to write the version after `read_version`, with a staged payload of this SHA-256."""

    table_root: str
    commit_id: str
    key_hash: str
    request_hash: str
    read_version: ReadVersion
    staged_path: str
    staged_version: str
    payload_sha256: str | None = None


class Recorded(DeltaEvent, frozen=True, kw_only=True, tag="recorded"):
    """The log file of the reserved version was seen to hold the reserved payload."""

    commit_id: str
    version: Version


class Overtaken(DeltaEvent, frozen=True, kw_only=True, tag="overtaken"):
    """The log was seen to go up to `latest_version`; `commit_id` is the reservation that lost its version, if any."""

    table_root: str
    latest_version: Version
    commit_id: str | None = None


class Abandoned(DeltaEvent, frozen=True, kw_only=True, tag="abandoned"):
    """The staged payload of this reservation is gone, and its version is not in the log."""

    commit_id: str


class _Kind(msgspec.Struct, frozen=True):
    kind: str


_KIND: Final = msgspec.json.Decoder(_Kind)
_DECODERS: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    str(kind.__struct_config__.tag): msgspec.json.Decoder(kind) for kind in (Reserved, Recorded, Overtaken, Abandoned)
}


def decoded(envelope: Envelope) -> DeltaEvent:
    """The event an envelope carries. Raises `UnsupportedEvent` for a kind of a newer build, `InvalidEvent`."""
    try:
        kind = _KIND.decode(envelope.payload).kind
        decoder = _DECODERS.get(kind)
        if decoder is None or envelope.event_version != DELTA_COMMIT_VERSION:
            raise UnsupportedEvent(f"{envelope.event_type} version {envelope.event_version} kind {kind}")
        event: DeltaEvent = decoder.decode(envelope.payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidEvent(f"{envelope.event_type}: {error}") from error
    return event
