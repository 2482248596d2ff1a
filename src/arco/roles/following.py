"""What the api's streams are made of: seats, watches over workspaces and logs, and who nudges them."""

from collections.abc import Callable

import msgspec

from arco.config.settings import Settings
from arco.core.scope import Scope
from arco.edge.lifecycle import Lifecycle
from arco.edge.streams import StreamLimits, Streams
from arco.kernel.reading import Reader
from arco.loops.log_watching import LogWatches
from arco.loops.watching import Watches
from arco.roles.process import Process
from arco.routes.public.live import Live, Runs
from arco.storage.port import ObjectStore


class Followed(msgspec.Struct, frozen=True):
    """How the chain that is followed is read, and what lies beside it."""

    reader_for: Callable[[Scope], Reader]
    store_for: Callable[[Scope], ObjectStore]


def make_live(settings: Settings, process: Process, lifecycle: Lifecycle, chain: Followed) -> Live:
    """Streams over a chain. Publications of this process wake them at once."""
    clock, log, poll_ms = process.clock, process.log, settings.value("ARCO_STREAM_POLL_MS")
    limits = StreamLimits(
        streams_max=settings.value("ARCO_STREAMS_MAX"),
        tenant_max=settings.value("ARCO_STREAMS_TENANT_MAX"),
        heartbeat_ms=settings.value("ARCO_STREAM_HEARTBEAT_SECS") * 1000,
    )
    watches = Watches(chain.reader_for, clock=clock, log=log, poll_ms=poll_ms)
    process.published.listen(watches.nudge)
    return Live(
        streams=Streams(limits, clock=clock, lifecycle=lifecycle, registry=process.registry),
        watches=watches,
        runs=Runs(clock),
        logs=LogWatches(chain.store_for, clock=clock, log=log, poll_ms=poll_ms),
    )
