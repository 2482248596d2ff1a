"""Transaction events: `transaction.state` version 1, by kind.

`applied` stands in one unit with the events it is about: they and it are one fact. `prepared` carries its events
inside, to be folded on trial now and for good when `finalised` comes, or never, when `aborted` does.
"""

from typing import Annotated, Any, Final

import msgspec

from arco.kernel.envelope import Envelope
from arco.kernel.fold import InvalidEvent, UnsupportedEvent

TRANSACTION_STATE: Final = "transaction.state"
TRANSACTION_STATE_VERSION: Final = 1

CATALOG_DDL: Final = "catalog_ddl"
ORCHESTRATION_BATCH: Final = "orchestration_batch"
ROOT_COMMIT: Final = "root_commit"

Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Millis = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999)]


class HeldEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event that waits inside a prepared transaction.

    `occurred_at` is when it happened, for folds that keep rows by time: they must find the same keys on trial and for
    good. Without it, it happens when it is folded.
    """

    event_id: str
    event_type: str
    event_version: int
    payload: msgspec.Raw
    base_row_version: int | None = None
    occurred_at: str | None = None


class TransactionEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What all transaction events are."""


class Applied(TransactionEvent, frozen=True, kw_only=True, tag="applied"):
    """The other events of this unit are a transaction, and so is its request. `transaction` is its kind."""

    request_hash: str
    mutations: Count
    transaction: str = CATALOG_DDL


class Declined(TransactionEvent, frozen=True, kw_only=True, tag="declined"):
    """A request was refused before it was made into events: no earlier try of it may come true any more."""

    request_hash: str
    reason: str


class Prepared(TransactionEvent, frozen=True, kw_only=True, tag="prepared"):
    """Check these events and hold what they depend on, until the transaction is decided by its root record.

    In the home chain the transaction begins with this event and is called after its unit: `tx_id` is null.
    """

    tx_id: str | None = None
    request_hash: str
    mutations: Count
    participants: tuple[str, ...]
    expires_at: Millis
    events: tuple[HeldEvent, ...]


class Finalised(TransactionEvent, frozen=True, kw_only=True, tag="finalised"):
    """The root record says that the transaction is committed: its events become facts."""

    tx_id: str


class Aborted(TransactionEvent, frozen=True, kw_only=True, tag="aborted"):
    """The root record says that the transaction is aborted: nothing of it is held any more, or will be."""

    tx_id: str
    request_hash: str = ""


class Completed(TransactionEvent, frozen=True, kw_only=True, tag="completed"):
    """The root record names where every member is visible: the home chain may forget that it was under way."""

    tx_id: str


class _Kind(msgspec.Struct, frozen=True):
    kind: str


_KIND: Final = msgspec.json.Decoder(_Kind)
_DECODERS: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    str(kind.__struct_config__.tag): msgspec.json.Decoder(kind)
    for kind in (Applied, Declined, Prepared, Finalised, Aborted, Completed)
}


def decoded(envelope: Envelope) -> TransactionEvent:
    """The event an envelope carries. Raises `UnsupportedEvent` for a kind of a newer build, `InvalidEvent`."""
    try:
        kind = _KIND.decode(envelope.payload).kind
        decoder = _DECODERS.get(kind)
        if decoder is None or envelope.event_version != TRANSACTION_STATE_VERSION:
            raise UnsupportedEvent(f"{envelope.event_type} version {envelope.event_version} kind {kind}")
        event: TransactionEvent = decoder.decode(envelope.payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidEvent(f"{envelope.event_type}: {error}") from error
    return event
