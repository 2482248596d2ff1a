"""User tokens: JWT by HS256, RS256 or ES256, judged by the rules of catalog.md 5.1.

Guarantees: `exp` is required, and `iat` where the rules ask for it; a token that was verified is remembered by its
SHA-256, for as long as it is valid, the keys it was verified with are good, and at most `CACHE_TOKENS_MAX` at a time,
so that the next request costs a hash.
"""

import hashlib
from collections import OrderedDict
from typing import Final

import msgspec

from arco.core.clock import Clock
from arco.core.errors import Unavailable
from arco.core.scope import scope_from_request
from arco.edge.auth import Identity, bearer, group_list
from arco.edge.claims import check_origin, lifetime_end, list_claim, text_claim
from arco.edge.hygiene import Headers
from arco.edge.jose import KeySource, KeysUnavailable, Refused, open_token
from arco.edge.refusals import Unauthenticated

CACHE_TOKENS_MAX: Final = 4_096


class TokenRules(msgspec.Struct, frozen=True, kw_only=True):
    """What is expected of the claims; issuer and audience only when configured."""

    issuer: str | None = None
    audience: str | None = None
    tenant_claim: str = "tenant"
    workspace_claim: str = "workspace"
    user_claim: str = "sub"
    groups_claim: str = "groups"
    issued_at: bool = False
    """Whether `iat` is required."""


class BearerTokens:
    """Authenticates by bearer token, signed with one of `keys`."""

    audited = True

    def __init__(self, keys: KeySource, rules: TokenRules, clock: Clock) -> None:
        self._keys = keys
        self._rules = rules
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[Identity, float]] = OrderedDict()
        self._generation = keys.generation()

    def identify(self, headers: Headers) -> Identity:
        """The caller the token speaks of. Raises `Unauthenticated`, `InvalidScopeId`, `KeysWanted`, `Unavailable`."""
        token = bearer(headers)
        now_s = self._clock.now_ms() / 1000
        generation = self._keys.generation()
        if generation != self._generation:
            self._known.clear()
            self._generation = generation
        digest = hashlib.sha256(token.encode("latin-1", "replace")).digest()
        known = self._known.get(digest)
        if known is not None and now_s < known[1]:
            self._known.move_to_end(digest)
            return known[0]
        identity, until_s = self._verified(token, now_s)
        self._remember(digest, identity, until_s)
        return identity

    def _verified(self, token: str, now_s: float) -> tuple[Identity, float]:
        rules = self._rules
        try:
            claims = open_token(token, self._keys)
            until_s = lifetime_end(claims, now_s, issued_at=rules.issued_at)
            check_origin(claims, rules.issuer, rules.audience)
            names = (rules.tenant_claim, rules.workspace_claim, rules.user_claim)
            tenant, workspace, user = (text_claim(claims, name) for name in names)
            groups = group_list(list_claim(claims, rules.groups_claim))
        except Refused:
            raise Unauthenticated("INVALID_TOKEN", "Invalid bearer token") from None
        except KeysUnavailable:
            raise Unavailable("The keys that tokens are signed with cannot be had; send the request again") from None
        return Identity(scope_from_request(tenant, workspace), user, groups, int(until_s * 1000)), until_s

    def _remember(self, digest: bytes, identity: Identity, until_s: float) -> None:
        self._known[digest] = (identity, until_s)
        self._known.move_to_end(digest)
        while len(self._known) > CACHE_TOKENS_MAX:
            self._known.popitem(last=False)
