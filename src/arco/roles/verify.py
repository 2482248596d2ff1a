"""`arco verify`: replay a workspace's commit log and compare it with what is published (kernel.verify)."""

import asyncio
from collections.abc import Callable

import msgspec

from arco.core.errors import CorruptData
from arco.core.log import SilentLog
from arco.core.scope import Scope
from arco.kernel.verify import Verifier
from arco.roles.process import make_process
from arco.roles.shops import workshop


class VerifyReport(msgspec.Struct, frozen=True):
    """What a replay found, and how long it took."""

    ok: bool
    manifests: int
    units: int
    rows: int
    differences: list[str]
    seconds: float


def run(storage: str, tenant: str, workspace: str, progress: Callable[[int, int], None]) -> VerifyReport:
    """Replay one workspace. Raises `InvalidInput` for a storage URL that names no store; writes nothing."""
    return asyncio.run(_run(storage, Scope(tenant, workspace), progress))


async def _run(storage: str, scope: Scope, progress: Callable[[int, int], None]) -> VerifyReport:
    process = make_process(storage, log=SilentLog())
    began_ms = process.clock.steady_ms()
    verifier = Verifier(workshop(process, scope, role="api"), progress)
    try:
        found = await verifier.run()
    except CorruptData as error:
        found = verifier.report
        found.differences.append(error.message)
    finally:
        await process.close()
    return VerifyReport(
        ok=found.ok,
        manifests=found.manifests,
        units=found.units,
        rows=found.rows,
        differences=found.differences,
        seconds=(process.clock.steady_ms() - began_ms) / 1000,
    )
