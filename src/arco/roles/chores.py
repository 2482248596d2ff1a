"""What a compactor process does by itself: anti-entropy, collection, reconcile and repair, on a schedule, and measured.

`ARCO_REPAIR_MODE` says what happens with what is found: `dry_run` (the default) looks and counts, `enforce` collects
and repairs, `disabled` does not look. Anti-entropy heals in every mode: it only adds what was written. Sources:
catalog.md 3.9, 10.
"""

from collections.abc import Sequence
from typing import Final

from arco.config.settings import Settings
from arco.core.metrics import Registry
from arco.core.scope import Scope
from arco.edge.auth import LOCAL_TENANT, LOCAL_WORKSPACE
from arco.kernel.antientropy import Bounds, Sweep
from arco.kernel.chores import Busy, Collected, Upkeep, Upkeeps
from arco.kernel.compactors import Compactors
from arco.kernel.reconcile import Report
from arco.kernel.repair import Action
from arco.loops.repairs import Repair, Repairs
from arco.loops.visits import Visits
from arco.roles.process import Process

DISABLED: Final = "disabled"
ENFORCE: Final = "enforce"
_OWN_MODES: Final = {
    "catalog": "ARCO_COMPACTOR_REPAIR_AUTOMATION",
    "orchestration": "ARCO_FLOW_COMPACTOR_REPAIR_AUTOMATION",
}
"""The contracts' own names of the settings of repair, by chain; used before the common ones."""

_METERS: Final = {"catalog": "arco_catalog", "orchestration": "arco_flow_orch"}


class Chores:
    """The scheduled chores of a process that writes chains; `domain` is the first of the chain's."""

    def __init__(
        self, settings: Settings, process: Process, compactors: Compactors, upkeeps: Upkeeps, *, domain: str
    ) -> None:
        self._process = process
        self._compactors = compactors
        self._upkeeps = upkeeps
        self._domain = domain
        self._meter = ChoreMeter(process.registry, domain, _METERS[domain])
        own = _OWN_MODES[domain]
        self._mode = str(settings.value(f"{own}_MODE") or settings.value("ARCO_REPAIR_MODE"))
        self._scope = str(settings.value(f"{own}_SCOPE"))
        self._bounds = Bounds(
            objects_max=max(settings.value("ARCO_ANTI_ENTROPY_MAX_OBJECTS_PER_RUN"), 1),
            batch=settings.value("ARCO_ANTI_ENTROPY_REPROCESS_BATCH_SIZE"),
            timeout_ms=settings.value("ARCO_ANTI_ENTROPY_REPROCESS_TIMEOUT_SECS") * 1000,
        )
        walks = bool(settings.value("ARCO_ANTI_ENTROPY_MAX_OBJECTS_PER_RUN"))
        often = settings.value("ARCO_COMPACTOR_INTERVAL_SECS")
        seldom = settings.value(f"{own}_INTERVAL_SECS") or settings.value("ARCO_REPAIR_INTERVAL_SECS")
        self._loops = (
            self._loop(self.walk, often if walks else 0),
            self._loop(self.tend, 0 if self._mode == DISABLED else seldom),
            Visits(
                process.store,
                self._scopes,
                self.come_by,
                clock=process.clock,
                log=process.log,
                interval_ms=often * 1000 if walks and compactors.only is None else 0,
            ),
        )

    def _loop(self, chore: Repair, seconds: int) -> Repairs:
        return Repairs(
            self._scopes, [chore], clock=self._process.clock, log=self._process.log, interval_ms=seconds * 1000
        )

    def _scopes(self) -> Sequence[Scope]:
        """The scopes this process looks after; the local one is, also when nobody has asked for it yet."""
        local = [] if self._compactors.only else [Scope(LOCAL_TENANT, LOCAL_WORKSPACE)]
        return list(dict.fromkeys([*self._compactors.scopes, *local]))

    def start(self) -> None:
        """Begin."""
        for loop in self._loops:
            loop.start()

    async def stop(self) -> None:
        """End; what is broken off goes on with the next round of anybody."""
        for loop in self._loops:
            await loop.stop()

    async def walk(self, scope: Scope) -> int:
        """Anti-entropy; how many events had been missed."""
        upkeep = self._upkeeps.of(scope)
        if upkeep.notices.pending:
            # They would be found again; and who is told of something all the time must still be walked.
            await upkeep.notices.flush()
        try:
            sweeps = await upkeep.walk_all(self._bounds)
        except Busy:
            return 0
        return self._walked(scope, sweeps)

    async def come_by(self, scope: Scope) -> int:
        """Anti-entropy in a scope nobody has asked for; how many events had been missed."""
        return self._walked(scope, await self._upkeeps.passing(scope).walk_all(self._bounds))

    def _walked(self, scope: Scope, sweeps: Sequence[Sweep]) -> int:
        self._meter.walked(sweeps)
        missed = sum(sweep.missed for sweep in sweeps)
        if missed:
            self._process.log.warning("orphaned_events_found", tenant=scope.tenant, events=missed)
        return missed

    async def tend(self, scope: Scope) -> int:
        """Reconcile, repair and collect as the mode says; how many objects went."""
        upkeep, enforce = self._upkeeps.of(scope), self._mode == ENFORCE
        began_ms = self._process.clock.steady_ms()
        status = "check_failed"
        try:
            report, actions = await upkeep.reconcile(self._domain, self._scope, repair=enforce)
            status = _status(report, actions)
            now_ms = self._process.clock.steady_ms()
            self._meter.reconciled(report, actions, now_ms=now_ms, took_ms=now_ms - began_ms)
            return await self._collect(upkeep, apply=enforce)
        except Busy:
            status = "busy"
            return 0
        except Exception:
            self._meter.failed()
            raise
        finally:
            self._meter.ran(self._mode, self._scope, status)

    async def _collect(self, upkeep: Upkeep, *, apply: bool) -> int:
        objects, clock = 0, self._process.clock
        began_ms = clock.steady_ms()
        async for done in upkeep.rounds(apply=apply):
            self._meter.collected(done, clock.steady_ms() - began_ms, applied=apply)
            began_ms = clock.steady_ms()
            objects += done.objects
        return objects if apply else 0


