"""What every adapter must do, as checks that run on any store: tests run them, and so may a diagnosis of a real bucket.

Each check is a coroutine function over a `Ground`, named as the sentence it proves, and raises `NotConforming` when the
store breaks it (reliability.md 3.2). Checks write below the ground's prefix only and need it empty; they leave objects.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from arco.core.paths import Key
from arco.storage.port import (
    Absent,
    Deleted,
    DeleteOutcome,
    Lost,
    Matches,
    ObjectInfo,
    ObjectStore,
    PutOutcome,
    Stored,
    StoredObject,
    Unsure,
)


class NotConforming(Exception):
    """The store did what an adapter must not do."""


class Ground(msgspec.Struct, frozen=True):
    """Where checks run: a store, other handles on the same objects to race with, an empty prefix, and how hard.

    `bytes_recur` is False for a store whose versions are made from bytes (S3): checks then never write the same twice
    under one key, as nothing in arco does that replaces objects. Every other promise is checked all the same.
    """

    handles: tuple[ObjectStore, ...]
    prefix: str
    racers: int = 64
    rounds: int = 10
    large_bytes: int = 20 * 1024 * 1024
    bytes_recur: bool = True

    @property
    def store(self) -> ObjectStore:
        """The handle that single-handed checks use."""
        return self.handles[0]

    def key(self, name: str) -> Key:
        """A key of this ground."""
        return Key(f"{self.prefix}{name}")


Check = Callable[[Ground], Awaitable[None]]

AWKWARD_NAMES: Final = (
    "two words",
    "UPPER",
    "upper",
    "caf\u00e9",
    "cafe\u0301",
    "\u65e5\u672c\u8a9e",
    "\U0001f40b",
    "a=b&c",
    "q?x#y",
    'it\'s "quoted"',
    "-dash",
    "~tilde",
    "plus+plus",
    "end.",
    "a..b",
    "tab-less;semi:colon",
    "[brackets]{braces}",
    "*",
    "$HOME",
    "x" * 200,
)  # fmt: skip  names read better in rows than in a column

_NEIGHBOURS: Final = (
    "a!",
    "a-b/c",
    "a.json",
    "a/b",
    "b/a.json",
    "b/a/x",
    "b/a/y/z",
    "b/a0",
    "b.json",
    "b0",
    "c/d",
    "c/d!",
    "\u00e9",
    "\U0001f40b",
    "\uffee",
)  # fmt: skip  names read better in rows than in a column


async def one_of_many_creates_wins(ground: Ground) -> None:
    """Of concurrent creations of one key exactly one is stored, and all others learn its version."""
    for turn in range(ground.rounds):
        key = ground.key(f"create-race/{turn:04d}")
        await _race(ground, key, Absent())


async def one_of_many_replacements_wins(ground: Ground) -> None:
    """Of concurrent replacements of one version exactly one is stored, under a version never seen before."""
    key = ground.key("swap-race")
    version = await _created(ground, key, b"start")
    seen = {version}
    for _ in range(ground.rounds):
        version = await _race(ground, key, Matches(version), nonce="" if ground.bytes_recur else version)
        _require(version not in seen, "a replacement gets a version that was never used")
        seen.add(version)


async def a_second_create_changes_nothing(ground: Ground) -> None:
    """Creating what exists is lost, also with the same bytes."""
    key = ground.key("taken")
    version = await _created(ground, key, b"first")
    for body in (b"second", b"first"):
        outcome = await ground.store.put(key, body, when=Absent())
        _require(outcome == Lost(version), f"creating an existing key is Lost with its version, not {outcome}")
    await _holds(ground, key, b"first", version)


async def a_replacement_needs_the_current_version(ground: Ground) -> None:
    """A stale version, an absent object and a deleted object all lose, and nothing changes."""
    key, store = ground.key("swap"), ground.store
    outcome = await store.put(key, b"never", when=Matches("1"))
    _require(outcome == Lost(None), f"replacing an absent object is Lost(None), not {outcome}")
    _require(await store.get(key) is None, "a lost replacement creates nothing")
    first = await _created(ground, key, b"1")
    second = _stored(await store.put(key, b"2", when=Matches(first)))
    outcome = await store.put(key, b"stale", when=Matches(first))
    _require(outcome == Lost(second), f"replacing a stale version is Lost with the current one, not {outcome}")
    await _holds(ground, key, b"2", second)
    _deleted(await store.delete(key, when=Matches(second)))
    outcome = await store.put(key, b"late", when=Matches(second))
    _require(outcome == Lost(None), f"replacing a deleted object is Lost(None), not {outcome}")
    _require(await store.get(key) is None, "a lost replacement revives nothing")


async def versions_never_return(ground: Ground) -> None:
    """The same bytes under the same key get another version each time they are written, also after a delete."""
    key, store = ground.key("aba"), ground.store
    seen: list[str] = []
    for turn in range(max(ground.rounds, 3)):
        one, two = (b"same", b"same") if ground.bytes_recur else (f"{turn}a".encode(), f"{turn}b".encode())
        first = await _created(ground, key, one)
        second = _stored(await store.put(key, two, when=Matches(first)))
        _deleted(await store.delete(key, when=Matches(second)))
        seen += [first, second]
    _require(len(set(seen)) == len(seen), "no version of a key is used twice")
    current = await _created(ground, key, b"same")
    for old in seen:
        _require(await store.put(key, b"x", when=Matches(old)) == Lost(current), "an old version matches nothing")
        _require(await store.delete(key, when=Matches(old)) == Lost(current), "an old version deletes nothing")


async def deletes_need_the_current_version(ground: Ground) -> None:
    """A delete removes exactly the version it names and tells when there is nothing to remove."""
    key, store = ground.key("delete"), ground.store
    _require(await store.delete(key, when=Matches("1")) == Lost(None), "deleting an absent object is Lost(None)")
    first = await _created(ground, key, b"1")
    second = _stored(await store.put(key, b"2", when=Matches(first)))
    outcome = await store.delete(key, when=Matches(first))
    _require(outcome == Lost(second), f"deleting a stale version is Lost with the current one, not {outcome}")
    await _holds(ground, key, b"2", second)
    _deleted(await store.delete(key, when=Matches(second)))
    _require(await store.get(key) is None and await store.head(key) is None, "a deleted object is gone")
    outcome = await store.delete(key, when=Matches(second))
    _require(outcome == Lost(None), f"deleting twice is Lost(None), not {outcome}")


async def one_of_many_deletes_wins(ground: Ground) -> None:
    """Of concurrent deletes of one version exactly one happens."""
    for turn in range(ground.rounds):
        key = ground.key(f"delete-race/{turn:04d}")
        version = await _created(ground, key, b"x")
        outcomes = await asyncio.gather(
            *(_handle(ground, racer).delete(key, when=Matches(version)) for racer in range(ground.racers))
        )
        winners = [outcome for outcome in outcomes if isinstance(outcome, Deleted)]
        _require(len(winners) == 1, f"one of many deletes happens, not {len(winners)}")


async def a_write_is_seen_at_once(ground: Ground) -> None:
    """After a write every handle reads its bytes, version and size; absence is None everywhere."""
    key = ground.key("seen")
    for handle in ground.handles:
        _require(await handle.get(key) is None and await handle.head(key) is None, "what was not written is absent")
        _require(await handle.get_range(key, 0, 1) is None, "a range of what was not written is absent")
    version = await _created(ground, key, b"12345")
    for handle in ground.handles:
        await handle.settle(key)
        found, info = await handle.get(key), await handle.head(key)
        _require(found == StoredObject(b"12345", version), "a write is read back whole with its version")
        _require(info is not None and info.key == key, "head tells the key")
        _require(info is not None and (info.version, info.size_bytes) == (version, 5), "head agrees with get")
        _require(info is not None and info.modified_ms > 0, "head tells when the object was written")
    await ground.store.settle(ground.key("never-written"))


async def readers_see_whole_objects(ground: Ground) -> None:
    """While an object is created and replaced, readers see one version whole or none."""
    key, size = ground.key("whole"), 300_000
    bodies = [bytes([letter]) * size for letter in b"abcdefgh"]
    seen: dict[str, bytes] = {}
    done = asyncio.Event()

    async def write() -> None:
        outcome = await ground.store.put(key, bodies[0], when=Absent())
        for body in bodies[1:]:
            outcome = await ground.store.put(key, body, when=Matches(_stored(outcome)))
        done.set()

    async def read(handle: ObjectStore) -> None:
        while not done.is_set():
            found = await handle.get(key)
            if found is not None:
                _require(found.body in bodies, "a reader sees an object whole or not at all")
                _require(seen.setdefault(found.version, found.body) == found.body, "a version has one body")
            await asyncio.sleep(0)

    await asyncio.gather(write(), *(read(_handle(ground, reader)) for reader in range(4)))


async def empty_and_large_objects_are_kept(ground: Ground) -> None:
    """Objects of 0 bytes and of many megabytes come back as they were."""
    store, pattern = ground.store, bytes(range(256))
    large = pattern * (ground.large_bytes // len(pattern)) + b"tail"
    for name, body in (("empty", b""), ("large", large)):
        key = ground.key(f"size/{name}")
        await _holds(ground, key, body, await _created(ground, key, body))
        info = await store.head(key)
        _require(info is not None and info.size_bytes == len(body), "head tells the size")
    found = await store.get_range(ground.key("size/large"), len(large) - 8, len(large))
    _require(found is not None and found.body == large[-8:], "the end of a large object is read by range")
    found = await store.get_range(ground.key("size/large"), 4, len(large) - 4)
    _require(found is not None and found.body == large[4:-4], "most of a large object is read by range")


async def ranges_are_clipped(ground: Ground) -> None:
    """A range beyond the end gives what is there, possibly nothing, with the object's version."""
    key = ground.key("range")
    version = await _created(ground, key, b"0123456789")
    for start, end, expected in ((0, 4, b"0123"), (8, 99, b"89"), (10, 20, b""), (50, 60, b""), (3, 3, b"")):
        found = await ground.store.get_range(key, start, end)
        _require(found == StoredObject(expected, version), f"range [{start}, {end}) of 10 bytes is {expected!r}")
    empty = ground.key("range-of-nothing")
    version = await _created(ground, empty, b"")
    _require(await ground.store.get_range(empty, 0, 9) == StoredObject(b"", version), "an empty object has a range")


