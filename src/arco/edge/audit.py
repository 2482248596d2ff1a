"""Audit events of authentication as structured logs (catalog.md 5.7): best effort, denials as warnings.

The actor is a keyed hash: an operator can follow one person through the log without the log naming anybody.
"""

import hashlib
import hmac
from functools import lru_cache
from typing import Final

from arco.core.clock import Clock
from arco.core.entropy import Ids
from arco.core.instant import http_text
from arco.core.log import Log
from arco.core.scope import Scope

ANONYMOUS: Final = "anonymous"
_ACTOR_BYTES: Final = 16


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
    """Writes audit events to the log target `audit`."""

    def __init__(self, log: Log, clock: Clock, ids: Ids, *, actor_key: bytes | None = None) -> None:
        self._log = log.bind(target="audit")
        self._clock = clock
        self._ids = ids
        self._actor_key = actor_key

    def allowed(self, scope: Scope, principal: str, *, request_id: str, resource: str) -> None:
        """Record that a caller was let in."""
        self._log.info(
            "auth_allowed",
            **self._common(request_id, "AUTH_ALLOW", resource, "jwt_valid"),
            actor=actor_of(principal, self._actor_key),
            tenantId=scope.tenant,
            workspaceId=scope.workspace,
        )

    def denied(self, reason: str, *, request_id: str, resource: str) -> None:
        """Record that a caller was turned away: `missing_token` or `invalid_token`."""
        self._log.warning("auth_denied", **self._common(request_id, "AUTH_DENY", resource, reason), actor=ANONYMOUS)

    def _common(self, request_id: str, action: str, resource: str, reason: str) -> dict[str, object]:
        return {
            "eventVersion": 1,
            "eventId": self._ids.ulid(),
            "timestamp": http_text(self._clock.now_ms()),
            "requestId": request_id,
            "action": action,
            "resource": resource,
            "decisionReason": reason,
            "policyVersion": "v1",
        }
