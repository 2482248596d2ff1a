"""Writing a name once: created by us, taken by somebody else, or not known.

For objects whose bytes decide who wrote them: an object that holds exactly these bytes *is* this write, whoever's
answer was lost. An unknown outcome is resolved by reading, and by issuing the identical write again; at most one of the
copies can apply (reliability.md 9, rules 1 and 2).
"""

from typing import Final, assert_never

import msgspec

from arco.core.clock import Clock
from arco.core.paths import Key
from arco.storage.port import Absent, Lost, ObjectStore, StorageUnavailable, Stored, Unsure, WriteRefused

TRIES: Final = 6
BACKOFF_MS: Final = 50


class Created(msgspec.Struct, frozen=True):
    """The object holds these bytes; `version` is its storage version."""

    version: str


class Taken(msgspec.Struct, frozen=True):
    """The name holds other bytes, for ever."""

    body: bytes


class Undecided(msgspec.Struct, frozen=True):
    """It is not known whether the object exists or will; writing the same bytes again can only help."""

    cause: str


CreateOutcome = Created | Taken | Undecided


async def create_only(store: ObjectStore, clock: Clock, key: Key, body: bytes) -> CreateOutcome:
    """Create an object that is never overwritten. Raises `WriteRefused` when it provably was not, and never will be."""
    cause = ""
    for attempt in range(TRIES):
        try:
            outcome = await store.put(key, body, when=Absent())
        except WriteRefused as refused:
            if not cause:
                raise
            # This try provably failed, an earlier one may not have.
            outcome = Unsure(str(refused))
        match outcome:
            case Stored(version=version):
                return Created(version)
            case Lost() | Unsure():
                found = await found_at(store, key, body)
                if not isinstance(found, Undecided):
                    return found
                cause = outcome.cause if isinstance(outcome, Unsure) else found.cause
            case _:
                assert_never(outcome)
        await clock.sleep_ms(BACKOFF_MS << attempt)
    return Undecided(cause)


async def found_at(store: ObjectStore, key: Key, body: bytes) -> CreateOutcome:
    """What is there: these bytes, others, or nothing that could be read (yet)."""
    try:
        found = await store.get(key)
        if found is None:
            return Undecided("the object is not there yet")
        # What is only seen may not be durable yet.
        await store.settle(key)
    except StorageUnavailable as error:
        return Undecided(str(error))
    return Created(found.version) if found.body == body else Taken(found.body)