async def key_bytes_are_kept(ground: Ground) -> None:
    """Keys differ when their bytes differ and are listed as they were written."""
    keys = [ground.key(f"names/{name}") for name in AWKWARD_NAMES]
    for number, key in enumerate(keys):
        await _created(ground, key, str(number).encode())
    for number, key in enumerate(keys):
        found = await ground.store.get(key)
        _require(found is not None and found.body == str(number).encode(), f"{key!r} is a key of its own")
    listed = [info.key for info in await ground.store.list_page(ground.key("names/"))]
    _require(listed == sorted(keys), "keys are listed with the very bytes they were written with")


async def listing_is_ordered_and_exclusive(ground: Ground) -> None:
    """Pages of any size hold every key under the prefix once, in order, each page after its cursor."""
    keys = sorted(ground.key(f"list/{name}") for name in _NEIGHBOURS)
    for key in reversed(keys):
        await _created(ground, key, key.encode())
    await _created(ground, ground.key("lisu"), b"outside")
    for limit in (1, 2, 3, len(keys), 1000):
        found = await _listed(ground, ground.key("list/"), limit)
        _require([info.key for info in found] == keys, f"pages of {limit} hold every key once, in order")
    for info in found:
        _require(info == await ground.store.head(info.key), "a listing agrees with head")
    for cursor in (*keys, ground.key("list/b/a/"), ground.key("list/b/"), ground.key("list/zz")):
        page = await ground.store.list_page(ground.key("list/"), after=cursor)
        _require([info.key for info in page] == [key for key in keys if key > cursor], f"a page begins after {cursor}")
    for part in ("list/b", "list/b/a", "list/b/a/", "list/c/d", "nowhere/"):
        page = await ground.store.list_page(ground.key(part))
        within = [key for key in keys if key.startswith(ground.key(part))]
        _require([info.key for info in page] == within, f"the prefix {part} holds the keys that begin with it")


