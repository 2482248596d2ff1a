"""What became of a write on a store across a network, out of what its requests have told (reliability.md 9).

Guarantees: `Stored` when our own attempt is seen, however it was answered; `Lost` only when no request of the operation
is without an answer and the object there is not ours; `WriteRefused` only when no request is without an answer.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from arco.storage.port import Lost, PutOutcome, StorageUnavailable, Stored, Unsure, WriteRefused
from arco.storage.retries import NoAnswer, NotSent

ATTEMPT_FIELD: Final = "arco-attempt"
"""The name under which an object's metadata keep the id of the attempt that wrote it."""


class Present(msgspec.Struct, frozen=True):
    """The object that is there now: its version, and whose attempt it says it is."""

    version: str
    attempt: str | None


class Trouble:
    """What has gone wrong in one operation so far."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.cause = ""
        self.unclear = False
        self.renewed = False

    def happened(self, error: NotSent | NoAnswer) -> None:
        """Note a request that was not answered."""
        self.unclear = self.unclear or isinstance(error, NoAnswer)
        self.cause = str(error)

    def refused(self, cause: str) -> None:
        """Note that asking again is in vain."""
        self.cause = cause

    def outcome(self) -> Unsure:
        """The outcome of a write that gave up. Raises `WriteRefused` when it provably did not happen."""
        if not self.unclear:
            raise WriteRefused(f"{self._name}: {self.cause}")
        return Unsure(f"{self._name}: {self.cause}")

    async def whose(self, attempt: str, find: Callable[[], Awaitable[Present | None]]) -> PutOutcome:
        """The outcome of a write whose condition was false when its last request arrived."""
        try:
            found = await find()
        except StorageUnavailable as error:
            return Unsure(f"{self._name}: the condition was false, and whose object is there was not told: {error}")
        if found is not None and found.attempt == attempt:
            return Stored(found.version)
        if self.unclear:
            # Ours may have been there, and been replaced or removed.
            return Unsure(f"{self._name}: {self.cause}; then the condition was false")
        return Lost(None if found is None else found.version)


async def never(find: Callable[[], Awaitable[Present | None]]) -> Lost:
    """A condition that is false, lost to what is there now. Raises `WriteRefused` when that is not told."""
    try:
        found = await find()
    except StorageUnavailable as error:
        raise WriteRefused(str(error)) from error
    return Lost(None if found is None else found.version)
