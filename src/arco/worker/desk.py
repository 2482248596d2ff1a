"""Where dispatches are taken: who may dispatch, what is refused, what runs already (orchestration.md 7.5, 7.6).

Nothing of a dispatch is looked at before its secret; nothing is reported before its scope and its callback address are
ours. What runs goes on when the connection of its dispatch breaks.
"""

import asyncio
from collections import OrderedDict
from typing import Final

import msgspec

from arco.core.errors import InvalidInput
from arco.core.log import Log
from arco.core.secret_set import SecretSet
from arco.dispatch.envelope import BUSY_HEADER, SLOTS_HEADER, WorkerDispatchEnvelope, read_envelope, same_base_url
from arco.worker.attempt import Attempt, Bench, End, Stop, heartbeat_period_ms

FINISHED_MAX: Final = 1_024
"""Finished dispatches that are remembered (7.6)."""

REPORTING_SHARE: Final = 4
"""So many dispatches for each slot may be under way, most of them reporting to an api that does not answer."""

_RETRY_S: Final = 1


class Reply(msgspec.Struct, frozen=True):
    """An HTTP answer; `busy` is why it is 503."""

    status: int
    text: str
    busy: str = ""

    def headers(self, slots: int) -> dict[str, str]:
        """What goes with it."""
        found = {SLOTS_HEADER: str(slots)}
        if self.busy:
            found |= {BUSY_HEADER: self.busy, "Retry-After": str(_RETRY_S)}
        return found


class Gatekeeping(msgspec.Struct, frozen=True, kw_only=True):
    """Whose dispatches are taken, and how many at once."""

    secrets: SecretSet
    tenant: str
    workspace: str
    api_url: str
    slots: int


class Desk:
    """Takes the dispatches of one worker."""

    def __init__(self, rules: Gatekeeping, bench: Bench, log: Log) -> None:
        self.draining = False
        self._rules = rules
        self._bench = bench
        self._log = log
        self._running: dict[str, Attempt] = {}
        self._works: set[asyncio.Task[Reply]] = set()
        self._finished: OrderedDict[str, None] = OrderedDict()

    @property
    def slots(self) -> int:
        """Tasks at once."""
        return self._rules.slots

    def knows(self, secret: str | None, authorization: str | None) -> bool:
        """Whether a caller may dispatch: by the secret header, or the same as a bearer token."""
        offered = [secret.strip()] if secret is not None else []
        scheme, _, token = (authorization or "").strip().partition(" ")
        if scheme.lower() == "bearer":
            offered.append(token.strip())
        return any(self._rules.secrets.holds(one) for one in offered)

    async def take(self, body: bytes) -> Reply:
        """Run what a body asks for, and answer when it has ended."""
        try:
            envelope = self._checked(body)
        except (InvalidInput, ValueError) as error:
            message = error.message if isinstance(error, InvalidInput) else str(error)
            self._log.warning("dispatch_refused", reason=message)
            return Reply(400, message)
        name = envelope.dispatch_id
        if name in self._finished:
            self._finished.move_to_end(name)
            return Reply(200, "done before")
        if name in self._running:
            return Reply(503, "this dispatch is being executed", "running")
        if self.draining:
            return Reply(503, "the worker is stopping", "draining")
        holding = sum(not attempt.released.is_set() for attempt in self._running.values())
        if holding >= self.slots or len(self._running) >= REPORTING_SHARE * self.slots:
            return Reply(503, "all slots are taken", "full")
        attempt = self._running[name] = Attempt(envelope, self._bench)
        work = asyncio.get_running_loop().create_task(self._execute(name, attempt))
        self._works.add(work)
        work.add_done_callback(self._works.discard)
        return await asyncio.shield(work)

    async def drain(self, within_ms: int, *, grace_ms: int) -> None:
        """Take nothing more; let tasks end, then have them end, and give their reports `grace_ms`."""
        self.draining = True
        await self._wait(within_ms)
        if self._works:
            self._log.warning("worker_stops_tasks", tasks=len(self._works))
        for attempt in list(self._running.values()):
            attempt.stop(Stop.DRAIN)
        await self._wait(grace_ms)
        for work in list(self._works):
            work.cancel()
        await asyncio.gather(*self._works, return_exceptions=True)

    def hurry(self) -> None:
        """Have tasks end now: whoever stops the worker said so twice."""
        for attempt in list(self._running.values()):
            attempt.stop(Stop.DRAIN)

    async def _wait(self, for_ms: int) -> None:
        if self._works:
            await asyncio.wait(self._works, timeout=for_ms / 1000)

    async def _execute(self, name: str, attempt: Attempt) -> Reply:
        try:
            end = await attempt.run()
            if end is End.REPORTED:
                self._remember(name)
        except Exception as error:  # noqa: BLE001  # whatever it was, the queue delivers again
            self._log.error("dispatch_failed", dispatch=name, error=repr(error))
            return Reply(500, "unexpected error")
        finally:
            del self._running[name]
        return Reply(500, "the report was not taken") if end is End.UNREPORTED else Reply(200, end.value)

    def _remember(self, name: str) -> None:
        self._finished[name] = None
        if len(self._finished) > FINISHED_MAX:
            self._finished.popitem(last=False)

    def _checked(self, body: bytes) -> WorkerDispatchEnvelope:
        """The envelope, if it is for us. Raises `InvalidInput`, `ValueError`."""
        envelope = read_envelope(body)
        rules = self._rules
        if (envelope.tenant_id, envelope.workspace_id) != (rules.tenant, rules.workspace):
            raise InvalidInput("the dispatch is for another tenant or workspace")
        if not same_base_url(envelope.callback_base_url, rules.api_url):
            raise InvalidInput("callbackBaseUrl is not the api this worker reports to")
        heartbeat_period_ms(envelope.heartbeat_timeout_sec)
        return envelope
