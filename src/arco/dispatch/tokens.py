"""Task tokens: what lets one attempt at one task call back, and nothing else (orchestration.md 7.2).

A token has a secret, an issuer and an audience of its own, and is bound to tenant, workspace, task, run, attempt and
attempt id. Two secrets are good while one is being replaced: `kid` is a fingerprint of the secret, so the right one is
tried first, and a token without one, as other writers mint it, is tried with both. Whether the attempt is still the
current one is not known here: `mismatch` compares what the token says with what the fold says.
"""

import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeGuard

import msgspec

from arco.core.clock import Clock
from arco.core.errors import invariant
from arco.core.secret_set import SecretSet

LEEWAY_S: Final = 60
"""How far the clocks of minter and reader may be apart."""

TTL_S_MAX: Final = 86_400
TTL_MARGIN_S: Final = 300
"""A token outlives its task by at least this much: the last report still has to get through."""

_TOKEN_CHARS_MAX: Final = 8 * 1024
_KID_LABEL: Final = b"arco-config-fp"
_ALGORITHM: Final = "HS256"
_PARTS: Final = 3

BAD_FORMAT: Final = "bad_format"
BAD_SIGNATURE: Final = "bad_signature"
EXPIRED: Final = "expired"
NOT_YET_VALID: Final = "not_yet_valid"
ISSUER_MISMATCH: Final = "issuer_mismatch"
AUDIENCE_MISMATCH: Final = "audience_mismatch"
TASK_ID_MISMATCH: Final = "task_id_mismatch"
TENANT_MISMATCH: Final = "tenant_mismatch"
WORKSPACE_MISMATCH: Final = "workspace_mismatch"
MISSING_SCOPE_CLAIMS: Final = "missing_scope_claims"
RUN_ID_MISMATCH: Final = "run_id_mismatch"
ATTEMPT_MISMATCH: Final = "attempt_mismatch"
ATTEMPT_ID_MISMATCH: Final = "attempt_id_mismatch"


class InvalidTaskToken(Exception):
    """A token that lets nobody in; `reason` is one of the names above, and never holds what the token says."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TaskClaims(msgspec.Struct, frozen=True, kw_only=True):
    """Which attempt at which task a token speaks for."""

    task_id: str
    tenant_id: str
    workspace_id: str
    run_id: str
    attempt: int
    attempt_id: str


class TokenSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What minter and reader agree about. `previous_until_ms` is when the old secret is good no longer, if ever."""

    secret: str
    issuer: str
    audience: str
    previous_secret: str | None = None
    previous_until_ms: int | None = None

    def __repr__(self) -> str:
        return f"TokenSettings(issuer={self.issuer!r}, audience={self.audience!r})"


class MintedToken(msgspec.Struct, frozen=True):
    """A token, and when it is good no longer."""

    token: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"MintedToken(expires_at={self.expires_at!r})"


