"""Access metrics: one observation a request, labelled by route template, never by what the caller typed.

Names: the contract's `api_request_*` (catalog.md 10) for the api role, `arco_http_*` (operations.md 4) for every role.
"""

from typing import Final

from arco.core.metrics import CounterSeries, HistogramSeries, Registry

UNMATCHED: Final = "unmatched"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_Series = tuple[tuple[CounterSeries, ...], tuple[HistogramSeries, ...]]


class AccessMetrics:
    """Counts and times requests."""

    def __init__(self, registry: Registry, *, contract_names: bool) -> None:
        labels = ("route", "method", "status_class")
        self._counters = [registry.counter("arco_http_requests_total", "Requests answered", labels)]
        self._timers = [registry.histogram("arco_http_request_duration_seconds", "Time to answer", labels)]
        self._rejected = registry.counter("arco_http_rejected_total", "Requests turned away at the door", ("reason",))
        self._limited = registry.counter("rate_limit_hits_total", "Requests beyond a rate limit", ("endpoint",))
        self.in_flight = registry.gauge("arco_http_requests_in_flight", "Requests being answered").series()
        if contract_names:
            labels = ("endpoint", "method", "status_class")
            self._counters.append(registry.counter("api_request_total", "Requests answered", labels))
            self._timers.append(registry.histogram("api_request_duration_seconds", "Time to answer", labels))
        self._series: dict[tuple[str, str, int], _Series] = {}

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Record one answered request; `route` is a template or `unmatched`."""
        key = (route, method, status)
        counters, timers = self._series.get(key) or self._new(key)
        for counter in counters:
            counter.value += 1
        for timer in timers:
            timer.observe(seconds)

    def rejected(self, reason: str) -> None:
        """Record that the door refused a request; `reason` is an error code."""
        self._rejected.series(reason).inc()

    def limited(self, route: str) -> None:
        """Record that a request to `route` was beyond a rate limit."""
        self._limited.series(route).inc()

    def _new(self, key: tuple[str, str, int]) -> _Series:
        route, method, status = key
        labels = (route, method if method in _METHODS else "other", f"{status // 100}xx")
        made = (
            tuple(family.series(*labels) for family in self._counters),
            tuple(family.series(*labels) for family in self._timers),
        )
        if method in _METHODS:  # anything else is the caller's invention and must not grow this table
            self._series[key] = made
        return made
