"""The loop of repairs: whatever goes wrong in one round, there is a next one."""

import asyncio
from collections.abc import Sequence

from tests.kernel.world import VirtualClock

from arco.core.log import SilentLog
from arco.core.scope import Scope
from arco.loops.repairs import Repairs

SCOPE = Scope("acme", "prod")


async def test_a_round_that_fails_altogether_does_not_end_the_loop() -> None:
    asked, repaired = 0, asyncio.Event()

    def scopes() -> Sequence[Scope]:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise RuntimeError("nobody thought of this")
        return [SCOPE]

    async def repair(_scope: Scope) -> int:
        repaired.set()
        return 1

    loop = Repairs(scopes, [repair], clock=VirtualClock(), log=SilentLog(), interval_ms=1_000)
    loop.start()
    await asyncio.wait_for(repaired.wait(), 30)
    await loop.stop()
    assert asked >= 2
