"""Keys published as a JWK set: kept for a while, fetched again in time, and when a token names one not seen yet.

A set is used for its time to live; then it is fetched again in the background while the old one goes on being used,
for `STALE_MS` at most when fetching fails. A `kid` nobody has seen asks for the set at most once in `REST_MS`,
whoever asks. A key must say nothing that contradicts its use here: RSA is for RS256, P-256 for ES256, an `alg` of its
own must be that very one, and a `kid` that two keys share names neither.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from arco.core.clock import Clock
from arco.core.errors import InvalidInput
from arco.core.log import Log
from arco.edge.codec import check_json
from arco.edge.jose import KID_CHARS_MAX, Key, KeysUnavailable, KeysWanted, Refused, key_of

STALE_MS: Final = 3_600_000
"""How long keys are used beyond their time to live while fetching them fails: an hour of an issuer's outage."""

REST_MS: Final = 60_000
"""The least time between two fetches because of unknown kids (operations.md 11)."""

COLD_REST_MS: Final = 2_000
"""The least time between two fetches while there are no keys at all."""

KEYS_MAX: Final = 100
_RSA_CHARS_MIN: Final = 342
"""A modulus of 2,048 bits in base64url: a shorter one is not worth importing."""

_PUBLIC_MEMBERS: Final = ("kty", "n", "e", "crv", "x", "y", "kid")


class JwkSet:
    """Implements `jose.RefreshedKeys`; `fetch` gives the bytes of the set and raises for any trouble."""

    def __init__(self, fetch: Callable[[], Awaitable[bytes]], *, clock: Clock, log: Log, ttl_ms: int) -> None:
        self._fetch = fetch
        self._clock = clock
        self._log = log
        self._ttl_ms = ttl_ms
        self._keys: dict[str, Key] = {}
        self._fetched_ms = 0
        self._asked_ms: int | None = None
        self._trouble = "not fetched yet"
        self._generation = 0
        self._task: asyncio.Task[None] | None = None

    def generation(self) -> int:
        """Changes when a key left the set, or the whole set became too old; begins fetching when it is time to."""
        age_ms = self._clock.steady_ms() - self._fetched_ms
        if self._keys and age_ms >= self._ttl_ms:
            if age_ms >= self._ttl_ms + STALE_MS:
                self._replace({})
            if self._rested(REST_MS):
                self._begin()
        return self._generation

    def find(self, kid: str | None, algorithm: str) -> Sequence[Key]:
        """The key with this kid. Raises `Refused`, `KeysWanted`, `KeysUnavailable`."""
        if kid is None:
            raise Refused("no kid")
        self.generation()
        key = self._keys.get(kid)
        if key is not None:
            return (key,) if key.algorithm == algorithm else ()
        if self._task is not None or self._rested(REST_MS if self._keys else COLD_REST_MS):
            raise KeysWanted(self)
        if not self._keys:
            raise KeysUnavailable(self._trouble)
        raise Refused("unknown kid")

    async def refresh(self) -> None:
        """Fetch the set, together with whoever else waits for it."""
        self._begin()
        if self._task is not None:
            await asyncio.wait({self._task})

    async def close(self) -> None:
        """End a fetch that is under way."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _rested(self, rest_ms: int) -> bool:
        return self._asked_ms is None or self._clock.steady_ms() - self._asked_ms >= rest_ms

    def _begin(self) -> None:
        if self._task is None:
            self._asked_ms = self._clock.steady_ms()
            self._task = asyncio.get_running_loop().create_task(self._fetched())

    async def _fetched(self) -> None:
        try:
            keys = parse_keys(await self._fetch())
        except Exception as error:  # noqa: BLE001  # whatever it is, the keys there are stay in use for a while
            self._trouble = str(error) or type(error).__name__
            self._log.warning("jwks_refresh_failed", reason=self._trouble)
        else:
            self._fetched_ms = self._clock.steady_ms()
            self._replace(keys)
        finally:
            self._asked_ms = self._clock.steady_ms()
            self._task = None

    def _replace(self, keys: dict[str, Key]) -> None:
        gone = [kid for kid, key in self._keys.items() if not _same(keys.get(kid), key)]
        self._keys = keys
        if gone:
            self._generation += 1


class _Set(msgspec.Struct, frozen=True):
    keys: list[dict[str, Any]]


def parse_keys(body: bytes) -> dict[str, Key]:
    """The usable keys of a JWK set by kid. Raises `ValueError` for bytes that are no set, or one without such keys."""
    try:
        check_json(body)
        given = msgspec.json.decode(body, type=_Set).keys
    except (InvalidInput, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError("the answer is not a JWK set") from error
    if len(given) > KEYS_MAX:
        raise ValueError(f"the set holds more than {KEYS_MAX} keys")
    kids = [one.get("kid") for one in given]
    found: dict[str, Key] = {}
    for one in given:
        kid = one.get("kid")
        if isinstance(kid, str) and 0 < len(kid) <= KID_CHARS_MAX and kids.count(kid) == 1:
            key = _key(one)
            if key is not None:
                found[kid] = key
    if not found:
        raise ValueError("the set holds no key that can be used")
    return found


def _key(one: dict[str, Any]) -> Key | None:
    from joserfc.errors import JoseError  # noqa: PLC0415  # joserfc and cryptography take 80 ms to import
    from joserfc.jwk import ECKey, RSAKey  # noqa: PLC0415  # a server without published keys does without

    kinds: dict[str, Any] = {"RSA": RSAKey, "EC": ECKey}
    kind = kinds.get(str(one.get("kty")))
    operations = one.get("key_ops", ["verify"])
    if kind is None or (kind is RSAKey and len(str(one.get("n", ""))) < _RSA_CHARS_MIN):
        return None
    if one.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    try:
        # Only what makes the public key: whatever else the set says about it is not ours to follow.
        key = key_of(kind.import_key({name: one[name] for name in _PUBLIC_MEMBERS if name in one}))
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return key if one.get("alg", key.algorithm) == key.algorithm else None


def _same(one: Key | None, other: Key) -> bool:
    return one is not None and bool(one.value.thumbprint() == other.value.thumbprint())
