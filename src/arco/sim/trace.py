"""What happened, in order: every storage operation as it took effect. Its hash names a schedule."""

import hashlib
import marshal
from functools import lru_cache
from typing import Final

Entry = tuple[float, str, str, str, str]
"""(virtual second, actor, operation, key, result)."""

_MARKS: Final = (
    (".pointer.json", "pointer"),
    ("/manifests/root", "root"),
    ("/manifests/", "manifest"),
    ("/_deltas/", "delta"),
    (".page.json", "page"),
    ("/snapshots/", "segment"),
    ("/commits/", "commit"),
    ("/ledger/", "ledger"),
    ("/quarantine/", "quarantine"),
    ("/retention/", "pin"),
    ("/locks/", "lock"),
)


@lru_cache(maxsize=8192)
def step_of(key: str) -> str:
    """The step of the protocol an operation on this key belongs to."""
    return next((step for mark, step in _MARKS if mark in key), "other")


class Trace:
    """The entries of one schedule."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, entry: Entry) -> None:
        """Note one."""
        self.entries.append(entry)

    def digest(self) -> str:
        """A hash of everything that happened."""
        return hashlib.blake2b(marshal.dumps(self.entries, 2), digest_size=12).hexdigest()
