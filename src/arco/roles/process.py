"""What every role of a process is made of: the outside world (clock, ids, storage, threads) and the rooms over it.

Nothing else in arco names a concrete adapter. A process has one store, one cache and one registry however many roles it
runs; each role sees the store through its own capabilities.
"""

import asyncio
import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import msgspec

from arco.core import paths
from arco.core.clock import Clock, SystemClock
from arco.core.entropy import Entropy, Ids, MintedIds, SystemEntropy
from arco.core.errors import InvalidInput
from arco.core.limits import GRACE_MIN_MS
from arco.core.log import LineLog, Log, standard_output
from arco.core.metrics import Registry
from arco.core.offload import Offload, Threads
from arco.core.scope import Scope
from arco.kernel.cache import ObjectCache, ScopedCache
from arco.kernel.chain import Chain
from arco.kernel.loader import Loader
from arco.kernel.reader import ChainReader
from arco.kernel.records import all_specs
from arco.query.nursery_client import Nursery
from arco.roles.chains import CATALOG, ServedChain
from arco.roles.news import News
from arco.storage.capabilities import Role
from arco.storage.local import LocalStore
from arco.storage.locate import CloudStore, store_from_url
from arco.storage.metered import MeteredStore
from arco.storage.port import ObjectStore, ReadRefused, StorageUnavailable
from arco.storage.scoped import RoleStore, TenantStore

OFFLOAD_THREADS: Final = 2
CACHE_BYTES: Final = 64 * 1024 * 1024
"""Decoded segments, pages and deltas of all scopes; `ARCO_CACHE_BYTES`. With everything else an api that does all there
is stays below 300 MB (docs/reliability.md)."""

GRACE_MS: Final = GRACE_MIN_MS
"""How long superseded objects stay whatever the policy; knowledge of the head is believed for a quarter of it."""


class Process(msgspec.Struct, kw_only=True):
    """The outside world of one process."""

    clock: Clock
    entropy: Entropy
    ids: Ids
    offload: Offload
    log: Log
    registry: Registry
    store: ObjectStore
    cache: ObjectCache
    nursery: Nursery = msgspec.field(default_factory=Nursery)
    grace_ms: int = GRACE_MS
    news: News = msgspec.field(default_factory=News)
    """Where whoever has published something about runs says so, to whoever of this process acts on it."""
    published: News = msgspec.field(default_factory=News)
    """Where it is said that a chain of runs has a new head, whatever it is about."""
    urls: dict[str, str] = msgspec.field(default_factory=dict)
    """Where each role of this process is reached from this machine, once its sockets are bound."""
    _secret: str = ""

    @property
    def own_secret(self) -> str:
        """A secret of this very process, for what its roles must agree about and nobody configured."""
        self._secret = self._secret or self.entropy.bytes(32).hex()
        return self._secret

    def scoped_store(self, scope: Scope, role: Role) -> ObjectStore:
        """A scope's objects as one role may use them."""
        return RoleStore(MeteredStore(TenantStore(self.store, scope), self.registry), role)

    def local_root(self, scope: Scope) -> str | None:
        """The folder of this machine that holds a scope's objects, when they are files."""
        return str(self.store.root / scope.prefix) if isinstance(self.store, LocalStore) else None

    def prepare_storage(self) -> None:
        """Make the folder of a local store, ask a bucket for an object: a server whose storage refuses must not start.

        A bucket that does not answer may come back: readiness tells. Raises `InvalidInput`.
        """
        if isinstance(self.store, CloudStore):
            asyncio.run(_reach(self.store))
        if not isinstance(self.store, LocalStore):
            return
        try:
            self.store.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(f"{self.store.root} cannot be made: {error.strerror}") from error
        if not os.access(self.store.root, os.W_OK | os.X_OK):
            raise InvalidInput(f"{self.store.root} cannot be written by this user")

    async def close(self) -> None:
        """End the connections to a bucket."""
        if isinstance(self.store, CloudStore):
            await self.store.close()

    def scoped_cache(self, scope: Scope) -> ScopedCache:
        """The part of the cache that belongs to a scope."""
        return ScopedCache(self.cache, scope.prefix)

    def reader(self, scope: Scope, role: Role, served: ServedChain = CATALOG) -> ChainReader:
        """A reader of a scope's chain."""
        store = self.scoped_store(scope, role)
        loader = Loader(store, self.scoped_cache(scope), all_specs(served.domains(scope)))
        chain = Chain(store, served.spec)
        return ChainReader(chain, loader, clock=self.clock, grace_ms=self.grace_ms, warm=served.warm)


async def _reach(store: CloudStore) -> None:
    try:
        await store.get(paths.READY_CHECK)
    except ReadRefused as refused:
        raise InvalidInput(f"bucket {store.bucket} refuses to be read: {refused}") from refused
    except StorageUnavailable:
        return
    finally:
        await store.close()


def make_process(storage: str, *, log: Log | None = None, cache_bytes: int = CACHE_BYTES) -> Process:
    """The real outside world over the store a URL names. Raises `InvalidInput` for a URL that names none."""
    clock, entropy = SystemClock(), SystemEntropy()
    return Process(
        clock=clock,
        entropy=entropy,
        ids=MintedIds(clock, entropy),
        offload=Threads(OFFLOAD_THREADS),
        log=log or LineLog(standard_output, clock),
        registry=Registry(),
        store=store_from_url(storage),
        cache=ObjectCache(cache_bytes),
    )


T = TypeVar("T")


class PerScope(Generic[T]):
    """One thing for each scope, made when first asked for; the longest unasked leaves when there are too many."""

    def __init__(self, make: Callable[[Scope], T], *, most: int = 1_000) -> None:
        self._make = make
        self._most = most
        self._made: OrderedDict[Scope, T] = OrderedDict()

    def __call__(self, scope: Scope) -> T:
        found = self._made.get(scope)
        if found is None:
            found = self._made[scope] = self._make(scope)
            if len(self._made) > self._most:
                self._made.popitem(last=False)
        else:
            self._made.move_to_end(scope)
        return found

    @property
    def made(self) -> list[Scope]:
        """The scopes something was made for, longest unasked first."""
        return list(self._made)


def derived_secret(label: str, material: str) -> bytes:
    """A secret for one purpose made from another one, so that processes that share the one agree on the other."""
    return hashlib.sha256(f"{label}\0{material}".encode()).digest()