class TaskTokens:
    """Mints and reads task tokens. Raises `InvariantViolated` for settings that configuration never lets through."""

    def __init__(self, settings: TokenSettings, clock: Clock) -> None:
        invariant(settings.secret and settings.issuer and settings.audience, "task tokens have secret, iss and aud")
        self._settings = settings
        self._clock = clock
        self._kid = key_id(settings.secret)

    def mint(self, claims: TaskClaims, *, ttl_s: int) -> MintedToken:
        """A token for an attempt, good from now for `ttl_s` seconds (1 to 86400)."""
        from joserfc import jwt  # noqa: PLC0415  # joserfc and cryptography take 80 ms to import

        invariant(0 < ttl_s <= TTL_S_MAX, "a task token is good for a day at most")
        now_s = self._clock.now_ms() // 1000
        expires = now_s + ttl_s
        body = {
            "taskId": claims.task_id,
            "tenantId": claims.tenant_id,
            "workspaceId": claims.workspace_id,
            "runId": claims.run_id,
            "attempt": claims.attempt,
            "attemptId": claims.attempt_id,
            "iat": now_s,
            "nbf": now_s,
            "exp": expires,
            "iss": self._settings.issuer,
            "aud": self._settings.audience,
        }
        token = jwt.encode({"alg": _ALGORITHM, "kid": self._kid, "typ": "JWT"}, body, _key(self._settings.secret))
        return MintedToken(token, datetime.fromtimestamp(0, UTC) + timedelta(seconds=expires))

    def read(self, token: str, *, task_id: str, scope: tuple[str, str] | None = None) -> TaskClaims:
        """What a token says, once everything that needs no state is checked, in the contract's order.

        `task_id` is the one in the path; `scope` is tenant and workspace where the request names them. Raises
        `InvalidTaskToken`.
        """
        claims = self._opened(token)
        self._check_times(claims)
        self._check_parties(claims)
        if _said(claims, "taskId", "task_id") != task_id:
            raise InvalidTaskToken(TASK_ID_MISMATCH)
        tenant = _said(claims, "tenantId", "tenant_id", "tenant")
        workspace = _said(claims, "workspaceId", "workspace_id", "workspace")
        if scope is not None and tenant != scope[0]:
            raise InvalidTaskToken(TENANT_MISMATCH)
        if scope is not None and workspace != scope[1]:
            raise InvalidTaskToken(WORKSPACE_MISMATCH)
        found = {
            "task_id": task_id,
            "tenant_id": tenant,
            "workspace_id": workspace,
            "run_id": _said(claims, "runId", "run_id"),
            "attempt": _said(claims, "attempt"),
            "attempt_id": _said(claims, "attemptId", "attempt_id"),
        }
        try:
            read = msgspec.convert(found, TaskClaims)
        except msgspec.ValidationError:
            raise InvalidTaskToken(MISSING_SCOPE_CLAIMS) from None
        if read.attempt < 1 or not all((read.tenant_id, read.workspace_id, read.run_id, read.attempt_id)):
            raise InvalidTaskToken(MISSING_SCOPE_CLAIMS)
        return read

    def _opened(self, token: str) -> Mapping[str, Any]:
        kid = _kid_of(token)
        for secret in self._secrets(kid):
            payload = _payload(token, secret)
            if payload is None:
                continue
            try:
                return msgspec.json.decode(payload, type=dict[str, Any])
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise InvalidTaskToken(BAD_FORMAT) from None
        raise InvalidTaskToken(BAD_SIGNATURE)

    def _secrets(self, kid: str | None) -> Sequence[str]:
        """The secrets that are good now, the one that the header names first."""
        settings = self._settings
        secrets = [settings.secret]
        until_ms = settings.previous_until_ms
        if settings.previous_secret and (until_ms is None or self._clock.now_ms() < until_ms):
            secrets.append(settings.previous_secret)
        return sorted(secrets, key=lambda secret: key_id(secret) != kid)

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now_s = self._clock.now_ms() / 1000
        expires, not_before = claims.get("exp"), claims.get("nbf")
        if not _is_time(expires) or now_s > expires + LEEWAY_S:
            raise InvalidTaskToken(EXPIRED)
        if not_before is not None and (not _is_time(not_before) or not_before > now_s + LEEWAY_S):
            raise InvalidTaskToken(NOT_YET_VALID)

    def _check_parties(self, claims: Mapping[str, Any]) -> None:
        if claims.get("iss") != self._settings.issuer:
            raise InvalidTaskToken(ISSUER_MISMATCH)
        audience = claims.get("aud")
        heard = audience if isinstance(audience, list) else [audience]
        if self._settings.audience not in heard:
            raise InvalidTaskToken(AUDIENCE_MISMATCH)


def mismatch(claims: TaskClaims, *, run_id: str, attempt: int, attempt_id: str) -> str | None:
    """What of a genuine token is not the task's current run, attempt or attempt id; None when it is all current."""
    if claims.run_id != run_id:
        return RUN_ID_MISMATCH
    if claims.attempt != attempt:
        return ATTEMPT_MISMATCH
    return None if SecretSet(attempt_id).holds(claims.attempt_id) else ATTEMPT_ID_MISMATCH


def key_id(secret: str) -> str:
    """The fingerprint that tells two secrets apart without showing either (operations.md 1.1, 11)."""
    return hmac.digest(secret.encode(), _KID_LABEL, "sha256").hex()[:12]


def _kid_of(token: str) -> str | None:
    """The `kid` of a well-formed token of our one algorithm. Raises `InvalidTaskToken`."""
    from joserfc import jws  # noqa: PLC0415  # joserfc and cryptography take 80 ms to import
    from joserfc.errors import JoseError  # noqa: PLC0415  # joserfc and cryptography take 80 ms to import

    if len(token) > _TOKEN_CHARS_MAX or token.count(".") != _PARTS - 1:
        raise InvalidTaskToken(BAD_FORMAT)
    try:
        header = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError, TypeError):
        raise InvalidTaskToken(BAD_FORMAT) from None
    if header.get("alg") != _ALGORITHM or {"crit", "b64", "zip"} & header.keys():
        raise InvalidTaskToken(BAD_FORMAT)
    kid = header.get("kid")
    return kid if isinstance(kid, str) else None


def _payload(token: str, secret: str) -> bytes | None:
    from joserfc import jws  # noqa: PLC0415  # joserfc and cryptography take 80 ms to import
    from joserfc.errors import JoseError  # noqa: PLC0415  # joserfc and cryptography take 80 ms to import

    try:
        return jws.deserialize_compact(token, _key(secret), algorithms=[_ALGORITHM]).payload or b""
    except (JoseError, ValueError, TypeError):
        return None


def _key(secret: str) -> Any:
    from joserfc.jwk import OctKey  # noqa: PLC0415  # joserfc and cryptography take 80 ms to import

    return OctKey.import_key(secret)


def _said(claims: Mapping[str, Any], *names: str) -> Any:
    """The claim under any of its names; None when it is missing, or said twice and differently."""
    values = [claims[name] for name in names if claims.get(name) is not None]
    same = all(type(value) is type(values[0]) and value == values[0] for value in values[1:])
    return values[0] if values and same else None


def _is_time(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
