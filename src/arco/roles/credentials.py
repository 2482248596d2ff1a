"""Who may call whom, as configured: keys of user tokens, how internal callers are known, and what we show others."""

from typing import Final

from arco.clients.credentials import METADATA_URL, Credentials, FixedHeaders, IdTokens
from arco.clients.outbound import Outbound
from arco.config.rules_internal import GCP_OIDC, STATIC_BEARER
from arco.config.settings import AUTH_HS256, AUTH_JWKS, Settings
from arco.config.variables import DEV
from arco.core.secret_set import SecretSet
from arco.edge.auth import Authenticator
from arco.edge.jose import KeySource, public_keys, secret_keys
from arco.edge.jwks import JwkSet
from arco.edge.service_callers import InternalCaller, OidcCallers, OidcRules, SecretOr, anybody_here, bearer_of
from arco.roles.process import Process

GCP_ID_TOKEN: Final = "gcp_id_token"


def user_keys(settings: Settings, process: Process) -> KeySource:
    """The keys of user tokens."""
    auth = settings.auth
    if auth.mode == AUTH_HS256:
        return secret_keys(*auth.keys)
    if auth.mode == AUTH_JWKS:
        return _published(settings, process, auth.jwks_url, auth.jwks_ttl_ms)
    return public_keys(*auth.keys)


def internal_caller(settings: Settings, process: Process, *, own: str | None = None) -> Authenticator:
    """How internal routes know who calls; `own` is the secret of callers within this process."""
    mode = settings.internal_auth
    ours = SecretSet(own) if own else None
    if mode == GCP_OIDC:
        return InternalCaller(_oidc(settings, process), only=settings.scope, own=ours)
    if mode != STATIC_BEARER:
        return InternalCaller(anybody_here, only=settings.scope, own=ours)
    names = ("ARCO_INTERNAL_AUTH_STATIC_BEARER_TOKEN", "ARCO_INTERNAL_AUTH_STATIC_BEARER_TOKEN_PREVIOUS")
    tokens = SecretSet(*(settings.value(name) or "" for name in names))
    return InternalCaller(bearer_of(tokens), only=settings.scope, own=ours)


def compactor_credentials(settings: Settings, process: Process, url: str) -> Credentials:
    """What the api shows the compactor at a URL."""
    mode = settings.value("ARCO_COMPACTOR_AUTH_MODE")
    if mode == GCP_ID_TOKEN:
        audience = settings.value("ARCO_COMPACTOR_AUTH_AUDIENCE") or url
        url = settings.value("ARCO_COMPACTOR_GCP_METADATA_URL") or METADATA_URL
        return IdTokens(audience, process.clock, url=url)
    return FixedHeaders(settings.value("ARCO_COMPACTOR_AUTH_STATIC_BEARER_TOKEN") if mode == STATIC_BEARER else None)


def internal_credentials(settings: Settings, process: Process, url: str) -> Credentials:
    """What a role shows another one at a URL: what it asks of callers itself."""
    mode = settings.internal_auth
    if mode == GCP_OIDC:
        return IdTokens(url, process.clock, url=METADATA_URL)
    token = settings.value("ARCO_INTERNAL_AUTH_STATIC_BEARER_TOKEN") if mode == STATIC_BEARER else None
    return FixedHeaders(token)


def _oidc(settings: Settings, process: Process) -> OidcCallers:
    url, ttl_s = settings.value("ARCO_INTERNAL_AUTH_JWKS_URL"), settings.value("ARCO_INTERNAL_AUTH_JWKS_CACHE_TTL_SECS")
    keys: KeySource = _published(settings, process, url, ttl_s * 1000)
    secret = settings.value("ARCO_INTERNAL_AUTH_HS256_SECRET")
    if secret:
        keys = SecretOr(secret_keys(secret), keys)
    rules = OidcRules(
        issuer=settings.value("ARCO_INTERNAL_AUTH_ISSUER"),
        audience=settings.value("ARCO_INTERNAL_AUTH_AUDIENCE"),
        subjects=frozenset(settings.value("ARCO_INTERNAL_AUTH_ALLOWED_SUBS") or ()),
        emails=frozenset(settings.value("ARCO_INTERNAL_AUTH_ALLOWED_EMAILS") or ()),
        enforce=bool(settings.value("ARCO_INTERNAL_AUTH_ENFORCE")),
    )
    return OidcCallers(keys, rules, clock=process.clock, log=process.log)


def _published(settings: Settings, process: Process, url: str, ttl_ms: int) -> JwkSet:
    outbound = Outbound(loopback=settings.environment == DEV)
    return JwkSet(lambda: outbound.get(url), clock=process.clock, log=process.log, ttl_ms=ttl_ms)