async def bytes_belong_to_the_store(ground: Ground) -> None:
    """Neither the caller's buffer nor what a reader was given can change an object."""
    key = ground.key("bytes")
    buffer = bytearray(b"before")
    outcome = await ground.store.put(key, buffer, when=Absent())  # type: ignore[arg-type]  # what untyped callers do
    buffer[:] = b"afters"
    version = _stored(outcome)
    found = await ground.store.get(key)
    _require(found is not None and type(found.body) is bytes, "a reader gets immutable bytes")
    await _holds(ground, key, b"before", version)


async def outcomes_are_no_booleans(ground: Ground) -> None:
    """No outcome can be tested for truth, so that none of its cases is forgotten."""
    key, store = ground.key("outcome"), ground.store
    stored = await store.put(key, b"x", when=Absent())
    lost = await store.put(key, b"x", when=Absent())
    deleted = await store.delete(key, when=Matches(_stored(stored)))
    for outcome in (stored, lost, deleted, Unsure("a sample")):
        try:
            bool(outcome)
        except TypeError:
            continue
        raise NotConforming(f"{type(outcome).__name__} must not convert to a boolean")


CHECKS: Final[tuple[Check, ...]] = (
    one_of_many_creates_wins,
    one_of_many_replacements_wins,
    one_of_many_deletes_wins,
    a_second_create_changes_nothing,
    a_replacement_needs_the_current_version,
    versions_never_return,
    deletes_need_the_current_version,
    a_write_is_seen_at_once,
    readers_see_whole_objects,
    empty_and_large_objects_are_kept,
    ranges_are_clipped,
    key_bytes_are_kept,
    listing_is_ordered_and_exclusive,
    bytes_belong_to_the_store,
    outcomes_are_no_booleans,
)
"""The whole suite; an adapter conforms when every check passes on empty ground."""


