"""Whose turn it is when there are more than can be served: drawn anew each time, so that nobody waits for ever.

An order that is always the same would let those that can never be served stand in front of all others.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from arco.core.canonical_json import sha256_hex

T = TypeVar("T")


def drawn(waiting: Sequence[T], most: int, *, seed: str, name: Callable[[T], str]) -> Sequence[T]:
    """At most `most` of those that wait; with another seed others."""
    if len(waiting) <= most:
        return waiting
    return sorted(waiting, key=lambda one: sha256_hex(f"{seed}/{name(one)}".encode()))[:most]
