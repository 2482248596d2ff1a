"""Rate limits: one token bucket a tenant (catalog.md 5.5). In process memory, bounded in tenants and in age."""

import math
from collections import OrderedDict
from typing import Final

import msgspec

from arco.core.clock import Clock
from arco.edge.refusals import RateLimited

TENANTS_MAX: Final = 10_000
ENTRY_TTL_MS: Final = 3_600_000
_REQUEST: Final = 60_000
"""One request in units of credit: what a rate of one a minute earns in a minute of milliseconds."""


class Rate(msgspec.Struct, frozen=True):
    """So many requests a minute, and so many at once."""

    per_minute: int
    burst: int


class RateLimits:
    """Token buckets by tenant; `remaining` is what a caller may still send at once."""

    def __init__(self, clock: Clock, rate: Rate) -> None:
        self.rate = rate
        self._clock = clock
        # Credit in parts of a request (1/60000), whole numbers, so that nothing is lost to rounding; and since when.
        self._buckets: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def take(self, tenant: str) -> int:
        """Take one token of this tenant and return how many are left. Raises `RateLimited`."""
        now = self._clock.steady_ms()
        full = self.rate.burst * _REQUEST
        credit, since = self._buckets.pop(tenant, (full, now))
        credit = full if now - since > ENTRY_TTL_MS else min(full, credit + (now - since) * self.rate.per_minute)
        allowed = credit >= _REQUEST
        self._buckets[tenant] = (credit - _REQUEST if allowed else credit, now)
        while len(self._buckets) > TENANTS_MAX:
            self._buckets.popitem(last=False)
        if not allowed:
            raise self._refusal(_REQUEST - credit)
        return (credit - _REQUEST) // _REQUEST

    def _refusal(self, lacking: int) -> RateLimited:
        wait_s = max(1, math.ceil(lacking / self.rate.per_minute / 1000))
        return RateLimited(
            f"Rate limit exceeded. Limit: {self.rate.per_minute} requests per minute. Retry after {wait_s} seconds.",
            retry_after_s=wait_s,
        )
