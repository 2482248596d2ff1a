"""Turns settings into the door's parts: who may enter, how fast, and with which cursors."""

from arco.config.settings import AUTH_DEBUG, AUTH_DEVELOPMENT, Settings
from arco.core.clock import Clock
from arco.core.entropy import Entropy
from arco.edge.auth import Authenticator, DebugHeaders, DevelopmentScope, InternalCaller
from arco.edge.cors import CorsRules
from arco.edge.pages import CursorCodec
from arco.edge.rates import Rate, RateLimits
from arco.edge.tokens import BearerTokens, TokenRules

_CURSOR_SECRET_BYTES = 32


def authenticator_for(settings: Settings, clock: Clock) -> Authenticator:
    """How the api of these settings knows who is asking."""
    auth = settings.auth
    if auth.mode == AUTH_DEVELOPMENT:
        return DevelopmentScope(settings.scope)
    if auth.mode == AUTH_DEBUG:
        return DebugHeaders()
    rules = TokenRules(
        issuer=auth.issuer,
        audience=auth.audience,
        tenant_claim=auth.tenant_claim,
        workspace_claim=auth.workspace_claim,
        user_claim=auth.user_claim,
        groups_claim=auth.groups_claim,
    )
    return BearerTokens(auth.key, auth.mode, rules, clock)


def internal_authenticator_for(settings: Settings) -> Authenticator:
    """How an internal role knows that another role is asking."""
    bearer = settings.value("ARCO_INTERNAL_AUTH_MODE") == "static_bearer"
    token: str | None = settings.value("ARCO_INTERNAL_AUTH_STATIC_BEARER_TOKEN") if bearer else None
    return InternalCaller(token, only=settings.scope)


def cursors_for(settings: Settings, entropy: Entropy) -> CursorCodec:
    """The cursor codec: the configured secret, or one that lives as long as this process."""
    secret: bytes | None = settings.value("ARCO_CURSOR_SECRET")
    return CursorCodec(secret or entropy.bytes(_CURSOR_SECRET_BYTES))


def cors_for(settings: Settings) -> CorsRules | None:
    """The cross-origin rules, or None when no origin is allowed."""
    origins: tuple[str, ...] | None = settings.value("ARCO_CORS_ALLOWED_ORIGINS")
    return CorsRules(origins, settings.value("ARCO_CORS_MAX_AGE_SECONDS")) if origins else None


def rates_for(settings: Settings, clock: Clock) -> RateLimits | None:
    """The tenants' rate limit; None in the development scope, where there is one person."""
    if settings.auth.mode == AUTH_DEVELOPMENT:
        return None
    return RateLimits(clock, Rate(settings.value("ARCO_RATE_DEFAULT_PER_MIN"), settings.value("ARCO_RATE_BURST")))
