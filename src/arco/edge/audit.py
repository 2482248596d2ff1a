"""Audit events: a structured log line at once, and a durable row a little later (catalog.md 5.7).

The actor is a keyed hash: an operator can follow one person through the log without the log naming anybody. Rows go
through `kernel.facts`, so nobody waits for them; changes are not noted here, they are witnessed in their own commit
(`domains.access.fold`). Being let in is counted by the minute, so that reads cause no write each; so are denials beyond
`DENIALS_KEPT` a minute of one actor and reason.
"""

import hashlib
import hmac
from functools import lru_cache
from typing import Final

import msgspec

from arco.core.clock import Clock
from arco.core.entropy import Ids
from arco.core.instant import http_text
from arco.core.log import Log, scrubbed
from arco.core.metrics import Registry
from arco.core.scope import Scope
from arco.domains.access.rows import AUTH_ALLOW, AUTH_DENY, AuditRow
from arco.edge.audit_minutes import AuditMinutes

ANONYMOUS: Final = "anonymous"
JWT_VALID: Final = "jwt_valid"
RESOURCE_CHARS_MAX: Final = 1_024
_ACTOR_BYTES: Final = 16


class AuditEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something somebody did or was refused. `resource_class` is what equal events are counted under: a template."""

    action: str
    actor: str
    reason: str
    resource: str
    resource_class: str
    request_id: str
    client: str = ""
    """The caller's address, told where nobody else is known."""

    @property
    def denial(self) -> bool:
        """True when somebody was refused."""
        return self.action.endswith("_DENY")


def actor_of(user: str, key: bytes | None = None) -> str:
    """`user:` and 32 hex digits of the (keyed) SHA-256 of the user; `anonymous` for nobody."""
    if not user:
        return ANONYMOUS
    return _hashed(user, key)


@lru_cache(maxsize=4096)
def _hashed(user: str, key: bytes | None) -> str:
    text = user.encode("utf-8", "surrogatepass")
    digest = hmac.digest(key, text, "sha256") if key else hashlib.sha256(text).digest()
    return "user:" + digest[:_ACTOR_BYTES].hex()


class AuditTrail:
    """Writes audit events to the log target `audit`, and keeps them in the workspace's audit table when it may.

    `home` is the workspace that keeps denials of callers nobody knows; without one only the log has them.
    """

    def __init__(
        self,
        log: Log,
        clock: Clock,
        ids: Ids,
        *,
        actor_key: bytes | None = None,
        registry: Registry | None = None,
        minutes: AuditMinutes | None = None,
        home: Scope | None = None,
    ) -> None:
        doc, labels = "Who was let in and who was not", ("mechanism", "result", "reason")
        self._decisions = registry.counter("auth_decisions_total", doc, labels) if registry is not None else None
        self._log = log.bind(target="audit")
        self._clock = clock
        self._ids = ids
        self._actor_key = actor_key
        self._minutes = minutes
        self._home = home

    async def close(self) -> None:
        """Hand over what is being counted; nothing may be noted afterwards."""
        if self._minutes is not None:
            await self._minutes.close()

    def actor(self, principal: str) -> str:
        """How audit shows a principal."""
        return actor_of(principal, self._actor_key)

    def allowed(self, scope: Scope, principal: str, *, request_id: str, resource: str, template: str = "") -> None:
        """Record that a caller was let in."""
        event = AuditEvent(
            action=AUTH_ALLOW,
            actor=self.actor(principal),
            reason=JWT_VALID,
            resource=resource,
            resource_class=template or resource,
            request_id=request_id,
        )
        self.note(scope, event, counted=True)

    def denied(  # one fact each, by name
        self, reason: str, *, request_id: str, resource: str, template: str = "", client: str = ""
    ) -> None:
        """Record that a caller at the address `client` was turned away: `missing_token` or `invalid_token`."""
        event = AuditEvent(
            action=AUTH_DENY,
            actor=ANONYMOUS,
            reason=reason,
            resource=resource,
            resource_class=template or resource,
            request_id=request_id,
            client=client,
        )
        self.note(None, event)

    def note(self, scope: Scope | None, event: AuditEvent, *, counted: bool = False) -> None:
        """Record an event of `scope`; `counted` ones are kept as one row for each actor, class and minute."""
        fields = {"tenantId": scope.tenant, "workspaceId": scope.workspace} if scope is not None else {}
        resource = scrubbed(event.resource[: 2 * RESOURCE_CHARS_MAX])[:RESOURCE_CHARS_MAX]
        event_id, now_ms = self._ids.ulid(), self._clock.now_ms()
        if self._decisions is not None:
            mechanism, _, result = event.action.lower().rpartition("_")
            self._decisions.series(mechanism, result, event.reason).inc()
        write = self._log.warning if event.denial else self._log.info
        write(
            _NAMES.get(event.action, event.action.lower()),
            eventVersion=1,
            eventId=event_id,
            timestamp=http_text(now_ms),
            requestId=event.request_id,
            action=event.action,
            resource=resource,
            decisionReason=event.reason,
            policyVersion="v1",
            actor=event.actor,
            client=event.client or None,
            **fields,
        )
        home = scope or self._home
        if self._minutes is None or home is None:
            return
        row = AuditRow(
            event_id=event_id,
            occurred_at=now_ms,
            action=event.action,
            actor=event.actor,
            resource=resource,
            decision_reason=event.reason,
            request_id=event.request_id,
        )
        self._minutes.keep(home, row, resource_class=event.resource_class, counted=counted)


_NAMES: Final = {AUTH_ALLOW: "auth_allowed", AUTH_DENY: "auth_denied"}
