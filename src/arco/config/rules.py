"""Rules between variables of the api and the compactor (operations.md 1.2, catalog.md 5.2)."""

from typing import Final

from arco.config.gather import Draft
from arco.config.kinds import url_parts
from arco.config.rules_internal import check_internal, check_outbound
from arco.config.urls import is_loopback
from arco.config.variables import ALL, DEV

_JWT_KEYS: Final = ("ARCO_JWT_SECRET", "ARCO_JWT_PUBLIC_KEY_PEM", "ARCO_JWT_PUBLIC_KEY_PATH", "ARCO_JWT_JWKS_URL")
_CLAIMS: Final = (
    "ARCO_JWT_TENANT_CLAIM",
    "ARCO_JWT_WORKSPACE_CLAIM",
    "ARCO_JWT_USER_CLAIM",
    "ARCO_JWT_GROUPS_CLAIM",
)
_SCOPE_PAIR: Final = ("ARCO_TENANT_ID", "ARCO_WORKSPACE_ID")
_DEV_STORAGE: Final = ("file://", "memory://")
_FOLDED_TOGETHER: Final = ("catalog", "lineage", "search")
"""The contract's domains of the compactor's chain; there are no artifacts yet."""


def posture_of(environment: str, *, public: bool) -> str:
    """`dev`, `private` or `public` (catalog.md 5.2)."""
    if public:
        return "public"
    return "dev" if environment == DEV else "private"


def check_everywhere(draft: Draft) -> None:
    """Rules of every role."""
    storage = draft["ARCO_STORAGE_BUCKET"] or ""
    if draft["ARCO_ENVIRONMENT"] != DEV:
        for scheme in _DEV_STORAGE:
            if storage.startswith(scheme):
                draft.refuse("ARCO_STORAGE_BUCKET", f"{scheme} is only allowed in dev")
        if draft["ARCO_LOG_FORMAT"] == "text":
            draft.refuse("ARCO_LOG_FORMAT", "text is only allowed in dev")
    for name, other in (_SCOPE_PAIR, _SCOPE_PAIR[::-1]):
        if draft[name] and not draft[other] and not draft.fails(other):
            draft.refuse(other, f"required when {name} is set", "E-REQUIRED")


def check_api(draft: Draft) -> None:
    """Rules of the api role."""
    posture = posture_of(draft["ARCO_ENVIRONMENT"], public=bool(draft["ARCO_API_PUBLIC"]))
    if draft["ARCO_DEBUG"] and posture != DEV:
        draft.refuse("ARCO_DEBUG", "must be false when posture is private or public")
    _check_user_tokens(draft)
    _check_task_tokens(draft)
    _check_neighbours(draft)
    _check_ports(draft)
    if draft["ARCO_CORS_ALLOWED_ORIGINS"] == ("*",) and not draft["ARCO_DEBUG"]:
        draft.refuse("ARCO_CORS_ALLOWED_ORIGINS", "'*' is only allowed when ARCO_DEBUG=true; list the origins")


def check_compactor(draft: Draft) -> None:
    """Rules of the compactor role, and of whoever else serves internal routes."""
    interval, threshold = draft["ARCO_COMPACTOR_INTERVAL_SECS"], draft["ARCO_COMPACTOR_UNHEALTHY_THRESHOLD_SECS"]
    if interval and threshold and threshold < 2 * interval:
        draft.refuse(
            "ARCO_COMPACTOR_UNHEALTHY_THRESHOLD_SECS",
            f"must be >= 2 x ARCO_COMPACTOR_INTERVAL_SECS (got {threshold}, need {2 * interval})",
            "E-RANGE",
        )
    lacking = [one for one in _FOLDED_TOGETHER if one not in (draft["ARCO_COMPACTOR_DOMAINS"] or _FOLDED_TOGETHER)]
    if lacking:
        sentence = f"must hold {', '.join(_FOLDED_TOGETHER)}: they share one chain, and nobody can fold a part of it"
        draft.refuse("ARCO_COMPACTOR_DOMAINS", f"{sentence} (lacks {', '.join(lacking)}); leave it out", "E-RANGE")
    check_internal(draft)


