"""Rate limits (catalog.md 5.5, abuse case A-42): token buckets in process memory, bounded in number and in age.

A request costs a token of its tenant's bucket and one of its principal's; a request that mints URLs costs one of the
tenant's mint bucket instead of the common one. Callers who fail to say who they are cost their address a token, so that
guessing and the records of it are bounded, and nobody who is known is kept out by who guesses.
"""

import math
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

import msgspec

from arco.core.canonical_json import sha256_hex
from arco.core.clock import Clock
from arco.edge.refusals import RateLimited

ENTRIES_MAX: Final = 10_000
ENTRY_TTL_MS: Final = 3_600_000
MINT_PATH: Final = "/browser/urls"
MINT_BURST: Final = 25
_KEY_CHARS_MAX: Final = 128
_REQUEST: Final = 60_000
"""One request in units of credit: what a rate of one a minute earns in a minute of milliseconds."""


class Rate(msgspec.Struct, frozen=True):
    """So many requests a minute, and so many at once."""

    per_minute: int
    burst: int


GUESSES: Final = Rate(600, 200)
"""Failed attempts of one address: who forgot a token is told so, who guesses is not written about for ever."""


class Taken(msgspec.Struct, frozen=True):
    """A token was taken: of how many a minute, and how many a caller may still send at once."""

    limit: int
    remaining: int

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """How the answer tells of it."""
        return [
            (b"x-ratelimit-limit", str(self.limit).encode()),
            (b"x-ratelimit-remaining", str(self.remaining).encode()),
        ]


class Buckets:
    """Token buckets of one rate by key; the one that was asked for longest ago leaves when there are too many."""

    def __init__(self, clock: Clock, rate: Rate) -> None:
        self.rate = rate
        self._clock = clock
        # Credit in parts of a request (1/60000), whole numbers, so that nothing is lost to rounding; and since when.
        self._buckets: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def __iter__(self) -> Iterator[str]:
        return iter(self._buckets)

    def take(self, key: str) -> Taken:
        """Take one token. Raises `RateLimited`."""
        now = self._clock.steady_ms()
        full = self.rate.burst * _REQUEST
        credit, since = self._buckets.pop(key, (full, now))
        credit = full if now - since > ENTRY_TTL_MS else min(full, credit + (now - since) * self.rate.per_minute)
        allowed = credit >= _REQUEST
        self._buckets[key] = (credit - _REQUEST if allowed else credit, now)
        self._forget(now)
        if not allowed:
            raise self._refusal(_REQUEST - credit)
        return Taken(self.rate.per_minute, (credit - _REQUEST) // _REQUEST)

    def _forget(self, now: int) -> None:
        """Drop the oldest entries beyond the bound, and one that is past its time: the order is that of last use."""
        while len(self._buckets) > ENTRIES_MAX:
            self._buckets.popitem(last=False)
        oldest = next(iter(self._buckets))
        if now - self._buckets[oldest][1] > ENTRY_TTL_MS:
            del self._buckets[oldest]

    def _refusal(self, lacking: int) -> RateLimited:
        wait_s = max(1, math.ceil(lacking / self.rate.per_minute / 1000))
        return RateLimited(
            f"Rate limit exceeded. Limit: {self.rate.per_minute} requests per minute. Retry after {wait_s} seconds.",
            retry_after_s=wait_s,
            limit=self.rate.per_minute,
        )


class RateLimits:
    """The buckets of one process. `principal` and `minting` are of their own; without them only the tenant's count."""

    def __init__(  # one rate each, by name
        self,
        clock: Clock,
        rate: Rate,
        *,
        principal: Rate | None = None,
        minting: Rate | None = None,
        guesses: Rate = GUESSES,
    ) -> None:
        self.tenants = Buckets(clock, rate)
        self.principals = Buckets(clock, principal) if principal else None
        self.minting = Buckets(clock, minting) if minting else None
        self.guesses = Buckets(clock, guesses)

    def take(self, tenant: str, principal: str = "", *, template: str = "") -> Taken:
        """Take what a request to this route costs, and tell of the scarcer bucket. Raises `RateLimited`."""
        own = (
            self.principals.take(_short(f"{tenant}/{principal}")) if self.principals is not None and principal else None
        )
        shared = (self.minting if self.minting is not None and MINT_PATH in template else self.tenants).take(tenant)
        return own if own is not None and own.remaining < shared.remaining else shared

    def guess(self, address: str) -> None:
        """Somebody at this address failed to say who they are. Raises `RateLimited`."""
        self.guesses.take(address)


def _short(key: str) -> str:
    """`key`, or its hash when it is long: entries are bounded in number, so they must be in size."""
    return key if len(key) <= _KEY_CHARS_MAX else sha256_hex(key.encode("utf-8", "surrogatepass"))
