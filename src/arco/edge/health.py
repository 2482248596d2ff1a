"""Is this process alive, and can it do its work (operations.md 3, artifacts.md 9, catalog.md 4.2).

`/health` and `/health/live` do no I/O. Readiness runs the injected checks at the same time, each within its budget, and
keeps the answer for a second, so that a balancer's polling costs storage one request a second at most.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import msgspec

from arco.core.clock import Clock
from arco.core.instant import http_text
from arco.core.log import Log
from arco.edge.lifecycle import Lifecycle

CHECK_BUDGET_S: Final = 3.0
CACHE_MS: Final = 1_000
STUCK_MS: Final = 30_000

READY: Final = "ready"
DEGRADED: Final = "degraded"
NOT_READY: Final = "not_ready"
NOT_CONFIGURED: Final = "not_configured"


class CheckResult(msgspec.Struct, frozen=True):
    """What a check found: `ready`, `degraded`, `not_ready` or `not_configured`, and one plain sentence."""

    status: str = READY
    detail: str = ""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing this process depends on. Without an `essential` thing it must not get traffic."""

    name: str
    probe: Callable[[], Awaitable[CheckResult]]
    essential: bool = True


class DependencyView(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one thing this process depends on."""

    name: str
    healthy: bool
    essential: bool
    status: str
    detail: str


class ReadinessView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whether this process can do its work, and why not."""

    status: str
    checked_at_utc: str
    role: str
    version: str
    dependencies: tuple[DependencyView, ...]


class ReadyView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The short form of readiness."""

    ready: bool
    message: str | None = None


class StatusView(msgspec.Struct, frozen=True):
    """Alive: `ok`, or `stuck` when the event loop has not turned for 30 seconds."""

    status: str


class Health:
    """Asks the checks of one process and remembers the answer for a second."""

    def __init__(  # one fact each, by name
        self,
        checks: Sequence[Check],
        *,
        role: str,
        version: str,
        clock: Clock,
        log: Log,
        lifecycle: Lifecycle,
    ) -> None:
        self._checks = tuple(checks)
        self._role = role
        self._version = version
        self._clock = clock
        self._log = log
        self._lifecycle = lifecycle
        self._asked_ms: int | None = None
        self._pending: asyncio.Task[tuple[DependencyView, ...]] | None = None
        self._beat_ms = clock.steady_ms()

    def beat(self) -> None:
        """The event loop has turned; called by the role's heartbeat."""
        self._beat_ms = self._clock.steady_ms()

    @property
    def stuck(self) -> bool:
        """True when the heartbeat is older than 30 seconds."""
        return self._clock.steady_ms() - self._beat_ms > STUCK_MS

    async def readiness(self) -> ReadinessView:
        """The state of every dependency, at most a second old."""
        dependencies = await asyncio.shield(self._asked())
        if self._lifecycle.draining:
            draining = DependencyView(
                name="lifecycle", healthy=False, essential=True, status=NOT_READY, detail="draining"
            )
            dependencies = (*dependencies, draining)
        return ReadinessView(
            status=_overall(dependencies),
            checked_at_utc=http_text(self._clock.now_ms()),
            role=self._role,
            version=self._version,
            dependencies=dependencies,
        )

    def _asked(self) -> "asyncio.Task[tuple[DependencyView, ...]]":
        now = self._clock.steady_ms()
        fresh = self._asked_ms is not None and now - self._asked_ms < CACHE_MS
        if self._pending is None or (self._pending.done() and not fresh):
            self._asked_ms = now
            self._pending = asyncio.ensure_future(self._ask_all())
        return self._pending

    async def _ask_all(self) -> tuple[DependencyView, ...]:
        return tuple(await asyncio.gather(*(self._ask(check) for check in self._checks)))

    async def _ask(self, check: Check) -> DependencyView:
        try:
            async with asyncio.timeout(CHECK_BUDGET_S):
                found = await check.probe()
        except TimeoutError:
            found = CheckResult(NOT_READY, f"no answer within {CHECK_BUDGET_S:g} seconds")
        except Exception as error:  # noqa: BLE001  # a check that breaks is a dependency that is not ready
            self._log.warning("health_check_failed", check=check.name, error=type(error).__name__, msg=str(error))
            found = CheckResult(NOT_READY, "the check failed; see the log")
        return DependencyView(
            name=check.name,
            healthy=found.status in (READY, NOT_CONFIGURED),
            essential=check.essential,
            status=found.status,
            detail=found.detail,
        )


class VersionView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which build answers."""

    service: str
    package_version: str
    code_version: str = "unknown"
    git_sha: str = "unknown"
    image: str = "unknown"
    cloud_run_revision: str = "unknown"


def version_view(environ: Mapping[str, str], *, service: str, package_version: str) -> VersionView:
    """The build as the environment tells it (catalog.md 4.2)."""

    def first(*names: str, default: str = "unknown") -> str:
        return next((environ[name].strip() for name in names if environ.get(name, "").strip()), default)

    return VersionView(
        service=first("ARCO_SERVICE_NAME", "K_SERVICE", default=service),
        package_version=package_version,
        code_version=first("ARCO_CODE_VERSION"),
        git_sha=first("ARCO_GIT_SHA", "GIT_SHA", "COMMIT_SHA"),
        image=first("ARCO_API_IMAGE", "ARCO_IMAGE"),
        cloud_run_revision=first("K_REVISION", "ARCO_CLOUD_RUN_REVISION"),
    )


def _overall(dependencies: Sequence[DependencyView]) -> str:
    if any(each.essential and each.status == NOT_READY for each in dependencies):
        return NOT_READY
    return READY if all(each.healthy for each in dependencies) else DEGRADED
