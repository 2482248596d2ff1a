"""The workspaces of a simulated world, and what they are before anybody writes."""

import random
from functools import lru_cache
from typing import Any, Final

from arco.core.scope import Scope
from arco.sim.bucket import SimBucket
from arco.sim.loop import SimLoop
from arco.sim.machines import CompactorMachine
from arco.sim.plan import Config
from arco.sim.process import SimClock, SimProcess
from arco.sim.store import InstantStore

SCOPES: Final = (Scope("first", "main"), Scope("second", "main"))


@lru_cache(maxsize=1)
def genesis() -> tuple[tuple[str, bytes], ...]:
    """The objects of workspaces nobody has written to yet, as a compactor makes them."""
    loop = SimLoop(random.Random(0))  # type: ignore[abstract]  # what it lacks is the machine
    bucket = SimBucket(loop.time)
    process = SimProcess(loop, "compactor-0", 0, SimClock(loop))

    async def made() -> None:
        for scope in SCOPES:
            instant: Any = InstantStore(bucket, scope.prefix)
            store: Any = None
            await CompactorMachine(process, store, store, Config()).workshop(scope, instant).find_or_create()

    loop.run(made())
    return tuple((key, held.body) for key, held in bucket.objects.items())
