"""URLs that read one object without further credentials, for as long as they say (catalog.md 2.1, 6; A-19, A-20).

Guarantees: a URL is for GET, for one key of one scope, and for at most an hour. Clouds sign their own; what has nobody
to sign for it (local files, memory, an emulator) is signed by arco and served by the api. A URL is a credential: it is
never logged, and no message of an error holds one.
"""

import hashlib
import hmac
from typing import Final, Protocol
from urllib.parse import quote, urlencode

from arco.core.clock import Clock
from arco.core.errors import InvalidInput
from arco.core.limits import SIGNED_URL_TTL_S, SIGNED_URL_TTL_S_MAX
from arco.core.paths import Key
from arco.core.scope import Scope
from arco.storage.names import object_key

_PURPOSE: Final = b"arco-signed-object\0"


class SigningUnavailable(Exception):
    """Nobody here may sign for this store: the credentials have no key, and may not ask for a signature."""


class UrlSigner(Protocol):
    """Signs URLs of the objects of one store."""

    async def sign(self, key: Key, ttl_s: int) -> str:
        """A URL that reads the object for `ttl_s` seconds, there or not. Raises `SigningUnavailable`, `InvalidKey`.

        Absolute, or for what the api serves itself a path with a query.
        """
        ...


def granted_ttl_s(asked: int | None) -> int:
    """The seconds a URL is good for: fifteen minutes unless asked, an hour at most. Raises `InvalidInput`."""
    if asked is None:
        return SIGNED_URL_TTL_S
    if asked < 1:
        raise InvalidInput("ttl_seconds must be at least 1")
    return min(asked, SIGNED_URL_TTL_S_MAX)


class FallbackSigner:
    """Has `first` sign, and `second` when nobody may sign for `first`: no caller is left without a URL."""

    def __init__(self, first: UrlSigner, second: UrlSigner) -> None:
        self._first = first
        self._second = second

    async def sign(self, key: Key, ttl_s: int) -> str:
        try:
            return await self._first.sign(key, ttl_s)
        except SigningUnavailable:
            return await self._second.sign(key, ttl_s)


class ScopedSigner:
    """Signs for the objects of one scope, by keys relative to it. Raises `InvalidKey` for one that could leave it."""

    def __init__(self, signer: UrlSigner, scope: Scope) -> None:
        self._signer = signer
        self._prefix = scope.prefix

    async def sign(self, key: Key, ttl_s: int) -> str:
        return await self._signer.sign(Key(f"{self._prefix}{object_key(key)}"), ttl_s)


class LocalSigner:
    """Signs paths below `route`, where the api serves what `opened` lets pass."""

    def __init__(self, secret: bytes, clock: Clock, route: str) -> None:
        self._secret = secret
        self._clock = clock
        self._route = route

    async def sign(self, key: Key, ttl_s: int) -> str:
        name = object_key(key)
        expires = self._clock.now_ms() // 1000 + min(ttl_s, SIGNED_URL_TTL_S_MAX)
        query = {"key": name, "expires": str(expires), "signature": self._signature(name, expires)}
        # The file's own name ends the path, so that readers that look at it know a Parquet file.
        return f"{self._route}/{quote(name.rpartition('/')[2], safe='')}?{urlencode(query)}"

    def opened(self, key: str, expires: str, signature: str) -> bool:
        """True while this very key is signed, and not for longer than any URL may be."""
        if not (expires.isascii() and expires.isdecimal() and len(expires) <= 12):
            return False
        now_s = self._clock.now_ms() // 1000
        expected = self._signature(key, int(expires))
        equal = hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))
        return equal and now_s < int(expires) <= now_s + SIGNED_URL_TTL_S_MAX

    def _signature(self, key: str, expires: int) -> str:
        text = b"GET\0%d\0%s" % (expires, key.encode("utf-8", "surrogatepass"))
        return hmac.new(self._secret, _PURPOSE + text, hashlib.sha256).hexdigest()
