"""A process that works on a local store until it is done or killed. Run by `test_local_store_processes`.

`python local_store_worker.py create|count|churn|write ROOT NAME ROUNDS` begins when it is sent a line; it answers in
lines on standard output.
"""

import asyncio
import hashlib
import sys
from pathlib import Path

from arco.core.paths import Key
from arco.storage.local import LocalStore
from arco.storage.port import Absent, Lost, Matches, Stored

COUNTER = Key("manifests/counter.json")
POINTER = Key("manifests/catalog.pointer.json")
BODY_BYTES = 200_000


def sealed(text: str) -> bytes:
    """A large body that carries its own hash, so that a part of it is not mistaken for the whole."""
    content = text.encode().ljust(BODY_BYTES, b".")
    return hashlib.sha256(content).hexdigest().encode() + content


def is_whole(body: bytes) -> bool:
    """True for a body that `sealed` made."""
    return len(body) == BODY_BYTES + 64 and hashlib.sha256(body[64:]).hexdigest().encode() == body[:64]


async def create(store: LocalStore, name: str, rounds: int) -> None:
    """Race for one key after the other; tell the keys that were won."""
    for number in range(rounds):
        outcome = await store.put(Key(f"ledger/{number:05d}"), name.encode(), when=Absent())
        assert isinstance(outcome, Stored | Lost)
        if isinstance(outcome, Stored):
            _tell(f"{number:05d}")


async def count(store: LocalStore, rounds: int) -> None:
    """Add 1 to a shared counter `rounds` times by read and replace; tell every version that was won."""
    added = 0
    while added < rounds:
        found = await store.get(COUNTER)
        assert found is not None
        outcome = await store.put(COUNTER, str(int(found.body) + 1).encode(), when=Matches(found.version))
        assert isinstance(outcome, Stored | Lost)
        if isinstance(outcome, Stored):
            added += 1
            _tell(outcome.version)


async def churn(store: LocalStore, rounds: int) -> None:
    """Create, replace and delete one key against others; tell every version that was won."""
    key = Key("staging/churn")
    for _ in range(rounds):
        outcome = await store.put(key, b"same", when=Absent())
        assert isinstance(outcome, Stored | Lost)
        if isinstance(outcome, Stored):
            _tell(outcome.version)
        version = outcome.version if isinstance(outcome, Stored) else outcome.current
        if version is not None:
            replaced = await store.put(key, b"same", when=Matches(version))
            if isinstance(replaced, Stored):
                _tell(replaced.version)
                await store.delete(key, when=Matches(replaced.version))


async def write(store: LocalStore, name: str) -> None:
    """Create and replace large objects for ever; tell each one that was stored."""
    found = await store.get(POINTER)
    version = found.version if found else None
    number = 0
    while True:
        stored = await store.put(Key(f"snapshots/{name}-{number:05d}"), sealed(f"{name} {number}"), when=Absent())
        assert isinstance(stored, Stored)
        _tell(f"snapshots/{name}-{number:05d}")
        when = Absent() if version is None else Matches(version)
        pointed = await store.put(POINTER, sealed(f"{name} {number}"), when=when)
        assert isinstance(pointed, Stored)
        _tell(f"pointer {pointed.version}")
        version = pointed.version
        number += 1


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def _main(work: str, root: str, name: str, rounds: int) -> None:
    store = LocalStore(Path(root))
    _tell("ready")
    sys.stdin.readline()
    if work == "create":
        await create(store, name, rounds)
    elif work == "count":
        await count(store, rounds)
    elif work == "churn":
        await churn(store, rounds)
    else:
        await write(store, name)
    store.close()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