def _check_user_tokens(draft: Draft) -> None:
    given = [name for name in _JWT_KEYS if name in draft.given]
    check_outbound(draft, "ARCO_JWT_JWKS_URL")
    if draft["ARCO_JWT_SECRET_PREVIOUS"] and not draft["ARCO_JWT_SECRET"]:
        draft.refuse("ARCO_JWT_SECRET_PREVIOUS", "is for rotating ARCO_JWT_SECRET, which is not set", "E-CONFLICT")
    if len(given) > 1:
        draft.refuse(given[0], f"set exactly one of {', '.join(_JWT_KEYS)}", "E-CONFLICT")
    if not given and not draft["ARCO_DEBUG"]:
        _check_no_credentials(draft)
    if draft["ARCO_DEBUG"] and not given and not is_loopback(draft["ARCO_HOST"]):
        draft.warnings.append(f"ARCO_DEBUG: anybody who reaches {draft['ARCO_HOST']} may name any tenant in a header")
    claims = [draft[name] for name in _CLAIMS]
    for position, name in enumerate(_CLAIMS):
        if draft[name] in claims[:position]:
            draft.refuse(name, "must differ from the other claim names", "E-CONFLICT")


def _check_no_credentials(draft: Draft) -> None:
    if draft.role != ALL:
        message = f"one of {', '.join(_JWT_KEYS)} is required when ARCO_DEBUG=false"
        draft.refuse("ARCO_JWT_SECRET", message, "E-REQUIRED")
    elif not is_loopback(draft["ARCO_HOST"]):
        draft.refuse(
            "ARCO_HOST",
            f"without credentials only a loopback address is allowed (got {draft['ARCO_HOST']}); "
            "set ARCO_JWT_SECRET or ARCO_JWT_PUBLIC_KEY_PATH, or listen on 127.0.0.1",
        )


def _check_task_tokens(draft: Draft) -> None:
    secret, audience = draft["ARCO_TASK_TOKEN_SECRET"], draft["ARCO_TASK_TOKEN_AUDIENCE"]
    if secret and secret in (draft["ARCO_JWT_SECRET"], draft["ARCO_JWT_SECRET_PREVIOUS"]):
        draft.refuse("ARCO_TASK_TOKEN_SECRET", "must not equal ARCO_JWT_SECRET", "E-CONFLICT")
    if audience and audience == draft["ARCO_JWT_AUDIENCE"]:
        draft.refuse("ARCO_TASK_TOKEN_AUDIENCE", "must not equal ARCO_JWT_AUDIENCE", "E-CONFLICT")


def _check_neighbours(draft: Draft) -> None:
    for name in ("ARCO_COMPACTOR_URL", "ARCO_ORCH_COMPACTOR_URL"):
        check_https(draft, name, draft[name])
    mode = draft["ARCO_COMPACTOR_AUTH_MODE"]
    if mode == "none" and draft["ARCO_ENVIRONMENT"] != DEV:
        draft.refuse("ARCO_COMPACTOR_AUTH_MODE", "must not be none outside dev")
    if mode == "static_bearer" and not draft["ARCO_COMPACTOR_AUTH_STATIC_BEARER_TOKEN"]:
        draft.refuse("ARCO_COMPACTOR_AUTH_STATIC_BEARER_TOKEN", "required when the mode is static_bearer", "E-REQUIRED")
    if draft["ARCO_COMPACTOR_GCP_METADATA_URL"] and not draft["ARCO_DEBUG"]:
        draft.refuse("ARCO_COMPACTOR_GCP_METADATA_URL", "is only allowed when ARCO_DEBUG=true")


def _check_ports(draft: Draft) -> None:
    names = ("ARCO_HTTP_PORT", "ARCO_METRICS_PORT", "ARCO_GRPC_PORT")
    taken: dict[int, str] = {}
    for name in names:
        port = draft[name]
        if not port:
            continue
        if port in taken:
            draft.refuse(name, f"must differ from {taken[port]} (both are {port})", "E-CONFLICT")
        taken.setdefault(port, name)


def check_https(draft: Draft, name: str, value: str | None) -> None:
    """Outside dev a URL that leaves the cluster must be https; `name` is the variable that holds it."""
    if not value or draft["ARCO_ENVIRONMENT"] == DEV:
        return
    scheme, host, _ = url_parts(value)
    local = "." not in host or host.endswith((".svc", ".cluster.local", ".internal", ".local")) or is_loopback(host)
    if scheme != "https" and not local:
        draft.refuse(name, "must be https outside dev, unless the name is cluster-local")
