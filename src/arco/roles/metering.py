"""What roles measure beyond requests and storage (catalog.md 10, operations.md 4): compaction, the read model."""

from arco.core.metrics import Registry
from arco.kernel.cache import ObjectCache
from arco.kernel.compactors import Compactors


def measure_compaction(registry: Registry, compactors: Compactors) -> None:
    """Publish what the compactors of this process count themselves."""
    cycles = registry.counter("compaction_cycles_total", "Manifests published").series()
    errors = registry.counter("compaction_errors_total", "Commits that failed").series()
    waiting = registry.gauge("arco_visibility_lag_events", "Units that wait for a commit").series()

    def refresh() -> None:
        running = compactors.running
        cycles.value = float(sum(one.published for one in running))
        errors.value = float(sum(one.failed for one in running))
        waiting.set(float(sum(one.pending_units for one in running)))

    registry.before_render(refresh)


def measure_reading(registry: Registry, cache: ObjectCache) -> None:
    """Publish how the cache of decoded objects does."""
    hits = registry.counter("arco_catalog_read_model_cache_hit_total", "Decoded objects found in memory").series()
    misses = registry.counter("arco_catalog_read_model_cache_miss_total", "Decoded objects not in memory").series()
    held = registry.gauge("arco_catalog_read_model_cache_bytes", "Bytes of decoded objects in memory").series()

    def refresh() -> None:
        hits.value, misses.value = float(cache.hits), float(cache.misses)
        held.set(float(cache.size_bytes))

    registry.before_render(refresh)
