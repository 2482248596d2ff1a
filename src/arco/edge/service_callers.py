"""How internal routes know another role of the deployment: a shared token, an OIDC token, or loopback alone in dev.

The scope is the one this process serves, or the one the headers name when it serves any. Refusals have the body of
catalog.md 5.6, `{"error": ...}`. Nothing here does I/O; keys are handed in.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from arco.core.clock import Clock
from arco.core.log import Log
from arco.core.scope import Scope, scope_from_request
from arco.core.secret_set import SecretSet
from arco.edge.auth import LOCAL_TENANT, LOCAL_WORKSPACE, Identity, bearer, check_local_host, header_text
from arco.edge.claims import check_origin, lifetime_end
from arco.edge.hygiene import Headers
from arco.edge.jose import HS256, Key, KeySource, KeysUnavailable, Refused, open_token
from arco.edge.refusals import Forbidden, Unauthenticated, UnknownService

SERVICE: Final = "service"
UNVERIFIED: Final = "unverified"


class OidcRules(msgspec.Struct, frozen=True, kw_only=True):
    """Whose tokens are good: of this issuer, for this audience, of one of these principals."""

    issuer: str
    audience: str
    subjects: frozenset[str] = frozenset()
    emails: frozenset[str] = frozenset()
    enforce: bool = True
    """False reports callers that would be refused, and lets them in."""


class InternalCaller:
    """Knows a caller by `who`, which gives its principal or raises `UnknownService`; then judges the scope it asks for.

    `own` are secrets of callers within this very process, which need no other proof.
    """

    audited = False

    def __init__(
        self, who: Callable[[Headers], str], *, only: Scope | None = None, own: SecretSet | None = None
    ) -> None:
        self._who = who
        self._only = only
        self._own = own

    def identify(self, headers: Headers) -> Identity:
        """The service and its scope. Raises `Unauthenticated`, `Forbidden`, `InvalidScopeId`, `KeysWanted`."""
        principal = SERVICE if self._is_own(headers) else self._who(headers)
        only = self._only
        scope = scope_from_request(
            header_text(headers, b"x-tenant-id") or (only.tenant if only else LOCAL_TENANT),
            header_text(headers, b"x-workspace-id") or (only.workspace if only else LOCAL_WORKSPACE),
        )
        if only is not None and scope != only:
            raise Forbidden("This process serves another tenant and workspace")
        return Identity(scope, principal)

    def _is_own(self, headers: Headers) -> bool:
        return self._own is not None and self._own.holds(_token(headers))


def anybody_here(headers: Headers) -> str:
    """For loopback in dev: whoever reaches the port. Raises `Forbidden` for what a web page may have sent."""
    check_local_host(headers.get(b"host", b""))
    if b"origin" in headers:
        raise Forbidden("Internal routes do not answer to web pages")
    return SERVICE


def bearer_of(secrets: SecretSet) -> Callable[[Headers], str]:
    """Whoever has one of the shared tokens."""

    def who(headers: Headers) -> str:
        token = _token(headers)
        if not token:
            raise UnknownService("missing bearer token")
        if not secrets.holds(token):
            raise UnknownService("invalid token: not the token of this deployment")
        return SERVICE

    return who


class OidcCallers:
    """Whoever has a token of the configured issuer and is on an allowlist; see `OidcRules.enforce`."""

    def __init__(self, keys: KeySource, rules: OidcRules, *, clock: Clock, log: Log) -> None:
        self._keys = keys
        self._rules = rules
        self._clock = clock
        self._log = log

    def __call__(self, headers: Headers) -> str:
        """The caller's e-mail, or its subject. Raises `UnknownService`, `KeysWanted`."""
        try:
            return self._principal(_token(headers))
        except UnknownService as unknown:
            if self._rules.enforce:
                raise
            self._log.warning("internal_caller_reported", reason=unknown.message)
            return UNVERIFIED

    def _principal(self, token: str) -> str:
        if not token:
            raise UnknownService("missing bearer token")
        rules = self._rules
        try:
            claims = open_token(token, self._keys)
            lifetime_end(claims, self._clock.now_ms() / 1000)
            check_origin(claims, rules.issuer, rules.audience)
        except Refused as refused:
            raise UnknownService(f"invalid token: {refused}") from None
        except KeysUnavailable as trouble:
            raise UnknownService(f"jwks refresh failed: {trouble.reason}") from None
        email, subject = claims.get("email"), claims.get("sub")
        # An e-mail the issuer has not verified is only what somebody claims.
        if isinstance(email, str) and email in rules.emails and claims.get("email_verified") is not False:
            return email
        if isinstance(subject, str) and subject in rules.subjects:
            return subject
        raise UnknownService("principal not allowlisted")


class SecretOr:
    """Keys of both kinds: a shared secret for HS256, published keys for everything else."""

    def __init__(self, secret: KeySource, published: KeySource) -> None:
        self._secret = secret
        self._published = published

    def generation(self) -> int:
        """Changes with the published keys."""
        return self._published.generation()

    def find(self, kid: str | None, algorithm: str) -> Sequence[Key]:
        """The keys of one kind or the other. Raises as they do."""
        return (self._secret if algorithm == HS256 else self._published).find(kid, algorithm)


def _token(headers: Headers) -> str:
    try:
        return bearer(headers)
    except Unauthenticated:
        return ""