def _status(report: Report, actions: Sequence[Action] | None) -> str:
    if not report.issues:
        return "clean"
    if actions is None:
        return "repair_needed"
    return "repaired" if actions and all(action.done for action in actions) else "repair_failed"


class ChoreMeter:
    """The metrics of the chores."""

    def __init__(self, registry: Registry, domain: str, prefix: str) -> None:
        self._domain = domain
        self._deleted = registry.counter("arco_gc_objects_deleted_total", "Objects collected").series()
        self._bytes = registry.counter("arco_gc_bytes_reclaimed_total", "Bytes collected").series()
        self._errors = registry.counter("arco_gc_errors_total", "Collections that failed").series()
        self._due = registry.gauge("arco_gc_versions_due", "Versions whose time is over").series()
        self._seconds = registry.histogram("arco_gc_run_duration_seconds", "Time of a collection", ("phase",))
        self._gaps = registry.counter(
            "arco_anti_entropy_gaps_found_total", "Events nobody had handed in", ("domain", "result")
        )
        labels = ("domain", "issue_type", "repairable")
        self._issues = registry.counter(f"{prefix}_reconciler_issues_total", "Findings of reconcile", labels)
        self._repairs = registry.counter(f"{prefix}_reconciler_repairs_total", "Repairs that were made").series()
        self._runs = registry.counter(
            f"{prefix}_repair_automation_runs_total", "Rounds of repair", ("domain", "mode", "scope", "status")
        )
        self._findings = registry.counter(f"{prefix}_repair_findings_total", "Findings").series()
        self._repeats = registry.counter(f"{prefix}_repair_repeat_findings_total", "Findings found again").series()
        self._backlog = registry.gauge(f"{prefix}_repair_backlog_count", "Findings not repaired").series()
        self._age = registry.gauge(f"{prefix}_repair_backlog_age_seconds", "Age of the oldest finding").series()
        self._latency = registry.histogram(f"{prefix}_repair_completion_latency_seconds", "Time of a repair").series()
        self._known: dict[str, int] = {}

    def walked(self, sweeps: Sequence[Sweep]) -> None:
        """Count what anti-entropy found."""
        for sweep in sweeps:
            folded = max(sweep.missed - sweep.pending, 0)
            for result, count in (("folded", folded), ("pending", sweep.pending), ("quarantined", sweep.quarantined)):
                if count:
                    self._gaps.series(self._domain, result).inc(count)

    def reconciled(self, report: Report, actions: Sequence[Action] | None, *, now_ms: int, took_ms: int) -> None:
        """Count what reconcile found and repair did."""
        for issue in report.issues:
            self._issues.series(self._domain, issue.issue_type, str(issue.repairable).lower()).inc()
        paths = {issue.path for issue in report.issues}
        self._findings.inc(len(paths))
        self._repeats.inc(len(paths & self._known.keys()))
        self._known = {path: self._known.get(path, now_ms) for path in paths}
        self._backlog.set(float(len(paths)))
        self._age.set((now_ms - min(self._known.values(), default=now_ms)) / 1000)
        done = sum(1 for action in actions or () if action.done)
        if done:
            self._repairs.inc(done)
            self._latency.observe(took_ms / 1000)

    def ran(self, mode: str, scope: str, status: str) -> None:
        """Count a round."""
        self._runs.series(self._domain, mode, scope, status).inc()

    def collected(self, done: Collected, took_ms: int, *, applied: bool) -> None:
        """Count what a collection took away."""
        self._seconds.series("collect" if applied else "rehearse").observe(took_ms / 1000)
        self._due.set(float(done.chain.due))
        if applied:
            self._deleted.inc(done.objects)
            self._bytes.inc(done.bytes)

    def failed(self) -> None:
        """Count a collection that did not get through."""
        self._errors.inc()
