"""Entropy and fresh ids as parameters. Only `SystemEntropy` touches the machine.

Guarantees: a `MintedIds` never hands out two ULIDs that sort against the order it made them in, even when its
clock stands still or steps back.
"""

import os
from typing import Protocol

from arco.core.clock import Clock
from arco.core.ids import RANDOM_BITS, Ulid, Uuid7, ulid_from_int, uuid7_from


class Entropy(Protocol):
    """Random bytes as a parameter."""

    def bytes(self, count: int) -> bytes:
        """`count` unpredictable bytes."""
        ...


class SystemEntropy:
    """The operating system's generator."""

    def bytes(self, count: int) -> bytes:
        return os.urandom(count)


class Ids(Protocol):
    """Where new names come from."""

    def ulid(self) -> Ulid:
        """A ULID greater than every one this source made before."""
        ...

    def uuid7(self) -> Uuid7:
        """A fresh UUIDv7."""
        ...


class MintedIds:
    """Ids from a clock and entropy; ULIDs are strictly increasing within one source."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy
        self._last = 0

    def ulid(self) -> Ulid:
        fresh = self._clock.now_ms() << RANDOM_BITS | int.from_bytes(self._entropy.bytes(10), "big")
        self._last = max(fresh, self._last + 1)
        return ulid_from_int(self._last)

    def uuid7(self) -> Uuid7:
        return uuid7_from(self._clock.now_ms(), self._entropy.bytes(10))
