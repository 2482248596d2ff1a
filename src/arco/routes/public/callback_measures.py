"""How many callbacks there were, how many were refused, and how long they took (orchestration.md 8.6)."""

from arco.core.metrics import Registry


class CallbackMeasures:
    """Counts callbacks, those of a batch one by one."""

    def __init__(self, registry: Registry) -> None:
        self._all = registry.counter("arco_orch_callbacks_total", "Callbacks of workers", ["callback"])
        self._refused = registry.counter(
            "arco_orch_callback_errors_total", "Callbacks that were refused or failed", ["callback", "status"]
        )
        self._seconds = registry.histogram(
            "arco_orch_callback_duration_seconds", "From a callback to its answer", ["callback"]
        )

    def count(self, callback: str, status: int, took_ms: int) -> None:
        """Count one callback and what it was told."""
        self._all.series(callback).inc()
        self._seconds.series(callback).observe(took_ms / 1000)
        if status >= 400:
            self._refused.series(callback, str(status)).inc()
