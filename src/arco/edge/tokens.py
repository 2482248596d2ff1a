"""User tokens: JWT HS256 or RS256, verified by joserfc, judged by the rules of catalog.md 5.1.

Guarantees: the algorithm is the configured one whatever the token's header says; `exp` is required; a claim given twice
is refused; a token that was verified is remembered by its SHA-256, for as long as it is valid and at most
`CACHE_TOKENS_MAX` at a time, so that the next request costs a hash.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from arco.core.clock import Clock
from arco.core.errors import InvalidInput
from arco.core.scope import scope_from_request
from arco.edge.auth import Identity, bearer, group_list
from arco.edge.codec import check_json
from arco.edge.hygiene import Headers
from arco.edge.refusals import Unauthenticated

LEEWAY_S: Final = 60
"""Tolerated difference between the issuer's clock and ours."""

CACHE_TOKENS_MAX: Final = 4_096
TOKEN_CHARS_MAX: Final = 16 * 1024
_EXP_MAX: Final = 10**10
"""The year 2286: a larger `exp` is in milliseconds or made up."""

HS256: Final = "HS256"
RS256: Final = "RS256"


class TokenRules(msgspec.Struct, frozen=True, kw_only=True):
    """What is expected of the claims; issuer and audience only when configured."""

    issuer: str | None = None
    audience: str | None = None
    tenant_claim: str = "tenant"
    workspace_claim: str = "workspace"
    user_claim: str = "sub"
    groups_claim: str = "groups"


class _Refused(Exception):
    """Why a token is not good; stays inside, callers learn only that it is not."""


class BearerTokens:
    """Authenticates by bearer token, signed with `algorithm` and one key (secret text or public key PEM)."""

    audited = True

    def __init__(self, key: str, algorithm: str, rules: TokenRules, clock: Clock) -> None:
        # joserfc and cryptography take 80 ms to import; a server without tokens does not need them.
        from joserfc import jws  # noqa: PLC0415  # see above
        from joserfc.errors import JoseError  # noqa: PLC0415  # see above
        from joserfc.jwk import OctKey, RSAKey  # noqa: PLC0415  # see above

        if algorithm not in (HS256, RS256):
            raise ValueError(f"unknown token algorithm {algorithm}")
        self._key: Any = OctKey.import_key(key) if algorithm == HS256 else RSAKey.import_key(key)
        self._algorithms = [algorithm]
        self._open = jws.deserialize_compact
        self._failures = (JoseError, InvalidInput, msgspec.MsgspecError, ValueError, TypeError, _Refused)
        self._rules = rules
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[Identity, float]] = OrderedDict()

    def identify(self, headers: Headers) -> Identity:
        """The caller the token speaks of. Raises `Unauthenticated`, `InvalidScopeId`."""
        token = bearer(headers)
        now_s = self._clock.now_ms() / 1000
        digest = hashlib.sha256(token.encode("latin-1", "replace")).digest()
        known = self._known.get(digest)
        if known is not None and now_s < known[1]:
            self._known.move_to_end(digest)
            return known[0]
        identity, until_s = self._verified(token, now_s)
        self._remember(digest, identity, until_s)
        return identity

    def _verified(self, token: str, now_s: float) -> tuple[Identity, float]:
        try:
            claims = self._claims(token)
            until_s = _lifetime_end(claims, now_s)
            _check_origin(claims, self._rules)
            subject = [_claim(claims, name) for name in self._subject_claims()]
            groups = _groups(claims, self._rules.groups_claim)
        except self._failures:
            raise Unauthenticated("INVALID_TOKEN", "Invalid bearer token") from None
        return Identity(scope_from_request(subject[0], subject[1]), subject[2], groups), until_s

    def _claims(self, token: str) -> dict[str, Any]:
        if len(token) > TOKEN_CHARS_MAX:
            raise _Refused("longer than any token of ours")
        payload = self._open(token, self._key, algorithms=self._algorithms).payload or b""
        check_json(payload)
        return msgspec.json.decode(payload, type=dict[str, Any])

    def _subject_claims(self) -> tuple[str, str, str]:
        return self._rules.tenant_claim, self._rules.workspace_claim, self._rules.user_claim

    def _remember(self, digest: bytes, identity: Identity, until_s: float) -> None:
        self._known[digest] = (identity, until_s)
        self._known.move_to_end(digest)
        while len(self._known) > CACHE_TOKENS_MAX:
            self._known.popitem(last=False)


def _lifetime_end(claims: Mapping[str, Any], now_s: float) -> float:
    """The second after which the token is no longer good, leeway included."""
    until_s = _seconds(claims, "exp", required=True) + LEEWAY_S
    if until_s <= now_s:
        raise _Refused("expired")
    for name in ("nbf", "iat"):
        if _seconds(claims, name, required=False) > now_s + LEEWAY_S:
            raise _Refused(f"{name} lies in the future")
    return until_s


def _seconds(claims: Mapping[str, Any], name: str, *, required: bool) -> float:
    if name not in claims and not required:
        return 0.0
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _EXP_MAX:
        raise _Refused(f"{name} must be seconds since the epoch")
    return float(value)


def _check_origin(claims: Mapping[str, Any], rules: TokenRules) -> None:
    if rules.issuer is not None and claims.get("iss") != rules.issuer:
        raise _Refused("other issuer")
    if "aud" not in claims and rules.audience is None:
        return
    audience = claims.get("aud")
    offered = audience if isinstance(audience, list) else [audience]
    # A token made for somebody else is not for us: `aud` without a configured audience is refused too.
    if rules.audience is None or rules.audience not in offered:
        raise _Refused("other audience")


def _claim(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise _Refused(f"{name} must be a non-empty text")
    return value


def _groups(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    if name not in claims:
        return ()
    value = claims[name]
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise _Refused(f"{name} must be a text or a list of texts")
    return group_list(items)