async def _race(ground: Ground, key: Key, when: Absent | Matches, nonce: str = "") -> str:
    bodies = [f"racer {racer} {nonce}".encode() for racer in range(ground.racers)]
    outcomes = await asyncio.gather(
        *(_handle(ground, racer).put(key, body, when=when) for racer, body in enumerate(bodies))
    )
    winners = [(racer, outcome) for racer, outcome in enumerate(outcomes) if isinstance(outcome, Stored)]
    _require(len(winners) == 1, f"one of {ground.racers} racers wins, not {len(winners)}")
    racer, won = winners[0]
    losers = [outcome for outcome in outcomes if outcome != won]
    _require(all(outcome == Lost(won.version) for outcome in losers), "every loser is told the winner's version")
    await _holds(ground, key, bodies[racer], won.version)
    return won.version


async def _listed(ground: Ground, prefix: str, limit: int) -> list[ObjectInfo]:
    found: list[ObjectInfo] = []
    while True:
        page = await ground.store.list_page(prefix, after=found[-1].key if found else "", limit=limit)
        _require(len(page) <= limit, "a page holds no more than it was asked for")
        before = found[-1].key if found else ""
        _require(all(info.key > before for info in page), "a page begins after its cursor")
        found += page
        if len(page) < limit:
            return found


async def _created(ground: Ground, key: Key, body: bytes) -> str:
    return _stored(await ground.store.put(key, body, when=Absent()))


async def _holds(ground: Ground, key: Key, body: bytes, version: str) -> None:
    found = await ground.store.get(key)
    _require(found is not None and found.body == body, f"{key} holds the bytes of its last write")
    _require(found is not None and found.version == version, f"{key} has the version of its last write")


def _handle(ground: Ground, racer: int) -> ObjectStore:
    return ground.handles[racer % len(ground.handles)]


def _stored(outcome: PutOutcome) -> str:
    if not isinstance(outcome, Stored):
        raise NotConforming(f"an uncontended write whose condition holds is Stored, not {outcome}")
    return outcome.version


def _deleted(outcome: DeleteOutcome) -> None:
    if not isinstance(outcome, Deleted):
        raise NotConforming(f"an uncontended delete whose condition holds is Deleted, not {outcome}")


def _require(condition: object, sentence: str) -> None:
    if not condition:
        raise NotConforming(sentence)
